"""What a mean baseline costs where single runs hardly differ.

Let Q be what is at stake for a group of scores and S their sum, G all else.  With the mean of the others as baseline the
gradient is the mean of G plus the sample covariances of Q and S.  Its terms of first order, G + (Q - EQ) S, may be the same
whatever is drawn: of `b ~ Bernoulli(0.5); return b`, and of `b ~ Bernoulli(p); return c(theta, b)` wherever c happens to balance
the two outcomes.  What is left is of the second order: of several groups, its variance is C / n^2 with
    C = sum over g, h of cov(Q_g, Q_h) cov(S_g, S_h) + cov(Q_g, S_h) cov(Q_h, S_g).
The first part is in the spread of single runs, which have the estimated mean of Q in them; the second is not, and is added here
(of a fair coin the first is u^2 and the error 1 - u^2, u normal).  It takes the scores by themselves, one more pass per group, so
it is looked for only where it can matter: where the first runs differ by little beside their mean, as the terms of second order do,
or of few groups take but a few values, so that parts of the mean may cancel.  (A continuous draw makes runs differ.)  Of very many
groups it is taken as that of one, the gradient squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..arrays.private import observed

LOOKED_AT = 64  # runs
FEW_VALUES = 8  # of a gradient among them: what a few bits give
FEW_GROUPS = 4
MOST_GROUPS = 64
SAME = 1e-5  # of their range: two values closer than that are one
LITTLE = 20.0  # over the root of the number of runs: a range, beside the mean, at which the second order may count


def suspected(rows: Sequence[Tensor | None], runs: int, groups: int) -> bool:
    """Whether the terms of second order may count in some entry of gradients `[runs, *parameter]`."""
    little = LITTLE / math.sqrt(runs)
    for row in rows:
        if row is None:
            continue
        if row.dim() == 1 and not observed():
            if _close(sorted(row[:LOOKED_AT].tolist()), little, groups <= FEW_GROUPS):
                return True
            continue
        values = row[:LOOKED_AT].detach().sort(0).values
        reach = values[-1] - values[0]
        found = reach < little * values.mean(0).abs()
        if groups <= FEW_GROUPS:
            found = found | ((values[1:] - values[:-1] > SAME * reach).sum(0) < FEW_VALUES)
        if bool(found.any()):
            return True
    return False


def _close(values: list[float], little: float, few: bool) -> bool:
    """The same of the values of one entry, in order, without the cost of torch; `few`: a few values count."""
    reach = values[-1] - values[0]
    if reach < little * abs(sum(values)) / len(values):
        return True
    return few and sum(other - one > SAME * reach for one, other in pairwise(values)) < FEW_VALUES


def second_order(stakes: Sequence[Tensor], scores: Sequence[Tensor]) -> Tensor:
    """The second part of C `[*parameter]`, of groups with these Q `[runs]` and S `[runs, *parameter]`."""
    shape, runs = scores[0].shape[1:], scores[0].shape[0]
    q = torch.stack([stake - stake.mean() for stake in stakes]).to(torch.float64)
    s = torch.stack([score - score.mean(0) for score in scores]).to(torch.float64).reshape(len(scores), runs, -1)
    both = torch.einsum("gn,hnp->ghp", q, s) / runs
    return (both * both.transpose(0, 1)).sum((0, 1)).clamp_min(0.0).reshape(shape)
