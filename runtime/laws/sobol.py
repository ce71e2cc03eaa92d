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

MOST_DIMENSIONS = torch.quasirandom.SobolEngine.MAXDIM
HALF = 2.0**-31  # half a cell of the generator's grid


class Points(torch.Generator):
    """Hands out the coordinates of scrambled points, one after another; without `dimensions` it only counts them."""

    def __new__(cls, *_: object) -> Points:
        return super().__new__(cls)

    def __init__(self, dimensions: int | None = None, runs: int = 0, seed: int = 0):
        self.used = 0
        self.table: Tensor | None = None
        if dimensions is not None:
            engine: Any = torch.quasirandom.SobolEngine(max(dimensions, 1), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
            self.table = engine.draw(runs, dtype=torch.float64) + HALF
        self.manual_seed(seed)

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The next coordinates inside (0, 1) `[runs, ...]`; inside also after rounding to the dtype."""
        count = math.prod(shape[1:])
        begin, self.used = self.used, self.used + count
        if self.table is None:
            return torch.full(shape, 0.4, dtype=dtype, device=device)
        noise = self.table[:, begin : self.used].reshape(shape).to(device, dtype)
        return noise.clamp(2.0**-25, 1 - 2.0**-24) if dtype == torch.float32 else noise
