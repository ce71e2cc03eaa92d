"""What a part of a program sets, and what its functions read from outside: for every analysis that needs to know."""

from __future__ import annotations

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import Assign, Block, Call, For, If, Name, Sample, Statement, While


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


__all__ = ["outer_reads", "set_in", "statements_in"]
