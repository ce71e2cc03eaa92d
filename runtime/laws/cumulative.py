"""Distribution functions: the logarithms of P(X <= x) and P(X > x) of every scalar law, right in both tails.

A row of `TAILS` takes the arguments of a law and values strictly inside its support, in float64, and gives both logarithms; that
of the smaller side is computed by itself, so that logcdf(Normal(0, 1), -40) has all its digits.  Values at or beyond an end of the
support (`extent`) are seen to by `cumulative`.  Gamma, Beta and Student's t, and the counts that are sums of them, are integrals of
a density that is log-concave in a coordinate on the whole line (log x, logit x, asinh x): Gauss-Legendre sums over what lies beyond
x, out to where nothing is left (`beyond`), differentiable in x and in every argument as often as wanted.  Rejected: torch's
gammainc, which has no derivative in the shape, and 1 - F.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from ...dsl.tables.distributions import DistributionRow
from ..arrays.broadcast import together
from .further import beta_binomial
from .truncated_normal import between_log, window

Given = dict[str, Tensor]
Pair = tuple[Tensor, Tensor]
Ends = tuple[Tensor | float, Tensor | float]

NODES = 48
DEPTH = 38.0  # exp(-DEPTH) is nothing beside 1
MOST = 709.0  # exp of it is a number
HALVINGS = 5  # of the width of what is looked at, once it is known up to a factor 2

_POINTS, _SHARES = (torch.from_numpy(part / 2) for part in numpy.polynomial.legendre.leggauss(NODES))
_POINTS = _POINTS + 0.5


def complement(log: Tensor) -> Tensor:
    """log(1 - exp(l)) for l < 0."""
    return torch.log(-torch.expm1(log))


def hazard(log: Tensor) -> Pair:
    """log(1 - exp(-e^t)) and -e^t, of the logarithm t of a hazard; without a derivative where that is no number."""
    fits, tiny = log < MOST, log < -DEPTH
    upper = torch.where(fits, -torch.exp(torch.where(fits, log, 0.0)), -math.inf)
    return torch.where(tiny, log, complement(torch.where(tiny, -1.0, upper))), upper


# ------------------------------------------------------------------------------------------------------ by integrals
def beyond(density: Callable[[Tensor], Tensor], end: Tensor, centre: Tensor) -> Pair:
    """Below and above `end`, of a log density on the whole line that is concave and has its mean at `centre`.

    `density` takes values with one more axis behind.  Beyond the mean it falls from there, but for a factor e."""
    out = torch.where(end.detach() > centre.detach(), 1.0, -1.0)
    with torch.no_grad():
        width = _width(density, end, out)
    s = width.unsqueeze(-1) * _POINTS.to(end.device)
    logs = density(end.unsqueeze(-1) + out.unsqueeze(-1) * s) + (_SHARES.to(end.device)).log()
    small = torch.logsumexp(logs, -1) + width.log()
    large = complement(small)
    return torch.where(out > 0, large, small), torch.where(out > 0, small, large)


def _width(density: Callable[[Tensor], Tensor], end: Tensor, out: Tensor) -> Tensor:
    """How far beyond `end` something is left."""
    least = density(end.unsqueeze(-1)).squeeze(-1) - DEPTH

    def falls(width: Tensor) -> Tensor:
        return ~(density((end + out * width).unsqueeze(-1)).squeeze(-1) > least)

    width = torch.ones_like(end)
    for _ in range(1100):
        if bool((enough := falls(width)).all()):
            break
        width = torch.where(enough, width, 2 * width)
    for _ in range(1100):
        smaller = falls(width / 2)
        if not bool(smaller.any()):
            break
        width = torch.where(smaller, width / 2, width)
    low, high = width / 2, width
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = falls(middle)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high


def _gamma(a: Tensor, y: Tensor) -> Pair:
    """Of the logarithm y of Gamma(a, 1)."""
    a, y = together(a, y)
    shape, constant = a.unsqueeze(-1), torch.lgamma(a).unsqueeze(-1)
    return beyond(lambda t: shape * t - t.exp() - constant, y, torch.digamma(a.detach()))


def _beta(a: Tensor, b: Tensor, y: Tensor) -> Pair:
    """Of the logit y of Beta(a, b)."""
    a, b, y = together(a, b, y)
    one, zero = a.unsqueeze(-1), b.unsqueeze(-1)
    constant = (torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)).unsqueeze(-1)
    centre = torch.digamma(a.detach()) - torch.digamma(b.detach())
    return beyond(lambda t: one * logsigmoid(t) + zero * logsigmoid(-t) + constant, y, centre)


def _student(given: Given, x: Tensor) -> Pair:
    """t = sqrt(df) sinh(y), where y has a density like cosh(y)^-df."""
    df, z = together(given["df"], (x - given["loc"]) / given["scale"])
    power = df.unsqueeze(-1)
    constant = (torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * math.log(math.pi)).unsqueeze(-1)
    y = torch.asinh(z / df.sqrt())
    return beyond(lambda t: constant - power * (softplus(2 * t) - t - math.log(2)), y, torch.zeros_like(y))


# ----------------------------------------------------------------------------------------------------- in closed form
def standard_normal(z: Tensor) -> Pair:
    """Both tails of Normal(0, 1)."""
    return torch.special.log_ndtr(z), torch.special.log_ndtr(-z)


def _z(given: Given, x: Tensor) -> Tensor:
    return (x - given["loc"]) / given["scale"]


def _laplace(given: Given, x: Tensor) -> Pair:
    z = _z(given, x)
    inner = torch.where(z < 0, z, -z) - math.log(2)
    large = torch.log1p(-inner.exp())
    return torch.where(z < 0, inner, large), torch.where(z < 0, large, inner)


def _gumbel(given: Given, x: Tensor) -> Pair:
    return hazard(-_z(given, x))[::-1]


def _cauchy(given: Given, x: Tensor) -> Pair:
    one, z = together(torch.ones((), dtype=x.dtype, device=x.device), _z(given, x))
    return (torch.atan2(one, -z) / math.pi).log(), (torch.atan2(one, z) / math.pi).log()


def _half_normal(given: Given, x: Tensor) -> Pair:
    z = x / given["scale"]
    return torch.erf(z / math.sqrt(2)).log(), math.log(2) + torch.special.log_ndtr(-z)


def _half_cauchy(given: Given, x: Tensor) -> Pair:
    z = x / given["scale"]
    return (torch.atan(z) * 2 / math.pi).log(), (torch.atan(1 / z) * 2 / math.pi).log()


def _from_above(upper: Tensor) -> Pair:
    return complement(upper), upper


def _weibull(given: Given, x: Tensor) -> Pair:
    return hazard(given["concentration"] * (x / given["scale"]).log())


def _kumaraswamy(given: Given, x: Tensor) -> Pair:
    inner, power = together(given["concentration1"] * x.log(), given["concentration0"])
    tiny = inner < -DEPTH
    lower, upper = _from_above(power * complement(torch.where(tiny, -1.0, inner)))
    return torch.where(tiny, inner + power.log(), lower), torch.where(tiny, -power * inner.exp(), upper)


def _uniform(given: Given, x: Tensor) -> Pair:
    width = (given["high"] - given["low"]).log()
    return (x - given["low"]).log() - width, (given["high"] - x).log() - width


def _truncated_normal(given: Given, x: Tensor) -> Pair:
    place = window(*(given[name] for name in ("loc", "scale", "low", "high")))
    t = place.sign * (x - place.place) / place.scale
    whole = between_log(place.rho, place.low, place.high)
    before, after = between_log(place.rho, place.low, t) - whole, between_log(place.rho, t, place.high) - whole
    turned = place.sign < 0
    return torch.where(turned, after, before), torch.where(turned, before, after)


# ------------------------------------------------------------------------------------------------------------- counts
def _logit(given: Given) -> Tensor:
    if "logits" in given:
        return given["logits"]
    p = given["probs"]
    inner = (p > 0) & (p < 1)
    return torch.where(inner, torch.logit(torch.where(inner, p, 0.5)), torch.where(p > 0, math.inf, -math.inf))


def _at_ends(where: Tensor, pair: Callable[[Tensor], Pair], y: Tensor) -> Pair:
    """Of a coordinate that may be infinite `where` it is."""
    lower, upper = pair(torch.where(where, 0.0, y))
    lower = torch.where(where, torch.where(y > 0, 0.0, -math.inf), lower)
    return lower, torch.where(where, torch.where(y > 0, -math.inf, 0.0), upper)


def _binomial(given: Given, x: Tensor) -> Pair:
    y, x, n = together(_logit(given), x, given["total_count"].detach())
    above, below = _at_ends(torch.isinf(y), lambda t: _beta(x + 1, n - x, t), y)
    return below, above


def _poisson(given: Given, x: Tensor) -> Pair:
    rate, x = together(given["rate"], x)
    none = rate <= 0
    y = torch.where(none, -math.inf, torch.where(none, 1.0, rate).log())
    above, below = _at_ends(none, lambda t: _gamma(x + 1, t), y)
    return below, above


def _negative_binomial(given: Given, x: Tensor) -> Pair:
    y, x, r = together(_logit(given), x, given["total_count"])
    above, below = _at_ends(torch.isinf(y), lambda t: _beta(x + 1, r, t), y)
    return below, above


def _log_failure(given: Given) -> Tensor:
    return logsigmoid(-given["logits"]) if "logits" in given else torch.log1p(-given["probs"])


def _bernoulli(given: Given, x: Tensor) -> Pair:
    none, _ = together(_log_failure(given), x)
    some, _ = together(logsigmoid(given["logits"]) if "logits" in given else given["probs"].log(), x)
    return none, some


def _categorical(given: Given, x: Tensor) -> Pair:
    p = torch.softmax(given["logits"], -1) if "logits" in given else given["probs"] / given["probs"].sum(-1, keepdim=True)
    here = torch.arange(p.shape[-1], dtype=p.dtype, device=p.device) <= x.unsqueeze(-1)
    return (p * here).sum(-1).log(), (p * ~here).sum(-1).log()


def _beta_binomial(given: Given, x: Tensor) -> Pair:
    k = torch.arange(float(given["total_count"].detach().max()) + 1, dtype=x.dtype, device=x.device)
    possible = k <= given["total_count"].unsqueeze(-1)
    table = beta_binomial({name: value.unsqueeze(-1) for name, value in given.items()}, torch.where(possible, k, 0.0))
    table, here, possible = together(table, k <= x.unsqueeze(-1), possible)
    lower = torch.logsumexp(torch.where(here & possible, table, -math.inf), -1)
    return lower, torch.logsumexp(torch.where(possible & ~here, table, -math.inf), -1)


def _triangular(given: Given, x: Tensor) -> Pair:
    low, high, peak, x = together(given["low"], given["high"], given["peak"], x)
    left, width = x < peak, (high - low).log()
    side, end = torch.where(left, peak - low, high - peak), torch.where(left, x - low, high - x)
    small = 2 * end.log() - side.log() - width
    large = complement(small)
    return torch.where(left, small, large), torch.where(left, large, small)


def _discrete_uniform(given: Given, x: Tensor) -> Pair:
    low, high = given["low"].detach(), given["high"].detach()
    width = (high - low + 1).log()
    return (x - low + 1).log() - width, (high - x).log() - width


TAILS: dict[str, Callable[[Given, Tensor], Pair]] = {
    "Normal": lambda given, x: standard_normal(_z(given, x)),
    "StudentT": _student,
    "Cauchy": _cauchy,
    "Laplace": _laplace,
    "Gumbel": _gumbel,
    "Logistic": lambda given, x: (logsigmoid(_z(given, x)), logsigmoid(-_z(given, x))),
    "LogNormal": lambda given, x: standard_normal(_z(given, x.log())),
    "HalfNormal": _half_normal,
    "HalfCauchy": _half_cauchy,
    "Exponential": lambda given, x: _from_above(-given["rate"] * x),
    "Gamma": lambda given, x: _gamma(given["concentration"], (given["rate"] * x).log()),
    "InverseGamma": lambda given, x: _gamma(given["concentration"], (given["rate"] / x).log())[::-1],
    "Chi2": lambda given, x: _gamma(given["df"] / 2, (x / 2).log()),
    "Weibull": _weibull,
    "Pareto": lambda given, x: _from_above(-given["alpha"] * (x / given["scale"]).log()),
    "Uniform": _uniform,
    "Beta": lambda given, x: _beta(given["concentration1"], given["concentration0"], torch.logit(x)),
    "Kumaraswamy": _kumaraswamy,
    "TruncatedNormal": _truncated_normal,
    "LogitNormal": lambda given, x: standard_normal((torch.logit(x) - given["loc"]) / given["scale"]),
    "Triangular": _triangular,
    "BetaBinomial": _beta_binomial,
    "Bernoulli": _bernoulli,
    "Categorical": _categorical,
    "Binomial": _binomial,
    "Poisson": _poisson,
    "Geometric": lambda given, x: _from_above((x + 1) * _log_failure(given)),
    "NegativeBinomial": _negative_binomial,
    "DiscreteUniform": _discrete_uniform,
}
AT_INFINITY = frozenset(("Binomial", "Poisson", "NegativeBinomial"))  # by a coordinate that is infinite at an end of a domain
_LAST: dict[str, Callable[[Given], Ends]] = {
    "Pareto": lambda given: (given["scale"], math.inf),
    "Bernoulli": lambda given: (0.0, 1.0),
    "Categorical": lambda given: (0.0, float(next(iter(given.values())).shape[-1] - 1)),
    "Binomial": lambda given: (0.0, given["total_count"]),
    "BetaBinomial": lambda given: (0.0, given["total_count"]),
}


def extent(row: DistributionRow, given: Given) -> Ends:
    """The ends of the support, of counts the first and the last one."""
    if row.parts and "weights" in given:
        bounds = row.support({})
        return bounds.low, bounds.high
    if row.name in _LAST:
        return _LAST[row.name](given)
    if "low" in given and "high" in given:
        return given["low"], given["high"]
    bounds = row.support({})
    return bounds.low, bounds.high


def cumulative(row: DistributionRow, arguments: Given, form: str, value: Tensor) -> Tensor:
    """`cdf`, `logcdf` or `logsf` of values; arguments and values are aligned, the result has the dtype of the values."""
    given, x = {name: argument.double() for name, argument in arguments.items()}, value.double()
    lower, upper = tails(row, given, x)
    wanted = upper if form == "logsf" else lower.exp() if form == "cdf" else lower
    return wanted.to(value.dtype)


def tails(row: DistributionRow, given: Given, x: Tensor) -> Pair:
    """The logarithms of P(X <= x) and P(X > x) of any values, in float64."""
    if row.parts:
        return _mixed(row, given, x) if "weights" in given else _cut(row, given, x)
    given = {p.name: given[p.name] for p in row.parameters if p.name in given}  # without the ends of a truncation
    low, high = (end.detach() if isinstance(end, Tensor) else end for end in extent(row, given))
    place = x.detach()
    if row.discrete:
        x = place = place.floor()
    before, after = (place < low, place >= high) if row.discrete else (place <= low, place >= high)
    outside = before | after
    inner = torch.where(outside, _inner(row, low, high), x) if bool(outside.any()) else x
    lower, upper = TAILS[row.name](given, inner)
    if bool(outside.any()):
        lower = torch.where(before, -math.inf, torch.where(after, 0.0, lower))
        upper = torch.where(before, 0.0, torch.where(after, -math.inf, upper))
    return lower, upper


def less(a: Tensor, b: Tensor) -> Tensor:
    """log(exp(a) - exp(b)) for a >= b."""
    some = a > b
    return torch.where(some, a + torch.log(-torch.expm1(torch.where(some, b, b - 1) - a)), -math.inf)


def truncated_share(row: DistributionRow, given: Given, low: Tensor, high: Tensor) -> Tensor:
    """The logarithm of the probability between two ends, of the base of a truncated law: of its smaller tail."""
    first, last = tails(row.parts[0], given, low), tails(row.parts[0], given, high)
    upper = first[0] > math.log(0.5)
    one, other = torch.where(upper, first[1], last[0]), torch.where(upper, last[1], first[0])
    return less(one, other)


def _cut(row: DistributionRow, given: Given, x: Tensor) -> Pair:
    low, high = given["low"], given["high"]
    whole = truncated_share(row, given, low, high)
    at = torch.minimum(torch.maximum(x, low), high)
    return truncated_share(row, given, low, at) - whole, truncated_share(row, given, at, high) - whole


def weights_log(weights: Tensor) -> Tensor:
    """Log probabilities; -inf without a derivative where a weight is 0."""
    some = weights > 0
    return torch.where(some, torch.where(some, weights, 1.0).log() - weights.sum(-1, keepdim=True).log(), -math.inf)


def mixture_logs(weights: Tensor, logs: Tensor) -> Tensor:
    """log(sum(exp(w + l))) along the last axis; what is -inf has no derivative."""
    whole = weights + logs
    some = whole > -math.inf
    top = torch.where(some, whole, -math.inf).amax(-1, keepdim=True).detach().clamp_min(torch.finfo(whole.dtype).min)
    total = torch.where(some, torch.exp(torch.where(some, whole, top) - top), 0.0).sum(-1)
    none = total == 0
    return torch.where(none, -math.inf, torch.where(none, 1.0, total).log() + top.squeeze(-1))


def _mixed(row: DistributionRow, given: Given, x: Tensor) -> Pair:
    weights, sides = weights_log(given["weights"]), []
    for number, part in enumerate(row.parts, 1):
        own = {p.name: given[key] for p in part.parameters if (key := f"{p.name}_{number}") in given}
        sides.append(tails(part, own, x))
    every = [torch.stack(torch.broadcast_tensors(*side), -1) for side in zip(*sides, strict=True)]  # type: ignore[no-untyped-call]
    return mixture_logs(weights, every[0]), mixture_logs(weights, every[1])


def _inner(row: DistributionRow, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Some value inside the support (of counts one that is not the last, where there is one)."""
    low, high = (torch.as_tensor(end, dtype=torch.float64) for end in (low, high))
    if row.discrete:
        return low
    ended = torch.isfinite(low), torch.isfinite(high)
    one_sided = torch.where(ended[0], low + low.abs() + 1, torch.where(ended[1], high - high.abs() - 1, 0.0))
    return torch.where(ended[0] & ended[1], (low + high) / 2, one_sided)
