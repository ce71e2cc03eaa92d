"""Draws with an implicit derivative (Figurnov et al. 2018), which has no second one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...dsl.text.diagnostics import Diagnostic, ProbError
from ..arrays import private
from ..arrays.broadcast import Shape
from .noise import Noise
from .rounding import below_one, nudge, tiny


class SecondDerivativeUnavailable(ProbError):
    """The reparameterised draw of this distribution has no second derivative: P0406."""

    def __init__(self, name: str):
        self.name = name
        super().__init__(Diagnostic(
            "P0406", f"the reparameterised draw of {name} has no second derivative",
            notes=("torch's implicit derivative cannot be differentiated again",),
            help='use estimator="score" for this site: the score function has derivatives of every order',
        ))


# ----------------------------------------------------------------------------- implicit reparameterisation (once)
class _FirstDerivative(torch.autograd.Function):
    """A product of the incoming gradient with a local derivative that cannot be differentiated again.

    torch's local derivatives of Gamma and Dirichlet draws are numbers without a graph; Beta's and Dirichlet's second
    derivatives are silently wrong there, so asking for them raises.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, concentration: Tensor, draw: Tensor, name: str, shares: bool) -> Tensor:
        ctx.name = name
        if shares:
            total = concentration.sum(-1, keepdim=True).expand_as(concentration)
            local = private.dirichlet_grad(draw, concentration, total)
            assert local is not None
            return local * (gradient - (draw * gradient).sum(-1, keepdim=True))
        return gradient * private.standard_gamma_grad(concentration, draw)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise SecondDerivativeUnavailable(ctx.name)


_first_derivative: Callable[[Tensor, Tensor, Tensor, str, bool], Tensor] = _FirstDerivative.apply


class _Implicit(torch.autograd.Function):
    """A draw whose derivative in its concentration is implicit (Figurnov, Mohamed & Mnih 2018): of Gamma, or `shares` of 1."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, noise: Noise, name: str, shares: bool) -> Tensor:
        ctx.name, ctx.shares = name, shares
        if shares:
            draw = noise.dirichlet(concentration)
            draw.clamp_(tiny(draw), below_one(draw))
        else:
            draw = noise.gamma(concentration).clamp_min_(tiny(concentration))
        ctx.save_for_backward(concentration, draw)
        return draw

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        concentration, draw = ctx.saved_tensors
        return _first_derivative(gradients[0], concentration, draw, ctx.name, ctx.shares), None, None, None


_implicit: Callable[[Tensor, Noise, str, bool], Tensor] = _Implicit.apply


def standard_gamma(concentration: Tensor, shape: Shape, noise: Noise, name: str) -> Tensor:
    """A draw of Gamma(concentration, 1) of the given shape; `name` is who asks, for the error."""
    return _implicit(concentration.expand(shape).contiguous(), noise, name, False)


def dirichlet(concentration: Tensor, shape: Shape, noise: Noise, name: str) -> Tensor:
    """A draw of Dirichlet(concentration) of the given shape."""
    if not private.knows_dirichlet():
        parts = standard_gamma(concentration, shape, noise, name)
        share = parts / parts.sum(-1, keepdim=True)
        return nudge(share, tiny(share), below_one(share))
    return _implicit(concentration.expand(shape).contiguous(), noise, name, True)
