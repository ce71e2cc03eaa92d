"""What is minimised: an expectation of a program as a function of coordinates, with its gradient and the noise of both.

The plan is chosen once, by the pilot of `grad`, and kept.  Where it is exact, or carries derivatives through values only, the
runs of one seed make a function whose gradient is the gradient of its value (the sample average, Shapiro, Dentcheva & Ruszczynski
2009, chapter 5); a score makes none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor

from ...dsl.planning.chooser import Planner
from ...dsl.planning.crowding import Crowding
from ...dsl.planning.plan import Plan, PlanOptions
from ...dsl.tables.estimators import ESTIMATORS, Carrier
from ...dsl.text.diagnostics import Diagnostic, ProbError
from ..blocks.collect import Estimate
from ..blocks.settings import Settings
from ..estimates.estimate import gradient
from ..estimates.pilot import choose
from ..steps.gradients import GradientCalls
from .coordinates import Coordinates

Compiling: TypeAlias = tuple[float, str | None]  # seconds that it took; where nothing was compiled, why not


@dataclass(frozen=True)
class Point:
    """The objective at coordinates `x` `[d]`: its `value` with standard error, its `slope` `[d]` with standard errors, from so many
    `runs`; `spread` `[d, d]`: the covariance of the slope, where it was asked for."""

    x: Tensor
    value: float
    error: float
    slope: Tensor
    noise: Tensor
    runs: int
    exact: bool
    spread: Tensor | None = None

    @property
    def finite(self) -> bool:
        """Whether all of it are numbers."""
        return math.isfinite(self.value) and bool(torch.isfinite(self.slope).all())

    @property
    def steepness(self) -> float:
        """The largest relative change of the value for a relative change of a coordinate, sizes counting as 1 at least (Dennis &
        Schnabel 1983, equation 7.2.5)."""
        sizes = self.x.abs().clamp_min(1.0)
        return float((self.slope.abs() * sizes).max()) / max(abs(self.value), 1.0) if self.slope.numel() else 0.0

    @property
    def signal(self) -> float:
        """The largest slope in standard errors (inf: there is no noise)."""
        if self.exact:
            return math.inf
        return float((self.slope.abs() / self.noise.clamp_min(1e-300)).max()) if self.slope.numel() else 0.0


@dataclass
class Objective:
    """`sign` times a result, to be minimised; `work`: runs that were made so far."""

    planner: Planner
    options: PlanOptions
    coordinates: Coordinates
    data: Mapping[str, object]
    settings: Settings
    sign: float
    plans: Callable[..., Plan] | None = None
    plan: Plan | None = None
    name: str = ""
    work: int = 0
    calls: dict[tuple[int, bool], GradientCalls] = field(default_factory=dict)  # with as many runs
    compiled: Compiling = (0.0, None)

    def begin(self, x: Tensor, phase: Callable[[str], None]) -> None:
        """Choose the plan, at the start."""
        given = self.coordinates.outward(x)
        verdict = choose(self.planner, self.options, given, self.data, self.settings, phase)
        preferred = replace(self.options, prefer=verdict.prefer) if verdict.prefer else self.options
        settings = self.settings
        self.plans = Crowding(self.planner, given, self.data, settings.samples, settings.max_lanes, settings.of).planner(preferred)

    def at(self, x: Tensor, runs: int, seed: int, spread: bool = False) -> Point:
        """Evaluate; ProbError where the program has no value there."""
        assert self.plans is not None
        settings = replace(self.settings, samples=runs, seed=seed % 2**63, keep_runs=spread)
        given = self.coordinates.outward(x)
        calls = self.calls.setdefault((runs, spread), GradientCalls())
        estimate: Estimate | None = calls.taken(given, self.data, settings.seed)
        if estimate is None:
            estimate = gradient(self.planner.resolved, self.plans, given, self.data, settings, None, None, True)
            calls.learn(estimate, given, self.data, lambda estimate, seconds: estimate)
        self._compiled(estimate)
        self.plan = estimate.plan
        self.work += estimate.samples if not estimate.exact else 1
        return self._point(x, estimate, spread)

    def _compiled(self, estimate: Estimate) -> None:
        spent = self.compiled[0]
        if estimate.compile_seconds is not None:
            self.compiled = spent + estimate.compile_seconds, None
        elif estimate.not_compiled is not None and not spent:
            self.compiled = 0.0, estimate.not_compiled

    def _point(self, x: Tensor, estimate: Estimate, spread: bool) -> Point:
        if len(estimate.value) != 1 or next(iter(estimate.value.values())).mean.dim():
            raise self._not_one(estimate)
        self.name, value = next(iter(estimate.value.items()))
        rows = estimate.gradient[self.name]
        slopes = self.coordinates.slopes(x)
        count = self.coordinates.count
        slope, noise = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        parts = []
        for name, place in self.coordinates.places.items():
            jacobian = slopes[name].reshape(-1, place.stop - place.start)
            slope[place] = rows[name].mean.double().reshape(-1) @ jacobian
            noise[place] = ((rows[name].se.double().nan_to_num(0.0).reshape(-1, 1) * jacobian) ** 2).sum(0).sqrt()
            if spread and not estimate.exact:
                kept = estimate.per_run[self.name][name].double()
                parts.append(kept.reshape(kept.shape[0], -1) @ jacobian)
        covariance = None
        if parts:
            together = torch.cat(parts, 1)
            covariance = torch.cov(together.T).reshape(count, count) / estimate.samples
            scale = noise / covariance.diagonal().sqrt().clamp_min(1e-300)  # what runs share is in the standard errors
            covariance = covariance * torch.where(torch.isfinite(scale) & (noise > 0), scale, 1.0).outer(
                torch.where(torch.isfinite(scale) & (noise > 0), scale, 1.0)
            )
        return Point(
            x.detach().clone(), self.sign * float(value.mean), float(value.se.nan_to_num(0.0)), self.sign * slope, noise,
            estimate.samples, estimate.exact, covariance,
        )

    def _not_one(self, estimate: Estimate) -> ProbError:
        names = ", ".join(f"`{name}`" for name in estimate.value)
        several = len(estimate.value) > 1
        what = f"the program has the results {names}" if several else f"{names} is an array"
        return ProbError(Diagnostic(
            "P0609", f"one number is to be minimised or maximised, but {what}", source=self.planner.resolved.program.source,
            help="name one: --of NAME" if several else "return one number, such as sum(x)",
        ))

    @property
    def smooth(self) -> bool:
        """Whether the runs of one seed make a function whose gradient this is."""
        assert self.plan is not None
        live = [choice for choice in self.plan.choices.values() if choice.live and choice.effect]
        rows = [ESTIMATORS[choice.estimator] for choice in live]
        return not self.plan.biased and not any(row.carrier is Carrier.DENSITY or row.forks for row in rows)
