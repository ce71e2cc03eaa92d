"""The layers: what is done around every operation, and what is done to the value of every expression, in one order.

Each is one idea, written once.  An operation (`operation.py`) is applied through those of `AROUND` from the first to the last, each
handing on to the next; the innermost computes.  A value that an expression has given then goes through those of `AFTER`.  Only
those that have something to do are put in, so that what a program does not need costs it nothing; and each may be left out by
name (`without`, for tests), which changes how fast an answer comes and what is noticed, but not the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from ...dsl.syntax import Node
from ..arrays.broadcast import broadcast_shapes, pad
from ..arrays.memory import ask
from ..arrays.ties import turn
from ..lanes.frames import Frame
from ..lanes.lifting import level
from ..lanes.merging import same_in
from ..lanes.values import PerLane, Plain, Uniform, Value, made
from .operation import Operation
from .setting import Setting

Apply = Callable[[Setting, Operation, Sequence[Plain], Frame, Node], Plain]
See = Callable[[Setting, Node, Any], Any]  # the value of an expression, and what becomes of it


@dataclass(frozen=True, eq=False)
class Around:
    """A layer around every operation: `wanted` tells whether it has something to do, `make` puts it around what is inside."""

    name: str
    wanted: Callable[[Setting], bool]
    make: Callable[[Apply], Apply]


@dataclass(frozen=True)
class After:
    """A layer that every value of an expression goes through."""

    name: str
    wanted: Callable[[Setting], bool]
    see: See


def _always(setting: Setting) -> bool:
    return True


# ------------------------------------------------------------------------------------------------ around operations
def _narrow(inner: Apply) -> Apply:
    """What repeats itself (`p*ones(1000)`) is done once, where an operation goes entry by entry."""

    def apply(setting: Setting, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node) -> Plain:
        for operand in operands:
            if operand.event is not None:
                break
        else:
            return inner(setting, operation, operands, frame, node)
        if not operation.by_entry or (setting.meetings is not None and id(node) in setting.meetings.places):
            return inner(setting, operation, operands, frame, node)
        shape = broadcast_shapes([operand.shape for operand in operands])
        rows = frame.lanes.count if any(isinstance(operand, PerLane) for operand in operands) else 1
        for size in shape:
            rows *= size
        ask(rows, setting.device)
        small: list[Plain] = [
            type(operand)(pad(operand.raw, len(shape))) if isinstance(operand.raw, Tensor) else operand for operand in operands
        ]
        result = inner(setting, operation, small, frame, node)
        return result if result.shape == shape else type(result)(result.raw, shape)

    return apply


def _alike(inner: Apply) -> Apply:
    """Where lanes are merged, it can be found out which rows of a value with a derivative are the same (`merging.py`)."""

    def apply(setting: Setting, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node) -> Plain:
        result = inner(setting, operation, operands, frame, node)
        if isinstance(result, PerLane) and result.live and operation.name is not None:
            result.told(lambda: same_in(operands))
        return result

    return apply


def _lift(inner: Apply) -> Apply:
    """Where what is the same in every lane meets what is not, it is lifted (`lifting.py`)."""

    def apply(setting: Setting, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node) -> Plain:
        if len(operands) > 1 and not operation.still:
            operands = level(operands, frame.lanes)
        return inner(setting, operation, operands, frame, node)

    return apply


def _once(inner: Apply) -> Apply:
    """What is the same in every lane is computed once, also in the hundredth round of a loop (`uniform.py`)."""

    def apply(setting: Setting, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node) -> Plain:
        if operation.name is None:
            return inner(setting, operation, operands, frame, node)
        tensors, narrow = not operands, False
        for operand in operands:
            if isinstance(operand, PerLane):
                return inner(setting, operation, operands, frame, node)
            tensors |= isinstance(operand.raw, Tensor)
            narrow |= operand.event is not None
        if not tensors:
            return inner(setting, operation, operands, frame, node)
        what = (operation.name, tuple(operand.event for operand in operands)) if narrow else operation.name
        raws = [operand.raw for operand in operands]
        return setting.once(what, lambda *_: inner(setting, operation, operands, frame, node), *raws)

    return apply


def _meet(inner: Apply) -> Apply:
    """Kinks that are met exactly are written down (`meetings.py`)."""

    def apply(setting: Setting, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node) -> Plain:
        result = inner(setting, operation, operands, frame, node)
        meetings = setting.meetings
        if meetings is None or not operation.meets or id(node) not in meetings.places:
            return result
        if operation.meets == "turn":
            meetings.turned(node, *turn(str(operation.name), [setting.number(operand) for operand in operands]))
            return result
        value = setting.tensor(result)
        among = [operands[place] for place in operation.among] or operands
        found = meetings.met_in(node, operation.meets, value, [setting.tensor(operand) for operand in among])
        return result if found is value else made(found, operands)

    return apply


def compute(setting: Setting, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node) -> Plain:
    """The innermost: the operation itself."""
    per_lane = tensors = False
    raws = []
    for operand in operands:
        per_lane |= isinstance(operand, PerLane)
        raw = operand.raw if operand.event is None else operand.wide
        tensors |= isinstance(raw, Tensor)
        raws.append(raw)
    if tensors:
        for raw in raws:
            if not isinstance(raw, Tensor):
                setting.hold(raw)
    result = operation.code(setting, *raws)
    return PerLane(result) if per_lane else Uniform(result)


# ------------------------------------------------------------------------------------------------- after expressions
def _bend(setting: Setting, node: Node, value: Value) -> Value:
    """A value that may have no second derivative refuses to be differentiated twice (P0406)."""
    if id(node) in setting.kinks and isinstance(value, Uniform | PerLane) and isinstance(value.raw, Tensor):
        return type(value)(setting.bent(node, value.raw), value.event)
    return value


def _guard(setting: Setting, node: Node, value: Value) -> Value:
    """The assumptions of the plan are watched (`guards.py`)."""
    guards = setting.guards
    if guards is not None and id(node) in guards.nodes:
        guards.see(node, value, setting.motion)
    return value


def _count(setting: Setting, node: Node, value: Value) -> Value:
    """How many numbers a block holds is counted (`counter.py`)."""
    if setting.counter is not None:
        setting.counter.see(value, node)
    return value


AROUND = (
    Around("alike", lambda setting: setting.merger is not None, _alike),
    Around("narrow", _always, _narrow),
    Around("lift", lambda setting: setting.lifter is not None, _lift),
    Around("once", _always, _once),
    Around("meet", lambda setting: setting.meetings is not None, _meet),
)
AFTER = (
    After("bend", lambda setting: bool(setting.kinks), _bend),
    After("count", lambda setting: setting.counter is not None, _count),
    After("guard", lambda setting: setting.guards is not None, _guard),
)
NAMES = frozenset(layer.name for layer in (*AROUND, *AFTER))


def around(setting: Setting, without: Collection[str]) -> Apply:
    """The layers around an operation that have something to do."""
    return _composed(tuple(layer for layer in AROUND if layer.name not in without and layer.wanted(setting)))


@cache
def _composed(layers: tuple[Around, ...]) -> Apply:
    apply: Apply = compute
    for layer in reversed(layers):
        apply = layer.make(apply)
    return apply


def after(setting: Setting, without: Collection[str]) -> list[See]:
    """Those after an expression."""
    return [layer.see for layer in AFTER if layer.name not in without and layer.wanted(setting)]
