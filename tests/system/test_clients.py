"""What other programs ask of the server, each in its own words: the second Go SDK (REST), Ansible's inventory, xo-cli and the forms it sends."""
import json
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import test_machines
import go_reader # noqa: I001 (test_machines makes it known where)
from test_machines import GIB, MIB
from websocket import WebSocket

CPUS = {"number": "int", "max": "int"}
#: What the SDK reads, by collection.
STRUCTS = {
    "vms": {"id": "uuid", "template": "uuid", "name_label": "string", "name_description": "string", "power_state": "string",
            "memory": {"dynamic": "[]int64", "static": "[]int64", "size": "int64"}, "CPUs": CPUS, "VIFs": "[]string", "$VBDs": "[]uuid",
            "tags": "[]string", "auto_poweron": "bool", "high_availability": "string", "virtualizationMode": "string", "startDelay": "int",
            "expNestedHvm": "bool", "boot": {"firmware": "string", "order": "string"}, "videoram": "digits", "vga": "string",
            "xenStoreData": "map[string]string", "blockedOperations": "map[string]string", "mainIpAddress": "string", "$poolId": "uuid",
            "$container": "uuid", "snapshots": "[]uuid", "type": "string", "creation": {"date": "string", "template": "uuid", "user": "string"}},
    "networks": {"$pool": "uuid", "_xapiRef": "string", "uuid": "string", "MTU": "int", "PIFs": "[]uuid", "VIFs": "[]uuid", "automatic": "bool",
                 "bridge": "string", "current_operations": "map[string]string", "defaultIsLocked": "bool", "id": "uuid", "insecureNbd": "*bool",
                 "isBonded": "bool", "name_description": "string", "name_label": "string", "nbd": "*bool", "other_config": "map[string]string",
                 "tags": "[]string", "type": "string"},
    "pools": {"auto_poweron": "bool", "current_operations": "map[string]any", "default_SR": "uuid", "HA_enabled": "bool", "haSrs": "[]string",
              "master": "uuid", "tags": "[]string", "name_description": "string", "name_label": "string", "migrationCompression": "bool",
              "otherConfig": "map[string]string", "cpus": {"cores": "int", "sockets": "int"}, "zstdSupported": "bool", "vtpmSupported": "bool",
              "platform_version": "string", "id": "uuid", "type": "string", "uuid": "uuid", "$pool": "string", "$poolId": "uuid",
              "_xapiRef": "string", "crashDumpSr": "string", "suspendSr": "string"},
    "hosts": {"id": "uuid", "uuid": "string", "type": "string", "name_label": "string", "name_description": "string", "address": "string",
              "hostname": "string", "build": "string", "version": "string", "productBrand": "string", "power_state": "string",
              "powerOnMode": "string", "iscsiIqn": "string", "_xapiRef": "string", "CPUs": "map[string]string",
              "bios_strings": "map[string]string", "chipset_info": {"iommu": "bool"}, "cpus": {"cores": "int", "sockets": "int"},
              "memory": {"usage": "int64", "size": "int64"}, "license_server": {"address": "string", "port": "string"}, "enabled": "bool",
              "hvmCapable": "bool", "multipathing": "bool", "zstdSupported": "bool", "rebootRequired": "bool", "controlDomain": "uuid",
              "$pool": "uuid", "$poolId": "uuid", "startTime": "int64", "agentStartTime": "int64", "license_expiry": "*int64",
              "current_operations": "map[string]any", "otherConfig": "map[string]any", "license_params": "map[string]any",
              "logging": "map[string]any", "residentVms": "[]uuid", "PIFs": "[]uuid", "PCIs": "[]uuid", "PGPUs": "[]uuid", "$PBDs": "[]uuid",
              "patches": "[]any", "supplementalPacks": "[]any", "tags": "[]string"},
    "vdis": {"id": "uuid", "uuid": "uuid", "type": "string", "name_label": "string", "name_description": "string", "size": "int64",
             "usage": "int64", "VDI_type": "string", "cbt_enabled": "*bool", "missing": "bool", "parent": "*uuid", "image_format": "*string",
             "snapshots": "[]uuid", "tags": "[]string", "current_operations": "map[string]string", "other_config": "map[string]string",
             "$SR": "uuid", "$VBDs": "[]uuid", "$poolId": "uuid", "_xapiRef": "string"},
    "vbds": {"id": "uuid", "uuid": "uuid", "type": "string", "$pool": "uuid", "_xapiRef": "string", "attached": "bool", "bootable": "bool",
             "device": "*string", "is_cd_drive": "bool", "position": "digits", "read_only": "bool", "VDI": "*uuid", "VM": "uuid"},
    "pbds": {"id": "uuid", "uuid": "uuid", "type": "string", "$pool": "uuid", "_xapiRef": "string", "attached": "bool", "host": "uuid",
             "SR": "uuid", "device_config": "map[string]string", "otherConfig": "map[string]string"},
    "srs": {"id": "uuid", "uuid": "uuid", "type": "string", "$pool": "uuid", "_xapiRef": "string", "$PBDs": "[]uuid", "$container": "uuid",
            "VDIs": "[]uuid", "allocationStrategy": "string", "content_type": "string", "current_operations": "map[string]string",
            "inMaintenanceMode": "bool", "name_label": "string", "name_description": "string", "other_config": "map[string]string",
            "physical_usage": "float64", "shared": "bool", "size": "float64", "sm_config": "map[string]string", "SR_type": "string",
            "tags": "[]string", "usage": "float64"},
}
TYPES = {"vms": "VM", "networks": "network", "pools": "pool", "hosts": "host", "vdis": "VDI", "vbds": "VBD", "pbds": "PBD", "srs": "SR"}
TOLD = {"message": "string", "data": "map[string]any"}
TASK = {"abortionRequestedAt": "time", "end": "time", "id": "string", "info": TOLD, "properties": {
    "userId": "string", "type": "string", "params": "map[string]any", "objectId": "string", "name": "string", "method": "string"},
    "result": {"code": "any", "data": "map[string]any", "params": "[]any", "call": {"method": "string", "duration": "int64", "params": "[]any"},
               "message": "string", "name": "string", "stack": "string", "id": "uuid"},
    "start": "time", "status": "string", "updatedAt": "time", "tasks": "[]any", "warning": TOLD}


class Sdk(test_machines.Pool):
    """Go SDK v2: a cookie, JSON bodies or none, tasks that are polled."""
    SIM = (*test_machines.Pool.SIM, "--nbd", "secure")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        request = urllib.request.Request(f"{cls.server.url}/auth/login", json.dumps({
            "username": cls.server.user, "password": cls.server.password}).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
            cls.cookie = next(value.split(";")[0] for name, value in answer.headers.items()
                              if name == "Set-Cookie" and value.startswith("authenticationToken="))

    def send(self, verb, path, body=None, type_=None, **query):
        """As its client does: no body and no type of one without parameters. (status, bytes)"""
        url = f"{self.server.url}/rest/v0/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = {"Accept": "application/json", "Cookie": self.cookie}
        if body is not None:
            headers["Content-Type"] = type_ or "application/json"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=verb), timeout=60) as answer:
            self.assertTrue(200 <= answer.status < 300, path)
            return answer.status, answer.read()

    def ask(self, verb, path, type_, body=None, **query):
        text = self.send(verb, path, body, **query)[1]
        return go_reader.read(json.loads(text) if text else None, type_, path)

    def get(self, collection, id_):
        found = self.ask("GET", f"{collection}/{id_}", STRUCTS[collection])
        self.assertEqual((found["id"], found["type"]), (id_, TYPES[collection]))
        return found

    def list(self, collection, **query):
        found = self.ask("GET", collection, "[]any", **dict(query, fields="*"))
        return [go_reader.read(each, STRUCTS[collection], collection) for each in found]

    def task(self, path, body=None):
        """An action, polled until it has ended: its task."""
        id_ = self.ask("POST", path, {"taskId": "string"}, body)["taskId"]
        self.assertTrue(id_, path)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            task = self.ask("GET", f"tasks/{id_}", TASK)
            self.assertEqual(task["id"], id_)
            if task["status"] in ("success", "failure"):
                return task
            time.sleep(0.1)
        self.fail(f"{path}: its task does not end")

    def done(self, path, body=None):
        task = self.task(path, body)
        self.assertEqual(task["status"], "success", f"{path}: {task['result']}")
        return task["result"]["id"]

    def test_reads(self):
        for collection in STRUCTS:
            with self.subTest(collection):
                all_ = self.list(collection)
                self.assertTrue(all_)
                self.assertEqual(self.get(collection, all_[0]["id"])["id"], all_[0]["id"])
                self.assertEqual(len(self.list(collection, limit=1)), 1)
                self.assertEqual([each["id"] for each in self.list(collection, filter=f"id:{all_[0]['id']}")], [all_[0]["id"]])
                if collection not in ("pbds",):
                    self.ask("GET", f"{collection}/{all_[0]['id']}/tasks", "[]any", fields="*")
        urls = self.ask("GET", "vms", "[]string")
        self.assertEqual({url.split("/")[-1] for url in urls}, {vm["id"] for vm in self.list("vms")})
        for url in self.ask("GET", "tasks", "[]any", fields="*"):
            go_reader.read(url, TASK)

    def test_machine(self):
        pool, template = self.list("pools")[0], self.objects(type="VM-template", name_label="Other install media")[0]
        network = self.list("networks")[0]["id"]
        id_ = self.done(f"pools/{pool['id']}/actions/create_vm", {
            "name_label": "from go", "name_description": "", "template": template["uuid"], "memory": GIB, "boot": True, "autoPoweron": False,
            "vdis": [{"size": 8 * MIB, "sr": pool["default_SR"], "name_label": "root", "name_description": "d"}],
            "vifs": [{"network": network, "device": "0", "mac": "00:16:3e:00:00:07", "ipv4_allowed": ["10.0.0.7"]}],
            "install": {"method": "network", "repository": ""}, "cloud_config": "#cloud-config\n", "destroy_cloud_config_vdi": False})
        vm = self.get("vms", id_)
        self.assertEqual((vm["name_label"], vm["power_state"], vm["memory"]["dynamic"][1], len(vm["VIFs"])), ("from go", "Running", GIB, 1))
        vif = self.view(vm["VIFs"][0])
        self.assertEqual((vif["MAC"], vif["allowedIpv4Addresses"], vif["device"]), ("00:16:3e:00:00:07", ["10.0.0.7"], "0"))
        vdis = [go_reader.read(each, STRUCTS["vdis"]) for each in self.ask("GET", f"vms/{id_}/vdis", "[]any", fields="*")]
        self.assertEqual(sorted(vdi["name_label"] for vdi in vdis), ["XO CloudConfigDrive", "root"])
        self.wait(id_)
        for action, state in (("pause", "Paused"), ("unpause", "Running"), ("suspend", "Suspended"), ("resume", "Running"),
                              ("clean_reboot", "Running"), ("clean_shutdown", "Halted"), ("start", "Running"), ("hard_reboot", "Running"),
                              ("hard_shutdown", "Halted")):
            if action.startswith("clean") or action == "suspend":
                self.wait(id_)
            self.done(f"vms/{id_}/actions/{action}")
            self.assertEqual(self.get("vms", id_)["power_state"], state, action)
        self.done(f"vms/{id_}/actions/start", {"hostId": self.list("hosts")[1]["id"]})
        self.assertEqual(self.get("vms", id_)["$container"], self.list("hosts")[1]["id"])
        snapshot = self.done(f"vms/{id_}/actions/snapshot", {"name_label": "a snapshot"})
        self.assertEqual(self.get("vms", id_)["snapshots"], [snapshot])
        self.assertTrue(self.ask("GET", f"vms/{id_}/tasks", "[]any", fields="*", limit=5))
        failed = self.task(f"vms/{id_}/actions/start")
        self.assertEqual((failed["status"], failed["result"]["code"]), ("failure", "VM_BAD_POWER_STATE"), failed)
        with self.assertRaises(urllib.error.HTTPError) as caught: # its SDK has it, XO has not
            self.send("POST", f"vms/{id_}/actions/restart")
        self.assertEqual(caught.exception.code, 404)
        self.assertIn(self.send("DELETE", f"vms/{id_}")[0], (200, 204))
        self.assertEqual(self.list("vms", filter=f"id:{id_}"), [])

    def wait(self, id_):
        until = time.monotonic() + 60
        while not self.view(id_).get("pvDriversDetected"):
            self.assertLess(time.monotonic(), until, "the tools")
            time.sleep(0.1)

    def test_template_interfaces(self):
        """Those of the template stay, but for the devices that are asked for."""
        vm = self.vm()
        networks = [each["id"] for each in self.list("networks")]
        clone = self.call("vm.clone", id=vm["id"], name="with interfaces", full_copy=False)
        while len(self.view(clone)["VIFs"]) < 3:
            self.call("vm.createInterface", vm=clone, network=networks[0])
        self.call("vm.convertToTemplate", id=clone)
        path = f"pools/{self.list('pools')[0]['id']}/actions/create_vm"
        kept = self.done(path, {"name_label": "keeps", "template": clone})
        self.assertEqual(len(self.view(kept)["VIFs"]), 3)
        other = self.done(path, {"name_label": "changes", "template": clone, "vifs": [
            {"device": "0", "destroy": True}, {"device": "1", "network": networks[1]}, {"network": networks[1]}]})
        vifs = {vif["device"]: vif["$network"] for vif in map(self.view, self.view(other)["VIFs"])}
        self.assertEqual(vifs, {"0": networks[1], "1": networks[1], "2": networks[0]})
        self.assertEqual(len(self.view(clone)["VIFs"]), 3)
        for id_ in (kept, other, clone):
            self.call("vm.delete", id=id_)

    def test_disk(self):
        sr = self.list("pools")[0]["default_SR"]
        made = self.ask("POST", "vdis", {"id": "uuid"}, {"srId": sr, "virtual_size": 4 * MIB, "name_label": "by go", "name_description": "d",
                                                          "tags": ["t"], "type": "user", "other_config": {"k": "v"}, "read_only": False})["id"]
        vdi = self.get("vdis", made)
        self.assertEqual((vdi["size"], vdi["name_label"], vdi["tags"], vdi["other_config"]["k"], vdi["VDI_type"]),
                         (4 * MIB, "by go", ["t"], "v", "user"))
        nameless = self.ask("POST", "vdis", {"id": "uuid"}, {"srId": sr, "virtual_size": 4 * MIB})["id"]
        content = bytes(range(256)) * (4 * MIB // 256)
        self.assertEqual(self.send("PUT", f"vdis/{made}.raw", content, "application/octet-stream")[0], 204)
        self.assertEqual(self.send("GET", f"vdis/{made}.raw")[1], content)
        vhd = self.send("GET", f"vdis/{made}.vhd")[1]
        self.assertEqual(self.send("PUT", f"vdis/{nameless}.vhd", vhd, "application/octet-stream")[0], 204)
        self.assertEqual(self.send("GET", f"vdis/{nameless}.raw")[1], content)
        vm = self.vm("Running")["id"]
        vbd = self.ask("POST", "vbds", {"id": "uuid"}, {"VM": vm, "VDI": made, "type": "Disk", "mode": "RW", "userdevice": "9", "bootable": False})["id"]
        self.assertEqual((self.get("vbds", vbd)["VDI"], self.get("vbds", vbd)["position"], self.get("vbds", vbd)["attached"]), (made, "9", False))
        for action, attached in (("connect", True), ("disconnect", False)):
            self.done(f"vbds/{vbd}/actions/{action}")
            self.assertEqual(self.get("vbds", vbd)["attached"], attached)
        self.send("DELETE", f"vbds/{vbd}")
        other = next(each["id"] for each in self.list("srs") if each["content_type"] == "user" and each["id"] != sr)
        moved = self.done(f"vdis/{made}/actions/migrate", {"srId": other})
        self.assertEqual(self.get("vdis", moved)["$SR"], other)
        for id_ in (moved, nameless):
            self.send("DELETE", f"vdis/{id_}")
            self.assertEqual(self.list("vdis", filter=f"id:{id_}"), [])

    def test_networks(self):
        pool = self.list("pools")[0]
        pifs = [pif["id"] for pif in self.objects(type="PIF") if pif["$host"] == pool["master"] and pif["vlan"] == -1]
        eth1 = next(pif["id"] for pif in self.objects(type="PIF") if pif["$host"] == pool["master"] and pif["device"] == "eth1")
        path = f"pools/{pool['id']}/actions"
        made = [self.done(f"{path}/create_network", {"name": "vlan", "description": "d", "pif": eth1, "vlan": 77, "mtu": 1400}),
                self.done(f"{path}/create_internal_network", {"name": "internal", "description": "d", "mtu": 1450, "nbd": False})]
        self.assertEqual([(self.get("networks", id_)["name_label"], self.get("networks", id_)["MTU"]) for id_ in made],
                         [("vlan", 1400), ("internal", 1450)])
        for id_ in made:
            self.send("DELETE", f"networks/{id_}")
        bond = self.done(f"{path}/create_bonded_network", {"name": "bond", "pifIds": pifs, "bondMode": "active-backup"})
        self.assertTrue(self.get("networks", bond)["isBonded"])
        self.send("DELETE", f"networks/{bond}")

    def test_others(self):
        """Tags, storage, connections to it, and tasks that are given up."""
        for collection in ("vms", "hosts", "pools", "srs", "vdis", "networks"):
            id_ = self.list(collection)[0]["id"]
            self.send("PUT", f"{collection}/{id_}/tags/go%20test")
            self.assertIn("go test", self.get(collection, id_)["tags"])
            self.send("DELETE", f"{collection}/{id_}/tags/go%20test")
            self.assertNotIn("go test", self.get(collection, id_)["tags"])
        sr = next(each for each in self.list("srs") if each["content_type"] == "user")
        self.done(f"srs/{sr['id']}/actions/scan")
        iso = next(each for each in self.list("srs") if each["name_label"] == "ISO library")
        pbd = next(each["id"] for each in self.list("pbds") if each["SR"] == iso["id"])
        for action, attached in (("unplug", False), ("plug", True)):
            self.done(f"pbds/{pbd}/actions/{action}")
            self.assertEqual(self.get("pbds", pbd)["attached"], attached)
        tasks = self.ask("GET", "tasks", "[]any", fields="*", filter="status:success", limit=2)
        self.assertTrue(0 < len(tasks) <= 2)
        self.sim.fault(kind="latency", method="SR.scan", ms=3000)
        running = self.ask("POST", f"srs/{sr['id']}/actions/scan", {"taskId": "string"})["taskId"]
        self.assertIs(self.ask("POST", f"tasks/{running}/abort", {"success": "bool"})["success"], True)
        self.sim.control("/sim/faults/clear", {})


class Ansible(test_machines.Pool):
    """community.general.xen_orchestra: a socket, three lists, and what it makes hosts of."""
    def test_inventory(self):
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        counter = -1

        def ask(method, params):
            nonlocal counter
            counter += 1
            socket.send(json.dumps({"id": counter, "jsonrpc": "2.0", "method": method, "params": params}))
            for _ in range(100): # it gives up then
                message = json.loads(socket.receive(60))
                if message.get("id") == counter:
                    return message
            self.fail("too many messages before the answer")
        self.assertIn("result", ask("session.signIn", {"username": self.server.user, "password": self.server.password}))
        self.assertIn("error", ask("session.signIn", {"username": self.server.user, "password": "wrong"}))
        vms, pools, hosts = (ask("xo.getAllObjects", {"filter": {"type": type_}})["result"] for type_ in ("VM", "pool", "host"))
        self.assertEqual((len(vms), len(pools), len(hosts)), (4, 1, 2))
        for id_, vm in vms.items():
            self.assertEqual((vm["type"], vm["uuid"], id_), ("VM", id_, id_))
            for key in ("power_state", "$poolId", "$container", "name_label", "CPUs", "tags", "memory", "os_version"):
                self.assertIn(key, vm)
            self.assertIn(vm["$poolId"], pools)
            self.assertIsInstance(vm["CPUs"]["number"], int)
            self.assertIsInstance(vm["memory"]["size"], int)
            if vm["power_state"] == "Running":
                self.assertRegex(vm["mainIpAddress"], r"^10\.")
                self.assertIn(vm["$container"], hosts)
                self.assertTrue(vm["managementAgentDetected"] and vm["os_version"]["name"])
        for host in hosts.values():
            for key in ("uuid", "name_label", "$poolId", "enabled", "hostname", "memory", "address", "cpus", "tags", "version", "power_state", "productBrand"):
                self.assertIn(key, host)
        self.assertTrue(all(pool["name_label"] for pool in pools.values()))


class XoCli(test_machines.Pool):
    """The forms of xo-cli: what it registers with, how it writes values, what it streams."""
    def test_register(self):
        client = self.client()
        client.call("session.signIn", {"email": self.server.user, "password": self.server.password})
        asked = dict(client={"id": "a client"}, description="xo-cli --register", expiresIn="30 days")
        token = client.call("token.create", asked)["result"]
        self.assertEqual(client.call("token.create", asked)["result"], token) # the same one, extended
        again = self.client()
        self.assertEqual(again.call("session.signIn", {"token": token})["result"]["email"], self.server.user)
        self.assertEqual(again.call("session.signIn", {"token": "none"})["error"]["code"], 3)

    def client(self):
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        return socket

    def test_commands(self):
        """list-commands reads this: of every parameter whether it is optional, and its type."""
        for name, info in self.call("system.getMethodsInfo").items():
            for parameter, schema in info["params"].items():
                self.assertIsInstance(schema.get("optional", False), bool, (name, parameter))
                self.assertIsInstance(schema.get("type", ""), (str, list), (name, parameter))

    def test_values(self):
        """Values are texts, but for true, false and what begins with json:."""
        vm = self.vm()["id"]
        found = self.call("xo.getAllObjects", filter={"type": "VM", "power_state": "Halted", "auto_poweron": False, "tags": []})
        self.assertIn(vm, found)
        self.assertTrue(self.call("xo.getAllObjects")) # without a filter
        self.assertEqual(self.call("vm.set", vm=vm, name_label="from the command line"), True) # vm= stands for id=
        self.assertEqual(self.view(vm)["name_label"], "from the command line")
        error = self.refused(10, "vm.set", id=vm, CPUs="two")
        self.assertTrue(all(each["message"] and "instancePath" in each for each in error.data["errors"]))

    def test_files(self):
        """@=FILE: a stream down, and one up, at addresses that need no credentials and work once."""
        got = self.call("xo.exportConfig", compress=False)
        self.assertEqual(set(got), {"$getFrom"})
        with urllib.request.urlopen(self.server.url + got["$getFrom"], timeout=60) as answer:
            config = answer.read()
        self.assertIn("users", json.loads(config))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.server.url + got["$getFrom"], timeout=60)
        self.assertEqual(caught.exception.code, 404)
        sent = self.call("xo.importConfig")
        self.assertEqual(set(sent), {"$sendTo"})
        with urllib.request.urlopen(urllib.request.Request(self.server.url + sent["$sendTo"], config, method="POST"), timeout=60) as answer:
            self.assertEqual(answer.status, 200)
        lines = self.call("xo.getAllObjects", ndjson=True, filter={"type": "VM"})["$getFrom"]
        with urllib.request.urlopen(self.server.url + lines, timeout=60) as answer:
            self.assertEqual({json.loads(line)["type"] for line in answer.read().splitlines()}, {"VM"})

    def test_watch(self):
        """What `watch` prints comes as notifications, only to who is signed in."""
        vm = self.vm()["id"]
        silent, watcher = self.client(), self.client()
        watcher.call("session.signIn", {"email": self.server.user, "password": self.server.password})
        self.call("vm.set", id=vm, name_description="watched")
        until = time.monotonic() + 60
        while True:
            self.assertLess(time.monotonic(), until)
            message = json.loads(watcher.receive(60))
            self.assertEqual((message["method"], "id" in message), ("all", False))
            if message["params"]["items"].get(vm, {}) and message["params"]["items"][vm].get("name_description") == "watched":
                break
        with self.assertRaises(TimeoutError):
            silent.receive(0.2)

    def test_rest(self):
        """rest get|post|put|patch|del, as its library sends them."""
        token = self.server.env["CADENZA_TOKEN"]

        def ask(verb, path, body=None):
            headers = {"Cookie": f"authenticationToken={token}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            request = urllib.request.Request(f"{self.server.url}/rest/v0/{path}", None if body is None else json.dumps(body).encode(), headers, method=verb)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers.get("content-type", ""), answer.read()
        vm = self.vm()["id"]
        status, type_, text = ask("GET", "vms?limit=2")
        self.assertEqual((status, type_.split(";")[0], len(json.loads(text))), (200, "application/json", 2))
        self.assertEqual(ask("GET", "vms?ndjson=true&fields=id")[1].split(";")[0], "application/x-ndjson")
        self.assertEqual(ask("PATCH", f"vms/{vm}", {"nameDescription": "patched"})[0], 204)
        self.assertEqual(ask("PUT", f"vms/{vm}/tags/cli")[0], 204)
        self.assertEqual(ask("DELETE", f"vms/{vm}/tags/cli")[0], 204)
        status, _, text = ask("POST", f"vms/{vm}/actions/snapshot?sync=true", {"name_label": "s"})
        self.assertEqual((status, set(json.loads(text))), (201, {"id"}))


if __name__ == "__main__":
    unittest.main()
