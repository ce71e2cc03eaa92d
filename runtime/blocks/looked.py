"""How often it pays to look at each site where runs fork: what a run that has kept a candidate there adds to the spread.

A run that has kept a candidate of weight w and mass m has the gradient g = W dw/m (Y_a - Y_b), W the mass of all its candidates.
If the masses of site s are multiplied by c_s, the mean square of the gradient becomes (sum of c_s M_s) (sum of A_s / c_s), with
M_s the mass of the site and A_s the mean of g^2/W over runs, where s was kept: it is least for c_s = sqrt(A_s/M_s).  M_s is the
mean of W where s was kept.  What else is in g only makes the masses worse, never wrong.  Of several gradients each counts alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..lanes.forking import Forks

ENTRIES = 64  # of a parameter, and
GRADIENTS = 16  # so many of them, that are looked at
BEFORE = 2.0  # runs, as it were, that have kept each site, and were like the average
LEAST = 0.05  # of the mass that a site had

Key = tuple[str, str, int]


class Looked:
    """By site, as far as they go, the sums over runs of W and, of each gradient, of g^2/W `[sites, entries]`; and how many runs."""

    def __init__(self, forks: Forks):
        self.own = forks.sites() + 1
        self.mass = forks.mass
        self.met = self._sums(self.mass)
        self.runs = self._sums(torch.ones_like(self.mass))
        self.squares: dict[Key, Tensor] = {}

    def _sums(self, rows: Tensor) -> Tensor:
        size = int(self.own.max()) + 1
        return rows.new_zeros(size, *rows.shape[1:]).index_add_(0, self.own, rows)[1:].cpu()

    def add(self, key: Key, gradient: Tensor) -> None:
        """The gradients `[runs, *parameter]` of one result entry."""
        if len(self.squares) < GRADIENTS and key not in self.squares:
            rows = gradient.detach().to(self.mass.dtype).reshape(gradient.shape[0], -1)[:, :ENTRIES]
            mass = torch.where(self.own > 0, self.mass, 1.0).unsqueeze(1)
            self.squares[key] = self._sums(rows**2 / mass)

    def merge(self, other: Looked) -> None:
        """With those of the next block."""
        self.met, self.runs = _added(self.met, other.met), _added(self.runs, other.runs)
        for key, squares in other.squares.items():
            self.squares[key] = _added(self.squares[key], squares) if key in self.squares else squares

    def masses(self) -> dict[int, float]:
        """How many times as much each site that was kept is to be looked at; none, where there are not two."""
        there = self.runs > 0
        columns = [_padded(squares, len(self.runs)) for squares in self.squares.values()]
        if int(there.sum()) < 2 or not columns:
            return {}
        table = torch.cat(columns, 1)
        table = table[:, (table.sum(0) > 0) & table.isfinite().all(0)]
        if not table.shape[1]:
            return {}
        shares = (table / table.sum(0)).mean(1)
        usual = self.met.sum() / self.runs.sum()
        wanted = (shares + BEFORE * usual / self.met.sum()) / (self.met + BEFORE * usual)
        wanted = wanted.sqrt()
        wanted = (wanted * self.met.sum() / (wanted * self.met).sum()).clamp_min(LEAST)
        return {site: float(f"{float(wanted[site]):.3g}") for site in there.nonzero().squeeze(1).tolist()}


def _padded(table: Tensor, size: int) -> Tensor:
    return torch.cat([table, table.new_zeros(size - len(table), *table.shape[1:])])


def _added(one: Tensor, other: Tensor) -> Tensor:
    size = max(len(one), len(other))
    return _padded(one, size) + _padded(other, size)


def looked_at(forks: Forks | None) -> Looked | None:
    """Of the runs of a block, where they fork at several sites."""
    return Looked(forks) if forks is not None and len({site for _, _, site in forks.given}) > 1 else None


__all__ = ["Looked", "looked_at"]
