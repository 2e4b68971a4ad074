"""Every exchange that was recorded with a real Xen Orchestra, asked again of this server: the same answers, error codes and
texts, or a named difference with its reason, or a method that this server does not have yet, which says so as XO does.

The server first takes in XO's own users, groups, rules, jobs, schedules, tags and cloud configurations, with their ids, and reads
the repositories that XO wrote: so most answers are equal to the letter, not only in shape."""
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
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Server, Sim  # noqa: E402
from websocket import WebSocket  # noqa: E402

FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", ROOT.parent / "shared/fixtures/xo"))
FLAT, UNMERGED, FULL, DIRECTORY = ("8c1a0043-2eb5-467e-9b50-915ba82a2650", "d31c341d-e877-4ffa-b203-0573c7c277f9",
                                   "fc9ea264-ff08-4de4-a836-03f1223a653c", "3cff4b0c-9fd7-47bd-94bc-753e35de8e9b")
RUNNING, HALTED = "1cc62ff4-f5c3-44d7-a0ce-513fda1d1168", "23a4aa40-a463-4c33-b2f5-a92887ca3168"
SR, POOL = "0a292df0-7a41-4d63-a8a0-e87a96044c72", "0fabf395-99bd-492e-aadd-4e11e23df1a2"
TEMPLATE = POOL + "-67d6c81e-4d2f-4a89-a33f-b72a40b8e866"
NETWORK = "d39ea995-4595-4982-a247-c3a4996016ca"
SERVER, SNAPSHOT = "001e2682-a5dd-4e04-90a2-cc0231388463", "8a4e37bf-1f4a-4560-a3f8-8c8864c0e421"

# Methods that XO has and this server does not have yet: each recorded call of them must be refused as XO refuses unknown ones.
MISSING = []

# What is not the same, and why. The value is checked too: see `different`.
DIFFERENT = {
    "schedule.getAll": "one of XO's has a cron line that makes no sense, and is not taken",
    "remote.getAll": "repositories with a key are not taken yet; the URLs are other folders",
    "remote.get": "the repository has a key: it is not there yet",
    "backupNg.listVmBackups": "the same for the repositories whose archives are as they were then",
    "backupNg.getAllLogs": "no runs here: test_logs compares those of ours with XO's",
    "backupNg.getLogs": "no runs here",
    "backupNg.getLogs.after": "no runs here",
    "backupNg.getLogs.filter": "no runs here",
    "xo.getAllObjects.tags-filter": "other machines",
    "xo.getAllObjects.ndjson": "other machines",
    "not-admin.xo.getAllObjects": "other machines",
    "_notifications": "other machines",
    "_frames": "batches, which XO cannot answer, are answered",
    "schedule.get.unknown": "XO's text is \"no such schedule [object Object]\"; ours names the schedule",
    "not-signed-in.getServerVersion": "the version of another program",
    "not-signed-in.methodSignature": "ours describes the method and its parameters in words too",
    "system.getServerTimezone": "the zone of another machine",
    "system.listMethods": "the methods that are missing",
    "system.getMethodsInfo": "the methods that are missing; ours describes all in words",
    "xo.getAllObjects.string-filter": "XO answers the first of several objects; ours is another one of them",
    "server.getAll": "another address, and pool",
    "remote.test": "measured speeds",
    "plugin.get": "ours are fewer",
    "remote.getAllInfo": "sizes of another machine's disks",
}
# Fields of objects that only some have: what makes them come and go.
OPTIONAL_FIELDS = {
    "VM-template": {"installTime", "startTime"}, # of the metrics, which the recorded pool's templates lack
    "VDI": {"image_format"}, # newer pools tell it, as ours does
}


def recorded(name):
    return json.loads((FIXTURES / "rpc" / f"{name}.json").read_text())


def every_case():
    return sorted(path.stem for path in (FIXTURES / "rpc").glob("*.json"))


def kind(value):
    if value is None or isinstance(value, bool):
        return str(type(value))
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def is_map(value):
    """An object whose keys are ids, not names."""
    return bool(value) and all(re.fullmatch(r"[0-9a-f]{8}-.*|\d{10,}(:\d+)?|OpaqueRef.*", key) for key in value)


def shape_differences(want, have, where=""):
    """Where the shape of an answer is not that of XO's; maps that people or pools fill are compared as maps."""
    if where.split(".")[-1] in ("otherConfig", "other_config", "current_operations"):
        want, have = kind(want), kind(have)
    if kind(want) != kind(have):
        yield f"{where}: {kind(have)} instead of {kind(want)}"
    elif isinstance(want, list):
        for i, item in enumerate(have if want else []):
            found = [list(shape_differences(other, item, f"{where}[{i}]")) for other in want]
            yield from min(found, key=len)
    elif isinstance(want, dict) and is_map(want) and is_map(have):
        yield from shape_differences(list(want.values()), list(have.values()), where)
    elif isinstance(want, dict):
        for key in sorted(set(want) | set(have)):
            if key not in have:
                yield f"{where}.{key}: missing"
            elif key not in want:
                yield f"{where}.{key}: not in XO's"
            else:
                yield from shape_differences(want[key], have[key], f"{where}.{key}")


class Replay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (FIXTURES / "rpc").exists():
            raise unittest.SkipTest(f"no recorded exchanges in {FIXTURES}")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-answers-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        for name in ("flat", "flat-unmerged", "full", "directory", "metadata"):
            with tarfile.open(FIXTURES / f"repos/{name}.tar.gz") as tar:
                tar.extractall(cls.folder)
        cls.sim = Sim("--hosts", 2, "--vms", 4, "--running", "0.5", "--boot-delay", "0.2", "--disk-size", "64MiB", "--seed", 5,
                      log=cls.folder / "sim.log")
        cls.addClassCleanup(cls.sim.stop)
        cls.server = Server(str(cls.folder / "data"), options=["--all-objects-visible"], log=cls.folder / "server.log")
        cls.addClassCleanup(cls.server.stop)
        cls.report = cls.take_configuration(cls.document())
        cls.sockets, cls.seen, cls.ids = {}, set(), {}

    # --- XO's state ---

    @classmethod
    def document(cls):
        """What the recorded server had, as its export would have it."""
        with tarfile.open(FIXTURES / "repos/metadata.tar.gz") as tar:
            names = sorted(name for name in tar.getnames() if name.endswith("/data.json"))
            exported = json.load(tar.extractfile(names[-1]))
        everything = json.loads((FIXTURES / "jobs/_all.json").read_text())
        users = [dict(user, pw_hash=exported["users"][0]["pw_hash"]) for user in recorded("user.getAll")["result"]]
        remotes = [dict(remote, url=f"file://{cls.folder}/{remote['name']}") for remote in recorded("remote.getAll")["result"]
                   if "encryptionKey" not in remote["url"]]
        jobs = [job for family, list_ in everything.items() if family != "schedule" and isinstance(list_, list) for job in list_
                if "jobId" not in job]
        known = {job["id"] for job in jobs}
        for method in ("backupNg.getAllJobs", "metadataBackup.getAllJobs", "mirrorBackup.getAllJobs", "job.getAll"):
            jobs += [job for job in recorded(method)["result"] if job["id"] not in known and not known.add(job["id"])]
        return {"users": users, "groups": recorded("group.getAll")["result"], "acls": recorded("acl.get")["result"],
                "remotes": remotes, "resourceSets": recorded("resourceSet.getAll")["result"], "jobs": jobs, "schedules": recorded("schedule.getAll")["result"],
                "tags": recorded("tag.getAllConfigured")["result"],
                "cloudConfigs": recorded("cloudConfig.getAll")["result"] + recorded("cloudConfig.getAllNetworkConfigs")["result"],
                "xenServers": [dict(exported["xenServers"][0], host=cls.sim.url, password=cls.sim.password)]}

    @classmethod
    def take_configuration(cls, document):
        path = cls.folder / "xo.json"
        path.write_text(json.dumps(document))
        run = cls.server.command("--json", "config", "import", path)
        if run.returncode:
            raise AssertionError(run.stderr)
        return json.loads(run.stdout)

    # --- Asking ---

    def socket(self, who):
        """A connection of the administrator, of nobody, of carol."""
        if who not in self.sockets:
            socket = WebSocket(self.server.url)
            self.addClassCleanup(socket.close)
            if who == "admin":
                self.assertIn("result", socket.call("session.signIn", {"email": "admin@admin.net", "password": "admin"}))
            if who == "carol":
                self.assertIn("result", socket.call("session.signIn", {"email": "carol@example.org", "password": "a password"}))
            self.sockets[who] = socket
        return self.sockets[who]

    def translate(self, value):
        """Recorded ids → those that stand for them here."""
        text = json.dumps(value)
        for theirs, ours in self.ids.items():
            text = text.replace(theirs, ours)
        return json.loads(text)

    def ask(self, name, who="admin", **params):
        """Replays a case: (recorded, with our ids; our answer)."""
        self.seen.add(name)
        case = self.translate(recorded(name))
        case["params"].update(params)
        return case, self.socket(who).call(case["method"], case["params"])

    def same(self, name, who="admin", without=(), **params):
        """The answer is XO's, to the letter; lists in any order; `without` these keys."""
        case, answer = self.ask(name, who, **params)
        if "error" in case:
            return self.same_error(name, case, answer)
        self.assertIn("result", answer, f"{name}: {answer}")
        self.assertEqual(self.settled(answer["result"], without), self.settled(case["result"], without), name)
        return answer["result"]

    def same_error(self, name, case, answer):
        self.assertIn("error", answer, f"{name}: {answer}")
        want, have = dict(case["error"]), dict(answer["error"])
        for error in (want, have):
            if error["code"] == -32000: # XO adds a stack and the call
                error.pop("data", None)
        self.assertEqual(have, want, name)
        return None

    def settled(self, value, without):
        if isinstance(value, list):
            return sorted((self.settled(item, without) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        if isinstance(value, dict):
            return {key: self.settled(item, without) for key, item in value.items() if key not in without}
        return value

    def alike(self, name, who="admin", **params):
        """The answer has the shape of XO's."""
        case, answer = self.ask(name, who, **params)
        self.assertIn("result", answer, f"{name}: {answer}")
        self.assertEqual(list(shape_differences(case["result"], answer["result"])), [], name)
        return answer["result"]

    def missing(self, name):
        case, answer = self.ask(name)
        self.assertEqual(answer["error"], {"code": -32601, "message": f"method not found: {case['method']}",
                                           "data": case["method"]}, name)

    # --- The exchanges ---

    def test_1_configuration(self):
        """Nothing of XO's was lost on the way in but what has a reason."""
        for line in self.report["notTaken"]:
            self.assertIn(line["entry"], ("remotes", "schedules"), line)

    def test_2_nobody(self):
        for name in ("getAllObjects", "getServerTimezone", "getUser", "getVersion", "unknown-method"):
            self.same(f"not-signed-in.{name}", "nobody")
        for name in ("signIn.no-params", "signIn.bad-token", "signIn.wrong-password"):
            self.same(name, "nobody")
        version = self.ask("not-signed-in.getServerVersion", "nobody")[1]["result"]
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        case, answer = self.ask("not-signed-in.methodSignature", "nobody")
        self.same_parameters(case["result"][0], answer["result"][0])
        self.assertEqual(answer["result"][0]["name"], case["result"][0]["name"])

    def same_parameters(self, theirs, ours):
        self.assertEqual(ours.get("permission", "none"), theirs.get("permission", "none"))
        for param, schema in theirs["params"].items():
            for key in ("type", "optional", "default"):
                pair = (ours["params"].get(param, {}).get(key), schema.get(key))
                have, want = (set(value) if isinstance(value, list) else value for value in pair)
                self.assertEqual(have, want, param)

    def test_3_sessions(self):
        """Sign-in with XO's own password hash, tokens, users."""
        self.same("signIn", "nobody")
        self.same("session.getUser", "nobody")
        self.same("signOut", "nobody")
        self.same("after-signOut.getUser", "nobody")
        token = self.alike("token.create")
        self.ids["<token>"] = token
        self.same("signIn.with-token", "nobody")
        self.same("signOut", "nobody")
        case, answer = self.ask("user.getAuthenticationTokens")
        own = next(each for each in answer["result"] if each["id"] == token)
        self.assertEqual(list(shape_differences(case["result"][0], own)), [])
        self.same("token.create.too-long")
        self.same("user.getAll", without=("stack",))
        self.same("user.create.duplicate")
        carol = self.alike("user.create")
        self.ids[recorded("user.create")["result"]] = carol
        self.same("user.set")
        case, answer = self.ask("signIn.other-user", "nobody")
        self.assertEqual(answer["result"]["preferences"], case["result"]["preferences"])
        self.same("signOut", "nobody")
        for name in ("not-admin.server.getAll", "not-admin.user.set-permission"):
            self.same(name, "carol")

    def test_4_records(self):
        """Users' and jobs' records as XO had them."""
        self.same("group.getAll")
        self.same("acl.get", without=("id",))
        for name in ("acl.getCurrentPermissions", "role.getAll", "tag.getAllConfigured", "vm.getHaValues", "vif.getLockingModeValues",
                     "network.getBondModes", "error.ignorable-param", "error.param-without-schema", "error.unknown-method",
                     "log.get.unknown-namespace", "backupNg.getSuggestedExcludedTags"):
            self.same(name)
        for name in ("resourceSet.getAll", "resourceSet.get", "resourceSet.get.unknown"):
            self.same(name)
        for name in ("cloudConfig.getAll", "cloudConfig.getAllNetworkConfigs"):
            self.same(name)
        created = self.alike("cloudConfig.create")
        self.ids[recorded("cloudConfig.create")["result"]["id"]] = created["id"]
        self.same("cloudConfig.delete")
        for name in ("backupNg.getAllJobs", "backupNg.getJob", "backupNg.getJob.unknown", "metadataBackup.getAllJobs",
                     "mirrorBackup.getAllJobs", "job.getAll", "schedule.get"):
            self.same(name)
        self.schedules()
        self.ids[recorded("job.create")["result"]] = self.alike("job.create")
        self.same("job.get")
        self.same("job.runSequence")
        case, answer = self.ask("api.getConnections")
        signed_in = [each for each in answer["result"] if "user_id" in each]
        self.assertIn(case["result"][0], signed_in)
        self.assertRegex(self.ask("system.getServerTimezone")[1]["result"], r"^[\w/+-]+$")
        schedule = self.same("schedule.create", without=("id",))
        self.ids[recorded("schedule.create")["result"]["id"]] = schedule["id"]
        self.same("schedule.set")
        case, answer = self.ask("schedule.get.unknown")
        self.assertEqual(answer["error"], {"code": 1, "message": "no such schedule nope", "data": {"id": "nope", "type": "schedule"}})
        self.server.call("schedule.delete", id=schedule["id"])
        self.same("job.delete")

    def schedules(self):
        """XO keeps a schedule whose cron line makes no sense."""
        case, answer = self.ask("schedule.getAll")
        refused = [line["id"] for line in self.report["notTaken"] if line["entry"] == "schedules"]
        theirs = [each for each in case["result"] if each["id"] not in refused]
        self.assertEqual([each["cron"] for each in case["result"] if each["id"] in refused], ["61 5 * * *"])
        self.assertEqual(self.settled(answer["result"], ()), self.settled(theirs, ()))

    def test_5_repositories(self):
        """Repositories that XO wrote: the records, the backups in them."""
        self.repositories()
        for name in ("remote.get.unknown", "remote.create.xo-vm-backups", "remote.create.key-without-directory",
                     "backupNg.listVmBackups.unknown"):
            self.same(name)
        created = self.same("remote.create", without=("id", "url", "error"), url=f"file://{self.folder}/temporary")
        self.ids[recorded("remote.create")["result"]["id"]] = created["id"]
        self.same("remote.set")
        self.same("remote.delete")
        self.alike("remote.test")
        case, answer = self.ask("remote.getAllInfo")
        for id_ in (FLAT, UNMERGED, FULL, DIRECTORY):
            self.assertEqual(list(shape_differences(case["result"][id_], answer["result"][id_])), [], id_)
            self.assertEqual(answer["result"][id_]["encryption"], case["result"][id_]["encryption"])
        self.backups()
        self.same("metadataBackup.list")

    def repositories(self):
        """Those of XO that have no key; their URLs are in another place here."""
        sealed = {remote["id"] for remote in recorded("remote.getAll")["result"] if "encryptionKey" in remote["url"]}
        case, answer = self.ask("remote.getAll")
        theirs = [remote for remote in case["result"] if remote["id"] not in sealed]
        self.assertEqual(self.settled(answer["result"], ("url",)), self.settled(theirs, ("url",)))
        case, answer = self.ask("remote.get")
        self.assertIn(case["params"]["id"], sealed)
        self.assertEqual(answer["error"]["code"], 1)

    def backups(self):
        """XO's list of its backups, to the letter, for the repositories whose archives are as they were."""
        case, answer = self.ask("backupNg.listVmBackups")
        for remote in (FLAT, FULL, DIRECTORY):
            for vm, theirs in case["result"][remote].items():
                self.assertEqual(self.settled(answer["result"][remote].get(vm, []), ("isImmutable",)),
                                 self.settled(theirs, ("isImmutable",)), f"{remote} {vm}")

    # --- Objects and machines ---

    def stand_ins(self):
        """Machines of ours for the two of XO's that the exchanges are about, and what belongs to them."""
        if RUNNING in self.ids:
            return
        vms = self.server.objects(type="VM")
        pool = self.server.objects(type="pool")[0]["id"]
        template = next(each for each in self.server.objects(type="VM-template") if each["isDefaultTemplate"])
        self.ids.update({
            NETWORK: self.server.objects(type="network")[0]["id"],
            TEMPLATE: template["id"], TEMPLATE[len(POOL) + 1:]: template["uuid"], POOL: pool,
            RUNNING: next(vm["id"] for vm in vms if vm["power_state"] == "Running"),
            HALTED: next(vm["id"] for vm in vms if vm["power_state"] == "Halted"),
            SR: next(each["id"] for each in self.server.objects(type="SR") if each["content_type"] == "user"),
        })

    def xapi(self, method, uuid, *params):
        session = self.sim.session()
        self.addCleanup(session.proxy("close"))
        ref = session.call("VM.get_by_uuid", uuid)
        session.call(method, ref, *params)

    def wait(self, condition, what):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def view(self, id_):
        return self.server.call("xo.getAllObjects", filter={"id": id_})[id_]

    def test_6_objects(self):
        """Objects: every type that both have, with XO's fields; filters and lines."""
        self.stand_ins()
        self.assertEqual(self.ask("xo.getAllObjects.nothing")[1]["result"], {})
        self.alike("xo.getAllObjects.pool")
        case, answer = self.ask("xo.getAllObjects.string-filter")
        self.assertEqual(len(answer["result"]), 1)
        case, answer = self.ask("xo.getAllObjects.ndjson")
        self.assertEqual(list(answer["result"]), list(case["result"]))
        with urllib.request.urlopen(self.server.url + answer["result"]["$getFrom"]) as lines:
            vms = [json.loads(line) for line in lines]
        self.assertEqual({vm["type"] for vm in vms}, {"VM"})
        self.fields(recorded("not-admin.xo.getAllObjects")["result"].values(), vms)
        self.seen.add("not-admin.xo.getAllObjects")
        answer = self.socket("carol").call("xo.getAllObjects", {"filter": {"type": "VM"}})["result"]
        self.assertEqual(set(answer), {vm["id"] for vm in vms})
        self.server.call("tag.add", id=self.ids[RUNNING], tag="dev")
        case, answer = self.ask("xo.getAllObjects.tags-filter")
        self.assertEqual(list(answer["result"]), [self.ids[RUNNING]])
        self.server.call("tag.remove", id=self.ids[RUNNING], tag="dev")
        theirs = json.loads((FIXTURES / "objects/xo-all-objects.json").read_text())
        theirs = (theirs.get("result") or theirs).values()
        self.fields(theirs, self.server.objects())

    def fields(self, theirs, ours):
        """For each type: the fields that all of XO's objects have are in all of ours, and none that XO never has."""
        for type_ in {each["type"] for each in theirs} & {each["type"] for each in ours}:
            want = [set(each) for each in theirs if each["type"] == type_]
            have = [set(each) for each in ours if each["type"] == type_]
            lacking = set.intersection(*want) - set.intersection(*have) - OPTIONAL_FIELDS.get(type_, set())
            self.assertEqual(lacking, set(), f"fields of {type_} that ours lack")
            unknown = set.union(*have) - set.union(*want) - OPTIONAL_FIELDS.get(type_, set())
            self.assertEqual(unknown, set(), f"fields of {type_} that XO's lack")

    def test_7_machines(self):
        """Calls about machines: what is refused, in XO's words, and what is done."""
        self.stand_ins()
        running, halted = self.ids[RUNNING], self.ids[HALTED]
        for name in ("error.missing-param", "error.wrong-type", "error.unknown-id", "error.unknown-param", "error.id-of-another-type", "error.empty-string",
                     "vm.start.already-running", "vm.start.alias-param", "vm.stop.already-halted", "vm.delete.default-template"):
            self.same(name)
        self.same("not-admin.vm.start", "carol")
        self.server.call("acl.add", subject=self.ids[recorded("user.create")["result"]], object=running, action="viewer")
        self.same("vm.set.blockedOperations")
        self.xapi("VM.add_to_blocked_operations", running, "destroy", "kept for the tests")
        self.wait(lambda: "start" in self.view(halted)["blockedOperations"] and "destroy" in self.view(running)["blockedOperations"],
                  "the blocks")
        self.same("vm.start.blocked")
        self.same("vm.delete.blocked")
        self.same("vm.set.unblock")
        self.xapi("VM.remove_from_blocked_operations", running, "destroy")
        self.same("tag.add")
        self.assertIn("temporary", self.view(halted)["tags"])
        self.same("tag.remove")
        self.assertNotIn("temporary", self.view(halted)["tags"])
        self.settings(halted)
        self.stats(running, halted)
        self.makings()
        snapshot = self.alike("vm.snapshot")
        self.ids[SNAPSHOT] = snapshot
        self.assertEqual(self.view(snapshot)["name_label"], "snapshot by hand")
        self.same("vm.revert")
        self.same("vm.delete.snapshot")
        self.assertEqual(self.server.objects(id=snapshot), [])
        self.ids[recorded("vm.delete")["params"]["id"]] = halted
        self.news(running)
        self.same("vm.delete")
        self.assertEqual(self.server.objects(id=halted), [])

    def settings(self, halted):
        self.same("vm.set")
        self.assertEqual((self.view(halted)["name_description"], self.view(halted)["CPUs"]["number"]), ("changed", 1))
        self.ids[recorded("vm.set.opaque-ref")["params"]["id"]] = self.view(halted)["_xapiRef"]
        self.same("vm.set.opaque-ref")
        self.assertEqual(self.view(halted)["name_description"], "changed again")

    def makings(self):
        """What was made on the recorded pool is made here: machines, disks, networks."""
        self.same("vm.create.no-template")
        for name in ("vm.create", "vm.clone", "disk.create", "network.create"):
            made = self.alike(name)
            self.ids[recorded(name)["result"]] = made
            self.assertEqual(self.view(made)["name_label"], {"vm.create": "made by rpc", "vm.clone": "cloned", "disk.create": "extra",
                                                             "network.create": "temporary"}[name])
        for name in ("vdi.set", "vdi.set.shrink", "vdi.delete", "network.delete"):
            self.same(name)
        for name in ("vm.create", "vm.clone"):
            self.server.call("vm.delete", id=self.ids[recorded(name)["result"]])

    def stats(self, running, halted):
        """Of a running machine, with XO's series at least; of one that is not, XO's error with the whole record."""
        case, answer = self.ask("vm.stats")
        self.assertEqual(list(answer["result"]), list(case["result"]))
        self.assertEqual(answer["result"]["interval"], case["result"]["interval"])
        self.assertEqual(set(case["result"]["stats"]) - set(answer["result"]["stats"]), set())
        case, answer = self.ask("vm.stats.halted")
        theirs, ours = case["error"]["data"].pop("object"), answer["error"]["data"].pop("object")
        self.assertEqual(answer["error"], case["error"])
        self.assertEqual((ours["uuid"], ours["power_state"], ours["resident_on"]), (halted, "Halted", theirs["resident_on"]))
        self.assertEqual(set(theirs) - set(ours), set())

    def news(self, vm):
        """What another connection is told while a machine is stopped and started: the same kind of messages."""
        self.seen.add("_notifications")
        theirs = [each["message"] for each in recorded("_notifications")["notifications"]]
        listener = WebSocket(self.server.url)
        self.addCleanup(listener.close)
        listener.call("session.signIn", {"email": "admin@admin.net", "password": "admin"})
        self.server.call("vm.stop", id=vm, force=True)
        self.server.call("vm.start", id=vm)
        ours = listener.hear(lambda all_: any(message["params"]["items"].get(vm, {}).get("power_state") == "Halted" for message in all_
                                              if message["params"]["type"] == "enter"))
        self.assertEqual({message["method"] for message in theirs}, {message["method"] for message in ours})
        fields = {each["type"]: set(each) for message in theirs if message["params"]["type"] == "enter"
                  for each in message["params"]["items"].values()}
        for message in ours:
            self.assertEqual(set(message), set(theirs[0]))
            for each in message["params"]["items"].values() if message["params"]["type"] == "enter" else ():
                if each["type"] == "VM":
                    self.assertEqual(fields["VM"] - set(each) - OPTIONAL_FIELDS.get("VM", set()), set())

    def test_8_servers_and_logs(self):
        """Servers, frames, methods, logs."""
        self.ids["127.0.1.1"] = self.sim.url
        self.same("server.add.duplicate")
        self.same("server.enable.already")
        del self.ids["127.0.1.1"]
        answer = self.alike("server.getAll")
        self.assertEqual(answer[0]["id"], SERVER)
        self.same("user.delete")
        self.assertEqual([each["id"] for each in self.ask("plugin.get")[1]["result"]], ["transport-email"])
        self.methods()
        self.frames()
        self.logs()

    def methods(self):
        theirs, ours = self.ask("system.listMethods")
        lacking = sorted(set(theirs["result"]) - set(ours["result"]))
        print(f"of {len(theirs['result'])} methods of XO, {len(theirs['result']) - len(lacking)} are here")
        for method in MISSING:
            self.assertIn(method, lacking, "it is here now: replay its exchanges")
        for method in lacking:  # said so, and why; what nobody knows is another error
            error = self.socket("admin").call(method, {})["error"]
            self.assertEqual((error["code"], error["message"].split(":")[0], error["data"]["method"]), (0, "not implemented", method))
            self.assertEqual(self.socket("nobody").call(method, {})["error"]["code"], 2)
        theirs, ours = self.ask("system.getMethodsInfo")
        for method in set(theirs["result"]) & set(ours["result"]):
            self.same_parameters(theirs["result"][method], ours["result"][method])

    def frames(self):
        """Frames that make no sense: as XO, silence or an error; batches are answered, which XO cannot."""
        self.seen.add("_frames")
        socket = WebSocket(self.server.url)
        self.addCleanup(socket.close)
        socket.call("session.signIn", {"email": "admin@admin.net", "password": "admin"})
        for frame in recorded("_frames")["frames"]:
            if frame["sent"].startswith("["):
                continue
            socket.send(frame["sent"])
            for received in frame["received"]:
                self.assertEqual(json.loads(socket.receive_answer()), json.loads(received), frame["sent"])

    def logs(self):
        """Logs are asked for in XO's ways; what they hold is compared in test_logs."""
        for name in ("backupNg.getAllLogs", "backupNg.getLogs", "backupNg.getLogs.after", "backupNg.getLogs.filter"):
            case, answer = self.ask(name)
            self.assertEqual(kind(answer["result"]), kind(case["result"]), name)
        case, answer = self.ask("backupNg.getAllLogs.ndjson")
        self.assertEqual(list(answer["result"]), list(case["result"]))
        with urllib.request.urlopen(self.server.url + answer["result"]["$getFrom"]) as lines:
            self.assertEqual(lines.read(), b"")

    def test_9_everything(self):
        """Every recorded exchange is accounted for."""
        methods = {}
        for name in every_case():
            if name in self.seen or name.startswith("_"):
                continue
            method = recorded(name)["method"]
            self.assertIn(method, MISSING, f"{name} was not replayed")
            self.missing(name)
            methods[method] = methods.get(method, 0) + 1
        self.assertEqual(set(every_case()) - self.seen, set())
        self.assertEqual(set(DIFFERENT) - set(every_case()), set())
        missing = sum(methods.values())
        print(f"{len(every_case())} recorded exchanges: {len(every_case()) - missing - len(DIFFERENT)} the same, {len(DIFFERENT)} different "
              f"with a reason, {missing} of {len(methods)} methods that are not here yet: {', '.join(sorted(methods))}")


if __name__ == "__main__":
    unittest.main()
