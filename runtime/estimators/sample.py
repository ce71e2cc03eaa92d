"""`sample`: a plain draw, for sites whose distribution depends on no parameter.

Limits: a derivative of the arguments is dropped, so the plan chooses it only where there is none that matters.
"""

from __future__ import annotations

from ...dsl.tables.estimators import ESTIMATORS
from .request import Drawn, Request


class Sample:
    """A detached draw."""

    facts = ESTIMATORS["sample"]

    def draw(self, request: Request) -> Drawn:
        """The draw, without a weight."""
        return Drawn(request.law.sample(request.shape, request.noise))
