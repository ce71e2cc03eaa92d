"""Reports of numbers that are not finite: the block is run again, everything is written down, and the first culprit is named."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...dsl.syntax import Arithmetic, Call, Draw, LogPdf, Node, Power, Sample
from ...dsl.text.diagnostics import ProbError
from ..gradients.tracing import Record, Tracing, culprit, entry_of, is_finite, operands_text, row_in, step_of
from ..gradients.weighing import Weighing
from ..lanes.circumstances import in_runs, rows_of, show
from ..lanes.lifting import Leaves
from ..lanes.values import Ragged, Value
from .session import Session


# ---------------------------------------------------------------------------------------------------- reports
def value_problem(session: Session, runs: int, parameters: Mapping[str, Tensor], names: tuple[str, ...]) -> ProbError:
    """P0502: where a value of the present block first ceased to be finite."""
    machine = session.tracer()
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
        found = culprit(record, run)
        return _value_words(machine, found, run, notes, name)
    return machine.where.error("P0502", "the result is not finite", session.resolved.program.body.statements[-1].span)


def _bad_rows(value: Value) -> Tensor | None:
    if isinstance(value, Ragged):
        return None
    wide = value.wide
    return bad_rows(wide) if isinstance(wide, Tensor) else None if math.isfinite(wide) else torch.ones(1, dtype=torch.bool)


def bad_rows(tensor: Tensor) -> Tensor | None:
    """Which rows are not finite; None: all are."""
    bad = rows_of(~torch.isfinite(tensor.detach()))
    return bad if bool(bad.any()) else None


def _value_words(machine: Tracing, found: Record, run: int, notes: tuple[str, ...], name: str) -> ProbError:
    node = found.node
    shown = show(entry) if (entry := entry_of(found, run)) is not None else "not finite"
    if node is None:
        return machine.where.error("P0502", f"`{name}` is not finite: {shown}", machine.resolved.program.body.span, notes=notes)
    span, operands = node.span, operands_text(found, run)
    if isinstance(node, Arithmetic):
        span, step = step_of(node, found, run, machine.dtype)
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
    if isinstance(node, LogPdf) and node.form == "cdf":
        return None
    if isinstance(node, LogPdf):
        return "the value has density 0 there: keep it inside the support, or treat that case by itself with `if`"
    if isinstance(node, Power):
        return "keep the base away from 0, or positive where the exponent is not a whole number"
    return None


def gradient_problem(
    session: Session, runs: int, leaves: Mapping[str, Tensor], name: str, parameter: str, number: int, entry: int
) -> ProbError:
    """P0503: the operation of the present block that turns a finite gradient into one that is not."""
    machine = session.tracer()
    session.again()
    outcome = machine.run(leaves, session.data, runs)
    tensors = [r for r in machine.records if r.live is not None and r.node is not None]
    value = session.result(outcome.values[number])
    title = f"the derivative of `{name}` in `{parameter}` is not finite"
    points = [record.live for record in tensors if record.live is not None] + list(leaves.values())
    weighing = Weighing.of_result(outcome, number, value, runs)
    found = next(at.per_run for at in weighing.gradients(Leaves(points), False) if at.entry == entry)
    incoming = {id(point): grad for point, grad in zip(points, found, strict=True)}
    found_at = incoming.get(id(leaves[parameter]))
    bad = None if found_at is None else bad_rows(found_at)
    run = int(bad.nonzero()[0]) if bad is not None else 0
    count = int(bad.sum()) if bad is not None else 0
    notes = (in_runs(count, runs) + (f"; run {run} shows it" if runs > 1 else ""),) if bad is not None and not session.exact else ()
    for record in reversed(tensors):
        if _breaks(record, incoming, run):
            assert record.node is not None
            operands = operands_text(record, run)
            what = record.note or "this"
            return machine.where.error(
                "P0503", title, record.node.span, f"{what} has no finite derivative" + (f" at {operands}" if operands else ""),
                notes, "keep the argument away from the place where the derivative is infinite",
            )
    return machine.where.error("P0503", title, session.resolved.program.body.statements[-1].span, notes=notes)


def _breaks(record: Record, incoming: dict[int, Tensor | None], run: int) -> bool:
    """Whether an operation gets a finite gradient in a run and hands on one that is not."""
    value, gradient = record.live, incoming.get(id(record.live))
    assert value is not None
    row = row_in(record, run)
    if gradient is None or row is None or not is_finite(gradient[row]):
        return False
    sources = [source for source in record.inputs if source.live is not None]
    inputs = [source.live for source in sources if source.live is not None]
    if not sources:
        return False
    local = torch.autograd.grad(value, inputs, gradient, retain_graph=True, allow_unused=True)
    return any(
        not is_finite(part[place])
        for source, part in zip(sources, local, strict=True)
        if part is not None and (place := row_in(source, run)) is not None
    )
