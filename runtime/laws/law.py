"""What every law (a distribution with its arguments) can do, the noise it is made of, and torch's own classes.

A law is built at every visit of a site, so it holds its arguments and nothing else.  Arguments are `[L or 1, *batch,
*event]` with the batch axes aligned; shapes asked for are `[L, *batch, *event]`.  Draws never touch an open edge of the
support: `log(u)` of a uniform and `log1p(-b)` of a Beta are finite.  Densities of laws with Gamma functions are
computed in float64 (their terms cancel), everything else in the run's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..arrays.broadcast import Shape
from ..arrays.kernels import choose
from ..arrays.scalars import Ends, ends
from .noise import Noise

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Edge:
    """Entries `where` of an `argument` (they broadcast with it) of which each is, or decides, a probability of exactly 0;
    `log`: the argument is a logarithm, and -inf there."""

    argument: str
    where: Tensor
    log: bool = False

    def counted(self, mask: Tensor) -> Edge | None:
        """The same where a mask holds; None: nowhere."""
        where = self.where & mask
        return replace(self, where=where) if bool(where.any()) else None


class Law:
    """A distribution with its arguments (attributes by torch's keyword); `event`: axes of one draw.

    Subclasses give `rsample` or `sample`, `density`, `support` and, where that is not None, `stand_in`.
    """

    event: ClassVar[int] = 0
    lifts: ClassVar[bool] = False  # the density lifts what it computes from uniform arguments by itself (`lifting.py`)
    lift: Callable[[Tensor], Tensor] | None = None  # of arguments that are the same in every lane, and of what is made of them
    narrow: ClassVar[bool] = False  # arguments may have axes of size 1 in the place of entries that repeat themselves
    known: Mapping[str, Ends] = {}  # the ends of arguments, as far as somebody has looked for them

    def __init__(self, arguments: dict[str, Tensor]):
        self.arguments = arguments
        for name, value in arguments.items():
            setattr(self, name, value)

    def ends(self, name: str) -> Ends:
        """The smallest and the largest entry of an argument (of one that has entries)."""
        known = self.known.get(name)
        return ends(self.arguments[name]) if known is None else known

    def once(self, what: Hashable, function: Callable[..., Any], *operands: Any) -> Any:
        """`function(*operands)`; of a block, what is asked for again is found again (`uniform.py`)."""
        return function(*operands)

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        """A detached draw of the given shape."""
        with torch.no_grad():
            return self.rsample(shape, noise)

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        """A draw that carries derivatives; NotImplementedError where the table claims none."""
        raise NotImplementedError(f"{type(self).__name__} has no reparameterised draw")

    def support(self, value: Tensor) -> Tensor | None:
        """Which values `[L, *batch]` are possible; None: all of them."""
        return None

    def density(self, value: Tensor) -> Tensor:
        """The log density or mass `[L, *batch]` of values inside the support."""
        raise NotImplementedError

    def stand_in(self, value: Tensor) -> Tensor:
        """Some value inside the support, to compute with where `value` is not; broadcasts to `value`."""
        raise NotImplementedError

    def small(self) -> bool:
        """Whether draws are known by their logarithms only (`log_space.py`); then `drawn` gives them with their densities."""
        return False

    def drawn(self, shape: Shape, noise: Noise) -> tuple[Tensor, Tensor]:
        """A detached draw of the given shape and `relative_log_prob` of it, which need not be that of the value it is held by."""
        value = self.sample(shape, noise)
        return value, self.relative_log_prob(value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density or mass `[L, *batch]`; -inf outside the support, without nan gradients there."""
        possible = self.support(value)
        if possible is None or bool(possible.all()):
            return self.density(value)
        entries = possible
        for _ in range(self.event):
            entries = entries.unsqueeze(-1)
        return choose(possible, self.density(choose(entries, value, self.stand_in(value))), -math.inf)

    def relative_log_prob(self, value: Tensor) -> Tensor:
        """Log density of a draw up to terms without arguments: enough for `exp(l - stop(l))`."""
        return self.density(value)

    def summed_log_prob(self, value: Tensor, counted: Tensor | None = None) -> Tensor | None:
        """The sum of `relative_log_prob` over all elements of an array site `[L]`, or over those only where `counted` `[L, *batch]`
        is not 0, where that is cheaper; else None."""
        return None

    def inside(self, value: Tensor) -> bool:
        """Whether every value is possible."""
        possible = self.support(value)
        return possible is None or bool(possible.all())

    def boundary(self) -> Edge | None:
        """Where an argument makes some outcome of the support impossible; None: nowhere."""
        return None

    def coarse(self, value: Tensor | None) -> bool:
        """Whether the numbers of this dtype are too far apart for draws, or for a density at `value` (or at a draw): a
        derivative would see the rounding."""
        return False

    def outcomes(self, most: int) -> Tensor | None:
        """All that one element can be, over all lanes `[K, *event]`; None where they are more than `most` or infinitely many."""
        return None

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        """Of each of the outcomes `[L or 1, *batch, K]`, and which are in the support `[L or 1, *batch, K]`."""
        raise NotImplementedError(f"{type(self).__name__} has infinitely many outcomes")

    @property
    def first(self) -> Tensor:
        """One of the arguments: knows dtype and device."""
        return next(iter(self.arguments.values()))


# ----------------------------------------------------------------------------------------------- torch's classes
class TorchLaw(Law):
    """Any class of torch.distributions, by name.

    torch's samplers know only the global noise, so it is seeded from ours inside a fork.
    """

    def __init__(self, arguments: dict[str, Tensor], torch_name: str):
        super().__init__(arguments)
        self.distribution = getattr(torch.distributions, torch_name)(**arguments, validate_args=False)

    def _draw(self, shape: Shape, noise: Noise, method: str) -> Tensor:
        place = self.first.device
        seed = noise.seed()
        law = self.distribution
        batch = torch.Size(shape[: len(shape) - len(law.event_shape)])
        if law.batch_shape != batch:
            law = law.expand(batch)
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if place.type == "cuda":
                with torch.cuda.device(place):
                    torch.cuda.manual_seed(seed)
            draw: Tensor = getattr(law, method)()
        return noise.alike(draw, *self.arguments.values())

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        return self._draw(shape, noise, "sample").detach()

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        return self._draw(shape, noise, "rsample")

    def support(self, value: Tensor) -> Tensor | None:
        possible: Tensor = self.distribution.support.check(value)
        return possible

    def log_prob(self, value: Tensor) -> Tensor:
        possible = self.support(value)
        density: Tensor = self.distribution.log_prob(value)
        return density if possible is None or bool(possible.all()) else choose(possible, density, -math.inf)

    def density(self, value: Tensor) -> Tensor:
        return self.log_prob(value)
