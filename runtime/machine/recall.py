"""Calls that have been made before: a function that draws nothing gives the same for the same arguments on the same lanes.

Remembered from the outermost call of such a function (`dsl/analysis/calls.py`) to its return: until then the outer variables stand
still and all lanes descend from those of that call.  What is found again is the value itself, so what is computed from it is
differentiated rightly.

A call is known by its lanes, as the places they have among those of the outermost call, and by what it was given: numbers, and
arrays without a derivative, by what they are; a value that carries a derivative, by the expression that made it of what the caller
was given, else by being the very same.  Never by being close.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from torch import Tensor

from ...dsl.analysis.calls import Rememberable, rememberable
from ...dsl.names.resolved import Resolved
from ...dsl.syntax import Call, Expression
from ..lanes.frames import Activation, Frame
from ..lanes.lanes import Lanes
from ..lanes.values import Plain, Uniform, known_by

MOST_NUMBERS = 2**24  # in the values that are kept
LARGE = 2**20  # numbers of an argument that are not looked at


@dataclass(frozen=True)
class Recalled:
    """What a call gave; `note`: what it has done beside (`Recall.leave`)."""

    value: Plain
    note: Any

    @property
    def size(self) -> int:
        """How many numbers are kept."""
        return max(self.value.numbers, 1)


class Recall:
    """The calls of one block that are remembered.  `looking`: into arrays; a graph must not depend on what is in them."""

    def __init__(self, resolved: Resolved):
        self.text: Rememberable = resolved.prepared.once("rememberable", None, lambda: rememberable(resolved))
        self.looking = True
        self.base: Lanes | None = None  # those of the outermost call
        self.known: dict[Hashable, Recalled] = {}
        self.kept = 0
        self.open: list[tuple[Activation, dict[str, Hashable]]] = []  # calls at work, and what their arguments are known by
        self.names: dict[Hashable, int] = {}  # short ones, of what things are known by
        self.places: dict[Lanes, Hashable] = {}
        self.held: dict[int, Tensor] = {}  # what is known by being the very same lives on, so that nothing else gets its id

    # -------------------------------------------------------------------------------------- hooks for credit
    def marks(self, machine: Any, frame: Frame) -> Hashable:
        """What else there is to a call that is about to be made, beside its lanes and arguments."""
        return None

    def enter(self, machine: Any) -> Any:
        """A call begins; what `leave` wants back."""
        return None

    def leave(self, machine: Any, entered: Any) -> Any:
        """It has ended; what it has done beside giving a value."""
        return None

    def again(self, machine: Any, note: Any) -> None:
        """The same is done again."""

    # ------------------------------------------------------------------------------------------- what is known
    def begin(self, lanes: Lanes) -> bool:
        """Whether this is the outermost call."""
        if self.base is not None:
            return False
        self.base = lanes
        return True

    def forget(self) -> None:
        """The outermost call has ended."""
        self.base = None
        self.kept = 0
        for kept in (self.known, self.open, self.names, self.places, self.held):
            kept.clear()

    def keep(self, key: Hashable, known: Recalled) -> None:
        """Remember a call; of too much, the oldest is forgotten."""
        self.known[key] = known
        self.kept += known.size
        while self.kept > MOST_NUMBERS:
            self.kept -= self.known.pop(next(iter(self.known))).size

    def keys(self, node: Call, arguments: Sequence[Plain], frame: Frame) -> list[Hashable]:
        """What the arguments of a call are known by."""
        return [self._key(argument.value, value, frame) for argument, value in zip(node.arguments, arguments, strict=True)]

    def _key(self, node: Expression, value: Plain, frame: Frame) -> Hashable:
        raw = value.raw
        if not isinstance(raw, Tensor):
            return known_by(raw)
        if not raw.requires_grad and self.looking and raw.numel() <= LARGE:
            return isinstance(value, Uniform), value.shape, content(raw)
        made = self.text.made.get(id(node))
        if made is not None and self.open and self.open[-1][0] is frame.activation:
            given = self.open[-1][1]
            if made.alone and made.names[0] in given:
                return given[made.names[0]]
            key = made.form, *(given.get(name) for name in made.names)
            return "made", self.names.setdefault(key, len(self.names))
        self.held[id(raw)] = raw
        return "same", id(raw), value.shape

    def where(self, lanes: Lanes) -> Hashable:
        """The places of lanes among those of the outermost call."""
        assert self.base is not None
        if lanes not in self.places:
            index = lanes.map_to(self.base)
            self.places[lanes] = None if index is None else content(index) if self.looking else id(lanes)
        return self.places[lanes]


def content(value: Tensor) -> Hashable:
    """What is in an array."""
    return value.dtype, tuple(value.shape), blake2b(value.detach().cpu().contiguous().numpy().tobytes()).digest()


__all__ = ["Recall", "Recalled", "content"]
