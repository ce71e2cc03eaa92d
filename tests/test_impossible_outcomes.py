"""Outcomes of probability 0: one whose probability moves counts in the derivative, and one that stands still does no harm.

The exact derivatives are closed forms, or come from dual numbers here.
"""

from __future__ import annotations

import pytest

import probrun

THREE = "s = 0\nfor t in range(3) {\n  x ~ Categorical([0.5 - theta/2, 0.5 - theta/2, theta])\n  s = s + x^2\n}\nreturn s"
EXACT = [  # (program after `param theta = 0`, exact derivative): the default must find it
    ("b ~ Bernoulli(theta)\nreturn 3*b", 3.0),
    ("b ~ Bernoulli(1 - theta)\nreturn 3*b", -3.0),
    ("k ~ Binomial(3, theta)\nreturn k^2", 3.0),
    ("k ~ Binomial(3, 1 - theta)\nreturn k^2", -15.0),
    ("x ~ Categorical([1 - theta, theta, 0])\nreturn x", 1.0),
    ("x ~ Categorical([1 - 3*theta, theta, 2*theta])\nreturn x", 5.0),  # the derivatives of the weights add up to 0
    ("x ~ OneHotCategorical([1 - theta, 0, theta])\nreturn 5*x[2]", 5.0),
    ("k ~ Multinomial(3, [1 - theta, theta])\nreturn k[1]^2", 3.0),
    ("b ~ Bernoulli(theta*ones(2))\nreturn b[0] + b[0]*b[1]", 1.0),
    # in one branch the probability grows, in the other it shrinks: together they cancel, and must not
    ("z ~ Bernoulli(0.5)\nb ~ Bernoulli(if z then theta else -theta)\nreturn 3*b*(2*z - 1)", 3.0),
    # logarithms of 0 that only move to another -inf
    ("x ~ Categorical(logits=[0, theta + log(0), theta])\nreturn x", 0.5),
]


@pytest.mark.parametrize(("program", "exact"), [*EXACT, (THREE, 10.5)])
def test_the_default_sums_over_them(program: str, exact: float) -> None:
    found = probrun.parse(f"param theta = 0\n{program}").grad(samples=500, seed=1)
    assert found.gradient["theta"].mean == pytest.approx(exact, abs=1e-9) and found.exact


@pytest.mark.parametrize(("program", "exact"), [(THREE, 10.5), ("z ~ Normal(theta, 1)\nb ~ Bernoulli(theta)\nreturn z + 2*b", 3.0)])
def test_summed_by_force(program: str, exact: float) -> None:
    name = "x" if "x ~" in program else "b"
    found = probrun.parse(f"param theta = 0\n{program}").grad(samples=500, seed=1, estimator={name: "enumerate"})
    moments = found.gradient["theta"]
    assert abs(float(moments.mean) - exact) <= 5 * float(moments.se) + 1e-5 and float(moments.se) < 0.1


LOST = [
    ("b ~ Bernoulli(theta)\nreturn 3*b", 3.0), ("k ~ Binomial(3, theta)\nreturn k", 3.0), ("k ~ Poisson(theta)\nreturn k", 1.0),
    ("k ~ Geometric(1 - theta)\nreturn k", 1.0), ("k ~ NegativeBinomial(2, theta)\nreturn k", 2.0), (THREE, 10.5),
    ("x ~ OneHotCategorical([0.5 - theta/2, 0.5 - theta/2, theta])\nreturn x[2]", 1.0),
    ("k ~ Multinomial(3, [0.5 - theta/2, 0.5 - theta/2, theta])\nreturn k[2]", 3.0),
    ("z ~ Bernoulli(0.5)\nb ~ Bernoulli(if z then theta else -theta)\nreturn 3*b*(2*z - 1)", 3.0),
]
NO_NUMBER = "x ~ Categorical(logits=[0, log(theta)])\nreturn x"  # -inf carries no derivative


@pytest.mark.parametrize("program", [*(program for program, _ in LOST), NO_NUMBER])
@pytest.mark.parametrize("samples", [100, 1])
def test_the_score_refuses(program: str, samples: int) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(f"param theta = 0\n{program}").grad(samples=samples, seed=1, among=["score"])
    assert caught.value.code == "P0404" and caught.value.line and caught.value.hint


@pytest.mark.parametrize(("program", "exact"), LOST)
def test_a_fork_takes_the_place_of_the_score(program: str, exact: float) -> None:
    found = probrun.parse(f"param theta = 0\n{program}").grad(samples=4000, seed=1, estimator="score")
    moments = found.gradient["theta"]
    assert abs(float(moments.mean) - exact) <= 5 * float(moments.se) + 1e-5 and float(moments.se) < 0.03 * exact
    assert "score" not in {site.estimator for site in found.sites if site.name != "z"}


def test_nothing_is_right_where_a_number_carries_no_derivative() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(f"param theta = 0\n{NO_NUMBER}").grad(samples=100, seed=1)
    assert caught.value.code == "P0404" and caught.value.line


def test_many_outcomes_with_few_states_are_summed() -> None:
    """The derivative of E[x^2] is 4 - 1/2, in each of 20 rounds."""
    found = probrun.parse(f"param theta = 0\n{THREE.replace('range(3)', 'range(20)')}").grad(samples=1000, seed=1)
    assert found.exact and found.gradient["theta"].mean == pytest.approx(70, rel=1e-12)


def test_too_many_outcomes_go_on_as_forks() -> None:
    """No two ways lead to the same of 3^20 states.  s = sum w_t x_t, w_t = 2^-t; E[x_t^2] = (1 - theta)/2 + 4 theta and
    E[x_t] = (1 - theta)/2 + 2 theta: d E[s^2] = 3.5 sum w_t^2 + 1.5 ((sum w_t)^2 - sum w_t^2)."""
    program = THREE.replace("range(3)", "range(20)").replace("s + x^2", "s + x*2^(-t)").replace("return s", "return s^2")
    weights = [2.0**-t for t in range(20)]
    squares = sum(weight**2 for weight in weights)
    exact = 3.5 * squares + 1.5 * (sum(weights) ** 2 - squares)
    found = probrun.parse(f"param theta = 0\n{program}").grad(samples=40_000, seed=1)
    assert {site.estimator for site in found.sites} == {"fork"}
    assert abs(float(found.gradient["theta"].mean) - exact) < 5 * float(found.gradient["theta"].se) < 0.1 * exact


@pytest.mark.parametrize("mass", ["Poisson(theta), 1", "Bernoulli(theta), 1", "Categorical([1 - theta, theta]), 1", "Binomial(2, theta), 1"])
def test_a_mass_that_moves_away_from_0_is_refused(mass: str) -> None:
    """exp(logpdf(Poisson(theta), 1)) = theta*exp(-theta) has the derivative 1 at 0; -inf carries none."""
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(f"param theta = 0\nreturn exp(logpdf({mass}))").grad(seed=1)
    assert caught.value.code == "P0404" and caught.value.line == 2


def test_a_mass_of_0_that_stands_still_is_none() -> None:
    program = "param theta = 0.3\nk ~ Categorical([theta, 1 - theta, 0])\nreturn exp(logpdf(Categorical([theta, 1 - theta, 0]), 2)) + k"
    assert float(probrun.parse(program).grad(seed=1).gradient["theta"].mean) == pytest.approx(-1.0)


# ----------------------------------------------------------------------------------------- zeros that stand still
def chain(rows: list[list[tuple[float, float]]], rounds: int, results: list[float]) -> float:
    """d E[result of the last state] of a Markov chain that starts in 0, by dual numbers; rows of (probability, derivative)."""
    state = [(1.0, 0.0), *[(0.0, 0.0)] * (len(rows) - 1)]
    for _ in range(rounds):
        state = [
            (sum(p * row[j][0] for (p, _), row in zip(state, rows, strict=True)),
             sum(p * row[j][1] + d * row[j][0] for (p, d), row in zip(state, rows, strict=True)))
            for j in range(len(rows))
        ]
    return sum(d * result for (_, d), result in zip(state, results, strict=True))


A = 0.2
CHAINS = [
    ("[1-a, a, 0]", "[0.3, 0.7-a/2, a/2]", "[0.2, 0.3, 0.5]",
     [[(1 - A, -1), (A, 1), (0, 0)], [(0.3, 0), (0.7 - A / 2, -0.5), (A / 2, 0.5)], [(0.2, 0), (0.3, 0), (0.5, 0)]]),
    ("[0, a, 1-a]", "[1-a, 0, a]", "[a, 1-a, 0]",
     [[(0, 0), (A, 1), (1 - A, -1)], [(1 - A, -1), (0, 0), (A, 1)], [(A, 1), (1 - A, -1), (0, 0)]]),
    ("[1-a, a, 0*a]", "[0, 1-a^2, a^2]", "[0, 0, 1]",
     [[(1 - A, -1), (A, 1), (0, 0)], [(0, 0), (1 - A**2, -2 * A), (A**2, 2 * A)], [(0, 0), (0, 0), (1, 0)]]),
    ("[1-a, a, max(0, a - 1)]", "[0.5, 0.5, 0]", "[0, 0, 1]",
     [[(1 - A, -1), (A, 1), (0, 0)], [(0.5, 0), (0.5, 0), (0, 0)], [(0, 0), (0, 0), (1, 0)]]),
]


@pytest.mark.parametrize("one, two, three, rows", CHAINS)
@pytest.mark.parametrize("draw", ["s ~ Categorical(p)", "v ~ OneHotCategorical(p)\n  s = v[1] + 2*v[2]"])
def test_a_chain_with_zeros_that_stand_still(one: str, two: str, three: str, rows: list[list[tuple[float, float]]], draw: str) -> None:
    program = probrun.parse(
        f"param a = {A}\ns = 0\nfor t in range(4) {{\n  p = if s < 1 then {one} else if s < 2 then {two} else {three}\n  {draw}\n}}\n"
        "return s^2"
    )
    exact = chain(rows, 4, [0.0, 1.0, 4.0])
    for estimator, tolerance in (("score", 0.25), ("enumerate", 1e-6)):
        found = program.grad(samples=4000, seed=3, estimator=estimator).gradient["a"]
        assert float(found.se) <= tolerance and abs(float(found.mean) - exact) <= 5 * float(found.se) + 1e-5
