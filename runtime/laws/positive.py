"""Distributions of positive values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..arrays.scalars import ends
from .implicit import standard_gamma
from .law import HALF_LOG_TWO_PI, Law
from .location_scale import Normal
from .log_space import held, log_gamma, vanishes
from .noise import Noise
from .rounding import blurred, double, nudge, sinks, tiny


class Positive(Law):
    """Values above 0."""

    def support(self, value: Tensor) -> Tensor | None:
        return value > 0

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.ones_like(value)


class LogNormal(Positive):
    loc: Tensor
    scale: Tensor

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return torch.addcmul(self.loc, self.scale, noise.normal(shape, self.loc)).exp().clamp_min(tiny(self.loc))

    def density(self, value: Tensor) -> Tensor:
        logarithm = value.log()
        return Normal(self.arguments).density(logarithm) - logarithm

    def relative_log_prob(self, value: Tensor) -> Tensor:
        return Normal(self.arguments).density(value.log())


class HalfNormal(Positive):
    scale: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return value >= 0

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return self.scale * noise.normal(shape, self.scale).abs_().clamp_min_(tiny(self.scale))

    def density(self, value: Tensor) -> Tensor:
        z = value / self.scale
        return torch.addcmul(math.log(2) - HALF_LOG_TWO_PI - self.scale.log(), z, z, value=-0.5)


class HalfCauchy(Positive):
    scale: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return value >= 0

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return self.scale * noise.cauchy(shape, self.scale).abs_().clamp_min_(tiny(self.scale))

    def density(self, value: Tensor) -> Tensor:
        z = value / self.scale
        return -torch.log1p(z * z) - (0.5 * math.pi * self.scale).log()


class Exponential(Positive):
    rate: Tensor

    def support(self, value: Tensor) -> Tensor | None:
        return value >= 0

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.exponential(shape, self.rate) / self.rate

    def density(self, value: Tensor) -> Tensor:
        return torch.addcmul(self.rate.log(), self.rate, value, value=-1)


class Gamma(Positive):
    concentration: Tensor
    rate: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.ends("concentration")[0], self.concentration.dtype)

    def small(self) -> bool:
        return vanishes(self, "concentration")

    def _logarithm(self, shape: Shape, noise: Noise) -> Tensor:
        return log_gamma(self.concentration, shape, noise, "Gamma") - self.rate.double().log()

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        if self.small():
            return held(self._logarithm(shape, noise), self.rate.dtype)
        draw = standard_gamma(self.concentration, shape, noise, "Gamma") / self.rate
        return nudge(draw, tiny(draw))

    def drawn(self, shape: Shape, noise: Noise) -> tuple[Tensor, Tensor]:
        logarithm = self._logarithm(shape, noise).detach()
        return held(logarithm, self.rate.dtype), self._density(logarithm).to(self.rate.dtype)

    def density(self, value: Tensor) -> Tensor:
        return self._density(value.double().log()).to(value.dtype)

    def _density(self, logarithm: Tensor) -> Tensor:
        a, rate = double(self.concentration, self.rate)
        return a * rate.log() - torch.lgamma(a) + (a - 1) * logarithm - rate * logarithm.exp()


class InverseGamma(Positive):
    concentration: Tensor
    rate: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.ends("concentration")[0], self.concentration.dtype)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        draw = self.rate / standard_gamma(self.concentration, shape, noise, "InverseGamma")
        return nudge(draw, tiny(draw))

    def density(self, value: Tensor) -> Tensor:
        a, rate, x = double(self.concentration, self.rate, value)
        return (a * rate.log() - torch.lgamma(a) - (a + 1) * x.log() - rate / x).to(value.dtype)


class Chi2(Positive):
    df: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.ends("df")[0] / 2, self.df.dtype)

    def small(self) -> bool:
        return vanishes(self, "df", 0.5)

    def _logarithm(self, shape: Shape, noise: Noise) -> Tensor:
        return log_gamma(self.df / 2, shape, noise, "Chi2") + math.log(2)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        if self.small():
            return held(self._logarithm(shape, noise), self.df.dtype)
        return 2 * standard_gamma(self.df / 2, shape, noise, "Chi2")

    def drawn(self, shape: Shape, noise: Noise) -> tuple[Tensor, Tensor]:
        logarithm = self._logarithm(shape, noise).detach()
        return held(logarithm, self.df.dtype), self._density(logarithm).to(self.df.dtype)

    def density(self, value: Tensor) -> Tensor:
        return self._density(value.double().log()).to(value.dtype)

    def _density(self, logarithm: Tensor) -> Tensor:
        a = self.df.double() / 2
        return (a - 1) * logarithm - logarithm.exp() / 2 - a * math.log(2) - torch.lgamma(a)


class Weibull(Positive):
    scale: Tensor
    concentration: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return sinks(self.ends("concentration")[0], self.concentration.dtype)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        gumbel = noise.exponential(shape, self.scale).log_()
        draw = self.scale * torch.exp(gumbel / self.concentration)
        return nudge(draw, tiny(draw))

    def density(self, value: Tensor) -> Tensor:
        k = self.concentration
        t = (value / self.scale).log()
        return (k / self.scale).log() + (k - 1) * t - torch.exp(k * t)


class Pareto(Law):
    scale: Tensor
    alpha: Tensor

    def coarse(self, value: Tensor | None) -> bool:
        return blurred(self.ends("scale"), ends(self.scale / self.alpha)[0], self.scale.dtype)

    def support(self, value: Tensor) -> Tensor | None:
        return value >= self.scale

    def stand_in(self, value: Tensor) -> Tensor:
        return self.scale.detach() * torch.ones_like(value)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return self.scale * torch.exp(noise.exponential(shape, self.scale) / self.alpha)

    def density(self, value: Tensor) -> Tensor:
        return (self.alpha / self.scale).log() - (self.alpha + 1) * (value / self.scale).log()
