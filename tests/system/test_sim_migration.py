"""Machines that move in the simulator: inside a pool with their disks, and to another pool, which is a simulator of its own; every check
before, nothing left behind after a failure."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Sim  # noqa: E402
from simulated import NULL, Pool  # noqa: E402


class Migrations(Pool):
    options = ("--hosts", 2, "--vms", 8, "--running", "0.5", "--disk-size", "8MiB", "--boot-delay", "0.1", "--seed", 21)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = Sim("--hosts", 1, "--vms", 1, "--disk-size", "8MiB", "--boot-delay", "0.1", "--seed", 22, "--listen", "127.0.11.1:0")
        cls.addClassCleanup(cls.other.stop)
        cls.there = cls.other.session()
        cls.addClassCleanup(lambda: cls.there.proxy("close")())

    def network(self, session=None):
        """That of the management interfaces."""
        call = session.call if session else self.call
        return next(pif["network"] for pif in call("PIF.get_all_records").values() if pif["management"])

    def hosts(self):
        """(where the first machines run, the other one)"""
        return self.call("host.get_all")

    def ticket(self, host, session=None):
        call = session.call if session else self.call
        return call("host.migrate_receive", host, self.network(session), {})

    def there_sr(self):
        return next(ref for ref, sr in self.there.call("SR.get_all_records").items() if sr["content_type"] == "user")

    def srs(self):
        return {ref: sr for ref, sr in self.call("SR.get_all_records").items() if sr["content_type"] == "user"}

    def local_sr(self, host):
        return next(ref for ref, sr in self.srs().items() if not sr["shared"]
                    and any(self.call("PBD.get_host", pbd) == host for pbd in sr["PBDs"]))

    def vifs(self, vm):
        return {vif: self.network(self.there) for vif in self.call("VM.get_VIFs", vm)}

    def digests(self, vm):
        return [self.sim.digest(self.call("VDI.get_uuid", disk)) for disk in self.disks(vm)]

    # --- Inside the pool ---

    def test_storage_motion(self):
        vm = self.a_vm("Running")
        here = self.call("VM.get_resident_on", vm)
        away = next(host for host in self.hosts() if host != here)
        sr, before = self.local_sr(away), self.digests(vm)
        snapshot = self.call("VM.snapshot", vm, "goes along")
        [disk] = self.disks(vm)
        self.refused("VM_REQUIRES_SR", "VM.migrate_send", vm, self.ticket(away), True, {disk: self.local_sr(here)}, {}, {})
        moved = self.async_("VM.migrate_send", vm, self.ticket(away), True, {disk: sr}, {}, {})
        self.assertEqual(moved["status"], "success", moved)
        self.assertIn(vm, moved["result"])
        record = self.call("VM.get_record", vm)
        self.assertEqual((record["resident_on"], record["power_state"], record["current_operations"]), (away, "Running", {}))
        [new] = self.disks(vm)
        self.assertEqual((self.call("VDI.get_SR", new), self.digests(vm)), (sr, before))
        self.refused("HANDLE_INVALID", "VDI.get_record", disk)
        [kept] = self.disks(snapshot)
        self.assertEqual((self.call("VDI.get_SR", kept), self.call("VDI.get_snapshot_of", kept)), (sr, new))
        self.refused("VM_REQUIRES_SR", "VM.pool_migrate", vm, here, {})
        self.call("VDI.enable_cbt", new)
        shared = next(ref for ref, each in self.srs().items() if each["shared"])
        self.refused("VDI_CBT_ENABLED", "VM.assert_can_migrate", vm, self.ticket(here), True, {new: shared}, {}, {})
        self.call("VDI.disable_cbt", new)
        self.call("VM.migrate_send", vm, self.ticket(here), True, {new: shared}, {}, {})
        self.assertEqual(self.call("VM.get_resident_on", vm), here)

    def test_receiving(self):
        host = self.hosts()[0]
        self.assertEqual(set(self.ticket(host)), {"SM", "xenops", "master", "host", "session_id"})
        bare = next((pif for pif in self.call("PIF.get_all_records").values() if pif["host"] == host and not pif["IP"]), None)
        if bare:
            self.refused("INTERFACE_HAS_NO_IP", "host.migrate_receive", host, bare["network"], {})
        inner = self.call("network.create", dict(name_label="no host has it", name_description="", MTU=1500, other_config={}))
        self.refused("HOST_CANNOT_ATTACH_NETWORK", "host.migrate_receive", host, inner, {})
        self.refused("MISSING_CONNECTION_DETAILS", "VM.migrate_send", self.a_vm("Halted"), {"host": host}, True, {}, {}, {})

    # --- To another pool ---

    def go(self, vm, **more):
        """The parameters of a good migration to the other pool."""
        vdis = {disk: self.there_sr() for disk in self.disks(vm)}
        return [vm, self.ticket(self.there.call("host.get_all")[0], self.there), True, more.get("vdis", vdis),
                more.get("vifs", self.vifs(vm)), {}]

    def leaves(self, state):
        vm = self.a_vm(state)
        record, before, disks = self.call("VM.get_record", vm), self.digests(vm), self.disks(vm)
        macs = {self.call("VIF.get_MAC", vif) for vif in record["VIFs"]}
        self.call("VM.assert_can_migrate", *self.go(vm))
        arrived = self.call("VM.migrate_send", *self.go(vm))
        self.refused("HANDLE_INVALID", "VM.get_record", vm)
        for disk in disks:
            self.refused("HANDLE_INVALID", "VDI.get_record", disk)
        now = self.there.call("VM.get_record", arrived)
        self.assertEqual((now["uuid"], now["name_label"], now["power_state"]), (record["uuid"], record["name_label"], state))
        vifs = [self.there.call("VIF.get_record", vif) for vif in now["VIFs"]]
        self.assertEqual({vif["MAC"] for vif in vifs}, macs)
        self.assertEqual({vif["network"] for vif in vifs}, {self.network(self.there)})
        vbds = [self.there.call("VBD.get_record", vbd) for vbd in now["VBDs"]]
        uuids = [self.there.call("VDI.get_uuid", vbd["VDI"]) for vbd in vbds if vbd["type"] == "Disk"]
        self.assertEqual(sorted(map(self.other.digest, uuids)), sorted(before))
        self.assertTrue(all(vbd["currently_attached"] for vbd in vbds if vbd["type"] == "Disk") or state == "Halted")

    def test_running_one_leaves(self):
        self.leaves("Running")

    def test_halted_one_leaves(self):
        self.leaves("Halted")

    def test_snapshot_goes_along(self):
        """Also a snapshot whose disk is another one by now; over there the machine can be put back to it."""
        vm = self.a_vm("Halted")
        [disk] = self.disks(vm)
        then = self.digests(vm)
        snapshot = self.call("VM.snapshot", vm, "of that day")
        self.sim.control("/sim/write", {"vm": self.call("VM.get_uuid", vm), "bytes": 1 << 20, "seed": 5})
        now = self.digests(vm)
        self.assertNotEqual(then, now)
        record, disks = self.call("VM.get_record", snapshot), self.disks(snapshot)
        self.other.fault(kind="error", method="VIF.move", error=["INTERNAL_ERROR", "broken"])
        before = {cls: len(self.there.call(f"{cls}.get_all")) for cls in ("VM", "VDI", "VBD", "VIF")}
        if self.vifs(vm):
            self.refused("INTERNAL_ERROR", "VM.migrate_send", *self.go(vm))
        self.other.control("/sim/faults/clear", {})
        self.assertEqual({cls: len(self.there.call(f"{cls}.get_all")) for cls in before}, before)
        arrived = self.call("VM.migrate_send", *self.go(vm))
        for gone in disks + [disk]:
            self.refused("HANDLE_INVALID", "VDI.get_record", gone)
        self.refused("HANDLE_INVALID", "VM.get_record", snapshot)
        [there] = self.there.call("VM.get_snapshots", arrived)
        got = self.there.call("VM.get_record", there)
        for field in ("uuid", "name_label", "is_a_snapshot", "is_a_template", "snapshot_time", "snapshot_info"):
            self.assertEqual(got[field], record[field], field)
        self.assertEqual(got["snapshot_of"], arrived)
        vdis = {ref: [self.there.call("VBD.get_VDI", vbd) for vbd in self.there.call("VM.get_VBDs", ref)
                      if self.there.call("VBD.get_type", vbd) == "Disk"] for ref in (there, arrived)}
        digest = lambda ref: [self.other.digest(self.there.call("VDI.get_uuid", vdi)) for vdi in vdis[ref]]
        self.assertEqual((digest(there), digest(arrived)), (then, now))
        self.assertEqual([self.there.call("VDI.get_snapshot_of", vdi) for vdi in vdis[there]], vdis[arrived])
        self.there.call("VM.revert", there)
        uuids = [self.there.call("VDI.get_uuid", self.there.call("VBD.get_VDI", vbd)) for vbd in self.there.call("VM.get_VBDs", arrived)
                 if self.there.call("VBD.get_type", vbd) == "Disk"]
        self.assertEqual([self.other.digest(uuid) for uuid in uuids], then)

    def test_refusals(self):
        vm = self.a_vm("Halted")
        [disk] = self.disks(vm)
        self.assertEqual(self.refused("VDI_NOT_IN_MAP", "VM.assert_can_migrate", *self.go(vm, vdis={})), [disk])
        self.refused("VIF_NOT_IN_MAP", "VM.assert_can_migrate", *self.go(vm, vifs={}))
        self.assertEqual(self.refused("HANDLE_INVALID", "VM.migrate_send", *self.go(vm, vdis={disk: NULL})), ["SR", NULL])
        one = self.call("VM.snapshot", vm, "one")
        self.call("VM.assert_can_migrate", *self.go(vm))
        two = self.call("VM.snapshot", vm, "two")
        self.refused("VM_HAS_TOO_MANY_SNAPSHOTS", "VM.assert_can_migrate", *self.go(vm))
        for snapshot in (one, two):
            self.call("VM.destroy", snapshot)
        running = self.a_vm("Running")
        self.wait("the tools", lambda: "suspend" in self.call("VM.get_allowed_operations", running))
        memory = self.call("VM.checkpoint", running, "with memory")
        self.refused("VM_HAS_CHECKPOINT", "VM.assert_can_migrate", *self.go(running))
        self.call("VM.hard_shutdown", memory)
        self.call("VM.destroy", memory)
        self.call("VM.pause", running)
        self.refused("VM_BAD_POWER_STATE", "VM.migrate_send", *self.go(running))
        self.call("VM.unpause", running)
        self.call("VM.suspend", running)
        self.refused("NOT_IMPLEMENTED", "VM.migrate_send", *self.go(running))
        self.call("VM.resume", running, False, False)
        host = self.there.call("host.get_all")[0]
        self.there.call("host.disable", host)
        self.assertEqual(self.refused("HOST_DISABLED", "VM.migrate_send", *self.go(vm)), [host])
        self.there.call("host.enable", host)

    def test_failures_leave_nothing(self):
        """Whatever breaks over there: the machine is here, and nothing is there."""
        vm = self.a_vm("Running")
        def both():
            count = {cls: len(self.there.call(f"{cls}.get_all")) for cls in ("VM", "VDI", "VBD", "VIF")}
            return count, self.call("VM.get_power_state", vm), len(self.call("VDI.get_all"))
        before = both()
        for method in ("VDI.create", "VM.start_on"):
            self.other.fault(kind="error", method=method, error=["INTERNAL_ERROR", "broken"])
            self.refused("INTERNAL_ERROR", "VM.migrate_send", *self.go(vm))
            self.assertEqual(both(), before, method)
        self.other.fault(kind="cut", path="/import_raw_vdi", at=1 << 20)
        self.refused("VM_MIGRATE_FAILED", "VM.migrate_send", *self.go(vm))
        self.assertEqual(both(), before, "the disk was cut off")
        self.other.fault(kind="stall", path="/import_raw_vdi", at=1 << 20)
        task = self.call("Async.VM.migrate_send", *self.go(vm))
        self.wait("the migration is under way", lambda: "migrate_send" in self.call("VM.get_current_operations", vm).values())
        self.call("task.cancel", task)
        self.other.control("/sim/faults/clear", {})
        self.assertEqual(self.task(task)["status"], "cancelled")
        self.assertEqual(both(), before, "cancelled")
        self.assertEqual(self.call("VM.get_current_operations", vm), {})


if __name__ == "__main__":
    unittest.main()
