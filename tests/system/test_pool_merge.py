"""Pools of one host merged into another pool: what goes along, what is forgotten here, and every refusal, which leaves both as they
were."""
import json
import pathlib
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Sim  # noqa: E402
from test_api import until  # noqa: E402
from test_machines import Pool  # noqa: E402

PATIENCE = 60
MIB = 1 << 20
NOWHERE = "11111111-2222-4333-8444-555555555555"


class Merge(Pool):
    SIM = ("--hosts", 2, "--vms", 1, "--running", "0", "--boot-delay", "0.1", "--disk-size", "1MiB", "--seed", 81)

    def setUp(self):
        self.pool_id = self.only(type="pool")["id"]
        self.first = self.only(type="pool")["master"]
        self.server_id = self.call("server.getAll")[0]["id"]

    def newcomer(self, seed, *more):
        """A pool of one host, connected: the simulator and the pool's id. It listens at the same port, as pools do."""
        port = self.sim.plain_url.rsplit(":", 1)[1].strip("/")
        sim = Sim("--hosts", 1, "--vms", 1, "--running", "0", "--boot-delay", "0.1", "--disk-size", "1MiB", "--seed", seed,
                  "--listen", f"127.0.12.{seed}:{port}", *more)
        self.addCleanup(sim.stop)
        server = self.server.connect(sim)
        self.addCleanup(self.socket().call, "server.remove", {"id": server})
        return sim, next(pool["id"] for pool in self.objects(type="pool") if pool["id"] != self.pool_id)

    def of(self, pool, **filter_):
        return self.objects(**{"$pool": pool, **filter_})

    def forget_shared(self, pool):
        """The machine's disk lies in the host's own storage afterwards: its id."""
        vm, = self.of(pool, type="VM")
        local = next(sr for sr in self.of(pool, type="SR") if sr["SR_type"] == "ext")
        for vdi in [vbd["VDI"] for vbd in self.of(pool, type="VBD", VM=vm["id"]) if "VDI" in vbd and not vbd["is_cd_drive"]]:
            self.call("vdi.delete", id=vdi)
        for vbd in self.of(pool, type="VBD", VM=vm["id"], is_cd_drive=True):
            if "VDI" in vbd:
                self.call("vm.ejectCd", id=vm["id"])
        disk = self.call("disk.create", name="its own", size=4 * MIB, sr=local["id"], vm=vm["id"])
        for sr in self.of(pool, type="SR", shared=True):
            if sr["name_label"] != "XCP-ng Tools":
                self.call("sr.forget", id=sr["id"])
        return vm["id"], disk, local["id"]

    @staticmethod
    def refusal(sim):
        try:
            sim.session().proxy("close")()
        except Refused as refused:
            return refused
        return None

    def put(self, sim, uuid, **fields):
        return sim.control("/sim/objects", {"class": "host", "uuid": uuid, "fields": fields})

    def leave(self, host, *vms):
        """As the pool was before."""
        for vm in vms:
            self.call("vm.delete", id=vm)
        self.call("host.detach", id=host)
        until(lambda: len(self.of(self.pool_id, type="host")) == 2, "two hosts", PATIENCE)
        for server in self.call("server.getAll"):
            if server["id"] != self.server_id:
                self.call("server.remove", id=server["id"])


class Merging(Merge):
    def test_merging(self):
        sim, pool = self.newcomer(82)
        host = self.of(pool, type="host")[0]["id"]
        session = sim.session()
        # What is refused changes nothing.
        self.refused(10, "pool.mergeInto", target=self.pool_id)
        self.refused(10, "pool.mergeInto", target=self.pool_id, sources=[pool, self.pool_id])
        self.refused(1, "pool.mergeInto", target=self.pool_id, source=NOWHERE)
        self.refused(1, "pool.mergeInto", target=host, source=pool)
        self.assertIn("shared storages", self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool).message)
        self.assertIn("several hosts", self.refused(-32000, "pool.mergeInto", target=pool, source=self.pool_id).message)
        vm, disk, local = self.forget_shared(pool)
        self.call("vm.start", id=vm)
        self.assertIn("shut them down", self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool).message)
        self.call("vm.stop", id=vm, force=True)
        facts = session.call("host.get_software_version", session.call("host.get_by_uuid", host))
        for change, words in (({"product_version": "8.2.1"}, "8.2.1"), ({"product_brand": "XenServer"}, "XenServer pool")):
            self.put(sim, host, software_version={**facts, **change})
            until(lambda: all(value in json.dumps(self.view(host)) for value in change.values()), "another version", PATIENCE)
            self.assertIn(words, self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool).message)
        self.put(sim, host, software_version=facts)
        until(lambda: self.view(host)["productBrand"] == "XCP-ng", "the same version", PATIENCE)
        cpu = session.call("host.get_cpu_info", session.call("host.get_by_uuid", host))
        self.put(sim, host, cpu_info={**cpu, "vendor": "GenuineIntel"})
        self.assertIn("CPU vendor", self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool).message)
        self.assertEqual(sorted(each["id"] for each in self.objects(type="pool")), sorted([pool, self.pool_id]))
        self.assertEqual(len(self.of(self.pool_id, type="host")), 2)
        self.assertEqual(len(self.call("server.getAll")), 2)
        # The host, its storage, its machine, the machine's disk and snapshot go along; the connection is forgotten.
        sim.write(vm, 1 * MIB, 7)
        digest = sim.digest(disk)
        snapshot = self.call("vm.snapshot", id=vm, name="goes along")
        other = Sim("--hosts", 1, "--vms", 0, "--seed", 87)  # which has shared storages
        self.addCleanup(other.stop)
        refusing = self.server.connect(other)
        second = next(each["id"] for each in self.objects(type="pool") if each["id"] not in (pool, self.pool_id))
        error = self.refused(-32000, "pool.mergeInto", target=self.pool_id, sources=[pool, second], force=True)
        self.assertRegex(error.message, "1 of 2 pools were merged; then: .*shared storages")
        self.call("server.remove", id=refusing)
        self.assertEqual([each["id"] for each in self.objects(type="pool")], [self.pool_id])
        self.assertEqual([each["id"] for each in self.call("server.getAll")], [self.server_id])
        self.assertEqual(len(self.of(self.pool_id, type="host")), 3)
        view = self.view(host)
        self.assertEqual((view["$pool"], view["enabled"], view["power_state"]), (self.pool_id, True, "Running"))
        self.assertEqual((self.view(local)["$pool"], self.view(local)["$container"]), (self.pool_id, host))
        self.assertEqual({self.view(pbd)["SR"] for pbd in view["$PBDs"]}, {local} | {sr["id"] for sr in self.of(self.pool_id, type="SR", shared=True)})
        self.assertEqual({self.view(pif)["$network"] for pif in view["PIFs"]}, {self.view(pif)["$network"] for pif in self.view(self.first)["PIFs"]})
        machine = self.view(vm)
        self.assertEqual((machine["$pool"], machine["snapshots"], self.view(snapshot)["$snapshot_of"]), (self.pool_id, [snapshot], vm))
        moved, = [vbd["VDI"] for vbd in self.objects(type="VBD", VM=vm) if not vbd["is_cd_drive"]]
        self.assertEqual((self.view(moved)["$SR"], self.sim.digest(moved)), (local, digest))
        self.call("vm.start", id=vm)
        self.assertEqual((self.view(vm)["power_state"], self.view(vm)["$container"]), ("Running", host)) # its disk is there alone
        self.call("vm.stop", id=vm, force=True)
        # Who asks the host itself is sent to its master.
        refusal = until(lambda: self.refusal(sim), "the host is a member", PATIENCE)
        self.assertEqual((refusal.code, refusal.data), ("HOST_IS_SLAVE", [self.view(self.first)["address"]]))
        self.leave(host, vm)

    def test_join(self):
        """What the simulator itself refuses, in XAPI's words."""
        sim = Sim("--hosts", 1, "--vms", 1, "--running", "0", "--disk-size", "1MiB", "--seed", 85, "--op-delay", "1", "--listen",
                  f"127.0.12.85:{self.sim.plain_url.rsplit(':', 1)[1].strip('/')}")
        self.addCleanup(sim.stop)
        session = sim.session()
        address, password = self.view(self.first)["address"], self.sim.password

        def refused(code, method="pool.join", address=address, password=password):
            with self.assertRaises(Refused) as caught:
                session.call(method, address, "root", password)
            self.assertEqual(caught.exception.code, code)
        vm = next(ref for ref, vm in session.call("VM.get_all_records").items() if vm["power_state"] == "Halted" and not vm["is_a_template"])
        task = session.call("Async.VM.clone", vm, "slow")
        until(lambda: session.call("VM.get_current_operations", vm), "the cloning", PATIENCE)
        refused("JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS")
        until(lambda: session.call("task.get_status", task) == "success", "the clone", PATIENCE)
        for sr, record in session.call("SR.get_all_records").items():
            if record["shared"] and not record["is_tools_sr"]:
                for pbd in record["PBDs"]:
                    session.call("PBD.unplug", pbd)
                session.call("SR.forget", sr)
        refused("SESSION_AUTHENTICATION_FAILED", password="wrong")
        refused("JOINING_HOST_CONNECTION_FAILED", address="127.0.13.99")
        host = session.call("host.get_all")[0]
        uuid, facts = session.call("host.get_uuid", host), session.call("host.get_software_version", host)
        self.put(sim, uuid, software_version={**facts, "product_version": "8.2.1"})
        refused("HOSTS_NOT_COMPATIBLE", "pool.join_force")
        self.put(sim, uuid, software_version=facts)
        with self.assertRaises(Refused) as caught:
            self.sim.session().call("pool.admit_host", json.dumps({"uuid": self.first})) # it is here already
        self.assertEqual(caught.exception.code, "JOINING_HOST_SERVICE_FAILED")
        self.assertEqual(session.call("pool.get_master", session.call("pool.get_all")[0]), host)

    def rest(self, path, body):
        asked = urllib.request.Request(f"{self.server.url}/rest/v0/{path}", data=json.dumps(body).encode(), method="POST", headers={
            "Cookie": f"token={self.server.env['CADENZA_TOKEN']}", "Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"null")

    def task(self, host):
        id_ = self.rest(f"pools/{self.pool_id}/actions/add_host", {"host": host})["taskId"]
        asked = urllib.request.Request(f"{self.server.url}/rest/v0/tasks/{id_}?wait=true", headers={"Cookie": f"token={self.server.env['CADENZA_TOKEN']}"})
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return json.load(answer)

    def test_rest(self):
        """As a task, which fails with the reason or ends with the host in the pool."""
        _, pool = self.newcomer(83)
        host = self.of(pool, type="host")[0]["id"]
        failed = self.task(host)
        self.assertEqual(failed["status"], "failure")
        self.assertEqual(failed["result"]["code"], "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS")
        vm, _, _ = self.forget_shared(pool)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.rest(f"pools/{self.pool_id}/actions/add_host", {"host": NOWHERE})
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()
        self.assertEqual(self.task(host)["status"], "success")
        self.assertEqual((self.view(host)["$pool"], len(self.call("server.getAll"))), (self.pool_id, 1))
        self.leave(host, vm)

    def test_there_and_back(self):
        """A host that leaves its pool is a server of its own, connected as soon as it is no member any more."""
        self.call("server.disable", id=self.server_id)
        self.call("server.set", id=self.server_id, host=self.sim.plain_url)
        self.call("server.enable", id=self.server_id)
        sim, pool = self.newcomer(86)
        host = self.of(pool, type="host")[0]["id"]
        vm, _, _ = self.forget_shared(pool)
        self.call("pool.mergeInto", target=self.pool_id, source=pool)
        self.call("vm.delete", id=vm)
        self.call("host.detach", id=host)
        until(lambda: len(self.of(self.pool_id, type="host")) == 2, "two hosts", PATIENCE)
        # For now it answers as a member: that would be a second server of the pool.
        own = until(lambda: [each for each in self.call("server.getAll") if each.get("error", {}).get("code") == "EXISTS"], "a twin", PATIENCE)[0]
        self.addCleanup(self.call, "server.remove", id=own["id"])
        sim.control("/sim/objects", {"class": "pool", "uuid": pool, "fields": {"other_config": {}}})
        until(lambda: self.of(pool, type="host"), "its own pool", PATIENCE)
        self.assertEqual(self.view(host)["$pool"], pool)
        self.assertEqual(sorted(each.get("poolId") for each in self.call("server.getAll")), sorted([pool, self.pool_id]))

    def test_fault(self):
        """A pool that fails in the middle of the admission: the newcomer stays as it is."""
        _, pool = self.newcomer(84)
        self.forget_shared(pool)
        self.sim.fault(kind="error", method="SR.introduce", error=["INTERNAL_ERROR", "broken"])
        self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool)
        self.sim.control("/sim/faults/clear", {})
        until(lambda: len(self.of(self.pool_id, type="host")) == 2, "two hosts", PATIENCE)
        self.assertEqual((len(self.of(pool, type="VM")), len(self.of(pool, type="host"))), (1, 1))


class Patched(Merge):
    def test_patches(self):
        """What the one has and the other lacks is installed first, where it lies ready; else nothing is done."""
        sim, pool = self.newcomer(87)
        host = self.of(pool, type="host")[0]["id"]
        vm, _, _ = self.forget_shared(pool)

        def patches(id_):
            return sorted(self.view(patch)["name"] for patch in self.view(id_)["patches"])

        def make(where, cls, **fields):
            return where.control("/sim/objects", {"class": cls, "fields": fields})
        common = make(self.sim, "pool_update", name_label="XS-1")["ref"]
        self.sim.session().call("pool_update.pool_apply", common)
        until(lambda: patches(self.first) == ["XS-1"], "the patch", PATIENCE)
        told = self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool).message
        self.assertIn("XS-1", told)
        bad = make(sim, "pool_update", name_label="XS-1", other_config={"sim:precheck-fails": "UPDATE_PRECHECK_FAILED_OUT_OF_SPACE"})["ref"]
        told = self.refused(-32000, "pool.mergeInto", target=self.pool_id, source=pool).message
        self.assertIn("UPDATE_PRECHECK_FAILED_OUT_OF_SPACE", told)
        self.assertEqual((patches(host), len(self.of(self.pool_id, type="host"))), ([], 2))
        session = sim.session()
        session.call("pool_update.remove_from_other_config", bad, "sim:precheck-fails")
        session.call("pool_update.pool_apply", make(sim, "pool_update", name_label="XS-2")["ref"])
        make(self.sim, "pool_update", name_label="XS-2")
        until(lambda: patches(host) == ["XS-2"], "its own patch", PATIENCE)
        before = len(self.of(self.pool_id, type="host"))
        self.call("pool.mergeInto", target=self.pool_id, source=pool)
        self.assertEqual(len(self.of(self.pool_id, type="host")), before + 1)
        self.assertEqual(patches(self.first), ["XS-1", "XS-2"])
        self.leave(host, vm)


del Pool, Merge

if __name__ == "__main__":
    unittest.main()
