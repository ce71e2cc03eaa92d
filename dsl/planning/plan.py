"""A plan: the estimator of every site with its reasons, what it rests on, and what runs have taught about earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..analysis.flow import Guard
from ..jumps.atoms import Atom
from ..names.asked import copies_in
from ..names.resolve import Site
from ..syntax import EstimatorCall
from ..tables.estimators import ESTIMATORS, Carrier, EstimatorRow, Option
from ..tables.limits import lanes_of
from ..text.source import Span


@dataclass(frozen=True)
class PlanOptions:
    """The options that bear on the choice (CONTRACT.md).  `estimator` holds (site name or None, estimator) pairs.

    `prefer`: what a pilot run found best, by site index; used where it is valid and nothing else was asked for.
    `cautious`: nobody will see a report, so biased estimators come last in the order.
    """

    estimator: tuple[tuple[str | None, EstimatorCall], ...] = ()
    unbiased: bool = False
    among: frozenset[str] | None = None
    allow_biased: bool = False
    tau: float = 0.5
    of: tuple[str, ...] = ()
    prefer: tuple[tuple[int, EstimatorCall], ...] = ()
    cautious: bool = False

    @cached_property
    def together(self) -> bool:
        """Whether the mean weight of several runs is asked for, whose outcomes are drawn."""
        return bool(copies_in(self.of))

    def allows(self, row: EstimatorRow) -> bool:
        """Whether an estimator may be chosen."""
        return not (self.unbiased and row.biased) and (self.among is None or row.name in self.among)


@dataclass(frozen=True)
class Lessons:
    """What runs have taught about earlier plans.

    broken     ids of guards that a run saw fail, and of sampling sites (Sample, Draw) whose estimator broke down at the edge
               of their domain: the earlier draws that lead there are detached
    crowded    indices of sites whose outcomes are too many to be enumerated
    why        (index, reason in words) of those of them at which that was found out
    edges      indices of sites with an outcome of probability 0, which moves
    """

    broken: frozenset[int] = frozenset()
    crowded: frozenset[int] = frozenset()
    why: tuple[tuple[int, str], ...] = ()
    edges: frozenset[int] = frozenset()

    def at_edge(self, site: int) -> Lessons:
        """With one more site at the edge of its domain."""
        return replace(self, edges=self.edges | {site})

    def broke(self, place: int) -> Lessons:
        """With one more broken place."""
        return replace(self, broken=self.broken | {place})

    def crowd(self, site: int, plan: Plan, why: str = "") -> Lessons:
        """With one more crowded site of a plan, and what is given up with it: a hundred sites together, and not one by one, each
        with an attempt of its own."""
        said = ((site, why),) if why and site not in self.crowded else ()
        return replace(self, crowded=self.crowded | {site, *plan.given_up_with(site)}, why=self.why + said)

    def joined(self, other: Lessons) -> Lessons:
        """With the crowded sites of others."""
        said = tuple(entry for entry in other.why if entry[0] not in self.crowded)
        return replace(self, crowded=self.crowded | other.crowded, why=self.why + said)


NOTHING = Lessons()  # yet


@dataclass(frozen=True)
class Choice:
    """The estimator of one site and why.

    live        a parameter's derivative reaches an argument (else the site is fixed noise)
    effect      the draw reaches a result
    valid       every estimator that would be right here, in the order of preference
    candidates  those of them that the options allow
    free        nobody has set an estimator
    forced      somebody has set one for this very site
    finite      it has finitely many outcomes, or all but so many are negligible, and they may be enumerated
    movable     earlier draws carry the derivative to it, and could be detached
    crowded     why its outcomes are not enumerated, though they could be, where that was found out here
    """

    site: Site
    estimator: str
    options: dict[str, Option]
    biased: bool
    reason: str
    because: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    valid: tuple[str, ...]
    path: str
    live: bool
    effect: bool
    movable: bool = False
    candidates: tuple[str, ...] = ()
    free: bool = True
    forced: bool = False
    finite: bool = False
    crowded: str = ""


@dataclass(frozen=True)
class Plan:
    """A right choice for every site, and the assumptions that a run must watch.

    exact      every site that has an effect is enumerated: one run tells everything
    unasked    outcomes are enumerated by order alone: nobody asked for it, and nothing was measured
    kinks      ids of nodes over whose kink a derivative is carried, which has no second one
    ties       ids of nodes over whose kink a derivative is carried, and which may be met exactly with positive probability; for
               each whether anything continuous is in its operands
    polynomial what moves goes through sums and products only: a derivative along paths lies in no rarer runs than the results
    counted    where a parameter must be a whole number: the place, its name, and the results that depend on it
    atoms      by site, where a draw makes the result jump
    token      under which what runs find out about it is kept (`Resolved.prepared`)
    """

    choices: dict[int, Choice]
    guards: tuple[Guard, ...]
    biased: bool
    exact: bool = False
    unasked: bool = False
    kinks: frozenset[int] = frozenset()
    ties: Mapping[int, bool] = field(default_factory=dict)
    polynomial: bool = False
    counted: tuple[tuple[Span, str, tuple[str, ...]], ...] = ()
    atoms: Mapping[int, tuple[Atom, ...]] = field(default_factory=dict)
    token: object = field(default_factory=object, compare=False, repr=False)

    @property
    def key(self) -> tuple[object, ...]:
        """What two plans that do the same have in common."""
        return tuple((index, c.estimator, tuple(sorted(c.options.items()))) for index, c in sorted(self.choices.items()))

    @cached_property
    def done(self) -> object:
        """What a trial of it shows, whichever baseline it has: both are measured at once, and no plan is tried for that alone."""
        return tuple(
            (index, choice.estimator, tuple(option for option in sorted(choice.options.items()) if option[0] != "baseline"))
            for index, choice in sorted(self.choices.items())
        )

    @cached_property
    def merges(self) -> bool:
        """Whether lanes in the same state may be merged, so that there are as many as states, not as paths.  A score, or a kink
        that is met, looks back at the lanes where it arose."""
        rows = [ESTIMATORS[choice.estimator] for choice in self.choices.values()]
        return not self.ties and self.splits and not any(row.carrier is Carrier.DENSITY for row in rows)

    @cached_property
    def pathwise(self) -> int:
        """How many sites are reparameterised."""
        return sum(ESTIMATORS[choice.estimator].reparameterises for choice in self.choices.values())

    @cached_property
    def forks(self) -> bool:
        """Whether runs go on as two."""
        return any(ESTIMATORS[choice.estimator].forks for choice in self.choices.values())

    @cached_property
    def splits(self) -> bool:
        """Whether outcomes are enumerated somewhere."""
        return any(ESTIMATORS[choice.estimator].splits for choice in self.choices.values())

    @cached_property
    def relaxes(self) -> bool:
        """Whether a draw is relaxed somewhere."""
        return any(ESTIMATORS[choice.estimator].relaxes for choice in self.choices.values())

    @cached_property
    def splitting(self) -> tuple[int, ...]:
        """The sites at which outcomes are enumerated, though nobody set that for the site."""
        return tuple(
            index for index, choice in sorted(self.choices.items()) if not choice.forced and ESTIMATORS[choice.estimator].splits
        )

    @property
    def label(self) -> str:
        """The estimators of the sites that a parameter reaches."""
        return " + ".join(sorted({choice.estimator for choice in self.choices.values() if choice.live and choice.effect}))

    def given_up_with(self, index: int) -> list[int]:
        """Sites that are given up where the outcomes at one are too many: those by an estimator that splits, though nobody set
        it for the site.  All of them, where that was by order: what they have split is not worth its lanes to those who sample on
        them.  Else those that draw from the same distribution."""
        name = self.choices[index].site.distribution.name
        return [
            other for other, choice in self.choices.items()
            if not choice.forced and ESTIMATORS[choice.estimator].splits and (self.unasked or choice.site.distribution.name == name)
        ]

    def lanes(self, samples: int, most: int | None) -> int:
        """How many lanes enumeration may make of one run; `most`: what was asked for."""
        return lanes_of(samples, self.exact, most, self.unasked, self.merges)
