"""What a part of a program sets, and what its functions read from outside: for every analysis that needs to know."""

from __future__ import annotations

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Argument,
    Assign,
    Block,
    Call,
    Distribution,
    Draw,
    Expression,
    For,
    If,
    LogPdf,
    Name,
    Node,
    Sample,
    Slice,
    Statement,
    Term,
    While,
    children,
)
from ..tables.functions import FUNCTIONS


def statements_in(body: Block) -> list[Statement]:
    """The statements of a block and of the blocks in it, in the order of the text (those of functions are their own)."""
    found = []
    stack = list(reversed(body.statements))
    while stack:
        node = stack.pop()
        found.append(node)
        if isinstance(node, If | For | While):
            stack += [statement for block in reversed(node.blocks) for statement in reversed(block.statements)]
    return found


def set_in(body: Block) -> frozenset[str]:
    """The variables that the statements of a block set."""
    statements = statements_in(body)
    loops = [node.variable for node in statements if isinstance(node, For)]
    return frozenset((*loops, *(node.name for node in statements if isinstance(node, Assign | Sample))))


def outer_reads(resolved: Resolved) -> dict[str, frozenset[str]]:
    """Per function the outer names that it, or a function that it calls, reads."""
    reads: dict[str, set[str]] = {}
    calls: dict[str, set[str]] = {}
    for name, function in resolved.functions.items():
        nodes = nodes_in(function.body)
        reads[name] = {node.id for node in nodes if isinstance(node, Name)} - set_in(function.body) - set(function.parameters)
        calls[name] = {node.function for node in nodes if isinstance(node, Call) and node.function in resolved.functions}
    changed = True
    while changed:
        changed = False
        for name, called in calls.items():
            before = len(reads[name])
            reads[name].update(*(reads[other] for other in called))
            changed |= len(reads[name]) > before
    return {name: frozenset(names) for name, names in reads.items()}


def computed_from(resolved: Resolved) -> dict[int, tuple[str, ...]]:
    """Per expression (and distribution) that draws nothing, asks for no density and calls none but built-in functions: the
    variables that it is computed from.  Names and numbers by themselves are left out."""
    found: dict[int, frozenset[str] | None] = {}
    names: dict[int, tuple[str, ...]] = {}
    for node in reversed(nodes_in(resolved.program.body)):
        below = [found[id(child)] for child in children(node)]
        reads: frozenset[str] | None = frozenset((node.id,)) if isinstance(node, Name) else frozenset()
        if not _computes(node, resolved):
            reads = None
        for part in below:
            reads = None if reads is None or part is None else reads | part
        found[id(node)] = reads
        if reads is not None and below:
            names[id(node)] = tuple(sorted(reads))
    return names


def _computes(node: Node, resolved: Resolved) -> bool:
    if isinstance(node, Call):
        return node.function not in resolved.functions and node.function in FUNCTIONS
    return isinstance(node, Expression | Distribution | Argument | Term | Slice) and not isinstance(node, Draw | LogPdf)


__all__ = ["computed_from", "outer_reads", "set_in", "statements_in"]
