"""The magics of IPython: `%%prob` over a cell that holds a program, `%prob` for a command line."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from .shown import listening

INLINE = "picture.png"  # of `--plot` without a path


def register(ipython: Any, commands: Collection[str], execute: Callable[[list[str]], int]) -> None:
    """Let IPython know the magics, which execute command lines."""

    def prob(line: str, cell: str | None = None) -> None:
        """`%%prob [-o NAME] [COMMAND] OPTIONS` over a program, or `%prob [-o NAME] COMMAND FILE OPTIONS`.

        The command is `grad` if none is named.  The result is shown, and kept under NAME; `--plot` without a path shows the
        picture below it.
        """
        words = shlex.split(line)
        name = _taken(words, "-o")
        if not words or words[0] not in commands:
            words.insert(0, "grad")
        if cell is not None:
            words += ["-e", cell]
        with tempfile.TemporaryDirectory() as folder:
            _run(ipython, execute, _inline(words, Path(folder)), name)

    ipython.register_magic_function(prob, magic_kind="line_cell", magic_name="prob")


def _taken(words: list[str], option: str) -> str | None:
    """The value of an option that is the magic's own, which is taken away."""
    if option not in words:
        return None
    at = words.index(option)
    value = words[at + 1] if at + 1 < len(words) else ""
    if not value.isidentifier():
        raise ValueError(f"{option} is followed by the name of a variable, such as {option} result")
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
    from IPython.core.error import UsageError
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
        raise UsageError(f"probrun {words[0]} came to nothing (exit status {status})")  # without a traceback; later cells wait
