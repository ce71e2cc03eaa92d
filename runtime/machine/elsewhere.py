"""What the jumps of a draw depend on beside the number that is drawn: callers, the other numbers of the draw, parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from ...dsl.jumps.atoms import Atom
from ...dsl.jumps.scoped import CallersPlace, every_name, inner, placed
from ...dsl.jumps.solving import changed, names_of
from ...dsl.names.scopes import nodes_in
from ...dsl.syntax import Argument, Arithmetic, Call, Expression, Node, Number, Power, Term, Unary
from ...dsl.tables.functions import FUNCTIONS, elementwise
from ...dsl.text.diagnostics import ProbError
from ..arrays.kernels import all_finite
from ..arrays.leave_one_out import Uneven, gradient
from ..arrays.probes import unlike
from ..lanes.frames import Activation, Frame
from ..lanes.lanes import Lanes
from ..lanes.lifting import Leaves
from ..lanes.pieces import Pieces
from ..lanes.values import Value
from ..laws.crossing import extent
from ..laws.law import Law
from .machine import Machine
from .solved import Found, Spot

NOTHING = 1e-280  # a density whose inverse may be no number
CLOSE = 1e-9  # derivatives that are the same but for rounding
LEAST = 1e-3  # share that a number is thought to have in a jump


def computed(machine: Machine, atoms: Sequence[Atom], frame: Frame) -> list[Atom]:
    """Atoms with what is made of numbers alone worked out."""
    aside = machine.aside
    assert aside is not None

    def number(node: Expression) -> Expression | None:
        if not isinstance(node, Arithmetic | Power | Unary | Call) or not all(map(_constant, nodes_in(node))):
            return None
        try:
            found = aside.evaluate(node, frame).raw
        except ProbError:
            return None
        return Number(found) if isinstance(found, float) and math.isfinite(found) else None

    return [
        replace(atom, value=changed(atom.value, number), part=changed(atom.part, number),
                goals=tuple(changed(goal, number) for goal in atom.goals),
                slope=None if atom.slope is None else changed(atom.slope, number),
                outer=None if atom.outer is None else changed(atom.outer, number))
        for atom in atoms
    ]


def _constant(node: Node) -> bool:
    """Whether this is a number, or an operation of numbers."""
    if isinstance(node, Call):
        return node.function in FUNCTIONS and elementwise(node.function, len(node.arguments))
    return isinstance(node, Number | Arithmetic | Term | Power | Unary | Argument)


def from_here(atoms: Sequence[Atom], frame: Frame) -> Sequence[Atom]:
    """Those atoms of a draw whose variables this run has, of which those of callers are put into a frame of its own; the others
    belong to other calls of the function that draws."""
    own = frame.activation
    if own.caller is None:
        return atoms
    found = []
    for atom in atoms:
        for name in every_name(atom):
            place = placed(name)
            held = None if place is None else _of_caller(own, place)
            if held is not None:
                frame.values[name] = held
        if all(inner(name) or frame.find(name) is not None for name in names_of(atom.value)):
            found.append(atom)
    return found


def _of_caller(own: Activation, place: CallersPlace) -> tuple[Value | Pieces, Lanes] | None:
    """A variable of a function that has led to this call, or of the program."""
    back, caller = place.back - (own.scope == place.function), own.caller
    while caller is not None:
        own = caller.activation
        if own.scope == place.function:
            if back <= 0:
                return caller.find(place.name)
            back -= 1
        caller = own.caller
    return None


def shared(place: Spot, atom: Atom, several: list[Found], draw: Tensor) -> list[Found]:
    """Roots of what is made of several numbers of a draw: those of numbers in its part, each with about the share that it has."""
    assert atom.whole is not None
    heights = [place.evaluated(one, None) for one in atom.places]
    if any(not bool((high.floor() > low.ceil()).all()) for low, high in pairwise(heights)):
        raise Uneven("numbers that stand next to each other in their order are compared")
    widths = extent(place.law, draw)
    whole = (gradient(lambda x: place.evaluated(atom.whole, x), draw, 1) * widths).square()  # type: ignore[arg-type]
    per_lane = -1, *(1,) * (draw.dim() - 1)
    others = whole.flatten(1).sum(1).reshape(per_lane) - whole
    counts = torch.ones(draw.shape[1:], dtype=torch.bool, device=draw.device)
    if atom.inside is not None:
        counts[...], counts[atom.inside.start : atom.inside.stop] = False, True
    for one in atom.others:
        place.left_out(one)
        counts = counts & ~place.absent[one.name]
    made = []
    for found in several:
        known = torch.isfinite(found.root.detach()) & counts
        at = torch.where(known, found.root.detach(), draw)
        own = (gradient(lambda x: place.value(atom.value, x), at, draw.dim()) * widths).square()
        share = (own / (own + others.clamp_min(0.0))).nan_to_num(1.0).clamp_min(LEAST)
        made.append(replace(found, root=torch.where(counts, found.root, torch.nan), share=share))
    return made


def partial_of(atom: Atom) -> bool:
    """Whether only some of the numbers of a draw may be roots."""
    return atom.inside is not None or any(one.kind == "order" for one in atom.others)


def of_all(place: Spot, whole: Expression, draw: Tensor) -> Tensor:
    """What is made of all numbers of a draw, for each of them."""
    return place.evaluated(whole, draw).reshape(-1, *(1,) * (draw.dim() - 1)).expand(draw.shape)


def nowhere(atom: Atom, root: Tensor) -> Tensor:
    """Where an atom has no root; of what is made of several numbers: no number has one."""
    none = root.isnan()
    return none if atom.whole is None else none.flatten(1).all(1).reshape(-1, *(1,) * (root.dim() - 1)).expand(root.shape)


def told(place: Spot, atom: Atom, draw: Tensor, element: Tensor, root: Tensor, width: Tensor) -> Tensor:
    """The share `[lanes]` of one number, each at its root, in the jump of all: its part of the square of the gradient there, on
    both sides, as there may be a kink right there (`sum(relu(v)) > 0`)."""
    assert atom.whole is not None
    extents, squares = extent(place.law, draw), torch.zeros_like(draw)
    for side in (-1.0, 1.0):
        at = (root + side * width).unsqueeze(1)
        at = draw.detach().reshape(draw.shape[0], -1).scatter(1, element.unsqueeze(1), at).reshape(draw.shape)
        squares = squares + (gradient(lambda x: place.evaluated(atom.whole, x), at, 1) * extents).square()  # type: ignore[arg-type]
    flat = squares.flatten(1)
    return (flat.gather(1, element.unsqueeze(1)).squeeze(1) / flat.sum(1)).nan_to_num(0.0, 0.0, 0.0)


def mass_of(law: Law, found: Found, move: bool = True, sound: bool = False) -> Tensor:
    """The mass of a root, its density: 0 where there is none, or nothing moves it; `sound`: there is one everywhere."""
    root = found.root.detach()
    if not move or not (sound or bool(root.isfinite().any())):
        return torch.zeros_like(root)
    if not sound and law.support(root) is not None:
        root = torch.where(torch.isfinite(root), root, law.stand_in(root))
    density = law.log_prob(root).exp()
    if found.cell is not None:
        density = density / found.cell
    if found.share is not None:
        density = density * found.share
    if sound and all_finite(density):
        return torch.where(density > NOTHING, density, 0.0)
    return torch.where(torch.isfinite(found.root) & torch.isfinite(density) & (density > NOTHING), density, 0.0)


@torch.enable_grad()
def move_apart(machine: Machine, one: Tensor, other: Tensor, counted: Tensor, slack: float) -> bool:
    """Whether two values move differently, by more than `slack`, where they are `counted`."""
    lifter, probe = machine.lifter, unlike(one) * counted
    points = Leaves(machine.leaves) if lifter is None else lifter
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
