"""REST v0 from outside: what a real Xen Orchestra answered, signing in, collections and their queries, what others
than administrators see; against cadenzad and a simulated pool."""
import base64
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, Server, Sim, until  # noqa: E402
from websocket import WebSocket  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", ROOT.parent / "shared/fixtures/xo")) / "objects"
NOWHERE = "11111111-2222-4333-8444-555555555555"
BASE = "/rest/v0"
# Collection → XO's type of its objects.
OBJECTS = {"vms": "VM", "vm-templates": "VM-template", "vm-controllers": "VM-controller", "hosts": "host", "pools": "pool",
           "srs": "SR", "vdis": "VDI", "vbds": "VBD", "vifs": "VIF", "networks": "network", "pifs": "PIF", "pbds": "PBD"}


def recorded(name):
    path = FIXTURES / name
    if not path.exists():
        raise unittest.SkipTest(f"no recorded exchanges in {FIXTURES}")
    return json.loads(path.read_text())


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()
        self.text = self.body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.text)


def setUpModule():
    """One pool and one server for all tests."""
    global box
    box = Box()
    unittest.addModuleCleanup(box.close)
    box.open()


class Box:
    def open(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-rest-"))
        self.sim = Sim("--hosts", 2, "--vms", 4, "--running", "0.5", "--disk-size", "16MiB", "--seed", 3,
                       log=self.folder / "sim.log")
        self.server = Server(str(self.folder / "data"), log=self.folder / "server.log")
        self.server.connect(self.sim)
        self.token = self.server.env["CADENZA_TOKEN"]

    def close(self):
        status = self.server.stop()
        self.sim.stop()
        log = (self.folder / "server.log").read_text()
        shutil.rmtree(self.folder, ignore_errors=True)
        if status:
            raise AssertionError(f"the server ended badly: {log[-3000:]}")


class Rest(unittest.TestCase):
    def ask(self, path, verb="GET", body=None, token=None, headers=None, root=BASE, data=None):
        """A request below /rest/v0 as the administrator, or with a token, or (False) as nobody."""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(box.server.url).netloc, timeout=60)
        self.addCleanup(connection.close)
        sent = dict(headers or {})
        if token is not False:
            sent["Cookie"] = f"authenticationToken={token or box.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection.request(verb, path if path.startswith(BASE) else root + path, body if data is None else data, sent)
        return Answer(connection.getresponse())

    def get(self, path, **more):
        answer = self.ask(path, **more)
        self.assertEqual(answer.status, 200, f"{path}: {answer.text}")
        return answer.json

    def refused(self, status, path, verb="GET", **more):
        answer = self.ask(path, verb, **more)
        self.assertEqual(answer.status, status, f"{path}: {answer.text}")
        return answer.json

    def vm(self, state):
        return next(vm for vm in box.server.objects(type="VM") if vm["power_state"] == state)


class Door(Rest):
    def test_public(self):
        self.assertEqual(self.get("/ping", token=False)["result"], "pong")
        answer = self.ask("", token=False)
        self.assertEqual((answer.status, answer.headers["Location"]), (302, "/rest/v0/docs"))
        self.assertEqual(self.ask("/", token=False).status, 302)

    def test_sign_in(self):
        basic = base64.b64encode(f"{box.server.user}:{box.server.password}".encode()).decode()
        for headers, status in (({}, 401), ({"Cookie": "authenticationToken=wrong"}, 401),
                                ({"Authorization": "Basic " + basic}, 200), ({"Authorization": "Basic %"}, 400),
                                ({"Authorization": "Bearer x"}, 400), ({"Cookie": f"token={box.token}"}, 200),
                                ({"Cookie": f"token=wrong; authenticationToken={box.token}"}, 200),
                                ({"Cookie": f"token={box.token}", "Authorization": "Basic " + basic}, 400)):
            answer = self.ask("/vms", token=False, headers=headers)
            self.assertEqual(answer.status, status, (headers, answer.text))
        answer = self.ask("/vms", token=False)
        self.assertEqual(answer.json, {"error": "invalid credentials"})
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Basic realm="xo"')
        # A page of another site has the cookie, but says where it comes from.
        self.assertEqual(self.ask("/vms", "PUT", headers={"Origin": "https://evil.example"}).status, 405)
        there = f"/vms/{NOWHERE}/tags/x"
        self.assertEqual(self.ask(there, "PUT", headers={"Origin": "https://evil.example"}).status, 403)
        self.assertEqual(self.ask(there, "PUT", headers={"Origin": box.server.url}).status, 404)
        # Guessing is slowed down, whatever is tried next.
        wrong = {"Authorization": "Basic " + base64.b64encode(b"nobody@example.org:wrong").decode()}
        self.assertEqual(self.ask("/vms", token=False, headers=wrong).status, 401)
        self.assertEqual(self.ask("/vms", token=False, headers=wrong).status, 429)

    def test_verbs(self):
        answer = self.ask("/vms", "PUT")
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.headers["Allow"], "GET, HEAD, OPTIONS")
        answer = self.ask("/vms", "OPTIONS", token=False)
        self.assertEqual((answer.status, answer.headers["Allow"]), (204, "GET, HEAD, OPTIONS"))
        for path in ("/events", "/tasks?watch=true&ndjson=true", f"{self.get('/vdis?limit=1')[0]}.raw"):
            answer = self.ask(path, "HEAD")
            self.assertEqual((answer.status, answer.text), (200, ""), path)
        answer = self.ask("/vms", "HEAD")
        self.assertEqual((answer.status, answer.text), (200, ""))
        self.assertEqual(int(answer.headers["Content-Length"]), len(self.ask("/vms").text))
        self.refused(404, "/no-such-collection")
        self.refused(404, f"/vms/{self.vm('Running')['id']}/actions/no_such", "POST")


# XO's routes, below each collection: "alarms messages tasks tags" of one, the verbs with one (and with all, before a slash), what is read below
# one, what is called.
ROUTES = {
    "vms": ("AMKT", "patch delete", ".xva .ova vdis stats backup-jobs dashboard",
            "start clean_shutdown clean_reboot hard_shutdown hard_reboot pause suspend resume unpause snapshot revert_snapshot clone migrate"),
    "vm-templates": ("AMKT", "delete", ".xva .ova vdis", ""), "vm-snapshots": ("AMKT", "delete", ".xva .ova vdis", ""),
    "vm-controllers": ("AMKT", "", "vdis", ""),
    "hosts": ("AMKT", "", "stats audit.txt logs.tgz smt missing_patches",
              "start enable disable clean_shutdown clean_reboot smart_reboot restart_toolstack emergency_shutdown detach forget scan_pifs management_reconfigure"),
    "pools": ("AMKT", "", "stats dashboard missing_patches",
              "create_vm create_network create_internal_network create_bonded_network emergency_shutdown rolling_reboot rolling_update management_reconfigure "
              "add_host"),
    "srs": ("AMKT", "post/delete", "", "scan reclaim_space forget"), "vdis": ("AMKT", "post/patch delete", ".raw .vhd", "migrate"),
    "vdi-snapshots": ("AMKT", "delete", ".raw .vhd", ""), "vbds": ("AMK", "post/delete", "", "connect disconnect"),
    "vifs": ("AMK", "post/patch delete", "", "connect disconnect"), "networks": ("AMKT", "delete", "", ""), "pifs": ("AMK", "", "", ""),
    "pbds": ("", "", "", "plug unplug"), "pcis": ("", "", "", ""), "pgpus": ("", "", "", ""), "sms": ("", "", "", ""),
    "messages": ("", "", "", ""), "alarms": ("", "", "", ""), "servers": ("K", "post/delete", "", "connect disconnect"),
    "users": ("K", "post/patch delete", "groups authentication_tokens acl-privileges", ""),
    "groups": ("K", "post/patch delete", "users acl-roles", ""),
    "acl-roles": ("", "post/patch delete", "users groups privileges", "copy"), "acl-privileges": ("", "post/patch delete", "", ""),
    "schedules": ("", "", "", "run"), "backup-jobs": ("", "", "", ""), "backup-logs": ("", "", "", ""), "restore-logs": ("", "", "", ""),
    "backup-repositories": ("", "post/patch", "health", "forget benchmark"), "backup-archives": ("", "", "", ""),
    "backup/jobs/vm": ("", "", "", ""), "backup/jobs/metadata": ("", "", "", ""), "backup/jobs/mirror": ("", "", "", ""),
    "backup/logs": ("", "", "", ""), "restore/logs": ("", "", "", ""), "proxies": ("", "", "", ""), "tasks": ("", "delete/delete", "", "abort"),
    "plugins/audit/records": ("", "", "", ""),
}
OTHER_ROUTES = """get /dashboard, get /events, post /events/{id}/subscriptions, delete /events/{id}/subscriptions/{collection}, get /ping, get /gui-routes,
    get /docs, get /docs/swagger.json, get /mcp/status, post /pools/{id}/vms, post /srs/{id}/vdis, put /vdis/{id}.vhd, put /vdis/{id}.raw,
    put /vms/{id}/stats/data_source/{ds}, delete /vms/{id}/stats/data_source/{ds}, post /users/{id}/authentication_tokens, post /users/authentication_tokens,
    get /users/me, put /groups/{id}/users/{userId}, delete /groups/{id}/users/{userId}, put /acl-roles/{id}/users/{userId}, delete /acl-roles/{id}/users/{userId},
    put /acl-roles/{id}/groups/{groupId}, delete /acl-roles/{id}/groups/{groupId}, post /tasks/{id}/abort"""


def routes_of_xo():
    yield from (tuple(words.split()) for words in OTHER_ROUTES.split(","))
    for name, (subs, verbs, below, actions) in ROUTES.items():
        yield from (("get", f"/{name}"), ("get", f"/{name}/{{id}}"))
        yield from (("get", f"/{name}/{{id}}/{sub}") for letter, sub in zip("AMK", ("alarms", "messages", "tasks")) if letter in subs)
        yield from ((verb, f"/{name}/{{id}}/tags/{{tag}}") for verb in ("put", "delete") if "T" in subs)
        with_all, _, with_one = verbs.rpartition("/")
        yield from ((verb, f"/{name}") for verb in with_all.split())
        yield from ((verb, f"/{name}/{{id}}") for verb in with_one.split())
        yield from (("get", f"/{name}/{{id}}{'' if word[0] == '.' else '/'}{word}") for word in below.split())
        yield from (("post", f"/{name}/{{id}}/actions/{word}") for word in actions.split())


class Description(Rest):
    def test_every_route(self):
        """What XO serves is served."""
        paths = self.get("/docs/swagger.json", token=False)["paths"]
        missing = sorted(f"{verb} {path}" for verb, path in routes_of_xo() if verb not in paths.get(path, {}))
        self.assertEqual(missing, [])

    VERBS = {"get", "put", "post", "patch", "delete"}

    def test_openapi(self):
        """The document is whole in itself, and has what the server has."""
        document = self.get("/docs/swagger.json", token=False)
        self.assertRegex(document["openapi"], r"^3\.0\.\d$")
        self.assertLessEqual({"title", "version"}, set(document["info"]))
        operations = [(path, verb, operation) for path, item in document["paths"].items()
                      for verb, operation in item.items()]
        self.assertGreater(len(operations), 100)
        ids = [operation["operationId"] for _, _, operation in operations]
        self.assertEqual(len(set(ids)), len(ids))
        for path, verb, operation in operations:
            with self.subTest(f"{verb} {path}"):
                self.assertIn(verb, self.VERBS)
                self.assertTrue(operation["summary"])
                named = [item["name"] for item in operation["parameters"] if item["in"] == "path"]
                self.assertEqual(sorted(named), sorted(re.findall(r"{(\w+)}", path)))
                names = [(item["name"], item["in"]) for item in operation["parameters"]]
                self.assertEqual(len(set(names)), len(names))
                self.assertTrue(all("schema" in item for item in operation["parameters"]))
                self.assertTrue(operation["responses"])
                self.assertTrue(all("description" in answer for answer in operation["responses"].values()))
                for media in operation.get("requestBody", {}).get("content", {}).values():
                    schema = media["schema"]
                    self.assertLessEqual(set(schema.get("required", [])), set(schema["properties"]))
                    self.assertNotIn("id", schema["properties"])
        paths = document["paths"]
        for name in OBJECTS:
            self.assertEqual([item["name"] for item in paths[f"/{name}"]["get"]["parameters"]],
                             ["fields", "filter", "limit", "ndjson", "markdown"])
            self.assertIn("get", paths[f"/{name}/{{id}}"])
        start = paths["/vms/{id}/actions/start"]["post"]
        self.assertIn("hostId", start["requestBody"]["content"]["application/json"]["schema"]["properties"])
        self.assertEqual({"202", "200", "204", "401", "4XX", "default"}, set(start["responses"]))

    def test_reads(self):
        """Every address that can be read without an id answers what it says."""
        for path, item in self.get("/docs/swagger.json")["paths"].items():
            if "get" in item and "{" not in path and path not in ("/users/me", "/events"):
                answer = self.ask(path)
                self.assertEqual(answer.status, 200, f"{path}: {answer.text[:200]}")

    def test_page(self):
        answer = self.ask("/docs", token=False)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])


class CommandLine(Rest):
    def test_rest(self):
        command = box.server.command
        names = json.loads(command("--json", "rest", "get", "vms", "fields=name_label", "filter=power_state:Running").stdout)
        self.assertEqual([item["name_label"] for item in names],
                         [item["name_label"] for item in self.get("/vms?fields=name_label&filter=power_state:Running")])
        self.assertEqual(json.loads(command("rest", "get", "/rest/v0/ping").stdout)["result"], "pong")
        run = command("--json", "rest", "post", "groups", "name=by the command line")
        self.assertEqual(run.returncode, 0, run.stderr)
        group = f"groups/{json.loads(run.stdout)['id']}"
        self.assertEqual(command("rest", "patch", group, "name=renamed").returncode, 0)
        self.assertEqual(self.get(f"/{group}")["name"], "renamed")
        vm = f"vms/{self.vm('Running')['id']}"
        self.assertEqual(command("rest", "put", vm + "/tags/told").returncode, 0)
        self.assertIn("told", self.get(f"/{vm}")["tags"])
        self.assertEqual(command("rest", "del", vm + "/tags/told").returncode, 0)
        self.assertEqual(command("rest", "del", group).returncode, 0)
        gone = command("rest", "get", group)
        self.assertEqual(gone.returncode, 1)
        self.assertIn("404", gone.stderr)
        self.assertEqual(command("rest", "get").returncode, 2)


class Lists(Rest):
    def test_objects(self):
        """A collection is the objects of a type, with their paths."""
        everything = box.server.call("xo.getAllObjects")
        for name, xo_type in OBJECTS.items():
            with self.subTest(name):
                wanted = {id_: dict(item, href=f"{BASE}/{name}/{id_}") for id_, item in everything.items()
                          if item["type"] == xo_type}
                self.assertTrue(wanted)
                self.assertEqual({item["id"]: item for item in self.get(f"/{name}?fields=*")}, wanted)
                paths = self.get(f"/{name}")
                self.assertEqual(sorted(paths), sorted(item["href"] for item in wanted.values()))
                one = self.get(paths[0][len(BASE):])
                self.assertEqual(dict(one, href=paths[0]), wanted[one["id"]])

    def test_recorded_collections(self):
        """Every collection of XO is here; records have the fields that XO's have."""
        index = recorded("rest/_index.json")
        for name, case in index.items():
            with self.subTest(name):
                if name in ("dashboard", "tasks"):
                    continue
                answer = self.ask(case["request"])
                if name in ("backup/jobs/metadata", "backup/jobs/mirror"):
                    self.assertEqual(answer.status, 200)  # XO redirects these to where nothing is
                    continue
                self.assertEqual(answer.status, case["status"], answer.text)
                if case["status"] == 200:
                    self.assertEqual(answer.headers["Content-Type"], case["type"])
                    self.assertIsInstance(answer.json, type(recorded(f"rest/{name.replace('/', '-')}.json")))
        for name in ("servers", "users"):
            keys = set.intersection(*(set(item) for item in recorded(f"rest/{name}.json")))
            for item in self.get(f"/{name}?fields=*"):
                self.assertLessEqual(keys - {"label"}, set(item), name)
                self.assertNotIn("password", item)
                self.assertEqual(item.get("pw_hash", "***obfuscated***"), "***obfuscated***")

    def test_queries(self):
        running = {vm["id"]: vm for vm in box.server.objects(type="VM") if vm["power_state"] == "Running"}
        self.assertEqual(len(running), 2)
        got = self.get("/vms?fields=name_label,power_state&filter=power_state:Running")
        self.assertEqual(sorted(item["href"] for item in got), sorted(f"{BASE}/vms/{id_}" for id_ in running))
        for item in got:
            vm = running[item["href"].rsplit("/", 1)[1]]
            self.assertEqual(item, {"name_label": vm["name_label"], "power_state": "Running", "href": item["href"]})
            self.assertEqual(list(item), ["name_label", "power_state", "href"])
        self.assertEqual(len(self.get("/vms?limit=3")), 3)
        self.assertEqual(len(self.get("/vms?limit=1&filter=power_state:Running")), 1)
        self.assertEqual(self.get("/vms?limit=0"), [])
        self.assertEqual(self.get("/vms?filter=" + urllib.parse.quote("name_label:/^no such/")), [])
        self.assertEqual(len(self.get("/vms?filter=running")), 2)  # looks into every field
        self.assertEqual(self.get("/vms?fields=no_such&limit=1"), [{"href": self.get("/vms?limit=1")[0]}])

    def test_forms(self):
        names = [item["name_label"] for item in self.get("/vms?fields=name_label")]
        answer = self.ask("/vms?fields=name_label&ndjson=true")
        self.assertEqual(answer.headers["Content-Type"], "application/x-ndjson")
        self.assertEqual([json.loads(line)["name_label"] for line in answer.text.splitlines()], names)
        answer = self.ask("/vms?fields=name_label,id&markdown=true")
        self.assertEqual(answer.headers["Content-Type"], "text/markdown; charset=utf-8")
        lines = answer.text.splitlines()
        self.assertEqual(lines[:2], ["| name_label | id |", "| --- | --- |"])
        self.assertEqual([line.split(" | ")[0][2:] for line in lines[2:]], names)

    def test_wrong_queries(self):
        """The status and the shape of XO's refusals; its words where they do not depend on its parser."""
        for case in recorded("rest/_samples.json"):
            if case["path"] in (f"{BASE}/vms?filter=(", f"{BASE}/vms?limit=x",
                                f"{BASE}/vms?fields=name_label&ndjson=true&markdown=true", f"{BASE}/vms/{NOWHERE}"):
                answer = self.ask(case["path"])
                self.assertEqual(answer.status, case["status"])
                want, have = case["body"], answer.json
                if "filter" in case["path"]:
                    want.pop("error")
                    have.pop("error")
                self.assertEqual(have, want)
        vm = self.vm("Running")["id"]
        self.assertEqual(self.refused(404, f"/hosts/{vm}"),
                         {"error": f"no such host {vm}", "data": {"id": vm, "type": "host"}})

    def test_below_one(self):
        vm = self.vm("Running")
        vbds = [vbd for vbd in box.server.objects(type="VBD") if vbd["VM"] == vm["id"] and not vbd["is_cd_drive"]]
        self.assertEqual(sorted(self.get(f"/vms/{vm['id']}/vdis")), sorted(f"{BASE}/vdis/{vbd['VDI']}" for vbd in vbds))
        messages = [item for item in box.server.objects(type="message") if item["$object"] == vm["id"]
                    and item["name"] != "ALARM"]
        self.assertEqual(sorted(self.get(f"/vms/{vm['id']}/messages")),
                         sorted(f"{BASE}/messages/{item['id']}" for item in messages))
        self.refused(404, f"/vms/{NOWHERE}/messages")

    def test_alarms(self):
        """A message of the pool becomes an alarm in XO's shape."""
        wanted = recorded("rest/alarms.json")[0]
        source = next(item for item in recorded("xo-all-objects.json").values() if item["id"] == wanted["id"])
        vm = self.vm("Running")
        session = box.sim.session()
        session.call("message.create", source["name"], "5", "VM", vm["uuid"], source["body"])
        alarms = self.wait_for(lambda: self.get(f"/vms/{vm['id']}/alarms?fields=*"))
        self.assertEqual(set(alarms[0]), set(wanted))
        self.assertEqual(alarms[0]["body"], wanted["body"])
        self.assertEqual(alarms[0]["object"], {"type": "VM", "uuid": vm["uuid"], "href": f"{BASE}/vms/{vm['id']}"})
        self.assertEqual(self.get("/alarms?fields=*"), alarms)
        self.assertNotIn(alarms[0]["id"], [item["id"] for item in self.get("/messages?fields=id")])

    def wait_for(self, condition):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        self.fail("never came")


class Actions(Rest):
    def task_of(self, answer):
        """The path of the task that a 202 tells about."""
        self.assertEqual(answer.status, 202, answer.text)
        self.assertEqual(answer.headers["Location"], f"{BASE}/tasks/{answer.json['taskId']}")
        self.assertEqual(set(answer.json), {"taskId"})
        return answer.headers["Location"]

    def test_power(self):
        """Done at once with sync, else as a task; both are seen when they have ended."""
        vm = next(vm for vm in box.server.objects(type="VM") if vm["power_state"] == "Halted")["id"]
        answer = self.ask(f"/vms/{vm}/actions/start?sync=true", "POST")
        self.assertEqual((answer.status, answer.text), (204, ""))
        self.assertEqual(self.get(f"/vms/{vm}")["power_state"], "Running")
        task = self.task_of(self.ask(f"/vms/{vm}/actions/hard_shutdown", "POST"))
        for wait in ("wait", "wait=", "wait=result", "wait=true"):
            record = self.get(f"{task}?{wait}")
            self.assertEqual(record["status"], "success")
        self.assertEqual(self.get(f"/vms/{vm}")["power_state"], "Halted")
        self.assertEqual(record["properties"], {
            "name": "REST API: hard shutdown VM", "type": "xo:rest-api:action", "objectId": vm, "objectType": "VM",
            "userId": box.server.call("session.getUser")["id"]})
        for key in ("start", "end", "updatedAt"):
            self.assertIsInstance(record[key], int)
        self.assertIn(task, self.get(f"/vms/{vm}/tasks"))
        self.assertIn(task, self.get("/tasks?filter=status:success"))

    def test_refusals(self):
        """As XO refuses: by the pool with its words, as a task that fails, or at once."""
        sample = next(case for case in recorded("rest/_samples.json") if case["path"].endswith("start?sync=true")
                      and case["status"] == 500)
        vm = self.vm("Running")
        answer = self.refused(500, f"/vms/{vm['id']}/actions/start?sync=true", "POST")
        self.assertEqual(answer["info"], sample["body"]["info"])
        self.assertEqual(answer["error"].split("(")[0], sample["body"]["error"].split("(")[0])
        self.assertEqual(answer["error"].split("(")[1].lower(),
                         f"{vm['_xapiRef']}, halted, running)".lower())
        record = self.get(self.task_of(self.ask(f"/vms/{vm['id']}/actions/start", "POST")) + "?wait")
        self.assertEqual((record["status"], record["result"]["code"], record["result"]["name"]),
                         ("failure", "VM_BAD_POWER_STATE", "XapiError"))
        self.assertEqual(record["result"]["params"][0], vm["_xapiRef"])
        self.assertEqual(self.refused(404, f"/vms/{NOWHERE}/actions/start", "POST")["data"],
                         {"id": NOWHERE, "type": "VM"})
        self.refused(404, f"/hosts/{vm['id']}/actions/enable", "POST")
        wrong = self.refused(422, f"/vms/{vm['id']}/actions/start", "POST", body={"no_such": 1})
        self.assertTrue(wrong["data"]["errors"])
        self.assertEqual(self.ask(f"/vms/{vm['id']}/actions/start", "POST", headers={"X": "1"}, body=[1]).status, 422)

    def test_words(self):
        """A refusal names what the client has to send, not what the method calls it."""
        def violation(path, verb, body):
            return self.refused(422, path, verb, body=body)["data"]["errors"][0]
        vm = self.vm("Halted")["id"]
        missing = violation("/vdis", "POST", {"virtual_size": 1 << 20})
        self.assertEqual((missing["params"], missing["message"]),
                         ({"missingProperty": "srId"}, "must have required property 'srId'"))
        wrong = violation(f"/vms/{vm}", "PATCH", {"cpus": "4"})
        self.assertEqual((wrong["instancePath"], wrong["schemaPath"]), ("/cpus", "#/properties/cpus/type"))
        self.assertEqual(self.refused(422, f"/vms/{vm}", "PATCH", body={"cpus": 0})["error"], "cpus: expected a number from 1")
        self.assertEqual(violation(f"/vms/{vm}/actions/migrate", "POST", {})["params"], {"missingProperty": "hostId"})
        self.assertEqual(violation("/users", "POST", {"name": "", "password": "x"})["instancePath"], "/name")
        self.assertEqual(violation("/vbds", "POST", {})["params"], {"missingProperty": "VM"})
        wrong = violation(f"/vms/{vm}/actions/clone", "POST", {"fast": "true"})
        self.assertEqual((wrong["instancePath"], wrong["message"]), ("/fast", "must be boolean"))

    def test_changed_tags(self):
        """PATCH replaces all of them, or none."""
        vm = self.vm("Halted")["id"]
        before = self.get(f"/vms/{vm}")["tags"]
        for tags in (["patched", "twice"], [], before):
            self.assertEqual(self.ask(f"/vms/{vm}", "PATCH", body={"tags": tags}).status, 204)
            until(lambda tags=tags: sorted(self.get(f"/vms/{vm}")["tags"]) == sorted(tags), f"tags {tags}")
        self.refused(422, f"/vms/{vm}", "PATCH", body={"tags": [1]})

    def test_snapshot(self):
        vm = self.vm("Running")["id"]
        answer = self.ask(f"/vms/{vm}/actions/snapshot?sync=true", "POST", body={"name_label": "before"})
        self.assertEqual((answer.status, set(answer.json)), (201, {"id"}), answer.text)
        path = f"{BASE}/vm-snapshots/{answer.json['id']}"
        self.assertEqual(answer.headers["Location"], path)
        snapshot = self.get(path)
        self.assertEqual((snapshot["name_label"], snapshot["$snapshot_of"]), ("before", vm))
        self.assertTrue(self.get(path + "/vdis")[0].startswith(f"{BASE}/vdi-snapshots/"))
        other = next(item["id"] for item in box.server.objects(type="VM") if item["id"] != vm)
        self.refused(422, f"/vms/{other}/actions/revert_snapshot?sync=true", "POST",
                     body={"snapshotId": answer.json["id"]})
        self.refused(404, f"/vms/{answer.json['id']}", "DELETE")  # not of that kind
        self.assertEqual(self.ask(path, "DELETE").status, 204)
        self.refused(404, path)

    def test_tags(self):
        vm = self.vm("Running")["id"]
        for tag in ("a tag", "a/b", "plain"):
            path = f"/vms/{vm}/tags/{urllib.parse.quote(tag, safe='')}"
            self.assertEqual(self.ask(path, "PUT").status, 204)
            self.assertIn(tag, self.get(f"/vms/{vm}")["tags"])
            self.assertEqual(self.ask(path, "DELETE").status, 204)
            self.assertNotIn(tag, self.get(f"/vms/{vm}")["tags"])

    def test_block_devices(self):
        """What Go's client sends to attach a disk; an empty drive; storages of any kind."""
        vm = self.vm("Halted")
        sr = box.server.objects(type="pool")[0]["default_SR"]
        disk = self.ask("/vdis", "POST", body={"srId": sr, "virtual_size": 1 << 20, "name_label": "new"}).json["id"]
        self.refused(422, "/vbds", "POST", body={"VM": vm["id"]})
        made = self.ask("/vbds", "POST", body={"VM": vm["id"], "VDI": disk, "mode": "RO", "other_config": {"a": "b"}})
        self.assertEqual((made.status, made.headers["Location"]), (201, f"{BASE}/vbds/{made.json['id']}"), made.text)
        vbd = self.get(made.headers["Location"])
        self.assertEqual((vbd["VM"], vbd["VDI"], vbd["read_only"], vbd["is_cd_drive"]), (vm["id"], disk, True, False))
        drive = self.ask("/vbds", "POST", body={"VM": vm["id"], "type": "CD", "empty": True, "userdevice": "9"})
        self.assertEqual([self.get(drive.headers["Location"])[key] for key in ("is_cd_drive", "position")], [True, "9"], drive.text)
        for path in (made.headers["Location"], drive.headers["Location"], f"/vdis/{disk}"):
            self.assertEqual(self.ask(path, "DELETE").status, 204)
        host = box.server.objects(type="host")[0]["id"]
        made = self.ask("/srs", "POST", body={"hostId": host, "SR_type": "nfs", "name_label": "more",
                                              "device_config": {"server": "nfs.example.org", "serverpath": "/more"}})
        self.assertEqual(made.status, 201, made.text)
        self.assertEqual(self.get(made.headers["Location"])["SR_type"], "nfs")
        self.assertEqual(self.ask(f"{made.headers['Location']}/actions/forget?sync=true", "POST").status, 204)

    def test_records(self):
        """Users, groups, repositories: made, changed, looked at, deleted."""
        made = self.ask("/users", "POST", body={"name": "made@example.org", "password": "a password"})
        self.assertEqual(made.status, 201, made.text)
        self.assertIn("already exists", self.refused(409, "/users", "POST", body={"name": "Made@example.org", "password": "x"})["error"])
        user = made.headers["Location"]
        self.assertEqual(self.get(user)["name"], "made@example.org")
        self.assertEqual(self.ask(user, "PATCH", body={"name": "other@example.org"}).status, 204)
        self.assertEqual(self.get(user)["email"], "other@example.org")
        group = self.ask("/groups", "POST", body={"name": "a group"}).headers["Location"]
        self.assertEqual(self.ask(f"{group}/users/{made.json['id']}", "PUT").status, 204)
        self.assertEqual(self.get(group)["users"], [made.json["id"]])
        for path in (group, user):
            self.assertEqual(self.ask(path, "DELETE").status, 204)
            self.refused(404, path)
        folder = box.folder / "repository"
        folder.mkdir()
        made = self.ask("/backup-repositories", "POST", body={"name": "r", "url": f"file://{folder}"})
        self.assertEqual(made.status, 201, made.text)
        self.assertTrue(self.get(made.headers["Location"] + "/health")["success"])
        self.assertEqual(self.get(f"/backup-archives?backup-repository={made.json['id']}"), [])
        self.assertEqual(self.ask(made.headers["Location"] + "/actions/forget?sync=true", "POST").status, 204)
        self.refused(404, made.headers["Location"])


    def test_create_vm(self):
        """What the Go client sends to make a machine, change it, and remove it."""
        pool = box.server.objects(type="pool")[0]
        template = next(item for item in box.server.objects(type="VM-template"))
        sr = next(item for item in box.server.objects(type="SR") if item["id"] == pool["default_SR"])
        network = box.server.objects(type="network")[0]
        self.refused(422, f"/pools/{pool['id']}/actions/create_vm", "POST", body={"name_label": "x"})
        body = {"template": template["uuid"], "name_label": "made here", "vifs": [{"network": network["id"]}],
                "vdis": [{"name_label": "a disk", "name_description": "", "size": 16 << 20, "sr": sr["id"]}]}
        task = self.task_of(self.ask(f"/pools/{pool['id']}/actions/create_vm", "POST", body=body))
        record = self.get(f"{task}?wait=true")
        self.assertEqual(record["status"], "success", record)
        path = f"/vms/{record['result']['id']}"
        vm = self.get(path)
        self.assertEqual((vm["name_label"], len(vm["VIFs"])), ("made here", 1))
        self.assertIn("a disk", [vdi["name_label"] for vdi in self.get(f"{path}/vdis?fields=name_label")])
        changes = {"nameLabel": "renamed", "name_description": "described", "cpus": 1}
        self.assertEqual(self.ask(path, "PATCH", body=changes).status, 204)
        vm = self.get(path)
        self.assertEqual((vm["name_label"], vm["name_description"], vm["CPUs"]["number"]), ("renamed", "described", 1))
        answer = self.ask(f"{path}/actions/clone?sync=true", "POST")
        self.assertEqual(answer.status, 201, answer.text)
        self.assertEqual(self.get(answer.headers["Location"])["name_label"], "renamed_clone")
        for made in (answer.headers["Location"], path):
            self.assertEqual(self.ask(made, "DELETE").status, 204)
            self.refused(404, made)


class Transfers(Rest):
    """Contents as streams; the simulator tells what a disk holds."""

    def send(self, path, data, verb="POST", chunked=False):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(box.server.url).netloc, timeout=60)
        self.addCleanup(connection.close)
        headers = {"Cookie": f"authenticationToken={box.token}", "Content-Type": "application/octet-stream"}
        connection.request(verb, BASE + path, iter([data]) if chunked else data, headers, encode_chunked=chunked)
        return Answer(connection.getresponse())

    def fetch(self, path):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(box.server.url).netloc, timeout=60)
        self.addCleanup(connection.close)
        connection.request("GET", BASE + path, headers={"Cookie": f"authenticationToken={box.token}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def test_disks(self):
        """What Terraform sends becomes a disk with those bytes, and comes back as it was sent."""
        sr = box.server.objects(type="pool")[0]["default_SR"]
        data = (b"A disk. " * 512 + os.urandom(4096)) * 512  # 4 MiB
        made = self.send(f"/srs/{sr}/vdis?raw=true&name_label=told&name_description=words", data)
        self.assertEqual((made.status, set(made.json)), (201, {"id"}), made.text)
        disk = self.get(f"/vdis/{made.json['id']}")
        self.assertEqual((disk["name_label"], disk["name_description"], disk["size"]), ("told", "words", len(data)))
        self.assertEqual(box.sim.digest(disk["uuid"]), hashlib.sha256(data).hexdigest())
        status, headers, raw = self.fetch(f"/vdis/{disk['id']}.raw")
        self.assertEqual((status, int(headers["Content-Length"])), (200, len(data)))
        self.assertEqual(headers["Content-Disposition"], 'attachment; filename="told.raw"')
        self.assertEqual(raw, data)
        status, headers, vhd = self.fetch(f"/vdis/{disk['id']}.vhd")
        self.assertEqual((status, vhd[:8]), (200, b"conectix"))
        copy = self.send(f"/srs/{sr}/vdis?name_label=copy", vhd, chunked=True)
        self.assertEqual(copy.status, 201, copy.text)
        self.assertEqual(box.sim.digest(copy.json["id"]), box.sim.digest(disk["uuid"]))
        other = data[::-1]
        self.assertEqual(self.send(f"/vdis/{copy.json['id']}.raw", other, "PUT").status, 204)
        self.assertEqual(box.sim.digest(copy.json["id"]), hashlib.sha256(other).hexdigest())
        before = len(self.get("/vdis"))
        self.assertEqual(self.send(f"/srs/{sr}/vdis", b"no VHD at all").status, 422)
        self.assertEqual(self.send(f"/srs/{sr}/vdis?raw=true", data, chunked=True).status, 422)
        broken = self.send(f"/srs/{sr}/vdis", vhd[:512] + bytes(8192))  # a footer and nothing behind it
        self.assertGreaterEqual(broken.status, 400)
        self.assertEqual(len(self.get("/vdis")), before)
        for made in (disk, copy.json):
            self.assertEqual(self.ask(f"/vdis/{made['id']}", "DELETE").status, 204)
        self.assertEqual(self.fetch(f"/vdis/{NOWHERE}.raw")[0], 404)

    def test_machines(self):
        """A machine goes out as an archive and comes in again with the same disks."""
        vm = next(vm for vm in box.server.objects(type="VM") if vm["power_state"] == "Halted")
        status, headers, archive = self.fetch(f"/vms/{vm['id']}.xva")
        self.assertEqual(status, 200, archive[:300])
        pool = box.server.objects(type="pool")[0]
        made = self.send(f"/pools/{pool['id']}/vms?sr={pool['default_SR']}", archive)
        self.assertEqual(made.status, 201, made.text)
        path = made.headers["Location"][len(BASE):]
        def digests(path):
            return sorted(box.sim.digest(vdi["uuid"]) for vdi in self.get(path + "/vdis?fields=uuid"))
        self.assertEqual(digests(path), digests(f"/vms/{vm['id']}"))
        self.assertEqual(self.ask(path, "DELETE").status, 204)


class Tasks(Rest):
    def test_watch(self):
        """Each change of a task is a line, in the form of the list."""
        self.refused(400, "/tasks?watch=true")
        self.ask("/tasks", "DELETE")
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(box.server.url).netloc, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", f"{BASE}/tasks?ndjson=true&watch=true&fields=id,status",
                           headers={"Cookie": f"authenticationToken={box.token}"})
        stream = connection.getresponse()
        vm = self.vm("Running")["id"]
        task = self.ask(f"/vms/{vm}/actions/snapshot", "POST", body={"name_label": "watched"}).json["taskId"]
        seen = []
        while not seen or seen[-1][1]["status"] == "pending":
            event = json.loads(stream.readline())
            if event[1]["id"] == task:
                seen.append(event)
        self.assertEqual(seen[-1], ["update", {"id": task, "status": "success", "href": f"{BASE}/tasks/{task}"}])
        result = self.get(f"/tasks/{task}")["result"]
        self.assertEqual(self.get(f"/vm-snapshots/{result['id']}")["name_label"], "watched")
        self.assertEqual(self.ask(f"/tasks/{task}", "DELETE").status, 204)
        self.assertEqual(json.loads(stream.readline())[0], "remove")
        self.refused(404, f"/tasks/{task}")

    def test_abort(self):
        """What the Go client calls, and XO's own: the pool stops what it does, and the task says so."""
        vm = self.vm("Running")["id"]
        task = self.ask(f"/vms/{vm}/actions/snapshot", "POST").json["taskId"]
        self.get(f"/tasks/{task}?wait")
        self.refused(409, f"/tasks/{task}/abort", "POST")
        self.refused(404, "/tasks/nowhere/actions/abort", "POST")
        task, _ = self.slow(lambda: self.ask(f"/vms/{vm}/actions/snapshot", "POST", body={"name_label": "is never made"}).json["taskId"])
        self.assertEqual(self.ask(f"/tasks/{task}/actions/abort", "POST").status, 204)
        ended = self.get(f"/tasks/{task}?wait")
        self.assertEqual(ended["status"], "failure", ended)
        self.assertIn("cancelled", ended["result"]["message"].lower())
        self.assertIn("abortionRequestedAt", ended)
        self.assertEqual(box.server.objects(name_label="is never made"), [])

    def test_abort_too_late(self):
        """A pool that goes on with what it was told to end: the caller is told of the end, and what comes of it is taken away again."""
        vm = self.vm("Running")["id"]
        disks = {disk["id"] for type_ in ("VDI", "VDI-snapshot") for disk in box.server.objects(type=type_)}
        task, pool_task = self.slow(lambda: self.ask(f"/vms/{vm}/actions/snapshot", "POST", body={"name_label": "too late"}).json["taskId"])
        box.sim.fault(kind="error", method="task.cancel", error=["OPERATION_NOT_ALLOWED", "not any more"])
        self.assertEqual(self.ask(f"/tasks/{task}/actions/abort", "POST").status, 204)
        self.assertEqual(self.get(f"/tasks/{task}?wait")["status"], "failure")
        until(lambda: pool_task not in self.pending(), "the end of the pool's task", 30)
        until(lambda: not self.pool.call("VM.get_by_name_label", "too late"), "the snapshot has gone", 30)
        until(lambda: disks == {disk["id"] for type_ in ("VDI", "VDI-snapshot") for disk in box.server.objects(type=type_)}, "its disks, too", 30)
        until(lambda: pool_task not in self.pool.call("task.get_all"), "and the task", 30)

    def setUp(self):
        self.pool = box.sim.session()
        self.addCleanup(self.pool.proxy("close"))

    def slow(self, ask):
        """Asks for a snapshot that the pool begins, and does not go on with for a while: (what asking gave, the pool's task)."""
        until(lambda: not self.pending(), "the end of what was begun before")
        box.sim.fault(kind="latency", method="VM.snapshot", ms=4000, count=1)
        self.addCleanup(box.sim.control, "/sim/faults/clear", {})
        return ask(), until(self.pending, "a task of the pool")[0]

    def pending(self):
        records = self.pool.call("task.get_all_records")
        return [ref for ref, record in records.items() if record["status"] == "pending" and "snapshot" in record["name_label"].lower()]

    def test_one_shape(self):
        """A call of JSON-RPC that lasts is a task on every surface: of one shape, with its progress, to be ended from each."""
        vm = self.vm("Running")["id"]
        socket = WebSocket(box.server.url)
        self.addCleanup(socket.close)
        self.assertIn("result", socket.call("session.signIn", {"token": box.token}))
        asked, pool_task = self.slow(lambda: socket.ask("vm.snapshot", {"id": vm, "name": "by a socket"}))
        task = until(lambda: [task for task in box.server.call("task.getAll", objectId=vm) if task["status"] == "pending"], "its task")[0]["id"]
        self.pool.call("task.set_progress", pool_task, 0.42)
        until(lambda: self.get(f"/tasks/{task}")["properties"].get("progress") == 42, "its progress")
        shown = box.server.call("task.get", id=task)
        self.assertEqual(shown, self.get(f"/tasks/{task}"))
        self.assertEqual({key: shown["properties"][key] for key in ("name", "type", "method", "objectId", "params")},
                         {"name": "API call: vm.snapshot", "type": "api.call", "method": "vm.snapshot", "objectId": vm,
                          "params": {"id": vm, "name": "by a socket"}})
        self.assertIn(f"{BASE}/tasks/{task}", self.get(f"/vms/{vm}/tasks"))
        events = Events("open")
        self.addCleanup(events.doCleanups)
        events.passed = []
        stream, id_ = events.open()
        events.subscribe(id_, "task", fields="*")
        self.assertIs(box.server.call("task.abort", id=task), True)
        told = {}
        while told.get("status") != "failure":
            told = events.next(stream, task)[1]
        ended = box.server.call("task.get", id=task)
        self.assertEqual(ended, self.get(f"/tasks/{task}"))
        self.assertEqual({key: value for key, value in told.items() if key not in ("$subscription", "event")}, ended)
        answer = socket.answer()
        self.assertEqual((answer["id"], answer["error"]["message"]), (asked, ended["result"]["message"]))
        # What ends well is no task any more.
        self.assertIn("result", socket.call("vm.snapshot", {"id": vm, "name": "quick"}))
        self.assertEqual([each["id"] for each in box.server.call("task.getAll", objectId=vm) if each["properties"]["type"] == "api.call"], [task])
        self.assertEqual(self.ask(f"/tasks/{task}", "DELETE").status, 204)


class Events(Rest):
    def open(self, token=None):
        """A stream of events: its socket's reader, and its id."""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(box.server.url).netloc, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", f"{BASE}/events", headers={"Cookie": f"authenticationToken={token or box.token}"})
        stream = connection.getresponse()
        self.addCleanup(stream.close)
        self.assertEqual((stream.status, stream.headers["Content-Type"]), (200, "text/event-stream"))
        event, data = self.next(stream)
        self.assertEqual((event, set(data)), ("init", {"id"}))
        return stream, data["id"]

    def next(self, stream, about=None):
        """The next event; about one object, those of others (of earlier tests) are passed over."""
        while True:
            lines = [stream.readline().decode().rstrip("\n") for _ in range(3)]
            self.assertEqual((lines[0][:7], lines[1][:6], lines[2]), ("event: ", "data: ", ""), lines)
            event, data = lines[0][7:], json.loads(lines[1][6:])
            if not about or data.get("id") == about:
                return event, data
            self.passed.append(data["id"])

    def subscribe(self, stream, collection, status=201, **more):
        answer = self.ask(f"/events/{stream}/subscriptions", "POST", body=dict(collection=collection, **more))
        self.assertEqual(answer.status, status, answer.text)
        return answer.json

    def test_objects(self):
        """What comes, changes and goes; changes of other fields than those wanted are no news."""
        self.passed = []
        stream, id_ = self.open()
        self.assertEqual(self.subscribe(id_, "VM", fields=["name_label", "tags"]), {"id": "VM"})
        self.subscribe(id_, "VM-snapshot", fields=["name_label"])
        vm = self.vm("Running")["id"]
        answer = self.ask(f"/vms/{vm}/actions/snapshot?sync=true", "POST", body={"name_label": "news"})
        snapshot = answer.json["id"]
        wanted = {"$subscription": "VM-snapshot", "event": "add", "id": snapshot, "name_label": "news"}
        self.assertEqual(self.next(stream, snapshot), ("add", wanted))
        self.ask(f"/vms/{vm}/tags/news", "PUT")
        event, data = self.next(stream, vm)
        self.assertEqual((event, data["$subscription"]), ("update", "VM"))
        self.assertEqual(set(data), {"$subscription", "event", "id", "name_label", "tags"})
        self.assertIn("news", data["tags"])
        self.assertNotIn(vm, self.passed)  # its list of snapshots changed, which nobody asked for
        self.ask(f"/vm-snapshots/{snapshot}", "DELETE")
        self.assertEqual(self.next(stream, snapshot), ("remove", dict(wanted, event="remove")))
        self.assertEqual(self.ask(f"/events/{id_}/subscriptions/VM", "DELETE").status, 204)
        self.refused(404, f"/events/{id_}/subscriptions/VM", "DELETE")
        self.ask(f"/vms/{vm}/tags/news", "DELETE")
        self.subscribe(id_, "task", fields=["status"])
        time.sleep(0.2)  # tasks that are there already are no news
        task = self.ask(f"/vms/{vm}/actions/snapshot", "POST").json["taskId"]
        seen = []
        while not seen or seen[-1]["status"] == "pending":
            seen.append(self.next(stream, task)[1])
        self.assertEqual(seen[-1]["status"], "success")

    def test_refusals(self):
        stream, id_ = self.open()
        self.subscribe(id_, "no such", status=422)
        self.subscribe(id_, "VM", status=422, fields=[])
        self.subscribe(NOWHERE, "VM", status=404)
        user = box.server.call("user.create", email="events@example.org", password="a password")
        token = box.server.call_with({}, "token.create", user="events@example.org", password="a password", token="")
        answer = self.ask(f"/events/{id_}/subscriptions", "POST", token=token, body={"collection": "VM"})
        self.assertEqual(answer.status, 404)  # somebody else's
        # Others hear of what they may see.
        own, own_id = self.open(token)
        self.assertEqual(self.ask(f"/events/{own_id}/subscriptions", "POST", token=token,
                                  body={"collection": "VM", "fields": ["tags"]}).status, 201)
        hidden, shown = [item["id"] for item in box.server.objects(type="VM")][:2]
        box.server.call("acl.add", subject=user, object=shown, action="viewer")
        for vm in (hidden, shown):
            self.ask(f"/vms/{vm}/tags/heard", "PUT")
        self.assertEqual(self.next(own)[1]["id"], shown)


class Dashboard(Rest):
    def test_stats(self):
        """What machines and hosts used, in the granularity asked for."""
        pool, host = box.server.objects(type="pool")[0]["id"], box.server.objects(type="host")[0]["id"]
        for path in (f"/vms/{self.vm('Running')['id']}/stats", f"/hosts/{host}/stats"):
            for granularity, interval in (("", 5), ("?granularity=hours", 3600)):
                answer = self.get(path + granularity)
                self.assertEqual(answer["interval"], interval)
                self.assertLessEqual({"memory", "cpus"}, set(answer["stats"]))
        self.assertEqual(self.get(f"/pools/{pool}/stats").keys(),
                         {item["id"] for item in box.server.objects(type="host")})
        halted = next(vm for vm in box.server.objects(type="VM") if vm["power_state"] == "Halted")
        self.refused(409, f"/vms/{halted['id']}/stats")

    def test_machine(self):
        """One machine's page has the parts of XO's; a backup shows in it."""
        sample = next(case["body"] for case in recorded("rest/_samples.json")
                      if case["path"].endswith("/dashboard") and "/vms/" in case["path"])
        vm = self.vm("Running")
        page = self.get(f"/vms/{vm['id']}/dashboard")
        self.assertEqual(set(page), set(sample))
        self.assertEqual(set(page["backupsInfo"]), set(sample["backupsInfo"]))
        self.assertLessEqual(set(page["quickInfo"]), set(sample["quickInfo"]))
        self.assertEqual((page["quickInfo"]["id"], page["quickInfo"]["host"], page["quickInfo"]["CPUs"]),
                         (vm["id"], vm["$container"], {"number": vm["CPUs"]["number"]}))
        self.assertEqual((page["backupsInfo"]["lastRuns"], page["backupsInfo"]["vmProtection"]), ([], "not-in-active-job"))
        folder = box.folder / "of the dashboard"
        folder.mkdir()
        remote = box.server.call("remote.create", name="d", url=f"file://{folder}")["id"]
        job, schedule = box.server.delta_job("told", [vm["id"]], [remote], 2)
        task = self.ask(f"/schedules/{schedule}/actions/run", "POST")
        self.assertEqual(self.get(f"{task.headers['Location']}?wait")["status"], "success")
        info = self.get(f"/vms/{vm['id']}/dashboard")["backupsInfo"]
        self.assertEqual([(run["backupJobId"], run["status"]) for run in info["lastRuns"]], [(job, "success")])
        self.assertEqual(info["vmProtection"], "unprotected")  # its schedule is disabled
        archives = self.get(f"/backup-archives?backup-repository={remote}&fields=*")
        self.assertEqual([item["id"] for item in info["backupArchives"]], [item["id"] for item in archives])
        one = self.get(archives[0]["href"])
        self.assertEqual(dict(one, href=archives[0]["href"]), archives[0])
        log = self.get("/backup-logs?fields=*&filter=status:success")[0]
        self.assertEqual((log["jobId"], self.get(log["href"])["id"]), (job, log["id"]))
        self.assertIn(log["id"], [item["id"] for item in self.get("/tasks?fields=id")])
        self.assertEqual(self.get(f"/vms/{vm['id']}/backup-jobs"), [f"{BASE}/backup-jobs/{job}"])

    def test_pool(self):
        """One pool's page has the parts of XO's; the updates that wait are those of its hosts."""
        sample = next(case["body"] for case in recorded("rest/_samples.json")
                      if case["path"].endswith("/dashboard") and "/pools/" in case["path"])
        pool, running = box.server.objects(type="pool")[0]["id"], self.vm("Running")
        # A machine that has just begun to run has no records yet.
        def told():
            page = self.get(f"/pools/{pool}/dashboard")
            return page if any(each["id"] == running["id"] for each in page["vms"]["topFiveUsage"]["cpu"]) else None
        page = until(told, "what the machine uses")

        def shape(value, path=""):
            """Every path of members, through the first of each list."""
            if isinstance(value, dict):
                return {path + "." + key for key in value} | {each for key in value for each in shape(value[key], f"{path}.{key}")}
            return shape(value[0], path + "[]") if isinstance(value, list) and value else set()
        self.assertEqual({path for path in shape(page) if "missingPatches[]" not in path}, shape(sample))
        hosts, vms = box.server.objects(type="host"), box.server.objects(type="VM")
        self.assertEqual(page["hosts"]["status"], {"running": 2, "disabled": 0, "halted": 0, "total": 2})
        self.assertEqual(page["vms"]["status"]["total"], len(vms))
        self.assertIn(running["id"], [each["id"] for each in page["vms"]["topFiveUsage"]["cpu"]])
        for part in ("hosts", "vms"):
            for top in page[part]["topFiveUsage"].values():
                self.assertLessEqual(len(top), 5)
                self.assertEqual([each["percent"] for each in top], sorted((each["percent"] for each in top), reverse=True))
                self.assertTrue(all(0 <= each["percent"] <= 100 for each in top), top)
        self.assertEqual(page["cpuProvisioning"]["total"], sum(host["cpus"]["cores"] for host in hosts))
        active = [vm for vm in vms if vm["power_state"] in ("Running", "Paused")]
        self.assertEqual(page["cpuProvisioning"]["assigned"], sum(vm["CPUs"]["number"] for vm in active))
        self.assertEqual(set(page["alarms"]), {item["id"] for item in self.get("/alarms?fields=id")})
        patches = self.get(f"/pools/{pool}/missing_patches")
        self.assertEqual(patches, page["hosts"]["missingPatches"]["missingPatches"])
        self.assertEqual({patch["name"] for patch in patches},
                         {patch["name"] for host in hosts for patch in self.get(f"/hosts/{host['id']}/missing_patches")})
        self.refused(404, f"/pools/{NOWHERE}/dashboard")

    def test_host_files(self):
        """The audit log of a host and its logs, as the host gives them; for who administrates it."""
        host = box.server.objects(type="host")[0]
        answer = self.ask(f"/hosts/{host['id']}/audit.txt")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
        self.assertRegex(answer.text, r"\|audit\|.*'session.create'")
        answer = self.ask(f"/hosts/{host['id']}/logs.tgz")
        self.assertIn("attachment; filename=", answer.headers["Content-Disposition"])
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            self.assertEqual([os.path.basename(name) for name in archive.getnames()], ["audit.log"])
        self.refused(404, f"/hosts/{NOWHERE}/logs.tgz")
        user = box.server.call("user.create", email="files@example.org", password="a password")
        token = box.server.call_with({}, "token.create", user="files@example.org", password="a password", token="")
        box.server.call("acl.add", subject=user, object=host["id"], action="operator")
        self.refused(403, f"/hosts/{host['id']}/audit.txt", token=token)
        box.server.call("acl.add", subject=user, object=host["id"], action="admin")
        self.assertEqual(self.ask(f"/hosts/{host['id']}/audit.txt", token=token).status, 200)
        self.assertEqual(self.get("/mcp/status", token=token), {"enabled": False})

    def test_data_sources(self):
        """A figure that hosts do not record by themselves is there once it was asked for."""
        vm = self.vm("Running")["id"]
        path = f"/vms/{vm}/stats/data_source/runstate_fullrun"
        self.assertNotIn("runstateFullrun", self.get(f"/vms/{vm}/stats")["stats"])
        self.assertEqual(self.ask(path, "PUT").status, 204)
        self.assertIn("runstateFullrun", self.get(f"/vms/{vm}/stats")["stats"])
        self.assertEqual(self.ask(path, "DELETE").status, 204)
        self.assertNotIn("runstateFullrun", self.get(f"/vms/{vm}/stats")["stats"])
        self.refused(500, f"/vms/{vm}/stats/data_source/nonsense", "PUT")

    def test_dashboard(self):
        """The parts of XO's, with the figures of this pool."""
        wanted, have = recorded("rest/dashboard.json"), self.get("/dashboard")
        hosts = box.server.objects(type="host")
        lacking = [host for host in hosts if self.get(f"/hosts/{host['id']}/missing_patches")]
        self.assertEqual(have["missingPatches"], {
            "hasAuthorization": True, "nHosts": len(hosts), "nHostsFailed": 0, "nHostsWithMissingPatches": len(lacking), "nHostsEol": {"isEmpty": True},
            "nPools": 1, "nPoolsWithMissingPatches": min(1, len(lacking))})
        remotes = box.server.call("remote.getAll")
        for part in set(wanted) - ({"backupRepositories"} if remotes else set()):
            self.assertEqual(type(have[part]), type(wanted[part]), part)
            if isinstance(wanted[part], dict):
                self.assertEqual(set(have[part]), set(wanted[part]), part)
        states = [vm["power_state"] for vm in box.server.objects(type="VM")]
        self.assertEqual((have["vmsStatus"]["total"], have["vmsStatus"]["running"]),
                         (len(states), states.count("Running")))
        self.assertEqual((have["nPools"], have["nHosts"], have["hostsStatus"]["running"]), (1, 2, 2))
        self.assertEqual(have["resourcesOverview"]["nCpus"],
                         sum(host["cpus"]["cores"] for host in box.server.objects(type="host")))
        self.assertEqual(sum(have["backups"]["vmsProtection"].values()), len(states))
        # Repositories: what is in them, and the space around it.
        if not remotes:
            self.assertEqual(have["backupRepositories"], {"isEmpty": True})
        folder = box.folder / "shown"
        folder.mkdir()
        one = box.server.call("remote.create", name="shown", url=f"file://{folder}")["id"]
        try:
            size = self.get("/dashboard")["backupRepositories"]["other"]["size"]
            info = box.server.call("remote.getAllInfo")
            self.assertEqual(size["total"], sum(each["size"] for each in info.values()))
            self.assertEqual(set(size), {"available", "backups", "other", "total", "used"})
            self.assertEqual(size["used"], size["backups"] + size["other"])
            self.assertLessEqual(size["used"], size["total"])
        finally:
            box.server.call("remote.delete", id=one)
        box.server.call("remote.create", name="gone", url=f"file://{folder}/file/below")
        gone = next(each["id"] for each in box.server.call("remote.getAll") if each["name"] == "gone")
        self.addCleanup(box.server.call, "remote.delete", id=gone)
        lines = self.ask("/dashboard?ndjson=true").text.splitlines()
        self.assertEqual({key for line in lines for key in json.loads(line)}, set(have))


class People(Rest):
    def test_own(self):
        """"me", one's tokens and groups; those of others are for administrators."""
        user = box.server.call("user.create", email="own@example.org", password="a password")
        answer = self.ask("/auth/login", "POST", token=False, body={"username": "no@example.org", "password": "wrong"},
                          root="")
        self.assertEqual(answer.status, 401)
        answer = self.ask("/auth/login", "POST", token=False,
                          body={"username": "own@example.org", "password": "a password"}, root="")
        self.assertEqual(answer.status, 200, answer.text)
        token = answer.headers["Set-Cookie"].split("=", 1)[1].split(";")[0]
        answer = self.ask("/users/me?fields=x", token=token)
        self.assertEqual((answer.status, answer.headers["Location"]), (307, f"{BASE}/users/{user}?fields=x"))
        self.assertEqual(self.get(f"/users/{user}", token=token)["email"], "own@example.org")
        made = self.ask(f"/users/{user}/authentication_tokens", "POST", token=token, body={"description": "a token"})
        self.assertEqual(made.status, 201, made.text)
        record = made.json["token"]
        self.assertEqual((record["user_id"], record["description"]), (user, "a token"))
        self.assertEqual(self.get(f"/users/{user}", token=record["id"])["id"], user)
        self.assertIn(record["id"], [item["id"] for item in self.get(f"/users/{user}/authentication_tokens")])
        admin = box.server.call("session.getUser")["id"]
        for path in (f"/users/{admin}", f"/users/{admin}/authentication_tokens"):
            self.refused(403, path, token=token)
        self.refused(403, f"/users/{admin}/authentication_tokens", "POST", token=token)
        group = box.server.call("group.create", name="some")
        box.server.call("group.addUser", id=group, userId=user)
        self.assertEqual(self.get(f"/users/{user}/groups", token=token), [f"{BASE}/groups/{group}"])
        self.assertEqual(self.get(f"/groups/{group}/users"), [f"{BASE}/users/{user}"])

    def test_roles(self):
        """Access rules, in the words of XO's roles and privileges."""
        user = box.server.call("user.create", email="role@example.org", password="a password")
        group = box.server.call("group.create", name="of roles")
        token = box.server.call_with({}, "token.create", user="role@example.org", password="a password", token="")
        vm = self.vm("Halted")["id"]
        self.assertEqual(self.get(f"/users/{user}/acl-privileges"), [])
        box.server.call("acl.add", subject=user, object=vm, action="operator")
        box.server.call("acl.add", subject=group, object=vm, action="admin")
        held = self.get(f"/users/{user}/acl-privileges?fields=action,resource,selector,effect", token=token)
        self.assertIn("start", [each["action"] for each in held])
        self.assertEqual({(each["resource"], each["selector"], each["effect"]) for each in held}, {("vm", f"id:{vm}", "allow")})
        self.assertNotIn("*", [each["action"] for each in held])
        self.assertEqual(self.get(f"/groups/{group}/acl-roles"), [f"{BASE}/acl-roles/admin"])
        self.assertIn(f"{BASE}/users/{user}", self.get("/acl-roles/operator/users"))
        self.assertEqual(self.get("/acl-roles/viewer/groups"), [])
        role = self.get("/acl-roles/viewer")
        self.assertEqual(sorted(role["privilegeIds"]), sorted(path.rsplit("/", 1)[1] for path in self.get("/acl-roles/viewer/privileges")))
        self.assertEqual(self.get(f"/acl-privileges/{role['privilegeIds'][0]}")["action"], "read")
        self.assertEqual(self.get("/acl-roles/operator/users", token=token), [])
        self.refused(403, f"/groups/{group}/acl-roles", token=token)
        newest = self.get("/plugins/audit/records?limit=1&fields=*")[0]
        self.assertEqual(self.get(newest["href"])["id"], newest["id"])
        self.assertEqual(self.get("/plugins/audit/records", token=token), [])

    def test_given_roles(self):
        """Roles that are made and given over REST: what they allow there, on what, and to whom; what they deny; and nothing more."""
        user = box.server.call("user.create", email="given@example.org", password="a password")
        group = box.server.call("group.create", name="given")
        box.server.call("group.addUser", id=group, userId=user)
        token = box.server.call_with({}, "token.create", user="given@example.org", password="a password", token="")
        vm, other = self.vm("Running")["id"], self.vm("Halted")["id"]
        made = self.ask("/acl-roles", "POST", body={"name": "switchers", "description": "of what is tagged"})
        self.assertEqual((made.status, made.headers["Location"]), (201, f"{BASE}/acl-roles/{made.json['id']}"))
        role = made.json["id"]

        def privilege(**more):
            answer = self.ask("/acl-privileges", "POST", body=dict(roleId=role, resource="vm", **more))
            self.assertEqual(answer.status, 201, answer.text)
            return answer.json["id"]
        read, reboot = privilege(action="read", selector="tags:mine"), privilege(action="reboot", selector="tags:mine")
        self.refused(422, "/acl-privileges", "POST", body={"roleId": role, "resource": "nonsense", "action": "read"})
        self.refused(422, "/acl-privileges", "POST", body={"roleId": role, "resource": "vm", "action": "read", "selector": "("})
        self.refused(404, "/acl-privileges", "POST", body={"roleId": "operator", "resource": "vm", "action": "read"})
        self.ask(f"/vms/{vm}/tags/mine", "PUT")
        self.addCleanup(self.ask, f"/vms/{vm}/tags/mine", "DELETE")
        self.assertEqual(self.get("/vms", token=token), [])
        self.assertEqual(self.ask(f"/acl-roles/{role}/groups/{group}", "PUT").status, 204)
        self.assertEqual(self.get("/vms", token=token), [f"{BASE}/vms/{vm}"])
        self.refused(403, f"/vms/{other}", token=token)
        self.assertEqual(self.ask(f"/vms/{vm}/actions/hard_reboot?sync=true", "POST", token=token).status, 204)
        for path, verb in ((f"/vms/{other}/actions/hard_reboot", "POST"), (f"/vms/{vm}/actions/hard_shutdown", "POST"), (f"/vms/{vm}", "DELETE"),
                           (f"/vms/{vm}/tags/other", "PUT"), (f"/acl-roles/{role}", "DELETE"), (f"/acl-roles/{role}/users/{user}", "PUT")):
            self.refused(403, path, verb, token=token)
        with self.assertRaises(Refused) as caught:  # over JSON-RPC nothing is given
            box.server.call_with({"id": vm, "force": True}, "vm.restart", token=token)
        self.assertEqual(caught.exception.code, 2)
        told = box.server.call_with({"method": f"POST /vms/{vm}/actions/hard_reboot", "user": user}, "acl.explain")
        self.assertTrue(told["allowed"], told)
        self.refused(403, f"/vms/{vm}.xva", token=token)
        # What is shown of it.
        self.assertEqual(self.get(f"/acl-roles/{role}"), {"id": role, "name": "switchers", "description": "of what is tagged", "isTemplate": False,
                                                         "privilegeIds": sorted([read, reboot])})
        self.assertEqual(self.get(f"/acl-roles/{role}/groups"), [f"{BASE}/groups/{group}"])
        self.assertEqual(self.get(f"/groups/{group}/acl-roles"), [f"{BASE}/acl-roles/{role}"])
        self.assertEqual(sorted(self.get(f"/users/{user}/acl-privileges", token=token)), sorted(f"{BASE}/acl-privileges/{id_}" for id_ in (read, reboot)))
        # A denial wins; a change counts at once.
        deny = privilege(action="reboot:hard", effect="deny")
        self.refused(403, f"/vms/{vm}/actions/hard_reboot", "POST", token=token)
        self.assertEqual(self.ask(f"/acl-privileges/{deny}", "PATCH", body={"selector": f"id:{other}"}).status, 204)
        self.assertEqual(self.ask(f"/vms/{vm}/actions/hard_reboot?sync=true", "POST", token=token).status, 204)
        copy = self.ask(f"/acl-roles/{role}/actions/copy?sync=true", "POST").json["id"]
        self.assertEqual(len(self.get(f"/acl-roles/{copy}/privileges")), 3)
        self.assertEqual(self.get(f"/acl-roles/{copy}/groups"), [])
        self.assertEqual(self.ask(f"/acl-roles/{role}/groups/{group}", "DELETE").status, 204)
        self.assertEqual(self.get("/vms", token=token), [])
        self.assertEqual(self.ask(f"/acl-roles/{role}/users/{user}", "PUT").status, 204)
        self.assertEqual(self.get("/vms", token=token), [f"{BASE}/vms/{vm}"])
        self.assertEqual(self.ask(f"/acl-roles/{role}", "DELETE").status, 204)
        self.assertEqual(self.get("/vms", token=token), [])
        self.refused(404, f"/acl-privileges/{read}")
        self.refused(404, "/acl-roles/viewer", "DELETE")
        # Who is gone has none any more.
        self.ask(f"/acl-roles/{copy}/users/{user}", "PUT")
        box.server.call("user.delete", id=user)
        self.assertEqual(self.get(f"/acl-roles/{copy}/users"), [])
        self.ask(f"/acl-roles/{copy}", "DELETE")

    def test_roles_on_transfers(self):
        """What goes in and out as files is given by roles in XO's words, each by its own, and only by that."""
        user = box.server.call("user.create", email="carrier@example.org", password="a password")
        token = box.server.call_with({}, "token.create", user="carrier@example.org", password="a password", token="")
        role = self.ask("/acl-roles", "POST", body={"name": "carriers"}).json["id"]
        self.assertEqual(self.ask(f"/acl-roles/{role}/users/{user}", "PUT").status, 204)
        vm, pool, host = self.vm("Halted")["id"], box.server.objects(type="pool")[0], box.server.objects(type="host")[0]["id"]
        sr = next(each["id"] for each in box.server.objects(type="SR") if each["shared"] and each["content_type"] == "user")
        disk = box.server.call("disk.create", name="carried", size=1 << 20, sr=sr)
        self.addCleanup(box.server.call, "vdi.delete", id=disk)
        content = bytes(range(256)) * 4096
        archive = self.ask(f"/vms/{vm}.xva").body

        def drop(answer, method):
            box.server.call(method, id=answer.json["id"])
        table = [("vm", "export", "GET", f"/vms/{vm}.xva", None, 200), ("vm", "export", "GET", f"/vms/{vm}.ova", None, 200),
                 ("vdi", "export-content", "GET", f"/vdis/{disk}.raw", None, 200), ("vdi", "export-content", "GET", f"/vdis/{disk}.vhd", None, 200),
                 ("vdi", "import-content", "PUT", f"/vdis/{disk}.raw", content, 204), ("host", "export:logs", "GET", f"/hosts/{host}/audit.txt", None, 200),
                 ("sr", "import:vdi", "POST", f"/srs/{sr}/vdis?raw=true&name_description=told", content, 201),
                 ("sr", "import:vm", "POST", f"/pools/{pool['id']}/vms?sr={sr}", archive, 201)]
        for resource, action, verb, path, data, status in table:
            with self.subTest(f"{verb} {path}"):
                other = self.ask("/acl-privileges", "POST", body={"roleId": role, "resource": resource, "action": "read"}).json["id"]
                few = data and data[:16] # nothing is read of what is refused
                self.refused(403, path, verb, data=few, token=token) # to see it is not enough
                right = self.ask("/acl-privileges", "POST", body={"roleId": role, "resource": resource, "action": action}).json["id"]
                answer = self.ask(path, verb, data=data, token=token)
                self.assertEqual(answer.status, status, answer.text if status != 200 else "")
                if status == 201:
                    drop(answer, "vm.delete" if resource == "sr" and action == "import:vm" else "vdi.delete")
                deny = self.ask("/acl-privileges", "POST", body={"roleId": role, "resource": resource, "action": action, "effect": "deny"}).json["id"]
                self.refused(403, path, verb, data=few, token=token)
                for id_ in (other, right, deny):
                    self.assertEqual(self.ask(f"/acl-privileges/{id_}", "DELETE").status, 204)
        self.ask(f"/acl-roles/{role}", "DELETE")
        box.server.call("user.delete", id=user)

    def test_others(self):
        """Others than administrators see what an access rule shows them, and no records."""
        user = box.server.call("user.create", email="viewer@example.org", password="a password")
        token = box.server.call_with({}, "token.create", user="viewer@example.org", password="a password", token="")
        vm, other = [item["id"] for item in box.server.objects(type="VM")][:2]
        self.assertEqual(self.get("/vms", token=token), [])
        self.refused(403, f"/vms/{vm}", token=token)
        box.server.call("acl.add", subject=user, object=vm, action="viewer")
        self.assertEqual(self.get("/vms", token=token), [f"{BASE}/vms/{vm}"])
        self.assertEqual(self.get(f"/vms/{vm}", token=token)["id"], vm)
        self.refused(403, f"/vms/{other}", token=token)
        self.refused(403, f"/vms/{other}/messages", token=token)
        for name in ("servers", "users", "groups", "schedules", "backup-jobs", "backup-logs", "backup-repositories"):
            self.assertEqual(self.get(f"/{name}", token=token), [], name)
        self.refused(403, f"/servers/{NOWHERE}", token=token)
        # Neither may it do what it sees, nor see the tasks of others.
        task = self.ask(f"/vms/{vm}/actions/snapshot", "POST").json["taskId"]
        self.get(f"/tasks/{task}?wait")
        self.refused(404, f"/tasks/{task}", token=token)
        self.assertEqual(self.get("/tasks", token=token), [])
        self.refused(403, f"/vms/{vm}/actions/snapshot", "POST", token=token)
        self.refused(403, f"/vms/{vm}", "DELETE", token=token)
        self.refused(403, f"/vms/{vm}/tags/x", "PUT", token=token)
        self.refused(403, "/users", "POST", token=token, body={"name": "x", "password": "y"})
        box.server.call("acl.add", subject=user, object=vm, action="operator")
        self.refused(403, f"/vms/{vm}/actions/snapshot?sync=true", "POST", token=token) # it would fill storage that is not theirs
        for sr in box.server.objects(type="SR"):
            box.server.call("acl.add", subject=user, object=sr["id"], action="operator")
        task = self.ask(f"/vms/{vm}/actions/snapshot", "POST", token=token).json["taskId"]
        self.assertEqual(self.get(f"/tasks/{task}?wait", token=token)["status"], "success")
        self.assertIn(f"{BASE}/tasks/{task}", self.get("/tasks", token=token))


if __name__ == "__main__":
    unittest.main()
