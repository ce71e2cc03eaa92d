"""`--of "iwae(k)"`: the mean of the logarithm of the mean weight of k runs, against sums over pairs and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import probrun

Z = 5.0
BERNOULLI = """
param t = 0.3
b ~ Bernoulli(t)
observe 1 ~ Normal(b, 0.7)
if b { factor -t } else { c ~ Bernoulli(0.4); factor c*t }
return b
"""
PROPOSAL = """
param theta = 0.5
param m = 0.3
x ~ Normal(theta, 1) via Normal(m, 1.2)
observe 1 ~ Normal(x, 1)
return x
"""


def normal(x: float, m: float, s: float) -> float:
    return -((x - m) ** 2) / (2 * s * s) - math.log(s * math.sqrt(2 * math.pi))


def of_bernoulli(t: float, k: int) -> float:
    """By all outcomes of all k runs."""
    paths = [
        (t, math.exp(normal(1, 1, 0.7) - t)), ((1 - t) * 0.6, math.exp(normal(1, 0, 0.7))), ((1 - t) * 0.4, math.exp(normal(1, 0, 0.7) + t)),
    ]
    return sum(
        math.prod(p for p, _ in group) * math.log(sum(w for _, w in group) / k) for group in itertools.product(paths, repeat=k)
    )


def of_proposal(theta: float, m: float) -> float:
    """By quadrature over two draws of the proposal."""
    u = np.linspace(-9, 9, 2401)
    mass = np.exp(-(u**2) / 2)
    mass /= mass.sum()
    x = m + 1.2 * u
    level = -((x - theta) ** 2) / 2 + u**2 / 2 + math.log(1.2) - (1 - x) ** 2 / 2 - math.log(math.sqrt(2 * math.pi))
    return float(mass @ (np.logaddexp(level[:, None], level[None, :]) - math.log(2)) @ mass)


@pytest.mark.parametrize("estimator", [None, "score"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_discrete(k: int, estimator: str | None) -> None:
    result = probrun.parse(BERNOULLI).grad(of=f"iwae({k})", samples=100_000, seed=7 + k, estimator=estimator)
    slope = (of_bernoulli(0.3 + 1e-5, k) - of_bernoulli(0.3 - 1e-5, k)) / 2e-5
    assert not result.exact and list(result.values) == [f"iwae({k})"]
    for found, truth in ((result.value, of_bernoulli(0.3, k)), (result.gradient["t"], slope)):
        assert float(found.se) < 0.01 and abs(float(found.mean) - truth) < Z * float(found.se)


@pytest.mark.parametrize("estimator", ["rsample", "score"])
def test_proposals(estimator: str) -> None:
    result = probrun.parse(PROPOSAL).grad(of="iwae(2)", samples=100_000, seed=3, estimator=estimator)
    slopes = {
        "theta": (of_proposal(0.50001, 0.3) - of_proposal(0.49999, 0.3)) / 2e-5, "m": (of_proposal(0.5, 0.30001) - of_proposal(0.5, 0.29999)) / 2e-5,
    }
    assert abs(float(result.value.mean) - of_proposal(0.5, 0.3)) < Z * float(result.value.se) < 0.05
    for name, truth in slopes.items():
        assert abs(float(result.gradient[name].mean) - truth) < Z * float(result.gradient[name].se) < 0.05


def test_in_a_loop_of_torch() -> None:
    m = torch.tensor(0.3, requires_grad=True)
    bound = probrun.parse(PROPOSAL).expectation({"theta": 0.5, "m": m}, of="iwae(2)", samples=200_000, seed=2)
    (slope,) = torch.autograd.grad(bound, m)
    assert abs(float(bound.detach()) - of_proposal(0.5, 0.3)) < 0.02
    assert abs(float(slope) - (of_proposal(0.5, 0.30001) - of_proposal(0.5, 0.29999)) / 2e-5) < 0.03


def test_it_rises_from_the_elbo_to_the_evidence() -> None:
    program = probrun.parse(PROPOSAL)
    found = [float(program.grad(of=of, samples=20_000, seed=1).value.mean) for of in ("elbo", "iwae(1)", "iwae(10)", "iwae(100)", "evidence")]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found == sorted(found) and found[-1] - found[-2] < 0.02


def test_runs_whose_condition_fails_weigh_nothing() -> None:
    text = "param t = 0.4\nb ~ Bernoulli(t)\nobserve b > 0\nreturn b\n"
    with pytest.raises(probrun.ProbError):  # both may fail: the logarithm of 0
        probrun.parse(text).grad(of="iwae(2)", samples=1000, seed=1)


def test_verified_and_fitted() -> None:
    program = probrun.parse(PROPOSAL)
    check = program.grad(of="iwae(3)", samples=20_000, seed=5, verify=True).check
    assert check is not None and check.method == "differences" and check.passed
    fit = program.fit(maximize="iwae(8)", only=["m"], seed=1)
    assert fit.converged and 0.6 < float(fit.parameters["m"].value) < 0.9


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"of": "iwae"}, "P0604"), ({"of": "iwae(0)"}, "P0604"), ({"of": ("iwae(2)", "b")}, "P0604"),
        ({"of": "iwae(2)", "sampler": "sobol"}, "P0408"), ({"of": "iwae(2)", "estimator": {"b": "enumerate"}}, "P0407"),
    ],
)
def test_what_cannot_be(options: dict[str, object], code: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(BERNOULLI).grad(samples=1000, seed=1, **options)  # type: ignore[arg-type]
    assert caught.value.diagnostics[0].code == code
