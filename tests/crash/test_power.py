"""Power cuts: the server's data and the repository lie on a file system (volatile_fs) that forgets what was not
made durable, file and folder, and keeps a random part of it, torn at 512 bytes. Everything is cut at random moments;
what must be true afterwards is what is true after any crash."""
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from world import BUILD, World, lost, part_of, side_by_side

FULL = bool(os.environ.get("CADENZA_FULL"))
CUTS = part_of(40) if FULL else 2  # of each layout
PROGRAM = BUILD / "tests/crash/volatile_fs"


class Volatile:
    """The file system, mounted on `at`; what it holds after a cut is what the next begins with."""

    def __init__(self, folder):
        self.at, self.state, self.process = folder / "mount", folder / "state", None
        self.at.mkdir()
        self.state.mkdir()
        self.mount()

    def mount(self):
        self.process = subprocess.Popen([PROGRAM, self.at, self.state], stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        if self.process.stdout.readline() != "ready\n":
            raise unittest.SkipTest("no file system of our own can be mounted here")
        deadline = time.monotonic() + 10
        while not os.path.ismount(self.at) and time.monotonic() < deadline:
            time.sleep(0.01)

    def unmount(self):
        subprocess.run(["fusermount3", "-u", "-z", self.at], check=False)
        self.process.wait(20)
        self.process.stdout.close()

    def cut(self, seed, percent):
        try:
            os.mkdir(self.at / f".cut-{seed}-{percent}")
        except OSError:  # it answers nothing any more
            pass
        self.unmount()
        shutil.rmtree(self.state)
        (self.state.parent / "state.after").rename(self.state)
        self.mount()


class PowerWorld(World):
    def mount(self):
        self.volatile = Volatile(self.folder)
        return self.volatile.at

    def unmount(self):
        self.volatile.unmount()

    def cut(self, seed, percent):
        pids = self.workers("worker", "repository-worker")
        self.server.kill()
        for pid in pids:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        while any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.01)
        self.volatile.cut(seed, percent)
        self.start()


def put(folder, name, data, sync_file=True, sync_folder=True):
    """As a program writes a file; as a careless one without the syncs."""
    fd = os.open(folder / name, os.O_CREAT | os.O_WRONLY)
    os.write(fd, data)
    if sync_file:
        os.fsync(fd)
    os.close(fd)
    if sync_folder:
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


@unittest.skipUnless(os.path.exists("/dev/fuse"), "there is no /dev/fuse")
@unittest.skipUnless(PROGRAM.exists(), f"there is no {PROGRAM.name}: libfuse3-dev was absent at the build")
class Power(unittest.TestCase):
    def test_careless_program(self):
        """The file system does what it says: each sync that is left out loses something."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-power-"))
        self.addCleanup(shutil.rmtree, folder)
        volatile = Volatile(folder)
        self.addCleanup(volatile.unmount)
        put(volatile.at, "careful", b"x" * 5000)
        put(volatile.at, "old", b"a" * 2000)
        for name in ("kept", "nameless"):
            (volatile.at / name).mkdir()
            put(volatile.at, "sync", b"")
        put(volatile.at / "kept", "torn", b"y" * 4096, sync_file=False)
        put(volatile.at / "nameless", "lost", b"z" * 5000, sync_folder=False)
        os.rename(volatile.at / "old", volatile.at / "new")
        volatile.cut(1, 0)
        self.assertEqual((volatile.at / "careful").read_bytes(), b"x" * 5000)
        self.assertEqual((volatile.at / "kept/torn").read_bytes(), b"")
        self.assertEqual(os.listdir(volatile.at / "nameless"), [])
        self.assertEqual((volatile.at / "old").read_bytes(), b"a" * 2000)
        self.assertFalse((volatile.at / "new").exists())
        put(volatile.at, "torn", b"y" * 51200, sync_file=False)
        pieces = set()
        for seed in range(8):
            volatile.cut(seed, 50)
            data = (volatile.at / "torn").read_bytes() if (volatile.at / "torn").exists() else b""
            pieces |= {data[at:at + 512] for at in range(0, len(data), 512)}
            put(volatile.at, "torn", b"y" * 51200, sync_file=False)
        self.assertEqual(pieces, {b"y" * 512, bytes(512)})

    def story(self, layout, seed):
        chance = random.Random(seed)
        world = PowerWorld(layout, seed=seed % 1000 + 1, disk_size="16MiB")
        try:
            started = time.monotonic()
            for _ in range(3):
                world.delta()
            seconds = (time.monotonic() - started) / 3
            for n in range(CUTS):
                percent = chance.choice([0, 50, 50, 100])
                before = world.contents()
                thread = threading.Thread(target=world.attempt, args=("delta" if n % 4 < 3 else "full",))
                thread.start()
                time.sleep(chance.random() * seconds)
                world.cut(chance.randrange(1 << 30), percent)
                thread.join(120)
                try:
                    world.settle()
                    now = world.check(before)
                    self.assertFalse(lost("delta", before, now), f"gone: {lost('delta', before, now)}")
                except AssertionError as error:
                    raise AssertionError(f"CADENZA_SEED={seed}, {layout}, cut {n}, {percent} %: {error}\n"
                                         + world.explain()) from error
            world.delta()
            world.settle()
            self.assertEqual(list(world.check({}).values())[-1], world.known[-1])
        finally:
            world.stop()

    def test_random_cuts(self):
        seed = int(os.environ.get("CADENZA_SEED", random.randrange(1 << 30)))
        print(f"CADENZA_SEED={seed}", flush=True)
        side_by_side(lambda: self.story("flat", seed), lambda: self.story("directory", seed + 1))


if __name__ == "__main__":
    unittest.main()
