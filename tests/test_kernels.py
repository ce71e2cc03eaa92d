"""The fast ways for truth values give what torch gives, and so do their derivatives."""

from __future__ import annotations

import math

import pytest
import torch

from probrun.runtime.arrays.kernels import WORTHWHILE, choose, compare, less, partition, to_number
from probrun.runtime.arrays.uniform import Once

SIZES = (7, 4 * WORTHWHILE)
DTYPES = (torch.float32, torch.float64)
COMPARISONS = (torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne)


def numbers(size: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Random numbers with everything odd among them."""
    found = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    found[:6] = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 0.1], dtype=dtype).roll(seed)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_comparisons(size: int, dtype: torch.dtype) -> None:
    a, b = numbers(size, dtype), numbers(size, dtype, 1)
    for code in COMPARISONS:
        for other in (b, 0.1, 0.0, 1e300, -math.inf):
            assert torch.equal(compare(code, a, other), code(a, other))
    assert torch.equal(less(a, b, dtype), (a < b).to(dtype))
    rows = torch.stack([a, b], dim=1)
    assert torch.equal(less(rows, rows[:, :1], dtype), (rows < rows[:, :1]).to(dtype))
    assert torch.equal(less(rows.double(), rows[:, :1], torch.float32), (rows.double() < rows[:, :1]).float())


@pytest.mark.parametrize("size", SIZES)
def test_truth_values(size: int) -> None:
    truth = numbers(size, torch.float32) > 0
    holding, failing = partition(truth)
    assert torch.equal(holding, truth.nonzero().squeeze(1)) and torch.equal(failing, (~truth).nonzero().squeeze(1))
    assert torch.equal(to_number(truth, torch.float64), truth.double())
    assert torch.equal(to_number(truth.unsqueeze(1).expand(size, 3), torch.float32), truth.float().unsqueeze(1).expand(size, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_choices_and_their_derivatives(size: int, dtype: torch.dtype) -> None:
    condition = torch.rand(size, 5) < 0.5
    column, row = torch.randn(size, 1, dtype=dtype, requires_grad=True), torch.randn(1, 5, dtype=dtype, requires_grad=True)
    weights = torch.randn(size, 5, dtype=dtype)
    for one, other in ((column, row), (row, 0.0), (-1.5, column), (column.detach(), row), (column, math.inf)):
        mine, plain = choose(condition, one, other), torch.where(condition, one, other)
        assert torch.equal(mine, plain) and mine.dtype == plain.dtype
        found, expected = (
            torch.autograd.grad(value, [column, row], weights, allow_unused=True) for value in (mine, plain)
        )
        for own, theirs in zip(found, expected, strict=True):
            assert (own is None) == (theirs is None)
            if own is not None and theirs is not None:
                torch.testing.assert_close(own, theirs, rtol=1e-5, atol=1e-5)


def test_a_second_derivative_of_a_choice() -> None:
    x = torch.randn(SIZES[1], dtype=torch.float64, requires_grad=True)
    condition = torch.rand(SIZES[1]) < 0.5
    (first,) = torch.autograd.grad(choose(condition, x**3, x**2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, torch.where(condition, 6 * x, torch.full_like(x, 2.0)))


def test_once() -> None:
    once, calls = Once(), []

    def code(x: torch.Tensor, y: float) -> torch.Tensor:
        calls.append(y)
        return x / y

    x, same = torch.ones(1), torch.ones(1)
    assert once("/", code, x, 2.0) is once("/", code, x, 2.0) and len(calls) == 1
    assert once("/", code, same, 2.0) is not once("/", code, x, 2.0) and len(calls) == 2
    assert float(once("/", code, x, 0.0)) == math.inf and float(once("/", code, x, -0.0)) == -math.inf
