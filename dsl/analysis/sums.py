"""Which variables are sums, and what the branches and loops of a program set: what the assignment of credit needs to know.

A result is taken apart into terms where the text adds: from the result's expression backwards through `+`, `-`, `sum`,
`mean`, products and calls to the variables that are added up there (accumulators, `total = total + reward`), and so on
through what is assigned to them.  A variable that grows in a loop and is read there by something else stays whole, unless it
is set anew in each round: otherwise the number of terms would grow with the square of the rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from ..levels import LEVEL
from ..names.resolved import Resolved
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
    Call,
    Data,
    Expression,
    For,
    Function,
    If,
    Name,
    Node,
    Parameter,
    Require,
    Return,
    Sample,
    Statement,
    Unary,
    While,
)
from ..tables.functions import FUNCTIONS

Loops = tuple[int, ...]  # ids of the loops around a statement, outermost first


@dataclass(frozen=True)
class Sums:
    """The facts, keyed by `id(node)`; a scope is None (the program) or a function's name.

    accumulators   per scope the variables whose terms are kept
    expand         names that are read as the terms they are the sum of
    updates        assignments `v = v + ...` of accumulators
    assigned       per `if`, `for`, `while` the variables that something in it sets
    replaced       per `if`, `for`, `while` the accumulators that something in it sets anew
    returns        `if`, `for`, `while` with a `return` inside
    """

    accumulators: dict[str | None, frozenset[str]]
    expand: frozenset[int]
    updates: frozenset[int]
    assigned: dict[int, tuple[str, ...]]
    replaced: dict[int, tuple[str, ...]]
    returns: frozenset[int]


@dataclass
class _Scope:
    """The setters and returns of the program or of a function."""

    setters: dict[str, list[tuple[Assign | Sample, Loops]]] = field(default_factory=dict)
    returns: list[tuple[Return, Loops]] = field(default_factory=list)
    compounds: list[If | For | While] = field(default_factory=list)
    counters: set[str] = field(default_factory=set)  # variables of `for` loops


def find_sums(resolved: Resolved) -> Sums:
    """The facts of a program."""
    scopes: dict[str | None, _Scope] = {None: _collected(resolved.program.body)}
    for name, function in resolved.functions.items():
        scopes[name] = _collected(function.body)
    search = _Search(resolved, scopes)
    search.run()
    updates = frozenset(
        id(node) for scope, names in search.found.items() for name in names
        for node, _ in scopes[scope].setters.get(name, ()) if is_update(node)
    )
    assigned: dict[int, tuple[str, ...]] = {}
    replaced: dict[int, tuple[str, ...]] = {}
    returns: set[int] = set()
    for scope, facts in scopes.items():
        kept = search.found.get(scope, set())
        for compound in facts.compounds:
            inside = list(_statements(compound))
            setters = [node for node in inside if isinstance(node, Assign | Sample)]
            counters = [node.variable for node in (compound, *inside) if isinstance(node, For)]
            assigned[id(compound)] = tuple(dict.fromkeys([*(node.name for node in setters), *counters]))
            replaced[id(compound)] = tuple(
                dict.fromkeys(node.name for node in setters if node.name in kept and id(node) not in updates)
            )
            if any(isinstance(node, Return | Require) for node in inside):
                returns.add(id(compound))
    accumulators = {scope: frozenset(names) for scope, names in search.found.items()}
    return Sums(accumulators, frozenset(search.expand), updates, assigned, replaced, frozenset(returns))


def is_update(node: Assign | Sample) -> bool:
    """Whether an assignment adds to its own variable: `v = v + ...`."""
    if not isinstance(node, Assign) or node.indices or not isinstance(node.value, Arithmetic):
        return False
    operands = signed_operands(node.value)
    if operands is None:
        return False
    own = [sign for sign, operand in operands if isinstance(operand, Name) and operand.id == node.name]
    return own == [1]


def signed_operands(node: Arithmetic) -> list[tuple[int, Expression]] | None:
    """The operands of a sum with their signs; None where the node is not a sum."""
    if any(term.operator not in "+-" for term in node.rest):
        return None
    return [(1, node.first), *((1 if term.operator == "+" else -1, term.operand) for term in node.rest)]


def _collected(body: Block) -> _Scope:
    scope = _Scope()
    stack: list[tuple[Statement, Loops]] = [(statement, ()) for statement in reversed(body.statements)]
    while stack:
        node, loops = stack.pop()
        match node:
            case Assign() | Sample():
                scope.setters.setdefault(node.name, []).append((node, loops))
            case Return():
                scope.returns.append((node, loops))
            case If() | For() | While():
                scope.compounds.append(node)
                if isinstance(node, For):
                    scope.counters.add(node.variable)
                inner = loops if isinstance(node, If) else (*loops, id(node))
                for block in node.blocks:
                    stack.extend((statement, inner) for statement in reversed(block.statements))
            case Require() | Parameter() | Data() | Function():
                pass
            case _:
                assert_never(node)
    return scope


def _statements(node: If | For | While) -> Iterator[Statement]:
    stack: list[Statement] = [statement for block in node.blocks for statement in block.statements]
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, If | For | While):
            stack.extend(inner for block in statement.blocks for inner in block.statements)


@dataclass
class _Search:
    """From the results backwards through what is added."""

    resolved: Resolved
    scopes: dict[str | None, _Scope]
    found: dict[str | None, set[str]] = field(default_factory=dict)
    expand: set[int] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    def run(self) -> None:
        outer = self.scopes[None]
        for node, loops in outer.returns:
            for value in node.values:
                self.positions(value, None, loops, "")
        if not outer.returns and self.resolved.objective is not None:
            self.variable(self.resolved.objective, None)
        if self.resolved.weighted:
            self.variable(LEVEL, None)

    def variable(self, name: str, scope: str | None) -> None:
        names = self.found.setdefault(scope, set())
        if name in names or name not in self.scopes[scope].setters or name in self.scopes[scope].counters:
            return
        names.add(name)
        for node, loops in self.scopes[scope].setters[name]:
            if isinstance(node, Assign) and not node.indices:
                self.positions(node.value, scope, loops, name)

    def positions(self, root: Expression, scope: str | None, loops: Loops, owner: str) -> None:
        """All places in an expression whose values are added up in it."""
        stack: list[Node] = [root]
        while stack:
            node = stack.pop()
            match node:
                case Name():
                    if node.id == owner or self.worthwhile(node.id, scope, loops):
                        self.expand.add(id(node))
                        self.variable(node.id, scope)
                case Arithmetic():
                    stack += node.operands
                case Unary(operator="-"):
                    stack.append(node.operand)
                case Call(function=function) if function in FUNCTIONS and FUNCTIONS[function].adds:
                    stack += [argument.value for argument in node.arguments]
                case Call(function=function) if function in self.resolved.functions and function not in self.functions:
                    self.functions.add(function)
                    for returned, inner in self.scopes[function].returns:
                        for value in returned.values:
                            self.positions(value, function, inner, "")
                case _:
                    pass

    def worthwhile(self, name: str, scope: str | None, reader: Loops) -> bool:
        """Whether a variable does not grow in a loop in which it is read as well, or begins anew there."""
        setters = self.scopes[scope].setters.get(name, [])
        for node, loops in setters:
            if not is_update(node):
                continue
            shared = 0
            while shared < min(len(loops), len(reader)) and loops[shared] == reader[shared]:
                shared += 1
            anew = any(other == loops[:shared] and not is_update(setter) for setter, other in setters)
            if shared and not anew:
                return False
        return True


__all__ = ["Sums", "find_sums", "is_update", "signed_operands"]
