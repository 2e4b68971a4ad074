"""A hundred clients at once, of every kind, for some seconds (--full: five minutes): calls over WebSockets, REST,
subscriptions, while the pool changes all the time. Every call is answered and right, everybody hears of the last
change, memory is flat: at the end of the five minutes it is within 5 % of what it was in the first tenth (release build). Prints
a histogram of what calls took."""
import bisect
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, Sim  # noqa: E402
from websocket import WebSocket  # noqa: E402

FULL = bool(os.environ.get("CADENZA_FULL"))
# Records that stay come to lie among texts that go, until as many pages of the heap are freed as are begun: for two minutes.
SECONDS, WARM_UP_S, GROWTH = (300, 120, 1.05) if FULL else (10, 8, 1.1)
N_CALLERS, N_REST, N_LISTENERS, N_STREAMS = 40, 40, 12, 8
N_VMS, CHANGES_PER_S, DEADLINE_S = 200, 40, 60
EDGES_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
BASE = "/rest/v0"


class Client(threading.Thread):
    """Asks one thing after the other until the end, with short pauses; what went wrong is kept."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load, self.random, self.failure, self.took_ms = load, random.Random(load.seed + number), None, {}

    def run(self):
        try:
            self.open()
            while not self.load.ended.is_set():
                self.once()
            self.close()
        except Exception as error:  # told by the test
            self.failure = self.failure or f"{type(self).__name__}: {error!r}"

    def close(self):
        pass

    def timed(self, kind, ask):
        begun = time.monotonic()
        answer = ask()
        if self.load.measured.is_set():
            self.took_ms.setdefault(kind, []).append((time.monotonic() - begun) * 1000)
        return answer

    def pause(self):
        time.sleep(self.random.uniform(0.02, 0.3))


class Caller(Client):
    """Calls over a WebSocket, now and then a new one."""

    def open(self):
        self.socket = WebSocket(self.load.server.url)
        self.ask("session.signInWithToken", {"token": self.load.token})

    def close(self):
        self.socket.close()

    def ask(self, method, params=None):
        answer = self.timed(method, lambda: self.socket.call(method, params))
        self.socket.notifications.clear()
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def once(self):
        vm = self.random.choice(self.load.vms)
        what = self.random.random()
        if what < 0.3:
            assert vm in self.ask("xo.getAllObjects", {"filter": {"id": vm}})
        elif what < 0.5:
            assert len(self.ask("xo.getAllObjects", {"filter": "type:VM power_state:Running", "limit": 20})) <= 20
        elif what < 0.6:
            assert len(self.ask("xo.getAllObjects")) > N_VMS * 4
        elif what < 0.75:
            self.ask("vm.set", {"id": vm, "name_label": f"load {self.random.random()}"})
        elif what < 0.9:
            assert self.ask("server.getAll")[0]["status"] == "connected"
        elif what < 0.98:
            self.ask("session.getUser")
        else:
            self.close()
            self.open()
        self.pause()


class RestClient(Client):
    def open(self):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.load.server.url).netloc, timeout=DEADLINE_S)

    def close(self):
        self.connection.close()

    def get(self, kind, path):
        def ask():
            self.connection.request("GET", BASE + path, headers={"Cookie": f"authenticationToken={self.load.token}"})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        status, body = self.timed(kind, ask)
        if status != 200:
            raise AssertionError(f"{path}: {status} {body[:200]}")
        return body

    def once(self):
        vm = self.random.choice(self.load.vms)
        what = self.random.random()
        if what < 0.4:
            assert json.loads(self.get("GET vms/ID", f"/vms/{vm}"))["id"] == vm
        elif what < 0.7:
            assert len(json.loads(self.get("GET vms?fields", "/vms?fields=name_label,power_state"))) == N_VMS
        elif what < 0.8:
            assert len(json.loads(self.get("GET vms?filter", "/vms?fields=*&filter=power_state:Running&limit=10"))) <= 10
        elif what < 0.9:
            self.get("GET vdis ndjson", "/vdis?fields=*&ndjson=true")
        else:
            self.get("GET dashboard", "/dashboard")
        self.pause()


class Listener(Client):
    """Hears of changes over a WebSocket."""

    heard_last = False

    def open(self):
        self.socket = WebSocket(self.load.server.url)
        assert "result" in self.socket.call("session.signInWithToken", {"token": self.load.token})

    def once(self):
        try:
            self.heard_last |= self.load.last in self.socket.receive(1)
        except TimeoutError:
            pass

    def close(self):
        self.socket.close()


class Stream(Client):
    """Hears of changes over REST."""

    heard_last = False

    def open(self):
        netloc, cookie = urllib.parse.urlsplit(self.load.server.url).netloc, {"Cookie": f"authenticationToken={self.load.token}"}
        self.connection = http.client.HTTPConnection(netloc, timeout=DEADLINE_S)
        self.connection.request("GET", BASE + "/events", headers=cookie)
        self.answer = self.connection.getresponse()
        stream = json.loads([self.answer.readline() for _ in range(3)][1].decode().split(": ", 1)[1])["id"]
        other = http.client.HTTPConnection(netloc, timeout=DEADLINE_S)
        other.request("POST", f"{BASE}/events/{stream}/subscriptions", json.dumps({"collection": "VM"}),
                      dict(cookie, **{"Content-Type": "application/json"}))
        assert other.getresponse().status == 201
        other.close()

    def once(self):
        self.heard_last |= self.load.last.encode() in self.answer.readline()

    def close(self):
        self.connection.close()


class Load(unittest.TestCase):
    last = "the last change of all"

    def setUp(self):
        self.seed = int(os.environ.get("CADENZA_SEED") or random.SystemRandom().randrange(1 << 31))
        print(f"\nCADENZA_SEED={self.seed}", file=sys.stderr)
        self.sim = Sim("--hosts", 3, "--vms", N_VMS, "--disk-size", "1MiB", "--allocated", 0, "--running", "0.5", "--boot-delay", 0,
                       "--seed", 7)
        self.addCleanup(self.sim.stop)
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.server.connect(self.sim)
        self.token = self.server.env["CADENZA_TOKEN"]
        self.vms = [vm["id"] for vm in self.server.objects(type="VM")]
        self.ended, self.measured = threading.Event(), threading.Event()

    def change_all_the_time(self):
        """The pool's own changes, as another client of it makes them."""
        xapi, choose = self.sim.session(), random.Random(self.seed)
        refs = [ref for ref, vm in xapi.call("VM.get_all_records").items() if not vm["is_a_template"] and not vm["is_control_domain"]]
        while not self.changed_enough.wait(1 / CHANGES_PER_S):
            xapi.call("VM.set_name_description", choose.choice(refs), f"change {choose.random()}")
        xapi.call("VM.set_name_description", refs[0], self.last)
        xapi.proxy("close")()

    def watch(self):
        """Resident bytes, all along."""
        samples, started = [], time.monotonic()
        while time.monotonic() < started + SECONDS:
            samples.append(self.server.resident_bytes())
            time.sleep(0.1)
        return samples

    def wait_for(self, what, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"never: {what}")
            time.sleep(0.1)

    def histogram(self, clients):
        kinds = {}
        for client in clients:
            for kind, took in client.took_ms.items():
                kinds.setdefault(kind, []).extend(took)
        print(f"{'calls, of which took up to … ms':32}" + "".join(f"{edge:>7}" for edge in EDGES_MS) + "   more", file=sys.stderr)
        for kind, took in sorted(kinds.items()):
            counts = [0] * (len(EDGES_MS) + 1)
            for ms in took:
                counts[bisect.bisect_left(EDGES_MS, ms)] += 1
            print(f"{kind:24}{len(took):>8}" + "".join(f"{n or '':>7}" for n in counts), file=sys.stderr)
        return sum(map(len, kinds.values()))

    def test_hundred_clients(self):
        kinds = [Caller] * N_CALLERS + [RestClient] * N_REST + [Listener] * N_LISTENERS + [Stream] * N_STREAMS
        clients = [kind(self, number) for number, kind in enumerate(kinds)]
        hearers = [client for client in clients if isinstance(client, (Listener, Stream))]
        self.changed_enough = threading.Event()
        changer = threading.Thread(target=self.change_all_the_time, daemon=True)
        for thread in [*clients, changer]:
            thread.start()
        time.sleep(WARM_UP_S)
        self.measured.set()
        samples = self.watch()
        self.changed_enough.set()
        self.wait_for("everybody hears of the last change",
                      lambda: all(client.heard_last or client.failure for client in hearers))
        self.ended.set()
        self.server.call("vm.set", id=self.vms[0], name_label="wakes who still listens")
        for client in clients:
            client.join(DEADLINE_S)
        self.assertEqual([client.failure for client in clients if client.failure], [])
        self.assertEqual([client for client in clients if client.is_alive()], [])
        n_calls = self.histogram(clients)
        tenth, end = (sorted(part)[len(part) // 2] for part in (samples[:len(samples) // 10], samples[-len(samples) // 10:]))
        print(f"{n_calls} calls in {SECONDS} s; {tenth / 2**20:.1f} MiB in the first tenth, {end / 2**20:.1f} MiB at the end",
              file=sys.stderr)
        self.assertGreater(n_calls, SECONDS)
        self.assertLessEqual(end, tenth * GROWTH)


if __name__ == "__main__":
    unittest.main()
