"""The panels of pictures: what one shows, as plain numbers, and how it is drawn on given axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .style import BLUE, GREY, ONE_SIGN, ORANGE, SMALL, TWO_SIGNS, bare, titled, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BINS, MOST_WHOLE = 80, 60
FAINT = 2.0  # standard errors below which a number may as well be 0
FAR, NEAR = 10.0, 5.0  # distances between the quartiles: a tail beyond the first would flatten the rest, and is cut at the second
MOST_SIGNS = 400  # cells in which a sign can still be read


@dataclass(frozen=True)
class Statement:
    """Numbers without noise: they are said, not drawn."""

    title: str
    words: str
    why: str


@dataclass(frozen=True)
class Histogram:
    """A number: its `mean`, half its 95 % interval, in words, and the values of single runs `[runs]` where they were kept."""

    title: str
    words: str
    mean: float
    half: float
    runs: Any = None
    of: str = "value"


@dataclass(frozen=True)
class Entries:
    """A vector `[k]`: means and half intervals, and the name of its index."""

    title: str
    mean: Any
    half: Any
    index: str
    exact: bool = False


@dataclass(frozen=True)
class Cells:
    """A matrix `[k, m]`: means, standard errors, and the names of its indices."""

    title: str
    mean: Any
    error: Any
    indices: tuple[str, str]
    exact: bool = False


@dataclass(frozen=True)
class Fan:
    """Quantiles `[5, k]` (5, 25, 50, 75, 95 %) of the entries of a vector over the runs, and their means `[k]`."""

    title: str
    quantiles: Any
    mean: Any
    index: str


@dataclass(frozen=True)
class Lines:
    """Lines over steps: `(label, values, half widths or None, end, half of the end)`; `words` say what the bands are."""

    title: str
    words: str
    steps: Any
    lines: tuple[tuple[str, Any, Any, float, float], ...]


Panel: TypeAlias = Statement | Histogram | Entries | Cells | Fan | Lines


def draw_panel(panel: Panel, axes: Axes) -> None:
    """Draw a panel on axes."""
    _DRAWN[type(panel)](panel, axes)


def height_of(panel: Panel) -> float:
    """Inches that a panel needs."""
    if isinstance(panel, Cells):
        return min(max(2.8, 0.16 * len(panel.mean) + 1.2), 6.0)
    return 1.4 if isinstance(panel, Statement) else 2.9


def reach(values: Any) -> tuple[float, float]:
    """Where runs are drawn: all of them, or without their far tails where these would flatten the rest."""
    import numpy

    low, first, third, high = (float(end) for end in numpy.quantile(values, (0, 0.25, 0.75, 1)))
    if third > first and low >= first - FAR * (third - first) and high <= third + FAR * (third - first):
        return low, high
    if third > first:
        return max(low, first - NEAR * (third - first)), min(high, third + NEAR * (third - first))
    low, high = (float(end) for end in numpy.quantile(values, (0.001, 0.999)))
    return low, high


def outside(values: Any, low: float, high: float) -> str:
    """How many runs are not drawn, and how far they go."""
    below, above = int((values < low).sum()), int((values > high).sum())
    parts = [f"{below} below, to {float(values.min()):.3g}"] if below else []
    parts += [f"{above} above, to {float(values.max()):.3g}"] if above else []
    return f"not drawn, of {len(values)} runs: {'; '.join(parts)}" if parts else ""


def bins_of(values: Any, low: float, high: float, most: int = MOST_BINS) -> Any:
    """Edges of the bins of a histogram: one a whole number where runs are whole and few."""
    import numpy

    shown = values[(values >= low) & (values <= high)]
    distinct = numpy.unique(shown[:100_000])
    if len(distinct) <= MOST_WHOLE and numpy.allclose(distinct, numpy.round(distinct)) and 4 <= high - low <= MOST_WHOLE:
        return numpy.arange(round(low) - 0.5, round(high) + 1.0)
    width = high - low or abs(high) or 1.0
    if high <= low:
        return numpy.linspace(low - 0.05 * width, low + 0.05 * width, 12)
    return numpy.linspace(low, high, min(most, max(12, int(len(shown) ** 0.5))) + 1)


def _statement(panel: Statement, axes: Axes) -> None:
    bare(axes)
    titled(axes, panel.title)
    axes.text(0.02, 0.62, panel.words, transform=axes.transAxes, fontsize=15, va="center", color="black", wrap=True)
    axes.text(0.02, 0.2, panel.why, transform=axes.transAxes, fontsize=SMALL, va="center", color=GREY)


def _single(panel: Histogram, axes: Axes) -> None:
    if panel.runs is None or len(panel.runs) < 2:
        axes.errorbar([panel.mean], [0], xerr=[[panel.half], [panel.half]], fmt="o", color=BLUE, ecolor="black", capsize=5)
        if panel.half > 0:
            axes.set_xlim(panel.mean - 4 * panel.half, panel.mean + 4 * panel.half)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("mean with its 95 % interval (single runs were not kept)")
        titled(axes, panel.title, panel.words)
        return
    low, high = reach(panel.runs)
    shown = panel.runs[(panel.runs >= low) & (panel.runs <= high)]
    axes.hist(shown, bins=bins_of(panel.runs, low, high), color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.3)
    within = low <= panel.mean <= high
    if within:
        axes.axvspan(panel.mean - panel.half, panel.mean + panel.half, color=ORANGE, alpha=0.5, linewidth=0)
        axes.axvline(panel.mean, color="black", linewidth=1.2)
    axes.set_ylabel("runs")
    note = outside(panel.runs, low, high)
    far = "" if within else "; the mean lies outside"
    axes.set_xlabel(f"{panel.of} of a single run" + (f"\n{note}{far}" if note else ""))
    titled(axes, panel.title, panel.words)


def _entries(panel: Entries, axes: Axes) -> None:
    import numpy

    places = numpy.arange(len(panel.mean))
    many = len(places) > 60
    if numpy.min(panel.mean - panel.half) <= 0 <= numpy.max(panel.mean + panel.half):
        axes.axhline(0, color=GREY, linewidth=0.6)
    if panel.exact:
        axes.plot(places, panel.mean, "." if many else "o", color=BLUE, markersize=4)
    else:
        axes.errorbar(
            places, panel.mean, yerr=panel.half, fmt="." if many else "o", markersize=3 if many else 4, color=BLUE, ecolor="black",
            elinewidth=0.9, capsize=0 if many else 2,
        )
    axes.set_xlabel(panel.index)
    whole_ticks(axes, "x")
    axes.margins(y=0.08)
    titled(axes, panel.title, "exact" if panel.exact else "means with 95 % intervals")


def _cells(panel: Cells, axes: Axes) -> None:
    import numpy

    mean, error = panel.mean, numpy.nan_to_num(panel.error)
    one_sign = bool((mean >= 0).all() or (mean <= 0).all())
    largest = float(numpy.abs(mean).max()) or 1.0
    low, high = (min(float(mean.min()), 0.0), max(float(mean.max()), 0.0)) if one_sign else (-largest, largest)
    faint = (numpy.abs(mean) < FAINT * error) | ((mean == 0) & (error > 0))
    alpha = numpy.where(faint, 0.25, 1.0)
    image = axes.imshow(
        mean, cmap=ONE_SIGN if one_sign else TWO_SIGNS, vmin=low, vmax=high or (0.0 if low else 1.0), aspect="auto", alpha=alpha
    )
    if not one_sign and mean.size <= MOST_SIGNS:
        for (row, column), value in numpy.ndenumerate(mean):
            dark, weak = abs(value) > 0.6 * largest, bool(faint[row, column])
            sign = "+" if value > 0 else "-" if value < 0 else "0"
            axes.text(
                column, row, sign, ha="center", va="center", fontsize=9, alpha=0.4 if weak else 0.9,
                color="white" if dark and not weak else "black",
            )
    axes.set_ylabel(panel.indices[0])
    axes.set_xlabel(panel.indices[1])
    whole_ticks(axes, "x", "y")
    for side in axes.spines.values():
        side.set_visible(False)
    bar: Any = axes.figure.colorbar(image, ax=axes)
    bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    doubtful = int(faint.sum())
    words = "exact" if panel.exact else f"standard error {float(numpy.median(error)):.1g} (median)"
    titled(axes, panel.title, words + (f"; faint: under 2 of them ({doubtful})" if doubtful else ""))


def _fan(panel: Fan, axes: Axes) -> None:
    import numpy

    places = numpy.arange(panel.quantiles.shape[1])
    lowest, low, middle, high, highest = panel.quantiles
    single: dict[str, Any] = {"marker": "o", "markersize": 3} if len(places) <= 12 else {}
    axes.fill_between(places, lowest, highest, color=BLUE, alpha=0.22, linewidth=0, label="5 to 95 %")
    axes.fill_between(places, low, high, color=BLUE, alpha=0.5, linewidth=0, label="25 to 75 %")
    axes.plot(places, middle, color="black", linewidth=1.3, label="median", **single)
    axes.plot(places, panel.mean, color=ORANGE, linewidth=1.3, linestyle="--", label="mean", **single)
    axes.set_xlabel(panel.index)
    whole_ticks(axes, "x")
    axes.margins(x=0.01)
    titled(axes, panel.title, "quantiles over the runs")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _lines(panel: Lines, axes: Axes) -> None:
    from .style import CURVES, DASHES

    for number, (label, values, half, end, end_half) in enumerate(panel.lines):
        colour, dash = CURVES[number % len(CURVES)], DASHES[number % len(DASHES)]
        axes.plot(panel.steps, values, color=colour, linestyle=dash, linewidth=1.1, label=label)
        if half is not None:
            axes.fill_between(panel.steps, values - half, values + half, color=colour, alpha=0.2, linewidth=0)
        if end_half == end_half:
            axes.axhspan(end - end_half, end + end_half, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(end, color=colour, linewidth=0.5, linestyle=":")
    axes.set_xlabel("step")
    whole_ticks(axes, "x")
    titled(axes, panel.title, panel.words)
    if len(panel.lines) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


_DRAWN: dict[type, Any] = {Statement: _statement, Histogram: _single, Entries: _entries, Cells: _cells, Fan: _fan, Lines: _lines}
