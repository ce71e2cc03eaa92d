"""`enumerate`: every outcome on a lane of its own, weighed by its probability (exact; ADEV's `enum`, Lew et al. 2023).

An array site has the product of its elements' outcomes; where only counts of them matter (`exchangeable.py`), one way stands for
all with the same counts, and its probability is that of a Binomial or Multinomial.  Weights are probabilities, not their
logarithms: where one is exactly 0 its derivative counts all the same, so the answer is right at the edge of the domain, where a
score is not.
Outcomes of probability 0 that do not move with a parameter are left out: nobody takes the way that they open.
Of laws without a last outcome a negligible rest is left out (`endings.py`).  Limits: a budget of lanes per run, and tables that
fit into memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.tables.estimators import ESTIMATORS
from ...dsl.tables.limits import LEAST_KEPT
from ..lanes.endings import FEWER, LAST, LATER, TAIL
from ..laws.weighted import shared_out
from .request import Drawn, Request

NUMBERS_PER_LANE = 64  # of one table of outcomes, for every lane that there may be
LEAST_NUMBERS, MOST_NUMBERS = 2**22, 2**26  # of any
MOST_ELEMENTS = 2**24  # of all lanes, where outcomes are counted
IMPROBABLE, LEAST = 1e-2, 1e-20  # outcomes of which a few factors are multiplied one by one, and of which more are nothing:
ORDERS = 8  # so many, as many derivatives as there are at 0
LARGEST = 600.0  # logarithm of a number
STIRLING = 16.0  # from here on the series is exact
APART = 8  # outcomes that are looked at one by one when some of them have probability 0


class Enumerate:
    """One lane per outcome."""

    facts = ESTIMATORS["enumerate"]

    def draw(self, request: Request) -> Drawn | None:
        """The outcomes, the lanes they continue and their probabilities; None where they are too many."""
        lanes, elements = request.shape[0], 1
        for size in request.shape[1 : 1 + request.batch]:
            elements *= size
        outcomes = request.law.outcomes(request.most_lanes)
        if outcomes is None:
            return None
        count, counted = outcomes.shape[0], request.counted and elements > 1
        number = math.comb(elements + count - 1, elements) if counted else count**elements
        if number * lanes > request.most_lanes * max(lanes, 1):
            return None
        rows = max(argument.shape[0] for argument in request.arguments.values())
        tables = rows * (count if counted else elements * count) + lanes * number
        if tables > (request.most_table or min(max(NUMBERS_PER_LANE * request.most_lanes, LEAST_NUMBERS), MOST_NUMBERS)):
            return None
        if counted and lanes * number * elements > MOST_ELEMENTS:
            return None
        request.meter.spend(tables + (lanes * number * elements if counted else 0))
        make = _counts if counted else _ways
        if rows == 1:  # the same in every lane, and perhaps in the next round
            what = make.__name__, request.row.name, *request.arguments, *request.shape[1:]
            found: _Ways = request.law.once(what, lambda *_: make(request, outcomes, elements), *request.arguments.values())
        else:
            found = make(request, outcomes, elements)
        index, ways, places = found.on(lanes, request.places)
        late = found.late
        if late is not None:
            row = index if request.places is None else request.places[index]
            row = row if late.shape[0] > 1 else torch.zeros_like(row)
            late = late[row.unsqueeze(1), torch.arange(elements, device=outcomes.device), found.digits[ways]].amax(-1)

        def anew() -> Tensor:
            table, _ = request.law.probabilities(outcomes)
            return found.weights(found.weigh(table), places, lanes)

        value = outcomes[found.digits].index_select(0, ways).reshape(index.shape[0], *request.shape[1:])
        weights = found.weights(found.probability, places, lanes)
        return Drawn(value, None, index, weights, late, found.held, found.rest, anew if rows > 1 else None)


@dataclass(frozen=True)
class _Ways:
    """All ways of a draw: how to `weigh` them by the table of a law, their `probability` `[rows, ways]`, which are `kept`, and the
    outcome of each element `digits` `[ways, elements]`; of endless laws which outcomes are `late` `[rows, elements, count]`, how
    many are `held`, and how probable the `rest` is."""

    weigh: Callable[[Tensor], Tensor]
    probability: Tensor
    kept: Tensor
    every: bool
    digits: Tensor
    late: Tensor | None
    held: int
    rest: float

    def on(self, lanes: int, rows: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """On so many lanes (`rows`: of each): the old lane of each new one, its way, and the place of its probability (None: all
        ways of every lane, one after another)."""
        count, device = self.probability.shape[1], self.probability.device
        if rows is not None:
            index, ways = self.kept.index_select(0, rows).nonzero(as_tuple=True)
            return index, ways, rows[index] * count + ways
        if self.every:
            index = torch.arange(lanes, device=device).repeat_interleave(count)
            return index, torch.arange(count, device=device).repeat(lanes), None
        if self.kept.shape[0] == 1 and self.probability.shape[0] == 1:
            some = self.kept[0].nonzero().squeeze(1)
            ways = some.repeat(lanes)
            return torch.arange(lanes, device=device).repeat_interleave(some.shape[0]), ways, ways
        index, ways = self.kept.nonzero(as_tuple=True)
        return index, ways, index * count + ways

    def weights(self, probability: Tensor, places: Tensor | None, lanes: int) -> Tensor:
        """The probabilities at some places, or of all ways of so many lanes."""
        if places is None:
            return probability.expand(lanes, probability.shape[1]).reshape(-1)
        return probability.reshape(-1).index_select(0, places)


def _ways(request: Request, outcomes: Tensor, elements: int) -> _Ways:
    """All ways of a draw."""
    table, possible = request.law.probabilities(outcomes)
    count = outcomes.shape[0]
    batch = request.shape[1 : 1 + request.batch]

    def of_elements(table: Tensor) -> Tensor:
        return table.expand(table.shape[0], *batch, count).reshape(table.shape[0], elements, count)

    def weigh(table: Tensor) -> Tensor:
        if elements == 1:
            return table.reshape(table.shape[0], count)
        return of_elements(table)[:, places, digits].prod(-1)

    given, table = table, of_elements(table)
    open_ways = of_elements(possible)
    open_ways = open_ways & ((table > 0) | _moving(table, open_ways, request))
    late, rest, held = None, 0.0, 0
    if request.row.endless and elements:
        late, near, rest, held = _ages(table)
        open_ways = open_ways & near
    digits = _digits(count, elements, outcomes.device)
    places = torch.arange(elements, device=outcomes.device)
    kept = open_ways[:, places, digits].all(-1)
    return _Ways(weigh, weigh(given), kept, bool(kept.all()), digits, late, held, rest)


def _counts(request: Request, outcomes: Tensor, elements: int) -> _Ways:
    """One way of a draw for all that have the same number of elements with each outcome; the elements have one law."""
    table, possible = request.law.probabilities(outcomes)
    count, device = outcomes.shape[0], outcomes.device

    def weigh(table: Tensor) -> Tensor:
        first = table.reshape(table.shape[0], -1, count)[:, 0]
        return _multinomial(first, counts.double()).to(table.dtype)

    given, table = table, table.reshape(table.shape[0], -1, count)[:, :1]
    possible = possible.reshape(possible.shape[0], -1, count)[:, :1]
    possible = possible & ((table > 0) | _moving(table, possible, request))
    counts = torch.tensor(shared_out(elements, count), device=device)
    kept = (possible | (counts == 0)).all(-1)
    digits = torch.arange(count, device=device).repeat(counts.shape[0]).repeat_interleave(counts.reshape(-1))
    probability = weigh(given)
    rare = (table >= IMPROBABLE) | (counts == 0) | (counts > ORDERS)
    kept = kept & ~((probability == 0) & rare.all(-1))  # what is below the least number, with all its derivatives
    return _Ways(weigh, probability, kept, bool(kept.all()), digits.reshape(-1, elements), None, 0, 0.0)


def _multinomial(table: Tensor, counts: Tensor) -> Tensor:
    """The probability of counts `[ways, count]` of outcomes whose probabilities are `[rows, count]`, in float64 `[rows, ways]`.

    By logarithms, as single factors are beyond any number, of ratios near 1 (Loader 2000: the terms of log n! cancel).  Of what is
    improbable some factors are multiplied one by one: they have derivatives at 0, and no differences of large numbers in these.
    """
    shares = table.double()
    if table.dtype != torch.float64:
        shares = shares / shares.sum(-1, keepdim=True)  # what a sum lacks is lacking once for every element
    small, least, total = shares < IMPROBABLE, shares < LEAST, counts.sum(-1)
    number = total.unsqueeze(-1) / counts.clamp_min(1.0)
    some = torch.where(small.unsqueeze(1), counts.clamp_max(ORDERS), 0.0)
    logarithms = (counts - some) * (torch.where(least, 1.0, shares).unsqueeze(1) * number).log() + some * number.log()
    logarithm = _rest(total) - _rest(counts).sum(-1) + logarithms.sum(-1)
    if not bool(small.any()):
        return logarithm.exp()
    found = logarithm.clamp(max=LARGEST).exp() * ~(least.unsqueeze(1) & (counts > ORDERS)).any(-1)
    for outcome in small.any(0).nonzero().squeeze(1).tolist():
        share = torch.where(small[:, outcome], shares[:, outcome], 1.0).unsqueeze(1)
        for power in range(ORDERS):
            found = found * torch.where(counts[:, outcome] > power, share, 1.0)
    return found


def _rest(k: Tensor) -> Tensor:
    """`log k! - k log k + k`, by Stirling's series where that is exact."""
    one = 1 / k.clamp_min(STIRLING)
    series = one * (1 / 12 - one**2 * (1 / 360 - one**2 * (1 / 1260 - one**2 * (1 / 1680 - one**2 / 1188))))
    return torch.where(k < STIRLING, torch.lgamma(k + 1) - torch.xlogy(k, k) + k, 0.5 * torch.log(2 * math.pi / one) + series)


def _ages(table: Tensor) -> tuple[Tensor, Tensor, float, int]:
    """Of outcomes without end `[rows, elements, count]`: which are among the last that are kept, which are kept, the largest
    probability of the rest, and the most that are kept."""
    beyond = table.detach().flip(-1).cumsum(-1).flip(-1)
    place = torch.arange(table.shape[-1], device=table.device)
    near = (beyond >= FEWER) | (place < LEAST_KEPT)
    begin, end = ((mask.sum(-1, keepdim=True)) for mask in (beyond >= TAIL, near))
    part = (place - begin) / (end - begin).clamp_min(1)
    ages = (part >= LATER).to(table.dtype) + (part >= LAST).to(table.dtype)
    return ages, near, float(torch.where(near, 0.0, beyond).amax()), int(end.max())


def _digits(count: int, elements: int, device: torch.device) -> Tensor:
    """All ways to choose one of `count` outcomes for each element `[count^elements, elements]`."""
    number = torch.arange(count**elements, device=device).unsqueeze(1)
    powers = torch.tensor([count**place for place in reversed(range(elements))], device=device, dtype=torch.long)
    return number // powers % count


def _moving(table: Tensor, possible: Tensor, request: Request) -> Tensor:
    """Where a probability of exactly 0 moves with a parameter `[rows, elements, count]`, outcome by outcome where they are few
    (one bool where nothing does)."""
    zero = possible & (table == 0)
    none = torch.zeros((), dtype=torch.bool, device=table.device)
    if not table.requires_grad or not bool(zero.any()) or not request.motion().moves(table, zero):
        return none
    if table.shape[-1] > APART:
        return zero
    outcome = torch.arange(table.shape[-1], device=table.device)
    for number in outcome[zero.any(0).any(0)]:
        if not request.motion().moves(table, zero & (outcome == number)):
            zero = zero & (outcome != number)
    return zero
