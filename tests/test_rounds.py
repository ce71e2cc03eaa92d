"""Loops whose rounds are independent are run all at once: the same expectation and gradient, and the same text otherwise."""

from __future__ import annotations

import math

import pytest
import torch

import probrun
from probrun.dsl.analysis.loops import sum_loop
from probrun.dsl.syntax import For
from probrun.runtime.machine import looping

TOGETHER = {  # body, E[s], d/dtheta at theta = 0.5 (10 rounds)
    "b ~ Bernoulli(theta); s = s + 2*b - 1": (0.0, 20.0),
    "z ~ Normal(theta, 1); s = s + z^2": (12.5, 10.0),
    "z ~ Normal(theta, 1); s = s - 3*(z + t)/2": (-75.0, -15.0),
    "s = s + x[t]*Normal(theta*x[t], 1)": (0.5 * 285 / 100, 285 / 100),
    "p = theta*t/10; b ~ Bernoulli(p); s = s + b*t": (0.5 * 28.5, 28.5),
    "s = s + logpdf(Normal(0, 1), theta*x[t])": (-5 * math.log(2 * math.pi) - 0.125 * 2.85, -0.5 * 2.85),
    "s = s + theta": (5.0, 10.0),
    "k ~ Poisson(theta); s = s + (k > 0); last = k": (10 * (1 - math.exp(-0.5)), 10 * math.exp(-0.5)),
}


def program(body: str, result: str = "s") -> probrun.Program:
    return probrun.parse(f"param theta in (0, 1) = 0.5\ndata x[10]\ns = 0\nfor t in range(10) {{ {body} }}\nreturn {result}")


X = torch.arange(10) / 10


@pytest.mark.parametrize("body", TOGETHER)
@pytest.mark.parametrize("options", [{"unbiased": True}, {"estimator": "score(credit=false)"}], ids=["default", "score"])
def test_together(body: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    value, slope = TOGETHER[body]
    done = []
    real = looping.AtOnce.run
    monkeypatch.setattr(looping.AtOnce, "run", lambda *a: done.append(real(*a)) or done[-1])
    if "~" not in body and "Normal(theta*" not in body:
        options = {}
    result = program(body).grad(data={"x": X}, samples=100_000, seed=1, pilot=False, **options)
    assert "estimator" not in options or all(done)
    for found, expected in ((result.value, value), (result.gradient["theta"], slope)):
        error = max(float(found.se), 1e-5 * abs(expected))
        assert abs(float(found.mean) - expected) < 5 * error
    assert float(result.gradient["theta"].se) < 0.05 * abs(slope)


def test_what_a_round_leaves_behind() -> None:
    found = probrun.parse("param a = 1\ns = 0\nfor t in range(2, 6) { q = 10*t; s = s + q }\nreturn s + 1000*q + 100000*t").run(samples=1)
    assert float(found.value.mean) == 140 + 50_000 + 500_000


def test_the_last_draw_is_one_of_the_summed() -> None:
    text = "param theta = 1\ns = 0\nfor t in range(4) { z ~ Normal(theta, 1); s = s + z }\nreturn s*z"
    result = probrun.parse(text).grad(samples=200_000, seed=1, pilot=False, estimator="score")
    assert abs(float(result.value.mean) - 5) < 5 * float(result.value.se)  # E[z^2] + 3 E[z]^2
    assert abs(float(result.gradient["theta"].mean) - 8) < 5 * float(result.gradient["theta"].se)
    assert float(result.gradient["theta"].se) < 0.2


APART = [
    "s = s + 1; u = s", "u = u + s; s = s + 1", "s = s*2", "s = s + s", "if t > 2 { s = s + 1 }", "u = v; v = t; s = s + u",
    "x[t] = 1; s = s + 1", "s = s + sum(x)", "s = s + (t > 1 and t < 3)", "s = s + f(t)", "t = 2; s = s + t",
    "p ~ Dirichlet(ones(3)); s = s + p[0]",
]


@pytest.mark.parametrize("body", APART)
def test_rounds_that_depend_on_each_other_stay_apart(body: str) -> None:
    text = f"param a = 1\nfn f(x) {{ return x }}\nx = zeros(10)\nu = 0\nv = 0\ns = 0\nfor t in range(10) {{ {body} }}\nreturn s + u"
    parsed = probrun.parse(text)
    (loop,) = (node for node in parsed.resolved.program.body.statements if isinstance(node, For))
    assert sum_loop(loop, parsed.resolved) is None


def test_an_array_in_the_body_is_run_round_by_round() -> None:
    text = "param theta = 1\nm = ones(3)\ns = 0*m\nfor t in range(4) { z ~ Normal(theta*m, 1); s = s + z }\nreturn sum(s)"
    result = probrun.parse(text).grad(samples=1000, seed=1)
    assert float(result.gradient["theta"].mean) == pytest.approx(12)


def test_an_index_beyond_the_end_is_refused() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("param theta\nx = zeros(5)\ns = theta\nfor t in range(8) { s = s + x[t] }\nreturn s").grad({"theta": 1.0})
    assert (caught.value.code, caught.value.line) == ("P0302", 4)


def test_many_rounds_come_in_parts() -> None:
    """Of more than may be run at once: sums go on, and the last round's values are there afterwards."""
    n = 2 * looping.MOST + 1
    program = probrun.parse(f"param a = 0.5\ns = 0\nfor t in range({n}) {{ z ~ Normal(a, 1); s = s + z*t/1000 + a }}\nreturn s + z*0 + t")
    result = program.grad(samples=500, seed=1)
    exact = n * (n - 1) / 2000 + n
    assert float(result.gradient["a"].mean) == pytest.approx(exact, rel=1e-6)
    assert abs(float(result.value.mean) - 0.5 * exact - (n - 1)) < 5 * float(result.value.se) < 0.02 * exact
