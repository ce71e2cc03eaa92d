"""An array with a row per lane that is written at places that differ from lane to lane.

A value never changes, so each `x[k] = v` made a copy of the whole array, and its backward pass another: T rounds cost T^2.
Here the numbers are written in place, and what autograd sees is a chain of reads and writes, each with the places it has touched:
backward goes along the chain from its end with one array of derivatives, adds at a read what comes from there, and takes at a
write what belongs to the value that was written (and nothing goes on to what stood there before).  The chain has a single strand,
so that array is nobody else's and is changed in place; where the derivative is itself to be differentiated, it is copied.

Lanes that have parted have rows of their own, so they write into the same array in any order, and nothing is to be merged.  Whoever
reads all of it gets a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from .lanes import Lanes, with_rows
from .values import PerLane, Plain

Place: TypeAlias = int | slice | Tensor  # an index: the same in every lane, or one for each
Index: TypeAlias = tuple[Place, ...]


def _strand(like: Tensor) -> Tensor:
    """What the next of the chain holds on to: no numbers, but the shape of their derivatives."""
    return like.new_zeros(()).expand(like.shape)


class _Start(torch.autograd.Function):
    """The array as it was."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _strand(value)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> Tensor:
        return incoming[0]


class _Write(torch.autograd.Function):
    """`numbers[index] = value`."""

    @staticmethod
    def forward(ctx: Any, strand: Tensor, value: Tensor, numbers: Tensor, index: Index) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.index = index
        numbers[index] = value
        return _strand(strand)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, Tensor | None, None, None]:
        whole = incoming[0]
        if whole is None:
            return None, None, None, None
        taken = whole[ctx.index].clone()
        if torch.is_grad_enabled():
            whole = whole.clone()
        whole[ctx.index] = 0
        return whole, taken, None, None


class _Read(torch.autograd.Function):
    """`numbers[index]`, or a copy of all of them."""

    @staticmethod
    def forward(ctx: Any, strand: Tensor, numbers: Tensor, index: Index | None) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.index = index
        ctx.shape = numbers.shape
        return (numbers if index is None else numbers[index]).clone(), _strand(strand)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, None, None]:
        part, whole = incoming
        if part is None:
            return whole, None, None
        if whole is None:
            whole = part.new_zeros(ctx.shape)
        elif torch.is_grad_enabled():
            whole = whole.clone()
        index = (slice(None),) if ctx.index is None else ctx.index
        whole[index] = whole[index] + part
        return whole, None, None


_start = cast("Callable[[Tensor], Tensor]", _Start.apply)
_write = cast("Callable[[Tensor, Tensor, Tensor, Index], Tensor]", _Write.apply)
_read = cast("Callable[[Tensor, Tensor, Index | None], tuple[Tensor, Tensor]]", _Read.apply)


class Scattered:
    """Such an array, on `lanes`."""

    def __init__(self, value: Plain, lanes: Lanes):
        self.lanes = lanes
        rows = with_rows(value, lanes)
        self.numbers = rows.detach().clone(memory_format=torch.contiguous_format)
        self.strand = _start(rows) if rows.requires_grad else _strand(rows)
        self.copy: PerLane | None = None  # all of it, as it is
        self.rows = torch.arange(lanes.count, device=rows.device)

    @property
    def live(self) -> bool:
        """Whether it carries a derivative."""
        return self.strand.requires_grad

    def holds(self, lanes: Lanes) -> bool:
        """Whether each of these lanes, which descend from those of the array, has a row for itself."""
        return not lanes.spread_since(self.lanes)

    def index(self, items: Sequence[Place], lanes: Lanes) -> Index:
        """The places of some lanes."""
        rows = lanes.map_to(self.lanes)
        apart = rows is not None or any(isinstance(item, Tensor) for item in items)
        return (self.rows if rows is None else rows) if apart else slice(None), *items

    def write(self, items: Sequence[Place], value: Plain, lanes: Lanes) -> None:
        """Set the entries at some places on some lanes to a value of their shape."""
        index = self.index(items, lanes)
        rows = with_rows(value, lanes)
        self.copy = None
        if self.live or rows.requires_grad:
            self.strand = _write(self.strand, rows, self.numbers, index)
        else:
            self.numbers[index] = rows

    def read(self, items: Sequence[Place], lanes: Lanes) -> PerLane:
        """The entries at some places on some lanes."""
        return PerLane(self._read(self.index(items, lanes)))

    def whole(self) -> PerLane:
        """All of it."""
        if self.copy is None:
            self.copy = PerLane(self._read(None))
        return self.copy

    def _read(self, index: Index | None) -> Tensor:
        if not self.live:
            return (self.numbers if index is None else self.numbers[index]).clone()
        value, self.strand = _read(self.strand, self.numbers, index)
        return value
