"""The worker of a run dies, as by a power cut, at each point where it matters: every point that the
repository lists must hold bytes that the VM once had, the last good one must be among them, the pool must be
left clean, and the next run must succeed."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim, program  # noqa: E402

# In the order in which a run of a VM passes them; ":n" is the nth time.
POINTS = ["work_snapshot_taken", "catalog_disk_written", "catalog_disk_named:2", "work_commit",
          "catalog_commit_manifest", "catalog_commit_point", "work_exported", "catalog_delete_point",
          "merge_journal", "merge_noted", "merge_{layout}_mark", "merge_blocks_done", "merge_{layout}_footer",
          "merge_manifest", "merge_renamed", "merge_children_dropped", "merge_note_dropped", "remote_put_written:2",
          "remote_put_named:3"]
QUICK = {"flat": POINTS[::4], "directory": POINTS[2::4]}


class Crash(unittest.TestCase):
    def begin(self, layout):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-crash-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sim = Sim("--vms", 1, "--disks", 2, "--disk-size", "24MiB", "--allocated", "0.6", "--running", 1,
                       "--seed", 3, "--data", self.folder / "pool", log=self.folder / "sim.log")
        self.addCleanup(self.sim.stop)
        self.sim.control("/sim/coalesce", {"seconds": 0.05})
        self.xapi = self.sim.session()
        self.server, self.password = None, None
        self.start()
        self.addCleanup(lambda: self.server.stop())
        self.server.connect(self.sim)
        self.vm = self.server.objects(type="VM")[0]["id"]
        self.repository = self.folder / "repository"
        self.repository.mkdir()
        options = "?useVhdDirectory=true" if layout == "directory" else ""
        remote = self.server.call("remote.create", name="here", url=f"file://{self.repository}{options}")["id"]
        self.job = self.server.delta_job("nightly", [self.vm], [remote], 2)
        self.known, self.seed = [], 0

    def start(self, **env):
        if self.server:
            self.server.stop()
        token = self.server.env.get("CADENZA_TOKEN") if self.server else None
        self.server = Server(str(self.folder / "data"), log=self.folder / "server.log", **env)
        if token:
            self.server.env["CADENZA_TOKEN"] = token
        deadline = time.monotonic() + 20
        while token and not self.server.objects(type="VM") and time.monotonic() < deadline:
            time.sleep(0.1)

    def write(self):
        """The VM changes; what its disks now hold is known from here on."""
        self.seed += 1
        self.sim.write(self.vm, 3 << 20, self.seed)
        disks = {}
        for ref in self.xapi.call("VM.get_VBDs", self.xapi.call("VM.get_by_uuid", self.vm)):
            vbd = self.xapi.call("VBD.get_record", ref)
            if vbd["type"] == "Disk":
                uuid = self.xapi.call("VDI.get_uuid", vbd["VDI"])
                disks[uuid] = self.sim.digest(uuid)
        self.known.append(disks)

    def back_up(self):
        self.server.call("backupNg.runJob", id=self.job[0], schedule=self.job[1])

    def last_log(self):
        return max(self.server.call("backupNg.getAllLogs").values(), key=lambda log: log["start"])

    def points(self):
        """Contents of the points as the offline reader sees them, oldest first."""
        folder = self.repository / "xo-vm-backups" / self.vm
        contents = []
        for point in sorted(folder.glob("*.json")):
            run = subprocess.run([program("cadenza"), "repo", "digest", "--json", self.repository,
                                  f"{self.vm}/{point.stem}"], capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            contents.append({row["vdi"]: row["sha256"] for row in json.loads(run.stdout)})
        return contents

    def litter(self):
        found, n_snapshots = [], 0
        for vm in self.xapi.call("VM.get_all_records").values():
            n_snapshots += vm["is_a_snapshot"]
            if "cadenza:intent" in vm["other_config"]:
                found.append(f"mark on {vm['name_label']}")
            if vm["blocked_operations"] and not vm["is_a_template"]:
                found.append(f"{vm['name_label']} is blocked")
        for vdi in self.xapi.call("VDI.get_all_records").values():
            if "cadenza:intent" in vdi["other_config"]:
                found.append(f"mark on disk {vdi['name_label']}")
        return found + [f"{n_snapshots} snapshots"] * (n_snapshots > 1)

    def crash(self, point):
        good = self.points()[-1]
        self.write()
        self.start(CADENZA_CRASH=point)
        with self.assertRaises(Refused) as caught:
            self.back_up()
            self.fail(f"{point} was not visited: {json.dumps(self.last_log())}")
        self.assertIn("status 99", caught.exception.message)
        self.assertEqual(self.last_log()["status"], "interrupted")
        contents = self.points()
        for content in contents:
            self.assertIn(content, self.known)
        self.assertIn(good, contents)
        self.start()
        deadline = time.monotonic() + 30
        while self.litter() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(self.litter(), [])

    def recovers(self):
        self.write()
        self.back_up()
        self.assertEqual(self.last_log()["status"], "success", self.last_log())
        contents = self.points()
        self.assertEqual(contents[-1], self.known[-1])
        self.assertEqual(len(contents), 2)
        for content in contents:
            self.assertIn(content, self.known)
        verify = subprocess.run([program("cadenza"), "repo", "verify", self.repository], capture_output=True, text=True)
        self.assertEqual(verify.returncode, 0, verify.stdout + verify.stderr)
        strays = [path for path in self.repository.rglob(".*.merge.json")]
        self.assertEqual(strays, [])

    def story(self, layout):
        self.begin(layout)
        for _ in range(2):
            self.write()
            self.back_up()
        points = POINTS if os.environ.get("CADENZA_FULL") else QUICK[layout]
        for point in points:
            with self.subTest(point=point):
                self.crash(point.format(layout=layout))
                self.recovers()  # maybe by a full backup …
                self.recovers()  # … and a delta on it, so that the next run has something to merge

    def test_flat(self):
        self.story("flat")

    def test_directory(self):
        self.story("directory")


if __name__ == "__main__":
    unittest.main()
