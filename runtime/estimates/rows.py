"""The rows of a comparison, one after another: each a plan that is run in full (`compare.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ...dsl.planning.chooser import Planner
from ...dsl.planning.crowding import Crowding
from ...dsl.planning.plan import Lessons, Plan, PlanOptions
from ...dsl.tables.estimators import ESTIMATORS, PLAIN
from ...dsl.text.diagnostics import ProbError
from ..blocks.moments import Moments
from ..lanes.lessons import OutOfTime, TooMuchWork
from .differences import finite_differences
from .estimate import Estimate, Settings, gradient
from .pilot import Phase, choose
from .verdict import Verdict

WARM_UP = 16
LEAST_WORK = 2**21  # numbers that every row may touch
LEAST_RUNS = 32  # of a row that cannot make all
ELSEWHERE = ("P0404", "P0407", "P0503")  # where this way cannot be gone; the others will tell of what is wrong with the program

Way = tuple[PlanOptions, str, str]  # options, the label where the plan does not give one, and why it is marked as wrong


@dataclass
class Made:
    """A way that was run."""

    label: str
    estimate: Estimate | None
    gradient: dict[str, dict[str, Moments]]
    seconds: float
    wrong: str = ""
    key: object = None
    samples: int = 0
    added: bool = False

    @property
    def biased(self) -> bool:
        """Whether its mean is not the gradient."""
        return bool(self.wrong) or (self.estimate is not None and self.estimate.plan is not None and self.estimate.plan.biased)

    @property
    def exact(self) -> bool:
        """Whether it is without noise."""
        return self.estimate is not None and self.estimate.exact

    @property
    def sites(self) -> tuple[tuple[str, str, tuple[tuple[str, float | bool | str], ...]], ...]:
        """Per site its name, estimator and options."""
        if self.estimate is None or self.estimate.plan is None:
            return ()
        choices = (choice for _, choice in sorted(self.estimate.plan.choices.items()))
        return tuple((choice.site.name, choice.estimator, tuple(sorted(choice.options.items()))) for choice in choices)


@dataclass
class Rows:
    """Rows that are finished, and what was left out."""

    plans: Planner
    options: PlanOptions
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    settings: Settings
    progress: Callable[[int, int], None] | None
    phase: Phase
    made: list[Made] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False
    left: int = 1  # steps to come that share the time

    def run_all(self, wanted: list[Way], differences: list[tuple[float, bool]]) -> None:
        """Run all, first those that split no lanes: what they cost tells what the others may cost."""
        self.left = len(wanted) + len(differences) + 1
        ways = sorted(range(len(wanted)), key=lambda number: self.splits(wanted[number]))
        found: dict[int, Made] = {}
        for done, number in enumerate(ways):
            row = self.run(*wanted[number], limited=self.splits(wanted[number]))
            if row is not None and row.key not in [other.key for other in found.values()]:
                found[number] = row
            self.made = [found[place] for place in sorted(found)]
            self.tick(done + 1, len(wanted) + len(differences))
        for number, (step, common) in enumerate(differences):
            self.difference(step, common)
            self.tick(len(wanted) + number + 1, len(wanted) + len(differences))

    def tick(self, done: int, total: int) -> None:
        """A row is done."""
        self.left -= 1
        if self.progress is not None:
            self.progress(done, total)

    def timed(self) -> Settings:
        """The settings of the next row: with its share of the time, in which it stops with what it has."""
        if self.settings.deadline is None:
            return self.settings
        now = time.monotonic()
        return replace(self.settings, deadline=now + max(self.settings.deadline - now, 0.0) / max(self.left, 1))

    def splits(self, way: Way) -> bool:
        """Whether a way enumerates outcomes."""
        try:
            return self.plans(way[0]).splits
        except ProbError:
            return False

    def run(self, options: PlanOptions, label: str, marked: str, limited: bool = False) -> Made | None:
        """Run one row; None where it cannot be run or is not wanted."""
        asked = self.settings
        planner = Crowding(self.plans, self.parameters, self.data, asked.samples, asked.max_lanes, asked.of).planner(options)
        settings = self.timed()
        others = sum(row.estimate.work for row in self.made if row.estimate is not None and not row.exact)
        if limited and others and settings.max_lanes is None:
            settings = replace(settings, most_work=max(others, LEAST_WORK))
        warm = self.warm_up(planner, settings) if settings.deadline is None or not limited else None
        started = time.perf_counter()
        try:
            settings = affordable(settings, warm)
            estimate = gradient(self.plans.resolved, planner, self.parameters, self.data, settings)
        except TooMuchWork:
            self.leave_out(options, "takes more work than all others together; --max-lanes allows it")
            return None
        except ProbError as problem:
            if problem.code == "P0608":
                self.leave_out(options, "--max-time was over")
                return None
            if marked or (options.prefer and problem.code in ELSEWHERE):
                return None
            raise
        if estimate.interrupted:
            raise KeyboardInterrupt
        assert estimate.plan is not None
        if limited and not estimate.plan.splits:
            self.leave_out(options, "takes more lanes than a run may; --max-lanes allows more")
            return None
        felt = [choice for choice in estimate.plan.choices.values() if choice.effect]
        wrong = next((choice.reason for choice in felt if "wrong by" in choice.reason), "") if marked else ""
        if marked and not wrong:
            return None  # it is right after all, and has its row
        seconds = time.perf_counter() - started
        name = label if wrong else label_of(estimate.plan)
        return Made(name, estimate, estimate.gradient, seconds, wrong, estimate.plan.key, estimate.samples)

    def warm_up(self, planner: Callable[[Lessons], Plan], settings: Settings) -> Estimate | None:
        """The first time is always slow; no more lanes a run than afterwards.  Gives what shows the work of a run."""
        few = replace(settings, samples=min(WARM_UP, settings.samples), until=settings.deadline, deadline=None)
        with suppress(ProbError, TooMuchWork, OutOfTime):
            if not planner(Lessons()).exact:
                few = replace(few, max_lanes=settings.lanes(False))
            return gradient(self.plans.resolved, planner, self.parameters, self.data, few, trial=True)
        return None

    def leave_out(self, options: PlanOptions, why: str) -> None:
        """Note a row that is not there."""
        name = label_of(self.plans(options))
        if name not in dict(self.left_out):
            self.left_out.append((name, why))

    def difference(self, step: float, common: bool) -> None:
        """Run finite differences."""
        label = f"difference h={step:g}" + (", common" if common else "")
        timed = self.timed()
        settings = replace(timed, dtype="float64", keep_runs=False, deadline=None, until=timed.deadline)
        try:
            found = finite_differences(self.plans.resolved, self.parameters, self.data, settings, step, common=common)
        except OutOfTime:
            self.left_out.append((label, "--max-time was over"))
            return
        why = f"a difference quotient over {2 * step:g}"
        self.made.append(Made(label, None, found.gradient, found.seconds, why, (step, common), found.samples))

    def chosen(self) -> object:
        """The key of the plan that probrun chooses by itself."""
        verdict = self.choose(self.options)
        plan = verdict.exact.plan if verdict.exact is not None else self.plans(replace(self.options, prefer=verdict.prefer))
        return None if plan is None else plan.key

    def choose(self, options: PlanOptions) -> Verdict:
        """What a pilot says."""
        return choose(self.plans, options, self.parameters, self.data, self.settings, self.phase)

    def add_reference(self) -> None:
        """Where no row is exact, the exact answer if there is one; where all are biased, the best unbiased plan."""
        unbiased = replace(self.options, estimator=(), among=None, unbiased=True, prefer=())
        fair = [row for row in self.made if not row.biased]
        if any(row.exact for row in fair) or (fair and unbiased == replace(self.options, unbiased=True)):
            return
        try:
            verdict = self.choose(unbiased)
            if verdict.exact is not None:
                exact = verdict.exact
                assert exact.plan is not None
                label, key = label_of(exact.plan), exact.plan.key
                self.made.append(Made(label, exact, exact.gradient, exact.seconds, "", key, exact.samples, True))
            elif not fair:
                self.phase("running an unbiased reference")
                self.left = 1
                row = self.run(replace(unbiased, prefer=verdict.prefer), "", "")
                if row is not None:
                    row.added = True
                    self.made.append(row)
        except ProbError:
            return  # nothing unbiased is right here: the bias is not known


def label_of(plan: Plan) -> str:
    """`enumerate + rsample`, `gumbel tau=0.1`, `score, no credit`."""
    live = [choice for choice in plan.choices.values() if choice.effect and choice.estimator != PLAIN.name]
    return " + ".join(sorted({ESTIMATORS[choice.estimator].label(choice.options) for choice in live})) or "fixed noise"


def affordable(settings: Settings, warm: Estimate | None) -> Settings:
    """With as many runs as may be made for the work allowed, where those before show what one takes; TooMuchWork."""
    if settings.most_work is None or warm is None or warm.exact:
        return settings
    runs = int(settings.most_work * warm.samples // max(warm.work, 1))
    if runs < min(LEAST_RUNS, settings.samples):
        raise TooMuchWork
    if runs >= settings.samples:
        return replace(settings, most_work=None)
    return replace(settings, samples=runs, max_lanes=settings.lanes(False), most_work=None)
