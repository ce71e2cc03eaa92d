"""What an attempt costs, and what may be spent on trials.

The time of an attempt is that of the numbers that it touches, and what Python takes for every step, however few they are: about as
much as `STEP` numbers.  Both are counted (`meter.py`) and nothing is timed, so that the same seed and options give the same
choice on every machine.  Where steps are most of the cost, as in fifty statements and a few thousand runs, a trial with few runs
takes as long as all runs do, and whoever wants a smaller error has it from more runs.  So all trials together may take a part of
what the runs take, or what is hardly noticed; the first is not counted among them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...dsl.tables.limits import STEP
from ..blocks.collect import Estimate

CALL = 20  # steps that an attempt takes beside those of its program
SHARE = 0.5  # of the effort of all runs, for trials
LEAST = 3 * 2**18  # effort that trials may take in any case (a few milliseconds)


def effort(work: float, steps: float) -> float:
    """In numbers touched."""
    return work + STEP * (steps + CALL)


@dataclass
class Budget:
    """What is known of a plan and its runs, how many are to come, and what trials have taken."""

    samples: int
    work: float = 0.0  # of one run
    steps: int = 0
    spent: float = 0.0

    def pay(self, found: Estimate) -> None:
        """Take in a trial; the first one tells what there is to spend."""
        if not self.steps:
            self.work, self.steps = found.work / max(found.samples, 1), found.steps
        else:
            self.spent += effort(found.work, found.steps)

    def affords(self, runs: int, work: float | None = None, steps: int | None = None) -> bool:
        """Whether another attempt may be made, of so many runs: like the first, or of so much work a run and so many steps."""
        whole = effort(self.samples * self.work, self.steps)
        work, steps = self.work if work is None else work, self.steps if steps is None else steps
        return self.spent + effort(runs * work, steps) <= max(SHARE * whole, LEAST)
