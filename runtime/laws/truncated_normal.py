"""TruncatedNormal(loc, scale, low, high), which torch lacks: robust in the tails, pathwise in all four arguments.

Work with z = (x - loc)/scale between a and b, in float64.  Where the interval lies more on the right it is mirrored,
so that all probabilities are lower tails, kept as logarithms.  A draw solves

    log Phi(z) = log[(1 - u) Phi(a) + u Phi(b)]

by `ndtri`, or in the far tail by Newton's method on log Phi (concave, so the steps do not overshoot).  Its derivative
is implicit: with phi the normal density,  dz/da = (1 - u) phi(a)/phi(z)  and  dz/db = u phi(b)/phi(z),  hence

    dx/dlow = dz/da,  dx/dhigh = dz/db,  dx/dloc = 1 - dz/da - dz/db,  dx/dscale = z - a dz/da - b dz/db.

Both are written with z as a differentiable value, so second derivatives are right as well.  Rejected: inverting Phi
through erfinv (torch's recipe collapses beyond 5 standard deviations in float32, 8 in float64).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..arrays.broadcast import Shape, together
from .law import HALF_LOG_TWO_PI, Law
from .noise import Noise
from .rounding import blurred, double, nudge

FAR = -600.0  # log Phi below this is inverted by Newton's method
NEWTON_STEPS = 4


def _log_quantile(log_probability: Tensor) -> Tensor:
    """The z with log Phi(z) = `log_probability` (float64)."""
    near: Tensor = torch.special.ndtri(log_probability.exp())
    if not bool((log_probability < FAR).any()):
        return near
    target = log_probability.clamp_max(FAR)
    square = -2 * target
    z = -torch.sqrt(square - torch.log(2 * math.pi * square))
    for _ in range(NEWTON_STEPS):
        value = torch.special.log_ndtr(z)
        slope = torch.exp(-0.5 * z * z - HALF_LOG_TWO_PI - value)
        z = z - (value - target) / slope
    return torch.where(log_probability < FAR, z, near)


def _ratio(edge: Tensor, z: Tensor) -> Tensor:
    """phi(edge)/phi(z), 0 for an infinite edge."""
    infinite = torch.isinf(edge)
    place = torch.where(infinite, z.detach(), edge)
    return torch.where(infinite, 0.0, torch.exp(0.5 * (z - place) * (z + place)))


class _Draw(torch.autograd.Function):
    """The z in [a, b] with the share `u` of the probability of [a, b] below it."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, u: Tensor) -> Tensor:
        mirrored = a + b > 0
        low, high = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
        share = torch.where(mirrored, 1 - u, u)
        log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
        log_probability = log_high + torch.log(share + (1 - share) * torch.exp(log_low - log_high))
        z = torch.clamp(_log_quantile(log_probability), low, high)
        z = torch.where(mirrored, -z, z)
        ctx.save_for_backward(a, b, u, z)
        return z

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, u, z = ctx.saved_tensors
        return gradients[0] * (1 - u) * _ratio(a, z), gradients[0] * u * _ratio(b, z), None


_draw: Callable[..., Tensor] = _Draw.apply


class TruncatedNormal(Law):
    loc: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return blurred(self.loc if value is None else value, self.scale)

    def _edges(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a, b, loc and scale in float64; an infinite edge carries no derivative."""
        loc, scale, low, high = double(self.loc, self.scale, self.low, self.high)
        edges = []
        for edge in (low, high):
            infinite = torch.isinf(edge)
            finite = torch.where(infinite, loc.detach(), edge)
            edges.append(torch.where(infinite, edge.detach(), (finite - loc) / scale))
        return edges[0], edges[1], loc, scale

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        a, b, loc, scale = self._edges()
        u = noise.uniform(shape, self.loc, torch.float64)
        a, b, u = together(a, b, u)
        x = torch.addcmul(loc, scale, _draw(a, b, u)).to(self.loc.dtype)
        infinity = torch.full_like(self.low, math.inf)
        return nudge(x, torch.nextafter(self.low.detach(), infinity), torch.nextafter(self.high.detach(), -infinity))

    def support(self, value: Tensor) -> Tensor | None:
        return (value >= self.low) & (value <= self.high)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.clamp(self.loc.detach() + torch.zeros_like(value), self.low.detach(), self.high.detach())

    def density(self, value: Tensor) -> Tensor:
        a, b, loc, scale = self._edges()
        z = (value.double() - loc) / scale
        return (-0.5 * z * z - scale.log() - HALF_LOG_TWO_PI - _log_mass(a, b)).to(value.dtype)


def _log_mass(a: Tensor, b: Tensor) -> Tensor:
    """log(Phi(b) - Phi(a)), differentiable, accurate in both tails."""
    mirrored = a + b > 0
    low, high = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
    log_low, log_high = _log_ndtr(low), _log_ndtr(high)
    return log_high + torch.log(-torch.expm1(log_low - log_high))


def _log_ndtr(x: Tensor) -> Tensor:
    infinite = torch.isinf(x)
    at_infinity = torch.where(x > 0, 0.0, -math.inf).to(x.dtype)
    return torch.where(infinite, at_infinity, torch.special.log_ndtr(torch.where(infinite, 0.0, x)))
