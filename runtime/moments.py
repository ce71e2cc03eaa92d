"""Mean and spread of many numbers that come block by block, merged in float64 (Chan, Golub & LeVeque 1979)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Over the runs, float64 of one shape: the mean, its standard error, and the standard deviation of one run.

    A spread that cannot be known (of a single run) is nan.
    """

    mean: Tensor
    se: Tensor
    sd: Tensor


class Accumulator:
    """`count` entries so far, their `mean` and the sum of squared deviations `squares`."""

    def __init__(self, shape: tuple[int, ...], device: torch.device):
        self.count = 0
        self.mean = torch.zeros(shape, dtype=torch.float64, device=device)
        self.squares = torch.zeros(shape, dtype=torch.float64, device=device)
        self.least_squares: Tensor | None = None  # what the standard error must at least rest on

    def widen(self, values: Tensor) -> None:
        """Pseudo-values `[runs, *shape]` of all runs, whose spread the standard error must not fall below."""
        wide = values.detach().to(torch.float64)
        self.least_squares = ((wide - wide.mean(0)) ** 2).sum(0)

    def add(self, values: Tensor) -> None:
        """Take in a block `[runs, *shape]`.

        Deviations from the first row, in the block's own dtype: equal rows have a spread of exactly 0, and the row
        is within a few standard deviations of the mean, so that little cancels.
        """
        runs = values.shape[0]
        deviation = values.detach() - values[0].detach()
        shift = deviation.mean(0).to(torch.float64)
        squares = torch.dot(deviation, deviation) if deviation.dim() == 1 else (deviation * deviation).sum(0)
        spread = (squares.to(torch.float64) - runs * shift * shift).clamp_min(0.0)
        self._merge(runs, values[0].detach().to(torch.float64) + shift, spread)

    @property
    def finite(self) -> bool:
        """Whether every mean is a finite number."""
        return math.isfinite(float(self.mean.sum()))

    def add_constant(self, runs: int, value: Tensor) -> None:
        """Take in `runs` equal entries `[*shape]`."""
        self._merge(runs, value.detach().to(torch.float64), torch.zeros_like(self.squares))

    def _merge(self, runs: int, mean: Tensor, squares: Tensor) -> None:
        total = self.count + runs
        shift = mean - self.mean
        self.mean = self.mean + shift * (runs / total)
        self.squares = self.squares + squares + shift * shift * (self.count * runs / total)
        self.count = total

    def moments(self, exact: bool = False) -> Moments:
        """The moments so far; with `exact` the spread is known to be 0."""
        if exact:
            zero = torch.zeros_like(self.mean)
            return Moments(self.mean, zero, zero)
        if self.count < 2:
            unknown = torch.where(self.squares == 0, math.nan, math.nan)
            return Moments(self.mean, unknown, unknown)
        sd = (self.squares / (self.count - 1)).sqrt()
        spread = sd
        if self.least_squares is not None:
            spread = torch.maximum(sd, (self.least_squares / (self.count - 1)).sqrt())
        return Moments(self.mean, spread / math.sqrt(self.count), sd)
