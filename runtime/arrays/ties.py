"""Where a kink is met exactly: operands of `max`, `abs`, `clamp`, ... that are equal, so that there are two derivatives.

At such a place the derivative that torch gives is one of many.  `tied` gives what may be added to the result: its value is 0
everywhere, and its derivative is a part of the difference between the two sides there (a different part at every entry, so that
nothing cancels; `probes.py`).  Whether the derivative of a result changes with it tells whether the choice matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .broadcast import align
from .kernels import nowhere_equal, to_number
from .matrix_code import between, place_of
from .probes import unlike

ROUNDINGS = 16  # by so many units of the last place equal values may differ that were computed in two ways


def parts(like: Tensor) -> Tensor:
    """Numbers between 1/8 and 3/8, of which no sum with whole coefficients is 0."""
    return unlike(like, least=0.125, most=0.375)


class Meeting:
    """One way to compare: exactly, or up to the rounding of values in which nothing is continuous."""

    def __init__(self, exactly: bool):
        self.exactly = exactly
        self.count = 0  # of entries that were equal
        self.nearly = False  # some of them but for rounding

    def equal(self, a: Tensor, b: Tensor | float) -> Tensor | None:
        """Which entries are the same; None: none."""
        a = a.detach()
        b = b.detach() if isinstance(b, Tensor) else b
        if self.exactly:
            if nowhere_equal(a, b):
                return None
            same = torch.eq(a, b)
        else:
            off = (a - b).abs()
            size = torch.maximum(a.abs(), b.abs()) if isinstance(b, Tensor) else off.amax().clamp_max(1.0) if a.numel() else off
            same = off <= ROUNDINGS * torch.finfo(a.dtype).eps * size
            self.nearly |= bool((same & (off > 0)).any())
        if not bool(same.any()):
            return None
        same = same & torch.isfinite(a)
        self.count += int(same.sum())
        return same

    def mixed(self, a: Tensor, b: Tensor | float, sign: float = 1.0) -> Tensor | None:
        """A part of `a - b` where they are equal."""
        same = self.equal(a, b)
        return None if same is None else _part(a - b, same, sign)


def _part(difference: Tensor, where: Tensor, sign: float = 1.0) -> Tensor:
    difference = difference - difference.detach()
    return torch.where(where, sign * parts(difference) * difference, 0.0)


def _at_zero(meeting: Meeting, result: Tensor, x: Tensor) -> Tensor | None:
    return meeting.mixed(x, 0.0)


def _clamped(meeting: Meeting, result: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor | None:
    value, least, most = align(x, low, high)
    found = [part for part in (meeting.mixed(value, least, -1.0), meeting.mixed(value, most, -1.0)) if part is not None]
    return sum(found[1:], found[0]) if found else None


def _extreme(meeting: Meeting, result: Tensor, *values: Tensor) -> Tensor | None:
    if len(values) == 2:
        one, other = align(*values)
        return meeting.mixed(one, other)
    if len(values) == 1:
        if values[0].dim() == 1:
            return None
        entries = values[0].reshape(values[0].shape[0], -1)
    else:
        entries = torch.stack(torch.broadcast_tensors(*align(*values)), -1)  # type: ignore[no-untyped-call]
    best = result.unsqueeze(-1)
    same = meeting.equal(entries, best.expand(entries.shape))
    if same is None:
        return None
    several = same & (same.sum(-1, keepdim=True) > 1)
    meeting.count = int(several.sum())
    first = entries.gather(-1, several.int().argmax(-1, keepdim=True))
    return _part(entries - first, several).sum(-1) if meeting.count else None


def _in_order(meeting: Meeting, result: Tensor, x: Tensor) -> Tensor | None:
    """Entries that are equal may change places: something in which all their derivatives are mixed goes from each to the next, so
    that their sum stays as it is."""
    same = meeting.equal(result[..., 1:], result[..., :-1])
    if same is None:
        return None
    first = torch.zeros_like(result[..., :1], dtype=torch.bool)
    places = torch.arange(result.shape[-1], device=result.device)
    start = torch.where(torch.cat((first, same), -1), 0, places).cummax(-1).values  # of the entries that are equal
    own = result - result.gather(-1, start)
    mixture = torch.zeros_like(result).scatter_add(-1, start, parts(result) * own).gather(-1, start)
    moved = _part(mixture[..., 1:], same)
    nothing = torch.zeros_like(moved[..., :1])
    return torch.cat((moved, nothing), -1) - torch.cat((nothing, moved), -1)


def _at_share(meeting: Meeting, result: Tensor, x: Tensor, q: Tensor) -> Tensor | None:
    """Entries that are equal, of which one is at the place; and a place at an entry, before and after which the slopes differ."""
    entries = x.reshape(x.shape[0], -1)
    ordered = torch.sort(entries, dim=-1, stable=True).values
    place, found = place_of(entries, q), []
    if (moved := _in_order(meeting, ordered, entries)) is not None:
        found.append(between(moved, place.detach()))
    if q.requires_grad and (same := meeting.equal(place, place.detach().round())) is not None:
        last = ordered.shape[1] - 1
        here = place.detach().round()
        before, after = (between(ordered.detach(), (here + step).clamp(0, last)) for step in (-1, 1))
        middle = between(ordered.detach(), here)
        turn = torch.where((here > 0) & (here < last), before + after - 2 * middle, 0.0)
        found.append(_part(turn * place, same, -1.0))  # what is computed has the slope behind it
    return sum(found[1:], found[0]) if found else None


_BY_NAME: dict[str, Callable[..., Tensor | None]] = {
    "abs": _at_zero, "relu": _at_zero, "clamp": _clamped, "max": _extreme, "min": _extreme, "sort": _in_order,
    "quantile": _at_share,
}
TIED = frozenset(_BY_NAME)
STEPS: dict[str, Callable[[Tensor], Tensor]] = {  # of functions that step: the nearest number at which they do
    "floor": torch.round, "ceil": torch.round, "round": lambda x: (x - 0.5).round() + 0.5, "sign": torch.zeros_like,
}


def turn(name: str, operands: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Two numbers that are equal where an operation jumps."""
    first, *others = operands
    if not others:
        return first, STEPS[name](first.detach())
    one, other = align(first, others[0])
    return (one, other * (one / other).detach().round()) if name == "%" else (first, others[0])


def touching(a: Tensor, b: Tensor) -> Tensor | None:
    """A part of the difference of two values where they are equal; None where they are not, or do not move."""
    if not a.requires_grad and not b.requires_grad:
        return None
    one, other = align(a, b)
    return Meeting(exactly=False).mixed(one, other)


def tied(name: str, result: Tensor, values: Sequence[Tensor], exactly: bool) -> tuple[Tensor, Meeting] | None:
    """What may be added to the result of a function with a kink, and how operands were equal; None where none were."""
    if not result.requires_grad:
        return None
    meeting = Meeting(exactly)
    part = _BY_NAME[name](meeting, result, *(to_number(value, result.dtype) for value in values))
    return None if part is None or not part.requires_grad else (part, meeting)
