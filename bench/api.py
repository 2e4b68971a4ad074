"""Rows 13 to 18: the server in front of a pool of 5,000 machines, watched from outside while clients ask. What Xen
Orchestra needed was measured once, on a machine of this class and such a pool; it is not run here.

A figure is CPU of the server unless it says otherwise; clients and pool are nobody's."""
import base64
import contextlib
import json
import os
import pathlib
import re
import resource
import selectors
import shutil
import socket
import ssl
import statistics
import struct
import sys
import threading
import time
import urllib.parse

import sides
from sides import Failed

sys.path.insert(0, str(sides.ROOT / "tests"))
from box import Program, Server, Sim  # noqa: E402

RECEIVE_BYTES = 4 << 20
DEADLINE_S = 60


class Line:
    """See rows.Line; the peer is what was measured once (0: nothing was)."""

    def __init__(self, row, title, ours, peer, **goals):
        self.row, self.title, self.ours, self.peer, self.goals = row, title, ours, peer, goals


def cpu_s(pid):
    """Of all threads of a process, to the nanosecond (its CPU clock, clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def memory_mib(pid, field="VmRSS"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, flags=re.M).group(1)) / 1024


class Client:
    """One connection, plain or TLS (the certificate is made by the server for itself), with a few lines of WebSocket."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.buffer, self.view = parts.netloc, bytearray(), memoryview(bytearray(RECEIVE_BYTES))
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=DEADLINE_S)
        if parts.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)

    def receive(self):
        n = self.socket.recv_into(self.view)
        if not n:
            raise Failed("the server closed a connection")
        return self.view[:n]

    def head(self):
        """The head of an answer as text; what follows it is in the buffer."""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode()

    def skip(self, n):
        """Passes over n bytes, as fast as they come."""
        taken = min(n, len(self.buffer))
        del self.buffer[:taken]
        n -= taken
        while n:
            n -= self.socket.recv_into(self.view, min(n, RECEIVE_BYTES))

    def get(self, path, token):
        """One request over HTTP: the bytes of its answer, which is chunked or has a length."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nCookie: authenticationToken={token}\r\n\r\n".encode())
        head = self.head()
        if head.split()[1] != "200":
            raise Failed(f"{path}: {head.splitlines()[0]}")
        length = re.search(r"(?mi)^content-length: *(\d+)", head)
        if length:
            self.skip(int(length.group(1)))
            return int(length.group(1))
        total = 0
        while n := self.chunk():
            total += n
        return total

    def chunk(self):
        while b"\r\n" not in self.buffer:
            self.buffer += self.receive()
        size, _, self.buffer = self.buffer.partition(b"\r\n")
        self.skip(int(size, 16) + 2)
        return int(size, 16)

    def upgrade(self, token):
        """From now on a WebSocket, signed in."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET /api/ HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        if " 101 " not in self.head():
            raise Failed("the server does not take a WebSocket")
        if token:
            answer = self.call("session.signInWithToken", token=token)
            if "result" not in answer:
                raise Failed(f"signing in: {answer}")
        return self

    def ask(self, method, **params):
        text = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).encode()
        size = struct.pack("!B", 0x80 | len(text)) if len(text) < 126 else struct.pack("!BH", 0xFE, len(text))
        self.socket.sendall(b"\x81" + size + bytes(4) + text)  # a mask of zeros

    def frame_bytes(self):
        """The length of the next frame; its content follows."""
        while len(self.buffer) < 10 and not (len(self.buffer) >= 2 and len(self.buffer) >= 2 + self.buffer[1]):
            self.buffer += self.receive()
        n, n_head = self.buffer[1] & 0x7F, 2
        if n == 126:
            n, n_head = struct.unpack("!H", self.buffer[2:4])[0], 4
        elif n == 127:
            n, n_head = struct.unpack("!Q", self.buffer[2:10])[0], 10
        del self.buffer[:n_head]
        return n

    def message(self):
        n = self.frame_bytes()
        while len(self.buffer) < n:
            self.buffer += self.receive()
        text = bytes(self.buffer[:n])
        del self.buffer[:n]
        return text

    def call(self, method, **params):
        self.ask(method, **params)
        while True:
            answer = json.loads(self.message())
            if "id" in answer:
                return answer

    def pass_over(self, method, **params):
        """A call whose answer is only counted."""
        self.ask(method, **params)
        n = self.frame_bytes()
        self.skip(n)
        return n

    def close(self):
        self.socket.close()


class Door:
    """A server of our own on a data folder, over TLS with its own certificate or plain."""

    def __init__(self, data, tls):
        self.started = time.monotonic()
        options = [] if tls else ["--insecure-http"]
        self.program = Program("cadenzad", "--data", data, "--listen", "127.0.0.1:0", *options)
        self.url, self.pid = self.program.ready["url"], self.program.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.program.stop()


class Api:
    rows = (13, 14, 15, 16, 17, 18)
    name = "api"

    def __init__(self, bench):
        self.bench, self.quick = bench, bench.quick
        self.n_vms = 500 if self.quick else 5000
        self.n_calls = 10 if self.quick else 20
        self.n_sockets = 300 if self.quick else 3000
        self.idle_s = 6 if self.quick else 60
        self.news_s = 3 if self.quick else 10
        share = self.n_vms / 5000  # of the work in a quick run
        vms = f"{self.n_vms} VMs"
        self.lines = [
            Line(13, f"xo.getAllObjects {{}}, {vms}", "all plain", 134 * share, cpu_ms=25 * share),
            Line(13, f"xo.getAllObjects {{}}, {vms}, TLS", "all tls", 134 * share, cpu_ms=40 * share),
            Line(13, f"xo.getAllObjects {{}}, {vms}, filtered by ACL", "all acl", 134 * share, cpu_ms=60 * share),
            Line(14, f"GET vms?fields=name_label, {vms}", "rest name", 50 * share, cpu_ms=4 * share),
            Line(14, f"GET vms?fields=*, {vms}", "rest all", 118 * share, cpu_ms=15 * share),
            Line(15, "first start to first answer", "first", 4200, wall_ms=100),
            Line(15, f"restart to complete inventory, {vms}", "restart", 5700 * share, wall_ms=1000 * max(share, 0.3)),
            Line(16, "resident, idle", "idle", 400, resident_mib=20),
            Line(16, "CPU of a minute, idle", "idle", 3.6, minute_s=0.1),
            Line(16, f"resident, {vms} held and queried", "queried", 620, resident_mib=100),
            Line(17, "200 changes/s to 100 clients", "news", 0, p99_ms=50, core_share=25),
            Line(18, f"resident, {self.n_sockets} idle WebSockets", "sockets plain", 0, resident_mib=self.within(40)),
            Line(18, f"resident, {self.n_sockets} idle WebSockets, TLS", "sockets tls", 0, resident_mib=self.within(130)),
        ]
        self.sides = {
            "all plain": lambda: self.objects(self.plain, self.admin), "all tls": lambda: self.objects(self.tls, self.admin),
            "all acl": lambda: self.objects(self.plain, self.viewer),
            "rest name": lambda: self.rest("name_label"), "rest all": lambda: self.rest("*"),
            "first": self.first, "restart": self.restart, "idle": self.idle, "queried": self.queried, "news": self.news,
            "sockets plain": lambda: self.idle_sockets(False), "sockets tls": lambda: self.idle_sockets(True),
        }

    def within(self, mib):
        """Of fewer sockets, beside what the server needs without any."""
        return 20 + (mib - 20) * self.n_sockets / 3000

    # --- Servers ---

    def prepare(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.folder = self.bench.empty("api")
        self.folder.mkdir()
        self.sim = Sim("--vms", self.n_vms, "--hosts", 16, "--disk-size", "1MiB", "--allocated", 0, "--running", 1, "--boot-delay", 0,
                       "--event-delay", 0, "--data", self.folder / "pool")
        self.known = self.folder / "known"
        server = Server(str(self.known))
        self.admin = server.env["CADENZA_TOKEN"]
        server.connect(self.sim)
        pool = server.objects(type="pool")[0]["id"]
        viewer = server.call("user.create", email="viewer", password="seen from afar")
        server.call("acl.add", subject=viewer, object=pool, action="viewer")
        self.viewer = server.call_with({}, "token.create", user="viewer", password="seen from afar")
        self.n_objects = len(server.objects())
        server.stop()
        shutil.copytree(self.known, self.folder / "twin")
        self.doors = contextlib.ExitStack()
        self.held = {}

    @property
    def plain(self):
        return self.holding("twin", False)

    @property
    def tls(self):
        return self.holding("known", True)

    def holding(self, folder, tls):
        """A server that holds the pool; started when first needed."""
        if folder not in self.held:
            door = self.held[folder] = self.doors.enter_context(Door(self.folder / folder, tls))
            self.wait_for_pool(door)
        return self.held[folder]

    def leave(self, folder):
        if folder in self.held:
            self.held.pop(folder).program.stop()

    def wait_for_pool(self, door):
        client = Client(door.url).upgrade(self.admin)
        deadline = time.monotonic() + DEADLINE_S
        while client.call("server.getAll")["result"][0]["status"] != "connected":
            if time.monotonic() > deadline:
                raise Failed("the pool does not connect")
            time.sleep(0.005)
        ended = time.monotonic()
        n = len(client.call("xo.getAllObjects")["result"])
        if n < self.n_objects:
            raise Failed(f"{n} of {self.n_objects} objects after a restart")
        client.close()
        return ended

    def done(self, pid, **figures):
        return {"cpu_s": 0, "wall_s": 1, "bytes": 0, "start_cpu_s": 0, "peak_kib": int(memory_mib(pid, "VmHWM") * 1024), **figures}

    def each(self, door, ask):
        """CPU of one of several; the first one is not measured."""
        n_bytes, before = ask(), cpu_s(door.pid)
        for _ in range(self.n_calls):
            ask()
        each_s = (cpu_s(door.pid) - before) / self.n_calls
        sides.say(f"    {n_bytes >> 10} KiB each")
        return self.done(door.pid, cpu_s=each_s)

    # --- Sides ---

    def objects(self, door, token):
        with contextlib.closing(Client(door.url).upgrade(token)) as client:
            return self.each(door, lambda: client.pass_over("xo.getAllObjects"))

    def rest(self, fields):
        with contextlib.closing(Client(self.plain.url)) as client:
            return self.each(self.plain, lambda: client.get(f"/rest/v0/vms?fields={fields}", self.admin))

    def first(self):
        data = self.bench.empty("first")
        with Door(data, True) as door:
            with contextlib.closing(Client(door.url).upgrade(None)) as client:
                if "result" not in client.call("system.getServerVersion"):
                    raise Failed("no answer to the first call")
                took = time.monotonic() - door.started
            return self.done(door.pid, wall_s=took)

    def restart(self):
        self.leave("twin")
        with Door(self.folder / "twin", False) as door:
            return self.done(door.pid, wall_s=self.wait_for_pool(door) - door.started)

    def idle(self):
        data = self.bench.empty("first")
        with Door(data, True) as door:
            time.sleep(2)
            before = cpu_s(door.pid)
            time.sleep(self.idle_s)
            return self.done(door.pid, minute_s=(cpu_s(door.pid) - before) * 60 / self.idle_s, resident_mib=memory_mib(door.pid))

    def queried(self):
        """The most that it ever held while it was asked for everything, in each of the ways above."""
        self.leave("twin")
        for token in (self.admin, self.viewer):
            self.objects(self.plain, token)
        for fields in ("name_label", "*"):
            self.rest(fields)
        return self.done(self.plain.pid, resident_mib=memory_mib(self.plain.pid, "VmHWM"))

    def idle_sockets(self, tls):
        data = self.bench.empty("first")
        with Door(data, tls) as door:
            token = self.sign_in(data, door)
            clients = [Client(door.url).upgrade(token) for _ in range(self.n_sockets)]
            time.sleep(5 if self.quick else 10)  # what signing in took has gone back
            found = self.done(door.pid, resident_mib=memory_mib(door.pid))
            for client in clients:
                client.close()
            return found

    def sign_in(self, data, door):
        password = (data / "initial-password").read_text().split()[-1]
        with contextlib.closing(Client(door.url).upgrade(None)) as client:
            client.call("session.signInWithPassword", email="admin@admin.net", password=password)
            return client.call("token.create")["result"]

    # --- News ---

    def news(self):
        news = News(self.plain, self.sim, self.admin, 100, 200, self.news_s)
        return self.done(self.plain.pid, **news.run())

    def finish(self):
        self.doors.close()
        self.sim.stop()
        self.bench.empty("api")
        self.bench.empty("first")


class News:
    """Changes at a rate, each with its number in a machine's description; when each client hears of each."""

    def __init__(self, door, sim, token, n_clients, rate, seconds):
        self.door, self.rate, self.n_changes = door, rate, rate * seconds
        self.title = f"news of {time.monotonic_ns()}"  # what is there from an earlier round is no change
        self.mark = re.compile(rb'"name_description":"%s: (\d+)"' % self.title.encode())
        self.sim, self.calls = sim, Caller(sim)
        self.vms = self.calls.vms()
        self.clients = [Client(door.url).upgrade(token) for _ in range(n_clients)]
        self.done_at, self.heard, self.ended = {}, {}, threading.Event()

    def run(self):
        listener = threading.Thread(target=self.listen)
        listener.start()
        before, started = cpu_s(self.door.pid), time.monotonic()
        self.change_all(started)
        share = (cpu_s(self.door.pid) - before) / (time.monotonic() - started)
        deadline = time.monotonic() + DEADLINE_S
        while len(self.heard) < self.n_changes * len(self.clients) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.ended.set()
        listener.join()
        for client in self.clients:
            client.close()
        if len(self.heard) < self.n_changes * len(self.clients):
            raise Failed(f"{len(self.heard)} of {self.n_changes * len(self.clients)} news came")
        late = sorted(at - self.done_at[number] for (_, number), at in self.heard.items())
        sides.say(f"    median {statistics.median(late) * 1000:.0f} ms, latest {late[-1] * 1000:.0f} ms")
        return {"p99_ms": late[len(late) * 99 // 100] * 1000, "core_share": share * 100}

    def change_all(self, started):
        for number in range(self.n_changes):
            time.sleep(max(0, started + number / self.rate - time.monotonic()))
            self.calls.change(self.vms[number % len(self.vms)], f"{self.title}: {number}")
            self.done_at[number] = time.monotonic()

    def listen(self):
        selector = selectors.DefaultSelector()
        for i, client in enumerate(self.clients):
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_READ, (i, client))
        while not self.ended.is_set():
            for key, _ in selector.select(0.1):
                self.hear(*key.data)

    def hear(self, i, client):
        with contextlib.suppress(BlockingIOError):
            data = client.receive()
            now = time.monotonic()
            client.buffer += data
            for mark in self.mark.finditer(client.buffer):
                self.heard.setdefault((i, int(mark.group(1))), now)
            del client.buffer[:max(0, len(client.buffer) - 64)]  # a mark may be cut


class Caller:
    """Calls on the simulated pool, over one connection."""

    def __init__(self, sim):
        self.client = Client(sim.plain_url)
        self.session = self.call("session.login_with_password", "root", sim.password, ref=False)

    def call(self, method, *params, ref=True):
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method,
                           "params": [self.session, *params] if ref else params}).encode()
        self.client.socket.sendall(f"POST /jsonrpc HTTP/1.1\r\nHost: {self.client.host}\r\n"
                                   f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        n = int(re.search(r"(?mi)^content-length: *(\d+)", self.client.head()).group(1))
        while len(self.client.buffer) < n:
            self.client.buffer += self.client.receive()
        answer = json.loads(bytes(self.client.buffer[:n]))
        del self.client.buffer[:n]
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']}")
        return answer["result"]

    def vms(self):
        return [ref for ref, vm in self.call("VM.get_all_records").items() if not vm["is_a_template"] and not vm["is_control_domain"]]

    def change(self, vm, text):
        self.call("VM.set_name_description", vm, text)
