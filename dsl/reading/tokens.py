"""The words of a program: lark's tokens, checked and arranged before the parser sees them.

Three things are settled here, on the whole list, because each needs more than one token of look-ahead.
Brackets are matched: a bracket without a partner is reported here, once, and becomes a `BRACKET` token, which no
rule accepts, so the statement it stands in is skipped without a second complaint.  Newlines that do not end a
statement go: those inside `( )` and `[ ]`, and those before `else`, `then` and `{`, which begin no statement.
Names are brought to NFC and checked: the lexer takes every non-ASCII character as part of a name, so `z×2` comes as
one token and is cut here at the first character that no name can have.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from lark import Token

from ..syntax import MAX_NESTING
from ..text.diagnostics import Diagnostic, Label
from ..text.source import Source, Span

MAX_CHARACTERS = 500_000
PARTNER = {"(": ")", "[": "]", "{": "}"}
BRACKET = "BRACKET"
JOINING = frozenset({"ELSE", "THEN", "LBRACE"})
BEFORE_STATEMENTS = frozenset({"SEPARATOR", "LBRACE"})
WEIGHTS = frozenset({"NAME", "NUMBER", "TRUE", "FALSE", "LPAR", "MINUS", "IF", "NOT"})  # what may begin the value of `factor`


@dataclass
class TokenList:
    """The arranged tokens and what was wrong with brackets."""

    tokens: list[Token] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def report(
        self, code: str, title: str, span: Span, source: Source, label: str = "", other: Label | None = None, help: str = ""
    ) -> None:
        """Note a problem, one in a line: a second one there would be a consequence of the first."""
        line = source.line_column(span.start)[0]
        if all(known.position[0] != line for known in self.diagnostics[-3:]):
            self.diagnostics.append(Diagnostic(code, title, span, label, (other,) if other else (), help=help, source=source))


def span_of(token: Token) -> Span:
    """Where a token stands."""
    start = token.start_pos or 0
    return Span(start, start if token.end_pos is None else token.end_pos)


def retyped(token: Token, kind: str) -> Token:
    """The same token under another type."""
    return Token.new_borrow_pos(kind, str(token), token)


def unreadable(source: Source) -> Diagnostic | None:
    """P0108 for binary text and broken UTF-8, P0107 for a text that is too long."""
    text = source.text
    for index, character in enumerate(text) if "\0" in text or not _encodable(text) else ():
        if character == "\0":
            title, note = "this is not a text file", "it contains a NUL character"
        elif "\ud800" <= character <= "\udfff":
            title, note = "this is not UTF-8", f"a byte that cannot stand here: 0x{ord(character) & 0xFF:02x}"
        else:
            continue
        return Diagnostic("P0108", title, Span(index, index + 1), notes=(note,), source=source)
    if len(text) > MAX_CHARACTERS:
        title = f"the program is too long: {len(text)} characters, the most is {MAX_CHARACTERS}"
        return Diagnostic("P0107", title, Span(0, 1), help="read tables with `data` instead of writing them out", source=source)
    return None


def decode(name: str, content: bytes) -> Source:
    """The source in a file's bytes; raises nothing, since `parse` refuses what is not UTF-8 at its place."""
    return Source(name, content.decode("utf-8", errors="surrogateescape"))


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def arrange(raw: Iterator[Token], source: Source) -> TokenList:
    """Check names, match brackets and drop the newlines that end nothing."""
    found = TokenList()
    tokens = _with_checked_names(raw)
    partner = _match_brackets(tokens, found, source)
    depth: list[str] = []  # open matched brackets
    for index, token in enumerate(tokens):
        kind = token.type
        if kind == "SEPARATOR" and (depth and depth[-1] != "{"):
            if token == ";":
                found.tokens.append(retyped(token, "UNKNOWN"))
            continue
        if kind in JOINING:
            while found.tokens and found.tokens[-1].type == "SEPARATOR" and found.tokens[-1] != ";":
                found.tokens.pop()
        if index in partner:
            if partner[index] > index:
                depth.append(str(token))
            else:
                depth.pop()
        found.tokens.append(_in_context(token, found.tokens, tokens[index + 1] if index + 1 < len(tokens) else None))
    return found


def _in_context(token: Token, before: list[Token], after: Token | None) -> Token:
    """`factor` and `via` are words of the language where no name can stand; elsewhere they are names like others."""
    if token.type == "NAME" and after is not None:
        if token == "factor" and after.type in WEIGHTS and (not before or before[-1].type in BEFORE_STATEMENTS):
            return retyped(token, "FACTOR")
        ends = before and (before[-1].type == "RPAR" or [kind.type for kind in before[-2:]] == ["USING", "NAME"])
        if token == "via" and after.type == "NAME" and ends:
            return retyped(token, "VIA")
    return token


def _with_checked_names(raw: Iterator[Token]) -> list[Token]:
    tokens: list[Token] = []
    for token in raw:
        if token.type == "NAME" and not token.isascii():
            name = unicodedata.normalize("NFC", token)
            if not name.isidentifier():
                tokens.extend(_cut(token))
                continue
            token = Token.new_borrow_pos("NAME", name, token)
        tokens.append(token)
    return tokens


def _cut(token: Token) -> list[Token]:
    """A name that holds a character that no name can have: the name before it, then the character."""
    length = len(token)
    while length and not unicodedata.normalize("NFC", token[:length]).isidentifier():
        length -= 1
    start = token.start_pos or 0
    pieces = [Token("NAME", unicodedata.normalize("NFC", token[:length]), start, end_pos=start + length)] if length else []
    return [*pieces, Token("UNKNOWN", token[length : length + 1], start + length, end_pos=start + length + 1)]


def _match_brackets(tokens: list[Token], found: TokenList, source: Source) -> dict[int, int]:
    """Index of each matched bracket -> index of its partner; the others become `BRACKET` tokens, reported."""
    partner: dict[int, int] = {}
    open_brackets: list[int] = []
    for index, token in enumerate(tokens):
        if token.type in ("LPAR", "LSQB", "LBRACE"):
            open_brackets.append(index)
            if len(open_brackets) > MAX_NESTING + 1:
                title = f"brackets nested more than {MAX_NESTING} deep"
                help_text = "give a part of it a name of its own"
                found.diagnostics[:] = [Diagnostic("P0107", title, span_of(token), help=help_text, source=source)]
                return partner
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            _close(index, tokens, open_brackets, partner, found, source)
    for index in open_brackets:
        _report_unclosed(index, tokens, found, source, tokens[-1])
    for index in [i for i in open_brackets if tokens[i].type == "BRACKET" and tokens[i] == "{"]:
        tokens[index] = retyped(tokens[index], "LBRACE")
        end = tokens[-1].end_pos or 0
        tokens.append(Token("RBRACE", "}", end, end_pos=end))
        partner[index] = len(tokens) - 1
    return partner


def _close(
    index: int, tokens: list[Token], open_brackets: list[int], partner: dict[int, int], found: TokenList, source: Source
) -> None:
    """Find the partner of a closing bracket; braces are the stronger ones: `}` looks through `(`, `)` not through `{`."""
    closer = tokens[index]
    position = len(open_brackets) - 1
    while position >= 0 and PARTNER[tokens[open_brackets[position]]] != closer:
        if closer != "}" and tokens[open_brackets[position]] == "{":
            position = -1
            break
        position -= 1
    if position >= 0:
        for unclosed in open_brackets[position + 1 :]:
            _report_unclosed(unclosed, tokens, found, source, closer)
        partner[open_brackets[position]] = index
        partner[index] = open_brackets[position]
        del open_brackets[position:]
        return
    label: Label | None = None
    help_text = f"leave out this `{closer}`"
    title = f"`{closer}` closes nothing"
    if open_brackets and closer != "}" and tokens[open_brackets[-1]] != "{":
        opener = open_brackets.pop()
        title = f"`{tokens[opener]}` is closed by `{closer}`"
        label = Label(span_of(tokens[opener]), "opened here")
        help_text = f"close it with `{PARTNER[tokens[opener]]}`"
        tokens[opener] = retyped(tokens[opener], BRACKET)
    found.report("P0102", title, span_of(closer), source, other=label, help=help_text)
    tokens[index] = retyped(closer, BRACKET)


def _report_unclosed(index: int, tokens: list[Token], found: TokenList, source: Source, noticed: Token) -> None:
    token = tokens[index]
    here = span_of(noticed)
    at_end = noticed is tokens[-1] and noticed.type != "RBRACE"
    tokens[index] = retyped(token, BRACKET)
    if at_end:
        end = max((span_of(other).end for other in tokens if other.type != "SEPARATOR"), default=here.end)
        label = Label(Span(end, end), "the file ends here")
    else:
        label = Label(here, "this comes first")
    title, help_text = f"`{token}` is never closed", f"add a `{PARTNER[token]}`"
    found.report("P0102", title, span_of(token), source, "opened here", label, help_text)
