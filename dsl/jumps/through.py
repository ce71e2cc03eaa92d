"""Calls of functions in the walk backwards: through their bodies, from what they give to what they are given.

A body is gone through once for each set of expressions that are carried to its end (RETURNED in them is what it gives); what comes
out at its beginning is kept.  A function that calls itself comes to its own beginning with what is known there so far, and all is
gone through again until nothing is new.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..names.resolved import Resolved
from ..syntax import Assign, Block, Call, Expression, Name
from .carried import Carried, Carrying, Missable
from .scoped import MOST_BEFORE, RETURNED, depth, older, owner, younger
from .solving import changed, names_of
from .within import Within

Key = tuple[str, frozenset[Carried], frozenset[str]]


class Through(Within):
    """What is carried through calls."""

    def __init__(self, resolved: Resolved):
        super().__init__(resolved)
        self.ends: list[Carrying] = []  # what is carried to the end of the functions that are gone through
        self.walked: list[str] = []  # their names
        self.begun: dict[Key, Carrying] = {}  # what has come out at the beginning of a function
        self.done: set[Key] = set()  # in this round

    def block(self, block: Block, state: Carrying) -> None:
        raise NotImplementedError

    @property
    def current(self) -> str | None:
        """The function that is gone through; None: the program."""
        return self.walked[-1] if self.walked else None

    def called(self, node: Assign, call: Call, state: Carrying) -> None:
        """A line `name = f(...)`."""
        function, name = self.resolved.functions[call.function], node.name
        mine = [one for one in state.carried if name in names_of(one.value)]
        end = Carrying({self._within(one, name, call.function): None for one in mine})
        if name in state.lost:
            end.lost[RETURNED] = state.lost.pop(name)
        state.carried = {one: None for one in state.carried if one not in mine}
        begin = self.through(call.function, end)
        given = {place: argument.value for place, argument in zip(function.parameters, call.arguments, strict=True)}
        for one in begin.carried:
            if (made := self._outside(one, call.function, given)) is not None:
                state.carried.setdefault(made)
        for lost, (span, why) in begin.lost.items():
            state.lose(names_of(given[lost]) if lost in given else self._names_outside(lost, call.function), span, why)
        for argument in call.arguments:
            self.inner(argument.value, state)

    def through(self, function: str, end: Carrying) -> Carrying:
        """What is carried to the beginning of a function with this at its end."""
        key = function, frozenset(end.carried), frozenset(end.lost)
        if key in self.done:
            return self.begun[key]
        self.done.add(key)
        self.begun.setdefault(key, Carrying())
        self.ends.append(end)
        self.walked.append(function)
        state = Carrying()
        self.block(self.resolved.functions[function].body, state)
        self.ends.pop()
        self.walked.pop()
        self.begun[key].unite(state)
        return self.begun[key]

    def returned(self, state: Carrying) -> None:
        """A `return` in a function: whatever comes after it does not count."""
        end = self.ends[-1].copy()
        state.carried, state.lost = end.carried, end.lost

    def size(self) -> int:
        """How much has come out of functions so far."""
        return sum(len(one.carried) + len(one.lost) for one in self.begun.values())

    def _within(self, one: Carried, name: str, function: str) -> Carried:
        """An expression of what a call gives, for its end: variables of the same function are those of a call before."""

        def change(part: Expression) -> Expression | None:
            if not isinstance(part, Name):
                return None
            if part.id == name:
                return Name(RETURNED)
            if owner(part.id) != function:
                return None
            if depth(part.id) >= MOST_BEFORE:
                raise Missable(one.span, f"`{function}` calls itself, and compares what all these calls have")
            return Name(older(part.id))

        return one.of(changed(one.value, change))

    def _outside(self, one: Carried, function: str, given: Mapping[str, Expression]) -> Carried | None:
        """An expression at the beginning of a function, for its caller; None: no run comes to it."""
        if any(owner(name) == function and not depth(name) and name not in given for name in names_of(one.value)):
            return None

        def change(part: Expression) -> Expression | None:
            if not isinstance(part, Name):
                return None
            if part.id in given:
                return given[part.id]
            return Name(younger(part.id)) if owner(part.id) == function else None

        return one.of(changed(one.value, change))

    @staticmethod
    def _names_outside(name: str, function: str) -> frozenset[str]:
        if owner(name) != function:
            return frozenset((name,))
        return frozenset((younger(name),)) if depth(name) else frozenset()


__all__ = ["Through"]
