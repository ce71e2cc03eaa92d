"""The command `probrun sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..api import from_source
from ..cli_options import (
    choice_options,
    lanes_option,
    pilot_option,
    program_options,
    running_options,
    share_of,
    source_of,
    values_of,
    writable,
)
from ..options import split_estimator
from ..progress import Progress
from ..terminal import DONE, DOUBTFUL, INTERRUPTED, NoFile, complain, emit, load_torch
from .points import NOWHERE, Points, grid, table
from .sweep import Sweep, sweep_of
from .sweep_table import Row, SweepTable, mend, problem, read, row_of

ENDINGS = ("", ".csv", ".jsonl")


@click.command("sweep")
@program_options
@running_options
@choice_options
@pilot_option
@lanes_option
@click.option("--grid", "grids", multiple=True, metavar="NAME=FROM:TO:COUNT", help="Values of a name, or NAME=V,V,... Repeatable.")
@click.option("--table", "points", metavar="FILE.csv", help="A row of values for each point, under a head of names.")
@click.option("--common", is_flag=True, help="The same random numbers at all points.")
@click.option("--shard", "share", metavar="i/K", help="Every K-th point only, from the i-th on; merge joins the files.")
@click.option(
    "-o", "--output", callback=writable, metavar="FILE.csv",
    help="Write rows here (.jsonl: JSON lines); what is there is not made again.",
)
def sweep_command(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int, seed: int | None,
    as_json: bool, plot: Path | None, estimator: tuple[str, ...], grids: tuple[str, ...], points: str | None,
    share: str | None, output: str | None, **options: Any,
) -> int:
    """The gradient at many points, a row for each.

    Parameters and data are swept by their names. A point whose answer is an error is a row with its code.
    """
    if plot is not None and output is None:
        raise click.UsageError("a picture is drawn from the table: give it a name, -o sweep.csv")
    if output is not None and (ending := Path(output).suffix.lower()) not in ENDINGS:
        raise click.UsageError(f"-o {output}: rows are written as .csv or .jsonl, not as {ending}")
    program = from_source(source_of(file, expression))
    parameter_values, data_values = values_of(program, parameters, data)
    path = None if output is None else Path(output)
    known: list[Row] = []
    try:
        places = _points(grids, points)
        if path is not None and path.exists():
            known = read(path)
    except OSError as error:
        raise NoFile(error) from None
    seed = int(str(known[0]["sweep"]).partition("-")[0]) if known and seed is None else seed
    sweep = sweep_of(
        program, places, parameter_values, data_values, samples=samples, seed=seed, shard=share_of(share),
        estimator=[split_estimator(text) for text in estimator], **options,
    )
    if any(row["sweep"] != sweep.key for row in known):
        raise problem(output or "", "holds rows of another sweep", "name another file, or give the options that it was made with")
    load_torch()
    if path is not None and path.exists():
        mend(path)
    status = _filled(sweep, path, as_json or (path is not None and path.suffix.lower() == ".jsonl"), known)
    if plot is not None and path is not None:
        from .picture import draw_sweep

        draw_sweep(read(path), sweep.points.names, program.source.name, plot)
        complain(f"probrun: wrote {plot}")
    return status


def _points(grids: tuple[str, ...], file: str | None) -> Points:
    if not grids and file is None:
        raise click.UsageError("give the points: --grid theta=0:1:11, or --table FILE.csv")
    found = NOWHERE if file is None else table(Path(file))
    for text in grids:
        found = found.times(grid(text))
    return found


def _filled(sweep: Sweep, path: Path | None, lines: bool, known: list[Row]) -> int:
    """Make the rows that are missing; the exit status."""
    done = frozenset(int(row["point"]) for row in known)
    faults, doubts = (sum(1 for row in known if row.get(what)) for what in ("code", "warnings"))
    made, whole, first = len(done), len(sweep.numbers), None
    try:
        rows = SweepTable(path, lines, sweep.points.names, known)
    except OSError as error:
        raise NoFile(error, str(path)) from None
    interrupted = False
    with Progress(unit="points") as progress:
        try:
            for point in sweep.answers(done, progress):
                row = row_of(point, sweep.key)
                for text in rows.write(row):
                    emit(text, end="")
                made, faults, doubts = made + 1, faults + ("code" in row), doubts + bool(row.get("warnings"))
                first = first or point.problem
        except KeyboardInterrupt:
            interrupted = True
        for text in rows.close():
            emit(text, end="")
    if interrupted:
        again = "; the same command goes on from here" if path is not None else ""
        complain(f"probrun: interrupted after {made} of {whole} points{again}")
        return INTERRUPTED
    if first is not None and faults == whole:
        raise first
    if faults:
        complain(f"probrun: {faults} of {whole} points have no answer: see the columns code and error")
    if doubts:
        complain(f"probrun: not to be trusted at {doubts} of {whole} points: see the column warnings")
    if path is not None:
        complain(f"probrun: {whole} points in {path}")
    return DOUBTFUL if faults or doubts else DONE


