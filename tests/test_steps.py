"""Blocks that are written down and replayed: the numbers of the interpreter, as long as it would do the same; else its own words."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import probrun
from probrun.runtime.blocks.replayed import SEEN as SEEN_BLOCKS
from probrun.runtime.blocks.replayed import BlockReplay
from probrun.runtime.steps.step import SEEN, BlockStep

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import steps as adversary

Z = 5.0


def point(value: float | list[float]) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def held(program: Any, what: str = "steps") -> list[int]:
    """How often the steps, or the replays, of a program have held."""
    found = []
    for (name, _), table in program.resolved.prepared.known.items():
        if name == what:
            made = table.made.values() if what == "steps" else table.values()
            found += [each.replay.held for each in made if isinstance(each, BlockStep | BlockReplay)]
    return found


def taught(text: str, values: dict[str, Any], **options: Any) -> Any:
    """A program whose expectation at these values has been asked for until there is a step."""
    program = probrun.parse(text)
    for seed in range(SEEN + 1):
        found = program.expectation({name: point(value) for name, value in values.items()}, seed=seed, **options)
    assert held(program) == [1], found
    return program


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("how", [adversary.asked, adversary.differentiated])
def test_random_programs(seed: int, how: Any) -> None:
    """The long version is benchmarks/steps.py."""
    import random

    state, wrong = adversary.tried(adversary.Writer(900 + seed).program(), random.Random(seed), {"samples": 100}, None, how)
    assert not wrong, f"{state}: {wrong}"


def test_another_side_of_a_condition_on_a_parameter() -> None:
    text = "param p in (0, 1)\nz ~ Normal(p, 1)\nif p > 0.5 { y = z } else { y = 3*z }\nreturn y"
    program = taught(text, {"p": 0.4}, samples=200)
    for value, slope in ((0.41, 3.0), (0.6, 1.0)):
        p = point(value)
        program.expectation({"p": p}, samples=200, seed=1).backward()
        assert p.grad is not None and float(p.grad) == pytest.approx(slope, rel=1e-5)
    assert held(program) == [2]


def test_what_is_refused_is_refused_after_a_step() -> None:
    """A domain, a declared domain, a nan, the end of a support."""
    program = taught("param p in (0, 1)\nb ~ Bernoulli(2*p)\nreturn b", {"p": 0.2}, samples=100, estimator="score(credit=false)")
    for value, code in ((0.6, "P0501"), (1.5, "P0605"), (float("nan"), "P0604")):
        with pytest.raises(probrun.ProbError) as refused:
            program.expectation({"p": point(value)}, samples=100, seed=1, estimator="score(credit=false)")
        assert refused.value.code == code
    program = taught("param a\nz ~ Normal(0, 1)\nreturn cdf(Uniform(0, 1), a)*(1 + z)", {"a": 0.5}, samples=100)
    with pytest.raises(probrun.ProbError) as refused:
        program.expectation({"a": point(1.0)}, samples=100, seed=1)
    assert refused.value.code == "P0404"


def test_a_kink_that_is_met_later_is_warned_of() -> None:
    program = taught("param a\nz ~ Normal(0, 1)\nreturn relu(a - 1) + z", {"a": 1.2}, samples=100)
    with pytest.warns(UserWarning, match="a kink is met exactly"):
        program.expectation({"a": point(1.0)}, samples=100, seed=1)


def test_numbers_that_need_more_digits_get_them() -> None:
    """A step of float32 is not for parameters at which float32 is too coarse."""
    program = taught("param m\nz ~ Normal(m, 0.01)\nreturn m + z - m", {"m": 0.5}, samples=500)
    for value in (1e7, 0.5):
        found = program.expectation({"m": torch.tensor(value, dtype=torch.float64)}, samples=500, seed=3)
        assert abs(float(found) - value) < 0.003
    program = taught("param a\nx ~ Gamma(a - 2, 1)\nreturn log(x)", {"a": 2.2}, samples=500)
    for value in (2.2, 2.005):
        a, known = point(value), point(value)
        try:
            program.expectation({"a": a}, samples=500, seed=3).backward()
        except probrun.ProbError as problem:
            with pytest.raises(probrun.ProbError, match=problem.code):
                probrun.parse(program.source.text).expectation({"a": known}, samples=500, seed=3)
            continue
        probrun.parse(program.source.text).expectation({"a": known}, samples=500, seed=3).backward()
        assert a.grad is not None and known.grad is not None and float(a.grad) == pytest.approx(float(known.grad), rel=1e-4)


def test_data_may_change() -> None:
    program = probrun.parse("param m\ndata y[n]\nz ~ Normal(m, 1)\nreturn mean(y)*z + n")
    given = [[1.0, 2.0], [3.0, 5.0], [1.0, 1.0], [0.0, 1.0], [4.0, 6.0, 8.0], [5.0, 7.0]]
    for seed, values in enumerate([*given, *given]):
        m = point(0.3)
        program.expectation({"m": m}, data={"y": values}, samples=50, seed=seed).backward()
        assert m.grad is not None and float(m.grad) == pytest.approx(sum(values) / len(values), rel=1e-5)
    assert held(program) == [5]


def test_numbers_are_taken_as_they_are_given() -> None:
    """A number for an array of parameters; numbers among the data that differ in the tenth place; lists in float64."""
    program = taught("param w[3]\nz ~ Normal(w, 1)\nreturn sum(z*[1, 2, 3])", {"w": 0.5}, samples=50)
    w = point(0.5)
    program.expectation({"w": w}, samples=50, seed=3).backward()
    assert held(program) == [2] and w.grad is not None and float(w.grad) == pytest.approx(6.0, rel=1e-5)
    program = probrun.parse("param m\ndata c\ndata y[n]\nz ~ Normal(m, 1)\nreturn (z - m)*0 + (c - 0.1)*1e9 + (y[0] - 0.3)*1e9")
    for c, y in [(0.1, 0.3)] * 6 + [(0.1 + 1e-9, 0.3), (0.1, 0.3 + 1e-9)]:
        found = program.expectation({"m": torch.tensor(0.5)}, data={"c": c, "y": [y]}, samples=50, seed=1, dtype="float64")
        assert float(found) == pytest.approx((c - 0.1) * 1e9 + (y - 0.3) * 1e9, abs=1e-3)
    assert held(program)


def test_a_derivative_of_zero_and_a_result_that_is_written_into() -> None:
    """`floor` has the derivative 0 whatever comes in; a constant result belongs to the caller."""
    program = taught("param t\nparam u\nz ~ Normal(0, 1)\nreturn floor(t) + z, u*z^2, 0.5", {"t": 0.5, "u": 1.0}, samples=50)
    for _ in range(3):
        t, u = point(0.5), point(1.0)
        a, b, c = program.expectation({"t": t, "u": u}, samples=50, seed=3).values()
        (2 * a + 3 * b).backward()
        assert t.grad is not None and float(t.grad) == 0 and u.grad is not None and float(u.grad) == pytest.approx(3 * float(b.detach()))
        assert float(c.detach()) == 0.5
        with torch.no_grad():
            c.add_(1.0)
    assert held(program) == [4]


def test_several_results_a_vector_and_second_derivatives() -> None:
    text = "param w[2]\nz ~ Normal(w, 1)\na = z[0]^2*w[1]\nv = [w[0]*z[1], w[1]^3]\nreturn a, v"
    program = taught(text, {"w": [0.5, 2.0]}, samples=20_000)
    w = point([0.5, 2.0])
    found = program.expectation({"w": w}, samples=20_000, seed=9)
    assert held(program) == [2] and list(found) == ["a", "v"]
    total = found["a"] + found["v"] @ torch.tensor([1.0, 2.0])
    (first,) = torch.autograd.grad(total, w, create_graph=True)
    assert torch.allclose(first, torch.tensor([2 * 0.5 * 2 + 2.0, 1.25 + 0.5 + 24.0]), atol=0.1)
    (second,) = torch.autograd.grad(first[1], w)
    assert torch.allclose(second, torch.tensor([1.0 + 1.0, 24.0]), atol=0.1)


def test_the_same_seed_gives_the_same_number_before_and_after() -> None:
    program = probrun.parse("param t in (0, 1)\nk ~ Poisson(3*t)\nz ~ Normal(k, t)\nreturn sin(z)*k")
    found = []
    for _ in range(SEEN + 3):
        t = point(0.4)
        value = program.expectation({"t": t}, samples=300, seed=5)
        value.backward()
        assert t.grad is not None
        found.append((float(value.detach()), float(t.grad)))
    assert held(program) == [3] and max(found) == pytest.approx(min(found), rel=1e-5)


def test_transforms_of_torch() -> None:
    """A Jacobian row by row and all at once, a Hessian, a derivative forwards: before a step is there, and after."""
    program = probrun.parse("param t\nz ~ Normal(t, 1)\nreturn z^2*t")

    def value(t: Tensor) -> Tensor:
        found = program.expectation({"t": t}, samples=20_000, seed=1)
        assert isinstance(found, Tensor)
        return found

    t = torch.tensor(1.5)
    for _ in range(SEEN + 2):
        slope = torch.autograd.functional.jacobian(value, t)
        assert float(slope) == pytest.approx(3 * 1.5**2 + 1, abs=0.25)  # 5 standard errors
    assert held(program) == [2]
    both = torch.autograd.functional.jacobian(lambda t: torch.stack([2 * value(t), t]), t, vectorize=True)
    assert torch.allclose(both, torch.stack([2 * slope, torch.tensor(1.0)]))
    assert float(torch.autograd.functional.hessian(value, t)) == pytest.approx(6 * 1.5, abs=0.2)
    _, forwards = torch.func.jvp(value, (t,), (torch.tensor(1.0),))
    assert float(forwards) == pytest.approx(float(slope), rel=1e-5)


def test_a_graph_is_kept_as_long_as_it_was_asked_for() -> None:
    program = probrun.parse("param t\nz ~ Normal(t, 1)\nreturn z^2")
    for _ in range(SEEN + 2):
        t = point(1.0)
        found = program.expectation({"t": t}, samples=100, seed=1)
        found.backward(retain_graph=True)
        found.backward()
        with pytest.raises(RuntimeError, match=r"retain_graph|second time"):
            found.backward()
    assert held(program) == [2]


def test_gradients_are_replayed_with_their_doubts() -> None:
    """A rare outcome: what was drawn is counted in replays, too."""
    program = probrun.parse("param r\nx ~ Poisson(r)\nz ~ Normal(0, 1)\nreturn x^2 + z")
    said = []
    for seed in range(SEEN_BLOCKS + 20):
        found = program.grad({"r": 0.002}, samples=300, seed=seed, pilot=False, estimator="score")
        said.append(bool(found.scarce or found.few))
    assert held(program, "replays")[0] >= 5
    plain = []
    for seed in range(SEEN_BLOCKS + 20):
        found = probrun.parse(program.source.text).grad({"r": 0.002}, samples=300, seed=seed, pilot=False, estimator="score")
        plain.append(bool(found.scarce or found.few))
    assert said == plain and any(said)


def test_a_fit_is_replayed() -> None:
    program = probrun.parse("param m = 3\nz ~ Normal(m, 1)\nreturn (z - 1)^2")
    found = program.fit(minimize=True, seed=1)
    assert abs(float(found.parameters["m"].value) - 1.0) < 0.05 and held(program, "replays")


# ---------------------------------------------------------------------------------------------------- compiled
def test_a_compiled_step() -> None:
    """One with a random branch: both sides on all lanes."""
    text = "param t in (0, 1)\nb ~ Bernoulli(t)\nif b { x ~ Normal(t, 1); y = x^2 } else { e ~ Normal(0, 1); y = sin(e) }\nreturn y"
    program = probrun.parse(text)
    options: dict[str, Any] = {"samples": 20_000, "estimator": {"b": "score(credit=false)", "x": "rsample"}, "compile": True}
    found = []
    for seed in (1, 2, 1):
        t = point(0.3)
        value = program.expectation({"t": t}, seed=seed, **options)
        value.backward()
        assert t.grad is not None
        found.append((float(value.detach()), float(t.grad)))
    assert held(program) == [2]
    assert found[0] == pytest.approx(found[2], rel=1e-4) and found[0] != pytest.approx(found[1], rel=1e-4)
    assert found[0][1] == pytest.approx(1 + 3 * 0.09, abs=0.15)  # 5 standard errors


def test_what_cannot_be_compiled_is_said() -> None:
    program = probrun.parse("param t in (0, 1)\nn = 0\nwhile Bernoulli(t) { n = n + 1 }\nz ~ Normal(t, 1)\nreturn n*z")
    with pytest.warns(UserWarning, match="not compiled"):
        value = program.expectation({"t": point(0.3)}, samples=100, seed=1, compile=True)
    assert torch.isfinite(value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program.expectation({"t": point(0.3)}, samples=100, seed=1)
