"""How far the end of a fit may be off for the noise of the runs, and what the objective's curvature says.

With H the Hessian and S the covariance of the slope at the end, the optimum lies off by H^-1 S H^-1 (the sandwich of
M-estimators, van der Vaart 1998, theorem 5.21).  H is made of differences of slopes from the same random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.text.diagnostics import ProbError
from .objectives import Objective, Point

MOST = 40  # coordinates of which the Hessian is made
EXACT_STEP, NOISY_STEP = 1e-4, 0.05


@dataclass(frozen=True)
class Curvature:
    """`covariance` `[d, d]` of the end for the noise of the runs, and the `inverse` `[d, d]` of the Hessian (None: it is not
    positive definite, or there are too many coordinates, or the program has no value beside the end)."""

    covariance: Tensor | None
    inverse: Tensor | None


def curvature(objective: Objective, end: Point, runs: int, seed: int) -> Curvature:
    """At the end of a fit; its slope has a `spread`, unless it is exact."""
    count = end.x.shape[0]
    if count == 0 or count > MOST:
        return Curvature(None, None)
    step = EXACT_STEP if end.exact else NOISY_STEP
    rows = []
    try:
        for place in range(count):
            h = torch.zeros(count, dtype=torch.float64)
            h[place] = step
            above, below = (objective.at(end.x + sign * h, runs, seed) for sign in (1, -1))
            rows.append((above.slope - below.slope) / (2 * step))
    except ProbError:
        return Curvature(None, None)
    hessian = torch.stack(rows)
    hessian = (hessian + hessian.T) / 2
    if not bool(torch.isfinite(hessian).all()):
        return Curvature(None, None)
    least, most = (float(edge) for edge in torch.linalg.eigvalsh(hessian)[[0, -1]])
    if not least > 1e-10 * max(most, 1e-300):
        return Curvature(None, None)
    inverse = torch.linalg.inv(hessian)
    if end.exact:
        return Curvature(torch.zeros_like(inverse), inverse)
    return Curvature(None if end.spread is None else inverse @ end.spread @ inverse, inverse)


def deviations(covariance: Tensor, jacobian: Tensor) -> Tensor:
    """Standard deviations of the entries of a parameter `[entries]` whose derivative in its own coordinates is `[entries, own]`."""
    return torch.einsum("ei,ij,ej->e", jacobian, covariance, jacobian).clamp_min(0).sqrt()


def newton(end: Point, inverse: Tensor, covariance: Tensor) -> Tensor | None:
    """Where one step of Newton's method leads, if that is within what the noise explains: from any end that is off by no more than
    the noise it gives one that is as good as can be (van der Vaart 1998, section 5.7)."""
    move = -inverse @ end.slope
    spread = covariance.diagonal().sqrt().clamp_min(1e-300)
    return end.x + move if float((move.abs() / spread).max()) < 6 and bool(torch.isfinite(move).all()) else None


__all__ = ["Curvature", "curvature", "deviations", "newton"]
