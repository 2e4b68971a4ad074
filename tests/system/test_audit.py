"""The audit log: what was done, what was refused, by whom; nobody's secrets; whole, or it tells where it is not."""
import json
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server  # noqa: E402
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
        whole = json.dumps(self.records())
        for secret in ("the words of dave", "guessed", token, self.server.password):
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


if __name__ == "__main__":
    unittest.main()
