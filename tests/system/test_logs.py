"""The logs of runs beside those that a real Xen Orchestra wrote for runs of the same kind: the same tree of tasks, the same fields,
the same words; what differs is in a table, with its reason."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, Server, Sim, program  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", ROOT.parent / "shared/fixtures/xo")) / "logs"
NOBODY = "99999999-2222-4333-8444-555555555555"

# Ends of paths that only XO's logs have …
THEIRS = {
    "result.stack": "ours has no stack of another program, but a remedy",
    "result.errno": "of node's errors", "result.syscall": "of node's errors", "result.path": "of node's errors",
    "result.errors": "of several repositories; ours has a task for each, with its error",
    "data.progress": "XO tells the progress of the VM, ours of each transfer",
    "updatedAt": "of XO's own store of tasks",
}
# … and only ours.
OURS = {
    "result.remedy": "what to do", "result.code": "which of our errors", "result.detail": "the error's parameters",
    "data.progress": "of each transfer",
    "infos:vms": "which machines the run is about, told in any case",
    "infos:Transfer data using the VHD export": "how the data went",
    "infos:Transfer data using NBD": "how the data went",
    "infos:full backup of a disk": "why it was no difference",
    "infos:What was written has been read back": "the check after the transfer",
}
# Whole tasks of ours that XO's lack, by case.
MORE_TASKS = {"failure-unknown-remote": "/backup/get remote adapter"}


def paths(task, at=""):
    """Every field of a log with the tasks it is in, without the values but for status and the words of infos."""
    data, result = task.get("data"), task.get("result")
    name = f"{at}/{task['message']}"
    for key, value in task.items():
        if key == "tasks":
            for each in value:
                yield from paths(each, name)
        elif key in ("infos", "warnings"):
            yield from (f"{name} {key}:{each['message']}" for each in value)
        elif key == "status":
            yield f"{name} status:{value}"
        elif key == "data" and isinstance(data, dict):
            yield from (f"{name} data.{each}" for each in data)
        elif key == "result" and isinstance(result, dict):
            yield from (f"{name} result.{each}" for each in result)
        else:
            yield f"{name} {key}"


class Logs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not FIXTURES.exists():
            raise unittest.SkipTest(f"no recorded logs in {FIXTURES}")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-logs-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.sim = Sim("--vms", 3, "--running", 1, "--disk-size", "64MiB", "--boot-delay", "0.2", "--change-rate", "0.1", "--seed", 21,
                      log=cls.folder / "sim.log")
        cls.addClassCleanup(cls.sim.stop)
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.addClassCleanup(lambda: cls.server.stop())
        cls.server.connect(cls.sim)
        cls.vms = sorted(vm["id"] for vm in cls.server.objects(type="VM"))
        cls.remote = cls.server.call("remote.create", name="here", url=f"file://{cls.folder}/repo")["id"]

    def job(self, vms, remotes=None, retention=5, **settings):
        job = self.server.call("backupNg.createJob", name=self.id(), mode="delta", vms=vms, remotes={"id": remotes or self.remote},
                               schedules={"tmp": {"cron": "0 0 * * *", "enabled": False}},
                               settings={"": dict(settings, reportWhen="never"), "tmp": {"exportRetention": retention}})
        return job, next(each["id"] for each in self.server.call("schedule.getAll") if each["jobId"] == job)

    def run_job(self, job, schedule, code=None):
        """The log of a run; `code` is that of the call's error."""
        try:
            self.server.call("backupNg.runJob", id=job, schedule=schedule)
            self.assertIsNone(code)
        except Refused as error:
            self.assertEqual(error.code, code)
        return self.last(jobId=job)

    def last(self, **pattern):
        return self.server.call("backupNg.getLogs", **pattern)[-1]

    def same(self, name, log):
        theirs = json.loads((FIXTURES / f"{name}.json").read_text())
        want, have = set(paths(theirs)), set(paths(log))
        more = MORE_TASKS.get(name)
        lacking = {path for path in want - have if path.split(" ", 1)[1].split(" ")[-1] not in THEIRS
                   and not any(path.endswith(" " + end) for end in THEIRS)}
        extra = {path for path in have - want if not any(path.endswith(" " + end) for end in OURS)
                 and not (more and path.startswith(more))}
        self.assertEqual((sorted(lacking), sorted(extra)), ([], []), name)
        self.assertEqual({key: log.get(key) for key in ("message", "status")}, {key: theirs.get(key) for key in ("message", "status")})
        self.assertEqual((log.get("result") or {}).get("message", "").split(":")[0] if isinstance(log.get("result"), dict) else None,
                         (theirs.get("result") or {}).get("message", "").split(":")[0] if isinstance(theirs.get("result"), dict) else None)

    def test_first_run(self):
        self.same("success-delta-first-run", self.run_job(*self.job({"id": self.vms[0]})))

    def test_merged_in_job(self):
        job = self.job({"id": self.vms[1]}, retention=1, mergeBackupsSynchronously=True)
        self.run_job(*job)
        self.same("success-delta-merged-in-job", self.run_job(*job))

    def test_unknown_vm(self):
        self.same("failure-unknown-vm", self.run_job(*self.job({"id": {"__or": [self.vms[0], NOBODY]}})))

    def test_no_match(self):
        self.same("skipped-no-match", self.run_job(*self.job({"type": "VM", "name_label": "no such"}), code=27))

    def test_broken_remote(self):
        broken = self.server.call("remote.create", name="broken", url="file:///proc/no/such")["id"]
        self.same("failure-broken-remote", self.run_job(*self.job({"id": self.vms[0]}, broken)))

    def test_unknown_remote(self):
        self.same("failure-unknown-remote", self.run_job(*self.job({"id": self.vms[0]}, NOBODY), code=-32000))

    def test_restore(self):
        self.run_job(*self.job({"id": self.vms[2]}))
        points = self.server.call("backupNg.listVmBackups", remotes=[self.remote])[self.remote][self.vms[2]]
        sr = next(each["id"] for each in self.server.objects(type="SR") if each["content_type"] == "user")
        self.server.call("backupNg.importVmBackup", id=points[-1]["id"], sr=sr, settings={})
        self.same("restore-delta", self.last(message="restore"))

    def test_journal(self):
        """log.get has XO's entries of a run."""
        theirs = json.loads((FIXTURES / "_log.get-jobs.json").read_text())
        theirs = theirs.get("result", theirs)
        job, schedule = self.job({"type": "VM", "name_label": "no such"})
        self.run_job(job, schedule, code=27)
        ours = [each for each in self.server.call("log.get", namespace="jobs").values() if job in json.dumps(each)]
        kinds = {(each["level"], each["data"]["event"]): each for each in theirs.values() if each["data"]["event"] != "job.backupTaskStart"
                 and each["data"].get("type", "backup") == "backup"}
        self.assertEqual({(each["level"], each["data"]["event"]) for each in ours}, {("notice", "job.start"), ("error", "job.end")})
        for each in ours:
            match = kinds[each["level"], each["data"]["event"]]
            self.assertEqual(set(each), set(match))
            self.assertEqual(set(each["data"]), set(match["data"]))
        self.assertEqual(set(self.server.call("backupNg.getAllLogs")) & set(self.server.call("log.get", namespace="jobs")),
                         {each["id"] for each in self.server.call("backupNg.getAllLogs").values() if each["message"] == "backup"})


class Interrupted(unittest.TestCase):
    def setUp(self):
        if not FIXTURES.exists():
            self.skipTest(f"no recorded logs in {FIXTURES}")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-logs-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def serve(self):
        server = Server(str(self.folder / "data"), log=self.folder / "server.log")
        self.addCleanup(server.stop)
        return server

    def wait(self, condition, what):
        deadline = time.monotonic() + 90
        while not (value := condition()):
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.1)
        return value

    def tasks(self, server, job):
        """The tasks of the machine in the log of the job's run."""
        return [task for log in server.call("backupNg.getLogs", jobId=job) for task in log.get("tasks", [])]

    def test_killed(self):
        """The server is killed during the transfer: XO's log ends there, as interrupted; here the run goes on, and the log tells."""
        sim = Sim("--vms", 1, "--disk-size", "64MiB", "--nbd", "off", "--seed", 4, log=self.folder / "sim.log")
        self.addCleanup(sim.stop)
        server = self.serve()
        server.connect(sim)
        vm = server.objects(type="VM")[0]["id"]
        remote = server.call("remote.create", name="here", url=f"file://{self.folder}/repo")["id"]
        job, schedule = server.delta_job("cut", [vm], [remote], 2)
        sim.fault(kind="stall", path="/export_raw_vdi", at=1 << 20, ms=600000)
        caller = subprocess.Popen([program("cadenza"), "backupNg.runJob", f"id={job}", f"schedule={schedule}"], env=server.env,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(caller.wait)
        self.wait(lambda: any("/transfer id" in path for task in self.tasks(server, job) for path in paths(task)), "the transfer")
        server.kill()
        sim.control("/sim/faults/clear", {})
        again = self.serve()
        again.env["CADENZA_TOKEN"] = server.env["CADENZA_TOKEN"]
        self.wait(lambda: again.call("backupNg.getLogs", jobId=job)[-1]["status"] == "success", "the end")
        log = again.call("backupNg.getLogs", jobId=job)[-1]
        self.assertEqual(json.loads((FIXTURES / "interrupted.json").read_text())["status"], "interrupted")
        self.assertTrue(any("interrupted" in each["message"] for each in log["infos"]), log["infos"])


if __name__ == "__main__":
    unittest.main()
