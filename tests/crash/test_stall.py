"""A repository that hangs in the midst of a run, in a call that is no data: a stat, an open, an fsync, a rename. It is
given up, the other repository has its backups, of that VM and of the next; once the first answers again, so has it."""
import json
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time
import unittest

from test_power import Volatile
from world import Refused, World, part_of, repo

FULL = bool(os.environ.get("CADENZA_FULL"))
CALLS = part_of(["getattr", "fsync", "rename", "readdir", "open", "create", "mkdir", "fsyncdir"]) if FULL else ["fsync"]
RESTORES = ["read", "getattr"] if FULL else ["read"]  # "read": in the midst of a disk
STALL_MS = 5000
SLOW = 1 << 20  # bytes/s of a restore


class Stalls(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-stall-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.hanging = Volatile(self.folder)
        self.addCleanup(self.hanging.unmount)
        self.there = self.hanging.at / "there"
        self.there.mkdir()
        self.world = world = World("flat", sim=("--vms", 2, "--running", 1))
        self.addCleanup(world.stop)
        self.remote = world.server.call("remote.create", name="there", url=f"file://{self.there}")["id"]
        self.vms = [vm["id"] for vm in world.server.objects(type="VM")]
        self.job = world.server.delta_job("both", self.vms, [world.remote, self.remote], 2, stallTimeout=STALL_MS, concurrency=1)

    def run_job(self):
        self.world.write()
        try:
            self.world.server.call("backupNg.runJob", id=self.job[0], schedule=self.job[1])
        except RuntimeError:
            pass  # its log tells

    def order(self, call):
        try:
            os.mkdir(self.hanging.at / f".stall-{call}")
        except OSError:
            pass

    def release(self):
        self.hanging.process.send_signal(signal.SIGUSR1)

    def log(self):
        return max((log for log in self.world.logs() if log.get("jobId") == self.job[0]), key=lambda log: log["start"])

    def exports(self, log):
        """VM → repository → (status, message). One that could not be opened has a task of its own."""
        unopened = {task["data"]["id"]: (task["status"], task["result"]["message"])
                    for task in log["tasks"] if task["message"] == "get remote adapter"}
        found = {}
        for vm in log["tasks"]:
            if vm["message"] == "backup VM":
                found[vm["data"]["id"]] = unopened | {
                    task["data"]["id"]: (task["status"], task.get("result", {}).get("message", ""))
                    for task in vm.get("tasks", []) if task["message"] == "export"}
        return found

    def wait_for_vms(self, known):
        """Until each VM of the new log has come to an end, whatever the worker waits for."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            log = self.log()
            ended = [task for task in log.get("tasks", []) if task["message"] == "backup VM" and task["status"] != "pending"]
            if log["start"] > known and len(ended) == len(self.vms):
                return
            time.sleep(0.2)
        self.fail("the run hangs with its repository\n" + self.world.explain())

    def hang(self, call):
        known, thread = self.log()["start"], threading.Thread(target=self.run_job)
        self.order(call)
        thread.start()
        try:
            self.wait_for_vms(known)
        finally:
            self.release()
        thread.join(60)
        exports = self.exports(self.log())
        self.assertEqual(set(exports), set(self.vms), self.world.explain())
        for each in exports.values():
            self.assertEqual(each[self.world.remote][0], "success", self.world.explain())
            self.assertEqual(each[self.remote][0], "failure", self.world.explain())
            self.assertIn("has not answered", each[self.remote][1])
        self.world.settle()
        self.assertEqual(list(self.world.contents().values())[-1], self.world.known[-1])

    def restore(self, point, told):
        try:
            told.append(self.world.server.call("backupNg.importVmBackup", id=point["id"], sr=self.world.sr,
                                               settings={"stallTimeout": STALL_MS}))
        except (Refused, RuntimeError) as error:
            told.append(str(error))

    def wait_for_import(self):
        """Until bytes of a disk are on their way into the pool."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            tasks = self.world.xapi.call("task.get_all_records").values()
            if any(task["name_label"] == "Cadenza import" for task in tasks):
                return
            time.sleep(0.05)
        self.fail("no import began\n" + self.world.explain())

    def hang_restore(self, call):
        point, told = self.world.points(self.remote)[-1], []
        thread = threading.Thread(target=self.restore, args=(point, told))
        if call != "read":
            self.order(call)
        thread.start()
        try:
            if call == "read":
                self.wait_for_import()
                self.order(call)
            thread.join(120)
            self.assertFalse(thread.is_alive(), "the restore hangs with its repository")
        finally:
            self.release()
        thread.join(60)
        self.assertIn("there", told[0])
        self.assertIn("has not answered", told[0])
        self.world.settle()
        left = [each for each in self.world.litter() if not each.endswith(" snapshots")]
        self.assertEqual(left, [], self.world.explain())

    def test_restores(self):
        """A restore that fails then leaves nothing in the pool; the next one succeeds."""
        self.run_job()
        rule = self.world.sim.fault(kind="throttle", path="/import_raw_vdi", bytes_per_s=SLOW)
        self.assertTrue(rule)
        for call in RESTORES:
            with self.subTest(call=call):
                self.hang_restore(call)
        self.world.sim.control("/sim/faults/clear", {})
        told = []
        self.restore(self.world.points(self.remote)[-1], told)
        self.assertEqual(len(told[0]), 36, told)

    def offline(self, call, verb, *words):
        """A verb of `cadenza repo` while such a call hangs: given up, and nothing said but that."""
        if call == "all":
            self.hanging.process.send_signal(signal.SIGSTOP)
        else:
            self.order(call)
        try:
            run = repo(verb, "--json", "--stall-timeout", 1, self.there, *words)
        finally:
            self.hanging.process.send_signal(signal.SIGCONT)
            self.release()
        self.assertEqual((run.returncode, run.stdout), (3, ""), run.stderr)
        self.assertRegex(run.stderr, f'^cadenza: file:{self.there}: .*: the repository has not answered for 1 s\n')

    def test_without_server(self):
        self.run_job()
        metadata = next(self.there.glob("xo-vm-backups/*/*.json"))
        point, image = f"{metadata.parent.name}/{metadata.stem}", self.folder / "disk.raw"
        disk = next(iter(json.loads(metadata.read_text())["vhds"].values()))
        rows = [("all", "list"), ("mkdir", "repair"), ("read", "extract", point, disk, image)]
        more = [("readdir", "list"), ("open", "verify", "--deep"), ("read", "digest", point)] if FULL else []
        for row in rows + more:
            with self.subTest(row=row[:2]):
                self.offline(*row)
        self.assertFalse(image.exists())
        self.assertEqual(list(self.folder.glob(".disk*")), [])
        verify = repo("verify", "--deep", self.there)
        self.assertEqual(verify.returncode, 0, verify.stdout + verify.stderr)

    @unittest.skipUnless(FULL, "a listing is waited for 45 s")
    def test_listing(self):
        self.run_job()
        self.order("readdir")
        try:
            listed = self.world.server.call("backupNg.listVmBackups", remotes=[self.remote, self.world.remote])
        finally:
            self.release()
        self.assertIsNone(listed[self.remote])
        self.assertTrue(listed[self.world.remote])
        log = (self.world.folder / "server.log").read_text()
        self.assertIn("remote there: ", log)
        self.assertIn("has not answered", log)
        self.assertTrue(self.world.points(self.remote))

    def test_calls(self):
        self.run_job()
        self.assertEqual(self.log()["status"], "success", self.world.explain())
        for call in CALLS:
            with self.subTest(call=call):
                self.hang(call)
                self.run_job()
                self.assertEqual(self.log()["status"], "success", self.world.explain())
        for place in (self.world.repository, self.there):
            verify = repo("verify", "--deep", place)
            self.assertEqual(verify.returncode, 0, verify.stdout + verify.stderr)
        self.assertEqual([each for each in self.world.litter() if each != "2 snapshots"] + self.world.strays(), [])


if __name__ == "__main__":
    unittest.main()
