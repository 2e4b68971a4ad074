"""What goes wrong in the night: streams cut anywhere, full storage, damaged files, a second server. Each gives
an error that names the thing and the cause, and what was restorable before stays so."""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim, program, until  # noqa: E402

N_CUTS = 50


class Box(unittest.TestCase):
    """A pool of one running VM with one disk, and a server."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-damage-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.sim = Sim("--vms", 1, "--running", 1, "--disk-size", "16MiB", "--allocated", "0.5", "--seed", 31,
                      log=cls.folder / "sim.log")
        cls.addClassCleanup(cls.sim.stop)
        cls.sim.control("/sim/coalesce", {"seconds": 0})
        cls.xapi = cls.sim.session()
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.addClassCleanup(cls.server.stop)
        cls.server.connect(cls.sim)
        cls.vm = cls.server.objects(type="VM")[0]
        cls.sr = next(sr for sr in cls.server.objects(type="SR") if sr["content_type"] == "user")

    def make_job(self, name, retention=3, url=None, **settings):
        self.repository = self.folder / name
        self.remote = self.server.call("remote.create", name=name, url=url or f"file://{self.repository}")["id"]
        self.job, self.schedule = self.server.delta_job(name, [self.vm["id"]], [self.remote], retention, **settings)
        self.truth = {}

    def run_job(self):
        """The log of one run; notes what the disk of its snapshot holds."""
        self.server.call("backupNg.runJob", id=self.job, schedule=self.schedule)
        log = max((log for log in self.server.call("backupNg.getAllLogs").values() if log.get("jobId") == self.job),
                  key=lambda log: log["start"])
        for snapshot in self.server.objects(type="VDI-snapshot"):
            if snapshot["id"] not in self.truth:
                self.truth[snapshot["id"]] = self.sim.digest(snapshot["id"])
        return log

    def write(self, seed):
        self.sim.write(self.vm["id"], 4 << 20, seed)

    def points(self):
        return self.server.call("backupNg.listVmBackups", remotes=[self.remote])[self.remote].get(self.vm["id"], [])

    def file_of(self, point):
        return self.repository / "xo-vm-backups" / point["id"].split("/xo-vm-backups/")[1]

    def disk_of(self, point):
        return self.repository / point["disks"][0]["id"].lstrip("/")

    def restore(self, point):
        """SHA-256 of the restored disk as the pool exports it."""
        restored = self.server.call("backupNg.importVmBackup", id=point["id"], sr=self.sr["id"], settings={})
        vbd = self.server.objects(type="VBD", VM=restored, is_cd_drive=False)[0]
        digest = hashlib.sha256()
        url = f"{self.sim.plain_url}/export_raw_vdi?vdi={vbd['VDI']}&format=raw&session_id={self.xapi.ref}"
        with urllib.request.urlopen(url) as body:
            while block := body.read(1 << 20):
                digest.update(block)
        self.server.call("vm.delete", id=restored)
        return digest.hexdigest()

    def assert_restorable(self, points):
        for point in points:
            self.assertEqual(self.restore(point), self.truth[point["disks"][0]["uuid"]], point["id"])

    def messages(self, task):
        found = [json.dumps(task.get("result"))] if task.get("status") == "failure" else []
        for child in task.get("tasks", []):
            found.append(self.messages(child))
        return " ".join(found)

    def pool_uuids(self, cls):
        return {record["uuid"] for record in self.xapi.call(f"{cls}.get_all_records").values()}


class Streams(Box):
    def test_cut_anywhere(self):
        self.make_job("cuts", poolRetries=0)
        self.assertEqual(self.run_job()["status"], "success")
        self.write(1)
        self.assertEqual(self.run_job()["status"], "success")
        before = self.points()
        length = 8 << 20
        vms = self.pool_uuids("VM")
        for i in range(N_CUTS):
            # the first cuts fall into the header and the table, the others into blocks
            at = (0, 5, 511, 512, 1536, 2047, 2048, 2559, 2560)[i] if i < 9 else (i - 8) * length // (N_CUTS - 8)
            with self.subTest(at=at):
                self.write(i + 2)
                self.sim.fault(kind="cut", path="/export_raw_vdi", at=at, count=20)
                log = self.run_job()
                self.sim.control("/sim/faults/clear", {})
                if log["status"] == "success":  # the delta was shorter than that
                    continue
                self.assertEqual(log["status"], "failure")
                said = self.messages(log)
                self.assertRegex(said, "(?i)ended|cut|closed|reset|early|broke|VDI_IO_ERROR")
                self.assertEqual(self.pool_uuids("VM") - vms - {s["id"] for s in self.server.objects(type="VM-snapshot")}, set())
        self.assertLessEqual(len(self.server.objects(type="VM-snapshot")), 2)
        self.assert_restorable(self.points()[:1])
        self.write(99)
        self.assertEqual(self.run_job()["status"], "success")
        self.assert_restorable(self.points())
        self.assertGreaterEqual(len(self.points()), min(len(before), 2))

    def test_import_cut(self):
        self.make_job("import")
        self.assertEqual(self.run_job()["status"], "success")
        vms, vdis = self.pool_uuids("VM"), self.pool_uuids("VDI")
        self.sim.fault(kind="cut", path="/import_raw_vdi", at=1 << 20, count=20)
        with self.assertRaises(Refused):
            self.restore(self.points()[0])
        self.sim.control("/sim/faults/clear", {})
        self.assertEqual(self.pool_uuids("VM"), vms, "the half-restored VM is gone")
        self.assertEqual(self.pool_uuids("VDI"), vdis, "its disks too")
        self.assert_restorable(self.points())


class Files(Box):
    def setUp(self):
        self.make_job(self.id().rsplit(".", 1)[1])
        for seed in range(3):
            self.write(seed + 1)
            self.assertEqual(self.run_job()["status"], "success")

    def repo(self, *words):
        return subprocess.run([program("cadenza"), "repo", *map(str, words)], capture_output=True, text=True)

    def test_corrupt_metadata(self):
        points = self.points()
        damaged = self.file_of(points[1])
        damaged.write_text('{"jobId": "half a rec')
        self.assertEqual([p["id"] for p in self.points()], [points[0]["id"], points[2]["id"]])
        listed = self.repo("list", self.repository)
        self.assertIn(damaged.name, listed.stdout + listed.stderr)
        self.write(9)
        self.run_job()
        self.assertTrue(damaged.exists() or list(self.repository.rglob(f"*{damaged.name}*")), "never deleted")
        self.assert_restorable(self.points())

    def test_unreadable_metadata(self):
        """A bad sector in one file hides no other backup, of this machine or another."""
        points = self.points()
        folder = self.file_of(points[0]).parent
        (folder / "20300101T000000Z.json").symlink_to("20300101T000000Z.json")  # ELOOP
        (folder.parent / "loop").symlink_to("loop")
        self.assertEqual(self.points(), points)
        listed = self.repo("list", self.repository)
        self.assertEqual(listed.returncode, 1)
        self.assertIn("3 backups", listed.stdout)
        self.assertRegex(listed.stdout, "PROBLEM .*20300101T000000Z")
        verified = self.repo("verify", self.repository)
        self.assertEqual(verified.returncode, 3, verified.stdout)
        self.assertRegex(verified.stdout, "UNREADABLE .*/loop")
        self.assert_restorable(points)

    def test_deleted_meanwhile(self):
        """Retention deletes what is being restored, and merges into its disk: no machine of two dates, no word of damage."""
        for has_manifests in (True, False):
            with self.subTest(has_manifests=has_manifests):
                for seed in range(2):
                    self.write_all(seed)
                    self.assertEqual(self.run_job()["status"], "success")
                if not has_manifests:
                    shutil.rmtree(self.repository / ".cadenza/manifests")
                point, before, said = self.points()[0], self.pool_uuids("VDI"), []
                self.sim.fault(kind="stall", path="/import_raw_vdi", at=0, count=20)
                thread = threading.Thread(target=lambda: said.append(self.refused_in_words(point)))
                thread.start()
                until(lambda: self.pool_uuids("VDI") - before, "the disk of the restore")
                self.write_all(9)
                self.assertEqual(self.run_job()["status"], "success")
                self.assertNotIn(point["id"], [each["id"] for each in self.points()])
                self.sim.control("/sim/faults/clear", {})
                thread.join()
                self.assertIn("deleted while it was being restored", said[0])
                self.assert_restorable(self.points()[-1:])

    def write_all(self, seed):
        self.sim.control("/sim/write", {"vm": self.vm["id"], "blocks": list(range(8)), "seed": seed})

    def refused_in_words(self, point):
        try:
            return f"it became a machine: {self.restore(point)}"
        except Refused as refused:
            return str(refused)

    def test_truncated_disk(self):
        points = self.points()
        victim = self.disk_of(points[2])
        with open(victim, "r+b") as file:
            file.truncate(victim.stat().st_size - 700)
        with self.assertRaises(Refused) as refused:
            self.restore(points[2])
        self.assertIn(victim.name, str(refused.exception))
        self.assert_restorable(points[:2])
        self.write(9)
        log = self.run_job()  # a chain that ends in a damaged disk is not continued
        self.assertEqual(log["status"], "success", self.messages(log))
        self.assert_restorable([self.points()[-1]])

    def test_lost_parent(self):
        points = self.points()
        self.disk_of(points[0]).rename(self.folder / "elsewhere.vhd")
        with self.assertRaises(Refused) as refused:
            self.restore(points[2])
        self.assertIn(self.disk_of(points[0]).name, str(refused.exception))

    @staticmethod
    def swap(a, b):
        aside = a.with_name("aside")
        a.rename(aside)
        b.rename(a)
        aside.rename(b)

    @staticmethod
    def flip(path):
        """One bit of a block's content, without a trace in the times: the first block by the table of a flat VHD."""
        stat = path.stat()
        with open(path, "r+b") as file:
            file.seek(1536)
            table = struct.unpack(">8I", file.read(32))
            at = min(sector for sector in table if sector != 0xffffffff) * 512 + 512 + 12345
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 8]))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def refused(self, point):
        """What a restore says; nothing of it may be left in the pool."""
        before = self.pool_uuids("VM"), self.pool_uuids("VDI")
        with self.assertRaises(Refused) as refused:
            self.restore(point)
        self.assertEqual((self.pool_uuids("VM"), self.pool_uuids("VDI")), before)
        return str(refused.exception)

    def test_wrong_bytes(self):
        """Sound files with something else in them: no machine is made of it, and what was harmed is named."""
        points = self.points()
        disks, files = [self.disk_of(point) for point in points], [self.file_of(point) for point in points]
        self.swap(disks[1], disks[2])
        for n in (1, 2):
            self.assertIn(disks[n].name, self.refused(points[n]))
        self.swap(disks[1], disks[2])
        self.swap(files[1], files[2])
        for n in (1, 2):
            self.assertIn(files[n].name, self.refused(points[n]))
        self.swap(files[1], files[2])
        self.flip(disks[0])
        said = self.refused(points[0])
        self.assertIn(disks[0].name, said)
        self.assertRegex(said, "block \\d+")
        self.flip(disks[0])
        manifest = self.repository / ".cadenza/manifests" / self.vm["id"] / files[1].name
        text = manifest.read_text()
        manifest.write_text(text.replace("blocks", "locks", 1))
        self.assertIn(manifest.name, self.refused(points[1]))
        manifest.write_text(text)
        self.assert_restorable(points)


class Space(Box):
    @unittest.skipUnless(os.geteuid() == 0, "mounting a tmpfs needs root")
    def test_full_remote(self):
        small = self.folder / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=44m", "tmpfs", small], capture_output=True, text=True)
        if mounted.returncode:
            self.skipTest(f"no tmpfs here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", small])
        self.make_job("full", url=f"file://{small}/repo")
        self.repository = small / "repo"
        self.assertEqual(self.run_job()["status"], "success")
        for seed in range(1, 9):
            self.sim.write(self.vm["id"], 8 << 20, seed)
            log = self.run_job()
            if log["status"] == "failure":
                break
        self.assertEqual(log["status"], "failure")
        self.assertRegex(self.messages(log), "(?i)space")
        self.assert_restorable(self.points())

    def test_full_storage_of_the_pool(self):
        self.make_job("pool-full")
        self.assertEqual(self.run_job()["status"], "success")
        vdis = self.pool_uuids("VDI")
        self.sim.control("/sim/srs/fill", {"sr": self.sr["id"], "left_bytes": 1 << 20})
        try:
            with self.assertRaises(Refused) as refused:
                self.restore(self.points()[0])
        finally:
            self.sim.control("/sim/srs/fill", {"sr": self.sr["id"], "left_bytes": -1})
        self.assertRegex(str(refused.exception), "(?i)space|SR_FULL|SR_BACKEND_FAILURE_44")
        self.assertEqual(self.pool_uuids("VDI"), vdis)


class Servers(Box):
    def test_second_server_on_the_same_folder(self):
        second = subprocess.run([program("cadenzad"), "--data", self.server.data, "--insecure-http", "--listen", "127.0.0.1:0"],
                                capture_output=True, text=True, timeout=30)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(str(self.server.process.pid), second.stderr)

    def test_unusable_remotes(self):
        plain = self.folder / "plain"
        plain.touch()
        for url, said in (("file:///proc/nowhere", "/proc/nowhere"), (f"file://{plain}", "Not a directory"), ("gopher://x", "gopher"), ("file://", "path")):
            with self.subTest(url=url):
                remote = None
                try:
                    remote = self.server.call("remote.create", name="bad", url=url)["id"]
                    answer = self.server.call("remote.test", id=remote)
                    self.assertFalse(answer["success"])
                    self.assertIn(said, json.dumps(answer["error"]))
                except Refused as refused:
                    self.assertIn(said, str(refused))
                finally:
                    if remote:
                        self.server.call("remote.delete", id=remote)


if __name__ == "__main__":
    unittest.main()
