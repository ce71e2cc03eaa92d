"""Parameters that stay one number until they meet the runs: the same gradients as with a row per run from the start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

import probrun
from probrun.runtime.estimates import estimate
from probrun.runtime.lanes.lessons import NotLifted, Way
from probrun.runtime.laws.noise import Fresh

PROGRAMS = {
    "pathwise": "param theta = 2\nz ~ Normal(theta, 2)\ny = theta^2*(z + 4)",
    "twice": "param theta = 2\na = exp(theta)\nz ~ Normal(a, a)\nw ~ Normal(a*z, theta)\ny = w*z + a",
    "score": "param theta in (0, 1) = 0.3\nb ~ Bernoulli(theta^2)\nk ~ Poisson(exp(theta))\ny = b*k + theta",
    "logits": "param theta = 0.3\nb ~ Bernoulli(logits=2*theta)\ny = b*theta",
    "vector": "param mu[3] = [1, 2, 3]\nparam s[3] = [0.1, 0.2, 0.3]\nz ~ Normal(mu, exp(s))\ny = sum(z^2)",
    "mixed": "param theta = 0.5\nparam mu[3] = [1, 2, 3]\np = softmax(theta*mu)\nk ~ Categorical(p)\nz ~ Normal(p, 1)\ny = mu[k]*sum(z)",
    "matrix": "param mu[3] = [1, 2, 3]\na = stack(mu, 2*mu, mu^2)\nz ~ Normal(matmul(a, mu), 1)\ny = sum(z)^2",
    "uniform result": "param theta = 2\nz ~ Normal(0, 1)\ny = theta^3",
    "stored": "param theta = 2\nv = zeros(3)\nv[1] = theta\nz ~ Normal(theta, 1)\nv[2] = z\ny = sum(v*v)",
    "loop": "param theta = 0.4\ns = 0\nfor t in range(5) {\n  e ~ Normal(theta*t, 1)\n  s = s + theta*e\n}\ny = s",
    "clamped": "param theta = 2\nz ~ Normal(theta, 1)\ny = max(z, theta) + min(theta, 3)",
    "branch": "param theta = 0.3\nb ~ Bernoulli(theta)\nif b { x ~ Normal(theta, 1)\ny = x^2*theta } else { e ~ Normal(0, 1)\ny = sin(e) + theta }",
    "constants": "param theta = 0.3\nb ~ Bernoulli(theta)\nif b { y = theta^2 } else { y = exp(theta) }",
    "one side": "param theta = 0.3\nz ~ Normal(0, 1)\ny = theta\nif z > 0 { y = 2*theta*z }",
    "while": "param theta = 0.3\nn = 1\nb ~ Bernoulli(theta)\nwhile not b { n = n + theta\nb ~ Bernoulli(theta) }\ny = n",
    "last lane": "param theta = 0.9\nn = 1\nm = theta\nb ~ Bernoulli(theta)\nwhile not b {\n  m = theta^2\n  c = exp(theta)\n"
                 "  n = n + m*c\n  e ~ Normal(theta, 1)\n  n = n + e\n  b ~ Bernoulli(theta)\n}\ny = n*m",
    "recursion": "param theta = 0.6\nfn toss(n) { b ~ Bernoulli(theta)\nif b { return n*theta }\nreturn toss(n + theta) }\ny = toss(1)",
    "nested": "param theta = 0.4\na ~ Bernoulli(theta)\nb ~ Bernoulli(theta^2)\nif a { if b { y = theta } else { y ~ Normal(theta, 2) } } "
              "else { if b { y = theta*2 } else { y = 1 } }",
    "either": "param theta = 0.4\nz ~ Normal(0, 1)\nb ~ Bernoulli(theta)\ny = (if z > 0 then theta else z) + (if b then 1 else theta)",
    "and": "param theta = 0.4\nb ~ Bernoulli(theta)\nz ~ Normal(0, 1)\ny = 0\nif b and z > 0 { y = theta }",
    "returns": "param theta = 0.4\nb ~ Bernoulli(theta)\nif b { return theta^2 }\nz ~ Normal(theta, 1)\nreturn z",
    "random length": "param theta = 0.4\nk ~ Poisson(exp(theta))\ns = theta\nfor i in range(k) { e ~ Normal(theta, 1)\ns = s + e*theta }\ny = s",
    "elements": "param mu[3] = [1, 2, 3]\nk ~ Categorical(softmax(mu))\ny = 0\nif k > 0 { y = mu[k]*mu[0] }",
    "density": "param theta = 2\nz ~ Normal(theta, 1)\ny = logpdf(Normal(0, exp(theta)), z) + logpdf(Normal(theta, 1), 1)",
}


def same_noise(noise: Fresh, shape: tuple[int, ...], chance: torch.Tensor, made: object) -> torch.Tensor:
    """A coin from the noise that is used where the probability differs from run to run."""
    return (noise.rand(shape, torch.float64, chance.device) < chance.detach()).to(chance.dtype)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    "options", [{}, {"estimator": "score"}, {"estimator": "score(credit=false)"}, {"among": "enumerate,rsample,score"}],
    ids=["default", "score", "no credit", "enumerate"],
)
def test_same_gradient_of_every_run(name: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With few runs, frames of one lane occur."""
    if name in ("uniform result", "one side") and "estimator" in options:
        pytest.skip("no site to score")
    monkeypatch.setattr(Fresh, "coins", same_noise)
    program = probrun.parse(PROGRAMS[name] if "return" in PROGRAMS[name] else PROGRAMS[name] + "\nreturn y")
    for samples in (300, 24, 2):
        lifted, plain = (
            at(partial(program.grad, samples=samples, seed=1, pilot=False, keep_runs=True, dtype="float64", **options), liftable, monkeypatch)
            for liftable in (True, False)
        )
        assert lifted.per_run is not None and plain.per_run is not None
        for result, rows in plain.per_run.items():
            for parameter, expected in rows.items():
                torch.testing.assert_close(lifted.per_run[result][parameter], expected, rtol=1e-9, atol=1e-11)


def at(run: Callable[[], Any], liftable: bool, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run with or without lifting."""
    with monkeypatch.context() as patch:
        if not liftable:
            patch.setattr(estimate, "START", Way(lifted=False))
        return run()


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "matrix"])
def test_lifted_at_the_first_attempt(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs above do not fall back: else the test above would compare a thing with itself."""
    def failing(*_: object) -> None:
        raise AssertionError("fell back")

    monkeypatch.setattr(NotLifted, "__init__", failing)
    program = probrun.parse(PROGRAMS[name] if "return" in PROGRAMS[name] else PROGRAMS[name] + "\nreturn y")
    for samples in (300, 24):
        program.grad(samples=samples, seed=1, pilot=False)
        program.grad(samples=samples, seed=1, pilot=False, among="enumerate,rsample,score")


def test_a_wide_dense_matrix_falls_back() -> None:
    """A softmax of 100 entries has a dense matrix of derivatives: not worth it, but right all the same."""
    program = probrun.parse("param a[100]\np = softmax(a)\nz ~ Normal(p, 1)\nreturn sum(z*z)")
    a = torch.linspace(-1, 1, 100)
    result = program.grad({"a": a}, samples=20_000, seed=1, pilot=False)
    p = torch.softmax(a.double(), 0)
    exact = 2 * (p * p - p * (p * p).sum())
    found = result.gradient["a"]
    assert float(((found.mean - exact) / found.se).abs().max()) < 5
    assert float(found.se.max()) < 0.003


def test_probability_at_its_edge_through_a_lifted_value() -> None:
    """What earlier draws lead to the edge is still seen: d/dtheta E[b] = 1/2 where p is theta + 1/2 or clamped at 1."""
    program = probrun.parse(
        "param theta = 0.5\nz ~ Normal(0, 1)\nb ~ Bernoulli(min(theta + max(z, 0), 1))\nreturn b"
    )
    result = program.grad(samples=200_000, seed=2, pilot=False)
    from scipy.stats import norm

    exact = norm.cdf(0.5)  # the slope is 1 where z < 1/2, else 0
    assert abs(result.gradient["theta"].mean.item() - exact) < 5 * result.gradient["theta"].se.item()
    assert result.gradient["theta"].se.item() < 0.01
