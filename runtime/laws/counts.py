"""Distributions of bits and counts.  Draws are numbers of the run's dtype; sure outcomes (probability 0 or 1) are drawn surely.

Log masses are exact at such a boundary: an outcome of probability 1 has log mass 0 and finite derivatives, an
impossible one -inf and none.  `boundary` says where an outcome of the support is impossible: there the score cannot see
the derivative.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from ...dsl.tables.limits import LEAST_KEPT
from ..arrays.broadcast import Shape
from ..arrays.kernels import choose, hits
from ..arrays.private import observed
from .law import Edge, Law
from .noise import FEW, Noise, coin
from .rounding import double, weigh, weigh_complement, whole

SPREADS = 12.0  # standard deviations above the mean, and
THIN = 75.0  # powers of e of a geometric tail, beyond which hardly 1e-32 is left
SLACK = 1e-5  # a relaxed draw is hard up to rounding


def numbers(low: float, high: float, most: int, like: Tensor) -> Tensor | None:
    """The whole numbers from `low` to `high`; None where they are more than `most`."""
    if not high - low < most:
        return None
    return torch.arange(low, high + 1, dtype=like.dtype, device=like.device)


class Endless(Law):
    """A law of the whole numbers from 0 on: its first outcomes are as good as all.  The spread of a count is less than `SPREADS`
    standard deviations, and its tail at least as thin as that of a geometric law (Chernoff's bound)."""

    def outcomes(self, most: int) -> Tensor | None:
        count = self.first_outcomes()
        return numbers(0, max(count, LEAST_KEPT), most, self.first) if count < most else None

    def first_outcomes(self) -> float:
        """How many outcomes there are before the rest has a probability far below 1e-30."""
        raise NotImplementedError

    def masses(self, x: Tensor) -> Tensor:
        """The probabilities of whole numbers `[K]` in float64 `[L or 1, *batch, K]`, with right derivatives also where one is 0."""
        raise NotImplementedError

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        table = self.masses(outcomes.double()).to(self.first.dtype)
        return table, torch.ones_like(table, dtype=torch.bool)


class Chance(Law):
    """A law with `probs` or `logits` of one event."""

    probs: Tensor | None = None
    logits: Tensor | None = None

    def chance(self) -> Tensor:
        """The probability."""
        if self.probs is not None:
            return self.probs
        assert self.logits is not None
        return torch.sigmoid(self.logits)

    def chances(self) -> tuple[Tensor, Tensor]:
        """The probabilities of 0 and of 1, either of which may be tiny if it is given by `logits`."""
        if self.logits is not None:
            return torch.sigmoid(-self.logits), torch.sigmoid(self.logits)
        chance = self.chance()
        return 1 - chance, chance

    def log_chances(self, ones: Tensor, zeros: Tensor) -> Tensor:
        """`ones * log p + zeros * log(1 - p)`, safe at the boundary."""
        if self.probs is not None:
            return weigh(ones, self.probs.to(ones.dtype)) + weigh_complement(zeros, self.probs.to(ones.dtype))
        assert self.logits is not None
        logits = self.logits.to(ones.dtype)
        return ones * logsigmoid(logits) + zeros * logsigmoid(-logits)

    def edge(self, *values: float) -> Edge | None:
        """Where `probs` is exactly one of the values; None: nowhere."""
        if self.probs is None:
            return None
        if not observed() and self.probs.numel():
            least, most = self.ends("probs")
            if all(value < least or value > most for value in values):
                return None
        found = self.probs == values[0]
        for value in values[1:]:
            found = found | (self.probs == value)
        return Edge("probs", found) if bool(found.any()) else None

    def support(self, value: Tensor) -> Tensor | None:
        return whole(value)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        raise NotImplementedError


def _logarithms(p: Tensor) -> tuple[Tensor, Tensor]:
    """`log(1 - p)`, and by how much `log p` is more."""
    none = torch.log1p(-p)
    return none, p.log() - none


class Bernoulli(Chance):
    lifts = True
    narrow = True

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        chance = self.chance()
        if chance.numel() > 1 and not any(chance.stride()):
            chance = chance.as_strided((1,) * chance.dim(), (1,) * chance.dim())  # a view of one number
        made = None
        if chance.device.type == "cpu" and 0 < FEW * chance.numel() <= math.prod(shape) and not noise.even:
            made = self.once("coin", coin, chance) if chance is self.probs else coin(chance)
        return noise.coins(shape, chance, made)

    def support(self, value: Tensor) -> Tensor | None:
        if value.requires_grad:
            return (value >= -SLACK) & (value <= 1 + SLACK)
        return (value == 0) | (value == 1)

    def density(self, value: Tensor) -> Tensor:
        if value.requires_grad:
            return self.log_chances(value, 1 - value)
        if self.probs is None:
            assert self.logits is not None
            if self.lift is not None:
                none = self.once("log sigmoid", lambda logits: logsigmoid(-logits), self.logits)
                return torch.addcmul(self.lift(none), self.lift(self.logits), value)
            return logsigmoid(choose(value != 0, self.logits, -self.logits))
        p = self.probs
        if self.edge(0.0, 1.0) is None:
            if self.lift is not None:
                none, more = self.once("logarithms", _logarithms, p)
                return torch.addcmul(self.lift(none), self.lift(more), value)
            if p.numel() < value.numel():
                none, more = _logarithms(p)
                return torch.addcmul(none, more, value)
            return torch.lerp(torch.log1p(-p), p.log(), value)
        hit = value != 0
        if self.lift is not None:
            p = self.lift(p)
        above, below = choose(p > 0, p, 1.0), choose(p < 1, p, 0.0)
        impossible = torch.where(hit, p == 0, p == 1)
        return choose(impossible, -math.inf, choose(hit, above.log(), torch.log1p(-below)))

    def summed_log_prob(self, value: Tensor, counted: Tensor | None = None) -> Tensor | None:
        p = self.probs
        if p is None or value.dim() != p.dim() or p.numel() != p.shape[0]:
            return None  # each element has a probability of its own
        ones, count = hits(value, counted)
        lift = self.lift or (lambda entry: entry)
        if self.edge(0.0, 1.0) is not None:
            p = lift(p).reshape(-1)
            return weigh(ones, p) + weigh_complement(count - ones, p)
        none, more = (lift(entry).reshape(-1) for entry in self.once("logarithms", _logarithms, p))
        return torch.addcmul(count * none, more, ones)

    def boundary(self) -> Edge | None:
        return self.edge(0.0, 1.0)

    def outcomes(self, most: int) -> Tensor | None:
        return numbers(0, 1, most, self.first)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        table = torch.stack(self.chances(), -1)
        return table, torch.ones_like(table, dtype=torch.bool)


class Binomial(Chance):
    total_count: Tensor

    def outcomes(self, most: int) -> Tensor | None:
        return numbers(0, float(self.total_count.detach().max()), most, self.first)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        n = self.total_count.detach().double().unsqueeze(-1)
        x = outcomes.double()
        possible = x <= n
        x = torch.where(possible, x, 0.0)
        ways = torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
        chance = self.chance().double().unsqueeze(-1)
        inner = (chance > 0) & (chance < 1)
        safe = torch.where(inner, chance, 0.5)
        usual = torch.exp(ways + x * safe.log() + (n - x) * torch.log1p(-safe))
        at_edge = torch.exp(ways) * chance**x * (1 - chance) ** (n - x)
        table = torch.where(possible, torch.where(inner, usual, at_edge) if not bool(inner.all()) else usual, 0.0)
        return table.to(self.first.dtype), possible.expand(table.shape)

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        chance = self.chance().detach()
        return noise.binomial(self.total_count.detach().expand(shape).contiguous(), chance.expand(shape).contiguous())

    def support(self, value: Tensor) -> Tensor | None:
        return whole(value) & (value <= self.total_count)

    def density(self, value: Tensor) -> Tensor:
        n, x = double(self.total_count, value)
        ways = torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
        return (ways + self.log_chances(x, n - x)).to(value.dtype)

    def relative_log_prob(self, value: Tensor) -> Tensor:
        return self.density(value) if value.requires_grad else self.log_chances(value, self.total_count - value)

    def boundary(self) -> Edge | None:
        edge = self.edge(0.0, 1.0)
        return None if edge is None else edge.counted(self.total_count > 0)


class Geometric(Endless, Chance):
    """The number of failures: the whole part of an exponential with rate -log(1 - p)."""

    def first_outcomes(self) -> float:
        rate = -torch.log1p(-self.chance().detach().double())
        return float((THIN / rate).max())

    def masses(self, x: Tensor) -> Tensor:
        failure, success = (chance.double().unsqueeze(-1) for chance in self.chances())
        return failure**x * success

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        if self.probs is not None:
            rate = -torch.log1p(-self.probs.detach())
        else:
            assert self.logits is not None
            rate = softplus(self.logits.detach())
        return (noise.exponential(shape, self.first) / rate).floor_()

    def density(self, value: Tensor) -> Tensor:
        return self.log_chances(torch.ones_like(value), value)

    def boundary(self) -> Edge | None:
        return self.edge(1.0)


class NegativeBinomial(Endless, Chance):
    """A Poisson whose rate is Gamma(total_count) times the odds."""

    total_count: Tensor

    def first_outcomes(self) -> float:
        chance, count = self.chance().detach().double(), self.total_count.detach().double()
        spread = (count * chance).sqrt() / (1 - chance)
        return float((count * chance / (1 - chance) + SPREADS * spread + THIN / -chance.log()).max())

    def masses(self, x: Tensor) -> Tensor:
        n, chance = (value.double().unsqueeze(-1) for value in (self.total_count, self.chance()))
        ways = torch.lgamma(n + x) - torch.lgamma(x + 1) - torch.lgamma(n)
        inner = chance > 0
        usual = torch.exp(ways + x * torch.where(inner, chance, 0.5).log() + n * torch.log1p(-chance))
        return usual if bool(inner.all()) else torch.where(inner, usual, torch.exp(ways) * chance**x * (1 - chance) ** n)

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        with torch.no_grad():
            odds = torch.exp(self.logits) if self.logits is not None else self.chance() / (1 - self.chance())
            rate = noise.gamma(self.total_count.expand(shape).contiguous()) * odds
            return noise.poisson(rate)

    def density(self, value: Tensor) -> Tensor:
        n, x = double(self.total_count, value)
        ways = torch.lgamma(n + x) - torch.lgamma(x + 1) - torch.lgamma(n)
        return (ways + self.log_chances(x, n)).to(value.dtype)

    def boundary(self) -> Edge | None:
        return self.edge(0.0)


class Poisson(Endless):
    rate: Tensor
    lifts = True

    def first_outcomes(self) -> float:
        rate = self.rate.detach().double()
        return float((rate + SPREADS * rate.sqrt() + THIN).max())

    def masses(self, x: Tensor) -> Tensor:
        rate, ways = self.rate.double().unsqueeze(-1), torch.lgamma(x + 1)
        inner = rate > 0
        usual = torch.exp(x * torch.where(inner, rate, 1.0).log() - rate - ways)
        return usual if bool(inner.all()) else torch.where(inner, usual, rate**x * torch.exp(-rate - ways))

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        return noise.poisson(self.rate.detach().expand(shape).contiguous())

    def support(self, value: Tensor) -> Tensor | None:
        return whole(value)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)

    def density(self, value: Tensor) -> Tensor:
        rate, x = double(self.rate, value)
        return (weigh(x, rate) - rate - torch.lgamma(x + 1)).to(value.dtype)

    def relative_log_prob(self, value: Tensor) -> Tensor:
        if value.requires_grad:
            return self.density(value)
        if self.lift is None:
            return weigh(value, self.rate) - self.rate
        if self._positive:
            return value * self.lift(self.once("log", torch.log, self.rate)) - self.lift(self.rate)
        rate = self.lift(self.rate)
        return weigh(value, rate) - rate

    @property
    def _positive(self) -> bool:
        """Whether every rate is above 0."""
        if observed() or not self.rate.numel():
            return bool((self.rate > 0).all())
        return self.ends("rate")[0] > 0

    def boundary(self) -> Edge | None:
        if self._positive:
            return None
        found = self.rate == 0
        return Edge("rate", found) if bool(found.any()) else None


class DiscreteUniform(Law):
    """Every whole number from `low` to `high` alike."""

    low: Tensor
    high: Tensor

    def outcomes(self, most: int) -> Tensor | None:
        return numbers(float(self.low.detach().min()), float(self.high.detach().max()), most, self.first)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.low.detach().unsqueeze(-1), self.high.detach().unsqueeze(-1)
        possible = (outcomes >= low) & (outcomes <= high)
        return torch.where(possible, 1 / (high - low + 1), 0.0), possible

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        low, high = self.low.detach(), self.high.detach()
        u = noise.uniform(shape, low, torch.float64)
        return torch.minimum(low + (u * (high - low + 1).double()).floor_().to(low.dtype), high)

    def support(self, value: Tensor) -> Tensor | None:
        return (value >= self.low) & (value <= self.high) & (value == value.floor())

    def stand_in(self, value: Tensor) -> Tensor:
        return self.low.detach() * torch.ones_like(value)

    def density(self, value: Tensor) -> Tensor:
        return -(self.high - self.low + 1).log() + torch.zeros_like(value)
