"""Tables in CSV files: which row is the header, which columns are meant, and where a value is missing.

A missing value is never skipped: a blank row, an empty cell, `NA` or `nan` and a row that is too short or too long are errors
that point at the cell, because what a program makes of the rest would be the answer to another question.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .dsl.text.closeness import nearest
from .dsl.text.diagnostics import Diagnostic, ProbError
from .dsl.text.problems import counted
from .dsl.text.source import Source, Span

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "?", ".", "-", "missing"})
CHOICE = re.compile(r"(?P<file>.*\.\w+)\s*\[(?P<columns>[^\[\]]*)\]$", re.DOTALL)
SHOWN = 8  # columns that a message lists
HELP_MISSING = "fill the value in, or delete the row: a program takes no missing values"


@dataclass(frozen=True)
class CsvRow:
    """A row of the file: its cells, its number (that of a spreadsheet, from 1) and where its text stands."""

    cells: list[str]
    number: int
    start: int
    end: int


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that is read for the value of `name` (`kind`: parameter or data)."""

    kind: str
    name: str
    source: Source
    header: CsvRow | None
    rows: list[CsvRow]

    # --------------------------------------------------------------------------------------------- problems
    def problem(self, what: str, span: Span | None, hint: str, label: str = "", notes: tuple[str, ...] = ()) -> ProbError:
        """P0604 at a place of the file."""
        title = f"the value of {self.kind} `{self.name}` cannot be read: {what}"
        return ProbError(Diagnostic("P0604", title, span, label, (), notes, hint, self.source))

    def cell_span(self, row: CsvRow, column: int) -> Span:
        """Where a cell stands; a cell that is not there stands at the end of its row."""
        starts, quoted = [row.start], False
        for position in range(row.start, row.end):
            character = self.source.text[position]
            if character == '"':
                quoted = not quoted
            elif character == "," and not quoted:
                starts.append(position + 1)
        if column >= len(starts):
            return Span(row.end, row.end)
        end = starts[column + 1] - 1 if column + 1 < len(starts) else row.end
        text = self.source.text[starts[column] : end]
        blank = len(text) - len(text.lstrip())
        return Span(starts[column] + blank, starts[column] + max(len(text.rstrip()), blank))

    def column_words(self, column: int) -> str:
        """A column as a message calls it."""
        if self.header is not None and column < len(self.header.cells):
            return f"column `{self.header.cells[column]}`"
        return f"column {column + 1}"

    # ---------------------------------------------------------------------------------------------- columns
    def columns(self, text: str) -> list[int]:
        """The positions of the columns that `[text]` names."""
        if self.header is None:
            what = "row 1 of `{}` is blank" if self.rows else "`{}` is empty"
            span = Span(0, self.rows[0].end) if self.rows else None
            raise self.problem(what.format(self.source.name), span, "the first row names the columns")
        names = self.header.cells
        wanted = [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]
        if not wanted or "" in wanted:
            hint = self.choosing(self.numeric_column(names))
            raise self.problem("`[...]` names no column", None, hint, notes=(f"its columns are {_listed(names)}",))
        found = []
        for name in wanted:
            if names.count(name) > 1:
                what = f"`{self.source.name}` has {names.count(name)} columns `{name}`"
                raise self.problem(what, self._header_span(), "rename one")
            if name not in names:
                near = nearest(name, names)
                headless = all(is_number(cell) for cell in names)
                hint = f"did you mean `{near}`?" if near else "choose one of its columns"
                if headless:
                    hint = "a first row that names the columns is needed to choose one"
                what = f"`{self.source.name}` has no column `{name}`"
                label = "this row would have to name it" if headless else ""
                notes = () if headless else (f"its columns are {_listed(names)}",)
                raise self.problem(what, self._header_span(), hint, label, notes)
            found.append(names.index(name))
        return found

    def _header_span(self) -> Span:
        assert self.header is not None
        return Span(self.header.start, self.header.end)

    # ----------------------------------------------------------------------------------------------- values
    def values(self, columns: list[int] | None) -> list[list[float]]:
        """The numbers of some columns (None: of all), row by row."""
        if not self.rows:
            cells = [] if self.header is None else self.header.cells
            hint = next(filter(None, map(_separated, cells)), "one row a line, numbers separated by commas")
            raise self.problem(f"`{self.source.name}` has no rows of numbers", None, hint)
        first = self.header or self.rows[0]
        return [self._row(row, first, columns) for row in self.rows]

    def _row(self, row: CsvRow, first: CsvRow, columns: list[int] | None) -> list[float]:
        if not any(row.cells) and not (len(row.cells) > 1 and len(row.cells) == len(first.cells)):
            what = f"row {row.number} of `{self.source.name}` is blank"
            raise self.problem(what, Span(row.start, row.end), HELP_MISSING, "no value")
        if len(row.cells) != len(first.cells):
            cells = counted(len(row.cells), "cell")
            what = f"row {row.number} of `{self.source.name}` has {cells}, the first row has {len(first.cells)}"
            if len(row.cells) < len(first.cells):
                label = f"no {self.column_words(len(row.cells))} here"
            else:
                label = "this cell has no column"
            place = self.cell_span(row, min(len(row.cells), len(first.cells)))
            raise self.problem(what, place, "every row needs as many cells as the first", label)
        wanted = range(len(row.cells)) if columns is None else columns
        return [self._number(row, column, columns is not None) for column in wanted]

    def _number(self, row: CsvRow, column: int, chosen: bool) -> float:
        cell = row.cells[column]
        if cell.lower() in MISSING:
            what = f"row {row.number} of `{self.source.name}` has no value in {self.column_words(column)}"
            raise self.problem(what, self.cell_span(row, column), HELP_MISSING, "no value")
        if not is_number(cell):
            what = f"`{cell}` in row {row.number} of `{self.source.name}`, {self.column_words(column)}, is not a number"
            raise self.problem(what, self.cell_span(row, column), self._hint(row, column, chosen))
        return float(cell)

    def _hint(self, row: CsvRow, column: int, chosen: bool) -> str:
        separated = _separated(row.cells[column])
        if separated:
            return separated
        names = self.header.cells if self.header is not None else self.rows[0].cells
        if row is self.rows[0] and self.header is None:
            first = next((cell for cell in names if not is_number(cell)), names[0])
            return f"if row 1 names the columns, choose one: {self.choosing(first)}"
        if len(row.cells) > 1 and not chosen:
            return f"choose the columns with numbers: {self.choosing(self.numeric_column(names))}"
        return "one number a cell, with a decimal point: 0.5"

    def choosing(self, column: str) -> str:
        """The option that takes one column, in quotes because shells read brackets."""
        option = "-p" if self.kind == "parameter" else "-d"
        return f"{option} '{self.name}=@{self.source.name}[{column}]'"

    def numeric_column(self, names: list[str]) -> str:
        """The column to propose: the one called like the value, else the last one that holds numbers."""
        cells = self.rows[0].cells if self.rows else []
        usable = [name for name, cell in zip(names, cells, strict=False) if name and is_number(cell)]
        return self.name if self.name in usable else usable[-1] if usable else names[-1]


def is_number(cell: str) -> bool:
    """Whether a cell holds a number (`nan` is none)."""
    try:
        return "_" not in cell and not math.isnan(float(cell))
    except ValueError:
        return False


def read_csv(kind: str, name: str, path: Path, axes: int | None, choice: str | None) -> Any:
    """The numbers of a CSV file, or of the columns that `choice` names: a vector of one column, else a matrix.

    `axes` is the declared number of axes: it settles whether a table of one row or column is a vector.  P0604 where there
    is something else than numbers.
    """
    import numpy

    table = read_table(kind, name, path, header=choice is not None)
    columns = None if choice is None else table.columns(choice)
    flat = columns is None and axes is not None and axes < 2
    if flat and table.header is not None and len(table.header.cells) > 1 < len(table.rows):
        names = table.header.cells
        what = f"`{path}` has {len(names)} columns, and `{name}` is {'a vector' if axes else 'a number'}"
        span = Span(table.header.start, table.header.end)
        raise table.problem(what, span, f"choose one: {table.choosing(table.numeric_column(names))}")
    values = numpy.array(table.values(columns))
    if axes == 0 and values.size == 1:
        return float(values[0, 0])
    if (axes is None or axes < 2) and 1 in values.shape:
        return values.reshape(-1)
    return values


def read_table(kind: str, name: str, path: Path, header: bool) -> CsvFile:
    """The rows of a CSV file; `header`: whether its first row surely names the columns."""
    try:
        source = Source(str(path), path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        title = f"the value of {kind} `{name}` cannot be read: `{path}` is not UTF-8 text"
        raise ProbError(Diagnostic("P0604", title, help="save it as CSV in UTF-8")) from None
    try:
        rows = _rows(source.text)
    except csv.Error as error:
        title = f"the value of {kind} `{name}` cannot be read: `{path}` is not a CSV file ({error})"
        raise ProbError(Diagnostic("P0604", title, help="one row a line, numbers separated by commas")) from None
    cells = rows[0].cells if rows else []
    named = any(map(_is_word, cells)) and not any(map(is_number, cells))
    named = named or (header and any(cells))
    return CsvFile(kind, name, source, rows[0] if named else None, rows[1:] if named else rows)


def _separated(cell: str) -> str:
    """What to say of a cell that is a whole row with another sign between its cells."""
    for sign, words in ((";", "semicolons"), ("\t", "tabs")):
        if sign in cell:
            return f"its cells are separated by {words}: save the file with commas"
    return ""


def _is_word(cell: str) -> bool:
    return cell.lower() not in MISSING and not is_number(cell)


def _rows(text: str) -> list[CsvRow]:
    """The rows of a text, blank ones included; a newline at its end ends the last row and begins no other."""
    lines = io.StringIO(text, newline="").readlines()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    reader = csv.reader(lines, skipinitialspace=True)
    rows: list[CsvRow] = []
    done = 0
    for cells in reader:
        end = starts[reader.line_num - 1] + len(lines[reader.line_num - 1].rstrip("\r\n"))
        rows.append(CsvRow([cell.strip() for cell in cells], len(rows) + 1, starts[done], end))
        done = reader.line_num
    return rows


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
