"""cdf, logcdf and logsf of every distribution of one number: against SciPy, far out against mpmath, their derivatives, programs."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

import probrun
from probrun.dsl.tables.distributions import DISTRIBUTIONS, DistributionRow
from probrun.runtime.laws.build import build
from probrun.runtime.laws.cumulative import TAILS, cumulative
from tests.test_distributions import EXAMPLES

CASES = [(name, given, known) for name in TAILS for given, known in EXAMPLES[name]]
LABELS = [f"{name}-{number}" for number, (name, _, _) in enumerate(CASES)]
SHARES = np.array([1e-3, 0.03, 0.2, 0.41, 0.7, 0.96, 0.9995])


def arguments_of(row: DistributionRow, given: dict[str, Any]) -> dict[str, Tensor]:
    found = {name: torch.tensor([value], dtype=torch.float64) for name, value in given.items()}
    for p in row.parameters:
        if p.default is not None and p.name not in found:
            found[p.name] = torch.tensor([float(p.default)], dtype=torch.float64)
    return found


def places_of(row: DistributionRow, given: dict[str, Any], known: Any) -> Tensor:
    """Values inside the support."""
    if known is None:
        return torch.tensor([0.01, 0.2, 0.45, 0.7, 0.93], dtype=torch.float64)
    found = np.unique(known.ppf(SHARES))
    if row.discrete:
        found = found[known.sf(found) > 1e-13]
    return torch.from_numpy(found.astype(float))


def three(row: DistributionRow, arguments: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    return [cumulative(row, arguments, form, x) for form in ("cdf", "logcdf", "logsf")]


@pytest.mark.parametrize(("name", "given", "known"), CASES, ids=LABELS)
def test_values(name: str, given: dict[str, Any], known: Any) -> None:
    """Where SciPy has the law; and everywhere the parts below and above make 1, and what is outside is 0 or 1."""
    row = DISTRIBUTIONS[name]
    arguments = arguments_of(row, given)
    x = places_of(row, given, known)
    share, below, above = three(row, arguments, x)
    assert torch.allclose(share, below.exp(), rtol=1e-12)
    assert torch.allclose(below.exp() + above.exp(), torch.ones_like(x), rtol=1e-12)
    if known is not None:
        assert np.allclose(share.numpy(), known.cdf(x.numpy()), rtol=1e-9)
        assert np.allclose(above.exp().numpy(), known.sf(x.numpy()), rtol=1e-9)
    ends = torch.tensor([-math.inf, math.inf], dtype=torch.float64)
    assert [found.tolist() for found in three(row, arguments, ends)] == [[0, 1], [-math.inf, 0], [0, -math.inf]]


@pytest.mark.parametrize(("name", "given", "known"), CASES, ids=LABELS)
def test_derivative_in_the_value_is_the_density(name: str, given: dict[str, Any], known: Any) -> None:
    row = DISTRIBUTIONS[name]
    if row.discrete:
        pytest.skip("a mass")
    arguments = arguments_of(row, given)
    x = places_of(row, given, known)
    far = [x] if known is None else [x, torch.from_numpy(known.ppf([1e-9, 1 - 1e-9]))]
    at = torch.cat(far).requires_grad_()
    density = build(row, arguments).log_prob(at.detach())
    _, below, above = three(row, arguments, at)
    for log, sign in ((below, 1), (above, -1)):
        (slope,) = torch.autograd.grad(log.sum(), at, retain_graph=True)
        assert torch.allclose(slope, sign * (density - log.detach()).exp(), rtol=1e-7)


@pytest.mark.parametrize(("name", "given", "known"), CASES, ids=LABELS)
def test_derivatives_in_the_arguments(name: str, given: dict[str, Any], known: Any) -> None:
    """First ones against differences of values, second ones against differences of first ones."""
    row = DISTRIBUTIONS[name]
    arguments = arguments_of(row, given)
    x = places_of(row, given, known)
    x = x if row.discrete else x[1:-1]  # a step goes over no end

    def first(form: str, key: str, value: Tensor, graph: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        leaf = value.clone().requires_grad_()
        found = cumulative(row, arguments | {key: leaf}, form, x)
        weights = torch.linspace(1, 2, len(x), dtype=torch.float64)
        (slope,) = torch.autograd.grad((found * weights).sum(), leaf, create_graph=graph, allow_unused=True)
        return (found * weights).sum().detach(), torch.zeros_like(leaf) if slope is None else slope, leaf

    for key, value in arguments.items():
        if not row.parameter(key).differentiable or not bool(torch.isfinite(value).all()):
            continue
        for form in ("cdf", "logcdf", "logsf"):
            for entry in range(value.numel()):
                step = torch.zeros(value.numel(), dtype=torch.float64)
                step[entry] = 1e-6
                step = step.reshape(value.shape)
                (up, slope_up, _), (down, slope_down, _) = (first(form, key, value + side * step) for side in (1, -1))
                _, slope, leaf = first(form, key, value, graph=True)
                assert float(slope.flatten()[entry].detach()) == pytest.approx(float(up - down) / 2e-6, rel=1e-5, abs=1e-7), (key, form)
                wanted = float((slope_up - slope_down).flatten()[entry]) / 2e-6
                second = torch.autograd.grad(slope.flatten()[entry], leaf)[0] if slope.requires_grad else torch.zeros_like(leaf)
                assert float(second.flatten()[entry]) == pytest.approx(wanted, rel=1e-4, abs=1e-6), (key, form)


@pytest.mark.parametrize(("text", "exact"), [
    ("logcdf(Normal(0, 1), -40)", lambda: mpmath.log(mpmath.ncdf(-40))),
    ("logsf(Normal(0, 1), 1000)", lambda: mpmath.log(mpmath.erfc(1000 / mpmath.sqrt(2)) / 2)),
    ("logcdf(Normal(0, 1), 9)", lambda: mpmath.log1p(-mpmath.ncdf(-9))),
    ("logcdf(Gamma(2.5, 1), 1e-30)", lambda: mpmath.log(mpmath.gammainc(2.5, 0, mpmath.mpf("1e-30"), regularized=True))),
    ("logsf(Gamma(2.5, 1), 800)", lambda: mpmath.log(mpmath.gammainc(2.5, 800, mpmath.inf, regularized=True))),
    ("logcdf(Gamma(1e4, 1), 9000)", lambda: mpmath.log(mpmath.gammainc(10000, 0, 9000, regularized=True))),
    ("logcdf(Beta(0.7, 3), 1e-40)", lambda: mpmath.log(mpmath.betainc(0.7, 3, 0, mpmath.mpf("1e-40"), regularized=True))),
    ("logsf(Beta(2, 30), 0.9)", lambda: mpmath.log(mpmath.betainc(2, 30, 0.9, 1, regularized=True))),
    ("logcdf(StudentT(5), -1e6)", lambda: mpmath.log(mpmath.betainc(2.5, 0.5, 0, 5 / (5 + mpmath.mpf(10) ** 12), regularized=True) / 2)),
    ("logsf(Poisson(2), 60)", lambda: mpmath.log(mpmath.gammainc(61, 0, 2, regularized=True))),
    ("logcdf(Binomial(100, 0.9), 3)", lambda: mpmath.log(mpmath.betainc(97, 4, 0, 1 - mpmath.mpf(0.9), regularized=True))),
    ("logsf(Weibull(2, 3), 40)", lambda: -mpmath.mpf(20) ** 3),
    ("logsf(Cauchy(0, 1), 1e20)", lambda: mpmath.log(mpmath.mpf("1e-20") / mpmath.pi)),
    ("logcdf(Gumbel(0, 1), -6)", lambda: -mpmath.exp(6)),
    ("logsf(Gumbel(0, 1), 2000)", lambda: mpmath.mpf(-2000)),
    ("logsf(Gumbel(0, 1), 30)", lambda: mpmath.log(-mpmath.expm1(-mpmath.exp(-30)))),
    ("logcdf(Weibull(2, 30), 1e-20)", lambda: 30 * mpmath.log(mpmath.mpf("5e-21"))),
    ("logcdf(Kumaraswamy(20, 3), 1e-30)", lambda: mpmath.log(3) - 600 * mpmath.log(10)),
    ("logcdf(Laplace(0, 1), -900)", lambda: -900 - mpmath.log(2)),
])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_out(text: str, exact: Any, dtype: str) -> None:
    with mpmath.workdps(60):
        wanted = float(exact())
    found = float(probrun.parse("return " + text).run({}, samples=1, seed=1, dtype=dtype).value.mean)
    assert found == pytest.approx(wanted, rel=1e-9 if dtype == "float64" else 3e-6)


def hazard(z: float) -> float:
    """phi(z)/Phi(z)."""
    return math.exp(-z * z / 2 - 0.5 * math.log(2 * math.pi) - float(special.log_ndtr(z)))


U = np.linspace(-9, 9, 200_001)
WEIGHT = np.exp(-U * U / 2) / math.sqrt(2 * math.pi) * (U[1] - U[0])


def smoothed(f: Any) -> float:
    """The derivative at 0.4 of E f(x), x ~ Normal(theta, 1)."""
    return float((f(0.4 + U) * U * WEIGHT).sum())


X = "param t = 0.4\nx ~ Normal(t, 1)\n"
PROGRAMS = {
    "param t = 0.4\nreturn logcdf(Normal(t, 2), -80)": -hazard(-40.2) / 2,
    "param t = 0.4\nreturn logsf(Poisson(t), 1)": (0.4 * math.exp(-0.4)) / (1 - 1.4 * math.exp(-0.4)),
    "param t = 0.4\nreturn cdf(Binomial(3, t), 1)": -6 * 0.4 * 0.6,
    "param t = 0.4\ns = 0\nfor i in range(3) {\n  s = s + cdf(Exponential(t), i + 1)\n}\nreturn s": sum(k * math.exp(-0.4 * k) for k in (1, 2, 3)),
    X + "return cdf(Uniform(-1, 1.5), x)": smoothed(lambda x: stats.uniform(-1, 2.5).cdf(x)),
    X + "return cdf(Gamma(2, 1.5), x)": smoothed(lambda x: stats.gamma(2, scale=1 / 1.5).cdf(x)),
    X + "return cdf(Poisson(1.3), x)": smoothed(lambda x: stats.poisson(1.3).cdf(x)),
    X + "if x > 0 { return cdf(Logistic(0, 1), x) } else { return cdf(StudentT(3), x) - 1 }":
        smoothed(lambda x: np.where(x > 0, special.expit(x), stats.t(3).cdf(x) - 1)),
    "param t = 0.4\nb ~ Bernoulli(t)\nreturn cdf(Bernoulli(0.3), b)": 0.3,
    "param t = 0.4\nk ~ Poisson(2)\nreturn cdf(Normal(t, 1), k)":
        -sum(stats.poisson(2).pmf(k) * stats.norm(0.4).pdf(k) for k in range(60)),
}


@pytest.mark.parametrize("text", PROGRAMS)
def test_programs(text: str) -> None:
    found = probrun.parse(text).grad(samples=8000, seed=4).gradient["t"]
    assert abs(float(found.mean) - PROGRAMS[text]) < 5 * float(found.se) + 2e-6 * (1 + abs(PROGRAMS[text]))
    assert float(found.se) < 0.02


@pytest.mark.parametrize(("text", "code"), [
    ("param t = 0.5\nreturn cdf(Uniform(0, t), 0.5)", "P0404"),
    ("param t = 0\nreturn cdf(Exponential(1), t)", "P0404"),
    ("param t = 0\nreturn cdf(Poisson(t), 2)", "P0404"),
    ("param t = 0.5\nreturn cdf(VonMises(t, 1), 0.5)", None),
    ("param t[2] = 0.5\nreturn cdf(Dirichlet(t), 0.5)", None),
    ("param t = 0.5\nreturn cdf(t, 0.5)", None),
    ("param t = 0.5\nreturn cdf(Normal(t, 1))", None),
    ("param t = 0.5\nreturn cdf(Normal(t, -1), 0.5)", "P0501"),
])
def test_refused(text: str, code: str | None) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(text).grad(samples=10, seed=1)
    assert caught.value.line is not None and caught.value.code is not None and (code is None or caught.value.code == code)
