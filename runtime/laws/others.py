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


Rows = Callable[[Tensor], Tensor]  # of a tensor `[lanes or 1, ...]` those of some lanes, with their derivative


class Others(Protocol):
    """The ways in which a draw `[lanes, *shape]` might have been another; `rows` and `ways` `[k]` name some of them.  `paired`: in
    each way there are two others, and the difference between them is what counts; else that between the one and the draw."""

    paired: bool

    def total(self, count: int) -> Tensor:
        """The mass of all ways together, of the first lanes, in float64 `[count or 1]`."""
        ...

    def masses(self, rows: Tensor) -> Tensor:
        """The mass of each way `[k or 1, ways]`."""
        ...

    def weight(self, rows: Tensor, ways: Tensor, at: Rows) -> Tensor:
        """The weights `[k]`: 0, with a derivative."""
        ...

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        """The other draws `[k, *shape]`, one or two, from all that were drawn `[lanes, *shape]`."""
        ...


def others(law: Law, value: Tensor, moves: Moves, uncounted: Tensor | None = None, front: int | None = None) -> Others:
    """Of a draw `[lanes, *batch, *event]` of a law; `uncounted` elements `[front or 1, *batch]` are looked at nowhere, and lanes
    beyond the first `front` are not asked for (None: all may be)."""
    if isinstance(law, Multinomial):
        return _Shares(law, value, moves)
    if isinstance(law, Categorical | OneHotCategorical):
        return _Categories(law, value, moves)
    return _Steps(law, value, moves, uncounted, value.shape[0] if front is None else front)


def _inner(mass: Tensor, live: Tensor, edge: Tensor, moves: Moves) -> Tensor:
    """A mass; at the edge of the domain, where it is 0, 1 if the argument moves there."""
    if not bool(edge.any()):
        return mass
    return torch.where(edge, 1.0 if moves(live, edge) else 0.0, mass)


def _places(elements: Tensor, batch: Shape) -> list[Tensor]:
    """The indices of elements of a batch, in the first axis of `[k, *batch]` and in the others."""
    row = torch.arange(elements.shape[0], device=elements.device)
    return [row, *torch.unravel_index(elements, batch)] if batch else [row]


def _picked(table: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Entries of a table that may have axes of 1."""
    if len(places) == 1 and table.shape[0] == places[0].shape[0]:
        return table
    return table[tuple(place if size > 1 else torch.zeros_like(place) for size, place in zip(table.shape, places, strict=True))]


def _first(table: Tensor, count: int) -> Tensor:
    """Of the first lanes."""
    return table if table.shape[0] == 1 else table[:count]


def _chosen(table: Tensor, rows: Tensor) -> Tensor:
    """Of some lanes."""
    return table if table.shape[0] == 1 else table.index_select(0, rows)


def _summed(masses: Tensor) -> Tensor:
    """Of each lane, in float64."""
    flat = masses.reshape(masses.shape[0], -1)
    return (flat[:, 0] if flat.shape[1] == 1 else flat @ flat.new_ones(flat.shape[1])).double()


def _entries(table: Tensor, rows: Tensor, element: Tensor, batch: Shape) -> Tensor:
    """Of some lanes of a table `[lanes or 1, *batch]`, which may have axes of 1, one element each `[k or 1]`."""
    if not batch:
        return _chosen(table, rows)
    places = rows, *(torch.unravel_index(element, batch) if len(batch) > 1 else (element,))
    return table[tuple(place if size > 1 else torch.zeros_like(place) for size, place in zip(table.shape, places, strict=True))]


def _scale(law: Law, moves: Moves, front: int) -> Tensor:
    """By how much the argument moves with the logarithm of the rate or of the odds, on the first lanes."""
    if any(argument.shape[0] > front for argument in law.arguments.values()):
        law = type(law)({name: _first(argument, front) for name, argument in law.arguments.items()})
    if isinstance(law, Poisson):
        rate = law.rate.detach()
        return _inner(rate, law.rate, rate == 0, moves)
    assert isinstance(law, Chance)
    none, one = (chance.detach() for chance in law.chances())
    mass = none * one
    return mass if law.probs is None else _inner(mass, law.probs, mass == 0, moves)


def _argument(law: Law, at: Rows) -> Tensor:
    """What moves, on some lanes: the rate or the probability, or what differs from it by a number, and is exact where it is next to
    1."""
    if isinstance(law, Poisson):
        return at(law.rate)
    assert isinstance(law, Chance)
    if law.probs is not None:
        return at(law.probs)
    assert law.logits is not None
    logits = at(law.logits)
    return torch.where(logits > 0, -torch.sigmoid(-logits), torch.sigmoid(logits))


class _Steps:
    """One element of a count or of a bit more, or less."""

    paired = False

    def __init__(self, law: Law, value: Tensor, moves: Moves, uncounted: Tensor | None, front: int):
        self.law = law
        self.drawn = value
        self.batch = tuple(value.shape[1:])
        self.scale = _scale(law, moves, front)
        if uncounted is not None:
            self.scale = self.scale * torch.logical_not(uncounted).view(torch.uint8)  # faster than `where`
        self.given: list[Tensor] = []
        match law:
            case Binomial():
                self.given = [law.total_count.detach()]
            case Geometric():
                self.given = [law.chance().detach()]
            case NegativeBinomial():
                self.given = [law.total_count.detach(), law.chances()[0].detach()]

    def factors(self, x: Tensor, given: Sequence[Tensor]) -> list[Tensor]:
        """What the motion of the argument is multiplied by, for each step that a draw may differ by."""
        match self.law:
            case Bernoulli():
                return [1 - 2 * x]
            case Binomial():
                return [given[0] - x, -x]
            case Poisson():
                return [torch.ones_like(x)]
            case Geometric():
                return [-(x + 1) / given[0]]
            case NegativeBinomial():
                return [(given[0] + x) / given[1]]
        raise NotImplementedError(f"the other outcomes of {type(self.law).__name__}")

    def total(self, count: int) -> Tensor:
        scale = _first(self.scale, count)
        match self.law:
            case Bernoulli() | Poisson():
                mass = scale
            case Binomial():
                mass = scale * _first(self.given[0], count)
            case _:
                (factor,) = self.factors(self.drawn[:count], [_first(given, count) for given in self.given])
                mass = factor.abs() * scale
        return _summed(mass.expand(mass.shape[0], *self.batch))

    def masses(self, rows: Tensor) -> Tensor:
        scale = _chosen(self.scale, rows)
        if isinstance(self.law, Bernoulli | Poisson):
            return scale.expand(scale.shape[0], *self.batch).flatten(1) if self.batch else scale.unsqueeze(1)
        factors = self._at(rows)
        return torch.stack([(factor.abs() * scale).expand(rows.shape[0], *self.batch) for factor in factors], -1).flatten(1)

    def _at(self, rows: Tensor) -> list[Tensor]:
        return self.factors(self.drawn.index_select(0, rows), [_chosen(given, rows) for given in self.given])

    def weight(self, rows: Tensor, ways: Tensor, at: Rows) -> Tensor:
        kinds = 2 if isinstance(self.law, Binomial) else 1
        element = ways // kinds if kinds > 1 else ways
        drawn, *given = (_entries(table, rows, element, self.batch) for table in (self.drawn, *self.given))
        factor, *other = self.factors(drawn, given)
        for more in other:
            factor = torch.where(ways % kinds == 1, more, factor)
        moved = _picked(_argument(self.law, at), _places(element, self.batch))
        return (moved - moved.detach()) * factor

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        found = value.index_select(0, rows)
        flat = found.view(rows.shape[0], -1)
        if flat.shape[1] == 1 and isinstance(self.law, Bernoulli | Poisson):
            return ((1 - found) if isinstance(self.law, Bernoulli) else found + 1,)
        if isinstance(self.law, Bernoulli):
            element = ways.unsqueeze(1)
            flat.scatter_(1, element, 1 - flat.gather(1, element))
        elif isinstance(self.law, Binomial):
            flat.scatter_add_(1, (ways // 2).unsqueeze(1), (1 - 2 * (ways % 2)).unsqueeze(1).to(flat.dtype))
        else:
            flat.scatter_add_(1, ways.unsqueeze(1), flat.new_ones(rows.shape[0], 1))
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
        self.table, self.mass = _table(law, moves)
        self.event = law.event
        self.count = self.mass.shape[-1]
        self.drawn = value.argmax(-1) if self.event else value.long()
        self.batch = tuple(self.drawn.shape[1:])

    def _of(self, drawn: Tensor, mass: Tensor) -> Tensor:
        same = drawn.unsqueeze(-1) == torch.arange(self.count, device=drawn.device)
        return torch.where(same, 0.0, mass).flatten(1)

    def total(self, count: int) -> Tensor:
        return _summed(self._of(self.drawn[:count], _first(self.mass, count)))

    def masses(self, rows: Tensor) -> Tensor:
        return self._of(self.drawn.index_select(0, rows), _chosen(self.mass, rows))

    def weight(self, rows: Tensor, ways: Tensor, at: Rows) -> Tensor:
        moved = _picked(at(self.table), [*_places(ways // self.count, self.batch), ways % self.count])
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
        self.table, self.mass = _table(law, moves)
        self.count = self.mass.shape[-1]
        self.batch = tuple(value.shape[1:-1])
        self.drawn = value
        self.apart = 1 - torch.eye(self.count, dtype=value.dtype, device=value.device)

    def _of(self, drawn: Tensor, mass: Tensor) -> Tensor:
        return (drawn.unsqueeze(-1) * mass.unsqueeze(-2) * self.apart).flatten(1)

    def total(self, count: int) -> Tensor:
        return _summed(self._of(self.drawn[:count], _first(self.mass, count)))

    def masses(self, rows: Tensor) -> Tensor:
        return self._of(self.drawn.index_select(0, rows), _chosen(self.mass, rows))

    def weight(self, rows: Tensor, ways: Tensor, at: Rows) -> Tensor:
        element, given, other = self._ways(ways)
        places = _places(element, self.batch)
        moved = _picked(at(self.table), [*places, other])
        return (moved - moved.detach()) * _picked(self.drawn.index_select(0, rows), [*places, given])

    def changed(self, value: Tensor, rows: Tensor, ways: Tensor) -> Sequence[Tensor]:
        element, given, other = self._ways(ways)
        found, row = value.index_select(0, rows), torch.arange(rows.shape[0], device=rows.device)
        flat = found.view(rows.shape[0], -1, self.count)
        flat[row, element, given] -= 1
        flat[row, element, other] += 1
        return (found,)

    def _ways(self, ways: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ways // self.count**2, ways // self.count % self.count, ways % self.count


__all__ = ["Moves", "Others", "Rows", "others"]
