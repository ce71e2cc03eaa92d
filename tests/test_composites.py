"""Truncated and Mixture: their laws against quadrature over the density, programs with them against SciPy, what is refused."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

import probrun
from benchmarks import composites
from probrun.dsl.tables.distributions import DISTRIBUTIONS
from probrun.runtime.laws.build import build
from probrun.runtime.laws.cumulative import cumulative
from probrun.runtime.laws.noise import Fresh

DRAWS = 1500
INF = math.inf
LAWS: list[tuple[str, dict[str, Any], tuple[float, float]]] = [  # and between which numbers all of it lies
    ("Truncated(Exponential)", {"rate": 1.0, "low": 0.5, "high": 3.0}, (0.5, 3)),
    ("Truncated(Gumbel)", {"loc": 0.3, "scale": 1.0, "low": -1.0, "high": INF}, (-1, 40)),
    ("Truncated(Gamma)", {"concentration": 1.7, "rate": 2.0, "low": 0.7, "high": 3.0}, (0.7, 3)),
    ("Truncated(StudentT)", {"df": 4.0, "loc": 0.3, "scale": 1.0, "low": 1.0, "high": 2.0}, (1, 2)),
    ("Truncated(Beta)", {"concentration1": 2.0, "concentration0": 0.8, "low": 0.2, "high": 0.9}, (0.2, 0.9)),
    ("Mixture(Normal, Normal)", {"weights": [0.3, 0.9], "loc_1": 0.0, "scale_1": 1.0, "loc_2": 2.0, "scale_2": 0.5}, (-9, 9)),
    ("Mixture(Gamma, LogNormal)", {"weights": [0.3, 0.7], "concentration_1": 2.0, "rate_1": 1.0, "loc_2": 0.0, "scale_2": 0.5}, (0, 45)),
    ("Mixture(Exponential, Normal)", {"weights": [0.3, 0.7], "rate_1": 1.0, "loc_2": 0.0, "scale_2": 0.5}, (-5, 40)),
]


def given(arguments: dict[str, Any], count: int = 1) -> dict[str, Tensor]:
    return {key: torch.tensor([value] * count, dtype=torch.float64).requires_grad_() for key, value in arguments.items()}


def expected(name: str, arguments: dict[str, Any], ends: tuple[float, float], f: Any) -> float:
    """By quadrature over the density; ends that are arguments move."""
    low, high = (arguments.get(key, end) for key, end in zip(("low", "high"), ends, strict=True))
    low, high = max(low, -60.0), min(high, 60.0)
    law = build(DISTRIBUTIONS[name], {key: value.detach() for key, value in given(arguments).items()})
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)[1:-1] * (high - low) + low
    return float(torch.trapezoid(f(x) * law.log_prob(x).exp(), x))


@pytest.mark.parametrize(("name", "arguments", "ends"), LAWS, ids=[name for name, _, _ in LAWS])
def test_density_and_distribution_function(name: str, arguments: dict[str, Any], ends: tuple[float, float]) -> None:
    """The density integrates to 1, and to the distribution function, whose derivatives in the arguments are differences."""
    row = DISTRIBUTIONS[name]
    assert expected(name, arguments, ends, torch.ones_like) == pytest.approx(1.0, abs=1e-4)
    place = 0.8 if "Beta" in name else 1.3
    law = build(row, {key: value.detach() for key, value in given(arguments).items()})
    low = arguments.get("low", ends[0])
    area, _ = integrate.quad(lambda x: float(law.log_prob(torch.tensor([x], dtype=torch.float64)).exp()), low, place, points=[0.0] if low < 0 else None)
    leaves = given(arguments)
    at = torch.tensor([place], dtype=torch.float64)
    found = cumulative(row, leaves, "cdf", at)
    assert float(found.detach()) == pytest.approx(area, rel=1e-6)
    assert float(cumulative(row, leaves, "logsf", at).exp().detach()) == pytest.approx(1 - area, rel=1e-6)
    for form in ("cdf", "logcdf", "logsf"):
        slopes = torch.autograd.grad(cumulative(row, leaves, form, at), list(leaves.values()))
        for (key, value), slope in zip(arguments.items(), slopes, strict=True):
            if key == "weights" or not math.isfinite(value):
                continue
            up, down = (float(cumulative(row, given(arguments | {key: value + h}), form, at).detach()) for h in (1e-5, -1e-5))
            assert float(slope) == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-8), (key, form)


@pytest.mark.parametrize(("name", "arguments", "ends"), LAWS, ids=[name for name, _, _ in LAWS])
def test_the_path_of_a_draw(name: str, arguments: dict[str, Any], ends: tuple[float, float]) -> None:
    """E sin(x) along the draws, in every argument that is called reparameterised; and the second derivative in the first one."""
    row = DISTRIBUTIONS[name]
    leaves = given(arguments, DRAWS)
    keys = [key for key, value in arguments.items() if key != "weights" and row.parameter(key).reparameterised and math.isfinite(value)]
    if not keys:
        pytest.skip("its draw has no path")
    x = build(row, leaves).rsample((DRAWS,), Fresh(torch.Generator().manual_seed(2)))
    slopes = torch.autograd.grad(torch.sin(x).sum(), [leaves[key] for key in keys], create_graph=True)

    def by(key: str, step: float) -> float:
        return expected(name, arguments | {key: arguments[key] + step}, ends, torch.sin)

    for key, slope in zip(keys, slopes, strict=True):
        wanted = (by(key, 1e-3) - by(key, -1e-3)) / 2e-3
        each = slope.detach()
        assert abs(float(each.mean()) - wanted) < 5 * float(each.std()) / DRAWS**0.5 + 1e-4, key
    again = torch.autograd.grad(slopes[0].sum(), leaves[keys[0]])[0]
    wanted = (by(keys[0], 1e-2) - 2 * by(keys[0], 0.0) + by(keys[0], -1e-2)) / 1e-4
    assert abs(float(again.mean()) - wanted) < 5 * float(again.std()) / DRAWS**0.5 + 1e-3


EXP = stats.expon()


def cut(f: Any, low: float, high: float) -> float:
    """E f(x) of Truncated(Exponential(1), low, high)."""
    return float(EXP.expect(f, lb=low, ub=high, conditional=True))


T = "param t = 0.5\n"
PROGRAMS = {
    T + "x ~ Truncated(Exponential(1), t, 5)\nreturn sin(x)": (lambda t: cut(math.sin, t, 5)),
    T + "x ~ Truncated(Exponential(1), 0.1, 4*t)\nreturn x": (lambda t: cut(lambda x: x, 0.1, 4 * t)),
    T + "x ~ Truncated(Exponential(t), 0.1, 2)\nif x > 1 { return 2 } else { return x }":
        (lambda t: stats.expon(scale=1 / t).expect(lambda x: 2 if x > 1 else x, lb=0.1, ub=2, conditional=True, points=[1])),
    T + "b ~ Bernoulli(t)\nif b {\n  x ~ Truncated(Exponential(1), 0.1, 2)\n} else {\n  x ~ Mixture([t, 1], Normal(t, 1), Normal(2, 1))\n}\nreturn x":
        (lambda t: t * cut(lambda x: x, 0.1, 2) + (1 - t) * (t * t + 2) / (t + 1)),
    T + "s = 1\nfor i in range(3) {\n  x ~ Truncated(Exponential(1), t, t + 1)\n  s = s*x\n}\nreturn s": (lambda t: cut(lambda x: x, t, t + 1) ** 3),
    T + "k ~ Mixture([t, 1 - t], Bernoulli(0.2), Binomial(3, t))\nreturn (k > 1) + k": (lambda t: t * 0.2 + (1 - t) * (3 * t + 3 * t * t * (1 - t) + t**3)),
    T + "x ~ Mixture([t, 1 - t], Normal(0, 1), Exponential(2))\nreturn x > 0": (lambda t: t / 2 + 1 - t),
    T + "x ~ Truncated(Normal(t, 1), -inf, 0)\nreturn x": (lambda t: t - stats.norm.pdf(-t) / stats.norm.cdf(-t)),
}


@pytest.mark.parametrize("text", PROGRAMS)
def test_programs(text: str) -> None:
    exact = PROGRAMS[text]
    result = probrun.parse(text).grad(samples=6000, seed=11)
    found, wanted = result.gradient["t"], (exact(0.5 + 1e-4) - exact(0.5 - 1e-4)) / 2e-4
    assert abs(float(result.value.mean) - exact(0.5)) < 5 * float(result.value.se) + 1e-5
    assert abs(float(found.mean) - wanted) < 5 * float(found.se) + 1e-5 and float(found.se) < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int) -> None:
    assert composites.check(seed, Counter()) == []


@pytest.mark.parametrize(("line", "code"), [
    ("x ~ Truncated(Exponential(1), 0*t, 5)\nreturn x", None),
    ("x ~ Truncated(Exponential(1), t - 0.5, 5)\nreturn x", "P0404"),
    ("return cdf(Truncated(Beta(2, 2), 0.1, t + 0.5), 0.3)", "P0404"),
    ("x ~ Truncated(Exponential(1), -3, -t)\nreturn x", "P0501"),
    ("x ~ Truncated(Exponential(1), 2, t)\nreturn x", "P0501"),
    ("x ~ Truncated(Poisson(1), 0, t)\nreturn x", "P0210"),
    ("x ~ Truncated(Uniform(0, t), 0, 0.3)\nreturn x", "P0210"),
    ("x ~ Truncated(Normal(t, 1))\nreturn x", "P0203"),
    ("x ~ Truncated(t, 0, 1)\nreturn x", "P0203"),
    ("x ~ Truncated(Nromal(t, 1), 0, 1)\nreturn x", "P0202"),
    ("x ~ Mixture([t, 1], Normal(0, 1), Poisson(1))\nreturn x", "P0210"),
    ("x ~ Mixture([t, 1, 1], Normal(0, 1), Normal(1, 1))\nreturn x", "P0301"),
    ("x ~ Mixture([t, -1], Normal(0, 1), Normal(1, 1))\nreturn x", "P0501"),
    ("x ~ Mixture(Normal(0, 1), [t])\nreturn x", "P0203"),
    ("x ~ Mixture()\nreturn x", "P0203"),
])
def test_refused(line: str, code: str | None) -> None:
    program = T + line
    if code is None:
        assert float(probrun.parse(program).grad(samples=10, seed=1).gradient["t"].mean) == 0
        return
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(program).grad(samples=10, seed=1)
    assert caught.value.code == code and caught.value.line is not None
