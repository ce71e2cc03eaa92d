"""Statements that set a variable, or an element of one."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from ...dsl.syntax import Assign, Sample, Statement
from ..arrays.broadcast import ShapeMismatch
from ..arrays.kernels import to_number
from ..arrays.operations import Operand
from ..arrays.recording import recording
from ..lanes.frames import Frame
from ..lanes.lanes import Ragged, carry
from ..lanes.pieces import Item, Pieces
from .indexing import check_axes, fitted, left, replace
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
    held, _ = frame.entry(node.name)
    if isinstance(held, Ragged):
        raise machine.where.ragged(node.name, held, node.span)
    shape = check_axes(held, len(node.indices), node.span, machine.where)
    entered = frame.lanes
    items = machine.items(shape, node.indices, frame)
    if frame.lanes is not entered:
        value = cast(Operand, carry(value, entered, frame.lanes))
    for item, index in zip(items, node.indices, strict=True):
        if isinstance(item, Tensor) and item.dim() > 1:
            raise machine.where.error("P0305", "an index of an assignment must be one whole number", index.span)
    stored = machine.tensor(value)
    try:
        path = [item for item in items if isinstance(item, int)]
        if len(path) == len(items):
            stored = fitted(stored, shape[len(path):])
            if frame.put(node.name, path, stored) and machine.counter is not None and not stored.requires_grad:
                machine.counter.hold(stored.numel())
            machine.note_store(node.name, value, stored, frame)
            return
        _at_random(machine, node, items, value, stored, frame)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None


def _at_random(
    machine: Machine, node: Assign | Sample, items: list[Item], value: Operand, stored: Tensor, frame: Frame
) -> None:
    """An assignment whose place differs from lane to lane: in place, or, in a graph, to a copy of the whole."""
    held, _ = frame.entry(node.name)
    assert isinstance(held, Tensor | Pieces)
    shape = check_axes(held, len(items), node.span, machine.where)
    if machine.counter is not None:
        machine.counter.expect(frame.lanes.count * math.prod(shape))
    if not (recording() or machine.masked or (held.dtype == torch.bool and stored.dtype != torch.bool)):
        if machine.counter is not None:
            machine.counter.hold(frame.lanes.count)
        frame.scatter(node.name, items, fitted(to_number(stored, held.dtype), left(shape, items)))
        machine.note_store(node.name, value, stored, frame)
        return
    target = cast(Tensor, frame.read(node.name))
    if machine.lifter is not None and any(
        tensor.shape[0] > 1 for tensor in (target, stored, *items) if isinstance(tensor, Tensor)
    ):
        target, stored = machine.lifter.lift(target, frame.lanes), machine.lifter.lift(stored, frame.lanes)
    new = replace(target, items, stored)
    if machine.watching:
        machine.watch(node, new)
    machine.note_store(node.name, value, new, frame, True)
    frame.write(node.name, new)


def skip(machine: Machine, node: Statement, frame: Frame) -> None:
    """Declarations have been dealt with before the run."""
