"""The smaller methods of hosts, pools and storages: devices that machines get from hosts, the control domain's memory, sensors, reports
for bugs, statistics of storages, pools of IP addresses; each in its good way and in its refusals, with the pool looked at afterwards."""
import bz2
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_api import until  # noqa: E402
from test_machines import Pool  # noqa: E402

PATIENCE = 60
GIB = 1 << 30
NOWHERE = "11111111-2222-4333-8444-555555555555"
STICK = {"path": "1-1", "vendor_id": "0781", "product_id": "5567", "product_desc": "a stick"}
KEY = {"path": "1-2", "vendor_id": "1050", "product_id": "0407", "description": "a key"}
SENSORS = [{"name": "Fan1A", "value": "3000 RPM", "event": "ok"}, {"name": "Fan2A", "value": "3100 RPM", "event": "ok"},
           {"name": "Temp", "value": "40 degrees C", "event": "ok"}, {"name": "Temp", "value": "41 degrees C", "event": "ok"},
           {"name": "Inlet Temp", "value": "21 degrees C", "event": "ok"}, {"name": "Intrusion", "value": "0x00", "event": "ok"}]


class Methods(Pool):
    SIM = ("--hosts", 2, "--vms", 3, "--running", "0.34", "--boot-delay", "0.1", "--disk-size", "1MiB", "--seed", 71)

    def setUp(self):
        self.pool_id = self.only(type="pool")["id"]
        self.master = self.only(type="pool")["master"]
        self.other = next(host["id"] for host in self.objects(type="host") if host["id"] != self.master)
        self.addCleanup(self.check_whole)

    def check_whole(self):
        """Every test leaves the pool as it found it."""
        self.sim.control("/sim/faults/clear", {})
        self.assertEqual([(host["enabled"], host["power_state"]) for host in self.objects(type="host")], [(True, "Running")] * 2)
        self.assertEqual([self.objects(type=type_) for type_ in ("VUSB", "VTPM", "USB_group")], [[]] * 3)
        self.assertEqual(self.call("ipPool.getAll"), [])

    def xapi(self, method, *params):
        session = self.sim.session()
        try:
            return session.call(method, *params)
        finally:
            session.proxy("close")()

    def steer(self, id_, key, value, cls="host"):
        ref = self.view(id_)["_xapiRef"]
        self.xapi(f"{cls}.add_to_other_config", ref, "sim:" + key, value)
        self.addCleanup(self.xapi, f"{cls}.remove_from_other_config", ref, "sim:" + key)

    def put(self, cls, uuid, **fields):
        """What no client may write."""
        return self.sim.control("/sim/objects", {"class": cls, "fields": fields, **({"uuid": uuid} if uuid else {})})

    def get(self, answer):
        with urllib.request.urlopen(self.server.url + answer["$getFrom"], timeout=PATIENCE) as got:
            return got.headers, got.read()

    # --- PCI ---

    def access(self, pci):
        return self.call("pci.getDom0AccessStatus", id=pci)

    def test_pci(self):
        """A host starts anew without its device, and anew with it."""
        mine, others = (self.only(type="PCI", **{"$host": host})["id"] for host in (self.other, self.master))
        self.assertEqual((self.access(mine), self.access(others)), ("enabled", "enabled"))
        for disable, now in ((True, "disabled"), (False, "enabled")):
            self.call("pci.disableDom0Access", pcis=[mine], disable=disable)
            until(lambda: self.view(self.other)["enabled"] and self.access(mine) == now, now, PATIENCE)
            self.assertEqual(self.xapi("PCI.get_dom0_access_status", self.view(mine)["_xapiRef"]), now)
        self.assertEqual(self.access(others), "enabled")

    def test_pci_of_machine(self):
        vm = self.objects(type="VM", power_state="Halted")[0]["id"]
        pcis = [pci["id"] for pci in self.objects(type="PCI")]
        address = self.view(pcis[0])["pci_id"]
        self.call("vm.attachPcis", id=vm, pcis=pcis) # two hosts, one address
        self.assertEqual((self.view(vm)["attachedPcis"], self.record("VM", vm)["other_config"]["pci"]), ([address], f"0/{address}"))
        self.refused(1, "vm.attachPcis", id=vm, pcis=[self.other])
        self.refused(1, "vm.detachPcis", id=self.other, pciIds=[address])
        self.call("vm.detachPcis", id=vm, pciIds=["0000:99:00.0"])
        self.assertEqual(self.view(vm)["attachedPcis"], [address])
        self.call("vm.detachPcis", id=vm, pciIds=[address])
        self.assertNotIn("pci", self.record("VM", vm)["other_config"])
        self.assertFalse(self.view(vm).get("attachedPcis"))

    def test_secure_boot(self):
        vm = self.objects(type="VM", power_state="Halted")[0]["id"]
        ask = lambda: self.call("vm.getSecurebootReadiness", id=vm)
        params = self.record("VM", vm)["HVM_boot_params"]
        self.put("VM", vm, HVM_boot_params={**params, "firmware": "bios"})
        self.assertEqual(ask(), "not_supported")
        self.put("VM", vm, HVM_boot_params={**params, "firmware": "uefi"})
        self.assertEqual(ask(), "disabled")
        self.put("VM", vm, HVM_boot_params=params)
        self.refused(1, "vm.getSecurebootReadiness", id=self.pool_id)

    def test_pci_refused(self):
        """What is refused leaves every device as it was, and the host in service."""
        mine, others = (self.only(type="PCI", **{"$host": host})["id"] for host in (self.other, self.master))
        self.refused(10, "pci.disableDom0Access", pcis=[mine, others], disable=True)
        self.refused(10, "pci.disableDom0Access", pcis=[], disable=True)
        self.refused(1, "pci.disableDom0Access", pcis=[self.other], disable=True)
        self.refused(1, "pci.getDom0AccessStatus", id=NOWHERE)
        self.sim.fault(kind="error", method="host.reboot", error=["HOST_STILL_BOOTING"])
        self.refused(-32000, "pci.disableDom0Access", pcis=[mine], disable=True)
        self.assertEqual((self.access(mine), self.access(others)), ("enabled", "enabled"))
        self.assertTrue(self.view(self.other)["enabled"])

    # --- USB ---

    def test_usb(self):
        vm, second = (vm["id"] for vm in self.objects(type="VM", power_state="Halted")[:2])
        self.steer(self.master, "usb", json.dumps([STICK, KEY]))
        self.call("pusb.scan", host=self.master)
        self.assertEqual(sorted(usb["description"] for usb in self.objects(type="PUSB")), ["a key", "a stick"])
        stick = self.only(type="PUSB", description="a stick")["id"]
        self.call("pusb.set", id=stick)
        self.assertFalse(self.view(stick)["passthroughEnabled"])
        self.call("pusb.set", id=stick, enabled=True)
        group = self.only(type="USB_group")["id"]
        self.assertEqual((self.view(stick)["passthroughEnabled"], self.view(stick)["usbGroup"]), (True, group))
        vusb = self.call("vusb.create", vmId=vm, usbGroupId=group)
        self.assertEqual([self.view(vusb)[key] for key in ("vm", "usbGroup", "currentlyAttached")], [vm, group, False])
        self.refused(-32000, "vusb.create", vmId=second, usbGroupId=group) # one machine has it
        self.refused(-32000, "pusb.set", id=stick, enabled=False)
        self.refused(-32000, "vusb.unplug", id=vusb) # it is not plugged
        self.call("vm.start", id=vm)
        self.assertTrue(self.view(vusb)["currentlyAttached"])
        self.refused(-32000, "vusb.destroy", id=vusb)
        self.call("vusb.unplug", id=vusb)
        self.assertFalse(self.view(vusb)["currentlyAttached"])
        self.refused(13, "vusb.create", vmId=vm, usbGroupId=group) # the machine runs
        self.call("vusb.destroy", id=vusb)
        self.call("vm.stop", id=vm, force=True)
        self.call("pusb.set", id=stick, enabled=False)
        self.assertEqual(self.objects(type="USB_group"), [])
        self.xapi("host.remove_from_other_config", self.view(self.master)["_xapiRef"], "sim:usb")
        self.call("pusb.scan", host=self.master)
        self.assertEqual(self.objects(type="PUSB"), [])
        self.refused(1, "pusb.scan", host=vm)
        self.refused(1, "pusb.set", id=NOWHERE, enabled=True)

    # --- TPM ---

    def test_tpm(self):
        vm, running = self.objects(type="VM", power_state="Halted")[0]["id"], self.objects(type="VM", power_state="Running")[0]["id"]
        vtpm = self.call("vtpm.create", id=vm)
        self.assertEqual((self.view(vtpm)["vm"], self.view(vm)["VTPMs"]), (vm, [vtpm]))
        self.refused(-32000, "vtpm.create", id=vm) # it has one
        self.refused(13, "vtpm.create", id=running)
        self.call("vm.start", id=vm)
        self.refused(13, "vtpm.destroy", id=vtpm)
        self.call("vm.stop", id=vm, force=True)
        self.call("vtpm.destroy", id=vtpm)
        self.assertEqual(self.view(vm)["VTPMs"], [])
        self.refused(1, "vtpm.destroy", id=vtpm)

    # --- The host itself ---

    def test_memory(self):
        dom0 = self.view(self.view(self.other)["controlDomain"])
        error = self.refused(25, "host.setControlDomainMemory", id=self.other, memory=2 * GIB)
        self.assertEqual((error.data["property"], error.data["expected"]), ("enabled", False))
        self.refused(10, "host.setControlDomainMemory", id=self.other, memory=0)
        self.call("host.disable", id=self.other)
        before = self.view(self.other)["startTime"]
        self.call("host.setControlDomainMemory", id=self.other, memory=2 * GIB)
        until(lambda: self.view(self.other)["enabled"] and self.view(self.other)["startTime"] != before, "the restart", PATIENCE)
        self.assertEqual(self.view(dom0["id"])["memory"]["dynamic"], [2 * GIB] * 2)
        kept = self.record("VM", dom0["id"])
        self.assertEqual([int(kept[f"memory_dynamic_{end}"]) for end in ("min", "max")], [2 * GIB] * 2)

    def test_sensors(self):
        self.assertEqual(self.call("host.getIpmiSensors", id=self.other), {}) # no maker that is known
        self.steer(self.other, "ipmi", json.dumps(SENSORS))
        self.assertEqual(self.call("host.getIpmiSensors", id=self.other), {})
        before = self.xapi("host.get_bios_strings", self.view(self.other)["_xapiRef"])
        self.put("host", self.other, bios_strings={**before, "system-manufacturer": "Dell Inc."})
        self.addCleanup(self.put, "host", self.other, bios_strings=before)
        until(lambda: self.view(self.other)["bios_strings"].get("system-manufacturer") == "Dell Inc.", "another maker", PATIENCE)
        got = self.call("host.getIpmiSensors", id=self.other)
        self.assertEqual(sorted(got), ["bmcStatus", "cpuTemp", "fanSpeed", "fanStatus", "inletTemp", "ip"])
        self.assertEqual([fan["value"] for fan in got["fanSpeed"]], ["3000 RPM", "3100 RPM"])
        self.assertEqual([temp["value"] for temp in got["cpuTemp"]], ["40 degrees C", "41 degrees C"])
        self.assertEqual((got["inletTemp"]["dataType"], got["ip"]["value"], got["bmcStatus"]["event"]), ("inletTemp", "10.99.0.7", "ok"))
        self.steer(self.other, "no-plugin", "ipmitool.py")
        self.assertIn("ipmitool.py", self.refused(-32000, "host.getIpmiSensors", id=self.other).message)

    def test_key(self):
        self.assertFalse(self.call("host.isPubKeyTooShort", id=self.master)) # an elliptic curve's
        for bits, short in (("1024", True), ("2048", False)):
            with tempfile.TemporaryDirectory(prefix="cadenza-key-") as folder:
                subprocess.run(["openssl", "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-days", "30", "-subj", "/CN=old", "-keyout",
                                f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, capture_output=True)
                self.steer(self.other, "server-certificate", pathlib.Path(folder, "cert.pem").read_text())
            self.assertEqual(self.call("host.isPubKeyTooShort", id=self.other), short, bits)
            self.doCleanups()
        self.steer(self.other, "server-certificate", "no certificate")
        self.assertIn("no certificate that can be read", self.refused(-32000, "host.isPubKeyTooShort", id=self.other).message)
        self.refused(1, "host.isPubKeyTooShort", id=self.pool_id)
        self.sim.fault(kind="error", method="host.get_server_certificate", error=["INTERNAL_ERROR", "no key"])
        self.refused(-32000, "host.isPubKeyTooShort", id=self.master)

    def test_status(self):
        headers, data = self.get(self.call("host.getSystemStatus", id=self.other))
        self.assertIn(f"{self.view(self.other)['name_label']}-system-status.tar.bz2", headers["content-disposition"])
        with tarfile.open(fileobj=io.BytesIO(bz2.decompress(data))) as tar:
            self.assertEqual(tar.getnames(), ["bug-report/inventory.xml"])
        _, every = self.get(self.call("pool.getSystemStatuses", id=self.pool_id))
        with tarfile.open(fileobj=io.BytesIO(every)) as tar:
            self.assertEqual(sorted(tar.getnames()), sorted(f"{host['name_label']}-system-status.tar.bz2" for host in self.objects(type="host")))
            self.assertEqual({tar.extractfile(name).read() for name in tar.getnames()}, {data})
        self.refused(1, "host.getSystemStatus", id=self.pool_id)
        self.refused(1, "pool.getSystemStatuses", id=self.other)

    # --- Supplemental packs ---

    def packs(self, host):
        version = self.xapi("host.get_software_version", self.view(host)["_xapiRef"])
        return sorted(key for key in version if key.startswith("xs:pack-"))

    def send(self, answer, data):
        asked = urllib.request.Request(self.server.url + answer["$sendTo"], data=data, method="POST")
        with urllib.request.urlopen(asked, timeout=PATIENCE) as got:
            return json.loads(got.read())["result"]

    def send_refused(self, answer, data):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.send(answer, data)
        told = caught.exception.read().decode()
        caught.exception.close()
        return told

    def test_packs(self):
        """On one host, on all of them by one disk, on all of them without a shared storage; no disk stays."""
        disks = sorted(vdi["id"] for vdi in self.objects(type="VDI"))
        one, two, three = (name.encode().ljust(1 << 20, b"\0") for name in ("one", "two", "three"))
        self.assertTrue(self.send(self.call("host.installSupplementalPack", host=self.other), one))
        self.assertEqual((len(self.packs(self.other)), self.packs(self.master)), (1, []))
        self.assertTrue(self.send(self.call("host.installSupplementalPack", host=self.other), one)) # it is there already
        self.assertTrue(self.send(self.call("pool.installSupplementalPack", pool=self.pool_id), two))
        self.assertEqual((len(self.packs(self.other)), len(self.packs(self.master))), (2, 1))
        shared = self.sr()
        self.sim.control("/sim/srs/fill", {"sr": shared["id"], "left_bytes": 0})
        self.addCleanup(self.sim.control, "/sim/srs/fill", {"sr": shared["id"], "left_bytes": -1})
        self.call("sr.scan", id=shared["id"])
        until(lambda: self.view(shared["id"])["size"] <= self.view(shared["id"])["physical_usage"], "a full storage", PATIENCE)
        self.assertTrue(self.send(self.call("pool.installSupplementalPack", pool=self.pool_id), three))
        self.assertEqual((len(self.packs(self.other)), len(self.packs(self.master))), (3, 2))
        self.assertEqual(sorted(vdi["id"] for vdi in self.objects(type="VDI")), disks)

    def test_packs_refused(self):
        disks = sorted(vdi["id"] for vdi in self.objects(type="VDI"))
        before = self.packs(self.other)
        self.steer(self.other, "supp-pack-fails", "UPDATE_PRECHECK_FAILED_OUT_OF_SPACE")
        told = self.send_refused(self.call("pool.installSupplementalPack", pool=self.pool_id), b"four".ljust(1 << 20, b"\0"))
        self.assertIn("UPDATE_PRECHECK_FAILED_OUT_OF_SPACE", told)
        self.assertIn("say how long", self.send_refused(self.call("host.installSupplementalPack", host=self.other), b""))
        self.steer(self.other, "no-plugin", "install-supp-pack")
        self.assertIn("install-supp-pack", self.send_refused(self.call("host.installSupplementalPack", host=self.other), b"five".ljust(1 << 20, b"\0")))
        self.refused(1, "host.installSupplementalPack", host=self.pool_id)
        self.refused(1, "pool.installSupplementalPack", pool=self.other)
        self.assertEqual((sorted(vdi["id"] for vdi in self.objects(type="VDI")), self.packs(self.other)), (disks, before))

    # --- Pools ---

    def test_readiness(self):
        self.assertEqual(self.call("pool.getGuestSecureBootReadiness", id=self.pool_id), "ready")
        self.steer(self.pool_id, "secureboot-readiness", "not_ready", cls="pool")
        self.assertEqual(self.call("pool.getGuestSecureBootReadiness", id=self.pool_id, forceRefresh=True), "not_ready")
        self.refused(1, "pool.getGuestSecureBootReadiness", id=self.master)

    def matching(self, **wanted):
        return [pool["id"] for pool in self.call("pool.listPoolsMatchingCriteria", **wanted)]

    def test_criteria(self):
        host = self.view(self.master)
        free = max(each["memory"]["size"] - each["memory"]["usage"] for each in self.objects(type="host"))
        room = max(sr["size"] - sr["physical_usage"] for sr in self.objects(type="SR"))
        for wanted in ({}, {"minAvailableHostMemory": free}, {"minAvailableSrSize": room}, {"minHostCpus": host["cpus"]["cores"]},
                       {"minHostVersion": "8.2.9"}, {"minHostVersion": host["version"]}, {"poolNameRegExp": "."}, {"srNameRegExp": "^Shared"}):
            self.assertEqual(self.matching(**wanted), [self.pool_id], wanted)
        for wanted in ({"minAvailableHostMemory": free + 1}, {"minAvailableSrSize": room + 1}, {"minHostCpus": host["cpus"]["cores"] + 1},
                       {"minHostVersion": "8.10"}, {"poolNameRegExp": "^of nobody$"}, {"srNameRegExp": "^of nobody$"}):
            self.assertEqual(self.matching(**wanted), [], wanted)
        self.refused(10, "pool.listPoolsMatchingCriteria", poolNameRegExp="(")
        self.call("user.create", email="stranger", password="a password")
        self.assertEqual(self.call("pool.listPoolsMatchingCriteria", login={"email": "stranger", "password": "a password"}), [])

    def test_patches(self):
        common, only = (self.put("pool_patch", None, name_label=name)["ref"] for name in ("common", "only"))
        for host, patches in ((self.master, (common,)), (self.other, (common, only))):
            for patch in patches:
                name = "common" if patch == common else "only"
                self.put("host_patch", None, name_label=name, host=self.view(host)["_xapiRef"], pool_patch=patch, applied=True)
        until(lambda: len(self.view(self.other)["patches"]) == 2, "the patches", PATIENCE)
        self.assertEqual(self.call("pool.getPatchesDifference", source=self.master, target=self.other), ["only"])
        self.assertEqual(self.call("pool.getPatchesDifference", source=self.other, target=self.master), [])
        self.refused(1, "pool.getPatchesDifference", source=self.master, target=self.pool_id)

    # --- Storages ---

    def test_driver(self):
        sr = self.sr()
        driver = self.call("sm.getFromSr", sr=sr["id"])
        self.assertEqual((driver["type"], driver["uuid"]), (sr["SR_type"], self.only(type="SM", SM_type=sr["SR_type"])["uuid"]))
        self.refused(1, "sm.getFromSr", sr=self.pool_id)

    def test_stats(self):
        """Of two hosts together; of none there is nothing to tell."""
        stats = self.call("sr.stats", id=self.sr()["id"], granularity="minutes")
        self.assertEqual((stats["interval"], sorted(stats["stats"])), (60, ["ioThroughput", "iops", "iowait", "latency"]))
        self.assertEqual(sorted(stats["stats"]["iowait"]), sorted(host["name_label"] for host in self.objects(type="host")))
        for kind in ("iops", "ioThroughput", "latency"):
            self.assertEqual(sorted(stats["stats"][kind]), ["r", "w"])
            self.assertGreater(max(value for value in stats["stats"][kind]["r"] if value is not None), 0, kind)
        n_rows = {len(column) for column in stats["stats"]["iowait"].values()}
        self.assertEqual({len(stats["stats"]["iops"]["r"])}, n_rows)
        self.refused(10, "sr.stats", id=self.sr()["id"], granularity="years")
        self.refused(1, "sr.stats", id=self.pool_id)
        idle = self.call("sr.createNfs", host=self.master, nameLabel="idle", nameDescription="", server="nas", serverPath="/exports/one")
        self.call("sr.disconnectAllPbds", id=idle)
        self.assertIn("attached to no host", self.refused(-32000, "sr.stats", id=idle).message)
        self.call("sr.forget", id=idle)

    # --- Addresses ---

    def ip_pool(self, *addresses, networks=None):
        id_ = self.call("ipPool.create", name="office", addresses=dict.fromkeys(addresses, {}), networks=networks or [])
        self.addCleanup(self.call_if_there, "ipPool.delete", id_)
        return id_

    def call_if_there(self, method, id_):
        self.socket().call(method, {"id": id_})

    def pool_of(self, id_):
        return next(pool for pool in self.call("ipPool.getAll") if pool["id"] == id_)

    def test_ip_pools(self):
        vm = self.objects(type="VM", power_state="Halted")[0]["id"]
        network = self.only(type="PIF", management=True, **{"$host": self.master})["$network"]
        id_ = self.ip_pool("10.99.0.7", "10.99.0.8", "fd00::7", networks=[network])
        vif = self.call("vm.createInterface", vm=vm, network=network, allowedIpv4Addresses=["10.99.0.7", "10.1.1.1"], allowedIpv6Addresses=["fd00::7"])
        self.assertEqual(self.pool_of(id_), {"id": id_, "name": "office", "networks": [network],
                                             "addresses": {"10.99.0.7": {"vifs": [vif]}, "10.99.0.8": {}, "fd00::7": {"vifs": [vif]}}})
        self.call("ipPool.set", id=id_, name="the office", addresses={"10.99.0.7": None, "10.99.0.9": {}})
        self.assertEqual(self.view(vif)["allowedIpv4Addresses"], ["10.1.1.1"])
        self.assertEqual((self.pool_of(id_)["name"], sorted(self.pool_of(id_)["addresses"])), ("the office", ["10.99.0.8", "10.99.0.9", "fd00::7"]))
        self.refused(10, "ipPool.create", addresses={"10.99.0": {}})
        self.refused(10, "ipPool.set", id=id_, addresses={"10.99.0.8": 1})
        self.refused(1, "ipPool.create", networks=[vm])
        self.refused(1, "ipPool.set", id="none", name="x")
        self.refused(1, "ipPool.delete", id="none")
        self.call("ipPool.delete", id=id_)
        self.assertEqual((self.view(vif)["allowedIpv4Addresses"], self.view(vif)["allowedIpv6Addresses"]), (["10.1.1.1"], []))
        self.call("vif.delete", id=vif)

    def test_ip_limit(self):
        """A resource set lends so many addresses of a pool, whoever of its subjects asks; and who is no subject sees none."""
        vm = self.objects(type="VM", power_state="Halted")[0]["id"]
        network = self.only(type="PIF", management=True, **{"$host": self.master})["$network"]
        id_ = self.ip_pool("10.99.0.7", "10.99.0.8", "10.99.0.9", networks=[network])
        user = self.call("user.create", email="tenant", password="a password")
        login = {"email": "tenant", "password": "a password"}
        self.assertEqual(self.call("ipPool.getAll", login=login), [])
        set_ = self.call("resourceSet.create", name="tenants", subjects=[user], objects=[network], limits={f"ipPool:{id_}": 2})["id"]
        self.call("resourceSet.set", id=set_, ipPools=[id_])
        self.assertEqual([pool["id"] for pool in self.call("ipPool.getAll", login=login)], [id_])
        self.assertEqual([pool["id"] for pool in self.call("ipPool.getAll", userId=user)], [id_])
        self.call("vm.set", id=vm, resourceSet=set_)
        vif = self.call("vm.createInterface", vm=vm, network=network, allowedIpv4Addresses=["10.99.0.7"])
        self.call("acl.add", subject=user, object=network, action="operator")
        self.assertEqual(self.call("resourceSet.get", id=set_)["limits"][f"ipPool:{id_}"], {"total": 2, "usage": 1})
        refused = self.refused(24, "vif.set", login, id=vif, allowedIpv4Addresses=["10.99.0.7", "10.99.0.8", "10.99.0.9"])
        self.assertEqual((refused.data[0]["available"], refused.data[0]["requested"]), (1, 2))
        self.assertEqual(self.view(vif)["allowedIpv4Addresses"], ["10.99.0.7"])
        self.call("vif.set", login, id=vif, allowedIpv4Addresses=["10.99.0.7", "10.99.0.8", "10.1.1.1"]) # the last is of no pool
        self.assertEqual(self.call("resourceSet.get", id=set_)["limits"][f"ipPool:{id_}"]["usage"], 2)
        self.refused(24, "vm.createInterface", login, vm=vm, network=network, allowedIpv4Addresses=["10.99.0.9"])
        self.call("ipPool.delete", id=id_)
        set_now = self.call("resourceSet.get", id=set_)
        self.assertEqual((set_now["ipPools"], set_now["limits"]), ([], {}))
        self.call("vif.delete", id=vif)
        self.call("vm.set", id=vm, resourceSet=None)
        self.call("resourceSet.delete", id=set_)


del Pool

if __name__ == "__main__":
    unittest.main()
