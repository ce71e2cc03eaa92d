"""Kinks that were met exactly, and whose derivative there is not one: those where the gradient depends on which side is taken.

Where the operands of `max(a, b)` are equal any mixture of their derivatives is as good as another if the derivatives are equal
too, or if nothing follows from the value.  Else the expectation has a derivative to the left and one to the right, and what is
computed is neither.  Both questions are put to autograd, with probes that nothing cancels (`runtime/lanes/moving.py`): does the
difference of the sides move with the parameters, and does the result, or a density, depend on it?

A comparison turns, too: `if D < y then D else y` is a kink written by hand, but it may as well be a guard that changes nothing.
Autograd does not know what the other way would have given; so it is left to differences of the expectation to tell
(`runtime/estimates/sides.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...dsl.text.source import Span
from ..arrays.private import pull
from ..arrays.probes import all_unlike, unlike
from ..lanes.lessons import TooCoarse
from ..lanes.meetings import Met
from ..lanes.moving import Motion
from ..machine.machine import Outcome


def decisive(outcome: Outcome, results: Sequence[Tensor], motion: Motion) -> tuple[set[Span], set[Span]]:
    """The kinks of a block at which the gradient of its results (run by run) is not one, and the comparisons that may have gone
    the other way; TooCoarse where float64 must tell."""
    parts = [one.part for one in outcome.met]
    if not parts or not motion.arrives(parts, all_unlike(parts)):
        return set(), set()
    met = [one for one in outcome.met if not one.turn]
    turns = {
        one.node.span for one in outcome.met
        if one.turn and motion.arrives([one.part], [unlike(one.part)]) and not motion.still(one.part, one.part == 0)
    }
    return (_decisive(met, outcome, results, motion) if met else set()), turns


def _decisive(met: Sequence[Met], outcome: Outcome, results: Sequence[Tensor], motion: Motion) -> set[Span]:
    parts = [one.part for one in met]
    outputs = [*results, *(execution.log_density for execution in outcome.ledger.executions)]
    found = [
        one for one, use in zip(met, _felt(outputs, parts, motion), strict=True)
        if use is not None and bool((use != 0).any()) and motion.arrives([one.part], [use]) and not motion.still(one.part, use != 0)
    ]
    if any(one.coarse for one in found):
        raise TooCoarse
    return {one.node.span for one in found}


def _felt(outputs: Sequence[Tensor], parts: Sequence[Tensor], motion: Motion) -> list[Tensor | None]:
    """How outputs depend on each of the parts, through what was lifted too; None: not at all."""
    outputs = [output for output in outputs if output.requires_grad]
    if not outputs:
        return [None] * len(parts)
    lifted = [] if motion.lifter is None else motion.lifter.lifted
    found = list(pull(outputs, [*parts, *(one.leaf for one in lifted)], all_unlike(outputs)))
    uses: dict[int, Tensor] = {}
    for one, use in zip(lifted, found[len(parts) :], strict=True):
        if use is not None and bool((use != 0).any()):
            mask = (use != 0).any(0, keepdim=True)
            uses[one.origin] = uses[one.origin] | mask if one.origin in uses else mask
    if motion.lifter is None or not uses:
        return found[: len(parts)]
    origins = [motion.lifter.origins[number] for number in uses]
    incoming = [torch.where(mask, probe, 0.0) for mask, probe in zip(uses.values(), all_unlike(origins), strict=True)]
    onward = pull(origins, parts, incoming)
    return [one if other is None else other if one is None else one + other for one, other in zip(found, onward, strict=False)]
