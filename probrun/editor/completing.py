"""What may be typed at a place: looked up from the line before it, so that it works in half-typed programs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lsprotocol import types

from ..dsl.reading.words import words
from ..dsl.syntax import FORMS
from ..dsl.tables.distributions import DISTRIBUTIONS, signature
from ..dsl.tables.functions import FUNCTIONS
from .document import Document
from .hovering import commented

Kind = types.CompletionItemKind
_NEW_NAME = re.compile(r"(^|[{;\s])(param|data|fn|for)[ \t]+\w*$")
_DRAWN = re.compile(rf"(~|\bvia\b|\b(?:{'|'.join(FORMS)})[ \t]*\()[ \t]*\w*$")
_USING = re.compile(r"\busing[ \t]+\w*$")
_DOMAIN = re.compile(r"\bparam\b.*\bin[ \t]+\w*$")
_STATEMENT = re.compile(r"(^|[{};])[ \t]*\w*$")
_NUMBER = re.compile(r"(^|[^\w.])[0-9]+[\w.]*$")
_STARTS = ("param", "data", "fn", "if", "for", "while", "return", "observe", "factor", "else")
_INSIDE = ("if", "then", "else", "in", "and", "or", "not", "using", "via")


def complete(document: Document, position: types.Position) -> list[types.CompletionItem]:
    """Words, names, and arguments of the call that the place stands in."""
    look = document.look
    offset = look.places.offset(position)
    start = look.places.starts[min(position.line, len(look.places.starts) - 1)]
    line = document.text[start:offset]
    if commented(document.text, offset) or _NEW_NAME.search(line) or _NUMBER.search(line):
        return []
    if _DRAWN.search(line):
        return _distributions()
    if _USING.search(line):
        return [types.CompletionItem(name, kind=Kind.EnumMember, data=name) for name in words()["estimators"]]
    if _DOMAIN.search(line):
        return [types.CompletionItem(name, kind=Kind.Keyword) for name in words()["domains"]]
    keywords = _STARTS if _STATEMENT.search(line) else _INSIDE
    return [
        *_arguments(line), *_names(document, offset),
        *(types.CompletionItem(word, kind=Kind.Keyword, data=word) for word in keywords),
        *_functions(), *_distributions(),
        *(types.CompletionItem(name, kind=Kind.Constant) for name in words()["constants"]),
    ]


def _distributions() -> list[types.CompletionItem]:
    return [
        types.CompletionItem(name, kind=Kind.Class, detail=signature(row), data=name) for name, row in DISTRIBUTIONS.items()
    ]


def _functions() -> Iterable[types.CompletionItem]:
    for name in words()["functions"]:
        row = FUNCTIONS.get(name)
        yield types.CompletionItem(name, kind=Kind.Function, detail=None if row is None else row.signature, data=name)


def _names(document: Document, offset: int) -> Iterable[types.CompletionItem]:
    symbols = document.look.symbols
    if symbols is None:
        return
    scope = symbols.scope_at(offset)
    seen = set()
    for found in symbols.all:
        function, name, callable = found.owner
        if found.owner not in seen and function in (None, scope.name) and found.span.end != offset:
            seen.add(found.owner)
            kind = Kind.Function if callable else Kind.Variable
            # what the program itself has made comes first
            yield types.CompletionItem(name, kind=kind, detail=symbols.kind(found.owner), sort_text=f" {name}")


def _arguments(line: str) -> Iterable[types.CompletionItem]:
    """The arguments, by name, of the distribution whose brackets are open."""
    depth = 0
    for index in range(len(line) - 1, -1, -1):
        depth += (line[index] in ")]") - (line[index] in "([")
        if depth < 0:
            called = re.search(r"(\w+)[ \t]*$", line[:index])
            row = DISTRIBUTIONS.get(called[1]) if called else None
            for parameter in () if row is None else row.parameters:
                detail = f"must {parameter.domain.value}"
                yield types.CompletionItem(f"{parameter.name}=", kind=Kind.Property, detail=detail, sort_text=f" {parameter.name}")
            return
