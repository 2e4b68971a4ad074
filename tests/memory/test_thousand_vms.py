"""1,000 small VMs in one run, four at a time: the run worker's memory at its end is within 5 % of what it was
after the first tenth (release build; some minutes, so only with --full). Both by the median: at any moment some
more or fewer blocks are in flight."""
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, Sim  # noqa: E402

N_VMS, CONCURRENCY, GROWTH = 1000, 4, 1.05


def resident_bytes(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def is_run_worker(pid):
    try:
        return b"worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def reasons(task):
    """Why tasks below this one failed."""
    for child in task.get("tasks", []):
        if child["status"] != "success":
            yield f"{child['message']}: {child.get('result', {}).get('message')}"
        yield from reasons(child)


class ThousandVms(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        if not os.environ.get("CADENZA_FULL"):
            self.skipTest("takes some minutes: --full")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-thousand-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.sim = Sim("--hosts", 4, "--vms", N_VMS, "--disk-size", "8MiB", "--allocated", "0.5", "--running", "1",
                       "--seed", 4, "--data", self.folder / "pool")
        self.addCleanup(self.sim.stop)
        self.server = Server(str(self.folder / "data"))
        self.addCleanup(self.server.stop)
        self.server.connect(self.sim)

    def samples(self, job, schedule):
        """(VMs done, bytes of the run worker), all along a run."""
        samples, started = [], time.time() * 1000
        runner = threading.Thread(target=self.server.call, args=("backupNg.runJob",), kwargs={"id": job, "schedule": schedule})
        runner.start()
        while runner.is_alive():
            n_done = self.n_done(started)
            samples.extend((n_done, resident_bytes(pid)) for pid in self.server.children() if is_run_worker(pid))
            time.sleep(1)
        return samples

    def n_done(self, started):
        logs = self.server.call("backupNg.getLogs", after=int(started) - 1000, limit=1)
        return sum(task.get("end") is not None for task in logs[-1].get("tasks", [])) if logs else 0

    def test_flat(self):
        vms = [vm["id"] for vm in self.server.objects(type="VM")]
        remote = self.server.call("remote.create", name="many", url=f"file://{self.folder}/repo?useVhdDirectory=true")
        samples = self.samples(*self.server.delta_job("thousand", vms, [remote["id"]], 2, concurrency=CONCURRENCY))
        log = self.server.call("backupNg.getLogs", limit=1)[-1]
        self.assertEqual((len(log["tasks"]), sorted(set(reasons(log)))), (N_VMS, []))
        tenth = statistics.median(held for n, held in samples if N_VMS / 20 <= n <= N_VMS / 10)
        end = statistics.median(held for n, held in samples if n >= 0.9 * N_VMS)
        print(f"\n{tenth / 2**20:.1f} MiB in the first tenth, {end / 2**20:.1f} MiB at the end", file=sys.stderr)
        self.assertLessEqual(end, tenth * GROWTH)


if __name__ == "__main__":
    unittest.main()
