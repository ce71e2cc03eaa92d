"""What `grad` would do, foreseen without running anything: for `explain`.

The plans are those that a pilot would try (`trials.py`), each without the sites whose outcomes are too many, in the order in
which a run would find that out.  Where one plan is left, the choice is certain; else it is made by measuring, and what a site
may get is said.  Whether the exact answer comes out depends on how many outcomes there are: certain where they are counted and
few, impossible where those that are counted are too many already.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS
from ..tables.limits import lanes_of, lanes_tried
from .chooser import Planner
from .crowding import Crowding, numbered
from .plan import Choice, Plan, PlanOptions
from .summing import Summed, SummedSites
from .trials import Trials, alternatives, changed, planned, prefer, summing, trials

SURELY_FEW = 8.0  # log2 of lanes: so few are tried whatever else the program does


@dataclass(frozen=True)
class Foreseen:
    """The choice at one site.

    choice   what is certain, or what is taken by order, without measuring
    among    every estimator that the site may get
    measured those that a pilot tries
    exact    what is known of the exact answer: "" (it is not tried), "certain", "first" (it is tried first)
    crowded  the outcomes that are too many, in words
    summed   over which state it is summed out, where its outcomes may be enumerated
    unsummed why they are not, though it is discrete
    """

    choice: Choice
    among: tuple[str, ...]
    measured: tuple[str, ...] = ()
    exact: str = ""
    crowded: str = ""
    summed: Summed | None = None
    unsummed: tuple[str, ...] = ()

    def sums(self) -> dict[str, Any]:
        """The keys of the JSON that tell how outcomes are summed, or why not."""
        if self.summed is not None:
            return {"summed": self.summed.to_dict()}
        crowded = [f"too many outcomes: {self.crowded} in one run"] if self.crowded else []
        return {"not_summed": [*self.unsummed, *crowded]} if self.unsummed or crowded else {}


@dataclass(frozen=True)
class Forecast:
    """By site index what is foreseen, the plan that is taken by order, and the lanes that are tried for an exact answer."""

    sites: dict[int, Foreseen]
    plan: Plan
    lanes: int
    measured: bool


def forecast(crowding: Crowding, options: PlanOptions, piloted: bool) -> Forecast:
    """Foresee what `grad` does with so many runs."""
    plans, samples, max_lanes = crowding.plans, crowding.samples, crowding.max_lanes
    seer = _Seer(crowding, plans, options)
    by_order, _ = crowding.settled(options)
    todo = trials(plans, options)
    lanes = lanes_tried(samples, max_lanes) if todo.exact is None else crowding.tried(plans(replace(options, prefer=todo.exact)))
    if not piloted or not todo.live:
        rest = crowding.settled(options, merging=False)[0].choices
        found = {index: seer.by_order(choice, rest[index]) for index, choice in by_order.choices.items()}
        found = seer.told(found, (by_order,))
        return Forecast(found, by_order, lanes, any(len(site.among) > 1 for site in found.values()))
    exact = seer.exact(todo, lanes)
    if exact == "certain":
        assert todo.exact is not None
        whole = plans(replace(options, prefer=todo.exact))
        certain = {index: seer.certain(choice, exact) for index, choice in whole.choices.items()}
        return Forecast(seer.told(certain, (whole,)), whole, lanes, False)
    tried = list(seer.tried(todo)) if todo.measuring else [by_order]
    if exact:  # has been tried when the rest is measured
        tried = [plan for plan in tried if not plan.exact] or tried
    every = plans(replace(options, prefer=todo.exact)) if exact and todo.exact is not None else None
    sites = {}
    for index, choice in by_order.choices.items():
        measured = tuple(dict.fromkeys(plan.choices[index].estimator for plan in tried))
        names = dict.fromkeys((*measured, *(() if every is None else (every.choices[index].estimator,))))
        crowded = "" if every is not None and every.merges else seer.words(index)
        sites[index] = Foreseen(choice, tuple(names), measured, exact, crowded)
    sites = seer.told(sites, (*(() if every is None else (every,)), by_order, *tried))
    return Forecast(sites, by_order, lanes, any(len(site.among) > 1 for site in sites.values()))


@dataclass
class _Seer:
    crowding: Crowding
    plans: Planner
    options: PlanOptions

    def certain(self, choice: Choice, exact: str = "") -> Foreseen:
        """A choice that needs no measuring."""
        return Foreseen(choice, (choice.estimator,), (), exact, "" if exact else self.words(choice.site.index))

    def by_order(self, choice: Choice, rest: Choice) -> Foreseen:
        """What is taken without measuring, and what instead where states turn out to be too many."""
        if choice.estimator == rest.estimator:
            return self.certain(choice)
        return Foreseen(rest, (choice.estimator, rest.estimator), (rest.estimator,), "first")

    def exact(self, todo: Trials, lanes: int) -> str:
        """Whether the exact answer is certain, tried first, or out of reach."""
        if todo.exact is None:
            return ""
        plan = self.plans(replace(self.options, prefer=todo.exact))
        felt = [index for index, choice in plan.choices.items() if choice.effect]
        if self.crowding.overflow(plan, lanes) is not None:
            return ""
        counted = all(index in self.crowding.outcomes.whole for index in felt)
        return "certain" if counted and sum(self.crowding.outcomes.whole[index] for index in felt) <= SURELY_FEW else "first"

    def _settled(self, options: PlanOptions) -> Plan:
        return self.crowding.settled(options)[0]

    def tried(self, todo: Trials) -> Iterator[Plan]:
        """The plans that a pilot may try, as they end up."""
        for _, family in todo.families:
            if planned(self.plans, self.options, family) is None:
                continue
            yield self._settled(replace(self.options, prefer=family))
            if todo.varied:
                for group in todo.groups:
                    for name in alternatives(group[0]):
                        varied = changed(family, group, name)
                        if planned(self.plans, self.options, varied) is not None:
                            yield self._settled(replace(self.options, prefer=varied))

    def told(self, sites: dict[int, Foreseen], plans: Sequence[Plan]) -> dict[int, Foreseen]:
        """With what is known of the state over which outcomes are summed, under the first of these plans that enumerates a site."""
        sums = SummedSites(self.plans.resolved, self.options.of)
        found = {index: replace(seen, summed=sums.of_site(index, plans)) for index, seen in sites.items()}
        base = self.plans(self.options)
        for index, seen in found.items():
            choice = base.choices[index]
            if seen.summed is not None or not choice.effect:
                continue
            if ESTIMATORS[choice.estimator].splits:
                found[index] = replace(seen, unsummed=self.unsummed(index, base, sums, self.options))
            elif choice.free and summing(choice):
                options = replace(self.options, prefer=prefer(trials(self.plans, self.options).free, summing))
                plan = planned(self.plans, self.options, options.prefer)
                if plan is not None:
                    found[index] = replace(seen, unsummed=self.unsummed(index, plan, sums, options))
        return found

    def unsummed(self, index: int, plan: Plan, sums: SummedSites, options: PlanOptions) -> tuple[str, ...]:
        """Why a site that could be enumerated is not: what keeps lanes apart in the `plan` of some options that enumerates all that
        can be, or that there are too many outcomes for that."""
        site = plan.choices[index].site
        if DISTRIBUTIONS[site.distribution.name].endless and site.function is None:
            for other in plan.choices.values():
                if other.effect and not ESTIMATORS[other.estimator].exact:
                    at = f"`{other.site.name}` (line {self.plans.resolved.program.source.line_of(other.site.span)})"
                    return (f"it has outcomes without end, which are summed only where all draws are: {at} is not",)
        summed = sums.of_site(index, (plan,))
        if summed is not None and not summed.out:
            return summed.apart
        why = "" if self.words(index) else dict(self.crowding.settled(options)[1].why).get(index, "")
        return (f"too many outcomes: {why}",) if why else ()

    def words(self, index: int) -> str:
        """The outcomes of a site, where they are too many for one run."""
        if not self.plans(self.options).choices[index].finite:
            return ""
        bits = max(self.crowding.outcomes.whole.get(index, 0.0), self.crowding.outcomes.once.get(index, 0.0))
        samples, most = self.crowding.samples, self.crowding.max_lanes
        if bits <= math.log2(max(lanes_of(samples, False, most), lanes_tried(samples, most))):
            return ""
        return numbered(bits)
