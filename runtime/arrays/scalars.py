"""Numbers read off tensors: each transfer from a GPU waits for all that was asked of it, so there is one for several numbers."""

from __future__ import annotations

from torch import Tensor, stack

from .recording import recording


def ends(tensor: Tensor) -> tuple[float, float]:
    """The smallest and the largest entry, of which a tensor remembers what they are (nobody writes into a value)."""
    known: tuple[float, float] | None = getattr(tensor, "ends", None)
    if known is None:
        value = tensor.detach()
        least, most = floats(*value.aminmax()) if value.numel() > 1 else (float(value),) * 2
        known = tensor.ends = least, most  # type: ignore[attr-defined]
    return known


def any_below(tensor: Tensor, bound: float) -> bool:
    """Whether some entry is below a number."""
    return bool(tensor.amin() < bound) if recording() else ends(tensor)[0] < bound


def any_from(tensor: Tensor, bound: float) -> bool:
    """Whether some entry is at least a number."""
    return bool(tensor.amax() >= bound) if recording() else ends(tensor)[1] >= bound


def floats(*tensors: Tensor) -> list[float]:
    """The numbers in tensors of one entry each."""
    if len(tensors) > 1 and tensors[0].is_cuda:
        found: list[float] = stack(tensors).tolist()
        return found
    return [float(tensor) for tensor in tensors]
