"""From coordinates without bounds onto the support of a distribution, as expressions: T(u), and log |T'(u)| (summed over entries).

Of a number: itself, an exponential, a logistic function between two ends.  Of proportions (Dirichlet): breaking a stick, as in Stan
and `torch.distributions.StickBreakingTransform`; u = 0 is the middle.  Of the Cholesky factor of correlations (LKJCholesky):
z = tanh u are partial correlations (Lewandowski, Kurowicka and Joe 2009), and row i of the factor is

    L[i, j] = z[i, j] c[i, 0] ... c[i, j - 1],  L[i, i] = c[i, 0] ... c[i, i - 1],  c = sqrt(1 - z^2)

so that log |T'| is the sum of (i - j + 1) log c[i, j]: the density is over the entries below the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..syntax import Argument, Arithmetic, Call, Expression, Index, Name, Number, Term, Unary, Vector

Onto = tuple[tuple[tuple[str, Expression], ...], Expression, Expression | None]  # names that are set first, T(u), log |T'(u)|


@dataclass(frozen=True)
class Ends:
    """The ends of a support, as expressions (None: there is none)."""

    low: Expression | None
    high: Expression | None


def end(value: float) -> Expression | None:
    """A known end."""
    return Number(value) if math.isfinite(value) else None


def infinite(node: Expression) -> bool:
    """Whether an end is written as an infinity."""
    inner = node.operand if isinstance(node, Unary) else node
    return isinstance(inner, Name) and inner.id == "inf"


def between(raw: Name, ends: Ends) -> tuple[Expression, Expression | None]:
    """Onto the numbers between two ends."""
    if ends.low is None and ends.high is None:
        return raw, None
    if ends.low is not None and ends.high is not None:
        width = _sum(ends.high, ("-", ends.low))
        made = _sum(ends.low, ("+", Arithmetic(width, (Term("*", _call("sigmoid", raw)),))))
        slope = _sum(_call("log", width), ("-", _call("softplus", raw)), ("-", _call("softplus", Unary("-", raw))))
        return made, slope
    if ends.low is not None:
        return _sum(ends.low, ("+", _call("exp", raw))), raw
    assert ends.high is not None
    return _sum(ends.high, ("-", _call("exp", raw))), raw


def _stick(raw: Name, count: int) -> Onto:
    """Onto `count` + 1 proportions."""
    v, left = Name(f"{raw.id}.v"), Name(f"{raw.id}.left")  # of what is left, sigmoid(v) is taken; log of what is left of it then
    first = (
        (v.id, _sum(raw, ("-", _numbers([math.log(count - place) for place in range(count)])))),
        (left.id, Unary("-", _call("softplus", v))),
    )
    own = _matrix(count + 1, count, lambda row, column: float(row == column))
    until = _matrix(count + 1, count, lambda row, column: float(column <= row))
    logs = _sum(_call("matmul", own, v), ("+", _call("matmul", until, left)))
    weights = _numbers([float(count + 1 - place) for place in range(count)])
    return first, _call("exp", logs), _sum(v, ("+", Arithmetic(weights, (Term("*", left),))))


def _factor(raw: Name, count: int) -> Onto:
    """Onto the factor with `count` entries below the diagonal."""
    size = (1 + math.isqrt(1 + 8 * count)) // 2
    z, c = Name(f"{raw.id}.z"), Name(f"{raw.id}.c")  # partial correlations, and log sqrt(1 - z^2)
    twice = Arithmetic(Number(2.0), (Term("*", raw),))
    first = ((z.id, _call("tanh", raw)), (c.id, _sum(raw, ("-", _call("softplus", twice)), ("+", Number(math.log(2))))))

    def below(values: Name, diagonal: float) -> Expression:
        def entry(row: int, column: int) -> Expression:
            if column < row:
                place = row * (row - 1) // 2 + column
                return Index(values, (Number(float(place), str(place)),))
            return Number(diagonal if row == column else 0.0)

        return Vector(tuple(Vector(tuple(entry(row, column) for column in range(size))) for row in range(size)))

    before = _matrix(size, size, lambda row, column: float(row < column))
    made = Arithmetic(below(z, 1.0), (Term("*", _call("exp", _call("matmul", below(c, 0.0), before))),))
    weights = _numbers([float(row - column + 1) for row in range(size) for column in range(row)])
    return first, made, Arithmetic(weights, (Term("*", c),))


KNOTTED: dict[str, Callable[[Name, int], Onto]] = {"Dirichlet": _stick, "LKJCholesky": _factor}  # whose entries bind each other
COORDINATES: dict[str, Callable[[int], int]] = {  # how many there are, of so many entries along an axis
    "Dirichlet": lambda size: size - 1, "LKJCholesky": lambda size: size * (size - 1) // 2,
}


def coordinates(name: str, event: int, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the coordinates of a draw of that shape, of `event` axes; None: it is several that are made at once."""
    if name not in COORDINATES:
        return shape
    return (COORDINATES[name](shape[-1]),) if len(shape) == event else None


def _call(name: str, *nodes: Expression) -> Call:
    return Call(name, tuple(Argument(None, node) for node in nodes))


def _sum(first: Expression, *rest: tuple[str, Expression]) -> Arithmetic:
    return Arithmetic(first, tuple(Term(sign, node) for sign, node in rest))


def _numbers(values: list[float]) -> Vector:
    return Vector(tuple(map(Number, values)))


def _matrix(rows: int, columns: int, entry: Callable[[int, int], float]) -> Vector:
    return Vector(tuple(Vector(tuple(Number(entry(row, column)) for column in range(columns))) for row in range(rows)))


__all__ = ["KNOTTED", "Ends", "Onto", "between", "coordinates", "end", "infinite"]
