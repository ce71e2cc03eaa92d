"""Ways to go on under a condition: lanes part and come together again, or, where they may not part, both sides on all lanes.

A branch that all lanes take runs in the frame itself.  Where they differ, each side runs in a child frame on its own lanes, and
what it assigned is merged.  `return` takes its lanes out of all enclosing frames: a frame learns of it when its children come
back with fewer lanes than they went out with, and goes on with the others.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ...dsl.syntax import Conditional, Expression, If, Logical
from ...dsl.text.source import Span
from ..arrays.broadcast import ShapeMismatch, align, event_shape, shape_words
from ..arrays.kernels import partition
from ..arrays.operations import Operand, as_tensor, truth
from ..lanes.frames import Frame, merge
from ..lanes.lanes import Ragged, Value, carry
from ..lanes.lessons import NotCompiled
from . import masked
from .machine import Machine


def holds(machine: Machine, value: Operand, condition: Expression) -> bool | Tensor:
    """Whether a condition holds: as one truth value, or in which lanes `[lanes]`."""
    held = truth(value)
    if not isinstance(held, Tensor):
        return held
    if held.dim() != 1:
        raise machine.where.error(
            "P0304", "a condition must be one value, but is an array", condition.span, shape_words(event_shape(held)),
            help="reduce it by any(...) or all(...), or choose element by element: where(c, a, b)",
        )
    return bool(held) if held.shape[0] == 1 else held


def decide(machine: Machine, value: Operand, condition: Expression) -> bool | tuple[Tensor, Tensor]:
    """Whether a condition holds: in all lanes (True), in none (False), or the lanes where it does and where not."""
    held = holds(machine, value, condition)
    if not isinstance(held, Tensor):
        return held
    if machine.masked:
        raise NotCompiled("a loop or a recursion ends at random")
    holding, failing = partition(held)
    if not holding.shape[0]:
        return False
    return (holding, failing) if failing.shape[0] else True


def execute_if(machine: Machine, node: If, frame: Frame) -> None:
    _branch(machine, node, 0, frame)


def _branch(machine: Machine, node: If, number: int, frame: Frame) -> None:
    """The branches from `number` on."""
    while number < len(node.branches):
        condition, body = node.branches[number]
        value = machine.condition(condition, frame)
        number += 1
        if machine.masked and isinstance(mask := holds(machine, value, condition), Tensor):
            machine.apart = True
            taken, others = masked.sides(machine, frame, mask)
            machine.block(body, taken)
            _branch(machine, node, number, others)
            masked.merge(machine, frame, mask, taken, others)
            return
        held = decide(machine, value, condition)
        if held is True:
            machine.block(body, frame)
            return
        if held is not False:
            machine.apart = True
            taken, others = (frame.child(frame.lanes.restrict(index)) for index in held)
            machine.block(body, taken)
            _branch(machine, node, number, others)
            merge(frame, [taken, others], machine.joiner)
            return
    if node.otherwise is not None:
        machine.block(node.otherwise, frame)


def conditional(machine: Machine, node: Conditional, frame: Frame) -> Operand:
    """`if c then a else b`: each side on its own lanes."""
    value = machine.evaluate(node.condition, frame)
    if machine.masked and isinstance(mask := holds(machine, value, node.condition), Tensor):
        return _both(machine, frame, mask, node.then, node.otherwise)
    held = decide(machine, value, node.condition)
    if held is True:
        return machine.evaluate(node.then, frame)
    if held is False:
        return machine.evaluate(node.otherwise, frame)
    return _either(machine, frame, held, (node.then, node.otherwise), "if ... then ... else ...", node.span)


def _either(
    machine: Machine, frame: Frame, held: tuple[Tensor, Tensor], sides: tuple[Expression | bool, Expression | bool],
    what: str, span: Span,
) -> Operand:
    """One expression (or truth value) on some lanes and another on the others."""
    children = [frame.child(frame.lanes.restrict(index)) for index in held]
    values: list[Value] = [
        side if isinstance(side, bool) else machine.evaluate(side, child) for side, child in zip(sides, children, strict=True)
    ]
    join = merge(frame, children, machine.joiner)
    assert join is not None
    value = join(values)
    if isinstance(value, Ragged):
        raise machine.where.ragged(what, value, span)
    return value


def _both(
    machine: Machine, frame: Frame, held: Tensor, one: Expression | bool, other: Expression | bool,
) -> Operand:
    """Two expressions (or truth values), each on all lanes, and of each the lanes where it is asked for."""
    sides = masked.sides(machine, frame, held)
    first, second = (
        value if isinstance(value, bool) else machine.evaluate(value, side) for value, side in zip((one, other), sides, strict=True)
    )
    masked.merge(machine, frame, held, *sides)
    return cast(Operand, masked.choose(machine, held, first, second))


def logical(machine: Machine, node: Logical, frame: Frame) -> Operand:
    """`a and b`, `a or b`: the right side only on the lanes that the left side has not decided."""
    value = truth(machine.evaluate(node.items[0], frame))
    for item in node.items[1:]:
        value = _logical_step(machine, node, value, item, frame)
    return value


def _logical_step(
    machine: Machine, node: Logical, left: bool | Tensor, item: Expression, frame: Frame
) -> bool | Tensor:
    both = node.operator == "and"
    if isinstance(left, Tensor) and left.dim() == 1 and left.shape[0] == 1:
        left = bool(left)
    if not isinstance(left, Tensor):
        return truth(machine.evaluate(item, frame)) if left == both else left
    if left.dim() > 1:
        return _elementwise(machine, node, left, item, frame)
    if machine.masked:
        return truth(_both(machine, frame, left, *((item, False) if both else (True, item))))
    holding, failing = partition(left)
    undecided, decided = (holding, failing) if both else (failing, holding)
    if not undecided.shape[0]:
        return left
    if not decided.shape[0]:
        return truth(machine.evaluate(item, frame))
    return truth(_either(machine, frame, (undecided, decided), (item, not both), f"`{node.operator}`", node.span))


def _elementwise(machine: Machine, node: Logical, left: Tensor, item: Expression, frame: Frame) -> Tensor:
    """`and`, `or` of arrays: both sides on all lanes."""
    entered = frame.lanes
    right = as_tensor(truth(machine.evaluate(item, frame)), machine.dtype, machine.device)
    left = cast(Tensor, carry(left, entered, frame.lanes))
    try:
        pair = align(left, right)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None
    return torch.logical_and(*pair) if node.operator == "and" else torch.logical_or(*pair)
