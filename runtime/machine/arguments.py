"""Arguments of distributions: evaluated, aligned and checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import cast

import torch
from torch import Tensor

from ...dsl.analysis.gates import find_factors
from ...dsl.names.resolved import Site
from ...dsl.syntax import Distribution, Expression, Name
from ...dsl.tables.distributions import DISTRIBUTIONS, DistributionRow, ParameterRow, domain_help, domain_words, order_words
from ...dsl.tables.ranges import constant
from ..arrays.broadcast import ShapeMismatch, broadcast_shapes, shape_words
from ..arrays.kernels import compare, to_number
from ..arrays.private import observed
from ..arrays.scalars import Ends
from ..lanes.circumstances import circumstances, count_runs, first_of, in_runs, row_of, show
from ..lanes.frames import Frame
from ..lanes.lessons import NotCompiled
from ..lanes.values import PerLane, Plain, Uniform
from ..laws.build import build, is_narrow
from ..laws.domains import order_violation, violation
from ..laws.law import Law
from .indexing import size
from .machine import Machine

MOST_OUTCOMES = 64  # that are looked at one by one


@dataclass(frozen=True, slots=True)
class Bound:
    """A distribution with its arguments (which hold tensors) on a frame's lanes."""

    row: DistributionRow
    arguments: dict[str, Plain]
    batch: tuple[int, ...]
    event: tuple[int, ...]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The arguments with all their entries `[lanes or 1, *batch, *parameter event]`."""
        return {name: cast(Tensor, value.wide) for name, value in self.arguments.items()}

    @property
    def live(self) -> bool:
        """Whether an argument carries a derivative."""
        return any(value.live for value in self.arguments.values())

    @property
    def alike(self) -> bool:
        """Whether all elements of an array have one law, by the way the arguments were made, not by their values."""
        last = 1 + len(self.batch)
        return bool(self.batch) and all(
            size == 1 for value in self.arguments.values() for size in cast(Tensor, value.raw).shape[1:last]
        )

    def with_arguments(self, arguments: dict[str, Plain]) -> Bound:
        """The same with other arguments."""
        return Bound(self.row, arguments, self.batch, self.event)

    def law(self) -> Law:
        """The distribution as code."""
        narrow = is_narrow(self.row)
        law = build(self.row, {
            name: cast(Tensor, value.raw if narrow or value.event is None else value.wide) for name, value in self.arguments.items()
        })
        law.known = ArgumentEnds(self.arguments)
        return law


class ArgumentEnds(Mapping[str, Ends]):
    """The ends of the arguments of a law, looked for once for each value."""

    def __init__(self, arguments: dict[str, Plain]):
        self.arguments = arguments

    def __getitem__(self, name: str) -> Ends:
        return self.arguments[name].ends

    def __iter__(self) -> Iterator[str]:
        return iter(self.arguments)

    def __len__(self) -> int:
        return len(self.arguments)


def with_axes(value: Plain, axes: int) -> Plain:
    """Insert axes of size 1 after the lane axis of a value that holds a tensor."""
    if axes <= 0:
        return value
    raw = cast(Tensor, value.raw)
    ones = (1,) * axes
    event = None if value.event is None else (*ones, *value.event)
    return type(value)(raw.reshape(raw.shape[0], *ones, *raw.shape[1:]), event)


def check_cover(machine: Machine, node: Distribution, target: Bound, proposal: Bound) -> None:
    """P0213 where a proposal surely cannot draw what its target can: nothing that is drawn would tell.  P0301 where the target has
    more elements than are drawn.  Both have arguments on the same lanes."""
    if _wider(target, proposal):
        shapes = [shape_words((*bound.batch, *bound.event)) for bound in (target, proposal)]
        raise machine.where.error(
            "P0301", f"the proposal draws values of another shape than {target.row.name} has", node.span,
            f"this is {shapes[0]}, but {shapes[1]} is drawn", help="give the proposal arguments of the shape of the target's",
        )
    arguments = [value for bound in (target, proposal) for value in bound.arguments.values()]
    what = _missing(target, proposal)
    if what is None and all(isinstance(value, Uniform) and value.numbers <= 1 for value in arguments):
        wanted, covered = (bound.row.support({
            name: constant(float(value.ends[0])) for name, value in bound.arguments.items()
        }) for bound in (target, proposal))
        if not wanted.within(covered):
            what = f"values from {wanted.low:g} to {wanted.high:g}, but the proposal draws from {covered.low:g} to {covered.high:g}"
    if what is not None:
        raise machine.where.error(
            "P0213", f"the proposal cannot draw all values of {target.row.name}", node.span, what,
            help="propose from a distribution whose support covers that of the target",
        )


def _wider(target: Bound, proposal: Bound) -> bool:
    """Whether a target has elements that are not drawn."""
    try:
        return broadcast_shapes([target.batch, proposal.batch]) != proposal.batch or target.event != proposal.event
    except ShapeMismatch:
        return True


def _missing(target: Bound, proposal: Bound) -> str | None:
    """Which of a few outcomes has a probability, but none under the proposal; None: that is not known of any."""
    if not (target.row.discrete and proposal.row.discrete) or target.event:
        return None
    if observed():
        raise NotCompiled("the proposal of a discrete draw is looked at")
    wanted, drawn = target.law(), proposal.law()
    outcomes = wanted.outcomes(MOST_OUTCOMES)
    if outcomes is None:
        return None
    covered = drawn.outcomes(2 * MOST_OUTCOMES)
    if covered is not None and bool(torch.isin(outcomes, covered).all()) and drawn.boundary() is None:
        return None
    with torch.no_grad():
        for outcome in outcomes:
            value = outcome.reshape(1, *(1,) * len(proposal.batch))
            if bool(((wanted.log_prob(value) > -math.inf) & (drawn.log_prob(value) == -math.inf)).any()):
                return f"it can be {float(outcome):g}, which the proposal never draws"
    return None


# -------------------------------------------------------------------------------------------------- arguments
def bind_arguments(machine: Machine, node: Distribution, frame: Frame, batch: tuple[int, ...] = ()) -> Bound:
    """Evaluate, align and check the arguments, for draws of at least the shape `batch`; P0301, P0501."""
    row = DISTRIBUTIONS[node.name]
    expressions = machine.resolved.arguments[id(node)]
    arguments: dict[str, Plain] = {}
    simple = row.event == 0
    given = [parameter.name for parameter in row.parameters if parameter.name in expressions]
    values = dict(zip(given, machine.evaluate_all([expressions[name] for name in given], frame), strict=True))
    for parameter in row.parameters:
        if parameter.name not in values:
            if parameter.default is not None:
                arguments[parameter.name] = Uniform(machine.constant(parameter.default))
            continue
        value, expression = values[parameter.name], expressions[parameter.name]
        if isinstance(value.raw, Tensor):
            if value.raw.dtype != machine.dtype:
                value = type(value)(to_number(value.raw, machine.dtype), value.event)
            check(machine, row, parameter, value, expression, frame)
            if value.live and not parameter.differentiable:  # a count, between whose values there is nothing
                value = type(value)(cast(Tensor, value.raw).detach(), value.event)
            simple = simple and not value.shape and parameter.event == 0
        else:
            key = (row.name, parameter.name, float(value.raw))
            value = Uniform(machine.constant(float(value.raw)))
            if key not in machine.allowed:
                check(machine, row, parameter, value, expression, frame)
                machine.allowed.add(key)
            simple = simple and parameter.event == 0
        arguments[parameter.name] = value
    if simple and not batch:
        bound = Bound(row, arguments, (), ())
    else:
        bound = _align(machine, row, arguments, node, batch)
    if row.ordered is not None:
        _check_order(machine, bound, expressions, node, frame)
        if row.parts:
            _check_meeting(machine, bound, expressions, node, frame)
    return bound


def _align(
    machine: Machine, row: DistributionRow, arguments: dict[str, Plain], node: Distribution, least: tuple[int, ...]
) -> Bound:
    """Give all arguments the same number of batch axes and find the shapes of batch and draw."""
    batches = {}
    events: list[tuple[int, ...]] = []
    for name, value in arguments.items():
        own = row.parameter(name).event
        shape = value.shape
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
        sizes = {entries for event in events for entries in event}
        if len(sizes) > 1 or (row.parts and sizes and sizes != {len(row.parts)}):
            raise ShapeMismatch(events, f"{len(row.parts)} distributions need as many weights" if row.parts else "")
    except ShapeMismatch as problem:
        raise machine.where.error(
            "P0301", f"the arguments of {row.name} do not fit together: {problem.reason}", node.span
        ) from None
    if row.sized:
        given = arguments[row.sized]
        sizes = {size(given, f"`{row.sized}` of {row.name}", machine.resolved.arguments[id(node)][row.sized].span, machine.where)}
    aligned = {name: with_axes(value, len(batch) - len(batches[name])) for name, value in arguments.items()}
    event = tuple(sizes) * row.event if row.event else ()
    return Bound(row, aligned, batch, event)


def check(
    machine: Machine, row: DistributionRow, parameter: ParameterRow, value: Plain, expression: Expression, frame: Frame
) -> None:
    """P0501 where an argument lies outside its domain in some lane."""
    shape = value.shape
    if len(shape) < parameter.event:
        return
    if parameter.event == 2 and shape[-1] != shape[-2]:
        raise machine.where.error(
            "P0301", f"`{parameter.name}` of {row.name} must be a square matrix", expression.span,
            f"this is {shape_words(shape)}",
        )
    tensor = cast(Tensor, value.wide if parameter.event else value.raw)
    found = None if observed() or not tensor.numel() else value.ends
    mask = violation(parameter.domain, tensor, parameter.event, found)
    if mask is None:
        return
    mask = mask.expand(tensor.shape[0], *shape[: len(shape) - parameter.event])
    lane = first_of(mask)
    entry = row_of(value, lane)
    if mask.dim() > 1:
        entry = cast(Tensor, entry)[tuple(int(index) for index in mask[lane].nonzero()[0])]
    shown = show(entry)
    given = circumstances(expression, frame, lane, machine.constants)
    text = " ".join(machine.where.source.slice(expression.span).split())
    raise machine.where.error(
        "P0501", f"`{parameter.name}` of {row.name} must {domain_words(parameter.domain)}, but is {shown}", expression.span,
        f"= {shown}{given}", (in_runs(*count_runs(mask, frame, machine.stands_for)),), domain_help(row, parameter.name, text),
    )


def _check_order(
    machine: Machine, bound: Bound, expressions: dict[str, Expression], node: Distribution, frame: Frame
) -> None:
    mask = order_violation(bound.row, bound.tensors)
    if mask is None:
        return
    assert bound.row.ordered is not None
    first, second = bound.row.ordered
    lane = first_of(mask)
    low, high = (show(row_of(bound.arguments[name], lane)) for name in (first, second))
    if bound.row.amid and float(low) < float(high):
        middle = show(row_of(bound.arguments[bound.row.amid], lane))
        raise machine.where.error(
            "P0501", f"`{bound.row.amid}` of {bound.row.name} must lie between `{first}` and `{second}`",
            expressions[bound.row.amid].span, f"= {middle}, not between {low} and {high}",
            (in_runs(*count_runs(mask, frame, machine.stands_for)),),
        )
    raise machine.where.error(
        "P0501", f"`{first}` of {bound.row.name} must {order_words(bound.row)}, but they are {low} and {high}",
        expressions[second].span if second in expressions else node.span, f"= {high}",
        (in_runs(*count_runs(mask, frame, machine.stands_for)),),
    )


def _check_meeting(
    machine: Machine, bound: Bound, expressions: dict[str, Expression], node: Distribution, frame: Frame
) -> None:
    """P0501 where nothing of a law lies between the ends of its truncation; P0404 where such an end stands exactly on an end
    of the law's own, and moves: beyond that it would have no effect, so that its derivative has one side only."""
    base = bound.row.parts[0]
    own = base.support({})
    low, high = (bound.tensors[name].detach() for name in ("low", "high"))
    if bool((outside := (low >= own.high) | (high <= own.low)).any()):
        raise machine.where.error(
            "P0501", f"no value of {base.name} lies between `low` and `high` of its truncation", node.span,
            notes=(in_runs(*count_runs(outside, frame, machine.stands_for)),),
        )
    for name, end in (("low", own.low), ("high", own.high)):
        tensor = bound.tensors[name]
        where = tensor.detach() == end
        if math.isfinite(end) and tensor.requires_grad and bool(where.any()) and machine.motion().moves(tensor, where):
            raise machine.where.error(
                "P0404", f"`{name}` of {bound.row.name} stands exactly on the end of {base.name} itself", expressions[name].span,
                f"= {end:g}, beyond which it has no effect", (in_runs(*count_runs(where, frame, machine.stands_for)),),
                "keep it inside: there the derivative has one side only",
            )


def uncounted(machine: Machine, site: Site, frame: Frame, batch: tuple[int, ...], front: int | None) -> Tensor | None:
    """Which elements of a draw on the first `front` lanes (None: on all) count nowhere, since all that they do is to be multiplied
    by 0 (`find_factors`): `caught*well` where nobody is well `[front or 1, *batch]`; None: none, as far as is known."""
    resolved, wanted = machine.resolved, tuple(machine.wanted)
    uses = resolved.prepared.once("factors", wanted, lambda: find_factors(resolved, wanted)).get(site.index, ())
    if not uses or machine.rounds is not None or machine.aside is None or machine.depth:
        return None
    zeros = [[_zero(machine, name, frame, batch, front) for name in names] for names in uses]
    tables = [[zero for zero in several if zero is not None] for several in zeros]
    if not all(tables):
        return None
    found = reduce(and_, (reduce(or_, several) for several in tables))
    return found if bool(found.any()) else None


def _zero(machine: Machine, name: str, frame: Frame, batch: tuple[int, ...], front: int | None) -> Tensor | None:
    """Where a variable is 0 on the first lanes, for each element of a draw; None: it is not there yet, or has other elements."""
    assert machine.aside is not None
    with torch.enable_grad():  # the frame keeps what was read, which others read with its derivative
        value = None if frame.find(name) is None else machine.aside.evaluate(Name(name), frame)
    if not isinstance(value, PerLane | Uniform):
        return None
    raw = value.raw.detach() if isinstance(value.raw, Tensor) else torch.tensor([float(value.raw)], device=machine.device)
    own = tuple(raw.shape[1:])
    fits = own == tuple(value.shape) and len(own) <= len(batch) and raw.shape[0] in (1, frame.lanes.count)
    if not fits or any(size not in (1, most) for size, most in zip(own[::-1], batch[::-1], strict=False)):
        return None
    raw = raw[:front]
    return compare(torch.eq, raw, 0.0).reshape(raw.shape[0], *(1,) * (len(batch) - len(own)), *own).expand(raw.shape[0], *batch)
