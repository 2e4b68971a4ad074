"""Resource sets: who may make machines without rights of their own, from what, and how much."""
import unittest

import test_machines
from test_machines import GIB, MIB

class Sets(test_machines.Pool):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        call = cls.server.call
        cls.user = call("user.create", email="sue", password="secret")
        cls.group = call("group.create", name="team")
        cls.sue = dict(email="sue", password="secret")
        objects = cls.server.objects
        cls.template_id = next(each["id"] for each in objects(type="VM-template") if each["isDefaultTemplate"])
        cls.sr_id = next(sr["id"] for sr in objects(type="SR") if sr["content_type"] == "user" and sr["shared"])
        cls.network = objects(type="network")[0]["id"]

    def make_set(self, **more):
        return self.call("resourceSet.create", **dict(dict(name="a set", subjects=[self.user], objects=[
            self.template_id, self.sr_id, self.network]), **more))

    def make_vm(self, set_, login, **more):
        vm = self.call("vm.create", login, **dict(dict(
            template=self.template_id, name_label="theirs", resourceSet=set_["id"], CPUs=2, memory=GIB,
            VDIs=[dict(SR=self.sr_id, size="1 GiB", type="user")], VIFs=[dict(network=self.network)]), **more))
        self.addCleanup(self.call, "vm.delete", id=vm)
        return vm

    def test_records(self):
        set_ = self.make_set(limits={"cpus": 4, "memory": {"total": 5, "available": 5}}, tags=["t"])
        self.assertEqual(set_, {"id": set_["id"], "name": "a set", "subjects": [self.user], "ipPools": [], "shareByDefault": False,
                                "objects": [self.template_id, self.sr_id, self.network], "tags": ["t"],
                                "limits": {"cpus": {"total": 4, "usage": 0}, "memory": {"total": 5, "usage": 0}}})
        id_ = set_["id"]
        self.call("resourceSet.addLimit", id=id_, limitId="disk", quantity=7)
        self.call("resourceSet.removeLimit", id=id_, limitId="cpus")
        self.call("resourceSet.addSubject", id=id_, subject=self.group)
        self.call("resourceSet.removeSubject", id=id_, subject=self.user)
        self.call("resourceSet.removeObject", id=id_, object=self.network)
        self.call("resourceSet.addObject", id=id_, object=self.sr_id) # is there already
        self.call("resourceSet.set", id=id_, name="other", limits={"vms": 1})
        set_ = self.call("resourceSet.get", id=id_)
        self.assertEqual((set_["name"], set_["subjects"], set_["limits"]), ("other", [self.group], {"vms": {"total": 1, "usage": 0}}))
        self.assertEqual(sorted(set_["objects"]), sorted([self.template_id, self.sr_id]))
        self.refused(2, "resourceSet.get", self.sue, id=id_)
        self.assertEqual([each for each in self.call("resourceSet.getAll", self.sue) if each["id"] == id_], [])
        self.refused(2, "resourceSet.delete", self.sue, id=id_)
        self.refused(10, "resourceSet.create", name="x", limits={"cpus": "many"})
        self.call("resourceSet.delete", id=id_)
        for method in ("get", "delete", "set"):
            self.refused(1, f"resourceSet.{method}", id=id_)

    def test_limits(self):
        set_ = self.make_set(limits={"cpus": 5, "memory": 3 * GIB, "disk": 2 * GIB, "vms": 2}, tags=["owned"])
        vm = self.make_vm(set_, self.sue, tags=["mine"])
        view = self.view(vm)
        self.assertEqual((view["resourceSet"], sorted(view["tags"]), view["creation"]["user"]),
                         (set_["id"], ["mine", "owned"], self.user))
        limits = self.call("resourceSet.get", self.sue, id=set_["id"])["limits"]
        self.assertEqual({name: limit["usage"] for name, limit in limits.items()}, {"cpus": 2, "memory": GIB, "disk": GIB, "vms": 1})
        self.call("vm.start", self.sue, id=vm) # who made it may do everything with it
        self.call("vm.stop", self.sue, id=vm, force=True)
        error = self.refused(24, "vm.create", self.sue, template=self.template_id, name_label="x", resourceSet=set_["id"], CPUs=4,
                             memory=GIB, VDIs=[dict(SR=self.sr_id, size="2 GiB", type="user")])
        self.assertEqual(sorted(each["resourceType"] for each in error.data), ["cpus", "disk"])
        self.refused(24, "disk.create", self.sue, name="d", size="2 GiB", sr=self.sr_id, vm=vm)
        self.call("disk.create", self.sue, name="d", size="512 MiB", sr=self.sr_id, vm=vm)
        self.refused(24, "vm.set", self.sue, id=vm, CPUs=6)
        self.call("vm.set", self.sue, id=vm, CPUs=5)
        self.refused(2, "vm.set", self.sue, id=vm, resourceSet=None)
        self.make_vm(set_, None, CPUs=64) # administrators are not bound
        self.refused(24, "vm.create", self.sue, template=self.template_id, name_label="x", resourceSet=set_["id"], CPUs=1)

    def test_copies(self):
        """A copy takes of the set what the machine has, however it is made; administrators are not bound."""
        set_ = self.make_set(limits={"cpus": 5, "memory": 3 * GIB, "disk": 4 * GIB, "vms": 2})
        vm = self.make_vm(set_, self.sue)
        self.call("acl.add", subject=self.user, object=self.sr_id, action="operator")
        self.addCleanup(self.call, "acl.remove", subject=self.user, object=self.sr_id, action="operator")
        clone = self.call("vm.clone", self.sue, id=vm, name="second", full_copy=False)
        self.addCleanup(self.call, "vm.delete", id=clone)
        limits = self.call("resourceSet.get", id=set_["id"])["limits"]
        self.assertEqual({name: limit["usage"] for name, limit in limits.items()}, {"cpus": 4, "memory": 2 * GIB, "disk": 2 * GIB, "vms": 2})
        n_before = len(self.objects(type="VM"))
        for method, params in (("vm.clone", dict(id=vm, name="third", full_copy=False)), ("vm.clone", dict(id=vm, name="third", full_copy=True)),
                               ("vm.copy", dict(vm=vm, sr=self.sr_id, name="third"))):
            error = self.refused(24, method, self.sue, **params)
            self.assertEqual(sorted(each["resourceType"] for each in error.data), ["cpus", "vms"])
        self.assertEqual(len(self.objects(type="VM")), n_before)
        for method, params in (("vm.clone", dict(id=vm, name="third", full_copy=False)), ("vm.copy", dict(vm=vm, sr=self.sr_id, name="fourth"))):
            self.addCleanup(self.call, "vm.delete", id=self.call(method, **params))
        self.assertEqual(self.call("resourceSet.get", id=set_["id"])["limits"]["vms"]["usage"], 4)

    def test_objects(self):
        set_ = self.make_set()
        other = next(sr["id"] for sr in self.objects(type="SR") if sr["content_type"] == "user" and sr["id"] != self.sr_id)
        for wrong in (dict(VDIs=[dict(SR=other, size=MIB, type="user")]), dict(VIFs=[dict(network=self.objects(type="network")[1]["id"])])):
            self.refused(2, "vm.create", self.sue, template=self.template_id, name_label="x", resourceSet=set_["id"], **wrong)
        self.refused(2, "vm.create", self.sue, template=self.template_id, name_label="x")
        self.refused(1, "vm.create", self.sue, template=self.template_id, name_label="x", resourceSet="none")
        strange = self.make_set(subjects=[])
        self.refused(2, "vm.create", self.sue, template=self.template_id, name_label="x", resourceSet=strange["id"])

    def test_disks_of_a_template(self):
        """Whoever may use a template sees its disks, and can say what shall become of each; those of others stay unseen."""
        clone = self.call("vm.clone", id=self.vm()["id"], name="with a disk", full_copy=False)
        self.call("vm.convertToTemplate", id=clone)
        set_ = self.make_set(objects=[clone, self.sr_id, self.network])

        def seen(type_):
            return list(self.call("xo.getAllObjects", self.sue, filter={"type": type_}).values())
        vbd, = [each for each in seen("VBD") if not each["is_cd_drive"]]
        self.assertEqual((vbd["VM"], [each["id"] for each in seen("VDI")]), (clone, [vbd["VDI"]]))
        self.refused(2, "vdi.set", self.sue, id=vbd["VDI"], name_label="mine")
        vm = self.call("vm.create", self.sue, template=clone, name_label="grown", resourceSet=set_["id"], VDIs=[
            dict(SR=self.sr_id, size="1 GiB", type="user", name_label="mine", userdevice=vbd["position"])])
        disk, = [self.view(each["VDI"]) for each in self.objects(type="VBD", VM=vm) if "VDI" in each]
        self.assertEqual((disk["name_label"], disk["size"], disk["$SR"]), ("mine", GIB, self.sr_id))
        strange = next(sr["id"] for sr in self.objects(type="SR") if sr["content_type"] == "user" and sr["id"] != self.sr_id)
        for wrong in (dict(existingDisks={vbd["position"]: {"$SR": strange}}), dict(existingDisks={vbd["position"]: {"SR": strange}}),
                      dict(VDIs=[{"userdevice": vbd["position"], "$SR": strange}])):
            self.refused(2, "vm.create", self.sue, template=clone, name_label="moved", resourceSet=set_["id"], **wrong)
        for id_ in (vm, clone):
            self.call("vm.delete", id=id_)

    def test_membership(self):
        set_ = self.make_set(subjects=[self.group, self.user])
        vm = self.make_vm(set_, None, share=True)
        rules = {rule["subject"]: rule["action"] for rule in self.call("acl.get") if rule["object"] == vm}
        self.assertEqual(rules, {self.group: "admin", self.user: "admin"})
        self.call("vm.set", id=vm, resourceSet=None)
        self.assertNotIn("resourceSet", self.view(vm))
        self.refused(2, "vm.start", self.sue, id=vm)
        self.call("vm.set", id=vm, resourceSet=set_["id"])
        self.call("vm.set", self.sue, id=vm, name_description="mine again")
        self.call("resourceSet.delete", id=set_["id"])
        self.assertNotIn("resourceSet", self.view(vm))


if __name__ == "__main__":
    unittest.main()
