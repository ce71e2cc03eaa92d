"""Numbers to probe derivatives with: no sum of them with whole coefficients is 0, so that nothing cancels.

sin(1), sin(2), ... and 1 are linearly independent over the algebraic numbers (Lindemann and Weierstrass).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor


def unlike(like: Tensor, start: int = 1, least: float = 0.5, most: float = 2.5) -> Tensor:
    """Numbers between `least` and `most` in the shape of a tensor, no two of which have anything to do with each other."""
    places = torch.arange(start, start + like.numel(), dtype=torch.float64, device=like.device)
    half = (most - least) / 2
    return (places.sin_() * half + (least + half)).reshape(like.shape).to(like.dtype)


def all_unlike(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same for several tensors together."""
    starts = accumulate((tensor.numel() for tensor in tensors), initial=1)
    return [unlike(tensor, start) for tensor, start in zip(tensors, starts, strict=False)]
