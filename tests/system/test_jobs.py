"""Jobs, runs, logs and backups through the API: the records and refusals of a real Xen Orchestra, runs seen live and
cancelled, and what is said when something is wrong."""
import json
import os
import pathlib
import pty
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from test_api import FIXTURES, NOWHERE, Box, until  # noqa: E402
from box import Refused, program  # noqa: E402

JOBS = FIXTURES.parent / "jobs"


class JobsBox(Box):
    SIM = ("--hosts", 1, "--vms", 3, "--running", "1", "--boot-delay", "0.3", "--disk-size", "64MiB", "--seed", 5)

    def remote(self, name, query=""):
        remote = self.server.call("remote.create", name=name, url=f"file://{self.folder}/{name}{query}")
        self.addCleanup(self.server.call, "remote.delete", id=remote["id"])
        return remote["id"]

    def job(self, name, vms, remotes, **settings):
        job, schedule = self.server.delta_job(name, vms, remotes, 3, **settings)
        self.addCleanup(self.server.call, "backupNg.deleteJob", id=job)
        return job, schedule

    def vms(self, n):
        return sorted(vm["id"] for vm in self.server.objects(type="VM") if vm["name_label"].startswith("vm-"))[:n]

    def logs(self, job):
        return self.server.call("backupNg.getLogs", jobId=job)


class Records(JobsBox):
    def test_recorded(self):
        """Each backup job that XO was asked for becomes the same record, with the same schedules."""
        if not JOBS.exists():
            self.skipTest(f"no recorded jobs in {JOBS}")
        n_seen = 0
        for path in sorted(JOBS.glob("[a-z]*.json")):
            case = json.loads(path.read_text())
            if case["request"]["method"] == "backupNg.createJob":
                with self.subTest(path.stem):
                    self.same_job(case)
                n_seen += 1
        self.assertGreater(n_seen, 5)

    def same_job(self, case):
        id_ = self.server.call("backupNg.createJob", **case["request"]["params"])
        job = self.server.call("backupNg.getJob", id=id_)
        schedules = [s for s in self.server.call("schedule.getAll") if s["jobId"] == id_]
        theirs = {s["name"]: s["id"] for s in case["schedules"]}
        renamed = json.dumps([job, schedules]).replace(id_, case["answer"])
        for schedule in schedules:
            renamed = renamed.replace(schedule["id"], theirs[schedule["name"]])
        job, schedules = json.loads(renamed)
        self.assertEqual(job, case["job"])
        order = lambda schedule: schedule["id"]  # noqa: E731
        for ours, want in zip(sorted(schedules, key=order), sorted(case["schedules"], key=order), strict=True):
            ours.pop("userId", None)
            self.assertEqual(ours, {key: value for key, value in want.items() if key != "userId"})
        self.assertIs(self.server.call("backupNg.deleteJob", id=id_), True)
        self.assertEqual([s for s in self.server.call("schedule.getAll") if s["jobId"] == id_], [])

    def test_job_life(self):
        job, schedule = self.job("first name", self.vms(1), [NOWHERE])
        self.assertIs(self.server.call("backupNg.editJob", id=job, name="second name", compression="zstd"), True)
        record = self.server.call("backupNg.getJob", id=job)
        self.assertEqual((record["name"], record["compression"]), ("second name", "zstd"))
        self.assertIn(record, self.server.call("backupNg.getAllJobs"))
        self.assertIs(self.server.call("schedule.set", id=schedule, cron="5 4 * * *", name="changed"), True)
        record = self.server.call("schedule.get", id=schedule)
        self.assertEqual((record["cron"], record["name"]), ("5 4 * * *", "changed"))
        made = self.server.call("schedule.create", jobId=job, cron="0 4 * * *", timezone="Europe/Paris")
        self.assertEqual((made["enabled"], made["name"], made["jobId"]), (False, "", job))
        self.assertIs(self.server.call("schedule.delete", id=made["id"]), True)
        self.refused(1, "schedule.get", id=made["id"])
        self.refused(1, "schedule.set", id=made["id"], enabled=True)
        for method in ("getJob", "editJob", "deleteJob"):
            self.assertEqual(self.refused(1, f"backupNg.{method}", id=NOWHERE).data, {"id": NOWHERE, "type": "job"})

    def test_wrong_jobs(self):
        """What is wrong is named."""
        self.refused(10, "backupNg.createJob", mode="delta")
        error = self.refused(10, "backupNg.createJob", mode="other", vms={"id": NOWHERE})
        self.assertEqual(error.data["errors"][0]["instancePath"], "/mode")
        self.refused(10, "backupNg.createJob", mode="full", vms={"id": NOWHERE}, compression="rar")
        self.refused(10, "backupNg.createJob", mode="full", vms={"id": NOWHERE}, nonsense=1)
        self.refused(10, "schedule.create", cron="0 4 * * *")


class Runs(JobsBox):
    def test_run(self):
        """A full, a delta, their logs, their points; one restored, one deleted."""
        vms, remote = self.vms(2), self.remote("repository")
        job, schedule = self.job("daily", vms, [remote])
        for _ in range(2):
            self.assertIs(self.server.call("backupNg.runJob", id=job, schedule=schedule), True)
        logs = self.logs(job)
        self.assertEqual([log["status"] for log in logs], ["success", "success"])
        for log in logs:
            self.assertEqual((log["jobId"], log["jobName"], log["scheduleId"], log["message"]), (job, "daily", schedule, "backup"))
            self.assertEqual({task["data"]["id"] for task in log["tasks"]}, set(vms))
        self.assertLess(logs[0]["start"], logs[1]["start"])
        self.assertEqual(self.server.call("backupNg.getLogs", jobId=job, limit=1), logs[1:])
        self.assertEqual(self.server.call("backupNg.getLogs", jobId=job, after=logs[1]["start"]), logs[1:])
        self.assertEqual(self.server.call("backupNg.getLogs", jobId=job, before=logs[1]["start"]), logs[:1])
        self.assertEqual(len(self.server.call("backupNg.getLogs", jobId=job, after="5m")), 2)
        self.assertEqual(self.server.call("backupNg.getAllLogs")[logs[0]["id"]], logs[0])
        listed = self.server.call("backupNg.listVmBackups", remotes=[remote])[remote]
        self.assertEqual({vm: len(points) for vm, points in listed.items()}, {vm: 2 for vm in vms})
        self.restore_and_delete(remote, listed[vms[0]])

    def restore_and_delete(self, remote, points):
        sr = next(sr["id"] for sr in self.server.objects(type="SR") if sr["content_type"] == "user")
        vm = self.server.call("backupNg.importVmBackup", id=points[1]["id"], sr=sr, settings={})
        restored = self.server.objects(id=vm)[0]
        self.assertEqual((restored["type"], restored["power_state"]), ("VM", "Halted"))
        self.server.call("vm.delete", id=vm)
        self.refused(1, "backupNg.importVmBackup", id=points[1]["id"], sr=NOWHERE)
        missing = points[0]["id"].replace("20", "19", 1) if "20" in points[0]["id"] else points[0]["id"] + "x"
        with self.assertRaises(Refused):
            self.server.call("backupNg.importVmBackup", id=f"{remote}//xo-vm-backups/{NOWHERE}/20200101T000000Z.json", sr=sr)
        self.refused(10, "backupNg.deleteVmBackups", ids=[points[0]["id"], "nonsense"])
        self.refused(1, "backupNg.deleteVmBackup", id=missing.replace(remote, NOWHERE) if remote in missing else f"{NOWHERE}//x")
        path = pathlib.Path(self.folder / "repository" / points[0]["id"].split("//")[1])
        self.assertTrue(path.exists())
        self.assertIs(self.server.call("backupNg.deleteVmBackup", id=points[0]["id"]), True)
        self.assertFalse(path.exists())

    def test_refusals(self):
        remote = self.remote("refusals")
        job, schedule = self.job("nobody", self.vms(1), [remote])
        self.refused(1, "backupNg.runJob", id=NOWHERE, schedule=schedule)
        with self.assertRaises(Refused):
            self.server.call("backupNg.runJob", id=job, schedule=NOWHERE)
        self.server.call("backupNg.editJob", id=job, vms={"type": "VM", "name_label": "no such VM"})
        error = self.refused(27, "backupNg.runJob", id=job, schedule=schedule)
        self.assertEqual((error.data["jobId"], error.data["scheduleId"]), (job, schedule))
        self.assertEqual(self.logs(job)[-1]["status"], "skipped")
        self.server.call("backupNg.editJob", id=job, vms={"id": self.vms(1)[0]}, remotes={"id": NOWHERE})
        with self.assertRaises(Refused):
            self.server.call("backupNg.runJob", id=job, schedule=schedule)
        self.assertEqual(self.logs(job)[-1]["status"], "failure")
        self.refused(1, "job.cancel", runId="123")

    def test_live_and_cancelled(self):
        """A run that is held up is seen, refuses a second one, and ends when cancelled; so does the command line."""
        vm, remote = self.vms(1)[0], self.remote("held")
        job, schedule = self.job("held", [vm], [remote], preferNbd=False)
        self.sim.fault(kind="stall", path="/export_raw_vdi", at=1 << 20, count=100)
        self.addCleanup(self.sim.control, "/sim/faults/clear", {})
        answers = []
        runner = threading.Thread(target=lambda: answers.append(self.server.command("run", "held")))
        runner.start()
        live = until(lambda: self.logs(job) and self.transfer_of(self.logs(job)[-1]) and self.logs(job)[-1], "the live log", 60)
        self.assertEqual(live["status"], "pending")
        self.assertNotIn("end", live)
        with self.assertRaises(Refused) as caught:
            self.server.call("backupNg.runJob", id=job, schedule=schedule)
        self.assertIn("already running", caught.exception.message)
        with self.assertRaises(Refused) as caught:
            self.server.call("log.delete", namespace="jobs", id=live["id"])
        self.assertIn("is going on: its log cannot be deleted", caught.exception.message)
        self.assertIs(self.server.call("job.cancel", runId=live["id"]), True)
        runner.join(60)
        self.assertFalse(runner.is_alive())
        ended = self.server.call("backupNg.getAllLogs")[live["id"]]
        self.assertIn(ended["status"], ("failure", "interrupted"))
        self.assertEqual(answers[0].returncode, 1)
        self.assertIn("backup", answers[0].stdout)
        self.assertEqual(self.server.call("backupNg.listVmBackups", remotes=[remote])[remote].get(vm, []), [])

    def test_bars(self):
        """On a terminal, a run is drawn again and again, with bars and names."""
        remote = self.remote("shown")
        job, _ = self.job("shown", self.vms(2), [remote], preferNbd=False)
        self.sim.fault(kind="throttle", path="/export_raw_vdi", bytes_per_s=8 << 20)
        self.addCleanup(self.sim.control, "/sim/faults/clear", {})
        child, terminal = pty.fork()
        if child == 0:
            os.execve(program("cadenza"), ["cadenza", "run", "shown"], self.server.env)
        drawn = b""
        try:
            while block := os.read(terminal, 4096):
                drawn += block
        except OSError:
            pass  # the end of a terminal
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertRegex(drawn.decode(), r"transfer … \[#+\.*\] +\d+ %")
        self.assertIn("export shown done", drawn.decode())

    def transfer_of(self, log):
        tasks = [log]
        while tasks:
            task = tasks.pop()
            if task["message"] == "transfer":
                return task
            tasks += task.get("tasks", [])
        return None

    def test_unreadable_remote(self):
        """A remote that cannot be read is not listed as empty, and its record says why."""
        remote = self.remote("broken")
        self.server.call("backupNg.listVmBackups", remotes=[remote])
        place = self.folder / "broken"
        if place.exists():
            for found in sorted(place.rglob("*"), reverse=True):
                found.rmdir() if found.is_dir() else found.unlink()
            place.rmdir()
        place.write_text("not a folder")
        self.assertEqual(self.server.call("backupNg.listVmBackups", remotes=[remote]), {remote: None})
        error = self.server.call("remote.get", id=remote)["error"]
        self.assertIn(str(place), error)
        self.assertIs(self.server.call("remote.test", id=remote)["success"], False)

    def test_schedule_fires(self):
        if not os.environ.get("CADENZA_FULL"):
            self.skipTest("waits for the next minute; with --full")
        remote = self.remote("scheduled")
        job, schedule = self.job("scheduled", self.vms(1), [remote])
        self.server.call("schedule.set", id=schedule, cron="* * * * *", enabled=True)
        until(lambda: self.logs(job), "the run of the clock", 70)
        self.server.call("schedule.set", id=schedule, enabled=False)
        until(lambda: self.logs(job)[-1]["status"] == "success", "its success", 60)


if __name__ == "__main__":
    unittest.main()
