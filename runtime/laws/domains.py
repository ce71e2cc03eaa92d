"""What an argument of a distribution may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...dsl.tables.distributions import DistributionRow, Domain
from ..arrays.private import observed
from ..arrays.scalars import Ends, ends

# of every domain the bounds, each with whether it is allowed itself, and whether only whole numbers are
_ENTRIES: dict[Domain, tuple[float, bool, float, bool, bool]] = {
    Domain.REAL: (-math.inf, False, math.inf, False, False),
    Domain.EXTENDED: (-math.inf, True, math.inf, True, False),
    Domain.POSITIVE: (0.0, False, math.inf, False, False),
    Domain.NONNEGATIVE: (0.0, True, math.inf, False, False),
    Domain.UNIT: (0.0, True, 1.0, True, False),
    Domain.UNIT_OPEN: (0.0, False, 1.0, False, False),
    Domain.UNIT_ABOVE_ZERO: (0.0, False, 1.0, True, False),
    Domain.UNIT_BELOW_ONE: (0.0, True, 1.0, False, False),
    Domain.INTEGER: (-math.inf, False, math.inf, False, True),
    Domain.COUNT: (0.0, True, math.inf, False, True),
    Domain.SIZE: (1.0, True, math.inf, False, True),
    Domain.PROBABILITIES: (0.0, True, math.inf, False, False),
    Domain.LOGITS: (-math.inf, True, math.inf, False, False),
    Domain.SIMPLEX_POSITIVE: (0.0, False, math.inf, False, False),
    Domain.LOWER_CHOLESKY: (-math.inf, False, math.inf, False, False),
    Domain.POSITIVE_DEFINITE: (-math.inf, False, math.inf, False, False),
}


def violation(domain: Domain, tensor: Tensor, event: int, found: Ends | None = None) -> Tensor | None:
    """Which `[L or 1, *batch]` lie outside the domain (a nan does), None where none does.

    `tensor` is `[L or 1, *batch, *event axes]`; its ends may have been `found` already.  One pass over memory where all is well.
    """
    value = tensor.detach()
    if value.numel() == 0:
        return None
    *_, only_whole = _ENTRIES[domain]
    if found is None and observed():
        least, most = value.aminmax()
        fine = bool(_between(least, domain) & _between(most, domain))
    else:
        fine = all(_between(end, domain) for end in (ends(value) if found is None else found))
    bad = None
    if not (fine and (not only_whole or bool((value == value.floor()).all()))):
        good = _between(value, domain)
        bad = ~(good & (value == value.floor())) if only_whole else ~good
        for _ in range(event):
            bad = bad.any(-1)
    together = _TOGETHER.get(domain)
    if together is None:
        return bad
    bad = ~together(value) if bad is None else bad | ~together(torch.nan_to_num(value))
    return bad if bool(bad.any()) else None


def _between(value: Any, domain: Domain) -> Any:
    """Which entries of a tensor, or whether a number, lie between the bounds, each of which may be allowed itself."""
    low, low_allowed, high, high_allowed, _ = _ENTRIES[domain]
    return (value >= low if low_allowed else value > low) & (value <= high if high_allowed else value < high)


def order_violation(row: DistributionRow, arguments: dict[str, Tensor]) -> Tensor | None:
    """Where the pair `row.ordered` is in the wrong order, `[L or 1, *batch]`; None: nowhere."""
    if row.ordered is None:
        return None
    first, second = (arguments[name].detach() for name in row.ordered)
    bad = ~(first <= second if row.discrete else first < second)
    if row.amid:
        middle = arguments[row.amid].detach()
        bad = bad | ~((first < middle) & (middle < second))
    return bad if bool(bad.any()) else None


def _weights(value: Tensor) -> Tensor:
    return value.amax(-1) > 0


def _log_weights(value: Tensor) -> Tensor:
    return value.amax(-1) > -math.inf


def _simplex(value: Tensor) -> Tensor:
    return (value.sum(-1) - 1).abs() <= 16 * torch.finfo(value.dtype).eps * value.shape[-1]


def _lower_cholesky(value: Tensor) -> Tensor:
    return (value.triu(1) == 0).flatten(-2).all(-1) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


def _positive_definite(value: Tensor) -> Tensor:
    scale = value.abs().flatten(-2).amax(-1)[..., None, None]
    symmetric = ((value - value.mT).abs() <= 1e-5 * scale).flatten(-2).all(-1)
    factor, info = torch.linalg.cholesky_ex(value)
    definite: Tensor = (info == 0) & torch.isfinite(factor).flatten(-2).all(-1)
    return symmetric & definite


# ---------------------------------------------------------------------------------------------------- domains
# Domains of one entry: bounds, whether each belongs to it, whether only whole numbers do.


_TOGETHER: dict[Domain, Callable[[Tensor], Tensor]] = {
    Domain.PROBABILITIES: _weights,
    Domain.LOGITS: _log_weights,
    Domain.SIMPLEX_POSITIVE: _simplex,
    Domain.LOWER_CHOLESKY: _lower_cholesky,
    Domain.POSITIVE_DEFINITE: _positive_definite,
}
