"""A simulated pool of 5,000 machines starts within two seconds of processor and 200 MiB (release build)."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Sim  # noqa: E402

N_VMS, N_HOSTS, N_TEMPLATES = 5000, 4, 6


class BigPool(unittest.TestCase):
    def test_five_thousand_machines(self):
        sim = Sim("--hosts", N_HOSTS, "--vms", N_VMS, "--disk-size", "50GiB")
        self.addCleanup(sim.stop)
        cpu_s = time.clock_gettime(~sim.process.pid << 3 | 2)  # its CPU clock, see clock_getcpuclockid(3)
        self.assertEqual(sim.control("/sim/state")["objects"]["VM"], N_VMS + N_TEMPLATES + N_HOSTS)
        self.assertLess(cpu_s, 2)
        self.assertLess(sim.resident_bytes(), 200 << 20)


if __name__ == "__main__":
    unittest.main()
