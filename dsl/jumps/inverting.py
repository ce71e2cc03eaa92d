"""Where an expression has a given value: step by step back to the part of it in which a name stands more than once."""

from __future__ import annotations

from collections.abc import Mapping

from ..names.scopes import nodes_in
from ..reading.expression_text import format_expression
from ..syntax import Arithmetic, Call, Expression, Name, Number, Power, Term, Unary
from .rising import flat
from .solving import WHOLE, Unsolved, call_of, changed, constant, less, names_of, substituted

MOST_SHOWN = 40  # letters of roots
GOAL = "\1goal"  # the value that an expression is to have


def peeled(node: Expression, name: str, goal: Expression) -> tuple[Expression, list[Expression]]:
    """A part of an expression, and all values of that part at which the expression is `goal` (or no number, where it never is)."""
    goals = [goal]
    while (step := _step(node, name)) is not None:
        node, back = step
        goals = [substituted(one, GOAL, goal) for goal in goals for one in back]
    return node, goals


def solved(node: Expression, name: str, goal: Expression) -> list[Expression]:
    """All values of a name at which an expression, in which it stands once, is `goal`."""
    inner, goals = peeled(node, name, goal)
    if inner != Name(name):
        raise Unsolved(inner, "it cannot be solved")
    return goals


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


Step = tuple[Expression, list[Expression]]  # a part, and its values, of GOAL


def _step(node: Expression, name: str) -> Step | None:
    """One step back."""
    goal = Name(GOAL)
    match node:
        case Unary(operator="-"):
            return node.operand, [Unary("-", goal)]
        case Arithmetic():
            return _of_chain(node, name)
        case Power() if (number := constant(node.exponent)) is not None:
            return _of_power(node.base, number)
        case Call() if len(node.arguments) == 1 and node.function in INVERSES:
            return node.arguments[0].value, [INVERSES[node.function]]
    return None


def _of_chain(node: Arithmetic, name: str) -> Step | None:
    parts = [("+" if node.rest[0].operator in "+-" else "*", node.first), *((t.operator, t.operand) for t in node.rest)]
    mine = [part for part in parts if name in names_of(part[1])]
    others = [part for part in parts if part not in mine]
    if len(mine) > 1 and mine[0][0] == "*" and all(part == mine[0] for part in mine):  # x*x
        mine = [("*", Power(mine[0][1], Number(float(len(mine)))))]
    if len(mine) != 1 or any(operator == "%" for operator, _ in parts):
        return None
    operator, own = mine[0]
    inverse = {"+": "-", "-": "+", "*": "/", "/": "*"}
    if operator in "+*":
        rest = tuple(Term(inverse[op], other) for op, other in others)
        return own, [Arithmetic(Name(GOAL), rest) if rest else Name(GOAL)]
    if operator == "-":  # others - own = goal
        return own, [Arithmetic(Unary("-", Name(GOAL)), tuple(Term(op, other) for op, other in others))]
    over = Arithmetic(Number(1.0), tuple(Term(op, other) for op, other in others))
    return own, [Arithmetic(over, (Term("/", Name(GOAL)),))]


def _of_power(base: Expression, number: float) -> Step | None:
    goal: Expression = Name(GOAL)
    if number == 0.5:
        return base, [_square_root_back(goal)]
    if number != int(number) or not number:
        return None
    if number < 0:
        goal, number = Arithmetic(Number(1.0), (Term("/", goal),)), -number
    if number == 1:
        return base, [goal]
    if number % 2:
        size = Power(call_of("abs", goal), Number(1 / number))
        return base, [Arithmetic(call_of("sign", goal), (Term("*", size),))]
    root = call_of("sqrt", goal) if number == 2 else Power(goal, Number(1 / number))  # no number where the goal is less than 0
    return base, [root, Unary("-", root)]


def _square_root_back(goal: Expression) -> Expression:
    """No number where the goal is less than 0."""
    return Power(Power(call_of("sqrt", goal), Number(2.0)), Number(2.0))


def _inverses() -> dict[str, Expression]:
    goal = Name(GOAL)
    one_more, one_less = (Arithmetic(Number(1.0), (Term(operator, goal),)) for operator in "+-")
    half = call_of("log", Arithmetic(one_more, (Term("/", one_less),)))
    return {
        "exp": call_of("log", goal), "log": call_of("exp", goal), "sqrt": _square_root_back(goal), "expm1": call_of("log1p", goal),
        "log1p": call_of("expm1", goal), "sigmoid": call_of("log", Arithmetic(goal, (Term("/", less(Number(1.0), goal)),))),
        "logit": call_of("sigmoid", goal), "tanh": Arithmetic(half, (Term("/", Number(2.0)),)),
        "softplus": Arithmetic(goal, (Term("+", call_of("log1p", Unary("-", call_of("exp", Unary("-", goal))))),)),
    }


INVERSES = _inverses()


def without_whole(node: Expression, signs: Mapping[str, int]) -> tuple[list[Expression], list[Expression]]:
    """Of an expression in which some whole number stands once: expressions that are whole where it is 0, and those that are 0
    there, if the number does not count."""
    if sum(isinstance(part, Name) and part.id == WHOLE for part in nodes_in(node)) != 1:
        raise Unsolved(node, "a number that is rounded is compared here together with others")
    return solved(node, WHOLE, Number(0.0)), flat(node, WHOLE, signs)


__all__ = ["GOAL", "peeled", "solved", "told", "without_whole"]
