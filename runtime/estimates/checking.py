"""After the runs: the estimate held against an independent oracle, and both derivatives where it has two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ...dsl.names.resolve import Resolved
from ...dsl.text.source import Span
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from ..lanes.lessons import OutOfTime
from .oracle import Check, both_sides, verify
from .sides import Sides

INTERRUPTED = "interrupted"
MOST_SIDES = 16  # derivatives of which both sides are computed
BothSides = Mapping[str, Mapping[str, Sides]]


def checked(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, estimate: Estimate,
    late: Settings | None, phase: Callable[[str], None],
) -> tuple[Estimate, Check | None, str, BothSides]:
    """The estimate, its check (`late`: with these settings; None: it was not asked for) or why there is none, and both sides."""
    check, unverified = None, ""
    if late is not None:
        check, unverified = verified(resolved, parameters, data, late, estimate, phase)
    if unverified == INTERRUPTED:
        estimate = replace(estimate, interrupted=True)
    sides = check.sides if check is not None else sides_of(
        resolved, parameters, data, settings, estimate.kinks, estimate.turns, estimate.interrupted, estimate.gradient
    )
    return estimate, check, unverified, sides


def verified(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, estimate: Estimate,
    phase: Callable[[str], None],
) -> tuple[Check | None, str]:
    """The check, or why there is none."""
    if estimate.interrupted:
        return None, INTERRUPTED
    phase("verifying the gradient")
    try:
        return verify(resolved, parameters, data, settings, estimate), ""
    except OutOfTime:
        return None, "time ran out"
    except KeyboardInterrupt:
        return None, INTERRUPTED


def sides_of(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    kinks: Sequence[Span], turns: Sequence[Span], interrupted: bool, gradient: Mapping[str, Mapping[str, Moments]],
) -> BothSides:
    """Both derivatives where a kink was met exactly, if they are few and there is time."""
    if not (kinks or turns) or settings.deadline is not None or interrupted:
        return {}
    if sum(moments.mean.numel() for rows in gradient.values() for moments in rows.values()) > MOST_SIDES:
        return {}
    return both_sides(resolved, parameters, data, settings, own=gradient)
