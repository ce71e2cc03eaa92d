"""Where draws make the result jump, by a walk through the text backwards (FORKS.md).

What is carried are expressions whose zeros (of a lattice: whole values) are jumps further on.  Assignments are substituted,
branches united, loops gone through until nothing is new.  At a continuous draw the expressions that mention it
give its atoms; one goes on without it unless its slope is surely never 0.  Of what cannot be followed only the names are kept
(`lost`): a continuous draw that is among them is refused, and so is all that is not known here.  A jump too many costs variance, a
missing one would be a bias.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from ..analysis.reads import set_in
from ..levels import Proposal
from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import (
    Argument,
    Assign,
    Block,
    Call,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    Index,
    LogPdf,
    Name,
    Number,
    Parameter,
    Range,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    Vector,
    While,
    children,
    deep_recursion,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS
from .atoms import DRAW, Atom, Atoms, Form, Unfound
from .carried import MOST_ATOMS, Carried, Carrying, Missable
from .entries import any_entry, simpler
from .forms import by_halving, formed
from .inlining import inlined
from .inverting import GOAL, peeled, told
from .reachable import alike, defined, few_outcomes, few_rounds, is_number, only_place, with_place
from .rising import poles
from .solving import WHOLE, Unsolved, by_element, changed, multiplied, names_of, put, substituted
from .within import Within

MOST_ROUNDS = 64
SOME = "\1some "  # before the name of a loop's variable: what it is in some other round
LATTICES = ("floor", "ceil", "round")


def find_atoms(resolved: Resolved, broken: frozenset[int] = frozenset()) -> Atoms | Unfound:
    """The atoms of all draws; or why some could be missed."""
    if broken:
        return Unfound(resolved.program.body.span, "a run met a pole, or left the support of a density")
    if resolved.weighted:
        return Unfound(resolved.program.body.span, "runs have weights here")
    try:
        with deep_recursion():
            walk = _Backward(resolved)
            walk.program()
    except Missable as problem:
        return problem.unfound
    except Unsolved as problem:
        return Unfound(problem.node.span, problem.why)
    return Atoms({index: tuple(atoms) for index, atoms in walk.atoms.items()}, frozenset(walk.places))


class _Backward(Within):
    """Through one program."""

    def program(self) -> None:
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
                raise Missable(node.span, "runs have weights here")
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
            case Parameter() | Data() | Function():
                return
            case _:
                assert_never(node)

    def assign(self, node: Assign, state: Carrying) -> None:
        value = self.read(node.value)
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
                raise Missable(*why)
            if not indices:
                del state.lost[name]
            state.lose(self.names(value), *why)
        found: dict[Carried, None] = {}
        for one in state.carried:
            if name not in names_of(one.value):
                found.setdefault(one)
                continue
            if drawn:
                raise Missable(one.span, f"`{name}` is drawn inside an expression: give the draw a line of its own")
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
            return [one.of(substituted(one.value, name, value))]
        same = Index(Name(name), indices)  # type: ignore[arg-type]
        value_of = put(one.value, same, value)
        if value_of is not one.value:
            one = one.of(value_of)
            if name not in names_of(put(one.value, value, Number(0.0))):
                return [one]
        unlike = [p for p in nodes_in(one.value) if isinstance(p, Index) and p.target == Name(name) and not alike(p.items, indices)]
        if unlike:
            why = f"parts of the array `{name}` are used there as other parts than are set"
            state.lose(names_of(one.value) | names_of(value), one.span, why)
            return [one]
        places = list(dict.fromkeys(p for p in nodes_in(one.value) if isinstance(p, Index) and p.target == Name(name)))
        bare = changed(one.value, lambda part: Number(0.0) if part in places else None)
        if name in names_of(bare) or len(places) > 2:
            state.lose(names_of(one.value) | names_of(value), one.span, f"the array `{name}` is used as a whole there")
            return [one]
        chosen = [[], *([place] for place in places), *([places] if len(places) == 2 else [])]
        return [one.of(with_place(one.value, these, value)) for these in chosen]

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
            raise Missable(*state.lost[node.name])
        found: dict[Carried, None] = {}
        for one in state.carried:
            if node.name not in names_of(one.value):
                found.setdefault(one)
                continue
            for made in self.with_element(one, node.name, node.indices, Name(DRAW), state):
                if node.name in state.lost:
                    raise Missable(*state.lost[node.name])
                if DRAW not in names_of(made.value):
                    found.setdefault(made)
                    continue
                made = self.one_entry(made)
                for own in self.parts(made, node):
                    if DRAW in names_of(own.value):
                        self.candidate(own.value, own, node, site)
                    for rest in self.without(own, node) if DRAW in names_of(own.value) else [own]:
                        found.setdefault(rest)
        state.carried = {one: None for one in found if names_of(one.value)}

    def one_entry(self, one: Carried) -> Carried:
        """Of an array that is drawn, one entry against numbers: the jumps of each entry, as if it were this one."""
        place = only_place(one.value, DRAW)
        if place is None:
            return one.of(any_entry(one.value, DRAW, self.scalars))
        own = with_place(one.value, [place], Name(DRAW))
        return one.of(own) if is_number(own, self.scalars | {DRAW}) else one

    def candidate(self, piece: Expression, one: Carried, node: Sample, site: Site) -> None:
        """A jump at a draw."""
        if DISTRIBUTIONS[node.distribution.name].event:
            raise Missable(one.span, f"a draw of {node.distribution.name} is no single number")
        for part in nodes_in(piece):
            if isinstance(part, Call | Draw | LogPdf) and DRAW in names_of(part) and (
                not isinstance(part, Call) or part.function in LATTICES or part.function not in FUNCTIONS
            ):
                through = getattr(part, "function", "a density")
                raise Missable(one.span, f"`{node.name}` goes through `{through}` before it is compared")
        if WHOLE in names_of(piece):
            raise Missable(one.span, f"a number that is rounded is compared here together with `{node.name}`")
        if unknown := [found for found in names_of(piece) if found.startswith(SOME)]:
            raise Missable(one.span, f"`{unknown[0][len(SOME):]}` is another number in the round before")
        line = self.source.line_of(one.span)
        root = "" if one.lattice else told(piece, DRAW, node.name)
        words = f"jumps at {root + ': ' if root else ''}`{self.source.quoted(one.span)}` (line {line})"
        zero = Name(GOAL) if one.lattice else Number(0.0)
        atom = self.atom(Atom(piece, one.lattice, Form.AFFINE, piece, (zero,), one.span, words), node)
        known = self.atoms[site.index]
        known.setdefault(atom)
        if len(known) > MOST_ATOMS:
            raise Missable(one.span, f"`{node.name}` makes the result jump at more than {MOST_ATOMS} places")

    def atom(self, atom: Atom, node: Sample) -> Atom:
        """The atom with how its roots are found."""
        for value in dict.fromkeys((atom.value, simpler(atom.value))):
            if (found := self.found(atom, value, node)) is not None:
                return found
        raise Missable(atom.span, f"it cannot be solved for `{node.name}`")

    def found(self, atom: Atom, value: Expression, node: Sample) -> Atom | None:
        """The same, by what its value is."""
        by_way = tuple(defined(one, self.defined) for one in multiplied(value, DRAW))
        atom = replace(atom, poles=bool(poles(value, DRAW, self.signs_at(node))), kept=self.kept)
        if (found := formed(replace(atom, part=value, factors=by_way))) is not None:
            return replace(found, factors=(defined(found.slope, self.defined),)) if found.slope is not None else found
        part, goals = peeled(value, DRAW, atom.goals[0])
        atom = replace(atom, part=part, goals=tuple(goals), factors=by_way)
        if atom.lattice and len(goals) > 1:
            return None
        return formed(atom) or by_halving(atom, self.signs_at(node))

    def discrete(self, node: Sample, state: Carrying) -> None:
        if node.name in state.lost and not node.indices:
            del state.lost[node.name]
        outcomes = few_outcomes(node, self.resolved, self.scalars)
        found: dict[Carried, None] = {}
        for one in state.carried:
            if node.name not in names_of(one.value):
                found.setdefault(one)
                continue
            if node.indices:  # other elements of the array may be continuous draws
                if not outcomes or not self.numbers(node):
                    state.lose(names_of(one.value), one.span, f"an element of `{node.name}` is drawn between")
                    found.setdefault(one)
                    continue
                for outcome in outcomes:
                    for made in self.with_element(one, node.name, node.indices, Number(outcome), state):
                        found.setdefault(made)
                continue
            place = only_place(one.value, node.name)
            if outcomes and place is not None and by_element(with_place(one.value, [place], Name(node.name)), node.name):
                for outcome in outcomes:
                    found.setdefault(one.of(with_place(one.value, [place], Number(outcome))))
                continue
            one_number = node.distribution.name == "Categorical" or self.numbers(node)
            if not outcomes or not (one_number or by_element(one.value, node.name)):
                state.lose(names_of(one.value) - {node.name}, one.span, f"`{node.name}` is drawn between, and may be any number")
                continue
            for outcome in outcomes:
                found.setdefault(one.of(substituted(one.value, node.name, Number(outcome))))
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

    def loop(
        self, body: Block, state: Carrying, condition: Expression | None, variable: str = "", array: Expression | None = None
    ) -> None:
        """Rounds until nothing is new."""
        if condition is not None:
            self.condition(condition, state)
        state.settle(self.random)
        for _ in range(MOST_ROUNDS):
            before = set(state.carried), set(state.lost)
            inner = state.copy()
            self.block(body, inner)
            if array is not None:
                self.entries(variable, array, inner)
            elif variable:
                self.other_round(variable, inner)
            state.unite(inner)
            if condition is not None:
                self.condition(condition, state)
            state.settle(self.random)
            if (set(state.carried), set(state.lost)) == before:
                return
        raise Missable(body.span, "the jumps of this loop come to no end")

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
                kept.setdefault(one.of(substituted(one.value, variable, Name(some))))
        state.carried = kept
        state.lost.pop(variable, None)

    def entries(self, variable: str, array: Expression, state: Carrying) -> None:
        """The variable of a loop over an array is some entry of it: not the same as in other rounds."""
        some = SOME + variable
        if variable in state.lost:
            state.lose(self.names(array), *state.lost.pop(variable))
        found: dict[Carried, None] = {}
        for one in state.carried:
            names = names_of(one.value)
            if variable not in names:
                found.setdefault(one)
            elif isinstance(array, Vector):
                for item in array.items:
                    found.setdefault(one.of(substituted(one.value, variable, item)))
            elif isinstance(array, Name) and some not in names:
                entry = Index(array, (Name(some),))
                found.setdefault(one.of(substituted(one.value, variable, entry)))
            else:
                state.lose((names | self.names(array)) - {variable}, one.span, f"`{variable}` is some entry of an array")
        state.carried = found

    def counted(self, node: For, state: Carrying) -> None:
        bounds = few_rounds(node.iterable)
        if bounds is not None:
            for number in reversed(bounds):  # exactly these rounds
                self.block(node.body, state)
                state.carried = {
                    one.of(substituted(one.value, node.variable, Number(float(number)))): None
                    for one in state.carried
                }
                state.lost.pop(node.variable, None)
                state.settle(self.random)
            return
        array = None if isinstance(node.iterable, Range) else inlined(node.iterable, self.resolved)
        if array is not None and names_of(array) & set_in(node.body):  # whose entries are those of before the loop
            array = Call("", (Argument(None, array),))
        self.loop(node.body, state, None, node.variable, array)
        if isinstance(node.iterable, Range):
            for bound in (node.iterable.start, node.iterable.stop):
                if bound is not None:
                    self.inner(bound, state)
        else:
            self.inner(node.iterable, state)


__all__ = ["find_atoms"]
