"""Scopes, parameters, data, sites, results: what every name of a program means.  Every problem is reported (up to 20).

`resolve` is four short passes, each a module: `scopes` lists the declarations and the variables of each scope, `uses`
looks at every name and call in the order of the text and finds the sites, `assignment` follows the ways through the
program to see that what is read is set, and this module puts the result together.

Rules that LANGUAGE.md leaves open
- Declarations (`param`, `data`, `fn`) hold for the whole file.  The default or size of `data` may use data and sizes
  that are declared above it; those of a parameter may use all data.
- A name set anywhere in a function is the function's own in all of it, as in Python; reading it first is P0205.
- Without `param` lines every name that is read in some scope, and set neither there nor outside functions, is a scalar
  parameter; they come in the order of the text.
- Names of functions, distributions and constants cannot be used for variables, parameters or data.

Names of sites
- `z ~ Normal(0, 1)` is `z`.  Unnamed sites are numbered, in the order of the text, by the variable they feed: `x.1`,
  `x.2`, ... also where there is only one, and on through all statements that set `x`.  Those in conditions, loop
  ranges and results are `if.1`, `while.1`, `for.1`, `return.1`.
- Inside a function `f` they are `f.e`, `f.e.1`, `f.return.1`.
- Several sites of one name (`x ~ ...` in both branches, or before and in a loop) are `x`, `x#2`, `x#3`.

Names of results
- `return a, b` has the results `a` and `b`; what is no plain name is `result1`, `result2`, ... by position, and
  `result` where there is only one.  Several `return`s must agree in number; the last one in the text gives the names.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..syntax import Name, Program, Return, deep_recursion
from ..text.diagnostics import Diagnostic, Label
from ..text.problems import Problems, counted, report
from .assignment import check_assignment
from .resolved import External, ParameterFact, Resolved, Site
from .scopes import Outline, outline
from .uses import Uses, find_uses

__all__ = ["External", "ParameterFact", "Resolved", "Site", "resolve"]


def resolve(program: Program, external: Mapping[str, External] | None = None) -> Resolved:
    """All facts about the names of a program; a `ProbError` with every problem where something is wrong.

    `external` are functions of the embedding program.
    """
    declared, used, ways = Problems(), Problems(), Problems()
    with deep_recursion():
        names = outline(program, dict(external or {}), declared)
        uses = find_uses(names, used)
        check_returns(uses, used)
        settled = check_assignment(names, uses, ways)
    report((declared, used, ways), program.source)
    objective = None if uses.returns or uses.last is None else uses.last.name
    results = result_names(uses.returns[-1]) if uses.returns else () if objective is None else (objective,)
    return Resolved(
        program=program,
        parameters=parameters(names, uses),
        data=names.data,
        functions=names.functions,
        external=dict(names.external),
        sites=tuple(uses.sites),
        site_at={id(site.node): site for site in uses.sites},
        arguments=uses.arguments,
        results=results,
        objective=objective,
        variables=frozenset(uses.assigned),
        settled=settled & uses.assigned,
        weighted=names.weighted,
    )


def parameters(names: Outline, uses: Uses) -> dict[str, ParameterFact]:
    """The declared parameters, or the free names of a program that declares none."""
    found = {
        name: ParameterFact(name, node, node.shape, node.name_span) for name, node in names.parameters.items()
    }
    for name, span in uses.free.items():
        found[name] = ParameterFact(name, None, (), span)
    return found


def check_returns(uses: Uses, problems: Problems) -> None:
    """P0203 where two `return`s of the program give different numbers of results."""
    if not uses.returns:
        return
    last = uses.returns[-1]
    for statement in uses.returns[:-1]:
        if len(statement.values) != len(last.values):
            problems.add(Diagnostic(
                "P0203", "every `return` of a program must give the same number of results", last.span,
                counted(len(last.values), "result"),
                (Label(statement.span, counted(len(statement.values), "result")),),
            ))
            return


def result_names(statement: Return) -> tuple[str, ...]:
    """`("total", "peak")`; `result1`, `result2` by position for what is not a plain name or came before."""
    values = statement.values
    plain = [value.id if isinstance(value, Name) else None for value in values]
    if len(values) == 1:
        return (plain[0] or "result",)
    taken = {name for name in plain if name is not None}
    names: list[str] = []
    for position, name in enumerate(plain, 1):
        if name is None or name in names:
            name = f"result{position}"
            while name in taken:
                name += "_"
        names.append(name)
    return tuple(names)
