"""Statements that weigh runs: the logarithm of a run's weight, its *level*, is a variable that no text can name.

`observe v ~ D` and `factor e` add to it.  A run in which the condition of `observe c` does not hold ends there, as by a `return`,
with a level of minus infinity.  `z ~ P via Q` draws from Q and adds log P - log Q of the draw.  A function begins with a level of
0, and a call adds what it has come to.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from ...dsl.levels import LEVEL, Proposal
from ...dsl.syntax import Assign, Call, Require
from ...dsl.text.diagnostics import ProbError
from ..arrays.operations import numeric
from ..lanes.frames import Frame
from ..lanes.lessons import NotCompiled
from ..lanes.values import Held, PerLane, Plain, Uniform
from .branching import holds
from .machine import Machine
from .operation import ARITHMETIC
from .sites import draw
from .storing import execute_assign
from .ways import APART


def begin(frame: Frame) -> None:
    """At the start of the program, or of a function, nothing has been observed."""
    frame.write(LEVEL, Uniform(0.0))


def draw_together(machine: Machine, frame: Frame, copies: int) -> None:
    """At the start of the program: so many lanes for each run, each with noise of its own and an equal part of the weight."""
    index = torch.arange(frame.lanes.count, device=machine.device).repeat_interleave(copies)
    frame.narrow(frame.lanes.split(index))
    frame.multiply(torch.full((index.shape[0],), 1 / copies, dtype=machine.dtype, device=machine.device))


def level_at(machine: Machine) -> int:
    """The place of the level among the results of a program that weighs its runs."""
    return (len(machine.resolved.results) if machine.results else 0) + machine.wanted.index(LEVEL)


def nothing_left(machine: Machine, node: Require | Assign, frame: Frame) -> ProbError:
    """P0510: no run agrees with what was observed so far."""
    runs = machine.stands_for if machine.stands_for > 1 else frame.lanes.root.count
    return machine.where.error(
        "P0510", "what is observed here is impossible", node.span, f"in all of {runs} run{'' if runs == 1 else 's'}",
        help="observe what the program can give: check the data, the support of the distribution, the order of the statements",
    )


def raise_level(machine: Machine, more: Plain, node: Assign | Call, frame: Frame) -> None:
    """Add to the level of the frame's lanes."""
    frame.write(LEVEL, machine.apply(ARITHMETIC["+"], (cast(Plain, frame.read(LEVEL)), more), frame, node))


def execute_observe(machine: Machine, node: Assign, frame: Frame) -> None:
    execute_assign(machine, node, frame)
    exact = _leaves_out(machine) and machine.branching is APART
    if not machine.searching and not exact:
        return
    level = frame.read(LEVEL)
    assert isinstance(level, Held)
    ended = numeric(level.wide, machine.dtype, machine.device).detach() == -math.inf
    if machine.searching and bool(ended.all()) and _everyone(machine, frame):
        raise nothing_left(machine, node, frame)
    if exact and isinstance(level, PerLane) and bool(ended.any()):  # what cannot be is not carried on
        frame.narrow(frame.lanes.restrict((~ended).nonzero().squeeze(1)))


def _leaves_out(machine: Machine) -> bool:
    """Whether lanes of weight 0 may be left out: where the mean of log weights is asked for they count, and a baseline counts the
    runs that have ended."""
    return machine.merger is not None and machine.merger.exact and not machine.merger.additive


def _everyone(machine: Machine, frame: Frame) -> bool:
    """Whether no run has gone another way, or ended."""
    if frame.weight is None:
        return frame.lanes.count >= machine.runs
    return float(frame.weight.detach().expand(frame.lanes.count).sum()) > machine.runs * (1 - 1e-9)


def execute_require(machine: Machine, node: Require, frame: Frame) -> None:
    held = holds(machine, machine.condition(node.condition, frame), node.condition)
    if held is True:
        return
    if machine.branching is not APART:
        raise NotCompiled("an observation ends runs")
    ended = ~held if isinstance(held, Tensor) else torch.ones(frame.lanes.count, dtype=torch.bool, device=machine.device)
    if not bool(ended.any()):
        return
    if machine.searching and bool(ended.all()) and _everyone(machine, frame):
        raise nothing_left(machine, node, frame)
    machine.note_return(frame)
    machine.apart = True
    if not _leaves_out(machine):
        frame.stop(ended.nonzero().squeeze(1))
    staying = (~ended).nonzero().squeeze(1)
    if staying.shape[0] < frame.lanes.count:
        frame.narrow(frame.lanes.restrict(staying))


def execute_proposal(machine: Machine, node: Proposal, frame: Frame) -> None:
    frame.write(node.name, draw(machine, node, frame))
