"""Outcomes that are too many: nothing costs more than the plan it replaces, what a failed enumeration has split is left, and the
answers are right.  Costs are counted in numbers touched (`meter.py`), so they are the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import probrun
from probrun.runtime.lanes.meter import Meter

T = 0.3


def each(count: int, statement: Callable[[int], str], end: str, start: str = "") -> str:
    total = " + ".join(f"x{i}" for i in range(count))
    return f"param theta = {T}; {start}" + "; ".join(statement(i) for i in range(count)) + f"; return {end.replace('SUM', total)}"


def coins(count: int, end: str) -> str:
    return each(count, lambda i: f"x{i} ~ Bernoulli(theta)", end)


def squared(count: int, theta: float, size: int = 1) -> float:
    """d/dtheta of E[N^2], N ~ Binomial(count*size, theta)."""
    n = count * size
    return n * (1 - 2 * theta) + 2 * n * n * theta


def chain(count: int) -> float:
    """d/dtheta of the sum of p_i, p_0 = theta, p_i = 0.2 + theta p_{i-1}."""
    p, d, total = T, 1.0, 1.0
    for _ in range(count - 1):
        p, d = 0.2 + T * p, p + T * d
        total += d
    return total


def mixture(count: int) -> float:
    """d/dtheta of E[S^2], S the sum of 2 Bernoulli(sigmoid(theta)) + Normal(theta, 1)."""

    def second(theta: float) -> float:
        s = 1 / (1 + math.exp(-theta))
        return (count * (2 * s + theta)) ** 2 + count * (4 * s * (1 - s) + 1)

    return (second(T + 1e-5) - second(T - 1e-5)) / 2e-5


def tail(count: int, least: int) -> float:
    """d/dtheta of P(Binomial(count, theta) >= least)."""
    return count * math.comb(count - 1, least - 1) * T ** (least - 1) * (1 - T) ** (count - least)


def labelled(count: int) -> str:
    return each(count, lambda i: f"z{i} ~ Bernoulli(sigmoid(theta)); x{i} ~ Normal(2*z{i} + theta, 1)", "(SUM)^2")


def branch(i: int) -> str:
    return f"b{i} ~ Bernoulli(theta); if b{i} {{ s = s + {i + 1} }} else {{ s = s - 1 }}"


# program, derivative, how large a standard error may be at 4000 runs
CROWDED = [
    (coins(18, "SUM"), 18.0, 0.3),
    (coins(50, "SUM"), 50.0, 0.6),
    (coins(40, "(SUM)^2"), squared(40, T), 50.0),
    (coins(30, "SUM > 9"), tail(30, 10), 0.1),
    (each(24, branch, "s", "s = 0; "), sum(i + 2.0 for i in range(24)), 6.0),
    (each(20, lambda i: f"x{i} ~ Bernoulli({f'0.2 + theta*x{i - 1}' if i else 'theta'})", "SUM"), chain(20), 0.3),
    (each(6, lambda i: f"x{i} ~ Binomial(10, theta)", "(SUM)^2"), squared(6, T, 10), 70.0),
    (each(2, lambda i: f"x{i} ~ Binomial(1000, theta)", "x0*x1/1000"), 2e3 * T, 15.0),
    (labelled(8), mixture(8), 12.0),
    (each(20, lambda i: f"if Bernoulli(theta) {{ s = s + {i} }}", "s", "s = 0; "), 190.0, 5.0),
    (each(9, lambda i: f"x{i} ~ {('Bernoulli(theta)', 'Binomial(9, theta)', 'Binomial(20, theta)')[i % 3]}", "(SUM)^2"), squared(3, T, 30), 120.0),
]
IDS = ["18 coins", "50 coins", "40 squared", "30, a jump", "ifs", "chain", "binomials", "large binomials", "labels", "conditions", "kinds"]


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[int, Any]]:
    """What gives the numbers that some work touches, and what it gives."""
    total = [0]
    original = Meter.spend

    def counted(meter: Meter, numbers: int) -> None:
        original(meter, numbers)  # said before it is done: what raises here is not touched
        total[0] += numbers

    monkeypatch.setattr(Meter, "spend", counted)

    def measure(work: Callable[[], Any]) -> tuple[int, Any]:
        total[0] = 0
        found = work()
        return total[0], found

    return measure


@pytest.mark.parametrize(("text", "derivative", "most"), CROWDED, ids=IDS)
def test_by_order(text: str, derivative: float, most: float, spent: Any) -> None:
    program = probrun.parse(text)
    cost, result = spent(lambda: program.grad(samples=4000, seed=2, pilot=False))
    yardstick, _ = spent(lambda: program.grad(samples=4000, seed=2, pilot=False, among=("rsample", "score")))
    assert cost <= 1.5 * yardstick
    assert not result.biased and ({site.estimator for site in result.sites} <= {"score", "rsample"} or result.exact)
    moments = result.gradient["theta"]
    assert abs(float(moments.mean) - derivative) <= 5 * float(moments.se) + 1e-9 * derivative and float(moments.se) < most
    for site, seen in zip(result.sites, program.explain(samples=4000, pilot=False), strict=True):
        assert site.estimator in ((seen.estimator,) if seen.foreseen is None else seen.foreseen.among)


@pytest.mark.parametrize(("text", "derivative", "most"), CROWDED, ids=IDS)
def test_expectation(text: str, derivative: float, most: float, spent: Any) -> None:
    program = probrun.parse(text)

    def step(**options: Any) -> float:
        theta = torch.tensor(T, requires_grad=True)
        program.expectation({"theta": theta}, samples=1000, **options).backward()
        return float(theta.grad)  # type: ignore[arg-type]

    cost, found = spent(lambda: [step(seed=seed) for seed in range(8)])
    yardstick, _ = spent(lambda: [step(seed=seed, among=("rsample", "score")) for seed in range(8)])
    assert cost <= 2 * yardstick  # where states may be few, that is tried at every step
    mean = sum(found) / 8
    se = math.sqrt(sum((value - mean) ** 2 for value in found) / 7 / 8)
    assert abs(mean - derivative) <= 9 * se + 1e-6 * derivative and se < most  # Student's t of 7 degrees: as rare as 5 of a normal


@pytest.mark.parametrize(("text", "derivative", "most"), CROWDED[:8], ids=IDS[:8])
def test_pilot(text: str, derivative: float, most: float, spent: Any) -> None:
    """The pilot's share is a fifth of many runs, and trials that split lanes twice that."""
    program = probrun.parse(text)
    cost, result = spent(lambda: program.grad(samples=20_000, seed=2))
    yardstick, plain = spent(lambda: program.grad(samples=20_000, seed=2, pilot=False, among=("rsample", "score")))
    if result.exact:
        assert float(result.gradient["theta"].mean) == pytest.approx(derivative, rel=1e-9)
        return
    gain = float(plain.gradient["theta"].se / result.gradient["theta"].se) ** 2
    assert cost <= 2 * yardstick * max(4 * gain, 1)  # a dearer plan was better by more than a quarter of what it takes
    assert gain > 4 or cost <= 2 * yardstick
    moments = result.gradient["theta"]
    assert abs(float(moments.mean) - derivative) <= 5 * float(moments.se) + (0.05 * derivative if result.biased else 0)
    assert float(moments.se) < most


def test_compare_takes_no_more_for_rows_that_split(spent: Any) -> None:
    program = probrun.parse(labelled(8))
    cost, comparison = spent(lambda: program.compare(samples=4000, seed=1))
    yardstick, _ = spent(lambda: program.compare(samples=4000, seed=1, among=("rsample", "score", "gumbel")))
    assert cost <= 2 * yardstick + 2**21
    row = next(row for row in comparison.rows if "enumerate" in row.label)
    assert 32 <= row.samples < 4000 and not row.biased
    moments = row.gradient["result"]["theta"] if "result" in row.gradient else next(iter(row.gradient.values()))["theta"]
    assert abs(float(moments.mean) - mixture(8)) <= 5 * float(moments.se)
    whole = probrun.parse(labelled(4)).compare(samples=500, seed=1, max_lanes=64)
    assert all(row.samples == 500 for row in whole.rows)


def test_exact_answers_remain_where_they_are_cheap() -> None:
    for count, samples, options in ((10, 100, {"pilot": False}), (13, 10_000, {"pilot": False}), (12, 300, {})):
        result = probrun.parse(coins(count, "(SUM)^2")).grad(samples=samples, seed=0, **options)
        assert result.exact and float(result.gradient["theta"].mean) == pytest.approx(squared(count, T), rel=1e-12)
    theta = torch.tensor(T, requires_grad=True, dtype=torch.float64)
    loss = probrun.parse(coins(10, "(SUM)^2")).expectation({"theta": theta}, samples=100, dtype="float64")
    assert float(torch.autograd.grad(loss, theta)[0]) == pytest.approx(squared(10, T), rel=1e-10)
    asked = probrun.parse(coins(14, "(SUM)^2")).grad(samples=100, seed=0, estimator="enumerate")
    assert asked.exact and float(asked.gradient["theta"].mean) == pytest.approx(squared(14, T), rel=1e-12)


def test_few_labels_are_summed_out_by_order() -> None:
    few = probrun.parse(labelled(3)).grad(samples=4000, seed=3, pilot=False)
    assert {site.estimator for site in few.sites if site.name.startswith("z")} == {"enumerate"}
    assert abs(float(few.gradient["theta"].mean) - mixture(3)) <= 5 * float(few.gradient["theta"].se) and float(few.gradient["theta"].se) < 0.5


def test_outcomes_that_cannot_be_do_not_stand_in_the_way() -> None:
    """The text counts 2^30 outcomes, a run 2^5: the pilot's exact answer is found all the same."""
    text = each(30, lambda i: f"x{i} ~ Bernoulli({'theta' if i % 6 == 0 else i % 2})", "(SUM)^2")
    result = probrun.parse(text).grad(seed=0)
    sure = sum(i % 2 for i in range(30) if i % 6)
    assert result.exact
    assert float(result.gradient["theta"].mean) == pytest.approx(squared(5, T) + 2 * sure * 5, rel=1e-12)


def test_all_sites_that_were_asked_are_given_up_together(spent: Any) -> None:
    """`--estimator enumerate` for all: not one attempt for every site."""
    program = probrun.parse(coins(50, "(SUM)^2"))
    cost, result = spent(lambda: program.grad(samples=4000, seed=2, estimator="enumerate"))
    yardstick, _ = spent(lambda: program.grad(samples=4000, seed=2, estimator="score"))
    assert cost <= 1.5 * yardstick + 2**23  # one attempt, up to 2^19 lanes: states may have been few
    assert {site.estimator for site in result.sites} == {"score"}
    assert abs(float(result.gradient["theta"].mean) - squared(50, T)) <= 5 * float(result.gradient["theta"].se)


@pytest.mark.parametrize(("text", "derivative"), [
    ("param theta = 0.3; b ~ Bernoulli(theta + 0*arange(100)); return mean(b)^2", (squared(100, T)) / 1e4),
    (each(12, lambda i: f"x{i} ~ Categorical([theta, 0.5, 0.5 - theta])", "(SUM)^2"), -48 - 528 * (1.5 - 2 * T)),
    ("param theta = 0.3; b ~ OneHotCategorical([theta, 1 - theta]); c ~ Bernoulli(theta + 0*arange(60)); return b[0]*sum(c)", 120 * T),
], ids=["array", "categoricals", "beside an array"])
def test_a_biased_relaxation_is_not_what_remains(text: str, derivative: float) -> None:
    result = probrun.parse(text).grad(samples=5000, seed=1, pilot=False)
    moments = result.gradient["theta"]
    assert not result.biased and {site.estimator for site in result.sites} == {"score"}
    assert abs(float(moments.mean) - derivative) <= 5 * float(moments.se) and float(moments.se) < 0.1 * abs(derivative)


def test_the_same_answer_whatever_was_asked_before() -> None:
    """What is remembered of a program is what was counted, not what runs have found."""
    text = each(16, lambda i: f"x{i} ~ Bernoulli({'theta' if i < 8 else 'other'})", "(SUM)^2", "param other = 0.1; ")
    fresh, used = probrun.parse(text), probrun.parse(text)
    used.grad({"other": 0.5}, samples=1000, seed=0, pilot=False)
    one, other = (program.grad(samples=1000, seed=0, pilot=False) for program in (fresh, used))
    assert torch.equal(one.gradient["theta"].mean, other.gradient["theta"].mean) and one.exact == other.exact
