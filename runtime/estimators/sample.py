"""`sample`: a plain draw, for sites whose distribution depends on no parameter.

Limits: a derivative of the arguments is dropped, so the plan chooses it only where there is none that matters.
"""

from __future__ import annotations

from torch import Tensor

from .request import Request


class Sample:
    """A detached draw."""

    name = "sample"
    needs_interior = False

    def draw(self, request: Request) -> tuple[Tensor, None]:
        """The draw, without a weight."""
        return request.law.sample(request.shape, request.generator), None
