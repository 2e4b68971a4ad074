"""The manual pages are well formed, name only options that there are, and their examples run, as do the commands of
docs/operations.md; the other pages name only files, options and methods that there are."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import BUILD, ROOT, program  # noqa: E402

PAGES = sorted((ROOT / "docs/man").glob("*.[0-9]"))
HELP = {"cadenza-repo.1": ("cadenza", "repo", "--help"), "cadenza.1": ("cadenza", "--help"), "cadenzad.8": ("cadenzad", "--help"),
        "cadenza-sim.1": ("cadenza-sim", "--help")}
FIXTURES = pathlib.Path(os.environ.get("CADENZA_FIXTURES", "")) / "repos"


class Manual(unittest.TestCase):
    def test_every_program_has_a_page(self):
        self.assertEqual({page.name for page in PAGES}, set(HELP))

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_well_formed(self):
        for page in PAGES:
            run = subprocess.run(["groff", "-mandoc", "-Tutf8", "-ww", page], capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stderr), (0, ""), page.name)
            self.assertIn("NAME", re.sub(".\b", "", run.stdout))

    def test_options_exist(self):
        for page in PAGES:
            words = HELP[page.name]
            said = subprocess.run([program(words[0]), *words[1:]], capture_output=True, text=True).stdout
            text = page.read_text()
            options = set(re.findall(r"Fl \\-([\w-]+)", text))
            self.assertTrue(options, page.name)
            for option in options:
                self.assertIn(f"--{option}", said + "--help", f"{page.name} names an option that {words[0]} has not")
            for option in set(re.findall(r"--([a-z][\w-]+)", said)) - {"help", "list-objects", "list-commands", "register", "unregister", "uuid"}:
                self.assertIn(option, text, f"{page.name} does not name --{option}")

    @unittest.skipUnless(FIXTURES.is_dir(), "no repositories of XO (CADENZA_FIXTURES)")
    def test_examples_run(self):
        with tempfile.TemporaryDirectory(prefix="cadenza-manual-") as folder:
            with tarfile.open(FIXTURES / "flat.tar.gz") as archive:
                archive.extractall(folder)
            repository = pathlib.Path(folder) / "flat"
            point = sorted(repository.glob("xo-vm-backups/*/*.json"))[0]
            lines = re.findall(r"^\.Dl (.*)$", (ROOT / "docs/man/cadenza-repo.1").read_text(), flags=re.M)
            self.assertGreaterEqual(len(lines), 3)
            daily = re.findall(r"`(cadenza repo [^`]*) DIR`", (ROOT / "docs/operations.md").read_text())
            self.assertGreaterEqual(len(daily), 4)
            for line in [*lines, *(f"{command.replace('UUID', point.parent.name)} /backups" for command in daily)]:
                command = line.replace("\\-", "-").replace("/backups", str(repository))
                command = command.replace("VM/DATE", f"{point.parent.name}/{point.stem}")
                run = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True,
                                     env=dict(os.environ, PATH=f"{BUILD}/src/cmd:{os.environ['PATH']}"))
                self.assertEqual(run.returncode, 0, f"{command}: {run.stderr}")


class Pages(unittest.TestCase):
    """README.md and docs, but for what is written by tools/reference."""
    TEXTS = {page.relative_to(ROOT): page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/decisions").glob("*.md")]}

    def test_files_exist(self):
        for page, text in self.TEXTS.items():
            for path in re.findall(r"`((?:src|tests|tools|docs|bench|packaging)/[\w./-]+)`", text):
                self.assertTrue((ROOT / path).exists(), f"{page} names {path}")

    def test_options_exist(self):
        """Of our programs, of ./run and of what it calls."""
        words = [[program(name), *rest] for name, *rest in HELP.values()]
        words += [["sh", ROOT / "run"], *([sys.executable, ROOT / path, "--help"] for path in ("bench/run.py", "tests/run.py", "tools/reference"))]
        there = set(re.findall(r"--[a-z][\w-]+", " ".join(subprocess.run(line, capture_output=True, text=True).stdout for line in words)))
        for page, text in self.TEXTS.items():
            self.assertEqual(set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)) - there, set(), page)

    def test_methods_exist(self):
        there = json.loads(subprocess.run([program("cadenzad"), "describe"], capture_output=True, text=True).stdout)["methods"]
        for page, text in self.TEXTS.items():
            self.assertEqual(set(re.findall(r"cadenza ([a-z]\w+\.[a-z]\w+)", text)) - set(there), set(), page)


if __name__ == "__main__":
    unittest.main()
