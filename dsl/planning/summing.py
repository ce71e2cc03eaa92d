"""Over which state the outcomes of a site are summed out under a plan, and what keeps lanes apart, in words for `explain`.

All of it is read from the text (`dsl/analysis/lane_states.py`, `junctions.py`): which variables tell lanes apart where they meet.
How many states that are, only a run can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..analysis.junctions import Junction, find_junctions
from ..analysis.lane_states import find_states, made_of_themselves
from ..analysis.lane_values import Differs, StateAt, States
from ..analysis.liveness import liveness_of
from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import Assign, Call, For, Node, Range, Return, Sample
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS, Carrier
from .plan import Plan

MOST_NAMED, MOST_LISTED = 8, 64
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Summed:
    """How the outcomes of a site are summed out.

    at       "round" of a loop, "statement", "return"; "" where lanes are not merged
    line     after which (at which, of a `return`) the `state` is meant; `loop`: the line of the loop; `function`: where it stands
    state    variables that tell lanes apart there; `bounds` likewise of loops around, in words
    means    variables of which only the mean of every state is carried
    out      whether lanes that the site has split meet there
    at_once  and nothing is left by which its outcomes could be told apart
    apart    what keeps them apart, in sentences
    """

    at: str = ""
    line: int | None = None
    loop: int | None = None
    function: str | None = None
    state: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    out: bool = False
    at_once: bool = False
    apart: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Where, and over which state."""
        state = ", ".join((*_few(self.state), *self.bounds))
        parts = []
        if self.at == "return":
            where = "in the result" if self.function is None else f"where `{self.function}` returns"
            parts.append(f"{where} (line {self.line})")
            parts += [f"state until there: {state}"] if state else []
        else:
            where = f"in every round of the loop at line {self.loop}" if self.at == "round" else f"after line {self.line}"
            place = f" after line {self.line}" if self.at == "round" else ""
            parts.append(f"out at once, {where}" if self.at_once else f"out {where}")
            parts += [f"state{place}: {state}"] if state and not self.at_once else []
        parts += [f"means: {', '.join(_few(self.means))}"] if self.means else []
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The entry `summed` in the JSON."""
        if not self.out:
            return {"out": False, "apart": list(self.apart)}
        return {
            "out": True, "at": self.at, "line": self.line, "loop": self.loop, "function": self.function, "at_once": self.at_once,
            "state": [*self.state[:MOST_LISTED], *self.bounds], "means": list(self.means[:MOST_LISTED]), "apart": list(self.apart),
        }


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) <= MOST_NAMED else (*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more")


@dataclass(frozen=True)
class _Here:
    """What is `found` at a place, its variables in the order of the text; `mask` of the sites by which lanes differ there, and the
    variables of the state that are `apart`, or `live`."""

    found: StateAt
    state: tuple[str, ...]
    means: tuple[str, ...]
    bounds: tuple[str, ...]
    mask: int
    apart: tuple[str, ...]
    live: tuple[str, ...]


@dataclass
class SummedSites:
    """What is said of the sites of a program; `of`: variables that are asked for."""

    resolved: Resolved
    of: tuple[str, ...] = ()
    found: dict[object, States] = field(default_factory=dict)
    known: dict[object, _Here] = field(default_factory=dict)
    reasons: dict[object, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)  # where a variable is set first

    def __post_init__(self) -> None:
        self.live = liveness_of(self.resolved, self.of)
        self.junctions: dict[int, Junction] = self.resolved.prepared.once(
            "junctions", self.of, lambda: find_junctions(self.resolved, self.live)
        )

    def of_site(self, index: int, plans: Sequence[Plan]) -> Summed | None:
        """Under the first plan by which a site's outcomes are enumerated; None where none does."""
        for plan in plans:
            if ESTIMATORS[plan.choices[index].estimator].splits:
                return self.under(plan, self.resolved.sites[index]) if plan.merges else Summed(apart=(self.why_not(plan),))
        return None

    def under(self, plan: Plan, site: Site) -> Summed:
        """Under a plan that merges lanes."""
        states, junction = self.states(plan), self.junctions[site.index]
        place = self.resolved.program.body if junction.statement is None else junction.statement
        here = self.here(plan, place, states)
        bit = 1 << site.index
        nested = None if plan.exact else states.nested.get(site.index)  # where all is, a call is made once for every state
        kept = self.kept(here, bit, junction, nested)
        if site.function is not None and DISTRIBUTIONS[site.distribution.name].endless:
            kept = ("it has outcomes without end, which are not cut inside a function",)
        last = junction.statement is None or isinstance(place, Return)
        return Summed(
            "return" if last else "statement" if junction.loop is None else "round",
            self.line(place), None if junction.loop is None else self.line(junction.loop), site.function,
            here.state, here.bounds, here.means, not kept, not here.mask & bit, kept or self.ways(here, bit, junction),
        )

    def here(self, plan: Plan, place: Node, states: States) -> _Here:
        """What tells lanes apart at a place: found once for all sites."""
        key = plan.token, id(place)
        if key not in self.known:
            found = states.meetings.get(id(place), StateAt())
            linear = self.live.after.get(id(place), NOTHING) - self.live.state.get(id(place), NOTHING)
            names = sorted(found.variables, key=self.order)
            state = tuple(name for name in names if name not in linear and found.variables[name].mask)
            mask = 0
            for one in (*(found.variables[name].mask for name in state), *(own for _, own in found.loops.values())):
                mask |= one
            self.known[key] = _Here(
                found, state, tuple(name for name in names if name in linear),
                tuple(self.bounds(loop) for loop, _ in found.loops.values()), mask,
                tuple(name for name in state if found.variables[name].apart and found.variables[name].why),
                tuple(name for name in state if found.variables[name].live),
            )
        return self.known[key]

    def states(self, plan: Plan) -> States:
        """Found once for a plan."""
        if plan.token not in self.found:
            rows = {index: ESTIMATORS[choice.estimator] for index, choice in plan.choices.items()}
            self.found[plan.token] = find_states(self.resolved, self.live, rows, self.of)
        return self.found[plan.token]

    # -------------------------------------------------------------------------------------------------- words
    def kept(self, here: _Here, bit: int, junction: Junction, nested: Call | None) -> tuple[str, ...]:
        """Why lanes that a site has split do not meet."""
        known = here.found.variables
        found = [self.held(name, known[name], junction) for name in here.apart if known[name].apart & bit]
        if nested is not None:
            at = f"`{nested.function}` is called from within itself (line {self.line(nested)})"
            found.append(f"{at}, and lanes of different calls are not merged")
        return tuple(found)

    def held(self, name: str, what: Differs, junction: Junction) -> str:
        """Why a variable is different in every lane."""
        kind, number = min(what.why)
        on = "carried to the next round" if junction.loop is not None else "read after that"
        line = self.line_set(name, junction)
        match kind:
            case "drawn":
                site = self.resolved.sites[number]
                if DISTRIBUTIONS[site.distribution.name].discrete:
                    return f"`{name}` holds a relaxed draw of `{site.name}` and is {on} (line {line})"
                return f"`{name}` is continuous and {on} (line {line})"
            case "index":
                how = "picked by an index that differs, or a slice"
            case "array":
                how = "filled element by element"
            case "density":
                how = "made of a log density"
            case _:
                how = "made by a function from outside"
        return f"`{name}` carries a derivative, is {how} (line {number}), and is {on}"

    def ways(self, here: _Here, bit: int, junction: Junction) -> tuple[str, ...]:
        """State that may be as manifold as the ways that lead to it."""
        if junction.loop is None or not here.live:
            return ()
        again, known = made_of_themselves(junction.loop), here.found.variables
        found = [name for name in here.live if name in again and known[name].depends & bit]
        words = "carries a derivative: it is the same only where it was made in the same way"
        return tuple(f"`{name}` {words} (line {self.line_set(name, junction)})" for name in found)

    def why_not(self, plan: Plan) -> str:
        """Why a plan merges no lanes: found once."""
        if plan.token not in self.reasons:
            self.reasons[plan.token] = self.unmerged(plan)
        return self.reasons[plan.token]

    def unmerged(self, plan: Plan) -> str:
        """Why a plan merges no lanes."""
        for choice in plan.choices.values():
            if ESTIMATORS[choice.estimator].carrier is Carrier.DENSITY:
                at = f"`{choice.site.name}` (line {self.line(choice.site)})"
                return f"{at} is estimated by {choice.estimator}, which looks back at the lanes where it arose: none are merged"
        source = self.resolved.program.source
        met = [node for node in nodes_in(self.resolved.program.body) if id(node) in plan.ties]
        at = f"`{source.quoted(met[0].span)}` (line {self.line(met[0])})" if met else "a kink"
        return f"the kink of {at} may be met, which looks back at the lanes where it arose: none are merged"

    def bounds(self, loop: For) -> str:
        """What a loop keeps for itself."""
        what = "the bounds" if isinstance(loop.iterable, Range) else "the items"
        return f"{what} of the loop at line {self.line(loop)}"

    def line_set(self, name: str, junction: Junction) -> int:
        """Where a variable is set last, in a loop or before a statement."""
        root: Node = self.resolved.program.body if junction.loop is None else junction.loop
        places = [node.span.start for node in nodes_in(root) if isinstance(node, Assign | Sample) and node.name == name]
        end = root if junction.statement is None else junction.statement
        before = [start for start in places if junction.statement is None or start <= end.span.start]
        return self.resolved.program.source.line_column((before or places or [end.span.start])[-1])[0]

    def order(self, name: str) -> tuple[int, str]:
        """By where a variable is set first."""
        if not self.first:
            for node in nodes_in(self.resolved.program.body):
                if isinstance(node, Assign | Sample):
                    self.first.setdefault(node.name, node.span.start)
        return self.first.get(name, -1), name

    def line(self, node: Node | Site) -> int:
        """The line on which something begins."""
        return self.resolved.program.source.line_of(node.span)


__all__ = ["Summed", "SummedSites"]
