"""Which variables are live after a statement: may be read before they are set again, on some way through the program.

The usual backward pass of compilers (Aho, Lam, Sethi & Ullman, "Compilers", section 9.2.5), per scope: results are read at the
end, `x[i] = v` reads `x`, a call reads the outer variables that the function reads.  What is not live cannot tell two runs apart
from here on, so runs that agree in the rest are in the same state (`runtime/lanes/merging.py`); and of a live variable that is only
used linearly from here on (`linear.py`), the mean is enough.  Both are found in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from ..levels import LEVEL
from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Assign,
    Block,
    Call,
    Data,
    Draw,
    For,
    Function,
    If,
    Parameter,
    Require,
    Return,
    Sample,
    Statement,
    While,
    deep_recursion,
)
from ..tables.constants import ELBO
from .linear import CALLED, Linearity, Use
from .reads import outer_reads, set_in

Names = frozenset[str]
NONE: Names = frozenset()


@dataclass(frozen=True)
class Ahead:
    """The variables that are `live` at a place, and those of them that are used otherwise than linearly: the `state`."""

    live: Names = NONE
    state: Names = NONE

    def __or__(self, other: Ahead) -> Ahead:
        return self if other <= self else Ahead(self.live | other.live, self.state | other.state)

    def __le__(self, other: Ahead) -> bool:
        return self.live <= other.live and self.state <= other.state

    def without(self, name: str) -> Ahead:
        """Before the variable is set."""
        return Ahead(self.live - {name}, self.state - {name}) if name in self.live else self


@dataclass(frozen=True)
class Liveness:
    """By `id(statement)` the variables of its scope that are live `after` it, and those of them that are part of the `state`, while
    of the others the mean is enough.  `ends`: statements after which the state is smaller than before, or a variable has a new
    value, so that two runs may have come to the same state (of those that follow each other without a draw, the last).  `bent`:
    functions whose results are used otherwise than linearly."""

    after: dict[int, Names] = field(default_factory=dict)
    state: dict[int, Names] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)
    bent: set[str] = field(default_factory=set)


def liveness_of(resolved: Resolved, of: tuple[str, ...] = ()) -> Liveness:
    """The same, found once for a program and what is asked for."""
    return resolved.prepared.once("liveness", of, lambda: find_liveness(resolved, of))


def find_liveness(resolved: Resolved, of: tuple[str, ...] = ()) -> Liveness:
    """Of all statements, those in functions included; `of`: variables that are asked for at the end.  The level of a run, which is
    always live, is left out."""
    outer = outer_reads(resolved)
    body, functions = resolved.program.body, resolved.functions
    objective = () if resolved.objective is None else (resolved.objective,)
    with deep_recursion():
        additive = of == (ELBO,) and resolved.weighted
        program = Linearity(resolved, body, set_in(body), outer, additive)
        inside = {
            name: Linearity(resolved, function.body, set_in(function.body) | frozenset(function.parameters), {}, additive)
            for name, function in functions.items()
        }
        bent: set[str] = set()
        while True:
            before, found = len(bent), Liveness(bent=bent)
            _Backwards(program, found, frozenset(of)).block(body, Ahead(frozenset((*of, *objective))))
            for name, uses in inside.items():
                _Backwards(uses, found, NONE, name).block(functions[name].body, Ahead())
            if len(bent) == before:
                return found


@dataclass
class _Backwards:
    """One pass over the program or a function, from the end to the beginning; `last`: what is read wherever it returns."""

    uses: Linearity
    found: Liveness
    last: Names
    name: str = ""

    def block(self, body: Block, ahead: Ahead, soon: bool = False) -> Ahead:
        """What is ahead before some statements, after which is `ahead`; `soon`: an end follows, and nothing is drawn before it."""
        for statement in reversed(body.statements):
            self.found.after[id(statement)], self.found.state[id(statement)] = ahead.live, ahead.state
            before = self.statement(statement, ahead)
            compound = isinstance(statement, If | For | While)
            end = not soon and (compound or self.replaces(statement, before, ahead) or not before.state <= ahead.state)
            (self.found.ends.add if end else self.found.ends.discard)(id(statement))
            soon = (soon or end) and not compound and not self.draws(statement)
            ahead = before
        return ahead

    def replaces(self, node: Statement, before: Ahead, ahead: Ahead) -> bool:
        """Whether a variable has a new value in place of one that could have been read, or that is no part of the state."""
        if not isinstance(node, Assign | Sample) or node.name == LEVEL:
            return False
        return node.name in before.live or node.name not in ahead.state

    def draws(self, node: Statement) -> bool:
        """Whether something is drawn in a statement, or may be in a function that it calls."""
        roots = (node,) if isinstance(node, Assign | Sample | Return) else ()
        return any(isinstance(part, Sample | Draw) or (isinstance(part, Call) and part.function in self.uses.resolved.functions)
                   for root in roots for part in nodes_in(root))

    def statement(self, node: Statement, ahead: Ahead) -> Ahead:
        """What is ahead before a statement."""
        match node:
            case Assign() | Sample():
                value = self.uses.of(node.value) if isinstance(node, Assign) else self.uses.all_of(node.distribution)
                if node.name in ahead.state or (node.name == LEVEL and not self.uses.additive):
                    value = value.otherwise
                if node.indices:
                    return ahead | self.read(value | self.uses.all_of(*node.indices)) | Ahead(frozenset((node.name,)))
                return ahead.without(node.name) | self.read(value)
            case If():
                found = ahead if node.otherwise is None else self.block(node.otherwise, ahead, True)
                for condition, body in reversed(node.branches):
                    found = found | self.block(body, ahead, True) | self.read(self.uses.all_of(condition))
                return found
            case For():
                head = ahead
                while not (more := self.block(node.body, head).without(node.variable)) <= head:
                    head = head | more
                return head | self.read(self.uses.all_of(node.iterable))
            case While():
                head = ahead | self.read(self.uses.all_of(node.condition))
                while not (more := self.block(node.body, head)) <= head:
                    head = head | more
                return head
            case Require():
                return ahead | self.read(self.uses.all_of(node.condition))
            case Return():
                found = Ahead(self.last)
                for result in node.values:
                    value = self.uses.of(result)
                    found = found | self.read(value.otherwise if self.name in self.found.bent else value)
                return found
            case Parameter() | Data() | Function():
                return ahead
            case _:
                assert_never(node)

    def read(self, use: Use) -> Ahead:
        """The variables of the scope that are read; what is bent may be the result of a function."""
        self.found.bent.update(name.removesuffix(CALLED) for name in use.bent if name.endswith(CALLED))
        own = self.uses.variables - {LEVEL}
        return Ahead((use.linear | use.bent) & own, use.bent & own)


__all__ = ["Liveness", "find_liveness", "liveness_of"]
