"""`rsample`: a reparameterised draw, which carries the derivative of its arguments (pathwise, Mohamed et al. 2020, section 5).

Limits: continuous distributions, and only where the value reaches the result without a jump.  Second derivatives exist
unless the reparameterisation is implicit (Figurnov et al. 2018: Gamma, Beta, Dirichlet, Chi2, StudentT, InverseGamma).
"""

from __future__ import annotations

from ...dsl.tables.estimators import ESTIMATORS
from .request import Drawn, Request


class Rsample:
    """A draw as a differentiable function of fixed noise."""

    facts = ESTIMATORS["rsample"]

    def draw(self, request: Request) -> Drawn:
        """The draw, without a weight."""
        if not request.live:
            return Drawn(request.law.sample(request.shape, request.noise))
        return Drawn(request.law.rsample(request.shape, request.noise))
