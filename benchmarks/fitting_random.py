"""An adversary of `probrun fit`: random problems whose optimum is known in closed form, or by bisection.

    python benchmarks/fitting_random.py [--problems 500] [--seed 0]

Least squares through a random matrix, newsvendors (a kink) under four laws and at any scale, a policy and a count by their scores, an
ELBO whose optimum has no noise, an evidence, a median, a scale.  Every fit must converge within `FAR` of its standard errors; the
table shows how the errors spread in these (1 is right), how often 95 % intervals cover, and the runs of the search.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402

FAR = 5.5
CLOSE = 1e-5  # of an exact answer


@dataclass(frozen=True)
class Problem:
    """A program, what is wanted of it, and where that is."""

    kind: str
    text: str
    goal: dict[str, Any]
    truth: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)


def least_squares(r: random.Random) -> Problem:
    while True:
        d = r.randint(1, 4)
        rows = [[round(r.uniform(-1.5, 1.5), 2) for _ in range(d)] for _ in range(d + r.randint(0, 2))]
        matrix = torch.tensor(rows, dtype=torch.float64)
        if torch.linalg.cond(matrix) < 30:
            break
    b = [round(r.uniform(-5, 5), 2) for _ in rows]
    best = torch.linalg.lstsq(matrix, torch.tensor(b, dtype=torch.float64).unsqueeze(1)).solution.squeeze(1)
    text = f"data a[m, d]\ndata b[m]\nparam th[d] = 0\nz ~ Normal(matmul(a, th), {r.uniform(0.2, 2)!r})\nreturn sum((z - b)^2)"
    return Problem("least squares", text, {"minimize": True}, {"th": best.tolist()}, {"a": rows, "b": b})


def newsvendor(r: random.Random) -> Problem:
    price, size = r.uniform(2, 10), 10 ** r.uniform(-1, 4)
    cost = price * r.uniform(0.15, 0.85)
    share = torch.tensor(1 - cost / price, dtype=torch.float64)
    law, best = r.choice([
        (f"Exponential({1 / size!r})", -math.log(1 - share) * size), (f"Uniform(0, {size!r})", float(share) * size),
        (f"LogNormal({math.log(size)!r}, 0.5)", size * math.exp(0.5 * float(torch.special.ndtri(share)))),
        (f"Laplace({size!r}, {0.2 * size!r})", size * (1 + 0.2 * (math.log(2 * share) if share < 0.5 else -math.log(2 - 2 * share)))),
    ])
    text = f"param q = {size * r.uniform(0.5, 1.5)!r}\nd ~ {law}\nreturn {price!r}*min(q, d) - {cost!r}*q"
    return Problem(f"newsvendor {law.partition('(')[0]}", text, {"maximize": True}, {"q": best})


def policy(r: random.Random) -> Problem:
    reward, price = r.uniform(0.5, 3), r.uniform(0.1, 0.5)
    low, high = 0.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        up = reward * math.exp(-middle) / (1 + math.exp(-middle)) ** 2 > 2 * price * middle
        low, high = (middle, high) if up else (low, middle)
    text = f"param a = {r.uniform(-1, 1)!r}\nb ~ Bernoulli(sigmoid(a)) using score\nx ~ Normal(0, 1)\nreturn {reward!r}*b + 0.3*x - {price!r}*a^2"
    return Problem("policy", text, {"maximize": True}, {"a": low})


def elbo(r: random.Random) -> Problem:
    y, s = r.uniform(-3, 3), r.uniform(0.3, 2)
    v = 1 / (1 + 1 / s**2)
    text = f"param m = 0\nparam w in (0, inf) = 1\nz ~ Normal(0, 1) via Normal(m, w)\nobserve {y!r} ~ Normal(z, {s!r})\nreturn z"
    return Problem("ELBO", text, {"maximize": "elbo"}, {"m": v * y / s**2, "w": math.sqrt(v)})


def evidence(r: random.Random) -> Problem:
    y = r.uniform(-2, 2)
    text = f"param m = 0\nz ~ Normal(m, 1)\nobserve {y!r} ~ Normal(z, {r.uniform(0.5, 2)!r})\nreturn z"
    return Problem("evidence", text, {"maximize": "evidence"}, {"m": y})


def count(r: random.Random) -> Problem:
    c = r.uniform(1, 6)
    text = f"param l in (0, inf) = {r.uniform(0.5, 4)!r}\nk ~ Poisson(l) using score\nreturn (k - {c!r})^2"
    return Problem("count", text, {"minimize": True}, {"l": c - 0.5})


def median(r: random.Random) -> Problem:
    m = r.uniform(-3, 3)
    return Problem("median", f"param q = 0\nx ~ Normal({m!r}, {r.uniform(0.2, 2)!r})\nreturn abs(x - q)", {"minimize": True}, {"q": m})


def scale(r: random.Random) -> Problem:
    s = r.uniform(0.2, 5)
    text = f"param s in (0, inf) = {r.uniform(0.3, 3)!r}\nx ~ Normal(0, s)\nreturn x^2 - 2*{s!r}*abs(x)*sqrt(pi/2)"
    return Problem("scale", text, {"minimize": True}, {"s": s})


KINDS: list[Callable[[random.Random], Problem]] = [least_squares, newsvendor, policy, elbo, evidence, count, median, scale]


def flat(values: Any) -> list[float]:
    return [float(entry) for value in values for entry in torch.as_tensor(value, dtype=torch.float64).reshape(-1)]


def main() -> int:
    """Try many; the status is 1 where any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    offs: dict[str, list[float]] = {}
    runs: dict[str, list[int]] = {}
    wrong, began = 0, time.perf_counter()
    for seed in range(given.seed, given.seed + given.problems):
        r = random.Random(seed)
        problem = r.choice(KINDS)(r)
        fit = probrun.parse(problem.text).fit(data=problem.data or None, seed=seed, **problem.goal)
        found = [fit.parameters[name] for name in problem.truth]
        values, errors, truth = flat(one.value for one in found), flat(one.se for one in found), flat(problem.truth.values())
        if fit.exact:
            off = [0.0 if abs(a - b) < CLOSE * (1 + abs(b)) else math.inf for a, b in zip(values, truth, strict=True)]
        else:
            off = [(a - b) / se for a, b, se in zip(values, truth, errors, strict=True)]
            offs.setdefault(problem.kind, []).extend(off)
            runs.setdefault(problem.kind, []).append(fit.search_runs)
        if not fit.converged or not max(map(abs, off)) < FAR:
            wrong += 1
            print(f"-- seed {seed}: {values} +- {errors}, not {truth}: {fit.reason}\n{problem.text}\n", flush=True)
    print(f"{'problem':<24} {'fits':>5} {'spread':>7} {'covered':>8} {'runs':>8} {'at most':>8}")
    for kind, row in sorted(offs.items()):
        covered = sum(abs(off) < 1.96 for off in row) / len(row)
        print(f"{kind:<24} {len(runs[kind]):>5} {statistics.pstdev(row):>7.2f} {covered:>8.0%} {statistics.mean(runs[kind]):>8.0f} {max(runs[kind]):>8}")
    print(f"{given.problems} problems, {wrong} wrong, {time.perf_counter() - began:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
