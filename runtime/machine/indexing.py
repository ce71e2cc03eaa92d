"""Reading and writing elements and slices, with indices that may differ from lane to lane.

An index is a Python int where every lane has the same one, else a value: long numbers `[lanes]` (or `[lanes or 1, k]`, which pick
k entries of an axis).  Bounds of slices and sizes must be the same in every lane: an array has one shape for all lanes.
Assignment makes a new array, so that values are values; that array is not put together before somebody reads it as a whole
(`pieces.py`, and `scattered.py` where the index differs from lane to lane).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from ...dsl.text.source import Span
from ..arrays.broadcast import ShapeMismatch, broadcast_shapes, event_shape, pad, shape_words
from ..arrays.memory import ask
from ..arrays.operations import as_tensor
from ..arrays.private import observed
from ..arrays.scalars import ends
from ..lanes.circumstances import first_of, show
from ..lanes.lessons import NotCompiled
from ..lanes.pieces import Pieces
from ..lanes.scattered import Place
from ..lanes.values import Held, PerLane, Plain, Value
from ..lanes.where import Where
from .operation import Operation
from .setting import Setting

Item: TypeAlias = "int | slice | Plain"


def whole_number(value: Plain, what: str, span: Span, where: Where) -> int | None:
    """A size, index or bound that is the same in every lane; None where it differs.  P0305 for a broken number."""
    raw = value.raw
    if not isinstance(raw, Tensor):
        return _whole(raw, what, span, where)
    if value.shape:
        raise where.error("P0305", f"{what} must be one whole number, but is an array", span, shape_words(value.shape))
    detached = raw.detach()
    low, high = ends(detached.to(torch.float64))
    if low != high or low != low:
        broken = (detached != detached.floor()) | ~detached.isfinite() if detached.dtype.is_floating_point else None
        if broken is not None and bool(broken.any()):
            raise _broken(what, float(detached[first_of(broken)]), span, where)
        return None
    return _whole(low, what, span, where)


def _whole(value: float, what: str, span: Span, where: Where) -> int:
    if not math.isfinite(value) or value != int(value):
        raise _broken(what, value, span, where)
    return int(value)


def _broken(what: str, value: float, span: Span, where: Where) -> Exception:
    return where.error("P0305", f"{what} must be a whole number, but is {show(float(value))}", span, f"= {show(float(value))}")


def size(value: Plain, what: str, span: Span, where: Where) -> int:
    """A size or a bound of a slice: P0303 where it differs from run to run."""
    found = whole_number(value, what, span, where)
    if found is None:
        low, high = (show(end) for end in value.ends)
        raise where.error(
            "P0303", f"{what} differs from run to run", span, f"from {low} to {high}",
            notes=("an array has the same shape in every run",),
            help="make the array as large as it can become, and use a part of it by a loop or `where`",
        )
    return found


def position(value: Plain, length: int, span: Span, where: Where) -> int | Plain:
    """An index into an axis of `length` entries, from 0, negative ones counted from the end; P0302, P0305."""
    if isinstance(value.raw, Tensor) and (isinstance(value, PerLane) or value.shape):
        return type(value)(_positions(cast(Tensor, value.wide), length, span, where))
    index = whole_number(value, "an index", span, where)
    assert index is not None
    if not -length <= index < length:
        raise _outside(index, length, span, where)
    return index % length


def _positions(value: Tensor, length: int, span: Span, where: Where) -> Tensor:
    if value.dim() > 2:
        raise where.error("P0305", "an index must be a whole number or a vector of them", span, shape_words(event_shape(value)))
    value = value.detach()
    index = value.long()
    if value.dtype.is_floating_point:
        broken = index != value
        if bool(broken.any()):
            raise _broken("an index", float(value[broken][0]), span, where)
    if not index.numel():
        return index
    if observed():
        if bool(((index < -length) | (index >= length)).any()):
            raise NotCompiled("an index is out of range")
        return torch.where(index < 0, index + length, index)
    low, high = (int(end) for end in index.aminmax())
    if low < -length or high >= length:
        raise _outside(low if low < -length else high, length, span, where)
    return torch.where(index < 0, index + length, index) if low < 0 else index


def _outside(index: int, length: int, span: Span, where: Where) -> Exception:
    entries = "1 entry" if length == 1 else f"{length} entries"
    return where.error(
        "P0302", f"index {index} is out of range for an axis of {entries}", span, f"= {index}",
        help=f"indices count from 0: the last one is {length - 1}" if length else "the array is empty",
    )


def check_axes(value: Value | Pieces, count: int, span: Span, where: Where) -> tuple[int, ...]:
    """The shape of `value`, which has at least `count` axes; P0306."""
    shape = value.shape
    if count > len(shape):
        words = shape_words(shape) if shape else "a scalar"
        indices = "1 index" if count == 1 else f"{count} indices"
        axes = f"{len(shape)} ax{'i' if len(shape) == 1 else 'e'}s"
        raise where.error("P0306", f"{indices} into a value of {axes}", span, f"this is {words}")
    return shape


# ------------------------------------------------------------------------------------------------------ operations
def selection(items: Sequence[Item]) -> Operation:
    """`value[items]`: its operands are the value, and the indices that are tensors."""
    fixed = all(isinstance(item, int) for item in items)

    def code(setting: Setting, value: Tensor, *indices: Tensor) -> Tensor:
        return select(value, with_tensors(items, indices))

    return Operation(("select", *items) if fixed else None, code)


def replacement(items: Sequence[Item]) -> Operation:
    """A copy of a value with `value[items] = new`: its operands are the value, the new one, and the indices that are tensors."""

    def code(setting: Setting, value: Tensor, new: Any, *indices: Tensor) -> Tensor:
        return replace(value, with_tensors(items, indices), as_tensor(new, setting.dtype, setting.device))

    return Operation(None, code)


def places(items: Sequence[Item]) -> list[Place]:
    """The items, with their tensors."""
    return [cast(Tensor, item.raw) if isinstance(item, Held) else item for item in items]


def with_tensors(items: Sequence[Item], indices: Iterable[Tensor]) -> list[Place]:
    """The items, with tensors in the place of values."""
    left = iter(indices)
    return [next(left) if isinstance(item, Held) else item for item in items]


def select(value: Tensor, items: Sequence[Place]) -> Tensor:
    """`value[items]` for `[lanes or 1, *event]`."""
    axis = 1
    for item in items:
        if isinstance(item, int):
            value = value.select(axis, item)
        elif isinstance(item, slice):
            start, stop, _ = item.indices(value.shape[axis])
            value = value.narrow(axis, start, max(stop - start, 0))
            axis += 1
        else:
            value = _take(value, axis, item)
            axis += item.dim() - 1
    return value


def _take(value: Tensor, axis: int, index: Tensor) -> Tensor:
    if value.shape[0] == 1 and axis == 1:
        ask(index.numel() * math.prod(value.shape[2:]), value.device)
        return value[0].index_select(0, index.reshape(-1)).reshape(*index.shape, *value.shape[2:])
    lanes = max(value.shape[0], index.shape[0])
    picks = index.unsqueeze(1) if index.dim() == 1 else index
    shape = (*value.shape[1:axis], picks.shape[1], *value.shape[axis + 1 :])
    ask(lanes * math.prod(shape), value.device)
    ones = (1,) * (axis - 1)
    picks = picks.reshape(picks.shape[0], *ones, picks.shape[1], *(1,) * (value.dim() - axis - 1)).expand(lanes, *shape)
    taken = value.expand(lanes, *value.shape[1:]).gather(axis, picks)
    return taken.squeeze(axis) if index.dim() == 1 else taken


def left(shape: tuple[int, ...], items: Sequence[Item]) -> tuple[int, ...]:
    """The shape of what items pick out of an array, each of which is one index or a slice."""
    picked = [len(range(*item.indices(size))) for size, item in zip(shape, items, strict=False) if isinstance(item, slice)]
    return (*picked, *shape[len(items) :])


def fitted(new: Plain, target: tuple[int, ...]) -> Plain:
    """A value that holds a tensor, in the place of an element of the shape `target`; raises ShapeMismatch."""
    if broadcast_shapes([target, new.shape]) != target:
        raise ShapeMismatch([target, new.shape])
    if new.shape == target and new.event is None:
        return new
    wide = cast(Tensor, new.wide)
    return type(new)(pad(wide, len(target)).expand(wide.shape[0], *target))


def replace(value: Tensor, items: Sequence[Place], new: Tensor) -> Tensor:
    """A copy of `value` `[lanes or 1, *event]` with `value[items] = new`; raises ShapeMismatch."""
    indexed = [item for item in items if isinstance(item, Tensor)]
    lanes = max(value.shape[0], new.shape[0], *(item.shape[0] for item in indexed), 1)
    if value.dtype == torch.bool and new.dtype != torch.bool:
        value = value.to(new.dtype)
    elif new.dtype == torch.bool:
        new = new.to(value.dtype)
    ask(lanes * math.prod(value.shape[1:]), value.device)
    copy = value.expand(lanes, *value.shape[1:]).clone()
    assign(copy, items, new)
    return copy


def assign(value: Tensor, items: Sequence[Place], new: Tensor) -> None:
    """`value[items] = new` in place; raises ShapeMismatch."""
    target = event_shape(select(value[:1], [0 if isinstance(item, Tensor) else item for item in items]))
    if broadcast_shapes([target, event_shape(new)]) != target:
        raise ShapeMismatch([target, event_shape(new)])
    apart = any(isinstance(item, Tensor) for item in items)
    rows: slice | Tensor = torch.arange(value.shape[0], device=value.device) if apart else slice(None)
    value[(rows, *items)] = pad(new, len(target))  # advanced indices put the lane axis first, the sliced axes after it
