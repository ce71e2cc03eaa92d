"""Runs that have weights: their means are quotients, and what belongs together in a run is kept together.

With A = E[w y] and B = E[w], the result of a program that weighs its runs is A / B (self-normalised importance sampling, Owen 2013,
"Monte Carlo theory, methods and examples", eq. 9.6), and its evidence log B.  Their derivatives are
    d(A/B) = (dA - A/B dB) / B,      d log B = dB / B,
of which every part is a mean over the runs.  So standard errors follow from the joint spread of a run's numbers (w y, w, d(w y),
dw) by the delta method (Owen 2013, eq. 9.8), and from the second derivatives what the quotients are off on the average for the
spread, of the order 1/n, which is taken off (Tin 1965).  Weights are kept relative to the largest logarithm that was seen.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...dsl.planning.plan import Plan
from ...dsl.tables.constants import EVIDENCE
from .collect import Collected, Estimate, stacked
from .moments import Moments
from .pareto import pareto_shape
from .session import Session
from .settings import Settings
from .spreads import heavy, known, tails_of
from .worth import Weights

KEPT_WEIGHTS = 2**18  # runs of which the logarithms of weights are kept
BENT = 0.2  # part of a variance


@dataclass
class Joint:
    """Of `count` runs the means `[k, *shape]` of k numbers of each, and the sums of the products of their deviations
    `[k, k, *shape]`."""

    count: int
    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, runs: int, columns: list[Tensor], shape: tuple[int, ...]) -> Joint:
        """Of numbers `[runs or 1, *shape, or fewer axes]`."""
        wide = [
            column.detach().double().reshape(column.shape[0], *column.shape[1:], *(1,) * (len(shape) + 1 - column.dim()))
            .expand(runs, *shape) for column in columns
        ]
        rows = torch.stack(wide, 1)
        mean = rows.mean(0)
        apart = rows - rows[0]  # equal numbers have a spread of exactly 0
        apart = apart - apart.mean(0)
        flat = apart.reshape(runs, len(columns), -1)
        spread = torch.einsum("rip,rjp->ijp", flat, flat).reshape(len(columns), len(columns), *shape)
        return cls(runs, mean, spread)

    def scaled(self, factor: float) -> Joint:
        """Of numbers that are so many times as large."""
        return self if factor == 1 else Joint(self.count, self.mean * factor, self.spread * factor**2)

    def merged(self, other: Joint) -> Joint:
        """Of the runs of both (Chan, Golub & LeVeque 1979)."""
        total = self.count + other.count
        shift = other.mean - self.mean
        outer = shift.unsqueeze(0) * shift.unsqueeze(1)
        spread = self.spread + other.spread + outer * (self.count * other.count / total)
        return Joint(total, self.mean + shift * (other.count / total), spread)

    def with_idle(self, runs: int) -> Joint:
        """Of so many more runs, whose numbers are all 0."""
        return self.merged(Joint(runs, torch.zeros_like(self.mean), torch.zeros_like(self.spread))) if runs else self

    def moved(self, device: torch.device) -> Joint:
        """The same on another device."""
        return Joint(self.count, self.mean.to(device), self.spread.to(device))

    def covariance(self) -> Tensor:
        """That of the means `[k, k, *shape]`; nan of a single run."""
        return self.spread / (self.count * (self.count - 1)) if self.count > 1 else torch.full_like(self.spread, math.nan)


@dataclass(frozen=True)
class Function:
    """A function at the means of a Joint: its `value`, its derivative in each mean, and its second derivatives in two of them."""

    value: Tensor
    slopes: list[Tensor]
    bends: dict[tuple[int, int], Tensor]

    def spreads(self, joint: Joint) -> tuple[Tensor, Tensor, Tensor]:
        """What it is off on the average for the spread C of the means, half the trace of H C; its variance g' C g; and that of the
        second order, half the trace of H C H C (Bickel & Doksum 2015, section 5.3)."""
        c, bend = joint.covariance(), torch.zeros_like(joint.spread)
        slope = torch.stack([slope.expand(joint.mean.shape[1:]) for slope in self.slopes])
        for (i, j), second in self.bends.items():
            bend[i, j] = bend[j, i] = second
        turn = torch.einsum("ij...,jk...->ik...", bend, c)
        variance = torch.einsum("i...,ij...,j...->...", slope, c, slope).clamp_min(0)
        return torch.einsum("ii...->...", turn) / 2, variance, torch.einsum("ij...,ji...->...", turn, turn).clamp_min(0) / 2

    def moments(self, joint: Joint, exact: bool) -> Moments:
        """Its value, standard error, and the standard deviation of a run."""
        if exact:
            return Moments(self.value.cpu(), torch.zeros_like(self.value).cpu(), torch.zeros_like(self.value).cpu())
        off, variance, second = self.spreads(joint)
        se = (variance + second).sqrt()
        value = self.value - off if joint.count > 1 else self.value
        return Moments(value.cpu(), se.cpu(), (se * math.sqrt(joint.count)).cpu())

    def vanishes(self, joint: Joint) -> bool:
        """Whether it bends within the noise of the means so much that no interval is symmetric."""
        _, variance, second = self.spreads(joint)
        return bool((second > BENT * (variance + second)).any())


def quotient(joint: Joint) -> Function:
    """A / B, from (w y, w)."""
    above, below = joint.mean
    ratio = above / below
    return Function(ratio, [1 / below, -ratio / below], {(0, 1): -1 / below**2, (1, 1): 2 * ratio / below**2})


def slope_of_quotient(joint: Joint) -> Function:
    """d(A / B), from (w y, w, d(w y), dw)."""
    a, b, da, db = joint.mean
    return Function(
        da / b - a * db / b**2, [-db / b**2, 2 * a * db / b**3 - da / b**2, 1 / b, -a / b**2],
        {(0, 1): 2 * db / b**3, (0, 3): -1 / b**2, (1, 1): 2 * da / b**3 - 6 * a * db / b**4, (1, 2): -1 / b**2,
         (1, 3): 2 * a / b**3},
    )


def logarithm(joint: Joint, level: float) -> Function:
    """log B, from (w,) relative to exp(level)."""
    below = joint.mean[0]
    return Function(below.log() + level, [1 / below], {(0, 0): -1 / below**2})


def slope_of_logarithm(joint: Joint) -> Function:
    """d log B, from (w, dw)."""
    below, slope = joint.mean
    return Function(slope / below, [-slope / below**2, 1 / below], {(0, 0): 2 * slope / below**3, (0, 1): -1 / below**2})


class Conditioned(Collected):
    """What weighed runs have come to.  `weight` is the Joint of (w,); `results` by name those of (w y, w), `slopes` by name and
    parameter, entry by entry, those of (w y, w, d(w y), dw), `evidence` by parameter those of (w, dw); all relative to
    exp(`level`).  `idle`: runs whose weight is 0 that are not among them yet."""

    def __init__(self, names: tuple[str, ...], settings: Settings, start: int = 0):
        super().__init__(names, settings, start)
        self.level = -math.inf
        self.idle = 0
        self.weight: Joint | None = None
        self.results: dict[str, Joint] = {}
        self.squares: dict[str, Joint] = {}  # of a sample: (w y^2, w)
        self.slopes: dict[str, dict[str, list[Joint]]] = {}
        self.evidence: dict[str, Joint] = {}
        self.logs: dict[str, list[Tensor]] = {}  # of the weights (`EVIDENCE`), and of the sizes of what results add up

    def keep_sizes(self, name: str, rows: Tensor, runs: int) -> None:
        """Keep the logarithms of the sizes `[runs]` of `[runs or 1, *shape]`, relative to exp(`level`): of the largest entry."""
        if self.start < KEPT_WEIGHTS:
            sizes = rows.detach().abs().reshape(rows.shape[0], -1).amax(1).expand(runs)
            self.logs.setdefault(name, []).append(sizes.double().log() + self.level)

    def _tail_of(self, parts: list[Tensor]) -> float:
        known = torch.cat([part.cpu() for part in parts])
        return pareto_shape(torch.cat([known, known.new_full((min(self.idle, KEPT_WEIGHTS),), -math.inf)]))

    # ---------------------------------------------------------------------------------------------------- blocks
    def merge(self, part: Collected, session: Session) -> None:
        """Take in the next block."""
        assert isinstance(part, Conditioned)
        level = max(self.level, part.level)
        self._shaped(part, session)
        self._join(part, *(0.0 if own == -math.inf else math.exp(own - level) for own in (self.level, part.level)))
        self.level = level
        self.idle += part.idle
        for name, sizes in part.logs.items():
            self.logs.setdefault(name, []).extend(sizes)
        self._kept_too(part)

    def _join(self, part: Conditioned, mine: float, theirs: float) -> None:
        def joined(one: Joint | None, other: Joint | None) -> Joint | None:
            if one is None or other is None:
                return other.scaled(theirs) if one is None and other is not None else None if one is None else one.scaled(mine)
            return one.scaled(mine).merged(other.scaled(theirs))

        def rows(one: dict[str, Joint], other: dict[str, Joint]) -> dict[str, Joint]:
            return {name: found for name in {**one, **other} if (found := joined(one.get(name), other.get(name))) is not None}

        self.weight = joined(self.weight, part.weight)
        self.results, self.squares = rows(self.results, part.results), rows(self.squares, part.squares)
        self.evidence = rows(self.evidence, part.evidence)
        for name in {**self.slopes, **part.slopes}:
            own, other = self.slopes.get(name, {}), part.slopes.get(name, {})
            self.slopes[name] = {
                parameter: [
                    found for entry in range(max(len(own.get(parameter, ())), len(other.get(parameter, ()))))
                    if (found := joined(_at(own.get(parameter), entry), _at(other.get(parameter), entry))) is not None
                ] for parameter in {**own, **other}
            }

    def sent(self) -> Collected:
        """The same in the memory of the CPU, for another process."""
        other, cpu = copy.copy(self), torch.device("cpu")
        other.weight = None if self.weight is None else self.weight.moved(cpu)
        for kept in ("results", "squares", "evidence"):
            setattr(other, kept, {name: joint.moved(cpu) for name, joint in getattr(self, kept).items()})
        other.slopes = {
            name: {p: [joint.moved(cpu) for joint in joints] for p, joints in row.items()} for name, row in self.slopes.items()
        }
        other.logs = {name: [part.cpu() for part in parts] for name, parts in self.logs.items()}
        other.watched = {key: [part.cpu() for part in parts] for key, parts in self.watched.items()}
        return other

    # --------------------------------------------------------------------------------------------------- moments
    @property
    def impossible(self) -> bool:
        """Whether every weight so far is 0."""
        return self.weight is None or not float(self.weight.mean[0]) > 0

    def _of(self, function: Callable[[Joint], Function], joint: Joint) -> Moments:
        joint = joint.with_idle(self.idle)
        return function(joint).moments(joint, self.exact)

    def _bent(self) -> tuple[tuple[str, str], ...]:
        """The results and parameters whose derivatives bend within the noise."""
        if self.exact or self.done < 2:
            return ()
        slopes = {EVIDENCE: {p: [joint] for p, joint in self.evidence.items()}, **self.slopes}
        return tuple(
            (name, p) for name, rows in slopes.items() for p, joints in rows.items()
            if any(self._vanishes(slope_of_logarithm if name == EVIDENCE else slope_of_quotient, joint) for joint in joints)
        )

    def _vanishes(self, function: Callable[[Joint], Function], joint: Joint) -> bool:
        joint = joint.with_idle(self.idle)
        return function(joint).vanishes(joint)

    def _value(self, name: str) -> Moments:
        if name == EVIDENCE:
            assert self.weight is not None
            return logarithm(weight := self.weight.with_idle(self.idle), self.level).moments(weight, self.exact)
        found = self._of(quotient, self.results[name])
        if name in self.squares:  # of a sample the spread of the posterior is asked for, not that of a run's contribution
            square = self._of(quotient, self.squares[name]).mean
            found = replace(found, sd=(square - found.mean**2).clamp_min(0).sqrt())
        return found

    def _slopes(self, name: str) -> dict[str, Moments]:
        if name == EVIDENCE:
            return {p: self._of(slope_of_logarithm, joint) for p, joint in self.evidence.items()}
        return {
            p: stacked([self._of(slope_of_quotient, joint) for joint in joints], self.shapes[name])
            for p, joints in self.slopes.get(name, {}).items()
        }

    def _all(self) -> Iterator[Moments]:
        for name in self.names:
            yield self._value(name)
            yield from self._slopes(name).values()

    def reached(self) -> bool:
        """Whether every standard error is small enough."""
        target = self.settings.target_se
        if target is None or self.exact:
            return True
        if self.impossible or self.done < min(1000, self.settings.samples):
            return False
        return all(bool((moments.se <= target).all()) for moments in self._all())

    def estimate(self, plan: Plan | None, started: float, **more: Any) -> Estimate:
        """What there is; some weight must be positive."""
        assert self.weight is not None
        weight = self.weight.with_idle(self.idle)
        return Estimate(
            value={name: self._value(name) for name in self.names},
            gradient={name: self._slopes(name) for name in self.names} if self.evidence or self.slopes else {},
            per_run={name: {p: self._kept(name, p, 1 if name == EVIDENCE else len(self.slopes[name][p])) for p in rows}
                     for name, rows in self._kept_names().items()},
            draws=self.resampled(), weights=self.weights(weight),
            spreads=known({} if self.exact else heavy(tails_of(self.watched))),
            **self._circumstances(plan, started), **more,
        )

    def _kept_names(self) -> dict[str, list[str]]:
        return {name: list(dict.fromkeys(key.split("\0")[0] for key in columns)) for name, columns in self.kept.items()}

    def weights(self, weight: Joint) -> Weights:
        """What is said of the weights: the evidence, its derivatives, how many runs they are worth, and their tail."""
        mean = float(weight.mean[0])
        square = float(weight.spread[0, 0]) / weight.count + mean**2
        shape = worst = math.nan
        if not self.exact and self.logs:
            shapes = {name: self._tail_of(parts) for name, parts in self.logs.items()}
            shape = shapes[EVIDENCE]
            worst = max((own for own in shapes.values() if not math.isnan(own)), default=math.nan)
        return Weights(
            logarithm(weight, self.level).moments(weight, self.exact),
            {p: self._of(slope_of_logarithm, joint) for p, joint in self.evidence.items()},
            math.inf if self.exact else weight.count * mean**2 / square, shape, worst, self._bent(),
        )

    def resampled(self) -> dict[str, Tensor]:
        """As many draws from the posterior as runs were kept, by systematic resampling (Kitagawa 1996)."""
        if not self.draws or EVIDENCE not in self.logs:
            return {}
        logs = torch.cat(self.logs[EVIDENCE]).double().cpu()
        found: dict[str, Tensor] = {}
        for name, parts in self.draws.items():
            rows = torch.cat(parts)
            own = logs[: rows.shape[0]]
            if own.shape[0] < rows.shape[0] or not bool((own > -math.inf).any()):
                continue
            share = torch.softmax(own, 0).cumsum(0)
            generator = torch.Generator().manual_seed(self.settings.seed % 2**32)
            points = (torch.arange(rows.shape[0]) + torch.rand(1, generator=generator, dtype=torch.float64)) / rows.shape[0]
            found[name] = rows[torch.searchsorted(share, points).clamp_max(rows.shape[0] - 1).to(rows.device)]
        return found


def _at(joints: list[Joint] | None, entry: int) -> Joint | None:
    return joints[entry] if joints is not None and entry < len(joints) else None


__all__ = ["Conditioned", "Joint"]
