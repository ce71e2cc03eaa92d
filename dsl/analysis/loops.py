"""Loops whose rounds have nothing to do with each other but for sums: the interpreter runs them all at once, along an axis.

    for t in range(100) { b ~ Bernoulli(p); s = s + 2*b - 1 }

A body qualifies that only assigns: variables of its own (set before they are read, in every round), and accumulators,
`v = v + ...`, that nothing else in it reads.  Everything in it must work element by element.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..names.resolved import Resolved
from ..syntax import (
    Arithmetic,
    Assign,
    Call,
    Conditional,
    Draw,
    Expression,
    For,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Sample,
    Slice,
    Vector,
    children,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, elementwise
from .sums import signed_operands

Signed = tuple[int, Expression]


@dataclass(frozen=True)
class SumLoop:
    """What the rounds of a loop share and what differs from round to round.

    sums      by id of an assignment, the accumulator itself and what is added to it: (+1 or -1, operand)
    own       variables of a single round
    scalars   outer variables that are read: each must be a single number
    arrays    outer variables that are indexed: (name, number of indices), each to a single number
    draws     sites
    """

    sums: dict[int, tuple[Signed, ...]]
    own: frozenset[str]
    scalars: frozenset[str]
    arrays: frozenset[tuple[str, int]]
    draws: tuple[Sample | Draw, ...]


def sum_loop(node: For, resolved: Resolved) -> SumLoop | None:
    """The loop, taken apart; None where its rounds depend on each other, or cannot be told to be independent."""
    sums: dict[int, tuple[Signed, ...]] = {}
    own: dict[str, None] = {}
    added: set[str] = set()
    reads: list[Expression] = []
    for statement in node.body.statements:
        if not isinstance(statement, Assign | Sample) or statement.indices or statement.name == node.variable:
            return None
        if isinstance(statement, Assign) and (operands := _added(statement)) is not None and statement.name not in own:
            sums[id(statement)] = operands
            added.add(statement.name)
            new: list[Expression] = [operand for _, operand in operands[1:]]
        elif isinstance(statement, Assign):
            new = [statement.value]
            own.setdefault(statement.name)
        else:
            new = list(resolved.arguments[id(statement.distribution)].values())
            own.setdefault(statement.name)
            if not _scalar(statement):
                return None
        reads += new
    if any(not _set_before(node, name) for name in own):
        return None
    outer = {found.id for expression in reads for found in _names(expression)} - set(own) - {node.variable}
    if added & outer or added & set(own) or not all(_by_element(expression, resolved) for expression in reads):
        return None
    arrays = frozenset(
        (index.target.id, len(index.items)) for expression in reads for index in _nodes(expression)
        if isinstance(index, Index) and isinstance(index.target, Name)
    )
    if any(name in own for name, _ in arrays):
        return None
    scalars = {found.id for expression in reads for found in _names(expression, indexed=False)} - set(own) - {node.variable}
    draws = [statement for statement in node.body.statements if isinstance(statement, Sample)]
    inner = [found for expression in reads for found in _nodes(expression) if isinstance(found, Draw)]
    return SumLoop(sums, frozenset(own), frozenset(scalars), arrays, (*draws, *inner))


def _set_before(node: For, name: str) -> bool:
    """Whether the body sets a variable before it reads it."""
    for statement in node.body.statements:
        assert isinstance(statement, Assign | Sample)
        whole = statement.value if isinstance(statement, Assign) else statement.distribution
        if any(isinstance(found, Name) and found.id == name for found in _nodes(whole)):
            return False
        if statement.name == name:
            return True
    return False


def varies(node: Node, loop: SumLoop, variable: str) -> bool:
    """Whether an expression may differ from round to round."""
    return any(
        isinstance(found, Draw) or (isinstance(found, Name) and (found.id == variable or found.id in loop.own))
        for found in _nodes(node)
    )


def _added(node: Assign) -> tuple[Signed, ...] | None:
    """`v` itself and what `v = v + a - b` adds; None where it is not of this form."""
    if not isinstance(node.value, Arithmetic):
        return None
    operands = signed_operands(node.value)
    if operands is None:
        return None
    mine = [place for place, (_, operand) in enumerate(operands) if isinstance(operand, Name) and operand.id == node.name]
    if len(mine) != 1 or operands[mine[0]][0] != 1:
        return None
    return operands[mine[0]], *(pair for place, pair in enumerate(operands) if place != mine[0])


def _nodes(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        found = pending.pop()
        yield found
        pending.extend(children(found))


def _names(node: Node, indexed: bool = True) -> Iterator[Name]:
    """The names in an expression; without those that are only `indexed`."""
    pending = [node]
    while pending:
        found = pending.pop()
        if isinstance(found, Name):
            yield found
        elif isinstance(found, Index) and not indexed and isinstance(found.target, Name):
            pending.extend(found.items)
        else:
            pending.extend(children(found))


def _scalar(node: Sample | Draw | LogPdf) -> bool:
    row = DISTRIBUTIONS[node.distribution.name]
    return row.event == 0 and all(parameter.event == 0 for parameter in row.parameters)


def _by_element(root: Expression, resolved: Resolved) -> bool:
    """Whether an expression can be evaluated for all rounds at once."""
    for node in _nodes(root):
        match node:
            case Call(function=name):
                if name not in FUNCTIONS or name in resolved.functions or not elementwise(name, len(node.arguments)):
                    return False
            case Index():
                if not isinstance(node.target, Name) or any(isinstance(item, Slice) for item in node.items):
                    return False
            case Draw() | LogPdf():
                if not _scalar(node):
                    return False
            case Vector() | Logical() | Conditional() | Slice():
                return False
            case _:
                pass
    return True
