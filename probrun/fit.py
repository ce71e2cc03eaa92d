"""Fits: what `probrun fit` and `Program.fit` take and give, as text, JSON and a picture."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from .display.html import Grid, Part
from .display.shown import Drawable
from .dsl.text.problems import counted
from .layout import WIDTH, capped, index_text, joined, told
from .options import NamesOption, plan_options, refuse, run_options, variables
from .report import compiled_lines
from .weights import spoken

if TYPE_CHECKING:
    import torch

    from .dsl.names.resolve import Resolved
    from .results import Compilation
    from .runtime.fitting.fitted import Fitted, Step

OPTIMIZERS = ("auto", "lbfgs", "adam", "sgd")


@dataclass(frozen=True)
class FittedParameter:
    """A parameter at the end: its `value` `[*shape]`, the standard error `se` `[*shape]` for the noise of the runs (0: exact;
    nan: not known or not fitted), and, where the evidence was maximised, the standard deviation `sd` from its curvature."""

    value: torch.Tensor
    se: torch.Tensor
    sd: torch.Tensor | None = None


@dataclass(frozen=True)
class FitResult(Drawable):
    """The outcome of `Program.fit`.  `value` and `start_value` are (mean, standard error) of the objective at the end and at the
    start, with fresh runs; `history` has an entry for every step."""

    program: str
    objective: str
    maximized: bool
    parameters: Mapping[str, FittedParameter]
    fitted: tuple[str, ...]
    value: tuple[float, float]
    start_value: tuple[float, float]
    slope: tuple[float, float]
    converged: bool
    reason: str
    edges: tuple[str, ...]
    optimizer: str
    exact: bool
    runs: int
    search_runs: int  # of `runs`, on the way
    steps: int
    seconds: float
    seed: int
    interrupted: bool = False
    compiled: Compilation | None = None
    history: tuple[Step, ...] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun fit --json`; `-p @FILE` reads its `parameters`."""
        errors = {name: plain_numbers(self.parameters[name].se) for name in self.fitted}
        deviations = {n: plain_numbers(p.sd) for n, p in self.parameters.items() if p.sd is not None}
        return {
            "program": self.program, "objective": self.objective, "direction": "maximize" if self.maximized else "minimize",
            "parameters": {name: plain_numbers(found.value) for name, found in self.parameters.items()}, "se": errors,
            **({"sd": deviations} if deviations else {}),
            "value": {"mean": self.value[0], "se": self.value[1]}, "start": {"mean": self.start_value[0], "se":
            self.start_value[1]}, "gradient": {"largest": self.slope[0], "se": self.slope[1]}, "converged": self.converged,
            "reason": self.reason, "edges": list(self.edges), "exact": self.exact, "optimizer": self.optimizer, "steps":
            self.steps, "runs": self.runs, "seed": self.seed, "interrupted": self.interrupted, "warnings": [], "seconds":
            round(self.seconds, 6), **({} if self.compiled is None else {"compiled": self.compiled.to_dict()}),
        }


def plain_numbers(tensor: torch.Tensor) -> Any:
    """A tensor as numbers; nan is None."""
    def told(entry: Any) -> Any:
        return [told(part) for part in entry] if isinstance(entry, list) else entry if math.isfinite(entry) else None

    return told(tensor.detach().cpu().double().tolist())


def step_dict(step: Step) -> dict[str, Any]:
    """A line of the history."""
    return {
        "step": step.number, "value": {"mean": step.value, "se": step.error}, "gradient": step.slope, "runs": step.runs,
        "parameters": {name: plain_numbers(value) for name, value in step.parameters.items()}, "seconds": round(step.seconds, 4),
    }


# ------------------------------------------------------------------------------------------------------- asked for
def objective_of(
    resolved: Resolved, minimize: str | bool | None, maximize: str | bool | None, of: NamesOption
) -> tuple[bool, tuple[str, ...]]:
    """Whether to maximise, and the name that is asked for (none: the result)."""
    if minimize and maximize:
        raise refuse("a fit minimises or maximises, not both", "leave one of them out")
    if not minimize and not maximize:
        if resolved.weighted and not resolved.results:
            return True, ("evidence",)
        meant = "evidence" if resolved.weighted else (resolved.results or ("y",))[0]
        hint = f"--minimize, or --maximize --of {meant} (minimize=, maximize=)"
        raise refuse("is the result to be minimised or maximised?", hint)
    wanted = minimize or maximize
    names = of if of is not None else wanted if isinstance(wanted, str) else None
    if isinstance(names, str) and names in resolved.results and names not in resolved.variables:
        raise refuse(f"`{names}` has no name in the program", "give it one: y = ...; return y")
    found = () if names is None or (isinstance(names, str) and resolved.results == (names,)) else variables(resolved, names)
    if len(found) > 1:
        raise refuse("one result is minimised or maximised", f"name one: --of {found[0]}")
    return bool(maximize), found


def moving_names(resolved: Resolved, only: NamesOption) -> tuple[str, ...]:
    """The parameters that are to move."""
    names = () if only is None else tuple(only.replace(" ", "").split(",")) if isinstance(only, str) else tuple(only)
    for name in names:
        if name not in resolved.parameters:
            raise refuse(f"the program has no parameter `{name}`", f"its parameters: {', '.join(resolved.parameters)}")
    return names


def fit_result(program: str, fitted: Fitted, maximized: bool, seed: int, compile: bool) -> FitResult:
    """The result, from what the descent gave."""
    import torch

    from .results import Compilation

    parameters = {}
    for name, value in fitted.parameters.items():
        unknown = torch.full_like(value, math.nan)
        parameters[name] = FittedParameter(value, fitted.errors.get(name, unknown), fitted.deviations.get(name))
    return FitResult(
        program=program, objective=fitted.name, maximized=maximized, parameters=parameters, fitted=fitted.moving,
        value=fitted.end, start_value=fitted.start, slope=fitted.slope, converged=fitted.converged, reason=fitted.reason,
        edges=fitted.edges, optimizer=fitted.optimizer, exact=fitted.exact, runs=fitted.runs,
        search_runs=fitted.search_runs, steps=fitted.steps,
        seconds=fitted.seconds - fitted.compiled[0], seed=seed, interrupted=fitted.interrupted, history=fitted.history,
        compiled=Compilation(*fitted.compiled) if compile else None,
    )


# ------------------------------------------------------------------------------------------------------------ text
def fit_text(result: FitResult, colour: bool = False) -> str:
    """The screen of `probrun fit`."""
    return joined(fit_parts(result), colour)


def fit_parts(result: FitResult) -> list[Part]:
    """Its lines and tables."""
    what = spoken(result.objective) or f"E[{result.objective}]"
    verb = "maximised" if result.maximized else "minimised"
    runs = "exact" if result.exact else counted(result.runs, "run")
    head = f"{result.program}     {what} {verb}     {counted(result.steps, 'step')}    {runs}    seed {result.seed}"
    rows: list[Sequence[str]] = []
    curved = any(found.sd is not None for found in result.parameters.values())
    for name in result.fitted:
        found = result.parameters[name]
        rows += capped(list(_entries(name, found, result.exact, curved)), 3 + curved)
    headers = ("", "fitted", "std. error", *(("sd (curvature)",) if curved else ()))
    ends = (what, _pair(result.start_value), _pair(result.value))
    value = Grid(("", "at the start", "at the end"), [ends], "lrr")
    parts: list[Part] = [head, "", Grid(headers, rows, "l" + "r" * (len(headers) - 1)), "", value, ""]
    state = "converged" if result.converged else "NOT CONVERGED"
    slope = "" if result.exact else f"; the largest slope at the end is {result.slope[0]:.2g} +- {result.slope[1]:.1g}"
    words = f"{state} ({result.optimizer}): {result.reason}{slope}"
    parts += textwrap.wrap(words, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    if result.compiled is not None:
        parts += compiled_lines(result.compiled)
    if not result.converged and not result.interrupted:
        advice = "try more steps (--steps), more runs in each (--samples), another start (-p), or another rate (--rate)"
        parts += textwrap.wrap(advice, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    return parts


def _entries(name: str, found: FittedParameter, exact: bool, curved: bool) -> Iterable[Sequence[str]]:
    for position in positions(found.value):
        value, error = float(found.value[position]), float(found.se[position])
        shown = _pair((value, error)).split(" +- ")
        cell = "exact" if error == 0 and exact else "unknown" if math.isnan(error) else shown[-1]
        more = () if not curved else ("" if found.sd is None else f"{float(found.sd[position]):.3g}",)
        yield (f"{name}{index_text(position)}", shown[0], cell, *more)


def positions(tensor: torch.Tensor) -> Iterable[tuple[int, ...]]:
    """The indices of a tensor's entries, first axis first."""
    return product(*(range(size) for size in tensor.shape))


def _pair(pair: tuple[float, float]) -> str:
    value, error = pair
    if not math.isfinite(error) or error == 0:
        return f"{value:.7g}"
    return " +- ".join(told(value, error))


# ------------------------------------------------------------------------------------------------------ what is done
@dataclass(frozen=True)
class FitWishes:
    """What `Program.fit` was asked for beside the objective; None: it is chosen."""

    only: NamesOption
    steps: int | None
    tolerance: float | None
    samples: float | None
    optimizer: str
    rate: float | None
    seed: float | None
    max_time: float | None
    dtype: Any
    device: Any
    max_steps: float
    max_depth: float
    max_lanes: float | None
    compile: bool


def fitted_program(
    program: Any, parameters: Mapping[str, Any], data: Mapping[str, Any], minimize: str | bool | None, maximize: str | bool | None,
    of: NamesOption, wishes: FitWishes, options: Mapping[str, Any], callback: Callable[[Step], None] | None, progress: Any,
    objective: tuple[bool, tuple[str, ...]] | None = None, errors: bool = True,
) -> FitResult:
    """`Program.fit`; `objective`: whether to maximise, and what, if that is settled;
    `errors`: standard errors are wanted."""
    begun, resolved = time.monotonic(), program.resolved
    program._require_parameters()
    maximized, names = objective_of(resolved, minimize, maximize, of) if objective is None else objective
    if wishes.optimizer not in OPTIMIZERS:
        raise refuse(f"there is no optimizer `{wishes.optimizer}`", f"one of {', '.join(OPTIMIZERS)}")
    first = 1000 if wishes.samples is None else wishes.samples
    run = run_options(
        first, wishes.seed, wishes.dtype, wishes.device, None, wishes.max_steps, wishes.max_depth, wishes.max_lanes, wishes.max_time
    )
    planned = replace(plan_options(resolved, **options, allow_biased=False, of=None), of=names)
    moving = moving_names(resolved, wishes.only)
    from .dsl.names.strangers import refuse_unknown

    refuse_unknown(resolved, parameters, data)
    program._plan(planned)  # a refusal must not wait for torch
    from .runtime.fitting.fitted import FitOptions, fit

    until = None if run.max_time is None else begun + run.max_time
    settings = replace(program._settings(run, names, False, strict=run.strict, compile=wishes.compile), until=until)
    samples = None if wishes.samples is None else run.samples
    wanted = FitOptions(
        -1.0 if maximized else 1.0, moving, wishes.steps, wishes.tolerance, samples, wishes.optimizer, wishes.rate, errors
    )
    phase = getattr(progress, "phase", lambda words: None)

    def watch(step: Step) -> None:
        if progress is not None:
            phase(f"step {step.number}: {step.value:.6g}, slope {step.slope:.2g}, {step.runs} runs")
        if callback is not None:
            callback(step)

    found = fit(program._all_plans(), planned, parameters, data, settings, wanted, phase, watch)
    return fit_result(resolved.program.source.name, found, maximized, run.seed, wishes.compile)
