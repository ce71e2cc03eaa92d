"""Makes a failing program smaller: what can be left out, or replaced by a part of itself, as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import probrun
from probrun.dsl import levels
from probrun.dsl import syntax as s
from probrun.dsl.reading.format import format_program

EXPRESSIONS = (
    s.Arithmetic, s.Power, s.Comparison, s.Logical, s.Conditional, s.Call, s.Unary, s.Index, s.Vector, s.Draw, s.Name,
)


def smaller(node: Any) -> Iterator[Any]:
    """Trees with one thing less, the largest cuts first."""
    if isinstance(node, s.Block):
        for place, statement in enumerate(node.statements):
            if isinstance(statement, levels.Implied):
                continue
            wide = 3 if isinstance(statement, levels.Proposal) else 1
            before, after = node.statements[:place], node.statements[place + wide :]
            if isinstance(statement, levels.Proposal):
                plain = s.Sample(statement.shown, statement.places, statement.target, statement.using)
                yield replace(node, statements=(*before, plain, *after))
            if not isinstance(statement, s.Parameter):
                yield replace(node, statements=(*before, *after))
            if isinstance(statement, s.If | s.For | s.While):
                for block in statement.blocks:
                    yield replace(node, statements=(*before, *block.statements, *after))
            if isinstance(statement, s.If) and statement.otherwise is not None:
                yield replace(node, statements=(*before, replace(statement, otherwise=None), *after))
            if isinstance(statement, s.If) and len(statement.branches) > 1:
                yield replace(node, statements=(*before, replace(statement, branches=statement.branches[:1]), *after))
    elif isinstance(node, EXPRESSIONS):
        if not isinstance(node, s.Name):
            yield from (child for child in s.children(node) if isinstance(child, EXPRESSIONS))
        yield from (s.Number(1.0, "1"), s.Number(0.0, "0"))
        if isinstance(node, s.Arithmetic) and len(node.rest) > 1:
            yield replace(node, rest=node.rest[:-1])
    if isinstance(node, s.Return) and len(node.values) > 1:
        yield replace(node, values=node.values[:1])
    if isinstance(node, levels.Observe):
        yield from (levels.Observe.of(density, node.span) for density in smaller(node.density))
        return
    if isinstance(node, levels.Factor):
        yield from (levels.Factor.of(value, node.span) for value in smaller(levels.added_to(node)))
        return
    if isinstance(node, levels.Proposal):
        return
    for item in fields(node):
        if item.name != "span" and isinstance(getattr(node, item.name), s.Node | tuple):
            for part in parts(getattr(node, item.name)):
                yield replace(node, **{item.name: part})


def parts(value: Any) -> Iterator[Any]:
    """The same for what a field holds."""
    if isinstance(value, s.Node):
        yield from smaller(value)
    elif isinstance(value, tuple):
        for place, entry in enumerate(value):
            for part in parts(entry):
                yield (*value[:place], part, *value[place + 1 :])


def smallest(text: str, fails: Callable[[str], bool]) -> str:
    """A program that still fails and of which nothing more can be left out."""
    text, going = format_program(probrun.parse(text).resolved.program.body), True
    while going:
        going = False
        body = probrun.parse(text).resolved.program.body
        for candidate in smaller(body):
            try:
                shorter = format_program(candidate)
                if len(shorter) < len(text) and fails(shorter):
                    text, going = shorter, True
                    break
            except (probrun.ProbError, AssertionError):
                continue
    return text
