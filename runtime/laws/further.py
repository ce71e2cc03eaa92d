"""Distributions that torch lacks: of proportions by a Normal, in a triangle, of counts whose chance is drawn, of orders; and one
that it cannot differentiate: of correlations."""

from __future__ import annotations

import math
from itertools import permutations

import torch
from torch import Tensor

from ..arrays.broadcast import Shape, together
from .bounded import UniformLaw
from .counts import numbers
from .implicit import dirichlet
from .law import HALF_LOG_TWO_PI, Law
from .noise import Noise
from .rounding import below_one, blurred, double, nudge, sinks, tiny, whole

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


class LKJCholesky(Law):
    """Row by row, each a point of half a sphere (Lewandowski, Kurowicka and Joe 2009, section 3.2, the onion).

    In row i = 1, ..., d - 1 the squared length of what stands before the diagonal is a Beta(i/2, concentration + (d - 1 - i)/2),
    whose draw carries the derivative; its direction has no parameter.
    """

    event = 2
    concentration: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.ends("concentration")[0], self.concentration.dtype)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        d, like = shape[-1], self.concentration
        before = torch.arange(1, d, dtype=like.dtype, device=like.device) / 2
        after = like.unsqueeze(-1) + (d - 1) / 2 - before
        shares = dirichlet(torch.stack(together(before, after), -1), (*shape[:-2], d - 1, 2), noise, "LKJCholesky").sqrt()
        normal = noise.normal((*shape[:-2], d - 1, d - 1), like)
        normal = torch.where(normal == 0, 1e-12, normal).tril()  # none is without a direction
        below = shares[..., :1] * normal / normal.norm(dim=-1, keepdim=True)
        diagonal = torch.nn.functional.pad(shares[..., 1], (1, 0), value=1.0)
        return torch.nn.functional.pad(below, (0, 1, 1, 0)) + torch.diag_embed(diagonal)

    def support(self, value: Tensor) -> Tensor | None:
        slack = 8 * torch.finfo(value.dtype).eps * value.shape[-1]
        length = (value * value).sum(-1)
        lower = (value.triu(1) == 0).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1) & ((length - 1).abs() <= slack).all(-1)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.eye(value.shape[-1], dtype=value.dtype, device=value.device).expand_as(value)

    def density(self, value: Tensor) -> Tensor:
        eta, x = double(self.concentration, value)
        d = value.shape[-1]
        before = torch.arange(1, d, dtype=x.dtype, device=x.device) / 2
        after = eta.unsqueeze(-1) + (d - 1) / 2 - before
        each = 2 * (after - 1) * x.diagonal(dim1=-2, dim2=-1)[..., 1:].log() - torch.lgamma(after) - before * math.log(math.pi)
        return (each.sum(-1) + (d - 1) * torch.lgamma(eta + (d - 1) / 2)).to(value.dtype)


class Permutation(Law):
    """The order of as many uniform numbers; every order has the same probability."""

    event = 1
    n: Tensor

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.uniform(shape, self.n, torch.float64).argsort(-1).to(self.n.dtype)

    def support(self, value: Tensor) -> Tensor | None:
        return (value.sort(-1).values == self.stand_in(value)).all(-1)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.arange(value.shape[-1], dtype=value.dtype, device=value.device).expand_as(value)

    def density(self, value: Tensor) -> Tensor:
        return torch.full(value.shape[:-1], -math.lgamma(value.shape[-1] + 1), dtype=value.dtype, device=value.device)

    def outcomes(self, most: int) -> Tensor | None:
        n = int(self.n.detach().max())
        if math.lgamma(n + 1) > math.log(most) + 1e-6:
            return None
        return torch.tensor(list(permutations(range(n))), dtype=self.first.dtype, device=self.first.device)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        shape = (*self.n.shape, len(outcomes))
        table = torch.full(shape, 1 / len(outcomes), dtype=self.first.dtype, device=self.first.device)
        return table, torch.ones_like(table, dtype=torch.bool)


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
        return numbers(0, float(self.total_count.detach().max()), most, self.first)

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
