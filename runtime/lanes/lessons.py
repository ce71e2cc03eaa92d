"""Why an attempt is given up, and how the next one differs: raised where it is found, caught where attempts are made.

A `Way` is how an attempt is made, a `Lesson` changes it: `runtime/estimates/attempts.py` makes attempts, each with the lessons of
those before it.  What is no lesson ends the attempts, or a part of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...dsl.planning.plan import NOTHING, Lessons, Plan
from ...dsl.text.diagnostics import Diagnostic, ProbError

MakePlan = Callable[[Lessons], Plan]


@dataclass(frozen=True)
class Way:
    """How an attempt is made.

    known       what its plan must do without
    safe        derivatives are 0 where nobody asks for them (`singular.py`)
    lifted      parameters stay one number until they meet the runs (`lifting.py`)
    wide        numbers are float64
    small       the answer, unless it is enough that some draws are known by their logarithms (`log_space.py`)
    most        runs of a block (None: as many as suit)
    uncompiled  why blocks are not compiled
    in_step     processes look at their runs at the same time, so that blocks must keep their size
    """

    known: Lessons = NOTHING
    safe: bool = False
    lifted: bool = True
    wide: bool = False
    small: ProbError | None = None
    most: int | None = None
    uncompiled: str = ""
    in_step: bool = False


class Lesson(Exception):
    """Why an attempt was given up; `taught` is the way of the next one, or raises what cannot be learnt from."""

    def alone(self, way: Way) -> bool:
        """Whether this process can begin again without the others."""
        return True

    def taught(self, way: Way, plan: MakePlan) -> Way:
        """How to go on; `plan` makes the plan of a way, that of this attempt among them."""
        raise NotImplementedError


class GuardBroken(Lesson):
    """An assumption of the plan failed in a run; `place` is the id of the guarded node.  The plan must do without it."""

    def __init__(self, place: int):
        self.place = place
        super().__init__("an assumption of the plan failed")

    def alone(self, way: Way) -> bool:
        return False

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, known=way.known.broke(self.place))


class AtEdge(Lesson):
    """An outcome of a site (its index in the program) has probability 0, which moves: do with what does not mind."""

    def __init__(self, index: int):
        self.index = index
        super().__init__(f"site {index}")

    def alone(self, way: Way) -> bool:
        return False

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, known=way.known.at_edge(self.index))


class TooManyLanes(Lesson):
    """Enumerating the outcomes of a site (its index in the program) takes more lanes per run than allowed: do without; `why` in
    words that go on after "outcomes are not summed: "."""

    def __init__(self, index: int, why: str = ""):
        self.index = index
        self.why = why
        super().__init__(f"site {index}" + (f": {why}" if why else ""))

    def alone(self, way: Way) -> bool:
        return False

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, known=way.known.crowd(self.index, plan(way.known), self.why))


class Several(Lesson):
    """What processes that make an attempt together have learnt."""

    def __init__(self, lessons: tuple[Lesson, ...]):
        self.lessons = lessons
        super().__init__(", ".join(map(repr, lessons)))

    def taught(self, way: Way, plan: MakePlan) -> Way:
        now = plan(way.known)
        for lesson in self.lessons:
            way = lesson.taught(way, lambda _: now)
        return way


class NotFinite(Lesson):
    """A gradient is not finite under plain derivatives: take safe ones."""

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, safe=True)


class NotLifted(Lesson):
    """A uniform value cannot be lifted: parameters are expanded at the start."""

    def __init__(self) -> None:
        super().__init__("a uniform value cannot be lifted")

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, lifted=False)


class TooCoarse(Lesson):
    """Numbers of float32 are too far apart, or too small, for what is drawn or computed: go on in float64."""

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, wide=True)


class TooSmall(Lesson):
    """Draws are known by their logarithms only (`log_space.py`); whether that is enough must be found out, or `problem`
    is the answer."""

    def __init__(self, problem: ProbError):
        self.problem = problem
        super().__init__(str(problem))

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return way if way.small is not None else replace(way, small=self.problem)


class OutOfMemory(ProbError, Lesson):
    """P0509: there is not enough memory for a block of so many `runs`: make half as many at once.  One run is an error."""

    def __init__(self, problem: Diagnostic, runs: int):
        self.runs = runs
        super().__init__(problem)

    def alone(self, way: Way) -> bool:
        return self.runs > 1 and not way.in_step

    def taught(self, way: Way, plan: MakePlan) -> Way:
        if not self.alone(way):
            raise self
        return replace(way, most=self.runs // 2)


class NotCompiled(Lesson):
    """A program, or a block of it, cannot be compiled; `reason` ends a sentence."""

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(reason)

    def taught(self, way: Way, plan: MakePlan) -> Way:
        return replace(way, uncompiled=self.reason)


class TooBig(Exception):
    """A block holds more numbers than it should: make it smaller."""


class TooLong(Exception):
    """Runs that are to tell about others take too large a part of the time of those."""


class TooWide(TooLong):
    """So many of them are more than a block, as a single run is wide: fewer are to tell."""


class TooMuchWork(Exception):
    """An attempt has touched more numbers than it may; `merged`: most lanes that it split were merged again; `foreseen`: how many
    it would have touched, as far as that can be told."""

    merged = False

    def __init__(self, foreseen: float = 0.0):
        super().__init__()
        self.foreseen = foreseen


class OutOfTime(Exception):
    """The time is over in the middle of a block."""


class Stopped(Exception):
    """Nobody waits for this block any more."""
