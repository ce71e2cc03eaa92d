"""What `probrun compare` gives and shows: a table per gradient entry, and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from .display.html import Grid, Part
from .display.shown import Drawable
from .layout import WIDTH, decimals_for, fixed, index_text, joined, told

if TYPE_CHECKING:
    from .runtime.blocks.moments import Moments
    from .runtime.estimates.compare import Row, Table
    from .runtime.estimates.doubts import Doubt
    from .runtime.estimates.sides import Sides, Whole

MOST_ENTRIES = 4


@dataclass(frozen=True)
class Comparison(Drawable):
    """The outcome of `Program.compare`; `table.rows` holds a row per estimator."""

    program: str
    samples: int
    seed: int
    dtype: str
    device: str
    table: Table
    seconds: float
    kinks: tuple[tuple[int, str], ...] = ()  # that were met exactly: line and text
    sides: Mapping[str, Mapping[str, Sides]] = field(default_factory=dict)  # both derivatives there
    counted: tuple[Whole, ...] = ()

    @property
    def warnings(self) -> tuple[tuple[str | None, Doubt], ...]:
        """Why numbers are not to be trusted, and those of which estimator (None: of all)."""
        from .runtime.estimates.sides import cornered, counting

        several = len(self.rows[0].gradient) > 1
        corners = [(None, doubt) for doubt in (*cornered(self.kinks, self.sides, several), *counting(self.counted))]
        return (*((row.label, doubt) for row in self.rows for doubt in row.doubts), *corners)

    @property
    def rows(self) -> tuple[Row, ...]:
        """One per estimator."""
        return self.table.rows

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `probrun compare --json`."""
        return {
            "program": self.program, "samples": self.samples, "seed": self.seed, "dtype": self.dtype, "device": self.device,
            "reference": self.table.reference, "rows": [_row(row) for row in self.rows],
            "left_out": [{"estimator": label, "why": why} for label, why in self.table.left_out],
            "warnings": [doubt.to_dict() | {"estimator": label} for label, doubt in self.warnings],
            "seconds": round(self.seconds, 6), **({"interrupted": True} if self.table.interrupted else {}),
        }


def _row(row: Row) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "estimator": row.label, "chosen": row.chosen, "biased": row.biased, "wrong": row.wrong or None, "exact": row.exact,
        "samples": row.samples, "added": row.added,
        "gradient": _keyed(row.gradient, ("mean", "se", "sd")),
    }
    if row.value is not None:
        values = {name: _numbers(moments, ("mean", "se")) for name, moments in row.value.items()}
        entry["value"] = next(iter(values.values())) if len(values) == 1 else values
    if row.bias is not None:
        entry["bias"] = _keyed(row.bias, ("mean", "se", "z"))
    return entry | {"seconds": round(row.seconds, 6), "error": _finite(row.error), "error_at_equal_time": _finite(row.equal_time)}


def _keyed(gradient: dict[str, dict[str, Moments]], fields: tuple[str, ...]) -> Any:
    found = {
        result: {name: _numbers(moments, fields) for name, moments in rows.items()} for result, rows in gradient.items()
    }
    return next(iter(found.values())) if len(found) == 1 else found


def _numbers(moments: Moments, fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: _finite(getattr(moments, "sd" if field == "z" else field).cpu().tolist()) for field in fields}


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value if value - value == 0 else None


# ------------------------------------------------------------------------------------------------------- text
COLUMNS = ("estimator", "estimate", "std. error", "bias", "sd of a run", "time", "error", "same time")
LEAST_LABEL, LEAST_TIME = 16, 8
DISPENSABLE = ("same time", "sd of a run", "time", "error")  # where they do not fit, in this order


def comparison_text(comparison: Comparison, colour: bool = False, width: int | None = WIDTH) -> str:
    """The screen of `probrun compare`, with the columns that fit into so many characters (None: all)."""
    return joined(comparison_parts(comparison, width), colour)


def comparison_parts(comparison: Comparison, width: int | None = None) -> list[Part]:
    """Its lines and tables."""
    rows = comparison.rows
    head = (
        f"{comparison.program}     {comparison.samples} runs each    seed {comparison.seed}    "
        f"{comparison.dtype} on {comparison.device}"
    )
    parts: list[Part] = [head]
    entries = list(entries_of(rows[0]))
    tables = [[_cells(row, entry, comparison) for row in rows] for entry in entries[:MOST_ENTRIES]]
    titles = [title_of(rows[0], *entry) for entry in entries[:MOST_ENTRIES]]
    hidden, first = _fitted(titles, tables, width)
    for title, lines in zip(titles, tables, strict=True):
        shown = [number for number, name in enumerate(COLUMNS) if name not in hidden]
        headers = [title if COLUMNS[number] == "estimate" else COLUMNS[number] for number in shown]
        cells = [[line[number] for number in shown] for line in lines]
        parts += ["", Grid(headers, cells, "l" + "r" * (len(shown) - 1), first=first)]
    if len(entries) > MOST_ENTRIES:
        parts += ["", f"  ... {len(entries) - MOST_ENTRIES} more entries of the gradient (--json)"]
    return [*parts, "", *_footnotes(comparison, hidden, width or WIDTH)]


def _fitted(titles: list[str], tables: list[list[tuple[str, ...]]], width: int | None) -> tuple[tuple[str, ...], int | None]:
    """The columns that do not fit, alike for all tables, and the width of the first one where it must be wrapped."""
    hidden: tuple[str, ...] = ()
    lines = [row for rows in tables for row in rows]
    lines += [tuple(title if name == "estimate" else name for name in COLUMNS) for title in titles]
    least = [LEAST_TIME if name == "time" else 0 for name in COLUMNS]  # the same columns, whatever the clock says
    widest = [max(least[number], *(len(line[number]) for line in lines)) for number in range(len(COLUMNS))]
    for name in (*DISPENSABLE, None):
        needed = 2 + sum(size + 3 for size, column in zip(widest, COLUMNS, strict=True) if column not in hidden) - 3
        if width is None or needed <= width:
            return hidden, None
        if name is not None:
            hidden += (name,)
    return hidden, max(widest[0] - (needed - width), LEAST_LABEL) if width is not None else None


def _footnotes(comparison: Comparison, hidden: tuple[str, ...], width: int) -> Iterator[str]:
    reference, rows = comparison.table.reference, comparison.rows
    notes = []
    if reference is None:
        notes.append("bias and error: unknown, because no unbiased row is there to compare with")
    else:
        error = "" if "error" in hidden else " error: root mean square, at this number of runs"
        same = "" if "same time" in hidden else "; same time: if all took the same time"
        notes.append(f"bias: against {reference}, with its z-score.{error}{same}")
    if any(row.label.startswith("difference h=") for row in rows):
        notes.append("difference: by steps of h times max(1, |parameter|)")
    notes += [f"+ {row.label}: added as the reference" for row in rows if row.added]
    notes += [f"* what probrun chooses by itself: {row.label}" for row in rows if row.chosen][:1]
    notes += [f"! {row.label}: {row.wrong}" for row in rows if row.wrong and row.value is not None]
    if any(row.samples < comparison.samples for row in rows):
        notes.append(
            f"rows with a number of runs: not all {comparison.samples}, as --max-time was over, or as they would have taken longer "
            "than all others together (--max-lanes allows it)"
        )
    notes += [f"left out: {label}, because it {why}" if why.startswith("takes") else f"left out: {label}: {why}"
              for label, why in comparison.table.left_out]
    if hidden:
        notes.append(f"not shown at this width (--wide): {', '.join(name for name in COLUMNS if name in hidden)}")
    notes += _doubt_notes(comparison.warnings)
    for note in notes:
        yield from textwrap.wrap(note, width - 2, initial_indent="  ", subsequent_indent="    ")


def _doubt_notes(warnings: Sequence[tuple[str | None, Doubt]]) -> list[str]:
    """What is not to be trusted: of rows with the same trouble, the first one's in full."""
    found: dict[tuple[str, int | None], list[tuple[str | None, Doubt]]] = {}
    for label, doubt in warnings:
        found.setdefault((doubt.code, doubt.line), []).append((label, doubt))
    notes = []
    for (code, _), alike in found.items():
        (label, doubt), others = alike[0], [str(other) for other, _ in alike[1:]]
        likewise = f" (likewise {', '.join(others)})" if others else ""
        notes.append(f"? {label}: {code}: {doubt.message}{likewise}" if label else f"{code}: {doubt.message}")
    return notes


def entries_of(row: Row) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Result, parameter and position of every entry of the gradient."""
    for result, parameters in row.gradient.items():
        for name, moments in parameters.items():
            for position in product(*(range(size) for size in moments.mean.shape)):
                yield result, name, position


def title_of(row: Row, result: str, parameter: str, position: tuple[int, ...]) -> str:
    """What an entry is called: `d y/dtheta[0]`."""
    axes = row.value[result].mean.dim() if row.value is not None else 0
    above = f" {result}{index_text(position[:axes])}" if len(row.gradient) > 1 or axes else ""
    return f"d{above}/d{parameter}{index_text(position[axes:])}"


def _cells(row: Row, entry: tuple[str, str, tuple[int, ...]], comparison: Comparison) -> tuple[str, ...]:
    result, parameter, position = entry
    moments = row.gradient[result][parameter]
    mean, se, sd = (float(getattr(moments, field)[position]) for field in ("mean", "se", "sd"))
    marks = ("*" if row.chosen else "") + ("+" if row.added else "") + ("!" if row.wrong and row.value is not None else "")
    marks += "?" if row.doubts else ""
    label = row.label + (f" {marks}" if marks else "") + (f", {row.samples} runs" if row.samples < comparison.samples else "")
    if row.exact or se == 0:
        shown = (f"{mean:.7g}", "exact" if row.exact else "0")
    elif se - se != 0:
        shown = (f"{mean:.5g}", "unknown")
    else:
        shown = told(mean, se)
    bias = "-" if comparison.table.reference is not None else "unknown"
    if row.bias is not None:
        off = row.bias[result][parameter]
        difference, doubt, z = (float(getattr(off, field)[position]) for field in ("mean", "se", "sd"))
        decimals = decimals_for(doubt) if doubt > 0 else 2
        bias = fixed(difference, decimals) + (f" ({z:.1f})" if doubt > 0 else "")
    return (label, *shown, bias, f"{sd:.3g}", _time(row.seconds), _known(row.error), _known(row.equal_time))


def _known(value: float) -> str:
    return f"{value:.2g}" if value - value == 0 else "unknown"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
