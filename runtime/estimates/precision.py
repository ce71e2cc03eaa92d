"""Whether float32 keeps the digits of an answer: a few runs in float32 and in float64 with the same random numbers.

A loop of 20,000 sums, a large offset, a product of many factors, a long backward pass: what rounding does to an answer depends on
the whole program and its values, so it is measured and not bounded.  The difference of the two arithmetics, run by run, shows
it without the noise of sampling.  Where it moves a mean by more than a hundredth of the standard error that the runs asked for
will have (by 10^-6 of itself, where nothing is random), or blurs most runs, the runs are made in float64.  What was found is
kept with the program, as long as parameters and data keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...dsl.names.resolved import Resolved
from ..blocks.collect import Estimate
from ..blocks.settings import Settings
from ..lanes.lanes import Value

RUNS = 64
SHARE = 0.01  # of a standard error, or of the spread of a run
RELATIVE = 1e-6  # of an answer that is the same in all runs
RANDOM = 1e-12  # of an answer: a spread above this is no rounding of float64
SURE = 4.0  # standard errors
STEPS = 4  # a number that changes by less than the STEPS-th part of a doubling has kept its size

Few = Callable[[Settings], Estimate | None]  # makes a few runs; None where something else comes first


@dataclass(frozen=True)
class Precision:
    """What is known of a program about the arithmetic that it needs."""

    resolved: Resolved
    settings: Settings

    def rounded(self, key: Hashable, values: Mapping[str, Tensor], data: Mapping[str, Value], few: Few) -> bool:
        """Whether float32 rounds too much here; `key`: what else it depends on."""
        settings = self.settings
        if settings.dtype != "float32":
            return False
        runs = round(math.log2(settings.samples))
        place = "rounded", key, runs, settings.target_se, *_sizes(values), *_sizes(data)
        memory = self.resolved.memory
        if place not in memory:
            found = self._measure(few)
            if found is None:
                return False
            memory[place] = found
        return bool(memory[place])

    def _measure(self, few: Few) -> bool | None:
        """A first suspicion may be a branch that a rounding has turned: it must be confirmed."""
        asked = self.settings
        for number in range(2):
            settings = replace(
                asked, samples=max(2, min(RUNS, asked.samples)), seed=(asked.seed + 7919 * (number + 1)) % 2**63, keep_runs=True,
                sampler="common", target_se=None, compile=False, rank=0, world_size=1, block_lanes=None,
            )
            pair = [few(replace(settings, dtype=dtype)) for dtype in ("float32", "float64")]
            coarse, fine = pair
            if coarse is None or fine is None or coarse.interrupted or fine.interrupted:
                return None
            columns = list(zip(_columns(coarse), _columns(fine), strict=True))
            if any(one.shape != other.shape for one, other in columns):
                return True
            if not any(_differ(one, other, asked) for one, other in columns):
                return False
        return True


def _columns(estimate: Estimate) -> Iterator[Tensor]:
    """Results and gradients of single runs `[runs, *]`."""
    yield from estimate.draws.values()
    for rows in estimate.per_run.values():
        yield from rows.values()


def _differ(coarse: Tensor, fine: Tensor, asked: Settings) -> bool:
    """Whether the difference of two arithmetics can be seen in the mean of all runs, or in most single ones."""
    one, other = (part.detach().reshape(part.shape[0], -1).double().cpu() for part in (coarse, fine))
    error, size = one - other, other.mean(0).abs()
    if not bool((error != 0).any()):
        return False
    runs = error.shape[0]
    spread, noise = (part.std(0) if runs > 1 else torch.zeros_like(size) for part in (other, error))
    random = spread > RANDOM * size
    se = (spread / math.sqrt(asked.samples)).clamp_min(asked.target_se or 0.0)
    bias = error.mean(0).abs()
    shifted = (bias > torch.where(random, SHARE * se, RELATIVE * size)) & (bias > SURE * noise / math.sqrt(runs))
    blurred = random & (error.abs().median(0).values > SHARE * spread)
    return bool((shifted | blurred).any())


def _sizes(values: Mapping[str, Value]) -> Iterator[Hashable]:
    """How large numbers are, roughly."""
    for name, value in values.items():
        if isinstance(value, Tensor):
            flat = value.detach().reshape(-1).float()
            numbers = [float(flat.abs().max()), float(flat.sum())] if flat.numel() > 1 else flat.tolist()
            yield name, value.shape, *map(_size, numbers)
        elif isinstance(value, float | int):
            yield name, _size(float(value))


def _size(number: float) -> tuple[bool, float]:
    if number == 0 or not math.isfinite(number):
        return number > 0, number
    return number > 0, float(round(STEPS * math.log2(abs(number))))
