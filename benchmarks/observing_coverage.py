"""Do the standard errors of weighed programs mean what they say?  `python benchmarks/observing_coverage.py` rewrites the second table
of `docs/coverage.md`.

The posterior expectation, its gradient, the log evidence and its gradient of programs whose exact values are sums over outcomes or
quadratures written here; 200, 2,000 and 10,000 runs, each with 300 seeds (what comes near the limit: with 900, and 2,700).  A cell
shows how often the 95 % interval covers, in per cent, and where warnings were given how often; bold: wrong without a warning in more
than 8 %.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import probrun
from benchmarks.observing_oracle import Weighed
from probrun.layout import student_quantile

RUNS = (200, 2000, 10_000)
ASKED = ("E[y]", "d E[y]", "log evidence", "d log evidence")
MOST = 0.08
ROUNDS = (1, 3, 9)
PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
MARKS = ("<!-- begin:weighed -->", "<!-- end:weighed -->")
Array = Any


@dataclass(frozen=True)
class Case:
    """A program in the parameter t, where it is asked, how, and (of a continuous draw x) grid, log prior, log weight and result."""

    name: str
    text: str
    t: float
    grid: tuple[float, float] = (-12, 12)
    prior: Callable[[Array, float], Array] | None = None
    level: Callable[[Array, float], Array] | None = None
    result: Callable[[Array, float], Array] = lambda x, t: x
    options: dict[str, Any] = field(default_factory=dict)

    def exact(self) -> list[float]:
        """The four numbers."""
        if self.prior is None:
            found = Weighed(probrun.parse(f"param t = {self.t!r}\n{self.text}\n").resolved.program, {"t": self.t})
            assert found.posterior is not None and found.evidence is not None
            return [found.posterior.values[0], found.posterior.slopes[0][0], found.evidence.values[0], found.evidence.slopes[0][0]]
        step = 1e-4
        (low, slow), (here, now), (high, fast) = (self.sums(self.t + shift) for shift in (-step, 0.0, step))
        return [here, (high - low) / (2 * step), now, (fast - slow) / (2 * step)]

    def sums(self, t: float) -> tuple[float, float]:
        """The posterior expectation and the log evidence."""
        assert self.prior is not None and self.level is not None
        cells = 480_000
        width = (self.grid[1] - self.grid[0]) / cells
        x = self.grid[0] + (np.arange(cells) + 0.5) * width
        with np.errstate(all="ignore"):
            mass = np.exp(self.prior(x, t) + self.level(x, t)) * width
        return float((mass * self.result(x, t)).sum() / mass.sum()), math.log(float(mass.sum()))


def normal(x: Array, m: Array, s: float) -> Array:
    return -((x - m) ** 2) / (2 * s * s) - math.log(s * math.sqrt(2 * math.pi))


def beta(x: Array, a: float, b: float) -> Array:
    return (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)


def gamma(x: Array, a: float, b: float) -> Array:
    return (a - 1) * np.log(x) - b * x + a * math.log(b) - math.lgamma(a)


SCORE = {"estimator": "score"}
CONJUGATE = "x ~ Normal(t, 1); observe 1 ~ Normal(x, 1); return x"
CHAIN = "h = 0; s = 0; for i in range(4) { h ~ Bernoulli(if h > 0 then t else 0.3); observe [1, 0, 1, 1][i] ~ Bernoulli(if h > 0 then 0.8 else 0.3); s = s + h }; return s"
CASES = [
    Case("conjugate, pathwise", CONJUGATE, 0.5, prior=lambda x, t: normal(x, t, 1), level=lambda x, t: normal(1, x, 1)),
    Case("conjugate, score", CONJUGATE, 0.5, prior=lambda x, t: normal(x, t, 1), level=lambda x, t: normal(1, x, 1), options=SCORE),
    Case("above 0", "x ~ Normal(t, 1); observe x > 0; return x", 0.5, prior=lambda x, t: normal(x, t, 1), level=lambda x, t: np.where(x > 0, 0, -np.inf)),
    Case("above 1.5", "x ~ Normal(t, 1); observe x > 1.5; return x", 0.0, prior=lambda x, t: normal(x, t, 1), level=lambda x, t: np.where(x > 1.5, 0, -np.inf)),
    Case("good proposal", "z ~ Normal(t, 1) via Normal(0.7, 0.9); observe 1 ~ Normal(z, 1); return z", 0.5,
         prior=lambda x, t: normal(x, t, 1), level=lambda x, t: normal(1, x, 1)),
    Case("parameter of a proposal", "z ~ Normal(0, 1) via Normal(t, 2); observe 1 ~ Normal(z, 1); return z", 0.5,
         prior=lambda x, t: normal(x, 0, 1), level=lambda x, t: normal(1, x, 1)),
    Case("narrow proposal", "z ~ Normal(0, 1) via Normal(t, 0.6); return z^2", 0.2, prior=lambda x, t: normal(x, 0, 1), level=lambda x, t: 0 * x,
         result=lambda x, t: x * x),
    Case("sharp likelihood", "x ~ Normal(t, 1); for i in range(4) { observe [0.9, 1.3, 1.1, 0.8][i] ~ Normal(x, 0.3) }; return x", 0.0,
         prior=lambda x, t: normal(x, t, 1), level=lambda x, t: sum(normal(c, x, 0.3) for c in (0.9, 1.3, 1.1, 0.8))),
    Case("Beta and Binomial", "p ~ Beta(t, 2); observe 7 ~ Binomial(10, p); return p", 2.0, (0, 1), lambda x, t: beta(x, t, 2),
         lambda x, t: 7 * np.log(x) + 3 * np.log1p(-x) + math.log(120)),
    Case("Gamma and Poisson", "r ~ Gamma(t, 1); observe 3 ~ Poisson(r); return r", 2.0, (0, 40), lambda x, t: gamma(x, t, 1),
         lambda x, t: 3 * np.log(x) - x - math.log(6)),
    Case("Gamma by score", "r ~ Gamma(t, 1); observe 3 ~ Poisson(r); return r", 2.0, (0, 40), lambda x, t: gamma(x, t, 1),
         lambda x, t: 3 * np.log(x) - x - math.log(6), options=SCORE),
    Case("Bernoulli by score", "b ~ Bernoulli(t); observe 1 ~ Normal(b, 0.7); return b", 0.3, options=SCORE),
    Case("rare Bernoulli by score", "b ~ Bernoulli(t); observe 1 ~ Bernoulli(if b > 0 then 0.9 else 0.2); return b", 0.04, options=SCORE),
    Case("hidden chain by score", CHAIN, 0.7, options=SCORE),
    Case("conditions by score", "s = 0; for i in range(3) { b ~ Bernoulli(t); s = s + b; observe s < 3 }; observe s > 0; return s", 0.4, options=SCORE),
    Case("factor", "x ~ Normal(t, 1); factor -x^2; return x", 0.5, prior=lambda x, t: normal(x, t, 1), level=lambda x, t: -(x**2)),
    Case("tilted", "x ~ Normal(t, 1); factor x; return x^2", 0.3, prior=lambda x, t: normal(x, t, 1), level=lambda x, t: x, result=lambda x, t: x * x),
    Case("summed beside a draw", "b ~ Bernoulli(t); x ~ Normal(2*b, 1); observe 1.5 ~ Normal(x, 0.5); return x", 0.4,
         prior=lambda x, t: np.logaddexp(math.log(t) + normal(x, 2, 1), math.log(1 - t) + normal(x, 0, 1)), level=lambda x, t: normal(1.5, x, 0.5)),
]


@dataclass(frozen=True)
class Cell:
    """Of the repetitions with one of the four numbers: the parts that cover, that carry a warning, and that do neither."""

    covered: float
    warned: float
    silent: float
    repetitions: int

    @property
    def broken(self) -> bool:
        """Whether too many intervals are wrong and nothing is said."""
        return self.silent > MOST

    def __str__(self) -> str:
        text = f"{100 * self.covered:.0f}" + (f" ({100 * self.warned:.0f} warned)" if self.warned >= 0.005 else "")
        return f"**{text}**" if self.broken else text


def cells(case: Case, runs: int, repetitions: int, seed: int) -> list[Cell]:
    """Of the four numbers; again with three times as many, and once more, where one comes near the limit."""
    program, exact = probrun.parse(f"param t = {case.t!r}\n{case.text}\n"), case.exact()
    counts, done, reach = [[0, 0, 0] for _ in ASKED], 0, student_quantile(runs - 1)
    for times in ROUNDS:
        for number in range(done, times * repetitions):
            try:
                result = program.grad(samples=runs, seed=1_000_003 * number + runs + 7_368_787 * seed, pilot=False, **case.options)
            except probrun.ProbError:  # no run agrees
                for count in counts:
                    count[0], count[1] = count[0] + 1, count[1] + 1
                continue
            doubt = bool(result.warnings)
            found = (result.value, result.gradient["t"], result.evidence, result.evidence_gradient["t"])
            for count, moments, truth in zip(counts, found, exact, strict=True):
                covers = abs(float(moments.mean) - truth) <= reach * float(moments.se) + 3e-6 * max(abs(truth), 1)
                count[0], count[1], count[2] = count[0] + covers, count[1] + doubt, count[2] + (not covers and not doubt)
        done = times * repetitions
        if max(silent for _, _, silent in counts) / done <= MOST - math.sqrt(MOST * (1 - MOST) / done):
            break
    return [Cell(a / done, b / done, c / done, done) for a, b, c in counts]


def written(rows: list[tuple[Case, int, list[Cell]]], repetitions: int, seconds: float) -> str:
    """The table and what it comes to."""
    lines = [f"| program | n | {' | '.join(ASKED)} |", "|---|---|" + "---|" * len(ASKED)]
    for case, runs, found in rows:
        forced = f", {case.options['estimator']}" if case.options else ""
        what = f"{case.name}: `{case.text}`, t = {case.t:g}{forced}" if runs == RUNS[0] else ""
        lines.append(f"| {what} | {runs:,} | {' | '.join(map(str, found))} |")
    every = [one for _, _, found in rows for one in found]
    more = sum(one.repetitions > repetitions for one in every)
    lines += ["", (
        f"{len(rows) // len(RUNS)} programs, {len(every)} cells, {repetitions} repetitions each, {more} of them settled with up to "
        f"{ROUNDS[-1] * repetitions:,}. In {sum(not one.broken for one in every)} the intervals that are wrong without a warning are at "
        f"most 8 %. It took {seconds / 60:.0f} minutes."
    )]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started, rows = time.perf_counter(), []
    for case in CASES:
        for runs in RUNS if arguments.only in case.name else ():
            found = cells(case, runs, arguments.repetitions, arguments.seed)
            rows.append((case, runs, found))
            print(f"{case.name:<26}{runs:>7}  " + "".join(f"{one!s:<18}" for one in found), flush=True)
    table = written(rows, arguments.repetitions, time.perf_counter() - started)
    print(table.rpartition("\n")[2])
    if not arguments.only and not arguments.seed:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}", encoding="utf-8")
    return int(any(one.broken for _, _, found in rows for one in found))


if __name__ == "__main__":
    sys.exit(main())
