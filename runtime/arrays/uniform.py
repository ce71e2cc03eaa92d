"""What is the same in every lane is computed once, also in the hundredth round of a loop.

`gamma*ones(N)` in a loop is the same tensor in each round; so is what a density makes of it.  Where lanes come back to states that
they have been in, so is what is computed from these (`merging.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")
MOST = 512  # results that are kept, usually


class Once:
    """Results of pure functions of things that nobody changes, for one block; never more than `most`, and of those that tell how
    many `numbers` they are never more than fit into the `room`."""

    def __init__(self, most: int = MOST, room: float = math.inf) -> None:
        self.most = most
        self.room = room
        self.numbers = 0
        self.known: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}

    def __call__(self, what: Hashable, function: Callable[..., T], *operands: Any) -> T:
        """`function(*operands)`, found again where `what` was asked of the same things (of numbers: equal ones) before."""
        key: list[Hashable] = [what]
        for operand in operands:
            if isinstance(operand, Tensor):
                key.append((id(operand), None))
            elif operand == 0:  # 0 and -0 are equal
                return function(*operands)
            else:
                key.append(operand)
        known_by = tuple(key)
        found = self.known.get(known_by)
        if found is None:
            found = operands, function(*operands)
            self.numbers += getattr(found[1], "numbers", 0)
            if len(self.known) >= self.most or self.numbers > self.room:
                self.known.clear()
                self.numbers = 0
            if self.most:
                self.known[known_by] = found  # operands live on, so that their ids stay theirs
        result: T = found[1]
        return result

    def close(self) -> None:
        """Let go of everything, and keep nothing from now on."""
        self.most = 0
        self.known.clear()
