"""How long a sweep takes, against the same runs in one call: `python -m benchmarks.sweep [POINTS [RUNS]]`.

CPU time of this process, so that other work on the machine does not show much; the pilot is part of both.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import probrun

EXAMPLES = Path(__file__).parent.parent / "examples"
SWEPT = {  # a file of examples/, and the parameter that is swept, with its ends
    "queue": ("service", 0.5, 0.9), "random_walk": ("theta", -0.5, 0.5), "reparam": ("theta", 0.0, 1.0), "gambler": ("p", 0.3, 0.6),
    "epidemic": ("beta", 0.2, 0.5),
}  # fmt: skip
LONG = "param theta = 0.5\ns = 0\nfor t in range(20) {\n  x ~ Normal(0.9*s + theta, 1)\n  s = tanh(x)\n}\nreturn s\n"


def compare(name: str, program: probrun.Program, parameter: str, low: float, high: float, points: int, runs: int) -> None:
    """Print one row."""
    program.grad(samples=100, seed=1)
    begun = time.process_time()
    whole = program.grad(samples=points * runs, seed=1)
    middle = time.process_time()
    found = program.sweep({parameter: [low + (high - low) * k / (points - 1) for k in range(points)]}, samples=runs, seed=1)
    ended = time.process_time()
    wrong = sum(point.problem is not None for point in found)
    one, many = middle - begun, ended - middle
    print(f"{name:<14} {one:>8.2f} {many:>8.2f} {many / one:>7.1f}   {'exact' if whole.exact else ''} {wrong or ''}")


def main(points: int = 500, runs: int = 10_000) -> None:
    """Print the table."""
    print(f"{points} points x {runs} runs, seconds of CPU time\n{'program':<14} {'one call':>8} {'sweep':>8} {'ratio':>7}")
    compare("long chain", probrun.parse(LONG), "theta", 0.0, 1.0, points, runs)
    for name, (parameter, low, high) in SWEPT.items():
        program = probrun.load(EXAMPLES / f"{name}.prob")
        if parameter in program.parameters:
            compare(name, program, parameter, low, high, points, runs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
