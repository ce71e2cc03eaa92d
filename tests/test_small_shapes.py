"""Gamma, Chi2, Beta and Dirichlet with shapes so small that most draws lie below the least number: right where nobody needs to
know how far below, refused where somebody does."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import gammaincc
from scipy.stats import ks_2samp

import probrun
from probrun.dsl.tables.distributions import DISTRIBUTIONS
from probrun.runtime.laws.build import build
from probrun.runtime.laws.noise import Fresh

# program, parameters, value and gradient
RIGHT = [
    ("x ~ Beta(a, b)\nreturn x", {"a": 0.001, "b": 0.001}, 0.5, {"a": 250.0, "b": -250.0}),
    ("x ~ Beta(a, b)\nreturn x", {"a": 0.01, "b": 0.02}, 1 / 3, {"a": 0.02 / 0.0009, "b": -0.01 / 0.0009}),
    ("x ~ Beta(a, b)\nreturn x^2", {"a": 0.1, "b": 0.1}, 0.11 / 0.24, {
        "a": 0.11 / 0.24 * (1 / 0.1 + 1 / 1.1 - 1 / 0.2 - 1 / 1.2), "b": 0.11 / 0.24 * (-1 / 0.2 - 1 / 1.2)}),
    ("x ~ Beta(2, b)\nreturn 1 - x", {"b": 0.001}, 0.001 / 2.001, {"b": 2 / 2.001**2}),
    ("x ~ Gamma(a, 1)\nreturn x", {"a": 0.001}, 0.001, {"a": 1.0}),
    ("x ~ Gamma(a, 2)\nreturn exp(-x)", {"a": 0.005}, 1.5**-0.005, {"a": -math.log(1.5) * 1.5**-0.005}),
    ("x ~ Gamma(a, 1)\nreturn x > 0.5", {"a": 0.005}, gammaincc(0.005, 0.5), {
        "a": (gammaincc(0.0051, 0.5) - gammaincc(0.0049, 0.5)) / 0.0002}),
    ("x ~ Chi2(k)\nreturn exp(-x)", {"k": 0.01}, 3**-0.005, {"k": -0.5 * math.log(3) * 3**-0.005}),
    ("x ~ Dirichlet([a, 0.002, 0.003])\nreturn x[0]", {"a": 0.001}, 1 / 6, {"a": 0.005 / 0.006**2}),
    ("p ~ Beta(a, a)\nb ~ Bernoulli(p)\nreturn b", {"a": 0.005}, 0.5, {"a": 0.0}),
    ("x ~ Gamma(0.001, 1)\nz ~ Normal(a + x, 1)\nreturn z", {"a": 0.5}, 0.501, {"a": 1.0}),
]


@pytest.mark.parametrize(("body", "values", "value", "slopes"), RIGHT)
def test_right(body: str, values: dict[str, float], value: float, slopes: dict[str, float]) -> None:
    text = "\n".join((*(f"param {name}" for name in values), body))
    result = probrun.parse(text).grad(values, samples=20_000, seed=4)
    assert result.dtype == "float64"
    assert abs(float(result.value.mean) - value) < 5 * float(result.value.se)
    for name, exact in slopes.items():
        found = result.gradient[name]
        assert abs(float(found.mean) - exact) < 5 * float(found.se) + 1e-9 * abs(exact)
        assert float(found.se) < 0.3 * max(abs(exact), 1), name
    drawn = probrun.parse(text).run(values, samples=20_000, seed=5)
    assert abs(float(drawn.value.mean) - value) < 5 * float(drawn.value.se)


@pytest.mark.parametrize("estimator", ["rsample", "score"])
def test_both_ways(estimator: str) -> None:
    result = probrun.parse("param a = 0.05\nparam b = 0.08\nx ~ Beta(a, b)\nreturn x").grad(samples=20_000, seed=6, estimator=estimator)
    for name, exact in (("a", 0.08 / 0.13**2), ("b", -0.05 / 0.13**2)):
        found = result.gradient[name]
        assert abs(float(found.mean) - exact) < 5 * float(found.se) and float(found.se) < 0.05 * abs(exact)


@pytest.mark.parametrize("body", [
    "x ~ Gamma(a, 1)\nreturn log(x)", "x ~ Gamma(a, 1)\nreturn x^0.001", "x ~ Gamma(a, 1)\nreturn x > 1e-100",
    "x ~ Beta(2, a)\nreturn log(1 - x)", "x ~ Beta(a, 2)\nreturn logit(x)", "x ~ Dirichlet([a, a])\nreturn log(x[1])",
    "x ~ Chi2(a)\nreturn log1p(1/x)", "x ~ Gamma(a, 1)\nreturn logpdf(Gamma(a, 1), x)", "x ~ Gamma(0.001, 1)\nreturn a*log(x)",
])
def test_refused_where_the_logarithm_is_needed(body: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(f"param a = 0.001\n{body}").grad(samples=1000, seed=1)
    assert caught.value.code == "P0508" and caught.value.line in (2, 3)
    if "logpdf" not in body:
        with pytest.raises(probrun.ProbError) as caught:
            probrun.parse(f"param a = 0.001\n{body}").run(samples=1000, seed=1)
        assert caught.value.code == "P0508"


@pytest.mark.parametrize(("name", "arguments"), [
    ("Gamma", {"concentration": 0.004, "rate": 3.0}), ("Chi2", {"df": 0.008}), ("Beta", {"concentration1": 0.3, "concentration0": 0.15}),
])
def test_draws_are_those_of_the_usual_way(name: str, arguments: dict[str, float]) -> None:
    """Held against torch's own sampler, in distribution, where both can tell values apart."""
    tensors = {key: torch.tensor([value], dtype=torch.float64) for key, value in arguments.items()}
    law = build(DISTRIBUTIONS[name], tensors)
    assert law.small()
    noise = Fresh(torch.Generator().manual_seed(3))
    draws = law.sample((40_000,), noise)
    torch.manual_seed(5)
    others = getattr(torch.distributions, name)(**tensors).sample((40_000,))[:, 0]
    assert ks_2samp(draws.clamp_min(1e-280).numpy(), others.clamp_min(1e-280).numpy()).pvalue > 1e-4
    value, density = law.drawn((1000,), noise)
    seen = (value > 1e-300) & (value < 1 - 1e-9)
    torch.testing.assert_close(density[seen], law.density(value)[seen], rtol=1e-6, atol=1e-6)


def test_expectation() -> None:
    a = torch.tensor(0.01, requires_grad=True)
    value = probrun.parse("param a\nx ~ Beta(a, 0.02)\nreturn x").expectation({"a": a}, samples=20_000, seed=1, estimator="score")
    value.backward()
    assert a.grad is not None and abs(float(a.grad) - 0.02 / 0.0009) < 3
