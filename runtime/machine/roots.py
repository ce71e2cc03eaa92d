"""Where a continuous draw makes the result jump, and what comes on both sides of it (`dsl/jumps/atoms.py`, FORKS.md).

For everything else fixed the result jumps where an atom, an expression of the draw, is 0 (or, of a lattice, a whole number).  Each
root r of one in the draw is a candidate (`forking.py`): its mass is the density f(r), its weight d F(r), and its two alternatives
draw r - h and r + h.  Of a lattice the root that is next to the draw is a candidate, over the probability that it is.
Roots are found on all lanes without derivatives; with them, on the lanes that take one, where it is watched that the atom changes
its sign between the two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.jumps.atoms import DRAW, Atom, Form
from ...dsl.names.resolved import Site
from ...dsl.syntax import Expression
from ...dsl.text.diagnostics import ProbError
from ..arrays.probes import unlike
from ..lanes.frames import Frame
from ..lanes.lanes import Lanes, carry
from ..lanes.lessons import TooCoarse
from ..lanes.lifting import Leaves
from ..lanes.values import PerLane, Plain, Uniform
from ..laws.corners import at_an_end, narrow, often
from ..laws.crossing import Unknown, below, crossed, spread
from ..laws.law import Law
from .arguments import Bound
from .machine import Machine

STEP, ULPS = 1e-8, 64.0  # from a root to its sides: of the width of the distribution, and of the last digits of the root
HALVINGS, DOUBLINGS = 80, 60
UNPARTED = 1e-3  # part of the roots at which an atom may not change its sign, for rounding
LEAST = 1e-12  # probability of a cell
CLOSE = 1e-9  # derivatives that are the same but for rounding


class Uneven(Exception):
    """A draw is compared with more numbers than it has."""


class Untold(Exception):
    """A run that does not come so far has no value of an expression."""


@dataclass(frozen=True)
class _Place:
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


def _affine(place: _Place, atom: Atom) -> tuple[Tensor, Tensor]:
    """The value of an atom at a draw of 0, and its slope."""
    level = place.value(atom.value, place.constant(0.0))
    return level, place.value(atom.value, place.constant(1.0)) - level


def _at(level: Tensor, slope: Tensor, goal: Tensor | float) -> Tensor:
    """Where an affine atom is `goal`."""
    flat = slope.detach() == 0
    found = (goal - level) / torch.where(flat, 1.0, slope)
    return torch.where(flat, torch.nan, found)


def roots(place: _Place, atom: Atom, draw: Tensor, law: Law) -> list[Found]:
    """The roots of an atom that are candidates beside a draw `[lanes, *batch]`."""
    if atom.form is Form.SOLVED and not atom.lattice:
        return [Found(place.value(root, None)) for root in atom.roots]
    if atom.form is Form.AFFINE:
        level, slope = _affine(place, atom)

        def inverse(goal: Tensor | float) -> Tensor:
            return _at(level, slope, goal)
    else:

        def inverse(goal: Tensor | float) -> Tensor:
            return _searched(place, atom, draw, goal)

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


def _searched(place: _Place, atom: Atom, draw: Tensor, goal: Tensor | float) -> Tensor:
    """The root of a monotone atom, by halving, and one step that carries the derivative."""
    with torch.no_grad():
        def over(point: Tensor) -> Tensor:
            return place.value(atom.value, point) - goal

        width = spread(place.law, draw).expand(place.shape).clone().clamp_min(torch.finfo(draw.dtype).tiny)
        low, high = draw - width, draw + width
        for _ in range(DOUBLINGS):
            inside = over(low).sign() * over(high).sign() <= 0
            if bool(inside.all()):
                break
            width = torch.where(inside, width, 2 * width)
            low, high = torch.where(inside, low, draw - width), torch.where(inside, high, draw + width)
        found = over(low).sign() * over(high).sign() <= 0
        at_low = over(low).sign()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            same = over(middle).sign() == at_low
            low, high = torch.where(same, middle, low), torch.where(same, high, middle)
        root = (low + high) / 2
        step = 1e-6 * spread(place.law, root).expand(place.shape) + 1e-12
        slope = (place.value(atom.value, root + step) - place.value(atom.value, root - step)) / (2 * step)
    over_root = place.value(atom.value, root)
    if over_root.requires_grad:
        root = root - (over_root - over_root.detach()) / torch.where(slope == 0, torch.nan, slope)
    return torch.where(found, root, torch.nan)


class Crossings:
    """The jumps of a draw `[lanes, *batch]`, one of which may be taken by each lane."""

    paired = True

    def __init__(self, machine: Machine, site: Site, atoms: Sequence[Atom], bound: Bound, draw: Tensor, frame: Frame):
        if machine.dtype != torch.float64:
            raise TooCoarse
        self.machine, self.site, self.bound = machine, site, bound
        self.atoms = sorted(atoms, key=lambda atom: atom.lattice)  # a root counts for the first that has it
        self.lanes, self.activation, self.draw = frame.lanes, frame.activation, draw
        self.frame = frame.child(frame.lanes)  # which stays where it is
        marks = frame.lanes.marks()
        self.own = None if marks is None else marks == 0  # the runs; alternatives, which take no others, stand next to jumps anyway
        place = self._place(frame.lanes, self.frame)
        with torch.enable_grad():
            found = self._found(place, place.law, draw)
        with torch.no_grad():
            moves = [bound.live or one.root.requires_grad for one in found]
            self.kinds = len(found)
            self.points = torch.stack([one.root for one in found], -1).reshape(draw.shape[0], -1)
            densities = [self._density(place.law, one) * move for one, move in zip(found, moves, strict=True)]
            masses = torch.stack(densities, -1)
            self.widths = torch.stack([self._width(place.law, one.root) for one in found], -1).reshape(draw.shape[0], -1)
            self.masses = self._once_each(masses.reshape(draw.shape[0], -1), found)
            self._no_corner(place, found, moves)

    def _place(self, lanes: Lanes, frame: Frame, rows: Tensor | None = None) -> _Place:
        arguments = {name: carry(value, self.lanes, lanes) for name, value in self.bound.arguments.items()}
        lifter = self.machine.lifter
        if lifter is not None:
            arguments = {
                name: lifter.lift(value, lanes) if isinstance(value, Uniform) else value for name, value in arguments.items()
            }
        return _Place(
            self.machine, frame, self.bound.with_arguments(arguments).law(), (lanes.count, *self.draw.shape[1:]),
        )

    def _found(self, place: _Place, law: Law, draw: Tensor) -> list[Found]:
        try:
            found = [(atom, roots(place, atom, draw, law)) for atom in self.atoms]
        except Unknown:
            raise self.refused("the distribution function of its draws is not known here") from None
        except Untold as problem:
            raise self.refused(f"where it jumps cannot be told in runs that do not come so far: {problem}") from None
        except Uneven:
            raise self.refused("a draw makes the result jump at as many places as an array has") from None
        self.atom_of = [atom for atom, several in found for _ in several]
        return [one for _, several in found for one in several]

    def refused(self, why: str) -> Exception:
        """P0403 at the site."""
        return self.machine.where.error(
            "P0403", f"no estimator is right at site `{self.site.name}`", self.site.span, why,
            help="draw from another distribution, or keep the draw away from jumps",
        )

    @staticmethod
    def _density(law: Law, found: Found) -> Tensor:
        """The mass of a root: 0 where there is none."""
        there = torch.isfinite(found.root)
        safe = torch.zeros_like(found.root) if law.support(found.root) is None else law.stand_in(found.root)
        density = law.log_prob(torch.where(there, found.root, safe)).exp()
        density = torch.where(there & torch.isfinite(density), density, 0.0)
        return density if found.cell is None else torch.where(there, density / found.cell, 0.0)

    @staticmethod
    def _width(law: Law, root: Tensor) -> Tensor:
        """From a root to its sides."""
        root = torch.where(torch.isfinite(root), root, 0.0)
        return STEP * spread(law, root).abs() + ULPS * torch.finfo(root.dtype).eps * root.abs()

    def _once_each(self, masses: Tensor, found: Sequence[Found]) -> Tensor:
        """Roots that are the same count once; P0403 where they move apart.  What is a root of a lattice counts there, also in lanes
        whose draw is next to another."""
        kinds = self.kinds
        if kinds == 1:
            return masses
        count = masses.shape[0]
        points, widths = (one.reshape(count, -1, kinds) for one in (self.points, self.widths))
        masses = masses.reshape(count, -1, kinds).clone()
        for later in range(1, kinds):
            for first in range(later):
                near = found[first].near
                with torch.enable_grad():
                    root = found[first].root if near is None else near(found[later].root.detach())
                point = points[..., first] if near is None else root.detach().reshape(count, -1)
                same = (points[..., later] - point).abs() <= 2 * (widths[..., later] + widths[..., first])
                same = same & (masses[..., later] > 0)
                if near is None:
                    same = same & (masses[..., first] > 0)
                if not bool(same.any()):
                    continue
                if often(same, self.own) and self._apart(root, found[later].root, same):
                    raise self.refused("two of its jumps are at the same place, and move apart")
                masses[..., later] = torch.where(same, 0.0, masses[..., later])
            for atom in dict.fromkeys(self.atom_of[:later]):
                if atom.lattice and atom is not self.atom_of[later]:
                    root, width = found[later].root.detach(), widths[..., later].reshape(found[later].root.shape)
                    before, after = (self._value(atom, root + side * width).floor() for side in (-1.0, 1.0))
                    parted = (before != after).reshape(count, -1)
                    masses[..., later] = torch.where(parted, 0.0, masses[..., later])
        return masses.reshape(count, -1)

    def _no_corner(self, place: _Place, found: Sequence[Found], moves: Sequence[bool]) -> None:
        """P0403 where the draws end at a root and the end moves otherwise, or where an atom is 0 whatever is drawn."""
        widths = self.widths.reshape(*self.draw.shape, self.kinds).unbind(-1)
        slack = 100 * CLOSE * float(spread(place.law, self.draw).abs().max())
        for atom, one, move, width in zip(self.atom_of, found, moves, widths, strict=True):
            if not move:
                continue
            if narrow(one.root.detach() - self.draw, spread(place.law, self.draw).expand(self.draw.shape), self.own):
                raise self.refused(f"its draws are so narrow that runs hardly ever come near to where the result {atom.origin}")
            with torch.enable_grad():
                ends = at_an_end(place.law, self.draw, one.root, width)
                if ends is not None and often(ends[0], self.own) and self._apart(one.root, ends[1], ends[0], slack):
                    raise self.refused(f"its draws end exactly where the result {atom.origin}, and move apart from that")
                if not often(one.root.isnan(), self.own):
                    continue
                value = place.value(atom.value, self.draw)
                nothing = one.root.isnan() & value.isfinite() & (value.detach() == (value.detach().round() if atom.lattice else 0))
                if often(nothing, self.own) and self._apart(value, value.detach(), nothing, CLOSE):
                    raise self.refused(f"the result {atom.origin} whatever is drawn, and a parameter moves that")

    def _value(self, atom: Atom, draw: Tensor) -> Tensor:
        """Of an atom on all lanes."""
        draw = torch.where(torch.isfinite(draw), draw, self.draw).detach()
        return self._place(self.lanes, self.frame).value(atom.value, draw).detach()

    def _apart(self, one: Tensor, other: Tensor, same: Tensor, slack: float = 0.0) -> bool:
        """Whether two roots move differently, by more than `slack`, where they are the same."""
        counted = same.reshape(one.shape)
        if self.own is not None:
            counted = counted & self.own.reshape(-1, *(1 for _ in one.shape[1:]))
        lifter, probe = self.machine.lifter, unlike(one) * counted
        points = Leaves(self.machine.leaves) if lifter is None else lifter
        none: list[Tensor | None] = [None] * len(points.points)
        pairs = [points.derive([root], [probe], True) if root.requires_grad else none for root in (one, other)]
        for first, second in zip(*pairs, strict=True):
            some = first if second is None else second
            if some is None:
                continue
            first, second = (torch.zeros_like(some) if found is None else found for found in (first, second))
            if not bool(((first - second).abs() <= CLOSE * (first.abs() + second.abs()) + slack).all()):
                return True
        return False

    # ------------------------------------------------------------------------------------------------ of some lanes
    def weight(self, rows: Tensor, ways: Tensor) -> Tensor:
        """How fast probability crosses the roots."""
        lanes = self.lanes.restrict(rows)
        inner = self.frame.child(lanes)
        place = self._place(lanes, inner)
        draw = self.draw.index_select(0, rows)
        total: Tensor | None = None
        elements, kind = ways // self.kinds, ways % self.kinds
        row = torch.arange(rows.shape[0], device=rows.device)
        for number, found in enumerate(self._found(place, place.law, draw.detach())):
            mine = kind == number
            if not bool(mine.any()):
                continue
            safe = torch.where(torch.isfinite(found.root), found.root, draw.detach())
            try:
                _, motion = crossed(place.law, safe)
            except Unknown:
                raise self.refused("how its draws move with a parameter is not known") from None
            if found.cell is not None:
                motion = motion / found.cell
            own = motion.reshape(rows.shape[0], -1)[row, elements]
            own = torch.where(mine, own, 0.0)
            total = own if total is None else total + own
        assert total is not None
        return total

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        """The draws before a root and after it."""
        elements = ways // self.kinds
        row = torch.arange(rows.shape[0], device=rows.device)
        point, width = self.points[rows, ways], self.widths[rows, ways]
        sides = []
        for side in (-1.0, 1.0):
            other = value.detach().index_select(0, rows).reshape(rows.shape[0], -1)
            other[row, elements] = point + side * width
            sides.append(other.view(-1, *value.shape[1:]))
        self._watch(rows, ways, sides)
        return sides

    @torch.no_grad()
    def _watch(self, rows: Tensor, ways: Tensor, sides: Sequence[Tensor]) -> None:
        """P0403 where an atom does not change between the two sides of its root."""
        lanes = self.lanes.restrict(rows)
        place = self._place(lanes, self.frame.child(lanes))
        elements, kind = ways // self.kinds, ways % self.kinds
        row = torch.arange(rows.shape[0], device=rows.device)
        for number, atom in enumerate(self.atom_of):
            mine = kind == number
            if not bool(mine.any()):
                continue
            values = [place.value(atom.value, side).reshape(rows.shape[0], -1)[row, elements] for side in sides]
            values = [value.floor() if atom.lattice else value.sign() for value in values]
            same = mine & (values[0] == values[1])
            if float(same.sum()) > max(1.0, UNPARTED * float(mine.sum())):
                raise self.refused(f"both sides of {atom.origin} are the same")


def crossings(machine: Machine, site: Site, bound: Bound, frame: Frame) -> Callable[[Tensor], Crossings | None]:
    """What finds the jumps of a draw."""
    def found(draw: Tensor) -> Crossings | None:
        atoms = machine.atoms.get(site.index, ())
        return Crossings(machine, site, atoms, bound, draw.detach(), frame) if atoms and draw.numel() else None

    return found
