"""Expressions as functions of one of their names: substitution, pieces without kinks, and where they are 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from typing import Any, cast

from ..names.scopes import nodes_in
from ..syntax import (
    Argument,
    Arithmetic,
    Call,
    Comparison,
    Conditional,
    Expression,
    Index,
    Logical,
    Name,
    Node,
    Number,
    Power,
    Slice,
    Term,
    Unary,
    Vector,
    children,
)
from ..tables.functions import FUNCTIONS, elementwise

MOST_PIECES = 64
WHOLE = "\1whole"  # some whole number
Change = Callable[[Expression], Expression | None]


class Unsolved(Exception):
    """An expression that cannot be solved; `node` is why."""

    def __init__(self, node: Node, why: str):
        self.node = node
        self.why = why
        super().__init__(why)


def names_of(node: Node) -> frozenset[str]:
    """The names that stand in an expression."""
    return frozenset(one.id for one in nodes_in(node) if isinstance(one, Name))


def by_element(node: Node, name: str) -> bool:
    """Whether each element of an expression depends on one element of what a name stands for."""
    if name not in names_of(node):
        return True
    match node:
        case Name():
            return True
        case Call():
            if node.function not in FUNCTIONS or not elementwise(node.function, len(node.arguments)):
                return False
        case Arithmetic() | Unary() | Power() | Comparison() | Logical() | Conditional() | Term() | Argument():
            pass
        case _:
            return False
    return all(by_element(part, name) for part in children(node))


def changed(node: Node, change: Change) -> Any:
    """The expression with parts replaced: those for which `change` gives something."""
    if (other := change(cast(Expression, node))) is not None:
        return other
    parts: dict[str, object] = {}
    for item in fields(node):
        held = getattr(node, item.name)
        made = _changed(held, change)
        if made is not held:
            parts[item.name] = made
    return replace(node, **parts) if parts else node  # type: ignore[arg-type]


def put(node: Expression, part: Expression, value: Expression) -> Expression:
    """The expression with a value in place of a part."""
    return cast(Expression, changed(node, lambda one: value if one == part else None))


def _changed(held: object, change: Change) -> object:
    if isinstance(held, Node):
        return changed(held, change)
    if isinstance(held, tuple):
        made = tuple(_changed(entry, change) for entry in held)
        return made if any(one is not other for one, other in zip(made, held, strict=True)) else held
    return held


def substituted(node: Expression, name: str, value: Expression) -> Expression:
    """The expression with a value in place of a name."""
    if isinstance(value, Vector):
        node = changed(node, lambda part: _entry(part, value) if isinstance(part, Index) and part.target == Name(name) else None)
    return cast(Expression, changed(node, lambda part: value if isinstance(part, Name) and part.id == name else None))


def _entry(place: Index, vector: Vector) -> Expression | None:
    """The entry of a vector at a place that stands in the text."""
    number = constant(place.items[0]) if len(place.items) == 1 and not isinstance(place.items[0], Slice) else None
    known = number is not None and number == int(number) and -len(vector.items) <= number < len(vector.items)
    return vector.items[int(number)] if known and number is not None else None


# --------------------------------------------------------------------------------------------------------- pieces
def pieces(node: Expression, name: str) -> list[Expression]:
    """Expressions without kinks and jumps in a name, one of which the expression is, wherever it is looked at."""
    if name not in names_of(node):
        return [node]
    found = list(dict.fromkeys(_pieces(node, name)))
    if len(found) > MOST_PIECES:
        raise Unsolved(node, "it has too many pieces")
    return found


def _pieces(node: Any, name: str) -> list[Any]:
    if name not in names_of(node):
        return [node]
    match node:
        case Comparison() | Logical():
            return [Number(0.0), Number(1.0)]
        case Unary(operator="not"):
            return [Number(0.0), Number(1.0)]
        case Conditional():
            return _few([*_pieces(node.then, name), *_pieces(node.otherwise, name)])
        case Call():
            return _of_call(node, name)
        case Index(target=Call(function="sort")) if (items := _items(node.target)) and name not in names_of(node.items[0]):
            return _few([piece for item in items for piece in _pieces(item, name)])
        case Arithmetic() if any(term.operator == "%" for term in node.rest):
            return _pieces(_without_remainders(node, name), name)
    parts = [(item.name, _ways(getattr(node, item.name), name)) for item in fields(node)]
    several = [(key, ways) for key, ways in parts if len(ways) > 1]
    if math.prod(len(ways) for _, ways in several) > MOST_PIECES:
        raise Unsolved(node, "it has too many pieces")
    base = replace(node, **{key: ways[0] for key, ways in parts})
    return [
        replace(base, **dict(zip((key for key, _ in several), chosen, strict=True))) for chosen in product(*(w for _, w in several))
    ]


def _without_remainders(node: Arithmetic, name: str) -> Expression:
    """A chain in which `a % b` is `a - b*(some whole number)`."""
    value = node.first
    for term in node.rest:
        if term.operator == "%" and name in names_of(value) | names_of(term.operand):
            value = less(value, Arithmetic(term.operand, (Term("*", Name(WHOLE)),)))
        else:
            value = Arithmetic(value, (term,))
    return value


def _few(found: list[Any]) -> list[Any]:
    found = list(dict.fromkeys(found))
    if len(found) > MOST_PIECES:
        raise Unsolved(found[0], "it has too many pieces")
    return found


def _ways(held: object, name: str) -> list[Any]:
    if isinstance(held, Node):
        return _pieces(held, name)
    if isinstance(held, tuple):
        ways = [_ways(entry, name) for entry in held]
        if math.prod(len(one) for one in ways) > MOST_PIECES:
            raise Unsolved(Number(0.0), "it has too many pieces")
        return [tuple(chosen) for chosen in product(*ways)]
    return [held]


def _items(node: Expression) -> tuple[Expression, ...]:
    """The numbers of an array that is written out as what a function is given first."""
    inner = node.arguments[0].value if isinstance(node, Call) else node
    return inner.items if isinstance(inner, Vector) else ()


def _between(items: tuple[Expression, ...], share: float) -> list[Expression]:
    """What the value below which a share of numbers lies may be: one of them, or on the line between two."""
    place = share * (len(items) - 1)
    part = place - math.floor(place)
    if not part:
        return list(items)
    return [
        Arithmetic(Arithmetic(Number(1 - part), (Term("*", low),)), (Term("+", Arithmetic(Number(part), (Term("*", high),))),))
        for low in items for high in items if low is not high
    ]


def _of_call(node: Call, name: str) -> list[Any]:
    given = [argument.value for argument in node.arguments]
    match node.function:
        case "floor" | "ceil" | "round" if len(given) == 1:
            return [Name(WHOLE)]
        case "abs":
            return [sign for piece in _pieces(given[0], name) for sign in (piece, Unary("-", piece))]
        case "relu":
            return [*_pieces(given[0], name), Number(0.0)]
        case "max" | "min" if len(given) > 1:
            return [piece for one in given for piece in _pieces(one, name)]
        case "clamp" if len(given) == 3:
            return [piece for one in given for piece in _pieces(one, name)]
        case "where" if len(given) == 3:
            return [piece for one in given[1:] for piece in _pieces(one, name)]
        case "sign" if len(given) == 1:
            return [Number(-1.0), Number(0.0), Number(1.0)]
        case "quantile" if (items := _items(node)) and (share := constant(given[1])) is not None:
            return _few([piece for one in _between(items, share) for piece in _pieces(one, name)])
    inner = [_pieces(one, name) for one in given]
    if math.prod(len(one) for one in inner) > MOST_PIECES:
        raise Unsolved(node, "it has too many pieces")
    return [
        replace(node, arguments=tuple(replace(a, value=v) for a, v in zip(node.arguments, chosen, strict=True)))
        for chosen in product(*inner)
    ]


# -------------------------------------------------------------------------------------------------------- solving
def affine(node: Expression, name: str) -> bool:
    """Whether it is an affine function of a name, element by element."""
    if name not in names_of(node):
        return True
    match node:
        case Name():
            return True
        case Unary(operator="-"):
            return affine(node.operand, name)
        case Arithmetic():
            parts = node.operands
            if node.rest[0].operator in "+-":
                return all(affine(part, name) for part in parts)
            if any(term.operator == "%" or (term.operator == "/" and name in names_of(term.operand)) for term in node.rest):
                return False
            return sum(name in names_of(part) for part in parts) == 1 and all(affine(part, name) for part in parts)
    return False


def less(one: Expression, other: Expression) -> Expression:
    return Arithmetic(one, (Term("-", other),))


def call_of(function: str, value: Expression) -> Call:
    return Call(function, (Argument(None, value),))


def multiplied(node: Expression, name: str) -> list[Expression]:
    """What a change of a name, that stands in an expression once, is multiplied by on its way to the value."""
    if isinstance(node, Arithmetic):
        parts = node.operands
        mine = [part for part in parts if name in names_of(part)]
        others = [part for part in parts if name not in names_of(part)] if node.rest[0].operator in "*/" else []
        return [*others, *(found for part in mine for found in multiplied(part, name))]
    return [found for part in children(node) if name in names_of(part) for found in multiplied(cast(Expression, part), name)]


def slope(node: Expression, name: str) -> Expression:
    """Of an affine function of a name that stands in it."""
    match node:
        case Unary():
            return Unary("-", slope(node.operand, name))
        case Arithmetic():
            parts = [("+" if node.rest[0].operator in "+-" else "*", node.first), *((t.operator, t.operand) for t in node.rest)]
            if node.rest[0].operator in "+-":
                parts = [(operator, slope(part, name)) for operator, part in parts if name in names_of(part)]
                if len(parts) == 1:
                    return parts[0][1] if parts[0][0] == "+" else Unary("-", parts[0][1])
                return Arithmetic(Number(0.0), tuple(Term(operator, part) for operator, part in parts))
            places = [place for place, part in enumerate(parts) if name in names_of(part[1])]
            return with_part(node, places[0], slope(parts[places[0]][1], name))
    return Number(1.0)


def constant(node: Expression) -> float | None:
    """The number that an expression is, if it is one by the text."""
    match node:
        case Number():
            return float(node.value)
        case Unary(operator="-"):
            inner = constant(node.operand)
            return None if inner is None else -inner
        case Arithmetic():
            total = constant(node.first)
            for term in node.rest:
                number = constant(term.operand)
                if total is None or number is None or (term.operator == "%" or (term.operator == "/" and not number)):
                    return None
                total = {"+": total + number, "-": total - number, "*": total * number}.get(term.operator, total / (number or 1.0))
            return total
    return None


def with_part(node: Arithmetic, place: int, part: Expression) -> Arithmetic:
    """The chain with another operand at a place."""
    if not place:
        return replace(node, first=part)
    rest = tuple(replace(term, operand=part) if number == place - 1 else term for number, term in enumerate(node.rest))
    return replace(node, rest=rest)


__all__ = [
    "MOST_PIECES", "WHOLE", "Unsolved", "affine", "by_element", "call_of", "changed", "constant", "less", "multiplied", "names_of",
    "pieces", "put", "slope", "substituted", "with_part",
]
