"""The examples of the reference: every one is run as it is shown, by a shell, against a server with a simulated pool.

What an example names in capital letters, such as $VM, is a function in world.py with that name in small letters. A new row of the
API needs an example (docs/first-change.md), and there a function for a name that is new.

What a method's example changes in the pool, which is asked directly, and in what the server keeps, is what its line of changes.txt
says, and nothing else."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import BUILD, ROOT, Refused  # noqa: E402
from ledger import differences  # noqa: E402
from world import DISK_BYTES, NOWHERE, World  # noqa: E402

STATUSES = {"api.closeAllConnections": 3}  # it is a connection, too
ENDLESS = ("cadenza rest get events",)
N_READERS = 3
# They change what others see meanwhile, and the last one keeps what it measured.
ALONE = ("api.closeAllConnections", "pusb.set", "pusb.scan", "GET /backup-repositories/{id}/health")
CHANGES = pathlib.Path(__file__).resolve().parent / "changes.txt"
PATIENCE_S = 30
# Of a host that an example before sent away: it comes back a little later.
LATER = {"host.other_config.agent_start_time", "host.other_config.boot_time"}


def changes():
    """name → the words of its line."""
    lines = [line.split() for line in CHANGES.read_text().splitlines() if line and not line.startswith("#")]
    return {words[0]: words[1:] for words in lines}


def lines_of(described):
    """Every example: (what it is of, the line)"""
    for name, info in described["methods"].items():
        yield name, info.get("example")
    for path, verbs in described["rest"]["paths"].items():
        for verb, info in verbs.items():
            yield f"{verb.upper()} {path}", info.get("x-codeSamples", [{}])[0].get("source")


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run = subprocess.run([BUILD / "src/cmd/cadenzad", "describe"], capture_output=True, text=True, check=True)
        cls.described = json.loads(run.stdout)

    def test_pages(self):
        """The pages in docs/reference are those of this server."""
        with tempfile.TemporaryDirectory(prefix="cadenza-pages-") as folder:
            subprocess.run([ROOT / "tools/reference", "--pages", folder, BUILD / "src/cmd/cadenzad"], check=True)
            now, kept = ({path.name: path.read_text() for path in pathlib.Path(where).glob("*.md")} for where in (folder, ROOT / "docs/reference"))
            old = sorted(name for name in {*now, *kept} if now.get(name) != kept.get(name))
            self.assertEqual(old, [], "these pages are old: run tools/reference and commit what it writes")

    def test_rows(self):
        """Nothing lacks words, an example, or a line in the matrix."""
        run = subprocess.run([ROOT / "tools/reference", "--check", BUILD / "src/cmd/cadenzad"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_changes(self):
        """Every method has a line that says what it changes; where another test looks, that test is there and calls it."""
        said = changes()
        self.assertEqual(sorted(set(said) ^ set(self.described["methods"])), [], "changes.txt lacks these, or they are no methods")
        folder = pathlib.Path(__file__).resolve().parent
        for name, words in said.items():
            if words[0] == "see":
                file, cls, test = words[1].split(".")
                source = (folder / f"{file}.py").read_text()
                body = source.split(f"class {cls}(", 1)[-1].split(f"    def {test}(", 1)[-1].split("\n    def test_", 1)[0]
                self.assertIn(f'"{name}"', body, f"changes.txt: {words[1]} does not call {name}")

    def test_run(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-examples-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        world = World(folder)
        self.addCleanup(world.stop)
        lines, self.changes = list(lines_of(self.described)), changes()
        reads = [each for each in lines if self.only_reads(*each)]
        self.took = []
        outcomes = [self.judge(world, *each) for each in lines if each not in reads]
        outcomes += self.judge_readers(world, reads)
        print(f"{len(lines)} examples, slowest: {sorted(self.took)[-5:]}", file=sys.stderr)
        wrong = [each for each in outcomes if each]
        self.assertEqual([], wrong, "\n".join(wrong))

    def only_reads(self, what, line):
        if what in ALONE:
            return False
        if what in self.changes:
            return self.changes[what] == ["-"]
        return line.startswith("cadenza rest get ") and line not in ENDLESS

    def judge_readers(self, world, lines):
        """At the same time. All that they name is made before, so that after them nothing may be different."""
        prepared = [(*each, self.values(world, each[1])) for each in lines]
        before = world.ledger.write()
        with concurrent.futures.ThreadPoolExecutor(N_READERS) as pool:
            yield from pool.map(lambda each: self.judge(world, *each), prepared)
        changed = differences(before, world.ledger.write())
        yield changed and f"one of the methods that only read changes {' '.join(changed)}"

    @staticmethod
    def values(world, line):
        """What the names in capital letters stand for: found in the pool, or made."""
        with world.lock:
            return {name: world.value(name) for name in re.findall(r"\$([A-Z_]+)", line)}

    def judge(self, world, what, line, values=None):
        started = time.monotonic()
        try:
            told = self.run_one(world, what, line, self.values(world, line) if values is None else values)
        except (Refused, RuntimeError, AssertionError, StopIteration, LookupError, OSError) as error:
            told = f"what it names cannot be made: {error!r}"
        self.took.append((round(time.monotonic() - started, 1), what))
        return told and f"{what}: {line}\n    {told}"

    def run_one(self, world, what, line, values):
        """What is wrong with the example, or None."""
        with tempfile.TemporaryDirectory(dir=world.home) as folder:
            self.make_files(world, line, folder)
            env = dict(world.box.env, PATH=f"{BUILD}/src/cmd:{os.environ['PATH']}", **values)
            if line in ENDLESS:
                return self.run_endless(line, folder, env)
            looked_at = what in self.changes and not self.only_reads(what, line)
            before = world.ledger.write() if looked_at else None
            run = subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, timeout=120)
            world.settle()
        said = (run.stderr + run.stdout).decode(errors="replace")
        if NOWHERE in values.values():
            return None if "no such" in said and run.returncode == 1 else f"names what is not there, and yet: {said[:400]}"
        if run.returncode != STATUSES.get(what, 0):
            return f"status {run.returncode}: {said[:600]}"
        return before and self.compare(world, what, before)

    def compare(self, world, what, before):
        """What is different now must be what is said of it; some of it comes a little later."""
        said = [word for word in self.changes[what] if word != "-"]
        until = time.monotonic() + PATIENCE_S
        if what == "host.start":  # it has answered while the host still comes up
            world.wait(lambda: all(host["power_state"] == "Running" for host in world.objects(type="host")))
        if said[:1] == ["see"] and any("host" in word for word in differences(before, world.ledger.write())):
            world.member()  # the next example is about hosts in service
        while said[:1] != ["see"]:
            now = [word for word in differences(before, world.ledger.write()) if word in said or word not in LATER]
            if now == said:
                break
            if time.monotonic() > until:
                return f"changes {' '.join(now) or '-'}; changes.txt says {' '.join(said) or '-'}"
            time.sleep(0.1)
        return None

    @staticmethod
    def run_endless(line, folder, env):
        process = subprocess.Popen(["sh", "-c", f"exec {line}"], cwd=folder, env=env, stdout=subprocess.PIPE)
        first = process.stdout.readline()
        process.kill()
        process.communicate()
        return None if first.startswith(b"event: init") else f"says {first!r}"

    @staticmethod
    def make_files(world, line, folder):
        """What the example sends."""
        if "@=configuration.json" in line and "import" in line:
            world.box.command("xo.exportConfig", "compress=false", f"@={folder}/configuration.json")
        if "@=pack.iso" in line:
            pathlib.Path(folder, "pack.iso").write_bytes(f"a pack for {line}".encode().ljust(DISK_BYTES, b"\0"))
        if "--input disk.raw" in line:
            pathlib.Path(folder, "disk.raw").write_bytes(b"an example" + bytes(DISK_BYTES - 10))
        for name, path in (("disk.vhd", "vdi-snapshots/DISK_SNAPSHOT.vhd"), ("machine.xva", "vm-snapshots/SNAPSHOT.xva")):
            if f"--input {name}" in line or (f"@={name}" in line and "mport" in line):
                path = re.sub("[A-Z_]+", lambda found: world.value(found.group()), path)
                got = world.box.command("rest", "get", path, "--output", f"{folder}/{name}")
                assert got.returncode == 0, got.stderr


if __name__ == "__main__":
    unittest.main()
