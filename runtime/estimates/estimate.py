"""Programs to estimates: mean, standard error, gradient; when to stop, and what to do when something gives way.

What is computed from parameters becomes a row per run where it meets the runs (`lifting.py`), so that one backward pass per
result entry (`weighing.py`) gives the gradient of every single run, and their spread is the standard error.  The baselines tie
the runs together a little; that matters with few of them, so there the jackknife's error is computed as well and the larger one
reported.  A plan under which every outcome is enumerated needs one run, in float64: its answer is exact.

Runs come in blocks (`session.py`).  What makes the estimate start afresh from the same seed: an assumption of the plan that fails
(`GuardBroken`) and an estimator that gives up (`TooManyLanes`), after which the plan is made again without them; a gradient that
is not finite (go on with derivatives that are 0 where nobody asks for them, `singular.py`); values that cannot be lifted, draws
that float32 is too coarse for, and graphs that do not compile.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from ...dsl.analysis.flow import analyse
from ...dsl.names.resolve import Resolved
from ...dsl.planning.plan import Lessons, Plan
from ...dsl.tables.estimators import ESTIMATORS
from ...dsl.tables.ranges import Bounds, constant
from ...dsl.text.diagnostics import Diagnostic, ProbError
from ...dsl.text.source import Span
from ..arrays.operations import Operand
from ..arrays.scalars import ends
from ..blocks.collect import Collected, Ended, Estimate, merged
from ..blocks.culprits import gradient_problem, value_problem
from ..blocks.moments import Moments
from ..blocks.schedule import Start, blocks
from ..blocks.session import Session
from ..blocks.settings import DTYPES, LEAST_BLOCK, Settings, names_of, room
from ..gradients.decisive import decisive
from ..gradients.surrogate import expected
from ..gradients.weighing import Weighing
from ..lanes.lessons import (
    GuardBroken,
    NotCompiled,
    NotLifted,
    OutOfMemory,
    OutOfTime,
    TooCoarse,
    TooManyLanes,
    TooMuchWork,
    TooSmall,
)
from ..lanes.moving import Motion
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome
from ..machine.order import check_fixed
from .precision import Numbers
from .team import Team

__all__ = ["Estimate", "Moments", "Settings", "expectation", "gradient", "moments_of_run"]

FEW = 200  # up to so many runs a jackknife checks the standard error of a score

MakePlan = Callable[[Lessons], Plan]
Progress = Callable[[int, int], None] | None


class _NotFinite(Exception):
    """A gradient is not finite under plain derivatives."""


# ---------------------------------------------------------------------------------------------------- gradient
def gradient(
    resolved: Resolved, make_plan: MakePlan, parameters: Mapping[str, object], data: Mapping[str, object],
    settings: Settings, progress: Progress = None, team: Team | None = None, trial: bool = False,
) -> Estimate:
    """The expected results and their derivatives in every parameter, of all runs of a `team`; a `trial` only measures a plan."""
    started = time.perf_counter()
    given = Numbers(resolved, parameters, data, settings, settings if team is None else team.share(settings))
    if not given.bound:
        raise _no_parameters(resolved)
    lessons, safe, refused = Lessons(), False, ""
    while True:
        plan = make_plan(lessons)
        if plan.exact:
            given.bind("float64")
        settings, own, few = given.whole, given.own, partial(_few, resolved, plan, safe)
        session = Session(resolved, plan, given.bound, given.known, own, safe, results=not settings.of)
        collected = Collected(names_of(resolved, settings, not settings.of), own)
        outcome: Collected | Exception = collected
        if own.sampler == "sobol" and not plan.exact:
            check_fixed(resolved, plan)
        heard: list[Collected | Exception] | None = None
        try:
            if not (trial or plan.exact):
                given.check(plan.memory, few)
            with room(grad=True):
                _differentiate(session, collected, progress, Looks(team, settings))
        except Ended as end:
            heard = end.found
        except NotLifted:
            plan.memory["liftable"] = False
            continue
        except _NotFinite:
            safe = True
            continue
        except (TooCoarse, TooSmall) as why:
            given.adapt(why, plan.memory, few)
            continue
        except NotCompiled as why:
            refused, given.own = why.reason, replace(own, compile=False)
            continue
        except OutOfMemory as problem:
            if given.halves(problem, team is not None):
                continue
            outcome = problem
        except Exception as problem:
            outcome = problem
        found = heard or ([outcome] if team is None else team.exchange(resolved, outcome))
        if all(isinstance(one, Collected) for one in found):
            whole = collected if team is None or collected.exact else merged(found, session, settings)
            return _finished(session, whole, settings, started, refused or None, given.rounded)
        lessons = _learnt(lessons, plan, [one for one in found if isinstance(one, Exception)])


def _no_parameters(resolved: Resolved) -> ProbError:
    title = "there is nothing to differentiate: the program has no parameters"
    return ProbError(Diagnostic("P0606", title, source=resolved.program.source))


def _few(
    resolved: Resolved, plan: Plan, safe: bool, settings: Settings, bound: dict[str, Tensor], known: dict[str, Operand]
) -> Estimate:
    """A few runs of a plan, as they come."""
    collected = Collected(names_of(resolved, settings, not settings.of), settings)
    session = Session(resolved, plan, bound, known, settings, safe, results=not settings.of)
    with room(grad=True):
        _differentiate(session, collected, None, Looks(None, settings))
    return collected.estimate(plan, 0.0)


def _finished(
    session: Session, collected: Collected, settings: Settings, started: float, refused: str | None, rounded: bool
) -> Estimate:
    """The estimate, and what has become of the wish to compile."""
    if settings.compile and refused is None and session.compile_seconds is None:
        left = "a gradient is not finite" if session.safe else "no block was left to compile"
        refused = "the answer is exact" if collected.exact else left
    estimate = collected.estimate(session.plan, started)
    scarce = {} if collected.exact else session.variety.scarce
    return replace(estimate, compile_seconds=session.compile_seconds, not_compiled=refused, rounded=rounded, scarce=scarce)


def _learnt(lessons: Lessons, plan: Plan, problems: Sequence[Exception]) -> Lessons:
    """With what has gone wrong, in all processes: to plan again; or raises what cannot be planned around."""
    learnt = lessons
    for problem in problems:
        match problem:
            case GuardBroken(place=place):
                learnt = learnt.broke(place)
            case TooManyLanes(index=index):
                learnt = learnt.crowd(index, plan)
            case _:
                raise problem
    if learnt == lessons:
        raise RuntimeError(f"an estimator gave up and nothing was learnt from it: {problems!r}") from problems[0]
    return learnt


class Looks:
    """When to look whether a standard error is small enough: after every block; with a team, together, whenever each has
    made half as many runs again."""

    def __init__(self, team: Team | None, whole: Settings):
        self.team = team
        self.whole = whole
        self.due = LEAST_BLOCK

    def enough(self, session: Session, collected: Collected) -> bool:
        """Whether to stop."""
        if self.team is None:
            return collected.reached()
        while self.due <= min(collected.done, self.whole.samples // self.team.size):
            self.due += self.due // 2
            if self.team.reached(session, collected, self.whole):
                return True
        return False


def no_run_in_time(settings: Settings) -> Exception:
    """P0608; a pilot, which has a time of its own (`until`), looks at it as OutOfTime."""
    if settings.until is not None:
        return OutOfTime()
    return ProbError(Diagnostic(
        "P0608", "the time was over before the first runs were finished", help="give it more time (--max-time)",
    ))


def _drive(
    session: Session, collected: Collected, leaves: Start,
    take: Callable[[Session, int, dict[str, Tensor], Outcome], Collected], progress: Progress, looks: Looks,
) -> None:
    """Make and collect blocks until a rule says stop; an interruption keeps the blocks that are complete."""
    settings = collected.settings
    try:
        with closing(blocks(session, leaves, take)) as parts:
            for runs, part in parts:
                part.done = runs
                collected.merge(part, session)
                if progress is not None:
                    progress(collected.done, settings.samples)
                if settings.most_work is not None and collected.work > settings.most_work:
                    raise TooMuchWork
                if collected.exact or (settings.target_se is not None and looks.enough(session, collected)):
                    return
                if settings.deadline is not None and collected.done < settings.samples and time.monotonic() > settings.deadline:
                    collected.out_of_time = True
                    return
    except OutOfTime:
        if not collected.done:
            raise no_run_in_time(settings) from None
        collected.out_of_time = True
    except KeyboardInterrupt:
        if not collected.done:
            raise
        collected.interrupted = True


def _differentiate(session: Session, collected: Collected, progress: Progress, looks: Looks) -> None:
    names, settings = collected.names, collected.settings
    paired = any(choice.options.get("baseline") == "both" for choice in session.choices.values())

    def take(block: Session, runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> Collected:
        part = Collected(names, settings, block.start)
        part.exact, part.work = block.exact or not outcome.random, outcome.work
        weighings = []
        for number, (name, found) in enumerate(zip(names, outcome.values, strict=True)):
            value = block.result(found)
            if outcome.weight is not None:
                value = block.points.rows(value, outcome.lanes)
            weighing = Weighing.of_result(outcome, number, value, runs)
            if settings.keep_runs:
                part.keep_draws(name, weighing.value, runs)
            if not part.add_value(name, weighing.value, runs).finite:
                raise value_problem(block, runs, leaves, names)
            weighings.append(weighing)
            if weighing.scored:
                part.scored.add(name)
        if outcome.met:
            motion = Motion(block.points.points, block.lifter)
            part.kinks, part.turns = decisive(outcome, [weighing.value for weighing in weighings], motion)
        few = not block.exact and settings.samples <= FEW
        for number, (name, weighing) in enumerate(zip(names, weighings, strict=True)):
            for found_at in weighing.gradients(block.points, number == len(weighings) - 1, few):
                for place, (parameter, leaf) in enumerate(leaves.items()):
                    accumulator = part.add_gradient(
                        name, parameter, found_at.entry, found_at.per_run[place], leaf, runs, tied=found_at.tied,
                    )
                    part.watch_tails(name, parameter, found_at.entry, found_at.per_run[place])
                    if found_at.pseudo and (spread := found_at.pseudo[place]) is not None:
                        accumulator.widen(spread)
                    if found_at.costs:
                        accumulator.charge(found_at.costs[place])
                    if paired:
                        other = found_at.other or found_at.per_run  # of a result without scores there is but one
                        part.add_gradient(name, parameter, found_at.entry, other[place], leaf, runs, other=True)
                    if not accumulator.finite:
                        if not block.safe:
                            raise _NotFinite
                        raise gradient_problem(block, runs, block.expanded(runs), name, parameter, number, found_at.entry)
        if settings.sampler == "sobol":
            part.replicate()
        block.points.release()
        return part

    _drive(session, collected, Session.leaves, take, progress, looks)


# ------------------------------------------------------------------------------------------------ run, expect
def moments_of_run(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    progress: Progress = None,
) -> Estimate:
    """The results and the variables in `of`, sampled without derivatives: no plan is needed."""
    started = time.perf_counter()
    given = Numbers(resolved, parameters, data, settings, settings)
    few, memory = partial(_sampled, resolved), cast("dict[Any, Any]", resolved.memory)
    while True:
        try:
            given.check(memory, few)
            found = _sampled(resolved, given.own, given.bound, given.known, progress)
        except (TooCoarse, TooSmall) as why:
            given.adapt(why, memory, few)
            continue
        except OutOfMemory as problem:
            if not given.halves(problem):
                raise
            continue
        return replace(found, seconds=time.perf_counter() - started, rounded=given.rounded)


def _sampled(
    resolved: Resolved, settings: Settings, bound: dict[str, Tensor], known: dict[str, Operand], progress: Progress = None
) -> Estimate:
    session = Session(resolved, None, bound, known, settings, False, results=True)
    collected = Collected(names_of(resolved, settings, True), settings)

    def take(block: Session, runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> Collected:
        part = Collected(collected.names, settings, block.start)
        part.exact, part.work = not outcome.random, outcome.work
        for name, found in zip(collected.names, outcome.values, strict=True):
            value = block.result(found)
            if not part.add_value(name, value, runs).finite:
                raise value_problem(block, runs, leaves, collected.names)
            part.keep_draws(name, value, runs)
        return part

    with room(grad=False):
        _drive(session, collected, Session.uniform, take, progress, Looks(None, settings))
    return collected.estimate(None, 0.0)


def warn_of_kinks(resolved: Resolved, kinks: Set[Span]) -> None:
    """There is no report to say it in."""
    source = resolved.program.source
    first = min(kinks, key=lambda span: span.start)
    warnings.warn(
        f"{source.name}, line {source.line_column(first.start)[0]}: a kink is met exactly, where the expectation has no derivative "
        f"but one to the left and one to the right: {source.slice(first)}", stacklevel=4,
    )


def expectation(
    resolved: Resolved, make_plan: MakePlan, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings
) -> Tensor | dict[str, Tensor]:
    """Estimates of the expected results that carry their derivatives: one block, differentiable again where the
    estimators allow it.  A single result is not keyed."""
    given = Numbers(resolved, parameters, data, settings, settings)
    names = names_of(resolved, settings, not settings.of)
    lessons = Lessons()
    while True:
        plan = make_plan(lessons)
        few = partial(_few, resolved, plan, True)
        try:
            if not plan.exact:
                given.check(plan.memory, few)
            session = Session(resolved, plan, given.bound, given.known, given.own, True, results=not settings.of)
            runs = 1 if session.exact else settings.samples
            leaves = {name: value.expand(runs, *value.shape) for name, value in session.parameters.items()}
            with room(grad=True):
                machine = session.interpreter(Interpreter, kinks=plan.kinks, bends=partial(_bends, session, plan, settings.of))
                outcome = machine.run(leaves, session.data, runs)
                found = [
                    expected(outcome, number, session.result(value), runs).to(DTYPES[settings.dtype])
                    for number, value in enumerate(outcome.values)
                ]
                if not all(bool(torch.isfinite(value).all()) for value in found):
                    raise value_problem(session, runs, leaves, names)
                if outcome.met and (kinks := decisive(outcome, found, machine.motion())[0]):
                    warn_of_kinks(resolved, kinks)
        except (GuardBroken, TooManyLanes) as problem:
            lessons = _learnt(lessons, plan, [problem])
            continue
        except (TooCoarse, TooSmall) as why:
            given.adapt(why, plan.memory, few)
            continue
        return found[0] if len(found) == 1 else dict(zip(names, found, strict=True))


def _bends(session: Session, plan: Plan, of: tuple[str, ...]) -> frozenset[int]:
    """The kinks that are left where parameters and data are what they are: sqrt(theta^2 + z^2) has none but at theta = 0."""
    known: dict[str, Bounds] = {}
    for name, value in (*session.parameters.items(), *session.data.items()):
        if isinstance(value, Tensor) and value.numel():
            least, most = ends(value)
            known[name] = Bounds(least, most, True, True)
        elif isinstance(value, float | bool):
            known[name] = constant(float(value))
    rows = {index: ESTIMATORS[choice.estimator] for index, choice in plan.choices.items()}
    return analyse(session.resolved, rows, frozenset(), of, known).kinks
