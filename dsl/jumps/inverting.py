"""Where an expression, in which a name stands once, has a given value."""

from __future__ import annotations

from ..names.scopes import nodes_in
from ..reading.expression_text import format_expression
from ..syntax import Arithmetic, Call, Expression, Name, Number, Power, Term, Unary
from .solving import RISING, WHOLE, Unsolved, call_of, changed, constant, flat, less, names_of

MOST_SHOWN = 40  # letters of roots


def solved(node: Expression, name: str, goal: Expression) -> list[Expression]:
    """All values of a name at which an expression, in which it stands once, is `goal` (or no number, where it never is)."""
    match node:
        case Name() if node.id == name:
            return [goal]
        case Unary(operator="-"):
            return solved(node.operand, name, Unary("-", goal))
        case Arithmetic():
            return _of_chain(node, name, goal)
        case Power() if (number := constant(node.exponent)) is not None:
            return _of_power(node, name, goal, number)
        case Call() if len(node.arguments) == 1:
            inner = node.arguments[0].value
            if node.function in ("exp", "log"):
                return solved(inner, name, call_of(RISING[node.function], goal))
            if node.function == "sqrt":
                positive = Power(call_of("sqrt", goal), Number(2.0))
                return solved(inner, name, Power(positive, Number(2.0)))
            if node.function == "sigmoid":
                return solved(inner, name, call_of("log", Arithmetic(goal, (Term("/", less(Number(1.0), goal)),))))
    raise Unsolved(node, "it cannot be solved")


def told(node: Expression, name: str, shown: str) -> str:
    """The roots of an expression in words, with `shown` for the name; empty where they are long, or cannot be told."""
    try:
        found = solved(node, name, Number(0.0))
    except Unsolved:
        return ""
    words = ", ".join(format_expression(changed(root, _tidied)) for root in found)
    return f"{shown} = {words}" if words and len(words) <= MOST_SHOWN and words.isprintable() else ""


def _tidied(node: Expression) -> Expression | None:
    """Without the 0 in front of a sum."""
    if not isinstance(node, Arithmetic) or constant(node.first) != 0 or node.rest[0].operator not in "+-":
        return None
    first: Expression = changed(node.rest[0].operand, _tidied)
    if node.rest[0].operator == "-":
        first = Unary("-", first)
    rest = tuple(Term(term.operator, changed(term.operand, _tidied)) for term in node.rest[1:])
    return Arithmetic(first, rest) if rest else first


def _of_chain(node: Arithmetic, name: str, goal: Expression) -> list[Expression]:
    parts = [("+" if node.rest[0].operator in "+-" else "*", node.first), *((t.operator, t.operand) for t in node.rest)]
    mine = [part for part in parts if name in names_of(part[1])]
    others = [part for part in parts if part not in mine]
    if len(mine) > 1 and mine[0][0] == "*" and all(part == mine[0] for part in mine):  # x*x
        mine = [("*", Power(mine[0][1], Number(float(len(mine)))))]
    if len(mine) != 1 or any(operator == "%" for operator, _ in parts):
        raise Unsolved(node, "it cannot be solved")
    operator, own = mine[0]
    inverse = {"+": "-", "-": "+", "*": "/", "/": "*"}
    if operator in "+*":
        rest = tuple(Term(inverse[op], other) for op, other in others)
        return solved(own, name, Arithmetic(goal, rest) if rest else goal)
    if operator == "-":  # others - own = goal
        back: Expression = Unary("-", goal)
        return solved(own, name, Arithmetic(back, tuple(Term(op, other) for op, other in others)))
    over = Arithmetic(Number(1.0), tuple(Term(op, other) for op, other in others))
    return solved(own, name, Arithmetic(over, (Term("/", goal),)))


def _of_power(node: Power, name: str, goal: Expression, number: float) -> list[Expression]:
    if number == 0.5:
        return solved(node.base, name, Power(Power(call_of("sqrt", goal), Number(2.0)), Number(2.0)))
    if number != int(number) or not number:
        raise Unsolved(node, "it cannot be solved")
    if number < 0:
        goal, number = Arithmetic(Number(1.0), (Term("/", goal),)), -number
    if number == 1:
        return solved(node.base, name, goal)
    if number % 2:
        size = Power(call_of("abs", goal), Number(1 / number))
        return solved(node.base, name, Arithmetic(call_of("sign", goal), (Term("*", size),)))
    root = call_of("sqrt", goal) if number == 2 else Power(goal, Number(1 / number))  # no number where the goal is less than 0
    return [*solved(node.base, name, root), *solved(node.base, name, Unary("-", root))]


def without_whole(node: Expression, signed: frozenset[str]) -> tuple[list[Expression], list[Expression]]:
    """Of an expression in which some whole number stands once: expressions that are whole where it is 0, and those that are 0
    there, if the number does not count."""
    if sum(isinstance(part, Name) and part.id == WHOLE for part in nodes_in(node)) != 1:
        raise Unsolved(node, "a number that is rounded is compared here together with others")
    return solved(node, WHOLE, Number(0.0)), flat(node, WHOLE, signed)


__all__ = ["solved", "without_whole"]
