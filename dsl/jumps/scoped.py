"""Names of functions' variables: told apart from those of the program and of other functions while jumps are sought, and how they
are found in a run.

`local("f", "x")` is the variable `x` of the function `f`, `older(local("f", "x"))` that of the call of `f` before, from which
this one was called.  At a draw they become `seen` from the call that draws: its own variables by their plain names, others by a
name that tells where they are (`placed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar, cast

from ..syntax import Call, Draw, Name, Node
from .atoms import Atom, LeftOut
from .solving import changed, names_of

BETWEEN, BEFORE, ELSEWHERE = "\1", "\1^", "\1@"
MAYBE = "\0maybe "  # before the same, where only some runs have it
KEPT = "\0kept "  # before the place of a draw or a call inside an expression, the name of what it gives
MOST_BEFORE = 3  # calls of a function back from which variables are carried
RETURNED = "\1returned"  # what a function gives


def local(function: str | None, name: str) -> str:
    """A variable of a function, or (None) of the program."""
    return name if function is None else f"{function}{BETWEEN}{name}"


def kept(node: Draw | Call) -> str:
    """The name of what a draw, or a call, inside an expression has given."""
    shown = node.distribution.name if isinstance(node, Draw) else node.function
    return f"{KEPT}{node.span.start}:{node.span.end} {shown}(...)"


def inner(name: str) -> bool:
    """Whether it is a name that atoms have for themselves (the draw, ...)."""
    return name.startswith(BETWEEN) and not name.startswith(ELSEWHERE)


def owner(name: str) -> str | None:
    """The function whose variable it is; None: the program's."""
    plain = name.removeprefix(BEFORE * depth(name))
    function, between, _ = plain.partition(BETWEEN)
    return function if between and function else None


def depth(name: str) -> int:
    """How many calls of its function ago."""
    count = 0
    while name.startswith(BEFORE):
        name, count = name[len(BEFORE):], count + 1
    return count


def older(name: str) -> str:
    """The variable of a call, as it is called in one that it has led to."""
    return BEFORE + name


def younger(name: str) -> str:
    """The other way round."""
    return name.removeprefix(BEFORE)


def plain(name: str) -> str:
    """As it stands in the text."""
    function = owner(name)
    return name if function is None else name.removeprefix(BEFORE * depth(name))[len(function) + 1 :]


def shown(name: str) -> str:
    """In words."""
    found = name.split(BETWEEN)[-1]
    return found.rsplit(" ", 1)[-1]


@dataclass(frozen=True)
class CallersPlace:
    """Where the variable `name` is: in the `back`-th call of a function, from the innermost; of the program, where that is None."""

    function: str | None
    back: int
    name: str


def seen(name: str, function: str | None, locals_of: dict[str, frozenset[str]]) -> str:
    """The name of a variable for a draw in a function."""
    own = owner(name)
    if own == function and not depth(name):
        return plain(name)
    if own is None and plain(name) not in locals_of.get(function or "", ()):
        return name
    return f"{ELSEWHERE}{own or ''}{BETWEEN}{depth(name)}{BETWEEN}{plain(name)}"


def placed(name: str) -> CallersPlace | None:
    """Where a variable is that is not among those of the call that draws."""
    if not name.startswith(ELSEWHERE):
        return None
    function, back, inner = name[len(ELSEWHERE):].split(BETWEEN, 2)
    return CallersPlace(function or None, int(back), inner)


Held = TypeVar("Held", bound="Atom | Node")


def every_name(held: Atom | Node) -> frozenset[str]:
    """The names in an expression, or in all that an atom holds."""
    if isinstance(held, Node):
        return names_of(held)
    return frozenset[str]().union(*(names_of(one) for one in _nodes(held)))


def _nodes(atom: Atom) -> Iterator[Node]:
    for item in fields(atom):
        value = getattr(atom, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, LeftOut):
                yield from (one.value, *(() if one.place is None else (one.place,)))
            elif isinstance(one, Node):
                yield one


def renamed(held: Held, names: Mapping[str, str]) -> Held:
    """The same with other names."""
    if not names:
        return held

    def put(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(put, value))
        if isinstance(value, LeftOut):
            return replace(value, value=put(value.value), place=put(value.place))  # type: ignore[arg-type]
        if not isinstance(value, Node):
            return value
        return changed(value, lambda part: Name(names[part.id]) if isinstance(part, Name) and part.id in names else None)

    if isinstance(held, Node):
        return cast(Held, put(held))
    made = {item.name: put(getattr(held, item.name)) for item in fields(held)}
    return cast(Held, type(held)(**{**made, "kept": frozenset(names.get(name, name) for name in held.kept)}))  # type: ignore[arg-type]


__all__ = [
    "MAYBE", "MOST_BEFORE", "RETURNED", "CallersPlace", "Held", "depth", "every_name", "inner", "kept", "local", "older", "owner",
    "placed", "plain", "renamed", "seen", "shown", "younger",
]
