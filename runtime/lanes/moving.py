"""Whether entries of a value move with what it is differentiated in: by a probe, not by a sum, in which derivatives cancel.

The derivative of `sum(v * entries)` is exactly 0 where that of every single entry is (0 times anything, however it is added
up), and nowhere else with the right `v` (`runtime/arrays/probes.py`): derivatives of different lanes or entries, such as 1 and -1,
never cancel.  The structure of the program decides; no number is small enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.text.diagnostics import ProbError
from ..arrays.broadcast import broadcast_shapes
from ..arrays.private import pull
from ..arrays.probes import all_unlike, unlike
from .lifting import Lifted, Lifter


@dataclass(frozen=True)
class Motion:
    """What values of one block may be differentiated in: the points, and what was lifted on the way from them."""

    points: Sequence[Tensor]
    lifter: Lifter | None = None

    def moves(self, value: Tensor, where: Tensor, log: bool = False) -> bool:
        """Whether a derivative of the entries `where` of a value is not exactly 0 (or is no number).

        `log`: the entries are logarithms of 0 (-inf), and their exponentials are meant: these stand still where it is finite.
        """
        if not value.requires_grad:
            return False
        value = value.expand(broadcast_shapes([tuple(value.shape), tuple(where.shape)]))
        return self.arrives([value], [torch.where(where, unlike(value), 0.0)], log)

    def arrives(self, outputs: Sequence[Tensor], incoming: Sequence[Tensor], log: bool = False) -> bool:
        """Whether a derivative of `sum(outputs * incoming)` is not 0 (with `log`: not finite)."""
        lifted = [] if self.lifter is None else self.lifter.lifted
        found = pull(outputs, [*(part.leaf for part in lifted), *self.points], incoming)
        if any(_tells(derivative, log) for derivative in found[len(lifted) :]):
            return True
        reached: dict[int, Tensor] = {}
        for part, derivative in zip(lifted, found, strict=False):
            if derivative is not None:
                mask = ((derivative != 0) if not log else ~torch.isfinite(derivative)).any(0, keepdim=True)
                reached[part.origin] = mask | reached[part.origin] if part.origin in reached else mask
        return any(
            bool(mask.any()) and self._origin_moves(number, mask) for number, mask in reached.items()
        ) or (log and self._infinite(lifted, found))

    def still(self, value: Tensor, where: Tensor) -> bool:
        """Whether the entries `where` of a value stand still: each by itself, so that sides whose derivatives are the same, but
        were added up in another order, are known for what they are.  (It is a derivative of the derivative, which not all have.)"""
        try:
            found = _tangent(value, self._directions())
        except (RuntimeError, ProbError):
            return False
        return found is None or not bool((found[where] != 0).any())

    def _directions(self) -> list[tuple[Tensor, Tensor]]:
        """What a value may be differentiated in, and by how much each changes along one way through all parameters."""
        ways = list(zip(self.points, all_unlike([point[:1] for point in self.points]), strict=True))
        moved = [(point, way.expand(point.shape)) for point, way in ways]
        if self.lifter is None:
            return moved
        origins = [_tangent(origin, moved) for origin in self.lifter.origins]
        lifted = [(part.leaf, origins[part.origin]) for part in self.lifter.lifted]
        return [*moved, *((leaf, way.expand(leaf.shape)) for leaf, way in lifted if way is not None)]

    def _origin_moves(self, number: int, where: Tensor) -> bool:
        """Whether entries of a lifted value move with the points."""
        assert self.lifter is not None
        return Motion(self.points).moves(self.lifter.origins[number], where)

    def _infinite(self, lifted: Sequence[Lifted], found: Sequence[Tensor | None]) -> bool:
        """Whether a lifted value that has to do with it has itself a derivative that is not finite."""
        assert self.lifter is not None or not lifted
        return any(
            derivative is not None and self.lifter is not None
            and Motion(self.points).moves(self.lifter.origins[part.origin], (derivative != 0).any(0, keepdim=True), log=True)
            for part, derivative in zip(lifted, found, strict=False)
        )


def _tangent(value: Tensor, directions: Sequence[tuple[Tensor, Tensor]]) -> Tensor | None:
    """By how much every entry of a value changes along the directions (None: not at all): the derivative of its derivative in what
    comes in."""
    incoming = torch.zeros_like(value, requires_grad=True)
    ends = [end for end, _ in directions]
    found = torch.autograd.grad([value], ends, [incoming], create_graph=True, allow_unused=True)
    terms = [
        (derivative * way).sum() for derivative, (_, way) in zip(found, directions, strict=True)
        if derivative is not None and derivative.requires_grad
    ]
    return torch.autograd.grad([sum(terms[1:], terms[0])], [incoming], allow_unused=True)[0] if terms else None


def _tells(derivative: Tensor | None, log: bool) -> bool:
    return derivative is not None and not bool((torch.isfinite(derivative) if log else derivative == 0).all())
