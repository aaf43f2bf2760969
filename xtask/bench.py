"""What the scripts beside the benches share: the bench, compiled, and the line above a table."""

import datetime
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def compiled(package, bench):
    """The path of a bench."""
    command = f"cargo bench -p {package} --bench {bench} --no-run --message-format json".split()
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    built = [json.loads(line) for line in lines.splitlines()]
    return [it["executable"] for it in built if it.get("executable")][-1]


def occasion(n_rounds):
    """When, on what, and beside how much other work."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.split(": ")[1] for line in lines if line.startswith("model name"))
    processor, load = next(named, "unknown processor"), os.getloadavg()[0]
    return f"{datetime.date.today()}, {processor}, {os.cpu_count()} cores, load {load:.1f}, {n_rounds} rounds"
