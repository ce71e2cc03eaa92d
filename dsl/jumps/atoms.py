"""Atoms: expressions of a draw whose zeros are jumps of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..syntax import Arithmetic, Expression, Name, Number, Term
from ..text.source import Span

DRAW = "\1draw"  # the name of the draw in an atom; no text can name it
SIZE = "\1size"  # how many numbers a draw has
INSIDE = "\1inside"  # a number in a part of a draw


class Form(Enum):
    """How it is found where a part of an atom has a given value."""

    SOLVED = "it is the draw"
    AFFINE = "by the value at 0 and the slope"
    SUMMED = "in each number that is drawn, beside all others"


@dataclass(frozen=True)
class Part:
    """Some of the numbers of a draw, as `v[start:stop]`."""

    start: int
    stop: int | None

    @property
    def size(self) -> Expression:
        """How many they are."""
        if self.stop is not None and (self.start < 0) == (self.stop < 0):
            return Number(float(self.stop - self.start))
        if self.start < 0 and self.stop is None:
            return Number(float(-self.start))
        from_end = Number(float(self.start - (self.stop or 0)))
        return Arithmetic(Name(SIZE), (Term("-", from_end),))

    def meets(self, other: Part) -> bool:
        """Whether a number may be in both."""
        ends = [self.start, other.start, *(end for end in (self.stop, other.stop) if end is not None)]
        if any(end < 0 for end in ends) and any(end >= 0 for end in ends):
            return True
        first, last = sorted((self, other), key=lambda one: one.start)
        return first.stop is None or first.stop > last.start


@dataclass(frozen=True)
class LeftOut:
    """The name of what the others come to, for each number in a part of a draw, or of what all in another part come to: of `value`,
    a function of a number (INSIDE in it); at a `place` in their order."""

    name: str
    kind: str
    value: Expression
    part: Part | None
    place: Expression | None


@dataclass(frozen=True)
class Atom:
    """`value` jumps where it is 0 (of a `lattice`: a whole number).  That is where a `part` of it has one of the values `goals`
    (of a lattice the one, of the number, GOAL), or where `outer`, a function of that part (DRAW in it), has one, which is found by
    halving, as it rises (`rises` is 1) or falls (-1).  `slope`: of an affine part, or of a sum in each number; `summed`: what is
    added up over all numbers of the draw.  `factors` are what a change of the draw is multiplied by on its way to the value, as far
    back as the text tells what they are; `poles`: it may change its sign through infinity; `kept` names are 0 nowhere
    in the text.  Where it is a function of each number of a draw beside all `others`: `whole`, of all of them, of whose jump each
    number `inside` is a root, with a share; `places`, of those in their order, must lie apart."""

    value: Expression
    lattice: bool
    form: Form
    part: Expression
    goals: tuple[Expression, ...]
    span: Span
    origin: str
    slope: Expression | None = None
    factors: tuple[Expression, ...] = ()
    outer: Expression | None = None
    rises: int = 0
    summed: tuple[Expression, ...] = ()
    poles: bool = False
    kept: frozenset[str] = frozenset()
    others: tuple[LeftOut, ...] = ()
    whole: Expression | None = None
    inside: Part | None = None
    places: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class Unfound:
    """Why the jumps of a program are not all found: what stands in the way, and where."""

    span: Span
    reason: str


@dataclass(frozen=True)
class Atoms:
    """By site the atoms of its draws, and the `places` of the jumps that they are all roots of."""

    at: Mapping[int, tuple[Atom, ...]]
    places: frozenset[Span]
