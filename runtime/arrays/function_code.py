"""The code of the built-in functions: `FUNCTION_CODE[name](*values, context=...) -> Tensor`.

Values are tensors `[L, *event]` with `L` the number of lanes or 1, of the run's dtype or bool (counted as 0 and 1); the
result has the same form, and axis 0 is never reduced.  `context` knows the run's `dtype` and `device`.  Structural
functions (`zeros`, `ones`, `arange`) take Python integers instead and give `[1, *sizes]` (those in `FILLED` axes of size 1).
`any` and `all` give bool.
Ties at a kink follow torch.  Errors: ShapeMismatch (P0301), FunctionProblem (its `code`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from .broadcast import ShapeMismatch, align, event_shape, shape_words, together
from .kernels import choose, compare, maximum, minimum, to_number
from .matrix_code import ONE, TWO, between, place_of, variance
from .memory import ask
from .refused import FunctionProblem
from .singular import SAFE


@dataclass(frozen=True)
class Context:
    """Where and how a run computes."""

    dtype: torch.dtype
    device: torch.device


__all__ = ["FILLED", "FUNCTION_CODE", "Context", "FunctionProblem"]

Body = Callable[..., Tensor]
One = Callable[[Tensor], Tensor]
Two = Callable[[Tensor, Tensor], Tensor]


def _number(value: Tensor, context: Context) -> Tensor:
    return to_number(value, context.dtype)


def _truth(value: Tensor) -> Tensor:
    return value if value.dtype == torch.bool else compare(torch.ne, value.detach(), 0.0)


def _elementwise(code: One) -> Body:
    def call(x: Tensor, *, context: Context) -> Tensor:
        return code(_number(x, context))

    return call


def _flat(x: Tensor, name: str = "") -> Tensor:
    """`[L, entries]`; with a name, there must be some."""
    flat = x.reshape(x.shape[0], -1) if x.numel() else x.new_zeros(x.shape[0], 0)
    if name and not flat.shape[1]:
        raise FunctionProblem("P0506", f"`{name}` of an empty array")
    return flat


def _reducing(name: str, one: One, two: Two, filled: bool) -> Body:
    """One argument is reduced over its event axes, several are combined elementwise; `filled`: refuses an empty one."""

    def call(*values: Tensor, context: Context) -> Tensor:
        numbers = [_number(value, context) for value in values]
        if len(numbers) > 1:
            return reduce(two, align(*numbers))
        return numbers[0] if numbers[0].dim() == 1 else one(_flat(numbers[0], name if filled else ""))

    return call


def _mean(*values: Tensor, context: Context) -> Tensor:
    total: Tensor = FUNCTION_CODE["sum"](*values, context=context)
    if len(values) > 1:
        return total / len(values)
    return total if values[0].dim() == 1 else total / _flat(values[0], "mean").shape[1]


def _deciding(one: One, two: Two) -> Body:
    def call(*values: Tensor, context: Context) -> Tensor:
        truths = [_truth(value) for value in values]
        return reduce(two, align(*truths)) if len(truths) > 1 else one(_flat(truths[0]))

    return call


def _along_last(name: str, code: One, filled: bool = False) -> Body:
    def call(x: Tensor, *, context: Context) -> Tensor:
        if x.dim() == 1:
            raise ShapeMismatch([()], f"`{name}` needs a vector, but is given a scalar")
        if filled and not x.shape[-1]:
            raise FunctionProblem("P0506", f"`{name}` of an empty array")
        return code(_number(x, context))

    return call


def _elementary(code: Two) -> Body:
    def call(a: Tensor, b: Tensor, *, context: Context) -> Tensor:
        return code(_number(a, context), _number(b, context))

    return call


def _spread(name: str, root: bool) -> Body:
    def call(x: Tensor, *, context: Context) -> Tensor:
        found = variance(_flat(_number(x, context)), name)
        return SAFE["sqrt"](found) if root else found

    return call


def _quantile(x: Tensor, q: Tensor, *, context: Context) -> Tensor:
    entries = _flat(_number(x, context), "quantile")
    return between(_sorted(entries), place_of(entries, _number(q, context)))


def _clamp(x: Tensor, low: Tensor, high: Tensor, *, context: Context) -> Tensor:
    value, least, most = align(_number(x, context), _number(low, context), _number(high, context))
    return torch.clamp(value, least, most)


def _where(condition: Tensor, a: Tensor, b: Tensor, *, context: Context) -> Tensor:
    choice, yes, no = align(_truth(condition), _number(a, context), _number(b, context))
    return choose(choice, yes, no)


def _length(x: Tensor, *, context: Context) -> Tensor:
    if x.dim() == 1:
        raise ShapeMismatch([()], "`length` needs an array, but is given a scalar")
    return torch.tensor([float(x.shape[1])], dtype=context.dtype, device=context.device)


def _dot(a: Tensor, b: Tensor, *, context: Context) -> Tensor:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1]:
        raise ShapeMismatch([event_shape(a), event_shape(b)], _misfit("dot", a, b, "two vectors of one length") + (
            "; of matrices write matmul(a, b)" if max(a.dim(), b.dim()) > 2 else ""
        ))
    return _inner(_number(a, context), _number(b, context))


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """`[L, n]` and `[L, n]` to `[L]`."""
    if b.shape[0] == 1:
        return torch.mv(a, b[0])
    return torch.mv(b, a[0]) if a.shape[0] == 1 else (a * b).sum(-1)


def _matmul(a: Tensor, b: Tensor, *, context: Context) -> Tensor:
    fits = 2 <= a.dim() <= 3 and 2 <= b.dim() <= 3 and a.shape[-1] == b.shape[1]
    if not fits:
        wanted = "matrices or vectors whose inner sizes agree"
        raise ShapeMismatch([event_shape(a), event_shape(b)], _misfit("matmul", a, b, wanted))
    a, b = _number(a, context), _number(b, context)
    ask(max(a.shape[0], b.shape[0]) * (a.shape[1] if a.dim() == 3 else 1) * (b.shape[2] if b.dim() == 3 else 1), context.device)
    if a.dim() == 2 and b.dim() == 2:
        return _inner(a, b)
    if b.dim() == 2:
        return b @ a[0].mT if a.shape[0] == 1 else (a @ b.unsqueeze(-1)).squeeze(-1)
    if a.dim() == 2:
        return a @ b[0] if b.shape[0] == 1 else (a.unsqueeze(-2) @ b).squeeze(-2)
    return a @ (b[0] if b.shape[0] == 1 else b)


def _misfit(name: str, a: Tensor, b: Tensor, wanted: str) -> str:
    return f"`{name}` needs {wanted}, but is given {shape_words(event_shape(a))} and {shape_words(event_shape(b))}"


def _stack(*values: Tensor, context: Context) -> Tensor:
    numbers = align(*(_number(value, context) for value in values))
    shapes = {event_shape(value) for value in values if value.dim() > 1}
    if len(shapes) > 1:
        raise ShapeMismatch(sorted(shapes), "`stack` needs values of one shape, but is given "
                            + " and ".join(shape_words(shape) for shape in sorted(shapes)))
    whole = together(*numbers)
    ask(len(whole) * whole[0].numel(), context.device)
    return torch.stack(whole, dim=1)


def _concat(*values: Tensor, context: Context) -> Tensor:
    numbers = [_number(value if value.dim() > 1 else value.unsqueeze(1), context) for value in values]
    shapes = [event_shape(value) for value in values]
    if len({value.shape[2:] for value in numbers}) > 1:
        raise ShapeMismatch(shapes, "`concat` needs arrays that agree in all axes but the first, but is given "
                            + " and ".join(map(shape_words, shapes)))
    lanes = max(value.shape[0] for value in numbers)
    ask(sum(value[0].numel() for value in numbers) * lanes, context.device)
    return torch.cat([value.expand(lanes, *value.shape[1:]) for value in numbers], dim=1)


FILLED = {"zeros": 0.0, "ones": 1.0}  # arrays that are all the same, which are given with axes of size 1


def _filled(name: str, entry: float) -> Body:
    def call(*sizes: int, context: Context) -> Tensor:
        if any(size < 0 for size in sizes):
            raise FunctionProblem("P0305", f"a size of `{name}` must be at least 0, but is {min(sizes)}")
        ask(math.prod(sizes), context.device)
        return torch.full((1, *(1 for _ in sizes)), entry, dtype=context.dtype, device=context.device)

    return call


def _arange(*bounds: int, context: Context) -> Tensor:
    start, stop = bounds if len(bounds) == 2 else (0, bounds[0])
    ask(stop - start, context.device)
    return torch.arange(start, max(start, stop), dtype=context.dtype, device=context.device).unsqueeze(0)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to full precision: x itself from where exp(-x) is below the rounding of x, also in float64."""
    return torch.nn.functional.softplus(x, threshold=40.0)


def _last(function: Callable[..., Any]) -> One:
    return lambda x: function(x, dim=-1)


def _sorted(x: Tensor) -> Tensor:
    """In increasing order; with something that is no number among them none of the places is known."""
    values = torch.sort(x, dim=-1, stable=True).values
    return values + 0 * values[..., -1:] if bool(values[..., -1:].detach().sum().isnan()) else values


def _placing(function: Callable[..., Tensor], **options: bool) -> One:
    """Places of entries along the last axis, as numbers."""
    return lambda x: function(x.detach(), dim=-1, **options).to(x.dtype)


BY_NAME = (
    "exp", "log", "log1p", "expm1", "sqrt", "abs", "sign", "floor", "ceil", "round", "sin", "cos", "tan", "atan",
    "tanh", "sinh", "cosh", "sigmoid", "logit", "relu", "erf", "lgamma", "digamma",
)

FUNCTION_CODE: dict[str, Body] = {
    **{name: _elementwise(getattr(torch, name)) for name in BY_NAME},
    "softplus": _elementwise(_softplus),
    "normcdf": _elementwise(torch.special.ndtr),
    "clamp": _clamp,
    "where": _where,
    "min": _reducing("min", lambda x: x.amin(1), minimum, filled=True),
    "max": _reducing("max", lambda x: x.amax(1), maximum, filled=True),
    "sum": _reducing("sum", lambda x: x.sum(1), torch.add, filled=False),
    "prod": _reducing("prod", lambda x: x.prod(1), torch.mul, filled=False),
    "mean": _mean,
    "any": _deciding(lambda x: x.any(1), torch.logical_or),
    "all": _deciding(lambda x: x.all(1), torch.logical_and),
    "cumsum": _along_last("cumsum", _last(torch.cumsum)),
    "softmax": _along_last("softmax", _last(torch.softmax)),
    "logsumexp": _along_last("logsumexp", _last(torch.logsumexp)),
    "argmax": _along_last("argmax", _placing(torch.argmax), filled=True),
    "argmin": _along_last("argmin", _placing(torch.argmin), filled=True),
    "argsort": _along_last("argsort", _placing(torch.argsort, stable=True)),
    "cumprod": _along_last("cumprod", _last(torch.cumprod)),
    "var": _spread("var", root=False),
    "std": _spread("std", root=True),
    "quantile": _quantile,
    **{name: _elementwise(code) for name, code in ONE.items()},
    **{name: _elementary(code) for name, code in TWO.items()},
    "sort": _along_last("sort", _sorted),
    "length": _length,
    "dot": _dot,
    "matmul": _matmul,
    "stack": _stack,
    "concat": _concat,
    **{name: _filled(name, entry) for name, entry in FILLED.items()},
    "arange": _arange,
}
