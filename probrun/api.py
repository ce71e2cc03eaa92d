"""probrun from Python: a program is loaded once, then differentiated, run, explained or put inside a torch program.

The classes here hold results and turn them into the JSON of the command line; the work is done by `dsl` (read, plan)
and by `runtime` (run), which is imported only inside the methods that run something, because torch takes a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .dsl.diagnostics import Diagnostic, ProbError
from .dsl.limits import MAX_DEPTH, MAX_STEPS
from .dsl.source import Source, Span
from .options import (
    DEFAULT_SAMPLES,
    DEFAULT_TAU,
    EstimatorOption,
    NamesOption,
    RunOptions,
    included,
    plan_options,
    refuse,
    run_options,
    step_sizes,
    variables,
)
from .reading import Value, read_program

if TYPE_CHECKING:
    import torch

    from .comparison import Comparison
    from .dsl.names import Resolved
    from .dsl.plan import Choice, Lessons, Plan, Planner, PlanOptions
    from .runtime.choose import Measured, Verdict
    from .runtime.distributed import Team
    from .runtime.estimate import Estimate, Moments, Settings
    from .runtime.oracle import Check
    from .runtime.tails import Tail

Values: TypeAlias = Mapping[str, Value] | None
Progress: TypeAlias = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Function:
    """A function of your own for `load` and `parse`: a neural network, a step of a simulator.

    `call` gets tensors `[lanes, *shape]` and gives a tensor `[lanes, *shape]`, lane by lane.  `smooth` is True where it
    is differentiable, "kink" where it is continuous and differentiable almost everywhere (a ReLU network), False where
    it may jump; probrun believes it.
    """

    call: Callable[..., Any]
    smooth: bool | Literal["kink"] = False


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

    @property
    def unusual(self) -> dict[str, float | bool | str]:
        """The options of a score that are not the usual ones, all of the others."""
        from .dsl.plan import DEFAULTS

        usual = DEFAULTS["score"] if self.estimator == "score" else {}
        return {name: value for name, value in self.options.items() if usual.get(name) != value}

    def to_dict(self) -> dict[str, Any]:
        """The entry of `sites` in the JSON."""
        entry: dict[str, Any] = {
            "name": self.name, "line": self.line, "column": self.column, "distribution": self.distribution,
            "estimator": self.estimator, "biased": self.biased, "reason": self.reason,
        }
        if self.unusual:
            entry["options"] = self.unusual
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
class Result:
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
    target_se: float | None = field(repr=False)
    sampler: str = field(repr=False)

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
        return entry

    @property
    def largest_se(self) -> float:
        """The largest standard error that is reported."""
        return max((float(moments.se.max()) for moments in self._reported() if moments.se.numel()), default=0.0)

    def _reported(self) -> list[Moments]:
        return list(self.values.values())

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
    exact: bool
    per_run: Any = field(default=None, repr=False)
    pilot_runs: int = field(default=0, repr=False)
    tails: Mapping[tuple[str, str], Tail] = field(default_factory=dict, repr=False)
    check: Check | None = field(default=None, repr=False)
    compiled: Compilation | None = field(default=None, repr=False)

    @property
    def gradients(self) -> dict[str, dict[str, Moments]]:
        """The moments of each gradient, by result and parameter."""
        return self.gradient if len(self.results) != 1 else {self.results[0]: self.gradient}

    def _doubts(self) -> dict[str, Any]:
        """What must be said of standard errors that cannot be trusted."""
        found = [
            {"result": result, "parameter": name, "tail_index": tail.index, "largest_share": tail.largest_share}
            for (result, name), tail in self.tails.items()
        ]
        doubts: dict[str, Any] = {"heavy_tails": found} if found else {}
        if self.check is not None:
            oracle = {
                result: {
                    name: _moments(moments, ("mean", "se")) | {"z": self.check.z[result][name]} for name, moments in rows.items()
                }
                for result, rows in self.check.gradient.items()
            }
            doubts["verified"] = {"method": self.check.method, "passed": self.check.passed, "gradient": _unkeyed(oracle)}
        return doubts

    def _reported(self) -> list[Moments]:
        return super()._reported() + [moments for rows in self.gradients.values() for moments in rows.values()]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun grad --json`."""
        values = {name: _moments(moments, ("mean", "se")) for name, moments in self.values.items()}
        gradients = {
            result: {name: _moments(moments, ("mean", "se", "sd")) for name, moments in rows.items()}
            for result, rows in self.gradients.items()
        }
        compiled = {} if self.compiled is None else {"compiled": self.compiled.to_dict()}
        return {
            **self._head(), "value": _unkeyed(values), "gradient": _unkeyed(gradients), "biased": self.biased,
            "sites": [site.to_dict() for site in self.sites], **self._doubts(), **compiled, **self._tail(),
        }


@dataclass(frozen=True)
class RunResult(Result):
    """The outcome of `Program.run`; `draws` holds the sampled results, at most a million runs of each."""

    draws: dict[str, torch.Tensor] = field(repr=False)

    def quantiles(self, name: str, levels: tuple[float, ...] = (5, 25, 50, 75, 95)) -> dict[str, torch.Tensor]:
        """Quantiles of a result over the runs, keyed by the level in per cent."""
        import torch

        draws = self.draws[name].detach().double().cpu()
        found = torch.from_numpy(_quantile(draws.numpy(), levels))
        return {f"{level:g}": row for level, row in zip(levels, found, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun run --json`."""
        values = {}
        for name, moments in self.values.items():
            entry = _moments(moments, ("mean", "se", "sd"))
            entry["quantiles"] = {level: row.tolist() for level, row in self.quantiles(name).items()}
            values[name] = entry
        return {**self._head(), "value": _unkeyed(values), **self._tail()}


def _quantile(draws: Any, levels: tuple[float, ...]) -> Any:
    import numpy

    return numpy.quantile(draws, [level / 100 for level in levels], axis=0)


def _moments(moments: Moments, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(getattr(moments, name)) for name in names}


def _plain(tensor: torch.Tensor) -> Any:
    """A tensor as numbers; what one run cannot tell (a standard error) is None."""
    return _finite(tensor.detach().cpu().double().tolist())


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value if value - value == 0 else None


def _unkeyed(entries: dict[str, Any]) -> Any:
    return next(iter(entries.values())) if len(entries) == 1 else entries


class Program:
    """A program that has been read and whose names are resolved.  Make one with `load` or `parse`."""

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self._plans: Planner | None = None

    def __repr__(self) -> str:
        parameters = ", ".join(self.parameters)
        return f"<probrun program {self.source.name!r}, parameters ({parameters})>"

    @property
    def source(self) -> Source:
        """The text and its name."""
        return self.resolved.program.source

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.resolved.parameters)

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the results."""
        return self.resolved.results

    def explain(
        self, *, estimator: EstimatorOption = None, unbiased: bool = False, among: NamesOption = None,
        tau: float = DEFAULT_TAU, allow_biased: bool = False, of: NamesOption = None,
    ) -> tuple[SiteReport, ...]:
        """The choice at each sampling site and why; runs nothing and loads no torch."""
        options = plan_options(
            self.resolved, estimator=estimator, unbiased=unbiased, among=among, tau=tau, allow_biased=allow_biased, of=of
        )
        return self._reports(self._plan(options))

    def grad(
        self, parameters: Values = None, *, samples: int = DEFAULT_SAMPLES, seed: int | None = None,
        data: Values = None, estimator: EstimatorOption = None, unbiased: bool = False, among: NamesOption = None,
        target_se: float | None = None, max_time: float | None = None, tau: float = DEFAULT_TAU, allow_biased: bool = False,
        of: NamesOption = None, dtype: Any = "float32", device: Any = "cpu", max_steps: int = MAX_STEPS, max_depth: int = MAX_DEPTH,
        max_lanes: int | None = None, pilot: bool | None = None, verify: bool = False, keep_runs: bool = False,
        distributed: bool = False,
        sampler: str = "random", compile: bool = False, progress: Progress = None,
    ) -> GradientResult:
        """The gradient of the expected result in every parameter, with standard errors.

        The keyword arguments are the options of the command line.  `pilot`: whether estimators are chosen by measuring;
        None: unless `among` is given.  `verify` holds the result against an independent oracle (`check`).  `keep_runs` keeps
        the gradients of single runs (`per_run`), `progress` is called with (runs made, runs asked for).  `distributed`: the
        runs are shared by the processes of torch.distributed (`torchrun`); every one gets the result of all.  `sampler="sobol"`:
        scrambled Sobol points in place of random numbers (Owen 1997), where every run draws the same numbers in the same order.
        `compile`: torch.compile makes blocks of runs into a few loops in C++ (seconds, once per program, plan and size); where
        that is not possible the program is run as without, and `compiled.reason` says why.
        """
        begun = time.monotonic()
        run = run_options(samples, seed, dtype, device, target_se, max_steps, max_depth, max_lanes, max_time, sampler)
        self._require_parameters()
        options = plan_options(
            self.resolved, estimator=estimator, unbiased=unbiased, among=among, tau=tau, allow_biased=allow_biased, of=of
        )
        self._plan(options)  # a refusal must not wait for torch
        started = time.perf_counter()
        from .runtime import estimate as runtime
        from .runtime.choose import Verdict, choose

        settings = replace(self._settings(run, options.of, keep_runs, begun), compile=compile)
        piloted = (among is None) if pilot is None else pilot

        def measured(settings: Settings) -> Verdict:
            return choose(self._all_plans(), options, parameters or {}, data or {}, settings) if piloted else Verdict()

        def estimated(settings: Settings, verdict: Verdict, team: Team | None) -> Estimate:
            planner = self._planner(replace(options, prefer=verdict.prefer))
            return runtime.gradient(self.resolved, planner, parameters or {}, data or {}, settings, progress, team)

        if distributed:
            from .runtime.distributed import with_team

            settings, verdict, estimate = with_team(settings, measured, estimated)
            run = replace(run, seed=settings.seed)
        else:
            verdict = measured(settings)
            estimate = verdict.exact or estimated(settings, verdict, None)
        single = len(estimate.value) == 1
        assert estimate.plan is not None
        check = None
        if verify:
            from .runtime.oracle import verify as verify_estimate

            check = verify_estimate(self.resolved, parameters or {}, data or {}, settings, estimate)
        compiled = Compilation(estimate.compile_seconds or 0.0, estimate.not_compiled) if compile else None
        seconds = time.perf_counter() - started - (compiled.seconds if compiled else 0.0)
        return GradientResult(
            **self._common(run, replace(estimate, seconds=seconds)), compiled=compiled,
            gradient=_unkeyed(estimate.gradient) if single else estimate.gradient,
            biased=estimate.plan.biased, sites=self._reports(estimate.plan, verdict), exact=estimate.exact,
            per_run=estimate.per_run if keep_runs else None, pilot_runs=verdict.runs, tails=estimate.tails,
            check=check,
        )

    def compare(
        self, parameters: Values = None, *, samples: int = DEFAULT_SAMPLES, seed: int | None = None, data: Values = None,
        include: NamesOption = None, steps: Iterable[float] | None = None, unbiased: bool = False, among: NamesOption = None,
        estimator: EstimatorOption = None, tau: float = DEFAULT_TAU, of: NamesOption = None, dtype: Any = "float32",
        device: Any = "cpu", max_steps: int = MAX_STEPS, max_depth: int = MAX_DEPTH, max_lanes: int | None = None,
        keep_runs: bool = False, progress: Progress = None,
    ) -> Comparison:
        """Every estimator that is right here, side by side, with bias, spread and time.

        `include` adds ways that are not: names of estimators to force everywhere, and "finite-differences" at the `steps`.
        `keep_runs` keeps the gradients of single runs for pictures.
        """
        from .comparison import Comparison

        run = run_options(samples, seed, dtype, device, None, max_steps, max_depth, max_lanes)
        self._require_parameters()
        options = plan_options(
            self.resolved, estimator=estimator, unbiased=unbiased, among=among, tau=tau, allow_biased=False, of=of
        )
        self._plan(options)
        started = time.perf_counter()
        from .runtime import compare as runtime

        names = included(include, runtime.INCLUDABLE)
        widths = step_sizes(steps, runtime.STEPS)
        settings = self._settings(run, options.of, keep_runs)
        table = runtime.compare(self._all_plans(), options, parameters or {}, data or {}, settings, names, widths, progress)
        return Comparison(
            self.source.name, run.samples, run.seed, run.dtype, run.device, table, time.perf_counter() - started
        )

    def run(
        self, parameters: Values = None, *, samples: int = DEFAULT_SAMPLES, seed: int | None = None,
        data: Values = None, of: NamesOption = None, target_se: float | None = None,
        max_time: float | None = None, dtype: Any = "float32", device: Any = "cpu",
        max_steps: int = MAX_STEPS, max_depth: int = MAX_DEPTH, progress: Progress = None,
    ) -> RunResult:
        """Sample the program: mean, standard error and draws of the results and of the variables in `of`."""
        begun = time.monotonic()
        run = run_options(samples, seed, dtype, device, target_se, max_steps, max_depth, max_time=max_time)
        names = tuple(name for name in variables(self.resolved, of) if name not in self.results)
        from .runtime import estimate as runtime

        settings = self._settings(run, names, False, begun)
        estimate = runtime.moments_of_run(self.resolved, parameters or {}, data or {}, settings, progress)
        return RunResult(**self._common(run, estimate), draws=estimate.draws)

    def expectation(
        self, parameters: Values = None, *, samples: int = DEFAULT_SAMPLES, seed: int | None = None,
        data: Values = None, estimator: EstimatorOption = None, unbiased: bool = False, among: NamesOption = None,
        tau: float = DEFAULT_TAU, allow_biased: bool = False, of: NamesOption = None, dtype: Any = "float32",
        device: Any = "cpu", max_steps: int = MAX_STEPS, max_depth: int = MAX_DEPTH, max_lanes: int | None = None,
    ) -> Any:
        """The expected result as a torch tensor of the result's shape, a node of the graph that `parameters` are in.

        Its value is an estimate from `samples` runs, and so is its derivative (in float32 tensors, `dtype` is that of the
        runs).  A dict by result where there are several.  Estimators are chosen by order, without measuring: a loss must not
        change its estimator from step to step; and as there is no report, a biased one is taken only when asked for.
        """
        run = run_options(samples, seed, dtype, device, None, max_steps, max_depth, max_lanes)
        options = plan_options(
            self.resolved, estimator=estimator, unbiased=unbiased, among=among, tau=tau, allow_biased=allow_biased, of=of
        )
        from .runtime import estimate as runtime

        options = replace(options, cautious=True)
        settings = self._settings(run, options.of, False)
        return runtime.expectation(self.resolved, self._planner(options), parameters or {}, data or {}, settings)

    def _settings(self, run: RunOptions, of: tuple[str, ...], keep_runs: bool, begun: float | None = None) -> Settings:
        from .runtime.estimate import Settings

        if run.device != "cpu":
            import torch

            if not torch.cuda.is_available():
                raise refuse(f"device `{run.device}` is not there: this torch sees no GPU", "leave --device out, or use cpu")
        return Settings(
            samples=run.samples, seed=run.seed, dtype=run.dtype, device=run.device, target_se=run.target_se, of=of,
            keep_runs=keep_runs, max_steps=run.max_steps, max_depth=run.max_depth, max_lanes=run.max_lanes,
            sampler=run.sampler, deadline=None if run.max_time is None or begun is None else begun + run.max_time,
        )

    def _common(self, run: RunOptions, estimate: Estimate) -> dict[str, Any]:
        names = tuple(estimate.value)
        return {
            "program": self.source.name, "samples": estimate.samples, "requested": run.samples, "seed": run.seed,
            "dtype": run.dtype, "device": run.device, "results": names,
            "value": estimate.value[names[0]] if len(names) == 1 else estimate.value, "seconds": estimate.seconds,
            "interrupted": estimate.interrupted, "out_of_time": estimate.out_of_time, "reached": estimate.reached,
            "target_se": run.target_se, "sampler": run.sampler,
        }

    def _plan(self, options: PlanOptions, lessons: Lessons | None = None) -> Plan:
        return self._all_plans()(options, lessons)

    def _all_plans(self) -> Planner:
        from .dsl.plan import Planner

        if self._plans is None:
            self._plans = Planner(self.resolved)
        return self._plans

    def _planner(self, options: PlanOptions) -> Callable[[Lessons], Plan]:
        return lambda lessons: self._plan(options, lessons)

    def _require_parameters(self) -> None:
        if not self.resolved.parameters:
            raise ProbError(
                Diagnostic(
                    "P0606", "there is nothing to differentiate: the program has no parameters", source=self.source,
                    help="declare one (param theta = 1), or sample the program: probrun run",
                )
            )

    def _reports(self, plan: Plan, verdict: Verdict | None = None) -> tuple[SiteReport, ...]:
        measured = {} if verdict is None else verdict.measured
        return tuple(self._report(plan.choices[site.index], measured.get(site.index, {})) for site in self.resolved.sites)

    def _words(self, span: Span) -> str:
        return " ".join(self.source.slice(span).split())

    def _report(self, choice: Choice, measured: Mapping[str, Measured]) -> SiteReport:
        from .dsl.plan import SUMMARY

        site = choice.site
        line, column = self.source.line_column(site.span.start)
        return SiteReport(
            name=site.name, line=line, column=column, distribution=site.distribution.name, estimator=choice.estimator,
            biased=choice.biased, reason=choice.reason, text=self._words(site.span),
            call=self._words(site.distribution.span),
            summary=SUMMARY[choice.estimator],
            options=choice.options, because=choice.because, rejected=choice.rejected, path=choice.path,
            measured=measured,
        )


def parse(source: str, *, functions: Mapping[str, Function] | None = None, name: str = "<string>") -> Program:
    """The program that a text holds; `name` is what messages call it."""
    return from_source(Source(name, source), functions)


def load(path: str | Path, *, functions: Mapping[str, Function] | None = None) -> Program:
    """The program in a file.  `FileNotFoundError` where there is none, `ProbError` for everything that is wrong in it."""
    return from_source(read_program(path), functions)


def from_source(source: Source, functions: Mapping[str, Function] | None = None) -> Program:
    """Read and resolve."""
    from .dsl.names import External, resolve
    from .dsl.parser import parse as parse_source

    external = {}
    for name, function in (functions or {}).items():
        if not isinstance(function, Function):
            raise refuse(
                f"function `{name}` is a {type(function).__name__}, not a probrun.Function",
                f"functions={{'{name}': probrun.Function({name}, smooth=True)}}",
            )
        external[name] = External(function.call, function.smooth, None)
    return Program(resolve(parse_source(source), external))
