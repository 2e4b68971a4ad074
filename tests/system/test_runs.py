"""Runs as processes: cancelled, killed, interrupted by the server's own end; two jobs that want one VM;
schedules; the command on failure. Each against cadenzad and a simulated pool whose disks read slowly on order."""
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim, until  # noqa: E402

SLOW = 1 << 20  # bytes/s


def tasks_of(log, name):
    """All tasks of a name, wherever they are."""
    for task in log.get("tasks", []):
        if task["message"] == name:
            yield task
        yield from tasks_of(task, name)


class Box(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-runs-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sim = Sim("--vms", 2, "--disks", 1, "--disk-size", "64MiB", "--allocated", "0.5", "--running", 1,
                       "--nbd", "off", "--seed", 5, "--data", self.folder / "pool", log=self.folder / "sim.log")
        self.addCleanup(self.sim.stop)
        self.xapi = self.sim.session()
        self.server = None
        self.start_server()
        self.addCleanup(self.stop_server)
        self.server.connect(self.sim)
        self.vms = sorted(vm["id"] for vm in self.server.objects(type="VM"))
        self.repository = self.folder / "repository"
        self.repository.mkdir()
        self.remote = self.server.call("remote.create", name="here", url=f"file://{self.repository}")["id"]

    def start_server(self, **env):
        password = self.server.password if self.server else None
        self.server = Server(str(self.folder / "data"), log=self.folder / "server.log", **env)
        self.server.password = password or self.server.password

    def stop_server(self):
        self.assertEqual(self.server.stop(), 0, (self.folder / "server.log").read_text()[-3000:])

    def job(self, name, vms=None, **settings):
        return self.server.delta_job(name, vms or self.vms, [self.remote], 2, **settings)

    def run_job(self, job):
        return self.server.call("backupNg.runJob", id=job[0], schedule=job[1])

    def begin(self, job):
        """Runs it in a thread; its run id, once disks are read."""
        before = set(self.server.call("backupNg.getAllLogs"))
        outcome = {}

        def run():
            try:
                outcome["result"] = self.run_job(job)
            except (Refused, RuntimeError) as error:
                outcome["error"] = error
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        log = until(lambda: next((log for id_, log in self.server.call("backupNg.getAllLogs").items()
                                  if id_ not in before), None), "the log of the run")
        return log["id"], thread, outcome

    def log(self, run):
        return self.server.call("backupNg.getAllLogs")[run]

    def slow(self):
        return self.sim.fault(kind="throttle", path="/export_raw_vdi", bytes_per_s=SLOW)

    def fast(self):
        self.sim.control("/sim/faults/clear", {})

    def transferring(self, run):
        until(lambda: list(tasks_of(self.log(run), "transfer")), "a transfer")
        time.sleep(1)

    def workers(self):
        for pid in self.server.children():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"worker" in words:
                yield pid

    def pool_litter(self):
        """Marks and blocked operations that nobody took away, snapshots beyond one per VM."""
        litter, n_snapshots = [], 0
        for ref, vm in self.xapi.call("VM.get_all_records").items():
            n_snapshots += vm["is_a_snapshot"]
            if "cadenza:intent" in vm["other_config"] and not vm["is_a_snapshot"]:
                litter.append(f"mark on {vm['name_label']}")
            if vm["blocked_operations"] and not vm["is_a_template"]:
                litter.append(f"blocked {vm['blocked_operations']} on {vm['name_label']}")
        if n_snapshots > len(self.vms):
            litter.append(f"{n_snapshots} snapshots")
        return litter

    def points(self):
        listed = self.server.call("backupNg.listVmBackups", remotes=[self.remote])[self.remote]
        return {vm: len(points) for vm, points in listed.items()}

    def all_ended(self, log):
        self.assertIn("end", log, log["message"])
        for task in log.get("tasks", []):
            self.all_ended(task)

    def works_afterwards(self, job, points):
        self.fast()
        self.assertIs(self.run_job(job), True)
        self.assertEqual(self.points(), {vm: points for vm in self.vms})
        self.assertEqual(self.pool_litter(), [])


class Ends(Box):
    def test_cancel(self):
        job = self.job("cancelled")
        self.assertIs(self.run_job(job), True)
        self.slow()
        for vm in self.vms:
            self.sim.write(vm, 16 << 20, 9)
        run, thread, outcome = self.begin(job)
        self.transferring(run)
        self.server.call("job.cancel", runId=run)
        thread.join(60)
        self.assertIn("cancelled", outcome["error"].message)
        log = self.log(run)
        self.assertEqual(log["status"], "failure")
        self.all_ended(log)
        self.assertEqual(self.points(), {vm: 1 for vm in self.vms})
        self.assertEqual(self.pool_litter(), [])
        self.works_afterwards(job, 2)

    def test_worker_killed(self):
        """Another worker goes on: the client, which waits, sees one run that succeeds."""
        job = self.job("killed")
        self.assertIs(self.run_job(job), True)
        self.slow()
        for vm in self.vms:
            self.sim.write(vm, 16 << 20, 9)
        run, thread, outcome = self.begin(job)
        self.transferring(run)
        os.kill(next(self.workers()), signal.SIGKILL)
        self.fast()
        thread.join(60)
        self.assertIs(outcome.get("result"), True, outcome)
        log = self.log(run)
        self.assertEqual(log["status"], "success")
        self.assertIn("signal 9", next(info for info in log["infos"] if "goes on" in info["message"])["data"]["reason"])
        self.all_ended(log)
        self.assertEqual(self.pool_litter(), [])
        self.assertEqual(self.points(), {vm: 2 for vm in self.vms})
        self.works_afterwards(job, 2)

    def test_worker_killed_for_good(self):
        """Each worker that is started is killed: the run is closed, and its command runs."""
        mark = self.folder / "told"
        job = self.job("killed", onFailureCommand=["/bin/sh", "-c", f"echo $CADENZA_JOB_NAME $CADENZA_STATUS > {mark}"])
        self.slow()
        run, thread, outcome = self.begin(job)
        while thread.is_alive():
            for pid in self.workers():
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        self.assertIn("signal 9", outcome["error"].message)
        log = self.log(run)
        self.assertEqual(log["status"], "interrupted")
        self.all_ended(log)
        until(mark.exists, "the command on failure")
        until(lambda: mark.read_text() == "killed interrupted\n", "its words")
        until(lambda: not self.pool_litter(), "a clean pool")
        self.works_afterwards(job, 1)

    def restarted(self, end, how):
        """The server ends in the middle of a run; the next one closes the log, cleans up, goes on."""
        job = self.job("interrupted")
        self.slow()
        run, thread, outcome = self.begin(job)
        self.transferring(run)
        end()
        thread.join(40)
        self.fast()
        self.start_server()
        until(lambda: self.log(run)["status"] not in ("interrupted", "pending"), "its end", 60)
        log = self.log(run)
        self.assertEqual(log["status"], "success")
        self.assertIn(how, next(info for info in log["infos"] if "goes on" in info["message"])["data"]["reason"])
        self.all_ended(log)
        self.assertEqual(list(self.server.call("backupNg.getAllLogs")), [run])
        self.assertEqual(self.points(), {vm: 1 for vm in self.vms})
        self.assertEqual(self.pool_litter(), [])

    def test_server_killed(self):
        def kill():
            workers = list(self.workers())
            self.server.kill()
            until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers), "the worker's end", 70)
        self.restarted(kill, "unexpectedly")

    def test_server_stopped(self):
        self.restarted(self.stop_server, "stopped")


class Together(Box):
    def test_same_vm(self):
        first, second = self.job("first", self.vms[:1]), self.job("second", self.vms[:1])
        third = self.job("third", self.vms[:1], onBusyVm="fail")
        self.slow()
        run, thread, _ = self.begin(first)
        self.transferring(run)
        waiting, waits, outcome = self.begin(second)
        info = until(lambda: [info for task in self.log(waiting).get("tasks", []) for info in task.get("infos", [])],
                     "who holds the VM")[0]
        self.assertEqual(info["data"]["runId"], run)
        self.assertIs(self.run_job(third), True)
        log = next(log for log in self.server.call("backupNg.getAllLogs").values() if log["jobId"] == third[0])
        self.assertEqual(log["status"], "failure")
        self.assertIn(f"is being backed up by run {run}", log["tasks"][0]["result"]["message"])
        with self.assertRaises(Refused) as caught:
            self.run_job(first)
        self.assertEqual(caught.exception.message, f"the job ({first[0]}) is already running")
        self.assertNotIn("end", self.log(waiting))
        self.fast()
        thread.join(90)
        waits.join(90)
        self.assertIs(outcome.get("result"), True)
        self.assertEqual([self.log(each)["status"] for each in (run, waiting)], ["success", "success"])
        self.assertEqual(self.points(), {self.vms[0]: 2})

    def test_schedule(self):
        """Every minute; the disabled one never."""
        job, schedule = self.job("by the clock", self.vms[:1])
        self.server.call("schedule.set", id=schedule, cron="* * * * *", enabled=True, timezone="Europe/Paris")
        off, _ = self.job("not", self.vms[:1])
        log = until(lambda: next(iter(self.server.call("backupNg.getAllLogs").values()), None), "the clock", 75)
        self.assertEqual((log["jobId"], log["scheduleId"]), (job, schedule))
        until(lambda: self.log(log["id"])["status"] == "success", "its success")
        self.server.call("schedule.set", id=schedule, enabled=False)


if __name__ == "__main__":
    unittest.main()
