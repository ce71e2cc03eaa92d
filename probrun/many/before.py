"""What `probrun run --of NAME` shows of a program that fails: the variables that are there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from ..api import Program
from ..display.html import Grid
from ..dsl.text.diagnostics import ProbError
from ..layout import capped, joined
from ..options import RunOptions, variables
from ..report import QUANTILES
from ..terminal import emit

OF_RUNS = "P03", "P05"  # codes of what goes wrong while runs are made


def show_before(
    program: Program, parameters: Mapping[str, Any], data: Mapping[str, Any], run: RunOptions, of: str, problem: ProbError
) -> None:
    """Print a table of the variables in `of` that have a value where the runs of these options fail; nothing where none has."""
    if problem.diagnostics[0].code[:3] not in OF_RUNS:
        return
    from ..runtime.many.watching import before_failure

    names = variables(program.resolved, of)
    found = before_failure(program.resolved, parameters, data, program._settings(run, names, False, strict=run.strict))
    rows = [row for name, (_, draws) in found.items() if name not in program.results for row in _rows(name, draws)]
    if rows:
        headers = ("", "runs", "mean", *(f"{level} %" for level in QUANTILES))
        heading = f"{program.source.name}    what there is before the failure    seed {run.seed}"
        emit(joined([heading, "", Grid(headers, rows, "l" + "r" * (len(headers) - 1))], False))


def _rows(name: str, draws: Any) -> list[Sequence[str]]:
    import numpy

    values, rows = draws.double().cpu().numpy(), list[Sequence[str]]()
    for place in product(*map(range, values.shape[1:])):
        entry = values[(slice(None), *place)]
        levels = numpy.percentile(entry, QUANTILES)
        label = name + "".join(f"[{index}]" for index in place)
        rows.append((label, str(len(entry)), f"{entry.mean():.4g}", *(f"{level:.4g}" for level in levels)))
    return capped(rows, 3 + len(QUANTILES))
