"""Derivatives that nobody asks for are 0, all others are calculus, in every order."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import probrun
from probrun.runtime.arrays.singular import SAFE, divide, multiply, power

# A place where the local derivative is not finite.
SINGULAR = {
    "sqrt": 0.0, "log": 0.0, "log1p": -1.0, "logit": 1.0, "lgamma": 0.0, "digamma": 0.0, "tan": math.nan, "exp": 800.0,
    "expm1": 800.0, "sinh": 800.0, "cosh": 800.0, "sin": math.nan, "cos": math.nan, "tanh": math.nan, "atan": math.nan,
}


def _derivatives(code: Callable[[Tensor], Tensor], x: float) -> tuple[float, float]:
    """First and second derivative at x."""
    place = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(code(place).sum(), place, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), place) if first.requires_grad else (torch.zeros(1),)
    return float(first.detach()), float(second)


@pytest.mark.parametrize("name", SAFE)
def test_unused_derivatives_are_zero(name: str) -> None:
    place = SINGULAR[name]
    guarded = _derivatives(lambda x: torch.where(x == math.inf, SAFE[name](x), 0 * x), place)
    assert guarded == (0.0, 0.0) or math.isnan(place)
    assert _derivatives(lambda x: torch.where(x == math.inf, SAFE[name](x), 3.0), place) == (0.0, 0.0)


@pytest.mark.parametrize("name", SAFE)
def test_used_derivatives_are_right(name: str) -> None:
    x = torch.tensor([0.2, 0.45, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SAFE[name], (x,)) and torch.autograd.gradgradcheck(SAFE[name], (x,))
    plain = getattr(torch, name)
    assert torch.equal(SAFE[name](x), plain(x))
    squared = torch.autograd.grad((SAFE[name](x) ** 2).sum(), x)[0], torch.autograd.grad((plain(x) ** 2).sum(), x)[0]
    assert torch.allclose(*squared)


def test_derivatives_that_are_asked_for_stay_infinite() -> None:
    assert _derivatives(SAFE["sqrt"], 0.0)[0] == math.inf
    assert _derivatives(SAFE["log"], 0.0)[0] == math.inf
    assert _derivatives(lambda x: divide(1.0, x, safe=True), 0.0)[0] == -math.inf


@pytest.mark.parametrize("code", [
    lambda x: torch.where(x > 0, divide(x, x, safe=True), 0.0), lambda x: torch.where(x > 0, divide(1.0, x, safe=True), 0.0),
    lambda x: torch.where(x > 0, power(x, 0.5, safe=True), 0.0), lambda x: torch.where(x > 0, power(x, -1.0, safe=True), 0.0),
    lambda x: torch.where(x > 0, power(2.0, divide(1.0, x, safe=True), safe=True), 0.0),
    lambda x: torch.where(x > 0, power(x, x, safe=True), 0.0),
])
@pytest.mark.parametrize("x", [0.0, -1.5])
def test_unused_quotients_and_powers(code: Callable[[Tensor], Tensor], x: float) -> None:
    assert _derivatives(code, x) == (0.0, 0.0)


def test_quotients_and_powers_are_right() -> None:
    a = torch.tensor([[0.4], [1.7]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([0.6, -1.3, 2.0], dtype=torch.float64, requires_grad=True)
    for code in (multiply, divide, power):
        def safe(x: Tensor, y: Tensor, code: Callable[..., Tensor] = code) -> Tensor:
            return code(x, y, safe=True)

        assert torch.autograd.gradcheck(safe, (a, b)) and torch.autograd.gradgradcheck(safe, (a, b))
        assert torch.equal(safe(a, b), code(a, b))


@pytest.mark.parametrize(("base", "exponent"), [(0.0, 2.0), (-2.0, 3.0), (0.0, 1.0), (0.0, 0.0), (-1.5, 2.0)])
def test_powers_of_zero_and_of_negative_numbers(base: float, exponent: float) -> None:
    ours, theirs = (_derivatives(lambda x, safe=safe: power(x, exponent, safe), base) for safe in (True, False))  # type: ignore[misc]
    assert ours == theirs


def test_zero_to_a_live_exponent() -> None:
    assert _derivatives(lambda b: power(0.0, b, safe=True), 2.0) == (0.0, 0.0)


def test_a_factor_of_zero_that_is_no_variable() -> None:
    """sqrt(b t) is 0 for b = 0 whatever t is: d/dt E = d/dt t^(3/2), with b drawn from Bernoulli(t)."""
    program = probrun.parse("param t = 0.5\nb ~ Bernoulli(t)\nreturn sqrt(b*t)")
    assert float(program.grad(seed=1).gradient["t"].mean) == pytest.approx(1.5 * 0.5**0.5, rel=1e-6)
    with pytest.raises(probrun.ProbError):
        probrun.parse("param t = 0\nreturn sqrt(t*t)").grad()
