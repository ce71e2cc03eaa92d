"""torch for programs with loops, recursion and branches: what somebody would write who knows that the loop is a geometric
variable and that both branches can be computed everywhere; and the loop as a loop, by somebody who does not.  Per-run
gradients, blocks, leave-one-out baseline."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 65_536
THETA = 0.3


def _left_out(y: Tensor) -> Tensor:
    y = y.detach()
    return y - (y.sum() - y) / (y.shape[0] - 1)


def geometric(theta: Tensor, n: int) -> Tensor:
    """Tosses until the first head, from one uniform number."""
    tosses = torch.ceil(torch.rand(n).clamp_min_(1e-7).log_() / math.log1p(-THETA)).clamp_min_(1.0)
    return _left_out(tosses) * (theta.log() + (tosses - 1) * torch.log1p(-theta))


def loop(theta: Tensor, n: int) -> Tensor:
    """Tosses until the first head, round by round, in each for those who go on; the density from the count."""
    tosses, alive = torch.ones(n), torch.arange(n)
    while True:
        alive = alive[torch.rand(alive.shape[0]) >= THETA]
        if not alive.numel():
            return _left_out(tosses) * (theta.log() + (tosses - 1) * torch.log1p(-theta))
        tosses[alive] += 1


def nested(theta: Tensor, n: int) -> Tensor:
    """Both coins and one normal for every run."""
    fixed = theta.detach()
    a, b, e = torch.rand(n) < fixed, torch.rand(n) < fixed, torch.randn(n)
    y = torch.where(a, torch.where(b, theta + e + 1, 2 * theta + e), theta * e * e)
    head, tail = theta.log(), torch.log1p(-theta)
    density = torch.where(a, head + torch.where(b, head, tail), tail)
    return y + _left_out(y) * density


STRAIGHT: dict[str, tuple[Callable[[Tensor, int], Tensor], float]] = {
    "while": (geometric, -1 / THETA**2),
    "while, round by round": (loop, -1 / THETA**2),
    "recursion": (geometric, -1 / THETA**2),
    "nested": (nested, 3 * THETA**2 + 2 * THETA + 4 * THETA - 6 * THETA**2 + 1 - 2 * THETA),
}


def run(name: str, samples: int, seed: int, estimator: str = "") -> tuple[float, float]:
    """Mean gradient and its standard error."""
    torch.manual_seed(seed)
    total = squares = 0.0
    done = 0
    while done < samples:
        n = min(BLOCK, samples - done)
        theta = torch.full((n,), THETA).requires_grad_()
        surrogate = STRAIGHT[name][0](theta, n)
        (gradient,) = torch.autograd.grad(surrogate, theta, torch.ones_like(surrogate))
        total += float(gradient.sum())
        squares += float((gradient * gradient).sum())
        done += n
    mean = total / samples
    return mean, math.sqrt((squares / samples - mean * mean) / samples)
