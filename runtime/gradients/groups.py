"""Terms of a result on the lanes at the end, and the executions of score sites that the same terms depend on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..lanes.lanes import Lanes
from ..lanes.ledger import Execution, Summand, columns, named, view

RECENT = 4  # sums that are kept


@dataclass(slots=True, eq=False)
class Group:
    """Executions that the same terms depend on: sets of term numbers, as masks."""

    whole: int
    aligned: int
    baseline: str
    members: list[Execution] = field(default_factory=list)


def members(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class SubsetSums:
    """Sums of tensors by sets of their numbers, each built on a recent one where that helps; only ever by adding."""

    def __init__(self, value: Callable[[int], Tensor]):
        self.value = value
        self.recent: list[tuple[int, Tensor]] = []

    def of(self, mask: int) -> Tensor | None:
        """The sum over a set (None: it is empty)."""
        if not mask:
            return None
        base, total = 0, None
        for known, value in self.recent:
            if known & ~mask == 0 and known.bit_count() > base.bit_count():
                base, total = known, value
        for number in members(mask & ~base):
            own = self.value(number)
            total = own if total is None else total + own
        assert total is not None
        if mask != base:
            self.recent.append((mask, total))
            del self.recent[:-RECENT]
        return total


def gathered(terms: Sequence[Summand], lanes: Lanes) -> list[Summand]:
    """The terms that depend on anything, on the lanes at the end; those of one taint added up."""
    merged: dict[Hashable, Summand] = {}
    for term in terms:
        if not term.taint.all:
            continue
        value = view(term.value, term.lanes, lanes)
        key = (term.taint.key, term.reduced, tuple(value.shape[1:]))
        known = merged.get(key)
        merged[key] = Summand(value if known is None else known.value + value, lanes, term.taint, term.reduced)
    return list(merged.values())


def grouped(terms: list[Summand], executions: list[Execution]) -> list[Group]:
    """Executions by the terms that depend on them; those on which none does are left out."""
    if not terms or not executions:
        return []
    whole = columns([term.taint.whole for term in terms], len(executions))
    apart = [term.taint.aligned & ~term.taint.whole for term in terms]
    aligned = columns(apart, len(executions)) if any(apart) else [0] * len(executions)
    groups: dict[Hashable, Group] = {}
    for execution, of_whole, of_aligned in zip(executions, whole, aligned, strict=True):
        if of_whole | of_aligned:
            key = (named(of_whole), named(of_aligned), execution.baseline)
            if key not in groups:
                groups[key] = Group(of_whole, of_aligned, execution.baseline)
            groups[key].members.append(execution)
    return list(groups.values())


def column(term: Summand, entry: int) -> Tensor:
    """A term's part in one entry of the result `[lanes or 1]`."""
    flat = term.value.reshape(term.value.shape[0], -1)
    if term.reduced:
        return flat.sum(1)
    return flat[:, entry] if flat.shape[1] > 1 else flat[:, 0]


def at(term: Summand, entry: int) -> Tensor:
    """What each element of an aligned site has to do with one entry of the result `[lanes or 1, *batch]`."""
    if term.reduced:
        return term.value
    alone = torch.zeros_like(term.value).reshape(term.value.shape[0], -1)
    alone[:, entry] = term.value.reshape(term.value.shape[0], -1)[:, entry]
    return alone.reshape(term.value.shape)
