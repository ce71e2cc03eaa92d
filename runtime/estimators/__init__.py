"""The gradient estimators, one file each, named as the user names them, with the facts of the row of the same name."""

from __future__ import annotations

from .enumerate import Enumerate
from .gumbel import Gumbel
from .request import Drawn, Estimator, Request
from .rsample import Rsample
from .sample import Sample
from .score import Score

ESTIMATORS: dict[str, Estimator] = {
    estimator.facts.name: estimator for estimator in (Sample(), Rsample(), Enumerate(), Gumbel(), Score())
}

__all__ = ["ESTIMATORS", "Drawn", "Estimator", "Request"]
