"""Where a number that is not finite first arose: the block is run again and every operation written down.

The generator is put back to the state that it had before the block, so the replay makes the same draws.  Every value gets
a `Record` of what computed it and from which values, also through variables, gathers and joins.  For a value the walk goes
back from the result, in one run, as long as some input is not finite in that run; for a gradient it looks, from the end,
for the first operation that gets a finite gradient and hands on one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...dsl.syntax import Arithmetic, Call, Conditional, Draw, Expression, Logical, LogPdf, Name, Node, Power, Sample
from ...dsl.text.diagnostics import ProbError
from ...dsl.text.source import Span
from ..arrays.operations import Operand, calculate, filled
from ..lanes.circumstances import in_runs, row_of, rows_of, show
from ..lanes.frames import Frame
from ..lanes.lanes import Join, Lanes, Ragged, Value
from ..lanes.lifting import Leaves
from ..machine.interpreter import Interpreter
from ..session import Session
from .weighing import Weighing


@dataclass(eq=False)
class Record:
    """One value: the node that computed it (None: handed on), its lanes, and the values it was computed from."""

    node: Node | None
    value: Value
    lanes: Lanes
    inputs: list[Record]
    note: str = ""
    origin: Tensor | None = field(default=None, repr=False)


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

    def of(self, value: Value) -> Record | None:
        """The record of a value."""
        return self.by_value.get(id(value))

    def write(self, record: Record) -> None:
        """Keep a record, unless the value only passes through."""
        self.records.append(record)
        self.by_value.setdefault(id(record.value), record)

    def evaluate(self, node: Expression, frame: Frame) -> Operand:
        """As always, and write it down."""
        outer, self.inputs = self.inputs, []
        value = super().evaluate(node, frame)
        inputs, self.inputs = self.inputs, outer
        known = self.by_value.get(id(value))
        if isinstance(node, Name):
            source = self.of(frame.entry(node.id)[0])
            record = known or Record(None if source else node, value, frame.lanes, [source] if source else [])
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

    def note_draw(self, node: Sample | Draw, value: Tensor, log_weight: Tensor | None, frame: Frame) -> None:
        inputs = self.inputs[-len(node.distribution.arguments) :] if node.distribution.arguments else []
        self.write(Record(node, value, frame.lanes, inputs))
        if log_weight is not None:
            self.write(Record(node, log_weight, frame.lanes, inputs, "log-probability"))

    def note_store(self, target: Tensor, value: Operand, new: Tensor, frame: Frame) -> None:
        sources = [record for part in (target, value) if (record := self.of(part)) is not None]
        self.write(Record(None, new, frame.lanes, sources))


# ---------------------------------------------------------------------------------------------------- looking
def _row(record: Record, run: int) -> int | None:
    """The row of a value that belongs to a run; None where it is not there."""
    if not isinstance(record.value, Tensor) or record.value.shape[0] == 1:
        return 0
    origin = record.lanes.origin
    if origin is None:
        return run
    found = (origin == run).nonzero().squeeze(1)
    if found.shape[0] > 1:  # outcomes were enumerated: the lane that shows it, if one does
        bad = rows_of(~torch.isfinite(record.value.detach()[found]))
        return int(found[int(bad.int().argmax())])
    return int(found[0]) if found.shape[0] else None


def _entry(record: Record, run: int) -> Tensor | float | bool | None:
    if isinstance(record.value, Ragged):
        return None
    row = _row(record, run)
    return None if row is None else row_of(record.value, row)


def _finite(value: Tensor | float | bool | None) -> bool:
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all())
    return value is None or math.isfinite(value)


def _culprit(record: Record, run: int) -> Record:
    """Back from a value that is not finite in a run to the first operation that made it so."""
    seen = {id(record)}
    while True:
        for source in record.inputs:
            if id(source) not in seen and not _finite(_entry(source, run)):
                seen.add(id(source))
                record = source
                break
        else:
            return record


def _operands(record: Record, run: int) -> str:
    """The inputs in a run, in words."""
    values = [entry for source in record.inputs if (entry := _entry(source, run)) is not None]
    if not values or len(values) > 6:
        return ""
    return " and ".join(show(value) for value in values)


def _step(node: Arithmetic, record: Record, run: int, dtype: torch.dtype) -> tuple[Span, str]:
    """The operation of a chain that gave the first value that is not finite."""
    entries = [_entry(source, run) for source in record.inputs]
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


# ---------------------------------------------------------------------------------------------------- reports
def value_problem(session: Session, runs: int, parameters: Mapping[str, Tensor], names: tuple[str, ...]) -> ProbError:
    """P0502: where a value of the present block first ceased to be finite."""
    machine = session.interpreter(Tracer)
    assert isinstance(machine, Tracer)
    session.again()
    outcome = machine.run(parameters, session.data, runs)
    origin = outcome.lanes.origin
    for name, value in zip(names, outcome.values, strict=True):
        bad = _bad_rows(value)
        if bad is None:
            continue
        run = int(bad.nonzero()[0])
        count = int(bad.sum()) if bad.shape[0] > 1 else runs
        if origin is not None and bad.shape[0] > 1:
            run, count = int(origin[run]), len(set(origin[bad].tolist()))
        record = machine.of(value)
        notes = () if session.exact else (in_runs(count, runs) + (f"; run {run} shows it" if runs > 1 else ""),)
        if record is None:
            break
        found = _culprit(record, run)
        return _value_words(machine, found, run, notes, name)
    return machine.where.error("P0502", "the result is not finite", session.resolved.program.body.statements[-1].span)


def _bad_rows(value: Value) -> Tensor | None:
    if not isinstance(value, Tensor):
        return None if isinstance(value, Ragged) or math.isfinite(value) else torch.ones(1, dtype=torch.bool)
    bad = rows_of(~torch.isfinite(value.detach()))
    return bad if bool(bad.any()) else None


def _value_words(machine: Tracer, found: Record, run: int, notes: tuple[str, ...], name: str) -> ProbError:
    node = found.node
    shown = show(entry) if (entry := _entry(found, run)) is not None else "not finite"
    if node is None:
        return machine.where.error("P0502", f"`{name}` is not finite: {shown}", machine.resolved.program.body.span, notes=notes)
    span, operands = node.span, _operands(found, run)
    if isinstance(node, Arithmetic):
        span, step = _step(node, found, run, machine.dtype)
        operands = step or operands
    label = f"= {shown}" + (f" from {operands}" if operands else "")
    text = " ".join(machine.where.source.slice(span).split())
    text = text if len(text) <= 40 else text[:37] + "..."
    if isinstance(node, Sample | Draw):
        title = f"a draw of {node.distribution.name} is not finite: {shown}"
    else:
        title = f"`{text}` is not finite: {shown}"
    return machine.where.error("P0502", title, span, label, notes, _advice(node))


def _advice(node: Node) -> str | None:
    if isinstance(node, Arithmetic):
        return "keep the divisor away from 0, or treat that case by itself: if ... { ... } else { ... }"
    if isinstance(node, Call):
        return f"keep the argument inside the domain of `{node.function}`, or treat that case by itself with `if`"
    if isinstance(node, LogPdf):
        return "the value has density 0 there: keep it inside the support, or treat that case by itself with `if`"
    if isinstance(node, Power):
        return "keep the base away from 0, or positive where the exponent is not a whole number"
    return None


def gradient_problem(
    session: Session, runs: int, leaves: Mapping[str, Tensor], name: str, parameter: str, number: int, entry: int
) -> ProbError:
    """P0503: the operation of the present block that turns a finite gradient into one that is not."""
    machine = session.interpreter(Tracer)
    assert isinstance(machine, Tracer)
    session.again()
    outcome = machine.run(leaves, session.data, runs)
    tensors = [r for r in machine.records if isinstance(r.value, Tensor) and r.value.requires_grad and r.node is not None]
    value = session.result(outcome.values[number])
    title = f"the derivative of `{name}` in `{parameter}` is not finite"
    points = [record.value for record in tensors if isinstance(record.value, Tensor)] + list(leaves.values())
    weighing = Weighing(outcome, number, value, runs)
    found = next(at.per_run for at in weighing.gradients(Leaves(points), False) if at.entry == entry)
    incoming = {id(point): grad for point, grad in zip(points, found, strict=True)}
    bad = _bad_rows(incoming.get(id(leaves[parameter])))  # type: ignore[arg-type]
    run = int(bad.nonzero()[0]) if bad is not None else 0
    count = int(bad.sum()) if bad is not None else 0
    notes = (in_runs(count, runs) + (f"; run {run} shows it" if runs > 1 else ""),) if bad is not None and not session.exact else ()
    for record in reversed(tensors):
        if _breaks(record, incoming, run):
            assert record.node is not None
            operands = _operands(record, run)
            what = record.note or "this"
            return machine.where.error(
                "P0503", title, record.node.span, f"{what} has no finite derivative" + (f" at {operands}" if operands else ""),
                notes, "keep the argument away from the place where the derivative is infinite",
            )
    return machine.where.error("P0503", title, session.resolved.program.body.statements[-1].span, notes=notes)


def _breaks(record: Record, incoming: dict[int, Tensor | None], run: int) -> bool:
    """Whether an operation gets a finite gradient in a run and hands on one that is not."""
    value, gradient = record.value, incoming.get(id(record.value))
    assert isinstance(value, Tensor)
    row = _row(record, run)
    if gradient is None or row is None or not _finite(row_of(gradient, row)):
        return False
    sources = [
        source for source in record.inputs if isinstance(source.value, Tensor) and source.value.requires_grad
    ]
    if not sources:
        return False
    inputs = [source.value for source in sources if isinstance(source.value, Tensor)]
    local = torch.autograd.grad(value, inputs, gradient, retain_graph=True, allow_unused=True)
    return any(
        not _finite(row_of(part, place))
        for source, part in zip(sources, local, strict=True)
        if part is not None and (place := _row(source, run)) is not None
    )
