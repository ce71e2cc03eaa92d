"""Where the draws of a site matter: not where all that they are multiplied by is 0 (`dsl/analysis/gates.py`).

The factor must not know of the draw (its taint tells), and must not carry a derivative itself: in `w*b` with w = 0 the
derivative of w still meets b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ...dsl.analysis.gates import Gates
from ...dsl.syntax import Call, Expression
from ..arrays.kernels import to_number
from ..lanes.frames import Frame, Gate
from ..lanes.ledger import Ledger, Taint, trailing, without
from ..lanes.values import PerLane, Plain


def weigh(
    gates: Gates, ledger: Ledger, node: Expression, values: Sequence[Plain], taints: Sequence[Taint], frame: Frame,
    dtype: torch.dtype,
) -> None:
    """The operands of a product or of a choice have been evaluated: what does that say of the draws behind them?"""
    opened = frame.activation.gates
    for number, sources in gates.behind[id(node)].items():
        for source in sources:
            gate = opened.get(source)
            if gate is None:
                continue
            found = _relevant(node, number, values, taints, gate, frame, dtype)
            if found is None:
                del opened[source]
                continue
            gate.relevant = found if gate.relevant is None else _either(gate.relevant, found)
            gate.left -= 1
            if not gate.left:
                _settle(gate, gate.relevant, ledger)
                del opened[source]


def _settle(gate: Gate, relevant: Tensor, ledger: Ledger) -> None:
    """All uses are known: leave out the draws that do not matter."""
    if gate.summed is None:
        ledger.excuse(gate.bit, relevant)
        return
    batch = gate.summed.batch
    density = gate.summed.over(trailing(relevant, len(batch) + 1).expand(gate.lanes.count, *batch))
    assert density is not None
    ledger.recount(gate.bit, density)


def _relevant(
    node: Expression, number: int, values: Sequence[Plain], taints: Sequence[Taint], gate: Gate, frame: Frame, dtype: torch.dtype
) -> Tensor | None:
    """0 where the operand `number` does not matter `[lanes or 1, *batch or nothing]`, else not 0; None: it may everywhere."""
    shape = values[number].shape
    if frame.lanes is not gate.lanes or (gate.batch and shape != gate.batch):
        return None
    choosing = isinstance(node, Call) and node.function == "where"
    total: Tensor | None = None
    for place, (value, taint) in enumerate(zip(values, taints, strict=True)):
        if place == number or (choosing and place):
            continue
        if not isinstance(value.raw, Tensor) or value.live or taint.all & gate.bit:
            continue
        if value.shape and gate.batch and value.shape != gate.batch:
            continue
        rows = value.rows if isinstance(value, PerLane) else cast(Tensor, value.wide)
        present = to_number(rows == 0 if choosing and number == 2 else rows, dtype)
        if not isinstance(value, PerLane) and bool(present.all()):
            continue  # the same in all lanes, and 0 nowhere
        if present.dim() > 1 and not gate.batch:
            present = present.reshape(present.shape[0], math.prod(present.shape[1:])).abs().amax(1)
        total = present if total is None else _both(total, present)
    return total


def _both(one: Tensor, other: Tensor) -> Tensor:
    dimensions = max(one.dim(), other.dim())
    return without(trailing(one, dimensions), trailing(other, dimensions))


def _either(one: Tensor, other: Tensor) -> Tensor:
    dimensions = max(one.dim(), other.dim())
    return torch.maximum(trailing(one, dimensions).abs(), trailing(other, dimensions).abs())
