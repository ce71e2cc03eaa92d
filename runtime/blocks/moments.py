"""Mean and spread of many numbers that come block by block, merged in float64 (Chan, Golub & LeVeque 1979)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arrays.recording import recording
from ..arrays.scalars import floats


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
    """`count` entries so far, their `mean` and the sum of squared deviations `squares`; of scalars, Python numbers."""

    def __init__(self, shape: tuple[int, ...], extremes: bool = False):
        self.shape = shape
        self.extremes = extremes  # whether the largest squared deviation of a run is wanted
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

    def widen(self, values: Tensor) -> None:
        """Pseudo-values `[runs, *shape]` of all runs, whose spread the standard error must not fall below."""
        wide = values.detach().to(torch.float64)
        self.least_squares = ((wide - wide.mean(0)) ** 2).sum(0)

    def add(self, values: Tensor) -> None:
        """Take in a block `[runs, *shape]`."""
        values = values.detach()
        parts = _summed(values, self.extremes)
        if recording():
            self.pending = values.shape[0], parts
        else:
            self._settle(values.shape[0], parts)

    def _settle(self, runs: int, parts: tuple[Tensor, ...]) -> None:
        """Take in what `_summed` has made of a block, or the number that all its entries are."""
        if self.shape:
            self._settle_array(runs, [part.to(torch.float64) for part in parts])
            return
        first, shift, squares, *ends = floats(*parts) if len(parts) > 1 else (float(parts[0]), 0.0, 0.0)
        if ends:
            self.largest = max((end - shift) ** 2 for end in ends)
        self._merge(runs, first + shift, max(squares - runs * shift * shift, 0.0))

    def _settle_array(self, runs: int, parts: list[Tensor]) -> None:
        if len(parts) == 1:
            self._merge(runs, parts[0], torch.zeros_like(parts[0]))
            return
        first, shift, squares, *ends = parts
        if ends:
            self.largest = torch.maximum(*((end - shift) ** 2 for end in ends))
        self._merge(runs, first + shift, (squares - runs * shift * shift).clamp_min(0.0))

    def refilled(self, tensors: Iterator[Tensor]) -> Accumulator:
        """The same of another block, whose sums are the next of the tensors."""
        assert self.pending is not None
        runs, parts = self.pending
        other = Accumulator(self.shape, self.extremes)
        other._settle(runs, tuple(next(tensors) for _ in parts))
        return other

    @property
    def finite(self) -> bool:
        """Whether every mean is a finite number."""
        return self.pending is not None or math.isfinite(self.mean if isinstance(self.mean, float) else float(self.mean.sum()))

    def add_constant(self, runs: int, value: Tensor) -> None:
        """Take in `runs` equal entries `[*shape]`."""
        if recording():
            self.pending = runs, (value.detach(),)
        else:
            self._settle(runs, (value.detach(),))

    def to(self, device: torch.device) -> Accumulator:
        """The same on another device."""
        moved = copy.copy(self)
        for name in ("mean", "squares", "largest", "least_squares"):
            part = getattr(self, name)
            setattr(moved, name, part.to(device) if isinstance(part, Tensor) else part)
        return moved

    def merge(self, other: Accumulator) -> None:
        """Take in what another one has."""
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

    @property
    def share(self) -> float:
        """The part that the largest run has in the sum of squared deviations, at most over the entries; nan: all are equal."""
        squares = torch.as_tensor(self.squares, dtype=torch.float64)
        parts = torch.as_tensor(self.largest, dtype=torch.float64) / squares
        return float(parts.max()) if parts.numel() else 0.0

    def moments(self, exact: bool = False) -> Moments:
        """The moments so far; with `exact` the spread is known to be 0."""
        mean, squares = _told(self.mean), _told(self.squares)
        if exact:
            zero = torch.zeros_like(mean)
            return Moments(mean, zero, zero)
        if self.count < 2:
            unknown = torch.full_like(mean, math.nan)
            return Moments(mean, unknown, unknown)
        sd = squares.div(self.count - 1).sqrt_()
        spread = sd
        if self.least_squares is not None:
            spread = torch.maximum(sd, (self.least_squares.cpu() / (self.count - 1)).sqrt())
        if self.means:
            return Moments(mean, torch.stack(self.means).std(0) / math.sqrt(len(self.means)), sd)
        return Moments(mean, spread / math.sqrt(self.count), sd)


def _told(number: Tensor | float) -> Tensor:
    """A number or an array for the caller."""
    return number.cpu() if isinstance(number, Tensor) else torch.tensor(number, dtype=torch.float64)


def _summed(values: Tensor, extremes: bool) -> tuple[Tensor, ...]:
    """Of a block `[runs, *shape]`: its first row; of the deviations from it the mean, the sum of squares and, if wanted, the ends.

    In the block's own dtype: equal rows have a spread of exactly 0, and the row is within a few standard deviations of
    the mean, so that little cancels.
    """
    first = values[0]
    apart = values - first
    squares = torch.dot(apart, apart) if apart.dim() == 1 and not recording() else (apart * apart).sum(0)
    return first, apart.mean(0), squares, *(apart.aminmax(dim=0) if extremes else ())
