"""How large a block of runs is: in the cache of a CPU, or wide enough to keep a GPU busy.

A CPU is fastest while a block's values stay in its caches, and shares blocks among its cores.  A GPU is fastest on few large
operations, so a block is as large as its memory allows.  All rules depend on the program, the options and the machine only,
so that the same seed gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from ...dsl.tables.limits import LEAST_LANES, STEP
from ..lanes.counter import Counter

LEAST_APART = 2  # lanes of a block
WIDENING = 2  # how much larger blocks may be where most of their lanes are elsewhere
SHARES = 4  # blocks, at least, into which many runs are divided, for as many cores
BYTES_PER_KEPT = 64  # of a GPU's memory, for every number that a block keeps


@dataclass(frozen=True)
class Sizes:
    """`one_block`: up to so many runs are one block, if they are scalar; `first`: runs of the block that measures, of more;
    `most`: lanes of a block, and up to `whole` of them are not divided for other cores; `numbers` in its widest value; `kept` for
    the backward pass, about; below `least_of_wide` lanes blocks are made smaller only for what they keep, and where so many
    would have more than `widest` numbers in one value; `least`: lanes of a block, whatever it keeps."""

    one_block: int
    first: int
    most: int
    whole: int
    numbers: int
    kept: int
    least_of_wide: int
    widest: int
    least: int = LEAST_LANES

    def counter(self, runs: int) -> Counter:
        """What stops a first block of so many runs that is too large; the smallest is never stopped."""
        wide = self.numbers if runs > self.least_of_wide else self.widest
        return Counter(2**62, 2**62) if runs <= self.least else Counter(self.kept, wide)

    def telling(self, runs: int) -> Counter:
        """The same for runs that only tell about others, of which there may be fewer."""
        return Counter(self.kept, self.numbers)

    def shared(self, lanes: int, runs: int) -> int:
        """How many lanes a block should have of those that the program allows, for so many runs."""
        return min(lanes, max(-(-runs // SHARES), self.whole))

    def lanes(self, counter: Counter, runs: int) -> int:
        """How many lanes a block should have, from what one of so many runs has counted.

        Where an operation sees but few of the lanes on the average (a loop that they leave, branches), there may be more; and where
        all but few values are narrow (elements that are set one by one), so many that an operation is worth what Python takes.
        """
        widest, kept = max(-(-counter.widest // runs), 1), max(-(-counter.kept // runs), 1)
        most = int(self.most * min(max(runs * counter.values / max(counter.seen, 1), 1), WIDENING))
        worth = min(STEP * counter.values * runs // max(counter.seen, 1), self.kept // widest)
        least = min(self.least_of_wide, self.widest // widest)
        return max(min(most, max(self.numbers // widest, least, worth), self.kept // kept), self.least)


CPU = Sizes(one_block=16_384, first=4096, most=2**18, whole=2**16, numbers=2**19, kept=2**25, least_of_wide=256, widest=2**21)
JUMPING = replace(CPU, numbers=4 * CPU.numbers)


def apart(sizes: Sizes) -> Sizes:
    """The same where runs are not compared with each other, so that a block may have few of them."""
    return replace(sizes, least=LEAST_APART)


def sizes_for(device: torch.device, jumping: bool = False) -> Sizes:
    """The sizes that suit a device; `jumping`: roots are sought, which takes many operations for each of the program."""
    if device.type != "cuda":
        return JUMPING if jumping else CPU
    kept = torch.cuda.get_device_properties(device).total_memory // BYTES_PER_KEPT
    wide = kept // 4
    return Sizes(one_block=2**22, first=2**22, most=2**27, whole=2**27, numbers=wide, kept=kept, least_of_wide=256, widest=wide)


def places(start: int, sizes: list[int]) -> list[tuple[int, int, int]]:
    """Blocks after the first, as their numbers, the runs before them, and their sizes."""
    starts = accumulate(sizes, initial=start)
    return [(number, begin, runs) for number, (begin, runs) in enumerate(zip(starts, sizes, strict=False), start=1)]


def divided(runs: int, most: int, begin: int | None, equal: bool = False) -> list[int]:
    """Blocks of at most `most` runs, nearly equal, so that none has a single one; `equal`: all but the last two have `most`.

    `begin`: so many runs have been made, and at first each block doubles them, so that whoever looks whether it is
    enough does so after 1024, 2048, 4096, ... runs: few looks, far apart, hardly favour runs that happen to look good.
    """
    sizes = []
    while begin is not None and begin < most and runs > 2 * begin:
        sizes.append(begin)
        runs -= begin
        begin *= 2
    while equal and runs >= 2 * most:
        sizes.append(most)
        runs -= most
    while runs > 0:
        count = -(-runs // most)
        sizes.append(-(-runs // count))
        runs -= sizes[-1]
    return sizes
