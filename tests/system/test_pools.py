"""Pools through the API: settings, master, high availability, updates, and the rolling restart: each in its good way and in its
refusals, also when the server is killed in its middle."""
import json
import pathlib
import shutil
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim, Xapi  # noqa: E402
from test_api import until  # noqa: E402
from test_machines import Pool  # noqa: E402

PATIENCE = 60
PACKAGES = [{"name": "xapi-core", "version": "24.19.2", "release": "1.9", "description": "the toolstack", "size": 123, "license": "LGPL"},
            {"name": "xen-hypervisor", "version": "4.17.5", "release": "4", "description": "the hypervisor", "size": 456, "license": "GPL"}]


class Pools(Pool):
    SIM = ("--hosts", 3, "--vms", 2, "--running", "1", "--boot-delay", "0.2", "--disk-size", "16MiB", "--seed", 65)

    def setUp(self):
        self.pool_id = self.only(type="pool")["id"]
        self.addCleanup(self.check_whole)

    def check_whole(self):
        self.sim.control("/sim/faults/clear", {})
        self.assertEqual([(host["enabled"], host["power_state"]) for host in self.objects(type="host")], [(True, "Running")] * 3)
        self.assertEqual({vm["power_state"] for vm in self.objects(type="VM")}, {"Running"})

    def hosts(self):
        """The master first."""
        return sorted(self.objects(type="host"), key=lambda host: (host["id"] != self.whole()["master"], host["name_label"]))

    def whole(self):
        return self.view(self.pool_id)

    def xapi(self, method, *params):
        session = self.sim.session()
        try:
            return session.call(method, *params)
        finally:
            session.proxy("close")()

    def steer(self, host, key, value):
        self.xapi("host.add_to_other_config", host["_xapiRef"], "sim:" + key, value)
        self.addCleanup(self.xapi, "host.remove_from_other_config", host["_xapiRef"], "sim:" + key)

    def homes(self):
        return {vm["id"]: vm["$container"] for vm in self.objects(type="VM")}

    # --- Settings ---

    def test_set(self):
        sr = next(sr for sr in self.objects(type="SR") if sr["content_type"] == "user" and not sr["shared"])["id"]
        network = self.objects(type="network")[0]["id"]
        before = self.whole()
        self.call("pool.set", id=self.pool_id, name_label="renamed", name_description="", auto_poweron=True, migrationCompression=True,
                  suspendSr=sr, crashDumpSr=sr, backupNetwork=network, migrationNetwork=network)
        view = self.whole()
        self.assertEqual([view[key] for key in ("name_label", "name_description", "auto_poweron", "migrationCompression", "suspendSr", "crashDumpSr")],
                         ["renamed", "", True, True, sr, sr])
        self.assertEqual([view["otherConfig"]["xo:" + key] for key in ("backupNetwork", "migrationNetwork")], [network, network])
        self.call("pool.set", id=self.pool_id, name_label=before["name_label"], auto_poweron=False, suspendSr=None, crashDumpSr=before["crashDumpSr"],
                  backupNetwork=None, migrationNetwork=None)
        view = self.whole()
        self.assertFalse({"xo:backupNetwork", "xo:migrationNetwork"} & set(view["otherConfig"]))
        self.assertEqual((view["auto_poweron"], view.get("suspendSr")), (False, None))
        self.call("pool.set", id=self.pool_id, suspendSr=before["suspendSr"])
        self.refused(1, "pool.set", id=self.pool_id, suspendSr=network)
        self.refused(10, "pool.set", id=self.pool_id, name_label="")

    def test_default_sr(self):
        before, local = self.whole()["default_SR"], next(sr for sr in self.objects(type="SR") if sr["SR_type"] == "ext")["id"]
        self.call("pool.setDefaultSr", sr=local)
        self.assertEqual(self.whole()["default_SR"], local)
        self.call("pool.setDefaultSr", sr=before)
        self.refused(1, "pool.setDefaultSr", sr=self.pool_id)

    def test_licence(self):
        self.assertEqual(self.call("pool.getLicenseState", pool=self.pool_id), {"edition": "xcp-ng", "expiry": "never"})

    def test_management(self):
        network = next(self.view(pif)["$network"] for pif in self.hosts()[0]["PIFs"] if self.view(pif)["management"])
        pifs = [pif for pif in self.xapi("PIF.get_all_records").values() if pif["device"] == "eth1"]
        second = self.view(pifs[0]["uuid"])["$network"]
        for pif in pifs:
            self.call("pif.reconfigureIp", id=pif["uuid"], mode="DHCP")
        for wanted, device in ((second, "eth1"), (network, "eth0")):
            self.call("pool.managementReconfigure", pool=self.pool_id, network=wanted)
            self.assertEqual([pif["device"] for pif in self.xapi("PIF.get_all_records").values() if pif["management"]], [device] * 3)
        for pif in pifs:
            self.call("pif.reconfigureIp", id=pif["uuid"], mode="None")
        internal = self.call("network.create", pool=self.pool_id, name="inside")
        error = self.refused(-32000, "pool.managementReconfigure", pool=self.pool_id, network=internal)
        self.assertIn("has no interface on network inside", error.message)
        self.call("network.delete", id=internal)

    def test_master(self):
        """The pool is the same under another master."""
        old, new = self.hosts()[:2]
        self.call("host.disable", id=new["id"])
        self.assertIn(new["name_label"], self.refused(-32000, "pool.setPoolMaster", host=new["id"]).message)
        self.call("host.enable", id=new["id"])
        self.call("pool.setPoolMaster", host=new["id"])
        until(lambda: self.whole()["master"] == new["id"], "the new master", PATIENCE)
        self.assertEqual(self.sim_master(new), new["_xapiRef"])
        self.call("pool.set", id=self.pool_id, name_description="under another master")
        self.assertEqual(self.whole()["name_description"], "under another master")
        with self.assertRaises(Refused) as caught:
            self.sim.session()
        self.assertEqual((caught.exception.code, caught.exception.data), ("HOST_IS_SLAVE", [new["address"]]))
        self.call("pool.setPoolMaster", host=old["id"])
        until(lambda: self.whole()["master"] == old["id"], "the old master", PATIENCE)

    def sim_master(self, host):
        """As that host itself says it."""
        xapi = Xapi(f"http://{host['address']}:{self.sim.plain_url.rsplit(':', 1)[1]}".rstrip("/"), self.sim.password)
        try:
            return next(iter(xapi.call("pool.get_all_records").values()))["master"]
        finally:
            xapi.proxy("close")()

    def test_availability(self):
        shared, local = self.sr()["id"], next(sr for sr in self.objects(type="SR") if sr["SR_type"] == "ext")["id"]
        self.assertIn("not shared", self.refused(-32000, "pool.enableHa", pool=self.pool_id, heartbeatSrs=[local]).message)
        self.refused(-32000, "pool.enableHa", pool=self.pool_id, heartbeatSrs=[])
        self.assertFalse(self.whole()["HA_enabled"])
        self.call("pool.enableHa", pool=self.pool_id, heartbeatSrs=[shared], configuration={"timeout": "60"})
        self.assertEqual((self.whole()["HA_enabled"], self.whole()["haSrs"]), (True, [shared]))
        self.assertIn("switch it off", self.refused(-32000, "pool.enableHa", pool=self.pool_id, heartbeatSrs=[shared]).message)
        self.assertIn("availability", self.refused(-32000, "pool.rollingReboot", pool=self.pool_id).message)
        self.call("pool.disableHa", pool=self.pool_id)
        self.assertFalse(self.whole()["HA_enabled"])
        self.call("pool.disableHa", pool=self.pool_id) # it is off, and that is well

    # --- Updates ---

    def test_patches(self):
        host = self.hosts()[1]
        self.assertEqual(self.call("pool.listMissingPatches", host=host["id"]), [])
        self.steer(host, "updates", json.dumps(PACKAGES))
        self.assertEqual(self.call("pool.listMissingPatches", host=host["id"]), PACKAGES)
        self.refused(0, "pool.installPatches", hosts=[host["id"]], patches=["xapi-core"])
        self.refused(10, "pool.installPatches")
        self.steer(host, "updates-fail", "the mirror is down")
        self.assertIn("the mirror is down", self.refused(-32000, "pool.installPatches", hosts=[host["id"]]).message)
        self.assertIn("the mirror is down", self.refused(-32000, "pool.listMissingPatches", host=host["id"]).message)
        self.assertFalse(self.view(host["id"])["rebootRequired"])
        self.xapi("host.remove_from_other_config", host["_xapiRef"], "sim:updates-fail")
        self.call("pool.installPatches", hosts=[host["id"]])
        self.assertEqual(self.call("pool.listMissingPatches", host=host["id"]), [])
        self.assertTrue(self.view(host["id"])["rebootRequired"])
        self.call("host.restart", id=host["id"])
        until(lambda: self.view(host["id"])["enabled"] and not self.view(host["id"])["rebootRequired"], "the restart", PATIENCE)
        self.steer(host, "no-plugin", "updater.py")
        self.assertIn("updater.py", self.refused(-32000, "pool.listMissingPatches", host=host["id"]).message)

    def test_rolling_update(self):
        """Only what has updates is restarted."""
        host, homes = self.hosts()[2], self.homes()
        started = {each["id"]: each["startTime"] for each in self.hosts()}
        self.steer(host, "updates", json.dumps(PACKAGES))
        self.call("pool.rollingUpdate", pool=self.pool_id)
        self.assertEqual([each["id"] for each in self.hosts() if each["startTime"] != started[each["id"]]], [host["id"]])
        self.assertEqual(self.call("pool.listMissingPatches", host=host["id"]), [])
        self.assertEqual(self.homes(), homes)

    # --- Rolling ---

    def test_rolling_reboot(self):
        """Each host once, the master first, and everything as before afterwards."""
        self.call("pool.set", id=self.pool_id, auto_poweron=True)
        homes, started = self.homes(), {host["id"]: host["startTime"] for host in self.hosts()}
        self.call("pool.rollingReboot", pool=self.pool_id)
        times = [host["startTime"] for host in self.hosts()]
        self.assertTrue(all(host["startTime"] > started[host["id"]] for host in self.hosts()))
        self.assertEqual(min(times), times[0], "the master is the first")
        self.assertEqual(self.homes(), homes)
        self.assertTrue(self.whole()["auto_poweron"])
        self.call("pool.set", id=self.pool_id, auto_poweron=False)

    def test_rolling_refused(self):
        vm = self.objects(type="VM")[0]
        started = {host["id"]: host["startTime"] for host in self.hosts()}
        self.call("host.disable", id=self.hosts()[1]["id"])
        self.assertIn("out of service", self.refused(-32000, "pool.rollingReboot", pool=self.pool_id).message)
        self.call("host.enable", id=self.hosts()[1]["id"])
        local = next(sr for sr in self.objects(type="SR") if sr["$container"] == vm["$container"])
        disk = self.call("disk.create", name="local", size=1 << 20, sr=local["id"], vm=vm["id"])
        error = self.refused(-32000, "pool.rollingReboot", pool=self.pool_id)
        self.assertIn(vm["name_label"] + " cannot leave", error.message)
        self.assertEqual({host["id"]: host["startTime"] for host in self.hosts()}, started)
        self.call("pool.rollingReboot", pool=self.pool_id, shutdownPinnedVms=True)
        self.assertTrue(all(host["startTime"] > started[host["id"]] for host in self.hosts()))
        self.assertEqual(self.view(vm["id"])["power_state"], "Running")
        self.call("vm.stop", id=vm["id"], force=True)
        self.call("vdi.delete", id=disk)
        self.call("vm.start", id=vm["id"])

    def test_rolling_ends(self):
        """A host that cannot restart ends it: the others were done, this one is in service again."""
        started = {host["id"]: host["startTime"] for host in self.hosts()}
        homes = self.homes()
        self.sim.fault(kind="error", method="host.reboot", nth=2, error=["HOST_STILL_BOOTING"])
        error = self.refused(-32000, "pool.rollingReboot", pool=self.pool_id)
        self.assertIn("1 of 3 were done", error.message)
        task = self.call("task.getAll", objectId=self.pool_id)[-1]
        self.assertEqual((task["properties"]["method"], task["status"], [step["status"] for step in task["tasks"]]),
                         ("pool.rollingReboot", "failure", ["success", "failure"]))
        self.assertEqual([host["startTime"] > started[host["id"]] for host in self.hosts()], [True, False, False])
        self.assertEqual(self.homes(), homes)


class Impatient(Pool):
    """A server that waits for hosts no longer than a moment: what does not come is told, and nothing has changed."""
    SIM = ("--hosts", 2, "--vms", 1, "--running", "0", "--disk-size", "1MiB", "--seed", 68)
    OPTIONS = ("--limit", "host-wait-ms=900")

    def lied_to(self, call, words, *refused, **params):
        """The pool says that it did, and did not."""
        self.sim.fault(kind="answer", method=call)
        before = self.all_hosts()
        self.assertRegex(self.refused(-32000, *refused, **params).message, words)
        self.assertEqual(self.all_hosts(), before)

    def all_hosts(self):
        return sorted((each["id"], each["$pool"], each["enabled"]) for each in self.objects(type="host"))

    def test_waiting(self):
        pool = self.only(type="pool")
        host = next(each for each in self.objects(type="host") if each["id"] != pool["master"])
        self.lied_to("host.restart_agent", f"host {host['name_label']} has not come back for 0 s", "host.restartAgent", id=host["id"])
        self.lied_to("pool.designate_new_master", "has not become the master within 0 s", "pool.setPoolMaster", host=host["id"])
        self.assertEqual(self.view(pool["id"])["master"], pool["master"])

    def test_merging(self):
        pool = self.only(type="pool")["id"]
        other = Sim("--hosts", 1, "--vms", 0, "--seed", 69)
        self.addCleanup(other.stop)
        self.server.connect(other)
        source = next(each for each in self.objects(type="pool") if each["id"] != pool)
        master = self.view(source["master"])
        made = other.control("/sim/objects", {"class": "host_patch", "fields": {"name_label": "XS82E001", "host": master["_xapiRef"]}})
        until(lambda: self.view(master["id"])["patches"], "the patch", PATIENCE)
        self.assertIn("have different patches", self.refused(-32000, "pool.mergeInto", target=pool, source=source["id"]).message)
        other.control("/sim/objects", {"class": "host_patch", "uuid": made["uuid"], "fields": {"host": "OpaqueRef:NULL"}})
        until(lambda: not self.view(master["id"])["patches"], "no patch", PATIENCE)
        other.fault(kind="answer", method="pool.join")
        self.assertIn("which does not show it yet", self.refused(-32000, "pool.mergeInto", target=pool, source=source["id"]).message)
        self.assertEqual({each["$pool"] for each in self.objects(type="host")}, {pool})  # its connection was forgotten


class Alone(Pool):
    SIM = ("--hosts", 1, "--vms", 1, "--running", "1", "--disk-size", "16MiB", "--seed", 66)

    def test_alone(self):
        pool = self.only(type="pool")["id"]
        self.assertIn("one host", self.refused(-32000, "pool.rollingReboot", pool=pool).message)
        self.assertIn("two hosts", self.refused(-32000, "pool.enableHa", pool=pool, heartbeatSrs=[self.sr()["id"]]).message)
        self.call("pool.emergencyShutdown", pool=pool)
        until(self.is_silent, "nobody answers there", PATIENCE)
        self.sim.control("/sim/hosts/find", {"host": self.sim_host()})
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        self.assertEqual([host["enabled"] for host in session.call("host.get_all_records").values()], [False])
        self.assertEqual({vm["power_state"] for vm in session.call("VM.get_all_records").values()
                          if not (vm["is_a_template"] or vm["is_control_domain"] or vm["is_a_snapshot"])} - {"Suspended"}, set())

    def is_silent(self):
        try:
            self.sim.session().proxy("close")()
        except OSError:
            return True
        return False

    def sim_host(self):
        return self.objects(type="host")[0]["name_label"]


class Killed(unittest.TestCase):
    """The server is killed while a host is away."""

    def test_killed(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-killed-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        sim = Sim("--hosts", 2, "--vms", 1, "--running", "1", "--boot-delay", "0.2", "--disk-size", "16MiB", "--seed", 67)
        self.addCleanup(sim.stop)
        server = Server(str(folder / "data"), log=folder / "server.log")
        self.addCleanup(server.stop)
        server.connect(sim)
        pool = server.objects(type="pool")[0]
        server.call("pool.set", id=pool["id"], auto_poweron=True)
        member = next(host for host in server.objects(type="host") if host["id"] != pool["master"])
        home = server.objects(type="VM")[0]["$container"]
        session = sim.session()
        session.call("host.add_to_other_config", member["_xapiRef"], "sim:reboot-ms", "3000")
        session.call("host.add_to_other_config", member["_xapiRef"], "sim:stays-disabled", "true")
        session.proxy("close")()
        roll = threading.Thread(target=self.roll, args=(server, pool["id"]))
        roll.start()
        until(lambda: self.is_away(server, member["id"]), "the member is away", PATIENCE)
        server.kill()
        roll.join(PATIENCE)
        again = Server(str(folder / "data"), log=folder / "server.log")
        self.addCleanup(again.stop)
        again.env["CADENZA_TOKEN"] = server.env["CADENZA_TOKEN"]
        until(lambda: [host["enabled"] for host in again.objects(type="host")] == [True, True], "both in service", PATIENCE)
        until(lambda: again.objects(type="pool")[0]["auto_poweron"], "the setting is back", PATIENCE)
        until(lambda: [(vm["power_state"], vm["$container"]) for vm in again.objects(type="VM")] == [("Running", home)], "at home", PATIENCE)
        told = until(lambda: again.objects(type="message", name="CADENZA_INTERRUPTED"), "the message", PATIENCE)
        self.assertIn("rolling reboot", told[0]["body"])
        self.assertIn("was interrupted", (folder / "server.log").read_text())

    @staticmethod
    def roll(server, pool):
        try:
            server.call("pool.rollingReboot", pool=pool)
        except (Refused, RuntimeError):
            pass

    @staticmethod
    def is_away(server, host):
        return [each for each in server.objects(id=host) if each["power_state"] == "Halted"]


del Pool

if __name__ == "__main__":
    unittest.main()
