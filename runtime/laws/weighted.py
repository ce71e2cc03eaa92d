"""Distributions of one of several outcomes, by weights."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ..arrays.broadcast import Shape, together
from .counts import SLACK, numbers
from .law import Edge, Law
from .noise import Noise
from .rounding import double, whole


class Weighted(Law):
    """A law with weights (`probs`, not normalised) or their logarithms (`logits`) along the last axis."""

    probs: Tensor | None = None
    logits: Tensor | None = None

    def weights(self) -> Tensor:
        """Weights without graph, in float64, `[L or 1, *batch, categories]`."""
        if self.probs is not None:
            return self.probs.detach().double()
        assert self.logits is not None
        return torch.softmax(self.logits.detach().double(), -1)

    def log_weights(self) -> Tensor:
        """Log probabilities; -inf without derivative where a weight is 0."""
        if self.logits is not None:
            return torch.log_softmax(self.logits, -1)
        assert self.probs is not None
        total = self.probs.sum(-1, keepdim=True).log()
        if bool((self.probs > 0).all()):
            return self.probs.log() - total
        present = self.probs > 0
        return torch.where(present, torch.where(present, self.probs, 1.0).log() - total, -math.inf)

    def draw_index(self, shape: Shape, noise: Noise) -> Tensor:
        """Indices (int64) of the given shape `[L, *batch]`: how many partial sums lie at or below a uniform."""
        weights = self.weights()
        sums = weights.cumsum(-1)
        u = noise.uniform(shape, weights, torch.float64)
        shared = sums.shape[:-1].numel() == 1
        if shared:
            sums = sums.reshape(-1)
            return torch.searchsorted(sums[:-1].contiguous(), u * sums[-1], right=True)
        if sums.shape[-1] <= 16:
            return (u.unsqueeze(-1) * sums[..., -1:] >= sums[..., :-1]).sum(-1)
        rows = sums.expand(*shape, sums.shape[-1])
        marks = (u * sums[..., -1]).unsqueeze(-1)
        return torch.searchsorted(rows[..., :-1].contiguous(), marks, right=True).squeeze(-1)

    def picked(self, index: Tensor) -> Tensor:
        """Log probabilities of the categories `index` (int64, `[L, *batch]`)."""
        table = self.log_weights()
        places, _ = together(index, table[..., 0])
        rows = table.expand(*places.shape, table.shape[-1])
        return rows.gather(-1, places.unsqueeze(-1)).squeeze(-1)

    def shares(self) -> tuple[Tensor, Tensor]:
        """The probability of each category, and that all are in the support."""
        if self.logits is not None:
            table = torch.softmax(self.logits, -1)
        else:
            assert self.probs is not None
            table = self.probs / self.probs.sum(-1, keepdim=True)
        return table, torch.ones_like(table, dtype=torch.bool)

    def boundary(self) -> Edge | None:
        if self.probs is not None:
            edge = Edge("probs", self.probs == 0)
        else:
            assert self.logits is not None
            edge = Edge("logits", self.logits == -math.inf, log=True)
        return edge if bool(edge.where.any()) else None


class Categorical(Weighted):
    def outcomes(self, most: int) -> Tensor | None:
        return numbers(0, self.first.shape[-1] - 1, most, self.first)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        return self.shares()

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        return self.draw_index(shape, noise).to(self.first.dtype)

    def support(self, value: Tensor) -> Tensor | None:
        return whole(value) & (value < self.first.shape[-1])

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)

    def density(self, value: Tensor) -> Tensor:
        return self.picked(value.long())


class OneHotCategorical(Weighted):
    event = 1

    def outcomes(self, most: int) -> Tensor | None:
        count = self.first.shape[-1]
        return torch.eye(count, dtype=self.first.dtype, device=self.first.device) if count <= most else None

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        return self.shares()

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        index = self.draw_index(shape[:-1], noise).unsqueeze(-1)
        return torch.zeros(shape, dtype=self.first.dtype, device=self.first.device).scatter_(-1, index, 1.0)

    def support(self, value: Tensor) -> Tensor | None:
        slack = SLACK if value.requires_grad else 0.0
        whole_one = (value.sum(-1) - 1).abs() <= slack
        if value.requires_grad:
            return whole_one & ((value >= -slack) & (value <= 1 + slack)).all(-1)
        return whole_one & ((value == 0) | (value == 1)).all(-1)

    def stand_in(self, value: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.zeros_like(value[..., 0], dtype=torch.long), value.shape[-1]).to(value)

    def density(self, value: Tensor) -> Tensor:
        if not value.requires_grad:
            return self.picked(value.argmax(-1))
        table = self.log_weights()
        if bool((table > -math.inf).all()):
            return (value * table).sum(-1)
        absent = table == -math.inf
        finite = (value * torch.where(absent, 0.0, table)).sum(-1)
        return torch.where((absent & (value.abs() > SLACK)).any(-1), -math.inf, finite)


class Multinomial(Weighted):
    """One binomial after another: each category takes its share of what is left."""

    event = 1
    total_count: Tensor

    def boundary(self) -> Edge | None:
        edge = super().boundary()
        return None if edge is None else edge.counted((self.total_count > 0).unsqueeze(-1))

    def outcomes(self, most: int) -> Tensor | None:
        least, largest = int(self.total_count.detach().min()), int(self.total_count.detach().max())
        categories = self.shares()[0].shape[-1]
        ways = sum(math.comb(total + categories - 1, categories - 1) for total in range(least, largest + 1))
        if ways > most:
            return None
        rows = [row for total in range(least, largest + 1) for row in shared_out(total, categories)]
        return torch.tensor(rows, dtype=self.first.dtype, device=self.first.device)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        x, n = double(outcomes, self.total_count.detach().unsqueeze(-1))
        possible = x.sum(-1) == n
        share = self.shares()[0].double().unsqueeze(-2)
        ways = torch.exp(torch.lgamma(x.sum(-1) + 1) - torch.lgamma(x + 1).sum(-1))
        table = torch.where(possible, ways * (share**x).prod(-1), 0.0)
        return table.to(self.first.dtype), possible.expand(table.shape)

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        weights = self.weights()
        rest = weights.flip(-1).cumsum(-1).flip(-1)
        share = torch.where(rest > 0, weights / rest, 0.0).clamp(0, 1).to(self.first.dtype)
        left = self.total_count.detach().expand(shape[:-1]).contiguous()
        counts = []
        for category in range(shape[-1] - 1):
            taken = noise.binomial(left, share[..., category].expand(shape[:-1]).contiguous())
            counts.append(taken)
            left = left - taken
        return torch.stack((*counts, left), -1)

    def support(self, value: Tensor) -> Tensor | None:
        return whole(value).all(-1) & (value.sum(-1) == self.total_count)

    def stand_in(self, value: Tensor) -> Tensor:
        """Everything in the first category; its mass may be 0, which does no harm."""
        first = torch.zeros_like(value)
        first[..., 0] = self.total_count
        return first

    def density(self, value: Tensor) -> Tensor:
        x, n = double(value, self.total_count)
        table = self.log_weights().double()
        absent = table == -math.inf
        mass = (x * torch.where(absent, 0.0, table)).sum(-1)
        ways = torch.lgamma(n + 1) - torch.lgamma(x + 1).sum(-1)
        return torch.where((absent & (x != 0)).any(-1), -math.inf, mass + ways).to(value.dtype)


def shared_out(total: int, categories: int) -> list[list[int]]:
    """Every way to share `total` things out among categories."""
    bars = itertools.combinations(range(total + categories - 1), categories - 1)
    return [
        [after - before - 1 for before, after in zip((-1, *places), (*places, total + categories - 1), strict=True)]
        for places in bars
    ]
