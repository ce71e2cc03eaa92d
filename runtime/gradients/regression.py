"""The regression of the scored part of a gradient on the score: a control variate, and what estimating its coefficient costs.

With S the score of a run (its mean is known to be 0) and B what it contributes to the gradient, the mean of B - c S is right for
any c that does not involve the run; the best is c = E[B S] / E[S^2] (Greensmith, Bartlett & Baxter 2004, theorem 13), taken from
the other runs.  Two things bound what it may promise.

* With few distinct values of the score the fit can go through all that were seen, and then says nothing about the others:
  `x ~ Poisson(0.01); x^4` is fitted exactly by x = 0 and x = 1, whatever x = 2 does.  So a run gets the regression only where
  the others show at least `FEW_POINTS` values, else the plain baseline.  As the run itself has no part in that, either is right.
* The mean over n runs of -(c^ - c) S has variance C / n^2, C = E[S^2 R^2] / E[S^2] + (E[S^2 R] / E[S^2])^2 with R = B - c S: of the
  second order, but all there is where R hardly varies.
"""

from __future__ import annotations

import torch
from torch import Tensor

FEW_POINTS = 8  # distinct values of a score
SAME = 1e-5  # of the range of a score: two values closer than that are one
NOT_ZERO = 4.0  # standard errors of the mean of a score
LOOKED_AT = 64  # runs, which are often enough to tell


def trusted(score: Tensor) -> Tensor | None:
    """For each run and entry, whether the other runs show enough values of the score `[runs, *parameter]`; None: all do."""
    if bool((_seen(score[:LOOKED_AT])[0].amin(0) >= FEW_POINTS).all()):
        return None
    seen, order = _seen(score)
    return torch.empty_like(seen, dtype=torch.bool).scatter_(0, order, seen >= FEW_POINTS)


def _seen(score: Tensor) -> tuple[Tensor, Tensor]:
    """How many values of the score the others show, for the runs in order of their own, and that order."""
    values, order = score.sort(0)
    apart = values[1:] - values[:-1] > SAME * (values[-1] - values[0])
    edge = torch.ones_like(apart[:1]) if len(apart) else torch.ones_like(values[:1], dtype=torch.bool)
    first, last = torch.cat([edge, apart]), torch.cat([apart, edge])
    return first.sum(0) - (first & last).long(), order


def taken_off(scored: Tensor, score: Tensor, path: Tensor | None) -> tuple[Tensor, Tensor]:
    """`B - c S` of each run, with the coefficient of the others, and C `[*parameter]`.

    The coefficient is that of the whole gradient, with what goes along the `path` beside the score; but of the scored part alone
    where the mean of the score is not 0: then it is what rounding has left of one that is, and a ratio to it means nothing.
    """
    square = score * score
    below = square.sum(0)
    whole = scored
    if path is not None:
        noise = score.sum(0) ** 2 > NOT_ZERO**2 * (below - score.sum(0) ** 2 / len(score))
        whole = scored + torch.where(noise, 0.0, path)
    product = whole * score
    above = product.sum(0)
    left = scored - _ratio(above - product, below - square) * score
    rest = whole - _ratio(above, below) * score
    skewed = square * rest
    return left, _ratio((skewed * rest).sum(0), below) + _ratio(skewed.sum(0), below) ** 2


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)
