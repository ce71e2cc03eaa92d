"""Adversary of the language server: programs as they look while somebody types, and every question at every place.

Texts are cut, shuffled and broken at random; nothing may raise, the problems must be those of `probrun check`, what is renamed must
mean the same (as long as it has the same plan, under the other name), and a fix must leave fewer problems.

    python benchmarks/half_typed.py [TEXTS] [SEED]
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from lsprotocol import types

from probrun import help as pages
from probrun.api import Program, from_source
from probrun.dsl.reading.format import format_program
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source
from probrun.editor import answers, completing, hovering
from probrun.editor.document import Document
from probrun.editor.positions import UNITS

ROOT = Path(__file__).parent.parent
PIECES = ["(", ")", "[", "]", "{", "}", "~", "=", "\n", "\r\n", ";", "#", "if ", "else", "for i in ", "fn f(", "param ", "data y[", "observe ",
          "factor ", " via ", " using ", "🎲", "ü", "Normal(", "theta", "x", "1e", ".", "..", "\"", "\u2028", "\x0c", "\t", "return ", "z = ", "\x00"]


def texts() -> list[str]:
    """Programs to begin with."""
    found = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.prob"))]
    return [*found, *(path.read_bytes().decode("utf-8", "replace") for path in sorted((ROOT / "tests" / "programs").glob("*.prob"))
                      if path.stat().st_size < 3000)]


def broken(text: str, rng: random.Random) -> str:
    """A text with a few changes."""
    for _ in range(rng.randrange(4)):
        place, length = rng.randrange(len(text) + 1), rng.choice([0, 0, 1, 2, 5, 30])
        text = text[:place] + rng.choice([*PIECES, ""]) + text[place + length :]
    return text[: rng.randrange(len(text) + 1)] if rng.random() < 0.3 else text


def explain(resolved: object) -> object:
    """As the command line does."""
    return Program(resolved).explain()  # type: ignore[arg-type]


def examine(before: str, text: str, rng: random.Random) -> None:
    """Every question, in a document that was another one before; raises where something is wrong."""
    encoding = rng.choice(list(UNITS))
    document = Document("file:///a.prob", before, 1, UNITS[encoding])
    document.plan(explain)  # type: ignore[arg-type]
    document.change(text, 2)
    assert all(site.span.end <= len(text) for site in document.sites)
    everywhere = document.look.places.range(document.look.places.span(types.Range(types.Position(0, 0), types.Position(10**6, 0))))
    hovering.inlay_hints(document, everywhere)
    places = [types.Position(rng.randrange(30), rng.randrange(40)) for _ in range(12)]
    for place in places:
        assert document.look.places.offset(document.look.places.position(document.look.places.offset(place))) == document.look.places.offset(place)
        hovering.hover(document, place, pages.page)
        completing.complete(document, place)
        answers.definition(document, place)
        answers.references(document, place)
        renamed(document, place)
    answers.outline_of(document)
    formatted(document)
    fixed(document)
    document.plan(explain)  # type: ignore[arg-type]
    assert [found.title for found in document.diagnostics] == checked(text)
    for found in document.diagnostics:
        answers.problem(found, document.look, document.uri)


def checked(text: str) -> list[str]:
    """What `probrun check` finds."""
    try:
        from_source(Source("a.prob", text)).explain()
    except ProbError as error:
        return [found.title for found in error.diagnostics]
    return []


def applied(document: Document, edits: list[types.TextEdit]) -> str:
    """The text after some changes."""
    text = document.text
    for edit in sorted(edits, key=lambda edit: (edit.range.start.line, edit.range.start.character), reverse=True):
        span = document.look.places.span(edit.range)
        text = text[: span.start] + edit.new_text + text[span.end :]
    return text


def renamed(document: Document, place: types.Position) -> None:
    """To a fresh name and back: the same program."""
    try:
        edit = answers.rename(document, place, "fresh_é")
    except answers.CannotRename:
        return
    assert edit.changes is not None
    named = answers.named_at(document, place)
    assert named is not None
    other = Document(document.uri, applied(document, list(edit.changes[document.uri])), 1, document.units)
    symbols = other.look.symbols
    assert symbols is not None
    back = next(found for found in symbols.all if found.name == "fresh_é")
    again = answers.rename(other, other.look.places.position(back.span.start), named[1].name)
    assert again.changes is not None
    text = applied(other, list(again.changes[document.uri]))
    assert document.look.program is not None and from_text(text) == format_program(document.look.program.body)


def from_text(text: str) -> str:
    """The canonical text."""
    program = Document("file:///a.prob", text, 1, len).look.program
    assert program is not None
    return format_program(program.body)


def formatted(document: Document) -> None:
    """As `probrun fmt`."""
    from probrun.dsl.reading.format import format_source

    try:
        expected = format_source(document.look.source)
    except ProbError:
        expected = document.text
    assert applied(document, answers.formatting(document)) == expected


def fixed(document: Document) -> None:
    """A fix leaves no further problem of its kind."""
    look = document.look
    everywhere = types.Range(types.Position(0, 0), types.Position(10**6, 0))
    for action in answers.actions(document, everywhere):
        assert action.edit is not None and action.edit.changes is not None and action.diagnostics is not None
        text = applied(document, list(action.edit.changes[document.uri]))
        assert text != document.text and look.diagnostics, action.title


def main(count: int, seed: int) -> int:
    """Prints what failed, with the text."""
    rng, known, failed = random.Random(seed), texts(), 0
    for number in range(count):
        before = rng.choice(known)
        text = broken(before, rng)
        try:
            examine(before, text, rng)
        except Exception as error:
            failed += 1
            print(f"--- text {number}: {type(error).__name__}: {error}\n{text!r}")
            if failed == 1:
                import traceback

                traceback.print_exc()
    print(f"{count} texts, {failed} failures")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["1000"])[0]), int((sys.argv[2:] or ["0"])[0])))
