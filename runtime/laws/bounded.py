"""Distributions on an interval, of proportions, of vectors and on the circle: draws as a smooth function of noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..arrays.broadcast import Shape
from .implicit import dirichlet
from .law import HALF_LOG_TWO_PI, Law, TorchLaw
from .log_space import held, log_gamma, saturates, vanishes
from .noise import Noise
from .rounding import below_one, double, nudge, sinks, sticks, tiny


class UniformLaw(Law):
    low: Tensor
    high: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return (value >= self.low) & (value <= self.high)

    def stand_in(self, value: Tensor) -> Tensor:
        return self.low.detach() * torch.ones_like(value)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return torch.addcmul(self.low, self.high - self.low, noise.uniform(shape, self.low))

    def density(self, value: Tensor) -> Tensor:
        return -(self.high - self.low).log() + torch.zeros_like(value)


class Proportion(Law):
    """Values strictly between 0 and 1."""

    concentration1: Tensor
    concentration0: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return (value > 0) & (value < 1)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.full_like(value, 0.5)

    def coarse(self, value: Tensor | None) -> bool:
        dtype = self.concentration1.dtype
        return sinks(self.ends("concentration1")[0], dtype) or sticks(self.ends("concentration0")[0], dtype)


class Beta(Proportion):
    def small(self) -> bool:
        return vanishes(self, "concentration1") or saturates(self, "concentration0")

    def _logit(self, shape: Shape, noise: Noise) -> Tensor:
        one, zero = (log_gamma(part, shape, noise, "Beta") for part in (self.concentration1, self.concentration0))
        return one - zero

    def drawn(self, shape: Shape, noise: Noise) -> tuple[Tensor, Tensor]:
        logit, dtype = self._logit(shape, noise).detach(), self.concentration1.dtype
        return held(logsigmoid(logit), dtype, True), self._density(logsigmoid(logit), logsigmoid(-logit)).to(dtype)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        if self.small():
            return held(logsigmoid(self._logit(shape, noise)), self.concentration1.dtype, True)
        both = torch.stack((self.concentration1.expand(shape), self.concentration0.expand(shape)), -1)
        return dirichlet(both, (*shape, 2), noise, "Beta")[..., 0]

    def density(self, value: Tensor) -> Tensor:
        x = value.double()
        return self._density(x.log(), torch.log1p(-x)).to(value.dtype)

    def _density(self, log_one: Tensor, log_zero: Tensor) -> Tensor:
        a, b = double(self.concentration1, self.concentration0)
        return torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b) + (a - 1) * log_one + (b - 1) * log_zero


class Kumaraswamy(Proportion):
    """1 - x^a is a power of a uniform: x = (1 - exp(-e/b))^(1/a) with e exponential."""

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        inner = -torch.expm1(-noise.exponential(shape, self.concentration1) / self.concentration0)
        draw = torch.exp(inner.clamp_min(tiny(inner)).log() / self.concentration1)
        return nudge(draw, tiny(draw), below_one(draw))

    def density(self, value: Tensor) -> Tensor:
        a, b, x = double(self.concentration1, self.concentration0, value)
        log_x = x.log()
        return ((a * b).log() + (a - 1) * log_x + (b - 1) * (-torch.expm1(a * log_x)).log()).to(value.dtype)


class Dirichlet(Law):
    event = 1
    concentration: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        slack = 8 * torch.finfo(value.dtype).eps * value.shape[-1]
        return (value > 0).all(-1) & ((value.sum(-1) - 1).abs() <= slack)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.full_like(value, 1 / value.shape[-1])

    def small(self) -> bool:
        return vanishes(self, "concentration")

    def _logarithms(self, shape: Shape, noise: Noise) -> Tensor:
        return torch.log_softmax(log_gamma(self.concentration, shape, noise, "Dirichlet"), -1)

    def drawn(self, shape: Shape, noise: Noise) -> tuple[Tensor, Tensor]:
        logarithms, dtype = self._logarithms(shape, noise).detach(), self.concentration.dtype
        return held(logarithms, dtype, True), self._density(logarithms).to(dtype)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        if self.small():
            return held(self._logarithms(shape, noise), self.concentration.dtype, True)
        return dirichlet(self.concentration, shape, noise, "Dirichlet")

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.ends("concentration")[0], self.concentration.dtype)

    def density(self, value: Tensor) -> Tensor:
        return self._density(value.double().log()).to(value.dtype)

    def _density(self, logarithms: Tensor) -> Tensor:
        a = self.concentration.double()
        return torch.lgamma(a.sum(-1)) - torch.lgamma(a).sum(-1) + ((a - 1) * logarithms).sum(-1)


class MultivariateNormal(Law):
    """By the lower Cholesky factor; one factor for all lanes is one matrix product."""

    event = 1
    loc: Tensor

    def factor(self) -> Tensor:
        """The lower Cholesky factor of the covariance, `[L or 1, *batch, d, d]`."""
        given = self.arguments
        if "scale_tril" in given:
            return given["scale_tril"].tril()
        if "covariance_matrix" in given:
            return _cholesky(given["covariance_matrix"])
        return _cholesky(torch.cholesky_inverse(_cholesky(given["precision_matrix"])))

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        z, factor = noise.normal(shape, self.loc), self.factor()
        if factor.shape[:-2].numel() == 1:
            return self.loc + z @ factor.reshape(factor.shape[-2:]).mT
        return self.loc + (factor @ z.unsqueeze(-1)).squeeze(-1)

    def density(self, value: Tensor) -> Tensor:
        factor, difference = self.factor(), value - self.loc
        if factor.shape[:-2].numel() == 1:
            matrix = factor.reshape(factor.shape[-2:])
            columns = difference.reshape(-1, difference.shape[-1]).mT
            white: Tensor = torch.linalg.solve_triangular(matrix, columns, upper=False).mT.reshape(difference.shape)
        else:
            white = torch.linalg.solve_triangular(factor, difference.unsqueeze(-1), upper=False).squeeze(-1)
        volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + HALF_LOG_TWO_PI * difference.shape[-1]
        squares: Tensor = (white * white).sum(-1)
        return -0.5 * squares - volume


def _cholesky(matrix: Tensor) -> Tensor:
    factor: Tensor = torch.linalg.cholesky(matrix)
    return factor


class VonMises(TorchLaw):
    """torch's sampler and density (which has period 2 pi, so every value is possible); no reparameterisation."""

    def __init__(self, arguments: dict[str, Tensor]):
        super().__init__(arguments, "VonMises")

    def support(self, value: Tensor) -> Tensor | None:
        return None

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        raise NotImplementedError("VonMises has no reparameterised draw")
