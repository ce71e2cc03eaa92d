"""Positions as editors count them: lines from 0, and characters in units of UTF-16 unless the two agree on something else."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

from lsprotocol import types

from ..dsl.text.source import Span

Units = Callable[[str], int]
_LINE_END = re.compile(r"\r\n|\r|\n")


def _in_utf16(text: str) -> int:
    return len(text) if text.isascii() else len(text) + sum(character > "\uffff" for character in text)


def _in_utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


UNITS: dict[types.PositionEncodingKind | str, Units] = {
    types.PositionEncodingKind.Utf16: _in_utf16,
    types.PositionEncodingKind.Utf8: _in_utf8,
    types.PositionEncodingKind.Utf32: len,
}


class Positions:
    """Character offsets of a text, to and from an editor's positions.  Positions outside the text are moved into it."""

    def __init__(self, text: str, units: Units = _in_utf16) -> None:
        self.text = text
        self.units = units
        self.starts, self.ends = [0], []
        for found in _LINE_END.finditer(text):
            self.ends.append(found.start())
            self.starts.append(found.end())
        self.ends.append(len(text))

    def position(self, offset: int) -> types.Position:
        """The position of a character offset."""
        line = bisect_right(self.starts, max(offset, 0)) - 1
        end = min(offset, self.ends[line])
        return types.Position(line, self.units(self.text[self.starts[line] : end]))

    def offset(self, position: types.Position) -> int:
        """The character offset of a position; inside a character it is the start of that."""
        if position.line >= len(self.starts):
            return len(self.text)
        start, end = self.starts[position.line], self.ends[position.line]
        if self.text[start:end].isascii():
            return min(start + position.character, end)
        left = position.character
        for index in range(start, end):
            left -= self.units(self.text[index])
            if left < 0:
                return index
        return end

    def range(self, span: Span) -> types.Range:
        """The range of a span."""
        return types.Range(self.position(span.start), self.position(span.end))

    def span(self, place: types.Range) -> Span:
        """The span of a range."""
        start = self.offset(place.start)
        return Span(start, max(start, self.offset(place.end)))
