"""Arguments of distributions: evaluated, aligned and checked."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...dsl.syntax import Distribution, Expression
from ...dsl.tables.distributions import DISTRIBUTIONS, DistributionRow, ParameterRow, domain_help, domain_words, order_words
from ..arrays.broadcast import ShapeMismatch, broadcast_shapes, narrowed, shape_words
from ..lanes.circumstances import circumstances, count_runs, first_of, in_runs, row_of, show
from ..lanes.frames import Frame
from ..laws.domains import order_violation, violation
from .machine import Machine


@dataclass(frozen=True, slots=True)
class Bound:
    """A distribution with its arguments on a frame's lanes."""

    row: DistributionRow
    arguments: dict[str, Tensor]
    batch: tuple[int, ...]
    event: tuple[int, ...]


def with_axes(tensor: Tensor, axes: int) -> Tensor:
    """Insert axes of size 1 after the lane axis."""
    return tensor if axes <= 0 else tensor.reshape(tensor.shape[0], *(1,) * axes, *tensor.shape[1:])


# -------------------------------------------------------------------------------------------------- arguments
def bind_arguments(machine: Machine, node: Distribution, frame: Frame, batch: tuple[int, ...] = ()) -> Bound:
    """Evaluate, align and check the arguments, for draws of at least the shape `batch`; P0301, P0501."""
    row = DISTRIBUTIONS[node.name]
    expressions = machine.resolved.arguments[id(node)]
    arguments: dict[str, Tensor] = {}
    simple = row.event == 0
    given = [parameter.name for parameter in row.parameters if parameter.name in expressions]
    values = dict(zip(given, machine.evaluate_all([expressions[name] for name in given], frame), strict=True))
    for parameter in row.parameters:
        if parameter.name not in values:
            if parameter.default is not None:
                arguments[parameter.name] = machine.constant(parameter.default)
            continue
        value, expression = values[parameter.name], expressions[parameter.name]
        if isinstance(value, Tensor):
            tensor = machine.number(value)
            check(machine, row, parameter, tensor, expression, frame)
            simple = simple and tensor.dim() == 1 and parameter.event == 0
        else:
            assert isinstance(value, float | bool | int)
            tensor = machine.constant(float(value))
            key = (row.name, parameter.name, float(value))
            if key not in machine.allowed:
                check(machine, row, parameter, tensor, expression, frame)
                machine.allowed.add(key)
            simple = simple and parameter.event == 0
        arguments[parameter.name] = tensor
    if simple and not batch:
        bound = Bound(row, arguments, (), ())
    else:
        bound = _align(machine, row, arguments, node, batch)
    if row.ordered is not None:
        _check_order(machine, bound, expressions, node, frame)
    return bound


def _align(
    machine: Machine, row: DistributionRow, arguments: dict[str, Tensor], node: Distribution, least: tuple[int, ...]
) -> Bound:
    """Give all arguments the same number of batch axes and find the shapes of batch and draw."""
    batches = {}
    events: list[tuple[int, ...]] = []
    for name, tensor in arguments.items():
        own = row.parameter(name).event
        shape = tuple(tensor.shape[1:])
        if len(shape) < own:
            kind = "a vector" if own == 1 else "a matrix"
            span = machine.resolved.arguments[id(node)][name].span
            raise machine.where.error(
                "P0301", f"`{name}` of {row.name} must be {kind}", span, f"this is {shape_words(shape)}"
            )
        cut = len(shape) - own
        batches[name] = shape[:cut]
        if own:
            events.append(shape[cut:])
    try:
        batch = broadcast_shapes([*batches.values(), least])
        sizes = {size for event in events for size in event}
        if len(sizes) > 1:
            raise ShapeMismatch(events)
    except ShapeMismatch as problem:
        raise machine.where.error(
            "P0301", f"the arguments of {row.name} do not fit together: {problem.reason}", node.span
        ) from None
    aligned = {name: with_axes(tensor, len(batch) - len(batches[name])) for name, tensor in arguments.items()}
    event = tuple(sizes) * row.event if row.event else ()
    return Bound(row, aligned, batch, event)


def check(
    machine: Machine, row: DistributionRow, parameter: ParameterRow, tensor: Tensor, expression: Expression, frame: Frame
) -> None:
    """P0501 where an argument lies outside its domain in some lane."""
    if tensor.dim() - 1 < parameter.event:
        return
    if parameter.event == 2 and tensor.shape[-1] != tensor.shape[-2]:
        raise machine.where.error(
            "P0301", f"`{parameter.name}` of {row.name} must be a square matrix", expression.span,
            f"this is {shape_words(tuple(tensor.shape[1:]))}",
        )
    mask = violation(parameter.domain, tensor if parameter.event else narrowed(tensor), parameter.event)
    if mask is None:
        return
    mask = mask.expand(tensor.shape[: tensor.dim() - parameter.event])
    lane = first_of(mask)
    entry = tensor.detach()[lane]
    if mask.dim() > 1:
        entry = entry[tuple(int(index) for index in mask[lane].nonzero()[0])]
    value = show(entry)
    given = circumstances(expression, frame, lane, machine.constants)
    text = " ".join(machine.where.source.slice(expression.span).split())
    raise machine.where.error(
        "P0501", f"`{parameter.name}` of {row.name} must {domain_words(parameter.domain)}, but is {value}", expression.span,
        f"= {value}{given}", (in_runs(*count_runs(mask, frame, machine.stands_for)),), domain_help(row, parameter.name, text),
    )


def _check_order(
    machine: Machine, bound: Bound, expressions: dict[str, Expression], node: Distribution, frame: Frame
) -> None:
    mask = order_violation(bound.row, bound.arguments)
    if mask is None:
        return
    assert bound.row.ordered is not None
    first, second = bound.row.ordered
    lane = first_of(mask)
    low, high = (show(row_of(bound.arguments[name], lane)) for name in (first, second))
    raise machine.where.error(
        "P0501", f"`{first}` of {bound.row.name} must {order_words(bound.row)}, but they are {low} and {high}",
        expressions[second].span if second in expressions else node.span, f"= {high}",
        (in_runs(*count_runs(mask, frame, machine.stands_for)),),
    )
