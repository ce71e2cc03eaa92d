"""Where draws make the result jump, by a walk through the text backwards (FORKS.md).

What is carried are expressions whose zeros (of a lattice: whole values) are jumps further on.  Assignments are substituted,
branches united, loops gone through until nothing is new.  At a continuous draw the expressions that mention it give its atoms; one
goes on without it unless its slope is surely never 0.  Of what cannot be followed only the names are kept (`lost`): a continuous
draw that is among them is refused, and so is all that is not known here.  A jump too many costs variance, a missing one would be a bias.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..levels import Proposal
from ..names.resolved import Resolved, Site
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
    Call,
    Comparison,
    Conditional,
    Draw,
    Expression,
    For,
    Function,
    If,
    Index,
    Interval,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Range,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    Term,
    Unary,
    Vector,
    While,
    children,
    deep_recursion,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, Smoothness
from ..text.source import Span
from .atoms import DRAW, Atom, Form, Unfound
from .inlining import inlined, is_expression
from .solving import Unsolved, affine, changed, flat, names_of, pieces, solved, substituted

MOST_ATOMS = 32
MOST_ROUNDS = 64
MOST_OUTCOMES = 16  # of a draw between a jump and an earlier draw
SOME = "\1some "  # before the name of a loop's variable: what it is in some other round
LATTICES = ("floor", "ceil", "round")


class _Refused(Exception):
    def __init__(self, span: Span, reason: str):
        self.unfound = Unfound(span, reason)
        super().__init__(reason)


@dataclass(frozen=True)
class _Carried:
    """An expression whose zeros, or whole values, are jumps further on; `span` is where."""

    value: Expression
    lattice: bool = False
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass
class _State:
    """What is carried, in its order; and names in jumps that are not followed any more, with where and why."""

    carried: dict[_Carried, None] = field(default_factory=dict)
    lost: dict[str, tuple[Span, str]] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(dict(self.carried), dict(self.lost))

    def unite(self, other: _State) -> None:
        for one in other.carried:
            self.carried.setdefault(one)
        for name, why in other.lost.items():
            self.lost.setdefault(name, why)

    def lose(self, names: Iterable[str], span: Span, reason: str) -> None:
        for name in names:
            self.lost.setdefault(name, (span, reason))

    def settle(self, random: frozenset[str]) -> None:
        """What no continuous draw reaches is let go, and of too many only the names are kept."""
        self.carried = {one: None for one in self.carried if names_of(one.value) & random}
        self.lost = {name: why for name, why in self.lost.items() if name in random}
        if len(self.carried) > MOST_ATOMS:
            for one in self.carried:
                self.lose(names_of(one.value), one.span, f"the jumps here are more than {MOST_ATOMS}")
            self.carried = {}


def find_atoms(resolved: Resolved, broken: frozenset[int] = frozenset()) -> dict[int, tuple[Atom, ...]] | Unfound:
    """By site the atoms of its draws; or why some could be missed."""
    if broken:
        return Unfound(resolved.program.body.span, "a run met a pole, or left the support of a density")
    if resolved.weighted:
        return Unfound(resolved.program.body.span, "runs have weights here")
    try:
        with deep_recursion():
            walk = _Walk(resolved)
            walk.program()
    except _Refused as problem:
        return problem.unfound
    except Unsolved as problem:
        return Unfound(problem.node.span, problem.why)
    return {index: tuple(atoms) for index, atoms in walk.atoms.items()}


class _Walk:
    """Through one program."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.source = resolved.program.source
        self.atoms: dict[int, dict[Atom, None]] = {site.index: {} for site in resolved.sites}
        self.random = _random(resolved)
        self.signed = frozenset(
            name for name, fact in resolved.parameters.items()
            if fact.node is not None and isinstance(domain := fact.node.domain, Interval) and (domain.low >= 0 or domain.high <= 0)
        )
        self.hidden = frozenset(name for function in resolved.functions.values() for name in names_of(function.body))

    def program(self) -> None:
        for function in self.resolved.functions.values():
            if not is_expression(function, self.resolved):
                self.look(function)
        state = _State()
        self.block(self.resolved.program.body, state)

    def look(self, function: Function) -> None:
        """Calls are not followed: what they would hide is refused."""
        pending: list[Node] = [function.body]
        while pending:
            node = pending.pop()
            jumping = isinstance(node, If | While | Conditional | Comparison | Logical)
            jumping |= isinstance(node, Call) and self.jumps(node)
            drawing = isinstance(node, Sample | Draw) and not DISTRIBUTIONS[node.distribution.name].discrete
            if jumping or drawing:
                raise _Refused(node.span, f"it stands in the function `{function.name}`, which is not looked into")
            pending += children(node)

    def jumps(self, node: Call) -> bool:
        row = FUNCTIONS.get(node.function)
        return row is not None and Smoothness.JUMP in row.smoothness

    # --------------------------------------------------------------------------------------------- statements
    def block(self, block: Block, state: _State) -> None:
        for statement in reversed(block.statements):
            self.statement(statement, state)
            state.settle(self.random)

    def statement(self, node: Statement, state: _State) -> None:
        match node:
            case Proposal() | Require():
                raise _Refused(node.span, "runs have weights here")
            case Assign():
                self.assign(node, state)
            case Sample():
                self.sample(node, state)
            case If():
                self.branch(node, state)
            case While():
                self.loop(node.body, state, node.condition)
            case For():
                self.counted(node, state)
            case Return():
                state.carried, state.lost = {}, {}
                for value in node.values:
                    self.inner(value, state)
            case _:
                return

    def assign(self, node: Assign, state: _State) -> None:
        value = inlined(node.value, self.resolved)
        self.replace(node.name, node.indices, value, state)
        self.inner(value, state)
        self.indices(node.indices, state)

    def indices(self, items: tuple[Expression | Slice, ...], state: _State) -> None:
        for item in items:
            for part in children(item) if isinstance(item, Slice) else (item,):
                self.inner(part, state)  # type: ignore[arg-type]

    def replace(self, name: str, indices: tuple[object, ...], value: Expression, state: _State) -> None:
        """A variable, or an element, is set to a value."""
        drawn = self.draws(value)
        if name in state.lost:
            why = state.lost[name]
            if drawn:
                raise _Refused(*why)
            if not indices:
                del state.lost[name]
            state.lose(self.names(value), *why)
        found: dict[_Carried, None] = {}
        for one in state.carried:
            if name not in names_of(one.value):
                found.setdefault(one)
                continue
            if drawn:
                raise _Refused(one.span, f"`{name}` is drawn inside an expression: give the draw a line of its own")
            if self.opaque(value):
                kept = names_of(one.value) if indices else names_of(one.value) - {name}
                state.lose(self.names(value) | kept, one.span, "it goes through a call, or a draw inside an expression")
                continue
            for made in self.with_element(one, name, indices, value, state):
                found.setdefault(made)
        state.carried = found

    def with_element(
        self, one: _Carried, name: str, indices: tuple[object, ...], value: Expression, state: _State
    ) -> list[_Carried]:
        """What an expression was before a variable, or an element of it, was set."""
        if not indices:
            return [_Carried(substituted(one.value, name, value), one.lattice, one.span)]
        same = Index(Name(name), indices)  # type: ignore[arg-type]
        value_of = changed(one.value, lambda part: value if part == same else None)
        if value_of is not one.value:
            one = _Carried(value_of, one.lattice, one.span)
            if name not in names_of(changed(one.value, lambda part: Number(0.0) if part == value else None)):
                return [one]
        places = list(dict.fromkeys(p for p in _nodes(one.value) if isinstance(p, Index) and p.target == Name(name)))
        bare = changed(one.value, lambda part: Number(0.0) if part in places else None)
        if name in names_of(bare) or len(places) > 2:
            state.lose(names_of(one.value) | names_of(value), one.span, f"the array `{name}` is used as a whole there")
            return [one]
        chosen = [[], *([place] for place in places), *([places] if len(places) == 2 else [])]
        return [_Carried(_in_place(one.value, these, value), one.lattice, one.span) for these in chosen]

    def sample(self, node: Sample, state: _State) -> None:
        site = self.resolved.site_at[id(node)]
        row = DISTRIBUTIONS[node.distribution.name]
        if not row.discrete:
            self.continuous(node, site, state)
        else:
            self.discrete(node, state)
        for argument in node.distribution.arguments:
            self.inner(argument.value, state)
        self.indices(node.indices, state)

    def continuous(self, node: Sample, site: Site, state: _State) -> None:
        if node.name in state.lost:
            raise _Refused(*state.lost[node.name])
        found: dict[_Carried, None] = {}
        for one in state.carried:
            if node.name not in names_of(one.value):
                found.setdefault(one)
                continue
            for made in self.with_element(one, node.name, node.indices, Name(DRAW), state):
                if node.name in state.lost:
                    raise _Refused(*state.lost[node.name])
                if DRAW not in names_of(made.value):
                    found.setdefault(made)
                    continue
                for piece in pieces(made.value, DRAW):
                    if DRAW in names_of(piece):
                        self.candidate(piece, made, node, site)
                    for rest in flat(piece, DRAW, self.signed) if DRAW in names_of(piece) else [piece]:
                        found.setdefault(_Carried(rest, made.lattice, made.span))
        state.carried = {one: None for one in found if names_of(one.value)}

    def candidate(self, piece: Expression, one: _Carried, node: Sample, site: Site) -> None:
        """A jump at a draw."""
        if DISTRIBUTIONS[node.distribution.name].event:
            raise _Refused(one.span, f"a draw of {node.distribution.name} is no single number")
        for part in _nodes(piece):
            if isinstance(part, Call | Draw | LogPdf) and DRAW in names_of(part) and (
                not isinstance(part, Call) or part.function in LATTICES or part.function not in FUNCTIONS
            ):
                through = getattr(part, "function", "a density")
                raise _Refused(one.span, f"`{node.name}` goes through `{through}` before it is compared")
        if unknown := [found for found in names_of(piece) if found.startswith(SOME)]:
            raise _Refused(one.span, f"`{unknown[0][len(SOME):]}` is another number in the round before")
        line = self.source.line_of(one.span)
        words = f"jumps at `{self.source.quoted(one.span)}` (line {line})"
        if affine(piece, DRAW):
            atom = Atom(piece, one.lattice, Form.AFFINE, (), one.span, words)
        elif one.lattice:
            raise _Refused(one.span, f"it cannot be solved for `{node.name}`")
        else:
            try:
                roots = tuple(solved(piece, DRAW, Number(0.0)))
            except Unsolved:
                raise _Refused(one.span, f"it cannot be solved for `{node.name}`") from None
            atom = Atom(piece, False, Form.SOLVED, roots, one.span, words)
        known = self.atoms[site.index]
        known.setdefault(atom)
        if len(known) > MOST_ATOMS:
            raise _Refused(one.span, f"`{node.name}` makes the result jump at more than {MOST_ATOMS} places")

    def discrete(self, node: Sample, state: _State) -> None:
        if node.name in state.lost and not node.indices:
            del state.lost[node.name]
        outcomes = _outcomes(node)
        found: dict[_Carried, None] = {}
        for one in state.carried:
            if node.name not in names_of(one.value):
                found.setdefault(one)
                continue
            if node.indices or not outcomes:
                state.lose(names_of(one.value) - {node.name}, one.span, f"`{node.name}` is drawn between, and may be any number")
                continue
            for outcome in outcomes:
                found.setdefault(_Carried(substituted(one.value, node.name, Number(outcome)), one.lattice, one.span))
        state.carried = {one: None for one in found if names_of(one.value)}

    def branch(self, node: If, state: _State) -> None:
        after = state.copy()
        if node.otherwise is not None:
            self.block(node.otherwise, state)
        for condition, body in reversed(node.branches):
            taken = after.copy()
            self.block(body, taken)
            state.unite(taken)
            self.condition(condition, state)
        state.settle(self.random)

    def loop(self, body: Block, state: _State, condition: Expression | None, variable: str = "") -> None:
        """Rounds until nothing is new."""
        if condition is not None:
            self.condition(condition, state)
        for _ in range(MOST_ROUNDS):
            before = len(state.carried), len(state.lost)
            inner = state.copy()
            self.block(body, inner)
            if variable:
                self.other_round(variable, inner)
            state.unite(inner)
            if condition is not None:
                self.condition(condition, state)
            state.settle(self.random)
            if (len(state.carried), len(state.lost)) == before:
                return
        raise _Refused(body.span, "the jumps of this loop come to no end")

    def other_round(self, variable: str, state: _State) -> None:
        """What mentions the number of this round has another one in the round before."""
        kept: dict[_Carried, None] = {}
        some = SOME + variable
        for one in state.carried:
            if variable not in names_of(one.value):
                kept.setdefault(one)
            elif some in names_of(one.value):
                state.lose(names_of(one.value) - {variable, some}, one.span, f"`{variable}` is another number in the round before")
            else:
                kept.setdefault(_Carried(substituted(one.value, variable, Name(some)), one.lattice, one.span))
        state.carried = kept
        state.lost.pop(variable, None)

    def counted(self, node: For, state: _State) -> None:
        self.loop(node.body, state, None, node.variable)
        if isinstance(node.iterable, Range):
            for bound in (node.iterable.start, node.iterable.stop):
                if bound is not None:
                    self.inner(bound, state)
        else:
            self.inner(node.iterable, state)

    # -------------------------------------------------------------------------------------------- expressions
    def condition(self, node: Expression, state: _State) -> None:
        """A condition decides how a run goes on."""
        node = inlined(node, self.resolved)
        self.inner(node, state)
        match node:
            case Comparison() | Logical() | Unary(operator="not"):
                if isinstance(node, Logical):
                    for item in node.items:
                        self.condition(item, state)
                elif isinstance(node, Unary):
                    self.condition(node.operand, state)
            case _:
                self.add(node, False, node.span, state)

    def add(self, value: Expression, lattice: bool, span: Span, state: _State) -> None:
        if self.opaque(value):
            if self.draws(value):
                raise _Refused(span, "it draws inside an expression: give the draw a line of its own")
            state.lose(self.names(value), span, "it goes through a call, or a draw inside an expression")
        elif names_of(value):
            state.carried.setdefault(_Carried(value, lattice, span))

    def opaque(self, value: Expression) -> bool:
        """Whether it draws, or calls what is not looked into."""
        return any(
            isinstance(part, Draw) or (isinstance(part, Call) and part.function not in FUNCTIONS) for part in _nodes(value)
        )

    def draws(self, value: Expression) -> bool:
        """Whether a continuous draw stands in it."""
        return any(isinstance(part, Draw) and not DISTRIBUTIONS[part.distribution.name].discrete for part in _nodes(value))

    def names(self, value: Expression) -> frozenset[str]:
        """What an expression reads, by itself or in a function."""
        called = any(isinstance(part, Call) and part.function in self.resolved.functions for part in _nodes(value))
        return names_of(value) | self.hidden if called else names_of(value)

    def inner(self, node: Expression, state: _State) -> None:
        """Jumps inside an expression."""
        for part in _nodes(inlined(node, self.resolved)):
            match part:
                case Comparison():
                    self.add(Arithmetic(part.left, (Term("-", part.right),), span=part.span), False, part.span, state)
                case Conditional():
                    if not isinstance(part.condition, Comparison | Logical):
                        self.condition(part.condition, state)
                case Logical():
                    for item in part.items:
                        if not isinstance(item, Comparison | Logical):
                            self.condition(item, state)
                case Arithmetic() if any(term.operator == "%" for term in part.rest):
                    self.remainder(part, state)
                case Unary(operator="not") if not isinstance(part.operand, Comparison | Logical):
                    self.condition(part.operand, state)
                case Call() if self.jumps(part) or part.function in self.resolved.external:
                    self.function(part, state)
                case LogPdf() if not DISTRIBUTIONS[part.distribution.name].whole_line:
                    state.lose(self.names(part), part.span, "the density ends at the end of its support")

    def remainder(self, node: Arithmetic, state: _State) -> None:
        value: Expression = node.first
        for term in node.rest:
            if term.operator == "%":
                self.add(Arithmetic(value, (Term("/", term.operand),)), True, node.span, state)
            value = Arithmetic(value, (term,))

    def function(self, node: Call, state: _State) -> None:
        given = [argument.value for argument in node.arguments]
        match node.function:
            case "floor" | "ceil":
                self.add(given[0], True, node.span, state)
            case "round" if len(given) == 1:
                self.add(Arithmetic(given[0], (Term("+", Number(0.5)),)), True, node.span, state)
            case "sign":
                self.add(given[0], False, node.span, state)
            case "where" if len(given) == 3:
                if not isinstance(given[0], Comparison | Logical):
                    self.condition(given[0], state)
            case _:
                state.lose(self.names(node), node.span, f"`{node.function}` jumps, and where is not known here")


def _nodes(root: Node) -> list[Node]:
    found, pending = [], [root]
    while pending:
        node = pending.pop()
        found.append(node)
        pending += children(node)
    return found


def _in_place(node: Expression, these: list[Index], value: Expression) -> Expression:
    """The expression with a value in place of elements."""
    return changed(node, lambda part: value if part in these else None)  # type: ignore[no-any-return]


def _random(resolved: Resolved) -> frozenset[str]:
    """The names that continuous draws reach by data."""
    found: set[str] = set()
    made: list[tuple[str, frozenset[str]]] = []
    for node in _nodes(resolved.program.body):
        if isinstance(node, Sample) and not DISTRIBUTIONS[node.distribution.name].discrete:
            found.add(node.name)
        elif isinstance(node, Assign):
            if any(isinstance(part, Draw | Call) and _draws(part, resolved) for part in _nodes(node.value)):
                found.add(node.name)
            made.append((node.name, names_of(node.value)))
        elif isinstance(node, For) and not isinstance(node.iterable, Range):
            made.append((node.variable, names_of(node.iterable)))
    before = -1
    while before < len(found):
        before = len(found)
        found |= {name for name, names in made if names & found}
    return frozenset(found)


def _draws(node: Draw | Call, resolved: Resolved) -> bool:
    if isinstance(node, Draw):
        return not DISTRIBUTIONS[node.distribution.name].discrete
    return node.function in resolved.functions or node.function in resolved.external


def _outcomes(node: Sample) -> list[float]:
    """The outcomes of a discrete draw, where they are few and known."""
    match node.distribution.name:
        case "Bernoulli":
            return [0.0, 1.0]
        case "Categorical":
            weights = node.distribution.arguments[0].value
            while isinstance(weights, Call) and len(weights.arguments) == 1 and weights.function in ("softmax", "exp", "sigmoid"):
                weights = weights.arguments[0].value
            if isinstance(weights, Vector) and len(weights.items) <= MOST_OUTCOMES:
                return [float(number) for number in range(len(weights.items))]
        case "Binomial":
            total = node.distribution.arguments[0].value
            if isinstance(total, Number) and total.value < MOST_OUTCOMES:
                return [float(number) for number in range(int(total.value) + 1)]
    return []


__all__ = ["find_atoms"]
