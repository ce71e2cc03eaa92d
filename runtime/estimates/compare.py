"""Several estimators on one program, side by side: `probrun compare`.

The rows are the plans that treat all sites alike (as in the pilot of `choose.py`), with the variants worth seeing: several
temperatures, the score without credit, with either baseline.  With `include` come plans that are wrong here, marked as such, and
finite differences.  Bias is against the reference: the exact answer if a row is exact, else the unbiased row with the smallest
standard error (from which an unbiased row's difference is noise, as its z-score says).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.planning.chooser import Planner, make_plan
from ...dsl.planning.plan import Choice, Lessons, Plan, PlanOptions
from ...dsl.syntax import EstimatorCall
from ...dsl.tables.estimators import ESTIMATORS, FALLBACK, PLAIN, EstimatorRow, Option, live_rows
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.moments import Moments
from ..blocks.settings import Settings
from .differences import finite_differences
from .estimate import gradient
from .pilot import choose

WARM_UP = 16
STEPS = (1.0, 0.5, 0.1)
DIFFERENCES = "finite-differences"
INCLUDABLE = (*(row.name for row in ESTIMATORS.values() if not row.splits), DIFFERENCES)


@dataclass(frozen=True)
class Row:
    """One way to estimate the gradient.

    gradient    by result and parameter, `[*result, *parameter]`
    bias        likewise: the difference from the reference (`mean`), its standard error, and in `sd` the z-score; None for
                the reference itself
    wrong       why the numbers are not the gradient (an empty string where they are)
    sites       per site its name, estimator and options
    error       the root mean squared error at this number of runs, over all entries; `equal_time`: at the time of the reference
    per_run     gradients of single runs `[runs, *result, *parameter]`, where they were kept
    """

    label: str
    gradient: dict[str, dict[str, Moments]]
    value: dict[str, Moments] | None
    bias: dict[str, dict[str, Moments]] | None
    biased: bool
    wrong: str
    exact: bool
    seconds: float
    error: float
    equal_time: float
    chosen: bool
    per_run: dict[str, dict[str, Tensor]]
    sites: tuple[tuple[str, str, tuple[tuple[str, float | bool | str], ...]], ...] = ()


@dataclass(frozen=True)
class Table:
    """All rows, the label of the reference, how many runs each had, and in which dtype (float64 where one needed it)."""

    rows: tuple[Row, ...]
    reference: str
    samples: int
    dtype: str


@dataclass
class _Made:
    label: str
    estimate: Estimate | None
    gradient: dict[str, dict[str, Moments]]
    seconds: float
    wrong: str = ""
    key: object = None

    @property
    def biased(self) -> bool:
        return bool(self.wrong) or (self.estimate is not None and self.estimate.plan is not None and self.estimate.plan.biased)

    @property
    def exact(self) -> bool:
        return self.estimate is not None and self.estimate.exact

    @property
    def sites(self) -> tuple[tuple[str, str, tuple[tuple[str, float | bool | str], ...]], ...]:
        if self.estimate is None or self.estimate.plan is None:
            return ()
        choices = (choice for _, choice in sorted(self.estimate.plan.choices.items()))
        return tuple((choice.site.name, choice.estimator, tuple(sorted(choice.options.items()))) for choice in choices)


def compare(
    plans: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    include: tuple[str, ...] = (), steps: tuple[float, ...] = STEPS, progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Run every row with the same number of runs."""
    resolved = plans.resolved
    start = plans(options)
    free = [choice for choice in start.choices.values() if choice.effect and choice.free]
    wanted = _wanted(free, options) + _wrong(resolved, free, include)
    differences = [(step, common) for step in steps for common in (False, True)] if DIFFERENCES in include else []
    made: list[_Made] = []
    for number, (row_options, label, marked) in enumerate(wanted):
        row = _run(plans, row_options, parameters, data, settings, label, marked)
        if row is not None and row.key not in [other.key for other in made]:
            made.append(row)
        if progress is not None:
            progress(number + 1, len(wanted) + len(differences))
    for number, (step, common) in enumerate(differences):
        found = finite_differences(
            resolved, parameters, data, replace(settings, dtype="float64", keep_runs=False), step, common=common
        )
        label = f"difference h={step:g}" + (", common" if common else "")
        made.append(_Made(label, None, found.gradient, found.seconds, f"a difference quotient over {2 * step:g}", (step, common)))
        if progress is not None:
            progress(len(wanted) + number + 1, len(wanted) + len(differences))
    verdict = choose(plans, options, parameters, data, settings)
    chosen = verdict.exact.plan if verdict.exact is not None else plans(replace(options, prefer=verdict.prefer))
    return _table(made, settings, None if chosen is None else chosen.key)


# ------------------------------------------------------------------------------------------------------- rows
def _wanted(free: list[Choice], options: PlanOptions) -> list[tuple[PlanOptions, str, str]]:
    """Options, the label where the plan does not give one, and why the row is wrong."""
    found = []
    for order, extra in _orders(free, options):
        prefer = []
        for choice in free:
            if not choice.live:
                summing = next((row for row in order if row.exact), None) if choice.finite else None
                if summing is not None:
                    prefer.append((choice.site.index, EstimatorCall(summing.name)))
                continue
            row = next((row for row in order if row.name in choice.candidates), None)
            if row is not None:
                given = tuple((key, value) for key, value in extra.items() if row.option(key) is not None)
                prefer.append((choice.site.index, EstimatorCall(row.name, given)))
        if prefer:
            found.append((replace(options, prefer=tuple(prefer)), "", ""))
    if not found:
        found.append((options, "", ""))
    return found


def _orders(free: list[Choice], options: PlanOptions) -> list[tuple[tuple[EstimatorRow, ...], dict[str, Option]]]:
    """For each plan to be compared, what is taken at a site, the first that is right there; and its options."""
    paths = tuple(row for row in live_rows() if row.pathwise and not row.relaxes)
    others = [row for row in live_rows() if row not in paths and row is not FALLBACK]
    found: list[tuple[tuple[EstimatorRow, ...], dict[str, Option]]] = []
    for row in (other for other in others if not other.biased):
        found += [((*paths, row, FALLBACK), variant) for variant in ({}, *row.variants)]
    found += [((*paths, FALLBACK), variant) for variant in ({}, *FALLBACK.variants)]
    for row in (other for other in others if other.biased):
        asked: dict[str, Option] = {option.name: options.tau for option in row.options if option.default is None}
        variants: list[dict[str, Option]] = [*row.variants, *([] if asked in row.variants else [asked])]
        variants.sort(key=lambda variant: [float(value) for value in variant.values()])
        found += [((*paths, row, FALLBACK), variant) for variant in variants]
    if any(row.name in choice.candidates for choice in free for row in paths):
        found += [((FALLBACK,), variant) for variant in ({}, *FALLBACK.variants[:1])]
    return found


def _wrong(resolved: Resolved, free: list[Choice], include: tuple[str, ...]) -> list[tuple[PlanOptions, str, str]]:
    """Plans with an estimator forced everywhere it can be computed, right or not."""
    found = []
    for name in include:
        if name == DIFFERENCES:
            continue
        forced = tuple((choice.site.name, EstimatorCall(name)) for choice in free if choice.live)
        taken = []
        for pair in forced:  # where it cannot serve at all, the site is left to the rules
            try:
                make_plan(resolved, PlanOptions(estimator=(pair,), allow_biased=True))
            except ProbError:
                continue
            taken.append(pair)
        if taken:
            found.append((PlanOptions(estimator=tuple(taken), allow_biased=True), f"{name}, forced", "wrong here"))
    return found


def _run(
    plans: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    label: str, marked: str,
) -> _Made | None:
    def planner(lessons: Lessons) -> Plan:
        return plans(options, lessons)

    with suppress(ProbError):
        gradient(plans.resolved, planner, parameters, data, replace(settings, samples=WARM_UP))  # the first time is always slow
    started = time.perf_counter()
    try:
        estimate = gradient(plans.resolved, planner, parameters, data, settings)
    except ProbError as problem:
        if marked or (options.prefer and problem.code in ("P0404", "P0407", "P0503")):
            return None  # this way cannot be gone; the others will tell of what is wrong with the program
        raise
    if estimate.interrupted:
        raise KeyboardInterrupt
    assert estimate.plan is not None
    felt = [choice for choice in estimate.plan.choices.values() if choice.effect]
    live = [choice for choice in felt if choice.estimator != PLAIN.name]
    wrong = next((choice.reason for choice in felt if "wrong by" in choice.reason), "") if marked else ""
    if marked and not wrong:
        return None  # it is right after all, and has its row
    seconds = time.perf_counter() - started
    return _Made(label if wrong else _label(live), estimate, estimate.gradient, seconds, wrong, estimate.plan.key)


def _label(live: list[Choice]) -> str:
    """`enumerate + rsample`, `gumbel tau=0.1`, `score, no credit`."""
    return " + ".join(sorted({ESTIMATORS[choice.estimator].label(choice.options) for choice in live})) or "fixed noise"


# ------------------------------------------------------------------------------------------------------ table
def _table(made: list[_Made], settings: Settings, chosen: object) -> Table:
    fair = [row for row in made if not row.biased]
    exact = next((row for row in fair if row.exact), None)
    reference = exact or min(fair, key=lambda row: _norm(row.gradient, "se"), default=made[0])
    rows = []
    for row in made:
        bias = None if row is reference else _bias(row.gradient, reference.gradient)
        off = _norm(bias, "mean") if bias is not None and row.biased else 0.0
        doubt = _norm(bias, "se") if bias is not None and row.biased else 0.0
        off = max(off**2 - doubt**2, 0.0) ** 0.5
        spread = _norm(row.gradient, "se")
        error = (off**2 + spread**2) ** 0.5
        faster = row.seconds / max(reference.seconds if not reference.exact else _usual(made), 1e-9)
        rows.append(Row(
            row.label, row.gradient, None if row.estimate is None else row.estimate.value, bias, row.biased, row.wrong, row.exact,
            row.seconds, error, (off**2 + spread**2 * faster) ** 0.5, row.key == chosen,
            {} if row.estimate is None else row.estimate.per_run, row.sites,
        ))
    fine = any(row.estimate is not None and row.estimate.dtype == "float64" for row in made)
    return Table(tuple(rows), reference.label, settings.samples, "float64" if fine else settings.dtype)


def _usual(made: list[_Made]) -> float:
    """The time of the middle row that is not exact."""
    times = sorted(row.seconds for row in made if not row.exact)
    return times[len(times) // 2] if times else made[0].seconds


def _bias(own: dict[str, dict[str, Moments]], reference: dict[str, dict[str, Moments]]) -> dict[str, dict[str, Moments]]:
    found: dict[str, dict[str, Moments]] = {}
    for result, rows in own.items():
        for name, moments in rows.items():
            other = reference[result][name]
            difference = moments.mean.cpu() - other.mean.cpu()
            doubt = (moments.se.cpu().nan_to_num(0.0) ** 2 + other.se.cpu().nan_to_num(0.0) ** 2).sqrt()
            z = torch.where(doubt > 0, difference / torch.where(doubt > 0, doubt, 1.0), 0.0)
            found.setdefault(result, {})[name] = Moments(difference, doubt, z)
    return found


def _norm(gradient: dict[str, dict[str, Moments]], field: str) -> float:
    """The Euclidean norm over all entries."""
    parts = [getattr(moments, field).reshape(-1).double().cpu() for rows in gradient.values() for moments in rows.values()]
    return float(torch.cat(parts).nan_to_num(0.0).norm()) if parts else 0.0
