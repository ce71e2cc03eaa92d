"""probrun: the right gradient of an expectation, or a refusal that says why.

    import probrun

    program = probrun.load("examples/reparam.prob")
    result = program.grad({"theta": 2.0}, samples=10_000, seed=0)
    print(result.gradient["theta"].mean, result.gradient["theta"].se)

Importing this package loads neither torch nor matplotlib; running a program does.
"""

from __future__ import annotations

from .api import Function, Program, load, parse
from .dsl.text.diagnostics import Diagnostic, ProbError
from .magic import load_ipython_extension
from .results import GradientResult, RunResult, SiteReport
from .version import __version__

__all__ = [
    "Diagnostic",
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
