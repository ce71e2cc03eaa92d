"""Environments: the variables of one function call or branch, on the lanes that execute it.

A frame sees its own variables, then those of its parent.  A branch or loop gets a child frame; what it assigns is merged
into the parent when its lanes come back.  A function call gets a frame whose parent is the top-level frame of the moment
(`outer`), so a function sees the globals as they are when it is called, and never the variables of its caller.

The weight (the product of the probabilities of enumerated outcomes) is kept per frame, starting from nothing, and
multiplied into the parent's at the merge; so a branch that enumerates nothing costs nothing.  Where lanes have been split
inside a branch, the merge does not put them back in order: the frame goes on with the new lanes, one part after the other.
`control` and `terms` belong to the assignment of credit (`credit.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import torch
from torch import Tensor

from ...dsl.text.source import Span
from .lanes import NOWHERE, Join, Lanes, Patched, carry, gather
from .ledger import CLEAN, DensitySum, Summand, Taint
from .pieces import Pieces, fold
from .scattered import Place
from .values import Held, PerLane, Plain, Uniform, Value

HIDDEN = "\0"  # what a loop keeps for itself is a variable whose name starts so


@dataclass(frozen=True)
class Returned:
    """What some lanes have returned, by the statement at `span`: their values, and the weight since the call began.

    `terms`: per value the terms whose sum it is, where that is known.
    """

    span: Span
    lanes: Lanes
    values: list[Value]
    weight: Tensor | None
    terms: list[list[Summand] | None]


@dataclass
class Gate:
    """An execution whose draws matter only where what they are multiplied by is not 0: `left` uses are to come, `relevant` is what
    those that were have shown."""

    bit: int
    lanes: Lanes
    batch: tuple[int, ...]
    left: int
    relevant: Tensor | None = None
    summed: DensitySum | None = None


@dataclass
class Activation:
    """One call of a function, or the program itself.

    lanes      those it began with; `frame` its first frame
    scope      the function's name; None for the program
    taints     per variable the score sites that it depends on (`credit.py`), `returned_taint` likewise
    entry      the score sites that decided that the call happens
    escaped    the score sites that decided who has already returned
    additive   the terms of the results are wanted
    gates      by site the last execution of those whose draws may not matter (`dependence.py`)
    caller     the frame of the call (None: of the program)
    stopped    lanes of the program that have ended by an observation, with weight 0 in every mean, and the probability of each
    """

    lanes: Lanes
    scope: str | None = None
    returned: list[Returned] = field(default_factory=list)
    taints: dict[str, Taint] = field(default_factory=dict)
    returned_taint: Taint = CLEAN
    entry: int = 0
    escaped: int = 0
    additive: bool = False
    gates: dict[int, Gate] = field(default_factory=dict)
    caller: Frame | None = None
    stopped: list[tuple[Lanes, Tensor | None]] = field(default_factory=list)
    frame: Frame = field(init=False, repr=False)


class Frame:
    """Variables with the lanes they were computed on; `weight` `[lanes]` (None: 1), that since the activation began, is always on
    the frame's own lanes.

    `control`: the score sites that decided that these lanes are here.  `terms`: of variables that are sums.  `mask` `[lanes]`:
    which lanes are really here, where lanes do not go apart (`ways.py`; None: all).
    """

    __slots__ = ("_outer", "_weight", "activation", "base", "control", "gathered", "lanes", "mask", "parent", "terms", "values")

    def __init__(self, lanes: Lanes, parent: Frame | None, activation: Activation, base: bool, outer: Frame | None):
        self.lanes = lanes
        self.parent = parent
        self.activation = activation
        self.base = base  # the first frame of its activation
        if base:
            activation.frame = self
        self._outer = outer
        self.values: dict[str, tuple[Value | Pieces, Lanes]] = {}
        self.gathered: dict[str, tuple[Value, Lanes]] = {}
        self._weight: tuple[Tensor, Lanes] | None = None  # with the lanes that it is on, from which these descend
        self.control: int = 0 if parent is None else parent.control
        self.mask: Tensor | None = None if parent is None else parent.mask
        self.terms: dict[str, list[Summand] | None] = {}

    @property
    def outer(self) -> Frame:
        """Where a function called from here finds the globals: here, outside of functions."""
        return self if self._outer is None else self._outer

    def forget(self) -> None:
        """Let go of all values: a frame and its activation know each other, and would keep them until a collection."""
        for kept in (self.values, self.gathered, self.terms, self.activation.returned, self.activation.stopped):
            kept.clear()
        self.activation.caller = None

    def child(self, lanes: Lanes) -> Frame:
        """A frame for some of the lanes, in the same activation."""
        inner = Frame(lanes, self, self.activation, False, None if self.outer is self else self.outer)
        inner._weight = self._weight
        return inner

    def call(self) -> Frame:
        """The frame of a function called from here."""
        inner = Frame(self.lanes, self.outer, Activation(self.lanes, caller=self), True, self.outer)
        inner.control = inner.activation.entry = self.control | self.activation.escaped
        inner.mask = self.mask
        return inner

    def find(self, name: str) -> tuple[Value | Pieces, Lanes] | None:
        """A variable and its lanes, wherever it is."""
        frame: Frame | None = self
        while frame is not None:
            found = frame.values.get(name)
            if found is not None:
                return found
            frame = frame.parent
        return None

    def entry(self, name: str) -> tuple[Value | Pieces, Lanes]:
        """A variable and its lanes; KeyError where there is none."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def read(self, name: str) -> Value:
        """A variable on the frame's lanes."""
        lanes = self.lanes
        own = self.values.get(name)
        if own is not None:
            held, home = own
            found = held.whole() if isinstance(held, Pieces) else held
            if home is lanes:
                return found
            value = carry(found, home, lanes)
            self.values[name] = (value, lanes)
            return value
        known = self.gathered.get(name)
        if known is not None and known[1] is lanes:
            return known[0]
        held, home = self.entry(name) if known is None else known
        found = held.whole() if isinstance(held, Pieces) else held
        if self.parent is not None and lanes.parent is self.parent.lanes and isinstance(lanes.parent, Patched) and known is None:
            found, home = self.parent.read(name), lanes.parent  # the other side of a branch reads it, too
        value = carry(found, home, lanes)
        if value is not found:
            self.gathered[name] = (value, lanes)
        return value

    def taken_apart(self, name: str) -> Pieces | None:
        """An array in pieces, or that is better taken apart: its elements then go back at once, and to other lanes one by one."""
        frame: Frame | None = self
        while frame is not None:
            found = frame.values.get(name)
            if found is not None:
                held, home = found
                if isinstance(held, Pieces):
                    return held
                if not isinstance(held, PerLane) or not held.shape or (not held.live and home is self.lanes):
                    return None
                pieces = Pieces(held, home)
                frame.values[name] = (pieces, home)
                return pieces
            frame = frame.parent
        return None

    def apart(self, name: str) -> Pieces:
        """An array as pieces that this frame may assign to."""
        own = self.values.get(name)
        held, home = self.entry(name) if own is None else own
        if own is not None and isinstance(held, Pieces):
            return held
        assert isinstance(held, Held | Pieces)
        return Pieces(held, home)

    def put(self, name: str, path: Sequence[int], value: Plain) -> bool:
        """Assign one element of an array on the frame's lanes; whether it is kept beside all others."""
        pieces = self.apart(name)
        fresh = pieces.put(path, value, self.lanes)
        self.values[name] = (pieces, self.lanes)
        return fresh

    def scatter(self, name: str, items: Sequence[Place], value: Plain) -> None:
        """Assign elements whose places differ from lane to lane: in the frame that has the array, where every lane has a row of its
        own, so that nothing is to be merged."""
        frame: Frame = self
        while name not in frame.values:
            frame.gathered.pop(name, None)
            assert frame.parent is not None
            frame = frame.parent
        held, home = frame.values[name]
        if self.lanes.spread_since(home):
            held, home, frame = self.read(name), self.lanes, self
        assert isinstance(held, Held | Pieces)
        pieces = held if isinstance(held, Pieces) else Pieces(held, home)
        frame.values[name] = (pieces, home)
        pieces.scatter(items, value, self.lanes)

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

    @property
    def weight(self) -> Tensor | None:
        """That of the lanes since the activation began `[lanes]`; None: 1."""
        if self._weight is None:
            return None
        weight, home = self._weight
        if home is not self.lanes:
            weight = gather(weight, home, self.lanes)
            self._weight = weight, self.lanes
        return weight

    @weight.setter
    def weight(self, weight: Tensor | None) -> None:
        self._weight = None if weight is None else (weight, self.lanes)

    @property
    def weighed(self) -> bool:
        """Whether lanes have weights."""
        return self._weight is not None

    def weighed_as(self, other: Frame) -> bool:
        """Whether the lanes have the very weights of another frame's."""
        return self._weight is other._weight

    def multiply(self, weight: Tensor | None) -> None:
        """Multiply the weight of the frame's lanes by `[lanes]`."""
        if weight is not None:
            self.weight = weight if self.weight is None else self.weight * weight

    def narrow(self, lanes: Lanes) -> None:
        """Go on with other lanes: some of the present ones, or what they were split into."""
        self.lanes = lanes

    def stop(self, index: Tensor) -> None:
        """The lanes at `index` end here, with the program."""
        gone, weight = self.lanes.restrict(index), None
        frame: Frame | None = self
        while frame is not None:
            if (own := frame.weight) is not None:
                own = gather(own, frame.lanes, gone)
                weight = own if weight is None else weight * own
            top, frame = frame.activation, frame.activation.caller
        top.stopped.append((gone, weight))

    def find_terms(self, name: str) -> list[Summand] | None:
        """The terms of a variable of this activation; None where it is one whole."""
        frame: Frame = self
        while True:
            if name in frame.terms:
                return frame.terms[name]
            if frame.base or frame.parent is None:
                return None
            frame = frame.parent

    def departed(self, index: Tensor, entry: Lanes, into: Frame) -> Frame:
        """The lanes at `index` as they leave a loop that was entered on `entry`: with what `into` keeps of them."""
        here, left = self.lanes, self.lanes.restrict(index)
        leaving = Frame(rebased(left, entry), into, self.activation, False, self.outer)
        for name in self.values:
            if into.has(name):
                leaving.write(name, carry(self.read(name), here, left))
        if (weight := self.weight) is not None:
            leaving.weight = weight.index_select(0, index)
        return leaving

    def rebase(self, entry: Lanes, into: Frame) -> None:
        """At the start of a loop's next round: forget what the loop only used for itself, and the maps of earlier rounds."""
        self.values = {name: found for name, found in self.values.items() if name[0] == HIDDEN or into.has(name)}
        self.gathered = {}
        if self.lanes is entry or self.lanes.parent is entry:
            return
        fresh = rebased(self.lanes, entry)
        if fresh is self.lanes:
            return
        for name in self.values:
            self.values[name] = (self.read(name), fresh)
        weight, self.lanes = self.weight, fresh
        self.weight = weight


def rebased(lanes: Lanes, ancestor: Lanes) -> Lanes:
    """The same lanes as direct children of `ancestor`; unchanged where lanes were split in between, whose way must be kept."""
    spread = lanes.spread_since(ancestor)
    if spread and not lanes.wayless:
        return lanes
    index = lanes.map_to(ancestor)
    if index is None:
        return lanes
    fresh = Lanes(lanes.count, ancestor, index, spread)
    if (marks := lanes.marks()) is not None:
        fresh.mark(marks)
    fresh.twins, fresh.slots = lanes.twins, lanes.slots
    return fresh


Joiner: TypeAlias = Callable[[list[Lanes], list[Tensor], Lanes, bool], Join]  # parts, their indices, the whole, whether to permute


def together(base: Lanes, parts: list[Lanes], joiner: Joiner) -> tuple[Lanes, Join]:
    """The lanes of all `parts`, which continue lanes of `base`, as one, and what puts their values together."""
    indices = []
    for part in parts:
        index = part.map_to(base)
        assert index is not None
        indices.append(index)
    total = sum(part.count for part in parts)
    spread = any(part.spread_since(base) for part in parts)
    if not spread and total == base.count:
        return base, joiner(parts, indices, base, True)
    whole = Lanes(total, base, torch.cat(indices), spread)
    if spread:
        whole.parts = tuple(parts)
    return whole, joiner(parts, indices, whole, False)


def merge(frame: Frame, children: list[Frame], joiner: Joiner) -> Join | None:
    """Put what the children assigned back into their parent, on the lanes that have not returned.

    Gives what joins further values of the children; None where there is but one, on all lanes, or none.
    """
    alive = [child for child in children if child.lanes.count]
    if not alive:
        frame.narrow(NOWHERE)
        return None
    if len(alive) == 1 and alive[0].lanes is frame.lanes:
        _absorb(frame, alive[0])
        return None
    whole, join = together(frame.lanes, [child.lanes for child in alive], joiner)
    split = whole is not frame.lanes
    frame.narrow(whole)
    names = dict.fromkeys(name for child in alive for name in child.values if name[0] != HIDDEN)
    for name in names:
        if frame.has(name) or all(name in child.values for child in alive):
            bring(frame, name, alive, join)
    if split and any(child.weighed for child in alive):
        weight = join([Uniform(1.0) if child.weight is None else PerLane(child.weight) for child in alive])
        assert isinstance(weight, PerLane)
        frame.weight = weight.raw
    return join


def bring(frame: Frame, name: str, children: list[Frame], join: Callable[[list[Value]], Value]) -> None:
    """Set a variable to what the children, who are all of the frame's lanes, have made of it; of an array what is new in it."""
    made = [child.values.get(name) for child in children]
    if any(found is not None and isinstance(found[0], Pieces) for found in made):
        below, _ = frame.find(name) or (None, frame.lanes)
        own = [(None if found is None else found[0], child.lanes) for found, child in zip(made, children, strict=True)]
        if below is not None and all(part is None or (isinstance(part, Pieces) and part.continues(below)) for part, _ in own):
            into = frame.apart(name)
            fold(into, cast("list[tuple[Pieces | None, Lanes]]", own), join, frame.lanes)
            frame.values[name] = (into, into.lanes)
            return
    frame.write(name, join([child.read(name) for child in children]))


def _absorb(frame: Frame, child: Frame) -> None:
    """The only child ran on all lanes of its parent."""
    for name in child.values:
        if name[0] != HIDDEN:
            bring(frame, name, [child], lambda values: values[0])
    frame._weight = child._weight
