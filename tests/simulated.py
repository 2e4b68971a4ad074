"""A simulated pool for the tests of a class, and two kinds of client on it: Python's own XML-RPC library, and a few lines of
JSON; nothing of the project."""
import json
import time
import unittest
import urllib.parse
import urllib.request

from box import Refused, Sim

NULL = "OpaqueRef:NULL"


class Pool(unittest.TestCase):
    options = ("--hosts", 2, "--vms", 6, "--disk-size", "64MiB", "--boot-delay", "0.3", "--login-penalty", "0.1")

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim(*cls.options)
        cls.addClassCleanup(cls.end)
        cls.xapi = cls.sim.session()
        cls.addClassCleanup(lambda: cls.xapi.proxy("close")())
        cls.plain = urllib.parse.urlsplit(cls.sim.ready["plain_url"]).netloc

    @classmethod
    def end(cls):
        status = cls.sim.stop()
        assert status == 0, f"cadenza-sim ended with status {status}"

    def session(self):
        """Another client's session, closed at the end of the test."""
        xapi = self.sim.session()
        self.addCleanup(xapi.proxy("close"))
        return xapi

    def json(self, method, *params, url=None, **more):
        """One JSON-RPC 2.0 call without a session: (body, headers)."""
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": 0, **more}
        request = urllib.request.Request((url or self.sim.ready["plain_url"]) + "/jsonrpc", json.dumps(body).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer), answer.headers

    def call(self, method, *params):
        """A call with types as JSON has them."""
        body, _ = self.json(method, self.xapi.ref, *params)
        if "error" in body:
            raise Refused({"code": body["error"]["message"], "message": str(body["error"]), "data": body["error"]["data"]})
        return body["result"]

    def refused(self, code, method, *params):
        with self.assertRaises(Refused) as caught:
            self.call(method, *params)
        self.assertEqual(caught.exception.code, code)
        return caught.exception.data

    def vms(self, state=None):
        return {ref: vm for ref, vm in self.call("VM.get_all_records").items()
                if not vm["is_a_template"] and not vm["is_control_domain"] and not vm["is_a_snapshot"]
                and state in (None, vm["power_state"])}

    def a_vm(self, state, nth=0):
        return list(self.vms(state))[nth]

    def disks(self, vm):
        vbds = [self.call("VBD.get_record", vbd) for vbd in self.call("VM.get_VBDs", vm)]
        return [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"]

    def wait(self, what, condition, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        self.fail(f"never: {what}")

    def task(self, ref):
        self.wait("the task ends", lambda: self.call("task.get_status", ref) != "pending")
        record = self.call("task.get_record", ref)
        self.call("task.destroy", ref)
        return record

    def async_(self, method, *params):
        return self.task(self.call("Async." + method, *params))

    def token(self):
        pool = self.call("pool.get_all")[0]
        return self.call("event.inject", "pool", pool)

    def events(self, token, *classes, timeout=2.0):
        answer = self.call("event.from", list(classes) or ["*"], token, timeout)
        return answer["events"], answer["token"]
