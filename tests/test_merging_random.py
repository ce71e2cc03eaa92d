"""Random discrete programs, exactly: probrun against an oracle that goes through every path (`benchmarks/merging.py` tries thousands).

The oracle itself is held against what can be worked out by hand.
"""

from __future__ import annotations

import pytest

import probrun
from benchmarks.liveness import disagreements, live_in_program
from benchmarks.merging import Task, task, tried, without
from benchmarks.merging_oracle import expected
from probrun.dsl.analysis.liveness import find_liveness

SEEDS, GROUP = 150, 15
BITS = 6.0


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_random_programs(first: int) -> None:
    exact = 0
    for seed in range(first, first + GROUP):
        given = task(seed, BITS)
        found = tried(given, most=1000, samples=200)
        assert not any("WRONG" in said for said in found.values()), (seed, found, given.text)
        exact += found.get("enumerated") == "exact"
    assert exact >= GROUP // 3  # the rest have nothing random that reaches a result


@pytest.mark.parametrize(("text", "value", "slope"), [
    ("b ~ Bernoulli(theta); c ~ Bernoulli(theta); return (b + c)^2", 1.5, 4.0),  # 2 theta + 2 theta^2
    ("b ~ Bernoulli(theta); r = if b then theta else 1 - theta; c ~ Bernoulli(r); return c", 0.5, 0.0),  # theta^2 + (1 - theta)^2
    ("w = 0; while w < 2 and Bernoulli(theta) { w = w + 1 }; return w", 0.75, 2.0),  # theta + theta^2
    ("k ~ Binomial(2, theta); return k^2", 1.5, 4.0),
    ("fn f(n) { if n < 1 { return 0 }; return Bernoulli(theta) + f(n - 1) }; return f(3)*theta", 0.75, 3.0),  # 3 theta^2
    ("x = [0, 0]; k ~ Categorical([theta, theta, 1]); for i in range(k) { x[i] = 1 }; return x[1]", 0.5, -0.5),  # 1/(1 + 2 theta)
    ("for i in range(2) { if Bernoulli(theta) { return theta } }; return i", 0.625, 0.25),  # (2t - t^2) t + (1 - t)^2
])
def test_the_oracle_by_hand(text: str, value: float, slope: float) -> None:
    found = expected(probrun.parse(f"param theta; {text}").resolved.program, {"theta": 0.5})
    assert found.values == [pytest.approx(value, abs=1e-12)]
    assert found.slopes == [[pytest.approx(slope, abs=1e-12)]]


@pytest.mark.parametrize(("text", "live"), [
    ("x = 1; y = 2; b ~ Bernoulli(theta); if b { x = y }; y = 0; return x + y", [{"x"}, {"x", "y"}, {"b", "x", "y"}, {"x"}, {"x", "y"}, set()]),
    ("o = 0; s = 0; for i in range(3) { s = s + o; o ~ Bernoulli(theta) }; return s", [{"o"}, {"o", "s"}, {"s"}, set()]),
    ("fn f(x) { s = x*g; return s*theta }; g = 1; s = 2; s = f(s); g = 0; return s", [set(), {"g"}, {"g", "s"}, {"s"}, {"s"}, set()]),
    ("x = [0, 0]; x[0] = 1; b ~ Bernoulli(theta); x[1] = b", [{"x"}, {"x"}, {"b", "x"}, {"x"}]),
])
def test_what_is_live_by_hand(text: str, live: list[set[str]]) -> None:
    resolved = probrun.parse(f"param theta; {text}").resolved
    found = live_in_program(resolved)
    assert [set(found[id(node)]) for node in resolved.program.body.statements[1:]] == live


@pytest.mark.parametrize("text", [
    # each loop has bounds of its own, which tell lanes apart
    "s = 0; for i in range(1 + Bernoulli(theta)) { for j in range(1 + Bernoulli(theta)) { s = s + 1 } }; return s^2",
    # an array of which elements were set, and which is dead where sides meet
    "v = [0, 1, 2]; s ~ Bernoulli(0.2); if Bernoulli(theta) { v[1] = v[s]; s = 1 }; return s",
    "v = [0, 1, 2]; s ~ Bernoulli(0.2); if DiscreteUniform(0, 1) { } else { n = s; s = 2 }; if s { v[1] = s }; return theta",
    # equal but for one rounding, and told apart by a comparison
    "k ~ Categorical([theta, 1, 1]); x = [0.3 - 0.1*3, 1, 1 - 0.00000000000000011102230246251565][k]; k = 0; return (x == 1)*theta",
    # equal values with other derivatives
    "b ~ Bernoulli(0.3); r = if b then theta else 1 - theta; b = 0; c ~ Bernoulli(r); return c*r",
    "r = theta; for i in range(4) { b ~ Bernoulli(r); r = if b then 2*r*r else r }; return r*r",
    "b ~ Bernoulli(0.3); r = [theta, 0.5][b]; b = 0; c ~ Bernoulli(r); return c*r*theta",
    # what is under way in an expression while a function merges
    "fn f(x) { b ~ Bernoulli(theta); c = b; b = 0; return c + x }; v = [0, 0, 0]; v[f(0)] = f(1); v[f(1)] = v[f(0)]*theta + f(0); return v[0] + v[1]*v[2]",
    "fn f(x) { b ~ Bernoulli(theta); b = 0; return x }; x = Bernoulli(theta); y = x*2 + f(1) + x*f(x); return y^2",
    # sums of which only one way of use is linear
    "a = 0; for i in range(4) { b ~ Bernoulli(theta); a = a + b*theta; if Bernoulli(0.5) { return a^2 } }; return a",
    "a = 0; for i in range(4) { b ~ Bernoulli(theta); a = a + b*theta }; c = a; d = a; return c + d*0.5, c*d",
    "a = [0, 0]; for i in range(4) { k ~ Bernoulli(theta); a[k] = a[k] + theta }; return sum(a*a)",
])
def test_what_must_be_kept_apart(text: str) -> None:
    found = tried(Task(f"param theta; {text}", {"theta": 0.5}, ()))
    assert not any("WRONG" in said for said in found.values()), found


@pytest.mark.parametrize(("text", "sd"), [
    ("x = Bernoulli(theta); y = Bernoulli(if x > 0 then theta else 0.3); z ~ Normal(0, 1); return x*y*z", 0.8),  # z * 2 theta
    ("x = Bernoulli(theta); y = Bernoulli(0.3 + x*theta); z ~ Normal(0, 1); return x*y*z", 1.1),  # z (0.3 + 2 theta)
])
def test_a_run_has_its_own_gradient(text: str, sd: float) -> None:
    """Rows that are alike but belong to different runs are told apart: a derivative counts for the run that took it."""
    program = probrun.parse(f"param theta = 0.4; {text}")
    estimator = {site.name: "enumerate" for site in program.resolved.sites if site.distribution.name == "Bernoulli"}
    for layers in ((), ("merge",)):
        with without(*layers):
            result = program.grad(samples=2000, seed=1, estimator=estimator, pilot=False)
        assert float(result.gradient["theta"].sd) == pytest.approx(sd, rel=0.1)


def test_liveness_is_that_of_all_ways() -> None:
    for seed in range(SEEDS):
        given = task(seed)
        resolved = probrun.parse(given.text).resolved
        assert disagreements(resolved, given.of, find_liveness(resolved, given.of).after) == [], (seed, given.text)


def test_a_function_does_not_read_the_outer_variable_of_the_name_of_its_own() -> None:
    resolved = probrun.parse("param theta; fn f(x) { s = x; return s*theta }; b ~ Bernoulli(theta); s = b; return f(b)").resolved
    assert disagreements(resolved, (), find_liveness(resolved).after) == []
