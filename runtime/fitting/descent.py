"""Ways down: L-BFGS where the objective is a function, Adam with averaged iterates where every look at it is another.

`Straight` is limited-memory BFGS with a strong-Wolfe line search (torch.optim.LBFGS; Nocedal & Wright 2006, chapters 3 and 7), on
exact answers or on the runs of one seed.

`Noisy` is Adam (Kingma & Ba 2015), or plain gradient descent, whose iterates are averaged (Polyak & Juditsky 1992).  Windows of
iterates are compared: while their means drift by more than their noise the rate stays; where they do not, the rate is halved and
the runs are doubled (a test of stationarity, Yaida 2019).  The noise is that of batch means (Glynn & Whitt 1991).  A test of the
gradient would never pass at a kink.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.text.diagnostics import ProbError
from ..arrays.private import unloaded
from .objectives import Objective, Point

WITHIN_NOISE = 0.1  # of its standard error: a slope that cannot be told from 0 by ten times as many runs
WINDOW, BATCHES = 30, 6  # iterates that are compared, and means of so many parts
DRIFT = 3.0  # standard errors
MOST_RUNS = 2**20  # of one step
LEAST_RATE = 2.0**-7  # of the first rate
STUCK = 3  # steps without any change
LOOKS = 25  # of a step of L-BFGS, at most
FAR_OFF = 1e8  # a coordinate that has come so far has run away


@dataclass(frozen=True)
class Arrival:
    """Where a descent has come to, whether that is the end of the way, and why it stopped."""

    x: Tensor
    converged: bool
    reason: str
    averaged: Tensor | None = None  # standard deviations of the mean of the last iterates `[d]`


@dataclass
class Straight:
    """L-BFGS.  `tolerance`: of the steepness (`Point`)."""

    objective: Objective
    tolerance: float
    runs: int
    seed: int
    name = "lbfgs"

    def walk(self, x: Tensor, steps: int) -> Iterator[Point | Arrival]:
        """The point after each step, and then the end."""
        leaf = x.detach().clone().requires_grad_()
        best: list[Point] = []
        with unloaded():
            optimiser = torch.optim.LBFGS(
                [leaf], max_iter=1, max_eval=LOOKS, history_size=20, tolerance_grad=0.0, tolerance_change=0.0,
                line_search_fn="strong_wolfe",
            )

        def closure() -> Tensor:
            optimiser.zero_grad()
            value, slope = self._look(leaf.detach(), best, known)
            leaf.grad = slope
            return torch.tensor(value, dtype=torch.float64)

        best.append(self.objective.at(x, self.runs, self.seed))
        known = {_key(x): best[0]}  # a step begins with the look that the last one ended with
        yield best[0]
        still = 0
        for _ in range(steps):
            before = best[0]
            if found := self._arrived(before):
                yield found
                return
            with unloaded():
                optimiser.step(closure)  # type: ignore[no-untyped-call]
            yield best[0]
            if float(best[0].x.abs().max()) > FAR_OFF:
                yield Arrival(best[0].x, False, "a parameter runs away without end: the objective may have no optimum")
                return
            gained = before.value - best[0].value
            still = still + 1 if gained <= 1e-13 * (1 + abs(before.value)) else 0
            if still:
                with torch.no_grad():
                    leaf.copy_(best[0].x)
                optimiser.state.clear()  # begin anew along the slope
            if still >= STUCK:
                yield Arrival(best[0].x, True, "no step improves it any more")
                return
        yield self._arrived(best[0]) or Arrival(best[0].x, False, f"it was still improving after {steps} steps")

    def _arrived(self, point: Point) -> Arrival | None:
        if point.steepness <= self.tolerance:
            return Arrival(point.x, True, f"the gradient is 0 to {self.tolerance:g}")
        if not point.exact and point.signal <= WITHIN_NOISE:
            return Arrival(point.x, True, "the gradient is far within its noise")
        return None

    def _look(self, x: Tensor, best: list[Point], known: dict[bytes, Point]) -> tuple[float, Tensor]:
        """Value and slope; where the program has none, a bowl that leads back."""
        point = known.get(_key(x))
        if point is None:
            try:
                point = self.objective.at(x, self.runs, self.seed)
                known[_key(x)] = point
            except ProbError:
                pass
            while len(known) > LOOKS:
                del known[next(iter(known))]
        if point is None or not point.finite:
            away = x - best[0].x
            return best[0].value + 10 * (1 + abs(best[0].value)) + float(away @ away), 2 * away
        if point.value < best[0].value:
            best[0] = point
        return point.value, point.slope.clone()


@dataclass
class Noisy:
    """Adam, or plain descent (`adaptive` False), with averaged iterates.  `tolerance`: of the mean of the last iterates, its
    standard error relative to the size of the coordinates."""

    objective: Objective
    tolerance: float
    runs: int
    seed: int
    rate: float
    adaptive: bool = True

    @property
    def name(self) -> str:
        """What users call it."""
        return "adam" if self.adaptive else "sgd"

    def walk(self, x: Tensor, steps: int) -> Iterator[Point | Arrival]:
        """The point after each step, and then the end."""
        leaf = x.detach().clone().requires_grad_()
        kind = torch.optim.Adam if self.adaptive else torch.optim.SGD
        optimiser = kind([leaf], lr=self.rate)
        runs, rate = self.runs, self.rate
        window: list[Tensor] = []
        before: tuple[Tensor, Tensor] | None = None
        kept: list[Tensor] = []
        for step in range(steps):
            point = self.objective.at(leaf.detach(), runs, self.seed + 7919 * step)
            yield point
            if not point.finite or float(point.x.abs().max()) > FAR_OFF:
                yield Arrival(point.x, False, "a parameter runs away without end: the objective may have no optimum")
                return
            leaf.grad = point.slope.clone()
            optimiser.step()
            window.append(leaf.detach().clone())
            if len(window) < WINDOW:
                continue
            mean, noise = _batched(torch.stack(window))
            kept = [*kept, *window][-4 * WINDOW:]
            window = []
            if before is None or bool(((mean - before[0]).abs() > DRIFT * (noise**2 + before[1] ** 2).sqrt()).any()):
                before, kept = (mean, noise), kept[-WINDOW:]
                continue
            centre, spread = _batched(torch.stack(kept))
            if bool((spread <= self.tolerance * (1 + centre.abs())).all()) or rate <= LEAST_RATE * self.rate:
                yield Arrival(centre, True, "the iterates stand still, within their noise", spread)
                return
            rate, runs, before = rate / 2, min(2 * runs, MOST_RUNS), None
            for group in optimiser.param_groups:
                group["lr"] = rate
            with torch.no_grad():
                leaf.copy_(centre)
        rows = torch.stack([*kept, *window]) if kept or window else x.unsqueeze(0)
        centre, spread = _batched(rows)
        yield Arrival(centre, False, f"the iterates were still on their way after {steps} steps", spread)


def _key(x: Tensor) -> bytes:
    return x.numpy().tobytes()


def _batched(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of iterates `[n, d]`, and its standard error by the means of consecutive parts."""
    parts = [part.mean(0) for part in rows.chunk(min(BATCHES, rows.shape[0]))]
    if len(parts) < 2:
        return rows.mean(0), torch.full_like(rows[0], math.inf)
    return rows.mean(0), torch.stack(parts).std(0) / math.sqrt(len(parts))
