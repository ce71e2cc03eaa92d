"""The choice among right plans by a pilot run (ESTIMATORS.md section 3).

Which estimators are right is decided by the text; which of them is best is measured.  First, if every site that matters has
finitely many outcomes, the exact answer is tried: it ends the search.  Else plans that treat all sites alike are run with a
few samples each (`enumerate` where outcomes are finite, `score`, `gumbel`; score at pathwise sites too), scores with both
baselines at once; then, where sites differ, the best plan is varied one group of like sites at a time.  The number of trials
grows with the number of groups, never with that of sites, and at most `MOST_GROUPS` groups are varied
(`dsl/planning/trials.py`).  Which of them is best is the matter of `figures.py`.

Trials have seeds of their own, and their few runs are not used again: that would favour the plan that was lucky.  But the plan
that is taken without measuring is tried with all the runs that were asked for, from their own seed, where these are one block that
takes little longer than a few of them (`WIDTH`); if it is the best one, its answer is there already.  What the other trials may
take follows from it (`effort.py`): where that is not enough the plans that come first by order are measured, and where a derivative
goes along paths always the density as well, which would contradict it if it lay in runs that are not seen; but a derivative of a
polynomial lies in no rarer runs than its values, and there nobody would see more.

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

from ...dsl.planning.chooser import Planner
from ...dsl.planning.crowding import Crowding
from ...dsl.planning.plan import Choice, Lessons, Plan, PlanOptions
from ...dsl.planning.trials import Prefer, Trials, alternatives, as_run, changed, orders, trials, with_baseline, with_masses
from ...dsl.tables.limits import STEP
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from ..lanes.lessons import OutOfTime, TooMuchWork
from .attempts import attempted
from .differences import extrapolated
from .effort import Budget
from .estimate import gradient
from .figures import BETTER, FOR_PATHWISE, Figures, Measured, Trial, made_of
from .verdict import Verdict

SHARE = 0.2  # of the runs, for all trials together
LEAST_RUNS = 32
MOST_RUNS = 2000
LEARNT = 1009  # the noise of a plan with learnt masses
AGAIN = 4  # times the runs, for a plan that contradicts another one
MOST_DIFFERENCES = 4  # parameter entries for which finite differences are taken
CONTENDS = 0.5  # a relaxation matters whose variance is below this part of the best unbiased error
TRIED_ROUNDS = 24  # of a `while`, or levels of calls, in which outcomes are enumerated
EXACT_WORK = 2**21  # numbers that an exact answer may touch in any case (about 0.2 s)
PATIENCE = 2**27  # where a loop promises to end within them (about four seconds), and a rough answer was not asked for
FEW_STATES = 4.0  # the logarithm of those that are summed beside draws, however few runs there are
MANY_PATHS = 4  # times less, where paths are too many, and states may be
HOPELESS = 16  # lanes on the average, and where the outcomes that are counted are too many
ONE_BLOCK = 16_384  # runs that are made at once,
LEAST_REUSED = 1000  # and so many at least, that luck does not choose: the first plan is tried with all runs
WIDTH = 4 * STEP  # numbers of a step, on the average, of such a trial
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
    alone: bool  # no other processes share them
    planner: Planner
    crowding: Crowding
    options: PlanOptions
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    budget: Budget
    plans: dict[int, tuple[Prefer, Plan | None]] = field(default_factory=dict)  # by the preferences' id
    known: set[object] = field(default_factory=set)
    runs: int = LEAST_RUNS
    count: int = 1  # of trials, at most
    spent: float = 0.0  # work of trials that split lanes
    masses: dict[object, Mapping[int, float]] = field(default_factory=dict)  # that plans have taught, by what is done in them
    late: bool = False  # its time is over
    overworked: bool = False  # the exact answer touches too many numbers
    foreseen: float = 0.0  # so many, as far as that was told
    made: Estimate | None = None  # all runs, of the first plan
    lessons: Lessons = Lessons()  # noqa: RUF009 # of that

    # --------------------------------------------------------------------------------------------------- trials
    def plan(self, prefer: Prefer) -> Plan | None:
        """The plan with these preferences; None where it is refused."""
        if id(prefer) not in self.plans:
            try:
                found = self.crowding.settled(replace(self.options, prefer=prefer))[0]
            except ProbError:
                found = None
            self.plans[id(prefer)] = prefer, found
        return self.plans[id(prefer)][1]

    def estimate(self, prefer: Prefer, settings: Settings, exact: bool = False, all_runs: bool = False) -> Estimate | None:
        """Run a plan; with `exact` only as long as it is exact.  Raises TooMuchWork."""
        options = replace(self.options, prefer=prefer)
        make = partial(self.planner, options) if exact else self.crowding.planner(options)

        def planner(lessons: Lessons) -> Plan:
            plan = make(lessons)
            if (exact and not plan.exact) or (lessons.crowded and plan.done in self.known):
                raise _Pointless
            if all_runs:
                self.lessons = lessons
            return plan

        try:
            found = gradient(self.planner.resolved, planner, self.parameters, self.data, settings, trial=not all_runs)
        except OutOfTime:
            self.late = True
            return None
        except (ProbError, _Pointless):
            return None  # the main run will say it, with all its runs
        if found.interrupted:
            raise KeyboardInterrupt
        self.late |= found.out_of_time
        return found

    def exact(self, preferred: Prefer, most_work: float | None) -> Estimate | None:
        """The exact answer, with all that was asked for, if it takes no more lanes and work than it may: little, where it is out of
        reach as far as the text tells (outcomes of probability 0, which are left out, are counted there)."""
        plan = self.planner(replace(self.options, prefer=preferred))
        lanes = self.crowding.tried(plan)
        patience = PATIENCE if plan.merges and self.asked.samples >= LEAST_REUSED else 0
        limits = replace(self.asked, until=self.settings.until, max_lanes=lanes, max_rounds=TRIED_ROUNDS, patience=patience)
        many = self.crowding.overflow(plan, lanes, merging=False) is not None and not self.trials and not self.asked.max_lanes
        if many and (not plan.merges or math.log2(lanes) < self.crowding.states(plan, least=True) < math.inf):
            limits = replace(limits, width=HOPELESS)
        elif most_work is not None:
            limits = replace(limits, most_work=int(most_work / MANY_PATHS if many else most_work))
        try:
            return self.estimate(preferred, limits, exact=True)
        except TooMuchWork as problem:
            self.overworked, self.foreseen = problem.merged or not many, problem.foreseen
            return None

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
        if not plan.splits:
            return math.inf
        if not self.trials:
            return EXACT_WORK
        left = 2 * SHARE * self.whole + self.count * TRIAL_WORK - self.spent
        return min(left, max(2 * left / max(self.count - len(self.known), 1), TRIAL_WORK))

    def by_order(self, families: tuple[tuple[int, Prefer], ...]) -> list[tuple[int, Prefer]]:
        """The plan first that is taken without measuring, unless it is biased; if it has paths, then those without.  That states
        are few enough to be summed is not hoped for again: the exact answer has been tried."""
        taken = self.crowding.settled(self.options, merging=False)[0]
        if taken.biased:
            return list(families)

        def place(family: tuple[int, Prefer]) -> int:
            plan = self.plan(family[1])
            return 3 if plan is None else 0 if plan.done == taken.done else 1 if taken.pathwise and not plan.pathwise else 2

        return sorted(families, key=place)

    @property
    def reusable(self) -> bool:
        """Whether a trial with all runs is what was asked for."""
        asked = self.asked
        plain = asked.target_se is None and asked.deadline is None and asked.sampler == "random" and not asked.compile
        return plain and self.alone and asked.device == "cpu" and LEAST_REUSED <= asked.samples <= ONE_BLOCK

    def worth(self, plan: Plan) -> bool:
        """Whether a plan may be tried: the first one, the first without paths beside some with (it would contradict them, if they
        were wrong: polynomials are not), the first that sums over few states, and what there is effort for."""
        if plan.merges and self.crowding.states(plan) <= FEW_STATES and not any(trial.plan.merges for trial in self.trials):
            return True
        fair = [trial for trial in self.trials if not trial.plan.biased]
        suspected = all(trial.pathwise and not trial.plan.polynomial for trial in fair)
        if not fair or (suspected and not plan.pathwise and not plan.biased):
            return True
        return self.budget.affords(self.runs)

    def learn(self) -> Trial | None:
        """Of the plans whose runs fork at several sites run the best one once more, with the masses that it has taught."""
        taught = [trial for trial in self.sound if trial.plan.done in self.masses]
        if not taught:
            return None
        best = min(taught, key=self.cost)
        if not self.budget.affords(self.runs, best.work, best.steps):
            return None
        return self.trial(with_masses(best.prefer, best.plan, self.masses.pop(best.plan.done)), LEARNT + len(self.masses))

    def trial(self, prefer: Prefer, number: int) -> Trial | None:
        """Run a plan, unless one like it has been; with fewer runs where more are too much work."""
        plan = self.plan(prefer)
        if plan is None or plan.done in self.known or self.late or not self.worth(plan) or self.outdone(plan):
            return None
        if self.trials and not self.budget.affords(self.runs):
            prefer = with_baseline(prefer, "mean")  # it has to contradict, not to win
        sizes = (*([None] if self.reusable and not self.known else []), *dict.fromkeys((self.runs, min(self.runs, LEAST_RUNS))))
        self.known.add(plan.done)

        def fewer(left: tuple[int | None, ...], problem: Exception) -> tuple[int | None, ...]:
            if not isinstance(problem, TooMuchWork) or len(left) == 1:
                raise problem
            return left[1:]

        try:
            found = attempted(sizes, lambda left: self.attempt(prefer, number, left[0], self.allowance(plan)), fewer)
        except TooMuchWork:
            return None
        if found is None or found.plan is None or (found.plan.done in self.known and found.plan.done != plan.done):
            return None
        self.known.add(found.plan.done)
        prefer = as_run(prefer, found.plan)
        if found.masses and number < LEARNT:
            self.masses[found.plan.done] = found.masses
        trial = self.take(with_baseline(prefer, "mean"), found, found.gradient)
        if found.other is not None:
            self.take(with_baseline(prefer, "regression"), found, found.other.gradient)
        return self.examined(trial, number)

    def examined(self, trial: Trial, number: int) -> Trial:
        """Hold a plan against the others; where one differs from it as it hardly ever would, the one that saw more looks again."""
        if (pair := self.doubtful(trial)) is not None:
            more = pair[0]
            runs = min(AGAIN * more.runs, max(self.asked.samples, AGAIN * LEAST_RUNS, more.runs))
            found = self.attempt(more.prefer, AGAIN * (number + 1), runs, math.inf)
            if found is not None and found.plan is not None and found.plan.label == more.plan.label:
                new = more.pooled(made_of(more.prefer, found, found.gradient))
                self.trials = [new if known is more else known for known in self.trials]
                trial = new if trial is more else trial
        self.judge()
        return trial

    def attempt(self, prefer: Prefer, number: int, runs: int | None, limit: float) -> Estimate | None:
        """Run a plan with so many runs (None: with all, as they are asked for), as long as it takes no more work than it may."""
        if runs is None:
            self.made = self.estimate(prefer, replace(self.asked, width=WIDTH), all_runs=True)
            if self.made is not None:
                self.budget.pay(self.made)
            return self.made
        seed = (self.settings.seed * 2_654_435_761 + 7919 * number + 104_729) % 2**63
        limited = None if limit == math.inf else max(int(limit), 0)
        budget = self.settings.lanes(False)
        settings = replace(
            self.settings, samples=runs, seed=seed, max_lanes=budget, max_rounds=TRIED_ROUNDS, most_work=limited,
        )
        spent = float(limited or 0)
        try:
            found = self.estimate(prefer, settings)
            spent = 0.0 if found is None or limited is None else found.work
        finally:
            self.spent += spent
        if found is not None:
            self.budget.pay(found)
        return found

    def answer(self, best: Trial) -> Estimate | None:
        """All runs of the best plan, if they have been made."""
        made = self.made
        if made is None or made.plan is not best.plan:
            return None
        if any(("baseline", "regression") in call.options for _, call in best.prefer):
            other = made.other
            if other is None or not all(bool(m.mean.isfinite().all()) for rows in other.gradient.values() for m in rows.values()):
                return None
            made = replace(other, rounded=made.rounded, scarce=made.scarce, work=made.work, steps=made.steps)
        plan = self.crowding.planner(replace(self.options, prefer=best.prefer))(self.lessons)
        return replace(made, plan=plan, other=None)

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
        if not any(trial.total < CONTENDS * reference.total for trial in contenders):
            return
        if reference.runs >= self.asked.samples:
            return  # it is known as well as it will be
        settings = replace(self.settings, samples=self.runs, seed=(self.settings.seed * 48_271 + 11) % 2**63, dtype="float64")
        try:
            mean, se = extrapolated(self.planner.resolved, self.parameters, self.data, settings)
        except (ProbError, OutOfTime):
            return  # a displaced parameter leaves the domain
        self.differences = mean, se**2


def choose(
    plans: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    phase: Phase = quiet, alone: bool = True,
) -> Verdict:
    """Measure, and say what to prefer.  The same seed and options give the same choice.  `phase` is told what begins; `alone`: no
    other processes share the runs."""
    todo = trials(plans, options)
    if not todo.live:
        return Verdict()
    plain = replace(settings, target_se=None, deadline=None, sampler="random", keep_runs=False, compile=False)
    pilot = _Pilot(
        asked=settings, alone=alone, planner=plans, options=options, parameters=parameters, data=data, settings=plain,
        count=todo.count, crowding=Crowding(plans, parameters, data, settings.samples, settings.max_lanes, settings.of),
        budget=Budget(settings.samples),
    )
    if todo.exact is not None:
        phase("trying the exact answer")
        pilot.share_time(settings.deadline)
        if found := pilot.exact(todo.exact, None if settings.max_lanes else EXACT_WORK):
            return _exact(todo, found, settings)
    if not todo.measuring:
        return Verdict()
    phase("choosing estimators")
    pilot.share_time(settings.deadline)
    pilot.runs = max(int(SHARE * settings.samples / todo.count), min(LEAST_RUNS, settings.samples), 2)
    pilot.runs = min(pilot.runs, MOST_RUNS)
    for number, family in pilot.by_order(todo.families):
        pilot.trial(family, number)
        if pilot.overworked and todo.exact is not None and pilot.trials:
            pilot.overworked = False
            if max(2 * EXACT_WORK, pilot.foreseen) < pilot.whole < math.inf and (found := pilot.exact(todo.exact, pilot.whole)):
                return _exact(todo, found, settings)
    pilot.learn()
    pilot.difference()
    best = _vary(pilot, todo.groups, len(orders())) if todo.varied else pilot.best()
    if best is None:
        return Verdict()
    rivals = tuple(trial.rival() for trial in pilot.rivals if trial is not best)
    measured = _per_site(pilot, todo.live, best) if len(pilot.trials) > 1 else {}
    runs = min(trial.runs for trial in pilot.trials)
    return Verdict(best.prefer, measured, runs, rivals=rivals, overruled=pilot.because(), made=pilot.answer(best))


def _exact(todo: Trials, found: Estimate, settings: Settings) -> Verdict:
    found = replace(found, not_compiled="the answer is exact" if settings.compile else None)
    nothing = Measured(0.0, 0.0, 0.0, 0.0)
    assert todo.exact is not None
    return Verdict(todo.exact, {index: {call.name: nothing} for index, call in todo.exact}, 0, found)


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
                if pilot.cost(trial) < limit * pilot.cost(best):
                    best = trial
    learnt = pilot.learn() if best is not None and best.plan.done in pilot.masses else None
    plans = [trial for trial in (best, learnt) if trial is not None]
    return min(plans, key=pilot.cost, default=None)


def _per_site(pilot: _Pilot, live: tuple[Choice, ...], best: Trial) -> dict[int, dict[str, Measured]]:
    """For each site the best plan that uses each estimator there."""
    found: dict[int, dict[str, Measured]] = {choice.site.index: {} for choice in live}
    for trial in sorted(pilot.trials, key=lambda trial: (trial is not best, pilot.figure(trial))):
        measured = pilot.measured(trial)
        for index, known in found.items():
            known.setdefault(trial.plan.choices[index].estimator, measured)
    return found


__all__ = ["Phase", "choose", "quiet"]
