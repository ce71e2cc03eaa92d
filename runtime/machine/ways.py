"""Ways to go on where a condition differs from lane to lane: lanes part and come together again, or both sides run on all lanes.

Both are objects with the same methods, so that what is executed under a condition is written once (`branching.py`).  `Apart` is the
usual one: each side runs on its own lanes, and sees nothing of what it does not take.  `Masked` is for graphs that are compiled,
which cannot hold lanes that split up: a frame under a condition has a `mask`, the lanes that are really there; a score site counts
there only, and what both sides set is put together by `torch.where`.  What is executed on lanes that are not there must do no harm:
whoever meets an error there (`NotCompiled`) lets the lanes go apart after all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from ..arrays.kernels import choose as pick
from ..arrays.kernels import partition
from ..lanes.frames import HIDDEN, Frame, bring, merge
from ..lanes.ledger import Summand
from ..lanes.lessons import NotCompiled
from ..lanes.values import PerLane, Plain, Ragged, Uniform, Value, is_truth, same
from .setting import Setting

Joined = Callable[[list[Value]], Value]  # makes one value of those of the two sides
DEEP = 64  # calls in calls that are compiled
MANY = 1024  # recursive calls that are compiled


class Parted(Protocol):
    """Two sides of a condition, each in a frame of its own: where it holds, and where not."""

    sides: tuple[Frame, Frame]

    def join(self) -> Joined:
        """Put what the sides set back into their parent; gives what joins further values."""
        ...


class Branching(Protocol):
    """A way to go on under conditions."""

    def part(self, setting: Setting, frame: Frame, held: Tensor) -> Parted | bool:
        """Where a condition `[lanes]` holds and where not; True where it holds in all lanes, False where in none."""
        ...

    def leave(self, held: Tensor) -> tuple[Tensor, Tensor] | bool:
        """The lanes that stay in a loop and those that leave it; True where all stay, False where all leave."""
        ...

    def count_apart(self) -> None:
        """A loop is about to be counted by each lane for itself."""
        ...

    def call(self, depth: int, again: int) -> None:
        """A call is about to be made, so deep, of a function that has called itself so often."""
        ...


class Apart:
    """Each side on its own lanes."""

    def part(self, setting: Setting, frame: Frame, held: Tensor) -> Parted | bool:
        """Where a condition holds and where not."""
        indices = frame.lanes.again("leave", self.leave, held)
        return indices if isinstance(indices, bool) else _Lanes(setting, frame, indices)

    def leave(self, held: Tensor) -> tuple[Tensor, Tensor] | bool:
        """The lanes that stay and those that leave."""
        staying, leaving = partition(held)
        return (staying, leaving) if staying.shape[0] and leaving.shape[0] else staying.shape[0] > 0

    def count_apart(self) -> None:
        """As it comes."""

    def call(self, depth: int, again: int) -> None:
        """As it comes."""


APART = Apart()


class _Lanes:
    """Lanes that have parted."""

    def __init__(self, setting: Setting, frame: Frame, indices: tuple[Tensor, Tensor]):
        self.setting = setting
        self.frame = frame
        taken, others = (frame.child(frame.lanes.restrict(index)) for index in indices)
        self.sides = taken, others

    def join(self) -> Joined:
        """What they assigned is merged; sides that have returned are not there any more."""
        return cast(Joined, merge(self.frame, list(self.sides), self.setting.joiner))


class Masked:
    """Both sides on all lanes."""

    def part(self, setting: Setting, frame: Frame, held: Tensor) -> Parted | bool:
        """Two frames with masks."""
        if setting.guards is not None and setting.guards.of_lanes:
            raise NotCompiled("the estimator's assumptions are watched inside a random branch")
        return _Masks(setting, frame, held)

    def leave(self, held: Tensor) -> tuple[Tensor, Tensor] | bool:
        """No lane can leave."""
        raise NotCompiled("a loop or a recursion ends at random")

    def count_apart(self) -> None:
        """No lane can count for itself."""
        raise NotCompiled("the length of a loop is random")

    def call(self, depth: int, again: int) -> None:
        """Graphs are finite."""
        if depth >= DEEP:
            raise NotCompiled("a recursion is deep")
        if again > MANY:
            raise NotCompiled("a recursion makes many calls")


class _Masks:
    """All lanes, under a mask."""

    def __init__(self, setting: Setting, frame: Frame, held: Tensor):
        self.setting = setting
        self.frame = frame
        self.held = held
        self.sides = frame.child(frame.lanes), frame.child(frame.lanes)
        for child, mask in zip(self.sides, (held, torch.logical_not(held)), strict=True):
            child.mask = mask if frame.mask is None else frame.mask & mask

    def join(self) -> Joined:
        """Of each variable what the side gave that a lane has taken."""
        for child in self.sides:
            if child.lanes is not self.frame.lanes or not child.weighed_as(self.frame):
                raise NotCompiled("a random branch ends in a `return`, or enumerates outcomes")
        taken, others = self.sides
        for name in dict.fromkeys(name for child in self.sides for name in child.values if name[0] != HIDDEN):
            if self.frame.has(name) or (name in taken.values and name in others.values):
                bring(self.frame, name, list(self.sides), self.choose)
        return self.choose

    def choose(self, values: list[Value]) -> Value:
        """The first value in the lanes where the condition holds, else the second."""
        one, other = values
        if one is other:
            return one
        if isinstance(one, Ragged) or isinstance(other, Ragged) or one.shape != other.shape:
            raise NotCompiled("an array has different shapes on the two sides of a random branch")
        if (number := same([one, other])) is not None:
            return number
        setting = self.setting
        kind = torch.bool if is_truth(one) and is_truth(other) else setting.dtype
        first, second = (self._lifted(value).tensor(kind, setting.device).to(kind) for value in (one, other))
        return PerLane(pick(spread(self.held, first), first, second))

    def _lifted(self, value: Plain) -> Plain:
        """What is the same in all lanes meets the runs here."""
        lifter = self.setting.lifter
        return value if lifter is None or not isinstance(value, Uniform) else lifter.lift(value, self.frame.lanes)


def spread(mask: Tensor, like: Tensor) -> Tensor:
    """A mask `[lanes]` with as many axes as a value."""
    return mask.reshape(mask.shape[0], *(1,) * (like.dim() - 1))


def counted(mask: Tensor | None, value: Tensor) -> Tensor:
    """The value where the mask holds, else 0."""
    return value if mask is None else pick(spread(mask, value), value, 0.0)


def terms_here(frame: Frame, terms: Sequence[Summand]) -> list[Summand]:
    """Terms, of the lanes that are here."""
    if frame.mask is None:
        return list(terms)
    return [Summand(counted(frame.mask, term.value), term.lanes, term.taint, term.reduced) for term in terms]
