"""Sums, products and offsets that float32 would round visibly are computed in float64; others stay in float32."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import probrun
from probrun.cli import main

SUM = "for t in range({n}) {{\n  s = {step}\n  w = s*1\n}}"  # read in the round: the rounds are not summed up together


def loop(step: str, n: int) -> str:
    return SUM.format(n=n, step=step)


# program after `param theta = 0.5`: exact value and derivative
SEEN = {
    f"z ~ Normal(theta, 0.001)\ns = 0*z\n{loop('s + 0.1', 3000)}\nreturn s*theta": (150.0, 300.0),
    f"z ~ Normal(theta, 0.00001)\ns = 0*z\n{loop('s*1 + 0.1*z', 1500)}\nreturn s": (75.0, 150.0),
    f"z ~ Normal(theta, 1)\ns = 1 + 0*z\n{loop('s*1.001', 1000)}\nreturn s*theta": (0.5 * 1.001**1000, 1.001**1000),
    f"z ~ Normal(theta, 0.00001)\ns = 0*z\n{loop('s*0.999 + z', 1000)}\nreturn s": (
        0.5 * (1 - 0.999**1000) / 0.001, (1 - 0.999**1000) / 0.001),
    f"z ~ Normal(theta, 1)\ns = 16777216 + 0*z\n{loop('s + 1', 50)}\nreturn s*theta": (16777266 * 0.5, 16777266.0),
    "z ~ Normal(theta, 0.01)\nreturn 1e7 + z - 1e7": (0.5, 1.0),
    "z ~ Normal(theta, 1)\nreturn 1e8 + z": (1e8 + 0.5, 1.0),
    "z ~ Normal(0, 1)\nreturn (theta + 1e6)^2 - 1e12 + z": (1e6 + 0.25, 2e6 + 1),
    "b ~ Bernoulli(theta)\nz ~ Normal(0, 1)\nreturn (1e6 + b*0.01 - 1e6)*(z > 0)": (0.0025, 0.005),
    "z ~ Normal(theta, 0.0001)\nreturn exp(theta*20) + z - exp(10)": (0.5, 20 * math.exp(10) + 1),
}


@pytest.mark.parametrize("body", SEEN)
def test_in_float64(body: str) -> None:
    value, slope = SEEN[body]
    program = probrun.parse(f"param theta = 0.5\n{body}")
    result = program.grad(samples=1000, seed=2, pilot=False)
    assert result.dtype == "float64"
    for found, exact in ((result.value, value), (result.gradient["theta"], slope), (program.run(samples=1000, seed=3).value, value)):
        se = float(found.se)
        assert abs(float(found.mean) - exact) < 5 * se + 1e-9 * max(abs(exact), 1)
        assert se < 0.05 * abs(exact) + 0.04


def test_twenty_thousand_sums_of_a_parameter() -> None:
    result = probrun.parse(f"param theta = 0.1\ns = 0*theta\n{loop('s + theta', 20_000)}\nreturn s").grad()
    assert result.to_dict()["gradient"]["theta"]["se"] == 0
    assert abs(float(result.value.mean) - 2000) < 1e-6 and abs(float(result.gradient["theta"].mean) - 20_000) < 1e-6


def test_nothing_random_though_it_could_be() -> None:
    text = f"param theta = 0.1\ns = 0*theta\n{loop('s + theta', 2000)}\nif theta > 5 {{ s ~ Normal(theta, 1) }}\nreturn s"
    for result in (probrun.parse(text).grad(), probrun.parse(text).run()):
        assert result.exact and result.dtype == "float64" and abs(float(result.value.mean) - 200) < 1e-9


@pytest.mark.parametrize("body", [
    "z ~ Normal(theta, 2)\nreturn theta^2*(z + 4)", "b ~ Bernoulli(theta)\nz ~ Normal(1, 1)\nreturn b*100*z + theta",
    f"z ~ Normal(theta, 1)\ns = 0*z\n{loop('s + z', 100)}\nreturn s", "k ~ Poisson(exp(theta))\nreturn k^2",
    "z ~ Normal(theta*ones(100), 1)\nreturn sum(z)", "z ~ Exponential(theta)\nreturn z + 3*theta",
    "z ~ Gamma(theta, 1)\nw ~ Beta(z + 1, 2)\nreturn w", "n = 0\nb ~ Bernoulli(theta)\nwhile not b {\n  n = n + 1\n  b ~ Bernoulli(theta)\n}\nreturn n",
])
def test_float32_is_enough(body: str) -> None:
    program = probrun.parse(f"param theta = 0.5\n{body}")
    assert program.grad(samples=10_000, seed=1, pilot=False).dtype == program.run(samples=10_000, seed=1).dtype == "float32"


def test_an_expectation_too() -> None:
    theta = torch.tensor(0.5, requires_grad=True, dtype=torch.float64)
    value = probrun.parse("param theta\nz ~ Normal(theta, 0.01)\nreturn 1e7 + z - 1e7").expectation({"theta": theta}, samples=500, seed=1)
    value.backward()
    assert abs(float(value.detach()) - 0.5) < 5 * 0.01 / math.sqrt(500) and theta.grad is not None and abs(float(theta.grad) - 1) < 1e-6


def test_it_is_measured_again_where_values_change() -> None:
    program = probrun.parse("param theta\ndata c\nz ~ Normal(theta, 1)\nreturn c + z - c")
    dtypes = [program.grad({"theta": 1.0}, data={"c": c}, samples=500, seed=1).dtype for c in (1.0, 1e7, 1.0, -1e7)]
    assert dtypes == ["float32", "float64", "float32", "float64"]


def test_float32_that_is_asked_for_is_kept_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "param theta = 0.5\nz ~ Normal(theta, 0.01)\nreturn 1e7 + z - 1e7"
    for result in (probrun.parse(text).grad(samples=500, seed=1, dtype="float32"), probrun.parse(text).run(samples=500, seed=1, dtype="float32")):
        assert result.dtype == "float32" and result.rounded and result.to_dict()["rounded"] is True
    assert not probrun.parse(text).grad(samples=500, seed=1, dtype="float64").rounded
    assert not probrun.parse("param theta = 1\nz ~ Normal(theta, 1)\nreturn z^2").grad(samples=500, seed=1, dtype="float32").rounded
    path = tmp_path / "offset.prob"
    path.write_text(text)
    status = main(["grad", str(path), "--dtype", "float32", "--seed", "1", "-n", "500"])
    out, err = capsys.readouterr()
    assert status == 3 and "rounded: float32" in out and "float32 rounds too much" in err


@pytest.mark.parametrize("scale", [1e-30, 1e-26, 1e-15, 1e12, 1e25])
def test_spreads_that_float32_cannot_square(scale: float) -> None:
    """The squares of such deviations are 0, or infinite, in float32: the standard error was 0 for 1e-26."""
    result = probrun.parse(f"param p = 0.4; z ~ Normal(p, 1); return {scale!r}*z^2").grad(samples=4000, seed=1)
    for moments, mean, sd in ((result.value, 1.16, (2 + 4 * 0.16) ** 0.5), (result.gradient["p"], 0.8, 2.0)):
        assert float(moments.se) / scale == pytest.approx(sd / 4000**0.5, rel=0.1)
        assert abs(float(moments.mean) / scale - mean) < 5 * sd / 4000**0.5
