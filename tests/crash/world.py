"""A pool, a server and a repository that live through crashes, and what must be true after each: the
backups that should exist hold bytes that the VM once had, the repository verifies, and nothing of ours is left
in the pool or beside the backups, except the snapshot to continue from."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import BUILD, Refused, Server, Sim, program  # noqa: E402,F401

SETTLE_S = 60
PART, PARTS = map(int, (os.environ.get("CADENZA_PART") or "1/1").split("/"))
KEPT = 2  # backups


def repo(verb, *args):
    return subprocess.run([program("cadenza"), "repo", verb, *map(str, args)], capture_output=True, text=True)


HAS_DEEP = "--deep" in repo("--help").stdout


def part_of(items):
    """What of them the part in CADENZA_PART ("2/5": the second of five) has to do: of a number, how many."""
    return items[PART - 1::PARTS] if isinstance(items, list) else len(range(PART - 1, items, PARTS))


def told(task, depth=0):
    """A log in lines: what each task came to, and what it was warned of."""
    line = "  " * depth + f"{task['message']}: {task['status']} {task.get('result', '')}"
    yield line[:400]
    for note in task.get("infos", []) + task.get("warnings", []):
        yield "  " * depth + f"  - {note['message']} {note.get('data', '')}"[:300]
    for child in task.get("tasks", []):
        yield from told(child, depth + 1)


class World:
    def __init__(self, layout, seed=3, disk_size="24MiB", n_disks=2, allocated=0.6, sim=(), **settings):
        self.layout, self.random = layout, random.Random(seed)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-crash-"))
        self.disk = self.mount()
        self.sim = Sim("--vms", 1, "--disks", n_disks, "--disk-size", disk_size, "--allocated", allocated, "--running", 1,
                       "--seed", seed, "--data", self.folder / "pool", *sim, log=self.folder / "sim.log")
        self.sim.control("/sim/coalesce", {"seconds": 0.05})
        self.xapi, self.server = self.sim.session(), None
        self.armed, self.visits = self.folder / "crash", self.folder / "visits"
        self.start()
        self.server.connect(self.sim)
        vm = self.server.objects(type="VM")[0]
        self.vm = vm["id"]
        self.sr = next(sr["id"] for sr in self.server.objects(type="SR") if sr["SR_type"] not in ("iso", "udev"))
        self.machines = {ref for ref, record in self.xapi.call("VM.get_all_records").items()
                         if not record["is_a_snapshot"]}
        self.repository = self.disk / "repository"
        self.repository.mkdir()
        fd = os.open(self.disk, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        options = "?useVhdDirectory=true" if layout == "directory" else ""
        self.remote = self.server.call("remote.create", name="here", url=f"file://{self.repository}{options}")["id"]
        self.archives = self.disk / "archives"
        self.archives.mkdir()
        fd = os.open(self.disk, os.O_RDONLY)
        os.fsync(fd)  # it is not what a power cut is about
        os.close(fd)
        self.other = self.server.call("remote.create", name="archives", url=f"file://{self.archives}")["id"]
        self.job = self.server.delta_job("nightly", [self.vm], [self.remote], KEPT, **settings)
        self.known, self.seed, self.archiving = [], seed * 1000, None
        self.lock_may_stay = False  # until it is stale: of a deletion that died

    def mount(self):
        """Where the server's data and the repository lie."""
        return self.folder

    def start(self, **env):
        token = self.server.env.get("CADENZA_TOKEN") if self.server else None
        self.server = Server(str(self.disk / "data"), log=self.folder / "server.log",
                             CADENZA_CRASH=f"@{self.armed}", CADENZA_CRASH_VISITS=str(self.visits), **env)
        if not token:
            return
        self.server.env["CADENZA_TOKEN"] = token
        deadline = time.monotonic() + 30
        while not self.server.objects(type="VM") and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self):
        try:
            self.server.stop()
        finally:
            self.sim.stop()
            self.unmount()
            shutil.rmtree(self.folder, ignore_errors=True)

    def unmount(self):
        pass

    def explain(self):
        logs = self.server.call("backupNg.getAllLogs").values() if self.server.alive() else []
        last = [line for log in sorted(logs, key=lambda log: log["start"])[-2:] for line in told(log)]
        return "\n".join(last + (self.folder / "server.log").read_text(errors="replace").splitlines()[-30:])

    # --- what can be done ---

    def write(self):
        """The VM changes; what its disks now hold is known from here on."""
        self.seed += 1
        self.sim.write(self.vm, 3 << 20, self.seed)
        self.known.append({self.uuid_of(ref): self.sim.digest(self.uuid_of(ref)) for ref in self.disks_of(self.vm)})

    def disks_of(self, vm):
        records = (self.xapi.call("VBD.get_record", ref)
                   for ref in self.xapi.call("VM.get_VBDs", self.xapi.call("VM.get_by_uuid", vm)))
        return [vbd["VDI"] for vbd in records if vbd["type"] == "Disk"]

    def uuid_of(self, ref):
        return self.xapi.call("VDI.get_uuid", ref)

    def delta(self):
        self.write()
        self.server.call("backupNg.runJob", id=self.job[0], schedule=self.job[1])

    def full(self):
        """Somebody removed the snapshots: there is no base to continue from."""
        for ref in self.xapi.call("VM.get_snapshots", self.xapi.call("VM.get_by_uuid", self.vm)):
            self.destroy(ref)
        self.delta()

    def points(self, remote=None):
        """Oldest first."""
        remote = remote or self.remote
        of_vms = self.server.call("backupNg.listVmBackups", remotes=[remote])[remote]
        if of_vms is None:
            raise RuntimeError("the repository could not be listed")
        return sorted(of_vms.get(self.vm, []), key=lambda point: point["timestamp"])

    def delete(self):
        self.server.call("backupNg.deleteVmBackup", id=self.points()[-1]["id"])

    def restore(self):
        point = self.points()[-1]
        name = pathlib.Path(point["id"]).stem
        uuid = self.server.call("backupNg.importVmBackup", id=point["id"], sr=self.sr, settings={})
        got = sorted(self.sim.digest(self.uuid_of(ref)) for ref in self.disks_of(uuid))
        assert got == sorted(self.contents()[name].values()), f"{name} was restored with other bytes"
        self.destroy(self.xapi.call("VM.get_by_uuid", uuid))

    def archive(self):
        """The whole machine as one archive, into a repository of its own."""
        if not self.archiving:
            self.archiving = self.server.call(
                "backupNg.createJob", name="archives", mode="full", vms={"id": self.vm}, remotes={"id": self.other},
                schedules={"tmp": {"cron": "0 0 * * *", "enabled": False}}, settings={"tmp": {"exportRetention": 1}})
        schedule = next(each["id"] for each in self.server.call("schedule.getAll") if each["jobId"] == self.archiving)
        self.write()
        self.server.call("backupNg.runJob", id=self.archiving, schedule=schedule)

    def unarchive(self):
        newest = self.points(self.other)[-1]
        uuid = self.server.call("backupNg.importVmBackup", id=newest["id"], sr=self.sr, settings={})
        content = {self.sim.digest(self.uuid_of(ref)) for ref in self.disks_of(uuid)}
        assert content in [set(known.values()) for known in self.known], "an archive was restored with other bytes"
        self.destroy(self.xapi.call("VM.get_by_uuid", uuid))

    def destroy(self, vm_ref):
        disks = [vbd["VDI"] for vbd in map(lambda ref: self.xapi.call("VBD.get_record", ref),
                                           self.xapi.call("VM.get_VBDs", vm_ref)) if vbd["type"] == "Disk"]
        self.xapi.call("VM.destroy", vm_ref)
        for ref in disks:
            self.destroy_disk(ref)

    def destroy_disk(self, ref):
        """A pool lets go of a disk some time after its reader has gone."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.xapi.call("VDI.destroy", ref)
            except Refused as error:
                if error.code != "VDI_IN_USE" or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def attempt(self, operation):
        """Does it, whatever comes of it: None, or how it failed."""
        try:
            getattr(self, operation)()
        except (Refused, RuntimeError, AttributeError) as error:  # the last: an answer that was cut short
            return error
        return None

    # --- what must be true ---

    def settle(self):
        """Until no run goes on and nothing is left to recover."""
        deadline, journals = time.monotonic() + SETTLE_S, self.disk / "data/journals"
        while time.monotonic() < deadline:
            if not any(journals.iterdir()) and not any(log["status"] == "pending" for log in self.logs()):
                return
            time.sleep(0.1)
        raise AssertionError(f"not settled after {SETTLE_S} s: {sorted(journals.iterdir())}\n{self.explain()}")

    def settle_success(self):
        """The same, of a run that goes on by itself."""
        deadline = time.monotonic() + SETTLE_S
        while self.last_log()["status"] != "success" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.last_log()["status"] == "success", self.explain()
        self.settle()

    def logs(self):
        return list(self.server.call("backupNg.getAllLogs").values())

    def last_log(self):
        return max(self.logs(), key=lambda log: log["start"])

    def contents(self):
        """Contents of the backups, by date, as the offline reader sees them."""
        folder, found = self.repository / "xo-vm-backups" / self.vm, {}
        for point in sorted(folder.glob("*.json")):
            run = repo("digest", "--json", self.repository, f"{self.vm}/{point.stem}")
            assert run.returncode == 0, f"{point.stem}: {run.stdout}{run.stderr}"
            found[point.stem] = {row["vdi"]: row["sha256"] for row in json.loads(run.stdout)}
        return found

    def litter(self):
        found, n_snapshots, used = [], 0, set()
        for ref, vm in self.xapi.call("VM.get_all_records").items():
            n_snapshots += vm["is_a_snapshot"]
            if not vm["is_a_snapshot"] and ref not in self.machines:
                found.append(f"VM {vm['name_label']}")
            if "cadenza:intent" in vm["other_config"]:
                found.append(f"mark on {vm['name_label']}")
            if vm["blocked_operations"] and not vm["is_a_template"]:
                found.append(f"{vm['name_label']} is blocked")
        for vbd in self.xapi.call("VBD.get_all_records").values():
            used.add(vbd["VDI"])
            if self.xapi.call("VM.get_is_control_domain", vbd["VM"]):
                found.append(f"disk {vbd['VDI']} is attached to a host")
        for ref, vdi in self.xapi.call("VDI.get_all_records").items():
            if "cadenza:intent" in vdi["other_config"]:
                found.append(f"mark on disk {vdi['name_label']}")
            if ref not in used and vdi["is_a_snapshot"]:
                found.append(f"disk {vdi['name_label']} of no machine")
        return found + [f"{n_snapshots} snapshots"] * (n_snapshots > 1)

    def strays(self):
        """What no backup needs: hidden files, locks, data folders that no alias names."""
        folder, found = self.repository / "xo-vm-backups", []
        for path in [*self.repository.rglob("*"), *self.archives.rglob("*")]:
            if path.name.startswith(".") and path.name != ".cadenza" or path.suffix == ".lock" and not self.lock_may_stay:
                found.append(str(path.relative_to(self.disk)))
        for lineage in folder.glob("*/vdis/*/*/"):
            named = {alias.read_text().strip() for alias in lineage.glob("*.alias.vhd")}
            found += [] if self.lock_may_stay else [str(data) for data in lineage.glob("data/*") if f"data/{data.name}" not in named]
        return found

    def check(self, before):
        """`before`: what contents() was before the crash. Each backup that is there holds what the VM once had; the
        newest that was there still is; no name changed its content."""
        deadline = time.monotonic() + 20
        while self.litter() and time.monotonic() < deadline:
            time.sleep(0.1)
        now = self.contents()
        for date, content in now.items():
            assert content in self.known, f"{date} holds what the VM never had"
            assert before.get(date, content) == content, f"{date} has changed"
        self.litter_is_none()
        for place in (self.repository, self.archives):
            if not (place / "xo-vm-backups").exists():  # nothing has come here yet: verify would say so
                continue
            verify = repo("verify", *(["--deep"] if HAS_DEEP else []), place)
            assert verify.returncode == 0, verify.stdout + verify.stderr
        return now

    def litter_is_none(self):
        assert self.litter() == [], self.litter()
        assert self.strays() == [], self.strays()

    # --- crashes ---

    def arm(self, *points):
        self.armed.write_text("\n".join(points))

    def visited(self):
        return self.visits.read_text().split() if self.visits.exists() else []

    def forget_visits(self):
        self.visits.unlink(missing_ok=True)

    def workers(self, *kinds):
        """Pids of the server's children, by what they are."""
        found = []
        for pid in self.server.children():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 1 and words[1].decode() in kinds:
                found.append(pid)
        return found

    def take_restored(self):
        """A restore that came to its end although its client never heard: sound, and out of the way."""
        for ref, vm in self.xapi.call("VM.get_all_records").items():
            if ref in self.machines or vm["is_a_snapshot"] or "cadenza:intent" in vm["other_config"]:
                continue
            content = {self.sim.digest(self.uuid_of(disk)) for disk in self.disks_of(vm["uuid"])}
            assert content in [set(known.values()) for known in self.known], f"{vm['name_label']} holds other bytes"
            self.destroy(ref)


def lost(operation, before, now):
    """Backups that the operation had no business to remove."""
    if operation in ("restore", "archive", "unarchive"):
        return set(before) - set(now)
    if operation == "delete":
        return set(sorted(before)[:-1]) - set(now)
    return {date for date in set(before) - set(now) if sum(other > date for other in now) < KEPT}  # retention's


def side_by_side(*functions):
    """Runs them in threads; the first failure is raised."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as error:  # noqa: BLE001 told below
            failures.append(error)
    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
