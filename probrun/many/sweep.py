"""One program at many points in one process: `Program.sweep`, and the rows that the command writes.

Estimators are chosen once (in the middle of the points); each point is planned for itself, with what was found as the preference.
A point whose answer is an error is a row that says so.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..api import Program, Values
from ..dsl.fingerprint import fingerprint
from ..dsl.names.strangers import refuse_unknown
from ..dsl.tables.limits import MAX_DEPTH, MAX_STEPS
from ..dsl.text.closeness import nearest
from ..dsl.text.diagnostics import ProbError
from ..options import DEFAULT_SAMPLES, DEFAULT_TAU, RunOptions, plan_options, refuse, run_options
from ..progress import phase_of
from ..results import GradientResult, RunResult, common_fields, gradient_result
from .points import Axes, Points, points_of

if TYPE_CHECKING:
    from ..dsl.planning.plan import PlanOptions
    from ..runtime.blocks.settings import Settings
    from ..runtime.many.sweeping import Given, Sweeping

ANCHORS = (0.5, 0.0, 1.0, 0.25, 0.75)  # where estimators are chosen: the first of these at which there is an answer
EVERYWHERE = ("P0401", "P0607")  # an estimator, or a site, that there is not: no matter of the point
FIRST, SECOND, STEP, MASK = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15, 2**64 - 1


@dataclass(frozen=True)
class SweptPoint:
    """One point: its `number` among all, its values by name, the seed of its runs, and the answer or what is wrong there."""

    number: int
    at: Mapping[str, float]
    seed: int
    result: GradientResult | RunResult | None
    problem: ProbError | None = None


def seed_at(seed: int, number: int) -> int:
    """The seed of a point (splitmix64, Steele, Lea & Flood 2014): different at all points of a sweep."""
    mixed = (seed + (number + 1) * STEP) & MASK
    mixed = ((mixed ^ (mixed >> 30)) * FIRST) & MASK
    mixed = ((mixed ^ (mixed >> 27)) * SECOND) & MASK
    return (mixed ^ (mixed >> 31)) >> 1


@dataclass
class Sweep:
    """What is asked for at all points."""

    program: Program
    points: Points
    parameters: Mapping[str, Any]
    data: Mapping[str, Any]
    run: RunOptions
    options: PlanOptions
    common: bool = False
    pilot: bool = True
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        resolved = self.program.resolved
        for name in self.points.names:
            if name in self.parameters or name in self.data:
                raise refuse(f"`{name}` is swept, and has a value too", f"leave out -p {name}=... or --grid {name}=...")
            whole, bracket, _ = name.partition("[")
            if bracket and whole in {**resolved.parameters, **resolved.data}:
                raise refuse(
                    f"`{name}` is an entry of `{whole}`, and whole parameters and data are swept",
                    f"declare a number of its own, such as param x = 1, and use it as that entry of `{whole}`",
                )
        given = dict.fromkeys(self.points.names, 0.0)
        data = {name: given.pop(name) for name in list(given) if name in resolved.data}
        refuse_unknown(resolved, {**self.parameters, **given}, {**self.data, **data})

    @property
    def key(self) -> str:
        """What rows of one sweep have in common: its seed, and a hash of everything else that decides the numbers."""
        facts = [
            fingerprint(self.program.resolved.program), self.points.names, self.points.rows, self.common, self.pilot,
            replace(self.run, seed=0), repr(self.options), [*map(_told, (self.parameters, self.data))],
        ]
        return f"{self.run.seed}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"

    @property
    def numbers(self) -> range:
        """The points of this shard."""
        part, whole = self.shard
        return range(part - 1, len(self.points.rows), whole)

    def given(self, number: int) -> Given:
        """Parameters and data at a point."""
        at = self.points.at(number)
        known = self.program.resolved.data
        parameters = {**self.parameters, **{name: value for name, value in at.items() if name not in known}}
        return parameters, {**self.data, **{name: value for name, value in at.items() if name in known}}

    def answers(self, done: frozenset[int] = frozenset(), progress: Any = None) -> Iterator[SweptPoint]:
        """Point after point of those that are not `done`; KeyboardInterrupt between two of them."""
        from ..runtime.many.sweeping import Sweeping

        todo = [number for number in self.numbers if number not in done]
        settings = self.program._settings(self.run, self.options.of, False, strict=self.run.strict)
        sweeping = Sweeping(self.program._all_plans(), self.options)
        if self.program.parameters and self.pilot and todo:
            last = len(self.points.rows) - 1
            places = [self.given(number) for number in dict.fromkeys(int(last * part) for part in ANCHORS)]
            sweeping.measure(places, settings, phase_of(progress))
        for count, number in enumerate(todo, 1):
            seed = self.run.seed if self.common else seed_at(self.run.seed, number)
            found: GradientResult | RunResult | None = None
            problem: ProbError | None = None
            try:
                found = self._answer(sweeping, number, replace(settings, seed=seed))
            except ProbError as error:
                if error.code in EVERYWHERE:
                    raise
                problem = error
            if found is not None and found.interrupted:
                raise KeyboardInterrupt
            yield SweptPoint(number, self.points.at(number), seed, found, problem)
            if progress is not None:
                progress(count, len(todo))

    def _answer(self, sweeping: Sweeping, number: int, settings: Settings) -> GradientResult | RunResult:
        started = time.perf_counter()
        resolved, run, names = self.program.resolved, replace(self.run, seed=settings.seed), self.options.of
        if not self.program.parameters:
            estimate = sweeping.values(self.given(number), settings)
            return RunResult(**common_fields(resolved, run, estimate, names), draws=estimate.draws)
        estimate = sweeping.gradient(self.given(number), settings)
        return gradient_result(resolved, run, names, (), None, estimate, time.perf_counter() - started)


def _told(values: Mapping[str, Any]) -> str:
    """Given values as text that is the same for equal values."""
    found = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
    return json.dumps(found, sort_keys=True, default=str)


RUNNING = {  # the options of `grad` on how to run, and what they usually are
    "samples": DEFAULT_SAMPLES, "seed": None, "dtype": None, "device": "cpu", "target_se": None, "max_steps": MAX_STEPS,
    "max_depth": MAX_DEPTH, "max_lanes": None, "max_time": None,
}
CHOOSING = {
    "estimator": None, "unbiased": False, "among": None, "tau": DEFAULT_TAU, "allow_biased": False, "of": None,
}  # fmt: skip


def sweep_of(
    program: Program, axes: Axes | Points, parameters: Values = None, data: Values = None, common: bool = False, *,
    pilot: bool | None = None, shard: tuple[int, int] | None = None, **options: Any,
) -> Sweep:
    """A checked sweep; `options` are those of `grad`."""
    for name in options:
        if name not in RUNNING and name not in CHOOSING:
            close = nearest(name, (*RUNNING, *CHOOSING))
            raise refuse(f"`sweep` has no option `{name}`", f"did you mean `{close}`?" if close else None)
    run = run_options(**{**RUNNING, **{name: options[name] for name in RUNNING if name in options}})
    chosen = plan_options(program.resolved, **{**CHOOSING, **{name: options[name] for name in CHOOSING if name in options}})
    piloted = (chosen.among is None) if pilot is None else pilot
    points = axes if isinstance(axes, Points) else points_of(axes)
    return Sweep(program, points, parameters or {}, data or {}, run, chosen, common, piloted, shard or (1, 1))


def swept(program: Program, *arguments: Any, progress: Any = None, **more: Any) -> list[SweptPoint]:
    """Every point of a sweep; where it is interrupted, those that are finished."""
    found: list[SweptPoint] = []
    try:
        for point in sweep_of(program, *arguments, **more).answers(progress=progress):
            found.append(point)
    except KeyboardInterrupt:
        if not found:
            raise
    return found
