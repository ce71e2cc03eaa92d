"""Blocks of runs: how many lanes each has, what it draws from, and the threads that make them.

Blocks keep memory flat and the numbers in cache.  The first one measures how many numbers a run holds, and is started again
with fewer runs where they are too many; the sizes of the others follow from that by a fixed rule.  Every block has a
generator of its own, seeded from the seed and its number, so it does not matter who makes it and when: on the CPU, blocks are
made in as many threads as torch uses, each with one core, and taken in in order (torch's own threads share out a
single operation, which does not pay for short ones, and random numbers are drawn by one of them alone).  A function that
the embedding program passed is called from its own thread only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..dsl.additive import find_sums
from ..dsl.diagnostics import Diagnostic, ProbError
from ..dsl.limits import LEAST_LANES, MAX_DEPTH, MAX_ROUNDS, MAX_STEPS, lanes_of
from ..dsl.names import Resolved
from ..dsl.plan import BIASED, Choice, Plan
from ..dsl.syntax import deep_recursion
from .compiled import inputs_of, obtain
from .credit import Crediting
from .interpreter import Context, Interpreter, Limits, Outcome
from .lanes import Ragged, Value
from .lifting import Leaves, Lifter, Slope, liftable, ordered
from .meter import Meter, Stop
from .operations import numeric
from .quasi import LEAST_REPLICATES, MOST_DIMENSIONS, Points, replicates
from .recording import NotCompiled
from .sizes import divided, places, sizes_for
from .threads import in_order, pool
from .watch import Counter, Guards, TooBig

LEAST_BLOCK = 1024  # runs of the first block where it may be enough
LEAST_TIMED = 64  # or where there may be no time for more
KEPT_RUNS = 100_000  # gradients of single runs
WATCHED_RUNS = 16_384  # whose gradients' tails are looked at
DTYPES = {"float32": torch.float32, "float64": torch.float64}
DEPTH = 1_000_000  # of Python calls

T = TypeVar("T")
Start = Callable[["Session", int], dict[str, Tensor]]  # parameters of a block of so many runs


@dataclass(frozen=True)
class Settings:
    """How to run.  `deadline`: of time.monotonic(), when to stop with what there is; `until`: when to give up in the middle
    (None: at the deadline).  `most_work`: numbers that may be touched (`meter.py`).  `block_lanes` overrides the size of
    blocks, `of` names variables in place of the results, `sampler` is random or sobol, `rank` and `world_size` which of how
    many processes this is, `compile` asks for compiled blocks (`compiled.py`)."""

    samples: int = 10_000
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    target_se: float | None = None
    deadline: float | None = None
    until: float | None = None
    most_work: int | None = None
    sampler: str = "random"
    rank: int = 0
    world_size: int = 1
    of: tuple[str, ...] = ()
    max_steps: int = MAX_STEPS
    max_depth: int = MAX_DEPTH
    max_lanes: int | None = None
    max_rounds: int = MAX_ROUNDS
    block_lanes: int | None = None
    keep_runs: bool = False
    compile: bool = False

    def lanes(self, exact: bool) -> int:
        """How many lanes enumeration may make of one run."""
        return lanes_of(self.samples, exact, self.max_lanes)


def block_seed(seed: int, number: int) -> int:
    """The seed of a block: different for all blocks of a run (torch's generator on the CPU looks at 32 bits only)."""
    mixed = (seed + 0x9E3779B97F4A7C15) % 2**64  # splitmix64 (Steele, Lea & Flood 2014)
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return ((mixed ^ (mixed >> 31)) + number * 0x9E3779B9) % 2**32


class Session:
    """One attempt at an estimate: a plan, the values, and the blocks made so far.  `at` gives the session of one block."""

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
        self.sizes = sizes_for(self.context.device)
        self.start = 0  # runs before this block
        self.lifting = (
            self.parameters != {} and plan is not None and settings.samples > 1 and not safe and not self.exact
            and liftable(plan)
        )
        self.lifter: Lifter | None = None
        self.points = Leaves([])
        self.slopes: list[list[Slope | None]] = []
        self.masked = False
        self.stop = Stop()
        self.compile_seconds: float | None = None
        self.begin(self.seed_of(0))

    def seed_of(self, number: int) -> int:
        """The seed of a block; those of all processes differ."""
        return block_seed(self.settings.seed, number * self.settings.world_size + self.settings.rank)

    def begin(self, seed: int) -> None:
        """A generator for what comes next."""
        self.seed = seed
        self.generator = torch.Generator(device=self.context.device)
        self.generator.manual_seed(seed)

    def place(self, dimensions: int, runs: int) -> None:
        """Draw from the points of one scrambling from now on."""
        self.generator = Points(dimensions, runs, self.seed)

    def again(self) -> None:
        """Back to the beginning of the block."""
        self.generator.manual_seed(self.seed)
        if isinstance(self.generator, Points):
            self.generator.used = 0

    def at(self, number: int, start: int) -> Session:
        """The session of one block, with guards and a generator of its own."""
        block = copy.copy(self)
        block.start = start
        block.guards = self.guards.fork()
        if self.plan is None or not ordered(self.resolved, self.plan):
            block.slopes = []
        elif number:
            block.slopes = list(self.slopes)
        block.begin(self.seed_of(number))
        return block

    def interpreter(self, kind: type[Interpreter], counter: Counter | None = None, **more: Any) -> Interpreter:
        """An interpreter for one block."""
        settings = self.settings
        if kind is Interpreter and self.sums is not None:
            kind, more = Crediting, {"sums": self.sums}
            if counter is not None:
                counter.taken_apart = True
        machine = kind(
            self.resolved, self.choices, self.context, self.generator,
            limits=Limits(settings.max_steps, settings.max_depth, settings.lanes(self.exact), settings.max_rounds),
            guards=self.guards, safe=self.safe, lifter=self.lifter,
            results=self.results, wanted=settings.of, counter=counter, meter=self.meter(), **more,
        )
        machine.masked = self.masked
        machine.stands_for = settings.samples if self.exact else 1
        return machine

    def meter(self) -> Meter:
        """What a block may spend."""
        settings = self.settings
        until = settings.deadline if settings.until is None else settings.until
        return Meter(math.inf if settings.most_work is None else settings.most_work, until, self.stop)

    def leaves(self, runs: int) -> dict[str, Tensor]:
        """Parameters, each the start of a derivative: with a row per run, or lifted where they meet the runs."""
        if not self.lifting or runs == 1:
            return self.expanded(runs)
        leaves = {name: value.detach().unsqueeze(0).requires_grad_() for name, value in self.parameters.items()}
        self.points = self.lifter = Lifter(list(leaves.values()), runs, self.slopes)
        return leaves

    def expanded(self, runs: int) -> dict[str, Tensor]:
        """Parameters with a row per run, each the start of a derivative."""
        self.lifter = None
        leaves = {name: value.detach().expand(runs, *value.shape).requires_grad_() for name, value in self.parameters.items()}
        self.points = Leaves(list(leaves.values()))
        return leaves

    def uniform(self, runs: int = 1) -> dict[str, Tensor]:
        """Parameters that are the same in every lane and are not differentiated."""
        return {name: value.detach().unsqueeze(0) for name, value in self.parameters.items()}

    def result(self, value: Value) -> Tensor:
        """A result as `[runs or 1, *event]`."""
        assert not isinstance(value, Ragged)
        return numeric(value, self.context.dtype, self.context.device)

    # ---------------------------------------------------------------------------------------------------- blocks
    def blocks(
        self, leaves: Start, take: Callable[[Session, int, dict[str, Tensor], Outcome], T]
    ) -> Generator[tuple[int, T], None, None]:
        """Run block after block until all samples are made; gives how many runs, and what `take` made of each block."""
        if self.settings.sampler == "sobol" and not self.exact:
            if self.settings.compile:
                raise NotCompiled("it runs on Sobol points")
            yield from self._replicates(leaves, take)
            return
        samples, fixed = self.settings.samples, self.settings.block_lanes
        growing = self.settings.target_se is not None or self.settings.deadline is not None
        least = LEAST_BLOCK if self.settings.deadline is None or self.settings.target_se is not None else LEAST_TIMED
        compiling = self.settings.compile and self.plan is not None and not self.safe and not self.exact
        if compiling and self.resolved.external:
            raise NotCompiled("it calls functions of the program that embeds it")
        alone, many = (WATCHED_RUNS, WATCHED_RUNS) if compiling else (self.sizes.one_block, self.sizes.first)
        first = min(samples, fixed or (least if growing else samples if samples <= alone else many))
        if not self.resolved.sites or self.exact:
            first = 1
        block, runs, counter = self.at(0, 0), first, self.sizes.counter(first)
        values = leaves(block, runs)
        outcome = block.attempt(runs, values, counter)
        relaxed = any(choice.estimator in BIASED for choice in self.choices.values())  # those keep much
        simple = not (growing or compiling or fixed or relaxed or self.resolved.external) and self.context.device.type == "cpu"
        if outcome is None and simple and runs == samples:
            try:
                yield from self._side_by_side(leaves, take, divided(samples, self.sizes.lanes(counter, runs), None))
                return
            except TooBig:
                pass  # it keeps more than its width tells
        while outcome is None:
            runs = min(self.sizes.lanes(counter, runs), max(runs // 16, LEAST_LANES))
            counter = self.sizes.counter(runs)
            values = leaves(block, runs)
            outcome = block.attempt(runs, values, counter)
        made = take(block, runs, values, outcome)
        del values, outcome
        self.guards.join(block.guards)
        yield runs, made
        left = samples - runs
        most = fixed or self.sizes.shared(self.sizes.lanes(counter, runs), left)
        rest = divided(left, most, runs if growing else None, compiling)
        if compiling:
            yield from self._compiled(leaves, take, runs, rest)
        elif rest:
            yield from self._rest(leaves, take, runs, rest)

    def _replicates(
        self, leaves: Start, take: Callable[[Session, int, dict[str, Tensor], Outcome], T]
    ) -> Generator[tuple[int, T], None, None]:
        """Blocks that are scramblings of the same points; a pass with two runs counts the dimensions first."""
        if self.settings.samples < 2 * LEAST_REPLICATES:
            raise ProbError(Diagnostic("P0604", f"`samples` must be at least {2 * LEAST_REPLICATES} with the Sobol sampler"))
        trial = self.at(0, 0)
        counting = trial.generator = Points()
        counter = Counter(2**62, 2**62)
        trial.guards = Guards({})
        trial.interpreter(Interpreter, counter).run(self.uniform(), self.data, 2)
        if counting.used > MOST_DIMENSIONS:
            title = f"a run draws {counting.used} numbers, and Sobol points have at most {MOST_DIMENSIONS} coordinates"
            raise ProbError(Diagnostic("P0408", title, source=self.resolved.program.source))
        count, points = replicates(self.settings.samples, self.sizes.lanes(counter, 2))
        grad = torch.is_grad_enabled()

        def make(number: int, start: int, runs: int) -> tuple[Session, T]:
            with torch.set_grad_enabled(grad):
                block = self.at(number, start)
                block.place(counting.used, runs)
                return block, block.made(leaves, take, runs)

        todo = [(number, number * points, points) for number in range(count)]
        yield from self._taken(make, todo[:1])  # the others share its slopes
        yield from self._taken(make, todo[1:])

    def attempt(self, runs: int, values: dict[str, Tensor], counter: Counter) -> Outcome | None:
        """Run this block, counting; None where it is too large, and it is as if it had not been."""
        try:
            return self.interpreter(Interpreter, counter).run(values, self.data, runs)
        except TooBig:
            self.again()
            self.points.release()
            self.guards = self.guards.fork()
            return None

    def _side_by_side(
        self, leaves: Start, take: Callable[[Session, int, dict[str, Tensor], Outcome], T], sizes: list[int]
    ) -> Iterator[tuple[int, T]]:
        """All blocks at once, of a size that follows from their width; TooBig where the first one keeps too much.  Another
        one that keeps too much waits to hear that the first does not."""
        grad = torch.is_grad_enabled()
        verdict: Future[bool] = Future()

        def make(number: int, start: int, runs: int) -> tuple[Session, T]:
            with torch.set_grad_enabled(grad):
                outcome = None
                try:
                    block = self.at(number, start)
                    values = leaves(block, runs)
                    outcome = block.attempt(runs, values, self.sizes.counter(runs))
                finally:
                    if not number:
                        verdict.set_result(outcome is not None)
                if outcome is None:
                    if not verdict.result():
                        raise TooBig
                    return block, block.made(leaves, take, runs)
                return block, take(block, runs, values, outcome)

        yield from self._taken(make, [(number - 1, start, runs) for number, start, runs in places(0, sizes)])

    def _rest(
        self, leaves: Start, take: Callable[[Session, int, dict[str, Tensor], Outcome], T], start: int, sizes: list[int]
    ) -> Iterator[tuple[int, T]]:
        grad = torch.is_grad_enabled()

        def make(number: int, start: int, runs: int) -> tuple[Session, T]:
            with torch.set_grad_enabled(grad):
                block = self.at(number, start)
                return block, block.made(leaves, take, runs)

        yield from self._taken(make, places(start, sizes))

    def made(self, leaves: Start, take: Callable[[Session, int, dict[str, Tensor], Outcome], T], runs: int) -> T:
        """Run this block."""
        values = leaves(self, runs)
        return take(self, runs, values, self.interpreter(Interpreter).run(values, self.data, runs))

    def _compiled(
        self, leaves: Start, take: Callable[[Session, int, dict[str, Tensor], Outcome], T], start: int, sizes: list[int]
    ) -> Iterator[tuple[int, T]]:
        """As `_rest`, with the blocks of the usual size compiled."""
        plan, todo = self.plan, places(start, sizes)
        assert plan is not None
        usual = max(sizes, default=0, key=sizes.count)
        least = KEPT_RUNS if self.settings.keep_runs else WATCHED_RUNS  # single runs of those before are looked at
        if not any(runs == usual and start >= least for _, start, runs in todo):
            raise NotCompiled("there are too few runs")

        def work(block: Session, runs: int) -> Any:
            with torch.enable_grad():
                block.masked = True
                return block.made(Session.expanded, take, runs)

        inputs = inputs_of(self)
        threads = torch.get_num_threads() if self.context.device.type == "cpu" else 1
        asked = self.at(1, least), inputs, usual, work, plan.memory
        compiled, known = obtain(*asked) if threads == 1 else pool(threads).submit(obtain, *asked).result()  # for one core each
        self.compile_seconds = compiled.spent()

        def make(number: int, start: int, runs: int) -> tuple[Session, T]:
            block = self.at(number, start)
            if runs != usual or start < least:
                with torch.enable_grad():
                    return block, block.made(leaves, take, runs)
            part: Any = compiled.run(block, inputs, known)
            if part is None:
                block.again()
                try:
                    part = work(block, runs)
                except ProbError as problem:
                    raise NotCompiled("a random branch cannot be executed where it is not taken") from problem
            return block, part

        yield from self._taken(make, todo, threads)

    def _taken(
        self, make: Callable[[int, int, int], tuple[Session, T]], todo: list[tuple[int, int, int]], threads: int | None = None
    ) -> Generator[tuple[int, T], None, None]:
        alone = len(todo) == 1 or self.context.device.type != "cpu" or bool(self.resolved.external)
        count = threads or (1 if alone else torch.get_num_threads())
        self.stop = Stop()
        for (_, _, runs), (block, made) in zip(todo, in_order(make, todo, count, self.stop), strict=True):
            self.guards.join(block.guards)
            yield runs, made


@contextmanager
def room(grad: bool) -> Iterator[None]:
    """The caller's grad mode and recursion limit are put back afterwards."""
    with torch.set_grad_enabled(grad), deep_recursion(DEPTH):
        yield
