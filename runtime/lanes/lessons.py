"""Why an attempt is given up, and what the next one must know: raised where it is found, caught by whoever begins again."""

from __future__ import annotations

from ...dsl.text.diagnostics import ProbError


class GuardBroken(Exception):
    """An assumption of the plan failed in a run; `place` is the id of the guarded node."""

    def __init__(self, place: int):
        self.place = place
        super().__init__("an assumption of the plan failed")


class TooManyLanes(Exception):
    """Enumerating the outcomes of a site (its index in the program) takes more lanes per run than allowed."""

    def __init__(self, index: int):
        self.index = index
        super().__init__(f"site {index}")


class TooCoarse(Exception):
    """Numbers of float32 are too far apart for what is drawn: go on in float64."""


class TooSmall(Exception):
    """Draws are known by their logarithms only (`log_space.py`); whether that is enough must be found out, or `problem`
    is the answer."""

    def __init__(self, problem: ProbError):
        self.problem = problem
        super().__init__(str(problem))


class TooBig(Exception):
    """A block holds more numbers than it should: make it smaller."""


class NotCompiled(Exception):
    """A program, or a block of it, cannot be compiled; `reason` ends a sentence."""

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(reason)


class NotLifted(Exception):
    """Parameters must be expanded at the start."""

    def __init__(self) -> None:
        super().__init__("a uniform value cannot be lifted")


class TooMuchWork(Exception):
    """An attempt has touched more numbers than it may."""


class OutOfTime(Exception):
    """The time is over in the middle of a block."""


class Stopped(Exception):
    """Nobody waits for this block any more."""
