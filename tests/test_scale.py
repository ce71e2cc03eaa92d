"""Size and place: memory stays flat, and a GPU gives the same answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import probrun

ROOT = Path(__file__).resolve().parent.parent
# not getrusage: a new process inherits the peak of the one that starts it
MEASURE = """
import probrun
result = probrun.parse("param theta = 2\\nz ~ Normal(theta, 2)\\nreturn theta^2*(z + 4)").grad(samples=10**8, seed=1)
gradient = result.gradient["theta"]
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(result.samples, float(gradient.mean), float(gradient.se), int(peak) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_hundred_million_runs_take_less_than_a_gigabyte() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, cwd=ROOT)
    samples, mean, error, megabytes = map(float, done.stdout.split())
    assert samples == 10**8 and megabytes < 1000
    assert abs(mean - 28) < 5 * error and error < 0.001


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
PROGRAMS = {  # text, exact gradient
    "param theta = 2\nz ~ Normal(theta, 2)\nreturn theta^2*(z + 4)": 28.0,
    "param theta = 0.1\nreturn 2*Bernoulli(3*theta) + Bernoulli(theta)": 7.0,
    "param theta = 0.3\nb ~ Bernoulli(theta)\nif b { x ~ Normal(theta, 1); y = x^2 } else { e ~ Normal(0, 1); y = sin(e) }\nreturn y": 1.27,
    "param theta = 0.3\nn = 1\nb ~ Bernoulli(theta)\nwhile not b { n = n + 1; b ~ Bernoulli(theta) }\nreturn n": -1 / 0.09,
    "param theta = 0.3\na ~ Bernoulli(theta)\nif a { b ~ Bernoulli(theta)\nif b { y ~ Normal(theta, 1) } else { y = 2 } } else { y = a }\n"
    "return y > 1.5": 0.4865185470815142,  # 2 t Phi(t - 1.5) + t^2 phi(t - 1.5) + 1 - 2 t
    "param theta = 1\nk ~ Poisson(exp(theta))\nreturn (k - 3)^2": 2.718281828 * (1 + 2 * (2.718281828 - 3)),
    "param theta = 1\ns = 0\nfor t in range(20) { z ~ Normal(theta, 1); s = s + z }\nreturn s^2": 800.0,
}


@CUDA
@pytest.mark.parametrize("text", PROGRAMS)
@pytest.mark.parametrize("options", [{"unbiased": True}, {"estimator": "score"}], ids=["default", "score"])
def test_the_same_on_a_gpu(text: str, options: dict[str, object]) -> None:
    result = probrun.parse(text).grad(samples=200_000, seed=1, device="cuda", pilot=False, **options)  # type: ignore[arg-type]
    gradient = result.gradient["theta"]
    error = max(float(gradient.se), 1e-5 * abs(PROGRAMS[text]))
    assert abs(float(gradient.mean) - PROGRAMS[text]) < 5 * error
    assert float(gradient.se) < 0.05 * abs(PROGRAMS[text])


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("param a = 1\nreturn a*Normal(0, 1)").grad(device="cuda")
    assert caught.value.code == "P0604"
