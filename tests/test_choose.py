"""The choice among right plans: what must be chosen, that it is measured honestly, and that it costs little."""

from __future__ import annotations

import json
import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

import probrun
from probrun.cli import main
from probrun.dsl.planning.chooser import Planner
from probrun.dsl.planning.plan import PlanOptions
from probrun.runtime.blocks.settings import Settings
from probrun.runtime.estimates import pilot as runtime
from probrun.runtime.estimates.effort import Budget

SEED_PROGRAM = "x = 2*Bernoulli(3*theta) + Bernoulli(theta)"
AGENTS = "b ~ Bernoulli(theta + 0*arange(1000)); y = mean(b)^2"  # not all alike, as far as the text tells
EPIDEMIC = """
param beta in (0, inf) = 0.3
param gamma in (0, 1) = 0.1
N = 1000
ill = arange(N) < 10
well = 1 - ill
for t in range(20) {
  p = 1 - exp(-beta*sum(ill)/N)
  caught ~ Bernoulli(p*ones(N))
  healed ~ Bernoulli(gamma*ones(N))
  new = well*caught
  well = well - new
  ill = ill + new - ill*healed
}
return N - sum(well)
"""


def chosen(text: str, parameters: dict[str, Any], **options: Any) -> dict[str, str]:
    result = probrun.parse(text).grad(parameters, seed=1, **options)
    return {site.name: site.estimator for site in result.sites}


def test_what_must_be_chosen() -> None:
    assert chosen(SEED_PROGRAM, {"theta": 0.1}) == {"x.1": "enumerate", "x.2": "enumerate"}
    # few draws, many runs: score over gumbel, also where enumeration is not allowed
    assert set(chosen(SEED_PROGRAM, {"theta": 0.1}, among="score,gumbel", pilot=True).values()) == {"score"}
    # many draws, few runs
    assert chosen(AGENTS, {"theta": 0.3}, samples=200) == {"b": "gumbel"}
    assert chosen(AGENTS, {"theta": 0.3}, samples=200, among=["score"]) == {"b": "score"}
    assert chosen(AGENTS, {"theta": 0.3}, samples=200, unbiased=True) == {"b": "fork"}
    # a derivative with infinite variance along the path
    assert chosen("x ~ Normal(theta, 1); y = sqrt(abs(x))", {"theta": 0.3}) == {"x": "score"}
    assert chosen("z ~ Normal(theta, 2); y = theta^2*(z + 4)", {"theta": 2}) == {"z": "rsample"}
    assert chosen("k ~ Categorical([theta, 1]); x ~ Normal(3*k, 1); y = x^2", {"theta": 1}) == {"k": "enumerate", "x": "sample"}


@pytest.mark.parametrize("samples", [200, 1000])
def test_an_epidemic_is_scored_also_where_runs_are_few(samples: int) -> None:
    """1000 agents, 20 steps; truth by differences of the count chain with 1.3 million replicates.  The draws of agents who cannot
    act are no noise, so a relaxation is not worth its bias."""
    result = probrun.parse(EPIDEMIC).grad(samples=samples, seed=1)
    assert {site.estimator for site in result.sites} == {"score"} and not result.biased
    assert {"gumbel", "score"} <= set(result.sites[0].measured)
    for name, truth in (("beta", 3225.93), ("gamma", -2802.64)):
        moments = result.gradient[name]
        assert abs(float(moments.mean) - truth) <= 5 * float(moments.se) < 5 * 0.16 * abs(truth)


def test_among_takes_the_first_by_order() -> None:
    """`--among` names estimators: the first that is right, without measuring, as before there was a pilot."""
    result = probrun.parse(SEED_PROGRAM).grad({"theta": 0.1}, among="rsample,score,gumbel", seed=0)
    assert [site.estimator for site in result.sites] == ["gumbel", "gumbel"] and not result.sites[0].measured
    assert result.pilot_runs == 0


def test_the_same_seed_makes_the_same_choice() -> None:
    program = probrun.parse("n = 0; for t in range(30) { b ~ Bernoulli(theta); n = n + b }; return exp(n/10)")
    first, second = (program.grad({"theta": 0.3}, samples=3000, seed=7).to_dict() for _ in range(2))
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_measured_figures() -> None:
    """The pilot's figures agree with long runs: bias of a relaxation (of the colder one: the score outdoes the usual one), sd of both."""
    options = PlanOptions(among=frozenset({"score", "gumbel"}))
    settings = Settings(samples=1000, seed=3)
    verdict = runtime.choose(Planner(probrun.parse(SEED_PROGRAM).resolved), options, {"theta": 0.1}, {}, settings)
    figures = verdict.measured[0]
    assert figures["score"].bias == figures["score"].bias_se == 0
    assert 1 < figures["score"].sd < 8
    gumbel = figures["gumbel"]
    assert gumbel.bias_se > 0 and abs(gumbel.bias - (6.98 - 7)) < 5 * gumbel.bias_se
    assert figures["score"].error == pytest.approx(figures["score"].sd / math.sqrt(1000))


def test_the_number_of_trials_does_not_grow_with_the_sites() -> None:
    lines = [f"b{i} ~ Bernoulli(theta); x{i} ~ Normal(theta*b{i}, 1)" for i in range(20)]
    text = "; ".join(lines) + "; return exp((" + " + ".join(f"x{i}*b{i}" for i in range(20)) + ")/20)"
    resolved = probrun.parse(text).resolved
    made = []

    class Counting(runtime._Pilot):
        def trial(self, *arguments: Any) -> Any:
            found = super().trial(*arguments)
            made.append(found)
            return found

    original, runtime._Pilot = runtime._Pilot, Counting  # type: ignore[misc]
    try:
        runtime.choose(Planner(resolved), PlanOptions(), {"theta": 0.3}, {}, Settings(samples=2000, seed=0))
    finally:
        runtime._Pilot = original  # type: ignore[misc]
    assert 2 <= len(made) <= 20


def test_the_pilot_runs_are_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    original = runtime.gradient

    def counted(*arguments: Any, **more: Any) -> Any:
        runs.append(arguments[4].samples)
        return original(*arguments, **more)

    monkeypatch.setattr(runtime, "gradient", counted)
    text = "x ~ Normal(theta, 1); n = 0; for t in range(20) { b ~ Bernoulli(sigmoid(x)); n = n + b }; y = n^2 + x"
    probrun.parse(text).grad({"theta": 0.3}, samples=20_000, seed=0)
    assert 0 < sum(runs) <= 0.21 * 20_000


def test_a_pilot_costs_little() -> None:
    """Not a benchmark: a choice that took as long as the run itself would be a bug."""
    program = probrun.parse("n = 0; for t in range(30) { b ~ Bernoulli(theta); n = n + b }; return exp(n/10)")
    program.grad({"theta": 0.3}, samples=1000, seed=0)
    started = time.perf_counter()
    result = program.grad({"theta": 0.3}, samples=300_000, seed=0)
    whole = time.perf_counter() - started
    name = next(f"{site.estimator}({', '.join(f'{k}={v}' for k, v in site.unusual.items())})".lower() for site in result.sites)
    started = time.perf_counter()
    program.grad({"theta": 0.3}, samples=300_000, seed=0, estimator=name)
    assert whole < 3 * (time.perf_counter() - started) + 0.5


def test_json_carries_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["grad", "examples/mixture.prob", "--json", "--seed", "0"])
    answer = json.loads(capsys.readouterr().out)
    assert status == 0
    site = next(site for site in answer["sites"] if site["name"] == "k")
    assert set(site["measured"]) >= {"enumerate", "score"}
    assert all(set(figures) == {"bias", "bias_se", "sd"} for figures in site["measured"].values())
    status = main(["grad", "examples/bernoulli.prob", "--json", "--seed", "0", "-n", "500"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["gradient"]["theta"] == {"mean": pytest.approx(7), "se": 0, "sd": 0} and answer["samples"] == 500
    assert answer["sites"][0]["measured"] == {"enumerate": {"bias": 0, "bias_se": 0, "sd": 0}}


@pytest.mark.parametrize(("text", "theta", "heavy"), [
    ("x ~ Normal(theta, 1); y = abs(x)^(-0.5)", 0.3, None),
    ("x ~ Normal(theta, 1) using rsample; y = abs(x)^(-0.5)", 0.3, True),
    ("z ~ Normal(theta, 2); y = theta^2*(z + 4)", 2.0, False),
    ("x ~ Normal(theta, 1); y = x > 0", 0.5, False),
    ("k ~ Poisson(theta); y = k^2", 3.0, False),
    ("x ~ Exponential(theta); y = x^2", 1.0, False),
    ("n = 0; g = 1; while g { b ~ Bernoulli(theta); g = not b; n = n + g }; y = n", 0.3, False),
], ids=lambda value: str(value))
def test_heavy_tails(text: str, theta: float, heavy: bool | None) -> None:
    result = probrun.parse(text).grad({"theta": theta}, seed=2, allow_biased=True)
    if heavy is None:  # flagged, or not by pathwise
        assert result.tails or result.sites[0].estimator != "rsample"
    else:
        assert bool(result.tails) == heavy
    assert ("heavy_tails" in result.to_dict()) == bool(result.tails)


def test_the_choice_does_not_bias() -> None:
    """The mean over 300 answers, each with its own pilot; the truth lies within 5 standard errors."""
    program = probrun.parse("b ~ Bernoulli(theta*ones(30)); x ~ Normal(theta, 1); y = mean(b)*x + (x > 0)")
    truth = 2 * 0.3 + math.exp(-0.045) / math.sqrt(2 * math.pi)
    found = [float(program.grad({"theta": 0.3}, samples=200, seed=seed, unbiased=True).gradient["theta"].mean) for seed in range(300)]
    mean = sum(found) / 300
    se = math.sqrt(sum((value - mean) ** 2 for value in found) / 299 / 300)
    assert abs(mean - truth) <= 5 * se and se < 0.02


def test_a_result_that_no_score_reaches_beside_one_that_they_do() -> None:
    """E[a + b] = t + p and E[a] = t: the second has no baselines to compare."""
    program = probrun.parse("a ~ Normal(t, 1)\nb ~ Bernoulli(p)\nreturn a + b, a")
    result = program.grad({"t": 1.0, "p": 0.3}, seed=3, samples=4000)
    exact = {"result1": {"t": 1.0, "p": 1.0}, "a": {"t": 1.0, "p": 0.0}}
    for name, row in exact.items():
        for parameter, value in row.items():
            found = result.gradient[name][parameter]
            assert abs(float(found.mean) - value) <= 5 * float(found.se) + 1e-6 and float(found.se) < 0.05


COINS = "; ".join(f"b{i} ~ Bernoulli(theta)" for i in range(24))
SUM = " + ".join(f"b{i}" for i in range(24))


@pytest.mark.parametrize(("end", "chosen"), [(f"({SUM})^2", "score"), (f"exp(({SUM})/4)", "score(baseline=regression)")])
def test_the_first_plan_is_tried_with_all_runs_and_is_the_answer(end: str, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where steps are most of the cost: one attempt with all runs, and what it gives is what the forced plan gives from the same seed."""
    sampled = []
    original = runtime.gradient

    def counted(*arguments: Any, **more: Any) -> Any:
        found = original(*arguments, **more)
        sampled.append(found.samples)
        return found

    monkeypatch.setattr(runtime, "gradient", counted)
    program = probrun.parse(f"param theta = 0.3; {COINS}; return {end}")
    result = program.grad(samples=2000, seed=3)
    assert sampled == [2000]
    forced = program.grad(samples=2000, seed=3, estimator=chosen, pilot=False)
    assert [(site.estimator, site.options) for site in result.sites] == [(site.estimator, site.options) for site in forced.sites]
    for one, other in ((result.value, forced.value), (result.gradient["theta"], forced.gradient["theta"])):
        for field in ("mean", "se", "sd"):
            assert float(getattr(one, field)) == pytest.approx(float(getattr(other, field)), rel=1e-5)
    kept = program.grad(samples=2000, seed=3, keep_runs=True)
    assert kept.per_run is not None
    assert float(kept.per_run["result"]["theta"].double().mean()) == pytest.approx(float(result.gradient["theta"].mean), rel=1e-5)


def test_runs_are_not_used_again_where_they_would_choose_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few runs, a target, points that are no random numbers: trials and answer have runs of their own."""
    program = probrun.parse(f"param theta = 0.3; {COINS}; return ({SUM})^2")
    made = []
    original = runtime._Pilot.answer

    def watched(pilot: Any, best: Any) -> Any:
        made.append(original(pilot, best))
        return made[-1]

    monkeypatch.setattr(runtime._Pilot, "answer", watched)
    ways: tuple[dict[str, Any], ...] = (
        {"samples": 500}, {"samples": 20_000}, {"samples": 2000, "target_se": 0.5}, {"samples": 2048, "sampler": "sobol"},
    )
    for options in ways:
        program.grad(seed=1, **options)
        assert made.pop() is None
    program.grad(seed=1, samples=2000)
    assert made.pop() is not None


def test_a_path_is_always_held_against_the_density() -> None:
    """However little there is to spend: a steep step looks smooth to most runs."""
    lines = "; ".join(f"x{i} ~ Normal(theta, 1)" for i in range(40))
    result = probrun.parse(f"param theta = 0.5; {lines}; return tanh(1e5*x0) + ({' + '.join(f'x{i}' for i in range(1, 40))})/100").grad(
        samples=4000, seed=1,
    )
    truth = 2 * math.exp(-0.125) / math.sqrt(2 * math.pi) + 0.39
    moments = result.gradient["theta"]
    assert abs(float(moments.mean) - truth) <= 5 * float(moments.se) or result.contradictions


def test_what_trials_may_take() -> None:
    """Steps count as many numbers, the first trial tells how many there are, and something may be spent in any case."""
    def found(samples: int, work: int, steps: int) -> Any:
        return SimpleNamespace(samples=samples, work=work, steps=steps)

    few_steps, many_steps = Budget(10_000), Budget(10_000)
    few_steps.pay(found(500, 500 * 4000, 4))
    assert few_steps.spent == 0 and few_steps.affords(500)
    few_steps.pay(found(500, 500 * 40_000, 4))
    assert not few_steps.affords(500)
    many_steps.pay(found(10_000, 10_000 * 200, 200))
    assert not many_steps.affords(500)
