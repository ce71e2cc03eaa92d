"""The command `probrun merge`, and what `--save` and `--shard` do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .. import report
from ..cli_options import writable
from ..exits import status_of
from ..options import refuse
from ..results import GradientResult, RunResult
from ..terminal import DONE, NoFile, complain, emit, load_torch
from .sweep_table import Row, SweepTable, problem, read

TABLES = (".csv", ".jsonl")


@click.command("merge")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "-o", "--output", callback=writable, metavar="FILE", help="Write what is joined: a part file again, or the table of a sweep.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def merge_command(files: tuple[str, ...], output: str | None, as_json: bool) -> int:
    """Join what runs made apart have come to.

    Part files of grad --save and run --save give one result, as if one call had made all runs; tables of a sweep (.csv, .jsonl)
    one table. What does not belong together, or would count runs twice, is refused.
    """
    paths = [Path(file) for file in files]
    tables = [path for path in paths if path.suffix.lower() in TABLES]
    if tables and len(tables) < len(paths):
        raise refuse("tables of a sweep and part files cannot be merged with each other", "merge the ones, then the others")
    try:
        return _tables(paths, output) if tables else _parts(paths, output, as_json)
    except OSError as error:
        raise NoFile(error) from None


def _parts(paths: list[Path], output: str | None, as_json: bool) -> int:
    from .shares import merged, read_part, write

    parts = [read_part(path) for path in paths]
    load_torch()
    result, whole = merged(paths, parts)
    if as_json:
        emit(json.dumps(result.to_dict(), allow_nan=False))
    elif isinstance(result, GradientResult):
        emit(report.gradient_text(result, report.wants_colour(sys.stdout)))
    elif isinstance(result, RunResult):
        emit(report.run_text(result, report.wants_colour(sys.stdout)))
        if result.draws:
            kept = max(len(rows) for rows in result.draws.values())
            complain(f"probrun: quantiles are those of {kept} of the {result.samples} runs: the first of each part")
    if output is not None:
        write(whole, Path(output))
        complain(f"probrun: wrote {output}")
    return status_of(result)


def _tables(paths: list[Path], output: str | None) -> int:
    found: dict[int, tuple[Path, Row]] = {}
    first: Row | None = None
    for path in paths:
        for row in read(path):
            first = first or row
            if row["sweep"] != first["sweep"]:
                raise problem(path, f"is of another sweep than `{paths[0]}`", "merge the shards of one sweep")
            if row["point"] in found:
                raise problem(path, f"has point {row['point']}, which is in `{found[row['point']][0]}` too", "name each file once")
            found[row["point"]] = path, row
    rows = [row for _, (_, row) in sorted(found.items())]
    lines = paths[0].suffix.lower() == ".jsonl"
    if not lines:  # a shard without any answer has fewer columns
        columns = max((list(row) for row in rows), key=len, default=[])
        rows = [{name: row.get(name, "") for name in columns} for row in rows]
    target = None if output is None else Path(output)
    if target is not None and target.exists():
        raise problem(target, "is there already", "name a new file")
    table = SweepTable(target, lines, (), rows)
    if table.columns is not None:
        for text in table.put(table.columns):
            emit(text, end="")
    for row in rows:
        for text in table.write(row):
            emit(text, end="")
    for text in table.close():
        emit(text, end="")
    if target is not None:
        complain(f"probrun: {len(rows)} points in {target}")
    return DONE
