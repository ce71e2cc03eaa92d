"""How to run: what was asked for, the sizes that are fixed, and the seeds of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ...dsl.names.asked import asked
from ...dsl.names.resolved import Resolved
from ...dsl.syntax import deep_recursion
from ...dsl.tables.limits import MAX_DEPTH, MAX_ROUNDS, MAX_STEPS, lanes_of

LEAST_TIMED = 64  # runs of the first block where there may be no time for more
LEAST_BLOCK = 1024  # runs of the first block where it may be enough
KEPT_RUNS = 100_000  # gradients of single runs
WATCHED_RUNS = 16_384  # whose gradients' tails are looked at
DTYPES = {"float32": torch.float32, "float64": torch.float64}
DEPTH = 1_000_000  # of Python calls

@dataclass(frozen=True)
class Settings:
    """How to run.  `deadline`: of time.monotonic(), when to stop with what there is; `until`: when to give up in the middle
    (None: at the deadline).  `most_work`: numbers that may be touched (`meter.py`), or `width` in each step, on the average;
    `patience`: so many, where a loop promises to end within them.
    `ahead`: of so many runs to come these few are to tell, and end (TooLong) where they take a large part of their time; `telling`:
    they end (TooWide) where so many are more than a block, as each is wide.
    `block_lanes` overrides the size of blocks, `of` names variables in place of the results, `sampler` is random, sobol or single
    (of float32 in any arithmetic), `rank` and `world_size` which of how many processes this is, `compile` asks for compiled blocks
    (`compiled.py`), `logarithms` lets draws be known by those only, `strict`: the dtype was asked for, `without` names layers that
    are left out (`runtime/machine/layers.py`; for tests), `saving`: the moments are kept to be saved, `shard` (i, K): of the blocks
    only i, i + K, ... are made, from 0 on."""

    samples: int = 10_000
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    target_se: float | None = None
    deadline: float | None = None
    until: float | None = None
    most_work: int | None = None
    width: int | None = None
    patience: int = 0
    ahead: int | None = None
    telling: bool = False
    sampler: str = "random"
    rank: int = 0
    world_size: int = 1
    of: tuple[str, ...] = ()
    max_steps: int = MAX_STEPS
    max_depth: int = MAX_DEPTH
    max_lanes: int | None = None
    max_rounds: int = MAX_ROUNDS
    block_lanes: int | None = None
    keep_runs: bool = False
    compile: bool = False
    logarithms: bool = False
    strict: bool = False
    saving: bool = False
    shard: tuple[int, int] = (0, 1)
    without: frozenset[str] = frozenset()

    def lanes(self, exact: bool) -> int:
        """How many lanes enumeration may make of one run."""
        return lanes_of(self.samples, exact, self.max_lanes)


def block_seed(seed: int, number: int) -> int:
    """The seed of a block: different for all blocks of a run (torch's generator on the CPU looks at 32 bits only)."""
    mixed = (seed + 0x9E3779B97F4A7C15) % 2**64  # splitmix64 (Steele, Lea & Flood 2014)
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return ((mixed ^ (mixed >> 31)) + number * 0x9E3779B9) % 2**32


def names_of(resolved: Resolved, settings: Settings, results: bool) -> tuple[str, ...]:
    """What a run gives: the results, or the variables asked for."""
    return asked(resolved, settings.of, results).names


@contextmanager
def room(grad: bool) -> Iterator[None]:
    """The caller's grad mode and recursion limit are put back afterwards."""
    with torch.set_grad_enabled(grad), deep_recursion(DEPTH):
        yield
