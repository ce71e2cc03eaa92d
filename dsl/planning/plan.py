"""A plan: the estimator of every site with its reasons, what it rests on, and what runs have taught about earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..analysis.flow import Guard
from ..names.resolve import Site
from ..syntax import EstimatorCall
from ..tables.estimators import ESTIMATORS, EstimatorRow, Option


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

    def allows(self, row: EstimatorRow) -> bool:
        """Whether an estimator may be chosen."""
        return not (self.unbiased and row.biased) and (self.among is None or row.name in self.among)


@dataclass(frozen=True)
class Lessons:
    """What runs have taught about earlier plans.

    broken     ids of guards that a run saw fail, and of sampling sites (Sample, Draw) whose estimator broke down at the edge
               of their domain: the earlier draws that lead there are detached
    crowded    indices of sites whose outcomes are too many to be enumerated
    """

    broken: frozenset[int] = frozenset()
    crowded: frozenset[int] = frozenset()

    def broke(self, place: int) -> Lessons:
        """With one more broken place."""
        return replace(self, broken=self.broken | {place})

    def crowd(self, site: int) -> Lessons:
        """With one more crowded site."""
        return replace(self, crowded=self.crowded | {site})

    def crowd_alike(self, site: int, plan: Plan) -> Lessons:
        """With one more crowded site of a plan and the sites like it that come after: a hundred of them are given up together,
        and not one by one, each with an attempt of its own."""
        return replace(self, crowded=self.crowded | {site, *plan.like(site)})


@dataclass(frozen=True)
class Choice:
    """The estimator of one site and why.

    live        a parameter's derivative reaches an argument (else the site is fixed noise)
    effect      the draw reaches a result
    valid       every estimator that would be right here, in the order of preference
    candidates  those of them that the options allow
    free        nobody has set an estimator
    finite      it has finitely many outcomes, and they may be enumerated
    movable     earlier draws carry the derivative to it, and could be detached
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
    finite: bool = False


@dataclass(frozen=True)
class Plan:
    """A right choice for every site, and the assumptions that a run must watch.

    exact      every site that has an effect is enumerated: one run tells everything
    kinks      ids of nodes over whose kink a derivative is carried, which has no second one
    memory     what runs have found out about it
    """

    choices: dict[int, Choice]
    guards: tuple[Guard, ...]
    biased: bool
    exact: bool = False
    kinks: frozenset[int] = frozenset()
    memory: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> tuple[object, ...]:
        """What two plans that do the same have in common."""
        return tuple((index, c.estimator, tuple(sorted(c.options.items()))) for index, c in sorted(self.choices.items()))

    def like(self, index: int) -> list[int]:
        """Later sites that draw from the same distribution by an estimator that splits, though nobody asked for it."""
        name = self.choices[index].site.distribution.name
        return [
            other for other, choice in self.choices.items()
            if other > index and choice.free and ESTIMATORS[choice.estimator].splits and choice.site.distribution.name == name
        ]
