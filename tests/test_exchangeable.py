"""Arrays of draws of one law of which only counts matter: exact by default however many elements there are, and left alone where
anything tells elements apart.  Random programs: `benchmarks/exchangeable.py` tries thousands.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import pytest
import torch

import probrun
from benchmarks.exchangeable import ArrayPath, Arrays
from benchmarks.merging import tried
from probrun.dsl.analysis.exchangeable import find_exchangeable
from tests.test_exact import TINY, Oracle, binomial, declared, mean, reached, sigmoid

REASON = "counts of outcomes, weighed by their probabilities"


def shares(n: int, chances: list[complex]) -> list[tuple[complex, tuple[int, int]]]:
    """The law of the first two counts of a trinomial."""
    p, q, r = chances
    return [
        (math.comb(n, i) * math.comb(n - i, j) * p**i * q**j * r ** (n - i - j), (i, j)) for i in range(n + 1) for j in range(n - i + 1)
    ]


def over(n: int, p: complex, value: Any) -> complex:
    """The mean of a function of a Binomial, by ratios of its terms."""
    return sum((weight * value(k) for weight, k in binomial(n, p)), 0j)


def spread(p: complex) -> complex:
    def step(ill: int) -> list[tuple[complex, int]]:
        return [(weight, min(ill + k, 12)) for weight, k in binomial(12, 0.5 * p * ill / 12)]

    return mean(reached(1, step, 5), lambda ill: ill * ill)


def trinomial(t: complex) -> complex:
    total = t + 1.5
    return sum((weight * i * j for weight, (i, j) in shares(12, [t / total, 1 / total, 0.5 / total])), 0j)


def either(p: complex) -> complex:
    return p * over(30, p, lambda k: k * k) + (1 - p) * over(30, p / 2, lambda k: k * k)


def square(n: int, p: complex) -> complex:
    return n * p * (1 - p) + n * n * p * p


PROGRAMS: dict[str, tuple[str, dict[str, float], Oracle]] = {
    "1000 agents": ("b ~ Bernoulli(p*ones(1000)); return sum(b)^2", {"p": 0.3}, lambda p: square(1000, p)),
    "4000 agents": ("b ~ Bernoulli(p*ones(4000)); return mean(b)^2", {"p": 0.001}, lambda p: square(4000, p) / 16e6),
    "a majority": (
        "b ~ Bernoulli(p + zeros(101)); return if sum(b) > 50 then 1 else 0", {"p": 0.45}, lambda p: over(101, p, lambda k: k > 50)),
    "the largest": ("b ~ Bernoulli(p*ones(200)); return max(b)", {"p": 0.01}, lambda p: 1 - (1 - p) ** 200),
    "all of them": ("b ~ Bernoulli(p*ones(40)); return all(b == 1)", {"p": 0.97}, lambda p: p**40),
    "without a name": ("return sum(Bernoulli(p*ones(300)))^2", {"p": 0.6}, lambda p: square(300, p)),
    "by another name": ("b ~ Bernoulli(p*ones(300)); c = 2*b + 1; d = c; return sum(d)*sum(b)", {"p": 0.6},
                        lambda p: 2 * square(300, p) + 300 * 300 * p),
    "a matrix": ("b ~ Bernoulli(p*ones(6, 7)); return sum(b)^2", {"p": 0.2}, lambda p: square(42, p)),
    "by logits": ("b ~ Bernoulli(logits=a*ones(99)); return sum(b)^2", {"a": -1.2}, lambda a: square(99, sigmoid(a))),
    "variance": ("b ~ Bernoulli(p*ones(50)); return mean((b - mean(b))^2)", {"p": 0.3}, lambda p: 49 / 50 * p * (1 - p)),
    "a trinomial": ("k ~ Categorical([t, 1, 0.5]*ones(12, 1)); return sum(k == 0)*sum(k == 1)", {"t": 0.7}, trinomial),
    "binomials": ("k ~ Binomial(2, p*ones(8)); return exp(sum(k)/4)", {"p": 0.3}, lambda p: (1 - p + p * math.exp(0.25)) ** 16),
    "log likelihood": (
        "b ~ Bernoulli(p*ones(60)); return sum(logpdf(Bernoulli(q), b))^2", {"p": 0.3, "q": 0.4},
        lambda p, q: over(60, p, lambda k: (k * cmath.log(q) + (60 - k) * cmath.log(1 - q)) ** 2)),
    "in a loop": ("i = 1; for t in range(5) { b ~ Bernoulli(p*i/24*ones(12)); i = min(i + sum(b), 12) }; return i^2", {"p": 0.9}, spread),
    "in a branch": (
        "if Bernoulli(p) { b ~ Bernoulli(p*ones(30)) } else { b ~ Bernoulli(p/2*ones(30)) }; return sum(b)^2", {"p": 0.4}, either),
    "in a function": (
        "fn votes(q, n) { b ~ Bernoulli(q*ones(n)); return sum(b) }\nreturn votes(p, 100)*votes(p/2, 50)", {"p": 0.4},
        lambda p: 100 * p * 50 * p / 2),
    "after draws": (
        "k ~ Binomial(9, p); b ~ Bernoulli((k + 1)/11*ones(60)); return sum(b)^2", {"p": 0.4},
        lambda p: over(9, p, lambda k: square(60, (k + 1) / 11))),
    "many lanes, few laws": (
        "k ~ Binomial(300, 0.5); b ~ Bernoulli((k % 2 + 1)/4*p*ones(10)); return sum(b)^2*k", {"p": 0.9},
        lambda p: mean({k: w for w, k in binomial(300, 0.5)}, lambda k: k * square(10, (k % 2 + 1) / 4 * p))),
    "a row of a table": (
        "rows = [[p, 0.3], [0.5, 0.2]]; s ~ Bernoulli(0.4); b ~ Bernoulli(rows[s, 0]*ones(70)); return sum(b)^2", {"p": 0.4},
        lambda p: 0.6 * square(70, p) + 0.4 * square(70, 0.5)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_exact(name: str) -> None:
    text, at, oracle = PROGRAMS[name]
    result = probrun.parse(declared(text, at)).grad(seed=1)
    assert result.exact and not result.biased and REASON in {site.reason for site in result.sites}
    assert float(result.value.mean) == pytest.approx(complex(oracle(*at.values())).real, rel=1e-10, abs=0)
    for parameter in at:
        wanted = oracle(*(complex(value, TINY * (other == parameter)) for other, value in at.items())).imag / TINY
        assert float(result.gradient[parameter].mean) == pytest.approx(wanted, rel=1e-9, abs=0), parameter


@pytest.mark.parametrize("p", [0.0, 1.0, 1 - 2**-30, 1e-320, 1e-110, 1e-90, 1e-25, 1e-18, 1e-9, 1e-4, 0.0099, 0.0101, 0.5])
def test_derivatives_at_the_edge(p: float) -> None:
    """E S^2 of a thousand, to the second derivative (at 1 terms of 10^12 leave 2*10^6)."""
    n = 1000
    program = probrun.parse(f"param p\nb ~ Bernoulli(p*ones({n})); s = sum(b); return s^2")
    theta = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    value = program.expectation({"p": theta}, estimator="enumerate", dtype="float64")
    (first,) = torch.autograd.grad(value, theta, create_graph=True)
    (second,) = torch.autograd.grad(first, theta)
    found = float(value.detach()), float(first.detach()), float(second)
    wanted = square(n, p).real, n * (1 - 2 * p) + 2 * n * n * p, 2 * n * n - 2 * n
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-300)


def test_two_at_the_edge() -> None:
    found = probrun.parse("param p = 0\nb ~ Bernoulli(p*ones(500)); return sum(b) == 1, sum(b) == 2").grad(seed=1)
    first, second = (float(found.gradients[name]["p"].mean) for name in found.values)
    assert found.exact and first == pytest.approx(500, rel=1e-12) and second == 0


def test_what_stands_still_at_0_is_left_out() -> None:
    """A category without weight: the others are counted, and a value that has none is never taken."""
    text = "param t = 0.3\nk ~ Categorical([t, 0, 1 - t]*ones(40, 1)); return 1/(1 - (sum(k == 1) > 0))*sum(k)"
    found = probrun.parse(text).grad(seed=1)
    assert found.exact and float(found.value.mean) == pytest.approx(56) and float(found.gradient["t"].mean) == pytest.approx(-80)


APART = [
    "b ~ Bernoulli(p*ones(3)); return b", "b ~ Bernoulli(p*ones(3))", "b ~ Bernoulli(p*ones(3)); return b[0]*sum(b)",
    "b ~ Bernoulli(p*ones(3)); c = b; return c[0]", "b ~ Bernoulli(p*ones(3)); c = 1 - b; return c[0] + sum(b)",
    "b ~ Bernoulli(p*ones(3)); c ~ Bernoulli(p*ones(3)); return sum(b*c)^2", "b ~ Bernoulli(p*ones(3)); return sum(b*[1, 2, 3])^2",
    "b ~ Bernoulli(p*ones(3)); b[0] = 1; return sum(b)^2", "b ~ Bernoulli(p*ones(3)); b[0] ~ Bernoulli(p); return sum(b)^2",
    "b ~ Bernoulli(p*ones(3)); x ~ Bernoulli(0.2 + b/2); return sum(x)*sum(b)", "b ~ Bernoulli(p*ones(3)); s = 0; for x in b { s = 2*s + x }; return s",
    "fn f(v) { return v[0] }\nb ~ Bernoulli(p*ones(3)); return f(b)", "fn f() { return b[0] }\nb ~ Bernoulli(p*ones(3)); return f()",
    "fn f() { b ~ Bernoulli(p*ones(3)); return b }\nreturn f()[0]", "b ~ Bernoulli([p, p, p]); return sum(b)^2",
    "data d[n] = [0.3, 0.3, 0.3]\nb ~ Bernoulli(p*d); return sum(b)^2", "b ~ Bernoulli(p*ones(3)); return sum(cumsum(b))",
    "b ~ Bernoulli(p*ones(3)); b = if p > 0.2 then b else zeros(3); return sum(b)", "return sum(Bernoulli(p*ones(3))*Bernoulli(p*ones(3)))^2",
    "b ~ Bernoulli(p*ones(3)); return sum((b - b[0])^2)", "b ~ Bernoulli(p*ones(3)); return sum(logpdf(Bernoulli([p, 0.2, 0.3]), b))",
    "b = zeros(3); for i in range(2) { c ~ Bernoulli(p*ones(3)); b = b + c }; return sum(b)^2", "b ~ Bernoulli(p*ones(3)); return matmul(b, [1, 2, 3])",
    "k ~ OneHotCategorical([p, 1, 1]*ones(3, 1)); return sum(k[0])", "b ~ Bernoulli(ones(3)*[p, 0.2, 0.3]); return sum(b)",
    "k ~ Categorical([[p, 1], [p, 1]]); return sum(k)^2",
]


@pytest.mark.parametrize("text", APART)
def test_elements_that_are_told_apart(text: str) -> None:
    assert not find_exchangeable(probrun.parse("param p = 0.3\n" + text).resolved)


def test_a_variable_that_is_asked_for() -> None:
    program = probrun.parse("param p = 0.3\nb ~ Bernoulli(p*ones(9)); c = 1 - b; return sum(b)^2")
    for of, wanted in (("b", [0.3] * 9), ("c", [0.7] * 9)):
        found = program.grad(seed=1, of=[of])
        assert found.exact and found.values[of].mean.tolist() == pytest.approx(wanted)
        assert not find_exchangeable(program.resolved, (of,))
    assert find_exchangeable(program.resolved, ("p",))


def test_arguments_that_are_equal_by_value_only() -> None:
    text = "param p = 0.3\ndata d[n]\nb ~ Bernoulli(p*d); return sum(b)^2"
    found = probrun.parse(text).grad(data={"d": [1.0] * 8}, seed=1)
    assert found.exact and float(found.value.mean) == pytest.approx(square(8, 0.3)) and REASON not in {s.reason for s in found.sites}


def test_it_is_foreseen() -> None:
    few, many = (probrun.parse(f"param p = 0.3\nb ~ Bernoulli(p*ones({n})); return sum(b)^2").explain()[0] for n in (200, 1000))
    assert few.estimator == "enumerate" and few.foreseen is not None and few.foreseen.exact == "certain"
    assert many.foreseen is not None and many.foreseen.exact == "first" and not many.foreseen.crowded
    apart = probrun.parse("param p = 0.3\nb ~ Bernoulli(p*ones(1000)); return b[0]*sum(b)").explain()[0]
    assert apart.foreseen is not None and apart.foreseen.crowded == "2^1000"


def test_too_many_are_sampled() -> None:
    found = probrun.parse("param p = 0.3\nb ~ Bernoulli(p*ones(9000)); return mean(b)^2").grad(seed=1, samples=1000, unbiased=True)
    assert not found.exact and abs(float(found.gradient["p"].mean) - 0.6) <= 5 * float(found.gradient["p"].se)


def test_beside_a_continuous_draw() -> None:
    """Counted inside each run: E S^2 = n E[q (1 - q)] + n^2 E[q^2], q = p x with x uniform."""
    text = "param p = 0.6\nx ~ Uniform(0, 1); b ~ Bernoulli(p*x*ones(20)); return sum(b)^2"
    found = probrun.parse(text).grad(seed=1, samples=4000, estimator={"b": "enumerate"})
    slope = 20 * (0.5 - 2 * 0.6 / 3) + 400 * 2 * 0.6 / 3
    assert {site.name: site.estimator for site in found.sites}["b"] == "enumerate"
    assert abs(float(found.gradient["p"].mean) - slope) <= 5 * float(found.gradient["p"].se) < 15


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_random_programs(first: int) -> None:
    exact = 0
    for seed in range(first, first + 15):
        given = Arrays(seed, 7.0).task()
        found = tried(given, most=1000, samples=200, kind=ArrayPath)
        assert not any("WRONG" in said for said in found.values()), (seed, found, given.text)
        exact += found.get("enumerated") == "exact"
    assert exact >= 5  # of some nothing random reaches a result, or a kink is met
