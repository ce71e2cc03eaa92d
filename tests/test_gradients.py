"""Programs with closed-form gradients, through the public interface: |mean - exact| <= 5 standard errors.

Some 60 programs with about 100 numbers: the chance of one false alarm over the file is about 6e-5, and each standard error must be
below 5 % of the number's scale, so that the naive answers (0 for a lost jump, -4 for lost control) are far outside.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

import probrun


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def Phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


# program, parameters, value, gradient
CASES: list[tuple[str, dict[str, Any], Any, dict[str, Any]]] = [
    # the three programs of the notebook
    ("z ~ Normal(1, 2); y = theta^2*(z+4)", {"theta": 2}, 20, {"theta": 20}),
    ("z ~ Normal(theta, 2); y = theta^2*(z+4)", {"theta": 2}, 24, {"theta": 28}),
    ("x = 2*Bernoulli(3*theta) + Bernoulli(theta)", {"theta": 0.1}, 0.7, {"theta": 7}),
    # jumps
    ("x ~ Normal(theta, 1); y = x > 0", {"theta": 0.5}, Phi(0.5), {"theta": phi(0.5)}),
    ("x ~ Normal(theta, 1); y = x^2 + (x > 0)", {"theta": 0.5}, 1.25 + Phi(0.5), {"theta": 1 + phi(0.5)}),
    ("x ~ Normal(theta, 1); w ~ Normal(x, 1); y = w > 0", {"theta": 0.5}, Phi(0.5 / 2**0.5), {"theta": phi(0.5 / 2**0.5) / 2**0.5}),
    # control dependence
    ("b ~ Bernoulli(theta); y = 0; if b { y = 5 }", {"theta": 0.3}, 1.5, {"theta": 5}),
    ("b ~ Bernoulli(theta); xs = [3, -4]; y = xs[b]", {"theta": 0.3}, 0.9, {"theta": -7}),
    ("n = 0; g = 1; while g { b ~ Bernoulli(theta); g = not b; n = n + g }; y = n", {"theta": 0.5}, 1, {"theta": -4}),
    # a rejection loop needs the scores of all draws
    (
        "x = -1; while x <= 0 { x ~ Normal(theta, 1) }; y = x", {"theta": 0.5},
        0.5 + phi(0.5) / Phi(0.5), {"theta": 1 - 0.5 * phi(0.5) / Phi(0.5) - (phi(0.5) / Phi(0.5)) ** 2},
    ),
    # directly and through the site
    ("b ~ Bernoulli(theta); y = theta*b", {"theta": 0.3}, 0.09, {"theta": 0.6}),
    ("x ~ Uniform(0, theta); y = x", {"theta": 2}, 1, {"theta": 0.5}),
    ("x ~ Uniform(0, theta); y = 1", {"theta": 2}, 1, {"theta": 0}),
    ("x ~ Normal(0, 1); y = where(x > 0, sqrt(x)*theta, 0)", {"theta": 2}, None, {"theta": 2**0.25 * math.gamma(0.75) / (2 * math.sqrt(math.pi))}),
    ("x ~ Normal(theta, 1); y = if x > 0 then x^2 else -x^2", {"theta": 0.0}, 0, {"theta": 4 * phi(0)}),
    # at the edge of the domain: where nothing depends on the parameter there, the sure value
    ("k ~ Poisson(0); y = theta + k", {"theta": 2}, 2, {"theta": 1}),
    ("b ~ Bernoulli(1); y = theta*b", {"theta": 2}, 2, {"theta": 1}),
    ("n ~ Binomial(0, theta); y = n + theta", {"theta": 0.5}, 0.5, {"theta": 1}),
    # ... and where it moves there, the derivative of the enumerated outcomes
    ("p = theta*2; b ~ Bernoulli(p - 1); y = 5*b", {"theta": 0.5}, 0, {"theta": 10}),
    ("n ~ Binomial(3, theta); y = n^2", {"theta": 0.0}, 0, {"theta": 3}),
    ("k ~ Categorical([theta, 0, 1]); xs = [2, 5, 7]; y = xs[k]", {"theta": 0.0}, 7, {"theta": -5}),
    # continuous laws
    ("z ~ HalfNormal(theta); y = z", {"theta": 2}, 2 * math.sqrt(2 / math.pi), {"theta": math.sqrt(2 / math.pi)}),
    ("z ~ Weibull(theta, 2); y = z", {"theta": 2}, 2 * math.gamma(1.5), {"theta": math.gamma(1.5)}),
    ("z ~ InverseGamma(5, theta); y = z", {"theta": 2}, 0.5, {"theta": 0.25}),
    ("z ~ Laplace(theta, 1); y = z^2", {"theta": 1}, 3, {"theta": 2}),
    ("z ~ Logistic(theta, 1); y = z^2", {"theta": 1}, 1 + math.pi**2 / 3, {"theta": 2}),
    ("z ~ Gumbel(0, theta); y = z", {"theta": 2}, 2 * 0.5772156649, {"theta": 0.5772156649}),
    ("z ~ Chi2(theta); y = z", {"theta": 3}, 3, {"theta": 1}),
    ("z ~ Pareto(theta, 6); y = z", {"theta": 2}, 2.4, {"theta": 1.2}),
    ("z ~ Kumaraswamy(1, theta); y = z", {"theta": 2}, 1 / 3, {"theta": -1 / 9}),
    ("z ~ VonMises(theta, 2); y = sin(z)", {"theta": 0.5}, None, {"theta": 0.6977746579640080 * math.cos(0.5)}),
    (
        "z ~ TruncatedNormal(theta, 1, 0, inf); y = z", {"theta": 0.5},
        0.5 + phi(0.5) / Phi(0.5), {"theta": 1 - 0.5 * phi(0.5) / Phi(0.5) - (phi(0.5) / Phi(0.5)) ** 2},
    ),
    ("z ~ MultivariateNormal([theta, 0], [[2, 1], [1, 2]]); y = z[0]*z[1] + z[0]^2", {"theta": 1}, 4, {"theta": 2}),
    ("z ~ MultivariateNormal([0, 0], [[2, theta], [theta, 2]]); y = z[0]*z[1]", {"theta": 1}, 1, {"theta": 1}),
    (
        "L ~ LKJCholesky(3, theta); R = matmul(L, transpose(L)); y = R[1, 0]^2 + R[2, 0]^2 + logdet(R)", {"theta": 1.5},
        -0.5470389722134427, {"theta": 0.4390207551924361},  # E log(1 - y) of a Beta by digamma
    ),
    # discrete laws
    ("p ~ permutation(4); k ~ Bernoulli(theta); y = if p[0] > p[1] then k else 3*k*p[2]", {"theta": 0.3}, 0.825, {"theta": 2.75}),
    ("k ~ NegativeBinomial(3, theta); y = k", {"theta": 0.4}, 2, {"theta": 3 / 0.36}),
    ("k ~ Geometric(theta); y = k", {"theta": 0.4}, 1.5, {"theta": -1 / 0.16}),
    ("c ~ Multinomial(5, softmax([theta, 0])); y = c[0]^2", {"theta": 0}, 7.5, {"theta": 0.25 * 5 * (1 + 2 * 4 * 0.5)}),
    ("k ~ DiscreteUniform(1, 6); y = theta^2*k", {"theta": 2}, 14, {"theta": 14}),
    ("k ~ Categorical([theta, 1, 1]); y = k^2", {"theta": 2}, 1.25, {"theta": -5 / 16}),
    # functions, several results of random control
    ("fn f(x) { if x > 1 { return 2*x }; return x }; z ~ Normal(theta, 1); y = f(z)", {"theta": 1}, 1.5 + phi(0), {"theta": 1.5 + phi(0)}),
    ("y = 0; k ~ Poisson(theta); for i in range(k) { z ~ Normal(theta, 1); y = y + z }", {"theta": 1.5}, 2.25, {"theta": 3}),
    ("x = zeros(3); for i in range(3) { x[i] ~ Normal(theta*i, 1) }; y = dot(x, x)", {"theta": 1}, 8, {"theta": 10}),
    ("p = 1; for i in range(4) { b ~ Bernoulli(theta); if b { p = p*2 } else { p = p/2 } }; y = p", {"theta": 0.5}, 1.25**4, {"theta": 4 * 1.25**3 * 1.5}),
    ("fn walk(x, k) { if k == 0 { return x }; return walk(Normal(x + theta, 1), k - 1) }; y = walk(0, 5)^2", {"theta": 0.4}, 9, {"theta": 20}),
    ("b ~ Bernoulli(theta); c ~ Bernoulli(theta); y = if b and c then 1 else 0", {"theta": 0.6}, 0.36, {"theta": 1.2}),
    ("b ~ Bernoulli(theta); c ~ Bernoulli(theta); y = b or c", {"theta": 0.6}, 0.84, {"theta": 0.8}),
    # poles
    ("x ~ Normal(theta, 0.5); y = atan(1/x)", {"theta": 0.4}, None, {"theta": None}),
    ("x ~ Normal(theta, 1); y = log(abs(x))", {"theta": 0.0}, None, {"theta": 0}),
]


def scale(exact: float) -> float:
    return max(1.0, abs(exact))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("text", "parameters", "value", "gradient"), CASES, ids=[case[0] for case in CASES])
def test_exact(text: str, parameters: dict[str, Any], value: Any, gradient: dict[str, Any], dtype: str) -> None:
    samples = 40_000 if dtype == "float32" else 20_000
    result = probrun.parse(text).grad(parameters, samples=samples, seed=7, unbiased=True, dtype=dtype)
    assert not result.biased
    if gradient["theta"] is None:
        gradient = {"theta": by_quadrature(parameters["theta"])}
    pairs = [(result.gradient["theta"], gradient["theta"])] + ([(result.value, value)] if value is not None else [])
    for moments, exact in pairs:
        assert abs(float(moments.mean) - exact) <= 5 * float(moments.se) + 1e-4 * scale(exact)
        assert float(moments.se) <= 0.1 * scale(exact)


def by_quadrature(theta: float) -> float:
    """d/dtheta of E atan(1/x), x ~ Normal(theta, 0.5): the integral of atan(1/x) times the score, split at the jump."""
    from scipy.integrate import quad

    def integrand(x: float) -> float:
        z = (x - theta) / 0.5
        return math.atan(1 / x) * phi(z) / 0.5 * z / 0.5

    return float(quad(integrand, -8, 0)[0] + quad(integrand, 0, 8)[0])


def test_gumbel_is_reported_as_biased_and_nearly_right() -> None:
    program = probrun.parse("x = 2*Bernoulli(3*theta) + Bernoulli(theta)")
    for tau, mean in ((0.1, 6.98), (0.5, 6.55), (0.9, 5.80)):
        result = program.grad({"theta": 0.1}, samples=200_000, seed=3, tau=tau, estimator="gumbel")
        assert result.biased
        moments = result.gradient["theta"]
        assert abs(float(moments.mean) - mean) <= 5 * float(moments.se) + 0.01
        assert abs(float(result.value.mean) - 0.7) <= 5 * float(result.value.se)


REFUSED = [
    ("x ~ VonMises(theta, 1); y = x < theta", {"theta": 0.5}, "P0403"),
    ("x ~ StudentT(theta); y = sin(x) > theta", {"theta": 0.5}, "P0403"),
    ("y = exp(logpdf(Poisson(theta - 1), 2))", {"theta": 1.0}, "P0404"),
    ("x ~ Normal(1, 1); y = atan(1/(x - theta))", {"theta": 0.5}, "P0403"),
]


@pytest.mark.parametrize(("text", "parameters", "code"), REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(text: str, parameters: dict[str, float], code: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(text).grad(parameters, samples=2000, seed=0, unbiased=True)
    assert caught.value.code == code and caught.value.line == 1


FORMERLY_REFUSED = [
    ("x ~ Normal(0, 1); y = x < theta", {"theta": 0.5}, 0.35206532676),
    ("x ~ Normal(theta, 1); y = x > theta", {"theta": 0.5}, 0.0),
    ("k ~ Poisson(theta - 1); x ~ Normal(0, 1); y = x > k", {"theta": 1.0}, 0.15865525393 - 0.5),
]


@pytest.mark.parametrize(("text", "parameters", "exact"), FORMERLY_REFUSED, ids=[case[0] for case in FORMERLY_REFUSED])
def test_answered_by_jumps_and_forks(text: str, parameters: dict[str, float], exact: float) -> None:
    moments = probrun.parse(text).grad(parameters, samples=20_000, seed=0, unbiased=True).gradient["theta"]
    assert abs(float(moments.mean) - exact) <= 5 * float(moments.se) + 1e-9 and float(moments.se) < 0.02


def test_a_score_breaks_down_at_the_edge_and_a_sum_does_not() -> None:
    """At the rate 0 nothing but 0 is drawn: a score sees nothing of E[k^2] = r + r^2, whose derivative is 1."""
    program = probrun.parse("k ~ Poisson(theta - 1); y = k^2")
    with pytest.raises(probrun.ProbError) as caught:
        program.grad({"theta": 1.0}, samples=2000, seed=0, among="score")
    assert caught.value.code == "P0404" and caught.value.line == 1
    result = program.grad({"theta": 1.0}, samples=2000, seed=0)
    assert result.exact and float(result.value.mean) == 0
    assert float(result.gradient["theta"].mean) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("unbiased", [True, False])
def test_relaxed_draw_as_a_probability(unbiased: bool) -> None:
    """A probability that an earlier draw sets to exactly 0: the earlier draw is detached, and nothing is refused."""
    program = probrun.parse("b ~ Bernoulli(theta); c ~ Bernoulli(0.5*b); y = c + theta")
    result = program.grad({"theta": 0.4}, samples=40_000, seed=2, unbiased=unbiased)
    moments = result.gradient["theta"]
    assert not result.biased and abs(float(moments.mean) - 1.5) <= 5 * float(moments.se) <= 0.2


def test_remainder_by_a_parameter() -> None:
    result = probrun.parse("y = 7 % theta").grad({"theta": 2.5}, samples=10, seed=0)
    assert float(result.value.mean) == 2 and float(result.gradient["theta"].mean) == -2


def test_numbers_beyond_those_of_a_dtype() -> None:
    result = probrun.parse("z ~ Normal(theta, 1); y = z + 1e300").grad({"theta": 1}, samples=10, seed=0)
    assert result.dtype == "float64" and float(result.value.mean) == 1e300
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("z ~ Normal(theta, 1); y = exp(z + 1000)").grad({"theta": 1}, samples=10, seed=0)
    assert caught.value.code == "P0502"


def test_matrix_that_is_not_square_is_a_diagnostic() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("x ~ MultivariateNormal([0, 0], [[1, 0, 0], [0, 1, 0]]); y = x*t").grad({"t": 1}, samples=10, seed=0)
    assert caught.value.code == "P0301"
