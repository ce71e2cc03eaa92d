"""How each form of expression is evaluated on the lanes of a frame (branches, calls and sites have files of their own)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ...dsl.jumps.scoped import kept
from ...dsl.syntax import Arithmetic, Boolean, Call, Comparison, Draw, Index, Name, Node, Number, Power, Unary, Vector
from ...dsl.tables.functions import FUNCTIONS
from ..lanes.frames import Frame
from ..lanes.lanes import carry
from ..lanes.values import Held, Plain, Ragged, Uniform
from .calling import call, call_external
from .indexing import Item, check_axes, places, selection
from .machine import Machine
from .operation import ARITHMETIC, COMPARISON, NEGATIVE, OPPOSITE, STACK
from .sites import draw


def evaluate_number(machine: Machine, node: Number, frame: Frame) -> Plain:
    return Uniform(node.value)


def evaluate_boolean(machine: Machine, node: Boolean, frame: Frame) -> Plain:
    return Uniform(node.value)


def evaluate_name(machine: Machine, node: Name, frame: Frame) -> Plain:
    value = frame.read(node.id)
    if isinstance(value, Ragged):
        raise machine.where.ragged(node.id, value, node.span)
    return value


def evaluate_vector(machine: Machine, node: Vector, frame: Frame) -> Plain:
    values = machine.evaluate_all(node.items, frame)
    if any(isinstance(value.raw, Tensor) for value in values):
        return machine.apply(STACK, values, frame, node)
    numbers = [cast(float, value.raw) for value in values]
    for number in numbers:
        machine.hold(number)
    return Uniform(torch.tensor([numbers], dtype=machine.dtype, device=machine.device))


def evaluate_index(machine: Machine, node: Index, frame: Frame) -> Plain:
    if isinstance(node.target, Name) and (taken := _element(machine, node, node.target.id, frame)) is not None:
        return taken
    target = machine.evaluate(node.target, frame)
    shape = check_axes(target, len(node.items), node.span, machine.where)
    entered = frame.lanes
    items = machine.items(shape, node.items, frame)
    return _picked(machine, carry(target, entered, frame.lanes), items, frame, node)


def _picked(machine: Machine, target: Plain, items: Sequence[Item], frame: Frame, node: Node) -> Plain:
    return machine.apply(selection(items), [target, *(item for item in items if isinstance(item, Held))], frame, node)


def _element(machine: Machine, node: Index, name: str, frame: Frame) -> Plain | None:
    """A part of an array that is in pieces; None where it is not."""
    pieces = frame.taken_apart(name)
    if pieces is None:
        return None
    shape = check_axes(pieces, len(node.items), node.span, machine.where)
    first, *rest = items = machine.items(shape, node.items, frame)
    if (found := pieces.at(places(items), frame.lanes)) is not None:
        taken, rest = found, []
    elif isinstance(first, int):
        taken = pieces.get(first, frame.lanes)
    elif isinstance(first, slice) and pieces.loose and 0 < len(chosen := range(*first.indices(shape[0]))) < shape[0] / 2:
        taken, rest = pieces.part(chosen, frame.lanes), [slice(None), *rest]
    else:
        taken, rest = cast(Plain, frame.read(name)), items
        if machine.counter is not None:
            machine.counter.expect(taken.numbers)
    machine.note_element(name, taken, frame)
    return _picked(machine, taken, rest, frame, node) if rest else taken


def evaluate_unary(machine: Machine, node: Unary, frame: Frame) -> Plain:
    value = machine.evaluate(node.operand, frame)
    return machine.apply(OPPOSITE if node.operator == "not" else NEGATIVE, (value,), frame, node)


def evaluate_arithmetic(machine: Machine, node: Arithmetic, frame: Frame) -> Plain:
    value = machine.evaluate(node.first, frame)
    for term in node.rest:
        entered = frame.lanes
        operand = machine.evaluate(term.operand, frame)
        if frame.lanes is not entered:
            value = carry(value, entered, frame.lanes)
        value = machine.apply(ARITHMETIC[term.operator], (value, operand), frame, node, node.first.span.to(term.span))
    return value


def evaluate_power(machine: Machine, node: Power, frame: Frame) -> Plain:
    return machine.apply(ARITHMETIC["^"], machine.evaluate_all((node.base, node.exponent), frame), frame, node)


def evaluate_comparison(machine: Machine, node: Comparison, frame: Frame) -> Plain:
    return machine.apply(COMPARISON[node.operator], machine.evaluate_all((node.left, node.right), frame), frame, node)


def evaluate_call(machine: Machine, node: Call, frame: Frame) -> Plain:
    arguments = machine.evaluate_all([argument.value for argument in node.arguments], frame)
    function = machine.resolved.functions.get(node.function)
    if function is not None:
        return keep(machine, node, call(machine, node, function, arguments, frame), frame)
    row = FUNCTIONS.get(node.function)
    if row is not None:
        return machine.call_code(row, arguments, node, frame)
    return call_external(machine, node, arguments, frame)


def evaluate_draw(machine: Machine, node: Draw, frame: Frame) -> Plain:
    return keep(machine, node, draw(machine, node, frame), frame)


def keep(machine: Machine, node: Draw | Call, value: Plain, frame: Frame) -> Plain:
    """What is drawn or called inside an expression may be compared with what is drawn later in it."""
    if machine.atoms:
        frame.write(kept(node), value)
    return value
