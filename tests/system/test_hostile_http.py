"""The hostile half of the doors: requests made to confuse, to exhaust or to guess are refused, told in the log, and do
not harm the server, whose memory stays within bounds and who serves everybody else meanwhile."""
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Program, Server  # noqa: E402
from websocket import Closed, WebSocket  # noqa: E402

MAX_RESIDENT_BYTES = 700 << 20  # with the address sanitizer, which keeps what was freed for a while
LIMITS = ("header-timeout-ms=600", "body-timeout-ms=800", "idle-timeout-ms=1500", "send-timeout-ms=1500",
          "connections-per-address=150")
HOST = "Host: localhost\r\n"
DEADLINE_S = 60  # for what the server does by itself


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-doors-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.log = cls.folder / "server.log"
        options = [word for limit in LIMITS for word in ("--limit", limit)]
        cls.server = Server(str(cls.folder / "data"), log=cls.log,
                            options=[*options, "--allow-origin", "https://ui.example.org"])
        cls.addClassCleanup(cls.stop)
        cls.port = urllib.parse.urlsplit(cls.server.url).port

    @classmethod
    def stop(cls):
        if cls.server.stop() != 0:
            raise AssertionError(f"the server ended badly: {cls.log.read_text()[-3000:]}")

    def tearDown(self):
        """Whatever was tried: it serves, and is no fatter than it may be."""
        with urllib.request.urlopen(self.server.url + "/healthz", timeout=10) as answer:
            self.assertEqual(json.loads(answer.read())["status"], "ok")
        self.assertLess(self.server.resident_bytes(), MAX_RESIDENT_BYTES)

    # --- raw bytes ---

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.addCleanup(connection.close)
        return connection

    def ask(self, text):
        """Everything that comes back until the server closes."""
        connection, answer = self.connect(), b""
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        try:
            while part := connection.recv(1 << 16):
                answer += part
        except ConnectionError:
            pass
        connection.close()
        return answer

    def statuses(self, text):
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.ask(text))]

    def logged(self, text):
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.log.read_text():
            self.assertLess(time.monotonic(), deadline, f"the log does not tell of: {text}")
            time.sleep(0.05)

    # --- a WebSocket that says what it should not ---

    def socket(self, signed_in=False):
        made = WebSocket(self.server.url)
        self.addCleanup(made.close)
        if signed_in:
            answer = made.call("session.signIn", {"email": self.server.user, "password": self.server.password})
            self.assertIn("result", answer)
        return made

    @staticmethod
    def frame(opcode, data, fin=True, rsv=0, masked=True, n=None):
        n = len(data) if n is None else n
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if masked else 0
        head += bytes([bit | n]) if n < 126 else struct.pack("!BH", bit | 126, n) if n < 65536 else struct.pack("!BQ", bit | 127, n)
        return head + (bytes(4) if masked else b"") + data  # a mask of zeros changes nothing

    def closed_with(self, made, data, *codes):
        """It closes with one of the codes; None: the connection ends."""
        try:
            made.socket.sendall(data)
        except ConnectionError:
            self.assertIn(None, codes)
            return
        with self.assertRaises((Closed, ConnectionError)) as caught:
            while True:
                made.receive(10)
        self.assertIn(getattr(caught.exception, "code", None), codes)

    # --- tests ---

    def test_smuggling(self):
        """What two servers could read in two ways is refused; what was hidden behind it is not served."""
        hidden = "GET /healthz HTTP/1.1\r\n" + HOST + "\r\n"
        for head in ("Content-Length: 4\r\nContent-Length: 5\r\n", "Content-Length: 4, 4\r\n", "Content-Length: +4\r\n",
                     "Content-Length: 0x4\r\n", "Content-Length: -1\r\n", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                     "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n",
                     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding : chunked\r\n",
                     "Transfer-Encoding:\x0bchunked\r\n", " Content-Length: 4\r\n", "X: y\r\n Content-Length: 4\r\n",
                     "X: y\nContent-Length: 4\r\n", "Host: another\r\n", "X\0: y\r\n", "X: y\0\r\n"):
            self.assertEqual(self.statuses(f"POST /healthz HTTP/1.1\r\n{HOST}{head}\r\n0\r\n\r\n{hidden}"), [400], repr(head))
        for line in ("GET /healthz HTTP/1.1\n", "GET  /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1 \r\n", "GET /healthz\r\n",
                     "GET http:// HTTP/1.1\r\n", "get /health\tz HTTP/1.1\r\n"):
            self.assertEqual(self.statuses(f"{line}{HOST}\r\n{hidden}"), [400], repr(line))
        self.assertEqual(self.statuses(f"GET /healthz HTTP/2.0\r\n{HOST}\r\n"), [505])
        for body in ("4;x\r\nabcd\r\n0\r\n\r\n", "4\nabcd\r\n0\r\n\r\n", "-4\r\nabcd\r\n0\r\n\r\n", "ffffffffffffffffff\r\nabcd\r\n",
                     "4\r\nabcdX\r\n0\r\n\r\n", "0x4\r\nabcd\r\n0\r\n\r\n"):
            found = self.statuses(f"POST /nope HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}{hidden}")
            if body.startswith("4;x"):  # an extension is allowed, and the next request is one of its own
                self.assertEqual(found, [404, 200])
            else:
                self.assertEqual(found, [404], repr(body))
        self.logged("Bad Request")

    def test_heads(self):
        """Heads beyond the limits, and requests from below."""
        self.assertEqual(self.statuses(f"GET /{'x' * 40000} HTTP/1.1\r\n{HOST}\r\n"), [414])
        self.assertEqual(self.statuses(f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 40000}\r\n\r\n"), [431])
        self.assertEqual(self.statuses(f"GET / HTTP/1.1\r\n{HOST}" + "X: y\r\n" * 200 + "\r\n"), [431])
        for garbage in (os.urandom(5000), b"\x16\x03\x01\x02\x00" + bytes(512), b"\0" * 100, b"\r\n" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            answer = self.ask(garbage)
            self.assertFalse(answer.startswith(b"HTTP/1.1 2"), answer[:80])
        self.logged("URI Too Long")

    def test_traversal(self):
        for path in ("/../etc/passwd", "/..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/../../etc/passwd", "/healthz/%00",
                     "/%c0%ae%c0%ae/etc/passwd", "/%ff", "/%", "/%4", "//../x", "/a/%2e%2e"):
            found = self.statuses(f"GET {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
            self.assertIn(found, ([400], [404]), path)
        for path in ("/....//etc/passwd", "/etc/passwd", "//etc/passwd", "/api/%2e/x", "/rest/v0/%2e%2e%2f"):
            self.assertNotIn(b"root:", self.ask(f"GET {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"), path)

    def test_injection(self):
        """No header of an answer comes from a request's line ends."""
        for path in ("/%0d%0aX-Injected:%20yes", "/signin?next=%0d%0aX-Injected:%20yes", "/api/x%0d%0aX-Injected:%20yes/y",
                     "/nope?a=%0aX-Injected:%20yes"):
            answer = self.ask(f"GET {path} HTTP/1.1\r\n{HOST}Cookie: token=a%0d%0aX-Injected: yes\r\nConnection: close\r\n\r\n")
            self.assertNotIn(b"\nx-injected", answer.split(b"\r\n\r\n")[0].lower(), path)
        answer = self.ask(f"GET /healthz HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        for header in (b"X-Content-Type-Options: nosniff", b"X-Frame-Options: SAMEORIGIN", b"Referrer-Policy: same-origin"):
            self.assertIn(header, answer)

    def test_slow(self):
        """Many who send byte after byte: each gets its time and no more, and nobody waits for them."""
        starts = [b"GET /healthz HTTP/1.1\r\nX: ", f"POST /nope HTTP/1.1\r\n{HOST}Content-Length: 1000\r\n\r\n".encode(), b""]
        slow = []
        for number in range(60):  # at once: a head's time begins when the connection does
            slow.append(self.connect())
            slow[-1].sendall(starts[number % 3])
        started, alive = time.monotonic(), set(slow)
        while alive and time.monotonic() - started < DEADLINE_S:
            with urllib.request.urlopen(self.server.url + "/healthz", timeout=30):
                pass
            for number, connection in enumerate(slow):
                if connection in alive:
                    try:
                        if starts[number % 3]:
                            connection.send(b"x")
                        connection.setblocking(False)
                        while connection.recv(4096):
                            pass
                        alive.discard(connection)
                    except BlockingIOError:
                        pass
                    except ConnectionError:
                        alive.discard(connection)
            time.sleep(0.1)
        self.assertEqual(len(alive), 0, "connections that send a byte now and then live on")
        for connection in slow:
            connection.close()
        while not self.ask(starts[0]).startswith(b"HTTP/1.1 408 "):  # one that sent nothing in time gets no words
            self.assertLess(time.monotonic() - started, 2 * DEADLINE_S, "a slow head is never told of its time")
        self.logged("Request Timeout")

    def test_many_connections(self):
        """The number of connections from one address has a bound; who is beyond it is not let in, and later is."""
        connections = [self.connect() for _ in range(170)]
        self.logged("too many connections")
        refused, deadline = set(), time.monotonic() + DEADLINE_S
        while len(refused) < 20:
            self.assertLess(time.monotonic(), deadline, "more are let in than may be")
            refused |= {connection for connection in connections if connection not in refused and self.is_ended(connection)}
            time.sleep(0.05)
        for connection in connections:
            connection.close()
        while not self.head(f"GET /healthz HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"):
            self.assertLess(time.monotonic(), deadline, "nobody is let in any more")

    @staticmethod
    def is_ended(connection):
        connection.setblocking(False)
        try:
            return connection.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def test_json(self):
        """Texts that are large, deep or no text at all."""
        admin = self.socket(signed_in=True)
        for text in ("[" * 100000, '{"a":' * 50000 + "1" + "}" * 50000, '{"jsonrpc":"2.0","id":1,"method":"x","params":' + "[" * 5000 + "]" * 5000 + "}",
                     "1e999999", '"' + "\\u0000" * 1000 + '"', "{}" * 1000, "[" + "{}," * 50000 + "{}]", '{"jsonrpc":"2.0","id":1e400,"method":"x"}'):
            admin.send(text)
        self.assertEqual(admin.call("system.getVersion")["result"], "0.1")
        deep = json.loads("[" * 900 + "]" * 900)
        for params in ({"filter": {"a": deep}}, {"filter": "(" * 5000}, {"filter": "!" * 20000}, {"limit": 1e308}, {"filter": "\0"}):
            self.assertIn("error" if "limit" not in params else "result", admin.call("xo.getAllObjects", params), str(params)[:60])
        stranger = self.socket()
        self.closed_with(stranger, self.frame(1, b" " * 70000), 1009)
        self.closed_with(admin, self.frame(1, b"x" * 10, n=1 << 40), 1009)
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b'{"jsonrpc":"2.0","id":1,"method":"\xe2\x82"}'):
            self.closed_with(self.socket(), self.frame(1, bad), 1007)

    def test_frames(self):
        """Frames that no client sends: the connection ends, and nothing else does."""
        for data in (self.frame(1, b"{}", masked=False), self.frame(1, b"{}", rsv=4), self.frame(0, b"x"), self.frame(3, b""),
                     self.frame(9, b"x", fin=False), self.frame(9, b"x" * 126), self.frame(1, b"a", fin=False) + self.frame(1, b"b")):
            self.closed_with(self.socket(), data, 1002, None)
        self.closed_with(self.socket(), self.frame(2, b"x"), 1003)
        self.closed_with(self.socket(), self.frame(1, b"{", fin=False) + self.frame(0, b"", fin=False) * 5000, 1009)
        self.logged("too many fragments")
        # A compressed text of 64 MiB in 64 KiB: compression was not agreed on.
        bomb = zlib.compress(bytes(64 << 20))[2:-4]
        self.closed_with(self.socket(), self.frame(1, bomb[:60000], rsv=4), 1002)
        pings = self.socket()
        for _ in range(300):
            pings.socket.sendall(self.frame(9, b"x" * 125))
        self.assertEqual(pings.call("system.getVersion")["result"], "0.1")

    def test_handshake(self):
        key = base64.b64encode(os.urandom(16)).decode()
        good = f"GET /api/ HTTP/1.1\r\n{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        answer = self.head(good + f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))
        self.assertNotIn(b"permessage-deflate", answer)
        for bad in (good + "\r\n", good + "Sec-WebSocket-Key: short\r\n\r\n", good + f"Sec-WebSocket-Key: {key}\r\nContent-Length: 5\r\n\r\nhello",
                    good.replace("Version: 13", "Version: 8") + f"Sec-WebSocket-Key: {key}\r\n\r\n"):
            self.assertIn(self.head(bad).split()[1], (b"400", b"426"))

    def head(self, text):
        connection, answer = self.connect(), b""
        connection.sendall(text.encode())
        while b"\r\n\r\n" not in answer and (part := connection.recv(4096)):
            answer += part
        connection.close()
        return answer

    def test_origin(self):
        """A page from elsewhere cannot open a WebSocket; ours, and one that the server was told of, can."""
        for origin, status in ((None, b"101"), (self.server.url, b"101"), ("https://ui.example.org", b"101"),
                               ("https://evil.example.org", b"403"), ("null", b"403"), (f"http://127.0.0.1:{self.port}1", b"403"),
                               (f"http://127.0.0.1:{self.port}.evil.org", b"403")):
            key = base64.b64encode(os.urandom(16)).decode()
            head = self.head(f"GET /api/ HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n" + (f"Origin: {origin}\r\n" if origin else "") + "\r\n")
            self.assertEqual(head.split()[1], status, origin)
        self.logged("evil.example.org")

    def test_forwarding(self):
        """Nobody is trusted to say for whom it speaks."""
        self.assertEqual(self.head(f"GET /api/ HTTP/1.1\r\n{HOST}X-Forwarded-For: 203.0.113.7\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                   f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n").split()[1], b"101")
        self.assertEqual({each["user_ip"] for each in self.server.call("api.getConnections")}, {"127.0.0.1"})

    def test_trusted_proxy(self):
        """Once a proxy is trusted, it says for whom it speaks, and nobody behind it can."""
        server = Server(options=["--trusted-proxy", "127.0.0.1"])
        self.addCleanup(server.stop)
        for told, seen in (("203.0.113.7", "203.0.113.7"), ("198.51.100.1, 203.0.113.8", "203.0.113.8"), ("nonsense", "127.0.0.1")):
            behind = WebSocket(server.url, **{"X-Forwarded-For": told})
            self.addCleanup(behind.close)
            self.assertIn("result", behind.call("session.signIn", {"token": server.env["CADENZA_TOKEN"]}))
            self.assertIn(seen, {each["user_ip"] for each in server.call("api.getConnections")}, told)

    def test_bodies(self):
        """Bodies have a bound, and what is in them: one that is longer, or deeper, is not read to its end."""
        cookie = f"Cookie: token={self.server.env['CADENZA_TOKEN']}\r\n"
        small = Server(options=["--limit", "body-bytes=1000"])
        self.addCleanup(small.stop)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(small.url + "/auth/login", data=b" " * 1001), timeout=30)
        self.assertEqual(caught.exception.code, 413)
        for body in (b'{"name":"' + b"x" * (2 << 20) + b'"}', b'{"name":' + b"[" * 100000 + b"]" * 100000 + b"}", b"[" * 5000, b"\xff", b"1"):
            found = self.ask(f"POST /rest/v0/groups HTTP/1.1\r\n{HOST}{cookie}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            self.assertRegex(found[:12], rb"HTTP/1\.1 4(00|13|22)", body[:20])

    def test_guessing(self):
        """Who guesses tokens and passwords is slowed down, told in the log; who knows the password gets in all the while."""
        self.socket(signed_in=True)  # the owner has been here before
        guesser, words = self.socket(), []
        for number in range(50):
            guesser.ask("session.signIn", {"token": base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")})
            words.append(guesser.answer()["error"])
        self.assertEqual({word["code"] for word in words[:20]}, {3})
        self.assertIn("too fast", words[-1]["message"])
        self.assertIn("result", self.socket().call("session.signIn", {"token": self.server.env["CADENZA_TOKEN"]}))
        for name in ("root", "admin", "someone"):
            self.assertIn("error", guesser.call("session.signIn", {"email": name, "password": "guess"}))
        self.socket(signed_in=True)
        for path in ("/api/" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="), "/api/x", "/api/" + "A" * 43):
            self.assertEqual(self.statuses(f"GET {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"), [404])
        for token in ("", "x", "a" * 100000, "\0", "' OR 1=1 --", "%00", "../tokens"):
            self.assertIn("error", self.socket().call("session.signIn", {"token": token[:60000]}))
        self.logged("from 127.0.0.1")

    def test_stalled(self):
        """A client that asks and does not read is dropped, and what was waiting for it is forgotten."""
        stalled = self.socket(signed_in=True)
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(5):
            for _ in range(200):
                stalled.ask("system.getMethodsInfo")
            time.sleep(0.3)
        deadline = time.monotonic() + DEADLINE_S
        while len(self.server.call("api.getConnections")) > 1:
            self.assertLess(time.monotonic(), deadline, "a client that does not read is still connected")
            time.sleep(0.2)

    def test_inflation(self):
        """A configuration that grows a thousandfold in unpacking is given up at its limit."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + block * 3000 + b"\x03\0" + bytes(8)
        path = self.server.call("xo.importConfig")["$sendTo"]
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(self.server.url + path, data=bomb, method="POST"), timeout=60)
        self.assertGreaterEqual(caught.exception.code, 400)


class Tls(unittest.TestCase):
    """The server with its own certificate."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        other = Program("cadenzad", "--data", cls.folder / "other", "--listen", "127.0.0.1:0")
        other.stop()
        cls.server = Program("cadenzad", "--data", cls.folder / "data", "--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1",
                             log=cls.folder / "server.log")
        cls.addClassCleanup(cls.server.stop)
        cls.port = urllib.parse.urlsplit(cls.server.ready["url"]).port

    def certificate(self, version=ssl.TLSVersion.TLSv1_2):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain, context.wrap_socket(plain) as wrapped:
            return wrapped.getpeercert(binary_form=True), wrapped.version()

    def test_versions(self):
        self.assertEqual(self.certificate()[1], "TLSv1.2")
        self.assertEqual(self.certificate(ssl.TLSVersion.TLSv1_3)[1], "TLSv1.3")
        for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.certificate(old)

    def test_plain_words(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                answer = plain.recv(4096)
            except ConnectionError:
                answer = b""
        self.assertNotIn(b"HTTP/1.1 200", answer)

    def test_renewal(self):
        """A renewed certificate is seen without being told; one that does not fit its key changes nothing."""
        first, other = self.certificate()[0], self.folder / "other"
        data = self.folder / "data"
        for name in ("key.pem", "certificate.pem"):
            shutil.copy(other / name, data / (name + ".new"))
            os.rename(data / (name + ".new"), data / name)
        deadline = time.monotonic() + DEADLINE_S
        while self.certificate()[0] == first:
            self.assertLess(time.monotonic(), deadline, "the new certificate is not used")
            time.sleep(0.2)
        second = self.certificate()[0]
        (data / "certificate.pem").write_text("no certificate")
        self.server.process.send_signal(1)
        while "the old certificate stays" not in (self.folder / "server.log").read_text():
            self.assertLess(time.monotonic(), deadline, "nobody says that the file is no certificate")
            time.sleep(0.05)
        self.assertEqual(self.certificate()[0], second)


if __name__ == "__main__":
    unittest.main()
