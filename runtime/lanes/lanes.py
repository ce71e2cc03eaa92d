"""Many runs at once: lanes, the maps between them, and the values that live on them.

A *lane* is one run of the program, or the part of a run that goes through one branch.  The lanes that are executing now
are a `Lanes`: how many there are, and for each the lane of the parent that it continues.  A branch, a loop that some runs
have left, an early return and the enumeration of outcomes are all this one thing: new lanes with a map to old ones.

A variable is a value (`values.py`) together with the lanes it was computed on; it is gathered through the composed map when other
lanes read it, so what a branch does not read costs nothing, and what is the same in every lane is never gathered.  Joining is
the converse: the parts that went different ways are concatenated and permuted back.

Rejected: computing both branches everywhere and selecting (a lane would see the nan, the domain error and the draw of a
branch that it does not take; and a loop would cost all lanes as long as one is inside).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from ..arrays.gathering import patched, permuted, picked
from ..arrays.kernels import to_number
from ..arrays.memory import ask
from ..arrays.uniform import Once
from ..laws.noise import Slots
from .values import PerLane, Plain, Ragged, Uniform, Value, is_truth, same

V = TypeVar("V", bound=Value)
T = TypeVar("T")
FEW_NUMBERS = 1024  # of a value that is kept where lanes come back


class Lifting(Protocol):
    """What makes a row per lane of a value that is the same in every lane and carries a derivative (`lifting.py`)."""

    def lift(self, value: Uniform, lanes: Lanes) -> Plain:
        """With a row per lane `[lanes.count, *event]`; as it is where it carries no derivative."""
        ...


@dataclass(frozen=True)
class Twins:
    """Which lanes are runs and which alternatives of theirs (`forking.py`): the first `front` are runs, all others alternatives.
    `beside` `[2, front]`: the lanes of those of each run, -1 where there is none here (None: nowhere).  `whole`: these are all
    runs of the block, in their order."""

    front: int
    beside: Tensor | None
    whole: bool


class Lanes:
    """`count` lanes; `index` `[count]` maps each to a lane of `parent`.  Neither is set for the runs themselves.

    `spread`: several lanes may continue the same lane of the parent (outcomes have been enumerated).  `parts`: where lanes
    that were split on the way have come together again, what they consist of, one after another; the parent does not tell.
    `tracked`: it will be asked which rows of values are the same (`merging.py`).
    `once`: where the program comes back to these very lanes (`merging.py`), what has been worked out on them.
    `wayless`: where lanes are split, nobody will ask for the way that they have come.
    `twins`: which of them are runs, where that is known; `slots`: which of them share noise (`coupling.py`).
    """

    __slots__ = (
        "_index", "_marks", "count", "lifter", "maps", "once", "parent", "parts", "places", "root", "slots", "spread",
        "tracked", "twins", "wayless",
    )

    def __init__(self, count: int, parent: Lanes | None = None, index: Tensor | None = None, spread: bool = False):
        self.count = count
        self.parent = parent
        self._index = index
        self.spread = spread
        self.root: Lanes = self if parent is None else parent.root  # the runs themselves
        self.parts: tuple[Lanes, ...] = ()
        self.lifter: Lifting | None = None if parent is None else parent.lifter
        self.tracked: bool = parent is not None and parent.tracked
        self.once: Once | None = None
        self.wayless: bool = parent is not None and parent.wayless
        self._marks: Tensor | None = None
        self.maps: dict[Lanes, Tensor] = {}
        self.places: dict[Lanes, Tensor] = {}
        self.twins: Twins | None = None
        self.slots: Slots | None = None

    @property
    def index(self) -> Tensor | None:
        """For every lane the lane of `parent` that it continues `[count]`."""
        return self._index

    def onto(self, rows: Tensor) -> Tensor:
        """Rows of the parent, on these lanes."""
        assert self._index is not None
        return rows.index_select(0, self._index) if self.spread else picked(rows, self._index)

    def restrict(self, index: Tensor) -> Lanes:
        """The lanes at `index`."""
        return self.again("restrict", partial(self._onward, False), index)

    def split(self, index: Tensor) -> Lanes:
        """New lanes, of which several may continue the same one of these."""
        return self.again("split", partial(self._onward, True), index)

    def _onward(self, spread: bool, index: Tensor) -> Lanes:
        lanes = Lanes(index.shape[0], self, index, spread)
        lanes.once = self.once
        return lanes

    def again(self, what: Hashable, make: Callable[..., T], *given: Any) -> T:
        """`make(*given)`, which hangs on nothing but these lanes and what is given; where the program comes back to these lanes
        and gives the very same, what was made then."""
        return make(*given) if self.once is None else self.once((what, self), make, *given)

    def spread_since(self, ancestor: Lanes) -> bool:
        """Whether lanes have been split between `ancestor` and these."""
        lanes = self
        while lanes is not ancestor:
            if lanes.spread:
                return True
            assert lanes.parent is not None
            lanes = lanes.parent
        return False

    def mark(self, marks: Tensor) -> None:
        """These are alternatives with such tickets, or 0 for the runs themselves `[count]` (`forking.py`)."""
        self._marks = marks

    def marks(self) -> Tensor | None:
        """The ticket of every lane, 0 for those of the runs themselves `[count]`; None: all are."""
        chain: list[Lanes] = []
        lanes = self
        while lanes._marks is None and not lanes.parts and lanes.parent is not None:
            chain.append(lanes)
            lanes = lanes.parent
        found = lanes._marks
        if found is None and lanes.parts:
            of_parts = [part.marks() for part in lanes.parts]
            known = next((one for one in of_parts if one is not None), None)
            if known is not None:
                found = torch.cat([
                    known.new_zeros(part.count) if one is None else one for part, one in zip(lanes.parts, of_parts, strict=True)
                ])
                lanes._marks = found
        for lanes in reversed(chain):
            found = lanes.marked(found)
        self._marks = found
        return found

    def marked(self, marks: Tensor | None) -> Tensor | None:
        """The tickets of these lanes, of those of the parent."""
        return None if marks is None else self.onto(marks)

    def line(self) -> set[Lanes]:
        """These lanes and all they descend from."""
        found = {self}
        lanes = self
        while lanes.parent is not None:
            lanes = lanes.parent
            found.add(lanes)
        return found

    def map_to(self, ancestor: Lanes) -> Tensor | None:
        """For every lane the lane of `ancestor` that it continues, `[count]`; None for the identity."""
        if self is ancestor:
            return None
        known = self.maps.get(ancestor)
        if known is not None:
            return known
        chain: list[Lanes] = []
        lanes: Lanes = self
        while lanes is not ancestor and ancestor not in lanes.maps:
            chain.append(lanes)
            if lanes.parent is None:
                raise LookupError("not an ancestor of these lanes")
            lanes = lanes.parent
        composed = lanes.maps.get(ancestor)
        for lanes in reversed(chain):
            composed = lanes.index if composed is None else lanes.onto(composed)
            assert composed is not None
            lanes.maps[ancestor] = composed
        return composed

    def chart(self, ancestors: set[Lanes]) -> None:
        """Find the maps to several ancestors on one way up."""
        left = {lanes for lanes in ancestors if lanes is not self and lanes not in self.maps}
        if len(left) < 2:
            return
        step, index = self, None
        while left:
            assert step.index is not None and step.parent is not None
            index = step.index if index is None else step.index.index_select(0, index)
            step = step.parent
            if step in left:
                self.maps[step] = index
                left.discard(step)

    def places_in(self, other: Lanes, device: torch.device) -> Tensor:
        """For every lane its place in `other`, through which it came on its way, -1 where it did not `[count]`."""
        known = self.places.get(other)
        if known is not None:
            return known
        found = self._find(other, device)
        self.places[other] = found
        return found

    def _find(self, other: Lanes, device: torch.device) -> Tensor:
        line = other.line()
        step: Lanes = self
        while True:
            if step is other:
                found = torch.arange(other.count, device=device)
                break
            if step in line:
                index = other.map_to(step)
                assert index is not None
                found = torch.full((step.count,), -1, device=device)
                found[index] = torch.arange(other.count, device=device)
                break
            if step.parts and step.parent in line:
                found = torch.cat([part.places_in(other, device) for part in step.parts])
                break
            assert step.parent is not None
            step = step.parent
        onward = self.map_to(step)
        return found if onward is None else found.index_select(0, onward)

    @property
    def origin(self) -> Tensor | None:
        """The run of every lane, `[count]`; None for the identity."""
        return self.map_to(self.root)


class Patched(Lanes):
    """The lanes of the parent and some more; those `at` `[k]`, among them all new ones, continue the parent's `of` `[k]`, the
    others stay what they were.  `tickets` `[k]`: of which alternatives they are."""

    __slots__ = ("at", "of", "tickets")

    def __init__(self, count: int, parent: Lanes, at: Tensor, of: Tensor, tickets: Tensor):
        super().__init__(count, parent, None, True)
        self.at, self.of, self.tickets = at, of, tickets

    @property
    def index(self) -> Tensor | None:
        assert self.parent is not None
        if self._index is None:
            self._index = self.onto(torch.arange(self.parent.count, device=self.at.device))
        return self._index

    def onto(self, rows: Tensor) -> Tensor:
        return self.put(rows, rows.detach().index_select(0, self.of))

    def put(self, rows: Tensor, new: Tensor) -> Tensor:
        """Rows of the parent, and new ones of those that continue another one: alternatives, of which no derivative is asked."""
        return patched(rows, self.count, self.at, new)

    def marked(self, marks: Tensor | None) -> Tensor | None:
        assert self.parent is not None
        return self.put(self.tickets.new_zeros(self.parent.count) if marks is None else marks, self.tickets)


class Leading(Lanes):
    """The first lanes of the parent."""

    __slots__ = ("device",)

    def __init__(self, count: int, parent: Lanes, device: torch.device):
        super().__init__(count, parent)
        self.device = device

    @property
    def index(self) -> Tensor | None:
        if self._index is None:
            self._index = torch.arange(self.count, device=self.device)
        return self._index

    def onto(self, rows: Tensor) -> Tensor:
        return rows[: self.count]


def _brought(rows: Tensor, source: Lanes, target: Lanes) -> Tensor:
    """Rows of `source`, on the lanes `target` that continue them; where few are new, only these are moved.  Patches in a row are
    one: what they continue are runs, which none of them moves, and a place is that of the same run in all of them."""
    patches: list[Patched] = []
    lanes: Lanes | None = target
    while isinstance(lanes, Patched) and lanes is not source:
        patches.append(lanes)
        lanes = lanes.parent
    assert lanes is not None
    if lanes.parent is source:
        rows = lanes.onto(rows)
    elif (index := lanes.map_to(source)) is not None:
        rows = rows.index_select(0, index) if lanes.spread_since(source) else picked(rows, index)
    if patches:
        at, of = (patches[0].at, patches[0].of) if len(patches) == 1 else (
            torch.cat([patch.at for patch in patches]), torch.cat([patch.of for patch in patches])
        )
        rows = patched(rows, target.count, at, rows.detach().index_select(0, of))
    return rows


NOWHERE = Lanes(0)  # no lane is left: every one has returned


def gather(rows: Tensor, source: Lanes, target: Lanes) -> Tensor:
    """Rows of `source`, on the lanes `target` that continue them."""
    if target is source:
        return rows
    if target.count > source.count:
        ask(rows.numel() // source.count * target.count, rows.device)
    return _brought(rows, source, target)


def carry(value: V, source: Lanes, target: Lanes) -> V:
    """A value computed on `source`, on the lanes `target` that continue them."""
    if source is target or not isinstance(value, PerLane):
        return value
    if target.once is not None and value.numbers <= FEW_NUMBERS:
        return target.again("carry", partial(_carried, target), value, source)  # type: ignore[return-value]
    return _carried(target, value, source)  # type: ignore[return-value]


def _carried(target: Lanes, value: PerLane, source: Lanes) -> PerLane:
    if target is source:
        return value
    if target.count > source.count:
        ask(value.raw.numel() // source.count * target.count, value.raw.device)
    if not target.tracked:
        return PerLane(_brought(value.raw, source, target), value.event)
    index = target.map_to(source)
    return value if index is None else value.rows_at(index)


def with_rows(value: Plain, lanes: Lanes) -> Tensor:
    """A value that holds a tensor, with a row for every lane `[lanes, *shape]`."""
    if isinstance(value, Uniform) and value.live and lanes.lifter is not None:
        value = lanes.lifter.lift(value, lanes)
    return cast(Tensor, value.wide).expand(lanes.count, *value.shape)


class Join:
    """Puts values of separate parts together: lane `indices[k][j]` of the whole is lane `j` of part `k`.

    `parts` are the lanes of the parts.  With `order` False the whole is the parts one after another.
    """

    def __init__(self, parts: list[Lanes], indices: list[Tensor], dtype: torch.dtype, order: bool = True):
        self.parts = parts
        self.dtype = dtype
        self.device = indices[0].device
        self.order: Tensor | None = None
        self.inverse: Tensor | None = None
        if order:
            self.order = torch.cat(indices)
            self.inverse = torch.empty_like(self.order)
            self.inverse.scatter_(0, self.order, torch.arange(self.order.shape[0], device=self.device))

    def __call__(self, values: list[Value]) -> Value:
        """The joined value, or Ragged where the event shapes differ."""
        first = values[0]
        if isinstance(first, Uniform) and all(value is first for value in values):
            return first
        held: list[Plain] = []
        for value in values:
            if isinstance(value, Ragged):
                return value
            held.append(value)
        if (number := same(held)) is not None:
            return number
        shapes = {value.shape for value in held}
        if len(shapes) > 1:
            return Ragged(tuple(sorted(shapes)))
        kind = torch.bool if all(is_truth(value) for value in held) else self.dtype
        parts = [self._rows(value, lanes, kind) for value, lanes in zip(held, self.parts, strict=True)]
        whole = torch.cat(parts)
        return PerLane(whole if self.inverse is None or self.order is None else permuted(whole, self.inverse, self.order))

    def _rows(self, value: Plain, lanes: Lanes, kind: torch.dtype) -> Tensor:
        if isinstance(value.raw, Tensor):
            return to_number(with_rows(value, lanes), kind)
        return torch.full((lanes.count,), value.raw, dtype=kind, device=self.device)
