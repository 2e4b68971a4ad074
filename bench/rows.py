"""The rows of the table: what is prepared, which sides run, what is judged. One class a row or a group of
rows that share a peer; `sides` are run in turn, `lines` say which of them are compared and how."""
import contextlib
import datetime
import pathlib
import shutil
import socket
import subprocess
import sys

import sides
from api import Api
from pool import Pool
from sides import Failed, Nbd, Watched, make, ours, peer

sys.path.insert(0, str(sides.ROOT / "tests"))
from box import Server, Sim  # noqa: E402

VM, JOB, VDI = (f"{d * 8}-{d * 4}-4{d * 3}-8{d * 3}-{d * 12}" for d in "123")
LINEAGE = f"xo-vm-backups/{VM}/vdis/{JOB}/{VDI}"
GZIP = "?useVhdDirectory=true&vhdDirectoryCompression=%22gzip%22"
BROTLI = "?useVhdDirectory=true&vhdDirectoryCompression=%22brotli%22"


def date(point):
    day = datetime.datetime(2026, 1, 1) + datetime.timedelta(days=point)
    return day.strftime("%Y%m%dT%H%M%SZ")


def free_port(first=21700, last=21799):
    for port in range(first, last):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise Failed("no free port")


def copy_file(source, target):
    """Past the page cache, which would cost more than the copy."""
    subprocess.run(["dd", f"if={source}", f"of={target}", "bs=4M", "iflag=direct", "oflag=direct", "conv=fsync"], check=True,
                   capture_output=True)


class Line:
    """ours beside peer (names of sides, or a fixed cost of the peer), and what must be reached: `cpu` and
    `speed` are ratios, `peak_mib` and `cpu_per_gib` and `cpu_s` limits."""

    def __init__(self, row, title, ours, peer, **goals):
        self.row, self.title, self.ours, self.peer, self.goals = row, title, ours, peer, goals


class Bench:
    """What all rows share: the folder, the size of things, prepared disks."""

    def __init__(self, folder, quick):
        self.folder, self.quick = pathlib.Path(folder), quick
        self.sizes = [512] if quick else [4096, 1024]
        self.n_vms, self.n_points = (20, 10) if quick else (200, 30)
        self.chains = [1, 7, 10] if quick else [1, 7, 30]
        self.folder.mkdir(parents=True, exist_ok=True)

    def disk(self, mib, format="vhd"):
        path = self.folder / f"disk-{mib}.{format}"
        if not path.exists():
            sides.say(f"making {path.name}")
            make("disk", out=path, mib=mib, format=format)
        return path

    def repository(self, name, options, **more):
        folder = self.folder / name
        if not folder.exists():
            sides.say(f"making the repository {name}")
            make("repository", remote=f"file://{folder}{options}", **more)
        return folder

    def empty(self, name):
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def goal(self, **by_mib):
        """The goal of the largest size in quick runs."""
        return by_mib


class Backup:
    """Rows 1 to 3: a VHD stream from a pool into a repository."""

    rows = (1, 2, 3)

    def __init__(self, bench, mib):
        self.bench, self.mib, self.name = bench, mib, f"VHD stream, {mib} MiB"
        large = mib != 1024
        size = f"{mib // 1024} GiB" if mib >= 1024 else f"{mib} MiB"
        small_goals = mib < 4096
        self.lines = [
            Line(1, f"https VHD stream → block directory, gzip, {size}", "gzip", "xo directory",
                 cpu=3.8 if small_goals else 4.2, speed=3.5, peak_mib=32),
            Line(2, f"https VHD stream → flat, {size}", "flat https", "xo flat https", cpu=5.5 if small_goals else 7.5,
                 peak_mib=20),
            Line(3, f"https VHD stream → block directory, brotli 0, {size}", "brotli", "xo directory",
                 cpu=2.4 if small_goals else 2.7),
        ]
        if mib < 4096:
            self.lines.insert(2, Line(2, f"http VHD stream → flat, {size}", "flat http", "xo flat http", cpu=6.5, peak_mib=20))
        self.sides = {
            "gzip": lambda: self.ours("https", GZIP), "brotli": lambda: self.ours("https", BROTLI),
            "flat https": lambda: self.ours("https", ""), "flat http": lambda: self.ours("http", ""),
            "xo directory": lambda: self.peer("https", "?useVhdDirectory=true"),
            "xo flat https": lambda: self.peer("https", ""), "xo flat http": lambda: self.peer("http", ""),
        }

    def prepare(self):
        self.pool = Pool(self.bench.disk(self.mib), self.bench.folder)

    def ours(self, scheme, options):
        folder = self.bench.empty("backup")
        return ours("backup", remote=f"file://{folder}{options}", pool=getattr(self.pool, scheme), mib=self.mib)

    def peer(self, scheme, options):
        folder = self.bench.empty("backup")
        folder.mkdir()
        url = getattr(self.pool, scheme) + "/export_raw_vdi/"
        return peer("backup", remote=f"file://{folder}{options}", source=url)

    def finish(self):
        self.bench.empty("backup")


class Hashing(Backup):
    """Row 11: what naming every block by its content costs, beside the whole of row 1."""

    rows = (11,)

    def __init__(self, bench):
        super().__init__(bench, min(bench.sizes))
        self.name = "hashing"
        self.lines = [Line(11, "hashing of each block, of what row 1 costs", "hash", "gzip", share=0.05)]
        self.sides = {"hash": self.hash, "gzip": self.sides["gzip"]}

    def hash(self):
        """With, without: the difference."""
        done, without = (ours("hash", mib=self.mib, hash=on) for on in (1, 0))
        done["cpu_s"] = max(done["cpu_s"] - without["cpu_s"], 0)
        return done


class NbdBackup:
    """Row 4."""

    rows = (4,)

    def __init__(self, bench):
        self.bench, self.mib, self.name = bench, min(bench.sizes), "NBD"
        size = "1 GiB" if self.mib == 1024 else f"{self.mib} MiB"
        self.lines = [Line(4, f"NBD → block directory, gzip, {size}", "plain", "xo plain", cpu=3.8),
                      Line(4, f"NBD over TLS → block directory, gzip, {size}", "tls", "xo tls", cpu=2.5)]
        self.sides = {"plain": lambda: self.ours(self.plain), "xo plain": lambda: self.peer(self.plain),
                      "tls": lambda: self.ours(self.tls), "xo tls": lambda: self.peer(self.tls)}

    def prepare(self):
        self.pool = Pool(self.bench.disk(self.mib), self.bench.folder)
        raw = self.bench.disk(self.mib, "raw")
        shutil.copy(self.pool.cert, self.bench.folder / "ca-cert.pem")
        self.plain, self.tls = Nbd(raw, free_port()), None
        self.tls = Nbd(raw, free_port(self.plain.port + 1), self.bench.folder)

    def ours(self, server):
        self.pool.nbd = server.port, self.pool.cert if server is self.tls else None
        return ours("backup", remote=f"file://{self.bench.empty('backup')}{GZIP}", pool=self.pool.https, mib=self.mib, nbd=1)

    def peer(self, server):
        folder = self.bench.empty("backup")
        folder.mkdir()
        return peer("backup", remote=f"file://{folder}?useVhdDirectory=true", nbd=f"127.0.0.1:{server.port}", mib=self.mib,
                    cert=self.pool.cert if server is self.tls else None)

    def finish(self):
        for server in (self.plain, self.tls):
            server.stop()
        self.bench.empty("backup")


class Merge:
    """Row 5: the older of two points is gone, its disk must become one with the newer's."""

    rows = (5,)

    def __init__(self, bench):
        self.bench, self.name = bench, "merge"
        self.mib, self.delta = (512, 128) if bench.quick else (4096, 1024)
        what = f"{self.delta} MiB delta into {self.mib} MiB"
        self.lines = [Line(5, f"merge {what}, flat", "flat", "xo flat", cpu=10, peak_mib=16),
                      Line(5, f"merge {what}, block directory", "directory", "xo directory", cpu=25, peak_mib=16)]
        self.sides = {"flat": lambda: self.ours("merge-flat", ""), "xo flat": lambda: self.peer("merge-flat", "", ".vhd"),
                      "directory": lambda: self.ours("merge-gzip", GZIP),
                      "xo directory": lambda: self.peer("merge-brotli", BROTLI, ".alias.vhd")}

    def prepare(self):
        for name, options in (("merge-flat", ""), ("merge-gzip", GZIP), ("merge-brotli", BROTLI)):
            self.bench.repository(name, options, mib=self.mib, delta=self.delta, points=2)

    def copy(self, name):
        """A fresh one: large files as copies, block files as links, for they are renamed, not written."""
        source, target = self.bench.folder / name, self.bench.empty("merge")
        for path in source.rglob("*"):
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                to.mkdir(exist_ok=True)
            elif "blocks" in path.parts:
                to.hardlink_to(path)
            elif path.stat().st_size > 1 << 20:
                copy_file(path, to)
            else:
                shutil.copy(path, to)
        return target

    def ours(self, name, options):
        folder = self.copy(name)
        (folder / f"xo-vm-backups/{VM}/{date(0)}.json").unlink()
        (folder / f"xo-vm-backups/{VM}/cache.json.gz").unlink(missing_ok=True)
        done = ours("clean", remote=f"file://{folder}{options}", merge=1, mib=self.delta)
        if done["items"] != 1:
            raise Failed(f"{done['items']} merges")
        return done

    def peer(self, name, options, suffix):
        folder = self.copy(name)
        return peer("merge", remote=f"file://{folder}{options}", parent=f"/{LINEAGE}/{date(0)}{suffix}",
                    child=f"/{LINEAGE}/{date(1)}{suffix}", mib=self.delta)

    def finish(self):
        self.bench.empty("merge")


class Chains:
    """Rows 6 and 9 read the same chains."""

    def __init__(self, bench):
        self.bench = bench
        self.mib, self.delta = (256, 8) if bench.quick else (1024, 32)
        self.n_points = max(bench.chains)

    def prepare(self):
        for name, options in (("chain-flat", ""), ("chain-gzip", GZIP), ("chain-brotli", BROTLI)):
            self.bench.repository(name, options, mib=self.mib, delta=self.delta, points=self.n_points)

    def ours(self, operation, name, options, length, **more):
        return ours(operation, remote=f"file://{self.bench.folder / name}{options}", point=length - 1, **more)

    def peer(self, operation, name, options, length, **more):
        suffix = ".alias.vhd" if options else ".vhd"
        return peer(operation, remote=f"file://{self.bench.folder / name}{options}", path=f"/{LINEAGE}/{date(length - 1)}{suffix}",
                    **more)

    def finish(self):
        pass


class ReadBack(Chains):
    """Row 6."""

    rows = (6,)
    name = "read back"

    def __init__(self, bench):
        super().__init__(bench)
        self.lines, self.sides = [], {}
        for n in bench.chains:
            for title, mine, theirs, goal in (("flat", "flat", "flat", 10), ("our gzip directory, their brotli", "gzip", "brotli", 5),
                                              ("their brotli directory", "brotli", "brotli", 2.4)):
                self.lines.append(Line(6, f"read back a chain of {n}, {title}", f"{mine} {n}", f"xo {theirs} {n}", cpu=goal))
            for name, options in (("flat", ""), ("gzip", GZIP), ("brotli", BROTLI)):
                self.sides[f"{name} {n}"] = lambda name=name, options=options, n=n: self.ours("read", f"chain-{name}", options, n)
                self.sides[f"xo {name} {n}"] = lambda name=name, options=options, n=n: self.peer("read", f"chain-{name}", options, n)


class RandomReads(Chains):
    """Row 9."""

    rows = (9,)
    name = "random reads"

    def __init__(self, bench):
        super().__init__(bench)
        n, reads = self.n_points, 500
        self.lines = [Line(9, f"random 4 KiB reads, chain of {n}, flat", "flat", "xo flat", cpu=100),
                      Line(9, f"random 4 KiB reads, chain of {n}, directory", "gzip", "xo brotli", cpu=12)]
        more = {"reads": reads, "mib": self.mib}
        self.sides = {"flat": lambda: self.ours("random", "chain-flat", "", n, **more),
                      "xo flat": lambda: self.peer("random", "chain-flat", "", n, **more),
                      "gzip": lambda: self.ours("random", "chain-gzip", GZIP, n, **more),
                      "xo brotli": lambda: self.peer("random", "chain-brotli", BROTLI, n, **more)}


class Many:
    """Rows 7 and 8: many machines with many points of one small disk, each point's metadata as a backup
    of ours of a simulated machine writes it."""

    def __init__(self, bench):
        self.bench = bench
        self.what = f"{bench.n_vms} VMs x {bench.n_points} points"

    def prepare(self):
        template = self.template()
        for name, options in (("many-flat", ""), ("many-directory", GZIP)):
            folder = self.bench.folder / name
            if folder.exists():
                continue
            self.bench.repository(name, options, mib=8, full=4, delta=2, points=self.bench.n_points, metadata=template)
            (folder / f"xo-vm-backups/{VM}/cache.json.gz").unlink(missing_ok=True)
            for i in range(1, self.bench.n_vms):
                for place in ("xo-vm-backups", ".cadenza/manifests"):
                    shutil.copytree(folder / place / VM, folder / place / f"{VM[:-4]}{i:04}")

    def template(self):
        path = self.bench.folder / "point.json"
        if not path.exists():
            with Product(self.bench, "--vms", 1, "--disk-size", "4MiB", "--nbd", "off") as product:
                product.backup("", "template")
                shutil.copy(next(product.folder("template").glob("xo-vm-backups/*/2*.json")), path)
        return path

    def without(self, name, *patterns):
        folder = self.bench.folder / name
        for pattern in patterns:
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return folder

    def finish(self):
        pass


class Check(Many):
    """Row 7. The first check of a side is not measured: it may write what makes the next ones cheap."""

    rows = (7,)
    name = "check"

    def __init__(self, bench):
        super().__init__(bench)
        self.lines = [Line(7, f"check of {self.what} with nothing to do, flat", "flat", "xo flat", cpu=40),
                      Line(7, f"check of {self.what} with nothing to do, directory", "directory", "xo directory", cpu=60)]
        self.sides = {"flat": lambda: self.both(ours, "many-flat", ""), "xo flat": lambda: self.both(peer, "many-flat", ""),
                      "directory": lambda: self.both(ours, "many-directory", GZIP),
                      "xo directory": lambda: self.both(peer, "many-directory", GZIP)}

    def both(self, side, name, options):
        url = f"file://{self.bench.folder / name}{options}"
        side("clean", remote=url)
        return side("clean", remote=url)


class List(Many):
    """Row 8."""

    rows = (8,)
    name = "list"
    CACHE, INDEX = "xo-vm-backups/*/cache.json.gz", ".cadenza/index"

    def __init__(self, bench):
        super().__init__(bench)
        n = bench.n_vms * bench.n_points
        self.lines = [Line(8, f"list {n} points, no cache", "bare", "xo bare", cpu=15),
                      Line(8, f"list {n} points, XO's cache", "cache", "xo cache", cpu=4),
                      Line(8, f"list {n} points, our index; XO without its cache", "index", "xo bare", cpu=50)]
        self.sides = {"bare": lambda: self.cold(ours), "xo bare": lambda: self.cold(peer),
                      "cache": lambda: self.cached(ours), "xo cache": lambda: self.cached(peer), "index": self.indexed}

    def list(self, side, **more):
        done = side("list", remote=f"file://{self.bench.folder / 'many-flat'}", **more)
        if done["items"] != self.bench.n_vms * self.bench.n_points:
            raise Failed(f"{done['items']} points")
        return done

    def cold(self, side):
        self.without("many-flat", self.CACHE, self.INDEX)
        return self.list(side, **self.shown(side))

    def shown(self, side):
        """Ours reads what the API shows of a point, as XO's server picks it from what its library read."""
        return {"views": 1} if side is ours else {}

    def cached(self, side):
        self.without("many-flat", self.CACHE, self.INDEX)
        self.list(peer)
        return self.list(side, **self.shown(side))

    def indexed(self):
        self.without("many-flat", self.CACHE, self.INDEX)
        self.list(ours, views=1)
        return self.list(ours, views=1)


class Product:
    """A server with a simulated pool behind it."""

    def __init__(self, bench, *options):
        self.bench, self.sim, self.server = bench, None, None
        self.options = options

    def __enter__(self):
        self.data = self.bench.empty("product")
        self.data.mkdir()
        self.sim = Sim("--running", 1, "--seed", 5, "--data", self.data / "pool", *self.options)
        self.server = Server(str(self.data / "server"))
        return self

    def __exit__(self, *exc):
        self.server.stop()
        self.sim.stop()
        self.bench.empty("product")

    def folder(self, name):
        return self.data / name

    def connect(self):
        self.server.connect(self.sim)

    def job(self, options, name):
        if not self.server.objects(type="VM"):
            self.connect()
        remote = self.server.call("remote.create", name=name, url=f"file://{self.folder(name)}{options}")["id"]
        vms = [vm["id"] for vm in self.server.objects(type="VM")]
        return (remote, *self.server.delta_job(name, vms, [remote], 7))

    def backup(self, options, name):
        job = self.job(options, name)
        self.run(job)
        return job

    def run(self, job):
        self.server.call("backupNg.runJob", id=job[1], schedule=job[2])

    def watched(self):
        return Watched(self.server.process.pid)


class Inventory:
    """Row 10: what is left of "start" once the server is up: a pool's objects fetched, held, followed."""

    rows = (10,)
    name = "inventory"

    def __init__(self, bench):
        self.bench, self.n_vms = bench, 500 if bench.quick else 5000
        self.lines = [Line(10, f"inventory of {self.n_vms} VMs", "cadenzad", "xen-api", cpu=10, peak_mib=100)]
        self.sides = {"cadenzad": self.ours, "xen-api": self.peer}

    def prepare(self):
        self.sim = Sim("--vms", self.n_vms, "--hosts", 16, "--disk-size", "1MiB", "--allocated", 0, "--running", 1,
                       "--boot-delay", 0, "--data", self.bench.empty("inventory"))

    def ours(self):
        server = Server()
        try:
            added = server.call("server.add", host=self.sim.url, username="root", password=self.sim.password,
                                allowUnauthorized=True, autoConnect=False)
            watched = Watched(server.process.pid)
            server.call("server.enable", id=added)
            done = watched.end()
            done["items"] = len(server.objects())
            if done["items"] < self.n_vms * 4:
                raise Failed(f"{done['items']} objects")
            return done
        finally:
            server.stop()

    def peer(self):
        return peer("inventory", pool=self.sim.url, password=self.sim.password)

    def finish(self):
        self.sim.stop()
        self.bench.empty("inventory")


class WholeJob:
    """Row 12. XO's whole server was measured once, on a machine like these; it is not run here."""

    rows = (12,)
    name = "whole job"

    def __init__(self, bench):
        self.bench, self.mib = bench, 512 if bench.quick else 4096
        size = f"{self.mib // 1024} GiB" if self.mib >= 1024 else f"{self.mib} MiB"
        self.results = {}
        self.lines, self.sides = [], {}
        for layout, up, down, xo_up, xo_down in (("flat", 1, 0.8, 5.2, 5.5), ("gzip directory", 2.5, 2.3, 12.7, 22)):
            self.lines += [Line(12, f"backup of {size} through cadenzad, {layout}", f"{layout} backup", xo_up, cpu_per_gib=up),
                           Line(12, f"restore of {size} through cadenzad, {layout}", f"{layout} restore", xo_down, cpu_per_gib=down),
                           Line(12, f"empty delta run, {layout}", f"{layout} empty", 1.15, cpu_s=0.1)]
            self.sides[f"{layout} backup"] = lambda layout=layout: self.all(layout)["backup"]
            self.sides[f"{layout} empty"] = lambda layout=layout: self.results[layout]["empty"]
            self.sides[f"{layout} restore"] = lambda layout=layout: self.results[layout]["restore"]

    def prepare(self):
        pass

    def all(self, layout):
        """A pool of one machine, its first backup, an empty one, a restore."""
        options = "" if layout == "flat" else GZIP
        results = self.results[layout] = {}
        with Product(self.bench, "--vms", 1, "--disk-size", f"{self.mib}MiB", "--allocated", 1) as product:
            job = product.job(options, "whole")
            n_bytes = self.mib << 20
            for name in ("backup", "empty"):
                watched = product.watched()
                product.run(job)
                results[name] = watched.end(n_bytes if name == "backup" else 0)
            points = product.server.call("backupNg.listVmBackups", remotes=[job[0]])[job[0]]
            point = sorted(next(iter(points.values())), key=lambda one: one["timestamp"])[0]
            sr = product.server.call("xo.getAllObjects", filter={"type": "pool"})
            sr = next(iter(sr.values()))["default_SR"]
            watched = product.watched()
            product.server.call("backupNg.importVmBackup", id=point["id"], sr=sr)
            results["restore"] = watched.end(n_bytes)
        return results

    def finish(self):
        pass


def all_groups(bench):
    return [*(Backup(bench, mib) for mib in bench.sizes), Hashing(bench), NbdBackup(bench), Merge(bench), ReadBack(bench), Check(bench),
            List(bench), RandomReads(bench), Inventory(bench), WholeJob(bench), Api(bench)]
