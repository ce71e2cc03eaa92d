"""Whether the spreads between runs may be believed: what `tails.py` and the moments say of it, looked at where somebody asks.

A step of a training loop has no use for it, and it takes as long as the rest of a small answer.  So of few runs the numbers are
kept until then; of many it is looked at at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from .moments import Accumulator
from .settings import WATCHED_RUNS
from .tails import LIGHT, Place, Tail, scant, tail_of

MOST_KEPT = 2**17  # numbers of single runs that an answer holds until somebody asks

Believed = tuple[Mapping[Place, Tail], Mapping[tuple[str, str], float]]


class Spreads:
    """By result and parameter (None: the result itself), `tails`: those so heavy that the standard error cannot be trusted, and
    `few`: on how few runs it rests, where that is too few (0: on none, they are all alike)."""

    def __init__(self, look: Callable[[], Believed], later: bool = False):
        self._look: Callable[[], Believed] | None = look
        if not later:
            self._found  # noqa: B018

    @cached_property
    def _found(self) -> Believed:
        assert self._look is not None
        found, self._look = self._look(), None  # and what it was made of is let go
        return found

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled has been looked at."""
        return {"_found": self._found, "_look": None}

    @property
    def tails(self) -> Mapping[Place, Tail]:
        """Heavy ones."""
        return self._found[0]

    @property
    def few(self) -> Mapping[tuple[str, str], float]:
        """Runs that carry a spread."""
        return self._found[1]


@dataclass(frozen=True)
class Parts:
    """What the looks are at: moments of results and of their gradients, entry by entry, which results rest on `scored` draws, and
    whether there are `kinks`, or runs `forked`, in so many `runs`."""

    value: Mapping[str, Accumulator]
    gradient: Mapping[str, Mapping[str, Sequence[Accumulator]]]
    scored: Collection[str]
    kinks: bool
    forked: bool
    runs: int


def looked_for(parts: Parts, watched: Mapping[Place, list[Tensor]]) -> Believed:
    """What there is to say of them, and of the numbers of single runs that were `watched`."""
    tails = tails_of(watched)
    return heavy(tails), _few(parts, tails)


def tails_of(watched: Mapping[Place, list[Tensor]]) -> dict[Place, Tail]:
    """Of numbers of single runs, which come in blocks."""
    return {place: tail_of(rows) for place, rows in watched.items()}


def heavy(tails: Mapping[Place, Tail]) -> dict[Place, Tail]:
    """Those that are."""
    return {place: tail for place, tail in tails.items() if tail.heavy}


def _few(parts: Parts, tails: Mapping[Place, Tail]) -> dict[tuple[str, str], float]:
    """Where a gradient rests on so few runs that its spread cannot be trusted, and on how many.

    On none, where all gave the same and that tells nothing: with scores, the results are the same in each or all gradients are
    0 in each; with derivatives over `kinks`, a gradient is 0 in each, as on the flat side of one; where runs fork, all differ
    by the same from what they might have been, and hardly any differ from each other.
    """
    found: dict[tuple[str, str], float] = {}
    if parts.runs < 2:
        return found
    for name, rows in parts.gradient.items():
        empty = {parameter: all(entry.empty for entry in entries) for parameter, entries in rows.items()}
        blind = name in parts.scored and (parts.value[name].still or all(empty.values()))
        alike = parts.forked and parts.value[name].seldom
        for parameter, entries in rows.items():
            none = blind or (parts.kinks and empty[parameter]) or (alike and all(entry.still for entry in entries))
            carriers = 0.0 if none else min((entry.carriers for entry in entries), default=math.inf)
            if scant(carriers, tails.get((name, parameter), LIGHT), parts.runs):
                found[name, parameter] = carriers
    return found


def spread_of(rows: Tensor) -> tuple[Tail, float]:
    """Of numbers of single runs `[runs, *shape]` the tail, and how many carry the spread (0: all are the same; inf: enough)."""
    watched = Accumulator(tuple(rows.shape[1:]), cubing=True)
    watched.add(rows)
    carriers, tail = 0.0 if watched.still else watched.carriers, tail_of([rows[:WATCHED_RUNS]])
    return tail, carriers if scant(carriers, tail, len(rows)) else math.inf


def known(tails: Mapping[Place, Tail]) -> Spreads:
    """What has been looked at."""
    return Spreads(lambda: (tails, {}))
