"""Sampling sites and log densities: arguments to tensors, their shapes and domains, and the draw by the site's estimator.

Arguments `[lanes or 1, *batch, *event]` are aligned so that the batch axes of all of them broadcast; a draw has the shape
`[lanes, *batch, *event]` even where all arguments are the same in every lane, because the runs are independent.
"""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import torch
from torch import Tensor

from ...dsl.syntax import Draw, LogPdf, Sample
from ...dsl.tables.distributions import DistributionRow
from ...dsl.tables.estimators import ESTIMATORS, Carrier
from ...dsl.text.diagnostics import ProbError
from ..arrays.broadcast import ShapeMismatch, broadcast_shapes, narrowed, shape_words, widen
from ..arrays.recording import recording
from ..estimators import Request
from ..lanes.circumstances import circumstances, count_runs, first_of, in_runs, show
from ..lanes.frames import Frame
from ..lanes.guards import carries
from ..lanes.lanes import carry
from ..lanes.lessons import GuardBroken, TooCoarse, TooManyLanes
from ..laws.build import build
from ..laws.law import Law
from ..laws.sobol import Points
from .arguments import Bound, bind_arguments, with_axes
from .machine import Machine
from .masked import counted

RARE = 0.01  # part of the draws of a relaxed site that may be at the edge of its domain


def draw(machine: Machine, node: Sample | Draw, frame: Frame) -> Tensor:
    """Execute a sampling site."""
    site = machine.resolved.site_at[id(node)]
    choice = machine.choices.get(site.index)
    batch = () if machine.rounds is None else (machine.rounds.count,)
    bound = bind_arguments(machine, node.distribution, frame, batch)
    arguments = bound.arguments
    live = any(argument.requires_grad for argument in arguments.values())
    estimator = machine.estimator(choice, site)
    facts = estimator.facts
    law = build(bound.row, arguments)
    if live and (not facts.reparameterises or not bound.row.whole_line):
        refine(machine, law, None, bound.row, node)
    if live and facts.needs_interior:
        mask = law.boundary()
        if mask is not None and bool(mask.any()):
            arguments = at_boundary(machine, node, bound, mask, frame)
            law = build(bound.row, arguments)
    if live and machine.lifter is not None:
        lift = partial(machine.lifter.lift, lanes=frame.lanes)
        if law.lifts and facts.carrier is Carrier.DENSITY:
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
    machine.draws += facts.random
    if drawn.index is not None:
        assert drawn.probability is not None
        machine.split(site, frame, drawn.index, drawn.probability)
    machine.note_draw(node, drawn.value, drawn.log_density, frame)
    if drawn.log_density is not None:
        baseline = "none" if isinstance(machine.generator, Points) else str(options.get("baseline", "mean"))
        log_density = machine.bent(node, drawn.log_density) if machine.kinks else drawn.log_density
        machine.note_score(node, counted(frame.mask, log_density), baseline, frame)
    return drawn.value


def log_density(machine: Machine, node: LogPdf, frame: Frame) -> Tensor:
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
        value = with_axes(value, rank - (value.dim() - 1 - events))
        arguments = {name: with_axes(argument, rank - len(bound.batch)) for name, argument in arguments.items()}
    if machine.lifter is not None and (value.shape[0] > 1 or any(argument.shape[0] > 1 for argument in arguments.values())):
        value = machine.lifter.lift(value, frame.lanes)
        arguments = {name: machine.lifter.lift(argument, frame.lanes) for name, argument in arguments.items()}
    law = build(bound.row, arguments)
    if value.requires_grad or any(argument.requires_grad for argument in arguments.values()):
        refine(machine, law, value, bound.row, node)
    if machine.guards and id(node) in machine.guards and not law.inside(value.detach()):
        machine.guards.broken(id(node))
    return law.log_prob(value)


def refine(machine: Machine, law: Law, value: Tensor | None, row: DistributionRow, node: Sample | Draw | LogPdf) -> None:
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


# --------------------------------------------------------------------------------------------------- boundary
def at_boundary(
    machine: Machine, node: Sample | Draw, bound: Bound, mask: Tensor, frame: Frame
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
        if carries(argument, entries, machine.ends()):
            choice = machine.choices[machine.resolved.site_at[id(node)].index]
            rare = ESTIMATORS[choice.estimator].biased and float(mask.float().mean()) <= RARE
            if choice.movable and not rare:
                raise GuardBroken(id(node))
            if choice.movable:
                harmless[name] = widen(torch.where(entries, argument.detach(), argument), shape)
                continue
            raise _refusal(machine, node, bound, name, mask, frame)
        harmless[name] = widen(torch.where(entries, argument.detach(), argument), shape)
    return harmless


def _refusal(
    machine: Machine, node: Sample | Draw, bound: Bound, name: str, mask: Tensor, frame: Frame
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
