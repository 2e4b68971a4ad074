"""Every repository that a real XO wrote, accounted for: what is read lists, verifies and gives the bytes of its pool, whatever
has become of XO's cache; what is not read says why."""
import gzip
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
from box import program  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", "")) / "repos"
DISKS, ARCHIVES, NO_VM, SEALED = "disks", "archives", "no VM in it", "sealed: repositories with an encryption key are not read"
TABLE = {
    "flat": DISKS,
    "flat-unmerged": DISKS,
    "directory": DISKS,
    "interrupted": DISKS,  # with the partial disk and the stale lock of a server that was killed
    "full": ARCHIVES,  # the disks in them: unit test disk_xva
    "metadata": NO_VM,
    "encrypted": SEALED,
    "encrypted-gcm": SEALED,
    "full-encrypted": SEALED,
    "metadata-encrypted": SEALED,
}


def repo(*words):
    run = subprocess.run([program("cadenza"), "repo", words[0], "--json", *map(str, words[1:])], capture_output=True, text=True)
    return run.returncode, json.loads(run.stdout) if run.stdout.strip() else None, run.stderr


def spoil(change):
    """A change of what the cache says, written with a time after all files."""
    def write(path):
        entries = json.loads(gzip.decompress(path.read_bytes()))
        path.write_bytes(gzip.compress(json.dumps(change(entries)).encode()))
    return write


def keep_old(path):
    """Another content, from before the files were written."""
    entries = json.loads(gzip.decompress(path.read_bytes()))
    for entry in entries.values():
        entry["size"], entry["vhds"] = 1, {}
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
    os.utime(path, (1e9, 1e9))


CACHES = {
    "absent": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(500)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "no object": spoil(list),
    "without a point": spoil(lambda entries: dict(list(entries.items())[1:])),
    "with a point too many": spoil(lambda entries: {**entries, "/xo-vm-backups/x/20200101T000000Z.json": {"mode": "delta"}}),
    "with names for other points": spoil(lambda entries: {name.replace("T", "U"): entry for name, entry in entries.items()}),
    "stale": keep_old,
}


@unittest.skipUnless(FIXTURES.is_dir(), "no repositories of XO (CADENZA_FIXTURES)")
class Fixtures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-fixtures-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.truth = json.loads((FIXTURES / "expected.json").read_text())
        for name, kind in TABLE.items():
            if kind is not SEALED:
                with tarfile.open(FIXTURES / f"{name}.tar.gz") as archive:
                    archive.extractall(cls.folder)

    def expected(self, name):
        return {row["path"].split("/", 1)[1]: row for row in self.truth if row["repo"] == name}

    def names(self, *kinds):
        return [name for name, kind in TABLE.items() if kind in kinds]

    def test_all_are_accounted_for(self):
        """A new fixture must be read, or be named with the reason why not."""
        self.assertEqual({path.name[:-len(".tar.gz")] for path in FIXTURES.glob("*.tar.gz")}, set(TABLE))
        self.assertEqual({row["repo"] for row in self.truth} - set(self.names(DISKS, ARCHIVES)), set(self.names(SEALED)) - {"metadata-encrypted"})

    def listed(self, name):
        status, rows, said = repo("list", self.folder / name)
        self.assertEqual(status, 0, said)
        return {point["path"].lstrip("/"): point for vm in rows for point in vm["points"]}

    def test_each_lists(self):
        for name in self.names(DISKS, ARCHIVES, NO_VM):
            with self.subTest(name):
                points, expected = self.listed(name), self.expected(name)
                self.assertEqual(set(points), set(expected))
                for path, point in points.items():
                    self.assertEqual((point["mode"], point["timestamp"]), (expected[path]["mode"], expected[path]["timestamp"]))
                    self.assertEqual({disk["state"] for disk in point["disks"]}, {"sound"})

    def test_each_verifies(self):
        for name in self.names(DISKS):
            with self.subTest(name):
                status, found, said = repo("verify", self.folder / name)
                interrupted = name == "interrupted"  # what the killed server left is litter, and told of
                self.assertEqual((status, found["verdict"]), (4, "untidy") if interrupted else (0, "note"), said)
                self.assertEqual(found["backups"], len(self.expected(name)))
                self.assertEqual({finding["kind"] for finding in found["findings"]},
                                 {"manifest-absent", "leftover"} if interrupted else {"manifest-absent"})

    def test_each_gives_its_bytes(self):
        n_disks = 0
        for name in self.names(DISKS):
            for path, row in self.expected(name).items():
                with self.subTest(name, path=path):
                    status, disks, said = repo("digest", self.folder / name, path)
                    self.assertEqual(status, 0, said)
                    self.assertEqual({disk["vdi"]: disk["sha256"] for disk in disks},
                                     {disk["vdiUuid"]: disk["sha256"] for disk in row["disks"]})
                    n_disks += len(disks)
        self.assertEqual(n_disks, 15)

    def test_no_cache_changes_the_answer(self):
        for name in self.names(DISKS, ARCHIVES):
            caches = sorted((self.folder / name).glob("xo-vm-backups/*/cache.json.gz"))
            self.assertTrue(caches, name)
            answer = repo("list", self.folder / name)
            for what, change in CACHES.items():
                with self.subTest(name, cache=what):
                    kept = {cache: (cache.read_bytes(), cache.stat()) for cache in caches}
                    for cache in caches:
                        change(cache)
                    self.assertEqual(repo("list", self.folder / name), answer)
                    for cache, (content, stat) in kept.items():
                        cache.write_bytes(content)
                        os.utime(cache, ns=(stat.st_atime_ns, stat.st_mtime_ns))


if __name__ == "__main__":
    unittest.main()
