"""The function table: one row per built-in function, facts only (the code is in `runtime/arrays/function_code.py`).

Smoothness is per argument, the last entry repeating: SMOOTH is differentiable, KINK continuous and differentiable
almost everywhere, JUMP neither.  `tests/test_functions.py` checks every claim numerically.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..syntax import Call
from ..text.diagnostics import Diagnostic
from . import ranges
from .ranges import ANY, INF, NONNEGATIVE, POSITIVE, SIGNED_UNIT, UNIT, Bounds, always, constant, monotone, union

MOST_AXES = 8


_ANYWHERE = always(ANY)


class Smoothness(Enum):
    """How a function behaves in one argument."""

    SMOOTH = "smooth"
    KINK = "kink"
    JUMP = "jump"


@dataclass(frozen=True)
class FunctionRow:
    """One function; the fields as in docs/architecture.md.

    `bend`: where the only kink is (None: anywhere)
    `singular_at`: places where the derivative is not integrable although the values meet from both sides
    (`log` at 0, `logit` at 0 and 1).  `pole`: goes through infinity where a guard changes sign.  `adds`: the result is a
    sum over the arguments' entries.  `polynomial`: it is one in its arguments, or in those that are smooth.
    `levels`: the infinities at which it is finite all the same (`exp` at -inf), so that it hides an infinite slope.
    `root`: it is steep at 0, so that what comes down to 0 there may have a kink (`sqrt(x^2)`);
    `equal`: so it is where no entry differs from the others, or where a matrix loses its rank.
    `regular`: matrices with a pole where their determinant is 0.
    """

    name: str
    least: int
    most: int | None
    smoothness: tuple[Smoothness, ...]
    discrete: bool = False
    structural: tuple[int, ...] = ()
    valueless: bool = False
    range: Callable[..., Bounds] = _ANYWHERE
    singular_at: tuple[float, ...] = ()
    bend: float | None = None
    pole: bool = False
    adds: bool = False
    polynomial: bool = False
    levels: tuple[float, ...] = ()
    root: bool = False
    equal: bool = False
    regular: tuple[int, ...] = ()
    summary: str = ""
    signature: str = ""

    def smoothness_of(self, position: int) -> Smoothness:
        """Smoothness in the argument at `position` (from 0)."""
        return self.smoothness[min(position, len(self.smoothness) - 1)]


def check_arity(row: FunctionRow, call: Call) -> list[Diagnostic]:
    """What is wrong with the arguments of a call of a built-in function (P0203, P0204)."""
    note = (f"it is called as {row.signature}",)
    problems = [
        Diagnostic(
            "P0204", f"`{row.name}` takes its arguments by position, not by name", argument.span, notes=note,
            help=_unnamed(row, str(argument.name)),
        )
        for argument in call.arguments if argument.name is not None
    ]
    given = len(call.arguments)
    if given < row.least or (row.most is not None and given > row.most):
        if row.most == row.least:
            wanted = "1 argument" if row.least == 1 else f"{row.least} arguments"
        elif given < row.least:
            wanted = f"at least {row.least} argument{'' if row.least == 1 else 's'}"
        else:
            wanted = f"at most {row.most} arguments"
        title = f"`{row.name}` takes {wanted}, but is given {given}"
        problems.append(Diagnostic("P0203", title, call.name_span, notes=note))
    return problems


def _unnamed(row: FunctionRow, name: str) -> str:
    """What to write for an argument that is given by name."""
    if name in ("axis", "dim", "axes", "keepdim", "keepdims"):
        return f"{row.name}(x) takes the whole array; the sums of the rows of a matrix m are matmul(m, ones(n))"
    return f"leave out `{name}=`: {row.signature}"


def _mapped(f: Callable[[float], float], low: float = -INF, high: float = INF) -> Callable[[Bounds], Bounds]:
    """The range of a nondecreasing function with the limits `low` and `high` at the infinities."""

    def extended(x: float) -> float:
        if math.isinf(x):
            return low if x < 0 else high
        try:
            return f(x)
        except (OverflowError, ValueError):
            return low if x < 0 else high

    return monotone(extended)


def _folded(one: Callable[[Bounds], Bounds], two: Callable[[Bounds, Bounds], Bounds]) -> Callable[..., Bounds]:
    """One argument is reduced, several are combined from the left."""

    def combined(*arguments: Bounds) -> Bounds:
        if len(arguments) == 1:
            return one(arguments[0])
        result = arguments[0]
        for other in arguments[1:]:
            result = two(result, other)
        return result

    return combined


def _product(a: Bounds) -> Bounds:
    """A product of some values of `a`, or of none (1)."""
    if a.low < 0:
        return ANY
    high, attained = (1.0, True) if a.high <= 1 else (INF, False)
    return Bounds(0.0, high, a.low == 0 and a.low_attained, attained)


def _sum_of_products(a: Bounds, b: Bounds) -> Bounds:
    return ranges.total(ranges.multiply(a, b))


def _from_to(*arguments: Bounds) -> Bounds:
    low = arguments[0].low if len(arguments) == 2 else 0.0
    return Bounds(low, max(arguments[-1].high, low), True, False)


def _log_sum(a: Bounds) -> Bounds:
    return Bounds(a.low, INF, a.low_attained)


def _clamped(x: Bounds, low: Bounds, high: Bounds) -> Bounds:
    return ranges.minimum(ranges.maximum(x, low), high)


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _log1p(a: Bounds) -> Bounds:
    return ranges.logarithm(ranges.add(a, constant(1)))


_SMOOTH, _KINK, _JUMP = (Smoothness.SMOOTH,), (Smoothness.KINK,), (Smoothness.JUMP,)
_AXES = tuple(range(MOST_AXES))
_SUM: dict[str, Any] = {"adds": True, "polynomial": True}
_HALF_PI = math.pi / 2
_BELOW, _ABOVE, _BOTH = (-INF,), (INF,), (-INF, INF)


def _one(name: str, smoothness: tuple[Smoothness, ...], summary: str, **facts: object) -> FunctionRow:
    """A function of one argument."""
    return FunctionRow(name, 1, 1, smoothness, summary=summary, signature=f"{name}(x)", **facts)  # type: ignore[arg-type]


_ELEMENTWISE = (
    _one("exp", _SMOOTH, "e to the power x", range=ranges.exponential, levels=_BELOW),
    _one("log", _SMOOTH, "natural logarithm", range=ranges.logarithm, singular_at=(0.0,)),
    _one("log1p", _SMOOTH, "log(1 + x), accurate for small x", range=_log1p, singular_at=(-1.0,)),
    _one("expm1", _SMOOTH, "exp(x) - 1, accurate for small x", range=_mapped(math.expm1, -1.0), levels=_BELOW),
    _one("sqrt", _SMOOTH, "square root", range=ranges.square_root, root=True),
    _one("abs", _KINK, "absolute value", range=ranges.absolute, bend=0.0),
    _one("sign", _JUMP, "-1, 0 or 1", discrete=True, range=_mapped(lambda x: float((x > 0) - (x < 0)), -1.0, 1.0)),
    _one("floor", _JUMP, "the largest whole number that is not above x", discrete=True, range=_mapped(math.floor)),
    _one("ceil", _JUMP, "the smallest whole number that is not below x", discrete=True, range=_mapped(math.ceil)),
    _one("round", _JUMP, "the nearest whole number, halves to the even one", discrete=True, range=_mapped(round)),
    _one("sin", _SMOOTH, "sine of an angle in radians", range=always(SIGNED_UNIT)),
    _one("cos", _SMOOTH, "cosine of an angle in radians", range=always(SIGNED_UNIT)),
    _one("tan", _SMOOTH, "tangent of an angle in radians", pole=True),
    _one("atan", _SMOOTH, "the angle whose tangent is x", range=_mapped(math.atan, -_HALF_PI, _HALF_PI), levels=_BOTH),
    _one("tanh", _SMOOTH, "hyperbolic tangent", range=_mapped(math.tanh, -1.0, 1.0), levels=_BOTH),
    _one("sinh", _SMOOTH, "hyperbolic sine", range=_mapped(math.sinh)),
    _one("cosh", _SMOOTH, "hyperbolic cosine", range=always(Bounds(1, INF, True))),
    _one("sigmoid", _SMOOTH, "1/(1 + exp(-x))", range=ranges.sigmoid, levels=_BOTH),
    _one("logit", _SMOOTH, "log(x/(1 - x)), the inverse of sigmoid", singular_at=(0.0, 1.0)),
    _one("softplus", _SMOOTH, "log(1 + exp(x)), a smooth max(x, 0)", range=always(POSITIVE), levels=_BELOW),
    _one("relu", _KINK, "max(x, 0)", range=ranges.relu, bend=0.0, levels=_BELOW),
    _one(
        "normcdf", _SMOOTH, "the distribution function of a standard normal variable, as scipy.stats.norm.cdf",
        range=_mapped(_normal, 0.0, 1.0), levels=_BOTH,
    ),
    _one("erf", _SMOOTH, "the error function", range=_mapped(math.erf, -1.0, 1.0), levels=_BOTH),
    _one("lgamma", _SMOOTH, "logarithm of the absolute value of the Gamma function", pole=True, singular_at=(0.0,)),
    _one("digamma", _SMOOTH, "derivative of lgamma", pole=True, singular_at=(0.0,)),
    FunctionRow(
        "clamp", 3, 3, _KINK, range=_clamped, signature="clamp(x, low, high)", levels=_BOTH,
        summary="x, but not below `low` and not above `high`",
    ),
    FunctionRow(
        "where", 3, 3, (Smoothness.JUMP, Smoothness.SMOOTH), range=lambda _, a, b: ranges.join(a, b),
        polynomial=True, signature="where(c, a, b)", summary="a where c holds, else b, element by element",
    ),
)


def _reducing(name: str, smoothness: tuple[Smoothness, ...], summary: str, **facts: object) -> FunctionRow:
    """A function that reduces one array or combines several values elementwise."""
    signature = f"{name}(x) or {name}(a, b, ...)"
    return FunctionRow(name, 1, None, smoothness, summary=summary, signature=signature, **facts)  # type: ignore[arg-type]


_REDUCTIONS = (
    _reducing("min", _KINK, "the smallest entry, or the smallest of several", range=_folded(union, ranges.minimum), levels=_ABOVE),
    _reducing("max", _KINK, "the largest entry, or the largest of several", range=_folded(union, ranges.maximum), levels=_BELOW),
    _reducing("sum", _SMOOTH, "the sum of all entries, or of several values", range=_folded(ranges.total, ranges.add), **_SUM),
    _reducing("mean", _SMOOTH, "the mean of all entries, or of several values", range=union, **_SUM),
    _reducing(
        "prod", _SMOOTH, "the product of all entries, or of several", range=_folded(_product, ranges.multiply), polynomial=True,
    ),
    _reducing("any", _JUMP, "whether some entry is not 0", discrete=True, range=always(UNIT)),
    _reducing("all", _JUMP, "whether no entry is 0", discrete=True, range=always(UNIT)),
)

_ARRAYS = (
    _one("cumsum", _SMOOTH, "running sums along the last axis", range=ranges.total, polynomial=True),
    _one(
        "softmax", _SMOOTH, "exp(x) divided by its sum along the last axis", range=always(Bounds(0, 1, False, True)),
        levels=_BELOW,
    ),
    _one("logsumexp", _SMOOTH, "log(sum(exp(x))) along the last axis", range=_log_sum, levels=_BELOW),
    _one("argmax", _JUMP, "index of the largest entry along the last axis", discrete=True, range=always(NONNEGATIVE)),
    _one("argmin", _JUMP, "index of the smallest entry along the last axis", discrete=True, range=always(NONNEGATIVE)),
    _one(
        "argsort", _JUMP, "the indices that put the entries in increasing order along the last axis, as numpy.argsort",
        discrete=True, range=always(NONNEGATIVE),
    ),
    _one("cumprod", _SMOOTH, "running products along the last axis", range=_product, polynomial=True),
    _one(
        "var", _SMOOTH, "the variance of all entries, divided by n - 1 as in torch, R and Stan", range=always(NONNEGATIVE),
        polynomial=True,
    ),
    _one(
        "std", _SMOOTH, "the square root of var(x), the sample standard deviation", range=always(NONNEGATIVE),
        root=True, equal=True,
    ),
    FunctionRow(
        "quantile", 2, 2, _KINK, range=lambda x, _: x, signature="quantile(x, q)", levels=_BOTH,
        summary="the value below which the share q of all entries lies, on straight lines between them as in torch and NumPy",
    ),
    _one("sort", _KINK, "the entries in increasing order along the last axis", range=union, levels=_BOTH),
    _one("length", _SMOOTH, "the size of the first axis", discrete=True, valueless=True, range=always(NONNEGATIVE)),
    FunctionRow(
        "dot", 2, 2, _SMOOTH, range=_sum_of_products, signature="dot(a, b)", summary="the inner product of two vectors",
        **_SUM,
    ),
    FunctionRow(
        "matmul", 2, 2, _SMOOTH, range=_sum_of_products, polynomial=True, signature="matmul(a, b)",
        summary="the product of two matrices, or of a matrix and a vector",
    ),
    FunctionRow(
        "outer", 2, 2, _SMOOTH, range=ranges.multiply, polynomial=True, signature="outer(a, b)",
        summary="the matrix of the products of the entries of two vectors",
    ),
    FunctionRow(
        "transpose", 1, 1, _SMOOTH, range=union, polynomial=True, signature="transpose(m)", summary="a matrix with rows as columns",
    ),
    FunctionRow(
        "diag", 1, 1, _SMOOTH, range=lambda a: union(a, constant(0)), polynomial=True, signature="diag(x)",
        summary="the diagonal of a matrix; of a vector the matrix with that diagonal, as torch.diag",
    ),
    FunctionRow(
        "inverse", 1, 1, _SMOOTH, regular=(0,), signature="inverse(m)", summary="the inverse of a square matrix",
    ),
    FunctionRow(
        "solve", 2, 2, _SMOOTH, regular=(0,), signature="solve(a, b)",
        summary="x with matmul(a, x) = b, for a vector or a matrix b, as torch.linalg.solve",
    ),
    FunctionRow(
        "cholesky", 1, 1, _SMOOTH, root=True, equal=True, regular=(0,), signature="cholesky(m)",
        summary="the lower triangular factor l of a positive definite matrix: matmul(l, transpose(l)) = m",
    ),
    FunctionRow(
        "logdet", 1, 1, _SMOOTH, regular=(0,), signature="logdet(m)",
        summary="the logarithm of the determinant of a square matrix, which must be positive",
    ),
    FunctionRow(
        "zeros", 1, MOST_AXES, _JUMP, structural=_AXES, range=always(constant(0)), signature="zeros(n, ...)",
        summary="an array of zeros of the given sizes",
    ),
    FunctionRow(
        "ones", 1, MOST_AXES, _JUMP, structural=_AXES, range=always(constant(1)), signature="ones(n, ...)",
        summary="an array of ones of the given sizes",
    ),
    FunctionRow(
        "arange", 1, 2, _JUMP, structural=(0, 1), range=_from_to, signature="arange(stop) or arange(start, stop)",
        summary="the whole numbers from `start` (or 0) up to, not including, `stop`",
    ),
    FunctionRow(
        "stack", 1, None, _SMOOTH, range=union, polynomial=True, signature="stack(a, b, ...)",
        summary="values of one shape as the entries of a new first axis",
    ),
    FunctionRow(
        "concat", 1, None, _SMOOTH, range=union, polynomial=True, signature="concat(a, b, ...)",
        summary="arrays one after another along their first axis; a scalar counts as one entry",
    ),
)

FUNCTIONS: dict[str, FunctionRow] = {row.name: row for row in (*_ELEMENTWISE, *_REDUCTIONS, *_ARRAYS)}
_BY_ELEMENT = frozenset(row.name for row in _ELEMENTWISE)
_ALONG = frozenset(("cumsum", "cumprod", "softmax", "sort", "argsort"))
_BY_ELEMENT_OF_SEVERAL = frozenset(row.name for row in _REDUCTIONS)


def elementwise(name: str, count: int) -> bool:
    """Whether element i of the result of a built-in function of `count` arguments depends on their elements i only."""
    return name in _BY_ELEMENT or (name in _BY_ELEMENT_OF_SEVERAL and count > 1)


def keeps_shape(name: str) -> bool:
    """Whether a built-in function of one argument gives an array of its shape, though not element by element."""
    return name in _ALONG


def reduces(name: str, count: int) -> bool:
    """Whether a built-in function of `count` arguments makes one number of an array."""
    return (name in _BY_ELEMENT_OF_SEVERAL and count == 1) or (FUNCTIONS[name].adds and count == 2 and FUNCTIONS[name].most == 2)
