"""Compressed WebSockets (RFC 7692): only when the server was told so and the client offers it; a small message that becomes
a huge one is refused, and the server goes on."""
import json
import pathlib
import sys
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server  # noqa: E402
from websocket import Closed, WebSocket  # noqa: E402

OFFER = "permessage-deflate; client_max_window_bits"
RSV1_TEXT = 0x41


def deflated(text):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Deflate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(options=["--websocket-deflate"])
        cls.addClassCleanup(cls.server.stop)

    def socket(self, offer=OFFER, server=None):
        socket = WebSocket((server or self.server).url, **({"Sec-WebSocket-Extensions": offer} if offer else {}))
        self.addCleanup(socket.close)
        self.assertEqual(socket.status, 101)
        return socket

    def call(self, socket, method, params=None, pack=deflated):
        message = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}).encode()
        socket.send(pack(message), RSV1_TEXT)
        return json.loads(socket.receive())

    def test_both_ways(self):
        socket = self.socket()
        self.assertIn("\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                      socket.head)
        self.assertIn("result", self.call(socket, "system.getServerVersion"))
        answer = self.call(socket, "system.getMethodsInfo")
        self.assertIn("vm.start", answer["result"])
        self.assertLess(socket.n_received, len(json.dumps(answer)) / 3)
        self.assertIn("result", socket.call("system.getServerVersion"))  # and one that is not compressed

    def test_not_agreed(self):
        plain = self.socket(offer=None)
        self.assertNotIn("Extensions", plain.head)
        foreign = self.socket(offer="permessage-deflate; unknown=1, x-other")
        self.assertNotIn("Extensions", foreign.head)
        quiet = Server()
        self.addCleanup(quiet.stop)
        socket = self.socket(server=quiet)
        self.assertNotIn("Extensions", socket.head)
        self.assertIn("result", socket.call("system.getMethodsInfo"))
        with self.assertRaises(Closed):
            self.call(socket, "system.getServerVersion")

    def test_bomb(self):
        bomb = self.socket()
        bomb.send(deflated(b'{"id":1,"method":"x","params":["' + b"a" * (64 << 20) + b'"]}'), RSV1_TEXT)
        with self.assertRaises(Closed) as closed:
            bomb.receive()
        self.assertEqual(closed.exception.code, 1009)
        self.assertIn("result", self.call(self.socket(), "system.getServerVersion"))

    def test_wrong(self):
        for message, code in ((b"\xff\xff\xff", 1002), (deflated(b'{"id":1,"method":"\xff"}'), 1007)):
            socket = self.socket()
            socket.send(message, RSV1_TEXT)
            with self.assertRaises(Closed) as closed:
                socket.receive()
            self.assertEqual(closed.exception.code, code)


if __name__ == "__main__":
    unittest.main()
