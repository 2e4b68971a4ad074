"""What breaks clients of XO when it is otherwise: one test for each, numbered as they were found."""
import http.client
import json
import pathlib
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_machines import MIB, Pool  # noqa: E402
from websocket import WebSocket  # noqa: E402

LEAST = -9007199254740991  # where xo-lib begins to count


class Hazards(Pool):
    SIM = ("--hosts", 2, "--vms", 3, "--running", "0.4", "--boot-delay", "0.05", "--disk-size", "2MiB", "--seed", 29)

    def rest(self, path, verb="GET", body=None, token=None, **headers):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.server.url).netloc, timeout=60)
        self.addCleanup(connection.close)
        sent = {"Cookie": f"authenticationToken={token or self.server.env['CADENZA_TOKEN']}", **headers}
        connection.request(verb, path if path.startswith("/auth") else "/rest/v0" + path, body, {key.replace("_", "-"): value for key, value in sent.items() if value})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def another(self):
        """A second connection."""
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        self.assertIn("result", socket.call("session.signIn", {"email": self.server.user, "password": self.server.password}))
        return socket

    def template(self):
        return next(each for each in self.objects(type="VM-template") if each["name_label"].startswith("Debian"))

    def halted(self):
        return sorted(each["id"] for each in self.objects(type="VM", power_state="Halted"))[0]

    def network(self):
        return self.objects(type="PIF", management=True)[0]["$network"]

    def new_vm(self, **more):
        vm = self.call("vm.create", template=self.template()["id"], name_label="made", bootAfterCreate=False, **more)
        self.addCleanup(self.call, "vm.delete", id=vm)
        return vm

    def test_01_path(self):
        """The path is /api/ and nothing else; nobody is asked for credentials there; unknown offers do not matter."""
        for path, status in (("/api/", 101), ("/api", 404), ("/api/x", 404), ("/ap", 404)):
            socket = WebSocket(self.server.url, path)
            self.addCleanup(socket.close)
            self.assertEqual(socket.status == 101, status == 101, path)
        offers = {"Sec-WebSocket-Protocol": "a, b", "Sec-WebSocket-Extensions": "x-unknown; y=1"}
        socket = WebSocket(self.server.url, **offers)
        self.addCleanup(socket.close)
        self.assertEqual(socket.status, 101)
        self.assertEqual(socket.call("system.getVersion")["result"], "0.1")

    def test_02_integers(self):
        """Ids come back as they went, and sizes have no exponent and no fraction."""
        socket = self.socket()
        for id_ in (str(LEAST), "0", "9007199254740991", '"text"'):
            socket.send(f'{{"jsonrpc":"2.0","id":{id_},"method":"system.getVersion","params":{{}}}}')
            text = socket.receive_answer()
            self.assertRegex(text, rf'"id": ?{id_}[,}}]')
        socket.send('{"jsonrpc":"2.0","id":1,"method":"xo.getAllObjects","params":{"filter":{"type":"SR"}}}')
        text = socket.receive_answer()
        for key in ("size", "physical_usage", "usage"):
            self.assertRegex(text, rf'"{key}": ?\d+[,}}]')
            self.assertNotRegex(text, rf'"{key}": ?\d+[.eE]')

    def test_02_integers_beyond(self):
        """A number too large for anything is refused by name; the client does not wait for ever."""
        socket = self.socket()
        for number in ("1e30", "123456789012345678901234567890", "-123456789012345678901234567890"):
            socket.send('{"jsonrpc": "2.0", "id": 1, "method": "disk.create", "params": {"name": "x", "sr": "%s", "size": %s}}'
                        % (self.server.objects(type="SR")[0]["id"], number))
            error = socket.answer()["error"]
            self.assertEqual((error["code"], error["message"].split(":")[0]), (10, "size"), error)

    def test_03_results(self):
        """Nothing to say is true; what is made is told as text, but for two."""
        vm = self.halted()
        for method, params in (("vm.set", {"id": vm, "name_description": "x"}), ("tag.add", {"id": vm, "tag": "x"}), ("tag.remove", {"id": vm, "tag": "x"})):
            self.assertIs(self.call(method, **params), True, method)
        user = self.call("user.create", email="made", password="a password")
        rule = {"subject": user, "object": vm, "action": "viewer"}
        self.assertIs(self.call("acl.add", **rule), True)
        self.assertIs(self.call("acl.remove", **rule), True)
        self.assertIs(self.call("user.delete", id=user), True)
        network = self.call("network.create", pool=self.only(type="pool")["id"], name="made")
        disk = self.call("disk.create", name="made", size=MIB, sr=self.sr()["id"])
        vif = self.call("vm.createInterface", vm=vm, network=self.network())
        for id_, type_ in ((network, "network"), (disk, "VDI"), (vif, "VIF"), (self.new_vm(), "VM")):
            self.assertEqual(self.view(id_)["type"], type_)
        self.assertIsInstance(self.call("token.create"), str)
        made = self.call("resourceSet.create", name="made", subjects=[], objects=[], limits={"cpus": {"available": 4, "total": 4}})
        self.assertEqual((made["name"], made["limits"]["cpus"]["total"]), ("made", 4))
        for method, id_ in (("network.delete", network), ("vdi.delete", disk), ("vif.delete", vif), ("resourceSet.delete", made["id"])):
            self.assertIs(self.call(method, id=id_), True, method)

    def test_04_own_writes(self):
        """What a call made is there when it answers, for others too; what it deleted is not."""
        other = self.another()
        vm = self.new_vm(VIFs=[{"network": self.network()}])
        seen = other.call("xo.getAllObjects", {"filter": {"id": vm}})["result"][vm]
        self.assertEqual(len(other.call("xo.getAllObjects", {"filter": {"type": "VIF", "$VM": vm}})["result"]), len(seen["VIFs"]))
        self.assertEqual(len(seen["VIFs"]), 1)
        status, _, text = self.rest(f"/srs/{self.sr()['id']}/vdis?raw=true&name_label=sent", "POST", bytes(MIB))
        disk = json.loads(text)["id"]
        self.assertEqual((status, list(other.call("xo.getAllObjects", {"filter": {"id": disk}})["result"])), (201, [disk]))
        self.call("vdi.delete", id=disk)
        self.assertEqual(other.call("xo.getAllObjects", {"filter": {"id": disk}})["result"], {})

    def test_05_nothing_is_empty(self):
        """Names and links by which clients look things up are never empty texts."""
        for each in self.objects():
            for key in ("MAC", "$poolId", "$pool", "$VM", "VM", "id", "uuid", "type"):
                self.assertNotEqual(each.get(key, "absent"), "", f"{each['type']} {each['id']}: {key}")
            if each["type"] in ("pool", "SR", "VM-template"):
                self.assertTrue(each["name_label"], each["id"])
        pool = self.only(type="pool")
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        session.call("pool.set_name_label", pool["_xapiRef"], "")
        self.addCleanup(session.call, "pool.set_name_label", pool["_xapiRef"], pool["name_label"])
        self.call("vm.set", id=self.halted(), name_description="after that")
        self.assertTrue(self.only(type="pool")["name_label"], "the master's name stands in")
        self.refused(10, "cloudConfig.create", name="", template="x")
        self.refused(10, "resourceSet.create", name="")

    def test_06_memory(self):
        for type_ in ("VM", "VM-template", "VM-snapshot", "VM-controller"):
            for vm in self.objects(type=type_):
                for key in ("static", "dynamic"):
                    self.assertEqual([type(each) for each in vm["memory"][key]], [int, int], vm["id"])

    def test_07_disks(self):
        """Each device of a machine that is no drive leads to a VDI; an empty drive to none."""
        vms = {vm["id"] for vm in self.objects(type="VM")}
        drives = disks = 0
        for vbd in self.objects(type="VBD"):
            if vbd["VM"] not in vms:
                continue
            if vbd["is_cd_drive"]:
                drives += "VDI" not in vbd or self.view(vbd["VDI"])["type"] == "VDI"
            else:
                disks += self.view(vbd["VDI"])["type"] == "VDI"
        self.assertGreater(disks, 2)
        vm = self.new_vm()
        iso = next(each["id"] for each in self.objects(type="VDI") if each["name_label"] == "debian-12.iso")
        self.call("vm.insertCd", id=vm, cd_id=iso)
        drive = self.only(type="VBD", VM=vm, is_cd_drive=True)
        self.assertEqual(drive["VDI"], iso)
        self.call("vm.ejectCd", id=vm)
        self.assertNotIn("VDI", self.view(drive["id"]))

    def test_08_kinds(self):
        """Texts where Go decodes texts, numbers where it decodes numbers; lists are never null."""
        for each in self.objects():
            told = f"{each['type']} {each['id']}"
            if each["type"] == "VBD":
                self.assertIsInstance(each["position"], str, told)
                self.assertIsInstance(each["device"], (str, type(None)), told)
            elif each["type"] == "VIF":
                self.assertIsInstance(each["device"], str, told)
            elif each["type"] == "VM":
                for key in ("blockedOperations", "addresses", "xenStoreData"):
                    self.assertTrue(all(isinstance(value, str) for value in each[key].values()), f"{told}: {key}")
                self.assertIsInstance(each.get("videoram", 0), int, told)
                self.assertTrue(all(each.get(key, "absent") is not None for key in ("affinityHost", "resourceSet", "mainIpAddress")), told)
            if "tags" in each:
                self.assertIsInstance(each["tags"], list, told)

    def test_09_cloud_drive(self):
        vm = self.new_vm(cloudConfig="#cloud-config\n", VDIs=[{"name_label": "root", "size": MIB, "SR": self.sr()["id"], "type": "user"}])
        names = [self.view(vbd["VDI"])["name_label"] for vbd in self.objects(type="VBD", VM=vm) if "VDI" in vbd]
        self.assertIn("XO CloudConfigDrive", names)

    def test_10_parameters(self):
        """Unknown ones are refused where XO does it; null means none where Terraform sends it."""
        vm = self.halted()
        self.assertEqual(self.refused(10, "vm.start", id=vm, colour="blue").data["errors"][0]["params"], {"additionalProperty": "colour"})
        for method, params in (("acl.get", {"dummy": "x"}), ("user.getAll", {"dummy": "x"}), ("session.getUser", {"dummy": "x"}), ("resourceSet.getAll", {"id": "dummy"})):
            self.call(method, **params)
        for key in ("cpuCap", "cpuWeight", "affinityHost", "resourceSet", "xenStoreData"):
            self.assertIs(self.call("vm.set", id=vm, **{key: None}), True, key)
        self.assertIs(self.call("vm.set", vm=vm, name_description="the name space stands for the id"), True)
        self.assertIs(self.call("vm.set", id=vm, **{"colour?": "blue", "name_description?": "may be ignored"}), True)
        self.assertEqual(self.view(vm)["name_description"], "may be ignored")
        self.refused(10, "vm.set", id=vm, name_label="")
        self.refused(10, "vm.start")
        self.refused(1, "vm.start", id="nowhere")
        self.assertIs(self.call("vm.set", id=self.view(vm)["_xapiRef"], name_description="by its reference"), True)
        self.refused(10, "token.create", surplus=1)

    def test_11_no_tools(self):
        """A machine without drivers cannot be shut down cleanly: that is said, and nobody waits."""
        vm = self.new_vm()
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        ref = self.view(vm)["_xapiRef"]
        session.call("VM.set_PV_args", ref, self.view(vm).get("PV_args", ""))
        self.assertNotIn("pvDriversDetected", self.view(vm))
        self.sim.fault(kind="error", method="VM.clean_shutdown", error=["VM_MISSING_PV_DRIVERS", ref])
        self.addCleanup(self.sim.control, "/sim/faults/clear", {})
        self.call("vm.start", id=vm)
        error = self.refused(10, "vm.stop", id=vm)
        self.assertEqual(error.message, "clean shutdown requires PV drivers")
        self.assertEqual(self.view(vm)["power_state"], "Running")
        self.assertIs(self.call("vm.stop", id=vm, force=True), True)

    def test_12_retries(self):
        """11 and 14 make clients try for minutes: no other failure has these numbers."""
        vm = self.halted()
        for code, number in ((["VM_LACKS_FEATURE", "x"], 14), (["VM_MISSING_PV_DRIVERS", "x"], 11), (["INTERNAL_ERROR", "VM_LACKS_FEATURE"], -32000),
                             (["SR_FULL", "1", "2"], -32000), (["VM_BAD_POWER_STATE", "x", "halted", "running"], 13)):
            self.sim.fault(kind="error", method="VM.start", error=code)
            self.refused(number, "vm.start", id=vm)
            self.sim.control("/sim/faults/clear", {})

    def test_13_rest(self):
        """What the Go client does: no body and no type, wait in all its forms, both cookies, two routes of its own."""
        vm, token = self.halted(), self.server.env["CADENZA_TOKEN"]
        status, headers, text = self.rest(f"/vms/{vm}/actions/snapshot", "POST")
        task = json.loads(text)["taskId"]
        self.assertEqual((status, headers["Location"]), (202, f"/rest/v0/tasks/{task}"))
        for wait in ("wait", "wait=", "wait=result", "wait=true"):
            told = json.loads(self.rest(f"/tasks/{task}?{wait}")[2])
            self.assertEqual(told["status"], "success", told)
        self.assertEqual(list(told["result"]), ["id"])
        self.call("vm.delete", id=told["result"]["id"])
        self.assertEqual(self.rest("/vms", Cookie=f"token={token}")[0], 200)
        self.assertEqual(self.rest("/vms", Cookie=f"token=wrong; authenticationToken={token}")[0], 200)
        self.assertEqual(self.rest("/vms", Authorization="Basic YTpi")[0], 400)
        status, headers, _ = self.rest("/auth/login", "POST", json.dumps({"username": self.server.user, "password": self.server.password}), Cookie="")
        self.assertEqual((status, headers["Set-Cookie"].startswith("authenticationToken=")), (200, True))
        self.sim.fault(kind="latency", method="VM.snapshot", ms=15000)
        self.addCleanup(self.sim.control, "/sim/faults/clear", {})
        task = json.loads(self.rest(f"/vms/{vm}/actions/snapshot", "POST")[2])["taskId"]
        status, _, text = self.rest(f"/tasks/{task}/abort", "POST")
        self.assertEqual((status, json.loads(text)), (200, {"success": True}))

    def test_14_files(self):
        """One-time addresses need no credentials, work once, say their length when it is known, and take what comes in chunks."""
        path = self.call("xo.exportConfig", compress=False)["$getFrom"]
        with urllib.request.urlopen(self.server.url + path) as answer:
            document = answer.read()
        self.assertIn(b"users", document)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.server.url + path)
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()
        path = self.call("xo.importConfig")["$sendTo"]
        parts = iter([document[:10], document[10:]])
        with urllib.request.urlopen(urllib.request.Request(self.server.url + path, data=parts, method="POST", headers={"Transfer-Encoding": "chunked"})) as answer:
            self.assertEqual(answer.status, 200)
        disk = self.view(next(vbd["VDI"] for vbd in self.objects(type="VBD", VM=self.halted()) if not vbd["is_cd_drive"]))
        status, headers, text = self.rest(f"/vdis/{disk['id']}.raw", "HEAD")
        self.assertEqual((status, headers["Content-Length"]), (200, str(disk["size"])))

    def test_15_long_lives(self):
        """Pings are answered, with what they carry, and a quiet client stays."""
        socket = self.another()
        socket.send("are you there", opcode=9)
        first, second = socket.take(2)
        self.assertEqual((first & 15, socket.take(second & 127)), (10, b"are you there"))
        self.assertIn("result", socket.call("system.getVersion"))

    def test_16_months(self):
        """They begin with 0 in schedules."""
        job = self.call("job.create", job={"type": "call", "key": "genericTask", "method": "system.getVersion"})
        for month, taken in (("0", True), ("11", True), ("12", False), ("jan", True)):
            if taken:
                self.assertEqual(self.call("schedule.create", jobId=job, cron=f"0 0 1 {month} *", enabled=False)["cron"], f"0 0 1 {month} *")
            else:
                self.refused(10, "schedule.create", jobId=job, cron=f"0 0 1 {month} *", enabled=False)
        self.call("job.delete", id=job)


if __name__ == "__main__":
    unittest.main()
