"""W1 to W7 at a thousand runs against lean torch by hand: `python benchmarks/lean.py` (`--write` for `docs/performance.md`).

The functions of `../shared/bench/handwritten_torch.py` without what surrounds them: a generator of one's own, made once, whose noise
goes into straight-line code, and one backward pass.  `expectation` is held against the derivative of the mean, `grad` (with standard
errors) against that of every run, its mean and its spread; all after a few calls, when blocks are replayed.  Both sides take turns in
one thread; CPU time, medians.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import probrun  # noqa: E402

PAGE = HERE.parent / "docs" / "performance.md"
MARKS = ("<!-- begin:lean -->", "<!-- end:lean -->")
MARK = 3.0  # the most, in geometric mean
WARM = 8  # calls: steps are written down by then
SLACK = 6.0  # standard errors
SCORE = "score(credit=false)"
OPTIONS: dict[str, Any] = {
    "W1": {}, "W2": {"estimator": "rsample"}, "W3": {"estimator": SCORE}, "W4": {"estimator": SCORE}, "W5": {"estimator": SCORE},
    "W6": {"estimator": {"b": SCORE, "x": "rsample"}}, "W7": {"estimator": SCORE},
}
POINTS = {"W1": 2.0, "W2": 2.0, "W3": 0.1, "W4": 0.5, "W5": 1.0, "W6": 0.3, "W7": 0.5}
DERIVATIVES = {"W1": 20.0, "W2": 28.0, "W3": 7.0, "W4": math.exp(-0.125) / math.sqrt(2 * math.pi), "W6": 1 + 3 * 0.09}
STEPS = 100
NOISE = torch.Generator()


def left_out(y: Tensor) -> Tensor:
    """`y` less the mean of the others."""
    return (y - y.mean()) * (len(y) / (len(y) - 1))


def coins(b: Tensor, p: Tensor) -> Tensor:
    """The log density of Bernoulli draws."""
    return torch.where(b, torch.log(p), torch.log1p(-p))


def w1(theta: Tensor, n: int) -> Tensor:
    z = torch.randn(n, generator=NOISE).mul_(2).add_(1)
    return theta * theta * (z + 4)


def w2(theta: Tensor, n: int) -> Tensor:
    z = theta + torch.randn(n, generator=NOISE).mul_(2)
    return theta * theta * (z + 4)


def w3(theta: Tensor, n: int) -> Tensor:
    point, u = theta.detach(), torch.rand(2, n, generator=NOISE)
    first, second = u[0] < 3 * point, u[1] < point
    return left_out(2 * first.float() + second.float()) * (coins(first, 3 * theta) + coins(second, theta))


def w4(theta: Tensor, n: int) -> Tensor:
    x = theta.detach() + torch.randn(n, generator=NOISE)
    return left_out((x > 0).float()) * (-0.5 * (x - theta) ** 2)


def w5(theta: Tensor, n: int) -> Tensor:
    k = torch.poisson(theta.detach().exp().expand(n), generator=NOISE)
    return left_out((k - 3) ** 2) * (k * theta - torch.exp(theta))


def w6(theta: Tensor, n: int) -> Tensor:
    b = torch.rand(n, generator=NOISE) < theta.detach()
    x = b.float() * theta + torch.randn(n, generator=NOISE)
    y = torch.where(b, x * x, torch.sin(x))
    return y + left_out(y.detach()) * coins(b, theta)


def w7(theta: Tensor, n: int) -> Tensor:
    p = torch.sigmoid(theta)
    ups = (torch.rand(n, STEPS, generator=NOISE) < (p.detach() if p.dim() == 0 else p.detach()[:, None])).float().sum(1)
    return left_out((2 * ups - STEPS) ** 2) * (ups * torch.log(p) + (STEPS - ups) * torch.log1p(-p))


LEAN: dict[str, Callable[[Tensor, int], Tensor]] = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "W6": w6, "W7": w7}


def by_hand(name: str, runs: int) -> dict[str, Callable[[int], Any]]:
    """The derivative of the mean, and the mean and standard error of those of all runs."""

    def mean(seed: int) -> float:
        theta = torch.tensor(POINTS[name], requires_grad=True)
        LEAN[name](theta, runs).mean().backward()  # type: ignore[no-untyped-call]
        assert theta.grad is not None
        return float(theta.grad)

    def each(seed: int) -> tuple[float, float]:
        theta = torch.full((runs,), POINTS[name], requires_grad=True)
        LEAN[name](theta, runs).sum().backward()  # type: ignore[no-untyped-call]
        assert theta.grad is not None
        spread, middle = torch.std_mean(theta.grad)
        return float(middle), float(spread) / math.sqrt(runs)

    return {"expectation": mean, "compiled": mean, "grad": each}


def by_probrun(name: str, runs: int) -> dict[str, Callable[[int], Any]]:
    """The same."""
    program = probrun.load(HERE / "workloads" / f"{name}.prob")

    def mean(seed: int, compile: bool = False) -> float:
        theta = torch.tensor(POINTS[name], requires_grad=True)
        program.expectation({"theta": theta}, samples=runs, seed=seed, compile=compile, **OPTIONS[name]).backward()
        assert theta.grad is not None
        return float(theta.grad)

    def each(seed: int) -> tuple[float, float]:
        found = program.grad({"theta": POINTS[name]}, samples=runs, seed=seed, pilot=False, **OPTIONS[name]).gradient["theta"]
        return float(found.mean), float(found.se)

    return {"expectation": mean, "compiled": partial(mean, compile=True), "grad": each}


def spent(call: Callable[[int], Any], calls: range) -> float:
    """Microseconds of CPU of one call."""
    begun = time.process_time()
    for seed in calls:
        call(seed)
    return (time.process_time() - begun) / len(calls) * 1e6


def check(name: str, call: Callable[[int], tuple[float, float]]) -> None:
    """A gradient with its standard error must be right."""
    mean, se = call(0)
    if name in DERIVATIVES and abs(mean - DERIVATIVES[name]) > SLACK * se:
        raise SystemExit(f"{name}: {mean} +- {se} is not {DERIVATIVES[name]}")


def measured(runs: int, rounds: int, calls: int) -> tuple[list[str], dict[str, float]]:
    """The rows of the table, and the geometric means of both ratios."""
    rows, ratios = [], {"expectation": [0.0] * 0, "compiled": [0.0] * 0, "grad": [0.0] * 0}
    for name in LEAN:
        ours, theirs = by_probrun(name, runs), by_hand(name, runs)
        cells = [name]
        for what in ratios:
            for side in (ours, theirs):
                spent(side[what], range(WARM))
            if what == "grad":
                check(name, ours[what])
                check(name, theirs[what])
            taken = [[spent(side[what], range(r * calls, (r + 1) * calls)) for side in (ours, theirs)] for r in range(rounds)]
            own, other = (statistics.median(times) for times in zip(*taken, strict=True))
            ratios[what].append(statistics.median(one / two for one, two in taken))
            cells += [f"{own:.0f}", f"{other:.0f}", f"{ratios[what][-1]:.1f}"]
        print(" ".join(cells), flush=True)
        rows.append("| " + " | ".join(cells) + " |")
    return rows, {what: statistics.geometric_mean(found) for what, found in ratios.items()}


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("--runs", type=int, default=1000)
    reading.add_argument("--rounds", type=int, default=15)
    reading.add_argument("--calls", type=int, default=20)
    reading.add_argument("--write", action="store_true", help="into docs/performance.md")
    asked = reading.parse_args()
    torch.set_num_threads(1)
    NOISE.manual_seed(1)
    rows, means = measured(asked.runs, asked.rounds, asked.calls)
    table = "\n".join([
        "|  | `expectation` and backward, us | by hand | ratio | with `compile`, us | by hand | ratio | `grad`, us | by hand | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|", *rows, "",
        f"{asked.runs} runs; ratio in geometric mean {', '.join(f'{mean:.1f}' for mean in means.values())} (mark: {MARK:.0f}).",
    ])
    print(table)
    if asked.write:
        page = PAGE.read_text()
        begin, end = (page.index(mark) for mark in MARKS)
        PAGE.write_text(page[: begin + len(MARKS[0])] + "\n" + table + "\n" + page[end:])


if __name__ == "__main__":
    main()
