"""Variational inference against conjugate posteriors, and against long NUTS runs of another tool (`benchmarks/nuts_reference.py`):
means within 0.05 posterior standard deviations, standard deviations within 10 %.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import probrun
from probrun.cli import main

ROOT = Path(__file__).parent.parent
REFERENCE = json.loads((ROOT / "benchmarks" / "nuts_reference.json").read_text())
SCHOOLS = """data y[8] = [28, 8, -3, 7, -1, 1, 18, 12]
data s[8] = [15, 10, 16, 11, 9, 11, 10, 18]
mu ~ Normal(0, 5)
tau ~ HalfCauchy(5)
e ~ Normal(zeros(8), 1)
theta = mu + tau*e
observe y ~ Normal(theta, s)
return mu, tau, theta
"""
LOGISTIC = """data x[n, d]
data t[n]
w ~ Normal(zeros(d), 2)
observe t ~ Bernoulli(logits=matmul(x, w))
return w
"""
FEATURES = [
    [1, 0.5, -0.3], [1, -1.2, 0.8], [1, 2.0, 0.1], [1, 0.1, -1.5], [1, -0.4, 0.9], [1, 1.1, 1.2], [1, -2.0, -0.6], [1, 0.7, 0.4],
    [1, -0.9, -1.1], [1, 1.6, -0.2], [1, 0.3, 2.0], [1, -1.5, 0.5],
]
LABELS = [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0]


def held(result: Any, name: str, mean: list[float], sd: list[float]) -> None:
    moments = result.posterior.values[name]
    means, deviations = moments.mean.reshape(-1).tolist(), moments.sd.reshape(-1).tolist()
    for own, other, spread, truth in zip(means, mean, deviations, sd, strict=True):
        assert abs(own - other) <= 0.05 * truth
        assert abs(spread / truth - 1) <= 0.1


@pytest.mark.parametrize("guide", ["normal", "full"])
def test_eight_schools(guide: str) -> None:
    result = probrun.parse(SCHOOLS).vi(guide=guide, seed=1, draws=100_000)
    assert result.converged and result.pareto_k < 0.7
    for name in ("mu", "tau", "theta"):
        held(result, name, **REFERENCE["eight schools"][name])


def test_logistic_regression() -> None:
    result = probrun.parse(LOGISTIC).vi(guide="full", seed=1, draws=100_000, data={"x": FEATURES, "t": LABELS})
    assert result.converged and result.warnings == ()
    held(result, "w", **REFERENCE["logistic regression"]["w"])


def test_a_normal_posterior_is_found_exactly() -> None:
    result = probrun.parse("z ~ Normal(0, 1)\nobserve 1.3 ~ Normal(z, 1)\nreturn z\n").vi(seed=1)
    held(result, "z", [0.65], [math.sqrt(0.5)])
    assert abs(result.elbo[0] - (-math.log(4 * math.pi) / 2 - 1.3**2 / 4)) < 0.001
    assert result.pareto_k < 0.3


@pytest.mark.parametrize(("prior", "truth", "spread"), [
    ("Beta(2, 3)", 7 / 12, math.sqrt(7 * 5 / (144 * 13))), ("Uniform(0, 1)", 6 / 9, math.sqrt(6 * 3 / (81 * 10))),
])
def test_supports_with_ends(prior: str, truth: float, spread: float) -> None:
    text = f"data y[n]\np ~ {prior}\nobserve y ~ Bernoulli(p)\nreturn p\n"
    held(probrun.parse(text).vi(seed=1, data={"y": [1, 1, 0, 1, 0, 1, 1]}), "p", [truth], [spread])


def test_draws_in_a_loop_and_a_half_line() -> None:
    """y_t ~ Poisson(l_t), l_t ~ Gamma(3, 1): the posterior is Gamma(3 + y, 2)."""
    text = "data y[T]\nl = zeros(T)\nfor t in range(T) {\n    l[t] ~ Gamma(3, 1)\n    observe y[t] ~ Poisson(l[t])\n}\nreturn l\n"
    result = probrun.parse(text).vi(seed=1, data={"y": [0, 4, 9]})
    held(result, "l", [(3 + y) / 2 for y in (0, 4, 9)], [math.sqrt(3 + y) / 2 for y in (0, 4, 9)])


def test_discrete_draws_are_summed_out() -> None:
    """A mixture: the label is summed inside the logarithm, so the bound is that of the marginal model."""
    text = "m ~ Normal(0, 1)\nk ~ Bernoulli(0.3)\nobserve 2 ~ Normal(m + 3*k, 1)\nreturn m\n"
    result = probrun.parse(text).vi(seed=1)
    weights = [0.7 * math.exp(-(2**2) / 4), 0.3 * math.exp(-(1**2) / 4)]
    share = weights[1] / sum(weights)
    mean = (1 - share) * 1.0 + share * -0.5
    second = (1 - share) * (1.0 + 0.5) + share * (0.25 + 0.5)
    held(result, "m", [mean], [math.sqrt(second - mean**2)])
    evidence = math.log(sum(weights) / math.sqrt(4 * math.pi))
    assert result.elbo[0] <= evidence + 5 * result.elbo[1]
    assert evidence - result.elbo[0] < 0.1


def test_parameters_of_the_program_move_with_the_guide() -> None:
    text = "param s in (0, inf) = 1\nz ~ Normal(0, s)\nobserve 3 ~ Normal(z, 1)\nreturn z\n"
    moved, still = probrun.parse(text).vi(seed=1), probrun.parse(text).vi(seed=1, fixed=True)
    assert float(moved.fit.parameters["s"].value) == pytest.approx(math.sqrt(8), abs=0.1)
    assert float(still.fit.parameters["s"].value) == 1 and still.own == ()


@pytest.mark.parametrize("guide", ["normal", "full"])
def test_proportions(guide: str) -> None:
    """Of counts (2, 2, 4) after Dirichlet(1, 2, 3): Dirichlet(3, 4, 7).  The evidence tells whether log |T'| is right."""
    text = "data y[n]\nw ~ Dirichlet([1, 2, 3])\nobserve y ~ Categorical(w)\nreturn w\n"
    result = probrun.parse(text).vi(guide=guide, seed=1, data={"y": [0, 0, 1, 2, 2, 2, 1, 2]}, draws=100_000)
    after = [3.0, 4.0, 7.0]
    held(result, "w", [a / 14 for a in after], [math.sqrt(a / 14 * (1 - a / 14) / 15) for a in after])
    exact = sum(math.lgamma(a) for a in after) - math.lgamma(14) + math.lgamma(6) - math.lgamma(2) - math.lgamma(3)
    evidence = result.posterior.evidence
    assert evidence is not None and abs(float(evidence.mean) - exact) < 5 * float(evidence.se) + 1e-3 and float(evidence.se) < 0.02


def test_proportions_in_a_loop() -> None:
    text = "A = zeros(3, 3)\nfor i in range(3) {\n  A[i] ~ Dirichlet([1, 2, 3])\n  observe i ~ Categorical(A[i])\n}\nreturn A\n"
    means = probrun.parse(text).vi(seed=1, draws=100_000).posterior.values["A"].mean
    for row in range(3):
        assert means[row].tolist() == pytest.approx([(k + 1 + (k == row)) / 7 for k in range(3)], abs=0.01)


CORRELATED = "L ~ LKJCholesky(3, 2)\nC = matmul(L, transpose(L))\nobserve 0.5 ~ Normal(C[1, 0], 0.2)\nobserve -0.3 ~ Normal(C[2, 1], 0.3)\nreturn C\n"


@pytest.mark.parametrize("guide", ["normal", "full"])
def test_correlations(guide: str) -> None:
    """Against runs that are weighed without a guide: means, spreads and evidence."""
    program = probrun.parse(CORRELATED)
    result, plain = program.vi(guide=guide, seed=1, draws=100_000), program.run(samples=400_000, seed=2)
    assert result.pareto_k < 0.7
    for place in ((1, 0), (2, 0), (2, 1)):
        one, other = result.posterior.values["C"], plain.values["C"]
        apart = abs(float(one.mean[place] - other.mean[place]))
        assert apart < 5 * math.hypot(float(one.se[place]), float(other.se[place])) and float(one.se[place]) < 0.005
        assert abs(float(one.sd[place] / other.sd[place]) - 1) < 0.03
    one, other = result.posterior.evidence, plain.evidence
    assert one is not None and other is not None
    assert abs(float(one.mean - other.mean)) < 5 * math.hypot(float(one.se), float(other.se)) and float(one.se) < 0.02


def test_what_has_no_coordinates_is_drawn_as_it_is() -> None:
    text = "L ~ LKJCholesky(1, 1)\nx ~ Normal(0, 1)\nobserve 1 ~ Normal(x + L[0, 0], 1)\nreturn x\n"
    held(probrun.parse(text).vi(seed=1, draws=100_000), "x", [0.0], [math.sqrt(0.5)])


@pytest.mark.parametrize(("text", "code"), [
    ("z ~ Normal(0, 1)\nreturn z\n", "P0604"), ("x = Normal(0, 1)\nobserve 1 ~ Normal(x, 1)\nreturn x\n", "P0612"),
    ("w ~ Dirichlet([[1, 1], [2, 2]])\nobserve 1 ~ Categorical(w[0])\nreturn w\n", "P0612"),
])
def test_what_has_no_guide(text: str, code: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(text).vi(seed=1)
    assert caught.value.code == code


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "vi.json"
    assert main(["vi", "-e", "z ~ Normal(0, 1); observe 1.3 ~ Normal(z, 1); return z", "--seed", "1", "--save", str(saved)]) == 0
    assert "ELBO" in capsys.readouterr().out
    found = json.loads(saved.read_text())
    assert abs(found["posterior"]["z"]["mean"] - 0.65) < 0.05 and found["pareto_k"] < 0.5
