"""How heavy the tail of importance weights is (Vehtari, Simpson, Gelman, Yao & Gabry 2024, "Pareto smoothed importance sampling").

A generalised Pareto distribution is fitted to the largest weights, M = min(n / 5, 3 sqrt(n)) of n.  With a shape k of at least 1/2
the variance of the weights is infinite, with k > 0.7 no number of runs that anybody makes is enough.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST = 5  # weights in the tail
PRIOR = 10  # weights that the prior of the shape, 1/2, is worth


def tail_size(runs: int) -> int:
    """How many of so many weights are in the tail."""
    return int(min(runs / 5, 3 * math.sqrt(runs)))


def shape_error(runs: int, shape: float) -> float:
    """The standard deviation of the shape that is found, about (1 + k) / sqrt(M), shrunk by the prior."""
    size = max(tail_size(runs), 1)
    return (1 + shape) * math.sqrt(size) / (size + PRIOR)


def pareto_shape(logs: Tensor) -> float:
    """The shape k of the tail, from logarithms of weights `[runs]` (minus infinity: 0); nan where there are too few, minus infinity
    where the largest ones are all the same."""
    runs = logs.shape[0]
    size = tail_size(runs)
    if size < LEAST or runs <= size:
        return math.nan
    largest = torch.topk(logs, size + 1).values
    if not bool((largest > -math.inf).all()):
        return math.inf  # hardly a run has any weight
    cut = float(largest[-1])
    apart = torch.expm1(largest[:-1] - cut).flip(0)  # in ascending order, relative to the cut
    if float(apart[-1]) <= 1e-9:
        return -math.inf
    return _fitted(apart[apart > 0])


def _fitted(sizes: Tensor) -> float:
    """Of sizes above the cut, ascending (Zhang & Stephens 2009, section 2, with the prior of Vehtari et al., appendix C)."""
    count = sizes.shape[0]
    if count < LEAST:
        return math.nan
    points = 30 + int(math.sqrt(count))
    quarter = float(sizes[max(int(count / 4 + 0.5) - 1, 0)])
    steps = torch.arange(1, points + 1, dtype=torch.float64)
    theta = 1 / float(sizes[-1]) + (1 - (points / (steps - 0.5)).sqrt()) / (3 * quarter)
    shapes = torch.log1p(-theta.unsqueeze(1) * sizes.double().unsqueeze(0)).mean(1)
    likelihood = count * (torch.log(-theta / shapes) - shapes - 1)
    likelihood = torch.where(torch.isfinite(likelihood), likelihood, -math.inf)
    best = float((torch.softmax(likelihood, 0) * theta).sum())
    shape = float(torch.log1p(-best * sizes.double()).mean())
    return (count * shape + PRIOR * 0.5) / (count + PRIOR)
