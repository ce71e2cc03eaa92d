"""`rsample`: a reparameterised draw, which carries the derivative of its arguments (pathwise, Mohamed et al. 2020, section 5).

Limits: continuous distributions, and only where the value reaches the result without a jump.  Second derivatives exist
unless the reparameterisation is implicit (Figurnov et al. 2018: Gamma, Beta, Dirichlet, Chi2, StudentT, InverseGamma).
"""

from __future__ import annotations

from torch import Tensor

from .request import Request


class Rsample:
    """A draw as a differentiable function of fixed noise."""

    name = "rsample"
    needs_interior = False

    def draw(self, request: Request) -> tuple[Tensor, None]:
        """The draw, without a weight."""
        if not request.live:
            return request.law.sample(request.shape, request.generator), None
        return request.law.rsample(request.shape, request.generator), None
