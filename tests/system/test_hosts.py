"""Hosts through the API: settings, health, in and out of service, up and down, each in its good way and in its refusals, with the
pool looked at afterwards: no host stays out of service that should not, no machine is lost or left asleep."""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_api import until  # noqa: E402
from test_machines import Pool  # noqa: E402

PATIENCE = 60
PEM = "-----BEGIN {0}-----\nQUJDREVGRw==\n-----END {0}-----\n"


class Hosts(Pool):
    SIM = ("--hosts", 3, "--vms", 2, "--running", "1", "--boot-delay", "0.2", "--disk-size", "16MiB", "--seed", 63)

    def setUp(self):
        self.xapi = self.sim.session()
        self.addCleanup(self.xapi.proxy("close"))
        self.master = self.only(type="pool")["master"]
        self.other = next(host["id"] for host in self.objects(type="host") if host["id"] != self.master)
        self.addCleanup(self.check_whole)

    def check_whole(self):
        """Every test leaves the pool as it found it."""
        self.sim.control("/sim/faults/clear", {})
        self.assertEqual([(host["enabled"], host["power_state"]) for host in self.objects(type="host")], [(True, "Running")] * 3)
        self.assertEqual({vm["power_state"] for vm in self.objects(type="VM")}, {"Running"})

    def host(self, id_=None):
        return self.view(id_ or self.other)

    def again(self, method, *params):
        """A call on the pool, by a session that may have ended with its master."""
        session = self.sim.session()
        try:
            return session.call(method, *params)
        finally:
            session.proxy("close")()

    def steer(self, key, value, id_=None):
        ref = self.host(id_)["_xapiRef"]
        self.again("host.add_to_other_config", ref, "sim:" + key, value)
        self.addCleanup(self.again, "host.remove_from_other_config", ref, "sim:" + key)

    def bring_vm(self, id_):
        """A machine that runs on this host, and whose guest has reported, so that it can be suspended."""
        vm = self.objects(type="VM", power_state="Running")[0]
        if vm["$container"] != id_:
            self.again("VM.pool_migrate", vm["_xapiRef"], self.view(id_)["_xapiRef"], {})
            until(lambda: self.view(vm["id"])["$container"] == id_, "the machine on its host", PATIENCE)
        until(lambda: self.view(vm["id"])["pvDriversDetected"], "the tools of the guest", PATIENCE)
        return vm["id"]

    def comes_back(self, id_):
        until(lambda: self.view(id_)["power_state"] == "Running" and self.view(id_)["enabled"], "the host comes back", PATIENCE)
        self.assertEqual(self.seen(id_), (True, True))

    def seen(self, id_):
        """(live, enabled), as the pool itself says it."""
        host = self.again("host.get_record", self.view(id_)["_xapiRef"])
        return self.again("host_metrics.get_live", host["metrics"]), host["enabled"]

    # --- Settings ---

    def test_set(self):
        before = self.host()
        self.call("host.set", id=self.other, name_label="renamed", name_description="", iscsiIqn="iqn.2026-01.org.example:host")
        view = self.host()
        self.assertEqual((view["name_label"], view["name_description"], view["iscsiIqn"]), ("renamed", "", "iqn.2026-01.org.example:host"))
        self.call("host.set", id=self.other, name_label=before["name_label"])
        self.refused(10, "host.set", id=self.other, name_label="")
        self.refused(1, "host.set", id=self.only(type="pool")["id"], name_label="x")

    def test_multipathing(self):
        for vm in self.objects(type="VM"):
            self.call("vm.stop", id=vm["id"], force=True)
            self.addCleanup(self.call, "vm.start", id=vm["id"])
        self.call("host.set", id=self.other, multipathing=True)
        self.assertTrue(self.host()["multipathing"])
        self.assertTrue(all(self.view(pbd)["attached"] for pbd in self.host()["$PBDs"]))
        self.call("host.set", id=self.other, multipathing=False)

    def test_multipathing_refused(self):
        self.bring_vm(self.other)
        self.refused(17, "host.set", id=self.other, multipathing=True)
        self.assertTrue(all(self.view(pbd)["attached"] for pbd in self.host()["$PBDs"]))

    def test_syslog(self):
        self.call("host.setRemoteSyslogHost", id=self.other, syslogDestination="10.0.0.5")
        self.assertEqual(self.host()["logging"]["syslog_destination"], "10.0.0.5")
        self.call("host.setRemoteSyslogHost", id=self.other, syslogDestination=None)
        self.assertNotIn("syslog_destination", self.host()["logging"])
        self.refused(10, "host.setRemoteSyslogHost", id=self.other)

    def test_granularity(self):
        self.assertEqual(self.call("host.getSchedulerGranularity", host=self.other), "cpu")
        self.call("host.setSchedulerGranularity", host=self.other, schedulerGranularity="core")
        self.assertEqual(self.call("host.getSchedulerGranularity", host=self.other), "core")
        self.refused(10, "host.setSchedulerGranularity", host=self.other, schedulerGranularity="atom")

    def test_interfaces(self):
        self.call("host.scanPifs", id=self.other)
        devices = sorted(self.view(pif)["device"] for pif in self.host()["PIFs"])
        self.assertEqual(devices, ["eth0", "eth1", "eth2", "eth3"])
        spare = next(pif for pif in self.host()["PIFs"] if self.view(pif)["device"] == "eth2")
        error = self.refused(-32000, "host.managementReconfigure", id=spare)
        self.assertIn("PIF eth2", error.message)
        self.call("pif.reconfigureIp", id=spare, mode="DHCP")
        old = next(pif for pif in self.host()["PIFs"] if self.view(pif)["management"])
        self.call("host.managementReconfigure", id=spare)
        self.assertEqual([self.view(pif)["management"] for pif in (old, spare)], [False, True])
        self.assertEqual([self.again("PIF.get_management", self.view(pif)["_xapiRef"]) for pif in (old, spare)], [False, True])
        self.call("host.managementReconfigure", id=old)

    def test_certificate(self):
        before = self.host()["certificates"]
        self.refused(-32000, "host.installCertificate", id=self.other, certificate="none", privateKey=PEM.format("PRIVATE KEY"))
        self.refused(-32000, "host.installCertificate", id=self.other, certificate=PEM.format("CERTIFICATE"), privateKey="none")
        self.assertEqual(self.host()["certificates"], before)
        self.call("host.installCertificate", id=self.other, certificate=PEM.format("CERTIFICATE"), privateKey=PEM.format("PRIVATE KEY"))
        self.assertTrue(self.host()["certificates"][0]["fingerprint"].startswith("E9:A9:2A:2E"))
        self.assertNotIn("QUJDREVGRw", (self.folder / "server.log").read_text())

    def test_health(self):
        self.assertEqual(self.call("host.getMdadmHealth", id=self.other)["raid"]["State"], "clean")
        self.assertEqual(self.call("host.getSmartctlHealth", id=self.other)["/dev/sda:scsi"], "PASSED")
        self.assertEqual(list(self.call("host.getSmartctlInformation", id=self.other, deviceNames=["/dev/sdb:scsi"])), ["/dev/sdb:scsi"])
        self.assertEqual([disk["name"] for disk in self.call("host.getBlockdevices", id=self.other)], ["sda", "sdb"])
        self.assertIs(self.call("host.isHyperThreadingEnabled", id=self.other), True)
        self.assertIs(self.call("host.isHostServerTimeConsistent", host=self.other), True)
        self.assertIsInstance(self.call("host.getBiosInfo", id=self.other), dict)
        self.steer("no-plugin", "raid.py smartctl.py lsblk.py hyperthreading.py")
        for method in ("getMdadmHealth", "getSmartctlHealth", "getSmartctlInformation", "getBlockdevices", "isHyperThreadingEnabled"):
            self.assertIsNone(self.call("host." + method, id=self.other), method)

    # --- In and out of service ---

    def test_enable(self):
        self.call("host.disable", id=self.other)
        self.assertFalse(self.host()["enabled"])
        self.call("host.enable", id=self.other)
        self.assertTrue(self.host()["enabled"])
        vm = self.bring_vm(self.other)
        self.call("host.disable", id=self.other, transient=True, evacuate=True)
        self.assertNotEqual(self.view(vm)["$container"], self.other)
        self.call("host.enable", id=self.other)

    def test_maintenance(self):
        vm = self.bring_vm(self.other)
        self.call("host.setMaintenanceMode", id=self.other, maintenance=True)
        self.assertFalse(self.host()["enabled"])
        self.assertNotEqual(self.view(vm)["$container"], self.other)
        self.call("host.setMaintenanceMode", id=self.other, maintenance=False)
        self.assertTrue(self.host()["enabled"])

    def test_maintenance_refused(self):
        """A machine that cannot leave is named, and the host is in service as before."""
        vm = self.bring_vm(self.other)
        self.call("vm.set", id=vm, blockedOperations={"pool_migrate": "stays here", "migrate_send": "stays here"})
        self.refused(19, "host.setMaintenanceMode", id=self.other, maintenance=True)
        self.sim.fault(kind="error", method="host.evacuate", error=["CANNOT_EVACUATE_HOST", "somebody stays"])
        self.sim.fault(kind="answer", method="host.get_vms_which_prevent_evacuation", value={self.view(vm)["_xapiRef"]: ["VM_LACKS_FEATURE"]})
        error = self.refused(-32000, "host.setMaintenanceMode", id=self.other, maintenance=True)
        self.assertRegex(error.message, f"VM {self.view(vm)['name_label']} cannot leave host .*: shut it down, or move it")
        self.assertTrue(self.host()["enabled"])
        self.assertEqual(self.view(vm)["$container"], self.other)
        self.call("host.setMaintenanceMode", id=self.other, maintenance=True, vmsToForceMigrate=[vm])
        self.assertNotEqual(self.view(vm)["$container"], self.other)
        self.assertEqual(set(self.view(vm)["blockedOperations"]), {"pool_migrate", "migrate_send"})
        self.call("host.setMaintenanceMode", id=self.other, maintenance=False)
        self.call("vm.set", id=vm, blockedOperations={"pool_migrate": None, "migrate_send": None})

    # --- Up and down ---

    def test_restart(self):
        vm, started = self.bring_vm(self.other), self.host()["startTime"]
        self.call("host.restart", id=self.other)
        self.assertNotEqual(self.view(vm)["$container"], self.other)
        self.comes_back(self.other)
        self.assertGreater(self.host()["startTime"], started)

    def test_put_back_into_service(self):
        """By a toolstack that has just started, say, after the host was taken out of service for its restart."""
        started = self.host()["startTime"]
        self.sim.fault(kind="error", method="host.reboot", error=["HOST_NOT_DISABLED"], count=1)
        self.call("host.restart", id=self.other)
        self.comes_back(self.other)
        self.assertGreater(self.host()["startTime"], started)

    def test_restart_refused(self):
        vm = self.bring_vm(self.other)
        self.call("vm.set", id=vm, blockedOperations={"pool_migrate": "stays here"})
        self.refused(19, "host.restart", id=self.other)
        self.assertTrue(self.host()["enabled"])
        self.assertIn("VM vm-", self.refused(-32000, "host.restart", id=self.other, force=True).message)
        self.assertTrue(self.host()["enabled"])
        self.call("vm.set", id=vm, blockedOperations={"pool_migrate": None})

    def test_restart_order(self):
        """A member does not restart with newer software than its master runs."""
        pool_master = self.view(self.master)["_xapiRef"]
        self.again("host.add_to_other_config", pool_master, "rpm_patch_installation_time", "4000000000")
        until(lambda: self.view(self.master)["rebootRequired"], "the master waits for a restart", PATIENCE)
        error = self.refused(25, "host.restart", id=self.other)
        self.assertEqual((error.data["object"], error.data["property"]), (self.master, "rebootRequired"))
        self.call("host.restart", id=self.other, bypassVersionCheck=True)
        self.again("host.remove_from_other_config", pool_master, "rpm_patch_installation_time")
        self.comes_back(self.other)

    def test_smart_reboot(self):
        vm = self.bring_vm(self.other)
        self.call("host.restart", id=self.other, suspendResidentVms=True)
        self.assertEqual((self.view(vm)["power_state"], self.host()["enabled"]), ("Running", True))
        self.call("vm.set", id=vm, blockedOperations={"suspend": "never"})
        self.bring_vm(self.other)
        error = self.refused(25, "host.restart", id=self.other, suspendResidentVms=True)
        self.assertEqual((error.data["actual"], error.data["property"]), ([vm], "vmsWithSuspendBlocked"))
        self.sim.fault(kind="error", method="host.reboot", error=["HOST_STILL_BOOTING"])
        self.refused(-32000, "host.restart", id=self.other, suspendResidentVms=True, bypassBlockedSuspend=True)
        self.assertEqual((self.view(vm)["power_state"], self.host()["enabled"]), ("Running", True))
        self.assertIn("suspend", self.view(vm)["blockedOperations"])
        self.call("vm.set", id=vm, blockedOperations={"suspend": None})
        # It is back, and lost again at once: what is owed is paid later.
        self.sim.fault(kind="answer", method="host_metrics.get_live", nth=2, value=False)
        error = self.refused(-32000, "host.restart", id=self.other, suspendResidentVms=True)
        self.assertRegex(error.message, "is still down: it is brought back as soon as that is possible")
        until(lambda: (self.view(vm)["power_state"], self.host()["enabled"]) == ("Running", True), "the machine", PATIENCE)

    def test_restart_of_the_master(self):
        """The pool answers nothing meanwhile, and then as before."""
        self.call("host.restart", id=self.master, suspendResidentVms=True)
        self.comes_back(self.master)

    def test_stop_and_start(self):
        self.call("host.stop", id=self.other)
        self.assertEqual(self.host()["power_state"], "Halted")
        self.assertEqual(self.seen(self.other), (False, False))
        self.refused(18, "host.enable", id=self.other)
        self.refused(18, "host.restart", id=self.other)
        error = self.refused(-32000, "host.start", id=self.other)
        self.assertIn("power-on mode", error.message)
        self.assertIsNone(self.call("host.isHyperThreadingEnabled", id=self.other))
        self.again("host.set_power_on_mode", self.host()["_xapiRef"], "wake-on-lan", {})
        self.call("host.start", id=self.other)
        self.comes_back(self.other)
        self.again("host.set_power_on_mode", self.host()["_xapiRef"], "", {})

    def test_stop_refused(self):
        self.bring_vm(self.other)
        error = self.refused(-32000, "host.stop", id=self.other, bypassEvacuate=True)
        self.assertIn("VM vm-", error.message)
        self.assertTrue(self.host()["enabled"])

    def test_restart_agent(self):
        before = self.host()["agentStartTime"]
        self.call("host.restartAgent", id=self.other)
        self.assertGreaterEqual(self.host()["agentStartTime"], before)
        self.assertTrue(self.host()["enabled"])
        self.call("host.restart_agent", id=self.other)

    def test_emergency(self):
        vm = self.bring_vm(self.other)
        self.call("host.emergencyShutdownHost", host=self.other)
        self.assertEqual((self.view(vm)["power_state"], self.host()["power_state"]), ("Suspended", "Halted"))
        for asleep in self.objects(type="VM", power_state="Suspended"):
            self.call("vm.start", id=asleep["id"])
        self.again("host.set_power_on_mode", self.host()["_xapiRef"], "ipmi", {})
        self.call("host.start", id=self.other)
        self.comes_back(self.other)
        self.again("host.set_power_on_mode", self.host()["_xapiRef"], "", {})

    def test_backup_guard(self):
        """Nothing goes down under a backup unless that is asked for."""
        folder = tempfile.mkdtemp(prefix="cadenza-guard-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        remote = self.call("remote.create", name="r", url="file://" + folder)["id"]
        job, schedule = self.server.delta_job("nightly", [self.objects(type="VM")[0]["id"]], [remote], 1)
        self.sim.fault(kind="latency", method="VM.snapshot", ms=20000)
        self.socket().ask("backupNg.runJob", {"id": job, "schedule": schedule})
        run = until(lambda: next((key for key, log in self.server.call("backupNg.getAllLogs").items() if log.get("jobId") == job
                                  and log["status"] == "pending"), None), "the run", PATIENCE)
        for method, params in (("host.restart", {}), ("host.stop", {}), ("host.restartAgent", {})):
            refusal = self.server.command("--json", method, f"id={self.other}")
            self.assertEqual(json.loads(refusal.stderr.strip().splitlines()[-1])["code"], 5, refusal.stderr)
            self.assertIn("nightly", refusal.stderr)
        self.assertTrue(self.host()["enabled"])
        self.server.call("host.restartAgent", id=self.other, bypassBackupCheck=True)
        self.server.call("job.cancel", runId=run)
        self.sim.control("/sim/faults/clear", {})
        until(lambda: self.server.call("backupNg.getAllLogs")[run]["status"] != "pending", "the end of the run", PATIENCE)


class Leaving(Pool):
    """Hosts that leave the pool, and do not come back."""
    SIM = ("--hosts", 3, "--vms", 1, "--running", "1", "--boot-delay", "0.2", "--disk-size", "16MiB", "--seed", 64)

    def test_leaving(self):
        master = self.only(type="pool")["master"]
        vm = self.objects(type="VM")[0]
        others = [host for host in self.objects(type="host") if host["id"] != master]
        self.assertIn("master", self.refused(-32000, "host.detach", id=master).message)
        self.assertIn("master", self.refused(-32000, "host.forget", id=master).message)
        self.assertIn("is up", self.refused(-32000, "host.forget", id=others[0]["id"]).message)
        self.assertEqual(len(self.call("server.getAll")), 1) # what was refused adds none
        self.call("host.setMaintenanceMode", id=others[0]["id"], maintenance=True)
        self.call("host.detach", id=others[0]["id"])
        self.assertEqual(self.objects(id=others[0]["id"]), [])
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        self.assertEqual(sorted(session.call("host.get_all")), sorted([self.view(master)["_xapiRef"], others[1]["_xapiRef"]]))
        # It is a server of its own, known by the same user; its restart is waited for.
        pool, own = sorted(self.call("server.getAll"), key=lambda server: server["host"] != self.sim.url)
        self.assertEqual(own["host"], self.sim.url.replace(self.view(master)["address"], others[0]["address"]))
        self.assertEqual([own[key] for key in ("username", "allowUnauthorized", "enabled")], [pool[key] for key in (
            "username", "allowUnauthorized", "enabled")])
        self.assertNotIn("password", own)
        self.assertEqual(self.view(vm["id"])["power_state"], "Running")
        self.call("host.stop", id=others[1]["id"])
        self.call("host.forget", id=others[1]["id"])
        self.assertEqual([host["id"] for host in self.objects(type="host")], [master])
        self.assertEqual(self.objects(type="PBD", host=others[1]["id"]), [])
        self.assertEqual(session.call("host.get_all"), [self.view(master)["_xapiRef"]])
        self.assertEqual({pbd["host"] for pbd in session.call("PBD.get_all_records").values()}, {self.view(master)["_xapiRef"]})
        self.assertEqual(self.view(vm["id"])["power_state"], "Running")


del Pool

if __name__ == "__main__":
    unittest.main()
