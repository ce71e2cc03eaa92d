"""`fork`: the draw, and the other outcomes that it might have had, one of which the run goes on with beside it (`forking.py`).

Smoothed perturbation analysis (Fu & Hu 1997) and stochastic triples (Arya et al. 2022), with weights that are 0 and move, and one
alternative a run, kept by a reservoir.  Right at the edge of the domain, too.
Limits: discrete laws whose support stands still; first derivatives.
"""

from __future__ import annotations

from ...dsl.tables.estimators import ESTIMATORS
from ..laws.others import others
from .request import Drawn, Request

STEPS = 4  # that a meeting of other outcomes takes, beside the draw


class Fork:
    """A detached draw, and what else it might have been."""

    facts = ESTIMATORS["fork"]

    def draw(self, request: Request) -> Drawn:
        """The draw, without a weight."""
        value = request.law.sample(request.shape, request.noise)
        if not request.live or not value.numel():
            return Drawn(value)
        request.meter.busy(STEPS)
        return Drawn(value, others=others(request.law, value, request.motion().moves, request.uncounted(), request.front))
