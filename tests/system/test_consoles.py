"""Consoles: a machine's screen and keyboard by WebSocket, from the simulator's picture through the server; who may, and how they end."""
import shutil
import struct
import tempfile
import unittest

import test_machines
from box import Server, Sim
from test_api import until
from websocket import Closed, WebSocket

RAW = 0


class Screen:
    """A VNC client of fifty lines (RFC 6143), over a console's WebSocket."""
    def __init__(self, socket):
        self.socket, self.buffer = socket, b""
        self.version = self.take(12)
        self.say(b"RFB 003.008\n")
        types = self.take(self.take(1)[0])
        assert 1 in types
        self.say(b"\1")
        assert self.take(4) == bytes(4)
        self.say(b"\1")
        self.width, self.height = struct.unpack("!HH", self.take(4))
        self.take(16)
        self.name = self.take(struct.unpack("!I", self.take(4))[0]).decode()
        self.say(struct.pack("!BxxxBBBBHHHBBBxxx", 0, 32, 24, 1, 1, 255, 255, 255, 16, 8, 0)) # big-endian 0x00RRGGBB
        self.say(struct.pack("!BxHi", 2, 1, RAW))

    def take(self, n):
        while len(self.buffer) < n:
            self.buffer += self.socket.receive_bytes(60)
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def say(self, data):
        self.socket.send(data, 2)

    def ask(self, incremental):
        self.say(struct.pack("!BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def picture(self, incremental=False):
        """Rows of (red, green, blue), as soon as there is something new."""
        self.ask(incremental)
        kind, n = struct.unpack("!BxH", self.take(4))
        assert kind == 0
        rows = {}
        for _ in range(n):
            x, y, width, height, encoding = struct.unpack("!HHHHi", self.take(12))
            assert (x, width, encoding) == (0, self.width, RAW)
            for row in range(height):
                line = self.take(width * 4)
                rows[y + row] = [tuple(line[i + 1:i + 4]) for i in range(0, len(line), 4)]
        return rows

    def press(self, key):
        for down in (1, 0):
            self.say(struct.pack("!BBxxI", 4, down, key))

    def click(self, x, y):
        self.say(struct.pack("!BBHH", 5, 1, x, y))


class Consoles(test_machines.Pool):
    def open(self, vm, token=None, cookie="token", **headers):
        if token is None:
            token = self.server.env["CADENZA_TOKEN"]
        socket = WebSocket(self.server.url, f"/api/consoles/{vm}", Cookie=f"{cookie}={token}", **headers)
        self.addCleanup(socket.close)
        return socket

    def start(self, vm):
        if self.view(vm)["power_state"] != "Running":
            self.call("vm.start", id=vm)

    def test_screen(self):
        vm = self.vm("Running")
        own = tuple(bytes.fromhex(vm["id"][:6]))
        screen = Screen(self.open(vm["id"]))
        self.assertEqual((screen.version, screen.name), (b"RFB 003.008\n", vm["name_label"]))
        rows = screen.picture()
        self.assertEqual((len(rows), {len(row) for row in rows.values()}), (screen.height, {screen.width}))
        self.assertEqual(rows[3][3], own)
        self.assertEqual([rows[100][x] for x in range(20, screen.width, 40)],
                         [tuple(255 if bar & bit else 0 for bit in (4, 2, 1)) for bar in range(8)])
        screen.press(0x61)
        turned = tuple(255 - value for value in own)
        self.assertEqual(screen.picture(True)[3][3], turned)
        screen.click(200, 150)
        self.assertEqual(screen.picture(True)[150][200], (255, 255, 255))
        other = Screen(self.open(vm["id"], cookie="authenticationToken")) # a second one has a picture of its own
        self.assertEqual(other.picture()[3][3], own)

    def test_end(self):
        """It ends with the machine; the next one begins with its next start."""
        vm = self.vm("Running")["id"]
        socket = self.open(vm)
        Screen(socket).picture()
        self.call("vm.stop", id=vm, force=True)
        with self.assertRaises(Closed) as caught:
            while True:
                socket.receive_bytes(60)
        self.assertEqual(caught.exception.code, 1000)
        self.assertEqual(self.open(vm).status, 404)
        self.call("vm.start", id=vm)
        Screen(self.open(vm)).picture()

    def test_left(self):
        """The host is let go when the client goes."""
        vm = self.vm("Running")["id"]
        for _ in range(5):
            socket = self.open(vm)
            Screen(socket).picture()
            socket.close()
        Screen(self.open(vm)).picture()

    def test_slow_client(self):
        """A client that does not read slows its host down and nobody else; nothing is piled up here."""
        vm = self.vm("Running")["id"]
        slow = Screen(self.open(vm))
        before = self.server.resident_bytes()
        for _ in range(200): # a quarter of a MiB each
            slow.ask(False)
        quick = Screen(self.open(vm))
        for _ in range(3):
            quick.picture()
        until(lambda: self.server.resident_bytes() - before < 64 << 20, "memory that is bounded", 60)
        for _ in range(200):
            kind, _ = struct.unpack("!BxH", slow.take(4))
            self.assertEqual(kind, 0)
            slow.take(12 + slow.width * slow.height * 4)
        slow.press(0x61)

    def test_who(self):
        vm = self.vm("Running")["id"]
        for token in ("", "wrong"):
            self.assertEqual(self.open(vm, token).status, 401)
        self.call("user.create", email="sue", password="secret")
        user = next(each["id"] for each in self.call("user.getAll") if each["email"] == "sue")
        sue = dict(email="sue", password="secret")
        token = self.call("token.create", sue)
        self.assertEqual(self.open(vm, token).status, 403)
        self.call("acl.add", subject=user, object=vm, action="viewer")
        self.assertEqual(self.open(vm, token).status, 403)
        self.call("acl.add", subject=user, object=vm, action="operator")
        Screen(self.open(vm, token)).picture()
        for strange in ("nothing", self.objects(type="host")[0]["id"], ""):
            self.assertEqual(self.open(strange).status, 404, strange)
        self.assertEqual(self.open(vm, Origin="http://elsewhere.example").status, 403)
        socket = self.open(vm)
        socket.send("text")
        with self.assertRaises(Closed) as caught:
            while True:
                socket.receive_bytes(60)
        self.assertEqual(caught.exception.code, 1003)

    def test_told(self):
        """The audit log says who looked at which machine from where, and for how long; who was not let in, too."""
        vm = self.vm("Running")["id"]
        socket = self.open(vm)
        Screen(socket).picture()
        socket.close()

        def told():
            return [record for record in self.call("audit.getRecords", maxRecords=20)
                    if record["event"].startswith("console") and record["data"]["objectId"] == vm]
        closed, opened = until(lambda: told()[0]["event"] == "consoleClosed" and told(), "its end", 60)[:2]
        for record in closed, opened:
            self.assertEqual((record["subject"]["userName"], record["subject"]["userIp"]), ("admin@admin.net", "127.0.0.1"))
        self.assertEqual((opened["event"], set(opened["data"])), ("consoleOpened", {"objectId"}))
        self.assertGreaterEqual(closed["data"]["duration"], 0)
        self.call("user.create", email="curious", password="secret")
        self.assertEqual(self.open(vm, self.call("token.create", dict(email="curious", password="secret"))).status, 403)
        refused = told()[0]
        self.assertEqual((refused["subject"]["userName"], refused["data"]["error"]["code"]), ("curious", 2))

    def test_control_domain(self):
        """The host's own machine is a machine; this one has no screen here."""
        self.assertEqual(self.open(self.objects(type="VM-controller")[0]["id"]).status, 404)

    def test_stop(self):
        """A server that ends says so."""
        folder = tempfile.mkdtemp(prefix="cadenza-consoles-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        sim = Sim(*self.SIM)
        self.addCleanup(sim.stop)
        server = Server(folder + "/data")
        server.connect(sim)
        vm = next(vm["id"] for vm in server.objects(type="VM") if vm["power_state"] == "Running")
        socket = WebSocket(server.url, f"/api/consoles/{vm}", Cookie=f"token={server.env['CADENZA_TOKEN']}")
        self.addCleanup(socket.close)
        Screen(socket).picture()
        self.assertEqual(server.stop(), 0)
        with self.assertRaises(Closed):
            while True:
                socket.receive_bytes(60)


if __name__ == "__main__":
    unittest.main()
