"""The points of a sweep: `NAME=FROM:TO:COUNT`, lists of values and tables, all combined."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..options import refuse

Axes: TypeAlias = Mapping[str, Iterable[float]] | Sequence[Mapping[str, float]]
MOST_POINTS = 10_000_000
SHAPE = "--grid theta=0:1:500, theta=0.1:10:30:log or theta=0.1,0.2,0.5"


@dataclass(frozen=True)
class Points:
    """The swept `names`, and a row of numbers for each point."""

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def at(self, number: int) -> dict[str, float]:
        """The values of one point by name."""
        return dict(zip(self.names, self.rows[number], strict=True))

    def times(self, other: Points) -> Points:
        """Every point of one with every point of the other, of which the last varies fastest."""
        twice = set(self.names) & set(other.names)
        if twice:
            raise refuse(f"`{min(twice)}` is swept twice", "give it in one --grid, or in the table")
        if len(self.rows) * len(other.rows) > MOST_POINTS:
            raise refuse(f"the sweep has more than {MOST_POINTS} points", "sweep fewer values at a time")
        pairs = itertools.product(self.rows, other.rows)
        return Points((*self.names, *other.names), tuple((*one, *two) for one, two in pairs))


NOWHERE = Points((), ((),))


def points_of(axes: Axes) -> Points:
    """Points from values by name (all combined), or from dicts, one a point."""
    if isinstance(axes, Mapping):
        found = NOWHERE
        for name, values in axes.items():
            if not isinstance(values, Iterable):
                raise refuse(f"`{name}` is swept over values, and is given one", f"give several: {{'{name}': [{values}, ...]}}")
            found = found.times(Points((name,), tuple((_finite(value, name),) for value in values)))
        return _some(found)
    if not isinstance(axes, Sequence) or not all(isinstance(row, Mapping) for row in axes):
        hint = "give {'theta': [0.1, 0.2]}, or [{'theta': 0.1}, {'theta': 0.2}]"
        raise refuse("the points are neither values by name nor dicts", hint)
    rows = list(axes)
    names = tuple(rows[0]) if rows else ()
    for number, row in enumerate(rows):
        if set(row) != set(names):
            raise refuse(f"point {number} gives {', '.join(row) or 'nothing'}, but the first one {', '.join(names)}")
    return _some(Points(names, tuple(tuple(_finite(row[name], name) for name in names) for row in rows)))


def _some(points: Points) -> Points:
    if not points.names or not points.rows:
        raise refuse("a sweep needs points", f"give it some: {SHAPE}")
    return points


def _finite(value: object, name: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise refuse(f"`{value}` is no number to sweep `{name}` over", SHAPE) from None
    if not math.isfinite(number):
        raise refuse(f"`{name}` cannot be swept over {number}", SHAPE)
    return number


def grid(text: str) -> Points:
    """One `--grid`: `NAME=FROM:TO:COUNT`, with `:log` for equal ratios, or `NAME=VALUE,VALUE,...`; P0604."""
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not name or not values:
        raise refuse(f"`--grid {text}` is not NAME=VALUES", SHAPE)
    if ":" not in values:
        if not all(parts := [part.strip() for part in values.split(",")]):
            raise refuse(f"a value is missing in `--grid {text}`", SHAPE)
        return Points((name,), tuple((_finite(part, name),) for part in parts))
    first, last, *rest = (part.strip() for part in values.split(":"))
    kind = rest[1] if len(rest) == 2 else ""
    if not 1 <= len(rest) <= 2 or kind not in ("", "log"):
        raise refuse(f"`--grid {text}` is not FROM:TO:COUNT", SHAPE)
    low, high, number = _finite(first, name), _finite(last, name), _finite(rest[0], name)
    if number > MOST_POINTS:
        raise refuse(f"the sweep has more than {MOST_POINTS} points", "sweep fewer values at a time")
    if number != int(number) or number < 1:
        raise refuse(f"`{rest[0]}` in `--grid {text}` is no number of points", SHAPE)
    if kind and not (low > 0 and high > 0):
        raise refuse(f"`--grid {text}` has equal ratios, for which both ends must be positive", SHAPE)
    return Points((name,), tuple((value,) for value in spread(low, high, int(number), bool(kind))))


def spread(low: float, high: float, count: int, ratios: bool) -> list[float]:
    """So many numbers from one end to the other, both included."""
    if count == 1:
        return [low]
    steps = [number / (count - 1) for number in range(count)]
    if ratios:
        return [low * (high / low) ** step if step < 1 else high for step in steps]
    return [low + (high - low) * step if step < 1 else high for step in steps]


def table(path: Path) -> Points:
    """A CSV file with a head of names and a row for each point; P0604 with the row and the column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head, *rows = list(csv.reader(stream)) or [[]]
    except UnicodeDecodeError:
        raise refuse(f"`{path}` is not UTF-8 text", "save it in UTF-8") from None
    names = tuple(cell.strip() for cell in head)
    if not rows or not all(names) or len(set(names)) < len(names):
        raise refuse(f"`{path}` is no table of points", "write a head of different names, and a row of numbers for each point")
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise refuse(f"`{path}`, line {number}, has {len(row)} cells, but the head has {len(names)}")
        for name, cell in zip(names, row, strict=True):
            try:
                float(cell)
            except ValueError:
                raise refuse(f"`{path}`, line {number}, column `{name}`: `{cell}` is no number") from None
    return Points(names, tuple(tuple(_finite(cell, name) for name, cell in zip(names, row, strict=True)) for row in rows))
