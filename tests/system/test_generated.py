"""Calls that nobody wrote: made from the method table, right and wrong, over a simulated pool. No answer is an internal
error, nothing crashes, and whoever is refused a parameter is told which one. The short run is always the same, the full one
draws a seed and prints it; CADENZA_SEED sets it."""
import json
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, Sim  # noqa: E402
from websocket import WebSocket  # noqa: E402

FULL = bool(os.environ.get("CADENZA_FULL"))
SEED = int(os.environ.get("CADENZA_SEED", random.SystemRandom().randrange(1 << 32) if FULL else 20261122))
N_CALLS = int(os.environ.get("CADENZA_CALLS", 20000 if FULL else 1500))
N_SOCKETS, IN_FLIGHT = 4, 8
# They would end the test itself: its sign-in, its connections, its pool; or wait for what never comes.
LEFT_OUT = {"session.signOut", "api.closeAllConnections", "session.signIn", "session.signInWithPassword", "session.signInWithToken",
            "host.restart", "host.stop", "host.emergencyShutdownHost", "host.detach", "host.forget", "pool.emergencyShutdown", "pool.mergeInto",
            "pool.rollingReboot", "pool.rollingUpdate", "pool.setPoolMaster"}
# Only with ids that are nobody's.
UNKNOWN_ONLY = {"server", "user", "token"}
# How long to wait for a guest that does not listen: what is asked for is done.
WAITS = {"forceShutdownDelay"}
WORDS_OF_XO = {"clean shutdown requires PV drivers", "a user cannot delete itself", "this properties can only changed by an administrator"}
TEXTS = ["x", "a name", "", " ", "é漢😀", "x" * 300, "x" * 5000, "../../etc/passwd", "%s%n%d", "'; DROP TABLE users; --", "<b>", "\n\r\t", "\u0000",
         "\u202e", "0", "-1", "1e309", "true", "null", "{}", "[]", "__proto__", "constructor", "*", "* * * * *", "0 3 * * 6", "10 GiB", "-5 MB", "1 EiB",
         "UTC", "Europe/Paris", "admin", "viewer", "view", "OpaqueRef:NULL", "11111111-2222-4333-8444-555555555555", "name_label:x", "(", "/(/", "!",
         "http://127.0.0.1:1/x", "smb://u:p@h\\x", "s3://a:b@127.0.0.1:1/c/d", "nfs://127.0.0.1:/nowhere-at-all", "#ff0000", "2026-11-22T00:00:00Z"]
NUMBERS = [0, 1, -1, 2, 3, 10, 100, 4096, 65536, 1 << 31, -(1 << 31), (1 << 53), 1 << 62, -(1 << 63), 0.5, -0.0, 1e-9, 1e18, 1e308, -1e308]


class Generator:
    def __init__(self, seed, infos, objects, others):
        self.random = random.Random(seed)
        self.infos = {name: info for name, info in infos.items() if name not in LEFT_OUT}
        self.names = sorted(self.infos)
        self.objects, self.others = objects, others  # type → ids; ids of records

    def value(self, type_, depth=0):
        pick = self.random
        if type_ == "string":
            return pick.choice(TEXTS) if pick.random() < 0.7 else self.id()
        if type_ in ("number", "integer"):
            return pick.choice([n for n in NUMBERS if type_ == "number" or n == int(n)])
        if type_ == "boolean":
            return pick.random() < 0.5
        if type_ == "null":
            return None
        if type_ == "array":
            return [self.any(depth + 1) for _ in range(pick.choice([0, 1, 1, 2, 5]))]
        names = ["id", "__or", "__and", "__not", "", "type", "tags", "name_label", "concurrency", "exportRetention", "cron", "retention", "x" * 50, "a\nb"]
        return {pick.choice(names): self.any(depth + 1) for _ in range(pick.choice([0, 1, 1, 2, 4]))}

    def any(self, depth=0):
        kinds = ["string", "number", "integer", "boolean", "null"] + (["array", "object"] if depth < 4 else [])
        return self.value(self.random.choice(kinds), depth)

    def id(self):
        pick = self.random
        return pick.choice(pick.choice(sorted(self.objects.items()))[1]) if pick.random() < 0.8 or not self.others else pick.choice(self.others)

    def right(self, name, param, schema):
        """A value of the kind that the schema wants."""
        if param in WAITS:
            return self.random.choice([0, 1, 50])
        pick = self.random
        space = name.split(".")[0]
        if "resolve" in schema:
            types = [type_ for type_ in schema["resolve"]["types"] if type_ in self.objects]
            return pick.choice(self.objects[pick.choice(types)]) if types and pick.random() < 0.9 else self.id()
        if "enum" in schema:
            return pick.choice(schema["enum"])
        types = schema.get("type", ["string", "number", "object"])
        type_ = types if isinstance(types, str) else pick.choice(types or ["string"])
        if type_ == "string" and space in UNKNOWN_ONLY:
            return pick.choice([text for text in TEXTS if "://" not in text])
        if type_ == "array" and isinstance(schema.get("items", {}).get("type"), str):
            return [self.value(schema["items"]["type"]) for _ in range(pick.choice([0, 1, 2]))]
        return self.value(type_)

    def call(self):
        pick, name = self.random, self.random.choice(self.names)
        schema, params = self.infos[name]["params"], {}
        for param, each in schema.items():
            optional = each.get("optional") or "default" in each
            if param != "*" and pick.random() < (0.4 if optional else 0.95):
                params[param] = self.right(name, param, each) if param in WAITS or pick.random() < 0.9 else self.any()
        if name.split(".")[0] in UNKNOWN_ONLY and params.get("pattern") is not None:
            params["pattern"] = {"id": "nobody"}
        if pick.random() < 0.05:
            params[pick.choice(["surplus", "id?", "_log", "x" * 200, "é"])] = self.any()
        return name, params


@unittest.skipIf(os.environ.get("CADENZA_MUTANT"), "looks for what nobody knows")
class Generated(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-generated-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sim = Sim("--hosts", 2, "--vms", 12 if not FULL else 60, "--running", "0.5", "--disk-size", "4MiB", "--boot-delay", "0.01", "--seed", SEED % 1000)
        self.addCleanup(self.sim.stop)
        self.log = self.folder / "server.log"
        self.server = Server(str(self.folder / "data"), log=self.log)
        self.addCleanup(lambda: self.server.alive() and self.server.stop())
        self.server.connect(self.sim)
        self.server.call("remote.create", name="a repository", url=f"file://{self.folder}/repository")
        self.server.call("group.create", name="a group")
        objects, others = {}, []
        for each in self.server.objects():
            objects.setdefault(each["type"], []).append(each["id"])
        for method in ("remote.getAll", "group.getAll"):
            others += [each["id"] for each in self.server.call(method)]
        self.generator = Generator(SEED, self.server.call("system.getMethodsInfo"), objects, others)

    def sockets(self):
        made = [WebSocket(self.server.url) for _ in range(N_SOCKETS)]
        for socket in made:
            self.addCleanup(socket.close)
            self.assertIn("result", socket.call("session.signIn", {"email": self.server.user, "password": self.server.password}))
        return made

    def test_calls(self):
        print(f"seed {SEED}, {N_CALLS} calls of {len(self.generator.names)} methods", file=sys.stderr)
        sockets, asked, codes, slow = self.sockets(), {}, {}, []
        open_ = [0] * len(sockets)
        for number in range(N_CALLS):
            turn = number % len(sockets)
            name, params = self.generator.call()
            asked[turn, sockets[turn].ask(name, params)] = name, params, time.monotonic()
            open_[turn] += 1
            while open_[turn] >= IN_FLIGHT:
                self.take(sockets[turn], turn, asked, codes, slow)
                open_[turn] -= 1
        for turn, socket in enumerate(sockets):
            while open_[turn]:
                self.take(socket, turn, asked, codes, slow)
                open_[turn] -= 1
        slow.sort(reverse=True)
        print(f"codes: {dict(sorted(codes.items(), key=str))}, slowest: {[(round(s, 1), name) for s, name in slow[:4]]}", file=sys.stderr)
        self.assertGreater(codes.get("done", 0), N_CALLS // 50)
        self.assertTrue(self.server.alive())
        self.assertEqual(self.server.stop(), 0, self.log.read_text()[-3000:])
        words = self.log.read_text(errors="replace")
        for bad in ("runtime error", "AddressSanitizer", "CRITICAL", "Assertion", "internal error"):
            self.assertNotIn(bad, words)

    def take(self, socket, turn, asked, codes, slow):
        answer = socket.answer(90)
        name, params, started = asked.pop((turn, answer["id"]))
        slow.append((time.monotonic() - started, name))
        error = answer.get("error")
        codes[error["code"] if error else "done"] = codes.get(error["code"] if error else "done", 0) + 1
        if error:
            self.check(name, params, error)

    def check(self, name, params, error):
        told = f"{name} {json.dumps(params)[:600]}\n→ {json.dumps(error)[:600]}"
        self.assertIsInstance(error.get("message"), str, told)
        self.assertTrue(error["message"], told)
        data = error.get("data") if isinstance(error.get("data"), dict) else {}
        self.assertNotEqual(data.get("code"), "INTERNAL", told)
        self.assertNotIn("unknown error", error["message"], told)
        if error["code"] == 10 and "errors" in data:
            for each in data["errors"]:
                named = each["instancePath"].strip("/") or each["params"].get("missingProperty") or each["params"].get("additionalProperty")
                self.assertIsNotNone(named, told)
        elif error["code"] == 10:
            self.assertTrue(self.is_named(name, params, error["message"]), told)

    def is_named(self, name, params, message):
        """Words of XO about a state; else the parameter, a path in it, or the value that was wrong."""
        names = [*self.generator.infos[name]["params"], *params]
        values = [str(value)[:20] for value in [*params.values(), *(each for value in params.values() if isinstance(value, list) for each in value)]]
        return (message in WORDS_OF_XO or re.match(r"[\w.\[\]/]+: ", message)
                or any(re.search(rf"\b{re.escape(each)}\b", message) for each in names) or any(value and value in message for value in values))


if __name__ == "__main__":
    unittest.main()
