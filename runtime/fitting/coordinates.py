"""Parameters as one vector without bounds: each in the coordinates of its declared domain (torch.distributions.biject_to).

An interval is a scaled logit, a half line a logarithm, a simplex stick-breaking; so whatever an optimiser does, parameters stay
inside.  What has no bounds is measured in its size at the start, where that is above 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import AffineTransform, Transform, biject_to, constraints

from ...dsl.names.resolved import ParameterFact
from ...dsl.syntax import Interval, Simplex

FAR, FARTHER = 16.0, 32.0  # in coordinates: there a parameter is at the edge of an interval, or of a half line


@dataclass(frozen=True)
class Coordinates:
    """Of the parameters that move, by name: their transforms, and the `shape` and slice of their coordinates."""

    transforms: dict[str, Transform]
    shapes: dict[str, torch.Size]
    places: dict[str, slice]
    fixed: dict[str, Tensor]

    @classmethod
    def of(cls, facts: Mapping[str, ParameterFact], start: Mapping[str, Tensor], moving: Collection[str]) -> Coordinates:
        """Of parameters `[*shape]` that are given, of which some move."""
        transforms, shapes, places, end = {}, {}, {}, 0
        for name in start:
            if name in moving:
                transforms[name] = _transform(_constraint(facts[name]), start[name].double())
                inner = transforms[name].inv(start[name].double())
                shapes[name] = inner.shape
                places[name] = slice(end, end + inner.numel())
                end += inner.numel()
        return cls(transforms, shapes, places, {name: value.double() for name, value in start.items() if name not in moving})

    @property
    def count(self) -> int:
        """How many coordinates there are."""
        return max((place.stop for place in self.places.values()), default=0)

    def inward(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The coordinates `[count]` of parameters."""
        return torch.cat([self.transforms[name].inv(parameters[name].double()).reshape(-1) for name in self.transforms])

    def moved(self, x: Tensor) -> dict[str, Tensor]:
        """The parameters that move, at coordinates `[count]`."""
        return {
            name: transform(x[self.places[name]].reshape(self.shapes[name])) for name, transform in self.transforms.items()
        }

    def outward(self, x: Tensor) -> dict[str, Tensor]:
        """All parameters."""
        return {**self.fixed, **{name: value.detach() for name, value in self.moved(x).items()}}

    def slopes(self, x: Tensor) -> dict[str, Tensor]:
        """By name the derivative of the parameter in its coordinates `[*shape, own coordinates]`."""
        found = {}
        for name, transform in self.transforms.items():
            own = x[self.places[name]].detach()
            jacobian: Tensor = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
                lambda part, t=transform, n=name: t(part.reshape(self.shapes[n])), own,
            )
            found[name] = jacobian
        return found

    def at_edge(self, x: Tensor) -> list[str]:
        """The parameters with an entry that has come to the edge of its domain."""
        return [
            name for name, transform in self.transforms.items()
            if (far := _far(transform)) < math.inf and bool((x[self.places[name]].abs() > far).any())
        ]


def _transform(domain: constraints.Constraint, start: Tensor) -> Transform:
    large = bool((start.abs() > 1).any()) if domain is constraints.real else False
    return AffineTransform(0.0, start.abs().clamp_min(1.0)) if large else biject_to(domain)


def _far(transform: Transform) -> float:
    if isinstance(transform.codomain, type(constraints.real)):
        return math.inf
    return FAR if isinstance(transform.codomain, constraints.interval | type(constraints.simplex)) else FARTHER


def _constraint(fact: ParameterFact) -> constraints.Constraint:
    match None if fact.node is None else fact.node.domain:
        case Simplex():
            return constraints.simplex
        case Interval(low=low, high=high):
            if math.isfinite(low) and math.isfinite(high):
                return constraints.interval(low, high)  # type: ignore[no-untyped-call]
            if math.isfinite(low):
                return constraints.greater_than(low)  # type: ignore[no-untyped-call]
            return constraints.less_than(high) if math.isfinite(high) else constraints.real  # type: ignore[no-untyped-call]
        case _:
            return constraints.real
