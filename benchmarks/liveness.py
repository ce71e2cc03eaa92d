"""Which variables are live after a statement, by the definition: a walk along the ways through the program for every variable.

A variable is live at a place where some way leads from there to a read of it with no write before.  The ways stand in an explicit
graph of places; each variable is sought from each place on its own, so nothing here goes from facts to facts until they stand still.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.merging_oracle import names_set
from probrun.dsl import syntax as s
from probrun.dsl.names.resolved import Resolved

NONE: frozenset[str] = frozenset()


@dataclass(eq=False)
class Place:
    """A step of a run: it reads, then writes, then goes on to one of `ways`."""

    reads: frozenset[str] = NONE
    writes: frozenset[str] = NONE
    ways: list[Place] = field(default_factory=list)

    def leads_to_a_read(self, name: str) -> bool:
        """Whether some way from here reads the variable before it is written."""
        seen: set[int] = set()
        stack = [self]
        while stack:
            place = stack.pop()
            if name in place.reads:
                return True
            if name not in place.writes and id(place) not in seen:
                seen.add(id(place))
                stack.extend(place.ways)
        return False


class Graph:
    """The ways through the body of a scope, from the end to the start; `after` has the place behind every statement."""

    def __init__(self, own: frozenset[str], calls: dict[str, frozenset[str]], asked: frozenset[str], last: frozenset[str]):
        self.own = own
        self.calls = calls  # what the functions read of this scope
        self.returned = Place(asked & own)
        self.fallen = Place((asked | last) & own)
        self.after: dict[int, Place] = {}

    def reads(self, *nodes: s.Node | None) -> frozenset[str]:
        """The variables of this scope that expressions read."""
        found: set[str] = set()
        stack = [node for node in nodes if node is not None]
        while stack:
            node = stack.pop()
            if isinstance(node, s.Name):
                found.add(node.id)
            elif isinstance(node, s.Call):
                found |= self.calls.get(node.function, NONE)
            stack += s.children(node)
        return frozenset(found) & self.own

    def block(self, block: s.Block, leave: Place) -> Place:
        """The place where a block begins."""
        for node in reversed(block.statements):
            behind = self.after[id(node)] = Place(ways=[leave])
            leave = self.statement(node, behind)
        return leave

    def statement(self, node: s.Statement, behind: Place) -> Place:
        """The place where a statement begins."""
        match node:
            case s.Assign() | s.Sample():
                reads = self.reads(node.value if isinstance(node, s.Assign) else node.distribution, *node.indices)
                name = frozenset((node.name,))
                return Place(reads | name, NONE, [behind]) if node.indices else Place(reads, name, [behind])
            case s.If():
                begin = behind if node.otherwise is None else self.block(node.otherwise, behind)
                for condition, block in reversed(node.branches):
                    begin = Place(self.reads(condition), NONE, [self.block(block, behind), begin])
                return begin
            case s.For():
                again = Place(ways=[behind])
                again.ways.append(Place(NONE, frozenset((node.variable,)), [self.block(node.body, again)]))
                return Place(self.reads(node.iterable), NONE, [again])
            case s.While():
                test = Place(self.reads(node.condition), NONE, [behind])
                test.ways.append(self.block(node.body, test))
                return test
            case s.Return():
                self.after[id(node)].ways = [self.returned]
                return Place(self.reads(*node.values), NONE, [self.returned])
            case _:
                return behind


def live_by_paths(
    body: s.Block, own: frozenset[str], calls: dict[str, frozenset[str]], asked: frozenset[str] = NONE, last: frozenset[str] = NONE
) -> dict[int, frozenset[str]]:
    """What is live after each statement of a scope, by its id: of its `own` variables; `calls`: those that functions read;
    `asked` are read at every end, `last` where the body ends without a `return`."""
    graph = Graph(own, calls, asked, last)
    graph.block(body, graph.fallen)
    return {key: frozenset(name for name in own if place.leads_to_a_read(name)) for key, place in graph.after.items()}


def live_in_program(resolved: Resolved, of: tuple[str, ...] = ()) -> dict[int, frozenset[str]]:
    """The same for the program and its functions."""
    body, functions = resolved.program.body, resolved.functions
    own = {name: frozenset({*node.parameters, *names_set(node.body)}) for name, node in functions.items()}
    outer = frozenset(names_set(body))
    calls = {name: read_outside(name, functions, own) & outer for name in functions}
    last = frozenset(() if resolved.objective is None else (resolved.objective,))
    found = live_by_paths(body, outer, calls, frozenset(of), last)
    for name, node in functions.items():
        found |= live_by_paths(node.body, own[name], {})
    return found


def read_outside(name: str, functions: dict[str, s.Function], own: dict[str, frozenset[str]]) -> frozenset[str]:
    """The outer names that a function reads, or one that it calls."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        stack: list[s.Node] = [functions[function].body]
        while stack:
            node = stack.pop()
            if isinstance(node, s.Name) and node.id not in own[function]:
                found.add(node.id)
            elif isinstance(node, s.Call) and node.function in functions:
                waiting.append(node.function)
            stack += s.children(node)
    return frozenset(found)


def disagreements(resolved: Resolved, of: tuple[str, ...], found: dict[int, frozenset[str]]) -> list[str]:
    """Statements after which an analysis has other variables live, in words (not a `return`: nothing comes after it here)."""
    wrong = []
    right = live_in_program(resolved, of)
    stack: list[s.Node] = [resolved.program.body]
    while stack:
        node = stack.pop()
        stack += s.children(node)
        if isinstance(node, s.Assign | s.Sample | s.If | s.For | s.While) and found.get(id(node)) != right[id(node)]:
            have = found.get(id(node), NONE)
            text = " ".join(resolved.program.source.slice(node.span).split())
            wrong.append(f"`{text[:60]}`: missing {sorted(right[id(node)] - have)}, not live {sorted(have - right[id(node)])}")
    return wrong
