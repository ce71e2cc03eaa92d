"""Site -> estimator, with reasons in words; or the refusal (ESTIMATORS.md section 2, "Choose by fixpoint").

Every site starts with its first candidate in the order of `ORDER`.  The walk of `flow.py` tells which arguments are
live and which hazards reach a result; a site whose derivative is lost at a hazard is demoted to `score`; and again,
until nothing changes.  Demotion only removes live values, so this ends.  What is then still lost has no right plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .diagnostics import ProbError
from .distributions import DISTRIBUTIONS, DistributionRow
from .facts import Hazard
from .flow import Flow, Guard, SiteFlow, analyse
from .names import Resolved, Site
from .refusals import excluded, forced_wrong, inapplicable, no_plan, too_many, unknown_estimator, unknown_option, unknown_site
from .syntax import EstimatorCall, Sample
from .words import Words

ORDER = ("sample", "rsample", "enumerate", "gumbel", "score")  # of preference among valid estimators (without measuring)
BIASED = frozenset({"gumbel"})
SUMMARY = {
    "sample": "a plain draw",
    "rsample": "unbiased; reparameterised draw",
    "enumerate": "exact; a lane for every outcome, weighed by its probability",
    "gumbel": "biased; straight-through Gumbel-Softmax",
    "score": "unbiased; leave-one-out baseline",
}
DEFAULTS: dict[str, dict[str, float | bool | str]] = {
    "gumbel": {"hard": True},
    "score": {"baseline": "mean", "credit": True},
}
BASELINES = ("mean", "regression", "none")
MOST_PLANS = 256  # of one program that are remembered


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
    options: dict[str, float | bool | str]
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
    guards: dict[int, Guard]
    biased: bool
    exact: bool = False
    kinks: frozenset[int] = frozenset()
    memory: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> tuple[object, ...]:
        """What two plans that do the same have in common."""
        return tuple((index, c.estimator, tuple(sorted(c.options.items()))) for index, c in sorted(self.choices.items()))


    def like(self, index: int) -> list[int]:
        """Later sites that draw from the same distribution and are enumerated, though nobody asked for it."""
        name = self.choices[index].site.distribution.name
        return [
            other for other, choice in self.choices.items()
            if other > index and choice.free and choice.estimator == "enumerate" and choice.site.distribution.name == name
        ]


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
    natural: State | None = None  # the same site without what a pilot found: why it cannot be otherwise
    set_aside: str = ""  # a forced estimator that --unbiased overrode
    demoted: Hazard | None = None
    followed: Site | None = None  # demoted because this site's support would move with it
    wrong: str = ""  # why a forced estimator is wrong, where --allow-biased lets it pass
    live: frozenset[str] = frozenset()  # arguments that were live in some round: it only grows, so that the rounds end


@dataclass
class Chooser:
    """The fixpoint over one program."""

    resolved: Resolved
    options: PlanOptions
    lessons: Lessons
    states: dict[int, State] = field(default_factory=dict)
    all_finite: bool = False  # every site that has an effect has few outcomes, as far as the text tells

    def run(self) -> Plan:
        self.states = {site.index: self.start(site) for site in self.resolved.sites}
        if self.options.prefer:
            natural = Chooser(self.resolved, replace(self.options, prefer=()), self.lessons)
            natural.run()
            for index, state in self.states.items():
                state.natural = natural.states[index]
        while True:
            flow = analyse(self.resolved, self.assumed(), self.lessons.broken, self.options.of)
            if not self.learn(flow) and not self.demote(flow):
                break
        self.refuse(flow)
        self.all_finite = all(
            state.row.finite and not state.crowded and not state.site.repeated
            for index, state in self.states.items() if self.reaches(flow, index)
        )
        words = Words(self.resolved, flow)
        choices = {index: self.choice(state, flow, words) for index, state in self.states.items()}
        felt = [choice for choice in choices.values() if choice.effect]
        exact = bool(felt) and all(choice.estimator == "enumerate" for choice in felt)
        return Plan(choices, flow.guards, any(choice.biased for choice in choices.values()), exact, flow.kinks)

    # -------------------------------------------------------------------------------------------------- start
    def start(self, site: Site) -> State:
        state = State(site, DISTRIBUTIONS[site.distribution.name], crowded=site.index in self.lessons.crowded)
        state.measured = dict(self.options.prefer).get(site.index)
        if isinstance(site.node, Sample) and site.node.using is not None:
            state.forced, state.forced_by = site.node.using, "using"
        for name, call in self.options.estimator:
            if name is None:
                state.preferred = call
            elif name == site.name:
                state.forced, state.forced_by = call, f"--estimator {name}={call.name}"
        if state.forced is not None:
            if state.forced.name not in ORDER:
                raise ProbError(unknown_estimator(state.forced, ORDER).within(self.resolved.program.source))
            check_options(state.forced, self.resolved)
            why = unsuited(state.forced, state.row)
            if why:
                raise ProbError(inapplicable(self.resolved, site, state.forced, state.forced_by, why))
            if self.options.unbiased and state.forced.name in BIASED:
                state.set_aside, state.forced = state.forced.name, None
        if state.forced is not None and state.forced.name == "enumerate" and state.crowded:
            raise ProbError(too_many(self.resolved, site, state.forced_by))
        if state.preferred is not None and (
            unsuited(state.preferred, state.row) or (self.options.unbiased and state.preferred.name in BIASED)
        ):
            state.preferred = None
        return state

    def allowed(self, name: str) -> bool:
        if name in BIASED and self.options.unbiased:
            return False
        return self.options.among is None or name in self.options.among

    def assumed(self) -> dict[int, str]:
        """The estimator of every site under the present state, were its arguments live."""
        return {index: self.candidate(state) for index, state in self.states.items()}

    def candidate(self, state: State) -> str:
        """The first estimator that is not ruled out."""
        if state.forced is not None and (state.forced.name != "sample" or self.options.allow_biased):
            return state.forced.name
        order = [name for name in ORDER[1:] if self.allowed(name)]
        if self.options.cautious:
            order.sort(key=lambda name: name in BIASED)
        if state.site.repeated and "enumerate" in order:  # may be many draws: only if it is asked for, or measured
            order.remove("enumerate")
        for call in (state.measured, state.preferred):
            if call is not None and call.name != "sample":
                order.insert(0, call.name)
        for name in order:
            if not self.ruled_out(state, name, state.live):
                return name
        return "score"

    def ruled_out(self, state: State, name: str, live: frozenset[str]) -> str:
        """Why an estimator cannot be right at a site (an empty string where it can)."""
        row = state.row
        if name == "enumerate":
            return unsuited(EstimatorCall(name), row) or ("too many outcomes" if state.crowded else "")
        if name in ("rsample", "gumbel"):
            why = unsuited(EstimatorCall(name), row)
            if why:
                return why
            if state.demoted is not None or state.followed is not None:
                return "jump"
        if name == "rsample":
            for parameter in row.parameters:
                if parameter.name in live and not parameter.reparameterised:
                    return f"no reparameterisation in `{parameter.name}`"
        if name == "score":
            for parameter in row.parameters:
                if parameter.name in live and parameter.moves_support:
                    return f"the support moves with `{parameter.name}`"
        return ""

    # ---------------------------------------------------------------------------------------------- fixpoint
    def learn(self, flow: Flow) -> bool:
        """Take in which arguments are live; True where that changes a candidate."""
        changed = False
        for index, state in self.states.items():
            before = self.candidate(state)
            state.live |= live_arguments(flow.sites[index])
            changed |= self.candidate(state) != before
        return changed

    def demote(self, flow: Flow) -> bool:
        """Demote every site whose derivative a result loses; True where something changed."""
        changed = False
        for hazard in sorted(flow.result.hazards, key=lambda h: (h.span.start, h.live)):
            for index in flow.origins.sites_in(hazard.live):
                state = self.states[index]
                if state.demoted is None and state.forced is None:
                    state.demoted = hazard
                    changed = True
        for state in self.states.values():
            if id(state.site.node) in self.lessons.broken:
                changed |= self.detach(self.carriers(state, flow), state)
        if changed:
            return True
        for index, state in self.states.items():
            live = live_arguments(flow.sites[index])
            if self.candidate(state) == "score" and self.ruled_out(state, "score", live) and self.reaches(flow, index):
                changed |= self.follow(state, flow)
        return changed

    def follow(self, state: State, flow: Flow) -> bool:
        """A score whose support moves with earlier pathwise draws becomes right when those are detached."""
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

    # ------------------------------------------------------------------------------------------------ refusal
    def refuse(self, flow: Flow) -> None:
        """Raise where a derivative is still lost; with --allow-biased mark the forced sites as wrong."""
        for hazard in sorted(flow.result.hazards, key=lambda h: (h.span.start, -h.live.bit_count())):
            for index in flow.origins.sites_in(hazard.live):
                state = self.states[index]
                if state.forced is not None and not state.wrong:
                    if not self.options.allow_biased:
                        raise ProbError(
                            forced_wrong(self.resolved, flow, state.site, state.forced, state.forced_by, hazard)
                        )
                    state.wrong = f"the derivative is lost at a {'pole' if hazard.kind == 'singular' else 'jump'}"
            if flow.origins.parameters_in(hazard.live):
                if not self.options.allow_biased:
                    raise ProbError(no_plan(self.resolved, flow, hazard))
                for index in flow.origins.sites_in(hazard.continuous):
                    self.states[index].wrong = "a parameter moves a jump that no site's density carries"
        for index, state in self.states.items():
            flow_at = flow.sites[index]
            live = live_arguments(flow_at)
            if not live or not self.reaches(flow, index):
                continue
            self.check_site(state, live, flow)

    def check_site(self, state: State, live: frozenset[str], flow: Flow) -> None:
        name = self.candidate(state)
        forced = state.forced
        if forced is not None and forced.name == "sample" and not self.options.allow_biased:
            raise ProbError(forced_wrong(self.resolved, flow, state.site, forced, state.forced_by, None))
        if name == "sample":
            state.wrong = "the distribution depends on a parameter, the draw is detached"
            return
        why = self.ruled_out(state, name, live)
        if why and forced is not None:
            if not self.options.allow_biased:
                raise ProbError(inapplicable(self.resolved, state.site, forced, state.forced_by, why, wrong=True))
            state.wrong = why
        elif why and name == "score":
            if self.options.among is not None and not self.ruled_out(state, "rsample", live):
                raise ProbError(excluded(self.resolved, state.site, name, self.options))
            raise ProbError(no_plan(self.resolved, flow, state.demoted, state.site, why))
        elif not self.allowed(name) and not (state.preferred and state.preferred.name == name):
            raise ProbError(excluded(self.resolved, state.site, name, self.options))

    # ------------------------------------------------------------------------------------------------ outcome
    def choice(self, state: State, flow: Flow, words: Words) -> Choice:
        index = state.site.index
        live = live_arguments(flow.sites[index])
        effect = self.reaches(flow, index)
        name = self.candidate(state) if live and effect else "sample"
        if effect and not live and self.enumerable_noise(state):
            name = "enumerate"
        calls = (state.forced, state.preferred, state.measured)
        call = next((c for c in calls if c is not None and c.name == name), EstimatorCall(name))
        options = DEFAULTS.get(name, {}) | ({"tau": self.options.tau} if name == "gumbel" else {}) | dict(call.options)
        finite = state.row.finite and not state.crowded and self.allowed("enumerate")
        shown = state if state.natural is None or state.demoted or state.followed else state.natural
        valid = tuple(n for n in ORDER[1:] if not self.ruled_out(shown, n, live)) if live and effect else ("sample",)
        reason, because = words.reason(shown, name, options, bool(live), effect)
        rejected = words.rejected(shown, name, valid, live if effect else frozenset(), self.ruled_out)
        return Choice(
            state.site, name, options, bool(state.wrong) or (name in BIASED), reason, because, rejected, valid,
            words.path(state.site, shown.demoted), bool(live), effect,
            any(other.forced is None for other in self.carriers(state, flow)),
            tuple(n for n in valid if self.allowed(n)), state.forced is None and state.preferred is None, finite,
        )

    def enumerable_noise(self, state: State) -> bool:
        """Whether a site that no parameter reaches is enumerated: when asked for, or where everything else is."""
        if state.crowded or unsuited(EstimatorCall("enumerate"), state.row):
            return False
        call = state.forced or state.preferred or state.measured
        if call is not None:
            return call.name == "enumerate"
        return self.allowed("enumerate") and self.all_finite


def check_options(call: EstimatorCall, resolved: Resolved) -> None:
    """P0401 for an option that the estimator does not have, or that it cannot have so."""
    known = DEFAULTS.get(call.name, {}).keys() | ({"tau"} if call.name == "gumbel" else set())
    for name, value in call.options:
        if name not in known:
            raise ProbError(unknown_option(resolved, call, name, tuple(sorted(known))))
        if name == "tau":
            wanted = "a positive number" if isinstance(value, bool | str) or not 0 < value < float("inf") else ""
        elif name == "baseline":
            wanted = "one of mean, regression, none" if value not in BASELINES else ""
        else:
            wanted = "true or false" if not isinstance(value, bool) else ""
        if wanted:
            raise ProbError(unknown_option(resolved, call, name, (), wanted))


def unsuited(call: EstimatorCall, row: DistributionRow) -> str:
    """Why an estimator can never be used with a distribution (an empty string where it can)."""
    if call.name == "rsample" and (row.discrete or not any(p.reparameterised for p in row.parameters)):
        return f"{row.name} has no reparameterisation"
    if call.name == "enumerate" and not row.finite:
        return f"{row.name} has infinitely many outcomes"
    if call.name == "gumbel" and not row.relaxable:
        return "only for Bernoulli, Categorical, OneHotCategorical"
    return ""


def live_arguments(site: SiteFlow) -> frozenset[str]:
    """Names of the arguments that carry a derivative."""
    return frozenset(name for name, fact in site.arguments.items() if fact.live)


def make_plan(resolved: Resolved, options: PlanOptions | None = None, lessons: Lessons | None = None) -> Plan:
    """Choose an estimator for every site.

    Raises ProbError with P0401 (an estimator that does not apply), P0402 (a forced one that would be wrong), P0403 (none is
    right), P0405 (none is left after --among), P0407 (too many outcomes to enumerate), P0607 (--estimator names no site).
    """
    options = options or PlanOptions()
    names = {site.name for site in resolved.sites}
    for site_name, call in options.estimator:
        if call.name not in ORDER or (site_name is not None and site_name not in names):
            raise ProbError(unknown_site(resolved, site_name, call, ORDER))
        check_options(call, resolved)
    return Chooser(resolved, options, lessons or Lessons()).run()


class Planner:
    """The plans of one program, each made once."""

    def __init__(self, resolved: Resolved):
        self.resolved = resolved
        self.made: dict[tuple[PlanOptions, Lessons], Plan] = {}

    def __call__(self, options: PlanOptions, lessons: Lessons | None = None) -> Plan:
        """As `make_plan`."""
        key = (options, lessons or Lessons())
        if key not in self.made:
            if len(self.made) >= MOST_PLANS:
                self.made.clear()
            self.made[key] = make_plan(self.resolved, *key)
        return self.made[key]
