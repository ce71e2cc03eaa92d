"""The two derivatives of an expectation at a kink that carries probability: one to the left, one to the right.

Where `min(y, D)` meets a whole number y that D takes with positive probability, E[min(y, D)] has a corner, and no number is its
derivative.  Both one-sided ones are differences of E[y] itself (`differences.py`), by the oracle's way of computing it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...dsl.names.resolved import Resolved
from ...dsl.text.source import Span
from ..blocks.moments import Moments
from .differences import BACKWARD, FORWARD, ResultSource, from_one_side
from .doubts import Doubt

STEP = 1e-3  # where results come without noise
NOISY_STEP = 0.02
NARROWER = 0.25  # of the step: over a smooth stretch the sides then differ by a sixteenth, at a corner by as much as before
MOST_NAMED = 4
CLEAR = 5.0  # standard errors
ROUNDING = 1e-5  # of the size of a derivative: what differences of exact values may do


@dataclass(frozen=True)
class Sides:
    """One-sided derivatives of a result in a parameter `[*result, *parameter]`; nan where there is no such side: then the gradient
    that was estimated (`own`) must agree with the other one."""

    left: Moments
    right: Moments
    jumps: Tensor | None = None  # in which entries the result itself jumps
    own: Moments | None = None

    def _there(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Means and standard errors of a side, or what stands for it."""
        if self.own is None:
            return moments.mean, moments.se
        missing = moments.mean.isnan()
        return tuple(  # type: ignore[return-value]
            torch.where(missing, own.to(side.device), side)
            for own, side in ((self.own.mean, moments.mean), (self.own.se, moments.se))
        )

    @property
    def gap(self) -> Tensor:
        """How far they are apart."""
        return self._there(self.right)[0] - self._there(self.left)[0]

    @property
    def apart(self) -> Tensor:
        """Where they differ by more than chance and rounding."""
        (left, error), (right, other) = self._there(self.left), self._there(self.right)
        size = left.abs().maximum(right.abs()).clamp_min(1.0)
        chance = CLEAR * (error.nan_to_num(0.0) ** 2 + other.nan_to_num(0.0) ** 2).sqrt()
        apart = self.gap.abs() > chance + ROUNDING * size
        return apart if self.jumps is None else apart | self.jumps

    def distance(self, mean: Tensor) -> Tensor:
        """How far a number is from the one or the other, whichever is further."""
        return (mean - self.left.mean).abs().maximum((mean - self.right.mean).abs())


    def to_dict(self) -> dict[str, Any]:
        """The entry of `sides` in the JSON; null where there is no such side."""
        nowhere = torch.zeros_like(self.left.mean, dtype=torch.bool) if self.jumps is None else self.jumps
        both = {"left": self.left.mean, "right": self.right.mean}
        return {side: _listed(mean.masked_fill(nowhere, math.nan)) for side, mean in both.items()}

    def words(self) -> Iterator[tuple[str, str]]:
        """Of every entry that is two its index and both numbers."""
        for place in self.apart.nonzero().tolist() if self.left.mean.dim() else [[]] * bool(self.apart):
            index = f"[{', '.join(str(number) for number in place)}]" if place else ""
            left, right = (moments.mean[tuple(place)] for moments in (self.left, self.right))
            if self.jumps is not None and bool(self.jumps[tuple(place)]):
                yield index, "infinite, because the expectation itself jumps"
                continue
            named = [(left, "to the left"), (right, "to the right")]
            there = [f"{float(number):.4g} {side}" for number, side in named if not bool(number.isnan())]
            yield index, " and ".join(there) + ", the other side being outside" * (len(there) < len(named))


Found = dict[str, dict[str, Sides]]


def _listed(numbers: Tensor) -> Any:
    if numbers.dim():
        return [_listed(row) for row in numbers]
    return None if bool(numbers.isnan()) else float(numbers)


def cornered(
    kinks: Sequence[tuple[int, str]], sides: Mapping[str, Mapping[str, Sides]], several: bool
) -> Iterator[Doubt]:
    """Gradients at a corner; `kinks`: line and text, `several`: there are several results, which are to be named."""
    if not kinks:
        return
    (line, text), more = kinks[0], len(kinks) - 1
    known = [
        f"d{f' {result}' if several else ''}/d{parameter}{index} is {both}"
        for result, rows in sides.items() for parameter, pair in rows.items() for index, both in pair.words()
    ]
    others = f" (and {more} more)" if more else ""
    numbers = "; ".join(known[:MOST_NAMED]) + (f"; and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else "")
    yield Doubt("P0704", (
        f"corner: `{text}`{others} stands exactly where its derivative changes, and not by chance. The expectation need not have a "
        "derivative there, but one to the left and one to the right: "
        + (f"{numbers}. What is printed is between them, or one of them" if known else "what is printed may be neither")
        + ". Move the parameter off the corner"
    ), line)


Whole: TypeAlias = tuple[int, str, str, tuple[str, ...]]  # a parameter that must be a whole number: line and text, name, results


def whole_numbers(resolved: Resolved, counted: Sequence[tuple[Span, str, tuple[str, ...]]]) -> tuple[Whole, ...]:
    """Where parameters must be whole numbers (`Plan.counted`), in words."""
    places = resolved.program.source.places
    return tuple((line, text, name, reached) for span, name, reached in counted for line, text in places((span,)))


def counting(counted: Sequence[Whole]) -> Iterator[Doubt]:
    """Parameters that have no derivative, for being whole numbers."""
    for name in dict.fromkeys(name for _, _, name, _ in counted):
        line, text = next((line, text) for line, text, other, _ in counted if other == name)
        place = f"line {line}" if text == name else f"`{text}`, line {line}"
        yield Doubt("P0704", (
            f"no derivative: `{name}` must be a whole number ({place}), and between whole numbers there is no expectation. What is "
            f"printed as d/d{name} tells nothing of the next one: give `{name}` as data, or compare the values at two numbers"
        ), line)


def one_sided(source: ResultSource, parameters: Mapping[str, Tensor], step: float) -> Found:
    """Both derivatives of every result in every parameter."""
    left, right = (from_one_side(source, parameters, step, stencil) for stencil in (BACKWARD, FORWARD))
    return {name: {key: Sides(left[name][key], right[name][key]) for key in rows} for name, rows in right.items()}


def with_jumps(found: Found, source: ResultSource, parameters: Mapping[str, Tensor], step: float) -> Found:
    """The same, knowing where a result jumps: a quotient of differences then grows as the step becomes smaller."""
    if not found:
        return {}
    narrow = one_sided(source, parameters, NARROWER * step)

    def told(sides: Sides, closer: Sides) -> Sides:
        gap = replace(closer, own=sides.own).gap.abs()
        jumps = sides.apart & (gap > 2 * sides.gap.abs().clamp_min(ROUNDING))
        return replace(sides, jumps=jumps | _grown(closer.left, sides.left) | _grown(closer.right, sides.right))

    told_of = {name: {key: told(sides, narrow[name][key]) for key, sides in rows.items()} for name, rows in found.items()}
    return told_of if any(bool(sides.apart.any()) for rows in told_of.values() for sides in rows.values()) else {}


def _grown(closer: Moments, wide: Moments) -> Tensor:
    """Whether a slope over a narrower step is larger by more than chance."""
    chance = CLEAR * (closer.se.nan_to_num(0.0) + wide.se.nan_to_num(0.0))
    return closer.mean.abs() > 2 * wide.mean.abs().clamp_min(ROUNDING) + chance


def corners(source: ResultSource, parameters: Mapping[str, Tensor]) -> Found:
    """The derivatives that are two, of results without noise, whatever anybody says of kinks: as far apart with a smaller step."""
    wide = one_sided(source, parameters, STEP)
    if not any(bool(sides.apart.any()) for rows in wide.values() for sides in rows.values()):
        return {}
    narrow = one_sided(source, parameters, NARROWER * STEP)
    return kept({
        name: {key: sides for key, sides in rows.items() if bool((sides.gap.abs() > wide[name][key].gap.abs() / 2).any())}
        for name, rows in narrow.items()
    })


def kept(found: Found) -> Found:
    """Only those that differ."""
    there = {name: {key: sides for key, sides in rows.items() if bool(sides.apart.any())} for name, rows in found.items()}
    return {name: rows for name, rows in there.items() if rows}


