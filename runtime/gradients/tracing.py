"""Where a number that is not finite first arose: the block is run again and every operation written down.

The generator is put back to the state that it had before the block, so the replay makes the same draws.  Every value gets
a `Record` of what computed it and from which values, also through variables, gathers and joins.  For a value the walk goes
back from the result, in one run, as long as some input is not finite in that run; for a gradient it looks, from the end,
for the first operation that gets a finite gradient and hands on one that is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...dsl.syntax import Arithmetic, Call, Conditional, Draw, Expression, Logical, Name, Node, Sample
from ...dsl.text.source import Span
from ..arrays.operations import Operand, calculate, filled
from ..lanes.circumstances import row_of, rows_of, show
from ..lanes.frames import Frame
from ..lanes.lanes import Join, Lanes
from ..lanes.pieces import Pieces
from ..lanes.values import Held, PerLane, Plain, Ragged, Value
from ..machine.interpreter import Interpreter


@dataclass(eq=False)
class Record:
    """One value: the node that computed it (None: handed on), its lanes, and the values it was computed from."""

    node: Node | None
    value: Value
    lanes: Lanes
    inputs: list[Record]
    note: str = ""
    origin: Tensor | None = field(default=None, repr=False)

    @property
    def live(self) -> Tensor | None:
        """The value as a tensor that carries a derivative; None: it carries none."""
        raw = self.value.raw if isinstance(self.value, Held) else None
        return raw if isinstance(raw, Tensor) and raw.requires_grad else None


class _TracingJoin(Join):
    """A join that writes down what it puts together."""

    def __init__(self, machine: Tracer, parts: list[Lanes], indices: list[Tensor], whole: Lanes, order: bool):
        super().__init__(parts, indices, machine.dtype, order)
        self.machine = machine
        self.whole = whole

    def __call__(self, values: list[Value]) -> Value:
        joined = super().__call__(values)
        parts = [record for value in values if (record := self.machine.of(value)) is not None]
        self.machine.write(Record(None, joined, self.whole, parts))
        return joined


class Tracer(Interpreter):
    """An interpreter that writes everything down.  Slow, and it keeps every value: for one block only."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.records: list[Record] = []
        self.by_value: dict[int, Record] = {}
        self.inputs: list[Record] = []
        self.stored: dict[str, list[Record]] = {}

    def of(self, value: Value) -> Record | None:
        """The record of a value."""
        return None if isinstance(value, Ragged) else self.by_value.get(id(value.raw))

    def write(self, record: Record) -> None:
        """Keep a record, unless the value only passes through."""
        self.records.append(record)
        if isinstance(record.value, Held):
            self.by_value.setdefault(id(record.value.raw), record)

    def evaluate(self, node: Expression, frame: Frame) -> Plain:
        """As always, and write it down."""
        outer, self.inputs = self.inputs, []
        value = super().evaluate(node, frame)
        inputs, self.inputs = self.inputs, outer
        known = self.of(value)
        if isinstance(node, Name):
            sources = self._behind(node.id, frame)
            record = known or Record(None if sources else node, value, frame.lanes, sources)
        elif known is not None and isinstance(node, Call | Conditional | Logical | Sample | Draw):
            record = known
        else:
            record = Record(node, value, frame.lanes, inputs)
        if record is not known:
            self.write(record)
        outer.append(record)
        return value

    def joiner(self, parts: list[Lanes], indices: list[Tensor], whole: Lanes, order: bool) -> Join:
        return _TracingJoin(self, parts, indices, whole, order)

    def note_draw(self, node: Sample | Draw, value: Plain, log_weight: Tensor | None, frame: Frame) -> None:
        inputs = self.inputs[-len(node.distribution.arguments) :] if node.distribution.arguments else []
        self.write(Record(node, value, frame.lanes, inputs))
        if log_weight is not None:
            self.write(Record(node, PerLane(log_weight), frame.lanes, inputs, "log-probability"))

    def note_store(self, name: str, value: Plain, new: Plain, frame: Frame, whole: bool = False) -> None:
        source = self.of(value)
        sources = [*(self._behind(name, frame) if whole else []), *([] if source is None else [source])]
        self.write(Record(None, new, frame.lanes, sources))
        self.stored.setdefault(name, []).append(self.by_value[id(new.raw)])

    def note_element(self, name: str, value: Plain, frame: Frame) -> None:
        record = self.of(value)
        if record is None:
            record = Record(None, value, frame.lanes, self._behind(name, frame))
            self.write(record)
        self.inputs.append(record)

    def _behind(self, name: str, frame: Frame) -> list[Record]:
        """What a variable is made of: of an array, also all that was assigned to its elements."""
        held = frame.entry(name)[0]
        apart = isinstance(held, Pieces)
        while isinstance(held, Pieces):
            held = held.origin[0]
        own = self.of(held)
        return [*([] if own is None else [own]), *(self.stored.get(name, ()) if apart else ())]


# ---------------------------------------------------------------------------------------------------- looking
def row_in(record: Record, run: int) -> int | None:
    """The row of a value that belongs to a run; None where it is not there."""
    if not isinstance(record.value, PerLane):
        return 0
    origin = record.lanes.origin
    if origin is None:
        return run
    found = (origin == run).nonzero().squeeze(1)
    if found.shape[0] > 1:  # outcomes were enumerated: the lane that shows it, if one does
        bad = rows_of(~torch.isfinite(record.value.rows.detach()[found]))
        return int(found[int(bad.int().argmax())])
    return int(found[0]) if found.shape[0] else None


def entry_of(record: Record, run: int) -> Tensor | float | bool | None:
    if isinstance(record.value, Ragged):
        return None
    row = row_in(record, run)
    return None if row is None else row_of(record.value, row)


def is_finite(value: Tensor | float | bool | None) -> bool:
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all())
    return value is None or math.isfinite(value)


def culprit(record: Record, run: int) -> Record:
    """Back from a value that is not finite in a run to the first operation that made it so."""
    seen = {id(record)}
    while True:
        for source in record.inputs:
            if id(source) not in seen and not is_finite(entry_of(source, run)):
                seen.add(id(source))
                record = source
                break
        else:
            return record


def operands_text(record: Record, run: int) -> str:
    """The inputs in a run, in words."""
    values = [entry for source in record.inputs if (entry := entry_of(source, run)) is not None]
    if not values or len(values) > 6:
        return ""
    return " and ".join(show(value) for value in values)


def step_of(node: Arithmetic, record: Record, run: int, dtype: torch.dtype) -> tuple[Span, str]:
    """The operation of a chain that gave the first value that is not finite."""
    entries = [entry_of(source, run) for source in record.inputs]
    if len(entries) != len(node.rest) + 1 or any(entry is None for entry in entries):
        return node.span, ""
    rows: list[Operand] = [
        entry.reshape(1, *entry.shape) if isinstance(entry, Tensor) else filled(float(entry or 0), dtype, torch.device("cpu"))
        for entry in entries
    ]
    value = rows[0]
    for term, operand in zip(node.rest, rows[1:], strict=True):
        before = value
        value = calculate(term.operator, value, operand, dtype, False)
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            assert isinstance(before, Tensor) and isinstance(operand, Tensor)
            return node.first.span.to(term.span), f"{show(before[0])} {term.operator} {show(operand[0])}"
    return node.span, ""
