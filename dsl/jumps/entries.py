"""Draws of several numbers: what an expression makes of all of them together, and its pieces.

A kink splits an expression in two only where all numbers are on the same side of it: `relu(v)` is `v` or 0 number by number, but
`sum(relu(v))` is neither `sum(v)` nor `sum(0)`.  So what mixes numbers stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import cast

from ..names.scopes import nodes_in
from ..syntax import Argument, Arithmetic, Call, Expression, Index, Name, Node, Number, Power, Slice, Term, Unary, Vector
from ..tables.functions import FUNCTIONS, elementwise
from .reachable import is_number
from .solving import MOST_PIECES, WHOLE, Unsolved, by_element, call_of, changed, constant, less, names_of, pieces, put

HELD = "\1held "  # before the number of what stays whole


def any_entry(node: Expression, name: str, scalars: frozenset[str]) -> Expression:
    """The expression with some entry in place of the largest, the smallest, or the k-th smallest one (`max`, `min`, `sort`), if an
    array stands in it only there, and all else is a number."""
    parts = [cast(Expression, part) for part in nodes_in(node)]
    found = {part: inner for part in parts if (inner := _ordered(part)) is not None and name in names_of(inner)}
    places = [part for part in found if isinstance(part, Index)]
    if len(found) == 2 and len(places) == 1 and places[0].target in found:  # sort(v)[k]
        del found[places[0].target]
    if len(found) != 1:
        return node
    ((own, inner),) = found.items()
    if name in names_of(put(node, own, Number(0.0))) or not by_element(inner, name):
        return node
    return put(node, own, inner) if is_number(put(node, own, Name(name)), scalars | {name}) else node


def _ordered(node: Node) -> Expression | None:
    """The array one of whose entries it is, wherever it stands in their order; or all of them in order."""
    if isinstance(node, Index) and len(node.items) == 1 and not isinstance(node.items[0], Slice):
        return _ordered(node.target) if isinstance(node.target, Call) and node.target.function == "sort" else None
    if isinstance(node, Call) and node.function in ("max", "min", "sort") and len(node.arguments) == 1:
        return node.arguments[0].value
    return None


def written_out(node: Expression, scalars: frozenset[str]) -> Expression:
    """The expression with sums, means, products, the largest and the smallest of numbers that are written out as such."""

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or part.function not in ("sum", "mean", "prod", "max", "min") or len(part.arguments) != 1:
            return None
        given = part.arguments[0].value
        if not isinstance(given, Vector) or len(given.items) < 2 or not all(is_number(item, scalars) for item in given.items):
            return None
        items = [written_out(item, scalars) for item in given.items]
        if part.function in ("max", "min"):
            return replace(part, arguments=tuple(Argument(None, item) for item in items))
        rest = tuple(Term("*" if part.function == "prod" else "+", item) for item in items[1:])
        made = Arithmetic(items[0], rest)
        return Arithmetic(made, (Term("/", Number(float(len(items)))),)) if part.function == "mean" else made

    return cast(Expression, changed(node, change))


def spread_out(node: Expression, name: str, scalars: frozenset[str]) -> Expression:
    """The expression with the variance, and the logarithm of the sum of exponentials, of numbers that are written out, in one of
    which a name stands, as a function of that one beside the others."""

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or part.function not in ("var", "std", "logsumexp") or len(part.arguments) != 1:
            return None
        given = part.arguments[0].value
        items = given.items if isinstance(given, Vector) else ()
        mine = [place for place, item in enumerate(items) if name in names_of(item)]
        if len(mine) != 1 or len(items) < 2 or not all(is_number(item, scalars) for item in items):
            return None
        own, others = items[mine[0]], tuple(item for place, item in enumerate(items) if place != mine[0])
        if part.function == "logsumexp":
            rest = others[0] if len(others) == 1 else call_of("logsumexp", Vector(others))
            return Arithmetic(rest, (Term("+", call_of("softplus", less(own, rest))),))
        made = _variance(own, others)
        return made if part.function == "var" else call_of("sqrt", made)

    return cast(Expression, changed(node, change))


def _variance(own: Expression, others: tuple[Expression, ...]) -> Expression:
    """Of a number and of others."""
    n = float(len(others))
    mean = Arithmetic(_total(others), (Term("/", Number(n)),))
    around = _total(tuple(Power(less(one, mean), Number(2.0)) for one in others))
    moved = Arithmetic(Power(less(own, mean), Number(2.0)), (Term("*", Number(n / (n + 1))),))
    return Arithmetic(Arithmetic(around, (Term("+", moved),)), (Term("/", Number(n)),))


def _total(several: tuple[Expression, ...]) -> Expression:
    return Arithmetic(Number(0.0), tuple(Term("+", one) for one in several))


def mixes(node: Call, scalars: frozenset[str]) -> bool:
    """Whether a function makes one number of several of an array, which is not written out in its place."""
    if node.function not in FUNCTIONS or elementwise(node.function, len(node.arguments)):
        return False
    given = [argument.value for argument in node.arguments]
    return not all(all(is_number(item, scalars) for item in (one.items if isinstance(one, Vector) else (one,))) for one in given)


@lru_cache(maxsize=4096)  # a product asks it of its factors, and so on down
def simpler(node: Expression) -> Expression:
    """The expression without what is multiplied by the number 0, and without terms that take each other away."""
    found: Expression = changed(node, _nothing)
    return cast(Expression, changed(found, _settled))


def _nothing(node: Expression) -> Expression | None:
    """A product of which a factor is the number 0."""
    if not isinstance(node, Arithmetic) or any(term.operator not in "*/" for term in node.rest):
        return None
    factors = [node.first, *(term.operand for term in node.rest if term.operator == "*")]
    return Number(0.0) if any(constant(simpler(factor)) == 0 for factor in factors) else None


def _settled(node: Expression) -> Expression | None:
    """A sum of sums as one, each term in it as often as it is added rather than taken away."""
    if not isinstance(node, Arithmetic) or node.rest[0].operator not in "+-" or WHOLE in names_of(node):  # which may be several
        return None
    counts: dict[Expression, int] = {}
    terms = list(_terms(node, 1))
    for term, sign in terms:
        counts[term] = counts.get(term, 0) + sign
    if all(abs(count) == sum(term == other for other, _ in terms) for term, count in counts.items()):
        return None  # nothing takes anything away
    made: Expression = Number(0.0)
    left = [(term, 1 if count > 0 else -1) for term, count in counts.items() for _ in range(abs(count))]
    if left:
        made = Arithmetic(made, tuple(Term("+" if sign > 0 else "-", term) for term, sign in left))
    return made


def _terms(node: Expression, sign: int) -> Iterator[tuple[Expression, int]]:
    if isinstance(node, Arithmetic) and node.rest[0].operator in "+-":
        yield from _terms(node.first, sign)
        for term in node.rest:
            yield from _terms(term.operand, sign if term.operator == "+" else -sign)
    elif isinstance(node, Unary) and node.operator == "-":
        yield from _terms(node.operand, -sign)
    else:
        yield node, sign


def split(node: Expression, name: str, scalars: frozenset[str]) -> list[Expression]:
    """The pieces of an expression of a draw, some of which it is; a sum of whole numbers is some whole number."""
    held: dict[Expression, str] = {}

    def hold(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or name not in names_of(part) or not mixes(part, scalars):
            return None
        inner = part.arguments[0].value
        if part.function in ("argmax", "argmin"):  # whose own jumps are carried as such
            return Name(WHOLE)
        if part.function == "sum" and len(part.arguments) == 1 and all(map(_whole, split(inner, name, scalars))):
            return Name(WHOLE)
        return Name(held.setdefault(part, f"{HELD}{len(held)}"))

    found = pieces(changed(node, hold), name)
    for place in held.values():
        found = [piece for one in found for piece in pieces(one, place)]
        if len(found) > MOST_PIECES:
            raise Unsolved(node, "it has too many pieces")
    back = {place: part for part, place in held.items()}
    made = [changed(one, lambda part: back.get(part.id) if isinstance(part, Name) else None) for one in found]
    return list(dict.fromkeys(one if name in names_of(shorter := simpler(one)) else shorter for one in made))


def _whole(node: Expression) -> bool:
    number = constant(node)
    return node == Name(WHOLE) or (number is not None and number % 1 == 0)


__all__ = ["any_entry", "simpler", "split", "spread_out", "written_out"]
