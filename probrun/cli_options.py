"""The options that commands share: how they are declared and checked, and what a FILE, -e, -p and -d give."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from .api import Program
from .dsl.tables.limits import MAX_DEPTH, MAX_STEPS
from .dsl.text.source import Source
from .editor.commands import A_FILE
from .options import DEFAULT_SAMPLES, DEFAULT_TAU, DEVICES, DTYPES, LARGEST_SEED, SAMPLERS, refuse
from .reading import read_program, read_values
from .terminal import NoFile

LONGEST = 40  # digits of a whole number that is still worth comparing with a limit
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")
RUNS_FILES = (".csv", ".npz", ".parquet")
Command = TypeVar("Command", bound=Callable[..., Any])


class PositiveNumber(click.ParamType[float]):
    """A positive, finite number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not 0 < number < math.inf:
            self.fail(f"{value} is not a positive number", param, ctx)
        return number


class Whole(click.ParamType[int]):
    """A whole number on the command line, also written `1e6`."""

    name = "integer"

    def __init__(self, least: int, most: int | None = None) -> None:
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """An `int` in the limits; a usage error that shows how to write it where it is none."""
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            self.fail(f"{value!r} is not a whole number, such as {10_000 if self.least else 1}", param, ctx)
        limits = f"at least {self.least}" if self.most is None else f"from {self.least} to {self.most}"
        if not number.is_finite():
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if number.adjusted() > LONGEST:
            self.fail(f"{value} is too large", param, ctx)
        if number != number.to_integral_value():
            near = sorted({max(math.floor(number), self.least), math.ceil(number)})
            self.fail(f"{value} is not a whole number; write {' or '.join(map(str, near))}", param, ctx)
        found = int(number)
        if found < self.least or (self.most is not None and found > self.most):
            self.fail(f"{value} is not allowed; it must be a whole number, {limits}", param, ctx)
        return found


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`name=value` options as a dict; a file that gives several values stands under its own `@FILE`."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        name = name.strip()
        if not equals and not name.startswith("@") and name.lower().endswith((".toml", ".json")):
            name = f"@{name}"
        if name.startswith("@"):  # a file that gives several
            name = text = name if not equals else value.strip()
        elif not equals or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, such as theta=0.5", context, option)
        if name in found:
            raise click.BadParameter(f"{name} is given twice", context, option)
        found[name] = text
    return found


def _picture(context: click.Context, option: click.Parameter, value: str | None) -> Path | None:
    """A picture's path, known to be writable as far as one can tell."""
    if value is None:
        return None
    path = Path(value)
    if path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{value} has none of the endings {', '.join(PICTURES)}", context, option)
    if path.is_dir() or not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise click.BadParameter(f"{value} cannot be written: is {path.parent} a folder of yours?", context, option)
    return path


def writable(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """A path that can be written as far as one can tell before there is anything to write."""
    if value is not None:
        path = Path(value)
        there = path if path.exists() else path.parent
        if path.is_dir():
            raise click.BadParameter(f"{value} is a folder; name a file", context, option)
        if not (there.exists() and os.access(there, os.W_OK)):
            raise click.BadParameter(f"{value} cannot be written: is {path.parent} a folder of yours?", context, option)
    return value


def _runs_file(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """The same of a path for single runs, whose ending says how."""
    if value is not None and Path(value).suffix.lower() not in RUNS_FILES:
        raise click.BadParameter(f"{value} has none of the endings {', '.join(RUNS_FILES)}", context, option)
    return writable(context, option, value)


def _stack(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


program_options = _stack([
    click.argument("file", required=False, type=A_FILE),
    click.option("-e", "expression", metavar="PROGRAM", help="Take the program from the command line."),
])
choice_options = _stack([
    click.option(
        "--estimator", multiple=True, metavar="[SITE=]NAME[(ARGS)]",
        help="Use this estimator wherever it is valid, or at one site. Repeatable.",
    ),
    click.option("--unbiased", is_flag=True, help="Never choose a biased estimator."),
    click.option("--among", metavar="NAME,...", help="Choose only among these estimators."),
    click.option("--tau", type=PositiveNumber(), default=DEFAULT_TAU, show_default=True, help="Gumbel-Softmax temperature."),
    click.option("--allow-biased", is_flag=True, help="Let a forced estimator be wrong, and report it as such."),
    click.option("--of", metavar="NAME[,NAME]", help="Look at other variables than the result."),
])
value_options = (
    click.option(
        "-p", "--param", "parameters", multiple=True, callback=_pairs, metavar="NAME=VALUE",
        help="A parameter: a number, JSON, or @file.json/.npy/.csv; @FILE.json or .toml alone gives several. Repeatable.",
    ),
    click.option(
        "-d", "--data", multiple=True, callback=_pairs, metavar="NAME=VALUE",
        help="Data, likewise; @file.csv[column] takes one column. Repeatable.",
    ),
    click.option(
        "-n", "--samples", type=Whole(1), default=DEFAULT_SAMPLES, show_default=True, help="How many runs.",
    ),
)
explaining_options = _stack(value_options)
running_options = _stack([
    *value_options,
    click.option("--seed", type=Whole(0, LARGEST_SEED), help="Same seed, same output. Random if not given."),
    click.option("--target-se", type=PositiveNumber(), help="Go on until every standard error is at most this; -n is the limit."),
    click.option(
        "--max-steps", type=Whole(1), default=MAX_STEPS, show_default=True, help="Rounds of a loop before it is an error."
    ),
    click.option(
        "--max-depth", type=Whole(1), default=MAX_DEPTH, show_default=True, help="Levels of recursion likewise."
    ),
    click.option("--dtype", type=click.Choice(DTYPES), help="Arithmetic: float32, and float64 where that shows, unless given."),
    click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True, help="Place."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    click.option("--plot", callback=_picture, metavar="FILE.png", help="Draw a picture of what was computed."),
])
sampler_option = click.option(
    "--sampler", type=click.Choice(SAMPLERS), default=SAMPLERS[0], show_default=True,
    help="Random numbers, or scrambled Sobol points where every run draws alike.",
)
compile_option = click.option(
    "--compile", is_flag=True, help="Compile blocks of runs (takes seconds, pays for millions of runs).",
)
time_option = click.option(
    "--max-time", type=PositiveNumber(), metavar="SECONDS", help="Stop after this time with the runs that were made until then.",
)

saving_options = _stack([
    click.option(
        "--save", callback=writable, metavar="FILE.json", help="Write the moments of the runs; `probrun merge` joins several.",
    ),
    click.option("--shard", metavar="i/K", help="Make the i-th of K shares of the runs only, to be merged."),
])


draws_option = click.option(
    "--draws", callback=_runs_file, metavar="FILE.csv", help="Write the results of single runs (.csv, .npz, .parquet).",
)
per_run_option = click.option(
    "--per-run", callback=_runs_file, metavar="FILE.npz", help="Write the gradients of single runs, at most 100,000.",
)


def whole_option(name: str, into: str, text: str) -> Callable[[Command], Command]:
    """An option that takes a whole number from 1 on, and need not be given."""
    return click.option(name, into, type=Whole(1), help=text)


def positive_option(name: str, text: str) -> Callable[[Command], Command]:
    """An option that takes a positive number, and need not be given."""
    return click.option(name, type=PositiveNumber(), help=text)


pilot_option = click.option(
    "--pilot/--no-pilot", default=None, help="Choose estimators by measuring (default, unless --among is given) or by order.",
)
lanes_option = click.option(
    "--max-lanes", type=Whole(1), help="Lanes that enumerating outcomes may make of one run.",
)


def source_of(file: str | None, expression: str | None) -> Source:
    """The one program that a command is given: FILE, or the text of -e."""
    if (file is None) == (expression is None):
        raise click.UsageError("give one program: a FILE, - for standard input, or -e PROGRAM")
    if expression is not None:
        return Source("<command line>", expression)
    return source_in(str(file))


def source_in(name: str) -> Source:
    """The source in a file; `-` is standard input."""
    try:
        return read_program(name)
    except OSError as error:
        raise NoFile(error, name) from None


def values_of(program: Program, parameters: dict[str, str], data: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What -p and -d say, as numbers and arrays."""
    resolved = program.resolved
    axes = {name: len(fact.shape) for name, fact in resolved.parameters.items()}
    axes_of_data = {name: len(node.shape) for name, node in resolved.data.items()}
    try:
        return read_values("parameter", parameters, axes), read_values("data", data, axes_of_data)
    except OSError as error:
        raise NoFile(error) from None


def share_of(text: str | None) -> tuple[int, int]:
    """`i/K`, the i-th of K shares, from 1 on; P0604."""
    if text is None:
        return 1, 1
    part, _, whole = text.partition("/")
    if not (part.strip().isdecimal() and whole.strip().isdecimal()) or not 1 <= int(part) <= int(whole):
        raise refuse(f"`--shard {text}` is not i/K, with i from 1 to K", "the first of four shares is --shard 1/4")
    return int(part), int(whole)


def numbers_of(text: str | None) -> list[float] | None:
    """A list of numbers, of `--steps`."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers", param_hint="--steps") from None
