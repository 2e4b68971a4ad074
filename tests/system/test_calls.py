"""Jobs that call methods: parameter vectors, rights, time limits, the journal, sequences, schedules."""
import os
import unittest

import test_machines
from test_api import until


class Calls(test_machines.Pool):
    def job(self, method, vector=None, **more):
        job = dict(type="call", key="genericTask", name="a job", method=method, **more)
        if vector:
            job["paramsVector"] = vector
        id_ = self.call("job.create", job=job)
        self.addCleanup(lambda: self.call("job.delete", id=id_) if self.exists(id_) else None)
        return id_

    def exists(self, id_):
        return any(job["id"] == id_ for job in self.call("job.getAll"))

    def entries(self, job):
        """The journal of the job's last run: (start, [(call start, call end)], end)."""
        log = self.call("log.get", namespace="jobs")
        runs = [id_ for id_, each in log.items() if each["data"].get("jobId") == job]
        run = max(runs, key=lambda id_: log[id_]["time"])
        of_run = {id_: each for id_, each in log.items() if each["data"].get("runJobId") == run}
        ends = {each["data"]["runCallId"]: each for each in of_run.values() if each["data"]["event"] == "jobCall.end"}
        calls = [(each, ends[id_]) for id_, each in of_run.items() if each["data"]["event"] == "jobCall.start"]
        return log[run], calls, next(each for each in of_run.values() if each["data"]["event"] == "job.end")

    @staticmethod
    def sets(*values):
        return {"type": "crossProduct", "items": [{"type": "set", "values": each} for each in values]}

    def test_records(self):
        id_ = self.job("vm.getHaValues", timeout=5000)
        job = self.call("job.get", id=id_)
        self.assertEqual(job, {"type": "call", "key": "genericTask", "name": "a job", "method": "vm.getHaValues", "timeout": 5000,
                               "id": id_, "userId": self.call("session.getUser")["id"]})
        self.call("job.set", job={"id": id_, "timeout": None, "name": "other"})
        job = self.call("job.get", id=id_)
        self.assertEqual((job["name"], "timeout" in job), ("other", False))
        schedule = self.call("schedule.create", jobId=id_, cron="0 0 1 0 *")
        self.call("job.delete", id=id_)
        self.refused(1, "job.get", id=id_)
        self.refused(1, "schedule.get", id=schedule["id"])
        self.refused(10, "job.create", job={"type": "backup", "key": "k", "method": "m"})
        self.refused(10, "job.create", job={"type": "call", "key": "k"})
        self.refused(10, "job.create", job={"type": "call", "key": "k", "method": "m", "paramsVector": {"type": "dance"}})
        self.refused(1, "job.runSequence", idSequence=["nope"])
        self.refused(1, "backupNg.runJob", id=self.job("vm.getHaValues"), schedule="x")

    def test_cross_product(self):
        vms = [vm["id"] for vm in self.objects(type="VM")[:2]]
        id_ = self.job("tag.add", self.sets([{"id": vm} for vm in vms], [{"tag": "x"}, {"tag": "y"}]))
        self.call("job.runSequence", idSequence=[id_])
        self.assertEqual([sorted(self.view(vm)["tags"]) for vm in vms], [["x", "y"]] * 2)
        start, calls, end = self.entries(id_)
        self.assertEqual((start["message"], start["data"]["type"], start["data"]["key"], start["data"]["userId"]),
                         (f"Starting execution of {id_}.", "call", "genericTask", self.call("session.getUser")["id"]))
        self.assertEqual([begun["data"]["params"] for begun, _ in sorted(calls, key=lambda pair: str(pair[0]["data"]["params"]))],
                         sorted([{"id": vm, "tag": tag} for vm in vms for tag in "xy"], key=str))
        self.assertEqual({ended["data"]["returnedValue"] for _, ended in calls}, {True})
        self.assertEqual((end["message"], "error" in end["data"]), (f"Execution terminated for {id_}.", False))
        self.assertEqual(self.call("backupNg.getAllLogs"), {}, "calls are no backups")

    def test_smart_selection(self):
        wanted = [vm["id"] for vm in self.objects(type="VM", power_state="Running")]
        vector = {"type": "crossProduct", "items": [
            {"type": "set", "values": [{"tag": "smart"}]},
            {"type": "map", "collection": {"type": "fetchObjects", "pattern": {"type": "VM", "power_state": "Running"}},
             "iteratee": {"type": "extractProperties", "mapping": {"id": "id"}}}]}
        id_ = self.job("tag.add", vector)
        self.call("job.runSequence", idSequence=[id_])
        self.assertEqual({vm["id"] for vm in self.objects(type="VM", tags=["smart"])}, set(wanted))
        vector["items"][1]["collection"]["pattern"]["name_label"] = "nobody"
        self.call("job.set", job={"id": id_, "paramsVector": vector})
        error = self.refused(10, "job.runSequence", idSequence=[id_])
        self.assertEqual(error.message, "no objects match this pattern")
        end = self.entries(id_)[2]
        self.assertEqual((end["message"], end["data"]["error"]["message"]),
                         (f"The execution of {id_} has failed.", "no objects match this pattern"))

    def test_failing_calls(self):
        """A failing call is told in the journal, and fails neither the others nor the job."""
        vm = self.objects(type="VM")[0]["id"]
        id_ = self.job("tag.add", self.sets([{"id": "none", "tag": "z"}, {"id": vm, "tag": "z"}]))
        self.call("job.runSequence", idSequence=[id_])
        self.assertIn("z", self.view(vm)["tags"])
        ends = sorted((ended["data"] for _, ended in self.entries(id_)[1]), key=lambda data: "error" in data)
        self.assertEqual(ends[0]["returnedValue"], True)
        self.assertEqual((ends[1]["error"]["code"], ends[1]["error"]["message"]), (1, "no such object none"))

    def test_rights(self):
        """A job has the rights of its user, and no others."""
        user = self.call("user.create", email="sue", password="secret")
        self.refused(2, "job.create", dict(email="sue", password="secret"), job={})
        id_ = self.job("user.getAll", userId=user)
        self.call("job.runSequence", idSequence=[id_])
        self.assertEqual(self.entries(id_)[1][0][1]["data"]["error"]["code"], 2)
        secret = self.job("user.changePassword", self.sets([{"oldPassword": "secret", "newPassword": "hidden-in-logs"}]), userId=user)
        self.call("job.runSequence", idSequence=[secret])
        self.assertEqual(self.entries(secret)[1][0][1]["data"]["returnedValue"], True)
        self.assertNotIn("hidden-in-logs", str(self.call("log.get", namespace="jobs")))

    def test_timeout(self):
        vm = self.vm("Running")["id"]
        self.sim.fault(kind="latency", method="VM.clean_reboot", ms=600000)
        self.addCleanup(self.sim.control, "/sim/faults/clear", {})
        id_ = self.job("vm.restart", self.sets([{"id": vm}]), timeout=500)
        self.call("job.runSequence", idSequence=[id_])
        error = self.entries(id_)[1][0][1]["data"]["error"]
        self.assertIn("no answer within 500 ms", error["message"])

    def test_sequences(self):
        """One after the other; a job that runs is not run twice."""
        vm = self.vm("Halted")["id"]
        first = self.job("vm.start", self.sets([{"id": vm}]))
        second = self.job("vm.stop", self.sets([{"id": vm, "force": True}]))
        schedules = [self.call("schedule.create", jobId=job, cron="0 0 1 0 *")["id"] for job in (first, second)]
        both = self.job("schedule.runSequence", self.sets([{"schedules": schedules}]))
        self.call("job.runSequence", idSequence=[both])
        self.assertEqual(self.view(vm)["power_state"], "Halted")
        times = [self.entries(job) for job in (first, second)]
        self.assertLessEqual(times[0][2]["time"], times[1][0]["time"])
        self.assertEqual(times[0][0]["data"]["scheduleId"], schedules[0])
        self.assertEqual([ended["data"]["returnedValue"] for entries in times for _, ended in entries[1]], [True, True])
        itself = self.job("vm.getHaValues")
        self.call("job.set", job={"id": itself, "method": "job.runSequence", "paramsVector": self.sets([{"idSequence": [itself]}])})
        self.call("job.runSequence", idSequence=[itself])
        errors = [each["data"].get("error", {}).get("message") for each in self.call("log.get", namespace="jobs").values()
                  if each["data"]["event"] == "jobCall.end"]
        self.assertIn(f"the job ({itself}) is already running", errors)

    @unittest.skipUnless(os.environ.get("CADENZA_FULL") == "1", "takes up to a minute: CADENZA_FULL=1")
    def test_clock(self):
        """An enabled schedule runs a job that calls a method."""
        id_ = self.job("tag.add", self.sets([{"id": self.objects(type="VM")[0]["id"], "tag": "by the clock"}]))
        self.call("schedule.create", jobId=id_, cron="* * * * *", enabled=True)
        until(lambda: self.objects(type="VM", tags=["by the clock"]), "the tag of the clock", 65)


if __name__ == "__main__":
    unittest.main()
