"""What the commands share: exit statuses, printing that survives a closed pipe, and the error for a missing file."""

from __future__ import annotations

import contextlib
import gc
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, TypeVar

import click

from .display.shown import heard
from .dsl.text.closeness import nearest
from .layout import WIDTH

T = TypeVar("T")
OTHER_NAMES = {
    "gradient": "grad", "diff": "grad", "differentiate": "grad", "sample": "run", "simulate": "run", "exec": "run",
    "plan": "explain", "lint": "check", "validate": "check", "format": "fmt", "benchmark": "compare",
}  # fmt: skip
OF_THE_GROUP = ("-h", "--help", "--version")
ELSEWHERE = {  # by their file
    "fit": "cli_fit", "vi": "cli_fit",
    "sweep": "many.sweep_command", "merge": "many.merge_command", "trace": "many.looking", "profile": "many.looking",
}
FIRST, LAST = ("grad", "run", "compare", "fit", "vi"), ("check", "fmt", "help")
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


def show_text(result: T, text: Callable[[T], str]) -> None:
    """Print the screen of a result, unless somebody listens who shows it in another way."""
    if not heard(result):
        emit(text(result))


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
    """Load torch, the collector at rest."""
    with collector_at_rest():
        import torch  # noqa: F401


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """Load what stays: the garbage collector need never look at what is made inside."""
    gc.disable()
    try:
        yield
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
            if not folder.is_dir():
                message += f" (there is no folder {folder})"
            siblings = [str(found) for found in folder.glob("*.prob")] if folder.is_dir() else []
            close = nearest(name, siblings) or nearest(name, [str(Path(found)) for found in siblings])
            message += f"; did you mean {close}?" if close else ""
        else:
            message = f"{name}: {error.strerror or error}"
        super().__init__(message)


def command_meant(arguments: Sequence[str], commands: Collection[str]) -> str | None:
    """What is wrong with a command line that does not begin with a command, or None where nothing more is known."""
    first = arguments[0] if arguments else ""
    if not first or first in commands or first in OF_THE_GROUP:
        return None
    if first in OTHER_NAMES:
        command = OTHER_NAMES[first]
        return f"no such command: {first}; type: {shlex.join(['probrun', command, *arguments[1:]])}"
    if first.startswith("-") and first != "-":
        named = next((word for word in arguments if word in commands), None)
        if named is not None:
            rest = list(arguments)
            rest.remove(named)
            return f"options come after the command; type: {shlex.join(['probrun', named, *rest])}"
    if _is_program(first) or first == "-e" or (first.startswith("-") and any(map(_is_program, arguments))):
        return f"there is no command; for the gradient type: {shlex.join(['probrun', 'grad', *arguments])}"
    return None


def _is_program(word: str) -> bool:
    return word == "-" or word.endswith(".prob") or (not word.startswith("-") and Path(word).is_file())


class Ordered(click.Group):
    """Lists its commands in the order in which they are defined; those of other files are loaded when they are asked for."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the commands, in the order of the list."""
        between = [name for name in (*self.commands, *ELSEWHERE) if name not in (*FIRST, *LAST)]
        return (*FIRST, *between, *LAST)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The same, for click."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name in ELSEWHERE:
            found: click.Command = getattr(import_module(f".{ELSEWHERE[cmd_name]}", __package__), f"{cmd_name}_command")
            return found
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Where the command is missing, say what to type."""
        wrong = command_meant(args, self.names)
        if wrong is not None:
            ctx.fail(wrong)
        return super().parse_args(ctx, args)
