"""What is live, and what meets a jump: one abstract run of the program (ESTIMATORS.md section 2).

The walk follows every path of the program once with a `Fact` in place of each value.  A draw is live when its
estimator carries the derivative through the value (`rsample`, `gumbel`) and one of its arguments is live.  Where a live
value meets a jump together with continuous randomness, or a relaxed draw meets any jump, a `Hazard` is born; it
travels on with the value, through data and through control (what a branch assigns, the sites it executes, an early
`return`), and only hazards that reach a result count: a comparison nobody uses harms nobody.

Loops and recursive functions are walked until nothing changes, with widened ranges, so that the walk ends.  A function
is walked once per different set of argument facts; calls of a function from within itself share one walk.
Rejected: following types in the tree instead of values (ADEV's way) - it must be told by the user what is smooth;
running the program on sample inputs - a proof by example is not a proof.
Idea after Lee, Rival & Yang, "Smoothness analysis for probabilistic programs", POPL 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import assert_never

from ..levels import LEVEL
from ..names.asked import copies_of
from ..names.resolve import Resolved
from ..syntax import (
    Assign,
    Block,
    Data,
    Expression,
    For,
    Function,
    If,
    Interval,
    Name,
    Parameter,
    Range,
    Require,
    Return,
    Sample,
    Simplex,
    Slice,
    Statement,
    While,
    deep_recursion,
)
from ..tables import ranges
from ..tables.constants import BOUND, ELBO, EVIDENCE
from ..tables.estimators import EstimatorRow
from ..tables.ranges import ANY, Bounds
from .calls import weighing
from .expressions import Values
from .facts import NOTHING, Fact, Flow, Guard, Origins, SiteFlow, Variables, combined, discrete
from .reads import outer_reads

__all__ = ["Flow", "Guard", "Origins", "SiteFlow", "analyse"]


@dataclass
class Recursion:
    """A function that is being walked: the join of its arguments so far and of its results."""

    arguments: list[Fact]
    result: Fact = NOTHING
    used: bool = False  # a call from within took `result`
    again: bool = False  # a call from within brought new arguments


def analyse(
    resolved: Resolved, estimators: Mapping[int, EstimatorRow], broken: frozenset[int] = frozenset(), of: tuple[str, ...] = (),
    known: Mapping[str, Bounds] | None = None,
) -> Flow:
    """Walk a program under a choice of estimators (site index -> row).

    `broken` holds the ids of guards that a run has seen fail: they count as jumps.  With `of` the results are these
    variables at the end of the run.  `known`: where the values of parameters and data lie.
    """
    with deep_recursion():
        return Walk(resolved, estimators, broken, known or {}).program(of)


class Walk(Values):
    """One abstract run."""

    def __init__(
        self, resolved: Resolved, estimators: Mapping[int, EstimatorRow], broken: frozenset[int], known: Mapping[str, Bounds]
    ):
        super().__init__(resolved, estimators, broken)
        self.known = known
        self.of: tuple[str, ...] = ()
        self.walking: dict[str, Recursion] = {}
        self.finished: dict[tuple[object, ...], Fact] = {}
        self.unfinished: set[str] = set()  # functions whose unfinished result the current walk has used
        self.weighing = weighing(resolved)
        self.levels: dict[str, Fact] = {}  # of functions
        self.outer_reads = {name: tuple(sorted(names)) for name, names in outer_reads(resolved).items()}

    # ------------------------------------------------------------------------------------------------ program
    def program(self, of: tuple[str, ...]) -> Flow:
        for name, parameter in self.resolved.parameters.items():
            node = parameter.node
            self.globals.variables[name] = Fact(
                live=self.origins.parameter(name), depends=self.origins.parameter(name),
                range=self.known.get(name) or _domain(node),
            )
        level = (LEVEL,) if self.resolved.weighted else ()
        own = tuple(name for name in of if not (level and (name in (EVIDENCE, ELBO, BOUND) or copies_of(name))))
        self.of = (*own, *level)
        if level:
            self.globals.variables[LEVEL] = NOTHING
        self.block(self.resolved.program.body)
        ends = [*self.globals.ended, self.globals.variables]
        results = {name: combined_ends(ends, name).under(self.globals.escaped) for name in self.of}
        if of or not self.resolved.results:
            pass
        elif self.globals.returned:
            for position, name in enumerate(self.resolved.results):
                results[name] = self.globals.returned.get(position, Fact())
        else:
            name = self.resolved.objective or self.resolved.results[0]
            results[name] = combined_ends(ends, name)
        return Flow(
            self.origins, results, self.sites, tuple(self.guards.values()), frozenset(self.kinks), frozenset(self.curves),
            self.counts, self.ties, tuple(self.hazards),
        )

    # --------------------------------------------------------------------------------------------- statements
    def block(self, block: Block) -> None:
        for statement in block.statements:
            self.statement(statement)

    def statement(self, node: Statement) -> None:
        match node:
            case Assign():
                self.assign(node.name, node.indices, self.expression(node.value))
            case Sample():
                self.assign(node.name, node.indices, self.draw(node, node.distribution))
            case If():
                self.branches(node)
            case For():
                self.loop_over(node)
            case While():
                self.loop(node, None, None)
            case Require():
                self.require(node)
            case Return():
                self.give_back(node)
            case Data():
                self.globals.set(node.name, Fact(range=self.known.get(node.name, ANY)))
                for size in node.shape:
                    if isinstance(size, Name) and size.id not in self.globals.variables:
                        self.globals.set(size.id, Fact(range=Bounds(0, ranges.INF, True)))
            case Parameter() | Function():
                pass
            case _:
                assert_never(node)

    def assign(self, name: str, indices: tuple[Expression | Slice, ...], value: Fact) -> None:
        if indices:
            at = self.indices(indices)
            value = self.variable(name).joined(value).under(at)
        self.frame.set(name, value.under(self.control).under(self.frame.escaped))

    def require(self, node: Require) -> None:
        """What comes after hangs on who is still there, and so does the weight."""
        control, frame = self.with_condition(node.condition), self.frame
        frame.set(LEVEL, self.variable(LEVEL).under(control).under(frame.escaped))
        frame.escaped = combined([frame.escaped, control])

    def branches(self, node: If) -> None:
        before_control, frame = self.control, self.frame
        start = len(frame.log)
        parts: list[dict[str, Fact]] = []
        for condition, block in node.branches:
            self.control = self.with_condition(condition)
            parts.append(self.side(block, start))
        parts.append(frame.changed(start) if node.otherwise is None else self.side(node.otherwise, start))
        frame.take_back(start)
        frame.join(parts)
        self.control = before_control

    def side(self, block: Block, start: int) -> dict[str, Fact]:
        """What is set since `start` where a run goes through one side of an `if`; only what comes before that side stays set."""
        mark = len(self.frame.log)
        self.block(block)
        found = self.frame.changed(start)
        self.frame.take_back(mark)
        return found

    def with_condition(self, condition: Expression) -> Fact:
        """The control fact inside a branch: the surrounding one and the condition's."""
        fact = self.jump(condition, self.expression(condition))
        return combined([self.control, fact])

    def loop_over(self, node: For) -> None:
        if isinstance(node.iterable, Range):
            bounds = [self.expression(bound) for bound in (node.iterable.start, node.iterable.stop) if bound is not None]
            control = [self.counting(node.iterable, fact) for fact in bounds]
            low = bounds[0].range.low if node.iterable.start is not None else 0.0
            counter = discrete(combined(control), Bounds(low, bounds[-1].range.high, low > -ranges.INF, False))
            self.loop(node, combined(control), counter)
        else:
            self.loop(node, Fact(), self.expression(node.iterable))

    def loop(self, node: For | While, control: Fact | None, item: Fact | None) -> None:
        """Walk a body until the facts of all variables stand still."""
        before_control, frame = self.control, self.frame
        for rounds in count():
            start = len(frame.log)
            if isinstance(node, While):
                self.control = self.with_condition(node.condition)
            else:
                self.control = combined([before_control, control or Fact()])
                frame.set(node.variable, (item or Fact()).under(self.control))
            self.block(node.body)
            self.control = before_control
            after = frame.changed(start)
            frame.take_back(start)
            if not self.grown(after, widening=rounds >= 2):
                return

    def grown(self, after: dict[str, Fact], widening: bool) -> bool:
        """Join what a round has set with what stood before it; False where nothing is new."""
        frame, moved = self.frame, False
        for name, fact in after.items():
            before = frame.variables.get(name)
            if before is not None:
                fact = before.joined(fact)
                fact = fact.widened(before) if widening else fact
            if fact != before:
                frame.set(name, fact)
                moved = True
        return moved

    def give_back(self, node: Return) -> None:
        frame = self.frame
        for position, value in [*enumerate(node.values), *(((-1, Name(LEVEL)),) if frame.function in self.weighing else ())]:
            fact = self.expression(value).under(self.control).under(frame.escaped)
            before = frame.returned.get(position)
            frame.returned[position] = fact if before is None else before.joined(fact)
        frame.escaped = combined([frame.escaped, self.control])
        if frame is self.globals:
            frame.ended.append({name: frame.variables[name] for name in self.of if name in frame.variables})

    # ----------------------------------------------------------------------------------------------- functions
    def own_function(self, function: Function, facts: list[Fact]) -> Fact:
        if function.name not in self.weighing:
            return self.called(function, facts)
        self.levels.setdefault(function.name, NOTHING)
        found, own = self.called(function, facts), self.levels[function.name]
        self.frame.set(LEVEL, combined([self.variable(LEVEL), own]).under(self.control).under(self.frame.escaped))
        self.frame.escaped = combined([self.frame.escaped, discrete(own)])  # runs may have ended in it
        return found

    def called(self, function: Function, facts: list[Fact]) -> Fact:
        """What a call gives; what functions add to the level is kept in `levels`."""
        active = self.walking.get(function.name)
        if active is not None:
            return self.recursive_call(function.name, active, facts)
        reads = tuple(self.globals.variables.get(name) for name in self.outer_reads[function.name])
        key = (function.name, tuple(facts), reads, self.control)
        if key in self.finished:
            return self.finished[key]
        outside, self.unfinished = self.unfinished, set()
        result = self.walk_function(function, Recursion(facts))
        self.unfinished.discard(function.name)
        if not self.unfinished:
            self.finished[key] = result
        self.unfinished |= outside
        return result

    def recursive_call(self, name: str, active: Recursion, facts: list[Fact]) -> Fact:
        """A call of a function that is being walked: hands it the arguments, takes what it returns so far."""
        arguments = [old.joined(new) for old, new in zip(active.arguments, facts, strict=True)]
        if arguments != active.arguments:
            active.arguments = [new.widened(old) for new, old in zip(arguments, active.arguments, strict=True)]
            active.again = True
        active.used = True
        self.unfinished.add(name)
        return active.result.under(self.control)

    def walk_function(self, function: Function, recursion: Recursion) -> Fact:
        """Walk a body until neither its arguments nor its result change."""
        self.walking[function.name] = recursion
        frame = self.frame
        while True:
            recursion.used = recursion.again = False
            self.frame = Variables(dict(zip(function.parameters, recursion.arguments, strict=True)), function.name)
            if function.name in self.weighing:
                self.frame.variables[LEVEL] = NOTHING
            self.block(function.body)
            result = self.frame.returned.get(0, Fact())
            if function.name in self.weighing:
                self.levels[function.name] = combined([self.levels[function.name], self.frame.returned[-1], self.frame.escaped])
            if not recursion.used:
                break
            grown = recursion.result.joined(replace(result, range=ANY))
            result = grown
            if grown == recursion.result and not recursion.again:
                break
            recursion.result = grown
        self.frame = frame
        del self.walking[function.name]
        return result


def _domain(node: Parameter | None) -> Bounds:
    match node.domain if node is not None else None:
        case Interval(low=low, high=high):
            return Bounds(low, high)
        case Simplex():
            return ranges.UNIT
        case _:
            return ANY


def combined_ends(ends: list[dict[str, Fact]], name: str) -> Fact:
    """The fact of a variable at the end of the run, over every way to end."""
    facts = [variables[name] for variables in ends if name in variables]
    result = facts[0] if facts else Fact()
    for fact in facts[1:]:
        result = result.joined(fact)
    return result
