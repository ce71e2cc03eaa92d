"""The place of a syntax error: the token that did not fit, what stands around it, and what the parser would have taken."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from ..text.diagnostics import Diagnostic
from ..text.source import Source, Span
from .tokens import span_of


@dataclass
class Place:
    """Where the parser stopped: the token at `index`, the start of its statement, and the types it would have taken."""

    tokens: list[Token]
    index: int
    statement: int
    accepted: frozenset[str]
    source: Source

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    @property
    def before(self) -> Token | None:
        """The token before, if it belongs to the same statement."""
        return self.tokens[self.index - 1] if self.index > self.statement else None

    @property
    def after(self) -> Token | None:
        return self.tokens[self.index + 1] if self.index + 1 < len(self.tokens) else None

    @property
    def first(self) -> Token:
        return self.tokens[self.statement]

    def kind(self, offset: int) -> str:
        """Type of the token so many places on, or "" outside the list."""
        return self.type_at(self.index + offset)

    def type_at(self, index: int) -> str:
        """Type of the token at an index, or "" outside the list."""
        return self.tokens[index].type if 0 <= index < len(self.tokens) else ""

    def text(self, start: int, stop: int) -> str:
        """Source text of the tokens from `start` up to `stop`, on one line."""
        if stop <= start:
            return ""
        span = Span(span_of(self.tokens[start]).start, span_of(self.tokens[stop - 1]).end)
        return " ".join(self.source.slice(span).split())

    def diagnostic(
        self, code: str, title: str, help: str | None = None, label: str = "", span: Span | None = None
    ) -> Diagnostic:
        """A diagnostic at the token, or at `span`."""
        return Diagnostic(code, title, span or span_of(self.token), label, help=help, source=self.source)
