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
from .broadcast import ShapeMismatch, align, event_shape, shape_words
from .frames import HIDDEN, Activation, Frame, Returned, merge
from .indexing import check_axes, replace, whole_number
from .lanes import NOWHERE, Lanes, Ragged, Value, carry
from .operations import Operand, as_tensor, truth
from .sites import draw

if TYPE_CHECKING:
    from .interpreter import Interpreter

FIXED_LOOP_FACTOR = 500  # a loop whose length is known when it starts may be this much longer than one that is not


def block(machine: Interpreter, statements: tuple[Statement, ...], frame: Frame) -> None:
    """Execute statements as long as lanes are left."""
    for statement in statements:
        _EXECUTE[statement.__class__](machine, statement, frame)
        if not frame.lanes.count:
            return


# --------------------------------------------------------------------------------------------------- branches
def decide(machine: Interpreter, condition: Expression, frame: Frame) -> bool | tuple[Tensor, Tensor]:
    """Whether a condition holds: in all lanes (True), in none (False), or the lanes where it does and where not."""
    held = truth(machine.evaluate(condition, frame))
    if not isinstance(held, Tensor):
        return held
    if held.dim() != 1:
        raise machine.where.error(
            "P0304", "a condition must be one value, but is an array", condition.span, shape_words(event_shape(held)),
            help="reduce it by any(...) or all(...), or choose element by element: where(c, a, b)",
        )
    if held.shape[0] == 1:
        return bool(held)
    holding = held.nonzero().squeeze(1)
    if holding.shape[0] == 0:
        return False
    if holding.shape[0] == held.shape[0]:
        return True
    failing = torch.logical_not(held).nonzero().squeeze(1)
    return holding, failing


def _if(machine: Interpreter, node: If, frame: Frame) -> None:
    _branch(machine, node, 0, frame)


def _branch(machine: Interpreter, node: If, number: int, frame: Frame) -> None:
    """The branches from `number` on."""
    while number < len(node.branches):
        condition, body = node.branches[number]
        held = decide(machine, condition, frame)
        number += 1
        if held is True:
            block(machine, body.statements, frame)
            return
        if held is not False:
            taken, others = (frame.child(frame.lanes.restrict(index)) for index in held)
            block(machine, body.statements, taken)
            _branch(machine, node, number, others)
            merge(frame, [taken, others], machine.joiner)
            return
    if node.otherwise is not None:
        block(machine, node.otherwise.statements, frame)


def conditional(machine: Interpreter, node: Conditional, frame: Frame) -> Operand:
    """`if c then a else b`: each side on its own lanes."""
    held = decide(machine, node.condition, frame)
    if held is True:
        return machine.evaluate(node.then, frame)
    if held is False:
        return machine.evaluate(node.otherwise, frame)
    taken, others = (frame.child(frame.lanes.restrict(index)) for index in held)
    values: list[Value] = [machine.evaluate(node.then, taken), machine.evaluate(node.otherwise, others)]
    merge(frame, [taken, others], machine.joiner)
    value = machine.joiner(list(held), frame.lanes, True)(values)
    if isinstance(value, Ragged):
        raise machine.where.ragged("if ... then ... else ...", value, node.span)
    return value


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
        right = as_tensor(truth(machine.evaluate(item, frame)), machine.dtype, machine.device)
        try:
            return (torch.logical_and if both else torch.logical_or)(*align(left, right))
        except ShapeMismatch as problem:
            raise machine.where.shapes(problem, node.span) from None
    open_lanes = (left if both else torch.logical_not(left)).nonzero().squeeze(1)
    if open_lanes.shape[0] == 0:
        return left
    if open_lanes.shape[0] == left.shape[0]:
        return truth(machine.evaluate(item, frame))
    child = frame.child(frame.lanes.restrict(open_lanes))
    right = as_tensor(truth(machine.evaluate(item, child)), machine.dtype, machine.device)
    result = torch.full((left.shape[0], *right.shape[1:]), not both, dtype=torch.bool, device=machine.device)
    result[open_lanes] = right
    if child.score is not None:
        score = child.score.expand(open_lanes.shape[0])
        frame.add_score(torch.zeros_like(left, dtype=score.dtype).index_copy(0, open_lanes, score))
    return result


# ------------------------------------------------------------------------------------------------------ loops
def _while(machine: Interpreter, node: While, frame: Frame) -> None:
    span = Span(node.span.start, node.condition.span.end)

    def going(loop: Frame) -> bool | tuple[Tensor, Tensor]:
        return decide(machine, node.condition, loop)

    _loop(machine, node.body, frame, going, span)


def _loop(
    machine: Interpreter, body: Block, frame: Frame, going: Callable[[Frame], bool | tuple[Tensor, Tensor]], span: Span
) -> None:
    """Repeat while `going` holds; lanes leave one by one."""
    loop = frame.child(frame.lanes)
    entry = frame.lanes
    gone: list[Frame] = []
    steps = 0
    while True:
        held = going(loop)
        if held is False:
            break
        if held is not True:
            gone.append(loop.departed(held[1], entry, frame))
            loop.narrow(loop.lanes.restrict(held[0]))
        steps += 1
        if steps > machine.limits.steps:
            raise _endless(machine, span, machine.limits.steps)
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
    for number in range(values.shape[1]):
        entered = frame.lanes
        frame.write(node.variable, values.select(1, number))
        block(machine, node.body.statements, frame)
        if not frame.lanes.count:
            return
        values = cast(Tensor, carry(values, entered, frame.lanes))


def _for_range(machine: Interpreter, node: For, bounds: Range, frame: Frame) -> None:
    start: Operand = 0.0 if bounds.start is None else machine.evaluate(bounds.start, frame)
    stop = machine.evaluate(bounds.stop, frame)
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
    for number in range(first, last):
        frame.write(node.variable, float(number))
        block(machine, node.body.statements, frame)
        if not frame.lanes.count:
            return


def _count_apart(machine: Interpreter, node: For, start: Operand, stop: Operand, frame: Frame) -> None:
    """Bounds that differ from lane to lane: a loop that each lane leaves when its own count is done."""
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
        loop.write(node.variable, number)
        inside = cast(Tensor, number < cast(Operand, loop.read(end)))
        if inside.shape[0] == 1:
            return bool(inside)
        staying = inside.nonzero().squeeze(1)
        if staying.shape[0] in (0, inside.shape[0]):
            return staying.shape[0] > 0
        return staying, torch.logical_not(inside).nonzero().squeeze(1)

    _loop(machine, node.body, frame, going, Span(node.span.start, node.iterable.span.end))


# ------------------------------------------------------------------------------------------ calls and returns
def call(machine: Interpreter, node: Call, function: Function, arguments: list[Operand], frame: Frame) -> Operand:
    """A call of a function of the program, on the frame's lanes."""
    if machine.depth >= machine.limits.depth:
        raise machine.where.error(
            "P0505", f"`{node.function}` was called {machine.limits.depth} levels deep", node.span, "called again here",
            help="make sure that every run comes to a `return` without a further call",
        )
    machine.depth += 1
    inner = frame.call()
    for name, value in zip(function.parameters, arguments, strict=True):
        inner.write(name, value)
    activation = inner.activation
    block(machine, function.body.statements, inner)
    machine.depth -= 1
    values, score = collect(machine, activation, frame.lanes)
    frame.add_score(score)
    return cast(Operand, values[0])


def _return(machine: Interpreter, node: Return, frame: Frame) -> None:
    values: list[Value] = []
    if machine.results or machine.depth:
        values = [machine.evaluate(value, frame) for value in node.values]
    _leave(machine, frame, values, node.span)


def finish(machine: Interpreter, frame: Frame) -> None:
    """The end of a program without `return`: its objective is a variable."""
    values: list[Value] = []
    span = machine.resolved.program.body.span
    if machine.results and machine.resolved.objective is not None:
        values = [_wanted(machine, machine.resolved.objective, frame)]
    _leave(machine, frame, values, span)


def _leave(machine: Interpreter, frame: Frame, values: list[Value], span: Span) -> None:
    if not machine.depth:
        values = values + [_wanted(machine, name, frame) for name in machine.wanted]
    frame.activation.returned.append(Returned(span, frame.lanes, values, frame.total_score()))
    frame.narrow(NOWHERE)


def _wanted(machine: Interpreter, name: str, frame: Frame) -> Value:
    try:
        return frame.read(name)
    except KeyError:
        raise machine.where.error(
            "P0607", f"`{name}` is not set in every run", machine.resolved.program.body.span,
            help=f"set `{name}` before the first `if`, or on every way through the program",
        ) from None


def collect(machine: Interpreter, activation: Activation, lanes: Lanes) -> tuple[list[Value], Tensor | None]:
    """What all lanes of an activation have returned, on the lanes it began with, and their score."""
    parts = activation.returned
    first = parts[0]
    if len(parts) == 1:
        index = first.lanes.map_to(lanes)
        if index is None:
            _refuse_ragged(machine, first.values, first.span)
            return first.values, first.score
    indices = [part.lanes.map_to(lanes) for part in parts]
    whole = [index for index in indices if index is not None]
    assert len(whole) == len(parts)
    join = machine.joiner(whole, lanes, True)
    values = [join([part.values[number] for part in parts]) for number in range(len(first.values))]
    _refuse_ragged(machine, values, parts[-1].span)
    if all(part.score is None for part in parts):
        return values, None
    scores: list[Value] = [0.0 if part.score is None else part.score for part in parts]
    score = join(scores)
    assert isinstance(score, Tensor)
    return values, score


def _refuse_ragged(machine: Interpreter, values: list[Value], span: Span) -> None:
    for number, value in enumerate(values):
        if isinstance(value, Ragged):
            names = (*(machine.resolved.results if machine.results else ()), *machine.wanted)
            name = names[number] if not machine.depth and number < len(names) else "the result"
            raise machine.where.ragged(name, value, span)


# ------------------------------------------------------------------------------------------- plain statements
def _assign(machine: Interpreter, node: Assign, frame: Frame) -> None:
    value = machine.evaluate(node.value, frame)
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
    items = machine.items(target, node.indices, frame)
    for item, index in zip(items, node.indices, strict=True):
        if isinstance(item, Tensor) and item.dim() > 1:
            raise machine.where.error("P0305", "an index of an assignment must be one whole number", index.span)
    try:
        new = replace(target, items, as_tensor(value, machine.dtype, machine.device))
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
