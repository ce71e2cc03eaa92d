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
from ..arrays.operations import Operand, negative
from ..lanes.frames import Frame
from ..lanes.lanes import Ragged, Value
from .machine import Machine, Rounds

FEWEST, MOST = 3, 4096  # rounds


def added(machine: Machine, rounds: Rounds, node: Assign, frame: Frame) -> Operand:
    """The value of an accumulator after all rounds."""
    assert isinstance(node.value, Arithmetic)
    own, *operands = rounds.loop.sums[id(node)]
    total = machine.evaluate(own[1], frame)
    for sign, operand in operands:
        own_total = _total(machine, rounds, operand, frame)
        total = machine.calculate("+" if sign == 1 else "-", total, own_total, node.value.span, frame)
    return total


def _total(machine: Machine, rounds: Rounds, node: Expression, frame: Frame) -> Operand:
    """The sum of an expression over the rounds."""
    if isinstance(node, Unary) and node.operator == "-":
        return negative(_total(machine, rounds, node.operand, frame), machine.dtype)
    if isinstance(node, Arithmetic):
        operators = [term.operator for term in node.rest]
        if all(operator in "+-" for operator in operators):
            value = _total(machine, rounds, node.first, frame)
            for term in node.rest:
                value = machine.calculate(term.operator, value, _total(machine, rounds, term.operand, frame), node.span, frame)
            return value
        if all(operator in "*/" for operator in operators) and _one_varies(rounds, node):
            return _product(machine, rounds, node, frame)
    return _summed(machine, rounds, machine.evaluate(node, frame), frame)


def _one_varies(rounds: Rounds, node: Arithmetic) -> bool:
    places = [varies(part, rounds.loop, rounds.node.variable) for part in (node.first, *(term.operand for term in node.rest))]
    if sum(places) != 1:
        return False
    place = places.index(True)
    return place == 0 or node.rest[place - 1].operator == "*"


def _product(machine: Machine, rounds: Rounds, node: Arithmetic, frame: Frame) -> Operand:
    value = _factor(machine, rounds, node.first, frame)
    for term in node.rest:
        value = machine.calculate(term.operator, value, _factor(machine, rounds, term.operand, frame), node.span, frame)
    return value


def _factor(machine: Machine, rounds: Rounds, node: Expression, frame: Frame) -> Operand:
    if varies(node, rounds.loop, rounds.node.variable):
        return _total(machine, rounds, node, frame)
    return machine.evaluate(node, frame)


def _summed(machine: Machine, rounds: Rounds, value: Operand, frame: Frame) -> Operand:
    if not isinstance(value, Tensor) or value.dim() == 1 or value.shape[1] != rounds.count:
        return machine.calculate("*", value, float(rounds.count), rounds.node.span, frame)
    return value.sum(1, dtype=machine.dtype)


def all_at_once(machine: Machine, node: For, first: int, last: int, frame: Frame) -> bool:
    """Execute the rounds `first` to `last - 1` together, if they can be; False where nothing has been done."""
    count = last - first
    if not FEWEST <= count <= MOST or machine.rounds is not None:
        return False
    key = ("rounds", id(node))
    memory = machine.resolved.memory
    if key not in memory:
        memory[key] = sum_loop(node, machine.resolved)
    loop = cast("SumLoop | None", memory[key])
    if loop is None or not _fits(machine, loop, node, frame):
        return False
    frame.write(node.variable, torch.arange(first, last, dtype=machine.dtype, device=machine.device).unsqueeze(0))
    machine.rounds = Rounds(loop, node, count)
    try:
        for statement in node.body.statements:
            machine.execute(statement, frame)
    finally:
        machine.rounds = None
    frame.write(node.variable, float(last - 1))
    for name in loop.own:
        value = frame.read(name)
        if isinstance(value, Tensor) and value.dim() > 1:
            frame.write(name, value.select(1, count - 1) if value.shape[1] == count else value.select(1, 0))
            machine.note_last(name, frame)
    return True


def _fits(machine: Machine, loop: SumLoop, node: For, frame: Frame) -> bool:
    """Whether what the loop reads are single numbers, and nothing needs the rounds one by one."""
    for draw in loop.draws:
        choice = machine.choices.get(machine.resolved.site_at[id(draw)].index)
        if choice is not None and ESTIMATORS[choice.estimator].splits:
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
    if isinstance(value, Ragged):
        return -1
    return value.dim() - 1 if isinstance(value, Tensor) else 0
