"""Environments: the variables of one function call or branch, on the lanes that execute it.

A frame sees its own variables, then those of its parent.  A branch or loop gets a child frame; what it assigns is merged
into the parent when its lanes come back.  A function call gets a frame whose parent is the top-level frame of the moment
(`outer`), so a function sees the globals as they are when it is called, and never the variables of its caller.

The score (the sum of the log-probabilities of the score sites that were executed) is kept per frame, starting from
nothing, and added to the parent's at the merge; so a branch without score sites costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from ..dsl.source import Span
from .lanes import NOWHERE, Join, Lanes, Value, carry

HIDDEN = "\0"  # what a loop keeps for itself is a variable whose name starts so


@dataclass(frozen=True)
class Returned:
    """What some lanes have returned, by the statement at `span`: their values, and the score since the call began."""

    span: Span
    lanes: Lanes
    values: list[Value]
    score: Tensor | None


@dataclass
class Activation:
    """One call of a function, or the program itself."""

    returned: list[Returned] = field(default_factory=list)


class Frame:
    """Variables with the lanes they were computed on; `score` `[lanes]` is always on the frame's own lanes."""

    __slots__ = ("activation", "base", "gathered", "lanes", "outer", "parent", "score", "values")

    def __init__(self, lanes: Lanes, parent: Frame | None, activation: Activation, base: bool, outer: Frame | None):
        self.lanes = lanes
        self.parent = parent
        self.activation = activation
        self.base = base  # the first frame of its activation
        self.outer = self if outer is None else outer  # where a function called from here finds the globals
        self.values: dict[str, tuple[Value, Lanes]] = {}
        self.gathered: dict[str, tuple[Value, Lanes]] = {}
        self.score: Tensor | None = None

    def child(self, lanes: Lanes) -> Frame:
        """A frame for some of the lanes, in the same activation."""
        at_top = self.outer is self
        return Frame(lanes, self, self.activation, False, None if at_top else self.outer)

    def call(self) -> Frame:
        """The frame of a function called from here."""
        return Frame(self.lanes, self.outer, Activation(), True, self.outer)

    def entry(self, name: str) -> tuple[Value, Lanes]:
        """A variable and its lanes, wherever it is; KeyError where there is none."""
        frame: Frame | None = self
        while frame is not None:
            found = frame.values.get(name)
            if found is not None:
                return found
            frame = frame.parent
        raise KeyError(name)

    def read(self, name: str) -> Value:
        """A variable on the frame's lanes."""
        lanes = self.lanes
        own = self.values.get(name)
        if own is not None:
            if own[1] is lanes:
                return own[0]
            value = carry(own[0], own[1], lanes)
            self.values[name] = (value, lanes)
            return value
        known = self.gathered.get(name)
        if known is not None and known[1] is lanes:
            return known[0]
        found = self.entry(name) if known is None else known
        value = carry(found[0], found[1], lanes)
        if value is not found[0]:
            self.gathered[name] = (value, lanes)
        return value

    def write(self, name: str, value: Value) -> None:
        """Set a variable on the frame's lanes."""
        self.values[name] = (value, self.lanes)

    def has(self, name: str) -> bool:
        """Whether this activation has set a variable."""
        frame: Frame = self
        while name not in frame.values:
            if frame.base or frame.parent is None:
                return False
            frame = frame.parent
        return True

    def add_score(self, log_weight: Tensor | None) -> None:
        """Multiply the weight of the frame's lanes; `log_weight` is `[lanes or 1]`."""
        if log_weight is not None:
            self.score = log_weight if self.score is None else self.score + log_weight

    def narrow(self, lanes: Lanes) -> None:
        """Go on with some of the lanes."""
        if self.score is not None and lanes is not NOWHERE:
            score = carry(self.score, self.lanes, lanes)
            assert isinstance(score, Tensor)
            self.score = score
        self.lanes = lanes

    def total_score(self) -> Tensor | None:
        """The score since the activation began, on the frame's lanes."""
        total: Tensor | None = None
        frame: Frame = self
        while True:
            if frame.score is not None:
                part = carry(frame.score, frame.lanes, self.lanes)
                assert isinstance(part, Tensor)
                total = part if total is None else total + part
            if frame.base or frame.parent is None:
                return total
            frame = frame.parent

    def departed(self, index: Tensor, entry: Lanes, into: Frame) -> Frame:
        """The lanes at `index` as they leave a loop that was entered on `entry`: with what `into` keeps of them."""
        leaving = Frame(rebased(self.lanes.restrict(index), entry), into, self.activation, False, self.outer)
        here = self.lanes
        for name in self.values:
            if into.has(name):
                value = self.read(name)
                gathered = value.index_select(0, index) if isinstance(value, Tensor) and value.shape[0] != 1 else value
                leaving.write(name, gathered)
        if self.score is not None:
            leaving.score = self.score if self.score.shape[0] != here.count else self.score.index_select(0, index)
        return leaving

    def rebase(self, entry: Lanes, into: Frame) -> None:
        """At the start of a loop's next round: forget what the loop only used for itself, and the maps of earlier rounds."""
        self.values = {name: found for name, found in self.values.items() if name[0] == HIDDEN or into.has(name)}
        self.gathered = {}
        if self.lanes is entry or self.lanes.parent is entry:
            return
        fresh = rebased(self.lanes, entry)
        for name in self.values:
            self.values[name] = (self.read(name), fresh)
        self.lanes = fresh


def rebased(lanes: Lanes, ancestor: Lanes) -> Lanes:
    """The same lanes as direct children of `ancestor`."""
    index = lanes.map_to(ancestor)
    return lanes if index is None else Lanes(lanes.count, ancestor, index)


Joiner: TypeAlias = Callable[[list[Tensor], Lanes, bool], Join]  # indices of the parts, the whole, whether to permute


def merge(frame: Frame, children: list[Frame], joiner: Joiner) -> None:
    """Put what the children assigned and scored back into their parent, on the lanes that have not returned."""
    alive = [child for child in children if child.lanes.count]
    if not alive:
        frame.narrow(NOWHERE)
        return
    if len(alive) == 1 and alive[0].lanes is frame.lanes:
        _absorb(frame, alive[0])
        return
    indices = [_index(child, frame) for child in alive]
    total = sum(child.lanes.count for child in alive)
    complete = total == frame.lanes.count
    if not complete:
        frame.narrow(Lanes(total, frame.lanes, torch.cat(indices)))
    join = joiner(indices, frame.lanes, complete)
    names = dict.fromkeys(name for child in alive for name in child.values if name[0] != HIDDEN)
    for name in names:
        if frame.has(name) or all(name in child.values for child in alive):
            frame.write(name, join([child.read(name) for child in alive]))
    if any(child.score is not None for child in alive):
        score = join([0.0 if child.score is None else child.score for child in alive])
        assert isinstance(score, Tensor)
        frame.add_score(score)


def _index(child: Frame, frame: Frame) -> Tensor:
    index = child.lanes.map_to(frame.lanes)
    assert index is not None
    return index


def _absorb(frame: Frame, child: Frame) -> None:
    """The only child ran on all lanes of its parent."""
    for name in child.values:
        if name[0] != HIDDEN:
            frame.write(name, child.read(name))
    frame.add_score(child.score)
