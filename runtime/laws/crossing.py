"""How fast probability crosses a point that moves: of a draw x with distribution function F and density f, d F(r) of a root r.

    d F(r; a) = f(r) (dr - motion of x at r),
the motion of a draw under its arguments a, the noise that it is made of held fixed (its reparameterisation, explicit or implicit:
Figurnov et al. 2018), at the noise that makes it r.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...dsl.tables.distributions import DISTRIBUTIONS
from ..arrays.broadcast import Shape
from .bounded import Beta, Kumaraswamy, UniformLaw
from .composed import Composed, Mixture, Truncated
from .cumulative import TAILS, tails
from .further import Triangular
from .implicit import dirichlet, standard_gamma
from .law import Law
from .location_scale import Cauchy, Gumbel, Laplace, LocationScale, Logistic, Normal, StudentT
from .noise import Noise
from .positive import Chi2, Exponential, Gamma, HalfCauchy, HalfNormal, InverseGamma, LogNormal, Pareto, Weibull
from .truncated_normal import TruncatedNormal


class Unknown(Exception):
    """Of this law (by its name) the motion of a draw, or its distribution function, is not known."""


class _Given(Noise):
    """Noise that is given."""

    def __init__(self, rows: Tensor):
        self.rows = rows

    def gamma(self, concentration: Tensor) -> Tensor:
        return self.rows.clone()

    def dirichlet(self, concentration: Tensor) -> Tensor:
        return self.rows.clone()


def crossed(law: Law, root: Tensor, density: Tensor) -> Tensor:
    """By how much the probability below a root `[lanes, *batch]` changes, where there is such a density: 0, with a derivative."""
    point, inside = root.detach(), density > 0
    safe = point
    if not (every := bool(inside.all())) and law.support(point) is not None:
        safe = torch.where(inside, point, law.stand_in(point).detach())
    draw = moved(law, safe)
    motion = (root - point) - (draw - draw.detach())
    return density * (motion if every else torch.where(inside, motion, 0.0))


def moved(law: Law, x: Tensor) -> Tensor:
    """A draw that is `x` `[lanes, *batch]` and moves with the arguments."""
    if not any(argument.requires_grad for argument in law.arguments.values()):
        return x
    shape: Shape = tuple(x.shape)
    match law:
        case StudentT() if law.df.requires_grad:
            return _by_tails(law, x)
        case LocationScale():
            return torch.addcmul(law.loc, law.scale, law.standardised(x).detach())
        case LogNormal():
            return torch.addcmul(law.loc, law.scale, ((x.log() - law.loc) / law.scale).detach()).exp()
        case HalfNormal() | HalfCauchy():
            return law.scale * (x / law.scale).detach()
        case Exponential():
            return (x * law.rate).detach() / law.rate
        case Gamma():
            given = _Given((x * law.rate).detach().expand(shape))
            return standard_gamma(law.concentration, shape, given, "Gamma") / law.rate
        case InverseGamma():
            given = _Given((law.rate / x).detach().expand(shape))
            return law.rate / standard_gamma(law.concentration, shape, given, "InverseGamma")
        case Chi2():
            return 2 * standard_gamma(law.df / 2, shape, _Given(x / 2), "Chi2")
        case Weibull():
            return law.scale * torch.exp((law.concentration * (x / law.scale).log()).detach() / law.concentration)
        case Pareto():
            return law.scale * torch.exp((law.alpha * (x / law.scale).log()).detach() / law.alpha)
        case UniformLaw():
            return torch.addcmul(law.low, law.high - law.low, ((x - law.low) / (law.high - law.low)).detach())
        case Beta():
            both = torch.stack((law.concentration1.expand(shape), law.concentration0.expand(shape)), -1)
            return dirichlet(both, (*shape, 2), _Given(torch.stack((x, 1 - x), -1)), "Beta")[..., 0]
        case Kumaraswamy():
            a, b = law.concentration1, law.concentration0
            rest = (-b * torch.log1p(-(x**a))).detach()
            return (-torch.expm1(-rest / b)) ** (1 / a)
    return _by_tails(law, x)


def _by_tails(law: Law, x: Tensor) -> Tensor:
    """A draw of any law of which both tails are known, with the motion that its distribution function gives it."""
    lower, upper = _tails(law, x.detach())
    density = law.log_prob(x).detach().double()
    change = torch.where(lower < upper, -lower, upper)  # the logarithm of the smaller one
    motion = (torch.minimum(lower, upper).detach() - density).exp() * change
    return x + (motion - motion.detach()).to(x.dtype)


def _tails(law: Law, x: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the probability below `x` and above it; `Unknown` where there is no formula."""
    row = law.row if isinstance(law, Composed) else DISTRIBUTIONS.get(type(law).__name__)
    if row is None or not (row.parts or row.name in TAILS):
        raise Unknown
    given = {name: value.double() for name, value in law.arguments.items()}
    given = {name: value.expand(x.shape) if value.dim() <= x.dim() else value for name, value in given.items()}
    return tails(row, given, x.double())


@torch.no_grad()
def spread(law: Law, x: Tensor) -> Tensor:
    """About how wide the distribution is around `x`."""
    match law:
        case LogNormal():
            return x * law.scale
        case LocationScale() | HalfNormal() | HalfCauchy():
            return law.scale.expand(x.shape)
        case Exponential():
            return (1 / law.rate).expand(x.shape)
        case UniformLaw():
            return (law.high - law.low).expand(x.shape)
        case Gamma():
            return torch.minimum(law.concentration.sqrt() / law.rate, x)
        case Beta() | Kumaraswamy():
            return torch.minimum(x, 1 - x)
        case Weibull() | Pareto() | InverseGamma() | Chi2():
            return x.abs()
        case Triangular():
            return (law.high - law.low).expand(x.shape)
        case TruncatedNormal() | Truncated():
            own = law.scale if isinstance(law, TruncatedNormal) else spread(law.laws[0], x)
            return torch.minimum(law.arguments["high"] - law.arguments["low"], own).expand(x.shape)
        case Mixture():
            return torch.stack([spread(part, x).expand(x.shape) for part in law.laws]).amin(0)
    return torch.ones_like(x)


@torch.no_grad()
def extent(law: Law, x: Tensor) -> Tensor:
    """About how wide the distribution is, of those whose width is an argument, and 1 of others: the same for all its draws."""
    match law:
        case LocationScale() | HalfNormal() | HalfCauchy() | Exponential() | UniformLaw():
            return spread(law, x).abs() if not isinstance(law, LogNormal) else torch.ones_like(x)
    return torch.ones_like(x)


@torch.no_grad()
def below(law: Law, x: Tensor) -> Tensor:
    """The probability of a draw below `x`; `Unknown` where there is no formula."""
    match law:
        case Normal():
            found = torch.special.ndtr(law.standardised(x))
        case Laplace():
            z = law.standardised(x)
            found = torch.where(z < 0, z.clamp(max=0).exp() / 2, 1 - (-z).clamp(max=0).exp() / 2)
        case Logistic():
            found = torch.sigmoid(law.standardised(x))
        case Gumbel():
            found = torch.exp(-torch.exp(-law.standardised(x)))
        case Cauchy():
            found = law.standardised(x).atan() / torch.pi + 0.5
        case LogNormal():
            found = torch.special.ndtr((x.clamp_min(0).log() - law.loc) / law.scale)
        case HalfNormal():
            found = 2 * torch.special.ndtr(x.clamp_min(0) / law.scale) - 1
        case HalfCauchy():
            found = 2 * (x.clamp_min(0) / law.scale).atan() / torch.pi
        case Exponential():
            found = -torch.expm1(-law.rate * x.clamp_min(0))
        case Gamma():
            found = torch.special.gammainc(law.concentration.expand(x.shape), law.rate * x.clamp_min(0))
        case Chi2():
            found = torch.special.gammainc((law.df / 2).expand(x.shape), x.clamp_min(0) / 2)
        case Weibull():
            found = -torch.expm1(-((x.clamp_min(0) / law.scale) ** law.concentration))
        case Pareto():
            found = 1 - (law.scale / torch.maximum(x, law.scale)) ** law.alpha
        case UniformLaw():
            found = ((x - law.low) / (law.high - law.low)).clamp(0, 1)
        case Kumaraswamy():
            found = 1 - (1 - x.clamp(0, 1) ** law.concentration1) ** law.concentration0
        case _:
            found = _tails(law, x)[0].exp().to(x.dtype)
    return torch.as_tensor(found)
