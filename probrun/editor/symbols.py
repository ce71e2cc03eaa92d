"""Every place of every name that a program has made: who declares it, who sets it, who reads it.

Scopes are those of `dsl/names/scopes.py`: a function owns its arguments and what it sets, the outer program the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..dsl.levels import hidden
from ..dsl.names.scopes import Outline, Scope, nodes_in, outline
from ..dsl.syntax import Assign, Block, Call, Data, For, Function, Name, Node, Parameter, Program, Sample, deep_recursion
from ..dsl.tables.constants import CONSTANTS
from ..dsl.text.problems import Problems
from ..dsl.text.source import Span

Owner = tuple[str | None, str, bool]  # the function that owns a variable, its name; whether it is a function itself


@dataclass(frozen=True)
class Occurrence:
    """One place of a name; `sets`: it is declared or set there."""

    span: Span
    owner: Owner
    sets: bool

    @property
    def name(self) -> str:
        """How it is called."""
        return self.owner[1]


class Symbols:
    """The names of a program, or of what can be read of one."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._found: dict[Span, Occurrence] = {}
        with deep_recursion():
            self.outline: Outline = outline(program, {}, Problems())
            for statement in program.body.statements:
                if isinstance(statement, Function):
                    self._function(statement)
                else:
                    self._nodes(statement, self.outline.outer)
        self.all = sorted(self._found.values(), key=lambda found: found.span.start)

    def _add(self, span: Span, owner: Owner, sets: bool) -> None:
        if span.end > span.start and not (span in self._found and self._found[span].sets):
            self._found[span] = Occurrence(span, owner, sets)

    def _function(self, node: Function) -> None:
        self._add(node.name_span, (None, node.name, True), True)
        scope = self.outline.inner.get(node.name)
        if scope is None or scope.function is not node:
            return  # a second one of that name, which is an error
        for name, span in zip(node.parameters, node.parameter_spans, strict=False):
            self._add(span, (node.name, name, False), True)
        self._nodes(node.body, scope)

    def _nodes(self, root: Node | Block, scope: Scope) -> None:
        for node in nodes_in(root):
            match node:
                case Assign() | Sample():
                    if not hidden(node.name):
                        self._add(node.name_span, self._owner(node.name, scope), not node.indices)
                case For():
                    self._add(node.name_span, self._owner(node.variable, scope), True)
                case Parameter() | Data():
                    self._add(node.name_span, (None, node.name, False), True)
                case Name() if not hidden(node.id) and node.id not in CONSTANTS:
                    self._add(node.span, self._owner(node.id, scope), self.outline.sizes.get(node.id) == node.span)
                case Call() if node.function in self.outline.functions:
                    self._add(node.name_span, (None, node.function, True), False)

    def _owner(self, name: str, scope: Scope) -> Owner:
        return (scope.name if name in scope.variables else None, name, False)

    def at(self, offset: int) -> Occurrence | None:
        """The name at an offset, its end included."""
        return next((found for found in self.all if found.span.start <= offset <= found.span.end), None)

    def of(self, owner: Owner) -> list[Occurrence]:
        """All places of a name, in the order of the text."""
        return [found for found in self.all if found.owner == owner]

    def definition(self, owner: Owner) -> Occurrence | None:
        """Where a name is declared, or set first; of a free name, which is a parameter, nowhere."""
        return next((found for found in self.of(owner) if found.sets), None)

    def kind(self, owner: Owner) -> str:
        """What a name is, in words."""
        function, name, callable = owner
        if callable:
            return "function"
        if function is not None:
            scope = self.outline.inner[function]
            argument = scope.function is not None and name in scope.function.parameters
            return f"argument of {function}" if argument else f"variable of {function}"
        for kind, names in (
            ("parameter", self.outline.parameters), ("data", self.outline.data), ("size of data", self.outline.sizes),
            ("variable", self.outline.outer.variables),
        ):
            if name in names:
                return kind
        return "parameter" if self.outline.implicit else "unknown name"

    def scope_at(self, offset: int) -> Scope:
        """The scope that a place stands in."""
        for scope in self.outline.inner.values():
            if scope.function is not None and scope.function.span.start <= offset <= scope.function.span.end:
                return scope
        return self.outline.outer

    def grouping(self) -> list[int]:
        """For each place the first place of the same name: what renaming must not change."""
        first: dict[Owner, int] = {}
        return [first.setdefault(found.owner, index) for index, found in enumerate(self.all)]
