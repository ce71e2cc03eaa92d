"""Mean and spread of many numbers that come block by block, merged in float64 (Chan, Golub & LeVeque 1979; Pebay 2008).

A baseline of the mean of the other runs ties them together: of T = mean (Q_i - b_i) S_i, the covariance of what is at stake with
the score, the terms of second order have variance 2 T^2 / n^2 where those of the first order vanish (`b ~ Bernoulli(0.5)`), so
that is added to the square of the standard error (`tied`); of a regression, what its coefficient costs (`charge`).

The third moment tells how many runs the spread rests on.  With d the deviations from the mean, K = (sum d^2)^3 / (sum d^3)^2 is k
where an event has been seen k times, infinite where all is symmetric, and n / skewness^2 in general; and an interval of Student's t
covers less than it says by an amount of the order 1/K (Hall 1992, section 3.5).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from ..arrays.private import observed
from ..arrays.scalars import ends, floats
from .tails import FEW_CARRIERS

SMALL, LARGE = 1e-28, 1e30  # sums of squares that float32 holds with all their digits
FINEST = 2.0**-50  # of the mean: what sums in float64 are right to
ROUNDING = 1e-6  # of the mean: a spread that arithmetic alone may make
PIECE = 2**17  # numbers of an array that are taken at once


@dataclass(frozen=True)
class Moments:
    """Over the runs, float64 of one shape, in the memory of the CPU: the mean, its standard error, and the standard deviation of
    one run.

    A spread that cannot be known (of a single run) is nan.
    """

    mean: Tensor
    se: Tensor
    sd: Tensor


class Accumulator:
    """`count` entries so far, their `mean`, the sum of squared deviations `squares` and, of the first `cubed` of them, of their
    cubes; of scalars, Python numbers."""

    def __init__(self, shape: tuple[int, ...], extremes: bool = False, cubing: bool = False, tied: bool = False):
        self.shape = shape
        self.extremes = extremes  # whether the largest squared deviation of a run is wanted
        self.cubing = cubing  # whether the cubes are
        self.tied = tied
        self.cost: Tensor | float = 0.0  # variance of the sum that the deviations do not show
        self.cubes: Tensor | float = 0.0
        self.cubed = 0
        self.largest: Tensor | float = 0.0
        self.means: list[Tensor] = []  # of independent replicates of equal size, on which the standard error rests
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0
        self.least_squares: Tensor | None = None  # what the standard error must at least rest on
        self.pending: tuple[int, tuple[Tensor, ...]] | None = None  # of a block that is being written down (`recorder.py`)

    def replicate(self) -> None:
        """These entries are one replicate; its entries are not independent."""
        self.means = [torch.as_tensor(self.mean, dtype=torch.float64).cpu()]

    def correct(self, pseudo: Sequence[Tensor | None], costs: Sequence[Tensor | None], place: int) -> None:
        """Take in what single runs do not show, where it is known: a jackknife's pseudo-values, and what baselines cost."""
        if pseudo and (values := pseudo[place]) is not None:
            self.widen(values)
        if costs:
            self.charge(costs[place])

    def widen(self, values: Tensor) -> None:
        """Pseudo-values `[runs, *shape]` of all runs, whose spread the standard error must not fall below."""
        wide = values.detach().to(torch.float64)
        self.least_squares = ((wide - wide.mean(0)) ** 2).sum(0)

    def charge(self, cost: Tensor | None) -> None:
        """Let a block's sum have so much more variance than the deviations show."""
        if cost is not None and not observed():
            self.cost = self.cost + (cost.to(torch.float64) if self.shape else float(cost))

    def add(self, values: Tensor) -> None:
        """Take in a block `[runs, *shape]`."""
        values = values.detach()
        parts = _summed(values, self.extremes, self.cubing)
        if observed():
            self.pending = values.shape[0], parts
        else:
            self._settle(values.shape[0], parts)

    def _settle(self, runs: int, parts: tuple[Tensor, ...]) -> None:
        """Take in what `_summed` has made of a block, or the number that all its entries are."""
        if self.shape:
            self._settle_parts(runs, [part.to(torch.float64) for part in parts])
        else:
            self._settle_parts(runs, floats(*parts) if len(parts) > 1 else [float(parts[0])])

    def _settle_parts(self, runs: int, parts: Sequence[Any]) -> None:
        first, *rest = parts
        self.cubed = runs if self.cubing else 0
        if not rest:
            self._merge(runs, first, 0.0 if isinstance(first, float) else torch.zeros_like(first))
            return
        shift, squares, *more = rest
        if self.cubing:
            self.cubes = more[0] - 3 * shift * squares + 2 * runs * shift * shift * shift
        if self.extremes:
            low, high = more[-2:]
            self.largest = _larger((low - shift) * (low - shift), (high - shift) * (high - shift))
        self._merge(runs, first + shift, _larger(squares - runs * shift * shift, 0.0))
        if self.tied:
            self.cost = 2 * self.mean * self.mean

    def refilled(self, tensors: Iterator[Tensor]) -> Accumulator:
        """The same of another block, whose sums are the next of the tensors."""
        assert self.pending is not None
        runs, parts = self.pending
        other = Accumulator(self.shape, self.extremes, self.cubing, self.tied)
        other._settle(runs, tuple(next(tensors) for _ in parts))
        return other

    @property
    def finite(self) -> bool:
        """Whether every mean is a finite number."""
        return self.pending is not None or math.isfinite(self.mean if isinstance(self.mean, float) else float(self.mean.sum()))

    def add_constant(self, runs: int, value: Tensor) -> None:
        """Take in `runs` equal entries `[*shape]`."""
        if observed():
            self.pending = runs, (value.detach(),)
        else:
            self._settle(runs, (value.detach(),))

    def to(self, device: torch.device) -> Accumulator:
        """The same on another device."""
        moved = copy.copy(self)
        for name in ("mean", "squares", "cubes", "largest", "least_squares", "cost"):
            part = getattr(self, name)
            setattr(moved, name, part.to(device) if isinstance(part, Tensor) else part)
        return moved

    def merge(self, other: Accumulator) -> None:
        """Take in what another one has."""
        self._merge_cubes(other)
        self.cost = self.cost + other.cost
        self._merge(other.count, other.mean, other.squares)
        self.means = self.means + other.means
        if self.extremes:
            self.largest = torch.maximum(torch.as_tensor(self.largest), torch.as_tensor(other.largest))
        if other.least_squares is not None:
            self.least_squares = other.least_squares

    def _merge(self, runs: int, mean: Tensor | float, squares: Tensor | float) -> None:
        if not self.count:
            self.count, self.mean, self.squares = runs, mean, squares
            return
        total = self.count + runs
        shift = mean - self.mean
        self.mean = self.mean + shift * (runs / total)
        self.squares = self.squares + squares + shift * shift * (self.count * runs / total)
        self.count = total

    def _merge_cubes(self, other: Accumulator) -> None:
        """To be called before the rest is merged."""
        if not other.cubed:
            return
        cubes = self.cubes + other.cubes
        if self.cubed and self.cubed == self.count and other.cubed == other.count:
            mine, theirs = self.count, other.count
            total, shift = mine + theirs, other.mean - self.mean
            cubes = cubes + 3 * shift * (mine * other.squares - theirs * self.squares) / total
            cubes = cubes + shift * shift * shift * (mine * theirs * (mine - theirs) / total**2)
        self.cubes, self.cubed = cubes, self.cubed + other.cubed

    @property
    def carriers(self) -> float:
        """K, the number of runs that the spread rests on: the least over the entries that vary (inf: it is not known)."""
        if not self.cubed or self.means:
            return math.inf
        if isinstance(self.squares, float) and isinstance(self.cubes, float) and isinstance(self.mean, float):
            if not math.isfinite(self.cubes) or not self.cubes or self.squares <= self.count * (ROUNDING * self.mean) ** 2:
                return math.inf
            return float((self.squares / abs(self.cubes * (self.count / self.cubed)) ** (2 / 3)) ** 3)
        squares, cubes, mean = _entries(self.squares, self.cubes, self.mean)
        known = (squares > self.count * (ROUNDING * mean) ** 2) & (cubes != 0) & numpy.isfinite(cubes)
        squares, cubes = squares[known], cubes[known]
        if not squares.size:
            return math.inf
        return float((squares / abs(cubes * (self.count / self.cubed)) ** (2 / 3)).min() ** 3)

    @property
    def still(self) -> bool:
        """Whether all entries were equal."""
        return not (self.squares.any() if isinstance(self.squares, Tensor) else self.squares)

    @property
    def seldom(self) -> bool:
        """Whether few of the entries differ from the others, if any does."""
        return self.still or self.carriers < FEW_CARRIERS

    @property
    def empty(self) -> bool:
        """Whether all entries were 0."""
        return self.still and not (self.mean.any() if isinstance(self.mean, Tensor) else self.mean)

    @property
    def share(self) -> float:
        """The part that the largest run has in the sum of squared deviations, at most over the entries; nan: all are equal."""
        squares = torch.as_tensor(self.squares, dtype=torch.float64)
        parts = torch.as_tensor(self.largest, dtype=torch.float64) / squares
        return float(parts.max()) if parts.numel() else 0.0

    def moments(self, exact: bool = False) -> Moments:
        """The moments so far; with `exact` the spread is known to be 0."""
        mean = _told(self.mean)
        if exact:
            zero = torch.zeros_like(mean)
            return Moments(mean, zero, zero)
        if self.count < 2:
            unknown = torch.full_like(mean, math.nan)
            return Moments(mean, unknown, unknown)
        spread = sd = self._spread(self.squares)
        if self.means:
            return Moments(mean, torch.stack(self.means).std(0) / math.sqrt(len(self.means)), sd)
        if isinstance(self.cost, Tensor) or self.cost:
            spread = self._spread(self.squares + self.cost * ((self.count - 1) / self.count))
        if self.least_squares is not None:
            spread = torch.maximum(spread, (self.least_squares.cpu() / (self.count - 1)).sqrt())
        se = spread / math.sqrt(self.count)
        return Moments(mean, self._no_finer(se, mean) if self._fine() else se, sd)

    def _fine(self) -> bool:
        """Whether some spread, which is not 0, makes an error below the rounding of the mean."""
        least = self.count * (self.count - 1) * FINEST**2
        if isinstance(self.squares, float) and isinstance(self.mean, float):
            return 0 < self.squares < least * self.mean * self.mean
        squares, mean = _entries(self.squares, self.mean)
        return bool(((squares > 0) & (squares < least * mean * mean)).any())

    @staticmethod
    def _no_finer(se: Tensor, mean: Tensor) -> Tensor:
        """A standard error that is not 0 is at least the rounding of the mean."""
        return torch.where(se > 0, torch.maximum(se, mean.abs() * FINEST), se)

    def _spread(self, squares: Tensor | float) -> Tensor:
        """The standard deviation of one run, from a sum of squares."""
        if isinstance(squares, Tensor):
            return squares.cpu().div(self.count - 1).sqrt_()
        return _told(squares / (self.count - 1)).sqrt_()  # as torch rounds a root


def _told(number: Tensor | float) -> Tensor:
    """A number or an array for the caller."""
    return number.cpu() if isinstance(number, Tensor) else torch.full((), number, dtype=torch.float64)


def _entries(*parts: Tensor | float) -> Any:
    """Numbers and arrays for numpy, a row of entries each."""
    first, *rest = parts
    if isinstance(first, Tensor) and all(isinstance(part, Tensor) and part.shape == first.shape for part in rest):
        return torch.stack(parts).cpu().numpy().reshape(len(parts), -1)  # type: ignore[arg-type]
    arrays = (numpy.asarray(torch.as_tensor(part).cpu()) for part in parts)
    return numpy.stack(numpy.broadcast_arrays(*arrays)).reshape(len(parts), -1)


def _larger(one: Any, other: Any) -> Any:
    """The larger one of two numbers, entry by entry of two arrays."""
    if isinstance(one, Tensor):
        return torch.maximum(one, other) if isinstance(other, Tensor) else one.clamp_min(other)
    return max(one, other)


def _out_of_range(apart: Tensor, squares: Tensor) -> bool:
    """Whether float32 has squares of deviations `[runs, *shape]` as 0, or as infinite, though these are neither."""
    if squares.dim() == 0:
        return not SMALL < squares.item() < LARGE and bool((apart != 0).any()) and bool(torch.isfinite(apart).all())
    least, most = ends(squares) if squares.numel() else (1.0, 1.0)
    if least > SMALL and most < LARGE:
        return False
    doubted = (squares <= SMALL) | (squares >= LARGE)
    return bool(doubted.any()) and bool(((apart != 0).any(0) & torch.isfinite(apart).all(0) & doubted).any())


def _summed(values: Tensor, extremes: bool, cubing: bool) -> tuple[Tensor, ...]:
    """Of a block `[runs, *shape]`: its first row; of the deviations from it the mean, the sum of squares and, if wanted, the sum
    of cubes and the ends.

    In the block's own dtype: equal rows have a spread of exactly 0, and the row is within a few standard deviations of
    the mean, so that little cancels.  Large arrays are taken piece by piece, which stays in the cache of a CPU.
    """
    first = values[0]
    rows = PIECE // max(first.numel(), 1)
    if values.dim() == 1 or values.shape[0] <= 2 * rows or not rows or not values.is_cpu or observed():
        parts = _deviations(values, first, extremes, cubing)
    else:
        parts = None
        for piece in torch.split(values, rows):
            more = _deviations(piece, first, extremes, cubing)
            parts = more if parts is None or more is None else _together(parts, more, extremes)
            if parts is None:
                break
    if parts is None:
        return _summed(values.double(), extremes, cubing)
    return first, parts[0] / values.shape[0], *parts[1:]


def _deviations(values: Tensor, first: Tensor, extremes: bool, cubing: bool) -> list[Tensor] | None:
    """Of deviations from a row the sum, and the rest; None where float32 does not hold their squares."""
    apart = values - first
    flat = apart.dim() == 1 and not observed()
    squared = None if flat and not cubing else apart * apart
    squares = torch.dot(apart, apart) if flat or squared is None else squared.sum(0)
    if values.dtype == torch.float32 and not observed() and _out_of_range(apart, squares):
        return None
    parts = [apart.sum(0), squares]
    if cubing and squared is not None:
        cubed = squared * apart if observed() else squared if flat else squared.mul_(apart)
        parts.append(torch.dot(cubed, apart) if flat else cubed.sum(0))
    return [*parts, *(apart.aminmax(dim=0) if extremes else ())]


def _together(parts: list[Tensor], more: list[Tensor], extremes: bool) -> list[Tensor]:
    """Those of two pieces."""
    sums = len(parts) - 2 * extremes
    both = [one + other for one, other in zip(parts[:sums], more[:sums], strict=True)]
    if not extremes:
        return both
    return [*both, torch.minimum(parts[-2], more[-2]), torch.maximum(parts[-1], more[-1])]
