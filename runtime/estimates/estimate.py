"""Programs to estimates: mean, standard error, gradient; when to stop, and what to do when something gives way.

What is computed from parameters becomes a row per run where it meets the runs (`lifting.py`), so that one backward pass per
result entry (`weighing.py`) gives the gradient of every single run, and their spread is the standard error.  The baselines tie
the runs together a little; that matters with few of them, so there the jackknife's error is computed as well and the larger one
reported.  A plan under which every outcome is enumerated needs one run, in float64: its answer is exact.

Runs come in blocks (`session.py`).  Where something gives way, the estimate starts afresh from the same seed (`attempts.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.planning.order import check_fixed
from ...dsl.text.diagnostics import Diagnostic, ProbError
from ..blocks.collect import Collected, Estimate, merged
from ..blocks.conditioning import Conditioning, summed_out
from ..blocks.culprits import gradient_problem, value_problem
from ..blocks.looked import looked_at
from ..blocks.moments import Moments
from ..blocks.posterior import Conditioned
from ..blocks.replayed import Replayed, ReplayedResult, replayed, seen
from ..blocks.schedule import Start, blocks
from ..blocks.session import Session
from ..blocks.settings import LEAST_BLOCK, WATCHED_RUNS, Settings, room
from ..gradients.decisive import decisive
from ..gradients.remainder import remainder
from ..gradients.weighing import Weighing
from ..lanes.lessons import MakePlan, NotFinite, OutOfTime, TooCoarse, TooMuchWork
from ..lanes.moving import Motion
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome
from .attempts import IN_STEP, START, Attempt, Attempts
from .team import Team

__all__ = ["Estimate", "Moments", "Settings", "gradient", "moments_of_run", "sampled"]

FEW = 200  # up to so many runs a jackknife checks the standard error of a score

Progress = Callable[[int, int], None] | None


# ---------------------------------------------------------------------------------------------------- gradient
def gradient(
    resolved: Resolved, make_plan: MakePlan, parameters: Mapping[str, object], data: Mapping[str, object],
    settings: Settings, progress: Progress = None, team: Team | None = None, trial: bool = False,
) -> Estimate:
    """The expected results and their derivatives in every parameter, of all runs of a `team`; a `trial` only measures a plan."""
    started = time.perf_counter()
    if not resolved.parameters:
        raise _no_parameters(resolved)
    own = settings if team is None else team.share(settings)
    attempts = Attempts(resolved, parameters, data, settings, own, make_plan)

    def make(attempt: Attempt) -> Estimate:
        plan, whole = attempt.plan, attempt.whole
        assert plan is not None
        if own.sampler == "sobol" and not plan.exact:
            check_fixed(resolved, plan)
            if attempt.asked.weighed or attempt.asked.copies > 1:
                what = "a quotient of means" if attempt.asked.weighed else "the mean weight of several"
                raise ProbError(Diagnostic(
                    "P0408", f"the Sobol sampler does not fit this program: runs have weights, and {what} is asked for",
                    source=resolved.program.source, help="leave --sampler out, or ask for --of elbo",
                ))
        rounded = attempts.rounded(attempt, few_of, not trial)
        session, collected = attempt.session(), attempt.collected()

        def run() -> Collected:
            with room(grad=True):
                _differentiate(session, collected, progress, Looks(team, whole))
            return collected

        found = [run()] if team is None else team.outcomes(resolved, attempt.way, run)
        everything = collected if team is None or collected.exact else merged(found, session, whole)
        return _finished(session, everything, whole, started, attempt.way.uncompiled or None, rounded)

    return attempts.until_done(make, IN_STEP if team is not None and settings.target_se is not None else START)


def _no_parameters(resolved: Resolved) -> ProbError:
    title = "there is nothing to differentiate: the program has no parameters"
    return ProbError(Diagnostic("P0606", title, source=resolved.program.source))


def wider(session: Session) -> TooCoarse | None:
    """What is too large for float32 may be none for float64, if float32 was not asked for."""
    return TooCoarse() if session.context.dtype == torch.float32 and not session.settings.strict else None


def few_of(attempt: Attempt) -> Estimate:
    """A few runs of a plan, as they come."""
    collected = attempt.collected()
    with room(grad=True):
        _differentiate(attempt.session(), collected, None, Looks(None, attempt.settings))
    return collected.estimate(attempt.plan, 0.0)


def _finished(
    session: Session, collected: Collected, settings: Settings, started: float, refused: str | None, rounded: bool
) -> Estimate:
    """The estimate, and what has become of the wish to compile."""
    if settings.compile and refused is None and session.compile_seconds is None:
        few = "there are too few runs" if settings.samples <= WATCHED_RUNS else "no block was left to compile"
        left = "a gradient is not finite" if session.safe else session.uncompiled or few
        refused = "the answer is exact" if collected.exact else left
    return collected.estimate(
        session.plan, started, compile_seconds=session.compile_seconds, not_compiled=refused, rounded=rounded,
        scarce={} if collected.exact else session.variety.scarce,
    )


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
                if settings.most_work is not None and collected.work > max(settings.most_work, settings.patience):
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
    if not collected.done:
        share, shares = settings.shard
        raise ProbError(Diagnostic(
            "P0604", f"share {share + 1} of {shares} has no runs: {settings.samples} runs make fewer than {shares} blocks",
            help="ask for more runs in all (-n), or for fewer shares",
        ))


def _possible(session: Session, collected: Collected) -> None:
    """P0510 where all runs have weight 0: at the observation that left none, in the first block."""
    if not isinstance(collected, Conditioned) or not collected.impossible:
        return
    raise impossible(session, 1 if collected.exact else collected.done)


def impossible(session: Session, runs: int) -> ProbError:
    block = session.at(0, 0)
    machine = block.interpreter(Interpreter)
    machine.searching = True
    try:
        machine.run(block.uniform(), block.data, min(runs, LEAST_BLOCK))
    except ProbError as problem:
        return problem
    where = "whatever is drawn" if session.exact else f"in all of {runs} runs"
    advice = "check the data and the conditions: they contradict each other" if session.exact else (
        "make more runs (-n), or draw from a proposal that comes nearer to them: x ~ P via Q"
    )
    return ProbError(Diagnostic(
        "P0511", f"no run agrees with the observations: {where}, their likelihood is 0", source=session.resolved.program.source,
        help=advice,
    ))


def _differentiate(session: Session, collected: Collected, progress: Progress, looks: Looks) -> None:
    if session.asked.weighed:
        take = Conditioning(collected.names, collected.settings).gradient
        _drive(session, collected, Session.leaves, take, progress, looks)
        _possible(session, collected)
    else:
        _differentiate_plain(session, collected, progress, looks)


def values_of(block: Session, outcome: Outcome, runs: int) -> Outcome:
    """What a block gave; P0510, P0511 where all runs have ended by an observation, and the mean of log weights is asked for."""
    if not outcome.values:
        raise impossible(block, runs)
    return summed_out(block, outcome, runs)


def _differentiate_plain(session: Session, collected: Collected, progress: Progress, looks: Looks) -> None:
    names, settings = collected.names, collected.settings
    few = not session.exact and settings.samples <= FEW
    whole = replayed(session, few) if looks.team is None else None
    if whole is not None and (part := of_replay(names, settings, whole)) is not None:
        collected.merge(part, session)
        session.parameters = {parameter: value.detach() for parameter, value in session.parameters.items()}  # of nobody's graph
        collected.replay = whole.by, session
        session.compile_seconds = 0.0
        if progress is not None:
            progress(collected.done, settings.samples)
        return

    def take(block: Session, runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> Collected:
        part = Collected(names, settings, block.start)
        part.exact, part.work, part.steps = block.exact or not outcome.random, outcome.work, block.spending.steps
        part.looked, part.forked = looked_at(outcome.forks), outcome.forks is not None and outcome.forks.single
        weighings, outcome = [], values_of(block, outcome, runs)
        for number, (name, found) in enumerate(zip(names, outcome.values, strict=True)):
            value = block.result(found)
            if outcome.weight is not None:
                value = block.points.rows(value, outcome.lanes)
            weighing = Weighing.of_result(outcome, number, value, runs)
            if not _take_value(part, block, name, weighing, runs):
                raise wider(block) or value_problem(block, runs, leaves, names)
            weighings.append(weighing)
        if outcome.met:
            motion = Motion(block.points.points, block.lifter)
            part.kinks, part.turns = decisive(outcome, [weighing.value for weighing in weighings], motion)
        _take_gradients(part, block, leaves, weighings, runs, few, not outcome.cuts)
        if outcome.cuts:
            points, sizes = (block.points.points, part.sizes()) if block.exact else ((), None)
            error = remainder(outcome, [weighing.on_lanes for weighing in weighings], points, sizes)
            part.cuts, part.exact_to = (outcome.cuts, error) if block.exact else ((), 0.0)
        if settings.sampler == "sobol":
            part.replicate()
        block.points.release()
        return part

    _drive(session, collected, Session.leaves, take, progress, looks)
    if looks.team is None and (collected.exact or collected.done == settings.samples):
        seen(session, few)


def of_replay(names: tuple[str, ...], settings: Settings, whole: Replayed) -> Collected | None:
    """What a replayed block has come to; None where a result is not finite.  Raises NotFinite."""
    part = Collected(names, settings)
    part.work, part.steps, part.done, part.exact = whole.work, whole.steps, whole.runs, whole.block.exact
    if not all(_take_value(part, whole.block, name, own, whole.runs) for name, own in zip(names, whole.results, strict=True)):
        return None
    _take_gradients(part, whole.block, whole.leaves, whole.results, whole.runs, settings.samples <= FEW, True)
    return part


def _take_value(part: Collected, block: Session, name: str, result: Weighing | ReplayedResult, runs: int) -> bool:
    """Take in the values of a result; whether they are finite."""
    if block.settings.keep_runs:
        part.keep_draws(name, result.value, runs)
    if result.scored:
        part.scored.add(name)
    part.watch_tails(name, None, 0, result.value if result.value.shape[0] > 1 else None)
    return part.add_value(name, result.value, runs).finite


def _take_gradients(
    part: Collected, block: Session, leaves: dict[str, Tensor], results: Sequence[Weighing | ReplayedResult], runs: int, few: bool,
    last: bool,
) -> None:
    """Take in the gradients of all results; `last`: nobody needs the graph afterwards.  Raises NotFinite."""
    names = part.names
    paired = any(choice.options.get("baseline") == "both" for choice in block.choices.values())
    other = part.again() if paired else None
    for number, (name, result) in enumerate(zip(names, results, strict=True)):
        for found_at in result.gradients(block.points, number == len(results) - 1 and last, few):
            for place, (parameter, leaf) in enumerate(leaves.items()):
                accumulator = part.add_gradient(
                    name, parameter, found_at.entry, found_at.per_run[place], leaf, runs, tied=found_at.tied,
                )
                accumulator.correct(found_at.pseudo, found_at.costs, place)
                if other is not None:
                    rows = found_at.other or found_at.per_run  # of a result without scores there is but one
                    regressed = other.add_gradient(name, parameter, found_at.entry, rows[place], leaf, runs)
                    regressed.correct(found_at.other_pseudo, found_at.other_costs, place)
                if not accumulator.finite:
                    if not block.safe:
                        raise NotFinite
                    where = block, runs, block.expanded(runs), name, parameter, number, found_at.entry
                    raise wider(block) or gradient_problem(*where)


# ------------------------------------------------------------------------------------------------ run, expect
def moments_of_run(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    progress: Progress = None,
) -> Estimate:
    """The results and the variables in `of`, sampled without derivatives: no plan is needed."""
    started = time.perf_counter()
    attempts = Attempts(resolved, parameters, data, settings, settings)

    def make(attempt: Attempt) -> Estimate:
        rounded = attempts.rounded(attempt, sampled)
        return replace(sampled(attempt, progress), seconds=time.perf_counter() - started, rounded=rounded)

    return attempts.until_done(make)


def sampled(attempt: Attempt, progress: Progress = None) -> Estimate:
    """The runs of an attempt without a plan."""
    session, collected = attempt.session(), attempt.collected()

    def take(block: Session, runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> Collected:
        part = Collected(collected.names, attempt.settings, block.start)
        part.exact, part.work = not outcome.random, outcome.work
        for name, found in zip(collected.names, values_of(block, outcome, runs).values, strict=True):
            value = block.result(found)
            if not part.add_value(name, value, runs).finite:
                raise wider(block) or value_problem(block, runs, leaves, collected.names)
            part.keep_draws(name, value, runs)
        return part

    if isinstance(collected, Conditioned):
        take = Conditioning(collected.names, attempt.settings).sample
    with room(grad=False):
        _drive(session, collected, Session.uniform, take, progress, Looks(None, attempt.settings))
        _possible(session, collected)
    return collected.estimate(None, 0.0)
