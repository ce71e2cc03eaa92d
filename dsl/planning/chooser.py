"""Site -> estimator by fixpoint; or the refusal (ESTIMATORS.md section 2, "Choose by fixpoint").

Every site starts with its first candidate in the order of the table.  The walk of `flow.py` tells which arguments are live and
which hazards reach a result; a site whose derivative is lost at a hazard is demoted to the density; and again, until nothing
changes.  Demotion only removes live values, so this ends.  What is then still lost has no right plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..analysis.facts import Hazard
from ..analysis.flow import Flow, analyse
from ..analysis.outcomes import Outcomes
from ..jumps.atoms import Atom, Atoms, Unfound
from ..names.resolve import Resolved
from ..tables.estimators import CROSSING, ESTIMATORS, FALLBACK, PLAIN, EstimatorRow, live_rows
from ..text.diagnostics import ProbError
from ..text.source import Span
from .plan import NOTHING, Choice, Lessons, Plan, PlanOptions
from .reasons import Reasons
from .refusals import excluded, forced_wrong, hindered, inapplicable, no_plan, unfound, unknown_site
from .state import State, begin, check_options, live_arguments, options_of

MOST_PLANS = 256  # of one program that are remembered
MOST_FLOWS = 16
REFUSED = ("P0403", "P0405")  # without going over jumps


@dataclass
class Chooser:
    """The fixpoint over one program."""

    planner: Planner
    options: PlanOptions
    lessons: Lessons
    states: dict[int, State] = field(default_factory=dict)
    first: dict[object, EstimatorRow] = field(default_factory=dict)  # by what the choice rests on
    stopped: Hazard | None = None  # at which no plan is right
    jumping: bool = False  # jumps are found in the text, and gone over,
    understood: frozenset[Span] = frozenset()  # those at these places
    unforced: int = 0  # sites of which nobody has set the estimator, as a mask
    all_finite: bool = False  # every site that has an effect has few outcomes, as far as the text tells

    def run(self) -> Plan:
        measured = dict(self.options.prefer)
        self.states = {
            site.index: begin(self.resolved, site, self.options, self.lessons, measured.get(site.index))
            for site in self.resolved.sites
        }
        if self.options.prefer:
            natural = self.planner.states(replace(self.options, prefer=()), self.lessons)
            for index, state in self.states.items():
                state.natural = natural[index]
        jumps = self.jumps()
        while True:
            assumed = {index: self.candidate(state) for index, state in self.states.items()}
            flow = self.planner.flow(assumed, self.lessons.broken, self.options.of)
            if not self.learn(flow) and not self.demote(flow) and not self.part(flow):
                break
        self.refuse(flow)
        self.all_finite = all(
            state.row.finite and not state.crowded and not state.site.repeated
            for index, state in self.states.items() if self.reaches(flow, index)
        )
        reasons = Reasons(self.resolved, flow, self.options.of)
        self.unforced = self.mask(flow, lambda state: state.forced is None)
        choices = {index: self.choice(state, flow, reasons, jumps) for index, state in self.states.items()}
        felt = [choice for choice in choices.values() if choice.effect]
        exact = bool(felt) and all(ESTIMATORS[choice.estimator].exact for choice in felt)
        counted = tuple(
            (span, name, reached) for span, mask in flow.counts.items() for name in flow.origins.parameters_in(mask)
            if (reached := tuple(result for result, fact in flow.results.items() if fact.depends & flow.origins.parameter(name)))
        )
        return Plan(
            choices, flow.guards, any(choice.biased for choice in choices.values()), exact, self.unasked(choices),
            flow.kinks, flow.ties, not (flow.kinks or flow.curves or flow.lost or jumps or self.resolved.weighted), counted, jumps,
        )

    def jumps(self) -> Mapping[int, tuple[Atom, ...]]:
        """Where draws make the result jump, if these jumps are gone over; P0403 where that cannot be told.  Sites that make it jump
        are drawn so."""
        calls = [call for state in self.states.values() for call in (state.forced, state.measured, state.preferred)]
        if not self.jumping and not any(call is not None and ESTIMATORS[call.name].crosses for call in calls):
            return {}
        self.jumping = True
        found = self.planner.jumps(self.lessons)
        if isinstance(found, Unfound):
            raise ProbError(unfound(self.resolved, found))
        self.understood = found.places
        for index, atoms in found.at.items():
            state = self.states[index]
            if atoms and state.forced is not None and not ESTIMATORS[state.forced.name].crosses:
                raise ProbError(unfound(self.resolved, Unfound(
                    state.site.span, f"`{state.site.name}` makes the result jump, and is set to `{state.forced.name}`"
                )))
            if atoms and (why := CROSSING.unsuited(state.row)):
                raise ProbError(unfound(self.resolved, Unfound(state.site.span, why)))
            state.jumps = bool(atoms)
        for state in self.states.values():
            state.uncrossed = ""
            if state.forced is not None and ESTIMATORS[state.forced.name].splits and any(found.at.values()):
                raise ProbError(unfound(self.resolved, Unfound(
                    state.site.span, f"`{state.site.name}` is set to `{state.forced.name}`, which does not go together with `jump`"
                )))
        return found.at

    def losses(self, flow: Flow) -> list[Hazard]:
        """Where derivatives are lost: jumps that are gone over are left out."""
        if not self.jumping:
            return list(flow.lost)
        relaxed = self.mask(flow, lambda state: self.candidate(state).relaxes)
        return [
            hazard for hazard in flow.lost
            if hazard.kind != "jump" or hazard.span not in self.understood or hazard.live & relaxed
        ]

    @property
    def resolved(self) -> Resolved:
        """What the names of the program mean."""
        return self.planner.resolved

    def unasked(self, choices: dict[int, Choice]) -> bool:
        """Whether lanes are split by order alone, and something else is allowed."""
        if self.options.prefer or not self.options.allows(FALLBACK):
            return False
        return any(choice.free and ESTIMATORS[choice.estimator].splits for choice in choices.values())

    def candidate(self, state: State) -> EstimatorRow:
        """The first estimator that is not ruled out at a site: found once for all sites that are alike."""
        key = state.kind
        if key not in self.first:
            self.first[key] = state.candidate(self.options)
        return self.first[key]

    # ---------------------------------------------------------------------------------------------- fixpoint
    def learn(self, flow: Flow) -> bool:
        """Take in which arguments are live; True where that changes a candidate."""
        changed = False
        for index, state in self.states.items():
            live = live_arguments(flow.sites[index])
            if live <= state.live:
                continue
            before = self.candidate(state)
            state.live |= live
            changed |= self.candidate(state) is not before
        return changed

    def demote(self, flow: Flow) -> bool:
        """Demote every site whose derivative a result loses; True where something changed."""
        changed = False
        fixed = self.mask(flow, lambda state: state.demoted is not None or state.forced is not None)
        for hazard in self.losses(flow):
            for index in flow.origins.sites_in(hazard.live & ~fixed):
                self.states[index].demoted = hazard
                changed = True
            fixed |= hazard.live
        for state in self.states.values():
            if id(state.site.node) in self.lessons.broken:
                changed |= self.detach(self.carriers(state, flow), state)
        if changed:
            return True
        for index, state in self.states.items():
            live = live_arguments(flow.sites[index])
            if self.candidate(state) is FALLBACK and state.ruled_out(FALLBACK, live) and self.reaches(flow, index):
                changed |= self.follow(state, flow)
        return changed

    def part(self, flow: Flow) -> bool:
        """Runs that fork, and outcomes that are enumerated, do not go together: what is set for a site comes before what is not,
        and forks before sums.  True where something changed."""
        if any(state.beside for state in self.states.values()):
            return False
        forking = [
            state for index, state in self.states.items()
            if (state.live or state.jumps) and self.candidate(state).forks and self.reaches(flow, index)
        ]
        if not forking:
            return False
        summing = [state for state in self.states.values() if state.forced is not None and ESTIMATORS[state.forced.name].splits]
        settled = next((state for state in forking if state.forced is not None), None)
        if settled is None and summing:
            settled = summing[0]
        name = self.candidate(settled or forking[0]).name
        others = [state for state in self.states.values() if state is not settled]
        for state in others:
            state.beside = name
        return bool(others)

    def follow(self, state: State, flow: Flow) -> bool:
        """A density whose support moves with earlier pathwise draws becomes right when those are detached."""
        moving = 0
        for parameter in state.row.parameters:
            fact = flow.sites[state.site.index].arguments.get(parameter.name)
            if parameter.moves_support and fact is not None:
                moving |= fact.live
        return self.detach([self.states[index] for index in flow.origins.sites_in(moving)], state)

    def carriers(self, state: State, flow: Flow) -> list[State]:
        """The earlier sites whose draws carry a derivative into a site's arguments."""
        return [self.states[index] for index in flow.origins.sites_in(flow.sites[state.site.index].live)]

    def detach(self, carriers: list[State], follower: State) -> bool:
        """Demote sites for the sake of a later one; True where something changed."""
        changed = False
        for other in carriers:
            if other.demoted is None and other.followed is None and other.forced is None:
                other.followed = follower.site
                changed = True
        return changed

    def reaches(self, flow: Flow, index: int) -> bool:
        return bool(flow.result.depends & flow.origins.site(index))

    def mask(self, flow: Flow, holds: Callable[[State], bool]) -> int:
        """The sites of which something holds: sets are asked about as masks, of thousands of sites at once."""
        return sum(flow.origins.site(index) for index, state in self.states.items() if holds(state))

    # ------------------------------------------------------------------------------------------------ refusal
    def refuse(self, flow: Flow) -> None:
        """Raise where a derivative is still lost; with --allow-biased mark the forced sites as wrong."""
        forced = self.mask(flow, lambda state: state.forced is not None)
        for hazard in sorted(self.losses(flow), key=lambda hazard: (hazard.span.start, -hazard.live.bit_count())):
            for index in flow.origins.sites_in(hazard.live & forced):
                state = self.states[index]
                if state.forced is not None and not state.wrong:
                    if not self.options.allow_biased:
                        raise ProbError(
                            forced_wrong(self.resolved, flow, state.site, state.forced, state.forced_by, hazard)
                        )
                    state.wrong = f"the derivative is lost at a {'pole' if hazard.kind == 'singular' else 'jump'}"
            if flow.origins.parameters_in(hazard.live):
                if not self.options.allow_biased:
                    self.stopped = hazard
                    raise ProbError(no_plan(self.resolved, flow, hazard))
                for index in flow.origins.sites_in(hazard.continuous):
                    self.states[index].wrong = "a parameter moves a jump that no site's density carries"
            elif any(self.candidate(self.states[index]).crosses for index in flow.origins.sites_in(hazard.live)):
                why = "only comparisons, conditions, rounding and orders are followed"
                raise ProbError(unfound(self.resolved, Unfound(hazard.span, why)))
        for index, state in self.states.items():
            flow_at = flow.sites[index]
            live = live_arguments(flow_at)
            if not live or not self.reaches(flow, index):
                continue
            self.check_site(state, live, flow)

    def check_site(self, state: State, live: frozenset[str], flow: Flow) -> None:
        row = self.candidate(state)
        forced = state.forced
        if forced is not None and forced.name == PLAIN.name and not self.options.allow_biased:
            raise ProbError(forced_wrong(self.resolved, flow, state.site, forced, state.forced_by, None))
        if row is PLAIN:
            state.wrong = "the distribution depends on a parameter, the draw is detached"
            return
        why = state.ruled_out(row, live)
        if why and forced is not None:
            if not self.options.allow_biased:
                raise ProbError(inapplicable(self.resolved, state.site, forced, state.forced_by, why, wrong=True))
            state.wrong = why
        elif why and state.jumps:
            raise ProbError(unfound(self.resolved, Unfound(state.site.span, why)))
        elif why:
            right = [other for other in live_rows() if not state.ruled_out(other, live)]
            if right:
                raise ProbError(excluded(self.resolved, state.site, right[0].name, self.options))
            self.stopped = state.demoted
            raise ProbError(no_plan(self.resolved, flow, state.demoted, state.site, why))
        elif not self.options.allows(row) and not (state.preferred and state.preferred.name == row.name):
            raise ProbError(excluded(self.resolved, state.site, row.name, self.options))

    # ------------------------------------------------------------------------------------------------ outcome
    def choice(self, state: State, flow: Flow, reasons: Reasons, jumps: Mapping[int, tuple[Atom, ...]]) -> Choice:
        index = state.site.index
        live = live_arguments(flow.sites[index])
        effect = self.reaches(flow, index)
        row = self.candidate(state) if live and effect else PLAIN
        if effect and state.jumps:
            row = self.candidate(state)
        elif effect and not live:
            row = state.summed_as_noise(self.options, self.all_finite) or row
        options = options_of(row, (state.forced, state.preferred, state.measured), {"tau": self.options.tau})
        summing = any(other.exact and self.options.allows(other) for other in live_rows())
        if state.demoted is not None and not self.jumping and self.options.allows(CROSSING):
            found = self.planner.jumps(self.lessons)
            state.uncrossed = f"a jump is not found: {found.reason}" if isinstance(found, Unfound) else ""
        shown = state if state.natural is None or state.demoted or state.followed else state.natural
        valid = [other for other in live_rows() if not shown.ruled_out(other, live)] if live and effect else [PLAIN]
        reason, because = reasons.reason(shown, row, options, bool(live), effect)
        because += tuple(atom.origin for atom in jumps.get(index, ()) if row.crosses)
        return Choice(
            state.site, row.name, options, bool(state.wrong) or row.biased, reason, because,
            reasons.rejected(shown, row, live if effect else frozenset()), tuple(other.name for other in valid),
            reasons.path(state.site, shown.demoted), bool(live), effect,
            bool(flow.sites[index].live & self.unforced),
            tuple(other.name for other in valid if self.options.allows(other)),
            state.forced is None and state.preferred is None, state.forced is not None,
            (state.row.finite or state.row.endless) and not state.crowded and summing, state.found,
        )


def make_plan(resolved: Resolved, options: PlanOptions | None = None, lessons: Lessons | None = None) -> Plan:
    """Choose an estimator for every site.

    Raises ProbError with P0401 (an estimator that does not apply), P0402 (a forced one that would be wrong), P0403 (none is
    right), P0405 (none is left after --among), P0407 (too many outcomes to enumerate), P0607 (--estimator names no site).
    """
    return Planner(resolved)(options or PlanOptions(), lessons)


class Planner:
    """The plans of one program, each made or refused once, and what many of them have in common."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.made: dict[tuple[PlanOptions, Lessons], Plan | ProbError] = {}
        self.tried: dict[PlanOptions, object] = {}  # `trials.py`
        self.counted: dict[object, Outcomes] = {}  # by what it was counted with (`crowding.py`)
        self.chosen: dict[tuple[PlanOptions, Lessons], dict[int, State]] = {}
        self.flows: dict[object, Flow] = {}

    def __call__(self, options: PlanOptions, lessons: Lessons | None = None) -> Plan:
        """As `make_plan`."""
        key = (options, lessons or NOTHING)
        found = self.made.get(key)
        if found is None:
            if len(self.made) >= MOST_PLANS:
                self.made.clear()
                self.tried.clear()
                self.chosen.clear()
            try:
                found = self._make(*key)
            except ProbError as problem:
                found = problem
            self.made[key] = found
        if isinstance(found, ProbError):
            raise found.with_traceback(None)
        return found

    def _make(self, options: PlanOptions, lessons: Lessons) -> Plan:
        self.check(options)
        chooser = Chooser(self, options, lessons)
        try:
            made = chooser.run()
        except ProbError as problem:
            if chooser.jumping or problem.code not in REFUSED or not options.allows(CROSSING):
                raise
            stopped, chooser = chooser.stopped, Chooser(self, options, lessons, jumping=True)
            try:
                made = chooser.run()
            except ProbError as missed:
                if stopped is None or stopped.kind != "jump" or self.resolved.weighted:
                    raise problem from None
                raise ProbError(hindered(problem.diagnostics[0], missed.diagnostics[0])) from None
        if not options.prefer:
            self.chosen[options, lessons] = chooser.states
        return made

    def check(self, options: PlanOptions) -> None:
        """P0607, P0401 for estimators that are asked for."""
        names = {site.name for site in self.resolved.sites} if options.estimator else ()
        for site_name, call in options.estimator:
            if call.name not in ESTIMATORS or (site_name is not None and site_name not in names):
                raise ProbError(unknown_site(self.resolved, site_name, call, tuple(ESTIMATORS)))
            check_options(call, self.resolved)

    def jumps(self, lessons: Lessons) -> Atoms | Unfound:
        """By site where its draws make what is asked for jump; or why that is not found in the text."""
        from ..jumps.backward import find_atoms  # only where it is asked for

        return self.resolved.prepared.once("jumps", lessons.broken, lambda: find_atoms(self.resolved, lessons.broken))

    def states(self, options: PlanOptions, lessons: Lessons) -> dict[int, State]:
        """The sites as the choice has left them, where nothing has been measured."""
        self(options, lessons)
        return self.chosen[options, lessons]

    def flow(self, assumed: Mapping[int, EstimatorRow], broken: frozenset[int], of: tuple[str, ...]) -> Flow:
        """The walk with these estimators: it sees no more of them than whether the value carries the derivative, and how."""
        carried = bytes(row.pathwise + 2 * row.relaxes for _, row in sorted(assumed.items()))
        key = (carried, broken, of)
        if key not in self.flows:
            if len(self.flows) >= MOST_FLOWS:
                self.flows.clear()
            self.flows[key] = analyse(self.resolved, assumed, broken, of)
        return self.flows[key]
