"""How values differ between lanes: the facts that `lane_states.py` walks with, and those of expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Call,
    Comparison,
    Conditional,
    Draw,
    For,
    Function,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Sample,
    Slice,
    children,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import EstimatorRow
from ..tables.functions import FUNCTIONS
from .liveness import Liveness
from .reads import outer_reads

Why = tuple[str, int]  # "drawn" with the index of a site; "index", "array", "density" or "function" with a line


@dataclass(frozen=True, slots=True)
class Differs:
    """How a value may differ between the lanes of a run (of a call, inside a function): masks of sites, whether it carries a
    derivative, why it is `apart`, the continuous sites whose plain draws it is made of (`random`), and whether plain draws bear on
    it at all (`chance`): lanes that were split before have draws of their own.  `mean`: it is one by now, or is made of one."""

    depends: int = 0
    apart: int = 0
    live: bool = False
    why: frozenset[Why] = frozenset()
    random: frozenset[int] = frozenset()
    chance: bool = False
    mean: bool = False

    @property
    def mask(self) -> int:
        """The sites of which lanes differ in it."""
        return self.depends | self.apart

    def joined(self, other: Differs) -> Differs:
        """Of a value that is made of both, or is one of them."""
        if other == SAME:
            return self
        if self == SAME:
            return other
        return Differs(
            self.depends | other.depends, self.apart | other.apart, self.live or other.live, self.why | other.why,
            self.random | other.random, self.chance or other.chance, self.mean or other.mean,
        )

    def under(self, control: Differs) -> Differs:
        """Of a value that is only set where conditions hold."""
        if not control.mask & ~self.depends and self.chance >= control.chance:
            return self
        return replace(self, depends=self.depends | control.mask, chance=self.chance or control.chance)

    def still(self) -> Differs:
        """Of a locally constant function of it."""
        return Differs(self.mask, chance=self.chance)


SAME = Differs()


@dataclass
class StateAt:
    """What tells lanes apart after a statement: live variables, and the loops around it whose bounds (or items) do."""

    variables: dict[str, Differs] = field(default_factory=dict)
    loops: dict[int, tuple[For, int]] = field(default_factory=dict)


@dataclass
class States:
    """By id of a statement (of the program's body: at its end) where lanes meet; and by site a call of a function by itself that is
    made while lanes differ by the site."""

    meetings: dict[int, StateAt]
    nested: dict[int, Call]


@dataclass
class Summary:
    """A function: what it returns, relative to its own call, and the sites that it splits lanes at."""

    result: Differs = SAME
    split: int = 0


@dataclass
class Differing:
    """What is known on the way, and the facts of expressions."""

    resolved: Resolved
    live: Liveness
    estimators: Mapping[int, EstimatorRow]
    of: frozenset[str]
    meetings: dict[int, StateAt] = field(default_factory=dict)
    nested: dict[int, Call] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    arguments: dict[str, dict[str, bool]] = field(default_factory=dict)  # which of them carry a derivative
    outer: dict[str, bool] = field(default_factory=dict)  # variables of the program that do
    reads: dict[str, frozenset[str]] = field(default_factory=dict)
    changed: bool = False
    inside: Function | None = None
    values: dict[str, Differs] = field(default_factory=dict)
    log: list[tuple[str, Differs | None]] = field(default_factory=list)
    control: Differs = SAME  # of the conditions under which something is done
    split: int = 0
    leaving: bool = False  # lanes leave a loop one by one here
    over: bool = False  # nothing comes here
    around: list[tuple[For, int]] = field(default_factory=list)  # loops whose bounds differ

    def __post_init__(self) -> None:
        self.reads = outer_reads(self.resolved)
        self.summaries = {name: Summary() for name in self.resolved.functions}

    # -------------------------------------------------------------------------------------------- expressions
    def value(self, node: Node) -> Differs:
        """Of the value of an expression, or of all its parts."""
        match node:
            case Name():
                return self.name(node.id)
            case Draw():
                return self.draw(node)
            case Comparison() | Logical():
                return self.parts(node).still()
            case Conditional():
                control = self.control
                decided = self.value(node.condition).still()
                self.control = self.control.joined(decided)
                found = self.value(node.then).joined(self.value(node.otherwise)).under(decided)
                self.control = control
                return found
            case Index():
                places = SAME
                for item in node.items:
                    places = places.joined(self.value(item).still())
                found = self.value(node.target).joined(places)
                plain = not places.mask and not any(isinstance(item, Slice) for item in node.items)
                return found if plain else self.unknown(found, "index", node)
            case LogPdf():
                return self.unknown(self.parts(node), "density", node)
            case Call():
                return self.call(node)
            case _:
                return self.parts(node)

    def parts(self, node: Node) -> Differs:
        """All that is below a node."""
        found = SAME
        for child in children(node):
            found = found.joined(self.value(child))
        return found

    def name(self, name: str) -> Differs:
        """A variable, parameter or data."""
        found = self.values.get(name)
        if found is not None:
            return found
        return Differs(live=name in self.resolved.parameters or self.outer.get(name, False))

    def unknown(self, found: Differs, what: str, node: Node) -> Differs:
        """A value that nobody knows to be the same in two lanes where it carries a derivative."""
        if not found.live or not found.mask:
            return found
        line = self.resolved.program.source.line_of(node.span)
        return replace(found, apart=found.apart | self.split, why=found.why | {(what, line)})

    def draw(self, node: Sample | Draw) -> Differs:
        """A draw."""
        found = self.parts(node.distribution)
        site = self.resolved.site_at[id(node)]
        row = self.estimators[site.index]
        if row.splits:
            self.split |= 1 << site.index
            return Differs(found.mask | 1 << site.index)
        here = self.split | self.control.mask
        if not self.continuous(site.index):
            return Differs(found.mask | here, chance=True)
        why = frozenset({("drawn", site.index)}) if here else frozenset()
        return Differs(found.mask, here, row.pathwise and found.live, why, frozenset((site.index,)), True)

    def continuous(self, index: int) -> bool:
        """Whether no two lanes draw the same at a site."""
        return self.estimators[index].pathwise or not DISTRIBUTIONS[self.resolved.sites[index].distribution.name].discrete

    def call(self, node: Call) -> Differs:
        """A function."""
        given = [self.value(argument.value) for argument in node.arguments]
        found = SAME
        for one in given:
            found = found.joined(one)
        function = self.resolved.functions.get(node.function)
        if function is None:
            row = FUNCTIONS.get(node.function)
            if row is None:
                return self.unknown(found, "function", node)
            return SAME if row.valueless else found.still() if row.discrete else found
        return self.own(function, node, given)

    def own(self, function: Function, node: Call, given: list[Differs]) -> Differs:
        """One of the program's: lanes of different calls do not meet in it."""
        if self.inside is not None and self.split and self.inside.name in self.reached(function.name):
            for index in _members(self.split):
                self.nested.setdefault(index, node)
        known = self.arguments.setdefault(function.name, {})
        for name, one in zip(function.parameters, given, strict=True):
            if name not in known or (one.live and not known[name]):
                known[name] = one.live or known.get(name, False)
                self.changed = True
        summary = self.summaries[function.name]
        mask, result = 0, summary.result
        for one in (*given, *(self.name(name) for name in self.reads[function.name])):
            mask |= one.mask
        before, self.split = self.split | self.control.mask, self.split | summary.split
        drawn = frozenset(("drawn", index) for index in result.random) if before else frozenset()
        if result.chance:
            mask |= before
        apart = self.split if result.why or drawn else 0
        return replace(result, depends=result.depends | mask, apart=apart, why=result.why | drawn)

    def reached(self, name: str) -> set[str]:
        """A function, and those that it calls, directly or not."""
        found, stack = {name}, [name]
        while stack:
            for node in nodes_in(self.resolved.functions[stack.pop()].body):
                if isinstance(node, Call) and node.function in self.resolved.functions and node.function not in found:
                    found.add(node.function)
                    stack.append(node.function)
        return found


def _members(mask: int) -> list[int]:
    return [index for index in range(mask.bit_length()) if mask >> index & 1]



__all__ = ["SAME", "Differing", "Differs", "StateAt", "States", "Summary"]
