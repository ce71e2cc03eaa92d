"""Jumps of draws of every law: how fast probability crosses a point, by both tails of the law where nothing else is known."""

from __future__ import annotations

import math

import pytest
from scipy import special, stats

import probrun

Z = 5.0
T = 0.4
BELOW = special.ndtr
JUMP = {"estimator": "jump", "pilot": False, "unbiased": True}


def slope(f: object) -> float:
    return (f(T + 1e-5) - f(T - 1e-5)) / 2e-5  # type: ignore[operator]


def cut(x: float, loc: float, low: float, high: float) -> float:
    """P(X > x) of Normal(loc, 1) between two ends."""
    return (BELOW(high - loc) - BELOW(x - loc)) / (BELOW(high - loc) - BELOW(low - loc))


def kept(t: float) -> float:
    """E[X; X > t] + t^2 P(X < t) of a standard normal number between -t and 1 + t."""
    whole = BELOW(1 + t) - BELOW(-t)
    return (stats.norm.pdf(t) - stats.norm.pdf(1 + t) + t * t * (BELOW(t) - BELOW(-t))) / whole


def rate(t: float) -> float:
    return (math.exp(-(1 + t)) - math.exp(-3 * (1 + t))) / (math.exp(-t * (1 + t)) - math.exp(-3 * (1 + t)))


def triangle(x: float, high: float, peak: float) -> float:
    """P(X < x) of Triangular(0, high, peak)."""
    return x**2 / (high * peak) if x < peak else 1 - (high - x)**2 / (high * (high - peak))


def middle(t: float) -> float:
    """P(the middle one of three mixtures is above t)."""
    p = [(BELOW(t - loc) + BELOW(t / 2)) / 2 for loc in (t, 0, 1)]
    q = [1 - one for one in p]
    return q[0] * q[1] * q[2] + p[0] * q[1] * q[2] + q[0] * p[1] * q[2] + q[0] * q[1] * p[2]


PROGRAMS = [
    ("x ~ Truncated(Normal(t, 1), 0, 2); return x > 0.5", slope(lambda t: cut(0.5, t, 0, 2))),
    ("x ~ TruncatedNormal(t, 1, 0, 2); return x > 0.5", slope(lambda t: cut(0.5, t, 0, 2))),
    ("x ~ Truncated(Normal(0, 1), -t, 1 + t); if x > t { return x }; return t*t", slope(kept)),
    ("x ~ Truncated(Exponential(1 + t), t, 3); return x > 1", slope(rate)),
    ("x ~ Mixture([0.3, 0.7], Normal(t, 1), Normal(1, 2)); return x > t", slope(lambda t: 0.7 * BELOW((1 - t) / 2))),
    ("v ~ Mixture([0.5, 0.5], Normal([t, 0, 1], 1), Normal([0, 0, 0], 2)); return sort(v)[1] > t", slope(middle)),
    ("x ~ Triangular(0, 1 + t, 0.5); return x > 0.7", slope(lambda t: -triangle(0.7, 1 + t, 0.5))),
    ("x ~ Triangular(0, 1, t); return x > t*t", slope(lambda t: -triangle(t * t, 1, t))),
    ("x ~ StudentT(2 + t, 0, 1); return x > 1", slope(lambda t: stats.t.sf(1, 2 + t))),
    ("x ~ LogitNormal(t, 1); return floor(3*x)", slope(lambda t: BELOW(t - math.log(1 / 2)) + BELOW(t - math.log(2)))),
    ("x ~ Truncated(Normal(t, 1), 0, 3); return floor(x + t)", slope(lambda t: sum(cut(k - t, t, 0, 3) for k in (1, 2, 3)))),
]


@pytest.mark.parametrize(("program", "right"), PROGRAMS)
def test_draws_of_every_law_cross_points(program: str, right: float) -> None:
    found = probrun.parse(f"param t = {T}\n{program}").grad(samples=40_000, seed=1, **JUMP).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-5 * (1 + abs(right)) and float(found.se) < 0.05 * (1 + abs(right))


def test_a_law_whose_draws_do_not_move_is_refused() -> None:
    text = f"param t = {T}\nx ~ Mixture([t, 1 - t], Normal(t, 1), Normal(1, 2)); return x > 2*t"
    with pytest.raises(probrun.ProbError, match="no reparameterisation in `weights`"):
        probrun.parse(text).grad(samples=1000, seed=1, **JUMP)
