"""The analysis in words: why a site has its estimator, what was rejected, and the way from a parameter to the result."""

from __future__ import annotations

from ..analysis.exchangeable import find_exchangeable
from ..analysis.facts import Hazard
from ..analysis.flow import Flow
from ..levels import LEVEL
from ..names.resolve import Resolved, Site
from ..tables.estimators import Carrier, EstimatorRow, Option, live_rows
from .state import JUMP, State

COUNTED = "counts of outcomes, weighed by their probabilities"
LONG_WAY = 12  # steps of a path; of a longer one both ends are shown


class Reasons:
    """Sentences about one analysed program."""

    def __init__(self, resolved: Resolved, flow: Flow, of: tuple[str, ...] = ()):
        self.resolved = resolved
        self.counted = resolved.prepared.once("exchangeable", of, lambda: find_exchangeable(resolved, of))
        self.source = resolved.program.source
        self.flow = flow
        self.result = ", ".join("the weight of a run" if name == LEVEL else name for name in flow.results)
        self.ways: dict[int, tuple[str, ...]] = {}  # to sites that are reached from earlier ones only

    def hazard(self, hazard: Hazard) -> str:
        """What happens at a hazard, as the end of a sentence that begins with a site's name."""
        at = f"`{self.source.quoted(hazard.span)}` (line {self.source.line_of(hazard.span)})"
        match hazard.kind:
            case "singular":
                return f"reaches a pole: the derivative of {at} is not integrable"
            case "support":
                return f"reaches a jump: {at} leaves the support"
            case "infinite":
                return f"reaches a jump: {at} is infinite, or as good as that, where a finite number is made of it"
            case _:
                return f"reaches a jump: {at} decides {self.result}"

    def reason(
        self, state: State, row: EstimatorRow, options: dict[str, Option], live: bool, effect: bool
    ) -> tuple[str, tuple[str, ...]]:
        """The reason in one line, and the sentences behind it for `probrun explain`."""
        site = state.site.name
        if not effect:
            reason = f"does not reach {self.result}"
        elif not live and row.carrier is not Carrier.OUTCOMES and not row.crosses:
            reason = "no parameter reaches its distribution: fixed noise"
        elif row.splits and state.site.index in self.counted:
            reason = COUNTED
        elif row.reason:
            reason = row.reason.format(result=self.result, **options)
        elif state.demoted is not None:
            reason = f"{site} {self.hazard(state.demoted)}"
        elif state.followed is not None:
            reason = f"`{state.followed.name}` depends on {site}, and only a detached {site} keeps its density usable"
        else:
            reason = f"{state.row.name}: the density carries the derivative" if not state.row.discrete else (
                f"{state.row.name} is discrete: its probabilities carry the derivative"
            )
        if state.wrong:
            reason = f"wrong by --allow-biased: {state.wrong}"
        because = [reason]
        if state.forced is not None and live and effect:
            because.append(f"set by {'`using` in the program' if state.forced_by == 'using' else state.forced_by}")
        if state.set_aside:
            because.append(f"`{state.set_aside}` is biased: set aside by --unbiased")
        return reason, tuple(because)

    def rejected(self, state: State, row: EstimatorRow, live: frozenset[str]) -> tuple[tuple[str, str], ...]:
        """(estimator, why not) for what was considered and is not right, or not allowed."""
        if not live:
            return ()
        found = []
        for other in live_rows():
            if other is row or (other.carrier is Carrier.OUTCOMES and other.unsuited(state.row)):
                continue
            why = state.ruled_out(other, live)
            if why == JUMP:
                why = f"wrong here: {self.lost(state)}"
            elif why and other.carrier is Carrier.DENSITY:
                why = f"wrong here: {why}"
            if why:
                found.append((other.name, why))
        return tuple(found)

    def lost(self, state: State) -> str:
        """Where the derivative through a value is lost."""
        hazard = state.demoted
        if hazard is None:
            return f"the density of `{state.followed.name if state.followed else ''}` must not move with it"
        line = self.source.line_of(hazard.span)
        if hazard.kind == "singular":
            return f"its derivative is not integrable at line {line}"
        return f"it does not see the jump at line {line}"

    def way(self, site: Site) -> tuple[str, ...]:
        """From a parameter to a site; of a long one both ends and one step more (the ways to earlier sites are known)."""
        origins, steps, seen = self.flow.origins, [site.name], {site.index}
        known: tuple[str, ...] = ()
        current, falling = site.index, True
        while True:
            live = self.flow.sites[current].live or self.flow.sites[current].depends
            if parameters := origins.parameters_in(live):
                steps.append(", ".join(parameters))
                break
            before = origins.first_site(live, seen)
            if before is None:
                break
            falling = falling and before < current
            if falling and before in self.ways:
                known = self.ways[before]
                break
            current = before
            seen.add(current)
            steps.append(self.resolved.sites[current].name)
        found = (*known, *reversed(steps))
        if len(found) > LONG_WAY + 1:
            found = (*found[: LONG_WAY // 2 + 1], *found[-(LONG_WAY // 2) :])
        if falling:
            self.ways[site.index] = found
        return found

    def path(self, site: Site, hazard: Hazard | None) -> str:
        """One way from a parameter through the site to the result: ``theta -> x -> (x > 0) -> y``."""
        steps = list(self.way(site))
        if len(steps) > LONG_WAY:
            steps[LONG_WAY // 2 : -(LONG_WAY // 2)] = ["..."]
        if hazard is not None:
            steps.append(f"({self.source.quoted(hazard.span)})")
        if self.flow.result.depends & self.flow.origins.site(site.index):
            steps.append(self.result)
        return " -> ".join(steps)
