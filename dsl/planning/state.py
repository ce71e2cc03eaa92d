"""One site while its estimator is being chosen, and the rules that an estimator must pass there (ESTIMATORS.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..analysis.facts import Hazard
from ..analysis.flow import SiteFlow
from ..names.resolve import Resolved, Site
from ..syntax import EstimatorCall, Sample
from ..tables.distributions import DISTRIBUTIONS, DistributionRow
from ..tables.estimators import CROSSING, ESTIMATORS, FALLBACK, PLAIN, Carrier, EstimatorRow, Option, live_rows
from ..text.diagnostics import ProbError
from .plan import Lessons, PlanOptions
from .refusals import inapplicable, too_many, unknown_estimator, unknown_option

TOGETHER = "the runs whose mean weight is asked for are drawn"
JUMP = "jump"  # the derivative through the value is lost further on; `reasons.py` knows where


@dataclass
class State:
    """One site while the choice is being made."""

    site: Site
    row: DistributionRow
    forced: EstimatorCall | None = None
    forced_by: str = ""  # "using" or "--estimator x=rsample"
    preferred: EstimatorCall | None = None  # from --estimator without a site: used where it is valid
    measured: EstimatorCall | None = None  # what a pilot found best
    crowded: bool = False  # its outcomes are too many to be enumerated
    found: str = ""  # how that was found out, if it was at this site
    together: bool = False  # several runs are drawn together, none of which may go on as more
    at_edge: bool = False  # an outcome has probability 0, and that moves
    beside: str = ""  # an estimator elsewhere in the plan with which some do not go together
    jumps: bool = False  # it is drawn with the jumps that it makes, unless something else is set
    uncrossed: str = "it reaches no jump"  # why that cannot be
    natural: State | None = None  # the same site without what a pilot found: why it cannot be otherwise
    set_aside: str = ""  # a forced estimator that --unbiased overrode
    demoted: Hazard | None = None
    followed: Site | None = None  # demoted because this site's support would move with it
    wrong: str = ""  # why a forced estimator is wrong, where --allow-biased lets it pass
    live: frozenset[str] = frozenset()  # arguments that were live in some round: it only grows, so that the rounds end

    def ruled_out(self, estimator: EstimatorRow, live: frozenset[str]) -> str:
        """Why an estimator cannot be right here when the arguments `live` carry a derivative (an empty string where it can)."""
        why = estimator.unsuited(self.row)
        if why:
            return why
        if estimator.several and self.together:
            return TOGETHER
        if estimator.splits and self.crowded:
            return "too many outcomes"
        if estimator.several and self.beside and ESTIMATORS[self.beside].splits != estimator.splits:
            return f"it does not go together with `{self.beside}` in one plan"
        if estimator.needs_interior and self.at_edge:
            return "an outcome has probability 0 here, and becomes possible where a parameter moves"
        if estimator.crosses and self.uncrossed:
            return self.uncrossed
        if estimator.pathwise and ((self.demoted is not None and not estimator.crosses) or self.followed is not None):
            return JUMP
        for parameter in self.row.parameters:
            if parameter.name in live and (why := estimator.carries(parameter)):
                return why
        return ""

    @property
    def kind(self) -> tuple[object, ...]:
        """All that `candidate` looks at, beside the options."""
        calls = (self.forced, self.measured, self.preferred)
        barred = self.demoted is not None or self.followed is not None
        names = tuple(call and call.name for call in calls)
        apart = (self.jumps, self.uncrossed, self.at_edge, self.beside)
        return (self.row.name, names, apart, self.crowded, barred, self.site.repeated, self.live)

    def candidate(self, options: PlanOptions) -> EstimatorRow:
        """The first estimator that is not ruled out, were the arguments live."""
        if self.forced is not None and (self.forced.name != PLAIN.name or options.allow_biased):
            return ESTIMATORS[self.forced.name]
        if self.jumps and self.followed is None:
            return CROSSING
        order = [row for row in live_rows() if options.allows(row)]
        if options.cautious or self.crowded:  # the relaxation is not what remains of outcomes that are too many
            order.sort(key=lambda row: row.biased)
        if self.site.repeated or self.row.endless:  # may be many draws, or outcomes: only if it is asked for, or measured
            order = [row for row in order if row.carrier is not Carrier.OUTCOMES]
        for call in (self.measured, self.preferred):
            if call is not None and call.name != PLAIN.name:
                order.insert(0, ESTIMATORS[call.name])
        return next((row for row in order if not self.ruled_out(row, self.live)), FALLBACK)

    def summed_as_noise(self, options: PlanOptions, all_finite: bool) -> EstimatorRow | None:
        """What sums out a site that no parameter reaches: when it is asked for, or where everything else is."""
        summing = (row for row in live_rows() if row.exact and not self.ruled_out(row, frozenset()))
        call = self.forced or self.preferred or self.measured
        if call is not None:
            return next((row for row in summing if row.name == call.name), None)
        return next((row for row in summing if options.allows(row)), None) if all_finite else None


def begin(resolved: Resolved, site: Site, options: PlanOptions, lessons: Lessons, measured: EstimatorCall | None) -> State:
    """A site as the program and the options set it; P0401, P0407."""
    state = State(
        site, DISTRIBUTIONS[site.distribution.name], crowded=options.together or site.index in lessons.crowded,
        found=TOGETHER if options.together else dict(lessons.why).get(site.index, ""), together=options.together,
        at_edge=site.index in lessons.edges,
    )
    state.measured = measured
    if isinstance(site.node, Sample) and site.node.using is not None:
        state.forced, state.forced_by = site.node.using, "using"
    for name, call in options.estimator:
        if name is None:
            state.preferred = call
        elif name == site.name:
            state.forced, state.forced_by = call, f"--estimator {name}={call.name}"
    if state.forced is not None:
        _check_forced(resolved, state, state.forced)
        if options.unbiased and ESTIMATORS[state.forced.name].biased:
            state.set_aside, state.forced = state.forced.name, None
    if state.forced is not None and ESTIMATORS[state.forced.name].splits and state.crowded:
        raise ProbError(too_many(resolved, site, state.forced_by, state.together))
    if state.preferred is not None:
        row = ESTIMATORS[state.preferred.name]
        if row.unsuited(state.row) or (options.unbiased and row.biased):
            state.preferred = None
    return state


def _check_forced(resolved: Resolved, state: State, forced: EstimatorCall) -> None:
    if forced.name not in ESTIMATORS:
        raise ProbError(unknown_estimator(forced, tuple(ESTIMATORS)).within(resolved.program.source))
    check_options(forced, resolved)
    why = ESTIMATORS[forced.name].unsuited(state.row)
    if why:
        raise ProbError(inapplicable(resolved, state.site, forced, state.forced_by, why))


def check_options(call: EstimatorCall, resolved: Resolved) -> None:
    """P0401 for an option that the estimator does not have, or that it cannot have so."""
    row = ESTIMATORS[call.name]
    for name, value in call.options:
        option = row.option(name)
        if option is None:
            raise ProbError(unknown_option(resolved, call, name, tuple(sorted(known.name for known in row.options))))
        if not option.allowed(value):
            raise ProbError(unknown_option(resolved, call, name, (), option.wanted))


def options_of(row: EstimatorRow, calls: tuple[EstimatorCall | None, ...], common: Mapping[str, Option]) -> dict[str, Option]:
    """The options of an estimator: those of the first of `calls` that names it, else the usual ones."""
    call = next((call for call in calls if call is not None and call.name == row.name), EstimatorCall(row.name))
    return row.defaults(common) | dict(call.options)


def live_arguments(site: SiteFlow) -> frozenset[str]:
    """Names of the arguments that carry a derivative."""
    return frozenset(name for name, fact in site.arguments.items() if fact.live)
