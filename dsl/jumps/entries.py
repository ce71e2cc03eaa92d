"""Draws of several numbers: what an expression makes of all of them together, and its pieces.

A kink splits an expression in two only where all numbers are on the same side of it: `relu(v)` is `v` or 0 number by number, but
`sum(relu(v))` is neither `sum(v)` nor `sum(0)`.  So what mixes numbers stays whole.
"""

from __future__ import annotations

from ..names.scopes import nodes_in
from ..syntax import Call, Expression, Name, Number, Vector
from ..tables.functions import FUNCTIONS, elementwise
from .reachable import is_number
from .solving import MOST_PIECES, WHOLE, Unsolved, changed, constant, names_of, pieces

HELD = "\1held "  # before the number of what stays whole


def any_entry(node: Expression, name: str, scalars: frozenset[str]) -> Expression:
    """The expression with some entry in place of the largest or smallest one, if an array stands in it only there, and all else is
    a number."""
    calls = [part for part in nodes_in(node) if isinstance(part, Call) and part.function in ("max", "min")]
    found = {call for call in calls if len(call.arguments) == 1 and name in names_of(call)}
    if len(found) != 1:
        return node
    (call,) = found
    if name in names_of(changed(node, lambda part: Number(0.0) if part == call else None)):
        return node
    made: Expression = changed(node, lambda part: call.arguments[0].value if part == call else None)
    return made if is_number(made, scalars | {name}) else node


def mixes(node: Call, scalars: frozenset[str]) -> bool:
    """Whether a function makes one number of several of an array, which is not written out in its place."""
    if node.function not in FUNCTIONS or elementwise(node.function, len(node.arguments)):
        return False
    given = [argument.value for argument in node.arguments]
    return not all(isinstance(one, Vector) and all(is_number(item, scalars) for item in one.items) for one in given)


def split(node: Expression, name: str, scalars: frozenset[str]) -> list[Expression]:
    """The pieces of an expression of a draw, some of which it is; a sum of whole numbers is some whole number."""
    held: dict[Expression, str] = {}

    def hold(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or name not in names_of(part) or not mixes(part, scalars):
            return None
        inner = part.arguments[0].value
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
    return list(dict.fromkeys(made))


def _whole(node: Expression) -> bool:
    number = constant(node)
    return node == Name(WHOLE) or (number is not None and number % 1 == 0)


__all__ = ["any_entry", "split"]
