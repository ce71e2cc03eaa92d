"""How many different values the discrete draws of score sites have taken.

A score knows of an outcome only once it has been drawn.  Where all runs drew the same, the score is one and the same number, though
its mean is known to be 0; where a count took two values, any gradient fits them, and the third may carry most of it
(`x ~ Poisson(0.01); x^4`).  So sites outside loops are watched until they have shown three values, or all that they have.
"""

from __future__ import annotations

from torch import Tensor

from ..arrays.private import noted, observed
from ..arrays.scalars import floats
from ..laws.law import Law

ENOUGH = 3  # values, of which none shows how the next one would bear on the result
FIRST = 64  # lanes that are looked at before all are
LEAST_LANES = 32  # those of a rare branch tell nothing


class Variety:
    """By site, the values that were seen (at most about `ENOUGH`), and how many there must be."""

    def __init__(self) -> None:
        self.seen: dict[int, set[float]] = {}
        self.needed: dict[int, int] = {}

    def look(self, site: int, law: Law, value: Tensor) -> None:
        """Take in the draws `[lanes]` of a discrete site."""
        if observed():
            noted(lambda variety, draw: variety.look(site, law, draw), value)
            return
        seen = self.seen.setdefault(site, set())
        if value.dim() != 1 or value.shape[0] < LEAST_LANES or len(seen) >= self.needed.get(site, ENOUGH):
            return
        if site not in self.needed:
            few = law.outcomes(ENOUGH - 1)
            self.needed[site] = ENOUGH if few is None else few.shape[0]
        seen.update(value[:FIRST].tolist())
        if len(seen) >= self.needed[site]:
            return
        low, high = floats(*value.aminmax())
        seen.update((low, high))
        if len(seen) < self.needed[site]:
            seen.update(value[(value > low) & (value < high)][:1].tolist())

    @property
    def scarce(self) -> dict[int, int]:
        """Sites that showed too few values, and how many."""
        return {site: len(self.seen[site]) for site, needed in self.needed.items() if len(self.seen[site]) < needed}
