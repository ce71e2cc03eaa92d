"""Files and command-line values in: a program's text, and what stands after the `=` of `-p` and `-d`.

Also what other packages add to the language.  Nothing else in probrun opens a file that the user names.  A file that is not there
is an `OSError` (the command line makes it exit status 2); a file or a text that cannot be understood is a `ProbError`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .csv_files import CHOICE, read_csv
from .dsl.text.diagnostics import Diagnostic, ProbError
from .dsl.text.given import Given
from .dsl.text.source import Source, Span
from .options import Function, refuse

if TYPE_CHECKING:
    from .dsl.names.resolved import Resolved
    from .dsl.syntax import Program as ProgramNode

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


def read_values(kind: str, texts: Mapping[str, str], axes: Mapping[str, int]) -> Given:
    """Every `name=text` of one option, and what the files hold that are given without a name (`@FILE.json`, `@FILE.toml`).

    `kind` is "parameter" or "data" (for messages); `axes` gives the declared number of axes, which settles whether a
    table of one row or one column is a vector.  What is given by name goes before what a file says.
    """
    values = Given()
    for key in (key for key in texts if key.startswith("@")):
        for name, value in _read_several(kind, Path(key[1:])).items():
            if name in values:
                raise _problem(kind, name, f"`{key[1:]}` gives it, and {values.origins[name]} too", "give it once")
            values[name], values.origins[name] = value, f"`{key[1:]}`"
    for name, text in texts.items():
        if not name.startswith("@"):
            values[name] = read_value(kind, name, text, axes.get(name))
            values.origins[name] = _origin(text.strip())
    return values


def _origin(text: str) -> str:
    """Where a value was read, in words; nothing for what stands on the command line."""
    if not text.startswith("@"):
        return ""
    chosen = CHOICE.match(text[1:])
    if chosen is None:
        return f"`{text[1:]}`"
    columns = [f"`{cell.strip()}`" for cell in chosen["columns"].split(",")]
    return f"`{chosen['file']}`, column{'s' * (len(columns) > 1)} {', '.join(columns)}"


def read_value(kind: str, name: str, text: str, axes: int | None = None) -> Value:
    """A number or array written as JSON, or in a file that `@` names.  P0604 where it cannot be read."""
    text = text.strip()
    if text.startswith("@"):
        return _read_file(kind, name, text[1:], axes)
    try:
        return float(text.replace("_", "?"))
    except ValueError:
        return _numbers(kind, name, text, text)


def _read_several(kind: str, path: Path) -> dict[str, Value]:
    """The values by name of a JSON or TOML file; of what `probrun fit --save` writes, its `parameters`."""
    import tomllib

    readers: dict[str, Callable[[str], object]] = {".json": json.loads, ".toml": tomllib.loads}
    reader = readers.get(path.suffix.lower())
    option = "-p" if kind == "parameter" else "-d"
    if reader is None:
        one = path.suffix.lower().lstrip(".") in FORMATS
        hint = f"one value goes by its name: {option} NAME=@{path}" if one else f"for example {option} @{path.stem}.json"
        raise _file_problem(path, "has none of the endings .json, .toml", hint)
    try:
        found = reader(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise _file_problem(path, "is not UTF-8 text", "save it in UTF-8") from None
    except (ValueError, RecursionError) as error:
        hint = "write theta = 0.5" if path.suffix.lower() == ".toml" else 'write {"theta": 0.5, "mu": [1, 2]}'
        raise _file_problem(path, f"is not {path.suffix[1:].upper()}: {error}", hint) from None
    if isinstance(found, dict) and isinstance(found.get("parameters"), dict):
        found = found["parameters"]
    if not isinstance(found, dict):
        hint = f'write {{"theta": 0.5}}; one value goes by its name: {option} NAME=@{path}'
        raise _file_problem(path, "does not give values by name", hint)
    for name, value in found.items():
        if not _is_numeric(value):
            raise _problem(kind, name, f"`{path}` gives something that is not a number or an array", f"{name} = 0.5, or [1, 2, 3]")
    return found


def _file_problem(path: Path, what: str, hint: str) -> ProbError:
    return ProbError(Diagnostic("P0604", f"`{path}` {what}", help=hint))


def _problem(kind: str, name: str, what: str, hint: str) -> ProbError:
    return ProbError(Diagnostic("P0604", f"the value of {kind} `{name}` cannot be read: {what}", help=hint))


def _numbers(kind: str, name: str, text: str, shown: str, file: bool = False) -> Value:
    hint = f"write a number or JSON, such as {name}=0.5 or {name}='[1, 2, 3]', or name a file: {name}=@file.json"
    short = shown if len(shown) <= 40 else shown[:37] + "..."
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if file and isinstance(error, json.JSONDecodeError) and text.strip():
            place = Span(error.pos, error.pos + 1)
            title = f"the value of {kind} `{name}` cannot be read: `{shown}` is not JSON"
            source = Source(shown, text)
            raise ProbError(Diagnostic("P0604", title, place, error.msg.lower(), (), (), "write [1, 2, 3]", source)) from None
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
    chosen = CHOICE.match(file)
    path = Path(file if chosen is None else chosen["file"])
    extension = path.suffix.lower().lstrip(".")
    if extension not in FORMATS:
        known = ", ".join("." + known for known in FORMATS)
        raise _problem(kind, name, f"`{path}` has none of the endings {known}", f"for example {name}=@{path.stem}.json")
    with path.open("rb"):  # a missing file is an OSError, whatever the reader makes of it
        pass
    if extension == "csv":
        return read_csv(kind, name, path, axes, None if chosen is None else chosen["columns"])
    if chosen is not None:
        raise _problem(kind, name, f"`{path}` has no columns to choose from", "only the columns of a .csv file have names")
    return READERS[extension](kind, name, path)


def _read_json(kind: str, name: str, path: Path) -> Value:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _problem(kind, name, f"`{path}` is not UTF-8 text", "save it as JSON in UTF-8") from None
    return _numbers(kind, name, text, str(path), file=True)


def _read_npy(kind: str, name: str, path: Path) -> Value:
    import numpy

    hint = "write it with numpy.save; arrays of objects are not read"
    try:
        value = numpy.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _problem(kind, name, f"`{path}`: {error}", hint) from None
    if not isinstance(value, numpy.ndarray) or value.dtype.kind not in "biuf":
        raise _problem(kind, name, f"`{path}` does not hold an array of numbers", hint)
    return value


READERS: dict[str, Callable[[str, str, Path], Value]] = {
    "json": _read_json,
    "npy": _read_npy,
}


# -------------------------------------------------------------------------------------- what other packages add
def resolved_with(program: ProgramNode, functions: Mapping[str, object]) -> Resolved:
    """The facts of a program with functions of the caller's.  Names that are not known are looked for in the entry points of other
    packages: `probrun.functions` (a `Function` each) and `probrun.distributions` (a row of the table, and a law or None)."""
    from .dsl.names.resolve import External, resolve

    external: dict[str, External] = {}
    for name, function in functions.items():
        if not isinstance(function, Function):
            raise refuse(
                f"function `{name}` is a {type(function).__name__}, not a probrun.Function",
                f"functions={{'{name}': probrun.Function({name}, smooth=True)}}",
            )
        external[name] = External(function.call, function.smooth, None)
    while True:
        try:
            return resolve(program, external)
        except ProbError as error:
            places = [one.span for one in error.diagnostics if one.code == "P0202" and one.span is not None]
            unknown = dict.fromkeys(program.source.slice(place) for place in places)
            found = [(name, own) for name in unknown if name not in external and (own := _added_function(name)) is not None]
            drawn = [name for name in unknown if _added_distribution(name)]
            if not found and not drawn:
                raise
            external |= {name: External(own.call, own.smooth, None) for name, own in found}


def _added(group: str, name: str) -> Any:
    """What another package gives under that name; None where none does."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=f"probrun.{group}", name=name):
        try:
            return entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist is not None else entry.module
            raise refuse(f"`{name}` of the package {package} cannot be loaded: {error!r}", "mend or remove that package") from None
    return None


def _added_function(name: str) -> Function | None:
    found = _added("functions", name)
    if found is None or isinstance(found, Function):
        return found
    raise refuse(f"`{name}` of another package is a {type(found).__name__}, not a probrun.Function", "mend or remove that package")


def _added_distribution(name: str) -> bool:
    """Put a distribution of another package into the tables."""
    from .dsl.tables.distributions import DISTRIBUTIONS, DistributionRow

    found = None if DISTRIBUTIONS.get(name) is not None else _added("distributions", name)
    if found is None:
        return False
    row, law = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    if not isinstance(row, DistributionRow) or row.name != name:
        raise refuse(f"`{name}` of another package is no row of the table of distributions with its law", "see docs/extending.md")
    if law is not None:
        from .runtime.laws.build import LAWS

        LAWS[name] = law
    DISTRIBUTIONS[name] = row
    return True
