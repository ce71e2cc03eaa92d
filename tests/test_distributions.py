"""Every fact of the distribution table, checked numerically over the whole table: a new row needs one entry in EXAMPLES.

Statistical tests have a fixed seed and a limit of 5 standard errors (false alarm below 1e-6 each); with DRAWS draws they
see a relative bias of about 2 %.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from probrun.dsl.tables.distributions import DISTRIBUTIONS, DistributionRow
from probrun.dsl.tables.ranges import Bounds
from probrun.runtime.laws.build import build
from probrun.runtime.laws.domains import violation
from probrun.runtime.laws.implicit import SecondDerivativeUnavailable
from probrun.runtime.laws.law import Law
from probrun.runtime.laws.noise import Fresh

DRAWS = 40_000
LIMIT = 5.0
COVARIANCE = [[2.0, 0.6], [0.6, 1.0]]
WEIGHTS = [1.0, 2.0, 0.5]
SHARES = [value / 3.5 for value in WEIGHTS]
LOGITS = [math.log(value) + 0.3 for value in WEIGHTS]


def _sure(p: float) -> float:
    return math.log(p / (1 - p))


# name -> (arguments, the same law in scipy or None) ...
EXAMPLES: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "Normal": [({"loc": 0.7, "scale": 1.3}, stats.norm(0.7, 1.3))],
    "StudentT": [({"df": 6.5, "loc": 0.7, "scale": 1.3}, stats.t(6.5, 0.7, 1.3)), ({"df": 1.5}, stats.t(1.5))],
    "Cauchy": [({"loc": 0.7, "scale": 1.3}, stats.cauchy(0.7, 1.3))],
    "Laplace": [({"loc": 0.7, "scale": 1.3}, stats.laplace(0.7, 1.3))],
    "Gumbel": [({"loc": 0.7, "scale": 1.3}, stats.gumbel_r(0.7, 1.3))],
    "Logistic": [({"loc": 0.7, "scale": 1.3}, stats.logistic(0.7, 1.3))],
    "VonMises": [({"loc": 0.7, "concentration": 1.3}, stats.vonmises(1.3, 0.7))],
    "MultivariateNormal": [
        ({"loc": [0.7, -0.2], "covariance_matrix": COVARIANCE}, stats.multivariate_normal([0.7, -0.2], COVARIANCE)),
        (
            {"loc": [0.7, -0.2], "precision_matrix": COVARIANCE},
            stats.multivariate_normal([0.7, -0.2], np.linalg.inv(COVARIANCE)),
        ),
        (
            {"loc": [0.7, -0.2], "scale_tril": np.linalg.cholesky(COVARIANCE).tolist()},
            stats.multivariate_normal([0.7, -0.2], COVARIANCE),
        ),
    ],
    "LogNormal": [({"loc": 0.2, "scale": 0.6}, stats.lognorm(0.6, scale=math.exp(0.2)))],
    "HalfNormal": [({"scale": 1.3}, stats.halfnorm(scale=1.3))],
    "HalfCauchy": [({"scale": 1.3}, stats.halfcauchy(scale=1.3))],
    "Exponential": [({"rate": 1.7}, stats.expon(scale=1 / 1.7))],
    "Gamma": [
        ({"concentration": 2.5, "rate": 1.7}, stats.gamma(2.5, scale=1 / 1.7)),
        ({"concentration": 0.6, "rate": 0.7}, stats.gamma(0.6, scale=1 / 0.7)),
    ],
    "InverseGamma": [({"concentration": 5.5, "rate": 1.7}, stats.invgamma(5.5, scale=1.7))],
    "Chi2": [({"df": 3.5}, stats.chi2(3.5))],
    "Weibull": [({"scale": 1.3, "concentration": 1.6}, stats.weibull_min(1.6, scale=1.3))],
    "Pareto": [({"scale": 1.3, "alpha": 5.5}, stats.pareto(5.5, scale=1.3))],
    "Uniform": [({"low": -0.4, "high": 1.3}, stats.uniform(-0.4, 1.7))],
    "Beta": [
        ({"concentration1": 2.5, "concentration0": 1.4}, stats.beta(2.5, 1.4)),
        ({"concentration1": 0.7, "concentration0": 3.0}, stats.beta(0.7, 3.0)),
    ],
    "LogitNormal": [({"loc": 0.3, "scale": 0.8}, None)],
    "Triangular": [({"low": -0.5, "high": 2.0, "peak": 0.4}, stats.triang(0.9 / 2.5, -0.5, 2.5))],
    "BetaBinomial": [({"total_count": 7, "concentration1": 1.6, "concentration0": 2.3}, stats.betabinom(7, 1.6, 2.3))],
    "Kumaraswamy": [({"concentration1": 2.5, "concentration0": 1.4}, None)],
    "TruncatedNormal": [
        ({"loc": 0.3, "scale": 1.2, "low": -0.5, "high": 2.0}, stats.truncnorm(-0.8 / 1.2, 1.7 / 1.2, 0.3, 1.2)),
        ({"loc": 0.3, "scale": 1.2, "low": 1.0, "high": math.inf}, stats.truncnorm(0.7 / 1.2, math.inf, 0.3, 1.2)),
        ({"loc": 0.3, "scale": 1.2, "low": -math.inf, "high": -1.0}, stats.truncnorm(-math.inf, -1.3 / 1.2, 0.3, 1.2)),
    ],
    "Dirichlet": [({"concentration": [1.5, 0.8, 2.2]}, stats.dirichlet([1.5, 0.8, 2.2]))],
    "LKJCholesky": [({"dim": 3, "concentration": 1.7}, None), ({"dim": 4, "concentration": 0.6}, None), ({"dim": 2}, None)],
    "permutation": [({"n": 4}, None), ({"n": 1}, None)],
    "Bernoulli": [({"probs": 0.3}, stats.bernoulli(0.3)), ({"logits": _sure(0.3)}, stats.bernoulli(0.3))],
    "Categorical": [
        ({"probs": WEIGHTS}, stats.rv_discrete(values=([0, 1, 2], SHARES))),
        ({"logits": LOGITS}, stats.rv_discrete(values=([0, 1, 2], SHARES))),
    ],
    "OneHotCategorical": [
        ({"probs": WEIGHTS}, stats.multinomial(1, SHARES)),
        ({"logits": LOGITS}, stats.multinomial(1, SHARES)),
    ],
    "Binomial": [
        ({"total_count": 7, "probs": 0.3}, stats.binom(7, 0.3)),
        ({"total_count": 7, "logits": _sure(0.8)}, stats.binom(7, 0.8)),
        ({"probs": 0.3}, stats.binom(1, 0.3)),
    ],
    "Multinomial": [
        ({"total_count": 4, "probs": WEIGHTS}, stats.multinomial(4, SHARES)),
        ({"total_count": 4, "logits": LOGITS}, stats.multinomial(4, SHARES)),
    ],
    "Poisson": [({"rate": 2.7}, stats.poisson(2.7)), ({"rate": 31.0}, stats.poisson(31.0))],
    "Geometric": [({"probs": 0.3}, stats.geom(0.3, -1)), ({"logits": _sure(0.3)}, stats.geom(0.3, -1))],
    "NegativeBinomial": [
        ({"total_count": 3.5, "probs": 0.4}, stats.nbinom(3.5, 0.6)),
        ({"total_count": 3.5, "logits": _sure(0.4)}, stats.nbinom(3.5, 0.6)),
    ],
    "DiscreteUniform": [({"low": -2, "high": 4}, stats.randint(-2, 5))],
}
CASES = [
    pytest.param(DISTRIBUTIONS[name], given, reference, id=f"{name}{number or ''}")
    for name, examples in EXAMPLES.items() for number, (given, reference) in enumerate(examples)
]
over_the_table = pytest.mark.parametrize(("row", "given", "reference"), CASES)


def test_every_row_has_an_example() -> None:
    assert set(EXAMPLES) == set(DISTRIBUTIONS)


@pytest.mark.parametrize("row", [row for row in DISTRIBUTIONS.values() if row.torch])
def test_arguments_are_those_of_torch(row: DistributionRow) -> None:
    theirs = list(inspect.signature(getattr(torch.distributions, row.torch or "").__init__).parameters.values())[1:-1]
    assert [parameter.name for parameter in row.parameters] == [parameter.name for parameter in theirs]
    for parameter, their in zip(row.parameters, theirs, strict=True):
        if parameter.name not in row.alternatives:
            assert parameter.default == (None if their.default is inspect.Parameter.empty else their.default)
    assert set(row.alternatives) <= {parameter.name for parameter in row.parameters}


def _arguments(given: dict[str, Any], lanes: int = 1, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Example arguments as leaf tensors `[lanes, *event]`."""
    found = {}
    for name, value in given.items():
        tensor = torch.tensor(value, dtype=dtype)
        found[name] = tensor.expand(lanes, *tensor.shape).clone().requires_grad_()
    return found


def _shape(row: DistributionRow, given: dict[str, Any], lanes: int) -> tuple[int, ...]:
    size = given[row.sized] if row.sized else max((len(value) for value in given.values() if isinstance(value, list)), default=1)
    return (lanes, *(size,) * row.event)


def _generator() -> Fresh:
    return Fresh(torch.Generator().manual_seed(20))


def _draw(row: DistributionRow, given: dict[str, Any], dtype: torch.dtype, lanes: int = DRAWS) -> Tensor:
    return build(row, _arguments(given, 1, dtype)).sample(_shape(row, given, lanes), _generator())


def _contains(outer: Bounds, draws: Tensor) -> bool:
    low = draws >= outer.low if outer.low_attained else draws > outer.low
    high = draws <= outer.high if outer.high_attained else draws < outer.high
    return bool((low & high).all())


@over_the_table
def test_draws_lie_in_the_claimed_support(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    scalars = {name: Bounds(value, value, True, True) for name, value in given.items() if isinstance(value, int | float)}
    for dtype in (torch.float32, torch.float64):
        law, draws = build(row, _arguments(given, 1, dtype)), _draw(row, given, dtype)
        assert draws.dtype == dtype and draws.shape == _shape(row, given, DRAWS) and not draws.requires_grad
        assert law.inside(draws) and law.boundary() is None
        assert _contains(row.support(scalars), draws)
        if row.discrete:
            assert bool((draws == draws.floor()).all())
        assert torch.isfinite(law.log_prob(draws)).all()
        assert torch.equal(draws, _draw(row, given, dtype))
    for parameter in row.parameters:
        if parameter.name in given:
            assert violation(parameter.domain, _arguments(given)[parameter.name], parameter.event) is None


@over_the_table
def test_draws_follow_the_law(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    for dtype in (torch.float32, torch.float64):
        draws = _draw(row, given, dtype).double().numpy()
        if row.name == "permutation":
            counts = np.unique(draws, axis=0, return_counts=True)[1]
            mass = 1 / math.factorial(given["n"])
            assert len(counts) == math.factorial(given["n"])
            assert np.all(np.abs(counts / DRAWS - mass) <= LIMIT * math.sqrt(mass * (1 - mass) / DRAWS))
        elif row.name == "LKJCholesky":
            shape = given.get("concentration", 1) + (given["dim"] - 2) / 2  # each correlation by itself, on (-1, 1)
            correlations = draws @ draws.transpose(0, 2, 1)
            for i, j in zip(*np.tril_indices(given["dim"], -1), strict=True):
                _follows(stats.beta(shape, shape).cdf((correlations[:, i, j] + 1) / 2))
        elif row.event:
            mean, covariance = _vector_moments(row, reference)
            error = np.sqrt(np.diag(np.atleast_2d(covariance)) / DRAWS)
            assert np.all(np.abs(draws.mean(0) - mean) < LIMIT * error)
            assert np.allclose(np.cov(draws.T), covariance, atol=0.05 * np.max(np.abs(covariance)))
        elif row.discrete:
            values, counts = np.unique(draws, return_counts=True)
            mass = reference.pmf(values)
            error = np.sqrt(mass * (1 - mass) / DRAWS)
            assert np.all(np.abs(counts / DRAWS - mass) < LIMIT * error + 5 / DRAWS)
            assert mass.sum() > 1 - 20 / DRAWS
        else:
            below = draws if reference is None else reference.cdf(draws) % 1
            if row.name == "LogitNormal":
                below = stats.norm(given["loc"], given["scale"]).cdf(np.log(draws / (1 - draws)))
            elif reference is None:
                below = 1 - (1 - below ** given["concentration1"]) ** given["concentration0"]
            _follows(below)


def _follows(below: Any) -> None:
    """Whether values of a distribution function are uniform."""
    steps = (np.arange(DRAWS) + 0.5) / DRAWS
    assert np.max(np.abs(np.sort(below) - steps)) * math.sqrt(DRAWS) < 2.7  # Kolmogorov: 2 exp(-2*2.7^2) = 1e-6


def _vector_moments(row: DistributionRow, reference: Any) -> tuple[Any, Any]:
    if hasattr(reference, "alpha"):
        return reference.mean(), reference.cov()
    if hasattr(reference, "cov_object"):
        return reference.mean, reference.cov
    return np.squeeze(reference.n * reference.p), np.squeeze(reference.cov())


@over_the_table
def test_log_density_agrees_with_scipy(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    if reference is None:
        return
    draws = _draw(row, given, torch.float64, 200)
    points = draws.numpy()
    if hasattr(reference, "alpha"):
        points = points.T
    exact = reference.logpmf(points) if row.discrete else reference.logpdf(points)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 3e-5)):
        law = build(row, _arguments(given, 1, dtype))
        value = draws.to(dtype)
        if row.name != "Dirichlet" or dtype == torch.float64:
            assert np.allclose(law.log_prob(value).detach().double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("concentration", [0.6, 1.0, 3.5])
@pytest.mark.parametrize("dim", [2, 3, 5])
def test_the_density_of_correlations_is_that_of_torch(dim: int, concentration: float) -> None:
    given = {"dim": dim, "concentration": concentration}
    law, theirs = build(DISTRIBUTIONS["LKJCholesky"], _arguments(given)), torch.distributions.LKJCholesky(dim, concentration)
    draws = law.sample((200, dim, dim), _generator())
    assert torch.allclose(law.log_prob(draws), theirs.log_prob(draws), rtol=1e-5, atol=1e-5)  # theirs in float32
    for broken in (2 * draws, draws.mT, -draws):
        assert bool((law.log_prob(broken) == -math.inf).all())


@pytest.mark.parametrize("concentration", [0.6, 1.0, 3.5])
def test_correlations_have_the_total_probability_of_one(concentration: float) -> None:
    """In two and in three dimensions, over what stands below the diagonal."""
    row, nodes = DISTRIBUTIONS["LKJCholesky"], torch.from_numpy(np.polynomial.legendre.leggauss(60)[0])
    weights = torch.from_numpy(np.polynomial.legendre.leggauss(60)[1])
    angle, weight = math.pi / 2 * nodes, math.pi / 2 * weights  # r = sin(angle), where the density may be infinite at the ends

    def total(dim: int) -> Tensor:
        law = build(row, _arguments({"dim": dim, "concentration": concentration}))
        axes = torch.meshgrid(*[angle] * (dim * (dim - 1) // 2), indexing="ij")
        sines, cosines = [axis.sin().flatten() for axis in axes], [axis.cos().flatten() for axis in axes]
        value = torch.zeros(sines[0].numel(), dim, dim, dtype=torch.float64)
        value[:, 0, 0], value[:, 1, 0], value[:, 1, 1] = 1.0, sines[0], cosines[0]
        measure = cosines[0]
        if dim == 3:
            value[:, 2, 0], value[:, 2, 1], value[:, 2, 2] = sines[1], cosines[1] * sines[2], cosines[1] * cosines[2]
            measure = measure * cosines[1] ** 2 * cosines[2]
        for axis in torch.meshgrid(*[weight] * len(axes), indexing="ij"):
            measure = measure * axis.flatten()
        return (law.log_prob(value).detach().exp() * measure).sum()

    for dim in (2, 3):
        assert math.isclose(float(total(dim)), 1.0, rel_tol=2e-3 if concentration < 1 else 1e-6), dim


@over_the_table
def test_total_probability_is_one(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    if row.event:
        return
    law = build(row, _arguments(given))
    if row.discrete:
        values = torch.arange(-5, 400, dtype=torch.float64)
        assert math.isclose(float(law.log_prob(values).detach().exp().sum()), 1, rel_tol=1e-9)
        return
    ends = row.support({name: Bounds(value, value, True, True) for name, value in given.items()})

    def density(x: float) -> float:
        return float(law.log_prob(torch.tensor([x], dtype=torch.float64)).detach().exp())

    total, error = integrate.quad(density, ends.low, ends.high, limit=200, epsabs=1e-7)
    assert abs(total - 1) < 1e-5 + error


def _function_of(draws: Tensor) -> Tensor:
    """A bounded smooth function of a draw, `[lanes]`."""
    flat = draws.reshape(draws.shape[0], -1)
    return torch.tanh((flat * torch.arange(1, flat.shape[1] + 1)).sum(1) / 2 - 0.3)


def _score(law: Law, arguments: dict[str, Tensor], name: str, draws: Tensor) -> Tensor:
    """Per lane: derivative of the log density, `[lanes, *event]`."""
    (gradient,) = torch.autograd.grad(law.log_prob(draws).sum(), arguments[name])
    return gradient


def _is_zero(samples: Tensor) -> bool:
    """Whether the mean over lanes is 0 within LIMIT standard errors, entry by entry."""
    flat = samples.reshape(samples.shape[0], -1)
    return bool((flat.mean(0).abs() <= LIMIT * flat.std(0) / math.sqrt(flat.shape[0]) + 1e-12).all())


@over_the_table
def test_score_has_mean_zero(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    arguments = _arguments(given, DRAWS)
    law = build(row, arguments)
    draws = law.sample(_shape(row, given, DRAWS), _generator())
    for name in given:
        parameter = row.parameter(name)
        if parameter.moves_support or not parameter.differentiable:
            continue
        score = _score(law, arguments, name, draws)
        assert _is_zero(score), name
        (relative,) = torch.autograd.grad(law.relative_log_prob(draws).sum(), arguments[name])
        assert torch.allclose(score, relative, atol=1e-9)


@over_the_table
def test_claimed_reparameterisation_is_right(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    arguments = _arguments(given, DRAWS)
    law = build(row, arguments)
    if row.name == "HalfCauchy":
        return  # the draw can be reparameterised, but its derivative has no mean (distribution_rows.py): not claimed
    if not any(parameter.reparameterised for parameter in row.parameters):
        with pytest.raises(NotImplementedError):
            law.rsample(_shape(row, given, DRAWS), _generator())
        return
    draws = law.rsample(_shape(row, given, DRAWS), _generator())
    assert torch.equal(draws.detach(), law.sample(_shape(row, given, DRAWS), _generator()))
    value = _function_of(draws)
    for name in given:
        parameter = row.parameter(name)
        if not parameter.reparameterised or (not parameter.event and math.isinf(given[name])):
            continue
        (pathwise,) = torch.autograd.grad(value.sum(), arguments[name], retain_graph=True)
        assert torch.isfinite(pathwise).all()
        if parameter.moves_support:
            assert torch.allclose(pathwise, _by_difference(row, given, name), atol=1e-6), name
        else:
            score = _score(law, arguments, name, draws.detach())
            expanded = value.detach().reshape(-1, *(1,) * (score.dim() - 1))
            centred = expanded - expanded.mean()
            assert _is_zero(pathwise - centred * score), name


def _by_difference(row: DistributionRow, given: dict[str, Any], name: str, step: float = 1e-5) -> Tensor:
    """Derivative of the function along the same noise."""
    ends = []
    for sign in (1, -1):
        moved = {**given, name: given[name] + sign * step}
        ends.append(_function_of(build(row, _arguments(moved, DRAWS)).sample(_shape(row, given, DRAWS), _generator())))
    return (ends[0] - ends[1]) / (2 * step)


@over_the_table
def test_second_derivatives_are_right_or_refused(row: DistributionRow, given: dict[str, Any], reference: Any) -> None:
    for name in given:
        parameter = row.parameter(name)
        if not parameter.reparameterised or parameter.event or math.isinf(given[name]):
            continue
        slopes = []
        for moved in (given[name] + 1e-5, given[name] - 1e-5, given[name]):
            arguments = _arguments({**given, name: moved}, 50)
            draws = build(row, arguments).rsample(_shape(row, given, 50), _generator())
            slopes.append(torch.autograd.grad(_function_of(draws).sum(), arguments[name], create_graph=True)[0])
        try:
            (second,) = torch.autograd.grad(slopes[2].sum(), arguments[name])
        except SecondDerivativeUnavailable as refusal:
            assert refusal.name == row.name
            continue
        assert torch.allclose(second, (slopes[0] - slopes[1]) / 2e-5, atol=1e-4), name


@pytest.mark.parametrize("chance", [0.0, 1e-7, 1e-4, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coins_of_one_probability(chance: float, dtype: torch.dtype) -> None:
    """Sure outcomes are sure, and rare ones as rare as they should be."""
    from scipy.stats import binom

    from probrun.runtime.laws.counts import Bernoulli

    runs = 4_000_001
    generator = Fresh(torch.Generator().manual_seed(5))
    for shape, probs in (((runs,), torch.full((1,), chance, dtype=dtype)), ((4001, 1000), torch.full((4001, 1), chance, dtype=dtype))):
        draw = Bernoulli({"probs": probs}).sample(shape, generator)
        assert draw.shape == shape and draw.dtype == dtype
        count = int(draw.double().sum())
        low, high = binom.ppf([1e-7, 1 - 1e-7], draw.numel(), chance) if 0 < chance < 1 else (chance * draw.numel(),) * 2
        assert low <= count <= high
