"""What a pool and a server hold, written down, and what became different between two such writings: one word per change, as
`VM.power_state=Paused`, `VM.tags+production`, `+VDI`, `-user`, `+VIFs` for several. The pool is asked directly, by JSON and without the server, so that
what the server says of it is not believed here."""
import collections
import gzip
import http.client
import json
import re
import urllib.parse
import urllib.request

from websocket import Closed, WebSocket

CLASSES = "VM VDI VBD VIF VTPM VGPU VUSB SR PBD network PIF Bond VLAN tunnel host pool Certificate message task host_metrics".split()
# Of these nothing else is looked at.
ONLY = {"host_metrics": ["live"], "message": ["name", "body"], "task": ["name_label", "status", "current_operations"]}
# Why: they follow from the rest, or come by themselves a little later.
PASSED_OVER = {
    "VM": "allowed_operations current_operations domid domarch last_boot_CPU_flags last_booted_record snapshot_time snapshot_info is_vmss_snapshot "
          "metrics guest_metrics reference_label scheduled_to_be_resident_on pending_guidances generation_id",
    "VDI": "allowed_operations current_operations physical_utilisation sm_config snapshot_time location metadata_of_pool managed parent",
    "VBD": "allowed_operations current_operations metrics storage_lock runtime_properties status_code status_detail device",
    "VIF": "allowed_operations current_operations metrics runtime_properties status_code status_detail",
    "SR": "allowed_operations current_operations physical_utilisation virtual_allocation",
    "network": "allowed_operations current_operations assigned_ips bridge",
    "PIF": "metrics", "host": "allowed_operations current_operations metrics blobs", "pool": "allowed_operations current_operations",
}
# Tasks and messages come with whatever is done; only those of people's own are counted.
OWN = {"task": lambda task: task["name_label"] == "of a person", "message": lambda message: message["name"] == "OF_A_PERSON",
       "VDI": lambda vdi: vdi["managed"]}
ENTRIES = {"users": "user", "groups": "group", "acls": "rule", "authTokens": "token", "xenServers": "server", "jobs": "job",
           "schedules": "schedule", "remotes": "repository", "resourceSets": "set", "cloudConfigs": "cloudConfig", "tags": "tag",
           "metadataJobs": "job", "plugins": "plugin", "roles": "role", "privileges": "privilege", "ipPools": "ipPool"}
VOLATILE = ("last_uses", "expiration", "created_at", "lastRun", "error", "usage", "date")
CHANGEABLE = re.compile(r"OpaqueRef:|[0-9a-f]{8}-[0-9a-f]{4}-|\d{8}T\d\d:|\d{4}-\d\d-\d\dT|\d{9}|\$argon|127\.0\.|[{[]")


class Ledger:
    def __init__(self, sim, server, folder=None):
        self.sim, self.server, self.folder, self.socket = sim, server, folder, None
        self.connection, self.session = None, None

    def close(self):
        for each in (self.connection, self.socket):
            if each:
                each.close()

    # --- Reading ---

    def ask(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
        self.connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
        return json.loads(self.connection.getresponse().read())

    def records(self, cls):
        """All records of a class; a new connection and session when those before have ended."""
        for _ in range(3):
            try:
                if not self.session:
                    self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.sim.plain_url).netloc, timeout=60)
                    self.session = self.ask("session.login_with_password", "root", self.sim.password)["result"]
                answer = self.ask(f"{cls}.get_all_records", self.session)
            except (OSError, http.client.HTTPException):
                answer = {}
            if "result" in answer:
                return answer["result"]
            self.session = None
        raise AssertionError(f"the pool does not tell its {cls} objects: {answer}")

    def pool(self):
        found = {}
        for cls in CLASSES:
            for ref, record in self.records(cls).items():
                if OWN.get(cls, bool)(record):
                    passed, only = PASSED_OVER.get(cls, "").split(), ONLY.get(cls, record)
                    found[cls, ref] = {key: value for key, value in record.items() if key in only and key not in passed}
        return found

    def configuration(self):
        """What the server keeps, as it exports it."""
        for _ in range(3):
            try:
                if not self.socket:
                    self.socket = WebSocket(self.server.url)
                    self.socket.call("session.signIn", {"token": self.server.env["CADENZA_TOKEN"]})
                answer = self.socket.call("xo.exportConfig", {"compress": False})
                with urllib.request.urlopen(self.server.url + answer["result"]["$getFrom"], timeout=60) as got:
                    data = got.read()
                return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
            except (Closed, OSError):
                self.socket = None
        raise AssertionError("the server does not export what it keeps")

    def kept(self):
        found = {}
        for entry, records in self.configuration().items():
            if not isinstance(records, list):
                continue
            for i, record in enumerate(records):
                if isinstance(record, dict):
                    key = record.get("id", i)
                    found[ENTRIES.get(entry, entry), str(key)] = {name: value for name, value in record.items() if name not in VOLATILE}
        for plugin in self.socket.call("plugin.get")["result"]:
            found.setdefault(("plugin", plugin["id"]), {})["loaded"] = plugin.get("loaded", False)
        found.update({("log", id_): {} for id_ in self.socket.call("log.get", {"namespace": "api"})["result"]})
        return found

    def files(self):
        """Of the folder of backups, if there is one."""
        return {("file", str(path)): {} for path in self.folder.rglob("*") if path.is_file() and path.parent.name != "index"} if self.folder else {}

    def write(self):
        return {**self.pool(), **self.kept(), **self.files()}


# --- Comparing ---

def shown(value):
    """A value that is the same in every run, or nothing."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "" if CHANGEABLE.search(text) or len(text) > 60 else "=" + re.sub(r"\s+", "_", text)


def is_of_references(value):
    return isinstance(value, (list, dict)) and bool(value) and all(isinstance(each, str) and each.startswith("OpaqueRef") for each in value)


def changes_of(name, old, new):
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                word = f"{name}.{'*' if CHANGEABLE.search(key) else re.sub(chr(92) + 's+', '_', key)}".replace("=", ":")
                yield f"-{word}" if key not in new else word + shown(new[key])
    elif isinstance(old, list) and isinstance(new, list):
        if not is_of_references(old) and not is_of_references(new):
            yield from (f"{name}+{shown(each)[1:] or '*'}" for each in new if each not in old)
            yield from (f"{name}-{shown(each)[1:] or '*'}" for each in old if each not in new)
    else:
        yield name + shown(new)


def differences(before, after):
    """The words, sorted."""
    words = collections.Counter()
    for key in {*before, *after}:
        cls, _ = key
        if cls == "log" and key not in before:
            continue  # whatever is refused is in the log
        if key not in after or key not in before:
            words[f"{'-' if key not in after else '+'}{cls}"] += 1
        elif before[key] != after[key]:
            for field in {*before[key], *after[key]}:
                if before[key].get(field) != after[key].get(field):
                    words.update(changes_of(f"{cls}.{field}", before[key].get(field), after[key].get(field)))
    return sorted(word + "s" if n > 1 and word[0] in "+-" and "." not in word else word for word, n in words.items())
