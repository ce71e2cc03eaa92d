"""probrun: the right gradient of an expectation, or a refusal that says why.

    import probrun

    program = probrun.load("examples/reparam.prob")
    result = program.grad({"theta": 2.0}, samples=10_000, seed=0)
    print(result.gradient["theta"].mean, result.gradient["theta"].se)

Importing this package loads neither torch nor matplotlib; running a program does.
"""

from __future__ import annotations

from typing import Any

from .api import Function, Program, load, parse
from .dsl.text.diagnostics import Diagnostic, ProbError
from .fit import FitResult
from .results import GradientResult, RunResult, SiteReport

__version__ = "0.1.0"


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext probrun`, then `%%prob grad -n 10000 -p theta=2` over a cell that holds a program (called by IPython)."""

    def prob(line: str, cell: str) -> None:
        """`%%prob COMMAND OPTIONS`: the command line's words, with the cell as the program (`grad` if no command is named)."""
        import shlex

        from .cli import COMMAND_NAMES, execute

        words = shlex.split(line)
        if not words or words[0] not in COMMAND_NAMES:
            words.insert(0, "grad")
        execute([*words, "-e", cell])

    ipython.register_magic_function(prob, magic_kind="cell", magic_name="prob")


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
