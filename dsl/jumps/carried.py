"""What is carried backwards through a program (`backward.py`), and what it asks of the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..names.resolved import Resolved
from ..syntax import (
    Assign,
    Call,
    Comparison,
    Conditional,
    Draw,
    Expression,
    For,
    Function,
    If,
    Index,
    Logical,
    Node,
    Number,
    Range,
    Sample,
    Vector,
    While,
    children,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, Smoothness
from ..text.source import Span
from .atoms import Unfound
from .solving import changed, names_of

MOST_ATOMS = 32
MOST_OUTCOMES = 16  # of a draw between a jump and an earlier draw


class Refused(Exception):
    """Some jump could be missed."""

    def __init__(self, span: Span, reason: str):
        self.unfound = Unfound(span, reason)
        super().__init__(reason)


@dataclass(frozen=True)
class Carried:
    """An expression whose zeros, or whole values, are jumps further on; `span` is where."""

    value: Expression
    lattice: bool = False
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass
class Carrying:
    """What is carried, in its order; and names in jumps that are not followed any more, with where and why."""

    carried: dict[Carried, None] = field(default_factory=dict)
    lost: dict[str, tuple[Span, str]] = field(default_factory=dict)

    def copy(self) -> Carrying:
        """The same, to go another way with."""
        return Carrying(dict(self.carried), dict(self.lost))

    def unite(self, other: Carrying) -> None:
        """With what comes another way."""
        for one in other.carried:
            self.carried.setdefault(one)
        for name, why in other.lost.items():
            self.lost.setdefault(name, why)

    def lose(self, names: Iterable[str], span: Span, reason: str) -> None:
        """Names are in jumps that are not followed."""
        for name in names:
            self.lost.setdefault(name, (span, reason))

    def settle(self, random: frozenset[str]) -> None:
        """What no continuous draw reaches is let go, and of too many only the names are kept."""
        self.carried = {one: None for one in self.carried if names_of(one.value) & random}
        self.lost = {name: why for name, why in self.lost.items() if name in random}
        if len(self.carried) > MOST_ATOMS:
            for one in self.carried:
                self.lose(names_of(one.value), one.span, f"the jumps here are more than {MOST_ATOMS}")
            self.carried = {}


def nodes_of(root: Node) -> list[Node]:
    """A node and all below it."""
    found, pending = [], [root]
    while pending:
        node = pending.pop()
        found.append(node)
        pending += children(node)
    return found


def in_place(node: Expression, these: list[Index], value: Expression) -> Expression:
    """The expression with a value in place of elements."""
    return changed(node, lambda part: value if part in these else None)  # type: ignore[no-any-return]


def random_names(resolved: Resolved) -> frozenset[str]:
    """The names that continuous draws reach by data."""
    found: set[str] = set()
    made: list[tuple[str, frozenset[str]]] = []
    for node in nodes_of(resolved.program.body):
        if isinstance(node, Sample) and not DISTRIBUTIONS[node.distribution.name].discrete:
            found.add(node.name)
        elif isinstance(node, Assign):
            if any(isinstance(part, Draw | Call) and _draws(part, resolved) for part in nodes_of(node.value)):
                found.add(node.name)
            made.append((node.name, names_of(node.value)))
        elif isinstance(node, For) and not isinstance(node.iterable, Range):
            made.append((node.variable, names_of(node.iterable)))
    before = -1
    while before < len(found):
        before = len(found)
        found |= {name for name, names in made if names & found}
    return frozenset(found)


def _draws(node: Draw | Call, resolved: Resolved) -> bool:
    if isinstance(node, Draw):
        return not DISTRIBUTIONS[node.distribution.name].discrete
    return node.function in resolved.functions or node.function in resolved.external


def outcomes_of(node: Sample) -> list[float]:
    """The outcomes of a discrete draw, where they are few and known."""
    match node.distribution.name:
        case "Bernoulli":
            return [0.0, 1.0]
        case "Categorical":
            weights = node.distribution.arguments[0].value
            while isinstance(weights, Call) and len(weights.arguments) == 1 and weights.function in ("softmax", "exp", "sigmoid"):
                weights = weights.arguments[0].value
            if isinstance(weights, Vector) and len(weights.items) <= MOST_OUTCOMES:
                return [float(number) for number in range(len(weights.items))]
        case "Binomial":
            total = node.distribution.arguments[0].value
            if isinstance(total, Number) and total.value < MOST_OUTCOMES:
                return [float(number) for number in range(int(total.value) + 1)]
    return []


def jumps_by(node: Call) -> bool:
    """Whether a built-in function jumps."""
    row = FUNCTIONS.get(node.function)
    return row is not None and Smoothness.JUMP in row.smoothness


def look_into(function: Function) -> None:
    """Calls of what is no expression are not followed: what they would hide is refused."""
    for node in nodes_of(function.body):
        jumping = isinstance(node, If | While | Conditional | Comparison | Logical)
        jumping |= isinstance(node, Call) and jumps_by(node)
        drawing = isinstance(node, Sample | Draw) and not DISTRIBUTIONS[node.distribution.name].discrete
        if jumping or drawing:
            raise Refused(node.span, f"it stands in the function `{function.name}`, which is not looked into")
