"""The interpreter: a machine that knows how every form is executed, and runs a program under a plan on many lanes at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from torch import Tensor

from ...dsl.levels import Correction, Factor, Guided, Implied, Observe, Proposal
from ...dsl.syntax import (
    Arithmetic,
    Assign,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Data,
    Draw,
    For,
    Function,
    If,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Parameter,
    Power,
    Require,
    Return,
    Sample,
    Unary,
    Vector,
    While,
)
from ...dsl.tables.constants import CONSTANTS
from ...dsl.tables.estimators import ESTIMATORS, Carrier
from ..arrays.kinks import once_differentiable
from ..arrays.operations import Operand
from ..lanes.coupling import Common
from ..lanes.endings import young
from ..lanes.forking import Forks
from ..lanes.frames import Activation, Frame, Returned
from ..lanes.lanes import NOWHERE, Lanes, carry
from ..lanes.lessons import NotCompiled, TooMuchWork
from ..lanes.values import PerLane, Plain, Uniform
from .branching import conditional, execute_if, logical
from .calling import collect, execute_return, finish
from .evaluating import (
    evaluate_arithmetic,
    evaluate_boolean,
    evaluate_call,
    evaluate_comparison,
    evaluate_draw,
    evaluate_index,
    evaluate_name,
    evaluate_number,
    evaluate_power,
    evaluate_unary,
    evaluate_vector,
)
from .looping import AtOnce, OneByOne, execute_for, execute_while
from .machine import Evaluate, Execute, Machine, Outcome
from .observing import begin, draw_together, execute_observe, execute_proposal, execute_require
from .sites import log_density
from .storing import execute_assign, execute_sample, skip
from .ways import APART

EVALUATORS = cast(
    "dict[type[Node], Evaluate]",
    {
        Number: evaluate_number, Boolean: evaluate_boolean, Name: evaluate_name, Vector: evaluate_vector, Index: evaluate_index,
        Unary: evaluate_unary, Arithmetic: evaluate_arithmetic, Power: evaluate_power, Comparison: evaluate_comparison,
        Logical: logical, Conditional: conditional, Call: evaluate_call, Draw: evaluate_draw, LogPdf: log_density,
    },
)
EXECUTORS = cast(
    "dict[type[Node], Execute]",
    {
        Assign: execute_assign, Sample: execute_sample, If: execute_if, For: execute_for, While: execute_while,
        Observe: execute_observe, Factor: execute_observe, Require: execute_require, Proposal: execute_proposal,
        Guided: execute_sample, Implied: execute_assign, Correction: execute_assign, Return: execute_return, Function: skip,
        Parameter: skip, Data: skip,
    },
)


class Interpreter(Machine):
    """One block of runs of a program."""

    evaluators = EVALUATORS
    executors = EXECUTORS
    countings = AtOnce(), OneByOne()

    # --------------------------------------------------------------------------------------------------- a run
    def run(self, parameters: Mapping[str, Tensor], data: Mapping[str, Operand], count: int) -> Outcome:
        """Run the program on `count` lanes.  `parameters` are `[count or 1, *shape]`, `data` numbers or
        `[1, *shape]`.  Wants `deep_recursion()`."""
        self.runs, lanes = count, Lanes(count)
        lanes.lifter, lanes.tracked = self.lifter, self.merger is not None
        self._coupled(lanes)
        self.most_lanes, self.lanes_made = self.limits.lanes * count * self.copies, count * self.copies
        self.most_table = None if self.limits.table is None else self.limits.table * count
        activation = Activation(lanes)
        frame = Frame(lanes, None, activation, True, None)
        for name, value in (*CONSTANTS.items(), *data.items()):
            frame.write(name, Uniform(value))
        for name, tensor in parameters.items():
            frame.write(name, Uniform(tensor) if tensor.shape[0] == 1 else PerLane(tensor))
        if self.merger is not None:
            young(frame)
        if self.resolved.weighted:
            begin(frame)
        if self.copies > 1:
            draw_together(self, frame, self.copies)
        self.leaves = [tensor for tensor in parameters.values() if tensor.requires_grad]
        try:
            self.block(self.resolved.program.body, frame)
            if frame.lanes.count:
                finish(self, frame)
            if not activation.returned:
                return Outcome([], [], NOWHERE, None, self.ledger, self.draws > 0, self.meter.spent)
            end = collect(self, activation)
            terms = self.last_terms(end, activation)
            age = None if self.merger is None else self.number(cast(Plain, end.values.pop()))
        except TooMuchWork as problem:
            problem.merged = self.merger is not None and self.merger.saved > self.lanes_made
            raise
        except RecursionError:
            raise self.where.error("P0505", "the program nests too deeply to run", self.resolved.program.body.span) from None
        finally:
            frame.forget()
            if self.merger is not None:
                self.merger.close()
        met = () if self.meetings is None else self.meetings.met
        if met and self.branching is not APART:
            raise NotCompiled("a kink is met exactly, perhaps where it is not taken")
        if self.forks is not None:
            end = self._settled(end, self.forks)
            self.forks.look(end.lanes, [self.number(cast(Plain, value)) for value in end.values])
        return Outcome(
            end.values, terms, end.lanes, end.weight, self.ledger, self.draws > 0, self.meter.spent, met, self.cuts, age, self.forks
        )

    def _coupled(self, lanes: Lanes) -> None:
        """Where runs may fork: their lanes share noise."""
        rows = [ESTIMATORS[choice.estimator] for choice in self.choices.values()]
        if any(row.forks for row in rows):
            assert not any(row.splits for row in rows)  # weights of lanes are not looked at where runs fork
            self.forks = Forks(lanes.count, self.noise, self.device, self.before)
            self.noise = Common(self.noise)
            self.aside = Interpreter(self.resolved, {}, self.context, self.noise, safe=self.safe, lifter=self.lifter)
            lanes.wayless = not any(row.carrier is Carrier.DENSITY for row in rows)

    def _settled(self, end: Returned, forks: Forks) -> Returned:
        """What the runs and their alternatives have come to, with their weights; P0406 for a second derivative."""
        lanes, weight = forks.settled(end.lanes)
        if weight is None:
            return end
        where = self.where
        weight = once_differentiable(weight, where.forked)
        return replace(end, lanes=lanes, weight=weight, values=[carry(value, end.lanes, lanes) for value in end.values])
