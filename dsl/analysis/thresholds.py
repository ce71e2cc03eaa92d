"""What to write where a parameter moves a threshold: the parameter enters the distribution, and the threshold stands still.

`x ~ Normal(0, 1); x < theta` has no density that carries `theta`; `x ~ Normal(-theta, 1); x < 0` asks the same question and
has one.  Which argument of a distribution a shift or a stretch of its draws goes into is a fact of its row.  Where neither leaves
the support alone (Uniform, Pareto, Beta) there is no such rewriting, and none is proposed; of a Uniform the truth of the
comparison is a Bernoulli.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..names.resolve import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Arithmetic,
    Assign,
    Comparison,
    Distribution,
    Draw,
    Expression,
    For,
    Interval,
    Name,
    Node,
    Number,
    Sample,
    Unary,
)
from ..tables.constants import CONSTANTS
from ..tables.distributions import DISTRIBUTIONS
from .facts import Hazard
from .flow import Flow

SMOOTH = "or smooth the step, which changes the answer a little: "
GENERAL = "let the parameter enter a distribution whose density carries it, and compare with a number"


@dataclass(frozen=True)
class Threshold:
    """A comparison of one draw (`value`, of `distribution`) with what parameters and data give (`bound`)."""

    comparison: Comparison
    value: Name | Draw
    bound: Expression
    distribution: Distribution


def advice(resolved: Resolved, flow: Flow, hazard: Hazard) -> str:
    """The help of P0403 at a jump that a parameter moves: a program to write that has the same expectation."""
    node = next((node for node in nodes_in(resolved.program.body) if id(node) == hazard.place), None)
    if not isinstance(node, Comparison):
        return f"{GENERAL};\n{SMOOTH}sigmoid(z/0.1) goes from 0 to 1 where z passes 0"
    writer = Writer(resolved)
    threshold = find(resolved, flow, hazard, node)
    smooth = SMOOTH + f"sigmoid(({writer.difference(node)})/0.1)"
    recipe = None if threshold is None else writer.recipe(threshold)
    return f"{recipe or GENERAL};\n{smooth}"


def find(resolved: Resolved, flow: Flow, hazard: Hazard, node: Comparison) -> Threshold | None:
    """The draw and the bound of a comparison, where it is as plain as that."""
    sites = flow.origins.sites_in(hazard.continuous)
    if len(sites) != 1 or node.operator not in ("<", "<=", ">", ">="):
        return None
    site = resolved.sites[sites[0]]
    for value, bound in ((node.left, node.right), (node.right, node.left)):
        if not _given(resolved, bound):
            continue
        if isinstance(value, Draw) and value is site.node:
            return Threshold(node, value, bound, value.distribution)
        named = isinstance(value, Name) and isinstance(site.node, Sample) and site.node.name == value.id
        if isinstance(value, Name) and named and _set_once(resolved, value.id):
            return Threshold(node, value, bound, site.distribution)
    return None


def _given(resolved: Resolved, bound: Expression) -> bool:
    """Whether an expression is known before anything is drawn: parameters, data and numbers."""
    given = {*resolved.parameters, *resolved.data, *CONSTANTS}
    nodes = nodes_in(bound)
    own = {name for function in resolved.functions.values() for name in function.parameters}
    drawn = any(isinstance(node, Draw) for node in nodes)
    return not drawn and all(node.id in given and node.id not in own for node in nodes if isinstance(node, Name))


def _set_once(resolved: Resolved, name: str) -> bool:
    nodes = [node for function in resolved.functions.values() for node in nodes_in(function)]
    nodes += nodes_in(resolved.program.body)
    setters = {id(node) for node in nodes if isinstance(node, Assign | Sample) and node.name == name}
    loops = any(isinstance(node, For) and node.variable == name for node in nodes)
    indexed = any(isinstance(node, Assign | Sample) and node.name == name and node.indices for node in nodes)
    return len(setters) == 1 and not loops and not indexed


class Writer:
    """Writes programs from the text of the one at hand."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved

    def text(self, node: Node) -> str:
        """The source text of a node, on one line."""
        return " ".join(self.resolved.program.source.slice(node.span).split())

    def operand(self, node: Expression, loose: tuple[type, ...] = (Arithmetic, Unary, Comparison)) -> str:
        """The text of a node as an operand of `*`, `/` or behind a `-`."""
        text = self.text(node)
        return f"({text})" if isinstance(node, loose) and not text.startswith("(") else text

    def difference(self, node: Comparison) -> str:
        """What is positive where a comparison holds."""
        greater, smaller = (node.left, node.right) if node.operator.startswith(">") else (node.right, node.left)
        return f"{self.text(greater)} - {self.operand(smaller)}"

    def recipe(self, threshold: Threshold) -> str | None:
        """The distribution and the comparison to write instead."""
        name = threshold.distribution.name
        if name == "Uniform":
            return self.bernoulli(threshold)
        row = DISTRIBUTIONS[name]
        if row.shifted:
            argument, still, back = self.shifted(threshold, row.shifted), "0", "+"
        elif row.stretched is not None:
            argument, still, back = self.stretched(threshold, *row.stretched), "1", "*"
        else:
            return None
        drawn = self.with_argument(threshold.distribution, *argument)
        positive = "" if back == "+" or self.positive(threshold.bound) else f" (for {self.text(threshold.bound)} > 0)"
        start = f"let the parameter enter the distribution instead{positive}: write "
        if isinstance(threshold.value, Draw):
            return f"{start}`{self.compared(threshold, drawn, still)}`"
        variable = threshold.value.id
        if self.reads(variable) == 1:
            return f"{start}`{variable} ~ {drawn}` and `{self.compared(threshold, variable, still)}`"
        other = f"{variable}_new"
        while other in self.resolved.program.source.text:
            other += "_"
        bound = self.operand(threshold.bound) if back == "*" else self.text(threshold.bound)
        return f"{start}`{other} ~ {drawn}; {variable} = {other} {back} {bound}` and `{self.compared(threshold, other, still)}`"

    def positive(self, bound: Expression) -> bool:
        """Whether a bound is a parameter that is declared to be positive."""
        fact = self.resolved.parameters.get(bound.id) if isinstance(bound, Name) else None
        domain = None if fact is None or fact.node is None else fact.node.domain
        return isinstance(domain, Interval) and domain.low >= 0

    def reads(self, name: str) -> int:
        """How often a variable is read."""
        functions = self.resolved.functions.values()
        roots = [self.resolved.program.body, *functions]
        return len({id(node) for root in roots for node in nodes_in(root) if isinstance(node, Name) and node.id == name})

    def compared(self, threshold: Threshold, value: str, still: str) -> str:
        """The comparison of another value with a bound that stands still, on the same sides."""
        node = threshold.comparison
        left, right = (value, still) if node.left is threshold.value else (still, value)
        return f"{left} {node.operator} {right}"

    def shifted(self, threshold: Threshold, argument: str) -> tuple[str, str]:
        """The argument `loc - bound`."""
        given = self.argument(threshold.distribution, argument)
        bound = threshold.bound
        if isinstance(bound, Unary) and bound.operator == "-":
            moved, sign = self.operand(bound.operand), "+"
        else:
            moved, sign = self.operand(bound, (Arithmetic, Unary, Comparison)), "-"
            if isinstance(bound, Arithmetic) and all(term.operator in "*/" for term in bound.rest):
                moved = self.text(bound)
        if given is None or (isinstance(given, Number) and given.value == 0):
            return argument, moved if sign == "+" else f"-{moved}"
        return argument, f"{self.text(given)} {sign} {moved}"

    def stretched(self, threshold: Threshold, argument: str, how: str) -> tuple[str, str]:
        """The argument times or by the bound, or less its logarithm."""
        given, bound = self.argument(threshold.distribution, argument), threshold.bound
        zero = given is None or (isinstance(given, Number) and given.value == 0)
        if how == "log":
            moved = f"log({self.text(bound)})"
            return argument, f"-{moved}" if zero or given is None else f"{self.text(given)} - {moved}"
        assert given is not None
        if how == "*" and isinstance(given, Number) and given.value == 1:
            return argument, self.text(bound)
        whole = isinstance(given, Arithmetic) and all(term.operator in "*/" for term in given.rest)
        left = self.text(given) if whole else self.operand(given)
        return argument, f"{left}{how}{self.operand(bound)}"

    def argument(self, distribution: Distribution, name: str) -> Expression | None:
        return self.resolved.arguments[id(distribution)].get(name)

    def with_argument(self, distribution: Distribution, name: str, text: str) -> str:
        """The call of a distribution with another value of one argument."""
        parts = []
        given = self.argument(distribution, name)
        for argument in distribution.arguments:
            if argument.value is given:
                parts.append(text if argument.name is None else f"{name}={text}")
            else:
                parts.append(self.text(argument))
        if given is None:
            parts.append(f"{name}={text}")
        return f"{distribution.name}({', '.join(parts)})"

    def bernoulli(self, threshold: Threshold) -> str | None:
        """Whether a uniform draw lies below a bound, which is between its ends, is a Bernoulli."""
        low, high = (self.argument(threshold.distribution, name) for name in ("low", "high"))
        if low is None or high is None or (isinstance(threshold.value, Name) and self.reads(threshold.value.id) != 1):
            return None
        node, bound = threshold.comparison, threshold.bound
        below = (node.left is threshold.value) == node.operator.startswith("<")
        start, end = (low, bound) if below else (bound, high)
        unit = all(isinstance(edge, Number) and edge.value == value for edge, value in ((low, 0), (high, 1)))
        part = self.text(end) if isinstance(start, Number) and start.value == 0 else f"{self.text(end)} - {self.operand(start)}"
        if not unit:
            divisor = f"({self.text(high)} - {self.operand(low)})"
            if isinstance(low, Number) and low.value == 0:
                divisor = self.operand(high)
            part = f"{part}/{divisor}" if " " not in part else f"({part})/{divisor}"
        inside = f"{self.text(low)} < {self.text(bound)} < {self.text(high)}"
        return f"draw the answer instead (for {inside}): write `Bernoulli({part})` in place of `{self.text(node)}`"
