"""Sampling sites and log densities: arguments to tensors, their shapes and domains, and the draw by the site's estimator.

Arguments `[lanes or 1, *batch, *event]` are aligned so that the batch axes of all of them broadcast; a draw has the shape
`[lanes, *batch, *event]` even where all arguments are the same in every lane, because the runs are independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...dsl.levels import Proposal
from ...dsl.names.resolved import Site
from ...dsl.syntax import Distribution, Draw, LogPdf, Sample
from ...dsl.tables.distributions import DistributionRow
from ...dsl.tables.estimators import ESTIMATORS, Carrier, advice_at_edges
from ...dsl.text.diagnostics import ProbError
from ..arrays.broadcast import ShapeMismatch, broadcast_shapes, shape_words
from ..arrays.memory import ask
from ..arrays.operations import Operand, numeric
from ..arrays.private import observed
from ..estimators import Drawn, Request
from ..estimators.request import Estimator, Options
from ..lanes.circumstances import circumstances, count_runs, first_of, in_runs, show
from ..lanes.endings import Cut, grow
from ..lanes.forking import front_of
from ..lanes.frames import Frame
from ..lanes.lanes import Lanes, carry
from ..lanes.lessons import AtEdge, GuardBroken, NotCompiled, TooCoarse, TooManyLanes, TooSmall
from ..lanes.merging import entries, first_of_each, grouped
from ..lanes.values import PerLane, Plain, Uniform
from ..laws.build import build, too_coarse
from ..laws.cumulative import AT_INFINITY, cumulative, extent
from ..laws.law import Edge, Law
from ..laws.others import Others
from .arguments import Bound, bind_arguments, check_cover, uncounted, with_axes
from .machine import Machine
from .operation import Operation
from .roots import crossings
from .setting import Setting
from .ways import APART, counted

COPIES = 8  # of a draw while it is made: noise, scaled and moved, its density, its derivative
MANY = 256  # lanes of which only those with different arguments are looked at,
DIFFERENT = 2  # if these are a part of them
RARE = 0.01  # part of the draws of a relaxed site that may be at the edge of its domain


@dataclass(frozen=True)
class SiteDraw:
    """A draw on a frame's lanes, of what, and the work that it took: to draw so many numbers, and beside that."""

    bound: Bound
    law: Law
    drawn: Drawn
    value: PerLane
    work: tuple[int, int]

    @property
    def numbers(self) -> int:
        """How many are kept."""
        return self.value.numbers


def draw(machine: Machine, node: Sample | Draw, frame: Frame) -> Plain:
    """Execute a sampling site."""
    site = machine.resolved.site_at[id(node)]
    choice = machine.choices.get(site.index)
    estimator = machine.estimator(choice, site)
    facts = estimator.facts
    options: Options = {} if choice is None else choice.options
    before, probability = machine.meter.spent, None
    again = frame.lanes.once is not None and not facts.random and not isinstance(node, Proposal)
    given = machine.given(node.distribution, frame) if again else None
    if given is None:
        made = _site_draw(machine, node, estimator, options, frame)
    else:
        made = frame.lanes.again(id(node), lambda *_: _site_draw(machine, node, estimator, options, frame), *given)
        if machine.meter.spent == before:  # what is found again counts as if it were done again
            for work in made.work:
                machine.meter.spend(work)
            if made.drawn.anew is not None:  # derivatives that cancel must meet before those of all rounds are added up
                probability = made.drawn.anew()
    drawn, value = made.drawn, made.value
    machine.draws += facts.random
    if drawn.index is not None:
        probability = drawn.probability if probability is None else probability
        assert probability is not None
        machine.split(site, frame, drawn.index, probability)
        if drawn.late is not None:
            grow(frame, PerLane(drawn.late))
            machine.cuts.append(Cut(node.span, site.index, "outcomes", drawn.kept, drawn.rest))
    if drawn.others is not None:
        value = _forked(machine, frame, value, drawn.others, site.index, float(options.get("mass", 1.0)))
    machine.note_draw(node, value, drawn.log_density, frame)
    if drawn.log_density is not None:
        _note_score(machine, node, made.bound, made.law, drawn, options, frame)
    return value


def _site_draw(machine: Machine, node: Sample | Draw, estimator: Estimator, options: Options, frame: Frame) -> SiteDraw:
    """The draw itself."""
    site = machine.resolved.site_at[id(node)]
    batch = () if machine.rounds is None else (machine.rounds.count,)
    bound = bind_arguments(machine, node.distribution, frame, batch)
    _keep_proposal(machine, node, bound, frame)
    live = bound.live
    facts, law = estimator.facts, bound.law()
    if (live and (not facts.reparameterises or not bound.row.whole_line)) or law.small():
        refine(machine, law, None, bound.row, node)
    if live and (facts.needs_interior or (facts.several and "logits" in bound.arguments)):
        edge = law.boundary()
        if edge is not None and (edge.log or facts.needs_interior):
            at_edge(machine, node, bound, edge, frame)
    places = None
    if facts.splits and machine.merger is not None:
        bound, places = _rows(machine, bound, frame)
        law = law if places is None else bound.law()
    own = facts.crosses or not facts.forks or frame.lanes.count == 1  # else what moves is lifted where runs fork
    law, lifted = _lifted(machine, law, bound, live and own, facts.carrier is Carrier.DENSITY, frame)
    if facts.splits:
        law.once = machine.once  # type: ignore[method-assign]
    front = front_of(frame.lanes) if facts.forks else None
    request = Request(
        bound.row, law, lifted.tensors, (frame.lanes.count, *bound.batch, *bound.event), len(bound.batch), live, options,
        machine.noise.at(frame.lanes), machine.motion, machine.most_lanes, machine.most_table, places,
        facts.splits and bound.alike and site.index in machine.exchangeable, machine.sums_scores(bound.batch), machine.meter,
        crossings(machine, site, bound, frame), front, partial(uncounted, machine, site, frame, bound.batch, front),
    )
    numbers = math.prod(request.shape)
    machine.meter.spend(numbers)
    if machine.counter is not None:
        machine.counter.expect(numbers)
    ask(numbers, machine.device, COPIES)
    if facts.exact and facts.splits and bound.row.endless:  # the grid of `--verify` has ends
        _cuttable(machine, site)
    before = machine.meter.spent
    drawn = estimator.draw(request)
    if drawn is None:
        raise machine.too_many(site)
    return SiteDraw(bound, law, drawn, PerLane(drawn.value), (numbers, machine.meter.spent - before))


def _forked(machine: Machine, frame: Frame, value: PerLane, others: Others, site: int, more: float) -> PerLane:
    """Runs meet other outcomes of a draw; the draw on the lanes that go on."""
    if machine.branching is not APART:
        raise NotCompiled("runs go on as two lanes")
    assert machine.forks is not None
    lanes, rows = machine.forks.meet(frame.lanes, value.raw, others, site, more)
    if lanes is frame.lanes:
        return value
    if machine.counter is not None:
        machine.counter.hold(2 * lanes.count)  # where they come from
    frame.narrow(lanes)
    return PerLane(rows)


def _keep_proposal(machine: Machine, node: Sample | Draw, bound: Bound, frame: Frame) -> None:
    """The arguments of a proposal are those of its density, too."""
    if isinstance(node, Proposal):
        here = id(frame.activation)
        machine.proposed[id(node.distribution), here] = machine.proposals[id(node.target), here] = bound, frame.lanes


def _cuttable(machine: Machine, site: Site) -> None:
    """Outcomes without end are cut in the program itself, where lanes are merged."""
    if machine.merger is None or machine.depth:
        where = "inside a function" if machine.depth else "where lanes are not merged"
        raise TooManyLanes(site.index, f"there is no end of them, and {where} they are not cut")


def _rows(machine: Machine, bound: Bound, frame: Frame) -> tuple[Bound, Tensor | None]:
    """Arguments with different rows only, and the row of every lane `[lanes]`; None where most rows are different."""
    rows = [value for value in bound.arguments.values() if isinstance(value, PerLane)]
    if not rows or frame.lanes.count < MANY or any(value.live and value.same is None for value in rows):
        return bound, None
    columns = [column for value in rows for column in entries(value)]
    if bound.live:  # the derivative of a run is its own
        if frame.lanes.origin is None:
            return bound, None
        columns.append(frame.lanes.origin)
    groups, count = grouped(columns, frame.lanes.count, rows[0].raw.device)
    if DIFFERENT * count > frame.lanes.count:
        return bound, None
    first = first_of_each(groups, count)
    arguments = {}
    for name, value in bound.arguments.items():
        if machine.lifter is not None and bound.live and isinstance(value, Uniform):
            value = machine.lifter.lift(value, frame.lanes)  # on all lanes, which is not those of the rows that are left
        arguments[name] = value.rows_at(first) if isinstance(value, PerLane) else value
    return bound.with_arguments(arguments), groups


def _lifted(machine: Machine, law: Law, bound: Bound, live: bool, density: bool, frame: Frame) -> tuple[Law, Bound]:
    """The law, and its arguments, ready for draws of a lane's own: what is the same in all lanes is lifted, here or by the law
    itself where it has more to compute once."""
    uniform = law.lifts and all(isinstance(value, Uniform) for value in bound.arguments.values())
    lifter = machine.lifter
    if lifter is not None and live:
        if law.lifts and density:
            if uniform:
                law.lift = partial(lifter.leaf, lanes=frame.lanes)
        else:
            bound = bound.with_arguments({
                name: lifter.lift(value, frame.lanes) if isinstance(value, Uniform) else value
                for name, value in bound.arguments.items()
            })
            law = bound.law()
    if uniform:
        law.once = machine.once  # type: ignore[method-assign]
    return law, bound


def _note_score(
    machine: Machine, node: Sample | Draw, bound: Bound, law: Law, drawn: Drawn, options: Options, frame: Frame
) -> None:
    site, log_density = machine.resolved.site_at[id(node)], drawn.log_density
    assert log_density is not None
    if machine.variety is not None and bound.row.discrete and not site.repeated:
        machine.variety.look(site.index, law, drawn.value)
    baseline = "none" if machine.noise.even else str(options.get("baseline", "mean"))
    log_density = machine.bent(node, log_density) if id(node) in machine.kinks else log_density
    machine.note_score(node, counted(frame.mask, log_density), baseline, frame, drawn.summed)


def log_density(machine: Machine, node: LogPdf, frame: Frame) -> Plain:
    """`logpdf(Dist(...), value)`, elementwise, -inf outside the support."""
    bound, entered = _bound(machine, node.distribution, frame)
    value = machine.evaluate(node.value, frame)
    arguments = {name: carry(argument, entered, frame.lanes) for name, argument in bound.arguments.items()}
    events = bound.row.event
    shape = value.shape
    if len(shape) < events or shape[len(shape) - events :] != bound.event:
        raise machine.where.error(
            "P0301", f"a draw of {bound.row.name} here has the shape {shape_words((*bound.batch, *bound.event))}",
            node.value.span, f"this is {shape_words(shape)}",
        )
    rank = max(len(bound.batch), len(shape) - events)
    if rank:
        try:
            broadcast_shapes([bound.batch, shape[: len(shape) - events]])
        except ShapeMismatch as problem:
            raise machine.where.shapes(problem, node.span) from None
        value = with_axes(machine.arrayed(value), rank - (len(shape) - events))
        arguments = {name: with_axes(argument, rank - len(bound.batch)) for name, argument in arguments.items()}
    names = tuple(arguments)
    among = (0, 1 + names.index(bound.row.kink)) if bound.row.kink in names else ()
    code = partial(_density, node=node, row=bound.row, names=names, frame=frame)
    operation = Operation(None, code, meets="max" if among else "", among=among)
    return machine.apply(operation, (value, *arguments.values()), frame, node)


def _bound(machine: Machine, node: Distribution, frame: Frame) -> tuple[Bound, Lanes]:
    """The arguments of a density, and their lanes; those of a proposal are those of its draw."""
    key = id(node), id(frame.activation)
    if (known := machine.proposed.pop(key, None)) is not None:
        return known
    bound = bind_arguments(machine, node, frame)
    if (proposal := machine.proposals.pop(key, None)) is not None:
        drawn, entered = proposal
        given = {name: carry(value, entered, frame.lanes) for name, value in drawn.arguments.items()}
        check_cover(machine, node, bound, drawn.with_arguments(given))
    return bound, frame.lanes


def _density(
    machine: Setting, value: Operand, *given: Tensor, node: LogPdf, row: DistributionRow, names: tuple[str, ...], frame: Frame
) -> Tensor:
    """The density of values on the lanes of a frame, once all has been lifted that is to be."""
    assert isinstance(machine, Machine)
    arguments = dict(zip(names, given, strict=True))
    law, value = build(row, arguments), numeric(value, machine.dtype, machine.device)
    if value.requires_grad or any(argument.requires_grad for argument in given):
        possible = law.support(value.detach())
        if possible is None or bool(possible.any()):  # what cannot be anywhere has no derivative
            refine(machine, law, value, row, node)
    if machine.guards and id(node) in machine.guards and not law.inside(value.detach()):
        machine.guards.broken(id(node))
    if node.form != "logpdf":
        return _cumulative(machine, law, value, node, row, arguments, frame)
    density = law.log_prob(value)
    if density.requires_grad and (edge := law.boundary()) is not None:
        at_lost_mass(machine, node, row, law, edge, value, density, frame)
    return density


def _cumulative(
    machine: Machine, law: Law, value: Tensor, node: LogPdf, row: DistributionRow, arguments: dict[str, Tensor], frame: Frame
) -> Tensor:
    """`cdf` and its like.  P0404 where that has a kink, or where an argument at an end of its domain moves."""
    found = cumulative(row, build(row, arguments).arguments, node.form, value)
    if not found.requires_grad:
        return found
    edge = law.boundary() if row.name in AT_INFINITY else None
    if edge is not None and machine.motion().moves(arguments[edge.argument], edge.where, edge.log):
        raise _impossible(
            machine, node.distribution, arguments[edge.argument], edge, edge.where, frame,
            "keep the argument inside the domain", f"`{node.form}` of {row.name} is taken at the end of a domain",
            "the derivative there has one side only",
        )
    ends = any(arguments[parameter.name].requires_grad for parameter in row.parameters if parameter.moves_support)
    if (value.requires_grad or ends) and not row.discrete:
        low, high = extent(row, arguments)
        at = ((value.detach() == low) | (value.detach() == high)) & torch.isfinite(value.detach())
        if bool(at.any()) and (ends or observed() or machine.motion().moves(value, at)):
            if observed():
                raise NotCompiled("a value stands at the end of a support")
            raise machine.where.error(
                "P0404", f"`{node.form}` of {row.name} has a kink at the end of the support, where this value stands",
                node.value.span, help="keep the value off the end",
            )
    return found


def refine(machine: Machine, law: Law, value: Tensor | None, row: DistributionRow, node: Sample | Draw | LogPdf) -> None:
    """TooCoarse where numbers are too far apart for a derivative here; in float64 P0508, or TooSmall where logarithms may do."""
    known = value is None and law.small()
    if (known and machine.logarithms) or not too_coarse(law, value, row):
        return
    if machine.dtype != torch.float64:
        raise TooCoarse
    if known:
        raise TooSmall(machine.where.error(
            "P0508", f"draws of {row.name} are too small even for numbers of float64, and the result depends on them", node.span,
            "many are below the least number, or above the last one before 1",
            help="use what does not depend on how small they are (`x`, not `log(x)`); or keep shapes away from 0",
        ))
    raise machine.where.error(
        "P0508", f"{row.name} is too fine here even for numbers of float64", node.span,
        "its values are rounded by much of their spread, or pile up at an end of the support",
        help="move and scale it: draw a standard variable and combine it afterwards; or keep shapes away from 0",
    )


# --------------------------------------------------------------------------------------------------- boundary
def at_edge(machine: Machine, node: Sample | Draw, bound: Bound, edge: Edge, frame: Frame) -> None:
    """Arguments under which some outcome has probability exactly 0: harmless where that stands still, else P0404.

    A density says nothing about outcomes that cannot be drawn, so a score (or relaxation) would miss that they become
    possible; and the logarithm of a 0 that moves has no derivative that a sum over outcomes could use.
    Where earlier draws lead there, the plan is made again with those detached; but a relaxation, which is biased anyway,
    lets pass what is rare (an epidemic that dies out in one of a thousand runs).
    """
    if not machine.motion().moves(bound.tensors[edge.argument], edge.where, edge.log):
        return
    site = machine.resolved.site_at[id(node)]
    choice = machine.choices[site.index]
    facts = ESTIMATORS[choice.estimator]
    mask = edge.where
    for _ in range(bound.row.parameter(edge.argument).event):
        mask = mask.any(-1)
    if choice.movable:
        if facts.biased and float(mask.float().mean()) <= RARE:
            return
        raise GuardBroken(id(node))
    if not edge.log and not choice.forced and any(ESTIMATORS[name].forks for name in choice.candidates):
        raise AtEdge(site.index)
    help = "keep the argument inside the domain, for instance by a sigmoid or by another parameter value"
    help += "" if edge.log else advice_at_edges(bound.row, site.name, facts)
    note = "an outcome that is never drawn cannot be weighed, but it becomes possible where the parameter moves"
    raise _impossible(
        machine, node.distribution, bound.tensors[edge.argument], edge, mask, frame, help,
        f"`{choice.estimator}` breaks down at site `{site.name}`: an outcome of {bound.row.name} has probability 0",
        LOG if edge.log else note,
    )


LOG = "the logarithm of a probability has no derivative where it is 0, but the probability has one"


def at_lost_mass(
    machine: Machine, node: LogPdf, row: DistributionRow, law: Law, edge: Edge, value: Tensor, density: Tensor, frame: Frame
) -> None:
    """P0404 where the mass of a possible value is 0 and moves: its logarithm carries no derivative, exp of it has one."""
    lost, support = density.detach() == -math.inf, law.support(value.detach())
    lost = lost if support is None else lost & support
    found = edge.counted(lost.reshape(*lost.shape, *(1,) * row.parameter(edge.argument).event))
    if found is None or not machine.motion().moves(law.arguments[edge.argument], found.where, edge.log):
        return
    raise _impossible(
        machine, node.distribution, law.arguments[edge.argument], found, lost, frame,
        "keep the argument inside the domain", f"the mass of {row.name} at this value is 0, but it moves", LOG,
    )


def _impossible(
    machine: Machine, distribution: Distribution, argument: Tensor, edge: Edge, mask: Tensor, frame: Frame, help: str, title: str,
    note: str,
) -> ProbError:
    lane = first_of(mask)
    expression = machine.resolved.arguments[id(distribution)][edge.argument]
    value = show(argument.detach().expand(mask.shape[0], *argument.shape[1:])[lane])
    return machine.where.error(
        "P0404", title, expression.span, f"= {value}{circumstances(expression, frame, lane, machine.constants)}",
        (in_runs(*count_runs(mask, frame, machine.stands_for)), note), help,
    )
