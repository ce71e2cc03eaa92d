"""What `explain`, `grad` and `run` give: the choice at each site, and results that turn into the JSON of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from .display.shown import Drawable, WithDraws
from .weights import Weighable, moments_dict, unkeyed, weight_doubts, weights_dict

if TYPE_CHECKING:
    import torch

    from .dsl.names.resolve import Resolved
    from .dsl.planning.forecast import Foreseen
    from .dsl.planning.plan import Choice, Plan
    from .dsl.text.source import Source, Span
    from .options import RunOptions
    from .runtime.blocks.collect import Estimate
    from .runtime.blocks.moments import Moments
    from .runtime.blocks.spreads import Spreads
    from .runtime.blocks.tails import Tail
    from .runtime.estimates.doubts import Doubt
    from .runtime.estimates.figures import Measured
    from .runtime.estimates.oracle import Check
    from .runtime.estimates.rivals import Contradiction
    from .runtime.estimates.sides import Sides, Whole
    from .runtime.estimates.verdict import Verdict
    from .runtime.lanes.endings import Cut


@dataclass(frozen=True)
class SiteReport:
    """The choice at one sampling site, in the words of `probrun explain`."""

    name: str
    line: int
    column: int
    distribution: str
    estimator: str
    biased: bool
    reason: str
    text: str = field(repr=False)
    call: str = field(repr=False)
    summary: str = field(repr=False)
    options: Mapping[str, float | bool | str] = field(default_factory=dict, repr=False)
    because: tuple[str, ...] = field(default=(), repr=False)
    rejected: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    measured: Mapping[str, Measured] = field(default_factory=dict, repr=False)
    path: str = field(default="", repr=False)
    among: tuple[str, ...] = field(default=(), repr=False)  # what `grad` may take here (`explain`)
    foreseen: Foreseen | None = field(default=None, repr=False)

    @property
    def unusual(self) -> dict[str, float | bool | str]:
        """The options that a report tells: what is not the usual, and what always matters."""
        from .dsl.tables.estimators import ESTIMATORS

        rows = {option.name: option for option in ESTIMATORS[self.estimator].options}
        return {
            name: value for name, value in self.options.items()
            if not rows[name].untold and (rows[name].told or rows[name].default != value)
        }

    def to_dict(self) -> dict[str, Any]:
        """The entry of `sites` in the JSON."""
        entry: dict[str, Any] = {
            "name": self.name, "line": self.line, "column": self.column, "distribution": self.distribution,
            "estimator": self.estimator, "biased": self.biased, "reason": self.reason,
        }
        if self.unusual:
            entry["options"] = self.unusual
        if self.among:
            entry["among"] = list(self.among)
        entry |= {} if self.foreseen is None else self.foreseen.sums()
        if self.measured:
            entry["measured"] = {name: figures.to_dict() for name, figures in self.measured.items()}
        return entry


@dataclass(frozen=True)
class Compilation:
    """What `compile=True` has come to: the `seconds` it took in this call (beside `Result.seconds`), or the `reason` why not."""

    seconds: float
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry `compiled` in the JSON."""
        return {"seconds": round(self.seconds, 6)} if self.reason is None else {"refused": self.reason}


@dataclass(frozen=True)
class Result(Weighable, Drawable):
    """What `grad` and `run` have in common: how many runs were made, with what, and the moments of the results."""

    program: str
    samples: int
    requested: int
    seed: int
    dtype: str
    device: str
    results: tuple[str, ...]
    value: Any  # Moments, or a dict of them by result when there are several
    seconds: float
    interrupted: bool
    out_of_time: bool
    reached: bool
    exact: bool  # nothing was left to chance
    rounded: bool  # by float32, which was asked for, so much that it shows
    target_se: float | None = field(repr=False)
    sampler: str = field(repr=False)
    look: Callable[[], frozenset[tuple[str, str | None]]] = field(repr=False, compare=False)  # what gives `steady`
    kept: Estimate | None = field(default=None, repr=False, compare=False, kw_only=True)  # what `shares.py` saves
    notes: tuple[Doubt, ...] = field(default=(), repr=False, kw_only=True)  # what was asked for and could not be, with the reason

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command line."""
        raise NotImplementedError

    def _head(self) -> dict[str, Any]:
        return {
            "program": self.program, "samples": self.samples, "seed": self.seed, "dtype": self.dtype,
            "device": self.device,
        }

    def _tail(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"seconds": round(self.seconds, 6)}
        if self.target_se is not None:
            entry["reached"] = self.reached
        if self.interrupted:
            entry["interrupted"] = True
        if self.sampler != "random":
            entry["sampler"] = self.sampler
        if self.out_of_time:
            entry["stopped"] = "max-time"
        return entry | {name: True for name in ("all_equal", "rounded") if getattr(self, name)}

    @property
    def all_equal(self) -> bool:
        """Whether some standard error is 0 only because all runs gave the same: a rare event may have been missed."""
        return any(bool((moments.se == 0).any()) and not self.is_exact(*key) for key, moments in self.reported().items())

    def is_exact(self, result: str, parameter: str | None = None) -> bool:
        """Whether a number (a result, or its derivative in a parameter) is the same whatever is drawn."""
        return self.exact or (result, parameter) in self.steady

    @cached_property
    def steady(self) -> frozenset[tuple[str, str | None]]:
        """The (result, parameter, or None for the value) that no draw changes."""
        return self.look()

    @property
    def largest_se(self) -> float:
        """The largest standard error that is reported."""
        return max((float(moments.se.max()) for moments in self.reported().values() if moments.se.numel()), default=0.0)

    @property
    def warnings(self) -> tuple[Doubt, ...]:
        """Why numbers are not to be trusted."""
        raise NotImplementedError

    def reported(self) -> dict[tuple[str, str | None], Moments]:
        """All moments that are shown, by result, and by parameter where they are derivatives."""
        return {(name, None): moments for name, moments in self.values.items()}

    @property
    def values(self) -> dict[str, Moments]:
        """The moments of each result, by name."""
        return self.value if len(self.results) != 1 else {self.results[0]: self.value}


@dataclass(frozen=True)
class GradientResult(Result):
    """The outcome of `Program.grad`.  `gradient` is keyed by parameter, and by result first where there are several."""

    gradient: Any
    biased: bool
    sites: tuple[SiteReport, ...]
    per_run: Any = field(default=None, repr=False)
    pilot_runs: int = field(default=0, repr=False)
    spreads: Spreads = field(repr=False, kw_only=True)
    scarce: Mapping[int, int] = field(default_factory=dict, repr=False)
    contradictions: tuple[Contradiction, ...] = field(default=(), repr=False)
    overruled: str = field(default="", repr=False)  # what a pilot set aside, though it looked less noisy
    check: Check | None = field(default=None, repr=False)
    unverified: str = field(default="", repr=False)  # why there is no check, though it was asked for
    compiled: Compilation | None = field(default=None, repr=False)
    exact_to: float = 0.0  # how far an exact answer may be off, relative to it, for what was left out where there is no end
    cuts: tuple[str, ...] = ()  # what that was, in words
    kinks: tuple[tuple[int, str], ...] = field(default=(), repr=False)  # that were met exactly: line and text
    sides: Mapping[str, Mapping[str, Sides]] = field(default_factory=dict, repr=False)  # both derivatives there
    counted: tuple[Whole, ...] = field(default=(), repr=False)

    @property
    def tails(self) -> Mapping[tuple[str, str | None], Tail]:
        """By result and parameter, of those that are so heavy that the standard error cannot be trusted."""
        return self.spreads.tails

    @property
    def few(self) -> Mapping[tuple[str, str], float]:
        """By result and parameter, on how few runs a standard error rests that cannot be trusted."""
        return self.spreads.few

    @property
    def gradients(self) -> dict[str, dict[str, Moments]]:
        """The moments of each gradient, by result and parameter."""
        return self.gradient if len(self.results) != 1 else {self.results[0]: self.gradient}

    @cached_property
    def warnings(self) -> tuple[Doubt, ...]:
        """Why numbers are not to be trusted."""
        from .runtime.estimates.doubts import contradicted, of_runs
        from .runtime.estimates.sides import cornered, counting

        several = len(self.results) > 1
        sites = ((self.sites[at].name, self.sites[at].line, values) for at, values in self.scarce.items())
        return (
            *of_runs(self.tails, self.few, sites, self.samples, several, self.is_exact),
            *contradicted(self.contradictions, several),
            *cornered(self.kinks, self.sides, several), *counting(self.counted),
            *weight_doubts(self.weights, self.samples),
        )

    def _doubts(self) -> dict[str, Any]:
        """What must be said of numbers that cannot be trusted."""
        found = [
            {"result": result, "parameter": name, "tail_index": tail.index, "largest_share": tail.largest_share}
            for (result, name), tail in self.tails.items() if name is not None
        ]
        doubts: dict[str, Any] = {"warnings": [doubt.to_dict() for doubt in self.warnings]}
        if self.notes:
            doubts["notes"] = [note.to_dict() for note in self.notes]
        if found:
            doubts["heavy_tails"] = found
        if self.overruled:
            doubts["overruled"] = self.overruled
        if self.sides:
            both = {result: {name: sides.to_dict() for name, sides in rows.items()} for result, rows in self.sides.items()}
            doubts["sides"] = unkeyed(both) if len(self.results) == 1 else both
        if self.check is not None:
            oracle = {
                result: {
                    name: moments_dict(moments, ("mean", "se")) | {"z": self.check.z[result][name]}
                    for name, moments in rows.items()
                }
                for result, rows in self.check.gradient.items()
            }
            doubts["verified"] = {"method": self.check.method, "passed": self.check.passed, "gradient": unkeyed(oracle)}
        elif self.unverified:
            doubts["verified"] = None
        return doubts

    def reported(self) -> dict[tuple[str, str | None], Moments]:
        return super().reported() | {
            (name, parameter): moments for name, rows in self.gradients.items() for parameter, moments in rows.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun grad --json`."""
        values = {name: moments_dict(moments, ("mean", "se")) for name, moments in self.values.items()}
        gradients = {
            result: {name: moments_dict(moments, ("mean", "se", "sd")) for name, moments in rows.items()}
            for result, rows in self.gradients.items()
        }
        compiled = {} if self.compiled is None else {"compiled": self.compiled.to_dict()}
        left_out = {"exact_to": self.exact_to} if self.exact_to else {}
        return {
            **self._head(), "value": unkeyed(values), "gradient": unkeyed(gradients), **weights_dict(self.weights),
            **left_out, "biased": self.biased,
            "sites": [site.to_dict() for site in self.sites], **self._doubts(), **compiled, **self._tail(),
        }


@dataclass(frozen=True)
class RunResult(Result, WithDraws):
    """The outcome of `Program.run`; `draws` holds the sampled results, at most a million runs of each."""

    draws: dict[str, torch.Tensor] = field(repr=False)

    @cached_property
    def warnings(self) -> tuple[Doubt, ...]:
        """Why numbers are not to be trusted."""
        from .runtime.estimates.doubts import of_draws

        if self.weights is not None:
            return weight_doubts(self.weights, self.samples)
        return of_draws(self.draws, self.samples, self.is_exact)

    def quantiles(self, name: str, levels: tuple[float, ...] = (5, 25, 50, 75, 95)) -> dict[str, torch.Tensor]:
        """Quantiles of a result over the runs, keyed by the level in per cent."""
        import numpy
        import torch

        draws = self.draws[name].detach().double().cpu().numpy()
        found = torch.from_numpy(numpy.quantile(draws, [level / 100 for level in levels], axis=0))
        return {f"{level:g}": row for level, row in zip(levels, found, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun run --json`."""
        values = {}
        for name, moments in self.values.items():
            entry = moments_dict(moments, ("mean", "se", "sd"))
            if name in self.draws:
                entry["quantiles"] = {level: row.tolist() for level, row in self.quantiles(name).items()}
            values[name] = entry
        warnings = [doubt.to_dict() for doubt in self.warnings]
        return {**self._head(), "value": unkeyed(values), **weights_dict(self.weights), "warnings": warnings, **self._tail()}


def common_fields(resolved: Resolved, run: RunOptions, estimate: Estimate, of: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of `Result`, from what was asked for and what came out; `of` are variables that were asked for."""
    return {
        "look": partial(_steady, resolved, estimate if estimate.replay is None else replace(estimate, replay=None), of),
        "program": resolved.program.source.name, "samples": estimate.samples, "requested": run.samples, "seed": estimate.seed,
        "dtype": estimate.dtype, "device": run.device, "results": tuple(estimate.value),
        "value": unkeyed(estimate.value), "seconds": estimate.seconds,
        "interrupted": estimate.interrupted, "out_of_time": estimate.out_of_time, "reached": estimate.reached,
        "exact": estimate.exact, "rounded": estimate.rounded,
        "target_se": run.target_se, "sampler": run.sampler, "weights": estimate.weights,
        "kept": estimate if estimate.collected is not None else None,
    }


def left_out(resolved: Resolved, estimate: Estimate, notes: tuple[Doubt, ...]) -> dict[str, Any]:
    """The fields of `GradientResult` that tell, in words, what was left out of an exact answer where there is no end: each place
    once, with the most that was left there; and the `notes`."""
    worst: dict[Span, Cut] = {}
    for cut in estimate.cuts:
        if cut.span not in worst or cut.rest > worst[cut.span].rest:
            worst[cut.span] = cut
    line_of, sites = resolved.program.source.line_column, resolved.sites
    found = [cut.told(sites[cut.site].distribution.name, line_of(cut.span.start)[0]) for cut in worst.values()]
    from .runtime.estimates.sides import whole_numbers

    counted = () if estimate.plan is None else whole_numbers(resolved, estimate.plan.counted)
    return {"exact_to": estimate.exact_to, "cuts": tuple(found), "notes": notes, "counted": counted}


def _steady(resolved: Resolved, estimate: Estimate, of: tuple[str, ...]) -> frozenset[tuple[str, str | None]]:
    """What no draw changes; looked for where a standard error of 0 asks for it."""
    shown = [*estimate.value.values(), *(moments for rows in estimate.gradient.values() for moments in rows.values())]
    if estimate.exact or estimate.weights is not None or not any(bool((moments.se == 0).any()) for moments in shown):
        return frozenset()
    from .dsl.analysis.steady import steady

    choices = {} if estimate.plan is None else estimate.plan.choices
    return steady(resolved, {index: choice.estimator for index, choice in choices.items()}, of)


def gradient_result(
    resolved: Resolved, run: RunOptions, of: tuple[str, ...], notes: tuple[Doubt, ...], verdict: Verdict | None,
    estimate: Estimate, seconds: float, sides: Mapping[str, Mapping[str, Sides]] | None = None, compile: bool = False,
    **more: Any,
) -> GradientResult:
    """What an estimate comes to, with what a pilot found."""
    plan, met = estimate.plan, (*estimate.kinks, *(estimate.turns if sides else ()))
    assert plan is not None
    if compile:
        made = more["compiled"] = Compilation(estimate.compile_seconds or 0.0, estimate.not_compiled)
        seconds -= made.seconds
    if verdict is not None:
        more |= {"pilot_runs": verdict.runs, "contradictions": verdict.contradictions, "overruled": verdict.overruled}
    return GradientResult(
        **common_fields(resolved, run, estimate, of) | {"seconds": seconds}, **left_out(resolved, estimate, notes),
        biased=plan.biased, gradient=unkeyed(estimate.gradient) if len(estimate.value) == 1 else estimate.gradient,
        sites=site_reports(resolved, plan, verdict), spreads=estimate.spreads, scarce=estimate.scarce,
        per_run=estimate.per_run or None, sides=sides or {}, kinks=resolved.program.source.places(met), **more,
    )


def site_reports(resolved: Resolved, plan: Plan, verdict: Verdict | None = None) -> tuple[SiteReport, ...]:
    """The choice at each site of a program, with what a pilot measured there."""
    measured = {} if verdict is None else verdict.measured

    def made() -> tuple[SiteReport, ...]:
        source = resolved.program.source
        return tuple(report_of(source, plan.choices[site.index], measured.get(site.index, {})) for site in resolved.sites)

    return made() if measured else resolved.prepared.once("reports", plan.token, made)


def report_of(source: Source, choice: Choice, measured: Mapping[str, Measured]) -> SiteReport:
    from .dsl.tables.estimators import ESTIMATORS

    site = choice.site
    line, column = source.line_column(site.span.start)
    return SiteReport(
        name=site.name, line=line, column=column, distribution=site.distribution.name, estimator=choice.estimator,
        biased=choice.biased, reason=choice.reason, text=_words(source, site.span),
        call=_words(source, site.distribution.span), summary=ESTIMATORS[choice.estimator].summary,
        options=choice.options, because=choice.because, rejected=choice.rejected, path=choice.path, measured=measured,
    )


def _words(source: Source, span: Span) -> str:
    return " ".join(source.slice(span).split())
