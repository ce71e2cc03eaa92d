"""The choice among right plans by a pilot run (ESTIMATORS.md section 3).

Which estimators are right is decided by the text; which of them is best is measured.  First, if every site that matters has
finitely many outcomes, the exact answer is tried: it ends the search.  Else plans that treat all sites alike are run with a
few samples each (`enumerate` where outcomes are finite, `score`, `gumbel`; score at pathwise sites too), scores with both
baselines at once; then, where sites differ, the best plan is varied one group of like sites at a time.  The number of trials
grows with the number of groups, never with that of sites, and at most `MOST_GROUPS` groups are varied
(`dsl/planning/trials.py`).  Which of them is best is the matter of `figures.py`.

Pilot runs have seeds of their own and are not used again: reusing them would favour the plan that was lucky.

A plan that enumerates may take hundreds of lanes a run, so runs are not what bounds a pilot: work is (`meter.py`), the same on
every machine.  The exact answer may take as much as the plain runs would, all trials together about their share of that.  A
trial that takes too much is made again with the fewest runs, and given up if that is too much as well.  And a plan that takes
more than `DEARER` times the work of the cheapest must be better by as much again: for its time one could have had more runs.
Under `--max-time` a pilot also ends with its share of the time, and the best of what was measured until then is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from ...dsl.planning.chooser import Planner
from ...dsl.planning.crowding import Crowding
from ...dsl.planning.plan import Choice, Lessons, Plan, PlanOptions
from ...dsl.planning.trials import Prefer, Trials, alternatives, changed, orders, trials
from ...dsl.syntax import EstimatorCall
from ...dsl.tables.estimators import ESTIMATORS, FALLBACK, PLAIN
from ...dsl.tables.limits import lanes_tried
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from ..lanes.lessons import OutOfTime, TooMuchWork
from .differences import extrapolated
from .estimate import gradient
from .figures import BETTER, FOR_PATHWISE, Figures, Measured, Trial
from .verdict import Verdict

SHARE = 0.2  # of the runs, for all trials together
LEAST_RUNS = 32
MOST_RUNS = 2000
AGAIN = 4  # times the runs, for a plan that contradicts another one
MOST_DIFFERENCES = 4  # parameter entries for which finite differences are taken
CONTENDS = 0.5  # a relaxation matters whose variance is below this part of the best unbiased error
TRIED_ROUNDS = 24  # of a `while`, or levels of calls, in which outcomes are enumerated
EXACT_WORK = 2**21  # numbers that an exact answer may touch in any case (about 0.2 s)
HOPELESS_WORK = 2**15  # and where the outcomes that are counted are too many
TRIAL_WORK = 2**17  # and every trial
SHARE_OF_TIME = 0.3  # of what is left of --max-time, for the exact answer, and for the trials

Phase = Callable[[str], None]


def quiet(phase: str) -> None:
    """Nobody is told what begins."""


class _Pointless(Exception):
    """What was to be tried has turned out to take too many lanes, and what is left of it is not exact, or was run before."""


@dataclass(kw_only=True)
class _Pilot(Figures):
    asked: Settings  # of the runs to come
    planner: Planner
    crowding: Crowding
    options: PlanOptions
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    known: set[object] = field(default_factory=set)
    runs: int = LEAST_RUNS
    count: int = 1  # of trials, at most
    spent: float = 0.0  # work of trials that split lanes
    late: bool = False  # its time is over
    overworked: bool = False  # the last attempt touched too many numbers

    # --------------------------------------------------------------------------------------------------- trials
    def plan(self, prefer: Prefer) -> Plan | None:
        """The plan with these preferences; None where it is refused."""
        try:
            return self.crowding.settled(replace(self.options, prefer=prefer))[0]
        except ProbError:
            return None

    def estimate(self, prefer: Prefer, settings: Settings, exact: bool = False) -> Estimate | None:
        """Run a plan; with `exact` only as long as it is exact."""
        options = replace(self.options, prefer=prefer)
        make = partial(self.planner, options) if exact else self.crowding.planner(options)

        def planner(lessons: Lessons) -> Plan:
            plan = make(lessons)
            if (exact and not plan.exact) or (lessons.crowded and done_by(plan) in self.known):
                raise _Pointless
            return plan

        self.overworked = False
        try:
            found = gradient(self.planner.resolved, planner, self.parameters, self.data, settings, trial=True)
        except TooMuchWork:
            self.overworked = True
            return None
        except OutOfTime:
            self.late = True
            return None
        except (ProbError, _Pointless):
            return None  # the main run will say it, with all its runs
        if found.interrupted:
            raise KeyboardInterrupt
        self.late |= found.out_of_time
        return found

    def exact_work(self, preferred: Prefer) -> float:
        """The work that the exact answer may take at first: little, where it is out of reach as far as the text tells (outcomes of
        probability 0, which are left out, are counted there)."""
        plan = self.planner(replace(self.options, prefer=preferred))
        tried = lanes_tried(self.asked.samples, self.asked.max_lanes)
        return EXACT_WORK if self.crowding.overflow(plan, tried) is None else HOPELESS_WORK

    def exact(self, preferred: Prefer, most_work: float | None) -> Estimate | None:
        """The exact answer, with all that was asked for, if it takes no more lanes and work than it may."""
        settings = self.asked
        lanes, work = lanes_tried(settings.samples, settings.max_lanes), None if most_work is None else int(most_work)
        limits = replace(settings, until=self.settings.until, max_lanes=lanes, max_rounds=TRIED_ROUNDS, most_work=work)
        return self.estimate(preferred, limits, exact=True)

    def share_time(self, deadline: float | None) -> None:
        """Give what comes next its share of the time that is left."""
        if deadline is not None:
            now = time.monotonic()
            self.settings = replace(self.settings, until=now + SHARE_OF_TIME * (deadline - now))
            self.late = False

    @property
    def whole(self) -> float:
        """The work of all runs under the cheapest plan (infinite while nothing is known)."""
        return self.settings.samples * min((trial.work for trial in self.trials), default=math.inf)

    def allowance(self, plan: Plan) -> float:
        """The work that a trial may take: where lanes are split, twice an equal part of what is left for such trials."""
        if not any(ESTIMATORS[choice.estimator].splits for choice in plan.choices.values()):
            return math.inf
        if not self.trials:
            return EXACT_WORK
        left = 2 * SHARE * self.whole + self.count * TRIAL_WORK - self.spent
        return min(left, max(2 * left / max(self.count - len(self.known), 1), TRIAL_WORK))

    def trial(self, prefer: Prefer, number: int) -> Trial | None:
        """Run a plan, unless one like it has been; with the fewest runs where more are too much work."""
        plan = self.plan(prefer)
        if plan is None or done_by(plan) in self.known or self.late or self.outdone(plan):
            return None
        self.known.add(done_by(plan))
        found = None
        for runs in dict.fromkeys((self.runs, min(self.runs, LEAST_RUNS))):
            found = self.attempt(prefer, number, runs, self.allowance(plan))
            if not self.overworked:
                break
        if found is None or found.plan is None or (done_by(found.plan) in self.known and done_by(found.plan) != done_by(plan)):
            return None
        self.known.add(done_by(found.plan))
        prefer = as_run(prefer, found.plan)
        trial = self.take(with_baseline(prefer, "mean"), found, found.gradient)
        if found.other:
            self.take(with_baseline(prefer, "regression"), found, found.other)
        return self.examined(trial, number)

    def examined(self, trial: Trial, number: int) -> Trial:
        """Hold a plan against the others; where one differs from it as it hardly ever would, the one that saw more looks again."""
        if (pair := self.doubtful(trial)) is not None:
            more = pair[0]
            found = self.attempt(more.prefer, AGAIN * (number + 1), AGAIN * more.runs, math.inf)
            if found is not None and found.plan is not None and found.plan.label == more.plan.label:
                new = more.pooled(made_of(more.prefer, found, found.gradient))
                self.trials = [new if known is more else known for known in self.trials]
                trial = new if trial is more else trial
        self.judge()
        return trial

    def attempt(self, prefer: Prefer, number: int, runs: int, limit: float) -> Estimate | None:
        """Run a plan with so many runs, as long as it takes no more work than it may."""
        seed = (self.settings.seed * 2_654_435_761 + 7919 * number + 104_729) % 2**63
        limited = None if limit == math.inf else max(int(limit), 0)
        budget = self.settings.lanes(False)
        settings = replace(
            self.settings, samples=runs, seed=seed, max_lanes=budget, max_rounds=TRIED_ROUNDS, most_work=limited,
        )
        found = self.estimate(prefer, settings)
        if limited is not None:
            self.spent += limited if self.overworked else 0 if found is None else found.work
        return found

    def take(self, prefer: Prefer, found: Estimate, gradient: dict[str, dict[str, Moments]]) -> Trial:
        """Write down what the plan that was run gave."""
        trial = made_of(prefer, found, gradient)
        self.trials.append(trial)
        return trial

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
        except (ProbError, OutOfTime):
            return  # a displaced parameter leaves the domain
        self.differences = mean, se**2


def choose(
    plans: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    phase: Phase = quiet,
) -> Verdict:
    """Measure, and say what to prefer.  The same seed and options give the same choice.  `phase` is told what begins."""
    todo = trials(plans, options)
    if not todo.live:
        return Verdict()
    plain = replace(settings, target_se=None, deadline=None, sampler="random", keep_runs=False, compile=False)
    pilot = _Pilot(
        asked=settings, planner=plans, options=options, parameters=parameters, data=data, settings=plain, count=todo.count,
        crowding=Crowding(plans, parameters, data, settings.samples, settings.max_lanes),
    )
    overworked = False
    if todo.exact is not None:
        phase("trying the exact answer")
        pilot.share_time(settings.deadline)
        if found := pilot.exact(todo.exact, None if settings.max_lanes else pilot.exact_work(todo.exact)):
            return _exact(todo, found, settings)
        overworked = pilot.overworked
    if not todo.measuring:
        return Verdict()
    phase("choosing estimators")
    pilot.share_time(settings.deadline)
    pilot.runs = max(int(SHARE * settings.samples / todo.count), min(LEAST_RUNS, settings.samples), 2)
    pilot.runs = min(pilot.runs, MOST_RUNS)
    for number, family in todo.families:
        pilot.trial(family, number)
        if overworked and todo.exact is not None and pilot.trials:
            overworked = False
            if EXACT_WORK < pilot.whole < math.inf and (found := pilot.exact(todo.exact, pilot.whole)):
                return _exact(todo, found, settings)
    pilot.difference()
    best = _vary(pilot, todo.groups, len(orders())) if todo.varied else pilot.best()
    if best is None:
        return Verdict()
    rivals = tuple(trial.rival() for trial in pilot.sound if trial is not best and not trial.plan.biased)
    measured = _per_site(pilot, todo.live, best) if len(pilot.trials) > 1 else {}
    return Verdict(best.prefer, measured, pilot.runs, rivals=rivals, overruled=pilot.because())


def _exact(todo: Trials, found: Estimate, settings: Settings) -> Verdict:
    found = replace(found, not_compiled="the answer is exact" if settings.compile else None)
    nothing = Measured(0.0, 0.0, 0.0, 0.0)
    assert todo.exact is not None
    return Verdict(todo.exact, {index: {call.name: nothing} for index, call in todo.exact}, 0, found)


def made_of(prefer: Prefer, found: Estimate, gradient: dict[str, dict[str, Moments]]) -> Trial:
    """What the plan that was run (without what turned out to be too many outcomes) gave."""
    assert found.plan is not None
    moments = [m for rows in gradient.values() for m in rows.values()]
    mean = torch.cat([m.mean.reshape(-1) for m in moments]).cpu()
    sd = torch.cat([m.sd.reshape(-1) for m in moments]).cpu()
    blind = frozenset(place for place, carriers in found.few.items() if not carriers)
    return Trial(prefer, found.plan, mean, sd, found.samples, found.work / found.samples, blind, bool(found.few))


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


def done_by(plan: Plan) -> object:
    """What a trial of a plan shows, whichever baseline it has: both are measured at once, and no plan is tried for that alone."""
    return tuple(
        (index, choice.estimator, tuple(option for option in sorted(choice.options.items()) if option[0] != "baseline"))
        for index, choice in sorted(plan.choices.items())
    )


def with_baseline(prefer: Prefer, baseline: str) -> Prefer:
    """The same preferences with one baseline where there were both."""
    both = (("baseline", "both"),)
    return tuple(
        (index, EstimatorCall(call.name, (("baseline", baseline),)) if call.options == both else call) for index, call in prefer
    )


def _vary(pilot: _Pilot, groups: tuple[tuple[Choice, ...], ...], number: int) -> Trial | None:
    """Change one group at a time, as long as it pays."""
    best = pilot.best()
    for group in groups:
        for name in alternatives(group[0]):
            if best is None:
                return None
            number += 1
            trial = pilot.trial(changed(best.prefer, group, name), number)
            if trial is not None:
                limit = FOR_PATHWISE if trial.pathwise < best.pathwise else BETTER
                if pilot.figure(trial) * pilot.dear(trial) < limit * pilot.figure(best) * pilot.dear(best):
                    best = trial
    return best


def _per_site(pilot: _Pilot, live: tuple[Choice, ...], best: Trial) -> dict[int, dict[str, Measured]]:
    """For each site the best plan that uses each estimator there."""
    found: dict[int, dict[str, Measured]] = {choice.site.index: {} for choice in live}
    for trial in sorted(pilot.trials, key=lambda trial: (trial is not best, pilot.figure(trial))):
        measured = pilot.measured(trial)
        for index, known in found.items():
            known.setdefault(trial.plan.choices[index].estimator, measured)
    return found


__all__ = ["Phase", "choose", "quiet"]
