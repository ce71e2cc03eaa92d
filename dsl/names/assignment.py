"""Definite assignment: is a name surely set where it is read, does every way through a function return?

One walk over the statements carries the set of names that are set on every way to the current place.  A block's
additions are kept in a log, taken back at its end and, after an `if`, added again where all branches that go on made
them: the cost is linear in the program.  After a `return` nothing goes on, so any name counts as set.

- What a loop sets does not count after it: it may run zero times.  Only a `for` over `range` of plain numbers, or over
  a literal vector, surely runs.  The loop's variable is an ordinary variable: it keeps its last value after the loop.
- Only `while true` never goes on to the next statement; without a `return` in it, it can never end (P0504).
- Branches count whatever their conditions say: `if true { x = 1 }` does not surely set `x`.
- A function may read outer variables, and cannot change them.  So it is enough to look at each call from outside
  functions: what the function, or one that it calls, may read must be set there.
"""

from __future__ import annotations

from typing import assert_never

from ..levels import hidden
from ..syntax import (
    Assign,
    Block,
    Boolean,
    Call,
    Data,
    Distribution,
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
    Slice,
    Statement,
    Unary,
    Vector,
    While,
)
from ..text.diagnostics import Diagnostic, Label
from ..text.problems import Problems
from ..text.source import Span
from .scopes import Outline, Scope, nodes_in
from .uses import Uses


def check_assignment(outline: Outline, uses: Uses, problems: Problems) -> frozenset[str]:
    """Check every scope; gives the outer variables that are set in every run, wherever it ends."""
    needed = needed_by(uses)
    outside = frozenset((*outline.outer.variables, *outline.parameters, *outline.data, *outline.sizes, *uses.free))
    for name, function in outline.functions.items():
        checker = Checker(outline.inner[name], needed, problems, outside)
        checker.start(function.parameters)
        checker.block(function.body)
        if not checker.ended:
            problems.add(no_return(function, checker.fall_through))
    checker = Checker(outline.outer, needed, problems, frozenset())
    checker.block(outline.program.body)
    check_end(outline, uses, checker, problems)
    if not checker.ended:
        checker.end_of_run()
    return frozenset(checker.at_the_end or ())


def needed_by(uses: Uses) -> dict[str, dict[str, Span]]:
    """Per function the outer variables that it, or a function it calls, may read; each with one place of reading."""
    needed = {name: dict(reads) for name, reads in uses.reads.items()}
    callers: dict[str, list[str]] = {name: [] for name in needed}
    for caller, called in uses.calls.items():
        for name in called:
            if name in callers:
                callers[name].append(caller)
    work = [name for name, reads in needed.items() if reads]
    while work:
        name = work.pop()
        for caller in callers[name]:
            fresh = needed[name].keys() - needed[caller].keys()
            if fresh:
                for variable in fresh:
                    needed[caller][variable] = needed[name][variable]
                work.append(caller)
    return needed


def check_end(outline: Outline, uses: Uses, checker: Checker, problems: Problems) -> None:
    """Does the program have a result on every way to its end?  P0205, P0208, P0209."""
    if uses.returns:
        if not checker.ended:
            problems.add(Diagnostic(
                "P0208", "some runs end without a result", uses.returns[-1].span,
                "only the runs that come here return something", (), (),
                "add a `return` as the last line, for the runs that reach the end",
            ))
    elif uses.misplaced:
        return
    elif uses.last is None and not outline.weighted:
        statements = outline.program.body.statements
        problems.add(Diagnostic(
            "P0209", "this program has no result", statements[-1].span if statements else None, "the program ends here",
            (), ("the result is the value of `return`, or of the variable that is set last",), "add a line such as: return y",
        ))
    elif uses.last is not None and uses.last.name not in checker.known and not checker.ended:
        problems.add(Diagnostic(
            "P0205", f"the result `{uses.last.name}` is not set in every run", uses.last.span,
            "set last here, but not on every way to the end", (),
            ("a program without `return` gives the variable that is set last",),
            f"give `{uses.last.name}` a value at the start, or end the program with `return`",
        ))


def no_return(function: Function, place: Span | None) -> Diagnostic:
    """P0208 for a function."""
    labels = () if place is None else (Label(place, "a way that does not return ends here"),)
    return Diagnostic(
        "P0208", f"not every way through the function `{function.name}` returns a value", function.name_span, "", labels,
        (), "end the function with a `return`",
    )


def is_true(condition: Expression) -> bool:
    """Whether a condition is true as it is written."""
    match condition:
        case Boolean(value=value):
            return value
        case Number(value=number):
            return number != 0
        case Unary(operator="not", operand=Boolean(value=value)):
            return not value
        case _:
            return False


def surely_runs(iterable: Range | Expression) -> bool:
    """Whether a `for` runs at least once, as it is written."""
    match iterable:
        case Range(start=None, stop=Number(value=stop)):
            return stop > 0
        case Range(start=Number(value=start), stop=Number(value=stop)):
            return stop > start
        case _:
            return isinstance(iterable, Vector)


class Checker:
    """The walk over one scope.  `known` are the names surely set here; `ended`: no run comes to this place."""

    def __init__(self, scope: Scope, needed: dict[str, dict[str, Span]], problems: Problems, outer: frozenset[str]):
        self.scope = scope
        self.needed = needed
        self.problems = problems
        self.outer = outer
        self.known: set[str] = set()
        self.log: list[str] = []
        self.ended = False
        self.returns = 0
        self.fall_through: Span | None = None
        self.at_the_end: set[str] | None = None
        self.looped: set[str] = set()
        self.setting: Span | None = None
        self.reported: set[str] = set()

    def start(self, names: tuple[str, ...]) -> None:
        """Arguments are set from the start."""
        self.known.update(names)

    # -------------------------------------------------------------------------------------------- statements
    def block(self, block: Block) -> None:
        """All statements of a block."""
        for statement in block.statements:
            self.statement(statement)
        if not self.ended and block.statements:
            self.fall_through = block.statements[-1].span

    def settle(self, name: str) -> None:
        """A name is surely set from here on."""
        if name in self.scope.variables and name not in self.known:
            self.known.add(name)
            self.log.append(name)

    def end_of_run(self) -> None:
        """A run may end here: what is set at every such place is set in every run."""
        self.at_the_end = set(self.known) if self.at_the_end is None else self.at_the_end & self.known

    def take_back(self, mark: int) -> set[str]:
        """Undo what was set since `mark`, and give it."""
        added = set(self.log[mark:])
        del self.log[mark:]
        self.known -= added
        return added

    def statement(self, statement: Statement) -> None:
        """One statement."""
        match statement:
            case Assign() | Sample():
                self.setting = statement.name_span
                self.element(statement)
                fed = statement.value if isinstance(statement, Assign) else statement.distribution
                self.read([*statement.indices, fed])
                self.setting = None
                self.settle(statement.name)
            case If():
                self.branches(statement)
            case For():
                self.loop(statement)
            case While():
                self.while_loop(statement)
            case Return():
                self.read(list(statement.values))
                self.returns += 1
                if not self.ended:
                    self.end_of_run()
                self.ended = True
            case Require():
                self.read([statement.condition])
            case Parameter() | Data() | Function():
                pass
            case _:
                assert_never(statement)

    def branches(self, statement: If) -> None:
        """Names that every branch sets which goes on are set afterwards."""
        before = self.ended
        going_on: list[set[str]] = []
        blocks = []
        for condition, block in statement.branches:
            self.read([condition])
            self.branch(block, before, going_on)
            blocks.append(block)
        if statement.otherwise is None:
            going_on.append(set())
        else:
            self.branch(statement.otherwise, before, going_on)
        self.ended = before or not going_on
        if going_on:
            common = min(going_on, key=len)
            for added in going_on:
                common = common & added
            for name in sorted(common):
                self.settle(name)

    def branch(self, block: Block, before: bool, going_on: list[set[str]]) -> None:
        """One branch: what it sets is taken back, and noted where runs go on after it."""
        mark = len(self.log)
        self.ended = before
        self.block(block)
        added = self.take_back(mark)
        if before or not self.ended:
            going_on.append(added)
        self.ended = before

    def loop(self, statement: For) -> None:
        """A loop over a range or over the entries of a vector, which may be empty."""
        iterable = statement.iterable
        if isinstance(iterable, Range):
            self.read([iterable.stop] if iterable.start is None else [iterable.start, iterable.stop])
        else:
            self.read([iterable])
        before, mark = self.ended, len(self.log)
        self.settle(statement.variable)
        self.block(statement.body)
        if surely_runs(iterable):
            return
        self.looped |= self.take_back(mark)
        self.ended = before

    def while_loop(self, statement: While) -> None:
        """A loop that may run zero times, unless its condition is true as written: then it ends by `return` only."""
        self.read([statement.condition])
        before, mark, returns = self.ended, len(self.log), self.returns
        self.block(statement.body)
        self.looped |= self.take_back(mark)
        self.ended = before
        if is_true(statement.condition):
            self.ended = True
            if self.returns == returns:
                self.problems.add(Diagnostic(
                    "P0504", "this loop can never end", statement.condition.span,
                    "always true, and there is no `return` in the loop", (), (),
                    "write a condition that becomes false, or `return` from inside the loop",
                ))

    # ------------------------------------------------------------------------------------------- expressions
    def read(self, roots: list[Expression | Slice | Distribution]) -> None:
        """Every name that is read must be set; a function that is called finds its outer names set."""
        if self.ended:
            return
        for root in roots:
            for node in nodes_in(root):
                if isinstance(node, Name):
                    self.name(node.id, node)
                elif isinstance(node, Call) and self.scope.function is None:
                    self.call(node)

    def element(self, statement: Assign | Sample) -> None:
        """`x[i] = ...` changes a variable that must be there."""
        if statement.indices and not self.ended:
            self.name(statement.name, statement, statement.name_span)

    def name(self, name: str, node: Node, span: Span | None = None) -> None:
        """P0205 where a variable of this scope is not surely set."""
        if name in self.known or name not in self.scope.variables or hidden(name) or name in self.reported or self.problems.full:
            return
        self.reported.add(name)
        place = span or node.span
        first = self.scope.variables[name]
        notes: tuple[str, ...] = ()
        if first.start < place.start and first != self.setting:
            title, label = f"`{name}` may not be set here", "set here, but not on every way to the place where it is read"
            if name in self.looped:
                notes = ("what a loop sets does not count after it: the loop may run zero times",)
        else:
            title, label = f"`{name}` is read before it is set", "set here for the first time"
        if name in self.outer:
            notes += (f"the function sets `{name}`, so this is its own variable and not the outer `{name}`",)
        labels = () if first == place else (Label(first, label),)
        said = "read here" if span is None else "an element of it is set here"
        value = "..." if span is None else "zeros(n)"
        self.problems.add(Diagnostic(
            "P0205", title, place, said, labels, notes, f"set it first, on every way to this line: {name} = {value}",
        ))

    def call(self, node: Call) -> None:
        """P0205 where a function reads an outer variable that is not surely set at its call."""
        for name, span in self.needed.get(node.function, {}).items():
            if name in self.known or name in self.reported or self.problems.full:
                continue
            self.reported.add(name)
            self.problems.add(Diagnostic(
                "P0205", f"`{name}` may not be set when `{node.function}` is called", span, f"the outer `{name}` is read here",
                (Label(node.name_span, f"called here, where `{name}` is not surely set"),), (),
                f"set `{name}` before the call, or hand it over as an argument",
            ))
