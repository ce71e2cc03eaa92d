"""Second derivatives over kinks: refused where backpropagating twice would miss the jump of the first one, right elsewhere."""

from __future__ import annotations

import math

import pytest
import torch

import probrun

REFUSED = [
    "x ~ Normal(m, 1)\nreturn relu(x)", "x ~ Normal(m, 1)\nreturn abs(x)*m", "x ~ Normal(0, 1)\nreturn max(x, m)",
    "x ~ Normal(m, 1)\nreturn clamp(x, -1, 1)", "x ~ Normal([m, 0], 1)\nreturn sort(x)[1]",
    "x ~ Laplace(m, 1)\nreturn logpdf(Laplace(0, 1), x)", "x ~ Laplace(m, 1)\nreturn x > 0",
]
PHI = math.exp(-0.125) / math.sqrt(2 * math.pi)  # the density of a standard normal at 1/2
RIGHT = {  # second derivatives at m = 1/2
    "x ~ Normal(m, 1)\nreturn relu(x)": ("score", PHI),
    "x ~ Normal(m, 1)\nreturn exp(abs(exp(x))/4)*0 + m^3": (None, 3.0),
    "x ~ Normal(0, 1)\nreturn max(m, 0)^3 + x": (None, 3.0),
    "k ~ Poisson(2)\nreturn relu(k - m)^2 + m^2": (None, 2 * (1 - math.exp(-2)) + 2),
    "x ~ Normal(m, 1)\nreturn x^2": (None, 2.0),
}


def second(text: str, estimator: str | None, seed: int) -> float:
    m = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    value = probrun.parse(f"param m\n{text}").expectation(
        {"m": m}, samples=20_000, seed=seed, dtype="float64", **({"estimator": estimator} if estimator else {})
    )
    (first,) = torch.autograd.grad(value, m, create_graph=True)
    return float(torch.autograd.grad(first, m)[0])


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        second(text, None, 1)
    assert caught.value.code == "P0406" and caught.value.line is not None


@pytest.mark.parametrize("text", RIGHT)
def test_right(text: str) -> None:
    estimator, exact = RIGHT[text]
    found = torch.tensor([second(text, estimator, seed) for seed in range(12)])
    error = float(found.std()) / math.sqrt(12)
    assert abs(float(found.mean()) - exact) < 5 * error + 1e-6 and error < 0.05


@pytest.mark.parametrize("text", REFUSED)
def test_the_first_derivative_passes(text: str) -> None:
    m = torch.tensor(0.5, requires_grad=True)
    probrun.parse(f"param m\n{text}").expectation({"m": m}, samples=1000, seed=1).backward()
    assert m.grad is not None and math.isfinite(float(m.grad))
