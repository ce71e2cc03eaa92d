"""Variational inference: what `probrun vi` and `Program.vi` give, as text, JSON and for ArviZ."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .display.html import Grid, Part
from .display.shown import WithDraws
from .dsl.names.strangers import refuse_unknown
from .dsl.syntax import Sample
from .dsl.tables.constants import BOUND
from .dsl.text.problems import counted
from .fit import FitResult, FitWishes, fitted_program, moving_names, positions
from .layout import WIDTH, capped, decimals_for, index_text, joined
from .layout import fixed as shown_with
from .options import DEFAULT_TAU, as_whole, refuse, run_options
from .report import compiled_lines
from .results import RunResult
from .weights import weight_doubts

if TYPE_CHECKING:
    import torch

    from .dsl.names.resolved import Resolved
    from .runtime.estimates.doubts import Doubt
    from .runtime.fitting.fitted import Step

LEVELS = (5, 50, 95)
GUIDES = ("normal", "full")


@dataclass(frozen=True)
class VariationalResult(WithDraws):
    """The outcome of `Program.vi`: the `fit` of the guide, and the `posterior`, whose draws are those of the fitted guide, weighed
    by p / q (importance sampling; Yao et al. 2018 judge the guide by the Pareto k of these weights)."""

    guide: str
    fit: FitResult
    posterior: RunResult
    guided: tuple[str, ...]
    own: tuple[str, ...] = field(default=())  # parameters of the program that moved

    @property
    def elbo(self) -> tuple[float, float]:
        """The evidence lower bound at the end, and its standard error."""
        return self.fit.value

    @property
    def converged(self) -> bool:
        """Whether the fit did."""
        return self.fit.converged

    @property
    def pareto_k(self) -> float:
        """Of the weights: above 0.7 the guide is too far from the posterior."""
        return self.posterior.pareto_k

    @property
    def warnings(self) -> tuple[Doubt, ...]:
        """Why the posterior is not to be trusted."""
        return weight_doubts(self.posterior.weights, self.posterior.samples, True)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun vi --json`."""
        found = self.posterior.to_dict()
        values = dict.fromkeys(self.posterior.results, found["value"]) if len(self.posterior.results) == 1 else found["value"]
        return {
            **self.fit.to_dict(), "guide": self.guide, "elbo": {"mean": self.elbo[0], "se": self.elbo[1]},
            "posterior": values, **{key: found[key] for key in ("evidence", "ess", "pareto_k")},
            "warnings": [doubt.to_dict() for doubt in self.warnings],
        }


def vi_text(result: VariationalResult, colour: bool = False) -> str:
    """The screen of `probrun vi`."""
    return joined(vi_parts(result), colour)


def vi_parts(result: VariationalResult) -> list[Part]:
    """Its lines and tables."""
    posterior, fit = result.posterior, result.fit
    work = f"{counted(fit.steps, 'step')}    {counted(fit.runs, 'run')}"
    head = f"{fit.program}     guide {result.guide}     {work}    seed {fit.seed}"
    rows: list[Sequence[str]] = []
    for name, moments in posterior.values.items():
        quantiles = posterior.quantiles(name, LEVELS) if name in posterior.draws else {}
        shown = []
        for place in positions(moments.mean):
            mean, error, sd = (float(part[place]) for part in (moments.mean, moments.se, moments.sd))
            decimals = decimals_for(error) if math.isfinite(error) and error > 0 else 6
            levels = [f"{float(quantiles[f'{level:g}'][place]):.4g}" if quantiles else "" for level in LEVELS]
            cells = shown_with(mean, decimals), shown_with(error, decimals), f"{sd:.4g}"
            shown.append((f"{name}{index_text(place)}", *cells, *levels))
        rows += capped(list(shown), 4 + len(LEVELS))
    headers = ("", "mean", "std. error", "sd", *(f"{level} %" for level in LEVELS))
    parts: list[Part] = [head, "", Grid(headers, rows, "l" + "r" * (len(headers) - 1)), ""]
    if result.own:
        named = (f"{name} = {_short(fit.parameters[name].value)}" for name in result.own)
        parts += textwrap.wrap("parameters: " + "; ".join(named), WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    evidence = posterior.evidence
    bound = f"ELBO {shown_with(*_digits(result.elbo))}"
    weighed = "" if evidence is None else f"; log evidence {shown_with(*_digits((float(evidence.mean), float(evidence.se))))}"
    tail = "" if not math.isfinite(result.pareto_k) else f"; Pareto k {result.pareto_k:.2f}"
    size = posterior.effective
    worth = f"; effective sample size {size:.0f} of {posterior.samples} draws" if math.isfinite(size) else ""
    parts += textwrap.wrap(bound + weighed + tail + worth, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    state = "converged" if fit.converged else "NOT CONVERGED"
    parts += textwrap.wrap(f"{state} ({fit.optimizer}): {fit.reason}", WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    if fit.compiled is not None:
        parts += compiled_lines(fit.compiled)
    for doubt in result.warnings:
        parts += ["", *textwrap.wrap(f"{doubt.code}: {doubt.message}", WIDTH - 2, initial_indent="  ", subsequent_indent="  ")]
    return parts


def _digits(pair: tuple[float, float]) -> tuple[float, int]:
    value, error = pair
    return value, decimals_for(error) if math.isfinite(error) and error > 0 else 6


def _short(tensor: torch.Tensor) -> str:
    if tensor.dim() == 0:
        return f"{float(tensor):.5g}"
    flat = [f"{float(entry):.4g}" for entry in tensor.reshape(-1)[:4]]
    return f"[{', '.join(flat)}{', ...' if tensor.numel() > 4 else ''}]"


# ------------------------------------------------------------------------------------------------------ what is done
def inferred_program(
    program: Any, make: Callable[[Resolved], Any], parameters: Mapping[str, Any], data: Mapping[str, Any], guide: str, fixed: bool,
    draws: float, wishes: FitWishes, callback: Callable[[Step], None] | None, progress: Any,
) -> VariationalResult:
    """`Program.vi`; `make` makes a program of what is resolved."""
    resolved = program.resolved
    if guide not in GUIDES:
        raise refuse(f"there is no guide `{guide}`", f"one of {', '.join(GUIDES)}")
    if not resolved.weighted:
        raise refuse("the program observes nothing: there is no posterior", "observe something, such as: observe y ~ Normal(x, 1)")
    if (count := as_whole(draws)) is None or count < 1:
        raise refuse("`draws` must be a whole number, at least 1", "draws=20000")
    own = () if fixed else moving_names(resolved, wishes.only) or tuple(resolved.parameters)
    run = run_options(1000, wishes.seed, None, "cpu", None, wishes.max_steps, wishes.max_depth)
    refuse_unknown(resolved, parameters, data)
    from .runtime.fitting.variational import guiding

    made = guiding(resolved, parameters, data, program._settings(run, (), False), guide == "full")
    inner = make(made.program)
    start = {**made.start, **parameters}
    if not made.start and not own:
        raise refuse("there is nothing to fit: no continuous draw is without `via`", "sample the posterior: probrun run")
    wanted = replace(wishes, only=(*made.start, *own), seed=run.seed)
    options = {"estimator": None, "unbiased": True, "among": None, "tau": DEFAULT_TAU}
    fit = fitted_program(inner, start, data, None, None, None, wanted, options, callback, progress, (True, (BOUND,)), False)
    values = {name: found.value for name, found in fit.parameters.items()}
    names = dict.fromkeys(site.node.shown if hasattr(site.node, "shown") else site.node.name for site in resolved.sites
                          if site.function is None and isinstance(site.node, Sample))
    asked = tuple(name for name in names if name in resolved.settled and name not in resolved.results)
    posterior = inner.run(values, data=data, samples=count, seed=run.seed + 1, of=asked or None, max_steps=wishes.max_steps,
                          max_depth=wishes.max_depth)
    return VariationalResult(guide, fit, posterior, tuple(site.name for site in made.sites), own)
