"""A gradient held against the other right plans that a pilot has seen (`rivals.py`).

Every right plan that was measured and not set aside takes part.  A difference beyond `STRANGE` is looked at again with new runs,
and more of them, so that an unlucky pilot or one whose spread rested on a few runs does not speak; what is beyond `IMPOSSIBLE` then
is said.

Where no pilot has run (estimators are forced, or chosen by order), a score with a few runs stands in for it, if that is asked for.
It costs about what 10,000 runs do, and nothing that is cheaper can tell: what a steep step hides is in no run that was made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ...dsl.planning.chooser import Planner
from ...dsl.planning.plan import PlanOptions
from ...dsl.syntax import EstimatorCall
from ...dsl.tables.estimators import ESTIMATORS, FALLBACK, PLAIN
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from ..lanes.lessons import OutOfTime, TooMuchWork
from .estimate import gradient
from .rivals import IMPOSSIBLE, STRANGE, Contradiction, Rival, apart, limit

MORE = 10  # times the runs of a pilot, to look again at the end
MOST_RUNS = 20_000
LEAST_RUNS, FIRST_RUNS = 200, 2000  # of a score that stands in for a pilot
FIRST_WORK = 2**25  # numbers that it may touch, with more than the fewest runs


def contradictions(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    rivals: tuple[Rival, ...], estimate: Estimate, search: bool = False,
) -> tuple[Contradiction, ...]:
    """What right plans say against an estimate; `search`: where no pilot has measured any, one is run."""
    if estimate.exact or estimate.plan is None or estimate.plan.biased or estimate.interrupted:
        return ()
    if estimate.samples < 2:
        return ()  # of a single run nobody knows the spread, and it is reported as unknown
    if search and not rivals:
        options = replace(options, estimator=(), among=None)
        rivals = _by_score(planner, options, parameters, data, settings, estimate)
    if not rivals:
        return ()
    mean, variance = flat(estimate.gradient)
    variance = variance.nan_to_num(0.0)
    found: list[Contradiction] = []
    for rival in rivals:
        far = limit(STRANGE, mean.numel(), rival.runs)
        if not bool((apart(mean, variance, rival.mean, rival.variance).abs() > far).any()):
            continue
        seen = _again(planner, options, parameters, data, settings, rival)
        if seen is None:
            continue
        z = apart(mean, variance, seen.mean, seen.variance)
        at = int(z.abs().argmax())
        if abs(float(z[at])) > limit(IMPOSSIBLE, mean.numel(), seen.runs):
            found.append(Contradiction(
                entries(estimate.gradient)[at], rival.label, seen.runs, float(seen.mean[at]), float(seen.variance[at].sqrt()),
                float(z[at]),
            ))
    return tuple(found)


def _by_score(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    estimate: Estimate,
) -> tuple[Rival, ...]:
    """The plan of an estimate with a score in place of every reparameterised draw, with a few runs."""
    plan = estimate.plan
    assert plan is not None
    moved = {at for at, choice in plan.choices.items() if choice.effect and ESTIMATORS[choice.estimator].reparameterises}
    late = settings.deadline is not None and time.monotonic() > settings.deadline
    if not moved or late or any(FALLBACK.name not in plan.choices[at].valid for at in moved):
        return ()
    taken = {at: FALLBACK.name if at in moved else choice.estimator for at, choice in plan.choices.items() if choice.effect}
    prefer = tuple((at, EstimatorCall(name)) for at, name in taken.items() if name != PLAIN.name)
    most = min(int(FIRST_WORK * estimate.samples / max(estimate.work, 1)), FIRST_RUNS)
    new = replace(
        settings, samples=max(min(settings.samples, most), LEAST_RUNS), seed=(settings.seed * 48_271 + 12_345) % 2**63,
        dtype="float64", target_se=None, deadline=None, until=settings.deadline, sampler="random", keep_runs=False, compile=False,
    )
    wanted = replace(options, prefer=prefer)
    try:
        found = gradient(planner.resolved, lambda lessons: planner(wanted, lessons), parameters, data, new, trial=True)
    except (ProbError, TooMuchWork, OutOfTime):
        return ()
    assert found.plan is not None
    if found.interrupted or any(found.plan.choices[at].estimator != FALLBACK.name for at in moved):
        return ()
    mean, variance = flat(found.gradient)
    return (Rival(found.plan.label, prefer, mean, variance, found.samples),)


def _again(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    rival: Rival,
) -> Rival | None:
    """A rival with new runs, and more of them; as it was where there is no time; None where its own spread rests on too few."""
    if settings.deadline is not None and time.monotonic() > settings.deadline:
        return rival
    options = replace(options, prefer=rival.prefer)
    new = replace(
        settings, samples=max(min(MORE * rival.runs, MOST_RUNS), rival.runs), seed=(settings.seed * 69_621 + 40_692) % 2**63,
        dtype="float64", target_se=None, deadline=None, until=settings.deadline, sampler="random", keep_runs=False, compile=False,
    )
    try:
        found = gradient(planner.resolved, lambda lessons: planner(options, lessons), parameters, data, new)
    except (ProbError, TooMuchWork, OutOfTime):
        return rival
    if found.spreads.few or any(parameter is not None for _, parameter in found.spreads.tails):
        return None
    mean, variance = flat(found.gradient)
    return replace(rival, mean=mean, variance=variance, runs=found.samples)


def flat(gradient: Mapping[str, Mapping[str, Moments]]) -> tuple[Tensor, Tensor]:
    """All entries of a gradient, and the variance of each."""
    moments = [m for rows in gradient.values() for m in rows.values()]
    return torch.cat([m.mean.reshape(-1) for m in moments]).cpu(), torch.cat([m.se.reshape(-1) for m in moments]).cpu() ** 2


def entries(gradient: Mapping[str, Mapping[str, Moments]]) -> list[tuple[str, str]]:
    """The result and the parameter of every entry."""
    return [
        (name, parameter)
        for name, rows in gradient.items() for parameter, moments in rows.items() for _ in range(moments.mean.numel())
    ]
