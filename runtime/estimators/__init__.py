"""The gradient estimators, one file each, named as the user names them, in the order of `dsl.plan.ORDER`."""

from __future__ import annotations

from .enumerate import Enumerate
from .gumbel import Gumbel
from .request import Drawn, Estimator, Request
from .rsample import Rsample
from .sample import Sample
from .score import Score

ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator for estimator in (Sample(), Rsample(), Enumerate(), Gumbel(), Score())
}

__all__ = ["ESTIMATORS", "Drawn", "Estimator", "Request"]
