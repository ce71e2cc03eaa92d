"""An error is a value with a place, made where it is found and shown in one place.

`Diagnostic` is the value, `ProbError` carries one or more of them to the caller, `render` draws the form of
SCREENS.md.  The codes and their long explanations are in `codes.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from .source import Source, Span


@dataclass(frozen=True)
class Label:
    """A second place of a diagnostic: a span and the words beside its underline."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One problem.

    `title` has names in backticks; `label` stands beside the caret at `span`; `labels` are further places;
    `notes` are facts (``note:``), `help` is something to type (``help:``).
    """

    code: str
    title: str
    span: Span | None = None
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    source: Source | None = None

    def within(self, source: Source) -> Diagnostic:
        """The same diagnostic, knowing its source (unless it already does)."""
        return self if self.source is not None else replace(self, source=source)

    @property
    def position(self) -> tuple[int | None, int | None]:
        """Line and column from 1, or (None, None) where there is no place."""
        if self.source is None or self.span is None:
            return None, None
        return self.source.line_column(self.span.start)


class ProbError(Exception):
    """A program, or a value given to it, is at fault.  Carries every diagnostic found; the first one speaks for all."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]):
        self.diagnostics: tuple[Diagnostic, ...] = (
            (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        )
        super().__init__(self.diagnostics[0].title)

    def __str__(self) -> str:
        return render_all(self.diagnostics)

    @property
    def code(self) -> str:
        """Stable code such as ``P0501``."""
        return self.diagnostics[0].code

    @property
    def message(self) -> str:
        """The title of the first diagnostic."""
        return self.diagnostics[0].title

    @property
    def file(self) -> str | None:
        """Name of the source."""
        source = self.diagnostics[0].source
        return None if source is None else source.name

    @property
    def line(self) -> int | None:
        """Line of the first diagnostic, from 1."""
        return self.diagnostics[0].position[0]

    @property
    def column(self) -> int | None:
        """Column of the first diagnostic, from 1."""
        return self.diagnostics[0].position[1]

    @property
    def hint(self) -> str | None:
        """What to type instead, where something is known."""
        return self.diagnostics[0].help


# ---------------------------------------------------------------------------------------------------- drawing
WIDTH = 100  # columns of source text shown of a long line
TAB = "    "
COLOURS = {"error": "1;31", "place": "1;34", "second": "1;34", "bold": "1"}


def render_all(diagnostics: Iterable[Diagnostic], colour: bool = False) -> str:
    """Several diagnostics, an empty line between them."""
    return "\n\n".join(render(diagnostic, colour) for diagnostic in diagnostics)


def render(diagnostic: Diagnostic, colour: bool = False) -> str:
    """The form of SCREENS.md, without a final newline; `colour` uses ANSI codes."""

    def paint(text: str, kind: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if colour and text else text

    lines = [paint(f"error[{diagnostic.code}]", "error") + paint(f": {_printable(diagnostic.title)}", "bold")]
    source, margin = diagnostic.source, 1
    if source is not None and diagnostic.span is not None:
        marks = _marks(diagnostic, source, diagnostic.span)
        margin = len(str(max(mark.line for mark in marks)))
        line, column = source.line_column(diagnostic.span.start)
        lines.append(f"{' ' * margin}{paint('-->', 'place')} {_printable(source.name)}:{line}:{column}")
        lines.append(paint(f"{' ' * margin} |", "place"))
        lines.extend(_excerpt(marks, source, margin, paint))
        if diagnostic.notes or diagnostic.help:
            lines.append(paint(f"{' ' * margin} |", "place"))
    elif source is not None:
        lines.append(f"{' ' * margin}{paint('-->', 'place')} {_printable(source.name)}")
    facts = [("note", note) for note in diagnostic.notes]
    if diagnostic.help:
        facts.append(("help", diagnostic.help))
    for word, text in facts:
        first, *others = text.split("\n")
        lines.append(f"{' ' * margin} {paint('=', 'place')} {paint(f'{word}:', 'bold')} {_printable(first)}")
        lines.extend(f"{' ' * margin}         {_printable(other)}" for other in others)
    return "\n".join(lines)


@dataclass(frozen=True)
class _Mark:
    """An underline: its line, its characters `[start, end)` in that line, the words beside it."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


def _marks(diagnostic: Diagnostic, source: Source, span: Span) -> list[_Mark]:
    """The underlines of a diagnostic by line and column; a span over several lines is shown by its first."""
    marks = []
    for place, text, primary in [(span, diagnostic.label, True), *((label.span, label.text, False) for label in diagnostic.labels)]:
        line, column = source.line_column(min(place.start, len(source.text)))
        length = len(source.line_text(line))
        start = min(column - 1, length)
        end = min(start + place.end - place.start, length)
        marks.append(_Mark(line, start, max(end, start + 1), text, primary))
    return sorted(marks, key=lambda mark: (mark.line, mark.start, not mark.primary))


def _excerpt(marks: list[_Mark], source: Source, margin: int, paint: Callable[[str, str], str]) -> list[str]:
    lines: list[str] = []
    shown = 0
    for mark in marks:
        text = source.line_text(mark.line)
        focus = next((other for other in marks if other.line == mark.line and other.primary), None)
        first = next(other for other in marks if other.line == mark.line)
        cells = [_cell(character) for character in text]
        low, high = _window(cells, focus or first)
        before = "..." if low else ""
        if mark.line != shown:
            if shown and mark.line > shown + 1:
                lines.append(paint("...", "place"))
            shown = mark.line
            code = before + "".join(cells[low:high]) + ("..." if high < len(cells) else "")
            lines.append(f"{paint(f'{mark.line:>{margin}} |', 'place')} {code}".rstrip())
        start, end = min(max(mark.start, low), high), min(max(mark.end, low), high)
        indent = len(before) + sum(map(_columns, cells[low:start]))
        width = max(1, sum(map(_columns, cells[start:end])))
        underline = paint(("^" if mark.primary else "-") * width, "error" if mark.primary else "second")
        words = paint(_printable(mark.text), "error" if mark.primary else "second")
        lines.append(f"{paint(' ' * margin + ' |', 'place')} {' ' * indent}{underline} {words}".rstrip())
    return lines


def _window(cells: list[str], mark: _Mark) -> tuple[int, int]:
    """Which characters of a long line to show: about `WIDTH` columns around the mark."""
    columns = [_columns(cell) for cell in cells]
    if sum(columns) <= WIDTH:
        return 0, len(cells)
    low = high = min(mark.start, len(cells) - 1)
    room = WIDTH - min(WIDTH // 2, sum(columns[mark.start : mark.end])) - 6
    while low > 0 and room - columns[low - 1] >= WIDTH // 4:
        low -= 1
        room -= columns[low]
    room = WIDTH - 6 - sum(columns[low:high])
    while high < len(cells) and room >= columns[high]:
        room -= columns[high]
        high += 1
    while low > 0 and room >= columns[low - 1]:
        low -= 1
        room -= columns[low]
    return (0 if low <= 3 and sum(columns[:high]) <= WIDTH else low), high


def _cell(character: str) -> str:
    """How a character of the source is shown: tabs as spaces, control characters as U+FFFD."""
    return TAB if character == "\t" else _printable(character)


def _printable(text: str) -> str:
    """Text without control characters and lone surrogates, which a terminal would obey or refuse."""
    if text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Zs", "Zl", "Zp") or character in "\t\n\r":
        return " "
    return "\ufffd" if kind.startswith("C") else character


def _columns(cell: str) -> int:
    """Terminal columns of a piece of text: wide characters take two, combining ones none."""
    total = 0
    for character in cell:
        if unicodedata.category(character) not in ("Mn", "Me"):
            total += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return total
