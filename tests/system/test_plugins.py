"""Plug-ins: configured, loaded, tested and remembered, with XO's descriptors and errors; and the one that sends e-mail, against a
server of e-mail that is not ours."""
import json
import pathlib
import shutil
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import mail_server  # noqa: E402
from box import Refused, Server  # noqa: E402
from mail_server import PASSWORD, REFUSED, USER, MailServer  # noqa: E402
from test_configuration import FIXTURES  # noqa: E402
from websocket import WebSocket  # noqa: E402

MAIL = "transport-email"
HIDDEN = "obfuscated-q3oi6d9X8uenGvdLnHk2"


class Plugins(unittest.TestCase):
    def setUp(self):
        self.data = tempfile.mkdtemp(prefix="cadenza-plugins-")
        self.addCleanup(shutil.rmtree, self.data, ignore_errors=True)
        self.server = Server(self.data)
        self.addCleanup(lambda: self.server.stop())

    def restart(self):
        env, password = self.server.env, self.server.password
        self.assertEqual(self.server.stop(), 0)
        self.server = Server(self.data)
        self.server.env, self.server.password = {**env, "CADENZA_URL": self.server.url}, password

    def refused(self, code, words, method, **params):
        with self.assertRaises(Refused) as caught:
            self.server.call(method, **params)
        self.assertIn(words, caught.exception.message)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        return caught.exception

    def told(self):
        return next(each for each in self.server.call("plugin.get") if each["id"] == MAIL)

    def configure(self, host="127.0.0.1", name="Nightly ☾ reports", **transport):
        self.server.call("plugin.configure", id=MAIL, configuration={"from": {"address": "xo@example.org", "name": name}, "transport": {
            "host": host, **transport}})

    def mail(self, mode="plain"):
        why = mail_server.missing()
        if why:
            self.skipTest(why)
        server = MailServer(mode)
        self.addCleanup(server.stop)
        return server

    def send(self, to="ann@example.org"):
        self.server.call("plugin.test", id=MAIL, data={"to": to})

    def test_life(self):
        """Every method, in its good way and where it says no."""
        told = self.told()
        path = FIXTURES / "rpc/plugin.get.json"
        if path.exists():
            theirs = next(each for each in json.loads(path.read_text())["result"] if each["id"] == MAIL)
            self.assertEqual({key: type(value) for key, value in told.items() if not key.endswith("Schema")},
                             {key: type(value) for key, value in theirs.items() if not key.endswith("Schema")})
            self.assertEqual(list(told), list(theirs))
            self.assertEqual([told[key] for key in ("name", "autoload", "unloadable", "testable")],
                             [theirs[key] for key in ("name", "autoload", "unloadable", "testable")])
        for form in ("configurationSchema", "testSchema"):
            self.assertEqual(told[form]["type"], "object")
        self.refused(10, f"plugin not configured: {MAIL}", "plugin.load", id=MAIL)
        self.refused(10, f"plugin already unloaded: {MAIL}", "plugin.unload", id=MAIL)
        wrong = self.refused(10, "must have required property 'from'", "plugin.configure", id=MAIL, configuration={"transport": {"port": "25"}})
        self.assertEqual([(each["instancePath"], each["keyword"]) for each in wrong.data["errors"]],
                         [("", "required"), ("/transport", "required"), ("/transport/port", "type")])
        self.assertNotIn("configuration", self.told())
        self.configure(user=USER, password=PASSWORD)
        self.assertFalse(self.told().get("loaded"))
        self.server.call("plugin.load", id=MAIL)
        self.assertTrue(self.told()["loaded"])
        self.refused(10, f"plugin already loaded: {MAIL}", "plugin.load", id=MAIL)
        self.assertEqual(self.told()["configuration"]["transport"],
                         {"host": "127.0.0.1", "user": USER, "password": HIDDEN, "secure": False, "ignoreUnauthorized": False})
        self.refused(10, "the test of plugin transport-email: must have required property 'to'", "plugin.test", id=MAIL)
        self.refused(10, 'to: "ann" is no e-mail address', "plugin.test", id=MAIL, data={"to": "ann"})
        self.server.call("plugin.unload", id=MAIL)
        self.refused(10, f"plugin not loaded: {MAIL}", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.server.call("plugin.purgeConfiguration", id=MAIL)
        self.assertNotIn("configuration", self.told())
        for verb in ("load", "unload", "test", "enableAutoload", "disableAutoload", "purgeConfiguration"):
            self.assertEqual(self.refused(1, "no such plugin", f"plugin.{verb}", id="none").data, {"id": "none", "type": "plugin"})

    def test_secrets(self):
        """The password is nowhere to be read, and what stands for it means the one before."""
        mail = self.mail("starttls")
        self.refused(10, "/transport/password is hidden, and none is kept", "plugin.configure", id=MAIL, configuration={
            "from": {"address": "xo@example.org"}, "transport": {"host": "x", "password": HIDDEN}})
        self.configure(port=mail.port, user=USER, password=PASSWORD, ignoreUnauthorized=True)
        self.server.call("plugin.load", id=MAIL)
        self.send()
        self.server.call("plugin.configure", id=MAIL, configuration=self.told()["configuration"])
        self.send()
        self.assertEqual([each["user"] for each in mail.taken()], [USER] * 2)
        logs = json.dumps([self.server.call("audit.getRecords"), self.server.call("log.get", namespace="api")])
        self.assertNotIn(PASSWORD, logs)
        self.restart()
        for path in pathlib.Path(self.data).rglob("*"):
            if path.is_file():
                self.assertNotIn(PASSWORD.encode(), path.read_bytes(), path)
        self.send()
        self.assertEqual([each["user"] for each in mail.taken()], [USER] * 3)

    def test_restart(self):
        """What is configured is loaded at start, unless somebody said otherwise."""
        self.configure()
        self.restart()
        self.assertTrue(self.told()["loaded"])
        self.server.call("plugin.disableAutoload", id=MAIL)
        self.assertTrue(self.told()["loaded"])
        self.restart()
        self.assertFalse(self.told().get("loaded"))
        self.assertFalse(self.told()["autoload"])
        self.server.call("plugin.enableAutoload", id=MAIL)
        self.assertFalse(self.told().get("loaded"))
        self.restart()
        self.assertTrue(self.told()["loaded"])
        self.server.call("plugin.purgeConfiguration", id=MAIL)
        self.assertFalse(self.told()["loaded"])
        self.restart()
        self.assertNotIn("configuration", self.told())

    def test_mail(self):
        """A message arrives, and a reader of e-mail finds in it what was written."""
        mail = self.mail()
        self.configure(port=mail.port, name="Nightly ☾ reports")
        self.server.call("plugin.load", id=MAIL)
        self.server.call("plugin.test", id=MAIL, data={"to": "ann@example.org, bob@example.org"})
        self.configure(port=mail.port, name='The "house"\r\nX-Injected: 1', user="")
        self.send()
        first, second = mail.taken()
        self.assertEqual((first["from"], first["to"]), ("xo@example.org", ["ann@example.org", "bob@example.org"]))
        message = first["message"]
        self.assertEqual(message.defects, [])
        sender = message["From"].addresses[0]
        self.assertEqual((sender.display_name, sender.addr_spec), ("Nightly ☾ reports", "xo@example.org"))
        self.assertEqual([each.addr_spec for each in message["To"].addresses], first["to"])
        self.assertIn("test", message["Subject"])
        self.assertTrue(message["Date"].datetime)
        self.assertIn("can send e-mail", message.get_body().get_content())
        files = list(message.iter_attachments())
        self.assertEqual([(each.get_filename(), "test of e-mail" in each.get_content()) for each in files], [("test.txt", True)])
        self.assertEqual(second["message"]["From"].addresses[0].display_name, 'The "house"  X-Injected: 1')
        self.assertNotIn("X-Injected", second["message"])

    def test_not_taken(self):
        """Where the server of e-mail says no, its words are told; nothing half is sent."""
        mail = self.mail()
        self.configure(port=mail.port)
        self.server.call("plugin.load", id=MAIL)
        self.refused(-32000, "550 5.1.1 there is nobody of this name", "plugin.test", id=MAIL, data={"to": f"ann@example.org, {REFUSED}"})
        self.configure(port=mail.port, secure="force")
        self.refused(-32000, "STARTTLS", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.assertEqual(mail.taken(), [])
        with socket.socket() as taken:  # nobody listens there
            taken.bind(("127.0.0.1", 0))
            self.configure(port=taken.getsockname()[1])
            self.refused(9, "the mail server 127.0.0.1 took no message", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.configure(port=mail.port, host="127.0.0.1/../x")
        self.refused(10, "is no name or address of a server", "plugin.test", id=MAIL, data={"to": "ann@example.org"})

    def test_encrypted(self):
        """STARTTLS with a password, and TLS from the start: whether the certificate counts, and is asked for."""
        upgraded, tls, plain = self.mail("starttls"), self.mail("tls"), self.mail()
        self.configure(port=upgraded.port, user=USER, password=PASSWORD)
        self.server.call("plugin.load", id=MAIL)
        self.refused(-32000, "certificate", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.configure(port=upgraded.port, user=USER, password="wrong", secure="force", ignoreUnauthorized=True)
        wrong = self.refused(8, "535 5.7.8", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.assertNotIn("wrong", wrong.message)
        self.assertEqual(upgraded.taken(), [])
        for secure in (False, "force"):
            self.configure(port=upgraded.port, user=USER, password=PASSWORD, secure=secure, ignoreUnauthorized=True, name="cadenza.example.org")
            self.send()
        self.assertEqual([(each["tls"], each["user"]) for each in upgraded.taken()], [(True, USER)] * 2)
        self.configure(port=tls.port, secure=True)
        self.refused(-32000, "certificate", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.configure(port=tls.port, secure=True, ignoreUnauthorized=True)
        self.send()
        self.assertEqual([each["tls"] for each in tls.taken()], [True])
        self.configure(port=plain.port, secure="force", ignoreUnauthorized=True)
        self.refused(-32000, "STARTTLS", "plugin.test", id=MAIL, data={"to": "ann@example.org"})
        self.assertEqual(plain.taken(), [])
        self.configure(port=plain.port, secure="disabled")
        self.send()
        self.assertEqual([each["tls"] for each in plain.taken()], [False])

    def test_from_elsewhere(self):
        """A configuration that is taken in: the plug-in is loaded with it, and it is given out again."""
        document = {"plugins": [
            {"id": MAIL, "autoload": True, "configuration": {"from": {"address": "xo@example.org"}, "transport": {"host": "h", "password": PASSWORD}}},
            {"id": "web-hooks", "autoload": False, "configuration": {"hooks": [{"url": "http://x"}]}}]}
        path = pathlib.Path(self.data) / "theirs.json"
        path.write_text(json.dumps(document))
        self.assertEqual(self.server.command("xo.importConfig", f"@={path}").returncode, 0)
        path.unlink()
        self.assertTrue(self.told()["loaded"])
        self.assertEqual(self.told()["configuration"]["transport"]["password"], HIDDEN)
        given = pathlib.Path(self.data) / "given.json"
        self.assertEqual(self.server.command("xo.exportConfig", "compress=false", f"@={given}").returncode, 0)
        kept = {each["id"]: each for each in json.loads(given.read_text())["plugins"]}
        given.unlink()
        self.assertEqual(kept, {each["id"]: each for each in document["plugins"]})

    def test_who(self):
        """Administrators only."""
        self.server.call("user.create", email="carol", password="of carol")
        other = WebSocket(self.server.url)
        self.addCleanup(other.close)
        self.assertIn("result", other.call("session.signIn", {"email": "carol", "password": "of carol"}))
        for method in ("plugin.get", "plugin.load"):
            self.assertEqual(other.call(method, {"id": MAIL})["error"]["code"], 2)


if __name__ == "__main__":
    unittest.main()
