"""`score`: a detached draw whose log-probability weighs the run (score function, REINFORCE; as DiCE, Foerster et al. 2018).

The factor is `exp(log p - stop(log p))`: its value is 1, its derivatives of every order are those of the density.  What
it is multiplied by (the terms of the result that depend on the draw, less a baseline) is known at the end of the run:
`ledger.py`, `weighing.py`.
Limits: the support must not move with a live argument; where an outcome has probability exactly 0 the formula misses it.
"""

from __future__ import annotations

from functools import partial

from ...dsl.tables.estimators import ESTIMATORS
from ..lanes.ledger import DensitySum
from .request import Drawn, Request


class Score:
    """A detached draw and its log-probability."""

    facts = ESTIMATORS["score"]

    def draw(self, request: Request) -> Drawn:
        """The draw and its log-probabilities `[lanes or 1, *batch]`."""
        if request.live and request.law.small():
            return Drawn(*request.law.drawn(request.shape, request.noise))
        value = request.law.sample(request.shape, request.noise)
        if not request.live:
            return Drawn(value)
        total = request.law.summed_log_prob(value) if request.whole and request.batch else None
        if total is None:
            return Drawn(value, request.law.relative_log_prob(value))
        return Drawn(value, total, summed=DensitySum(tuple(value.shape[1:]), partial(request.law.summed_log_prob, value)))
