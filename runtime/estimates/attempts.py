"""Attempts at an answer: begin again, with what has been learnt, until nothing more is learnt.

There is one loop, `attempted`: a *way* is tried, and what ends it in the middle is a lesson, from which the next way follows, or it
ends everything.  Runs of a program (`Attempts`) learn from `Lesson`s (`runtime/lanes/lessons.py`): an assumption of the plan that
fails, outcomes that are too many, a gradient that is not finite, values that cannot be lifted, draws for which float32 is too
coarse, graphs that do not compile, blocks for which there is no memory.  Each attempt starts afresh from the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from ...dsl.names.asked import Asked, asked
from ...dsl.names.resolve import Resolved
from ...dsl.planning.both_sides import FEW_RUNS, both_sides
from ...dsl.planning.plan import Lessons, Plan
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Collected, Estimate
from ..blocks.posterior import Conditioned
from ..blocks.session import Session
from ..blocks.settings import DTYPES, WATCHED_RUNS, Settings
from ..lanes.lessons import Lesson, MakePlan, NotCompiled, NotLifted, TooCoarse, TooLong, TooManyLanes, TooMuchWork, Way
from ..machine.ways import Masked
from .binding import Values, bind_values
from .precision import Precision

T = TypeVar("T")
W = TypeVar("W")

START = Way()
IN_STEP = replace(START, in_step=True)


def attempted(way: W, make: Callable[[W], T], learn: Callable[[W, Exception], W]) -> T:
    """What `make` gives of the first way that does not give up; `learn` gives the next one, or raises what teaches nothing."""
    while True:
        try:
            return make(way)
        except Exception as problem:
            better = learn(way, problem)
            if better == way:
                raise RuntimeError(f"an estimator gave up and nothing was learnt from it: {problem!r}") from problem
            way = better


@dataclass(frozen=True)
class Attempt:
    """One attempt: its plan (None: values are sampled, and not differentiated), and the values in its arithmetic; `whole`: the
    settings of all processes, `settings`: those of this one."""

    resolved: Resolved
    way: Way
    plan: Plan | None
    whole: Settings
    settings: Settings
    values: Values
    masked: bool = False  # both sides of conditions are executed in all lanes

    @property
    def token(self) -> Hashable:
        """Under which is kept what runs have found out about the plan, or about the program."""
        return None if self.plan is None else self.plan.token

    @property
    def exact(self) -> bool:
        """Whether every outcome is enumerated."""
        return self.plan is not None and self.plan.exact

    @property
    def results(self) -> bool:
        """Whether the results are asked for: variables take their place where something is differentiated."""
        return self.plan is None or not self.settings.of

    @property
    def names(self) -> tuple[str, ...]:
        """What is asked for."""
        return self.asked.names

    @property
    def asked(self) -> Asked:
        """The same, with the variables that it takes."""
        return asked(self.resolved, self.settings.of, self.results)

    def session(self) -> Session:
        """Where its blocks are made."""
        lifted = self.way.lifted and self.resolved.prepared.get("lifted", self.token, True)
        session = Session(self.resolved, self.plan, *self.values, self.settings, self.way.safe, self.results, lifted)
        if self.masked:
            session.branching = Masked()
        return session

    def collected(self) -> Collected:
        """What its blocks have come to: nothing yet."""
        return (Conditioned if self.asked.weighed else Collected)(self.names, self.settings)


@dataclass
class Attempts:
    """The attempts at one answer."""

    resolved: Resolved
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    whole: Settings
    own: Settings
    make_plan: Callable[[Lessons], Plan | None] = field(default=lambda lessons: None)
    masked: bool = False  # whatever the text says, both sides of conditions are executed if that can be
    bound: dict[str, Values] = field(default_factory=dict)

    def until_done(self, make: Callable[[Attempt], T], way: Way = START) -> T:
        """What `make` gives of the first attempt that teaches nothing.  A program that draws nothing is run in float64."""

        start = way if self.resolved.sites else replace(way, wide=True)

        def tried(way: Way) -> T:
            attempt = self.attempt(way)
            try:
                made = make(attempt)
            except (ProbError, Lesson) as problem:
                if not attempt.masked or isinstance(problem, NotCompiled):
                    raise
                raise NotCompiled("a random branch cannot be executed where it is not taken") from problem
            if start.lifted and not way.lifted:
                self.resolved.prepared.put("lifted", attempt.token, False)  # it would be in vain again
            return made

        def learn(way: Way, problem: Exception) -> Way:
            if not isinstance(problem, Lesson):
                raise problem
            plan: MakePlan = self.make_plan  # type: ignore[assignment]
            return problem.taught(way, plan)

        return attempted(start, tried, learn)

    def attempt(self, way: Way) -> Attempt:
        """An attempt of this way."""
        plan = self.make_plan(way.known)
        if plan is not None and plan.atoms:  # the sides of a jump are too close for float32
            way = replace(way, wide=True)
        whole, own = (following(settings, way) for settings in (self.whole, self.own))
        dtype = "float64" if plan is not None and plan.exact else own.dtype
        return Attempt(self.resolved, way, plan, whole, own, self.values(dtype), not way.uncompiled and self._masks(plan))

    def _masks(self, plan: Plan | None) -> bool:
        """Whether lanes stay together under conditions."""
        if plan is None or self.masked:
            return self.masked
        whole = self.whole
        if whole.world_size > 1 or whole.sampler == "sobol":
            return False
        if whole.compile:
            return whole.samples <= WATCHED_RUNS  # those of one block
        return whole.samples <= FEW_RUNS and both_sides(self.resolved, plan)

    def values(self, dtype: str) -> Values:
        """Parameters and data in a dtype."""
        if dtype not in self.bound:
            device = torch.device(self.own.device)
            self.bound[dtype] = bind_values(self.resolved, self.parameters, self.data, DTYPES[dtype], device)
        return self.bound[dtype]

    def rounded(self, attempt: Attempt, few: Callable[[Attempt], Estimate], asked: bool = True) -> bool:
        """Whether float32 rounds more than should be, but was asked for; TooCoarse where it was not.  `few` makes some runs;
        if not `asked` they tell only whether logarithms of draws are enough, where that must be known."""

        plan, whole = attempt.plan, attempt.settings
        lanes = whole.max_lanes if plan is None or plan.exact else plan.lanes(whole.samples, whole.max_lanes)

        def make(settings: Settings) -> Estimate | None:
            settings = replace(settings, max_lanes=lanes)  # which are no more for being few runs
            try:
                return few(replace(attempt, settings=settings, values=self.values(settings.dtype)))
            except (NotLifted, TooLong, TooManyLanes, TooMuchWork):
                raise
            except Exception:
                return None  # the runs themselves will come to it

        precision = Precision(self.resolved.prepared, attempt.token, attempt.settings)
        if attempt.way.small is not None and precision.sunk(*attempt.values, make):
            raise attempt.way.small
        if attempt.exact or not asked:
            return False
        rounded = precision.rounded(*attempt.values, make)
        if rounded and not attempt.settings.strict:
            raise TooCoarse
        return rounded


def following(settings: Settings, way: Way) -> Settings:
    """The settings of an attempt."""
    if way.wide and settings.dtype != "float64":
        settings = replace(settings, dtype="float64")
    if way.small is not None or way.most is not None or way.uncompiled:
        settings = replace(
            settings, logarithms=way.small is not None, block_lanes=way.most or settings.block_lanes,
            compile=settings.compile and not way.uncompiled,
        )
    return settings
