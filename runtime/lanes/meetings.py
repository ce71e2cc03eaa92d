"""Kinks that the runs of a block have met exactly, where it may matter which side's derivative is taken.

Only nodes that the plan names are looked at (`Plan.ties`): where a derivative is carried over a kink whose operands may be
equal with positive probability.  Where nothing continuous is in them every meeting counts.  Else two numbers may have been
rounded to the same: a few meetings are nothing, and more of them are looked at again in float64, where rounding makes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.syntax import Node
from ..arrays.recording import recording
from ..arrays.ties import Meeting, tied, touching
from .lessons import NotCompiled

LEAST = 3  # meetings in one place that rounding does not explain
SHARE = 2.0**-14  # of the entries


@dataclass(frozen=True)
class Met:
    """A kink was met; `part` of the difference of its sides was added to its value.  `doubtful`: operands have continuous
    randomness in them, or differed by what rounding may do.  `turn`: it is a comparison, whose ways lead apart, to values that may
    be the same."""

    node: Node
    part: Tensor
    doubtful: bool = False
    turn: bool = False

    @property
    def coarse(self) -> bool:
        """Whether numbers with more digits must tell."""
        return self.doubtful and self.part.dtype != torch.float64


class Meetings:
    """Those of one block; `places`: which nodes are looked at, and whether anything continuous is in their operands."""

    def __init__(self, places: Mapping[int, bool]):
        self.places = places
        self.met: list[Met] = []

    def met_in(self, node: Node, name: str, result: Tensor, values: Sequence[Tensor]) -> Tensor:
        """The result of a function with a kink, with what is to be known of where it is met."""
        found = tied(name, result, values, self.places[id(node)])
        return result if found is None else self.add(node, result, *found)

    def turned(self, node: Node, left: Tensor, right: Tensor) -> None:
        """A comparison: where its operands are equal, a step to one side goes one way, a step to the other another."""
        part = touching(left, right)
        if part is not None and not recording():
            self.met.append(Met(node, part, turn=True))

    def add(self, node: Node, result: Tensor, part: Tensor, meeting: Meeting) -> Tensor:
        """A kink was met: its result, with a part of the difference between the sides."""
        if recording():
            raise NotCompiled("a kink is met exactly")
        continuous = self.places[id(node)]
        if continuous and (meeting.count < LEAST or meeting.count < SHARE * part.numel()):
            return result  # two numbers were rounded to the same
        self.met.append(Met(node, part, continuous or meeting.nearly))
        return result + part
