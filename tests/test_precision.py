"""Draws that float32 is too coarse for are made in float64; those that float64 is too coarse for are refused."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import beta, gamma, norm

import probrun


def slope(f, x: float, h: float) -> float:  # type: ignore[no-untyped-def]
    """A central difference of an exact function, extrapolated."""
    near, far = ((f(x + k * h) - f(x - k * h)) / (2 * k * h) for k in (1, 2))
    return (4 * near - far) / 3


FINE = {
    "param b = 0.3\nx ~ Beta(2, b)\nreturn logpdf(Beta(2, b), x)": slope(lambda b: -beta(2, b).entropy(), 0.3, 1e-3),
    "param m = 5\nx ~ Normal(m, 1e-6)\nreturn (x > 5.0000003)*1e-6": norm.pdf(0.3),
    "param s = 1e-7\nz ~ Normal(1, s)\nreturn logpdf(Normal(1, s), z)*1e-7": -1.0,
    "param a = 0.05\nx ~ Gamma(a, 1)\nreturn x > 0.5": slope(lambda a: gamma(a).sf(0.5), 0.05, 1e-3),
}


@pytest.mark.parametrize("text", FINE)
def test_in_float64(text: str) -> None:
    result = probrun.parse(text).grad(samples=40_000, seed=1, pilot=False)
    (gradient,) = result.gradient.values()
    assert result.dtype == "float64" and result.to_dict()["dtype"] == "float64"
    assert abs(float(gradient.mean) - FINE[text]) < 5 * float(gradient.se) + 1e-6
    assert float(gradient.se) < 0.02 * max(1, abs(FINE[text]))


@pytest.mark.parametrize("text", [
    "param m = 1\nx ~ Normal(m, 1e-15)\nreturn x > 1", "param a = 0.005\nx ~ Gamma(a, 1)\nreturn log(x)",
    "param b = 0.1\nx ~ Beta(b, b)\nreturn log1p(-x)", "param k = 0.005\nx ~ Weibull(1, k)\nreturn x > 1",
])
def test_refused(text: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(text).grad(samples=1000, seed=1)
    assert caught.value.code == "P0508" and caught.value.line == 2


@pytest.mark.parametrize("text", [
    "param m = 1000\nx ~ Normal(m, 1) using score\nreturn x > 1000", "param m = 0.8\nx ~ Normal(m, 1e-4)\nreturn sin(x)",
    "param b = 0.5\nx ~ Beta(b, b)\nreturn x^2", "param a = 0.1\nx ~ Gamma(a, 1)\nreturn x",
    "param m = 1\nx ~ Normal(m, 1e-6)\nreturn x^2",
])
def test_float32_is_enough(text: str) -> None:
    assert probrun.parse(text).grad(samples=1000, seed=1).dtype == "float32"


def test_an_expectation_too() -> None:
    m = torch.tensor(5.0, requires_grad=True)
    value = probrun.parse("param m\nx ~ Normal(m, 1e-6)\nreturn (x > 5.0000003)*1e-6").expectation({"m": m}, samples=20_000, seed=1)
    value.backward()
    assert value.dtype == torch.float32 and m.grad is not None
    assert abs(float(m.grad) - norm.pdf(0.3)) < 5 * math.sqrt(0.5 / 20_000)


def test_a_comparison_says_so() -> None:
    text = next(iter(FINE))
    assert probrun.parse(text).compare(samples=1000, seed=1).dtype == "float64"
    assert probrun.parse("param m = 1\nx ~ Normal(m, 1)\nreturn x^2").compare(samples=1000, seed=1).dtype == "float32"
