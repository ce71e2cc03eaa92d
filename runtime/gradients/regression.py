"""The regression of the scored part of a gradient on the score: a control variate, and what estimating its coefficient costs.

With S the score of a run (its mean is known to be 0) and B what it contributes to the gradient, the mean of B - c S is right for
any c that does not involve the run; the best is c = E[B S] / E[S^2] (Greensmith, Bartlett & Baxter 2004, theorem 13), taken from
the other runs.  Two things bound what it may promise.

* With few distinct values of the score the fit can go through all that were seen, and then says nothing about the others:
  `x ~ Poisson(0.01); x^4` is fitted exactly by x = 0 and x = 1, whatever x = 2 does.  So a run gets the regression only where
  the others show at least `FEW_POINTS` values, else the plain baseline.  As the run itself has no part in that, either is right.
* The mean over n runs of -(c^ - c) S has variance C / n^2, C = E[S^2 R^2] / E[S^2] + (E[S^2 R] / E[S^2])^2 with R = B - c S: of the
  second order, but all there is where R hardly varies.  With few runs, of a score with heavy tails, it is more: there the
  jackknife, with all coefficients made anew, tells.
"""

from __future__ import annotations

import torch
from torch import Tensor

FEW_POINTS = 8  # distinct values of a score
SAME = 1e-5  # of the range of a score: two values closer than that are one
NOT_ZERO = 4.0  # standard errors of the mean of a score
MOST_PAIRS = 2**20
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
    """`B - c S` of each run, with the coefficient of the others, and C `[*parameter]`."""
    square = score * score
    below = square.sum(0)
    whole = _regressed(scored, score, path)
    product = whole * score
    above = product.sum(0)
    left = scored - _ratio(above - product, below - square) * score
    rest = whole - _ratio(above, below) * score
    skewed = square * rest
    return left, _ratio((skewed * rest).sum(0), below) + _ratio(skewed.sum(0), below) ** 2


def pseudo_values(scored: Tensor, score: Tensor, path: Tensor | None) -> Tensor | None:
    """The jackknife's, up to a constant: what each run adds to the sum of the B - c S, its part in all the coefficients included.

    It goes through all pairs of runs; None where those are many numbers.
    """
    runs, shape = len(score), score.shape[1:]
    if runs * score.numel() > MOST_PAIRS:
        return None
    own, flat = (part.reshape(runs, -1).to(torch.float64) for part in (scored, score))
    whole = _regressed(own, flat, None if path is None else path.reshape(runs, -1).to(torch.float64))
    product, square = whole * flat, flat * flat
    above, below = product.sum(0) - product, square.sum(0) - square
    without = _ratio(above[:, None] - product, below[:, None] - square) * flat[:, None]  # c S of a run, the other one left out
    without.diagonal(dim1=0, dim2=1).zero_()
    found = own + without.sum(0)
    return (found if path is None else found + path.reshape(runs, -1)).reshape(runs, *shape)


def _regressed(scored: Tensor, score: Tensor, path: Tensor | None) -> Tensor:
    """What the coefficient is that of: the whole gradient, with what goes along the `path` beside the score; but the scored part
    alone where the mean of the score is not 0: then that is what rounding has left of one that is, and a ratio means nothing."""
    if path is None:
        return scored
    total = score.sum(0) ** 2
    return scored + torch.where(total > NOT_ZERO**2 * ((score * score).sum(0) - total / len(score)), 0.0, path)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)
