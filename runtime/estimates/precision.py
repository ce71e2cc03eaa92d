"""Whether float32 keeps the digits of an answer: a few runs in float32 and in float64 with the same random numbers.

A loop of 20,000 sums, a large offset, a product of many factors, a long backward pass: what rounding does to an answer depends on
the whole program and its values, so it is measured and not bounded.  The difference of the two arithmetics, run by run, shows
it without the noise of sampling.  Where it moves a mean by more than a hundredth of the standard error that the runs asked for
will have (by 10^-6 of itself, where nothing is random), or blurs most runs, the runs are made in float64.  What was found is
kept with the plan, as long as parameters and data keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..blocks.collect import Estimate
from ..blocks.settings import Settings
from ..lanes.lanes import Value

LEAST_RUNS, RUNS = 16, 64
SHARE = 0.01  # of a standard error
BLURRED = 0.1  # of the spread of a run
RELATIVE = 1e-6  # of an answer that is the same in all runs
RANDOM = 1e-12  # of an answer: a spread above this is no rounding of float64
SURE = 4.0  # standard errors
MOST = 1024  # answers that are kept

Few = Callable[[Settings], Estimate | None]  # makes a few runs; None where something else comes first


@dataclass(frozen=True)
class Precision:
    """What is known of a program, or of a plan, about the arithmetic that it needs; `memory` is theirs."""

    memory: dict[Any, Any]
    settings: Settings

    def rounded(self, values: Mapping[str, Tensor], data: Mapping[str, Value], few: Few) -> bool:
        """Whether float32 rounds too much here."""
        settings = self.settings
        if settings.dtype != "float32":
            return False
        known = self.memory.setdefault("rounded", {})
        place = settings.of, settings.samples.bit_length(), settings.target_se, *_sizes(values), *_sizes(data)
        if place not in known:
            found = self._measure(few)
            if found is None:
                return False
            if len(known) >= MOST:
                known.clear()
            known[place] = found
        return bool(known[place])

    def _measure(self, few: Few) -> bool | None:
        """A first suspicion may be a branch that a rounding has turned: it must be confirmed."""
        asked = self.settings
        for number in range(2):
            settings = replace(
                asked, samples=max(LEAST_RUNS, min(RUNS, asked.samples)), seed=(asked.seed + 7919 * (number + 1)) % 2**63,
                keep_runs=True, sampler="single", target_se=None, compile=False, rank=0, world_size=1, block_lanes=None,
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
    blurred = random & (error.abs().median(0).values > BLURRED * spread)
    return bool((shifted | blurred).any())


def _sizes(values: Mapping[str, Value]) -> Iterator[Hashable]:
    """How large numbers are, roughly."""
    for value in values.values():
        if not isinstance(value, Tensor):
            yield _size(value) if isinstance(value, float | int) else None
        elif value.numel() == 1:
            yield _size(value.item())
        elif value.numel():
            flat = value.detach()
            yield value.shape, _size(float(flat.abs().max())), _size(float(flat.sum()))


def _size(number: float) -> tuple[int, float]:
    """The exponent, and the first bits with the sign."""
    part, exponent = math.frexp(number)
    return exponent, part * 8 // 1
