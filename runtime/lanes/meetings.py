"""Kinks that the runs of a block have met exactly, where it may matter which side's derivative is taken.

Only nodes that the plan names are looked at (`Plan.ties`): where a derivative is carried over a kink whose operands may be
equal with positive probability.  Where nothing continuous is in them every meeting counts.  Else two numbers may have been
rounded to the same: `rare` meetings are nothing, and more of them are looked at again in float64, where rounding makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.syntax import Node
from ..arrays.recording import recording
from ..arrays.ties import tied
from .lessons import NotCompiled

LEAST = 3  # meetings in one place that rounding does not explain
SHARE = 2.0**-14  # of the entries


@dataclass(frozen=True)
class Met:
    """A kink was met at `count` of so many entries; `part` of the difference of its sides was added to its value."""

    node: Node
    part: Tensor
    count: int
    entries: int
    continuous: bool

    @property
    def rare(self) -> bool:
        """Whether rounding may explain it."""
        return self.continuous and (self.count < LEAST or self.count < SHARE * self.entries)

    @property
    def coarse(self) -> bool:
        """Whether numbers with more digits must tell."""
        return self.continuous and self.part.dtype != torch.float64


class Meetings:
    """Those of one block; `places`: which nodes are looked at, and whether anything continuous is in their operands."""

    def __init__(self, places: Mapping[int, bool]):
        self.places = places
        self.met: list[Met] = []

    def watched(self, name: str, code: Callable[..., Tensor], node: Node) -> Callable[..., Tensor]:
        """The code of a function with a kink, which writes down where it is met."""
        continuous = self.places[id(node)]

        def call(*values: Tensor, **options: object) -> Tensor:
            result = code(*values, **options)
            found = tied(name, result, values, continuous)
            return result if found is None else self.add(node, result, *found)

        return call

    def crossed(self, node: Node, result: Tensor, value: Tensor, place: Tensor) -> Tensor:
        """A result that has a kink where a value meets a place."""
        found = tied("max", result, (value, place), self.places[id(node)])
        return result if found is None else self.add(node, result, *found)

    def add(self, node: Node, result: Tensor, part: Tensor, count: int) -> Tensor:
        """A kink was met: its result, with a part of the difference between the sides."""
        if recording():
            raise NotCompiled("a kink is met exactly")
        met = Met(node, part, count, max(part.numel(), 1), self.places[id(node)])
        if met.rare:
            return result
        self.met.append(met)
        return result + part
