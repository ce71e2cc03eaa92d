"""How many outcomes the sampling sites have, as far as the text and the given values tell: for `explain`, which runs nothing.

A walk over the statements keeps of every name its shape, and its value where that is one number.  What hangs on a draw has
no value; what is assigned in a loop or a branch has none after it.  Counts are logarithms (base 2) of how many lanes one run is
split into at a site, over all rounds of the loops that it stands in.  They are lower bounds: what is not known counts
nothing, and neither does a site in a branch, a `while` or a function, which may never be reached.  (Outcomes of probability 0
are left out when a program runs; here they are counted.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from ..names.resolved import Resolved, Site
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    Index,
    Logical,
    Name,
    Node,
    Number,
    Parameter,
    Power,
    Range,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    Unary,
    Vector,
    While,
    children,
    deep_recursion,
)
from ..tables.constants import CONSTANTS
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import elementwise, keeps_shape, reduces
from .exchangeable import find_exchangeable
from .reads import set_in

Shape = tuple[int, ...]
EXACTLY = 64
OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "%": lambda a, b: a % b,
}


@dataclass(frozen=True)
class Known:
    """What is known of a value: its shape (None: nothing), and of a number its value."""

    shape: Shape | None = None
    value: float | None = None


UNKNOWN = Known()


def number(value: float) -> Known:
    """A number."""
    return Known((), value)


@dataclass(frozen=True)
class Outcomes:
    """By site, the logarithm of how many outcomes one draw has (`once`), and of all its draws in one run (`whole`); a site that
    is in neither has unknown many."""

    once: Mapping[int, float]
    whole: Mapping[int, float]


def count_outcomes(
    resolved: Resolved, parameters: Mapping[str, Any], data: Mapping[str, Any], of: tuple[str, ...] = ()
) -> Outcomes:
    """Count, with the values that are given and the program's defaults; `of`: variables that are asked for at the end."""
    walk = _Walk(resolved, resolved.prepared.once("exchangeable", of, lambda: find_exchangeable(resolved, of)))
    for name, node in resolved.data.items():
        walk.bind(name, node.shape, node.default, data.get(name))
    for name, fact in resolved.parameters.items():
        walk.bind(name, fact.shape, None if fact.node is None else fact.node.default, parameters.get(name))
    with deep_recursion():
        walk.block(resolved.program.body, 1.0)
    return Outcomes(walk.once, walk.whole)


def _ways_to_share(elements: int, outcomes: int) -> float:
    """The logarithm of how many counts of outcomes there are."""
    if min(elements, outcomes) <= EXACTLY:
        return math.log2(math.comb(elements + outcomes - 1, elements))
    return (math.lgamma(elements + outcomes) - math.lgamma(elements + 1) - math.lgamma(outcomes)) / math.log(2)


def what_counts(parameters: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[object, ...]:
    """All that the count takes from given values, as a key."""
    return tuple((name, _given(value)) for values in (parameters, data) for name, value in values.items())


def _given(value: Any) -> Known:
    """What is known of a given value: its shape, and its value where that may be a size or a count."""
    shape = _shape_of(value)
    count = shape == () and isinstance(value, int | float) and float(value).is_integer()
    return Known(shape, float(value) if count else None)


def _shape_of(value: Any) -> Shape | None:
    """The shape of a number, nested lists, an array or a tensor."""
    if hasattr(value, "shape"):
        return tuple(int(size) for size in value.shape)
    if isinstance(value, list | tuple):
        inner = _shape_of(value[0]) if value else ()
        return None if inner is None else (len(value), *inner)
    return ()


def _broadcast(shapes: Sequence[Shape | None]) -> Shape | None:
    rank = 0
    for shape in shapes:
        if shape is None:
            return None
        rank = max(rank, len(shape))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes if shape is not None]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True)) if rank else ()


@dataclass
class _Walk:
    resolved: Resolved
    exchangeable: frozenset[int]
    known: dict[str, Known] = field(default_factory=dict)
    once: dict[int, float] = field(default_factory=dict)
    whole: dict[int, float] = field(default_factory=dict)

    def bind(self, name: str, sizes: tuple[Expression, ...], default: Expression | None, given: Any) -> None:
        """A parameter or data: its sizes may be names that it gives a value to."""
        found = UNKNOWN
        if given is not None:
            found = _given(given)
        elif default is not None:
            found = self.value(default)
        if found.shape is not None and len(found.shape) == len(sizes):
            for node, size in zip(sizes, found.shape, strict=True):
                if isinstance(node, Name) and node.id not in self.known:
                    self.known[node.id] = number(size)
        else:
            declared = [self.value(node).value for node in sizes]
            shape = None if None in declared else tuple(int(size) for size in declared if size is not None)
            found = Known(shape, None if sizes else found.value)
        self.known[name] = found

    # ----------------------------------------------------------------------------------------------- statements
    def block(self, node: Block, times: float | None) -> None:
        """Statements that are executed so many times (None: nobody knows)."""
        for statement in node.statements:
            self.statement(statement, times)

    def statement(self, node: Statement, times: float | None) -> None:
        """One statement."""
        match node:
            case Assign():
                self.draws(node.value, times)
                if not node.indices:
                    self.known[node.name] = self.value(node.value)
            case Sample():
                self.draws(node.distribution, times)
                shape = self.site(self.resolved.site_at[id(node)], times)
                if not node.indices:
                    self.known[node.name] = Known(shape)
            case For():
                rounds = self.rounds(node)
                if isinstance(node.iterable, Range):
                    self.known[node.variable] = Known(())
                else:
                    self.draws(node.iterable, times)
                    self.known[node.variable] = UNKNOWN
                self.apart((node.body,), None if times is None or rounds is None else times * rounds)
            case While():
                self.draws(node.condition, None)
                self.apart((node.body,), None)
            case If():
                for condition, _ in node.branches:
                    self.draws(condition, times)
                    times = None
                otherwise = (node.otherwise,) if node.otherwise is not None else ()
                self.apart((*(body for _, body in node.branches), *otherwise), None)
            case Function():
                before, self.known = self.known, {}
                self.apart((node.body,), None)
                self.known = before
            case Require():
                self.draws(node.condition, times)
            case Return():
                for value in node.values:
                    self.draws(value, times)
            case Parameter() | Data():
                pass
            case _:
                assert_never(node)

    def apart(self, blocks: tuple[Block, ...], times: float | None) -> None:
        """Blocks after which nothing is known of what they assign, and in loops before as well."""
        changed = {name for block in blocks for name in set_in(block)}
        for body in blocks:
            for name in changed:
                self.known[name] = UNKNOWN
            self.block(body, times)
        for name in changed:
            self.known[name] = UNKNOWN

    def rounds(self, node: For) -> float | None:
        """How many rounds a loop has."""
        if isinstance(node.iterable, Range):
            start = 0.0 if node.iterable.start is None else self.value(node.iterable.start).value
            stop = self.value(node.iterable.stop).value
            return None if start is None or stop is None else max(stop - start, 0.0)
        shape = self.value(node.iterable).shape
        return float(shape[0]) if shape else None

    # ---------------------------------------------------------------------------------------------------- sites
    def draws(self, node: Node, times: float | None) -> None:
        """The sites in an expression."""
        if isinstance(node, Draw):
            self.site(self.resolved.site_at[id(node)], times)
        for child in children(node):
            self.draws(child, None if isinstance(node, Conditional | Logical) else times)

    def site(self, site: Site, times: float | None) -> Shape | None:
        """Count a site; gives the shape of a draw."""
        arguments = {name: self.value(node) for name, node in self.resolved.arguments[id(site.distribution)].items()}
        row = DISTRIBUTIONS[site.distribution.name]
        batches: list[Shape | None] = []
        weights: Shape | None = None
        for name, known in arguments.items():
            own = row.parameter(name).event
            fits = known.shape is not None and len(known.shape) >= own
            batches.append(known.shape[: len(known.shape) - own] if known.shape is not None and fits else None)
            if own and known.shape is not None and fits:
                weights = known.shape[len(known.shape) - own :]
        if row.sized and row.sized in arguments:
            known = arguments[row.sized]
            weights = None if known.value is None or known.value < 1 else (int(known.value),) * row.event
        batch = _broadcast(batches)
        shape = batch if not row.event or batch is None else None if weights is None else (*batch, *weights[: row.event])
        count = row.outcomes({name: known.value for name, known in arguments.items()}, weights[-1] if weights else None)
        if count and batch is not None:
            alike = site.index in self.exchangeable
            ways = _ways_to_share(math.prod(batch), int(count)) if alike else math.log2(count) * math.prod(batch)
            self.once[site.index] = ways
            if times is not None:
                self.whole[site.index] = ways * times
        return shape

    # -------------------------------------------------------------------------------------------------- values
    def value(self, node: Expression) -> Known:
        """What is known of an expression."""
        match node:
            case Number():
                return number(node.value)
            case Boolean():
                return number(float(node.value))
            case Name():
                return self.known.get(node.id, number(CONSTANTS[node.id]) if node.id in CONSTANTS else UNKNOWN)
            case Unary():
                inner = self.value(node.operand)
                return Known(inner.shape, None if inner.value is None or node.operator != "-" else -inner.value)
            case Vector():
                shape = self.value(node.items[0]).shape if node.items else None
                return Known(None if shape is None else (len(node.items), *shape))
            case Arithmetic():
                return self.arithmetic(node)
            case Power():
                base, exponent = self.value(node.base), self.value(node.exponent)
                return Known(_broadcast([base.shape, exponent.shape]))
            case Index():
                shape = self.value(node.target).shape
                plain = not any(isinstance(item, Slice) or self.value(item).shape != () for item in node.items)
                return Known(shape[len(node.items):] if shape is not None and plain else None)
            case Call():
                return self.call(node)
            case Draw():
                return Known(self.site(self.resolved.site_at[id(node)], None))
            case Conditional():
                shapes = {self.value(node.then).shape, self.value(node.otherwise).shape}
                return Known(shapes.pop()) if len(shapes) == 1 else UNKNOWN
            case Comparison():
                return Known(_broadcast([self.value(node.left).shape, self.value(node.right).shape]))
            case Logical():
                return Known(())
            case _:
                return UNKNOWN

    def arithmetic(self, node: Arithmetic) -> Known:
        """Sums and products."""
        found = self.value(node.first)
        for term in node.rest:
            other = self.value(term.operand)
            value: float | None = None
            operation = OPERATIONS.get(term.operator)
            both = found.value is not None and other.value is not None and (other.value or term.operator in "+-*")
            if operation is not None and both:
                assert found.value is not None and other.value is not None
                value = operation(found.value, other.value)
            found = Known(_broadcast([found.shape, other.shape]), value)
        return found

    def call(self, node: Call) -> Known:
        """A built-in function, where its shape is plain."""
        arguments = [self.value(argument.value) for argument in node.arguments]
        values = [argument.value for argument in arguments]
        if node.function in self.resolved.functions or node.function in self.resolved.external:
            return UNKNOWN
        if node.function in ("zeros", "ones") and None not in values:
            return Known(tuple(int(value) for value in values if value is not None))
        if node.function == "arange" and None not in values:
            low, high = (0.0, values[0]) if len(values) == 1 else (values[0], values[1])
            assert low is not None and high is not None
            return Known((int(max(high - low, 0)),))
        if node.function == "length" and arguments[0].shape:
            return number(arguments[0].shape[0])
        if reduces(node.function, len(arguments)):
            return Known(())
        if elementwise(node.function, len(arguments)) or keeps_shape(node.function):
            return Known(_broadcast([argument.shape for argument in arguments]))
        return UNKNOWN
