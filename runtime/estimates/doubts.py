"""What a gradient says against itself: warnings in words, each of which makes the exit status 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..blocks.tails import Tail
    from .rivals import Contradiction

Place: TypeAlias = tuple[str, str]  # result and parameter
MOST_NAMED = 4


@dataclass(frozen=True)
class Doubt:
    """Why a number is not to be trusted: a code of `probrun help`, a sentence, and the line that it is about, if one is."""

    code: str
    message: str
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry of `warnings` in the JSON."""
        return {"code": self.code, "message": self.message, "line": self.line}


def heavy(tails: Mapping[Place, Tail], several: bool) -> Iterator[Doubt]:
    """Gradients whose variance may be infinite; `several`: there are several results, which are to be named."""
    if not tails:
        return
    worst = min(tails.values(), key=lambda tail: tail.index)
    yield Doubt("P0701", (
        f"heavy tails: do not trust the standard error of {_named(tails, several)}. A few runs carry most of the "
        f"variance (the largest {worst.largest_share:.0%}), and the tail index is about {worst.index:.1f}; below 2 the variance is "
        "infinite. More runs will not mend it: try another estimator (probrun compare), or keep values away from poles and from "
        "tiny probabilities"
    ))


def few(carriers: Mapping[Place, float], runs: int, several: bool) -> Iterator[Doubt]:
    """Gradients that rest on few of the runs, or on none."""
    seen = {place: number for place, number in carriers.items() if number}
    unseen = [place for place in carriers if place not in seen]
    if unseen:
        yield Doubt("P0702", (
            f"nothing seen: do not trust {_named(unseen, several)}. All {runs} runs gave the same, so that what it rests on "
            "is rarer than they can show: make more runs (-n), or make the event likelier and weigh it"
        ))
    if seen:
        yield Doubt("P0702", (
            f"few events: do not trust the standard error of {_named(seen, several)}. It rests on about "
            f"{max(min(seen.values()), 1.0):.0f} of the {runs} runs, as of a rare event, and what is rarer has not been seen: make "
            "more runs (-n)"
        ))


def scarce(sites: Iterable[tuple[str, int, int]], runs: int) -> Iterator[Doubt]:
    """Discrete sites (name, line, values seen) of whose outcomes too few were drawn."""
    for name, line, values in sites:
        seen = "the same value" if values == 1 else f"only {values} different values"
        yield Doubt("P0702", (
            f"few values: do not trust derivatives that come from `{name}` (line {line}). All {runs} runs drew {seen} there; how "
            "the others bear on the result has not been seen: make more runs (-n), or enumerate"
        ), line)


def contradicted(contradictions: Iterable[Contradiction], several: bool) -> Iterator[Doubt]:
    """Gradients that another right plan contradicts."""
    for other in contradictions:
        yield Doubt("P0703", (
            f"contradiction: do not trust {_named([other.place], several)}. With {other.label} in place of what was chosen, "
            f"{other.runs} other runs give {other.mean:.4g} +- {other.se:.2g}, {abs(other.z):.1f} standard errors away: the "
            "derivative lies in runs that are too rare for the one or the other (a step that is steep, but smooth by its text). "
            "Take more runs, or another estimator (probrun compare)"
        ))


def _named(places: Iterable[Place], several: bool) -> str:
    names = [f"d {name}/d{parameter}" if several else f"d/d{parameter}" for name, parameter in places]
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
