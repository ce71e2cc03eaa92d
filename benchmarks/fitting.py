"""`probrun fit` on problems whose optimum is known, beside an Adam tuned by hand to the same accuracy.

    python benchmarks/fitting.py [NAME...] [--write]

Every fit is made from three seeds.  `error` is the largest |fitted - true| in standard errors of the fit (exact ones: itself), `runs`
what the search took (without the looks at its ends and the standard errors), `by hand` the fewest runs with which Adam over constant
rates and samples (the grid of `GRID`), averaging its last half, comes within twice the fit's standard error from all three seeds: its
tuning is not counted.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import probrun

MARKS = ("<!-- begin:table -->", "<!-- end:table -->")
SEEDS = (1, 2, 3)
NO_NOISE = 1e-12  # a standard error
GRID = [(rate, samples) for rate in (0.3, 0.1, 0.03) for samples in (100, 1000, 10_000)]
STEPS = (25, 50, 100, 200, 400, 800)


@dataclass(frozen=True)
class Problem:
    """A program, its goal and its optimum."""

    text: str
    goal: str
    truth: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0  # of the hand-tuned rates
    of: str | None = None


def logistic() -> tuple[dict[str, Any], dict[str, Any]]:
    """Data, and the maximum of its likelihood by Newton's method."""
    noise = torch.Generator().manual_seed(0)
    x = torch.cat([torch.ones(200, 1), torch.randn(200, 2, generator=noise)], 1).double()
    t = torch.bernoulli(torch.sigmoid(x @ torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)), generator=noise)
    w = torch.zeros(3, dtype=torch.float64)
    for _ in range(30):
        p = torch.sigmoid(x @ w)
        w = w + torch.linalg.solve(x.T @ (x * (p * (1 - p)).unsqueeze(1)), x.T @ (t - p))
    return {"x": x.tolist(), "t": t.tolist()}, {"w": w.tolist()}


DATA, WEIGHTS = logistic()
A = next(a for a in (i / 1e5 for i in range(100_000)) if math.exp(-a) / (1 + math.exp(-a)) ** 2 <= a / 2)
SEEN = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def best(objective: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is greatest, by golden sections."""
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-10:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if objective(left) > objective(right) else (left, high)
    return (low + high) / 2


def epidemic(b: float) -> float:
    """The likelihood of twelve infections on the second day."""
    def law(k: int, n: int, p: float) -> float:
        return math.comb(n, k) * p**k * (1 - p) ** (n - k)

    first = 1 - math.exp(-b * 3 / 100)
    return sum(law(k, 97, first) * law(12, 97 - k, 1 - math.exp(-b * k / 100)) for k in range(86))


def markov(a: float) -> float:
    """The evidence of the hidden chain."""
    states = [0.5, 0.5]
    for seen in SEEN:
        states = [
            sum(states[z] * (a if x == z else 1 - a) for z in (0, 1)) * (0.2 + 0.6 * x if seen else 0.8 - 0.6 * x) for x in (0, 1)
        ]
    return sum(states)


SCHOOLS = [28.0, 8, -3, 7, -1, 1, 18, 12], [15.0, 10, 16, 11, 9, 11, 10, 18]  # Rubin 1981: effects and their standard errors
PRECISIONS = [1 / (25 + sigma**2) for sigma in SCHOOLS[1]]
MEAN = sum(p * y for p, y in zip(PRECISIONS, SCHOOLS[0], strict=True)) / sum(PRECISIONS)
EPIDEMIC, MARKOV = best(epidemic, 0.01, 2.99), best(markov, 0.01, 0.99)
PROBLEMS = {
    "quadratic": Problem("param theta = 0.5\nz ~ Normal(theta, 2)\nreturn (z - 3)^2", "minimize", {"theta": 3.0}),
    "newsvendor": Problem(
        "param q = 60\nd ~ Normal(100, 20)\nreturn 10*min(q, d) - 4*q", "maximize", {"q": 105.06694}, scale=60.0,
    ),
    "simplex": Problem(
        "param w[3] in simplex = [0.4, 0.3, 0.3]\nx ~ Normal(w, 1)\nreturn (x[0] - 0.5)^2 + (x[1] - 0.3)^2 + (x[2] - 0.2)^2",
        "minimize", {"w": [0.5, 0.3, 0.2]},
    ),
    "elbo": Problem(
        "param m = 0\nparam s in (0, inf) = 1\nz ~ Normal(m, s)\n"
        "return logpdf(Normal(0, 1), z) + logpdf(Normal(z, 1), 1.2) - logpdf(Normal(m, s), z)",
        "maximize", {"m": 0.6, "s": math.sqrt(0.5)},
    ),
    "threshold": Problem(
        "param theta = 0.2\nx ~ Normal(theta, 1)\nif x > 0 { y = 2 } else { y = 0 }\nreturn y - theta^2/2", "maximize",
        {"theta": 0.6471428198047856},  # 2 phi(theta) = theta
    ),
    "policy": Problem(
        "param a[2] = [0, 0]\nr = 0\nfor t in range(2) {\n  go ~ Bernoulli(sigmoid(a[t])) using score\n"
        "  r = r + (if go then 1 else 0)*(if t == 0 then 1 else -1)\n}\nreturn r - 0.25*(a[0]^2 + a[1]^2)",
        "maximize", {"a": [A, -A]},
    ),
    "logistic": Problem(
        "data x[n, d]\ndata t[n]\nparam w[d] = 0\nreturn sum(logpdf(Bernoulli(logits=matmul(x, w)), t))", "maximize", WEIGHTS, DATA,
    ),
    "evidence": Problem(  # of m: the mean of the data, shrunk by nothing
        "param m = 0\ndata y[n]\nz ~ Normal(zeros(n), 1)\nobserve y ~ Normal(m + z, 1) \n", "maximize", {"m": 0.75},
        {"y": [0.2, 1.3]}, of="evidence",
    ),
    "guide": Problem(
        "param m = 0\nparam s in (0, inf) = 1\nz ~ Normal(0, 1) via Normal(m, s)\nobserve 1.2 ~ Normal(z, 1)\nreturn z", "maximize",
        {"m": 0.6, "s": math.sqrt(0.5)}, of="elbo",
    ),
    "epidemic": Problem(  # infections of two days in counts; the likelihood of the second is exact
        "param b in (0, 3) = 0.5\ns = 97\ni = 3\nk ~ Binomial(s, 1 - exp(-b*i/100))\nobserve 12 ~ Binomial(s - k, 1 - exp(-b*k/100))\n"
        "return b", "maximize", {"b": EPIDEMIC}, of="evidence",
    ),
    "hidden Markov": Problem(
        "param a in (0, 1) = 0.9\ndata y[T]\nz ~ Bernoulli(0.5)\nfor t in range(T) {\n  z ~ Bernoulli(if z > 0 then a else 1 - a)\n"
        "  observe y[t] ~ Bernoulli(0.2 + 0.6*z)\n}\nreturn z", "maximize", {"a": MARKOV}, {"y": SEEN}, of="evidence",
    ),
    "8 schools": Problem(  # whose effects spread by 5: the likelihood of their mean
        "param mu = 0\ndata y[8]\ndata sigma[8]\ntheta ~ Normal(mu*ones(8), 5)\nobserve y ~ Normal(theta, sigma)\n", "maximize",
        {"mu": MEAN}, {"y": SCHOOLS[0], "sigma": SCHOOLS[1]}, of="evidence",
    ),
    "chain": Problem(  # each of two links holds with p, and costs: p^2 - p^3 is largest at 2/3
        "param p in (0, 1) = 0.3\na ~ Bernoulli(p)\nb ~ Bernoulli(p)\nreturn (if a and b then 1 else 0)*(1 - p)", "maximize",
        {"p": 2 / 3},
    ),
}


def entries(values: Mapping[str, Any]) -> torch.Tensor:
    return torch.cat([torch.as_tensor(value, dtype=torch.float64).reshape(-1) for value in values.values()])


def by_hand(problem: Problem, truth: torch.Tensor, wanted: torch.Tensor) -> int | None:
    """The fewest runs of the grid that do it from all seeds."""
    trials = sorted((samples * steps, rate, samples, steps) for rate, samples in GRID for steps in STEPS)
    for runs, rate, samples, steps in trials:
        if runs > 1_000_000:
            return None
        if all(adam(problem, truth, wanted, rate, samples, steps, seed) for seed in SEEDS):
            return runs
    return None


def adam(
    problem: Problem, truth: torch.Tensor, wanted: torch.Tensor, rate: float, samples: int, steps: int, seed: int
) -> bool:
    """torch's own Adam, in one's own loop, in natural coordinates (a simplex by softmax)."""
    from probrun.runtime.estimates.binding import bind_values
    from probrun.runtime.fitting.coordinates import Coordinates

    program = probrun.parse(problem.text)
    bound = bind_values(program.resolved, {}, problem.data, torch.float64, torch.device("cpu"))[0]
    coordinates = Coordinates.of(program.resolved.parameters, bound, program.parameters)
    point = coordinates.inward(bound).requires_grad_()
    optimiser = torch.optim.Adam([point], lr=rate * problem.scale)
    late = []
    for step in range(steps):
        optimiser.zero_grad()
        value = program.expectation(
            coordinates.moved(point), data=problem.data, samples=samples, seed=seed * 100_003 + step, of=problem.of, unbiased=True
        )
        (value if problem.goal == "minimize" else -value).backward()
        optimiser.step()
        if step >= steps // 2:
            late.append(point.detach().clone())
    found = entries(coordinates.outward(torch.stack(late).mean(0)))
    return bool(((found - truth).abs() <= wanted).all())


def written(rows: list[list[str]]) -> None:
    """The table of `docs/fitting.md`."""
    page = Path(__file__).parent.parent / "docs" / "fitting.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    lines = ["| problem | by | off by | std. error | runs | Adam by hand |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    page.write_text(before + MARKS[0] + "\n" + "\n".join(lines) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2], encoding="utf-8")


def main(names: list[str]) -> None:
    write, names, table = "--write" in names, [name for name in names if name != "--write"], []
    print(f"{'problem':<12} {'optimizer':<9} {'converged':<9} {'error':>8} {'std. error':>11} {'runs':>9} {'by hand':>9} {'seconds':>8}")
    for name in names or list(PROBLEMS):
        problem = PROBLEMS[name]
        truth = entries(problem.truth)
        began = time.perf_counter()
        wish: dict[str, Any] = {problem.goal: problem.of or True}
        fits = [probrun.parse(problem.text).fit(data=problem.data, seed=seed, **wish) for seed in SEEDS]
        seconds = (time.perf_counter() - began) / len(SEEDS)
        rows = []
        for found in fits:
            apart = (entries({key: found.parameters[key].value for key in problem.truth}) - truth).abs()
            error = entries({key: found.parameters[key].se for key in problem.truth})
            rows.append((apart, error))
        sure = torch.stack([error for _, error in rows]).amax(0)
        exact, still = fits[0].exact, bool((sure < NO_NOISE).all())  # slopes may have none though values have
        wanted = 2 * sure
        hand = None if exact or still else by_hand(problem, truth, wanted)
        runs = max(found.search_runs for found in fits)
        worst = max(float((apart if exact or still else apart / error).max()) for apart, error in rows)
        told = "exact" if exact else "no noise" if still else f"{float(sure.max()):.2g}"
        table.append([
            name, fits[0].optimizer, f"{worst:.1e} (absolute)" if exact or still else f"{worst:.1f}", told,
            f"{runs:,}" if not exact else f"{runs} exact looks", told if exact or still else f"{hand:,}" if hand else "> 1,000,000",
        ])
        print(
            f"{name:<12} {fits[0].optimizer:<9} {sum(found.converged for found in fits)} of 3    "
            f"{worst:8.1e} {told:>11} {runs:9d} {told if exact or still else hand or '> 10^6':>9} {seconds:8.2f}", flush=True,
        )
    if write and not names:
        written(table)


if __name__ == "__main__":
    main(sys.argv[1:])
