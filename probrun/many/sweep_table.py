"""The file of a sweep: a row for each point, written as soon as it is there, and read again where a sweep goes on.

CSV has a column for every number: `E[y]`, `se E[y]`, `dE[y]/dtheta`, `se dE[y]/dtheta`, of arrays one for each entry; a row with
an error has its code and words.  JSON lines hold the same.  The column `sweep` says which sweep a row belongs to.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from ..dsl.text.diagnostics import Diagnostic, ProbError
from .sweep import SweptPoint

BEFORE, AFTER = ("point",), ("samples", "seed", "estimators", "warnings", "code", "error", "sweep")
Row = dict[str, Any]


def row_of(point: SweptPoint, key: str) -> Row:
    """What is written of a point."""
    row: Row = {"point": point.number, **point.at}
    if point.problem is not None:
        first = point.problem.diagnostics[0]
        line, column = first.position
        place = "" if line is None else f"{line}:{column}: "
        return row | {"seed": point.seed, "code": first.code, "error": place + first.title, "sweep": key}
    assert point.result is not None
    for (result, parameter), moments in point.result.reported().items():
        name = f"E[{result}]" if parameter is None else f"dE[{result}]/d{parameter}"
        for words, values in (("", moments.mean), ("se ", moments.se)):
            flat = [number if math.isfinite(number) else None for number in values.reshape(-1).tolist()]  # None: not known
            row |= {f"{words}{name}{place}": number for place, number in zip(_places(tuple(values.shape)), flat, strict=True)}
    sites = getattr(point.result, "sites", ())
    return row | {
        "samples": point.result.samples, "seed": point.seed, "estimators": " ".join(dict.fromkeys(s.estimator for s in sites)),
        "warnings": " ".join(dict.fromkeys(doubt.code for doubt in point.result.warnings)), "sweep": key,
    }


def _places(shape: tuple[int, ...]) -> list[str]:
    return ["".join(f"[{index}]" for index in place) for place in product(*map(range, shape))]


def problem(path: Path | str, what: str, hint: str) -> ProbError:
    """P0614, of a file that holds results."""
    return ProbError(Diagnostic("P0614", f"`{path}` {what}", help=hint))


def read(path: Path) -> list[Row]:
    """The rows of a sweep's file; a last line that was not finished is left out.  P0614 where it is no such file."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    hint = "name a file that `probrun sweep -o` has written"
    try:
        if path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in whole.splitlines()]
        else:
            rows = [_typed(row) for row in csv.DictReader(io.StringIO(whole, newline=""))]
    except (ValueError, AttributeError) as error:
        raise problem(path, f"cannot be read as a sweep: {error}", hint) from None
    if not all(isinstance(row, dict) and "sweep" in row and isinstance(row.get("point"), int) for row in rows):
        raise problem(path, "is no table of a sweep", hint)
    return rows


def _typed(row: dict[str, str]) -> Row:
    return {**row, "point": int(row["point"])} if "point" in row else dict(row)


class SweepTable:
    """The rows on their way into a file, or to the screen (None)."""

    def __init__(self, path: Path | None, lines: bool, names: tuple[str, ...], known: list[Row]) -> None:
        self.lines = lines
        self.names = names
        self.held: list[Row] = []  # without a number, before the columns are known
        self.columns: list[str] | None = list(known[0]) if known and not lines else None
        self.stream = None if path is None else path.open("a", encoding="utf-8", newline="")

    def write(self, row: Row) -> Iterator[str]:
        """Write a row; gives the text where there is no file."""
        yield from self._put([json.dumps(row) + "\n"] if self.lines else self._table(row))

    def put(self, cells: list[str]) -> Iterator[str]:
        """Write a line of a table, such as its head."""
        yield from self._put([_csv(cells)])

    def _put(self, texts: Iterable[str]) -> Iterator[str]:
        for text in texts:
            if self.stream is None:
                yield text
            else:
                self.stream.write(text)
                self.stream.flush()

    def _table(self, row: Row) -> Iterator[str]:
        if self.columns is None and "code" in row:
            self.held.append(row)
            return
        if self.columns is None:
            middle = [name for name in row if name not in (*BEFORE, *self.names, *AFTER)]
            yield from self._begin(middle)
        yield self._line(row)

    def _begin(self, middle: list[str]) -> Iterator[str]:
        self.columns = [*BEFORE, *self.names, *middle, *AFTER]
        yield _csv(self.columns)
        yield from map(self._line, self.held)
        self.held = []

    def _line(self, row: Row) -> str:
        assert self.columns is not None
        if set(row) - set(self.columns):
            kept = {name: row[name] for name in (*BEFORE, *self.names, "seed", "sweep")}
            row = {**kept, "code": "P0303", "error": "the results have another shape here than at the points before"}
        return _csv([_cell(row.get(name, "")) for name in self.columns])

    def close(self) -> Iterator[str]:
        """Write what is held back."""
        texts = list(self._begin([])) if self.held else []
        if self.stream is not None:
            self.stream.writelines(texts)
            self.stream.close()
            texts = []
        yield from texts


def _cell(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _csv(cells: list[str]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def mend(path: Path) -> None:
    """Take a last line off that was not finished."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as stream:
            stream.truncate(end)
