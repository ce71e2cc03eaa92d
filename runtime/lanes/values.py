"""What a program computes with: a value tells itself whether it is the same in every lane.

A `Uniform` is a Python number, or a tensor `[1, *event]` that holds for all lanes at once; a `PerLane` is a tensor `[lanes,
*event]` with a row for each.  Both may be narrow: an array that only repeats itself (`p*ones(1000)`) keeps axes of size 1 in
`raw` and its true shape beside it, so that what is done to every entry is done once.  What is the same in every lane is never
gathered and never copied, and lifted only where it meets rows (`lifting.py`).  A `Ragged` is a variable whose shape depends on
the lane.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..arrays.operations import Operand, as_tensor, numeric
from ..arrays.scalars import Ends, ends


class Held:
    """A value on lanes: `raw` is a Python number or a tensor with a lane axis in front; `event` its shape where that is wider than
    what `raw` has (None: it is not)."""

    __slots__ = ("_ends", "event", "raw")
    raw: Operand
    event: Shape | None

    def __init__(self, raw: Operand, event: Shape | None = None):
        self.raw = raw
        self.event = event
        self._ends: Ends | None = None

    @property
    def shape(self) -> Shape:
        """Without the lane axis."""
        if self.event is not None:
            return self.event
        return tuple(self.raw.shape[1:]) if isinstance(self.raw, Tensor) else ()

    @property
    def wide(self) -> Operand:
        """With all entries: a Python number, or a tensor `[lanes or 1, *shape]`."""
        if self.event is None:
            return self.raw
        tensor = cast(Tensor, self.raw)
        return tensor.expand(tensor.shape[0], *self.event)

    @property
    def live(self) -> bool:
        """Whether it carries a derivative."""
        return isinstance(self.raw, Tensor) and self.raw.requires_grad

    @property
    def numbers(self) -> int:
        """How many numbers it is, as a tensor (0 for a Python number)."""
        if not isinstance(self.raw, Tensor):
            return 0
        return self.raw.numel() if self.event is None else self.raw.shape[0] * torch.Size(self.event).numel()

    @property
    def ends(self) -> Ends:
        """The smallest and the largest entry of a tensor, which are looked for once."""
        if self._ends is None:
            self._ends = ends(cast(Tensor, self.raw))
        return self._ends

    def tensor(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """As a tensor `[lanes or 1, *shape]`; truth values stay what they are."""
        return as_tensor(self.wide, dtype, device)

    def number(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """As a tensor `[lanes or 1, *shape]` of the dtype."""
        return numeric(self.wide, dtype, device)


class Uniform(Held):
    """The same in every lane: a Python number, or a tensor `[1, *event]`."""

    __slots__ = ()


class PerLane(Held):
    """A tensor `[lanes, *event]` with a row per lane.

    `same` `[lanes]`: rows with one number are one value, its derivative included (None: nobody knows, they may all differ).
    """

    __slots__ = ("_same",)
    raw: Tensor
    _same: Tensor | Callable[[], Tensor | None] | None

    def __init__(self, raw: Any, event: Shape | None = None, same: Tensor | Callable[[], Tensor | None] | None = None):
        self.raw = raw
        self.event = event
        self._ends = None
        self._same = same

    @property
    def same(self) -> Tensor | None:
        """Found out when it is first asked for."""
        if self._same is not None and not isinstance(self._same, Tensor):
            self._same = self._same()
        return self._same

    def rows_at(self, index: Tensor, tracked: bool = True) -> PerLane:
        """The rows at an index `[new lanes]`; `tracked`: it will be asked which of them are the same, if they carry a derivative
        (what tells that holds on to these)."""
        rows = self.raw.index_select(0, index)
        if not tracked or not rows.requires_grad:
            return PerLane(rows, self.event)
        same: Tensor | Callable[[], Tensor | None] = index
        if self._same is not None:

            def same() -> Tensor | None:
                return index if self.same is None else self.same.index_select(0, index)

        return PerLane(rows, self.event, same)

    def told(self, same: Callable[[], Tensor | None]) -> None:
        """From now on there is a way to find out which rows are the same."""
        self._same = same

    @property
    def rows(self) -> Tensor:
        """With all entries `[lanes, *shape]`."""
        return self.raw if self.event is None else self.raw.expand(self.raw.shape[0], *self.event)


@dataclass(frozen=True)
class Ragged:
    """What a variable holds whose shape differs from lane to lane; reading it is an error (P0303)."""

    shapes: tuple[Shape, ...]

    @property
    def shape(self) -> Shape:
        """None that an index could go into."""
        return ()


Plain: TypeAlias = Uniform | PerLane
Value: TypeAlias = Uniform | PerLane | Ragged


def made(raw: Any, operands: Iterable[Held], event: Shape | None = None) -> Plain:
    """What was computed from operands: the same in every lane where all of them are."""
    for operand in operands:
        if isinstance(operand, PerLane):
            return PerLane(raw, event)
    return Uniform(raw, event)


def same(values: Sequence[Plain]) -> Plain | None:
    """The Python number that all values are, if they are."""
    first = values[0]
    if isinstance(first.raw, Tensor):
        return None
    number = known_by(first.raw)
    for value in values:
        if value is not first and (isinstance(value.raw, Tensor) or known_by(value.raw) != number):
            return None
    return first


def known_by(number: float) -> Hashable:
    """What a Python number is known by: neither a truth value nor a zero of the other sign is the same."""
    return number if isinstance(number, bool) else float(number).hex()


def is_truth(value: Plain) -> bool:
    """Whether it is a truth value, or an array of them."""
    return isinstance(value.raw, bool) or (isinstance(value.raw, Tensor) and value.raw.dtype == torch.bool)
