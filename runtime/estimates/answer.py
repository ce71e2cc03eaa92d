"""What `grad` does, once its options are checked: choose estimators, make the runs, and hold what came out against other plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ...dsl.planning.chooser import Planner
from ...dsl.planning.crowding import Crowding
from ...dsl.planning.plan import PlanOptions
from ..blocks.collect import Estimate
from ..blocks.settings import Settings
from .checking import BothSides, checked
from .contradictions import contradictions
from .doubts import set_aside
from .estimate import Progress, gradient
from .oracle import Check
from .pilot import choose
from .team import Team, with_team
from .verdict import Verdict

__all__ = ["checked_answer", "set_aside"]

TIME_FOR_RUNS = 0.6  # of what there is until the deadline, where the gradient is verified afterwards


def checked_answer(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    begun: float, verify: bool, piloted: bool, distributed: bool, cross_check: bool, progress: Progress,
    phase: Callable[[str], None],
) -> tuple[Verdict, Estimate, Check | None, str, BothSides]:
    """What a pilot found, what the runs gave, its check or why there is none, and both sides where there are two."""
    deadline = settings.deadline
    if verify and deadline is not None:
        settings = replace(settings, deadline=begun + TIME_FOR_RUNS * (deadline - begun))
    settings, verdict, estimate = answered(
        planner, options, parameters, data, settings, piloted, distributed, cross_check, progress, phase
    )
    late = replace(settings, deadline=deadline) if verify else None
    return verdict, *checked(planner.resolved, parameters, data, settings, estimate, late, phase)


def answered(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    piloted: bool, distributed: bool, cross_check: bool, progress: Progress, phase: Callable[[str], None],
) -> tuple[Settings, Verdict, Estimate]:
    """What a pilot found and what the runs gave; the settings are those of process 0 where there are several."""

    def measured(settings: Settings) -> Verdict:
        if not piloted:
            return Verdict()
        try:
            verdict = choose(planner, options, parameters, data, replace(settings, shard=(0, 1)), phase, not distributed)
            return verdict if settings.shard == (0, 1) else replace(verdict, made=None)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("choosing estimators") from None

    def estimated(settings: Settings, verdict: Verdict, team: Team | None) -> Estimate:
        preferred = replace(options, prefer=verdict.prefer) if verdict.prefer else options
        plans = Crowding(planner, parameters, data, settings.samples, settings.max_lanes, settings.of).planner(preferred)
        return gradient(planner.resolved, plans, parameters, data, settings, progress, team)

    if distributed:
        settings, verdict, estimate = with_team(settings, measured, estimated)
    else:
        verdict = measured(settings)
        estimate = verdict.exact or verdict.made or estimated(settings, verdict, None)
    whole = replace(settings, shard=(0, 1), saving=False)
    found = contradictions(planner, options, parameters, data, whole, verdict.rivals, estimate, cross_check)
    return settings, replace(verdict, contradictions=found) if found else verdict, estimate
