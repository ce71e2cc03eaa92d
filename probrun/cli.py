"""The command line: `probrun grad run explain check fmt help`.

Results go to standard output, everything else to standard error.  Exit status: 0 done; 1 the program or a value is at
fault; 2 wrong usage or no such file; 3 ran, but not to be trusted; 70 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import __version__, report
from .api import Program, from_source
from .cli_options import (
    choice_options,
    compile_option,
    draws_option,
    explaining_options,
    lanes_option,
    numbers_of,
    per_run_option,
    pilot_option,
    program_options,
    running_options,
    sampler_option,
    saving_options,
    share_of,
    source_in,
    source_of,
    time_option,
    values_of,
)
from .display.shown import heard
from .dsl.text.diagnostics import Diagnostic, ProbError, render_all
from .dsl.text.problems import counted
from .dsl.text.source import Source
from .editor.commands import A_FILE, completion_command, lsp_command, topics_like
from .exits import announced, guarded, own_status, status_of, status_of_comparison
from .options import run_options, split_estimator
from .progress import Progress
from .runtime.blocks.ranks import rank, world_size
from .terminal import DONE, FAULT, NoFile, Ordered, collector_at_rest, complain, emit, load_torch, show_text, width_of

if TYPE_CHECKING:
    from .results import GradientResult, Result


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of the command `probrun`; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if rank():  # one process speaks for all
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    return execute(list(sys.argv[1:] if arguments is None else arguments))


def execute(arguments: list[str]) -> int:
    """Run one command line and give its exit status; no exception gets out."""
    def command() -> int:
        return commands.main(arguments, prog_name="probrun", standalone_mode=False) or DONE

    if world_size() == 1 or "grad" not in arguments:  # nothing that processes share
        status = DONE if rank() else guarded(command, "--json" in arguments)
    else:
        status = own_status(guarded(lambda: announced(command), "--json" in arguments))
    _say_why_slow()
    return status


def _say_why_slow() -> None:
    grammar = sys.modules.get(f"{__package__}.grammar")  # not loaded where no program was read
    if grammar is not None and (complaint := grammar.take_complaint()):
        complain(f"probrun: {complaint}")


@click.group(cls=Ordered, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="probrun", message="%(prog)s %(version)s")
def commands() -> None:
    """The right gradient of an expectation, or a refusal that says why.

    A FILE holds a program of the .prob language; - is standard input.
    """


@commands.command()
@program_options
@running_options
@choice_options
@pilot_option
@lanes_option
@time_option
@sampler_option
@compile_option
@saving_options
@per_run_option
@click.option("--verify", is_flag=True, help="Compare the result with an independent oracle; exit 3 if it fails.")
def grad(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int,
    seed: int | None, target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str,
    as_json: bool, plot: Path | None,
    estimator: tuple[str, ...], unbiased: bool, among: str | None, tau: float, allow_biased: bool, of: str | None,
    pilot: bool | None, max_lanes: int | None, max_time: float | None, sampler: str, compile: bool, verify: bool,
    save: str | None, shard: str | None, per_run: str | None,
) -> int:
    """The gradient of the expected result, with standard errors."""
    program = from_source(source_of(file, expression))
    parameter_values, data_values = values_of(program, parameters, data)
    load_torch()
    with Progress() as progress:
        result = program.grad(
            parameter_values, samples=samples, seed=seed, data=data_values,
            estimator=[split_estimator(text) for text in estimator], unbiased=unbiased, among=among,
            target_se=target_se, max_time=max_time, tau=tau, allow_biased=allow_biased, of=of, dtype=dtype, device=device,
            max_steps=max_steps, max_depth=max_depth, max_lanes=max_lanes, pilot=pilot, verify=verify,
            keep_runs=plot is not None or per_run is not None, distributed=world_size() > 1, sampler=sampler, compile=compile,
            cross_check=True, progress=progress, saving=save is not None, shard=share_of(shard),
        )
    if not rank():
        _show(result, as_json, plot)
        import_module(".many.single", __package__).keep(program, result, parameter_values, data_values, save, shard, per_run)
        _say_what_was_too_many(result, max_lanes)
        _say_what_was_not_forced(result, estimator)
    return status_of(result)


def _say_what_was_too_many(result: GradientResult, max_lanes: int | None) -> None:
    """Who asks for lanes hears when they were not enough, or not worth it."""
    from .dsl.tables.distributions import DISTRIBUTIONS
    from .dsl.tables.estimators import SUMMING

    finite = [site for site in result.sites if DISTRIBUTIONS[site.distribution].finite]
    if max_lanes is not None and finite and not any(site.estimator == SUMMING.name for site in finite):
        complain(f"probrun: no outcomes were summed: they take more than --max-lanes {max_lanes}, or more work than samples do")


def _say_what_was_not_forced(result: GradientResult, estimators: tuple[str, ...]) -> None:
    """Who asks for an estimator wherever it is valid hears when that is nowhere."""
    taken = {site.estimator for site in result.sites}
    for text in estimators:
        site, name = split_estimator(text)
        name = name.partition("(")[0].strip()
        if site is None and result.sites and name not in taken and not result.notes:  # notes say why already
            first = result.sites[0].name
            complain(f"probrun: {name} is right at no site, and was not taken; {first}={name} asks for it there")


@commands.command()
@program_options
@running_options
@choice_options
@time_option
@saving_options
@draws_option
def run(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int,
    seed: int | None, target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str,
    as_json: bool, plot: Path | None,
    estimator: tuple[str, ...], unbiased: bool, among: str | None, tau: float, allow_biased: bool, of: str | None,
    max_time: float | None, save: str | None, shard: str | None, draws: str | None,
) -> int:
    """Sample the program: mean, standard error and quantiles of the result.

    The names of --of are shown beside the result. The options on estimators change nothing here: values are exact draws
    whatever the estimator.
    """
    program = from_source(source_of(file, expression))
    parameter_values, data_values = values_of(program, parameters, data)
    load_torch()
    options = run_options(samples, seed, dtype, device, target_se, max_steps, max_depth, max_time=max_time)
    try:
        with Progress() as progress:
            result = program.run(
                parameter_values, samples=samples, seed=options.seed, data=data_values, of=of, target_se=target_se,
                max_time=max_time, dtype=dtype, device=device, max_steps=max_steps, max_depth=max_depth, progress=progress,
                saving=save is not None, shard=share_of(shard),
            )
    except ProbError as error:
        if of is not None and not as_json:
            import_module(".many.before", __package__).show_before(program, parameter_values, data_values, options, of, error)
        raise
    _show(result, as_json, plot)
    import_module(".many.single", __package__).keep(program, result, parameter_values, data_values, save, shard, draws)
    return status_of(result)


@commands.command()
@program_options
@running_options
@choice_options
@lanes_option
@time_option
@click.option("--wide", is_flag=True, help="Show all columns, however wide they are.")
@click.option(
    "--include", metavar="NAME,...", help="Add ways that are not right here: estimators to force, finite-differences.",
)
@click.option("--steps", metavar="H,...", help="Steps of the finite differences, times max(1, |parameter|).  [default: 1,0.5,0.1]")
@click.option("--overlay", is_flag=True, help="Draw the estimators of --plot one over the other.")
def compare(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int,
    seed: int | None, target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str,
    as_json: bool, plot: Path | None,
    estimator: tuple[str, ...], unbiased: bool, among: str | None, tau: float, allow_biased: bool, of: str | None,
    max_lanes: int | None, max_time: float | None, wide: bool, include: str | None, steps: str | None, overlay: bool,
) -> int:
    """Several estimators side by side: bias, variance, time, plots.

    Every estimator that is right for the program, and a star at the one that probrun chooses by itself.
    """
    from . import comparison as shown

    program = from_source(source_of(file, expression))
    parameter_values, data_values = values_of(program, parameters, data)
    load_torch()
    with Progress(unit="estimators") as progress:
        found = program.compare(
            parameter_values, samples=samples, seed=seed, data=data_values, include=include, steps=numbers_of(steps),
            estimator=[split_estimator(text) for text in estimator], unbiased=unbiased, among=among, tau=tau, of=of,
            dtype=dtype, device=device, max_steps=max_steps, max_depth=max_depth, max_lanes=max_lanes,
            keep_runs=plot is not None, max_time=max_time, progress=progress,
        )
    if as_json:
        emit(json.dumps(found.to_dict(), allow_nan=False))
    else:
        width = None if wide else width_of(sys.stdout)
        show_text(found, lambda table: shown.comparison_text(table, report.wants_colour(sys.stdout), width))
    if plot is not None:
        from . import views

        _save(lambda path: views.draw(found, path, overlay), plot)
    return status_of_comparison(found)


def _save(write: Callable[[Path], None], path: Path) -> None:
    """Write a picture."""
    try:
        write(path)
    except OSError as error:
        raise NoFile(error, str(path)) from None
    if not heard(path):
        complain(f"probrun: wrote {path}")


def _show(result: Result, as_json: bool, plot: Path | None) -> None:
    from .results import GradientResult, RunResult

    if as_json:
        emit(json.dumps(result.to_dict(), allow_nan=False))
    elif isinstance(result, GradientResult):
        show_text(result, lambda found: report.gradient_text(found, report.wants_colour(sys.stdout)))
    elif isinstance(result, RunResult):
        show_text(result, lambda found: report.run_text(found, report.wants_colour(sys.stdout)))
    if plot is not None:
        from . import views

        _save(lambda path: views.draw(result, path), plot)


@commands.command()
@program_options
@explaining_options
@choice_options
@pilot_option
@lanes_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int,
    estimator: tuple[str, ...], unbiased: bool, among: str | None, tau: float, allow_biased: bool, of: str | None,
    pilot: bool | None, max_lanes: int | None, as_json: bool,
) -> int:
    """The choice at each sampling site and why, without running anything.

    What grad would do with the same options, or what it would measure.
    """
    program = from_source(source_of(file, expression))
    parameter_values, data_values = values_of(program, parameters, data)
    sites = program.explain(
        parameter_values, samples=samples, data=data_values, pilot=pilot, max_lanes=max_lanes,
        estimator=[split_estimator(text) for text in estimator], unbiased=unbiased, among=among, tau=tau,
        allow_biased=allow_biased, of=of,
    )
    if as_json:
        biased = any(site.biased for site in sites)
        emit(json.dumps({"program": program.source.name, "biased": biased, "sites": [site.to_dict() for site in sites]}))
    else:
        show_text(sites, report.explain_text)
    return DONE


@commands.command()
@click.argument("files", nargs=-1, type=A_FILE)
@click.option("-e", "expression", metavar="PROGRAM", help="Take the program from the command line.")
def check(files: tuple[str, ...], expression: str | None) -> int:
    """Read and analyse programs; print every problem found."""
    if bool(files) == (expression is not None):
        raise click.UsageError("give at least one FILE (- is standard input), or -e PROGRAM")
    with collector_at_rest():
        from .dsl.planning.chooser import make_plan
        from .dsl.reading import parser  # noqa: F401

    problems: list[Diagnostic] = []
    lines = []
    for file in files or (None,):
        try:
            program = from_source(source_of(file, expression))
            make_plan(program.resolved)
        except ProbError as error:
            problems += error.diagnostics
            continue
        counts = f"{counted(len(program.resolved.sites), 'site')}, {counted(len(program.parameters), 'parameter')}"
        lines.append(f"{program.source.name}: no problem found ({counts})")
    if not problems:
        emit("\n".join(lines))
        return DONE
    complain(render_all(problems, colour=report.wants_colour(sys.stderr)))
    total = len(files) or 1
    complain(f"\n{counted(len(problems), 'problem')} in {counted(total, 'file')}")
    return FAULT


@commands.command()
@click.argument("files", nargs=-1, required=True, type=A_FILE)
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Change nothing; print what would change.")
def fmt(files: tuple[str, ...], only_check: bool, diff: bool) -> int:
    """Format source files in place; - formats standard input to standard output."""
    from .dsl.reading.format import format_source

    sources = [source_in(file) for file in files]
    formatted = [format_source(source) for source in sources]  # a problem in one file leaves all of them alone
    changed = 0
    for file, source, text in zip(files, sources, formatted, strict=True):
        different = text != source.text
        changed += different
        if diff:
            emit(_difference(source, text), end="")
        elif file == "-" and not only_check:
            emit(text, end="")
        elif different and only_check:
            complain(f"would reformat {source.name}")
        elif different:
            _write(file, text)
            complain(f"reformatted {source.name}")
    return FAULT if only_check and changed else DONE


def _difference(source: Source, text: str) -> str:
    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, source.name, f"{source.name} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _write(file: str, text: str) -> None:
    try:
        with open(file, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except OSError as error:
        raise NoFile(error, file) from None


def _page(topic: str) -> str | None:
    from . import help as pages

    return pages.page(topic)


commands.add_command(lsp_command(__version__, lambda resolved: Program(resolved).explain(), _page))
commands.add_command(completion_command)


@commands.command("help")
@click.argument("topic", required=False, shell_complete=topics_like)
@click.pass_context
def help_command(context: click.Context, topic: str | None) -> int:
    """A command, an error code, a distribution, a function, an estimator."""
    from . import help as pages

    if topic is None:
        emit(pages.overview(commands.names))
        return DONE
    command = commands.get_command(context, topic)
    if command is not None and context.parent is not None:
        with click.Context(command, info_name=topic, parent=context.parent) as inner:
            emit(command.get_help(inner))
        return DONE
    page = pages.page(topic)
    if page is None:
        raise click.UsageError(f"no help on {topic}; {pages.hint(topic, commands.names)}")
    emit(page)
    return DONE
