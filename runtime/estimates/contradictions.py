"""A gradient held against the other right plans that a pilot has seen (`rivals.py`).

Every right plan that was measured and not set aside takes part.  A difference beyond `IMPOSSIBLE` is looked at again with new runs,
and more of them, so that an unlucky pilot or one whose spread rested on a few runs does not speak; what is left is said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ...dsl.planning.chooser import Planner
from ...dsl.planning.plan import PlanOptions
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from ..lanes.lessons import OutOfTime, TooMuchWork
from .estimate import gradient
from .rivals import IMPOSSIBLE, Contradiction, Rival, apart, limit

MORE = 10  # times the runs of a pilot, to look again at the end
MOST_RUNS = 20_000


def contradictions(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    rivals: tuple[Rival, ...], estimate: Estimate,
) -> tuple[Contradiction, ...]:
    """What right plans say against an estimate."""
    if not rivals or estimate.exact or estimate.plan is None or estimate.plan.biased or estimate.interrupted:
        return ()
    mean, variance = flat(estimate.gradient)
    variance = variance.nan_to_num(0.0)
    found: list[Contradiction] = []
    for rival in rivals:
        far = limit(IMPOSSIBLE, mean.numel(), rival.runs)
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
        target_se=None, deadline=None, until=settings.deadline, sampler="random", keep_runs=False, compile=False,
    )
    try:
        found = gradient(planner.resolved, lambda lessons: planner(options, lessons), parameters, data, new)
    except (ProbError, TooMuchWork, OutOfTime):
        return rival
    if found.few or found.tails:
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
