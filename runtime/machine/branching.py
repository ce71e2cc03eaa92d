"""What is executed under a condition, whatever the way to go on where it differs from lane to lane (`ways.py`).

A branch that all lanes take runs in the frame itself.  Where they differ, each side runs in a child frame, and what it assigned is
merged.  `return` takes its lanes out of all enclosing frames: a frame learns of it when its children come back with fewer lanes
than they went out with, and goes on with the others.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ...dsl.syntax import Conditional, Expression, If, Logical
from ...dsl.text.source import Span
from ..arrays.broadcast import shape_words
from ..arrays.operations import truth
from ..lanes.frames import Frame
from ..lanes.lanes import NOWHERE, carry
from ..lanes.values import PerLane, Plain, Ragged, Uniform, Value
from .machine import Machine
from .operation import LOGICAL
from .setting import NobodyLeft
from .ways import Parted


def holds(machine: Machine, value: Plain, condition: Expression) -> bool | Tensor:
    """Whether a condition holds: as one truth value, or in which lanes `[lanes]`."""
    if value.shape:
        raise machine.where.error(
            "P0304", "a condition must be one value, but is an array", condition.span, shape_words(value.shape),
            help="reduce it by any(...) or all(...), or choose element by element: where(c, a, b)",
        )
    held = truth(value.raw)
    return held if isinstance(value, PerLane) and isinstance(held, Tensor) and held.shape[0] > 1 else bool(held)


def execute_if(machine: Machine, node: If, frame: Frame) -> None:
    _branch(machine, node, 0, frame)


def _branch(machine: Machine, node: If, number: int, frame: Frame) -> None:
    """The branches from `number` on."""
    while number < len(node.branches):
        condition, body = node.branches[number]
        try:
            parted = _parted(machine, machine.condition(condition, frame), condition, frame)
        except NobodyLeft:
            frame.narrow(NOWHERE)
            return
        number += 1
        if parted is True:
            machine.block(body, frame)
            return
        if parted is not False:
            machine.apart = True
            taken, others = parted.sides
            machine.block(body, taken)
            _branch(machine, node, number, others)
            parted.join()
            return
    if node.otherwise is not None:
        machine.block(node.otherwise, frame)


def _parted(machine: Machine, value: Plain, condition: Expression, frame: Frame) -> Parted | bool:
    """The two sides of a condition; True where it holds in all lanes, False where in none."""
    held = holds(machine, value, condition)
    return machine.branching.part(machine, frame, held) if isinstance(held, Tensor) else held


def conditional(machine: Machine, node: Conditional, frame: Frame) -> Plain:
    """`if c then a else b`."""
    parted = _parted(machine, machine.evaluate(node.condition, frame), node.condition, frame)
    if isinstance(parted, bool):
        return machine.evaluate(node.then if parted else node.otherwise, frame)
    return _either(machine, parted, (node.then, node.otherwise), "if ... then ... else ...", node.span)


def _either(
    machine: Machine, parted: Parted, expressions: tuple[Expression | bool, Expression | bool], what: str, span: Span
) -> Plain:
    """One expression (or truth value) where a condition holds, and another where not."""
    values: list[Value] = []
    for expression, side in zip(expressions, parted.sides, strict=True):
        try:
            values.append(Uniform(expression) if isinstance(expression, bool) else machine.evaluate(expression, side))
        except NobodyLeft:
            side.narrow(NOWHERE)
    if not values:
        raise NobodyLeft
    value = parted.join()(values)
    if isinstance(value, Ragged):
        raise machine.where.ragged(what, value, span)
    return value


def logical(machine: Machine, node: Logical, frame: Frame) -> Plain:
    """`a and b`, `a or b`: the right side only where the left side has not decided."""
    value = truth_of(machine.evaluate(node.items[0], frame))
    for item in node.items[1:]:
        value = _logical_step(machine, node, value, item, frame)
    return value


def truth_of(value: Plain) -> Plain:
    """A number is true where it is not 0."""
    held = truth(value.raw)
    return value if held is value.raw else type(value)(held, value.event)


def _logical_step(machine: Machine, node: Logical, left: Plain, item: Expression, frame: Frame) -> Plain:
    both = node.operator == "and"
    if left.shape:
        entered = frame.lanes
        right = machine.evaluate(item, frame)
        return machine.apply(LOGICAL[node.operator], (carry(left, entered, frame.lanes), right), frame, node)
    alone = isinstance(left, Uniform) or frame.lanes.count == 1
    parted = bool(left.raw) if alone else machine.branching.part(machine, frame, cast(Tensor, left.raw))
    if isinstance(parted, bool):
        return truth_of(machine.evaluate(item, frame)) if parted == both else left
    return truth_of(_either(machine, parted, (item, False) if both else (True, item), f"`{node.operator}`", node.span))
