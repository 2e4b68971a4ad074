"""Every CRASH_POINT of the sources, found by reading them: the worker ends there as by a power cut, in the midst of
a backup, a merge, a retention, a deletion, a restore. A point that no operation visits is a failure: nobody knows what a
crash there would do."""
import os
import pathlib
import re
import threading
import unittest

from world import World, lost, part_of, side_by_side

SOURCE = pathlib.Path(os.environ.get("CADENZA_SOURCE", pathlib.Path(__file__).resolve().parent.parent.parent)) / "src"
FULL = bool(os.environ.get("CADENZA_FULL"))
# Only what XO writes beside us leads there; this test ends a clean-up at each of them.
ELSEWHERE = SOURCE.parent / "tests/unit/catalog/test_fork.c"
OPERATIONS = ["delta", "full", "restore", "delete", "archive", "unarchive"]  # "delta" merges, "full" drops a chain
TRIES = 4


def named_points():
    found = set()
    for path in SOURCE.rglob("*.c"):
        found |= set(re.findall(r"\bCRASH_POINT\((\w+)\)", path.read_text()))
    return found - set(re.findall(r'"(fork_\w+)"', ELSEWHERE.read_text()))


class Points(unittest.TestCase):
    def setUp(self):
        self.lock, self.left, self.visited = threading.Lock(), set(part_of(sorted(named_points()))), set()
        self.seen = {}  # layout → operation → how often it visits each point

    def survey(self, world):
        """Which operation visits what, when nothing crashes."""
        for _ in range(2):
            world.delta()
        table = {}
        for operation in OPERATIONS + OPERATIONS[:1]:
            world.forget_visits()
            getattr(world, operation)()
            counts = table.setdefault(operation, {})
            for name in world.visited():
                counts[name] = counts.get(name, 0) + 1
        return table

    def choose(self, layout):
        """The next point that this layout can visit: (name, operation, nth visits to end at)."""
        with self.lock:
            for operation in OPERATIONS:
                for name in sorted(self.left):
                    n = self.seen[layout].get(operation, {}).get(name, 0)
                    if n:
                        self.left.discard(name)
                        return name, operation, sorted({1, (n + 1) // 2, n} if FULL else {1})
        return None

    def crash(self, world, name, operation, nth):
        """Ends the worker at the point; a first try may have nothing to merge."""
        for _ in range(TRIES):
            while len(world.points()) < 2:
                world.delta()
            before = world.contents()
            world.lock_may_stay = operation == "delete"
            world.arm(f"{name}:{nth}")
            world.attempt(operation)
            hit = not world.armed.exists()
            world.armed.unlink(missing_ok=True)
            if hit:
                world.settle()
                if operation in ("delta", "full"):
                    self.assertEqual(world.last_log()["status"], "success")
                now = world.check(before)
                self.assertFalse(lost(operation, before, now), f"gone: {lost(operation, before, now)}")
                if operation in ("delta", "full"):
                    self.assertEqual(len(set(now) - set(before)), 1, "a run makes one backup, however often it is interrupted")
                return True
        return nth > 1

    def visit(self, layout):
        world = World(layout, seed=3 if layout == "flat" else 4)
        try:
            self.seen[layout] = self.survey(world)
            while (chosen := self.choose(layout)):
                name, operation, times = chosen
                for nth in times:
                    try:
                        self.assertTrue(self.crash(world, name, operation, nth), "was not visited again")
                    except AssertionError as error:
                        raise AssertionError(f"{layout}, {operation}, {name}:{nth}: {error}\n{world.explain()}") from error
                    self.visited.add(name)
            world.lock_may_stay = False
            world.delta()
            world.settle()
            self.assertEqual(world.last_log()["status"], "success", world.explain())
            self.assertEqual(list(world.check({}).values())[-1], world.known[-1])
        finally:
            world.stop()

    def test_every_point(self):
        side_by_side(lambda: self.visit("flat"), lambda: self.visit("directory"))
        self.assertEqual(self.left, set(), "no operation visits these crash points")


if __name__ == "__main__":
    unittest.main()
