"""The API from outside: the frames and answers that a real Xen Orchestra gave, sign-in, permissions, objects,
notifications, power, servers, the command line; each against cadenzad and a simulated pool."""
import json
import os
import pathlib
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, Server, Sim, program, until  # noqa: E402
from websocket import Closed, WebSocket  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", ROOT.parent / "shared/fixtures/xo")) / "rpc"
NOWHERE = "11111111-2222-4333-8444-555555555555"


def recorded(name):
    path = FIXTURES / f"{name}.json"
    if not path.exists():
        raise unittest.SkipTest(f"no recorded exchanges in {FIXTURES}")
    return json.loads(path.read_text())


class Box(unittest.TestCase):
    """One pool and one server for all tests of a class."""
    SIM = ("--hosts", 2, "--vms", 4, "--running", "0.5", "--boot-delay", "0.3", "--disk-size", "64MiB", "--seed", 3)
    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-api-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.sim = Sim(*cls.SIM, log=cls.folder / "sim.log")
        cls.addClassCleanup(cls.sim.stop)
        cls.server = Server(str(cls.folder / "data"), cls.OPTIONS, log=cls.folder / "server.log")
        cls.addClassCleanup(cls.stop_server)
        cls.pool = cls.server.connect(cls.sim)

    @classmethod
    def stop_server(cls):
        if cls.server.stop() != 0:
            raise AssertionError(f"the server ended badly: {(cls.folder / 'server.log').read_text()[-3000:]}")

    def socket(self, user=None, password=None):
        """A WebSocket, signed in when a user is given."""
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        if user:
            self.assertIn("result", socket.call("session.signIn", {"email": user, "password": password}))
        return socket

    def admin(self):
        return self.socket(self.server.user, self.server.password)

    def refused(self, code, method, **params):
        with self.assertRaises(Refused) as caught:
            self.server.call(method, **params)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        return caught.exception

    def vm(self, state):
        return next(vm for vm in self.server.objects(type="VM") if vm["power_state"] == state)

    def state_of(self, vm):
        return self.server.call("xo.getAllObjects", filter={"id": vm})[vm]["power_state"]


class Wire(Box):
    def test_frames(self):
        """Raw frames as XO got and answered them; only batches are better here."""
        socket = self.admin()
        frames = recorded("_frames")["frames"]
        for frame in frames:
            if frame["sent"].startswith("["):
                continue
            socket.send(frame["sent"])
            for received in frame["received"]:
                self.assertEqual(json.loads(received), json.loads(socket.receive_answer()), frame["sent"])
        for frame in frames:
            if frame["sent"].startswith("["):
                socket.send(frame["sent"])
        answers = json.loads(socket.receive_answer())
        self.assertEqual([answer["id"] for answer in answers], [2, 3])
        self.assertEqual(answers[1]["error"]["code"], -32601)
        self.assertEqual(socket.call("system.getVersion")["result"], "0.1")

    def test_before_sign_in(self):
        socket = self.socket()
        for name in ("getAllObjects", "getServerTimezone", "getUser", "getVersion", "unknown-method", "methodSignature"):
            case = recorded(f"not-signed-in.{name}")
            got = socket.call(case["method"], case["params"])
            self.same_error(case, got) if "error" in case else self.same_shape(case["result"], got["result"], name)

    def same_error(self, case, got):
        want, have = dict(case["error"]), dict(got["error"])
        for error in (want, have):
            if error["code"] == -32000:
                error.pop("data", None)
        self.assertEqual(have, want, case["method"])

    def same_shape(self, want, have, where):
        """Every key of XO's answer is in ours, with the same kind of value."""
        kind = (int, float) if isinstance(want, (int, float)) and not isinstance(want, bool) else type(want)
        self.assertIsInstance(have, kind, where)
        if isinstance(want, dict):
            for key in want:
                self.assertIn(key, have, where)
                self.same_shape(want[key], have[key], f"{where}.{key}")

    def test_sign_in(self):
        socket = self.socket()
        for name in ("bad-token", "no-params", "wrong-password"):
            case = recorded(f"signIn.{name}")
            self.same_error(case, socket.call("session.signIn", case["params"]))
        good = socket.call("session.signIn", {"username": self.server.user, "password": self.server.password})["result"]
        self.same_shape(recorded("signIn")["result"], good, "signIn")
        self.assertEqual(socket.call("session.getUser")["result"], good)
        token = socket.call("token.create", {"description": "a test", "expiresIn": "1 day"})["result"]
        too_long = socket.call("token.create", recorded("token.create.too-long")["params"])
        self.assertIn("3 years", too_long["error"]["message"])
        self.assertIs(socket.call("session.signOut")["result"], True)
        self.same_error(recorded("after-signOut.getUser"), socket.call("session.getUser"))
        self.assertEqual(socket.call("session.signIn", {"token": token})["result"], good)
        self.assertIs(socket.call("token.delete", {"tokens": [token]})["result"], True)
        self.assertEqual(self.socket().call("session.signIn", {"token": token})["error"]["code"], 3)
        with self.assertRaises(Closed):  # what a deleted token has opened
            socket.call("session.getUser")

    def test_too_fast(self):
        socket = self.socket()
        first, second = (socket.call("session.signIn", {"email": "hasty", "password": "wrong"}) for _ in range(2))
        self.assertEqual(first["error"]["code"], 3)
        self.assertEqual(second["error"]["code"], -32000)
        self.assertIn("too fast", second["error"]["message"])

    def test_wrong_calls(self):
        """XO's errors, word for word, with its objects replaced by ours."""
        vm, sr = self.vm("Running")["id"], self.server.objects(type="SR")[0]["id"]
        socket = self.admin()
        for name, old in (("missing-param", {}), ("wrong-type", {}), ("unknown-id", {}), ("unknown-method", {}),
                          ("unknown-param", {"1cc62ff4-f5c3-44d7-a0ce-513fda1d1168": vm}),
                          ("id-of-another-type", {"0a292df0-7a41-4d63-a8a0-e87a96044c72": sr})):
            text = json.dumps(recorded(f"error.{name}"))
            for theirs, ours in old.items():
                text = text.replace(theirs, ours)
            case = json.loads(text)
            self.same_error(case, socket.call(case["method"], case["params"]))

    def test_records(self):
        """Answers about records have XO's keys."""
        socket = self.admin()
        for name in ("server.getAll", "acl.getCurrentPermissions", "backupNg.getSuggestedExcludedTags", "schedule.getAll",
                     "system.getServerTimezone", "api.getConnections"):
            case = recorded(name)
            result = socket.call(case["method"], case["params"])["result"]
            self.assertIsInstance(result, type(case["result"]), name)
            if name == "server.getAll":
                self.same_shape(dict(case["result"][0], label="", poolMembersAddresses=[]), result[0], name)
        for name in ("backupNg.getJob.unknown", "remote.get.unknown", "remote.create.xo-vm-backups",
                     "remote.create.key-without-directory", "user.create.duplicate"):
            case = recorded(name)
            self.same_error(case, socket.call(case["method"], case["params"]))
        created = socket.call("remote.create", {"name": "temporary", "url": f"file://{self.folder}/remote"})["result"]
        self.same_shape(recorded("remote.create")["result"], created, "remote.create")
        self.assertIs(socket.call("remote.set", {"id": created["id"], "name": "renamed", "enabled": False})["result"], True)
        self.assertEqual(socket.call("remote.get", {"id": created["id"]})["result"]["name"], "renamed")
        self.assertIs(socket.call("remote.delete", {"id": created["id"]})["result"], True)
        self.assertEqual(socket.call("backupNg.listVmBackups", {"remotes": [NOWHERE]})["result"], {NOWHERE: None})

    def test_secrets(self):
        """Passwords are not shown, and sealed on disk; what cannot be kept secret yet is refused without repeating it."""
        url = f"file://{self.folder}/secret?useVhdDirectory=true&encryptionKey=%22key-of-thirty-two-characters-abc%22"
        with self.assertRaises(Refused) as caught:
            self.server.call("remote.create", name="secret", url=url)
        self.assertIn("encryptionKey", caught.exception.message)
        self.assertNotIn("thirty-two", json.dumps(caught.exception.data) + caught.exception.message)
        id_ = self.server.call("server.add", host="http://127.0.0.1:1", username="root", password="of-the-pool-4711",
                               autoConnect=False)
        self.assertNotIn("of-the-pool-4711", json.dumps(self.server.call("server.getAll")))
        for path in (self.folder / "data").rglob("*"):
            if path.is_file():
                self.assertNotIn(b"of-the-pool-4711", path.read_bytes(), path)
        self.server.call("server.remove", id=id_)

    def test_methods_info(self):
        """What XO said of the methods that exist here, without the words that only we say."""
        ours = self.server.call("system.getMethodsInfo")
        theirs = recorded("system.getMethodsInfo")["result"]
        for name, info in theirs.items():
            if name not in ours or name.startswith("vm.create"):
                continue
            self.assertEqual(ours[name].get("permission", "none"), info.get("permission", "none"), name)
            for param, schema in info["params"].items():
                for key in ("type", "optional", "default"):
                    pair = (ours[name]["params"].get(param, {}).get(key), schema.get(key))
                    have, want = (set(value) if isinstance(value, list) else value for value in pair)
                    self.assertEqual(have, want, f"{name}.{param}")
        self.assertTrue(set(theirs) & set(ours))

    def test_completion_order(self):
        """A long call does not hold the others of its socket; more than there are quick threads do not either."""
        vm = self.vm("Running")["id"]
        self.sim.fault(kind="latency", method="VM.snapshot", ms=600000)
        try:
            socket = self.admin()
            slow = [socket.ask("vm.snapshot", {"id": vm, "name": f"slow {i}"}) for i in range(40)]
            quick = socket.ask("system.getVersion")
            self.assertEqual(socket.answer(15)["id"], quick)
        finally:
            self.sim.control("/sim/faults/clear", {})
        answers = [socket.answer(60) for _ in slow]
        self.assertEqual({answer["id"] for answer in answers}, set(slow))
        for answer in answers:
            if "result" in answer:
                self.server.call("vm.delete", id=answer["result"])

    def test_unwelcome_flood(self):  # the last: its address has to wait afterwards
        """Strangers who guess passwords by the hundred do not hold up those who are signed in."""
        admin, strangers = self.admin(), [WebSocket(self.server.url, source="127.0.0.8") for _ in range(8)]
        for number, stranger in enumerate(strangers):
            for guess in range(40):
                stranger.ask("session.signIn", {"email": f"guess-{number}-{guess}", "password": "wrong"})
        started = time.monotonic()
        self.assertEqual(admin.call("system.getVersion")["result"], "0.1")
        self.assertLess(time.monotonic() - started, 30)
        answers = [stranger.answer(60)["error"]["message"] for stranger in strangers for _ in range(40)]
        for stranger in strangers:
            stranger.close()
        self.assertTrue(any("too many calls" in answer for answer in answers))

    def test_http(self):
        with urllib.request.urlopen(self.server.url + "/healthz") as answer:
            self.assertEqual(json.loads(answer.read())["status"], "ok")
        for path, status in (("/nope", 404), ("/api/nope", 404), ("/api", 404), ("/api/", 426)):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(self.server.url + path)
            self.assertEqual(caught.exception.code, status, path)
        self.assertEqual(WebSocket(self.server.url, "/api").status, 404)


class Objects(Box):
    def test_filters(self):
        vms = self.server.call("xo.getAllObjects", filter={"type": "VM"})
        self.assertEqual(len(vms), 4)
        for id_, vm in vms.items():
            self.assertEqual((id_, "VM"), (vm["id"], vm["type"]))
        everything = self.server.call("xo.getAllObjects")
        self.assertTrue(set(vms) < set(everything))
        self.assertEqual(self.server.call("xo.getAllObjects", filter="type:/^VM$/ power_state:running").keys(),
                         {id_ for id_, vm in vms.items() if vm["power_state"] == "Running"})
        self.assertEqual(self.server.call("xo.getAllObjects", filter={"type": "VM", "name_label": "no such VM"}), {})
        self.assertEqual(len(self.server.call("xo.getAllObjects", limit=3)), 3)
        self.assertEqual(self.server.call("xo.getAllObjects", filter=""), everything)
        self.refused(10, "xo.getAllObjects", filter="(a")

    def test_lines(self):
        path = self.server.call("xo.getAllObjects", filter={"type": "VM"}, ndjson=True)["$getFrom"]
        with urllib.request.urlopen(self.server.url + path) as answer:
            ids = {json.loads(line)["id"] for line in answer}
        self.assertEqual(ids, set(self.server.call("xo.getAllObjects", filter={"type": "VM"})))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.server.url + path)
        self.assertEqual(caught.exception.code, 404)

    def test_notifications(self):
        """Everybody who is signed in hears of a change, in few messages; nobody else does."""
        vm = self.vm("Running")["id"]
        first, second, stranger = self.admin(), self.admin(), self.socket()
        self.server.call("vm.stop", id=vm, force=True)
        for socket in (first, second):
            heard = socket.hear(lambda all_: self.entered(all_).get(vm, {}).get("power_state") == "Halted")
            self.assertLess(len(heard), 100)
        snapshot = self.server.call("vm.snapshot", id=vm, name="to be deleted")
        heard = first.hear(lambda all_: snapshot in self.entered(all_))
        self.assertEqual(self.entered(heard)[snapshot]["type"], "VM-snapshot")
        self.server.call("vm.delete", id=snapshot)
        self.assertEqual(self.left(first.hear(lambda all_: snapshot in self.left(all_)))[snapshot], 0)
        self.assertEqual(stranger.listen(0.5), [])
        self.server.call("vm.start", id=vm)

    def test_notifications_by_rights(self):
        """Others than administrators hear of what they may see, and of no more; what they lose has left."""
        mine, other, last = [vm["id"] for vm in self.server.objects(type="VM")[:3]]
        names = ("one", "two", "none")
        people = [self.server.call("user.create", email=f"hears-{name}", password="a password") for name in names]
        for user in people:
            self.addCleanup(self.server.call, "user.delete", id=user)
            self.server.call("acl.add", subject=user, object=last, action="viewer")
        for user in people[:2]:
            self.server.call("acl.add", subject=user, object=mine, action="viewer")
        sockets = [self.socket(f"hears-{name}", "a password") for name in names]

        def told(socket, tag, enough):
            """What it hears of until it has heard of the last one, which everybody may see."""
            for vm in (mine, other, last):
                self.server.call("tag.add", id=vm, tag=tag)
                self.addCleanup(self.server.call, "tag.remove", id=vm, tag=tag)
            return socket.hear(lambda all_: tag in self.entered(all_).get(last, {}).get("tags", []) and enough(all_))
        for socket, wanted in zip(sockets, ({mine, last}, {mine, last}, {last})):
            tag = f"heard {len(wanted)} {id(socket)}"
            heard = self.entered(told(socket, tag, lambda all_, wanted=wanted: wanted <= set(self.entered(all_))))
            self.assertEqual(set(heard), wanted)
        snapshots = [self.server.call("vm.snapshot", id=vm, name="to be deleted") for vm in (mine, other)]
        for snapshot in snapshots:
            self.server.call("vm.delete", id=snapshot)
        heard = told(sockets[0], "after", lambda all_: snapshots[0] in self.left(all_))
        self.assertIn(snapshots[0], self.entered(heard))
        self.assertNotIn(snapshots[1], {**self.entered(heard), **self.left(heard)})
        heard = told(sockets[2], "at last", lambda all_: True)
        self.assertEqual({**self.entered(heard), **self.left(heard)}.keys(), {last})

    def test_unfiltered(self):
        """A setting shows everybody all objects, as XO does; what they may do is as before."""
        server = Server(options=["--all-objects-visible"])
        self.addCleanup(server.stop)
        server.connect(self.sim)
        server.call("user.create", email="sees-all", password="a password")
        vm, n_objects = server.objects(type="VM")[0]["id"], len(server.objects())
        socket = WebSocket(server.url)
        self.addCleanup(socket.close)
        self.assertIn("result", socket.call("session.signIn", {"email": "sees-all", "password": "a password"}))
        self.assertEqual(len(socket.call("xo.getAllObjects")["result"]), n_objects)
        self.assertEqual(socket.call("tag.add", {"id": vm, "tag": "seen by all"})["error"]["code"], 2)
        server.call("tag.add", id=vm, tag="seen by all")
        socket.hear(lambda all_: "seen by all" in self.entered(all_).get(vm, {}).get("tags", []))
        server.call("tag.remove", id=vm, tag="seen by all")

    def left(self, notifications):
        return {id_: value for message in notifications if message["params"]["type"] == "exit"
                for id_, value in message["params"]["items"].items()}

    def entered(self, notifications):
        items = {}
        for message in notifications:
            self.assertEqual((message["jsonrpc"], message["method"]), ("2.0", "all"))
            if message["params"]["type"] == "enter":
                items.update(message["params"]["items"])
        return items


class Power(Box):
    def test_power(self):
        """Each call is seen in the objects as soon as it answers."""
        vm = self.vm("Halted")["id"]
        for method, state in (("start", "Running"), ("pause", "Paused"), ("start", "Running")):
            self.assertIs(self.server.call(f"vm.{method}", vm=vm), True)
            self.assertEqual(self.state_of(vm), state, method)
        until(lambda: self.server.call("xo.getAllObjects", filter={"id": vm})[vm].get("pvDriversDetected"), "guest tools")
        for method, params, state in (("suspend", {}, "Suspended"), ("resume", {}, "Running"), ("pause", {}, "Paused"),
                                      ("resume", {}, "Running"), ("restart", {"force": True}, "Running"),
                                      ("stop", {"force": True}, "Halted")):
            self.assertIs(self.server.call(f"vm.{method}", id=vm, **params), True)
            self.assertEqual(self.state_of(vm), state, method)

    def test_wrong_state(self):
        running, halted = self.vm("Running")["id"], self.vm("Halted")["id"]
        for name, ours in (("vm.start.already-running", running), ("vm.stop.already-halted", halted)):
            case = recorded(name)
            error = self.refused(13, case["method"], id=ours)
            self.assertEqual(error.message, case["error"]["message"])
            self.assertEqual(error.data, dict(case["error"]["data"], objectId=ours))

    def test_blocked(self):
        vm = self.vm("Halted")
        xapi = self.sim.session()
        for operation in ("start", "destroy"):
            xapi.call("VM.add_to_blocked_operations", vm["_xapiRef"], operation, "not today")
        until(lambda: "destroy" in self.server.call("xo.getAllObjects", filter={"id": vm["id"]})[vm["id"]]["blockedOperations"],
              "the block")
        error = self.refused(5, "vm.start", id=vm["id"])
        self.assertEqual((error.message, error.data), ("forbidden operation: Start", {"operation": "Start", "reason": "not today"}))
        error = self.refused(5, "vm.delete", id=vm["id"])
        self.assertEqual(error.data, {"operation": "destroy is blocked: not today"})
        self.server.call("vm.start", id=vm["id"], force=True)
        self.server.call("vm.stop", id=vm["id"], force=True)
        still = self.server.call("xo.getAllObjects", filter={"id": vm["id"]})[vm["id"]]["blockedOperations"]
        self.assertEqual(still["start"], "not today")
        for operation in ("start", "destroy"):
            xapi.call("VM.remove_from_blocked_operations", vm["_xapiRef"], operation)

    def test_delete(self):
        """A VM goes with its snapshots and its own disks; a disk that another VM uses stays."""
        template = next(vm for vm in self.server.objects(type="VM") if vm["power_state"] == "Halted")
        xapi = self.sim.session()
        made = xapi.call("VM.clone", template["_xapiRef"], "to be deleted")
        uuid = xapi.call("VM.get_uuid", made)
        until(lambda: self.server.objects(id=uuid), "the clone")
        self.server.call("vm.snapshot", id=uuid, name="one")
        shared = next(vdi for vdi in (xapi.call("VBD.get_VDI", vbd) for vbd in xapi.call("VM.get_VBDs", made))
                      if vdi != "OpaqueRef:NULL")
        own = self.server.objects(type="VDI", _xapiRef=shared)[0]["id"]
        other = xapi.call("VM.clone", template["_xapiRef"], "another")
        vbd = dict(VM=other, VDI=shared, userdevice="9", bootable=False, mode="RO", type="Disk", unpluggable=True,
                   empty=False, other_config={}, qos_algorithm_type="", qos_algorithm_params={})
        xapi.call("VBD.create", vbd)
        self.assertIs(self.server.call("vm.delete", id=uuid), True)
        left = self.server.call("xo.getAllObjects")
        self.assertNotIn(uuid, left)
        self.assertFalse([o for o in left.values() if o.get("$snapshot_of") == uuid])
        self.assertIn(own, left)
        self.server.call("vm.delete", id=xapi.call("VM.get_uuid", other))
        self.assertNotIn(own, self.server.call("xo.getAllObjects"))

    def test_permissions(self):
        """The one check: nothing without a rule, then what the rule says, and no more."""
        vm, sr = self.vm("Running")["id"], self.server.objects(type="SR")[0]["id"]
        user = self.server.call("user.create", email="carol@example.org", password="a password")
        carol = self.socket("carol@example.org", "a password")
        case = recorded("not-admin.server.getAll")
        self.assertEqual(carol.call("server.getAll")["error"], case["error"])
        error = carol.call("vm.restart", {"id": vm, "force": True})["error"]
        self.assertEqual((error["code"], error["data"]), (2, {"permission": "operate", "object": {"id": vm}}))
        self.assertEqual(carol.call("xo.getAllObjects")["result"], {})
        self.server.call("acl.add", subject=user, object=vm, action="operator")
        self.assertIs(carol.call("vm.restart", {"id": vm, "force": True})["result"], True)
        self.assertEqual(carol.call("vm.delete", {"id": vm})["error"]["code"], 2)
        seen = carol.call("xo.getAllObjects")["result"]
        self.assertEqual({id_ for id_, each in seen.items() if each["type"] == "VM"}, {vm})
        self.assertEqual({each["$VM"] for each in seen.values() if each["type"] == "VIF"}, {vm})
        self.assertEqual({each["type"] for each in seen.values()} - {"VM", "VIF", "VBD", "VDI", "message"}, set())
        self.assertIn("VDI", {each["type"] for each in seen.values()})
        self.assertEqual(carol.call("acl.getCurrentPermissions")["result"], {vm: {"view": 1, "operate": 1}})
        self.assertEqual(carol.call("user.set", {"id": user, "permission": "admin"})["error"]["code"], 10)
        self.assertIs(self.server.call("acl.remove", subject=user, object=vm, action="operator"), True)
        self.assertEqual(carol.call("vm.restart", {"id": vm, "force": True})["error"]["code"], 2)
        self.assertIs(self.server.call("user.delete", id=user), True)
        self.assertEqual(carol.call("xo.getAllObjects")["error"]["code"], 2)


class Servers(Box):
    SIM = Box.SIM + ("--login-penalty", 0)

    def record(self, server):
        return next(record for record in self.server.call("server.getAll") if record["id"] == server)

    def second_sim(self, *more):
        sim = Sim("--hosts", 1, "--vms", 1, "--seed", 9, "--login-penalty", 0, *more, log=self.folder / "second.log")
        self.addCleanup(sim.stop)
        return sim

    def add(self, sim, **params):
        params = {"host": sim.url, "username": "root", "password": sim.password, **params}
        server = self.server.call("server.add", **params)
        self.addCleanup(self.server.call, "server.remove", id=server)
        return server

    def test_states(self):
        error = self.refused(25, "server.enable", id=self.pool)
        self.assertEqual(error.data, {"actual": "connected", "expected": "disconnected", "object": self.pool, "property": "status"})
        case = recorded("server.add.duplicate")
        error = self.refused(16, "server.add", **dict(case["params"], host=self.sim.url))
        self.assertEqual((error.message, error.data), (case["error"]["message"], case["error"]["data"]))
        self.refused(1, "server.enable", id=NOWHERE)
        self.assertIn("disconnect", self.refused(-32000, "server.set", id=self.pool, password="other").message)
        self.assertNotIn("password", self.record(self.pool))

    def test_wrong_password(self):
        server = self.add(self.second_sim(), password="guessed-7731", allowUnauthorized=True, autoConnect=False)
        self.refused(8, "server.enable", id=server)
        record = self.record(server)
        self.assertEqual((record["status"], record["error"]["code"]), ("disconnected", "BAD_LOGIN"))
        self.assertNotIn("guessed-7731", (self.folder / "server.log").read_text())

    def test_unreachable(self):
        server = self.server.call("server.add", host="http://127.0.0.1:1", username="root", password="x")
        self.addCleanup(self.server.call, "server.remove", id=server)
        record = until(lambda: self.record(server).get("error") and self.record(server), "the error")
        self.assertEqual(record["error"]["code"], "NETWORK")
        self.assertIn("127.0.0.1", record["error"]["message"])
        self.assertGreater(record["error"]["since"], 0)

    def test_certificate(self):
        """Nobody vouches for the certificate: the error shows its fingerprint, which can be pinned."""
        sim = self.second_sim()
        self.assertTrue(sim.url.startswith("https:"))
        server = self.add(sim)
        record = until(lambda: self.record(server).get("error") and self.record(server), "the refusal")
        self.assertEqual((record["status"], record["error"]["code"]), ("disconnected", "TLS"))
        fingerprint = record["error"]["fingerprint"]
        self.assertRegex(fingerprint, r"^([0-9a-f]{2}:){31}[0-9a-f]{2}$")
        self.server.call("server.set", id=server, fingerprint=fingerprint.replace(fingerprint[:2], "00", 1))
        with self.assertRaises(Refused):
            self.server.call("server.enable", id=server)
        self.server.call("server.set", id=server, fingerprint=fingerprint)
        self.assertIs(self.server.call("server.enable", id=server), True)
        self.assertEqual(self.record(server)["status"], "connected")

    def test_twin(self):
        """A pool is connected once, whichever of its hosts is named."""
        server = self.server.call("server.add", host=self.sim.plain_url, username="root",
                                  password=self.sim.password, autoConnect=False)
        self.addCleanup(self.server.call, "server.remove", id=server)
        with self.assertRaises(Refused) as caught:
            self.server.call("server.enable", id=server)
        self.assertIn("already connected", caught.exception.message)
        self.assertEqual(self.record(self.pool)["status"], "connected")

    def test_disable(self):
        """Objects leave with their pool, and come back with it."""
        sim = self.second_sim()
        server = self.add(sim, allowUnauthorized=True, autoConnect=False)
        self.server.call("server.enable", id=server)
        pool = self.record(server)["poolId"]
        vm = next(vm for vm in self.server.objects(type="VM") if vm["$pool"] == pool)
        socket = self.admin()
        self.assertIs(self.server.call("server.disable", id=server), True)
        socket.hear(lambda all_: any(message["params"]["type"] == "exit" and vm["id"] in message["params"]["items"] for message in all_))
        self.assertEqual(self.server.objects(id=vm["id"]), [])
        self.assertIs(self.server.call("server.enable", id=server), True)
        self.assertEqual(len(self.server.objects(id=vm["id"])), 1)
        self.server.call("server.set", id=server, readOnly=True)
        self.assertIn("read only", self.refused(2, "vm.snapshot", id=vm["id"]).message)

    def test_read_only(self):
        """From its first connection on."""
        server = self.add(self.second_sim(), allowUnauthorized=True, autoConnect=False, readOnly=True)
        self.server.call("server.enable", id=server)
        pool = self.record(server)["poolId"]
        vm = next(vm for vm in self.server.objects(type="VM") if vm["$pool"] == pool)
        self.assertIn("read only", self.refused(2, "vm.snapshot", id=vm["id"]).message)

    def test_restart(self):
        """Sessions, records and connections outlive the server; one at a time on a data folder."""
        server = Server(str(self.folder / "other"), log=self.folder / "other.log")
        try:
            sim = self.second_sim()
            pool = server.connect(sim)
            twin = subprocess.run([program("cadenzad"), "--data", server.data, "--insecure-http", "--listen", "127.0.0.1:0"],
                                  capture_output=True, text=True, timeout=60)
            self.assertNotEqual(twin.returncode, 0)
            self.assertIn(str(server.process.pid), twin.stderr)
            self.assertIn(server.data, twin.stderr)
            socket = WebSocket(server.url)
            self.assertEqual(server.stop(), 0)
            with self.assertRaises(Closed) as caught:
                socket.receive()
            self.assertEqual(caught.exception.code, 1012)
            old = server.env
            server = Server(server.data, log=self.folder / "other.log")
            server.env["CADENZA_TOKEN"] = old["CADENZA_TOKEN"]
            until(lambda: server.call("server.getAll")[0]["status"] == "connected", "the pool again")
            self.assertEqual(server.call("server.getAll")[0]["id"], pool)
        finally:
            server.stop()

    def test_options(self):
        """Passwords never travel in clear over a network, nor does a typing error start a server."""
        for words in (["--listen", "0.0.0.0:0", "--insecure-http"], ["--log-level", "loud"], ["nonsense"], ["--nonsense"]):
            run = subprocess.run([program("cadenzad"), "--data", str(self.folder / "never"), *words],
                                 capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 2, run.stderr)
        self.assertFalse((self.folder / "never").exists())


class Door(unittest.TestCase):
    """Starting: passwords, sockets, refusals."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-door-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / "data"

    def start(self, *words, **more):
        command = [program("cadenzad"), "--data", str(self.data), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
        self.addCleanup(self.end, process)
        line = process.stdout.readline()
        return process, json.loads(line) if line.strip() else None

    def end(self, process):
        process.terminate()
        said = process.communicate(timeout=60)
        return process.returncode, said[1]

    def signs_in(self, url, password):
        client = WebSocket(url)
        self.addCleanup(client.close)
        return "result" in client.call("session.signIn", {"email": "admin@admin.net", "password": password})

    def plain(self, *words):
        return self.start("--insecure-http", "--listen", "127.0.0.1:0", *words)

    def test_passwords(self):
        """Of a file; then a new one, made and told when asked for; the old one is no more."""
        (self.folder / "secret").write_text("of my own choice\n")
        process, ready = self.plain("--admin-password-file", str(self.folder / "secret"))
        self.assertTrue(self.signs_in(ready["url"], "of my own choice"))
        self.assertFalse((self.data / "initial-password").exists())
        self.assertEqual(stat.S_IMODE(self.data.stat().st_mode), 0o700)
        busy = subprocess.run([program("cadenzad"), "--data", str(self.data), "--reset-admin"], capture_output=True, timeout=60)
        self.assertNotEqual(busy.returncode, 0)
        self.assertEqual(self.end(process)[0], 0)
        reset = subprocess.run([program("cadenzad"), "--data", str(self.data), "--reset-admin"], capture_output=True, timeout=60)
        self.assertEqual(reset.returncode, 0, reset.stderr)
        password = (self.data / "initial-password").read_text().split()[-1]
        self.assertNotIn(password.encode(), reset.stdout + reset.stderr)
        process, ready = self.plain()
        self.assertTrue(self.signs_in(ready["url"], password))
        self.assertFalse(self.signs_in(ready["url"], "of my own choice"))

    def test_passed_socket(self):
        """A socket that systemd opened, as it passes them."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        words = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0', "sh", program("cadenzad"), "--data", str(self.data)]
        process = subprocess.Popen(words, stdin=listener.fileno(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        self.assertIsNone(json.loads(process.stdout.readline())["url"])
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{listener.getsockname()[1]}/healthz", context=context) as answer:
            self.assertEqual(answer.status, 200)

    def test_stop_while_connecting(self):
        """A pool that never answers holds up neither the start nor the end."""
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (self.folder / "secret").write_text("a password\n")
        words = ("--admin-password-file", str(self.folder / "secret"))
        process, ready = self.plain(*words)
        client = self.client(ready["url"])
        client.call("server.add", {"host": f"http://127.0.0.1:{silent.getsockname()[1]}", "username": "root", "password": "x"})
        process.kill()
        process.wait()
        process, ready = self.plain(*words)
        client = self.client(ready["url"])
        until(lambda: client.call("server.getAll")["result"][0]["status"] == "connecting", "the attempt")
        started = time.monotonic()
        self.assertEqual(self.end(process)[0], 0)
        self.assertLess(time.monotonic() - started, 30)

    def client(self, url):
        client = WebSocket(url)
        self.addCleanup(client.close)
        self.assertIn("result", client.call("session.signIn", {"email": "admin@admin.net", "password": "a password"}))
        return client

    def test_refusals(self):
        """Each names the thing."""
        for words, named in ((["--admin-password-file", "/nonexistent"], "/nonexistent"), (["--listen", "192.0.2.1:1"], "192.0.2.1"),
                             (["--listen", "127.0.0.1"], "127.0.0.1"), (["--certificate", "/none", "--key", "/none"], "/none")):
            process, ready = self.start(*words)
            self.assertIsNone(ready)
            status, said = self.end(process)
            self.assertIn(named, said)
            self.assertGreater(status, 0)
        self.data = pathlib.Path("/proc/cadenza")
        process, ready = self.start()
        self.assertIsNone(ready)
        self.assertIn("/proc/cadenza", self.end(process)[1])


class CommandLine(Box):
    def test_statuses(self):
        ok = self.server.command("system.getVersion")
        self.assertEqual((ok.returncode, ok.stdout), (0, "0.1\n"))
        self.assertEqual(self.server.command("vm.start", f"id={NOWHERE}").returncode, 1)
        self.assertEqual(self.server.command("vm.start", "id").returncode, 2)
        self.assertEqual(self.server.command("nonsense").returncode, 2)
        self.assertEqual(self.server.command("--nonsense", "system.getVersion").returncode, 2)
        self.assertEqual(self.server.command("system.getVersion", CADENZA_URL="http://127.0.0.1:1").returncode, 3)
        self.assertEqual(self.server.command("session.getUser", CADENZA_TOKEN="no-such-token").returncode, 1)

    def test_values(self):
        """Text, booleans, numbers where the method wants one, JSON."""
        got = json.loads(self.server.command("--json", "xo.getAllObjects", "limit=2", 'filter=json:{"type":"VM"}').stdout)
        self.assertEqual(len(got), 2)
        run = self.server.command("remote.create", "name=12", f"url=file://{self.folder}/twelve")
        created = json.loads(run.stdout)
        self.assertEqual(created["name"], "12")
        self.assertEqual(self.server.command("remote.set", f"id={created['id']}", "enabled=false").stdout, "true\n")
        self.assertIs(self.server.call("remote.get", id=created["id"])["enabled"], False)
        self.assertEqual(self.server.command("remote.get", "id=json:{").returncode, 2)
        run = self.server.command("vm.start", "id=json:42")
        self.assertIn("id must be string", run.stderr)

    def test_objects(self):
        run = self.server.command("objects", "type:/^VM$/", "power_state:running")
        self.assertEqual(len(run.stdout.splitlines()), 2)
        self.assertIn("vm.start", self.server.command("list-methods", "vm.st").stdout)

    def test_login(self):
        """Over TLS: not by default, by the fingerprint yes; what is kept is private."""
        server = subprocess.Popen([program("cadenzad"), "--data", str(self.folder / "tls"), "--listen", "127.0.0.1:0"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(lambda: (server.terminate(), server.wait(), server.stdout.close()))
        url = json.loads(server.stdout.readline())["url"]
        password = (self.folder / "tls/initial-password").read_text().split()[-1]
        mode = stat.S_IMODE((self.folder / "tls/initial-password").stat().st_mode)
        self.assertEqual(mode, 0o600)
        env = {key: value for key, value in os.environ.items() if not key.startswith("CADENZA_")}
        env.update(XDG_CONFIG_HOME=str(self.folder / "config"))

        def cadenza(*words):
            return subprocess.run([program("cadenza"), *words], capture_output=True, text=True, env=env, input=password + "\n")
        refused = cadenza("--json", "login", url, "admin@admin.net")
        self.assertEqual(refused.returncode, 3)
        fingerprint = json.loads(refused.stderr.splitlines()[-1])["fingerprint"]
        self.assertEqual(cadenza("--fingerprint", "00" * 32, "login", url, "admin@admin.net").returncode, 3)
        done = cadenza("--fingerprint", fingerprint, "login", url, "admin@admin.net")
        self.assertEqual(done.returncode, 0, done.stderr)
        kept = self.folder / "config/cadenza/servers.json"
        self.assertEqual(stat.S_IMODE(kept.stat().st_mode), 0o600)
        self.assertNotIn(password, kept.read_text())
        self.assertEqual(json.loads(cadenza("session.getUser").stdout)["email"], "admin@admin.net")


if __name__ == "__main__":
    unittest.main()
