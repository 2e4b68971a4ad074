"""What is done to machines and their devices: each method of the table in its good way and in its refusals, with the records of the pool
looked at afterwards."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_api import NOWHERE, until  # noqa: E402
from test_machines import GIB, MIB, Pool  # noqa: E402


class Methods(Pool):
    SIM = ("--hosts", 2, "--vms", 6, "--running", "0.5", "--boot-delay", "0.1", "--disk-size", "8MiB", "--seed", 5)

    def own(self, name, running=False, **params):
        """A machine of this test alone, with its tools reporting when it runs."""
        id_ = self.call("vm.clone", id=self.vm()["id"], name=name, full_copy=False)
        self.addCleanup(self.forget, id_)
        if running:
            self.call("vm.start", id=id_)
            until(lambda: self.view(id_).get("pvDriversDetected"), "the guest tools")
        return id_

    def forget(self, id_):
        if self.objects(id=id_):
            self.call("vm.delete", id=id_)

    def state(self, vm):
        return self.view(vm)["power_state"]

    def disks(self, vm):
        return {vbd["position"]: self.view(vbd["VDI"]) for vbd in self.objects(type="VBD", VM=vm) if not vbd["is_cd_drive"]}

    # --- Power ---

    def test_recovery_start(self):
        vm = self.own("in trouble")
        order = self.record("VM", vm)["HVM_boot_params"].get("order")
        self.call("vm.recoveryStart", id=vm)
        self.assertEqual(self.state(vm), "Running")
        self.assertEqual(self.record("VM", vm)["HVM_boot_params"].get("order"), order, "only this once")
        self.call("vm.set", id=vm, blockedOperations={"start": "not now"})
        self.call("vm.stop", id=vm, force=True)
        self.assertEqual(self.refused(5, "vm.recoveryStart", id=vm).data["reason"], "not now")
        self.assertEqual(self.record("VM", vm)["HVM_boot_params"].get("order"), order)
        self.refused(1, "vm.recoveryStart", id=NOWHERE)

    def test_set_and_restart(self):
        vm = self.own("grows", running=True)
        self.call("vm.setAndRestart", id=vm, CPUs=3, name_label="has grown")
        view = self.view(vm)
        self.assertEqual((view["CPUs"]["number"], view["name_label"], view["power_state"]), (3, "has grown", "Running"))
        self.refused(10, "vm.setAndRestart", id=vm, CPUs=0, force=True)
        self.assertEqual(self.state(vm), "Running", "it runs again, whatever became of the change")
        self.refused(10, "vm.setAndRestart", id=vm, colour="blue")
        self.call("vm.stop", id=vm, force=True)
        self.assertEqual(self.refused(13, "vm.setAndRestart", id=vm, CPUs=2).data["actual"], "halted")

    # --- Snapshots ---

    def test_snapshots(self):
        vm = self.own("photographed", running=True)
        disk = self.disks(vm)["0"]["id"]
        id_ = self.call("vm.snapshot", id=vm, name="as it is", description="", saveMemory=False)
        record = self.record("VM", id_)
        self.assertEqual((record["name_label"], record["is_a_template"], record["power_state"]), ("as it is", False, "Halted"))
        self.assertEqual(len(self.disks(id_)), 1)
        with_memory = self.call("vm.snapshot", id=vm, saveMemory=True)
        self.assertEqual(self.record("VM", with_memory)["power_state"], "Suspended")
        self.assertRegex(self.view(with_memory)["name_label"], r"^photographed_\d{4}-")
        self.call("vdi.set", id=disk, name_label="scratch [NOSNAP]")
        self.assertEqual(self.disks(self.call("vm.snapshot", id=vm)), {})
        self.call("vm.stop", id=vm, force=True)
        off = self.call("vm.snapshot", id=vm, saveMemory=True)
        self.assertEqual(self.record("VM", off)["power_state"], "Halted", "a machine that is off has no memory")
        self.assertEqual(len(self.view(vm)["snapshots"]), 4)
        self.sim.fault(kind="error", method="VM.set_is_a_template", error=["INTERNAL_ERROR", "broken"])
        self.refused(-32000, "vm.snapshot", id=vm)
        self.assertEqual(len(self.view(vm)["snapshots"]), 4, "what was half made went again")

    def test_revert(self):
        vm = self.own("goes back", running=True)
        running = self.call("vm.snapshot", id=vm)
        memory = self.call("vm.snapshot", id=vm, saveMemory=True)
        self.call("vm.stop", id=vm, force=True)
        off = self.call("vm.snapshot", id=vm)
        self.call("vm.set", id=vm, name_description="changed")
        for snapshot, state in ((running, "Running"), (memory, "Running"), (off, "Halted")):
            self.call("vm.revert", snapshot=snapshot)
            self.assertEqual(self.state(vm), state)
        self.assertEqual(self.view(vm)["name_description"], self.view(off)["name_description"])
        self.call("vm.revert", snapshot=off, snapshotBefore=True)
        self.assertEqual(len(self.view(vm)["snapshots"]), 4)
        self.refused(1, "vm.revert", snapshot=vm)

    def test_coalesce(self):
        vm = self.own("chained")
        self.call("vm.coalesceLeaf", id=vm)
        answer = self.sim.fault(kind="answer", method="host.call_plugin", value="Success")
        self.call("vm.coalesceLeaf", id=vm)
        self.assertEqual([rule["left"] for rule in self.sim.control("/sim/faults") if rule["id"] == answer], [0], "the plug-in was called")
        self.sim.control("/sim/faults/clear", {})
        self.sim.fault(kind="error", method="host.call_plugin", error=["XENAPI_MISSING_PLUGIN", "coalesce-leaf"])
        self.assertIn("coalesce-leaf", self.refused(-32000, "vm.coalesceLeaf", id=vm).message)
        self.refused(1, "vm.coalesceLeaf", id=NOWHERE)

    # --- Templates ---

    def test_templates(self):
        vm = self.own("to be many")
        snapshot = self.call("vm.snapshot", id=vm, name="frozen")
        self.call("vm.copyToTemplate", id=snapshot)
        template = self.only(type="VM-template", name_label="frozen")
        self.assertEqual(len(template["$VBDs"]), len(self.view(vm)["$VBDs"]))
        self.call("vm.delete", id=template["id"])
        self.assertEqual(self.view(snapshot)["type"], "VM-snapshot")
        self.refused(1, "vm.copyToTemplate", id=vm)
        self.call("vm.convertToTemplate", id=vm)
        self.assertEqual(self.view(vm)["type"], "VM-template")
        other = self.own("an older name")
        self.call("vm.convert", id=other)
        self.assertEqual(self.view(other)["type"], "VM-template")
        running = self.own("busy", running=True)
        self.assertEqual(self.refused(13, "vm.convertToTemplate", id=running).data["expected"], "halted")

    def test_cloud_init(self):
        template = next(each for each in self.objects(type="VM-template"))
        self.assertTrue(self.call("vm.getCloudInitConfig", template=template["id"]).startswith("#cloud-config"))
        vm, sr = self.own("told who it is"), self.sr()["id"]
        self.call("vm.createCloudInitConfigDrive", vm=vm, sr=sr, config="#cloud-config\n", networkConfig="version: 2\n")
        drive = next(disk for disk in self.disks(vm).values() if disk["name_label"] == "XO CloudConfigDrive")
        self.assertEqual(drive["$SR"], sr)
        n_before = len(self.objects(type="VDI"))
        self.sim.fault(kind="error", method="VBD.create", error=["INTERNAL_ERROR", "broken"])
        self.refused(-32000, "vm.createCloudInitConfigDrive", vm=vm, sr=sr, config="x")
        self.assertEqual(len(self.objects(type="VDI")), n_before, "no drive is left over")
        self.refused(1, "vm.createCloudInitConfigDrive", vm=vm, sr=vm, config="x")

    # --- Block devices ---

    def test_positions(self):
        vm, sr = self.own("rearranged"), self.sr()["id"]
        first = self.disks(vm)["0"]["id"]
        second = self.call("disk.create", name="second", size=4 * MIB, sr=sr, vm=vm, position="5")
        def places():
            return {disk["id"]: at for at, disk in self.disks(vm).items()}
        def vbd(vdi):
            return self.only(type="VBD", VDI=vdi)["id"]
        self.call("vbd.set", id=vbd(second), position=7)
        self.assertEqual(places(), {first: "0", second: "7"})
        self.call("vbd.set", id=vbd(second), position="0")
        self.assertEqual(places(), {first: "7", second: "0"}, "the other takes its place")
        self.call("vbd.set", id=vbd(first))
        self.refused(10, "vbd.set", id=vbd(first), position="here")
        self.refused(10, "vbd.set", id=vbd(first), position=256)
        self.call("vm.start", id=vm)
        self.assertIn("in use", self.refused(10, "vbd.set", id=vbd(first), position=0).message)
        self.call("vbd.setBootable", vbd=vbd(first), bootable=True)
        self.assertTrue(self.view(vbd(first))["bootable"])
        self.assertEqual(places(), {first: "7", second: "0"})

    def test_drive(self):
        vm = self.own("reads CDs")
        images = [vdi["id"] for vdi in self.objects(type="VDI") if self.view(vdi["$SR"])["content_type"] == "iso"][:2]
        if not images:
            self.skipTest("the simulated pool has no images")
        def inside():
            return [vbd.get("VDI") for vbd in self.objects(type="VBD", VM=vm) if vbd["is_cd_drive"]]
        for image in images:
            self.call("vm.insertCd", id=vm, cd_id=image)
            self.assertEqual(inside(), [image])
        self.refused(-32000, "vm.insertCd", id=vm, cd_id=images[0], force=False)
        self.assertEqual(inside(), [images[-1]])
        self.call("vm.ejectCd", id=vm)
        self.assertFalse(any(inside()))
        self.call("vm.insertCd", id=vm, cd_id=images[0], force=False)
        self.assertEqual(inside(), [images[0]])
        self.refused(1, "vm.insertCd", id=vm, cd_id=NOWHERE)

    # --- Network interfaces ---

    def test_interfaces(self):
        vm = self.own("on the net", running=True)
        networks = [each["id"] for each in self.objects(type="network")[:2]]
        vif = self.call("vm.createInterface", vm=vm, network=networks[0], mac="00:16:3e:11:11:11")
        self.assertEqual(self.call("vif.set", id=vif, lockingMode="locked", allowedIpv4Addresses=["10.0.0.7"], rateLimit=512,
                                   txChecksumming=False, attached=False), vif)
        view = self.view(vif)
        self.assertEqual((view["lockingMode"], view["allowedIpv4Addresses"], view["rateLimit"]), ("locked", ["10.0.0.7"], 512))
        self.assertFalse(view["attached"] or view["txChecksumming"])
        self.call("vif.set", id=vif, rateLimit=None, txChecksumming=True, attached=True)
        view = self.view(vif)
        self.assertNotIn("rateLimit", view)
        self.assertTrue(view["attached"] and view["txChecksumming"])
        self.call("vif.set", id=vif, rateLimit=256)
        moved = self.call("vif.set", id=vif, network=networks[1])
        self.assertNotEqual(moved, vif)
        self.assertEqual(self.objects(id=vif), [])
        view = self.view(moved)
        self.assertEqual((view["$network"], view["MAC"], view["lockingMode"], view["allowedIpv4Addresses"], view["attached"]),
                         (networks[1], "00:16:3e:11:11:11", "locked", ["10.0.0.7"], True))
        self.assertEqual(view["rateLimit"], 256)
        renamed = self.call("vif.set", id=moved, mac="00:16:3e:22:22:22", attached=False)
        self.assertEqual((self.view(renamed)["MAC"], self.view(renamed)["attached"]), ("00:16:3e:22:22:22", False))
        self.refused(-32000, "vif.set", id=renamed, mac="not a mac")
        back = self.only(type="VIF", device=view["device"], **{"$VM": vm})
        self.assertEqual(back["MAC"], "00:16:3e:22:22:22", "what failed is as it was")
        self.refused(10, "vif.set", id=back["id"], lockingMode="ajar")
        self.refused(1, "vif.set", id=back["id"], network=vm)


if __name__ == "__main__":
    unittest.main()
