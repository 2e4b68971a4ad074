"""Storages through the API: probed, made of every kind, attached, forgotten and wiped, with each refusal, and the pool's own records
looked at afterwards."""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_api import until  # noqa: E402
from test_machines import Pool  # noqa: E402

IQN, CHAP = "iqn.2026-01.org.example:open", "iqn.2026-01.org.example:chap"
NAMED = {"nameLabel": "made here", "nameDescription": ""}
SECRET = "chap-secret"


class Storages(Pool):
    SIM = ("--hosts", 2, "--vms", 2, "--running", "0.5", "--boot-delay", "0.2", "--disk-size", "16MiB", "--seed", 62)

    def setUp(self):
        self.host = sorted(self.objects(type="host"), key=lambda host: host["address"])[0]["id"]
        self.xapi = self.sim.session()
        self.addCleanup(self.xapi.proxy("close"))

    def state(self):
        return {cls: sorted(self.xapi.call(f"{cls}.get_all_records")) for cls in ("SR", "PBD")}

    def refused_cleanly(self, code, method, words="", **params):
        before = self.state()
        error = self.refused(code, method, **params)
        self.assertIn(words, error.message)
        self.assertNotIn("OpaqueRef", error.message)
        self.assertEqual(self.state(), before)
        return error

    def probe(self, method, **params):
        return self.call("sr." + method, host=self.host, **params)

    def make(self, method, n_hosts, **params):
        """Makes a storage, looks at it, destroys it; returns the view and the configurations it had."""
        before = self.state()
        id_ = self.call("sr." + method, host=self.host, **NAMED, **params)
        view = self.view(id_)
        configs = [self.record("PBD", pbd)["device_config"] for pbd in view["$PBDs"]]
        self.assertEqual((view["name_label"], len(configs), view["other_config"]["auto-scan"]), ("made here", n_hosts, "true"))
        self.assertEqual(view["$container"], self.only(type="pool")["id"] if n_hosts == 2 else self.host)
        self.assertTrue(all(self.view(pbd)["attached"] for pbd in view["$PBDs"]))
        self.call("sr.destroy", id=id_)
        self.assertEqual(self.state(), before)
        return view, configs[0]

    # --- Probes ---

    def test_probes(self):
        self.assertEqual(self.probe("probeNfs", server="nas"), [{"path": "/exports/one", "acl": "*"},
                                                                {"path": "/exports/two & more", "acl": "10.0.0.0/8"}])
        self.assertEqual(self.probe("probeIscsiIqns", target="10.0.0.9"), [{"iqn": iqn, "ip": "10.0.0.9"} for iqn in (IQN, CHAP)])
        self.assertEqual(self.probe("probeIscsiIqns", target="array.invalid"), [])
        luns = self.probe("probeIscsiLuns", target="10.0.0.9", port=3260, targetIqn=IQN)
        self.assertEqual(luns[0], {"id": "0", "vendor": "SIM", "serial": "one", "size": "107374182400", "scsiId": "36001405aaaa1"})
        self.assertEqual(len(luns), 2)
        self.assertEqual([disk["scsiId"] for disk in self.probe("probeHba")], ["36001405bbbb1"])
        self.assertEqual(set(self.probe("probeHba")[0]), {"hba", "id", "lun", "path", "scsiId", "serial", "size", "vendor"})
        self.assertEqual(self.probe("probeZfs"), {"tank": {"mountpoint": "/tank"}})
        shared = self.sr()["id"]
        self.assertEqual(self.probe("probeNfsExists", server="127.0.0.1", serverPath="/exports/shared"), [{"uuid": shared}])
        self.assertEqual(self.probe("probeNfsExists", server="127.0.0.1", serverPath="/elsewhere"), [])
        self.assertEqual(self.probe("probeIscsiExists", target="10.0.0.9", targetIqn=IQN, scsiId="none"), [])
        self.assertEqual(self.probe("probeHbaExists", scsiId="none"), [])

    def test_probes_refused(self):
        self.refused_cleanly(-32000, "sr.probeNfs", "check the address", host=self.host, server="nas.invalid")
        self.refused_cleanly(-32000, "sr.probeNfsExists", host=self.host, server="nas.invalid", serverPath="/x")
        target = dict(host=self.host, target="10.0.0.9")
        self.refused_cleanly(-32000, "sr.probeIscsiLuns", "the login", targetIqn=CHAP, chapUser="someone", chapPassword="wrong", **target)
        self.assertEqual(len(self.call("sr.probeIscsiLuns", targetIqn=CHAP, chapUser="someone", chapPassword=SECRET, **target)), 2)
        self.refused_cleanly(-32000, "sr.probeIscsiExists", targetIqn="iqn.none", scsiId="x", **target)
        self.refused_cleanly(1, "sr.probeHba", host=self.sr()["id"])
        self.refused_cleanly(10, "sr.probeHbaExists", host=self.host)
        host = self.view(self.host)["_xapiRef"]
        self.xapi.call("host.add_to_other_config", host, "sim:no-plugin", "zfs.py")
        self.assertEqual(self.probe("probeZfs"), {})
        self.xapi.call("host.remove_from_other_config", host, "sim:no-plugin")

    # --- Made ---

    def test_create(self):
        view, config = self.make("createNfs", 2, server="nas", serverPath="/exports/one", nfsVersion="4.1", nfsOptions="soft")
        self.assertEqual((view["SR_type"], view["content_type"], view["shared"]), ("nfs", "user", True))
        self.assertEqual(config, {"server": "nas", "serverpath": "/exports/one", "nfsversion": "4.1", "options": "soft"})
        _, config = self.make("createSmb", 2, server="\\\\nas\\share", user="me", password="pw")
        self.assertEqual(config, {"server": "\\\\nas\\share", "username": "me", "password": "pw"})
        view, config = self.make("createIscsi", 2, target="10.0.0.9", port=3261, targetIqn=CHAP, scsiId="36001405aaaa1",
                                 chapUser="someone", chapPassword=SECRET)
        self.assertEqual(config, {"target": "10.0.0.9", "port": "3261", "targetIQN": CHAP, "SCSIid": "36001405aaaa1",
                                  "chapuser": "someone", "chappassword": SECRET})
        self.assertEqual((view["SR_type"], view["allocationStrategy"]), ("lvmoiscsi", "thick"))
        self.assertEqual(self.make("createHba", 2, scsiId="36001405bbbb1")[1], {"SCSIid": "36001405bbbb1"})
        self.assertEqual(self.make("createLvm", 1, device="/dev/sdb")[1], {"device": "/dev/sdb"})
        self.assertEqual(self.make("createExt", 1, device="/dev/sdb")[0]["SR_type"], "ext")
        self.assertEqual(self.make("createZfs", 1, location="/tank")[1], {"location": "/tank"})

    def test_create_iso(self):
        view, config = self.make("createIso", 1, path="/isos", type="local")
        self.assertEqual((config, view["content_type"]), ({"location": "/isos", "legacy_mode": "true"}, "iso"))
        _, config = self.make("createIso", 2, path="nas:/isos", type="nfs", nfsVersion="4")
        self.assertEqual(config, {"location": "nas:/isos", "nfsversion": "4"})
        _, config = self.make("createIso", 2, path="\\\\nas\\isos", type="smb", user="me", password="pw")
        self.assertEqual(config, {"location": "//nas/isos", "type": "cifs", "username": "me", "cifspassword": "pw"})

    def test_create_any(self):
        """In the driver's words, with passwords that nobody sees."""
        id_ = self.call("sr.create", host=self.host, SR_type="smb", name_label="any", device_config={"server": "\\\\nas\\x", "password": "any-" + SECRET})
        view = self.view(id_)
        self.assertEqual((view["name_label"], view["shared"], len(view["$PBDs"])), ("any", True, 2))
        self.assertNotIn(SECRET, self.server.command("--json", "audit.getRecords").stdout)
        self.call("sr.destroy", id=id_)
        local = self.call("sr.create", host=self.host, SR_type="ext", name_label="any", device_config={"device": "/dev/sdf"})
        self.assertEqual(self.view(local)["$container"], self.host)
        self.call("sr.destroy", id=local)
        self.refused_cleanly(-32000, "sr.create", "no driver", host=self.host, SR_type="tape", name_label="x", device_config={})
        self.refused_cleanly(10, "sr.create", "must be a text", host=self.host, SR_type="nfs", name_label="x", device_config={"server": 1})
        self.refused_cleanly(-32000, "sr.create", "missing", host=self.host, SR_type="nfs", name_label="x", device_config={"server": "nas"})

    def test_create_refused(self):
        common = dict(host=self.host, **NAMED)
        self.refused_cleanly(-32000, "sr.createNfs", "check the address", server="nas.invalid", serverPath="/x", **common)
        self.refused_cleanly(-32000, "sr.createSmb", "could not be mounted", server="nas.invalid", **common)
        self.refused_cleanly(-32000, "sr.createIscsi", "cannot be reached", target="array.invalid", targetIqn=IQN, scsiId="x", **common)
        self.refused_cleanly(-32000, "sr.createIscsi", "the login", target="10.0.0.9", targetIqn=CHAP, scsiId="x", chapUser="someone",
                             chapPassword="wrong", **common)
        self.refused_cleanly(-32000, "sr.createIso", "library", path="nas.invalid:/isos", type="nfs", **common)
        self.refused_cleanly(10, "sr.createIso", path="/x", type="tape", **common)
        self.refused_cleanly(10, "sr.createHba", scsiId="", **common)
        self.refused_cleanly(1, "sr.createZfs", host=self.sr()["id"], location="/tank", **NAMED)
        first = self.call("sr.createExt", device="/dev/sdc", **common)
        self.refused_cleanly(-32000, "sr.createExt", "another storage", device="/dev/sdc", **common)
        self.call("sr.destroy", id=first)

    def test_reattach(self):
        """What was forgotten lies there still, is found, and comes back with its uuid."""
        where = dict(server="nas", serverPath="/exports/two & more")
        id_ = self.call("sr.createNfs", host=self.host, **NAMED, **where)
        self.refused_cleanly(-32000, "sr.createNfs", "already", host=self.host, srUuid=id_, **NAMED, **where)
        self.call("sr.forget", id=id_)
        self.assertEqual(self.objects(id=id_), [])
        self.assertEqual(self.probe("probeNfsExists", **where), [{"uuid": id_}])
        before = self.state()
        self.refused(-32000, "sr.createNfs", host=self.host, srUuid=id_, nameLabel="x", nameDescription="", server="nas.invalid", serverPath="/")
        self.assertEqual(self.state(), before)
        self.assertEqual(self.call("sr.createNfs", host=self.host, srUuid=id_, nameLabel="back", nameDescription="again", **where), id_)
        view = self.view(id_)
        self.assertEqual((view["name_label"], [self.view(pbd)["attached"] for pbd in view["$PBDs"]]), ("back", [True, True]))
        self.call("sr.destroy", id=id_)
        self.assertEqual(self.probe("probeNfsExists", **where), [])

    def test_secrets(self):
        """Passwords of storages are in no answer, no log and no trail."""
        id_ = self.call("sr.createIscsi", host=self.host, target="10.0.0.9", targetIqn=CHAP, scsiId="36001405aaaa2", chapUser="someone",
                        chapPassword=SECRET, **NAMED)
        smb = self.call("sr.createSmb", host=self.host, server="\\\\nas\\s", user="me", password="smb-" + SECRET, **NAMED)
        self.refused(-32000, "sr.createSmb", host=self.host, server="nas.invalid", user="me", password="bad-" + SECRET, **NAMED)
        self.assertNotIn(SECRET, json.dumps(self.call("xo.getAllObjects")))
        self.assertNotIn(SECRET, (self.folder / "server.log").read_text())
        trail = self.server.command("--json", "audit.getRecords").stdout
        self.assertIn("sr.createSmb", trail)
        self.assertNotIn(SECRET, trail)
        for each in (id_, smb):
            self.call("sr.destroy", id=each)

    # --- Kept ---

    def test_set_and_scan(self):
        sr = self.sr()
        self.call("sr.set", id=sr["id"], name_label="renamed", name_description="")
        self.assertEqual([self.view(sr["id"])[key] for key in ("name_label", "name_description")], ["renamed", ""])
        self.call("sr.set", id=sr["id"], name_label=sr["name_label"], name_description=sr["name_description"])
        self.refused_cleanly(10, "sr.set", id=sr["id"], name_label="")
        used = self.record("SR", sr["id"])["physical_utilisation"]
        self.sim.control("/sim/objects", {"class": "SR", "uuid": sr["id"], "fields": {"physical_utilisation": 1}})
        self.call("sr.scan", id=sr["id"])
        self.assertEqual(self.record("SR", sr["id"])["physical_utilisation"], used)
        lonely = self.xapi.call("SR.introduce", "01234567-89ab-4def-8123-456789abcdef", "lonely", "", "nfs", "user", True, {})
        id_ = until(lambda: [each["id"] for each in self.objects(type="SR", name_label="lonely")], "the new storage", 30)[0]
        self.refused_cleanly(-32000, "sr.scan", "not attached", id=id_)
        self.refused_cleanly(-32000, "sr.reclaimSpace", "attach it first", id=id_)
        self.xapi.call("SR.forget", lonely)

    def test_attachments(self):
        id_ = self.call("sr.createNfs", host=self.host, server="nas", serverPath="/exports/one", **NAMED)
        attached = lambda: [self.view(pbd)["attached"] for pbd in self.view(id_)["$PBDs"]]
        self.call("sr.disconnectAllPbds", id=id_)
        self.assertEqual(attached(), [False, False])
        self.call("sr.connectAllPbds", id=id_)
        self.assertEqual(attached(), [True, True])
        self.call("sr.forget", id=id_)
        self.refused_cleanly(1, "sr.connectAllPbds", id=id_)

    def test_detach_is_undone(self):
        """A storage that a machine of one host uses, whichever it is, is detached from no host."""
        sr, vm = self.sr()["id"], self.vm("Running")["id"]
        attached = lambda: [self.view(pbd)["attached"] for pbd in self.view(sr)["$PBDs"]]
        for host in self.objects(type="host"):
            self.call("vm.stop", id=vm, force=True)
            self.call("vm.start", id=vm, host=host["id"])
            for method in ("sr.disconnectAllPbds", "sr.forget"):
                self.refused_cleanly(17, method, id=sr)
                self.assertEqual(attached(), [True, True])
        self.refused_cleanly(-32000, "sr.destroy", "disks", id=sr)
        self.assertEqual(attached(), [True, True])

    def test_indestructible(self):
        id_ = self.call("sr.createLvm", host=self.host, device="/dev/sdd", **NAMED)
        ref = self.view(id_)["_xapiRef"]
        self.xapi.call("SR.add_to_other_config", ref, "indestructible", "true")
        for method in ("sr.destroy", "sr.forget"):
            self.refused_cleanly(-32000, method, "indestructible", id=id_)
            self.assertTrue(self.view(self.view(id_)["$PBDs"][0])["attached"], "attached again")
        self.xapi.call("SR.remove_from_other_config", ref, "indestructible")
        self.call("sr.reclaimSpace", id=id_)
        self.refused_cleanly(-32000, "sr.reclaimSpace", "not supported", id=self.sr()["id"])
        self.call("sr.destroy", id=id_)

    def test_chains(self):
        self.sim.control("/sim/coalesce", {"seconds": 3600})
        self.addCleanup(self.sim.control, "/sim/coalesce", {"seconds": 0})
        sr, vm = self.sr()["id"], self.vm()["id"]
        self.assertEqual(self.call("sr.getVdiChainsInfo", id=sr), {"unhealthyVdis": {}, "vdisWithUnknownVhdParent": []})
        snapshots = []
        for i in range(2):
            snapshots.append(self.call("vm.snapshot", id=vm, name=f"s{i}"))
            self.sim.write(vm, 1 << 20, i)
        self.assertEqual(self.call("sr.getVdiChainsInfo", id=sr)["unhealthyVdis"], {})
        for snapshot in snapshots:
            self.call("vm.delete", id=snapshot)
        disk = next(self.view(vbd)["VDI"] for vbd in self.view(vm)["$VBDs"] if not self.view(vbd)["is_cd_drive"])
        self.assertEqual(self.call("sr.getVdiChainsInfo", id=sr), {"unhealthyVdis": {disk: 2}, "vdisWithUnknownVhdParent": []})
        self.assertEqual(self.call("sr.getUnhealthyVdiChainsLength", id=sr), {disk: 2})
        self.assertEqual(self.call("sr.getAllUnhealthyVdiChainsLength"), {sr: {disk: 2}})

    def test_maintenance(self):
        sr, vm = self.sr()["id"], self.vm("Running")["id"]
        error = self.refused_cleanly(25, "sr.enableMaintenanceMode", "vmsToShutdown", id=sr)
        self.assertEqual((error.data["expected"], error.data["property"]), ([vm], "vmsToShutdown"))
        self.refused_cleanly(25, "sr.disableMaintenanceMode", "not in", id=sr)
        self.assertEqual(self.view(vm)["power_state"], "Running")
        self.call("sr.enableMaintenanceMode", id=sr, vmsToShutdown=[vm])
        view = self.view(sr)
        self.assertTrue(view["inMaintenanceMode"])
        self.assertEqual([self.view(pbd)["attached"] for pbd in view["$PBDs"]], [False, False])
        self.assertEqual(self.view(vm)["power_state"], "Halted")
        state = json.loads(view["other_config"]["xo:maintenanceState"])
        self.assertEqual((state["shutdownVms"], sorted(state["unpluggedPbds"])), ({vm: False}, sorted(view["$PBDs"])))
        self.refused_cleanly(25, "sr.enableMaintenanceMode", "already in", id=sr)
        self.call("sr.disableMaintenanceMode", id=sr)
        self.assertEqual([self.view(pbd)["attached"] for pbd in view["$PBDs"]], [True, True])
        self.assertEqual((self.view(vm)["power_state"], self.view(sr)["inMaintenanceMode"]), ("Running", False))
        self.sim.fault(kind="error", method="PBD.unplug", nth=2, error=["SR_BACKEND_FAILURE_46", "", "busy", ""])
        self.refused_cleanly(-32000, "sr.enableMaintenanceMode", "busy", id=sr, vmsToShutdown=[vm])
        self.assertEqual([self.view(pbd)["attached"] for pbd in view["$PBDs"]], [True, True])
        self.assertEqual((self.view(vm)["power_state"], self.view(sr)["inMaintenanceMode"]), ("Running", False))


del Pool

if __name__ == "__main__":
    unittest.main()
