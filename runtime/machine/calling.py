"""Calls, returns and the end of a run: lanes that return leave their frames, and what they gave is collected at the end."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import cast

import torch
from torch import Tensor

from ...dsl.levels import LEVEL
from ...dsl.names.scopes import nodes_in
from ...dsl.syntax import Call, Function, Return
from ...dsl.tables.limits import TRIED_LEVELS
from ...dsl.text.source import Span
from ..arrays.broadcast import shape_words
from ..arrays.operations import Operand, numeric
from ..lanes.endings import AGE
from ..lanes.frames import Activation, Frame, Returned, together
from ..lanes.lanes import NOWHERE
from ..lanes.ledger import Summand
from ..lanes.lessons import NotCompiled, TooManyLanes
from ..lanes.values import PerLane, Plain, Ragged, Uniform, Value
from .machine import Machine
from .observing import begin, level_at, raise_level
from .operation import Operation
from .recall import Recalled
from .setting import NobodyLeft, Setting


def call(machine: Machine, node: Call, function: Function, arguments: list[Plain], frame: Frame) -> Plain:
    """A call of a function of the program, on the frame's lanes; one that has been made before is remembered."""
    sharing = machine.sharing
    if sharing is not None and function.name in sharing.functions and frame.lanes.root.count == 1:
        return sharing.call(machine, function, arguments, frame, lambda given, at: _call(machine, node, function, given, at))
    recall = machine.recall
    if function.name not in recall.text.functions:
        return _call(machine, node, function, arguments, frame)
    outermost = recall.begin(frame.lanes)
    keys = recall.keys(node, arguments, frame)
    key = function.name, recall.where(frame.lanes), recall.marks(machine, frame), *keys
    known = recall.known.get(key)
    if known is not None:
        recall.again(machine, known.note)
        return known.value
    entered = recall.enter(machine)
    value = _call(machine, node, function, arguments, frame, keys)
    recall.keep(key, Recalled(value, recall.leave(machine, entered)))
    if outermost:
        recall.forget()
    return value


def _call(
    machine: Machine, node: Call, function: Function, arguments: list[Plain], frame: Frame, keys: list[Hashable] | None = None
) -> Plain:
    if machine.depth >= machine.limits.depth:
        raise machine.where.error(
            "P0505", f"`{node.function}` was called {machine.limits.depth} levels deep", node.span, "called again here",
            help="make sure that every run comes to a `return` without a further call",
        )
    deep = machine.limits.rounds if machine.sharing is None else max(machine.limits.rounds, TRIED_LEVELS)
    if machine.depth > deep and machine.last_split is not None:
        raise TooManyLanes(machine.last_split.index, f"`{node.function}` is called more than {deep} levels deep")
    machine.depth += 1
    known = machine.recursive.get(node.function)
    machine.recursive[node.function] = again = 0 if known is None else _again(machine, node, known + 1)
    machine.branching.call(machine.depth - 1, again)
    inner = frame.call()
    for name, value in zip(function.parameters, arguments, strict=True):
        inner.write(name, value)
    activation = inner.activation
    activation.scope = function.name
    if function.name in machine.weighing:
        begin(inner)
    machine.note_entry(function, activation)
    if keys is not None:
        machine.recall.open.append((activation, dict(zip(function.parameters, keys, strict=True))))
    machine.block(function.body, inner)
    if keys is not None:
        machine.recall.open.pop()
    machine.depth -= 1
    if known is None:
        del machine.recursive[node.function]
    if not activation.returned:
        raise NobodyLeft
    returned = collect(machine, activation)
    if returned.lanes is not frame.lanes:
        frame.narrow(returned.lanes)
    frame.multiply(returned.weight)
    if function.name in machine.weighing:
        raise_level(machine, cast(Plain, returned.values.pop()), node, frame)
    machine.note_call(activation, returned)
    inner.forget()
    return cast(Plain, returned.values[0])


def _again(machine: Machine, node: Call, calls: int) -> int:
    """A function has called itself so often since another called it: what draws in `f(n - 1) + f(n - 2)` is not deep, but is called
    2^n times."""
    most = machine.limits.steps
    if calls > most:
        raise machine.where.error(
            "P0505", f"`{node.function}` has called itself {most} times", node.span, "called again here",
            help="keep in an array what has been computed once, or allow more (--max-steps)",
        )
    return calls


def execute_return(machine: Machine, node: Return, frame: Frame) -> None:
    values: list[Value] = []
    terms: list[list[Summand] | None] = []
    if machine.results or machine.depth:
        values, terms = machine.results_of(node.values, frame)
    elif machine.weighing and _weighs(machine, node):
        machine.results_of(node.values, frame)  # nobody asks for the results, but they weigh the run
    _leave(machine, frame, values, terms, node.span)


def _weighs(machine: Machine, node: Return) -> bool:
    """Whether a function is called that weighs the run."""
    def look() -> bool:
        return any(isinstance(part, Call) and part.function in machine.weighing for part in nodes_in(node))

    return machine.resolved.prepared.once("returns that weigh", id(node), look)


def finish(machine: Machine, frame: Frame) -> None:
    """The end of a program without `return`: its objective is a variable."""
    values: list[Value] = []
    terms: list[list[Summand] | None] = []
    objective = machine.resolved.objective
    if machine.results and objective is not None:
        values = [_wanted(machine, objective, frame)]
        terms = [machine.terms_of_name(objective, frame)]
    _leave(machine, frame, values, terms, machine.resolved.program.body.span)


def _leave(
    machine: Machine, frame: Frame, values: list[Value], terms: list[list[Summand] | None], span: Span
) -> None:
    if frame.mask is not frame.activation.frame.mask:
        raise NotCompiled("there is a `return` inside a random branch")
    if not machine.depth:
        values = values + [_wanted(machine, name, frame) for name in machine.wanted]
        terms = terms + [machine.terms_of_name(name, frame) for name in machine.wanted]
        if machine.merger is not None:
            values.append(frame.read(AGE))
    elif frame.activation.scope in machine.weighing:
        values, terms = [*values, frame.read(LEVEL)], [*terms, None]
    machine.note_return(frame)
    frame.activation.returned.append(Returned(span, frame.lanes, values, frame.weight, terms))
    frame.narrow(NOWHERE)


def _wanted(machine: Machine, name: str, frame: Frame) -> Value:
    try:
        return frame.read(name)
    except KeyError:
        raise machine.where.error(
            "P0607", f"`{name}` is not set in every run", machine.resolved.program.body.span,
            help=f"set `{name}` before the first `if`, or on every way through the program",
        ) from None


def collect(machine: Machine, activation: Activation) -> Returned:
    """What all lanes of an activation have returned as one: on the lanes it began with, unless they were split since."""
    parts = [*activation.returned, *_stopped(machine, activation)]
    first = parts[0]
    if len(parts) == 1 and first.lanes is activation.lanes:
        _refuse_ragged(machine, first.values, first.span)
        return first
    whole, join = together(activation.lanes, [part.lanes for part in parts], machine.joiner)
    values = [join([part.values[number] for part in parts]) for number in range(len(first.values))]
    _refuse_ragged(machine, values, parts[-1].span, len({part.span for part in parts}) > 1)
    terms: list[list[Summand] | None] = first.terms if len(parts) == 1 else [None] * len(values)
    weight: Tensor | None = None
    if any(part.weight is not None for part in parts):
        joined = join([Uniform(1.0) if part.weight is None else PerLane(part.weight) for part in parts])
        assert isinstance(joined, PerLane)
        weight = joined.raw
    return Returned(parts[-1].span, whole, values, weight, terms)


def _stopped(machine: Machine, activation: Activation) -> list[Returned]:
    """The lanes that an observation has ended: with results of 0, which nobody will see."""
    found: list[Returned] = []
    for lanes, weight in activation.stopped:
        like = activation.returned[0]
        values: list[Value] = [
            value if isinstance(value, Ragged) else Uniform(0.0) if not value.shape else
            Uniform(torch.zeros(1, *value.shape, dtype=machine.dtype, device=machine.device))
            for value in like.values
        ]
        values[level_at(machine)] = Uniform(-math.inf)
        found.append(Returned(like.span, lanes, values, weight, [None] * len(values)))
    return found


def _refuse_ragged(machine: Machine, values: list[Value], span: Span, several: bool = False) -> None:
    """P0303; where `several` statements return, the result has no name."""
    for number, value in enumerate(values):
        if isinstance(value, Ragged):
            names = (*(machine.resolved.results if machine.results else ()), *machine.wanted)
            named = not machine.depth and number < len(names) and not several
            raise machine.where.ragged(names[number] if named else "the result", value, span)


def call_external(machine: Machine, node: Call, arguments: list[Plain], frame: Frame) -> Plain:
    """A function that the embedding program passed: tensors `[lanes, *event]` in and out."""
    count = frame.lanes.count

    def code(setting: Setting, *raws: Operand) -> Tensor:
        tensors = [numeric(raw, setting.dtype, setting.device) for raw in raws]
        rows = [tensor if tensor.shape[0] == count else tensor.expand(count, *tensor.shape[1:]) for tensor in tensors]
        result = machine.resolved.external[node.function].call(*rows)
        if not isinstance(result, Tensor) or result.dim() == 0 or result.shape[0] not in (1, count):
            given = shape_words(tuple(result.shape)) if isinstance(result, Tensor) else type(result).__name__
            raise machine.where.error(
                "P0301", f"`{node.function}` must give a tensor with a row per lane", node.span,
                f"{count} lanes went in, {given} came out",
            )
        return result if result.dtype in (setting.dtype, torch.bool) else result.to(setting.dtype)

    lifter = machine.lifter
    if lifter is not None:
        arguments = [lifter.lift(value, frame.lanes) if isinstance(value, Uniform) else value for value in arguments]
    result = cast(Tensor, machine.apply(Operation(None, code), arguments, frame, node).raw)
    return PerLane(result.expand(count, *result.shape[1:]))
