"""Blocks of runs -> mean, standard error, gradient; when to stop, and what to do when something gives way.

Every run has its own copy of the parameters, so that one backward pass per result entry (`weighing.py`) gives the gradient of
every single run, and their spread is the standard error.  The baselines tie the runs together a little; that matters with
few of them, so there the jackknife's error is computed as well and the larger one reported.  A plan under which every
outcome is enumerated needs one run, in float64: its answer is exact.

Blocks keep memory flat and the numbers in cache.  The first one is small and measures how many numbers a run holds; the
others follow from that by a fixed rule, so the same seed gives the same answer.  Two things make the estimate start afresh
from the same seed: an assumption of the plan that fails (`GuardBroken`: plan again without it) and a gradient that is not
finite (go on with derivatives that are 0 where nobody asks for them, `singular.py`).  A third one is an enumeration that
takes too many lanes: the plan is made again without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..dsl.additive import find_sums
from ..dsl.diagnostics import Diagnostic, ProbError
from ..dsl.limits import MAX_DEPTH, MAX_LANES, MAX_ROUNDS, MAX_STEPS
from ..dsl.names import Resolved
from ..dsl.plan import Choice, Lessons, Plan
from ..dsl.syntax import deep_recursion
from .credit import Crediting
from .interpreter import Context, Interpreter, Limits, Outcome
from .lanes import Ragged, Value
from .moments import Accumulator, Moments
from .operations import numeric
from .surrogate import expected
from .tails import Tail, TailWatch
from .trace import gradient_problem, value_problem
from .values import bind_values
from .watch import Counter, GuardBroken, Guards, TooBig, TooManyLanes
from .weighing import Weighing

__all__ = ["Estimate", "Moments", "Settings", "expectation", "gradient", "moments_of_run"]

FIRST_BLOCK = 1024  # runs of the block that measures
ONE_BLOCK = 2048  # up to so many runs are one block
MOST_LANES = 131_072
LANES_OF_A_BLOCK = 2**18  # numbers in the widest value of a block, at most
KEPT_BY_A_BLOCK = 2**24  # numbers that a block keeps for the backward pass, about
TOO_BIG = 2**26  # numbers at which a block that is being measured is started again with fewer runs
LEAST_LANES = 16
LANES_IN_ALL = 2**22  # of all runs together, where outcomes are enumerated and the rest is sampled
KEPT_RUNS = 100_000  # gradients of single runs
KEPT_DRAWS = 1_000_000  # results of single runs
FEW = 200  # up to so many runs a jackknife checks the standard error of a score
LEAST_FOR_JACKKNIFE = 3
WATCHED_RUNS = 16_384  # whose gradients' tails are looked at
WATCHED_GRADIENTS = 16
LEAST_FOR_TARGET = 1000  # runs before a standard error is believed
DTYPES = {"float32": torch.float32, "float64": torch.float64}
DEPTH = 1_000_000  # of Python calls

MakePlan = Callable[[Lessons], Plan]
Progress = Callable[[int, int], None] | None
Leaves = Callable[[int], dict[str, Tensor]]  # parameters for so many runs


@dataclass(frozen=True)
class Settings:
    """How to run.  `block_lanes` overrides the size of the blocks, `of` names variables in place of the results."""

    samples: int = 10_000
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    target_se: float | None = None
    of: tuple[str, ...] = ()
    max_steps: int = MAX_STEPS
    max_depth: int = MAX_DEPTH
    max_lanes: int | None = None
    max_rounds: int = MAX_ROUNDS
    block_lanes: int | None = None
    keep_runs: bool = False

    def lanes(self, exact: bool) -> int:
        """How many lanes enumeration may make of one run."""
        if self.max_lanes is not None:
            return self.max_lanes
        return MAX_LANES if exact else min(max(LANES_IN_ALL // self.samples, LEAST_LANES), MAX_LANES)


@dataclass(frozen=True)
class Estimate:
    """The outcome.  `gradient[result][parameter]` has the shape `[*result, *parameter]`; all moments are float64.

    exact        nothing random was involved: the standard errors are 0 by right
    reached      the target standard error (True where none was asked for)
    per_run      gradients of single runs `[runs, *result, *parameter]`, when asked for
    tails        by result and parameter, where the tails are so heavy that the standard error cannot be trusted
    other        the gradient with the other baseline (of a pilot)
    draws        of `moments_of_run`: results of single runs `[runs, *result]`
    """

    value: dict[str, Moments]
    gradient: dict[str, dict[str, Moments]]
    samples: int
    requested: int
    seed: int
    plan: Plan | None
    seconds: float
    interrupted: bool = False
    exact: bool = False
    reached: bool = True
    per_run: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False)
    draws: dict[str, Tensor] = field(default_factory=dict, repr=False)
    tails: dict[tuple[str, str], Tail] = field(default_factory=dict, repr=False)
    other: dict[str, dict[str, Moments]] = field(default_factory=dict, repr=False)


class _NotFinite(Exception):
    """A gradient is not finite under plain derivatives."""


# ----------------------------------------------------------------------------------------------------- a block
class _Session:
    """One attempt at an estimate: a plan, the values, a generator, and the blocks made so far."""

    def __init__(
        self, resolved: Resolved, plan: Plan | None, parameters: dict[str, Tensor], data: dict[str, Value],
        settings: Settings, safe: bool, results: bool,
    ):
        self.resolved = resolved
        self.plan = plan
        self.exact = plan is not None and plan.exact
        self.choices: Mapping[int, Choice] = {} if plan is None else plan.choices
        scored = [choice for choice in self.choices.values() if choice.estimator == "score"]
        self.sums = find_sums(resolved) if scored and all(choice.options["credit"] for choice in scored) else None
        self.guards = Guards({} if plan is None else plan.guards)
        self.settings = settings
        self.safe = safe
        self.results = results
        self.context = Context(torch.float64 if self.exact else DTYPES[settings.dtype], torch.device(settings.device))
        self.parameters = {name: value.to(self.context.dtype) for name, value in parameters.items()}
        self.data = {
            name: value.to(self.context.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in data.items()
        }
        self.generator = torch.Generator(device=self.context.device)
        self.generator.manual_seed(settings.seed)
        self.state = self.generator.get_state()  # at the start of the present block

    def interpreter(self, kind: type[Interpreter], counter: Counter | None = None, **more: Any) -> Interpreter:
        """An interpreter for one block."""
        settings = self.settings
        if kind is Interpreter and self.sums is not None:
            kind, more = Crediting, {"sums": self.sums}
        machine = kind(
            self.resolved, self.choices, self.context, self.generator,
            limits=Limits(settings.max_steps, settings.max_depth, settings.lanes(self.exact), settings.max_rounds),
            guards=self.guards, safe=self.safe,
            results=self.results, wanted=settings.of, counter=counter, **more,
        )
        machine.stands_for = settings.samples if self.exact else 1
        return machine

    def leaves(self, runs: int) -> dict[str, Tensor]:
        """Parameters with a row per run, each the start of a derivative."""
        return {
            name: value.detach().expand(runs, *value.shape).clone().requires_grad_() for name, value in self.parameters.items()
        }

    def uniform(self) -> dict[str, Tensor]:
        """Parameters that are the same in every lane and are not differentiated."""
        return {name: value.detach().unsqueeze(0) for name, value in self.parameters.items()}

    def measured(self, runs: int, parameters: Leaves) -> tuple[int, Counter, dict[str, Tensor], Outcome]:
        """The first block, with as many of `runs` runs as it can hold."""
        while True:
            counter = Counter(TOO_BIG if runs > LEAST_LANES else 2**62)
            values = parameters(runs)
            try:
                return runs, counter, values, self.interpreter(Interpreter, counter).run(values, self.data, runs)
            except TooBig:
                runs = max(runs // 8, LEAST_LANES)
                self.generator.set_state(self.state)

    def blocks(self, parameters: Leaves) -> Iterator[tuple[int, dict[str, Tensor], Outcome]]:
        """Run block after block until all samples are made: (runs, parameters, outcome)."""
        samples, fixed = self.settings.samples, self.settings.block_lanes
        first = min(samples, fixed or (samples if samples <= ONE_BLOCK else FIRST_BLOCK))
        if not self.resolved.sites or self.exact:
            first = 1
        runs, counter, values, outcome = self.measured(first, parameters)
        yield runs, values, outcome
        done = runs
        del values, outcome
        if fixed is None:
            widest, kept = max(counter.widest // runs, 1), max(counter.kept // runs, 1)
            fixed = max(min(MOST_LANES, max(LANES_OF_A_BLOCK // widest, 256), KEPT_BY_A_BLOCK // kept), LEAST_LANES)
        while done < samples:
            left = samples - done
            count = -(-left // fixed)  # blocks that are left, nearly equal, so that none has a single run
            runs = -(-left // count)
            self.state = self.generator.get_state()
            values = parameters(runs)
            outcome = self.interpreter(Interpreter).run(values, self.data, runs)
            yield runs, values, outcome
            done += runs
            del values, outcome


def _result(value: Value, context: Context) -> Tensor:
    """A result as `[runs or 1, *event]`."""
    assert not isinstance(value, Ragged)
    return numeric(value, context.dtype, context.device)


def _names(resolved: Resolved, settings: Settings, results: bool) -> tuple[str, ...]:
    return (*(resolved.results if results else ()), *(name for name in settings.of))


@contextmanager
def _room(grad: bool) -> Iterator[None]:
    """The caller's grad mode and recursion limit are put back afterwards."""
    with torch.set_grad_enabled(grad), deep_recursion(DEPTH):
        yield


# -------------------------------------------------------------------------------------------------- collecting
class _Collected:
    """Moments of every result and of its gradient, entry by entry."""

    def __init__(self, names: tuple[str, ...], settings: Settings):
        self.names = names
        self.settings = settings
        self.done = 0
        self.exact = False
        self.session_exact = False
        self.interrupted = False
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.value: dict[str, Accumulator] = {}
        self.gradient: dict[str, dict[str, list[Accumulator]]] = {}
        self.kept: dict[str, dict[str, list[Tensor]]] = {}
        self.draws: dict[str, list[Tensor]] = {name: [] for name in names}
        self.tails: dict[tuple[str, str], TailWatch] = {}
        self.other: dict[str, dict[str, list[Accumulator]]] = {}

    def add_value(self, session: _Session, name: str, value: Tensor, runs: int) -> None:
        """Take in the results `[runs or 1, *shape]` of a block; P0303 where blocks differ in shape."""
        shape = tuple(value.shape[1:])
        if self.shapes.setdefault(name, shape) != shape:
            where = session.interpreter(Interpreter).where
            raise where.ragged(name, Ragged((self.shapes[name], shape)), session.resolved.program.body.statements[-1].span)
        accumulator = self.value.setdefault(name, Accumulator(shape, value.device))
        if value.shape[0] == 1:
            accumulator.add_constant(runs, value[0])
        else:
            accumulator.add(value)

    def keep_draws(self, name: str, value: Tensor, runs: int) -> None:
        """Keep the first results of single runs."""
        room = KEPT_DRAWS - self.done
        if room > 0:
            self.draws[name].append(value.detach().expand(runs, *value.shape[1:])[:room])

    def watch_tails(self, name: str, parameter: str, entry: int, gradient: Tensor | None) -> None:
        """Look at the first runs of the first entries: do they let the standard error be trusted?"""
        if gradient is None or entry or self.done >= WATCHED_RUNS or len(self.tails) > WATCHED_GRADIENTS or self.session_exact:
            return
        self.tails.setdefault((name, parameter), TailWatch()).add(gradient.detach())

    def add_gradient(
        self, name: str, parameter: str, entry: int, gradient: Tensor | None, leaf: Tensor, other: bool = False
    ) -> Accumulator:
        """Take in the gradients `[runs, *parameter]` of one result entry (None: zero), with the usual or the `other` baseline."""
        entries = (self.other if other else self.gradient).setdefault(name, {}).setdefault(parameter, [])
        if entry == len(entries):
            entries.append(Accumulator(tuple(leaf.shape[1:]), leaf.device))
        if gradient is None:
            entries[entry].add_constant(leaf.shape[0], torch.zeros_like(leaf[0]))
        else:
            entries[entry].add(gradient)
        if self.settings.keep_runs and not other and self.done < KEPT_RUNS:
            rows = torch.zeros_like(leaf) if gradient is None else gradient
            self.kept.setdefault(name, {}).setdefault(f"{parameter}\0{entry}", []).append(
                rows[: KEPT_RUNS - self.done].detach().clone()
            )
        return entries[entry]

    def errors(self) -> Iterator[Tensor]:
        """Every standard error so far."""
        for accumulator in self.value.values():
            yield accumulator.moments(self.exact).se
        for rows in self.gradient.values():
            for entries in rows.values():
                for accumulator in entries:
                    yield accumulator.moments(self.exact).se

    def reached(self) -> bool:
        """Whether every standard error is small enough."""
        target = self.settings.target_se
        if target is None or self.exact:
            return True
        return self.done >= min(LEAST_FOR_TARGET, self.settings.samples) and all(
            bool((error <= target).all()) for error in self.errors()
        )

    def estimate(self, plan: Plan | None, started: float) -> Estimate:
        """What there is."""
        gradients: dict[str, dict[str, Moments]] = {}
        per_run: dict[str, dict[str, Tensor]] = {}
        for name, rows in self.gradient.items():
            shape = self.shapes[name]
            gradients[name] = {p: _stacked([e.moments(self.exact) for e in entries], shape) for p, entries in rows.items()}
            if self.settings.keep_runs:
                per_run[name] = {p: self._kept(name, p, len(entries)) for p, entries in rows.items()}
        return Estimate(
            value={name: self.value[name].moments(self.exact) for name in self.names}, gradient=gradients,
            samples=self.settings.samples if self.exact else self.done, requested=self.settings.samples,
            seed=self.settings.seed, plan=plan, seconds=time.perf_counter() - started, interrupted=self.interrupted,
            exact=self.exact, reached=self.reached(), per_run=per_run,
            draws={name: torch.cat(parts) for name, parts in self.draws.items() if parts},
            other={
                name: {p: _stacked([e.moments(self.exact) for e in entries], self.shapes[name]) for p, entries in rows.items()}
                for name, rows in self.other.items()
            },
            tails={key: tail for key, watch in self.tails.items() if (tail := watch.diagnosis()).heavy},
        )

    def _kept(self, name: str, parameter: str, entries: int) -> Tensor:
        columns = [torch.cat(self.kept[name][f"{parameter}\0{entry}"]) for entry in range(entries)]
        if not self.shapes[name]:
            return columns[0]
        return torch.stack(columns, dim=1).reshape(columns[0].shape[0], *self.shapes[name], *columns[0].shape[1:])


def _stacked(moments: list[Moments], shape: tuple[int, ...]) -> Moments:
    """Moments of the entries of a result as one array `[*shape, *parameter]`."""
    if not shape:
        return moments[0]
    parts = ([m.mean for m in moments], [m.se for m in moments], [m.sd for m in moments])
    mean, se, sd = (torch.stack(part).reshape(*shape, *part[0].shape) if part else torch.zeros(shape) for part in parts)
    return Moments(mean, se, sd)


# ---------------------------------------------------------------------------------------------------- gradient
def gradient(
    resolved: Resolved, make_plan: MakePlan, parameters: Mapping[str, object], data: Mapping[str, object],
    settings: Settings, progress: Progress = None,
) -> Estimate:
    """The expected results and their derivatives in every parameter, with standard errors."""
    started = time.perf_counter()
    bound, known = bind_values(resolved, parameters, data, DTYPES[settings.dtype], torch.device(settings.device))
    if not bound:
        title = "there is nothing to differentiate: the program has no parameters"
        raise ProbError(Diagnostic("P0606", title, source=resolved.program.source))
    lessons = Lessons()
    safe = False
    while True:
        plan = make_plan(lessons)
        if plan.exact:
            bound, known = bind_values(resolved, parameters, data, torch.float64, torch.device(settings.device))
        session = _Session(resolved, plan, bound, known, settings, safe, results=not settings.of)
        collected = _Collected(_names(resolved, settings, not settings.of), settings)
        try:
            with _room(grad=True):
                collected.session_exact = session.exact
                _differentiate(session, collected, progress)
            return collected.estimate(plan, started)
        except GuardBroken as guard:
            lessons = lessons.broke(guard.place)
        except TooManyLanes as many:
            lessons = lessons.crowd(many.site.index)
        except _NotFinite:
            safe = True


def _drive(
    session: _Session, collected: _Collected, parameters: Leaves,
    consume: Callable[[int, dict[str, Tensor], Outcome], None], progress: Progress,
) -> None:
    """Make and consume blocks until a rule says stop; an interruption keeps the blocks that are complete."""
    settings = collected.settings
    try:
        for runs, values, outcome in session.blocks(parameters):
            consume(runs, values, outcome)
            collected.done += runs
            collected.exact = session.exact or (not outcome.random and collected.done == runs)
            if progress is not None:
                progress(collected.done, settings.samples)
            if collected.exact or (settings.target_se is not None and collected.reached()):
                return
            del values, outcome
    except KeyboardInterrupt:
        if not collected.done:
            raise
        collected.interrupted = True


def _differentiate(session: _Session, collected: _Collected, progress: Progress) -> None:
    def consume(runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> None:
        weighings = []
        for number, (name, found) in enumerate(zip(collected.names, outcome.values, strict=True)):
            weighing = Weighing(outcome, number, _result(found, session.context), runs)
            collected.add_value(session, name, weighing.value, runs)
            if not collected.value[name].finite:
                raise value_problem(session, runs, leaves, collected.names)
            weighings.append(weighing)
        few = not session.exact and session.settings.samples <= FEW
        for number, (name, weighing) in enumerate(zip(collected.names, weighings, strict=True)):
            for found_at in weighing.gradients(list(leaves.values()), number == len(weighings) - 1, few):
                for place, (parameter, leaf) in enumerate(leaves.items()):
                    accumulator = collected.add_gradient(name, parameter, found_at.entry, found_at.per_run[place], leaf)
                    collected.watch_tails(name, parameter, found_at.entry, found_at.per_run[place])
                    if found_at.pseudo and (spread := found_at.pseudo[place]) is not None:
                        accumulator.widen(spread)
                    if found_at.other:
                        collected.add_gradient(name, parameter, found_at.entry, found_at.other[place], leaf, other=True)
                    if not accumulator.finite:
                        if not session.safe:
                            raise _NotFinite
                        raise gradient_problem(session, runs, session.leaves(runs), name, parameter, number, found_at.entry)

    _drive(session, collected, session.leaves, consume, progress)


# ------------------------------------------------------------------------------------------------ run, expect
def moments_of_run(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    progress: Progress = None,
) -> Estimate:
    """The results and the variables in `of`, sampled without derivatives: no plan is needed."""
    started = time.perf_counter()
    bound, known = bind_values(resolved, parameters, data, DTYPES[settings.dtype], torch.device(settings.device))
    session = _Session(resolved, None, bound, known, settings, False, results=True)
    collected = _Collected(_names(resolved, settings, True), settings)

    def consume(runs: int, values: dict[str, Tensor], outcome: Outcome) -> None:
        for name, found in zip(collected.names, outcome.values, strict=True):
            value = _result(found, session.context)
            collected.add_value(session, name, value, runs)
            if not collected.value[name].finite:
                raise value_problem(session, runs, values, collected.names)
            collected.keep_draws(name, value, runs)

    with _room(grad=False):
        _drive(session, collected, lambda runs: session.uniform(), consume, progress)
    return collected.estimate(None, started)


def expectation(
    resolved: Resolved, make_plan: MakePlan, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings
) -> Tensor | dict[str, Tensor]:
    """Estimates of the expected results that carry their derivatives: one block, differentiable again where the
    estimators allow it.  A single result is not keyed."""
    bound, known = bind_values(resolved, parameters, data, DTYPES[settings.dtype], torch.device(settings.device))
    names = _names(resolved, settings, not settings.of)
    lessons = Lessons()
    while True:
        session = _Session(resolved, make_plan(lessons), bound, known, settings, True, results=not settings.of)
        runs = 1 if session.exact else settings.samples
        leaves = {name: value.expand(runs, *value.shape) for name, value in session.parameters.items()}
        try:
            with _room(grad=True):
                outcome = session.interpreter(Interpreter).run(leaves, session.data, runs)
                found = [
                    expected(outcome, number, _result(value, session.context), runs).to(DTYPES[settings.dtype])
                    for number, value in enumerate(outcome.values)
                ]
                if not all(bool(torch.isfinite(value).all()) for value in found):
                    raise value_problem(session, runs, leaves, names)
        except GuardBroken as guard:
            lessons = lessons.broke(guard.place)
            continue
        except TooManyLanes as many:
            lessons = lessons.crowd(many.site.index)
            continue
        return found[0] if len(found) == 1 else dict(zip(names, found, strict=True))
