"""Randomised quasi-Monte Carlo: scrambled Sobol points in place of random numbers (Owen 1997; L'Ecuyer & Lemieux 2002).

A point has a coordinate for every number that a run draws, so all runs must draw the same numbers in the same order, each as a
monotone function of one uniform.  The points of one scrambling fill the cube evenly, and a mean over them is far closer to the
integral of a smooth function than one over random points; but they are not independent, so the standard error comes from
`LEAST_REPLICATES` or more scramblings: that of the mean of their means.  A replicate is a block.  Scores have no baseline here: one
made of the other points of a scrambling is not independent of the score, and the points make up for it by themselves.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..arrays.kernels import less
from .noise import Coin, Fresh

MOST_DIMENSIONS = torch.quasirandom.SobolEngine.MAXDIM
HALF = 2.0**-31  # half a cell of the generator's grid


class Sobol(Fresh):
    """Hands out the coordinates of scrambled points, one after another; without `dimensions` it only counts them."""

    even = True

    def __init__(self, dimensions: int | None = None, runs: int = 0, seed: int = 0):
        super().__init__(torch.Generator().manual_seed(seed))
        self.used = 0
        self.table: Tensor | None = None
        if dimensions is not None:
            engine: Any = torch.quasirandom.SobolEngine(max(dimensions, 1), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
            self.table = engine.draw(runs, dtype=torch.float64) + HALF

    def uniform(self, shape: Shape, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The next coordinates inside (0, 1) `[runs, ...]`; inside also after rounding to the dtype."""
        kind = dtype or like.dtype
        count = math.prod(shape[1:])
        begin, self.used = self.used, self.used + count
        if self.table is None:
            return torch.full(shape, 0.4, dtype=kind, device=like.device)
        noise = self.table[:, begin : self.used].reshape(shape).to(like.device, kind)
        return noise.clamp(2.0**-25, 1 - 2.0**-24) if kind == torch.float32 else noise

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        quantile: Tensor = torch.special.ndtri(self.uniform(shape, like, torch.float64))
        return quantile.to(like.dtype)

    def cauchy(self, shape: Shape, like: Tensor) -> Tensor:
        return (math.pi * (self.uniform(shape, like, torch.float64) - 0.5)).tan().to(like.dtype)

    def coins(self, shape: Shape, chance: Tensor, made: Coin | None) -> Tensor:
        return less(self.uniform(shape, chance, torch.float64), chance.detach(), chance.dtype)

    def rewind(self) -> None:
        super().rewind()
        self.used = 0
