"""Distributions that torch lacks: of proportions by a Normal, in a triangle, and of counts whose chance is drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arrays.broadcast import Shape, together
from .bounded import UniformLaw
from .counts import numbers
from .implicit import dirichlet
from .law import HALF_LOG_TWO_PI, Law
from .noise import Noise
from .rounding import below_one, blurred, double, nudge, tiny, whole

TAIL = 5.0  # standard deviations, within which a value must be told from 0 and 1


class LogitNormal(Law):
    """Values strictly between 0 and 1."""

    loc: Tensor
    scale: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return (value > 0) & (value < 1)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.full_like(value, 0.5)

    def coarse(self, value: Tensor | None) -> bool:
        (low, high), spread, dtype = self.ends("loc"), TAIL * self.ends("scale")[1], self.loc.dtype
        return high + spread > -math.log(torch.finfo(dtype).eps) or low - spread < math.log(torch.finfo(dtype).tiny)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        draw = torch.sigmoid(torch.addcmul(self.loc, self.scale, noise.normal(shape, self.loc)))
        return nudge(draw, tiny(draw), below_one(draw))

    def density(self, value: Tensor) -> Tensor:
        loc, scale, x = double(self.loc, self.scale, value)
        one, zero = x.log(), torch.log1p(-x)
        z = (one - zero - loc) / scale
        return (-0.5 * z * z - HALF_LOG_TWO_PI - scale.log() - one - zero).to(value.dtype)


class Triangular(Law):
    """The inverse of the distribution function is a root on each side of the peak, smooth in all arguments but at it."""

    low: Tensor
    high: Tensor
    peak: Tensor
    support = UniformLaw.support

    def stand_in(self, value: Tensor) -> Tensor:
        return self.peak.detach() * torch.ones_like(value)

    def coarse(self, value: Tensor | None) -> bool:
        width = float((self.high - self.low).detach().min()) if self.low.numel() else 1.0
        return blurred((self.ends("low")[0], self.ends("high")[1]), width, self.low.dtype)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        u = noise.uniform(shape, self.low)
        low, high, peak, u = together(self.low, self.high, self.peak, u)
        width = high - low
        left = u * width < peak - low
        x = torch.where(left, low + (u * width * (peak - low)).sqrt(), high - ((1 - u) * width * (high - peak)).sqrt())
        return nudge(x, self.low.detach(), self.high.detach())

    def density(self, value: Tensor) -> Tensor:
        width = (self.high - self.low).log()
        low, high, peak, x = together(self.low, self.high, self.peak, value)
        left = x < peak
        side, from_end = torch.where(left, peak - low, high - peak), torch.where(left, x - low, high - x)
        return math.log(2) + from_end.log() - side.log() - width


class BetaBinomial(Law):
    """Its masses are ratios of Beta functions; a draw takes its chance from a Beta first."""

    total_count: Tensor
    concentration1: Tensor
    concentration0: Tensor

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        both = torch.stack((self.concentration1.detach().expand(shape), self.concentration0.detach().expand(shape)), -1)
        with torch.no_grad():
            chance = dirichlet(both, (*shape, 2), noise, "BetaBinomial")[..., 0]
        return noise.binomial(self.total_count.detach().expand(shape).contiguous(), chance.contiguous())

    def support(self, value: Tensor) -> Tensor | None:
        return whole(value) & (value <= self.total_count)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)

    def density(self, value: Tensor) -> Tensor:
        given = {name: argument.double() for name, argument in self.arguments.items()}
        return beta_binomial(given, value.double()).to(value.dtype)

    def outcomes(self, most: int) -> Tensor | None:
        return numbers(0, float(self.total_count.max()), most, self.first)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        given = {name: argument.double().unsqueeze(-1) for name, argument in self.arguments.items()}
        x = outcomes.double()
        possible = x <= given["total_count"]
        table = torch.where(possible, beta_binomial(given, torch.where(possible, x, 0.0)).exp(), 0.0)
        return table.to(self.first.dtype), possible.expand(table.shape)


def beta_binomial(given: dict[str, Tensor], x: Tensor) -> Tensor:
    """The log mass of whole numbers from 0 to `total_count`, in float64."""
    n, a, b = given["total_count"].detach(), given["concentration1"], given["concentration0"]
    ways = torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
    top = torch.lgamma(x + a) + torch.lgamma(n - x + b) - torch.lgamma(n + a + b)
    return ways + top - torch.lgamma(a) - torch.lgamma(b) + torch.lgamma(a + b)
