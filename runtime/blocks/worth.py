"""What runs that have weights are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .moments import Moments


@dataclass(frozen=True)
class Weights:
    """Of runs that have weights w: the `evidence` log E[w] and its derivative by parameter (`gradient`), the `effective` sample
    size (sum w)^2 / sum w^2 (inf: it is exact), the `shape` k of a Pareto tail (`pareto.py`; nan: not known), the `worst`
    shape of theirs and of those of weighed results, and the derivatives that bend within the noise, by result and parameter
    (`bent`)."""

    evidence: Moments
    gradient: dict[str, Moments]
    effective: float
    shape: float
    worst: float = math.nan
    bent: tuple[tuple[str, str], ...] = ()
