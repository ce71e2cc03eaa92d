"""How each form of expression is evaluated on the lanes of a frame (branches, calls and sites have files of their own)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ...dsl.syntax import Arithmetic, Boolean, Call, Comparison, Index, Name, Number, Power, Unary, Vector
from ...dsl.tables.functions import FUNCTIONS
from ..arrays.broadcast import ShapeMismatch, event_shape, shape_words
from ..arrays.memory import ask
from ..arrays.operations import Operand, compare, negative, opposite
from ..lanes.frames import Frame
from ..lanes.lanes import Ragged, carry
from ..lanes.pieces import Item
from .calling import call, call_external
from .indexing import check_axes, select
from .machine import Machine


def evaluate_number(machine: Machine, node: Number, frame: Frame) -> Operand:
    return node.value


def evaluate_boolean(machine: Machine, node: Boolean, frame: Frame) -> Operand:
    return node.value


def evaluate_name(machine: Machine, node: Name, frame: Frame) -> Operand:
    value = frame.read(node.id)
    if isinstance(value, Ragged):
        raise machine.where.ragged(node.id, value, node.span)
    return value


def evaluate_vector(machine: Machine, node: Vector, frame: Frame) -> Operand:
    values = machine.evaluate_all(node.items, frame)
    if not any(isinstance(value, Tensor) for value in values):
        for value in values:
            machine.hold(cast(float, value))
        return torch.tensor([values], dtype=machine.dtype, device=machine.device)
    tensors = machine.lifted([machine.number(value) for value in values], frame)
    shapes = {event_shape(tensor) for tensor in tensors}
    if len(shapes) > 1:
        listed = sorted(shapes)
        words = " and ".join(shape_words(shape) for shape in listed)
        raise machine.where.shapes(ShapeMismatch(listed, f"the entries of an array must have one shape, not {words}"), node.span)
    lanes = max(tensor.shape[0] for tensor in tensors)
    ask(lanes * len(tensors) * tensors[0][0].numel(), machine.device)
    return torch.stack([tensor.expand(lanes, *tensor.shape[1:]) for tensor in tensors], dim=1)


def evaluate_index(machine: Machine, node: Index, frame: Frame) -> Operand:
    if isinstance(node.target, Name) and (taken := _element(machine, node, node.target.id, frame)) is not None:
        return taken
    target = machine.evaluate(node.target, frame)
    shape = check_axes(target, len(node.items), node.span, machine.where)
    entered = frame.lanes
    items = machine.items(shape, node.items, frame)
    return _picked(machine, cast(Tensor, carry(target, entered, frame.lanes)), items, frame)


def _picked(machine: Machine, target: Tensor, items: list[Item], frame: Frame) -> Tensor:
    if machine.lifter is not None and any(isinstance(item, Tensor) and item.shape[0] > 1 for item in items):
        target = machine.lifter.lift(target, frame.lanes)
    return select(target, items)


def _element(machine: Machine, node: Index, name: str, frame: Frame) -> Tensor | None:
    """A part of an array that is in pieces; None where it is not."""
    pieces = frame.taken_apart(name)
    if pieces is None:
        return None
    shape = check_axes(pieces, len(node.items), node.span, machine.where)
    first, *rest = items = machine.items(shape, node.items, frame)
    if (found := pieces.at(items, frame.lanes)) is not None:
        taken, rest = found, []
    elif isinstance(first, int):
        taken = pieces.get(first, frame.lanes)
    elif isinstance(first, slice) and pieces.loose and 0 < len(chosen := range(*first.indices(shape[0]))) < shape[0] / 2:
        taken, rest = pieces.part(chosen, frame.lanes), [slice(None), *rest]
    else:
        taken, rest = cast(Tensor, frame.read(name)), items
        if machine.counter is not None:
            machine.counter.expect(taken.numel())
    machine.note_element(name, taken, frame)
    return _picked(machine, taken, rest, frame)


def evaluate_unary(machine: Machine, node: Unary, frame: Frame) -> Operand:
    value = machine.evaluate(node.operand, frame)
    if node.operator == "not":
        return opposite(value)
    if isinstance(value, Tensor) and value.shape[0] == 1:
        return machine.once("negative", lambda value: negative(value, machine.dtype), value)
    return negative(value, machine.dtype)


def evaluate_arithmetic(machine: Machine, node: Arithmetic, frame: Frame) -> Operand:
    value = machine.evaluate(node.first, frame)
    for term in node.rest:
        entered = frame.lanes
        operand = machine.evaluate(term.operand, frame)
        if frame.lanes is not entered:
            value = cast(Operand, carry(value, entered, frame.lanes))
        value = machine.calculate(term.operator, value, operand, node.first.span.to(term.span), frame)
    return value


def evaluate_power(machine: Machine, node: Power, frame: Frame) -> Operand:
    base, exponent = machine.evaluate_all((node.base, node.exponent), frame)
    return machine.calculate("^", base, exponent, node.span, frame)


def evaluate_comparison(machine: Machine, node: Comparison, frame: Frame) -> Operand:
    left, right = machine.evaluate_all((node.left, node.right), frame)
    try:
        if machine.meetings is not None and id(node) in machine.meetings.places:
            machine.meetings.turned(node, machine.number(left), machine.number(right))
        return compare(node.operator, left, right)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None


def evaluate_call(machine: Machine, node: Call, frame: Frame) -> Operand:
    arguments = machine.evaluate_all([argument.value for argument in node.arguments], frame)
    function = machine.resolved.functions.get(node.function)
    if function is not None:
        return call(machine, node, function, arguments, frame)
    row = FUNCTIONS.get(node.function)
    if row is not None:
        return machine.call_code(row, arguments, node, frame)
    return call_external(machine, node, arguments, frame)
