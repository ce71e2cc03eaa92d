"""Loops: rounds one by one in a child frame whose lanes shrink, of which what leaves is kept and merged once, at the end; or all at
once (`dsl/analysis/loops.py`), with an axis of rounds in what a round computes, `[lanes, rounds]`.

There a draw becomes an array site of independent elements; an accumulator gets the sum over the axis, with factors that are the
same in all rounds taken out of it.  A loop of a hundred rounds then costs a few operations on wide tensors instead of a hundred
times as many on narrow ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from ...dsl.analysis.loops import SumLoop, sum_loop, varies
from ...dsl.planning.order import no_points
from ...dsl.syntax import Arithmetic, Assign, Block, Expression, For, Range, Unary, While
from ...dsl.tables.estimators import ESTIMATORS
from ...dsl.text.source import Span
from ..lanes.endings import Cut, Ending
from ..lanes.frames import HIDDEN, Frame, merge
from ..lanes.lanes import NOWHERE
from ..lanes.lessons import TooManyLanes
from ..lanes.pieces import Pieces
from ..lanes.values import Held, PerLane, Plain, Ragged, Uniform, Value
from .branching import holds
from .indexing import check_axes, whole_number
from .machine import Machine, Rounds
from .operation import ARITHMETIC, COMPARISON, NEGATIVE, Operation
from .setting import NobodyLeft

FEWEST, MOST = 3, 4096  # rounds; of more so many at a time
FIXED_LOOP_FACTOR = 500  # a loop whose length is known when it starts may be this much longer than one that is not


def execute_while(machine: Machine, node: While, frame: Frame) -> None:
    span = Span(node.span.start, node.condition.span.end)

    def going(loop: Frame) -> bool | tuple[Tensor, Tensor]:
        held = holds(machine, machine.condition(node.condition, loop), node.condition)
        return loop.lanes.again("leave", machine.branching.leave, held) if isinstance(held, Tensor) else held

    _loop(machine, node.body, frame, going, span)


def _loop(
    machine: Machine, body: Block, frame: Frame, going: Callable[[Frame], bool | tuple[Tensor, Tensor]], span: Span,
    begin: Callable[[Frame], None] | None = None,
) -> None:
    """Repeat while `going` holds, each time after `begin`; lanes leave one by one."""
    loop = frame.child(frame.lanes)
    entry = frame.lanes
    gone: list[tuple[int, Frame]] = []
    steps = 0
    lanes_before = machine.lanes_made
    exact = machine.merger is not None and machine.merger.exact and not machine.depth and not machine.resolved.weighted
    ending = Ending(machine.runs, machine.limits.rounds) if exact else None
    machine.apart = True  # the loop has a frame of its own
    while True:
        try:
            held = going(loop)
        except NobodyLeft:
            loop.narrow(NOWHERE)
            break
        if held is False:
            break
        if held is not True:
            gone.append((steps, loop.departed(held[1], entry, frame)))
            loop.narrow(loop.lanes.restrict(held[0]))
        steps += 1
        machine.meter.spend(loop.lanes.count)
        if steps > machine.limits.steps:
            raise _endless(machine, span, machine.limits.steps)
        split = machine.last_split
        if ending is None and steps > machine.limits.rounds and machine.lanes_made > lanes_before and split is not None:
            raise TooManyLanes(split.index, f"the loop {_at(machine, span)} has more than {machine.limits.rounds} rounds")
        if begin is not None:
            begin(loop)
        machine.block(body, loop)
        if not loop.lanes.count:
            break
        loop.rebase(entry, frame)
        if ending is not None and machine.last_split is not None and ending.negligible(loop, steps):
            assert loop.weight is not None
            machine.cuts.append(Cut(span, machine.last_split.index, "rounds", steps, ending.left, loop.weight.sum()))
            machine.lanes_made -= loop.lanes.count
            ending.date(gone, steps)
            loop.narrow(NOWHERE)
            break
        if ending is not None and ending.hopeless and machine.last_split is not None:
            raise TooManyLanes(machine.last_split.index, f"the loop {_at(machine, span)} has no end in sight")
    if loop.lanes.count:
        loop.rebase(entry, frame)
    merge(frame, [*(left for _, left in gone), loop], machine.joiner)


def _at(machine: Machine, span: Span) -> str:
    return f"at line {machine.resolved.program.source.line_of(span)}"


def _endless(machine: Machine, span: Span, steps: int) -> Exception:
    return machine.where.error(
        "P0504", f"this loop was not finished after {steps} rounds", span, "still going on",
        help="make sure that every run leaves it",
    )


def execute_for(machine: Machine, node: For, frame: Frame) -> None:
    if isinstance(node.iterable, Range):
        _for_range(machine, node, node.iterable, frame)
        return
    values = machine.evaluate(node.iterable, frame)
    shape = check_axes(values, 1, node.iterable.span, machine.where)
    machine.note_loop(node, frame)
    taken = Pieces(values, frame.lanes)
    hidden = HIDDEN + str(id(node)) if machine.merger is not None and isinstance(values, PerLane) else ""
    if hidden:
        frame.write(hidden, values)  # what tells lanes apart must be known where they are merged
    for number in range(shape[0]):
        if hidden:
            taken = Pieces(cast(Plain, frame.read(hidden)), frame.lanes)
        frame.write(node.variable, taken.get(number, frame.lanes))
        machine.block(node.body, frame)
        if not frame.lanes.count:
            return
    frame.values.pop(hidden, None)


def _for_range(machine: Machine, node: For, bounds: Range, frame: Frame) -> None:
    given = (bounds.stop,) if bounds.start is None else (bounds.start, bounds.stop)
    *first_bound, stop = machine.evaluate_all(given, frame)
    start: Plain = first_bound[0] if first_bound else Uniform(0.0)
    machine.note_loop(node, frame)
    first = 0 if bounds.start is None else whole_number(start, "a bound of a loop", bounds.start.span, machine.where)
    last = whole_number(stop, "a bound of a loop", bounds.stop.span, machine.where)
    if first is not None and last is not None:
        _count(machine, node, first, last, frame)
        return
    _count_apart(machine, node, start if first is None else Uniform(float(first)), stop, frame)


def _count(machine: Machine, node: For, first: int, last: int, frame: Frame) -> None:
    """All lanes count alike."""
    most = machine.limits.steps * FIXED_LOOP_FACTOR
    if last - first > most:
        raise _endless(machine, Span(node.span.start, node.iterable.span.end), most)
    for way in machine.counting:
        if way.run(machine, node, first, last, frame):
            return


class OneByOne:
    """One round after the other, in the frame itself."""

    name = "one by one"

    def run(self, machine: Machine, node: For, first: int, last: int, frame: Frame) -> bool:
        """Execute the rounds `first` to `last - 1`."""
        watched = not machine.depth and machine.meter.watch(last - first)
        for number in range(first, last):
            frame.write(node.variable, Uniform(float(number)))
            machine.block(node.body, frame)
            ended = not frame.lanes.count
            if watched:
                machine.meter.over(ended or number == last - 1)
            if ended:
                break
        return True


def _count_apart(machine: Machine, node: For, start: Plain, stop: Plain, frame: Frame) -> None:
    """Bounds that differ from lane to lane: a loop that each lane leaves when its own count is done."""
    if machine.noise.even:
        raise no_points(machine.resolved, node.iterable.span, "runs leave this loop one by one")
    machine.branching.count_apart()
    counter, end = (f"{HIDDEN}{what} {id(node)}" for what in ("counter", "end"))  # of this loop, not of one inside it
    offset = -1.0

    def going(loop: Frame) -> bool | tuple[Tensor, Tensor]:
        nonlocal offset
        offset += 1
        if offset == 0:
            loop.write(counter, start)
            loop.write(end, stop)
        else:
            loop.write(counter, machine.apply(ARITHMETIC["+"], (cast(Plain, loop.read(counter)), Uniform(1.0)), loop, node))
        bounds = cast(Plain, loop.read(counter)), cast(Plain, loop.read(end))
        inside = machine.apply(COMPARISON["<"], bounds, loop, node)
        if isinstance(inside, Uniform) or loop.lanes.count == 1:
            return bool(inside.raw)
        return machine.branching.leave(inside.raw)

    def begin(loop: Frame) -> None:
        loop.write(node.variable, loop.read(counter))  # only on lanes that go on: the others keep the last number

    _loop(machine, node.body, frame, going, Span(node.span.start, node.iterable.span.end), begin)


# ---------------------------------------------------------------------------------------------------- all rounds at once
def added(machine: Machine, rounds: Rounds, node: Assign, frame: Frame) -> Plain:
    """The value of an accumulator after all rounds."""
    assert isinstance(node.value, Arithmetic)
    own, *operands = rounds.loop.sums[id(node)]
    total = machine.evaluate(own[1], frame)
    entire = node.value
    for sign, operand in operands:
        own_total = _total(machine, rounds, operand, frame)
        total = machine.apply(ARITHMETIC["+" if sign == 1 else "-"], (total, own_total), frame, entire)
    return total


def _total(machine: Machine, rounds: Rounds, node: Expression, frame: Frame) -> Plain:
    """The sum of an expression over the rounds."""
    if isinstance(node, Unary) and node.operator == "-":
        return machine.apply(NEGATIVE, (_total(machine, rounds, node.operand, frame),), frame, node)
    if isinstance(node, Arithmetic):
        operators = [term.operator for term in node.rest]
        if all(operator in "+-" for operator in operators):
            value = _total(machine, rounds, node.first, frame)
            for term in node.rest:
                value = machine.apply(ARITHMETIC[term.operator], (value, _total(machine, rounds, term.operand, frame)), frame, node)
            return value
        if all(operator in "*/" for operator in operators) and _one_varies(rounds, node):
            return _product(machine, rounds, node, frame)
    return _summed(machine, rounds, node, machine.evaluate(node, frame), frame)


def _one_varies(rounds: Rounds, node: Arithmetic) -> bool:
    places = [varies(part, rounds.loop, rounds.node.variable) for part in node.operands]
    if sum(places) != 1:
        return False
    place = places.index(True)
    return place == 0 or node.rest[place - 1].operator == "*"


def _product(machine: Machine, rounds: Rounds, node: Arithmetic, frame: Frame) -> Plain:
    value = _factor(machine, rounds, node.first, frame)
    for term in node.rest:
        value = machine.apply(ARITHMETIC[term.operator], (value, _factor(machine, rounds, term.operand, frame)), frame, node)
    return value


def _factor(machine: Machine, rounds: Rounds, node: Expression, frame: Frame) -> Plain:
    if varies(node, rounds.loop, rounds.node.variable):
        return _total(machine, rounds, node, frame)
    return machine.evaluate(node, frame)


SUM = Operation("sum over rounds", lambda setting, value: value.sum(1, dtype=setting.dtype))


def _summed(machine: Machine, rounds: Rounds, node: Expression, value: Plain, frame: Frame) -> Plain:
    if not value.shape or value.shape[0] != rounds.count:
        return machine.apply(ARITHMETIC["*"], (value, Uniform(float(rounds.count))), frame, node, rounds.node.span)
    return machine.apply(SUM, (value,), frame, node)


class AtOnce:
    """All rounds together, where they can be."""

    name = "rounds"

    def run(self, machine: Machine, node: For, first: int, last: int, frame: Frame) -> bool:
        """Execute the rounds `first` to `last - 1`; False where nothing has been done."""
        if last - first < FEWEST or machine.rounds is not None:
            return False
        resolved = machine.resolved
        loop = resolved.prepared.once("rounds", id(node), lambda: sum_loop(node, resolved))
        if loop is None or not _fits(machine, loop, node, frame):
            return False
        size = -(-(last - first) // -(-(last - first) // MOST))  # parts of nearly equal size, none of a few rounds
        for start in range(first, last, size):
            self._part(machine, loop, node, start, min(start + size, last), frame)
        return True

    def _part(self, machine: Machine, loop: SumLoop, node: For, first: int, last: int, frame: Frame) -> None:
        """So many rounds; sums go on from what they were."""
        count = last - first
        numbers = torch.arange(first, last, dtype=machine.dtype, device=machine.device).unsqueeze(0)
        frame.write(node.variable, Uniform(numbers))
        machine.rounds = Rounds(loop, node, count)
        try:
            for statement in node.body.statements:
                machine.execute(statement, frame)
        finally:
            machine.rounds = None
        frame.write(node.variable, Uniform(float(last - 1)))
        for name in loop.own:
            value = frame.read(name)
            if isinstance(value, Held) and value.shape:
                wide = cast(Tensor, value.wide)
                frame.write(name, type(value)(wide.select(1, count - 1 if wide.shape[1] == count else 0)))
                machine.note_last(name, frame)


def _fits(machine: Machine, loop: SumLoop, node: For, frame: Frame) -> bool:
    """Whether what the loop reads are single numbers, and nothing needs the rounds one by one."""
    for draw in loop.draws:
        choice = machine.choices.get(machine.resolved.site_at[id(draw)].index)
        row = None if choice is None else ESTIMATORS[choice.estimator]
        if row is not None and (row.splits or row.crosses):
            return False
    if machine.keeps_terms(node, frame):
        return False
    try:
        sums = [s.name for s in node.body.statements if isinstance(s, Assign) and id(s) in loop.sums]
        if any(_axes(frame.read(name)) != 0 for name in (*loop.scalars, *sums)):
            return False
        return all(_axes(frame.read(name)) == axes for name, axes in loop.arrays)
    except KeyError:
        return False


def _axes(value: Value) -> int:
    return -1 if isinstance(value, Ragged) else len(value.shape)
