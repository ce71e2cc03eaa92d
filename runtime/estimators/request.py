"""What a site asks of its estimator, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ...dsl.tables.distributions import DistributionRow
from ...dsl.tables.estimators import EstimatorRow
from ..lanes.ledger import DensitySum
from ..lanes.meter import Meter
from ..lanes.moving import Motion
from ..laws.law import Law
from ..laws.noise import Noise
from ..laws.others import Others

Options = Mapping[str, float | bool | str]


@dataclass(frozen=True, slots=True)
class Request:
    """One execution of a sampling site on many lanes.

    law         the distribution with its arguments `[lanes or 1, *batch, *parameter event]`
    arguments   the same arguments by keyword
    shape       of the draw: `[lanes, *batch, *event]`
    batch       how many batch axes there are
    live        whether an argument carries a derivative
    options     of the choice: `tau`, `hard`, `baseline`
    motion      tells whether something moves with a parameter
    most_lanes  that enumeration may make
    most_table  numbers of one table of outcomes (None: as many as fit into memory)
    places      of the arguments' row of every lane `[lanes]` (None: they have a row for each lane, or one for all)
    counted     all elements have one law, and only how many have which outcome matters
    whole       the log densities of all elements may be given as their sum
    crossings   gives the jumps of a draw, each of which a run may take (None: it has none)
    front       so many lanes, the first ones, may fork (None: all)
    uncounted   gives the elements of a draw on these lanes `[front or 1, *batch]` that count nowhere (None: none)
    meter       is told of work beyond the numbers of the draw, before it is done
    """

    row: DistributionRow
    law: Law
    arguments: dict[str, Tensor]
    shape: tuple[int, ...]
    batch: int
    live: bool
    options: Options
    noise: Noise
    motion: Callable[[], Motion]
    most_lanes: int
    most_table: int | None = None
    places: Tensor | None = None
    counted: bool = False
    whole: bool = False
    meter: Meter = field(default_factory=Meter)
    crossings: Callable[[Tensor], Others | None] = lambda draw: None
    front: int | None = None
    uncounted: Callable[[], Tensor | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draw `[lanes, *batch, *event]` and what it adds to the weights.

    log_density   of a score site, `[lanes or 1, *batch]`: the factor is `exp(l - stop(l))`
    index         where lanes are split: the old lane of each new one `[new lanes]`; the value is on the new lanes
    probability   of each new lane, given the old one `[new lanes]`
    late          where outcomes have no end: 1 for one in the part before the last of them, 2 for one in the last `[new lanes]`
    kept          the most outcomes that are kept
    rest          the largest probability of what was left out
    anew          the probability once more, with a derivative of its own (None: it is shared anyway)
    others        where runs fork: the other outcomes that there might have been
    summed        where `log_density` `[lanes]` is the sum over the elements of an array: that of some of them
    """

    value: Tensor
    log_density: Tensor | None = None
    index: Tensor | None = None
    probability: Tensor | None = None
    late: Tensor | None = None
    kept: int = 0
    rest: float = 0.0
    anew: Callable[[], Tensor] | None = None
    others: Others | None = None
    summed: DensitySum | None = None


class Estimator(Protocol):
    """A way to draw.  What it is good for stands in its row in `dsl/tables/estimators.py`."""

    facts: EstimatorRow

    def draw(self, request: Request) -> Drawn | None:
        """The draw; None where it would take more lanes than allowed."""
        ...
