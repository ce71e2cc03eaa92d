"""`Truncated(Normal(0, 1), 0, inf)`, `Mixture([w, 1 - w], Normal(a, 1), Normal(b, 1))`: a distribution with others inside.

Its arguments become one list by name, as the row of the table has them (`composites.py`); the parts are kept as they were written.
"""

from __future__ import annotations

from dataclasses import replace

from ..syntax import Argument, Distribution
from ..tables.composites import TRUNCATED, unfit
from ..tables.distributions import DISTRIBUTIONS, DistributionRow, bind
from ..text.closeness import nearest
from ..text.diagnostics import Diagnostic

WRITTEN = {
    "Truncated": "Truncated(Normal(0, 1), low, high), where an end may be infinite",
    "Mixture": "Mixture(weights, Normal(0, 1), Normal(3, 1)), with a vector of weights",
}


def assembled(name: str, arguments: tuple[Argument, ...], parts: list[Distribution | None]) -> Distribution | list[Diagnostic]:
    """The distribution that is made of others, or what is wrong with it; `parts`: of each argument the distribution that it is."""
    places = [place for place, part in enumerate(parts) if part is not None]
    if name == TRUNCATED:
        fits = len(arguments) == 3 and places == [0]
        named = [argument.name for argument in arguments[1:]] in ([None, None], [None, "high"], ["low", "high"])
        swapped = [argument.name for argument in arguments[1:]] == ["high", "low"]
        fits = fits and arguments[0].name is None and (named or swapped)
    else:
        fits = len(places) >= 1 and places == list(range(1, len(arguments))) and arguments[0].name in (None, "weights")
        fits = fits and all(argument.name is None for argument in arguments[1:])
    if not fits:
        if not arguments:
            return []
        span = arguments[0].span.to(arguments[-1].span)
        return [Diagnostic("P0203", f"`{name}` is written otherwise", span, help=f"write {WRITTEN[name]}")]
    inner = [part for part in parts if part is not None]
    rows: list[DistributionRow] = []
    bound: list[Argument] = []
    for number, part in enumerate(inner, 1):
        row = DISTRIBUTIONS.get(part.name)
        if row is None:
            near = nearest(part.name, DISTRIBUTIONS)
            help = None if near is None else f"did you mean `{near}`?"
            return [Diagnostic("P0202", f"unknown distribution `{part.name}`", part.name_span, "not known", help=help)]
        given, problems = bind(row, part)
        if problems:
            return problems
        rows.append(row)
        tail = "" if name == TRUNCATED else f"_{number}"
        bound += [Argument(key + tail, value, span=value.span) for key, value in given.items()]
    if reason := unfit(name, tuple(rows)):
        return [Diagnostic("P0210", f"`{name}` cannot be made of this", inner[0].span.to(inner[-1].span), reason)]
    made = f"{name}({', '.join(row.name for row in rows)})"
    if name == TRUNCATED:
        ends = [replace(argument, name=argument.name or key) for key, argument in zip(("low", "high"), arguments[1:], strict=True)]
        bound += sorted(ends, key=lambda argument: argument.name != "low")
        if made == "Truncated(Normal)":
            made = "TruncatedNormal"  # which is right at any distance
    else:
        bound = [replace(arguments[0], name="weights"), *bound]
    return Distribution(made, tuple(bound), parts=tuple(inner))
