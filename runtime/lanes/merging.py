"""Lanes of one run that are in the same state become one lane, whose weight is the sum of theirs.

After a statement, two lanes of a run (of a call, inside a function) go on alike if all variables that are live (`liveness.py`) are
equal in both.  One of them goes on for both: by this, sums over paths become sums over states, as in the forward algorithm (Rabiner
1989, eq. 19-21) and in variable elimination (Koller & Friedman 2009, algorithm 9.1), in any program.

- A variable on which the results depend linearly (`linear.py`) need not be equal: what goes on is its mean, given the state.
- Equal numbers may have different derivatives.  A value with a derivative is the same in two lanes only where it is one and the
  same row, or was computed from the same rows and equal numbers by the same operation (`PerLane.same`).  How close two derivatives
  are decides nothing.
- Where a state has probability 0, which may move, or next to 0, its linear variables have no mean, and count as part of the state.

Weights are sums of probabilities, so derivatives go through them.  What was computed on the lanes before stays where it is.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...dsl.analysis.liveness import Liveness
from ...dsl.levels import LEVEL
from ...dsl.syntax import Statement
from ..arrays.private import observed
from ..arrays.singular import divide, multiply
from ..arrays.uniform import Once
from .endings import AGE
from .frames import HIDDEN, Frame
from .lanes import FEW_NUMBERS, Join, Lanes
from .values import Held, PerLane, Ragged, Value

DENSE = 4  # possible states for every lane, of which a table is made
NARROW = 2**20  # different whole numbers that are told apart without sorting
MOST_PAUSED = 4  # visits: lanes multiply in the meantime
WIDE = 64  # entries of an array that are looked at one by one
MOST_STATES = 2**62
MOST_MET = 32  # sets of states that are recognised,
MOST_KNOWN, MOST_NUMBERS = 2048, 2**20  # and results that are kept of what is computed in them, and numbers in these
BITS = {torch.float64: torch.int64, torch.float32: torch.int32}


@dataclass(frozen=True)
class Merged:
    """The number of every lane's state `[lanes]`, the `first` lane of each state `[states]`, the lanes that go on for them, and on
    these the values that tell states apart."""

    groups: Tensor
    first: Tensor
    lanes: Lanes
    kept: dict[str, PerLane]

    def total(self, weight: Tensor) -> Tensor:
        """The weight of each state `[states]`."""
        return weight.new_zeros(self.lanes.count).index_add(0, self.groups, weight)


@dataclass
class Merger:
    """When and how lanes are merged: what is `live` after each statement, and which of it may be averaged; `exact`: every outcome
    is enumerated, so that what is left of a loop may be left out; `returns`: it is looked whether the program comes back to states
    that it has been in.

    Where nothing could be merged, it is tried again after twice as many visits as the last time (`pause`), but not many.
    """

    live: Liveness
    exact: bool
    fixed: frozenset[str] = frozenset()  # what no statement sets: parameters, which may have a row per lane
    safe: bool = False  # derivatives are 0 where nobody asks for them (`singular.py`)
    returns: bool = False
    additive: bool = False  # the logarithm of a run's likelihood is averaged; else the likelihood weighs
    saved: int = 0  # lanes
    once: Once = field(default_factory=lambda: Once(MOST_KNOWN, MOST_NUMBERS))
    met: dict[Hashable, tuple[Lanes, dict[str, PerLane]]] = field(default_factory=dict)  # states, with the lanes that were in them
    pause: dict[int, tuple[int, int]] = field(default_factory=dict)  # by statement: visits to let pass, and those of the last time

    def after(self, statement: Statement, frame: Frame) -> int:
        """Merge the frame's lanes after a statement; by how many there are fewer."""
        if not frame.weighed or frame.lanes.count < 2:
            return 0
        if id(statement) not in self.live.ends:
            return 0
        left, last = self.pause.get(id(statement), (0, 0))
        if left:
            self.pause[id(statement)] = left - 1, last
            return 0
        before = frame.lanes.count
        self.merge(frame, self.live.after[id(statement)], self.live.state[id(statement)])
        if frame.lanes.count == before:
            self.pause[id(statement)] = last, min(max(2 * last, 1), MOST_PAUSED)
        elif last:
            self.pause[id(statement)] = 0, 0
        self.saved += before - frame.lanes.count
        return before - frame.lanes.count

    def close(self) -> None:
        """Let go of what is remembered."""
        self.once.close()
        self.met.clear()

    def merge(self, frame: Frame, live: frozenset[str], part_of_state: frozenset[str]) -> None:
        """Merge the frame's lanes by what is live, and what of it is part of the state."""
        state: dict[str, PerLane] = {}
        averaged: dict[str, PerLane] = {}
        for name in (*live, *_hidden(frame), *((AGE,) if frame.outer is frame else ())):
            if frame.find(name) is None:
                continue
            value = frame.read(name)
            if isinstance(value, Ragged):
                return
            if isinstance(value, PerLane):
                if name in live and name not in part_of_state:
                    averaged[name] = value
                elif value.live and value.same is None:
                    return  # every lane has a value of its own
                else:
                    state[name] = value
        level = frame.read(LEVEL) if frame.has(LEVEL) else None
        if self.additive and isinstance(level, PerLane):
            averaged[LEVEL], level = level, None
        self._by_state(frame, state, averaged, level if isinstance(level, PerLane) else None)

    def _by_state(
        self, frame: Frame, state: dict[str, PerLane], averaged: dict[str, PerLane], level: PerLane | None
    ) -> None:
        lanes, weight = frame.lanes, frame.weight
        assert weight is not None
        device, what = weight.device, ("merge", *state)
        called = frame.activation.lanes
        base = called if frame.base or frame.parent is None else frame.parent.lanes
        if lanes.once is not None:
            state = {name: _as_before(lanes, value) for name, value in state.items()}
        found = lanes.again(what, lambda *_: self._merged(lanes, called, base, state, device), called, base, *state.values())
        if found.lanes.count == lanes.count:
            return
        size = None
        if level is not None:
            weight, size = likely(weight, level.raw, found.groups, found.lanes.count)
        total, alone = found.total(weight), None
        if averaged and bool((few := total <= least(weight)).any()):
            found = self._merged(lanes, called, base, state, device, few.index_select(0, found.groups))
            total, alone = found.total(weight), found.first
        kept = {**found.kept, **means(averaged, weight, found.groups, total, self.safe, alone)}
        for name in self.fixed.intersection(frame.values):
            value = frame.read(name)
            if isinstance(value, PerLane):
                kept[name] = value.rows_at(found.first)
        if size is not None:  # what weights have come to is kept as a logarithm: a product of thousands of likelihoods is 0
            reached = torch.where(total > least(total), total, 1.0).detach()
            kept[LEVEL], total = PerLane(size.index_select(0, found.first) + reached.log()), total / reached
        _go_on(frame, found.lanes, total, kept)

    def _merged(
        self, lanes: Lanes, called: Lanes, base: Lanes, state: Mapping[str, PerLane], device: torch.device,
        alone: Tensor | None = None,
    ) -> Merged:
        """The states that lanes are in, in an activation that was `called` on some; where they go on, they are lanes of `base`, and
        some may be kept `alone`."""
        columns = [column for value in state.values() for column in entries(value)]
        origin = lanes.map_to(called)
        if origin is not None and called.count > 1:
            columns.append(origin)
        if alone is not None:
            columns.append(torch.where(alone, torch.arange(1, lanes.count + 1, device=device), 0))
        groups, count = grouped(columns, lanes.count, device)
        if count == lanes.count and alone is None:
            return Merged(groups, groups, lanes, {})
        first = first_of_each(groups, count)
        index = lanes.map_to(base)
        onward = Lanes(count, base, first if index is None else index.index_select(0, first), True)
        return self._met(Merged(groups, first, onward, {name: value.rows_at(first) for name, value in state.items()}))

    def _met(self, states: Merged) -> Merged:
        """The same; where the program has been in these states before, with the very lanes and values of that time, so that what is
        computed from them need not be computed again."""
        lanes, kept = states.lanes, {name: value for name, value in states.kept.items() if not value.live}
        numbers = lanes.count + sum(value.raw.numel() for value in kept.values())
        if not self.returns or numbers > FEW_NUMBERS or states.groups.device.type != "cpu" or observed():
            return states
        assert lanes.index is not None
        key = lanes.parent, _content(PerLane(lanes.index)), *((name, _content(value)) for name, value in kept.items())
        known = self.met.get(key)
        if known is None:
            if len(self.met) >= MOST_MET:
                del self.met[next(iter(self.met))]
            self.met[key] = lanes, kept
            return states
        lanes, kept = known
        lanes.once = self.once
        return Merged(states.groups, states.first, lanes, {**states.kept, **kept})


def likely(weight: Tensor, level: Tensor, groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Weights times likelihoods, relative to the largest of each group, and the logarithm of that, both on the lanes."""
    known = level.detach()
    largest = torch.full((count,), -math.inf, dtype=known.dtype, device=known.device).scatter_reduce(0, groups, known, "amax")
    base = largest.clamp_min(torch.finfo(known.dtype).min).index_select(0, groups)  # nothing but minus infinities: any number
    return weight * torch.exp(level - base), base


def _hidden(frame: Frame) -> Iterator[str]:
    """What the loops around keep for themselves."""
    inner: Frame | None = frame
    while inner is not None:
        yield from [name for name in inner.values if name[0] == HIDDEN]
        inner = None if inner.base else inner.parent


def least(weight: Tensor) -> float:
    """Weights up to this one have lost their digits, and nothing can be divided by them."""
    facts = torch.finfo(weight.dtype)
    return facts.tiny / facts.eps


def means(
    values: dict[str, PerLane], weight: Tensor, groups: Tensor, total: Tensor, safe: bool, alone: Tensor | None = None
) -> dict[str, PerLane]:
    """The means of each group `[groups, *event]`; those of numbers are made together.  `safe`: one that is not finite does no harm
    where nobody asks for it.  `alone`: the first of each group, where some groups are single lanes that have next to no weight."""
    none = None if alone is None else total <= least(weight)
    over = total if none is None else torch.where(none, 1.0, total)

    def mean(rows: Tensor) -> Tensor:
        def wide(lanes: Tensor) -> Tensor:
            return lanes if rows.dim() == 1 else lanes.reshape(-1, *(1,) * (rows.dim() - 1))

        summed = rows.new_zeros(total.shape[0], *rows.shape[1:]).index_add(0, groups, multiply(rows, wide(weight), safe))
        found = divide(summed, wide(over), safe)
        return found if none is None or alone is None else torch.where(wide(none), rows.index_select(0, alone), found)

    rows = {name: value.raw if value.raw.is_floating_point() else value.raw.to(weight.dtype) for name, value in values.items()}
    numbers = [name for name, row in rows.items() if row.dim() == 1]
    found = {name: mean(row) for name, row in rows.items() if row.dim() > 1 or len(numbers) == 1}
    if len(numbers) > 1:
        found.update(zip(numbers, mean(torch.stack([rows[name] for name in numbers], 1)).unbind(1), strict=True))
    return {name: PerLane(found[name], value.event) for name, value in values.items()}


def _go_on(frame: Frame, lanes: Lanes, weight: Tensor, kept: dict[str, PerLane]) -> None:
    """Go on with the lanes of the states and their weights, and what is live on them; what is not is forgotten."""
    for name in set(frame.values).difference(kept):
        value = frame.read(name)
        if isinstance(value, PerLane):
            del frame.values[name]
        else:
            frame.values[name] = value, lanes
    frame.gathered.clear()
    frame.lanes, frame.weight = lanes, weight
    for name, rows in kept.items():
        frame.write(name, rows)


# ------------------------------------------------------------------------------------------------------- states
def _content(value: PerLane) -> Hashable:
    """What a small value without a derivative is, bit by bit."""
    return value.event, value.raw.dtype, value.raw.shape, value.raw.numpy().tobytes()


def _as_before(lanes: Lanes, value: PerLane) -> PerLane:
    """The very value that was met on these lanes before, if it is the same."""
    return value if value.live or value.numbers > FEW_NUMBERS else lanes.again(("content", _content(value)), lambda: value)


def entries(value: PerLane) -> list[Tensor]:
    """What tells the rows of a value apart: columns `[lanes]`, or one table `[lanes, entries]` of many."""
    if value.live:
        same = value.same
        return [torch.arange(value.raw.shape[0], device=value.raw.device) if same is None else same]
    rows = value.raw.detach().reshape(value.raw.shape[0], -1)
    return list(rows.unbind(1)) if rows.shape[1] <= WIDE else [rows]


def same_in(operands: Sequence[Held]) -> Tensor | None:
    """Which rows are the same of what is computed from operands, row by row; None where all of them may differ."""
    rows = [operand for operand in operands if isinstance(operand, PerLane)]
    if any(row.live and row.same is None for row in rows):
        return None
    if len(rows) == 1 and rows[0].live:
        return rows[0].same
    return grouped([column for row in rows for column in entries(row)], rows[0].raw.shape[0], rows[0].raw.device)[0]


class Tracked(Join):
    """A join after which it is known which rows are the same."""

    def __call__(self, values: list[Value]) -> Value:
        """The joined value."""
        found = super().__call__(values)
        if isinstance(found, PerLane) and found.live and found not in values:
            parts = [(value, lanes.count) for value, lanes in zip(values, self.parts, strict=True) if isinstance(value, Held)]
            found.told(lambda: self.same_among(parts))
        return found

    def same_among(self, parts: Sequence[tuple[Held, int]]) -> Tensor:
        """Rows of different parts are never the same."""
        found, begin = [], 0
        for value, lanes in parts:
            if isinstance(value, PerLane):
                numbers, count = grouped(entries(value), lanes, self.device)
            else:
                numbers, count = torch.zeros(lanes, dtype=torch.long, device=self.device), 1
            found.append(numbers + begin)
            begin += count
        together = torch.cat(found)
        return together if self.inverse is None else together.index_select(0, self.inverse)


def grouped(columns: Sequence[Tensor], lanes: int, device: torch.device) -> tuple[Tensor, int]:
    """Lanes with equal columns have one number `[lanes]`, from 0; and how many numbers there are."""
    key, states = torch.zeros(lanes, dtype=torch.long, device=device), 1
    for column in columns:
        numbers, count = _numbered(column)
        if count == 1:
            continue
        if states * count >= MOST_STATES:
            key, states = _compressed(key, states)
        key, states = key * count + numbers, states * count
    return _compressed(key, states)


def first_of_each(groups: Tensor, count: int) -> Tensor:
    """The first lane of each number `[count]`."""
    first = torch.full((count,), groups.shape[0], device=groups.device)
    return first.scatter_reduce_(0, groups, torch.arange(groups.shape[0], device=groups.device), "amin")


def _numbered(column: Tensor) -> tuple[Tensor, int]:
    """Equal entries have one number; and an upper bound of the numbers.  0 and -0 are two states: 1/x tells them apart."""
    bits = column.view(BITS[column.dtype]) if column.dtype in BITS else column
    if column.dim() > 1:
        rows, numbers = torch.unique(bits, dim=0, return_inverse=True)
        return numbers, rows.shape[0]
    if column.dtype == torch.bool:
        return column.long(), 2
    low, high = (float(end) for end in torch.aminmax(column))
    if bits is not column and low <= 0 <= high and int(bits.min()) == torch.iinfo(bits.dtype).min:  # there is a -0
        column = bits
    elif high - low < NARROW:
        numbers = (column - low).long()
        if not column.is_floating_point() or bool((numbers == column - low).all()):
            return numbers, int(high - low) + 1
    values, numbers = torch.unique(column, return_inverse=True)
    return numbers, values.shape[0]


def _compressed(key: Tensor, states: int) -> tuple[Tensor, int]:
    """The numbers that occur, as 0, 1, 2, ..."""
    if states <= max(DENSE * key.shape[0], NARROW >> 4):
        present = torch.zeros(states, dtype=torch.bool, device=key.device)
        present[key] = True
        numbers = present.cumsum(0)
        return numbers.index_select(0, key) - 1, int(numbers[-1])
    found, numbers = torch.unique(key, return_inverse=True)
    return numbers, found.shape[0]
