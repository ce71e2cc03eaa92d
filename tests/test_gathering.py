"""Rows that are picked, put in order and put beside others, and the larger of two: as torch does it, derivatives too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from probrun.runtime.arrays.gathering import patched, permuted, picked
from probrun.runtime.arrays.kernels import maximum, minimum

ROWS = 5000


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _twice(function: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The value, the derivative of the weighed sum of its third powers, and that of the sum of the squares of this one."""
    live = point.clone().requires_grad_()
    value = function(live)
    (first,) = torch.autograd.grad((value**3 * _drawn(*value.shape, seed=9)).sum(), live, create_graph=True)
    (second,) = torch.autograd.grad((first * first).sum(), live)
    return value.detach(), first.detach(), second


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3)])
def test_rows_are_picked_and_put_in_order_as_by_an_index(shape: tuple[int, ...]) -> None:
    rows = _drawn(*shape)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    some, inverse = order[:1700], order.argsort()
    for ours, index in ((lambda x: picked(x, some), some), (lambda x: permuted(x, order, inverse), order)):
        for one, other in zip(_twice(ours, rows), _twice(lambda x, index=index: x[index], rows), strict=True):
            assert torch.equal(one, other)


def test_nothing_comes_back_to_rows_that_are_put_beside_others() -> None:
    rows = _drawn(6).requires_grad_()
    at, of = torch.tensor([4, 6, 7]), torch.tensor([0, 1, 2])
    whole = patched(rows, 8, at, rows.detach()[of])
    assert torch.equal(whole.detach(), torch.cat([rows.detach()[:4], rows.detach()[[0, 5, 1, 2]]]))
    came = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0, 5.0, 0.0, 0.0], dtype=torch.float64)  # alternatives weigh 0
    (found,) = torch.autograd.grad(whole, rows, came)
    assert found.tolist() == [1.0, 2.0, 3.0, 4.0, 0.0, 5.0]


@pytest.mark.parametrize("ours, theirs", [(maximum, torch.maximum), (minimum, torch.minimum)])
@pytest.mark.parametrize("shapes", [((ROWS,), (ROWS,)), ((ROWS, 3), (1, 3)), ((1,), (ROWS,))])
def test_the_derivative_of_the_larger_one_is_that_of_torch(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, Tensor], Tensor], shapes: tuple[tuple[int, ...], ...],
) -> None:
    a, b = _drawn(*shapes[0], seed=2), _drawn(*shapes[1], seed=3)
    with torch.no_grad():  # ties
        a[:1], b[:1] = 0.25, 0.25
    for swapped in (False, True):
        def both(code: Callable[[Tensor, Tensor], Tensor], swapped: bool = swapped) -> Callable[[Tensor], Tensor]:
            return lambda x: code(a, x) if swapped else code(x, b)

        for one, other in zip(_twice(both(ours), b if swapped else a), _twice(both(theirs), b if swapped else a), strict=True):
            assert torch.equal(one, other)
