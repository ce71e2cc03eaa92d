"""What a gradient says against itself: warnings in words, each of which makes the exit status 3; and notes, which do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...dsl.tables.distributions import DISTRIBUTIONS
from ...dsl.tables.estimators import ESTIMATORS

if TYPE_CHECKING:
    from torch import Tensor

    from ...dsl.names.resolve import Resolved
    from ...dsl.planning.plan import Plan, PlanOptions
    from ..blocks.collect import Estimate
    from ..blocks.tails import Place, Tail
    from .rivals import Contradiction

MOST_NAMED = 4
MOST_SHAPE, LEAST_EFFECTIVE = 0.5, 100  # of weights, whose variance is infinite from there on (Vehtari et al. 2024, section 3)
UNSURE = 0.5  # standard deviations of a shape that is found
MOST_OF_A_GUIDE = 0.7  # where a posterior may still be used (Yao et al. 2018)


@dataclass(frozen=True)
class Doubt:
    """Why a number is not to be trusted: a code of `probrun help`, a sentence, and the line that it is about, if one is."""

    code: str
    message: str
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry of `warnings` in the JSON."""
        return {"code": self.code, "message": self.message, "line": self.line}


def of_runs(
    tails: Mapping[Place, Tail], few_runs: Mapping[Place, float], sites: Iterable[tuple[str, int, int]], runs: int, several: bool,
    exact: Callable[[str, str | None], bool],
) -> Iterator[Doubt]:
    """What the runs say against the standard errors; `several`: there are several results, which are to be named; `exact`: whether
    a number is the same whatever is drawn."""
    yield from heavy(tails, several)
    yield from few({place: n for place, n in few_runs.items() if place not in tails and not exact(*place)}, runs, several)
    yield from scarce(sites, runs)


def of_estimate(resolved: Resolved, estimate: Estimate, of: tuple[str, ...]) -> tuple[Doubt, ...]:
    """What the runs of a gradient say against its standard errors."""
    from ...dsl.analysis.steady import steady

    tails, few_runs = estimate.spreads.tails, estimate.spreads.few
    if not (tails or few_runs or estimate.scarce):
        return ()
    choices = {} if estimate.plan is None else estimate.plan.choices
    same = steady(resolved, {index: choice.estimator for index, choice in choices.items()}, of)
    line_of, felt = resolved.program.source.line_column, ((resolved.sites[at], n) for at, n in estimate.scarce.items())
    sites = ((site.name, line_of(site.span.start)[0], values) for site, values in felt)
    return tuple(of_runs(
        tails, few_runs, sites, estimate.samples, len(estimate.value) > 1,
        lambda name, parameter: (name, parameter) in same,
    ))


def of_draws(draws: Mapping[str, Tensor], runs: int, exact: Callable[[str, str | None], bool]) -> tuple[Doubt, ...]:
    """What the results of single runs say against the standard errors of their means."""
    from ..blocks.spreads import spread_of

    found = {name: spread_of(rows) for name, rows in draws.items() if len(rows) > 1 and not exact(name, None)}
    tails = {(name, None): tail for name, (tail, _) in found.items() if tail.heavy}
    few_runs = {(name, None): carriers for name, (_, carriers) in found.items() if math.isfinite(carriers)}
    return tuple(of_runs(tails, few_runs, (), runs, True, exact))


def heavy(tails: Mapping[Place, Tail], several: bool) -> Iterator[Doubt]:
    """Numbers whose variance may be infinite."""
    if not tails:
        return
    worst = min(tails.values(), key=lambda tail: tail.index)
    other = "try another estimator (probrun compare), or keep" if all(parameter for _, parameter in tails) else "keep"
    yield Doubt("P0701", (
        f"heavy tails: do not trust the standard error of {_named(tails, several)}. A few runs carry most of the "
        f"variance (the largest {worst.largest_share:.0%}), and the tail index is about {worst.index:.1f}; below 2 the variance is "
        f"infinite. More runs will not mend it: {other} values away from poles and from tiny probabilities"
    ))


def few(carriers: Mapping[Place, float], runs: int, several: bool) -> Iterator[Doubt]:
    """Numbers that rest on few of the runs, or on none."""
    seen = {place: number for place, number in carriers.items() if number}
    unseen = [place for place in carriers if place not in seen]
    if unseen:
        yield Doubt("P0702", (
            f"nothing seen: do not trust {_named(unseen, several)}. All {runs} runs gave the same, so that what it rests on "
            "is rarer than they can show: make more runs (-n), or make the event likelier and weigh it"
        ))
    if seen:
        yield Doubt("P0702", (
            f"few events: do not trust the standard error of {_named(seen, several)}. It rests on about "
            f"{max(min(seen.values()), 1.0):.0f} of the {runs} runs, as of a rare event, and what is rarer has not been seen: make "
            "more runs (-n)"
        ))


def scarce(sites: Iterable[tuple[str, int, int]], runs: int) -> Iterator[Doubt]:
    """Discrete sites (name, line, values seen) of whose outcomes too few were drawn."""
    for name, line, values in sites:
        seen = "the same value" if values == 1 else f"only {values} different values"
        yield Doubt("P0702", (
            f"few values: do not trust derivatives that come from `{name}` (line {line}). All {runs} runs drew {seen} there; how "
            "the others bear on the result has not been seen: make more runs (-n), or enumerate"
        ), line)


def light(effective: float, shape: float, runs: int, most: float = MOST_SHAPE, alone: float = math.inf) -> Iterator[Doubt]:
    """Weighed runs that are worth few, or whose weights have a tail that no number of runs makes up for: their own (`alone`), or
    that of their products with the results."""
    from ..blocks.pareto import shape_error

    mend = "draw nearer to what is observed (x ~ P via Q), or make more runs (-n)"
    if shape > most - UNSURE * shape_error(runs, most):
        tail = "of their tail" if shape <= alone else "of weights times results"
        found = f"the Pareto k {tail} is {shape:.2f}, " + (f"above {most:g}" if shape > most else f"hardly below {most:g}")
        said = "hardly a run has any weight" if shape == math.inf else found
        yield Doubt("P0706", (
            f"heavy weights: do not trust these numbers. A few of the {runs} runs carry most of the weight: {said}; {mend}"
        ))
    elif effective < LEAST_EFFECTIVE:
        yield Doubt("P0706", (
            f"few effective runs: do not trust these numbers. The {runs} weighed runs are worth {max(effective, 1.0):.0f}, less "
            f"than {LEAST_EFFECTIVE}: {mend}"
        ))


def bending(labels: list[str], runs: int) -> Iterator[Doubt]:
    """Derivatives of quotients of means that bend within the noise of the means."""
    if labels:
        rest = "" if len(labels) <= MOST_NAMED else f" and {len(labels) - MOST_NAMED} more"
        yield Doubt("P0706", (
            f"few runs: do not trust the interval of {', '.join(labels[:MOST_NAMED])}{rest}. A quotient of means nearly stands "
            f"still there, and what {runs} runs leave open bends it more than it moves it: make more runs (-n)"
        ))


def contradicted(contradictions: Iterable[Contradiction], several: bool) -> Iterator[Doubt]:
    """Gradients that another right plan contradicts."""
    for other in contradictions:
        yield Doubt("P0703", (
            f"contradiction: do not trust {_named([other.place], several)}. With {other.label} in place of what was chosen, "
            f"{other.runs} other runs give {other.mean:.4g} +- {other.se:.2g}, {abs(other.z):.1f} standard errors away: the "
            "derivative lies in runs that are too rare for the one or the other (a step that is steep, but smooth by its text). "
            "Take more runs, or another estimator (probrun compare)"
        ))


def differing(
    reference: str, means: tuple[float, float], errors: tuple[float, float], z: float, place: Place, several: bool
) -> Doubt:
    """A row of a comparison that contradicts the reference, both being right by the text; of each the mean and its error."""
    (own, other), (own_error, other_error) = means, errors
    return Doubt("P0703", (
        f"contradiction: do not trust {_named([place], several)}. It is {own:.4g} +- {own_error:.2g} here, and {other:.4g} "
        f"+- {other_error:.2g} with {reference}, {abs(z):.1f} standard errors away: the derivative lies in runs that are too rare "
        "for the one or the other (a step that is steep, but smooth by its text). Take more runs"
    ))


def set_aside(resolved: Resolved, plan: Plan | None, options: PlanOptions) -> tuple[Doubt, ...]:
    """Notes on sites whose outcomes were to be summed, by an option for all sites, and were not: right, but not what was asked."""
    asked = {call.name for site, call in options.estimator if site is None and ESTIMATORS[call.name].splits}
    if not asked or plan is None:
        return ()
    others = [
        choice for choice in plan.choices.values()
        if choice.effect and not choice.forced and choice.estimator not in asked
        and any(not ESTIMATORS[name].unsuited(DISTRIBUTIONS[choice.site.distribution.name]) for name in asked)
    ]
    found, alike = [choice for choice in others if choice.crowded], [choice.site.name for choice in others if not choice.crowded]
    notes = []
    for choice in found:
        line = resolved.program.source.line_of(choice.site.span)
        more = f" (nor those of {_few_of([f'`{name}`' for name in alike])})" if alike and choice is found[-1] else ""
        notes.append(Doubt("P0705", (
            f"asked for, but not done: the outcomes of `{choice.site.name}` (line {line}) are not summed{more}: {choice.crowded}. "
            f"`{choice.estimator}` is used instead"
        ), line))
    return tuple(notes)


def _named(places: Iterable[Place], several: bool) -> str:
    above = " {}" if several else ""
    return _few_of([name if parameter is None else f"d{above.format(name)}/d{parameter}" for name, parameter in places])


def _few_of(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
