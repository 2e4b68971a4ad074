"""A worker with eight streams stays within the memory bound that it prints and that the server's status names,
and holds no more for large disks than for small ones (release build). Two repositories, one of them of block
directories, so that codecs and spools are at work."""
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, Sim  # noqa: E402

STREAMS = 8


def words_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


class Peaks(threading.Thread):
    """The most that each run worker of a server ever held, as the kernel counts it."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.bytes, self.ended = server, {}, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            for pid in self.server.children():
                if b"worker" in words_of(pid):
                    self.look_at(pid)

    def look_at(self, pid):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, flags=re.M)
        if peak:
            self.bytes[pid] = max(self.bytes.get(pid, 0), int(peak.group(1)) * 1024)

    def highest(self):
        self.ended.set()
        self.join()
        return max(self.bytes.values())


class Bound(unittest.TestCase):
    def peak(self, disk_size, allocated, nbd):
        """(peak resident bytes, the server's word on the worker) of a full backup of eight such disks."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-bound-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, folder, True)
        sim = Sim("--hosts", 1, "--vms", 2, "--disks", STREAMS // 2, "--disk-size", disk_size, "--allocated", allocated,
                  "--running", "1", "--seed", 9, "--data", folder / "pool")
        log = folder / "server.log"
        server = Server(str(folder / "data"), log=log)
        try:
            server.connect(sim)
            remotes = [server.call("remote.create", name=name, url=f"file://{folder}/{name}{options}")["id"]
                       for name, options in (("flat", ""), ("directory", "?useVhdDirectory=true"))]
            vms = [vm["id"] for vm in server.objects(type="VM")]
            job, schedule = server.delta_job("bound", vms, remotes, 1, vdiExportConcurrency=STREAMS, concurrency=2,
                                             spoolBlocks=4, preferNbd=nbd)
            peaks = Peaks(server)
            peaks.start()
            runner = threading.Thread(target=server.call, args=("backupNg.runJob",), kwargs={"id": job, "schedule": schedule})
            runner.start()
            told = self.status(server, runner)
            runner.join()
            last = server.call("backupNg.getLogs", limit=1)[-1]
            self.assertEqual(last["status"], "success", last)
            self.assertIn(f"memory bound of run {last['id']}: {told['boundBytes'] >> 20} MiB", log.read_text())
            return peaks.highest(), told
        finally:
            server.stop()
            sim.stop()

    def status(self, server, runner):
        while runner.is_alive():
            workers = server.call("system.getServerStatus")["workers"]
            if workers:
                return workers[0]
            time.sleep(0.1)
        self.fail("no worker was seen")

    def check(self, size, allocated, nbd):
        peak, told = self.peak(size, allocated, nbd)
        self.assertEqual(told["streams"], STREAMS)
        self.assertEqual(told["boundBytes"], told["baseBytes"] + told["streams"] * told["streamBytes"] + told["vms"] * told["vmBytes"])
        print(f"\n{size}: peak {peak / 2**20:.1f} MiB, bound {told['boundBytes'] / 2**20:.1f} MiB", file=sys.stderr)
        self.assertLessEqual(peak, told["boundBytes"])
        return peak

    def test_eight_streams(self):
        small = self.check("1GiB", "0.1", False)
        large = self.check("64GiB", "0.0016", False)
        self.assertLess(large, small * 1.5, "memory depends on the disks' size")

    def test_eight_streams_by_nbd(self):
        if not os.environ.get("CADENZA_FULL"):
            self.skipTest("takes longer: --full")
        self.check("1GiB", "0.25", True)
        self.check("64GiB", "0.004", True)


if __name__ == "__main__":
    unittest.main()
