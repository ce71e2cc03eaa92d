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
and is left out where lanes are split again, and at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..laws.noise import Noise
from ..laws.others import Others
from .lanes import Lanes


class Forks:
    """The alternatives of a block of runs: per run the mass `W` of all candidates, and the ticket of the kept one (0: none yet)."""

    def __init__(self, runs: int, noise: Noise, device: torch.device):
        self.noise = noise
        self.mass = torch.zeros(runs, dtype=torch.float64, device=device)
        self.kept = torch.zeros(runs, dtype=torch.long, device=device)
        self.ratios: list[Tensor] = []  # w/m of every ticket that was given out,
        self.paired: list[Tensor] = []  # and whether it is that of a pair
        self.tickets = 0

    def meet(self, lanes: Lanes, value: Tensor, others: Others) -> tuple[Lanes, Tensor]:
        """The runs among the lanes meet other outcomes of their draws `[lanes, ...]`: those that take one go on as two lanes.
        Gives the lanes, and the draws on them."""
        masses = others.masses
        total = masses.sum(-1, dtype=torch.float64).expand(lanes.count)
        marks, origin = lanes.marks(), lanes.origin
        if marks is not None:
            total = torch.where(marks == 0, total, 0.0)
        if origin is None:
            self.mass += total
        else:
            self.mass.index_add_(0, origin, total)
        so_far = self.mass if origin is None else self.mass.index_select(0, origin)
        chance = self.noise.rand((lanes.count,), torch.float64, self.mass.device)
        taken = (chance * so_far < total).nonzero().squeeze(1)
        if not taken.shape[0]:
            return lanes, value
        ways = self._ways(masses.index_select(0, taken) if masses.shape[0] > 1 else masses.expand(taken.shape[0], -1))
        chosen = masses.expand(lanes.count, -1)[taken, ways].detach()
        self.ratios.append(others.weight(taken, ways) / chosen)
        tickets = torch.arange(self.tickets + 1, self.tickets + 1 + taken.shape[0], device=taken.device)
        self.tickets += taken.shape[0]
        self.paired.append(torch.full_like(taken, others.paired, dtype=torch.bool))
        self.kept[taken if origin is None else origin.index_select(0, taken)] = tickets
        return self._onward(lanes, marks, taken, tickets, value, others.changed(value, taken, ways))

    def _ways(self, masses: Tensor) -> Tensor:
        """One way for each row of masses `[k, ways]`, in proportion."""
        sums = masses.double().cumsum(-1)
        mark = self.noise.rand((masses.shape[0], 1), torch.float64, masses.device) * sums[:, -1:]
        return torch.searchsorted(sums, mark, right=True).squeeze(1).clamp_max(masses.shape[1] - 1)

    def _onward(
        self, lanes: Lanes, marks: Tensor | None, taken: Tensor, tickets: Tensor, value: Tensor, other: Sequence[Tensor]
    ) -> tuple[Lanes, Tensor]:
        """The lanes that are not stale, and those at `taken` once more, as alternatives."""
        if marks is None:
            staying = torch.arange(lanes.count, device=taken.device)
            marks = torch.zeros_like(staying)
        else:
            staying = self.current(lanes, marks).nonzero().squeeze(1)
        pair = (tickets, -tickets)[: len(other)]
        onward = lanes.split(torch.cat([staying, *(taken for _ in other)]))
        onward.mark(torch.cat([marks.index_select(0, staying), *pair]))
        return onward, torch.cat([value.index_select(0, staying), *other])

    def current(self, lanes: Lanes, marks: Tensor) -> Tensor:
        """Which lanes are not stale `[lanes]`."""
        origin = lanes.origin
        assert origin is not None
        return (marks == 0) | (marks.abs() == self.kept.index_select(0, origin))

    def settled(self, lanes: Lanes) -> tuple[Lanes, Tensor | None]:
        """Of the lanes at the end those that are not stale, and their weights: of value 1 for runs, and 0 for alternatives."""
        marks = lanes.marks()
        if marks is None:
            return lanes, None
        current = self.current(lanes, marks)
        if not bool(current.all()):
            lanes = lanes.restrict(current.nonzero().squeeze(1))
            marks = lanes.marks()
        origin = lanes.origin
        assert marks is not None and origin is not None
        ratios, kept = torch.cat(self.ratios), (self.kept - 1).clamp_min(0)
        own = torch.where(self.kept > 0, self.mass, 0.0).to(ratios.dtype) * ratios[kept]
        lost = torch.where(torch.cat(self.paired)[kept], 0.0, own)
        share = own.index_select(0, origin)
        return lanes, torch.where(marks == 0, 1 - lost.index_select(0, origin), torch.where(marks > 0, share, -share))

    @torch.no_grad()
    def idle(self, lanes: Lanes, values: Sequence[Tensor]) -> frozenset[int]:
        """The values `[lanes or 1, ...]`, by their numbers, that are the same on all lanes of each run, if some had candidates."""
        if not bool((self.mass > 0).any()):
            return frozenset()
        origin = lanes.origin
        found = []
        for number, value in enumerate(values):
            same = value.shape[0] == 1 or origin is None
            if not same and origin is not None:
                rows = value.reshape(value.shape[0], -1)
                first = torch.zeros(self.mass.shape[0], dtype=torch.long, device=rows.device)
                first[origin] = torch.arange(rows.shape[0], device=rows.device)
                same = bool((rows == rows.index_select(0, first.index_select(0, origin))).all())
            if same:
                found.append(number)
        return frozenset(found)
