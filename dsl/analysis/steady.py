"""Which numbers of a result are the same in every run by algebra, whatever is drawn.

`z ~ Normal(theta, 1)` has `dz/dtheta = 1` in every run: its standard error of 0 is no luck.  Of every value three masks are
kept: the parameters whose derivative it carries (`live`), the sites that influence it, by data or by control (`sites`), and
the parameters whose derivative differs, or may differ, from run to run (`shaky`).  A sum keeps derivatives as they are; a
product makes those of one factor as random as the other factor; of any other function they are random as soon as an argument
is.  A site whose density carries a derivative (`score`, outcomes) makes it random in all that depends on the site.

The order of statements is left out (a variable is the join of all that is ever assigned to it, and a function of all its
calls), so nothing is called steady that is not; some things that are may be missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from ..names.resolve import Resolved
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
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
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS, PLAIN
from ..tables.functions import FUNCTIONS

LINEAR = frozenset({"sum", "mean", "cumsum", "stack", "concat"})
BILINEAR = frozenset({"dot", "matmul"})


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of a value: masks of parameters, sites and parameters (see above)."""

    live: int = 0
    sites: int = 0
    shaky: int = 0

    def joined(self, other: Mark) -> Mark:
        """Of a value that is one of the two, or their sum."""
        return Mark(self.live | other.live, self.sites | other.sites, self.shaky | other.shaky)

    def bent(self) -> Mark:
        """Of any smooth function of the value."""
        return replace(self, shaky=self.shaky | self.live) if self.sites else self

    def flat(self) -> Mark:
        """Of a locally constant function of the value: what moves its jumps goes on where runs jump."""
        return Mark(0, self.sites, self.shaky | self.live if self.sites else 0)

    def chosen_by(self, control: Mark) -> Mark:
        """Of a value that is taken or not as `control` says."""
        if not control.sites:
            return self
        return Mark(self.live, self.sites | control.sites, self.shaky | self.live | control.live | control.shaky)


NOTHING = Mark()


def _sum(marks: list[Mark]) -> Mark:
    found = NOTHING
    for mark in marks:
        found = found.joined(mark)
    return found


def _product(one: Mark, other: Mark) -> Mark:
    both = one.joined(other)
    shaky = both.shaky | (one.live if other.sites else 0) | (other.live if one.sites else 0)
    return replace(both, shaky=shaky)


def steady(resolved: Resolved, estimators: Mapping[int, str], of: tuple[str, ...] = ()) -> frozenset[tuple[str, str | None]]:
    """`(result, parameter)` for every derivative that is the same in every run, `(result, None)` for every such result.

    `estimators` by the index of the site; `of` are variables besides the results.
    """
    if resolved.weighted:
        return frozenset()  # everything hangs on the weights
    with deep_recursion():
        walk = Steadiness(resolved, estimators)
        walk.settle()
    found: set[tuple[str, str | None]] = set()
    for name in {*resolved.results, *of}:
        mark = walk.named(name)
        shaky = mark.shaky
        for index, weighed in walk.weighed.items():
            if mark.sites >> index & 1:
                shaky |= weighed
        if not mark.sites:
            found.add((name, None))
        found.update((name, parameter) for number, parameter in enumerate(walk.parameters) if not shaky >> number & 1)
    return frozenset(found)


class Steadiness:
    """The walk, repeated until nothing changes."""

    def __init__(self, resolved: Resolved, estimators: Mapping[int, str]):
        self.resolved = resolved
        self.estimators = estimators
        self.parameters = {name: 1 << number for number, name in enumerate(resolved.parameters)}
        self.variables: dict[tuple[str | None, str], Mark] = {}
        self.chosen: dict[tuple[str | None, str], Mark] = {}  # controls under which a variable is set
        self.returned: dict[int, Mark] = {}
        self.results: dict[str, Mark] = {}  # of functions
        self.leaving: dict[str | None, Mark] = {}  # controls of early returns
        self.weighed: dict[int, int] = {}  # site -> parameters whose derivative its density carries
        self.function: str | None = None
        self.control = NOTHING
        self.changed = False

    def settle(self) -> None:
        """Walk until nothing changes; masks only grow, so this ends."""
        self.changed = True
        while self.changed:
            self.changed = False
            self.function, self.control = None, NOTHING
            self.block(self.resolved.program.body)
            for name, function in self.resolved.functions.items():
                self.function, self.control = name, NOTHING
                self.block(function.body)

    def named(self, name: str) -> Mark:
        """Of a result or a variable of that name, whichever is meant."""
        mark = self.variables.get((None, name), NOTHING)
        if self.returned and name in self.resolved.results:
            mark = mark.joined(self.returned.get(self.resolved.results.index(name), NOTHING))
        return mark

    # -------------------------------------------------------------------------------------------- statements
    def block(self, block: Block) -> None:
        for statement in block.statements:
            self.statement(statement)

    def statement(self, node: Statement) -> None:
        match node:
            case Assign():
                self.assign(node.name, self.at(node.indices, self.mark(node.value)))
            case Sample():
                self.assign(node.name, self.at(node.indices, self.draw(node, node.distribution)))
            case If():
                before = self.control
                for condition, branch in node.branches:
                    self.control = self.control.joined(self.mark(condition).flat())
                    self.block(branch)
                if node.otherwise is not None:
                    self.block(node.otherwise)
                self.control = before
            case For():
                bounds = (node.iterable.start, node.iterable.stop) if isinstance(node.iterable, Range) else (node.iterable,)
                taken = _sum([self.mark(bound) for bound in bounds if bound is not None])
                ranged = isinstance(node.iterable, Range)
                self.assign(node.variable, taken.flat() if ranged else taken)
                self.loop(node.body, taken.flat() if ranged else NOTHING)
            case While():
                self.loop(node.body, self.mark(node.condition).flat())
            case Require():
                control = self.control.joined(self.mark(node.condition).flat())
                self.leaving[self.function] = self.leaving.get(self.function, NOTHING).joined(control)
            case Return():
                self.give_back(node)
            case Parameter() | Data() | Function():
                pass
            case _:
                assert_never(node)

    def loop(self, body: Block, control: Mark) -> None:
        before = self.control
        self.control = self.control.joined(control)
        self.block(body)
        self.control = before

    def at(self, indices: tuple[Expression | Slice, ...], value: Mark) -> Mark:
        """A value that is put into an array, or taken from one, at some place."""
        control = NOTHING
        for item in indices:
            for part in (item.start, item.stop) if isinstance(item, Slice) else (item,):
                if part is not None:
                    control = control.joined(self.mark(part).flat())
        return value.chosen_by(control)

    def assign(self, name: str, value: Mark) -> None:
        key = (self.function, name)
        self.chosen[key] = self.chosen.get(key, NOTHING).joined(self.control).joined(self.leaving.get(self.function, NOTHING))
        before = self.variables.get(key, NOTHING)
        after = before.joined(value).chosen_by(self.chosen[key])
        if after != before or key not in self.variables:
            self.variables[key] = after
            self.changed = True

    def give_back(self, node: Return) -> None:
        self.leaving[self.function] = self.leaving.get(self.function, NOTHING).joined(self.control)
        control = self.leaving[self.function]
        for position, value in enumerate(node.values):
            mark = self.mark(value)
            before = self.returned.get(position, NOTHING) if self.function is None else self.results.get(self.function, NOTHING)
            after = before.joined(mark).chosen_by(control)
            if self.function is None:
                self.changed |= after != before or position not in self.returned
                self.returned[position] = after
            else:
                self.changed |= after != before
                self.results[self.function] = after

    # ------------------------------------------------------------------------------------------- expressions
    def mark(self, node: Expression) -> Mark:
        match node:
            case Number() | Boolean():
                return NOTHING
            case Name():
                return self.variable(node.id)
            case Vector():
                return _sum([self.mark(item) for item in node.items])
            case Index():
                return self.at(node.items, self.mark(node.target))
            case Unary():
                operand = self.mark(node.operand)
                return operand if node.operator == "-" else operand.flat()
            case Arithmetic():
                return self.arithmetic(node)
            case Power():
                return self.mark(node.base).joined(self.mark(node.exponent)).bent()
            case Comparison():
                return self.mark(node.left).joined(self.mark(node.right)).flat()
            case Logical():
                return _sum([self.mark(item) for item in node.items]).flat()
            case Conditional():
                both = self.mark(node.then).joined(self.mark(node.otherwise))
                return both.chosen_by(self.mark(node.condition).flat())
            case Call():
                return self.call(node)
            case Draw():
                return self.draw(node, node.distribution)
            case LogPdf():
                arguments = [self.mark(value) for value in self.resolved.arguments[id(node.distribution)].values()]
                return _sum([*arguments, self.mark(node.value)]).bent()
            case _:
                assert_never(node)

    def variable(self, name: str) -> Mark:
        for key in ((self.function, name), (None, name)):
            if key in self.variables:
                return self.variables[key]
        return Mark(live=self.parameters.get(name, 0))

    def arithmetic(self, node: Arithmetic) -> Mark:
        found = self.mark(node.first)
        for term in node.rest:
            operand = self.mark(term.operand)
            if term.operator in "+-":
                found = found.joined(operand)
            elif term.operator in "*/":
                found = _product(found, operand if term.operator == "*" else operand.bent())
            else:
                found = found.joined(operand).bent()
        return found

    def call(self, node: Call) -> Mark:
        marks = [self.mark(argument.value) for argument in node.arguments]
        function = self.resolved.functions.get(node.function)
        row = FUNCTIONS.get(node.function)
        if function is not None:
            before, control = self.function, self.control
            self.function, self.control = function.name, NOTHING
            for name, mark in zip(function.parameters, marks, strict=False):
                self.assign(name, mark)
            self.function, self.control = before, control
            return self.results.get(function.name, NOTHING)
        whole = _sum(marks)
        if row is None:
            return whole.bent()
        if row.valueless:
            return NOTHING
        if row.discrete or row.structural:
            return whole.flat()
        if row.name in LINEAR:
            return whole
        return _product(*marks) if row.name in BILINEAR and len(marks) == 2 else whole.bent()

    def draw(self, node: Sample | Draw, distribution: Distribution) -> Mark:
        site = self.resolved.site_at[id(node)]
        arguments = {name: self.mark(value) for name, value in self.resolved.arguments[id(distribution)].items()}
        whole = _sum(list(arguments.values()))
        own = whole.sites | 1 << site.index
        estimator = ESTIMATORS[self.estimators.get(site.index, PLAIN.name)]
        differentiable = {row.name for row in DISTRIBUTIONS[distribution.name].parameters if row.differentiable}
        if estimator.reparameterises:
            shift = DISTRIBUTIONS[distribution.name].shifted or None
            stretched = [mark.live for name, mark in arguments.items() if name != shift and name in differentiable]
            shaky = whole.shaky
            for live in stretched:
                shaky |= live
            return Mark(whole.live, own, shaky).chosen_by(self.control)
        if estimator.relaxes:
            return Mark(whole.live, own, whole.live)
        if estimator is not PLAIN and whole.live & ~self.weighed.get(site.index, 0):
            self.weighed[site.index] = self.weighed.get(site.index, 0) | whole.live
            self.changed = True
        return Mark(0, own, 0)
