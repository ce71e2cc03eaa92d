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

A gradient is heavy when the share exceeds 0.03, the index, and also the index carried on outwards along the slope (to
`log(k/i) = 4`), stays below `LIMITS`, and the slope is below `STEEPEST`.  Both limits are stricter with few runs, where heavy and
light differ little; under 200 runs nothing is said.  Numbers that are mostly ties (gradients of counts, of rare events) are no
power law: there the index is infinite.

How often it speaks, simulated with 200 / 1,000 / 10,000 / 1,000,000 runs (1,000 repetitions, 40 for the last column).  Heavy:
`|x|^-1.5` 0.84 / 0.98 / 0.99+ / all; Cauchy 0.42 / 0.98 / 0.99 / all; Student with 1.5 degrees 0.03 / 0.61 / 0.99+ / all;
Pareto 1.5 0.12 / 0.72 / 0.97 / 0.98.  At an index of exactly 2, 0 / 0 to 0.07 / 0.65 to 0.7 / 0.6 to 0.75.  Light (2,000 to 10,000
repetitions up to 10,000 runs; for 1,000,000 runs 4,000 of the smooth heavier ones, 30 of the others): not once for the normal, its
square, the exponential, the uniform, Student with 5 degrees, constants, two-valued, Poisson and mostly-zero gradients; lognormal
(sigma 1) 0.0004 / 0.0009 / 0 / 0, normal^3 0 / 0.0002 / 0 / 0.  It is wrong more often for the fourth power of a normal,
0.02 / 0.07 / 0.014 / 0, and for the score gradient `x^2 (1 - x)` of an exponential, 0.20 / 0.08 / 0.05 / 0: with so few runs they
cannot be told from a power law, and there, too, the variance rests on a few of them.

The centre is the median of the first 128 runs, fixed from then on, so that one huge run does not displace it; a centre that is
off by d blurs the index of tails that are not yet well beyond d, and the share refers to the spread about this centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..arrays.scalars import floats

KEPT = 512  # spacings that are looked at, at most
CENTRE_ROWS = 128
LEAST_FOR_INDEX = 8  # spacings
LEAST_FOR_VERDICT = 200  # runs
LEAST_SHARE = 0.03
OUTWARDS = 4.0  # log(k/i) to which the index is carried on; its mean over the spacings is 1
LIMITS = ((200, 1.1), (1000, 1.7), (10_000, 2.2))  # (runs, what the index must stay below)
STEEPEST = ((1000, 2.0), (10_000, 2.7))  # (runs, slope in standard deviations of that of a power law)
TIE = 1e-6  # relative difference below which two sizes are the same


@dataclass(frozen=True)
class Tail:
    """The Hill estimate of the tail index (inf: not a power law, or too few runs), the share of the largest run in the sum of
    squared deviations, and whether the standard error cannot be trusted for it."""

    index: float
    largest_share: float
    heavy: bool


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
        most = max(most, largest**2)
        total += norm**2
    return not most <= LEAST_SHARE / 2 * total


def judge(largest: Tensor, squares: float, count: int) -> Tail:
    """The verdict on `count` runs with this sum of squared deviations, of which the `largest` are given (descending)."""
    if not math.isfinite(squares):
        return Tail(0.0, 1.0, True)
    share = float(largest[0]) ** 2 / squares if squares > 0 else 0.0
    taken = min(int(4 * math.sqrt(count)), count // 8, KEPT)
    if taken < LEAST_FOR_INDEX or not float(largest[taken]) > 0:
        return Tail(math.inf, share, False)
    logs = largest[: taken + 1].log()
    steps = logs[:-1] - logs[1:]
    if int((steps > TIE).sum()) < taken / 2:
        return Tail(math.inf, share, False)
    place = torch.arange(1, taken + 1, dtype=torch.float64)
    spacings = place * steps
    outward = ((taken + 0.5) / place).log()
    outward = outward / outward.mean()
    index = 1 / float(spacings.mean())
    slope = index * float((spacings * (1 - outward)).mean())
    beyond = index * (1 + slope * (OUTWARDS - 1))
    within = max(index, beyond) < _between(LIMITS, count) and slope * math.sqrt(taken) < _between(STEEPEST, count)
    return Tail(index, share, within and count >= LEAST_FOR_VERDICT and share > LEAST_SHARE)


def _between(knots: tuple[tuple[int, float], ...], count: int) -> float:
    """Linear in log(count) between the knots, constant outside of them."""
    if count <= knots[0][0]:
        return knots[0][1]
    for (low, first), (high, second) in pairwise(knots):
        if count <= high:
            return first + (second - first) * math.log(count / low) / math.log(high / low)
    return knots[-1][1]
