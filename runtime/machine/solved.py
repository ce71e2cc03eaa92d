"""The roots of an atom in a draw: given, or by two evaluations (`dsl/jumps/atoms.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.jumps.atoms import DRAW, Atom, Form
from ...dsl.syntax import Expression
from ...dsl.text.diagnostics import ProbError
from ..lanes.frames import Frame
from ..lanes.values import PerLane, Plain, Uniform
from ..laws.crossing import below
from ..laws.law import Law
from .machine import Machine

LEAST = 1e-12  # probability of a cell


class Uneven(Exception):
    """A draw is compared with more numbers than it has."""


class Untold(Exception):
    """A run that does not come so far has no value of an expression."""


@dataclass(frozen=True)
class Spot:
    """Lanes on which atoms are evaluated, and the law of the draw there."""

    machine: Machine
    frame: Frame
    law: Law
    shape: tuple[int, ...]

    def value(self, expression: Expression, draw: Tensor | float | None) -> Tensor:
        """Of an expression, with this draw `[lanes, *batch]`."""
        aside = self.machine.aside
        assert aside is not None
        inner = self.frame.child(self.frame.lanes)
        if draw is not None:
            drawn: Plain = PerLane(draw) if isinstance(draw, Tensor) else Uniform(float(draw))
            inner.write(DRAW, drawn)
        try:
            with torch.enable_grad():  # what is the same in all lanes is computed once, and then with its derivative
                found = aside.evaluate(expression, inner)
        except ProbError as problem:
            raise Untold(str(problem.diagnostics[0].title)) from None
        if isinstance(found, Uniform) and found.live and aside.lifter is not None:
            found = aside.lifter.lift(found, inner.lanes)
        number = aside.number(found)
        if number.dim() == 1 and len(self.shape) > 1:  # one for all elements
            number = number.reshape(-1, *(1,) * (len(self.shape) - 1))
        try:
            return number.expand(self.shape)
        except RuntimeError:
            raise Uneven from None

    def constant(self, number: float) -> Tensor:
        """A draw that is the same everywhere."""
        return torch.full(self.shape, number, dtype=self.machine.dtype, device=self.machine.device)


@dataclass(frozen=True)
class Found:
    """A root `[lanes, *batch]` of an atom (nan: none), and the probability of the cell in which it is next to the draw (None:
    1).  Of a lattice `near` gives the root that is next to a point."""

    root: Tensor
    cell: Tensor | None = None
    near: Callable[[Tensor], Tensor] | None = None


def _affine(place: Spot, atom: Atom) -> tuple[Tensor, Tensor]:
    """The value of an atom at a draw of 0, and its slope."""
    level = place.value(atom.value, place.constant(0.0))
    return level, place.value(atom.value, place.constant(1.0)) - level


def _at(level: Tensor, slope: Tensor, goal: Tensor | float) -> Tensor:
    """Where an affine atom is `goal`."""
    flat = slope.detach() == 0
    found = (goal - level) / torch.where(flat, 1.0, slope)
    return torch.where(flat, torch.nan, found)


def roots(place: Spot, atom: Atom, draw: Tensor, law: Law) -> list[Found]:
    """The roots of an atom that are candidates beside a draw `[lanes, *batch]`."""
    if atom.form is Form.SOLVED and not atom.lattice:
        return [Found(place.value(root, None)) for root in atom.roots]
    level, slope = _affine(place, atom)

    def inverse(goal: Tensor | float) -> Tensor:
        return _at(level, slope, goal)

    if not atom.lattice:
        return [Found(inverse(0.0))]

    def near(point: Tensor) -> Tensor:
        with torch.no_grad():
            whole = place.value(atom.value, point).round()
        return inverse(whole)

    with torch.no_grad():
        next_to = place.value(atom.value, draw).round()
        ends = torch.stack([below(law, inverse(next_to + side).detach()) for side in (-0.5, 0.5)])
        cell = (ends[1] - ends[0]).abs()
    return [Found(inverse(next_to), cell.clamp_min(LEAST), near)]
