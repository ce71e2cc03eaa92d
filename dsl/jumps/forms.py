"""How the roots of an atom are found: what part of it has to have which value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from ..names.scopes import nodes_in
from ..syntax import Argument, Expression, Name, Number, Term
from .atoms import DRAW, Atom, Form
from .inverting import GOAL
from .rising import direction, sign
from .solving import affine, names_of, put, slope
from .summed import slopes, summed


def formed(atom: Atom) -> Atom | None:
    """The atom with how its part is solved for the draw, if it is an affine function of it, or of sums over it."""
    part = atom.part
    if part == Name(DRAW):
        return replace(atom, form=Form.SOLVED)
    if affine(part, DRAW):
        return replace(atom, form=Form.AFFINE, slope=slope(part, DRAW))
    inner = summed(part, DRAW) if not atom.lattice or atom.goals == (Name(GOAL),) else None
    if inner:
        return replace(atom, form=Form.SUMMED, slope=slopes(part, DRAW), summed=tuple(inner))
    return None


def by_halving(atom: Atom, signs: Mapping[str, int]) -> Atom | None:
    """The atom whose part rises or falls with something that can be solved for the draw: the larger, the better."""
    inside = {
        cast(Expression, one): None for one in nodes_in(atom.part)
        if DRAW in names_of(one) and one != atom.part and not isinstance(one, Argument | Term)
    }
    others = {name: known for name, known in signs.items() if name != DRAW}
    for one in sorted(inside, key=lambda one: -sum(1 for _ in nodes_in(one))):
        if DRAW in names_of(put(atom.part, one, Number(0.0))):
            continue
        outer = put(atom.part, one, Name(DRAW))
        rises = direction(outer, DRAW, {**others, DRAW: sign(one, signs)})
        found = formed(replace(atom, part=one, outer=outer, rises=rises)) if rises else None
        if found is not None and not (atom.lattice and found.form is Form.SUMMED):
            return found
    return None


__all__ = ["by_halving", "formed"]
