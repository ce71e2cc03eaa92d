"""Statements that weigh runs, as assignments to the *level* of a run, a variable that no text can name (CONDITIONING.md).

`observe y ~ D` and `factor e` add to it, so that whatever follows assignments (what is live, what is a sum, what depends on what)
follows these as well.  `z ~ P via Q` is three statements: a draw from Q, the correction of the level, and the assignment to z.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .syntax import (
    ELSEWHERE,
    Argument,
    Arithmetic,
    Assign,
    Call,
    Distribution,
    EstimatorCall,
    Expression,
    LogPdf,
    Name,
    Sample,
    Slice,
    Statement,
    Term,
)
from .text.source import Span

LEVEL = "\1level"  # the variable that holds the logarithm of a run's weight; no text can name it


@dataclass(frozen=True)
class Observe(Assign):
    """`observe value ~ Dist(...)`: adds the log density of the value to the level; of an array, of all its elements."""

    @classmethod
    def of(cls, density: LogPdf, span: Span) -> Observe:
        """The statement at `span` that observes at this density."""
        return cls(LEVEL, (), _raised(density), span=span, name_span=span)

    @property
    def density(self) -> LogPdf:
        """What is observed, and its distribution."""
        found = added_to(self)
        assert isinstance(found, LogPdf)
        return found


@dataclass(frozen=True)
class Factor(Assign):
    """`factor value`: adds to the level; of an array, all its elements."""

    @classmethod
    def of(cls, value: Expression, span: Span) -> Factor:
        """The statement at `span` that adds a value."""
        return cls(LEVEL, (), _raised(value), span=span, name_span=span)


@dataclass(frozen=True)
class Proposal(Sample):
    """`name[indices] ~ target via distribution`: draws from the distribution; two `Implied` statements follow, which add
    log target - log distribution to the level, and give the drawn value to its variable."""

    target: Distribution = field(default_factory=lambda: Distribution("", ()), metadata=ELSEWHERE)
    shown: str = ""
    places: tuple[Expression | Slice, ...] = field(default=(), metadata=ELSEWHERE)


@dataclass(frozen=True)
class Guided(Sample):
    """A draw of a guide in place of the draw `shown`."""

    shown: str = ""


@dataclass(frozen=True)
class Implied(Assign):
    """An assignment that does not stand in the text."""


@dataclass(frozen=True)
class Correction(Implied):
    """Adds log target - log proposal of the last draw to the level; the proposal's arguments are those of the draw."""


def weighed_draw(
    name: str, indices: tuple[Expression | Slice, ...], target: Distribution, drawn: Distribution, using: EstimatorCall | None,
    span: Span, name_span: Span,
) -> tuple[Statement, ...]:
    """The statements of `name[indices] ~ target via drawn`."""
    end = Span(span.end, span.end)
    value = Name(f"\1{name}", span=name_span)
    level = _raised(LogPdf(target, value, span=target.span), LogPdf(drawn, value, span=drawn.span))
    return (
        Proposal(value.id, (), drawn, using, name_span, target, name, indices, span=span),
        Correction(LEVEL, (), level, span=end, name_span=end),
        Implied(name, indices, value, span=end, name_span=name_span),
    )


def hidden(name: str) -> bool:
    """Whether no text can name a variable."""
    return name[:1] < " "


def written(name: str) -> str:
    """The name in the text that a variable goes by."""
    return name.removeprefix("\1") if name != LEVEL else "observe"


def added_to(node: Assign) -> Expression:
    """What an observation or a factor adds to the level."""
    assert isinstance(node.value, Arithmetic) and isinstance(node.value.first, Call)
    return node.value.first.arguments[0].value


def _raised(value: Expression, less: Expression | None = None) -> Arithmetic:
    """The sum of a value's entries, less that of another's, and the level: read last, as a call in the value may raise it."""
    level = Term("+", Name(LEVEL, span=value.span), span=value.span)
    rest = (level,) if less is None else (Term("-", _summed(less), span=less.span), level)
    return Arithmetic(_summed(value), rest, span=value.span)


def _summed(value: Expression) -> Call:
    return Call("sum", (Argument(None, value, span=value.span),), span=value.span, name_span=value.span)
