"""torch's side of the distribution table: laws by name.

A row without an entry in `LAWS` is served by torch's own class (`TorchLaw`), so a new distribution of torch is one row
of the table.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...dsl.tables.distributions import DistributionRow
from ..arrays.private import asked, observed
from .bounded import Beta, Dirichlet, Kumaraswamy, MultivariateNormal, UniformLaw, VonMises
from .composed import Mixture, Truncated
from .counts import Bernoulli, Binomial, DiscreteUniform, Geometric, NegativeBinomial, Poisson
from .further import BetaBinomial, LKJCholesky, LogitNormal, Permutation, Triangular
from .law import Law, TorchLaw
from .location_scale import Cauchy, Gumbel, Laplace, Logistic, Normal, StudentT
from .positive import Chi2, Exponential, Gamma, HalfCauchy, HalfNormal, InverseGamma, LogNormal, Pareto, Weibull
from .truncated_normal import TruncatedNormal
from .weighted import Categorical, Multinomial, OneHotCategorical

LAWS: dict[str, type[Law]] = {"permutation": Permutation} | {
    law.__name__.removesuffix("Law"): law
    for law in (
        Normal, Laplace, Gumbel, Logistic, Cauchy,
        StudentT, LogNormal, HalfNormal, HalfCauchy, Exponential,
        Gamma, InverseGamma, Chi2, Weibull, Pareto,
        UniformLaw, Beta, Kumaraswamy, Dirichlet, VonMises,
        MultivariateNormal, TruncatedNormal, Bernoulli, Binomial, Geometric,
        NegativeBinomial, Poisson, Categorical, OneHotCategorical,
        Multinomial, DiscreteUniform, BetaBinomial, LogitNormal, Triangular,
        LKJCholesky,
    )
}


def is_narrow(row: DistributionRow) -> bool:
    """Whether the arguments of a row's law may have axes of size 1 in the place of entries that repeat themselves."""
    law = LAWS.get(row.name)
    return law is not None and law.narrow


def build(row: DistributionRow, arguments: dict[str, Tensor]) -> Law:
    """The law of a row with arguments `[L or 1, *batch, *parameter event]` by torch's keyword; nothing is checked."""
    missing = {} if len(arguments) == len(row.parameters) else {
        parameter.name: parameter.default for parameter in row.parameters
        if parameter.default is not None and parameter.name not in arguments
    }
    if missing:
        given = next((value for value in arguments.values()), torch.zeros(1))
        filled = {
            name: torch.full((1,), value, dtype=given.dtype, device=given.device) for name, value in missing.items()
        }
        arguments = {**arguments, **_beside(row, filled, arguments)}
    if row.parts:
        return (Mixture if "weights" in arguments else Truncated)(arguments, row, build)
    law = LAWS.get(row.name)
    if law is not None:
        return law(arguments)
    assert row.torch is not None, f"{row.name} has neither a law nor a class of torch"
    return TorchLaw(arguments, row.torch)


def _beside(row: DistributionRow, filled: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Default values `[1]` with as many batch axes as the given arguments have."""
    batch = max((value.dim() - row.parameter(name).event for name, value in given.items()), default=1)
    return {name: value.reshape(1, *(1,) * (batch - 1)) for name, value in filled.items()}


def too_coarse(law: Law, value: Tensor | None, row: DistributionRow) -> bool:
    """`law.coarse`, also asked in replays of a block that is being written down."""
    if not observed() or type(law).coarse is Law.coarse:
        return law.coarse(value)
    names = tuple(law.arguments)

    def question(*tensors: Tensor) -> bool:
        return build(row, dict(zip(names, tensors, strict=False))).coarse(None if value is None else tensors[-1])

    return asked(question, *law.arguments.values(), *(() if value is None else (value,)))
