"""Where a continuous draw makes the result jump, and what comes on both sides of it (`dsl/jumps/atoms.py`, FORKS.md).

For everything else fixed the result jumps where an atom, an expression of the draw, is 0 (or, of a lattice, a whole number).  Each
root r of one in the draw is a candidate (`forking.py`): its mass is the density f(r), its weight d F(r), and its two alternatives
draw r - h and r + h.  Of a lattice the root that is next to the draw is a candidate, over the probability that it is.
Roots are found on all lanes without derivatives; with them, on the lanes that take one, where it is watched that the atom changes
its sign between the two sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...dsl.jumps.atoms import DRAW, Atom, Form
from ...dsl.jumps.solving import names_of
from ...dsl.names.resolved import Site
from ...dsl.text.diagnostics import ProbError
from ..arrays.kernels import all_finite, where_true
from ..arrays.leave_one_out import Uneven
from ..lanes.forking import twins_of
from ..lanes.frames import Frame
from ..lanes.lanes import Lanes, Leading, carry
from ..lanes.lessons import TooCoarse
from ..lanes.values import PerLane, Plain, Uniform
from ..laws.corners import at_an_end, coarse, narrow, often, to_sides
from ..laws.crossing import Unknown, crossed, spread
from ..laws.others import Rows
from .arguments import Bound
from .elsewhere import CLOSE, computed, from_here, mass_of, move_apart, nowhere, of_all, partial_of, shared, told
from .machine import Machine
from .solved import FAR, SIDES, Found, Spot, Untold, faded, from_infinity, roots, unfound

UNPARTED = 1e-3  # part of the roots at which an atom may not change its sign, for rounding
WATCHED = 1024  # roots of one meeting that are looked at
EQUAL = 1e-11  # of the width, and of a root: what roots that are the same may be apart for rounding


def _single(value: Plain) -> bool:
    return not isinstance(value.raw, Tensor) or value.raw.numel() == 1


class Crossings:
    """The jumps of a draw `[lanes, *batch]`, one of which may be taken by each lane."""

    paired = True

    def __init__(self, machine: Machine, site: Site, atoms: Sequence[Atom], bound: Bound, draw: Tensor, frame: Frame):
        if machine.dtype != torch.float64:
            raise TooCoarse
        self.machine, self.site, self.bound = machine, site, bound
        assert machine.forks is not None
        self.home = self.lanes = frame.lanes
        self.entry = frame  # which stays where it is
        # a root counts for the first atom that has it
        self.atoms = sorted(atoms, key=lambda atom: (atom.whole is not None, atom.lattice))
        self.others = {one.name: one for atom in atoms for one in atom.others}
        self.elements = math.prod(draw.shape[1:])
        self.last: tuple[Tensor, Spot] | None = None  # of some lanes
        self.looked = machine.forks.often(site.index)
        twins = twins_of(frame.lanes)
        self.alike = frame.lanes.count > 1 and site.index not in machine.forks.unlike and self._uniform()
        if self.alike:
            self.lanes, draw = Leading(1, frame.lanes, draw.device), draw.reshape(-1)[:1].reshape((1,) * draw.dim())
        elif twins is not None and twins.front < frame.lanes.count:  # the others have no candidates
            self.lanes, draw = Leading(twins.front, frame.lanes, draw.device), draw[: twins.front]
        machine.forks.unlike.update(() if self.alike else (site.index,))
        marks = None if isinstance(self.lanes, Leading) else self.lanes.marks()
        self.own = None if marks is None else marks == 0  # the runs; alternatives, which take no others, stand next to jumps anyway
        self.draw = draw
        self.frame = self.entry.child(self.lanes)
        place = self._place(self.lanes, self.frame, draw)
        with torch.enable_grad():
            found = self._found(place, draw)
        with torch.no_grad():
            moves = [bound.live or one.root.requires_grad for one in found]
            self.kinds, self.law = len(found), place.law
            self.points = [one.root.detach() for one in found]
            sound = [all_finite(point) for point in self.points]
            for atom, point, move, fine in zip(self.atom_of, self.points, moves, sound, strict=True):
                if move and not fine:
                    self._no_rounding(place, atom, point)
            if self.looked:
                self._no_corner(place, found, moves)
                self._no_other(found)
            masses = [mass_of(place.law, *known) for known in zip(found, moves, sound, strict=True)]
            some = [number for number, mass in enumerate(masses) if len(masses) == 1 or bool(mass.any())] or [0]
            self.kinds, self.kind_of = len(some), some
            self._masses, self.points = ([table[number] for number in some] for table in (masses, self.points))
            still = [one for one, move in zip(found, moves, strict=True) if not move]
            self._once_each([found[number] for number in some], still, found)

    def total(self, count: int) -> Tensor:
        """The mass of all roots together, of the first lanes."""
        mass = self._masses[0]
        for more in self._masses[1:]:
            mass = mass + more
        if self.alike:
            return mass.reshape(1) * self.elements
        return mass[:count] if mass.dim() == 1 else mass[:count].flatten(1).sum(1)

    def masses(self, rows: Tensor) -> Tensor:
        """The mass of each root."""
        if self.alike:
            return torch.cat([mass.reshape(1) for mass in self._masses]).repeat(self.elements).unsqueeze(0)
        return torch.stack([mass.index_select(0, rows) for mass in self._masses], -1).reshape(rows.shape[0], -1)

    def _uniform(self) -> bool:
        """Whether the law, and what the draw is compared with, are the same in all lanes and for all elements."""
        if not all(isinstance(value, Uniform) and _single(value) for value in self.bound.arguments.values()):
            return False
        inner = self.entry.child(Leading(1, self.home, self.machine.device))
        inner.write(DRAW, Uniform(0.0))
        for atom in self.atoms:
            if atom.lattice or atom.form is Form.SUMMED or atom.whole is not None:
                return False
            for expression in (*atom.goals, atom.part, *([atom.outer] if atom.outer is not None else [])):
                if any(found and isinstance(found[0], PerLane) for found in map(inner.find, names_of(expression))):
                    return False
                assert self.machine.aside is not None
                try:
                    with torch.enable_grad():
                        found = self.machine.aside.evaluate(expression, inner)
                except ProbError:  # it is said where the roots are found
                    return False
                if not isinstance(found, Uniform) or not _single(found):
                    return False
        return True

    def _place(self, lanes: Lanes, frame: Frame, drawn: Tensor) -> Spot:
        arguments = {name: carry(value, self.home, lanes) for name, value in self.bound.arguments.items()}
        lifter = self.machine.lifter
        if lifter is not None:
            arguments = {
                name: lifter.lift(value, lanes) if isinstance(value, Uniform) else value for name, value in arguments.items()
            }
        if self.alike:  # one number is all that there is
            arguments = {name: type(value)(value.raw) for name, value in arguments.items()}
        shape = lanes.count, *self.draw.shape[1:]
        return Spot(self.machine, frame, self.bound.with_arguments(arguments).law(), shape, drawn, self.others)

    def _found(self, place: Spot, draw: Tensor) -> list[Found]:
        found = [(atom, self._roots(place, atom, draw)) for atom in self.atoms]
        self.atom_of = [atom for atom, several in found for _ in several]
        return [one for _, several in found for one in several]

    def _roots(self, place: Spot, atom: Atom, draw: Tensor) -> list[Found]:
        try:
            found = roots(place, atom, draw, place.law)
            return found if atom.whole is None else shared(place, atom, found, draw)
        except Unknown:
            raise self.refused("the distribution function of its draws is not known here") from None
        except Untold as problem:
            raise self.refused(f"where it jumps cannot be told in runs that do not come so far: {problem}") from None
        except Uneven as problem:
            raise self.refused(str(problem) or "a draw makes the result jump at as many places as an array has") from None

    def refused(self, why: str) -> Exception:
        """P0403 at the site."""
        return self.machine.where.error(
            "P0403", f"no estimator is right at site `{self.site.name}`", self.site.span, why,
            help="draw from another distribution, or keep the draw away from jumps",
        )

    def _once_each(self, found: Sequence[Found], still: Sequence[Found], every: Sequence[Found]) -> None:
        """Roots that are the same count once; P0403 where they move apart.  What is a root of a lattice counts there, also in lanes
        whose draw is next to another."""
        masses = self._masses
        if len(every) == 1:
            return
        for later in range(self.kinds):
            point = self.points[later]
            width = to_sides(self.law, point)
            for first, one in enumerate([*found[:later], *still]):
                with torch.enable_grad():
                    root = one.root if one.near is None else one.near(point)
                other = root.detach()
                same = ((point - other).abs() <= 2 * (width + to_sides(self.law, other))) & (masses[later] > 0)
                if one.near is None and first < later:
                    same = same & (masses[first] > 0)
                if not bool(same.any()):
                    continue
                off = (point - other).abs() > EQUAL * (spread(self.law, point).abs() + point.abs())
                if often(same & off, self.own):
                    raise self.refused("two of its jumps are nearly at the same place")
                if often(same, self.own) and self._apart(root, found[later].root, same):
                    raise self.refused("two of its jumps are at the same place, and move apart")
                if first < later:
                    masses[later] = torch.where(same, 0.0, masses[later])
                    self._one_jump(self.atom_of[self.kind_of[first]], self.atom_of[self.kind_of[later]], same)
            own = self.atom_of[self.kind_of[later]]
            for atom, before in dict(zip(self.atom_of[: self.kind_of[later]], every, strict=False)).items():
                if before.at is not None and atom is not own:
                    low, high = (before.at(point + side * width).detach().floor() for side in (-1.0, 1.0))
                    masses[later] = torch.where((low != high) & low.isfinite() & high.isfinite(), 0.0, masses[later])

    def _one_jump(self, one: Atom, other: Atom, same: Tensor) -> None:
        """P0403 where roots of what is made of several numbers in different ways are the same: of which they are is not told."""
        shared = one.whole is not None or one.form is Form.SUMMED
        if shared and one.whole != other.whole and often(same, self.own):
            raise self.refused(f"two of its jumps are at the same place: one {one.origin}, the other {other.origin}")

    def _no_corner(self, place: Spot, found: Sequence[Found], moves: Sequence[bool]) -> None:
        """P0403 where the draws end at a root and the end moves otherwise, or where an atom is 0 whatever is drawn."""
        bounded = place.law.support(self.draw) is not None
        scale = spread(place.law, self.draw).expand(self.draw.shape)
        slack = 100 * CLOSE * float(scale.abs().max())
        for atom, one, move in zip(self.atom_of, found, moves, strict=True):
            if not move:
                continue
            if narrow(one.root.detach() - self.draw, scale, self.own):
                raise self.refused(f"its draws are so narrow that runs hardly ever come near to where the result {atom.origin}")
            if coarse(place.law, self.draw, one.root.detach(), scale):
                raise self.refused(f"its numbers are too large for differences as small as those at which the result {atom.origin}")
            self._no_end(place, atom, one.root.detach())
            with torch.enable_grad():
                ends = at_an_end(place.law, self.draw, one.root, to_sides(place.law, one.root.detach())) if bounded else None
                if ends is not None and often(ends[0], self.own) and self._apart(one.root, ends[1], ends[0], slack):
                    raise self.refused(f"its draws end exactly where the result {atom.origin}, and move apart from that")
                if not often(one.root.isnan(), self.own):
                    continue
                value = place.value(atom.value, self.draw) if atom.whole is None else of_all(place, atom.whole, self.draw)
                zero = value.detach() == (value.detach().round() if atom.lattice else 0)
                nothing = nowhere(atom, one.root) & value.isfinite() & zero
                if often(nothing, self.own) and self._apart(value, value.detach(), nothing, CLOSE):
                    raise self.refused(f"the result {atom.origin} whatever is drawn, and a parameter moves that")

    @torch.enable_grad()
    def _no_end(self, place: Spot, atom: Atom, root: Tensor) -> None:
        """P0403 where a root comes from infinity."""
        if not often(root.isinf(), self.own) or (far := from_infinity(place, atom, root)) is None:
            return
        value = place.value(atom.value, torch.where(far, root.clamp(-FAR, FAR), self.draw))
        far = far & value.isfinite()
        if often(far, self.own) and self._apart(value, value.detach(), far, CLOSE):
            raise self.refused(f"the result {atom.origin}, and a parameter brings that here from infinity")

    @torch.no_grad()
    def _no_rounding(self, place: Spot, atom: Atom, root: Tensor) -> None:
        """P0403 where a root is lost to rounding."""
        lost = ~root.isfinite()
        for factor in atom.factors:
            try:
                gone = lost & faded(place, factor, atom.kept)
            except (Untold, Uneven):  # it is not what it was when it went into the atom
                continue
            if bool(gone.any() if self.own is None else gone[self.own].any()):
                raise self.refused(f"the result {atom.origin}, but numbers are too small there, or too large, to tell where")

    @torch.no_grad()
    def _no_other(self, found: Sequence[Found]) -> None:
        """P0403 where an atom is negative at one draw and positive at another without a root between them."""
        if self.own is None:
            rows = torch.arange(min(self.lanes.count, WATCHED), device=self.draw.device)
        else:
            rows = where_true(self.own)[:WATCHED]
        place, draw, again = self._some(rows), self._draws(rows), self._some(rows.repeat(1 + len(SIDES)))
        width = spread(place.law, draw).abs().expand(draw.shape)
        for atom in dict.fromkeys(self.atom_of):
            if atom.lattice or atom.poles or atom.form is Form.SUMMED or partial_of(atom):
                continue
            several = [one.root.detach().index_select(0, rows) for own, one in zip(self.atom_of, found, strict=True) if own == atom]
            if float(unfound(place, atom, several, draw, width, again).sum()) > UNPARTED * rows.shape[0]:
                raise self.refused(f"the result {atom.origin}, and not only there")

    def _apart(self, one: Tensor, other: Tensor, same: Tensor, slack: float = 0.0) -> bool:
        """Whether two roots move differently, by more than `slack`, where they are the same."""
        counted = same.reshape(one.shape)
        if self.own is not None:
            counted = counted & self.own.reshape(-1, *(1 for _ in one.shape[1:]))
        return move_apart(self.machine, one, other, counted, slack)

    # ------------------------------------------------------------------------------------------------ of some lanes
    def weight(self, rows: Tensor, ways: Tensor, at: Rows) -> Tensor:
        """How fast probability crosses the roots."""
        element, kind = self._split(ways)
        if self.kinds == 1:
            return self._weight(0, rows, element)
        found, places = [], []
        for number in range(self.kinds):
            mine = where_true(kind == number)
            if mine.shape[0]:
                found.append(self._weight(number, rows.index_select(0, mine), element.index_select(0, mine)))
                places.append(mine)
        return torch.cat(found).index_select(0, torch.cat(places).argsort())

    def _split(self, ways: Tensor) -> tuple[Tensor, Tensor]:
        """Of which elements ways are the roots, and which of them."""
        return (ways, torch.zeros_like(ways)) if self.kinds == 1 else (ways // self.kinds, ways % self.kinds)

    def _weight(self, number: int, rows: Tensor, element: Tensor) -> Tensor:
        """Of roots of one kind."""
        mass, number = self._masses[number], self.kind_of[number]
        atom, several = self.atom_of[number], self.atom_of.index(self.atom_of[number])
        place, draw = self._some(rows), self._draws(rows)
        found = self._roots(place, atom, draw)[number - several]
        safe = found.root if all_finite(found.root) else torch.where(torch.isfinite(found.root), found.root, draw)
        if atom.whole is not None:  # the share of a number is told where it is
            with torch.no_grad():
                density = mass_of(place.law, replace(found, share=None))
        else:
            density = mass.reshape(-1)[:1] if self.alike else mass.index_select(0, rows)
        try:
            weight = crossed(place.law, safe, density)
        except Unknown:
            raise self.refused("how its draws move with a parameter is not known") from None
        weight = self._own(weight, element)
        if atom.whole is None:
            return weight
        sides = self._own(safe.detach(), element), self._own(to_sides(place.law, safe.detach()), element)
        return weight * told(place, atom, draw, element, *sides)

    def _some(self, rows: Tensor) -> Spot:
        if self.last is None or self.last[0] is not rows:
            lanes = self.home.restrict(rows)
            self.last = rows, self._place(lanes, self.entry.child(lanes), self._draws(rows))
        return self.last[1]

    def _chosen(self, rows: Tensor, ways: Tensor) -> Tensor:
        """The roots."""
        element, kind = self._split(ways)
        if self.alike:
            return torch.cat([point.reshape(1) for point in self.points]).index_select(0, kind)
        points = [self._own(point.index_select(0, rows), element) for point in self.points]
        return points[0] if self.kinds == 1 else torch.stack(points, -1).gather(1, kind.unsqueeze(1)).squeeze(1)

    @torch.no_grad()
    def _widths(self, rows: Tensor, ways: Tensor, point: Tensor) -> Tensor:
        """From roots to their sides."""
        place = self._some(rows)
        wide = point.reshape(-1, *(1,) * (len(place.shape) - 1)).expand(place.shape)
        return self._own(to_sides(place.law, wide), self._split(ways)[0])

    def _draws(self, rows: Tensor) -> Tensor:
        """Those that are told apart."""
        return self.draw.expand(rows.shape[0], *self.draw.shape[1:]) if self.alike else self.draw.index_select(0, rows)

    def _own(self, values: Tensor, element: Tensor) -> Tensor:
        """Of each row `[k, *batch]` that of its element."""
        flat = values.flatten(1) if values.dim() > 1 else values.unsqueeze(1)
        return flat[:, 0] if flat.shape[1] == 1 else flat.gather(1, element.unsqueeze(1)).squeeze(1)

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        """The draws before a root and after it."""
        point = self._chosen(rows, ways)
        width = self._widths(rows, ways, point)
        ends = point - width, point + width
        if self.looked:
            self._watch(rows[:WATCHED], ways[:WATCHED], ends)
        if value.dim() == 1:
            return ends
        element, sides = self._split(ways)[0].unsqueeze(1), []
        for end in ends:
            other = value.detach().index_select(0, rows)
            other.view(rows.shape[0], -1).scatter_(1, element, end.unsqueeze(1))
            sides.append(other)
        return sides

    @torch.no_grad()
    def _watch(self, rows: Tensor, ways: Tensor, ends: Sequence[Tensor]) -> None:
        """P0403 where an atom does not change between the two sides of its root."""
        element, kind = self._split(ways)
        for number in range(self.kinds):
            mine = where_true(kind == number)
            if not mine.shape[0]:
                continue
            atom, both = self.atom_of[self.kind_of[number]], mine.repeat(2)
            there = rows.index_select(0, both)
            own = element.index_select(0, both)
            side, end = self._draws(there).clone(), torch.cat([end.index_select(0, mine) for end in ends])
            side.view(both.shape[0], -1).scatter_(1, (own * (not self.alike)).unsqueeze(1), end.unsqueeze(1))
            value = self._own(self._some(there).value(atom.value, side), own)
            before, after = (value.floor() if atom.lattice else value.sign()).chunk(2)
            if float((before == after).sum()) > max(1.0, UNPARTED * mine.shape[0]):
                raise self.refused(f"both sides of {atom.origin} are the same")


def crossings(machine: Machine, site: Site, bound: Bound, frame: Frame) -> Callable[[Tensor], Crossings | None]:
    """What finds the jumps of a draw."""
    def found(draw: Tensor) -> Crossings | None:
        every, twins = machine.atoms.get(site.index), twins_of(frame.lanes)
        if not every or not draw.numel() or (twins is not None and not twins.front):
            return None
        assert machine.forks is not None
        known, entry = machine.forks.atoms, frame.child(frame.lanes)
        if site.index not in known:
            known[site.index] = computed(machine, every, frame)
        atoms = from_here(known[site.index], entry)
        return Crossings(machine, site, atoms, bound, draw.detach(), entry) if atoms else None

    return found
