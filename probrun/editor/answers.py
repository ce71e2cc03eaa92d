"""What the language server answers, from a document and a request: problems, changes of the text, places."""

from __future__ import annotations

import re
import unicodedata

from lsprotocol import types

from ..dsl.names.resolve import Resolved
from ..dsl.reading.format import format_source
from ..dsl.reading.words import reserved, terminals
from ..dsl.syntax import Data, Function, Node, Parameter, Sample
from ..dsl.text.diagnostics import Diagnostic, ProbError
from ..dsl.text.source import Source, Span
from .document import Document, ReadText
from .fixes import fix
from .symbols import Occurrence, Symbols

SOURCE = "probrun"
_NAME = re.compile(terminals()["NAME"])


class CannotRename(ValueError):
    """Why a name cannot be changed, in words."""


def problem(diagnostic: Diagnostic, look: ReadText, uri: str) -> types.Diagnostic:
    """A diagnostic as editors show it: the title, notes and help in one text, further places beside it."""
    words = [diagnostic.title + (f" ({diagnostic.label})" if diagnostic.label else "")]
    words += [f"note: {note}" for note in diagnostic.notes]
    words += [f"help: {diagnostic.help}"] if diagnostic.help else []
    related = [
        types.DiagnosticRelatedInformation(types.Location(uri, look.places.range(label.span)), label.text)
        for label in diagnostic.labels
    ]
    place = look.places.range(diagnostic.span or Span(0, 0))
    return types.Diagnostic(
        place, "\n".join(words), types.DiagnosticSeverity.Error, code=diagnostic.code, source=SOURCE, related_information=related,
    )


def formatting(document: Document) -> list[types.TextEdit]:
    """One change of the lines that `probrun fmt` would change; none where the text has syntax errors."""
    if document.look.broken:
        return []
    try:
        text = format_source(document.look.source)
    except ProbError:
        return []
    before, after = document.text, text
    if before == after:
        return []
    ours, theirs = before.splitlines(keepends=True), after.splitlines(keepends=True)
    most, first, last = min(len(ours), len(theirs)), 0, 0
    while first < most and ours[first] == theirs[first]:
        first += 1
    while last < most - first and ours[-1 - last] == theirs[-1 - last]:
        last += 1
    start, end = sum(map(len, ours[:first])), sum(map(len, ours[: len(ours) - last]))
    new = "".join(theirs[first : len(theirs) - last])
    return [types.TextEdit(document.look.places.range(Span(start, end)), new)]


def named_at(document: Document, position: types.Position) -> tuple[Symbols, Occurrence] | None:
    """The name of the program at a position."""
    symbols = document.look.symbols
    found = None if symbols is None else symbols.at(document.look.places.offset(position))
    return None if symbols is None or found is None else (symbols, found)


def definition(document: Document, position: types.Position) -> types.Location | None:
    """Where a name is declared, or set first."""
    named = named_at(document, position)
    if named is None:
        return None
    symbols, found = named
    place = symbols.definition(found.owner)
    return None if place is None else types.Location(document.uri, document.look.places.range(place.span))


def references(document: Document, position: types.Position, declared: bool = True) -> list[types.Location]:
    """Every place of a name; without the one that declares it where that is not wanted."""
    named = named_at(document, position)
    if named is None:
        return []
    symbols, found = named
    first = None if declared else symbols.definition(found.owner)
    return [
        types.Location(document.uri, document.look.places.range(place.span))
        for place in symbols.of(found.owner) if place != first
    ]


def rename(document: Document, position: types.Position, new: str) -> types.WorkspaceEdit:
    """Another name in all places of a name, and no other.  `CannotRename` where the program would then mean something else."""
    named = named_at(document, position)
    if named is None:
        raise CannotRename("there is no name of the program here")
    symbols, found = named
    if document.look.broken:
        raise CannotRename("correct the syntax errors first: a name in a broken statement would be missed")
    new = unicodedata.normalize("NFC", new.strip())
    if not _NAME.fullmatch(new) or not new.isidentifier():
        raise CannotRename(f"`{new}` is not a name: a letter, then letters, digits and _")
    if new in reserved():
        raise CannotRename(f"`{new}` is a word of the language")
    places = symbols.of(found.owner)
    text = document.text
    for place in reversed(places):
        text = text[: place.span.start] + new + text[place.span.end :]
    after = ReadText(Source(document.name, text), document.units)
    if after.symbols is None or after.broken or after.symbols.grouping() != symbols.grouping():
        raise CannotRename(f"`{new}` means something else already")
    if len(after.diagnostics) > len(document.look.diagnostics):
        raise CannotRename(after.diagnostics[0].title)
    edits = [types.TextEdit(document.look.places.range(place.span), new) for place in places]
    return types.WorkspaceEdit(changes={document.uri: edits})


def actions(document: Document, wanted: types.Range) -> list[types.CodeAction]:
    """The changes that the helps in a range say, as far as they say one."""
    look, found = document.look, []
    window = look.places.span(wanted)
    for diagnostic in look.diagnostics:
        span = diagnostic.span
        if span is None or span.end < window.start or span.start > window.end:
            continue
        edit = fix(diagnostic, look.source, lambda text: ReadText(Source(document.name, text), document.units).diagnostics)
        if edit is not None:
            change = types.TextEdit(look.places.range(edit.span), edit.text)
            found.append(types.CodeAction(
                str(diagnostic.help), types.CodeActionKind.QuickFix, [problem(diagnostic, look, document.uri)],
                is_preferred=True, edit=types.WorkspaceEdit(changes={document.uri: [change]}),
            ))
    return found


def outline_of(document: Document) -> list[types.DocumentSymbol]:
    """Parameters, data, functions and sites, for the outline of an editor."""
    look, found = document.look, []
    if look.program is None:
        return []

    def add(name: str, kind: types.SymbolKind, node: Node, name_span: Span, detail: str) -> None:
        whole, place = look.places.range(node.span.to(name_span)), look.places.range(name_span)
        found.append(types.DocumentSymbol(name, kind, whole, place, detail=detail))

    for statement in look.program.body.statements:
        if isinstance(statement, Function):
            add(statement.name, types.SymbolKind.Function, statement, statement.name_span, ", ".join(statement.parameters))
        elif isinstance(statement, Parameter):
            add(statement.name, types.SymbolKind.Constant, statement, statement.name_span, "parameter")
        elif isinstance(statement, Data):
            add(statement.name, types.SymbolKind.Array, statement, statement.name_span, "data")
    resolved: Resolved | None = look.resolved
    for site in () if resolved is None else resolved.sites:
        node = site.node
        head = node.name_span if isinstance(node, Sample) else site.distribution.name_span
        add(site.name, types.SymbolKind.Variable, node, head, site.distribution.name)
    return sorted(found, key=lambda symbol: (symbol.range.start.line, symbol.range.start.character))
