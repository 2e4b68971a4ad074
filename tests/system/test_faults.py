"""Each fault of a pool during each phase of a run: the VM it hits is retried and succeeds, or fails with the cause; the
other VM of the run succeeds; nothing is left behind; the next run succeeds. One row of TABLE is one story."""
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim, until  # noqa: E402

FULL = bool(os.environ.get("CADENZA_FULL"))
LOST_S = 3  # a host that comes back
SLOW = 4 << 20  # bytes/s of a transfer that a fault shall hit

# How a phase is made long enough to be hit: rules of the simulator, and how the run shows that it is there.
PHASES = {
    "snapshot": ([{"kind": "latency", "method": "VM.snapshot", "ms": 1500}], "clean-vm"),
    "transfer": ([{"kind": "throttle", "path": "/export_raw_vdi", "bytes_per_s": SLOW}], "transfer"),
    "rotate": ([{"kind": "latency", "method": "VM.destroy", "ms": 1500}], "done transfer"),
    "merge": ([{"kind": "latency", "method": "VDI.destroy", "ms": 1000}], "done transfer"),
    "restore": ([{"kind": "throttle", "path": "/import_raw_vdi", "bytes_per_s": SLOW}], "restore"),
}


def lose(test):
    test.sim.control("/sim/hosts/lose", {"host": test.host})
    time.sleep(LOST_S)
    test.sim.control("/sim/hosts/find", {"host": test.host})


FAULTS = {
    "pool loss": lose,
    "master change": lambda test: test.sim.fault(kind="error", method="VM.get_record", nth=1, count=1,
                                                 error=["HOST_IS_SLAVE", test.address]),
    "session expiry": lambda test: test.sim.control("/sim/sessions/expire", {}),
    "toolstack restart": lambda test: test.sim.control("/sim/toolstack/restart", {}),
    "stall": lambda test: test.again(kind="stall", path="*", at=1 << 20, ms=2000, count=1),
    "cut": lambda test: test.again(kind="cut", path="*", at=1 << 20, count=1),
    "SR full": lambda test: test.fill(),
    "latency": lambda test: test.sim.fault(kind="latency", method="*", ms=300),
    "error": lambda test: test.sim.fault(kind="error", method=ERRING[test.phase], nth=1, count=1,
                                         error=["INTERNAL_ERROR", "made for the test"]),
    "slow coalescing": lambda test: test.coalesce_slowly(),
}

# What fails once, where the phase calls it; in `merge` the pool is only asked to let go of the older snapshot.
ERRING = {"snapshot": "VM.snapshot", "transfer": "VDI.get_record", "rotate": "VM.destroy", "merge": "VDI.destroy",
          "restore": "VBD.create"}

# (phase, fault, how the run may end): "success"; or words of the cause, of which one must be told.
GONE = ["connect", "session", "task", "closed", "reset", "timed out", "refused", "broken", "ended", "before the end",
        "vdi_io_error"]
REFUSED = ["internal_error"]
PROMISED = {("restore", "pool loss"): GONE, ("restore", "toolstack restart"): GONE, ("restore", "cut"): GONE,
            ("restore", "SR full"): ["space", "full", "vdi_io_error"], ("restore", "error"): REFUSED}
# Rules that wait for their call or stream; the others happen once the phase is there.
BEFORE = ("stall", "cut", "latency", "error")
ONCE = {"stall": "stall", "cut": "cut", "error": "error", "master change": "error"}
# There is no stream of the pool's to break where a phase has none.
NO_STREAM = {"snapshot", "rotate", "merge"}
TABLE = [(phase, fault, PROMISED.get((phase, fault), "success")) for phase in PHASES for fault in FAULTS
         if not (fault in ("stall", "cut") and phase in NO_STREAM)]
QUICK = {("transfer", "pool loss"), ("transfer", "cut"), ("snapshot", "toolstack restart"), ("restore", "cut"),
         ("rotate", "session expiry")}


def named(task, name):
    found = [task] if task["message"] == name else []
    return found + [each for child in task.get("tasks", []) for each in named(child, name)]


def results(task):
    return [str(task.get("result", ""))] + [each for child in task.get("tasks", []) for each in results(child)]


class Faults(unittest.TestCase):
    may_stay = 0

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-faults-"))
        cls.sim = Sim("--vms", 2, "--disks", 1, "--disk-size", "24MiB", "--allocated", "0.6", "--running", 1,
                      "--nbd", "off", "--seed", 6, "--data", cls.folder / "pool", log=cls.folder / "sim.log")
        cls.sim.control("/sim/coalesce", {"seconds": 0.05})
        cls.xapi = cls.sim.session()
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.server.connect(cls.sim)
        cls.vms = sorted(vm["id"] for vm in cls.server.objects(type="VM"))
        host = cls.server.objects(type="host")[0]
        cls.host, cls.address = host["id"], host["address"]
        disk = cls.xapi.call("VDI.get_record", next(
            vbd["VDI"] for vbd in cls.xapi.call("VBD.get_all_records").values() if vbd["type"] == "Disk"))
        cls.sr = cls.xapi.call("SR.get_uuid", disk["SR"])
        repository = cls.folder / "repository"
        repository.mkdir()
        cls.remote = cls.server.call("remote.create", name="here", url=f"file://{repository}")["id"]
        cls.job = cls.server.delta_job("faults", cls.vms, [cls.remote], 2, concurrency=1)
        for _ in range(2):
            cls.write()
            cls.server.call("backupNg.runJob", id=cls.job[0], schedule=cls.job[1])

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.sim.stop()
        shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def write(cls):
        for n, vm in enumerate(cls.vms):
            cls.sim.write(vm, 12 << 20, int(time.monotonic() * 1000) + n)

    def again(self, **rule):
        """A fault of streams takes effect on the streams that begin after it."""
        self.sim.fault(**rule)

    def fill(self):
        self.sim.control("/sim/srs/fill", {"sr": self.sr, "left_bytes": 1 << 20})
        time.sleep(1)
        self.addCleanup(self.sim.control, "/sim/srs/fill", {"sr": self.sr, "left_bytes": -1})

    def coalesce_slowly(self):
        self.sim.control("/sim/coalesce", {"seconds": 20})
        self.addCleanup(self.sim.control, "/sim/coalesce", {"seconds": 0.05})

    def logs(self):
        return self.server.call("backupNg.getAllLogs")

    def in_phase(self, mark, known):
        log = next((log for id_, log in self.logs().items() if id_ not in known), None)
        if not log:
            return False
        if mark == "restore":
            return log["message"] == "restore" and named(log, "transfer")
        tasks = named(log, mark.split()[-1])
        return [task for task in tasks if not mark.startswith("done") or "end" in task]

    def litter(self):
        found, n_snapshots = [], 0
        for vm in self.xapi.call("VM.get_all_records").values():
            n_snapshots += vm["is_a_snapshot"]
            if "cadenza:intent" in vm["other_config"] or "[Importing" in vm["name_label"]:
                found.append(f"mark on {vm['name_label']}")
            if vm["blocked_operations"] and not vm["is_a_template"]:
                found.append(f"{vm['name_label']} is blocked")
        for vdi in self.xapi.call("VDI.get_all_records").values():
            if "cadenza:intent" in vdi["other_config"] or "[Importing" in vdi["name_label"]:
                found.append(f"mark on disk {vdi['name_label']}")
        found += [str(path) for path in (self.folder / "repository/xo-vm-backups").rglob(".*")]
        found += [path.name for path in (self.folder / "data/journals").iterdir()]
        # one that could not be removed is the next run's to remove
        return found + [f"{n_snapshots} snapshots"] * (n_snapshots > len(self.vms) + self.may_stay)

    def operate(self, phase, outcome):
        try:
            if phase == "restore":
                points = self.server.call("backupNg.listVmBackups", remotes=[self.remote])[self.remote][self.vms[0]]
                newest = max(points, key=lambda point: point["timestamp"])
                vm = self.server.call("backupNg.importVmBackup", id=newest["id"], sr=self.sr, settings={})
                outcome["vm"] = vm
            else:
                self.server.call("backupNg.runJob", id=self.job[0], schedule=self.job[1])
        except (Refused, RuntimeError) as error:
            outcome["error"] = error

    def forget_restored(self, vm):
        ref = self.xapi.call("VM.get_by_uuid", vm)
        vbds = [self.xapi.call("VBD.get_record", each) for each in self.xapi.call("VM.get_VBDs", ref)]
        self.xapi.call("VM.destroy", ref)
        for vbd in vbds:
            if vbd["type"] == "Disk":
                self.xapi.call("VDI.destroy", vbd["VDI"])

    def story(self, phase, fault, promised):
        rules, mark = PHASES[phase]
        self.phase = phase
        self.may_stay = 1 if phase in ("rotate", "merge") else 0
        self.write()
        known = set(self.logs())
        if fault in BEFORE:
            FAULTS[fault](self)
        for rule in rules:
            self.sim.fault(**rule)
        outcome = {}
        thread = threading.Thread(target=self.operate, args=(phase, outcome))
        thread.start()
        if fault not in BEFORE:
            until(lambda: self.in_phase(mark, known), f"the phase {phase}")
            time.sleep(0.3)
            FAULTS[fault](self)
            if fault != "master change":
                self.sim.control("/sim/faults/clear", {})
        thread.join(120)
        if fault in ONCE:
            waiting = [rule for rule in self.sim.control("/sim/faults") if rule["kind"] == ONCE[fault] and rule["left"]]
            self.assertEqual(waiting, [], "the fault was never met")
        self.sim.control("/sim/faults/clear", {})
        self.doCleanups()
        self.xapi = self.sim.session()
        log = next(log for id_, log in self.logs().items() if id_ not in known)
        if promised == "success":
            self.assertEqual(log["status"], "success", results(log))
        elif log["status"] != "success":
            told = " ".join(results(log)).lower()
            self.assertTrue([word for word in promised if word in told], told)
        for task in log.get("tasks", []):
            if task.get("data", {}).get("id") == self.vms[1] and "retry" not in str(task.get("warnings", "")).lower():
                self.assertEqual(task["status"], "success", task)
        if "vm" in outcome:
            self.forget_restored(outcome["vm"])
        until(lambda: not self.litter(), f"nothing left behind: {self.litter()}")

    def test_table(self):
        for phase, fault, promised in TABLE:
            if FULL or os.environ.get("CADENZA_ROWS") or (phase, fault) in QUICK:
                with self.subTest(phase=phase, fault=fault):
                    started = time.monotonic()
                    try:
                        self.story(phase, fault, promised)
                    finally:
                        self.sim.control("/sim/faults/clear", {})
                        self.doCleanups()
                        if FULL:
                            print(f"{phase}, {fault}: {time.monotonic() - started:.1f} s", flush=True)
        self.write()
        self.server.call("backupNg.runJob", id=self.job[0], schedule=self.job[1])
        self.assertEqual(max(self.logs().values(), key=lambda log: log["start"])["status"], "success")
        self.may_stay = 0
        self.assertEqual(self.litter(), [])

    def test_cancel_of_a_stalled_transfer(self):
        """Streams stop soon, also one that nothing passes through for ten minutes."""
        self.write()
        known = set(self.logs())
        self.sim.fault(kind="stall", path="/export_raw_vdi", at=1 << 20, ms=600000, count=1)
        outcome = {}
        thread = threading.Thread(target=self.operate, args=("transfer", outcome))
        thread.start()
        until(lambda: self.in_phase("transfer", known), "the transfer")
        time.sleep(1)
        run = next(id_ for id_ in self.logs() if id_ not in known)
        self.server.call("job.cancel", runId=run)
        until(lambda: all("end" in task for task in named(self.logs()[run], "transfer")), "the end of the transfer")
        self.sim.control("/sim/faults/clear", {})  # until then the pool has the disk in use
        thread.join(60)
        until(lambda: not self.litter(), "nothing left behind")


if __name__ == "__main__":
    unittest.main()
