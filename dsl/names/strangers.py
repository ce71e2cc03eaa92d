"""Names that are given from outside, `-p` and `-d`, and that the program does not declare."""

from __future__ import annotations

from collections.abc import Mapping

from ..text.closeness import nearest
from ..text.diagnostics import Diagnostic, ProbError
from ..text.given import origin_notes
from ..text.source import Span
from .resolved import Resolved


def refuse_unknown(resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object]) -> None:
    """P0603, at the declaration that was most likely meant."""
    for values, declared, kind in ((parameters, resolved.parameters, "parameter"), (data, resolved.data, "data")):
        for name in values:
            if name not in declared:
                raise ProbError(_unknown(resolved, str(name), kind, origin_notes(values, name)))


def _unknown(resolved: Resolved, name: str, kind: str, origin: tuple[str, ...]) -> Diagnostic:
    wanted: Mapping[str, object] = resolved.parameters if kind == "parameter" else resolved.data
    other: Mapping[str, object] = resolved.data if kind == "parameter" else resolved.parameters
    near = nearest(name, wanted)
    known = ", ".join(f"`{entry}`" for entry in wanted) or "none"
    meant, label = near, "did you mean this one?"
    if name in other:
        meant, label = name, "declared here"
        help = f"`{name}` is {'data: give it by -d' if kind == 'parameter' else 'a parameter: give it by -p'}"
    else:
        word = "param" if kind == "parameter" else "data"
        help = f"did you mean `{near}`?" if near else f"declare it: {word} {name}, or leave it out"
    return Diagnostic(
        "P0603", f"the program has no {kind} `{name}`", None if meant is None else _place(resolved, meant),
        "" if meant is None else label, (), (f"its {'parameters' if kind == 'parameter' else 'data'}: {known}", *origin), help,
        resolved.program.source,
    )


def _place(resolved: Resolved, name: str) -> Span:
    """Where a parameter or data is declared."""
    data = resolved.data.get(name)
    return resolved.parameters[name].span if data is None else data.name_span
