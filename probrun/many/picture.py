"""The picture of a sweep: every result and every derivative over the first name that is swept, with 95 % bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .sweep_table import Row

MOST_PANELS, MOST_LINES = 12, 8
COLOURS = ("#4477aa", "#ee7733", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#ee6677", "#777777")  # Paul Tol's
STYLES = ("-", "--", "-.", ":")


def draw_sweep(rows: Sequence[Row], names: tuple[str, ...], title: str, path: Path) -> None:
    """Draw the rows of a sweep; points without an answer are gaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = sorted(rows, key=lambda row: int(row["point"]))
    columns = [name for name in dict.fromkeys(key for row in table for key in row) if name.startswith(("E[", "dE["))]
    shown = columns[:MOST_PANELS]
    wide = min(max(len(shown), 1), 3)
    figure = Figure(figsize=(max(4.8 * wide, 6.4), 3.6 * max(-(-len(shown) // wide), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    groups: dict[tuple[float, ...], list[Row]] = {}
    for row in table:
        groups.setdefault(tuple(float(row[name]) for name in names[1:]), []).append(row)
    for number, column in enumerate(shown, 1):
        axes = figure.add_subplot(-(-len(shown) // wide), wide, number)
        axes.set_title(column)
        axes.set_xlabel(names[0])
        for place, (others, points) in enumerate(list(groups.items())[:MOST_LINES]):
            label = ", ".join(f"{name} = {value:g}" for name, value in zip(names[1:], others, strict=True))
            _line(axes, sorted(points, key=lambda row: float(row[names[0]])), names[0], column, label, place)
        if len(groups) > 1 and number == 1:
            axes.legend(fontsize="small", loc="best")
    more = f", {len(groups) - MOST_LINES} more lines not drawn" if len(groups) > MOST_LINES else ""
    more += f", {len(columns) - len(shown)} more columns in the table" if len(columns) > len(shown) else ""
    figure.suptitle(f"{title}: {len(table)} points{more}", fontsize="medium")
    figure.savefig(path, dpi=150)


def _line(axes: Any, points: list[Row], name: str, column: str, label: str, place: int) -> None:
    colour = COLOURS[place % len(COLOURS)]
    at, mean, width = [], [], []
    for row in points:
        at.append(float(row[name]))
        mean.append(_number(row.get(column)))
        width.append(1.96 * _number(row.get(f"se {column}")))
    low, high = ([m + sign * w for m, w in zip(mean, width, strict=True)] for sign in (-1, 1))
    axes.fill_between(at, low, high, color=colour, alpha=0.25, linewidth=0)
    marker = "." if len(at) <= 60 else ""
    axes.plot(at, mean, color=colour, linestyle=STYLES[place % len(STYLES)], marker=marker, linewidth=1.2, label=label or None)


def _number(cell: Any) -> float:
    """A cell, or nan where nothing is known."""
    return float("nan") if cell in (None, "") else float(cell)
