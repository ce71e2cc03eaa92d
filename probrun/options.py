"""The options of the command line and of Python, checked and in the form that the rooms behind expect."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar

from .dsl.names.asked import copies_of
from .dsl.syntax import EstimatorCall
from .dsl.tables.constants import ELBO, EVIDENCE, IWAE
from .dsl.tables.limits import MAX_DEPTH, MAX_STEPS
from .dsl.text.closeness import nearest
from .dsl.text.diagnostics import Diagnostic, ProbError
from .runtime.blocks.ranks import world_size

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


# Numbers as people give them: `1e6`, a NumPy integer and a tensor without axes are whole numbers, `2.5` is not.
def plain(value: Any) -> Any:
    """What a NumPy scalar, or an array or tensor without axes, holds; everything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def as_whole(value: Any) -> int | None:
    """The whole number that a value is, or None where it is none (`True` and text are none)."""
    if type(value) is int:
        return value
    value = plain(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None


def as_number(value: Any) -> float | None:
    """The number that a value is, or None where it is none."""
    value = plain(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None


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
    strict: bool = False  # the dtype was asked for


def refuse(message: str, hint: str | None = None) -> ProbError:
    """The error for an option's value that makes no sense (P0604)."""
    return ProbError(Diagnostic("P0604", message, help=hint))


def run_options(
    samples: float, seed: float | None, dtype: Any, device: Any, target_se: float | None,
    max_steps: float = MAX_STEPS, max_depth: float = MAX_DEPTH, max_lanes: float | None = None,
    max_time: float | None = None, sampler: str = "random",
) -> RunOptions:
    """Checked run options; a missing seed is drawn from the system."""
    runs = _whole("samples", samples, "a whole number, at least 1", 1)
    allowed = "a whole number from 0 to 2^63 - 1"
    number = int.from_bytes(os.urandom(4)) >> 1 if seed is None else _whole("seed", seed, allowed, 0, LARGEST_SEED)
    dtype_name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if dtype_name not in DTYPES:
        raise refuse(f"`dtype` must be float32 or float64, but is `{dtype_name}`")
    if str(device).split(":")[0] not in DEVICES:
        raise refuse(f"`device` must be cpu or cuda, but is `{device}`")
    target = None if target_se is None else _positive("target_se", target_se, "a positive number")
    if sampler not in SAMPLERS:
        raise refuse(f"`sampler` must be random or sobol, but is {sampler!r}")
    if sampler == "sobol" and target_se is not None:
        raise refuse("`target_se` cannot be used with the Sobol sampler", "its points are made for a given number of runs")
    return RunOptions(
        runs, number, dtype_name, str(device), target, _limit("max_steps", max_steps), _limit("max_depth", max_depth),
        None if max_lanes is None else _limit("max_lanes", max_lanes),
        None if max_time is None else _positive("max_time", max_time, "a positive number of seconds"), sampler, dtype is not None,
    )


def sharing(run: RunOptions, saving: bool, shard: tuple[int, int]) -> dict[str, Any]:
    """What `Settings` say of moments that are to be saved, and of a share (i, K) of the runs, from 1 on."""
    part, whole = shard
    if not 1 <= part <= whole:
        raise refuse(f"`shard` must be (i, K) with i from 1 to K, but is {shard}")
    if (saving or whole > 1) and world_size() > 1:
        raise refuse("parts are not made by processes that share one job", "leave out torchrun, or leave out --save and --shard")
    if whole > 1 and (run.target_se is not None or run.sampler != "random"):
        raise refuse("a share of the runs goes with neither --target-se nor --sampler sobol", "give the number of runs: -n 1e9")
    return {"saving": saving or whole > 1, "shard": (part - 1, whole), "strict": run.strict}


BY_NAME = ("parameters", "data")
KEYWORDS = {  # what options are called elsewhere
    "n": "samples", "runs": "samples", "num_samples": "samples", "n_samples": "samples", "params": "parameters",
    "random_state": "seed", "rng": "seed", "estimators": "estimator", "temperature": "tau", "lr": "rate", "learning_rate": "rate",
    "iterations": "steps", "timeout": "max_time", "observations": "data", "values": "data", "variables": "of", "precision": "dtype",
}
Given = ParamSpec("Given")
Found = TypeVar("Found")


def suggesting(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """A method whose `TypeError` about a keyword that it does not know says which one is meant."""
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def called(*given: Given.args, **options: Given.kwargs) -> Found:
        for name in options:
            if name not in known:
                other = KEYWORDS.get(name.lower(), "")
                meant = other if other in known else nearest(name, known)
                hint = f"did you mean `{meant}`?" if meant else f"its keywords: {', '.join(known)}"
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}; {hint}")
        for name, value in (*zip(known, given[1:], strict=False), *options.items()):
            if name in BY_NAME and not isinstance(value, Mapping | None):
                raise refuse(f"`{name}` are given by their names, and not as a {type(value).__name__}", "give a dict: {'x': 2.0}")
        return function(*given, **options)

    return called


def _whole(name: str, value: Any, wanted: str, least: int, most: int | None = None) -> int:
    """A whole number, also as `1e4`, a NumPy integer or a tensor without axes (P0604 where it is none)."""
    number = as_whole(value)
    if number is None or number < least or (most is not None and number > most):
        raise refuse(f"`{name}` must be {wanted}, but is {plain(value)!r}")
    return number


def _limit(name: str, value: Any) -> int:
    return _whole(name, value, "a whole number, at least 1", 1)


def _positive(name: str, value: Any, wanted: str) -> float:
    number = as_number(value)
    if number is None or not 0 < number < math.inf:
        raise refuse(f"`{name}` must be {wanted}, but is {plain(value)!r}")
    return number


def wishes_text(*wishes: object) -> str | None:
    """Options as a key by which calls with the same ones find each other; None where one has no text of its own (an iterator)."""
    return repr(wishes) if all(map(_told, wishes)) else None


def _told(wish: object) -> bool:
    if wish is None or isinstance(wish, str | int | float):
        return True
    if isinstance(wish, Mapping):
        return type(wish) is dict and all(map(_told, wish)) and all(map(_told, wish.values()))
    return isinstance(wish, list | tuple | set | frozenset) and all(map(_told, wish))


def plan_options(
    resolved: Resolved, *, estimator: EstimatorOption, unbiased: bool, among: NamesOption, tau: float,
    allow_biased: bool, of: NamesOption,
) -> PlanOptions:
    """Checked options of the choice of estimators."""
    from .dsl.planning.plan import PlanOptions

    tau = _positive("tau", tau, "a positive number")
    names = None if among is None else frozenset(_names(among))
    if names is not None:
        _check_estimators(names)
    return PlanOptions(
        estimator=_estimators(estimator), unbiased=bool(unbiased), among=names,
        allow_biased=bool(allow_biased), tau=tau, of=variables(resolved, of),
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
        number = as_number(step)
        if number is None or not 0 < number < math.inf:
            raise refuse(f"`steps` must be positive numbers, but one is {step!r}")
    return tuple(map(float, map(plain, steps)))


def split_estimator(text: str) -> tuple[str | None, str]:
    """`site=name(args)` or `name(args)` of the command line: the site (None for all) and the rest."""
    match = re.match(r"\s*([^\s=()]+)\s*=\s*(.*)$", text, re.DOTALL)
    if match is None:
        return None, text.strip()
    return match[1], match[2].strip()


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _check_estimators(names: Iterable[str]) -> None:
    from .dsl.tables.estimators import ESTIMATORS
    from .dsl.tables.meanings import estimator_meant

    for name in sorted(names):
        if name not in ESTIMATORS:
            known = ", ".join(ESTIMATORS)
            raise ProbError(
                Diagnostic(
                    "P0401", f"there is no estimator `{name}`", notes=(f"the estimators are {known}",),
                    help=estimator_meant(name, tuple(ESTIMATORS)) or "`probrun help estimators` explains them",
                )
            )


def _estimators(option: EstimatorOption) -> tuple[tuple[str | None, EstimatorCall], ...]:
    if option is None:
        return ()
    from .dsl.reading.parser import parse_estimator

    pairs: list[tuple[str | None, str]]
    if isinstance(option, str):
        pairs = [(None, option)]
    elif isinstance(option, Mapping):
        pairs = list(option.items())
    else:
        pairs = list(option)
    return tuple((site, parse_estimator(text)) for site, text in pairs)


def variables(resolved: Resolved, of: NamesOption) -> tuple[str, ...]:
    """The names of `--of`, each a variable of the program (P0607), or what the weights of its runs say."""
    names = () if of is None else tuple("".join(name.split()) for name in _names(of))
    weights = (EVIDENCE, ELBO, *filter(copies_of, names)) if resolved.weighted else ()
    alone = next((name for name in names if name in weights and name != EVIDENCE), None)
    if alone is not None and len(names) > 1:
        raise refuse(f"`{alone}` is asked for alone: it is no mean of weighed runs", f'leave the others out: --of "{alone}"')
    for name in names:
        if name not in resolved.variables and name not in weights:
            if resolved.weighted and name.startswith(IWAE):
                raise refuse(f"`{name}` does not say of how many runs the mean weight is meant", f'say how many: --of "{IWAE}(8)"')
            if name in (EVIDENCE, ELBO) or copies_of(name):
                raise refuse(
                    f"this program has no {name}: its runs have no weights", "observe something, such as: observe y ~ Normal(x, 1)",
                )
            close = nearest(name, resolved.variables)
            listed = ", ".join(sorted(resolved.variables)[:12])
            first = f"name one of them, such as {listed.split(',')[0]}" if listed else None
            raise ProbError(
                Diagnostic(
                    "P0607", f"there is no variable `{name}`", source=resolved.program.source,
                    notes=(f"variables of the program: {listed or 'none'}",),
                    help=f"did you mean `{close}`?" if close else first,
                )
            )
    return names
