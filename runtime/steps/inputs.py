"""The values of a call, and what a graph that was written down starts from."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..arrays.private import transformed
from ..arrays.scalars import finite
from ..blocks.session import Session
from ..estimates.binding import lies_in, representable
from ..estimates.precision import sizes_of

MOST_PLACES = 4096  # that are remembered


def forget(table: dict[Any, Any], most: int) -> None:
    """Make room."""
    if len(table) >= most:
        table.clear()


def seed_of(seed: float | None) -> int | None:
    """The seed of a call, drawn from the system where it has none; None: the ordinary way must look at what was given."""
    if seed is None:
        return secrets.randbelow(2**31)
    return int(seed) if type(seed) is int and 0 <= seed < 2**63 else None


@dataclass(frozen=True)
class CallValues:
    """The values of a call: parameters as the caller gave them, and arrays of data; `kind` is what must be alike for a graph to
    fit, numbers among the data included."""

    parameters: Mapping[str, Tensor]
    arrays: Mapping[str, Tensor]
    kind: Hashable

    @property
    def place(self) -> Hashable:
        """The kind, and how large the numbers are."""
        return self.kind, *sizes_of(self.parameters), *sizes_of(self.arrays)

    @classmethod
    def of(cls, parameters: Mapping[str, object], data: Mapping[str, object], numbers: bool = False) -> CallValues | None:
        """None where a parameter is no tensor (with `numbers`: nor what can be made one), data is neither number nor array, or
        torch transforms what happens."""
        if transformed():
            return None
        kind: list[Hashable] = [torch.is_grad_enabled()]
        tensors: dict[str, Tensor] = {}
        for name, value in parameters.items():
            if numbers and not (isinstance(value, Tensor) and value.is_floating_point()):
                value = _array(value)
            if not isinstance(value, Tensor) or not value.is_floating_point():
                return None
            tensors[name] = value
            kind.append((name, value.shape, value.requires_grad))
        arrays: dict[str, Tensor] = {}
        for name, given in data.items():
            array = _array(given)
            if array is None or array.is_complex():
                return None
            if array.dim():
                arrays[name] = array.detach()
            kind.append((name, array.shape, None if array.dim() else float(array)))
        return cls(tensors, arrays, tuple(kind))


def _array(value: Any) -> Tensor | None:
    """What can be read as numbers."""
    try:
        return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


class Inputs:
    """What the graph of a block starts from; a session of such a block has the defaults, and the shapes."""

    def __init__(self, session: Session, values: CallValues):
        facts, bound = session.resolved.parameters, session.parameters
        self.dtype, self.device = session.context.dtype, session.context.device
        self.order = [
            (name, bound[name].shape, None if fact.node is None else fact.node.domain) for name, fact in facts.items()
        ]
        self.fixed = {name: value for name, value in bound.items() if name not in values.parameters}
        arrays = {name: value for name, value in session.data.items() if isinstance(value, Tensor)}
        self.arrays, self.defaults = list(arrays), {name: value for name, value in arrays.items() if name not in values.arrays}

    def of(self, values: CallValues) -> tuple[list[Tensor], list[Tensor]] | None:
        """The inputs, and the parameters in the caller's graph; None where something is not as it must be."""
        parameters = []
        for name, shape, domain in self.order:
            value = values.parameters.get(name)
            if value is None:
                parameters.append(self.fixed[name])
                continue
            bare = value.detach()
            if not finite(bare) or not lies_in(domain, bare) or not representable(bare, self.dtype):
                return None
            parameters.append(value.to(self.device, self.dtype).expand(shape))
        points = [value.detach() for value in parameters]
        for name in self.arrays:
            array = values.arrays.get(name)
            if array is None:
                points.append(self.defaults[name])
                continue
            array = array if array.is_floating_point() else array.to(torch.float64)
            if not finite(array) or not representable(array, self.dtype):
                return None
            points.append(array.to(self.device, self.dtype).unsqueeze(0))
        return points, parameters
