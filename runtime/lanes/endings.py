"""What is left out of an exact answer: the rest of a loop, or of a support, that has no end.

Where all outcomes are enumerated, a `while` that ends with probability 1 has lanes left after any number of rounds, and a Poisson
draw has outcomes without end.  They are left out where their probability is below `LEFT_OUT`, but never the first `LEAST_KEPT`
of them: what is improbable may be what moves with a parameter (P(n = 1) = l of Poisson(l), at l = 1e-20).

Whether that was right is judged at the end, from what was kept: lanes remember (`AGE`) whether they come from the last part of what
was kept, or from the part before.  What these contribute to the results and to their derivatives must shrink from the one to the
other, and then the rest is bounded by the geometric series (`runtime/gradients/remainder.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...dsl.tables.limits import LEAST_KEPT
from ...dsl.text.source import Span
from .frames import Frame
from .values import PerLane, Uniform

AGE = "\1age"  # a variable of the program, of which no text knows: 1 in the part before the last, 2 in the last
LEFT_OUT = 1e-16  # probability of what is left out of a loop,
FEWER = 1e-30  # and of a support, where keeping more costs little
TAIL = 1e-4  # the tail begins where no more probability is left than this:
LATER, LAST = 0.5, 0.75  # parts of it after which lanes are of age 1 and 2
FAR = 64  # times the rounds in which lanes are split without a forecast: the most that are made until the rest is negligible


@dataclass(frozen=True)
class Cut:
    """A place where something was left out: the rounds or outcomes that were kept, and the probability of the `rest` (`mass`: with
    its derivative); `site` is where lanes were split last."""

    span: Span
    site: int
    what: str  # "rounds", "outcomes"
    kept: int
    rest: float
    mass: Tensor | None = None

    def told(self, name: str, line: int) -> str:
        """The same in words; `name` is that of the distribution."""
        rounds = self.what == "rounds"
        how = f"left after {self.kept} rounds" if rounds else f"cut after {self.kept} outcomes"
        return f"{'loop' if rounds else name} at line {line} {how}, at a remaining probability of {self.rest:.0e}"


@dataclass
class Ending:
    """Of one loop: when what is left of it is negligible, and when it is plain that this takes too long (`hopeless`)."""

    runs: int
    first: int  # rounds without a forecast
    seen: tuple[int, float] | None = None
    hopeless: bool = False
    left: float = 1.0
    tail: int = 0  # the round in which the tail began

    def negligible(self, loop: Frame, rounds: int) -> bool:
        """Whether the lanes that are left after so many rounds may be left out."""
        if loop.weight is None:
            return False
        self.left = float(loop.weight.detach().sum()) / self.runs
        if self.left >= TAIL:
            self.tail = rounds + 1
        if rounds < LEAST_KEPT or self.left < LEFT_OUT:
            return rounds >= LEAST_KEPT
        if self.seen is None:
            self.seen = rounds, self.left
        elif rounds >= max(self.first, 2 * self.seen[0]):
            before, then = self.seen
            self.seen = rounds, self.left
            shrinks = self.left < then
            rate = (self.left / then) ** (1 / (rounds - before)) if shrinks else 1.0
            self.hopeless = not shrinks or rate ** max(FAR * self.first - rounds, 0) * self.left > LEFT_OUT
        return False

    def date(self, gone: Sequence[tuple[int, Frame]], rounds: int) -> None:
        """Let the lanes that have left a loop of so many rounds remember when, if that was late."""
        for left, frame in gone:
            part = (left - self.tail) / max(rounds - self.tail, 1)
            age = 2.0 if part >= LAST else 1.0 if part >= LATER else 0.0
            if age and frame.weight is not None:
                grow(frame, PerLane(frame.weight.detach().new_full((frame.lanes.count,), age)))


def grow(frame: Frame, age: PerLane) -> None:
    """The age of a frame's lanes is at least this."""
    before = frame.read(AGE)
    if isinstance(before, PerLane):
        age = PerLane(before.raw.maximum(age.raw))
    frame.write(AGE, age)


def young(frame: Frame) -> None:
    """At the start of a program nothing is old."""
    frame.write(AGE, Uniform(0.0))
