"""Who depends on whom: the executions of score sites, and the terms that the results are sums of.

Every execution of a score site has a bit.  A `Taint` is the set of executions that a value depends on, by data or by
control; a `Term` is a summand of a result with its taint.  The derivative of E[y] by the scores is then
    sum over executions s of  d log p_s * Q_s,      Q_s the sum of the terms that depend on s
(Schulman et al. 2015, theorem 1: the cost downstream of s).  A taint distinguishes `whole` from `aligned`: where element
i of an array depends only on element i of an array site of the same shape (a thousand agents), each element's score is
multiplied by its own terms.  Without credit a result is one term that depends on everything (`EVERYTHING`).

Log densities and terms stay on the lanes where they arose, and are brought to others when they are read (`view`): nothing
is joined on the way.  Where lanes were split inside a branch, the lanes that come out of it remember what they were made
of (`Lanes.parts`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

import numpy
import torch
from torch import Tensor

from ..arrays.kernels import choose
from .lanes import Lanes

EVERYTHING = -1  # a taint with every bit
HASHED = 60  # bits of a number that Python's hash tells apart
TOGETHER = 64  # bytes of a row that are transposed at once


@dataclass(frozen=True, slots=True)
class Taint:
    """Executions that a value depends on: as a `whole`; element by element of an array site of the same shape (`aligned`); and
    each element on executions of its own (`slots`, a mask per element in their order, `among` what is in any of them: an array
    that was filled element by element).  The value's event has `shape` where it matters.
    """

    whole: int = 0
    aligned: int = 0
    shape: tuple[int, ...] = ()
    slots: tuple[int, ...] = ()
    among: int = 0

    @property
    def key(self) -> Hashable:
        """What equal taints have in common, for a dictionary."""
        return named(self.whole), named(self.aligned), self.shape, self.slots, named(self.among)

    @property
    def all(self) -> int:
        """Every execution in it."""
        return self.whole | self.aligned | self.among

    @property
    def shaped(self) -> bool:
        """Whether its elements differ."""
        return bool(self.aligned or self.among)

    def joined(self, other: Taint) -> Taint:
        """Of a value made of both, element by element where their shapes agree."""
        if other is CLEAN or not other.all:
            return self
        if self is CLEAN or not self.all:
            return other
        whole = self.whole | other.whole
        if not other.shaped:
            return Taint(whole, self.aligned, self.shape, self.slots, self.among)
        if not self.shaped:
            return Taint(whole, other.aligned, other.shape, other.slots, other.among)
        if self.shape != other.shape:
            return Taint(self.all | other.all)
        slots = tuple(map(or_, self.slots, other.slots)) if self.slots and other.slots else self.slots or other.slots
        return Taint(whole, self.aligned | other.aligned, self.shape, slots, self.among | other.among)

    def under(self, control: int) -> Taint:
        """Of a value that is only there by a decision."""
        return Taint(self.whole | control, self.aligned, self.shape, self.slots, self.among) if control else self

    def within(self, shape: tuple[int, ...], elementwise: bool) -> Taint:
        """Of a value of the given shape that was made of this one, element by element or not."""
        if not self.shaped or (elementwise and shape == self.shape):
            return self
        return Taint(self.all)

    def filled(self, shape: tuple[int, ...], places: Sequence[int], new: int, anew: bool) -> Taint:
        """Of an array of the given shape in which the elements at `places` have been set to something that depends on `new`;
        `anew`: on all lanes, so that what they depended on before is gone."""
        own = self.within(shape, True)
        slots = list(own.slots or (0,) * math.prod(shape))
        for place in places:
            slots[place] = new if anew else slots[place] | new
        return Taint(own.whole, own.aligned, shape, tuple(slots), own.among | new if slots else own.among)

    def picked(self, shape: tuple[int, ...], places: Sequence[int]) -> Taint:
        """Of the elements at `places`, as an array of the given shape."""
        whole = self.whole | self.aligned
        if not self.slots:
            return Taint(whole)
        slots = tuple(self.slots[place] for place in places)
        among = reduce(or_, slots, 0)
        return Taint(whole, 0, shape, slots, among) if shape and len(set(slots)) > 1 else Taint(whole | among)


def named(mask: int) -> Hashable:
    """A mask as the key of a dictionary: the hash of 2^k has 61 values, so a dictionary of thousands of masks would be slow."""
    return mask if mask.bit_length() <= HASHED else mask.to_bytes(mask.bit_length() // 8 + 1, "little", signed=True)


CLEAN = Taint()


@dataclass(frozen=True, slots=True)
class Execution:
    """A site drew by score: `log_density` `[lanes or 1, *batch]`; `baseline` is that of the site's choice.

    `relevant` `[lanes or 1, *batch or nothing]`: 0 where the draw is multiplied by 0 wherever it is used (None: nowhere).
    """

    bit: int
    lanes: Lanes
    log_density: Tensor
    baseline: str
    relevant: Tensor | None = None

    @property
    def counted(self) -> Tensor:
        """The log density of the draws that matter."""
        if self.relevant is None:
            return self.log_density
        return torch.where(trailing(self.relevant != 0, self.log_density.dim()), self.log_density, 0.0)

    def due(self, incoming: Tensor, shape: torch.Size) -> Tensor:
        """What arrives at the log density `[lanes, *batch]`, less what does not matter."""
        own = trailing(incoming, len(shape)).expand(shape)
        return own if self.relevant is None else without(own, trailing(self.relevant, len(shape)).expand(shape))


@dataclass(frozen=True, slots=True, eq=False)
class DensitySum:
    """Elements `[*batch]` of a draw whose log density is kept as one sum: `over` gives the sum `[lanes]` over those elements only
    where a tensor `[lanes, *batch]` is not 0."""

    batch: tuple[int, ...]
    over: Callable[[Tensor], Tensor | None]


@dataclass(frozen=True, slots=True, eq=False)
class Summand:
    """A summand `[lanes or 1, *shape]` of a value; `reduced`: it enters as the sum over its shape."""

    value: Tensor
    lanes: Lanes
    taint: Taint
    reduced: bool = False

    def scaled(self, factor: Tensor | float) -> Summand:
        """This term times a factor without taint, a number or `[lanes, ...]` on the same lanes."""
        return Summand(self.value * factor, self.lanes, self.taint, self.reduced)


@dataclass
class Ledger:
    """The executions of one block of runs."""

    executions: list[Execution] = field(default_factory=list)

    def execute(self, lanes: Lanes, log_density: Tensor, baseline: str) -> int:
        """A score site has drawn; gives its bit."""
        bit = 1 << len(self.executions)
        self.executions.append(Execution(bit, lanes, log_density, baseline))
        return bit

    def excuse(self, bit: int, relevant: Tensor) -> None:
        """Of an execution only some draws matter (`Execution.relevant`)."""
        place = bit.bit_length() - 1
        self.executions[place] = replace(self.executions[place], relevant=relevant)

    def recount(self, bit: int, log_density: Tensor) -> None:
        """The same of one whose log density is a sum: that of the draws that matter."""
        place = bit.bit_length() - 1
        self.executions[place] = replace(self.executions[place], log_density=log_density)


def without(value: Tensor, factor: Tensor) -> Tensor:
    """The value, 0 where the factor is (in one pass)."""
    return torch.ops.aten.hardshrink_backward(value, factor, 0.0)  # type: ignore[no-any-return]


def trailing(value: Tensor, dimensions: int) -> Tensor:
    """With axes of 1 behind, up to so many."""
    return value.reshape(*value.shape, *(1,) * (dimensions - value.dim()))


def view(value: Tensor, lanes: Lanes, target: Lanes) -> Tensor:
    """A value `[lanes or 1, ...]` on other lanes `[target or 1, ...]`: 0 for lanes that did not come by."""
    if lanes is target:
        return value
    if lanes in target.line():
        index = target.map_to(lanes)
        return value if value.shape[0] == 1 or index is None else value.index_select(0, index)
    rows = value.expand(lanes.count, *value.shape[1:])
    if target in lanes.line():
        index = lanes.map_to(target)
        assert index is not None
        empty = torch.zeros(target.count, *value.shape[1:], dtype=value.dtype, device=value.device)
        return empty.index_add(0, index, rows) if lanes.spread_since(target) else empty.index_copy(0, index, rows)
    found = target.places_in(lanes, value.device)
    came = (found >= 0).reshape(-1, *(1,) * (value.dim() - 1))
    return choose(came, rows.index_select(0, found.clamp_min(0)), 0.0)


def returned(incoming: Tensor, target: Lanes, lanes: Lanes) -> Tensor:
    """The converse of `view` for gradients: what `[target, ...]` adds up to on the lanes `[lanes, ...]` of a value."""
    if lanes is target:
        return incoming
    if target in lanes.line():
        index = lanes.map_to(target)
        return incoming if index is None else incoming.index_select(0, index)
    places = target.map_to(lanes) if lanes in target.line() else target.places_in(lanes, incoming.device)
    assert places is not None
    came = places >= 0
    empty = torch.zeros(lanes.count, *incoming.shape[1:], dtype=incoming.dtype, device=incoming.device)
    return empty.index_add(0, places[came], incoming[came])


def columns(masks: Sequence[int], count: int) -> list[int]:
    """The transpose of a matrix of bits: `masks` are rows of `count` bits, the result has `count` rows."""
    if len(masks) == 1:
        return [(masks[0] >> position) & 1 for position in range(count)]
    every = (1 << count) - 1
    width = -(-count // 8)
    rows = numpy.frombuffer(b"".join((mask & every).to_bytes(width, "little") for mask in masks), dtype=numpy.uint8)
    rows = rows.reshape(len(masks), width)
    found: list[int] = []
    for start in range(0, width, TOGETHER):
        part = numpy.ascontiguousarray(rows[:, start : start + TOGETHER].T)
        for byte in numpy.stack([numpy.packbits(part & (1 << bit), axis=1, bitorder="little") for bit in range(8)], axis=1):
            found += [int.from_bytes(one.tobytes(), "little") for one in byte]
    return found[:count]
