"""How many scramblings of Sobol points are made, and of how many points."""

from __future__ import annotations

import math

LEAST_REPLICATES = 32


def replicates(samples: int, most: int) -> tuple[int, int]:
    """How many scramblings, and how many points in each: a power of two, at most `most`."""
    points = 2 ** int(math.log2(max(min(samples // LEAST_REPLICATES, most), 1)))
    return samples // points, points
