"""What operations do at the ends of the ranges of their operands, 0 and infinity included.

A power of a positive base is smooth in its exponent, and a power of 0 is 1 at 0 and 0 from there on; a root is smooth until its
argument is 0; the hyperbolic tangent of an infinite slope is a step.  Each rule says where such an end is in reach.
`tests/test_ends.py` holds them, for every function, operator and density, against what the numbers do there.
"""

from __future__ import annotations

from ..names.scopes import nodes_in
from ..syntax import Call, Draw, Node
from ..tables.distributions import Domain
from ..tables.functions import FUNCTIONS, FunctionRow
from ..tables.ranges import INF, LARGEST, Bounds

HUGE = 3.4028234e38  # what is beyond the numbers of float32 is as good as infinite for a function that levels out

# Where an argument that comes near has an infinite derivative of the log density.
_SINGULAR: dict[Domain, tuple[float, ...]] = {
    Domain.POSITIVE: (0.0,), Domain.NONNEGATIVE: (0.0,), Domain.UNIT: (0.0, 1.0), Domain.UNIT_OPEN: (0.0, 1.0),
    Domain.UNIT_ABOVE_ZERO: (0.0, 1.0), Domain.UNIT_BELOW_ONE: (0.0, 1.0), Domain.PROBABILITIES: (0.0,),
    Domain.SIMPLEX_POSITIVE: (0.0,),
}

# Between what an argument is watched that may be infinite.
REACH: dict[Domain, tuple[float, float]] = {Domain.EXTENDED: (-LARGEST, LARGEST), Domain.LOGITS: (-LARGEST, INF)}


def at_an_end(domain: Domain, range: Bounds) -> bool:
    """Whether an argument comes as near as it likes to where the log density is singular in it."""
    return any(range.touches(end) for end in _SINGULAR.get(domain, ()))


def levels_between(row: FunctionRow) -> tuple[float, float]:
    """Between what an argument of a function is watched."""
    return -HUGE if -INF in row.levels else -INF, HUGE if INF in row.levels else INF


def to_the_zero(base: Bounds, exponent: Bounds) -> bool:
    """Whether a power may be one of 0 where its exponent is about to leave 0."""
    return base.has_zero and exponent.low <= 0 <= exponent.high


def may_bend(base: Bounds, exponent: Bounds) -> bool:
    """Whether a power may have a kink at 0, or worse, though its base is smooth: (x^4)^0.25 is abs(x).

    Where it comes down to 0 a smooth base goes like x^(2m) or faster, and x^(2me) has a second derivative that is a function
    for e > 1/2 whatever m is.
    """
    whole = exponent.low == exponent.high == int(exponent.low) if abs(exponent.low) < LARGEST else False
    return base.has_zero and exponent.low <= 0.5 and not whole


def square(one: Node, other: Node) -> bool:
    """Whether two factors are one value, by the text: names and arithmetic, in which nothing is drawn."""
    return one == other and all(_steady(node) for node in nodes_in(one))


def _steady(node: Node) -> bool:
    if isinstance(node, Call):
        return node.function in FUNCTIONS
    return not isinstance(node, Draw)
