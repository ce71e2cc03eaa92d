"""What was there when something went wrong: in which runs, and with which values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...dsl.syntax import Name, Node, children
from .frames import Frame
from .values import Held, PerLane


def first_of(mask: Tensor) -> int:
    """The first row of a mask `[rows, ...]` that holds anywhere."""
    return int(rows_of(mask).nonzero()[0])


def rows_of(mask: Tensor) -> Tensor:
    """`[rows]`: where a mask `[rows, ...]` holds anywhere."""
    return mask.reshape(mask.shape[0], -1).any(1) if mask.dim() > 1 else mask


def count_runs(mask: Tensor, frame: Frame, stands_for: int = 1) -> tuple[int, int]:
    """How many runs have a lane where the mask `[lanes or 1, ...]` holds, and how many runs there are.

    An exact run `stands_for` many: so many of them as the probability of the lanes says.
    """
    rows = rows_of(mask).expand(frame.lanes.count)
    total = frame.lanes.root.count
    if stands_for > 1:
        weight = frame.weight
        share = 1.0 if weight is None else float(weight.detach().expand(frame.lanes.count)[rows].sum())
        return max(1, min(round(share * stands_for), stands_for)), stands_for
    origin = frame.lanes.origin
    if origin is None:
        return int(rows.sum()), total
    return int(torch.unique(origin[rows]).shape[0]), total


def in_runs(count: int, total: int) -> str:
    """The note `in 3 of 10000 runs`."""
    return f"in {count} of {total} run{'' if total == 1 else 's'}"


def row_of(value: Held, row: int) -> Tensor | float | bool:
    """The entry of one lane of a value."""
    wide = value.wide
    if isinstance(wide, Tensor):
        return wide.detach()[row if isinstance(value, PerLane) else 0]
    return wide


def show(value: Tensor | float | bool) -> str:
    """A number, or a short array, as a person writes it."""
    if isinstance(value, Tensor):
        if value.dim() == 0:
            return show(bool(value) if value.dtype == torch.bool else float(value))
        if value.numel() > 6:
            flat = ", ".join(show(entry) for entry in value.reshape(-1)[:4])
            return f"[{flat}, ...]"
        return "[" + ", ".join(show(entry) for entry in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}"


def circumstances(node: Node, frame: Frame, row: int, constants: frozenset[str]) -> str:
    """` where theta = 0.5`: the variables that occur in an expression, in one lane (an empty string without any)."""
    names: dict[str, None] = {}
    pending = [node]
    while pending:
        found = pending.pop()
        if isinstance(found, Name) and found.id not in constants:
            names.setdefault(found.id)
        pending.extend(reversed(children(found)))
    if isinstance(node, Name):
        return ""
    words = []
    for name in names:
        try:
            value = frame.read(name)
        except KeyError:
            continue
        if isinstance(value, Held) and math.prod(value.shape) <= 6:
            words.append(f"{name} = {show(row_of(value, row))}")
    return f" where {' and '.join(words)}" if words and len(words) <= 4 else ""
