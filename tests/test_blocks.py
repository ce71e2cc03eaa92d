"""Blocks: any number of threads gives the same answer, and guards and errors cross them."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch

import probrun
from probrun.runtime.blocks import schedule, sizes
from probrun.runtime.blocks.settings import block_seed

WALK = """
param theta = 0.5
s = 0
while s < 3 {
  e ~ Normal(theta, 1)
  s = s + 1 + 0*e
  b ~ Bernoulli(sigmoid(theta))
  if b { s = s + e^2 }
}
return s
"""


def test_any_number_of_threads_gives_the_same_answer() -> None:
    program = probrun.parse(WALK)
    before = torch.get_num_threads()
    answers = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            result = program.grad(samples=300_000, seed=4, pilot=False)
        finally:
            torch.set_num_threads(before)
        answers.append((result.gradient["theta"].mean.item(), result.gradient["theta"].se.item(), result.value.mean.item()))
    for mean, se, value in answers[1:]:
        assert mean == pytest.approx(answers[0][0], rel=1e-6)
        assert se == pytest.approx(answers[0][1], rel=1e-5)
        assert value == pytest.approx(answers[0][2], rel=1e-6)


def test_blocks_of_a_run_have_different_seeds() -> None:
    seeds = {block_seed(3, number) for number in range(100_000)}
    assert len(seeds) == 100_000


def test_a_guard_that_breaks_between_blocks_is_seen() -> None:
    # |x - 4.5| is smooth for almost all runs; the sign changes in about one of 150,000
    program = probrun.parse("param theta = 0\nx ~ Normal(theta, 1)\nreturn atan(1/(x - 4.5))")
    result = program.grad(samples=2_000_000, seed=1, pilot=False)
    assert result.sites[0].estimator == "score"


def test_an_error_in_a_late_block_is_told_as_in_the_first() -> None:
    program = probrun.parse("param theta = 1\nx ~ Normal(0, 1)\nif x > 4.6 { y = log(0*theta - 1) } else { y = theta*x }\nreturn y")
    with pytest.raises(probrun.ProbError) as caught:
        program.grad(samples=3_000_000, seed=1, pilot=False)
    assert (caught.value.code, caught.value.line) == ("P0502", 3)


WIDE = """
param p in (0, 1) = 0.3
ill = zeros(400)
for t in range(6) {
  caught ~ Bernoulli(p*ones(400))
  ill = max(ill, caught)
}
return sum(ill)
"""
EXACT = 400 * 6 * 0.7**5  # d/dp of 400 (1 - (1 - p)^6)


@pytest.mark.parametrize("kept", [2**25, 2**12], ids=["side by side", "given up for what it keeps"])
@pytest.mark.parametrize("estimator", ["score(credit=false)", "score"])
def test_wide_jobs(kept: int, estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """2000 runs of 400 numbers are two blocks or more; the same seed gives the same with any number of threads."""
    monkeypatch.setattr(sizes, "CPU", replace(sizes.CPU, kept=kept))
    used = []
    inner = schedule._side_by_side
    monkeypatch.setattr(schedule, "_side_by_side", lambda *rest: used.append(len(rest[-1])) or inner(*rest))
    program = probrun.parse(WIDE)
    answers = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            result = program.grad(samples=2000, seed=2, pilot=False, estimator=estimator)
        finally:
            torch.set_num_threads(before)
        answers.append((float(result.gradient["p"].mean), float(result.gradient["p"].se)))
    mean, error = answers[0]
    assert answers[1] == pytest.approx(answers[0], rel=1e-5) and used[-2:] == [2, 2]
    assert abs(mean - EXACT) < 5 * error and error < 0.05 * EXACT
    assert result.samples == 2000


def test_a_block_lets_go_of_its_values_at_once() -> None:
    """Without waiting for the garbage collector: nothing as large as a value of the block is left."""
    program = probrun.parse(WALK)
    program.grad(samples=5000, seed=1, pilot=False)
    gc.collect()
    gc.disable()
    try:
        program.grad(samples=5000, seed=2, pilot=False)
        left = [found for found in gc.get_objects() if type(found) is torch.Tensor and found.untyped_storage().nbytes() > 10_000]
    finally:
        gc.enable()
    assert not left
