"""Few runs execute both sides of short branches: the same answers, and blocks that are replayed."""

from __future__ import annotations

import pickle
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import probrun
from probrun.dsl.planning.both_sides import FEW_RUNS, both_sides
from probrun.runtime.blocks.replayed import SEEN, BlockReplay

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import both_sides as adversary

Z = 5.0
BRANCH = "param t in (0, 1)\nb ~ Bernoulli(t)\nif b { x ~ Normal(t, 1); y = x^2 } else { e ~ Normal(0, 1); y = sin(e) }\nreturn y"


def replays(program: Any) -> list[int]:
    """How often each has held."""
    tables = (table for (name, _), table in program.resolved.prepared.known.items() if name == "replays")
    return [each.replay.held for table in tables for each in table.values() if isinstance(each, BlockReplay)]


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    """The long version is benchmarks/both_sides.py."""
    log = {"both sides": 0, "other scores": 0}
    text = adversary.Writer(random.Random(f"test {seed}"), False).text()
    try:
        same = adversary.same(text, log)
    except probrun.ProbError as problem:
        pytest.skip(problem.code)
    assert same or not adversary.alike(text, log)


def test_a_branch_is_replayed_with_the_same_numbers() -> None:
    """The calls before and after it is written down draw the same from the same seed."""
    program = probrun.parse(BRANCH)
    options: dict[str, Any] = {"samples": 2000, "pilot": False, "estimator": {"b": "score", "x": "rsample"}}
    first = [program.grad({"t": 0.3}, seed=seed, **options) for seed in range(SEEN)]
    later = [program.grad({"t": 0.3}, seed=seed, **options) for seed in (*range(SEEN), *range(SEEN))]
    assert replays(program) == [2 * SEEN]
    for number, found in enumerate(later):
        assert float(found.gradient["t"].mean) == pytest.approx(float(first[number % SEEN].gradient["t"].mean), rel=1e-5)
        assert float(found.gradient["t"].se) == pytest.approx(float(first[number % SEEN].gradient["t"].se), rel=1e-4)
    mean = sum(float(found.gradient["t"].mean) for found in first) / SEEN
    error = (sum(float(found.gradient["t"].se) ** 2 for found in first)) ** 0.5 / SEEN
    assert error < 0.05 and abs(mean - (1 + 3 * 0.09)) < Z * error


@pytest.mark.parametrize(("text", "estimator", "fit"), [
    (BRANCH, {"b": "score", "x": "rsample"}, True),
    ("param t\nz ~ Normal(t, 1)\nreturn z^2", None, False),  # nothing to take
    ("param t\nz ~ Normal(t, 1)\nif z > 0 { y = log(z) } else { y = 0 }\nreturn y", "score", False),  # not defined everywhere
    ("param t in (0, 1)\nn = 0\nwhile Bernoulli(t) { n = n + 1 }\nreturn n", "score", False),
    ("param t in (0, 1)\nb ~ Bernoulli(t)\nif b { k ~ Bernoulli(t); y = 5*k } else { y = 0 }\nreturn y", "score", False),
    ("param t in (0, 1)\nb ~ Bernoulli(t)\nif b { for i in range(3) { y = i } } else { y = 0 }\nreturn y", "score", False),
])
def test_where_both_sides_are_executed(text: str, estimator: Any, fit: bool) -> None:
    program = probrun.parse(text)
    program.grad({"t": 0.4}, samples=200, seed=1, pilot=False, estimator=estimator)
    asked = [value for (name, _), value in program.resolved.prepared.known.items() if name == "both sides"]
    assert asked == [fit]


def test_an_error_where_nobody_goes() -> None:
    """The scale is negative where the branch is not taken: runs are taken apart after all, and the answer is that of a formula."""
    program = probrun.parse(
        "param t = 1\nu ~ Uniform(-1, 1)\nb = u > 0\nif b { x ~ Normal(0, 1); y = t*(0.1 + u)*x^2 + t*u } else { x ~ Normal(t, 0.2 - u); y = x }\n"
        "return y"
    )
    assert both_sides(program.resolved, program._plan(probrun.api.plan_options(
        program.resolved, estimator=None, unbiased=False, among=None, tau=0.5, allow_biased=False, of=None
    )))
    found = program.grad(samples=FEW_RUNS, seed=3, pilot=False)
    moments = found.gradient["t"]
    assert float(moments.se) < 0.03 and abs(float(moments.mean) - (0.5 * (0.6 + 0.5) + 0.5)) < Z * float(moments.se)


def test_a_kink_where_nobody_goes() -> None:
    """abs(k - 1) is met at 1 only where the other side is taken."""
    program = probrun.parse("param t = 2\nk ~ Poisson(1)\nif k == 1 { y = t } else { y = t*abs(k - 1) }\nreturn y")
    found = program.grad(samples=1000, seed=1, pilot=False, estimator="sample")
    assert not found.kinks and not any(doubt.code == "P0703" for doubt in found.warnings)


def test_compiled_gradients_of_few_runs() -> None:
    program = probrun.parse(BRANCH)
    options: dict[str, Any] = {"samples": 2000, "pilot": False, "estimator": {"b": "score", "x": "rsample"}}
    plain = [program.grad({"t": 0.3}, seed=seed, **options) for seed in range(3)]
    compiled = [program.grad({"t": 0.3}, seed=seed, compile=True, **options) for seed in range(3)]
    assert compiled[0].compiled.reason is None and compiled[0].compiled.seconds > 0 and compiled[1].compiled.seconds == 0
    for one, other in zip(plain, compiled, strict=True):
        assert float(other.gradient["t"].mean) == pytest.approx(float(one.gradient["t"].mean), rel=1e-4)
    loop = probrun.parse("param t in (0, 1)\nn = 0\nwhile Bernoulli(t) { n = n + 1 }\nreturn n")
    said = loop.grad({"t": 0.3}, samples=500, seed=1, compile=True, estimator="score", pilot=False)
    assert said.compiled.reason and torch.isfinite(said.gradient["t"].mean)


def test_a_compiled_fit() -> None:
    program = probrun.parse("param m = 3\nz ~ Normal(m, 1)\nreturn (z - 1)^2")
    found = program.fit(minimize=True, seed=1, compile=True)
    assert abs(float(found.parameters["m"].value) - 1.0) < 0.05
    assert found.compiled is not None and found.compiled.reason is None and "compiled" in found.to_dict()
    assert program.fit(minimize=True, seed=1).compiled is None


def test_options_without_a_text_of_their_own() -> None:
    """Iterators may have the same text and not the same names."""
    program = probrun.parse("param t in (0, 1)\nb ~ Bernoulli(t)\nz ~ Normal(t, 1)\nreturn b + z")
    for _ in range(SEEN + 3):
        one = program.grad({"t": 0.4}, samples=100, seed=1, among=(name for name in ("score", "sample")), pilot=False)
        other = program.grad({"t": 0.4}, samples=100, seed=1, among=(name for name in ("enumerate", "rsample")), pilot=False)
        assert [site.estimator for site in one.sites] == ["score", "score"]
        assert [site.estimator for site in other.sites] == ["enumerate", "rsample"]


def test_results_of_replays_are_pickled() -> None:
    program = probrun.parse("param t = 1\nz ~ Normal(t, 1)\nreturn z^2")
    for seed in range(SEEN + 4):
        found = program.grad(samples=300, seed=seed, pilot=False)
        again = pickle.loads(pickle.dumps(found))
        assert again.warnings == found.warnings and again.steady == found.steady
        assert float(again.gradient["t"].mean) == float(found.gradient["t"].mean)
    assert replays(program)[0] >= 3


def test_vi_says_what_became_of_compiling() -> None:
    program = probrun.parse("param m = 0\nmu ~ Normal(m, 1)\nobserve 1 ~ Normal(mu, 1)\nreturn mu")
    found = program.vi(seed=1, steps=3, compile=True)
    assert "compiled in" in str(found) or "not compiled, because" in str(found)
    assert "compiled" in found.to_dict() and "compiled" not in str(program.vi(seed=1, steps=3))
