"""Attempts and their lessons: each says how the next attempt differs, and whatever teaches nothing is an error of ours."""

from __future__ import annotations

import pytest

import probrun
from probrun.dsl.planning.chooser import make_plan
from probrun.dsl.planning.plan import Lessons, Plan
from probrun.dsl.text.diagnostics import Diagnostic, ProbError
from probrun.runtime.estimates.attempts import attempted
from probrun.runtime.lanes.lessons import (
    GuardBroken,
    Lesson,
    NotCompiled,
    NotFinite,
    NotLifted,
    OutOfMemory,
    Several,
    TooCoarse,
    TooManyLanes,
    TooSmall,
    Way,
)

COINS = probrun.parse("param p = 0.3\nb ~ Bernoulli(p)\nc ~ Bernoulli(p)\nz ~ Normal(p, 1)\nreturn b*c*z").resolved
SMALL, SHORT = Diagnostic("P0508", "too small"), Diagnostic("P0509", "no memory")
LESSONS: list[tuple[Lesson, bool]] = [  # and whether one process may learn it without the others
    (GuardBroken(7), False), (TooManyLanes(0), False), (NotFinite(), True), (NotLifted(), True), (TooCoarse(), True),
    (TooSmall(ProbError(SMALL)), True), (OutOfMemory(SHORT, 64), True), (NotCompiled("it is a test"), True),
]


def plan(lessons: Lessons) -> Plan:
    return make_plan(COINS, None, lessons)


def learn(way: Way, problem: Exception) -> Way:
    assert isinstance(problem, Lesson)
    return problem.taught(way, plan)


@pytest.mark.parametrize(("lesson", "alone"), LESSONS, ids=[type(lesson).__name__ for lesson, _ in LESSONS])
def test_a_lesson_is_learnt_once(lesson: Lesson, alone: bool) -> None:
    taught = lesson.taught(Way(), plan)
    assert taught != Way() and lesson.taught(taught, plan) == taught
    assert lesson.alone(Way()) is alone
    tries: list[Way] = []

    def make(way: Way) -> int:
        tries.append(way)
        if len(tries) == 1:
            raise lesson
        return 3

    assert attempted(Way(), make, learn) == 3
    assert tries == [Way(), taught]


@pytest.mark.parametrize("lesson", [lesson for lesson, _ in LESSONS], ids=lambda lesson: type(lesson).__name__)
def test_what_teaches_nothing_new_is_an_error_of_ours(lesson: Lesson) -> None:
    def make(way: Way) -> int:
        raise lesson

    with pytest.raises(RuntimeError, match="nothing was learnt"):
        attempted(Way(), make, learn)


def test_what_processes_learn_together() -> None:
    """Alike sites are given up together; a lesson that another one has taught already is none the less learnt."""
    way = Several((TooManyLanes(0), GuardBroken(7), TooManyLanes(1))).taught(Way(), plan)
    assert way.known == Lessons(frozenset({7}), frozenset({0, 1}))


def test_memory_that_is_short_for_one_run_or_for_all_processes_at_once() -> None:
    for runs, way in ((1, Way()), (64, Way(in_step=True))):
        problem = OutOfMemory(SHORT, runs)
        assert not problem.alone(way)
        with pytest.raises(OutOfMemory):
            problem.taught(way, plan)
    assert OutOfMemory(SHORT, 9).taught(Way(), plan).most == 4


def test_differences_of_draws_that_are_known_by_their_logarithms_only() -> None:
    """They used to end as a bug in probrun."""
    program = probrun.parse("param a in (0, inf) = 0.001\nx ~ Gamma(a, 1)\nreturn x")
    rows = program.compare(samples=400, seed=1, include="finite-differences", steps=[0.5]).table.rows
    difference = next(row for row in rows if row.label == "difference h=0.5, common").gradient
    [moments] = [moments for found in difference.values() for moments in found.values()]
    assert float(moments.se) > 0 and abs(float(moments.mean) - 1) <= 5 * float(moments.se)
    check = program.grad(samples=400, seed=1, pilot=False, verify=True).check
    assert check is not None and check.passed and check.method == "differences"
