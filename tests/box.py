"""The programs in a box: starts cadenza-sim and cadenzad from the build folder in CADENZA_BUILD, calls
the server's methods through the cadenza command line, ends what it started by pid. For the demo and the
tests; the standard library only."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import xmlrpc.client

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("CADENZA_BUILD", ROOT / "build"))


def program(name):
    """Of the build folder, or the one that the environment names (CADENZA_PROGRAM_CADENZAD)."""
    return os.environ.get("CADENZA_PROGRAM_" + name.upper().replace("-", "_")) or str(BUILD / "src/cmd" / name)


def until(condition, what, seconds=60):
    """The first value of the condition that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"never saw: {what}")


class Refused(Exception):
    """The server answered an error: its code, message and data."""

    def __init__(self, error):
        super().__init__(error.get("message"))
        self.code, self.message, self.data = error.get("code"), error.get("message"), error.get("data")


class Program:
    """A running program whose first line of output is a JSON object of addresses."""

    def __init__(self, name, *args, log=None, **env):
        self.log = open(log or os.devnull, "ab")
        self.process = subprocess.Popen([program(name), *map(str, args)], stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=dict(os.environ, **env))
        line = self.process.stdout.readline()
        if not line.strip():
            raise RuntimeError(f"{name} ended at start with status {self.process.wait()}"
                               + (f", see {log}" if log else ""))
        self.ready = json.loads(line)

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=45):
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.process.stdout.close()
        self.log.close()
        return self.process.returncode

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def children(self):
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in listed.stdout.split()]


class Sim(Program):
    """A simulated pool."""

    def __init__(self, *args, **more):
        super().__init__("cadenza-sim", *args, **more)
        self.url, self.plain_url, self.password = (self.ready[key] for key in ("url", "plain_url", "password"))

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.ready["control"] + path, data=data), timeout=600) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode(errors='replace')}") from None

    def digest(self, vdi):
        """SHA-256 of all of a disk, as the generator knows it."""
        return self.control(f"/sim/digest?vdi={vdi}")["sha256"]

    def write(self, vm, n_bytes, seed):
        """The guest writes into each of its disks."""
        self.control("/sim/write", {"vm": vm, "bytes": n_bytes, "seed": seed})

    def fault(self, **rule):
        return self.control("/sim/faults", rule)["id"]

    def session(self):
        """Python's own XML-RPC client, as a third party."""
        return Xapi(self.plain_url, self.password)


class Xapi:
    def __init__(self, url, password, user="root"):
        self.proxy = xmlrpc.client.ServerProxy(url + "/", allow_none=True)
        self.ref = self.unwrap(self.proxy.session.login_with_password(user, password))

    @staticmethod
    def unwrap(answer):
        if answer["Status"] != "Success":
            raise Refused({"code": answer["ErrorDescription"][0], "message": " ".join(answer["ErrorDescription"]),
                           "data": answer["ErrorDescription"][1:]})
        return answer["Value"]

    def call(self, method, *params):
        return self.unwrap(getattr(self.proxy, method)(self.ref, *params))


class Server(Program):
    """A server, and the command line signed in to it as the first administrator."""

    def __init__(self, data=None, options=(), **more):
        self.own = data is None
        self.data = data or tempfile.mkdtemp(prefix="cadenza-data-")
        super().__init__("cadenzad", "--data", self.data, "--insecure-http", "--listen", "127.0.0.1:0", *options, **more)
        self.url = self.ready["url"]
        self.user = "admin@admin.net"
        self.env = dict(os.environ, CADENZA_URL=self.url)
        first = pathlib.Path(self.data) / "initial-password"
        if first.exists():
            self.password = first.read_text().split()[-1]
            self.env["CADENZA_TOKEN"] = self.call_with({}, "token.create", user=self.user, password=self.password)

    def command(self, *args, **more):
        return subprocess.run([program("cadenza"), *map(str, args)], capture_output=True, text=True, timeout=1200,
                              env=dict(self.env, **more))

    def call_with(self, params, method, **login):
        extra = {f"CADENZA_{key.upper()}": value for key, value in login.items()}
        words = [f"{key}=json:{json.dumps(value)}" for key, value in params.items()]
        run = self.command("--json", method, *words, **extra)
        if run.returncode == 0:
            return json.loads(run.stdout)
        try:
            error = json.loads(run.stderr.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise RuntimeError(f"{method}: status {run.returncode}: {run.stderr}{run.stdout}") from None
        raise Refused(error)

    def call(self, method, **params):
        return self.call_with(params, method)

    def objects(self, **filter_):
        return list(self.call("xo.getAllObjects", filter=filter_).values())

    def connect(self, sim):
        server = self.call("server.add", host=sim.url, username="root", password=sim.password,
                           allowUnauthorized=True, autoConnect=False)
        self.call("server.enable", id=server)
        return server

    def delta_job(self, name, vms, remotes, retention, mode="delta", **settings):
        """A job, of deltas usually, with one disabled schedule: (job id, schedule id)."""
        job = self.call("backupNg.createJob", name=name, mode=mode, vms={"id": {"__or": vms}},
                        remotes={"id": {"__or": remotes}}, schedules={"tmp": {"cron": "0 0 * * *", "enabled": False}},
                        settings={"": settings, "tmp": {"exportRetention": retention}})
        schedule = next(s for s in self.call("schedule.getAll") if s["jobId"] == job)
        return job, schedule["id"]

    def stop(self, **more):
        status = super().stop(**more)
        if self.own:
            shutil.rmtree(self.data, ignore_errors=True)
        return status
