#!/usr/bin/python3
"""Runs one unittest file for run.py: each case's outcome goes to a file as a JSON line, because what a test
or the interpreter prints beside it (warnings, figures) would break any reading of unittest's own words."""
import json
import sys
import unittest


class Recorder(unittest.TextTestResult):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.lines = open(sys.argv[2], "w", encoding="utf-8", buffering=1)
        self.failed = set()

    def record(self, test, outcome, detail=""):
        name = test.id().split(".", 1)[-1]
        self.lines.write(json.dumps({"name": name, "outcome": outcome, "detail": detail}) + "\n")

    def fail(self, test, error):
        self.failed.add(test.id())
        self.record(test, "failed", self._exc_info_to_string(error, test))

    def addSuccess(self, test):
        super().addSuccess(test)
        if test.id() not in self.failed:  # of a failed subtest, too
            self.record(test, "passed")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.fail(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.fail(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.failed.add(test.id())
            self.record(subtest, "failed", self._exc_info_to_string(error, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.record(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.record(test, "failed", "was expected to fail")


runner = unittest.TextTestRunner(verbosity=2, resultclass=Recorder)
unittest.main(module=sys.argv[1], argv=["cases"], testRunner=runner)
