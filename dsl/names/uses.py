"""What every name, call and distribution of a program means, in the order of the text; and the sampling sites."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import assert_never

from ..levels import Correction, Guided, Proposal, added_to, hidden, written
from ..syntax import (
    Argument,
    Assign,
    Block,
    Call,
    Data,
    Distribution,
    Draw,
    Expression,
    For,
    Function,
    If,
    Name,
    Node,
    Number,
    Parameter,
    Range,
    Require,
    Return,
    Sample,
    Statement,
    While,
)
from ..tables.constants import CONSTANTS
from ..tables.distributions import DISTRIBUTIONS, bind
from ..tables.functions import FUNCTIONS, check_arity
from ..tables.meanings import value_meant
from ..tables.synonyms import NEVER
from ..text.closeness import nearest
from ..text.diagnostics import Diagnostic, Label
from ..text.problems import Problems, counted
from ..text.source import Span
from .resolved import Site
from .scopes import Outline, Scope, nodes_in, unknown_function

EVENTS = ("numbers", "vectors", "matrices")  # by the number of axes of one draw


@dataclass
class Uses:
    """What the walk has found.  `reads` and `calls` are per function: outer variables read, functions called.

    `assigned` are the names set outside functions (loop variables do not count), `last` is the last such statement.
    """

    sites: list[Site] = field(default_factory=list)
    arguments: dict[int, dict[str, Expression]] = field(default_factory=dict)
    free: dict[str, Span] = field(default_factory=dict)
    reads: dict[str, dict[str, Span]] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    returns: list[Return] = field(default_factory=list)
    last: Assign | Sample | None = None
    assigned: set[str] = field(default_factory=set)
    misplaced: bool = False  # something is set that cannot be set: the missing result is no second problem


def find_uses(outline: Outline, problems: Problems) -> Uses:
    """Walk the whole program; every unknown name, wrong call and double meaning is reported."""
    uses = Uses()
    walker = Walker(outline, uses, problems)
    for statement in outline.program.body.statements:
        if not isinstance(statement, Function):
            walker.statement(statement, outline.outer)
        elif outline.functions.get(statement.name) is statement:
            uses.reads[statement.name] = {}
            uses.calls[statement.name] = set()
            walker.block(statement.body, outline.inner[statement.name])
    uses.sites = unique(uses.sites)
    return uses


def unique(sites: list[Site]) -> list[Site]:
    """Sites of the same name become `x`, `x#2`, `x#3` in the order of the text."""
    seen: dict[str, int] = {}
    result = []
    for site in sites:
        number = seen[site.name] = seen.get(site.name, 0) + 1
        name = site.name if number == 1 else f"{site.name}#{number}"
        result.append(replace(site, name=name))
    return result


class Walker:
    """One walk in the order of the text, over statements by recursion and over expressions by a stack."""

    def __init__(self, outline: Outline, uses: Uses, problems: Problems):
        self.outline = outline
        self.uses = uses
        self.problems = problems
        self.unnamed: dict[str, int] = {}
        self.loops = 0  # how many stand around the present statement
        self.reported: set[tuple[str | None, str]] = set()
        self.owners: dict[str, Scope] = {
            name: scope for scope in outline.inner.values() for name in scope.variables
        }

    # -------------------------------------------------------------------------------------------- statements
    def block(self, block: Block, scope: Scope) -> None:
        """All statements of a block."""
        for statement in block.statements:
            self.statement(statement, scope)

    def body(self, block: Block, scope: Scope) -> None:
        """The statements of a loop."""
        self.loops += 1
        self.block(block, scope)
        self.loops -= 1

    def statement(self, statement: Statement, scope: Scope) -> None:
        """One statement; its unnamed sites are called by the variable it feeds."""
        match statement:
            case Correction():
                self.all([added_to(statement)], scope, written(statement.name))
            case Assign():
                self.setter(statement, scope)
                self.all([*statement.indices, statement.value], scope, written(statement.name))
            case Sample():
                self.setter(statement, scope)
                name = statement.name
                if isinstance(statement, Proposal | Guided):
                    name = statement.shown
                if isinstance(statement, Proposal):
                    self.proposal(statement)
                self.site(statement, statement.distribution, name, scope)
                self.all([*statement.indices, statement.distribution], scope, name)
            case Require():
                self.all([statement.condition], scope, "observe")
            case If():
                for condition, branch in statement.branches:
                    self.all([condition], scope, "if")
                    self.block(branch, scope)
                if statement.otherwise is not None:
                    self.block(statement.otherwise, scope)
            case For(iterable=Range(start=start, stop=stop)):
                self.all([stop] if start is None else [start, stop], scope, "for")
                self.body(statement.body, scope)
            case For():
                if isinstance(statement.iterable, Number):
                    self.problems.add(Diagnostic(
                        "P0110", "a number is no range", statement.iterable.span,
                        help=f"write for {statement.variable} in range({statement.iterable.text}) {{ ... }}",
                    ))
                self.all([statement.iterable], scope, "for")
                self.body(statement.body, scope)
            case While():
                self.loops += 1
                self.all([statement.condition], scope, "while")
                self.loops -= 1
                self.body(statement.body, scope)
            case Return():
                self.returned(statement, scope)
                self.all(list(statement.values), scope, "return")
            case Parameter() | Data() | Function():
                pass
            case _:
                assert_never(statement)

    def setter(self, statement: Assign | Sample, scope: Scope) -> None:
        """Remember the variables that are set outside functions, and the textually last of them."""
        if scope.function is not None or hidden(statement.name):
            return
        if statement.name in scope.variables:
            self.uses.last = statement
            self.uses.assigned.add(statement.name)
        else:
            self.uses.misplaced = True

    def returned(self, statement: Return, scope: Scope) -> None:
        """The returns of the outer program; a function has one result (P0211)."""
        if scope.function is None:
            self.uses.returns.append(statement)
        elif len(statement.values) > 1:
            self.problems.add(Diagnostic(
                "P0211", f"the function `{scope.name}` returns {len(statement.values)} results", statement.span,
                "only the program itself can return several", (), (),
                "return a vector, `return [a, b]`, and take its entries, `r[0]` and `r[1]`",
            ))

    # ------------------------------------------------------------------------------------------- expressions
    def all(self, roots: list[Expression | Distribution | Node], scope: Scope, feeds: str) -> None:
        """Every node of some expressions."""
        for root in roots:
            for node in nodes_in(root):
                match node:
                    case Name():
                        self.name(node, scope)
                    case Call():
                        self.call(node, scope)
                    case Distribution():
                        self.distribution(node, scope)
                    case Draw():
                        self.unnamed_site(node, scope, feeds)
                    case _:
                        pass

    def name(self, node: Name, scope: Scope) -> None:
        """A name that is read as a value."""
        name, outline = node.id, self.outline
        if name in scope.variables or name in CONSTANTS or outline.given(name):
            return
        if name in outline.outer.variables:
            self.uses.reads[str(scope.name)].setdefault(name, node.span)
            return
        if (scope.name, name) in self.reported:
            return
        meaning = outline.fixed(name)
        if meaning is not None:
            self.reported.add((scope.name, name))
            self.problems.add(self.not_a_value(node, meaning))
        elif outline.implicit and name not in NEVER:
            self.uses.free.setdefault(name, node.span)
        elif not self.problems.full:
            self.reported.add((scope.name, name))
            self.problems.add(self.unknown(node, scope))

    def not_a_value(self, node: Name, meaning: str) -> Diagnostic:
        """P0210: a function or a distribution where a value belongs."""
        if meaning == "a distribution":
            advice = f"draw from it: z ~ {node.id}(...)"
        else:
            advice = f"call it: {node.id}(...)"
        return Diagnostic("P0210", f"`{node.id}` is {meaning}, not a value", node.span, "used as a value", (), (), advice)

    def unknown(self, node: Name, scope: Scope) -> Diagnostic:
        """P0201, with the nearest known name."""
        name = node.id
        near = nearest(name, self.outline.values(scope))
        owner = self.owners.get(name)
        labels: tuple[Label, ...] = ()
        if owner is not None:
            labels = (Label(owner.variables[name], f"only inside the function `{owner.name}`"),)
        advice = value_meant(name) or (f"did you mean `{near}`?" if near else f"if it is a parameter, declare it: param {name}")
        if owner is not None:
            advice = f"return it from `{owner.name}`, or set it outside"
        return Diagnostic("P0201", f"unknown name `{name}`", node.span, "not known here", labels, (), advice)

    def call(self, node: Call, scope: Scope) -> None:
        """A call of a function of the program, of the embedding program, or of a built-in one."""
        name, outline = node.function, self.outline
        if name in outline.functions:
            if scope.function is not None:
                self.uses.calls[scope.function.name].add(name)
            function = outline.functions[name]
            expected = ", ".join(function.parameters)
            self.arity(node, len(function.parameters), f"it is called as {name}({expected})", function.name_span)
        elif name in outline.external:
            arity = outline.external[name].arity
            self.arity(node, arity, "it is given by the program that embeds this one", None)
        elif name in FUNCTIONS:
            self.problems.add(*check_arity(FUNCTIONS[name], node))
        elif name in scope.variables or name in outline.outer.variables or outline.given(name) or name in CONSTANTS:
            self.problems.add(Diagnostic(
                "P0210", f"`{name}` is not a function", node.name_span, "called like one", (), (),
                f"to multiply write {name} * (...), to take an entry write {name}[...]",
            ))
        elif not self.problems.full:
            self.problems.add(unknown_function(outline, node))

    def arity(self, node: Call, wanted: int | None, note: str, place: Span | None) -> None:
        """P0203 and P0204 for a function that is not built in."""
        labels = () if place is None else (Label(place, "defined here"),)
        named: list[Argument] = [argument for argument in node.arguments if argument.name is not None]
        for argument in named[:1]:
            self.problems.add(Diagnostic(
                "P0204", f"`{node.function}` takes its arguments by position, not by name", argument.span,
                f"`{argument.name}` is given by name", (), (note,),
            ))
        given = len(node.arguments)
        if wanted is not None and given != wanted:
            title = f"`{node.function}` takes {counted(wanted, 'argument')}, but is given {given}"
            label = ""
            function = self.outline.functions.get(node.function)
            if function is not None and given < wanted:
                label = "missing: " + ", ".join(f"`{name}`" for name in function.parameters[given:])
            self.problems.add(Diagnostic("P0203", title, node.name_span, label, labels, (note,)))

    def distribution(self, node: Distribution, scope: Scope) -> None:
        """The arguments of a distribution by torch's keyword; P0202, P0203, P0204, P0210."""
        name, outline = node.name, self.outline
        row = DISTRIBUTIONS.get(name)
        if row is not None:
            bound, problems = bind(row, node)
            self.uses.arguments[id(node)] = bound
            self.problems.add(*problems)
        elif name in outline.functions or name in outline.external or name in FUNCTIONS:
            self.problems.add(Diagnostic(
                "P0210", f"`{name}` is {outline.fixed(name)}, not a distribution", node.name_span,
                "nothing can be drawn from it", (), (), "write `=` instead of `~`",
            ))
        elif name in scope.variables or name in outline.outer.variables or outline.given(name):
            self.problems.add(Diagnostic(
                "P0210", f"`{name}` is a value, not a distribution", node.name_span, "nothing can be drawn from it",
            ))
        elif not self.problems.full:
            self.problems.add(unknown_function(outline, node, drawn=True))

    def proposal(self, node: Proposal) -> None:
        """P0212 where a proposal draws other things than its target."""
        target, drawn = DISTRIBUTIONS.get(node.target.name), DISTRIBUTIONS.get(node.distribution.name)
        if target is None or drawn is None:
            return
        kinds = [f"{'discrete' if row.discrete else 'continuous'} {EVENTS[row.event]}" for row in (target, drawn)]
        if kinds[0] != kinds[1]:
            self.problems.add(Diagnostic(
                "P0212", f"{drawn.name} cannot propose values of {target.name}", node.distribution.name_span,
                f"draws {kinds[1]}", (Label(node.target.name_span, f"wants {kinds[0]}"),), (),
                "propose from a distribution with the same kind of values, whose support covers that of the target",
            ))

    # ------------------------------------------------------------------------------------------------- sites
    def unnamed_site(self, node: Draw, scope: Scope, feeds: str) -> None:
        """A draw inside an expression: `x.1`, `x.2`, ... over all expressions that feed `x` in this scope."""
        key = feeds if scope.name is None else f"{scope.name}.{feeds}"
        self.unnamed[key] = self.unnamed.get(key, 0) + 1
        self.site(node, node.distribution, f"{feeds}.{self.unnamed[key]}", scope)

    def site(self, node: Sample | Draw, distribution: Distribution, name: str, scope: Scope) -> None:
        """One more site."""
        full = name if scope.name is None else f"{scope.name}.{name}"
        repeated = self.loops > 0 or scope.name is not None
        self.uses.sites.append(Site(len(self.uses.sites), full, node, distribution, node.span, scope.name, repeated))
