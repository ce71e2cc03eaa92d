"""Random numbers by a generator: uniform, normal, exponential and Cauchy noise of any shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from .sobol import Points

Generator = torch.Generator | None
LEAST_FOR_BOX_MULLER = 4096


class SingleNoise(torch.Generator):
    """Gives the same numbers in every arithmetic: those of single precision."""

    def __new__(cls, device: torch.device) -> SingleNoise:
        return super().__new__(cls, device=device)  # type: ignore[call-arg]

    def __init__(self, device: torch.device):
        """The device is known already."""


# ------------------------------------------------------------------------------------------------------ noise
def uniform(shape: Shape, like: Tensor, generator: Generator, dtype: torch.dtype | None = None) -> Tensor:
    """Uniform in (0, 1), both ends excluded; 0 becomes half a step of the generator's grid."""
    kind = dtype or like.dtype
    if isinstance(generator, Points):
        return generator.uniform(shape, kind, like.device)
    if isinstance(generator, SingleNoise):
        return torch.rand(shape, generator=generator, dtype=torch.float32, device=like.device).clamp_min_(2.0**-25).to(kind)
    noise = torch.rand(shape, generator=generator, dtype=kind, device=like.device)
    return noise.clamp_min_(2.0**-25 if kind == torch.float32 else 2.0**-54)


def exponential(shape: Shape, like: Tensor, generator: Generator) -> Tensor:
    """Standard exponential noise, positive."""
    return uniform(shape, like, generator).log_().neg_()


def normal(shape: Shape, like: Tensor, generator: Generator) -> Tensor:
    """Standard normal noise.  Large float64 blocks on the CPU by Box and Muller (1958): a third of the time."""
    if isinstance(generator, Points):
        quantile: Tensor = torch.special.ndtri(generator.uniform(shape, torch.float64, like.device))
        return quantile.to(like.dtype)
    if isinstance(generator, SingleNoise):
        return torch.randn(shape, generator=generator, dtype=torch.float32, device=like.device).to(like.dtype)
    count = math.prod(shape)
    if like.dtype != torch.float64 or like.device.type != "cpu" or count < LEAST_FOR_BOX_MULLER:
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    half = (count + 1) // 2
    radius = uniform((half,), like, generator).log_().mul_(-2).sqrt_()
    angle = torch.rand(half, generator=generator, dtype=like.dtype).mul_(2 * math.pi)
    both = torch.empty(2 * half, dtype=like.dtype)
    torch.mul(radius, torch.cos(angle), out=both[:half])
    torch.mul(radius, angle.sin_(), out=both[half:])
    return both[:count].view(shape)


def cauchy(shape: Shape, like: Tensor, generator: Generator) -> Tensor:
    """Standard Cauchy noise."""
    if isinstance(generator, Points):
        return (math.pi * (generator.uniform(shape, torch.float64, like.device) - 0.5)).tan().to(like.dtype)
    kind = torch.float32 if isinstance(generator, SingleNoise) else like.dtype
    return torch.empty(shape, dtype=kind, device=like.device).cauchy_(generator=generator).to(like.dtype)
