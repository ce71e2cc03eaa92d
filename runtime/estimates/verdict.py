"""What a search among right plans has come to: what to prefer at each site, and what was seen there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...dsl.syntax import EstimatorCall
from ..blocks.collect import Estimate

Prefer = tuple[tuple[int, EstimatorCall], ...]


@dataclass(frozen=True)
class Measured:
    """What a pilot saw of an estimator: of the gradient, the bias and its standard error, the sd of one run, and the error
    at the requested number of runs.  Of several parameters, the Euclidean norms; unbiased estimators have a bias of 0."""

    bias: float
    bias_se: float
    sd: float
    error: float

    def to_dict(self) -> dict[str, float]:
        """The JSON."""
        return {"bias": self.bias, "bias_se": self.bias_se, "sd": self.sd}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a search: what to prefer at each site, what was measured there, and the answer if it came out exact."""

    prefer: Prefer = ()
    measured: Mapping[int, Mapping[str, Measured]] = field(default_factory=dict)
    runs: int = 0
    exact: Estimate | None = None
