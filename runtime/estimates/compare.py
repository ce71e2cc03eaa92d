"""Several estimators on one program, side by side: `probrun compare`.

The rows are the plans that treat all sites alike (as in the pilot of `pilot.py`), with the variants worth seeing: several
temperatures, the score without credit, with either baseline.  With `include` come plans that are wrong here, marked as such, and
finite differences.  Bias is against the reference: the exact answer, else the unbiased row with the smallest standard error
(from which an unbiased row's difference is noise, as its z-score says; where it is not, the two contradict each other, and the
one that has seen more is the reference, `rivals.py`).  Where the options leave no exact row, an exact one
is added if there is one, or the best unbiased one where they leave only biased rows; a biased row is never the reference.

A row that splits lanes takes no more work than all others together: it makes fewer runs, or is left out (`rows.py`).
`--max-time` is shared out among the rows, each of which stops with the runs that it has made; an interruption leaves the
rows that are finished.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.planning.chooser import Planner, make_plan
from ...dsl.planning.plan import Choice, PlanOptions
from ...dsl.planning.trials import prefer
from ...dsl.syntax import EstimatorCall
from ...dsl.tables.estimators import ESTIMATORS, FALLBACK, EstimatorRow, Option, live_rows
from ...dsl.text.diagnostics import ProbError
from ...dsl.text.source import Span
from ..blocks.moments import Moments
from .contradictions import entries, flat
from .doubts import Doubt, differing, of_estimate
from .estimate import Settings, no_run_in_time
from .pilot import Phase, quiet
from .rivals import IMPOSSIBLE, apart, limit
from .rows import Made, Rows

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
    samples     runs that were made
    added       nobody asked for it: it is there to be the reference
    doubts      why its numbers are not to be trusted
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
    samples: int = 0
    added: bool = False
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True)
class Table:
    """All rows, the label of the reference (None: none is unbiased), how many runs each had, and in which dtype (float64 where
    one needed it); `left_out`: rows that are not there, and why; `interrupted`: before all were finished; `kinks`, `turns`: where
    a kink or a comparison was met exactly, by whatever row; `counted`: as in `Plan`."""

    rows: tuple[Row, ...]
    reference: str | None
    samples: int
    dtype: str
    left_out: tuple[tuple[str, str], ...] = ()
    interrupted: bool = False
    counted: tuple[tuple[Span, str, tuple[str, ...]], ...] = ()
    kinks: tuple[Span, ...] = ()
    turns: tuple[Span, ...] = ()


def compare(
    plans: Planner, options: PlanOptions, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings,
    include: tuple[str, ...] = (), steps: tuple[float, ...] = STEPS, progress: Callable[[int, int], None] | None = None,
    phase: Phase = quiet,
) -> Table:
    """Run every row with the same number of runs."""
    work = Rows(plans, options, parameters, data, settings, progress, phase)
    free = [choice for choice in plans(options).choices.values() if choice.effect and choice.free]
    wanted = _wanted(free, options) + _wrong(plans.resolved, free, include)
    differences = [(step, common) for step in steps for common in (False, True)] if DIFFERENCES in include else []
    chosen: object = None
    try:
        work.run_all(wanted, differences)
        chosen = work.chosen()
        work.add_reference()
    except KeyboardInterrupt:
        if not work.made:
            raise KeyboardInterrupt("running the first estimator") from None
        work.interrupted = True
    if not work.made:
        raise no_run_in_time(settings)
    return _table(work, chosen)


# ------------------------------------------------------------------------------------------------------- rows
def _wanted(free: list[Choice], options: PlanOptions) -> list[tuple[PlanOptions, str, str]]:
    """Options, the label where the plan does not give one, and why the row is wrong."""
    taken = (prefer(tuple(free), partial(_first_right, order), **extra) for order, extra in _orders(free, options))
    found = [(replace(options, prefer=preferred), "", "") for preferred in taken if preferred]
    return found or [(options, "", "")]


def _first_right(order: tuple[EstimatorRow, ...], choice: Choice) -> str | None:
    """The first of an order that is right at a site; draws that no parameter reaches are summed out or left alone."""
    if choice.live:
        return next((row.name for row in order if row.name in choice.candidates), None)
    return next((row.name for row in order if row.exact), None) if choice.finite else None


def _orders(free: list[Choice], options: PlanOptions) -> list[tuple[tuple[EstimatorRow, ...], dict[str, Option]]]:
    """For each plan to be compared, what is taken at a site, the first that is right there; and its options."""
    paths = tuple(row for row in live_rows() if row.reparameterises)
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


# ------------------------------------------------------------------------------------------------------ table
def _table(work: Rows, chosen: object) -> Table:
    made, settings = work.made, work.settings
    fair = [row for row in made if not row.biased]
    said = {id(row): of_estimate(work.plans.resolved, row.estimate, settings.of) for row in made if row.estimate and not row.wrong}
    reference = _reference(fair, said)
    rows = []
    for row in made:
        bias = None if reference is None or row is reference else _bias(row.gradient, reference.gradient)
        off = _norm(bias, "mean") if bias is not None and row.biased else 0.0
        doubt = _norm(bias, "se") if bias is not None and row.biased else 0.0
        off = max(off**2 - doubt**2, 0.0) ** 0.5
        spread = _norm(row.gradient, "se")
        error = (off**2 + spread**2) ** 0.5
        usual = _usual(made) if reference is None or reference.exact else reference.seconds
        equal = (off**2 + spread**2 * row.seconds / max(usual, 1e-9)) ** 0.5
        unknown = reference is None  # the bias, and so the error
        doubts = said.get(id(row), ())
        if bias is not None and reference is not None and not (row.biased or doubts or said[id(reference)]):
            doubts = tuple(doubt for doubt in (_contradiction(row, reference),) if doubt)
        rows.append(Row(
            row.label, row.gradient, None if row.estimate is None else row.estimate.value, bias, row.biased, row.wrong, row.exact,
            row.seconds, math.nan if unknown else error, math.nan if unknown else equal, row.key == chosen,
            {} if row.estimate is None else row.estimate.per_run, row.sites, row.samples, row.added, doubts,
        ))
    fine = any(row.estimate is not None and not row.exact and row.estimate.dtype == "float64" for row in made)
    return Table(
        tuple(rows), None if reference is None else reference.label, settings.samples, "float64" if fine else settings.dtype,
        tuple(work.left_out), work.interrupted,
        next((row.estimate.plan.counted for row in made if row.estimate is not None and row.estimate.plan is not None), ()),
        *(_met(made, name) for name in ("kinks", "turns")),
    )


def _met(made: list[Made], name: str) -> tuple[Span, ...]:
    """What any row has met, in the order of the text."""
    spans = {span for row in made if row.estimate is not None and not row.wrong for span in getattr(row.estimate, name)}
    return tuple(sorted(spans, key=lambda span: span.start))


def _contradiction(row: Made, other: Made) -> Doubt | None:
    """That a right row and another one differ by more than chance, if they do."""
    (mean, variance), (its_mean, its_variance) = flat(row.gradient), flat(other.gradient)
    z = apart(mean, variance.nan_to_num(0.0), its_mean, its_variance.nan_to_num(0.0))
    at = int(z.abs().argmax())
    if abs(float(z[at])) <= limit(IMPOSSIBLE, mean.numel(), min(row.samples, other.samples)):
        return None
    means, errors = (float(mean[at]), float(its_mean[at])), (float(variance[at].sqrt()), float(its_variance[at].sqrt()))
    return differing(other.label, means, errors, float(z[at]), entries(row.gradient)[at], len(row.gradient) > 1)


def _reference(fair: list[Made], doubts: Mapping[int, tuple[Doubt, ...]]) -> Made | None:
    """The exact row, else the one with the smallest standard error: of those against which their own runs say nothing, and which no
    such row contradicts that has seen more (its spread is larger)."""
    exact = next((row for row in fair if row.exact), None)
    error = {id(row): _norm(row.gradient, "se") for row in fair}
    clean = [row for row in fair if not doubts[id(row)]]
    sound = [
        row for row in clean
        if not any(error[id(row)] < error[id(other)] and _contradiction(row, other) for other in clean)
    ]
    return exact or min(sound or clean or fair, key=lambda row: error[id(row)], default=None)


def _usual(made: list[Made]) -> float:
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
