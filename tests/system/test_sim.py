"""The simulated pool as third parties see it: the wire, errors, events, tasks, the life of VMs, members, faults.

The client is Python's own XML-RPC library, or a few lines of JSON; nothing of the project."""
import hashlib
import http.client
import json
import os
import pathlib
import ssl
import sys
import threading
import time
import unittest
import urllib.parse
import urllib.request
from random import Random

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Sim  # noqa: E402
from simulated import NULL, Pool  # noqa: E402

FIXTURES = os.environ.get("CADENZA_FIXTURES", "")


class Wire(Pool):
    def post(self, path, body, headers=None):
        connection = http.client.HTTPConnection(self.plain)
        self.addCleanup(connection.close)
        connection.request("POST", path, body, headers or {})
        answer = connection.getresponse()
        return answer, answer.read().decode()

    def test_list_methods_is_bare_in_xml(self):
        body = "<?xml version='1.0'?><methodCall><methodName>system.listMethods</methodName></methodCall>"
        answer, text = self.post("/", body)
        self.assertEqual(answer.getheader("content-type"), "text/xml")
        self.assertTrue(text.startswith('<?xml version="1.0"?><methodResponse><params><param><value><array><data><value>'))
        names = self.xapi.proxy.system.listMethods()
        self.assertEqual(len(names), len(set(names)))
        for name in ("VM.start", "pool.get_all_records", "event.from", "VM.add_to_other_config", "VMPP.get_all_records"):
            self.assertIn(name, names)
        self.assertNotIn("Async.VM.start", names)

    def test_every_listed_class_can_be_fetched(self):
        for name in self.xapi.proxy.system.listMethods():
            if name.endswith(".get_all_records"):
                try:
                    self.assertIsInstance(self.call(name), dict)
                except Refused as refused:
                    self.assertEqual(refused.code, "MESSAGE_REMOVED")

    def test_integers_are_text_in_xml_and_numbers_in_json(self):
        vm = self.a_vm("Running")
        self.assertEqual(self.xapi.call("VM.get_VCPUs_max", vm), "2")
        self.assertEqual(self.call("VM.get_VCPUs_max", vm), 2)
        self.assertIs(self.xapi.call("VM.get_is_a_template", vm), False)
        self.assertEqual(self.xapi.call("VM.get_snapshot_time", vm).value, "19700101T00:00:00Z")
        self.assertEqual(self.call("VM.get_snapshot_time", vm), "19700101T00:00:00Z")

    def test_numbers_may_come_as_text(self):
        vm = self.a_vm("Halted")
        self.call("VM.set_user_version", vm, "7")
        self.assertEqual(self.call("VM.get_user_version", vm), 7)
        self.xapi.call("VM.set_user_version", vm, "1")
        self.assertEqual(self.call("VM.get_user_version", vm), 1)

    def test_json_rpc_2(self):
        answer, headers = self.json("pool.get_all", self.xapi.ref)
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(set(answer), {"jsonrpc", "result", "id"})
        answer, _ = self.json("VM.get_record", self.xapi.ref, "OpaqueRef:x")
        self.assertEqual(answer, {"jsonrpc": "2.0", "id": 0,
                                  "error": {"code": 1, "message": "HANDLE_INVALID", "data": ["VM", "OpaqueRef:x"]}})

    def test_json_rpc_1(self):
        body = json.dumps({"method": "pool.get_all", "params": [self.xapi.ref], "id": "seven"})
        _, text = self.post("/jsonrpc", body)
        answer = json.loads(text)
        self.assertEqual((answer["error"], answer["id"]), (None, "seven"))
        body = json.dumps({"method": "VM.get_record", "params": [self.xapi.ref, "x"], "id": 1})
        answer = json.loads(self.post("/jsonrpc", body)[1])
        self.assertEqual((answer["result"], answer["error"]), (None, ["HANDLE_INVALID", "VM", "x"]))

    def test_any_path_takes_xml(self):
        body = ("<methodCall><methodName>session.login_with_password</methodName><params><param><value>root</value></param>"
                f"<param><value><string>{self.sim.password}</string></value></param></params></methodCall>")
        for path in ("/", "/RPC2", "/xmlrpc"):
            self.assertIn("OpaqueRef:", self.post(path, body)[1])

    def test_what_is_no_call_is_refused(self):
        for path, body in (("/", "<methodCall>"), ("/", ""), ("/", "<value/>"), ("/jsonrpc", "{"), ("/jsonrpc", "[]"),
                           ("/jsonrpc", '{"method": "pool.get_all", "params": [], "id": null}'),
                           ("/", "<methodCall><methodName>x</methodName>" + "<value>" * 100)):
            self.assertEqual(self.post(path, body)[0].status, 500, body)
        self.assertEqual(self.post("/jsonrpc", b"x" * (301 << 10))[0].status, 500)
        self.assertEqual(self.post("/jsonrpc", iter([b"{}"]))[0].status, 500)  # chunked

    def test_connections_are_kept(self):
        connection = http.client.HTTPConnection(self.plain)
        self.addCleanup(connection.close)
        for _ in range(3):
            connection.request("POST", "/jsonrpc", json.dumps({"method": "system.listMethods", "params": [], "id": 1}))
            answer = connection.getresponse()
            self.assertGreater(int(answer.getheader("content-length")), 1000)
            answer.read()
            self.assertFalse(answer.will_close)

    def test_other_requests(self):
        for method, path, status in (("GET", "/nothing", 404), ("PUT", "/nothing", 403), ("DELETE", "/", 501),
                                     ("OPTIONS", "/jsonrpc", 200), ("GET", "/", 200)):
            connection = http.client.HTTPConnection(self.plain)
            self.addCleanup(connection.close)
            connection.request(method, path)
            self.assertEqual(connection.getresponse().status, status, method)


class Errors(Pool):
    def test_sessions(self):
        answer, _ = self.json("session.login_with_password", "root", "wrong")
        self.assertEqual(answer["error"]["message"], "SESSION_AUTHENTICATION_FAILED")
        self.assertEqual(self.json("pool.get_all", "OpaqueRef:none")[0]["error"],
                         {"code": 1, "message": "SESSION_INVALID", "data": ["OpaqueRef:none"]})
        other = self.session()
        other.call("session.logout")
        with self.assertRaises(Refused) as caught:
            other.call("pool.get_all")
        self.assertEqual((caught.exception.code, caught.exception.data), ("SESSION_INVALID", [other.ref]))

    def test_calls(self):
        vm = self.a_vm("Running")
        self.assertEqual(self.refused("MESSAGE_METHOD_UNKNOWN", "VM.dance"), ["VM.dance"])
        self.assertEqual(self.refused("MESSAGE_METHOD_UNKNOWN", "Async.VM.get_record", vm), ["Async.VM.get_record"])
        self.assertEqual(self.refused("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.start", vm), ["VM.start", "4", "2"])
        self.assertEqual(self.refused("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.snapshot", vm, "x", [], 1),
                         ["VM.snapshot", "4", "5"])
        self.assertEqual(self.refused("MESSAGE_REMOVED", "VM.snapshot_with_quiesce", vm, "x"), [])
        self.assertEqual(self.refused("NOT_IMPLEMENTED", "VM.assert_agile", vm), ["VM.assert_agile"])
        self.refused("INTERNAL_ERROR", "VM.start", vm, "yes", False)
        self.refused("INTERNAL_ERROR", "VM.set_tags", vm, "not a set")

    def test_objects(self):
        self.assertEqual(self.refused("HANDLE_INVALID", "VM.get_record", NULL), ["VM", NULL])
        host = self.call("host.get_all")[0]
        self.assertEqual(self.refused("HANDLE_INVALID", "VM.get_record", host), ["VM", host])
        self.assertEqual(self.refused("UUID_INVALID", "SR.get_by_uuid", "x"), ["SR", "x"])
        self.assertEqual(self.call("VM.get_by_name_label", "no such name"), [])

    def test_fields(self):
        vm = self.a_vm("Running")
        self.call("VM.add_to_other_config", vm, "key", "value")
        self.assertEqual(self.refused("MAP_DUPLICATE_KEY", "VM.add_to_other_config", vm, "key", "other"),
                         ["VM", "other_config", vm, "key"])
        self.assertEqual(self.call("VM.get_other_config", vm)["key"], "value")
        self.call("VM.remove_from_other_config", vm, "key")
        self.call("VM.remove_from_other_config", vm, "key")
        self.assertNotIn("key", self.call("VM.get_other_config", vm))
        self.call("VM.add_tags", vm, "a")
        self.call("VM.add_tags", vm, "a")
        self.assertEqual(self.call("VM.get_tags", vm), ["a"])
        self.call("VM.remove_tags", vm, "a")
        self.assertEqual(self.refused("INVALID_VALUE", "VM.set_actions_after_crash", vm, "explode"),
                         ["on_crash_behaviour", "explode"])
        self.refused("MESSAGE_METHOD_UNKNOWN", "VM.set_power_state", vm, "Halted")

    def test_constructors(self):
        self.assertEqual(self.refused("FIELD_TYPE_ERROR", "VM.create", {"name_label": "x"}), ["user_version"])
        secret = self.call("secret.create", {"value": "x", "other_config": {}, "unheard_of": 1})
        self.assertEqual(self.call("secret.get_value", secret), "x")
        self.call("secret.destroy", secret)
        self.refused("HANDLE_INVALID", "secret.get_value", secret)

    def test_plugins(self):
        host = self.call("host.get_all")[0]
        self.assertEqual(self.refused("XENAPI_MISSING_PLUGIN", "host.call_plugin", host, "none.py", "f", {}), ["none.py"])


class Records(Pool):
    def test_references_agree_both_ways(self):
        everything = {cls: self.call(cls + ".get_all_records")
                      for cls in ("pool", "host", "VM", "VDI", "VBD", "VIF", "SR", "PBD", "PIF", "network", "console")}
        pairs = (("VM", "VBDs", "VBD", "VM"), ("VDI", "VBDs", "VBD", "VDI"), ("SR", "VDIs", "VDI", "SR"),
                 ("SR", "PBDs", "PBD", "SR"), ("host", "PBDs", "PBD", "host"), ("host", "PIFs", "PIF", "host"),
                 ("network", "PIFs", "PIF", "network"), ("network", "VIFs", "VIF", "network"),
                 ("VM", "VIFs", "VIF", "VM"), ("VM", "consoles", "console", "VM"),
                 ("host", "resident_VMs", "VM", "resident_on"))
        for many, field, one, back in pairs:
            listed = sorted((ref, item) for ref, record in everything[many].items() for item in record[field])
            named = sorted((record[back], ref) for ref, record in everything[one].items() if record[back] != NULL)
            self.assertEqual(listed, named, f"{many}.{field}")
            self.assertTrue(listed)
        self.assertEqual(len(everything["pool"]), 1)
        for host in everything["host"].values():
            self.assertIn(host["control_domain"], everything["VM"])

    def test_no_nulls_and_equal_fields(self):
        for cls in ("VM", "VDI", "VBD", "host", "SR", "pool", "PIF", "VM_guest_metrics"):
            records = list(self.call(cls + ".get_all_records").values())
            for record in records:
                self.assertEqual(list(record), list(records[0]))
                self.assertNotIn(None, record.values())

    def test_objects_that_clients_look_into(self):
        pool = next(iter(self.call("pool.get_all_records").values()))
        self.assertEqual(pool["restrictions"]["restrict_vtpm"], "false")
        for host in self.call("host.get_all_records").values():
            self.assertTrue(host["address"].startswith("127."))
            self.assertIn("restrict_zstd_export", host["license_params"])
            float(host["other_config"]["agent_start_time"])
            self.assertTrue(any(c.startswith("hvm") for c in host["capabilities"]))
        for vm in self.call("VM.get_all_records").values():
            self.assertIn("cores-per-socket", vm["platform"])
            self.assertTrue(vm["recommendations"] == "" or vm["recommendations"].startswith("<restrictions>"))

    def test_fields_of_a_real_inventory(self):
        path = pathlib.Path(FIXTURES) / "objects/xapi-records.json"
        if not path.exists():
            self.skipTest(f"the fixtures are not here: {path}")
        for cls, records in json.loads(path.read_text()).items():
            if not records or cls == "message":
                continue
            ours = self.call(cls + ".get_all_records")
            self.assertTrue(ours, cls)
            mine, theirs = next(iter(ours.values())), next(iter(records.values()))
            self.assertEqual(set(theirs) - set(mine), set(), cls)
            for field, value in theirs.items():
                kinds = {int: (int, float), float: (int, float)}.get(type(value), type(value))
                self.assertIsInstance(mine[field], kinds, f"{cls}.{field}")

    def test_certificates(self):
        parts = urllib.parse.urlsplit(self.sim.url)
        der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((parts.hostname, parts.port)))
        digest = hashlib.sha256(der).hexdigest().upper()
        for certificate in self.call("Certificate.get_all_records").values():
            self.assertEqual(certificate["fingerprint"].replace(":", ""), digest)
            self.assertIn(certificate["host"], self.call("host.get_all"))
        self.assertEqual(len(self.call("Certificate.get_all")), 2)

    def test_filters(self):
        vm = self.vms("Running")
        name = next(iter(vm.values()))["name_label"]
        found = self.call("VM.get_all_records_where", f'field "name__label" = "{name}"')
        self.assertEqual([record["name_label"] for record in found.values()], [name])
        self.assertEqual(len(self.call("VM.get_all_records_where", "true")), len(self.call("VM.get_all")))
        self.refused("INVALID_VALUE", "VM.get_all_records_where", "everything")


class Events(Pool):
    def test_a_change_arrives_with_the_whole_record(self):
        token, vm = self.token(), self.a_vm("Running")
        self.call("VM.set_name_description", vm, "changed")
        events, _ = self.events(token)
        event = next(e for e in events if e["ref"] == vm)
        self.assertEqual((event["class"], event["operation"], event["timestamp"]), ("vm", "mod", "0.0"))
        self.assertEqual(event["snapshot"], self.call("VM.get_record", vm))
        self.assertIn(("pool", "mod"), [(e["class"], e["operation"]) for e in events])

    def test_an_empty_token_brings_everything(self):
        answer = self.call("event.from", ["*"], "", 1.0)
        self.assertEqual({e["operation"] for e in answer["events"]}, {"add"})
        counts = answer["valid_ref_counts"]
        for cls in ("VM", "VBD", "SR", "host", "task"):
            n = sum(e["class"] == cls.lower() for e in answer["events"])
            self.assertEqual(counts[cls.lower()], n, cls)
        self.assertEqual([e for e in answer["events"] if e["class"] == "session"], [])
        self.assertRegex(answer["token"], r"^\d{20},\d{20}$")

    def test_add_and_del(self):
        _, token = self.events("")
        ref = self.call("secret.create", {"value": "x", "other_config": {}})
        events, token = self.events(token, "secret")
        self.assertEqual([(e["operation"], e["ref"]) for e in events], [("add", ref)])
        self.call("secret.destroy", ref)
        events, token = self.events(token, "secret")
        self.assertEqual([(e["operation"], e["ref"]) for e in events], [("del", ref)])
        self.assertNotIn("snapshot", events[0])

    def test_what_nobody_saw_is_not_told(self):
        _, token = self.events("")
        self.call("secret.destroy", self.call("secret.create", {"value": "x", "other_config": {}}))
        events, _ = self.events(token, "secret", timeout=0.2)
        self.assertEqual(events, [])

    def test_it_blocks_until_the_time(self):
        _, token = self.events("")
        started = time.monotonic()
        events, later = self.events(token, "secret", timeout=1.0)
        self.assertEqual(events, [])
        self.assertGreaterEqual(time.monotonic() - started, 0.95)
        self.assertGreaterEqual(later, token)

    def test_it_wakes_at_a_change(self):
        _, token = self.events("")
        timer = threading.Timer(0.3, lambda: self.session().call("secret.create", {"value": "x", "other_config": {}}))
        timer.start()
        started = time.monotonic()
        events, _ = self.events(token, "secret", timeout=300.0)
        self.assertLess(time.monotonic() - started, 100)
        self.assertEqual([e["operation"] for e in events], ["add"])
        timer.join()

    def test_one_object(self):
        first, second = list(self.vms())[:2]
        token = self.token()
        self.call("VM.set_name_description", first, "one")
        self.call("VM.set_name_description", second, "two")
        events, _ = self.events(token, f"VM/{second}")
        self.assertEqual([e["ref"] for e in events], [second])

    def test_order(self):
        _, token = self.events("")
        vm = self.a_vm("Halted")
        gone = self.call("secret.create", {"value": "x", "other_config": {}})
        _, token = self.events(token)
        self.call("secret.destroy", gone)
        self.call("VM.set_name_description", vm, str(time.time()))
        self.call("secret.create", {"value": "y", "other_config": {}})
        uuid = self.call("VM.get_uuid", vm)
        self.call("message.create", "HELLO", 5, "VM", uuid, "body")
        events, _ = self.events(token, "vm", "secret", "message")
        self.assertEqual([(e["class"], e["operation"]) for e in events],
                         [("message", "add"), ("secret", "add"), ("vm", "mod"), ("secret", "del")])

    def test_wrong_requests(self):
        self.refused("EVENT_FROM_TOKEN_PARSE_FAILURE", "event.from", ["*"], "yesterday", 1.0)
        self.refused("EVENT_SUBSCRIPTION_PARSE_FAILURE", "event.from", [""], "", 1.0)
        self.refused("HANDLE_INVALID", "event.inject", "VM", NULL)
        self.assertEqual(self.call("event.from", ["unheard"], "", 0.1)["events"], [])

    def test_a_logout_ends_the_wait(self):
        other = self.session()
        _, token = self.events("")
        threading.Timer(0.3, lambda: self.json("session.logout", other.ref)).start()
        started = time.monotonic()
        with self.assertRaises(Refused) as caught:
            other.call("event.from", ["secret"], token, 300.0)
        self.assertEqual(caught.exception.code, "SESSION_INVALID")
        self.assertLess(time.monotonic() - started, 100)

    def test_the_older_way(self):
        other = self.session()
        with self.assertRaises(Refused) as caught:
            other.call("event.next")
        self.assertEqual(caught.exception.code, "SESSION_NOT_REGISTERED")
        other.call("event.register", ["vm"])
        vm = self.a_vm("Halted")
        self.call("VM.set_name_description", vm, str(time.time()))
        events = other.call("event.next")
        self.assertEqual([(e["class"], e["ref"]) for e in events], [("vm", vm)])

    def test_the_barrier(self):
        """A client writes a key into the pool and waits for it: what came before must be there by then."""
        token, pool, vm = self.token(), self.call("pool.get_all")[0], self.a_vm("Running")
        self.call("VM.set_name_description", vm, "before")
        self.call("pool.add_to_other_config", pool, "barrier", "1")
        seen = {}
        while "barrier" not in seen.get(pool, {}).get("other_config", {}):
            events, token = self.events(token)
            seen.update({e["ref"]: e["snapshot"] for e in events if "snapshot" in e})
        self.assertEqual(seen[vm]["name_description"], "before")
        self.call("pool.remove_from_other_config", pool, "barrier")


class Tasks(Pool):
    options = Pool.options + ("--op-delay", "0.3")

    def test_results(self):
        vm = self.a_vm("Halted")
        task = self.async_("VM.start", vm, False, False)
        self.assertEqual((task["status"], task["result"], task["progress"]), ("success", "<value></value>", 1.0))
        self.assertEqual((task["name_label"], task["error_info"], task["allowed_operations"]), ("Async.VM.start", [], []))
        self.assertNotEqual(task["finished"], "19700101T00:00:00Z")
        task = self.async_("VM.snapshot", vm, "a snapshot", [])
        self.assertRegex(task["result"], r"^<value>OpaqueRef:[0-9a-f-]{36}</value>$")
        task = self.async_("VM.start", vm, False, False)
        self.assertEqual((task["status"], task["error_info"]),
                         ("failure", ["VM_BAD_POWER_STATE", vm, "halted", "running"]))

    def test_the_effect_is_there_before_the_end(self):
        vm, token = self.a_vm("Halted"), self.token()
        task = self.call("Async.VM.start", vm, False, False)
        state, ended = None, False
        while not ended:
            events, token = self.events(token, "task", "vm")
            for event in events:
                if event["ref"] == vm:
                    state = event["snapshot"]["power_state"]
                if event["ref"] == task:
                    ended = event["snapshot"]["status"] == "success"
        self.assertEqual(state, "Running")

    def test_cancel(self):
        vm = self.a_vm("Halted")
        task = self.call("Async.VM.start", vm, False, False)
        self.wait("the mark", lambda: self.call("VM.get_current_operations", vm) == {task: "start"})
        self.assertEqual(self.refused("OTHER_OPERATION_IN_PROGRESS", "VM.start", vm, False, False), ["VM", vm, "start", task])
        self.assertNotIn("start", self.call("VM.get_allowed_operations", vm))
        self.call("task.cancel", task)
        record = self.task(task)
        self.assertEqual((record["status"], record["error_info"]), ("cancelled", ["TASK_CANCELLED", task]))
        self.assertEqual(self.call("VM.get_power_state", vm), "Halted")
        self.assertEqual(self.call("VM.get_current_operations", vm), {})

    def test_tasks_of_clients(self):
        task = self.call("task.create", "upload", "of something")
        record = self.call("task.get_record", task)
        self.assertEqual((record["name_label"], record["status"], record["allowed_operations"], record["other_config"]),
                         ("upload", "pending", ["cancel"], {}))
        self.call("task.set_progress", task, 0.5)
        self.assertEqual(self.call("task.get_progress", task), 0.5)
        self.call("task.set_status", task, "cancelled")
        self.assertEqual(self.call("task.get_progress", task), 1)
        self.refused("OPERATION_NOT_ALLOWED", "task.cancel", task)
        self.call("task.destroy", task)
        self.refused("HANDLE_INVALID", "task.get_status", task)

    def test_no_task_for_a_wrong_call(self):
        self.refused("MESSAGE_PARAMETER_COUNT_MISMATCH", "Async.VM.start", NULL)
        self.assertEqual(self.async_("VM.start", NULL, False, False)["error_info"], ["HANDLE_INVALID", "VM", NULL])


class Life(Pool):
    def test_start_and_stop(self):
        vm = self.a_vm("Halted")
        old = self.call("VM.get_guest_metrics", vm)
        self.call("VM.start", vm, False, False)
        record = self.call("VM.get_record", vm)
        self.assertEqual(record["power_state"], "Running")
        self.assertGreater(record["domid"], 0)
        guest = record["guest_metrics"]
        self.assertNotIn(guest, (NULL, old))
        self.assertFalse(self.call("VM_guest_metrics.get_PV_drivers_detected", guest))
        host = record["resident_on"]
        self.assertIn(vm, self.call("host.get_resident_VMs", host))
        metrics = self.call("VM_metrics.get_record", record["metrics"])
        self.assertEqual((metrics["VCPUs_number"], metrics["memory_actual"]), (2, 2 << 30))
        disk = next(self.call("VBD.get_record", vbd) for vbd in record["VBDs"])
        self.assertEqual((disk["device"], disk["currently_attached"]), ("xvda", True))
        self.assertEqual(len(record["consoles"]), 1)
        self.assertEqual(self.refused("VM_LACKS_FEATURE", "VM.clean_shutdown", vm), [vm])
        self.wait("the tools", lambda: self.call("VM_guest_metrics.get_PV_drivers_detected", guest))
        self.assertEqual(self.call("VM.get_guest_metrics", vm), guest)
        self.assertIn("clean_shutdown", self.call("VM.get_allowed_operations", vm))
        self.call("VM.clean_shutdown", vm)
        record = self.call("VM.get_record", vm)
        self.assertEqual((record["power_state"], record["domid"], record["resident_on"], record["consoles"]),
                         ("Halted", -1, NULL, []))
        self.assertEqual(record["guest_metrics"], guest)
        self.assertNotIn(vm, self.call("host.get_resident_VMs", host))
        names = [m["name"] for m in self.call("message.get_all_records").values() if m["obj_uuid"] == record["uuid"]]
        self.assertEqual(names[-2:], ["VM_STARTED", "VM_SHUTDOWN"])

    def test_wrong_states(self):
        running, halted = self.a_vm("Running"), self.a_vm("Halted")
        for method, vm, expected, actual in (
                ("VM.unpause", running, "paused", "running"), ("VM.destroy", running, "halted, suspended", "running"),
                ("VM.clone", running, "halted", "running"), ("VM.pause", halted, "running", "halted"),
                ("VM.hard_shutdown", halted, "paused, suspended, running", "halted"),
                ("VM.checkpoint", halted, "paused, suspended, running", "halted"),
                ("VM.hard_reboot", halted, "paused, running", "halted")):
            params = ("x",) if method in ("VM.clone", "VM.checkpoint") else ()
            self.assertEqual(self.refused("VM_BAD_POWER_STATE", method, vm, *params), [vm, expected, actual], method)

    def test_blocked_operations(self):
        vm = self.a_vm("Halted")
        self.call("VM.add_to_blocked_operations", vm, "start", "a reason")
        self.assertEqual(self.refused("OPERATION_BLOCKED", "VM.start", vm, False, False), [vm, "a reason"])
        self.assertNotIn("start", self.call("VM.get_allowed_operations", vm))
        self.call("VM.remove_from_blocked_operations", vm, "start")
        self.call("VM.update_allowed_operations", vm)
        self.assertIn("start", self.call("VM.get_allowed_operations", vm))
        self.refused("INVALID_VALUE", "VM.add_to_blocked_operations", vm, "fly", "x")

    def test_pause_and_reboot(self):
        vm = self.a_vm("Running")
        domid, guest = self.call("VM.get_domid", vm), self.call("VM.get_guest_metrics", vm)
        self.call("VM.pause", vm)
        self.assertEqual(self.call("VM.get_power_state", vm), "Paused")
        self.call("VM.unpause", vm)
        self.call("VM.hard_reboot", vm)
        self.assertEqual(self.call("VM.get_power_state", vm), "Running")
        self.assertNotEqual(self.call("VM.get_domid", vm), domid)
        self.assertNotEqual(self.call("VM.get_guest_metrics", vm), guest)

    def test_suspend_and_resume(self):
        vm = self.a_vm("Running")
        self.wait("the tools", lambda: "suspend" in self.call("VM.get_allowed_operations", vm))
        self.call("VM.suspend", vm)
        image = self.call("VM.get_suspend_VDI", vm)
        self.assertEqual(self.call("VM.get_power_state", vm), "Suspended")
        self.assertEqual(self.call("VDI.get_type", image), "suspend")
        self.call("VM.resume", vm, False, False)
        self.assertEqual(self.call("VM.get_power_state", vm), "Running")
        self.assertEqual(self.call("VM.get_suspend_VDI", vm), NULL)
        self.refused("HANDLE_INVALID", "VDI.get_record", image)

    def test_placement(self):
        vm = self.a_vm("Halted")
        hosts = self.call("host.get_all")
        for host in hosts:
            self.call("host.disable", host)
        self.refused("NO_HOSTS_AVAILABLE", "VM.start", vm, False, False)
        self.assertEqual(self.refused("HOST_DISABLED", "VM.start_on", vm, hosts[1], False, False), [hosts[1]])
        for host in hosts:
            self.call("host.enable", host)
        allowed = self.call("VM.get_possible_hosts", vm)
        self.call("VM.start_on", vm, allowed[-1], False, False)
        self.assertEqual(self.call("VM.get_resident_on", vm), allowed[-1])
        if len(allowed) > 1:
            self.call("VM.pool_migrate", vm, allowed[0], {})
            self.assertEqual(self.call("VM.get_resident_on", vm), allowed[0])
        self.call("VM.hard_shutdown", vm)

    def test_memory_and_processors(self):
        vm = self.a_vm("Halted", -1)
        self.refused("MEMORY_CONSTRAINT_VIOLATION", "VM.set_memory_limits", vm, 2 << 30, 1 << 30, 1 << 30, 1 << 30)
        self.call("VM.set_memory_limits", vm, 1 << 29, 1 << 30, 1 << 30, 1 << 30)
        self.assertEqual(self.call("VM.get_memory_dynamic_max", vm), 1 << 30)
        self.refused("INVALID_VALUE", "VM.set_VCPUs_at_startup", vm, 64)
        self.call("VM.set_VCPUs_max", vm, 4)
        self.call("VM.set_VCPUs_at_startup", vm, 4)
        self.assertEqual(self.call("VM.get_VCPUs_at_startup", vm), 4)

    def test_health_check_script(self):
        vm = self.a_vm("Halted")
        self.call("VM.add_to_xenstore_data", vm, "vm-data/xo-backup-health-check", "planned")
        self.call("VM.start", vm, False, False)
        self.wait("the script's answer", lambda: self.call("VM.get_xenstore_data", vm)["vm-data/xo-backup-health-check"] == "success")
        self.call("VM.hard_shutdown", vm)

    def test_create_and_destroy(self):
        record = self.call("VM.get_record", self.a_vm("Halted"))
        record.update(name_label="made", blocked_operations={"start": "no"}, other_config={})
        vm = self.call("VM.create", record)
        made = self.call("VM.get_record", vm)
        self.assertEqual((made["power_state"], made["blocked_operations"], made["VBDs"]), ("Halted", {}, []))
        self.assertIn("mac_seed", made["other_config"])
        self.assertNotEqual(made["uuid"], record["uuid"])
        self.assertIn(made["metrics"], self.call("VM_metrics.get_all"))
        network = self.call("network.get_all")[0]
        vif = {"VM": vm, "network": network, "device": "0", "MAC": "", "MTU": 1500, "other_config": {},
               "qos_algorithm_type": "", "qos_algorithm_params": {}}
        ref = self.call("VIF.create", vif)
        self.assertRegex(self.call("VIF.get_MAC", ref), "^02(:[0-9a-f]{2}){5}$")
        self.assertEqual(self.refused("DEVICE_ALREADY_EXISTS", "VIF.create", vif), ["0"])
        self.assertEqual(self.refused("MAC_INVALID", "VIF.create", dict(vif, MAC="zz")), ["zz"])
        self.call("VM.destroy", vm)
        self.refused("HANDLE_INVALID", "VM.get_record", vm)
        self.refused("HANDLE_INVALID", "VIF.get_record", ref)
        self.assertNotIn(made["metrics"], self.call("VM_metrics.get_all"))

    def test_disks_come_and_go(self):
        vm = self.a_vm("Running")
        sr = self.call("pool.get_default_SR", self.call("pool.get_all")[0])
        vdi = self.call("VDI.create", {"SR": sr, "virtual_size": 8 << 20, "type": "user", "sharable": False,
                                       "read_only": False, "other_config": {}, "name_label": "extra"})
        vbd = {"VM": vm, "VDI": vdi, "userdevice": "autodetect", "bootable": False, "mode": "RW", "type": "Disk",
               "empty": False, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}
        ref = self.call("VBD.create", vbd)
        device = self.call("VBD.get_userdevice", ref)
        self.assertEqual(self.refused("DEVICE_ALREADY_EXISTS", "VBD.create", dict(vbd, userdevice=device)), [device])
        self.call("VBD.plug", ref)
        self.assertEqual(self.refused("DEVICE_ALREADY_ATTACHED", "VBD.plug", ref), [ref])
        self.refused("OPERATION_NOT_ALLOWED", "VBD.destroy", ref)
        self.assertEqual(self.refused("VDI_IN_USE", "VDI.destroy", vdi), [vdi, "destroy"])
        self.call("VBD.unplug", ref)
        self.call("VBD.destroy", ref)
        self.call("VDI.destroy", vdi)

    def test_cd_drive(self):
        vm = self.a_vm("Running")
        drive = next(v for v in self.call("VM.get_VBDs", vm) if self.call("VBD.get_type", v) == "CD")
        iso = next(ref for ref, vdi in self.call("VDI.get_all_records").items() if vdi["location"].endswith(".iso"))
        self.refused("VBD_IS_EMPTY", "VBD.eject", drive)
        self.call("VBD.insert", drive, iso)
        self.refused("VBD_NOT_EMPTY", "VBD.insert", drive, iso)
        self.assertEqual(self.call("VBD.get_empty", drive), False)
        self.call("VBD.eject", drive)

    def test_templates(self):
        template = next(ref for ref, vm in self.call("VM.get_all_records").items() if vm["reference_label"] == "debian-12")
        self.assertEqual(self.refused("VM_IS_TEMPLATE", "VM.start", template, False, False), [template, "start"])
        self.assertEqual(self.refused("VM_CANNOT_DELETE_DEFAULT_TEMPLATE", "VM.destroy", template), [template])
        self.refused("PROVISION_ONLY_ALLOWED_ON_TEMPLATE", "VM.provision", self.a_vm("Halted"))
        vm = self.call("VM.clone", template, "from a template")
        self.call("VM.provision", vm)
        record = self.call("VM.get_record", vm)
        self.assertEqual((record["is_a_template"], len(self.disks(vm))), (False, 1))
        self.call("VM.start", vm, False, False)
        self.call("VM.hard_shutdown", vm)
        self.call("VM.set_is_a_template", vm, True)
        self.refused("VM_IS_TEMPLATE", "VM.start", vm, False, False)


class Snapshots(Pool):
    def test_the_record(self):
        vm = self.a_vm("Running", -1)
        self.call("VM.add_to_other_config", vm, "mark", "42")
        self.call("VM.add_to_blocked_operations", vm, "destroy", "no")
        ref = self.call("VM.snapshot", vm, "first", [])
        source, snapshot = self.call("VM.get_record", vm), self.call("VM.get_record", ref)
        self.assertEqual((snapshot["name_label"], snapshot["is_a_snapshot"], snapshot["is_a_template"]), ("first", True, True))
        self.assertEqual((snapshot["power_state"], snapshot["domid"], snapshot["resident_on"]), ("Halted", -1, NULL))
        self.assertEqual((snapshot["snapshot_of"], source["snapshots"], source["parent"]), (vm, [ref], ref))
        self.assertEqual(snapshot["other_config"], source["other_config"])
        self.assertEqual(snapshot["blocked_operations"], {})
        self.assertEqual(snapshot["snapshot_info"], {"power-state-at-snapshot": "Running", "disk-snapshot-type": "crash_consistent"})
        self.assertNotIn(snapshot["metrics"], (NULL, source["metrics"]))
        for ours, theirs in zip(self.disks(vm), self.disks(ref), strict=True):
            disk = self.call("VDI.get_record", theirs)
            self.assertEqual((disk["is_a_snapshot"], disk["snapshot_of"]), (True, ours))
        macs = [self.call("VIF.get_MAC", vif) for vif in source["VIFs"]]
        self.assertEqual([self.call("VIF.get_MAC", vif) for vif in snapshot["VIFs"]], macs)
        self.assertEqual(self.refused("VM_IS_SNAPSHOT", "VM.start", ref, False, False), [ref, "start"])
        second = self.call("VM.snapshot", vm, "second")
        self.assertEqual(self.call("VM.get_parent", second), ref)
        self.assertEqual(self.call("VM.get_children", ref), [second])
        self.call("VM.set_is_a_template", ref, False)
        self.call("VM.destroy", ref)
        self.assertEqual(self.call("VM.get_snapshots", vm), [second])
        self.assertEqual(self.call("VM.get_parent", second), NULL)
        self.call("VM.remove_from_blocked_operations", vm, "destroy")

    def test_ignored_disks(self):
        vm = self.a_vm("Running")
        ignored = self.disks(vm)[0]
        before = len(self.call("VDI.get_all"))
        ref = self.call("VM.snapshot", vm, "without a disk", [ignored])
        self.assertEqual(self.disks(ref), [])
        self.assertEqual(len(self.call("VDI.get_all")), before)

    def test_a_failure_leaves_nothing(self):
        vm = self.a_vm("Running")
        sr = self.call("VDI.get_SR", self.disks(vm)[0])
        vms, vdis = len(self.call("VM.get_all")), set(self.call("VDI.get_all"))
        self.sim.control("/sim/srs/fill", {"sr": sr, "left_bytes": 0})
        self.refused("SR_BACKEND_FAILURE_44", "VM.snapshot", vm, "no room")
        self.sim.control("/sim/srs/fill", {"sr": sr, "left_bytes": -1})
        self.assertEqual((len(self.call("VM.get_all")), set(self.call("VDI.get_all"))), (vms, vdis))
        self.assertEqual(self.call("VM.get_current_operations", vm), {})

    def test_clone(self):
        vm = self.a_vm("Halted")
        clone = self.call("VM.clone", vm, "a clone")
        source, record = self.call("VM.get_record", vm), self.call("VM.get_record", clone)
        self.assertEqual((record["is_a_snapshot"], record["is_a_template"], record["snapshot_of"]), (False, False, NULL))
        self.assertNotEqual(record["other_config"]["mac_seed"], source["other_config"]["mac_seed"])
        self.assertNotEqual([self.call("VIF.get_MAC", v) for v in record["VIFs"]], [self.call("VIF.get_MAC", v) for v in source["VIFs"]])
        for ours, theirs in zip(self.disks(vm), self.disks(clone), strict=True):
            self.assertEqual(*[self.sim.digest(self.call("VDI.get_uuid", vdi)) for vdi in (ours, theirs)])
        self.call("VM.start", clone, False, False)
        self.call("VM.hard_shutdown", clone)

    def test_revert(self):
        vm = self.a_vm("Halted")
        uuid = self.call("VM.get_uuid", vm)
        before = [self.sim.digest(self.call("VDI.get_uuid", vdi)) for vdi in self.disks(vm)]
        snapshot = self.call("VM.snapshot", vm, "to come back to")
        self.call("VM.set_name_description", vm, "changed since")
        self.sim.control("/sim/write", {"vm": uuid, "bytes": 4 << 20, "seed": 9})
        self.assertNotEqual([self.sim.digest(self.call("VDI.get_uuid", vdi)) for vdi in self.disks(vm)], before)
        self.call("VM.revert", snapshot)
        self.assertEqual([self.sim.digest(self.call("VDI.get_uuid", vdi)) for vdi in self.disks(vm)], before)
        self.assertEqual((self.call("VM.get_uuid", vm), self.call("VM.get_name_description", vm)), (uuid, ""))
        for vdi in self.disks(snapshot):
            self.assertIn(self.call("VDI.get_snapshot_of", vdi), self.disks(vm))

    def test_checkpoint(self):
        vm = self.a_vm("Running")
        ref = self.call("VM.checkpoint", vm, "with memory")
        record = self.call("VM.get_record", ref)
        self.assertEqual((record["power_state"], record["is_a_snapshot"]), ("Suspended", True))
        self.assertEqual(self.call("VDI.get_type", record["suspend_VDI"]), "suspend")
        self.assertEqual(self.call("VM.get_power_state", vm), "Running")


class Members(Pool):
    def member(self):
        master = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        second = urllib.parse.urlsplit(self.sim.ready["hosts"][1]).hostname
        return f"http://{second}:{master.port}", master.hostname

    def test_members_send_to_the_master(self):
        url, master = self.member()
        for params in (("root", self.sim.password), ("root", "wrong")):
            self.assertEqual(self.json("session.login_with_password", *params, url=url)[0]["error"],
                             {"code": 1, "message": "HOST_IS_SLAVE", "data": [master]})
        self.assertEqual(self.json("VM.get_all", self.xapi.ref, url=url)[0]["error"]["message"], "HOST_IS_SLAVE")
        addresses = [host["address"] for host in self.call("host.get_all_records").values()]
        self.assertIn(urllib.parse.urlsplit(url).hostname, addresses)

    def test_a_host_is_lost_and_found(self):
        url, _ = self.member()
        host = next(ref for ref, h in self.call("host.get_all_records").items()
                    if h["address"] == urllib.parse.urlsplit(url).hostname)
        metrics = self.call("host.get_metrics", host)
        self.sim.control("/sim/hosts/lose", {"host": host})
        with self.assertRaises(OSError):
            self.json("pool.get_all", self.xapi.ref, url=url)
        self.assertFalse(self.call("host_metrics.get_live", metrics))
        self.sim.control("/sim/hosts/find", {"host": host})
        self.json("pool.get_all", self.xapi.ref, url=url)
        self.assertTrue(self.call("host_metrics.get_live", metrics))

    def test_evacuate_and_reboot(self):
        master, host = self.call("pool.get_master", self.call("pool.get_all")[0]), None
        host = next(ref for ref in self.call("host.get_all") if ref != master)
        self.refused("HOST_NOT_DISABLED", "host.reboot", host)
        self.call("host.disable", host)
        stuck = self.call("host.get_vms_which_prevent_evacuation", host)
        for vm in stuck:
            self.call("VM.hard_shutdown", vm)
        self.call("host.evacuate", host)
        guests = [vm for vm in self.call("host.get_resident_VMs", host) if not self.call("VM.get_is_control_domain", vm)]
        self.assertEqual(guests, [])
        before = self.call("host.get_other_config", host)
        time.sleep(1.1)
        self.call("host.reboot", host)
        self.wait("it is back", lambda: self.call("host.get_enabled", host))
        after = self.call("host.get_other_config", host)
        for key in ("boot_time", "agent_start_time"):
            self.assertGreater(float(after[key]), float(before[key]))


class Faults(Pool):
    def test_an_error_on_order(self):
        vm = self.a_vm("Running")
        self.sim.control("/sim/faults", {"kind": "error", "method": "VM.get_uuid", "nth": 2, "error": ["TOO_BUSY"]})
        self.call("VM.get_uuid", vm)
        self.assertEqual(self.refused("TOO_BUSY", "VM.get_uuid", vm), [])
        self.call("VM.get_uuid", vm)

    def test_an_error_in_a_task(self):
        vm = self.a_vm("Running")
        self.sim.control("/sim/faults", {"kind": "error", "method": "VM.snapshot", "error": ["SR_BACKEND_FAILURE_109", "", "too long", ""]})
        self.assertEqual(self.async_("VM.snapshot", vm, "x")["error_info"], ["SR_BACKEND_FAILURE_109", "", "too long", ""])

    def test_latency(self):
        self.sim.control("/sim/faults", {"kind": "latency", "method": "pool.get_all", "ms": 1500})
        started = time.monotonic()
        self.call("pool.get_all")
        self.assertGreaterEqual(time.monotonic() - started, 1.5)
        waiting = threading.Thread(target=self.call, args=("pool.get_all",))
        self.sim.control("/sim/faults", {"kind": "latency", "method": "pool.get_all", "ms": 600000})
        waiting.start()
        self.sim.control("/sim/faults/clear", {})
        waiting.join(60)
        self.assertFalse(waiting.is_alive(), "it waits for a rule that is there no more")

    def test_a_cut_stream(self):
        vdi = self.disks(self.a_vm("Halted"))[0]
        self.sim.control("/sim/faults", {"kind": "cut", "path": "/export_raw_vdi", "at": 1 << 20})
        url = f"{self.sim.ready['plain_url']}/export_raw_vdi?vdi={vdi}&format=raw&session_id={self.xapi.ref}"
        got = 0
        try:
            with urllib.request.urlopen(url) as body:
                while block := body.read(1 << 16):
                    got += len(block)
        except OSError:
            pass
        self.assertLess(got, 64 << 20)
        with urllib.request.urlopen(url) as body:
            self.assertEqual(len(body.read()), 64 << 20)

    def test_wrong_orders(self):
        for path, body in (("/sim/faults", {"kind": "comet"}), ("/sim/write", {"vm": "none", "bytes": 1}), ("/sim/nothing", {}),
                           ("/sim/write", {"vm": self.call("VM.get_uuid", self.a_vm("Halted"))}), ("/sim/coalesce", {})):
            with self.assertRaises(RuntimeError):
                self.sim.control(path, body)

    def test_sessions_expire(self):
        other = self.session()
        self.sim.control("/sim/sessions/expire", {})
        with self.assertRaises(Refused) as caught:
            other.call("pool.get_all")
        self.assertEqual(caught.exception.code, "SESSION_INVALID")
        self.xapi.proxy("close")()
        type(self).xapi = self.sim.session()

    def test_the_toolstack_restarts(self):
        host = self.call("host.get_all")[0]
        before = float(self.call("host.get_other_config", host)["agent_start_time"])
        self.sim.control("/sim/toolstack/restart", {})
        self.assertEqual(self.json("pool.get_all", self.xapi.ref)[0]["error"]["message"], "SESSION_INVALID")
        self.xapi.proxy("close")()
        type(self).xapi = self.sim.session()
        self.assertGreater(float(self.call("host.get_other_config", host)["agent_start_time"]), before)


class Crowd(Pool):
    """Many clients at once; one that only listens must end up knowing what a fresh one is told."""

    options = Pool.options[:-4] + ("--boot-delay", "0.05", "--login-penalty", "0.1", "--disk-size", "8MiB")
    classes = ("VM", "VDI", "VBD", "VIF", "VM_metrics", "VM_guest_metrics", "SR", "host", "console", "network")

    def work(self, seed, failures):
        random, xapi, mine = Random(seed), self.sim.session(), []
        template = next(iter(self.vms("Halted")))
        end = time.monotonic() + 4
        while time.monotonic() < end:
            try:
                step = random.choice(("clone", "start", "stop", "snapshot", "rename", "destroy"))
                if step == "clone" or not mine:
                    mine.append(xapi.call("VM.clone", template, f"of client {seed}"))
                    continue
                vm = random.choice(mine)
                if step == "start":
                    xapi.call("VM.start", vm, False, False)
                elif step == "stop":
                    xapi.call("VM.hard_shutdown", vm)
                elif step == "snapshot":
                    mine.append(xapi.call("VM.snapshot", vm, "snapshot"))
                elif step == "rename":
                    xapi.call("VM.set_name_description", vm, str(random.random()))
                else:
                    disks = [xapi.call("VBD.get_VDI", vbd) for vbd in xapi.call("VM.get_VBDs", vm)
                             if xapi.call("VBD.get_type", vbd) == "Disk"]
                    xapi.call("VM.destroy", vm)
                    mine.remove(vm)
                    for vdi in disks:
                        xapi.call("VDI.destroy", vdi)
            except Refused as refused:
                if refused.code not in ("VM_BAD_POWER_STATE", "VM_IS_SNAPSHOT", "OTHER_OPERATION_IN_PROGRESS",
                                        "HOST_NOT_ENOUGH_FREE_MEMORY", "SR_BACKEND_FAILURE_109", "NO_HOSTS_AVAILABLE",
                                        "VDI_IN_USE"):
                    failures.append(refused)
            except Exception as failure:
                failures.append(failure)
                return
        xapi.proxy("close")()

    def apply(self, known, events):
        for event in events:
            if event["operation"] == "del":
                known.pop(event["ref"], None)
            else:
                known[event["ref"]] = event["snapshot"]

    def test_a_listener_misses_nothing(self):
        events, token = self.events("", *self.classes)
        known, failures = {}, []
        self.apply(known, events)
        threads = [threading.Thread(target=self.work, args=(seed, failures)) for seed in range(6)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            events, token = self.events(token, *self.classes, timeout=0.2)
            self.apply(known, events)
        self.assertEqual(failures, [])
        for _ in range(20):  # until the garbage collector and the guests are at rest
            events, token = self.events(token, *self.classes, timeout=0.5)
            self.apply(known, events)
            fresh = {}
            for cls in self.classes:
                fresh.update(self.call(cls + ".get_all_records"))
            if known == fresh:
                break
        self.assertEqual(set(known), set(fresh))
        for ref, record in fresh.items():
            self.assertEqual(known[ref], record)


del Pool

if __name__ == "__main__":
    unittest.main()
