"""Programs that weigh their runs: posterior expectations, evidence and ELBO against closed forms and sums over all outcomes.

Sampled answers must lie within 6 standard errors of the truth, at fixed seeds, and the standard error must be small enough to see a
mistake (`SMALL` of the size of the answer, or of 1).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

import probrun

Z, SMALL = 6.0, 0.1


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def upper(x: float) -> float:
    return math.erfc(x / math.sqrt(2)) / 2


def normal(x: float, m: float, s: float) -> float:
    return phi((x - m) / s) / s


def near(moments: Any, truth: float) -> None:
    mean, se = float(moments.mean), float(moments.se)
    assert se <= SMALL * max(abs(truth), 1.0)
    assert abs(mean - truth) <= Z * se + 1e-12


def exactly(moments: Any, truth: float, digits: float = 1e-9) -> None:
    assert float(moments.se) == 0
    assert float(moments.mean) == pytest.approx(truth, rel=digits, abs=digits)


def grad(text: str, **options: Any) -> Any:
    return probrun.parse(text).grad(options.pop("at", None), seed=options.pop("seed", 1), samples=options.pop("samples", 40_000), **options)


# ------------------------------------------------------------------------------------------------- closed forms
NORMAL = "param theta = 0.5\nx ~ Normal(theta, 1)\nobserve 1 ~ Normal(x, 1)\nreturn x\n"
ABOVE = "param theta = 0.5\nx ~ Normal(theta, 1)\nobserve x > 0\nreturn x\n"


@pytest.mark.parametrize("estimator", [None, "rsample", "score"])
def test_normal_and_normal(estimator: str | None) -> None:
    result = grad(NORMAL, estimator=estimator)
    near(result.value, 0.75)
    near(result.gradient["theta"], 0.5)
    near(result.evidence, math.log(normal(1, 0.5, math.sqrt(2))))
    near(result.evidence_gradient["theta"], 0.25)
    assert 20_000 < result.effective < 40_000 and result.pareto_k < 0.5 and result.warnings == ()


def test_a_normal_above_zero() -> None:
    ratio = phi(0.5) / upper(-0.5)
    result = grad(ABOVE)
    assert [site.estimator for site in result.sites] == ["score"]
    near(result.value, 0.5 + ratio)
    near(result.gradient["theta"], 1 - ratio * (ratio + 0.5))
    near(result.evidence, math.log(upper(-0.5)))
    near(result.evidence_gradient["theta"], ratio)


def test_what_is_pathwise_cannot_be_forced_over_a_condition() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        grad(ABOVE, estimator={"x": "rsample"})
    assert caught.value.code in ("P0402", "P0403")


def test_beta_and_bernoulli() -> None:
    text = "param a in (0, inf) = 2\nparam b in (0, inf) = 3\ndata y[n]\np ~ Beta(a, b)\nobserve y ~ Bernoulli(p)\nreturn p\n"
    data = {"y": [1, 1, 0, 1, 0, 1, 1]}
    result = grad(text, data=data, samples=100_000)
    above, below = 2 + 5, 2 + 3 + 7
    near(result.value, above / below)
    near(result.gradient["a"], (below - above) / below**2)
    near(result.gradient["b"], -above / below**2)
    beta = lambda a, b: math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)  # noqa: E731
    near(result.evidence, beta(7, 5) - beta(2, 3))


def test_elbo_of_a_normal_guide() -> None:
    text = "param m = 0.2\nparam s in (0, inf) = 0.8\nz ~ Normal(0, 1) via Normal(m, s)\nobserve 1.3 ~ Normal(z, 1)\nreturn z\n"
    result = grad(text, of="elbo")
    truth = (
        -math.log(2 * math.pi) / 2 - (0.2**2 + 0.8**2) / 2 - math.log(2 * math.pi) / 2 - ((1.3 - 0.2) ** 2 + 0.8**2) / 2
        + math.log(2 * math.pi) / 2 + math.log(0.8) + 0.5
    )
    near(result.value, truth)
    near(result.gradient["m"], -0.2 + 1.1)
    near(result.gradient["s"], -0.8 - 0.8 + 1 / 0.8)
    assert result.results == ("elbo",)


@pytest.mark.parametrize("estimator", ["score", "rsample"])
def test_nothing_hangs_on_the_proposal(estimator: str) -> None:
    text = "param m = 0.4\nparam s in (0, inf) = 1.1\nparam y = 1\nz ~ Normal(0, 1) via Normal(m, s)\nobserve y ~ Normal(z, 1)\nreturn z, z^2\n"
    result = grad(text, estimator=estimator, samples=200_000)
    near(result.value["z"], 0.5)
    near(result.value["result2"], 0.75)
    for name, truths in (("z", (0, 0, 0.5)), ("result2", (0, 0, 0.5))):
        for parameter, truth in zip(("m", "s", "y"), truths, strict=True):
            near(result.gradient[name][parameter], truth)
    near(result.evidence, math.log(normal(1, 0, math.sqrt(2))))
    near(result.evidence_gradient["y"], -0.5)


def test_a_gradient_in_a_larger_torch_program() -> None:
    theta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    program = probrun.parse(NORMAL)
    value = program.expectation({"theta": theta}, samples=200_000, seed=2, dtype="float64")
    value.backward()
    assert float(value.detach()) == pytest.approx(0.75, abs=0.01)
    assert theta.grad is not None and float(theta.grad) == pytest.approx(0.5, abs=0.01)
    theta.grad = None
    program.expectation({"theta": theta}, samples=200_000, seed=2, of="evidence", dtype="float64").backward()
    assert float(theta.grad) == pytest.approx(0.25, abs=0.01)


def test_run_gives_draws_of_the_posterior() -> None:
    result = probrun.parse(NORMAL).run(samples=100_000, seed=3)
    near(result.value, 0.75)
    assert float(result.value.sd) == pytest.approx(math.sqrt(0.5), abs=0.01)
    quantiles = result.quantiles("x", (5, 50, 95))
    for level, z in (("5", -1.6449), ("50", 0.0), ("95", 1.6449)):
        assert float(quantiles[level]) == pytest.approx(0.75 + z * math.sqrt(0.5), abs=0.03)


# ------------------------------------------------------------------------------------------------ sums over all outcomes
def posterior(law: Any, at: float) -> tuple[float, float, float, float]:
    """Mean, its derivative, log evidence and its derivative of `law(x)`, pairs of weight and value, by complex steps."""
    h = 1e-150
    pairs = list(law(complex(at, h)))
    below = sum(weight for weight, _ in pairs)
    mean = sum(weight * value for weight, value in pairs) / below
    return mean.real, mean.imag / h, math.log(below.real), below.imag / h / below.real


def bernoulli(p: complex, x: int) -> complex:
    return p if x else 1 - p


def branches(a: complex) -> Any:
    for z, b in itertools.product((0, 1), repeat=2):
        p = a if z else 0.3
        weight = bernoulli(0.4, z) * bernoulli(p, b)
        weight *= (0.7 if b else 0.1) if z else 0.5
        yield weight, 2 * z + b**2 + 1


def required(a: complex) -> Any:
    for draws in itertools.product((0, 1), repeat=3):
        weight = 1 + 0j
        for x in draws:
            weight *= bernoulli(a, x)
        if sum(draws) >= 2:
            yield weight, draws[0] + 0j


def called(a: complex) -> Any:
    for x, y in itertools.product((0, 1), repeat=2):
        weight = bernoulli(a, x) * (0.9 if x else 0.2)
        p = a * a if x else a
        weight *= bernoulli(p, y) * (0.9 if y else 0.2)
        yield weight, x + 3 * y + 0j


def chain(a: complex) -> Any:
    states, found = {0: 0.5 + 0j, 1: 0.5 + 0j}, (1, 0, 0, 1, 1, 1)
    for y in found:
        after = {0: 0j, 1: 0j}
        for z, weight in states.items():
            for x in (0, 1):
                after[x] += weight * (a if x == z else 1 - a) * bernoulli(0.2 + 0.6 * x + 0j, y)
        states = after
    for z, weight in states.items():
        yield weight, z + 0j


EXACT = {
    "branches": (branches, """param a in (0, 1) = 0.6
z ~ Bernoulli(0.4)
b ~ Bernoulli(if z > 0 then a else 0.3)
if z > 0 {
    observe 1 ~ Bernoulli(0.1 + 0.6*b)
} else {
    factor log(0.5)
}
return 2*z + b^2 + 1
"""),
    "required": (required, """param a in (0, 1) = 0.6
s = 0
first = 0
for t in range(3) {
    x ~ Bernoulli(a)
    if t == 0 { first = x }
    s = s + x
}
observe s >= 2
return first
"""),
    "called": (called, """param a in (0, 1) = 0.6
fn seen(p) {
    x ~ Bernoulli(p)
    observe 1 ~ Bernoulli(0.2 + 0.7*x)
    return x
}
x = seen(a)
y = seen(if x > 0 then a^2 else a)
return x + 3*y
"""),
    "chain": (chain, """param a in (0, 1) = 0.6
data y[6] = [1, 0, 0, 1, 1, 1]
z ~ Bernoulli(0.5)
for t in range(6) {
    z ~ Bernoulli(if z > 0 then a else 1 - a)
    observe y[t] ~ Bernoulli(0.2 + 0.6*z)
}
return z
"""),
}


@pytest.mark.parametrize("name", EXACT)
def test_discrete_programs_are_exact(name: str) -> None:
    law, text = EXACT[name]
    mean, slope, evidence, evidence_slope = posterior(law, 0.6)
    result = grad(text)
    exactly(result.value, mean)
    exactly(result.gradient["a"], slope)
    exactly(result.evidence, evidence)
    exactly(result.evidence_gradient["a"], evidence_slope)
    assert result.exact and result.effective == math.inf
    alone = grad(text, of="evidence")
    exactly(alone.value, evidence)
    exactly(alone.gradient["a"], evidence_slope)


@pytest.mark.parametrize("name", EXACT)
def test_the_same_by_score(name: str) -> None:
    law, text = EXACT[name]
    mean, slope, evidence, evidence_slope = posterior(law, 0.6)
    result = grad(text, estimator="score", samples=100_000)
    near(result.value, mean)
    near(result.gradient["a"], slope)
    near(result.evidence, evidence)
    near(result.evidence_gradient["a"], evidence_slope)


def test_a_chain_of_thousands_does_not_underflow() -> None:
    text = EXACT["chain"][1].replace("data y[6] = [1, 0, 0, 1, 1, 1]", "data y[T]").replace("range(6)", "range(T)")
    y = [1, 0, 0, 1, 1] * 400

    def evidence(a: complex) -> complex:
        states, total = [0.5 + 0j, 0.5 + 0j], 0j
        for seen in y:
            after = [0j, 0j]
            for z in (0, 1):
                for x in (0, 1):
                    after[x] += states[z] * (a if x == z else 1 - a) * bernoulli(0.2 + 0.6 * x + 0j, seen)
            scale = sum(after)
            total += complex(math.log(scale.real), scale.imag / scale.real)
            states = [after[0] / scale, after[1] / scale]
        return total

    truth = evidence(complex(0.6, 1e-150))
    result = grad(text, data={"y": y}, of="evidence")
    exactly(result.value, truth.real)
    exactly(result.gradient["a"], truth.imag / 1e-150)


def test_elbo_of_a_discrete_program_is_the_mean_of_the_logarithm() -> None:
    text = "param q in (0, 1) = 0.3\nz ~ Bernoulli(0.6) via Bernoulli(q)\nobserve 1 ~ Bernoulli(0.2 + 0.5*z)\nreturn z\n"
    result = grad(text, of="elbo")
    terms = [math.log(0.4 * 0.2 / 0.7), math.log(0.6 * 0.7 / 0.3)]
    exactly(result.value, 0.7 * terms[0] + 0.3 * terms[1])
    exactly(result.gradient["q"], terms[1] - terms[0])
    score = grad(text, of="elbo", estimator="score")
    near(score.gradient["q"], terms[1] - terms[0])


def test_an_infinite_support_is_cut_where_it_is_negligible() -> None:
    result = grad("param l in (0, inf) = 3\nn ~ Poisson(l)\nobserve 2 ~ Binomial(n, 0.5)\nreturn n\n")
    exactly(result.value, 2 + 1.5)  # what was missed is Poisson(l / 2)
    exactly(result.gradient["l"], 0.5)


# ------------------------------------------------------------------------------------------------------- the rest
def test_a_program_with_observations_alone_has_an_evidence() -> None:
    result = grad("param m = 0.5\nobserve 1 ~ Normal(m, 1)\n")
    assert result.results == ("evidence",)
    exactly(result.value, math.log(normal(1, 0.5, 1)))
    exactly(result.gradient["m"], 0.5)


def test_arrays_are_observed_by_the_product() -> None:
    data = [0.3, -0.2, 1.1]
    result = grad("param m = 0.5\ndata y[n]\nobserve y ~ Normal(m, 1)\nreturn m\n", data={"y": data}, of="evidence")
    exactly(result.value, sum(math.log(normal(y, 0.5, 1)) for y in data), 1e-6)


@pytest.mark.parametrize(("text", "code", "line"), [
    ("param m = 1\nx ~ Normal(m, 1)\nobserve x > x\nreturn x\n", "P0510", 3),
    ("param m = 1\nx ~ Poisson(3) via Normal(m, 1)\nreturn x\n", "P0212", 2),
    ("param m = 1\nx ~ Normal(0, 1) via Uniform(0, m)\nreturn x\n", "P0213", 2),
    ("param m = 1\nevidence ~ Normal(m, 1)\nobserve evidence > 0\nreturn evidence\n", "P0207", 2),
    ("param m = 1\nx ~ Normal(m, 1)\nobserve x = 1\nreturn x\n", "P0112", 3),
    ("param theta = 1\nx ~ Normal(0, 1)\nobserve x > theta\nreturn x\n", "P0403", 3),
])
def test_errors_have_a_place(text: str, code: str, line: int) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        grad(text)
    assert (caught.value.code, caught.value.line) == (code, line)


def test_factor_and_via_are_names_elsewhere() -> None:
    exactly(grad("param factor = 2\nvia = factor^2\nreturn via\n").gradient["factor"], 4)


def test_few_effective_runs_are_a_warning() -> None:
    text = "param m = 0\nx ~ Normal(m, 1)\nobserve 6 ~ Normal(x, 0.01)\nreturn x\n"
    result = grad(text, samples=2000)
    assert "P0706" in [doubt.code for doubt in result.warnings]
    assert {"evidence", "ess", "pareto_k"} <= result.to_dict().keys()


def test_the_text_is_written_as_it_was() -> None:
    from probrun.dsl.reading.format import format_source
    from probrun.dsl.text.source import Source

    text = "param m = 1\nx ~ Normal(0, 1) via Normal(m, 2) using score\nobserve 1 ~ Normal(x, 1)\nobserve x > 0  # so\nfactor -x^2\nreturn x\n"
    assert format_source(Source("a", text)) == text
