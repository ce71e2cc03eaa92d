"""Who owns which name: parameters, data, sizes and functions of a program, and the variables of each scope.

There is one outer scope, and one scope per function.  Declarations hold for the whole file, wherever they stand.
A scope owns every name that is set anywhere in it (and a function its arguments), as in Python; a function may
therefore use the name of an outer variable, of a parameter or of data for a variable of its own.  The names of
functions, distributions and constants mean one thing in the whole file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from ..levels import LEVEL
from ..syntax import (
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
    LogPdf,
    Name,
    Node,
    Parameter,
    Program,
    Require,
    Return,
    Sample,
    While,
    children,
)
from ..tables.constants import CONSTANTS, ELBO, EVIDENCE
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, check_arity
from ..tables.meanings import distribution_meant, function_meant
from ..text.closeness import nearest
from ..text.diagnostics import Diagnostic, Label
from ..text.problems import Problems
from ..text.source import Span
from .resolved import External


@dataclass
class Scope:
    """The variables of the outer program (`function` is None) or of one function, each with the first place that sets it."""

    function: Function | None
    variables: dict[str, Span] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """Name of the function."""
        return None if self.function is None else self.function.name


@dataclass
class Outline:
    """The names of a program, before any expression has been looked at."""

    program: Program
    external: Mapping[str, External]
    parameters: dict[str, Parameter] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)
    sizes: dict[str, Span] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    outer: Scope = field(default_factory=lambda: Scope(None))
    inner: dict[str, Scope] = field(default_factory=dict)
    implicit: bool = True  # no `param` line: free names are parameters
    weighted: bool = False  # some statement weighs runs

    def fixed(self, name: str) -> str | None:
        """What a name means where no variable has it, in words, or None."""
        return "a built-in function" if name in FUNCTIONS else self.taken(name)

    def taken(self, name: str) -> str | None:
        """What keeps a name from being a variable's, in words, or None.

        Built-in functions do not: only a name before `(` is a call, so `mean = 3` leaves `mean(x)` alone.
        """
        if name in CONSTANTS:
            return "a constant"
        if name in self.functions or name in self.external:
            return "a function"
        return "a distribution" if name in DISTRIBUTIONS else None

    def given(self, name: str) -> str | None:
        """What a name stands for that is given to the run, in words."""
        if name in self.parameters:
            return "a parameter"
        if name in self.data:
            return "data"
        return "the size of data" if name in self.sizes else None

    def place(self, name: str) -> Span | None:
        """Where a name is declared."""
        if name in self.parameters:
            return self.parameters[name].name_span
        if name in self.data:
            return self.data[name].name_span
        if name in self.functions:
            return self.functions[name].name_span
        return self.sizes.get(name)

    def values(self, scope: Scope) -> list[str]:
        """The names that can be read as a value in a scope."""
        return [*scope.variables, *self.outer.variables, *self.parameters, *self.data, *self.sizes, *CONSTANTS]

    def callables(self) -> list[str]:
        """The names that can be called."""
        return [*self.functions, *self.external, *FUNCTIONS, *DISTRIBUTIONS]


def outline(program: Program, external: Mapping[str, External], problems: Problems) -> Outline:
    """Collect the declarations and the variables of every scope; P0206, P0207 and faulty constant expressions."""
    result = Outline(program, external)
    declarations = Declarations(result, problems)
    declarations.collect()
    Setters(result, result.outer, problems).block(program.body)
    for name, function in result.functions.items():
        scope = result.inner[name] = Scope(function)
        declarations.arguments(function, scope)
        Setters(result, scope, problems).block(function.body)
    if result.weighted:
        keep_free(result, problems)
    return result


def keep_free(outline: Outline, problems: Problems) -> None:
    """P0207: where runs have weights, `--of evidence` and `--of elbo` mean something else than a variable."""
    for name in (EVIDENCE, ELBO):
        place = outline.outer.variables.get(name) or outline.place(name)
        if place is not None:
            problems.add(Diagnostic(
                "P0207", f"`{name}` is what `--of {name}` asks for, in a program with observations", place, "this name is taken",
                (), (), f"choose another name, such as `{name}_2`",
            ))


class Declarations:
    """Reads the `param`, `data` and `fn` lines."""

    def __init__(self, outline: Outline, problems: Problems):
        self.outline = outline
        self.problems = problems
        self.parameters = {node.name for node in outline.program.body.statements if isinstance(node, Parameter)}

    def collect(self) -> None:
        """All declarations: data in the order of the text, then parameters (their shapes may use any data)."""
        statements = self.outline.program.body.statements
        self.outline.implicit = not self.parameters
        later = {statement.name: statement for statement in statements if isinstance(statement, Data)}
        for statement in statements:
            if isinstance(statement, Function) and self.declare(statement.name, statement.name_span, callable=True):
                self.outline.functions[statement.name] = statement
        for statement in statements:
            if isinstance(statement, Data):
                self.data(statement, later)
        for statement in statements:
            if isinstance(statement, Parameter) and self.declare(statement.name, statement.name_span):
                self.outline.parameters[statement.name] = statement
        for parameter in self.outline.parameters.values():
            for size in parameter.shape:
                self.constant(size, "a size", {})
            if parameter.default is not None:
                self.constant(parameter.default, "a default", {})

    def declare(self, name: str, span: Span, callable: bool = False) -> bool:
        """Whether a name is still to be had (as a function's: `callable`); P0207 where it is not."""
        meaning = (self.outline.fixed if callable else self.outline.taken)(name) or self.outline.given(name)
        if meaning is None:
            return True
        place = self.outline.place(name)
        self.problems.add(Diagnostic(
            "P0207", f"`{name}` is already {meaning}", span, "declared again" if place else "this name is taken",
            () if place is None else (Label(place, "declared here"),), (), f"choose another name, such as `{name}_2`",
        ))
        return False

    def data(self, node: Data, later: dict[str, Data]) -> None:
        """One `data` line: its bare size names, its default, its name."""
        free = self.declare(node.name, node.name_span)
        for size in node.shape:
            if isinstance(size, Name) and self.is_new_size(size.id):
                self.outline.sizes[size.id] = size.span
            else:
                self.constant(size, "a size", later)
        if node.default is not None:
            self.constant(node.default, "a default", later)
        if free:
            self.outline.data[node.name] = node

    def is_new_size(self, name: str) -> bool:
        """Whether a bare name in the shape of data is bound by it."""
        taken = name in self.parameters or name in self.outline.data or self.outline.taken(name) is not None
        return not taken and name not in self.outline.sizes

    def arguments(self, function: Function, scope: Scope) -> None:
        """The arguments of a function become its variables."""
        for name, span in zip(function.parameters, function.parameter_spans, strict=False):
            meaning = self.outline.taken(name)
            if meaning is not None:
                self.problems.add(Diagnostic(
                    "P0207", f"`{name}` is already {meaning}", span, "an argument needs a name of its own",
                ))
            elif name in scope.variables:
                self.problems.add(Diagnostic(
                    "P0207", f"`{function.name}` has two arguments `{name}`", span, "again",
                    (Label(scope.variables[name], "first here"),),
                ))
            else:
                scope.variables[name] = span

    def constant(self, root: Expression, what: str, later: dict[str, Data]) -> None:
        """A size or a default is worked out before anything runs: numbers, data, sizes and built-in functions of them."""
        for node in nodes_in(root):
            if isinstance(node, Name):
                self.constant_name(node, what, later)
            elif isinstance(node, Draw | LogPdf):
                self.not_constant(node.span, f"{what} cannot be random", "drawn here")
            elif isinstance(node, Call) and node.function in FUNCTIONS:
                self.problems.add(*check_arity(FUNCTIONS[node.function], node))
            elif isinstance(node, Call) and self.outline.fixed(node.function):
                self.not_constant(node.name_span, f"{what} cannot use `{node.function}`", "only built-in functions here")
            elif isinstance(node, Call):
                self.problems.add(unknown_function(self.outline, node))

    def constant_name(self, node: Name, what: str, later: dict[str, Data]) -> None:
        """One name in a constant expression."""
        name, outline = node.id, self.outline
        if name in CONSTANTS or name in outline.data or name in outline.sizes:
            return
        if name in later:
            place = later[name].name_span
            self.problems.add(Diagnostic(
                "P0205", f"`{name}` is read before it is declared", node.span, "read here",
                (Label(place, "declared here"),), (), f"move the line `data {name}` up",
            ))
        elif outline.fixed(name):
            self.problems.add(Diagnostic("P0210", f"`{name}` is {outline.fixed(name)}, not a value", node.span))
        elif name in self.parameters:
            self.not_constant(node.span, f"{what} cannot depend on the parameter `{name}`", "a parameter")
        else:
            near = nearest(name, [*outline.data, *outline.sizes])
            self.problems.add(Diagnostic(
                "P0201", f"unknown name `{name}` in {what}", node.span, "not data and not a size of data", (), (),
                f"did you mean `{near}`?" if near else f"declare it: data {name} = ...",
            ))

    def not_constant(self, span: Span, title: str, label: str) -> None:
        """P0210: something that only a run could know."""
        note = "sizes and defaults are worked out before the first run, from numbers, data and sizes of data"
        self.problems.add(Diagnostic("P0210", title, span, label, (), (note,)))


class Setters:
    """Finds every name that a scope sets; P0206 where it must not be set."""

    def __init__(self, outline: Outline, scope: Scope, problems: Problems):
        self.outline = outline
        self.scope = scope
        self.problems = problems

    def block(self, block: Block) -> None:
        """All statements of a block, and of the blocks in it."""
        for statement in block.statements:
            match statement:
                case Assign() | Sample():
                    self.set(statement.name, statement.name_span, bool(statement.indices))
                case For() | While() | If():
                    if isinstance(statement, For):
                        self.set(statement.variable, statement.name_span, False)
                    for inner in statement.blocks:
                        self.block(inner)
                case Require():
                    self.outline.weighted = True
                case Return() | Parameter() | Data() | Function():
                    pass
                case _:
                    assert_never(statement)

    def set(self, name: str, span: Span, element: bool) -> None:
        """One place that sets a name (or an element of it)."""
        outline = self.outline
        outline.weighted |= name == LEVEL
        meaning = outline.taken(name)
        if meaning is None and self.scope.function is None:
            meaning = outline.given(name)
        if meaning is None:
            self.scope.variables.setdefault(name, span)
            return
        place = outline.place(name)
        other = f"{name}_new"
        if element:
            advice = f"copy it first: {other} = {name}; {other}[...] = ..."
        else:
            advice = f"give the new value another name, such as `{other}`"
        self.problems.add(Diagnostic(
            "P0206", f"`{name}` is {meaning} and cannot be set", span, "set here",
            () if place is None else (Label(place, "declared here"),), (), advice,
        ))


def unknown_function(outline: Outline, node: Call | Distribution, drawn: bool = False) -> Diagnostic:
    """P0202: nothing of that name can be called (or, after `~`, drawn from)."""
    name = node.name if isinstance(node, Distribution) else node.function
    if drawn:
        advice = distribution_meant(name, _texts(outline, node)) or "`probrun help` lists the distributions"
    else:
        own = [*outline.functions, *outline.external]
        advice = function_meant(name, own, _texts(outline, node)) or (
            f"define it: fn {name}(...) {{ ... }}, or see `probrun help` for the built-in ones"
        )
    what = "distribution" if drawn else "function"
    return Diagnostic("P0202", f"unknown {what} `{name}`", node.name_span, "not known", (), (), advice)


def _texts(outline: Outline, node: Call | Distribution) -> list[str]:
    """The arguments of a call as they are written."""
    return [" ".join(outline.program.source.slice(argument.span).split()) for argument in node.arguments]


def nodes_in(root: Node) -> list[Node]:
    """The node and all below it, in the order of the text (without recursion)."""
    found: list[Node] = []
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        found.append(node)
        below = children(node)
        below.reverse()
        stack.extend(below)
    return found
