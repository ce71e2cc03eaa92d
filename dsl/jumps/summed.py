"""Sums over a draw of several numbers: in each of them, beside all others, such an expression is affine."""

from __future__ import annotations

from collections.abc import Mapping

from ..names.scopes import nodes_in
from ..syntax import Argument, Arithmetic, Call, Comparison, Expression, Index, Name, Number, Slice, Term, Unary
from ..tables.functions import FUNCTIONS
from .atoms import SIZE
from .rising import direction
from .solving import affine, changed, constant, names_of, put, slope

SUMS = frozenset(name for name, row in FUNCTIONS.items() if row.adds)


def summed(node: Expression, name: str) -> list[Expression] | None:
    """What is added up over all numbers of a draw, in an expression that is an affine function of all of them and mentions them
    only there; None: it is none."""
    if name not in names_of(node):
        return []
    match node:
        case Unary(operator="-"):
            return summed(node.operand, name)
        case Call() if node.function in SUMS:
            inner = _inner(node)
            return [inner] if inner is not None and affine(inner, name) else None
        case Index():
            return [node.target] if _entry(node) is not None and affine(node.target, name) else None
        case Arithmetic():
            parts = node.operands
            if node.rest[0].operator not in "+-":
                mine = sum(name in names_of(part) for part in parts)
                if mine != 1 or any(t.operator == "%" or (t.operator == "/" and name in names_of(t.operand)) for t in node.rest):
                    return None
            found: list[Expression] = []
            for part in parts:
                inside = summed(part, name)
                if inside is None:
                    return None
                found += inside
            return found
    return None


def _inner(node: Call) -> Expression | None:
    """What a call adds up, number by number."""
    given = [argument.value for argument in node.arguments]
    if node.function == "dot":
        return Arithmetic(given[0], (Term("*", given[1]),)) if len(given) == 2 else None
    return given[0] if len(given) == 1 else None


def _entry(node: Index) -> Expression | None:
    """The place of one entry of a vector, counted from the front, if it stands in the text."""
    number = constant(node.items[0]) if len(node.items) == 1 and not isinstance(node.items[0], Slice) else None
    if number is None or number % 1:
        return None
    return Number(number) if number >= 0 else Arithmetic(Name(SIZE), (Term("-", Number(-number)),))


def has_an_entry(node: Expression, name: str) -> bool:
    """Whether some entry of a draw, counted from the front, stands in an expression once, and the draw only in entries like it."""
    entries = [part for part in nodes_in(node) if isinstance(part, Index) and name in names_of(part)]
    others = changed(node, lambda part: Number(0.0) if part in entries else None)
    if name in names_of(others) or not all(isinstance(_entry(part), Number) and part.target == Name(name) for part in entries):
        return False
    return any(entries.count(part) == 1 for part in entries)


def sums_over(node: Expression, name: str) -> bool:
    """Whether a sum over all numbers of a draw stands in an expression."""
    return any(
        (isinstance(part, Index) or (isinstance(part, Call) and part.function in SUMS)) and name in names_of(part)
        for part in nodes_in(node)
    )


def goes_with_a_sum(node: Expression, name: str, signs: Mapping[str, int]) -> bool:
    """Whether an expression rises or falls with a sum in which a draw stands once, and mentions the draw only there."""
    sums = {part for part in nodes_in(node) if isinstance(part, Call) and part.function in SUMS and name in names_of(part)}
    if len(sums) != 1:
        return False
    (own,) = sums
    outer = put(node, own, Name(name))
    once = sum(isinstance(part, Name) and part.id == name for part in nodes_in(own)) == 1
    alone = name not in names_of(put(node, own, Number(0.0)))
    others = {other: known for other, known in signs.items() if other != name}
    return once and alone and summed(own, name) is not None and direction(outer, name, others) != 0


def slopes(node: Expression, name: str) -> Expression:
    """Of an expression with sums over a draw in it: its slope in each number of the draw, beside each other."""
    match node:
        case Unary():
            return Unary("-", slopes(node.operand, name))
        case Arithmetic():
            parts = [("+" if node.rest[0].operator in "+-" else "*", node.first), *((t.operator, t.operand) for t in node.rest)]
            if node.rest[0].operator in "+-":
                own = [(operator, slopes(part, name)) for operator, part in parts if name in names_of(part)]
                return Arithmetic(Number(0.0), tuple(Term(operator, part) for operator, part in own))
            (place,) = [place for place, part in enumerate(parts) if name in names_of(part[1])]
            made = [(operator, slopes(part, name) if i == place else part) for i, (operator, part) in enumerate(parts)]
            return Arithmetic(made[0][1], tuple(Term(operator, part) for operator, part in made[1:]))
        case Index():
            places: Expression = Call("arange", (Argument(None, Name(SIZE)),))
            return Arithmetic(Comparison("==", places, _entry(node) or Number(0.0)), (Term("*", slope(node.target, name)),))
    assert isinstance(node, Call)
    inner = _inner(node)
    assert inner is not None
    found = slope(inner, name)
    return Arithmetic(found, (Term("/", Name(SIZE)),)) if node.function == "mean" else found


def without_sums(node: Expression, name: str) -> Expression | None:
    """The expression where no number of the draw counts; None: what it is there is not told."""

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or part.function not in SUMS or name not in names_of(part):
            return None
        inner = _inner(part)
        return Number(0.0) if inner is not None and _goes_with(inner, name) else None

    made: Expression = changed(node, change)
    return None if name in names_of(made) else made


def _goes_with(node: Expression, name: str) -> bool:
    """Whether it is a multiple of a name."""
    match node:
        case Name():
            return node.id == name
        case Unary(operator="-"):
            return _goes_with(node.operand, name)
        case Arithmetic() if node.rest[0].operator in "*/":
            parts = node.operands
            return all(_goes_with(part, name) for part in parts if name in names_of(part))
    return False


__all__ = ["goes_with_a_sum", "has_an_entry", "slopes", "summed", "sums_over", "without_sums"]
