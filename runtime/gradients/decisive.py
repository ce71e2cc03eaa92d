"""Kinks that were met exactly, and whose derivative there is not one: those where the gradient depends on which side is taken.

Where the operands of `max(a, b)` are equal any mixture of their derivatives is as good as another if the derivatives are equal
too, or if nothing follows from the value.  Else the expectation has a derivative to the left and one to the right, and what is
computed is neither.  Both questions are put to autograd, with probes that nothing cancels (`lanes/moving.py`): does the
difference of the sides move with the parameters, and does the result, or a density, depend on it?
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...dsl.text.source import Span
from ..lanes.lessons import TooCoarse
from ..lanes.lifting import pull
from ..lanes.moving import Motion, all_unlike
from ..machine.machine import Outcome


def decisive(outcome: Outcome, results: Sequence[Tensor], motion: Motion) -> set[Span]:
    """The kinks of a block at which the gradient of its results (run by run) is not one; TooCoarse where float64 must tell."""
    met = list(outcome.met)
    parts = [one.part for one in met]
    if not met or not motion.arrives(parts, all_unlike(parts)):
        return set()
    outputs = [*results, *(execution.log_density for execution in outcome.ledger.executions)]
    if motion.lifter is not None:
        outputs += motion.lifter.origins
    outputs = [output for output in outputs if output.requires_grad]
    felt: Sequence[Tensor | None] = pull(outputs, parts, all_unlike(outputs)) if outputs else ()
    found = [
        one for one, use in zip(met, felt, strict=False)
        if use is not None and bool((use != 0).any()) and motion.arrives([one.part], [use])
    ]
    if any(one.coarse for one in found):
        raise TooCoarse
    return {one.node.span for one in found}
