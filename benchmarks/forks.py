"""What runs that go on as two cost, and what they are worth: `python benchmarks/forks.py` (`--write` for `docs/estimators.md`).

Of each program: the time of a run without derivatives and with `fork` or `jump`, and, where `score` is right, the spread of one run
by both, the ratio of their variances, and how many times longer `score` takes for the same error.  Whole calls without a pilot, in
one thread, CPU time, medians; programs with `jump` are run in float64 both ways.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402

PAGE = HERE.parent / "docs" / "estimators.md"
MARKS = ("<!-- begin:forks -->", "<!-- end:forks -->")
SLACK = 6.0  # standard errors


@dataclass(frozen=True)
class Case:
    """A program, how it is differentiated, what is right, and whether `score` gives that too."""

    text: str
    way: str
    right: tuple[float, ...]
    score: bool = True


CASES = {
    "`x < t`": Case("param t = 0.5\nx ~ Normal(0, 1); return x < t", "jump", (0.352065,), False),
    "`2*Bernoulli(3*t) + Bernoulli(t)`": Case("param t = 0.1\nreturn 2*Bernoulli(3*t) + Bernoulli(t)", "fork", (7.0,)),
    "Poisson(exp(t))": Case("param t = 1\nk ~ Poisson(exp(t)); return (k - 3)^2", "fork", (1.186703,)),
    "geometric, a loop": Case(
        "param t = 0.5\nn = 0; b = 0; while b == 0 { b ~ Bernoulli(t); n = n + 1 - b }; return n", "fork", (-4.0,)
    ),
    "walk, 100 steps": Case(
        "param t = 0.5\ns = 0; for i in range(100) { b ~ Bernoulli(sigmoid(t)); s = s + 2*b - 1 }; return s^2", "fork", (2279.249076,)
    ),
    "SIR, 12 agents": Case(
        "param beta = 0.8\nparam gamma = 0.3\nill = arange(12) < 2; well = 1 - ill\nfor t in range(5) {\n"
        "  new ~ Bernoulli((1 - exp(-beta*sum(ill)/12))*ones(12)); healed ~ Bernoulli(gamma*ones(12))\n"
        "  new = new*well; well = well - new; ill = ill + new - ill*healed\n}\nreturn 12 - sum(well)",
        "fork", (6.841750, -6.820287),
    ),
    "200 agents `x < t`": Case("param t = 0.4\nx ~ Normal(t*ones(200), 1); return sum(x < 2*t)", "jump", (200 * 0.368270,), False),
    "renewal, a loop": Case(
        "param t = 1\ns = 0; n = 0; while s < 1 { w ~ Exponential(t); s = s + w; n = n + 1 }; return n", "jump", (1.0,)
    ),
    "(s, S) inventory, 20 periods": Case(
        "param s = 1\nparam S = 3\nx = S; c = 0\nfor i in range(20) {\n  d ~ Exponential(1); x = x - d\n"
        "  c = c + 0.2*max(x, 0) + max(-x, 0)\n  if x < s { c = c + 2 + S - x; x = S }\n}\nreturn c",
        "jump", (4.879889, -3.724823), False,
    ),
    "barrier option, 12 dates": Case(
        "param S0 = 100\nparam B = 90\ns = S0; alive = 1\nfor i in range(12) {\n  z ~ Normal(0, 1)\n"
        "  s = s*exp((0.02 - 0.5*0.3^2)/12 + 0.3*sqrt(1/12)*z)\n  if s < B { alive = 0 }\n}\nreturn exp(-0.02)*alive*max(s - 100, 0)",
        "jump", (0.729131, -0.341574), False,
    ),
}


@dataclass
class Measured:
    """Microseconds a run, and the standard deviation of one run by parameter."""

    time: float
    spread: tuple[float, ...] = ()


def timed(call: Any, rounds: int) -> float:
    """Seconds of CPU of one call, the median."""
    times = []
    for seed in range(rounds + 1):
        begun = time.process_time()
        call(seed)
        times.append(time.process_time() - begun)
    return statistics.median(times[1:])


def measure(case: Case, way: str, runs: int, rounds: int) -> Measured:
    """A way to go through a program ("": without derivatives)."""
    program = probrun.parse(case.text)

    def call(seed: int, count: int = runs) -> Any:
        if not way:
            return program.run(samples=count, seed=seed, dtype="float64" if case.way == "jump" else "float32")
        return program.grad(samples=count, seed=seed, estimator=way, pilot=False, unbiased=True)

    taken = timed(call, rounds) / runs * 1e6
    if not way:
        return Measured(taken)
    found = call(rounds + 1)
    for moments, right in zip(found.gradient.values(), case.right, strict=True):
        if not abs(float(moments.mean) - right) <= SLACK * float(moments.se) + 1e-4:
            raise SystemExit(f"{moments.mean} +- {moments.se} is not {right}\n{case.text}")
    return Measured(taken, tuple(float(moments.se) * runs**0.5 for moments in found.gradient.values()))


def row(name: str, case: Case, runs: int, rounds: int) -> list[str]:
    """Of the table."""
    plain, ours = (measure(case, way, runs, rounds) for way in ("", case.way))
    cells = [name, case.way, f"{plain.time:.2f}", f"{ours.time:.2f}", f"{ours.time / plain.time:.1f}"]
    cells.append(", ".join(f"{one:.3g}" for one in ours.spread))
    if not case.score:
        return [*cells, "no", "", ""]
    other = measure(case, "score", runs, rounds)
    ratios = [(two / one) ** 2 if one else float("inf") for one, two in zip(ours.spread, other.spread, strict=True)]
    cells.append(", ".join(f"{one:.3g}" for one in other.spread))
    cells.append(", ".join(f"{one:.3g}" for one in ratios))
    return [*cells, ", ".join(f"{one * other.time / ours.time:.2g}" for one in ratios)]


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("--runs", type=int, default=100_000)
    reading.add_argument("--rounds", type=int, default=3)
    reading.add_argument("--only", default="", help="programs whose name has this in it")
    reading.add_argument("--write", action="store_true", help="into docs/estimators.md")
    asked = reading.parse_args()
    torch.set_num_threads(1)
    rows = [
        "| program | by | plain, us a run | us a run | ratio | sd of a run | by `score` | variance ratio | at equal time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows))
    for name, case in CASES.items():
        if asked.only in name:
            rows.append("| " + " | ".join(row(name, case, asked.runs, asked.rounds)) + " |")
            print(rows[-1], flush=True)
    rows += ["", f"{asked.runs} runs in one thread."]
    if asked.write:
        page = PAGE.read_text()
        begin, end = (page.index(mark) for mark in MARKS)
        PAGE.write_text(page[: begin + len(MARKS[0])] + "\n" + "\n".join(rows) + "\n" + page[end:])


if __name__ == "__main__":
    main()
