"""Machines made, changed and unmade through the API: settings, disks, networks, copies; each seen in the objects before the call
answers, and in the pool's own records."""
import json
import pathlib
import ssl
import struct
import sys
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused  # noqa: E402
from test_api import Box, until  # noqa: E402
from websocket import WebSocket  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30


def read_fat(image):
    """(label, {path: content}) of a FAT16 image: by the letter of Microsoft's specification, as a kernel reads it."""
    sector, per_cluster, reserved, n_tables, n_root, n_sectors = struct.unpack_from("<HBHBHH", image, 11)
    table_sectors, = struct.unpack_from("<H", image, 22)
    assert image[510:512] == b"\x55\xaa" and n_sectors * sector == len(image) and image[54:62] == b"FAT16   "
    root = (reserved + n_tables * table_sectors) * sector
    data = root + n_root * 32
    assert 4085 <= (len(image) - data) // (sector * per_cluster) < 65525 # what makes it FAT16
    tables = [image[(reserved + i * table_sectors) * sector:][:table_sectors * sector] for i in range(n_tables)]
    assert len(set(tables)) == 1

    def chain(cluster):
        content = b""
        while cluster < 0xfff8:
            start = data + (cluster - 2) * sector * per_cluster
            content += image[start:start + sector * per_cluster]
            cluster, = struct.unpack_from("<H", tables[0], cluster * 2)
        return content

    def walk(entries, path):
        long_name = ""
        for at in range(0, len(entries), 32):
            entry = entries[at:at + 32]
            if entry[0] == 0:
                return
            if entry[11] == 0x0f:
                part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le").split("\0")[0].rstrip("\uffff")
                long_name, sum_ = part + long_name, entry[13]
                continue
            if entry[11] == 8:
                labels.append(entry[:11].decode().rstrip())
            elif entry[:1] != b".":
                wanted = 0
                for byte in entry[:11]:
                    wanted = ((wanted << 7 | wanted >> 1) & 0xff) + byte & 0xff
                assert wanted == sum_, "the checksum of the short name"
                cluster, n_bytes = struct.unpack_from("<HI", entry, 26)
                if entry[11] & 16:
                    walk(chain(cluster), path + long_name + "/")
                else:
                    files[path + long_name] = chain(cluster)[:n_bytes] if n_bytes else b""
            long_name = ""
    labels, files = [], {}
    walk(image[root:data], "")
    return labels[0], files


class Pool(Box):
    """One pool; calls go over one connection, which is quicker than the command line."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sockets = {}

    @classmethod
    def socket(cls, **login):
        key = login.get("email")
        if key not in cls.sockets:
            socket = cls.sockets[key] = WebSocket(cls.server.url)
            cls.addClassCleanup(socket.close)
            socket.call("session.signIn", login or {"email": cls.server.user, "password": cls.server.password})
        return cls.sockets[key]

    def call(self, method, login=None, **params):
        answer = self.socket(**(login or {})).call(method, params)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def refused(self, code, method, login=None, **params):
        with self.assertRaises(Refused) as caught:
            self.call(method, login, **params)
        self.assertEqual(caught.exception.code, code, f"{method}: {caught.exception.message}")
        return caught.exception

    def objects(self, **filter_):
        return list(self.call("xo.getAllObjects", filter=filter_).values())

    def only(self, **filter_):
        """The one object of this kind."""
        found = self.objects(**filter_)
        self.assertEqual(len(found), 1, filter_)
        return found[0]

    def vm(self, state="Halted"):
        return next(vm for vm in self.objects(type="VM", power_state=state))

    def view(self, id_):
        return self.only(id=id_)

    def record(self, cls, uuid):
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        return session.call(f"{cls}.get_record", session.call(f"{cls}.get_by_uuid", uuid))

    def sr(self):
        return next(sr for sr in self.objects(type="SR") if sr["content_type"] == "user" and sr["shared"])

    def set(self, vm, **params):
        self.call("vm.set", id=vm, **params)
        return self.view(vm)

    def template(self, disks=True):
        """One of the pool's: made from a VM when it is to have disks."""
        if not disks:
            return next(each for each in self.objects(type="VM-template") if each["isDefaultTemplate"])
        clone = self.call("vm.clone", id=self.vm()["id"], name="template", full_copy=False)
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        session.call("VM.set_is_a_template", session.call("VM.get_by_uuid", clone), True)
        until(lambda: self.view(clone)["type"] == "VM-template", "the template")
        return self.view(clone)


class Machines(Pool):
    # --- Settings ---

    def test_fields(self):
        vm = self.vm()["id"]
        view = self.set(vm, name_label="new name", name_description="", notes="written down", startDelay=7, high_availability="restart",
                        hasVendorDevice=True)
        self.assertEqual((view["name_label"], view["name_description"], view["notes"]), ("new name", "", "written down"))
        self.assertEqual((view["startDelay"], view["high_availability"], view["hasVendorDevice"]), (7, "restart", True))
        self.assertNotIn("notes", self.set(vm, notes=None, high_availability=""))
        host = self.objects(type="host")[0]["id"]
        self.assertEqual(self.set(vm, affinityHost=host)["affinityHost"], host)
        self.assertNotIn("affinityHost", self.set(vm, affinityHost=None))
        self.refused(10, "vm.set", id=vm, high_availability="always")
        self.refused(10, "vm.set", id=vm, notes="n" * 2049)
        self.refused(10, "vm.set", id=vm, colour="blue")
        self.refused(1, "vm.set", id=vm, affinityHost=vm)

    def test_maps(self):
        vm = self.vm()["id"]
        view = self.set(vm, cpuWeight=512, cpuCap=80, cpuMask=[0, 2], vga="std", videoram=8, coresPerSocket=1, secureBoot=True,
                        expNestedHvm=True, nicType="e1000", auto_poweron=True, xenStoreData={"color": "red", "vm-data/x": "y"})
        self.assertEqual((view["cpuWeight"], view["cpuCap"], view["cpuMask"]), (512, 80, [0, 2]))
        self.assertEqual((view["vga"], view["videoram"], view["coresPerSocket"]), ("std", 8, 1))
        self.assertTrue(view["secureBoot"] and view["expNestedHvm"] and view["auto_poweron"])
        self.assertEqual(self.record("VM", vm)["xenstore_data"], dict(self.record("VM", vm)["xenstore_data"], **{
            "vm-data/color": "red", "vm-data/x": "y"}))
        self.assertTrue(self.only(type="pool")["auto_poweron"])
        view = self.set(vm, cpuWeight=None, cpuMask=[], nicType=None, auto_poweron=False, xenStoreData={"color": None})
        self.assertFalse({"cpuWeight", "cpuMask", "nicType"} & set(view))
        self.assertNotIn("vm-data/color", view["xenStoreData"])
        self.set(vm, xenStoreData=None) # as a Go client says "no change"
        self.refused(10, "vm.set", id=vm, vga="voodoo")
        self.refused(10, "vm.set", id=vm, videoram=3)

    def test_firmware(self):
        vm = self.vm()["id"]
        view = self.set(vm, hvmBootFirmware="uefi", virtualizationMode="hvm")
        self.assertEqual(view["boot"]["firmware"], "uefi")
        self.assertEqual(self.record("VM", vm)["platform"]["device-model"], "qemu-upstream-uefi")
        self.assertNotIn("firmware", self.set(vm, hvmBootFirmware=None)["boot"])
        self.set(vm, hvmBootFirmware="bios")

    def test_blocks(self):
        vm = self.vm()["id"]
        view = self.set(vm, blockedOperations={"start": "not today", "destroy": True})
        self.assertEqual(view["blockedOperations"], {"start": "not today", "destroy": "true"})
        self.refused(5, "vm.start", id=vm)
        self.assertEqual(self.set(vm, blockedOperations={"start": None, "destroy": False})["blockedOperations"], {})

    def test_processors(self):
        vm = self.vm()["id"]
        self.assertEqual(self.set(vm, CPUs=6)["CPUs"], {"max": max(6, self.view(vm)["CPUs"]["max"]), "number": 6})
        self.assertEqual(self.set(vm, cpusMax=4)["CPUs"], {"max": 4, "number": 4})
        self.assertEqual(self.set(vm, CPUs=2, cpusMax="8")["CPUs"], {"max": 8, "number": 2})
        self.refused(10, "vm.set", id=vm, CPUs=0)

    def test_memory(self):
        vm = self.vm()["id"]
        self.assertEqual(self.set(vm, memory="1 GiB")["memory"]["dynamic"], [GIB, GIB])
        view = self.set(vm, memoryMax=2 * GIB)
        self.assertEqual((view["memory"]["dynamic"], view["memory"]["static"][1]), ([GIB, 2 * GIB], 2 * GIB))
        view = self.set(vm, memoryMin="512 MiB")
        self.assertEqual(view["memory"]["dynamic"], [512 * MIB, 2 * GIB])
        self.assertLessEqual(view["memory"]["static"][0], 512 * MIB)
        view = self.set(vm, memoryStaticMax=GIB)
        self.assertEqual((view["memory"]["dynamic"], view["memory"]["static"][1]), ([512 * MIB, GIB], GIB))
        self.refused(10, "vm.set", id=vm, memory="much")
        running = self.vm("Running")
        with self.subTest("running"):
            low = running["memory"]["dynamic"][1] // 2
            self.assertEqual(self.set(running["id"], memoryMax=low + MIB, memoryMin=low)["memory"]["dynamic"], [low, low + MIB])
            self.refused(10, "vm.set", id=running["id"], memoryStaticMax=64 * GIB)

    def test_permissions(self):
        vm = self.vm()["id"]
        self.call("user.create", email="sue", password="secret")
        user = next(each["id"] for each in self.call("user.getAll") if each["email"] == "sue")
        sue = dict(email="sue", password="secret")
        self.refused(2, "vm.set", sue, id=vm, name_label="mine")
        self.call("acl.add", subject=user, object=vm, action="admin")
        self.call("vm.set", sue, id=vm, name_label="mine")
        self.assertEqual(self.view(vm)["name_label"], "mine")
        self.refused(2, "vm.clone", sue, id=vm, name="copy", full_copy=False)
        self.refused(2, "vdi.set", sue, id=self.disk(vm)["id"], size="1 TiB")

    def disk(self, vm):
        vbd = next(vbd for vbd in self.objects(type="VBD", VM=vm) if not vbd["is_cd_drive"])
        return self.view(vbd["VDI"])

    # --- Copies ---

    def test_clones(self):
        vm = self.vm()
        for full in (False, True):
            id_ = self.call("vm.clone", id=vm["id"], name="a copy", full_copy=full)
            clone = self.view(id_)
            self.assertEqual((clone["type"], clone["name_label"], len(clone["$VBDs"])), ("VM", "a copy", len(vm["$VBDs"])))
            disk = self.view(next(self.view(vbd)["VDI"] for vbd in clone["$VBDs"] if not self.view(vbd)["is_cd_drive"]))
            self.assertEqual("parent" in disk, not full, "a fast clone shares the blocks")
            self.call("vm.delete", id=id_)
            self.assertEqual(self.objects(id=disk["id"]), [])
        template = next(each for each in self.objects(type="VM-template") if each["isDefaultTemplate"])
        clone = self.view(self.call("vm.clone", id=template["id"], name="from a template", full_copy=False))
        self.assertEqual(clone["type"], "VM")
        self.call("vm.delete", id=clone["id"])

    # --- Creation ---

    def disks(self, vm):
        """Its disks by position."""
        return {vbd["position"]: self.view(vbd["VDI"]) for vbd in self.objects(type="VBD", VM=vm) if not vbd["is_cd_drive"]}

    def test_create(self):
        template, sr = self.template(disks=False), self.sr()["id"]
        networks = [each["id"] for each in self.objects(type="network")[:2]]
        id_ = self.call("vm.create", template=template["id"], name_label="made", name_description="by a test", CPUs=3,
                        memoryStaticMax="2 GiB", memoryMax=GIB, VDIs=[dict(SR=sr, size="1 GiB", type="user", name_label="root"),
                                                                      dict(SR=sr, size=64 * MIB, type="user")],
                        VIFs=[dict(network=networks[0], mac="00:16:3e:00:00:01"),
                              dict(network=networks[1], allowedIpv4Addresses=["10.0.0.1"])],
                        tags=["a", "b"], hvmBootFirmware="uefi", auto_poweron=True, cpu_weight=300, unheardOf=1, bootAfterCreate=False)
        vm = self.view(id_)
        self.assertEqual((vm["type"], vm["name_label"], vm["name_description"], vm["power_state"]), ("VM", "made", "by a test", "Halted"))
        self.assertEqual((vm["CPUs"]["number"], vm["memory"]["dynamic"][1], vm["cpuWeight"]), (3, GIB, 300))
        self.assertEqual((sorted(vm["tags"]), vm["boot"]["firmware"], vm["auto_poweron"]), (["a", "b"], "uefi", True))
        self.assertEqual(vm["creation"]["template"], template["uuid"])
        self.assertEqual(vm["creation"]["user"], self.call("session.getUser")["id"])
        self.assertEqual([(disk["name_label"], disk["size"]) for _, disk in sorted(self.disks(id_).items())],
                         [("root", GIB), ("made disk", 64 * MIB)])
        vifs = sorted((self.view(vif) for vif in vm["VIFs"]), key=lambda vif: vif["device"])
        self.assertEqual([vif["$network"] for vif in vifs], networks)
        self.assertEqual((vifs[0]["MAC"], vifs[1]["allowedIpv4Addresses"]), ("00:16:3e:00:00:01", ["10.0.0.1"]))
        self.call("vm.start", id=id_)
        self.call("vm.delete", id=id_)

    def test_create_with_disks_of_the_template(self):
        template, other = self.template(), next(sr["id"] for sr in self.objects(type="SR") if sr["content_type"] == "user"
                                                 and sr["id"] != self.sr()["id"])
        before = self.disks(template["id"])
        position, disk = next(iter(before.items()))
        id_ = self.call("vm.create", template=template["id"], name_label="grown", clone=True,
                        existingDisks={position: {"size": disk["size"] + 64 * MIB, "name_label": "bigger"}})
        grown = self.disks(id_)[position]
        self.assertEqual((grown["name_label"], grown["size"]), ("bigger", disk["size"] + 64 * MIB))
        moved = self.call("vm.create", template=template["id"], name_label="moved", clone=False,
                          VDIs=[dict(userdevice=position, SR=other, size=disk["size"], type="user"),
                                dict(userdevice="7", SR=other, size="1 GiB", type="user")])
        self.assertEqual({at: each["$SR"] for at, each in self.disks(moved).items()}, {position: other, "7": other})
        bare = self.call("vm.create", template=template["id"], name_label="bare", VDIs=[dict(userdevice=position, destroy=True)])
        self.assertEqual(self.disks(bare), {})
        self.assertEqual(self.disks(template["id"]), before, "the template is as it was")
        for vm in (id_, moved, bare, template["id"]):
            self.call("vm.delete", id=vm)

    def test_create_and_boot(self):
        iso = next((vdi for vdi in self.objects(type="VDI") if self.view(vdi["$SR"])["content_type"] == "iso"), None)
        template = self.template(disks=False)["id"]
        network = self.call("vm.create", template=template, name_label="from the network", bootAfterCreate=True,
                            installation={"method": "network", "repository": "pxe"})
        self.assertEqual(self.view(network)["boot"]["order"][0], "n")
        until(lambda: self.view(network)["power_state"] == "Running", "the VM that was to boot")
        self.call("vm.delete", id=network)
        if iso:
            cd = self.call("vm.create", template=template, name_label="from a CD", installation={"method": "cdrom", "repository": iso["id"]})
            self.assertEqual(self.view(cd)["boot"]["order"][0], "d")
            self.assertEqual([vbd["VDI"] for vbd in self.objects(type="VBD", VM=cd) if vbd["is_cd_drive"]], [iso["id"]])
            self.call("vm.delete", id=cd)

    def raw(self, vdi):
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        ref = session.call("VDI.get_by_uuid", vdi)
        with urllib.request.urlopen(f"{self.sim.url}/export_raw_vdi?session_id={session.ref}&vdi={ref}&format=raw",
                                    context=ssl._create_unverified_context()) as answer:
            return answer.read()

    def test_cloud_init(self):
        """The drive that cloud-init looks for, read by the rules of FAT."""
        template, sr = self.template(disks=False)["id"], self.sr()["id"]
        config, network = "#cloud-config\n" + "packages: [vim]\n" * 400, "version: 2\n"
        root = dict(SR=sr, size="1 GiB", type="user", name_label="root")
        id_ = self.call("vm.create", template=template, name_label="cloudy", VDIs=[root], cloudConfig=config, networkConfig=network)
        disks = self.disks(id_)
        self.assertEqual([disk["name_label"] for _, disk in sorted(disks.items())], ["root", "XO CloudConfigDrive"])
        drive = disks[max(disks)]
        self.assertEqual(drive["$SR"], sr)
        label, files = read_fat(self.raw(drive["id"]))
        self.assertEqual((label, set(files)), ("cidata", {"meta-data", "user-data", "network-config", "openstack/latest/meta_data.json",
                                                          "openstack/latest/user_data"}))
        self.assertEqual(files["user-data"].decode(), config)
        self.assertEqual(files["openstack/latest/user_data"].decode(), config)
        self.assertEqual(files["network-config"].decode(), network)
        self.assertEqual(files["meta-data"].decode(), f"instance-id: {id_}\n")
        self.assertEqual(json.loads(files["openstack/latest/meta_data.json"]), {"uuid": id_})
        self.call("vm.delete", id=id_)
        before = len(self.objects(type="VM"))
        self.refused(10, "vm.create", template=template, name_label="no disk", cloudConfig=config)
        with self.assertRaises(Refused):
            self.call("vm.create", template=template, name_label="too much", VDIs=[root], cloudConfig="x" * (6 * MIB))
        self.assertEqual(len(self.objects(type="VM")), before)

    def test_half_made(self):
        """What fails on the way leaves nothing behind."""
        template, sr = self.template(), self.sr()["id"]
        before = {each["id"] for each in self.objects()}
        new_disk = dict(SR=sr, size="1 GiB", type="user")
        for wrong in (dict(VDIs=[new_disk, dict(SR=sr, size="3 PiB", type="user")]), dict(VIFs=[dict(network=sr)]),
                      dict(VDIs=[new_disk], VIFs=[dict(network=self.objects(type="network")[0]["id"], mac="nonsense")]),
                      dict(CPUs=0), dict(VDIs=[dict(userdevice=next(iter(self.disks(template["id"]))), size=1, type="user")]),
                      dict(VDIs=[new_disk], vga="voodoo"), dict(vgpuType="a")):
            with self.assertRaises(Refused):
                self.call("vm.create", template=template["id"], name_label="never", **wrong)
            left = [each for each in self.objects() if each["id"] not in before and each["type"] not in ("message", "task")
                    and not (each["type"] == "VDI-unmanaged")]
            self.assertEqual(left, [], wrong)
        self.refused(1, "vm.create", template=self.vm()["id"], name_label="x")
        self.call("vm.delete", id=template["id"])

    # --- Disks ---

    def test_disks(self):
        sr, vm, running = self.sr()["id"], self.vm()["id"], self.vm("Running")["id"]
        alone = self.call("disk.create", name="alone", size="10 MiB", sr=sr)
        self.assertEqual((self.view(alone)["size"], self.view(alone)["$VBDs"]), (10 * MIB, []))
        self.call("vdi.set", id=alone, name_label="renamed", name_description="d", size="20 MiB", cbt=True)
        disk = self.view(alone)
        self.assertEqual((disk["name_label"], disk["name_description"], disk["size"], disk["cbt_enabled"]), ("renamed", "d", 20 * MIB, True))
        error = self.refused(10, "vdi.set", id=alone, size="1 MiB")
        self.assertEqual(error.message, "cannot set new size (1048576) below the current size (20971520)")
        self.refused(10, "vdi.set", id=alone, size="10 parsecs")
        self.call("vdi.delete", id=alone)
        self.assertEqual(self.objects(id=alone), [])
        for owner, attached in ((vm, False), (running, True)):
            id_ = self.call("disk.create", name="its", size=MIB * 4, sr=sr, vm=owner, position="9", mode="RW")
            vbd = self.view(self.view(id_)["$VBDs"][0])
            self.assertEqual((vbd["VM"], vbd["attached"], vbd["position"]), (owner, attached, "9"))
        self.refused(17, "vdi.delete", id=id_)
        before = len(self.objects(type="VDI"))
        with self.assertRaises(Refused): # the place is taken
            self.call("disk.create", name="other", size=MIB, sr=sr, vm=vm, position="9")
        self.assertEqual(len(self.objects(type="VDI")), before, "a disk that could not be attached stays")

    def test_devices(self):
        """What a Terraform plan does to a running machine: interfaces, disks, the drive."""
        vm, network = self.vm("Running")["id"], self.objects(type="network")[0]["id"]
        vif = self.call("vm.createInterface", vm=vm, network=network, mac="00:16:3e:00:00:77")
        view = self.view(vif)
        self.assertEqual((view["attached"], view["MAC"], view["$network"], view["$VM"]), (True, "00:16:3e:00:00:77", network, vm))
        self.call("vif.disconnect", id=vif)
        self.assertFalse(self.view(vif)["attached"])
        self.call("vif.connect", id=vif)
        self.assertTrue(self.view(vif)["attached"])
        self.call("vif.delete", id=vif)
        self.assertEqual(self.objects(id=vif), [])
        with self.assertRaises(Refused):
            self.call("vm.createInterface", vm=vm, network=network, mac="nonsense")
        disk = self.call("disk.create", name="alone", size=MIB, sr=self.sr()["id"])
        self.call("vm.attachDisk", vm=vm, vdi=disk, position="8", bootable=True)
        vbd = self.only(type="VBD", VDI=disk)
        self.assertEqual((vbd["attached"], vbd["position"], vbd["bootable"]), (True, "8", True))
        self.call("vbd.setBootable", vbd=vbd["id"], bootable=False)
        self.call("vbd.disconnect", id=vbd["id"])
        vbd = self.view(vbd["id"])
        self.assertEqual((vbd["attached"], vbd["bootable"]), (False, False))
        self.call("vbd.connect", id=vbd["id"])
        with self.assertRaises(Refused):
            self.call("vbd.delete", id=vbd["id"]) # it is attached
        self.call("vbd.disconnect", id=vbd["id"])
        self.call("vbd.delete", id=vbd["id"])
        self.call("vdi.delete", id=disk)
        image = next(vdi["id"] for vdi in self.objects(type="VDI") if self.view(vdi["$SR"])["content_type"] == "iso")
        for _ in range(2): # the second takes the place of the first
            self.call("vm.insertCd", id=vm, cd_id=image)
        self.assertEqual([each["VDI"] for each in self.objects(type="VBD", VM=vm, is_cd_drive=True)], [image])
        self.call("vm.ejectCd", id=vm)
        self.call("vm.ejectCd", id=vm)
        self.assertNotIn("VDI", self.only(type="VBD", VM=vm, is_cd_drive=True))
        self.call("vm.setBootOrder", vm=vm, order="ndc")
        self.assertEqual(self.view(vm)["boot"]["order"], "ndc")

    # --- Networks ---

    def test_networks(self):
        pool = self.only(type="pool")
        for network in self.objects(type="network", insecureNbd=True): # the two purposes exclude each other
            self.call("network.set", id=network["id"], nbd=False)
        id_ = self.call("network.create", pool=pool["id"], name="quiet", mtu=9000, nbd=True)
        network = self.view(id_)
        self.assertEqual((network["name_label"], network["MTU"], network["nbd"], network["automatic"], network["PIFs"]),
                         ("quiet", 9000, True, False, []))
        self.assertEqual(network["name_description"], "Created with Xen Orchestra")
        self.call("network.set", id=id_, name_label="loud", automatic=True, defaultIsLocked=True, nbd=False, mtu=1400)
        network = self.view(id_)
        self.assertEqual((network["name_label"], network["automatic"], network["defaultIsLocked"], network["nbd"], network["MTU"]),
                         ("loud", True, True, False, 1400))
        self.call("network.delete", id=id_)
        self.assertEqual(self.objects(id=id_), [])

    def test_vlans(self):
        pool = self.only(type="pool")
        pif = next(pif for pif in self.objects(type="PIF") if pif["physical"] and pif["$host"] == pool["master"])
        before = len(self.objects(type="network"))
        id_ = self.call("network.create", pool=pool["id"], name="v", pif=pif["id"], vlan=42, description="")
        pifs = [self.view(each) for each in self.view(id_)["PIFs"]]
        self.assertEqual([(each["vlan"], each["device"]) for each in pifs], [(42, pif["device"])] * len(self.objects(type="host")))
        self.refused(16, "network.create", pool=pool["id"], name="again", pif=pif["id"], vlan=42)
        self.assertEqual(len(self.objects(type="network")), before + 1, "a network that could not be made stays")
        self.call("network.delete", id=id_)
        self.assertEqual(self.objects(type="PIF", vlan=42), [])
        self.refused(10, "network.create", pool=pool["id"], name="v", pif=pif["id"], vlan=5000)
        self.refused(10, "network.create", pool=pool["id"], name="v", mtu=10)
        with self.assertRaises(Exception):
            self.call("network.delete", id=pif["$network"])
        self.assertEqual(len(self.objects(type="network")), before)

    # --- What is not a machine ---

    def test_metadata(self):
        """Backups of configurations and pools are listed by time, whatever schedule made them; a damaged one hides no other."""
        repository = self.folder / "repository"

        def put(path, **fields):
            (repository / path).mkdir(parents=True)
            (repository / path / "metadata.json").write_text(json.dumps(fields))
        for schedule, date, time in (("a", "20260103T000000Z", 3), ("b", "20260102T000000Z", 2), ("a", "20260101T000000Z", 1)):
            put(f"xo-config-backups/{schedule}/{date}", timestamp=time, jobName="j")
            put(f"xo-pool-metadata-backups/{schedule}/pool-1/{date}", timestamp=time)
        put("xo-pool-metadata-backups/b/pool-2/20260102T000000Z", timestamp=2)
        put("xo-config-backups/a/not-a-date", timestamp=9)
        (repository / "xo-config-backups/b/20260102T000000Z/metadata.json").write_text("{torn")
        remote = self.call("remote.create", name="r", url=f"file://{repository}")["id"]
        listed = self.call("metadataBackup.list", remotes=[remote, "no-such-remote"])
        self.assertEqual(set(listed["xo"]), {remote})
        self.assertEqual([each["timestamp"] for each in listed["xo"][remote]], [1, 3])
        self.assertEqual(listed["xo"][remote][0], {"id": f"{remote}/xo-config-backups/a/20260101T000000Z", "timestamp": 1, "jobName": "j",
                                                   "backupRepository": remote, "type": "xo-config-backup"})
        pools = listed["pool"][remote]
        self.assertEqual({pool: [each["timestamp"] for each in list_] for pool, list_ in pools.items()}, {"pool-1": [1, 2, 3], "pool-2": [2]})
        self.assertEqual(pools["pool-2"][0]["type"], "xo-pool-metadata-backup")
        self.refused(2, "metadataBackup.list", dict(email="nobody", password="x"), remotes=[remote])

    def test_stats(self):
        """Every granularity, in XO's units; each host tells of itself and of its own machines."""
        for name, step, rows in (("seconds", 5, 120), ("minutes", 60, 120), ("hours", 3600, 168), ("days", 86400, 366)):
            for host in self.objects(type="host"):
                got = self.call("host.stats", host=host["id"], granularity=name)
                self.assertEqual((got["interval"], len(got["stats"]["load"])), (step, rows), name)
                self.assertEqual(set(got["stats"]["memory"]), {host["memory"]["size"]})
                self.assertEqual(got["endTimestamp"] % step, 0)
                self.assertTrue(all(0 <= value <= 100 for value in got["stats"]["cpus"]["0"]))
        for vm in self.objects(type="VM", power_state="Running"):
            stats = self.call("vm.stats", id=vm["id"])["stats"]
            self.assertEqual(set(stats["cpus"]), {str(i) for i in range(vm["CPUs"]["number"])})
            self.assertEqual({value for value in stats["memory"] if value is not None} | {vm["memory"]["dynamic"][1]},
                             {vm["memory"]["dynamic"][1]})
        self.refused(25, "vm.stats", id=self.vm()["id"])
        self.refused(10, "vm.stats", id=self.vm("Running")["id"], granularity="weeks")

    def test_rrd_of_the_simulator(self):
        """/rrd_updates as hosts give it: the archive, the formats, the refusals."""
        master = self.record("pool", self.only(type="pool")["id"])["master"]
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        host = session.call("host.get_uuid", master)

        def get(query, **headers):
            request = urllib.request.Request(f"{self.sim.url}/rrd_updates?session_id={session.ref}&{query}", headers=headers)
            with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:
                return answer.headers["content-type"], answer.read().decode()
        now = int(time.time())
        type_, text = get(f"start={now - 595}&interval=5&host=true&json=true&vm_uuid=none")
        rrd = json.loads(text)
        self.assertEqual((type_, rrd["meta"]["step"], rrd["meta"]["columns"]), ("application/json", 5, len(rrd["meta"]["legend"])))
        self.assertEqual({entry.split(":")[2] for entry in rrd["meta"]["legend"]}, {host})
        times = [row["t"] for row in rrd["data"]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertEqual(len(times), rrd["meta"]["rows"])
        self.assertEqual(json.loads(get(f"start={now - 595}&interval=60&host=true&json=true")[1])["meta"]["step"], 60)
        self.assertEqual(json.loads(get(f"start={now - 86400}&interval=5&host=true&json=true")[1])["meta"]["step"], 3600)
        type_, text = get("start=-60&host=true&vm_uuid=none", Accept="text/xml")
        self.assertEqual((type_, text[:13], text.count("<entry>")), ("text/xml", "<xport><meta>", rrd["meta"]["columns"]))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            get("host=true")
        self.assertEqual(caught.exception.code, 400)


if __name__ == "__main__":
    unittest.main()
