"""Distributions that are moved and stretched."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..arrays.broadcast import Shape
from ..arrays.scalars import ends
from .implicit import standard_gamma
from .law import HALF_LOG_TWO_PI, Law
from .noise import Noise
from .rounding import blurred, double, sinks


class LocationScale(Law):
    """`loc + scale * noise`; subclasses give the noise and its log density."""

    loc: Tensor
    scale: Tensor

    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        """Noise at loc 0 and scale 1."""
        raise NotImplementedError

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return torch.addcmul(self.loc, self.scale, self.standard(shape, noise))

    def standardised(self, value: Tensor) -> Tensor:
        """`(value - loc) / scale`."""
        return (value - self.loc) / self.scale

    def coarse(self, value: Tensor | None) -> bool:
        return blurred(self.ends("loc") if value is None else ends(value), self.ends("scale")[0], self.loc.dtype)


class Normal(LocationScale):
    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.normal(shape, self.loc)

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return torch.addcmul(-HALF_LOG_TWO_PI - self.scale.log(), z, z, value=-0.5)


class Laplace(LocationScale):
    """The noise is the difference of two exponentials."""

    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.exponential(shape, self.loc).sub_(noise.exponential(shape, self.loc))

    def density(self, value: Tensor) -> Tensor:
        return -self.standardised(value).abs() - (2 * self.scale).log()


class Gumbel(LocationScale):
    """The noise is minus the logarithm of an exponential."""

    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.exponential(shape, self.loc).log_().neg_()

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return -(z + torch.exp(-z)) - self.scale.log()


class Logistic(LocationScale):
    """The noise is the difference of two Gumbels: both tails are as fine as an exponential's."""

    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.exponential(shape, self.loc).div_(noise.exponential(shape, self.loc)).log_()

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return logsigmoid(z) + logsigmoid(-z) - self.scale.log()


class Cauchy(LocationScale):
    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.cauchy(shape, self.loc)

    def density(self, value: Tensor) -> Tensor:
        z = self.standardised(value)
        return -torch.log1p(z * z) - (math.pi * self.scale).log()


class StudentT(LocationScale):
    df: Tensor

    def standard(self, shape: Shape, noise: Noise) -> Tensor:
        chi2 = 2 * standard_gamma(self.df / 2, shape, noise, "StudentT")
        return noise.normal(shape, self.loc) * torch.rsqrt(chi2 / self.df)

    def coarse(self, value: Tensor | None) -> bool:
        return super().coarse(value) or (value is None and sinks(self.ends("df")[0] / 2, self.df.dtype))

    def density(self, value: Tensor) -> Tensor:
        df, loc, scale, x = double(self.df, self.loc, self.scale, value)
        z = (x - loc) / scale
        constant = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (math.pi * df).log() - scale.log()
        return (constant - 0.5 * (df + 1) * torch.log1p(z * z / df)).to(value.dtype)
