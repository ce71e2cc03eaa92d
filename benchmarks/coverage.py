"""Do the standard errors mean what they say?  `python benchmarks/coverage.py` rewrites the table of `docs/coverage.md`.

Every program has a gradient that is known in closed form (or by quadrature, written here).  It is differentiated again and again with
40, 200, 2,000 and 10,000 runs, each time with a seed of its own and the options of the row, and each time the 95 % interval of the
screen either covers the exact gradient or does not, and the result either carries a warning (status 3) or does not.  A promise is
broken where neither is the case: the interval is wrong and nothing was said.

`--repetitions 300` is the usual number (half an hour on one core).  300 tell a share of 8 % to +- 1.6 % only, so a cell whose share of
broken promises comes near 8 % (from one standard deviation below on) is settled with three times as many, again and again.
`--only WORD` takes the programs whose name has the word in it and prints, without writing; so does another `--seed`.  The exit status
is 1 where a promise is broken too often.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import probrun
from probrun.layout import student_quantile

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
MARKS = ("<!-- begin:table -->", "<!-- end:table -->")
RUNS = (40, 200, 2000, 10_000)
LEAST, MOST = 0.92, 0.98
ROUNDS = (1, 3, 9, 27)  # times the repetitions, while the share of broken promises is near the limit


@dataclass(frozen=True)
class Case:
    """A program in the parameter t, the value of that, the exact derivative, and the options of `grad`."""

    name: str
    text: str
    t: float
    exact: float
    options: dict[str, Any] = field(default_factory=dict)


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def normal_mean(f: Callable[[torch.Tensor], torch.Tensor], t: float, half: float = 12.0, cells: int = 2_000_000) -> float:
    """The mean of f(z), z ~ Normal(t, 1), by midpoints."""
    z = t - half + (torch.arange(cells, dtype=torch.float64) + 0.5) * (2 * half / cells)
    weights = torch.exp(-((z - t) ** 2) / 2) / math.sqrt(2 * math.pi) * (2 * half / cells)
    return float((f(z) * weights).sum())


def poisson_slope(f: Callable[[int], float], rate: float) -> float:
    """d/drate of E[f(k)], k ~ Poisson(rate): E[f(k + 1) - f(k)]."""
    return sum((f(k + 1) - f(k)) * math.exp(-rate + k * math.log(rate) - math.lgamma(k + 1)) for k in range(200))


SCORE, REGRESSION, BARE = ({"estimator": f"score{options}"} for options in ("", "(baseline=regression)", "(baseline=none)"))
FORK, JUMP = {"estimator": "fork"}, {"estimator": "jump"}
WALK = "s = 0; y = 0; for i in range(5) { d ~ Normal(t, 1); s = s + d; y = y + (s > 0) }; return y"

CASES = [
    # pathwise
    Case("fixed noise", "z ~ Normal(1, 2); return t^2*(z + 4)", 2, 20),
    Case("quadratic in the parameter", "z ~ Normal(t, 2); return t^2*(z + 4)", 2, 28),
    Case("sine", "z ~ Normal(t, 1); return sin(z)", 0.3, math.exp(-0.5) * math.cos(0.3)),
    Case("square", "z ~ Normal(t, 1); return z^2", 0.5, 1),
    Case("cube", "z ~ Normal(t, 1); return z^3", 0.5, 3.75),
    Case("relu", "z ~ Normal(t, 1); return relu(z)", 0.5, cdf(0.5)),
    Case("relu, rare", "z ~ Normal(t, 1); return relu(z - 2)", 0, cdf(-2)),
    Case("log-normal 0.5", "z ~ Normal(t, 1); return exp(z/2)", 0, math.exp(1 / 8) / 2),
    Case("log-normal 1", "z ~ Normal(t, 1); return exp(z)", 0, math.exp(0.5)),
    Case("log-normal 2", "z ~ Normal(t, 1); return exp(2*z)", 0, 2 * math.exp(2)),
    Case("log-normal 6", "z ~ Normal(t, 1); return exp(6*z)", 0, 6 * math.exp(18)),
    Case("Gamma, square", "z ~ Gamma(t, 1); return z^2", 2, 5),
    Case("Beta", "z ~ Beta(t, 2); return z", 2, 1 / 8),
    Case("Student 3, square", "z ~ StudentT(3, t, 1); return z^2", 0.5, 1),
    Case("Laplace, absolute", "z ~ Laplace(t, 1); return abs(z)", 0.5, 1 - math.exp(-0.5)),
    Case("Uniform, its end", "z ~ Uniform(0, t); return z^2", 1.5, 1),
    Case("larger of two", "x ~ Normal(t, 1); z ~ Normal(0, 1); return max(x, z)", 0.5, cdf(0.5 / math.sqrt(2))),
    Case("power tail 1.5", "u ~ Uniform(0, 1); return t*u^(-2/3)", 1, 3),
    Case("power tail 2.5", "u ~ Uniform(0, 1); return t*u^(-0.4)", 1, 1 / 0.6),
    Case("power tail 4", "u ~ Uniform(0, 1); return t*u^(-0.25)", 1, 1 / 0.75),
    Case("Student 3, value", "z ~ StudentT(3, 0, 1); return t*z", 1, 0),
    # pathwise and score contradict each other
    Case("steep step", "x ~ Normal(t, 1); return x/(abs(x) + 0.00000001)", 0.5, 2 * phi(0.5)),
    Case(
        "steep step and a sine", "x ~ Normal(t, 1); return 0.01*sin(x) + tanh(100000*x)", 0.5,
        2 * phi(0.5) + 0.01 * math.exp(-0.5) * math.cos(0.5),
    ),
    # score of continuous draws
    Case("step", "x ~ Normal(t, 1); return x > 0", 0.2, phi(0.2)),
    Case("step, regression", "x ~ Normal(t, 1); return x > 0", 0.2, phi(0.2), REGRESSION),
    Case("step, no baseline", "x ~ Normal(t, 1); return x > 0", 0.2, phi(0.2), BARE),
    Case("event of 2 %", "x ~ Normal(t, 1); return x > 2", 0, phi(2)),
    Case("event of 1 in 700", "x ~ Normal(t, 1); return x > 3", 0, phi(3)),
    Case("event of 1 in 30,000", "x ~ Normal(t, 1); return x > 4", 0, phi(4)),
    Case("two steps", "x ~ Normal(t, 1); z ~ Normal(t, 1); return (x > 0)*(z > 0)", 0.3, 2 * phi(0.3) * cdf(0.3)),
    Case("root, both ways", "x ~ Normal(t, 1); return abs(x)^0.5", 0.5, normal_mean(lambda z: z.abs().sqrt() * (z - 0.5), 0.5)),
    Case("Exponential, score", "x ~ Exponential(t); return x", 2, -0.25, SCORE),
    Case("square, score", "z ~ Normal(t, 1); return z^2", 0.5, 1, SCORE),
    Case("scale, score", "z ~ Normal(0, t); return z^2", 1, 2, SCORE),
    Case("scale, regression", "z ~ Normal(0, t); return z^2", 1, 2, REGRESSION),
    # counts and coins
    Case("coin 0.35, score", "b ~ Bernoulli(t); return b", 0.35, 1, SCORE),
    Case("coin 0.35, regression", "b ~ Bernoulli(t); return b", 0.35, 1, REGRESSION),
    Case("coin 0.5, score", "b ~ Bernoulli(t); return b", 0.5, 1, SCORE),
    Case("coin 0.01, score", "b ~ Bernoulli(t); return b", 0.01, 1, SCORE),
    Case("coin squared, score", "b ~ Bernoulli(t); return (b + t)^2", 0.3, 2.8, SCORE),
    Case("coin, no baseline", "b ~ Bernoulli(t); return (b + t)^2", 0.3, 2.8, BARE),
    Case("Poisson 2.5", "k ~ Poisson(t); return k", 2.5, 1),
    Case("Poisson 0.1, square", "k ~ Poisson(t); return k^2", 0.1, 1.2),
    Case("Poisson 0.01, fourth power", "k ~ Poisson(t); return k^4", 0.01, poisson_slope(lambda k: k**4, 0.01)),
    Case("the same, regression", "k ~ Poisson(t); return k^4", 0.01, poisson_slope(lambda k: k**4, 0.01), REGRESSION),
    Case("Poisson 20, log", "k ~ Poisson(t); return log(k + 1)", 20, poisson_slope(lambda k: math.log(k + 1), 20)),
    Case("Geometric 0.3", "k ~ Geometric(t); return k", 0.3, -1 / 0.09),
    Case("Geometric 0.999", "k ~ Geometric(t); return k", 0.999, -1 / 0.999**2),
    Case("NegativeBinomial 3, 0.001", "k ~ NegativeBinomial(3, t); return k", 0.001, 3 / 0.999**2),
    Case("Binomial, score", "k ~ Binomial(10, t); return k^2", 0.3, 10 * 0.4 + 200 * 0.3, SCORE),
    Case("equal labels, regression", "k ~ Categorical([t, t, t]); return 0.1*k + 2*t", 0.35, 2, REGRESSION),
    # several sites, loops, branches, outcomes
    Case("rare coin and noise", "b ~ Bernoulli(t); z ~ Normal(0, 1); return 1000000*b + z", 1e-6, 1e6),
    Case(
        "mixture", "k ~ Categorical([t, 1 - t]); m = [0, 3]; x ~ Normal(m[k], 1); return x^2", 0.3, -9,
    ),
    Case("mixture, score", "k ~ Categorical([t, 1 - t]); m = [0, 3]; x ~ Normal(m[k], 1); return x^2", 0.3, -9, SCORE),
    Case("branch", "b ~ Bernoulli(t); if b { x ~ Normal(t, 1); y = x } else { y = 2 }; return y", 0.4, -1.2),
    Case("walk, credit", WALK, 0.3, sum(phi(0.3 * math.sqrt(k)) * math.sqrt(k) for k in range(1, 6))),
    Case("coins in a loop", "n = 0; for i in range(5) { b ~ Bernoulli(t); n = n + b*i }; return n", 0.3, 10, SCORE),
    Case("coins of an array", "b ~ Bernoulli(t*ones(4)); return sum(b)", 0.3, 4, SCORE),
    Case("waiting loop", "n = 0; g = 1; while g { b ~ Bernoulli(t); g = 1 - b; n = n + g }; return n", 0.5, -4),
    Case("Normal, then Poisson", "z ~ Normal(t, 1); k ~ Poisson(exp(z)); return k", 0, math.exp(0.5)),
    Case(
        "Normal, then Bernoulli", "z ~ Normal(t, 1); b ~ Bernoulli(sigmoid(z)); return b", 0.5,
        normal_mean(lambda z: torch.sigmoid(z) * torch.sigmoid(-z), 0.5),
    ),
    Case(
        "two sides of a branch", "x ~ Normal(t, 1); y = if x > 0 then x^2 else -x^2; return y", 0.5,
        2 * (2 * phi(0.5) + 0.5 * (1 - 2 * cdf(-0.5))),
    ),
    # one event changed
    Case("count, fork", "k ~ Poisson(t); return k^2", 2.5, 6, FORK),
    Case("coins in a loop, fork", "s = 0; for i in range(5) { b ~ Bernoulli(t); s = s + b }; return s^2", 0.3, 17, FORK),
    Case("rare coin, fork", "s = 0; for i in range(5) { b ~ Bernoulli(t); s = s + b }; return s^2", 0.01, 5.4, FORK),
    Case("step and noise, jump", "x ~ Normal(t, 1); z ~ Normal(0, 1); return (x > 0)*z^2", 0.3, phi(0.3), JUMP),
    Case("parameter in a condition", "x ~ Normal(0, 1); z ~ Normal(0, 1); return (x < t)*exp(z)", 0.5, phi(0.5) * math.exp(0.5)),
    Case("walk, jump", WALK, 0.3, sum(phi(0.3 * math.sqrt(k)) * math.sqrt(k) for k in range(1, 6)), JUMP),
]
BY_SCORE = (  # of what forks and jumps know for sure; scores are to be trusted, too
    "step", "event of 2 %", "event of 1 in 700", "event of 1 in 30,000", "two steps", "Poisson 2.5", "Poisson 0.1, square",
    "Poisson 0.01, fourth power", "Poisson 20, log", "Geometric 0.3", "Geometric 0.999", "NegativeBinomial 3, 0.001",
    "walk, credit", "waiting loop", "Normal, then Poisson", "two sides of a branch",
)
CASES += [replace(case, name=f"{case.name}, by score", options=SCORE) for case in CASES if case.name in BY_SCORE]


@dataclass(frozen=True)
class Cell:
    """Of the repetitions of one program with so many runs, the parts that cover, that carry a warning, and that do neither."""

    covered: float
    warned: float
    silent: float
    unwarned: float  # coverage among those without a warning (nan: there are few)
    repetitions: int

    def __str__(self) -> str:
        words = f"{100 * self.covered:.0f}"
        if self.warned >= 0.005:
            words += f" ({100 * self.warned:.0f} warned)"
        return f"**{words}**" if self.broken else words

    @property
    def broken(self) -> bool:
        """Whether too many intervals are wrong and nothing is said."""
        return self.silent > 1 - LEAST


def cell(case: Case, runs: int, repetitions: int, seed: int) -> Cell:
    """Repeat, and more often where it is not clear whether the promise is kept."""
    program = probrun.parse(f"param t = {case.t!r}\n{case.text}\n")
    covered = warned = silent = quiet = done = 0
    for times in ROUNDS:
        for number in range(done, times * repetitions):
            result = program.grad(samples=runs, seed=1_000_003 * number + runs + 7_368_787 * seed, **case.options)
            moments = result.gradient["t"]
            reach = student_quantile(runs - 1) * float(moments.se) + 2e-6 * abs(case.exact)  # what float32 rounds
            covers = abs(float(moments.mean) - case.exact) <= reach
            doubt = bool(result.warnings)
            covered, warned, silent, quiet = covered + covers, warned + doubt, silent + (not covers and not doubt), quiet + (not doubt)
        done = times * repetitions
        if silent / done <= 1 - LEAST - math.sqrt(LEAST * (1 - LEAST) / done):
            break
    clear = 1 - silent / quiet if quiet >= done / 5 else math.nan
    return Cell(covered / done, warned / done, silent / done, clear, done)


def written(rows: list[tuple[Case, list[Cell]]], repetitions: int, seconds: float) -> str:
    """The table and what it comes to."""
    lines = ["| program | exact | options | " + " | ".join(f"n = {runs:,}" for runs in RUNS) + " |", "|---|---|---|" + "---|" * len(RUNS)]
    for case, cells in rows:
        options = str(case.options.get("estimator", ""))
        text = case.text.replace("|", "\\|")
        lines.append(f"| {case.name}: `{text}`, t = {case.t:g} | {case.exact:.6g} | {options} | " + " | ".join(map(str, cells)) + " |")
    every = [one for _, cells in rows for one in cells]
    kept = sum(not one.broken for one in every)
    clear = [one for one in every if not math.isnan(one.unwarned)]
    within = sum(LEAST <= one.unwarned <= MOST for one in clear)
    error = 100 * math.sqrt(0.95 * 0.05 / repetitions)
    more = sum(one.repetitions > repetitions for one in every)
    lines += [
        "",
        f"{len(rows)} programs, {len(every)} cells, {repetitions} repetitions each: a coverage of 95 % is known to +- {error:.1f} % (one "
        f"standard deviation). The {more} cells that came near the limit with so many were settled with {ROUNDS[1] * repetitions:,} to "
        f"{ROUNDS[-1] * repetitions:,}. In {kept} cells the intervals that are wrong without a warning are at most 8 %. Among the runs without a "
        f"warning the coverage is within 92 to 98 % in {within} of {len(clear)} cells (those with a fifth of the runs or more), "
        f"below in {sum(one.unwarned < LEAST for one in clear)} and above in {sum(one.unwarned > MOST for one in clear)} (an interval "
        f"that is wide for a sure answer does no harm). It took {seconds / 60:.0f} minutes.",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows = []
    for case in CASES:
        if arguments.only in case.name:
            cells = [cell(case, runs, arguments.repetitions, arguments.seed) for runs in RUNS]
            rows.append((case, cells))
            silent = " ".join(f"{100 * one.silent:.1f}" for one in cells)
            print(f"{case.name:<28}", " | ".join(map(str, cells)), f"    broken {silent}", flush=True)
    table = written(rows, arguments.repetitions, time.perf_counter() - started)
    print(table.rpartition("\n")[2])
    if not arguments.only and not arguments.seed:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}", encoding="utf-8")
    return int(any(one.broken for _, cells in rows for one in cells))


if __name__ == "__main__":
    sys.exit(main())
