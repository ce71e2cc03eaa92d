"""Files and command-line values in: a program's text, and what stands after the `=` of `-p` and `-d`.

Nothing else in probrun opens a file that the user names.  A file that is not there is an `OSError` (the command line
makes it exit status 2); a file or a text that cannot be understood is a `ProbError`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .dsl.text.diagnostics import Diagnostic, ProbError
from .dsl.text.source import Source, Span

Value: TypeAlias = Any  # a number, nested lists of numbers, or a NumPy array
FORMATS = ("json", "npy", "csv")


def read_program(path: str | Path) -> Source:
    """The source in a file; `-` is standard input.  P0108 for a directory, a binary file or bytes that are not UTF-8."""
    name = str(path)
    if name == "-":
        return decode("<stdin>", sys.stdin.buffer.read())
    if Path(path).is_dir():
        raise ProbError(
            Diagnostic(
                "P0108", f"`{name}` is a directory, not a program",
                help="name the file: " + _example_in(Path(path)), source=Source(name, ""),
            )
        )
    return decode(name, Path(path).read_bytes())


def _example_in(folder: Path) -> str:
    return next((str(found) for found in sorted(folder.glob("*.prob"))), str(folder / "program.prob"))


def decode(name: str, content: bytes) -> Source:
    """The source that some bytes hold.  P0108, with the place, where they are not text."""
    text = content.decode("utf-8", errors="replace")
    source = Source(name, text)
    if "\0" in text:
        position = text.index("\0")
        raise ProbError(
            Diagnostic(
                "P0108", f"`{name}` is not a text file",
                Span(position, position + 1), "a zero byte", source=source,
                help="a program is UTF-8 text; is this the right file?",
            )
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        position = len(content[: error.start].decode("utf-8"))
        raise ProbError(
            Diagnostic(
                "P0108", f"`{name}` is not valid UTF-8",
                Span(position, position + 1), f"byte 0x{content[error.start]:02x}", source=source,
                notes=(f"at byte {error.start} of {len(content)}",),
                help=f"save the file as UTF-8, for example: iconv -f latin1 -t utf-8 {name}",
            )
        ) from None
    return source


def read_values(kind: str, texts: Mapping[str, str], axes: Mapping[str, int]) -> dict[str, Value]:
    """Every `name=text` of one option.

    `kind` is "parameter" or "data" (for messages); `axes` gives the declared number of axes, which settles whether a
    table of one row or one column is a vector.
    """
    return {name: read_value(kind, name, text, axes.get(name)) for name, text in texts.items()}


def read_value(kind: str, name: str, text: str, axes: int | None = None) -> Value:
    """A number or array written as JSON, or in a file that `@` names.  P0604 where it cannot be read."""
    text = text.strip()
    if text.startswith("@"):
        return _read_file(kind, name, text[1:], axes)
    try:
        return float(text.replace("_", "?"))
    except ValueError:
        return _numbers(kind, name, text, text)


def _problem(kind: str, name: str, what: str, hint: str) -> ProbError:
    return ProbError(Diagnostic("P0604", f"the value of {kind} `{name}` cannot be read: {what}", help=hint))


def _numbers(kind: str, name: str, text: str, shown: str) -> Value:
    hint = f"write a number or JSON, such as {name}=0.5 or {name}='[1, 2, 3]', or name a file: {name}=@file.json"
    short = shown if len(shown) <= 40 else shown[:37] + "..."
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _problem(kind, name, f"`{short}` is not a number or JSON array", hint) from None
    if not _is_numeric(value):
        raise _problem(kind, name, f"`{short}` holds something that is not a number", hint)
    return value


def _is_numeric(value: object) -> bool:
    pending = [value]
    while pending:
        entry = pending.pop()
        if isinstance(entry, list):
            pending.extend(entry)
        elif not isinstance(entry, int | float) or (isinstance(entry, int) and abs(entry) > 10**300):
            return False
    return True


def _read_file(kind: str, name: str, file: str, axes: int | None) -> Value:
    path = Path(file)
    extension = path.suffix.lower().lstrip(".")
    reader = READERS.get(extension)
    if reader is None:
        known = ", ".join("." + known for known in FORMATS)
        raise _problem(kind, name, f"`{file}` has none of the endings {known}", f"for example {name}=@{path.stem}.json")
    with path.open("rb"):  # a missing file is an OSError, whatever the reader makes of it
        pass
    return reader(kind, name, path, axes)


def _read_json(kind: str, name: str, path: Path, axes: int | None) -> Value:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _problem(kind, name, f"`{path}` is not UTF-8 text", "save it as JSON in UTF-8") from None
    return _numbers(kind, name, text, str(path))


def _read_npy(kind: str, name: str, path: Path, axes: int | None) -> Value:
    import numpy

    hint = "write it with numpy.save; arrays of objects are not read"
    try:
        value = numpy.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _problem(kind, name, f"`{path}`: {error}", hint) from None
    if not isinstance(value, numpy.ndarray) or value.dtype.kind not in "biuf":
        raise _problem(kind, name, f"`{path}` does not hold an array of numbers", hint)
    return value


def _read_csv(kind: str, name: str, path: Path, axes: int | None) -> Value:
    import numpy

    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise _problem(kind, name, f"`{path}` is not UTF-8 text", "save it as CSV in UTF-8") from None
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    if rows and not any(_is_number(cell) for cell in rows[0]):
        rows = rows[1:]  # a header
    for number, row in enumerate(rows, start=1 + len(lines) - len(rows)):
        for cell in row:
            if not _is_number(cell):
                raise _problem(kind, name, f"`{cell}` in row {number} of `{path}` is not a number", "one number a cell")
        if len(row) != len(rows[0]):
            what = f"row {number} of `{path}` has {len(row)} numbers, the first one has {len(rows[0])}"
            raise _problem(kind, name, what, "every row needs the same length")
    if not rows:
        raise _problem(kind, name, f"`{path}` is empty", "one row a line, numbers separated by commas")
    table = numpy.array([[float(cell) for cell in row] for row in rows])
    if axes == 0 and table.size == 1:
        return float(table[0, 0])
    if (axes == 1 or axes is None) and 1 in table.shape:
        return table.reshape(-1)
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[str, str, Path, int | None], Value]] = {
    "json": _read_json,
    "npy": _read_npy,
    "csv": _read_csv,
}
