"""Every method for everybody: anonymous, nobody, viewer, operator, administrator of one object, administrator.

matrix.txt says, one line a method, who may call it and which permission it wants on the objects that it names. What the
server declares must be what the table says, and what it does must be what both say: a new method without a line fails
here. Calls that must be refused are really made; those that must be allowed are asked about (acl.explain), for they
would do something. The routes of REST have lines as well, and are really asked, about objects that are not there. Another
surface joins by a class with the same functions, listed in SURFACES."""
import http.client
import json
import pathlib
import re
import shutil
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Server, Sim  # noqa: E402
from websocket import WebSocket  # noqa: E402

TABLE = pathlib.Path(__file__).resolve().parent / "matrix.txt"
LEVELS = {"view": 1, "operate": 2, "administrate": 3}
ROLES = {"viewer": 1, "operator": 2, "admin": 3}
IN_FLIGHT = 64
NOWHERE = "11111111-2222-4333-8444-555555555555"


def table():
    lines = [line.split() for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return {words[0]: words[1:] for words in lines}


class Methods:
    """The methods of JSON-RPC."""

    def __init__(self, box):
        self.box = box
        self.infos = box.server.call("system.getMethodsInfo")

    def declared(self):
        """name → the words of its line, as the server's own tables have it."""
        found = {}
        for name, info in self.infos.items():
            role = info.get("permission", "user") or "anyone"
            objects = [f"{param}:{','.join(schema['resolve']['types'])}:{schema['resolve'].get('permission', '-')}"
                       for param, schema in info["params"].items() if "resolve" in schema]
            found[name] = [role, *sorted(objects)]
        return found

    # --- parameters ---

    def params(self, name, sample):
        """Parameters that are right in form, the objects from the sample; None when there is no such object."""
        made = {}
        for param, schema in self.infos[name]["params"].items():
            if "resolve" in schema:
                types = schema["resolve"]["types"]
                found = next((sample[type_] for type_ in types if type_ in sample), sample["VM"] if types == ["*"] else None)
                if found is None and not schema.get("optional"):
                    return None
                if not schema.get("optional"):
                    made[param] = found
            elif not schema.get("optional") and "default" not in schema:
                made[param] = self.value(schema)
        made.pop("*", None)
        return made

    @staticmethod
    def value(schema):
        types = schema.get("type", "string")
        type_ = types if isinstance(types, str) else (types or ["string"])[0]
        if "enum" in schema:
            return schema["enum"][0]
        return {"string": "x", "integer": 1, "number": 1, "boolean": False, "object": {}, "array": [], "null": None}[type_]

    def is_decided_by_probe(self, name):
        """One more parameter is refused, after who calls was asked and before anything is done."""
        params = self.infos[name]["params"]
        return bool(params) and "*" not in params

    # --- cells ---

    def roles(self, name, words):
        """(who, expected code or None: anything but a refusal, method, params)"""
        for who, may in (("anonymous", words[0] == "anyone"), ("nobody", words[0] != "admin"), ("administrator", True)):
            if not may:
                yield who, 2, name, {}
            elif self.is_decided_by_probe(name):
                yield who, 10, name, {"a parameter that no method has": 1}
            elif who != "anonymous":
                yield who, None, "acl.explain", {"method": name}

    def objects(self, name, words):
        wanted = [word.split(":") for word in words[1:]]
        required = [(param, types, permission) for param, types, permission in wanted
                    if permission != "-" and not self.infos[name]["params"][param].get("optional")]
        params = self.params(name, self.box.sample) if required else None
        if params is None:
            return
        need = max(LEVELS[permission] for _, _, permission in required)
        for who, level in [("nobody", 0), *ROLES.items()]:
            yield (who, None, "acl.explain", {"method": name, "params": params}) if level >= need else (who, 2, name, params)
        own = all(params[param] in self.box.owned for param, _, _ in required)
        yield ("owner", None, "acl.explain", {"method": name, "params": params}) if own else ("owner", 2, name, params)
        yield "administrator", None, "acl.explain", {"method": name, "params": params}

    def cells(self, name, words):
        if name not in self.infos:
            return
        yield from self.roles(name, words)
        if words[0] == "user":
            yield from self.objects(name, words)


    def judge(self, cell, answer):
        """What is wrong, or None."""
        _, expected, method, params = cell
        error = answer.get("error")
        if expected is None:
            if error:
                return f"explain fails: {error}"
            asked = answer["result"]
            code = asked.get("error", {}).get("code")
            return None if asked["allowed"] or code not in (2, 10) or (code == 10 and "params" not in params) else f"should be allowed: {asked}"
        code = error["code"] if error else "no error"
        return None if code == expected else f"{json.dumps(params)[:200]}: expected error {expected}, got {code}: {str(error or '')[:200]}"

    def ask(self, who, cells):
        """The answers of calls that are made at once."""
        socket, step = self.box.sockets[who], 8 if who == "anonymous" else IN_FLIGHT
        for start in range(0, len(cells), step):
            ids = [socket.ask(method, params) for _, _, method, params in cells[start:start + step]]
            answers = {}
            while len(answers) < len(ids):
                answer = socket.answer()
                answers[answer["id"]] = answer
            yield from (answers[id_] for id_ in ids)


class Rest:
    """The routes of REST, from its own description; "anyone" is public there, the rest shows when somebody asks."""
    FOR_NOBODY = (-401, -403, -500)

    def __init__(self, box):
        self.box = box
        with urllib.request.urlopen(box.server.url + "/rest/v0/docs/swagger.json") as answer:
            paths = json.load(answer)["paths"]
        self.routes = {f"{verb.upper()}:{path}": info for path, verbs in paths.items() for verb, info in verbs.items()}

    def declared(self):
        said = table()
        return {name: ["anyone"] if info.get("security") == [] else said.get(name, ["user-or-admin"])
                for name, info in self.routes.items()}

    def cells(self, name, words):
        """(who, the statuses that are right or, when negative, wrong, verb, path)"""
        if name not in self.routes:
            return
        verb, path = name.split(":", 1)
        path = "/rest/v0" + re.sub(r"\{id\*?\}", NOWHERE, path)
        path = re.sub(r"\{[^}]*\}", "x", path)
        yield "anonymous", (401,) if words[0] != "anyone" else (-401, -403), verb, path
        if path.startswith("/rest/v0/events"):
            return  # a stream has no end
        yield "nobody", (403,) if words[0] == "admin" else self.FOR_NOBODY, verb, path
        yield "administrator", (-401, -403), verb, path

    def ask(self, who, cells):
        parts = urllib.parse.urlsplit(self.box.server.url)
        headers = {"Cookie": f"token={self.box.tokens[who]}"} if who in self.box.tokens else {}
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        for _, _, verb, path in cells:
            connection.request(verb, path, headers=headers)
            answer = connection.getresponse()
            yield answer.status, answer.read()
        connection.close()

    def judge(self, cell, answer):
        (name, statuses, verb, path), (status, body) = cell, answer
        right = -status not in statuses if statuses[0] < 0 else status in statuses
        if self.is_list_for_nobody(name, cell) and status == 200 and body not in (b"[]", b"{}"):
            return f"{path}: nobody is shown {body[:200]}"
        return None if right and status != 500 else f"{path}: expected {statuses}, got {status}"

    def is_list_for_nobody(self, name, cell):
        """Lists of what somebody has rights on; the words of roles and privileges are for everybody."""
        return (cell[1] == self.FOR_NOBODY and name.startswith("GET:") and "{" not in name and table()[name] == ["user"]
                and not name.startswith("GET:/acl-"))


SURFACES = [Methods, Rest]


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-matrix-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.sim = Sim("--hosts", 2, "--vms", 3, "--running", "0.5", "--disk-size", "16MiB", "--seed", 5)
        cls.addClassCleanup(cls.sim.stop)
        cls.server = Server(str(cls.folder / "data"), log=cls.folder / "server.log")
        cls.addClassCleanup(cls.server.stop)
        cls.server.connect(cls.sim)
        cls.choose_objects()
        cls.make_people()

    @classmethod
    def choose_objects(cls):
        """One object of each type, around one machine where they belong to machines."""
        vm = cls.server.objects(type="VM")[0]["id"]
        cls.server.call("vm.snapshot", id=vm, name="of the matrix")
        objects = cls.server.objects()
        disks = {each["VDI"] for each in objects if each["type"] == "VBD" and each["VM"] == vm and "VDI" in each and not each["is_cd_drive"]}
        own = {"VM": lambda o: o["id"] == vm, "VIF": lambda o: o["$VM"] == vm, "VBD": lambda o: o.get("VDI") in disks,
               "VDI": lambda o: o["id"] in disks, "VM-snapshot": lambda o: o["$snapshot_of"] == vm, "message": lambda o: o["$object"] == vm}
        cls.sample, cls.owned = {}, set()
        for each in objects:
            if each["type"] not in own:
                cls.sample.setdefault(each["type"], each["id"])
            elif own[each["type"]](each):
                cls.sample.setdefault(each["type"], each["id"])
                cls.owned.add(each["id"])

    @classmethod
    def make_people(cls):
        cls.sockets, cls.tokens = {"anonymous": WebSocket(cls.server.url)}, {"administrator": cls.server.env["CADENZA_TOKEN"]}
        for who in ("nobody", "owner", *ROLES):
            user = cls.server.call("user.create", email=who, password="a password")
            if who in ROLES:
                cls.server.call("acl.add", subject=user, object=cls.sample["pool"], action=who)
            if who == "owner":
                cls.server.call("acl.add", subject=user, object=cls.sample["VM"], action="admin")
            cls.sockets[who] = WebSocket(cls.server.url)
            assert "result" in cls.sockets[who].call("session.signIn", {"email": who, "password": "a password"})
        cls.sockets["administrator"] = WebSocket(cls.server.url)
        cls.sockets["administrator"].call("session.signIn", {"email": cls.server.user, "password": cls.server.password})
        cls.tokens["nobody"] = cls.sockets["nobody"].call("token.create")["result"]
        for socket in cls.sockets.values():
            cls.addClassCleanup(socket.close)

    def test_table(self):
        """Each method has a line, and each line says what the method's own table says."""
        said, declared = table(), {}
        for surface in SURFACES:
            declared.update(surface(self).declared())
        missing = "\n".join(" ".join([name, *words]) for name, words in sorted(declared.items()) if said.get(name) != words)
        self.assertFalse(missing, f"matrix.txt has no such line; when it is as meant, add:\n{missing}")
        self.assertEqual(set(said) - set(declared), set(), "matrix.txt names methods that are not there")

    def test_cells(self):
        """What each caller gets is what the table says."""
        said, wrong, n_cells, n_refused = table(), [], 0, 0
        for surface in (made(self) for made in SURFACES):
            by_caller = {}
            for name, words in said.items():
                for who, expected, method, params in surface.cells(name, words):
                    by_caller.setdefault(who, []).append((name, expected, method, params))
            for who, cells in by_caller.items():
                for cell, answer in zip(cells, surface.ask(who, cells)):
                    n_cells += 1
                    n_refused += cell[1] in (2, (401,), (403,))
                    verdict = surface.judge(cell, answer)
                    if verdict:
                        wrong.append(f"{who}: {cell[0]}: {verdict}")
        print(f"{n_cells} cells of {len(said)} methods, {n_refused} of them refusals", file=sys.stderr)
        self.assertEqual([], wrong, "\n".join(wrong))
        self.assertGreater(n_cells, 3 * len(said) - 20)


if __name__ == "__main__":
    unittest.main()
