"""Gradients of a program at one point after another, with the same options: what does not change between calls is found out once.

A call whose block is replayed (`runtime/blocks/replayed.py`) has come about by options, plans, an arithmetic and a session that are
those of the next one, too, as long as the values are of the same kind and size.  So the next one goes from values and seed to the
moments at once.  Whatever is not as it was is left to the ordinary way, which then knows it for the calls after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..blocks.collect import Estimate
from ..blocks.replayed import BlockReplay
from ..blocks.session import Session
from ..estimates.estimate import of_replay
from ..lanes.lessons import NotFinite
from .inputs import MOST_PLACES, CallValues, Inputs, forget, seed_of

Report = Callable[[Estimate, float], Any]  # makes of an estimate, and the seconds that it took, what the caller gets


class GradientCall:
    """A call like one that gave an estimate by a replay."""

    def __init__(self, estimate: Estimate, values: CallValues, report: Report):
        self.by: BlockReplay
        self.session: Session
        self.by, self.session = estimate.replay
        self.plan, self.names, self.report = estimate.plan, tuple(estimate.value), report
        self.inputs = Inputs(self.session, values)

    def taken(self, values: CallValues, seed: int) -> Any:
        """What the caller gets; None where it must come about in the ordinary way."""
        started = time.perf_counter()
        found = self.inputs.of(values)
        if found is None or self.by.replay.useless:
            return None
        block = self.session.reseeded(seed)
        whole = self.by.made(block, found[0])
        if whole is None:
            return None
        try:
            collected = of_replay(self.names, replace(block.settings, seed=seed), whole)
        except NotFinite:
            return None
        if collected is None:
            return None
        spent = 0.0 if block.settings.compile else None
        estimate = collected.estimate(self.plan, started, scarce=block.variety.scarce, compile_seconds=spent)
        return self.report(estimate, time.perf_counter() - started)


@dataclass
class GradientCalls:
    """The calls with the same options, by the kind and the size of their values."""

    known: dict[Hashable, GradientCall] = field(default_factory=dict)

    def taken(self, parameters: Mapping[str, object], data: Mapping[str, object], seed: float | None) -> Any:
        """What a call gives that is like one before it."""
        values = CallValues.of(parameters, data, numbers=True) if self.known else None
        if values is None or (call := self.known.get(values.place)) is None or (own := seed_of(seed)) is None:
            return None
        return call.taken(values, own)

    def learn(
        self, estimate: Estimate, parameters: Mapping[str, object], data: Mapping[str, object], report: Report
    ) -> None:
        """Remember how a call has come about, if its block was replayed."""
        values = None if estimate.replay is None or estimate.rounded else CallValues.of(parameters, data, numbers=True)
        if values is not None:
            forget(self.known, MOST_PLACES)
            self.known[values.place] = GradientCall(estimate, values, report)
