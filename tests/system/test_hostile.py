"""The hostile half: repositories with random damage (a flipped bit, a cut file, swapped files or blocks, things renamed
and deleted) are read. No crash, no hang, no wrong bytes given as good, and what was harmed is named.

What cannot be known is counted, never passed over: the content of blocks that XO wrote into flat VHDs or packed with
brotli has no checksum, and a block file does not say which block it is. Our own backups have manifests: there,
everything is told. The short run is always the same, the full one draws a seed and prints it; CADENZA_SEED sets it."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import BUILD, Server, Sim, program  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", "")) / "repos"
FULL = bool(os.environ.get("CADENZA_FULL"))
SEED = int(os.environ.get("CADENZA_SEED", random.SystemRandom().randrange(1 << 32) if FULL else 20261122))
N_DAMAGES = 200 if FULL else 15
DRIVER = BUILD / "tests/damage/repo_damage"


@unittest.skipUnless(DRIVER.exists(), "the build has no tests (-Dtests=true)")
class Hostile(unittest.TestCase):
    def setUp(self):
        # in memory where that is possible: a damage a millisecond, and no disk worn out
        memory = pathlib.Path("/dev/shm")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-hostile-", dir=memory if os.access(memory, os.W_OK) else None))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def harm(self, repository, n_damages=N_DAMAGES):
        """Damages it, checks the verdicts, and returns what the driver says."""
        run = subprocess.run([DRIVER, repository, str(SEED), str(n_damages)], capture_output=True, text=True, timeout=1500)
        name = f"{repository.name}, seed {SEED}"
        self.assertEqual(run.returncode, 0, f"{name}: after\n" + "\n".join(run.stderr.splitlines()[-60:]))
        result = json.loads(run.stdout)
        print(f"{name}: {result['told']} told, {result['harmless']} harmless, unknowable: {result['unknowable'] or 'none'}",
              file=sys.stderr)
        self.assertEqual(result["failures"], [], name)
        self.assertEqual(result["told"] + result["harmless"] + sum(result["unknowable"].values()), n_damages)
        self.assertGreater(result["told"], n_damages // 10)
        return result

    def fixture(self, name, n_damages=N_DAMAGES):
        if not FIXTURES.is_dir():
            self.skipTest("no repositories of XO (CADENZA_FIXTURES)")
        with tarfile.open(FIXTURES / f"{name}.tar.gz") as archive:
            archive.extractall(self.folder)
        result = self.harm(self.folder / name, n_damages)
        rows = [row for row in json.loads((FIXTURES / "expected.json").read_text()) if row["repo"] == name]
        self.assertEqual({(row["path"].split("/", 1)[1], disk["vdiUuid"], disk["sha256"]) for row in rows for disk in row["disks"]},
                         {(point["path"].lstrip("/"), point["vdi"], point["sha256"]) for point in result["points"]},
                         "the repository was sound, and read as the pool had it")

    def test_flat(self):
        self.fixture("flat")

    def test_flat_unmerged(self):
        self.fixture("flat-unmerged")

    def test_directory(self):
        self.fixture("directory")

    def test_interrupted(self):
        self.fixture("interrupted")

    def test_full(self):
        self.fixture("full", N_DAMAGES if FULL else N_DAMAGES // 2)  # each archive is read to its end, twice

    def test_ours(self):
        """Our own, flat and in block directories, merged and not: with manifests, nothing is unknowable."""
        sim = Sim("--vms", 2, "--running", 1, "--disk-size", "32MiB", "--allocated", "0.5", "--seed", 77)
        self.addCleanup(sim.stop)
        server = Server(str(self.folder / "data"))
        self.addCleanup(server.stop)
        server.connect(sim)
        vms = [vm["id"] for vm in server.objects(type="VM")]
        for name, options in (("flat", ""), ("blocks", "?useVhdDirectory=true")):
            repository = self.folder / name
            remote = server.call("remote.create", name=name, url=f"file://{repository}{options}")["id"]
            job, schedule = server.delta_job(name, vms, [remote], 2)
            for seed in range(3):
                for vm in vms:
                    sim.write(vm, 4 << 20, seed)
                server.call("backupNg.runJob", id=job, schedule=schedule)
        for name in ("flat", "blocks"):
            result = self.harm(self.folder / name)
            self.assertEqual(len(result["points"]), 4)
            self.assertTrue(all(point["verified"] for point in result["points"]))
            self.assertEqual(result["unknowable"], {})


@unittest.skipUnless(FIXTURES.is_dir(), "no repositories of XO (CADENZA_FIXTURES)")
class Metadata(unittest.TestCase):
    """Backups of configurations and pools: they are listed, so a listing is what damage must not break."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-hostile-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.log = self.folder / "server.log"
        self.server = Server(str(self.folder / "data"), log=self.log)
        self.addCleanup(self.server.stop)
        self.repository = self.folder / "metadata"
        self.restore()
        self.remote = self.server.call("remote.create", name="metadata", url=f"file://{self.repository}")["id"]

    def restore(self):
        shutil.rmtree(self.repository, ignore_errors=True)
        with tarfile.open(FIXTURES / "metadata.tar.gz") as archive:
            archive.extractall(self.folder)

    def listed(self):
        """Folder → what is shown of the backup there."""
        answer = self.server.call("metadataBackup.list", remotes=[self.remote])
        backups = answer["xo"].get(self.remote, []) + sum(answer["pool"].get(self.remote, {}).values(), [])
        return {each["id"].removeprefix(f"{self.remote}/"): each for each in backups}

    def harm(self, chance):
        """One damage; the files that it touched, and whether they are still there."""
        files = sorted(path for path in self.repository.rglob("*") if path.is_file())
        kind, file, other = chance.choice(["flip", "cut", "swap", "rename", "delete"]), *chance.sample(files, 2)
        data = file.read_bytes()
        if kind == "flip":
            at = chance.randrange(len(data))
            file.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:])
        elif kind == "cut":
            file.write_bytes(data[:chance.randrange(len(data))])
        elif kind == "swap":
            file.write_bytes(other.read_bytes())
            other.write_bytes(data)
        elif kind == "rename":
            file.rename(file.with_name(file.name + "~"))
        else:
            file.unlink()
        return kind, [file, other] if kind == "swap" else [file]

    def test_random_damage(self):
        chance, sound, told = random.Random(SEED), self.listed(), 0
        self.assertEqual(len(sound), 4)
        for n in range(N_DAMAGES):
            kind, files = self.harm(chance)
            where = f"seed {SEED}, damage {n}: {kind} {[str(file.relative_to(self.repository)) for file in files]}"
            n_before = self.log.stat().st_size
            now = self.listed()
            said = self.log.read_bytes()[n_before:].decode(errors="replace")
            harmed = {str(file.parent.relative_to(self.repository)) for file in files if file.name == "metadata.json"}
            for place, backup in sound.items():
                if place not in harmed:
                    self.assertEqual(now.get(place), backup, where)
                elif place not in now:
                    self.assertIn(place, said, f"{where}: nothing was said")
                    told += 1
            self.assertLessEqual(now.keys(), sound.keys(), where)
            self.restore()
        print(f"metadata, seed {SEED}: {told} told", file=sys.stderr)
        self.assertGreater(told, 0)


@unittest.skipUnless(FIXTURES.is_dir(), "no repositories of XO (CADENZA_FIXTURES)")
class Command(unittest.TestCase):
    """The program itself on some of the same: exit status and words."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-hostile-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        with tarfile.open(FIXTURES / "directory.tar.gz") as archive:
            archive.extractall(self.folder)
        self.vm = sorted((self.folder / "directory/xo-vm-backups").glob("*/*.json"))[0].parent
        self.points = sorted(self.vm.glob("*.json"))
        self.data = sorted(self.vm.glob("vdis/*/*/data/*.vhd"))

    def repo(self, verb, *words):
        return subprocess.run([program("cadenza"), "repo", verb, self.folder / "directory", *words], capture_output=True, text=True)

    def assert_told(self, name, *verbs):
        for verb in verbs:
            run = self.repo(verb, *([] if verb != "digest" else [f"{self.vm.name}/{self.points[-1].stem}"]))
            self.assertEqual(run.returncode, 1, f"{verb}: {run.stdout}{run.stderr}")
            self.assertIn(name, run.stdout + run.stderr)

    def test_metadata(self):
        self.points[-1].write_text(self.points[-1].read_text()[:-9])
        self.assert_told(self.points[-1].name, "list", "digest")

    def test_footer(self):
        (self.data[-1] / "footer").write_bytes(b"x")
        self.assert_told(self.data[-1].name, "list", "digest")

    def test_parent(self):
        self.data[0].rename(self.folder / "elsewhere")
        self.assert_told(self.data[0].name, "list", "digest")

    def test_block(self):
        block = sorted(self.data[0].glob("blocks/0/*"))[-1]
        block.write_bytes(block.read_bytes()[:-1])
        self.assert_told(f"blocks/0/{block.name}", "digest")

    def test_names_with_control_characters(self):
        """A repository cannot write to the terminal of who looks at it."""
        (self.vm / "2026\x1b[2J0101T000000Z.json").write_text("{")
        (self.vm.parent / "\x1b[31mvm").mkdir()
        for verb in ("list", "verify"):
            run = self.repo(verb)
            self.assertNotIn("\x1b", run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main()
