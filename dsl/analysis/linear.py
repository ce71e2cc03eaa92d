"""How expressions use variables: linearly, as rewards, costs and log probabilities that are added up, or in some other way.

Where, from a place in a program on, all results depend linearly on a variable `a`, then of runs that are otherwise in the same
state E[a g(future)] = E[a | state] E[g(future) | state]: it is enough to know its mean (`liveness.py`, and
`runtime/lanes/merging.py`).  A sum keeps that, and so does a product with what holds no such variable; of a product of two of
them one must be part of the state, and so must whatever is squared, compared, or given to any other function.

A call of the program's own function is used like a variable, `f()`: where all calls are used linearly, its results are linear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from ..levels import LEVEL
from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
    Call,
    Conditional,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    Index,
    Name,
    Node,
    Parameter,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    Unary,
    Vector,
    While,
)
from ..tables.functions import FUNCTIONS
from .reads import set_in, statements_in

Names = frozenset[str]
NONE: Names = frozenset()
CALLED = "()"  # behind the name of a function, whose result is meant


@dataclass(frozen=True)
class Use:
    """The variables that are read: of which a value is a linear function given all others, and the others (`bent`).  One that is
    in both is bent."""

    linear: Names = NONE
    bent: Names = NONE

    def __or__(self, other: Use) -> Use:
        return Use(self.linear | other.linear, self.bent | other.bent)

    @property
    def otherwise(self) -> Use:
        """The same, of a value that is not used linearly itself."""
        return Use(NONE, self.linear | self.bent)


@dataclass
class Linearity:
    """Of expressions in one scope.  `outer`: what functions read of it.  Of a product, that side is bent whose variables are all
    `curved`, or else the one that is set last (`order`); variables that nothing random reaches (none of `varying`) do not count.
    `additive`: of the weights of runs only the logarithm is asked for."""

    resolved: Resolved
    body: Block
    variables: Names
    outer: dict[str, Names]
    additive: bool = False
    varying: Names = NONE
    curved: Names | None = None  # None: not known yet, and no product bends
    order: dict[str, int] = field(default_factory=dict)
    known: dict[int, Use] = field(default_factory=dict)

    def __post_init__(self) -> None:
        statements = statements_in(self.body)
        self.order = {node.name: place for place, node in enumerate(statements) if isinstance(node, Assign | Sample)}
        self.varying = self._varying(statements)
        self.curved = self._curved(statements)
        self.known.clear()

    def of(self, node: Expression | Slice) -> Use:
        """How an expression uses variables."""
        found = self.known.get(id(node))
        if found is None:
            found = self.known[id(node)] = self._of(node)
        return found

    def all_of(self, *roots: Node) -> Use:
        """What is read somewhere in these, for whatever it is used."""
        found = set()
        for root in roots:
            for node in nodes_in(root):
                if isinstance(node, Name):
                    found.add(node.id)
                elif isinstance(node, Call) and node.function in self.resolved.functions:
                    found.add(node.function + CALLED)
                    found |= self.outer.get(node.function, NONE)
        return Use(NONE, frozenset(found))

    def _of(self, node: Expression | Slice) -> Use:
        match node:
            case Name():
                return Use(frozenset((node.id,)))
            case Unary(operator="-"):
                return self.of(node.operand)
            case Arithmetic():
                return self._arithmetic(node)
            case Conditional():
                return self.all_of(node.condition) | self.of(node.then) | self.of(node.otherwise)
            case Vector():
                return self._together([self.of(item) for item in node.items])
            case Index():
                return self.all_of(*node.items) | self.of(node.target)
            case Call(function=name) if name in self.resolved.functions:
                arguments = self.all_of(*(argument.value for argument in node.arguments))
                return arguments | Use(frozenset((name + CALLED,)), self.outer.get(name, NONE))
            case Call(function=name) if name in FUNCTIONS and FUNCTIONS[name].adds:
                first, *rest = (self.of(argument.value) for argument in node.arguments)
                other = self._together(rest)
                return first | other | (self._product(first, other) if FUNCTIONS[name].least > 1 else Use())
            case _:
                return self.all_of(node)

    def _arithmetic(self, node: Arithmetic) -> Use:
        """A sum, or a product of which one factor may be linear."""
        found = self.of(node.first)
        for term in node.rest:
            other = self.of(term.operand)
            if term.operator == "*":
                found = found | other | self._product(found, other)
            elif term.operator in "+-":
                found = found | other
            else:
                found = (found if term.operator == "/" else found.otherwise) | other.otherwise
        return found

    def _product(self, one: Use, other: Use) -> Use:
        """What must be bent where two values are multiplied."""
        if self.curved is None:
            return Use()
        sides = [side for side in (one.linear & self.varying, other.linear & self.varying) if side]
        if len(sides) < 2:
            return Use()
        bent = [side for side in sides if side <= self.curved]
        if len(bent) != 1:
            bent = [max(sides, key=lambda side: max(self.order.get(name, -1) for name in side))]
        return Use(NONE, bent[0])

    @staticmethod
    def _together(uses: list[Use]) -> Use:
        return Use(NONE.union(*(use.linear for use in uses)), NONE.union(*(use.bent for use in uses)))

    # --------------------------------------------------------------------------------------------- of the scope
    def _varying(self, statements: list[Statement]) -> Names:
        """The variables that something random may reach, through values or conditions; arguments of functions are."""
        found = set(self.variables - self.order.keys() - {node.variable for node in statements if isinstance(node, For)})
        before = -1
        while len(found) > before:
            before = len(found)
            for node in statements:
                if isinstance(node, Sample) or (isinstance(node, Assign) and self._varies(found, node.value, *node.indices)):
                    found.add(node.name)
                elif isinstance(node, For) and self._varies(found, node.iterable):
                    found |= {node.variable, *set_in(node.body)}
                elif isinstance(node, If | While) and self._varies(found, *conditions(node)):
                    found = found.union(*(set_in(block) for block in node.blocks))
        return frozenset(found)

    def _varies(self, varying: set[str], *roots: Node) -> bool:
        return any(
            isinstance(node, Draw) or (isinstance(node, Name) and node.id in varying)
            or (isinstance(node, Call) and node.function in self.resolved.functions)
            for root in roots for node in nodes_in(root)
        )

    def _curved(self, statements: list[Statement]) -> Names:
        """The variables that are bent somewhere, or make one that is, products apart."""
        bent: set[str] = set()
        made: list[tuple[str, Names]] = []
        for node in statements:
            match node:
                case Assign():
                    use = self.of(node.value)
                    if node.name == LEVEL and not self.additive:
                        use = use.otherwise
                    bent |= self.all_of(*node.indices).bent | use.bent
                    made.append((node.name, use.linear))
                case Sample():
                    bent |= self.all_of(*node.indices, node.distribution).bent
                case If() | While():
                    bent |= self.all_of(*conditions(node)).bent
                case Require():
                    bent |= self.all_of(node.condition).bent
                case For():
                    bent |= self.all_of(node.iterable).bent | {node.variable}
                case Return():
                    bent = bent.union(*(self.of(value).bent for value in node.values))
                case Parameter() | Data() | Function():
                    pass
                case _:
                    assert_never(node)
        before = -1
        while len(bent) > before:
            before = len(bent)
            bent = bent.union(*(linear for name, linear in made if name in bent))
        return frozenset(bent)


def conditions(node: If | While) -> tuple[Expression, ...]:
    """What is asked."""
    return (node.condition,) if isinstance(node, While) else tuple(condition for condition, _ in node.branches)


__all__ = ["CALLED", "Linearity", "Use", "conditions"]
