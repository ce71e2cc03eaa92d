"""Looking inside: one run written down statement by statement, and where the time of all runs goes, line by line.

Both are layers of the walk, put in by a session of their own, so that blocks, sizes and random numbers are those of `run`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.syntax import Assign, Block, Data, Function, If, Node, Parameter, Require, Return, Sample, Statement
from ...dsl.text.diagnostics import ProbError
from ..blocks.schedule import blocks
from ..blocks.session import Session
from ..blocks.settings import Settings, room
from ..estimates.attempts import Attempt, Attempts
from ..estimates.estimate import sampled
from ..lanes.circumstances import row_of
from ..lanes.frames import Frame
from ..lanes.lanes import Lanes
from ..lanes.values import Held
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome

Shown = Tensor | float | bool | None


@dataclass
class Event:
    """What one statement did in the run: its node, the value that it set or returned, and the blocks that it entered, each with
    the number of the branch (None: `else`) or round."""

    node: Node
    value: Any = None
    entered: list[tuple[int | None, list[Event]]] = field(default_factory=list)
    together: int = 0  # rounds that were executed at once


class Watching(Interpreter):
    """Writes down what one run does."""

    def __init__(self, *arguments: Any, run: int, start: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.row: int | None = run - start
        self.events: list[Event] = []
        self.levels = [self.events]
        self.owners: list[Event] = []

    def run(self, parameters: Mapping[str, Tensor], data: Mapping[str, Any], count: int) -> Outcome:
        """Run the block, watching if the run is in it."""
        if self.row is not None and not 0 <= self.row < count:
            self.row = None
        return super().run(parameters, data, count)

    def _lane(self, lanes: Lanes) -> int | None:
        """The lane of the run among some; None where it is not among them."""
        if self.row is None or not lanes.count:
            return None
        if lanes.origin is None:
            return self.row
        found = (lanes.origin == self.row).nonzero()
        return int(found[0]) if found.numel() else None

    def execute(self, statement: Statement, frame: Frame) -> None:
        if self._lane(frame.lanes) is None or isinstance(statement, Function):
            super().execute(statement, frame)
            return
        event = Event(statement)
        events = self.levels[-1]
        if self.rounds is not None and self.owners:  # of the loop, whose block is entered once for all rounds
            event.together = self.rounds.count
            entered = self.owners[-1].entered
            if not entered:
                entered.append((0, []))
            events = entered[0][1]
        events.append(event)
        self.owners.append(event)
        before = len(frame.activation.returned)
        try:
            super().execute(statement, frame)
        finally:
            self.owners.pop()
        if isinstance(statement, Assign | Sample | Parameter | Data):
            event.value = self._value(statement.name, frame)
        elif isinstance(statement, Require):
            event.value = self._lane(frame.lanes) is not None
        elif isinstance(statement, Return):
            for end in frame.activation.returned[before:]:
                lane = self._lane(end.lanes)
                if lane is not None:
                    event.value = [_row(value, lane) for value in end.values[: len(statement.values)]]  # without the level

    def _value(self, name: str, frame: Frame) -> Shown:
        lane = self._lane(frame.lanes)
        try:
            return None if lane is None else _row(frame.read(name), lane)
        except KeyError:
            return None

    def block(self, body: Block, frame: Frame) -> None:
        if self._lane(frame.lanes) is None or not self.owners:
            super().block(body, frame)
            return
        owner, events = self.owners[-1], list[Event]()
        number: int | None = len(owner.entered)
        if isinstance(owner.node, If):
            number = next((at for at, (_, taken) in enumerate(owner.node.branches) if taken is body), None)
        owner.entered.append((number, events))
        self.levels.append(events)
        try:
            super().block(body, frame)
        finally:
            self.levels.pop()


def _row(value: Any, lane: int) -> Shown:
    if not isinstance(value, Held):
        return None
    found = row_of(value, lane)
    return found.clone() if isinstance(found, Tensor) else found


@dataclass
class Spent:
    """By offset of a statement in the text: seconds of CPU time that it took itself, how often it was executed, and on how many
    lanes."""

    seconds: dict[int, float] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    lanes: dict[int, int] = field(default_factory=dict)


class Timing(Interpreter):
    """Takes the time of every statement, less that of the statements that it executes."""

    def __init__(self, *arguments: Any, spent: Spent, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.spent = spent
        self.inside = [0.0]

    def execute(self, statement: Statement, frame: Frame) -> None:
        place, count, begun = statement.span.start, frame.lanes.count, time.thread_time()
        self.inside.append(0.0)
        try:
            super().execute(statement, frame)
        finally:
            whole = time.thread_time() - begun
            own = whole - self.inside.pop()
            self.inside[-1] += whole
            spent = self.spent
            spent.seconds[place] = spent.seconds.get(place, 0.0) + own
            spent.times[place] = spent.times.get(place, 0) + 1
            spent.lanes[place] = spent.lanes.get(place, 0) + count


class Keeping(Interpreter):
    """Keeps variables of the program as they were after the last statement that came to its end."""

    def __init__(self, *arguments: Any, names: tuple[str, ...], start: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.names, self.start = names, start
        self.kept: dict[str, tuple[Held, Lanes]] = {}

    def execute(self, statement: Statement, frame: Frame) -> None:
        super().execute(statement, frame)
        if self.depth or self.rounds is not None:
            return
        written = statement.name if isinstance(statement, Assign | Sample) else ""
        for name in self.names:
            if name in self.kept and name != written and self.kept[name][1].count > frame.lanes.count:
                continue  # a branch, which sees a part of the runs
            try:
                value = frame.read(name)
            except KeyError:
                continue
            if isinstance(value, Held):
                self.kept[name] = value, frame.lanes


class Inside(Session):
    """A session whose machines look at what they do; `look` makes one of a block, and `seen` has all that were made."""

    look: Callable[[int], Callable[..., Interpreter]]
    seen: list[Interpreter]

    @classmethod
    def of(cls, session: Session, look: Callable[[int], Callable[..., Interpreter]]) -> Inside:
        """The same session, with other machines."""
        found = object.__new__(cls)
        found.__dict__.update(session.__dict__, look=look, seen=[])
        return found

    def __copy__(self) -> Inside:
        block = object.__new__(Inside)
        block.__dict__.update(self.__dict__)
        return block

    def at(self, number: int, start: int) -> Session:
        """One block."""
        block = super().at(number, start)
        assert isinstance(block, Inside)
        return block

    def interpreter(self, kind: type[Interpreter], counter: Any = None, tracing: bool = False, **more: Any) -> Interpreter:
        """A machine that looks, where none with another purpose is asked for."""
        if kind is not Interpreter or tracing:
            return super().interpreter(kind, counter, tracing, **more)
        made = super().interpreter(cast("type[Interpreter]", self.look(self.start)), counter)
        self.seen.append(made)
        return made


def _bound(kind: type[Interpreter], **fixed: Any) -> Callable[[int], Callable[..., Interpreter]]:
    def at(start: int) -> Callable[..., Interpreter]:
        own = {**fixed, "start": start} if kind is not Timing else fixed
        made: Callable[..., Interpreter] = partial(kind, **own)
        return made

    return at


def _walked(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    look: Callable[[int], Callable[..., Interpreter]], last: int,
) -> tuple[list[Interpreter], ProbError | None]:
    """The machines of all blocks up to the one with the run `last`, and what went wrong there."""
    attempts = Attempts(resolved, parameters, data, settings, settings)

    def make(attempt: Attempt) -> tuple[list[Interpreter], ProbError | None]:
        attempts.rounded(attempt, sampled)
        session, made = Inside.of(attempt.session(), look), 0
        try:
            with room(grad=False), closing(blocks(session, Session.uniform, lambda *block: None)) as parts:
                for runs, _ in parts:
                    made += runs
                    if made > last:
                        break
        except ProbError as problem:
            return session.seen, problem
        return session.seen, None

    return attempts.until_done(make)


def watch(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, run: int
) -> tuple[list[Event], ProbError | None]:
    """What one run does, and what went wrong in its block, after the last thing that was done."""
    seen, problem = _walked(resolved, parameters, data, settings, _bound(Watching, run=run), run)
    found = [machine for machine in seen if isinstance(machine, Watching) and machine.row is not None]
    return (found[-1].events if found else []), problem


def before_failure(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings
) -> dict[str, tuple[Tensor, Tensor]]:
    """Of the variables in `settings.of`, what there is before a failure, in the blocks up to the one that fails: the numbers of
    the runs that have it `[rows]`, and the values `[rows, *event]`."""
    seen, _ = _walked(resolved, parameters, data, settings, _bound(Keeping, names=settings.of), settings.samples)
    blocks = {machine.start: machine for machine in seen if isinstance(machine, Keeping)}  # the last of one that was begun again
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in settings.of}
    for machine in blocks.values():
        for name, (value, lanes) in machine.kept.items():
            rows = value.number(machine.dtype, machine.device).detach()
            runs = torch.arange(lanes.count, device=machine.device) if lanes.origin is None else lanes.origin
            found[name].append((machine.start + runs, rows.expand(lanes.count, *rows.shape[1:])))
    alike = {name: parts for name, parts in found.items() if len({rows.shape[1:] for _, rows in parts}) == 1}
    return {name: (torch.cat([runs for runs, _ in parts]), torch.cat([rows for _, rows in parts])) for name, parts in alike.items()}


def profile(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings
) -> tuple[Spent, ProbError | None]:
    """Where the time of all runs goes; a first block that was too large is counted with them."""
    spent = Spent()
    _, problem = _walked(resolved, parameters, data, settings, _bound(Timing, spent=spent), settings.samples)
    return spent, problem


