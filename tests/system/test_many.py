"""Machines made by many at once: none lost, none doubled, a resource set's use exact; what is half made goes, whatever ended its making;
a cloud-init drive that is to go goes, whatever happens to the server meanwhile. Sixty machines; five hundred with CADENZA_FULL=1."""
import collections
import concurrent.futures
import http.client
import os
import threading
import unittest
import urllib.request

import test_machines
from box import Refused, Server
from test_api import until
from test_machines import GIB, MIB
from websocket import WebSocket

N_CLIENTS = 10
N_MACHINES = 500 if os.environ.get("CADENZA_FULL") else 60


class Made(test_machines.Pool):
    """Creations from the template without disks."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        objects = cls.server.objects
        cls.template_id = next(each["id"] for each in objects(type="VM-template") if each["isDefaultTemplate"])
        cls.sr_id = next(sr["id"] for sr in objects(type="SR") if sr["content_type"] == "user" and sr["shared"])
        cls.network = objects(type="network")[0]["id"]

    def disk(self, **more):
        return dict(dict(SR=self.sr_id, size=8 * MIB, type="user"), **more)

    def client(self, email, password):
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        self.assertIn("result", socket.call("session.signIn", {"email": email, "password": password}))
        return socket

    def at_once(self, login, jobs):
        """Ten clients share the creations: the ids, and the errors, in the order of the jobs."""
        clients = [self.client(**login) for _ in range(N_CLIENTS)]

        def work(i):
            return [(at, clients[i].call("vm.create", dict(template=self.template_id, **jobs[at])))
                    for at in range(i, len(jobs), N_CLIENTS)]
        with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
            answers = dict(pair for pairs in pool.map(work, range(N_CLIENTS)) for pair in pairs)
        return [answers[i] for i in range(len(jobs))]

    def user(self, name):
        self.call("user.create", email=name, password="secret")
        return next(each["id"] for each in self.call("user.getAll") if each["email"] == name)

    def make_set(self, user, **limits):
        return self.call("resourceSet.create", name="a set", subjects=[user], objects=[self.template_id, self.sr_id, self.network],
                         limits=limits)["id"]

    def usage(self, set_):
        return {name: limit["usage"] for name, limit in self.call("resourceSet.get", id=set_)["limits"].items()}

    def leftovers(self, before):
        return [each for each in self.objects() if each["id"] not in before and each["type"] not in ("message", "task", "VDI-unmanaged")]


class Many(Made):
    def test_at_once(self):
        """Everything is there when the last call has answered, and nothing is there twice."""
        user = self.user("many")
        set_ = self.make_set(user, cpus=10000, memory=10000 * GIB, disk=10000 * GIB, vms=10000, disks=10000)
        jobs = [dict(name_label=f"m{i}", resourceSet=set_, CPUs=1 + i % 3, memory=(64 + i) * MIB, VDIs=[self.disk(), self.disk(size=4 * MIB)],
                     VIFs=[dict(network=self.network)], tags=[f"t{i}"]) for i in range(N_MACHINES)]
        answers = self.at_once(dict(email="many", password="secret"), jobs)
        self.assertEqual([answer["error"] for answer in answers if "error" in answer], [])
        ids = [answer["result"] for answer in answers]
        self.assertEqual(len(set(ids)), N_MACHINES)
        vms = {vm["id"]: vm for vm in self.objects(type="VM", resourceSet=set_)}
        self.assertEqual(set(vms), set(ids))
        self.assertEqual([(vms[id_]["name_label"], vms[id_]["tags"], vms[id_]["CPUs"]["number"]) for id_ in ids],
                         [(job["name_label"], job["tags"], job["CPUs"]) for job in jobs])
        self.assertEqual({(len(vm["VIFs"]), len(vm["$VBDs"])) for vm in vms.values()}, {(1, 2)})
        self.assertEqual(len({vif["MAC"] for vif in self.objects(type="VIF") if vif["$VM"] in vms}), N_MACHINES)
        self.assertEqual(self.usage(set_), {
            "vms": N_MACHINES, "disks": 2 * N_MACHINES, "disk": 12 * MIB * N_MACHINES, "cpus": sum(job["CPUs"] for job in jobs),
            "memory": sum(job["memory"] for job in jobs)})
        session = self.sim.session() # the pool's own word
        self.addCleanup(session.proxy("close"))
        records = session.call("VM.get_all_records").values()
        self.assertLessEqual(set(ids), {record["uuid"] for record in records})
        self.assertEqual([record["name_label"] for record in records if "being made" in record["name_label"]], [])
        self.assertEqual([vdi for vdi in session.call("VDI.get_all_records").values() if "cadenza:making" in vdi["other_config"]], [])
        for id_ in ids[:10]:
            self.call("vm.delete", id=id_)
        self.assertEqual(self.usage(set_)["vms"], N_MACHINES - 10)

    def test_limit_at_once(self):
        """As many as the limit lets, whoever comes first; no more, and no less."""
        user = self.user("some")
        set_ = self.make_set(user, vms=7, disk=9 * 8 * MIB)
        answers = self.at_once(dict(email="some", password="secret"), [
            dict(name_label=f"s{i}", resourceSet=set_, VDIs=[self.disk()], memory=64 * MIB) for i in range(20)])
        made = [answer["result"] for answer in answers if "result" in answer]
        self.assertEqual({answer["error"]["code"] for answer in answers if "error" in answer}, {24})
        self.assertEqual((len(made), self.usage(set_)), (7, {"vms": 7, "disk": 7 * 8 * MIB}))
        with concurrent.futures.ThreadPoolExecutor(5) as pool: # two more disks fit
            clients = [self.client("some", "secret") for _ in range(5)]
            answers = list(pool.map(lambda i: clients[i].call("disk.create", dict(name="d", size=8 * MIB, sr=self.sr_id, vm=made[i % 2])),
                                    range(5)))
        self.assertEqual(sorted("result" in answer for answer in answers), [False] * 3 + [True] * 2)
        self.assertEqual(self.usage(set_)["disk"], 9 * 8 * MIB)

    def test_addresses_at_once(self):
        """Of a pool of addresses, too, a set gets as many as its limit says, in whatever way they are asked for at once."""
        user = self.user("addressed")
        login = dict(email="addressed", password="secret")
        pool = self.call("ipPool.create", name="few", addresses={f"10.98.0.{i}": {} for i in range(40)}, networks=[self.network])
        limit = f"ipPool:{pool}"
        set_ = self.make_set(user, **{limit: 5})
        self.sim.control("/sim/faults", {"kind": "latency", "method": "VIF.create", "ms": 200})
        self.addCleanup(self.sim.control, "/sim/faults/clear", {})
        answers = self.at_once(login, [
            dict(name_label=f"a{i}", resourceSet=set_, memory=64 * MIB, VIFs=[dict(network=self.network, allowedIpv4Addresses=[f"10.98.0.{i}"])])
            for i in range(10)])
        made = [answer["result"] for answer in answers if "result" in answer]
        self.assertEqual({answer["error"]["code"] for answer in answers if "error" in answer}, {24})
        self.assertEqual((len(made), self.usage(set_)), (5, {limit: 5}))
        self.assertEqual([vm["name_label"] for vm in self.objects(type="VM") if vm.get("resourceSet") == set_ and vm["id"] not in made], [])
        self.call("resourceSet.addLimit", id=set_, limitId=limit, quantity=8)
        clients = [self.client(**login) for _ in range(5)]
        self.call("acl.add", subject=user, object=self.network, action="operator")
        with concurrent.futures.ThreadPoolExecutor(5) as workers: # three more fit
            answers = list(workers.map(lambda i: clients[i].call("vm.createInterface", dict(
                vm=made[i], network=self.network, allowedIpv4Addresses=[f"10.98.0.{20 + i}"])), range(5)))
        self.assertEqual(sorted("result" in answer for answer in answers), [False] * 2 + [True] * 3, answers)
        self.assertEqual(self.usage(set_), {limit: 8})
        vif = next(answer["result"] for answer in answers if "result" in answer)
        clients[0].call("vif.set", dict(id=vif, allowedIpv4Addresses=["10.98.0.30"])) # one for another needs no more
        self.assertEqual((self.view(vif)["allowedIpv4Addresses"], self.usage(set_)), (["10.98.0.30"], {limit: 8}))
        self.assertEqual(clients[0].call("vif.set", dict(id=vif, allowedIpv4Addresses=["10.98.0.30", "10.98.0.31"]))["error"]["code"], 24)
        for id_ in made:
            self.call("vm.delete", id=id_)
        self.assertEqual(self.usage(set_), {limit: 0})
        self.call("ipPool.delete", id=pool)

    def test_same_name_again(self):
        """What clients that go by names rest on (Terraform's provider finds a machine so after each change): a machine that was deleted is
        seen by nobody once that was answered, and one of the same name that follows it is never seen beside it."""
        user = self.user("namesake")
        login = dict(email="namesake", password="secret")
        set_ = self.make_set(user, vms=100, disk=100 * GIB)
        ended = threading.Event()

        def seen(client):
            answer = client.call("xo.getAllObjects", dict(filter=dict(type="VM", resourceSet=set_)))
            return collections.Counter(vm["name_label"] for vm in answer["result"].values())

        def look(client):
            n_looks = 0
            while not ended.is_set():
                names = seen(client)
                self.assertFalse([name for name, n in names.items() if n > 1], names)
                n_looks += 1
            return n_looks

        def work(i):
            client, admin, name = self.client(**login), self.client(self.server.user, self.server.password), f"namesake {i}"
            for turn in range(4):
                self.assertIn("result", client.call("token.create", {}))
                made = client.call("vm.create", dict(template=self.template_id, name_label=name, resourceSet=set_, VDIs=[self.disk()], memory=64 * MIB))
                self.assertIn("result", made, made)
                id_ = made["result"]
                self.assertEqual(seen(client)[name], 1)
                self.assertIn("result", client.call("vm.set", dict(id=id_, name_description=f"turn {turn}")))
                self.assertIn("result", admin.call("vm.snapshot", dict(id=id_, name=name))) # of that name, and no machine
                self.assertEqual(seen(client)[name], 1)
                self.assertIn("result", client.call("vm.delete", dict(id=id_)))
                self.assertEqual((seen(client)[name], client.call("xo.getAllObjects", dict(filter=dict(id=id_)))["result"]), (0, {}))
        lookers = [self.client(**login), self.client(self.server.user, self.server.password)]
        with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
            looks = [pool.submit(look, client) for client in lookers]
            workers = [pool.submit(work, i) for i in range(5)]
            try:
                for worker in workers:
                    worker.result()
            finally:
                ended.set()
            self.assertTrue(all(each.result() > 0 for each in looks))
        self.assertEqual(self.usage(set_), {"vms": 0, "disk": 0})
        self.call("resourceSet.delete", id=set_)

    def test_every_parameter(self):
        """All of the table, in either way of writing."""
        host = self.objects(type="host")[1]["id"]
        common = dict(template=self.template_id, clone=False)
        camel = dict(name_label="camel", name_description="d", CPUs=2, memoryMin=64 * MIB, memoryMax=128 * MIB, memoryStaticMax=256 * MIB,
                     VDIs=[self.disk(name_label="a", name_description="b")], VIFs=[dict(network=self.network)],
                     installation=dict(method="network", repository="pxe"), cloudConfig="#cloud-config\n", networkConfig="version: 2\n",
                     bootAfterCreate=False, coreOs=False, cpuCap=None, cpuWeight=300, coresPerSocket=2, secureBoot=True, expNestedHvm=True,
                     auto_poweron=True, high_availability="restart", hvmBootFirmware="uefi", vga="std", videoram=8, startDelay=3,
                     affinityHost=host, tags=["x"], acls=[], createVtpm=True, copyHostBiosStrings=True, pv_args="quiet")
        snake = dict(name_label="snake", name_description="d", cpus=2, memory_min=64 * MIB, memory_max=128 * MIB, memory_static_max=256 * MIB,
                     vdis=camel["VDIs"], vifs=camel["VIFs"], installation=camel["installation"], cloud_config="#cloud-config\n",
                     network_config="version: 2\n", boot_after_create=False, core_os=False, cpu_cap=None, cpu_weight=300,
                     cores_per_socket=2, secure_boot=True, exp_nested_hvm=True, auto_poweron=True, high_availability="restart",
                     hvm_boot_firmware="uefi", vga="std", videoram=8, start_delay=3, affinity_host=host, tags=["x"], acls=[],
                     create_vtpm=True, copy_host_bios_strings=True, pv_args="quiet")
        for params in (camel, snake):
            with self.subTest(params["name_label"]):
                vm = self.view(self.call("vm.create", **common, **params))
                self.assertEqual((vm["memory"]["dynamic"], vm["memory"]["static"][1]), ([64 * MIB, 128 * MIB], 256 * MIB))
                self.assertEqual((vm["CPUs"]["number"], vm["cpuWeight"], vm["coresPerSocket"], vm["startDelay"]), (2, 300, 2, 3))
                self.assertEqual((vm["secureBoot"], vm["expNestedHvm"], vm["auto_poweron"], vm["high_availability"]), (True, True, True, "restart"))
                self.assertEqual((vm["boot"]["firmware"], vm["boot"]["order"][0], vm["vga"], vm["videoram"]), ("uefi", "n", "std", 8))
                self.assertEqual((vm["affinityHost"], len(vm["VTPMs"]), len(vm["VIFs"])), (host, 1, 1))
                self.assertEqual(vm["bios_strings"]["system-manufacturer"], "Cadenza")
                self.assertEqual(sorted(self.view(self.view(vbd)["VDI"])["name_label"] for vbd in vm["$VBDs"]), ["XO CloudConfigDrive", "a"])
                self.call("vm.delete", id=vm["id"])
        self.refused(10, "vm.create", template=self.template_id, name_label="x", cloud_config=7)
        self.assertIn("vgpu", self.refused(0, "vm.create", template=self.template_id, name_label="x", vgpu_type="any").message)
        self.assertEqual(self.refused(0, "vm.create", template=self.template_id, name_label="x", gpuGroup="any").data, {"parameter": "gpuGroup"})


class Half(Made):
    """Each test ends the server in the middle."""
    def again(self):
        self.sockets.clear()
        self.__class__.server = Server(str(self.folder / "data"), options=("--cloud-drive-delay", 3), log=self.folder / "server.log")
        server = self.server
        if not hasattr(server, "password"):
            server.password = self.password
        until(lambda: self.objects(type="pool"), "the pool", 60)

    def setUp(self):
        if not hasattr(self.__class__, "password"):
            self.__class__.password = self.server.password

    def test_killed(self):
        """A server that dies while it makes a machine takes it down when it is back."""
        before = {each["id"] for each in self.objects()}
        socket = self.client(self.server.user, self.password)
        rule = self.sim.fault(kind="latency", method="VM.add_to_other_config", ms=60000) # a late step
        socket.ask("vm.create", dict(template=self.template_id, name_label="never", VDIs=[self.disk(), self.disk()],
                                     VIFs=[dict(network=self.network)], cloudConfig="#cloud-config\n"))
        until(lambda: len([vbd for vbd in self.objects(type="VBD") if vbd["id"] not in before]) == 3, "the disks of the machine", 60)
        half = next(vm for vm in self.objects(type="VM") if vm["id"] not in before)
        self.assertTrue(half["name_label"].startswith("never (being made"), half["name_label"])
        self.kill()
        self.sim.control("/sim/faults/clear", {})
        self.assertTrue(rule)
        self.again()
        until(lambda: self.leftovers(before) == [], "the half-made machine to go", 60)
        whole = self.call("vm.create", template=self.template_id, name_label="whole", VDIs=[self.disk()])
        self.kill()
        self.again()
        self.assertEqual(self.view(whole)["name_label"], "whole")

    def test_killed_moving(self):
        """So does one that dies with a disk of the template copied to another storage, and nowhere attached."""
        template = self.template()
        vbd = next(each for each in map(self.view, template["$VBDs"]) if not each["is_cd_drive"])
        other = next(sr["id"] for sr in self.objects(type="SR") if sr["content_type"] == "user" and sr["id"] != self.view(vbd["VDI"])["$SR"])
        before = {each["id"] for each in self.objects()}
        self.sim.fault(kind="latency", method="VBD.destroy", ms=60000)
        self.client(self.server.user, self.password).ask(
            "vm.create", dict(template=template["id"], name_label="never", existingDisks={vbd["position"]: {"$SR": other}}))
        until(lambda: [vdi for vdi in self.objects(type="VDI", **{"$SR": other}) if vdi["id"] not in before and not vdi["$VBDs"]],
              "the copy of the disk", 60)
        self.kill()
        self.sim.control("/sim/faults/clear", {})
        self.again()
        until(lambda: self.leftovers(before) == [], "the half-made machine to go", 60)

    def test_killed_installing(self):
        """So does one that dies with the disk of a supplemental pack in the pool."""
        def send(path):
            try:
                urllib.request.urlopen(urllib.request.Request(url + path, data=bytes(1 << 20), method="POST"), timeout=60).close()
            except (OSError, http.client.HTTPException):
                pass # the server was ended

        def packs():
            return [vdi for vdi in self.objects(type="VDI") if vdi["name_label"].startswith("[XO] Supplemental pack ISO")]
        host, url = self.objects(type="host")[0]["id"], self.server.url
        self.sim.fault(kind="latency", method="host.call_plugin", ms=60000)
        sender = threading.Thread(target=send, args=(self.call("host.installSupplementalPack", host=host)["$sendTo"],))
        sender.start()
        self.addCleanup(sender.join)
        until(packs, "the disk of the pack", 60)
        self.kill()
        self.sim.control("/sim/faults/clear", {})
        self.again()
        until(lambda: not packs(), "the disk to go", 60)

    def kill(self):
        for socket in self.sockets.values():
            socket.close()
        self.server.kill()
        self.server.process.stdout.close()
        self.server.log.close()

    def test_unreachable(self):
        """So does one that cannot reach the pool for a while."""
        before = {each["id"] for each in self.objects()}
        self.sim.fault(kind="error", method="VM.add_tags", error=["INTERNAL_ERROR", "for the test"])
        self.sim.fault(kind="error", method="VM.destroy", count=2, error=["INTERNAL_ERROR", "for the test"])
        with self.assertRaises(Refused):
            self.call("vm.create", template=self.template_id, name_label="never", VDIs=[self.disk()], tags=["a"])
        until(lambda: self.leftovers(before) == [], "the half-made machine to go", 60)

    def test_drive(self):
        """A cloud-init drive goes once the guest has reported and some time has passed, also when the server was ended meanwhile."""
        self.again_after_stop()
        root = self.disk(name_label="root")
        id_ = self.call("vm.create", template=self.template_id, name_label="cloudy", VDIs=[root], cloudConfig="#cloud-config\n",
                        destroyCloudConfigVdiAfterBoot=True, bootAfterCreate=True)
        keeps = self.call("vm.create", template=self.template_id, name_label="keeps", VDIs=[root], cloudConfig="#cloud-config\n",
                          bootAfterCreate=True)
        until(lambda: self.view(id_).get("pvDriversDetected"), "the tools", 60)
        self.again_after_stop()
        until(lambda: self.names(id_) == ["root"], "the drive to go", 60)
        self.assertEqual(self.view(id_)["power_state"], "Running")
        self.assertEqual(self.names(keeps), ["XO CloudConfigDrive", "root"])
        until(lambda: all(vdi["$VBDs"] for vdi in self.objects(type="VDI", name_label="XO CloudConfigDrive")), "its disk to go", 60)

    def names(self, vm):
        """Of its disks, from one answer: between two a disk may go."""
        objects = self.objects()
        disks = {vbd.get("VDI") for vbd in objects if vbd["type"] == "VBD" and vbd["VM"] == vm}
        return sorted(each["name_label"] for each in objects if each["id"] in disks)

    def again_after_stop(self):
        for socket in self.sockets.values():
            socket.close()
        self.assertEqual(self.server.stop(), 0)
        self.again()


if __name__ == "__main__":
    unittest.main()
