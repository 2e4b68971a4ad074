"""Processes killed at random moments: the worker, or the server, in the midst of a backup, a merge, a retention, a
restore, and again while the run goes on. The seed is printed; CADENZA_SEED repeats it."""
import os
import random
import signal
import threading
import time
import unittest

from world import World, lost, part_of, side_by_side

FULL = bool(os.environ.get("CADENZA_FULL"))
KILLS = part_of(150) if FULL else 3  # of each layout
OPERATIONS = ["delta"] * 5 + ["full", "restore", "archive", "unarchive"]
AGAIN = 0.3  # how often a second kill follows


class Kills(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("CADENZA_SEED", random.randrange(1 << 30)))

    def strike(self, world, victim):
        """Kills it, when there is one; whether the server has to be started again."""
        if victim == "server":
            world.server.kill()
            return True
        for pid in world.workers("worker", "repository-worker"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return False

    def kill(self, world, chance, operation, seconds):
        before = world.contents()
        outcome = {}

        def attempt():
            try:
                outcome["error"] = world.attempt(operation)
            except AssertionError as error:
                outcome["wrong"] = error
        thread = threading.Thread(target=attempt)
        thread.start()
        delays = [chance.random() * seconds] + [chance.random() * seconds] * (chance.random() < AGAIN)
        for delay in delays:
            time.sleep(delay)
            if self.strike(world, chance.choice(["worker", "worker", "server"])):
                world.start()
        thread.join(120)
        if "wrong" in outcome:
            raise outcome["wrong"]
        world.settle()
        world.take_restored()
        now = world.check(before)
        self.assertFalse(lost(operation, before, now), f"gone: {lost(operation, before, now)}")

    def story(self, layout, seed):
        chance = random.Random(seed)
        world = World(layout, seed=seed % 1000 + 1)
        try:
            seconds = {}
            for operation in ["delta", "delta", "full", "restore", "delta", "archive", "unarchive"]:
                started = time.monotonic()
                getattr(world, operation)()
                seconds[operation] = time.monotonic() - started
            for n in range(KILLS):
                operation = chance.choice(OPERATIONS)
                try:
                    self.kill(world, chance, operation, seconds[operation])
                except AssertionError as error:
                    raise AssertionError(f"CADENZA_SEED={self.seed}, {layout}, kill {n} in {operation}: {error}\n"
                                         + world.explain()) from error
            world.delta()
            world.settle()
            self.assertEqual(list(world.check({}).values())[-1], world.known[-1])
        finally:
            world.stop()

    def test_random_moments(self):
        print(f"CADENZA_SEED={self.seed}", flush=True)
        side_by_side(lambda: self.story("flat", self.seed), lambda: self.story("directory", self.seed + 1))


if __name__ == "__main__":
    unittest.main()
