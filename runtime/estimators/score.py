"""`score`: a detached draw whose log-probability weighs the run (score function, REINFORCE; as DiCE, Foerster et al. 2018).

The factor is `exp(log p - stop(log p))`: its value is 1, its derivatives of every order are those of the density.  The
leave-one-out baseline (Kool et al. 2019) belongs to the whole run, so it is in `estimate.py`.
Limits: the support must not move with a live argument; where an outcome has probability exactly 0 the formula misses it.
"""

from __future__ import annotations

from torch import Tensor

from .request import Request


class Score:
    """A detached draw and its log-probability."""

    name = "score"
    needs_interior = True

    def draw(self, request: Request) -> tuple[Tensor, Tensor | None]:
        """The draw and the sum of its log-probabilities over the batch axes `[lanes]`."""
        value = request.law.sample(request.shape, request.generator)
        if not request.live:
            return value, None
        density = request.law.relative_log_prob(value)
        return value, density if density.dim() == 1 else density.reshape(density.shape[0], -1).sum(1)
