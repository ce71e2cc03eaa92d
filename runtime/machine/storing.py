"""Statements that set a variable, or an element of one."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ...dsl.syntax import Assign, Sample, Statement
from ..arrays.broadcast import ShapeMismatch
from ..arrays.operations import Operand
from ..lanes.frames import Frame
from ..lanes.lanes import Ragged, carry
from .indexing import check_axes, replace
from .machine import Machine
from .rounds import added
from .sites import draw


def execute_assign(machine: Machine, node: Assign, frame: Frame) -> None:
    if machine.rounds is not None and id(node) in machine.rounds.loop.sums:
        frame.write(node.name, added(machine, machine.rounds, node, frame))
        return
    value = machine.evaluate(node.value, frame)
    machine.meter.take(value)
    if node.indices:
        _store(machine, node, value, frame)
    else:
        frame.write(node.name, value)


def execute_sample(machine: Machine, node: Sample, frame: Frame) -> None:
    value = draw(machine, node, frame)
    if node.indices:
        _store(machine, node, value, frame)
    else:
        frame.write(node.name, value)


def _store(machine: Machine, node: Assign | Sample, value: Operand, frame: Frame) -> None:
    """`name[indices] = value`."""
    held = frame.read(node.name)
    if isinstance(held, Ragged):
        raise machine.where.ragged(node.name, held, node.span)
    target = check_axes(held, len(node.indices), node.span, machine.where)
    entered = frame.lanes
    items = machine.items(target, node.indices, frame)
    if frame.lanes is not entered:
        target = cast(Tensor, carry(target, entered, frame.lanes))
        value = cast(Operand, carry(value, entered, frame.lanes))
    for item, index in zip(items, node.indices, strict=True):
        if isinstance(item, Tensor) and item.dim() > 1:
            raise machine.where.error("P0305", "an index of an assignment must be one whole number", index.span)
    stored = machine.tensor(value)
    if machine.lifter is not None and any(
        tensor.shape[0] > 1 for tensor in (target, stored, *items) if isinstance(tensor, Tensor)
    ):
        target, stored = machine.lifter.lift(target, frame.lanes), machine.lifter.lift(stored, frame.lanes)
    try:
        new = replace(target, items, stored)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None
    if machine.watching:
        machine.watch(node, new)
    machine.note_store(target, value, new, frame)
    frame.write(node.name, new)


def skip(machine: Machine, node: Statement, frame: Frame) -> None:
    """Declarations have been dealt with before the run."""
