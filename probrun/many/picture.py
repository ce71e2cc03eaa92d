"""The picture of a sweep: every result and every derivative over the first name that is swept, with 95 % bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..display.style import CURVES, DASHES, headed, looking, save, sheet, titled
from .sweep_table import Row

MOST_PANELS, MOST_LINES, WIDE = 12, 8, 3


def draw_sweep(rows: Sequence[Row], names: tuple[str, ...], title: str, path: Path) -> None:
    """Draw the rows of a sweep; points without an answer are gaps."""
    table = sorted(rows, key=lambda row: int(row["point"]))
    columns = [name for name in dict.fromkeys(key for row in table for key in row) if name.startswith(("E[", "dE["))]
    shown = columns[:MOST_PANELS]
    groups: dict[tuple[float, ...], list[Row]] = {}
    for row in table:
        groups.setdefault(tuple(float(row[name]) for name in names[1:]), []).append(row)
    across = 2 if len(shown) == 4 else min(max(len(shown), 1), WIDE)
    down = -(-len(shown) // across)
    with looking():
        figure = sheet(max(3.6 * across, 6.4), 0.9 + 2.7 * max(down, 1))
        for number, column in enumerate(shown, 1):
            axes = figure.add_subplot(down, across, number)
            titled(axes, column)
            axes.set_xlabel(names[0])
            for place, (others, points) in enumerate(list(groups.items())[:MOST_LINES]):
                label = ", ".join(f"{name} = {value:g}" for name, value in zip(names[1:], others, strict=True))
                _line(axes, sorted(points, key=lambda row: float(row[names[0]])), names[0], column, label, place)
        if len(groups) > 1 and shown:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
        headed(figure, f"{title}: {_words(table)}{_left_out(len(groups), len(columns) - len(shown))}")
    save(figure, path)


def _words(table: Sequence[Row]) -> str:
    """What was made: points, runs, seed, estimators, and where there is no answer."""
    runs = sorted({int(row["samples"]) for row in table if row.get("samples") not in (None, "")})
    errors = [cell for row in table for name, cell in row.items() if name.startswith("se ") and cell not in (None, "")]
    still = not any(map(_number, errors))
    several = f" of {runs[0]} runs" if len(runs) == 1 else f" of {runs[0]} to {runs[-1]} runs" if runs else ""
    each = " with standard error 0" if errors and still else several
    taken = dict.fromkeys(name for row in table for name in str(row.get("estimators") or "").split())
    seed = str(table[0]["sweep"]).partition("-")[0] if table else ""
    without = sum(1 for row in table if row.get("code"))
    words = [f"{len(table)} points{each}", f"seed {seed}", *([", ".join(taken)] if taken else [])]
    without_any = [f"{without} without an answer"] if without else []
    return ", ".join([*words, *without_any]) + ("" if still else "; bands: 95 % intervals")


def _left_out(groups: int, columns: int) -> str:
    lines = f"; {groups - MOST_LINES} more lines not drawn" if groups > MOST_LINES else ""
    return lines + (f"; {columns} more columns in the table" if columns > 0 else "")


def _line(axes: Any, points: list[Row], name: str, column: str, label: str, place: int) -> None:
    colour = CURVES[place % len(CURVES)]
    at, mean, width = [], [], []
    for row in points:
        at.append(float(row[name]))
        mean.append(_number(row.get(column)))
        width.append(1.96 * _number(row.get(f"se {column}")))
    low, high = ([m + sign * w for m, w in zip(mean, width, strict=True)] for sign in (-1, 1))
    axes.fill_between(at, low, high, color=colour, alpha=0.25, linewidth=0)
    marker = "." if len(at) <= 60 else ""
    axes.plot(at, mean, color=colour, linestyle=DASHES[place % len(DASHES)], marker=marker, linewidth=1.2, label=label or None)


def _number(cell: Any) -> float:
    """A cell, or nan where nothing is known."""
    return float("nan") if cell in (None, "") else float(cell)
