"""People: the second factor of a sign-in, tokens that do without it, and why something is allowed or refused."""
import base64
import hashlib
import hmac
import json
import pathlib
import shutil
import struct
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim  # noqa: E402
from websocket import WebSocket  # noqa: E402

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def code(secret, step):
    """RFC 6238, as an authenticator app computes it."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


class People(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-people-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.sim = Sim("--hosts", 1, "--vms", 2, "--running", "1", "--disk-size", "16MiB", "--seed", 8)
        cls.addClassCleanup(cls.sim.stop)
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.addClassCleanup(cls.server.stop)
        cls.server.connect(cls.sim)

    def person(self, name):
        user = self.server.call("user.create", email=name, password="a password")
        self.addCleanup(self.server.call, "user.delete", id=user)
        return user

    def sign_in(self, **params):
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        return socket, socket.call("session.signIn", params)

    def test_second_factor(self):
        user = self.person("two-factors")
        socket, answer = self.sign_in(email="two-factors", password="a password")
        self.assertEqual(answer["result"]["id"], user)
        token = socket.call("token.create", {"description": "made before"})["result"]
        self.assertIs(socket.call("user.set", {"id": user, "preferences": {"otp": SECRET}})["result"], True)
        step = int(time.time()) // 30
        self.assertEqual(self.sign_in(email="two-factors", password="a password")[1]["error"]["code"], 3)
        time.sleep(2.1)  # after a wrong try
        wrong = code(SECRET, step - 100)
        self.assertEqual(self.sign_in(email="two-factors", password="a password", otp=wrong)[1]["error"]["code"], 3)
        time.sleep(2.1)
        now = code(SECRET, int(time.time()) // 30)
        self.assertEqual(self.sign_in(email="two-factors", password="a password", otp=now)[1]["result"]["id"], user)
        self.assertEqual(self.sign_in(email="two-factors", password="a password", otp=now)[1]["error"]["code"], 3, "a code counts once")
        self.assertEqual(self.sign_in(token=token)[1]["result"]["id"], user)
        self.assertIs(socket.call("user.set", {"id": user, "preferences": {"otp": None}})["result"], True)
        time.sleep(2.1)
        self.assertEqual(self.sign_in(email="two-factors", password="a password")[1]["result"]["preferences"], {})

    def test_explain(self):
        """Why: the error that the call would give, and for administrators the rules that were looked at."""
        user, vm = self.person("asks-why"), self.server.objects(type="VM")[0]
        socket, _ = self.sign_in(email="asks-why", password="a password")
        call = {"method": "vm.start", "params": {"id": vm["id"]}}
        refused = socket.call("acl.explain", call)["result"]
        self.assertEqual((refused["allowed"], refused["error"]["code"], refused["role"]), (False, 2, "user"))
        self.assertEqual(refused["error"]["data"], {"permission": "operate", "object": {"id": vm["id"]}})
        self.assertNotIn("objects", refused)
        self.server.call("acl.add", subject=user, object=vm["$container"], action="operator")
        self.assertTrue(socket.call("acl.explain", call)["result"]["allowed"])
        why = self.server.call_with(dict(call, user=user), "acl.explain")
        asked = why["objects"][0]["asked"]
        self.assertEqual([each["id"] for each in asked], [vm["id"], vm["$container"]])
        self.assertEqual([(rule["subject"], rule["action"]) for rule in asked[1]["rules"]], [(user, "operator")])
        self.assertEqual(socket.call("acl.explain", dict(call, user=user))["error"]["code"], 2)
        self.assertEqual(self.server.call_with({"method": "server.getAll", "user": user}, "acl.explain")["error"]["data"], {"permission": "admin", "object": {}})
        self.assertEqual(socket.call("acl.explain", {"method": "no.such"})["error"]["code"], 1)

    def test_explain_requests(self):
        """A request of REST, by the method that it calls or the right that the route asks."""
        user, vm = self.person("asks-routes"), self.server.objects(type="VM")[0]["id"]
        disk = next(each["id"] for each in self.server.objects(type="VDI"))

        def why(line, **params):
            return self.server.call_with({"method": line, "user": user, "params": params}, "acl.explain")

        for line, method in ((f"POST /vms/{vm}/actions/start", "vm.start"), (f"DELETE /rest/v0/vms/{vm}", "vm.delete"), (f"PUT /vms/{vm}/tags/a/b", "tag.add")):
            told = why(line)
            self.assertEqual((told["allowed"], told["method"], told["error"]["code"]), (False, method, 2), line)
            self.assertEqual(told["objects"][0]["id"], vm)
        for line in (f"GET /vms/{vm}", f"GET /vms/{vm}/alarms", f"GET /vms/{vm}.xva", f"GET /vdis/{disk}.raw", f"PUT /vdis/{disk}.vhd", "GET /dashboard"):
            self.assertFalse(why(line)["allowed"], line)
        self.assertEqual(why("GET /users/x")["role"], "admin")
        for line in ("GET /vms", "GET /ping", "GET /tasks"):
            self.assertTrue(why(line)["allowed"], line)
        self.server.call("acl.add", subject=user, object=vm, action="admin")
        for line in (f"POST /vms/{vm}/actions/start", f"GET /vms/{vm}.xva", f"GET /vms/{vm}/alarms?fields=*"):
            self.assertTrue(why(line)["allowed"], line)
        for line in ("GET /nothing", "GET", "SEND /vms"):
            with self.assertRaises(Refused) as caught:
                why(line)
            self.assertEqual(caught.exception.code, 1)

    def test_explain_sets(self):
        """Who makes a machine needs the pool, or a resource set that lends all that it takes."""
        user = self.person("asks-sets")
        template = next(each for each in self.server.objects(type="VM-template") if each["name_label"].startswith("Debian"))
        network, other = [each["id"] for each in self.server.objects(type="network")][:2]
        params = {"template": template["id"], "name_label": "x", "VIFs": [{"network": network}]}

        def why(**more):
            return self.server.call_with({"method": "vm.create", "user": user, "params": {**params, **more}}, "acl.explain")

        told = why()
        self.assertEqual((told["allowed"], told["objects"][0]["id"], told["objects"][0]["permission"]), (False, template["$pool"], "administrate"))
        made = self.server.call("resourceSet.create", name="to be explained", objects=[template["id"], network], limits={"cpus": 4})["id"]
        told = why(resourceSet=made)
        self.assertEqual((told["allowed"], told["resourceSet"]["isSubject"]), (False, False))
        self.assertIn("subject", told["reason"])
        self.server.call("resourceSet.addSubject", id=made, subject=user)
        told = why(resourceSet=made)
        self.assertEqual((told["allowed"], told["resourceSet"]["limits"]), (True, [{"limit": "cpus", "total": 4, "usage": 0}]), told)
        self.assertEqual({each["id"]: each["lent"] for each in told["resourceSet"]["objects"]}, {template["id"]: True, network: True})
        told = why(resourceSet=made, VIFs=[{"network": other}])
        self.assertEqual((told["allowed"], other in told["reason"]), (False, True))
        self.assertFalse(why(resourceSet="nowhere")["allowed"])
        self.server.call("acl.add", subject=user, object=template["$pool"], action="admin")
        self.assertTrue(why()["allowed"])

    def test_clean(self):
        """Rules of an object go with it; what is of nobody can be cleaned up."""
        user, vm = self.person("owner"), self.server.objects(type="VM")[0]["id"]
        snapshot = self.server.call("vm.snapshot", id=vm, name="with a rule")
        self.server.call("acl.add", subject=user, object=snapshot, action="viewer")
        self.server.call("acl.add", subject="11111111-2222-4333-8444-555555555555", object=vm, action="viewer")
        self.server.call("vm.delete", id=snapshot)
        self.assertEqual([acl["object"] for acl in self.server.call("acl.get")], [vm])
        self.assertIs(self.server.call("xo.clean"), True)
        self.assertEqual(self.server.call("acl.get"), [])
        self.assertIs(self.server.call("user.removeAuthProvider", id=user, authProvider="ldap"), True)  # there is none
        kept = {"id": "of-two", "email": "two", "permission": "none", "authProviders": {"ldap": {"id": "1"}, "oidc": {"id": "2"}}}
        path = self.server.call("xo.importConfig")["$sendTo"]
        urllib.request.urlopen(urllib.request.Request(self.server.url + path, data=json.dumps({"users": [kept]}).encode()), timeout=60).close()
        self.addCleanup(self.server.call, "user.delete", id="of-two")
        self.server.call("user.removeAuthProvider", id="of-two", authProvider="ldap")
        path = self.server.call("xo.exportConfig", entries=["users"], compress=False)["$getFrom"]
        with urllib.request.urlopen(self.server.url + path, timeout=60) as got:
            user, = [each for each in json.loads(got.read())["users"] if each["id"] == "of-two"]
        self.assertEqual(user["authProviders"], {"oidc": {"id": "2"}})


if __name__ == "__main__":
    unittest.main()
