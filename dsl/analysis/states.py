"""How many states the lanes of a run can be in, where outcomes are enumerated beside draws: a bound, as far as the text tells.

A state variable that is a draw of few outcomes, or computed from such ones, has few values; one that is carried on from itself, or
made of a continuous draw on lanes that have been split, may have any number.  A plan may hope for few states where nobody has
measured; where they turn out to be more, the run learns it (`TooManyLanes`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Assign,
    Block,
    Call,
    Data,
    Draw,
    For,
    Function,
    If,
    Name,
    Node,
    Parameter,
    Require,
    Return,
    Sample,
    Statement,
    While,
)
from .linear import Linearity, conditions
from .liveness import Liveness
from .reads import outer_reads, set_in, statements_in

UNKNOWN = math.inf
MOST_BITS = 1000  # of a number of values


def count_states(resolved: Resolved, liveness: Liveness, enumerated: Collection[int], once: Mapping[int, float]) -> float:
    """The logarithm (base 2) of how many lanes a run can have, if those in one state are merged: of the states where they meet,
    times the outcomes until they meet again; infinite where the text does not tell.  `once`: the logarithm of a draw's outcomes,
    by site."""
    body = resolved.program.body
    if any(resolved.sites[index].function is not None for index in enumerated):
        return UNKNOWN
    linearity = Linearity(resolved, body, set_in(body), outer_reads(resolved))
    count = _Count(resolved, frozenset(enumerated), once, linearity.varying)
    count.block(body, False, False)
    met, most, since = 0.0, 0.0, 0.0
    for statement in statements_in(body):
        since += sum(once.get(index, UNKNOWN) for index in count.sites(*_own(statement)) if index in count.enumerated)
        most = max(most, since)
        if id(statement) in liveness.ends:
            met = max(met, sum(math.log2(count.values(name)) for name in liveness.state[id(statement)]))
            since = since if isinstance(statement, If | For | While) else 0.0
    return met + most


def _own(node: Statement) -> tuple[Node, ...]:
    """A statement without the blocks in it."""
    match node:
        case If() | While():
            return conditions(node)
        case Require():
            return (node.condition,)
        case For():
            return (node.iterable,)
        case Assign() | Sample() | Return():
            return (node,)
        case Parameter() | Data() | Function():
            return ()
        case _:
            assert_never(node)


@dataclass
class _Count:
    """How many values a variable can have at one place.  `made`: where it is set, each with whether that may happen in some lanes
    only; `passing`: set in loops without anything random; `early`: set before anything is enumerated."""

    resolved: Resolved
    enumerated: frozenset[int]
    once: Mapping[int, float]
    varying: frozenset[str]
    made: dict[str, list[tuple[Assign | Sample, bool]]] = field(default_factory=dict)
    passing: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)
    known: dict[str, float] = field(default_factory=dict)
    split: bool = False

    def block(self, body: Block, looped: bool, apart: bool) -> None:
        """Take in statements, in a loop, or where not all lanes may come."""
        for node in body.statements:
            self.split |= any(index in self.enumerated for index in self.sites(node))
            if isinstance(node, Assign | Sample):
                self.made.setdefault(node.name, []).append((node, apart))
                if looped and node.name not in self.varying:
                    self.passing.add(node.name)
                if self.split or looped:
                    self.early.discard(node.name)
                elif len(self.made[node.name]) == 1:
                    self.early.add(node.name)
            elif isinstance(node, If | For | While):
                if isinstance(node, For):
                    self.passing.add(node.variable)
                for inner in node.blocks:
                    self.block(inner, looped or not isinstance(node, If), apart or not isinstance(node, For))

    def sites(self, *roots: Node) -> list[int]:
        """Those below some nodes."""
        parts = [part for root in roots for part in nodes_in(root) if isinstance(part, Draw | Sample)]
        return [self.resolved.site_at[id(part)].index for part in parts]

    def values(self, name: str) -> float:
        """Those of a variable (infinite: unknown)."""
        if name not in self.varying or name in self.early:
            return 1.0
        if name not in self.known:
            self.known[name] = UNKNOWN  # what is carried on from itself
            self.known[name] = sum(self._made(node, apart) for node, apart in self.made.get(name, ())) or UNKNOWN
        return self.known[name]

    def _made(self, node: Assign | Sample, apart: bool) -> float:
        if node.indices:
            return UNKNOWN
        if isinstance(node, Sample):
            return self._outcomes(self.sites(node))
        parts = nodes_in(node.value)
        names = {part.id for part in parts if isinstance(part, Name)}
        if names & self.passing or any(isinstance(part, Call) and part.function in self.resolved.functions for part in parts):
            return UNKNOWN
        if apart and not names.isdisjoint(self.resolved.parameters):
            return UNKNOWN
        return math.prod(map(self.values, names)) * self._outcomes(self.sites(node.value))

    def _outcomes(self, sites: Iterable[int]) -> float:
        bits = [self.once.get(index, UNKNOWN) if index in self.enumerated else UNKNOWN for index in sites]
        return 2.0 ** sum(bits) if sum(bits) < MOST_BITS else UNKNOWN


__all__ = ["count_states"]
