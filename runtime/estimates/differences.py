"""Finite differences of E[y]: gradients without any derivative, to compare with and to verify by.

A *stencil* is a set of displacements of one parameter entry, in steps, with the weight of each: `central` is
(y(theta + h) - y(theta - h)) / 2h, `extrapolated` is Richardson's (4 D(h/2) - D(h)) / 3, whose error is of order h^4.  With
common random numbers all points of a stencil are run with the same generator state, and the spread is that of single-run
differences: of order 1 for smooth programs, of order 1/h where results jump (Glasserman 2003, section 7.1).  The
streams stay aligned only as long as all points draw alike; where they do not, the estimate is still right, with more spread.

Where a point of a stencil would leave the domain (of the parameter, or of a distribution), the step is made smaller, and at an
edge itself a one-sided stencil of the same order as the central one takes its place.

Values come from a `Source`: samples, or (`oracle.py`) sums over all outcomes or over a grid, which have no spread at all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.syntax import Interval
from ...dsl.text.diagnostics import ProbError
from ..arrays.operations import Operand
from ..blocks.conditioning import Weighed, linearised, summed_out
from ..blocks.culprits import value_problem
from ..blocks.moments import Accumulator, Moments
from ..blocks.session import Session
from ..blocks.settings import Settings, block_seed, names_of, room
from ..lanes.counter import Counter
from ..lanes.values import Ragged
from ..lanes.where import Where
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome
from .attempts import IN_STEP, Attempt, Attempts
from .estimate import sampled

LARGEST_BLOCK = 16_384  # runs
NUMBERS_OF_A_BLOCK = 2**23  # in its widest value, at most
FIRST_RUNS = 256  # that tell how wide values are
DEFAULT_STEP = 0.1  # of max(1, |theta|)
SHRINK = (1.0, 0.25, 1 / 16)  # of the step, until all points are inside
OUTSIDE = ("P0501", "P0502", "P0504", "P0505", "P0605")  # what a displaced parameter may run into

Stencil = tuple[tuple[float, float], ...]  # (displacement in steps, weight times the step)
CENTRAL: Stencil = ((1.0, 0.5), (-1.0, -0.5))
EXTRAPOLATED: Stencil = ((0.5, 4 / 3), (-0.5, -4 / 3), (1.0, -1 / 6), (-1.0, 1 / 6))
FORWARD: Stencil = ((0.5, 4.0), (0.0, -3.0), (1.0, -1.0))
BACKWARD: Stencil = ((-0.5, -4.0), (0.0, 3.0), (-1.0, 1.0))
NOWHERE: Stencil = ((0.0, math.nan),)


@dataclass(frozen=True)
class Difference:
    """A gradient by differences: `gradient[result][parameter]` `[*result, *parameter]`, float64."""

    step: float
    common: bool
    gradient: dict[str, dict[str, Moments]]
    samples: int
    seconds: float


class ResultSource(Protocol):
    """Where results at displaced parameters come from."""

    resolved: Resolved
    names: tuple[str, ...]

    def results(self, parameters: dict[str, Tensor], stream: int) -> Iterator[tuple[int, list[Tensor]]]:
        """Block after block: how many runs, and per result `[runs or 1, *shape]` in float64.  The same stream, the same
        random numbers."""
        ...


class Samples:
    """Results of sampled runs."""

    def __init__(self, resolved: Resolved, parameters: dict[str, Tensor], data: dict[str, Operand], settings: Settings):
        self.resolved = resolved
        self.data = data
        self.settings = settings
        self.names = names_of(resolved, settings, not settings.of)
        session = self._session(parameters, 0)
        counter = Counter(2**62, 2**62)
        runs = min(FIRST_RUNS, settings.samples)
        session.interpreter(Interpreter, counter).run(session.uniform(), session.data, runs)
        self.block = max(min(LARGEST_BLOCK, NUMBERS_OF_A_BLOCK * runs // max(counter.widest, 1)), 16)

    def _session(self, parameters: dict[str, Tensor], stream: int) -> Session:
        settings = replace(self.settings, seed=(self.settings.seed * 6_364_136_223_846_793_005 + 1_000_003 * stream + 17) % 2**63)
        return Session(self.resolved, None, parameters, self.data, settings, False, not settings.of)

    def results(self, parameters: dict[str, Tensor], stream: int) -> Iterator[tuple[int, list[Tensor]]]:
        """Blocks of at most `block` runs; each begins alike at every point."""
        session = self._session(parameters, stream)
        if session.asked.weighed:
            blocks = [Weighed.of(session, outcome, runs) for runs, outcome in self._outcomes(session)]
            yield from linearised(self.names, blocks)
            return
        for runs, outcome in self._outcomes(session):
            values = [session.result(value).double() for value in summed_out(session, outcome, runs).values]
            if not all(bool(torch.isfinite(value).all()) for value in values):
                raise value_problem(session, runs, session.uniform(), self.names)
            yield runs, values

    def _outcomes(self, session: Session) -> Iterator[tuple[int, Outcome]]:
        done, samples = 0, self.settings.samples
        while done < samples:
            runs = min(self.block, samples - done)
            session.begin(block_seed(session.settings.seed, done))
            yield runs, session.interpreter(Interpreter).run(session.uniform(), session.data, runs)
            done += runs


def differences(
    source: ResultSource, parameters: Mapping[str, Tensor], step: float, stencil: Stencil, common: bool
) -> dict[str, dict[str, Moments]]:
    """The differences of every result in every parameter entry: with a smaller step, or from one side, where the stencil does not
    fit."""
    ways = [(stencil, factor) for factor in SHRINK]
    ways += [(one_side, factor) for factor in (1.0, 0.1) for one_side in (FORWARD, BACKWARD)]
    return _every_entry(source, parameters, step, ways, common)


def from_one_side(
    source: ResultSource, parameters: Mapping[str, Tensor], step: float, stencil: Stencil
) -> dict[str, dict[str, Moments]]:
    """The same by `FORWARD` or `BACKWARD`; nan where an entry stands at the end of its domain on that side."""
    return _every_entry(source, parameters, step, [(stencil, 1.0), (stencil, 0.1), (NOWHERE, 1.0)], True)


def _every_entry(
    source: ResultSource, parameters: Mapping[str, Tensor], step: float, ways: Sequence[tuple[Stencil, float]], common: bool
) -> dict[str, dict[str, Moments]]:
    found: dict[str, dict[str, Moments]] = {name: {} for name in source.names}
    for parameter, value in parameters.items():
        entries: list[list[Moments]] = []
        for entry in range(value.numel()):
            entries.append(_entry(source, dict(parameters), parameter, entry, step, ways, common))
        for number, name in enumerate(source.names):
            parts = [row[number] for row in entries]
            shape = (*(parts[0].mean.shape if parts else ()), *value.shape)
            found[name][parameter] = Moments(*(
                torch.stack([getattr(part, field) for part in parts], -1).reshape(shape) if parts else torch.zeros(shape)
                for field in ("mean", "se", "sd")
            ))
    return found


def _entry(
    source: ResultSource, parameters: dict[str, Tensor], name: str, entry: int, step: float,
    ways: Sequence[tuple[Stencil, float]], common: bool,
) -> list[Moments]:
    """One parameter entry, by the first way that stays inside the domain."""
    h = step * max(1.0, abs(float(parameters[name].reshape(-1)[entry])))
    trouble: ProbError | None = None
    for points, factor in ways:
        try:
            if all(_allowed(source.resolved, name, parameters[name], entry, place * h * factor) for place, _ in points):
                return _stencil(source, parameters, name, entry, h * factor, points, common)
        except ProbError as problem:
            if problem.code not in OUTSIDE:
                raise
            trouble = trouble or problem
    if trouble is not None:
        raise trouble
    return _stencil(source, parameters, name, entry, h * SHRINK[-1] / 64, ways[0][0], common)  # as close as it goes


def _allowed(resolved: Resolved, name: str, value: Tensor, entry: int, shift: float) -> bool:
    """Whether a displaced entry lies in the declared interval (the entries of a simplex are free numbers)."""
    node = resolved.parameters[name].node
    domain = node.domain if node is not None else None
    if not isinstance(domain, Interval) or shift == 0:
        return True
    return domain.low < float(value.reshape(-1)[entry]) + shift < domain.high


def _stencil(
    source: ResultSource, parameters: dict[str, Tensor], parameter: str, entry: int, h: float, stencil: Stencil, common: bool
) -> list[Moments]:
    streams = []
    for number, (place, _) in enumerate(stencil):
        moved = parameters[parameter].clone()
        moved.reshape(-1)[entry] += place * h
        streams.append(source.results({**parameters, parameter: moved}, 0 if common else number + 1))
    accumulators: list[Accumulator] | None = None
    for blocks in zip(*streams, strict=True):
        runs = blocks[0][0]
        rows = []
        for number, name in enumerate(source.names):
            shapes = {tuple(values[number].shape[1:]) for _, values in blocks}
            if len(shapes) > 1:
                raise Where(source.resolved.program.source).ragged(
                    name, Ragged(tuple(sorted(shapes))), source.resolved.program.body.statements[-1].span
                )
            parts = [weight / h * values[number] for (_, values), (_, weight) in zip(blocks, stencil, strict=True)]
            rows.append(sum(parts[1:], parts[0]))
        if accumulators is None:
            accumulators = [Accumulator(tuple(row.shape[1:])) for row in rows]
        for accumulator, row in zip(accumulators, rows, strict=True):
            if row.shape[0] == 1 and runs > 1:
                accumulator.add_constant(runs, row[0])
            else:
                accumulator.add(row)
    assert accumulators is not None
    return [accumulator.moments(exact=getattr(source, "exact", False)) for accumulator in accumulators]


def _of_samples(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, step: float,
    stencil: Stencil, common: bool,
) -> dict[str, dict[str, Moments]]:
    """In the arithmetic that the numbers need."""
    attempts = Attempts(resolved, parameters, data, settings, settings)

    def make(attempt: Attempt) -> dict[str, dict[str, Moments]]:
        attempts.rounded(attempt, sampled, asked=False)
        with room(grad=False):
            return differences(Samples(resolved, *attempt.values, attempt.settings), attempt.values[0], step, stencil, common)

    return attempts.until_done(make, IN_STEP)


def finite_differences(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, step: float, *,
    common: bool,
) -> Difference:
    """Central differences of sampled results; `step` is relative to max(1, |theta|) of each entry.

    Raises ProbError where neither side of an entry lies in the domain.
    """
    started = time.perf_counter()
    found = _of_samples(resolved, parameters, data, settings, step, CENTRAL, common)
    return Difference(step, common, found, settings.samples, time.perf_counter() - started)


def extrapolated(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    step: float = DEFAULT_STEP,
) -> tuple[Tensor, Tensor]:
    """All entries of the gradient by extrapolated differences with common random numbers: means and standard errors."""
    found = _of_samples(resolved, parameters, data, settings, step, EXTRAPOLATED, True)
    moments = [m for rows in found.values() for m in rows.values()]
    mean, se = (torch.cat([getattr(m, field).reshape(-1) for m in moments]).cpu() for field in ("mean", "se"))
    return mean, se
