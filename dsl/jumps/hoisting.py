"""A program with a line of its own for every draw, and for every call of a function that is no expression (`inlining.py`).

The variables of functions get names of their own (`scoped.py`), so that the search for jumps can go through calls.  It is a program
for that search only: `while f(x) > 0 { ... }` becomes `r = f(x); while r > 0 { ...; r = f(x) }`, and what stands in one branch of a
conditional expression is drawn before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never, cast

from ..names.resolve import resolve
from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import (
    Assign,
    Block,
    Call,
    Conditional,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    Logical,
    Name,
    Node,
    Parameter,
    Require,
    Return,
    Sample,
    Statement,
    While,
)
from .inlining import inlined
from .scoped import MAYBE, kept, local
from .solving import changed


def hoisted(resolved: Resolved) -> tuple[Resolved, dict[int, int]]:
    """The program, and by the index of a site in it that of the same site in the program as it was."""
    if not resolved.functions and not any(isinstance(site.node, Draw) for site in resolved.sites):
        return resolved, {site.index: site.index for site in resolved.sites}
    functions = {name: _renamed(function) for name, function in resolved.functions.items()}
    work = _Hoisting(replace(resolved, functions=functions))
    made = resolve(replace(resolved.program, body=work.block(resolved.program.body, None)), resolved.external)
    known = {_key(site): site.index for site in resolved.sites}
    return made, {site.index: known[_key(site)] for site in made.sites}


def _key(site: Site) -> tuple[int, int]:
    """The same for a site in both programs."""
    return site.distribution.name_span.start, site.distribution.name_span.end


def owned(function: Function) -> frozenset[str]:
    """The names of a function's variables."""
    made = {node.name for node in nodes_in(function.body) if isinstance(node, Assign | Sample)}
    loops = {node.variable for node in nodes_in(function.body) if isinstance(node, For)}
    return frozenset(function.parameters) | made | loops


def _renamed(function: Function) -> Function:
    """The function with names of its own for its variables."""
    names = {name: local(function.name, name) for name in owned(function)}

    def change(part: Node) -> Node | None:
        if isinstance(part, Name) and part.id in names:
            return replace(part, id=names[part.id])
        if isinstance(part, Assign | Sample) and part.name in names:
            return cast(Node, changed(replace(part, name=names[part.name]), change))  # type: ignore[arg-type]
        if isinstance(part, For) and part.variable in names:
            return cast(Node, changed(replace(part, variable=names[part.variable]), change))  # type: ignore[arg-type]
        return None

    parameters = tuple(names[name] for name in function.parameters)
    return replace(function, parameters=parameters, body=changed(function.body, change))  # type: ignore[arg-type]


Lines = list[Statement]


class _Hoisting:
    """Through one program."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.function: str | None = None
        self.lazy = False  # in a part of an expression that only some runs evaluate

    def block(self, block: Block, function: str | None) -> Block:
        self.function = function
        return self.inside(block)

    def inside(self, block: Block) -> Block:
        made: Lines = []
        for statement in block.statements:
            made += self.statement(statement)
        return replace(block, statements=tuple(made))

    def statement(self, node: Statement) -> Lines:
        """What it becomes."""
        lines: Lines = []
        match node:
            case Assign() | Sample() | Return() | Require():
                made = self.hoist(node, lines)
                return [*lines, cast(Statement, made)]
            case If():
                return self.branch(node)
            case While():
                condition = self.hoist(node.condition, lines)
                body = self.inside(node.body)
                body = replace(body, statements=(*body.statements, *lines))
                return [*lines, replace(node, condition=condition, body=body)]
            case For():
                iterable = self.hoist(node.iterable, lines)
                return [*lines, replace(node, iterable=iterable, body=self.inside(node.body))]
            case Function():
                renamed = self.resolved.functions[node.name]
                found = replace(renamed, body=self.block(renamed.body, node.name))
                self.function = None
                return [found]
            case Parameter() | Data():
                return [node]
            case _:
                assert_never(node)

    def branch(self, node: If) -> Lines:
        (condition, body), *others = node.branches
        lines: Lines = []
        condition, body = self.hoist(condition, lines), self.inside(body)
        if not others:
            otherwise = node.otherwise and self.inside(node.otherwise)
            return [*lines, replace(node, branches=((condition, body),), otherwise=otherwise)]
        rest = Block(tuple(self.branch(replace(node, branches=tuple(others)))), span=node.span)
        return [*lines, replace(node, branches=((condition, body),), otherwise=rest)]

    def hoist(self, node: Node, lines: Lines) -> Expression:
        """An expression, or what holds some, without draws and calls, which are added to lines before it."""

        def change(part: Node) -> Node | None:
            if isinstance(part, Conditional | Logical) and not self.lazy:
                return self.lazily(part, lines)
            if isinstance(part, Call) and part.function in self.resolved.functions:
                found = inlined(part, self.resolved)
                if not isinstance(found, Call) or found.function != part.function:
                    return self.hoist(found, lines)
                arguments = tuple(replace(one, value=self.hoist(one.value, lines)) for one in part.arguments)
                return self.named(part, lambda name: Assign(
                    name, (), replace(part, arguments=arguments), span=part.span, name_span=part.span,
                ), lines)
            if isinstance(part, Draw):
                distribution = self.hoist(part.distribution, lines)
                return self.named(part, lambda name: Sample(
                    name, (), distribution, None, span=part.span, name_span=part.span,  # type: ignore[arg-type]
                ), lines)
            return None

        return cast(Expression, changed(node, change))  # type: ignore[arg-type]

    def lazily(self, part: Conditional | Logical, lines: Lines) -> Expression:
        """An expression of which some parts are evaluated only in some runs."""
        first = self.hoist(part.condition if isinstance(part, Conditional) else part.items[0], lines)
        self.lazy = True
        made = (
            replace(part, condition=first, then=self.hoist(part.then, lines), otherwise=self.hoist(part.otherwise, lines))
            if isinstance(part, Conditional)
            else replace(part, items=(first, *(self.hoist(item, lines) for item in part.items[1:])))
        )
        self.lazy = False
        return made

    def named(self, part: Call | Draw, made: Callable[[str], Statement], lines: Lines) -> Name:
        """A line for a part, and the name of what it gives."""
        name = local(self.function, (MAYBE if self.lazy else "") + kept(part))
        lines.append(made(name))
        return Name(name, span=part.span)


__all__ = ["hoisted", "owned"]
