"""Where a value can lie: intervals with attained or unattained ends.

The analysis asks one thing of them: can a divisor, a logarithm's or a root's argument be zero, and is zero *inside* the
range (both signs occur), an *attained end* (`abs(x)`, `x^2`) or out of reach (`exp(x)`, a Gamma draw)?  A pathwise
derivative through `log(abs(x))` is not integrable although nothing jumps; through `log(exp(x))` it is fine.
Sound but not sharp: a range may be too wide, never too narrow.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

INF = math.inf
LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Bounds:
    """All reals between `low` and `high`; `low_attained`/`high_attained` say whether the ends belong to it."""

    low: float = -INF
    high: float = INF
    low_attained: bool = False
    high_attained: bool = False

    def __post_init__(self) -> None:
        """What is worked out beyond the largest number lies above it, and what is undefined may lie anywhere."""
        if not self.low <= self.high:
            object.__setattr__(self, "low", -INF)
            object.__setattr__(self, "high", INF)
        if self.low == INF:
            object.__setattr__(self, "low", LARGEST)
        if self.high == -INF:
            object.__setattr__(self, "high", -LARGEST)

    @property
    def crosses_zero(self) -> bool:
        """Both signs can occur."""
        return self.low < 0 < self.high

    def touches(self, point: float) -> bool:
        """`point` is an end that can be reached (and not the only value)."""
        low, high = self.low == point and self.low_attained, self.high == point and self.high_attained
        return low != high

    @property
    def touches_zero(self) -> bool:
        """Zero is an end that can be reached."""
        return self.touches(0)

    @property
    def has_zero(self) -> bool:
        """Zero is possible."""
        return self.crosses_zero or self.touches_zero or self.low == self.high == 0

    def within(self, other: Bounds) -> bool:
        """Whether every value of this range lies in `other`."""
        low = self.low > other.low or (self.low == other.low and (other.low_attained or not self.low_attained))
        high = self.high < other.high or (self.high == other.high and (other.high_attained or not self.high_attained))
        return low and high


ANY = Bounds()
POSITIVE = Bounds(0, INF)
NONNEGATIVE = Bounds(0, INF, True, False)
UNIT_OPEN = Bounds(0, 1)
UNIT = Bounds(0, 1, True, True)
SIGNED_UNIT = Bounds(-1, 1, True, True)


def constant(value: float) -> Bounds:
    """The range of a number."""
    return Bounds(value, value, True, True) if math.isfinite(value) else Bounds(-INF, INF)


def join(a: Bounds, b: Bounds) -> Bounds:
    """The smallest range that holds both."""
    low, low_attained = min((a.low, not a.low_attained), (b.low, not b.low_attained))
    high, high_attained = max((a.high, a.high_attained), (b.high, b.high_attained))
    return Bounds(low, high, not low_attained, high_attained)


def widen(before: Bounds, after: Bounds) -> Bounds:
    """A bound that moved between two rounds of a loop goes to zero if that still bounds it, else to infinity."""
    low, low_attained = before.low, before.low_attained
    if (after.low, not after.low_attained) < (low, not low_attained):
        low, low_attained = (0.0, True) if after.low >= 0 else (-INF, False)
    high, high_attained = before.high, before.high_attained
    if (after.high, after.high_attained) > (high, high_attained):
        high, high_attained = (0.0, True) if after.high <= 0 else (INF, False)
    return Bounds(low, high, low_attained, high_attained)


def negate(a: Bounds) -> Bounds:
    return Bounds(-a.high, -a.low, a.high_attained, a.low_attained)


def add(a: Bounds, b: Bounds) -> Bounds:
    return Bounds(a.low + b.low, a.high + b.high, a.low_attained and b.low_attained, a.high_attained and b.high_attained)


def subtract(a: Bounds, b: Bounds) -> Bounds:
    return add(a, negate(b))


def _times(x: float, y: float) -> float:
    return 0.0 if x == 0 or y == 0 else x * y


def multiply(a: Bounds, b: Bounds) -> Bounds:
    ends = [
        (_times(x, y), (p and q) or (x == 0 and p) or (y == 0 and q))
        for x, p in ((a.low, a.low_attained), (a.high, a.high_attained))
        for y, q in ((b.low, b.low_attained), (b.high, b.high_attained))
    ]
    low = min(value for value, _ in ends)
    high = max(value for value, _ in ends)
    zero = a.has_zero or b.has_zero
    return Bounds(
        low, high, any(p for value, p in ends if value == low) or (low == 0 and zero),
        any(p for value, p in ends if value == high) or (high == 0 and zero),
    )


def divide(a: Bounds, b: Bounds) -> Bounds:
    if b.has_zero:
        return ANY
    low = 0.0 if math.isinf(b.high) else 1 / b.high if b.high else -INF
    high = 0.0 if math.isinf(b.low) else 1 / b.low if b.low else INF
    return multiply(a, Bounds(low, high, b.high_attained and low != 0, b.low_attained and high != 0))


def power(a: Bounds, b: Bounds) -> Bounds:
    if b.low == b.high:
        exponent = b.low
        if exponent == 0:
            return constant(1)
        if exponent < 0:
            return divide(constant(1), power(a, constant(-exponent)))
        if exponent == int(exponent) and int(exponent) % 2 == 0:
            return monotone(lambda x: _power(x, exponent))(absolute(a))
        if exponent == int(exponent):
            return monotone(lambda x: math.copysign(_power(abs(x), exponent), x))(a)
        positive = Bounds(max(a.low, 0), max(a.high, 0), a.low_attained or a.low < 0, a.high_attained)
        return monotone(lambda x: _power(x, exponent))(positive)
    if a.low > 0 or (a.low == 0 and not a.low_attained):
        return POSITIVE
    return NONNEGATIVE if a.low >= 0 else ANY


def _power(x: float, exponent: float) -> float:
    try:
        return float(x**exponent)
    except OverflowError:
        return INF


def absolute(a: Bounds) -> Bounds:
    if a.low >= 0:
        return a
    if a.high <= 0:
        return negate(a)
    if -a.low == a.high:
        return Bounds(0, a.high, True, a.low_attained or a.high_attained)
    return Bounds(0, max(-a.low, a.high), True, a.low_attained if -a.low > a.high else a.high_attained)


def monotone(f: Callable[[float], float]) -> Callable[[Bounds], Bounds]:
    """The range of a nondecreasing function, defined on the extended reals, of one argument."""

    def image(a: Bounds) -> Bounds:
        low, high = f(a.low), f(a.high)
        return Bounds(low, high, a.low_attained and math.isfinite(low), a.high_attained and math.isfinite(high))

    return image


def exponential(a: Bounds) -> Bounds:
    return monotone(lambda x: 0.0 if x == -INF else INF if x > 700 else math.exp(x))(a)


def logarithm(a: Bounds) -> Bounds:
    return monotone(lambda x: -INF if x <= 0 else INF if x == INF else math.log(x))(a)


def square_root(a: Bounds) -> Bounds:
    positive = Bounds(max(a.low, 0.0), max(a.high, 0.0), a.low_attained or a.low < 0, a.high_attained)
    return monotone(lambda x: 0.0 if x <= 0 else math.sqrt(x))(positive)


def maximum(a: Bounds, b: Bounds) -> Bounds:
    low, low_attained = max((a.low, a.low_attained), (b.low, b.low_attained))
    high, high_attained = max((a.high, a.high_attained), (b.high, b.high_attained))
    if a.low == b.low:
        low_attained = a.low_attained and b.low_attained
    return Bounds(low, high, low_attained, high_attained)


def minimum(a: Bounds, b: Bounds) -> Bounds:
    return negate(maximum(negate(a), negate(b)))


def relu(a: Bounds) -> Bounds:
    return maximum(a, constant(0))


def sigmoid(_: Bounds) -> Bounds:
    return UNIT_OPEN


def always(result: Bounds) -> Callable[..., Bounds]:
    """A function whose values lie in `result` whatever its arguments."""
    return lambda *_: result


def union(*arguments: Bounds) -> Bounds:
    """A function that hands on values of its arguments (`concat`, `stack`, `sort`, `min` of a vector)."""
    result = arguments[0]
    for other in arguments[1:]:
        result = join(result, other)
    return result


def total(a: Bounds) -> Bounds:
    """A sum of one or more values of `a` (or of none: 0)."""
    return Bounds(
        0.0 if a.low >= 0 else -INF, 0.0 if a.high <= 0 else INF, a.low_attained if a.low == 0 else a.low > 0,
        a.high_attained if a.high == 0 else a.high < 0,
    )
