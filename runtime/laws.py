"""What every law (a distribution with its arguments) can do, the noise it is made of, and torch's own classes.

A law is built at every visit of a site, so it holds its arguments and nothing else.  Arguments are `[L or 1, *batch,
*event]` with the batch axes aligned; shapes asked for are `[L, *batch, *event]`.  Draws never touch an open edge of the
support: `log(u)` of a uniform and `log1p(-b)` of a Beta are finite.  Densities of laws with Gamma functions are
computed in float64 (their terms cancel), everything else in the run's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..dsl.text.diagnostics import Diagnostic, ProbError
from .arrays.kernels import choose
from .arrays.scalars import ends
from .quasi import Points

Shape = tuple[int, ...]
Generator = torch.Generator | None
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
LEAST_FOR_BOX_MULLER = 4096


COARSE = 0.01  # of its scale, to which a value may be rounded
UNSEEN = 1e-3  # of the probability, may lie where there are no numbers


class SecondDerivativeUnavailable(ProbError):
    """The reparameterised draw of this distribution has no second derivative: P0406."""

    def __init__(self, name: str):
        self.name = name
        super().__init__(Diagnostic(
            "P0406", f"the reparameterised draw of {name} has no second derivative",
            notes=("torch's implicit derivative cannot be differentiated again",),
            help='use estimator="score" for this site: the score function has derivatives of every order',
        ))


class Law:
    """A distribution with its arguments (attributes by torch's keyword); `event`: axes of one draw.

    Subclasses give `rsample` or `sample`, `density`, `support` and, where that is not None, `stand_in`.
    """

    event: ClassVar[int] = 0
    lifts: ClassVar[bool] = False  # the density lifts what it computes from uniform arguments by itself (`lifting.py`)
    lift: Callable[[Tensor], Tensor] | None = None

    def __init__(self, arguments: dict[str, Tensor]):
        self.arguments = arguments
        for name, value in arguments.items():
            setattr(self, name, value)

    def once(self, what: str, function: Callable[..., Any], *operands: Any) -> Any:
        """`function(*operands)`; of a block, what is asked for again is found again (`once.py`)."""
        return function(*operands)

    def sample(self, shape: Shape, generator: Generator = None) -> Tensor:
        """A detached draw of the given shape."""
        with torch.no_grad():
            return self.rsample(shape, generator)

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        """A draw that carries derivatives; NotImplementedError where the table claims none."""
        raise NotImplementedError(f"{type(self).__name__} has no reparameterised draw")

    def support(self, value: Tensor) -> Tensor | None:
        """Which values `[L, *batch]` are possible; None: all of them."""
        return None

    def density(self, value: Tensor) -> Tensor:
        """The log density or mass `[L, *batch]` of values inside the support."""
        raise NotImplementedError

    def stand_in(self, value: Tensor) -> Tensor:
        """Some value inside the support, to compute with where `value` is not; broadcasts to `value`."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density or mass `[L, *batch]`; -inf outside the support, without nan gradients there."""
        possible = self.support(value)
        if possible is None or bool(possible.all()):
            return self.density(value)
        entries = possible
        for _ in range(self.event):
            entries = entries.unsqueeze(-1)
        return choose(possible, self.density(choose(entries, value, self.stand_in(value))), -math.inf)

    def relative_log_prob(self, value: Tensor) -> Tensor:
        """Log density of a draw up to terms without arguments: enough for `exp(l - stop(l))`."""
        return self.density(value)

    def summed_log_prob(self, value: Tensor) -> Tensor | None:
        """The sum of `relative_log_prob` over all elements of an array site `[L]`, where that is cheaper; else None."""
        return None

    def inside(self, value: Tensor) -> bool:
        """Whether every value is possible."""
        possible = self.support(value)
        return possible is None or bool(possible.all())

    def boundary(self) -> Tensor | None:
        """Where some outcome of the support has probability exactly 0, `[L or 1, *batch]`; None: nowhere."""
        return None

    def coarse(self, value: Tensor | None) -> bool:
        """Whether the numbers of this dtype are too far apart for draws, or for a density at `value` (or at a draw): a
        derivative would see the rounding."""
        return False

    def outcomes(self, most: int) -> Tensor | None:
        """All that one element can be, over all lanes `[K, *event]`; None where they are more than `most` or infinitely many."""
        return None

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        """Of each of the outcomes `[L or 1, *batch, K]`, and which are in the support `[L or 1, *batch, K]`."""
        raise NotImplementedError(f"{type(self).__name__} has infinitely many outcomes")

    @property
    def first(self) -> Tensor:
        """One of the arguments: knows dtype and device."""
        return next(iter(self.arguments.values()))


# ------------------------------------------------------------------------------------------------------ noise
def uniform(shape: Shape, like: Tensor, generator: Generator, dtype: torch.dtype | None = None) -> Tensor:
    """Uniform in (0, 1), both ends excluded; 0 becomes half a step of the generator's grid."""
    kind = dtype or like.dtype
    if isinstance(generator, Points):
        return generator.uniform(shape, kind, like.device)
    noise = torch.rand(shape, generator=generator, dtype=kind, device=like.device)
    return noise.clamp_min_(2.0**-25 if kind == torch.float32 else 2.0**-54)


def exponential(shape: Shape, like: Tensor, generator: Generator) -> Tensor:
    """Standard exponential noise, positive."""
    return uniform(shape, like, generator).log_().neg_()


def normal(shape: Shape, like: Tensor, generator: Generator) -> Tensor:
    """Standard normal noise.  Large float64 blocks on the CPU by Box and Muller (1958): a third of the time."""
    if isinstance(generator, Points):
        quantile: Tensor = torch.special.ndtri(generator.uniform(shape, torch.float64, like.device))
        return quantile.to(like.dtype)
    count = math.prod(shape)
    if like.dtype != torch.float64 or like.device.type != "cpu" or count < LEAST_FOR_BOX_MULLER:
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    half = (count + 1) // 2
    radius = uniform((half,), like, generator).log_().mul_(-2).sqrt_()
    angle = torch.rand(half, generator=generator, dtype=like.dtype).mul_(2 * math.pi)
    both = torch.empty(2 * half, dtype=like.dtype)
    torch.mul(radius, torch.cos(angle), out=both[:half])
    torch.mul(radius, angle.sin_(), out=both[half:])
    return both[:count].view(shape)


def cauchy(shape: Shape, like: Tensor, generator: Generator) -> Tensor:
    """Standard Cauchy noise."""
    if isinstance(generator, Points):
        return (math.pi * (generator.uniform(shape, torch.float64, like.device) - 0.5)).tan().to(like.dtype)
    return torch.empty(shape, dtype=like.dtype, device=like.device).cauchy_(generator=generator)


def blurred(value: Tensor, scale: Tensor) -> bool:
    """Whether values are rounded by much of a scale."""
    low, high = ends(value)
    size = max(abs(low), abs(high))
    return math.isfinite(size) and torch.finfo(value.dtype).eps * size > COARSE * ends(scale)[0]


def sinks(shape: Tensor) -> bool:
    """Whether a density like x^(shape - 1) at 0 has much probability below the least number."""
    return bool(tiny(shape) ** ends(shape)[0] > UNSEEN)


def sticks(shape: Tensor) -> bool:
    """Whether a density like (1 - x)^(shape - 1) at 1 has much probability above the largest number below 1."""
    return bool((torch.finfo(shape.dtype).eps / 2) ** ends(shape)[0] > UNSEEN)


def tiny(value: Tensor) -> float:
    """The least positive normal number of the dtype."""
    return torch.finfo(value.dtype).tiny


def below_one(value: Tensor) -> float:
    """The largest number of the dtype below 1."""
    return 1 - torch.finfo(value.dtype).eps / 2


def nudge(value: Tensor, low: float | Tensor | None = None, high: float | Tensor | None = None) -> Tensor:
    """`value` moved inside [low, high] by rounding steps; its derivative is untouched."""
    fixed = torch.clamp(value.detach(), low, high)  # type: ignore[arg-type]
    return value + (fixed - value.detach()) if value.requires_grad else fixed


def whole(value: Tensor) -> Tensor:
    """Which entries are whole numbers, at least 0."""
    return (value >= 0) & (value == value.floor()) & (value < math.inf)


def weigh(count: Tensor, probability: Tensor) -> Tensor:
    """`count * log(probability)`: 0 for a count of 0; -inf, without derivative, where a probability of 0 is needed."""
    if bool((probability > 0).all()):
        return count * probability.log()
    impossible = (probability <= 0) & (count != 0)
    return choose(impossible, -math.inf, count * choose(probability > 0, probability, 1.0).log())


def weigh_complement(count: Tensor, probability: Tensor) -> Tensor:
    """`count * log(1 - probability)`, likewise, accurate for a small probability."""
    if bool((probability < 1).all()):
        return count * torch.log1p(-probability)
    impossible = (probability >= 1) & (count != 0)
    return choose(impossible, -math.inf, count * torch.log1p(-choose(probability < 1, probability, 0.0)))


def double(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same values in float64."""
    return tuple(tensor.double() for tensor in tensors)


# ----------------------------------------------------------------------------- implicit reparameterisation (once)
class _FirstDerivative(torch.autograd.Function):
    """A product of the incoming gradient with a local derivative that cannot be differentiated again.

    torch's local derivatives of Gamma and Dirichlet draws are numbers without a graph; Beta's and Dirichlet's second
    derivatives are silently wrong there, so asking for them raises.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, concentration: Tensor, draw: Tensor, name: str) -> Tensor:
        ctx.name = name
        if name in _DIRICHLET_LIKE:
            total = concentration.sum(-1, keepdim=True).expand_as(concentration)
            local = torch._dirichlet_grad(draw, concentration, total)
            return local * (gradient - (draw * gradient).sum(-1, keepdim=True))
        return gradient * torch._standard_gamma_grad(concentration, draw)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise SecondDerivativeUnavailable(ctx.name)


_DIRICHLET_LIKE = ("Dirichlet", "Beta")
_first_derivative: Callable[[Tensor, Tensor, Tensor, str], Tensor] = _FirstDerivative.apply


class _Implicit(torch.autograd.Function):
    """A draw whose derivative in its concentration is implicit (Figurnov, Mohamed & Mnih 2018)."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, generator: Generator, name: str) -> Tensor:
        ctx.name = name
        if name in _DIRICHLET_LIKE:
            draw = torch._sample_dirichlet(concentration, generator=generator)
            draw.clamp_(tiny(draw), below_one(draw))
        else:
            draw = torch._standard_gamma(concentration, generator=generator).clamp_min_(tiny(concentration))
        ctx.save_for_backward(concentration, draw)
        return draw

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        concentration, draw = ctx.saved_tensors
        return _first_derivative(gradients[0], concentration, draw, ctx.name), None, None


_implicit: Callable[[Tensor, Generator, str], Tensor] = _Implicit.apply


def standard_gamma(concentration: Tensor, shape: Shape, generator: Generator, name: str) -> Tensor:
    """A draw of Gamma(concentration, 1) of the given shape; `name` is who asks, for the error."""
    return _implicit(concentration.expand(shape).contiguous(), generator, name)


def dirichlet(concentration: Tensor, shape: Shape, generator: Generator, name: str) -> Tensor:
    """A draw of Dirichlet(concentration) of the given shape."""
    return _implicit(concentration.expand(shape).contiguous(), generator, name)


# ----------------------------------------------------------------------------------------------- torch's classes
class TorchLaw(Law):
    """Any class of torch.distributions, by name.

    torch's samplers know only the global generator, so it is seeded from ours inside a fork.
    """

    def __init__(self, arguments: dict[str, Tensor], torch_name: str):
        super().__init__(arguments)
        self.distribution = getattr(torch.distributions, torch_name)(**arguments, validate_args=False)

    def _draw(self, shape: Shape, generator: Generator, method: str) -> Tensor:
        place = self.first.device
        where = generator.device if generator is not None else torch.device("cpu")
        seed = int(torch.randint(0, 2**62, (), generator=generator, device=where))
        law = self.distribution
        batch = torch.Size(shape[: len(shape) - len(law.event_shape)])
        if law.batch_shape != batch:
            law = law.expand(batch)
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if place.type == "cuda":
                with torch.cuda.device(place):
                    torch.cuda.manual_seed(seed)
            draw: Tensor = getattr(law, method)()
        return draw

    def sample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return self._draw(shape, generator, "sample").detach()

    def rsample(self, shape: Shape, generator: Generator = None) -> Tensor:
        return self._draw(shape, generator, "rsample")

    def support(self, value: Tensor) -> Tensor | None:
        possible: Tensor = self.distribution.support.check(value)
        return possible

    def log_prob(self, value: Tensor) -> Tensor:
        possible = self.support(value)
        density: Tensor = self.distribution.log_prob(value)
        return density if possible is None or bool(possible.all()) else choose(possible, density, -math.inf)

    def density(self, value: Tensor) -> Tensor:
        return self.log_prob(value)
