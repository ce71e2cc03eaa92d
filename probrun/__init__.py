"""probrun: the right gradient of an expectation, or a refusal that says why.

    import probrun

    program = probrun.load("examples/reparam.prob")
    result = program.grad({"theta": 2.0}, samples=10_000, seed=0)
    print(result.gradient["theta"].mean, result.gradient["theta"].se)

Importing this package loads neither torch nor matplotlib; running a program does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .api import Program, load, parse
from .display.shown import load_with
from .dsl.text.diagnostics import Diagnostic, ProbError
from .options import Function

_LATER = {"FitResult": "fit", "GradientResult": "results", "RunResult": "results", "SiteReport": "results"}  # by their file

if TYPE_CHECKING:
    from .fit import FitResult
    from .results import GradientResult, RunResult, SiteReport
else:
    def __getattr__(name: str) -> Any:
        """The classes of results, which are loaded where there are results (PEP 562)."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_LATER[name]}", __name__), name)

__version__ = "0.1.0"


def _load_views() -> None:
    from . import views  # noqa: F401


load_with(_load_views)


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext probrun`, then `%%prob grad -n 10000 -p theta=2` over a cell that holds a program (called by IPython)."""
    import click

    from .cli import commands, execute
    from .display.magics import register

    def options_of(name: str) -> set[str]:
        command = commands.get_command(click.Context(commands), name)
        return {word for option in getattr(command, "params", ()) for word in option.opts}

    register(ipython, commands.names, options_of, execute)


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
