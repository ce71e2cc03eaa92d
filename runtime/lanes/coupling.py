"""Noise that coupled lanes share: where several lanes of one run execute the same call of a site together, they draw the same.

What is made of uniform or normal noise is the same function of the same noise.  Poisson, Binomial and Gamma draws whose arguments
differ have what they have in common once, and the rests each for itself; a draw by torch's own class is copied where the
arguments agree, and independent where they do not.  A lane that is alone in a branch, or in a round of a loop, draws by itself.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..laws.noise import Coin, Noise, Slots
from .lanes import Lanes, Patched

FEW = 16  # parts of the runs: of fewer lanes the runs are sorted


class Common(Noise):
    """The noise of a block whose lanes are coupled, as another kind of noise gives it."""

    def __init__(self, noise: Noise):
        self.noise = noise

    def at(self, lanes: object) -> Noise:
        """Shared by the lanes of each run, where a run has several here."""
        assert isinstance(lanes, Lanes)
        if lanes.origin is None:
            return self.noise
        slots = _slots(lanes)
        return self.noise if slots.count == lanes.count else Shared(self.noise, slots)

    def seed(self) -> int:
        return self.noise.seed()

    def rewind(self) -> None:
        self.noise.rewind()


def _slots(lanes: Lanes) -> Slots:
    """Which row of noise belongs to each of some lanes: one for each run."""
    if lanes.slots is not None:
        return lanes.slots
    origin, before = lanes.origin, lanes.parent
    assert origin is not None and before is not None
    if isinstance(lanes, Patched) and (known := before.slots) is not None:
        found = known if lanes.count == before.count else _arranged(lanes.onto(known.slot), known.count, known.leading)
    elif lanes.twins is not None and lanes.twins.whole:
        found = _arranged(origin, lanes.twins.front, True)
    elif FEW * lanes.count < lanes.root.count:
        runs, slot = torch.unique(origin, return_inverse=True)
        found = Slots(slot, runs.shape[0])
    else:
        present = torch.zeros(lanes.root.count, dtype=torch.bool, device=origin.device)
        present[origin] = True
        found = Slots((present.cumsum(0) - 1).index_select(0, origin), int(present.sum()))
    lanes.slots = found
    return found


def _arranged(slot: Tensor, count: int, leading: bool) -> Slots:
    """With what is to be known of the order."""
    times = slot.shape[0] // count if leading and slot.shape[0] % count == 0 else 0
    if times and not torch.equal(slot, torch.arange(count, device=slot.device).repeat(times)):
        times = 0
    return Slots(slot, count, leading, times)


class Shared(Noise):
    """`slot` `[lanes]` says which of `count` rows of the noise belongs to a lane."""

    def __init__(self, noise: Noise, slots: Slots):
        self.noise = noise
        self.slots = slots
        self.slot, self.count = slots.slot, slots.count

    @cached_property
    def leader(self) -> Tensor:
        """The first lane with the same noise `[lanes]`."""
        slot, count = self.slot, self.count
        places = torch.arange(slot.shape[0], device=slot.device)
        first = torch.full((count,), slot.shape[0], device=slot.device).scatter_reduce(0, slot, places, "amin")
        return first.index_select(0, slot)

    def _spread(self, rows: Tensor) -> Tensor:
        return self.slots.spread(rows)

    def rand(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return self._spread(self.noise.rand((self.count, *shape[1:]), dtype, device))

    def uniform(self, shape: Shape, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return self._spread(self.noise.uniform((self.count, *shape[1:]), like, dtype))

    def exponential(self, shape: Shape, like: Tensor) -> Tensor:
        return self._spread(self.noise.exponential((self.count, *shape[1:]), like))

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        return self._spread(self.noise.normal((self.count, *shape[1:]), like))

    def cauchy(self, shape: Shape, like: Tensor) -> Tensor:
        return self._spread(self.noise.cauchy((self.count, *shape[1:]), like))

    def coins(self, shape: Shape, chance: Tensor, made: Coin | None) -> Tensor:
        if made is None or chance.shape[0] > 1:
            return super().coins(shape, chance, made)
        return self._spread(self.noise.coins((self.count, *shape[1:]), chance, made))

    def words(self, shape: Shape) -> Tensor:
        return self._spread(self.noise.words((self.count, *shape[1:])))

    def gamma(self, concentration: Tensor) -> Tensor:
        least = self._least(concentration)
        draw = self._spread(self.noise.gamma(least))
        more, rows = self._more(concentration - self._spread(least))
        rest = torch.where(more > 0, self.noise.gamma(torch.where(more > 0, more, 1.0)), 0.0)
        return draw.index_add_(0, rows, rest)

    def dirichlet(self, concentration: Tensor) -> Tensor:
        return self.alike(self.noise.dirichlet(concentration), concentration)

    def binomial(self, count: Tensor, chance: Tensor) -> Tensor:
        fewest, least = self._least(count), self._least(chance)
        common = self._spread(self.noise.binomial(fewest, least))
        fewest, least = self._spread(fewest), self._spread(least)
        rows = self._apart((count > fewest) | (chance > least))
        few, low, high = (entry.index_select(0, rows) for entry in (fewest, least, chance))
        again = torch.where(high > low, (high - low) / (1 - low), 0.0).clamp(0, 1)
        rest = self.noise.binomial(few - common.index_select(0, rows), again)
        rest = rest + self.noise.binomial(count.index_select(0, rows) - few, high)
        return common.index_add_(0, rows, rest)

    def poisson(self, rate: Tensor) -> Tensor:
        least = self._least(rate)
        draw = self._spread(self.noise.poisson(least))
        more, rows = self._more(rate - self._spread(least))
        return draw.index_add_(0, rows, self.noise.poisson(more))

    def _least(self, argument: Tensor) -> Tensor:
        """The least of the lanes with the same noise, entry by entry."""
        slot = self.slot.reshape(-1, *(1,) * (argument.dim() - 1)).expand(argument.shape)
        empty = argument.new_zeros(self.count, *argument.shape[1:])
        return empty.scatter_reduce(0, slot, argument.detach(), "amin", include_self=False)

    def _apart(self, differs: Tensor) -> Tensor:
        """The lanes at which something differs."""
        return differs.reshape(differs.shape[0], math.prod(differs.shape[1:])).any(1).nonzero().squeeze(1)

    def _more(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """What is left to draw, and the lanes on which there is something left."""
        rows = self._apart(rest > 0)
        return rest.index_select(0, rows).detach(), rows

    def seed(self) -> int:
        return self.noise.seed()

    def alike(self, draw: Tensor, *arguments: Tensor) -> Tensor:
        """The leader's draw where all arguments are the leader's."""
        same = torch.ones(draw.shape[0], dtype=torch.bool, device=draw.device)
        for argument in arguments:
            if argument.shape[0] > 1:
                rows = argument.detach().reshape(argument.shape[0], math.prod(argument.shape[1:]))
                same = same & (rows == rows.index_select(0, self.leader)).all(1)
        return torch.where(same.reshape(-1, *(1,) * (draw.dim() - 1)), draw.index_select(0, self.leader), draw)
