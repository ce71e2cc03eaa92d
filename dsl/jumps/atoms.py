"""Atoms: expressions of a draw whose zeros are jumps of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..syntax import Expression
from ..text.source import Span

DRAW = "\1draw"  # the name of the draw in an atom; no text can name it


class Form(Enum):
    """How it is found where a part of an atom has a given value."""

    SOLVED = "it is the draw"
    AFFINE = "by the value at 0 and the slope"
    SUMMED = "in each number that is drawn, beside all others"


@dataclass(frozen=True)
class Atom:
    """`value` jumps where it is 0 (of a `lattice`: a whole number).  That is where a `part` of it has one of the values `goals`
    (of a lattice the one, of the number, GOAL), or where `outer`, a function of that part (DRAW in it), has one, which is found by
    halving, as it rises (`rises` is 1) or falls (-1).  `slope`: of an affine part, or of a sum in each number; `summed`: what is
    added up over all numbers of the draw.  `factors` are what a change of the draw is multiplied by on its way to the value, as far
    back as the text tells what they are; `poles`: it may change its sign through infinity; `kept` names are 0 nowhere
    in the text."""

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
