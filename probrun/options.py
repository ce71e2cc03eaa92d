"""The options of the command line and of Python, checked and in the form that the rooms behind expect."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from .dsl.syntax import EstimatorCall
from .dsl.tables.limits import MAX_DEPTH, MAX_STEPS
from .dsl.text.diagnostics import Diagnostic, ProbError

if TYPE_CHECKING:
    from .dsl.names.resolve import Resolved
    from .dsl.planning.plan import PlanOptions

EstimatorOption: TypeAlias = str | Mapping[str, str] | Sequence[tuple[str | None, str]] | None
NamesOption: TypeAlias = str | Iterable[str] | None

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "cuda")
SAMPLERS = ("random", "sobol")
DEFAULT_SAMPLES = 10_000
DEFAULT_TAU = 0.5
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class RunOptions:
    """How to run: everything but the choice of estimators."""

    samples: int
    seed: int
    dtype: str
    device: str
    target_se: float | None
    max_steps: int
    max_depth: int
    max_lanes: int | None
    max_time: float | None = None
    sampler: str = "random"


def refuse(message: str, hint: str | None = None) -> ProbError:
    """The error for an option's value that makes no sense (P0604)."""
    return ProbError(Diagnostic("P0604", message, help=hint))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`."""
    found = get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def run_options(
    samples: int, seed: int | None, dtype: Any, device: Any, target_se: float | None,
    max_steps: int = MAX_STEPS, max_depth: int = MAX_DEPTH, max_lanes: int | None = None, max_time: float | None = None,
    sampler: str = "random",
) -> RunOptions:
    """Checked run options; a missing seed is drawn from the system."""
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise refuse(f"`samples` must be a whole number, at least 1, but is {samples!r}")
    if seed is None:
        seed = secrets.randbelow(2**31)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise refuse(f"`seed` must be a whole number from 0 to 2^63 - 1, but is {seed!r}")
    dtype_name = str(dtype).removeprefix("torch.")
    if dtype_name not in DTYPES:
        raise refuse(f"`dtype` must be float32 or float64, but is `{dtype_name}`")
    if str(device).split(":")[0] not in DEVICES:
        raise refuse(f"`device` must be cpu or cuda, but is `{device}`")
    if target_se is not None and not (_is_number(target_se) and 0 < target_se < math.inf):
        raise refuse(f"`target_se` must be a positive number, but is {target_se!r}")
    if sampler not in SAMPLERS:
        raise refuse(f"`sampler` must be random or sobol, but is {sampler!r}")
    if sampler == "sobol" and target_se is not None:
        raise refuse("`target_se` cannot be used with the Sobol sampler", "its points are made for a given number of runs")
    if max_time is not None and not (_is_number(max_time) and 0 < max_time < math.inf):
        raise refuse(f"`max_time` must be a positive number of seconds, but is {max_time!r}")
    for name, limit in (("max_steps", max_steps), ("max_depth", max_depth), ("max_lanes", max_lanes)):
        if name == "max_lanes" and limit is None:
            continue
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise refuse(f"`{name}` must be a whole number, at least 1, but is {limit!r}")
    target = None if target_se is None else float(target_se)
    return RunOptions(samples, seed, dtype_name, str(device), target, max_steps, max_depth, max_lanes, max_time, sampler)


def plan_options(
    resolved: Resolved, *, estimator: EstimatorOption, unbiased: bool, among: NamesOption, tau: float,
    allow_biased: bool, of: NamesOption,
) -> PlanOptions:
    """Checked options of the choice of estimators."""
    from .dsl.planning.plan import PlanOptions

    if not (_is_number(tau) and 0 < tau < math.inf):
        raise refuse(f"`tau` must be a positive number, but is {tau!r}")
    names = None if among is None else frozenset(_names(among))
    if names is not None:
        _check_estimators(names)
    return PlanOptions(
        estimator=_estimators(estimator), unbiased=bool(unbiased), among=names,
        allow_biased=bool(allow_biased), tau=float(tau), of=variables(resolved, of),
    )


def included(value: NamesOption, known: Sequence[str]) -> tuple[str, ...]:
    """The names of `--include`."""
    names = () if value is None else _names(value)
    for name in names:
        if name not in known:
            close = nearest(name, known)
            raise refuse(
                f"`include` knows {', '.join(known)}, but not `{name}`", f"did you mean `{close}`?" if close else None
            )
    return names


def step_sizes(value: Iterable[float] | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Steps of finite differences."""
    steps = default if value is None else tuple(value)
    for step in steps:
        if not (_is_number(step) and 0 < step < math.inf):
            raise refuse(f"`steps` must be positive numbers, but one is {step!r}")
    return steps


def split_estimator(text: str) -> tuple[str | None, str]:
    """`site=name(args)` or `name(args)` of the command line: the site (None for all) and the rest."""
    match = re.match(r"\s*([^\s=()]+)\s*=\s*(.*)$", text, re.DOTALL)
    if match is None:
        return None, text.strip()
    return match[1], match[2].strip()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _check_estimators(names: Iterable[str]) -> None:
    from .dsl.tables.estimators import ESTIMATORS

    for name in sorted(names):
        if name not in ESTIMATORS:
            close = nearest(name, ESTIMATORS)
            known = ", ".join(ESTIMATORS)
            raise ProbError(
                Diagnostic(
                    "P0401", f"there is no estimator `{name}`", notes=(f"the estimators are {known}",),
                    help=f"did you mean `{close}`?" if close else "probrun help estimators",
                )
            )


def _estimators(option: EstimatorOption) -> tuple[tuple[str | None, EstimatorCall], ...]:
    from .dsl.reading.parser import parse_estimator

    pairs: list[tuple[str | None, str]]
    if option is None:
        pairs = []
    elif isinstance(option, str):
        pairs = [(None, option)]
    elif isinstance(option, Mapping):
        pairs = list(option.items())
    else:
        pairs = list(option)
    return tuple((site, parse_estimator(text)) for site, text in pairs)


def variables(resolved: Resolved, of: NamesOption) -> tuple[str, ...]:
    """The names of `--of`, each a variable of the program (P0607)."""
    names = () if of is None else _names(of)
    for name in names:
        if name not in resolved.variables:
            close = nearest(name, resolved.variables)
            listed = ", ".join(sorted(resolved.variables)[:12])
            raise ProbError(
                Diagnostic(
                    "P0607", f"there is no variable `{name}`", source=resolved.program.source,
                    notes=(f"variables of the program: {listed or 'none'}",),
                    help=f"did you mean `{close}`?" if close else None,
                )
            )
    return names
