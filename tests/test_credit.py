"""Credit and baselines: the same answer with less spread.

Every program's exact derivative is a closed form or an enumeration; sd are those of one run.  z-limit 5: about 60 comparisons,
a false alarm with probability 4e-5.
"""

from __future__ import annotations

import math

import pytest
import torch

import probrun

VARIANTS = ("score", "score(baseline=regression)", "score(credit=false)", "score(baseline=none)")


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


WALK = "x = 0; total = 0; for t in range(30) { z ~ Normal(theta, 1); x = x + z; total = total + (x > 0) }; return total"
WALK_TRUTH = sum(phi(0.1 * math.sqrt(t)) * math.sqrt(t) for t in range(1, 31))

# program, theta, exact derivative (None: by enumeration)
PROGRAMS = [
    (WALK, 0.1, WALK_TRUTH),
    ("b ~ Bernoulli(theta*ones(50)); y = sum(b)", 0.3, 50.0),
    ("b ~ Bernoulli(theta*ones(50)); c ~ Bernoulli(0.5*b + 0.2); y = mean(b*c)", 0.3, 0.7),
    ("b ~ Bernoulli(theta*ones(6)); y = dot(b, arange(6)) - 2*sum(b^2)/7 + max(b)", 0.3, None),
    ("n = 0; g = 1; while g { b ~ Bernoulli(theta); g = not b; n = n + g }; y = n", 0.5, -4.0),
    ("fn walk(x, k) { if k == 0 { return 0 }; z ~ Normal(x + theta, 1); return z + walk(0, k - 1) }; y = walk(0, 10)", 0.1, 10.0),
    ("y = 0; for i in range(5) { b ~ Bernoulli(theta); if b { y = y + i } else { y = y*2 + 1 } }; return y", 0.3, None),
    ("y = 0; for i in range(5) { b ~ Bernoulli(theta); if b { c ~ Bernoulli(theta); y = y + i*c } else { y = 7 + y } }; return y*theta", 0.3, None),
    ("y = 0; z = 0; for i in range(5) { b ~ Bernoulli(theta); if b { y = y + i } else { z = z - 1 }; if z < -2 { return y } }; return y + z", 0.3, None),
    ("y = 0; for i in range(3) { s = 0; for j in range(3) { b ~ Bernoulli(theta); s = s + b*j }; y = y - s }; return y", 0.3, -9.0),
    ("k ~ Poisson(theta); s = 0; for i in range(k) { b ~ Bernoulli(theta/5); s = s + b }; return s", 2.0, 0.8),
    ("b ~ Bernoulli(theta); y = 1; if b { y = 5 }; c ~ Bernoulli(theta); return y + c", 0.3, 5.0),
    ("b ~ Bernoulli(theta); y = 7; if b { y = 7 } else { y = y + Bernoulli(theta) }; return y", 0.3, 0.4),
    ("b ~ Bernoulli(theta); t = 2; if b { t = 3 }; s = 0; for i in range(t) { c ~ Bernoulli(theta); s = s + c }; return s", 0.3, 2.6),
    ("x = zeros(3); for i in range(3) { b ~ Bernoulli(theta); x[i] = b }; y = sum(x) + x[0]*x[1]", 0.3, 3.6),
]


@pytest.mark.parametrize(("text", "theta", "truth"), PROGRAMS, ids=[case[0] for case in PROGRAMS])
def test_right_with_and_without(text: str, theta: float, truth: float | None) -> None:
    program = probrun.parse(text)
    if truth is None:
        exact = program.grad({"theta": theta}, estimator="enumerate", seed=0)
        assert exact.exact
        truth = float(exact.gradient["theta"].mean)
    for variant in VARIANTS:
        moments = program.grad({"theta": theta}, estimator=variant, samples=20_000, seed=11).gradient["theta"]
        assert abs(float(moments.mean) - truth) <= 5 * float(moments.se), variant
        assert float(moments.se) <= 0.1 * max(1, abs(truth)) or variant != "score"


def sd(text: str, theta: float, variant: str) -> float:
    return float(probrun.parse(text).grad({"theta": theta}, estimator=variant, samples=8000, seed=5).gradient["theta"].sd)


def test_credit_takes_noise_away() -> None:
    assert sd(WALK, 0.1, "score") < 0.75 * sd(WALK, 0.1, "score(credit=false)")
    agents = "b ~ Bernoulli(theta*ones(1000)); y = sum(b)"  # sd sqrt(1000) apart, 1000 together
    assert sd(agents, 0.3, "score") < 0.05 * sd(agents, 0.3, "score(credit=false)")
    nested = "y = 0; for i in range(20) { s = 0; for j in range(2) { b ~ Bernoulli(theta); s = s + b }; y = y + s }; return y"
    assert sd(nested, 0.3, "score") < 0.3 * sd(nested, 0.3, "score(credit=false)")
    call = "fn f(k) { if k == 0 { return 0 }; b ~ Bernoulli(theta); return b + f(k - 1) }; y = f(20)"
    assert sd(call, 0.3, "score") < 0.3 * sd(call, 0.3, "score(credit=false)")


def test_regression_never_hurts() -> None:
    """What happens where the score is small: the mean baseline is worse than none."""
    text = "x ~ Normal(theta, 1); y = 0.3*(abs(x - 0.3) < 1)"
    assert sd(text, 0.3, "score") > 1.2 * sd(text, 0.3, "score(baseline=none)")
    assert sd(text, 0.3, "score(baseline=regression)") < 0.95 * sd(text, 0.3, "score(baseline=none)")
    result = probrun.parse(text).grad({"theta": 0.3}, among="score", pilot=True, seed=0)
    assert result.sites[0].options["baseline"] == "regression"


# Programs with branches that many small blocks never take: what depends on what must not depend on the outcomes
SMALL = [
    ("b ~ Bernoulli(theta); y = 7; if b { y = 5 }; return y", -2.0),
    ("b ~ Bernoulli(theta); y = 7; if b { y = y + 1 }; return y", 1.0),
    ("b ~ Bernoulli(theta); if b { return 3 }; c ~ Bernoulli(theta); return 10 + c", None),
    ("y = 4; for i in range(3) { b ~ Bernoulli(theta); if b { y = 1 } }; return y", None),
    ("n = 0; while n < 2 and Bernoulli(theta) { n = n + 1 }; y = 5 + n", None),
    ("b ~ Bernoulli(theta*ones(2)); y = 3*b[0] + 4*(1 - b[1])", -1.0),
]


@pytest.mark.parametrize("variant", ["score", "score(baseline=none)", "score(baseline=regression)"])
@pytest.mark.parametrize(("text", "truth"), SMALL, ids=[case[0] for case in SMALL])
def test_unbiased_in_tiny_blocks(text: str, truth: float | None, variant: str) -> None:
    """The mean over many answers from 3 runs each."""
    repetitions = 1000 if variant == "score" else 400
    program = probrun.parse(text)
    if truth is None:
        truth = float(program.grad({"theta": 0.2}, estimator="enumerate", seed=0).gradient["theta"].mean)
    found = torch.stack([
        program.grad({"theta": 0.2}, samples=3, seed=seed, estimator=variant).gradient["theta"].mean for seed in range(repetitions)
    ])
    se = float(found.std()) / math.sqrt(repetitions)
    assert abs(float(found.mean()) - truth) <= 5 * se and se < 1
