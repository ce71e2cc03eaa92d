"""What a row of the table of distributions says: the domains of arguments, and the facts of a distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from .ranges import ANY, Bounds


class Domain(Enum):
    """What an argument may be; the words complete "`probs` of Bernoulli must ..."."""

    REAL = "be a finite number"
    EXTENDED = "be a number or an infinity"
    POSITIVE = "be positive"
    NONNEGATIVE = "be at least 0"
    UNIT = "lie in [0, 1]"
    UNIT_OPEN = "lie in (0, 1)"
    UNIT_ABOVE_ZERO = "lie in (0, 1]"
    UNIT_BELOW_ONE = "lie in [0, 1)"
    INTEGER = "be a whole number"
    COUNT = "be a whole number, at least 0"
    SIZE = "be a whole number, at least 1"
    PROBABILITIES = "have entries that are at least 0, not all of them 0"
    LOGITS = "have entries below infinity, not all of them -infinity"
    SIMPLEX_POSITIVE = "have positive entries that sum to 1"
    LOWER_CHOLESKY = "be lower triangular with a positive diagonal"
    POSITIVE_DEFINITE = "be symmetric and positive definite"


@dataclass(frozen=True)
class ParameterRow:
    """One argument of a distribution.

    `event`: axes that belong to one draw (0 scalar, 1 vector, 2 matrix).  `default`: torch's, None where the argument
    must be given.  `differentiable`: the log density has a derivative in it.  `reparameterised`: `rsample` carries a
    right derivative in it.  `moves_support`: the set of possible values depends on it.
    """

    name: str
    domain: Domain
    event: int = 0
    default: float | None = None
    differentiable: bool = True
    reparameterised: bool = False
    moves_support: bool = False


Ranges = dict[str, Bounds]


@dataclass(frozen=True)
class DistributionRow:
    """One distribution.

    `parameters` stand in torch's positional order; of `alternatives` exactly one is given.  `finite`: finitely many
    outcomes.  `forks`: of a discrete one it is known how much more likely a parameter makes other outcomes.  `endless`: all whole
    numbers from 0 on, of which all but some are negligible.  `relaxable`: Gumbel-Softmax applies.
    `event`: axes of one draw.  `support`: where the entries of a draw
    lie, from the ranges of the given arguments (a continuous draw is never exactly at an edge).  `whole_line`: the
    density is positive on all of R, so no value can leave the support.  `kinked`: the log density has a kink where the
    value meets an argument.  `value_smooth`: the log density or mass, as a
    formula, can be differentiated in the value.  `ordered`: a pair of arguments of which the first must be below the
    second (or equal to it, if discrete).
    `amid`: an argument strictly between those.  `bends_at`: where a `kinked` density has its kink, if that is not `shifted`.
    `outcomes`: how many a single draw has, from the arguments that are known numbers and the number of weights; None: not known.
    `by_inverse`: its code draws by a monotone function of one uniform number (of as many as entries), as Sobol points need.
    `shifted`: the argument that moves with the draw, so that x ~ D(a) is t + D(a - t).  `stretched`: the argument that changes
    where x ~ D(a) is t*D(...) for t > 0, and how: divided by t (`/`), times t (`*`), less its logarithm (`log`).
    `periodic`: of values on a circle.
    `sized`: the argument that is the number of entries along every axis of one draw, the same in all runs.
    `parts`: the rows of what it is made of (`composites.py`).
    `torch`: the class in torch.distributions; None where the law is our own.
    """

    name: str
    parameters: tuple[ParameterRow, ...]
    alternatives: tuple[str, ...] = ()
    discrete: bool = False
    finite: bool = False
    forks: bool = True
    endless: bool = False
    relaxable: bool = False
    event: int = 0
    support: Callable[[Ranges], Bounds] = lambda _: ANY
    whole_line: bool = False
    kinked: bool = False
    value_smooth: bool = True
    ordered: tuple[str, str] | None = None
    amid: str = ""
    bends_at: str = ""
    outcomes: Callable[[Mapping[str, float | None], int | None], float | None] = lambda values, weights: None
    by_inverse: bool = False
    shifted: str = ""
    stretched: tuple[str, str] | None = None
    periodic: bool = False
    sized: str = ""
    parts: tuple[DistributionRow, ...] = ()
    torch: str | None = None
    summary: str = ""
    formula: str = ""

    @property
    def kink(self) -> str:
        """The argument at which a `kinked` density has its kink."""
        return self.bends_at or self.shifted

    @property
    def affine(self) -> bool:
        """Whether a draw is an affine function of its arguments, whose coefficients are noise."""
        moved = self.shifted == "loc" or self.stretched == ("scale", "/")
        return moved and all(parameter.name in ("loc", "scale") for parameter in self.parameters)

    @property
    def cumulative(self) -> bool:
        """Whether it has a distribution function: one number, on a line."""
        return not self.event and not self.periodic

    def parameter(self, name: str) -> ParameterRow:
        """The parameter of that name; KeyError where there is none."""
        for row in self.parameters:
            if row.name == name:
                return row
        raise KeyError(name)
