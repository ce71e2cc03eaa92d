"""The commands `probrun fit` and `probrun vi`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from . import report
from .api import from_source
from .cli_options import (
    choice_options,
    compile_option,
    lanes_option,
    positive_option,
    program_options,
    running_options,
    source_of,
    time_option,
    values_of,
    whole_option,
    writable,
)
from .display.shown import heard
from .exits import trusted
from .fit import OPTIMIZERS, FitResult, fit_text, step_dict
from .options import split_estimator
from .progress import Progress
from .terminal import DONE, DOUBTFUL, INTERRUPTED, NoFile, complain, emit, load_torch, show_text
from .vi import GUIDES, vi_text


@click.command("fit")
@program_options
@running_options
@choice_options
@lanes_option
@time_option
@compile_option
@click.option("--minimize", is_flag=True, help="Find the parameters at which the expectation is least.")
@click.option("--maximize", is_flag=True, help="Find those at which it is greatest.")
@click.option("--only", metavar="NAME,...", help="Move these parameters only.")
@whole_option("--steps", "iterations", "How many steps at most.  [default: 200 of L-BFGS, 3000 of Adam]")
@positive_option("--tolerance", "When to stop: the slope (lbfgs), or the error of the averaged iterates.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="auto", show_default=True, help="How to go down.")
@positive_option("--rate", "The first rate of adam and sgd.")
@click.option("--save", callback=writable, metavar="FILE.json", help="Write the fit; -p @FILE.json and --resume read it.")
@click.option("--resume", metavar="FILE.json", help="Begin where a saved fit ended.")
@click.option("--history", callback=writable, metavar="FILE.jsonl", help="Write every step, a JSON object a line.")
def fit_command(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int,
    seed: int | None, target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str,
    as_json: bool, plot: Path | None, estimator: tuple[str, ...], unbiased: bool, among: str | None, tau: float,
    allow_biased: bool, of: str | None,
    max_lanes: int | None, max_time: float | None, compile: bool, minimize: bool, maximize: bool, only: str | None,
    iterations: int | None, tolerance: float | None, optimizer: str, rate: float | None, save: str | None, resume: str | None,
    history: str | None,
) -> int:
    """The parameters that minimise or maximise an expectation."""
    program = from_source(source_of(file, expression))
    if minimize and maximize:
        raise click.UsageError("a fit minimises or maximises, not both")
    if not (minimize or maximize or (program.resolved.weighted and not program.results)):
        raise click.UsageError("say what is wanted: --minimize or --maximize (with --of evidence, of a program that observes)")
    if resume is not None:
        parameters = {f"@{resume}": f"@{resume}", **parameters}
    parameter_values, data_values = values_of(program, parameters, data)
    source = click.get_current_context().get_parameter_source("samples")
    chosen = None if source is not None and source.name == "DEFAULT" else samples
    load_torch()
    with Progress(unit="steps") as progress:
        result = program.fit(
            parameter_values, minimize=minimize or None, maximize=maximize or None, of=of, data=data_values, only=only,
            steps=iterations, tolerance=tolerance, samples=chosen, optimizer=optimizer, rate=rate, seed=seed, max_time=max_time,
            estimator=[split_estimator(text) for text in estimator], unbiased=unbiased, among=among, tau=tau,
            max_steps=max_steps, max_depth=max_depth, max_lanes=max_lanes, dtype=dtype, device=device, compile=compile,
            progress=progress,
        )
    return show_fit(result, as_json, plot, save, history)


def show_fit(result: FitResult, as_json: bool, plot: Path | None, save: str | None, history: str | None) -> int:
    """Print, save and draw a fit; its exit status."""
    if as_json:
        emit(json.dumps(result.to_dict(), allow_nan=False))
    else:
        show_text(result, lambda found: fit_text(found, report.wants_colour(sys.stdout)))
    written: list[tuple[str, Callable[[Path], None]]] = []
    if save is not None:
        written.append((save, lambda path: _write(path, json.dumps(result.to_dict(), indent=1) + "\n")))
    if history is not None:
        lines = "".join(json.dumps(step_dict(step)) + "\n" for step in result.history)
        written.append((history, lambda path: _write(path, lines)))
    if plot is not None:
        written.append((str(plot), _drawn(result)))
    for name, write in written:
        _keep(name, write)
    return _status(result)


def _keep(name: str, write: Callable[[Path], None]) -> None:
    """Write a file."""
    try:
        write(Path(name))
    except OSError as error:
        raise NoFile(error, name) from None
    if not heard(Path(name)):
        complain(f"probrun: wrote {name}")


def _status(result: FitResult) -> int:
    """The exit status of a fit, with a word about it."""
    if result.interrupted:
        complain("probrun: interrupted: these are the parameters so far")
        return INTERRUPTED
    if not result.converged:
        complain(f"probrun: the fit did not converge: {result.reason}")
    return DONE if result.converged else DOUBTFUL


def _drawn(result: FitResult) -> Callable[[Path], None]:
    """What draws a fit into a file."""
    from . import views

    return lambda path: views.draw(result, path)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@click.command("vi")
@program_options
@running_options
@lanes_option
@time_option
@compile_option
@click.option("--guide", type=click.Choice(GUIDES), default=GUIDES[0], show_default=True, help="Draws apart, or with a covariance.")
@click.option("--only", metavar="NAME,...", help="Of the program's own parameters, fit these only.")
@click.option("--fixed", is_flag=True, help="Fit none of the program's own parameters.")
@whole_option("--draws", "draws", "Draws from the fitted guide.  [default: 20000]")
@whole_option("--steps", "iterations", "How many steps at most.")
@positive_option("--tolerance", "When to stop.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="auto", show_default=True, help="How to go up.")
@positive_option("--rate", "The first rate of adam and sgd.")
@click.option("--save", callback=writable, metavar="FILE.json", help="Write what --json prints.")
def vi_command(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int,
    seed: int | None, target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str,
    as_json: bool, plot: Path | None, max_lanes: int | None, max_time: float | None, compile: bool, guide: str,
    only: str | None, fixed: bool, draws: int | None, iterations: int | None, tolerance: float | None, optimizer: str,
    rate: float | None, save: str | None,
) -> int:
    """The posterior of a program by variational inference."""
    program = from_source(source_of(file, expression))
    parameter_values, data_values = values_of(program, parameters, data)
    source = click.get_current_context().get_parameter_source("samples")
    chosen = None if source is not None and source.name == "DEFAULT" else samples
    load_torch()
    with Progress(unit="steps") as progress:
        result = program.vi(
            parameter_values, guide=guide, data=data_values, only=only, fixed=fixed, steps=iterations, tolerance=tolerance,
            samples=chosen, draws=draws or 20_000, optimizer=optimizer, rate=rate, seed=seed, max_time=max_time,
            max_steps=max_steps, max_depth=max_depth, max_lanes=max_lanes, compile=compile, progress=progress,
        )
    found = json.dumps(result.to_dict(), allow_nan=False)
    if as_json:
        emit(found)
    else:
        show_text(result, lambda made: vi_text(made, report.wants_colour(sys.stdout)))
    if save is not None:
        _keep(save, lambda path: _write(path, found + "\n"))
    if plot is not None:
        _keep(str(plot), _drawn(result.fit))
    status = _status(result.fit)
    return trusted(result.warnings) if status == DONE else status
