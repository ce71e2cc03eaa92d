"""Outcomes that are too many, foreseen from the text and the values given: no run finds out what could be known before it.

Every round of a run that ends with too many lanes costs what it has split until then, in each step of an optimiser anew.  So plans
are made again here until what is counted (`outcomes.py`) fits; what is not counted, a run must still find out (`TooManyLanes`).
`explain` and the runs ask the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..analysis.liveness import liveness_of
from ..analysis.outcomes import Outcomes, count_outcomes, what_counts
from ..analysis.states import count_states
from ..tables.distributions import DISTRIBUTIONS
from ..tables.limits import MAX_LANES, MOST_STATES, STEP, lanes_tried
from .chooser import Planner
from .plan import NOTHING, Lessons, Plan, PlanOptions

MOST_KNOWN = 64  # counts of one program that are remembered
FEW_BITS = 20  # of a number that is written out


@dataclass
class Crowding:
    """The plans of a program with these values, for so many runs."""

    plans: Planner
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    samples: int
    max_lanes: int | None
    of: tuple[str, ...] = ()  # variables that are asked for at the end

    @cached_property
    def outcomes(self) -> Outcomes:
        """How many outcomes there are, counted when it is first asked for and remembered with the program's plans."""
        known, key = self.plans.counted, (self.of, what_counts(self.parameters, self.data))
        if key not in known:
            if len(known) >= MOST_KNOWN:
                known.clear()
            known[key] = count_outcomes(self.plans.resolved, self.parameters, self.data, self.of)
        return known[key]

    def settled(self, options: PlanOptions, merging: bool = True) -> tuple[Plan, Lessons]:
        """The plan without what is surely too much, and what was learnt on the way; `merging` as for `overflow`.  Beside draws,
        that states are few is hoped for only where plans are measured."""
        lessons = NOTHING
        while True:
            plan = self.plans(options, lessons)
            lanes = plan.lanes(self.samples, self.max_lanes)
            index = self.overflow(plan, lanes, merging and (plan.exact or bool(options.prefer)))
            if index is None:
                return plan, lessons
            lessons = lessons.crowd(index, plan, self.words(index, lanes))

    def words(self, index: int, lanes: int) -> str:
        """Why the outcomes at a site are too many for so many lanes."""
        bits = max(self.outcomes.whole.get(index, 0.0), self.outcomes.once.get(index, 0.0))
        if bits <= math.log2(lanes):
            return f"with those before they are more than the {lanes} lanes that a run may take (--max-lanes)"
        return f"they are {numbered(bits)} in a run, which may take {lanes} lanes (--max-lanes)"

    def tried(self, plan: Plan) -> int:
        """How many lanes are tried for the exact answer, of this plan, before anything else: where all outcomes are counted as many
        as take no longer than the runs would; where lanes are merged, work is what is bounded."""
        least = lanes_tried(self.samples, self.max_lanes)
        felt = [index for index, choice in plan.choices.items() if choice.effect]
        if self.max_lanes is not None:
            return least
        if plan.merges:
            return MOST_STATES
        if not all(index in self.outcomes.whole for index in felt):
            return least
        return max(least, min((self.samples + STEP) * len(felt) // 2, MAX_LANES))

    def overflow(self, plan: Plan, lanes: int, merging: bool = True) -> int | None:
        """The first site of a plan at which there are more lanes than these; with `merging` surely more: how many states are left
        where lanes are merged, only a run can tell."""
        room, total = math.log2(lanes), 0.0
        most = 0.0 if merging and plan.merges else self.states(plan)
        for index in plan.splitting:
            total += self.outcomes.whole.get(index, 0.0)
            if max(min(total, most), self.outcomes.once.get(index, 0.0)) > room:
                return index
        return None

    def states(self, plan: Plan, least: bool = False) -> float:
        """The logarithm of how many lanes there are at most, where lanes in one state are merged (infinite: unknown).  With `least`
        outcomes without end count as two, of which there are more."""
        if not plan.merges:
            return math.inf
        resolved, enumerated, once = self.plans.resolved, frozenset(plan.splitting), self.outcomes.once
        if least:
            endless = (index for index in enumerated if DISTRIBUTIONS[resolved.sites[index].distribution.name].endless)
            once = {**dict.fromkeys(endless, 1.0), **once}
        return resolved.prepared.once(
            "states", (self.of, enumerated, tuple(once.items())),
            lambda: count_states(resolved, liveness_of(resolved, self.of), enumerated, once),
        )

    def planner(self, options: PlanOptions) -> Callable[[Lessons], Plan]:
        """What makes the plans of a run, which may learn more."""
        plan, known = self.settled(options)

        def make(lessons: Lessons) -> Plan:
            if lessons is NOTHING:
                return plan
            return self.plans(options, lessons.joined(known) if known.crowded else lessons)

        return make


def numbered(bits: float) -> str:
    """2 to the power of so many, in words."""
    return f"2^{bits:.0f}" if bits > FEW_BITS else f"{2**bits:.0f}"


__all__ = ["Crowding", "numbered"]
