"""`jump`: a reparameterised draw, and both sides of a point at which it makes the result jump, on lanes of their own (`roots.py`).

Leibniz' rule: the derivative along the path, and for each jump how fast probability crosses it times its height (as the
conditional and smoothed estimators of Fu & Hu 1997, Lew et al. 2023), one of which is kept by a reservoir (`forking.py`).
Limits: continuous laws of one number, and jumps that are found in the text; first derivatives.
"""

from __future__ import annotations

from ...dsl.tables.estimators import ESTIMATORS
from .request import Drawn, Request

STEPS = 2  # that a meeting of jumps takes, beside the draw


class Jump:
    """A draw as a differentiable function of fixed noise, and where it jumps."""

    facts = ESTIMATORS["jump"]

    def draw(self, request: Request) -> Drawn:
        """The draw, without a weight."""
        draw = request.law.rsample if request.live else request.law.sample
        value = draw(request.shape, request.noise)
        crossings = request.crossings(value)
        if crossings is not None:
            request.meter.busy(STEPS)
        return Drawn(value, others=crossings)
