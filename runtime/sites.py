"""Sampling sites and log densities: arguments to tensors, their shapes and domains, and the draw by the site's estimator.

Arguments `[lanes or 1, *batch, *event]` are aligned so that the batch axes of all of them broadcast; a draw has the shape
`[lanes, *batch, *event]` even where all arguments are the same in every lane, because the runs are independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ..dsl.diagnostics import ProbError
from ..dsl.distributions import DISTRIBUTIONS, DistributionRow, ParameterRow
from ..dsl.plan import BIASED
from ..dsl.syntax import Distribution, Draw, Expression, LogPdf, Sample
from .broadcast import ShapeMismatch, broadcast_shapes, narrowed, shape_words, widen
from .distributions import Law, build, domain_help, domain_words, order_violation, order_words, violation
from .estimators import Request
from .frames import Frame
from .lanes import carry
from .masked import counted
from .problems import circumstances, count_runs, first_of, in_runs, row_of, show
from .quasi import Points
from .recording import recording
from .watch import GuardBroken, TooCoarse, TooManyLanes

if TYPE_CHECKING:
    from .interpreter import Interpreter


RARE = 0.01  # part of the draws of a relaxed site that may be at the edge of its domain


@dataclass(frozen=True, slots=True)
class Bound:
    """A distribution with its arguments on a frame's lanes."""

    row: DistributionRow
    arguments: dict[str, Tensor]
    batch: tuple[int, ...]
    event: tuple[int, ...]


def draw(machine: Interpreter, node: Sample | Draw, frame: Frame) -> Tensor:
    """Execute a sampling site."""
    site = machine.resolved.site_at[id(node)]
    choice = machine.choices.get(site.index)
    batch = () if machine.rounds is None else (machine.rounds.count,)
    bound = bind_arguments(machine, node.distribution, frame, batch)
    arguments = bound.arguments
    live = any(argument.requires_grad for argument in arguments.values())
    estimator = machine.estimator(choice, site)
    law = build(bound.row, arguments)
    if live and (estimator.name != "rsample" or not bound.row.whole_line):
        refine(machine, law, None, bound.row, node)
    if live and estimator.needs_interior:
        mask = law.boundary()
        if mask is not None and bool(mask.any()):
            arguments = at_boundary(machine, node, bound, mask, frame)
            law = build(bound.row, arguments)
    if live and machine.lifter is not None:
        lift = partial(machine.lifter.lift, lanes=frame.lanes)
        if law.lifts and estimator.name == "score":
            law.lift = lift
        else:
            arguments = {name: lift(argument) for name, argument in arguments.items()}
            law = build(bound.row, arguments)
    if law.lifts and all(argument.shape[0] == 1 for argument in arguments.values()):
        law.once = machine.once  # type: ignore[method-assign]
    options = {} if choice is None else choice.options
    request = Request(
        bound.row, law, arguments, (frame.lanes.count, *bound.batch, *bound.event), len(bound.batch), live, options,
        machine.generator, machine.ends, machine.most_lanes, not machine.credits, machine.meter,
    )
    machine.meter.spend(math.prod(request.shape))
    if machine.counter is not None:
        machine.counter.expect(math.prod(request.shape))
    drawn = estimator.draw(request)
    if drawn is None:
        raise TooManyLanes(site.index)
    machine.draws += drawn.index is None
    if drawn.index is not None:
        assert drawn.probability is not None
        machine.split(site, frame, drawn.index, drawn.probability)
    machine.note_draw(node, drawn.value, drawn.log_density, frame)
    if drawn.log_density is not None:
        baseline = "none" if isinstance(machine.generator, Points) else str(options.get("baseline", "mean"))
        log_density = machine.bent(node, drawn.log_density) if machine.kinks else drawn.log_density
        machine.note_score(node, counted(frame.mask, log_density), baseline, frame)
    return drawn.value


def log_density(machine: Interpreter, node: LogPdf, frame: Frame) -> Tensor:
    """`logpdf(Dist(...), value)`, elementwise: `[lanes or 1, *batch]`, -inf outside the support."""
    bound = bind_arguments(machine, node.distribution, frame)
    entered = frame.lanes
    value = machine.number(machine.evaluate(node.value, frame))
    arguments = {name: cast(Tensor, carry(argument, entered, frame.lanes)) for name, argument in bound.arguments.items()}
    events = bound.row.event
    if value.dim() - 1 < events or value.shape[value.dim() - events :] != bound.event:
        given = shape_words(tuple(value.shape[1:]))
        raise machine.where.error(
            "P0301", f"a draw of {bound.row.name} here has the shape {shape_words((*bound.batch, *bound.event))}",
            node.value.span, f"this is {given}",
        )
    rank = max(len(bound.batch), value.dim() - 1 - events)
    if rank:
        try:
            broadcast_shapes([bound.batch, tuple(value.shape[1 : value.dim() - events])])
        except ShapeMismatch as problem:
            raise machine.where.shapes(problem, node.span) from None
        value = _lift(value, rank - (value.dim() - 1 - events))
        arguments = {name: _lift(argument, rank - len(bound.batch)) for name, argument in arguments.items()}
    if machine.lifter is not None and (value.shape[0] > 1 or any(argument.shape[0] > 1 for argument in arguments.values())):
        value = machine.lifter.lift(value, frame.lanes)
        arguments = {name: machine.lifter.lift(argument, frame.lanes) for name, argument in arguments.items()}
    law = build(bound.row, arguments)
    if value.requires_grad or any(argument.requires_grad for argument in arguments.values()):
        refine(machine, law, value, bound.row, node)
    if machine.guards and id(node) in machine.guards and not law.inside(value.detach()):
        machine.guards.broken(id(node))
    return law.log_prob(value)


def refine(machine: Interpreter, law: Law, value: Tensor | None, row: DistributionRow, node: Sample | Draw | LogPdf) -> None:
    """TooCoarse where numbers of the dtype are too far apart for a derivative here; P0508 where those of float64 are."""
    if recording() or not law.coarse(value):
        return
    if machine.dtype != torch.float64:
        raise TooCoarse
    raise machine.where.error(
        "P0508", f"{row.name} is too fine here even for numbers of float64", node.span,
        "its values are rounded by much of their spread, or pile up at an end of the support",
        help="move and scale it: draw a standard variable and combine it afterwards; or keep shapes away from 0",
    )


def _lift(tensor: Tensor, axes: int) -> Tensor:
    """Insert axes of size 1 after the lane axis."""
    return tensor if axes <= 0 else tensor.reshape(tensor.shape[0], *(1,) * axes, *tensor.shape[1:])


# -------------------------------------------------------------------------------------------------- arguments
def bind_arguments(machine: Interpreter, node: Distribution, frame: Frame, batch: tuple[int, ...] = ()) -> Bound:
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
    machine: Interpreter, row: DistributionRow, arguments: dict[str, Tensor], node: Distribution, least: tuple[int, ...]
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
    aligned = {name: _lift(tensor, len(batch) - len(batches[name])) for name, tensor in arguments.items()}
    event = tuple(sizes) * row.event if row.event else ()
    return Bound(row, aligned, batch, event)


def check(
    machine: Interpreter, row: DistributionRow, parameter: ParameterRow, tensor: Tensor, expression: Expression, frame: Frame
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
    machine: Interpreter, bound: Bound, expressions: dict[str, Expression], node: Distribution, frame: Frame
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


# --------------------------------------------------------------------------------------------------- boundary
def at_boundary(
    machine: Interpreter, node: Sample | Draw, bound: Bound, mask: Tensor, frame: Frame
) -> dict[str, Tensor]:
    """Arguments under which some outcome has probability exactly 0: harmless where they do not move, else P0404.

    A density says nothing about outcomes that cannot be drawn, so a score (or relaxation) would miss that they become
    possible.  Where the derivative of the argument is 0, the argument is detached there, and the answer is right.
    Where earlier draws lead there, the plan is made again with those detached; but a relaxation, which is biased anyway,
    lets pass what is rare (an epidemic that dies out in one of a thousand runs).
    """
    harmless = {}
    for name, argument in bound.arguments.items():
        if not argument.requires_grad:
            harmless[name] = argument
            continue
        shape, argument = argument.shape, narrowed(argument)
        entries = mask.reshape(*mask.shape, *(1,) * bound.row.parameter(name).event)
        total = torch.where(entries, argument, 0.0).sum()
        gradients = torch.autograd.grad(total, machine.ends(), retain_graph=True, allow_unused=True)
        if any(gradient is not None and bool((gradient != 0).any()) for gradient in gradients):
            choice = machine.choices[machine.resolved.site_at[id(node)].index]
            rare = choice.estimator in BIASED and float(mask.float().mean()) <= RARE
            if choice.movable and not rare:
                raise GuardBroken(id(node))
            if choice.movable:
                harmless[name] = widen(torch.where(entries, argument.detach(), argument), shape)
                continue
            raise _refusal(machine, node, bound, name, mask, frame)
        harmless[name] = widen(torch.where(entries, argument.detach(), argument), shape)
    return harmless


def _refusal(
    machine: Interpreter, node: Sample | Draw, bound: Bound, name: str, mask: Tensor, frame: Frame
) -> ProbError:
    lane = first_of(mask)
    site = machine.resolved.site_at[id(node)]
    estimator = machine.choices[site.index].estimator
    expression = machine.resolved.arguments[id(node.distribution)][name]
    entry = bound.arguments[name].detach()
    entry = entry[0 if entry.shape[0] == 1 else lane]
    value = show(entry)
    return machine.where.error(
        "P0404", f"`{estimator}` breaks down at site `{site.name}`: an outcome of {bound.row.name} has probability 0",
        expression.span, f"= {value}{circumstances(expression, frame, lane, machine.constants)}",
        (
            in_runs(*count_runs(mask, frame, machine.stands_for)),
            "an outcome that is never drawn cannot be weighed, but it becomes possible where the parameter moves",
        ),
        "keep the argument inside the domain, for instance by a sigmoid or by another parameter value",
    )


