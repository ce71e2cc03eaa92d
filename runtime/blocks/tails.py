"""Whether the spread between runs may be believed: how heavy are the tails of the gradient of a single run?

`x ~ Normal(theta, 1); y = abs(x)^(-0.5)` has the pathwise gradient `-0.5 sign(x) |x|^-1.5`, whose size exceeds t with a
probability that falls like `t^(-2/3)`: a tail index of 2/3, so there is no mean, and no number of runs helps.  With an index
up to 2 there is no variance and a standard error says little.  Two things are looked at, on deviations from a centre:

* the share of the largest run in the sum of squares.  While it is small the variance is made by many runs.
* Hill's (1975) estimate of the index from the k largest of n runs, k = 4 sqrt(n), at most n / 8 and 512.  It is 1 over
  the mean of the k *spacings* `i log(X_i / X_(i+1))`, which for a power law are independent, exponential, and equal in mean.
  Light tails look heavy while k is large, but their spacings shrink outwards.  So the slope of the spacings over `log(k/i)` is
  estimated too: 0 with standard deviation `1 / sqrt(k)` (relative to the mean) for a power law, 0.2 to 0.3 for a lognormal or a
  power of a normal.

A gradient is heavy when the share exceeds 0.03, the variance is made by fewer runs, (sum d^2)^2 / (sum d^4), than `FEW_RUNS`, the
index, and also the index carried on outwards along the slope (to `log(k/i) = 4`), stays below `LIMITS`, and the slope is below
`STEEPEST`.  The limits are stricter with few runs, where heavy and light differ little; under 200 runs nothing is said.  Numbers
that are mostly ties (gradients of counts, of rare events) are no power law: there the index is infinite.

Where the variance is infinite, a few runs make it whatever their number, so that many runs that look like a power law up to a
bound (the payoff of a barrier option times a score) are no reason to speak.  How often it speaks is in `docs/coverage.md`, made by
`benchmarks/tails.py`, together with the other warning, about few events (`moments.py`), which has what this one lets pass: tails
that are heavier than any power while runs are few (`exp(6*z)`), and few runs altogether.  That warning goes by K, the number of
runs that carry the spread: of an event, how often it was seen, and 12 are enough.  Of a heavy tail K is too large where the largest
runs have not come, and then the interval lies to one side; so where the variance itself is made by fewer than 12 runs, which is
far fewer than K in a tail (of an event both are the same), K must be larger (`scant`).

The centre is the median of the first 128 runs, fixed from then on, so that one huge run does not displace it; a centre that is
off by d blurs the index of tails that are not yet well beyond d, and the share refers to the spread about this centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..arrays.scalars import floats

Numbers = npt.NDArray[np.float64]
Place: TypeAlias = tuple[str, Any]  # result and parameter (None: the result itself)
KEPT = 512  # spacings that are looked at, at most
CENTRE_ROWS = 128
LEAST_FOR_INDEX = 8  # spacings
LEAST_FOR_VERDICT = 200  # runs
LEAST_SHARE = 0.03
OUTWARDS = 4.0  # log(k/i) to which the index is carried on; its mean over the spacings is 1
LIMITS = ((200, 1.1), (1000, 1.7), (10_000, 2.2))  # (runs, what the index must stay below)
STEEPEST = ((1000, 2.0), (10_000, 2.7))  # (runs, slope in standard deviations of that of a power law)
FEW_RUNS = ((1000, 12.0), (10_000, 40.0))  # (runs, from fewer than how many of them a heavy tail has its variance)
FEW_CARRIERS = 12.0  # runs that carry the spread of a gradient: with fewer its interval covers too little
FEW_IN_TAILS = ((40, 14.0), (200, 17.0), (2000, 20.0))  # (runs, the same where fewer than FEW_CARRIERS make the variance)
TIE = 1e-6  # relative difference below which two sizes are the same


@dataclass(frozen=True)
class Tail:
    """The Hill estimate of the tail index (inf: not a power law, or too few runs), the share of the largest run in the sum of
    squared deviations, whether the standard error cannot be trusted for it, and how many runs make the variance (inf: many)."""

    index: float
    largest_share: float
    heavy: bool
    runs: float = math.inf


LIGHT = Tail(math.inf, 0.0, False)


class TailWatch:
    """Takes in numbers of single runs block by block and keeps the largest deviations from a fixed centre."""

    def __init__(self) -> None:
        self.count = 0
        self.centre: Tensor | None = None
        self.squares: Tensor | None = None
        self.largest: Tensor | None = None  # float64 [at most KEPT + 1], descending

    def add(self, values: Tensor) -> None:
        """Take in a block `[runs, *shape]` of finite numbers; a run of several numbers counts by its distance to the centre."""
        values = values.detach()
        if self.centre is None:
            self.centre = values[:CENTRE_ROWS].median(0).values
        deviation = values - self.centre
        if deviation.dim() > 1:
            sizes = torch.linalg.vector_norm(deviation.flatten(1), dim=1, dtype=torch.float64)
        else:
            sizes = deviation.to(torch.float64).abs()
        self.count += sizes.shape[0]
        squares = torch.dot(sizes, sizes)
        self.squares = squares if self.squares is None else self.squares + squares
        candidates = sizes.topk(min(KEPT + 1, sizes.shape[0])).values
        if self.largest is not None:
            both = torch.cat([self.largest, candidates])
            candidates = both.topk(min(KEPT + 1, both.shape[0])).values
        self.largest = candidates

    def diagnosis(self) -> Tail:
        """What the runs so far say."""
        if self.squares is None or self.largest is None:
            return Tail(math.inf, 0.0, False)
        return judge(self.largest.cpu(), float(self.squares), self.count)


def far(parts: list[Tensor]) -> bool:
    """Whether one run may have more than `LEAST_SHARE` of the squared deviations `[runs, *shape]`: else no tail is heavy."""
    most = total = 0.0
    centre = parts[0][:CENTRE_ROWS].mean(0)
    for part in parts:
        deviation = part - centre
        if deviation.dim() == 1:
            low, high, norm = floats(*deviation.aminmax(), torch.linalg.vector_norm(deviation))
            largest = max(high, -low)
        else:
            sizes = torch.linalg.vector_norm(deviation.flatten(1), dim=1)
            largest, norm = floats(sizes.amax(), torch.linalg.vector_norm(sizes))
        most, total = max(most, largest), math.hypot(total, norm)  # their squares may be too large
    return not (most <= math.sqrt(LEAST_SHARE / 2) * total and math.isfinite(total))


def tail_of(parts: list[Tensor]) -> Tail:
    """What runs say that come in parts `[runs, *shape]`."""
    if not far(parts):
        return LIGHT
    watch = TailWatch()
    for part in parts:
        watch.add(part)
    return watch.diagnosis()


def judge(largest: Tensor, squares: float, count: int) -> Tail:
    """The verdict on `count` runs with this sum of squared deviations, of which the `largest` are given (descending)."""
    if not math.isfinite(squares):
        return Tail(0.0, 1.0, True)
    sizes = largest.numpy()
    most = float(sizes[0]) ** 2
    share = most / squares if squares > 0 else 0.0
    made_by = (squares / most) ** 2 / float(((sizes / sizes[0]) ** 4).sum()) if share > 0 else math.inf
    taken = min(int(4 * math.sqrt(count)), count // 8, KEPT)
    if taken < LEAST_FOR_INDEX or not sizes[taken] > 0:
        return Tail(math.inf, share, False, made_by)
    logs = np.log(sizes[: taken + 1])
    steps = logs[:-1] - logs[1:]
    if int((steps > TIE).sum()) < taken / 2:
        return Tail(math.inf, share, False, made_by)
    place, inward = _scale(taken)
    spacings = place * steps
    index = 1 / float(spacings.mean())
    slope = index * float((spacings * inward).mean())
    beyond = index * (1 + slope * (OUTWARDS - 1))
    within = max(index, beyond) < _between(LIMITS, count) and slope * math.sqrt(taken) < _between(STEEPEST, count)
    within = within and share > LEAST_SHARE and made_by < _between(FEW_RUNS, count)
    return Tail(index, share, within and count >= LEAST_FOR_VERDICT, made_by)


@lru_cache(16)
def _scale(taken: int) -> tuple[Numbers, Numbers]:
    """The numbers i of so many spacings, and 1 - log(k/i) over the mean of these."""
    place = np.arange(1.0, taken + 1)
    outward = np.log((taken + 0.5) / place)
    return place, 1 - outward / outward.mean()


def scant(carriers: float, tail: Tail, count: int) -> bool:
    """Whether so few of the runs carry a spread that it cannot be trusted."""
    return carriers < (FEW_CARRIERS if tail.runs >= FEW_CARRIERS else _between(FEW_IN_TAILS, count))


def _between(knots: tuple[tuple[int, float], ...], count: int) -> float:
    """Linear in log(count) between the knots, constant outside of them."""
    if count <= knots[0][0]:
        return knots[0][1]
    for (low, first), (high, second) in pairwise(knots):
        if count <= high:
            return first + (second - first) * math.log(count / low) / math.log(high / low)
    return knots[-1][1]
