"""Stopping by standard error and by time: the interval keeps its coverage, and luck does not stop a run."""

from __future__ import annotations

import json
import math

import pytest
from scipy.stats import binom

import probrun
from probrun import cli

SEEDS = 400
CASES = {  # text, estimator, exact gradient, target, runs at most
    "normal, pathwise": ("param theta = 1\nx ~ Normal(theta, 1)\nreturn x^2", "rsample", 2.0, 0.035, 30_000),
    "skewed": ("param theta = 1\nx ~ LogNormal(theta, 0.5)\nreturn x", "score", math.exp(1.125), 0.15, 400_000),
    "Bernoulli, score": ("param theta = 0.3\nb ~ Bernoulli(theta)\nreturn b*(b + theta)", "score", 1.6, 0.03, 30_000),
    "rare": ("param theta = 0.004\nb ~ Bernoulli(theta)\nreturn 10*b", "score", 10.0, 0.8, 200_000),
}


@pytest.mark.parametrize("name", CASES)
def test_intervals_keep_their_coverage(name: str) -> None:
    """Of 400 intervals of 95 % about as many hold the truth as should: binomial limits at 1 in 10,000 each way, from 93 %
    (few hundred effective runs of skewed numbers) to 95 %."""
    text, estimator, exact, target, most = CASES[name]
    program = probrun.parse(text)
    inside, runs = 0, []
    for seed in range(SEEDS):
        found = program.grad(samples=most, seed=seed, target_se=target, estimator=estimator, pilot=False)
        moments = found.gradient["theta"]
        assert not found.reached or float(moments.se) <= target
        inside += abs(float(moments.mean) - exact) <= 1.96 * float(moments.se)
        runs.append(found.samples)
    assert binom.ppf(1e-4, SEEDS, 0.93) <= inside <= binom.ppf(1 - 1e-4, SEEDS, 0.95)
    assert min(runs) >= 1000 and max(runs) < most  # it did stop, and not at once


def test_a_rare_event_that_has_not_occurred_does_not_stop_a_run() -> None:
    """In 1024 runs an event of probability 1/5000 is mostly not seen; the standard error 0 must not be believed."""
    program = probrun.parse("param theta = 0.0002\nb ~ Bernoulli(theta)\nreturn b")
    for seed in range(20):
        found = program.grad(samples=100_000, seed=seed, target_se=0.5, estimator="score(baseline=none)", pilot=False)
        assert found.samples >= 16_384


def test_runs_that_are_equal_are_believed_in_the_end() -> None:
    found = probrun.parse("param theta = 1\nx ~ Normal(theta, 0.001)\nreturn x").grad(samples=10**6, seed=1, target_se=0.1, pilot=False)
    assert found.reached and 16_384 <= found.samples < 10**5
    assert float(found.gradient["theta"].se) == 0


def test_an_easy_target_stops_early_and_alike() -> None:
    program = probrun.parse("param theta = 1\nx ~ Normal(theta, 1)\nreturn x^2")
    first, second = (program.grad(samples=10**7, seed=3, target_se=0.1, pilot=False) for _ in range(2))
    assert first.samples == second.samples == 1024
    assert float(first.gradient["theta"].mean) == float(second.gradient["theta"].mean)


def test_time_runs_out() -> None:
    program = probrun.parse("param theta = 1\nx ~ Normal(theta, 1)\nreturn x^2")
    found = program.grad(samples=10**9, seed=1, max_time=0.3)
    assert found.out_of_time and 1000 <= found.samples < 10**9 and found.reached
    assert found.to_dict()["stopped"] == "max-time" and found.seconds < 20
    assert abs(float(found.gradient["theta"].mean) - 2) < 5 * float(found.gradient["theta"].se)
    whole = program.grad(samples=20_000, seed=1, max_time=600)
    assert not whole.out_of_time and whole.samples == 20_000 and "stopped" not in whole.to_dict()
    assert program.run(samples=10**9, seed=1, max_time=0.2).out_of_time


def test_exit_statuses(capfd: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = cli.execute(list(arguments))
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    text = ("-e", "param theta = 1; x ~ Normal(theta, 1); y = x^2", "-n", "1000000000", "--seed", "1", "--max-time", "0.2")
    status, out, _ = call("grad", *text, "--json")
    assert status == 0 and json.loads(out)["stopped"] == "max-time"
    status, out, _ = call("grad", *text)
    assert status == 0 and "time ran out" in out
    status, out, err = call("grad", *text, "--target-se", "0.0000001", "--json")
    assert status == 3 and json.loads(out)["reached"] is False and "not reached" in err
    assert call("grad", *text[:-1], "-1")[0] == 2
