"""Where the random numbers of a block come from: uniform, normal and other noise of any shape, with a row per lane in front.

Every kind of noise is made of a few primitive draws.  The kinds are `Fresh` (a generator of torch), `Single`, `Sobol` (`sobol.py`),
`Recorded` (`runtime/graphs/recorder.py`: inputs of a graph) and `Common` (`runtime/lanes/coupling.py`: shared by the lanes of a
run).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from ..arrays import private
from ..arrays.broadcast import Shape
from ..arrays.kernels import compare, less
from ..arrays.memory import LONG, TAKEN, taken
from ..arrays.scalars import any_below, any_from

LEAST_FOR_BOX_MULLER = 4096
RARE = 1e-4  # a probability below this is compared with more than 32 bits
IN_CACHE = 2**16  # numbers that are compared at once
FEW = 8  # coins of one probability, at least, for them to be made of bits
SMALL = 1e-3  # probabilities below this are compared with float64 uniforms


class Noise:
    """Random numbers for the lanes of a block.

    `even`: the runs are points that fill a cube together, so they must draw the same numbers in the same order, and are not
    independent.
    """

    even = False

    # ------------------------------------------------------------------------------------------------ primitives
    def rand(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform on a grid of [0, 1)."""
        raise NotImplementedError

    def randn(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal."""
        raise NotImplementedError

    def bits(self, count: int) -> Tensor:
        """64 random bits each, `[count]`."""
        raise NotImplementedError

    def tangents(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard Cauchy."""
        raise NotImplementedError

    def gamma(self, concentration: Tensor) -> Tensor:
        """Gamma(concentration, 1), of the same shape."""
        raise NotImplementedError

    def dirichlet(self, concentration: Tensor) -> Tensor:
        """Dirichlet(concentration) over the last axis, of the same shape."""
        raise NotImplementedError

    def binomial(self, count: Tensor, chance: Tensor) -> Tensor:
        """Binomial(count, chance), of the same shape."""
        raise NotImplementedError

    def poisson(self, rate: Tensor) -> Tensor:
        """Poisson(rate), of the same shape."""
        raise NotImplementedError

    def seed(self) -> int:
        """A number for another generator to start from."""
        raise NotImplementedError

    def rewind(self) -> None:
        """Back to the beginning: the same numbers again."""
        raise NotImplementedError

    def at(self, lanes: object) -> Noise:
        """The noise of one execution of a site, on its lanes."""
        return self

    def alike(self, draw: Tensor, *arguments: Tensor) -> Tensor:
        """A draw of somebody else's, made with these arguments `[lanes or 1, ...]`, as this kind would have it."""
        return draw

    # ---------------------------------------------------------------------------------------------- made of these
    def uniform(self, shape: Shape, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Uniform in (0, 1), both ends excluded; 0 becomes half a step of the generator's grid."""
        kind = dtype or like.dtype
        return self.rand(shape, kind, like.device).clamp_min_(2.0**-25 if kind == torch.float32 else 2.0**-54)

    def exponential(self, shape: Shape, like: Tensor) -> Tensor:
        """Standard exponential, positive."""
        return self.uniform(shape, like).log_().neg_()

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        """Standard normal.  Large float64 blocks on the CPU by Box and Muller (1958): a third of the time."""
        count = math.prod(shape)
        if like.dtype != torch.float64 or like.device.type != "cpu" or count < LEAST_FOR_BOX_MULLER:
            return self.randn(shape, like.dtype, like.device)
        half = (count + 1) // 2
        radius = self.uniform((half,), like).log_().mul_(-2).sqrt_()
        angle = self.rand((half,), like.dtype, like.device).mul_(2 * math.pi)
        both = torch.empty(2 * half, dtype=like.dtype)
        torch.mul(radius, torch.cos(angle), out=both[:half])
        torch.mul(radius, angle.sin_(), out=both[half:])
        return both[:count].view(shape)

    def words(self, shape: Shape) -> Tensor:
        """32 random bits each."""
        count = math.prod(shape)
        return self.bits((count + 1) // 2).view(torch.int32)[:count].view(shape)

    def cauchy(self, shape: Shape, like: Tensor) -> Tensor:
        """Standard Cauchy."""
        return self.tangents(shape, like.dtype, like.device)

    def coins(self, shape: Shape, chance: Tensor, made: Coin | None) -> Tensor:
        """1 with the probability `chance`, which broadcasts to the shape, else 0; `made` of it where there are many of a kind."""
        if made is not None:
            hit = self.tossed(shape, made.threshold, chance.dtype)
            return hit if made.sure is None else torch.maximum(hit, made.sure)
        rare = chance.dtype == torch.float32 and chance.numel() > 0 and any_below(chance, SMALL)
        return less(self.rand(shape, torch.float64 if rare else chance.dtype, chance.device), chance.detach(), chance.dtype)


    def tossed(self, shape: Shape, threshold: Tensor, dtype: torch.dtype) -> Tensor:
        """1 where 32 random bits are below a threshold that broadcasts to the shape, else 0."""
        return less(self.words(shape), threshold, dtype)


class Fresh(Noise):
    """Independent random numbers by a generator (None: torch's own)."""

    def __init__(self, generator: torch.Generator | None):
        self.generator = generator

    def rand(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        out = taken(shape, dtype, device)
        if out is not None:
            return out.uniform_(generator=self.generator)
        return torch.rand(shape, generator=self.generator, dtype=dtype, device=device)

    def randn(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        out = taken(shape, dtype, device)
        if out is not None:
            return out.normal_(generator=self.generator)
        return torch.randn(shape, generator=self.generator, dtype=dtype, device=device)

    def bits(self, count: int) -> Tensor:
        return torch.empty(count, dtype=torch.int64).random_(-(2**63), None, generator=self.generator)

    def tossed(self, shape: Shape, threshold: Tensor, dtype: torch.dtype) -> Tensor:
        # long rows: by a generator of their own, which takes half the time (SFC64 of NumPy) and starts from a number of this one
        out = taken(shape, dtype, threshold.device)
        if out is None or threshold.dim() != len(shape):
            return super().tossed(shape, threshold, dtype)
        source = numpy.random.SFC64(self.seed())
        rows = max(IN_CACHE // math.prod(shape[1:]), 1)
        for start in range(0, shape[0], rows):
            part = out[start : start + rows]
            own = threshold if threshold.shape[0] == 1 else threshold[start : start + rows]
            part.copy_(compare(torch.lt, _words(source, tuple(part.shape)), own).view(torch.uint8))
        return out

    def tangents(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device).cauchy_(generator=self.generator)

    def gamma(self, concentration: Tensor) -> Tensor:
        return private.standard_gamma(concentration, self.generator)

    def dirichlet(self, concentration: Tensor) -> Tensor:
        return private.dirichlet(concentration, self.generator)

    def binomial(self, count: Tensor, chance: Tensor) -> Tensor:
        return torch.binomial(count, chance, generator=self.generator)

    def poisson(self, rate: Tensor) -> Tensor:
        return torch.poisson(rate, generator=self.generator)

    def seed(self) -> int:
        where = torch.device("cpu") if self.generator is None else self.generator.device
        return int(torch.randint(0, 2**62, (), generator=self.generator, device=where))

    def rewind(self) -> None:
        if self.generator is not None:
            self.generator.manual_seed(self.generator.initial_seed())


def _words(source: numpy.random.SFC64, shape: Shape) -> Tensor:
    """32 random bits each."""
    count = math.prod(shape)
    return torch.from_numpy(source.random_raw((count + 1) // 2).view(numpy.int32)[:count]).view(shape)


class Single(Fresh):
    """The same numbers in every arithmetic: those of single precision."""

    def rand(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return super().rand(shape, torch.float32, device).to(dtype)

    def randn(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return super().randn(shape, torch.float32, device).to(dtype)

    def tangents(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return super().tangents(shape, torch.float32, device).to(dtype)

    def gamma(self, concentration: Tensor) -> Tensor:
        return super().gamma(concentration.float()).to(concentration.dtype)

    def dirichlet(self, concentration: Tensor) -> Tensor:
        return super().dirichlet(concentration.float()).to(concentration.dtype)

    def binomial(self, count: Tensor, chance: Tensor) -> Tensor:
        return super().binomial(count.float(), chance.float()).to(count.dtype)

    def poisson(self, rate: Tensor) -> Tensor:
        return super().poisson(rate.float()).to(rate.dtype)

    def uniform(self, shape: Shape, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return super().uniform(shape, like, torch.float32).to(dtype or like.dtype)

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        return self.randn(shape, like.dtype, like.device)

    def coins(self, shape: Shape, chance: Tensor, made: Coin | None) -> Tensor:
        wide = math.prod(shape) >= TAKEN and math.prod(shape[1:]) >= LONG
        if made is not None and wide:  # bits are the same in every arithmetic
            return super().coins(shape, chance, made)
        return less(self.uniform(shape, chance, torch.float64), chance.detach(), chance.dtype)


@dataclass(frozen=True)
class Slots:
    """Which of `count` rows of noise belongs to each of some lanes (`runtime/lanes/coupling.py`).  `leading`: the first
    lanes have one each, in order; `times`: so often all lanes have one each, in order (0: not so)."""

    slot: Tensor
    count: int
    leading: bool = False
    times: int = 0

    def spread(self, rows: Tensor) -> Tensor:
        """Rows of noise `[count, ...]`, on the lanes."""
        if self.times:
            return rows.repeat(self.times, *(1,) * (rows.dim() - 1))
        if self.leading:
            return torch.cat([rows, rows.index_select(0, self.slot[self.count :])])
        return rows.index_select(0, self.slot)


@dataclass(frozen=True)
class Coin:
    """How to toss coins of few different probabilities: where each of 2^32 numbers from -2^31 on is below `threshold`, and
    where the outcome is `sure` (None: nowhere)."""

    threshold: Tensor
    sure: Tensor | None


@torch.no_grad()
def coin(chance: Tensor) -> Coin | None:
    """What is needed to toss coins of these probabilities; None where one is too small for 32 bits."""
    if any_below(chance, RARE) and bool(((chance > 0) & (chance < RARE)).any()):
        return None
    threshold = (chance.double() * 2.0**32).round_().sub_(2.0**31).clamp_max_(2.0**31 - 1).to(torch.int32)
    return Coin(threshold, (chance == 1).to(chance.dtype) if any_from(chance, 1.0) else None)
