"""The gradient estimators, one file each, named as the user names them, in the order of `dsl.plan.ORDER`."""

from __future__ import annotations

from .gumbel import Gumbel
from .request import Estimator, Request
from .rsample import Rsample
from .sample import Sample
from .score import Score

ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator for estimator in (Sample(), Rsample(), Gumbel(), Score())
}

__all__ = ["ESTIMATORS", "Estimator", "Request"]
