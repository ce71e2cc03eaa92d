"""Rows of tensors that are taken, put in order, or put beside others, each at most once: with derivatives that cost no more.

torch adds up what comes back to rows that an index names (`index_add`), which is slow, and not needed where no row is named twice.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from .private import observed, transformed


def _plain(rows: Tensor) -> bool:
    """Whether nobody asks for a derivative, or everything is to be seen."""
    return not (rows.requires_grad and torch.is_grad_enabled()) or observed() or transformed(rows)


def picked(rows: Tensor, index: Tensor) -> Tensor:
    """The rows at an index `[k]`, none of which it names twice."""
    return rows.index_select(0, index) if _plain(rows) else cast(Tensor, _Picked.apply(rows, index))  # type: ignore[no-untyped-call]


def permuted(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """All rows in an order `[rows]`, of which `inverse` is the inverse."""
    if _plain(rows):
        return rows.index_select(0, order)
    return cast(Tensor, _Permuted.apply(rows, order, inverse))  # type: ignore[no-untyped-call]


def patched(rows: Tensor, count: int, at: Tensor, new: Tensor) -> Tensor:
    """So many rows: those that there are, and new ones `at` some places `[k]`, to which nothing comes back."""
    if _plain(rows):
        return _patched(rows, count, at, new)
    return cast(Tensor, _Patched.apply(rows, count, at, new.detach()))  # type: ignore[no-untyped-call]


def _patched(rows: Tensor, count: int, at: Tensor, new: Tensor) -> Tensor:
    more = count - rows.shape[0]
    known = torch.cat([rows, rows.new_empty(more, *rows.shape[1:])]) if more else rows.clone()
    return known.index_copy_(0, at, new)


class _Picked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.index, ctx.count = index, rows.shape[0]
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        return gradient.new_zeros(ctx.count, *gradient.shape[1:]).index_copy_(0, ctx.index, gradient), None


class _Permuted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.orders = inverse, order
        return rows.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return permuted(gradients[0], *ctx.orders), None, None


class _Patched(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int, at: Tensor, new: Tensor) -> Tensor:
        ctx.count = rows.shape[0]
        return _patched(rows, count, at, new)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0][: ctx.count], None, None, None
