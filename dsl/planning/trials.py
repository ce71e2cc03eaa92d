"""What is measured before a gradient is taken: the plans that a pilot may try, as far as the text tells.

First, if every site that matters can be enumerated, the exact answer (`exact`).  Else plans that treat all sites alike
(`families`); then, where sites differ, the best of these with one group of like sites changed at a time (`groups`).  The number
of trials grows with the number of groups, never with that of sites.  `runtime/estimates/pilot.py` runs them, `explain` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from ..syntax import EstimatorCall
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS, FALLBACK, MASS, PLAIN, live_rows
from ..text.diagnostics import ProbError
from .chooser import Planner
from .plan import Choice, Plan, PlanOptions

MOST_GROUPS = 6
COLD = 0.1  # a second temperature that is tried

Prefer = tuple[tuple[int, EstimatorCall], ...]


def orders() -> tuple[tuple[str, ...], ...]:
    """Families of plans: for each site the first of a tuple that is right there.

    Where the derivative can go through an exact value, it does; the density takes the rest, or one of the others goes before it.
    """
    paths = [row for row in live_rows() if row.reparameterises]
    others = [row for row in live_rows() if row not in paths and row is not FALLBACK]
    biased = [row for row in others if row.biased]
    families = [(*paths, FALLBACK, *biased), *((*paths, other, FALLBACK) for other in others), (FALLBACK,)]
    return tuple(tuple(row.name for row in family) for family in families)


@dataclass(frozen=True)
class Trials:
    """What is to be tried.

    free      sites where nobody has set an estimator and there is a choice, `live` those of them that a parameter reaches
    exact     what to prefer for an exact answer (None: there is none)
    families  plans that treat all sites alike, each with the number of its noise
    groups    sites that are alike
    """

    free: tuple[Choice, ...]
    live: tuple[Choice, ...]
    exact: Prefer | None
    families: tuple[tuple[int, Prefer], ...]
    groups: tuple[tuple[Choice, ...], ...]

    @property
    def varied(self) -> bool:
        """Whether sites differ, so that one group at a time is changed."""
        return len(self.groups) > 1

    @property
    def count(self) -> int:
        """How many plans are run at most."""
        return len(self.families) + (sum(len(alternatives(group[0])) - 1 for group in self.groups) if self.varied else 0)

    @property
    def measuring(self) -> bool:
        """Whether there is something to measure, beside the exact answer."""
        return self.count > 1 or self.learning or any(
            call.name == FALLBACK.name for _, family in self.families for _, call in family
        )

    @property
    def learning(self) -> bool:
        """Whether runs may fork at several sites, so that it can be learnt how much to look at each."""
        return any(sum(ESTIMATORS[call.name].forks for _, call in family) > 1 for _, family in self.families)


def trials(plans: Planner, options: PlanOptions) -> Trials:
    """The plans that may be tried: found once."""
    if options not in plans.tried:
        plans.tried[options] = _trials(plans, options)
    return cast("Trials", plans.tried[options])


def _trials(plans: Planner, options: PlanOptions) -> Trials:
    start = plans(options)
    free = tuple(choice for choice in start.choices.values() if choice.effect and choice.free and (choice.live or choice.finite))
    live = tuple(choice for choice in free if choice.live)
    if not live:
        return Trials(free, live, None, (), ())
    everything = prefer(free, summing)
    plan = planned(plans, options, everything)
    return Trials(
        free, live, everything if plan is not None and plan.exact else None, _families(live, free, options.tau), _groups(live)
    )


def planned(plans: Planner, options: PlanOptions, preferred: Prefer) -> Plan | None:
    """The plan with these preferences; None where it is refused."""
    try:
        return plans(replace(options, prefer=preferred))
    except ProbError:
        return None


def alternatives(choice: Choice) -> list[str]:
    """What may be tried at a site."""
    rows = sorted(live_rows(), key=lambda row: (row.biased, not row.exact, not row.pathwise))
    return [row.name for row in rows if _tried(choice, row.name)]


def _tried(choice: Choice, name: str) -> bool:
    """Whether an estimator may be tried at a site beside others."""
    return name in choice.candidates and _beside(choice, name)


def _beside(choice: Choice, name: str) -> bool:
    """Whether an estimator is for more than an exact answer: outcomes without end are enumerated for that only."""
    return not (DISTRIBUTIONS[choice.site.distribution.name].endless and ESTIMATORS[name].splits)


def prefer(choices: tuple[Choice, ...], name: Callable[[Choice], str | None], **options: float | str) -> Prefer:
    """Of each site the estimator that `name` gives, with those of the options that it has."""
    found = []
    calls: dict[str, EstimatorCall] = {}
    for choice in choices:
        wanted = name(choice)
        if wanted is not None:
            if wanted not in calls:
                row = ESTIMATORS[wanted]
                given = tuple((option, value) for option, value in options.items() if row.option(option) is not None)
                calls[wanted] = EstimatorCall(wanted, given)
            found.append((choice.site.index, calls[wanted]))
    return tuple(found)


def changed(preferred: Prefer, group: tuple[Choice, ...], name: str) -> Prefer:
    """The same with another estimator in one group."""
    members = {choice.site.index for choice in group}
    call = next((call for _, call in preferred if call.name == name), EstimatorCall(name))
    call = EstimatorCall(name, _but_mass(call))  # which is of another site
    return tuple((index, call if index in members else old) for index, old in preferred)


def _but_mass(call: EstimatorCall) -> tuple[tuple[str, float | str], ...]:
    return tuple(option for option in call.options if option[0] != MASS.name)


def as_run(prefer: Prefer, plan: Plan) -> Prefer:
    """The preferences that a run has kept: it need not be learnt twice where outcomes are too many or a guard fails.  (A draw that
    no parameter reaches is not enumerated where anything else is preferred.)"""
    kept = []
    for index, call in prefer:
        name = plan.choices[index].estimator
        if name == PLAIN.name:
            name = FALLBACK.name if ESTIMATORS[call.name].splits else call.name
        kept.append((index, call if call.name == name else EstimatorCall(name)))
    return tuple(kept)


def with_baseline(prefer: Prefer, baseline: str) -> Prefer:
    """The same preferences with one baseline where there were both."""
    both = (("baseline", "both"),)
    return tuple(
        (index, EstimatorCall(call.name, (("baseline", baseline),)) if call.options == both else call) for index, call in prefer
    )


def with_masses(prefer: Prefer, plan: Plan, masses: Mapping[int, float]) -> Prefer:
    """The same preferences with so many times the masses that the plan has where runs fork; as against sites that are not free,
    which keep theirs.  A site of which nothing is known has the largest."""
    free = {index for index, _ in prefer}
    fixed = next((mass for index, mass in masses.items() if index not in free), 1.0)
    most, found = max(masses.values()), []
    for index, call in prefer:
        choice = plan.choices[index]
        if choice.estimator == call.name and MASS in ESTIMATORS[call.name].options:
            mass = float(choice.options[MASS.name]) * masses.get(index, most) / fixed
            call = EstimatorCall(call.name, (*_but_mass(call), (MASS.name, mass)))
        found.append((index, call))
    return tuple(found)


def summing(choice: Choice) -> str | None:
    """What sums out a site, where that may be."""
    if not choice.finite:
        return None
    allowed = choice.candidates if choice.live else tuple(ESTIMATORS)
    return next((name for name in allowed if ESTIMATORS[name].exact), None)


def _families(live: tuple[Choice, ...], free: tuple[Choice, ...], tau: float) -> tuple[tuple[int, Prefer], ...]:
    """Plans that treat all sites alike, with the number of their noise.  Both baselines are measured on the same runs."""

    def first_of(choice: Choice, *names: str) -> str | None:
        return next((name for name in names if _tried(choice, name)), None)

    found: list[Prefer] = []
    numbers: list[int] = []
    for number, order in enumerate(orders()):
        for temperature in (COLD, tau):
            preferred = prefer(
                live, lambda choice, order=order: first_of(choice, *order), baseline="both", tau=temperature,  # type: ignore[misc]
            )
            if preferred and preferred not in found:
                found.append(preferred)
                numbers.append(number)

    def summed_beside(choice: Choice) -> str | None:
        name = summing(choice)
        return name if name is not None and _beside(choice, name) else None

    if any(not choice.live for choice in free):
        preferred = prefer(free, lambda choice: summed_beside(choice) or first_of(choice, *orders()[0]))
        if preferred not in found:
            found.append(preferred)
            numbers.append(len(orders()))
    return tuple(zip(numbers, found, strict=True))


def _groups(live: tuple[Choice, ...]) -> tuple[tuple[Choice, ...], ...]:
    """Sites that are alike: one distribution, the same candidates."""
    found: dict[object, list[Choice]] = {}
    for choice in live:
        if len(alternatives(choice)) > 1:
            found.setdefault((choice.site.distribution.name, choice.candidates), []).append(choice)
    if len(live) <= MOST_GROUPS:
        return tuple((choice,) for members in found.values() for choice in members)
    return tuple(tuple(members) for members in list(found.values())[:MOST_GROUPS])


__all__ = [
    "Prefer", "Trials", "alternatives", "as_run", "changed", "orders", "planned", "prefer", "summing", "trials",
    "with_baseline", "with_masses",
]
