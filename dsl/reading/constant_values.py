"""Constant expressions of numbers, `pi` and `inf`, worked out while a tree is built."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..syntax import (
    Arithmetic,
    Expression,
    Name,
    Number,
    Power,
    Unary,
)
from ..tables.constants import CONSTANTS

OPERATIONS: dict[str, Callable[[float, float], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod, "^": operator.pow,
}  # fmt: skip


def constant_value(node: Expression) -> float | None:
    """The value of a constant expression of numbers, `pi` and `inf`, or None."""
    match node:
        case Number():
            return node.value
        case Name(id=name):
            return CONSTANTS.get(name)
        case Unary(operator="-", operand=operand):
            value = constant_value(operand)
            return None if value is None else -value
        case Power(base=base, exponent=exponent):
            return _apply("^", constant_value(base), constant_value(exponent))
        case Arithmetic():
            total = constant_value(node.first)
            for term in node.rest:
                total = _apply(term.operator, total, constant_value(term.operand))
            return total
        case _:
            return None


def _apply(sign: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    try:
        result = OPERATIONS[sign](left, right)
    except (ArithmeticError, ValueError):
        return None
    return result if isinstance(result, float) else None  # (-1)^0.5 is complex
