"""Whether both sides of every condition may be executed in all runs, as far as the text tells: where runs are few, to take them
apart costs more than the numbers of the other side.

They may where the sides are short and do no harm where they are not taken: assignments and draws whose derivative runs through the
value, of sums, products and functions that are defined everywhere.  A score in a branch has its baseline among the runs that are
there, and what may end or leave takes runs apart.
"""

from __future__ import annotations

from ..names.resolved import Resolved
from ..syntax import (
    Arithmetic,
    Assign,
    Block,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Draw,
    Expression,
    For,
    Function,
    If,
    Logical,
    Name,
    Node,
    Number,
    Power,
    Range,
    Sample,
    Unary,
    While,
    children,
)
from ..tables.estimators import ESTIMATORS, Carrier
from ..tables.functions import FUNCTIONS, elementwise
from .order import APART, first
from .plan import Plan

MOST_NODES = 256  # on the sides of conditions
FEW_RUNS = 4096  # of which both sides are executed
PLAIN = (Assign, Block, Boolean, Comparison, Conditional, If, Logical, Name, Number, Unary)


def both_sides(resolved: Resolved, plan: Plan) -> bool:
    """Whether there are conditions, and all have sides that are short and do no harm."""
    return resolved.prepared.once("both sides", plan.token, lambda: _Sides(resolved, plan).fit())


class _Sides:
    """A walk over the text."""

    def __init__(self, resolved: Resolved, plan: Plan):
        self.resolved = resolved
        self.harmless = {
            id(choice.site.distribution) for choice in plan.choices.values()
            if (row := ESTIMATORS[choice.estimator]).carrier is not Carrier.DENSITY and not row.several
        }
        self.nodes = 0
        self.alone = not plan.splits and not plan.forks and not plan.atoms and not resolved.weighted

    def fit(self) -> bool:
        """Whether all do."""
        body = self.resolved.program.body
        return self.alone and first(body, APART) is not None and self._outside(body) and self.nodes <= MOST_NODES

    def _outside(self, node: Node) -> bool:
        """What all runs execute."""
        if isinstance(node, While) or (isinstance(node, Function) and first(node.body, APART) is not None):
            return False
        if isinstance(node, For) and not self._counted(node.iterable):
            return False
        if isinstance(node, If):
            sides = all(map(self._inside, node.blocks)) and all(self._inside(condition) for condition, _ in node.branches[1:])
            return sides and self._outside(node.branches[0][0])
        if isinstance(node, Conditional):
            return self._outside(node.condition) and self._inside(node.then) and self._inside(node.otherwise)
        if isinstance(node, Logical):
            return self._outside(node.items[0]) and all(map(self._inside, node.items[1:]))
        return all(map(self._outside, children(node)))

    def _counted(self, over: Range | Expression) -> bool:
        """Whether all runs make the same rounds."""
        ends = (over.start, over.stop) if isinstance(over, Range) else ()
        fixed = {*self.resolved.data, *self.resolved.parameters}
        return isinstance(over, Range) and all(
            end is None or isinstance(end, Number) or (isinstance(end, Name) and end.id in fixed) for end in ends
        )

    def _inside(self, node: Node) -> bool:
        """What is executed where it is not taken, too."""
        self.nodes += 1
        if isinstance(node, Assign) and node.indices:
            return False
        if isinstance(node, Sample):
            return not node.indices and type(node) is Sample and self._drawn(node)
        if isinstance(node, Draw):
            return self._drawn(node)
        if isinstance(node, Call):
            row = FUNCTIONS.get(node.function)
            total = row is not None and not (row.singular_at or row.pole or row.root) and elementwise(row.name, len(node.arguments))
            return total and all(self._inside(argument.value) for argument in node.arguments)
        if isinstance(node, Arithmetic):
            whole = all(term.operator in "+-*" or _nonzero(term.operand) for term in node.rest)
            return whole and all(map(self._inside, node.operands))
        if isinstance(node, Power):
            exponent = node.exponent
            return isinstance(exponent, Number) and exponent.value >= 0 and exponent.value % 1 == 0 and self._inside(node.base)
        if isinstance(node, PLAIN):
            return all(map(self._inside, children(node)))
        return False

    def _drawn(self, node: Sample | Draw) -> bool:
        arguments = node.distribution.arguments
        return id(node.distribution) in self.harmless and all(self._inside(argument.value) for argument in arguments)


def _nonzero(node: Expression) -> bool:
    return isinstance(node, Number) and node.value != 0
