"""What the Terraform provider xenorchestra (and Pulumi's, which is the same) asks of the server: each of its resources created, read,
updated, deleted and imported, each of its data sources, by the calls it makes and in their order, answers read as its Go code reads them."""
import json
import time
import unittest
import urllib.request

import test_machines
import go_reader # noqa: I001 (test_machines makes it known where)
from box import Refused
from test_machines import GIB, MIB

BOOT = {"firmware": "string", "order": "string"}
VM = {"addresses": "map[string]string", "blockedOperations": "map[string]string", "boot": BOOT, "type": "string", "id": "string",
      "affinityHost": "*string", "name_description": "string", "name_label": "string", "CPUs": {"number": "int", "max": "int"},
      "coresPerSocket": "*int", "expNestedHvm": "bool", "memory": {"dynamic": "[]int", "static": "[]int", "size": "int"},
      "power_state": "string", "VIFs": "[]string", "$VBDs": "[]string", "virtualizationMode": "string", "$poolId": "string",
      "creation": {"date": "string", "template": "string", "user": "string"}, "auto_poweron": "bool", "high_availability": "string",
      "resourceSet": "*string", "secureBoot": "bool", "tags": "[]string", "videoram": "int", "vga": "string", "startDelay": "int",
      "$container": "string", "xenStoreData": "map[string]any", "managementAgentDetected": "bool", "pvDriversDetected": "bool"}
CPUS = {"cores": "int64", "sockets": "int64"}
#: What the provider lists, by type of object.
STRUCTS = {
    "VM": VM,
    "VM-template": {"id": "string", "uuid": "string", "boot": BOOT, "name_label": "string", "$poolId": "string", "$VBDs": "[]string",
                    "template_info": {"arch": "string", "disks": "[]any"}},
    "VDI": {"id": "string", "$SR": "string", "name_label": "string", "name_description": "string", "size": "int", "$VBDs": "[]string",
            "parent": "string", "$poolId": "string", "tags": "[]string"},
    "VBD": {"id": "string", "attached": "bool", "device": "string", "read_only": "bool", "VM": "string", "VDI": "string",
            "is_cd_drive": "bool", "position": "string", "bootable": "bool", "$poolId": "string"},
    "VIF": {"id": "string", "attached": "bool", "$network": "string", "device": "string", "MAC": "string", "$VM": "string"},
    "network": {"automatic": "bool", "id": "string", "name_label": "string", "name_description": "string", "bridge": "string",
                "defaultIsLocked": "bool", "$poolId": "string", "MTU": "int", "PIFs": "[]string", "nbd": "bool", "insecureNbd": "bool"},
    "PIF": {"device": "string", "$host": "string", "$network": "string", "id": "string", "uuid": "string", "$poolId": "string",
            "attached": "bool", "vlan": "int", "isBondMaster": "bool", "isBondSlave": "bool", "bondSlaves": "[]string", "bondMaster": "string"},
    "pool": {"id": "string", "name_label": "string", "name_description": "string", "cpus": CPUS, "default_SR": "string", "master": "string"},
    "host": {"id": "string", "name_label": "string", "tags": "[]any", "$pool": "string", "memory": {"usage": "int", "size": "int"}, "cpus": CPUS},
    "SR": {"id": "string", "uuid": "string", "name_label": "string", "$poolId": "string", "SR_type": "string", "$container": "string",
           "physical_usage": "int", "size": "int", "usage": "int", "tags": "[]string"},
    "bond": {"master": "string", "mode": "string", "id": "string", "uuid": "string", "$poolId": "string"},
}
DISK = {"bootable": "bool", "device": "string", "size": "int", "type": "string", "SR": "string"}
LIMIT = {"available": "int", "total": "int"}
RESOURCE_SET = {"id": "string", "name": "string", "subjects": "[]string", "objects": "[]string", "limits": {"cpus": LIMIT, "memory": LIMIT,
                                                                                                           "disk": LIMIT}}
CLOUD_CONFIG = {"name": "string", "template": "string", "id": "string"}
ACL = {"id": "string", "subject": "string", "object": "string", "action": "string"}
USER = {"id": "string", "email": "string", "groups": "[]string", "permission": "string", "preferences": "any"}


class Provider(test_machines.Pool):
    """The Go client: what it calls, what it reads."""
    SIM = (*test_machines.Pool.SIM, "--nbd", "secure") # the two ways exclude each other

    def go(self, type_, method, **params):
        return go_reader.read(self.call(method, **params), type_, method)

    def list(self, cls, **wanted):
        """All of a class, then what matches, as the client does: a field asked for with an empty value matches anything."""
        answer = self.call("xo.getAllObjects", filter={"type": cls})
        objects = go_reader.read(answer, "map[string]any", cls)
        read = [go_reader.read(value, STRUCTS[cls], f"{cls} {key}") for key, value in objects.items()]
        if cls == "VM":
            for vm in read: # both indexes are read of each machine
                self.assertEqual((len(vm["memory"]["static"]), len(vm["memory"]["dynamic"])), (2, 2), vm["id"])
        return [each for each in read if all(each[field] == value for field, value in wanted.items() if value)]

    def one(self, cls, **wanted):
        found = self.list(cls, **wanted)
        self.assertEqual(len(found), 1, f"{cls} {wanted}")
        return found[0]

    def wait(self, what, ready, pending, target):
        """StateChangeConf: at once, then after 100 ms, 200 ms …; a state that is neither pending nor the target ends it."""
        pause, until = 0.1, time.monotonic() + 120
        while time.monotonic() < until:
            state = ready()
            if state == target:
                return
            self.assertIn(state, pending, what)
            time.sleep(pause)
            pause = min(pause * 2, 1)
        self.fail(f"{what}: never {target}")

    def pool_view(self):
        return self.one("pool")

    def read_vm(self, id_):
        """Everything that a read of the resource takes: the machine, its interfaces, its disks, its drives."""
        vm = self.one("VM", id=id_)
        vifs = self.list("VIF", **{"$VM": id_})
        for vif in vifs:
            self.assertTrue(vif["MAC"] and vif["$network"] and vif["device"].isdigit(), vif)
        disks, drives = [], []
        for vbd in self.list("VBD", VM=id_):
            if vbd["is_cd_drive"]:
                drives += [self.one("VDI", id=vbd["VDI"])] if vbd["VDI"] else []
            else:
                self.assertTrue(vbd["VDI"] and vbd["position"].isdigit() and vbd["$poolId"], vbd)
                disks.append(dict(self.one("VDI", id=vbd["VDI"]), vbd=vbd))
        hidden = [disk for disk in disks if disk["name_label"] == "XO CloudConfigDrive"]
        disks = sorted((disk for disk in disks if disk not in hidden), key=lambda disk: int(disk["vbd"]["position"]))
        return dict(vm, vifs=sorted(vifs, key=lambda vif: int(vif["device"])), disks=disks, drives=drives, hidden=hidden)


class Machine(Provider):
    """resource xenorchestra_vm"""
    def disk_template(self):
        """A template with a disk, as people keep them."""
        clone = self.call("vm.clone", id=self.vm()["id"], name="disk template", full_copy=False)
        self.call("vm.convertToTemplate", id=clone)
        self.addCleanup(self.call, "vm.delete", id=clone)
        return clone

    def create(self, template, running=True, wait_for=None, xen_store=None, memory_min=None, blocked=None, **more):
        """The calls of a creation; the id."""
        found = self.one("VM-template", id=template)
        for disk in found["template_info"]["disks"]:
            go_reader.read(disk, DISK, "template_info.disks")
        for vbd in (vbd for vbd in self.list("VBD") if vbd["VM"] == template and not vbd["is_cd_drive"]):
            self.assertTrue(vbd["position"].isdigit() and self.one("VDI", id=vbd["VDI"]))
        params = dict(affinityHost=None, bootAfterCreate=running, name_label="terraform", name_description="by a test", template=template, coreOs=False,
                      cpuCap=None, cpuWeight=None, CPUs=2, memoryMax=GIB, existingDisks={}, VDIs=[], VIFs=[], tags=[], auto_poweron=False,
                      secureBoot=False, expNestedHvm=False, high_availability="", hvmBootFirmware="bios", vga="std", videoram=8, startDelay=0,
                      clone=True)
        params.update(more)
        id_ = self.go("string", "vm.create", **{key: value for key, value in params.items() if key != "affinityHost" or value})
        self.assertEqual(self.one("VM", id=id_)["id"], id_) # at once
        setting = dict(id=id_, xenStoreData=xen_store or {})
        if memory_min:
            setting["memoryMin"] = memory_min
        self.go("bool", "vm.set", **setting)
        if running:
            self.wait("the start", lambda: self.one("VM", id=id_)["power_state"], ("Halted", "Stopped"), "Running")
        if wait_for is not None:
            self.wait("the address", lambda: any(key.startswith(f"{wait_for}/ipv4/") and value.startswith("10.") for key, value in
                                                 self.one("VM", id=id_)["addresses"].items()), (False,), True)
        if blocked:
            self.go("bool", "vm.set", id=id_, blockedOperations={name: "true" for name in blocked})
        return id_

    def update(self, vm, **more):
        params = dict(id=vm["id"], name_label=vm["name_label"], name_description=vm["name_description"], auto_poweron=vm["auto_poweron"],
                      high_availability=vm["high_availability"], CPUs=vm["CPUs"]["number"], expNestedHvm=vm["expNestedHvm"],
                      startDelay=vm["startDelay"], secureBoot=vm["secureBoot"], blockedOperations={}, vga=vm["vga"], videoram=vm["videoram"],
                      xenStoreData={}, affinityHost=None)
        self.go("bool", "vm.set", **dict(params, **more))
        return self.read_vm(vm["id"])

    def halt(self, id_):
        self.wait("the tools", lambda: self.one("VM", id=id_)["pvDriversDetected"], (False,), True)
        self.go("bool", "vm.stop", id=id_)
        self.wait("the stop", lambda: self.one("VM", id=id_)["power_state"], ("Running", "Stopped"), "Halted")

    def destroy(self, id_):
        self.call("vm.delete", id=id_)
        self.assertEqual(self.list("VM", id=id_), [])

    def test_life(self):
        """From a template with a disk, with cloud-init, waiting for an address; then everything that an update does."""
        template, network = self.disk_template(), self.list("network")[0]["id"]
        source = self.list("VBD", VM=template)
        size = self.one("VDI", id=next(vbd["VDI"] for vbd in source if not vbd["is_cd_drive"]))["size"]
        sr = self.one("SR", id=self.pool_view()["default_SR"])["id"]
        id_ = self.create(template, wait_for=0, xen_store={"vm-data/a": "1"}, memory_min=512 * MIB, blocked=["destroy"], tags=["one"],
                          VDIs=[{"$SR": sr, "SR": sr, "name_label": "root", "name_description": "of it", "size": size, "type": "user", "userdevice":
                                 next(vbd["position"] for vbd in source if not vbd["is_cd_drive"])}],
                          VIFs=[{"network": network, "mac": ""}, {"network": network, "mac": "00:16:3e:11:22:33"}],
                          cloudConfig="#cloud-config\nhostname: it\n", networkConfig="version: 2\n", resourceSet=None)
        vm = self.read_vm(id_)
        self.assertEqual((vm["CPUs"]["number"], vm["memory"]["dynamic"], vm["power_state"]), (2, [512 * MIB, GIB], "Running"))
        self.assertEqual([(vif["attached"], vif["device"]) for vif in vm["vifs"]], [(True, "0"), (True, "1")])
        self.assertEqual(vm["vifs"][1]["MAC"], "00:16:3e:11:22:33")
        self.assertEqual([(disk["name_label"], disk["size"], disk["vbd"]["attached"]) for disk in vm["disks"]], [("root", size, True)])
        self.assertEqual((len(vm["hidden"]), vm["blockedOperations"], vm["tags"]), (1, {"destroy": "true"}, ["one"]))
        self.assertEqual((vm["xenStoreData"]["vm-data/a"], vm["boot"]["firmware"], vm["resourceSet"]), ("1", "bios", None))
        self.assertTrue(vm["managementAgentDetected"] and vm["pvDriversDetected"] and vm["creation"]["template"] and vm["$container"])
        self.refused(5, "vm.delete", id=id_)
        # networks
        self.go("bool", "vif.disconnect", id=vm["vifs"][1]["id"])
        self.go("bool", "vif.delete", id=vm["vifs"][1]["id"])
        added = self.go("string", "vm.createInterface", network=network, vm=id_)
        self.assertTrue(self.one("VIF", id=added)["attached"])
        for method, attached in (("vif.disconnect", False), ("vif.connect", True)):
            self.go("bool", method, id=added)
            self.assertEqual(self.one("VIF", id=added)["attached"], attached)
        # disks
        disk = self.go("string", "disk.create", name="more", size=16 * MIB, sr=sr, vm=id_)
        self.go("bool", "vdi.set", id=disk, name_description="", name_label="renamed")
        vbd = self.one("VBD", VDI=disk)
        self.go("bool", "vbd.disconnect", id=vbd["id"])
        self.go("bool", "vdi.set", id=disk, size=32 * MIB)
        self.go("bool", "vbd.connect", id=vbd["id"])
        self.assertEqual([(each["name_label"], each["size"]) for each in self.read_vm(id_)["disks"]], [("root", size), ("renamed", 32 * MIB)])
        self.go("bool", "vbd.disconnect", id=vbd["id"])
        self.go("bool", "vdi.delete", id=disk)
        self.wait("the disk to go", lambda: len(self.list("VDI", id=disk)), (1,), 0)
        # drives
        image = self.one("VDI", name_label="debian-12.iso")["id"]
        self.go("bool", "vm.insertCd", id=id_, cd_id=image)
        self.assertEqual([each["id"] for each in self.read_vm(id_)["drives"]], [image])
        self.go("bool", "vm.ejectCd", id=id_)
        self.assertEqual(self.read_vm(id_)["drives"], [])
        # what needs a halt, and the rest
        self.halt(id_)
        host = self.list("host")[1]["id"]
        vm = self.update(self.read_vm(id_), name_label="renamed", name_description="", CPUs=4, memoryMax=2 * GIB, memoryStaticMax=2 * GIB,
                         auto_poweron=True, high_availability="best-effort", affinityHost=host, startDelay=5, expNestedHvm=True,
                         coresPerSocket=2, blockedOperations={"destroy": None, "copy": "true"}, xenStoreData={"vm-data/a": None, "vm-data/b": "2"},
                         hvmBootFirmware="uefi", secureBoot=True, videoram=16, vga="cirrus")
        self.assertEqual((vm["name_label"], vm["name_description"], vm["CPUs"]["number"], vm["memory"]["static"][1]), ("renamed", "", 4, 2 * GIB))
        self.assertEqual((vm["auto_poweron"], vm["high_availability"], vm["affinityHost"], vm["startDelay"]), (True, "best-effort", host, 5))
        self.assertEqual((vm["expNestedHvm"], vm["coresPerSocket"], vm["blockedOperations"], vm["boot"]["firmware"]), (True, 2, {"copy": "true"}, "uefi"))
        self.assertEqual((vm["secureBoot"], vm["videoram"], vm["vga"], vm["xenStoreData"]), (True, 16, "cirrus", {"vm-data/b": "2"}))
        self.assertEqual(self.update(vm)["affinityHost"], None)
        # power
        self.go("bool", "vm.start", id=id_)
        for method, state in (("vm.pause", "Paused"), ("vm.start", "Running"), ("vm.suspend", "Suspended"), ("vm.start", "Running")):
            self.wait("the tools", lambda: state != "Suspended" or self.one("VM", id=id_)["pvDriversDetected"], (False,), True)
            self.go("bool", method, id=id_)
            self.wait(state, lambda: self.one("VM", id=id_)["power_state"], ("Running", "Paused", "Suspended"), state)
        # tags
        self.go("bool", "tag.remove", id=id_, tag="one")
        self.go("bool", "tag.add", id=id_, tag="two")
        self.assertEqual(self.read_vm(id_)["tags"], ["two"])
        self.destroy(id_)
        self.assertEqual(self.list("VM", id=id_), []) # a read of what is gone takes it out of the state

    def test_installation(self):
        """Without a disk of the template's: from a drive, and from the network; halted at the end when that is wanted."""
        template = next(each["id"] for each in self.list("VM-template") if each["name_label"] == "Other install media")
        sr, image, network = self.pool_view()["default_SR"], self.one("VDI", name_label="debian-12.iso")["id"], self.list("network")[0]["id"]
        disk = {"SR": sr, "$SR": sr, "name_label": "root", "name_description": "", "size": 16 * MIB, "type": "user"}
        cd = self.create(template, running=False, VDIs=[disk], VIFs=[{"network": network}], installation=dict(method="cdrom", repository=image))
        vm = self.read_vm(cd)
        self.assertEqual((vm["power_state"], [each["id"] for each in vm["drives"]], vm["boot"]["order"][0]), ("Halted", [image], "d"))
        self.assertEqual((vm["addresses"], vm["managementAgentDetected"], vm["coresPerSocket"]), ({}, False, vm["coresPerSocket"]))
        pxe = self.create(template, VDIs=[disk, dict(disk, name_label="data")], installation=dict(method="network", repository="pxe"))
        vm = self.read_vm(pxe)
        self.assertEqual(([each["name_label"] for each in vm["disks"]], vm["boot"]["order"][0], vm["vifs"]), (["root", "data"], "n", []))
        for id_ in (cd, pxe):
            self.destroy(id_)

    def test_tools(self):
        """Without tools a machine cannot be stopped cleanly: the provider hears of it with the code that it knows, and waits for them."""
        template = next(each["id"] for each in self.list("VM-template") if each["name_label"] == "Other install media")
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        id_ = self.create(template, running=False, VDIs=[], installation=dict(method="network", repository="pxe"))
        session.call("VM.add_to_other_config", session.call("VM.get_by_uuid", id_), "sim:tools", "slow")
        self.go("bool", "vm.start", id=id_)
        with self.assertRaises(Refused) as caught:
            self.call("vm.stop", id=id_)
        self.assertEqual(caught.exception.code, 10)
        self.halt(id_)
        self.destroy(id_)

    def test_in_a_resource_set(self):
        """Made by somebody who has only a set; moved out and in by an administrator."""
        self.call("user.create", email="tf", password="secret")
        user = next(each["id"] for each in self.go("[]any", "user.getAll", dummy="dummy") if each["email"] == "tf")
        template = next(each["id"] for each in self.list("VM-template") if each["name_label"] == "Other install media")
        sr, network = self.pool_view()["default_SR"], self.list("network")[0]["id"]
        set_ = self.go(RESOURCE_SET, "resourceSet.create", name="tf", subjects=[user], objects=[template, sr, network],
                       limits={"cpus": {"available": 4, "total": 4}})
        login, call = dict(email="tf", password="secret"), self.call
        self.call = lambda method, login_=None, **params: call(method, login_ or login, **params)
        try:
            self.assertEqual(self.go(USER, "session.getUser", dummy="dummy")["email"], "tf")
            self.call("vm.create", template=template, name_label="own", resourceSet=set_["id"], CPUs=3, memoryMax=GIB, bootAfterCreate=False,
                      VDIs=[dict(SR=sr, size=16 * MIB, type="user")], VIFs=[dict(network=network)], tags=[])
            with self.assertRaises(Refused) as caught:
                self.call("vm.create", template=template, name_label="more", resourceSet=set_["id"], CPUs=3, VDIs=[], VIFs=[])
            self.assertEqual(caught.exception.code, 24)
        finally:
            del self.call
        vm = self.one("VM", name_label="own")
        self.assertEqual(vm["resourceSet"], set_["id"])
        self.assertIsNone(self.update(vm, resourceSet=None)["resourceSet"])
        self.assertEqual(self.update(vm, resourceSet=set_["id"])["resourceSet"], set_["id"])
        self.destroy(vm["id"])
        self.call("resourceSet.delete", id=set_["id"])


class Others(Provider):
    """The other resources."""
    def test_cloud_config(self):
        template = "#cloud-config\n# é, \"quoted\", {name}\nhostname: {name}%\n\n"
        self.call("cloudConfig.create", name="tf", template=template)
        all_ = self.go("[]any", "cloudConfig.getAll")
        record = next(each for each in (go_reader.read(each, CLOUD_CONFIG) for each in all_) if (each["name"], each["template"]) == ("tf", template))
        self.assertTrue(record["id"] and all(each["name"] for each in all_))
        self.assertIs(self.go("bool", "cloudConfig.delete", id=record["id"]), True)
        self.assertNotIn(record["id"], [each["id"] for each in self.go("[]any", "cloudConfig.getAll")])

    def network_when(self, id_, **wanted):
        self.wait("the network", lambda: {key: self.one("network", id=id_)[key] for key in wanted} == wanted, (False,), True)
        return self.one("network", id=id_)

    def test_network(self):
        pool = self.pool_view()
        pif = self.one("PIF", vlan=-1, device="eth1", **{"$host": pool["master"]})
        id_ = self.go("string", "network.create", pool=pool["id"], name="tf", description="d", mtu=1400, pif=pif["id"], vlan=22)
        self.go("bool", "network.set", id=id_, automatic=True, defaultIsLocked=True, nbd=False)
        network = self.network_when(id_, automatic=True, nbd=False)
        self.assertEqual((network["MTU"], network["defaultIsLocked"], network["name_description"], network["$poolId"]), (1400, True, "d", pool["id"]))
        first = self.one("PIF", id=network["PIFs"][0])
        self.assertEqual((first["vlan"], first["device"]), (22, "eth1"))
        self.go("bool", "network.set", id=id_, automatic=False, nbd=True, name_label="other", name_description="", defaultIsLocked=False)
        network = self.network_when(id_, automatic=False, nbd=True)
        self.assertEqual((network["name_label"], network["name_description"], network["defaultIsLocked"]), ("other", "", False))
        self.go("bool", "network.delete", id=id_)
        self.assertEqual(self.list("network", id=id_), [])

    def test_bonded_network(self):
        pool = self.pool_view()
        pifs = [self.one("PIF", vlan=-1, device="eth1", **{"$host": pool["master"]})["id"]]
        pifs += [pif["id"] for pif in self.list("PIF", vlan=-1) if pif["$host"] == pool["master"] and pif["device"] not in ("eth0", "eth1")]
        if len(pifs) < 2: # the others carry the management
            pifs = [pif["id"] for pif in self.list("PIF", vlan=-1) if pif["$host"] == pool["master"]]
        made = self.go("map[string]any", "network.createBonded", pool=pool["id"], name="tf bond", description="d", mtu=1500,
                       bondMode="active-backup", pifs=pifs)
        id_ = go_reader.read(made["uuid"], "string")
        network = self.network_when(id_, automatic=False)
        self.assertTrue(network["PIFs"])
        masters = [pif for pif in self.list("PIF") if pif["id"] in network["PIFs"] and pif["isBondMaster"]] # an import
        self.assertTrue(masters and all(len(pif["bondSlaves"]) >= 2 for pif in masters))
        bond = next(bond for bond in self.list("bond") if bond["master"] == masters[0]["id"])
        self.assertEqual(bond["mode"], "active-backup")
        self.go("bool", "network.delete", id=id_)
        self.assertEqual(self.list("network", id=id_), [])
        self.assertEqual([bond for bond in self.list("bond") if bond["$poolId"] == pool["id"]], [])

    def test_acl(self):
        self.call("user.create", email="acl", password="secret")
        user = next(go_reader.read(each, USER)["id"] for each in self.call("user.getAll", dummy="dummy") if each["email"] == "acl")
        vm = self.vm()["id"]
        rule = dict(subject=user, object=vm, action="viewer")
        self.go("bool", "acl.add", **rule)
        found = [each for each in (go_reader.read(each, ACL) for each in self.call("acl.get", dummy="dummy"))
                 if dict(each, id="") == dict(rule, id="")]
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0]["id"])
        self.go("bool", "acl.add", **rule) # an update is a removal and an addition; twice is once
        self.assertEqual([each["id"] for each in self.call("acl.get", dummy="dummy") if each["subject"] == user], [found[0]["id"]])
        self.assertIs(self.call("acl.remove", **rule), True)
        self.assertEqual([each for each in self.call("acl.get", dummy="dummy") if each["subject"] == user], [])
        self.assertIs(self.call("user.delete", id=user), True)

    def test_resource_set(self):
        sr, network = self.pool_view()["default_SR"], self.list("network")[0]["id"]
        made = self.go(RESOURCE_SET, "resourceSet.create", name="tf", subjects=[], objects=[sr],
                       limits={name: {"available": 10 * GIB, "total": 10 * GIB} for name in ("cpus", "memory", "disk")})
        self.assertEqual((made["objects"], made["limits"]["memory"]["total"]), ([sr], 10 * GIB))

        def read():
            found = [each for each in (go_reader.read(each, RESOURCE_SET) for each in self.call("resourceSet.getAll", id="dummy"))
                     if each["id"] == made["id"]]
            self.assertEqual(len(found), 1)
            return found[0]
        self.assertEqual(read(), made)
        self.go("bool", "resourceSet.addLimit", id=made["id"], limitId="cpus", quantity=7)
        self.go("bool", "resourceSet.removeLimit", id=made["id"], limitId="disk")
        user = self.go(USER, "session.getUser", dummy="dummy")["id"]
        self.go("bool", "resourceSet.addSubject", id=made["id"], subject=user)
        self.go("bool", "resourceSet.addObject", id=made["id"], object=network)
        self.go("bool", "resourceSet.removeObject", id=made["id"], object=sr)
        now = read()
        self.assertEqual((now["subjects"], now["objects"]), ([user], [network]))
        self.assertEqual([now["limits"][name]["total"] for name in ("cpus", "memory", "disk")], [7, 10 * GIB, 0])
        self.go("bool", "resourceSet.removeSubject", id=made["id"], subject=user)
        self.go("bool", "resourceSet.delete", id=made["id"])
        self.assertEqual([each for each in self.call("resourceSet.getAll", id="dummy") if each["id"] == made["id"]], [])

    def upload(self, sr, name, data):
        token = self.go("string", "token.create")
        request = urllib.request.Request(f"{self.server.url}/rest/v0/srs/{sr}/vdis?raw=true&name_label={name}", data=data, method="POST", headers={
            "Content-Type": "application/octet-stream", "Cookie": f"authenticationToken={token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.assertEqual(answer.status, 201)
            return go_reader.read(json.load(answer), {"id": "string"})["id"]

    def test_vdi(self):
        sr = self.pool_view()["default_SR"]
        id_ = self.upload(sr, "tf", b"\1" * (2 * MIB))
        vdi = self.one("VDI", id=id_) # at once
        self.assertEqual((vdi["name_label"], vdi["$SR"], vdi["size"]), ("tf", sr, 2 * MIB))
        self.go("bool", "vdi.set", id=id_, name_description="", name_label="other")
        self.assertEqual(self.one("VDI", id=id_)["name_label"], "other")
        self.go("bool", "vdi.delete", id=id_)
        self.wait("the disk to go", lambda: len(self.list("VDI", id=id_)), (1,), 0)


class Sources(Provider):
    """The data sources."""
    def test_all(self):
        pool = self.pool_view()
        self.assertTrue(pool["name_label"] and pool["master"] and pool["default_SR"] and pool["cpus"]["cores"] > 0)
        host = self.one("host", id=pool["master"])
        self.assertEqual(self.one("host", name_label=host["name_label"]), host)
        self.assertTrue(host["memory"]["size"] > 0 and host["cpus"]["sockets"] > 0)
        self.assertEqual(len(self.list("host", **{"$pool": pool["id"]})), 2)
        for network in self.list("network"):
            self.assertTrue(network["bridge"] and network["name_label"])
        self.assertTrue(self.one("PIF", device="eth0", vlan=-1, **{"$host": host["id"]})["attached"])
        sr = self.one("SR", name_label="Shared storage", **{"$poolId": pool["id"]})
        self.assertTrue(sr["size"] > 0 and sr["$container"] and sr["SR_type"])
        self.call("tag.add", id=sr["id"], tag="tf")
        self.assertEqual(self.one("SR", name_label="Shared storage")["tags"], ["tf"])
        for template in self.list("VM-template"):
            self.assertTrue(template["name_label"] and template["uuid"] and template["$poolId"])
            for disk in template["template_info"]["disks"]:
                go_reader.read(disk, DISK, template["name_label"])
        for vdi in self.list("VDI"):
            self.assertTrue(vdi["$SR"] and vdi["$poolId"])
        running = self.list("VM", power_state="Running", **{"$poolId": pool["id"]})
        self.assertTrue(running and all(self.list("VM", **{"$container": vm["$container"]}) for vm in running))
        tagged = go_reader.read(self.call("xo.getAllObjects", filter={"tags": ["tf"]}), "map[string]any")
        self.assertEqual([(go_reader.read(each["id"], "string"), go_reader.read(each["type"], "string")) for each in tagged.values()],
                         [(sr["id"], "SR")])
        self.assertEqual([go_reader.read(each, USER)["email"] for each in self.call("user.getAll", dummy="dummy")
                          if each["email"] == self.server.user], [self.server.user])

    def test_every_object(self):
        """Whatever state it is in, an object of a class that is listed can be read."""
        vm = self.vm("Running")["id"]
        self.call("vm.snapshot", id=vm, name="snapshot")
        for cls in STRUCTS:
            self.list(cls)

    def test_reader(self):
        """The reader is as strict as it says."""
        for value, type_ in ((1.0, "int"), ("1", "int"), (True, "int"), (1 << 63, "int"), (1, "string"), ({}, "[]string"), ([1], "[]string"),
                             ({"a": 1}, "map[string]string"), ([], {"a": "int"}), ("true", "bool"), ({"a": {"b": 1.5}}, {"a": {"b": "int"}})):
            with self.assertRaises(go_reader.CannotUnmarshal, msg=(value, type_)):
                go_reader.read(value, type_)
        self.assertEqual(go_reader.read({"a": None}, {"a": "int", "b": "[]string", "c": "*string"}), {"a": 0, "b": [], "c": None})


if __name__ == "__main__":
    unittest.main()
