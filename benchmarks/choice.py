"""How good is the automatic choice?  `python benchmarks/choice.py` rewrites the table of `docs/choice.md`.

For every program all plans of `probrun compare` are run often enough to know their bias and spread well; the error of a plan at
the program's number of runs n follows: sqrt(bias^2 + sd^2/n), with the bias's own uncertainty taken off.  Then the
program is differentiated with n runs and several seeds, and the error of what probrun chose by itself is compared with the best.
Exact gradients come from closed forms, enumeration or quadrature (`runtime/estimates/oracle.py`), never from the estimators compared.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import probrun
from probrun.runtime.blocks.settings import Settings
from probrun.runtime.estimates.compare import Row
from probrun.runtime.estimates.oracle import answer

PAGE = Path(__file__).parent.parent / "docs" / "choice.md"
MARKS = ("<!-- begin:table -->", "<!-- end:table -->")
SEEDS = 5
WITHIN = 1.2


@dataclass(frozen=True)
class Case:
    """A program, its parameters, the number of runs asked for, and the gradient's norm-free exact value where it is known."""

    name: str
    text: str
    parameters: dict[str, object]
    samples: int = 10_000
    exact: Callable[[], list[float]] | None = None
    measured_with: int = 40_000


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def walk_reward(theta: float, steps: int) -> float:
    """d/dtheta of E[number of t with x_t > 0], x_t ~ Normal(theta t, t)."""
    return sum(phi(theta * math.sqrt(t)) * math.sqrt(t) for t in range(1, steps + 1))


def square_of_mean(theta: float, count: int) -> float:
    """d/dtheta of E[mean(b)^2] for `count` Bernoullis."""
    return 2 * theta + (1 - 2 * theta) / count


CASES = [
    Case("two Bernoullis", "x = 2*Bernoulli(3*theta) + Bernoulli(theta)", {"theta": 0.1}),
    Case("parameterised normal", "z ~ Normal(theta, 2); y = theta^2*(z + 4)", {"theta": 2.0}),
    Case("step", "x ~ Normal(theta, 1); y = x > 0", {"theta": 0.5}),
    Case("Poisson squared", "k ~ Poisson(theta); y = k^2", {"theta": 3.0}),
    Case("one minus a Bernoulli and noise", "b ~ Bernoulli(theta); e ~ Normal(0, 0.1); y = theta*(1 - b) + e*theta", {"theta": 0.3}),
    Case(
        "walk of 100, reward at every step",
        "x = 0; total = 0; for t in range(100) { z ~ Normal(theta, 1); x = x + z; total = total + (x > 0) }; return total",
        {"theta": 0.1}, exact=lambda: [walk_reward(0.1, 100)],
    ),
    Case(
        "walk of 100, reward at the end",
        "x = 0; for t in range(100) { z ~ Normal(theta, 1); x = x + z }; return x > 5",
        {"theta": 0.1}, exact=lambda: [10 * phi(0.5)],
    ),
    Case("thirty Bernoullis, smooth", "n = 0; for t in range(30) { b ~ Bernoulli(theta); n = n + b }; return exp(n/10)", {"theta": 0.3},
         exact=lambda: [30 * (math.exp(0.1) - 1) * (1 + 0.3 * (math.exp(0.1) - 1)) ** 29]),
    Case("100 agents, mean squared", "b ~ Bernoulli(theta*ones(100)); y = mean(b)^2", {"theta": 0.3},
         exact=lambda: [square_of_mean(0.3, 100)]),
    Case("1000 agents, mean squared, 100 runs", "b ~ Bernoulli(theta*ones(1000)); y = mean(b)^2", {"theta": 0.3}, 100,
         exact=lambda: [square_of_mean(0.3, 1000)]),
    Case("1000 agents, sum", "b ~ Bernoulli(theta*ones(1000)); y = sum(b)", {"theta": 0.3}, 1000, exact=lambda: [1000.0], measured_with=10_000),
    Case(
        "mixture",
        "k ~ Categorical(softmax([a, 0, 1])); m = [0, 1, 5]; x ~ Normal(m[k] + a, 1); y = x^2", {"a": 0.3},
    ),
    Case(
        "branches",
        "x ~ Normal(theta, 1); if x > 0 { b ~ Bernoulli(sigmoid(theta)); if b { y = x^2 } else { y = 1 } } else { y = -x }",
        {"theta": 0.5},
    ),
    Case("geometric loop", "n = 0; g = 1; while g { b ~ Bernoulli(theta); g = 1 - b; n = n + g }; y = n", {"theta": 0.5}, exact=lambda: [-4.0]),
    Case("root of the absolute value", "x ~ Normal(theta, 1); y = sqrt(abs(x))", {"theta": 0.3}),
    Case("normal, then Bernoulli", "x ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(x)); y = b*x", {"theta": 0.5}),
    Case("Gamma, logarithm", "x ~ Gamma(theta, 1); y = log(x)", {"theta": 2.0}),
    Case("Beta, then Binomial", "q ~ Beta(theta, 2); n ~ Binomial(10, q); y = n^2", {"theta": 2.0}),
    Case("ten normals", "x ~ Normal(theta*ones(10), 1); y = dot(x, x)", {"theta": 0.5}, exact=lambda: [10.0]),
    Case(
        "ELBO of a normal",
        "param m = 0.5; param s in (0, inf) = 0.8; z ~ Normal(m, s); "
        "y = logpdf(Normal(0, 1), z) + logpdf(Normal(z, 0.5), 1) - logpdf(Normal(m, s), z); return y",
        {}, exact=lambda: [-0.5 + (1 - 0.5) / 0.25, -0.8 - 0.8 / 0.25 + 1 / 0.8],
    ),
    Case("recursion", "fn f(p) { b ~ Bernoulli(p); if b { return 0 }; e ~ Exponential(1); return e + f(p) }; y = f(theta)", {"theta": 0.4},
         exact=lambda: [-1 / 0.16]),
    Case(
        "threshold count", "k ~ Poisson(theta); b ~ Binomial(5, 0.3); y = if k > b then k else b^2", {"theta": 2.0},
    ),
]


def exact_gradient(case: Case) -> torch.Tensor:
    """All entries, in the order of the parameters."""
    if case.exact is not None:
        return torch.tensor(case.exact(), dtype=torch.float64)
    program = probrun.parse(case.text)
    method, found = answer(program.resolved, case.parameters, {}, Settings(seed=0, dtype="float64"))
    if method == "differences":
        raise ValueError(f"{case.name} needs a closed form")
    return torch.cat([moments.mean.reshape(-1) for rows in found.values() for moments in rows.values()])


def flat(gradient: dict[str, dict[str, probrun.runtime.blocks.moments.Moments]], field: str) -> torch.Tensor:
    return torch.cat([getattr(moments, field).reshape(-1).cpu() for rows in gradient.values() for moments in rows.values()])


def error_of(row: Row, exact: torch.Tensor, runs: int, samples: int) -> tuple[float, float, float]:
    """Bias (0 where there is none by right), sd of one run, and error at so many runs, over all entries."""
    sd = float(flat(row.gradient, "sd").norm())
    bias = 0.0
    if row.biased:
        off = float((flat(row.gradient, "mean") - exact).norm())
        bias = math.sqrt(max(off**2 - sd**2 / runs, 0.0))
    return bias, sd, math.sqrt(bias**2 + sd**2 / samples)


def rows_of(case: Case) -> tuple[list[str], float]:
    """The lines of a program, and the error of the automatic choice over the best one's."""
    program = probrun.parse(case.text)
    exact = exact_gradient(case)
    table = program.compare(case.parameters, samples=case.measured_with, seed=1)
    figures = {row.label: error_of(row, exact, case.measured_with, case.samples) for row in table.rows}
    usual = {label: figure for label, figure in figures.items() if "no credit" not in label}
    best = min(usual, key=lambda label: usual[label][2])
    chosen = []
    for seed in range(SEEDS):
        again = program.grad(case.parameters, samples=case.samples, seed=seed)
        key = tuple((site.name, site.estimator, tuple(sorted(site.options.items()))) for site in again.sites)
        label = next((row.label for row in table.rows if row.sites == key), "another plan")
        chosen.append(label)
        if label not in figures:
            moments = again.gradients
            sd = float(flat(moments, "sd").norm())
            off = float((flat(moments, "mean") - exact).norm()) if again.biased else 0.0
            figures[label] = off, sd, math.hypot(off, sd / math.sqrt(case.samples))
            usual[label] = figures[label]
    best = min(usual, key=lambda label: usual[label][2])
    ratios = [1.0 if label == best else math.inf if usual[best][2] == 0 else figures[label][2] / usual[best][2] for label in chosen]
    ratio = sorted(ratios)[len(ratios) // 2]
    lines = []
    for row in table.rows:
        bias, sd, error = figures[row.label]
        times = chosen.count(row.label)
        mark = f"{times}/{SEEDS}" if times else ""
        lines.append(
            f"| {case.name if row is table.rows[0] else ''} | {case.samples if row is table.rows[0] else ''} | {row.label} "
            f"| {bias:.2g} | {sd:.3g} | {1e6 * row.seconds / case.measured_with:.2g} | {error:.2g} | {mark} "
            f"| {'best' if row.label == best else ''} |"
        )
    if "another plan" in figures:
        bias, sd, error = figures["another plan"]
        times = chosen.count("another plan")
        lines.append(f"|  |  | another plan | {bias:.2g} | {sd:.3g} |  | {error:.2g} | {times}/{SEEDS} | {'best' if best == 'another plan' else ''} |")
    return lines, ratio


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="part of a program's name")
    arguments = parser.parse_args()
    head = [
        "| program | runs | estimator | bias | sd of a run | us per run | error | chosen | in hindsight |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines, ratios = [], {}
    for case in CASES:
        if arguments.only and arguments.only not in case.name:
            continue
        found, ratios[case.name] = rows_of(case)
        lines += found
        print("\n".join(found), f"\nratio {ratios[case.name]:.2f}", flush=True)
    good = sum(ratio <= WITHIN for ratio in ratios.values())
    worst = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items() if ratio > WITHIN)
    summary = (
        f"The error of the automatic choice (the median of {SEEDS} seeds) is within {WITHIN} times the best one's on {good} of "
        f"{len(ratios)} programs" + (f"; the others: {worst}." if worst else ".")
    )
    print(summary)
    if not arguments.only:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        PAGE.write_text("\n".join([f"{before}{MARKS[0]}", summary, "", *head, *lines, f"{MARKS[1]}{after}"]), encoding="utf-8")


if __name__ == "__main__":
    main()
