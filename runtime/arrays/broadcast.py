"""Shapes with a lane axis in front: event axes broadcast as in NumPy, the lane axis only with itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .memory import ask

Shape = tuple[int, ...]


class ShapeMismatch(ValueError):
    """Shapes (without the lane axis) that do not fit together: P0301."""

    def __init__(self, shapes: Sequence[Shape], reason: str = ""):
        self.shapes = tuple(tuple(shape) for shape in shapes)
        self.reason = reason or "shapes " + " and ".join(shape_words(shape) for shape in self.shapes) + " do not fit"
        super().__init__(self.reason)


def shape_words(shape: Shape) -> str:
    """`scalar`, `[3]` or `[3, 4]`: a shape in an error message."""
    return "[" + ", ".join(map(str, shape)) + "]" if shape else "scalar"


def event_shape(value: Tensor) -> Shape:
    """The shape of `[lanes, *event]` without the lane axis."""
    return tuple(value.shape[1:])


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """NumPy's common shape; raises ShapeMismatch with every shape given."""
    rank = max(map(len, shapes))
    common = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, start=rank - len(shape)):
            if size != 1 and common[axis] not in (1, size):
                raise ShapeMismatch(shapes)
            if size != 1:
                common[axis] = size
    return tuple(common)


def align(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Insert axes of size 1 after the lane axis, so that `[L]` and `[1, 3]` become `[L, 1]` and `[1, 3]`.

    The results broadcast in torch.  Raises ShapeMismatch where the event shapes do not.
    """
    first = tensors[0].shape[1:]
    if all(tensor.shape[1:] == first for tensor in tensors):
        return tensors
    common = broadcast_shapes([event_shape(tensor) for tensor in tensors])
    ask(max(tensor.shape[0] for tensor in tensors) * math.prod(common), tensors[0].device)
    return tuple(pad(tensor, len(common)) for tensor in tensors)


def pad(tensor: Tensor, rank: int) -> Tensor:
    """`[L, *event]` with axes of size 1 after the lane axis until it has `rank` event axes."""
    missing = rank + 1 - tensor.dim()
    if missing <= 0:
        return tensor
    return tensor.reshape(tensor.shape[0], *(1,) * missing, *tensor.shape[1:])


def together(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All of them expanded to one shape (torch's own `broadcast_shapes` loads sympy)."""
    shape = broadcast_shapes([tuple(tensor.shape) for tensor in tensors])
    return tuple(tensor.expand(shape) for tensor in tensors)
