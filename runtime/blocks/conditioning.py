"""From the outcome of a block of weighed runs to what is kept of it (`posterior.py`).

A run's weight is the exponential of its level.  With y a result, `w y` and `w` are results like others: their derivatives are those
of single runs by any estimator (`weighing.py`), as one term that depends on every score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...dsl.tables.constants import EVIDENCE
from ..arrays.private import observed
from ..gradients.decisive import decisive
from ..gradients.remainder import remainder
from ..gradients.weighing import Weighing, per_run
from ..lanes.ledger import EVERYTHING, Summand, Taint
from ..lanes.lessons import NotFinite
from ..lanes.moving import Motion
from ..lanes.values import PerLane
from ..machine.machine import Outcome
from .culprits import gradient_problem, value_problem
from .posterior import Conditioned, Joint
from .session import Session
from .settings import KEPT_RUNS, Settings


def weighed(value: Tensor, outcome: Outcome, runs: int) -> Weighing:
    """A value `[lanes or 1, *shape]` as one term that depends on every score."""
    terms = [Summand(value, outcome.lanes, Taint(EVERYTHING))] if outcome.ledger.executions else []
    return Weighing(outcome, value, terms, runs)


def products(block: Session, outcome: Outcome) -> tuple[float, Tensor, list[Tensor]] | None:
    """The largest level, the weights `[lanes or 1]` relative to it, and the results times these; None where all weights are 0."""
    if not outcome.values:
        return None
    level = block.result(outcome.values[-1])
    base = float(level.detach().max())
    if base == -math.inf:
        return None
    weight = torch.exp(level - base)
    found = []
    for value in outcome.values[:-1]:
        rows = block.result(value)
        own = weight.reshape(-1, *(1,) * (rows.dim() - 1))
        if not bool(torch.isfinite(rows).all()):
            rows = torch.where(own == 0, 0.0, rows)  # what has no weight does no harm
        found.append(rows * own)
    return base, weight, found


def summed_out(block: Session, outcome: Outcome, runs: int) -> Outcome:
    """The same without lanes, where that is asked for: of each run the logarithm of its mean weight over its lanes."""
    if not block.asked.summed or outcome.weight is None:
        return outcome
    level = block.points.rows(block.result(outcome.values[0]), outcome.lanes)
    level, weight = level.expand(outcome.lanes.count), outcome.weight.expand(outcome.lanes.count)
    origin = outcome.lanes.origin
    index = torch.arange(runs, device=level.device) if origin is None else origin
    base = torch.full((runs,), -math.inf, dtype=level.dtype, device=level.device).scatter_reduce(0, index, level.detach(), "amax")
    base = base.clamp_min(torch.finfo(level.dtype).min)
    total = level.new_zeros(runs).index_add(0, index, weight * torch.exp(level - base.index_select(0, index)))
    return replace(outcome, values=[PerLane(total.log() + base)], terms=[None], lanes=outcome.lanes.root, weight=None, cuts=())


@dataclass(frozen=True)
class Weighed:
    """Of a block of `runs` without derivatives: `weight` `[runs]` relative to exp(`level`), and the results times it, in
    float64."""

    runs: int
    level: float
    weight: Tensor
    above: list[Tensor]

    @classmethod
    def of(cls, block: Session, outcome: Outcome, runs: int) -> Weighed:
        """Of an outcome."""
        made = products(block, outcome)
        if made is None:
            return cls(runs, -math.inf, torch.zeros(1, dtype=torch.float64), [])
        level, weight, above = made
        return cls(runs, level, per_run(weight, outcome, runs).double(), [per_run(rows, outcome, runs).double() for rows in above])


def linearised(names: tuple[str, ...], blocks: list[Weighed]) -> Iterator[tuple[int, list[Tensor]]]:
    """Of every block, for each name, numbers of single runs `[runs, *shape]` whose mean over all blocks is the quotient (or the
    logarithm) and whose spread is that of the delta method."""
    level = max(block.level for block in blocks)
    if level == -math.inf:
        return
    total = sum(block.runs for block in blocks)
    scales = [math.exp(block.level - level) for block in blocks]
    below = sum(float(block.weight.expand(block.runs).sum()) * scale for block, scale in zip(blocks, scales, strict=True)) / total
    shapes = next([rows.shape[1:] for rows in block.above] for block in blocks if block.level > -math.inf)
    means = [
        sum((block.above[number].expand(block.runs, *shape).sum(0) * scale
             for block, scale in zip(blocks, scales, strict=True) if block.above), torch.zeros(shape, dtype=torch.float64)) / total
        for number, shape in enumerate(shapes)
    ]
    for block, scale in zip(blocks, scales, strict=True):
        weight = block.weight.expand(block.runs) * scale / below
        values, place = [], 0
        for name in names:
            if name == EVIDENCE:
                values.append(math.log(below) + level + weight - 1)
                continue
            ratio = means[place] / below
            own = weight.reshape(-1, *(1,) * ratio.dim())
            above = block.above[place] * scale / below if block.above else torch.zeros_like(ratio).unsqueeze(0)
            values.append(ratio + above - ratio * own)
            place += 1
        yield block.runs, values


class Conditioning:
    """Takes blocks in: of a gradient, or of a sample."""

    def __init__(self, names: tuple[str, ...], settings: Settings):
        self.names = names
        self.own = tuple(name for name in names if name != EVIDENCE)
        self.settings = settings

    def _begun(self, block: Session, runs: int, outcome: Outcome) -> Conditioned:
        part = Conditioned(self.names, self.settings, block.start)
        part.exact, part.work, part.steps = block.exact or not outcome.random, outcome.work, block.spending.steps
        return part

    def sample(self, block: Session, runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> Conditioned:
        """Of a sample: means, spreads and draws."""
        part = self._begun(block, runs, outcome)
        made = products(block, outcome)
        if made is None:
            part.idle = runs
            return part
        part.level, weight, above = made
        self._weights(part, block, runs, leaves, weight, weight)
        for name, rows, value in zip(self.own, above, outcome.values, strict=False):
            shape = part.shapes[name] = tuple(rows.shape[1:])
            plain = block.result(value)
            if not bool(torch.isfinite(rows).all()):
                raise value_problem(block, runs, leaves, (*self.own, EVIDENCE))
            part.results[name] = Joint.of(runs, [rows, weight], shape)
            part.keep_sizes(name, rows, runs)
            square = torch.where(rows == 0, 0.0, rows * plain)  # a result may be infinite where it has no weight
            part.squares[name] = Joint.of(runs, [square, weight], shape)
            part.keep_draws(name, plain, runs)
        return part

    def _weights(
        self, part: Conditioned, block: Session, runs: int, leaves: dict[str, Tensor], weight: Tensor, of_run: Tensor
    ) -> None:
        if not bool(torch.isfinite(of_run).all()):
            raise value_problem(block, runs, leaves, (*self.own, EVIDENCE))
        part.weight = Joint.of(runs, [of_run], ())
        part.keep_sizes(EVIDENCE, of_run, runs)

    def gradient(self, block: Session, runs: int, leaves: dict[str, Tensor], outcome: Outcome) -> Conditioned:
        """Of runs that are differentiated."""
        part = self._begun(block, runs, outcome)
        made = products(block, outcome)
        if made is None:
            part.idle = runs
            block.points.release()
            return part
        part.level, weight, above = made
        if outcome.weight is not None:
            weight, above = block.points.rows(weight, outcome.lanes), [block.points.rows(rows, outcome.lanes) for rows in above]
        below = weighed(weight, outcome, runs)
        self._weights(part, block, runs, leaves, weight, below.value)
        results = [weighed(rows, outcome, runs) for rows in above]
        if outcome.met:
            motion = Motion(block.points.points, block.lifter)
            part.kinks, part.turns = decisive(outcome, [found.value for found in (*results, below)], motion)
        alone = not results and not outcome.cuts
        falls = next(iter(below.gradients(block.points, alone))).per_run
        place_of = list(leaves)
        for parameter, leaf, rows in zip(leaves, leaves.values(), falls, strict=True):
            full = _full(rows, leaf)
            self._finite(block, runs, full, EVIDENCE, parameter, len(outcome.values) - 1, 0)
            part.evidence[parameter] = Joint.of(runs, [below.value, full], tuple(leaf.shape[1:]))
            self._watch(part, EVIDENCE, parameter, 0, full, below.value)
        for number, (name, found) in enumerate(zip(self.own, results, strict=True)):
            shape = part.shapes[name] = found.shape
            if not bool(torch.isfinite(found.value).all()):
                raise value_problem(block, runs, leaves, (*self.own, EVIDENCE))
            part.results[name] = Joint.of(runs, [found.value, below.value], shape)
            part.keep_sizes(name, found.value, runs)
            last = number == len(results) - 1 and not outcome.cuts
            for at in found.gradients(block.points, last):
                column = found.value.reshape(found.value.shape[0], -1)[:, at.entry]
                for place, parameter in enumerate(place_of):
                    leaf = leaves[parameter]
                    full, fall = _full(at.per_run[place], leaf), _full(falls[place], leaf)
                    self._finite(block, runs, full, name, parameter, number, at.entry)
                    joint = Joint.of(runs, [column, below.value, full, fall], tuple(leaf.shape[1:]))
                    part.slopes.setdefault(name, {}).setdefault(parameter, []).append(joint)
                    ratio = joint.mean[0].reshape(-1)[0] / joint.mean[1].reshape(-1)[0]
                    self._watch(part, name, parameter, at.entry, full - ratio.to(full.dtype) * fall, below.value)
        if outcome.cuts:
            points = block.points.points if block.exact else ()
            error = remainder(outcome, [found.on_lanes for found in (*results, below)], points)
            part.cuts, part.exact_to = (outcome.cuts, error) if block.exact else ((), 0.0)
        block.points.release()
        return part

    def _finite(
        self, block: Session, runs: int, rows: Tensor, name: str, parameter: str, number: int, entry: int
    ) -> None:
        if observed() or bool(torch.isfinite(rows).all()):
            return
        if not block.safe:
            raise NotFinite
        raise gradient_problem(block, runs, block.expanded(runs), name, parameter, number, entry)

    def _watch(self, part: Conditioned, name: str, parameter: str, entry: int, rows: Tensor, below: Tensor) -> None:
        """What single runs contribute to a derivative, for its tails and for whoever wants to see them."""
        if name not in self.names:
            return
        mean = below.detach().mean()
        if part.exact or not float(mean) > 0:
            return
        scaled = rows.detach() / mean
        part.watch_tails(name, parameter, entry, scaled)
        if self.settings.keep_runs and part.start < KEPT_RUNS:
            part.kept.setdefault(name, {}).setdefault(f"{parameter}\0{entry}", []).append(scaled[: KEPT_RUNS - part.start].clone())


def _full(rows: Tensor | None, leaf: Tensor) -> Tensor:
    """Derivatives of single runs `[runs or 1, *parameter]`."""
    return torch.zeros_like(leaf[:1]) if rows is None else rows.detach()


__all__ = ["Conditioning", "Weighed", "linearised", "products", "weighed"]
