"""One run goes on as two: alternatives of runs, on lanes beside theirs, and what the difference of their results is worth.

A *candidate* is another value that a draw of a run might have had, with a weight w of value 0 whose derivative is known, and a mass
m, positive wherever w moves.  Of all candidates that a run meets one is kept: those of total mass T replace the kept one with
probability T/W, W the mass of all so far, so that at the end each has been kept with probability m/W, whatever the masses.  The
kept one goes on as an *alternative* of the run, a lane that draws the same noise as its run wherever both execute the same call
(`coupling.py`) and has no candidates of its own.  With a = W w/m, of value 0,
    Y = (1 - a) Y_run + a Y_alternative
is the result of the run, with the derivative that comes of all its candidates.  Some candidates have a pair of alternatives, on
both sides of a jump; then Y = Y_run + a (Y_one - Y_other).  So an alternative is a lane with a weight, as an outcome that was
enumerated is.  It is known by its ticket, the other one of a pair by minus that; where its run has kept a later one, it is stale,
and is left out where lanes are sorted, and at the end.  As long as it is known where the alternatives of runs are, a new one takes
the place of the old (`Twins`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import Tensor

from ...dsl.jumps.atoms import Atom
from ..arrays.gathering import picked
from ..arrays.kernels import compare, where_true
from ..laws.noise import Noise
from ..laws.others import Others
from .lanes import Lanes, Patched, Twins
from .values import Uniform

EACH, SELDOM = 4, 16  # meetings, in the first block and in later ones
FEW = 4096  # lanes of which it is asked first whether a value is the same


class Forks:
    """The alternatives of a block of runs: per run the mass of all candidates, W, up to which mass the kept one is kept, and its
    ticket (0: none yet).  To be replaced with probability T/W by those of mass T is to be kept up to a mass of W/u, u uniform."""

    def __init__(self, runs: int, noise: Noise, device: torch.device, before: int = 0):
        self.noise = noise
        self.later = before > 0  # there have been runs of other blocks
        self.mass = torch.zeros(runs, dtype=torch.float64, device=device)
        self.more = 0.0  # mass that all runs have met beside that
        self.limit = torch.zeros(runs, dtype=torch.float64, device=device)
        self.room: Tensor | None = None  # from the mass to the limit
        self.kept = torch.zeros(runs, dtype=torch.long, device=device)
        self.ratios: list[Tensor] = []  # w/m of every ticket that was given out,
        self.given: list[tuple[int, bool, int]] = []  # and of how many it is that of a pair, or not, and at which site
        self.tickets = 0
        first = Random(before).randrange(SELDOM) if before else 0
        self.meetings: defaultdict[int, int] = defaultdict(lambda: first)  # by site
        self.atoms: dict[int, list[Atom]] = {}  # by site, as far as they are worked out
        self.unlike: set[int] = set()  # sites where runs were not all alike, which is not asked again
        self.idle: frozenset[int] = frozenset()  # results that no alternative of a run has changed, by their numbers

    def often(self, site: int) -> bool:
        """Whether a meeting of this site is looked at: in the first block each of the first few, and then one of a few; in later
        ones now and then, not always the same."""
        self.meetings[site] += 1
        number = self.meetings[site]
        return number % SELDOM == 0 if self.later else number <= EACH or number % EACH == 0

    def meet(self, lanes: Lanes, value: Tensor, others: Others, site: int, more: float) -> tuple[Lanes, Tensor]:
        """The runs among the lanes meet other outcomes of their draws `[lanes, ...]`, with masses that are so many times `more`:
        those that take one go on as two lanes.  Gives the lanes, and the draws on them."""
        twins = twins_of(lanes)
        if twins is not None and not twins.front:
            return lanes, value
        taken = self._taken(lanes, twins, others, more)
        if not taken.shape[0]:
            return lanes, value
        ways, chosen = self._ways(others.masses(taken), taken.shape[0])
        self.ratios.append(others.weight(taken, ways, _at(lanes, taken)) / (chosen * more))
        tickets = torch.arange(self.tickets + 1, self.tickets + 1 + taken.shape[0], device=taken.device)
        self.tickets += taken.shape[0]
        self.given.append((taken.shape[0], others.paired, site))
        runs = _runs(lanes, twins, taken)
        self.kept.index_copy_(0, runs, tickets)
        mass = self.mass.index_select(0, runs)
        chance = self.noise.rand((taken.shape[0],), torch.float64, self.mass.device)
        limit = (mass + self.more) / (1 - chance)
        self.limit.index_copy_(0, runs, limit)
        if self.room is not None:
            self.room.index_copy_(0, runs, limit - mass)
        sides = others.changed(value, taken, ways)
        tickets = torch.cat((tickets, -tickets)[: len(sides)])
        other = sides[0] if len(sides) == 1 else torch.cat(list(sides))
        if twins is None:
            return self._sorted(lanes, taken.repeat(len(sides)), tickets, value, other)
        onward = _beside(lanes, twins, taken, len(sides), tickets)
        if onward.count == value.shape[0] and not value.requires_grad and value.is_contiguous():
            return onward, value.index_copy_(0, onward.at, other)  # a draw that was made just now is nobody else's
        return onward, onward.put(value, other)

    def _taken(self, lanes: Lanes, twins: Twins | None, others: Others, more: float) -> Tensor:
        """The runs, by their lanes, that take one of the candidates that they meet."""
        front = lanes.count if twins is None else twins.front
        total = others.total(front) * more
        if twins is not None and twins.whole and total.shape[0] == 1:
            if self.room is None:
                self.room = self.limit - self.mass
            self.more += float(total)
            return where_true(compare(torch.lt, self.room, self.more))
        self._settle()
        if twins is not None and twins.whole:
            return where_true(compare(torch.gt, self.mass.add_(total), self.limit))
        total = total.expand(front)
        if twins is not None:
            runs = _runs(lanes, twins, None)
            mass = self.mass.index_select(0, runs).add_(total)
            self.mass.index_copy_(0, runs, mass)
            return where_true(compare(torch.gt, mass, self.limit.index_select(0, runs)))
        marks, origin = lanes.marks(), lanes.origin
        assert origin is not None
        own = total if marks is None else torch.where(marks == 0, total, 0.0)
        self.mass.index_add_(0, origin, own)
        over = torch.greater(self.mass, self.limit).index_select(0, origin)
        return where_true(over if marks is None else over & (marks == 0))

    def _settle(self) -> None:
        """Every run has its mass."""
        if self.more:
            self.mass.add_(self.more)
            self.more = 0.0
        self.room = None

    def _ways(self, masses: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """One way for each row of masses `[count or 1, ways]`, in proportion, and its mass."""
        if masses.shape[1] == 1:
            return torch.zeros(count, dtype=torch.long, device=masses.device), masses[:, 0]
        sums = masses.double().cumsum(-1)
        mark = self.noise.rand((count, 1), torch.float64, masses.device) * sums[:, -1:]
        if masses.shape[0] == 1:
            ways = torch.searchsorted(sums[0], mark[:, 0], right=True).clamp_max(masses.shape[1] - 1)
            return ways, masses[0].index_select(0, ways)
        ways = torch.searchsorted(sums, mark, right=True).clamp_max(masses.shape[1] - 1)
        return ways.squeeze(1), masses.gather(1, ways).squeeze(1)

    def _sorted(
        self, lanes: Lanes, taken: Tensor, tickets: Tensor, value: Tensor, other: Tensor
    ) -> tuple[Lanes, Tensor]:
        """The lanes that are not stale, runs first, and those at `taken` once more, as alternatives."""
        marks = lanes.marks()
        marks = torch.zeros(lanes.count, dtype=torch.long, device=taken.device) if marks is None else marks
        current = self.current(lanes, marks)
        runs, old = where_true(marks == 0), where_true(current & (marks != 0))
        staying = torch.cat([runs, old])
        onward = lanes.split(torch.cat([staying, taken]))
        marks = torch.cat([marks.index_select(0, staying), tickets])
        onward.mark(marks)
        onward.twins = _found(onward, marks, runs.shape[0])
        return onward, torch.cat([value.index_select(0, staying), other])

    def current(self, lanes: Lanes, marks: Tensor, front: int = 0) -> Tensor:
        """Which lanes from `front` on are not stale."""
        origin = lanes.origin
        assert origin is not None
        marks = marks[front:]
        return (marks == 0) | (marks.abs() == self.kept.index_select(0, origin[front:]))

    def settled(self, lanes: Lanes) -> tuple[Lanes, Tensor | None]:
        """Of the lanes at the end those that are not stale, and their weights: of value 1 for runs, and 0 for alternatives."""
        self._settle()
        marks = lanes.marks()
        if marks is None:
            return lanes, None
        twins = twins_of(lanes)
        front = 0 if twins is None or not twins.whole else twins.front  # so many are all runs, in order
        current = self.current(lanes, marks, front)
        if not bool(current.all()):
            lanes = lanes.restrict(torch.cat([torch.arange(front, device=marks.device), front + where_true(current)]))
            marks = lanes.marks()
        assert marks is not None and lanes.origin is not None
        marks, origin = marks[front:], lanes.origin[front:]
        own = lost = self._own()
        paired = any(pairs for _, pairs, _ in self.given)
        if paired:
            lost = torch.zeros_like(own)
            if self.single:
                pairs = torch.cat([torch.full((count,), pairs, device=marks.device) for count, pairs, _ in self.given])
                lost = torch.where(pairs[(self.kept - 1).clamp_min(0)], lost, own)
            share = own.index_select(0, origin) * marks.sign()
        else:
            share = own.index_select(0, origin) if not front else picked(own, origin)
        if front:
            return lanes, torch.cat([1 - lost, share])
        return lanes, torch.where(marks == 0, 1 - lost.index_select(0, origin), share)

    def _own(self) -> Tensor:
        """Of each run what the kept candidate weighs: 0, with a derivative."""
        ratios = torch.cat(self.ratios) if len(self.ratios) > 1 else self.ratios[0]
        mass, some = self.mass.to(ratios.dtype), where_true(self.kept > 0)
        if some.shape[0] == self.kept.shape[0]:
            return mass * picked(ratios, self.kept - 1)
        own = mass.index_select(0, some) * picked(ratios, self.kept.index_select(0, some) - 1)
        return torch.zeros_like(mass).index_copy(0, some, own)

    @property
    def single(self) -> bool:
        """Whether some runs go on with another outcome, and not with both sides of a jump."""
        return any(not paired for _, paired, _ in self.given)

    def sites(self) -> Tensor:
        """Of each run the site of the candidate that it has kept, -1 for none."""
        counts, sites = ([-1, *row] for row in zip(*((count, site) for count, _, site in self.given), strict=True))
        counts[0] = 1
        device = self.kept.device
        by_ticket = torch.tensor(sites, device=device).repeat_interleave(torch.tensor(counts, device=device))
        return by_ticket.index_select(0, self.kept)

    @torch.no_grad()
    def look(self, lanes: Lanes, values: Sequence[Tensor]) -> None:
        """Which values `[lanes or 1, ...]` are the same on all lanes of each run, if some had candidates."""
        if not self.tickets:
            return
        origin = lanes.origin
        found = []
        first: Tensor | None = None
        for number, value in enumerate(values):
            same = value.shape[0] == 1 or origin is None
            if not same and origin is not None:
                rows = value.reshape(value.shape[0], -1)
                if first is None:
                    first = torch.zeros(self.mass.shape[0], dtype=torch.long, device=rows.device)
                    first[origin] = torch.arange(rows.shape[0], device=rows.device)
                some, their = rows[:FEW], first.index_select(0, origin[:FEW])
                same = torch.equal(some, rows.index_select(0, their))
                same = same and torch.equal(rows, rows.index_select(0, first.index_select(0, origin)))
            if same:
                found.append(number)
        self.idle = frozenset(found)


def _runs(lanes: Lanes, twins: Twins | None, rows: Tensor | None) -> Tensor:
    """Of which runs some lanes are (None: all that are runs)."""
    origin = lanes.origin
    if rows is None:
        assert origin is not None and twins is not None
        return origin[: twins.front]
    if origin is None or (twins is not None and twins.whole):
        return rows
    return origin.index_select(0, rows)


def _at(lanes: Lanes, taken: Tensor) -> Callable[[Tensor], Tensor]:
    """What gives the rows at `taken`; of what is the same in all lanes a leaf, if it carries a derivative."""
    def rows(table: Tensor) -> Tensor:
        if table.shape[0] == lanes.count:
            return picked(table, taken)
        if table.requires_grad and lanes.lifter is not None:
            found = lanes.lifter.lift(Uniform(table), lanes.restrict(taken)).raw
            assert isinstance(found, Tensor)
            return found
        return table.expand(taken.shape[0], *table.shape[1:])

    return rows


def twins_of(lanes: Lanes) -> Twins | None:
    """Which are runs, and where their alternatives are, as far as that is known without looking for it."""
    step, chain = lanes, []
    while step.twins is None:
        if step.parent is None:
            step.twins = Twins(step.count, None, True)
            break
        if step.parts or step.spread:
            return None
        chain.append(step)
        step = step.parent
    if chain:
        index = lanes.map_to(step)
        assert index is not None
        lanes.twins = _restricted(step.twins, step.count, index)
    return lanes.twins


def front_of(lanes: Lanes) -> int:
    """How many of the lanes, the first ones, are all that may be runs."""
    twins = twins_of(lanes)
    return lanes.count if twins is None else twins.front


def _restricted(twins: Twins, count: int, index: Tensor) -> Twins | None:
    """Of the lanes at `index` of `count`; None where runs are not in front any more."""
    own = index < twins.front
    front = int(own.sum())
    runs = index[:front]
    if not bool(own[:front].all()):
        return None
    whole = twins.whole and front == twins.front and bool((runs[1:] > runs[:-1]).all())
    beside = twins.beside
    if beside is not None:
        places = index.new_full((count + 1,), -1)  # the last is that of none
        places[index] = torch.arange(index.shape[0], device=index.device)
        beside = places[beside[:, runs]]
    return Twins(front, beside, whole)


def _found(lanes: Lanes, marks: Tensor, front: int) -> Twins:
    """Looked for: of lanes of which the first are runs."""
    origin, runs = lanes.origin, lanes.root.count
    assert origin is not None
    row = origin.new_full((runs,), -1)
    row[origin[:front]] = torch.arange(front, device=origin.device)
    owner = row.index_select(0, origin[front:])
    beside = origin.new_full((2, front + 1), -1)  # the last is of those whose run is not here
    beside[(marks[front:] < 0).long(), owner] = torch.arange(front, lanes.count, device=origin.device)
    whole = front == runs and bool((origin[1:front] > origin[: front - 1]).all())
    return Twins(front, beside[:, :front], whole)


def _beside(lanes: Lanes, twins: Twins, taken: Tensor, sides: int, tickets: Tensor) -> Patched:
    """The runs at `taken` once more, as alternatives, in the place of those that they had."""
    known, count = twins.beside, lanes.count
    of, origin = taken.repeat(sides), lanes.origin
    if known is None:
        at = torch.arange(count, count + of.shape[0], device=of.device)
        new = of
    else:
        at = known[:sides].index_select(1, taken).reshape(-1)
        fresh = where_true(at < 0)
        at[fresh] = torch.arange(count, count + fresh.shape[0], device=at.device)
        new = of.index_select(0, fresh)
    if new.shape[0]:
        known = taken.new_full((2, twins.front), -1) if known is None else known.clone()
        for side, places in zip(known, at.view(sides, -1), strict=False):
            side.index_copy_(0, taken, places)
        twins = Twins(twins.front, known, twins.whole)
        before, after = (torch.arange(count, device=at.device), new) if origin is None else (origin, origin.index_select(0, new))
        origin = torch.cat([before, after])
    onward = Patched(count + new.shape[0], lanes, at, of, tickets)
    onward.twins = twins
    assert origin is not None
    onward.maps[lanes.root] = origin
    return onward
