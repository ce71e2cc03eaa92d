"""Blocks of runs: how many lanes each has, what it draws from, and the threads that make them.

Blocks keep memory flat and the numbers in cache.  The first one measures how many numbers a run holds, and is started again
with fewer runs where they are too many; the sizes of the others follow from that by a fixed rule.  Every block has a
generator of its own, seeded from the seed and its number, so it does not matter who makes it and when: on the CPU, blocks are
made in as many threads as torch uses, each with one core, and taken in in order (torch's own threads share out a
single operation, which does not pay for short ones, and random numbers are drawn by one of them alone).  A function that
the embedding program passed is called from its own thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...dsl.text.diagnostics import Diagnostic, ProbError
from ..lanes.counter import Counter
from ..lanes.guards import Guards
from ..lanes.lessons import NotCompiled, TooBig, TooWide
from ..lanes.meter import Stop
from ..lanes.where import Where
from ..laws.sobol import MOST_DIMENSIONS, Sobol
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome
from ..machine.ways import Masked
from .compiled import inputs_of, obtain
from .replicates import LEAST_REPLICATES, replicates
from .session import Session
from .settings import KEPT_RUNS, LEAST_BLOCK, LEAST_TIMED, WATCHED_RUNS
from .sizes import divided, places
from .threads import in_order, pool

T = TypeVar("T")
Start = Callable[[Session, int], dict[str, Tensor]]  # parameters of a block of so many runs
Take = Callable[[Session, int, dict[str, Tensor], Outcome], T]  # what is kept of a block: of its runs, parameters and outcome


def blocks(session: Session, leaves: Start, take: Take[T]) -> Generator[tuple[int, T], None, None]:
    """Run block after block until all samples are made; gives how many runs, and what `take` made of each block."""
    take = partial(_taken_in, take)
    if session.settings.sampler == "sobol" and not session.exact:
        if session.settings.compile:
            raise NotCompiled("it runs on Sobol points")
        yield from _replicates(session, leaves, take)
        return
    samples, fixed = session.settings.samples, session.settings.block_lanes
    growing = session.settings.target_se is not None or session.settings.deadline is not None
    least = LEAST_BLOCK if session.settings.deadline is None or session.settings.target_se is not None else LEAST_TIMED
    compiling = session.settings.compile and session.plan is not None and not session.safe and not session.exact
    if compiling and session.asked.copies > 1:
        raise NotCompiled("several runs are drawn together")
    if compiling and session.resolved.external:
        raise NotCompiled("it calls functions of the program that embeds it")
    alone, many = (WATCHED_RUNS, WATCHED_RUNS) if compiling else (session.sizes.one_block, session.sizes.first)
    first = min(samples, fixed or (least if growing else samples if samples <= alone else many))
    if not session.resolved.sites or session.exact:
        first = 1
    block, runs, sizes = session.at(0, 0), first, session.sizes
    counter = (sizes.telling if session.settings.telling else sizes.counter)(first)
    values = leaves(block, runs)
    outcome = block.attempt(runs, values, counter)
    if outcome is None and session.settings.telling and counter.wide:
        raise TooWide
    relaxed = session.plan is not None and session.plan.relaxes  # which keeps much
    simple = not (growing or compiling or fixed or relaxed or session.resolved.external) and session.context.device.type == "cpu"
    if outcome is None and simple and runs == samples:
        try:
            yield from _side_by_side(session, leaves, take, divided(samples, session.sizes.lanes(counter, runs), None))
            return
        except TooBig:
            pass  # it keeps more than its width tells
    while outcome is None:
        runs = min(session.sizes.lanes(counter, runs), max(runs // 16, sizes.least))
        counter = session.sizes.counter(runs)
        values = leaves(block, runs)
        outcome = block.attempt(runs, values, counter)
    made = take(block, runs, values, outcome)
    del values, outcome
    session.guards.join(block.guards)
    if not session.settings.shard[0] or session.exact or not session.resolved.sites:
        yield runs, made
    left = samples - runs
    most = fixed or session.sizes.shared(session.sizes.lanes(counter, runs), left)
    rest = divided(left, most, runs if growing else None, compiling)
    if compiling and rest:
        yield from _compiled(session, leaves, take, runs, rest)
    elif rest:
        yield from _rest(session, leaves, take, runs, rest)


def _taken_in(take: Take[T], block: Session, runs: int, values: dict[str, Tensor], outcome: Outcome) -> T:
    """`take`; P0509 where there is no memory for it."""
    try:
        return take(block, runs, values, outcome)
    except (MemoryError, RuntimeError) as problem:
        short = Where(block.resolved.program.source).memory(problem, None, runs, block.context.device)
        if short is None:
            raise
        raise short from problem


def _replicates(
    session: Session, leaves: Start, take: Take[T]
) -> Generator[tuple[int, T], None, None]:
    """Blocks that are scramblings of the same points; a pass with two runs counts the dimensions first."""
    if session.settings.samples < 2 * LEAST_REPLICATES:
        raise ProbError(Diagnostic("P0604", f"`samples` must be at least {2 * LEAST_REPLICATES} with the Sobol sampler"))
    trial = session.at(0, 0)
    counting = trial.noise = Sobol()
    counter = Counter(2**62, 2**62)
    trial.guards = Guards()
    trial.interpreter(Interpreter, counter).run(session.uniform(), session.data, 2)
    if counting.used > MOST_DIMENSIONS:
        title = f"a run draws {counting.used} numbers, and Sobol points have at most {MOST_DIMENSIONS} coordinates"
        raise ProbError(Diagnostic("P0408", title, source=session.resolved.program.source))
    count, points = replicates(session.settings.samples, session.sizes.lanes(counter, 2))
    grad = torch.is_grad_enabled()

    def make(number: int, start: int, runs: int) -> tuple[Session, T]:
        with torch.set_grad_enabled(grad):
            block = session.at(number, start)
            block.place(counting.used, runs)
            return block, block.made(leaves, take, runs)

    todo = [(number, number * points, points) for number in range(count)]
    yield from _taken(session, make, todo[:1])  # the others share its slopes
    yield from _taken(session, make, todo[1:])


def _side_by_side(
    session: Session, leaves: Start, take: Take[T], sizes: list[int]
) -> Iterator[tuple[int, T]]:
    """All blocks at once, of a size that follows from their width; TooBig where the first one keeps too much.  Another
    one that keeps too much waits to hear that the first does not."""
    grad = torch.is_grad_enabled()
    verdict: Future[bool] = Future()

    def make(number: int, start: int, runs: int) -> tuple[Session, T]:
        with torch.set_grad_enabled(grad):
            outcome = None
            try:
                block = session.at(number, start)
                values = leaves(block, runs)
                outcome = block.attempt(runs, values, session.sizes.counter(runs))
            finally:
                if number == session.settings.shard[0]:
                    verdict.set_result(outcome is not None)
            if outcome is None:
                if not verdict.result():
                    raise TooBig
                return block, block.made(leaves, take, runs)
            return block, take(block, runs, values, outcome)

    yield from _taken(session, make, [(number - 1, start, runs) for number, start, runs in places(0, sizes)])


def _rest(
    session: Session, leaves: Start, take: Take[T], start: int, sizes: list[int]
) -> Iterator[tuple[int, T]]:
    grad = torch.is_grad_enabled()

    def make(number: int, start: int, runs: int) -> tuple[Session, T]:
        with torch.set_grad_enabled(grad):
            block = session.at(number, start)
            return block, block.made(leaves, take, runs)

    yield from _taken(session, make, places(start, sizes))


def _compiled(
    session: Session, leaves: Start, take: Take[T], start: int, sizes: list[int]
) -> Iterator[tuple[int, T]]:
    """As `_rest`, with the blocks of the usual size compiled."""
    plan, todo = session.plan, places(start, sizes)
    assert plan is not None
    usual = max(sizes, default=0, key=sizes.count)
    least = KEPT_RUNS if session.settings.keep_runs else WATCHED_RUNS  # single runs of those before are looked at
    if not any(runs == usual and start >= least for _, start, runs in todo):
        raise NotCompiled("there are too few runs")

    def work(block: Session, runs: int) -> Any:
        with torch.enable_grad():
            block.branching = Masked()
            return block.made(Session.expanded, take, runs)

    inputs = inputs_of(session)
    threads = torch.get_num_threads() if session.context.device.type == "cpu" else 1
    asked = session.at(1, least), inputs, usual, work
    compiled, known = obtain(*asked) if threads == 1 else pool(threads).submit(obtain, *asked).result()  # for one core each
    session.compile_seconds = compiled.spent()

    def make(number: int, start: int, runs: int) -> tuple[Session, T]:
        block = session.at(number, start)
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

    yield from _taken(session, make, todo, threads)


def _taken(
    session: Session, make: Callable[[int, int, int], tuple[Session, T]], todo: list[tuple[int, int, int]],
    threads: int | None = None,
) -> Generator[tuple[int, T], None, None]:
    alone = len(todo) == 1 or session.context.device.type != "cpu" or bool(session.resolved.external)
    wide = max((runs for *_, runs in todo), default=0) <= session.sizes.least  # they keep more than a block should
    count = threads or (1 if alone or wide else torch.get_num_threads())
    session.stop = Stop()
    part, whole = session.settings.shard
    todo = [block for block in todo if block[0] % whole == part]
    for (_, _, runs), (block, made) in zip(todo, in_order(make, todo, count, session.stop), strict=True):
        session.guards.join(block.guards)
        yield runs, made
