"""All rounds of a loop at once (`dsl/analysis/loops.py`): what a round computes gets an axis of rounds, `[lanes, rounds]`.

A draw becomes an array site of independent elements; an accumulator gets the sum over the axis, with factors that are the same
in all rounds taken out of it.  A loop of a hundred rounds then costs a few operations on wide tensors instead of a hundred
times as many on narrow ones.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ...dsl.analysis.loops import SumLoop, sum_loop, varies
from ...dsl.syntax import Arithmetic, Assign, Expression, For, Unary
from ...dsl.tables.estimators import ESTIMATORS
from ..lanes.frames import Frame
from ..lanes.values import Held, Plain, Ragged, Uniform, Value
from .machine import Machine, Rounds
from .operation import ARITHMETIC, NEGATIVE, Operation

FEWEST, MOST = 3, 4096  # rounds; of more so many at a time


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
