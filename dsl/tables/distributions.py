"""The distribution table, and how the arguments of a call meet its rows."""

from __future__ import annotations

from ..syntax import Distribution, Expression
from ..text.diagnostics import Diagnostic
from .distribution_facts import DistributionRow, Domain, ParameterRow
from .distribution_rows import DISTRIBUTIONS
from .meanings import argument_meant

__all__ = [
    "DISTRIBUTIONS", "DistributionRow", "Domain", "ParameterRow", "bind", "domain_help", "domain_words", "order_words",
    "signature",
]

# What to wrap around an unconstrained value to get into a domain.
_MAPS: dict[Domain, tuple[str, ...]] = {
    Domain.POSITIVE: ("exp", "softplus"),
    Domain.NONNEGATIVE: ("exp", "softplus"),
    Domain.UNIT: ("sigmoid",),
    Domain.UNIT_OPEN: ("sigmoid",),
    Domain.UNIT_ABOVE_ZERO: ("sigmoid",),
    Domain.UNIT_BELOW_ONE: ("sigmoid",),
    Domain.INTEGER: ("round",),
    Domain.PROBABILITIES: ("softmax",),
}


def signature(row: DistributionRow) -> str:
    """How a row is called: `StudentT(df, loc=0, scale=1)`, `Bernoulli(probs) or Bernoulli(logits=...)`."""
    forms = []
    for chosen in row.alternatives or ("",):
        words = []
        positional = True
        for parameter in row.parameters:
            if parameter.name in row.alternatives and parameter.name != chosen:
                positional = False
            elif parameter.default is not None:
                words.append(f"{parameter.name}={parameter.default:g}")
            else:
                words.append(parameter.name if positional else f"{parameter.name}=...")
        forms.append(f"{row.name}({', '.join(words)})")
    return " or ".join(forms)


def bind(row: DistributionRow, distribution: Distribution) -> tuple[dict[str, Expression], list[Diagnostic]]:
    """The arguments by torch's keyword, defaults left out, and what is wrong with them (P0203, P0204)."""
    names = [parameter.name for parameter in row.parameters]
    bound: dict[str, Expression] = {}
    problems: list[Diagnostic] = []
    note = (f"it is called as {signature(row)}",)
    place = distribution.name_span
    position = 0
    for argument in distribution.arguments:
        if argument.name is None:
            position += 1
            if position > len(names):
                continue
            name = names[position - 1]
        elif argument.name in names:
            name = argument.name
        else:
            problems.append(Diagnostic(
                "P0204", f"`{row.name}` has no argument `{argument.name}`", argument.span, notes=note,
                help=argument_meant(row, argument.name),
            ))
            continue
        if name in bound:
            problems.append(Diagnostic("P0204", f"`{name}` of {row.name} is given twice", argument.span, notes=note))
        else:
            bound[name] = argument.value
    if position > len(names):
        problems.append(Diagnostic(
            "P0203", f"`{row.name}` takes at most {_count(_most(row))}, but is given {position}", place, notes=note,
        ))
        return bound, problems
    return bound, problems + _missing_or_double(row, distribution, bound, bool(problems))


def _missing_or_double(
    row: DistributionRow, distribution: Distribution, bound: dict[str, Expression], doubtful: bool
) -> list[Diagnostic]:
    """Required arguments that are missing (unless a wrong keyword may have meant them), alternatives given together."""
    problems = []
    note = (f"it is called as {signature(row)}",)
    place = distribution.name_span
    given = [name for name in row.alternatives if name in bound]
    if len(given) > 1:
        both = " and ".join(f"`{name}`" for name in given)
        problems.append(Diagnostic(
            "P0204", f"`{row.name}` takes one of {both}, not {'both' if len(given) == 2 else 'all'}",
            bound[given[1]].span, notes=note,
        ))
    missing = [
        f"`{parameter.name}`" for parameter in row.parameters
        if parameter.default is None and parameter.name not in bound and parameter.name not in row.alternatives and not row.parts
    ]
    if row.alternatives and not given:
        missing.append(" or ".join(f"`{name}`" for name in row.alternatives))
    if missing and not doubtful:
        problems.append(Diagnostic("P0203", f"`{row.name}` needs {' and '.join(missing)}", place, notes=note))
    return problems


def domain_words(domain: Domain) -> str:
    """Completes "`probs` of Bernoulli must ..."."""
    return domain.value


def domain_help(row: DistributionRow, parameter: str, text: str) -> str | None:
    """What to type where the argument `text` of a parameter lies outside its domain; None where nothing is known."""
    maps = _MAPS.get(row.parameter(parameter).domain)
    if maps is None:
        return None
    first = row.parameters[0].name == parameter
    ways = [f"{row.name}({'' if first else '..., '}{function}({text}))" for function in maps]
    if parameter == "probs" and "logits" in row.alternatives:
        ways.append(f"{row.name}({'' if first else '..., '}logits={text})")
    return f"to use an unconstrained value, map it first: {' or '.join(ways)}"


def order_words(row: DistributionRow) -> str:
    """Completes "`low` of Uniform must ..." for the pair `row.ordered`."""
    assert row.ordered is not None
    return f"be below `{row.ordered[1]}`" if not row.discrete else f"not be above `{row.ordered[1]}`"


def _most(row: DistributionRow) -> int:
    return len(row.parameters) - max(len(row.alternatives) - 1, 0)


def _count(number: int) -> str:
    return "1 argument" if number == 1 else f"{number} arguments"
