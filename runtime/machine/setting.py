"""What a block of runs computes with: its numbers, and what looks at them while they are computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...dsl.names.resolved import Resolved
from ...dsl.syntax import Node
from ...dsl.tables.limits import MAX_DEPTH, MAX_LANES, MAX_ROUNDS, MAX_STEPS
from ..arrays.function_code import Context
from ..arrays.kinks import once_differentiable
from ..arrays.operations import filled, held_between
from ..arrays.uniform import Once
from ..lanes.counter import Counter
from ..lanes.guards import Guards
from ..lanes.lanes import Join, Lanes
from ..lanes.lessons import TooCoarse
from ..lanes.lifting import Lifter
from ..lanes.meetings import Meetings
from ..lanes.merging import Merger, Tracked
from ..lanes.moving import Motion
from ..lanes.values import Plain, Uniform
from ..lanes.where import Where

MOST_KEPT = 1000  # numbers as tensors


class NobodyLeft(Exception):
    """All lanes of a frame have ended in the middle of an expression."""


@dataclass(frozen=True)
class Limits:
    """`steps` of one loop and `depth` of calls before a run is stopped; `lanes` that enumeration may make of one run, `rounds` of a
    loop, or levels of calls, in which it may, and numbers of a `table` of outcomes for each run (None: what fits into memory)."""

    steps: int = MAX_STEPS
    depth: int = MAX_DEPTH
    lanes: int = MAX_LANES
    rounds: int = MAX_ROUNDS
    table: int | None = None


USUAL = Limits()


class Setting:
    """The dtype, the device and the watchers of one block.

    safe      derivatives are 0 where nobody asks for them (`singular.py`)
    kinks     nodes whose values may have no second derivative; `bends` tells which have none here (None: all of them)
    meetings  kinks that are met exactly
    merger    what merges lanes in the same state
    """

    def __init__(
        self, resolved: Resolved, context: Context, *, safe: bool = False, guards: Guards | None = None,
        counter: Counter | None = None, lifter: Lifter | None = None, meetings: Meetings | None = None,
        kinks: frozenset[int] = frozenset(), bends: Callable[[], frozenset[int]] | None = None, merger: Merger | None = None,
    ):
        self.resolved = resolved
        self.context = context
        self.dtype = context.dtype
        self.device = context.device
        self.least, self.most = held_between(self.dtype)
        self.safe = safe
        self.guards = guards if guards is not None and guards.any else None
        self.counter = counter
        self.lifter = lifter
        self.meetings = meetings
        self.merger = merger
        self.kinks = kinks
        self.bends = bends
        self.where = Where(resolved.program.source)
        self.leaves: list[Tensor] = []
        self.once = Once()
        self._numbers: dict[float, Tensor] = {}

    def joiner(self, parts: list[Lanes], indices: list[Tensor], whole: Lanes, order: bool) -> Join:
        """What puts the parts of values together on the lanes `whole` (a hook for tracing)."""
        return (Join if self.merger is None else Tracked)(parts, indices, self.dtype, order)

    def motion(self) -> Motion:
        """What tells whether values move with the parameters."""
        return Motion(self.leaves, self.lifter)

    def hold(self, value: float) -> None:
        """TooCoarse for a number that the dtype has only as 0 or as infinity."""
        if value and not self.least <= abs(value) <= self.most and math.isfinite(value):
            raise TooCoarse

    def constant(self, value: float) -> Tensor:
        """A number as a tensor `[1]`, shared by all who ask."""
        known = self._numbers.get(value)
        if known is None:
            self.hold(value)
            known = filled(value, self.dtype, self.device)
            if len(self._numbers) < MOST_KEPT:
                self._numbers[value] = known
        return known

    def number(self, value: Plain) -> Tensor:
        """A value as a tensor `[lanes or 1, *event]` of the run's dtype."""
        return value.number(self.dtype, self.device) if isinstance(value.raw, Tensor) else self.constant(float(value.raw))

    def tensor(self, value: Plain) -> Tensor:
        """A value as a tensor `[lanes or 1, *event]`; truth values stay what they are."""
        if not isinstance(value.raw, Tensor):
            self.hold(value.raw)
        return value.tensor(self.dtype, self.device)

    def arrayed(self, value: Plain) -> Plain:
        """A value as one that holds a tensor; truth values stay what they are."""
        return value if isinstance(value.raw, Tensor) else Uniform(self.tensor(value))

    def bent(self, node: Node, value: Tensor) -> Tensor:
        """A value that comes from a kink, perhaps; P0406 where it is differentiated twice."""
        where, place, bends = self.where, id(node), self.bends  # a graph must not keep the machine
        return once_differentiable(value, lambda: where.bent(node.span) if bends is None or place in bends() else None)
