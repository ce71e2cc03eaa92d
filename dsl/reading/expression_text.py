"""Expressions, distributions and estimators as text, on one line, with only the parentheses that the tree needs."""

from __future__ import annotations

from typing import assert_never

from ..syntax import (
    Argument,
    Arithmetic,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Distribution,
    Draw,
    EstimatorCall,
    Expression,
    Index,
    Logical,
    LogPdf,
    Name,
    Number,
    Power,
    Slice,
    Unary,
    Vector,
    deep_recursion,
)
from ..tables.composites import MIXTURE, TRUNCATED

# How tightly a form binds, loosest first; an operand that binds less than its place asks for gets parentheses.
CONDITIONAL, OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, POWER, ATOM = range(10)


# ------------------------------------------------------------------------------------------------ expressions
def format_expression(node: Expression) -> str:
    """The canonical text of an expression, on one line."""
    with deep_recursion():
        pieces: list[str] = []
        _write(node, CONDITIONAL, pieces)
        return "".join(pieces)


def _binding(node: Expression) -> int:
    match node:
        case Conditional():
            return CONDITIONAL
        case Logical():
            return OR if node.operator == "or" else AND
        case Unary():
            return NOT if node.operator == "not" else SIGN
        case Comparison():
            return COMPARISON
        case Arithmetic():
            return SUM if node.rest[0].operator in "+-" else PRODUCT
        case Power():
            return POWER
        case _:
            return ATOM


def _write(node: Expression, place: int, out: list[str]) -> None:
    """Append the text of a node standing where at least `place` is asked for."""
    enclosed = _binding(node) < place
    if enclosed:
        out.append("(")
    match node:
        case Number():
            out.append(node.text or repr(node.value))
        case Boolean():
            out.append("true" if node.value else "false")
        case Name():
            out.append(node.id)
        case Vector():
            write_list("[", node.items, "]", out)
        case Index():
            _write(node.target, ATOM, out)
            write_list("[", node.items, "]", out)
        case Unary():
            out.append("not " if node.operator == "not" else "-")
            _write(node.operand, NOT if node.operator == "not" else SIGN, out)
        case Arithmetic() | Power() | Comparison() | Logical():
            _write_operation(node, out)
        case Conditional():
            out.append("if ")
            _write(node.condition, CONDITIONAL, out)
            out.append(" then ")
            _write(node.then, CONDITIONAL, out)
            out.append(" else ")
            _write(node.otherwise, CONDITIONAL, out)
        case Call():
            out.append(node.function)
            _write_arguments(node.arguments, out)
        case Draw():
            _write_distribution(node.distribution, out)
        case LogPdf():
            out.append(f"{node.form}(")
            _write_distribution(node.distribution, out)
            out.append(", ")
            _write(node.value, CONDITIONAL, out)
            out.append(")")
        case _:
            assert_never(node)
    if enclosed:
        out.append(")")


def _write_operation(node: Arithmetic | Power | Comparison | Logical, out: list[str]) -> None:
    match node:
        case Arithmetic():
            tighter = _binding(node) + 1
            _write(node.first, tighter, out)
            for term in node.rest:
                out.append(f" {term.operator} ")
                _write(term.operand, tighter, out)
        case Power():
            _write(node.base, ATOM, out)
            out.append("^")
            _write(node.exponent, SIGN, out)
        case Comparison():
            _write(node.left, SUM, out)
            out.append(f" {node.operator} ")
            _write(node.right, SUM, out)
        case Logical():
            tighter = _binding(node) + 1
            for position, item in enumerate(node.items):
                out.append(f" {node.operator} " if position else "")
                _write(item, tighter, out)
        case _:
            assert_never(node)


def write_list(opener: str, items: tuple[Expression | Slice, ...], closer: str, out: list[str]) -> None:
    out.append(opener)
    for position, item in enumerate(items):
        out.append(", " if position else "")
        if isinstance(item, Slice):
            if item.start is not None:
                _write(item.start, CONDITIONAL, out)
            out.append(":")
            if item.stop is not None:
                _write(item.stop, CONDITIONAL, out)
        else:
            _write(item, CONDITIONAL, out)
    out.append(closer)


def _write_arguments(arguments: tuple[Argument, ...], out: list[str]) -> None:
    out.append("(")
    for position, argument in enumerate(arguments):
        out.append(", " if position else "")
        out.append(f"{argument.name}=" if argument.name is not None else "")
        _write(argument.value, CONDITIONAL, out)
    out.append(")")


def _write_distribution(node: Distribution, out: list[str]) -> None:
    if node.parts:
        _write_composite(node, out)
        return
    out.append(node.name)
    _write_arguments(node.arguments, out)


def _write_composite(node: Distribution, out: list[str]) -> None:
    mixed = node.arguments[0].name == "weights"
    out.append(f"{MIXTURE if mixed else TRUNCATED}(")
    if mixed:
        _write(node.arguments[0].value, CONDITIONAL, out)
    for position, part in enumerate(node.parts):
        out.append(", " if position or mixed else "")
        _write_distribution(part, out)
    for argument in () if mixed else node.arguments[-2:]:
        out.append(", ")
        _write(argument.value, CONDITIONAL, out)
    out.append(")")


def format_distribution(node: Distribution) -> str:
    """`Normal(theta, 2)`."""
    with deep_recursion():
        pieces: list[str] = []
        _write_distribution(node, pieces)
        return "".join(pieces)


def format_estimator(node: EstimatorCall) -> str:
    """`gumbel(tau=0.1, hard=true)`."""
    if not node.options:
        return node.name
    options = (f"{name}={constant_text(value)}" for name, value in node.options)
    return f"{node.name}({', '.join(options)})"


def constant_text(value: float | bool | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") else text
