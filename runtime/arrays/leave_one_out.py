"""What the other numbers of a row come to, for each number of it: leave-one-out sums, moments and order statistics.

All take numbers `[lanes, n]` and give as many, with derivatives.  Sums and products are made from both ends, so that nothing is
taken away again from a total that is far larger.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Uneven(Exception):
    """A draw is compared with more numbers than it has; or with others than are told apart."""


def sums(x: Tensor) -> Tensor:
    """The sum of the others."""
    return _before(x) + _before(x.flip(-1)).flip(-1)


def _before(x: Tensor) -> Tensor:
    """The sum of those before each."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1].cumsum(-1)], -1)


def products(x: Tensor) -> Tensor:
    """The product of the others."""
    def before(y: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(y[:, :1]), y[:, :-1].cumprod(-1)], -1)

    return before(x) * before(x.flip(-1)).flip(-1)


def means(x: Tensor) -> Tensor:
    """The mean of the others."""
    return sums(x) / (x.shape[-1] - 1) if x.shape[-1] > 1 else torch.full_like(x, torch.nan)


def squares(x: Tensor) -> Tensor:
    """The sum of the squared differences of the others from their mean."""
    centre = x.detach().mean(-1, keepdim=True)
    off, count = x - centre, max(x.shape[-1] - 1, 1)
    return sums(off.square()) - sums(off).square() / count


def logsumexps(x: Tensor) -> Tensor:
    """The logarithm of the sum of the exponentials of the others; none where there are no others."""
    if x.shape[-1] == 1:
        return torch.full_like(x, torch.nan)
    n = x.shape[-1]
    table = x.unsqueeze(-2).expand(*x.shape, n) if n <= 64 else None
    if table is not None:
        own = torch.eye(n, dtype=torch.bool, device=x.device)
        return torch.logsumexp(table.masked_fill(own, -torch.inf), -1)
    low, high = x[:, :-1].logcumsumexp(-1), x.flip(-1)[:, :-1].logcumsumexp(-1).flip(-1)
    inner = torch.logaddexp(low[:, :-1], high[:, 1:])
    return torch.cat([high[:, :1], inner, low[:, -1:]], -1)


def ordered(x: Tensor, place: Tensor) -> Tensor:
    """The others at a place `[lanes or 1, 1]` in their order, counted from 0, on the line between two where it is no whole number;
    none where there is no such place."""
    n = x.shape[-1]
    values, order = x.sort(-1)
    rank = order.argsort(-1)
    low, high = place.detach().floor().long(), place.detach().ceil().long()
    known = (low >= 0) & (high <= n - 2)

    def at(index: Tensor) -> Tensor:
        index = index.clamp(0, max(n - 2, 0)).expand(x.shape)
        return values.gather(-1, (index + (index >= rank)).clamp_max(n - 1))

    part = place - low
    return torch.where(known, (1 - part) * at(low) + part * at(high), torch.nan)


KINDS = {
    "others' sum": sums, "others' product": products, "others' mean": means, "others' squares": squares,
    "others' logsumexp": logsumexps,
}


def whole(kind: str, x: Tensor, place: Tensor | None) -> Tensor:
    """What all numbers come to `[lanes, 1]`."""
    match kind:
        case "sum":
            return x.sum(-1, keepdim=True)
        case "mean":
            return x.mean(-1, keepdim=True)
        case "prod":
            return x.prod(-1, keepdim=True)
        case "var":
            return x.var(-1, keepdim=True)
        case "std":
            return x.std(-1, keepdim=True)
        case "logsumexp":
            return x.logsumexp(-1, keepdim=True)
    assert kind == "place" and place is not None
    values, low, high = x.sort(-1).values, place.detach().floor().long(), place.detach().ceil().long()
    ends = [values.gather(-1, at.clamp(0, x.shape[-1] - 1).expand(x.shape[0], 1)) for at in (low, high)]
    return ends[0] + (place - low) * (ends[1] - ends[0])


ALONG = ("order", "place", "logsumexp", "others' logsumexp")  # the last axis, of which there must be no other


def beside(
    kind: str, draw: Tensor, part: tuple[int, int | None] | None, place: Tensor | None, made: Callable[[Tensor], Tensor]
) -> Tensor:
    """For each number of a draw `[lanes, *batch]` what the others come to, of those in a part of it (nan: it is none of them); or
    what all in it come to, for all.  `made` gives what is taken of each number."""
    if draw.dim() != 2 and (part is not None or kind in ALONG):
        raise Uneven
    start, stop = (0, None) if part is None else part
    inside = draw if part is None else draw[:, start:stop]
    values = made(inside)
    if values.shape != inside.shape:
        raise Uneven
    flat = values.reshape(values.shape[0], -1)
    if kind not in KINDS and kind != "order":
        return whole(kind, flat, place).reshape(-1, *(1,) * (draw.dim() - 1)).expand(draw.shape)
    found = ordered(flat, place) if place is not None else KINDS[kind](flat)
    if part is None:
        return found.reshape(draw.shape)
    mine = torch.arange(draw.shape[1], device=draw.device)[start:stop]
    return torch.full_like(draw, torch.nan).index_copy(1, mine, found)


def gradient(f: Callable[[Tensor], Tensor], at: Tensor, axes: int) -> Tensor:
    """Of a function of numbers `[lanes, *batch]` that gives as many axes of numbers, each of its own lane."""
    with torch.enable_grad():
        x = at.detach().clone().requires_grad_()
        value = f(x)
        if value.dim() != axes:
            raise Uneven
        if not value.requires_grad:
            return torch.zeros_like(x)
        (found,) = torch.autograd.grad(value.sum(), x, allow_unused=True)
    return torch.zeros_like(x) if found is None else found
