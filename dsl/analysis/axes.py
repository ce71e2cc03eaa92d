"""Along which axes the entries of arrays are all one and the same, as far as the text tells: `p*ones(1000)` is p a thousand times.

A walk over all statements, until nothing changes, joins for every variable (and for what every function gives) what is assigned to
it.  Only `zeros` and `ones` repeat a number; operations that go entry by entry keep that.  What is equal by its value, `[p, p, p]`,
is not meant: the structure of the text decides.  Where nothing is said, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Arithmetic,
    Assign,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Data,
    Distribution,
    Draw,
    Expression,
    For,
    Function,
    If,
    Index,
    Logical,
    LogPdf,
    Name,
    Number,
    Parameter,
    Power,
    Range,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    Unary,
    Vector,
    While,
    deep_recursion,
)
from ..tables.constants import CONSTANTS
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import elementwise, keeps_shape, reduces
from .reads import set_in

Variable = tuple[str | None, str]  # the function that it belongs to (None: the program), and its name
FILLING = ("zeros", "ones")


@dataclass(frozen=True)
class Unset:
    """Nothing has been assigned yet."""


UNSET = Unset()
Axes: TypeAlias = "tuple[bool, ...] | Unset | None"  # of each axis whether all is the same along it; None: nobody knows the shape
NUMBER: Axes = ()


def apart(rank: int) -> Axes:
    """An array whose entries may all differ."""
    return (False,) * rank


def joined(a: Axes, b: Axes) -> Axes:
    """What holds of either value."""
    if a is None or b is None:
        return None
    if isinstance(a, Unset) or isinstance(b, Unset):
        return b if isinstance(a, Unset) else a
    return tuple(x and y for x, y in zip(a, b, strict=True)) if len(a) == len(b) else None


def broadcast(values: Iterable[Axes]) -> Axes:
    """What is made entry by entry of several values."""
    found: tuple[bool, ...] = ()
    unset = False
    for value in values:
        if value is None:
            return None
        if isinstance(value, Unset):
            unset = True
            continue
        rank = max(len(found), len(value))
        found = tuple(
            a and b for a, b in zip((True,) * (rank - len(found)) + found, (True,) * (rank - len(value)) + value, strict=True)
        )
    return UNSET if unset else found


@dataclass
class Shapes:
    """Of every variable and every function of a program what is known of its values."""

    resolved: Resolved
    own: dict[str | None, frozenset[str]] = field(default_factory=dict)
    variables: dict[Variable, Axes] = field(default_factory=dict)
    given: dict[str, Axes] = field(default_factory=dict)  # by functions
    moved: bool = False

    def variable(self, name: str, function: str | None) -> Variable:
        """The variable that a name stands for in a function."""
        return (function, name) if name in self.own[function] else (None, name)

    def same(self, node: Expression, function: str | None) -> bool:
        """Whether a value is one number, or all its entries are."""
        found = self.of(node, function)
        return isinstance(found, tuple) and all(found)

    def one_law(self, node: Distribution, function: str | None) -> bool:
        """Whether a draw is an array of elements that all have the same law."""
        row, rank = DISTRIBUTIONS[node.name], 0
        for name, argument in self.resolved.arguments[id(node)].items():
            found = self.of(argument, function)
            if not isinstance(found, tuple):
                return False
            batch = found[: len(found) - row.parameter(name).event]
            if not all(batch):
                return False
            rank = max(rank, len(batch))
        return rank > 0

    # ----------------------------------------------------------------------------------------------- statements
    def settle(self) -> None:
        """Walk until nothing changes."""
        self.own[None] = set_in(self.resolved.program.body)
        for name, fact in self.resolved.parameters.items():
            self.variables[None, name] = apart(len(fact.shape))
        for name, node in self.resolved.data.items():
            self.variables[None, name] = apart(len(node.shape))
            self.variables.update({(None, size.id): NUMBER for size in node.shape if isinstance(size, Name)
                                   if size.id not in self.resolved.data and size.id not in self.resolved.parameters})
        for name, function in self.resolved.functions.items():
            self.own[name] = set_in(function.body) | frozenset(function.parameters)
        bodies = scopes(self.resolved)
        calls = [(scope, node) for scope, statements in bodies for statement in statements for node in nodes_in(statement)
                 if isinstance(node, Call) and node.function in self.resolved.functions]
        with deep_recursion():
            self.moved = True
            while self.moved:
                self.moved = False
                for scope, statements in bodies:
                    self.block(statements, scope)
                for scope, call in calls:
                    self.call(call, scope)

    def block(self, statements: tuple[Statement, ...], function: str | None) -> None:
        """One after another."""
        for statement in statements:
            self.statement(statement, function)

    def statement(self, node: Statement, function: str | None) -> None:
        """What one statement assigns."""
        match node:
            case Assign() | Sample():
                if node.indices:
                    before = self.variables.get((function, node.name), UNSET)
                    value = apart(len(before)) if isinstance(before, tuple) else before
                else:
                    value = self.of(node.value, function) if isinstance(node, Assign) else self.draw(node.distribution, function)
                self.assign((function, node.name), value)
            case For():
                entry: Axes = NUMBER
                if not isinstance(node.iterable, Range):
                    whole = self.of(node.iterable, function)
                    entry = whole[1:] if isinstance(whole, tuple) else whole
                self.assign((function, node.variable), entry)
                self.block(node.body.statements, function)
            case If() | While():
                for body in node.blocks:
                    self.block(body.statements, function)
            case Return():
                if function is not None:
                    for value_node in node.values:
                        self.give(function, self.of(value_node, function))
            case Require() | Parameter() | Data() | Function():
                pass
            case _:
                assert_never(node)

    def call(self, node: Call, function: str | None) -> None:
        """The arguments that a function of the program is given."""
        called = self.resolved.functions[node.function]
        for place, argument in enumerate(node.arguments):
            name = argument.name or (called.parameters[place] if place < len(called.parameters) else None)
            if name is not None:
                self.assign((called.name, name), self.of(argument.value, function))

    def assign(self, variable: Variable, value: Axes) -> None:
        """A variable may have this value, too."""
        before = self.variables.get(variable, UNSET)
        if (found := joined(before, value)) != before:
            self.variables[variable] = found
            self.moved = True

    def give(self, function: str, value: Axes) -> None:
        """A function may give this value, too."""
        before = self.given.get(function, UNSET)
        if (found := joined(before, value)) != before:
            self.given[function] = found
            self.moved = True

    # ---------------------------------------------------------------------------------------------- expressions
    def draw(self, node: Distribution, function: str | None) -> Axes:
        """A draw: elements differ, whatever the arguments."""
        row, batches = DISTRIBUTIONS[node.name], []
        for name, argument in self.resolved.arguments[id(node)].items():
            found, event = self.of(argument, function), row.parameter(name).event
            if isinstance(found, tuple):
                found = found[: len(found) - event] if len(found) >= event else None
            batches.append(found)
        batch = broadcast(batches)
        return apart(len(batch) + row.event) if isinstance(batch, tuple) else batch

    def of(self, node: Expression, function: str | None) -> Axes:
        """What is known of an expression."""
        match node:
            case Number() | Boolean():
                return NUMBER
            case Name():
                if node.id in CONSTANTS:
                    return NUMBER
                return self.variables.get(self.variable(node.id, function), UNSET)
            case Unary():
                return self.of(node.operand, function)
            case Call():
                return self.of_call(node, function)
            case Draw():
                return self.draw(node.distribution, function)
            case Conditional():
                return joined(self.of(node.then, function), self.of(node.otherwise, function))
            case Index():
                return self.part(node, function)
            case Vector():
                found: Axes = UNSET
                for item in node.items:
                    found = joined(found, self.of(item, function))
                return (False, *found) if isinstance(found, tuple) else found
            case Arithmetic() | Power() | Comparison() | Logical() | LogPdf():
                if isinstance(node, LogPdf) and not entrywise(node):
                    return None
                return broadcast([self.of(part, function) for part in parts(node, self.resolved)])
            case _:
                assert_never(node)

    def of_call(self, node: Call, function: str | None) -> Axes:
        """What a function gives."""
        if node.function in self.resolved.functions:
            return self.given.get(node.function, UNSET)
        if node.function in self.resolved.external:
            return None
        count = len(node.arguments)
        if node.function in FILLING:
            return (True,) * count
        if node.function == "length" or reduces(node.function, count):
            return NUMBER
        if elementwise(node.function, count):
            return broadcast([self.of(argument.value, function) for argument in node.arguments])
        if keeps_shape(node.function):
            found = self.of(node.arguments[0].value, function)
            return (*found[:-1], False) if isinstance(found, tuple) and found else found
        return apart(1) if node.function == "arange" else None

    def part(self, node: Index, function: str | None) -> Axes:
        """An element, or a part of an array."""
        found = self.of(node.target, function)
        if not isinstance(found, tuple):
            return found
        if len(node.items) > len(found):
            return None
        left: list[bool] = []
        for axis, item in enumerate(node.items):
            if isinstance(item, Slice):
                left.append(found[axis])
            else:
                index = self.of(item, function)
                if index != NUMBER:
                    return UNSET if isinstance(index, Unset) else None
        return (*left, *found[len(node.items) :])


def scopes(resolved: Resolved) -> list[tuple[str | None, tuple[Statement, ...]]]:
    """The statements of the program (None) and of each of its functions, by its name."""
    outer = tuple(node for node in resolved.program.body.statements if not isinstance(node, Function))
    return [(None, outer), *((name, function.body.statements) for name, function in resolved.functions.items())]


def entrywise(node: LogPdf) -> bool:
    """Whether each entry of a log density is made of the entries in its place."""
    row = DISTRIBUTIONS[node.distribution.name]
    return not row.event and not any(parameter.event for parameter in row.parameters)


def parts(node: Arithmetic | Power | Comparison | Logical | LogPdf, resolved: Resolved) -> tuple[Expression, ...]:
    """The operands of an operation that goes entry by entry."""
    match node:
        case Arithmetic():
            return node.operands
        case Power():
            return node.base, node.exponent
        case Comparison():
            return node.left, node.right
        case Logical():
            return node.items
        case LogPdf():
            return (*resolved.arguments[id(node.distribution)].values(), node.value)
        case _:
            assert_never(node)


def find_shapes(resolved: Resolved) -> Shapes:
    """Of a program."""
    found = Shapes(resolved)
    found.settle()
    return found


__all__ = ["FILLING", "Shapes", "Variable", "entrywise", "find_shapes", "parts", "scopes"]
