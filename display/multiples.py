"""Ways to the same number side by side: small multiples (a row a way, a column a number), or one over the other."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .panels import bins_of
from .style import CURVES, DASHES, FILLED, GREY, SMALL, headed, looking, maker, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 6
MOST_STEPS = 40  # of densities that are drawn one over the other
WIDEST = 5.0  # times the middle width of the rows: beyond that one wild row would flatten the others
HEIGHTS = {True: 1.0, False: 0.55}  # of a row with a histogram, and of one without


@dataclass(frozen=True)
class Contender:
    """One way to a number: `kind` is right, biased, wrong or difference, `runs` the values of single runs `[runs]` where there are
    any, `words` what is to be said of its bias."""

    label: str
    kind: str
    mean: float
    half: float
    exact: bool
    words: str
    runs: Any = None


@dataclass(frozen=True)
class Column:
    """A number, by every way: `truth` is the reference, of the name `known`."""

    title: str
    truth: float
    known: str
    ways: tuple[Contender, ...]


@dataclass(frozen=True)
class Multiples:
    """The picture of a comparison; `over`: the ways one over the other."""

    title: str
    columns: tuple[Column, ...]
    over: bool = False

    def figure(self, shown: bool = False) -> Figure:
        """The picture as a figure; `shown`: one that pyplot, and so a notebook, displays."""
        columns = self.columns[:MOST_COLUMNS]
        more = len(self.columns) - len(columns)
        make = maker(shown)
        with looking():
            figure = (_overlaid if self.over else _apart)(columns, make)
            headed(figure, self.title + (f" ({more} more entries: --json)" if more > 0 else ""))
            figure.draw_without_rendering()
        return figure

    def on(self, axes: Axes) -> None:
        """Draw the densities of the only number over each other on given axes (`ValueError` where there are several)."""
        if len(self.columns) != 1:
            names = ", ".join(repr(column.title) for column in self.columns[:8])
            raise ValueError(f"one axes for {len(self.columns)} numbers ({names}): leave ax out")
        with looking():
            _densities(self.columns[0], axes, limits_of(self.columns[0]))
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def limits_of(column: Column) -> tuple[float, float]:
    """What is shown: 98 % of the runs of every way, but no more than some times what the middle one needs, and all means."""
    import numpy

    ends = [tuple(map(float, numpy.quantile(way.runs, (0.01, 0.99)))) for way in column.ways if way.runs is not None]
    means = [way.mean + side * way.half for way in column.ways for side in (-1, 1) if way.half == way.half]
    centre, low, high = column.truth, min([column.truth, *means]), max([column.truth, *means])
    if ends:
        width = float(numpy.median([end - start for start, end in ends])) or max(end - start for start, end in ends)
        low = min(low, max(min(start for start, _ in ends), centre - WIDEST * width / 2))
        high = max(high, min(max(end for _, end in ends), centre + WIDEST * width / 2))
    room = 0.05 * (high - low) or 0.05 * abs(centre) or 1.0
    return low - room, high + room


# -------------------------------------------------------------------------------------------------- small multiples
def _apart(columns: tuple[Column, ...], make: Any) -> Figure:
    heights = [HEIGHTS[any(column.ways[row].runs is not None for column in columns)] for row in range(len(columns[0].ways))]
    figure: Figure = make(2.0 + 3.4 * max(len(columns), 2 if len(heights) < 3 else 1), 0.82 * sum(heights) + 1.6)
    grid = figure.add_gridspec(len(heights), len(columns), height_ratios=heights)
    for across, column in enumerate(columns):
        limits = limits_of(column)
        for row, way in enumerate(column.ways):
            axes = figure.add_subplot(grid[row, across])
            _row(axes, way, column, limits)
            if across == 0:
                axes.set_ylabel(_wrapped(way.label), rotation=0, ha="right", va="center", fontsize=SMALL)
            if row + 1 < len(column.ways):
                axes.set_xticklabels([])
            if row == 0:
                titled(axes, column.title, f"dashed: {column.known}, {column.truth:.5g}")
        axes.set_xlabel("of a single run; points: means with 95 % intervals")
    return figure


def _row(axes: Axes, way: Contender, column: Column, limits: tuple[float, float]) -> None:
    colour, hatch = FILLED[way.kind]
    words = [way.words] if way.words else []
    if way.runs is not None:
        shown = way.runs[(way.runs >= limits[0]) & (way.runs <= limits[1])]
        edges = bins_of(shown, *limits) if len(shown) else 10
        heights, _, _ = axes.hist(
            shown, bins=edges, color=colour if not hatch else "white", hatch=hatch, edgecolor=colour, linewidth=0.4
        )
        if len(shown) < len(way.runs):
            words.append(f"{len(way.runs) - len(shown)} of {len(way.runs)} runs outside")
        top = float(max(heights)) or 1.0
        place = -0.14 * top
        axes.set_ylim(-0.28 * top, 1.75 * top)
        axes.axhline(0, color=GREY, linewidth=0.4)
    else:
        place = 0.0
        axes.set_ylim(-1, 2.6)
    axes.axvline(column.truth, color="black", linewidth=0.9, linestyle="--", ymax=0.62)
    if way.exact or way.half == 0:
        axes.plot([way.mean], [place], "D", color=colour, markersize=4.5)
    else:
        _mean(axes, way, place, colour, 3.2)
    axes.text(0.01, 0.97, "; ".join(words), transform=axes.transAxes, fontsize=7, va="top", ha="left")
    axes.set_xlim(*limits)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _mean(axes: Axes, way: Contender, place: float, colour: str, size: float) -> None:
    half = way.half if way.half == way.half else 0.0
    kind = "D" if way.exact else "o"
    axes.errorbar([way.mean], [place], xerr=[[half], [half]], fmt=kind, color=colour, ecolor="black", markersize=size, capsize=2)


def _wrapped(label: str) -> str:
    return "\n".join(textwrap.wrap(label, 20))


# -------------------------------------------------------------------------------------------------------- overlay
def _overlaid(columns: tuple[Column, ...], make: Any) -> Figure:
    across = min(len(columns), 2)
    down = -(-len(columns) // across)
    strip = 0.2 * len(columns[0].ways) + 0.35
    figure: Figure = make(max(5.2 * across, 7.2), down * (2.7 + strip) + 1.1)
    grid = figure.add_gridspec(2 * down, across, height_ratios=[2.7, strip] * down)
    for number, column in enumerate(columns):
        limits, row = limits_of(column), 2 * (number // across)
        above = figure.add_subplot(grid[row, number % across])
        below = figure.add_subplot(grid[row + 1, number % across])
        _densities(column, above, limits)
        _strip(column, below)
    handles, labels = above.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(handles), 4))
    return figure


def _densities(column: Column, axes: Axes, limits: tuple[float, float]) -> None:
    missing = 0
    for number, way in enumerate(column.ways):
        if way.runs is None:
            continue
        shown = way.runs[(way.runs >= limits[0]) & (way.runs <= limits[1])]
        missing += len(way.runs) - len(shown)
        if not len(shown):
            continue
        edges = bins_of(shown, *limits, most=MOST_STEPS)
        colour, dash = CURVES[number % len(CURVES)], DASHES[number % len(DASHES)]
        share = [len(shown) and 1 / len(way.runs)] * len(shown)
        axes.hist(shown, bins=edges, weights=share, histtype="step", color=colour, linestyle=dash, linewidth=1.4, label=way.label)
    axes.axvline(column.truth, color="black", linewidth=0.9, linestyle="--")
    axes.set_xlim(*limits)
    axes.set_ylabel("share of the runs")
    axes.set_xlabel("of a single run")
    note = f"; {missing} runs of all lie outside" if missing else ""
    titled(axes, column.title, f"dashed: {column.known}, {column.truth:.5g}{note}")


def _strip(column: Column, axes: Axes) -> None:
    places = list(range(len(column.ways), 0, -1))
    for number, (place, way) in enumerate(zip(places, column.ways, strict=True)):
        colour = CURVES[number % len(CURVES)]
        _mean(axes, way, place, colour, 4.0)
    axes.axvline(column.truth, color="black", linewidth=0.9, linestyle="--")
    axes.set_yticks(places, [way.label for way in column.ways], fontsize=7)
    axes.set_ylim(0.4, len(places) + 0.6)
    axes.set_xlabel("means with 95 % intervals (on a scale of their own)")
