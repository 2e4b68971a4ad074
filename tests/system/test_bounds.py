"""What bounds a run: its time, its rate, its memory as the server tells it."""
import time
import unittest

from test_runs import Box, Refused, tasks_of, until


class Bounds(Box):
    def test_timeout(self):
        """A run that is given three seconds: its streams stop, every VM says why it has no backup, nothing is left."""
        self.slow()
        run, thread, outcome = self.begin(self.job("hasty", timeout=3000, concurrency=1))
        thread.join(60)
        self.assertFalse(thread.is_alive())
        self.assertIn("did not end within 3 s (the setting timeout)", str(outcome.get("error")) + str(self.log(run)))
        log = self.log(run)
        self.all_ended(log)
        self.assertEqual(log["status"], "failure")
        messages = {task["data"]["id"]: task["result"]["message"] for task in log["tasks"]}
        self.assertEqual(set(messages), set(self.vms))
        for message in messages.values():
            self.assertIn("the setting timeout", message)
        self.assertEqual(self.pool_litter(), [])
        self.works_afterwards(self.job("patient"), 1)

    def test_rate_and_status(self):
        """The whole job keeps to its rate; meanwhile the server tells what its worker may hold and holds."""
        job = self.job("metered", maxExportRate=16 << 20, concurrency=0)
        started = time.monotonic()
        run, thread, outcome = self.begin(job)
        worker = until(lambda: self.server.call("system.getServerStatus")["workers"], "a worker")[0]
        self.assertEqual(worker["runId"], run)
        self.assertGreater(worker["residentBytes"], 1 << 20)
        self.assertGreater(worker["boundBytes"], worker["streams"] * worker["streamBytes"])
        thread.join(120)
        seconds = time.monotonic() - started
        self.assertIs(outcome.get("result"), True)
        n_bytes = sum(task["result"]["size"] for task in tasks_of(self.log(run), "transfer"))
        self.assertGreater(seconds, 0.8 * n_bytes / (16 << 20))
        until(lambda: self.server.call("system.getServerStatus")["workersBoundBytes"] == 0, "the worker's end")


if __name__ == "__main__":
    unittest.main()
