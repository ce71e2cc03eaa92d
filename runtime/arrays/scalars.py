"""Numbers read off tensors: each transfer from a GPU waits for all that was asked of it, so there is one for several numbers."""

from __future__ import annotations

import math

from torch import Tensor, stack

from .private import observed

Ends = tuple[float, float]  # the smallest and the largest entry


def ends(tensor: Tensor) -> Ends:
    """The smallest and the largest entry."""
    value = tensor.detach()
    if value.numel() == 1:
        return (float(value),) * 2
    least, most = floats(*value.aminmax())
    return least, most


def finite(tensor: Tensor) -> bool:
    """Whether all entries are finite: one pass over memory where their sum is."""
    value = tensor.detach()
    if value.numel() == 1:
        return math.isfinite(float(value))
    return math.isfinite(float(value.sum())) or bool(value.isfinite().all())


def any_below(tensor: Tensor, bound: float) -> bool:
    """Whether some entry is below a number."""
    return bool(tensor.amin() < bound) if observed() else ends(tensor)[0] < bound


def any_from(tensor: Tensor, bound: float) -> bool:
    """Whether some entry is at least a number."""
    return bool(tensor.amax() >= bound) if observed() else ends(tensor)[1] >= bound


def floats(*tensors: Tensor) -> list[float]:
    """The numbers in tensors of one entry each."""
    if len(tensors) > 1 and tensors[0].is_cuda:
        found: list[float] = stack(tensors).tolist()
        return found
    return [float(tensor) for tensor in tensors]
