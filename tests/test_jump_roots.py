"""Roots that are found otherwise than number by number: of sums over a draw, of what rises or falls; and roots that numbers lose."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

import probrun

Z = 5.0
NORMAL = stats.norm.pdf
JUMP = {"estimator": "jump", "pilot": False, "unbiased": True}


def rooted(f: object) -> float:
    return float(optimize.brentq(f, -50, 50, xtol=1e-14))


def slope(f: object, x: float) -> float:
    return (f(x + 1e-6) - f(x - 1e-6)) / 2e-6  # type: ignore[operator]


def wrapped(t: float) -> float:
    """E[(exp(x) + t) % 1] of x ~ Normal(t, 1)."""
    over = sum(special.ndtr(t - math.log(k - t)) for k in range(1, 2000))
    return math.exp(t + 0.5) + t - over - sum(special.ndtr(t - np.log(np.arange(2000, 2_000_000) - t)))


def bent(k: int) -> float:
    return rooted(lambda x: x + math.tanh(x) ** 3 - k)


R = rooted(lambda x: x + math.exp(x) - 0.4)
CUBIC = rooted(lambda x: x**3 + x - 0.4)
SUMS = [  # programs with t = 0.4, and their derivatives
    ("v ~ Normal(t*ones(5), 1); return sum(v) > 2*t", NORMAL(-3 * 0.4 / 5**0.5) * 3 / 5**0.5),
    ("v ~ Normal(t*ones(5), 1); return mean(v) > 0.3", NORMAL(0.1 * 5**0.5) * 5**0.5),
    ("v ~ Normal([t, 1, 2], [1, 2, 0.1]); return dot([1, -2, t], v) > t",
     slope(lambda t: special.ndtr((t - 2 + 2 * t - t) / (1 + 16 + (t * 0.1) ** 2) ** 0.5), 0.4)),
    ("v ~ Exponential(t*ones(4)); return sum(v) > 3", slope(lambda t: stats.gamma.sf(3 * t, 4), 0.4)),
    ("v ~ Gamma(2*t*ones(3), 1); return sum(v) > 1", slope(lambda t: stats.gamma.sf(1, 6 * t), 0.4)),
    ("v ~ Normal([[0, t], [1, 2]], 1); return mean(v) > t", NORMAL(0.9) * 2 * -0.75),
    ("v ~ Normal(zeros(3), 1); return abs(sum(v)) > t", -2 * NORMAL(0.4 / 3**0.5) / 3**0.5),
    ("v ~ Normal(zeros(3), 1); return max(sum(v), t) > 2*t", -2 * NORMAL(0.8 / 3**0.5) / 3**0.5),
    ("b ~ Bernoulli(0.5); y ~ Normal(0, 1); v ~ Normal(zeros(3), 1); return sum(b*v) + y > t", -(NORMAL(0.4) + NORMAL(0.2) / 2) / 2),
    ("z ~ Normal(0, 1); v ~ Normal(zeros(3), 1); q ~ Normal([1, t], 1); return sum(v) + z > sum(q)", -NORMAL(1.4 / 6**0.5) / 6**0.5),
    ("x ~ Normal(0, 1); return sum(x) > t", -NORMAL(0.4)),
    ("v ~ Normal(zeros(200), 1); return sum(v) > 10*t", -NORMAL(4 / 200**0.5) * 10 / 200**0.5),
    ("z ~ Normal(0, 1); v ~ Normal([t, 0], 1); return (dot(v, [1, 1]) > z) + 2*(sum(v) > z) + (2*z < 4*mean(v))",
     4 * NORMAL(0.4 / 3**0.5) / 3**0.5),
    ("v ~ Normal(zeros(3), 1); return v[0] + v[1] > t", -NORMAL(0.4 / 2**0.5) / 2**0.5),
    ("y ~ Normal(0, 1); v ~ Normal([t, 0, 1], 1); return v[0] - 2*v[1] + y > t", 0.0),
    ("v ~ Normal([0, t, 2*t], 1); return floor(v[0] + v[1] + t)", 2.0),
    ("x ~ Normal(0, 1); return mean([x, x*t, t]) > t", slope(lambda t: special.ndtr(-2 * t / (1 + t)), 0.4)),
    ("x ~ Normal(0, 1); y ~ Normal(0, 1); return max([x, y, t]) > 2*t", slope(lambda t: 1 - special.ndtr(2 * t)**2, 0.4)),
    ("x ~ Normal(0, 1); return argmin([x, t, 2*x])", NORMAL(0.4) * -1),
    ("v ~ Normal(zeros(2), 1); y = min(v); return t > y + y^3", 2 * special.ndtr(-CUBIC) * NORMAL(CUBIC) / (1 + 3 * CUBIC**2)),
]
MONOTONE = [
    ("x ~ Normal(0, 1); y ~ Normal(0, 1); return x/y > t", -1 / (math.pi * 1.16)),  # through infinity where y is 0
    ("x ~ Exponential(t); return 1/x > 5", 0.2 * math.exp(-0.08)),
    ("v = [0, 0]; for i in range(2) { x ~ Normal(t*i, 1); v[i] = x }; k ~ Categorical([1, 3]); return v[k] > 2*t", -(
        2 * NORMAL(0.8) + 3 * NORMAL(0.4)) / 4),
    ("x ~ Normal(t, 1); return tanh(x) % 1 > 0.4", NORMAL(math.atanh(0.4) - 0.4) + NORMAL(math.atanh(-0.6) - 0.4) - NORMAL(-0.4)),
    ("x ~ Normal(t, 1); return (exp(x) + t) % 1", slope(lambda t: wrapped(t), 0.4)),
    ("v ~ Exponential(t*ones(3)); return floor(max(v) + tanh(max(v))^3)", slope(lambda t: sum(
        1 - (1 - math.exp(-t * bent(k)))**3 for k in range(1, 48)), 0.4)),
    ("v ~ Normal(zeros(3), 1); s = sum(v); return s + exp(s) > t", -NORMAL(R / 3**0.5) / 3**0.5 / (1 + math.exp(R))),
    ("v ~ Normal(zeros(3), 1); return floor(2*sum(v) + t)", 1.0),
    ("x ~ Normal(0, 1); return x*exp(t) + exp(x*exp(t)) > t", slope(lambda t: special.ndtr(-rooted(lambda x: x + math.exp(x) - t) / math.exp(t)), 0.4)),
    ("z ~ Normal(0, 1); x ~ Normal(0, 1); return abs(z)*(x + exp(x)) > abs(z)*t", -NORMAL(R) / (1 + math.exp(R))),
    ("b ~ Bernoulli(0.5); x ~ Normal(0, 1); return b*(x + exp(x)) > t", -NORMAL(R) / (1 + math.exp(R)) / 2),
    ("x ~ Normal(0, 1); return (x + exp(x) > t) + 2*(x > t - exp(x)) + (2*x + 2*exp(x) > 2*t)", -4 * NORMAL(R) / (1 + math.exp(R))),
    ("x ~ Normal(0, 1); y = x + exp(x); return y - x > t", -NORMAL(math.log(0.4)) / 0.4),
    ("x ~ Normal(0, 1); return x + exp(x) > t", -NORMAL(R) / (1 + math.exp(R))),
    ("x ~ Normal(t, 1); return x^3 + x > t", NORMAL(CUBIC - 0.4) * (1 - 1 / (1 + 3 * CUBIC**2))),
    ("x ~ Normal(zeros(3), 1); return sum(x + exp(x) > t)", -3 * NORMAL(R) / (1 + math.exp(R))),
    ("x ~ Gamma(2, 1); return x*exp(x) > t", slope(lambda t: stats.gamma.sf(float(special.lambertw(t).real), 2), 0.4)),
    ("x ~ Beta(t, 2); return x + x^2 > 0.3", slope(lambda t: stats.beta.sf(rooted(lambda x: x + x * abs(x) - 0.3), t, 2), 0.4)),
    ("x ~ Exponential(t); return x - exp(-x) > t", slope(lambda t: math.exp(-t * rooted(lambda x: x - math.exp(-x) - t)), 0.4)),
    ("x ~ Logistic(0, 1); return floor(1.5*softplus(x*t))", slope(lambda t: sum(
        special.expit(-math.log(math.expm1(k / 1.5)) / t) for k in range(1, 400)), 0.4)),
    ("x ~ Normal(0, 1); return tanh(x) > t", -NORMAL(math.atanh(0.4)) / (1 - 0.16)),
    ("x ~ Normal(0, 1); return floor(x + exp(x) + t)", 1.0),
    ("x ~ Normal(0, 1); return floor(exp(x) + t)", sum(NORMAL(math.log(k - 0.4)) / (k - 0.4) for k in range(1, 100_000))),
    ("x ~ Normal(0, 1); return 2^x + x > t", slope(lambda t: special.ndtr(-rooted(lambda x: 2**x + x - t)), 0.4)),
]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("program", "right"), SUMS + MONOTONE)
def test_roots_of_sums_and_of_what_rises(program: str, right: float, seed: int) -> None:
    found = probrun.parse(f"param t = 0.4\n{program}").grad(samples=20_000, seed=seed, **JUMP).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-5 * (1 + abs(right)) and float(found.se) < 0.05 * (1 + abs(right))


def test_several_parameters_in_a_sum() -> None:
    """P(a v_1 + b v_2 > c) of standard normal v is Phi(-c/sqrt(a^2 + b^2))."""
    text = "param a = 0.6\nparam b = -1.1\nparam c = 0.3\nv ~ Normal(zeros(2), 1)\nreturn dot([a, b], v) > c"
    a, b, c = 0.6, -1.1, 0.3
    size = math.hypot(a, b)
    right = {"a": NORMAL(c / size) * c * a / size**3, "b": NORMAL(c / size) * c * b / size**3, "c": -NORMAL(c / size) / size}
    for dtype in ("float32", "float64"):
        found = probrun.parse(text).grad(samples=40_000, seed=3, dtype=dtype, **JUMP).gradient
        for name, value in right.items():
            assert abs(float(found[name].mean) - value) <= Z * float(found[name].se), (dtype, name)


WHOLE = [  # what is made of whole numbers, number by number, meets an earlier draw: x ~ Normal(2*t, 1), t = 0.4
    ("y = sum(v > 0)", [(k, math.comb(3, k) / 8) for k in range(4)]),
    ("y = max(2*(v > 0))", [(0, 1 / 8), (2, 7 / 8)]),
]


@pytest.mark.parametrize(("line", "values"), WHOLE)
def test_sums_of_jumps_are_compared(line: str, values: list[tuple[float, float]]) -> None:
    """A sum of bits was taken for 0 or 1: 0.366 for 0.520, with a small standard error."""
    text = f"param t = 0.4\nx ~ Normal(2*t, 1); v ~ Normal(zeros(3), 1); {line}; return x < y"
    found = probrun.parse(text).grad(samples=20_000, seed=1, **JUMP).gradient["t"]
    right = sum(-2 * NORMAL(value - 0.8) * chance for value, chance in values)
    assert abs(float(found.mean) - right) <= Z * float(found.se)


@pytest.mark.parametrize("line", [
    "y = mean(v > 0); return x < y", "y = sum(0.5*(v > 0)); return x < y", "y = prod(1.5*(v > 0) + 0.5*(v <= 0)); return x < y",
    "y = v - max(v); return sum(y > -t)", "return sum(max(v, x)) > 2", "return sum(x*[1, 2, t]) > t",
    "w = [t, 1, 2]; return sum(v[1] > w)", "w = [t, 1, 2]; return sum(sum(v) > w)", "return sum(v + v[0] > t)",
    "return sum(v) + v[0] > t", "return v[2] - v[-1] > t",
])
def test_what_mixes_numbers_is_refused(line: str) -> None:
    text = f"param t = 0.4\nx ~ Normal(2*t, 1); v ~ Normal(zeros(3), 1); {line}"
    with pytest.raises(probrun.ProbError, match="P0403"):
        probrun.parse(text).grad(samples=2000, seed=1, **JUMP)


LOST = [  # programs whose jumps numbers lose; all gave 0 with a standard error of 0
    ("param s = -800\nx ~ Normal(0, 1); return exp(s)*x > t*exp(s)", "too small there"),
    ("param s = -50\ne = exp(s); f = e^20; x ~ Normal(0, 1); return x*f > t*f", "too small there"),
    ("param s = 50\nx ~ Normal(0, 1); f = 1 - sigmoid(s); return x*f > t*f", "too small there"),
    ("param s = -40\ny ~ Normal(0, 1); x ~ Normal(0, 1); return exp(s)*x + y > t", "so narrow"),
    ("param s = -800\ny ~ Normal(0, 1); x ~ Normal(0, 1); return exp(s)*x + y > t", "too small there"),
    ("x ~ Normal(0, 1); return 1e-200*x*1e-200 > t*1e-200*1e-200", "too small there"),
    ("x ~ Normal(0, 1); return 1e200*x*1e200 > t*1e200*1e200", "not only there"),
    ("w = 1; n = 0; for i in range(12) { w = w*1e-60; x ~ Normal(0, 1); n = n + (x*w > t*w) }; return n", "too small there"),
    ("w = 1; n = 0; for i in range(6) { w = w*1e-60; x ~ Normal(0, 1); n = n + (x*w > t*w) }; return n", "too small there"),
    ("x ~ Normal(1e20, 1); return x - 1e20 > t", "too large for differences"),
    ("x ~ Normal(0, 1); return x + 1e20 > t + 1e20", "not only there"),
    ("x ~ Normal(0, 1); return sigmoid(300*x) > sigmoid(300*t)", "not only there"),
    ("x ~ Normal(0, 1); return sigmoid(x + 50) > sigmoid(t + 50)", "not only there"),
    ("x ~ Normal(0, 1); return exp(exp(7)*x) > exp(exp(7)*5*t)", "not only there"),
    ("z ~ Normal(0, 1); w = exp(-700*exp(z)); x ~ Normal(0, 1); return x*w > t*w", "not only there"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("program", "words"), LOST)
def test_roots_that_numbers_lose_are_refused(program: str, words: str, dtype: str) -> None:
    with pytest.raises(probrun.ProbError, match=words) as caught:
        probrun.parse(f"param t = 0.4\n{program}").grad(samples=4000, seed=1, dtype=dtype, among=("rsample", "jump"))
    assert caught.value.code == "P0403"


KEPT = [  # and those that they keep: factors that are 0, slopes that are large or small
    ("b ~ Bernoulli(0.5); w = b*exp(b); x ~ Normal(0, 1); return x*w > t*w", -NORMAL(0.4) / 2),
    ("x ~ Normal(0, 1); return exp(-300)*x > t*exp(-300)", -NORMAL(0.4)),
    ("x ~ Normal(0, 1); return exp(300)*x > t*exp(300)", -NORMAL(0.4)),
    ("x ~ Normal(0, 1e-7); return 1 + x > 1 + t*1e-7", -NORMAL(0.4)),
    ("x ~ Normal(0, 1e100); return x > t*1e100", -NORMAL(0.4)),
    ("x ~ Normal(0, 1); return x^201 > t^201", -NORMAL(0.4)),
]


@pytest.mark.parametrize(("program", "right"), KEPT)
def test_other_roots_are_kept(program: str, right: float) -> None:
    found = probrun.parse(f"param t = 0.4\n{program}").grad(samples=20_000, seed=1, **JUMP).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-5


@pytest.mark.parametrize("value", ["relu(x) > t", "max(x, t) > 0", "clamp(x, 0, 1) <= t"])
def test_a_condition_that_a_parameter_meets_with_some_probability(value: str) -> None:
    """At t = 0 the expectation itself jumps: half of the runs stand exactly there."""
    found = probrun.parse(f"param t = 0\nx ~ Normal(0, 1)\ny = {value}\nreturn y").grad(samples=2000, seed=1, pilot=False)
    assert "P0704" in [doubt.code for doubt in found.warnings]
    beside = probrun.parse(f"param t = 0.3\nx ~ Normal(0, 1)\ny = {value}\nreturn y").grad(samples=2000, seed=1, pilot=False)
    assert "P0704" not in [doubt.code for doubt in beside.warnings]
