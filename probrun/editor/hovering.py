"""What is said of the place under the pointer, and beside the sites."""

from __future__ import annotations

import re

from lsprotocol import types

from ..dsl.reading.words import terminals, words
from ..dsl.text.source import Span
from .asking import Page
from .document import Document, ShownSite
from .symbols import Occurrence, Symbols

WORD = re.compile(terminals()["NAME"])
WITH_PAGES = {word for members in words().values() for word in members}
PAGE_OF = {"then": "if", "else": "if", "in": "for", "range": "for"}  # words that another word's page explains
HINT_KIND = types.InlayHintKind.Type
MOST_CHARACTERS = 60  # of a line that is quoted


def commented(text: str, offset: int) -> bool:
    """Whether a place stands in a comment."""
    line = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    return "#" in text[line:offset]  # there are no strings in the language


def word_at(text: str, offset: int) -> Span | None:
    """The word at an offset, its end included; None in a comment."""
    if commented(text, offset):
        return None
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    for found in WORD.finditer(text, start):
        if found.start() > offset:
            return None
        if offset <= found.end():
            return Span(found.start(), found.end())
    return None


def hover(document: Document, position: types.Position, page: Page) -> types.Hover | None:
    """A name of the program, a word of the language, a site."""
    look = document.look
    offset = look.places.offset(position)
    if commented(document.text, offset):
        return None
    word = word_at(document.text, offset)
    symbols = look.symbols
    name = None if symbols is None else symbols.at(offset)
    site = _site_at(document, offset, word)
    parts = []
    span = word
    if symbols is not None and name is not None:
        parts.append(_name_text(symbols, name, document))
        span = name.span
    elif word is not None:
        text = document.text[word.start : word.end]
        found = page(PAGE_OF.get(text, text)) if text in WITH_PAGES else None
        if found is not None:
            parts.append(f"```text\n{found}\n```")
    if site is not None:
        parts.append(site_text(site))
        span = span or site.span
    if not parts or span is None:
        return None
    content = types.MarkupContent(types.MarkupKind.Markdown, "\n\n---\n\n".join(parts))
    return types.Hover(content, look.places.range(span))


def _name_text(symbols: Symbols, name: Occurrence, document: Document) -> str:
    declared = symbols.definition(name.owner)
    first = f"**{name.name}**: {symbols.kind(name.owner)}"
    if declared is None:
        return f"{first}; it has no line of its own, every free name of a program without `param` lines is one"
    line, _ = document.look.source.line_column(declared.span.start)
    text = document.look.source.line_text(line).strip()
    text = text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."
    return f"{first}, line {line}\n```prob\n{text}\n```"


def _site_at(document: Document, offset: int, word: Span | None) -> ShownSite | None:
    """The innermost site at a place: at its name, its `~`, its distribution's name."""
    found = None
    for site in document.sites:
        head = Span(site.span.start, site.distribution.start + _head(document.text, site.distribution))
        if head.start <= offset <= head.end and (found is None or site.span.start >= found.span.start):
            found = site
    return found


def _head(text: str, distribution: Span) -> int:
    found = WORD.match(text, distribution.start)
    return 0 if found is None else found.end() - distribution.start


def site_text(site: ShownSite) -> str:
    """The estimator of a site and why, as `probrun explain` says it."""
    told = site.told
    if len(told.among) > 1:
        lines = [
            f"**site {told.name}**: {', '.join(told.among)} are right here; `grad` takes the one with the least error",
            f"- by order: **{told.estimator}**, {told.summary}",
        ]
    else:
        lines = [f"**site {told.name}**: **{told.estimator}**, {told.summary}"]
    lines += [f"- {reason}" for reason in told.because]
    lines += [f"- not {estimator}: {why}" for estimator, why in told.rejected]
    if told.path:
        lines.append(f"- path: `{told.path}`")
    return "\n".join(lines)


def inlay_hints(document: Document, wanted: types.Range) -> list[types.InlayHint]:
    """Behind each site of a range the estimators that it may get; nothing where the program itself sets one."""
    places = document.look.places
    window, hints = places.span(wanted), []
    for site in document.sites:
        place = site.distribution.end
        if site.using is None and window.start <= place <= window.end:
            label = " | ".join(site.told.among or (site.told.estimator,))
            tooltip = types.MarkupContent(types.MarkupKind.Markdown, site_text(site))
            hints.append(types.InlayHint(places.position(place), label, HINT_KIND, tooltip=tooltip, padding_left=True))
    return hints
