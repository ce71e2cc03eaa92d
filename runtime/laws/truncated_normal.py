"""TruncatedNormal(loc, scale, low, high), which torch lacks: right at any distance of its window, pathwise in all four arguments.

In float64, and in coordinates in which nothing cancels.  Where the window lies on one side of `loc`, or is narrow, t is the
distance from its nearer end and rho that of the end from `loc`, in scales: the density is exp(-rho t - t^2/2) / Z on [0, high],
with no term of the size of rho^2.  Elsewhere t is the distance from `loc` itself, rho is 0 and t runs from `low` to `high`.  Then
    log Z(rho, low, high),  d/drho = -E[t],  d/dlow = -q(low),  d/dhigh = q(high)     (q the density of t)
where Z and E[t] are differences of Mills' ratio (`erfcx`) or Phi at the ends; far out, and in a narrow window, Gauss-Legendre
sums of positive terms over the part of the window that holds all but 1e-16 of it.  A draw with the share u of the probability
below it moves by (implicit, Figurnov et al. 2018)
    dt/dlow = (1 - u) q(low)/q(t),   dt/dhigh = u q(high)/q(t),   dt/drho = -Z' (t + E'[t'] - E[t])
where the primes are of the law of t' = t - (the draw), above the draw.  All is written with t as a differentiable value, so
that second derivatives are right as well.  Rejected: differences of Phi or log Phi, which far out lose the square of the
distance in digits, and inverting Phi through erfinv.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from ..arrays.broadcast import Shape, together
from ..arrays.scalars import ends
from .law import Law
from .noise import Noise
from .rounding import blurred, double, nudge

NODES = 40
DEPTH = 37.0  # exp(-DEPTH) is nothing beside 1
NARROW = 0.03  # the density falls by less than exp(-NARROW) in a narrow window
NEAR = 30.0  # scales, from which on differences lose too many digits
STEPS = 8  # of Newton's method, at most
CLOSE = 1e-8  # a step of which the next one is the square

_POINTS, _SHARES = (torch.from_numpy(part / 2) for part in numpy.polynomial.legendre.leggauss(NODES))
_POINTS = _POINTS + 0.5


@dataclass(frozen=True)
class Window:
    """Where t runs: x = place + sign * scale * t."""

    rho: Tensor
    low: Tensor
    high: Tensor
    place: Tensor
    sign: Tensor
    scale: Tensor


# --------------------------------------------------------------------------------------------- mass and mean
def _exponent(rho: Tensor, t: Tensor) -> Tensor:
    return -t * (rho + t / 2)


def _mills(x: Tensor) -> Tensor:
    """(1 - Phi(x))/phi(x)."""
    ratio: Tensor = torch.special.erfcx(x / math.sqrt(2)) * math.sqrt(math.pi / 2)
    return ratio


def _tail(rho: Tensor, t: Tensor) -> Tensor:
    """The integral of exp(-rho t - t^2/2) from t on."""
    return torch.where(torch.isinf(t), 0.0, _exponent(rho, t).exp() * _mills(rho + t))


def _sums(rho: Tensor, low: Tensor, high: Tensor, centre: Tensor | float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """The integrals of 1, t - centre and its square over [low, high]."""
    far = (rho * rho + 2 * DEPTH).sqrt()
    start = torch.maximum(low, -far.detach())
    width = torch.minimum(high, (2 * DEPTH / (rho + far)).detach()) - start
    t = start.unsqueeze(-1) + width.unsqueeze(-1) * _POINTS.to(rho.device)
    part = _exponent(rho.unsqueeze(-1), t).exp() * _SHARES.to(rho.device)
    apart = t - (centre.unsqueeze(-1) if isinstance(centre, Tensor) else centre)
    moment = part * apart
    return width * part.sum(-1), width * moment.sum(-1), width * (moment * apart).sum(-1)


def _mass(rho: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Z by functions of the ends, where these have enough digits."""
    beside = _mills(rho) - _tail(rho, high)
    if not bool((low < 0).any()):
        return beside
    return torch.where(low < 0, (torch.special.ndtr(high) - torch.special.ndtr(low)) * math.sqrt(2 * math.pi), beside)


def _completed(plain: Tensor, sums: Callable[..., Tensor], rho: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """What was found by functions of the ends; by sums where those have too few digits."""
    poor = (rho > NEAR) | (_exponent(rho, high - low) > -NARROW)
    if bool(poor.any()):
        plain[poor] = sums(*_sums(rho[poor], low[poor], high[poor]))
    return plain


class _LogMass(torch.autograd.Function):
    """log Z, of arguments of one shape."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        ctx.save_for_backward(*given)
        return _completed(_mass(*given), lambda mass, *_: mass, *given).log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,), (rho, low, high) = gradients, ctx.saved_tensors
        mass = _log_mass(rho, low, high)
        return -gradient * _mean(rho, low, high), -gradient * _end(rho, low, mass), gradient * _end(rho, high, mass)


class _Mean(torch.autograd.Function):
    """E[t], of arguments of one shape."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        ctx.save_for_backward(*given)
        rho, low, high = given
        plain = (_exponent(rho, low).exp() - _exponent(rho, high).exp()) / _mass(*given) - rho
        return _completed(plain, lambda mass, moment, _: moment / mass, *given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,), (rho, low, high) = gradients, ctx.saved_tensors
        mass, mean = _log_mass(rho, low, high), _mean(rho, low, high)
        by_low, by_high = (
            _end(rho, edge, mass) * (torch.where(torch.isinf(edge), mean.detach(), edge) - mean) for edge in (low, high)
        )
        total, moment, square = _sums(rho, low, high, mean)
        return -gradient * (square - moment * moment / total) / total, -gradient * by_low, gradient * by_high


_log_mass: Callable[[Tensor, Tensor, Tensor], Tensor] = _LogMass.apply
_mean: Callable[[Tensor, Tensor, Tensor], Tensor] = _Mean.apply


def _end(rho: Tensor, edge: Tensor, mass: Tensor) -> Tensor:
    """q at an end of the window, 0 where that is infinite."""
    infinite = torch.isinf(edge)
    return torch.where(infinite, 0.0, torch.exp(_exponent(rho, torch.where(infinite, 0.0, edge)) - mass))


# ------------------------------------------------------------------------------------------------------ a draw
def _ratio(rho: Tensor, edge: Tensor, t: Tensor) -> Tensor:
    """q(edge)/q(t), 0 for an infinite edge."""
    infinite = torch.isinf(edge)
    place = torch.where(infinite, t.detach(), edge)
    return torch.where(infinite, 0.0, torch.exp((t - place) * (rho + (t + place) / 2)))


class _Draw(torch.autograd.Function):
    """The t with the share `u` of the probability below it."""

    @staticmethod
    def forward(ctx: Any, rho: Tensor, low: Tensor, high: Tensor, u: Tensor) -> Tensor:
        t = _quantile(rho, low, high, u)
        ctx.save_for_backward(rho, low, high, u, t)
        return t

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (gradient,), (rho, low, high, u, t) = gradients, ctx.saved_tensors
        by_rho = None
        if bool((low == 0).any()):  # else `loc` lies inside
            above = torch.zeros_like(t), high - t
            shift = t + _mean(rho + t, *above) - _mean(rho, low, high)
            by_rho = -gradient * torch.exp(_log_mass(rho + t, *above)) * shift
        return by_rho, gradient * (1 - u) * _ratio(rho, low, t), gradient * u * _ratio(rho, high, t), None


_draw: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = _Draw.apply


def _quantile(rho: Tensor, low: Tensor, high: Tensor, u: Tensor) -> Tensor:
    """The t with the share `u` below it (no derivative), of arguments of one shape."""
    narrow = _exponent(rho, high - low) > -NARROW
    found = torch.empty_like(u)
    for way, here in ((_inside, narrow), (_around, ~narrow & (low < 0)), (_beside, ~narrow & (low == 0))):
        if bool(here.all()):
            return torch.clamp(way(rho, low, high, u), low, high)
        if bool(here.any()):
            found[here] = way(rho[here], low[here], high[here], u[here])
    return torch.clamp(found, low, high)


def _inside(rho: Tensor, low: Tensor, high: Tensor, u: Tensor) -> Tensor:
    """In a narrow window, by Newton's method on the distribution function, which is nearly straight."""
    whole, t = _sums(rho, low, high)[0] * u, torch.lerp(low, high, u)
    for _ in range(3):
        t = torch.clamp(t - (_sums(rho, low, t)[0] - whole) / _exponent(rho, t).exp(), low, high)
    return t


def _around(rho: Tensor, low: Tensor, high: Tensor, u: Tensor) -> Tensor:
    """With `loc` inside a wide window, by `ndtri`, on the side where probabilities are small."""
    mirrored = low + high > 0
    least, most = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    start = torch.special.ndtr(least)
    t: Tensor = torch.special.ndtri(start + torch.where(mirrored, 1 - u, u) * (torch.special.ndtr(most) - start))
    return torch.where(mirrored, -t, t)


def _beside(rho: Tensor, low: Tensor, high: Tensor, u: Tensor) -> Tensor:
    """In a wide window on one side of `loc`, by Newton's method on the log of what is above t: that is convex, and the start
    is above the root, so the steps do not overshoot.  The slope is the hazard rate, of which Mills' ratio is the inverse."""
    first = _mills(rho)
    depth = -torch.log1p(-u * (1 - _tail(rho, high) / first))
    t = torch.minimum(depth * first, 2 * depth / (rho + (rho * rho + 2 * depth).sqrt()))
    for _ in range(STEPS):
        here = _mills(rho + t)
        step = (torch.log(first / here) - _exponent(rho, t) - depth) * here
        t = (t - step).clamp_min(0.0)
        if not bool((step.abs() > CLOSE * t).any()):
            break
    return t


def window(loc: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Window:
    """Where t runs, in float64; an infinite end carries no derivative."""
    loc, scale, low, high = together(*double(loc, scale, low, high))
    endless = torch.isinf(low), torch.isinf(high)
    ends = [torch.where(infinite, loc.detach(), edge) for infinite, edge in zip(endless, (low, high), strict=True)]
    a, b = (
        torch.where(infinite, edge.detach(), (end - loc) / scale)
        for infinite, edge, end in zip(endless, (low, high), ends, strict=True)
    )
    width = torch.where(endless[0] | endless[1], math.inf, (ends[1] - ends[0]) / scale)
    below = b < 0
    above = (a > 0) | ~below & (width * width < 2 * NARROW)
    beside = above | below
    return Window(
        torch.where(above, a, torch.where(below, -b, 0.0)), torch.where(beside, 0.0, a), torch.where(beside, width, b),
        torch.where(above, ends[0], torch.where(below, ends[1], loc)), torch.where(below, -1.0, 1.0).to(loc.dtype), scale,
    )


def between_log(rho: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The logarithm of the integral of exp(-rho t - t^2/2) over any [low, high] (rho is 0 where that goes below 0): of what lies
    on one side of 0, by the distance from its nearer end."""
    rho, low, high = together(rho, low, high)
    shift = torch.where(low > 0, low, torch.where(high < 0, -high, 0.0))
    beside = (low >= 0) | (high < 0)
    width = torch.where(torch.isinf(low) | torch.isinf(high), math.inf, high - low)
    mass = _log_mass(rho + shift, torch.where(beside, 0.0, low), torch.where(beside, width, high))
    return mass + _exponent(rho, shift)


class TruncatedNormal(Law):
    loc: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    @torch.no_grad()
    def coarse(self, value: Tensor | None) -> bool:
        if blurred(self.ends("loc"), self.ends("scale")[0], self.loc.dtype):
            return True
        window = self._window()
        spread = window.scale * torch.minimum(1 / window.rho.clamp_min(1.0), window.high - window.low)
        return blurred(ends(window.place if value is None else value), ends(spread)[0], self.loc.dtype)

    def _window(self) -> Window:
        return window(self.loc, self.scale, self.low, self.high)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        window = self._window()
        u = noise.uniform(shape, self.loc, torch.float64)
        t = _draw(*together(window.rho, window.low, window.high, u))
        x = torch.addcmul(window.place, window.sign * window.scale, t).to(self.loc.dtype)
        infinity = torch.full_like(self.low, math.inf)
        return nudge(x, torch.nextafter(self.low.detach(), infinity), torch.nextafter(self.high.detach(), -infinity))

    def support(self, value: Tensor) -> Tensor | None:
        return (value >= self.low) & (value <= self.high)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.clamp(self.loc.detach() + torch.zeros_like(value), self.low.detach(), self.high.detach())

    def density(self, value: Tensor) -> Tensor:
        window = self._window()
        t = window.sign * (value.double() - window.place) / window.scale
        mass = _log_mass(window.rho, window.low, window.high)
        return (_exponent(window.rho, t) - mass - window.scale.log()).to(value.dtype)
