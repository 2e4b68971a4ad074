"""Machines and disks that move or are copied: between hosts, storages and pools, each method in its good way and in its refusals, with
both pools looked at afterwards."""
import json
import pathlib
import sys
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Sim  # noqa: E402
from test_api import NOWHERE, until  # noqa: E402
from test_machines import MIB, Pool  # noqa: E402


class Moves(Pool):
    SIM = ("--hosts", 2, "--vms", 8, "--running", "0.5", "--boot-delay", "0.1", "--disk-size", "8MiB", "--seed", 31)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.far = Sim("--hosts", 1, "--vms", 1, "--disk-size", "8MiB", "--boot-delay", "0.1", "--seed", 32, "--name", "far away",
                      "--listen", "127.0.11.1:0", log=cls.folder / "far.log")
        cls.addClassCleanup(cls.far.stop)
        cls.server.connect(cls.far)
        pools = {pool["name_label"]: pool["id"] for pool in cls.server.objects(type="pool")}
        cls.far_pool = pools.pop("far away")
        [cls.near_pool] = pools.values()

    def own(self, name, running=False):
        """A machine of this test alone."""
        state = next(vm for vm in self.objects(type="VM", power_state="Halted", **{"$pool": self.near_pool}))
        id_ = self.call("vm.clone", id=state["id"], name=name, full_copy=True)
        self.addCleanup(self.forget, id_)
        if running:
            self.call("vm.start", id=id_)
        return id_

    def forget(self, id_):
        if self.objects(id=id_):
            self.call("vm.delete", id=id_)

    def host(self, pool=None, not_=None):
        return next(host["id"] for host in self.objects(type="host", **{"$pool": pool or self.near_pool}) if host["id"] != not_)

    def storages(self, pool=None):
        """(shared, {host: local})"""
        all_ = [sr for sr in self.objects(type="SR", **{"$pool": pool or self.near_pool}) if sr["content_type"] == "user"]
        local = {self.view(pbd)["host"]: sr["id"] for sr in all_ if not sr["shared"] for pbd in sr["$PBDs"]}
        return next((sr["id"] for sr in all_ if sr["shared"]), None), local

    def disk(self, vm):
        [disk] = [self.view(vbd["VDI"]) for vbd in self.objects(type="VBD", VM=vm) if not vbd["is_cd_drive"]]
        return disk

    def everything(self, pool):
        return {each["id"] for type_ in ("VM", "VM-snapshot", "VDI", "VDI-snapshot", "VBD", "VIF")
                for each in self.objects(type=type_, **{"$pool": pool})}

    # --- vm.migrate ---

    def test_inside_the_pool(self):
        vm = self.own("moves", running=True)
        here = self.view(vm)["$container"]
        there = self.host(not_=here)
        self.call("vm.migrate", vm=vm, targetHost=there)
        self.assertEqual((self.view(vm)["$container"], self.view(vm)["power_state"]), (there, "Running"))
        disk, (shared, local) = self.disk(vm), self.storages()
        self.call("vdi.set", id=disk["id"], cbt=True)
        digest = self.sim.digest(disk["id"])
        snapshot = self.call("vm.snapshot", id=vm)
        self.call("vm.migrate", vm=vm, targetHost=here, sr=local[here])
        self.assertEqual((self.view(vm)["$container"], self.disk(vm)["$SR"]), (here, local[here]))
        self.assertEqual(self.sim.digest(self.disk(vm)["id"]), digest)
        self.assertEqual(self.disk(snapshot)["$SR"], local[here], "the snapshot follows")
        self.call("vm.migrate", vm=vm, targetHost=there) # whose own storage is not that
        self.assertIn(self.disk(vm)["$SR"], (shared, local[there]))
        self.call("vm.migrate", vm=vm, targetHost=here, mapVdisSrs={self.disk(vm)["id"]: local[here]}, bypassAssert=True)
        self.assertEqual(self.disk(vm)["$SR"], local[here])

    def test_to_another_pool(self):
        vm = self.own("emigrates", running=True)
        digest, mac = self.sim.digest(self.disk(vm)["id"]), self.view(self.view(vm)["VIFs"][0])["MAC"]
        target, network = self.host(self.far_pool), next(each["id"] for each in self.objects(type="network", **{"$pool": self.far_pool}))
        self.call("vm.migrate", vm=vm, targetHost=target, mapVifsNetworks={self.view(vm)["VIFs"][0]: network})
        view = self.view(vm)
        self.assertEqual((view["$pool"], view["power_state"], view["$container"]), (self.far_pool, "Running", target))
        vif = self.view(view["VIFs"][0])
        self.assertEqual((vif["$network"], vif["MAC"]), (network, mac))
        self.assertEqual(self.far.digest(self.disk(vm)["id"]), digest)
        back = self.host(self.near_pool)
        management = next(pif["$network"] for pif in self.objects(type="PIF", **{"$host": back}) if pif["management"])
        self.call("vm.stop", id=vm, force=True)
        self.call("vm.migrate", vm=vm, targetHost=back, sr=self.storages()[0], migrationNetwork=management)
        self.assertEqual((self.view(vm)["$pool"], self.view(vm)["power_state"]), (self.near_pool, "Halted"))
        self.assertEqual((self.disk(vm)["$SR"], self.sim.digest(self.disk(vm)["id"])), (self.storages()[0], digest))

    def test_migrate_refusals(self):
        vm, far = self.own("stays", running=True), self.host(self.far_pool)
        here = self.view(vm)["$container"]
        near, before = self.everything(self.near_pool), self.everything(self.far_pool)
        far_sr, near_sr = next(iter(self.storages(self.far_pool)[1].values()), None) or self.storages(self.far_pool)[0], self.storages()[0]
        self.refused(1, "vm.migrate", vm=vm, targetHost=NOWHERE)
        self.refused(1, "vm.migrate", vm=vm, targetHost=far, sr=vm)
        self.assertIn("not in the pool", self.refused(10, "vm.migrate", vm=vm, targetHost=far, sr=near_sr).message)
        self.refused(10, "vm.migrate", vm=vm, targetHost=far, mapVdisSrs={self.disk(vm)["id"]: near_sr})
        self.refused(10, "vm.migrate", vm=vm, targetHost=far, mapVifsNetworks={self.view(vm)["VIFs"][0]: 1})
        for code in ("VM_LACKS_FEATURE", "HOST_NOT_ENOUGH_FREE_MEMORY"):
            self.sim.fault(kind="error", method="VM.pool_migrate", error=[code, "1", "2"])
            data = self.refused(21, "vm.migrate", vm=vm, targetHost=here).data
            self.assertEqual((data["objectId"], data["code"]), (vm, code))
        self.far.fault(kind="error", method="VM.start_on", error=["NO_HOSTS_AVAILABLE"])
        refusal = self.refused(21, "vm.migrate", vm=vm, targetHost=far, sr=far_sr)
        self.assertEqual(refusal.data["code"], "NO_HOSTS_AVAILABLE")
        self.assertIn("VM stays", refusal.message)
        for _ in range(2):
            self.call("vm.snapshot", id=vm)
        refusal = self.refused(21, "vm.migrate", vm=vm, targetHost=far, sr=far_sr)
        self.assertEqual(refusal.data["code"], "VM_HAS_TOO_MANY_SNAPSHOTS")
        self.assertIn("delete all but one", refusal.message)
        for snapshot in self.view(vm)["snapshots"]:
            self.call("vm.delete", id=snapshot)
        self.assertEqual(self.everything(self.far_pool), before)
        self.assertEqual(self.everything(self.near_pool) ^ near, set())
        self.assertEqual(self.view(vm)["power_state"], "Running")
        self.sim.fault(kind="error", method="VM.migrate_send", error=["TOO_MANY_STORAGE_MIGRATES", "3"])
        self.call("vm.migrate", vm=vm, targetHost=here, sr=self.storages()[1][here]) # the second time
        self.assertEqual(self.disk(vm)["$SR"], self.storages()[1][here])

    # --- vdi.migrate ---

    def test_disks(self):
        shared, local = self.storages()
        for running in (False, True):
            vm = self.own("keeps its disk", running=running)
            disk = self.disk(vm)
            to = next(sr for sr in (shared, *local.values()) if sr != disk["$SR"] and (not running or sr in (shared, local[self.view(vm)["$container"]])))
            digest, position = self.sim.digest(disk["id"]), self.only(type="VBD", VDI=disk["id"])["position"]
            moved = self.call("vdi.migrate", id=disk["id"], sr_id=to)
            self.assertEqual((self.disk(vm)["id"], self.disk(vm)["$SR"], self.sim.digest(moved)), (moved, to, digest))
            self.assertEqual(self.objects(id=disk["id"]), [])
            vbd = self.only(type="VBD", VDI=moved)
            self.assertEqual((vbd["position"], vbd["attached"]), (position, running))
            self.assertEqual(self.call("vdi.migrate", id=moved, sr_id=to), moved, "it is there")

    def test_disk_refusals(self):
        vm = self.own("keeps it")
        disk, (shared, local) = self.disk(vm), self.storages()
        to = next(sr for sr in (shared, *local.values()) if sr != disk["$SR"])
        before = self.everything(self.near_pool)
        self.refused(1, "vdi.migrate", id=disk["id"], sr_id=vm)
        self.assertIn("not in the pool", self.refused(10, "vdi.migrate", id=disk["id"], sr_id=next(iter(
            self.storages(self.far_pool)[1].values()))).message)
        for method in ("VDI.copy", "VBD.create"):
            self.sim.fault(kind="error", method=method, error=["SR_BACKEND_FAILURE_44", "", "full", ""])
            self.assertIn("too little space", self.refused(-32000, "vdi.migrate", id=disk["id"], sr_id=to).message)
            self.assertEqual(self.disk(vm)["id"], disk["id"], method)
        left = {id_ for id_ in self.everything(self.near_pool) ^ before if self.objects(id=id_, type="VDI")}
        self.assertEqual(left, set(), "no copy is left over")

    # --- vm.warmMigration ---

    def test_warm(self):
        for running, pool, sim in ((True, self.far_pool, self.far), (False, self.near_pool, self.sim)):
            vm = self.own("goes warm", running=running)
            if running:
                until(lambda: self.view(vm).get("pvDriversDetected"), "the guest tools")
                self.sim.write(vm, 2 * MIB, seed=7)
            digest, shared = self.sim.digest(self.disk(vm)["id"]), next(iter(self.storages(pool)[1].values()))
            self.call("vm.warmMigration", vm=vm, sr=shared, startDestinationVm=running, deleteSourceVm=False)
            [there] = [each["id"] for each in self.objects(type="VM", name_label="goes warm") if each["id"] != vm]
            self.addCleanup(self.forget, there)
            self.assertEqual((self.view(there)["$pool"], self.view(there)["power_state"]), (pool, "Running" if running else "Halted"))
            self.assertEqual((self.disk(there)["$SR"], sim.digest(self.disk(there)["id"])), (shared, digest))
            self.assertEqual({self.view(vif)["MAC"] for vif in self.view(there)["VIFs"]}, {self.view(vif)["MAC"] for vif in self.view(vm)["VIFs"]})
            self.assertEqual((self.view(vm)["power_state"], self.view(vm)["snapshots"]), ("Halted", []))
            self.assertIn("warm migration", self.refused(5, "vm.start", id=vm).data["reason"])
            self.call("vm.set", id=vm, blockedOperations={"start": None, "start_on": None})
            self.call("vm.set", id=vm, name_label="stayed")
            self.call("vm.set", id=there, name_label="arrived")
        gone = self.own("leaves for good")
        self.call("vm.warmMigration", vm=gone, sr=shared, startDestinationVm=False, deleteSourceVm=True)
        self.assertEqual(self.objects(id=gone), [])
        self.forget(self.only(type="VM", name_label="leaves for good")["id"])

    def test_warm_refusals(self):
        vm = self.own("stays warm", running=True)
        until(lambda: self.view(vm).get("pvDriversDetected"), "the guest tools")
        sr = next(iter(self.storages(self.far_pool)[1].values()))
        near, far = self.everything(self.near_pool), self.everything(self.far_pool)
        how = dict(vm=vm, startDestinationVm=False, deleteSourceVm=True)
        self.refused(1, "vm.warmMigration", sr=NOWHERE, **how)
        self.refused(10, "vm.warmMigration", vm=vm, sr=sr)
        for method in ("VDI.create", "VM.create", "VIF.create", "VM.set_name_label"):
            self.far.fault(kind="error", method=method, error=["INTERNAL_ERROR", "broken"])
            self.assertIn("broken", self.refused(-32000, "vm.warmMigration", sr=sr, **how).message)
            until(lambda: self.view(vm)["power_state"] == "Running", f"it runs again after {method}")
        self.sim.fault(kind="error", method="VM.clean_shutdown", error=["VM_SHUTDOWN_TIMEOUT", vm, "1200"])
        self.refused(-32000, "vm.warmMigration", sr=sr, **how)
        self.assertEqual(self.view(vm)["power_state"], "Running")
        until(lambda: self.everything(self.far_pool) == far and self.everything(self.near_pool) == near, "nothing is left behind", 60)

    # --- vm.copy ---

    def test_copies(self):
        for running in (False, True):
            vm = self.own("the original", running=running)
            digest = self.sim.digest(self.disk(vm)["id"])
            for pool, sim, name, more in ((self.near_pool, self.sim, "a copy", {}), (self.far_pool, self.far, "far", {"compress": "zstd"}),
                                          (self.far_pool, self.far, "farther", {"compress": True})):
                shared, local = self.storages(pool)
                sr = next(iter(local.values()))
                copy = self.view(self.call("vm.copy", vm=vm, sr=sr, name=name, **more))
                self.addCleanup(self.forget, copy["id"])
                self.assertEqual((copy["$pool"], copy["type"], copy["name_label"], copy["power_state"]), (pool, "VM", name, "Halted"))
                self.assertEqual((self.disk(copy["id"])["$SR"], sim.digest(self.disk(copy["id"])["id"])), (sr, digest))
            self.assertEqual(self.view(vm)["snapshots"], [], "the snapshot that was copied is gone")
        self.assertEqual(self.view(self.call("vm.copy", vm=vm, sr=sr))["name_label"], "the original")

    def rest(self, path, body):
        request = urllib.request.Request(f"{self.server.url}/rest/v0/{path}", data=json.dumps(body).encode(), headers={
            "Content-Type": "application/json", "Cookie": "authenticationToken=" + self.server.env["CADENZA_TOKEN"]})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"null")

    def test_rest(self):
        """The same in REST's words."""
        vm, (shared, local) = self.own("by REST", running=True), self.storages()
        copy = self.rest(f"vms/{vm}/actions/clone?sync=true", {"srId": next(iter(self.storages(self.far_pool)[1].values()))})["id"]
        self.addCleanup(self.forget, copy)
        self.assertEqual((self.view(copy)["$pool"], self.view(copy)["name_label"]), (self.far_pool, "by REST_clone"))
        here = self.view(vm)["$container"]
        there = self.host(not_=here)
        self.rest(f"vms/{vm}/actions/migrate?sync=true", {"hostId": there, "srId": local[there]})
        self.assertEqual((self.view(vm)["$container"], self.disk(vm)["$SR"]), (there, local[there]))
        moved = self.rest(f"vdis/{self.disk(vm)['id']}/actions/migrate?sync=true", {"srId": shared})["id"]
        self.assertEqual((self.disk(vm)["id"], self.disk(vm)["$SR"]), (moved, shared))

    def test_copy_refusals(self):
        vm = self.own("never copied", running=True)
        near, far = self.everything(self.near_pool), self.everything(self.far_pool)
        sr = next(iter(self.storages(self.far_pool)[1].values()))
        self.refused(1, "vm.copy", vm=vm, sr=NOWHERE)
        self.refused(1, "vm.copy", vm=NOWHERE, sr=sr)
        self.sim.fault(kind="cut", path="/export", at=1 << 20)
        self.refused(-32000, "vm.copy", vm=vm, sr=sr)
        self.far.fault(kind="cut", path="/import", at=1 << 20)
        self.refused(-32000, "vm.copy", vm=vm, sr=sr)
        self.far.fault(kind="error", method="VM.set_name_label", error=["INTERNAL_ERROR", "broken"])
        self.refused(-32000, "vm.copy", vm=vm, sr=sr)
        until(lambda: self.everything(self.far_pool) == far, "nothing is left over there")
        self.far.fault(kind="answer", method="/import", value="<value></value>")
        self.assertRegex(self.refused(-32000, "vm.copy", vm=vm, sr=sr).message, "made no machine of the archive of VM never copied")
        for each in self.objects(type="VM", **{"$pool": self.far_pool}):
            if each["id"] not in far:  # it did, and nobody knows of it but that pool
                self.forget(each["id"])
        self.assertEqual(self.everything(self.near_pool), near)


if __name__ == "__main__":
    unittest.main()
