"""The audit log: what was done, what was refused, by whom; nobody's secrets; whole, or it tells where it is not."""
import json
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim  # noqa: E402
from websocket import WebSocket  # noqa: E402


class Audit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-audit-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.addClassCleanup(lambda: cls.server.alive() and cls.server.stop())

    def records(self, method=None):
        all_ = self.server.call("audit.getRecords")
        return [record for record in all_ if method in (None, record["data"]["method"])]

    def socket(self, name=None, password=None):
        made = WebSocket(self.server.url)
        self.addCleanup(made.close)
        return made, made.call("session.signIn", {"email": name, "password": password}) if name else None

    def test_1_told(self):
        """Changes, their refusals and sign-ins are told, with who, where and how; reading is not."""
        user = self.server.call("user.create", email="dave@example.org", password="the words of dave")
        record = self.records("user.create")[0]
        self.assertEqual(record["subject"]["userName"], "admin@admin.net")
        self.assertEqual(record["subject"]["userIp"], "127.0.0.1")
        self.assertEqual((record["event"], record["data"]["result"]), ("apiCall", user))
        self.assertEqual(record["data"]["params"], {"email": "dave@example.org", "password": "* obfuscated *"})
        dave, _ = self.socket("dave@example.org", "the words of dave")
        self.assertEqual(dave.call("user.delete", {"id": user})["error"]["code"], 2)
        self.assertEqual(dave.call("server.getAll")["error"]["code"], 2)
        for method in ("user.delete", "server.getAll"):
            record = self.records(method)[0]
            self.assertEqual((record["subject"]["userId"], record["data"]["error"]["code"]), (user, 2), method)
        self.assertIn("result", dave.call("system.getServerTimezone"))
        self.assertEqual(self.records("system.getServerTimezone"), [])
        self.socket("dave@example.org", "guessed")
        failed = next(each for each in self.records("session.signIn") if "error" in each["data"])
        self.assertEqual((failed["subject"].get("userId"), failed["data"]["error"]["code"], failed["data"]["params"]["email"]),
                         (None, 3, "dave@example.org"))
        token = dave.call("token.create")["result"]
        before = len(self.records("token.create"))
        dave.send('{"jsonrpc": "2.0", "id": "bare", "method": "token.create"}') # nothing at all is sent
        self.assertIn("result", dave.answer())
        self.assertEqual((len(self.records("token.create")), self.records("token.create")[0]["data"]["params"]), (before + 1, {}))
        first = "the first password of a machine"  # where XO and its clients put it, done or refused
        made = self.server.call("cloudConfig.create", name="web", template=first)
        self.server.call("cloudConfig.update", id=made["id"], template=first)
        for method, params in (("vm.createCloudInitConfigDrive", {"vm": user, "sr": user, "config": first, "networkConfig": first}),
                               ("vm.create", {"template": user, "name_label": "x", "cloud_config": first, "network_config": first})):
            with self.assertRaises(Refused):
                self.server.call(method, **params)
            self.assertIn("error", self.records(method)[0]["data"])
        whole = json.dumps([self.records(), self.server.call("log.get", namespace="api")])
        for secret in (first, "the words of dave", "guessed", token, self.server.password):
            self.assertNotIn(secret, whole)

    def test_2_journal(self):
        """What failed is in the journal that XO's clients read."""
        with self.assertRaises(Refused):
            self.server.call("group.delete", id="no such group")
        entries = self.server.call("log.get", namespace="api")
        entry = next(each for each in entries.values() if each["data"]["method"] == "group.delete")
        self.assertEqual((entry["level"], entry["namespace"], entry["data"]["params"]), ("error", "api", {"id": "no such group"}))
        self.assertIn("no such group", entry["message"])

    def test_3_whole(self):
        n_valid = self.server.call("audit.checkIntegrity")
        self.assertGreater(n_valid, 3)
        run = self.server.command("audit", "verify")
        self.assertEqual((run.returncode, run.stdout.split(":")[0]), (0, "valid records"), run.stderr)
        made = self.server.call("audit.generateFingerprint")
        newest, oldest = made["fingerprint"].split("|")
        self.assertEqual(self.server.call("audit.checkIntegrity", newest=newest, oldest=oldest), made["nValid"])
        with self.assertRaises(Refused) as caught:
            self.server.call("audit.checkIntegrity", newest="$5$none")
        self.assertEqual((caught.exception.code, caught.exception.data), (22, {"id": "$5$none", "nValid": 0}))
        self.assertEqual(self.server.call("audit.getRecords", id=newest, maxRecords=2)[0]["id"], newest)
        file = self.folder / "audit.ndjson"
        self.assertEqual(self.server.command("audit", "export", file).returncode, 0)
        run = self.server.command("audit", "check", file, made["fingerprint"])
        self.assertEqual((run.returncode, run.stdout), (0, f"valid records: {made['nValid']}\n"), run.stderr)
        lines = file.read_text().splitlines()
        for name, harmed, word in (("altered", [lines[0], lines[1].replace("127.0.0.1", "127.0.0.2"), *lines[2:]], "altered"),
                                   ("missing", [lines[0], *lines[2:]], "missing"), ("cut", lines[1:], "missing"),
                                   ("short", lines[:2], "missing")):
            (self.folder / name).write_text("\n".join(harmed) + "\n")
            run = self.server.command("audit", "check", self.folder / name, made["fingerprint"])
            self.assertEqual(run.returncode, 1, name)
            self.assertIn(word, run.stderr, name)

    def test_4_harmed(self):
        """Somebody who writes into the database is found out."""
        self.server.stop()
        database = sqlite3.connect(self.folder / "data" / "logs.db")
        with database:
            n, id_ = database.execute("SELECT n, id FROM audit ORDER BY n LIMIT 1 OFFSET 1").fetchone()
            database.execute("UPDATE audit SET value = replace(value, '127.0.0.1', '10.0.0.1') WHERE n = ?", (n,))
        database.close()
        env = self.server.env
        type(self).server = server = Server(str(self.folder / "data"), log=self.folder / "server.log")
        server.env = dict(env, CADENZA_URL=server.url)
        with self.assertRaises(Refused) as caught:
            server.call("audit.checkIntegrity")
        self.assertEqual((caught.exception.code, caught.exception.data["id"]), (23, id_))


class Rest(unittest.TestCase):
    """Whatever is asked by REST and changes something, or carries disks and machines away, leaves a record."""
    NOWHERE = "11111111-2222-4333-8444-555555555555"

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--vms", 1, "--running", "0", "--disk-size", "1MiB")
        cls.addClassCleanup(cls.sim.stop)
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.server.connect(cls.sim)
        cls.server.call("user.create", email="eve", password="the words of eve")

    def ask(self, verb, path, token=None, body=b""):
        asked = urllib.request.Request(f"{self.server.url}/rest/v0/{path.lstrip('/')}", method=verb, data=body or None,
                                       headers={"Cookie": f"token={token or self.server.env['CADENZA_TOKEN']}"})
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def records(self):
        """The newest first."""
        return self.server.call("audit.getRecords", maxRecords=1000)

    def test_files(self):
        disk = next(each for each in self.server.objects(type="VDI") if each["name_label"].startswith("vm-"))
        sr, vm = disk["$SR"], self.server.objects(type="VM")[0]["id"]
        raw = self.ask("GET", f"vdis/{disk['id']}.raw")
        self.assertEqual((raw[0], len(raw[1])), (200, disk["size"]))
        self.assertEqual(self.ask("POST", f"srs/{sr}/vdis?raw=true&name_label=new", body=raw[1])[0], 201)
        self.assertEqual(self.ask("PUT", f"vdis/{disk['id']}.raw", body=raw[1])[0], 204)
        xva = self.ask("GET", f"vms/{vm}.xva")
        self.assertEqual(self.ask("POST", f"pools/{disk['$pool']}/vms?sr={sr}", body=xva[1])[0], 201)
        self.assertEqual(self.ask("POST", f"pools/{disk['$pool']}/vms?sr={sr}", body=b"no archive")[0] // 100, 5)
        eve = self.server.call_with({}, "token.create", user="eve", password="the words of eve", token="")
        self.assertEqual(self.ask("GET", f"vms/{vm}.xva", eve)[0], 403)
        self.assertEqual(self.ask("POST", f"vms/{vm}/actions/start", eve)[0], 403)
        told = [(record["data"]["method"], record["subject"]["userName"], record["data"].get("error", {}).get("code")) for record in self.records()]
        admin = "admin@admin.net"
        for line in (("GET /rest/v0/vdis/{id}.raw", admin, None), ("POST /rest/v0/srs/{id}/vdis", admin, None), ("PUT /rest/v0/vdis/{id}.raw", admin, None),
                     ("GET /rest/v0/vms/{id}.xva", admin, None), ("POST /rest/v0/pools/{id}/vms", admin, None),
                     ("GET /rest/v0/vms/{id}.xva", "eve", 2), ("vm.start", "eve", 2)):
            self.assertIn(line, told)
        self.assertTrue(any(code is not None and method == "POST /rest/v0/pools/{id}/vms" for method, _, code in told))
        self.assertIn({"id": disk["id"]}, [record["data"]["params"] for record in self.records()])

    def test_every_route(self):
        """Even about what is not there."""
        paths = json.loads(self.ask("GET", "docs/swagger.json")[1])["paths"]
        silent = []
        for path, verbs in paths.items():
            for verb, info in verbs.items():
                if verb == "get" or path.startswith(("/events", "/users/me")):
                    continue
                newest = self.records()[0]["id"]
                self.ask(verb.upper(), path.replace("{id}", self.NOWHERE).replace("{tag}", "x").replace("{userId}", "x"))
                if self.records()[0]["id"] == newest:
                    silent.append(f"{verb} {path}")
        self.assertEqual(silent, [])


if __name__ == "__main__":
    unittest.main()
