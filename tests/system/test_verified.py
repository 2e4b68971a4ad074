"""Green means verified: what was written is read back before it counts; storage that lies fails the run, by disk, block
and offset, and costs no older backup; and with no server, `cadenza repo` finds damage and moves it out of the way."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, Sim, program  # noqa: E402


def tasks(node, name):
    for child in node.get("tasks", []):
        if child["message"] == name:
            yield child
        yield from tasks(child, name)


class Verified(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-verified-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sim = Sim("--vms", 1, "--running", 1, "--disk-size", "24MiB", "--allocated", "1", "--seed", 41,
                       log=self.folder / "sim.log")
        self.addCleanup(self.sim.stop)
        self.sim.control("/sim/coalesce", {"seconds": 0})
        self.server = None
        self.addCleanup(lambda: self.server.stop())
        self.start()
        self.server.connect(self.sim)
        self.vm = self.server.objects(type="VM")[0]
        self.repository = self.folder / "repository"

    def start(self, **env):
        if self.server:
            self.server.stop()
        password = getattr(self.server, "password", None)
        token = self.server.env["CADENZA_TOKEN"] if self.server else None
        self.server = Server(str(self.folder / "data"), log=self.folder / "server.log", **env)
        if token and "CADENZA_TOKEN" not in self.server.env:
            self.server.password, self.server.env["CADENZA_TOKEN"] = password, token

    def make_job(self, url="", **settings):
        remote = self.server.call("remote.create", name="r", url=f"file://{self.repository}{url}")["id"]
        self.remote = remote
        self.job, self.schedule = self.server.delta_job("job", [self.vm["id"]], [remote], 2, **settings)

    def run_job(self):
        self.server.call("backupNg.runJob", id=self.job, schedule=self.schedule)
        logs = [log for log in self.server.call("backupNg.getAllLogs").values() if log.get("jobId") == self.job]
        return max(logs, key=lambda log: log["start"])

    def read_back(self, log):
        return [info["data"] for transfer in tasks(log, "transfer") for info in transfer.get("infos", [])
                if "read back" in info["message"]]

    def repo(self, verb, *words):
        run = subprocess.run([program("cadenza"), "repo", verb, "--json", str(self.repository), *words],
                             capture_output=True, text=True)
        return run.returncode, json.loads(run.stdout), run.stderr

    def verify(self, *words):
        status, report, said = self.repo("verify", *words)
        return status, {finding["kind"] for finding in report["findings"]}, report

    def disks(self):
        return sorted(path for path in self.repository.rglob("*.vhd") if path.is_file())

    def test_counts(self):
        for how, expected in (("all", "all"), ("none", 0), (None, 10)):
            self.repository = self.folder / f"repository-{how}"
            self.make_job(**({"readBack": how} if how else {}))
            log = self.run_job()
            self.assertEqual(log["status"], "success", log)
            data = self.read_back(log)
            self.assertEqual(len(data), 1)
            self.assertEqual(data[0]["readBack"], how or "sample")
            self.assertGreaterEqual(data[0]["blocks"], 12)
            self.assertEqual(data[0]["verified"], data[0]["blocks"] if expected == "all" else expected)

    def test_storage_that_lies(self):
        self.make_job()
        self.assertEqual(self.run_job()["status"], "success")
        good = self.disks()
        # each large write is stored with one wrong bit
        self.start(CADENZA_MUTANT="storage_flips_bits")
        for seed in (1, 2, 3):
            self.sim.write(self.vm["id"], 6 << 20, seed)
            log = self.run_job()
            self.assertEqual(log["status"], "failure", log)
            said = json.dumps(log)
            self.assertRegex(said, r"vdis/[^ ]*\.vhd: block \d+ \(offset \d+\) did not come back as written")
            self.assertEqual(self.disks(), good, "the older backup stays, the unfinished disk goes")
        self.start()
        self.sim.write(self.vm["id"], 6 << 20, 4)
        self.assertEqual(self.run_job()["status"], "success")
        status, kinds, report = self.verify("--deep")
        self.assertEqual((status, kinds), (0, set()), report)
        self.assertEqual(report["verified"], report["blocks"])
        self.assertEqual(report["backups"], 2)

    def test_damage_and_repair(self):
        self.make_job()
        for seed in (1, 2):
            self.sim.write(self.vm["id"], 6 << 20, seed)
            self.assertEqual(self.run_job()["status"], "success")
        victim = self.disks()[-1]
        content = bytearray(victim.read_bytes())
        content[2048 + 512 + 12345] ^= 4
        victim.write_bytes(content)
        self.assertEqual(self.verify()[0], 0, "the heads are sound")
        status, kinds, report = self.verify("--deep")
        self.assertEqual(status, 1)
        self.assertLessEqual({"block-damaged", "backup-broken"}, kinds)
        finding = next(f for f in report["findings"] if f["kind"] == "block-damaged")
        self.assertIn(victim.name, finding["path"])
        self.assertIsInstance(finding["block"], int)
        _, plan, _ = self.repo("repair", "--deep", "--dry-run")
        self.assertTrue(plan["done"] and plan["dryRun"])
        self.assertTrue(victim.exists(), "a plan does nothing")
        status, done, said = self.repo("repair", "--deep")
        self.assertEqual(status, 0, said)
        self.assertEqual(done["done"][:len(plan["done"])], plan["done"], "the plan is what is done")
        self.assertFalse(victim.exists())
        self.assertTrue(list((self.repository / ".cadenza/quarantine").rglob(victim.name)))
        self.assertEqual(self.verify("--deep")[0], 0)
        self.sim.write(self.vm["id"], 6 << 20, 3)
        self.assertEqual(self.run_job()["status"], "success", "the job goes on, with a full backup")
        status, kinds, report = self.verify("--deep")
        self.assertEqual((status, kinds), (0, set()), report)

    def test_words(self):
        self.make_job("?useVhdDirectory=true")
        self.assertEqual(self.run_job()["status"], "success")
        run = subprocess.run([program("cadenza"), "repo", "verify", "--deep", "--vm", self.vm["id"], self.repository],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("0 damaged", run.stdout)
        block = next(path for path in self.repository.rglob("blocks/0/5"))
        block.unlink()
        run = subprocess.run([program("cadenza"), "repo", "verify", self.repository], capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("block-missing", run.stdout)
        self.assertIn("block 5", run.stdout)
        for words, status in ((["--vm", "nobody", self.repository], 3), ([], 2), ([self.folder / "nothing"], 3)):
            for verb in ("verify", "repair"):
                run = subprocess.run([program("cadenza"), "repo", verb, *map(str, words)], capture_output=True, text=True)
                self.assertEqual(run.returncode, status, run.stderr)
                self.assertNotIn("identifier", run.stderr)
        self.assertFalse((self.repository / "xo-vm-backups/nobody").exists(), "a mistyped VM gets no folder")

    def test_storage_that_is_not_mounted(self):
        empty = self.folder / "mount"
        empty.mkdir()
        for verb in ("list", "verify", "repair"):
            run = subprocess.run([program("cadenza"), "repo", verb, empty], capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stdout), (3, ""), run.stderr)
            self.assertIn("mounted", run.stderr)
        self.assertEqual(list(empty.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
