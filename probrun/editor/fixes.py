"""From the `help:` of a diagnostic to a change of the text.

A help is written for people.  What it says to write is read from its words, put where it may belong, and the text is read again:
a change is offered only where that problem is gone, no other has come, and nothing is lost (every name and number that stood
there is still there, and no new name has come in).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..dsl.reading.words import words
from ..dsl.text.diagnostics import Diagnostic
from ..dsl.text.source import Source, Span

_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+")
_KNOWN = {word for members in words().values() for word in members}
_MEANT = re.compile(r"^did you mean `([^`]+)`\?")
_WRITE = re.compile(r"^(?:write|multiply with|assign with =:) (?:`([^`]+)`|(.+))")
_CLOSE = re.compile(r"^close it with `(.)`")
_ADD = re.compile(r"^add a `(.)`")
_LEAVE = re.compile(r"^leave (?:out this `.`|it out)")
_DECLARE = re.compile(r"^(?:if it is a parameter, declare it|declare it): (param \w+)")
_MODULE = re.compile(r"\b\w+(?:[.]|::)")
_ENDS = re.compile(r";|, or |: |; ")  # what follows what is to be written
MOST_TRIED = 12


@dataclass(frozen=True)
class Edit:
    """Text in the place of other text; `alone`: what stands behind it in the line may have mistakes of its own."""

    span: Span
    text: str
    alone: bool = False

    def within(self, text: str) -> str:
        """The text that it makes."""
        return text[: self.span.start] + self.text + text[self.span.end :]


def fix(diagnostic: Diagnostic, source: Source, check: Callable[[str], Iterable[Diagnostic]]) -> Edit | None:
    """The change that a help says, or None where it does not say one; `check` gives the problems of a text."""
    if diagnostic.span is None or not diagnostic.help:
        return None
    before = set(map(_key, check(source.text)))
    if _key(diagnostic) not in before:
        return None  # found by planning, or in another text: nothing here could tell whether a change helps
    for edit in islice((edit for edit in _candidates(diagnostic, source) if not _glued(edit, source.text)), MOST_TRIED):
        after = {
            _key(found) for found in check(edit.within(source.text))
            if not _later(found, diagnostic) and not (edit.alone and _behind(found, edit, source.text))
        }
        if _key(diagnostic) not in after and after <= before:
            return edit
    return None


def _key(diagnostic: Diagnostic) -> tuple[str, str]:
    return diagnostic.code, diagnostic.title


def _later(found: Diagnostic, than: Diagnostic) -> bool:
    """Whether a problem is of a kind that is looked for only where those of the other kind are gone."""
    return found.code[:3] > than.code[:3]


def _behind(found: Diagnostic, edit: Edit, text: str) -> bool:
    """Whether a problem stands behind an edit, in its line."""
    end = edit.span.start + len(edit.text)
    return found.span is not None and end <= found.span.start <= _line(Span(end, end), edit.within(text)).end


def _glued(edit: Edit, text: str) -> bool:
    """Whether a word would grow together with the one beside it."""
    before, after = text[: edit.span.start][-1:] + edit.text[:1], edit.text[-1:] + text[edit.span.end : edit.span.end + 1]
    return any(_WORD.fullmatch(f"a{pair}") and len(pair) == 2 for pair in (before, after) if edit.text)


def _candidates(diagnostic: Diagnostic, source: Source) -> Iterator[Edit]:
    assert diagnostic.span is not None and diagnostic.help is not None
    text, span, advice = source.text, diagnostic.span, diagnostic.help
    if found := _MEANT.match(advice):
        yield from _in_place(found[1], span, text)
    elif found := _WRITE.match(advice):
        for code in _written(found):
            yield from _in_place(code, span, text)
            yield from (Edit(place, code) for place in _extents(span, text) if _keeps(text[place.start : place.end], code))
    elif found := _CLOSE.match(advice):
        yield Edit(span, found[1])
    elif found := _ADD.match(advice):
        for label in diagnostic.labels:
            yield Edit(Span(label.span.start, label.span.start), found[1])
        end = _line(span, text).end
        yield Edit(Span(end, end), found[1])
    elif _LEAVE.match(advice):
        yield Edit(span, "")
        yield Edit(Span(len(text[: span.start].rstrip(" \t")), span.end), "")
    elif found := _DECLARE.match(advice):
        place = _first_statement(text)
        yield Edit(Span(place, place), f"{found[1]}\n")


def _written(found: re.Match[str]) -> Iterator[str]:
    """What is to be written: what stands in backticks, else the words up to where a sentence goes on, or all of them."""
    if found[1]:
        codes = [found[1]]
    else:
        codes = [found[2][: end.start()] for end in _ENDS.finditer(found[2])] + [found[2]]
    yield from (code for code in codes if "..." not in code)


def _in_place(code: str, span: Span, text: str) -> Iterator[Edit]:
    """A word in the place of a word, a sign in the place of a sign; of an argument by name, the name."""
    old = text[span.start : span.end]
    named = re.match(r"(\w+)\s*=(?!=)", old)
    if named and _WORD.fullmatch(code):
        yield Edit(Span(span.start, span.start + len(named[1])), code)
    elif bool(_WORD.search(old)) == bool(_WORD.search(code)) and not _WORD.sub("", code).strip() and _WORD.fullmatch(old):
        yield Edit(span, code)
    elif not any(pattern.search(old) for pattern in (_WORD, _NUMBER)) and set(_WORD.findall(code)) <= _KNOWN:
        if _NUMBER.search(code):
            return
        before, after = text[span.start - 1 : span.start], text[span.end : span.end + 1]
        spaced = [" " if _WORD.search(code) and beside and not beside.isspace() else "" for beside in (before, after)]
        yield Edit(span, f"{spaced[0]}{code}{spaced[1]}", alone=True)


def _extents(span: Span, text: str) -> Iterator[Span]:
    """Where what is to be written may belong: the place itself, with what stands around it in its statement, smallest first."""
    line = _line(span, text)
    cuts = sorted({
        line.start, line.end, span.start, span.end,
        *(line.start + found.start() for found in re.finditer(r"\b|(?<=[\])}])|(?=[(\[{#])", text[line.start : line.end])),
    })
    pairs = [(start, end) for start in cuts for end in cuts if start <= span.start and span.end <= end and start < end]
    for start, end in sorted(pairs, key=lambda pair: pair[1] - pair[0]):
        inside = text[start:end]
        glued = ((start and text[start - 1] == ".") or text[end : end + 1] in ("(", "[", ".")) and end != line.end
        if inside == inside.strip() and _balanced(inside) and not glued and "#" not in inside:
            yield Span(start, end)


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _keeps(old: str, new: str) -> bool:
    """Whether no name and no number is lost but the one that is wrong, and none comes in from nowhere."""
    had, has = set(_WORD.findall(old)), set(_WORD.findall(new))
    lost = set(_WORD.findall(_MODULE.sub("", old))) - has - _KNOWN
    return set(_NUMBER.findall(old)) <= set(_NUMBER.findall(new)) and has - had <= _KNOWN and len(lost) <= 1


def _line(span: Span, text: str) -> Span:
    """The line of a place."""
    start = max(text.rfind(sign, 0, span.start) for sign in "\n\r") + 1
    ends = [place for sign in "\n\r" if (place := text.find(sign, span.end)) >= 0]
    return Span(start, min(ends, default=len(text)))


def _first_statement(text: str) -> int:
    """The start of the first line that is neither empty nor a comment."""
    found = re.search(r"^(?![ \t]*(#|$))", text, re.MULTILINE)
    return 0 if found is None else found.start()
