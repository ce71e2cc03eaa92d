"""What a dtype can hold: values too close to each other or to an end, and sums and products that keep their digits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arrays.kernels import choose
from ..arrays.scalars import Ends

COARSE = 0.01  # of its scale, to which a value may be rounded
UNSEEN = 1e-3  # of the probability, may lie where there are no numbers


def blurred(values: Ends, scale: float, dtype: torch.dtype) -> bool:
    """Whether values between two ends are rounded by much of the least scale."""
    size = max(abs(end) for end in values)
    return math.isfinite(size) and torch.finfo(dtype).eps * size > COARSE * scale


def sinks(shape: float, dtype: torch.dtype) -> bool:
    """Whether a density like x^(shape - 1) at 0 has much probability below the least number; of the least shape."""
    return bool(torch.finfo(dtype).tiny ** shape > UNSEEN)


def sticks(shape: float, dtype: torch.dtype) -> bool:
    """Whether a density like (1 - x)^(shape - 1) at 1 has much probability above the largest number below 1."""
    return bool((torch.finfo(dtype).eps / 2) ** shape > UNSEEN)


def tiny(value: Tensor) -> float:
    """The least positive normal number of the dtype."""
    return torch.finfo(value.dtype).tiny


def below_one(value: Tensor) -> float:
    """The largest number of the dtype below 1."""
    return 1 - torch.finfo(value.dtype).eps / 2


def nudge(value: Tensor, low: float | Tensor | None = None, high: float | Tensor | None = None) -> Tensor:
    """`value` moved inside [low, high] by rounding steps; its derivative is untouched."""
    fixed = torch.clamp(value.detach(), low, high)  # type: ignore[arg-type]
    return value + (fixed - value.detach()) if value.requires_grad else fixed


def whole(value: Tensor) -> Tensor:
    """Which entries are whole numbers, at least 0."""
    return (value >= 0) & (value == value.floor()) & (value < math.inf)


def weigh(count: Tensor, probability: Tensor) -> Tensor:
    """`count * log(probability)`: 0 for a count of 0; -inf, without derivative, where a probability of 0 is needed."""
    if bool((probability > 0).all()):
        return count * probability.log()
    impossible = (probability <= 0) & (count != 0)
    return choose(impossible, -math.inf, count * choose(probability > 0, probability, 1.0).log())


def weigh_complement(count: Tensor, probability: Tensor) -> Tensor:
    """`count * log(1 - probability)`, likewise, accurate for a small probability."""
    if bool((probability < 1).all()):
        return count * torch.log1p(-probability)
    impossible = (probability >= 1) & (count != 0)
    return choose(impossible, -math.inf, count * torch.log1p(-choose(probability < 1, probability, 0.0)))


def double(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same values in float64."""
    return tuple(tensor.double() for tensor in tensors)
