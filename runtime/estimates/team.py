"""Several processes, on one machine or many, by torch's own distributed engine (started by torchrun or Slurm).

Each process makes its share of the runs, in blocks whose seeds differ from those of all others, and keeps moments as always.
At the end all of them hear what every one has found and merge it in the order of their ranks (`Accumulator.merge`), so that each
has the same numbers, and the standard error is that of all runs together.  What a process learns about the plan (a guard that
breaks) and what goes wrong in it is exchanged in the same way: all plan again, or all stop.

To stop at a standard error, all look together at what all have, after so many runs each; the looks are the same in number
and order everywhere, whatever blocks a process makes.  A process that has come to its end by then (something went wrong, or
its time is up) answers a look with that, and the look is the end for all.

What goes wrong in a process before it comes to the team is told on the board (`board.py`); what goes wrong in the team, but
not while it makes runs, takes the place of what the others wait to hear from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ...dsl.names.resolved import Resolved
from ...dsl.syntax import Node, children
from ...dsl.text.diagnostics import Diagnostic, ProbError
from ..blocks.collect import Collected, Ended, Estimate, merged
from ..blocks.ranks import local_rank, local_world_size, rank, world_size
from ..blocks.session import Session
from ..blocks.settings import Settings
from ..lanes.lessons import GuardBroken, Lesson, Several, TooManyLanes, Way
from .board import COME, Unreachable, board
from .verdict import Verdict

T = TypeVar("T")


class Elsewhere(ProbError):
    """Something went wrong in another process."""


class Awaited(Enum):
    """Where the other processes of the job may wait for this one."""

    AT_THE_BOARD = auto()
    IN_THE_TEAM = auto()
    NOWHERE = auto()


@dataclass
class Standing:
    """How this process stands to the others."""

    awaited: Awaited = Awaited.AT_THE_BOARD


STANDING = Standing()


class Team:
    """All processes of a job; this one has the number `rank`."""

    def __init__(self) -> None:
        self.rank = rank()
        self.size = world_size()
        self.intact = True  # whatever was exchanged has come through
        self.heard: Sequence[object] = ()  # at the last exchange

    def gather(self, thing: T) -> list[T]:
        """What every process gave, in the order of ranks."""
        found: list[Any] = [None] * self.size
        with self._exchanging():
            dist.all_gather_object(found, thing)
        return found

    @contextmanager
    def _exchanging(self) -> Iterator[None]:
        self.intact = False
        yield
        self.intact = True

    def leave(self, problem: Exception) -> None:
        """Tell the others, who wait for what this process has found, what went wrong here (unless that is what they said)."""
        if self.intact and not any(problem is known for known in self.heard):
            self.gather((True, *_packed(problem, None)))
        if self.intact:
            STANDING.awaited = Awaited.NOWHERE

    def outcomes(self, resolved: Resolved, way: Way, run: Callable[[], Collected]) -> list[Collected]:
        """What an attempt has come to in all processes.  Raises what it has taught them, or what went wrong in one, which comes
        from another as `Elsewhere`."""
        try:
            found = self._exchanged(resolved, _ended(way, run), True)[0]
        except Ended as end:
            found = end.found
        problems = [one for one in found if isinstance(one, Exception)]
        for problem in problems:
            if not isinstance(problem, Lesson):
                raise problem
        if problems:
            raise Several(tuple(problem for problem in problems if isinstance(problem, Lesson)))
        return [one for one in found if isinstance(one, Collected)]

    def reached(self, session: Session, collected: Collected, whole: Settings) -> bool:
        """A look: whether the runs of all processes have reached the target together.  Raises Ended."""
        found, ended = self._exchanged(session.resolved, collected, False)
        if ended:
            raise Ended(found)
        return merged(found, session, whole).reached()

    def _exchanged(
        self, resolved: Resolved, outcome: Collected | Exception, last: bool
    ) -> tuple[list[Collected | Exception], bool]:
        """The outcomes of all processes, and whether one of them has come to its end."""
        places = Places(resolved)
        sent = self.gather((last, *_packed(outcome, places)))
        found = [
            outcome if number == self.rank else _unpacked(number, kind, content, places)
            for number, (_, kind, content) in enumerate(sent)
        ]
        self.heard = found
        return found, any(end for end, _, _ in sent)

    def first(self, make: Callable[[], T]) -> T:
        """What process 0 makes; its error is everybody's."""
        box: list[Any] = [None]
        fault: Exception | None = None
        if self.rank == 0:
            try:
                box = [("done", make())]
            except Exception as error:
                box, fault = [_packed(error, None)], error
        with self._exchanging():
            dist.broadcast_object_list(box, src=0)
        kind, content = box[0]
        if kind != "done":
            problem = fault or _elsewhere(0, kind, content)
            self.heard = [problem]
            raise problem
        made: T = content
        return made

    def share(self, settings: Settings) -> Settings:
        """The settings for this process's part of the runs."""
        if settings.samples < 2 * self.size:
            title = f"`samples` must be at least {2 * self.size} for {self.size} processes, but is {settings.samples}"
            raise ProbError(Diagnostic("P0604", title))
        own = settings.samples // self.size + (self.rank < settings.samples % self.size)
        return replace(settings, samples=own, rank=self.rank, world_size=self.size)


def _ended(way: Way, run: Callable[[], Collected]) -> Collected | Exception:
    """What an attempt has come to here, for all to hear; raises a lesson that is nobody else's."""
    try:
        return run()
    except Ended:
        raise
    except Exception as problem:
        if isinstance(problem, Lesson) and problem.alone(way):
            raise
        return problem


def _packed(outcome: Collected | Exception, places: Places | None) -> tuple[str, Any]:
    """An outcome as something that can be sent."""
    if isinstance(outcome, GuardBroken) and places is not None:
        return "broken", places.numbers[outcome.place]
    if isinstance(outcome, TooManyLanes):
        return "crowded", (outcome.index, outcome.why)
    if isinstance(outcome, ProbError):
        return "problem", outcome.diagnostics
    if isinstance(outcome, Exception):
        return "fault", f"{type(outcome).__name__}: {outcome}"
    return "done", outcome.sent()


def _unpacked(number: int, kind: str, content: Any, places: Places) -> Collected | Exception:
    if kind == "done":
        collected: Collected = content
        return collected
    if kind == "broken":
        return GuardBroken(id(places.nodes[content]))
    if kind == "crowded":
        return TooManyLanes(*content)
    return _elsewhere(number, kind, content)


def _elsewhere(number: int, kind: str, content: Any) -> Elsewhere:
    if kind == "problem":
        return Elsewhere(content)
    return Elsewhere(Diagnostic("P0901", f"process {number} failed: {content}", help="what it printed itself says more"))


class Places:
    """Numbers for the nodes of a program that are the same in every process."""

    def __init__(self, resolved: Resolved):
        self.nodes: list[Node] = []
        pending: list[Node] = [resolved.program.body]
        while pending:
            node = pending.pop()
            self.nodes.append(node)
            pending.extend(children(node))
        self.numbers = {id(node): number for number, node in enumerate(self.nodes)}


@contextmanager
def team(device: str) -> Iterator[Team | None]:
    """The processes that were started together (None: there is but this one): gloo on the CPU, nccl on GPUs."""
    if world_size() == 1:
        yield None
        return
    ours = not dist.is_initialized()
    if ours:
        _meet()
        if device.startswith("cuda"):
            torch.cuda.set_device(local_rank())
        backend = "nccl" if device.startswith("cuda") else "gloo"
        dist.init_process_group(backend, store=board().below(), rank=rank(), world_size=world_size())
    try:
        yield Team()
    finally:
        if ours:
            dist.destroy_process_group()


def _meet() -> None:
    """Wait until all have come; raises `Elsewhere` where one will not."""
    try:
        words = board().meet(COME)
    except Unreachable as error:
        raise Elsewhere(Diagnostic("P0901", f"the processes of the job do not find each other: {error}")) from error
    for number, word in enumerate(words):
        if word != COME:
            STANDING.awaited = Awaited.NOWHERE
            raise _elsewhere(number, *word)
    STANDING.awaited = Awaited.IN_THE_TEAM


def absent(problem: Exception) -> None:
    """Something went wrong in this process: tell the others, if they still wait for it to come."""
    if STANDING.awaited is Awaited.AT_THE_BOARD:
        with suppress(Unreachable, ValueError):  # ValueError: torch knows of no job
            board().leave(_packed(problem, None))
            STANDING.awaited = Awaited.NOWHERE


def device_of_rank(device: str) -> str:
    """`cuda` is each process's own GPU."""
    if device != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    there = torch.cuda.device_count()
    if local_world_size() > there:
        raise ProbError(Diagnostic(
            "P0604", f"{local_world_size()} processes were started on a machine with {there} GPU{'s' * (there != 1)}",
            help=f"start one for each: torchrun --nproc-per-node {max(there, 1)}",
        ))
    return f"cuda:{local_rank()}"


def with_team(
    settings: Settings, measured: Callable[[Settings], Verdict],
    estimated: Callable[[Settings, Verdict, Team | None], Estimate],
) -> tuple[Settings, Verdict, Estimate]:
    """The seed and the choice of process 0 (an exact answer is found by each), and the estimate of all processes together."""
    settings = replace(settings, device=device_of_rank(settings.device))
    with team(settings.device) as members:
        if members is None:
            verdict = measured(settings)
            return settings, verdict, verdict.exact or estimated(settings, verdict, None)
        mine: list[Verdict] = []

        def told() -> tuple[int, Verdict, bool]:
            mine.append(measured(settings))
            return settings.seed, replace(mine[0], exact=None), mine[0].exact is not None

        try:
            seed, verdict, exact = members.first(told)
            settings = replace(settings, seed=seed)
            if not exact:
                estimate = estimated(settings, verdict, members)
        except Exception as problem:
            members.leave(problem)
            raise
        STANDING.awaited = Awaited.NOWHERE
        if exact:
            verdict = mine[0] if mine else measured(settings)
            estimate = verdict.exact or estimated(settings, verdict, None)
        return settings, verdict, estimate
