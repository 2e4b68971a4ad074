"""The table of what is simulated, in docs/simulator.md, against the simulator: every message of the API is called with made-up
parameters, and those that answer NOT_IMPLEMENTED are those that the table says are not simulated.

    python3 test_sim_table.py --write     writes the table anew"""
import json
import pathlib
import re
import sys
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Sim  # noqa: E402

PAGE = ROOT / "docs/simulator.md"
BEGIN, END = "<!-- what is simulated: begin -->\n", "<!-- what is simulated: end -->\n"
# They end the session that asks, or the wait for its end.
SKIPPED = {"session.logout", "session.local_logout", "event.next", "event.from"}
# What XAPI serves by HTTP, and what XO uses of it.
PATHS = """/audit_log /console /export /export_metadata /export_raw_vdi /host_backup /host_logs_download /host_restore /host_rrd /import /import_metadata
           /import_raw_vdi /pool/xmldbdump /pool_patch_upload /rrd_updates /sr_rrd /system-status /vm_rrd""".split()


def enumerations():
    text = (ROOT / "src/sim/enums.def").read_text()
    return {match[1]: match[2].split() for match in re.finditer(r'\w+\(\s*(\w+),\s*"([^"]*)"', text)}


def messages():
    """(name, types of the parameters that are not optional, the session among them) of the messages that are more than a field."""
    text = (ROOT / "src/sim/messages.def").read_text()
    for match in re.finditer(r'MESSAGE\(\s*"([\w.]+)",\s*"([^"]*)",\s*"[^"]*",\s*([^)]*)\)', text):
        if "REMOVED" not in match[3]:
            session = [] if "OPEN" in match[3] else ["session"]
            yield match[1], session + [type_ for type_ in match[2].split() if not type_.endswith("?")]


def made_up(type_, enums):
    if type_.startswith("E:"):
        return enums.get(type_[2:], ["x"])[0]
    if type_.startswith("{"):
        return []
    if ">" in type_ or type_.startswith("R:"):
        return {}
    return {"s": "x", "b": False, "i": 0, "f": 0.0, "d": "20260101T00:00:00Z"}.get(type_, "OpaqueRef:NULL")


def call(sim, method, params):
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).encode()
    with urllib.request.urlopen(urllib.request.Request(sim.plain_url + "/jsonrpc", body), timeout=60) as answer:
        return json.load(answer)


def answers(sim, session, name, types, enums):
    """Whether the simulator does something for this message."""
    params = [session if type_ == "session" else made_up(type_, enums) for type_ in types]
    error = call(sim, name, params).get("error", {})
    if error.get("message") == "MESSAGE_PARAMETER_COUNT_MISMATCH":
        raise AssertionError(f"{name}: {error}")
    return error.get("message") != "NOT_IMPLEMENTED"


def handlers():
    """The paths that the code serves: rows {method, path, function}."""
    text = "".join(path.read_text() for path in sorted((ROOT / "src/sim").glob("*.c")))
    return {match[2]: match[1] for match in re.finditer(r'\{\s*"([A-Z]+)",\s*"(/[\w/-]*)",\s*(?:\.serve_at = )?\w+\s*\}', text)
            if not match[2].startswith("/sim/")} # those are the control API


def seen():
    """What a running simulator does: {class: (simulated, not simulated)}."""
    sim = Sim("--vms", 0, "--login-penalty", 0)
    try:
        enums, table = enumerations(), {}
        for name, types in messages():
            session = call(sim, "session.login_with_password", ["root", sim.password])["result"]
            does = name in SKIPPED or answers(sim, session, name, types, enums)
            cls, verb = name.split(".")
            table.setdefault(cls, ([], []))[0 if does else 1].append(verb)
        return table
    finally:
        sim.stop()


def section():
    table, served = seen(), handlers()
    lines = ["", "| class | simulated | not simulated |", "|---|---|---|"]
    for cls in sorted(table, key=str.lower):
        does, does_not = (" ".join(sorted(verbs)) or "–" for verbs in table[cls])
        lines.append(f"| {cls} | {does} | {does_not} |")
    lines += ["", "| path | |", "|---|---|"]
    lines += [f"| `{path}` | {'simulated: ' + served[path] if path in served else 'not simulated'} |"
              for path in sorted(set(PATHS) | set(served))]
    return "\n".join(lines) + "\n\n"


class Table(unittest.TestCase):
    maxDiff = None

    def test_it_does_not_lie(self):
        page = PAGE.read_text()
        self.assertIn(BEGIN, page)
        told = page[page.index(BEGIN) + len(BEGIN):page.index(END)]
        self.assertEqual(told, section(), "run `python3 tests/system/test_sim_table.py --write`")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        page = PAGE.read_text()
        PAGE.write_text(page[:page.index(BEGIN) + len(BEGIN)] + section() + page[page.index(END):])
    else:
        unittest.main()
