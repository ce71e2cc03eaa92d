"""What one block may spend: numbers touched, and time.

Work is counted, not timed: the lanes of every statement, the numbers of every draw and every assigned value, the entries of
every table of outcomes (before it is made).  So a bound on work stops the same attempt at the same place on every machine, and
the same seed gives the same choice.  The clock is looked at only where `--max-time` was given, and the flag that stops the
other threads of an interrupted run at every statement, so neither waits for the end of a block.
"""

from __future__ import annotations

import math
import time

from ...dsl.tables.limits import STEP
from .lessons import OutOfTime, Stopped, TooLong, TooMuchWork
from .values import Held, Value

FEW_STEPS = 2048  # in which nobody asks what they are for (less than a tenth of a second)
LARGE_PART = 0.25


class Stop:
    """A flag for all blocks of one attempt: when it is set they end at their next statement."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """End them."""
        self.is_set = True


class Meter:
    """The work of one block, and what ends it in the middle: more numbers than `most` (of each step `step` more), or the time
    (`until`: of time.monotonic()).  `ahead`: how many times as many runs are to come after these, which only tell about them."""

    def __init__(
        self, most: float = math.inf, until: float | None = None, stop: Stop | None = None, step: float = 0.0,
        ahead: float | None = None,
    ):
        self.most = most
        self.step = step
        self.steps = 0
        self.ahead = ahead
        self.pause = math.inf if ahead is None else FEW_STEPS
        self.until = math.inf if until is None else until
        self.timed = until is not None
        self.stop = stop or Stop()
        self.spent = 0

    def spend(self, numbers: int) -> None:
        """So many numbers are touched; raises TooMuchWork, TooLong, OutOfTime, Stopped."""
        self.spent += numbers
        self.steps += 1
        if self.steps > self.pause:
            self._weigh()
        self.most += self.step
        if self.spent > self.most:
            raise TooMuchWork
        if self.stop.is_set:
            raise Stopped
        if self.timed and time.monotonic() > self.until:
            raise OutOfTime

    def _weigh(self) -> None:
        """TooLong where these runs cost a large part of those to come: few do not cost less than many, where steps are the cost."""
        assert self.ahead is not None
        effort = STEP * self.steps
        if effort > LARGE_PART * (effort + self.spent * self.ahead):
            raise TooLong
        self.pause *= 2

    def take(self, value: Value) -> None:
        """A value has been made; its first number is in the statement's count."""
        if isinstance(value, Held) and value.numbers:
            self.spend(value.numbers)
