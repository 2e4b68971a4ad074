"""Disks of backups as images in files and pipes: the bytes are those that the pool had, other programs read the
formats, and what goes wrong leaves no file."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import program  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", "")) / "repos"
FORMATS = ("raw", "vhd", "qcow2", "vmdk")


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(file.read()).hexdigest()


@unittest.skipUnless(FIXTURES.is_dir(), "no repositories of XO (CADENZA_FIXTURES)")
class Extract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-extract-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.truth = json.loads((FIXTURES / "expected.json").read_text())
        for name in ("flat-unmerged", "directory", "full"):
            with tarfile.open(FIXTURES / f"{name}.tar.gz") as archive:
                archive.extractall(cls.folder)

    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp(dir=self.folder))

    def points(self, repository):
        """(path of the point, its truth) of the newest points of the repository's VMs, the longest chains."""
        rows = sorted((row for row in self.truth if row["repo"] == repository), key=lambda row: row["timestamp"])
        return [(row["path"].split("/", 1)[1], row) for row in {row["vmUuid"]: row for row in rows}.values()]

    def extract(self, repository, *words, **more):
        return subprocess.run([program("cadenza"), "repo", "extract", *map(str, (self.folder / repository, *words))],
                              capture_output=True, timeout=120, **more)

    def good(self, *words):
        run = self.extract(*words)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run

    def test_images(self):
        for repository in ("flat-unmerged", "directory"):
            for number, (point, row) in enumerate(self.points(repository)):
                disk = row["disks"][0]
                files = {name: self.out / f"{repository}-{number}.{name}" for name in FORMATS}
                for name, file in files.items():
                    self.good(repository, point, disk["vdiUuid"], file)
                    if number == 0:
                        piped = self.good(repository, point, "--format", name, "-").stdout
                        self.assertEqual(piped, file.read_bytes(), f"{name}: the pipe gets what the file holds")
                self.assertEqual(files["raw"].stat().st_size, disk["size"])
                self.assertEqual(sha256(files["raw"]), disk["sha256"])
                self.assertLess(files["raw"].stat().st_blocks * 512, disk["size"] // 4, "zeros are holes")
                self.check_by_others(files)

    def test_archive(self):
        """Full backups: plain, gzip, zstd; the newest of each job, one of them in every format."""
        rows = {row["job"]: row for row in self.truth if row["repo"] == "full"}
        self.assertEqual(len(rows), 3)
        for job, row in rows.items():
            names = FORMATS if job == "full zstd" else ("raw",)
            files = {name: self.out / f"{row['vmUuid']}-{row['timestamp']}.{name}" for name in names}
            for file in files.values():
                said = json.loads(self.good("full", "--json", row["path"].split("/", 1)[1], file).stdout)
                self.assertGreater(said["verified"], 0, "every chunk of an archive has a checksum")
            self.assertEqual(sha256(files["raw"]), row["disks"][0]["sha256"], job)
            if len(files) > 1:
                self.check_by_others(files)

    def check_by_others(self, files):
        for name, theirs in (("vhd", "vpc"), ("qcow2", "qcow2"), ("vmdk", "vmdk")):
            compared = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", theirs, files["raw"], files[name]],
                                      capture_output=True, text=True)
            self.assertEqual((compared.returncode, compared.stdout), (0, "Images are identical.\n"), compared.stderr)
        checked = subprocess.run(["qemu-img", "check", "-f", "qcow2", files["qcow2"]], capture_output=True, text=True)
        self.assertIn("No errors were found", checked.stdout + checked.stderr)

    def test_words(self):
        point, row = self.points("directory")[0]
        file = self.out / "disk.qcow2"
        said = json.loads(self.good("directory", "--json", point, file).stdout)
        self.assertEqual((said["format"], said["size"], said["output"]), ("qcow2", row["disks"][0]["size"], str(file)))
        self.assertEqual(said["imageSize"], file.stat().st_size)
        self.assertEqual(file.stat().st_mode & 0o777, 0o666 & ~self.umask())
        progress = self.good("directory", "--progress", "--force", point, file).stderr.decode()
        self.assertRegex(progress, r"100\.0 % of .*MiB.*/s\n$")
        for words, status, word in (((point, file), 1, "--force"), ((point, "nothing", file), 1, "nothing"),
                                    ((point, self.out), 1, "folder"), ((point, "--format", "vdi", file), 1, "qcow2"),
                                    (("x/y", file), 1, "x/y.json"), (("x", file), 1, "not the path of a backup"), ((point,), 2, "usage"),
                                    ((point, self.out / "no" / "x.raw"), 1, "no/"), ((point, "--nonsense", file), 2, "usage")):
            with self.subTest(words=words):
                before = sorted(self.out.iterdir()), sha256(file)
                run = self.extract("directory", *words)
                self.assertEqual(run.returncode, status)
                self.assertIn(word, run.stderr.decode())
                self.assertEqual((sorted(self.out.iterdir()), sha256(file)), before)

    @staticmethod
    def umask():
        mask = os.umask(0)
        os.umask(mask)
        return mask

    def test_links_stay(self):
        point, row = self.points("directory")[0]
        target, link = self.out / "target", self.out / "link.raw"
        target.write_bytes(b"old")
        link.symlink_to(target)
        self.good("directory", "--force", point, link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(sha256(target), row["disks"][0]["sha256"])

    def test_stops(self):
        """A reader that leaves, a full device, a signal: an error, and no half of a file."""
        point, _row = self.points("directory")[0]
        self.assertIn(b"No space left", self.extract("directory", point, "/dev/full").stderr)
        fifo = self.out / "fifo"
        os.mkfifo(fifo)
        run = subprocess.Popen([program("cadenza"), "repo", "extract", self.folder / "directory", point, fifo],
                               stderr=subprocess.PIPE)
        self.addCleanup(run.kill)
        with open(fifo, "rb") as reader:  # reads nothing more: the pipe is full
            reader.read(1 << 20)
            run.send_signal(signal.SIGTERM)
            run.communicate(timeout=60)
            self.assertEqual(run.returncode, -signal.SIGTERM)
        file = self.out / "half.raw"
        run = subprocess.Popen([program("cadenza"), "repo", "extract", self.folder / "directory", point, file],
                               stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not list(self.out.glob(".half*")) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
        self.assertEqual(list(self.out.glob(".half*")), [])
        self.assertEqual(file.exists(), run.returncode == 0)

    def test_damage(self):
        repository = self.folder / "damaged"
        shutil.copytree(self.folder / "directory", repository)
        point, _row = self.points("directory")[0]
        vm = (repository / point).parent
        victim = next(path for path in vm.rglob("blocks/*/*") if path.is_file())
        victim.unlink()
        run = self.extract("damaged", point, self.out / "x.raw")
        self.assertEqual(run.returncode, 1)
        self.assertIn(f"blocks/0/{victim.name}", run.stderr.decode())
        self.assertEqual(list(self.out.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
