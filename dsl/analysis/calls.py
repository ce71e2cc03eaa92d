"""Functions that are worth remembering: they draw nothing, and call functions of the program more than once.

`f(n - 1) + f(n - 2)` takes 2^n calls of which n are different.  What such a function gives follows from its arguments and from the
outer variables, which stand still while it is at work (a function cannot set them); so a call with the same arguments, on the same
lanes, need not be made twice (`runtime/machine/recall.py`).  A function that calls once is not remembered: its calls are as many as
it is deep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from ..levels import LEVEL
from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import Assign, Call, Draw, Expression, For, LogPdf, Name, Node, Require, Sample, While
from .reads import set_in


@dataclass(frozen=True)
class FromGiven:
    """An expression that is made of nothing but what the caller gave, outer variables, numbers and operators: its form, by a
    number, and the names in it.  `alone`: it is the name itself."""

    form: int
    names: tuple[str, ...]
    alone: bool


@dataclass(frozen=True)
class Rememberable:
    """Functions, by name, that are worth remembering, each with the names of its arguments; and, by id, which of the expressions
    that they give to functions follow from what they were given themselves."""

    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    made: dict[int, FromGiven] = field(default_factory=dict)


def rememberable(resolved: Resolved) -> Rememberable:
    """Those of a program."""
    bodies = {name: nodes_in(function.body) for name, function in resolved.functions.items()}
    called = {name: _calls(nodes) for name, nodes in bodies.items()}
    foreign = {name for name, calls in called.items() if not calls.keys().isdisjoint(resolved.external)}
    impure = _reaching(called, drawing(resolved) | weighing(resolved) | foreign)
    found = Rememberable()
    forms: dict[Expression, int] = {}
    for name, nodes in bodies.items():
        if name in impure or not _several(nodes, called[name], resolved):
            continue
        found.functions[name] = resolved.functions[name].parameters
        own = set_in(resolved.functions[name].body)
        for call in nodes:
            for argument in call.arguments if isinstance(call, Call) and call.function in resolved.functions else ():
                made = _made(argument.value, own, forms)
                if made is not None:
                    found.made[id(argument.value)] = made
    return found


def drawing(resolved: Resolved) -> frozenset[str]:
    """The functions that draw something, or call one that does."""
    return _doing(resolved, lambda node: isinstance(node, Sample | Draw))


def weighing(resolved: Resolved) -> frozenset[str]:
    """The functions that weigh runs, or call one that does: found once for a program."""
    if not resolved.weighted:
        return frozenset()
    return resolved.prepared.once("weighing", None, lambda: _doing(
        resolved, lambda node: isinstance(node, Require) or (isinstance(node, Assign) and node.name == LEVEL)
    ))


def _doing(resolved: Resolved, does: Callable[[Node], bool]) -> frozenset[str]:
    """The functions with such a node, and all that call one of them."""
    bodies = {name: nodes_in(function.body) for name, function in resolved.functions.items()}
    found = {name for name, nodes in bodies.items() if any(map(does, nodes))}
    return _reaching({name: _calls(nodes) for name, nodes in bodies.items()}, found)


def _reaching(called: dict[str, dict[str, int]], some: Collection[str]) -> frozenset[str]:
    """Those functions, and all that call one of them."""
    found = set(some)
    while more := {name for name, calls in called.items() if name not in found and not found.isdisjoint(calls)}:
        found |= more
    return frozenset(found)


def _made(node: Expression, own: frozenset[str], forms: dict[Expression, int]) -> FromGiven | None:
    parts = nodes_in(node)
    names = {part.id for part in parts if isinstance(part, Name)}
    if names & own or any(isinstance(part, Call | Draw | LogPdf) for part in parts):
        return None
    return FromGiven(forms.setdefault(node, len(forms)), tuple(sorted(names)), isinstance(node, Name))


def _calls(nodes: list[Node]) -> dict[str, int]:
    """How often each function is called in a text."""
    found: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, Call):
            found[node.function] = found.get(node.function, 0) + 1
    return found


def _several(nodes: list[Node], calls: dict[str, int], resolved: Resolved) -> bool:
    """Whether functions of the program are called more than once."""
    if sum(number for name, number in calls.items() if name in resolved.functions) > 1:
        return True
    loops = [node for node in nodes if isinstance(node, For | While)]
    return any(isinstance(node, Call) and node.function in resolved.functions for loop in loops for node in nodes_in(loop))
