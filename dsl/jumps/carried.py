"""What is carried backwards through a text: expressions whose zeros are jumps further on, and what is lost (`backward.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..names.scopes import nodes_in
from ..syntax import Expression
from ..text.source import Span
from .atoms import Unfound
from .solving import names_of

MOST_ATOMS = 32
MOST_LONG = 200  # parts of an expression


class Missable(Exception):
    def __init__(self, span: Span, reason: str):
        self.unfound = Unfound(span, reason)
        super().__init__(reason)


@dataclass(frozen=True)
class Carried:
    """An expression whose zeros, or whole values, are jumps further on; `span` is where."""

    value: Expression
    lattice: bool = False
    span: Span = field(default=Span(0, 0), compare=False)

    def of(self, value: Expression) -> Carried:
        """Another expression in its place."""
        return Carried(value, self.lattice, self.span)


@dataclass
class Carrying:
    """What is carried, in its order; and names in jumps that are not followed any more, with where and why."""

    carried: dict[Carried, None] = field(default_factory=dict)
    lost: dict[str, tuple[Span, str]] = field(default_factory=dict)

    def copy(self) -> Carrying:
        return Carrying(dict(self.carried), dict(self.lost))

    def unite(self, other: Carrying) -> None:
        for one in other.carried:
            self.carried.setdefault(one)
        for name, why in other.lost.items():
            self.lost.setdefault(name, why)

    def lose(self, names: Iterable[str], span: Span, reason: str) -> None:
        for name in names:
            self.lost.setdefault(name, (span, reason))

    def settle(self, random: frozenset[str]) -> None:
        """What no continuous draw reaches is let go, and of too many only the names are kept."""
        self.lost = {name: why for name, why in self.lost.items() if name in random}
        self.carried = {one: None for one in self.carried if (names_of(one.value) & random) - self.lost.keys()}
        for one in [one for one in self.carried if sum(1 for _ in nodes_in(one.value)) > MOST_LONG]:
            self.lose(names_of(one.value), one.span, "what is compared here becomes longer and longer")
            del self.carried[one]
        if len(self.carried) > MOST_ATOMS:
            for one in self.carried:
                self.lose(names_of(one.value), one.span, f"the jumps here are more than {MOST_ATOMS}")
            self.carried = {}
