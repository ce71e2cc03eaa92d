"""Names that are given a value by `-p` and `-d`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from .diagnostics import Diagnostic, ProbError
from .resolved import Resolved
from .source import Span


def refuse_unknown(resolved: Resolved, parameters: Iterable[str], data: Iterable[str]) -> None:
    """P0603 for a name that the program does not declare."""
    for name in parameters:
        if name not in resolved.parameters:
            raise _unknown(resolved, str(name), list(resolved.parameters), name in resolved.data, "parameter", "-p")
    for name in data:
        if name not in resolved.data:
            raise _unknown(resolved, str(name), list(resolved.data), name in resolved.parameters, "data", "-d")


def _unknown(resolved: Resolved, name: str, declared: list[str], elsewhere: bool, kind: str, option: str) -> ProbError:
    near = get_close_matches(name, declared, n=1)
    known = ", ".join(f"`{entry}`" for entry in declared) or "none"
    if elsewhere:
        help = f"`{name}` is {'data: give it by -d' if kind == 'parameter' else 'a parameter: give it by -p'}"
    else:
        help = f"did you mean `{near[0]}`?" if near else f"{option} names what the program declares"
    return ProbError(Diagnostic(
        "P0603", f"the program has no {kind} `{name}`", Span(0, 0), source=resolved.program.source,
        notes=(f"its {'parameters' if kind == 'parameter' else 'data'}: {known}",), help=help,
    ))
