"""Branches and loops in the walk backwards: what is carried is united, and gone through again until nothing is new."""

from __future__ import annotations

from ..analysis.reads import set_in
from ..syntax import Argument, Block, Call, Expression, For, If, Index, Name, Number, Range, Vector
from .carried import Carried, Carrying, Missable
from .reachable import few_rounds
from .scoped import shown
from .solving import names_of, substituted
from .through import Through

MOST_ROUNDS = 64
SOME = "\1some "  # before the name of a loop's variable: what it is in some other round


class Repeated(Through):
    """Statements that hold blocks."""

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
                why = f"`{shown(variable)}` is another number in the round before"
                state.lose(names_of(one.value) - {variable, some}, one.span, why)
            else:
                kept.setdefault(one.of(substituted(one.value, variable, Name(some))))
        state.carried = kept
        state.lost.pop(variable, None)

    def entries(self, variable: str, array: Expression, state: Carrying) -> None:
        """The variable of a loop over an array is some entry of it: not the same as in other rounds."""
        some = SOME + variable
        if variable in state.lost:
            state.lose(names_of(array), *state.lost.pop(variable))
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
                state.lose((names | names_of(array)) - {variable}, one.span, f"`{shown(variable)}` is some entry of an array")
        state.carried = found

    def counted(self, node: For, state: Carrying) -> None:
        bounds = few_rounds(node.iterable)
        if bounds is not None:
            for number in reversed(bounds):  # exactly these rounds
                if node.variable not in set_in(node.body):
                    self.rounds[node.variable] = Number(float(number))
                self.block(node.body, state)
                self.rounds.pop(node.variable, None)
                state.carried = {
                    one.of(substituted(one.value, node.variable, Number(float(number)))): None
                    for one in state.carried
                }
                state.lost.pop(node.variable, None)
                state.settle(self.random)
            return
        array = None if isinstance(node.iterable, Range) else self.read(node.iterable)
        if array is not None and names_of(array) & set_in(node.body):  # whose entries are those of before the loop
            array = Call("", (Argument(None, array),))
        self.loop(node.body, state, None, node.variable, array)
        if isinstance(node.iterable, Range):
            for bound in (node.iterable.start, node.iterable.stop):
                if bound is not None:
                    self.inner(bound, state)
        else:
            self.inner(node.iterable, state)


__all__ = ["SOME", "Repeated"]
