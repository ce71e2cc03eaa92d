"""The magics of IPython: `%%prob` over a cell that holds a program, `%prob` for a command line."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from .shown import listening

INLINE = "picture.png"  # of `--plot` without a path
ALONE = {"lsp": "a language server is started by an editor"}
OF_ALL = ("-h", "--help", "--version")
HOW = "%prob [-o NAME] COMMAND FILE OPTIONS, or %%prob [-o NAME] [COMMAND] OPTIONS over a cell that holds a program"


def register(
    ipython: Any, commands: Collection[str], options_of: Callable[[str], Collection[str]], execute: Callable[[list[str]], int]
) -> None:
    """Let IPython know the magics, which execute command lines; `options_of`: how the options of a command are written."""

    def prob(line: str, cell: str | None = None) -> None:
        """`%%prob [-o NAME] [COMMAND] OPTIONS` over a program, or `%prob [-o NAME] COMMAND FILE OPTIONS`.

        The command is `grad` if none is named.  The result is shown, and kept under NAME; `--plot` without a path shows the
        picture below it.
        """
        words, name = _words(line, commands, options_of, cell is None)
        if cell is not None:
            if words[0] in commands and "-e" not in options_of(words[0]):
                raise _usage(f"{words[0]} takes no program from a cell; %prob {words[0]} is for files")
            if "-e" in words:
                raise _usage("the cell is the program: leave out -e")
            words += ["-e", cell]
        with tempfile.TemporaryDirectory() as folder:
            _run(ipython, execute, _inline(words, Path(folder)), name)

    ipython.register_magic_function(prob, magic_kind="line_cell", magic_name="prob")


def _usage(text: str) -> Exception:
    """What IPython shows without a traceback."""
    from IPython.core.error import UsageError

    return UsageError(text)


def _words(
    line: str, commands: Collection[str], options_of: Callable[[str], Collection[str]], alone: bool
) -> tuple[list[str], str | None]:
    """The words of a command line, and the variable that the result goes to; `alone`: there is no cell."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _usage(f"{str(error).lower()} in: {line}") from None
    if not words and alone:
        raise _usage(f"what is to be done? {HOW}")
    at = next((place for place, word in enumerate(words) if word in commands), len(words))
    own = at < len(words) and "-o" in options_of(words[at])  # what stands behind the command is the command's
    before, after = (words[:at], words[at:]) if own else (words, [])
    name = _taken(before, "-o")
    words = before + after
    first = words[0] if words else ""
    if first in ALONE:
        raise _usage(ALONE[first])
    if not first or (first.startswith("-") and first not in OF_ALL) or (first not in commands and Path(first).suffix):
        words.insert(0, "grad")
    return words, name


def _taken(words: list[str], option: str) -> str | None:
    """The value of an option that is the magic's own, which is taken away."""
    if option not in words:
        return None
    at = words.index(option)
    value = words[at + 1] if at + 1 < len(words) else ""
    if not value.isidentifier() or words.count(option) > 1:
        raise _usage(f"{option} is followed by the name of one variable, such as {option} result")
    del words[at : at + 2]
    return value


def _inline(words: list[str], folder: Path) -> list[str]:
    """The words, with a path after a `--plot` that has none."""
    found = []
    for number, word in enumerate(words):
        found.append(word)
        after = words[number + 1] if number + 1 < len(words) else "-"
        if word == "--plot" and after.startswith("-"):
            found.append(str(folder / INLINE))
    return found


def _run(ipython: Any, execute: Callable[[list[str]], int], words: list[str], name: str | None) -> None:
    from IPython.display import Image, display

    with listening() as ear:
        status = execute(words)
    for result in ear.results:
        display(result)  # type: ignore[no-untyped-call]
    for picture in ear.pictures:
        if picture.name == INLINE:
            display(Image(data=picture.read_bytes()))  # type: ignore[no-untyped-call]
        else:
            print(f"wrote {picture}")
    if name is not None and ear.results:
        ipython.push({name: ear.results[-1]})
    if status and not ear.results:
        raise _usage(f"probrun {words[0]} came to nothing (exit status {status})")  # without a traceback; later cells wait
    if name is not None and not ear.results:
        raise _usage(f"{words[0]} gives no result that could be kept as {name}")
