"""Whether float32 keeps the digits of an answer: a few runs in float32 and in float64 with the same random numbers.

A loop of 20,000 sums, a large offset, a product of many factors, a long backward pass: what rounding does to an answer depends on
the whole program and its values, so it is measured and not bounded.  The difference of the two arithmetics, run by run, shows
it without the noise of sampling.  Where it moves a mean by more than a hundredth of the standard error that the runs asked for
will have (by 10^-6 of itself, where nothing is random), blurs most runs, or is all the spread there is, the runs are made in
float64.  What was found is
kept with the plan, as long as parameters and data keep their size.

Where steps are the cost and not numbers, as in a loop of a thousand rounds and a few thousand runs, sixty-four runs take as long as
all of them, and float64 takes no longer than float32: then nothing is measured, and all runs are made in float64.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...dsl.names.prepared import Prepared
from ..arrays.operations import Operand
from ..arrays.scalars import ends
from ..blocks.collect import Estimate
from ..blocks.settings import Settings
from ..lanes.lessons import TooLong, TooWide

LEAST_RUNS, RUNS, MANY_RUNS = 16, 64, 4096
WIDE_RUNS = 3  # where a single run is wide: about a tenth of the work of a hundred
SHARE = 0.01  # of a standard error
BLURRED = 0.1  # of the spread of a run
RELATIVE = 1e-6  # of an answer that is the same in all runs
RANDOM = 1e-12  # of an answer: a spread above this is no rounding of float64
VISIBLE = 1e-3  # of a number of a single run
SURE = 4.0  # standard errors
MOST = 1024  # answers that are kept
SHARE_OF_TIME = 0.1  # of what is left, for each of the two

Few = Callable[[Settings], Estimate | None]  # makes a few runs; None where something else comes first


@dataclass(frozen=True)
class Precision:
    """What is known of a program, or of a plan, about the arithmetic that it needs."""

    prepared: Prepared
    token: Hashable  # of the plan
    settings: Settings

    def rounded(self, values: Mapping[str, Tensor], data: Mapping[str, Operand], few: Few) -> bool:
        """Whether float32 rounds too much here."""
        return self.settings.dtype == "float32" and self._found("rounded", values, data, few, self._rounds)

    def sunk(self, values: Mapping[str, Tensor], data: Mapping[str, Operand], few: Few) -> bool:
        """Whether something depends on draws that are known by their logarithms only (`log_space.py`): they are held by the
        last numbers before 0 and 1, which are others in float32 and float64, and nobody may see which."""
        return self._found("sunk", values, data, few, self._sees)

    def _found(
        self, what: str, values: Mapping[str, Tensor], data: Mapping[str, Operand], few: Few, measure: Callable[[Few], bool | None]
    ) -> bool:
        """What was measured for numbers of this size."""
        settings = self.settings
        known: dict[Hashable, bool] = self.prepared.once(what, self.token, dict)
        place = settings.of, settings.samples.bit_length(), settings.target_se, *sizes_of(values), *sizes_of(data)
        found = known.get(place)
        if found is None:
            found = measure(few)
            if found is None:
                return False
            if len(known) >= MOST:
                known.clear()
            known[place] = found
        return found

    def _pair(self, few: Few, runs: int, number: int, ahead: int | None = None) -> list[tuple[Tensor, Tensor]] | None:
        """Results and gradients of the same runs in float32 and float64; None where there are none."""
        late = self.settings.deadline
        until = self.settings.until if late is None else time.monotonic() + SHARE_OF_TIME * (late - time.monotonic())
        settings = replace(
            self.settings, until=until, samples=runs, seed=(self.settings.seed + 7919 * (number + 1)) % 2**63,
            keep_runs=True, sampler="single", target_se=None, compile=False, rank=0, world_size=1, block_lanes=None,
            saving=False, shard=(0, 1),
            ahead=ahead, telling=runs > WIDE_RUNS,
        )
        coarse, fine = (few(replace(settings, dtype=dtype)) for dtype in ("float32", "float64"))
        if coarse is None or fine is None or coarse.samples < runs or fine.samples < runs:
            return None
        return [(one, other) for one, other in zip(_columns(coarse), _columns(fine), strict=True)]

    def _rounds(self, few: Few) -> bool | None:
        """A first suspicion may be a branch that a rounding has turned: it must be confirmed.  Yes, where to measure takes too
        long, unless it is to be measured whatever it takes."""
        measured = self.settings.strict or self.settings.compile
        for number in range(2):
            ahead = None if measured else self.settings.samples
            try:
                pair = self._pair(few, max(LEAST_RUNS, min(RUNS, self.settings.samples)), number, ahead)
            except TooWide:
                pair = self._pair(few, WIDE_RUNS, number, ahead)
            except TooLong:
                return True
            if pair is None:
                return None
            if not any(one.shape != other.shape or _differ(one, other, self.settings) for one, other in pair):
                return False
        return True

    def _sees(self, few: Few) -> bool | None:
        """Whether any run does; also where it cannot be told."""
        pair = self._pair(few, MANY_RUNS, 0)
        return pair is None or any(one.shape != other.shape or _seen(one, other) for one, other in pair)


def _columns(estimate: Estimate) -> Iterator[Tensor]:
    """Results and gradients of single runs `[runs, *]`."""
    yield from estimate.draws.values()
    for rows in estimate.per_run.values():
        yield from rows.values()


def _flat(*tensors: Tensor) -> Iterator[Tensor]:
    """`[runs, entries]` in float64."""
    return (tensor.detach().reshape(tensor.shape[0], -1).double().cpu() for tensor in tensors)


def _seen(coarse: Tensor, fine: Tensor) -> bool:
    """Whether the difference of two arithmetics is more than rounding in a single run."""
    one, other = _flat(coarse, fine)
    size = other.abs()
    return bool(((one - other).abs() > VISIBLE * (size + size.mean(0))).any())


def _differ(coarse: Tensor, fine: Tensor, asked: Settings) -> bool:
    """Whether the difference of two arithmetics can be seen in the mean of all runs, or in most single ones."""
    one, other = _flat(coarse, fine)
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
    unsteady = ~random & (noise > 0)  # all spread is of rounding, and its standard error tells nothing
    return bool((shifted | blurred | unsteady).any())


def sizes_of(values: Mapping[str, Operand]) -> Iterator[Hashable]:
    """How large numbers are, roughly: the arithmetic that they need is measured once for all of the same size."""
    for value in values.values():
        if not isinstance(value, Tensor):
            yield _size(value) if isinstance(value, float | int) else None
        elif value.numel() == 1:
            yield _size(value.item())
        elif value.numel():
            least, most = ends(value)
            yield value.shape, _size(max(-least, most)), _size(float(value.detach().sum()))


def _size(number: float) -> tuple[int, float]:
    """The exponent, and the first bits with the sign."""
    part, exponent = math.frexp(number)
    return exponent, part * 8 // 1
