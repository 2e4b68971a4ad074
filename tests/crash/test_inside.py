"""A worker that dies in the midst of a disk: the next goes on inside it. What is written twice is measured, by what
the kernel counts of the two processes, and at most 64 MiB; over NBD the same holds for what is read twice."""
import os
import pathlib
import signal
import threading
import time
import unittest

from world import World

MIB = 1 << 20
DISK_MIB, KILL_AT, SPEED = 160, 0.75, 48 * MIB
BOUND_MIB = 64


class Watch(threading.Thread):
    """Counts what the workers of a server read and write, each to its end; stops and kills the first at a mark."""

    def __init__(self, world, kill_at):
        super().__init__(daemon=True)
        self.world, self.kill_at, self.counts, self.ended, self.killed = world, kill_at, {}, threading.Event(), None
        self.start()

    def look(self, pid):
        try:
            lines = pathlib.Path(f"/proc/{pid}/io").read_text().split("\n")
            fields = dict(line.split(": ") for line in lines if line)
            self.counts[pid] = int(fields["wchar"])
        except (OSError, KeyError, ValueError):
            pass
        return self.counts.get(pid, 0)

    def run(self):
        while not self.ended.is_set():
            for pid in self.world.workers("worker"):
                if self.look(pid) > self.kill_at and not self.killed:
                    os.kill(pid, signal.SIGSTOP)
                    self.look(pid)
                    os.kill(pid, signal.SIGKILL)
                    self.killed = pid
            time.sleep(0.01)

    def stop(self):
        self.ended.set()
        self.join()
        return sum(self.counts.values())


class Inside(unittest.TestCase):
    def go_on(self, layout, **settings):
        world = World(layout, disk_size=f"{DISK_MIB}MiB", n_disks=1, allocated=1.0, **settings)
        self.addCleanup(world.stop)
        for path in ("nbd", "/export_raw_vdi"):
            world.sim.fault(kind="throttle", path=path, bytes_per_s=SPEED)
        read = lambda: sum(rule["passed"] for rule in world.sim.control("/sim/faults"))  # noqa: E731
        watch = Watch(world, 1 << 60)
        world.full()
        alone = watch.stop()
        self.assertGreater(alone, DISK_MIB * MIB * 0.3)  # a directory is compressed
        watch = Watch(world, alone * KILL_AT)
        read_before = read()
        world.full()
        read_both, both = read() - read_before, watch.stop()
        self.assertIsNotNone(watch.killed)
        world.settle()
        log = world.last_log()
        self.assertEqual(log["status"], "success", world.explain())
        infos = log["tasks"][1]["infos"]
        self.assertIn("goes on with the snapshot of an interrupted backup", [info["message"] for info in infos], infos)
        twice = (both - alone) / MIB
        self.assertLessEqual(twice, BOUND_MIB, f"{layout}: {twice:.0f} MiB were written twice")
        print(f"{layout} {settings}: {twice:.1f} MiB written twice, {read_both / MIB:.1f} MiB read", flush=True)
        now = world.check({})
        self.assertEqual(list(now.values())[-1], world.known[-1])
        return read_both

    def test_flat_export(self):
        self.go_on("flat")

    def test_directory_export(self):
        self.go_on("directory")

    def test_flat_nbd(self):
        """What is there is not read again."""
        self.assertLessEqual(self.go_on("flat", preferNbd=True), (DISK_MIB + BOUND_MIB) * MIB)

    def test_snapshot_gone(self):
        """Somebody removed the snapshot meanwhile: the VM starts anew, and its log says why."""
        world = World("flat", disk_size="128MiB", n_disks=1, allocated=1.0)
        self.addCleanup(world.stop)
        world.sim.fault(kind="throttle", path="/export_raw_vdi", bytes_per_s=SPEED)
        watch = Watch(world, 1 << 60)
        thread = threading.Thread(target=world.attempt, args=("delta",))
        thread.start()
        deadline = time.monotonic() + 60
        while sum(watch.counts.values()) < 64 * MIB and time.monotonic() < deadline:
            time.sleep(0.05)
        watch.stop()
        pids = world.workers("worker")
        world.server.kill()
        thread.join()
        while any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.1)
        for ref in world.xapi.call("VM.get_snapshots", world.xapi.call("VM.get_by_uuid", world.vm)):
            world.destroy(ref)
        world.start()
        world.settle_success()
        task = world.last_log()["tasks"][-1]
        reasons = [info["data"]["reason"] for info in task["infos"] if info["message"].startswith("starts anew")]
        self.assertIn("snapshot", reasons[0])
        self.assertEqual(list(world.check({}).values())[-1], world.known[-1])


if __name__ == "__main__":
    unittest.main()
