"""How a command ends: the exit status of a result or of an error, and what is said of it on standard error.

As one of several processes (torchrun, Slurm), process 0 speaks for all, and its exit status is that of the job.  Why the others
must not end with a failure before process 0 has spoken, and how it hears of it: `runtime/estimates/board.py`.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from . import __version__, report
from .dsl.text.diagnostics import Diagnostic, ProbError, render_all
from .runtime.blocks.ranks import rank
from .terminal import BUG, DONE, DOUBTFUL, FAULT, INTERRUPTED, close_stdout, complain, emit

if TYPE_CHECKING:
    from .comparison import Comparison
    from .results import Result
    from .runtime.estimates.doubts import Doubt


def guarded(command: Callable[[], int], as_json: bool) -> int:
    """The exit status of a command; no exception gets out."""
    try:
        return command()
    except ProbError as error:
        if as_json:
            emit(report.error_json(error))
        complain(render_all(error.diagnostics, colour=report.wants_colour(sys.stderr)))
        return FAULT
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        during = str(error.__cause__ or "") if isinstance(error, click.Abort) else str(error)  # click hides what it caught
        complain("probrun: interrupted before the first result" + (f", while {during}" if during else ""))
        return INTERRUPTED
    except BrokenPipeError:
        close_stdout()
        return DONE
    except SystemExit as error:  # click's own answer to a closed pipe
        return error.code if isinstance(error.code, int) else FAULT
    except Exception as error:
        if rank():
            sys.stderr = sys.__stderr__
        _report_bug(error, as_json)
        return BUG


def _report_bug(error: Exception, as_json: bool) -> None:
    if as_json:
        emit(report.bug_json(error))
    diagnostic = Diagnostic(
        "P0901", "this is a bug in probrun, not in your program",
        notes=(f"{type(error).__name__}: {error}",),
        help="please report it, with the program and everything below",
    )
    complain(render_all([diagnostic], colour=report.wants_colour(sys.stderr)))
    complain("".join(traceback.format_exception(error)).rstrip())
    complain(version_block())


def version_block() -> str:
    """Versions for a bug report, one a line; imports nothing heavy."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    lines = [f"probrun {__version__}", f"python {platform.python_version()} on {platform.platform()}"]
    for package in ("torch", "numpy", "lark", "click", "rich", "matplotlib", "platformdirs"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join(lines)


def status_of(result: Result) -> int:
    """The exit status, with a word about what is not as it was asked for."""
    from .results import GradientResult

    unverified = result.unverified if isinstance(result, GradientResult) else ""
    if result.interrupted and unverified:
        complain("probrun: interrupted: the gradient is there, but it was not verified")
        return INTERRUPTED
    if result.interrupted:
        complain(f"probrun: interrupted after {result.samples} of {result.requested} runs")
        return INTERRUPTED
    if not result.reached:
        largest = result.largest_se
        needed = math.ceil(result.samples * (largest / (result.target_se or largest)) ** 2)
        complain(
            f"probrun: --target-se {result.target_se:g} is not reached: the largest standard error after {result.samples} "
            f"runs is {largest:.2g}; about -n {float(f'{needed:.2g}'):.0f} would do"
        )
        return DOUBTFUL
    if result.rounded:
        complain("probrun: float32 rounds too much here: leave --dtype out, or give float64")
        return DOUBTFUL
    if unverified:
        complain(f"probrun: the gradient was not verified: {unverified}")
        return DOUBTFUL
    corner = isinstance(result, GradientResult) and result.kinks and result.check is not None and result.check.sides
    if isinstance(result, GradientResult) and result.check is not None and not result.check.passed and not corner:
        complain(
            f"probrun: the gradient disagrees with the oracle ({result.check.method}) by {abs(result.check.worst):.1f} "
            "standard errors"
        )
        return DOUBTFUL
    return trusted(result.warnings)


def trusted(warnings: Iterable[Doubt]) -> int:
    """The exit status for what is warned of, with a word about it."""
    codes = dict.fromkeys(doubt.code for doubt in warnings)
    if codes:
        complain(f"probrun: not to be trusted: {', '.join(codes)} (probrun help)")
    return DOUBTFUL if codes else DONE


def status_of_comparison(found: Comparison) -> int:
    """The exit status of `compare`, with a word where rows are missing."""
    if not found.table.interrupted:
        return trusted(doubt for _, doubt in found.warnings)
    complain(f"probrun: interrupted; {len(found.rows)} {'row is' if len(found.rows) == 1 else 'rows are'} finished")
    return INTERRUPTED


# ---------------------------------------------------------------------------------- one of several processes
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
