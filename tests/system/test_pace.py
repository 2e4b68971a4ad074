"""How many calls a second are taken: a client in a loop is told to come back later, others are not held up; five hundred
polls at once, as Terraform sends them, are all answered."""
import http.client
import pathlib
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, until  # noqa: E402
from websocket import WebSocket  # noqa: E402

PER_USER, PER_ADDRESS, BURST_S = 5, 15, 10
DEADLINE_S = 60


class Pace(unittest.TestCase):
    def serve(self, *options):
        server = Server(options=options)
        self.addCleanup(server.stop)
        return server, server.env["CADENZA_TOKEN"]

    def rest(self, server, token, source="127.0.0.1"):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=DEADLINE_S,
                                                source_address=(source, 0))
        self.addCleanup(connection.close)
        connection.request("GET", "/rest/v0/vms", headers={"Cookie": f"authenticationToken={token}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def socket(self, server, token=None, source="127.0.0.1"):
        socket = WebSocket(server.url, source=source)
        self.addCleanup(socket.close)
        if token:
            self.assertIn("result", socket.call("session.signInWithToken", {"token": token}))
        return socket

    def test_loop(self):
        server, token = self.serve("--limit", f"calls-per-user={PER_USER}", "--limit", f"calls-per-address={PER_ADDRESS}")
        socket, other = self.socket(server, token), self.socket(server, source="127.0.0.2")
        n_sent = 0
        refused = None
        while not refused:
            self.assertLess(n_sent, 100 * PER_USER * BURST_S, "nothing is refused")
            for _ in range(100):
                socket.ask("system.getServerVersion")
                n_sent += 1
            refused = next((answer["error"] for answer in [socket.answer() for _ in range(100)] if "error" in answer), None)
        self.assertEqual((refused["code"], refused["data"]), (28, {"retryAfter": 1}))
        self.assertRegex(refused["message"], "^too many calls: a (user|connection) may make 5 a second; try again in 1 s$")
        self.assertIn("result", other.call("system.getServerVersion"))  # nobody, from elsewhere
        until(lambda: "result" in socket.call("system.getServerVersion"), "the loop's owner is served again")

    def test_rest(self):
        server, token = self.serve("--limit", f"calls-per-user={PER_USER}", "--limit", f"calls-per-address={PER_ADDRESS}")
        status, n_sent = 200, 0
        while status == 200:
            self.assertLess(n_sent, 20 * PER_USER * BURST_S, "nothing is refused")
            status, headers, body = self.rest(server, token)
            n_sent += 1
        self.assertEqual((status, headers["Retry-After"]), (429, "1"))
        self.assertIn(b'"error":"too many calls: a', body)
        until(lambda: self.rest(server, token)[0] == 200, "it is served again")

    def test_default(self):
        server, token = self.serve()
        sockets = [self.socket(server, token) for _ in range(10)]
        for socket in sockets:
            for _ in range(50):
                socket.ask("session.getUser")
        answers = [socket.answer() for socket in sockets for _ in range(50)]
        self.assertEqual([answer for answer in answers if "error" in answer], [])


if __name__ == "__main__":
    unittest.main()
