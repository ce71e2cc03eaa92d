"""Array sites of which only a count of outcomes reaches anything: the elements have one law and are used symmetrically.

After `b ~ Bernoulli(p*ones(1000))` the program may ask how many are 1 (`sum(b)`, `max(b)`, `mean(2*b + 1)`, `any(b > 0)`), but
not which: then all ways with as many ones are one way, with the probability of that number (`runtime/estimators/enumerate.py`).

Found here from the text.  A value is *equivariant* if it is made of one array, entry by entry, together with numbers: exchange
elements of the array, and its entries are exchanged in the same way.  What reduces such a value to one number does not change.  An
array is used symmetrically if it is read only in this way; what is assigned an equivariant value must be used so, too.  Two
different arrays in one value (`b*c`, `b*w`) tell elements apart.  Whatever is not known to be symmetric is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import (
    Arithmetic,
    Assign,
    Call,
    Comparison,
    Data,
    Draw,
    Expression,
    For,
    Function,
    If,
    LogPdf,
    Name,
    Node,
    Parameter,
    Power,
    Require,
    Return,
    Sample,
    Statement,
    Unary,
    While,
    children,
    deep_recursion,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import elementwise, reduces
from .axes import FILLING, Shapes, Variable, entrywise, find_shapes, parts, scopes


@dataclass(frozen=True)
class Mixed:
    """Entries that belong to no single array."""


MIXED = Mixed()
Source: TypeAlias = "Variable | int | Mixed | None"  # an array, or a Draw by its id, that a value is made of; None: of numbers only


def find_exchangeable(resolved: Resolved, of: tuple[str, ...] = ()) -> frozenset[int]:
    """The indices of such sites; `of`: variables that are asked for at the end."""
    if not any(isinstance(node, Call) and node.function in FILLING for node in nodes_in(resolved.program.body)):
        return frozenset()
    shapes = find_shapes(resolved)
    with deep_recursion():
        arrays = [site for site in resolved.sites
                  if DISTRIBUTIONS[site.distribution.name].finite and shapes.one_law(site.distribution, site.function)]
        if not arrays:
            return frozenset()
        search = _Uses(resolved, shapes)
        for name in (*of, *(() if resolved.objective is None else (resolved.objective,))):
            search.tell((None, name))
        for function, statements in scopes(resolved):
            search.block(statements, function)
    told = search.settled()
    return frozenset(site.index for site in arrays if _source(site) not in told)


def _source(site: Site) -> Source:
    """What a site's draw is the source of."""
    if isinstance(site.node, Draw):
        return id(site.node)
    return MIXED if site.node.indices else (site.function, site.node.name)


@dataclass
class _Uses:
    """Sources whose elements are `told` apart, and by variable the sources of the equivariant values that it is assigned."""

    resolved: Resolved
    shapes: Shapes
    told: set[Source] = field(default_factory=lambda: {MIXED})
    into: dict[Variable, set[Source]] = field(default_factory=dict)

    def settled(self) -> set[Source]:
        """All that are told apart, also through variables."""
        work = list(self.told)
        while work:
            target = work.pop()
            for source in self.into.get(target, ()) if isinstance(target, tuple) else ():
                if source not in self.told:
                    self.told.add(source)
                    work.append(source)
        return self.told

    def tell(self, source: Source) -> None:
        """Elements are used one by one."""
        if source is not None:
            self.told.add(source)

    # ----------------------------------------------------------------------------------------------- statements
    def block(self, statements: tuple[Statement, ...], function: str | None) -> None:
        """One after another."""
        for statement in statements:
            self.statement(statement, function)

    def statement(self, node: Statement, function: str | None) -> None:
        """The uses in one statement."""
        match node:
            case Assign() | Sample():
                target: Variable = (function, node.name)
                if node.indices:
                    self.tell(target)
                if isinstance(node, Sample) or node.indices:
                    for child in children(node):
                        self.whole(child, function)
                elif (source := self.value(node.value, function)) is not None:
                    self.into.setdefault(target, set()).add(source)
            case If() | For() | While():
                conditions = [condition for condition, _ in node.branches] if isinstance(node, If) else [
                    node.iterable if isinstance(node, For) else node.condition
                ]
                for condition in conditions:
                    self.whole(condition, function)
                for body in node.blocks:
                    self.block(body.statements, function)
            case Require():
                self.whole(node.condition, function)
            case Return():
                for value in node.values:
                    self.whole(value, function)
            case Parameter() | Data() | Function():
                pass
            case _:
                assert_never(node)

    # ---------------------------------------------------------------------------------------------- expressions
    def whole(self, node: Node, function: str | None) -> None:
        """Something that may be used in any way."""
        if isinstance(node, Expression):
            self.tell(self.value(node, function))
        else:
            for child in children(node):
                self.whole(child, function)

    def value(self, node: Expression, function: str | None) -> Source:
        """What an expression is made of, entry by entry; all that is used otherwise in it is told apart."""
        match node:
            case Name():
                return None if self.shapes.same(node, function) else self.shapes.variable(node.id, function)
            case Draw():
                self.whole(node.distribution, function)
                return None if self.shapes.same(node, function) else id(node)
            case Unary():
                return self.value(node.operand, function)
            case Arithmetic() | Power() | Comparison():
                return self.together(parts(node, self.resolved), function)
            case LogPdf() if entrywise(node):
                return self.together(parts(node, self.resolved), function)
            case Call() if self.built_in(node) and elementwise(node.function, len(node.arguments)):
                return self.together(tuple(argument.value for argument in node.arguments), function)
            case Call() if self.built_in(node) and (node.function == "length" or reduces(node.function, len(node.arguments))):
                self.together(tuple(argument.value for argument in node.arguments), function)
                return None
            case _:
                for child in children(node):
                    self.whole(child, function)
                return None if self.shapes.same(node, function) else MIXED

    def built_in(self, node: Call) -> bool:
        """Whether a function is neither the program's nor the caller's."""
        return node.function not in self.resolved.functions and node.function not in self.resolved.external

    def together(self, nodes: tuple[Expression, ...], function: str | None) -> Source:
        """Several values, entry by entry: at most one array, beside numbers."""
        found: Source = None
        for node in nodes:
            source = self.value(node, function)
            if source is None or source == found:
                continue
            if found is not None or source == MIXED:
                self.tell(found)
                self.tell(source)
                source = MIXED
            found = source
        return found


__all__ = ["find_exchangeable"]
