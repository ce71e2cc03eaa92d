"""Right plans that contradict each other: their gradients differ by more than chance.

`x / (abs(x) + 1e-8)` is smooth by its text, and so both the pathwise derivative and the score are right.  But the one lies in a few
runs out of 10^8, and all others show 0 with hardly any spread.  A spread tells nothing of what was not drawn, so that the plan with
the smaller one is not the better one where two disagree: the one that has seen more is.  A plan that enumerates has seen what
another one must draw; else it is the one that does not rest on a few runs, or the one with the larger spread.

While plans are chosen, a difference that is unlikely makes the pilot look again, with more runs, and one beyond chance sets one of
the two aside (`figures.py`).  The gradient that comes out is held against the others (`contradictions.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.planning.trials import Prefer

UNLIKELY, STRANGE, CHANCE, IMPOSSIBLE = 2.0, 3.0, 4.0, 5.0  # standard errors of one difference, were it normal
ROUNDING = 2e-5  # of a gradient's size


@dataclass(frozen=True)
class Rival:
    """A right plan that a pilot has run: per entry of the gradient the mean and the variance of it."""

    label: str
    prefer: Prefer
    mean: Tensor
    variance: Tensor
    runs: int


@dataclass(frozen=True)
class Contradiction:
    """Where a gradient cannot be reconciled with another right plan: what `runs` of that one gave, and how far away it is."""

    place: tuple[str, str]  # result and parameter
    label: str
    runs: int
    mean: float
    se: float
    z: float


def limit(sigmas: float, entries: int, runs: int) -> float:
    """How many standard errors the largest of so many differences may have: as unlikely as `sigmas` of one, for Student's t with
    the variance of so few runs (Abramowitz & Stegun 26.7.5)."""
    tail = torch.special.erfc(torch.tensor(sigmas / math.sqrt(2), dtype=torch.float64)) / 2 / max(entries, 1)
    normal = -float(torch.special.ndtri(tail))
    return normal + (normal**3 + normal) / (4 * max(runs - 1, 1))


def apart(mean: Tensor, variance: Tensor, other: Tensor, other_variance: Tensor) -> Tensor:
    """By how many standard errors two gradients differ, entry by entry."""
    rounding = ROUNDING * torch.maximum(mean.abs(), other.abs())
    return (mean - other) / (variance + other_variance + rounding**2 + 1e-300).sqrt()
