"""Where single runs hardly differ, the mean baseline's own error is all the error there is: it is in the standard error.

Each program's terms of first order are the same in every run (`runtime/gradients/degenerate.py`), so that its error is of the
order of 1/n; exact derivatives by hand.  Before, errors of ten standard errors and more were usual here.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import probrun
from probrun.runtime.gradients.degenerate import FEW_GROUPS, second_order, suspected
from probrun.runtime.gradients.regression import pseudo_values, taken_off

# name, program, theta, exact derivative, runs
BALANCED: list[tuple[str, str, float, float, int]] = [
    ("a parameter beside a coin", "b ~ Bernoulli(t); return b + t^2", 0.5, 2.0, 400),
    ("two that cancel", "b ~ Bernoulli(t); return b - t", 0.5, 0.0, 100),
    ("a part that balances an uneven coin", "b ~ Bernoulli(t); return 8*b - 5*b*t", 0.4, 4.0, 700),
    ("two coins, each for itself", "b ~ Bernoulli(t); c ~ Bernoulli(t); return b + c", 0.5, 2.0, 400),
    ("two coins against each other", "b ~ Bernoulli(t); c ~ Bernoulli(t); return b - c", 0.5, 0.0, 400),
    ("ten coins", "s = 0; for i in range(10) { b ~ Bernoulli(t); s = s + b }; return s", 0.5, 10.0, 400),
    ("a coin of two results", "b ~ Bernoulli(t); return [b + t, 3*b]", 0.5, 2.0, 400),
    ("an edge of a clamp", "b ~ Bernoulli(0.5 + (t - 1)/4); return b + b*(t - 1)*clamp(t, 0, 2)/2", 1.0, 0.5, 400),
]


@pytest.mark.parametrize(("name", "text", "t", "exact", "runs"), BALANCED, ids=[row[0] for row in BALANCED])
def test_the_standard_error_has_what_the_baseline_costs(name: str, text: str, t: float, exact: float, runs: int) -> None:
    """No error is beyond chance; of 60 intervals of two standard errors, which cover 97 % and more (an error of 1 - u^2, u normal, is
    told as the root of 1 + u^2), at least 54 do (before: 40 to 49); and the standard errors are not far above the errors."""
    program = probrun.parse(f"param t = {t}\n{text}")
    errors, told = [], []
    for seed in range(60):
        moments = program.grad(samples=runs, seed=seed, estimator="score", pilot=False, dtype="float64").gradient["t"]
        errors.append(float(moments.mean.reshape(-1)[0]) - exact)
        told.append(float(moments.se.reshape(-1)[0]))
    assert max(abs(error) / se for error, se in zip(errors, told, strict=True)) < 6
    assert sum(abs(error) <= 2 * se for error, se in zip(errors, told, strict=True)) >= 54
    assert sum(se**2 for se in told) < 9 * sum(error**2 for error in errors)


def test_the_second_order_of_one_coin() -> None:
    """Var of a sample covariance of (b, S) at p = 1/2 is 2 / n^2, half of it cov(b, S)^2 = 1."""
    b = torch.tensor([0.0, 1.0]).repeat(50)
    assert float(second_order([b], [4 * b - 2])) == pytest.approx(1.0)
    two = second_order([b, b.sort().values], [4 * b - 2, 4 * b.sort().values - 2])
    assert float(two) == pytest.approx(2.0)


def test_it_is_looked_for_only_where_it_can_matter() -> None:
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    assert not suspected([noise, None], 1000, 1) and not suspected([noise + 1], 1000, 1)
    assert suspected([0.01 * noise + 1], 1000, 30) and suspected([noise, (noise > 0).float()], 1000, FEW_GROUPS)
    assert not suspected([(noise > 0).float()], 1000, FEW_GROUPS + 1)


def test_the_jackknife_of_a_regression_is_that_of_its_definition() -> None:
    """Pseudo-values n T - (n - 1) T_j, with T_j made anew without run j, up to a constant; and they are in the standard error."""
    g = torch.Generator().manual_seed(3)
    score, path = torch.randn(2, 30, 2, generator=g, dtype=torch.float64)
    scored = score * torch.randn(30, 2, generator=g, dtype=torch.float64)

    def mean(left: Tensor) -> Tensor:
        return (taken_off(scored[left], score[left], path[left])[0] + path[left]).mean(0)

    everyone = torch.arange(30)
    literal = torch.stack([30 * mean(everyone) - 29 * mean(everyone[everyone != out]) for out in range(30)])
    found = pseudo_values(scored, score, path)
    assert found is not None and torch.allclose(found - found.mean(0), literal - literal.mean(0), atol=1e-10)
    program = probrun.parse("param t = 1; z ~ Normal(0, t); return z^2")
    few = program.grad(samples=40, seed=4, estimator="score(baseline=regression)", keep_runs=True, dtype="float64")
    runs = few.per_run["result"]["t"]
    assert float(few.gradient["t"].se) > 1.05 * float(runs.std() / math.sqrt(40))
