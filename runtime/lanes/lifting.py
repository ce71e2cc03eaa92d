"""Parameters that stay one number for all lanes until a value of a run's own meets them.

The gradient of every single run needs a leaf per run.  Expanding the parameters at the start makes everything computed from
them as wide as the block.  Here they stay `[1, *shape]`, and a uniform value that meets one with a row per lane is *lifted*
there: replaced by a leaf `[lanes, *shape]` (a view, without memory) that autograd does not connect with the parameters.  One
backward pass gives the derivative of every run in the lifted values, and the chain rule does the rest:

    dY_i/dtheta = sum over lifted c of  dY_i/dc  *  dc/dtheta

where dc/dtheta is one small matrix for all runs, found once.  Where lanes go apart, a value is lifted on the lanes that it
meets there (`[count, *shape]`), and what arrives at these is brought back to their runs.  Values tell themselves whether they are
uniform (`values.py`).  Should one meet the lanes without being lifted all the same, a derivative arrives at the parameters
themselves, and should something be lifted that is not uniform, it depends on other lifted values: both are noticed
(`NotLifted`), and everything is done again with parameters expanded at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..arrays.private import observed, pull
from .lanes import Lanes
from .lessons import NotLifted
from .values import PerLane, Plain, Uniform

MOST_ROWS = 64  # of a matrix that is found row by row
MOST_ORIGINS = 256  # different uniform values that are lifted
# What autograd calls the operations that make each entry of their result of one entry of an operand, by the same flat index
# where nothing is repeated.
ENTRY_BY_ENTRY = frozenset(f"{name}Backward" for name in (
    "Add", "Sub", "Rsub", "Mul", "Div", "Addcmul", "Pow", "Neg", "Reciprocal", "Square", "Exp", "Log", "Log1P", "Expm1", "Sqrt",
    "Rsqrt", "Abs", "Sign", "Floor", "Ceil", "Round", "Remainder", "Sin", "Cos", "Tan", "Atan", "Tanh", "Sinh", "Cosh", "Sigmoid",
    "Logit", "LogSigmoid", "Relu", "Erf", "Lgamma", "Digamma", "Polygamma", "Softplus", "Clamp", "ClampMin", "ClampMax", "Where",
    "Minimum", "Maximum", "View", "UnsafeView", "ReshapeAlias", "Unsqueeze", "Squeeze", "Expand", "ToCopy", "Clone", "Alias",
    "_Choice", "_Extreme", "_Product", "_Divide", "_Power", "_Unary",
))


@dataclass(frozen=True)
class Slope:
    """dc/dtheta of a lifted value in one parameter: `kind` number (times `factor`), diagonal (`[*shape]`), or matrix
    (`[entries of c, entries of theta]`)."""

    kind: str
    factor: float
    table: Tensor | None = None


class Leaves:
    """Points in which the results of a block are differentiated, each with a row per run."""

    def __init__(self, points: Sequence[Tensor]):
        self.points = list(points)

    def rows(self, value: Tensor, lanes: Lanes) -> Tensor:
        """A value with a row per lane."""
        return value.expand(lanes.count, *value.shape[1:])

    def release(self) -> None:
        """Nothing more will be differentiated."""

    def derive(self, outputs: list[Tensor], incoming: list[Tensor], keep: bool) -> list[Tensor | None]:
        """The derivatives of `sum(outputs * incoming)` in every point `[runs, *point]`; None: zero."""
        return list(pull(outputs, self.points, incoming, keep))


@dataclass(frozen=True)
class Lifted:
    """A leaf `[lanes, *shape]` in the place of a uniform value, which is number `origin` of those."""

    leaf: Tensor
    lanes: Lanes
    origin: int


class Lifter(Leaves):
    """The lifted values of one block.  `slopes` are those of its uniform values in the order in which they are lifted; blocks
    that all lift the same in the same order share them."""

    def __init__(self, parameters: Sequence[Tensor], runs: int, slopes: list[list[Slope | None]]):
        super().__init__(parameters)
        self.runs = runs
        self.slopes = slopes
        self.origins: list[Tensor] = []
        self.lifted: list[Lifted] = []
        self._numbers: dict[int, int] = {}
        self._known: dict[tuple[int, Lanes], Tensor] = {}

    def release(self) -> None:
        """The lanes know who lifts on them: let go of each other."""
        self.lifted.clear()
        self._known.clear()

    @property
    def ends(self) -> list[Tensor]:
        """Everything that a value of this block may be differentiated in."""
        return [*(lifted.leaf for lifted in self.lifted), *self.points]

    def lift(self, value: Uniform, lanes: Lanes) -> Plain:
        """The value as a leaf with a row per lane; as it is where nothing is to be differentiated."""
        return PerLane(self.leaf(value.raw, lanes), value.event) if isinstance(value.raw, Tensor) and value.live else value

    def leaf(self, value: Tensor, lanes: Lanes) -> Tensor:
        """A tensor `[1, *shape]` that is the same in all lanes and carries a derivative, as a leaf `[lanes, *shape]`."""
        known = self._known.get((id(value), lanes))
        if known is None:
            number = self._numbers.setdefault(id(value), len(self.origins))
            if number == len(self.origins):
                if number == MOST_ORIGINS:
                    raise NotLifted
                self.origins.append(value)
            known = value.detach().expand(lanes.count, *value.shape[1:]).requires_grad_()
            self._known[id(value), lanes] = known
            self.lifted.append(Lifted(known, lanes, number))
        return known

    def rows(self, value: Tensor, lanes: Lanes) -> Tensor:
        """A tensor `[lanes, *shape]`, or of one row for them all, which is lifted."""
        if value.shape[0] != lanes.count and value.requires_grad:
            return self.leaf(value, lanes)
        return value.expand(lanes.count, *value.shape[1:])

    def derive(self, outputs: list[Tensor], incoming: list[Tensor], keep: bool) -> list[Tensor | None]:
        """As always, by the chain rule through the lifted values."""
        found = pull(outputs, self.ends, incoming, keep)
        if any(part is not None for part in found[len(self.lifted) :]):
            raise NotLifted
        for number in range(len(self.slopes), len(self.origins)):
            self.slopes.append(self._slopes(self.origins[number]))
        by_lanes: dict[Lanes, list[Tensor | None]] = {}
        for lifted, gradient in zip(self.lifted, found, strict=False):
            if gradient is None:
                continue
            totals = by_lanes.setdefault(lifted.lanes, [None] * len(self.points))
            for place, slope in enumerate(self.slopes[lifted.origin]):
                if slope is not None:
                    totals[place] = _chained(totals[place], gradient, slope, self.points[place])
        return [self._of_runs(by_lanes, place) for place in range(len(self.points))]

    def _of_runs(self, by_lanes: dict[Lanes, list[Tensor | None]], place: int) -> Tensor | None:
        """What arrives at one parameter on all lanes, run by run `[runs, *parameter]`."""
        whole: Tensor | None = None
        scattered: Tensor | None = None
        for lanes, totals in by_lanes.items():
            part, origin = totals[place], lanes.origin
            if part is None:
                continue
            if origin is None:
                whole = part if whole is None else whole + part
                continue
            if scattered is None:
                scattered = part.new_zeros(self.runs, *part.shape[1:])
            scattered.index_add_(0, origin, part)
        if scattered is None:
            return whole
        return scattered if whole is None else scattered.add_(whole)

    def _slopes(self, value: Tensor) -> list[Slope | None]:
        """The derivatives of a uniform value in the parameters."""
        leaves = [lifted.leaf for lifted in self.lifted]
        if any(part is not None for part in pull([value], leaves, [torch.ones_like(value)])):
            raise NotLifted  # it is a lane's own
        return [_slope(value, point) for point in self.points]


def level(values: Sequence[Plain], lanes: Lanes) -> Sequence[Plain]:
    """Values that are used together: where some have a row per lane, those that carry a derivative and are the same in all lanes
    are lifted."""
    lifter = lanes.lifter
    if lifter is None:
        return values
    rows = live = False
    for value in values:
        if isinstance(value, PerLane):
            rows = True
        elif value.live:
            live = True
    if not (rows and live):
        return values
    return [lifter.lift(value, lanes) if isinstance(value, Uniform) and value.live else value for value in values]


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
            return Slope("diagonal", 1.0, ones) if observed() else Slope("number", float(ones))
        return Slope("matrix", 1.0, ones.reshape(1, 1))
    if value.shape == point.shape and _entry_by_entry(value, point):
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


def _entry_by_entry(value: Tensor, point: Tensor) -> bool:
    """Whether the graph of a value proves that an entry depends on no entry of `point`, of the same size, but that in its place.

    No operation on the way makes fewer entries than it is given, so that with as many at both ends none repeats any: all keep
    the flat index.  A sum, an index, a product of matrices, a function that autograd does not name here prove nothing.
    """
    _, doubtful = _before([value.grad_fn], ENTRY_BY_ENTRY)
    return all(getattr(node, "variable", None) is not point for node in _before(doubtful)[0])


def _before(nodes: Sequence[Any], kinds: frozenset[str] | None = None) -> tuple[list[Any], list[Any]]:
    """The nodes of autograd's graph from some back to the leaves, as far as they are of some kinds; and those of others."""
    pending, others = list(nodes), []
    found: dict[Any, None] = {}
    while pending:
        node = pending.pop()
        if node is None or node in found:
            continue
        if kinds is not None and node.next_functions and node.name().rstrip("0123456789") not in kinds:
            others.append(node)
            continue
        found[node] = None
        pending.extend(before for before, _ in node.next_functions)
    return list(found), others


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
