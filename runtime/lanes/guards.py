"""The assumptions of the plan that a run keeps an eye on.

A guard watches one expression over all lanes and blocks.  `sign`: the expression never takes both signs, or more
generally stays between the same two poles (of `tan`, of `lgamma` below zero); only its smallest and largest value matter.
`regular`: so does the determinant of a matrix.
`support`: the value of a `logpdf` stays inside the support.  `nonzero`: it is never exactly 0 (the base of a power).
`finite`: it has no infinity that carries a derivative, which what it goes into would turn into a number: `tanh(x/0)` has the
derivative 0 everywhere and jumps.  Such a number is looked at in float64 first, where less is infinite; `held` asks no more.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.analysis.flow import Guard
from ...dsl.syntax import Call, Node
from ..arrays.private import observed
from .lessons import GuardBroken, NotCompiled, TooCoarse
from .moving import Motion
from .values import Plain, Ragged, Value


def _between_integers(x: float) -> float:
    return min(math.floor(x), 0)


# Of functions with several poles: the number of the stretch between poles that a value lies in.
_STRETCH: dict[str, Callable[[float], float]] = {
    "tan": lambda x: math.floor(x / math.pi + 0.5),
    "lgamma": _between_integers,
    "digamma": _between_integers,
}


def _side(x: float) -> float:
    return float(x > 0)


def _orientation(raw: Tensor) -> Tensor | None:
    """The sign of the determinant of every matrix `[L]`; None of what is none."""
    if raw.dim() != 3 or raw.shape[1] != raw.shape[2]:
        return None
    sign: Tensor = torch.linalg.slogdet(raw.detach() if raw.is_floating_point() else raw.double()).sign
    return sign


@dataclass
class Watched:
    """The span of values that a guarded expression has taken."""

    owner: int
    stretch: Callable[[float], float]
    low: float = math.inf
    high: float = -math.inf


def _bounds(guard: Guard, dtype: torch.dtype) -> tuple[float, float]:
    """Between which a number that is differentiated must lie."""
    most = torch.finfo(dtype).max
    low = -math.inf if guard.low == -math.inf else max(guard.low, -most)
    return low, math.inf if guard.high == math.inf else min(guard.high, most)


class Guards:
    """The guards of one plan."""

    def __init__(self, guards: Iterable[Guard] = ()):
        by_kind: dict[str, list[Guard]] = {}
        for guard in guards:
            by_kind.setdefault(guard.kind, []).append(guard)
        self.supports = frozenset(guard.place for guard in by_kind.get("support", ()))
        self.signs = {id(guard.node): Watched(guard.place, self._stretch(guard)) for guard in by_kind.get("sign", ())}
        self.signs |= {id(guard.node): Watched(guard.place, _side) for guard in by_kind.get("regular", ())}
        self.matrices = frozenset(id(guard.node) for guard in by_kind.get("regular", ()))
        self.nonzero = {id(guard.node): guard.place for guard in by_kind.get("nonzero", ())}
        self.finite = {id(guard.node): guard for kind in ("held", "finite") for guard in by_kind.get(kind, ())}
        self.nodes = frozenset((*self.signs, *self.nonzero, *self.finite))
        self.pending: list[tuple[str, int, tuple[Tensor, ...]]] = []  # of a block that is being written down

    @property
    def any(self) -> bool:
        """Whether there is something to watch."""
        return bool(self.nodes or self.supports)

    @property
    def of_lanes(self) -> bool:
        """Whether what is watched may break on lanes that are not there."""
        return bool(self.signs or self.nonzero or self.supports)

    def fork(self) -> Guards:
        """The same guards for one block, which have seen nothing."""
        if not self.nodes:
            return self
        block = copy.copy(self)
        block.pending = []
        block.signs = {node: Watched(watched.owner, watched.stretch) for node, watched in self.signs.items()}
        return block

    def join(self, block: Guards) -> None:
        """Take in what a block has seen; raises GuardBroken."""
        if block is not self:
            for node, seen in block.signs.items():
                if seen.low <= seen.high:
                    self._widen(self.signs[node], seen.low, seen.high)

    @staticmethod
    def _stretch(guard: Guard) -> Callable[[float], float]:
        owner = guard.owner
        return _STRETCH.get(owner.function, _side) if isinstance(owner, Call) else _side

    def __contains__(self, place: int) -> bool:
        return place in self.supports

    def broken(self, place: int) -> None:
        """Report a broken guard."""
        raise GuardBroken(place)

    def see(self, node: Node, value: Value, motion: Callable[[], Motion]) -> None:
        """Take in the value of an expression; raises GuardBroken, TooCoarse."""
        place = id(node)
        if place not in self.nodes:
            return
        if isinstance(value, Ragged):
            return
        raw = value.raw
        if isinstance(raw, Tensor):
            if not value.numbers:
                return
            if observed():
                self._write_down(place, raw.detach())
                return
            if place in self.matrices:
                if (signs := _orientation(raw)) is not None:
                    self._widen(self.signs[place], float(signs.min()), float(signs.max()))
            elif place in self.signs:
                self._widen(self.signs[place], *value.ends)
            if place in self.nonzero and bool((raw.detach() == 0).any()):
                raise GuardBroken(self.nonzero[place])
            if place in self.finite:
                self._look(self.finite[place], value, raw, motion)
        else:
            if place in self.signs:
                self._widen(self.signs[place], float(raw), float(raw))
            if place in self.nonzero and raw == 0:
                raise GuardBroken(self.nonzero[place])

    @staticmethod
    def _look(guard: Guard, value: Plain, raw: Tensor, motion: Callable[[], Motion]) -> None:
        """Whether an infinity carries a derivative.  One sum tells of most values that they are finite."""
        detached = raw.detach()
        if not detached.is_floating_point():
            return
        single = detached.dtype != torch.float64
        if single and math.isfinite(float(detached.sum())):
            return
        low, high = _bounds(guard, detached.dtype)
        if not single and low <= value.ends[0] and value.ends[1] <= high:
            return
        beyond = (detached < low) | (detached > high)
        if not bool(beyond.any()):
            return
        if value.live and not motion().moves(raw, beyond):
            return  # as a mask is: softmax(where(allowed, x, -inf))
        if single:
            raise TooCoarse
        if guard.kind == "finite" and value.live:
            raise GuardBroken(guard.place)

    def _write_down(self, place: int, value: Tensor) -> None:
        if place in self.matrices:
            if (signs := _orientation(value)) is not None:
                self.pending.append(("sign", place, tuple(signs.aminmax())))
        elif place in self.signs:
            self.pending.append(("sign", place, tuple(value.aminmax())))
        if place in self.nonzero:
            self.pending.append(("nonzero", place, ((value == 0).any().float(),)))
        if place in self.finite and value.is_floating_point():
            low, high = _bounds(self.finite[place], value.dtype)
            if value.dtype == torch.float64 and bool(((value < low) | (value > high)).any()):
                raise NotCompiled("a number that is differentiated may be infinite")
            self.pending.append(("finite", place, (value.sum(),)))

    def refill(self, recorded: Guards, tensors: Iterator[Tensor]) -> None:
        """Take in what a block with the places of `recorded` has; raises GuardBroken, NotCompiled."""
        for kind, place, parts in recorded.pending:
            numbers = [float(next(tensors)) for _ in parts]
            if kind == "sign":
                self._widen(self.signs[place], *numbers)
            elif kind == "nonzero" and numbers[0]:
                raise GuardBroken(self.nonzero[place])
            elif kind == "finite" and not math.isfinite(numbers[0]):
                raise NotCompiled("a number that is differentiated may be infinite")

    @staticmethod
    def _widen(watched: Watched, low: float, high: float) -> None:
        watched.low, watched.high = min(watched.low, low), max(watched.high, high)
        if watched.stretch is _side:
            crossed = watched.low < 0 < watched.high
        elif math.isfinite(watched.low) and math.isfinite(watched.high):
            crossed = watched.stretch(watched.low) != watched.stretch(watched.high)
        else:
            return
        if crossed:
            raise GuardBroken(watched.owner)
