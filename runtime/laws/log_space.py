"""Draws of Gamma and its kin with small shapes, as logarithms: most of them are below the least number, or above the last below 1.

log Gamma(a) = log Gamma(a + 1) - e/a with e exponential (Marsaglia & Tsang 2000, section 6).  In float64: where such logarithms are
compared their differences count.  The value itself is held as near as the dtype can; a density takes the logarithm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..arrays.scalars import any_below
from .implicit import standard_gamma
from .law import Law
from .noise import Noise
from .rounding import UNSEEN, below_one, nudge, tiny

_LEAST, _GAP = torch.finfo(torch.float64).tiny, torch.finfo(torch.float64).eps / 2


def vanishes(law: Law, name: str, factor: float = 1.0) -> bool:
    """Whether much of a density like x^(shape - 1) at 0 lies below the least number of float64, the shape being an argument times
    a factor."""
    return _beyond(law, name, factor, _LEAST)


def saturates(law: Law, name: str) -> bool:
    """Whether much of a density like (1 - x)^(shape - 1) at 1 lies above the last number of float64 below 1."""
    return _beyond(law, name, 1.0, _GAP)


def _beyond(law: Law, name: str, factor: float, gap: float) -> bool:
    return law.arguments[name].numel() > 0 and any_below(law.arguments[name], math.log(UNSEEN) / (factor * math.log(gap)))


def log_gamma(concentration: Tensor, shape: Shape, noise: Noise, name: str) -> Tensor:
    """The logarithm of a draw of Gamma(concentration, 1), in float64; `name` is who asks."""
    a = concentration.double()
    return standard_gamma(a + 1, shape, noise, name).log() - noise.exponential(shape, a) / a


def held(logarithm: Tensor, dtype: torch.dtype, proportion: bool = False) -> Tensor:
    """The value, as near to 0 (and for a `proportion` to 1) as the dtype can tell it from that."""
    value = logarithm.exp().to(dtype)
    return nudge(value, tiny(value), below_one(value) if proportion else torch.finfo(dtype).max)
