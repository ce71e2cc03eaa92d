"""probrun: the right gradient of an expectation, or a refusal that says why.

    import probrun

    program = probrun.load("examples/reparam.prob")
    result = program.grad({"theta": 2.0}, samples=10_000, seed=0)
    print(result.gradient["theta"].mean, result.gradient["theta"].se)

Importing this package loads neither torch nor matplotlib; running a program does.
"""

from __future__ import annotations

from typing import Any

from .api import Program, load, parse
from .display.shown import load_with
from .dsl.text.diagnostics import Diagnostic, ProbError
from .fit import FitResult
from .options import Function
from .results import GradientResult, RunResult, SiteReport

__version__ = "0.1.0"


def _load_views() -> None:
    from . import views  # noqa: F401


load_with(_load_views)


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext probrun`, then `%%prob grad -n 10000 -p theta=2` over a cell that holds a program (called by IPython)."""

    from .cli import commands, execute
    from .display.magics import register

    register(ipython, commands.names, execute)


__all__ = [
    "Diagnostic",
    "FitResult",
    "Function",
    "GradientResult",
    "ProbError",
    "Program",
    "RunResult",
    "SiteReport",
    "__version__",
    "load",
    "load_ipython_extension",
    "parse",
]
