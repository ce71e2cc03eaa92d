"""Text to syntax tree, or every syntax error of the text.

lark's LALR parser is driven token by token.  Where a token does not fit, the error is explained
(`syntax_errors.py`), the parser's stack is cut back to the list of statements that the broken one stands in, an
`ERROR` token takes its place, and parsing goes on behind the next separator of the same depth: one error per
statement, and the next statements are read as if nothing had happened.  The body of a broken `if`, `for`, `while` or
`fn` is still read as a block, so that its own errors are found too.

Rejected: lark's `on_error`, which resumes in the middle of the broken statement and reports its rest as nonsense.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedToken

from ...grammar import load_parser
from ..syntax import (
    MAX_NESTING,
    Block,
    Conditional,
    EstimatorCall,
    Expression,
    Index,
    Node,
    Power,
    Program,
    Unary,
    children,
    deep_recursion,
)
from ..text.diagnostics import Diagnostic, ProbError
from ..text.source import Source, Span
from .builder import Builder
from .place import Place
from .syntax_errors import BLOCK_STARTS, BLOCK_WORDS, explain
from .tokens import BRACKET, arrange, span_of, unreadable

MAX_ERRORS = 20
MAX_STACK = 30_000
STATEMENT_STARTS = frozenset({"PARAM", "DATA", "IF", "FOR", "WHILE", "FN", "RETURN", "OBSERVE", "FACTOR", "RBRACE", "$END"})
TURNS = frozenset({"SEPARATOR", "LBRACE", "RBRACE"})
_LOCK = Lock()


def parse(source: Source) -> Program:
    """The tree of a program; raises `ProbError` with every syntax error found (at most 20), sorted by place."""
    program, diagnostics = parse_partly(source)
    if program is None or diagnostics:
        raise ProbError(diagnostics)
    return program


def parse_partly(source: Source) -> tuple[Program | None, tuple[Diagnostic, ...]]:
    """What can be read of a program that may be half written, without the statements that are broken, and the syntax errors."""
    body, diagnostics = _read(source, "program")
    if not diagnostics and not body.statements:
        title = "the program is empty"
        end = Span(0, min(1, len(source.text)))
        help_text = "z ~ Normal(theta, 1); y = z^2 is a whole program"
        diagnostics = [Diagnostic("P0109", title, end, help=help_text, source=source)]
    return Program(body, source) if isinstance(body, Block) else None, tuple(diagnostics)


def parse_expression(text: str) -> Expression:
    """The tree of one expression."""
    expression: Expression = _parse(Source("<expression>", text), "expression")
    return expression


@lru_cache(maxsize=256)
def parse_estimator(text: str) -> EstimatorCall:
    """`score`, `gumbel(tau=0.1, hard=true)`, as after `using`."""
    estimator: EstimatorCall = _parse(Source("<estimator>", text), "estimator")
    return estimator


@cache
def _parser() -> tuple[Lark, Builder]:
    builder = Builder()
    return load_parser(builder), builder


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: a tree has none, and to look for them while it grows takes a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _parse(source: Source, start: str) -> Any:
    result, diagnostics = _read(source, start)
    if diagnostics:
        raise ProbError(diagnostics)
    return result


def _read(source: Source, start: str) -> tuple[Any, list[Diagnostic]]:
    """The value of the start rule, as far as there is one, and what is wrong, sorted by place."""
    problem = unreadable(source)
    if problem is not None:
        return None, [problem]
    with _LOCK, deep_recursion(), _uncollected():
        lark, builder = _parser()
        builder.begin(source)
        result, diagnostics = _Run(lark, source, start).run()
        for call in builder.loose_ranges.values():
            title, help_text = "`range` stands only after `for ... in`", "arange(n) is the vector 0, 1, ..., n-1"
            builder.report("P0110", title, call.name_span, help_text)
        diagnostics += builder.diagnostics
    if not diagnostics and isinstance(result, Node) and builder.nesting_nodes > MAX_NESTING:
        diagnostics += _too_deep(result, source)
    return result, sorted(diagnostics, key=lambda found: found.span.start if found.span else 0)[:MAX_ERRORS]


class _Run:
    """One pass over the tokens of one source."""

    def __init__(self, lark: Lark, source: Source, start: str):
        text = source.text
        if text.startswith("\ufeff"):
            text = " " + text[1:]
        self.source = source
        self.interactive = lark.parse_interactive(text, start=start)
        self.state = self.interactive.parser_state
        lexer: Any = self.interactive.lexer_thread  # untyped in lark
        raw: Iterator[Token] = lexer.lex(self.state)
        arranged = arrange(raw, source)
        self.diagnostics = arranged.diagnostics
        self.tokens = arranged.tokens
        end = len(source.text)
        self.tokens.append(Token("$END", "", end, end_pos=end))
        self.statement = 0  # index of the first token of the statement at hand
        self.enclosing: list[int] = []  # the same for the statements around it
        self.broken: list[_Broken] = []
        self.colon_blocks = False  # the author writes blocks with `:`
        self.recovering = start == "program"

    def run(self) -> tuple[Any, list[Diagnostic]]:
        """The value of the start rule, and what was found."""
        if any(found.code == "P0107" for found in self.diagnostics):
            return None, self.diagnostics
        result: Any = None
        index = failed = 0
        stack = self.state.state_stack
        while index < len(self.tokens):
            token = self.tokens[index]
            if self.broken and self._skipping(index):
                index = self._after_skipped(index)
                continue
            try:
                result = self.interactive.feed_token(token)
            except UnexpectedToken:
                enough = len(self.diagnostics) >= MAX_ERRORS or failed == index + 1
                failed = index + 1
                if not self._recover(index) or enough:
                    return None, self.diagnostics
                continue
            if token.type in TURNS:
                self._follow(index, token)
            if len(stack) > MAX_STACK:
                return None, [*self.diagnostics, _deep(span_of(token), self.source)]
            index += 1
        return result, self.diagnostics

    @property
    def depth(self) -> int:
        """How many braces are open."""
        return len(self.enclosing)

    def _skipping(self, index: int) -> bool:
        if self.broken[-1].depth != self.depth:
            return False
        kind, broken = self.tokens[index].type, self.broken[-1]
        if kind == "SEPARATOR":
            return broken.unclosed and not self._starts_statement(index + 1)
        return not (kind in ("RBRACE", "$END") or (kind == "LBRACE" and broken.has_bodies))

    def _starts_statement(self, index: int) -> bool:
        """Whether a line after a bracket that is never closed looks like a statement, not like the next of its items."""
        first = self.tokens[index].type
        if first != "NAME":
            return first in STATEMENT_STARTS
        stop = index
        while self.tokens[stop].type not in ("SEPARATOR", "$END"):
            stop += 1
        return self.tokens[index + 1].type in ("ASSIGN", "TILDE", "LSQB") and self.tokens[stop - 1].type != "COMMA"

    def _after_skipped(self, index: int) -> int:
        """The index after a token that is skipped, with what it opens."""
        opened = 0
        while True:
            opened += {"LBRACE": 1, "RBRACE": -1}.get(self.tokens[index].type, 0)
            index += 1
            if opened <= 0:
                return index

    def _follow(self, index: int, token: Token) -> None:
        """Keep count of braces, of where statements start, and of where a broken one ends."""
        if token.type in ("SEPARATOR", "RBRACE") and self.broken and self.broken[-1].depth == self.depth:
            self.broken.pop()
        if token.type == "LBRACE":
            self.enclosing.append(self.statement)
        if token.type == "RBRACE":
            self.statement = self.enclosing.pop()
        if token.type in ("SEPARATOR", "LBRACE"):
            self.statement = index + 1

    def _recover(self, index: int) -> bool:
        """Report the token, and put `ERROR` in the place of its statement."""
        token, first = self.tokens[index], self.tokens[self.statement]
        known = token.type == BRACKET or (token.type == "ELSE" and self.colon_blocks)
        known = known or any(other.span is not None and other.span == span_of(token) for other in self.diagnostics)
        if not known:
            interactive: Any = self.interactive  # partly untyped in lark
            accepted = frozenset(interactive.accepts())
            self.diagnostics.append(explain(Place(self.tokens, index, self.statement, accepted, self.source)))
        self.colon_blocks |= token.type == "COLON" and first.type in BLOCK_STARTS
        if not self.recovering:
            return False
        state = self.state
        table = state.parse_conf.states
        braces = sum(isinstance(value, Token) and value.type == "LBRACE" for value in state.value_stack)
        while braces > self.depth or "ERROR" not in table[state.position]:
            state.state_stack.pop()
            value = state.value_stack.pop()
            braces -= isinstance(value, Token) and value.type == "LBRACE"
        self.interactive.feed_token(Token("ERROR", "", token.start_pos))
        has_bodies = first.type in BLOCK_STARTS or str(first) in BLOCK_WORDS
        self.broken.append(_Broken(self.depth, has_bodies, token.type == BRACKET and token in ("(", "[")))
        return True


@dataclass(frozen=True)
class _Broken:
    """A statement with an error: its depth, whether its braces hold statements, whether a bracket of it stays open."""

    depth: int
    has_bodies: bool
    unclosed: bool


def _deep(span: Span, source: Source) -> Diagnostic:
    title = f"nested more than {MAX_NESTING} deep"
    return Diagnostic("P0107", title, span, help="give a part of it a name of its own", source=source)


def _too_deep(root: Node, source: Source) -> list[Diagnostic]:
    """P0107 where signs, powers, `if` expressions and indices of indices are nested too deep (brackets are counted before)."""
    pending: list[tuple[Node, int]] = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        depth += isinstance(node, Unary | Power | Conditional | Index)
        if depth > MAX_NESTING:
            return [_deep(node.span, source)]
        pending.extend((child, depth) for child in children(node))
    return []
