#!/usr/bin/python3
"""./run bench [--quick] [ROW]: our data path beside XO's published libraries, on the same content, in turn.

CPU is user and system of all processes of a side from the moment it is ready; start-up is printed apart.
Rows that write do so in a folder of the working tree. Prints a table in Markdown; each line ends with ratio,
goal and `met` or `short`. `--readme` puts the table into README.md."""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import sys
import time

import rows
import sides

README = sides.ROOT / "README.md"
KEPT = sides.ROOT / "build-bench-results.json"  # the last full run of each row in this working tree
MARKS = "<!-- bench -->", "<!-- /bench -->"
QUICK_SHARE = 0.8


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def figure(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def speed(runs):
    n_bytes = median(runs, "bytes")
    return n_bytes / (1 << 20) / median(runs, "wall_s") if n_bytes else 0


class Judge:
    """One line of the table for each goal of a Line."""

    def __init__(self, line, runs, quick):
        self.line, self.share_of_goal = line, QUICK_SHARE if quick else 1
        self.ours, self.fixed = runs[line.ours], not isinstance(line.peer, str)
        self.peer = line.peer if self.fixed else runs[line.peer]

    def ratio(self, what, ours, peer, goal, unit, more_is_better=False):
        goal *= self.share_of_goal
        ratio = (ours / peer if more_is_better else peer / ours) if ours and peer else 0
        return [what, f"{figure(ours)} {unit}", f"{figure(peer)} {unit}", f"{ratio:.1f}x", f"≥ {goal:.3g}x", ratio >= goal]

    def limit(self, what, ours, peer, goal, unit):
        goal /= self.share_of_goal
        return [what, f"{figure(ours)} {unit}", f"{figure(peer)} {unit}" if peer else "–",
                f"{peer / ours:.1f}x" if peer and ours else "–", f"≤ {goal:.3g} {unit}", ours <= goal]

    def cpu(self, goal):
        return self.ratio("CPU", median(self.ours, "cpu_s"), median(self.peer, "cpu_s"), goal, "s")

    def speed(self, goal):
        return self.ratio("speed", speed(self.ours), speed(self.peer), goal, "MiB/s", more_is_better=True)

    def peak_mib(self, goal):
        peer = 0 if self.fixed else median(self.peer, "peak_kib") / 1024
        found = self.limit("resident", max(run["peak_kib"] for run in self.ours) / 1024, peer, goal * self.share_of_goal, "MiB")
        return found

    def cpu_per_gib(self, goal):
        gib = median(self.ours, "bytes") / (1 << 30)
        return self.limit("CPU", median(self.ours, "cpu_s") / gib, self.peer, goal, "s/GiB")

    def cpu_s(self, goal):
        return self.limit("CPU", median(self.ours, "cpu_s"), self.peer, goal, "s")

    def cpu_ms(self, goal):
        return self.limit("CPU", median(self.ours, "cpu_s") * 1000, self.peer, goal, "ms")

    def wall_ms(self, goal):
        return self.limit("time", median(self.ours, "wall_s") * 1000, self.peer, goal, "ms")

    def resident_mib(self, goal):
        return self.limit("resident", max(run["resident_mib"] for run in self.ours), self.peer, goal * self.share_of_goal, "MiB")

    def minute_s(self, goal):
        return self.limit("CPU", median(self.ours, "minute_s"), self.peer, goal, "s")

    def p99_ms(self, goal):
        return self.limit("99 of 100 within", median(self.ours, "p99_ms"), self.peer, goal, "ms")

    def core_share(self, goal):
        return self.limit("CPU", median(self.ours, "core_share"), self.peer, goal, "% of a core")

    def share(self, goal):
        ours, whole = median(self.ours, "cpu_s"), median(self.peer, "cpu_s")
        goal /= self.share_of_goal
        return ["CPU", f"{figure(ours)} s", f"{figure(whole)} s (ours, row 1)", f"{100 * ours / whole:.1f} %", f"≤ {100 * goal:.3g} %",
                ours / whole <= goal]

    def start(self):
        ours = median(self.ours, "start_cpu_s")
        return f"{ours:.2f}" if self.fixed else f"{ours:.2f} / {median(self.peer, 'start_cpu_s'):.2f}"

    def more(self):
        """What was not asked but tells much."""
        text = []
        if "speed" not in self.line.goals and not self.fixed and speed(self.ours):
            text.append(f"{speed(self.ours):.0f} / {speed(self.peer):.0f}")
        elif speed(self.ours):
            text.append(f"{speed(self.ours):.0f}")
        return " ".join(text)

    def table(self):
        for name, goal in self.line.goals.items():
            what, ours, peer, ratio, goal_text, met = getattr(self, name)(goal)
            yield [str(self.line.row), self.line.title, what, ours, peer, self.start() if what == "CPU" else "",
                   self.more() if what == "CPU" else "", ratio, goal_text, "met" if met else "short"]


HEAD = ["row", "operation", "of", "ours", "XO", "start-up CPU s", "MiB/s", "ratio", "goal", ""]


def markdown(table):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [HEAD, ["---"] * len(HEAD), *table])


def run_side(group, name, runs):
    """Whether it went well. A side that fails, of whatever cause, costs its own lines alone."""
    try:
        done = group.sides[name]()
    except Exception as error:
        sides.say(f"  {name} failed: {type(error).__name__}: {error}")
        return False
    runs[name].append(done)
    sides.say(f"  {name}: {done['cpu_s']:.3f} CPU s, {done['wall_s']:.2f} s, {done['peak_kib'] >> 10} MiB")
    return True


def run_sides(group, names, n_rounds):
    """Runs each in turn, n_rounds times: the runs of those that never failed."""
    runs = {name: [] for name in names}
    for _ in range(n_rounds):
        for name in list(runs):
            if not run_side(group, name, runs):
                del runs[name]
    return runs


def run_group(group, wanted, n_rounds):
    """Its lines, and the runs of each side that a wanted line needs."""
    lines = [line for line in group.lines if not wanted or line.row in wanted]
    names = [name for name in group.sides if any(name in (line.ours, line.peer) for line in lines)]
    if isinstance(group, rows.WholeJob):
        names = list(group.sides)
    try:
        group.prepare()
        return lines, run_sides(group, names, n_rounds)
    except Exception as error:
        sides.say(f"  failed: {type(error).__name__}: {error}")
        return lines, {}
    finally:
        with contextlib.suppress(Exception):  # what prepare has not made
            group.finish()


def judge_group(group, options, n_rounds):
    """The cells of its lines, and the rows of those that have none."""
    lines, runs = run_group(group, options.row, n_rounds)
    table, missing = [], set()
    for line in lines:
        needed = {name for name in (line.ours, line.peer) if isinstance(name, str)}
        if not needed <= runs.keys():
            missing.add(line.row)
            continue
        table += Judge(line, runs, options.quick).table()
    return table, missing


def conditions(options, n_rounds):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    load = os.getloadavg()
    rounds = "one round" if n_rounds == 1 else f"median of {n_rounds}"
    return (f"{datetime.datetime.now():%Y-%m-%d %H:%M}, {'--quick (goals x 0.8), ' if options.quick else ''}{rounds}, {os.cpu_count()} cores "
            f"({model.group(1) if model else platform.machine()}), Linux {platform.release()}, load average {load[0]:.1f} at the end")


def rows_of_readme():
    """What the README shows of each row, as keep_results keeps it: another working tree may have measured it."""
    found = {}
    part = README.read_text().partition(MARKS[0])[2].partition(MARKS[1])[0]
    for rows_named, when in re.findall(r"^Rows ([0-9, ]+): (.*)\.$", part, flags=re.M):
        found |= {row: {"when": when, "table": []} for row in rows_named.split(", ")}
    for line in re.findall(r"^\| \d+ \|.*\|$", part, flags=re.M):
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        found.setdefault(cells[0], {"when": "at a time not noted", "table": []})["table"].append(cells)
    return found


def keep_results(table, when):
    """Rows may be run one by one: the README shows the last of each."""
    kept = rows_of_readme()
    for row, result in (json.loads(KEPT.read_text()) if KEPT.exists() else {}).items():
        if row not in kept or result["when"] > kept[row]["when"]:
            kept[row] = result
    for row in {cells[0] for cells in table}:
        kept[row] = {"when": when, "table": [cells for cells in table if cells[0] == row]}
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False))
    return kept


def readme_text(kept):
    table = [cells for row in sorted(kept, key=int) for cells in kept[row]["table"]]
    whens = {}
    for row in sorted(kept, key=int):
        whens.setdefault(kept[row]["when"], []).append(row)
    n_met = sum(cells[-1] == "met" for cells in table)
    lines = [f"Rows {', '.join(of)}: {when}." for when, of in whens.items()]
    return "\n".join([*lines, "", f"{n_met} of {len(table)} goals met.", "", markdown(table)])


def write_readme(text):
    old = README.read_text()
    new = re.sub(f"{MARKS[0]}.*?{MARKS[1]}", lambda _: f"{MARKS[0]}\n{text}\n{MARKS[1]}", old, flags=re.S)
    if new == old:
        sys.exit(f"README.md has no {MARKS[0]} … {MARKS[1]}")
    README.write_text(new)


def main():
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("row", nargs="*", type=int)
    parser.add_argument("--quick", action="store_true", help="smaller, one round, goals x 0.8")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--keep", action="store_true", help="leave the prepared disks for the next time")
    options = parser.parse_args()
    folder = sides.ROOT / ("build-bench-quick" if options.quick else "build-bench")
    n_rounds = options.rounds or (1 if options.quick else 3)
    bench, started, table, missing = rows.Bench(folder, options.quick), time.monotonic(), [], set()
    print("| " + " | ".join(HEAD) + " |\n" + "|" + "---|" * len(HEAD), flush=True)
    for group in rows.all_groups(bench):
        if options.row and not set(options.row) & set(group.rows):
            continue
        sides.say(f"{group.name}:")
        judged, lost = judge_group(group, options, n_rounds)
        for cells in judged:
            print("| " + " | ".join(cells) + " |", flush=True)
        table += judged
        missing |= lost
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    n_met = sum(cells[-1] == "met" for cells in table)
    when = conditions(options, n_rounds)
    print(f"\n{when}; {n_met} of {len(table)} goals met in {time.monotonic() - started:.0f} s")
    if missing:
        print(f"Not whole, for a side failed: rows {', '.join(map(str, sorted(missing)))}.")
    if not options.quick:
        kept = keep_results([cells for cells in table if int(cells[0]) not in missing], when)
        if options.readme:
            write_readme(readme_text(kept))
    return 1 if missing else 0


sys.exit(main())
