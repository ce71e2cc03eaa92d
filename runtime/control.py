"""Statements: what splits the lanes, and how they come together again.

A branch that all lanes take runs in the frame itself.  Where they differ, each side runs in a child frame on its own
lanes, and what it assigned is merged.  A loop runs in a child frame whose lanes shrink; what leaves is kept and merged
once, at the end.  `return` takes its lanes out of all enclosing frames: a frame learns of it when its children come back
with fewer lanes than they went out with, and goes on with the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..dsl.source import Span
from ..dsl.syntax import (
    Assign,
    Block,
    Call,
    Conditional,
    Data,
    Expression,
    For,
    Function,
    If,
    Logical,
    Parameter,
    Range,
    Return,
    Sample,
    Statement,
    While,
)
from . import masked
from .broadcast import ShapeMismatch, align, event_shape, shape_words
from .frames import HIDDEN, Activation, Frame, Returned, merge, together
from .indexing import check_axes, replace, whole_number
from .kernels import partition
from .lanes import NOWHERE, Ragged, Value, carry
from .ledger import Term
from .lifting import no_points
from .operations import Operand, as_tensor, truth
from .quasi import Points
from .recording import NotCompiled
from .rounds import all_at_once
from .sites import draw
from .watch import TooManyLanes

if TYPE_CHECKING:
    from .interpreter import Interpreter

DEEP = 64  # calls in calls that are compiled
FIXED_LOOP_FACTOR = 500  # a loop whose length is known when it starts may be this much longer than one that is not


def block(machine: Interpreter, statements: tuple[Statement, ...], frame: Frame) -> None:
    """Execute statements as long as lanes are left."""
    for statement in statements:
        machine.meter.spend(frame.lanes.count)
        machine.execute(statement, frame)
        if not frame.lanes.count:
            return


def execute(machine: Interpreter, statement: Statement, frame: Frame) -> None:
    """Execute one statement."""
    _EXECUTE[statement.__class__](machine, statement, frame)


# --------------------------------------------------------------------------------------------------- branches
def holds(machine: Interpreter, value: Operand, condition: Expression) -> bool | Tensor:
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


def decide(machine: Interpreter, value: Operand, condition: Expression) -> bool | tuple[Tensor, Tensor]:
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


def _if(machine: Interpreter, node: If, frame: Frame) -> None:
    _branch(machine, node, 0, frame)


def _branch(machine: Interpreter, node: If, number: int, frame: Frame) -> None:
    """The branches from `number` on."""
    while number < len(node.branches):
        condition, body = node.branches[number]
        value = machine.condition(condition, frame)
        number += 1
        if machine.masked and isinstance(mask := holds(machine, value, condition), Tensor):
            machine.apart = True
            taken, others = masked.sides(machine, frame, mask)
            block(machine, body.statements, taken)
            _branch(machine, node, number, others)
            masked.merge(machine, frame, mask, taken, others)
            return
        held = decide(machine, value, condition)
        if held is True:
            block(machine, body.statements, frame)
            return
        if held is not False:
            machine.apart = True
            taken, others = (frame.child(frame.lanes.restrict(index)) for index in held)
            block(machine, body.statements, taken)
            _branch(machine, node, number, others)
            merge(frame, [taken, others], machine.joiner)
            return
    if node.otherwise is not None:
        block(machine, node.otherwise.statements, frame)


def conditional(machine: Interpreter, node: Conditional, frame: Frame) -> Operand:
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
    machine: Interpreter, frame: Frame, held: tuple[Tensor, Tensor], sides: tuple[Expression | bool, Expression | bool],
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
    machine: Interpreter, frame: Frame, held: Tensor, one: Expression | bool, other: Expression | bool,
) -> Operand:
    """Two expressions (or truth values), each on all lanes, and of each the lanes where it is asked for."""
    sides = masked.sides(machine, frame, held)
    first, second = (
        value if isinstance(value, bool) else machine.evaluate(value, side) for value, side in zip((one, other), sides, strict=True)
    )
    masked.merge(machine, frame, held, *sides)
    return cast(Operand, masked.choose(machine, held, first, second))


def logical(machine: Interpreter, node: Logical, frame: Frame) -> Operand:
    """`a and b`, `a or b`: the right side only on the lanes that the left side has not decided."""
    value = truth(machine.evaluate(node.items[0], frame))
    for item in node.items[1:]:
        value = _logical_step(machine, node, value, item, frame)
    return value


def _logical_step(
    machine: Interpreter, node: Logical, left: bool | Tensor, item: Expression, frame: Frame
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


def _elementwise(machine: Interpreter, node: Logical, left: Tensor, item: Expression, frame: Frame) -> Tensor:
    """`and`, `or` of arrays: both sides on all lanes."""
    entered = frame.lanes
    right = as_tensor(truth(machine.evaluate(item, frame)), machine.dtype, machine.device)
    left = cast(Tensor, carry(left, entered, frame.lanes))
    try:
        pair = align(left, right)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None
    return torch.logical_and(*pair) if node.operator == "and" else torch.logical_or(*pair)


# ------------------------------------------------------------------------------------------------------ loops
def _while(machine: Interpreter, node: While, frame: Frame) -> None:
    span = Span(node.span.start, node.condition.span.end)

    def going(loop: Frame) -> bool | tuple[Tensor, Tensor]:
        return decide(machine, machine.condition(node.condition, loop), node.condition)

    _loop(machine, node.body, frame, going, span)


def _loop(
    machine: Interpreter, body: Block, frame: Frame, going: Callable[[Frame], bool | tuple[Tensor, Tensor]], span: Span,
    begin: Callable[[Frame], None] | None = None,
) -> None:
    """Repeat while `going` holds, each time after `begin`; lanes leave one by one."""
    loop = frame.child(frame.lanes)
    entry = frame.lanes
    gone: list[Frame] = []
    steps = 0
    lanes_before = machine.lanes_made
    machine.apart = True  # the loop has a frame of its own
    while True:
        held = going(loop)
        if held is False:
            break
        if held is not True:
            gone.append(loop.departed(held[1], entry, frame))
            loop.narrow(loop.lanes.restrict(held[0]))
        steps += 1
        machine.meter.spend(loop.lanes.count)
        if steps > machine.limits.steps:
            raise _endless(machine, span, machine.limits.steps)
        if steps > machine.limits.rounds and machine.lanes_made > lanes_before and machine.last_split is not None:
            raise TooManyLanes(machine.last_split.index)
        if begin is not None:
            begin(loop)
        block(machine, body.statements, loop)
        if not loop.lanes.count:
            break
        loop.rebase(entry, frame)
    if loop.lanes.count:
        loop.rebase(entry, frame)
    merge(frame, [*gone, loop], machine.joiner)


def _endless(machine: Interpreter, span: Span, steps: int) -> Exception:
    return machine.where.error(
        "P0504", f"this loop was not finished after {steps} rounds", span, "still going on",
        help="make sure that every run leaves it",
    )


def _for(machine: Interpreter, node: For, frame: Frame) -> None:
    if isinstance(node.iterable, Range):
        _for_range(machine, node, node.iterable, frame)
        return
    values = check_axes(machine.evaluate(node.iterable, frame), 1, node.iterable.span, machine.where)
    machine.note_loop(node, frame)
    for number in range(values.shape[1]):
        entered = frame.lanes
        frame.write(node.variable, values.select(1, number))
        block(machine, node.body.statements, frame)
        if not frame.lanes.count:
            return
        values = cast(Tensor, carry(values, entered, frame.lanes))


def _for_range(machine: Interpreter, node: For, bounds: Range, frame: Frame) -> None:
    given = (bounds.stop,) if bounds.start is None else (bounds.start, bounds.stop)
    *first_bound, stop = machine.evaluate_all(given, frame)
    start: Operand = first_bound[0] if first_bound else 0.0
    machine.note_loop(node, frame)
    first = 0 if bounds.start is None else whole_number(start, "a bound of a loop", bounds.start.span, machine.where)
    last = whole_number(stop, "a bound of a loop", bounds.stop.span, machine.where)
    if first is not None and last is not None:
        _count(machine, node, first, last, frame)
        return
    _count_apart(machine, node, start if first is None else float(first), stop, frame)


def _count(machine: Interpreter, node: For, first: int, last: int, frame: Frame) -> None:
    """All lanes count alike: the body runs in the frame itself."""
    most = machine.limits.steps * FIXED_LOOP_FACTOR
    if last - first > most:
        raise _endless(machine, Span(node.span.start, node.iterable.span.end), most)
    if all_at_once(machine, node, first, last, frame):
        return
    for number in range(first, last):
        frame.write(node.variable, float(number))
        block(machine, node.body.statements, frame)
        if not frame.lanes.count:
            return


def _count_apart(machine: Interpreter, node: For, start: Operand, stop: Operand, frame: Frame) -> None:
    """Bounds that differ from lane to lane: a loop that each lane leaves when its own count is done."""
    if isinstance(machine.generator, Points):
        raise no_points(machine.resolved, node.iterable.span, "runs leave this loop one by one")
    if machine.masked:
        raise NotCompiled("the length of a loop is random")
    counter, end = HIDDEN + "counter", HIDDEN + "end"
    offset = -1.0

    def going(loop: Frame) -> bool | tuple[Tensor, Tensor]:
        nonlocal offset
        offset += 1
        if offset == 0:
            loop.write(counter, start)
            loop.write(end, stop)
        else:
            loop.write(counter, cast(Operand, loop.read(counter)) + 1)
        number = cast(Operand, loop.read(counter))
        inside = cast(Tensor, number < cast(Operand, loop.read(end)))
        if inside.shape[0] == 1:
            return bool(inside)
        staying, leaving = partition(inside)
        return (staying, leaving) if staying.shape[0] and leaving.shape[0] else staying.shape[0] > 0

    def begin(loop: Frame) -> None:
        loop.write(node.variable, loop.read(counter))  # only on lanes that go on: the others keep the last number

    _loop(machine, node.body, frame, going, Span(node.span.start, node.iterable.span.end), begin)


# ------------------------------------------------------------------------------------------ calls and returns
def call(machine: Interpreter, node: Call, function: Function, arguments: list[Operand], frame: Frame) -> Operand:
    """A call of a function of the program, on the frame's lanes."""
    if machine.depth >= machine.limits.depth:
        raise machine.where.error(
            "P0505", f"`{node.function}` was called {machine.limits.depth} levels deep", node.span, "called again here",
            help="make sure that every run comes to a `return` without a further call",
        )
    if machine.masked and machine.depth >= DEEP:
        raise NotCompiled("a recursion is deep")
    if machine.depth > machine.limits.rounds and machine.last_split is not None:
        raise TooManyLanes(machine.last_split.index)
    machine.depth += 1
    inner = frame.call()
    for name, value in zip(function.parameters, arguments, strict=True):
        inner.write(name, value)
    activation = inner.activation
    machine.note_entry(function, activation)
    block(machine, function.body.statements, inner)
    machine.depth -= 1
    returned = collect(machine, activation)
    if returned.lanes is not frame.lanes:
        frame.narrow(returned.lanes)
    frame.multiply(returned.weight)
    machine.note_call(activation, returned)
    inner.forget()
    return cast(Operand, returned.values[0])


def _return(machine: Interpreter, node: Return, frame: Frame) -> None:
    values: list[Value] = []
    terms: list[list[Term] | None] = []
    if machine.results or machine.depth:
        values, terms = machine.results_of(node.values, frame)
    _leave(machine, frame, values, terms, node.span)


def finish(machine: Interpreter, frame: Frame) -> None:
    """The end of a program without `return`: its objective is a variable."""
    values: list[Value] = []
    terms: list[list[Term] | None] = []
    objective = machine.resolved.objective
    if machine.results and objective is not None:
        values = [_wanted(machine, objective, frame)]
        terms = [machine.terms_of_name(objective, frame)]
    _leave(machine, frame, values, terms, machine.resolved.program.body.span)


def _leave(
    machine: Interpreter, frame: Frame, values: list[Value], terms: list[list[Term] | None], span: Span
) -> None:
    if frame.mask is not frame.activation.frame.mask:
        raise NotCompiled("there is a `return` inside a random branch")
    if not machine.depth:
        values = values + [_wanted(machine, name, frame) for name in machine.wanted]
        terms = terms + [machine.terms_of_name(name, frame) for name in machine.wanted]
    machine.note_return(frame)
    frame.activation.returned.append(Returned(span, frame.lanes, values, frame.total_weight(), terms))
    frame.narrow(NOWHERE)


def _wanted(machine: Interpreter, name: str, frame: Frame) -> Value:
    try:
        return frame.read(name)
    except KeyError:
        raise machine.where.error(
            "P0607", f"`{name}` is not set in every run", machine.resolved.program.body.span,
            help=f"set `{name}` before the first `if`, or on every way through the program",
        ) from None


def collect(machine: Interpreter, activation: Activation) -> Returned:
    """What all lanes of an activation have returned as one: on the lanes it began with, unless they were split since."""
    parts = activation.returned
    first = parts[0]
    if len(parts) == 1 and first.lanes is activation.lanes:
        _refuse_ragged(machine, first.values, first.span)
        return first
    whole, join = together(activation.lanes, [part.lanes for part in parts], machine.joiner)
    values = [join([part.values[number] for part in parts]) for number in range(len(first.values))]
    _refuse_ragged(machine, values, parts[-1].span, len({part.span for part in parts}) > 1)
    terms: list[list[Term] | None] = first.terms if len(parts) == 1 else [None] * len(values)
    weight: Value | None = None
    if any(part.weight is not None for part in parts):
        weight = join([1.0 if part.weight is None else part.weight for part in parts])
    return Returned(parts[-1].span, whole, values, cast("Tensor | None", weight), terms)


def _refuse_ragged(machine: Interpreter, values: list[Value], span: Span, several: bool = False) -> None:
    """P0303; where `several` statements return, the result has no name."""
    for number, value in enumerate(values):
        if isinstance(value, Ragged):
            names = (*(machine.resolved.results if machine.results else ()), *machine.wanted)
            named = not machine.depth and number < len(names) and not several
            raise machine.where.ragged(names[number] if named else "the result", value, span)


# ------------------------------------------------------------------------------------------- plain statements
def _assign(machine: Interpreter, node: Assign, frame: Frame) -> None:
    if machine.rounds is not None and id(node) in machine.rounds.loop.sums:
        frame.write(node.name, machine.rounds.added(machine, node, frame))
        return
    value = machine.evaluate(node.value, frame)
    machine.meter.take(value)
    if node.indices:
        _store(machine, node, value, frame)
    else:
        frame.write(node.name, value)


def _sample(machine: Interpreter, node: Sample, frame: Frame) -> None:
    value = draw(machine, node, frame)
    if node.indices:
        _store(machine, node, value, frame)
    else:
        frame.write(node.name, value)


def _store(machine: Interpreter, node: Assign | Sample, value: Operand, frame: Frame) -> None:
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
    stored = as_tensor(value, machine.dtype, machine.device)
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


def _nothing(machine: Interpreter, node: Statement, frame: Frame) -> None:
    """Declarations have been dealt with before the run."""


_EXECUTE = cast(
    dict[type[Any], Callable[["Interpreter", Any, Frame], None]],
    {
        Assign: _assign, Sample: _sample, If: _if, For: _for, While: _while, Return: _return,
        Function: _nothing, Parameter: _nothing, Data: _nothing,
    },
)
