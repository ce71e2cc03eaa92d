"""Functions as expressions: what a call gives, where its body is assignments, branches and returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never, cast

from ..names.resolved import Resolved
from ..syntax import (
    Assign,
    Call,
    Conditional,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    Name,
    Node,
    Parameter,
    Require,
    Return,
    Sample,
    Statement,
    While,
    children,
)
from .solving import changed

MOST_DEPTH = 8  # of calls in calls
MOST_NODES = 2000


class _Opaque(Exception):
    """A function is no expression."""


def inlined(node: Expression, resolved: Resolved, depth: int = 0) -> Expression:
    """The expression with the calls of functions replaced by what they give, where that is an expression."""
    functions = resolved.functions

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or part.function not in functions:
            return None
        given = [inlined(argument.value, resolved, depth) for argument in part.arguments]
        try:
            if any(_opaque(value, resolved) for value in given):
                raise _Opaque
            return called(functions[part.function], given, resolved, depth)
        except _Opaque:
            arguments = tuple(replace(one, value=value) for one, value in zip(part.arguments, given, strict=True))
            return replace(part, arguments=arguments)

    return cast(Expression, changed(node, change)) if functions else node


def called(function: Function, given: Sequence[Expression], resolved: Resolved, depth: int = 0) -> Expression:
    """What a call of a function gives."""
    if depth >= MOST_DEPTH:
        raise _Opaque
    known = dict(zip(function.parameters, given, strict=True))
    return _end(list(function.body.statements), known, resolved, depth + 1)


def _end(statements: list[Statement], known: dict[str, Expression], resolved: Resolved, depth: int) -> Expression:
    """What a list of statements returns, the values of its variables known."""
    known = dict(known)
    for place, node in enumerate(statements):
        match node:
            case Assign(indices=()):
                known[node.name] = _value(node.value, known, resolved, depth)
            case Return():
                return _value(node.values[0], known, resolved, depth)
            case If():
                rest = statements[place + 1 :]
                found = _end([*(node.otherwise.statements if node.otherwise else ()), *rest], known, resolved, depth)
                for condition, body in reversed(node.branches):
                    taken = _end([*body.statements, *rest], known, resolved, depth)
                    found = Conditional(_value(condition, known, resolved, depth), taken, found, span=condition.span)
                return found
            case Assign() | Sample() | Require() | While() | For() | Parameter() | Data() | Function():
                raise _Opaque
            case _:
                assert_never(node)
    raise _Opaque


def _value(node: Expression, known: dict[str, Expression], resolved: Resolved, depth: int) -> Expression:
    found = inlined(
        cast(Expression, changed(node, lambda part: known.get(part.id) if isinstance(part, Name) else None)), resolved, depth
    )
    if _opaque(found, resolved):
        raise _Opaque
    return found


def _opaque(node: Node, resolved: Resolved) -> bool:
    """Whether it draws or calls what is no expression, or is too large."""
    pending, count = [node], 0
    while pending:
        one = pending.pop()
        count += 1
        if isinstance(one, Draw) or (isinstance(one, Call) and one.function in resolved.functions) or count > MOST_NODES:
            return True
        pending += children(one)
    return False
