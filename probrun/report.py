"""What the user sees: results as text (SCREENS.md), errors as JSON.

The layout is 80 columns wide wherever it goes, so that a pipe sees what the terminal shows, without the colour.  A
number is never cut: a table that needs more than 80 columns gets them.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import IO, TYPE_CHECKING, Any

from .display.html import Grid, Part
from .display.shown import Shown
from .dsl.text.diagnostics import ProbError
from .dsl.text.problems import counted
from .layout import MOST_ENTRIES, WIDTH, capped, entries, index_text, joined, short
from .weights import evidence_rows, spoken, value_label, weight_lines

if TYPE_CHECKING:
    from .dsl.names.resolve import Resolved
    from .dsl.planning.forecast import Forecast
    from .results import Compilation, GradientResult, Result, RunResult, SiteReport

QUANTILES = (5, 25, 50, 75, 95)


def wants_colour(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that may be coloured (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def header(result: Result) -> str:
    """The line above every result."""
    runs = "exact" if result.exact else counted(result.samples, "run")
    if result.interrupted:
        runs = f"{result.samples} of {result.requested} runs (interrupted)"
    elif result.out_of_time:
        runs = f"{result.samples} of {result.requested} runs (time ran out)"
    if result.sampler != "random" and not result.exact:
        runs = f"{runs} on Sobol points"
    return f"{result.program}     {runs}    seed {result.seed}    {result.dtype} on {result.device}"


def gradient_text(result: GradientResult, colour: bool = False) -> str:
    """The screen of `probrun grad`."""
    return joined(gradient_parts(result), colour)


def gradient_parts(result: GradientResult) -> list[Part]:
    """Its lines and tables."""
    several = len(result.results) > 1
    rows: list[Sequence[str]] = []
    for name, moments in result.values.items():
        shown = [(value_label(name, entry.index), *entry.cells(result, result.is_exact(name))) for entry in entries(moments)]
        rows += capped(list(shown), 4)
    for name, gradients in result.gradients.items():
        axes = result.values[name].mean.dim()
        for parameter, moments in gradients.items():
            shown = []
            for entry, position in zip(entries(moments), _positions(moments), strict=True):
                above = name + index_text(position[:axes]) if several or axes else ""
                label = f"d {above}" if above else "d"
                exact = "corner" if parameter in result.sides.get(name, {}) else result.is_exact(name, parameter)
                exact = "none" if any(name in reached and parameter == other for *_, other, reached in result.counted) else exact
                cells = entry.cells(result, exact)
                shown.append((f"{label}/d{parameter}{index_text(position[axes:])}", *cells))
            rows += capped(list(shown), 4)
    rows += evidence_rows(result, lambda entry: entry.cells(result, result.exact))
    parts: list[Part] = [header(result), "", Grid(("", "estimate", "std. error", "95 % interval"), rows, "lrrr")]
    parts += [*_equal_lines(result, bool(result.few) or result.biased), *_rounded_lines(result), *_cut_lines(result)]
    parts += weight_lines(result)
    if result.sites:
        parts += ["", sites_grid(result.sites)]
    measured = _measured_lines(result)
    if measured:
        parts += ["", *measured]
    if result.compiled is not None:
        parts += ["", *compiled_lines(result.compiled)]
    if result.biased:
        parts += ["", *_biased_lines(result.sites)]
    parts += _warning_lines(result)
    if result.check is not None or result.unverified:
        parts += ["", *_check_lines(result)]
    return parts


def _rounded_lines(result: Result) -> list[str]:
    """What float32 has done, where it was asked for."""
    if not result.rounded:
        return []
    text = (
        "rounded: float32 changes these numbers by more than a hundredth of their standard errors (or by a millionth, where "
        "nothing is random); do not trust their last digits, or use float64"
    )
    return ["", *textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")]


def _cut_lines(result: GradientResult) -> list[str]:
    """What was left out of an exact answer where there is no end."""
    if not result.cuts:
        return []
    text = f"exact to {result.exact_to:.0e}: {'; '.join(result.cuts)}"
    return ["", *textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")]


def _equal_lines(result: Result, doubted: bool = False) -> list[str]:
    """What a standard error of 0 says of sampled runs."""
    if not result.all_equal:
        return []
    seen = "" if doubted else ", so exact, unless something rarer than them was missed"
    text = f"std. error 0: the same in each of the {result.samples} runs{seen}"
    return ["", *textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")]


def _warning_lines(result: Result) -> Iterator[str]:
    """What is not to be trusted, and what else must be said."""
    for doubt in (*result.warnings, *result.notes):
        yield from ["", *textwrap.wrap(f"{doubt.code}: {doubt.message}", WIDTH - 2, initial_indent="  ", subsequent_indent="  ")]


def _positions(moments: Any) -> Iterator[tuple[int, ...]]:
    yield from product(*(range(size) for size in moments.mean.shape))


def _biased_lines(sites: Sequence[SiteReport]) -> list[str]:
    named = ", ".join(f"{site.name} ({site.estimator})" for site in sites if site.biased)
    text = f"biased: the gradient carries a bias that the standard error does not show, from {named}; --unbiased avoids it"
    return textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")


def _measured_lines(result: GradientResult) -> list[str]:
    """What the pilot saw, one line for all sites that were seen alike."""
    seen: dict[tuple[tuple[str, float, float, float, float], ...], list[str]] = {}
    for site in result.sites:
        if len(site.measured) > 1:
            key = tuple((name, m.bias, m.bias_se, m.sd, m.error) for name, m in site.measured.items())
            seen.setdefault(key, []).append(site.name)
    lines = []
    for key, names in seen.items():
        parts = []
        for name, bias, bias_se, _, error in key:
            doubt = f", bias {bias:.2g} +- {bias_se:.1g}" if bias_se or bias else ""
            parts.append(f"{name} {error:.2g}{doubt}")
        named = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        text = f"measured at {named} ({result.pilot_runs} runs each): error of the gradient {'; '.join(parts)}"
        lines += textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="    ")
    if result.overruled:
        lines += textwrap.wrap(result.overruled, WIDTH - 2, initial_indent="  ", subsequent_indent="    ")
    return lines


def compiled_lines(compiled: Compilation) -> list[str]:
    """What became of the wish to compile."""
    if compiled.reason is not None:
        text = f"not compiled, because {compiled.reason}; the result is as without --compile"
    else:
        text = f"compiled in {compiled.seconds:.1f} s, which are not in the time of the runs"
    return textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")


def _check_lines(result: GradientResult) -> list[str]:
    """The gradient against the oracle, an entry a line."""
    if result.check is None:
        return [f"  not verified: {result.unverified}"]
    several = len(result.results) > 1
    verdict = "agrees" if result.check.passed else "a corner" if result.kinks and result.check.sides else "DISAGREES"
    lines = [f"  verified by {result.check.method}: {verdict}"]
    for name, rows in result.check.gradient.items():
        for parameter, moments in rows.items():
            label = f"d {name}/d{parameter}" if several else f"d/d{parameter}"
            shown = ", ".join(
                f"{entry.mean:.5g}" + (f" +- {entry.error:.1g}" if entry.error > 0 else "") for entry in list(entries(moments))[:4]
            )
            more = " ..." if moments.mean.numel() > 4 else ""
            lines.append(f"    {label} = {shown}{more}    z = {result.check.z[name][parameter]:.1f}")
            if (sides := result.check.sides.get(name, {}).get(parameter)) is not None:
                lines += [f"    {label}{index}: {both}" for index, both in list(sides.words())[:4]]
    return lines


def sites_grid(sites: Sequence[SiteReport]) -> Grid:
    """One line per sampling site: where it is, what it draws, how and why."""
    rows = [(site.name, str(site.line), short(site.call, 26), site.estimator, site.reason) for site in sites]
    if len(rows) > MOST_ENTRIES:
        more = len(rows) - MOST_ENTRIES
        rows = [*rows[:MOST_ENTRIES], ("...", "", "", "", f"{more} more sites (probrun explain)")]
    headers = ("site", "line", "distribution", "estimator", "why")
    return Grid(headers, rows, "lrlll", prose=True)


def run_text(result: RunResult, colour: bool = False) -> str:
    """The screen of `probrun run`."""
    return joined(run_parts(result), colour)


def run_parts(result: RunResult) -> list[Part]:
    """Its lines and tables."""
    rows: list[Sequence[str]] = []
    for name, moments in result.values.items():
        quantiles = result.quantiles(name, QUANTILES) if name in result.draws else {}
        shown = []
        for entry, position in zip(entries(moments), _positions(moments), strict=True):
            mean, error, _ = entry.cells(result, result.is_exact(name))
            levels = [f"{float(quantiles[f'{level:g}'][position]):.4g}" if quantiles else "" for level in QUANTILES]
            shown.append((spoken(name) or f"{name}{entry.index}", mean, error, *levels))
        rows += capped(list(shown), 3 + len(QUANTILES))
    blank = ("",) * len(QUANTILES)
    rows += evidence_rows(result, lambda entry: (*entry.cells(result, result.exact)[:2], *blank))
    headers = ("", "mean", "std. error", *(f"{level} %" for level in QUANTILES))
    shown_table = Grid(headers, rows, "l" + "r" * (len(headers) - 1))
    notes = (*_equal_lines(result, bool(result.warnings)), *_rounded_lines(result), *weight_lines(result), *_warning_lines(result))
    return [header(result), "", shown_table, *notes]


# ---------------------------------------------------------------------------------------------------- explain
def foreseen_reports(resolved: Resolved, forecast: Forecast) -> tuple[SiteReport, ...]:
    """What is foreseen of each site."""
    from .results import report_of

    source = resolved.program.source
    return tuple(
        replace(report_of(source, seen.choice, {}), among=seen.among, foreseen=seen)
        for seen in (forecast.sites[site.index] for site in resolved.sites)
    )


class Explanation(tuple["SiteReport", ...], Shown):
    """What `Program.explain` gives: a report per site, in their order; `parameters`: how many the program has."""

    parameters: int = 0

    @classmethod
    def of(cls, sites: Sequence[SiteReport], parameters: int) -> Explanation:
        """The reports of a program with so many parameters."""
        found = cls(sites)
        found.parameters = parameters
        return found

    def __str__(self) -> str:
        return explain_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # IPython has its own way with tuples
        printer.text(str(self))


def explain_text(sites: Explanation) -> str:
    """The screen of `probrun explain`."""
    parts = []
    for site in sites:
        lines = [f"{site.name}    line {site.line}    {site.text}"]
        options = ", ".join(f"{name}={_option(value)}" for name, value in site.unusual.items())
        chosen = f"{site.estimator}({options})" if options else site.estimator
        width = max([10, *(len(name) + 1 for name in [chosen, *(name for name, _ in _rejected(site))])])
        lines += _decided(site, chosen, width)
        for index, sentence in enumerate(site.because):
            lines += _item("" if index else "because", "", sentence, width)
        lines += _summed(site, width)
        for index, (name, why) in enumerate(_rejected(site)):
            lines += _item("" if index else "rejected", name, why, width)
        if site.path:
            lines += _item("path", "", site.path, width)
        parts.append("\n".join(lines))
    counts = f"{counted(len(sites), 'site')}, {counted(sites.parameters, 'parameter')}; nothing was run"
    return "\n\n".join(parts) + ("\n" if parts else "") + counts


def _decided(site: SiteReport, chosen: str, width: int) -> list[str]:
    """What is chosen, or how it will be."""
    from .dsl.tables.estimators import SUMMING

    seen = site.foreseen
    if seen is None or len(seen.among) == 1:
        return _item("chosen", chosen, site.summary, width)
    lines = []
    if seen.exact:
        lines += _item("first", SUMMING.name, "the exact sum over all outcomes of the program, if they are few enough; else", width)
    if len(seen.measured) > 1:
        tried = ", ".join(seen.measured)
        lines += _item("measured", "", f"{tried}: grad tries them on a pilot and takes the least error", width)
        return lines + _item("by order", chosen, f"{site.summary} (what --no-pilot takes)", width)
    return lines + _item("chosen", chosen, site.summary, width)


def _summed(site: SiteReport, width: int) -> list[str]:
    """Over which state the outcomes are summed out, what keeps lanes apart, or why they are not summed."""
    seen = site.foreseen
    if seen is None:
        return []
    title, sentences, lines = "not summed", seen.unsummed, []
    if seen.summed is not None:
        title, sentences = "apart", seen.summed.apart
        lines = _item("summed", "", seen.summed.words, width) if seen.summed.out else []
    for number, sentence in enumerate(sentences):
        lines += _item("" if number else title, "", sentence, width)
    return lines


def _rejected(site: SiteReport) -> list[tuple[str, str]]:
    """What is not taken, with what costs too much."""
    from .dsl.tables.estimators import SUMMING

    seen = site.foreseen
    if seen is None or not seen.crowded or site.estimator == SUMMING.name:
        return list(site.rejected)
    others = [(name, why) for name, why in site.rejected if name != SUMMING.name]
    return [(SUMMING.name, f"too many outcomes: {seen.crowded} in one run"), *others]


def _item(title: str, name: str, text: str, width: int) -> list[str]:
    start = f"     {title:<10} " + (f"{name:<{width}} " if name else "")
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False,
        break_long_words=False,
    )


def _option(value: float | bool | str) -> str:
    return str(value).lower() if isinstance(value, bool | str) else f"{value:g}"


# ----------------------------------------------------------------------------------------------------- errors
def error_json(error: ProbError) -> str:
    """The error object of `--json`."""
    keys = ("code", "message", "file", "line", "column", "hint")
    return json.dumps({"error": {key: getattr(error, key) for key in keys}})


def bug_json(error: BaseException) -> str:
    """The error object for a mistake of ours."""
    message = f"a bug in probrun, not in the program: {type(error).__name__}: {error}"
    return json.dumps(
        {"error": {
            "code": "P0901", "message": message, "file": None, "line": None, "column": None,
            "hint": "please report it, with the traceback on standard error and the program",
        }}
    )
