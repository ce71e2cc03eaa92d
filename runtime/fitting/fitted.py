"""A fit: begin, go down, look at the end with fresh runs, and say how far it may be off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
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
from .objectives import Objective, Point
from .uncertainty import curvature, deviations, newton

STEPS = {"lbfgs": 200, "adam": 3000, "sgd": 3000}
OPTIMIZERS = ("auto", *STEPS)
RATE = {"adam": 0.1, "sgd": 0.05}
TOLERANCE = {"lbfgs": 1e-8, "adam": 0.01, "sgd": 0.01}
SAMPLED_TOLERANCE = 1e-6  # of L-BFGS on runs of one seed
STEP_RUNS = 1000  # of a step of L-BFGS before it is made with ten times as many
NOISY_RUNS = 200  # of a step of Adam, at the beginning
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
        objective, wanted, seed = self.objective, self.wanted, self.settings.seed
        self.objective.begin(self.x, self.phase)
        first = objective.at(self.x, self.settings.samples, seed)
        optimizer = wanted.optimizer
        if optimizer == "auto":
            optimizer = "lbfgs" if first.exact or objective.smooth else "adam"
        self.phase("fitting")
        ended = self._walk(optimizer, first)
        return replace(self._told(optimizer, first, ended), search_runs=sum(step.runs for step in self.history))

    def _walk(self, optimizer: str, first: Point) -> Arrival:
        wanted, seed = self.wanted, self.settings.seed
        tolerance = wanted.tolerance or (TOLERANCE[optimizer] if first.exact or optimizer != "lbfgs" else SAMPLED_TOLERANCE)
        steps = STEPS[optimizer] if wanted.steps is None else wanted.steps
        ways: list[Straight | Noisy] = []
        if optimizer == "lbfgs":
            runs = wanted.samples or (1 if first.exact else 10 * STEP_RUNS)
            few = [] if first.exact or runs < STEP_RUNS else [max(runs // 10, 2)]  # most of the way needs no more
            ways += [Straight(self.objective, tolerance, count, seed + 1) for count in (*few, runs)]
        else:
            rate, runs = wanted.rate or RATE[optimizer], wanted.samples or NOISY_RUNS
            ways.append(Noisy(self.objective, tolerance, runs, seed + 1, rate, optimizer == "adam"))
        point, x = first, self.x
        try:
            for found in self._along(ways, x, steps):
                if isinstance(found, Arrival):
                    return found
                point = found
                self._note(point)
                if self.deadline is not None and time.monotonic() > self.deadline:
                    self.late = True
                    return Arrival(point.x, False, "the time was over")
        except KeyboardInterrupt:
            self.interrupted = True
            return Arrival(point.x, False, "it was interrupted")
        raise AssertionError

    def _along(self, ways: list[Straight | Noisy], x: Tensor, steps: int) -> Iterator[Point | Arrival]:
        """One way after another; where the last one ends, all of them do."""
        for way in ways:
            for found in way.walk(x, steps):
                if not isinstance(found, Arrival):
                    yield found
                elif way is ways[-1] or (not found.converged and steps > 1):
                    yield found
                    return
                else:
                    x = found.x
                    break

    def _note(self, point: Point) -> None:
        moved = {name: value for name, value in self.coordinates.outward(point.x).items() if name in self.moving}
        slope = float(point.slope.abs().max()) if point.slope.numel() else 0.0
        step = Step(
            len(self.history), moved, self.wanted.sign * point.value, point.error, slope, point.runs,
            time.monotonic() - self.begun,
        )
        self.history.append(step)
        self.watch(step)

    def _told(self, optimizer: str, first: Point, ended: Arrival) -> Fitted:
        """Look at the end with fresh runs."""
        objective, seed = self.objective, self.settings.seed + FRESH
        runs = max(FINAL * self.settings.samples, LEAST_FINAL)
        self.phase("looking at the end")
        x, errors, spreads = ended.x, None, None
        quick = self.interrupted or self.late or not self.wanted.errors
        point = objective.at(x, runs, seed, spread=not quick)
        if not quick:
            found = curvature(objective, point, runs, seed)
            if found.inverse is not None and found.covariance is not None:
                errors = found.covariance
                moved = None if point.exact or not ended.converged else newton(point, found.inverse, found.covariance)
                if moved is not None:
                    x = moved
                    point = objective.at(x, runs, seed + FRESH)
            elif ended.averaged is not None and bool(torch.isfinite(ended.averaged).all()):
                errors = torch.diag(ended.averaged**2)
            spreads = found.inverse if objective.name == EVIDENCE and self.wanted.sign < 0 else None
        start = objective.at(self.x, runs, seed + 2 * FRESH)
        slopes = self.coordinates.slopes(x)
        parameters = self.coordinates.outward(x)
        edges = tuple(self.coordinates.at_edge(x))
        reason, converged = ended.reason, ended.converged
        if edges:
            reason = f"{reason}; {_listed(edges)} at the edge of {'its' if len(edges) == 1 else 'their'} domain"
        largest = int(point.slope.abs().argmax()) if point.slope.numel() else 0
        return Fitted(
            parameters=parameters, moving=self.moving, errors=self._by_name(errors, slopes, parameters),
            deviations=self._by_name(spreads, slopes, parameters) if spreads is not None else {},
            start=(self.wanted.sign * start.value, start.error), end=(self.wanted.sign * point.value, point.error),
            slope=(float(point.slope[largest].abs()), float(point.noise[largest])) if point.slope.numel() else (0.0, 0.0),
            converged=converged, reason=reason, edges=edges, optimizer=optimizer, exact=point.exact, runs=objective.work,
            steps=max(len(self.history) - 1, 0), seconds=time.monotonic() - self.begun, name=objective.name, plan=objective.plan,
            history=tuple(self.history), interrupted=self.interrupted, out_of_time=self.late,
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
