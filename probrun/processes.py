"""A command as one of several processes (torchrun, Slurm): process 0 speaks for all, and its exit status is that of the job.

Why the others must not end with a failure before process 0 has spoken, and how it hears of it: `runtime/estimates/board.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from .dsl.text.diagnostics import Diagnostic, ProbError
from .runtime.blocks.ranks import rank
from .terminal import DONE


def announced(command: Callable[[], int]) -> int:
    """Run a command; where it fails before the processes work together, all the others hear of it."""
    try:
        return command()
    except Exception as error:
        from .runtime.estimates.team import absent

        absent(_told(error) if isinstance(error, click.ClickException) else error)
        raise


def _told(error: click.ClickException) -> ProbError:
    help_text = "every process reads the same files in the same place, on every machine"
    return ProbError(Diagnostic("P0604", f"process {rank()} cannot begin: {error.format_message()}", help=help_text))


def own_status(status: int) -> int:
    """The exit status of this process: 0 for one that need not speak, as process 0 does."""
    if status == DONE or not rank():
        return status
    from .runtime.estimates.team import STANDING, Awaited

    return DONE if STANDING.awaited is Awaited.NOWHERE else status
