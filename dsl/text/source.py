"""A program's text and places in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

LONGEST = 44  # characters of a program that are quoted in a sentence


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of character offsets ``[start, end)`` in a source text."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.start, max(self.end, other.end))


@dataclass(frozen=True)
class Source:
    """The text of one program and the name it is shown under (a path, ``-`` or ``<string>``)."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for index, character in enumerate(self.text):
            if character == "\n" or (character == "\r" and self.text[index + 1 : index + 2] != "\n"):
                starts.append(index + 1)
        return starts

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """The text of a line (counted from 1) without its line end."""
        start = self._starts[line - 1]
        end = self._starts[line] if line < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def slice(self, span: Span) -> str:
        """The text that a span covers."""
        return self.text[span.start : span.end]

    def places(self, spans: Iterable[Span]) -> tuple[tuple[int, str], ...]:
        """Line and text of each."""
        return tuple((self.line_column(span.start)[0], " ".join(self.slice(span).split())) for span in spans)

    def quoted(self, span: Span) -> str:
        """The text of a span on one line, cut where it is long."""
        text = " ".join(self.slice(span).split())
        return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."

    def line_of(self, span: Span) -> int:
        """The line of a span, from 1."""
        return self.line_column(span.start)[0]
