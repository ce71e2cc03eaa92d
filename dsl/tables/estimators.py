"""The table of gradient estimators: a row each, with the facts that the rest of probrun asks for.

Nothing else knows an estimator by its name: the choice, the report, the pilot and the comparison go by these facts, and the code
behind a row is the class of the same name in `runtime/estimators/`.  The order of the rows is that of preference among right
estimators where nothing has been measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .distribution_facts import DistributionRow, ParameterRow

Option = float | bool | str


class Carrier(Enum):
    """What takes a derivative past a draw."""

    NOTHING = "nothing"
    VALUE = "the value drawn"
    DENSITY = "the density of the draw, which weighs the run"
    OUTCOMES = "the probabilities of the outcomes, which all go on"
    DIFFERENCE = "the difference that another outcome makes, which goes on beside the draw"


@dataclass(frozen=True)
class OptionRow:
    """`name=value` in brackets behind an estimator.

    `default` None: taken from the option of the command line of the same name.  `told`: reports give it also where it is the usual
    one, `untold`: never.  `label`: what `compare` writes for a value.
    """

    name: str
    default: Option | None
    allowed: Callable[[Any], bool]
    wanted: str
    label: Callable[[Any], str]
    told: bool = False
    untold: bool = False


@dataclass(frozen=True)
class EstimatorRow:
    """An estimator.

    summary         half a line for `probrun explain`
    page            for `probrun help`; its first sentence is the summary of the list
    carrier         what takes the derivative past the draw
    splits          a lane may go on as several
    forks           a run may go on as two lanes that share their noise, the second with weight 0
    crosses         it goes along paths, and over the jumps that are found in the text (`dsl/jumps/atoms.py`)
    random          the same seed aside, two runs draw different values
    exact           where every site that matters is drawn so, one run tells everything
    biased          the gradient is wrong by an amount that no standard error shows
    relaxes         what carries the derivative is a softened draw, not the one that goes forward
    needs_interior  its formula breaks down where an outcome has probability exactly 0
    reason          why a site has it, with {result} and options in braces; empty: what the text says of the site
    unsuited        why a distribution can never be drawn so (an empty string where it can)
    carries         why a derivative cannot pass through an argument (an empty string where it can)
    options         in the order in which they are written
    variants        option values that `compare` shows beside the usual ones
    known_as        what others call it, in small letters
    """

    name: str
    summary: str
    page: str
    carrier: Carrier
    splits: bool = False
    forks: bool = False
    crosses: bool = False
    random: bool = True
    exact: bool = False
    biased: bool = False
    relaxes: bool = False
    needs_interior: bool = False
    reason: str = ""
    unsuited: Callable[[DistributionRow], str] = lambda row: ""
    carries: Callable[[ParameterRow], str] = lambda parameter: ""
    help: Callable[[DistributionRow], str] = lambda row: ""
    options: tuple[OptionRow, ...] = ()
    variants: tuple[dict[str, Option], ...] = ()
    known_as: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether a run may go on as several lanes."""
        return self.splits or self.forks

    @property
    def pathwise(self) -> bool:
        """Whether the drawn value carries the derivative."""
        return self.carrier is Carrier.VALUE

    @property
    def reparameterises(self) -> bool:
        """Whether the value that goes forward is itself the one that carries the derivative, and all of it."""
        return self.pathwise and not self.relaxes and not self.crosses

    def option(self, name: str) -> OptionRow | None:
        """The option of that name."""
        return next((option for option in self.options if option.name == name), None)

    def defaults(self, common: Mapping[str, Option]) -> dict[str, Option]:
        """A value for every option; `common`: what the command line says for all estimators."""
        return {option.name: common[option.name] if option.default is None else option.default for option in self.options}

    def label(self, options: Mapping[str, Option]) -> str:
        """The name with what is unusual of the options: ``score no credit``."""
        return self.name + "".join(option.label(options[option.name]) for option in self.options)


def _truth(value: object) -> bool:
    return isinstance(value, bool)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


MASS = OptionRow("mass", 1.0, _positive, "a positive number", lambda value: "", untold=True)  # of what runs that fork look at
BASELINES = ("mean", "regression", "none")


def _unpathwise(row: DistributionRow) -> str:
    pathwise = not row.discrete and any(parameter.reparameterised for parameter in row.parameters)
    return "" if pathwise else f"{row.name} has no reparameterisation"


def _named(row: DistributionRow, fits: Callable[[ParameterRow], bool]) -> str:
    return ", ".join(parameter.name for parameter in row.parameters if fits(parameter))


def _score_help(row: DistributionRow) -> str:
    carried = _named(row, lambda parameter: parameter.differentiable and not parameter.moves_support)
    return f"in {carried}" if carried else ""


def _pathwise_help(row: DistributionRow) -> str:
    pathwise = _named(row, lambda parameter: parameter.reparameterised)
    return f"in {pathwise}" if pathwise else ""


def _enumerate_help(row: DistributionRow) -> str:
    carried = _score_help(row)
    which = f", {carried}" if carried else ""
    if row.endless:
        return f"all outcomes but negligible ones are summed over{which}"
    return f"exact: all outcomes are summed over{which}" if row.finite else ""


ROWS = (
    EstimatorRow(
        "sample", "a plain draw",
        """
A plain draw. Used where no parameter reaches the distribution ("fixed noise"), or where the draw does not reach the
result. Exact: there is no derivative to lose.
""",
        Carrier.NOTHING,
        reason="detached by force",
        known_as=("detach", "none"),
        help=lambda row: "where no parameter reaches it",
    ),
    EstimatorRow(
        "rsample", "unbiased; reparameterised draw",
        """
The pathwise estimator: the draw is written as a smooth function of fixed noise and of the parameters, and the chain
rule does the rest. Unbiased, and usually the one with the smallest variance.

Right for continuous distributions with a reparameterisation whose value reaches the result only through continuous,
almost everywhere differentiable operations. A comparison, `floor`, an index or an `if` on the way rules it out: the
chain rule does not see a jump.

Sources: Kingma & Welling 2013; Figurnov, Mohamed & Mnih 2018 for the implicit form (Gamma, Beta, Dirichlet, ...).
""",
        Carrier.VALUE,
        reason="reparameterised; reaches {result} only through smooth operations",
        known_as=(
            "reparam", "reparameterization", "reparametrization", "pathwise", "reparameterisation", "reparameterized",
            "ipa",
        ),
        unsuited=_unpathwise,
        carries=lambda parameter: "" if parameter.reparameterised else f"no reparameterisation in `{parameter.name}`",
        help=_pathwise_help,
    ),
    EstimatorRow(
        "enumerate", "exact; a lane for every outcome, weighed by its probability",
        """
Every outcome goes on as a lane of its own, weighed by its probability, through branches, loops and functions. Exact: where every
site that matters is enumerated, the answer is computed once and has standard error 0. It is right at the edge of the domain,
too, where an outcome has probability 0 and only its derivative counts.

Lanes in the same state become one, so that states count, and not paths. What is left out where there is no end (a loop, a
Poisson, Geometric or NegativeBinomial draw) is negligible, and said. An array has the product of its elements' outcomes, or
their counts, where the elements have one law and are only summed, or otherwise used symmetrically.
`--max-lanes` is the limit of lanes per run; what takes more is left to the other estimators.

Source: Lew et al. 2023 (ADEV, `flip_enum`).
""",
        Carrier.OUTCOMES, splits=True, random=False, exact=True,
        reason="all outcomes, weighed by their probabilities",
        known_as=("exact", "enum", "marginalize", "parallel", "sequential"),
        unsuited=lambda row: "" if row.finite or row.endless else f"{row.name} has infinitely many outcomes",
        help=_enumerate_help,
    ),
    EstimatorRow(
        "gumbel", "biased; straight-through Gumbel-Softmax",
        """
The straight-through Gumbel-Softmax estimator: the forward run is an exact draw, the derivative is that of a softened
draw at temperature `tau`. Biased: the bias vanishes as tau goes to 0 while the variance grows; its variance stays small
with thousands of discrete draws, where a score drowns.

For Bernoulli, Categorical and OneHotCategorical sites whose value reaches the result only through continuous
operations. Options: gumbel(tau=0.1), gumbel(tau=0.1, hard=false). `--unbiased` excludes it.

Sources: Jang, Gu & Poole 2016; Maddison, Mnih & Teh 2016; Bengio, Leonard & Courville 2013.
""",
        Carrier.VALUE, biased=True, relaxes=True, needs_interior=True,
        reason="relaxed (tau = {tau:g}), biased; reaches {result} only through smooth operations",
        known_as=("gumbelsoftmax", "concrete", "straightthrough", "relaxed", "relax"),
        unsuited=lambda row: "" if row.relaxable else "only for Bernoulli, Categorical, OneHotCategorical",
        help=lambda row: "biased; --unbiased excludes it" if row.relaxable else "",
        options=(
            OptionRow("tau", None, _positive, "a positive number", lambda value: f" tau={value:g}", told=True),
            OptionRow("hard", True, _truth, "true or false", lambda value: "" if value else ", soft", told=True),
        ),
        variants=({"tau": 0.1}, {"tau": 0.5}),
    ),
    EstimatorRow(
        "score", "unbiased; leave-one-out baseline",
        """
The score function estimator (REINFORCE): the draw is left alone, and the log density that produced it carries the
derivative. A baseline, the mean result of the other runs, takes most of the noise away without a bias.

Right for every site whose support does not move with a parameter, whatever happens to the value afterwards. Unbiased.
Its variance grows with the number of draws.

Options: score(baseline=mean), the mean of the other runs; score(baseline=regression), the coefficient of the gradient on the score,
which is never worse than none; score(baseline=none). score(credit=false) multiplies each score by the whole result; otherwise
by the terms of the result that depend on the draw, which for long sums is far less noisy. Left out, the baseline is measured.

Sources: Williams 1992; Schulman et al. 2015 (credit); Foerster et al. 2018 (DiCE); Kool, van Hoof & Welling 2019 (leave-one-out
baseline); Greensmith, Bartlett & Baxter 2004 (the best constant baseline).
""",
        Carrier.DENSITY, needs_interior=True,
        known_as=("reinforce", "scorefunction", "likelihoodratio", "logderivative", "lr", "sf", "vimco"),
        carries=lambda parameter: f"the support moves with `{parameter.name}`" if parameter.moves_support else "",
        help=_score_help,
        options=(
            OptionRow(
                "baseline", "mean", lambda value: value in BASELINES, "one of mean, regression, none",
                lambda value: {"mean": "", "regression": " regression", "none": " no baseline"}[str(value)],
            ),
            OptionRow("credit", True, _truth, "true or false", lambda value: "" if value else " no credit"),
        ),
        variants=({"baseline": "regression"}, {"credit": False}, {"credit": False, "baseline": "none"}),
    ),
    EstimatorRow(
        "fork", "unbiased; the run goes on a second time, with another outcome",
        """
A run goes on as two: with what was drawn, and with another outcome in its place. Both draw the same from there on wherever they
execute the same, so that their results differ by what that one outcome changes; the difference, times how fast a parameter moves
probability from one outcome to the other, is the derivative. Of all draws of a run one is changed, each with a known probability.

For discrete distributions whose support does not move with a parameter, whatever happens to the value afterwards. Unbiased, and
right at the edge of the domain, too, where an outcome has probability 0. Its variance is small where one draw changes little, as in
walks, queues and stocks. A run takes about twice the time. First derivatives only; not beside sites that are enumerated.

Option: fork(mass=3) changes the draws of this site three times as often, as against those of other sites. That is right whatever
the masses are, and has the least variance where a site is looked at as often as it matters. Left out, they are learnt.

Sources: Fu & Hu 1997 (smoothed perturbation analysis); Heidergott & Vazquez-Abad 2008 (measure-valued derivatives); Arya et al.
2022 (stochastic triples).
""",
        Carrier.DIFFERENCE, forks=True,
        reason="runs go on with another outcome beside the one drawn",
        known_as=("spa", "smoothedperturbation", "stochasticad", "stochastictriples", "mvd", "measurevalued", "branching"),
        unsuited=lambda row: f"{row.name} is continuous" if not row.discrete else (
            "" if row.forks else f"how likely other outcomes of {row.name} become is not known"
        ),
        carries=lambda parameter: f"the support moves with `{parameter.name}`" if parameter.moves_support else "",
        help=lambda row: _score_help(row) if row.discrete else "",
        options=(MASS,),
    ),
    EstimatorRow(
        "jump", "unbiased; a path, and both sides of every jump",
        """
The pathwise estimator where the result jumps: at a comparison, a branch, `floor`. The points at which a draw makes the result jump
are found in the text, and solved for the draw. At one of them a run goes on as three: with what was drawn, and with a draw just
before the point and just after it, which draw the same from there on. The difference of these two, times how fast probability
crosses the point, is what the path does not see.

For continuous draws of one number. Right also where a parameter stands in the condition (`x < theta`), or moves the support; there
it is the only one. Unbiased. First derivatives only; not beside sites that are enumerated. Option: jump(mass=3), as of `fork`.

Sources: Leibniz' integral rule; Fu & Hu 1997 (smoothed perturbation analysis); Lew et al. 2023 (ADEV).
""",
        Carrier.VALUE, forks=True, crosses=True,
        reason="along the path, and over the jumps that are found in the text",
        known_as=("leibniz", "boundary", "edge", "discontinuity"),
        unsuited=lambda row: f"{row.name} is discrete" if row.discrete else "",
        carries=lambda parameter: "" if parameter.reparameterised else f"no reparameterisation in `{parameter.name}`",
        help=lambda row: "" if row.event else _pathwise_help(row),
        options=(MASS,),
    ),
)

ESTIMATORS: dict[str, EstimatorRow] = {row.name: row for row in ROWS}
PLAIN = next(row for row in ROWS if row.carrier is Carrier.NOTHING)  # where there is no derivative to carry
SUMMING = next(row for row in ROWS if row.exact)  # the sum over all outcomes
FORKING = next(row for row in ROWS if row.forks and not row.crosses)  # other outcomes beside the one drawn


def advice_at_edges(row: DistributionRow, site: str, besides: EstimatorRow) -> str:
    """How else a site may be differentiated where an outcome has probability 0 and that moves; empty: in no other way."""
    found = ""
    if row.finite and not besides.splits:
        found += f";\nor sum over all outcomes, which is right at the edge too: --estimator {site}={SUMMING.name}"
    if besides is not FORKING and not FORKING.unsuited(row):
        found += f";\nor let runs go on with another outcome, which is right there too: --estimator {site}={FORKING.name}"
    return found
CROSSING = next(row for row in ROWS if row.crosses)  # it goes over jumps
FALLBACK = next(row for row in ROWS if row.carrier is Carrier.DENSITY)  # it sees every jump


_LIVE = tuple(row for row in ROWS if row is not PLAIN)


def live_rows() -> tuple[EstimatorRow, ...]:
    """Those that carry a derivative, in the order of preference."""
    return _LIVE
