"""Where draws make the result jump, by a walk through the text backwards (FORKS.md).

What is carried are expressions whose zeros (of a lattice: whole values) are jumps further on.  Assignments are substituted,
branches united, loops gone through until nothing is new.  At a continuous draw the expressions that mention it give its atoms; one
goes on without it unless its slope is surely never 0.  Of what cannot be followed only the names are kept (`lost`): a continuous
draw that is among them is refused, and so is all that is not known here.  A jump too many costs variance, a missing one would be
a bias.
"""

from __future__ import annotations

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
    If,
    Index,
    Interval,
    Logical,
    LogPdf,
    Name,
    Number,
    Range,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    Term,
    Unary,
    While,
    children,
    deep_recursion,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS
from ..text.source import Span
from .atoms import DRAW, Atom, Form, Unfound
from .carried import MOST_ATOMS, Carried, Carrying, Refused, in_place, jumps_by, look_into, nodes_of, outcomes_of, random_names
from .inlining import inlined, is_expression
from .solving import Unsolved, affine, changed, flat, names_of, pieces, solved, substituted

MOST_ROUNDS = 64
SOME = "\1some "  # before the name of a loop's variable: what it is in some other round
LATTICES = ("floor", "ceil", "round")


def find_atoms(resolved: Resolved, broken: frozenset[int] = frozenset()) -> dict[int, tuple[Atom, ...]] | Unfound:
    """By site the atoms of its draws; or why some could be missed."""
    if broken:
        return Unfound(resolved.program.body.span, "a run met a pole, or left the support of a density")
    if resolved.weighted:
        return Unfound(resolved.program.body.span, "runs have weights here")
    try:
        with deep_recursion():
            walk = _Backtrack(resolved)
            walk.program()
    except Refused as problem:
        return problem.unfound
    except Unsolved as problem:
        return Unfound(problem.node.span, problem.why)
    return {index: tuple(atoms) for index, atoms in walk.atoms.items()}


class _Backtrack:
    """Through one program."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.source = resolved.program.source
        self.atoms: dict[int, dict[Atom, None]] = {site.index: {} for site in resolved.sites}
        self.random = random_names(resolved)
        self.signed = frozenset(
            name for name, fact in resolved.parameters.items()
            if fact.node is not None and isinstance(domain := fact.node.domain, Interval) and (domain.low >= 0 or domain.high <= 0)
        )
        self.hidden = frozenset(name for function in resolved.functions.values() for name in names_of(function.body))

    def program(self) -> None:
        for function in self.resolved.functions.values():
            if not is_expression(function, self.resolved):
                look_into(function)
        state = Carrying()
        self.block(self.resolved.program.body, state)

    # --------------------------------------------------------------------------------------------- statements
    def block(self, block: Block, state: Carrying) -> None:
        for statement in reversed(block.statements):
            self.statement(statement, state)
            state.settle(self.random)

    def statement(self, node: Statement, state: Carrying) -> None:
        match node:
            case Proposal() | Require():
                raise Refused(node.span, "runs have weights here")
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

    def assign(self, node: Assign, state: Carrying) -> None:
        value = inlined(node.value, self.resolved)
        self.replace(node.name, node.indices, value, state)
        self.inner(value, state)
        self.indices(node.indices, state)

    def indices(self, items: tuple[Expression | Slice, ...], state: Carrying) -> None:
        for item in items:
            for part in children(item) if isinstance(item, Slice) else (item,):
                self.inner(part, state)  # type: ignore[arg-type]

    def replace(self, name: str, indices: tuple[object, ...], value: Expression, state: Carrying) -> None:
        """A variable, or an element, is set to a value."""
        drawn = self.draws(value)
        if name in state.lost:
            why = state.lost[name]
            if drawn:
                raise Refused(*why)
            if not indices:
                del state.lost[name]
            state.lose(self.names(value), *why)
        found: dict[Carried, None] = {}
        for one in state.carried:
            if name not in names_of(one.value):
                found.setdefault(one)
                continue
            if drawn:
                raise Refused(one.span, f"`{name}` is drawn inside an expression: give the draw a line of its own")
            if self.opaque(value):
                kept = names_of(one.value) if indices else names_of(one.value) - {name}
                state.lose(self.names(value) | kept, one.span, "it goes through a call, or a draw inside an expression")
                continue
            for made in self.with_element(one, name, indices, value, state):
                found.setdefault(made)
        state.carried = found

    def with_element(
        self, one: Carried, name: str, indices: tuple[object, ...], value: Expression, state: Carrying
    ) -> list[Carried]:
        """What an expression was before a variable, or an element of it, was set."""
        if not indices:
            return [Carried(substituted(one.value, name, value), one.lattice, one.span)]
        same = Index(Name(name), indices)  # type: ignore[arg-type]
        value_of = changed(one.value, lambda part: value if part == same else None)
        if value_of is not one.value:
            one = Carried(value_of, one.lattice, one.span)
            if name not in names_of(changed(one.value, lambda part: Number(0.0) if part == value else None)):
                return [one]
        places = list(dict.fromkeys(p for p in nodes_of(one.value) if isinstance(p, Index) and p.target == Name(name)))
        bare = changed(one.value, lambda part: Number(0.0) if part in places else None)
        if name in names_of(bare) or len(places) > 2:
            state.lose(names_of(one.value) | names_of(value), one.span, f"the array `{name}` is used as a whole there")
            return [one]
        chosen = [[], *([place] for place in places), *([places] if len(places) == 2 else [])]
        return [Carried(in_place(one.value, these, value), one.lattice, one.span) for these in chosen]

    def sample(self, node: Sample, state: Carrying) -> None:
        site = self.resolved.site_at[id(node)]
        row = DISTRIBUTIONS[node.distribution.name]
        if not row.discrete:
            self.continuous(node, site, state)
        else:
            self.discrete(node, state)
        for argument in node.distribution.arguments:
            self.inner(argument.value, state)
        self.indices(node.indices, state)

    def continuous(self, node: Sample, site: Site, state: Carrying) -> None:
        if node.name in state.lost:
            raise Refused(*state.lost[node.name])
        found: dict[Carried, None] = {}
        for one in state.carried:
            if node.name not in names_of(one.value):
                found.setdefault(one)
                continue
            for made in self.with_element(one, node.name, node.indices, Name(DRAW), state):
                if node.name in state.lost:
                    raise Refused(*state.lost[node.name])
                if DRAW not in names_of(made.value):
                    found.setdefault(made)
                    continue
                for piece in pieces(made.value, DRAW):
                    if DRAW in names_of(piece):
                        self.candidate(piece, made, node, site)
                    for rest in flat(piece, DRAW, self.signed) if DRAW in names_of(piece) else [piece]:
                        found.setdefault(Carried(rest, made.lattice, made.span))
        state.carried = {one: None for one in found if names_of(one.value)}

    def candidate(self, piece: Expression, one: Carried, node: Sample, site: Site) -> None:
        """A jump at a draw."""
        if DISTRIBUTIONS[node.distribution.name].event:
            raise Refused(one.span, f"a draw of {node.distribution.name} is no single number")
        for part in nodes_of(piece):
            if isinstance(part, Call | Draw | LogPdf) and DRAW in names_of(part) and (
                not isinstance(part, Call) or part.function in LATTICES or part.function not in FUNCTIONS
            ):
                through = getattr(part, "function", "a density")
                raise Refused(one.span, f"`{node.name}` goes through `{through}` before it is compared")
        if unknown := [found for found in names_of(piece) if found.startswith(SOME)]:
            raise Refused(one.span, f"`{unknown[0][len(SOME):]}` is another number in the round before")
        line = self.source.line_of(one.span)
        words = f"jumps at `{self.source.quoted(one.span)}` (line {line})"
        if affine(piece, DRAW):
            atom = Atom(piece, one.lattice, Form.AFFINE, (), one.span, words)
        elif one.lattice:
            raise Refused(one.span, f"it cannot be solved for `{node.name}`")
        else:
            try:
                roots = tuple(solved(piece, DRAW, Number(0.0)))
            except Unsolved:
                raise Refused(one.span, f"it cannot be solved for `{node.name}`") from None
            atom = Atom(piece, False, Form.SOLVED, roots, one.span, words)
        known = self.atoms[site.index]
        known.setdefault(atom)
        if len(known) > MOST_ATOMS:
            raise Refused(one.span, f"`{node.name}` makes the result jump at more than {MOST_ATOMS} places")

    def discrete(self, node: Sample, state: Carrying) -> None:
        if node.name in state.lost and not node.indices:
            del state.lost[node.name]
        outcomes = outcomes_of(node)
        found: dict[Carried, None] = {}
        for one in state.carried:
            if node.name not in names_of(one.value):
                found.setdefault(one)
                continue
            if node.indices or not outcomes:
                state.lose(names_of(one.value) - {node.name}, one.span, f"`{node.name}` is drawn between, and may be any number")
                continue
            for outcome in outcomes:
                found.setdefault(Carried(substituted(one.value, node.name, Number(outcome)), one.lattice, one.span))
        state.carried = {one: None for one in found if names_of(one.value)}

    def branch(self, node: If, state: Carrying) -> None:
        after = state.copy()
        if node.otherwise is not None:
            self.block(node.otherwise, state)
        for condition, body in reversed(node.branches):
            taken = after.copy()
            self.block(body, taken)
            state.unite(taken)
            self.condition(condition, state)
        state.settle(self.random)

    def loop(self, body: Block, state: Carrying, condition: Expression | None, variable: str = "") -> None:
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
        raise Refused(body.span, "the jumps of this loop come to no end")

    def other_round(self, variable: str, state: Carrying) -> None:
        """What mentions the number of this round has another one in the round before."""
        kept: dict[Carried, None] = {}
        some = SOME + variable
        for one in state.carried:
            if variable not in names_of(one.value):
                kept.setdefault(one)
            elif some in names_of(one.value):
                state.lose(names_of(one.value) - {variable, some}, one.span, f"`{variable}` is another number in the round before")
            else:
                kept.setdefault(Carried(substituted(one.value, variable, Name(some)), one.lattice, one.span))
        state.carried = kept
        state.lost.pop(variable, None)

    def counted(self, node: For, state: Carrying) -> None:
        self.loop(node.body, state, None, node.variable)
        if isinstance(node.iterable, Range):
            for bound in (node.iterable.start, node.iterable.stop):
                if bound is not None:
                    self.inner(bound, state)
        else:
            self.inner(node.iterable, state)

    # -------------------------------------------------------------------------------------------- expressions
    def condition(self, node: Expression, state: Carrying) -> None:
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

    def add(self, value: Expression, lattice: bool, span: Span, state: Carrying) -> None:
        if self.opaque(value):
            if self.draws(value):
                raise Refused(span, "it draws inside an expression: give the draw a line of its own")
            state.lose(self.names(value), span, "it goes through a call, or a draw inside an expression")
        elif names_of(value):
            state.carried.setdefault(Carried(value, lattice, span))

    def opaque(self, value: Expression) -> bool:
        """Whether it draws, or calls what is not looked into."""
        return any(
            isinstance(part, Draw) or (isinstance(part, Call) and part.function not in FUNCTIONS) for part in nodes_of(value)
        )

    def draws(self, value: Expression) -> bool:
        """Whether a continuous draw stands in it."""
        return any(isinstance(part, Draw) and not DISTRIBUTIONS[part.distribution.name].discrete for part in nodes_of(value))

    def names(self, value: Expression) -> frozenset[str]:
        """What an expression reads, by itself or in a function."""
        called = any(isinstance(part, Call) and part.function in self.resolved.functions for part in nodes_of(value))
        return names_of(value) | self.hidden if called else names_of(value)

    def inner(self, node: Expression, state: Carrying) -> None:
        """Jumps inside an expression."""
        for part in nodes_of(inlined(node, self.resolved)):
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
                case Call() if jumps_by(part) or part.function in self.resolved.external:
                    self.function(part, state)
                case LogPdf() if not DISTRIBUTIONS[part.distribution.name].whole_line:
                    state.lose(self.names(part), part.span, "the density ends at the end of its support")

    def remainder(self, node: Arithmetic, state: Carrying) -> None:
        value: Expression = node.first
        for term in node.rest:
            if term.operator == "%":
                self.add(Arithmetic(value, (Term("/", term.operand),)), True, node.span, state)
            value = Arithmetic(value, (term,))

    def function(self, node: Call, state: Carrying) -> None:
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


__all__ = ["find_atoms"]
