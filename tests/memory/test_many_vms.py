"""200 VMs in one run, four at a time, while another client creates, starts and destroys VMs: every VM is
accounted for, the inventory ends equal to the pool's, and memory does not grow with the run (release build).
Memory is taken in the second run: in the first, each VM gains a base snapshot, which the inventory holds."""
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim  # noqa: E402

N_VMS, CONCURRENCY = 200, 4
GROWTH = 1.05
IN_FLIGHT = 2 << 20  # a block's buffer more or less is there when a sample is taken; the thousand machines of --full judge without


class Churn(threading.Thread):
    """The other client: Python's XML-RPC library, making and ending VMs as fast as it is answered."""

    def __init__(self, sim):
        super().__init__(daemon=True)
        self.xapi, self.stop, self.n_made, self.n_ended = sim.session(), threading.Event(), 0, 0
        self.template = next(ref for ref, vm in self.xapi.call("VM.get_all_records").items()
                             if vm["is_a_template"] and not vm["is_a_snapshot"])
        self.failure = None

    def clear_messages(self):
        """A pool keeps what it said of each VM until somebody takes it away; that is no growth of ours."""
        for message in self.xapi.call("message.get_all"):
            try:
                self.xapi.call("message.destroy", message)
            except Refused:  # somebody else did
                pass

    def run(self):
        dice, mine = random.Random(5), []
        try:
            while not self.stop.is_set():
                if len(mine) < 20 and dice.random() < 0.6:
                    vm = self.xapi.call("VM.clone", self.template, f"churn {self.n_made}")
                    self.xapi.call("VM.set_is_a_template", vm, False)
                    self.xapi.call("VM.start", vm, False, True)
                    mine.append(vm)
                    self.n_made += 1
                elif mine:
                    vm = mine.pop(dice.randrange(len(mine)))
                    self.xapi.call("VM.hard_shutdown", vm)
                    self.xapi.call("VM.destroy", vm)
                    self.n_ended += 1
                    self.clear_messages()
                time.sleep(0.02)
        except Exception as error:  # the test reports it
            self.failure = error


def resident_bytes(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class ManyVms(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-many-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.sim = Sim("--hosts", 4, "--vms", N_VMS, "--disk-size", "16MiB", "--allocated", "0.5", "--running", "1",
                       "--seed", 3, "--data", self.folder / "pool")
        self.addCleanup(self.sim.stop)
        self.server = Server(str(self.folder / "data"))
        self.addCleanup(self.server.stop)
        self.server.connect(self.sim)

    def make_job(self, vms):
        remote = self.server.call("remote.create", name="many", url=f"file://{self.folder}/repo?useVhdDirectory=true")
        return remote["id"], *self.server.delta_job("many", vms, [remote["id"]], 2, concurrency=CONCURRENCY)

    def run_job(self, job, schedule):
        """The log of a run, and samples of (VMs done, the server's bytes, its workers')."""
        started, failure = time.time() * 1000, []

        def run():
            try:
                self.server.call("backupNg.runJob", id=job, schedule=schedule)
            except (Refused, RuntimeError) as error:
                failure.append(error)
        runner = threading.Thread(target=run)
        runner.start()
        samples = []
        while runner.is_alive():
            # Before the log is asked for: its answer is as long as the log, and gone a moment later.
            resident = self.server.resident_bytes(), sum(map(resident_bytes, self.server.children()))
            log = self.log_since(started)
            if log:
                done = sum(task.get("end") is not None for task in log.get("tasks", []))
                samples.append((done, *resident))
            time.sleep(0.3)
        self.assertEqual(failure, [])
        return self.log_since(started), samples

    def log_since(self, started_ms):
        logs = self.server.call("backupNg.getLogs", after=int(started_ms) - 1000, limit=1)
        return logs[-1] if logs else None

    def test_run_beside_another_client(self):
        churn = Churn(self.sim)
        vms = sorted(vm["id"] for vm in self.server.objects(type="VM"))
        self.assertEqual(len(vms), N_VMS)
        remote, job, schedule = self.make_job(vms)
        churn.start()
        self.check_run(self.run_job(job, schedule)[0], vms)  # after it, every VM has its base snapshot
        log, samples = self.run_job(job, schedule)
        churn.stop.set()
        churn.join()
        self.assertIsNone(churn.failure)
        self.assertGreater(churn.n_ended, 10)
        self.check_run(log, vms)
        points = self.server.call("backupNg.listVmBackups", remotes=[remote])[remote]
        self.assertEqual({vm: len(listed) for vm, listed in points.items()}, dict.fromkeys(vms, 2))
        self.assert_inventory_equals_pool()
        self.assert_flat(samples)

    def check_run(self, log, vms):
        self.assertEqual(log["status"], "success")
        self.assertEqual(sorted(task["data"]["id"] for task in log["tasks"]), vms)

    def assert_inventory_equals_pool(self):
        xapi = self.sim.session()
        for cls, types in (("VM", {"VM", "VM-snapshot", "VM-template", "VM-controller"}),
                           ("VDI", {"VDI", "VDI-snapshot", "VDI-unmanaged"}), ("VBD", {"VBD"}), ("SR", {"SR"})):
            deadline = time.monotonic() + 10
            while True:
                pool = {record["uuid"] for record in xapi.call(f"{cls}.get_all_records").values()}
                ours = {obj["uuid"] for obj in self.server.objects() if obj["type"] in types}
                if pool == ours or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            self.assertEqual(pool, ours, cls)

    def assert_flat(self, samples):
        busy = [sample for sample in samples if sample[2]]
        tenth = [sample for sample in busy if N_VMS / 20 <= sample[0] <= N_VMS / 8] or busy[:max(1, len(busy) // 10)]
        end = [sample for sample in busy if sample[0] >= 0.9 * N_VMS] or busy[-3:]
        for column, name, room in ((1, "server", 0), (2, "workers", IN_FLIGHT)):
            first, last = (statistics.median(s[column] for s in part) for part in (tenth, end))
            print(f"\n{name}: {first / 2**20:.1f} MiB after the first tenth, {last / 2**20:.1f} MiB at the end", file=sys.stderr)
            self.assertLessEqual(last, first * GROWTH + room, f"resident memory of the {name} grew")


if __name__ == "__main__":
    unittest.main()
