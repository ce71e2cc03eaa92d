"""How numbers and tables are set as text: as many digits as the standard error allows, columns that fit."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from .display.html import Grid, Part

WIDTH = 80
LEAST_WIDTH = 28  # of a column of prose
MOST_ENTRIES = 20  # of an array that are shown
ROUNDING = 1e-14  # of a number: a standard error below that is what float64 rounds


# ---------------------------------------------------------------------------------------------------- numbers
def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to a tenth of a per cent.

    Exact for 1 and 2 degrees of freedom, then the expansion of Fisher and Cornish (Abramowitz & Stegun 26.7.5).
    """
    z = 1.959963984540054
    if freedom > 200:
        return z
    if freedom <= 2:
        return 12.706204736174698 if freedom <= 1 else 4.302652729749464
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def decimals_for(error: float) -> int:
    """Decimals that show a standard error with one digit, or two where the first one is 1."""
    exponent = math.floor(math.log10(error))
    leading = error / math.pow(10, exponent)
    return -exponent + (1 if leading < 1.95 else 0)


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals, in powers of ten where it is long."""
    size = abs(value)
    if decimals > 8 or size >= 1e8 or decimals < -4:
        digits = 0 if size == 0 else max(0, math.floor(math.log10(size)) + decimals)
        return f"{value:.{min(digits, 15)}e}"
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def told(value: float, error: float) -> tuple[str, str]:
    """A number and its standard error, which is positive: with the digits that it allows, or those of an exact number."""
    if error <= ROUNDING * abs(value):
        return f"{value:.7g}", f"{error:.0e}"
    decimals = decimals_for(error)
    return fixed(value, decimals), fixed(error, decimals)


class Sampled(Protocol):
    """What rests on a number of runs."""

    @property
    def samples(self) -> int:
        """How many."""
        ...


@dataclass(frozen=True)
class Entry:
    """One number of a result: its index in words, mean and standard error."""

    index: str
    mean: float
    error: float

    def cells(self, result: Sampled, exact: bool | str) -> tuple[str, str, str]:
        """Estimate, standard error and 95 % interval; `exact`: it is the same whatever is drawn (or a word for why it is not)."""
        if self.error == 0:
            return f"{self.mean:.7g}", (exact if isinstance(exact, str) else "exact") if exact else "0", "-"
        if not math.isfinite(self.error):
            return f"{self.mean:.7g}", "unknown", "-"
        if self.error <= ROUNDING * abs(self.mean):
            return *told(self.mean, self.error), "-"
        decimals = decimals_for(self.error)
        half = student_quantile(result.samples - 1) * self.error
        interval = f"[{fixed(self.mean - half, decimals)}, {fixed(self.mean + half, decimals)}]"
        return *told(self.mean, self.error), interval


def entries(moments: Any) -> Iterator[Entry]:
    """The entries of a `Moments`, first axis first."""
    mean = moments.mean.detach().cpu().double()
    error = moments.se.detach().cpu().double()
    for position in product(*(range(size) for size in mean.shape)):
        yield Entry(index_text(position), float(mean[position]), float(error[position]))


def index_text(position: Sequence[int]) -> str:
    """`[0, 1]`, or nothing for a scalar."""
    return f"[{', '.join(map(str, position))}]" if position else ""


# ----------------------------------------------------------------------------------------------------- tables
def joined(parts: Sequence[Part], colour: bool = False) -> str:
    """The parts of a screen as text."""
    return "\n".join(part if isinstance(part, str) else grid_text(part, colour) for part in parts)


def grid_text(grid: Grid, colour: bool = False) -> str:
    """A table as text."""
    return table(grid.headers, grid.rows, align=grid.align, prose=grid.prose, colour=colour, first=grid.first)


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, align: str, prose: bool = False, colour: bool = False,
    first: int | None = None,
) -> str:
    """Rows under headers, indented by two.

    `align` has `l` or `r` for each column; `prose` wraps the last one to fit into 80 columns, `first` the first one into so
    many characters.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    last = len(headers) - 1
    widths = [max(len(row[column]) for row in [headers, *rows]) for column in range(last)]
    room = max(WIDTH - 2 - sum(widths) - 3 * last, LEAST_WIDTH)
    grid = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column, header in enumerate(headers):
        wrapped = (prose and column == last) or (first is not None and not column)
        grid.add_column(
            Text(header), justify="left" if align[column] == "l" else "right", no_wrap=not wrapped,
            width=(room if column else first) if wrapped else None,
        )
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    file = io.StringIO()
    console = Console(
        file=file, width=100_000, force_terminal=colour, color_system="standard" if colour else None, no_color=not colour,
        legacy_windows=False, force_jupyter=False, _environ={},
    )
    console.print(grid)
    return "\n".join(("  " + line).rstrip() for line in file.getvalue().splitlines())


def capped(rows: list[Sequence[str]], width: int) -> list[Sequence[str]]:
    if len(rows) <= MOST_ENTRIES:
        return rows
    more = f"... {len(rows) - MOST_ENTRIES} more (--json)"
    return [*rows[:MOST_ENTRIES], [more, *[""] * (width - 1)]]


def short(text: str, length: int) -> str:
    """A text cut to so many characters."""
    return text if len(text) <= length else text[: length - 3] + "..."
