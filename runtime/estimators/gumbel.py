"""`gumbel`: the straight-through Gumbel-Softmax (Jang et al. 2016; binary: Concrete, Maddison et al. 2016).

Forward the exact draw (with `hard=false` the relaxed one), backward the derivative of a softmax at temperature `tau`.
Limits: Bernoulli, Categorical, OneHotCategorical; biased, less with smaller `tau`, while the variance grows.
Probabilities of 0 and 1 give sure draws and no nan.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...dsl.tables.estimators import ESTIMATORS
from ..arrays.kernels import less
from ..laws.noise import Noise
from .request import Drawn, Request


class Gumbel:
    """A relaxed draw with an exact forward value."""

    facts = ESTIMATORS["gumbel"]

    def draw(self, request: Request) -> Drawn:
        """The draw, without a weight."""
        tau, hard = float(request.options["tau"]), bool(request.options.get("hard", True))
        vector = any(request.row.parameter(name).event == 1 for name in request.arguments)
        exact, soft = (_categorical if vector else _binary)(request, tau)
        if hard:
            soft = exact + (soft - soft.detach())  # the bracket is exactly 0
        if vector and request.row.event == 0:  # the index, as a differentiable mean of indices
            soft = soft @ torch.arange(soft.shape[-1], dtype=soft.dtype, device=soft.device)
        return Drawn(soft)


def _uniform(shape: tuple[int, ...], like: Tensor, noise: Noise) -> Tensor:
    """Uniform noise inside (0, 1)."""
    found = noise.uniform(shape, like)
    return found.clamp_(torch.finfo(like.dtype).tiny, 1 - torch.finfo(like.dtype).eps / 2)


def _binary(request: Request, tau: float) -> tuple[Tensor, Tensor]:
    """`u < p` and `sigmoid((logit p - logit u) / tau)`: the same noise in both."""
    logits = request.arguments.get("logits")
    if logits is None:
        probability = request.arguments["probs"]
        small, large = torch.finfo(probability.dtype).tiny, 1 - torch.finfo(probability.dtype).eps / 2
        inner = probability.clamp(small, large)
        logits = inner.log() - torch.log1p(-inner)
    else:
        probability = logits.detach().sigmoid()
    noise = _uniform(request.shape, probability, request.noise)
    soft = torch.sigmoid((logits - torch.logit(noise)) / tau)
    return less(noise, probability, soft.dtype), soft


def _categorical(request: Request, tau: float) -> tuple[Tensor, Tensor]:
    """One-hot of the largest of `log weight + Gumbel noise`, and their softmax at temperature `tau`."""
    logits = request.arguments.get("logits")
    if logits is None:
        weights = request.arguments["probs"]
        logits = weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
        possible = weights > 0
    else:
        possible = logits > -torch.inf
        logits = torch.where(possible, logits, logits.new_tensor(torch.finfo(logits.dtype).min / 4))
    entries = logits.shape[-1]
    shape = request.shape if request.row.event == 1 else (*request.shape, entries)
    noise = -torch.log(-torch.log(_uniform(shape, logits, request.noise)))
    scores = logits + noise
    largest = torch.where(possible, scores.detach(), -torch.inf).argmax(-1)
    exact = (largest.unsqueeze(-1) == torch.arange(entries, device=largest.device)).to(logits.dtype)
    return exact, torch.softmax(scores / tau, -1)
