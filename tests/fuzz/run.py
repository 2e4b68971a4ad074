#!/usr/bin/python3
"""Runs the fuzzers of build-fuzz, all or those named, for the given seconds each, on their corpora, one a core; a
finding is kept beside the build and ends with status 1."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build-fuzz/tests/fuzz"


def fuzz(program, seconds):
    name = program.name.removeprefix("fuzz_")
    found = BUILD / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    run = subprocess.run([program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1",
                          f"-artifact_prefix={BUILD}/{name}-", found, ROOT / "tests/fuzz/corpus" / name],
                         capture_output=True, text=True)
    lines = run.stderr.splitlines()
    stats = " ".join(line.split(": ")[1].strip() for line in lines if line.startswith("stat::number_of_executed"))
    print(f"{name:20} {stats or '?':>12} runs  {'FOUND' if run.returncode else 'nothing found'}", flush=True)
    if run.returncode:
        print("\n".join(lines[-40:]), flush=True)
    return run.returncode


def main():
    seconds, names = int(sys.argv[1]), sys.argv[2:]
    programs = sorted(path for path in BUILD.glob("fuzz_*") if path.is_file() and path.suffix == "")
    unknown = set(names) - {path.name.removeprefix("fuzz_") for path in programs}
    if unknown:
        sys.exit(f"no such fuzzer: {', '.join(sorted(unknown))}")
    programs = [path for path in programs if not names or path.name.removeprefix("fuzz_") in names]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as cores:
        results = list(cores.map(lambda program: fuzz(program, seconds), programs))
    print(f"{sum(not r for r in results)} of {len(programs)} fuzzers found nothing")
    return 1 if any(results) or not programs else 0


sys.exit(main())
