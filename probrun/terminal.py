"""What the commands share: exit statuses, printing that survives a closed pipe, and the error for a missing file."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import IO

import click

from .dsl.text.closeness import nearest
from .report import WIDTH

DONE, FAULT, USAGE, DOUBTFUL, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130


class Quiet(click.exceptions.Exit):
    """The reader of standard output has gone: nothing more to do."""

    def __init__(self) -> None:
        super().__init__(DONE)


def close_stdout() -> None:
    """Send what is still buffered nowhere, so that Python does not complain on its way out."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit(text: str, end: str = "\n") -> None:
    """Print a result."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
        raise Quiet from None


def complain(text: str) -> None:
    """Print what is not a result."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        pass


def width_of(stream: IO[str]) -> int:
    """Columns of a terminal, at least 80; 80 for anything else."""
    try:
        return max(os.get_terminal_size(stream.fileno()).columns, WIDTH) if stream.isatty() else WIDTH
    except (OSError, ValueError):
        return WIDTH


def load_torch() -> None:
    """Load torch with the garbage collector at rest: what it makes is there to stay, and need never be looked at again."""
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


class NoFile(click.ClickException):
    """A file cannot be opened: exit status 2."""

    exit_code = USAGE

    def __init__(self, error: OSError, path: str | None = None) -> None:
        name = str(path or error.filename or "?")
        if isinstance(error, FileNotFoundError):
            message = f"no such file: {name}"
            folder = Path(name).parent
            siblings = [str(found) for found in folder.glob("*.prob")] if folder.is_dir() else []
            close = nearest(name, siblings) or nearest(name, [str(Path(found)) for found in siblings])
            message += f"; did you mean {close}?" if close else ""
        else:
            message = f"{name}: {error.strerror or error}"
        super().__init__(message)


