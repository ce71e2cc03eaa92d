"""Draws that are multiplied by something wherever they are used: `well * caught`, where only the well can be caught.

Where that factor is exactly 0 and knows nothing of the draw, the results do not depend on the draw, and the expectation of its
score times anything is 0: to leave it out takes nothing but noise away (Rao-Blackwell; Casella & Robert 1996).  Found here
from the text: draws all of whose uses are operands of products (`w * b`, `dot(w, b)`) or chosen by `where(w, b, ...)`, reached
element by element, and executed once for each draw: in statements of the same block that come after it.  What the factor
is, and whether it knows of the draw, shows in the run (`runtime/gradients/dependence.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never, get_args

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Argument,
    Arithmetic,
    Assign,
    Block,
    Call,
    Comparison,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    Name,
    Node,
    Parameter,
    Power,
    Require,
    Return,
    Sample,
    Statement,
    Term,
    Unary,
    While,
    children,
)
from ..tables.functions import elementwise

Source = int  # id of a Sample or Draw


@dataclass(frozen=True)
class Gates:
    """By `id(node)`: for a product or `where` the draws behind each of its operands; for a draw how many uses it has, and of a
    draw that is assigned the variable."""

    behind: dict[int, dict[int, tuple[Source, ...]]] = field(default_factory=dict)
    uses: dict[Source, int] = field(default_factory=dict)
    variables: dict[Source, str] = field(default_factory=dict)


def find_gates(resolved: Resolved) -> Gates:
    """The facts of a program."""
    search = _Finder(resolved)
    bodies = [resolved.program.body, *(function.body for function in resolved.functions.values())]
    for body in bodies:
        search.count(body)
    for body in bodies:
        search.block(body)
    return search.found


STATEMENTS = get_args(Statement)


class _Finder:
    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.read: dict[str, int] = {}
        self.set: dict[str, int] = {}
        self.found = Gates()
        if resolved.objective is not None:
            self.read[resolved.objective] = 1

    def count(self, body: Block) -> None:
        """How often each name is read and set, anywhere."""
        for node in nodes_in(body):
            if isinstance(node, Name):
                self.read[node.id] = self.read.get(node.id, 0) + 1
            elif isinstance(node, STATEMENTS):
                self.sets(node)

    def sets(self, statement: Statement) -> None:
        """Count the names that a statement sets; what may be set more than once counts twice."""
        match statement:
            case Assign() | Sample():
                self.set[statement.name] = self.set.get(statement.name, 0) + (2 if statement.indices else 1)
            case For():
                self.set[statement.variable] = self.set.get(statement.variable, 0) + 2
            case Function():
                for name in statement.parameters:
                    self.set[name] = self.set.get(name, 0) + 2
            case If() | While() | Require() | Return() | Parameter() | Data():
                pass
            case _:
                assert_never(statement)

    def block(self, body: Block) -> None:
        drawn: dict[str, Source] = {}
        used: dict[Source, list[tuple[int, int]]] = {}
        for statement in body.statements:
            for root in _once(statement):
                for source, place in self.uses(root, drawn):
                    used.setdefault(source, []).append(place)
            if isinstance(statement, Sample) and not statement.indices and self.set[statement.name] == 1:
                drawn[statement.name] = id(statement)
                self.found.variables[id(statement)] = statement.name
            if isinstance(statement, If | For | While):
                for block in statement.blocks:
                    self.block(block)
        for name, source in drawn.items():
            if len(used.get(source, ())) == self.read.get(name, 0) > 0:
                self.keep(source, used[source])

    def keep(self, source: Source, places: list[tuple[int, int]]) -> None:
        self.found.uses[source] = len(places)
        for gate, operand in places:
            behind = self.found.behind.setdefault(gate, {})
            behind[operand] = (*behind.get(operand, ()), source)

    def uses(self, root: Expression, drawn: dict[str, Source]) -> Iterator[tuple[Source, tuple[int, int]]]:
        """The draws in an expression that stand behind a gate, each with the innermost; draws without a name are kept at once."""
        stack: list[tuple[Node, tuple[int, int] | None]] = [(root, None)]
        while stack:
            node, gate = stack.pop()
            if isinstance(node, Name) and node.id in drawn and gate is not None:
                yield drawn[node.id], gate
            elif isinstance(node, Draw):
                if gate is not None:
                    self.keep(id(node), [gate])
                stack.extend((child, None) for child in children(node))
            elif (operands := gated(node)) is not None:
                for number, operand in enumerate(operands):
                    stack.append((operand, None if _decides(node, number) else (id(node), number)))
            else:
                through = gate if _by_element(node) else None
                stack.extend((child, through) for child in children(node))


Factors = tuple[tuple[str, ...], ...]  # of each use of a draw the variables that multiply it


def find_factors(resolved: Resolved, wanted: tuple[str, ...]) -> dict[int, Factors]:
    """By site, draws that are used only as operands of products with variables that are what they were at the draw: where one of
    them is 0 in each of its uses, the element of the draw counts nowhere.  `wanted`: variables that are looked at in the end.

    A draw is followed through the assignments after it in its block.  Either one of them gives its variable another value, or the
    variable is read nowhere else, and not wanted.
    """
    bodies = [resolved.program.body, *(function.body for function in resolved.functions.values())]
    reads: dict[str, int] = {}
    for node in (node for body in bodies for node in nodes_in(body)):
        if isinstance(node, Name):
            reads[node.id] = reads.get(node.id, 0) + 1
    inside = {node.id for body in bodies[1:] for node in nodes_in(body) if isinstance(node, Name)}
    found = {}
    for index, site in enumerate(resolved.sites):
        statement = site.node
        if type(statement) is not Sample or statement.indices or site.function is not None or statement.name in inside:
            continue
        ended = statement.name in (*wanted, *resolved.results, resolved.objective)
        rest = next((rest for body in bodies for rest in _after(body, statement)), ())
        factors = _factors(statement.name, rest, None if ended else reads.get(statement.name, 0))
        if factors:
            found[index] = factors
    return found


def _after(body: Block, statement: Statement) -> Iterator[tuple[Statement, ...]]:
    """The statements of its block that come after one."""
    for number, other in enumerate(body.statements):
        if other is statement:
            yield body.statements[number + 1 :]
        elif isinstance(other, If | For | While):
            for block in other.blocks:
                yield from _after(block, statement)


def _factors(name: str, rest: tuple[Statement, ...], reads: int | None) -> Factors:
    """Of each use of a variable in the next statements; none, where it has another use.  `reads`: how many it has in the program,
    if nothing else can see it."""
    found: list[tuple[str, ...]] = []
    changed = {name}
    for statement in rest:
        if type(statement) is not Assign or statement.indices:
            return ()
        here = [names for node in _simple(statement.value) if (names := _multiplied(node, name, changed)) is not None]
        if len(here) != sum(isinstance(node, Name) and node.id == name for node in nodes_in(statement.value)) or () in here:
            return ()
        found += here
        if statement.name == name or len(found) == reads:
            return tuple(found)
        changed.add(statement.name)
    return ()


def _simple(node: Node) -> Iterator[Node]:
    """The parts of an expression that are computed from what its variables are."""
    yield node
    if _by_element(node) or isinstance(node, Call):
        for child in children(node):
            yield from _simple(child)


def _multiplied(node: Node, name: str, changed: set[str]) -> tuple[str, ...] | None:
    """The variables that a product multiplies a variable by, which is one of its operands; None: it is none."""
    operands = gated(node) if isinstance(node, Arithmetic) else None
    if operands is None or sum(isinstance(operand, Name) and operand.id == name for operand in operands) != 1:
        return None
    return tuple(operand.id for operand in operands if isinstance(operand, Name) and operand.id not in changed)


def gated(node: Node) -> tuple[Expression, ...] | None:
    """The operands of a product or of a choice; None: it is something else."""
    if isinstance(node, Arithmetic) and all(term.operator == "*" for term in node.rest):
        return node.operands
    if isinstance(node, Call) and node.function in ("dot", "where") and all(argument.name is None for argument in node.arguments):
        return tuple(argument.value for argument in node.arguments)
    return None


def _decides(node: Node, number: int) -> bool:
    """Whether an operand is a condition, which is never multiplied by anything."""
    return isinstance(node, Call) and node.function == "where" and number == 0


def _once(statement: Statement) -> Iterator[Expression]:
    """The expressions that a statement evaluates once, on all lanes that come to it."""
    if isinstance(statement, Assign):
        yield statement.value
    elif isinstance(statement, Return):
        yield from statement.values
    elif isinstance(statement, Sample):
        yield from (argument.value for argument in statement.distribution.arguments)


def _by_element(node: Node) -> bool:
    """Whether element i of a form's value depends on elements i of its parts only."""
    if isinstance(node, Call):
        return elementwise(node.function, len(node.arguments))
    return isinstance(node, Arithmetic | Unary | Power | Comparison | Term | Argument)


__all__ = ["Factors", "Gates", "find_factors", "find_gates", "gated"]
