"""What single runs gave, as files: draws of `run`, gradients of `grad`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from ..api import Program
from ..cli_options import share_of
from ..options import refuse
from ..results import GradientResult, Result, RunResult
from ..terminal import NoFile, complain

ENDINGS = (".csv", ".npz", ".parquet")


def keep(
    program: Program, result: Result, parameters: Mapping[str, Any], data: Mapping[str, Any], save: str | None, shard: str | None,
    runs: str | None,
) -> None:
    """Write the part file of `--save`, and the single runs of `--draws` and `--per-run`."""
    for name, make in ((save, partial(_part, program, result, parameters, data, shard)), (runs, partial(write, result))):
        if name is not None:
            try:
                make(Path(name))
            except OSError as error:
                raise NoFile(error, name) from None
            complain(f"probrun: wrote {name}")


def _part(
    program: Program, result: Result, parameters: Mapping[str, Any], data: Mapping[str, Any], shard: str | None, path: Path
) -> None:
    from . import shares

    shares.write(shares.part_of(program, result, parameters, data, share_of(shard)), path)


def write(result: Result, path: Path) -> None:
    """Write the single runs of a result: `.npz` has an array for each name, the others a column for each number."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise refuse(f"`{path}` has none of the endings {', '.join(ENDINGS)}", f"for example {path.stem}.npz")
    arrays = _arrays(result)
    if not arrays:
        raise refuse("there are no single runs to write: the answer is exact, or its runs have weights", "leave the option out")
    if ending == ".npz":
        import numpy

        numpy.savez_compressed(path, **arrays)
        return
    columns = {
        name + "".join(f"[{index}]" for index in place): rows[(slice(None), *place)]
        for name, rows in arrays.items() for place in product(*map(range, rows.shape[1:]))
    }
    if ending == ".parquet":
        _parquet(columns, path)
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["run", *columns])
        writer.writerows([run, *row] for run, row in enumerate(zip(*(column.tolist() for column in columns.values()), strict=True)))


def _arrays(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(result, RunResult):
        found = {name: rows.detach().cpu().numpy() for name, rows in result.draws.items()}
    elif isinstance(result, GradientResult) and not result.exact:
        several = len(result.results) > 1
        for name, row in (result.per_run or {}).items():
            found |= {f"d{name}/d{p}" if several else p: rows.detach().cpu().numpy() for p, rows in row.items()}
    return found


def _parquet(columns: dict[str, Any], path: Path) -> None:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        missing = "a .parquet file needs the package pyarrow, which is not installed"
        raise refuse(missing, "pip install 'probrun[parquet]'") from None
    parquet.write_table(pyarrow.table(columns), path)
