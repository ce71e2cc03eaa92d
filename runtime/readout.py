"""Numbers read off tensors: each transfer from a GPU waits for all that was asked of it, so there is one for several numbers."""

from __future__ import annotations

from torch import Tensor, stack


def floats(*tensors: Tensor) -> list[float]:
    """The numbers in tensors of one entry each."""
    if len(tensors) > 1 and tensors[0].is_cuda:
        found: list[float] = stack(tensors).tolist()
        return found
    return [float(tensor) for tensor in tensors]
