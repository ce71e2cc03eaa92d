"""The parts of a screen as HTML: tables are tables, everything else is text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Grid:
    """A table of a screen: `align` has `l` or `r` for each column; `prose` and `first` are for how wide it may be as text."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    prose: bool = False
    first: int | None = None


Part: TypeAlias = str | Grid  # a line, or a table; an empty line ends a paragraph
BOX = "max-width: 60em; margin: 0.3em 0"
CELL = "padding: 0.15em 0.8em; vertical-align: top"


def html_of(parts: Sequence[Part]) -> str:
    """The parts of a screen; lines without an empty one between them are one paragraph."""
    found: list[str] = []
    paragraph: list[str] = []
    for part in [*_lines(parts), ""]:
        if isinstance(part, str) and part:
            paragraph.append(part)
            continue
        if paragraph:
            found.append(_paragraph(paragraph, first=not found and len(paragraph) == 1))
            paragraph = []
        if isinstance(part, Grid):
            found.append(html_table(part.headers, part.rows, part.align))
    return f'<div style="{BOX}">{"".join(found)}</div>'


def _lines(parts: Sequence[Part]) -> list[Part]:
    found: list[Part] = []
    for part in parts:
        found += [part] if isinstance(part, Grid) else part.split("\n")
    return found


def escape(text: str) -> str:
    """A text as HTML."""
    from html import escape as escaped

    return escaped(text)


def _paragraph(lines: list[str], first: bool) -> str:
    text = escape(textwrap.dedent("\n".join(lines)))
    weight = "; font-weight: bold" if first else ""
    return f'<div style="white-space: pre-wrap; font-family: monospace; margin: 0.5em 0{weight}">{text}</div>'


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A table; `align` has `l` or `r` for each column."""
    sides = ["left" if side == "l" else "right" for side in align]
    head = f"<thead>{_row('th', headers, sides)}</thead>" if any(headers) else ""
    body = "".join(_row("td", row, sides) for row in rows)
    return f'<table style="margin: 0.4em 0; border-collapse: collapse">{head}<tbody>{body}</tbody></table>'


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    shown = (f'<{tag} style="text-align: {side}; {CELL}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=False))
    return f"<tr>{''.join(shown)}</tr>"
