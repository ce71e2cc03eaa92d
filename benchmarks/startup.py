"""What `probrun grad` on a small program takes beyond `import torch`: `python benchmarks/startup.py` (medians of processes in turn).

The last column is CPU time, the least of all: `check` is to take less than 0.35 s of it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# as where the package is installed: compiled once
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "probrun grad": ["-m", "probrun", "grad", "examples/bernoulli.prob", "--seed", "1"],
    "probrun grad --no-pilot": ["-m", "probrun", "grad", "examples/bernoulli.prob", "--seed", "1", "--no-pilot"],
    "probrun check (no torch)": ["-m", "probrun", "check", "examples/bernoulli.prob"],
}


def cpu() -> float:
    """Seconds of CPU time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(9):
        for name, command in COMMANDS.items():
            start, before = time.perf_counter(), cpu()
            subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=ROOT, env=ENVIRONMENT)
            times[name].append(time.perf_counter() - start)
            spent[name].append(cpu() - before)
    base = statistics.median(times["import torch"])
    for name, found in times.items():
        wall = statistics.median(found)
        print(f"{name:26} {wall * 1e3:6.0f} ms  {(wall - base) * 1e3:+6.0f} ms  {min(spent[name]) * 1e3:6.0f} ms")


if __name__ == "__main__":
    main()
