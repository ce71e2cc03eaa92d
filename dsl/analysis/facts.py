"""What the analysis knows about a value.

Origins (parameters and sampling sites) and hazards are numbered and sets of them are bit masks: a union is one `|` even with
thousands of sites, so that long programs stay linear.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

from ..syntax import Node, Power
from ..tables import ranges
from ..tables.ranges import ANY, INF, Bounds, join, widen
from ..text.source import Span


@dataclass(frozen=True)
class Hazard:
    """A place where a live value meets a jump (or a singularity) that carries probability.

    `live` and `continuous` are masks: the origins whose derivative is lost there and the sites whose continuous
    randomness makes the jump matter.  `kind` is ``jump``, ``singular`` or ``support``.
    """

    place: int  # id of the node
    span: Span
    kind: str
    live: int
    continuous: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a value.

    live        origins whose derivative it carries (ESTIMATORS.md section 2)
    continuous  sites that give it a distribution without atoms
    depends     every origin that influences it, by data or by control
    hazards     jumps on the way to it at which a derivative was lost, as a mask (`Flow.hazards`)
    range       where its entries lie
    spread      sites such that, whatever all others draw, it is any one number with probability 0 (none: it may have atoms)
    latest      sites whose latest draw it is made of
    """

    live: int = 0
    continuous: int = 0
    depends: int = 0
    hazards: int = 0
    range: Bounds = ANY
    spread: int = 0
    latest: int = 0

    def joined(self, other: Fact) -> Fact:
        """What is known of a value that is either this one or the other."""
        if self == other:
            return self
        return Fact(
            self.live | other.live,
            self.continuous | other.continuous,
            self.depends | other.depends,
            self.hazards | other.hazards,
            join(self.range, other.range),
            self.spread | other.spread if self.spread and other.spread else 0,
            self.latest | other.latest,
        )

    def widened(self, before: Fact) -> Fact:
        """This fact with bounds that are still moving sent to infinity."""
        return replace(self, range=widen(before.range, self.range))

    def under(self, control: Fact) -> Fact:
        """The fact of a value that is only set where a condition holds."""
        if not control.depends and not control.hazards:
            return self
        return Fact(
            self.live, self.continuous, self.depends | control.depends, self.hazards | control.hazards, self.range, self.spread,
            self.latest,
        )

    @property
    def moves(self) -> bool:
        """A live value with continuous randomness: it must not meet a jump."""
        return bool(self.live and self.continuous)


    def apart(self, other: Fact) -> int:
        """Sites that spread this value out while the other one stands still."""
        return 0 if self.spread & other.latest else self.spread

    def before(self, site: int) -> Fact:
        """The same when a site draws again."""
        touched = (self.spread | self.latest) & site
        return replace(self, spread=0 if self.spread & site else self.spread, latest=self.latest & ~site) if touched else self


NOTHING = Fact()  # of a constant


def combined(facts: list[Fact], range: Bounds = ANY) -> Fact:
    """The fact of a smooth function of several values."""
    live = continuous = depends = latest = hazards = 0
    for fact in facts:
        live |= fact.live
        continuous |= fact.continuous
        depends |= fact.depends
        latest |= fact.latest
        hazards |= fact.hazards
    return Fact(live, continuous, depends, hazards, range, 0, latest)


def discrete(fact: Fact, range: Bounds = ANY) -> Fact:
    """The fact of a locally constant function of a value: influence without derivative or density."""
    return Fact(0, 0, fact.depends, fact.hazards, range, 0, fact.latest)


def never_equal(one: Fact, other: Fact) -> bool:
    """Whether two values are the same with probability 0 only."""
    apart = one.range.high < other.range.low or other.range.high < one.range.low
    ends = (one.range, other.range) if one.range.low >= other.range.high else (other.range, one.range)
    touching = ends[0].low == ends[1].high and not (ends[0].low_attained and ends[1].high_attained)
    return bool(apart or touching or one.apart(other) or other.apart(one))


def spread(operator: str, one: Fact, other: Fact) -> int:
    """`Fact.spread` of a sum, a difference, a product or a quotient."""
    if operator in "+-":
        return one.apart(other) or other.apart(one)
    if operator == "*":
        return (0 if other.range.has_zero else one.apart(other)) or (0 if one.range.has_zero else other.apart(one))
    return one.apart(other) or (0 if one.range.has_zero else other.apart(one)) if operator == "/" else 0


def members(mask: int) -> list[int]:
    """The numbers of the bits that are set."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


@dataclass(frozen=True)
class Guard:
    """An assumption that only a run can test: `node` keeps its sign (``sign``), stays inside the support (``support``), is never
    0 (``nonzero``), or carries no derivative where it lies beyond `low` or `high` (``finite``; ``held``: float64
    must see it).  `place` is what counts as a jump, or a pole, where it fails."""

    kind: str
    node: Node
    owner: Node
    low: float = -INF
    high: float = INF

    @property
    def place(self) -> int:
        """The id of a node."""
        return id(self.node if self.kind in ("finite", "held") else self.owner)


@dataclass
class SiteFlow:
    """What reaches a site's arguments, over all its executions: one fact per argument, and all of them together."""

    arguments: dict[str, Fact] = field(default_factory=dict)

    @property
    def live(self) -> int:
        """Origins that are live in some argument."""
        mask = 0
        for fact in self.arguments.values():
            mask |= fact.live
        return mask

    @property
    def depends(self) -> int:
        """Origins that influence some argument."""
        mask = 0
        for fact in self.arguments.values():
            mask |= fact.depends
        return mask


@dataclass
class Flow:
    """The outcome of a walk: a fact per result, per site what reaches it, the guards to watch, and all hazards by their numbers."""

    origins: Origins
    results: dict[str, Fact]
    sites: dict[int, SiteFlow]
    guards: tuple[Guard, ...]
    kinks: frozenset[int]  # ids of nodes where a derivative is carried over a kink: it has no second one
    curves: frozenset[int]  # ids of nodes that are no polynomial of what moves
    counts: dict[Span, int]  # where a live value must be a whole number, and what is live there
    ties: dict[int, bool]  # ids of nodes whose kink may be met exactly: whether anything continuous is in their operands
    hazards: tuple[Hazard, ...]

    @cached_property
    def result(self) -> Fact:
        """All results together."""
        return combined(list(self.results.values()))

    @cached_property
    def lost(self) -> tuple[Hazard, ...]:
        """The hazards that reach a result, in the order of the text."""
        found = [self.hazards[number] for number in members(self.result.hazards)]
        return tuple(sorted(found, key=lambda hazard: (hazard.span.start, hazard.live)))


@dataclass(frozen=True)
class Origins:
    """Numbers for parameters (first) and sites."""

    parameters: tuple[str, ...]
    site_count: int

    def parameter(self, name: str) -> int:
        """Mask of a parameter."""
        return 1 << self.parameters.index(name)

    def site(self, index: int) -> int:
        """Mask of a site."""
        return 1 << (len(self.parameters) + index)

    def sites_in(self, mask: int) -> list[int]:
        """Indices of the sites in a mask."""
        return members(mask >> len(self.parameters))

    def first_site(self, mask: int, but: Set[int]) -> int | None:
        """The first of the sites in a mask that is not among some others."""
        rest = mask >> len(self.parameters)
        while rest:
            low = rest & -rest
            if low.bit_length() - 1 not in but:
                return low.bit_length() - 1
            rest ^= low
        return None

    def parameters_in(self, mask: int) -> list[str]:
        """Names of the parameters in a mask."""
        return [self.parameters[number] for number in members(mask & ((1 << len(self.parameters)) - 1))]


@dataclass
class Variables:
    """The variables of the program or of one call, what has been returned, and the conditions of early returns.

    Branches and loops take back what they have set and join it with what stood before: the log makes that cost what is set,
    however many variables there are.
    """

    variables: dict[str, Fact]
    function: str | None
    returned: dict[int, Fact] = field(default_factory=dict)
    escaped: Fact = NOTHING
    ended: list[dict[str, Fact]] = field(default_factory=list)
    log: list[tuple[str, Fact | None]] = field(default_factory=list)  # what was set, and the fact before

    def set(self, name: str, fact: Fact) -> None:
        """A variable has another fact from here on."""
        self.log.append((name, self.variables.get(name)))
        self.variables[name] = fact

    def redrawn(self, site: int) -> None:
        """A site draws again."""
        for name, fact in [(name, fact) for name, fact in self.variables.items() if (fact.spread | fact.latest) & site]:
            self.set(name, fact.before(site))

    def changed(self, mark: int) -> dict[str, Fact]:
        """What has been set since the log was so long."""
        return {name: self.variables[name] for name, _ in self.log[mark:]}

    def take_back(self, mark: int) -> None:
        """Undo what has been set since the log was so long."""
        while len(self.log) > mark:
            name, fact = self.log.pop()
            if fact is None:
                del self.variables[name]
            else:
                self.variables[name] = fact

    def join(self, parts: list[dict[str, Fact]]) -> None:
        """The ways through an `if`, by what each has set, come together: the names pass forbids to read what only some have set."""
        for name in dict.fromkeys(name for part in parts for name in part):
            before, joined = self.variables.get(name), None
            for part in parts:
                fact = part.get(name, before)
                if fact is not None:
                    joined = fact if joined is None else joined.joined(fact)
            if joined is not None and joined is not before:
                self.set(name, joined)


class Finding:
    """Hazards, guards and ties, as they are found."""

    def __init__(self, broken: frozenset[int]):
        self.broken = broken
        self.guards: dict[tuple[str, int], Guard] = {}
        self.kinks: set[int] = set()
        self.curves: set[int] = set()
        self.counts: dict[Span, int] = {}
        self.hazards: dict[Hazard, int] = {}
        self.ties: dict[int, bool] = {}
        self.relaxed = 0

    def curved(self, node: Node, *facts: Fact) -> None:
        """What `node` makes of values is no polynomial of them."""
        if any(fact.moves for fact in facts):
            self.curves.add(id(node))

    def counting(self, node: Node, fact: Fact) -> Fact:
        """A jump in `fact` at `node`, which must be a whole number there."""
        if fact.live:
            self.counts[node.span] = self.counts.get(node.span, 0) | fact.live
        return self.jump(node, fact)

    def jump(self, node: Node, fact: Fact) -> Fact:
        """A jump in `fact` at `node`: harmless, unless a relaxed draw or a live value with continuous randomness meets it."""
        if fact.moves or fact.live & self.relaxed:
            return self.losing(fact, node, "jump", fact)
        return fact

    def losing(self, whole: Fact, node: Node, kind: str, fact: Fact) -> Fact:
        """`whole`, with the loss of `fact`'s derivative at `node`."""
        hazard = Hazard(id(node), node.span, kind, fact.live, fact.continuous)
        return replace(whole, hazards=whole.hazards | 1 << self.hazards.setdefault(hazard, len(self.hazards)))

    def singular(self, whole: Fact, operand: Fact, owner: Node, quantity: Node) -> Fact:
        """`operand` stands where zero is a pole: refused at an attained end, watched where it could change its sign."""
        if not operand.moves:
            return whole
        crosses = operand.range.crosses_zero
        if operand.range.touches_zero or (crosses and id(owner) in self.broken):
            return self.losing(whole, owner, "singular", operand)
        if crosses:
            self.guard(Guard("sign", quantity, owner))
        return whole

    def invertible(self, whole: Fact, operand: Fact, owner: Node, quantity: Node) -> Fact:
        """A matrix with a pole where its determinant is 0, which runs watch where parameters alone move it.  A random one may
        come to that without a change of sign (det = x^2, or x^2 + y^2, about which the path goes round)."""
        if id(owner) in self.broken or operand.continuous or operand.range.touches_zero:
            return self.losing(whole, owner, "singular", operand)
        self.guard(Guard("regular", quantity, owner))
        return whole

    def avoiding_zero(self, whole: Fact, exponent: Fact, base: Fact, owner: Power) -> Fact:
        """0^e jumps from 1 to 0 where e leaves 0.  A run tells whether the base is 0, unless it can be by the text."""
        if id(owner) in self.broken or not base.range.crosses_zero:
            return self.losing(whole, owner, "jump", exponent)
        self.guard(Guard("nonzero", owner.base, owner))
        return whole

    def within(self, whole: Fact, operand: Fact, quantity: Node, owner: Node, low: float, high: float) -> Fact:
        """`operand` goes into something that is finite beyond `low` or `high`, and would hide that it jumps through infinity."""
        reaches = (operand.range.low == -ranges.INF < low) or (operand.range.high == ranges.INF > high)
        if not operand.continuous or not reaches:
            return whole
        broken = id(quantity) in self.broken
        self.guard(Guard("finite" if operand.live and not broken else "held", quantity, owner, low, high))
        if broken and operand.moves:
            return self.losing(whole, quantity, "infinite", operand)
        return whole

    def guard(self, guard: Guard) -> None:
        """Let runs watch something."""
        self.guards[guard.kind, guard.place] = guard

    def meet(self, node: Node, operands: list[Fact]) -> None:
        """A kink, or a turn of the ways, where operands are equal: may that happen, and carry a derivative?"""
        whole = combined(operands)
        pairs = combinations(operands, 2) if len(operands) > 1 else [(whole, whole)]
        if not whole.live & ~self.relaxed or all(never_equal(one, other) for one, other in pairs):
            return
        self.ties[id(node)] = self.ties.get(id(node), False) or bool(whole.continuous)
