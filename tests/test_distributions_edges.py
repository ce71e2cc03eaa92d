"""Sure outcomes, impossible values, far tails, shapes, the generator, wrong arguments."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from probrun.dsl.syntax import Argument, Distribution, Number
from probrun.dsl.tables.distribution_facts import DistributionRow, Domain, ParameterRow
from probrun.dsl.tables.distribution_rows import DISTRIBUTIONS
from probrun.dsl.tables.distributions import bind, domain_help, signature
from probrun.dsl.text.source import Span
from probrun.runtime.laws.build import build
from probrun.runtime.laws.domains import order_violation, violation
from probrun.runtime.laws.law import Law, TorchLaw
from probrun.runtime.laws.noise import Fresh


def _law(name: str, dtype: torch.dtype = torch.float32, **given: float | list[float] | Tensor) -> Law:
    arguments = {
        key: value if isinstance(value, Tensor) else torch.tensor([value], dtype=dtype) for key, value in given.items()
    }
    return build(DISTRIBUTIONS[name], arguments)


def _generator(seed: int = 3) -> Fresh:
    return Fresh(torch.Generator().manual_seed(seed))


SURE = [
    ("Bernoulli", {"probs": 0.0}, [0.0]), ("Bernoulli", {"probs": 1.0}, [1.0]), ("Poisson", {"rate": 0.0}, [0.0]),
    ("Binomial", {"total_count": 0.0, "probs": 0.4}, [0.0]), ("Binomial", {"total_count": 5.0, "probs": 1.0}, [5.0]),
    ("Binomial", {"total_count": 5.0, "probs": 0.0}, [0.0]), ("Geometric", {"probs": 1.0}, [0.0]),
    ("NegativeBinomial", {"total_count": 2.0, "probs": 0.0}, [0.0]), ("Categorical", {"probs": [0.0, 3.0, 0.0]}, [1.0]),
    ("OneHotCategorical", {"probs": [0.0, 3.0, 0.0]}, [[0.0, 1.0, 0.0]]),
    ("Multinomial", {"total_count": 4.0, "probs": [0.0, 3.0, 0.0]}, [[0.0, 4.0, 0.0]]),
    ("DiscreteUniform", {"low": 3.0, "high": 3.0}, [3.0]),
]


@pytest.mark.parametrize(("name", "given", "outcome"), SURE)
def test_sure_outcomes(name: str, given: dict[str, float | list[float]], outcome: list[float]) -> None:
    """Drawn surely, log mass 0 with a finite derivative; the boundary is reported where another outcome is impossible."""
    row = DISTRIBUTIONS[name]
    arguments = {key: torch.tensor([value]).requires_grad_() for key, value in given.items()}
    for parameter in row.parameters:
        if parameter.name in arguments:
            assert violation(parameter.domain, arguments[parameter.name], parameter.event) is None
    law, value = build(row, arguments), torch.tensor(outcome)
    draws = law.sample((500, *value.shape[1:]), _generator())
    assert bool((draws == value).all()) and law.inside(draws)
    density = law.log_prob(draws)
    assert bool((density.abs() < 1e-6).all())
    gradients = torch.autograd.grad(density.sum(), list(arguments.values()), allow_unused=True)
    assert all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)
    single = any(given.get(name) == 0 for name in ("total_count",)) or name == "DiscreteUniform"
    assert (law.boundary() is None) == single


IMPOSSIBLE = [
    ("Exponential", {"rate": 2.0}, -1.0), ("Gamma", {"concentration": 2.0, "rate": 1.0}, -1.0),
    ("LogNormal", {"loc": 0.0, "scale": 1.0}, 0.0), ("Beta", {"concentration1": 2.0, "concentration0": 2.0}, 1.5),
    ("Uniform", {"low": 0.0, "high": 2.0}, 2.5), ("Pareto", {"scale": 2.0, "alpha": 1.0}, 1.0),
    ("TruncatedNormal", {"loc": 0.0, "scale": 1.0, "low": -1.0, "high": math.inf}, -2.0),
    ("Weibull", {"scale": 1.0, "concentration": 0.5}, -3.0), ("Kumaraswamy", {"concentration1": 2.0, "concentration0": 2.0}, 0.0),
    ("HalfCauchy", {"scale": 2.0}, -1.0), ("InverseGamma", {"concentration": 2.0, "rate": 1.0}, 0.0), ("Chi2", {"df": 2.0}, -1.0),
    ("Bernoulli", {"probs": 0.5}, 0.5), ("Bernoulli", {"probs": 0.0}, 1.0), ("Poisson", {"rate": 2.0}, 1.5),
    ("Poisson", {"rate": 0.0}, 2.0), ("Binomial", {"total_count": 3.0, "probs": 0.5}, 4.0),
    ("Binomial", {"total_count": 3.0, "probs": 1.0}, 2.0), ("Geometric", {"probs": 1.0}, 1.0), ("Geometric", {"logits": 0.5}, -1.0),
    ("Categorical", {"probs": [1.0, 2.0]}, 2.0), ("Categorical", {"probs": [0.0, 2.0]}, 0.0),
    ("NegativeBinomial", {"total_count": 3.0, "probs": 0.5}, -1.0), ("DiscreteUniform", {"low": 0.0, "high": 4.0}, 0.5),
    ("OneHotCategorical", {"probs": [1.0, 2.0]}, [1.0, 1.0]), ("OneHotCategorical", {"probs": [0.0, 2.0]}, [1.0, 0.0]),
    ("Multinomial", {"total_count": 3.0, "probs": [1.0, 2.0]}, [2.0, 2.0]), ("Dirichlet", {"concentration": [1.0, 2.0]}, [0.9, 0.9]),
]


@pytest.mark.parametrize(("name", "given", "value"), IMPOSSIBLE)
def test_impossible_values(name: str, given: dict[str, float | list[float]], value: float | list[float]) -> None:
    """-inf, without a nan in any derivative, beside possible values in other lanes."""
    row = DISTRIBUTIONS[name]
    arguments = {key: torch.tensor([entry] * 2).requires_grad_() for key, entry in given.items()}
    law = build(row, arguments)
    shape = (2, *torch.tensor(value).shape)
    draws = law.sample(shape, _generator())
    draws[1] = torch.tensor(value)
    density = law.log_prob(draws)
    assert math.isfinite(density[0].item()) and density[1] == -math.inf
    gradients = torch.autograd.grad(density.sum(), list(arguments.values()), allow_unused=True)
    for gradient in gradients:
        assert gradient is None or bool(torch.isfinite(gradient).all())
    live = draws.clone().requires_grad_()
    if row.value_smooth and not row.discrete:
        (gradient,) = torch.autograd.grad(law.log_prob(live).sum(), live, allow_unused=True)
        assert gradient is None or bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("given", [{"probs": 0.3}, {"logits": -0.8}])
def test_bernoulli_is_differentiable_in_a_relaxed_value(given: dict[str, float]) -> None:
    value = torch.tensor([0.0, 1.0, 0.25], requires_grad=True)
    density = _law("Bernoulli", **given).log_prob(value)
    (slope,) = torch.autograd.grad(density.sum(), value)
    logit = given.get("logits", math.log(0.3 / 0.7))
    assert torch.allclose(slope, torch.full((3,), logit), atol=1e-5)
    hard = torch.tensor([0.0, 1.0])
    assert torch.allclose(density[:2].detach(), _law("Bernoulli", **given).log_prob(hard))


def test_one_hot_is_differentiable_in_a_relaxed_value() -> None:
    value = torch.tensor([[0.0, 1.0, 0.0]], requires_grad=True)
    density = _law("OneHotCategorical", probs=[0.0, 1.0, 3.0]).log_prob(value)
    (slope,) = torch.autograd.grad(density.sum(), value)
    assert math.isclose(density.item(), math.log(0.25), rel_tol=1e-6) and bool(torch.isfinite(slope).all())


@pytest.mark.parametrize(("low", "high"), [(5.0, 6.0), (12.0, math.inf), (-45.0, -44.0), (38.0, 40.0), (-math.inf, -9.0), (-9.0, 30.0)])
def test_truncated_normal_in_the_tails(low: float, high: float) -> None:
    """Far from loc the draws follow the law and the density is accurate, in float32 too."""
    reference = stats.truncnorm(low, high)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
        law = _law("TruncatedNormal", dtype, loc=0.0, scale=1.0, low=low, high=high)
        draws = law.sample((4000,), _generator())
        assert bool(((draws > low) & (draws < high)).all())
        uniform = torch.tensor(reference.cdf(draws.double().numpy())).sort().values
        steps = (torch.arange(4000) + 0.5) / 4000
        assert float((uniform - steps).abs().max()) * math.sqrt(4000) < 2.7
        exact = torch.tensor(reference.logpdf(draws.double().numpy()))
        assert torch.allclose(law.log_prob(draws).double(), exact, atol=tolerance, rtol=tolerance)


def test_truncated_normal_gradients_are_those_of_its_formula() -> None:
    given = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (0.3, 1.2, -0.5, 2.0)]

    def density(*values: Tensor) -> Tensor:
        named = dict(zip(("loc", "scale", "low", "high"), values, strict=True))
        return build(DISTRIBUTIONS["TruncatedNormal"], named).log_prob(torch.tensor([0.1, 1.9], dtype=torch.float64))

    assert torch.autograd.gradcheck(density, given) and torch.autograd.gradgradcheck(density, given)


def test_small_probabilities_are_drawn_exactly() -> None:
    """float32 uniforms have steps of 6e-8, which a probability of 2e-9 must not be rounded up to."""
    draws = sum(float(_law("Bernoulli", probs=2e-9).sample((1_000_000,), _generator(seed)).sum()) for seed in range(80))
    assert draws <= 1  # expected 0.16, but 4.8 with rounding; P(2 or more) = 0.01


@pytest.mark.parametrize(("name", "given", "value", "exact"), [
    ("Bernoulli", {"probs": 1e-10}, 0.0, -1e-10), ("Bernoulli", {"logits": 25.0}, 1.0, -1.3887943864771144e-11),
    ("Bernoulli", {"logits": -200.0}, 1.0, -200.0), ("Geometric", {"probs": 1e-9}, 3.0, math.log(1e-9)),
    ("Logistic", {"loc": 0.0, "scale": 1.0}, -300.0, -300.0), ("StudentT", {"df": 1e5}, 0.0, -0.9189410332134172),
    ("Gamma", {"concentration": 1e5, "rate": 1.0}, 1e5, float(stats.gamma.logpdf(1e5, 1e5))),
    ("Binomial", {"total_count": 1e6, "probs": 0.5}, 5e5, float(stats.binom.logpmf(5e5, 1e6, 0.5))),
    ("Poisson", {"rate": 1e5}, 1e5, float(stats.poisson.logpmf(1e5, 1e5))),
])
def test_float32_densities_are_accurate(name: str, given: dict[str, float], value: float, exact: float) -> None:
    density = float(_law(name, **given).log_prob(torch.tensor([value])))
    assert math.isclose(density, exact, rel_tol=1e-5)


@pytest.mark.parametrize("row", [row for row in DISTRIBUTIONS.values() if not any(p.event for p in row.parameters)])
def test_batches_and_lanes(row: DistributionRow) -> None:
    """An argument of its own in every lane and batch entry gives the same density as one shared by all."""
    values = {Domain.INTEGER: 2.0, Domain.COUNT: 4.0, Domain.SIZE: 4.0, Domain.EXTENDED: -1.0, Domain.REAL: 0.4}
    given = {p.name: values.get(p.domain, 0.6) for p in row.parameters if p.name not in row.alternatives[1:]}
    if row.ordered:
        given[row.ordered[1]] = 3.0
    shared = build(row, {name: torch.full((1, 1), value) for name, value in given.items()})
    own = build(row, {name: torch.full((7, 3), value) for name, value in given.items()})
    shape = (7, 3, *(4,) * row.event)
    draws = own.sample(shape, _generator())
    assert draws.shape == shape and shared.sample(shape, _generator()).shape == shape
    assert torch.allclose(own.log_prob(draws), shared.log_prob(draws)) and own.log_prob(draws).shape == (7, 3)


def test_vector_laws_in_batches() -> None:
    for name, given in (
        ("Categorical", {"probs": torch.tensor([[[1.0, 2.0, 3.0]], [[3.0, 0.0, 1.0]]])}),
        ("OneHotCategorical", {"probs": torch.tensor([[[1.0, 2.0, 3.0]], [[3.0, 0.0, 1.0]]])}),
        ("Categorical", {"probs": torch.rand(2, 1, 40, generator=_generator().generator)}),
        ("MultivariateNormal", {"loc": torch.zeros(2, 1, 3), "covariance_matrix": torch.eye(3).expand(2, 1, 3, 3)}),
        ("Multinomial", {"total_count": torch.tensor([[3.0], [4.0]]), "probs": torch.tensor([[[1.0, 2.0, 0.0]]])}),
    ):
        row = DISTRIBUTIONS[name]
        law = build(row, given)
        draws = law.sample((2, 5, *(3,) * row.event), _generator())
        assert draws.shape == (2, 5, *(3,) * row.event)
        assert law.log_prob(draws).shape == (2, 5) and bool(torch.isfinite(law.log_prob(draws)).all())


def test_a_new_row_needs_only_the_name_of_torchs_class() -> None:
    row = DistributionRow(
        "FisherSnedecor", (ParameterRow("df1", Domain.POSITIVE), ParameterRow("df2", Domain.POSITIVE)), torch="FisherSnedecor",
    )
    law = build(row, {"df1": torch.tensor([3.0]), "df2": torch.tensor([9.0])})
    assert isinstance(law, TorchLaw)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draws = law.sample((20_000,), _generator())
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(draws, law.sample((20_000,), _generator()))
    assert not torch.equal(draws, law.sample((20_000,), _generator(4)))
    assert abs(float(draws.mean()) - 9 / 7) < 5 * float(draws.std()) / math.sqrt(20_000)
    assert law.log_prob(torch.tensor([-1.0]))[0] == -math.inf


@pytest.mark.parametrize("row", DISTRIBUTIONS.values(), ids=lambda row: row.name)
def test_the_global_generator_is_left_alone(row: DistributionRow) -> None:
    given = {p.name: torch.full((1, *(2,) * p.event), 0.5) for p in row.parameters if p.name not in row.alternatives[1:]}
    given.update({p.name: torch.eye(2).unsqueeze(0) for p in row.parameters if p.event == 2 and p.name in given})
    if row.ordered:
        given[row.ordered[1]] = torch.full((1,), 3.5)
    if "total_count" in given:
        given["total_count"] = torch.full((1,), 3.0)
    before = torch.get_rng_state()
    build(row, given).sample((5000, *(2,) * row.event), _generator())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("domain", "good", "bad"), [
    (Domain.REAL, [-1.0, 2.0], [math.nan, math.inf]), (Domain.EXTENDED, [math.inf, -math.inf], [math.nan]),
    (Domain.POSITIVE, [1e-30], [0.0, -1.0, math.nan, math.inf]), (Domain.NONNEGATIVE, [0.0], [-1e-30, math.nan]),
    (Domain.UNIT, [0.0, 1.0], [-0.1, 1.5, math.nan]), (Domain.UNIT_OPEN, [0.5], [0.0, 1.0]),
    (Domain.UNIT_ABOVE_ZERO, [1.0], [0.0]), (Domain.UNIT_BELOW_ONE, [0.0], [1.0]), (Domain.INTEGER, [-2.0], [0.5, math.nan]),
    (Domain.COUNT, [0.0, 3.0], [-1.0, 0.5, math.inf]), (Domain.SIZE, [1.0, 3.0], [0.0, 1.5, math.inf]),
])
def test_domains_of_numbers(domain: Domain, good: list[float], bad: list[float]) -> None:
    assert violation(domain, torch.tensor(good), 0) is None
    for value in bad:
        found = violation(domain, torch.tensor([good[0], value]), 0)
        assert found is not None and found.tolist() == [False, True]


@pytest.mark.parametrize(("domain", "good", "bad"), [
    (Domain.PROBABILITIES, [0.0, 2.0], [0.0, 0.0]), (Domain.PROBABILITIES, [0.0, 2.0], [-1.0, 2.0]),
    (Domain.PROBABILITIES, [0.0, 2.0], [math.nan, 2.0]), (Domain.LOGITS, [-math.inf, 2.0], [-math.inf, -math.inf]),
    (Domain.SIMPLEX_POSITIVE, [0.5, 0.5], [0.5, 0.6]), (Domain.POSITIVE, [0.5, 0.5], [0.5, 0.0]),
])
def test_domains_of_vectors(domain: Domain, good: list[float], bad: list[float]) -> None:
    assert violation(domain, torch.tensor([good]), 1) is None
    found = violation(domain, torch.tensor([good, bad]), 1)
    assert found is not None and found.tolist() == [False, True]


def test_domains_of_matrices() -> None:
    good, skew, indefinite = [[2.0, 0.5], [0.5, 1.0]], [[2.0, 0.5], [0.4, 1.0]], [[1.0, 2.0], [2.0, 1.0]]
    found = violation(Domain.POSITIVE_DEFINITE, torch.tensor([good, skew, indefinite, [[math.nan] * 2] * 2]), 2)
    assert found is not None and found.tolist() == [False, True, True, True]
    lower = [[[1.0, 0.0], [5.0, 2.0]], [[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]]
    found = violation(Domain.LOWER_CHOLESKY, torch.tensor(lower), 2)
    assert found is not None and found.tolist() == [False, True, True]


def test_order_of_bounds() -> None:
    equal = {"low": torch.tensor([0.0, 1.0]), "high": torch.tensor([1.0, 1.0])}
    found = order_violation(DISTRIBUTIONS["Uniform"], equal)
    assert found is not None and found.tolist() == [False, True]
    assert order_violation(DISTRIBUTIONS["DiscreteUniform"], equal) is None
    assert order_violation(DISTRIBUTIONS["Normal"], {}) is None


def _call(name: str, *values: float, **named: float) -> Distribution:
    arguments = [Argument(None, Number(value)) for value in values]
    return Distribution(name, (*arguments, *(Argument(key, Number(value)) for key, value in named.items())), Span(0, len(name)))


@pytest.mark.parametrize(("call", "names"), [
    (_call("Normal", 0, 1), ["loc", "scale"]), (_call("Normal", scale=1, loc=0), ["scale", "loc"]),
    (_call("StudentT", 2.5, 0, 1), ["df", "loc", "scale"]), (_call("Binomial", 10, 0.5), ["total_count", "probs"]),
    (_call("Bernoulli", logits=0), ["logits"]), (_call("MultivariateNormal", 0, scale_tril=1), ["loc", "scale_tril"]),
])
def test_bind(call: Distribution, names: list[str]) -> None:
    bound, problems = bind(DISTRIBUTIONS[call.name], call)
    assert list(bound) == names and not problems


@pytest.mark.parametrize(("call", "code", "words"), [
    (_call("Normal", 0), "P0203", "`Normal` needs `scale`"), (_call("Normal"), "P0203", "`Normal` needs `loc` and `scale`"),
    (_call("Normal", 0, 1, 2), "P0203", "`Normal` takes at most 2 arguments, but is given 3"),
    (_call("Bernoulli"), "P0203", "`Bernoulli` needs `probs` or `logits`"),
    (_call("Bernoulli", 0.5, logits=1), "P0204", "`Bernoulli` takes one of `probs` and `logits`, not both"),
    (_call("Normal", 0, scal=1), "P0204", "`Normal` has no argument `scal`"),
    (_call("Normal", 0, 1, loc=1), "P0204", "`loc` of Normal is given twice"),
])
def test_bind_says_what_is_wrong(call: Distribution, code: str, words: str) -> None:
    _, problems = bind(DISTRIBUTIONS[call.name], call)
    assert [(problem.code, problem.title) for problem in problems] == [(code, words)]
    assert problems[0].notes == (f"it is called as {signature(DISTRIBUTIONS[call.name])}",)


def test_words() -> None:
    row = DISTRIBUTIONS["Bernoulli"]
    assert signature(row) == "Bernoulli(probs) or Bernoulli(logits=...)"
    wanted = "to use an unconstrained value, map it first: Bernoulli(sigmoid(3*theta)) or Bernoulli(logits=3*theta)"
    assert domain_help(row, "probs", "3*theta") == wanted
    assert domain_help(DISTRIBUTIONS["Normal"], "loc", "x") is None
