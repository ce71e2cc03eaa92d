"""Which of the plans that a pilot has run is best.

A plan's figure is the mean squared error of its gradient at the requested number of runs, bias^2 + variance/n, per entry
relative to that of the best unbiased plan, summed over entries.  A relaxation's bias is the difference d from the best unbiased
plan, or from finite differences with common random numbers where those are less noisy (thousands of discrete draws), known
up to its standard error s.  Where |d| > 2s it counts as d^2 - s^2.  Else neither d^2 nor d^2 - s^2 can be used: with a score's
s, from a part of the runs, the first rejects every relaxation and the second takes a throw of a coin for a measurement.  So
the bias has a prior N(0, t^2), t = 0.2 (tau/0.5)^2 of the gradient (the bias of a relaxation falls with the square of its
temperature), and counts with its posterior mean square, (d t^2/(t^2 + s^2))^2 + t^2 s^2/(t^2 + s^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from ...dsl.planning.plan import Plan
from ...dsl.planning.trials import Prefer
from ...dsl.tables.estimators import ESTIMATORS
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from .effort import effort
from .rivals import CHANCE, UNLIKELY, Rival, apart, limit

BETTER = 0.9  # a variation must be so much better than what is there (mean squared errors)
FOR_PATHWISE = 0.25  # and to give up a reparameterised draw, so much: what it gains elsewhere is not seen in one program point
PRIOR = 0.2  # of the gradient: the bias that a relaxation at tau = 0.5 is thought to have
OUTDONE = 2  # so many times the mean squared error of an unbiased plan, and a relaxation with this bias is not tried
NOISIER = 3  # times the spread of the other: a plan that looks again where the two differ
DEARER = 4  # a plan may take so many times the work of the cheapest before that counts; where runs fork, all of it does


@dataclass(frozen=True)
class Measured:
    """What a pilot saw of an estimator: of the gradient, the bias and its standard error, the sd of one run, and the error
    at the requested number of runs.  Of several parameters, the Euclidean norms; unbiased estimators have a bias of 0."""

    bias: float
    bias_se: float
    sd: float
    error: float

    def to_dict(self) -> dict[str, float]:
        """The JSON."""
        return {"bias": self.bias, "bias_se": self.bias_se, "sd": self.sd}


@dataclass(frozen=True)
class Trial:
    """A plan that was run: per entry of the gradient the mean and the sd of a run.  `blind`: (result, parameter) of which
    all runs gave the same; `thin`: some spread rests on few runs."""

    prefer: Prefer
    plan: Plan
    mean: Tensor
    sd: Tensor
    runs: int
    work: float  # of one run
    steps: int = 0
    blind: frozenset[tuple[str, str]] = frozenset()
    thin: bool = False

    @property
    def variance(self) -> Tensor:
        """Of the mean."""
        return self.sd**2 / self.runs

    @cached_property
    def total(self) -> float:
        """The variance of a run, over all entries."""
        return float((self.sd**2).sum())

    @cached_property
    def enumerated(self) -> int:
        """How many sites are summed over."""
        return sum(ESTIMATORS[choice.estimator].exact for choice in self.plan.choices.values())

    def rival(self) -> Rival:
        """What it can be held against a gradient."""
        return Rival(self.plan.label, self.prefer, self.mean, self.variance, self.runs)

    def pooled(self, other: Trial) -> Trial:
        """With more runs of the same; thin, where the new ones do not show again what spread a few made."""
        total, shift = self.runs + other.runs, other.mean - self.mean
        squares = (self.runs - 1) * self.sd**2 + (other.runs - 1) * other.sd**2 + shift**2 * (self.runs * other.runs / total)
        return replace(
            other, prefer=self.prefer, plan=self.plan, mean=self.mean + shift * (other.runs / total),
            sd=(squares / (total - 1)).sqrt(), runs=total, blind=self.blind & other.blind,
            thin=other.thin or (self.thin and bool((NOISIER * other.sd < self.sd).any())),
        )

    @property
    def pathwise(self) -> int:
        """How many sites are reparameterised."""
        return self.plan.pathwise

    @cached_property
    def temperature(self) -> float:
        """The highest one of a relaxation."""
        return temperature(self.plan)


def made_of(prefer: Prefer, found: Estimate, gradient: dict[str, dict[str, Moments]]) -> Trial:
    """What the plan that was run (without what turned out to be too many outcomes) gave."""
    assert found.plan is not None
    moments = [m for rows in gradient.values() for m in rows.values()]
    mean = torch.cat([m.mean.reshape(-1) for m in moments]).cpu()
    sd = torch.cat([m.sd.reshape(-1) for m in moments]).cpu()
    few = found.spreads.few
    blind = frozenset(place for place, carriers in few.items() if not carriers)
    return Trial(prefer, found.plan, mean, sd, found.samples, found.work / found.samples, found.steps, blind, bool(few))


def temperature(plan: Plan) -> float:
    """The highest one of a plan's relaxations."""
    return max((float(c.options["tau"]) for c in plan.choices.values() if ESTIMATORS[c.estimator].relaxes), default=0.0)


@dataclass(kw_only=True)
class Figures:
    """The plans that were run, and how they compare at the requested number of runs; `overruled`: those that another one
    contradicts, which has seen more."""

    settings: Settings
    trials: list[Trial] = field(default_factory=list)
    overruled: list[tuple[Trial, Trial]] = field(default_factory=list)
    differences: tuple[Tensor, Tensor] | None = None  # means and variances of finite differences

    # ------------------------------------------------------------------------------------------------ contradictions
    @property
    def fair(self) -> list[Trial]:
        """The unbiased plans; of one that was run with two baselines at once the first."""
        return list({id(trial.plan): trial for trial in reversed(self.trials) if not trial.plan.biased}.values())[::-1]

    def doubtful(self, trial: Trial) -> tuple[Trial, Trial] | None:
        """The pair of this unbiased plan and another one whose means differ as they hardly ever would, the one first that has seen
        more; and what the other one shows of that is so little that it would win."""
        for other in self.fair:
            if other.plan is not trial.plan and not trial.plan.biased:
                z, at = _farthest(trial, other)
                more, less = _by_what_they_saw(trial, other, at)
                if more.enumerated == less.enumerated:  # whether the spread rests on few runs, new ones will tell
                    less, more = sorted((more, less), key=lambda one: float(one.sd[at]))
                entries = trial.mean.numel() * (len(self.fair) - 1)
                if z > limit(UNLIKELY, entries, min(trial.runs, other.runs)) and more.sd[at] > NOISIER * less.sd[at]:
                    return more, less
        return None

    def judge(self) -> None:
        """Set aside what is contradicted by a plan that has seen more."""
        self.overruled = []
        for number, one in enumerate(self.fair):
            for other in self.fair[number + 1 :]:
                z, at = _farthest(one, other)
                if z > limit(CHANCE, one.mean.numel(), min(one.runs, other.runs)):
                    more, less = _by_what_they_saw(one, other, at)
                    self.overruled.append((less, more))

    @property
    def sound(self) -> list[Trial]:
        """The plans that are not set aside: neither contradicted, nor blind where another one is not."""
        left = [trial for trial in self.trials if not any(trial.plan is less.plan for less, _ in self.overruled)]
        if not any(trial.blind for trial in left):
            return left
        seeing = [trial for trial in left if not any(not other.plan.biased and other.blind < trial.blind for other in left)]
        return seeing or left

    @property
    def rivals(self) -> list[Trial]:
        """The unbiased plans to hold a gradient against: those that are not set aside, or only for resting on few runs."""
        thin = {id(less): less for less, more in self.overruled if less.thin and _noisier(less, more)}
        return [trial for trial in (*self.sound, *thin.values()) if not trial.plan.biased]

    @property
    def reference(self) -> Trial | None:
        """The unbiased plan with the least variance."""
        fair = [trial for trial in self.sound if not trial.plan.biased]
        return min(fair, key=lambda trial: trial.total, default=None)

    def errors(self, trial: Trial) -> Tensor:
        """The mean squared error of each entry at the requested number of runs."""
        error = trial.sd**2 / self.settings.samples
        if trial.plan.biased and (against := self.against(trial)) is not None:
            difference, doubt = against
            prior = (PRIOR * (trial.temperature / 0.5) ** 2 * trial.mean) ** 2
            share = torch.where(prior + doubt > 0, prior / (prior + doubt), 0.0)
            believed = (difference * share) ** 2 + share * doubt
            error = error + torch.where(difference**2 > 4 * doubt, difference**2 - doubt, believed)
        return error

    def outdone(self, plan: Plan) -> bool:
        """Whether a relaxation need not be run: an unbiased plan's error at the requested number of runs is already well below the
        bias that a relaxation is thought to have."""
        if not plan.biased or self.reference is None:
            return False
        thought = (PRIOR * (temperature(plan) / 0.5) ** 2 * self.reference.mean) ** 2
        return bool((thought >= OUTDONE * self.errors(self.reference)).all())

    def against(self, trial: Trial) -> tuple[Tensor, Tensor] | None:
        """A relaxation's difference from what is known best, and the variance of that, per entry."""
        reference = self.reference
        if reference is None:
            return None
        mean, variance = reference.mean, reference.sd**2 / reference.runs
        if self.differences is not None:
            closer = self.differences[1] < variance
            mean = torch.where(closer, self.differences[0], mean)
            variance = torch.where(closer, self.differences[1], variance)
        return trial.mean - mean, variance + trial.sd**2 / trial.runs

    def figure(self, trial: Trial) -> float:
        """The error of a plan relative to the best unbiased one's, over all entries."""
        reference = self.reference
        own = self.errors(trial)
        if reference is None:
            return float(own.sum())
        unit = self.errors(reference)
        floor = float(unit.sum()) * 1e-12 + 1e-300
        return float((own / (unit + floor)).sum())

    def weighed(self, trial: Trial) -> float:
        """The figure, with a handicap for the regression baseline, which takes a second backward pass, and for much work."""
        regression = any(("baseline", "regression") in call.options for _, call in trial.prefer)
        return self.cost(trial) / (BETTER if regression else 1.0)

    def cost(self, trial: Trial) -> float:
        """The figure, with a handicap for much work."""
        return self.figure(trial) * self.dear(trial)

    def dear(self, trial: Trial) -> float:
        """How much better a plan must be for the work that it takes, or where runs fork, for what it would take with all runs."""
        if trial.plan.forks:
            return max(self.outlay(trial) / min(self.outlay(other) for other in self.trials), 1.0)
        least = min(other.work for other in self.trials)
        return max(trial.work / max(DEARER * least, 1e-300), 1.0)

    def outlay(self, trial: Trial) -> float:
        """The effort of all runs."""
        return effort(self.settings.samples * trial.work, trial.steps)

    def best(self) -> Trial | None:
        """The plan with the least error; of equals the earlier one.  Reparameterised draws are kept unless it pays well."""
        sound = self.sound
        best = min(sound, key=self.weighed, default=None)
        if best is None:
            return None
        pathwise = [trial for trial in sound if trial.pathwise > best.pathwise and not trial.plan.biased]
        kept = min(pathwise, key=self.weighed, default=None)
        if kept is None:
            return best
        return best if self.cost(best) < FOR_PATHWISE * self.cost(kept) else kept

    def measured(self, trial: Trial) -> Measured:
        """A plan's figures for the report."""
        bias = bias_se = 0.0
        if trial.plan.biased and (against := self.against(trial)) is not None:
            difference, doubt = against
            bias = float(difference) if difference.numel() == 1 else float(difference.norm())
            bias_se = float(doubt.sum().sqrt())
        return Measured(bias, bias_se, float(trial.sd.norm()), float(self.errors(trial).sum().sqrt()))

    def because(self) -> str:
        """What was set aside, and why, in words."""
        if not self.overruled:
            return ""
        less, more = min(self.overruled, key=lambda pair: self.trials.index(pair[0]))
        z, at = _farthest(less, more)
        told = [f"{one.plan.label} {float(one.mean[at]):.3g} +- {math.sqrt(float(one.variance[at])):.1g}" for one in (less, more)]
        why = "has the larger spread" if less.thin == more.thin else "rests on more runs"
        why = "sums over outcomes" if more.enumerated > less.enumerated else why
        return (
            f"{told[0]} and {told[1]} contradict each other ({z:.0f} standard errors): {less.plan.label} is set aside, because "
            f"{more.plan.label} {why}"
        )


def _farthest(one: Trial, other: Trial) -> tuple[float, int]:
    """The largest z-score between two plans, and of which entry."""
    z = apart(one.mean, one.variance, other.mean, other.variance).abs()
    at = int(z.argmax())
    return float(z[at]), at


def _noisier(one: Trial, other: Trial) -> bool:
    """Whether the first of two plans that sum over as many sites has the larger spread, where they differ most."""
    _, at = _farthest(one, other)
    return one.enumerated == other.enumerated and float(one.sd[at]) > float(other.sd[at])


def _by_what_they_saw(one: Trial, other: Trial, at: int) -> tuple[Trial, Trial]:
    """Two plans, the one first that has seen more: exact before sampled, many runs before a few, larger spread before smaller."""

    def seen(trial: Trial) -> tuple[int, bool, float]:
        return trial.enumerated, not trial.thin, float(trial.sd[at])

    return (one, other) if seen(one) >= seen(other) else (other, one)
