"""The canonical text of a program: `probrun fmt`.

Statements are printed from the tree, one on a line, blocks indented by four spaces, with spaces around operators
(not around `^`) and only the parentheses that the tree needs; comments and single blank lines are taken from the
text between the statements.  A statement that has comments inside, or that was broken over lines and does not fit
into `WIDTH` columns, keeps its line breaks: the tokens of the printed form are matched with those of the text, and a
break or a comment goes behind the same token.  `parse(format(s)) == parse(s)` and `format(format(s)) == format(s)`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import assert_never

from ..levels import Factor, Implied, Observe, Proposal, added_to
from ..syntax import (
    Assign,
    Block,
    Data,
    Expression,
    For,
    Function,
    If,
    Interval,
    Parameter,
    Range,
    Require,
    Return,
    Sample,
    Simplex,
    Slice,
    Statement,
    Vector,
    While,
    deep_recursion,
)
from ..text.source import Source, Span
from .expression_text import constant_text, format_distribution, format_estimator, format_expression, write_list
from .parser import parse, parse_expression

WIDTH = 100
INDENT = "    "


# ------------------------------------------------------------------------------------------------- statements
def format_source(source: Source) -> str:
    """The canonical text of a program; raises `ProbError` where it does not parse."""
    program = parse(source)
    with deep_recursion():
        printer = _Printer(source)
        printer.statements(program.body, 0, len(source.text))
        return "\n".join(printer.lines) + "\n"


def format_program(block: Block) -> str:
    """The canonical text of a tree, whatever it came from (no comments)."""
    with deep_recursion():
        printer = _Printer(None)
        printer.statements(block, 0, 0)
        return "\n".join(printer.lines) + "\n"


@dataclass
class _Printer:
    """Writes lines; without a source there are no comments, blank lines or kept breaks."""

    source: Source | None
    lines: list[str] = field(default_factory=list)
    level: int = 0

    def __post_init__(self) -> None:
        text = "" if self.source is None else self.source.text
        self.comments = [(found.start(), found.end()) for found in re.finditer(r"#[^\r\n]*", text)]
        self.next_comment = 0

    # ---------------------------------------------------------------------------------------- lines and gaps
    def emit(self, text: str) -> None:
        """A line at the level at hand."""
        self.lines.extend((INDENT * self.level + line) if line else "" for line in text.split("\n"))

    def statements(self, block: Block, start: int, end: int) -> None:
        """The statements of a block whose inside is `[start, end)`, with what stands between them."""
        first = True
        for statement in block.statements:
            if isinstance(statement, Implied):
                continue
            place = self.gap(start, statement.span.start, first)
            self.blank_line(place, statement.span.start, first and place == start)
            self.statement(statement)
            start, first = statement.span.end, False
        self.gap(start, end, first)

    def gap(self, start: int, end: int, first: bool) -> int:
        """The comments in `[start, end)`; gives the end of the last one."""
        place = start
        while self.next_comment < len(self.comments) and self.comments[self.next_comment][0] < end:
            left, right = self.comments[self.next_comment]
            self.next_comment += 1
            comment = self.comment(left, right)
            if self.lines and place == start and not self.newlines(start, left) and start:
                self.lines[-1] += "  " + comment
            else:
                self.blank_line(place, left, first and place == start)
                self.emit(comment)
            place = right
        return place

    def comment(self, left: int, right: int) -> str:
        return "" if self.source is None else self.source.text[left:right].rstrip()

    def newlines(self, start: int, end: int) -> int:
        """How many lines end in `[start, end)`."""
        return 0 if self.source is None else len(re.findall(r"\r\n|\r|\n", self.source.text[start:end]))

    def blank_line(self, start: int, end: int, first: bool) -> None:
        """Keep one empty line where there was one, but none at the start of a block."""
        if not first and self.newlines(start, end) > 1:
            self.lines.append("")

    # -------------------------------------------------------------------------------------------- statements
    def statement(self, node: Statement) -> None:
        match node:
            case If():
                self.conditional(node)
            case For():
                iterable = node.iterable
                self.headed(f"for {node.variable} in {_iterable(iterable)} {{", node.span.start, node.body)
                self.emit("}")
            case While():
                self.headed(f"while {format_expression(node.condition)} {{", node.span.start, node.body)
                self.emit("}")
            case Function():
                self.headed(f"fn {node.name}({', '.join(node.parameters)}) {{", node.span.start, node.body)
                self.emit("}")
            case Parameter():
                domain = "" if node.domain is None else f" in {self.domain(node.domain)}"
                self.flat(f"param {node.name}{_shape(node.shape)}{domain}{_default(node.default)}", node.span)
            case Data():
                self.flat(f"data {node.name}{_shape(node.shape)}{_default(node.default)}", node.span)
            case Observe():
                density = node.density
                law = format_distribution(density.distribution)
                self.flat(f"observe {format_expression(density.value)} ~ {law}", node.span)
            case Factor():
                self.flat(f"factor {format_expression(added_to(node))}", node.span)
            case Require():
                self.flat(f"observe {format_expression(node.condition)}", node.span)
            case Assign():
                self.flat(f"{node.name}{_shape(node.indices)} = {format_expression(node.value)}", node.span)
            case Sample():
                using = "" if node.using is None else f" using {format_estimator(node.using)}"
                drawn, name, indices = format_distribution(node.distribution), node.name, node.indices
                if isinstance(node, Proposal):
                    drawn, name, indices = f"{format_distribution(node.target)} via {drawn}", node.shown, node.places
                self.flat(f"{name}{_shape(indices)} ~ {drawn}{using}", node.span)
            case Return():
                self.flat(f"return {', '.join(format_expression(value) for value in node.values)}", node.span)
            case _:
                assert_never(node)

    def conditional(self, node: If) -> None:
        start, opening = node.span.start, ""
        for condition, block in node.branches:
            self.headed(f"{opening}if {format_expression(condition)} {{", start, block)
            start, opening = block.span.end - 1, "} else "
        if node.otherwise is not None:
            self.headed("} else {", start, node.otherwise)
        self.emit("}")

    def headed(self, header: str, start: int, block: Block) -> None:
        """A header up to its `{`, then the block without its `}`."""
        self.flat(header, Span(start, block.span.start + 1))
        self.level += 1
        self.statements(block, block.span.start + 1, block.span.end - 1)
        self.level -= 1

    def domain(self, node: Interval | Simplex) -> str:
        """As it was written: `(0, 2*pi)` is more than its number."""
        if isinstance(node, Simplex):
            return "simplex"
        if self.source is None:
            return f"({constant_text(node.low)}, {constant_text(node.high)})"
        bounds = parse_expression(f"[{self.source.slice(node.span)[1:-1]}]")
        assert isinstance(bounds, Vector)
        return f"({', '.join(format_expression(bound) for bound in bounds.items)})"

    def flat(self, text: str, span: Span) -> None:
        """A statement or header on one line, unless comments or its length keep it on several."""
        if self.source is None:
            self.emit(text)
            return
        inside: list[tuple[int, int]] = []
        while self.next_comment < len(self.comments) and self.comments[self.next_comment][0] < span.end:
            inside.append(self.comments[self.next_comment])
            self.next_comment += 1
        too_long = len(INDENT) * self.level + len(text) > WIDTH and self.newlines(span.start, span.end)
        if inside or too_long:
            self.laid_out(text, span, inside, bool(too_long))
        else:
            self.emit(text)

    def laid_out(self, text: str, span: Span, comments: list[tuple[int, int]], too_long: bool) -> None:
        """The tokens of `text`, broken where the source is."""
        assert self.source is not None
        printed, written = _tokens(text), _tokens(self.source.slice(span))
        remarks = [self.comment(left, right) for left, right in comments]
        after: dict[int, list[str]] = {}  # index of a printed token -> what follows it: "\n" or comments
        position = 0
        for token in written:
            if token.text.startswith("#"):
                after.setdefault(position - 1, []).append(remarks.pop(0))
            elif token.text in "\r\n":
                after.setdefault(position - 1, []).append("\n")
            elif position < len(printed) and _same(printed[position].text, token.text):
                position += 1
        lines, hoisted = _broken_lines(text, printed, after)
        for remark in hoisted:
            self.emit(remark)
        self.emit("\n".join(lines) if too_long or len(hoisted) < len(comments) else text)


def _iterable(node: Range | Expression) -> str:
    if not isinstance(node, Range):
        return format_expression(node)
    start = "" if node.start is None else f"{format_expression(node.start)}, "
    return f"range({start}{format_expression(node.stop)})"


def _shape(items: tuple[Expression | Slice, ...]) -> str:
    if not items:
        return ""
    pieces: list[str] = []
    write_list("[", items, "]", pieces)
    return "".join(pieces)


def _default(node: Expression | None) -> str:
    return "" if node is None else f" = {format_expression(node)}"


# ------------------------------------------------------------------------------------------------ kept breaks
@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int


_WORD = re.compile(
    r"#[^\r\n]*|\r\n|\r|\n|\*\*|[<>=!]=|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|(?:\w|[^\x00-\x7f\s])+|[^\s]"
)


def _tokens(text: str) -> list[_Token]:
    return [_Token(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]


def _same(printed: str, written: str) -> bool:
    return printed == unicodedata.normalize("NFC", written) or (printed == "^" and written == "**")


def _broken_lines(text: str, printed: list[_Token], after: dict[int, list[str]]) -> tuple[list[str], list[str]]:
    """The lines of a statement, and the comments that have no place inside it any more."""
    lines: list[str] = []
    hoisted: list[str] = []
    line, depth, line_depth = "", 0, 0
    for index in range(-1, len(printed)):
        if index >= 0:
            token = printed[index]
            closing = token.text in ")]"
            depth -= closing
            if not line:
                line_depth = depth
            line += (text[printed[index - 1].end : token.start] if line and index else "") + token.text
            depth += token.text in "(["
        marks = after.get(index, [])
        following = printed[index + 1].text if index + 1 < len(printed) else ""
        if not marks or not (depth > 0 or following in ("else", "then", "{")):
            hoisted.extend(mark for mark in marks if mark != "\n")
            continue
        remarks = [mark for mark in marks if mark != "\n"]
        own_line = marks[0] == "\n"
        if line:
            lines.append(INDENT * line_depth + line + ("" if own_line or not remarks else "  " + remarks.pop(0)))
        lines.extend(INDENT * depth + remark for remark in remarks)
        line = ""
    if line:
        lines.append(INDENT * line_depth + line)
    return lines, hoisted
