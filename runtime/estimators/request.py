"""What a site asks of its estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...dsl.distributions import DistributionRow
from ..distributions import Law


@dataclass(frozen=True, slots=True)
class Request:
    """One execution of a sampling site on many lanes.

    law         the distribution with its arguments `[lanes or 1, *batch, *parameter event]`
    arguments   the same arguments by keyword
    shape       of the draw: `[lanes, *batch, *event]`
    batch       how many batch axes there are
    live        whether an argument carries a derivative
    options     of the choice: `tau`, `hard`
    """

    row: DistributionRow
    law: Law
    arguments: dict[str, Tensor]
    shape: tuple[int, ...]
    batch: int
    live: bool
    options: Mapping[str, float | bool]
    generator: torch.Generator


class Estimator(Protocol):
    """A way to draw.  `needs_interior`: its formula breaks down where an outcome has probability exactly 0."""

    name: str
    needs_interior: bool

    def draw(self, request: Request) -> tuple[Tensor, Tensor | None]:
        """The value `[lanes, *batch, *event]` and the log of its weight's factor `[lanes or 1]` (None: 1)."""
        ...
