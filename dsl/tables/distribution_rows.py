"""The table of distributions: one row each, facts only.

A fact here decides which gradient is taken for right, so `tests/test_distributions.py` checks every one of them
numerically over the whole table: a new row is tested by being there.  Names, order and defaults are those of
`torch.distributions`; a row that names a class there needs no code, a row whose `torch` is None has a law of our own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping

from .composites import DistributionTable
from .distribution_facts import DistributionRow, Domain, ParameterRow, Ranges
from .ranges import ANY, INF, NONNEGATIVE, POSITIVE, UNIT, UNIT_OPEN, Bounds


def _as_many_as_weights(values: Mapping[str, float | None], weights: int | None) -> float | None:
    return weights


def _up_to_the_total(values: Mapping[str, float | None], weights: int | None) -> float | None:
    total = values.get("total_count", 1.0)
    return None if total is None or total < 0 else total + 1


def _ways_to_share_out(values: Mapping[str, float | None], weights: int | None) -> float | None:
    total = values.get("total_count", 1.0)
    if total is None or total < 0 or not weights:
        return None
    return float(math.comb(int(total) + weights - 1, weights - 1))


def _orders(values: Mapping[str, float | None], weights: int | None) -> float | None:
    n = values.get("n")
    return None if n is None or n < 1 else math.factorial(int(n)) if n <= 170 else sys.float_info.max


def _below_n(given: Ranges) -> Bounds:
    n = given.get("n", POSITIVE)
    return Bounds(0, max(n.high - 1, 0), True, n.high_attained)


def _from_low_to_high(values: Mapping[str, float | None], weights: int | None) -> float | None:
    low, high = values.get("low"), values.get("high")
    return None if low is None or high is None or high < low else high - low + 1


def _within(result: Bounds) -> Callable[[Ranges], Bounds]:
    return lambda _: result


def _between(given: Ranges) -> Bounds:
    """Open interval from `low` to `high` (closed ends cost nothing: a draw is never exactly there)."""
    return Bounds(given.get("low", ANY).low, given.get("high", ANY).high)


def _between_closed(given: Ranges) -> Bounds:
    low, high = given.get("low", ANY), given.get("high", ANY)
    return Bounds(low.low, high.high, low.low_attained, high.high_attained)


def _up_to_total(given: Ranges) -> Bounds:
    """Counts from 0 to `total_count`, which is 1 where it is not given."""
    total = given.get("total_count", Bounds(1, 1, True, True))
    return Bounds(0, max(total.high, 0), True, total.high_attained)


def _above_scale(given: Ranges) -> Bounds:
    scale = given.get("scale", POSITIVE)
    return Bounds(max(scale.low, 0.0), INF, scale.low_attained and scale.low > 0)


def _free(name: str, domain: Domain, **facts: bool | int | float) -> ParameterRow:
    """A parameter that `rsample` differentiates."""
    return ParameterRow(name, domain, reparameterised=True, **facts)  # type: ignore[arg-type]


_LOC = _free("loc", Domain.REAL)
_SCALE = _free("scale", Domain.POSITIVE)
# a Cauchy draw has no mean, and so its derivative in the scale has none: pathwise is not integrable there
_HEAVY_SCALE = ParameterRow("scale", Domain.POSITIVE)
_RATE = _free("rate", Domain.POSITIVE)
_CONCENTRATION = _free("concentration", Domain.POSITIVE)
_CONCENTRATION1 = _free("concentration1", Domain.POSITIVE)
_CONCENTRATION0 = _free("concentration0", Domain.POSITIVE)
_PROBS = ParameterRow("probs", Domain.UNIT)
_LOGITS = ParameterRow("logits", Domain.REAL)
_WEIGHTS = ParameterRow("probs", Domain.PROBABILITIES, event=1)
_LOG_WEIGHTS = ParameterRow("logits", Domain.LOGITS, event=1)
_TOTAL = ParameterRow("total_count", Domain.COUNT, default=1, differentiable=False, moves_support=True)
_PROBS_OR_LOGITS = ("probs", "logits")

_REAL_LINE = (
    DistributionRow(
        "Normal", (_LOC, _SCALE), whole_line=True, torch="Normal",
        shifted="loc",
        by_inverse=True,
        summary="the normal distribution; `scale` is the standard deviation",
        formula="exp(-((x - loc)/scale)^2/2) / (scale*sqrt(2*pi))",
    ),
    DistributionRow(
        "StudentT",
        (
            _free("df", Domain.POSITIVE),
            _free("loc", Domain.REAL, default=0),
            _free("scale", Domain.POSITIVE, default=1),
        ),
        whole_line=True, torch="StudentT",
        shifted="loc",
        summary="Student's t with `df` degrees of freedom: a bell with heavy tails",
        formula="proportional to (1 + ((x - loc)/scale)^2/df)^(-(df + 1)/2) / scale",
    ),
    DistributionRow(
        "Cauchy", (_LOC, _HEAVY_SCALE), whole_line=True, torch="Cauchy",
        shifted="loc",
        by_inverse=True,
        summary="the Cauchy distribution, whose tails are so heavy that it has no mean",
        formula="1 / (pi*scale*(1 + ((x - loc)/scale)^2))",
    ),
    DistributionRow(
        "Laplace", (_LOC, _SCALE), whole_line=True, kinked=True, torch="Laplace",
        shifted="loc",
        by_inverse=True,
        summary="the double exponential distribution",
        formula="exp(-abs(x - loc)/scale) / (2*scale)",
    ),
    DistributionRow(
        "Gumbel", (_LOC, _SCALE), whole_line=True, torch="Gumbel",
        shifted="loc",
        by_inverse=True,
        summary="the distribution of the largest of many values",
        formula="exp(-(z + exp(-z)))/scale with z = (x - loc)/scale",
    ),
    DistributionRow(
        "Logistic", (_LOC, _SCALE), whole_line=True,
        shifted="loc",
        by_inverse=True,
        summary="the logistic distribution, whose distribution function is sigmoid((x - loc)/scale)",
        formula="s*(1 - s)/scale with s = sigmoid((x - loc)/scale)",
    ),
    DistributionRow(
        "VonMises", (ParameterRow("loc", Domain.REAL), ParameterRow("concentration", Domain.POSITIVE)),
        support=_within(Bounds(-math.pi, math.pi, True, True)), whole_line=True, periodic=True, torch="VonMises",
        summary="a bell on the circle; draws are angles in [-pi, pi], and the density has period 2*pi",
        formula="proportional to exp(concentration*cos(x - loc))",
    ),
    DistributionRow(
        "MultivariateNormal",
        (
            _free("loc", Domain.REAL, event=1),
            _free("covariance_matrix", Domain.POSITIVE_DEFINITE, event=2),
            _free("precision_matrix", Domain.POSITIVE_DEFINITE, event=2),
            _free("scale_tril", Domain.LOWER_CHOLESKY, event=2),
        ),
        alternatives=("covariance_matrix", "precision_matrix", "scale_tril"),
        event=1, whole_line=True, torch="MultivariateNormal",
        by_inverse=True,
        summary="the normal distribution of a vector, by its covariance, its precision or its lower Cholesky factor",
        formula="exp(-(x - loc)^T C^-1 (x - loc)/2) / sqrt(det(2*pi*C))",
    ),
)

_HALF_LINE = (
    DistributionRow(
        "LogNormal", (_LOC, _SCALE), support=_within(POSITIVE), torch="LogNormal",
        stretched=("loc", "log"),
        by_inverse=True,
        summary="exp of a Normal(loc, scale)",
        formula="exp(-((log(x) - loc)/scale)^2/2) / (x*scale*sqrt(2*pi)) for x > 0",
    ),
    DistributionRow(
        "HalfNormal", (_SCALE,), support=_within(POSITIVE), torch="HalfNormal",
        stretched=("scale", "/"),
        by_inverse=True,
        summary="abs of a Normal(0, scale)",
        formula="2*exp(-(x/scale)^2/2) / (scale*sqrt(2*pi)) for x >= 0",
    ),
    DistributionRow(
        "HalfCauchy", (_HEAVY_SCALE,), support=_within(POSITIVE), torch="HalfCauchy",
        stretched=("scale", "/"),
        by_inverse=True,
        summary="abs of a Cauchy(0, scale); it has no mean",
        formula="2 / (pi*scale*(1 + (x/scale)^2)) for x >= 0",
    ),
    DistributionRow(
        "Exponential", (_RATE,), support=_within(POSITIVE), torch="Exponential",
        stretched=("rate", "*"),
        by_inverse=True,
        summary="a waiting time with mean 1/rate",
        formula="rate*exp(-rate*x) for x >= 0",
    ),
    DistributionRow(
        "Gamma", (_CONCENTRATION, _RATE), support=_within(POSITIVE), torch="Gamma",
        stretched=("rate", "*"),
        summary="the Gamma distribution with mean concentration/rate",
        formula="rate^a * x^(a - 1) * exp(-rate*x) / Gamma(a) with a = concentration, for x > 0",
    ),
    DistributionRow(
        "InverseGamma", (_CONCENTRATION, _RATE), support=_within(POSITIVE), torch="InverseGamma",
        stretched=("rate", "/"),
        summary="1 over a Gamma(concentration, rate)",
        formula="rate^a * x^(-a - 1) * exp(-rate/x) / Gamma(a) with a = concentration, for x > 0",
    ),
    DistributionRow(
        "Chi2", (_free("df", Domain.POSITIVE),), support=_within(POSITIVE), torch="Chi2",
        summary="the sum of `df` squared standard normals: Gamma(df/2, 1/2)",
        formula="x^(df/2 - 1) * exp(-x/2) / (2^(df/2) * Gamma(df/2)) for x > 0",
    ),
    DistributionRow(
        "Weibull", (_SCALE, _CONCENTRATION), support=_within(POSITIVE), torch="Weibull",
        stretched=("scale", "/"),
        by_inverse=True,
        summary="a waiting time whose hazard is a power of time",
        formula="k/scale * (x/scale)^(k - 1) * exp(-(x/scale)^k) with k = concentration, for x > 0",
    ),
    DistributionRow(
        "Pareto", (_free("scale", Domain.POSITIVE, moves_support=True), _free("alpha", Domain.POSITIVE)),
        support=_above_scale, torch="Pareto",
        by_inverse=True,
        summary="a power law above `scale`",
        formula="alpha*scale^alpha / x^(alpha + 1) for x >= scale",
    ),
)

_INTERVAL = (
    DistributionRow(
        "Uniform",
        (_free("low", Domain.REAL, moves_support=True), _free("high", Domain.REAL, moves_support=True)),
        support=_between, ordered=("low", "high"), torch="Uniform",
        by_inverse=True,
        summary="every value between `low` and `high` alike",
        formula="1/(high - low) for low <= x < high",
    ),
    DistributionRow(
        "Beta", (_CONCENTRATION1, _CONCENTRATION0), support=_within(UNIT_OPEN), torch="Beta",
        summary="a proportion with mean concentration1/(concentration1 + concentration0)",
        formula="proportional to x^(concentration1 - 1) * (1 - x)^(concentration0 - 1) for 0 < x < 1",
    ),
    DistributionRow(
        "LogitNormal", (_LOC, _SCALE), support=_within(UNIT_OPEN),
        by_inverse=True,
        summary="sigmoid of a Normal(loc, scale)",
        formula="exp(-((logit(x) - loc)/scale)^2/2) / (x*(1 - x)*scale*sqrt(2*pi)) for 0 < x < 1",
    ),
    DistributionRow(
        "Triangular",
        (
            _free("low", Domain.REAL, moves_support=True), _free("high", Domain.REAL, moves_support=True),
            _free("peak", Domain.REAL),
        ),
        support=_between, ordered=("low", "high"), amid="peak", kinked=True, bends_at="peak",
        by_inverse=True,
        summary="a density that rises on a straight line from `low` to `peak` and falls to `high` (as in TensorFlow Probability)",
        formula="2*(x - low)/((high - low)*(peak - low)) up to the peak, then 2*(high - x)/((high - low)*(high - peak))",
    ),
    DistributionRow(
        "Kumaraswamy", (_CONCENTRATION1, _CONCENTRATION0), support=_within(UNIT_OPEN), torch="Kumaraswamy",
        by_inverse=True,
        summary="like Beta, with a distribution function in closed form",
        formula="a*b*x^(a - 1)*(1 - x^a)^(b - 1) with a = concentration1, b = concentration0, for 0 < x < 1",
    ),
    DistributionRow(
        "TruncatedNormal",
        (
            _LOC, _SCALE,
            _free("low", Domain.EXTENDED, moves_support=True), _free("high", Domain.EXTENDED, moves_support=True),
        ),
        support=_between, ordered=("low", "high"),
        by_inverse=True,
        summary="a Normal(loc, scale) that is kept between `low` and `high`, either of which may be infinite",
        formula="the density of Normal(loc, scale), divided by its probability of [low, high], for low <= x <= high",
    ),
    DistributionRow(
        "Dirichlet", (_free("concentration", Domain.POSITIVE, event=1),),
        event=1, support=_within(UNIT_OPEN), torch="Dirichlet",
        summary="a vector of positive proportions that sum to 1",
        formula="proportional to the product of x[i]^(concentration[i] - 1)",
    ),
    DistributionRow(
        "LKJCholesky",
        (
            ParameterRow("dim", Domain.SIZE, differentiable=False, moves_support=True),
            _free("concentration", Domain.POSITIVE, default=1),
        ),
        event=2, sized="dim", support=_within(Bounds(-1, 1, True, True)), torch="LKJCholesky",
        summary="the lower Cholesky factor of a correlation matrix; the larger `concentration`, the weaker the correlations",
        formula="proportional to the product of L[i, i]^(dim - 1 - i + 2*(concentration - 1)) over i = 1, ..., dim - 1",
    ),
)

_DISCRETE = (
    DistributionRow(
        "Bernoulli", (_PROBS, _LOGITS), alternatives=_PROBS_OR_LOGITS, discrete=True, finite=True, relaxable=True,
        support=_within(UNIT), outcomes=lambda values, weights: 2.0, torch="Bernoulli",
        by_inverse=True,
        summary="1 with probability `probs`, else 0",
        formula="probs for x = 1, 1 - probs for x = 0",
    ),
    DistributionRow(
        "Categorical", (_WEIGHTS, _LOG_WEIGHTS), alternatives=_PROBS_OR_LOGITS,
        discrete=True, finite=True, relaxable=True, value_smooth=False,
        support=_within(NONNEGATIVE), outcomes=_as_many_as_weights, torch="Categorical",
        by_inverse=True,
        summary="an index 0, 1, ... drawn by weight; the weights need not sum to 1",
        formula="probs[x]/sum(probs)",
    ),
    DistributionRow(
        "OneHotCategorical", (_WEIGHTS, _LOG_WEIGHTS), alternatives=_PROBS_OR_LOGITS,
        discrete=True, finite=True, relaxable=True, event=1, support=_within(UNIT), outcomes=_as_many_as_weights,
        torch="OneHotCategorical",
        by_inverse=True,
        summary="a vector with a single 1 at an index drawn by weight; the weights need not sum to 1",
        formula="dot(x, probs)/sum(probs)",
    ),
    DistributionRow(
        "Binomial", (_TOTAL, _PROBS, _LOGITS), alternatives=_PROBS_OR_LOGITS, discrete=True, finite=True,
        support=_up_to_total, outcomes=_up_to_the_total, torch="Binomial",
        summary="the number of successes in `total_count` independent trials",
        formula="choose(total_count, x) * probs^x * (1 - probs)^(total_count - x)",
    ),
    DistributionRow(
        "BetaBinomial",
        (
            ParameterRow("total_count", Domain.COUNT, differentiable=False, moves_support=True),
            ParameterRow("concentration1", Domain.POSITIVE), ParameterRow("concentration0", Domain.POSITIVE),
        ),
        discrete=True, finite=True, forks=False, support=_up_to_total, outcomes=_up_to_the_total,
        summary="the number of successes in `total_count` trials with a chance from a Beta, as in Stan",
        formula="choose(n, x) * B(x + a, n - x + b) / B(a, b) with n = total_count, a = concentration1, b = concentration0",
    ),
    DistributionRow(
        "Multinomial", (_TOTAL, _WEIGHTS, _LOG_WEIGHTS), alternatives=_PROBS_OR_LOGITS, discrete=True, finite=True,
        event=1, support=_up_to_total, outcomes=_ways_to_share_out, torch="Multinomial",
        summary="how often each category comes up in `total_count` draws; the weights need not sum to 1",
        formula="total_count! * product of p[i]^x[i]/x[i]! with p = probs/sum(probs)",
    ),
    DistributionRow(
        "Poisson", (ParameterRow("rate", Domain.NONNEGATIVE),),
        discrete=True, endless=True, support=_within(NONNEGATIVE), torch="Poisson",
        summary="a count of rare events with mean `rate`",
        formula="rate^x * exp(-rate) / x!",
    ),
    DistributionRow(
        "Geometric", (ParameterRow("probs", Domain.UNIT_ABOVE_ZERO), _LOGITS), alternatives=_PROBS_OR_LOGITS,
        discrete=True, endless=True, support=_within(NONNEGATIVE), torch="Geometric",
        by_inverse=True,
        summary="the number of failures before the first success",
        formula="(1 - probs)^x * probs",
    ),
    DistributionRow(
        "NegativeBinomial",
        (ParameterRow("total_count", Domain.POSITIVE), ParameterRow("probs", Domain.UNIT_BELOW_ONE), _LOGITS),
        alternatives=_PROBS_OR_LOGITS, discrete=True, endless=True, support=_within(NONNEGATIVE), torch="NegativeBinomial",
        summary="the number of successes (each of probability `probs`) before `total_count` failures",
        formula="Gamma(total_count + x)/(x!*Gamma(total_count)) * (1 - probs)^total_count * probs^x",
    ),
    DistributionRow(
        "DiscreteUniform",
        (
            ParameterRow("low", Domain.INTEGER, differentiable=False, moves_support=True),
            ParameterRow("high", Domain.INTEGER, differentiable=False, moves_support=True),
        ),
        discrete=True, finite=True, support=_between_closed, value_smooth=False, ordered=("low", "high"),
        outcomes=_from_low_to_high,
        by_inverse=True,
        summary="every whole number from `low` to `high` alike, both included",
        formula="1/(high - low + 1)",
    ),
    DistributionRow(
        "permutation", (ParameterRow("n", Domain.SIZE, differentiable=False, moves_support=True),),
        discrete=True, finite=True, event=1, sized="n", value_smooth=False, support=_below_n, outcomes=_orders,
        summary="the numbers 0, ..., n - 1 in an order drawn at random, as in NumPy: sampling without replacement",
        formula="1/n!",
    ),
)

DISTRIBUTIONS = DistributionTable((*_REAL_LINE, *_HALF_LINE, *_INTERVAL, *_DISCRETE))
