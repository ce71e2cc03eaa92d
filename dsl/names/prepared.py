"""What is worked out once for a program and found again in every call: one table, with a key for each thing.

The reading of a text ("sums", the rounds of a loop that may be executed together), and what runs have found out about a plan
(whether blocks run alike, whether parameters can be lifted, which arithmetic it needs, graphs that were compiled).  Things that
hold for one plan are kept under its `token`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 8192  # things; the oldest are forgotten


class Prepared:
    """The table of one program."""

    def __init__(self) -> None:
        self.known: dict[tuple[Hashable, ...], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing is pickled or copied: it is found out again."""
        return {"known": {}}

    def once(self, what: str, of: Hashable, make: Callable[[], T]) -> T:
        """What is known under a name, of a node, a plan or the program (None); made where nothing is."""
        key = what, of
        if key not in self.known:
            self.put(what, of, make())
        found: T = self.known[key]
        return found

    def get(self, what: str, of: Hashable, usual: T) -> T:
        """What is known; else what is usual."""
        found: T = self.known.get((what, of), usual)
        return found

    def put(self, what: str, of: Hashable, found: object) -> None:
        """From now on this is known."""
        if len(self.known) >= MOST:
            del self.known[next(iter(self.known))]
        self.known[what, of] = found
