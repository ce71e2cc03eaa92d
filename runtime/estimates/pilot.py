"""The choice among right plans by a pilot run (ESTIMATORS.md section 3).

Which estimators are right is decided by the text; which of them is best is measured.  First, if every site that matters has
finitely many outcomes, the exact answer is tried: it ends the search.  Else plans that treat all sites alike are run with a
few samples each (`enumerate` where outcomes are finite, `score`, `gumbel`; score at pathwise sites too), scores with both
baselines at once; then, where sites differ, the best plan is varied one group of like sites at a time.  The number of trials
grows with the number of groups, never with that of sites, and at most `MOST_GROUPS` groups are varied.

A plan's figure is the mean squared error of its gradient at the requested number of runs, bias^2 + variance/n, per entry
relative to that of the best unbiased plan, summed over entries.  A relaxation's bias is the difference d from the best unbiased
plan, or from finite differences with common random numbers where those are less noisy (thousands of discrete draws), known
up to its standard error s.  Where |d| > 2s it counts as d^2 - s^2.  Else neither d^2 nor d^2 - s^2 can be used: with a score's
s, from a part of the runs, the first rejects every relaxation and the second takes a throw of a coin for a measurement.  So
the bias has a prior N(0, t^2), t = 0.2 (tau/0.5)^2 of the gradient (the bias of a relaxation falls with the square of its
temperature), and counts with its posterior mean square, (d t^2/(t^2 + s^2))^2 + t^2 s^2/(t^2 + s^2).

Pilot runs have seeds of their own and are not used again: reusing them would favour the plan that was lucky.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...dsl.planning.chooser import Planner
from ...dsl.planning.plan import Choice, Lessons, Plan, PlanOptions
from ...dsl.syntax import EstimatorCall
from ...dsl.tables.estimators import ESTIMATORS, FALLBACK, live_rows
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from .differences import extrapolated
from .estimate import gradient
from .verdict import Measured, Prefer, Verdict

SHARE = 0.2  # of the runs, for all trials together
LEAST_RUNS = 32
MOST_RUNS = 2000
MOST_GROUPS = 6
BETTER = 0.9  # a variation must be so much better than what is there (mean squared errors)
FOR_PATHWISE = 0.25  # and to give up a reparameterised draw, so much: what it gains elsewhere is not seen in one program point
PRIOR = 0.2  # of the gradient: the bias that a relaxation at tau = 0.5 is thought to have
COLD = 0.1  # a second temperature that is tried
MOST_DIFFERENCES = 4  # parameter entries for which finite differences are taken
CONTENDS = 0.5  # a relaxation matters whose variance is below this part of the best unbiased error
TRIED_ROUNDS = 24  # of a `while`, or levels of calls, in which outcomes are enumerated
EXACT_LANES = 4096  # tried for an exact answer, or as many as runs were asked for


def orders() -> tuple[tuple[str, ...], ...]:
    """Families of plans: for each site the first of a tuple that is right there.

    Where the derivative can go through an exact value, it does; the density takes the rest, or one of the others goes before it.
    """
    paths = [row for row in live_rows() if row.pathwise and not row.relaxes]
    others = [row for row in live_rows() if row not in paths and row is not FALLBACK]
    biased = [row for row in others if row.biased]
    families = [(*paths, FALLBACK, *biased), *((*paths, other, FALLBACK) for other in others), (FALLBACK,)]
    return tuple(tuple(row.name for row in family) for family in families)








@dataclass(frozen=True)
class _Trial:
    """A plan that was run: per entry of the gradient the mean and the sd of a run."""

    prefer: Prefer
    plan: Plan
    mean: Tensor
    sd: Tensor
    runs: int

    @property
    def pathwise(self) -> int:
        """How many sites are reparameterised."""
        return sum(row.pathwise and not row.relaxes for c in self.plan.choices.values() if (row := ESTIMATORS[c.estimator]))

    @property
    def temperature(self) -> float:
        """The highest one of a relaxation."""
        return max((float(c.options["tau"]) for c in self.plan.choices.values() if ESTIMATORS[c.estimator].relaxes), default=0.0)


class _NotExact(Exception):
    """An exact plan has turned out to take too many lanes."""


@dataclass
class _Pilot:
    planner: Planner
    options: PlanOptions
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    settings: Settings
    trials: list[_Trial] = field(default_factory=list)
    known: set[object] = field(default_factory=set)
    runs: int = LEAST_RUNS
    differences: tuple[Tensor, Tensor] | None = None  # means and variances of finite differences

    # --------------------------------------------------------------------------------------------------- trials
    def plan(self, prefer: Prefer) -> Plan | None:
        """The plan with these preferences; None where it is refused."""
        try:
            return self.planner(replace(self.options, prefer=prefer))
        except ProbError:
            return None

    def estimate(self, prefer: Prefer, settings: Settings, exact: bool = False) -> Estimate | None:
        """Run a plan; with `exact` only as long as it is exact."""
        options = replace(self.options, prefer=prefer)

        def planner(lessons: Lessons) -> Plan:
            plan = self.planner(options, lessons)
            if exact and not plan.exact:
                raise _NotExact
            return plan

        try:
            found = gradient(self.planner.resolved, planner, self.parameters, self.data, settings)
        except (ProbError, _NotExact):
            return None  # the main run will say it, with all its runs
        if found.interrupted:
            raise KeyboardInterrupt
        return found

    def trial(self, prefer: Prefer, number: int) -> _Trial | None:
        """Run a plan, unless one like it has been."""
        plan = self.plan(prefer)
        if plan is None or plan.key in self.known:
            return None
        self.known.add(plan.key)
        seed = (self.settings.seed * 2_654_435_761 + 7919 * number + 104_729) % 2**63
        budget = self.settings.lanes(False)
        settings = replace(self.settings, samples=self.runs, seed=seed, max_lanes=budget, max_rounds=TRIED_ROUNDS)
        found = self.estimate(prefer, settings)
        if found is None or found.plan is None or (found.plan.key in self.known and found.plan.key != plan.key):
            return None
        self.known.add(found.plan.key)
        trial = self.take(with_baseline(prefer, "mean"), found.plan, found.gradient)
        if found.other:
            self.take(with_baseline(prefer, "regression"), found.plan, found.other)
        return trial

    def take(self, prefer: Prefer, plan: Plan, gradient: dict[str, dict[str, Moments]]) -> _Trial:
        """Write down what the plan that was run (without what turned out to be too many outcomes) gave."""
        moments = [m for rows in gradient.values() for m in rows.values()]
        mean = torch.cat([m.mean.reshape(-1) for m in moments]).cpu()
        sd = torch.cat([m.sd.reshape(-1) for m in moments]).cpu()
        trial = _Trial(prefer, plan, mean, sd, self.runs)
        self.trials.append(trial)
        return trial

    # -------------------------------------------------------------------------------------------------- figures
    @property
    def reference(self) -> _Trial | None:
        """The unbiased plan with the least variance."""
        fair = [trial for trial in self.trials if not trial.plan.biased]
        return min(fair, key=lambda trial: float((trial.sd**2).sum()), default=None)

    def errors(self, trial: _Trial) -> Tensor:
        """The mean squared error of each entry at the requested number of runs."""
        error = trial.sd**2 / self.settings.samples
        if trial.plan.biased and (against := self.against(trial)) is not None:
            difference, doubt = against
            prior = (PRIOR * (trial.temperature / 0.5) ** 2 * trial.mean) ** 2
            share = torch.where(prior + doubt > 0, prior / (prior + doubt), 0.0)
            believed = (difference * share) ** 2 + share * doubt
            error = error + torch.where(difference**2 > 4 * doubt, difference**2 - doubt, believed)
        return error

    def against(self, trial: _Trial) -> tuple[Tensor, Tensor] | None:
        """A relaxation's difference from what is known best, and the variance of that, per entry."""
        reference = self.reference
        if reference is None:
            return None
        mean, variance = reference.mean, reference.sd**2 / reference.runs
        if self.differences is not None:
            closer = self.differences[1] < variance
            mean = torch.where(closer, self.differences[0], mean)
            variance = torch.where(closer, self.differences[1], variance)
        return trial.mean - mean, variance + trial.sd**2 / trial.runs

    def difference(self) -> None:
        """Take finite differences, where a relaxation contends and they do not cost too much."""
        reference = self.reference
        contenders = [trial for trial in self.trials if trial.plan.biased]
        if reference is None or not contenders or reference.mean.numel() > MOST_DIFFERENCES:
            return
        unit = float((reference.sd**2).sum())
        if not any(float((trial.sd**2).sum()) < CONTENDS * unit for trial in contenders):
            return
        settings = replace(self.settings, samples=self.runs, seed=(self.settings.seed * 48_271 + 11) % 2**63, dtype="float64")
        try:
            mean, se = extrapolated(self.planner.resolved, self.parameters, self.data, settings)
        except ProbError:
            return  # a displaced parameter leaves the domain
        self.differences = mean, se**2

    def figure(self, trial: _Trial) -> float:
        """The error of a plan relative to the best unbiased one's, over all entries."""
        reference = self.reference
        own = self.errors(trial)
        if reference is None:
            return float(own.sum())
        unit = self.errors(reference)
        floor = float(unit.sum()) * 1e-12 + 1e-300
        return float((own / (unit + floor)).sum())

    def weighed(self, trial: _Trial) -> float:
        """The figure, with a handicap for the regression baseline: it takes a second backward pass."""
        regression = any(("baseline", "regression") in call.options for _, call in trial.prefer)
        return self.figure(trial) / (BETTER if regression else 1.0)

    def best(self) -> _Trial | None:
        """The plan with the least error; of equals the earlier one.  Reparameterised draws are kept unless it pays well."""
        best = min(self.trials, key=self.weighed, default=None)
        if best is None:
            return None
        pathwise = [trial for trial in self.trials if trial.pathwise > best.pathwise and not trial.plan.biased]
        kept = min(pathwise, key=self.weighed, default=None)
        return best if kept is None or self.figure(best) < FOR_PATHWISE * self.figure(kept) else kept

    def measured(self, trial: _Trial) -> Measured:
        """A plan's figures for the report."""
        bias = bias_se = 0.0
        if trial.plan.biased and (against := self.against(trial)) is not None:
            difference, doubt = against
            bias = float(difference) if difference.numel() == 1 else float(difference.norm())
            bias_se = float(doubt.sum().sqrt())
        return Measured(bias, bias_se, float(trial.sd.norm()), float(self.errors(trial).sum().sqrt()))


def choose(
    plans: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings
) -> Verdict:
    """Measure, and say what to prefer.  The same seed and options give the same choice."""
    start = plans(options)
    free = [choice for choice in start.choices.values() if choice.effect and choice.free and (choice.live or choice.finite)]
    if not any(choice.live for choice in free):
        return Verdict()
    plain = replace(settings, target_se=None, deadline=None, sampler="random", keep_runs=False, compile=False)
    pilot = _Pilot(plans, options, parameters, data, plain)
    everything = _prefer(free, _summing)
    plan = pilot.plan(everything)
    if plan is not None and plan.exact:
        lanes = settings.max_lanes or max(EXACT_LANES, settings.samples)
        limits = replace(settings, max_lanes=min(lanes, settings.lanes(True)), max_rounds=TRIED_ROUNDS)
        exact = pilot.estimate(everything, limits, exact=True)
        if exact is not None:
            nothing = Measured(0.0, 0.0, 0.0, 0.0)
            return Verdict(everything, {index: {call.name: nothing} for index, call in everything}, 0, exact)
    live = [choice for choice in free if choice.live]
    families = _families(live, free, options.tau)
    groups = _groups(live)
    trials = len(families) + (sum(len(_alternatives(group[0])) - 1 for group in groups) if len(groups) > 1 else 0)
    if trials < 2 and not any(call.name == FALLBACK.name for _, family in families for _, call in family):
        return Verdict()
    pilot.runs = max(int(SHARE * settings.samples / trials), min(LEAST_RUNS, settings.samples), 2)
    pilot.runs = min(pilot.runs, MOST_RUNS)
    for number, family in families:
        pilot.trial(family, number)
    pilot.difference()
    best = _vary(pilot, groups, len(orders())) if len(groups) > 1 else pilot.best()
    if best is None or len(pilot.trials) < 2:
        return Verdict()
    return Verdict(best.prefer, _per_site(pilot, live, best), pilot.runs)


def _summing(choice: Choice) -> str | None:
    """What sums out a site, where that may be."""
    if not choice.finite:
        return None
    allowed = choice.candidates if choice.live else tuple(ESTIMATORS)
    return next((name for name in allowed if ESTIMATORS[name].exact), None)


def _alternatives(choice: Choice) -> list[str]:
    """What may be tried at a site."""
    rows = sorted(live_rows(), key=lambda row: (row.biased, not row.exact, not row.pathwise))
    return [row.name for row in rows if row.name in choice.candidates]


def _prefer(choices: list[Choice], name: Callable[[Choice], str | None], **options: float | str) -> Prefer:
    found = []
    for choice in choices:
        wanted = name(choice)
        if wanted is not None:
            row = ESTIMATORS[wanted]
            given = tuple((option, value) for option, value in options.items() if row.option(option) is not None)
            found.append((choice.site.index, EstimatorCall(wanted, given)))
    return tuple(found)


def _families(live: list[Choice], free: list[Choice], tau: float) -> list[tuple[int, Prefer]]:
    """Plans that treat all sites alike, with the number of their noise.  Both baselines are measured on the same runs."""

    def first_of(choice: Choice, *names: str) -> str | None:
        return next((name for name in names if name in choice.candidates), None)

    found: list[Prefer] = []
    numbers: list[int] = []
    for number, order in enumerate(orders()):
        for temperature in (COLD, tau):
            prefer = _prefer(
                live, lambda choice, order=order: first_of(choice, *order), baseline="both", tau=temperature,  # type: ignore[misc]
            )
            if prefer and prefer not in found:
                found.append(prefer)
                numbers.append(number)
    if any(not choice.live for choice in free):
        prefer = _prefer(free, lambda choice: _summing(choice) or first_of(choice, *orders()[0]))
        if prefer not in found:
            found.append(prefer)
            numbers.append(len(orders()))
    return list(zip(numbers, found, strict=True))


def with_baseline(prefer: Prefer, baseline: str) -> Prefer:
    """The same preferences with one baseline where there were both."""
    both = (("baseline", "both"),)
    return tuple(
        (index, EstimatorCall(call.name, (("baseline", baseline),)) if call.options == both else call) for index, call in prefer
    )


def _groups(live: list[Choice]) -> list[list[Choice]]:
    """Sites that are alike: one distribution, the same candidates."""
    found: dict[object, list[Choice]] = {}
    for choice in live:
        if len(_alternatives(choice)) > 1:
            found.setdefault((choice.site.distribution.name, choice.candidates), []).append(choice)
    if len(live) <= MOST_GROUPS:
        return [[choice] for members in found.values() for choice in members]
    return list(found.values())[:MOST_GROUPS]


def _vary(pilot: _Pilot, groups: list[list[Choice]], number: int) -> _Trial | None:
    """Change one group at a time, as long as it pays."""
    best = pilot.best()
    for group in groups:
        members = {choice.site.index for choice in group}
        for name in _alternatives(group[0]):
            if best is None:
                return None
            number += 1
            call = next((call for _, call in best.prefer if call.name == name), EstimatorCall(name))
            prefer = tuple((index, call if index in members else old) for index, old in best.prefer)
            trial = pilot.trial(prefer, number)
            if trial is not None:
                limit = FOR_PATHWISE if trial.pathwise < best.pathwise else BETTER
                if pilot.figure(trial) < limit * pilot.figure(best):
                    best = trial
    return best


def _per_site(pilot: _Pilot, live: list[Choice], best: _Trial) -> dict[int, dict[str, Measured]]:
    """For each site the best plan that uses each estimator there."""
    found: dict[int, dict[str, Measured]] = {}
    for choice in live:
        index = choice.site.index
        for trial in sorted(pilot.trials, key=lambda trial: (trial is not best, pilot.figure(trial))):
            name = trial.plan.choices[index].estimator
            if name not in found.setdefault(index, {}):
                found[index][name] = pilot.measured(trial)
    return found


__all__ = ["Measured", "Verdict", "choose"]
