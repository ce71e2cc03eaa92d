"""Exact answers: closed forms of finite programs, through branches, loops, functions and arrays, and mixed with sampling."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import probrun

T = 0.3

# program, value, derivative at theta = 0.3
EXACT = [
    ("x = 2*Bernoulli(3*theta) + Bernoulli(theta)", 7 * T, 7.0),
    ("b ~ Bernoulli(theta); y = 0; if b { y = 5 }", 5 * T, 5.0),
    ("b ~ Bernoulli(theta); xs = [3, -4]; y = xs[b]", 3 - 7 * T, -7.0),
    ("b ~ Bernoulli(theta); y = theta*b", T * T, 2 * T),
    ("b ~ Bernoulli(theta); c ~ Bernoulli(theta); y = b and c", T * T, 2 * T),
    ("y = Bernoulli(theta) or Bernoulli(theta)", 1 - (1 - T) ** 2, 2 * (1 - T)),
    ("y = Bernoulli(theta)*Bernoulli(theta)^Bernoulli(theta)", T * (1 - T) + T * T * T, 1 - 2 * T + 3 * T * T),
    ("b ~ Bernoulli(theta); y = if b then Binomial(2, theta)^2 else 7", None, None),
    ("n = 0; for i in range(5) { b ~ Bernoulli(theta); n = n + b }; y = n^2", 5 * T * (1 - T) + 25 * T * T, 5 * (1 - 2 * T) + 50 * T),
    ("n = 0; g = 1; while g and n < 3 { b ~ Bernoulli(theta); g = not b; n = n + g }; y = n", None, None),
    ("fn f(p, k) { if k == 0 { return 0 }; b ~ Bernoulli(p); if b { return k }; return f(p, k - 1) }; y = f(theta, 4)", None, None),
    ("k ~ DiscreteUniform(0, 3); n = 0; for i in range(k) { b ~ Bernoulli(theta); n = n + b }; y = n", 1.5 * T, 1.5),
    ("k ~ Binomial(3, theta); c ~ Binomial(k, theta); y = c", 3 * T * T, 6 * T),
    ("k ~ Binomial(3, theta); c ~ DiscreteUniform(0, k); y = c", 1.5 * T, 1.5),
    ("b ~ Bernoulli([theta, 0.5, theta^2]); y = b[0]*b[1] + b[2]*b[0]", T / 2 + T**3, 0.5 + 3 * T * T),
    ("b ~ OneHotCategorical([theta, 1 - theta]); y = dot(b, [2, 5])", 5 - 3 * T, -3.0),
    ("m ~ Multinomial(3, [theta, 1 - theta]); y = m[0]^2", 3 * T * (1 - T) + 9 * T * T, 3 * (1 - 2 * T) + 18 * T),
    ("b ~ Bernoulli(logits=theta); y = 4*b", 4 / (1 + math.exp(-T)), 4 * math.exp(-T) / (1 + math.exp(-T)) ** 2),
    ("x ~ Normal(0, 1); b ~ Bernoulli(theta); y = b", T, 1.0),
    ("b ~ Bernoulli(theta); if b { return 1 }; c ~ Bernoulli(theta); return 2*c", T + 2 * T * (1 - T), 3 - 4 * T),
]


def by_differences(program: probrun.Program, theta: float) -> float:
    """The derivative of the exact value (float64), by central differences."""
    h = 1e-4
    up, down = (
        float(program.grad({"theta": theta + sign * h}, estimator="enumerate", seed=0).value.mean) for sign in (1, -1)
    )
    return (up - down) / (2 * h)


@pytest.mark.parametrize(("text", "value", "derivative"), EXACT, ids=[case[0] for case in EXACT])
def test_exact(text: str, value: float | None, derivative: float | None) -> None:
    program = probrun.parse(text)
    result = program.grad({"theta": T}, estimator="enumerate", seed=0)
    gradient = result.gradient["theta"]
    assert result.exact and not result.biased
    assert float(gradient.se) == float(gradient.sd) == float(result.value.se) == 0
    assert float(gradient.mean) == pytest.approx(by_differences(program, T), abs=1e-7)
    if value is not None:
        assert float(result.value.mean) == pytest.approx(value, abs=1e-12)
        assert float(gradient.mean) == pytest.approx(derivative, abs=1e-12)
    sampled = program.grad({"theta": T}, estimator="score", samples=20_000, seed=1).gradient["theta"]
    assert abs(float(sampled.mean - gradient.mean)) <= 5 * float(sampled.se) + 1e-12


# sites that are enumerated among others that are not: closed forms
MIXED: list[tuple[str, dict[str, str], float, float]] = [
    ("k ~ Categorical([theta, 1 - theta]); m = [0, 3]; x ~ Normal(m[k], 1); y = x^2", {"k": "enumerate"}, 1 + 9 * (1 - T), -9.0),
    ("x ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(x)); y = b - sigmoid(x)", {"b": "enumerate"}, 0.0, 0.0),
    ("b ~ Bernoulli(theta); z ~ Normal(theta, 1); if b and z > 0 { y = 2 } else { y = 0 }", {"b": "enumerate"}, None, None),  # type: ignore[list-item]
    (
        "total = 0; for t in range(4) { b ~ Bernoulli(theta); c ~ Bernoulli(theta); if b { total = total + c } }; return total",
        {"b": "enumerate", "c": "score"}, 4 * T * T, 8 * T,
    ),
    (
        "total = 0; for t in range(4) { c ~ Bernoulli(theta); b ~ Bernoulli(theta); if b { total = total + c; d ~ Bernoulli(theta); total = total*d } }; return total",
        {"b": "enumerate", "c": "score", "d": "score"}, None, None,  # type: ignore[list-item]
    ),
]


@pytest.mark.parametrize(("text", "estimator", "value", "derivative"), MIXED, ids=[case[0] for case in MIXED])
def test_mixed(text: str, estimator: dict[str, str], value: float | None, derivative: float | None) -> None:
    program = probrun.parse(text)
    result = program.grad({"theta": T}, estimator=estimator, samples=20_000, seed=3)
    assert not result.exact and {site.name: site.estimator for site in result.sites if site.name in estimator} == estimator
    if derivative is None:
        if "Normal" in text:  # 2 theta Phi(theta)
            phi, Phi = math.exp(-T * T / 2) / math.sqrt(2 * math.pi), 0.5 * math.erfc(-T / math.sqrt(2))
            value, derivative = 2 * T * Phi, 2 * Phi + 2 * T * phi
        else:
            exact = program.grad({"theta": T}, estimator="enumerate", seed=0)
            value, derivative = float(exact.value.mean), float(exact.gradient["theta"].mean)
    moments = result.gradient["theta"]
    assert abs(float(moments.mean) - derivative) <= 5 * float(moments.se) + 1e-5
    assert abs(float(result.value.mean) - value) <= 5 * float(result.value.se) + 1e-5
    assert float(moments.se) < 0.1


def test_several_results_and_vectors() -> None:
    program = probrun.parse("param p[2] = [0.3, 0.6]; b ~ Bernoulli(p); v = b*[1, 2]; s = sum(b); return v, s")
    result = program.grad(seed=0)
    assert result.exact
    assert result.gradient["v"]["p"].mean.tolist() == [[1, 0], [0, 2]]
    assert result.gradient["s"]["p"].mean.tolist() == pytest.approx([1, 1])


def test_budget() -> None:
    program = probrun.parse("b ~ Bernoulli(theta + 0*arange(12)); y = max(b)")
    assert program.grad({"theta": T}, seed=0).exact
    assert not program.grad({"theta": T}, seed=0, max_lanes=4095).exact
    with pytest.raises(probrun.ProbError) as caught:
        program.grad({"theta": T}, seed=0, max_lanes=4095, estimator={"b": "enumerate"})
    assert caught.value.code == "P0407"


WAITING = "n = 0; g = 1; while g { b ~ Bernoulli(theta); g = not b; n = n + g }; y = n"
RECURSION = "fn f(p) { b ~ Bernoulli(p); if b { return 0 }; return 1 + f(p) }; y = f(theta)"


@pytest.mark.parametrize(("text", "options"), [(WAITING, {"among": "score"}), (RECURSION, {})], ids=["loop", "recursion"])
def test_what_has_no_end_is_left_to_others(text: str, options: dict[str, Any]) -> None:
    """There is always one lane left: not an error of the program, and not a hang.  E[n] = 1/theta - 1."""
    result = probrun.parse(text).grad({"theta": 0.5}, samples=5000, seed=0, **options)
    assert not result.exact and {site.estimator for site in result.sites} == {"score"}
    assert abs(float(result.gradient["theta"].mean) + 4) <= 5 * float(result.gradient["theta"].se) < 1


def test_a_loop_without_end_is_exact_where_its_rest_shrinks() -> None:
    result = probrun.parse(WAITING).grad({"theta": 0.5}, samples=5000, seed=0)
    assert result.exact and {site.estimator for site in result.sites} == {"enumerate"}
    assert float(result.value.mean) == pytest.approx(1, rel=1e-12)
    assert float(result.gradient["theta"].mean) == pytest.approx(-4, rel=1e-12)
    assert 0 < result.exact_to < 1e-12 and "loop" in result.cuts[0]


@pytest.mark.parametrize("text", [
    "n ~ Geometric(theta); y = 2^n", "n = 0; g = 1; while g { b ~ Bernoulli(theta); g = not b; n = n + g }; y = 2^n",
    "n ~ Geometric(theta); y = 1.9^n",
])  # fmt: skip
def test_what_does_not_shrink_is_not_exact(text: str) -> None:
    """Each outcome adds as much to E[2^n] as the one before, to E[1.9^n] almost: no rest of it is negligible."""
    result = probrun.parse(text).grad({"theta": 0.5}, samples=2000, seed=0)
    assert not result.exact and {site.estimator for site in result.sites} <= {"score", "fork"}


def test_sure_outcomes_are_not_followed() -> None:
    """1/0 where b = 0, which cannot be."""
    result = probrun.parse("b ~ Bernoulli(1); c ~ Bernoulli(theta); if b == 0 { y = 1/0*theta } else { y = c }; return y").grad({"theta": T}, seed=0)
    assert result.exact and float(result.gradient["theta"].mean) == pytest.approx(1)


def test_errors_count_runs_by_their_probability() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("b ~ Bernoulli(theta); z ~ Bernoulli(b*2); y = z").grad({"theta": T}, seed=0, samples=1000)
    assert caught.value.code == "P0501" and "in 300 of 1000 runs" in str(caught.value)


def second_derivative(text: str, theta: float, **options: Any) -> float:
    variable = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    loss = probrun.parse(text).expectation({"theta": variable}, dtype="float64", **options)
    (first,) = torch.autograd.grad(loss, variable, create_graph=True)
    (second,) = torch.autograd.grad(first, variable)
    return float(second)


def test_second_derivatives() -> None:
    assert second_derivative("b ~ Bernoulli(theta); y = theta*b", T, estimator="enumerate", seed=0) == pytest.approx(2)
    cubic = "b ~ Bernoulli(theta); c ~ Bernoulli(theta); d ~ Bernoulli(theta); y = b*c*d + b"
    assert second_derivative(cubic, T, seed=0) == pytest.approx(6 * T)
    # by score, with credit: 200 estimates of 500 runs, whose spread is the standard error
    for options in ({"estimator": "score"}, {"estimator": "score(credit=false)"}, {"estimator": {"b": "enumerate", "c": "score", "d": "score"}}):
        found = torch.tensor([second_derivative(cubic, T, samples=500, seed=seed, **options) for seed in range(200)])
        se = float(found.std()) / math.sqrt(200)
        assert abs(float(found.mean()) - 6 * T) <= 5 * se and se < 0.2


def test_an_expectation_is_not_biased_unless_asked() -> None:
    """In a loop, where a site is not enumerated by order: the score, not the relaxation (E = (1 + theta)^3)."""
    text = "p = 1; for i in range(3) { b ~ Bernoulli(theta); p = p*(1 + b^3) }; y = p"
    theta = torch.tensor(0.3, requires_grad=True)
    found = []
    for seed in range(20):
        loss = probrun.parse(text).expectation({"theta": theta}, samples=4000, seed=seed)
        found.append(float(torch.autograd.grad(loss, theta)[0]))
    mean = sum(found) / 20
    se = math.sqrt(sum((value - mean) ** 2 for value in found) / 19 / 20)
    assert abs(mean - 3 * 1.3**2) <= 5 * se < 0.5
