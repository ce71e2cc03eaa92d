"""How far an exact answer may be off for what was left out of it (`runtime/lanes/endings.py`).

Let M and L be what the lanes of the part before the last, and of the last part of what was kept, contribute to a result or to a
derivative.  If the rest goes on shrinking as from M to L, it adds up to at most L q / (1 - q), q = L / M (the geometric series).
Where q is not well below 1, nothing can be said, and the answer is not exact: `E[2^n]` of a fair coin's waiting time has no value.

What was left of a loop must also be negligible by itself, times the largest result that was seen: its probability, and the
derivative of that (a lane of probability 0 may be what becomes possible).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..arrays.private import pull
from ..lanes.lessons import TooManyLanes
from ..machine.machine import Outcome

SHRINKS = 0.5  # the largest q
MOST, EPSILON = 1e-10, 2.0**-52  # of an error, and the least that is said
MOST_ENTRIES = 16  # of a result that are looked at one by one


def remainder(
    outcome: Outcome, values: Sequence[Tensor], points: Sequence[Tensor], sizes: Sequence[Sequence[float]] | None = None
) -> float:
    """The largest relative error of all results `[lanes, *event]` and of their derivatives in the `points`, which are of these
    `sizes` (None: it is found out).  TooManyLanes where that is too much for an exact answer, or the rest does not shrink."""
    assert outcome.weight is not None and outcome.age is not None
    count = outcome.weight.shape[0]
    age = outcome.age.expand(count)
    worst, rests = 0.0, _rests(outcome, points)
    for number, value in enumerate(values):
        flat = value.expand(count, *value.shape[1:]).reshape(count, -1)
        known = None if sizes is None else sizes[number]
        for column in flat.unbind(1) if flat.shape[1] <= MOST_ENTRIES else [flat.mean(1)]:
            most = float(column.detach().abs().max()) if count else 0.0
            for (total, parts), rest in zip(_contributions(outcome.weight, column, age, points, known), rests, strict=False):
                worst = max(worst, _relative(total, *parts), _share(rest * most, total))
    if worst > MOST:
        raise TooManyLanes(outcome.cuts[-1].site, "there is no end of them, and what is left out does not become negligible")
    return max(worst, EPSILON)


def _rests(outcome: Outcome, points: Sequence[Tensor]) -> list[float]:
    """The probability of what was left of loops, and the size of its derivative in each point."""
    found = [0.0] * (1 + len(points))
    for cut in outcome.cuts:
        found[0] += cut.rest
        if cut.mass is not None and cut.mass.requires_grad and points:
            for place, size in enumerate(_pulled(cut.mass, points, torch.ones_like(cut.mass)), start=1):
                found[place] += size
    return found


def _share(part: float, total: float) -> float:
    return 0.0 if part == 0 else part / total if total > 0 else math.inf


def _contributions(
    weight: Tensor, value: Tensor, age: Tensor, points: Sequence[Tensor], sizes: Sequence[float] | None
) -> Iterator[tuple[float, tuple[float, float]]]:
    """Of the value and of each derivative: the size of all of it, and of the two last parts."""
    lanes = weight * value
    amounts = lanes.detach().abs()
    parts = float(amounts[age == 1].sum()), float(amounts[age == 2].sum())
    yield float(amounts.sum()), parts
    if not lanes.requires_grad or not points:
        return
    before, last = (_pulled(lanes, points, (age == part).to(age.dtype)) for part in (1, 2))
    sizes = _pulled(lanes, points, torch.ones_like(age)) if sizes is None else sizes
    yield from zip(sizes, zip(before, last, strict=True), strict=True)


def _pulled(lanes: Tensor, points: Sequence[Tensor], share: Tensor) -> list[float]:
    """The size of the derivative of what some lanes contribute, in each point."""
    found = pull([lanes], points, [share])
    return [0.0 if entry is None or not entry.numel() else float(entry.abs().max()) for entry in found]


def _relative(total: float, before: float, last: float) -> float:
    """The bound of the rest, relative to the whole."""
    if last == 0:
        return 0.0
    q = last / before if before > 0 else math.inf
    if not q < SHRINKS:
        return 0.0 if last < 1e-30 * total else math.inf
    return _share(last * q / (1 - q), total)
