"""Which variables are live after a statement: may be read before they are set again, on some way through the program.

The usual backward pass of compilers (Aho, Lam, Sethi & Ullman, "Compilers", section 9.2.5), per scope: results are read at the
end, `x[i] = v` reads `x`, a call reads the outer variables that the function reads.  What is not live cannot tell two runs apart
from here on, so runs that agree in the rest are in the same state (`runtime/lanes/merging.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

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
    Name,
    Node,
    Parameter,
    Return,
    Sample,
    Statement,
    While,
)
from .reads import outer_reads, set_in

Names = frozenset[str]
NONE: Names = frozenset()


@dataclass(frozen=True)
class Liveness:
    """The variables of a statement's scope that are live `after` it, by `id(statement)`; `ends`: statements after which fewer
    are live than before, or one has a new value, so that two runs may have come to the same state (of those that follow each
    other without a draw, the last)."""

    after: dict[int, Names] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)


def find_liveness(resolved: Resolved, of: tuple[str, ...] = ()) -> Liveness:
    """Of all statements, those in functions included; `of`: variables that are asked for at the end."""
    found = Liveness()
    outer = outer_reads(resolved)
    body, names = resolved.program.body, frozenset(resolved.functions)
    objective = () if resolved.objective is None else (resolved.objective,)
    _Backwards(set_in(body), outer, found, frozenset(of), names).block(body, frozenset((*of, *objective)))
    for function in resolved.functions.values():
        own = set_in(function.body) | frozenset(function.parameters)
        _Backwards(own, {}, found, NONE, names).block(function.body, NONE)
    return found


@dataclass
class _Backwards:
    """One pass over the program or a function, from the end to the beginning; `last`: what is read wherever it returns."""

    variables: Names
    outer: dict[str, Names]
    found: Liveness
    last: Names
    functions: frozenset[str]
    known: dict[int, Names] = field(default_factory=dict)

    def block(self, body: Block, live: Names, soon: bool = False) -> Names:
        """What is live before some statements, after which `live` is; `soon`: an end follows, and nothing is drawn before it."""
        for statement in reversed(body.statements):
            self.found.after[id(statement)] = live
            before = self.statement(statement, live)
            compound = isinstance(statement, If | For | While)
            end = not soon and (compound or self.replaces(statement, before, live) or not before <= live)
            (self.found.ends.add if end else self.found.ends.discard)(id(statement))
            soon = (soon or end) and not compound and not self.draws(statement)
            live = before
        return live

    def replaces(self, node: Statement, before: Names, live: Names) -> bool:
        """Whether a variable has a new value in place of one that could have been read, or of none that will be."""
        return isinstance(node, Assign | Sample) and (node.name in before or node.name not in live)

    def draws(self, node: Statement) -> bool:
        """Whether something is drawn in a statement, or may be in a function that it calls."""
        roots = (node,) if isinstance(node, Assign | Sample | Return) else ()
        return any(isinstance(part, Sample | Draw) or (isinstance(part, Call) and part.function in self.functions)
                   for root in roots for part in nodes_in(root))

    def statement(self, node: Statement, live: Names) -> Names:
        """What is live before a statement."""
        match node:
            case Assign() | Sample():
                value = node.value if isinstance(node, Assign) else node.distribution
                if node.indices:
                    return live | self.reads(value, *node.indices) | {node.name}
                return self.joined(live - {node.name} if node.name in live else live, self.reads(value))
            case If():
                found = live if node.otherwise is None else self.block(node.otherwise, live, True)
                for condition, body in reversed(node.branches):
                    found = found | self.block(body, live, True) | self.reads(condition)
                return found
            case For():
                head = live
                while not (more := self.block(node.body, head) - {node.variable}) <= head:
                    head = head | more
                return head | self.reads(node.iterable)
            case While():
                head = live | self.reads(node.condition)
                while not (more := self.block(node.body, head)) <= head:
                    head = head | more
                return head
            case Return():
                return self.last | self.reads(*node.values)
            case Parameter() | Data() | Function():
                return live
            case _:
                assert_never(node)

    def joined(self, live: Names, more: Names) -> Names:
        """Both, which is often the first."""
        return live if more <= live else live | more

    def reads(self, *roots: Node) -> Names:
        """The variables of the scope that are read somewhere in expressions."""
        found: Names = NONE
        for root in roots:
            if id(root) not in self.known:
                self.known[id(root)] = frozenset(self._names(nodes_in(root)))
            found = found | self.known[id(root)]
        return found

    def _names(self, nodes: Iterable[Node]) -> Iterable[str]:
        for node in nodes:
            if isinstance(node, Name) and node.id in self.variables:
                yield node.id
            elif isinstance(node, Call):
                yield from self.outer.get(node.function, NONE) & self.variables


__all__ = ["Liveness", "find_liveness"]
