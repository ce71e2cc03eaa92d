"""Parameters that stay one number for all lanes until a value of a run's own meets them.

The gradient of every single run needs a leaf per run.  Expanding the parameters at the start makes everything computed from
them as wide as the block.  Here they stay `[1, *shape]`, and a uniform value that meets one with a row per lane is *lifted*
there: replaced by a leaf `[lanes, *shape]` (a view, without memory) that autograd does not connect with the parameters.  One
backward pass gives the derivative of every run in the lifted values, and the chain rule does the rest:

    dY_i/dtheta = sum over lifted c of  dY_i/dc  *  dc/dtheta

where dc/dtheta is one small matrix for all runs, found once.  Only a program whose lanes stay together can do so; and should a
uniform value meet the lanes without being lifted, a derivative arrives at the parameters themselves: that is noticed
(`NotLifted`), and everything is done again with parameters expanded at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ..dsl.diagnostics import Diagnostic, ProbError
from ..dsl.plan import Plan
from ..dsl.resolved import Resolved
from ..dsl.source import Span
from ..dsl.syntax import Conditional, If, Logical, Node, While, children
from .broadcast import narrowed, widen
from .quasi import BY_INVERSE

APART = (Conditional, If, Logical, While)
MOST_ROWS = 64  # of a matrix that is found row by row
MOST_LIFTED = 256
CLOSE = 1e-5


class NotLifted(Exception):
    """Parameters must be expanded at the start; `apart`: because runs go different ways."""

    def __init__(self, apart: bool = False):
        self.apart = apart
        super().__init__("a uniform value cannot be lifted")


def liftable(resolved: Resolved, plan: Plan) -> bool:
    """Whether lanes stay together, as far as the text tells."""
    known = plan.memory.get("liftable")
    if known is None:
        together = _first(resolved.program.body, APART) is None
        known = together and not any(choice.estimator == "enumerate" for choice in plan.choices.values())
        plan.memory["liftable"] = known
    return known


def check_fixed(resolved: Resolved, plan: Plan) -> None:
    """P0408 where runs may not all draw the same numbers in the same order."""
    node = _first(resolved.program.body, APART)
    if node is not None:
        raise no_points(resolved, node.span, "this may send runs different ways")
    for choice in plan.choices.values():
        if choice.estimator == "enumerate":
            raise no_points(resolved, choice.site.span, "this site is enumerated")
    for site in resolved.sites:
        if site.distribution.name not in BY_INVERSE:
            raise no_points(resolved, site.distribution.span, f"{site.distribution.name} has no inverse distribution function here")


def no_points(resolved: Resolved, span: Span | None = None, label: str = "") -> ProbError:
    """The refusal of the Sobol sampler."""
    return ProbError(Diagnostic(
        "P0408", "the Sobol sampler does not fit this program: each run must draw the same numbers in the same order",
        span, label, source=resolved.program.source, help="leave --sampler out",
    ))


def _first(node: Node, kinds: tuple[type[Node], ...]) -> Node | None:
    pending = [node]
    while pending:
        found = pending.pop()
        if isinstance(found, kinds):
            return found
        pending.extend(reversed(children(found)))
    return None


@dataclass(frozen=True)
class Slope:
    """dc/dtheta of a lifted value in one parameter: `kind` number (times `factor`), diagonal (`[*shape]`), or matrix
    (`[entries of c, entries of theta]`)."""

    kind: str
    factor: float
    table: Tensor | None = None


class _Seeded(torch.autograd.Function):
    """A number whose backward pass starts the given outputs with the given derivatives.

    `torch.autograd.grad(outputs, points, incoming)` does the same, but loads sympy to compare shapes: 0.4 s of a short run."""

    @staticmethod
    def forward(ctx: Any, incoming: list[Tensor], *outputs: Tensor) -> Tensor:
        ctx.incoming = incoming
        return outputs[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *ctx.incoming)


def pull(
    outputs: Sequence[Tensor], points: Sequence[Tensor], incoming: Sequence[Tensor], keep: bool = True
) -> tuple[Tensor | None, ...]:
    """The derivatives of `sum(outputs * incoming)` in every point; None: zero."""
    start = cast(Tensor, _Seeded.apply(list(incoming), *outputs))  # type: ignore[no-untyped-call]
    return torch.autograd.grad(start, list(points), retain_graph=keep, allow_unused=True)


class Leaves:
    """Points in which the results of a block are differentiated, each with a row per run."""

    def __init__(self, points: Sequence[Tensor]):
        self.points = list(points)

    def lift(self, value: Tensor, runs: int) -> Tensor:
        """A value with a row per run."""
        return value.expand(runs, *value.shape[1:])

    def derive(self, outputs: list[Tensor], incoming: list[Tensor], keep: bool) -> list[Tensor | None]:
        """The derivatives of `sum(outputs * incoming)` in every point `[runs, *point]`; None: zero."""
        return list(pull(outputs, self.points, incoming, keep))


class Lifter(Leaves):
    """The lifted values of one block; `slopes` is shared by the blocks, whose uniform values are the same."""

    def __init__(self, parameters: Sequence[Tensor], runs: int, slopes: list[list[Slope | None]]):
        super().__init__(parameters)
        self.runs = runs
        self.slopes = slopes
        self.lifted: list[Tensor] = []
        self.origins: list[Tensor] = []
        self.known: dict[int, Tensor] = {}

    def lift(self, value: Tensor, runs: int = 0) -> Tensor:
        """The value as a leaf with a row per run; as it is where nothing is to be differentiated, or it has rows."""
        if value.shape[0] != 1 or not value.requires_grad:
            return value.expand(runs, *value.shape[1:]) if runs else value
        small = narrowed(value)
        if small is not value:
            return widen(self.lift(small), (self.runs, *value.shape[1:]))
        known = self.known.get(id(value))
        if known is None:
            if len(self.lifted) == MOST_LIFTED:
                raise NotLifted
            known = value.detach().expand(self.runs, *value.shape[1:]).requires_grad_()
            self.known[id(value)] = known
            self.lifted.append(known)
            self.origins.append(value)
        return known

    def derive(self, outputs: list[Tensor], incoming: list[Tensor], keep: bool) -> list[Tensor | None]:
        """As always, by the chain rule through the lifted values."""
        lifted = len(self.lifted)
        found = pull(outputs, [*self.lifted, *self.points], incoming, keep)
        if any(part is not None for part in found[lifted:]):
            raise NotLifted
        for number in range(len(self.slopes), lifted):
            self.slopes.append([_slope(self.origins[number], point) for point in self.points])
        totals: list[Tensor | None] = [None] * len(self.points)
        for gradient, row in zip(found[:lifted], self.slopes, strict=False):
            if gradient is not None:
                for place, slope in enumerate(row):
                    if slope is not None:
                        totals[place] = _chained(totals[place], gradient, slope, self.points[place])
        return totals


def _chained(total: Tensor | None, gradient: Tensor, slope: Slope, point: Tensor) -> Tensor:
    """`total + gradient * dc/dtheta`, `[runs, *parameter]`."""
    if slope.kind == "number":
        if total is not None:
            return torch.add(total, gradient, alpha=slope.factor)
        return gradient if slope.factor == 1 else gradient * slope.factor
    assert slope.table is not None
    if slope.kind == "diagonal":
        return gradient * slope.table if total is None else torch.addcmul(total, gradient, slope.table)
    rows = gradient.reshape(gradient.shape[0], -1)
    own = (rows @ slope.table).reshape(gradient.shape[0], *point.shape[1:])
    return own if total is None else total + own


def _slope(value: Tensor, point: Tensor) -> Slope | None:
    """The derivative of a uniform value in a parameter."""
    if value is point:
        return Slope("number", 1.0)
    ones = _vjp(value, point, torch.ones_like(value))
    if ones is None:
        return None
    entries = value.numel()
    if entries == 1 and point.numel() == 1:
        if point.shape == value.shape:
            return Slope("number", float(ones))
        return Slope("matrix", 1.0, ones.reshape(1, 1))
    if value.shape == point.shape:
        probe = torch.rand_like(value) + 0.5
        probed, expected = _vjp(value, point, probe), ones * probe
        if probed is not None and bool(torch.allclose(probed, expected, rtol=CLOSE, atol=0.0)):
            return Slope("diagonal", 1.0, ones)
    if point.numel() == 1:
        column = _column(value, point)
        if column is not None:
            return Slope("matrix", 1.0, column.reshape(-1, 1))
    if entries > MOST_ROWS:
        raise NotLifted
    rows = []
    for entry in range(entries):
        one = torch.zeros_like(value)
        one.view(-1)[entry] = 1.0
        row = _vjp(value, point, one)
        rows.append(torch.zeros(point.numel(), dtype=value.dtype, device=value.device) if row is None else row.reshape(-1))
    return Slope("matrix", 1.0, torch.stack(rows))


def _vjp(value: Tensor, point: Tensor, incoming: Tensor) -> Tensor | None:
    return pull([value], [point], [incoming])[0]


def _column(value: Tensor, point: Tensor) -> Tensor | None:
    """The derivative of every entry in a single number, by differentiating twice."""
    incoming = torch.zeros_like(value, requires_grad=True)
    weighed = (value * incoming).sum()
    pulled = torch.autograd.grad(weighed, point, retain_graph=True, create_graph=True, allow_unused=True)[0]
    if pulled is None or not pulled.requires_grad:
        return None
    return torch.autograd.grad(pulled.sum(), incoming, retain_graph=True, allow_unused=True)[0]
