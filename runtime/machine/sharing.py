"""Calls that are made once for all lanes in one state, where every outcome is enumerated.

What a function draws and gives hangs on its arguments and on the outer variables that it reads, and on nothing else.  So it is
called on one lane for each state of these, and what comes out, with the probabilities, are outcomes of every lane in that state,
as of a draw.  Of a result on which all results of the program depend linearly the mean is enough (`dsl/analysis/liveness.py`):
then a call splits no lanes at all.  What a call in known states gave is remembered.  So a recursion does as much as it has states.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from ...dsl.analysis.calls import drawing, weighing
from ...dsl.analysis.reads import outer_reads, set_in
from ...dsl.names.resolved import Resolved, Site
from ...dsl.syntax import Function
from ..lanes.frames import Frame
from ..lanes.lanes import Lanes
from ..lanes.merging import Merger, entries, first_of_each, grouped, least, means
from ..lanes.values import PerLane, Plain, Ragged, known_by
from .recall import content

MOST_NUMBERS = 2**24  # in the laws that are kept

Make = Callable[[list[Plain], Frame], Plain]  # calls the function on the lanes of a frame


@dataclass(frozen=True)
class CallLaw:
    """What a call gives: a `value` with a row for each outcome, the outcomes' states `[outcomes]` in ascending order and their
    probabilities `[outcomes]` (None: one outcome for each state), and the last site that split lanes."""

    value: Plain
    states: Tensor | None
    weight: Tensor | None
    site: Site | None


@dataclass
class Sharing:
    """The calls of one block."""

    resolved: Resolved
    merger: Merger
    kept: int = 0
    known: dict[Hashable, CallLaw] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.functions, self.reads = self.resolved.prepared.once("shared calls", None, self._text)

    def _text(self) -> tuple[frozenset[str], dict[str, list[str]]]:
        """The functions that draw and do not weigh the run, and the variables of the program that each function reads."""
        variables = set_in(self.resolved.program.body)
        reads = {name: sorted(reads & variables) for name, reads in outer_reads(self.resolved).items()}
        return drawing(self.resolved) - weighing(self.resolved), reads

    def call(self, machine: Any, function: Function, given: Sequence[Plain], frame: Frame, make: Make) -> Plain:
        """What a call gives on the frame's lanes, which it may split."""
        lanes, outer = frame.lanes, frame.call()
        outside = [outer.read(name) for name in self.reads[function.name] if outer.find(name) is not None]
        if any(isinstance(value, Ragged) for value in outside):
            return make(list(given), frame)
        all_given = [cast(Plain, value) for value in (*given, *outside)]
        decisive = [value for value in all_given if isinstance(value, PerLane)]
        if any(value.live and value.same is None for value in decisive):
            groups, count = torch.arange(lanes.count, device=machine.device), lanes.count
        else:
            columns = [column for value in decisive for column in entries(value)]
            groups, count = grouped(columns, lanes.count, machine.device)
        first = first_of_each(groups, count)
        rows = [value.rows_at(first) if isinstance(value, PerLane) else value for value in all_given]
        key = self._key(function, rows)
        law = None if key is None else self.known.get(key)
        if law is None:
            law = self._law(machine, function, rows[: len(given)], frame, lanes.restrict(first), make)
            if key is not None:
                self._keep(key, law)
        return self._outcomes(machine, law, groups, count, frame)

    def _law(
        self, machine: Any, function: Function, rows: list[Plain], frame: Frame, states: Lanes, make: Make
    ) -> CallLaw:
        """Call the function in the states."""
        at = Frame(states, frame, frame.activation, False, frame.outer)
        before = machine.lanes_made
        value = make(rows, at)
        machine.lanes_made = before
        weight, index = at.weight, at.lanes.map_to(states)
        if index is None or weight is None or not isinstance(value, PerLane):
            return CallLaw(value, None, None, None)
        if function.name not in self.merger.live.bent:
            total = weight.new_zeros(states.count).index_add(0, index, weight)
            if not bool((total <= least(weight)).any()):
                found = means({"": value}, weight, index, total, self.merger.safe)
                return CallLaw(found[""], None, None, None)
        if not value.live or value.same is not None:
            groups, count = grouped([index, *entries(value)], at.lanes.count, machine.device)
            first = first_of_each(groups, count)
            weight = weight.new_zeros(count).index_add(0, groups, weight)
            value, index = value.rows_at(first), index.index_select(0, first)
        order = torch.argsort(index, stable=True)
        return CallLaw(value.rows_at(order), index.index_select(0, order), weight.index_select(0, order), machine.last_split)

    def _outcomes(self, machine: Any, law: CallLaw, groups: Tensor, count: int, frame: Frame) -> Plain:
        """The outcomes of every lane, by the number of its state."""
        value = law.value
        if law.states is None or law.weight is None:
            return value.rows_at(groups) if isinstance(value, PerLane) else value
        each = torch.bincount(law.states, minlength=count)
        begin = each.cumsum(0) - each
        copies = each.index_select(0, groups)
        lanes = torch.arange(frame.lanes.count, device=machine.device).repeat_interleave(copies)
        ahead = (copies.cumsum(0) - copies).index_select(0, lanes)
        places = torch.arange(lanes.shape[0], device=machine.device) - ahead
        rows = begin.index_select(0, groups.index_select(0, lanes)) + places
        machine.split(law.site, frame, lanes, law.weight.index_select(0, rows))
        return cast(PerLane, value).rows_at(rows)

    def _key(self, function: Function, rows: Sequence[Plain]) -> Hashable:
        """What a call is known by; None where it is given something with a derivative."""
        if any(value.live for value in rows):
            return None
        raws = [content(value.raw) if isinstance(value.raw, Tensor) else known_by(value.raw) for value in rows]
        return function.name, *((type(value), value.shape, raw) for value, raw in zip(rows, raws, strict=True))

    def _keep(self, key: Hashable, law: CallLaw) -> None:
        self.kept += max(law.value.numbers, 1)
        if self.kept <= MOST_NUMBERS:
            self.known[key] = law


__all__ = ["Sharing"]
