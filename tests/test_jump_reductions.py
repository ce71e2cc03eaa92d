"""Jumps of what is made of several numbers of a draw: order statistics, spreads, logarithms of sums, products, slices."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

import probrun
from probrun.runtime.arrays import leave_one_out

Z = 5.0
T = 0.4
NORMAL, BELOW = stats.norm.pdf, special.ndtr
JUMP = {"estimator": "jump", "pilot": False, "unbiased": True}


def slope(f: object) -> float:
    return (f(T + 1e-4) - f(T - 1e-4)) / 2e-4  # type: ignore[operator]


def mean(f: object, *ends: float) -> float:
    """Of a function of a standard normal number, smooth between these ends."""
    points = [-10.0, *sorted(ends), 10.0]
    return sum(
        float(integrate.quad(lambda z: f(z) * NORMAL(z), low, high, epsabs=1e-12, limit=400)[0])  # type: ignore[operator]
        for low, high in pairwise(points)
    )


def above(least: int, c: float, locs: list[float]) -> float:
    """P(at least so many of independent Normal(loc, 1) are above c)."""
    counts = np.array([1.0])
    for loc in locs:
        p = BELOW(loc - c)
        counts = np.convolve(counts, [1 - p, p])
    return float(counts[least:].sum())


def between(q: float, c: float) -> float:
    """P((1 - q) min + q max > c) of two standard normal numbers."""
    def given(x: float) -> float:
        low, high = (c - (1 - q) * x) / q, (c - q * x) / (1 - q)
        return 1 - BELOW(max(low, x)) + max(0.0, BELOW(x) - BELOW(high))

    return mean(given, c)


def first(locs: list[float], k: int) -> float:
    """P(the k-th of Normal(loc, 1) is the largest)."""
    return mean(lambda z: math.prod(BELOW(z + locs[k] - loc) for place, loc in enumerate(locs) if place != k))


CHI = stats.chi(4)
V3 = "v ~ Normal([t, 0, 1], 1); "
PROGRAMS = [
    (V3 + "return sort(v)[1] > t", slope(lambda t: above(2, t, [t, 0, 1]))),
    (V3 + "return sort(v)[-1] > 2*t", slope(lambda t: above(1, 2 * t, [t, 0, 1]))),
    (V3 + "return sum(sort(v) > t)", slope(lambda t: BELOW(-t) + BELOW(1 - t))),
    (V3 + "return quantile(v, 0.5) > t", slope(lambda t: above(2, t, [t, 0, 1]))),
    ("z ~ Normal(0, 1); v ~ Normal(zeros(3), 1); return quantile(v, 0.5) > z - t", slope(lambda t: mean(lambda z: above(2, z - t, [0, 0, 0])))),
    ("v ~ Normal(zeros(2), 1); return quantile(v, 0.25) > t", slope(lambda t: between(0.25, t))),
    ("x ~ Normal(0, 1); y ~ Normal(0, 1); return quantile([x, y], 0.25) > t", slope(lambda t: between(0.25, t))),
    ("x ~ Normal(0, 1); y ~ Normal(t, 1); return sort([x, 2*t, y])[1] > 1", slope(lambda t: above(2, 1, [0, t]))),
    ("v ~ Normal(zeros(3), t); return max(v) - min(v) > 1", slope(lambda t: 1 - 3 * mean(lambda x: (BELOW(x + 1 / t) - BELOW(x))**2))),
    ("v ~ Normal(zeros(3), 1); s = sort(v); return s[2] - s[0] > t", slope(lambda t: 1 - 3 * mean(lambda x: (BELOW(x + t) - BELOW(x))**2))),
    ("v ~ Normal(t*ones(5), 1 + t); return var(v) > 2", slope(lambda t: CHI.sf((8 / (1 + t)**2)**0.5))),
    ("v ~ Normal(zeros(5), 1); return std(2*v - t) > 1 + t", slope(lambda t: CHI.sf(1 + t))),
    ("b ~ Bernoulli(0.5); z ~ Normal(0, 1); v ~ Normal(zeros(5), 1); return b*std(v) + z > t",
     slope(lambda t: (BELOW(-t) + CHI.expect(lambda s: BELOW(s / 2 - t))) / 2)),
    ("v ~ Normal(zeros(2), 1); return logsumexp(v) > t", slope(lambda t: 1 - mean(lambda x: BELOW(math.log(math.expm1(t - x)) + x) if x < t else 0, t))),
    ("v ~ Normal([0, t], 1); return v[0]*v[1] > 0.5", slope(lambda t: mean(lambda x: BELOW(t - 0.5 / x) if x > 0 else BELOW(0.5 / x - t) if x < 0 else 0, 0.0))),
    ("v ~ Normal([t, 0, 1], 1); return sum(v^2) > 2", slope(lambda t: stats.ncx2.sf(2, 3, 1 + t * t))),
    ("v ~ Normal([t, 0, 1], 1); return dot(v, v) > 2", slope(lambda t: stats.ncx2.sf(2, 3, 1 + t * t))),
    ("v ~ Exponential(ones(2)); return prod(v) > t", slope(lambda t: integrate.quad(lambda x: math.exp(-x - t / x), 0, 60)[0])),
    ("v ~ Normal(zeros(2), 1); return sum(relu(v)) > t", slope(lambda t: mean(lambda x: BELOW(max(x, 0) - t) if max(x, 0) < t else 1, 0.0, t))),
    ("v ~ Normal([0, t, 1, 0, 2*t], 1); return mean(v[0:2]) - mean(v[2:5]) > t",
     slope(lambda t: BELOW((t / 2 - (1 + 2 * t) / 3 - t) / (1 / 2 + 1 / 3)**0.5))),
    ("v ~ Normal(zeros(4), 1); return sum(v[-2:]) > t", -NORMAL(T / 2**0.5) / 2**0.5),
    ("v ~ Normal(zeros(4), 1); return cumsum(v)[2] > t", -NORMAL(T / 3**0.5) / 3**0.5),
    (V3 + "return argmax(v)", slope(lambda t: first([t, 0, 1], 1) + 2 * first([t, 0, 1], 2))),
    (V3 + "k = argmin(v); if k > 0 { return k }; return t", slope(
        lambda t: first([-t, 0, -1], 1) + 2 * first([-t, 0, -1], 2) + t * first([-t, 0, -1], 0))),
    ("v ~ Normal(zeros(3), 1); return argmax(relu(v - t))", -3 * BELOW(T)**2 * NORMAL(T)),  # a kink where it jumps: 0 was told
    ("v ~ Normal(t*ones(3), 1); return sum(relu(v)) > 0", 3 * BELOW(-T)**2 * NORMAL(T)),
    ("x ~ Normal(0, 1); v = [x, t, 1 - t]; return argmax(v)", -2 * NORMAL(0.6)),
    ("v ~ Normal(zeros(5), 1); return floor(2*sort(v)[2] + t)", 1.0),
    ("v ~ Normal(zeros(4), 1); return floor(quantile(v, 0.5) + t)", 1.0),
]


@pytest.mark.parametrize(("program", "right"), PROGRAMS)
def test_what_is_made_of_several_numbers(program: str, right: float) -> None:
    found = probrun.parse(f"param t = {T}\n{program}").grad(samples=40_000, seed=1, **JUMP).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-5 * (1 + abs(right)) and float(found.se) < 0.05 * (1 + abs(right))


@pytest.mark.parametrize(("program", "words"), [
    ("v ~ Normal(zeros(5), 1); return quantile(v, 0.6) - quantile(v, 0.5) > t", "next to each other"),
    ("v ~ Normal(zeros(3), 1); return max(v) - sort(v)[2] > t - 1", "next to each other"),  # the same number: 0
    ("v ~ Normal(zeros(5), 1); return mean(v)/std(v) > t", "cannot be solved"),
    ("v ~ Normal(zeros(5), 1); return 1/sum(tanh(v)) > t", "divided by"),
    ("v ~ Normal(zeros(5), 1); return mean(v) + quantile(v, 0.5) > t", "cannot be solved"),
    ("v ~ Normal(zeros(5), 1); return v[0] + v[-5] > t", "not told by its sums"),  # one number twice
    ("v ~ Normal(zeros(5), 1); return sum(v[0:3]) + sum(v[1:5]) > t", "cannot be solved"),
    ("v ~ Normal(zeros(5), 1); return max(relu(v)) + std(relu(v)) > t", "cannot be solved"),
    ("v ~ Normal([[0, t], [1, 2]], 1); return sum(argmax(v))", "as many places as an array"),
    ("v ~ Normal(zeros(5), 1); return (quantile(v, 0.25) > t) + 2*(var(v) > t) + (std(v) > t^0.5)", "at the same place"),
    ("v ~ Normal(zeros(5), 1); return floor(var(v) + t)", "cannot be solved"),
])
def test_numbers_that_are_not_told_apart_are_refused(program: str, words: str) -> None:
    with pytest.raises(probrun.ProbError, match="P0403") as caught:
        probrun.parse(f"param t = {T}\n{program}").grad(samples=2000, seed=1, **JUMP)
    assert words in str(caught.value)


@pytest.mark.parametrize(("kind", "of"), [
    ("others' sum", torch.sum), ("others' product", torch.prod), ("others' mean", torch.mean),
    ("others' squares", lambda x: x.var(correction=0) * x.numel()), ("others' logsumexp", lambda x: torch.logsumexp(x, 0)),
])
@pytest.mark.parametrize("n", [2, 5, 70])
def test_leave_one_out(kind: str, of: object, n: int) -> None:
    x = torch.randn(3, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    found = leave_one_out.KINDS[kind](x)
    right = torch.stack([torch.stack([of(torch.cat((row[:i], row[i + 1:]))) for i in range(n)]) for row in x])  # type: ignore[operator]
    assert torch.allclose(found, right, rtol=1e-10, atol=1e-12)


def test_order_of_the_others() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0, 1.0]])
    assert leave_one_out.ordered(x, torch.tensor([[1.0]])).tolist() == [[1.0, 2.0, 1.0, 2.0]]
    assert leave_one_out.ordered(x, torch.tensor([[1.5]])).tolist() == [[1.5, 2.5, 2.0, 2.5]]
    assert leave_one_out.ordered(x, torch.tensor([[3.0]])).isnan().all()
