"""Statements that set a variable, or an element of one."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from ...dsl.syntax import Assign, Sample, Statement
from ..arrays.broadcast import ShapeMismatch
from ..arrays.private import observed
from ..lanes.frames import Frame
from ..lanes.lanes import carry
from ..lanes.values import Held, Plain, Ragged
from .indexing import Item, check_axes, fitted, left, places, replacement
from .looping import added
from .machine import Machine
from .sites import draw
from .ways import APART


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


def _store(machine: Machine, node: Assign | Sample, value: Plain, frame: Frame) -> None:
    """`name[indices] = value`."""
    held, _ = frame.entry(node.name)
    if isinstance(held, Ragged):
        raise machine.where.ragged(node.name, held, node.span)
    shape = check_axes(held, len(node.indices), node.span, machine.where)
    entered = frame.lanes
    items = machine.items(shape, node.indices, frame)
    if frame.lanes is not entered:
        value = carry(value, entered, frame.lanes)
    for item, index in zip(items, node.indices, strict=True):
        if isinstance(item, Held) and item.shape:
            raise machine.where.error("P0305", "an index of an assignment must be one whole number", index.span)
    stored = machine.arrayed(value)
    try:
        path = [item for item in items if isinstance(item, int)]
        if len(path) == len(items):
            stored = fitted(stored, shape[len(path):])
            if frame.put(node.name, path, stored) and machine.counter is not None and not stored.live:
                machine.counter.hold(stored.numbers)
            machine.note_store(node.name, value, stored, frame)
            return
        _at_random(machine, node, items, value, stored, frame)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None


def _at_random(
    machine: Machine, node: Assign | Sample, items: list[Item], value: Plain, stored: Plain, frame: Frame
) -> None:
    """An assignment whose place differs from lane to lane: in place, or, in a graph, to a copy of the whole."""
    pieces = frame.apart(node.name)
    if machine.counter is not None:
        machine.counter.expect(frame.lanes.count * math.prod(pieces.shape))
    becomes_number = pieces.dtype == torch.bool and cast(Tensor, stored.raw).dtype != torch.bool
    if machine.branching is APART and not observed() and not becomes_number:
        if machine.counter is not None:
            machine.counter.hold(frame.lanes.count)
        frame.scatter(node.name, places(items), fitted(stored, left(pieces.shape, items)))
        machine.note_store(node.name, value, stored, frame)
        return
    target = cast(Plain, frame.read(node.name))
    operands = [target, stored, *(item for item in items if isinstance(item, Held))]
    whole = machine.apply(replacement(items), operands, frame, node)
    machine.watch(node, whole)
    machine.note_store(node.name, value, whole, frame, True)
    frame.write(node.name, whole)


def skip(machine: Machine, node: Statement, frame: Frame) -> None:
    """Declarations have been dealt with before the run."""
