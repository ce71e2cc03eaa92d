"""probrun from Python: a program is loaded once, then differentiated, run, explained or put inside a torch program.

The work is done by `dsl` (read, plan) and by `runtime` (run), which is imported only inside the methods that run
something, because torch takes a second; what they give is in `results`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .dsl.tables.limits import MAX_DEPTH, MAX_STEPS
from .dsl.text.diagnostics import Diagnostic, ProbError
from .dsl.text.source import Source, Span
from .options import (
    DEFAULT_SAMPLES,
    DEFAULT_TAU,
    EstimatorOption,
    Function,
    NamesOption,
    RunOptions,
    included,
    plan_options,
    refuse,
    run_options,
    sharing,
    step_sizes,
    suggesting,
    variables,
    wishes_text,
)
from .progress import phase_of
from .reading import Value, read_program, resolved_with

if TYPE_CHECKING:
    from .comparison import Comparison
    from .dsl.names.resolve import Resolved
    from .dsl.planning.chooser import Planner
    from .dsl.planning.crowding import Crowding
    from .dsl.planning.plan import Lessons, Plan, PlanOptions
    from .fit import FitResult
    from .report import Explanation
    from .results import GradientResult, RunResult
    from .runtime.blocks.settings import Settings
    from .runtime.fitting.fitted import Step
    from .vi import VariationalResult

Values: TypeAlias = Mapping[str, Value] | None
Progress: TypeAlias = Callable[[int, int], None] | None


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

    @suggesting
    def explain(
        self, parameters: Values = None, *, samples: int = DEFAULT_SAMPLES, data: Values = None,
        estimator: EstimatorOption = None, unbiased: bool = False, among: NamesOption = None, tau: float = DEFAULT_TAU,
        allow_biased: bool = False, of: NamesOption = None, max_lanes: int | None = None, pilot: bool | None = None,
    ) -> Explanation:
        """The choice that `grad` makes at each sampling site and why, or what it measures; runs nothing and loads no torch.

        Parameters and data tell how many outcomes there are.  `among` of a site has every estimator that it may get; where they
        are several, `estimator` is the one that is taken without measuring.
        """
        run = run_options(samples, 0, "float32", "cpu", None, max_lanes=max_lanes)
        options = plan_options(
            self.resolved, estimator=estimator, unbiased=unbiased, among=among, tau=tau, allow_biased=allow_biased, of=of
        )
        from .dsl.names.strangers import refuse_unknown
        from .dsl.planning.forecast import forecast
        from .report import Explanation, foreseen_reports

        refuse_unknown(self.resolved, parameters or {}, data or {})
        piloted = (among is None) if pilot is None else pilot
        crowding = self._crowding(parameters, data, run, options.of)
        sites = foreseen_reports(self.resolved, forecast(crowding, options, piloted))
        return Explanation.of(sites, len(self.parameters))

    @suggesting
    def grad(
        self, parameters: Values = None, *, samples: float = DEFAULT_SAMPLES, seed: float | None = None,
        data: Values = None, estimator: EstimatorOption = None, unbiased: bool = False, among: NamesOption = None,
        target_se: float | None = None, max_time: float | None = None, tau: float = DEFAULT_TAU, allow_biased: bool = False,
        of: NamesOption = None, dtype: Any = None, device: Any = "cpu", max_steps: float = MAX_STEPS,
        max_depth: float = MAX_DEPTH, max_lanes: float | None = None, pilot: bool | None = None, verify: bool = False,
        keep_runs: bool = False, distributed: bool = False, sampler: str = "random", compile: bool = False,
        cross_check: bool = False, saving: bool = False, shard: tuple[int, int] = (1, 1), progress: Progress = None,
    ) -> GradientResult:
        """The gradient of the expected result in every parameter, with standard errors.

        The keyword arguments are the options of the command line.  `pilot`: whether estimators are chosen by measuring; None:
        unless `among` is given.  `verify` holds the result against an independent oracle (`check`).  `keep_runs` keeps the
        gradients of single runs (`per_run`), `progress` is called with (runs made, runs asked for), its method `phase`, if it has
        one, with words for what begins.  `distributed`: the runs are shared by the processes of torch.distributed (`torchrun`);
        every one gets the result of all.  `sampler="sobol"`: scrambled Sobol points (Owen 1997), where every run draws the same
        numbers in the same order.  `compile`: torch.compile makes blocks of runs into a few loops in C++ (seconds, once per
        program, plan and size); where it cannot, `compiled.reason` says why.  `dtype`: None is float32, and float64 where that
        rounds so much that it shows; what is given is kept, and `rounded` says what it does.  `cross_check`: a score is held
        against draws by `rsample` without a pilot too.
        """
        begun = time.monotonic()
        piloted, given = (among is None) if pilot is None else bool(pilot), (parameters or {}, data or {})
        more = piloted, verify, keep_runs, distributed, cross_check, saving, shard != (1, 1), sampler != "random"
        plain = not any(more) and (progress, target_se, max_time) == (None, None, None)
        choice: dict[str, Any] = {
            "estimator": estimator, "unbiased": unbiased, "among": among, "tau": tau, "allow_biased": allow_biased, "of": of,
        }
        limits = samples, max_steps, max_depth, max_lanes
        alike = wishes_text(choice, compile, dtype and str(dtype), str(device), limits) if plain else None
        calls = self.resolved.prepared.get("calls", alike, None)
        if calls is not None and (again := calls.taken(*given, seed)) is not None:
            return again
        run = run_options(samples, seed, dtype, device, target_se, max_steps, max_depth, max_lanes, max_time, sampler)
        self._require_parameters()
        options = plan_options(self.resolved, **choice)
        self._plan(options)  # a refusal must not wait for torch
        from . import results
        from .runtime.estimates.answer import checked_answer, set_aside
        from .runtime.steps.gradients import GradientCalls
        started = time.perf_counter()
        settings = self._settings(run, options.of, keep_runs, begun, compile=compile, **sharing(run, saving, shard))
        verdict, estimate, check, unverified, sides = checked_answer(
            self._all_plans(), options, *given, settings, begun, verify, piloted, distributed, cross_check, progress,
            phase_of(progress),
        )
        seconds, aside = time.perf_counter() - started, set_aside(self.resolved, estimate.plan, options)
        report = partial(results.gradient_result, self.resolved, run, options.of, aside, verdict, compile=bool(compile))
        if alike is not None and estimate.replay is not None:
            self.resolved.prepared.once("calls", alike, GradientCalls).learn(estimate, *given, report)
        return report(estimate, seconds, sides, check=check, unverified=unverified)

    @suggesting
    def compare(
        self, parameters: Values = None, *, samples: float = DEFAULT_SAMPLES, seed: float | None = None, data: Values = None,
        include: NamesOption = None, steps: Iterable[float] | None = None, unbiased: bool = False, among: NamesOption = None,
        estimator: EstimatorOption = None, tau: float = DEFAULT_TAU, of: NamesOption = None, dtype: Any = None,
        device: Any = "cpu", max_steps: float = MAX_STEPS, max_depth: float = MAX_DEPTH, max_lanes: float | None = None,
        keep_runs: bool = False, max_time: float | None = None, progress: Progress = None,
    ) -> Comparison:
        """Every estimator that is right here, side by side, with bias, spread and time.

        `include` adds ways that are not: names of estimators to force everywhere, and "finite-differences" at the `steps`.
        `keep_runs` keeps the gradients of single runs for pictures.  `max_time` is shared by the rows.
        """
        from .comparison import Comparison

        begun = time.monotonic()
        run = run_options(samples, seed, dtype, device, None, max_steps, max_depth, max_lanes, max_time)
        self._require_parameters()
        options = plan_options(
            self.resolved, estimator=estimator, unbiased=unbiased, among=among, tau=tau, allow_biased=False, of=of
        )
        self._plan(options)
        started = time.perf_counter()
        from .runtime.estimates import compare as runtime
        from .runtime.estimates.checking import sides_of
        from .runtime.estimates.sides import whole_numbers

        names = included(include, runtime.INCLUDABLE)
        widths = step_sizes(steps, runtime.STEPS)
        settings = self._settings(run, options.of, keep_runs, begun)
        table = runtime.compare(
            self._all_plans(), options, parameters or {}, data or {}, settings, names, widths, progress, phase_of(progress)
        )
        sides = sides_of(
            self.resolved, parameters or {}, data or {}, settings, table.kinks, table.turns, table.interrupted,
            table.rows[0].gradient,
        )
        return Comparison(
            self.source.name, run.samples, run.seed, table.dtype, run.device, table, time.perf_counter() - started,
            self._places((*table.kinks, *(table.turns if sides else ()))), sides, whole_numbers(self.resolved, table.counted),
        )

    @suggesting
    def run(
        self, parameters: Values = None, *, samples: float = DEFAULT_SAMPLES, seed: float | None = None,
        data: Values = None, of: NamesOption = None, target_se: float | None = None,
        max_time: float | None = None, dtype: Any = None, device: Any = "cpu",
        max_steps: float = MAX_STEPS, max_depth: float = MAX_DEPTH, saving: bool = False, shard: tuple[int, int] = (1, 1),
        progress: Progress = None,
    ) -> RunResult:
        """Sample the program: mean, standard error and draws of the results and of the variables in `of`."""
        begun = time.monotonic()
        run = run_options(samples, seed, dtype, device, target_se, max_steps, max_depth, max_time=max_time)
        names = tuple(name for name in variables(self.resolved, of) if name not in self.results)
        from . import results
        from .runtime.estimates import estimate as runtime

        settings = self._settings(run, names, False, begun, **sharing(run, saving, shard))
        estimate = runtime.moments_of_run(self.resolved, parameters or {}, data or {}, settings, progress)
        return results.RunResult(**results.common_fields(self.resolved, run, estimate, names), draws=estimate.draws)

    @suggesting
    def expectation(
        self, parameters: Values = None, *, samples: float = DEFAULT_SAMPLES, seed: float | None = None,
        data: Values = None, estimator: EstimatorOption = None, unbiased: bool = False, among: NamesOption = None,
        tau: float = DEFAULT_TAU, allow_biased: bool = False, of: NamesOption = None, dtype: Any = None,
        device: Any = "cpu", max_steps: float = MAX_STEPS, max_depth: float = MAX_DEPTH, max_lanes: float | None = None,
        compile: bool = False,
    ) -> Any:
        """The expected result as a torch tensor of the result's shape, a node of the graph that `parameters` are in.

        Its value is an estimate from `samples` runs, and so is its derivative (in float32 tensors, `dtype` is that of the
        runs).  A dict by result where there are several.  Estimators are chosen by order, without measuring: a loss must not
        change its estimator from step to step; and as there is no report, a biased one is taken only when asked for.

        Calls that are alike are replayed after a few of them.  `compile` leaves that to torch's compiler, at the first (some
        seconds), with both sides of random branches; what cannot be compiled is said in a warning.
        """
        from .runtime.steps.expectation import Wish
        from .runtime.steps.step import stepped

        choice: dict[str, Any] = {
            "estimator": estimator, "unbiased": unbiased, "among": among, "tau": tau, "allow_biased": allow_biased, "of": of,
        }

        def wish(seed: float | None) -> Wish:
            run = run_options(samples, seed, dtype, device, None, max_steps, max_depth, max_lanes)
            options = replace(plan_options(self.resolved, **choice), cautious=True)
            planner = self._crowding(parameters, data, run, options.of).planner(options)
            return Wish(self.resolved, planner, parameters or {}, data or {}, self._settings(run, options.of, False))

        wishes = wishes_text(choice, samples, dtype and str(dtype), str(device), max_steps, max_depth, max_lanes)
        return stepped(self.resolved, wishes, bool(compile), parameters or {}, data or {}, seed, wish)

    @suggesting
    def fit(
        self, parameters: Values = None, *, minimize: str | bool | None = None, maximize: str | bool | None = None,
        of: NamesOption = None, data: Values = None, only: NamesOption = None, steps: int | None = None,
        tolerance: float | None = None, samples: float | None = None, optimizer: str = "auto", rate: float | None = None,
        seed: float | None = None, max_time: float | None = None, estimator: EstimatorOption = None, unbiased: bool = True,
        among: NamesOption = None, tau: float = DEFAULT_TAU, dtype: Any = None, device: Any = "cpu", max_steps: float = MAX_STEPS,
        max_depth: float = MAX_DEPTH, max_lanes: float | None = None, compile: bool = False,
        callback: Callable[[Step], None] | None = None, progress: Progress = None,
    ) -> FitResult:
        """The parameters that minimise or maximise an expectation, from `parameters` on.

        `minimize` or `maximize` is True, or the name of a result, a variable, "evidence" or "elbo".  `only` names the parameters
        that move.  Each moves in the unbounded coordinates of its domain.  `optimizer` "auto" takes L-BFGS where the runs of one
        seed make a function (exact answers, pathwise derivatives), else Adam with averaged iterates, and runs that are doubled
        when iterates stand still within their noise.  `samples`: runs of a step (of L-BFGS 1000, then 10,000; of Adam 200 at
        the beginning).
        `steps`, `tolerance`, `rate`: of the optimizer.  `callback` is called with every `Step`.  Biased estimators are not used
        unless `unbiased` is False.  `compile`: steps are compiled, once for each number of runs (some seconds).
        """
        from .fit import FitWishes, fitted_program

        given = FitWishes(
            only, steps, tolerance, samples, optimizer, rate, seed, max_time, dtype, device, max_steps, max_depth, max_lanes,
            compile,
        )
        options = {"estimator": estimator, "unbiased": unbiased, "among": among, "tau": tau}
        return fitted_program(self, parameters or {}, data or {}, minimize, maximize, of, given, options, callback, progress)

    @suggesting
    def vi(
        self, parameters: Values = None, *, guide: str = "normal", data: Values = None, only: NamesOption = None,
        fixed: bool = False, steps: int | None = None, tolerance: float | None = None, samples: float | None = None,
        draws: float = 20_000, optimizer: str = "auto", rate: float | None = None, seed: float | None = None,
        max_time: float | None = None, max_steps: float = MAX_STEPS, max_depth: float = MAX_DEPTH, max_lanes: float | None = None,
        compile: bool = False,
        callback: Callable[[Step], None] | None = None, progress: Progress = None,
    ) -> VariationalResult:
        """Variational inference: the posterior of what the program draws, by a guide that is made by itself.

        Every continuous draw without `via` gets a normal distribution in the unbounded coordinates of its support: each its own
        (`guide` "normal"), or all one with a covariance ("full"); discrete ones are summed out where that can be.  The guide is
        fitted by `fit` to the ELBO, and with it the program's own parameters (`only` some, none with `fixed`).  The posterior is
        that of `draws` from the fitted guide, weighed by p / q.  `compile` as in `fit`.
        """
        from .fit import FitWishes
        from .vi import inferred_program

        given = FitWishes(
            only, steps, tolerance, samples, optimizer, rate, seed, max_time, None, "cpu", max_steps, max_depth, max_lanes, compile,
        )
        return inferred_program(self, Program, parameters or {}, data or {}, guide, fixed, draws, given, callback, progress)

    def sweep(
        self, points: Mapping[str, Iterable[float]] | Sequence[Mapping[str, float]], parameters: Values = None, *,
        data: Values = None, common: bool = False, progress: Progress = None, **options: Any,
    ) -> list[Any]:
        """The gradient at many points: values by name, all combined, or a dict for each point.

        `common`: the runs of all points draw the same random numbers.  Estimators are chosen once, by measuring, and every point
        is planned for itself; each is a `SweptPoint`, with its `result` or `problem`.  `options` are those of `grad`.
        """
        found: list[Any] = import_module(".many.sweep", __package__).swept(
            self, points, parameters, data, common, progress=progress, **options
        )
        return found

    def _settings(
        self, run: RunOptions, of: tuple[str, ...], keep_runs: bool, begun: float | None = None, **more: Any
    ) -> Settings:
        from .runtime.blocks.settings import Settings

        if run.device != "cpu":
            import torch

            if not torch.cuda.is_available():
                raise refuse(f"device `{run.device}` is not there: this torch sees no GPU", "leave --device out, or use cpu")
        return Settings(
            samples=run.samples, seed=run.seed, dtype=run.dtype, device=run.device, target_se=run.target_se, of=of,
            keep_runs=keep_runs, max_steps=run.max_steps, max_depth=run.max_depth, max_lanes=run.max_lanes,
            sampler=run.sampler, deadline=None if run.max_time is None or begun is None else begun + run.max_time, **more,
        )

    def _plan(self, options: PlanOptions, lessons: Lessons | None = None) -> Plan:
        return self._all_plans()(options, lessons)

    def _all_plans(self) -> Planner:
        if self._plans is None:
            from .dsl.planning.chooser import Planner

            self._plans = Planner(self.resolved)
        return self._plans

    def _places(self, spans: Iterable[Span]) -> tuple[tuple[int, str], ...]:
        return self.resolved.program.source.places(spans)

    def _crowding(self, parameters: Values, data: Values, run: RunOptions, of: tuple[str, ...]) -> Crowding:
        from .dsl.planning.crowding import Crowding

        return Crowding(self._all_plans(), parameters or {}, data or {}, run.samples, run.max_lanes, of)

    def _require_parameters(self) -> None:
        if not self.resolved.parameters:
            raise ProbError(Diagnostic(
                "P0606", "there is nothing to differentiate: the program has no parameters", source=self.source,
                help="declare one (param theta = 1), or sample the program: probrun run",
            ))


def parse(source: str, *, functions: Mapping[str, Function] | None = None, name: str = "<string>") -> Program:
    """The program that a text holds; `name` is what messages call it."""
    return _warned(from_source(Source(name, source), functions))


def load(path: str | Path, *, functions: Mapping[str, Function] | None = None) -> Program:
    """The program in a file.  `FileNotFoundError` where there is none, `ProbError` for everything that is wrong in it."""
    return _warned(from_source(read_program(path), functions))


def _warned(program: Program) -> Program:
    """Say to whom calls `parse` or `load` why reading is slow, if it is."""
    from .grammar import take_complaint

    if complaint := take_complaint():
        warnings.warn(complaint, stacklevel=3)
    return program


def from_source(source: Source, functions: Mapping[str, Function] | None = None) -> Program:
    """Read and resolve."""
    from .dsl.reading.parser import parse as parse_source

    return Program(resolved_with(parse_source(source), functions or {}))
