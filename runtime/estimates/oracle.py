"""An independent answer to hold a gradient against: `probrun grad --verify`.

No derivative of ours is used: E[y] itself is computed at displaced parameters and differences are taken (`differences.py`),
in float64.  E[y] comes from the first of these that the program allows:

`enumeration`   all outcomes of all sites, if they are finitely many and few: no error but rounding
`quadrature`    the same with every other site on a grid: whole numbers up to a negligible tail, continuous draws at the
                midpoints of equal cells, weighed by the density there.  The grid stands still while the parameters move, so
                jumps of the result are integrated over where they stand still; a support that moves is seen by the sum of weights.
                What the grid misses is estimated from one of half the size.
`differences`   samples with common random numbers at two steps, extrapolated, with its standard error
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...dsl.analysis.flow import analyse
from ...dsl.names.resolve import Resolved, Site
from ...dsl.planning.plan import Choice
from ...dsl.tables.estimators import FALLBACK, Carrier, EstimatorRow
from ...dsl.text.diagnostics import ProbError
from ..arrays.operations import Operand
from ..blocks.collect import Estimate
from ..blocks.conditioning import Weighed, linearised
from ..blocks.moments import Moments
from ..blocks.session import Session
from ..blocks.settings import Settings, names_of, room
from ..estimators import Drawn, Estimator, Request
from ..estimators.enumerate import Enumerate
from ..gradients.weighing import per_run
from ..lanes.lessons import TooManyLanes, TooMuchWork
from ..laws.law import Law
from ..laws.noise import Fresh
from ..machine.interpreter import Interpreter
from .attempts import IN_STEP, Attempt, Attempts, attempted
from .differences import EXTRAPOLATED, ResultSource, Samples, differences
from .estimate import sampled
from .sides import NOISY_STEP as NOISY_SIDES
from .sides import STEP, Found, Sides, corners, kept, one_sided, with_jumps

T = TypeVar("T")

LANES = 2**20
WORK = 2**25  # numbers that one sum may touch (a few seconds)
LEAST_WORK = 2**20  # where time is short
STEPS = 200  # rounds of a loop
LEAST_RUNS = 64
CELLS = (20_001, 801, 101)  # of one continuous draw: as many as the lanes allow
REACH = 4.5  # ranges between the quartiles that a grid covers beyond what a few thousand draws do
SMOOTH_STEP = 0.01  # of a program whose results come without noise
NOISY_STEP = 0.1
NORMAL = 1e-4  # the weights of a grid must add up to 1 so closely
LIMIT = 5.0  # standard errors at which a gradient fails
ROUNDING = 2e-5  # of the answer's size: what float32 arithmetic alone may do


@dataclass(frozen=True)
class Check:
    """A gradient against the oracle: per result and parameter the oracle's `Moments` (`se`: its own error) and the largest
    z-score; `passed` where none exceeds `LIMIT`.  `sides`: where the derivative to the left is not that to the right; no number
    agrees with both."""

    method: str
    gradient: dict[str, dict[str, Moments]]
    z: dict[str, dict[str, float]]
    sides: Found = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """The largest z-score in size."""
        return max((score for rows in self.z.values() for score in rows.values()), key=abs, default=0.0)

    @property
    def passed(self) -> bool:
        """Whether the gradient agrees."""
        return abs(self.worst) <= LIMIT


def verify(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, estimate: Estimate
) -> Check:
    """Hold an estimate against the oracle; OutOfTime where the deadline passes meanwhile."""
    short = settings.deadline is not None
    runs = _few_runs(settings, estimate) if short else settings.samples
    work = min(WORK, max(estimate.work // 128, LEAST_WORK)) if short else WORK
    seed = (settings.seed + 15_485_863) % 2**63
    settings = replace(settings, samples=runs, seed=seed)
    method, found = answer(resolved, parameters, data, settings, work)
    sides: Found = {}
    met = bool(estimate.kinks or estimate.turns)
    if met or method == "enumeration":
        sides = both_sides(resolved, parameters, data, settings, work, met, estimate.gradient)
    z = {
        result: {
            name: _score(estimate.gradient[result][name], oracle, sides.get(result, {}).get(name)) for name, oracle in rows.items()
        }
        for result, rows in found.items()
    }
    return Check(method, found, z, sides)


def _few_runs(settings: Settings, estimate: Estimate) -> int:
    """Where time is short, all points of all differences together have an eighth of the runs of the estimate."""
    entries = sum(moments.mean.numel() for rows in estimate.gradient.values() for moments in rows.values())
    return max(estimate.samples // (8 * len(EXTRAPOLATED) * max(entries, 1)), min(settings.samples, LEAST_RUNS))


def _score(own: Moments, oracle: Moments, sides: Sides | None) -> float:
    """The largest z-score of a gradient's entries; at a corner the distance from the further side counts."""
    size = oracle.mean.abs().clamp_min(1.0)
    spread = (own.se.nan_to_num(0.0) ** 2 + oracle.se**2 + (ROUNDING * size) ** 2).sqrt()
    mean = own.mean.to(oracle.mean.device)
    off = mean - oracle.mean if sides is None else torch.where(sides.apart, sides.distance(mean), mean - oracle.mean)
    scores = (off / spread).reshape(-1)
    return float(scores[scores.abs().argmax()]) if scores.numel() else 0.0


def both_sides(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, work: int = WORK,
    met: bool = True, own: Mapping[str, Mapping[str, Moments]] | None = None,
) -> Found:
    """Where a derivative is one to the left and another to the right, both; `met`: kinks are known to have been met (else only
    exact values are looked at); `own`: what stands for a side that is not there.  OutOfTime where the deadline passes meanwhile."""

    def there(source: ResultSource, bound: Mapping[str, Tensor], step: float) -> Found:
        found = one_sided(source, bound, step)
        if own is not None:
            found = {n: {key: replace(sides, own=own[n][key]) for key, sides in rows.items()} for n, rows in found.items()}
        return kept(with_jumps(found if met else kept(found), source, bound, step))

    def by(attempt: Attempt, cells: int | None) -> Found:
        bound = attempt.values[0]
        if cells is None:
            return there(Samples(resolved, *attempt.values, attempt.settings), bound, NOISY_SIDES) if met else {}
        sums = _Sums(resolved, *attempt.values, replace(attempt.settings, most_work=work), cells)
        return there(sums, bound, SMOOTH_STEP if cells else STEP) if met else corners(sums, bound)

    return _finest(resolved, parameters, data, settings, CELLS if met else (), by)


def answer(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    work: int = WORK,
) -> tuple[str, dict[str, dict[str, Moments]]]:
    """The gradient by the best method that the program allows, and the method's name."""

    def by(attempt: Attempt, cells: int | None) -> tuple[str, dict[str, dict[str, Moments]]]:
        if cells is None:
            samples = Samples(resolved, *attempt.values, attempt.settings)
            return "differences", differences(samples, attempt.values[0], NOISY_STEP, EXTRAPOLATED, True)
        return _summed(resolved, *attempt.values, replace(attempt.settings, most_work=work), cells)

    return _finest(resolved, parameters, data, settings, CELLS, by)


def _finest(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, grids: tuple[int, ...],
    by: Callable[[Attempt, int | None], T],
) -> T:
    """What comes `by` outcomes (0), else by the finest of these grids that the program allows, else by samples (None)."""
    settings = replace(settings, dtype="float64", target_se=None, deadline=None, until=settings.deadline, keep_runs=False)
    attempts = Attempts(resolved, parameters, data, settings, settings)
    if grids and _moving(resolved, settings.of):
        grids = ()

    def coarser(left: tuple[int | None, ...], problem: Exception) -> tuple[int | None, ...]:
        if left[0] is None or not isinstance(problem, TooManyLanes | TooMuchWork | _NoGrid | ProbError):
            raise problem
        return left[1:]  # where it is the program's fault, the samples will tell

    def make(attempt: Attempt) -> T:
        attempts.rounded(attempt, sampled, asked=False)
        with room(grad=False):
            ways = (None,) if attempt.asked.copies > 1 else (0, *grids, None)
            return attempted(ways, lambda left: by(attempt, left[0]), coarser)

    return attempts.until_done(make, IN_STEP)


def _moving(resolved: Resolved, of: tuple[str, ...]) -> bool:
    """Whether a parameter moves a jump between numbers that stand still, as `x < theta`: a grid would count its cells there."""
    still = {site.index: FALLBACK for site in resolved.sites}
    flow = analyse(resolved, still, frozenset(), of)
    return any(hazard.kind == "jump" and flow.origins.parameters_in(hazard.live) for hazard in flow.lost)


def _summed(
    resolved: Resolved, bound: dict[str, Tensor], known: dict[str, Operand], settings: Settings, cells: int
) -> tuple[str, dict[str, dict[str, Moments]]]:
    """Sums over outcomes (`cells` 0) or over a grid, whose error is taken from one of half the cells."""
    fine = differences(_Sums(resolved, bound, known, settings, cells), bound, SMOOTH_STEP, EXTRAPOLATED, True)
    if not cells:
        return "enumeration", fine
    coarse = differences(_Sums(resolved, bound, known, settings, cells // 2), bound, SMOOTH_STEP, EXTRAPOLATED, True)
    for result, rows in fine.items():
        for name, moments in rows.items():
            error = (moments.mean - coarse[result][name].mean).abs()
            rows[name] = Moments(moments.mean, error, error)
    return "quadrature", fine


class _NoGrid(Exception):
    """A site cannot be put on a grid."""


GRID = EstimatorRow("grid", "every outcome, or the midpoints of cells", "", Carrier.OUTCOMES, splits=True, random=False)


@dataclass
class _Grid:
    """Draws every site on a grid that is found where it is first met and stands still from then on."""

    cells: int
    facts: EstimatorRow = GRID
    places: list[Tensor] = field(default_factory=list)
    met: int = 0

    def draw(self, request: Request) -> Drawn | None:
        """The outcomes or the midpoints of the cells, each on a lane of its own."""
        if request.row.finite:
            return Enumerate().draw(request)
        if not self.cells or request.batch or request.row.event:
            raise _NoGrid
        if self.met == len(self.places):
            self.places.append(_whole(request) if request.row.discrete else _cells(request, self.cells))
        nodes = self.places[self.met]
        self.met += 1
        lanes, count = request.shape[0], nodes.shape[0]
        if lanes * count > LANES:
            return None
        request.meter.spend(lanes * count)
        weights = _weights(request.law, nodes, request.row.discrete)
        weights = weights.expand(lanes, count)
        if bool(((weights.sum(1) - 1).abs() > NORMAL).any()):
            raise _NoGrid
        index = torch.arange(lanes).repeat_interleave(count)
        return Drawn(nodes.repeat(lanes), None, index, weights.reshape(-1))


def _weights(law: Law, nodes: Tensor, discrete: bool) -> Tensor:
    """The probability of each cell or number `[lanes or 1, nodes]`, without derivatives."""
    density = _density(law, nodes).exp()
    return density if discrete else density * (nodes[1] - nodes[0])


def _density(law: Law, nodes: Tensor) -> Tensor:
    arguments = {name: value.unsqueeze(1) for name, value in law.arguments.items()}
    wide = type(law)(arguments) if not hasattr(law, "distribution") else None
    if wide is None:
        raise _NoGrid
    return wide.log_prob(nodes.unsqueeze(0).expand(1, nodes.shape[0]))


def _spread(request: Request) -> Tensor:
    """Draws of the site over all lanes."""
    lanes = request.shape[0]
    repeats = max(4096 // max(lanes, 1), 1)
    noise = Fresh(torch.Generator().manual_seed(0))
    draws = [request.law.sample(request.shape, noise) for _ in range(repeats)]
    return torch.cat(draws).sort().values


def _cells(request: Request, cells: int) -> Tensor:
    """Midpoints of equal cells over where the site's draws lie."""
    draws = _spread(request)
    least, most = float(draws[0]), float(draws[-1])
    width = float(draws[3 * draws.shape[0] // 4] - draws[draws.shape[0] // 4])
    bottom, top = least - REACH * width, most + REACH * width
    if least >= 0 and bottom < 0 and not _possible(request, -1e-9):
        bottom = 0.0
    if most <= 1 and top > 1 and not _possible(request, 1 + 1e-9):
        top = 1.0
    edges = torch.linspace(bottom, top, cells + 1, dtype=torch.float64)
    return (edges[1:] + edges[:-1]) / 2


def _possible(request: Request, value: float) -> bool:
    found = request.law.support(torch.full((1,), value, dtype=torch.float64))
    return found is None or bool(found.any())


def _whole(request: Request) -> Tensor:
    """Whole numbers from 0 to far beyond what is drawn."""
    draws = _spread(request)
    top = float(draws[-1]) * 2 + 60
    if top > 20_000:
        raise _NoGrid
    return torch.arange(0, top + 1, dtype=torch.float64)


class _Summing(Interpreter):
    """An interpreter whose sites are all enumerated, or put on a grid."""

    def __init__(self, *arguments: Any, grid: _Grid, **options: Any):
        super().__init__(*arguments, **options)
        self.grid = grid
        grid.met = 0

    def estimator(self, choice: Choice | None, site: Site) -> Estimator:
        return self.grid


class _Sums:
    """Results without noise: sums over the outcomes of every site."""

    exact = True

    def __init__(
        self, resolved: Resolved, parameters: dict[str, Tensor], data: dict[str, Operand], settings: Settings, cells: int
    ):
        limited = replace(settings, max_lanes=LANES, max_steps=STEPS)
        self.session = Session(resolved, None, parameters, data, limited, False, not settings.of)
        self.resolved = resolved
        self.names = names_of(resolved, settings, not settings.of)
        self.grid = _Grid(cells)

    def results(self, parameters: dict[str, Tensor], stream: int) -> Iterator[tuple[int, list[Tensor]]]:
        """One run, which stands for all."""
        session = self.session
        machine = session.interpreter(_Summing, grid=self.grid)
        values = {name: value.detach().unsqueeze(0) for name, value in parameters.items()}
        if not self.grid.places and self.grid.cells:  # the grid is found at the parameters themselves
            session.interpreter(_Summing, grid=self.grid).run(session.uniform(), session.data, 1)
            self.grid.met = 0
        outcome = machine.run(values, session.data, 1)
        if session.asked.weighed:
            yield from linearised(self.names, [Weighed.of(session, outcome, 1)])
            return
        yield 1, [per_run(session.result(value), outcome, 1).double() for value in outcome.values]
