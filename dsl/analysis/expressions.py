"""Facts of expressions: what is live, what meets a jump, what goes through a pole.

The rules of ESTIMATORS.md section 2 for every form of expression.  Statements, loops and functions are in `flow.py`,
which also says why the walk is built as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from ..names.resolve import Resolved, Site
from ..syntax import (
    Arithmetic,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Distribution,
    Draw,
    Expression,
    Function,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Power,
    Sample,
    Slice,
    Unary,
    Vector,
)
from ..tables import ranges
from ..tables.constants import CONSTANTS
from ..tables.distributions import DISTRIBUTIONS, DistributionRow
from ..tables.estimators import EstimatorRow
from ..tables.functions import FUNCTIONS, FunctionRow, Smoothness, elementwise
from ..tables.ranges import ANY, LARGEST, Bounds
from .ends import HUGE, REACH, at_an_end, levels_between, may_bend, square, to_the_zero
from .facts import Fact, Finding, Guard, Origins, SiteFlow, Variables, combined, discrete, spread


class Values(Finding):
    """The state of an abstract run, and the facts of its expressions."""

    def __init__(self, resolved: Resolved, estimators: Mapping[int, EstimatorRow], broken: frozenset[int]):
        super().__init__(broken)
        self.resolved = resolved
        self.estimators = estimators
        self.origins = Origins(tuple(resolved.parameters), len(resolved.sites))
        self.sites: dict[int, SiteFlow] = {site.index: SiteFlow() for site in resolved.sites}
        self.control = Fact()
        self.globals = Variables({}, None)
        self.frame = self.globals
        for site in resolved.sites:
            if site.index in estimators and estimators[site.index].relaxes:
                self.relaxed |= self.origins.site(site.index)

    def pathwise(self, site: Site) -> bool:
        """Whether the value that a site draws carries a derivative."""
        row = self.estimators.get(site.index)
        return row is not None and row.pathwise

    def own_function(self, function: Function, facts: list[Fact]) -> Fact:
        """The fact of a call of one of the program's functions."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- expressions
    def expression(self, node: Expression) -> Fact:
        match node:
            case Number():
                return Fact(range=ranges.constant(node.value))
            case Boolean():
                return Fact(range=ranges.constant(float(node.value)))
            case Name():
                return self.variable(node.id)
            case Vector():
                facts = [self.expression(item) for item in node.items]
                return combined(facts, ranges.union(*[fact.range for fact in facts]))
            case Index():
                target = self.expression(node.target)
                return target.under(self.indices(node.items))
            case Unary():
                operand = self.expression(node.operand)
                if node.operator == "-":
                    return replace(operand, range=ranges.negate(operand.range))
                return discrete(self.jump(node.operand, operand), ranges.UNIT)
            case Arithmetic():
                return self.arithmetic(node)
            case Power():
                return self.power(node)
            case Comparison():
                sides = [self.expression(node.left), self.expression(node.right)]
                both = combined(sides)
                self.meet(node, sides)
                return discrete(self.jump(node, both), ranges.UNIT)
            case Logical():
                return self.logical(node)
            case Conditional():
                return self.conditional(node)
            case Call():
                return self.call(node)
            case Draw():
                return self.draw(node, node.distribution)
            case LogPdf():
                return self.log_density(node)
            case _:
                assert_never(node)

    def variable(self, name: str) -> Fact:
        for frame in (self.frame, self.globals):
            if name in frame.variables:
                return frame.variables[name]
        if name in CONSTANTS:
            return Fact(range=ranges.constant(CONSTANTS[name]))
        return Fact()

    def indices(self, items: tuple[Expression | Slice, ...]) -> Fact:
        """The control fact of an access: an index is a jump in its position."""
        facts: list[Fact] = []
        for item in items:
            parts = (item.start, item.stop) if isinstance(item, Slice) else (item,)
            for part in parts:
                if part is not None:
                    facts.append(discrete(self.counting(part, self.expression(part))))
        return combined(facts)

    def arithmetic(self, node: Arithmetic) -> Fact:
        fact = self.expression(node.first)
        last: Node | None = node.first  # what has been multiplied last, and `before` the product before it
        before = ranges.constant(1)
        for term in node.rest:
            operand = self.expression(term.operand)
            if term.operator == "*" and last is not None and square(last, term.operand):
                image = ranges.multiply(before, ranges.power(operand.range, ranges.constant(2)))
            else:
                image = _ARITHMETIC[term.operator](fact.range, operand.range)
            last, before = (term.operand if term.operator == "*" else None), fact.range
            both = combined([fact, operand], image)
            both = replace(both, spread=spread(term.operator, fact, operand))
            if term.operator == "/":
                self.curved(term.operand, operand)
                both = self.singular(both, operand, term, term.operand)
                both = self.within(both, operand, term.operand, term, -LARGEST, LARGEST)
            elif term.operator == "%":
                if not both.continuous:
                    self.meet(node, [both])
                both = self.jump(term, both)
            fact = both
        return fact

    def power(self, node: Power) -> Fact:
        base, exponent = self.expression(node.base), self.expression(node.exponent)
        fact = combined([base, exponent], ranges.power(base.range, exponent.range))
        if exponent.range.low == exponent.range.high != 0:
            fact = replace(fact, spread=base.spread)
        power = float(exponent.range.low)
        if exponent.moves or power != exponent.range.high or power < 0 or not power.is_integer():
            self.curved(node, base, exponent)
        if exponent.range.low < 0:
            fact = self.singular(fact, base, node, node.base)
        if exponent.moves and to_the_zero(base.range, exponent.range):
            fact = self.avoiding_zero(fact, exponent, base, node)
        if base.moves and may_bend(base.range, exponent.range):
            self.kinks.add(id(node))
        if exponent.range.low <= 0:  # an infinite base is infinite still under others
            fact = self.within(fact, base, node.base, node, -LARGEST, LARGEST)
        return self.within(fact, exponent, node.exponent, node, -LARGEST, LARGEST)

    def logical(self, node: Logical) -> Fact:
        before_control = self.control
        facts: list[Fact] = []
        for item in node.items:
            fact = self.jump(item, self.expression(item))
            facts.append(discrete(fact))
            self.control = combined([self.control, fact])
        self.control = before_control
        return combined(facts, ranges.UNIT)

    def conditional(self, node: Conditional) -> Fact:
        before_control = self.control
        condition = self.jump(node.condition, self.expression(node.condition))
        self.control = combined([self.control, condition])
        result = self.expression(node.then).joined(self.expression(node.otherwise)).under(condition)
        self.control = before_control
        return result

    # ----------------------------------------------------------------------------------------------- functions
    def call(self, node: Call) -> Fact:
        facts = [self.expression(argument.value) for argument in node.arguments]
        row = FUNCTIONS.get(node.function)
        if node.function in self.resolved.functions:
            return self.own_function(self.resolved.functions[node.function], facts)
        if row is not None:
            return self.built_in(node, row, facts)
        external = self.resolved.external[node.function]
        whole = combined(facts)
        self.curved(node, whole)
        if not external.smooth:
            return self.jump(node, whole)
        if external.smooth == "kink" and whole.moves:
            self.kinks.add(id(node))
        for fact, argument in zip(facts, node.arguments, strict=True):
            whole = self.within(whole, fact, argument.value, node, -HUGE, HUGE)
        return whole

    def built_in(self, node: Call, row: FunctionRow, facts: list[Fact]) -> Fact:
        image = row.range(*[fact.range for fact in facts]) if facts else ANY
        passed: list[Fact] = []
        anywhere = row.bend is None or facts[0].range.low < row.bend < facts[0].range.high
        if row.smoothness == (Smoothness.KINK,) and anywhere and combined(facts).moves:
            self.kinks.add(id(node))
        if not row.polynomial:
            self.curved(node, *facts)
        if row.root and facts[0].moves and (row.equal or facts[0].range.has_zero):
            self.kinks.add(id(node))
        if row.name in ("dot", "matmul") and square(node.arguments[0].value, node.arguments[1].value):
            image = ranges.total(ranges.power(facts[0].range, ranges.constant(2)))
        if row.smoothness == (Smoothness.KINK,):
            self.meet(node, facts if row.bend is None else [*facts, Fact(range=ranges.constant(row.bend))])
        elif row.smoothness == (Smoothness.JUMP,) and row.discrete and len(facts) == 1 and not facts[0].continuous:
            self.meet(node, facts)
        for position, fact in enumerate(facts):
            smoothness = row.smoothness[min(position, len(row.smoothness) - 1)]
            if position in row.structural:
                fact = discrete(self.counting(node, fact))
            elif smoothness is Smoothness.JUMP:
                fact = discrete(self.jump(node, fact))
            passed.append(fact)
        whole = combined(passed, image)
        if len(facts) == 1 and row.smoothness == (Smoothness.SMOOTH,) and elementwise(row.name, 1):
            whole = replace(whole, spread=facts[0].spread)  # it takes no value more than countably often
        if row.valueless:
            return discrete(combined(facts), image)
        for position in row.regular:
            if facts[position].moves:
                whole = self.invertible(whole, facts[position], node, node.arguments[position].value)
        for fact, argument in zip(facts, node.arguments, strict=True):
            if fact.moves and any(fact.range.touches(point) for point in row.singular_at):
                whole = self.losing(whole, node, "singular", fact)
            if row.pole:
                whole = self.singular(whole, replace(fact, range=ANY), node, argument.value)
            if row.levels:
                whole = self.within(whole, fact, argument.value, node, *levels_between(row))
        return discrete(whole, image) if row.discrete else whole

    # ------------------------------------------------------------------------------------------- distributions
    def arguments(self, node: Distribution) -> dict[str, Fact]:
        """A fact per argument; counts (`total_count`) are jumps."""
        row = DISTRIBUTIONS[node.name]
        differentiable = {parameter.name: parameter.differentiable for parameter in row.parameters}
        facts: dict[str, Fact] = {}
        for name, argument in self.resolved.arguments[id(node)].items():
            fact = self.expression(argument)
            facts[name] = fact if differentiable[name] else discrete(self.counting(argument, fact), fact.range)
        return facts

    def draw(self, node: Sample | Draw, distribution: Distribution) -> Fact:
        site: Site = self.resolved.site_at[id(node)]
        row = DISTRIBUTIONS[distribution.name]
        facts = self.arguments(distribution)
        record = self.sites[site.index].arguments
        for name, fact in facts.items():
            record[name] = record[name].joined(fact) if name in record else fact
        whole = combined(list(facts.values()))
        own = self.origins.site(site.index)
        if row.kinked and whole.live and not self.pathwise(site):
            self.kinks.add(id(node))
        if site.repeated:
            for frame in {id(self.frame): self.frame, id(self.globals): self.globals}.values():
                frame.redrawn(own)
        carries = whole.live and self.pathwise(site)
        if (whole.moves or carries) and not (carries and row.affine):
            self.curves.add(id(node))
        if not self.pathwise(site) and not row.discrete:
            whole = self.ends(whole, distribution, facts, node)
        whole = self.extended(whole, distribution, facts, node)
        return Fact(
            live=own if carries else 0,
            continuous=0 if row.discrete else own,
            depends=whole.depends | own,
            hazards=whole.hazards,
            range=row.support({name: fact.range for name, fact in facts.items()}),
            spread=0 if row.discrete else own, latest=whole.latest | own,
        ).under(self.control)

    def log_density(self, node: LogPdf) -> Fact:
        row = DISTRIBUTIONS[node.distribution.name]
        facts = self.arguments(node.distribution)
        value = self.expression(node.value)
        if node.form != "logpdf":
            return self.cumulative(node, row, facts, value)
        if not row.value_smooth or (row.discrete and value.continuous):  # a mass is 0 between the whole numbers
            value = discrete(self.jump(node.value, value), value.range)
        whole = combined([*facts.values(), value], Bounds(-ranges.INF, 0, False, True) if row.discrete else ANY)
        self.curved(node, whole)
        if row.kinked and combined([*facts.values(), value]).moves:
            self.kinks.add(id(node))
        whole = self.extended(self.ends(whole, node.distribution, facts, node), node.distribution, facts, node)
        if row.kinked:
            self.meet(node, [facts[row.kink], value])
        return self.supported(whole, node, row, facts, value)

    def cumulative(self, node: LogPdf, row: DistributionRow, facts: dict[str, Fact], value: Fact) -> Fact:
        """A distribution function is continuous in what is, with a kink at an end of the support; its logarithm ends there."""
        whole_numbers = row.discrete
        if whole_numbers:
            value = discrete(self.jump(node.value, value), value.range)
        whole = combined([*facts.values(), value], ranges.UNIT if node.form == "cdf" else Bounds(-ranges.INF, 0, False, True))
        self.curved(node, whole)
        whole = self.extended(self.ends(whole, node.distribution, facts, node), node.distribution, facts, node)
        whole = self.within(whole, value, node.value, node, -HUGE, HUGE)
        for name, fact in facts.items():
            whole = self.within(whole, fact, self.resolved.arguments[id(node.distribution)][name], node, -HUGE, HUGE)
        if node.form == "cdf":
            if whole.moves and not row.whole_line and not whole_numbers:
                self.kinks.add(id(node))
            return whole
        return self.supported(whole, node, row, facts, value)

    def supported(self, whole: Fact, node: LogPdf, row: DistributionRow, facts: dict[str, Fact], value: Fact) -> Fact:
        """The logarithm jumps where a value leaves the support."""
        moving = [facts[p.name] for p in row.parameters if p.moves_support and p.name in facts]
        edge = combined([value, *moving])
        if row.whole_line or not edge.moves:
            return whole
        support = row.support({name: fact.range for name, fact in facts.items()})
        touched = (value.range.low == support.low and value.range.low_attained and not support.low_attained) or (
            value.range.high == support.high and value.range.high_attained and not support.high_attained
        )
        if touched:
            return self.losing(whole, node, "singular", edge)
        if any(fact.moves or fact.live for fact in moving) or not value.range.within(support):
            if id(node) in self.broken:
                return self.losing(whole, node, "support", edge)
            self.guard(Guard("support", node.value, node))
        return whole

    def ends(self, whole: Fact, node: Distribution, facts: dict[str, Fact], owner: Node) -> Fact:
        """The logarithm of a density is singular where an argument comes to an end of its domain."""
        row = DISTRIBUTIONS[node.name]
        for name, fact in facts.items():
            if fact.moves and at_an_end(row.parameter(name).domain, fact.range):
                whole = self.losing(whole, owner, "singular", fact)
        return whole

    def extended(self, whole: Fact, node: Distribution, facts: dict[str, Fact], owner: Node) -> Fact:
        """Arguments that may be infinite."""
        row = DISTRIBUTIONS[node.name]
        for name, fact in facts.items():
            low, high = REACH.get(row.parameter(name).domain, (-ranges.INF, ranges.INF))
            whole = self.within(whole, fact, self.resolved.arguments[id(node)][name], owner, low, high)
        return whole


def _modulo(_: Bounds, divisor: Bounds) -> Bounds:
    return Bounds(0, divisor.high, True, False) if divisor.low >= 0 else ANY


_ARITHMETIC = {
    "+": ranges.add, "-": ranges.subtract, "*": ranges.multiply, "/": ranges.divide, "%": _modulo,
}
