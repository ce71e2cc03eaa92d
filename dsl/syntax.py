"""The whole language on one page: one frozen dataclass per form (grammar: `grammar/prob.lark`).

Spans do not count in equality, so `parse(format(s)) == parse(s)` is a meaningful test.  Tables of facts about nodes
are keyed by `id(node)`; the tree is immutable and is kept alive by its `Program`.  Trees may be 1,000 levels deep:
walk them by plain Python functions (no generators, no `map`), under `deep_recursion()`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TypeAlias

from .text.source import Source, Span

NO_SPAN = Span(0, 0)
ELSEWHERE = {"elsewhere": True}  # of a field whose nodes stand in another node of the tree as well
FORMS = ("logpdf", "cdf", "logcdf", "logsf")  # functions of a distribution and a value
MAX_NESTING = 1000  # nested levels of brackets, blocks and unary operators that a program may have


@contextmanager
def deep_recursion(limit: int = 60_000) -> Iterator[None]:
    """Allow deep pure-Python recursion (which takes no C stack since CPython 3.11)."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, limit))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@dataclass(frozen=True, eq=True, kw_only=True)
class Node:
    """Anything with a place in the text."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False)


# ------------------------------------------------------------------------------------------------ expressions
@dataclass(frozen=True)
class Number(Node):
    """`2`, `.5`, `1e-3`; `text` is how it was written."""

    value: float
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class Boolean(Node):
    """`true`, `false`."""

    value: bool


@dataclass(frozen=True)
class Name(Node):
    """A variable, parameter, data name or constant (`pi`, `inf`)."""

    id: str


@dataclass(frozen=True)
class Vector(Node):
    """`[a, b, c]`; `[]` is a syntax error."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Slice(Node):
    """`start:stop` inside an index; either side may be missing."""

    start: Expression | None
    stop: Expression | None


@dataclass(frozen=True)
class Index(Node):
    """`target[i]`, `target[i, 1:3]`."""

    target: Expression
    items: tuple[Expression | Slice, ...]


@dataclass(frozen=True)
class Unary(Node):
    """`-x` (operator ``-``) or `not x` (operator ``not``)."""

    operator: str
    operand: Expression


@dataclass(frozen=True)
class Term(Node):
    """One further operand of a sum or product; `span` starts at the operator."""

    operator: str
    operand: Expression


@dataclass(frozen=True)
class Arithmetic(Node):
    """A flat chain of one precedence, evaluated from the left: `first + b - c` (``+ -``) or `first * b / c % d` (``* / %``)."""

    first: Expression
    rest: tuple[Term, ...]

    @property
    def operands(self) -> tuple[Expression, ...]:
        """All of them, in order."""
        return (self.first, *(term.operand for term in self.rest))


@dataclass(frozen=True)
class Power(Node):
    """`base ^ exponent` (binds to the right)."""

    base: Expression
    exponent: Expression


@dataclass(frozen=True)
class Comparison(Node):
    """`left < right` with one of ``<= < >= > == !=``; never chained."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Logical(Node):
    """A flat chain of `and` or of `or`; the right sides are evaluated only on the lanes that need them."""

    operator: str
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Conditional(Node):
    """`if condition then a else b`."""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True)
class Argument(Node):
    """A positional (`name` is None) or keyword argument."""

    name: str | None
    value: Expression


@dataclass(frozen=True)
class Call(Node):
    """A call of a built-in, program-defined or external function.  `name_span` is the place of the name."""

    function: str
    arguments: tuple[Argument, ...]
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True)
class Distribution(Node):
    """`Normal(loc, scale)`: a name of the distribution table with its arguments; `parts`: of `Truncated(...)` and `Mixture(...)`
    the distributions inside, as they were written, whose arguments are among those of the whole."""

    name: str
    arguments: tuple[Argument, ...]
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)
    parts: tuple[Distribution, ...] = field(default=(), metadata=ELSEWHERE)


@dataclass(frozen=True)
class Draw(Node):
    """A distribution called inside an expression: an unnamed sampling site."""

    distribution: Distribution


@dataclass(frozen=True)
class LogPdf(Node):
    """`logpdf(Dist(...), value)`: elementwise log density or mass; or another function of a distribution, by its `form`."""

    distribution: Distribution
    value: Expression
    form: str = "logpdf"


Expression: TypeAlias = (
    Number | Boolean | Name | Vector | Index | Unary | Arithmetic | Power | Comparison | Logical | Conditional
    | Call | Draw | LogPdf
)


# ------------------------------------------------------------------------------------------------- statements
@dataclass(frozen=True)
class Block(Node):
    """`{ ... }`, or a whole file."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Interval(Node):
    """`in (low, high)`: an open interval with constant bounds (`inf`, `-inf` allowed)."""

    low: float
    high: float


@dataclass(frozen=True)
class Simplex(Node):
    """`in simplex`: entries at least 0 that sum to 1 along the last axis."""


@dataclass(frozen=True)
class Parameter(Node):
    """`param name[shape] in domain = default`; each of shape is a constant expression (number, data name, size name)."""

    name: str
    shape: tuple[Expression, ...]
    domain: Interval | Simplex | None
    default: Expression | None
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True)
class Data(Node):
    """`data name[shape] = default`; a bare name in `shape` that is not otherwise defined is bound to the size."""

    name: str
    shape: tuple[Expression, ...]
    default: Expression | None
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True)
class Assign(Node):
    """`name = value`, or `name[indices] = value` (`indices` empty for a plain assignment)."""

    name: str
    indices: tuple[Expression | Slice, ...]
    value: Expression
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True)
class EstimatorCall(Node):
    """`score`, `gumbel(tau=0.1, hard=true)` after `using` or in `--estimator`."""

    name: str
    options: tuple[tuple[str, float | bool | str], ...] = ()


@dataclass(frozen=True)
class Sample(Node):
    """`name ~ Dist(...) using estimator`, or `name[indices] ~ Dist(...)`."""

    name: str
    indices: tuple[Expression | Slice, ...]
    distribution: Distribution
    using: EstimatorCall | None
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True)
class Require(Node):
    """`observe condition`: a run in which it does not hold ends here, with weight 0."""

    condition: Expression


@dataclass(frozen=True)
class If(Node):
    """`if c { } else if d { } else { }`: a flat tuple of (condition, block) and an optional last block."""

    branches: tuple[tuple[Expression, Block], ...]
    otherwise: Block | None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks in the order of the text."""
        return (*(block for _, block in self.branches), *(() if self.otherwise is None else (self.otherwise,)))


@dataclass(frozen=True)
class Range(Node):
    """`range(stop)` or `range(start, stop)` of a `for`."""

    start: Expression | None
    stop: Expression


@dataclass(frozen=True)
class For(Node):
    """`for variable in range(...) { }` or `for variable in xs { }` (entries of the first axis)."""

    variable: str
    iterable: Range | Expression
    body: Block
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The one block."""
        return (self.body,)


@dataclass(frozen=True)
class While(Node):
    """`while condition { }`."""

    condition: Expression
    body: Block

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The one block."""
        return (self.body,)


@dataclass(frozen=True)
class Function(Node):
    """`fn name(a, b) { ... return ... }` (top level only)."""

    name: str
    parameters: tuple[str, ...]
    body: Block
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)
    parameter_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Return(Node):
    """`return a` or, at top level, `return a, b`."""

    values: tuple[Expression, ...]


Statement: TypeAlias = Parameter | Data | Assign | Sample | Require | If | For | While | Function | Return


@dataclass(frozen=True)
class Program:
    """A parsed program."""

    body: Block
    source: Source = field(compare=False, repr=False)


_HOLDING: dict[type[Node], tuple[str, ...]] = {}  # the fields of a form that may hold nodes


def children(node: Node) -> list[Node]:
    """The nodes directly below `node`, in the order of its fields."""
    found: list[Node] = []
    form = node.__class__
    if form not in _HOLDING:
        _HOLDING[form] = tuple(
            item.name for item in fields(form)
            if item.type not in ("Span", "str", "float", "bool") and not item.metadata.get("elsewhere")
        )
    for name in _HOLDING[form]:
        _collect(getattr(node, name), found)
    return found


def _collect(value: object, found: list[Node]) -> None:
    if isinstance(value, Node):
        found.append(value)
    elif isinstance(value, tuple):
        for entry in value:
            _collect(entry, found)
