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

ENOUGH_ROUNDS = 4  # that tell how a loop goes on
GRACE = 2**23  # numbers that may be touched until so many are over (about half a second)
FEW_STEPS = 2048  # in which nobody asks what they are for (less than a tenth of a second)
LARGE_PART = 0.25
MOST_POWER = 20.0  # by which rounds may grow


class Stop:
    """A flag for all blocks of one attempt: when it is set they end at their next statement."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """End them."""
        self.is_set = True


class Outlook:
    """What a loop of so many rounds will have touched at its end, judged by the rounds that are over; `room`: lanes that there may
    be."""

    def __init__(self, rounds: int, spent: int, room: float):
        self.rounds = rounds
        self.room = room
        self.spent = [spent]  # at the beginning, and after each round
        self.widest = [1]  # lanes, at most, in each round, and in the one that has begun

    def see(self, lanes: int) -> None:
        """So many there are now."""
        self.widest[-1] = max(self.widest[-1], lanes)

    @property
    def over(self) -> int:
        """How many rounds are over."""
        return len(self.spent) - 1

    @property
    def foreseen(self) -> float:
        """All numbers, if the rounds go on to grow by the power of their number by which the last one has grown; infinite, if there
        is no room for their lanes."""
        left: float = self.rounds / self.over
        last, before = (self.spent[place] - self.spent[place - 1] for place in (-1, -2))
        power, widens = (min(self._power(*pair), MOST_POWER) for pair in ((last, before), self.widest[-2:-4:-1]))
        if power == MOST_POWER or self.widest[-2] * left**widens > self.room:
            return math.inf
        ahead = left ** (power + 1) - 1  # of the sum of all rounds, in place of which stands an integral
        return float(self.spent[-1] + last * self.over / (power + 1) * ahead)

    def _power(self, last: int, before: int) -> float:
        grown = max(last, 1) / max(before, 1)
        return max(math.log(grown) / math.log(self.over / (self.over - 1)), 0.0)


class Meter:
    """The work of one block, and what ends it in the middle: more numbers than `most` (of each step `step` more), or the time
    (`until`: of time.monotonic()).  `ahead`: how many times as many runs are to come after these, which only tell about them.
    `patience`: numbers that may be touched all the same, if a loop of the program promises to end within them."""

    def __init__(
        self, most: float = math.inf, until: float | None = None, stop: Stop | None = None, step: float = 0.0,
        ahead: float | None = None, patience: float = 0.0, room: float = math.inf,
    ):
        self.most = most
        self.patience = patience
        self.room = room
        self.outlook: Outlook | None = None
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
            self._wait()
        if self.stop.is_set:
            raise Stopped
        if self.timed and time.monotonic() > self.until:
            raise OutOfTime

    def busy(self, steps: int) -> None:
        """What is done takes as long as so many steps more."""
        self.steps += steps

    def watch(self, rounds: int) -> bool:
        """A loop of so many rounds begins; whether it is to be told of each (`over`)."""
        if not self.patience or self.outlook is not None:
            return False
        self.outlook = Outlook(rounds, self.spent, self.room)
        return True

    def over(self, last: bool) -> None:
        """A round of that loop is over."""
        assert self.outlook is not None
        self.outlook.spent.append(self.spent)
        self.outlook.widest.append(1)
        if last:
            self.outlook = None

    def _wait(self) -> None:
        """Go on all the same where the loop is as good as done, or has hardly begun; raises TooMuchWork."""
        if self.outlook is None or self.most >= self.patience:
            raise TooMuchWork
        if self.outlook.over < ENOUGH_ROUNDS:
            if self.spent >= min(GRACE, self.patience):
                raise TooMuchWork
            return
        foreseen = self.outlook.foreseen
        if foreseen > self.patience:
            raise TooMuchWork(foreseen)
        self.most = self.patience

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
