"""Variables on which all results depend linearly, given everything else: rewards, costs and log probabilities that are added up.

For such a variable `a`, and runs that are otherwise in the same state, E[a g(future)] = E[a | state] E[g(future) | state]: it is
enough to know its mean (`runtime/lanes/merging.py`).  A sum keeps that, and so does a product with what holds no such variable; a
product of two of them, a square, a comparison or any other function does not, and then a variable is part of the state.

What is found is the greatest set of variables of the program (functions keep all of theirs) each of whose uses is linear.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
    Call,
    Conditional,
    Data,
    Expression,
    For,
    Function,
    If,
    Index,
    Name,
    Node,
    Parameter,
    Range,
    Return,
    Sample,
    Slice,
    Statement,
    Unary,
    Vector,
    While,
    deep_recursion,
)
from ..tables.functions import FUNCTIONS
from .reads import outer_reads

Names = frozenset[str]
NONE: Names = frozenset()


def find_linear(resolved: Resolved) -> Names:
    """Those of a program."""
    search = _Linear(resolved)
    with deep_recursion():
        search.block(resolved.program.body)
    for names in outer_reads(resolved).values():
        search.bend(names)
    return search.settled()


@dataclass
class _Linear:
    """What is used other than linearly (`bent`), what a variable is a linear function of (`made`), and products of two of them."""

    resolved: Resolved
    names: set[str] = field(default_factory=set)
    bent: set[str] = field(default_factory=set)
    made: dict[str, set[str]] = field(default_factory=dict)
    products: list[tuple[Names, Names]] = field(default_factory=list)

    def settled(self) -> Names:
        """What is left when all that follows has been drawn from it."""
        work = list(self.bent)
        while True:
            while work:
                name = work.pop()
                for other in self.made.get(name, ()):
                    if other not in self.bent:
                        self.bent.add(other)
                        work.append(other)
            left = self.names - self.bent
            for one, several in self.products:
                if not left.isdisjoint(one) and not left.isdisjoint(several):
                    work += left & (one | several)
                    self.bend(work)
            if not work:
                return frozenset(left)

    def bend(self, names: Iterable[str]) -> None:
        """These are used in some other way."""
        self.bent.update(names)

    def otherwise(self, *roots: Node) -> None:
        """All that is read in these is used in some other way."""
        for root in roots:
            self.bend(node.id for node in nodes_in(root) if isinstance(node, Name))

    # ---------------------------------------------------------------------------------------------- statements
    def block(self, body: Block) -> None:
        """All statements of a block."""
        for statement in body.statements:
            self.statement(statement)

    def statement(self, node: Statement) -> None:
        """One statement."""
        match node:
            case Assign():
                self.otherwise(*node.indices)
                self.names.add(node.name)
                self.made.setdefault(node.name, set()).update(self.linear(node.value))
            case Sample():
                self.otherwise(*node.indices, node.distribution)
                self.names.add(node.name)
            case If():
                for condition, body in node.branches:
                    self.otherwise(condition)
                    self.block(body)
                if node.otherwise is not None:
                    self.block(node.otherwise)
            case For():
                bounds = (node.iterable,) if not isinstance(node.iterable, Range) else (node.iterable.start, node.iterable.stop)
                self.otherwise(*(bound for bound in bounds if bound is not None))
                self.bend([node.variable])
                self.block(node.body)
            case While():
                self.otherwise(node.condition)
                self.block(node.body)
            case Return():
                for value in node.values:
                    self.linear(value)
            case Parameter() | Data() | Function():
                pass
            case _:
                assert_never(node)

    # --------------------------------------------------------------------------------------------- expressions
    def linear(self, node: Expression | Slice) -> Names:
        """The variables of which the value is a linear function, given the others; all others that are read are bent."""
        match node:
            case Name():
                return frozenset((node.id,))
            case Unary(operator="-"):
                return self.linear(node.operand)
            case Arithmetic():
                return self.arithmetic(node)
            case Conditional():
                self.otherwise(node.condition)
                return self.linear(node.then) | self.linear(node.otherwise)
            case Vector():
                return NONE.union(*(self.linear(item) for item in node.items))
            case Index():
                self.otherwise(*node.items)
                return self.linear(node.target)
            case Call(function=name) if name in FUNCTIONS and FUNCTIONS[name].adds and name not in self.resolved.functions:
                parts = [self.linear(argument.value) for argument in node.arguments]
                if FUNCTIONS[name].least > 1:
                    self.products.append((parts[0], NONE.union(*parts[1:])))
                return NONE.union(*parts)
            case _:
                self.otherwise(node)
                return NONE

    def arithmetic(self, node: Arithmetic) -> Names:
        """A sum, or a product of which one factor may be linear."""
        found = self.linear(node.first)
        for term in node.rest:
            if term.operator in "+-":
                found = found | self.linear(term.operand)
            elif term.operator == "*":
                other = self.linear(term.operand)
                if found and other:
                    self.products.append((found, other))
                found = found | other
            else:
                self.otherwise(term.operand)
                if term.operator != "/":
                    self.bend(found)
                    found = NONE
        return found


__all__ = ["find_linear"]
