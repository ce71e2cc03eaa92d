"""The roots of an atom in a draw: given, or by its slope (`dsl/jumps/atoms.py`).

No number decides that there is no root: a factor of the slope that came out as 0, though nothing in it is 0, has `faded` (as
`exp(-800)` has), and what jumps there is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from ...dsl.jumps.atoms import DRAW, INSIDE, SIZE, Atom, Form, LeftOut
from ...dsl.jumps.inverting import GOAL
from ...dsl.jumps.rising import NEVER_ZERO
from ...dsl.jumps.solving import names_of
from ...dsl.syntax import Arithmetic, Call, Expression, Name, Number, Power, Unary
from ...dsl.text.diagnostics import ProbError
from ..arrays.leave_one_out import Uneven, beside
from ..lanes.frames import Frame
from ..lanes.values import PerLane, Uniform
from ..laws.crossing import below, extent, moved, spread
from ..laws.law import Law
from ..laws.location_scale import Normal
from ..laws.positive import HalfNormal, LogNormal
from .machine import Machine

LEAST = 1e-12  # probability of a cell
LITTLE = 1e-3  # of the largest part that a number has in the variance of a sum
HALVINGS, FARTHEST, LARGEST = 64, 690.0, 1e300  # of an interval of steps, whose sinh is so many widths



class Untold(Exception):
    """A run that does not come so far has no value of an expression."""


@dataclass(frozen=True)
class Spot:
    """Lanes on which atoms are evaluated, and the law of the draw there."""

    machine: Machine
    frame: Frame
    law: Law
    shape: tuple[int, ...]
    drawn: Tensor | None = None
    others: Mapping[str, LeftOut] = field(default_factory=dict)
    beside: dict[str, Tensor] = field(default_factory=dict)
    absent: dict[str, Tensor] = field(default_factory=dict)

    def value(self, expression: Expression, draw: Tensor | float | None, whole: Tensor | None = None) -> Tensor:
        """Of an expression, with this draw `[lanes, *batch]`, or the same everywhere: one for each number that is drawn."""
        number = self.evaluated(expression, draw, whole)
        if number.dim() == 1 and len(self.shape) > 1:  # one for all elements
            number = number.reshape(-1, *(1,) * (len(self.shape) - 1))
        try:
            return number.expand(self.shape)
        except RuntimeError:
            raise Uneven from None

    def goal(self, atom: Atom, goal: Expression, whole: Tensor | None = None) -> Tensor:
        """The value that a part of an atom is to have, where the atom is to be a whole number, or 0."""
        if atom.form is Form.SUMMED and self.evaluated(goal, None).dim() > 1:
            raise Uneven
        return self.value(goal, None, whole)

    @cached_property
    def inner(self) -> Frame:
        """Where expressions are evaluated, which keeps what has been read."""
        inner = self.frame.child(self.frame.lanes)
        inner.write(SIZE, Uniform(float(math.prod(self.shape[1:]))))
        return inner

    def evaluated(
        self, expression: Expression, draw: Tensor | float | None, whole: Tensor | None = None, inside: Tensor | None = None
    ) -> Tensor:
        """Of an expression, with this draw, and where GOAL is a whole number: as it comes."""
        aside, inner = self.machine.aside, self.inner
        assert aside is not None
        for name in names_of(expression) & self.others.keys() if self.others else ():
            inner.write(name, PerLane(self.left_out(self.others[name])))
        for name, given in ((DRAW, draw), (GOAL, whole), (INSIDE, inside)):
            if given is None:
                inner.values.pop(name, None)
            else:
                inner.write(name, PerLane(given) if isinstance(given, Tensor) else Uniform(given))
        try:
            with torch.enable_grad():  # what is the same in all lanes is computed once, and then with its derivative
                found = aside.evaluate(expression, inner)
        except ProbError as problem:
            raise Untold(str(problem.diagnostics[0].title)) from None
        if isinstance(found, Uniform) and found.live and aside.lifter is not None:
            found = aside.lifter.lift(found, inner.lanes)
        return aside.number(found)

    def left_out(self, left: LeftOut) -> Tensor:
        """What the others come to, for each number that was drawn; where it is `absent` something else."""
        if left.name not in self.beside:
            assert self.drawn is not None
            with torch.enable_grad():
                own, part = moved(self.law, self.drawn), left.part
                place = None if left.place is None else self.evaluated(left.place, None).reshape(-1, 1)

                def made(numbers: Tensor) -> Tensor:
                    return replace(self, shape=tuple(numbers.shape)).evaluated(left.value, None, None, numbers)

                found = beside(left.kind, own, None if part is None else (part.start, part.stop), place, made)
                self.absent[left.name] = found.detach().isnan()
                self.beside[left.name] = torch.where(self.absent[left.name], 0.5, found)
        return self.beside[left.name]

    def constant(self, number: float) -> Tensor:
        """A draw that is the same everywhere."""
        return torch.full(self.shape, number, dtype=self.machine.dtype, device=self.machine.device)


@dataclass(frozen=True)
class Found:
    """A root `[lanes, *batch]` of an atom (nan: none), and the probability of the cell in which it is next to the draw (None: 1).
    Of a lattice `near` gives the root that is next to a point, and `at` the value of the atom there.  `share`: about that of a
    number in the jump of several."""

    root: Tensor
    cell: Tensor | None = None
    near: Callable[[Tensor], Tensor] | None = None
    at: Callable[[Tensor], Tensor] | None = None
    share: Tensor | None = None


def roots(place: Spot, atom: Atom, draw: Tensor, law: Law) -> list[Found]:
    """The roots of an atom that are candidates beside a draw `[lanes, *batch]`."""
    solve = {Form.SOLVED: _solved, Form.AFFINE: _affine, Form.SUMMED: _summed}[atom.form](place, atom, draw, law)

    def inverse(goal: Expression, whole: Tensor | None = None) -> Found:
        if goal == Name(GOAL) and whole is not None:
            value: Tensor | float = whole
        else:
            value = goal.value if isinstance(goal, Number) else place.goal(atom, goal, whole)
        return solve.back(value if atom.outer is None else _halved(place, atom, value, draw, law))

    if not atom.lattice:
        return [inverse(goal) for goal in atom.goals]
    (goal,) = atom.goals

    def near(point: Tensor) -> Tensor:
        with torch.no_grad():
            whole = solve.at(point).round()
        return inverse(goal, whole).root

    with torch.no_grad():
        next_to = solve.at(draw).round()
        low, high = (inverse(goal, next_to + side).root.detach() for side in (-0.5, 0.5))
        cell = (_below(law, low, high, draw) - _below(law, high, low, draw)).abs().clamp_min(LEAST)
        cell = torch.where(low.isnan() & high.isnan(), 1.0, cell)
    found = inverse(goal, next_to)
    return [replace(found, cell=cell if found.cell is None else found.cell * cell, near=near, at=solve.at)]


def _below(law: Law, end: Tensor, other: Tensor, draw: Tensor) -> Tensor:
    """The probability below an end of the cell of a draw; where there is no end (nan), on that side that the other one leaves."""
    found = below(law, torch.where(end.isnan(), draw, end))
    return torch.where(end.isnan(), torch.where(other > draw, 0.0, 1.0), found)


@dataclass(frozen=True)
class Solve:
    """`back`: where the part of an atom is a number, or a number of each element; `at`: the atom where an element is a point."""

    back: Callable[[Tensor | float], Found]
    at: Callable[[Tensor], Tensor]


def _solved(place: Spot, atom: Atom, draw: Tensor, law: Law) -> Solve:
    """It is the draw itself."""
    return Solve(
        lambda goal: Found(goal if isinstance(goal, Tensor) else place.constant(goal)), lambda point: place.value(atom.value, point)
    )


def _affine(place: Spot, atom: Atom, draw: Tensor, law: Law) -> Solve:
    """By the value at 0 and the slope."""
    assert atom.slope is not None
    level, slope = place.value(atom.part, 0.0), place.value(atom.slope, None)
    flat = (slope if slope.stride(0) else slope[:1]).detach() == 0
    bent = bool(flat.any())

    def back(goal: Tensor | float) -> Found:
        if not bent:
            return Found((goal - level) / slope)
        return Found(torch.where(flat, torch.nan, (goal - level) / torch.where(flat, 1.0, slope)))

    return Solve(back, lambda point: place.value(atom.value, point))


def _summed(place: Spot, atom: Atom, draw: Tensor, law: Law) -> Solve:
    """In each number, all others as they were drawn.  They are all roots of one jump, which each tells of with a share: the square
    of how much of the sum's spread is its own, without those that hardly tell anything."""
    assert atom.slope is not None
    own = moved(law, draw)
    total, slope = place.evaluated(atom.part, own), place.value(atom.slope, None)
    if total.dim() > 1 or place.evaluated(atom.value, own).dim() > 1 or any(_uneven(place, one, draw) for one in atom.summed):
        raise Uneven
    per_lane = -1, *(1,) * (draw.dim() - 1)
    total = total.reshape(per_lane)
    with torch.no_grad():
        part = (slope * extent(law, draw)).square().nan_to_num(0.0)
        rows = part.reshape(part.shape[0], -1)
        part = torch.where(part > LITTLE * rows.amax(1).reshape(per_lane), part, 0.0)
        share = part / part.reshape(rows.shape).sum(1).reshape(per_lane)
    none = ~(share > 0)

    def back(goal: Tensor | float) -> Found:
        found = own + (goal - total) / torch.where(none, 1.0, slope)
        return Found(torch.where(none, torch.nan, found), 1 / torch.where(none, 1.0, share))

    return Solve(back, lambda point: total + slope * (point - draw))


def _uneven(place: Spot, part: Expression, draw: Tensor) -> bool:
    """Whether what is added up has other axes than the draw."""
    return part != Name(DRAW) and tuple(place.evaluated(part, draw).shape[1:]) != tuple(draw.shape[1:])


def _halved(place: Spot, atom: Atom, goal: Tensor | float, draw: Tensor, law: Law) -> Tensor:
    """Where a function that rises or falls has a value (nan: nowhere): by halving, without derivatives, and one step of Newton's
    with them."""
    outer = atom.outer
    assert outer is not None
    with torch.no_grad():
        drawn = atom.form is Form.SOLVED
        start = draw if drawn else place.value(atom.part, draw)
        width = spread(law, draw).abs().expand(draw.shape) if drawn else start.abs().clamp_min(1.0)
        width = torch.where(width.isfinite() & (width > 0), width, 1.0)

    def point(step: Tensor) -> Tensor:
        return (start + width * step.sinh()).clamp(-LARGEST, LARGEST)

    def above(step: Tensor) -> tuple[Tensor, Tensor]:
        x = point(step)
        off, inside = (place.value(outer, x) - goal) * atom.rises, law.support(x) if drawn else None
        known = ~off.isnan() if inside is None else inside & ~off.isnan()
        return torch.where(known, off > 0, step > 0), known

    with torch.no_grad():
        low, high = (torch.full_like(draw, end) for end in (-FARTHEST, FARTHEST))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            over, _ = above(middle)
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        (before, there), (after, here) = above(low), above(high)
        x = point((low + high) / 2)
        x = torch.where(there & here & ~before & after, x, start)
    with torch.enable_grad():
        some = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(place.value(outer, some).sum(), some)
    known = there & here & ~before & after & slope.isfinite() & (slope != 0)
    off = torch.where(known, place.value(outer, x) - goal, 0.0)
    return torch.where(known, x - off / torch.where(known, slope, 1.0), torch.nan)


# ---------------------------------------------------------------------------------------------------- arithmetic
ZERO_AT_ZERO = ("sqrt", "tanh", "sinh", "expm1", "log1p", "atan", "erf", "abs")
ENDS = {"sigmoid": (1.0,), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0), "normcdf": (0.0, 1.0), "exp": (1.0,)}


@torch.no_grad()
def faded(place: Spot, node: Expression, kept: frozenset[str]) -> Tensor:
    """Where an expression without the draw came out as 0 though nothing in it is 0, or is no number `[lanes, *batch]`; `kept` are
    names that are 0 nowhere."""
    value = place.value(node, None)
    none, zero = torch.zeros_like(value, dtype=torch.bool), value == 0
    if not bool(zero.any()):
        return value.isnan()
    match node:
        case Name() if node.id in kept:
            return zero
        case Unary(operator="-"):
            return faded(place, node.operand, kept)
        case Power():
            return zero & ((place.value(node.base, None) != 0) | faded(place, node.base, kept))
        case Call() if node.function in NEVER_ZERO:
            return zero
        case Call() if node.function in ZERO_AT_ZERO and len(node.arguments) == 1:
            inner = node.arguments[0].value
            return zero & ((place.value(inner, None) != 0) | faded(place, inner, kept))
        case Arithmetic() if node.rest[0].operator in "*/":
            found = zero
            for operand in (node.first, *(term.operand for term in node.rest if term.operator == "*")):
                found = found & ((place.value(operand, None) != 0) | faded(place, operand, kept))
            return found
        case Arithmetic() if node.rest[0].operator in "+-":
            found = none
            for operand in node.operands:
                found = found | faded(place, operand, kept) | _at_its_end(place, operand)
            return zero & found
    return none


def _at_its_end(place: Spot, node: Expression) -> Tensor:
    """Where a function came out as a value that it only comes near to."""
    value = place.value(node, None)
    found = torch.zeros_like(value, dtype=torch.bool)
    if isinstance(node, Call) and node.function in ENDS:
        for end in ENDS[node.function]:
            found = found | (value == end)
        if node.function == "exp":
            found = found & (place.value(node.arguments[0].value, None) != 0)
    return found


@torch.no_grad()
def unfound(place: Spot, atom: Atom, several: Sequence[Tensor], draw: Tensor, width: Tensor, again: Spot) -> Tensor:
    """Where an atom has different signs at two draws, but not an odd number of its roots between them, or the other way round; or
    where it is 0 at a draw that is no root, though it changes with the draw.  `again`: the same lanes 1 + len(SIDES) times."""
    others = [draw + side * width for side in SIDES]
    sign, *signs = _sign(again, atom, torch.cat([draw, *others])).chunk(1 + len(SIDES))
    near = _close(several, draw, width)
    wrong = (sign == 0) & ~near
    for factor in atom.factors if bool(wrong.any()) else ():
        try:
            wrong = wrong & (place.value(factor, None) != 0)
        except (Untold, Uneven):
            wrong = torch.zeros_like(wrong)
    for other, there in zip(others, signs, strict=True):
        inside, count = place.law.support(other), torch.zeros_like(draw)
        for root in several:
            count = count + ((root - draw) * (root - other) <= 0)
        unlike = ((sign != there) != (count % 2 == 1)) & ~near & ~_close(several, other, width)
        wrong = wrong | (unlike if inside is None else unlike & inside)
    return wrong


SIDES, NEAR = (-3.0, -0.4, 0.4, 3.0), 1e-9  # widths from a draw to others; what is a root but for rounding


def _close(several: Sequence[Tensor], point: Tensor, width: Tensor) -> Tensor:
    """Whether some root is at a point, but for rounding."""
    found = torch.zeros_like(point, dtype=torch.bool)
    for root in several:
        found = found | ((root - point).abs() <= NEAR * (width + point.abs()))
    return found


def _sign(place: Spot, atom: Atom, draw: Tensor) -> Tensor:
    """Of an atom; 2 where it is no number."""
    return place.value(atom.value, draw).sign().nan_to_num(2.0)


LIGHT = (Normal, LogNormal, HalfNormal)  # tails from which no probability comes
FAR = 1e30  # as good as infinite


def from_infinity(place: Spot, atom: Atom, root: Tensor) -> Tensor | None:
    """Where a root `[lanes, *batch]` is infinite though the atom changes with the draw: where a parameter stands at the end of what
    a function gives, as `exp(x) > t` at t = 0.  None: nowhere, or from where nothing comes."""
    far = root.isinf()
    if isinstance(place.law, LIGHT):
        return None
    if (inside := place.law.support(root.clamp(-FAR, FAR))) is not None:
        far = far & inside
    try:
        for factor in atom.factors:
            far = far & (place.value(factor, None).detach() != 0)
    except (Untold, Uneven):
        return None
    return far
