"""Measures all that the README beside this tells, and prints its tables.

    python3 crates/scan/benches/compare.py --data FOLDER --peer PYTHON [--rounds 3] [--runs 50]

FOLDER takes the files (1.1 GB, made where they are missing); PYTHON has nilearn 0.14.1. Every round
runs all commands in turn, so that other work on the machine meets all of them alike. Ratios are of
one round; the median of the rounds is told.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[2] / "xtask"))
from bench import compiled, occasion


def measured(command):
    """Seconds of the clock, seconds of the processor, peak in MB, what it said."""
    start = time.perf_counter()
    out = subprocess.DEVNULL if command[0] == "gzip" else subprocess.PIPE
    child = subprocess.Popen(command, stdout=out, text=True)
    said = child.stdout.read().strip() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    clock = time.perf_counter() - start
    return clock, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, said


class Rounds:
    """What every command took in every round."""

    def __init__(self, commands, n):
        self.all = []
        for _ in range(n):
            self.all.append({name: measured(command) for name, command in commands.items()})

    def seconds(self, name):
        clock, work = (statistics.median(each[name][k] for each in self.all) for k in (0, 1))
        return f"{clock:.2f} s ({work:.2f} s)"

    def times(self, slow, fast):
        clock, work = (statistics.median(each[slow][k] / each[fast][k] for each in self.all) for k in (0, 1))
        return f"{clock:.1f} × ({work:.1f} ×)"

    def peak(self, name):
        return f"{max(each[name][2] for each in self.all):.0f} MB"

    def check_equal(self, ours, theirs):
        """The same shape, and the same sum of absolute values."""
        for each in self.all:
            (*shape, a), (*other, b) = (each[name][3].split()[:3] for name in (ours, theirs))
            if shape != other or abs(float(a) / float(b) - 1) > 1e-6:
                sys.exit(f"{ours} found {shape} {a}, {theirs} {other} {b}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=50)
    given = parser.parse_args()
    ours = compiled("scan", "parcels")
    subprocess.run([ours, "make", str(given.data)], check=True)
    packed, plain, atlas = (str(given.data / name) for name in ("run.nii.gz", "run.nii", "atlas.nii.gz"))

    kinds = [(run, rest) for run in (packed, plain) for rest in ([], ["clean"])]
    commands = {"gzip": ["gzip", "-dc", packed]}
    for run, rest in kinds:
        commands["ours", run, *rest] = [ours, "one", run, atlas, *rest]
        commands["nilearn", run, *rest] = [given.peer, str(HERE / "nilearn_peer.py"), run, atlas, *rest]
    rounds = Rounds(commands, given.rounds)

    n_cores = os.cpu_count()
    print(f"{occasion(given.rounds)}\n")
    print("| input | `gzip -dc` | ours | nilearn | gzip : ours | nilearn : ours | peak, ours | peak, nilearn |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for run, rest in kinds:
        a, b = ("ours", run, *rest), ("nilearn", run, *rest)
        rounds.check_equal(a, b)
        row = [f"`{Path(run).name.removeprefix('run')}`{', clean' if rest else ''}"]
        row += [rounds.seconds("gzip") if run == packed else "–", rounds.seconds(a), rounds.seconds(b)]
        row += [rounds.times("gzip", a) if run == packed else "–", rounds.times(b, a)]
        row += [rounds.peak(a), rounds.peak(b)]
        print("| " + " | ".join(row) + " |")

    print(f"\n| {given.runs} runs, `.nii.gz`, clean | wall | processor | reckoned a run | before the first | peak |")
    print("| --- | --- | --- | --- | --- | --- |")
    alone = None
    for n_workers, mem_mb in ((1, 300), (n_cores, 300), (n_cores, 110)):
        cohort = [ours, "cohort", packed, atlas, str(given.runs), str(n_workers), str(mem_mb), "clean"]
        clock, work, peak, told = measured(cohort)
        reckoned, before = re.search(r"(\d+) MB reckoned for each, (\d+) MB before", told).groups()
        alone = alone or clock
        row = [f"{n_workers} at once, budget {mem_mb} MB", f"{clock:.1f} s ({alone / clock:.2f} ×)"]
        row += [f"{work:.1f} s", f"{reckoned} MB", f"{before} MB", f"{peak:.0f} MB"]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
