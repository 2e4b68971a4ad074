"""Full backups: whole machines as archives (XVA), made by cadenzad from a simulated pool and by a real XO.
Archives are opened by Python's tarfile and gzip and by the zstd program; the truth is the pool's SHA-256."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, Server, Sim, program  # noqa: E402

MIB = 1 << 20
FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", ROOT.parent / "shared/fixtures/xo"))


def expand(path):
    magic = path.read_bytes()[:4]
    if magic[:2] == b"\x1f\x8b":
        return "native", subprocess.run(["gzip", "-dc", path], capture_output=True, check=True).stdout
    if magic == b"\x28\xb5\x2f\xfd":
        return "zstd", subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return "", path.read_bytes()


class Box(unittest.TestCase):
    """A pool of two machines with two disks each, one of them running, and a server."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-full-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.sim = Sim("--vms", 2, "--running", 0.5, "--disks", 2, "--disk-size", "10MiB", "--allocated", "0.4",
                      "--seed", 41, "--data", cls.folder / "pool", log=cls.folder / "sim.log")
        cls.addClassCleanup(cls.sim.stop)
        cls.sim.control("/sim/coalesce", {"seconds": 0})
        cls.xapi = cls.sim.session()
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.addClassCleanup(cls.server.stop)
        cls.server.connect(cls.sim)
        vms = {vm["power_state"]: vm for vm in cls.server.objects(type="VM")}
        cls.running, cls.halted = vms["Running"], vms["Halted"]
        cls.sr = next(sr for sr in cls.server.objects(type="SR") if sr["content_type"] == "user")

    def tearDown(self):
        self.sim.control("/sim/faults/clear", {})

    def make_job(self, name, vm, compression="", retention=2, remotes=1, **settings):
        self.vm = vm
        self.repositories = [self.folder / f"{name}-{i}" for i in range(remotes)]
        self.remotes = [self.server.call("remote.create", name=path.name, url=f"file://{path}")["id"]
                        for path in self.repositories]
        self.job = self.server.call("backupNg.createJob", name=name, mode="full", compression=compression,
                                    vms={"id": vm["id"]}, remotes={"id": {"__or": self.remotes}},
                                    schedules={"tmp": {"cron": "0 0 * * *", "enabled": False}},
                                    settings={"": settings, "tmp": {"exportRetention": retention}})
        self.schedule = next(s for s in self.server.call("schedule.getAll") if s["jobId"] == self.job)["id"]

    def run_job(self):
        self.server.call("backupNg.runJob", id=self.job, schedule=self.schedule)
        return max((log for log in self.server.call("backupNg.getAllLogs").values() if log.get("jobId") == self.job),
                   key=lambda log: log["start"])

    def points(self, remote=0):
        listed = self.server.call("backupNg.listVmBackups", remotes=[self.remotes[remote]], _forceRefresh=True)
        return listed[self.remotes[remote]].get(self.vm["id"], [])

    def folder_of(self, remote=0):
        return self.repositories[remote] / "xo-vm-backups" / self.vm["id"]

    def metadata(self, point, remote=0):
        return json.loads((self.folder_of(remote) / point["id"].rsplit("/", 1)[1]).read_text())

    def digests(self, vm):
        """Device to SHA-256, as the generator knows it."""
        found = {}
        ref = self.xapi.call("VM.get_by_uuid", vm)
        for vbd in self.xapi.call("VM.get_VBDs", ref):
            record = self.xapi.call("VBD.get_record", vbd)
            if record["type"] == "Disk":
                found[record["userdevice"]] = self.sim.digest(self.xapi.call("VDI.get_uuid", record["VDI"]))
        return found

    def restore(self, point):
        return self.server.call("backupNg.importVmBackup", id=point["id"], sr=self.sr["id"], settings={})

    def messages(self, task):
        found = [json.dumps(task.get("result"))] if task.get("status") == "failure" else []
        return " ".join(found + [self.messages(child) for child in task.get("tasks", [])])

    def litter(self):
        """What a run should not leave: snapshots, marks, blocked operations, hidden files."""
        found = [path.name for repository in self.repositories for path in repository.rglob(".1*")]
        for vm in self.xapi.call("VM.get_all_records").values():
            if vm["is_a_snapshot"] or "cadenza:intent" in vm["other_config"]:
                found.append(vm["name_label"])
            if vm["blocked_operations"] and not vm["is_a_template"]:
                found.append(str(vm["blocked_operations"]))
        for vdi in self.xapi.call("VDI.get_all_records").values():
            if "cadenza:intent" in vdi["other_config"]:
                found.append(vdi["name_label"])
        return found

    def repo(self, *words):
        run = subprocess.run([program("cadenza"), "repo", *map(str, words), "--json"], capture_output=True, text=True)
        return run.returncode, json.loads(run.stdout) if run.stdout.strip() else run.stderr

    def vms(self):
        return len(self.xapi.call("VM.get_all"))


class Full(Box):
    def check_point(self, point, compression):
        """The files are XO's, to the field."""
        metadata = self.metadata(point)
        self.assertEqual(list(metadata), ["jobId", "mode", "scheduleId", "timestamp", "version", "vm", "vmSnapshot",
                                          "tags", "xva", "size"])
        archive = self.folder_of() / metadata["xva"]
        self.assertEqual((metadata["mode"], metadata["version"], metadata["tags"]), ("full", "2.0.0", []))
        self.assertEqual(metadata["size"], archive.stat().st_size)
        self.assertEqual(metadata["xva"], "./" + point["id"].rsplit("/", 1)[1].replace(".json", ".xva"))
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        self.assertEqual((archive.parent / (archive.name + ".checksum")).read_text(), f"$1$${md5}")
        for record in (metadata["vm"], metadata["vmSnapshot"]):
            self.assertNotIn("cadenza:intent", record["other_config"])
        codec, tar = expand(archive)
        self.assertEqual((codec, tar[-1024:]), (compression, bytes(1024)))
        plain = archive.with_suffix(".tar")
        plain.write_bytes(tar)
        with tarfile.open(plain) as members:
            self.assertEqual(members.getnames()[0], "ova.xml")
        plain.unlink()
        self.assertEqual({"mode": point["mode"], "disks": point["disks"], "size": point["size"]},
                         {"mode": "full", "disks": [], "size": metadata["size"]})

    def test_there_and_back(self):
        for compression, vm in (("", self.running), ("zstd", self.halted), ("native", self.running)):
            with self.subTest(compression=compression):
                self.make_job(f"back-{compression}", vm, compression)
                truth = self.digests(vm["id"])
                log = self.run_job()
                self.assertEqual(log["status"], "success", log)
                self.assertEqual(self.litter(), [])
                point, = self.points()
                self.check_point(point, compression)
                restored = self.restore(point)
                self.assertEqual(self.digests(restored), truth)
                record = self.xapi.call("VM.get_record", self.xapi.call("VM.get_by_uuid", restored))
                self.assertTrue(record["name_label"].startswith(vm["name_label"] + " ("), record["name_label"])
                self.assertIn("restored from backup", record["tags"])
                self.assertFalse([key for key in record["other_config"] if key.startswith(("xo:backup", "cadenza"))])
                self.assertEqual(self.litter(), [])
                status, rows = self.repo("digest", self.repositories[0], f"{vm['id']}/{point['id'][-21:-5]}")
                self.assertEqual((status, sorted(row["sha256"] for row in rows)), (0, sorted(truth.values())))
                self.server.call("vm.delete", id=restored)

    def test_log(self):
        """The tasks of XO's log, and what the job keeps."""
        self.make_job("log", self.running, retention=2, snapshotRetention=1)
        for run in range(3):
            log = self.run_job()
            self.assertEqual(log["status"], "success", log)
        self.assertEqual(log["data"]["mode"], "full")
        vm, = log["tasks"]
        self.assertEqual([task["message"] for task in vm["tasks"]], ["snapshot", "export", "clean-vm"])
        export = vm["tasks"][1]
        self.assertEqual({key: export["data"][key] for key in ("id", "type", "isFull")},
                         {"id": self.remotes[0], "type": "remote", "isFull": True})
        transfer, = export["tasks"]
        points = self.points()
        self.assertEqual(transfer["result"], {"size": points[-1]["size"]})
        self.assertEqual(vm["tasks"][2]["result"], {"merge": False, "size": 0})
        self.assertEqual(len(points), 2)
        self.assertEqual(sorted(path.suffix for path in self.folder_of().iterdir() if path.name != "cache.json.gz"),
                         [".checksum"] * 2 + [".json"] * 2 + [".xva"] * 2)
        snapshots = [vm for vm in self.xapi.call("VM.get_all_records").values() if vm["is_a_snapshot"]]
        self.assertEqual(len(snapshots), 1)
        self.assertEqual(snapshots[0]["other_config"]["xo:backup:job"], self.job)
        for snapshot in snapshots:
            self.server.call("vm.delete", id=snapshot["uuid"])

    def test_halted_without_snapshot(self):
        self.make_job("halted", self.halted)
        log = self.run_job()
        self.assertEqual([task["message"] for task in log["tasks"][0]["tasks"]], ["export", "clean-vm"])
        point, = self.points()
        metadata = self.metadata(point)
        self.assertEqual(metadata["vmSnapshot"]["uuid"], metadata["vm"]["uuid"])

    def test_two_repositories(self):
        """Each gets the same bytes; one that fails does not take the other with it."""
        self.make_job("two", self.running, "zstd", remotes=2)
        self.assertEqual(self.run_job()["status"], "success")
        one, two = (self.folder_of(i) / self.metadata(self.points(i)[0], i)["xva"] for i in range(2))
        self.assertEqual(one.read_bytes(), two.read_bytes())
        shutil.rmtree(self.repositories[1] / "xo-vm-backups")
        (self.repositories[1] / "xo-vm-backups").write_text("in the way")
        log = self.run_job()
        self.assertEqual(log["status"], "failure")
        self.assertEqual(len(self.points(0)), 2)
        self.assertEqual(self.litter(), [])

    def test_cut_streams(self):
        """Wherever the stream is cut: a failure, nothing new, what was there stays."""
        self.make_job("cuts", self.running, retention=3)
        self.assertEqual(self.run_job()["status"], "success")
        before = self.points()
        length = before[0]["size"]
        for at in (0, 100, 5000, length // 3, length - 1024 - 600, length - 1024, length - 512, length - 1):
            with self.subTest(at=at):
                self.sim.fault(kind="cut", path="/export", at=at)
                log = self.run_job()
                self.sim.control("/sim/faults/clear", {})
                self.assertEqual(log["status"], "failure", log)
                self.assertEqual(self.points(), before)
                self.assertEqual(self.litter(), [])
        self.assertEqual(len(list(self.folder_of().glob("*.xva"))), 1)

    def test_stall(self):
        self.make_job("stall", self.halted, stallTimeout=1500)
        self.sim.fault(kind="stall", path="/export", at=MIB)
        log = self.run_job()
        self.sim.control("/sim/faults/clear", {})
        self.assertEqual((log["status"], self.points(), self.litter()), ("failure", [], []))

    def test_cancel_and_restore_cut(self):
        self.make_job("restores", self.halted)
        self.assertEqual(self.run_job()["status"], "success")
        point, = self.points()
        n = self.vms()
        for at in (0, MIB, point["size"] - 100):
            self.sim.fault(kind="cut", path="/import", at=at)
            with self.assertRaises(Refused):
                self.restore(point)
            self.sim.control("/sim/faults/clear", {})
            self.assertEqual((self.vms(), self.litter()), (n, []))

    def test_restore_fails_after_the_last_byte(self):
        """The pool has made the VM by then, and only the task of the import knows of it."""
        self.make_job("late", self.halted)
        self.assertEqual(self.run_job()["status"], "success")
        point, = self.points()
        before = self.vms(), len(self.xapi.call("VDI.get_all"))
        for method in ("VM.get_record", "VM.add_to_other_config", "VDI.add_to_other_config", "VM.get_uuid", "VM.add_tags"):
            with self.subTest(method=method):
                self.sim.fault(kind="error", method=method, error=["INTERNAL_ERROR", "on order"])
                with self.assertRaises(Refused):
                    self.restore(point)
                self.sim.control("/sim/faults/clear", {})
                self.assertEqual((self.vms(), len(self.xapi.call("VDI.get_all"))), before)
                self.assertEqual(self.litter(), [])

    def test_damaged_archives(self):
        """Told by verify, refused by restore, and nothing is left of it in the pool."""
        self.make_job("damaged", self.halted, "zstd")
        self.assertEqual(self.run_job()["status"], "success")
        point, = self.points()
        archive = self.folder_of() / self.metadata(point)["xva"]
        status, report = self.repo("verify", "--deep", self.repositories[0])
        self.assertEqual((status, report["backups"], report["findings"]), (0, 1, []), report)
        good, n = archive.read_bytes(), self.vms()
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 4
        for bad in (bytes(flipped), good[:-1], good + b"\0", b"", b"x" * len(good)):
            archive.write_bytes(bad)
            status, report = self.repo("verify", "--deep", self.repositories[0])
            self.assertEqual((status, report["verdict"]), (1, "DAMAGED"))
            self.assertEqual({finding["kind"] for finding in report["findings"]}, {"archive-damaged", "backup-broken"})
            with self.assertRaises(Refused):
                self.restore(point)
            self.assertEqual((self.vms(), self.litter()), (n, []))
        archive.write_bytes(good)
        (archive.parent / (archive.name + ".checksum")).write_text("$1$$" + "0" * 32)
        self.assertEqual(self.repo("verify", "--deep", self.repositories[0])[0], 1)
        archive.unlink()
        with self.assertRaises(Refused):
            self.restore(point)
        self.assertEqual(self.repo("list", self.repositories[0])[0], 1)

    def test_leftovers_go(self):
        self.make_job("leftovers", self.halted)
        self.assertEqual(self.run_job()["status"], "success")
        for name in (".1700000000000.20200101T000000Z.xva", "20200101T000000Z.xva", "20200101T000000Z.xva.checksum"):
            (self.folder_of() / name).write_bytes(b"left")
        self.assertEqual(self.run_job()["status"], "success")
        self.assertEqual(len(list(self.folder_of().glob("*.xva"))), 2)
        self.assertEqual(self.litter(), [])

    def test_delete_first(self):
        self.make_job("first", self.halted, retention=1, deleteFirst=True)
        for _ in range(2):
            self.assertEqual(self.run_job()["status"], "success")
            self.assertEqual(len(self.points()), 1)


@unittest.skipUnless(FIXTURES.is_dir(), f"no fixtures in {FIXTURES}")
class Fixtures(Box):
    """The archives that a real XO wrote."""

    def test_all_points(self):
        here = self.folder / "xo"
        here.mkdir()
        subprocess.run(["tar", "-xzf", FIXTURES / "repos/full.tar.gz", "-C", here], check=True)
        expected = [point for point in json.loads((FIXTURES / "repos/expected.json").read_text()) if point["repo"] == "full"]
        self.assertEqual(len(expected), 6)
        status, report = self.repo("verify", "--deep", here / "full")
        self.assertEqual((status, report["backups"], report["findings"]), (0, 6, []), report)
        remote = self.server.call("remote.create", name="xo", url=f"file://{here / 'full'}")["id"]
        listed = self.server.call("backupNg.listVmBackups", remotes=[remote])[remote]
        for point in expected:
            path = point["path"].removeprefix("full/")
            status, rows = self.repo("digest", here / "full", path)
            self.assertEqual((status, [row["sha256"] for row in rows]), (0, [disk["sha256"] for disk in point["disks"]]))
        for vm in {point["vmUuid"] for point in expected}:
            point = next(point for point in expected if point["vmUuid"] == vm)
            shown = next(shown for shown in listed[vm] if shown["timestamp"] == point["timestamp"])
            restored = self.restore(shown)
            self.assertEqual(self.digests(restored), {disk["position"]: disk["sha256"] for disk in point["disks"]})
            self.server.call("vm.delete", id=restored)


del Box  # only its children are tests

if __name__ == "__main__":
    unittest.main()
