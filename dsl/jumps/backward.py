"""Where draws make the result jump, by a walk through the text backwards (FORKS.md).

What is carried are expressions whose zeros (of a lattice: whole values) are jumps further on.  Assignments are substituted,
branches united, loops gone through until nothing is new.  At a continuous draw the expressions that mention it
give its atoms; one goes on without it unless its slope is surely never 0.  Of what cannot be followed only the names are kept
(`lost`): a continuous draw that is among them is refused, and so is all that is not known here.  A jump too many costs variance, a
missing one would be a bias.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never, cast

from ..levels import Proposal
from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import (
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
from ..text.diagnostics import ProbError
from .atoms import DRAW, Atom, Atoms, Form, Unfound
from .carried import MOST_ATOMS, Carried, Carrying, Missable
from .entries import any_entry, simpler
from .forms import by_halving, formed
from .hoisting import hoisted, owned
from .inverting import GOAL, peeled, told
from .left_out import Reduced
from .reachable import alike, defined, few_outcomes, is_number, only_place, unlike_numbers, with_place
from .repeated import SOME, Repeated
from .rising import poles
from .scoped import MAYBE, RETURNED, Held, every_name, plain, renamed, seen, shown
from .solving import WHOLE, Unsolved, by_element, changed, constant, multiplied, names_of, pieces, put, substituted

MOST_CALLS = 12  # of a function by itself, after which nothing new may come out of it
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
    except ProbError as problem:  # of the program with a line for every draw
        return Unfound(resolved.program.body.span, problem.diagnostics[0].title)
    except Missable as problem:
        return problem.unfound
    except Unsolved as problem:
        return Unfound(problem.node.span, problem.why)
    return Atoms({index: tuple(atoms) for index, atoms in walk.atoms.items()}, frozenset(walk.places))


class _Backward(Repeated):
    """Through one program."""

    def __init__(self, resolved: Resolved):
        made, self.index_of = hoisted(resolved)
        super().__init__(made)
        self.locals_of = {name: owned(function) for name, function in resolved.functions.items()}
        self.atoms: dict[int, dict[Atom, None]] = {site.index: {} for site in resolved.sites}

    def program(self) -> None:
        """Until nothing new comes out of functions."""
        for _ in range(MOST_CALLS):
            before = self.size()
            self.done.clear()
            self.block(self.resolved.program.body, Carrying())
            if self.size() == before:
                return
        raise Missable(self.resolved.program.body.span, "the jumps of its functions come to no end")

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
                if self.ends:
                    self.returned(state)
                    self.replace(RETURNED, (), self.read(node.values[0]), state)
                for value in node.values:
                    self.inner(value, state)
            case Parameter() | Data() | Function():
                return
            case _:
                assert_never(node)

    def assign(self, node: Assign, state: Carrying) -> None:
        if isinstance(node.value, Call) and node.value.function in self.resolved.functions:
            self.called(node, node.value, state)
            return
        value = self.read(node.value)
        self.replace(node.name, self.places_of(node.indices), value, state)
        self.inner(value, state)
        self.indices(node.indices, state)

    def indices(self, items: tuple[Expression | Slice, ...], state: Carrying) -> None:
        for item in items:
            for part in children(item) if isinstance(item, Slice) else (item,):
                self.inner(part, state)  # type: ignore[arg-type]

    def replace(self, name: str, indices: tuple[object, ...], value: Expression, state: Carrying) -> None:
        """A variable, or an element, is set to a value."""
        if name in state.lost:
            why = state.lost[name]
            if not indices:
                del state.lost[name]
            state.lose(names_of(value), *why)
        found: dict[Carried, None] = {}
        for one in state.carried:
            if name not in names_of(one.value):
                found.setdefault(one)
                continue
            if self.opaque(value):
                kept = names_of(one.value) if indices else names_of(one.value) - {name}
                state.lose(names_of(value) | kept, one.span, "it goes through a function that is not written in the program")
                continue
            for made in self.with_element(one, name, indices, value, state):
                found.setdefault(made)
        state.carried = found

    def places_of(self, indices: tuple[Expression | Slice, ...]) -> tuple[Expression | Slice, ...]:
        """Indices, with the numbers of rounds in their places."""
        made = self.bound(Index(Name(""), indices)) if indices else None
        return made.items if isinstance(made, Index) else indices

    def entry_by_entry(self, one: Carried, name: str) -> Carried:
        """An expression of an array of few numbers, with its entries in place of the whole."""
        if name not in self.lengths:
            return one
        entries = Vector(tuple(Index(Name(name), (Number(float(place)),)) for place in range(self.lengths[name])))

        def change(part: Expression) -> Expression | None:
            if isinstance(part, Index) and part.target == Name(name):
                return self.entry_at(part, name)
            return entries if part == Name(name) else None

        return one.of(self.read(changed(one.value, change)))

    def entry_at(self, part: Index, name: str) -> Expression:
        """An entry, with its place counted from the front."""
        number = constant(part.items[0]) if len(part.items) == 1 and not isinstance(part.items[0], Slice) else None
        return part if number is None or name not in self.lengths else replace(part, items=(Number(number % self.lengths[name]),))

    def with_element(
        self, one: Carried, name: str, indices: tuple[object, ...], value: Expression, state: Carrying
    ) -> list[Carried]:
        """What an expression was before a variable, or an element of it, was set."""
        if not indices:
            return [one.of(substituted(one.value, name, value))]
        one = self.entry_by_entry(one, name)
        same = self.entry_at(Index(Name(name), indices), name)  # type: ignore[arg-type]
        value_of = put(one.value, same, value)
        if value_of is not one.value:
            one = one.of(value_of)
            if name not in names_of(put(one.value, value, Number(0.0))):
                return [one]
        unlike = [p for p in nodes_in(one.value) if isinstance(p, Index) and p.target == Name(name) and not alike(p.items, indices)]
        if unlike:
            why = f"parts of the array `{shown(name)}` are used there as other parts than are set"
            state.lose(names_of(one.value) | names_of(value), one.span, why)
            return [one]
        places = list(dict.fromkeys(p for p in nodes_in(one.value) if isinstance(p, Index) and p.target == Name(name)))
        places = [place for place in places if not unlike_numbers(place, same)]
        bare = changed(one.value, lambda part: Number(0.0) if isinstance(part, Index) and part.target == Name(name) else None)
        if name in names_of(bare) or len(places) > 2:
            state.lose(names_of(one.value) | names_of(value), one.span, f"the array `{shown(name)}` is used as a whole there")
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
            for made in self.with_element(one, node.name, self.places_of(node.indices), Name(DRAW), state):
                if node.name in state.lost:
                    raise Missable(*state.lost[node.name])
                if DRAW not in names_of(made.value):
                    found.setdefault(made)
                    continue
                atoms, rests = self.at_draw(made, node)
                for atom in atoms:
                    self.keep(atom, made, node, site)
                for rest in rests:
                    found.setdefault(rest)
        state.carried = {one: None for one in found if names_of(one.value)}

    def at_draw(self, one: Carried, node: Sample) -> tuple[list[Atom], list[Carried]]:
        """The atoms of an expression of a draw, and what goes on without it."""
        atoms: list[Atom] = []
        rests: list[Carried] = []
        try:
            for own in self.parts(self.one_entry(one), node):
                if DRAW in names_of(own.value):
                    atoms.append(self.candidate(own.value, own, node))
                rests += self.without(own, node) if DRAW in names_of(own.value) else [own]
        except (Missable, Unsolved):
            if self.numbers(node) or (together := self.together(one, node)) is None:
                raise
            return together
        return atoms, rests

    def together(self, one: Carried, node: Sample) -> tuple[list[Atom], list[Carried]] | None:
        """The same, of what is made of several numbers of a draw: each of them is a root beside the others."""
        try:
            reduced = Reduced(one.value, self.scalars)
            rests = self.without_all(one, reduced, node)
            atoms: dict[Atom, None] = {}
            for each in reduced.each():
                for piece in pieces(each.value, DRAW):
                    if DRAW not in names_of(piece):
                        continue
                    atom = self.candidate(piece, one.of(piece), node)
                    atoms.setdefault(replace(atom, others=each.others, whole=one.value, inside=each.part, places=each.places))
        except Unsolved:
            return None
        return list(atoms), rests

    def one_entry(self, one: Carried) -> Carried:
        """Of an array that is drawn, one entry against numbers: the jumps of each entry, as if it were this one."""
        place = only_place(one.value, DRAW)
        if place is None:
            return one.of(any_entry(one.value, DRAW, self.scalars))
        own = with_place(one.value, [place], Name(DRAW))
        return one.of(own) if is_number(own, self.scalars | {DRAW}) else one

    def candidate(self, piece: Expression, one: Carried, node: Sample) -> Atom:
        """A jump at a draw."""
        if DISTRIBUTIONS[node.distribution.name].event:
            raise Missable(one.span, f"a draw of {node.distribution.name} is no single number")
        for part in nodes_in(piece):
            if isinstance(part, Call | Draw | LogPdf) and DRAW in names_of(part) and (
                not isinstance(part, Call) or part.function in LATTICES or part.function not in FUNCTIONS
            ):
                through = getattr(part, "function", "a density")
                raise Missable(one.span, f"`{shown(node.name)}` goes through `{through}` before it is compared")
        if WHOLE in names_of(piece):
            raise Missable(one.span, f"a number that is rounded is compared here together with `{shown(node.name)}`")
        if unknown := [found for found in names_of(piece) if found.startswith(SOME)]:
            raise Missable(one.span, f"`{shown(unknown[0])}` is another number in the round before")
        if some := [found for found in names_of(piece) if plain(found).startswith(MAYBE)]:
            raise Missable(one.span, f"`{shown(some[0])}` in one branch of an expression is compared: give it a line of its own")
        line = self.source.line_of(one.span)
        root = "" if one.lattice else told(self.seen(piece), DRAW, shown(node.name))
        words = f"jumps at {root + ': ' if root else ''}`{self.source.quoted(one.span)}` (line {line})"
        zero = Name(GOAL) if one.lattice else Number(0.0)
        return self.atom(Atom(piece, one.lattice, Form.AFFINE, piece, (zero,), one.span, words), node)

    def keep(self, atom: Atom, one: Carried, node: Sample, site: Site) -> None:
        """An atom of a site."""
        known = self.atoms[self.index_of[site.index]]
        known.setdefault(self.seen(atom))
        if len(known) > MOST_ATOMS:
            raise Missable(one.span, f"`{shown(node.name)}` makes the result jump at more than {MOST_ATOMS} places")

    def seen(self, held: Held) -> Held:
        """An atom, or a part of one, with names as a draw in this function knows them."""
        names = {name: seen(name, self.current, self.locals_of) for name in every_name(held)}
        if isinstance(held, Atom):  # of the program's names those that are in it
            held = cast(Held, replace(held, kept=held.kept.intersection(names)))
        return renamed(held, {name: other for name, other in names.items() if name != other})

    def atom(self, atom: Atom, node: Sample) -> Atom:
        """The atom with how its roots are found."""
        for value in dict.fromkeys((atom.value, simpler(atom.value))):
            if (found := self.found(atom, value, node)) is not None:
                return found
        raise Missable(atom.span, f"it cannot be solved for `{shown(node.name)}`")

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
                    state.lose(names_of(one.value), one.span, f"an element of `{shown(node.name)}` is drawn between")
                    found.setdefault(one)
                    continue
                for outcome in outcomes:
                    for made in self.with_element(one, node.name, self.places_of(node.indices), Number(outcome), state):
                        found.setdefault(made)
                continue
            place = only_place(one.value, node.name)
            if outcomes and place is not None and by_element(with_place(one.value, [place], Name(node.name)), node.name):
                for outcome in outcomes:
                    found.setdefault(one.of(with_place(one.value, [place], Number(outcome))))
                continue
            one_number = node.distribution.name == "Categorical" or self.numbers(node)
            if not outcomes or not (one_number or by_element(one.value, node.name)):
                why = f"`{shown(node.name)}` is drawn between, and may be any number"
                state.lose(names_of(one.value) - {node.name}, one.span, why)
                continue
            for outcome in outcomes:
                found.setdefault(one.of(substituted(one.value, node.name, Number(outcome))))
        state.carried = {one: None for one in found if names_of(one.value)}


__all__ = ["find_atoms"]
