"""Noise that coupled lanes share: where several lanes of one run execute the same call of a site together, they draw the same.

What is made of uniform or normal noise is the same function of the same noise; a gamma, a count or a draw by torch's own class is
copied where the arguments agree, and independent where they do not.  A lane that is alone in a branch, or in a round of a
loop, draws by itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..arrays.kernels import less
from ..laws.noise import Coin, Noise
from .lanes import Lanes


class Common(Noise):
    """The noise of a block whose lanes are coupled, as another kind of noise gives it."""

    def __init__(self, noise: Noise):
        self.noise = noise

    def at(self, lanes: object) -> Noise:
        """Shared by the lanes of each run, where a run has several here."""
        assert isinstance(lanes, Lanes)
        if lanes.origin is None:
            return self.noise
        runs, slot = torch.unique(lanes.origin, return_inverse=True)
        return self.noise if runs.shape[0] == lanes.count else Shared(self.noise, slot, runs.shape[0])

    def seed(self) -> int:
        return self.noise.seed()

    def rewind(self) -> None:
        self.noise.rewind()


class Shared(Noise):
    """`slot` `[lanes]` says which of `count` rows of the noise belongs to a lane."""

    def __init__(self, noise: Noise, slot: Tensor, count: int):
        self.noise = noise
        self.slot = slot
        self.count = count
        places = torch.arange(slot.shape[0], device=slot.device)
        first = torch.full((count,), slot.shape[0], device=slot.device).scatter_reduce(0, slot, places, "amin")
        self.leader = first.index_select(0, slot)  # the first lane with the same noise

    def _spread(self, rows: Tensor) -> Tensor:
        return rows.index_select(0, self.slot)

    def rand(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return self._spread(self.noise.rand((self.count, *shape[1:]), dtype, device))

    def uniform(self, shape: Shape, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return self._spread(self.noise.uniform((self.count, *shape[1:]), like, dtype))

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        return self._spread(self.noise.normal((self.count, *shape[1:]), like))

    def cauchy(self, shape: Shape, like: Tensor) -> Tensor:
        return self._spread(self.noise.cauchy((self.count, *shape[1:]), like))

    def coins(self, shape: Shape, chance: Tensor, made: Coin | None) -> Tensor:
        return less(self.uniform(shape, chance, torch.float64), chance.detach(), chance.dtype)

    def gamma(self, concentration: Tensor) -> Tensor:
        return self.alike(self.noise.gamma(concentration), concentration)

    def dirichlet(self, concentration: Tensor) -> Tensor:
        return self.alike(self.noise.dirichlet(concentration), concentration)

    def binomial(self, count: Tensor, chance: Tensor) -> Tensor:
        return self.alike(self.noise.binomial(count, chance), count, chance)

    def poisson(self, rate: Tensor) -> Tensor:
        return self.alike(self.noise.poisson(rate), rate)

    def seed(self) -> int:
        return self.noise.seed()

    def alike(self, draw: Tensor, *arguments: Tensor) -> Tensor:
        """The leader's draw where all arguments are the leader's."""
        same = torch.ones(draw.shape[0], dtype=torch.bool, device=draw.device)
        for argument in arguments:
            if argument.shape[0] > 1:
                rows = argument.detach().reshape(argument.shape[0], math.prod(argument.shape[1:]))
                same = same & (rows == rows.index_select(0, self.leader)).all(1)
        return torch.where(same.reshape(-1, *(1,) * (draw.dim() - 1)), draw.index_select(0, self.leader), draw)
