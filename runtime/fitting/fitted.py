"""A fit: begin, go down, look at the end with fresh runs, and say how far it may be off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...dsl.planning.chooser import Planner
from ...dsl.planning.plan import Plan, PlanOptions
from ...dsl.syntax import Simplex
from ...dsl.tables.constants import EVIDENCE
from ...dsl.text.diagnostics import Diagnostic, ProbError
from ..blocks.settings import DTYPES, Settings
from ..estimates.binding import bind_values
from .coordinates import Coordinates
from .descent import Arrival, Noisy, Straight
from .objectives import Compiling, Objective, Point
from .uncertainty import curvature, deviations, newton, promise

STEPS = {"lbfgs": 200, "adam": 3000, "sgd": 3000}
OPTIMIZERS = ("auto", *STEPS)
RATE = {"adam": 0.1, "sgd": 0.05}
TOLERANCE = {"lbfgs": 1e-8, "adam": 0.01, "sgd": 0.01}
SAMPLED_TOLERANCE = 1e-6  # of L-BFGS on runs of one seed
STEP_RUNS = 1000  # of a step of L-BFGS before it is made with ten times as many
NOISY_RUNS = 100  # of a step of Adam, at the beginning
ROUGH = 0.05  # tolerance of the way whose end is mended
WITHIN, FAR = 5.0, 10.0  # standard errors of a slope that may be 0, and of one that is not,
STEEP = 1e-3  # if it is so steep
NEWTONS = 3  # steps at an end
FINAL = 10  # times as many runs at the end as in a step, and at least
LEAST_FINAL = 20_000
FRESH = 104_729  # seeds of the end are others


@dataclass(frozen=True)
class FitOptions:
    """How to fit: `sign` 1 minimises, -1 maximises; `only` names the parameters that move (none: all); numbers that are None are
    chosen.  `errors`: standard errors of the parameters are wanted."""

    sign: float
    only: tuple[str, ...] = ()
    steps: int | None = None
    tolerance: float | None = None
    samples: int | None = None
    optimizer: str = "auto"
    rate: float | None = None
    errors: bool = True


@dataclass(frozen=True)
class Step:
    """One look on the way: parameters, the result's value with standard error, the largest slope in the coordinates, runs."""

    number: int
    parameters: Mapping[str, Tensor]
    value: float
    error: float
    slope: float
    runs: int
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """Where a fit has come to.

    parameters   all of them, and of those that moved the standard errors for the noise of the runs (`errors`; nan: not known)
    deviations   where the evidence is maximised: standard deviations from its curvature (the inverse of the observed information)
    start, end   the result's value at both, with fresh runs: (value, standard error)
    slope        the largest slope at the end in the coordinates, with its standard error
    """

    parameters: dict[str, Tensor]
    moving: tuple[str, ...]
    errors: dict[str, Tensor]
    deviations: dict[str, Tensor]
    start: tuple[float, float]
    end: tuple[float, float]
    slope: tuple[float, float]
    converged: bool
    reason: str
    edges: tuple[str, ...]
    optimizer: str
    exact: bool
    runs: int
    steps: int
    seconds: float
    name: str
    search_runs: int = 0
    plan: Plan | None = field(repr=False, default=None)
    history: tuple[Step, ...] = field(repr=False, default=())
    interrupted: bool = False
    out_of_time: bool = False
    compiled: Compiling = (0.0, None)


@dataclass(frozen=True)
class Look:
    """At an end: coordinates, the objective there, the covariance for the noise of the runs and the inverse of the Hessian (None:
    not known), whether it is as good as so many runs can tell, and whether it goes downhill from there."""

    x: Tensor
    point: Point
    errors: Tensor | None
    spreads: Tensor | None
    settled: bool
    downhill: bool = False


Watch = Callable[[Step], None]


def fit(
    planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    wanted: FitOptions, phase: Callable[[str], None], watch: Watch = lambda step: None,
) -> Fitted:
    """Minimise or maximise the result that is asked for, from these parameters on."""
    return _Fit(planner, options, parameters, data, settings, wanted, phase, watch).run()


class _Fit:
    def __init__(
        self, planner: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object],
        settings: Settings, wanted: FitOptions, phase: Callable[[str], None], watch: Watch,
    ):
        resolved = planner.resolved
        bound, _ = bind_values(resolved, parameters, data, DTYPES["float64"], torch.device("cpu"))
        moving = tuple(name for name in bound if not wanted.only or name in wanted.only)
        self.coordinates = Coordinates.of(resolved.parameters, {n: v.detach() for n, v in bound.items()}, moving)
        self.x = self.coordinates.inward({name: value.detach() for name, value in bound.items()})
        for name in moving:
            node = resolved.parameters[name].node
            if node is not None and isinstance(node.domain, Simplex) and bool((bound[name] <= 0).any()):
                raise _at_the_end(planner, name)
        runs = wanted.samples or STEP_RUNS
        settings = replace(settings, samples=runs, target_se=None, deadline=None)
        self.deadline, self.begun = settings.until, time.monotonic()
        self.objective = Objective(planner, options, self.coordinates, data, replace(settings, until=None), wanted.sign)
        self.settings, self.wanted, self.phase, self.watch = settings, wanted, phase, watch
        self.moving = moving
        self.history: list[Step] = []
        self.interrupted = self.late = False

    def run(self) -> Fitted:
        """Everything, in order."""
        objective, wanted = self.objective, self.wanted
        objective.begin(self.x, self.phase)
        first = objective.at(self.x, self.settings.samples, self.settings.seed)
        optimizer = wanted.optimizer
        if optimizer == "auto":
            optimizer = "lbfgs" if first.exact or objective.smooth else "adam"
        ways = self._ways(optimizer, first.exact)
        ended = Arrival(self.x, True, "")
        for way in ways:
            self.phase("fitting")
            ended = self._walk(way, ended.x)
            if way is not ways[-1] and ended.converged and not wanted.errors:
                continue
            self.phase("looking at the end")
            look = self._look(ended)
            if look.settled or not ended.converged:
                break
            ended = replace(ended, x=look.x)
        if ended.converged and look.downhill:
            ended = replace(ended, converged=False, reason=f"{ended.reason}, but fresh runs improve on it close by")
        return replace(self._told(optimizer, ended, look), search_runs=sum(step.runs for step in self.history))

    def _ways(self, optimizer: str, exact: bool) -> list[Straight | Noisy]:
        """A way with few runs, whose end is mended by a step of Newton's; and one with more, for where that does not do."""
        wanted, seed = self.wanted, self.settings.seed + 1
        if optimizer == "lbfgs":
            runs = 1 if exact else wanted.samples or 10 * STEP_RUNS
            tolerance = wanted.tolerance or (TOLERANCE[optimizer] if exact else SAMPLED_TOLERANCE)
            few = [STEP_RUNS] if runs > STEP_RUNS else []
            return [Straight(self.objective, tolerance, count, seed) for count in (*few, runs)]
        rate, runs = wanted.rate or RATE[optimizer], wanted.samples or NOISY_RUNS
        tolerance, adaptive = wanted.tolerance or TOLERANCE[optimizer], optimizer == "adam"
        rough = Noisy(self.objective, max(tolerance, ROUGH), runs, seed, rate, adaptive)
        return [rough, replace(rough, tolerance=tolerance, runs=4 * runs, rate=rate / 4)]

    def _walk(self, way: Straight | Noisy, x: Tensor) -> Arrival:
        steps = STEPS[way.name] if self.wanted.steps is None else self.wanted.steps
        try:
            for found in way.walk(x, steps):
                if isinstance(found, Arrival):
                    return found
                x = found.x
                self._note(found)
                if self.deadline is not None and time.monotonic() > self.deadline:
                    self.late = True
                    return Arrival(x, False, "the time was over")
        except KeyboardInterrupt:
            self.interrupted = True
            return Arrival(x, False, "it was interrupted")
        raise AssertionError

    def _note(self, point: Point) -> None:
        moved = {name: value for name, value in self.coordinates.outward(point.x).items() if name in self.moving}
        slope = float(point.slope.abs().max()) if point.slope.numel() else 0.0
        step = Step(
            len(self.history), moved, self.wanted.sign * point.value, point.error, slope, point.runs,
            time.monotonic() - self.begun,
        )
        self.history.append(step)
        self.watch(step)

    def _look(self, ended: Arrival) -> Look:
        """Look at an end with fresh runs, and make a step of Newton's where that is called for."""
        objective, seed = self.objective, self.settings.seed + FRESH
        runs = self.final
        if self.interrupted or self.late or not self.wanted.errors:
            return Look(ended.x, objective.at(ended.x, runs, seed), None, None, True)
        point = objective.at(ended.x, runs, seed, spread=True)
        found = curvature(objective, point, runs, seed)
        downhill = found.downhill and not point.exact and point.signal > FAR and point.steepness > STEEP
        if found.inverse is None or found.covariance is None:
            known = ended.averaged if ended.averaged is not None and bool(torch.isfinite(ended.averaged).all()) else None
            return Look(ended.x, point, None if known is None else torch.diag(known**2), None, point.exact, downhill)
        spreads = found.inverse if objective.name == EVIDENCE and self.wanted.sign < 0 else None
        if point.exact or not ended.converged:
            return Look(ended.x, point, found.covariance, spreads, point.exact, downhill)
        for number in range(1, NEWTONS + 1):
            moved = newton(point, found.inverse)
            again = None if moved is None else objective.at(moved, runs, seed + number * FRESH)
            if again is not None and again.signal <= WITHIN:
                return Look(again.x, again, found.covariance, spreads, True)
            if again is None or not promise(again, found.inverse) <= promise(point, found.inverse) / 4:
                break  # no slope of 0, or none that a step finds: a kink
            point, downhill = again, False
        left = found.inverse @ point.slope  # still to go
        return Look(point.x, point, found.covariance + torch.diag(left**2), spreads, False, downhill)

    @property
    def final(self) -> int:
        """How many runs look at an end."""
        return max(FINAL * self.settings.samples, LEAST_FINAL)

    def _told(self, optimizer: str, ended: Arrival, look: Look) -> Fitted:
        objective, x, point = self.objective, look.x, look.point
        start = objective.at(self.x, self.final, self.settings.seed + 2 * FRESH)
        slopes, parameters = self.coordinates.slopes(x), self.coordinates.outward(x)
        edges, reason = tuple(self.coordinates.at_edge(x)), ended.reason
        if edges:
            reason = f"{reason}; {_listed(edges)} at the edge of {'its' if len(edges) == 1 else 'their'} domain"
        largest = int(point.slope.abs().argmax()) if point.slope.numel() else 0
        return Fitted(
            parameters=parameters, moving=self.moving, errors=self._by_name(look.errors, slopes, parameters),
            deviations=self._by_name(look.spreads, slopes, parameters) if look.spreads is not None else {},
            start=(self.wanted.sign * start.value, start.error), end=(self.wanted.sign * point.value, point.error),
            slope=(float(point.slope[largest].abs()), float(point.noise[largest])) if point.slope.numel() else (0.0, 0.0),
            converged=ended.converged, reason=reason, edges=edges, optimizer=optimizer, exact=point.exact, runs=objective.work,
            steps=max(len(self.history) - 1, 0), seconds=time.monotonic() - self.begun, name=objective.name, plan=objective.plan,
            history=tuple(self.history), interrupted=self.interrupted, out_of_time=self.late, compiled=objective.compiled,
        )

    def _by_name(self, covariance: Tensor | None, slopes: dict[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for name, place in self.coordinates.places.items():
            shape = parameters[name].shape
            if covariance is None:
                found[name] = torch.full(shape, math.nan, dtype=torch.float64)
            else:
                jacobian = slopes[name].reshape(-1, place.stop - place.start)
                found[name] = deviations(covariance[place, place], jacobian).reshape(shape)
        return found


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) + (" is" if len(names) == 1 else " are")


def _at_the_end(planner: Planner, name: str) -> ProbError:
    """P0610: a fit cannot begin at the end of a domain."""
    fact = planner.resolved.parameters[name]
    return ProbError(Diagnostic(
        "P0610", f"a fit cannot begin with `{name}` at the end of its domain", fact.span, "declared here",
        help=f"begin inside: -p {name}=...", source=planner.resolved.program.source,
    ))


__all__ = ["OPTIMIZERS", "FitOptions", "Fitted", "Step", "fit"]
