"""How far the end of a fit may be off for the noise of the runs, and what the objective's curvature says.

With H the Hessian and S the covariance of the slope at the end, the optimum lies off by H^-1 S H^-1 (the sandwich of
M-estimators, van der Vaart 1998, theorem 5.21).  H is made of differences of slopes from the same random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...dsl.text.diagnostics import ProbError
from .objectives import Objective, Point

MOST = 40  # coordinates of which the Hessian is made
EXACT_STEP, NOISY_STEP = 1e-4, 0.05
WIDE = 10.0
FAR_STEP = 1.0  # in coordinates
PART = 0.25  # of what the slope promises


@dataclass(frozen=True)
class Curvature:
    """`covariance` `[d, d]` of the end for the noise of the runs, and the `inverse` `[d, d]` of the Hessian (None: it is not
    positive definite, or there are too many coordinates, or the program has no value beside the end); whether it goes `downhill`
    from the end, further than a kink would let it."""

    covariance: Tensor | None
    inverse: Tensor | None
    downhill: bool = False


def curvature(objective: Objective, end: Point, runs: int, seed: int) -> Curvature:
    """At the end of a fit; its slope has a `spread`, unless it is exact.

    Over a kink (`min(q, d)`) the slopes of single runs are steps, and their mean changes by the few runs whose step lies in
    between: so the differences of sampled slopes reach as far as `WIDE` standard errors of the end, if that is further than a
    first step.
    """
    count = end.x.shape[0]
    if count == 0 or count > MOST:
        return Curvature(None, None)
    steps = torch.full((count,), EXACT_STEP if end.exact else NOISY_STEP, dtype=torch.float64)
    found = _with_steps(objective, end, runs, seed, steps)
    if end.exact:
        return found
    while found.inverse is None and bool((wider := steps * 10 <= 0.1 * end.x.abs()).any()):
        steps = torch.where(wider, steps * 10, steps)
        found = _with_steps(objective, end, runs, seed, steps)
    if found.covariance is not None:
        reach = WIDE * found.covariance.diagonal().sqrt()
        if bool((reach > 2 * steps).any()):
            better = _with_steps(objective, end, runs, seed, torch.maximum(reach, steps))
            found = found if better.covariance is None else replace(better, downhill=found.downhill)
    return found


def _with_steps(objective: Objective, end: Point, runs: int, seed: int, steps: Tensor) -> Curvature:
    """By differences of slopes over these steps `[d]`."""
    rows, downhill = [], False
    try:
        for place, step in enumerate(steps.tolist()):
            h = torch.zeros_like(steps)
            h[place] = step
            above, below = (objective.at(end.x + sign * h, runs, seed) for sign in (1, -1))
            rows.append((above.slope - below.slope) / (2 * step))
            slope = float(end.slope[place])
            downhill = downhill or (above if slope < 0 else below).value < end.value - PART * step * abs(slope)
    except ProbError:
        return Curvature(None, None)
    hessian = torch.stack(rows)
    hessian = (hessian + hessian.T) / 2
    if not bool(torch.isfinite(hessian).all()):
        return Curvature(None, None, downhill)
    least, most = (float(edge) for edge in torch.linalg.eigvalsh(hessian)[[0, -1]])
    if not least > 1e-10 * max(most, 1e-300):
        return Curvature(None, None, downhill)
    inverse = torch.linalg.inv(hessian)
    if end.exact:
        return Curvature(torch.zeros_like(inverse), inverse, downhill)
    return Curvature(None if end.spread is None else inverse @ end.spread @ inverse, inverse, downhill)


def deviations(covariance: Tensor, jacobian: Tensor) -> Tensor:
    """Standard deviations of the entries of a parameter `[entries]` whose derivative in its own coordinates is `[entries, own]`."""
    return torch.einsum("ei,ij,ej->e", jacobian, covariance, jacobian).clamp_min(0).sqrt()


def newton(end: Point, inverse: Tensor) -> Tensor | None:
    """Where one step of Newton's method leads (None: too far for a step to be trusted): from any end that is off by no more than
    its noise it gives one that is as good as can be (van der Vaart 1998, section 5.7)."""
    move = -inverse @ end.slope
    return end.x + move if bool(torch.isfinite(move).all()) and float(move.abs().max()) < FAR_STEP else None


def promise(end: Point, inverse: Tensor) -> float:
    """What a step of Newton's method promises to gain, twice over (the Newton decrement, squared)."""
    return float(end.slope @ inverse @ end.slope)


__all__ = ["Curvature", "curvature", "deviations", "newton", "promise"]
