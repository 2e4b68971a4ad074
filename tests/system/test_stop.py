"""The end of the server while somebody waits for a pool or for a repository: nobody waits any longer, the client is
told, and what the pool has begun goes on there."""
import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Server, Sim, until  # noqa: E402

FOR_EVER_MS = 600 * 1000  # longer than anybody waits for the end of a server


class Stop(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-stop-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sim = Sim("--vms", 2, "--disks", 1, "--disk-size", "16MiB", "--running", 1, "--seed", 5, "--data",
                       self.folder / "pool", log=self.folder / "sim.log")
        self.addCleanup(self.sim.stop)
        self.xapi = self.sim.session()
        self.server = Server(str(self.folder / "data"), log=self.folder / "server.log")
        self.addCleanup(self.server.stop)
        self.server.connect(self.sim)
        self.vm = self.server.objects(type="VM")[0]["id"]

    def wait_for(self, method):
        """Until the pool is about it."""
        until(lambda: any(method in task["name_label"] for task in self.xapi.call("task.get_all_records").values()), method)

    def begin(self, function):
        thread = threading.Thread(target=function, daemon=True)
        thread.start()
        return thread

    def over_rest(self, answers):
        host, port = self.server.url.split("//")[1].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        connection.request("POST", f"/rest/v0/vms/{self.vm}/actions/clean_shutdown?sync=true", body="{}",
                           headers={"Cookie": "authenticationToken=" + self.server.env["CADENZA_TOKEN"],
                                    "Content-Type": "application/json"})
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().decode()))

    def end(self):
        """Well before the pool would have answered."""
        self.assertEqual(self.server.stop(timeout=45), 0, (self.folder / "server.log").read_text()[-3000:])

    def test_pool(self):
        """A guest that takes its time to shut down. The machine is halted all the same, by the pool."""
        answers = []
        rule = self.sim.fault(kind="latency", method="VM.clean_shutdown", ms=FOR_EVER_MS)
        self.assertTrue(rule)
        thread = self.begin(lambda: self.over_rest(answers))
        self.wait_for("VM.clean_shutdown")
        self.end()
        thread.join(60)
        self.assertEqual(answers[0][0], 500)
        self.assertIn("the server is stopping", answers[0][1])
        self.sim.control("/sim/faults/clear", {})
        until(lambda: self.xapi.call("VM.get_power_state", self.xapi.call("VM.get_by_uuid", self.vm)) == "Halted",
              "the pool going on")

    def test_job(self):
        """A job that calls the method, with a deadline after which the guest is pulled the plug."""
        self.sim.fault(kind="latency", method="VM.clean_shutdown", ms=FOR_EVER_MS)
        job = self.server.call("job.create", job={
            "name": "halt", "type": "call", "key": "genericTask", "method": "vm.stop",
            "paramsVector": {"type": "crossProduct", "items": [
                {"type": "set", "values": [{"id": self.vm, "forceShutdownDelay": FOR_EVER_MS}]}]}})
        thread = self.begin(lambda: self.run_job(job))
        self.wait_for("VM.clean_shutdown")
        self.end()
        thread.join(60)
        state = self.xapi.call("VM.get_power_state", self.xapi.call("VM.get_by_uuid", self.vm))
        self.assertEqual(state, "Running")
        self.assertEqual(self.sim.stop(), 0)  # nor does the simulator wait for the guest

    def run_job(self, job):
        try:
            self.server.call("job.runSequence", idSequence=[job])
        except (Refused, RuntimeError):
            pass  # its connection ends with the server

    def test_repository(self):
        """A process that works on a repository and hangs."""
        repository = self.folder / "repository"
        repository.mkdir()
        remote = self.server.call("remote.create", name="here", url=f"file://{repository}")["id"]
        self.server.call("backupNg.listVmBackups", remotes=[remote])
        workers = [pid for pid in self.server.children()
                   if b"repository-worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
        self.assertEqual(len(workers), 1)
        os.kill(workers[0], signal.SIGSTOP)
        self.begin(lambda: self.list_backups(remote))
        until(lambda: any("listVmBackups" in line for line in self.calls()), "the call")
        time.sleep(1)  # on its way to the worker
        self.end()
        until(lambda: self.has_ended(workers[0]), "the end of the process")

    @staticmethod
    def has_ended(pid):
        try:
            return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return True

    def calls(self):
        """The command lines of this test's children."""
        listed = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
        return listed.stdout.splitlines()

    def list_backups(self, remote):
        try:
            self.server.call("backupNg.listVmBackups", remotes=[remote])
        except (Refused, RuntimeError):
            pass


if __name__ == "__main__":
    unittest.main()
