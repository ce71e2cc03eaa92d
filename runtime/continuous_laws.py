"""The continuous laws: draws as a smooth function of noise, log densities in few passes over memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .laws import (
    HALF_LOG_TWO_PI,
    Generator,
    Law,
    Shape,
    TorchLaw,
    below_one,
    blurred,
    cauchy,
    dirichlet,
    double,
    exponential,
    normal,
    nudge,
    sinks,
    standard_gamma,
    sticks,
    tiny,
    uniform,
)


class LocationScale(Law):
    """`loc + scale * noise`; subclasses give the noise and its log density."""

    loc: Tensor
    scale: Tensor

    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        """Noise at loc 0 and scale 1."""
        raise NotImplementedError

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return torch.addcmul(self.loc, self.scale, self.noise(shape, generator))

    def standardised(self, value: Tensor) -> Tensor:
        """`(value - loc) / scale`."""
        return (value - self.loc) / self.scale

    def coarse(self, value: Tensor | None) -> bool:
        return blurred(self.loc if value is None else value, self.scale)


class Normal(LocationScale):
    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        return normal(shape, self.loc, generator)

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return torch.addcmul(-HALF_LOG_TWO_PI - self.scale.log(), z, z, value=-0.5)


class Laplace(LocationScale):
    """The noise is the difference of two exponentials."""

    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        return exponential(shape, self.loc, generator).sub_(exponential(shape, self.loc, generator))

    def density(self, value: Tensor) -> Tensor:
        return -self.standardised(value).abs() - (2 * self.scale).log()


class Gumbel(LocationScale):
    """The noise is minus the logarithm of an exponential."""

    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        return exponential(shape, self.loc, generator).log_().neg_()

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return -(z + torch.exp(-z)) - self.scale.log()


class Logistic(LocationScale):
    """The noise is the difference of two Gumbels: both tails are as fine as an exponential's."""

    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        return exponential(shape, self.loc, generator).div_(exponential(shape, self.loc, generator)).log_()

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return logsigmoid(z) + logsigmoid(-z) - self.scale.log()


class Cauchy(LocationScale):
    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        return cauchy(shape, self.loc, generator)

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return -torch.log1p(z * z) - (math.pi * self.scale).log()


class StudentT(LocationScale):
    df: Tensor

    def noise(self, shape: Shape, generator: Generator) -> Tensor:
        chi2 = 2 * standard_gamma(self.df / 2, shape, generator, "StudentT")
        return normal(shape, self.loc, generator) * torch.rsqrt(chi2 / self.df)

    def coarse(self, value: Tensor | None) -> bool:
        return super().coarse(value) or (value is None and sinks(self.df / 2))

    def density(self, value: Tensor) -> Tensor:
        df, loc, scale, x = double(self.df, self.loc, self.scale, value)
        z = (x - loc) / scale
        constant = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (math.pi * df).log() - scale.log()
        return (constant - 0.5 * (df + 1) * torch.log1p(z * z / df)).to(value.dtype)


class Positive(Law):
    """Values above 0."""

    def support(self, value: Tensor) -> Tensor | None:
        return value > 0

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.ones_like(value)


class LogNormal(Positive):
    loc: Tensor
    scale: Tensor

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return torch.addcmul(self.loc, self.scale, normal(shape, self.loc, generator)).exp().clamp_min(tiny(self.loc))

    def density(self, value: Tensor) -> Tensor:
        logarithm = value.log()
        return Normal(self.arguments).density(logarithm) - logarithm

    def relative_log_prob(self, value: Tensor) -> Tensor:
        return Normal(self.arguments).density(value.log())


class HalfNormal(Positive):
    scale: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return value >= 0

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return self.scale * normal(shape, self.scale, generator).abs_().clamp_min_(tiny(self.scale))

    def density(self, value: Tensor) -> Tensor:
        z = value / self.scale
        return torch.addcmul(math.log(2) - HALF_LOG_TWO_PI - self.scale.log(), z, z, value=-0.5)


class HalfCauchy(Positive):
    scale: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return value >= 0

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return self.scale * cauchy(shape, self.scale, generator).abs_().clamp_min_(tiny(self.scale))

    def density(self, value: Tensor) -> Tensor:
        z = value / self.scale
        return -torch.log1p(z * z) - (0.5 * math.pi * self.scale).log()


class Exponential(Positive):
    rate: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return value >= 0

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return exponential(shape, self.rate, generator) / self.rate

    def density(self, value: Tensor) -> Tensor:
        return torch.addcmul(self.rate.log(), self.rate, value, value=-1)


class Gamma(Positive):
    concentration: Tensor
    rate: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.concentration)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        draw = standard_gamma(self.concentration, shape, generator, "Gamma") / self.rate
        return nudge(draw, tiny(draw))

    def density(self, value: Tensor) -> Tensor:
        a, rate, x = double(self.concentration, self.rate, value)
        return (a * rate.log() - torch.lgamma(a) + (a - 1) * x.log() - rate * x).to(value.dtype)


class InverseGamma(Positive):
    concentration: Tensor
    rate: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.concentration)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        draw = self.rate / standard_gamma(self.concentration, shape, generator, "InverseGamma")
        return nudge(draw, tiny(draw))

    def density(self, value: Tensor) -> Tensor:
        a, rate, x = double(self.concentration, self.rate, value)
        return (a * rate.log() - torch.lgamma(a) - (a + 1) * x.log() - rate / x).to(value.dtype)


class Chi2(Positive):
    df: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.df / 2)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return 2 * standard_gamma(self.df / 2, shape, generator, "Chi2")

    def density(self, value: Tensor) -> Tensor:
        a, x = double(self.df / 2, value)
        return ((a - 1) * x.log() - x / 2 - a * math.log(2) - torch.lgamma(a)).to(value.dtype)


class Weibull(Positive):
    scale: Tensor
    concentration: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.concentration)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        noise = exponential(shape, self.scale, generator).log_()
        draw = self.scale * torch.exp(noise / self.concentration)
        return nudge(draw, tiny(draw))

    def density(self, value: Tensor) -> Tensor:
        k = self.concentration
        t = (value / self.scale).log()
        return (k / self.scale).log() + (k - 1) * t - torch.exp(k * t)


class Pareto(Law):
    scale: Tensor
    alpha: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return blurred(self.scale, self.scale / self.alpha)

    def support(self, value: Tensor) -> Tensor | None:
        return value >= self.scale

    def stand_in(self, value: Tensor) -> Tensor:
        return self.scale.detach() * torch.ones_like(value)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return self.scale * torch.exp(exponential(shape, self.scale, generator) / self.alpha)

    def density(self, value: Tensor) -> Tensor:
        return (self.alpha / self.scale).log() - (self.alpha + 1) * (value / self.scale).log()


class Uniform(Law):
    low: Tensor
    high: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return (value >= self.low) & (value <= self.high)

    def stand_in(self, value: Tensor) -> Tensor:
        return self.low.detach() * torch.ones_like(value)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return torch.addcmul(self.low, self.high - self.low, uniform(shape, self.low, generator))

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
        return sinks(self.concentration1) or sticks(self.concentration0)


class Beta(Proportion):
    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        both = torch.stack((self.concentration1.expand(shape), self.concentration0.expand(shape)), -1)
        return dirichlet(both, (*shape, 2), generator, "Beta")[..., 0]

    def density(self, value: Tensor) -> Tensor:
        a, b, x = double(self.concentration1, self.concentration0, value)
        constant = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
        return (constant + (a - 1) * x.log() + (b - 1) * torch.log1p(-x)).to(value.dtype)


class Kumaraswamy(Proportion):
    """1 - x^a is a power of a uniform: x = (1 - exp(-e/b))^(1/a) with e exponential."""

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        inner = -torch.expm1(-exponential(shape, self.concentration1, generator) / self.concentration0)
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

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return dirichlet(self.concentration, shape, generator, "Dirichlet")

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.concentration)

    def density(self, value: Tensor) -> Tensor:
        a, x = double(self.concentration, value)
        constant = torch.lgamma(a.sum(-1)) - torch.lgamma(a).sum(-1)
        return (constant + ((a - 1) * x.log()).sum(-1)).to(value.dtype)


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

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        noise, factor = normal(shape, self.loc, generator), self.factor()
        if factor.shape[:-2].numel() == 1:
            return self.loc + noise @ factor.reshape(factor.shape[-2:]).mT
        return self.loc + (factor @ noise.unsqueeze(-1)).squeeze(-1)

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

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        raise NotImplementedError("VonMises has no reparameterised draw")
