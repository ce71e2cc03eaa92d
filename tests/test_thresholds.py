"""Draws against bounds that move.  By default they are right; where `jump` is not among what may be chosen, the advice of P0403 is
a program with the right gradient: it is read out of the hint, written in, and run."""

from __future__ import annotations

import re

import pytest

import probrun
from probrun.dsl.tables.distributions import DISTRIBUTIONS
from probrun.dsl.tables.estimators import ESTIMATORS

# A distribution, and a threshold inside its support.
DRAWN = {
    "Normal": ("Normal(0.3, 1.5)", 0.8), "Laplace": ("Laplace(0, 1.5)", 0.8), "Cauchy": ("Cauchy(0.2, 1)", 0.8),
    "Gumbel": ("Gumbel(0, 1.2)", 0.8), "Logistic": ("Logistic(loc=0.1, scale=1)", 0.8), "StudentT": ("StudentT(4)", 0.8),
    "Weibull": ("Weibull(3, 2)", 1.7), "HalfNormal": ("HalfNormal(1.5)", 0.8), "HalfCauchy": ("HalfCauchy(1)", 0.8),
    "Exponential": ("Exponential(1)", 0.8), "Gamma": ("Gamma(2, rate=3)", 0.8), "InverseGamma": ("InverseGamma(3, 2)", 0.8),
    "LogNormal": ("LogNormal(0.1, 0.7)", 0.8), "Uniform": ("Uniform(-1, 3)", 0.8),
}  # fmt: skip
# The bound as a text, and its derivative in theta.
BOUNDS = [("theta", 1.0), ("2*theta", 2.0), ("theta + 0.1", 1.0), ("theta^2/0.8", 2.0)]


def density(call: str, at: float) -> float:
    return float(probrun.parse(f"return exp(logpdf({call}, {at}))").run(samples=1, dtype="float64").value.mean)


ON_PATHS = [row.name for row in ESTIMATORS.values() if not row.crosses and row.carrier is not row.carrier.NOTHING]


def hint_of(text: str) -> str:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(text).explain(among=ON_PATHS)
    assert caught.value.code == "P0403" and caught.value.hint is not None
    return caught.value.hint


def rewritten(text: str, call: str, comparison: str) -> str:
    """The program with what the hint proposes written in."""
    pieces = re.findall(r"`([^`]+)`", hint_of(text))
    if "in place of" in hint_of(text):
        new, old = pieces
        assert old == comparison
        return text.replace(old, new)
    if len(pieces) == 1:
        return text.replace(comparison, pieces[0])
    drawn, compared = pieces
    return text.replace(comparison, compared).replace(f"x ~ {call}", drawn)


def check(text: str, exact: float) -> None:
    """By any estimator that is right there."""
    gradient = probrun.parse(text).grad(samples=40_000, seed=3).gradient["theta"]
    mean, error = float(gradient.mean), float(gradient.se)
    assert abs(mean - exact) < 5 * error + 1e-5 * abs(exact), (text, mean, error, exact)  # false alarm: 6e-7 a case
    assert error < 0.05 * max(1, abs(exact))


def test_every_distribution_of_the_tables_is_tried() -> None:
    assert {row.name for row in DISTRIBUTIONS.values() if row.shifted or row.stretched} | {"Uniform"} == set(DRAWN)
    assert set(DRAWN) <= set(DISTRIBUTIONS)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(("bound", "slope"), BOUNDS[:2], ids=[bound for bound, _ in BOUNDS[:2]])
def test_the_advice_is_a_right_program(name: str, bound: str, slope: float) -> None:
    call, at = DRAWN[name]
    theta = at / slope
    text = f"param theta = {theta}; x ~ {call}; y = if x < {bound} then 1 else 0; return y"
    exact = slope * density(call, at)
    check(text, exact)
    check(rewritten(text, call, f"x < {bound}"), exact)


@pytest.mark.parametrize("name", ["Normal", "Gamma", "LogNormal", "Uniform"])
@pytest.mark.parametrize(("bound", "slope"), BOUNDS[2:], ids=[bound for bound, _ in BOUNDS[2:]])
@pytest.mark.parametrize("order", ["{bound} <= {x}", "{x} > {bound}"])
def test_other_bounds_and_orders(name: str, bound: str, slope: float, order: str) -> None:
    call, at = DRAWN[name]
    theta = at - 0.1 if "+" in bound else at
    comparison = order.format(bound=bound, x="x")
    text = f"param theta = {theta}; x ~ {call}; return if {comparison} then 1 else 0"
    check(rewritten(text, call, comparison), -slope * density(call, at))
    comparison = order.format(bound=bound, x=call)
    text = f"param theta = {theta}; return if {comparison} then 1 else 0"
    check(rewritten(text, call, comparison), -slope * density(call, at))


@pytest.mark.parametrize("name", ["Normal", "Weibull", "LogNormal"])
def test_a_draw_that_is_used_elsewhere_keeps_its_value(name: str) -> None:
    call, at = DRAWN[name]
    text = f"param theta = {at}; x ~ {call}; return if x < theta then x else 0"
    check(text, at * density(call, at))
    check(rewritten(text, call, "x < theta"), at * density(call, at))


@pytest.mark.parametrize("call", ["Beta(2, 3)", "Pareto(0.1, 3)", "Kumaraswamy(2, 3)", "TruncatedNormal(0, 1, -2, 2)", "Chi2(3)", "VonMises(0, 1)"])
def test_where_nothing_is_right_nothing_is_proposed(call: str) -> None:
    text = f"param theta = 0.5; x ~ {call}; return x < theta"
    check(text, density(call, 0.5))
    hint = hint_of(text)
    assert "`" not in hint and "sigmoid((theta - x)/0.1)" in hint


def test_bounds_that_are_drawn_or_come_later_are_left_alone() -> None:
    assert "`" not in hint_of("param theta = 0.5; x ~ Normal(0, 1); y ~ Normal(0, 1); return x < theta*y")
    assert "`" not in hint_of("param theta = 0.5; x ~ Normal(0, 1); b = 2*theta; return x < b")


def test_a_parameter_that_is_positive_needs_no_condition() -> None:
    text = "param theta{} = 0.5; x ~ Gamma(2, 1); return x < theta"
    assert "(for theta > 0)" in hint_of(text.format(""))
    assert "(for" not in hint_of(text.format(" in (0, inf)"))
