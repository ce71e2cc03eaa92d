"""What an adversary (`benchmarks/observing.py`) has found in programs that weigh their runs, from outside: text, and exact answer."""

from __future__ import annotations

import math
from typing import Any

import pytest

import probrun

Z, SMALL = 6.0, 0.1
WAYS: tuple[dict[str, Any], ...] = ({}, {"estimator": "score"}, {"estimator": "enumerate"}, {"pilot": False, "unbiased": True})


def check(moments: Any, truth: float, exact: bool) -> None:
    mean, se = float(moments.mean), float(moments.se)
    if exact:
        assert mean == pytest.approx(truth, rel=1e-9, abs=1e-9)
        return
    assert se <= SMALL * max(abs(truth), 1.0)
    assert abs(mean - truth) <= Z * se + 1e-6 * max(abs(truth), 1.0)


def answers(text: str, value: float, slope: float, evidence: float, evidence_slope: float, **options: Any) -> None:
    """The posterior expectation, its derivative in theta, the log evidence and its derivative, and the last two asked for alone."""
    program = probrun.parse(text)
    found = program.grad(seed=3, samples=20_000, **options)
    check(found.value, value, found.exact)
    check(found.gradient["theta"], slope, found.exact)
    check(found.evidence, evidence, found.exact)
    check(found.evidence_gradient["theta"], evidence_slope, found.exact)
    alone = program.grad(seed=4, samples=20_000, of="evidence", **options)
    check(alone.value, evidence, alone.exact)
    check(alone.gradient["theta"], evidence_slope, alone.exact)


T = "param theta = 0.3\n"
CALLED = {
    # what is asked for, and what nobody reads: both weigh
    "a call in a result": (
        "fn f(x) { observe 1 ~ Bernoulli(x); return x }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\nreturn f(x)", 0.2, 0.7,
    ),
    "a call that nobody reads": (
        "fn f(x) { c ~ Bernoulli(0.5); observe 1 ~ Bernoulli(x*c + 0.1*(1 - c)); return c }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\n"
        "dead = 1*f(x)\nreturn x", 0.15, 0.4,
    ),
    "a call in an observed value": (
        "fn f(x) { observe 1 ~ Bernoulli(x); return 1 }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\nobserve f(x) ~ Bernoulli(0.5)\nreturn x",
        0.1, 0.35,
    ),
    "a call in an observed law": (
        "fn f(x) { observe 1 ~ Bernoulli(x); return 0.5 }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\nobserve 1 ~ Bernoulli(f(x))\nreturn x",
        0.1, 0.35,
    ),
    "a call in a factor": (
        "fn f(x) { observe 1 ~ Bernoulli(x); return 0 }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\nfactor f(x) + log(0.5)\nreturn x", 0.1, 0.35,
    ),
    "a call in a condition": (
        "fn f(x) { observe 1 ~ Bernoulli(x); return x }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\nobserve f(x) > 0\nreturn x", 0.2, 0.7,
    ),
    "a call that ends some runs": (
        "fn f(x) { observe x > 0 or Bernoulli(0.5) > 0; return x }\nb ~ Bernoulli(theta)\nreturn 0.2 + f(b)/2", 0.5, 1.0,
    ),
}


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("name", CALLED)
def test_a_function_that_weighs_does_so_wherever_it_is_called(name: str, options: dict[str, Any]) -> None:
    """x is 0.2 or 0.7, with likelihoods `low` and `high`."""
    text, low, high = CALLED[name]
    mass, moved = 0.7 * low + 0.3 * high, high - low
    above, raised = 0.7 * low * 0.2 + 0.3 * high * 0.7, high * 0.7 - low * 0.2
    value = above / mass
    answers(T + text, value, (raised - value * moved) / mass, math.log(mass), moved / mass, **options)


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_a_variable_is_weighed_by_calls_in_the_return(options: dict[str, Any]) -> None:
    text = T + "fn f(x) { observe 1 ~ Bernoulli(x); return x }\nb ~ Bernoulli(theta)\nx = 0.2 + b/2\nreturn f(x)"
    found = probrun.parse(text).grad(seed=1, samples=20_000, of="b", **options)
    check(found.value, 0.6, found.exact)
    check(found.gradient["theta"], (0.7 - 0.6 * 0.5) / 0.35, found.exact)


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("condition", ["n <= 1", "n >= 0 or n < 0"])
def test_a_condition_that_always_holds_does_nothing(condition: str, options: dict[str, Any]) -> None:
    text = T + f"n ~ DiscreteUniform(0, 1)\nm ~ Bernoulli(theta)\nobserve {condition}\nreturn n + m"
    answers(text, 0.8, 1, 0, 0, **options)
    assert float(probrun.parse(text).run(seed=1).evidence.mean) == 0


ENDING = [
    "b ~ Bernoulli(theta)\nobserve b > 0\nreturn b",
    "b ~ Bernoulli(theta)\nif b { observe b < 0 }\nreturn b",
    "b ~ Bernoulli(theta)\nobserve 1 ~ Binomial(b, 0.5)\nreturn b",
    "b ~ Bernoulli(theta)\nif b { return 1 }\nobserve b > 0\nreturn 2",
    "fn f(x) { observe x > 0; return x }\nb ~ Bernoulli(theta)\nreturn f(b)",
]


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("text", ENDING)
def test_the_mean_of_log_weights_is_infinite_where_runs_end(text: str, options: dict[str, Any]) -> None:
    with pytest.raises(probrun.ProbError) as problem:
        probrun.parse(T + text).grad(seed=1, of="elbo", **options)
    assert problem.value.diagnostics[0].code == "P0502"


@pytest.mark.parametrize("text", ["b ~ Bernoulli(theta)\nobserve b > 1\nreturn b", "fn f(x) { observe x > 1; return x }\nreturn f(theta)"])
@pytest.mark.parametrize("options", WAYS, ids=str)
def test_no_run_is_left_for_the_mean_of_log_weights(text: str, options: dict[str, Any]) -> None:
    program = probrun.parse(T + text)
    for call in (lambda: program.grad(seed=1, of="elbo", **options), lambda: program.grad(seed=1, **options), lambda: program.run(seed=1)):
        with pytest.raises(probrun.ProbError) as problem:
            call()
        assert problem.value.diagnostics[0].code in ("P0510", "P0511")
    with pytest.raises(probrun.ProbError):
        program.expectation({"theta": 0.3}, of="elbo", seed=1)


MISSED = [
    ("x ~ Categorical([1, theta, 1]) via Categorical([1, 1])", "P0213"),
    ("x ~ Categorical([1, theta, 1]) via Categorical([1, 0, 1])", "P0213"),
    ("x ~ Bernoulli(theta) via Bernoulli(0)", "P0213"),
    ("c ~ Bernoulli(theta)\nx ~ Bernoulli(theta) via Bernoulli(0.5*c)", "P0213"),
    ("x ~ Bernoulli([theta, 0.5]) via Bernoulli(0.5)", "P0301"),
    ("x ~ Normal([theta, 1], 1) via Normal([0, 0, 0], 2)", "P0301"),
    ("x ~ OneHotCategorical([1, 1, theta]) via OneHotCategorical([1, 1])", "P0301"),
]


@pytest.mark.parametrize("options", WAYS[:2], ids=str)
@pytest.mark.parametrize(("text", "code"), MISSED)
def test_a_proposal_that_misses_something_is_refused(text: str, code: str, options: dict[str, Any]) -> None:
    with pytest.raises(probrun.ProbError) as problem:
        probrun.parse(f"{T}{text}\nreturn x").grad(seed=1, **options)
    assert problem.value.diagnostics[0].code == code


@pytest.mark.parametrize("text", [
    "c ~ Bernoulli(0.6)\nx ~ Bernoulli(theta*c) via Bernoulli(0.5*c)\nreturn x/0.6",
    "x ~ Categorical([1 - theta, theta, 0]) via Categorical([1, 1])\nreturn x",
    "x ~ Bernoulli(theta) via Bernoulli([0.5, 0.2])\nreturn x[0]",
    "x ~ Bernoulli(theta) via Bernoulli(0.2 + 0.7*Bernoulli(0.3))\nreturn x",
])
@pytest.mark.parametrize("options", WAYS[:2], ids=str)
def test_a_proposal_that_misses_nothing_is_none_of_the_answer(text: str, options: dict[str, Any]) -> None:
    answers(T + text, 0.3, 1, 0, 0, **options)
