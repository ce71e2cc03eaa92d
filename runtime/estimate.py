"""Blocks of runs -> mean, standard error, gradient; when to stop, and what to do when something gives way.

For each run i with result y and score S (the sum of its log-probabilities at score sites), with W = exp(S - stop(S)),
    Y_i = W y + (1 - W) b_i,      b_i the mean result of the other runs of the block (leave-one-out, Kool et al. 2019),
so dY_i = dy + (y - b_i) dS: one backward pass per result entry.  Every run has its own copy of the parameters, so the pass
gives the gradient of every single run, and their spread is the standard error.  The baselines tie the runs together a
little; that matters with few of them, so there the jackknife's error is computed as well and the larger one reported.

Blocks keep memory flat and the numbers in cache.  The first one is small and measures how many numbers a run holds; the
others follow from that by a fixed rule, so the same seed gives the same answer.  Two things make the estimate start afresh
from the same seed: an assumption of the plan that fails (`GuardBroken`: plan again without it) and a gradient that is not
finite (go on with derivatives that are 0 where nobody asks for them, `singular.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..dsl.diagnostics import Diagnostic, ProbError
from ..dsl.limits import MAX_DEPTH, MAX_STEPS
from ..dsl.names import Resolved
from ..dsl.plan import Choice, Plan
from ..dsl.syntax import deep_recursion
from .interpreter import Context, Interpreter, Limits, Outcome
from .lanes import Ragged, Value
from .moments import Accumulator, Moments
from .operations import numeric
from .trace import gradient_problem, value_problem
from .values import bind_values
from .watch import Counter, GuardBroken, Guards, TooBig

__all__ = ["Estimate", "Moments", "Settings", "expectation", "gradient", "moments_of_run"]

FIRST_BLOCK = 1024  # runs of the block that measures
ONE_BLOCK = 2048  # up to so many runs are one block
MOST_LANES = 65_536
LANES_OF_A_BLOCK = 2**18  # numbers in the widest value of a block, at most
KEPT_BY_A_BLOCK = 2**24  # numbers that a block keeps for the backward pass, about
TOO_BIG = 2**26  # numbers at which a block that is being measured is started again with fewer runs
LEAST_LANES = 16
KEPT_RUNS = 100_000  # gradients of single runs
KEPT_DRAWS = 1_000_000  # results of single runs
FEW = 200  # up to so many runs a jackknife checks the standard error of a score
LEAST_FOR_JACKKNIFE = 3
LEAST_FOR_TARGET = 1000  # runs before a standard error is believed
DTYPES = {"float32": torch.float32, "float64": torch.float64}
DEPTH = 1_000_000  # of Python calls

MakePlan = Callable[[frozenset[int]], Plan]
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
    block_lanes: int | None = None
    keep_runs: bool = False


@dataclass(frozen=True)
class Estimate:
    """The outcome.  `gradient[result][parameter]` has the shape `[*result, *parameter]`; all moments are float64.

    exact        nothing random was involved: the standard errors are 0 by right
    reached      the target standard error (True where none was asked for)
    per_run      gradients of single runs `[runs, *result, *parameter]`, when asked for
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
        self.choices: Mapping[int, Choice] = {} if plan is None else plan.choices
        self.guards = Guards({} if plan is None else plan.guards)
        self.parameters = parameters
        self.data = data
        self.settings = settings
        self.safe = safe
        self.results = results
        self.context = Context(DTYPES[settings.dtype], torch.device(settings.device))
        self.generator = torch.Generator(device=self.context.device)
        self.generator.manual_seed(settings.seed)
        self.state = self.generator.get_state()  # at the start of the present block

    def interpreter(self, kind: type[Interpreter], counter: Counter | None = None) -> Interpreter:
        """An interpreter for one block."""
        settings = self.settings
        return kind(
            self.resolved, self.choices, self.context, self.generator,
            limits=Limits(settings.max_steps, settings.max_depth), guards=self.guards, safe=self.safe,
            results=self.results, wanted=settings.of, counter=counter,
        )

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
        if not self.resolved.sites:
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
        self.interrupted = False
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.value: dict[str, Accumulator] = {}
        self.gradient: dict[str, dict[str, list[Accumulator]]] = {}
        self.kept: dict[str, dict[str, list[Tensor]]] = {}
        self.draws: dict[str, list[Tensor]] = {name: [] for name in names}

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

    def add_gradient(self, name: str, parameter: str, entry: int, gradient: Tensor | None, leaf: Tensor) -> Accumulator:
        """Take in the gradients `[runs, *parameter]` of one result entry (None: zero)."""
        entries = self.gradient.setdefault(name, {}).setdefault(parameter, [])
        if entry == len(entries):
            entries.append(Accumulator(tuple(leaf.shape[1:]), leaf.device))
        if gradient is None:
            entries[entry].add_constant(leaf.shape[0], torch.zeros_like(leaf[0]))
        else:
            entries[entry].add(gradient)
        if self.settings.keep_runs and self.done < KEPT_RUNS:
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
    broken: frozenset[int] = frozenset()
    safe = False
    while True:
        plan = make_plan(broken)
        session = _Session(resolved, plan, bound, known, settings, safe, results=not settings.of)
        collected = _Collected(_names(resolved, settings, not settings.of), settings)
        try:
            with _room(grad=True):
                _differentiate(session, collected, progress)
            return collected.estimate(plan, started)
        except GuardBroken as guard:
            broken |= {guard.place}
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
            collected.exact = not outcome.random and collected.done == runs
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
        values = [_result(value, session.context) for value in outcome.values]
        for name, value in zip(collected.names, values, strict=True):
            collected.add_value(session, name, value, runs)
            if not collected.value[name].finite:
                raise value_problem(session, runs, leaves, collected.names)
        for number, (name, value) in enumerate(zip(collected.names, values, strict=True)):
            last = number == len(values) - 1
            few = session.settings.samples <= FEW
            for entry, gradients, pseudo in _gradients(value, outcome.score, list(leaves.values()), runs, last, few):
                for place, (parameter, leaf) in enumerate(leaves.items()):
                    accumulator = collected.add_gradient(name, parameter, entry, gradients[place], leaf)
                    if pseudo and (spread := pseudo[place]) is not None:
                        accumulator.widen(spread)
                    if not accumulator.finite:
                        if not session.safe:
                            raise _NotFinite
                        raise gradient_problem(session, runs, session.leaves(runs), name, parameter, number, entry)

    _drive(session, collected, session.leaves, consume, progress)


def without_self(value: Tensor) -> Tensor:
    """`y_i - b_i` with b_i the mean of the others `[runs]` (0 where there are none)."""
    value = value.detach()
    runs = value.shape[0]
    return (value - value.mean()) * (runs / (runs - 1)) if runs > 1 else value


def _gradients(
    value: Tensor, score: Tensor | None, leaves: list[Tensor], runs: int, last: bool, few: bool = False
) -> Iterator[tuple[int, list[Tensor | None], list[Tensor | None]]]:
    """For each entry of a result `[runs or 1, *shape]` the gradient of every run in every leaf.

    With `few`, also the jackknife's pseudo-values for the standard error (else an empty list).
    """
    flat = value.reshape(value.shape[0], -1)
    entries = flat.shape[1]
    scored = score if value.shape[0] == runs else None  # the same in every run: nothing to weigh
    weighed: tuple[Tensor | None, ...] | None = None
    if scored is not None and (entries > 1 or few):
        weighed = torch.autograd.grad(scored.sum(), leaves, retain_graph=True, allow_unused=True)
    for entry in range(entries):
        keep = not (last and entry == entries - 1)
        column = value if value.dim() == 1 else flat[:, entry]
        outputs: list[Tensor] = []
        incoming: list[Tensor] = []
        if column.requires_grad:
            outputs.append(column.expand(runs))
            incoming.append(torch.ones_like(outputs[0]))
        if scored is not None and weighed is None:
            outputs.append(scored.expand(runs))
            incoming.append(without_self(column))
        path: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if outputs:
            path = torch.autograd.grad(outputs, leaves, incoming, retain_graph=keep, allow_unused=True)
        if weighed is None:
            yield entry, list(path), []
            continue
        weight = without_self(column)
        found = [_plus(part, density, weight) for part, density in zip(path, weighed, strict=True)]
        pseudo: list[Tensor | None] = []
        if few and runs > LEAST_FOR_JACKKNIFE:
            weight = weight * ((runs - 1) / (runs - 2))
            pseudo = [
                _plus(part, None if density is None else density - density.mean(0), weight)
                for part, density in zip(path, weighed, strict=True)
            ]
        yield entry, found, pseudo


def _plus(path: Tensor | None, density: Tensor | None, weight: Tensor) -> Tensor | None:
    """The pathwise part plus the weighted score of one entry."""
    if density is None:
        return path
    scored = density * weight.reshape(-1, *(1,) * (density.dim() - 1))
    return scored if path is None else path + scored


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
    runs = settings.samples
    broken: frozenset[int] = frozenset()
    while True:
        session = _Session(resolved, make_plan(broken), bound, known, settings, True, results=not settings.of)
        leaves = {name: value.expand(runs, *value.shape) for name, value in bound.items()}
        try:
            with _room(grad=True):
                outcome = session.interpreter(Interpreter).run(leaves, known, runs)
                found = [_expected(_result(value, session.context), outcome.score) for value in outcome.values]
                if not all(bool(torch.isfinite(value).all()) for value in found):
                    raise value_problem(session, runs, leaves, names)
        except GuardBroken as guard:
            broken |= {guard.place}
            continue
        return found[0] if len(found) == 1 else dict(zip(names, found, strict=True))


def _expected(value: Tensor, score: Tensor | None) -> Tensor:
    """The mean over the runs of `W y + (1 - W) b`."""
    if score is None or (value.shape[0] == 1 and score.shape[0] > 1):
        return value.mean(0)
    runs = value.shape[0]
    weight = torch.exp(score - score.detach()).reshape(-1, *(1,) * (value.dim() - 1))
    detached = value.detach()
    baseline = (detached.sum(0) - detached) / (runs - 1) if runs > 1 else torch.zeros_like(detached)
    return (weight * value + (1 - weight) * baseline).mean(0)
