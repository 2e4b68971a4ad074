"""The run workers under the thread sanitizer: backup to two repositories, one flat and one of block directories,
by the VHD export and by NBD; delta, merge, restore, cancel, a disk that breaks off. Each worker process writes
what the sanitizer found into a file of its own; there must be none. The server's own reports are left out: GLib's
locks, which it uses, are invisible to the sanitizer (workers use pthreads only). For the same reason GLib's slices,
memory that one thread frees and another gets, are switched off."""
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, Server, Sim, program  # noqa: E402


class Workers(unittest.TestCase):
    def setUp(self):
        self.assertIn(b"__tsan_init", pathlib.Path(program("cadenzad")).read_bytes(), "built without the thread sanitizer")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-tsan-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.sim = Sim("--hosts", 1, "--vms", 2, "--disks", 2, "--disk-size", "24MiB", "--allocated", "0.5", "--running", "1",
                       "--seed", 5, "--data", self.folder / "pool", "--nbd", "insecure")
        self.addCleanup(self.sim.stop)
        options = f"suppressions={ROOT}/tests/tsan.supp:log_path={self.folder}/tsan:exitcode=0:second_deadlock_stack=1"
        self.server = Server(str(self.folder / "data"), log=self.folder / "server.log", TSAN_OPTIONS=options, G_SLICE="always-malloc")
        self.addCleanup(self.check_reports)
        self.addCleanup(self.server.stop, timeout=120)
        self.server.connect(self.sim)
        self.remotes = [self.server.call("remote.create", name=name, url=f"file://{self.folder}/{name}{options}")["id"]
                        for name, options in (("flat", ""), ("directory", "?useVhdDirectory=true"))]
        self.vms = [vm["id"] for vm in self.server.objects(type="VM")]
        self.pids = set()

    def check_reports(self):
        found = [path.read_text() for path in self.folder.glob("tsan.*")
                 if path.suffix != f".{self.server.process.pid}"]
        if found:
            self.fail("\n".join(found)[:20000])

    def job(self, name, **settings):
        return self.server.delta_job(name, self.vms, self.remotes, 1, concurrency=2, **settings)

    def back_up(self, job):
        self.server.call("backupNg.runJob", id=job[0], schedule=job[1])
        return self.server.call("backupNg.getLogs", limit=1)[-1]

    def newest(self, remote):
        points = self.server.call("backupNg.listVmBackups", remotes=[remote])[remote]
        return points[self.vms[0]][-1]

    def test_chains_and_restores(self):
        job = self.job("chains")
        for seed in range(3):  # the third merges
            for vm in self.vms:
                self.sim.write(vm, 4 << 20, seed)
            log = self.back_up(job)
            self.assertEqual(log["status"], "success", log)
        sr = next(sr["id"] for sr in self.server.objects(type="SR") if sr["size"] > 1 << 30 and sr["SR_type"] not in ("iso", "udev"))
        for remote in self.remotes:
            self.assertTrue(self.server.call("backupNg.importVmBackup", id=self.newest(remote)["id"], sr=sr))

    def test_blocks_by_nbd(self):
        log = self.back_up(self.job("nbd", preferNbd=True, nbdConcurrency=3, maxExportRate=400 << 20))
        self.assertEqual(log["status"], "success", log)

    def test_cancel_and_failure(self):
        job = self.job("ends", poolRetries=0)
        self.sim.fault(kind="cut", path="/export_raw_vdi", at=6 << 20, count=1)
        self.assertNotEqual(self.back_up(job)["status"], "success")
        self.sim.control("/sim/faults/clear", {})
        self.sim.fault(kind="throttle", path="/export_raw_vdi", bytes_per_s=1 << 20)
        runner = threading.Thread(target=self.run_cancelled, args=(job,))
        runner.start()
        run = self.going()
        time.sleep(2)
        self.server.call("job.cancel", runId=run)
        runner.join()

    def run_cancelled(self, job):
        try:
            self.server.call("backupNg.runJob", id=job[0], schedule=job[1])
        except (Refused, RuntimeError):
            pass

    def going(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            workers = self.server.call("system.getServerStatus")["workers"]
            if workers:
                return workers[0]["runId"]
            time.sleep(0.1)
        self.fail("no worker was seen")


if __name__ == "__main__":
    unittest.main()
