"""Pictures of results (`--plot`), drawn with matplotlib without a display.

A scalar gets the histogram of its single runs with the mean and its 95 % interval; a vector gets its entries with
error bars; a matrix a heat map beside its standard errors.  One panel per result (`run`) or per result and parameter
(`grad`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .layout import student_quantile

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .results import Result
    from .runtime.blocks.moments import Moments

MOST_PANELS = 24
BLUE, ORANGE = "#4477aa", "#ee7733"  # told apart by colour-blind eyes too (Paul Tol's palette)
Panel = tuple[str, "Moments", "torch.Tensor | None"]


def draw(result: Result, path: Path) -> None:
    """Draw the outcome of `grad` or `run` into a file; its ending chooses the format."""
    figure = picture(result)
    figure.savefig(path, dpi=150)


def picture(result: Result) -> Figure:
    """The figure of a result."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .results import GradientResult, RunResult

    panels: list[Panel] = []
    if isinstance(result, GradientResult):
        panels = _gradient_panels(result)
    elif isinstance(result, RunResult):
        panels = [(name, moments, result.draws.get(name)) for name, moments in result.values.items()]
    panels = panels[:MOST_PANELS]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.8 * columns, 6.4), 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for position, (title, moments, runs) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        axes.set_title(title)
        _panel(moments)(axes, moments, runs, result.samples)
    figure.suptitle(f"{result.program}: {result.samples} runs, seed {result.seed}", fontsize="medium")
    return figure


def _gradient_panels(result: Any) -> list[Panel]:
    several = len(result.results) > 1
    panels: list[Panel] = []
    for name, gradients in result.gradients.items():
        for parameter, moments in gradients.items():
            runs = None if result.per_run is None else result.per_run.get(name, {}).get(parameter)
            panels.append((f"d{' ' + name if several else ''}/d{parameter}", moments, runs))
    return panels


def _panel(moments: Moments) -> Callable[[Axes, Moments, Any, int], None]:
    size, axes = moments.mean.numel(), moments.mean.dim()
    if size == 1:
        return _histogram
    return _bars if axes == 1 else _heat_map


def _histogram(axes: Axes, moments: Moments, runs: torch.Tensor | None, samples: int) -> None:
    import numpy

    mean, error = float(moments.mean.reshape(())), float(moments.se.reshape(()))
    half = student_quantile(samples - 1) * error if error == error else 0.0
    if runs is not None and runs.numel() > 1:
        values = runs.detach().cpu().double().reshape(-1).numpy()
        low, high = numpy.quantile(values, [0.001, 0.999])  # one wild run must not flatten the rest
        shown = values[(values >= low) & (values <= high)]
        distinct = numpy.unique(shown)
        if len(distinct) <= 40 and numpy.allclose(distinct, numpy.round(distinct)):
            bins: Any = numpy.arange(distinct[0] - 0.5, distinct[-1] + 1.0)
        else:
            bins = min(80, max(10, int(len(shown) ** 0.5)))
        axes.hist(shown, bins=bins, color=BLUE, alpha=0.75)
        axes.set_ylabel("runs")
        axes.set_xlabel("value of one run")
    axes.axvspan(mean - half, mean + half, color=ORANGE, alpha=0.35, label="95 % interval of the mean")
    axes.axvline(mean, color=ORANGE, label=f"mean {mean:.4g}")
    axes.legend(fontsize="small")


def _bars(axes: Axes, moments: Moments, runs: torch.Tensor | None, samples: int) -> None:
    from matplotlib.ticker import MaxNLocator

    mean, error = moments.mean.cpu().numpy(), moments.se.nan_to_num().cpu().numpy()
    half = student_quantile(samples - 1) * error
    marker = "o" if len(mean) <= 100 else "."
    axes.errorbar(range(len(mean)), mean, yerr=half, fmt=marker, color=BLUE, ecolor=ORANGE, capsize=2, label="95 % interval")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set_xlabel("entry")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize="small")


def _heat_map(axes: Axes, moments: Moments, runs: torch.Tensor | None, samples: int) -> None:
    from matplotlib.ticker import MaxNLocator

    mean = moments.mean.cpu()
    table = mean.reshape(mean.shape[0], -1).numpy()
    largest = float(abs(table).max()) or 1.0
    image = axes.imshow(table, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    axes.set_xlabel("last axis" if mean.dim() == 2 else "other axes, flattened")
    axes.set_ylabel("first axis")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    typical = float(moments.se.nan_to_num().double().mean())
    axes.figure.colorbar(image, ax=axes, label=f"estimate (standard error about {typical:.2g})")
