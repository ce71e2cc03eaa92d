"""TruncatedNormal at any distance of its window, from 0 to 10^6 scales: value, density, derivatives, draws, against mpmath."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import pytest
import torch

import probrun
from probrun.dsl.tables.distributions import DISTRIBUTIONS
from probrun.runtime.laws.build import build

WIDTHS = (1e-9, 1e-3, 0.3, 5.0, math.inf)
DISTANCES = (0.0, 0.5, 3.0, 300.0, 5e3, 1e6)
DIGITS = 110


def log_density(m: Any, s: Any, low: Any, high: Any, x: Any) -> Any:
    a, b, z = (low - m) / s, (high - m) / s, (x - m) / s
    mirrored = a + b < 0 if mpmath.isfinite(a) and mpmath.isfinite(b) else mpmath.isinf(a)
    near, far = (-b, -a) if mirrored else (a, b)
    mass = (mpmath.erfc(near / mpmath.sqrt(2)) - mpmath.erfc(far / mpmath.sqrt(2))) / 2
    return -z * z / 2 - mpmath.log(s * mass * mpmath.sqrt(2 * mpmath.pi))


def mean(m: Any, s: Any, low: Any, high: Any) -> Any:
    """E[x] = m + s^2 (f(low) - f(high)) with f the density."""
    ends = [0 if mpmath.isinf(edge) else mpmath.exp(log_density(m, s, low, high, edge)) for edge in (low, high)]
    return m + s * s * (ends[0] - ends[1])


def law(*arguments: torch.Tensor) -> Any:
    return build(DISTRIBUTIONS["TruncatedNormal"], dict(zip(("loc", "scale", "low", "high"), arguments, strict=True)))


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=math.isfinite(value))


@pytest.mark.parametrize("side", [1, -1], ids=["above", "below"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_density_and_its_derivatives(distance: float, side: int) -> None:
    """First and second ones; an inner window (distance .5) holds `loc`."""
    with mpmath.workdps(DIGITS):
        for width in WIDTHS:
            spread = min(width, 1 / max(1.0, distance))
            start = -0.3 * width if distance == 0.5 and width < 1e3 else distance
            low, high = (start, start + width) if side == 1 else (-start - width, -start)
            x = side * (start + 0.7 * spread)
            arguments = [one(0.0), one(1.0), one(low), one(high)]
            found = law(*arguments).density(one(x))
            first = torch.autograd.grad(found, arguments[:2], create_graph=True)
            second = [torch.autograd.grad(g, a, retain_graph=True)[0] for g, a in zip(first, arguments[:2], strict=True)]
            h = mpmath.mpf(10) ** -18 / (1 + distance)
            exact = log_density(0, 1, mpmath.mpf(low), mpmath.mpf(high), mpmath.mpf(x))
            rounding = 1e-12 + 4e-16 * max(distance, 1.0) / spread  # of the ends themselves, beside the spread
            assert abs(float(found.detach()) - float(exact)) < rounding * (1 + abs(float(exact)))
            for place, (one_size, two_size) in enumerate(((spread, spread**2), (1.0, 1.0))):
                up, down = (
                    log_density(k * h * (1 - place), 1 + k * h * place, mpmath.mpf(low), mpmath.mpf(high), mpmath.mpf(x))
                    for k in (1, -1)
                )
                slope, bend = float((up - down) / (2 * h)), float((up - 2 * exact + down) / h**2)
                assert abs(float(first[place].detach()) - slope) < rounding * (one_size + abs(slope)), (width, place)
                assert abs(float(second[place]) - bend) < 10 * rounding * (two_size + abs(bend)), (width, place)


@pytest.mark.parametrize("arguments", [
    (2, 1e-4, 0, 1), (2, 1.5e-4, 0, 1), (2, 1e-5, 0, 1), (2, 1e-6, 0, 1), (-3, 1e-3, 0, math.inf), (5000, 1, 0, 1), (0, 1, -1e6, -1e6 + 1e-6),
    (1, 1, 1, 1 + 1e-4), (0.3, 1, 0, 1e-3), (0, 1, 40, 41), (0, 2, -math.inf, -300), (0, 1, 2, 3), (1, 2, 0, math.inf), (0, 1e5, 3, 4),
])
def test_draws(arguments: tuple[float, float, float, float]) -> None:
    """The mean distance from the nearer end, in units of its own, and all its derivatives."""
    m, _, low, high = arguments
    edge = high if math.isinf(low) or (math.isfinite(high) and abs(high - m) < abs(low - m)) else low
    names = [name for name, value in zip(("m", "s", "low", "high"), arguments, strict=True) if math.isfinite(value)]
    ends = [name if name in names else ("-inf" if name == "low" else "inf") for name in ("low", "high")]
    text = "\n".join((*(f"param {name}" for name in names), f"x ~ TruncatedNormal(m, s, {ends[0]}, {ends[1]})", f"return x - ({edge!r})"))
    values = {name: value for name, value in zip(("m", "s", "low", "high"), arguments, strict=True) if name in names}
    result = probrun.parse(text).grad(values, samples=2500, seed=3, dtype="float64", pilot=False)
    with mpmath.workdps(DIGITS):
        given = [mpmath.mpf(value) for value in arguments]
        size = abs(mean(*given) - mpmath.mpf(edge))
        assert abs(float(result.value.mean) - float(mean(*given) - mpmath.mpf(edge))) < 5 * float(result.value.se)
        assert float(result.value.se) < 0.06 * size
        for place, name in enumerate(("m", "s", "low", "high")):
            if name not in names:
                continue
            h = mpmath.mpf(10) ** -20 * min(given[1], 1)
            up, down = (mean(*(value + k * h * (other == place) for other, value in enumerate(given))) for k in (1, -1))
            exact, found = float((up - down) / (2 * h)), result.gradient[name]
            assert abs(float(found.mean) - exact) <= 5 * float(found.se) + 1e-6 * abs(exact) + 1e-14, name
            assert float(found.se) < 0.06 * abs(exact) + 1e-12, name


def test_what_float32_cannot_hold_is_done_in_float64() -> None:
    text = "param m = 2\nparam s in (0, inf) = 0.0001\nx ~ TruncatedNormal(m, s, 0, 1)\nreturn 1000000*(1 - x)"
    result = probrun.parse(text).grad(samples=4000, seed=1)
    assert result.dtype == "float64"
    for name, exact in (("m", -0.01), ("s", 200.0)):
        found = result.gradient[name]
        assert abs(float(found.mean) - exact) < 5 * float(found.se) and float(found.se) < 0.03 * abs(exact)


def test_a_density_at_a_fixed_point() -> None:
    text = "param m = 2\nparam s in (0, inf) = 0.001\nreturn logpdf(TruncatedNormal(m, s, 0, 1), 0.9999995)"
    result = probrun.parse(text).grad(seed=1)
    for found, exact in ((result.value, 13.31551), (result.gradient["m"], 0.499998), (result.gradient["s"], -999.998)):
        assert abs(float(found.mean) - exact) < 2e-6 * abs(exact)


def test_too_far_for_float64_is_refused() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("param m = 2\nx ~ TruncatedNormal(m, 1e-8, 0, 1)\nreturn x").grad(samples=100, seed=1)
    assert caught.value.code == "P0508" and caught.value.line == 2
