"""How results are shown, in plain numbers for the room `display`: the panels of their pictures, and their tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from . import report
from .comparison import Comparison, comparison_parts, comparison_text, entries_of, title_of
from .display import style
from .display.multiples import Column, Contender, Multiples
from .display.panels import Cells, Entries, Fan, Histogram, Lines, Panel, Statement
from .display.sheets import Sheet
from .display.shown import NumberTable, Ways, show
from .dsl.text.problems import counted
from .fit import FitResult, fit_parts, fit_text, positions
from .layout import decimals_for, fixed, index_text, student_quantile, told
from .report import Explanation
from .results import GradientResult, Result, RunResult, SiteReport
from .vi import VariationalResult, vi_parts, vi_text
from .weights import spoken, value_label

if TYPE_CHECKING:
    from .runtime.blocks.moments import Moments
    from .runtime.estimates.compare import Row

Picture: TypeAlias = Sheet | Multiples
QUANTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
MOST_TRACES = 8
WIDEST_FAN = 2  # axes of a result from which on it is no fan any more


def draw(result: Any, path: Path, over: bool = False) -> None:
    """Draw a result into a file; its ending chooses the format.  `over`: the ways of a comparison one over the other."""
    style.save(picture(result, over=over).figure(), path)


def picture(result: Any, of: str | None = None, parameter: str | None = None, over: bool = False) -> Picture:
    """The picture of a result, or of one of its results and parameters (`ValueError` where there is none of that name)."""
    if isinstance(result, Comparison):
        return _comparison(result, of, parameter, over)
    if isinstance(result, FitResult):
        return _fit(result)
    if isinstance(result, VariationalResult):
        return picture(result.posterior, of, parameter)
    panels = list(_panels(result, of, parameter))
    if not panels:
        raise ValueError(f"there is nothing of that name: {', '.join(filter(None, (of, parameter)))}")
    return Sheet(_title(result), tuple(panels))


def _title(result: Result) -> str:
    runs = "exact" if result.exact else counted(result.samples, "run")
    estimators = _estimators(result.sites) if isinstance(result, GradientResult) else ""
    return f"{result.program}: {runs}, seed {result.seed}{estimators}"


def _estimators(sites: Sequence[SiteReport]) -> str:
    """The estimators with their sites, for a title."""
    found: dict[str, list[str]] = {}
    for site in sites:
        found.setdefault(site.estimator, []).append(site.name)
    parts = [f"{name} ({', '.join(at[:3])}{f' and {len(at) - 3} more' if len(at) > 3 else ''})" for name, at in found.items()]
    return ", " + ", ".join(parts) if parts else ""


# ----------------------------------------------------------------------------------------------- gradients and runs
def _panels(result: Result, of: str | None, parameter: str | None) -> Iterator[Panel]:
    if isinstance(result, GradientResult):
        several = len(result.results) > 1
        for name, gradients in result.gradients.items():
            for about, moments in gradients.items():
                if of in (None, name) and parameter in (None, about):
                    runs = None if result.per_run is None else result.per_run.get(name, {}).get(about)
                    axes = result.values[name].mean.dim()
                    above = f" {name}" if several or axes else ""
                    indices = (*_indices(name, axes), *_indices(about, moments.mean.dim() - axes))
                    exact = result.is_exact(name, about)
                    yield _panel(f"d{above}/d{about}", moments, runs, indices, result.samples, exact, "gradient")
    elif isinstance(result, RunResult):
        for name, moments in result.values.items():
            if of in (None, name):
                indices = _indices(name, moments.mean.dim())
                draws, exact = result.draws.get(name), result.is_exact(name)
                if len(indices) == 1 and moments.mean.numel() > 1 and draws is not None and not exact:
                    levels = result.quantiles(name, QUANTILES)
                    rows = _numbers(list(levels.values()))
                    yield Fan(value_label(name), rows, _numbers(moments.mean), indices[0])
                else:
                    yield _panel(value_label(name), moments, draws, indices, result.samples, exact, spoken(name) or name)


def _indices(name: str, axes: int) -> tuple[str, ...]:
    """What the axes of an array are called."""
    if axes == 1:
        return (f"index of {name}",)
    names = ("first", "second", "third", "fourth")
    return tuple(f"{names[number] if number < 4 else number + 1} index of {name}" for number in range(axes))


def _numbers(tensor: Any) -> Any:
    import numpy

    if isinstance(tensor, list):
        return numpy.stack([_numbers(row) for row in tensor])
    return tensor.detach().cpu().double().numpy()


def _panel(
    title: str, moments: Moments, runs: Any, indices: tuple[str, ...], samples: int, exact: bool, of: str
) -> Panel:
    mean, error = _numbers(moments.mean), _numbers(moments.se)
    quantile = student_quantile(samples - 1)
    if mean.size == 1:
        value, spread = float(mean.reshape(())), float(error.reshape(()))
        if exact:
            return Statement(title, f"{value:.7g}", "exact: the same whatever is drawn, or summed over all outcomes")
        if spread == 0:
            return Statement(title, f"{value:.7g}", f"the same in each of the {samples} runs")
        known = math.isfinite(spread) and spread > 0
        words = f"mean {_pair(value, spread)}" + (" (band: 95 % interval)" if known and runs is not None else "")
        values = None if runs is None else _numbers(runs).reshape(-1)
        return Histogram(title, words, value, quantile * spread if known else 0.0, values, of)
    if mean.ndim == 1 or max(mean.shape) == mean.size:
        return Entries(title, mean.reshape(-1), quantile * error.reshape(-1), indices[0] if indices else "entry", exact)
    rows = mean.reshape(mean.shape[0], -1)
    across = indices[1] if len(indices) == 2 else ", ".join(indices[1:]) + " (flat)"
    return Cells(title, rows, error.reshape(rows.shape), (indices[0], across), exact)


def _pair(value: float, error: float) -> str:
    if not math.isfinite(error) or error <= 0:
        return f"{value:.7g}"
    return " +- ".join(told(value, error))


# ------------------------------------------------------------------------------------------------------ comparisons
def _comparison(found: Comparison, of: str | None, parameter: str | None, over: bool) -> Multiples:
    columns = []
    reference = next((row for row in found.rows if row.label == found.table.reference), found.rows[0])
    for entry in entries_of(found.rows[0]):
        if of in (None, entry[0]) and parameter in (None, entry[1]):
            truth = float(reference.gradient[entry[0]][entry[1]].mean[entry[2]])
            known = f"exact ({reference.label})" if reference.exact else f"mean of {reference.label}"
            ways = tuple(_way(row, entry, found) for row in found.rows)
            columns.append(Column(title_of(found.rows[0], *entry), truth, known, ways))
    if not columns:
        raise ValueError(f"there is nothing of that name: {', '.join(filter(None, (of, parameter)))}")
    chosen = next((row.label for row in found.rows if row.chosen), "")
    title = f"{found.program}: {found.samples} runs each, seed {found.seed}"
    return Multiples(title + (f", probrun takes {chosen}" if chosen else ""), tuple(columns), over)


def _way(row: Row, entry: tuple[str, str, tuple[int, ...]], found: Comparison) -> Contender:
    result, parameter, position = entry
    moments = row.gradient[result][parameter]
    mean, error = float(moments.mean[position]), float(moments.se[position])
    kind = "difference" if row.value is None else "wrong" if row.wrong else "biased" if row.biased else "right"
    words = "exact" if row.exact else f"{_pair(mean, error)}"
    if row.bias is not None:
        off = row.bias[result][parameter]
        bias, doubt, z = (float(getattr(off, field)[position]) for field in ("mean", "se", "sd"))
        sign = "+" if bias > 0 else ""
        shown = fixed(bias, decimals_for(doubt)) if doubt > 0 and math.isfinite(doubt) else f"{bias:.3g}"
        words += f"; bias {sign}{shown}" + (f" (z = {z:.1f})" if doubt > 0 and math.isfinite(z) else "")
    elif row.label == found.table.reference and not row.exact:
        words += "; the reference"
    runs = row.per_run.get(result, {}).get(parameter)
    values = None if runs is None else _numbers(runs.movedim(0, -1)[position])
    half = student_quantile(row.samples - 1) * error if row.samples > 1 else 1.96 * error
    label = row.label + (" *" if row.chosen else "")
    return Contender(label, kind, mean, half, row.exact, words, None if values is None or len(values) < 2 else values)


# ------------------------------------------------------------------------------------------------------------- fits
def _fit(result: FitResult) -> Sheet:
    """The objective and the parameters over the steps, with bands of two standard errors."""
    import numpy

    steps = numpy.array([step.number for step in result.history])
    values, errors = (numpy.array([getattr(step, field) for step in result.history]) for field in ("value", "error"))
    what = spoken(result.objective) or f"E[{result.objective}]"
    end, error = result.value
    bands = "" if result.exact else "band around the line: 2 standard errors of a step; dotted, over the width: the end"
    panels: list[Panel] = [Lines(
        f"{what}: {_pair(end, error)} at the end", bands, steps, ((what, values, 2 * errors, end, 2 * error),)
    )]
    traces = [(name, position) for name in result.fitted for position in positions(result.parameters[name].value)]
    lines = []
    for name, position in traces[:MOST_TRACES]:
        found = result.parameters[name]
        shown = numpy.array([float(step.parameters[name][position]) for step in result.history])
        lines.append((f"{name}{index_text(position)}", shown, None, float(found.value[position]), 2 * float(found.se[position])))
    more = len(traces) - MOST_TRACES
    named = "parameters" if len(traces) > 1 else lines[0][0]
    bands = "dotted: the end, with a band of 2 standard errors"
    panels.append(Lines(named + (f" (and {more} more)" if more > 0 else ""), bands, steps, tuple(lines)))
    state = "converged" if result.converged else "not converged"
    work = f"{counted(result.steps, 'step')}, {counted(result.runs, 'run')}"
    title = f"{result.program}: {state}, {result.optimizer}, {work}, seed {result.seed}"
    return Sheet(title, tuple(panels), most_columns=1)


# ----------------------------------------------------------------------------------------------------------- tables
def _rows_of(name: str, parameter: str | None, moments: Moments, *fields: str) -> Iterator[tuple[Any, ...]]:
    """A row an entry: names, index, and numbers (None where they are not known)."""
    for place in positions(moments.mean):
        numbers = (float(getattr(moments, field)[place]) for field in fields)
        yield (name, *(() if parameter is None else (parameter,)), index_text(place), *(_known(number) for number in numbers))


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _gradient_summary(result: GradientResult) -> NumberTable:
    rows: list[tuple[Any, ...]] = []
    for (name, parameter), moments in result.reported().items():
        exact = result.is_exact(name, parameter)
        rows += [(*row, exact) for row in _rows_of(name, parameter or "", moments, "mean", "se", "sd")]
    return NumberTable(("result", "parameter", "index", "mean", "se", "sd", "exact"), tuple(rows))


def _run_summary(result: RunResult) -> NumberTable:
    rows: list[tuple[Any, ...]] = []
    for name, moments in result.values.items():
        levels = list(result.quantiles(name, QUANTILES).values()) if name in result.draws else []
        for row, place in zip(_rows_of(name, None, moments, "mean", "se", "sd"), positions(moments.mean), strict=True):
            rows.append((*row, *(_at(levels, place))))
    return NumberTable(("result", "index", "mean", "se", "sd", *(f"q{level:g}" for level in QUANTILES)), tuple(rows))


def _at(levels: Sequence[Any], place: tuple[int, ...]) -> tuple[float | None, ...]:
    """Quantiles of an entry; None where no draws were kept."""
    return tuple(float(level[place]) for level in levels) or (None,) * len(QUANTILES)


def _comparison_summary(found: Comparison) -> NumberTable:
    rows: list[tuple[Any, ...]] = []
    for row in found.rows:
        for result, parameter, place in entries_of(row):
            moments, off = row.gradient[result][parameter], None if row.bias is None else row.bias[result][parameter]
            bias = (None, None) if off is None else (_known(float(off.mean[place])), _known(float(off.sd[place])))
            numbers = (_known(float(getattr(moments, field)[place])) for field in ("mean", "se", "sd"))
            rows.append((row.label, result, parameter, index_text(place), *numbers, *bias, row.seconds, not row.wrong, row.chosen))
    names = ("estimator", "result", "parameter", "index", "mean", "se", "sd", "bias", "z", "seconds", "right", "chosen")
    return NumberTable(names, tuple(rows))


def _fit_summary(result: FitResult) -> NumberTable:
    rows = []
    for name, found in result.parameters.items():
        for place in positions(found.value):
            numbers = [None if part is None else _known(float(part[place])) for part in (found.value, found.se, found.sd)]
            rows.append((name, index_text(place), *numbers, name in result.fitted))
    return NumberTable(("parameter", "index", "value", "se", "sd", "fitted"), tuple(rows))


def _explanation_summary(sites: Explanation) -> NumberTable:
    rows = tuple((site.name, site.line, site.call, site.estimator, site.biased, site.reason) for site in sites)
    return NumberTable(("site", "line", "distribution", "estimator", "biased", "reason"), rows)


def _draws(result: RunResult) -> tuple[str, dict[str, Any]]:
    return ("prior" if result.weights is None else "posterior"), result.draws


show(GradientResult, Ways(report.gradient_parts, report.gradient_text, _gradient_summary, picture))
show(RunResult, Ways(report.run_parts, report.run_text, _run_summary, picture, _draws))
show(Comparison, Ways(comparison_parts, comparison_text, _comparison_summary, picture))
show(FitResult, Ways(fit_parts, fit_text, _fit_summary, picture))
show(VariationalResult, Ways(
    vi_parts, vi_text, lambda found: _run_summary(found.posterior), picture, lambda found: _draws(found.posterior)
))
show(report.Explanation, Ways(lambda sites: [report.explain_text(sites)], report.explain_text, _explanation_summary))
