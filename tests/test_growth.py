"""What grows with a program must not grow faster than the program: Python calls are counted, not timed; and what does not fit, or
does not end, is said.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

import probrun
from probrun.runtime.arrays import memory
from probrun.runtime.blocks.session import Session
from probrun.runtime.lanes.ledger import columns, named
from probrun.runtime.lanes.lessons import TooLong
from probrun.runtime.lanes.meter import FEW_STEPS, Meter

TWICE = 2.6  # as many calls, where there is twice as much; with a square there are four times as many


def calls(action: Callable[[], object]) -> int:
    """How many Python functions are entered."""
    count = 0

    def watch(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


# ------------------------------------------------------------------------------------------------------- planning
def chain(size: int) -> str:
    """Each site's mean is the one before."""
    return "\n".join(["param theta = 1", "x0 = theta", *(f"x{i + 1} ~ Normal(x{i}, 1)" for i in range(size)), f"return x{size}"])


def branches(size: int) -> str:
    """Each site decides something."""
    body = (f"x{i} ~ Normal(theta, 1)\nif x{i} > s {{ s = s + x{i} }}" for i in range(size))
    return "\n".join(["param theta = 1", "s = 0", *body, "return s"])


def mixture(size: int) -> str:
    """Sites of all kinds, one beside the other."""
    laws = "Normal(theta, 1)", "Exponential(theta)", "Poisson(theta)", "Gamma(2, theta)"
    body = (f"x{i} ~ {laws[i % 4]}\ns = s + x{i}" for i in range(size))
    return "\n".join(["param theta = 0.5", "s = 0", *body, "return s"])


def steps(size: int) -> str:
    """Each site's mean is a jump of the one before."""
    body = (f"x{i + 1} ~ Normal(theta*(x{i} > 0), 1)" for i in range(size))
    return "\n".join(["param theta = 1", "x0 = theta", *body, f"return x{size}"])


def forced(size: int) -> str:
    """Estimators that somebody has set."""
    body = (f"x{i} ~ Normal(theta, 1) using score\ns = s + (x{i} > 0)" for i in range(size))
    return "\n".join(["param theta = 1", "s = 0", *body, "return s"])


@pytest.mark.parametrize("text", [chain, branches, mixture, steps, forced], ids=lambda text: text.__name__)
def test_planning_is_linear(text: Callable[[int], str]) -> None:
    few, many = (calls(probrun.parse(text(size)).explain) for size in (80, 160))
    assert many < TWICE * few, (few, many)


def test_a_long_way_is_shown_by_its_ends() -> None:
    path = probrun.parse(chain(50)).explain()[-1].path
    assert path.startswith("theta -> x1 -> ") and path.endswith("-> x49 -> x50 -> x50") and " -> ... -> " in path, path


# ------------------------------------------------------------------------------------------------------ long loops
def scores(rounds: int) -> Callable[[], object]:
    text = f"param p = 0.5\ns = 0\nfor t in range({rounds}) {{ b ~ Bernoulli(p) using score\ns = s + b }}\nreturn s^2"
    return lambda: probrun.parse(text).grad(samples=8, seed=1, pilot=False)


def tail(rounds: int) -> Callable[[], object]:
    """Lanes leave a loop one by one, and each round is decided by the ones before."""
    text = (
        f"param p = 0.01\nn = 0\ng = 1\nwhile g {{\nb ~ Bernoulli(p) using score\nn = n + 1\ng = not b and n < {rounds}\n}}\nreturn n"
    )
    return lambda: probrun.parse(text).grad(samples=40, seed=1, pilot=False)


@pytest.mark.parametrize("make", [scores, tail], ids=lambda make: make.__name__)
def test_long_loops_are_linear(make: Callable[[int], Callable[[], object]]) -> None:
    make(60)()
    few, many = calls(make(60)), calls(make(120))
    assert many < TWICE * few, (few, many)


def test_a_long_loop_has_the_right_gradient() -> None:
    """E[n] = 1/p, d/dp = -1/p^2."""
    found = probrun.parse("param p = 0.02\nn = 0\ng = 1\nwhile g {\nb ~ Bernoulli(p)\ng = not b\nn = n + 1\n}\nreturn n")
    answer = found.grad(samples=3000, seed=2, pilot=False)
    moments = answer.gradient["p"]
    assert abs(float(moments.mean) + 2500) < 5 * float(moments.se) and float(moments.se) < 150


@pytest.mark.parametrize(("rows", "count"), [(1, 5), (3, 8), (17, 1), (70, 600), (9, 1025)])
def test_bits_are_transposed(rows: int, count: int) -> None:
    pick = random.Random(rows)
    masks = [pick.getrandbits(count) if pick.random() < 0.9 else -1 for _ in range(rows)]
    expected = [sum(((mask >> place) & 1) << row for row, mask in enumerate(masks)) for place in range(count)]
    assert columns(masks, count) == expected


# --------------------------------------------------------------------------------------------------------- memory
TOO_LARGE = {
    "zeros": "x = zeros(1000000, 1000000)\nreturn theta + x[0, 0]",
    "ones": "x = ones(1e13)\nreturn theta*sum(x)",
    "arange": "x = arange(1000000000000)\nreturn theta*x[3]",
    "outer": "x = (theta*ones(3000000, 1))*ones(3000000)\nreturn sum(x)",
    "product": "x = matmul(theta*ones(4000000, 1), ones(1, 4000000))\nreturn sum(x)",
    "draw": "x ~ Normal(theta*ones(1000000, 10000000), 1)\nreturn x[0, 0]",
    "elements": "z ~ Normal(theta, 1)\nreturn z*sum(arange(1000000000000))",
    "joined": "x = concat(ones(1e12), theta*ones(1e12))\nreturn x[0]",
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_does_not_fit_is_said(name: str) -> None:
    program = probrun.parse("param theta = 1\n" + TOO_LARGE[name])
    for ask in (program.run, program.grad):
        with pytest.raises(probrun.ProbError) as problem:
            ask(samples=100, seed=1)
        assert [found.code for found in problem.value.diagnostics] == ["P0509"]
        assert problem.value.diagnostics[0].span is not None


def test_blocks_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    program = probrun.parse("param theta = 2\nx ~ Normal(theta, 1)\nreturn x^2")
    whole = program.grad(samples=4096, seed=1)
    monkeypatch.setattr(memory, "LARGE", 256)
    monkeypatch.setattr(memory, "available", lambda device=None: 40_000)
    for found in (program.grad(samples=4096, seed=1), program.run(samples=4096, seed=1)):
        assert found.samples == 4096
    small = program.grad(samples=4096, seed=1).gradient["theta"]
    assert abs(float(small.mean) - 4) < 5 * float(small.se)
    assert float(small.se) == pytest.approx(float(whole.gradient["theta"].se), rel=0.1)


def test_what_an_allocator_says_is_understood() -> None:
    cpu = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes."
    assert memory.wanted(RuntimeError(cpu)) == 4000
    assert memory.wanted(MemoryError()) == 0
    assert memory.wanted(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")) == 2**31
    assert memory.wanted(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")) is None


# ------------------------------------------------------------------------------------------------------- recursion
FIBONACCI = "param theta = 1\nfn f(n) {\nif n < 2 { return n }\nreturn f(n - 1) + f(n - 2)\n}\nreturn theta*f(SIZE)"
ENDLESS = {
    "twice": "param p = 0.5\nfn f(n) {\nb ~ Bernoulli(p)\nif n < 2 { return b }\nreturn f(n - 1) + f(n - 2)\n}\nreturn f(70)",
    "through another": "param p = 0.5\nfn f(n) {\nif n < 2 { return n }\nreturn g(n - 1) + g(n - 1)\n}\n"
    "fn g(n) {\nb ~ Bernoulli(p)\nreturn f(n)*b\n}\nreturn f(60)",
    "in a loop": "param p = 0.5\nfn f(n) {\ns ~ Bernoulli(p)\nif n > 0 { for i in range(3) { s = s + f(n - 1) } }\nreturn s\n}\nreturn f(40)",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_recursion_is_bounded_by_its_calls(name: str) -> None:
    program = probrun.parse(ENDLESS[name])
    asked: list[Callable[[], object]] = [
        lambda: program.run(samples=10, seed=1, max_steps=200),
        lambda: program.grad(samples=10, seed=1, max_steps=200, estimator="score"),
    ]
    for ask in asked:
        with pytest.raises(probrun.ProbError, match="has called itself 200 times"):
            ask()


@pytest.mark.parametrize(("name", "value", "slope"), [
    ("twice", 308061521170129 * 0.5, 308061521170129.0),  # so many ends as the 71st of Fibonacci's numbers, each of chance p
    ("through another", 1.0, 118.0),  # (2p)^59
    ("in a loop", 0.5 * (3**41 - 1) / 2, (3**41 - 1) / 2),
])
def test_calls_in_one_state_are_made_once(name: str, value: float, slope: float) -> None:
    """The exact answer needs each call once, where sampling needs as many as there are."""
    result = probrun.parse(ENDLESS[name]).grad(samples=10, seed=1)
    assert result.exact and float(result.value.mean) == pytest.approx(value, rel=1e-9)
    assert float(result.gradient["p"].mean) == pytest.approx(slope, rel=1e-9)


def test_calls_that_are_no_recursion_are_not_counted() -> None:
    text = "param theta = 1\nfn h(x) { return x + theta }\nfn f(n) {\nif n < 1 { return 0 }\nreturn f(n - 1) + 1\n}\n"
    text += "s = 0\nfor i in range(150) {\ns = h(s) + f(5)\n}\nreturn s"
    assert float(probrun.parse(text).grad(samples=2, max_steps=50).value.mean) == 150 * 6
    assert float(probrun.parse(FIBONACCI.replace("SIZE", "14")).grad(samples=2).gradient["theta"].mean) == 377


# -------------------------------------------------------------------------------------------- what is measured beside
ROUNDS = "param t = 0.5\nx = t\nfor i in range(700) { e ~ Normal(0, 1)\nx = t*x + e }\nreturn x"


def test_rounding_is_not_measured_where_that_takes_as_long_as_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, bool]] = []
    spending = Session.meter

    def seen(session: Session) -> Meter:
        meter = spending(session)
        steps.append((0, False))
        place, spend = len(steps) - 1, meter.spend

        def counted(numbers: int) -> None:
            steps[place] = meter.steps + 1, meter.ahead is not None
            spend(numbers)

        monkeypatch.setattr(meter, "spend", counted)
        return meter

    monkeypatch.setattr(Session, "meter", seen)
    assert probrun.parse(ROUNDS).grad(samples=100, seed=1, pilot=False).dtype == "float64"
    (few, told), (every, _) = steps
    assert told and few < 0.8 * every, steps
    steps.clear()
    assert probrun.parse(ROUNDS).grad(samples=100, seed=1, pilot=False, dtype="float32").dtype == "float32"
    assert [number for number, _ in steps] == [steps[0][0]] * 3  # measured, whatever it takes


@pytest.mark.parametrize(("runs", "ends"), [(1_000, True), (1_000_000, False)])
def test_how_long_a_few_runs_may_take(runs: int, ends: bool) -> None:
    meter = Meter(ahead=runs / 64)
    with pytest.raises(TooLong) if ends else nullcontext():
        for _ in range(5000):
            meter.spend(64)
    assert meter.steps == (FEW_STEPS + 1 if ends else 5000)


def test_masks_of_many_draws_are_told_apart_by_their_hashes() -> None:
    single, below = ({hash(named(mask)) for mask in masks} for masks in zip(*((1 << k, (1 << k) - 1) for k in range(3000)), strict=True))
    assert len(single) == len(below) == 3000
    assert named(-1) == named(-1) and named(1 << 70) == named(1 << 70) != named(1 << 71)


def test_elements_that_are_set_one_by_one_are_as_many_passes_as_they_were() -> None:
    """Blocks of an array that is wide, but of which single elements are touched, are not made smaller for its width: each would go
    through all rounds again."""
    text = "param theta = 0.9\nx = zeros({n})\nfor t in range(1, {n}) {{ x[t] = theta*x[t - 1] + 1 + e }}\nreturn sum(x)"

    def run(n: int) -> None:
        probrun.parse("e ~ Normal(0, 1)\n" + text.format(n=n)).grad(samples=4000, seed=1, pilot=False)

    assert calls(lambda: run(2000)) < 4 * 1.2 * calls(lambda: run(500))
