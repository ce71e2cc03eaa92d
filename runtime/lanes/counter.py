"""How many numbers a block holds, so that its size can be made to fit."""

from __future__ import annotations

from .lessons import TooBig
from .values import Held, PerLane, Value


class Counter:
    """Counts the numbers that a block creates: `widest` in one value, `kept` in all that carry a derivative or are elements of an
    array (or in all, where results are `taken_apart` into terms that are kept), `seen` in all of its `values` that are not the same
    in every lane."""

    def __init__(self, most: int, most_wide: int):
        self.most = most
        self.most_wide = most_wide
        self.widest = 0
        self.kept = 0
        self.taken_apart = False
        self.seen = 0
        self.values = 0

    def expect(self, numbers: int) -> None:
        """A value of so many numbers is about to be made; raises TooBig."""
        if numbers > self.widest:
            self.widest = numbers
            if numbers > self.most_wide:
                raise TooBig

    def see(self, value: Value) -> None:
        """Take in a value; raises TooBig."""
        if isinstance(value, Held) and (numbers := value.numbers):
            self.expect(numbers)
            if isinstance(value, PerLane):
                self.seen += numbers
                self.values += 1
            if value.live or self.taken_apart:
                self.hold(numbers)

    def hold(self, numbers: int) -> None:
        """So many numbers are kept until the end of the block, or about as long; raises TooBig."""
        self.kept += numbers
        if self.kept > self.most:
            raise TooBig
