"""Jumps inside expressions, and at a draw: what is added to what is carried backwards through a text (`backward.py`)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Arithmetic,
    Call,
    Comparison,
    Conditional,
    Expression,
    Index,
    Interval,
    Logical,
    LogPdf,
    Name,
    Number,
    Sample,
    Slice,
    Term,
    Unary,
    Vector,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, Smoothness
from ..tables.ranges import Bounds
from ..text.source import Span
from .atoms import DRAW, SIZE
from .carried import Carried, Carrying, Missable
from .entries import simpler, split, spread_out, written_out
from .inverting import without_whole
from .left_out import Reduced
from .reachable import arrays_by_text, assignments, definitions, entries_of, is_number, numbers_by_text, reached_by_draws
from .rising import direction, factors, flat, never_zero, nonzero, poles
from .solving import WHOLE, Unsolved, call_of, changed, constant, less, multiplied, names_of, pieces, substituted
from .summed import goes_with_a_sum, has_an_entry, slopes, summed, sums_over, without_sums

ARGUMENTS = {"argmax": (-1.0, -2.0), "argmin": (1.0, 0.0)}  # the places of two numbers that are the same where it jumps


class Within:
    """What jumps in the expressions of one program."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.source = resolved.program.source
        self.places: set[Span] = set()  # of jumps that are understood
        self.random = reached_by_draws(resolved)
        self.signs = {
            name: 1 if domain.low >= 0 else -1 for name, fact in resolved.parameters.items()
            if fact.node is not None and isinstance(domain := fact.node.domain, Interval) and (domain.low >= 0 or domain.high <= 0)
        }
        self.scalars = numbers_by_text(resolved)
        self.lengths = {name: n for name, n in arrays_by_text(resolved).items() if entries_of(name) in self.scalars}
        self.rounds: dict[str, Expression] = {}  # the numbers of loops that are gone through round by round
        self.defined = definitions(resolved)
        self.kept = never_zero(assignments(resolved), self.signs)

    def jumps(self, node: Call) -> bool:
        row = FUNCTIONS.get(node.function)
        return row is not None and Smoothness.JUMP in row.smoothness

    def read(self, node: Expression) -> Expression:
        """The expression with the numbers of rounds, and with what is made of vectors that are written out, in their places."""
        return written_out(cast(Expression, changed(node, self.bound)) if self.rounds else node, self.scalars)

    def bound(self, node: Expression) -> Expression | None:
        """A number of a round, and an index made of it."""
        if isinstance(node, Name):
            return self.rounds.get(node.id)
        if not isinstance(node, Index):
            return None
        items = [cast(Expression, changed(item, self.bound)) for item in node.items]
        numbers = [None if isinstance(item, Slice) else constant(item) for item in items]
        made = tuple(item if number is None else Number(number) for item, number in zip(items, numbers, strict=True))
        return replace(node, target=changed(node.target, self.bound), items=made)

    def condition(self, node: Expression, state: Carrying) -> None:
        """A condition decides how a run goes on."""
        node = self.read(node)
        self.inner(node, state)
        self.places.add(node.span)
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
        self.places.add(span)
        if self.opaque(value):
            state.lose(names_of(value), span, "it goes through a function that is not written in the program")
        elif names_of(value):
            state.carried.setdefault(Carried(value, lattice, span))

    def opaque(self, value: Expression) -> bool:
        """Whether it calls what is not looked into."""
        return any(isinstance(part, Call) and part.function not in FUNCTIONS for part in nodes_in(value))

    def inner(self, node: Expression, state: Carrying) -> None:
        """Jumps inside an expression."""
        for part in nodes_in(self.read(node)):
            match part:
                case Comparison():
                    self.add(Arithmetic(part.left, (Term("-", part.right),), span=part.span), False, part.span, state)
                case Conditional():
                    self.places.add(part.span)
                    if not isinstance(part.condition, Comparison | Logical):
                        self.condition(part.condition, state)
                case Logical():
                    self.places.add(part.span)
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
                    self.places.add(part.span)
                    state.lose(names_of(part), part.span, "the density ends at the end of its support")

    def remainder(self, node: Arithmetic, state: Carrying) -> None:
        value: Expression = node.first
        for term in node.rest:
            if term.operator == "%":
                self.places.add(term.span)
                self.add(Arithmetic(value, (Term("/", term.operand),)), True, node.span, state)
            value = Arithmetic(value, (term,))

    def function(self, node: Call, state: Carrying) -> None:
        self.places.add(node.span)
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
            case "argmax" | "argmin" if isinstance(given[0], Vector) and all(map(self.number, given[0].items)):
                for number, one in enumerate(given[0].items):
                    for other in given[0].items[:number]:
                        self.add(Arithmetic(one, (Term("-", other),)), False, node.span, state)
            case "argmax" | "argmin" if not isinstance(given[0], Vector):
                first, second = (Index(call_of("sort", given[0]), (Number(at),)) for at in ARGUMENTS[node.function])
                self.add(less(first, second), False, node.span, state)  # the two largest, or the two smallest, are the same
            case _:
                state.lose(names_of(node), node.span, f"`{node.function}` jumps, and where is not known here")

    # ------------------------------------------------------------------------------------------------ at a draw
    def rounded(self, one: Carried, node: Sample) -> list[Carried]:
        """A comparison of the draw with some whole number: whole values."""
        if one.lattice or not {WHOLE, DRAW} <= names_of(one.value):
            return [one]
        try:
            whole, zero = without_whole(one.value, self.signs_at(node))
        except Unsolved:
            return [one]
        return [Carried(value, True, one.span) for value in whole] + [one.of(value) for value in zero]

    def signs_at(self, node: Sample) -> dict[str, int]:
        """The signs of names that are never 0, at a draw."""
        found = dict(self.signs)
        given = self.resolved.arguments[id(node.distribution)]
        known = {name: Bounds(at, at, True, True) for name, value in given.items() if (at := constant(value)) is not None}
        support = DISTRIBUTIONS[node.distribution.name].support(known)
        if support.low >= 0 or support.high <= 0:
            found[DRAW] = 1 if support.low >= 0 else -1
        return found

    def parts(self, one: Carried, node: Sample) -> list[Carried]:
        """What is an atom of a draw each: the pieces of an expression, and what they are divided by."""
        scalars = self.scalars | {DRAW} if self.numbers(node) else self.scalars
        value = spread_out(one.value, DRAW, scalars)
        found = [own for piece in split(value, DRAW, scalars) for own in self.rounded(one.of(piece), node)]
        divisors = [pole for own in found for pole in poles(own.value, DRAW, self.signs_at(node))]
        return [*found, *(Carried(divisor, False, one.span) for divisor in dict.fromkeys(divisors))]

    def number(self, node: Expression) -> bool:
        return is_number(node, self.scalars)

    def numbers(self, node: Sample) -> bool:
        """Whether one number is drawn, by the text."""
        return all(is_number(argument.value, self.scalars) for argument in node.distribution.arguments)

    def without(self, one: Carried, node: Sample) -> list[Carried]:
        """What goes on without a draw."""
        if not direction(simpler(one.value), DRAW, self.signs_at(node)) and sums_over(one.value, DRAW):
            return self.without_sums(one)
        return self.without_name(one, DRAW, self.signs_at(node))

    def without_name(self, one: Carried, name: str, signs: dict[str, int]) -> list[Carried]:
        """What goes on without a number that is random: what the expression is where it does not change with it, and where it comes
        to be so, if it may be 0 there (`x*y > 0` jumps where x is 0)."""
        if direction(simpler(one.value), name, signs):
            return []
        found = []
        for rest in flat(one.value, name, signs):
            found.append(one.of(rest))
            number = constant(rest)
            if number is None:
                sure = nonzero(rest, signs) and not one.lattice
            else:
                sure = number % 1 != 0 if one.lattice else number != 0
            if not sure:
                found += [Carried(factor, False, one.span) for factor in factors(one.value, name, signs)]
        return found

    def without_all(self, one: Carried, reduced: Reduced, node: Sample) -> list[Carried]:
        """The same of an expression of which all numbers of a draw are roots."""
        stuck, signs = reduced.stuck(self.signs_at(node)), reduced.signs(self.signs_at(node))
        left = [one.of(reduced.value)]
        for name in reduced.found:
            left = [own.of(piece) for own in left for piece in pieces(own.value, name)]
        if any(poles(own.value, name, signs) for own in left for name in reduced.found):
            raise Missable(one.span, "it is divided by what several numbers of a draw come to")
        for name, still in stuck.items():
            found: list[Carried] = []
            for own in left:
                if name not in names_of(own.value):
                    found.append(own)
                    continue
                found += self.without_name(own, name, signs)
                found += [own.of(substituted(own.value, name, value)) for value in still]
            left = list(dict.fromkeys(found))
        return left

    def without_sums(self, one: Carried) -> list[Carried]:
        """The same of an expression with a sum over the draw."""
        changes = [part for part in multiplied(one.value, DRAW) if not nonzero(part, self.signs)]
        if not changes and (has_an_entry(one.value, DRAW) or goes_with_a_sum(one.value, DRAW, self.signs)):
            return []
        if sum(isinstance(part, Name) and part.id == DRAW for part in nodes_in(one.value)) > 1:
            changes = [slopes(one.value, DRAW)] if summed(one.value, DRAW) else [Name(SIZE)]
        elif not changes:
            return []
        rest = without_sums(one.value, DRAW)
        if rest is None or any(SIZE in names_of(change) for change in changes):
            raise Missable(one.span, "what it is without the draw is not told by its sums")
        return [one.of(rest), *(Carried(change, False, one.span) for change in changes)]
