"""Laws of laws: truncated, and mixed.

Both are drawn without a derivative, and the derivative of a draw is implicit (Figurnov, Mohamed & Mnih 2018): where S(x, a) is any
increasing function of the distribution function, dx/da = -(dS/da)/(dS/dx).  It is written with differentiable S, so that it has
derivatives of every order.  Truncation takes the smaller tail of the base, as a logarithm; an inverse is found by Newton's method
on that, within a bracket that is halved in the order of the floating point numbers, so that infinite ends are ends like others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...dsl.tables.distributions import DistributionRow
from ..arrays.broadcast import Shape, together
from .cumulative import Given, less, mixture_logs, tails, truncated_share, weights_log
from .law import Edge, Law
from .noise import Noise
from .rounding import nudge
from .weighted import Categorical

STEPS = 100  # of Newton's method or halvings, at most
CLOSE = 4e-16
FINE = math.log(1e-7)  # of the tail that it is cut from, a window must hold

Build = Callable[[DistributionRow, dict[str, Tensor]], Law]
Increasing = Callable[[Tensor, Sequence[Tensor]], Tensor]


class _Implicit2(torch.autograd.Function):
    """A draw `x`, of the shape of the arguments but for their event axes, which solves S(x, arguments) = a constant."""

    @staticmethod
    def forward(ctx: Any, increasing: Increasing, x: Tensor, *arguments: Tensor) -> Tensor:
        ctx.increasing = increasing
        found = x.clone()
        ctx.save_for_backward(found, *arguments)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), (x, *arguments) = gradients, ctx.saved_tensors
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x.view_as(x) if again else x.detach().requires_grad_()
            wanted = ctx.needs_input_grad[2:]
            given = [
                (value.view_as(value) if again and value.requires_grad else value.detach().requires_grad_()) if need else value
                for value, need in zip(arguments, wanted, strict=True)
            ]
            live = [value for value, need in zip(given, wanted, strict=True) if need]
            if again and not x.requires_grad:
                x = x.detach().requires_grad_()
            slope, *by = torch.autograd.grad(ctx.increasing(x, given).sum(), [x, *live], create_graph=again, allow_unused=True)
            factor = -gradient / slope
            rest = iter(by)
            found: list[Tensor | None] = []
            for need in wanted:
                own = next(rest) if need else None
                found.append(None if own is None else own * factor.reshape(*factor.shape, *(1,) * (own.dim() - factor.dim())))
        return None, None, *found


_implicit_draw: Callable[..., Tensor] = _Implicit2.apply


def _middle(low: Tensor, high: Tensor) -> Tensor:
    """Half way between two numbers in the order in which they are stored."""
    least = torch.iinfo(torch.int64).min
    bits = [end.contiguous().view(torch.int64) for end in (low, high)]
    one, two = (torch.where(number < 0, least - number, number) for number in bits)
    half = (one >> 1) + (two >> 1)
    return torch.where(half < 0, least - half, half).view(torch.float64)


class Composed(Law):
    """A law with laws inside."""

    def __init__(self, arguments: dict[str, Tensor], row: DistributionRow, build: Build):
        self.arguments = arguments
        self.row = row
        self.laws = [build(part, part_of(row, number, arguments)) for number, part in enumerate(row.parts, 1)]

    def _spread(self, shape: Shape) -> dict[str, Tensor]:
        """The arguments in float64 and of the shape of the draw."""
        found = {}
        for name, value in self.arguments.items():
            event = self.row.parameter(name).event
            found[name] = value.double().expand(*shape, *value.shape[value.dim() - event:])
        return found

    def _moving(self, x: Tensor, shape: Shape, increasing: Callable[[Tensor, Given], Tensor]) -> Tensor:
        """The draw with its derivative."""
        given = self._spread(shape)
        names = tuple(given)
        if not any(value.requires_grad for value in given.values()):
            return x
        return _implicit_draw(lambda at, values: increasing(at, dict(zip(names, values, strict=True))), x, *given.values())


class Truncated(Composed):
    def support(self, value: Tensor) -> Tensor | None:
        inside = (value >= self.arguments["low"]) & (value <= self.arguments["high"])
        base = self.laws[0].support(value)
        return inside if base is None else inside & base

    def stand_in(self, value: Tensor) -> Tensor:
        with torch.no_grad():
            return self._inverse(self._spread(tuple(value.shape)), torch.full_like(value, 0.5, dtype=torch.float64)).to(value.dtype)

    @torch.no_grad()
    def coarse(self, value: Tensor | None) -> bool:
        if self.laws[0].coarse(value):
            return True
        given = {name: argument.double() for name, argument in self.arguments.items()}
        low, high = (tails(self.row.parts[0], given, given[name]) for name in ("low", "high"))
        upper = low[0] > math.log(0.5)
        whole, part = torch.where(upper, low[1], high[0]), torch.where(upper, less(low[1], high[1]), less(high[0], low[0]))
        narrow = ~(part - whole > FINE)
        return bool(narrow.any()) or (self.first.dtype != torch.float64 and bool((part < -8.0).any()))

    def density(self, value: Tensor) -> Tensor:
        given = {name: argument.double() for name, argument in self.arguments.items()}
        whole = truncated_share(self.row, given, given["low"], given["high"])
        return (self.laws[0].log_prob(value).double() - whole).to(value.dtype)

    def _inverse(self, given: dict[str, Tensor], u: Tensor) -> Tensor:
        row = self.row.parts[0]
        low, high = (tails(row, given, given[name]) for name in ("low", "high"))
        upper = low[0] > math.log(0.5)
        near, far = torch.where(upper, high[1], low[0]), torch.where(upper, low[1], high[0])
        share = torch.where(upper, 1 - u, u)
        target = near + torch.log1p(share * torch.expm1((far - near).clamp_max(700.0)))
        target = torch.where(near < far - 30, far + (share + (near - far).exp() * (1 - share)).log(), target)
        bounds = row.support({})
        least, most = given["low"].clamp_min(bounds.low), given["high"].clamp_max(bounds.high)
        least, most, target, upper = (value.clone() for value in together(least, most, target, upper))
        law = self.laws[0]
        x = _middle(least, most)
        for _ in range(STEPS):
            lower, above = tails(row, given, x)
            off = torch.where(upper, target - above, lower - target)
            least, most = torch.where(off < 0, x, least), torch.where(off < 0, most, x)
            slope = (law.log_prob(x).double() - torch.where(upper, above, lower)).exp()
            step = x - off / slope
            new = torch.where((step > least) & (step < most) & (off.abs() < 20), step, _middle(least, most))
            done = ((new - x).abs() <= CLOSE * x.abs()) | (most - least <= CLOSE * x.abs()) | (off == 0)
            x = torch.where(off == 0, x, new)
            if bool(done.all()):
                break
        return x

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        given = self._spread(shape)
        with torch.no_grad():
            u = noise.uniform(shape, self.first, torch.float64)
            x = self._inverse({name: value.detach() for name, value in given.items()}, u)
        moved = self._moving(x, shape, lambda at, values: self._share(at, values, u))
        draw = moved.to(self.first.dtype)
        infinity = torch.full_like(draw.detach(), math.inf)
        low, high = self.arguments["low"].detach().expand(shape), self.arguments["high"].detach().expand(shape)
        return nudge(draw, torch.nextafter(low, infinity), torch.nextafter(high, -infinity))

    def _share(self, x: Tensor, given: Given, u: Tensor) -> Tensor:
        """An increasing function of the share below x: its logarithm, or minus that of the share above."""
        below = truncated_share(self.row, given, given["low"], x)
        above = truncated_share(self.row, given, x, given["high"])
        whole = truncated_share(self.row, given, given["low"], given["high"])
        return torch.where(u < 0.5, below - whole, whole - above)


class Mixture(Composed):
    def boundary(self) -> Edge | None:
        edge = Edge("weights", self.arguments["weights"] == 0)
        return edge if bool(edge.where.any()) else None

    def coarse(self, value: Tensor | None) -> bool:
        return any(law.coarse(value) for law in self.laws)

    def support(self, value: Tensor) -> Tensor | None:
        found = [law.support(value) for law in self.laws]
        if any(part is None for part in found):
            return None
        possible = found[0]
        for part in found[1:]:
            assert possible is not None and part is not None
            possible = possible | part
        return possible

    def stand_in(self, value: Tensor) -> Tensor:
        return _usual(self.row.parts[0], self.laws[0], value)

    @staticmethod
    def _part(row: DistributionRow, law: Law, value: Tensor) -> Tensor:
        """The log density of a part; without a derivative where it is -inf: a formula that overflows has none."""
        log = law.log_prob(value)
        lost = log.detach() == -math.inf
        if not log.requires_grad or not bool(lost.any()):
            return log
        value = value.expand(lost.shape)
        return torch.where(lost, -math.inf, law.log_prob(torch.where(lost, _usual(row, law, value.detach()), value)))

    def density(self, value: Tensor) -> Tensor:
        logs = torch.stack(torch.broadcast_tensors(*map(self._part, self.row.parts, self.laws, [value] * len(self.laws))), -1)  # type: ignore[no-untyped-call]
        return mixture_logs(weights_log(self.arguments["weights"]), logs)

    def outcomes(self, most: int) -> Tensor | None:
        found = [law.outcomes(most) for law in self.laws]
        if any(part is None for part in found):
            return None
        every = torch.unique(torch.cat([part for part in found if part is not None]))
        return every if len(every) <= most else None

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.arguments["weights"] / self.arguments["weights"].sum(-1, keepdim=True)
        table = possible = None
        for place, law in enumerate(self.laws):
            whole = law.outcomes(len(outcomes) + 1)
            assert whole is not None
            own, may = law.probabilities(whole)
            where = torch.searchsorted(outcomes.contiguous(), whole)
            every = torch.zeros(*own.shape[:-1], len(outcomes), dtype=own.dtype, device=own.device).index_copy(-1, where, own)
            here = torch.zeros(*may.shape[:-1], len(outcomes), dtype=torch.bool, device=own.device).index_copy(-1, where, may)
            part = weights[..., place, None] * every
            table = part if table is None else table + part
            possible = here if possible is None else possible | here
        assert table is not None and possible is not None
        return table, possible.expand(table.shape)

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        with torch.no_grad():
            return self._chosen(shape, noise)

    def _chosen(self, shape: Shape, noise: Noise) -> Tensor:
        index = Categorical({"probs": self.arguments["weights"]}).sample(shape, noise)
        found = self.laws[0].sample(shape, noise)
        for place, law in enumerate(self.laws[1:], 1):
            found = torch.where(index == place, law.sample(shape, noise), found)
        return found

    def rsample(self, shape: Shape, noise: Noise) -> Tensor:
        x = self.sample(shape, noise)
        row = self.row

        def increasing(at: Tensor, given: Given) -> Tensor:
            lower, upper = tails(row, given, at)
            return torch.where(lower.detach() < upper.detach(), lower, -upper)

        return self._moving(x.double(), shape, increasing).to(x.dtype)


def _usual(row: DistributionRow, law: Law, value: Tensor) -> Tensor:
    """A value where the density is not negligible."""
    return law.arguments[row.shifted].detach() if row.whole_line and row.shifted else law.stand_in(value)


def part_of(row: DistributionRow, number: int, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
    """The arguments of a part, by its own names."""
    tail = f"_{number}" if "weights" in arguments else ""
    return {p.name: arguments[p.name + tail] for p in row.parts[number - 1].parameters if p.name + tail in arguments}
