"""Arithmetic, comparison and truth of values: Python numbers stay Python numbers, tensors keep their lane axis in front."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .broadcast import align
from .kernels import combined, to_number
from .kernels import compare as fast_compare
from .singular import divide, multiply, power

Plain = float | bool
Operand = float | bool | Tensor


def _modulo(a: Any, b: Any) -> Tensor:
    """`a % b` with the sign of b, differentiable in both (torch.remainder is not in b)."""
    if isinstance(b, Tensor) and b.requires_grad:
        result: Tensor = a - b * torch.floor((a.detach() if isinstance(a, Tensor) else a) / b.detach())
        return result
    return torch.remainder(a, b)


@cache
def held_between(dtype: torch.dtype) -> tuple[float, float]:
    """Between what absolute values a Python number must lie to be one of the dtype, and neither 0 nor infinite there."""
    limits = torch.finfo(dtype)
    return (0.0, math.inf) if dtype == torch.float64 else (limits.tiny, limits.max)


def filled(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number as a tensor `[1]`; what the dtype cannot hold is infinite."""
    if math.isfinite(value) and abs(value) > torch.finfo(dtype).max:
        value = math.copysign(math.inf, value)
    return torch.full((1,), value, dtype=dtype, device=device)


_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod, "^": operator.pow,
}
_TENSOR: dict[str, Callable[[Any, Any], Any]] = {
    "+": torch.add, "-": torch.sub,
}
_COMPARE_PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}
_COMPARE: dict[str, Callable[[Any, Any], Tensor]] = {
    "<": torch.lt, "<=": torch.le, ">": torch.gt, ">=": torch.ge, "==": torch.eq, "!=": torch.ne,
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def calculate(symbol: str, a: Operand, b: Operand, dtype: torch.dtype, safe: bool) -> Operand:
    """`a symbol b` for ``+ - * / % ^``, elementwise; raises ShapeMismatch."""
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        return _calculate_plain(symbol, a, b)
    if isinstance(a, Tensor):
        if a.dtype != dtype:
            a = to_number(a, dtype)
        if isinstance(b, Tensor):
            if b.dtype != dtype:
                b = to_number(b, dtype)
            if a.dim() + b.dim() > 2:
                a, b = align(a, b)
        elif b is True or b is False:
            b = float(b)
    else:
        a = float(a)  # also a truth value
        if isinstance(b, Tensor) and b.dtype != dtype:
            b = to_number(b, dtype)
    if symbol == "/":
        return divide(a, b, safe)
    if symbol == "^":
        return power(a, b, safe)
    if symbol == "*":
        return multiply(a, b, safe)
    if symbol == "+" and not isinstance(a, Tensor):
        a, b = b, a
    elif symbol == "-" and not isinstance(a, Tensor):
        return torch.rsub(b, a)  # type: ignore[arg-type]
    if symbol == "%":
        return _modulo(a, b)
    return combined(_TENSOR[symbol], a, b)  # type: ignore[arg-type]


def _calculate_plain(symbol: str, a: Plain, b: Plain) -> float:
    """Python's arithmetic with IEEE's answers where Python raises."""
    x, y = float(a), float(b)
    try:
        result = _PLAIN[symbol](x, y)
    except ZeroDivisionError:
        if symbol == "^":
            return math.inf
        return math.nan if symbol == "%" or x == 0 or x != x else math.copysign(math.inf, x) * math.copysign(1.0, y)
    except OverflowError:
        return -math.inf if symbol == "^" and x < 0 and y % 2 == 1 else math.inf
    return math.nan if isinstance(result, complex) else float(result)


def compare(symbol: str, a: Operand, b: Operand) -> bool | Tensor:
    """`a symbol b` for ``< <= > >= == !=``, elementwise; raises ShapeMismatch."""
    if isinstance(a, Tensor):
        if isinstance(b, Tensor) and a.dim() + b.dim() > 2:
            a, b = align(a, b)
        return fast_compare(_COMPARE[symbol], a.detach(), b.detach() if isinstance(b, Tensor) else b)
    if isinstance(b, Tensor):
        return fast_compare(_COMPARE[_MIRRORED[symbol]], b.detach(), a)
    return _COMPARE_PLAIN[symbol](a, b)


def negative(a: Operand, dtype: torch.dtype) -> Operand:
    """`-a`."""
    if isinstance(a, Tensor):
        return torch.neg(to_number(a, dtype))
    return -float(a)


def truth(a: Operand) -> bool | Tensor:
    """A number is true where it is not 0."""
    if isinstance(a, Tensor):
        return a if a.dtype == torch.bool else fast_compare(torch.ne, a.detach(), 0.0)
    return bool(a)


def opposite(a: Operand) -> bool | Tensor:
    """`not a`."""
    held = truth(a)
    return torch.logical_not(held) if isinstance(held, Tensor) else not held


def numeric(a: Operand, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A value as a tensor `[lanes or 1, *event]` of the run's dtype."""
    if isinstance(a, Tensor):
        return to_number(a, dtype)
    return filled(float(a), dtype, device)


def as_tensor(a: Operand, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A value as a tensor `[lanes or 1, *event]`; truth values stay what they are."""
    if isinstance(a, Tensor):
        return a
    return torch.full((1,), a, dtype=torch.bool, device=device) if isinstance(a, bool) else filled(a, dtype, device)
