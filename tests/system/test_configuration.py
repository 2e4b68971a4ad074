"""The configuration as a file: one that a real Xen Orchestra wrote, taken in; ours given out, plain and sealed, and taken in
by another server. Through the command line, as a person does it."""
import gzip
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, Server  # noqa: E402
from websocket import WebSocket  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", ROOT.parent / "shared/fixtures/xo"))
PASSPHRASE = "correct horse battery staple"
# What XO's configuration has and this server does not keep.
NOT_KEPT = {"proxies", "resourceSets"}


def exported_by_xo():
    """The document in XO's own backup of its configuration."""
    archive = FIXTURES / "repos/metadata.tar.gz"
    if not archive.exists():
        raise unittest.SkipTest(f"no recorded repositories in {FIXTURES}")
    with tarfile.open(archive) as tar:
        names = sorted(name for name in tar.getnames() if "xo-config-backups" in name and name.endswith("/data.json"))
        return json.load(tar.extractfile(names[-1]))


class Configuration(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-config-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, name):
        server = Server(str(self.folder / name), log=self.folder / f"{name}.log")
        self.addCleanup(server.stop)
        return server

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    def take(self, server, path, **env):
        run = server.command("--json", "config", "import", path, **env)
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def refuse(self, server, path, words, **env):
        run = server.command("config", "import", path, **env)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn(words, run.stderr)

    def give(self, server, name, **env):
        path = self.folder / name
        run = server.command("config", "export", path, **env)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        return path

    def sign_in(self, server, name, password):
        socket = WebSocket(server.url)
        self.addCleanup(socket.close)
        return socket.call("session.signIn", {"email": name, "password": password})["result"]

    def totals(self, report):
        return {name: (entry["added"] + entry["changed"] + entry["same"], entry["notTaken"])
                for name, entry in report["entries"].items()}

    def test_of_xo(self):
        """Every record of XO's configuration is taken, or named with a reason; its passwords keep working."""
        document = exported_by_xo()
        server = self.start("a")
        report = self.take(server, self.file("xo.json.gz", gzip.compress(json.dumps(document).encode())))
        totals = self.totals(report)
        refused = {}
        for line in report["notTaken"]:
            self.assertTrue(line["reason"], line)
            refused[line["entry"]] = refused.get(line["entry"], 0) + 1
        for name, records in document.items():
            taken, not_taken = totals[name]
            self.assertEqual(taken + not_taken, len(records), name)
            self.assertEqual(taken == 0 and not_taken > 0, name in NOT_KEPT and len(records) > 0, name)
            if name not in NOT_KEPT:
                self.assertEqual(refused.get(name, 0), not_taken, name)
        for name in ("users", "xenServers", "jobs", "schedules", "roles", "privileges"):
            self.assertEqual(totals[name], (len(document[name]), 0), name)
        # Keys of repositories cannot be kept secret from everybody yet, so repositories that have one are named.
        sealed = [remote["id"] for remote in document["remotes"] if "encryptionKey" in remote["url"]]
        self.assertTrue({line["id"] for line in report["notTaken"] if line["entry"] == "remotes"} <= set(sealed))
        self.assertNotIn("fixture-key", json.dumps(report))
        self.check_kept(server, document)
        self.assertEqual(self.sign_in(server, "admin@admin.net", "admin")["id"], document["users"][0]["id"])
        self.check_again(server, report)

    def check_kept(self, server, document):
        for kind, method in (("backup", "backupNg.getAllJobs"), ("metadataBackup", "metadataBackup.getAllJobs"),
                             ("mirrorBackup", "mirrorBackup.getAllJobs"), ("call", "job.getAll")):
            theirs = {job["id"]: job for job in document["jobs"] if job["type"] == kind}
            self.assertEqual({job["id"]: job for job in server.call(method)}, theirs, kind)
            one = method.replace("getAllJobs", "getJob").replace("job.getAll", "job.get")
            self.assertEqual({id_: server.call(one, id=id_) for id_ in theirs}, theirs, one)
        theirs = {schedule["id"]: schedule for schedule in document["schedules"]}
        self.assertEqual({schedule["id"]: schedule for schedule in server.call("schedule.getAll")}, theirs)
        given = json.loads(gzip.decompress(self.give(server, "given.gz").read_bytes()))
        self.assertEqual(*({each["id"]: each for each in each_["plugins"]} for each_ in (given, document)))
        connected = server.call("server.getAll")[0]
        for key in ("id", "host", "username", "label", "allowUnauthorized", "enabled", "readOnly"):
            self.assertEqual(connected[key], document["xenServers"][0][key], key)

    def check_again(self, server, first):
        again = self.take(server, self.folder / "xo.json.gz")
        for name, entry in again["entries"].items():
            self.assertEqual((entry["added"], entry["changed"]), (0, 0), name)
            self.assertEqual(entry["notTaken"], first["entries"][name]["notTaken"], name)

    def test_ours(self):
        """Given out by one server, sealed, taken in by another: then both give out the same."""
        one, other = self.start("one"), self.start("other")
        job, schedule = one.delta_job("nightly", ["11111111-2222-4333-8444-555555555555"],
                                      [one.call("remote.create", name="r", url=f"file://{self.folder}/r")["id"]], 3)
        user = one.call("user.create", email="carol@example.org", password="a password")
        group = one.call("group.create", name="operators")
        one.call("group.addUser", id=group, userId=user)
        one.call("acl.add", subject=group, object="some-vm", action="operator")
        one.call("ipPool.create", name="office", addresses={"10.99.0.7": {}, "10.99.0.8": {}})
        role = one.call("role.create", name="of REST")
        one.call("role.addGroup", id=role, groupId=group)
        one.call("role.addUser", id=role, userId=user)
        one.call("role.addPrivilege", roleId=role, resource="vm", action="read", selector="tags:mine")
        one.call("server.add", host="http://127.0.0.1:1", username="root", password="of-the-pool-4711", autoConnect=False)
        sealed = self.give(one, "sealed", CADENZA_PASSPHRASE=PASSPHRASE)
        self.assertNotIn(b"4711", sealed.read_bytes())
        self.refuse(other, sealed, "passphrase")
        self.refuse(other, sealed, "passphrase", CADENZA_PASSPHRASE="another")
        self.assertEqual(other.call("backupNg.getAllJobs"), [])
        report = self.take(other, sealed, CADENZA_PASSPHRASE=PASSPHRASE)
        self.assertEqual(report["notTaken"], [])
        self.assertEqual(other.call("backupNg.getJob", id=job), one.call("backupNg.getJob", id=job))
        self.assertEqual(other.call("schedule.get", id=schedule), one.call("schedule.get", id=schedule))
        self.assertEqual(self.sign_in(other, "carol@example.org", "a password")["groups"], [group])
        texts = [json.loads(gzip.decompress(self.give(server, name).read_bytes()))
                 for server, name in ((one, "one.gz"), (other, "other.gz"))]
        for text in texts:
            for token in text.pop("authTokens"):
                self.assertTrue(token["user_id"])
        self.assertEqual(*texts)
        self.assertEqual(texts[0]["xenServers"][0]["password"], "of-the-pool-4711")
        self.assertEqual([sorted(pool["addresses"]) for pool in texts[1]["ipPools"]], [["10.99.0.7", "10.99.0.8"]])
        # What XO keeps of who has an address is seen here, not kept.
        report = self.take(other, self.file("pools.json", {"ipPools": [{"id": "theirs", "name": "XO's", "networks": [], "addresses": {
            "10.99.1.7": {"vifs": ["11111111-2222-4333-8444-555555555555"]}}}, {"id": "odd", "addresses": ["10.99.1.8"]}]}))
        self.assertEqual((report["entries"]["ipPools"]["added"], [line["id"] for line in report["notTaken"]]), (1, ["odd"]))
        self.assertIn({"id": "theirs", "name": "XO's", "networks": [], "addresses": {"10.99.1.7": {}}}, other.call("ipPool.getAll"))
        # Who has a role is told as XO tells it.
        self.assertEqual([sorted(each) for each in texts[1]["roles"]], [["id", "isTemplate", "name"]])
        self.assertEqual([(each["roleId"], each["groupId"]) for each in texts[1]["groupRole"]], [(role, group)])
        self.assertEqual([(each["roleId"], each["userId"]) for each in texts[1]["userRole"]], [(role, user)])
        self.assertEqual(other.call("group.getAll")[0]["aclRoleIds"], [role])
        theirs = {"roles": [{"id": "theirs", "name": "XO's"}], "userRole": [
            {"id": "a", "roleId": "theirs", "userId": user}, {"id": "b", "roleId": "theirs", "userId": "nobody"},
            {"id": "c", "roleId": "no role", "userId": user}], "groupRole": [{"id": "d", "roleId": "theirs", "groupId": group}]}
        for found in ("added", "same"): # a second time nothing is new, and nobody loses a role
            report = self.take(other, self.file("roles.json", theirs))
            self.assertEqual((report["entries"]["userRole"][found], report["entries"]["groupRole"][found]), (1, 1), report)
            self.assertEqual(sorted(line["id"] for line in report["notTaken"]), ["b", "c"])
        self.assertEqual(report["entries"]["roles"]["same"], 1)
        self.assertEqual(sorted(other.call("group.getAll")[0]["aclRoleIds"]), sorted([role, "theirs"]))

    def test_gpg(self):
        """What gpg seals is opened; gpg opens what is sealed here."""
        if not shutil.which("gpg"):
            self.skipTest("gpg is not installed")
        server = self.start("a")
        home = self.folder / "gnupg"
        home.mkdir(0o700)
        gpg = ["gpg", "--homedir", home, "--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", PASSPHRASE]
        self.addCleanup(subprocess.run, ["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
        tags = [{"id": f"tag-{i}", "color": f"#{i:06x}"} for i in range(3000)]
        self.file("plain", {"tags": tags})
        subprocess.run([*gpg, "-o", self.folder / "sealed", "--symmetric", self.folder / "plain"], check=True)
        report = self.take(server, self.folder / "sealed", CADENZA_PASSPHRASE=PASSPHRASE)
        self.assertEqual(report["entries"]["tags"]["added"], len(tags))
        given = self.give(server, "given", CADENZA_PASSPHRASE=PASSPHRASE)
        text = subprocess.run([*gpg, "--decrypt", given], check=True, capture_output=True).stdout
        self.assertEqual(len(json.loads(gzip.decompress(text))["tags"]), len(tags))

    def test_address(self):
        """The address of an import works once, for one file; a wrong file changes nothing and says where."""
        server = self.start("a")
        path = server.call("xo.importConfig")["$sendTo"]
        body = json.dumps({"tags": [{"id": "good"}], "schedules": [{"id": "s"}]}).encode()
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(server.url + path, data=body))
        self.assertEqual(caught.exception.code, 400)
        error = json.loads(caught.exception.read())["error"]
        self.assertEqual(error["code"], 10)
        self.assertIn("schedules[0]: jobId", error["message"])
        self.assertEqual(server.call("tag.getAllConfigured"), [])
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(server.url + path, data=b"{}"))
        self.assertEqual(caught.exception.code, 404)
        user = server.call("user.create", email="dave@example.org", password="a password")
        socket = WebSocket(server.url)
        self.addCleanup(socket.close)
        self.assertEqual(socket.call("session.signIn", {"email": "dave@example.org", "password": "a password"})["result"]["id"], user)
        for method in ("xo.importConfig", "xo.exportConfig"):
            self.assertEqual(socket.call(method, {})["error"]["code"], 2)
        with self.assertRaises(Refused) as caught:
            server.call("xo.exportConfig", entries=["nonsense"])
        self.assertEqual(caught.exception.code, 10)


if __name__ == "__main__":
    unittest.main()
