"""Other outcomes that a draw might have had, and how much more likely a parameter makes them.

With f the rest of the run as a function of the draw x,
    d E[f(x)] = E[ sum over ways of  w (f(other) - f(x)) ],      w of value 0, dw known:
Bernoulli(p): flip, (1 - 2x) dp.  Binomial(N, p): x + 1, (N - x) dp, and x - 1, -x dp.  Poisson(l): x + 1, dl.  Geometric(p): x + 1,
-(x + 1)/p dp.  NegativeBinomial(r, p): x + 1, (r + x)/(1 - p) dp.  Categorical: each other outcome k, dp_k; Multinomial: one of its
draws that gave j gives k, x_j dp_k.  All by summation by parts, right where a probability is 0 or 1, too.

A way has a mass, how much it is looked at: positive wherever its weight moves, about its derivative in the logarithm of the odds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from .counts import Bernoulli, Binomial, Chance, Geometric, NegativeBinomial, Poisson
from .law import Law
from .weighted import Categorical, Multinomial, OneHotCategorical, Weighted

Moves = Callable[[Tensor, Tensor], bool]  # whether entries of a value, under a mask, move with a parameter


class Others(Protocol):
    """The ways in which a draw `[lanes, *shape]` might have been another.  `masses` `[lanes, ways]` of each; `rows` and `ways`
    `[k]` name some of them.  `paired`: in each way there are two others, and the difference between them is what counts; else
    that between the one and the draw."""

    masses: Tensor
    paired: bool

    def weight(self, rows: Tensor, ways: Tensor) -> Tensor:
        """The weights `[k]`: 0, with a derivative."""
        ...

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        """The other draws `[k, *shape]`, one or two, from all that were drawn `[lanes, *shape]`."""
        ...


def others(law: Law, value: Tensor, moves: Moves) -> Others:
    """Of a draw `[lanes, *batch, *event]` of a law."""
    if isinstance(law, Multinomial):
        return _Shares(law, value, moves)
    if isinstance(law, Categorical | OneHotCategorical):
        return _Categories(law, value, moves)
    return _Steps(law, value, moves)


def _inner(mass: Tensor, live: Tensor, edge: Tensor, moves: Moves) -> Tensor:
    """A mass; at the edge of the domain, where it is 0, 1 if the argument moves there."""
    if not bool(edge.any()):
        return mass
    return torch.where(edge, 1.0 if moves(live, edge) else 0.0, mass)


def _places(elements: Tensor, batch: Shape) -> list[Tensor]:
    """The indices along each axis of elements of a batch."""
    return list(torch.unravel_index(elements, batch)) if batch else []


def _picked(table: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Entries of a table that may have axes of 1."""
    return table[tuple(place if size > 1 else torch.zeros_like(place) for size, place in zip(table.shape, places, strict=True))]


class _Steps:
    """One element of a count or of a bit more, or less."""

    paired = False

    def __init__(self, law: Law, value: Tensor, moves: Moves):
        self.batch = tuple(value.shape[1:])
        steps = [(step, factor.expand(value.shape)) for step, factor in self.steps(law, value)]
        self.factors = [factor for _, factor in steps]
        self.by = [step for step, _ in steps]
        scale = self.scale(law, moves)
        masses = torch.stack([factor.abs() * scale for factor in self.factors], -1)
        self.masses = masses.reshape(value.shape[0], -1)

    def scale(self, law: Law, moves: Moves) -> Tensor:
        """By how much the argument moves with the logarithm of the rate or of the odds, and what it is that moves."""
        self.argument = law.rate if isinstance(law, Poisson) else self._chance(law)
        if isinstance(law, Poisson):
            rate = law.rate.detach()
            return _inner(rate, law.rate, rate == 0, moves)
        assert isinstance(law, Chance)
        none, one = (chance.detach() for chance in law.chances())
        mass = none * one
        return mass if law.probs is None else _inner(mass, law.probs, mass == 0, moves)

    @staticmethod
    def _chance(law: Law) -> Tensor:
        """The probability, or what differs from it by a number, and is exact where it is next to 1."""
        assert isinstance(law, Chance)
        if law.probs is not None:
            return law.probs
        assert law.logits is not None
        return torch.where(law.logits > 0, -torch.sigmoid(-law.logits), torch.sigmoid(law.logits))

    @staticmethod
    def steps(law: Law, x: Tensor) -> list[tuple[Tensor | float, Tensor]]:
        """By how much a draw may differ, and what the motion of the argument is multiplied by there."""
        match law:
            case Bernoulli():
                return [(1 - 2 * x, 1 - 2 * x)]
            case Binomial():
                return [(1.0, law.total_count.detach() - x), (-1.0, -x)]
            case Poisson():
                return [(1.0, torch.ones_like(x))]
            case Geometric():
                return [(1.0, -(x + 1) / law.chance().detach())]
            case NegativeBinomial():
                return [(1.0, (law.total_count.detach() + x) / law.chances()[0].detach())]
        raise NotImplementedError(f"the other outcomes of {type(law).__name__}")

    def weight(self, rows: Tensor, ways: Tensor) -> Tensor:
        kinds = len(self.factors)
        places = [rows, *_places(ways // kinds, self.batch)]
        moved = _picked(self.argument, places)
        factor = torch.stack([_picked(factor, places) for factor in self.factors], -1)
        return (moved - moved.detach()) * factor.gather(-1, (ways % kinds).unsqueeze(-1)).squeeze(-1)

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        kinds = len(self.factors)
        found, element = value.index_select(0, rows), ways // kinds
        flat = found.view(rows.shape[0], -1)
        row = torch.arange(rows.shape[0], device=rows.device)
        for kind, step in enumerate(self.by):
            here = (ways % kinds == kind).to(value.dtype)
            by = step if isinstance(step, float) else _picked(step, [rows, *_places(element, self.batch)])
            flat[row, element] += by * here
        return (found,)


def _table(law: Weighted, moves: Moves) -> tuple[Tensor, Tensor]:
    """The probability of each category, and its mass."""
    table, _ = law.shares()
    mass = table.detach()
    return table, mass if law.probs is None else _inner(mass, table, mass == 0, moves)


class _Categories:
    """One element is another outcome."""

    paired = False

    def __init__(self, law: Categorical | OneHotCategorical, value: Tensor, moves: Moves):
        self.table, mass = _table(law, moves)
        self.event = law.event
        self.count = mass.shape[-1]
        drawn = value.argmax(-1) if self.event else value.long()
        self.batch = tuple(drawn.shape[1:])
        same = drawn.unsqueeze(-1) == torch.arange(self.count, device=value.device)
        self.masses = torch.where(same, 0.0, mass).reshape(value.shape[0], -1)

    def weight(self, rows: Tensor, ways: Tensor) -> Tensor:
        moved = _picked(self.table, [rows, *_places(ways // self.count, self.batch), ways % self.count])
        return moved - moved.detach()

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        found, other = value.index_select(0, rows), ways % self.count
        row = torch.arange(rows.shape[0], device=rows.device)
        if self.event:
            found.view(rows.shape[0], -1, self.count)[row, ways // self.count] = torch.nn.functional.one_hot(
                other, self.count
            ).to(value.dtype)
        else:
            found.view(rows.shape[0], -1)[row, ways // self.count] = other.to(value.dtype)
        return (found,)


class _Shares:
    """One of the draws of an element that came out as one category comes out as another."""

    paired = False

    def __init__(self, law: Multinomial, value: Tensor, moves: Moves):
        self.table, mass = _table(law, moves)
        self.count = mass.shape[-1]
        self.batch = tuple(value.shape[1:-1])
        self.drawn = value
        apart = 1 - torch.eye(self.count, dtype=value.dtype, device=value.device)
        self.masses = (value.unsqueeze(-1) * mass.unsqueeze(-2) * apart).reshape(value.shape[0], -1)

    def weight(self, rows: Tensor, ways: Tensor) -> Tensor:
        element, given, other = self._ways(ways)
        places = [rows, *_places(element, self.batch)]
        moved = _picked(self.table, [*places, other])
        return (moved - moved.detach()) * _picked(self.drawn, [*places, given])

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        element, given, other = self._ways(ways)
        found, row = value.index_select(0, rows), torch.arange(rows.shape[0], device=rows.device)
        flat = found.view(rows.shape[0], -1, self.count)
        flat[row, element, given] -= 1
        flat[row, element, other] += 1
        return (found,)

    def _ways(self, ways: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ways // self.count**2, ways // self.count % self.count, ways % self.count


__all__ = ["Moves", "Others", "others"]
