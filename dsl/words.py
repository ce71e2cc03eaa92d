"""The analysis in words: why a site has its estimator, what was rejected, and the way from a parameter to the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .facts import Hazard
from .flow import Flow
from .names import Resolved, Site
from .source import Span

if TYPE_CHECKING:
    from .plan import State

LONGEST = 44  # characters of a program that are quoted in a sentence


def quoted(resolved: Resolved, span: Span) -> str:
    """The text of a span on one line, cut where it is long."""
    text = " ".join(resolved.program.source.slice(span).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def line_of(resolved: Resolved, span: Span) -> int:
    """Line of a span, from 1."""
    return resolved.program.source.line_column(span.start)[0]


class Words:
    """Sentences about one analysed program."""

    def __init__(self, resolved: Resolved, flow: Flow):
        self.resolved = resolved
        self.flow = flow
        self.result = ", ".join(flow.results)

    def hazard(self, hazard: Hazard) -> str:
        """What happens at a hazard, as the end of a sentence that begins with a site's name."""
        at = f"`{quoted(self.resolved, hazard.span)}` (line {line_of(self.resolved, hazard.span)})"
        match hazard.kind:
            case "singular":
                return f"reaches a pole: the derivative of {at} is not integrable"
            case "support":
                return f"reaches a jump: {at} leaves the support"
            case _:
                return f"reaches a jump: {at} decides {self.result}"

    def reason(
        self, state: State, name: str, options: dict[str, float | bool | str], live: bool, effect: bool
    ) -> tuple[str, tuple[str, ...]]:
        """The reason in one line, and the sentences behind it for `probrun explain`."""
        site = state.site.name
        if not effect:
            reason = f"does not reach {self.result}"
        elif name == "enumerate":
            reason = "all outcomes, weighed by their probabilities"
        elif not live:
            reason = "no parameter reaches its distribution: fixed noise"
        elif name == "rsample":
            reason = f"reparameterised; reaches {self.result} only through smooth operations"
        elif name == "gumbel":
            reason = f"relaxed (tau = {options['tau']:g}), biased; reaches {self.result} only through smooth operations"
        elif name == "sample":
            reason = "detached by force"
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

    def rejected(
        self, state: State, name: str, valid: tuple[str, ...], live: frozenset[str],
        ruled_out: Callable[[State, str, frozenset[str]], str],
    ) -> tuple[tuple[str, str], ...]:
        """(estimator, why not) for what was considered and is not right, or not allowed."""
        if not live:
            return ()
        found = []
        for other in ("rsample", "enumerate", "gumbel", "score"):
            if other == name:
                continue
            why = ruled_out(state, other, live)
            if other == "enumerate" and not state.row.finite:
                continue
            if why == "jump":
                hazard = state.demoted
                if hazard is None:
                    why = f"wrong here: the density of `{state.followed.name if state.followed else ''}` must not move with it"
                elif hazard.kind == "singular":
                    why = f"wrong here: its derivative is not integrable at line {line_of(self.resolved, hazard.span)}"
                else:
                    why = f"wrong here: it does not see the jump at line {line_of(self.resolved, hazard.span)}"
            elif why and other == "score":
                why = f"wrong here: {why}"
            if why:
                found.append((other, why))
        return tuple(found)

    def path(self, site: Site, hazard: Hazard | None) -> str:
        """One way from a parameter through the site to the result: ``theta -> x -> (x > 0) -> y``."""
        steps = [site.name]
        seen = {site.index}
        current = site.index
        while True:
            live = self.flow.sites[current].live or self.flow.sites[current].depends
            parameters = self.flow.origins.parameters_in(live)
            if parameters:
                steps.insert(0, ", ".join(parameters))
                break
            earlier = [index for index in self.flow.origins.sites_in(live) if index not in seen]
            if not earlier:
                break
            current = earlier[0]
            seen.add(current)
            steps.insert(0, self.resolved.sites[current].name)
        if hazard is not None:
            steps.append(f"({quoted(self.resolved, hazard.span)})")
        if self.flow.result.depends & self.flow.origins.site(site.index):
            steps.append(self.result)
        return " -> ".join(steps)
