"""What is kept of the blocks: moments of results and gradients, single runs where they are wanted, and the largest for the tails.

Each block makes a `Collected` of its own (in whatever thread), and they are merged in order.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...dsl.planning.plan import Plan
from ...dsl.text.source import Span
from ..lanes.endings import Cut
from ..lanes.values import Ragged
from ..machine.interpreter import Interpreter
from .looked import Looked
from .moments import Accumulator, Moments
from .session import Session
from .settings import KEPT_RUNS, WATCHED_RUNS, Settings
from .spreads import MOST_KEPT, Parts, Spreads, known, looked_for
from .tails import Place
from .worth import Weights

KEPT_DRAWS = 1_000_000  # results of single runs
WATCHED_GRADIENTS = 16
LEAST_FOR_TARGET = 1000  # runs before a standard error is believed
LEAST_OF_EQUALS = 16_384  # runs, where all of them gave the same
LARGEST_SHARE = 0.05
CUBED_RUNS = 2**18  # whose third moment is taken of a number; of an array, of those that are watched


@dataclass(frozen=True)
class Estimate:
    """The outcome.  `gradient[result][parameter]` has the shape `[*result, *parameter]`; all moments are float64.

    exact        nothing random was involved: the standard errors are 0 by right
    reached      the target standard error (True where none was asked for)
    per_run      gradients of single runs `[runs, *result, *parameter]`, when asked for
    spreads      where standard errors cannot be trusted, as tails are heavy or few runs carry them (`spreads.py`)
    scarce       score sites whose draws took too few different values, and how many (`variety.py`)
    kinks        where in the program a kink was met exactly, and the gradient depends on the side that is taken
    turns        where a comparison was met exactly, and may have gone the other way
    other        the same with the other baseline (of a pilot)
    masses       by site, how many times as much runs that fork would better look at it (`looked.py`)
    replay       what its only block was replayed by, and the session that it is of (`replayed.py`), if it was
    work         numbers that were touched (`meter.py`), in so many `steps`
    compile_seconds, not_compiled    what compiling took, or why it was not done, where it was asked for
    exact_to     how far an exact answer may be off, relative to it, for what was left out where there is no end (`cuts`)
    rounded      by float32, which was asked for, so much that it shows
    draws        of `moments_of_run`: results of single runs `[runs, *result]`, of the posterior where runs have weights
    weights      what is said of the weights, where runs have some
    """

    value: dict[str, Moments]
    gradient: dict[str, dict[str, Moments]]
    samples: int
    requested: int
    dtype: str
    seed: int
    plan: Plan | None
    seconds: float
    interrupted: bool = False
    out_of_time: bool = False
    compile_seconds: float | None = None
    not_compiled: str | None = None
    exact: bool = False
    reached: bool = True
    rounded: bool = False
    exact_to: float = 0.0
    cuts: tuple[Cut, ...] = ()
    per_run: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False)
    draws: dict[str, Tensor] = field(default_factory=dict, repr=False)
    spreads: Spreads = field(default_factory=lambda: known({}), repr=False)
    scarce: dict[int, int] = field(default_factory=dict, repr=False)
    kinks: tuple[Span, ...] = ()
    turns: tuple[Span, ...] = ()
    other: Estimate | None = field(default=None, repr=False)
    masses: dict[int, float] = field(default_factory=dict, repr=False)
    work: int = 0
    steps: int = 0
    weights: Weights | None = None
    collected: Collected | None = field(default=None, repr=False)  # where that is to be saved
    replay: Any = field(default=None, repr=False)


class Collected:
    """Moments of every result and of its gradient, entry by entry."""

    def __init__(self, names: tuple[str, ...], settings: Settings, start: int = 0):
        self.names = names
        self.settings = settings
        self.start = start  # runs before these
        self.done = self.work = self.steps = self.blocks = 0
        self.exact = False
        self.interrupted = self.out_of_time = False
        self.forked = False  # some run has gone on with another outcome beside its own
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.value: dict[str, Accumulator] = {}
        self.gradient: dict[str, dict[str, list[Accumulator]]] = {}
        self.other: Collected | None = None  # the same with the other baseline
        self.looked: Looked | None = None  # where runs fork
        self.kept: dict[str, dict[str, list[Tensor]]] = {}
        self.draws: dict[str, list[Tensor]] = {}
        self.watched: dict[Place, list[Tensor]] = {}
        self.scored: set[str] = set()  # results whose gradient rests on scores
        self.kinks, self.turns = set[Span](), set[Span]()
        self.cuts: Sequence[Cut] = ()
        self.exact_to = 0.0
        self.replay: Any = None

    def merge(self, part: Collected, session: Session) -> None:
        """Take in the next block; P0303 where blocks differ in shape."""
        if part.other is not None:
            self.other, part.other.done = self.other or Collected(self.names, self.settings), part.done
            self.other.merge(part.other, session)
        self._shaped(part, session)
        if not self.done:
            self.value, self.gradient = part.value, part.gradient
        else:
            for name, value in part.value.items():
                self.value[name].merge(value)
            for name, rows in part.gradient.items():
                for parameter, entries in rows.items():
                    for own, other in zip(self.gradient[name][parameter], entries, strict=True):
                        own.merge(other)
        self._kept_too(part)

    def _shaped(self, part: Collected, session: Session) -> None:
        """The results of all blocks have one shape: P0303."""
        for name, shape in part.shapes.items():
            if self.shapes.setdefault(name, shape) != shape:
                where = session.interpreter(Interpreter).where
                raise where.ragged(name, Ragged((self.shapes[name], shape)), session.resolved.program.body.statements[-1].span)

    def _kept_too(self, part: Collected) -> None:
        """What the next block says beside its moments."""
        self.work += part.work
        self.blocks += max(part.blocks, 1)
        self.steps += part.steps
        self.forked |= part.forked
        self.scored |= part.scored
        self.kinks |= part.kinks
        self.turns |= part.turns
        if self.looked is None or part.looked is None:
            self.looked = self.looked or part.looked
        else:
            self.looked.merge(part.looked)
        if not self.done:
            self.cuts, self.exact_to = part.cuts, part.exact_to
        for name, columns in part.kept.items():
            for key, tensors in columns.items():
                self.kept.setdefault(name, {}).setdefault(key, []).extend(tensors)
        for name, tensors in part.draws.items():
            self.draws.setdefault(name, []).extend(tensors)
        for place, tensors in part.watched.items():
            self.watched.setdefault(place, []).extend(tensors)
        self.exact = part.exact and not self.done
        self.done += part.done

    def pending(self) -> Iterator[Tensor]:
        """What a block that was written down (`recorder.py`) has of tensors."""
        for accumulator in self.accumulators():
            assert accumulator.pending is not None
            yield from accumulator.pending[1]

    def refilled(self, settings: Settings, start: int, tensors: Iterator[Tensor]) -> Collected:
        """The same of another block, with its tensors."""
        part = Collected(self.names, settings, start)
        part.shapes, part.scored = self.shapes, self.scored
        part.value = {name: entry.refilled(tensors) for name, entry in self.value.items()}
        part.gradient = {
            name: {p: [entry.refilled(tensors) for entry in entries] for p, entries in row.items()}
            for name, row in self.gradient.items()
        }
        return part

    def replicate(self) -> None:
        """These runs are one replicate of several."""
        for accumulator in self.accumulators():
            accumulator.replicate()

    def sent(self) -> Collected:
        """The same in the memory of the CPU, for another process."""
        other = copy.copy(self)
        cpu = torch.device("cpu")
        other.value = {name: entry.to(cpu) for name, entry in self.value.items()}
        other.gradient = {
            name: {p: [entry.to(cpu) for entry in entries] for p, entries in row.items()} for name, row in self.gradient.items()
        }
        other.kept = {name: {k: [t.cpu() for t in parts] for k, parts in row.items()} for name, row in self.kept.items()}
        other.watched = {key: [part.cpu() for part in parts] for key, parts in self.watched.items()}
        return other

    def again(self) -> Collected:
        """Of the same runs, whose results are known, the gradients with the other baseline: none yet."""
        self.other = Collected(self.names, self.settings, self.start)
        for taken in ("shapes", "exact", "forked", "scored", "kinks", "turns", "draws"):
            setattr(self.other, taken, copy.copy(getattr(self, taken)))
        self.other.value = {name: copy.copy(entry) for name, entry in self.value.items()}
        return self.other

    def add_value(self, name: str, value: Tensor, runs: int) -> Accumulator:
        """Take in the results `[runs or 1, *shape]` of the block."""
        shape = self.shapes[name] = tuple(value.shape[1:])
        accumulator = self.value[name] = Accumulator(shape, self.settings.target_se is not None, self.forked)
        if value.shape[0] == 1:
            accumulator.add_constant(runs, value[0])
        else:
            accumulator.add(value)
        return accumulator

    def keep_draws(self, name: str, value: Tensor, runs: int) -> None:
        """Keep the first results of single runs."""
        room = KEPT_DRAWS - self.start
        if room > 0:
            self.draws.setdefault(name, []).append(value.detach().expand(runs, *value.shape[1:])[:room])

    def watch_tails(self, name: str, parameter: str | None, entry: int, gradient: Tensor | None) -> None:
        """Keep the first runs of the first entries (of a result, without a parameter): may the standard error be trusted?"""
        if gradient is None or entry or self.start >= WATCHED_RUNS or len(self.watched) > len(self.value) + WATCHED_GRADIENTS:
            return
        self.watched.setdefault((name, parameter), []).append(gradient.detach()[: WATCHED_RUNS - self.start])

    def add_gradient(
        self, name: str, parameter: str, entry: int, gradient: Tensor | None, leaf: Tensor, runs: int,
        tied: bool = False,
    ) -> Accumulator:
        """Take in the gradients `[runs, *parameter]` of one result entry (None: zero)."""
        entries = self.gradient.setdefault(name, {}).setdefault(parameter, [])
        if entry == len(entries):
            cubing = self.start < (CUBED_RUNS if leaf.dim() == 1 else WATCHED_RUNS)
            entries.append(Accumulator(tuple(leaf.shape[1:]), self.settings.target_se is not None, cubing, tied))
        if gradient is None:
            entries[entry].add_constant(runs, torch.zeros_like(leaf[0]))
        else:
            entries[entry].add(gradient)
            if self.looked is not None:
                self.looked.add((name, parameter, entry), gradient)
        self.watch_tails(name, parameter, entry, gradient)
        if self.settings.keep_runs and self.start < KEPT_RUNS:
            rows = leaf.new_zeros(runs, *leaf.shape[1:]) if gradient is None else gradient
            self.kept.setdefault(name, {}).setdefault(f"{parameter}\0{entry}", []).append(
                rows[: KEPT_RUNS - self.start].detach().clone()
            )
        return entries[entry]

    def accumulators(self) -> Iterator[Accumulator]:
        """Those of all values and gradients."""
        yield from self.value.values()
        for rows in self.gradient.values():
            for entries in rows.values():
                yield from entries

    def reached(self) -> bool:
        """Whether every standard error is small enough, and rests on enough runs to be believed.

        A spread is believed when no single run makes up more than `LARGEST_SHARE` of it: a rare event that has
        occurred once or twice says little about how rare it is, and one that has not occurred yet, nothing; so runs that
        are all equal are believed after `LEAST_OF_EQUALS` of them only.
        """
        target = self.settings.target_se
        if target is None or self.exact:
            return True
        least = self.done >= min(LEAST_FOR_TARGET, self.settings.samples)
        return least and all(
            bool((accumulator.moments().se <= target).all()) and self._believed(accumulator) for accumulator in self.accumulators()
        )

    def _believed(self, accumulator: Accumulator) -> bool:
        if self.done >= self.settings.samples:
            return True
        share = accumulator.share
        return share <= LARGEST_SHARE or (math.isnan(share) and self.done >= LEAST_OF_EQUALS)

    def estimate(self, plan: Plan | None, started: float, **more: Any) -> Estimate:
        """What there is, and what else is known of it."""
        gradients: dict[str, dict[str, Moments]] = {}
        per_run: dict[str, dict[str, Tensor]] = {}
        for name, rows in self.gradient.items():
            shape = self.shapes[name]
            gradients[name] = {p: stacked([e.moments(self.exact) for e in entries], shape) for p, entries in rows.items()}
            if self.settings.keep_runs:
                per_run[name] = {p: self._kept(name, p, len(entries)) for p, entries in rows.items()}
        return Estimate(
            value={name: self.value[name].moments(self.exact) for name in self.names}, gradient=gradients, per_run=per_run,
            draws={name: torch.cat(parts) for name, parts in self.draws.items() if parts},
            other=None if self.other is None else self.other.estimate(plan, started),
            spreads=self.spreads(plan is not None and bool(plan.kinks)), **self._circumstances(plan, started), **more,
        )

    def spreads(self, kinks: bool) -> Spreads:
        """Whether they may be believed."""
        if self.exact:
            return known({})
        parts = Parts(self.value, self.gradient, self.scored, kinks, self.forked, self.done)
        numbers = sum(part.numel() for rows in self.watched.values() for part in rows)
        return Spreads(lambda: looked_for(parts, self.watched), later=numbers <= MOST_KEPT)

    def _circumstances(self, plan: Plan | None, started: float) -> dict[str, Any]:
        """What is said of the runs, whatever their moments are."""
        return {
            "samples": self.settings.samples if self.exact else self.done, "requested": self.settings.samples,
            "dtype": self.dtype(plan), "seed": self.settings.seed, "plan": plan, "seconds": time.perf_counter() - started,
            "interrupted": self.interrupted, "out_of_time": self.out_of_time, "exact": self.exact, "exact_to": self.exact_to,
            "cuts": tuple(self.cuts), "reached": self.reached(),
            "work": self.work, "steps": self.steps, "kinks": _in_text(self.kinks), "turns": _in_text(self.turns),
            "collected": self if self.settings.saving else None, "masses": {} if self.looked is None else self.looked.masses(),
            "replay": self.replay,
        }

    def sizes(self) -> list[list[float]]:
        """How large the derivatives of each result are in each parameter."""
        return [
            [max((float(entry.moments(True).mean.abs().max()) for entry in entries), default=0.0) for entries in rows.values()]
            for rows in self.gradient.values()
        ]

    def dtype(self, plan: Plan | None) -> str:
        """The arithmetic of the runs; an exact plan is always executed in float64."""
        return "float64" if plan is not None and plan.exact else self.settings.dtype

    def _kept(self, name: str, parameter: str, entries: int) -> Tensor:
        columns = [torch.cat(self.kept[name][f"{parameter}\0{entry}"]) for entry in range(entries)]
        if not self.shapes.get(name):
            return columns[0]
        return torch.stack(columns, dim=1).reshape(columns[0].shape[0], *self.shapes[name], *columns[0].shape[1:])


class Ended(Exception):
    """Another process has come to its end at a look: this is the end for all, and `found` what every one has."""

    def __init__(self, found: list[Collected | Exception]):
        self.found = found
        super().__init__("another process has come to its end")


def merged(parts: Sequence[Collected | Exception], session: Session, settings: Settings) -> Collected:
    """What several processes have collected, in the order of their ranks."""
    whole: Collected | None = None
    for part in parts:
        assert isinstance(part, Collected)
        if whole is None:
            whole = Collected(part.names, settings)
        whole.merge(part.sent(), session)
        whole.interrupted |= part.interrupted
        whole.out_of_time |= part.out_of_time
    assert whole is not None
    return whole


def _in_text(spans: set[Span]) -> tuple[Span, ...]:
    return tuple(sorted(spans, key=lambda span: span.start))


def stacked(moments: list[Moments], shape: tuple[int, ...]) -> Moments:
    """Moments of the entries of a result as one array `[*shape, *parameter]`."""
    if not shape:
        return moments[0]
    parts = ([m.mean for m in moments], [m.se for m in moments], [m.sd for m in moments])
    mean, se, sd = (torch.stack(part).reshape(*shape, *part[0].shape) if part else torch.zeros(shape) for part in parts)
    return Moments(mean, se, sd)
