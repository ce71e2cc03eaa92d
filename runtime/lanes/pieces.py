"""An array whose elements are assigned one by one: what was there before, and beside it the elements that are new.

A value never changes, so `x[t] = v` made a copy of the whole array, and the backward pass went through all of them: a loop of T
rounds cost T^2.  Here an assignment keeps `v` as it is, reading `x[t]` gives it back, and only who reads the array as a whole has
it put together, once (torch.stack and index_copy; their derivatives take it apart again at the same cost).  Elements stay on the
lanes where they were assigned, like variables, so lanes that part and come together carry those elements only that are new.

A branch that assigns has pieces of its own, whose `origin` are those of the frame around it: nobody else's change until the
lanes come together (`fold`).  Pieces belong to the variable of one frame; whoever else gets the value gets it whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ..arrays.kernels import to_number
from ..arrays.memory import ask
from .lanes import Lanes, carry
from .lifting import level
from .scattered import Place, Scattered
from .values import Held, PerLane, Plain, Uniform, Value

LOOKS = 3  # single elements that are taken off an array before it is taken apart once and for all

Home: TypeAlias = "tuple[Plain | Pieces, Lanes]"


class Pieces:
    """An array `origin` (a value and its lanes), and by index the elements assigned since (each with its lanes).

    lanes    those of the last assignment, which descend from all others
    solid    the array put together, with its lanes; `loose` are the indices assigned since then
    written  all of it, once it has been written at places that differ from lane to lane: then there are no elements
    """

    __slots__ = ("columns", "dtype", "elements", "lanes", "looks", "loose", "origin", "shape", "solid", "written")

    def __init__(self, value: Plain | Pieces, home: Lanes):
        self.origin: Home = value, home
        self.shape: tuple[int, ...] = value.shape
        self.dtype: torch.dtype = value.dtype if isinstance(value, Pieces) else tensor_of(value).dtype
        self.lanes = home
        self.elements: dict[int, Home] = {}
        self.loose: set[int] = set()
        self.solid: tuple[Plain, Lanes] | None = None if isinstance(value, Pieces) else (value, home)
        self.written: Scattered | None = None
        self.looks = 0
        self.columns: tuple[Plain, ...] = ()

    # ----------------------------------------------------------------------------------------------------- reading
    def raw(self, index: int) -> Home:
        """One element as it was assigned, and its lanes."""
        found = self.elements.get(index)
        if found is not None:
            return found
        if self.written is not None:
            return self.written.read((index,), self.written.lanes), self.written.lanes
        below, home = self.origin
        return below.raw(index) if isinstance(below, Pieces) else (self._taken(below, index), home)

    def _taken(self, value: Plain, index: int) -> Plain:
        """An element of an array; of one with a derivative all are taken at once, so that they go back at once."""
        kind, whole = type(value), tensor_of(value)
        if not value.live or isinstance(value, Uniform):
            return kind(whole.select(1, index))
        self.looks += 1
        if self.looks <= LOOKS:
            return kind(whole.select(1, index))
        if not self.columns:
            self.columns = tuple(map(kind, whole.unbind(1)))
        return self.columns[index]

    def get(self, index: int, lanes: Lanes) -> Plain:
        """One element on lanes that descend from those of this array."""
        value, home = self.raw(index)
        return self._of(whole(value), home, lanes)

    def _of(self, value: Plain, home: Lanes, lanes: Lanes) -> Plain:
        return self._kind(carry(value, home, lanes))

    def part(self, indices: range, lanes: Lanes) -> Plain:
        """Some elements after another `[len(indices), ...]`."""
        return self._laid(None, {index: self.raw(index) for index in indices}, lanes)

    def whole(self) -> Plain:
        """All of it, on `lanes`."""
        if self.written is not None:
            return self._of(self.written.whole(), self.written.lanes, self.lanes)
        if self.solid is None or self.loose:
            self.solid = self._together(), self.lanes
            self.loose.clear()
        value, home = self.solid
        return self._of(value, home, self.lanes)

    def _together(self) -> Plain:
        base: Plain | None
        if self.solid is not None:
            base, home = self.solid
            news = {index: self.elements[index] for index in self.loose}
        else:
            below, home = self.origin
            news = self.elements
            base = None if isinstance(below, Pieces) else below
            if base is None and len(news) < self.shape[0]:
                assert isinstance(below, Pieces)
                base = self._of(below.whole(), below.lanes, home)
        if base is None or len(self.elements) == self.shape[0]:
            return self._laid(None, self.elements, self.lanes)
        return self._laid(self._of(base, home, self.lanes), news, self.lanes)

    def _laid(self, base: Plain | None, news: dict[int, Home], lanes: Lanes) -> Plain:
        """`base` with new elements; without one, the elements alone in the order of their indices."""
        places: list[int] = []
        blocks: list[Plain] = []
        ask(lanes.count * (len(news) if base is None else self.shape[0]) * math.prod(self.shape[1:]))
        lanes.chart({home for _, home in news.values()})
        for group, home in _alike(news):
            values = [self._kind(whole(news[index][0])) for index in group]
            stacked = type(values[0])(torch.stack([tensor_of(value) for value in values], 1))
            blocks.append(self._of(stacked, home, lanes))
            places += group
        if not blocks:
            assert base is not None
            return base
        kind, parts = rows_of(blocks if base is None else [base, *blocks], lanes)
        block = torch.cat(parts[-len(blocks):], 1) if len(blocks) > 1 else parts[-1]
        if base is not None:
            return kind(parts[0].index_copy(1, torch.tensor(places, device=block.device), block))
        order = sorted(range(len(places)), key=places.__getitem__)
        if order != list(range(len(places))):
            block = block.index_select(1, torch.tensor(order, device=block.device))
        return kind(block)

    def _kind(self, value: Plain) -> Plain:
        held = tensor_of(value)
        return value if held.dtype == self.dtype else type(value)(to_number(held, self.dtype))

    def continues(self, below: object) -> bool:
        """Whether it is this value but for its elements."""
        return self.origin[0] is below and self.written is None

    @property
    def live(self) -> bool:
        """Whether the array, or something in it, carries a derivative."""
        if self.written is not None:
            return self.written.live
        below, _ = self.origin
        return below.live or any(value.live for value, _ in self.elements.values())

    # ---------------------------------------------------------------------------------------------------- assigning
    def put(self, path: Sequence[int], value: Plain, lanes: Lanes) -> bool:
        """Assign `self[path]`, on lanes that descend from those of this array; whether nothing was there that goes."""
        if self.written is not None:
            if self.written.holds(lanes) and (self.dtype != torch.bool or tensor_of(value).dtype == torch.bool):
                self.written.write(path, self._kind(value), lanes)
                self.lanes = lanes
                return False
            self._start(self.written.whole(), self.written.lanes)
        index, *rest = path
        new: Plain | Pieces = value
        fresh = index not in self.elements
        if rest:
            below, home = self.raw(index)
            new = below if isinstance(below, Pieces) and index in self.elements else Pieces(below, home)
            fresh = new.put(rest, value, lanes)
        dtype = new.dtype if isinstance(new, Pieces) else tensor_of(new).dtype
        if self.dtype == torch.bool and dtype != torch.bool:
            self._number(dtype)
        self.elements[index] = new, lanes
        self.loose.add(index)
        self.lanes = lanes
        return fresh

    def _number(self, dtype: torch.dtype) -> None:
        """From truth values to numbers."""
        self.dtype = dtype
        if self.solid is not None:
            held, home = self.solid
            self.solid = type(held)(to_number(tensor_of(held), dtype)), home

    # ------------------------------------------------------------------------- places that differ from lane to lane
    def scatter(self, items: Sequence[Place], value: Plain, lanes: Lanes) -> None:
        """Assign at such places, on lanes of which no two continue the same one of this array's."""
        if self.written is None or not self.written.holds(lanes):
            found, home = self.whole(), self.lanes
            self._start(found, home)
            self.written = Scattered(found, home)
        self.written.write(items, self._kind(value), lanes)

    def _start(self, value: Plain, home: Lanes) -> None:
        """Begin anew with a value."""
        self.origin, self.solid, self.written = (value, home), (value, home), None
        self.elements, self.columns, self.looks = {}, (), 0
        self.loose.clear()

    def at(self, items: Sequence[Place], lanes: Lanes) -> Plain | None:
        """The entries at some places, if they can be told without putting the array together."""
        simple = all(isinstance(item, int | slice) or item.dim() == 1 for item in items)
        if self.written is None or not simple or not self.written.holds(lanes):
            return None
        return self.written.read(items, lanes)


def whole(value: Plain | Pieces) -> Plain:
    """An element as a value."""
    return value.whole() if isinstance(value, Pieces) else value


def tensor_of(value: Plain) -> Tensor:
    """An array, or an element of one, with all its entries."""
    wide = value.wide
    assert isinstance(wide, Tensor)
    return wide


def _alike(news: dict[int, Home]) -> Iterable[tuple[list[int], Lanes]]:
    """Indices of elements on the same lanes, apart whether they have a row per lane."""
    groups: dict[tuple[Lanes, bool], list[int]] = {}
    for index in sorted(news):
        value, home = news[index]
        groups.setdefault((home, isinstance(whole(value), Uniform)), []).append(index)
    return [(group, home) for (home, _), group in groups.items()]


def rows_of(values: Sequence[Plain], lanes: Lanes) -> tuple[type[Plain], list[Tensor]]:
    """All of them with a row per lane, or none."""
    values = level(values, lanes)
    if not any(isinstance(value, PerLane) for value in values):
        return Uniform, [tensor_of(value) for value in values]
    return PerLane, [tensor_of(value).expand(lanes.count, *value.shape) for value in values]


def fold(
    into: Pieces, children: Sequence[tuple[Pieces | None, Lanes]], join: Callable[[list[Value]], Value], lanes: Lanes
) -> None:
    """Take in what branches have assigned, whose pieces (None: no new ones) began with `into`."""
    for index in dict.fromkeys(index for pieces, _ in children if pieces is not None for index in pieces.elements):
        joined = join([(into if pieces is None else pieces).get(index, home) for pieces, home in children])
        assert isinstance(joined, Held)
        into.put((index,), joined, lanes)
