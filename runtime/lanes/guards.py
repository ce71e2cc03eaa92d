"""The assumptions of the plan that a run keeps an eye on.

A guard watches one expression over all lanes and blocks.  `sign`: the expression never takes both signs, or more
generally stays between the same two poles (of `tan`, of `lgamma` below zero); only its smallest and largest value matter.
`support`: the value of a `logpdf` stays inside the support.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ...dsl.analysis.flow import Guard
from ...dsl.syntax import Call, Node
from ..arrays.recording import recording
from ..arrays.scalars import floats
from .lanes import Value
from .lessons import GuardBroken


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


@dataclass
class Watched:
    """The span of values that a guarded expression has taken."""

    owner: int
    stretch: Callable[[float], float]
    low: float = math.inf
    high: float = -math.inf


class Guards:
    """The guards of one plan."""

    def __init__(self, guards: Mapping[int, Guard]):
        self.supports = frozenset(place for place, guard in guards.items() if guard.kind == "support")
        self.signs = {
            id(guard.node): Watched(place, self._stretch(guard)) for place, guard in guards.items() if guard.kind == "sign"
        }

        self.pending: list[tuple[Watched, Tensor, Tensor]] = []  # of a block that is being written down

    def fork(self) -> Guards:
        """The same guards for one block, which have seen nothing."""
        if not self.signs:
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

    def see(self, node: Node, value: Value) -> None:
        """Take in the value of an expression; raises GuardBroken."""
        watched = self.signs.get(id(node))
        if watched is None:
            return
        if isinstance(value, Tensor):
            if not value.numel():
                return
            ends = value.detach().aminmax()
            if recording():
                self.pending.append((watched, *ends))
                return
            low, high = floats(*ends)
        elif isinstance(value, float | bool | int):
            low = high = float(value)
        else:
            return
        self._widen(watched, low, high)

    def refill(self, recorded: Guards, tensors: Iterator[Tensor]) -> None:
        """Take in the ends that a block with the places of `recorded` has; raises GuardBroken."""
        places = {id(watched): node for node, watched in recorded.signs.items()}
        for watched, _, _ in recorded.pending:
            self._widen(self.signs[places[id(watched)]], float(next(tensors)), float(next(tensors)))

    @staticmethod
    def _widen(watched: Watched, low: float, high: float) -> None:
        watched.low, watched.high = min(watched.low, low), max(watched.high, high)
        if not math.isfinite(watched.low) or not math.isfinite(watched.high):
            return
        crossed = watched.low < 0 < watched.high if watched.stretch is _side else (
            watched.stretch(watched.low) != watched.stretch(watched.high)
        )
        if crossed:
            raise GuardBroken(watched.owner)
