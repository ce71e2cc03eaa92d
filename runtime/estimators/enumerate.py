"""`enumerate`: every outcome on a lane of its own, weighed by its probability (exact; ADEV's `enum`, Lew et al. 2023).

An array site has the product of its elements' outcomes.  Weights are probabilities, not their logarithms: where one is
exactly 0 its derivative counts all the same, so the answer is right at the edge of the domain, where a score is not.
Outcomes of probability 0 that do not move with a parameter are left out: nobody takes the way that they open.
Of laws without a last outcome a negligible rest is left out (`endings.py`).  Limits: a budget of lanes per run, and tables that
fit into memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...dsl.tables.estimators import ESTIMATORS
from ...dsl.tables.limits import LEAST_KEPT
from ..lanes.endings import FEWER, LAST, LATER, TAIL
from .request import Drawn, Request

NUMBERS_PER_LANE = 64  # of one table of outcomes, for every lane that there may be
LEAST_NUMBERS, MOST_NUMBERS = 2**22, 2**26  # of any
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
        if outcomes is None or outcomes.shape[0] ** elements * lanes > request.most_lanes * max(lanes, 1):
            return None
        rows = max(argument.shape[0] for argument in request.arguments.values())
        tables = rows * elements * outcomes.shape[0] + lanes * outcomes.shape[0] ** elements
        if tables > (request.most_table or min(max(NUMBERS_PER_LANE * request.most_lanes, LEAST_NUMBERS), MOST_NUMBERS)):
            return None
        request.meter.spend(tables)
        if rows == 1:  # the same in every lane, and perhaps in the next round
            what = "outcomes", request.row.name, *request.arguments, *request.shape[1:]
            found = request.law.once(what, lambda *_: _ways(request, outcomes, elements), *request.arguments.values())
        else:
            found = _ways(request, outcomes, elements)
        index, ways, weights = found.on(lanes, request.places)
        digits = found.digits[ways]
        late = found.late
        if late is not None:
            row = index if request.places is None else request.places[index]
            row = row if late.shape[0] > 1 else torch.zeros_like(row)
            late = late[row.unsqueeze(1), torch.arange(elements, device=outcomes.device), digits].amax(-1)
        value = outcomes[digits].reshape(index.shape[0], *request.shape[1:])
        return Drawn(value, None, index, weights, late, found.held, found.rest)


@dataclass(frozen=True)
class _Ways:
    """All ways of a draw: their `probability` `[rows, ways]`, which are `kept`, and the outcome of each element `digits` `[ways,
    elements]`; of endless laws which outcomes are `late` `[rows, elements, count]`, how many are `held`, and how probable the
    `rest` is."""

    probability: Tensor
    kept: Tensor
    every: bool
    digits: Tensor
    late: Tensor | None
    held: int
    rest: float

    def on(self, lanes: int, places: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """On so many lanes: the old lane of each new one, its way and its probability."""
        probability, device = self.probability, self.probability.device
        count = probability.shape[1]
        if places is not None:
            index, ways = self.kept.index_select(0, places).nonzero(as_tuple=True)
            return index, ways, probability.reshape(-1).index_select(0, places[index] * count + ways)
        if self.every:
            index = torch.arange(lanes, device=device).repeat_interleave(count)
            return index, torch.arange(count, device=device).repeat(lanes), probability.expand(lanes, count).reshape(-1)
        if self.kept.shape[0] == 1 and probability.shape[0] == 1:
            some = self.kept[0].nonzero().squeeze(1)
            index = torch.arange(lanes, device=device).repeat_interleave(some.shape[0])
            ways = some.repeat(lanes)
            return index, ways, probability[0].index_select(0, ways)
        index, ways = self.kept.nonzero(as_tuple=True)
        return index, ways, probability[self.kept]


def _ways(request: Request, outcomes: Tensor, elements: int) -> _Ways:
    """All ways of a draw."""
    table, possible = request.law.probabilities(outcomes)
    count, rows = outcomes.shape[0], table.shape[0]
    batch = request.shape[1 : 1 + request.batch]
    table = table.expand(rows, *batch, count).reshape(rows, elements, count)
    open_ways = possible.expand(possible.shape[0], *batch, count).reshape(possible.shape[0], elements, count)
    open_ways = open_ways & ((table > 0) | _moving(table, open_ways, request))
    late, rest, held = None, 0.0, 0
    if request.row.endless and elements:
        late, near, rest, held = _ages(table)
        open_ways = open_ways & near
    digits = _digits(count, elements, outcomes.device)
    places = torch.arange(elements, device=outcomes.device)
    kept = open_ways[:, places, digits].all(-1)
    probability = table[:, places, digits].prod(-1) if elements != 1 else table[:, 0]
    return _Ways(probability, kept, bool(kept.all()), digits, late, held, rest)


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
