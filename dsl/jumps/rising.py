"""Expressions that rise or fall with a draw, by their structure, and what sign they have.

A sum of rising expressions rises; so does a product of positive ones, and what a rising function makes of one.  No number is tried:
what cannot be told from the text is not told.  `signs` are those of names, 1 or -1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ..names.scopes import nodes_in
from ..syntax import Arithmetic, Call, Expression, Name, Number, Power, Unary
from .solving import affine, call_of, constant, less, names_of, slope, substituted, with_part

RISING = frozenset((
    "exp", "expm1", "log", "log1p", "sqrt", "sigmoid", "logit", "softplus", "tanh", "sinh", "atan", "erf", "normcdf",
))
NEVER_ZERO = ("exp", "sigmoid", "softplus")  # greater than 0, that is,
POSITIVE = frozenset((*NEVER_ZERO, "cosh"))


def sign(node: Expression, signs: Mapping[str, int]) -> int:
    """1 where an expression is surely greater than 0, -1 where it is less; 0: not known."""
    match node:
        case Number():
            return int(node.value > 0) - int(node.value < 0)
        case Name():
            return signs.get(node.id, 0)
        case Unary(operator="-"):
            return -sign(node.operand, signs)
        case Power():
            base, exponent = sign(node.base, signs), constant(node.exponent)
            if base > 0:
                return 1
            return 0 if exponent is None or exponent % 1 else base if exponent % 2 else abs(base)
        case Call():
            positive = node.function in POSITIVE or (node.function == "sqrt" and sign(node.arguments[0].value, signs) > 0)
            return int(positive)
        case Arithmetic():
            return _sign_of_chain(node, signs)
    return 0


def _sign_of_chain(node: Arithmetic, signs: Mapping[str, int]) -> int:
    found = sign(node.first, signs)
    for term in node.rest:
        other = sign(term.operand, signs)
        match term.operator:
            case "+" | "-":
                other = other if term.operator == "+" else -other
                found = found if found == other else 0
            case "*" | "/":
                found = found * other
            case _:
                return 0
    return found


def direction(node: Expression, name: str, signs: Mapping[str, int]) -> int:
    """1 where an expression rises strictly with a name in it, wherever it is a number; -1 where it falls; 0: not known."""
    match node:
        case Name():
            return 1
        case Unary(operator="-"):
            return -direction(node.operand, name, signs)
        case Call() if len(node.arguments) == 1 and node.function in RISING:
            return direction(node.arguments[0].value, name, signs)
        case Power():
            return _of_power(node, name, signs)
        case Arithmetic() if node.rest[0].operator in "+-":
            found = {
                direction(operand, name, signs) * (-1 if operator == "-" else 1)
                for operator, operand in (("+", node.first), *((term.operator, term.operand) for term in node.rest))
                if name in names_of(operand)
            }
            return found.pop() if len(found) == 1 else _by_steepness(node, name)
        case Arithmetic() if all(term.operator in "*/" for term in node.rest):
            return _of_product(node, name, signs)
    return 0


def _by_steepness(node: Arithmetic, name: str) -> int:
    """Of a sum of what rises and what falls, by how steep it can be: the derivative of `x - tanh(x)` lies between 0 and 1, and is
    0 at single points only."""
    found = _steepness(node, name)
    if found is None or name not in names_of(node):
        return 0
    low, high = found
    return 1 if low >= 0 and high > 0 else -1 if high <= 0 and low < 0 else 0


STEEP = {  # between which numbers derivatives lie
    "tanh": (0.0, 1.0), "sigmoid": (0.0, 0.25), "softplus": (0.0, 1.0), "atan": (0.0, 1.0), "sin": (-1.0, 1.0), "cos": (-1.0, 1.0),
    "erf": (0.0, 2 / math.pi**0.5), "normcdf": (0.0, 1 / (2 * math.pi)**0.5),
}


def _steepness(node: Expression, name: str) -> tuple[float, float] | None:
    """Between which numbers the derivative of an expression in a name lies; None: not known."""
    if name not in names_of(node):
        return 0.0, 0.0
    match node:
        case Name():
            return 1.0, 1.0
        case Unary(operator="-"):
            inner = _steepness(node.operand, name)
            return None if inner is None else (-inner[1], -inner[0])
        case Call() if len(node.arguments) == 1 and node.function in STEEP:
            return _times(_steepness(node.arguments[0].value, name), STEEP[node.function])
        case Arithmetic() if node.rest[0].operator in "+-":
            low = high = 0.0
            for operator, operand in (("+", node.first), *((term.operator, term.operand) for term in node.rest)):
                found = _steepness(operand if operator == "+" else Unary("-", operand), name)
                if found is None:
                    return None
                low, high = low + found[0], high + found[1]
            return low, high
        case Arithmetic() if all(term.operator in "*/" for term in node.rest):
            mine = [one for one in node.operands if name in names_of(one)]
            rest = constant(_with(node, mine[0], Number(1.0)))
            if len(mine) != 1 or rest is None or any(term.operator == "/" and term.operand is mine[0] for term in node.rest):
                return None
            return _times(_steepness(mine[0], name), (rest, rest))
    return None


def _times(one: tuple[float, float] | None, other: tuple[float, float]) -> tuple[float, float] | None:
    if one is None:
        return None
    ends = [a * b for a in one for b in other]
    return min(ends), max(ends)


def _with(node: Arithmetic, part: Expression, value: Expression) -> Expression:
    """The chain with a value in place of one of its operands."""
    return with_part(node, node.operands.index(part), value)


def poles(node: Expression, name: str, signs: Mapping[str, int]) -> list[Expression]:
    """What an expression is divided by, that may be 0 at some values of a name: there it changes its sign through infinity."""
    found: list[Expression] = []
    for part in nodes_in(node):
        if isinstance(part, Arithmetic):
            found += [term.operand for term in part.rest if term.operator == "/"]
        elif isinstance(part, Power) and (constant(part.exponent) or 0) < 0:
            found.append(part.base)
    return [one for one in dict.fromkeys(found) if name in names_of(one) and not sign(one, signs)]


def _of_power(node: Power, name: str, signs: Mapping[str, int]) -> int:
    exponent, base = constant(node.exponent), sign(node.base, signs)
    if exponent is None:
        number = constant(node.base)
        if number is None or number <= 0 or number == 1 or name in names_of(node.base):
            return 0
        return direction(node.exponent, name, signs) * (1 if number > 1 else -1)
    if name in names_of(node.exponent) or not exponent:
        return 0
    along = direction(node.base, name, signs) * (1 if exponent > 0 else -1)
    if exponent % 1:  # a number only where the base is not less than 0
        return along
    if exponent % 2:  # has a pole at 0 where the exponent is less than 0
        return along if exponent > 0 or base else 0
    return along * base


def _of_product(node: Arithmetic, name: str, signs: Mapping[str, int]) -> int:
    """By the derivative of the logarithm of its size, to which each factor adds."""
    parts = [("*", node.first), *((term.operator, term.operand) for term in node.rest)]
    mine = [(operator, part) for operator, part in parts if name in names_of(part)]
    others = 1
    for _, part in parts:
        others *= 1 if name in names_of(part) else sign(part, signs)
    if len(mine) == 1 and mine[0][0] == "*":
        return direction(mine[0][1], name, signs) * others
    whole, grows = others, set()
    for operator, part in mine:
        own = sign(part, signs)
        whole *= own
        grows.add(direction(part, name, signs) * own * (1 if operator == "*" else -1))
    return whole * grows.pop() if len(grows) == 1 else 0


def nonzero(node: Expression, signs: Mapping[str, int]) -> bool:
    """Whether an expression is surely not 0; `signs` are of names that are not."""
    match node:
        case Number():
            return node.value != 0
        case Name():
            return node.id in signs
        case Unary(operator="-"):
            return nonzero(node.operand, signs)
        case Power():
            return nonzero(node.base, signs)
        case Call():
            given = [argument.value for argument in node.arguments]
            return node.function in NEVER_ZERO or (node.function == "sqrt" and nonzero(given[0], signs))
        case Arithmetic():
            parts = node.operands
            return all(term.operator in "*/" for term in node.rest) and all(nonzero(part, signs) for part in parts)
    return False


def never_zero(made: Mapping[str, list[Expression]], signs: Mapping[str, int]) -> frozenset[str]:
    """The names that are 0 at no place of a text, given all that they are `made` of (none of draws that are 0 with probability
    0), and the signs of others."""
    found = dict.fromkeys(made, 1)
    while left := [name for name in found if not all(nonzero(value, {**signs, **found}) for value in made[name])]:
        for name in left:
            del found[name]
    return frozenset(found)


def flat(node: Expression, name: str, signs: Mapping[str, int]) -> list[Expression]:
    """What an expression, in which a name stands, is where it does not change with the name; none: it always does (but for single
    points).  `signs` are of names that are never 0."""
    match node:
        case Name():
            return []
        case Unary(operator="-"):
            return [Unary("-", one) for one in flat(node.operand, name, signs)]
        case Power() if constant(node.exponent):
            return [replace(node, base=one) for one in flat(node.base, name, signs)]
        case Call() if len(node.arguments) == 1 and (node.function in RISING or node.function == "sqrt"):
            return [call_of(node.function, one) for one in flat(node.arguments[0].value, name, signs)]
        case Arithmetic():
            parts = node.operands
            mine = [place for place, part in enumerate(parts) if name in names_of(part)]
            if len(mine) == 1 and not any(term.operator == "%" for term in node.rest):
                found: list[Expression] = [with_part(node, mine[0], one) for one in flat(parts[mine[0]], name, signs)]
                others = [part for place, part in enumerate(parts) if place != mine[0]]
                if node.rest[0].operator in "*/" and not all(nonzero(part, signs) for part in others):
                    found.append(Number(0.0))  # a factor is 0
                return found
    if direction(node, name, signs) or (affine(node, name) and constant(slope(node, name))):
        return []
    return [substituted(node, name, Number(0.0))]


def factors(node: Expression, name: str, signs: Mapping[str, int]) -> list[Expression]:
    """Expressions at whose zeros an expression stops to change with a name, and may change the other way beyond them."""
    match node:
        case Name():
            return []
        case Unary(operator="-"):
            return factors(node.operand, name, signs)
        case Power() if name not in names_of(node.exponent):
            return factors(node.base, name, signs)
        case Call() if len(node.arguments) == 1:
            return factors(node.arguments[0].value, name, signs)
        case Arithmetic():
            parts = node.operands
            mine = [part for part in parts if name in names_of(part)]
            if len(mine) == 1 and not any(term.operator == "%" for term in node.rest):
                found = factors(mine[0], name, signs)
                if node.rest[0].operator in "*/":
                    found += [part for part in parts if part is not mine[0] and not nonzero(part, signs)]
                return found
    return [slope(node, name) if affine(node, name) else less(*(substituted(node, name, Number(end)) for end in (1.0, 0.0)))]


__all__ = ["NEVER_ZERO", "direction", "factors", "flat", "never_zero", "nonzero", "poles", "sign"]
