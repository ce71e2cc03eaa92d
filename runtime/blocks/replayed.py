"""Small blocks of the same plan, asked for again and again (a loop of gradients, a fit): written down once, then replayed.

What is written down ends with the results and the gradients of single runs; moments, tails and doubts are made of these as always.
A block in which a check comes out differently, or a result is not finite, is made by the interpreter, from the same noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ...dsl.text.diagnostics import ProbError
from ..gradients.weighing import Gradients, Weighing
from ..graphs.recorder import Recorded, Recorder
from ..graphs.replay import MOST_RUNS, Replay
from ..lanes.lessons import Lesson, NotCompiled
from ..lanes.lifting import Leaves
from ..machine.interpreter import Interpreter
from ..machine.ways import APART
from .compiled import inputs_of
from .session import Session
from .settings import WATCHED_RUNS

SEEN = 5  # blocks of a kind before one is written down
MOST_KINDS = 16  # that are remembered
MOST_TIMES = 3  # that one is written down: its checks may have come out as they seldom do
FAILED = "its checks do not hold"


@dataclass(frozen=True)
class Pending:
    """A block is to be written down, for the `number`th time, when so many like it have been made."""

    left: int
    number: int = 1


@dataclass
class ReplayedResult:
    """Of one result what a weighing gives: its values in the runs, whether they are scored, and the gradients of its entries."""

    value: Tensor
    scored: bool
    entries: list[Gradients]

    def gradients(self, leaves: Leaves, last: bool, few: bool = False) -> Iterator[Gradients]:
        """Those of each entry."""
        return iter(self.entries)


@dataclass
class Replayed:
    """A block that was replayed: its session, results, and what making it would have taken."""

    by: BlockReplay
    block: Session
    runs: int
    leaves: dict[str, Tensor]
    results: list[ReplayedResult]
    work: int
    steps: int


def replayed(session: Session, few: bool) -> Replayed | None:
    """The only block of a session; None where it must be made by the interpreter."""
    table = _table(session)
    if not table:
        return None
    kind = _kind(session, few)
    known = table.get(kind)
    if not isinstance(known, BlockReplay):
        return None
    block = session.at(0, 0)
    found = known.made(block, inputs_of(block))
    if found is not None and not _joined(session, block):
        found = None
    if known.replay.useless:
        table[kind] = Pending(1, known.number + 1) if known.number < MOST_TIMES else FAILED
    return found


def _joined(session: Session, block: Session) -> bool:
    """Whether what a block has seen agrees with what the session has."""
    try:
        session.guards.join(block.guards)
    except Lesson:
        return False
    return True


def seen(session: Session, few: bool) -> None:
    """The interpreter has made the only block of a session; when it has made several like it, the next one is written down."""
    table = _table(session)
    if table is None:
        return
    kind, fuse = _kind(session, few), session.settings.compile
    known = table.get(kind) or Pending(1 if fuse else SEEN)
    if not isinstance(known, Pending):
        session.uncompiled = known if isinstance(known, str) else FAILED
        return
    if len(table) >= MOST_KINDS and kind not in table:
        table.clear()
    if known.left > 1:
        table[kind] = Pending(known.left - 1, known.number)
        return
    started = time.perf_counter()
    try:
        table[kind] = BlockReplay(session, few, fuse, known.number)
    except NotCompiled as problem:
        table[kind] = session.uncompiled = problem.reason
    else:
        session.compile_seconds = time.perf_counter() - started if fuse else None


def _table(session: Session) -> dict[Hashable, BlockReplay | Pending | str] | None:
    """The replays of a plan, or why there are none; None where it has no such blocks."""
    plan, settings = session.plan, session.settings
    if plan is None or plan.forks or plan.atoms or session.safe or session.resolved.external or not session.parameters:
        return None
    if settings.samples > MOST_RUNS or settings.shard != (0, 1) or settings.world_size > 1 or settings.sampler != "random":
        return None
    if settings.target_se is not None or settings.deadline is not None or settings.block_lanes is not None:
        return None
    if settings.compile and settings.samples > WATCHED_RUNS:
        return None  # blocks are compiled (`compiled.py`)
    if settings.ahead is not None:
        return None  # whether it takes too long is the question
    if session.asked.weighed or session.asked.copies > 1 or settings.logarithms or "replay" in settings.without:
        return None
    return session.resolved.prepared.once("replays", plan.token, dict)


def _kind(session: Session, few: bool) -> Hashable:
    settings = session.settings
    return (
        settings.samples, session.context.dtype, session.context.device, settings.of, session.lifting, few,
        settings.max_steps, settings.max_depth, settings.max_lanes, settings.max_rounds, settings.most_work, settings.patience,
        settings.width, settings.without, settings.compile, session.branching is APART,
        tuple((name, value.shape) for name, value in session.parameters.items()),
        tuple((name, value.shape if isinstance(value, Tensor) else value) for name, value in session.data.items()),
    )


class BlockReplay:
    """A block that was written down, for the `number`th time; `fuse`: with torch's compiler.  Raises NotCompiled."""

    def __init__(self, session: Session, few: bool, fuse: bool, number: int):
        self.number = number
        self.runs = 1 if session.exact else session.settings.samples
        block = session.at(0, 0)
        block.parameters = {name: value.detach().clone() for name, value in block.parameters.items()}
        block.slopes = []
        recorder = Recorder(inputs_of(block), watching=True, noting=True)
        noise, block.noise = block.noise, Recorded(block.noise, recorder)
        try:
            with torch.enable_grad(), recorder.active():
                leaves = block.leaves(self.runs)
                outcome = block.interpreter(Interpreter).run(leaves, block.data, self.runs)
                if outcome.forks or outcome.met or outcome.cuts or not (outcome.random or session.exact):
                    raise NotCompiled("runs part, meet a kink exactly, or are none")
                values = [block.result(value) for value in outcome.values]
                if outcome.weight is not None:
                    values = [block.points.rows(value, outcome.lanes) for value in values]
                found = [Weighing.of_result(outcome, number, value, self.runs) for number, value in enumerate(values)]
                made = (weighing.gradients(block.points, weighing is found[-1], few) for weighing in found)
                results = [
                    ReplayedResult(weighing.value, weighing.scored, list(entries))
                    for weighing, entries in zip(found, made, strict=True)
                ]
        except (ProbError, Lesson, RuntimeError) as problem:
            raise NotCompiled("it does not run alike") from problem
        finally:
            block.noise = noise
        self.work, self.steps, self.guards = outcome.work, block.spending.steps, block.guards
        ends = [end for *_, parts in block.guards.pending for end in parts]
        tensors = [*ends, *(tensor for result in results for tensor in _tensors(result))]
        self.replay = Replay(recorder, [recorder.node(tensor) for tensor in tensors], fuse=fuse)
        nothing = iter([torch.empty(0)] * len(tensors))
        self.forms = [_form(_form(result)(nothing)) for result in results]  # which keep none of these numbers
        block.points.release()

    def made(self, block: Session, inputs: Sequence[Tensor]) -> Replayed | None:
        """The block with these parameters and data; None where it must be made by the interpreter."""
        with torch.no_grad():
            found = self.replay.first(block.noise, [value.detach() for value in inputs], block.variety)
        if found is None:
            return None
        tensors = iter(found[0])
        try:
            block.guards.refill(self.guards, tensors)
        except Lesson:
            return None
        results: list[ReplayedResult] = [make(tensors) for make in self.forms]
        self.replay.held += 1
        leaves = {name: value.detach().unsqueeze(0) for name, value in block.parameters.items()}
        return Replayed(self, block, self.runs, leaves, results, self.work, self.steps)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a result, one after another."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, ReplayedResult | Gradients):
        for part in fields(value):
            yield from _tensors(getattr(value, part.name))


def _form(value: Any) -> Callable[[Iterator[Tensor]], Any]:
    """What makes the same of other tensors."""
    if isinstance(value, Tensor):
        return next
    if next(_tensors(value), None) is None:
        return lambda tensors: value
    if isinstance(value, list):
        entries = [_form(part) for part in value]
        return lambda tensors: [make(tensors) for make in entries]
    kind, parts = type(value), [_form(getattr(value, part.name)) for part in fields(value)]
    return lambda tensors: kind(*[make(tensors) for make in parts])
