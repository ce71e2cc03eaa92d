"""Ways to go on under a condition: lanes part and come together again, or, where they may not part, both sides on all lanes.

A branch that all lanes take runs in the frame itself.  Where they differ, each side runs in a child frame on its own lanes, and
what it assigned is merged.  `return` takes its lanes out of all enclosing frames: a frame learns of it when its children come
back with fewer lanes than they went out with, and goes on with the others.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ...dsl.syntax import Conditional, Expression, If, Logical
from ...dsl.text.source import Span
from ..arrays.broadcast import shape_words
from ..arrays.kernels import partition
from ..arrays.operations import truth
from ..lanes.frames import Frame, merge
from ..lanes.lanes import carry
from ..lanes.lessons import NotCompiled
from ..lanes.values import PerLane, Plain, Ragged, Uniform, Value
from . import masked
from .machine import Machine
from .operation import LOGICAL


def holds(machine: Machine, value: Plain, condition: Expression) -> bool | Tensor:
    """Whether a condition holds: as one truth value, or in which lanes `[lanes]`."""
    if value.shape:
        raise machine.where.error(
            "P0304", "a condition must be one value, but is an array", condition.span, shape_words(value.shape),
            help="reduce it by any(...) or all(...), or choose element by element: where(c, a, b)",
        )
    held = truth(value.raw)
    return held if isinstance(value, PerLane) and len(held) > 1 else bool(held)  # type: ignore[arg-type]


def decide(machine: Machine, value: Plain, condition: Expression) -> bool | tuple[Tensor, Tensor]:
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


def conditional(machine: Machine, node: Conditional, frame: Frame) -> Plain:
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
) -> Plain:
    """One expression (or truth value) on some lanes and another on the others."""
    children = [frame.child(frame.lanes.restrict(index)) for index in held]
    values: list[Value] = [
        Uniform(side) if isinstance(side, bool) else machine.evaluate(side, child)
        for side, child in zip(sides, children, strict=True)
    ]
    join = merge(frame, children, machine.joiner)
    assert join is not None
    value = join(values)
    if isinstance(value, Ragged):
        raise machine.where.ragged(what, value, span)
    return value


def _both(
    machine: Machine, frame: Frame, held: Tensor, one: Expression | bool, other: Expression | bool,
) -> Plain:
    """Two expressions (or truth values), each on all lanes, and of each the lanes where it is asked for."""
    sides = masked.sides(machine, frame, held)
    first, second = (
        Uniform(value) if isinstance(value, bool) else machine.evaluate(value, side)
        for value, side in zip((one, other), sides, strict=True)
    )
    masked.merge(machine, frame, held, *sides)
    return cast(Plain, masked.choose(machine, held, first, second))


def logical(machine: Machine, node: Logical, frame: Frame) -> Plain:
    """`a and b`, `a or b`: the right side only on the lanes that the left side has not decided."""
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
    if isinstance(left, Uniform) or frame.lanes.count == 1:
        return truth_of(machine.evaluate(item, frame)) if bool(left.raw) == both else left
    held = left.raw
    if machine.masked:
        return truth_of(_both(machine, frame, held, *((item, False) if both else (True, item))))
    holding, failing = partition(held)
    undecided, decided = (holding, failing) if both else (failing, holding)
    if not undecided.shape[0]:
        return left
    if not decided.shape[0]:
        return truth_of(machine.evaluate(item, frame))
    return truth_of(_either(machine, frame, (undecided, decided), (item, not both), f"`{node.operator}`", node.span))
