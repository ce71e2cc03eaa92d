"""Scrambled Sobol points: right answers with small errors, intervals that hold, and refusals where they do not fit."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binom, t

import probrun

NORMAL = "param theta = 2\nz ~ Normal(theta, 2)\ny = theta^2*(z + 4)\nreturn y"
EXACT = {  # text, exact gradient at the default parameter, estimator, least gain over random numbers at 16384 runs
    NORMAL: (28.0, "rsample", 10),
    "param theta = 0.5\nx ~ Exponential(theta)\nreturn x^2": (-32.0, "rsample", 5),
    "param theta = 0.3\nb ~ Bernoulli(theta)\nreturn b*(b + theta)": (1.6, "score(baseline=none)", 3),
    "param theta = 0.3\nk ~ Categorical([theta, theta^2, 1 - theta - theta^2])\nreturn k^2": (
        2 * 0.3 - 4 * 1.6, "score", 3),
    "param theta = 1\nz ~ Normal(theta*ones(5), 1)\nreturn sum(z)^2": (50.0, "rsample", 5),
    "param theta = 1\nx ~ Laplace(theta, 1)\nreturn exp(-x^2/4)": (-0.19394, "rsample", 3),
    "param theta = 1\nx ~ LogNormal(0, theta)\nreturn x": (math.exp(0.5), "rsample", 2),
    "param theta = 1\ns = 0\nfor i in range(6) { u ~ Uniform(0, theta); s = s + u }\nreturn s^2": (2 * (9 + 0.5), "rsample", 5),
}


def laplace_gradient() -> float:
    from scipy.integrate import quad

    def slope(x: float) -> float:
        return -x / 2 * math.exp(-x * x / 4) * math.exp(-abs(x - 1)) / 2

    return quad(slope, -12, 1)[0] + quad(slope, 1, 14)[0]


@pytest.mark.parametrize("text", EXACT)
def test_right_and_better(text: str) -> None:
    exact, estimator, gain = EXACT[text]
    if "Laplace" in text:
        exact = laplace_gradient()
    program = probrun.parse(text)
    sobol = program.grad(samples=16_384, seed=3, sampler="sobol", estimator=estimator, pilot=False).gradient["theta"]
    plain = program.grad(samples=16_384, seed=3, estimator=estimator, pilot=False).gradient["theta"]
    assert abs(float(sobol.mean) - exact) < 6 * float(sobol.se) + 1e-6 * abs(exact)
    assert float(sobol.se) * gain < float(plain.se)
    if estimator == "rsample":  # scores have a baseline with random numbers only
        assert float(sobol.sd) == pytest.approx(float(plain.sd), rel=0.1)


def test_twenty_times_smaller() -> None:
    program = probrun.parse(NORMAL)
    plain = program.grad(samples=65_536, seed=1, pilot=False).gradient["theta"]
    sobol = program.grad(samples=65_536, seed=1, sampler="sobol").gradient["theta"]
    assert float(sobol.se) * 20 < float(plain.se)
    assert abs(float(sobol.mean) - 28) < 6 * float(sobol.se)


def test_intervals_hold() -> None:
    """95 % intervals of Student's t with 31 degrees of freedom, over 200 seeds; binomial limits at 1 in 10,000 each way."""
    program = probrun.parse("param theta = 1\nz ~ Normal(theta*ones(2), 1)\nreturn exp(z[0]/2)*z[1]^2")
    exact = math.exp(0.5 + 0.125) * (0.5 * 2 + 2)
    inside = 0
    for seed in range(200):
        found = program.grad(samples=2048, seed=seed, sampler="sobol", pilot=False).gradient["theta"]
        inside += abs(float(found.mean) - exact) < t.ppf(0.975, 31) * float(found.se)
    assert binom.ppf(1e-4, 200, 0.95) <= inside <= binom.ppf(1 - 1e-4, 200, 0.95)


def test_the_same_seed_gives_the_same_and_odd_numbers_are_rounded_down() -> None:
    program = probrun.parse(NORMAL)
    first, second, other = (program.grad(samples=10_000, seed=seed, sampler="sobol", pilot=False) for seed in (5, 5, 6))
    assert float(first.gradient["theta"].mean) == float(second.gradient["theta"].mean) != float(other.gradient["theta"].mean)
    assert first.samples == 39 * 256 and first.to_dict()["sampler"] == "sobol"
    assert "sampler" not in program.grad(samples=100, seed=5).to_dict()


@pytest.mark.parametrize(("text", "line"), [
    ("param a = 1\nx ~ Normal(a, 1)\nif x > 0 { x = 1 }\nreturn x", 3),
    ("param a = 1\nx ~ Gamma(a, 1)\nreturn x", 2),
    ("param a = 1\nx ~ Normal(a, 1)\nwhile x < 0 { x ~ Normal(a, 1) }\nreturn x", 3),
    ("param a = 0.5\nk ~ Geometric(a)\ns = 0\nfor i in range(k) { e ~ Normal(a, 1); s = s + e }\nreturn s", 4),
])
def test_refused(text: str, line: int) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(text).grad(samples=1000, seed=1, sampler="sobol", pilot=False, unbiased=True)
    assert caught.value.code == "P0408" and caught.value.line == line


def test_too_few_runs_or_a_target() -> None:
    program = probrun.parse(NORMAL)
    for options in ({"samples": 50}, {"target_se": 0.1}):
        with pytest.raises(probrun.ProbError) as caught:
            program.grad(sampler="sobol", **options)
        assert caught.value.code == "P0604"
