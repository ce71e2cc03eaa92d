"""Builds expressions: one method per rule of `grammar/prob.lark` (`list -> node`); statements are in `builder.py`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from lark import Token

from ..syntax import (
    FORMS,
    Argument,
    Arithmetic,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Distribution,
    Draw,
    Expression,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Power,
    Slice,
    Term,
    Unary,
    Vector,
)
from ..tables.composites import COMPOSITES
from ..tables.distributions import DISTRIBUTIONS
from ..text.diagnostics import Diagnostic
from ..text.source import Source, Span
from .inside import WRITTEN, assembled
from .tokens import span_of

NO_CDF = "distributions of one number have one; that of an event is the mean of an indicator: mean(x < c)"
Children = list[Any]  # tokens, nodes, and the tuples of rules that are only lists


def span_over(children: Children) -> Span:
    first, last = children[0], children[-1]
    start = span_of(first) if isinstance(first, Token) else first.span
    end = start if last is first else span_of(last) if isinstance(last, Token) else last.span
    return Span(start.start, end.end)


def nodes_of(children: Children) -> tuple[Any, ...]:
    return tuple(child for child in children if isinstance(child, Node))


def as_distribution(node: Expression) -> Distribution | None:
    """The distribution of a call; an unknown name is left to `resolve.py`, which knows the nearest one."""
    match node:
        case Draw():
            return node.distribution
        case Call(function=name) if name != "range" and name not in FORMS:
            return Distribution(name, node.arguments, span=node.span, name_span=node.name_span)
        case _:
            return None


class ExpressionBuilder:
    """Builds the expressions of one source at a time; `begin` forgets the last one."""

    def __init__(self) -> None:
        self.begin(Source("", ""))

    def begin(self, source: Source) -> None:
        """Get ready for a source."""
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.loose_ranges: dict[int, Call] = {}  # by start: calls of `range` that no `for` has taken
        self.nesting_nodes = 0  # how many nodes that nest without brackets there are

    def report(self, code: str, title: str, span: Span, help: str | None = None, label: str = "") -> None:
        """Note a problem; the tree is thrown away later."""
        self.diagnostics.append(Diagnostic(code, title, span, label, help=help, source=self.source))

    def text(self, node: Node) -> str:
        """The source text of a node, on one line, cut where it is long."""
        text = " ".join(self.source.slice(node.span).split())
        return text if len(text) <= 60 else text[:57] + "..."

    # -------------------------------------------------------------------------------------------- expressions
    def number(self, children: Children) -> Number:
        token = children[0]
        value = float(token)
        if math.isinf(value):
            help_text = "the largest is about 1.8e308; infinity is `inf`"
            self.report("P0106", f"`{token}` is too large a number", span_of(token), help_text)
        return Number(value, str(token), span=span_of(token))

    def boolean(self, children: Children) -> Boolean:
        return Boolean(children[0] == "true", span=span_of(children[0]))

    def name(self, children: Children) -> Name:
        return Name(str(children[0]), span=span_of(children[0]))

    def parenthesised(self, children: Children) -> Expression:
        inner: Expression = replace(children[1], span=span_over(children))
        return inner

    def vector(self, children: Children) -> Vector:
        return Vector(nodes_of(children), span=span_over(children))

    def slice(self, children: Children) -> Slice:
        colon = next(i for i, child in enumerate(children) if isinstance(child, Token))
        start = children[0] if colon else None
        return Slice(start, children[-1] if colon < len(children) - 1 else None, span=span_over(children))

    def index(self, children: Children) -> Index:
        self.nesting_nodes += 1
        return Index(children[0], nodes_of(children[1:]), span=span_over(children))

    def unary(self, children: Children) -> Unary:
        self.nesting_nodes += 1
        return Unary(str(children[0]), children[1], span=span_over(children))

    def arithmetic(self, children: Children) -> Arithmetic:
        rest = tuple(
            Term(str(children[i]), children[i + 1], span=span_over(children[i : i + 2])) for i in range(1, len(children), 2)
        )
        return Arithmetic(children[0], rest, span=span_over(children))

    def raised(self, children: Children) -> Power:
        self.nesting_nodes += 1
        return Power(children[0], children[2], span=span_over(children))

    def comparison(self, children: Children) -> Comparison:
        if len(children) > 3 and not self._is_arrow(children[0], children[2]):
            a, b, c = (self.text(children[i]) for i in (0, 2, 4))
            title = f"a chain of comparisons: `{children[1]}` and `{children[3]}`"
            span = Span(children[0].span.start, children[4].span.end)
            self.report("P0110", title, span, f"write {a} {children[1]} {b} and {b} {children[3]} {c}")
        return Comparison(str(children[1]), children[0], children[2], span=span_over(children))

    def disjunction(self, children: Children) -> Logical:
        return Logical("or", nodes_of(children), span=span_over(children))

    def conjunction(self, children: Children) -> Logical:
        return Logical("and", nodes_of(children), span=span_over(children))

    def conditional(self, children: Children) -> Conditional:
        self.nesting_nodes += 1
        return Conditional(children[1], children[3], children[5], span=span_over(children))

    def positional(self, children: Children) -> Argument:
        return Argument(None, children[0], span=span_over(children))

    def keyword(self, children: Children) -> Argument:
        return Argument(str(children[0]), children[2], span=span_over(children))

    def arguments(self, children: Children) -> tuple[Argument, ...]:
        return nodes_of(children)

    def call(self, children: Children) -> Call | Draw | LogPdf:
        name, arguments, span, name_span = str(children[0]), children[2], span_over(children), span_of(children[0])
        if name in DISTRIBUTIONS:
            return Draw(Distribution(name, arguments, span=span, name_span=name_span), span=span)
        call = Call(name, arguments, span=span, name_span=name_span)
        if name in COMPOSITES:
            made = assembled(name, arguments, [as_distribution(argument.value) if isinstance(argument.value, Draw) or (
                isinstance(argument.value, Call) and argument.value.function[:1].isupper()) else None for argument in arguments])
            if isinstance(made, Distribution):
                return Draw(replace(made, span=span, name_span=name_span), span=span)
            if not made:
                self.report("P0203", f"`{name}` has no arguments", span, f"write {WRITTEN[name]}")
            self.diagnostics += [replace(problem, source=self.source) for problem in made]
        if name == "range":
            self.loose_ranges[span.start] = call
        return self._of_distribution(call) if name in FORMS else call

    def _of_distribution(self, call: Call) -> Call | LogPdf:
        """`logpdf(Dist(...), value)` and its like; the first argument is no draw."""
        name = call.function
        example = f"{name}(Normal(0, 1), z)"
        values = [argument.value for argument in call.arguments]
        keyword = next((argument for argument in call.arguments if argument.name is not None), None)
        if keyword is not None:
            self.report("P0204", f"`{name}` has no keyword arguments", keyword.span, example)
        elif len(values) != 2:
            title = f"`{name}` takes 2 arguments, a distribution and a value, but has {len(values)}"
            self.report("P0203", title, call.span, example)
        elif (distribution := as_distribution(values[0])) is not None:
            if name != "logpdf" and (row := DISTRIBUTIONS.get(distribution.name)) is not None and not row.cumulative:
                self.report("P0210", f"{row.name} has no distribution function here", values[0].span, NO_CDF, f"`{name}` needs one")
            return LogPdf(distribution, values[1], name, span=call.span)
        else:
            title = f"the first argument of `{name}` must be a distribution"
            self.report("P0210", title, values[0].span, f"call it there: {example}")
        return call

    def _is_arrow(self, left: Expression, right: Expression) -> bool:
        """Whether a `<` and a unary minus are a `<-`."""
        text = self.source.text
        return (
            text[right.span.start] == "-" and text[right.span.start - 1] == "<"
            and "#" not in text[left.span.end : right.span.start]
        )  # fmt: skip
