"""How many numbers a block holds, so that its size can be made to fit."""

from __future__ import annotations

from torch import Tensor

from ...dsl.syntax import Arithmetic, Name, Node, Number
from ...dsl.tables.limits import STEP
from .lessons import TooBig
from .values import PerLane, Ragged, Value


class Counter:
    """Counts the numbers that a block creates: `widest` in one value, `kept` in all that carry a derivative or are elements of an
    array (or in all, where results are `taken_apart` into terms that are kept), `seen` in all of its `values` that are not the same
    in every lane.

    A sum keeps nothing for the backward pass, nor does a product with a number, so such a one is counted once, in the first
    round of a loop: what a variable held is let go in the next.
    """

    def __init__(self, most: int, most_wide: int):
        self.most = most
        self.most_wide = most_wide
        self.widest = 0
        self.kept = 0
        self.taken_apart = False
        self.seen = 0
        self.values = 0
        self.linear: set[int] = set()  # sums, and products with numbers, that have been counted

    @property
    def wide(self) -> bool:
        """Whether one value has more numbers than any should have."""
        return self.widest > self.most_wide

    def expect(self, numbers: int) -> None:
        """A value of so many numbers is about to be made; raises TooBig, unless narrow ones are what takes the time."""
        if numbers > self.widest:
            self.widest = numbers
            if numbers > self.most or (numbers > self.most_wide and self.seen + numbers > STEP * (self.values + 1)):
                raise TooBig

    def see(self, value: Value, node: Node | None = None) -> None:
        """Take in a value, of an expression (None: of none in the program); raises TooBig."""
        if isinstance(value, Ragged) or not isinstance(raw := value.raw, Tensor):
            return
        numbers = raw.numel() if value.event is None else value.numbers
        if numbers > self.widest:
            self.expect(numbers)
        if isinstance(value, PerLane):
            self.seen += numbers
            self.values += 1
        if self.taken_apart:
            self.hold(numbers)
        elif raw.requires_grad and (node is None or self._keeps(node)):
            self.hold(raw.numel())  # of what repeats itself, once

    def _keeps(self, node: Node) -> bool:
        """Whether the value of an expression is kept: not one that a variable has, and a linear one only once."""
        if isinstance(node, Name):
            return False
        if isinstance(node, Arithmetic) and _linear(node):
            if id(node) in self.linear:
                return False
            self.linear.add(id(node))
        return True

    def hold(self, numbers: int) -> None:
        """So many numbers are kept until the end of the block, or about as long; raises TooBig."""
        self.kept += numbers
        if self.kept > self.most:
            raise TooBig


def _linear(node: Arithmetic) -> bool:
    """A sum, or a product of numbers and one thing else that is not divided by."""
    if node.rest[0].operator in "+-":
        return True
    operators = [term.operator for term in node.rest]
    parts = (("*", node.first), *((term.operator, term.operand) for term in node.rest))
    return "%" not in operators and [operator for operator, part in parts if not isinstance(part, Number)] == ["*"]
