"""Compiled blocks: the same answers, from graphs that torch.compile is given; and the refusals.

Most tests take the graph as it is (`as_graph`): what torch.compile makes of it is torch's affair, and takes seconds each.  About
40 comparisons at 5 standard errors: a false alarm has a chance of about 2e-5.
"""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

import pytest
import torch

import probrun
from probrun.cli import main
from probrun.runtime.blocks import compiled

SAMPLES = 150_000
SCORE = "rsample,score,sample"


@pytest.fixture
def as_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


BRANCH = "param t in (0, 1) = 0.3\nb ~ Bernoulli(t)\nif b { x ~ Normal(t, 1)\n y = x^2 } else { e ~ Normal(0, 1)\n y = sin(e) }\nreturn y"
PROGRAMS: list[tuple[str, str, float]] = [
    # name, program, derivative
    ("normal", "param t = 2\nz ~ Normal(t, 2)\nreturn t^2*(z + 4)", 28.0),
    ("step", "param t = 0.5\nx ~ Normal(t, 1)\nreturn x > 0", phi(0.5)),
    ("branch", BRANCH, 1 + 3 * 0.09),
    ("nested", """
        param t in (0, 1) = 0.3
        a ~ Bernoulli(t)
        y = 1
        if a {
          b ~ Bernoulli(t)
          if b { y = y + 3 } else { y = 2*y }
        } else { y = y - t }
        return y""", 1.8),  # E = 4 t^2 + 2 t (1 - t) + (1 - t)^2
    ("sum", """
        param t in (0, 1) = 0.3
        s = 0
        for k in range(4) {
          b ~ Bernoulli(t)
          if b { x ~ Normal(t, 1)
                 s = s + x } else { s = s + 1 }
        }
        return s""", 4 * (2 * 0.3 - 1)),
    ("expression", "param t = 0.4\nx ~ Normal(t, 1)\nreturn if x > 0 then 2*t else -1", 2 * 0.6554217416103242 + (2 * 0.4 + 1) * phi(0.4)),
    ("and", """
        param t in (0, 1) = 0.3
        a ~ Bernoulli(t)
        return a and Bernoulli(t) or Bernoulli(t/2)""", 0.6 + 0.5 - 3 * 0.09 / 2),  # t^2 + t/2 - t^3/2
    ("function", "fn f(x) { y = x\n if x > 0 { y = 2*x }\n return y }\nparam t = 0.4\nx ~ Normal(t, 1)\nreturn f(x)", 1 + 0.6554217416103242),
    ("walk", "param t = 0.5\ns = 0\nfor k in range(20) { b ~ Bernoulli(sigmoid(t))\n s = s + 2*b - 1 }\nreturn s", 40 * 0.2350037122015945),
    ("poisson", "param t = 1\nk ~ Poisson(exp(t))\nreturn (k - 3)^2", math.e * (2 * math.e - 5)),
    ("index", "param t in (0, 1) = 0.3\nk ~ Categorical([t, 0.5, 0.5 - t])\nv = [1, 5, 2]\nreturn v[k]", -1.0),
    ("vector", "param t[2] = [0.2, 0.7]\nb ~ Bernoulli(t)\nreturn b[0]*2 + b[1]*b[0]", 2.7),
    ("guarded", "param t = 3\nx ~ Normal(t, 1)\nreturn abs(x) + x^2", 2 * 0.9986501019683699 - 1 + 6),
    ("atan", "param t = 0\nx ~ Normal(t, 1)\nreturn atan(1/x)", math.pi*phi(0) - 0.6556795424187994),  # E[1/(1+x^2)]
]


def first(result: probrun.GradientResult) -> tuple[float, float]:
    moments = next(iter(result.gradient.values()))
    return float(moments.mean.flatten()[0]), float(moments.se.flatten()[0])


@pytest.mark.usefixtures("as_graph")
@pytest.mark.parametrize(("name", "text", "exact"), PROGRAMS, ids=[name for name, _, _ in PROGRAMS])
@pytest.mark.parametrize("options", [{"among": SCORE}, {"pilot": False, "unbiased": True}, {"estimator": "score(credit=false)", "pilot": False}])
def test_gradient(name: str, text: str, exact: float, options: dict[str, Any]) -> None:
    result = probrun.parse(text).grad(samples=SAMPLES, seed=3, compile=True, **options)
    assert result.compiled is not None
    assert result.compiled.reason in (None, "the answer is exact"), result.compiled.reason
    mean, se = first(result)
    assert se <= 0.05
    assert abs(mean - exact) <= 5 * se + 1e-5 * abs(exact)


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler")
def test_compiled_code() -> None:
    program = probrun.parse(BRANCH)
    result = program.grad(samples=SAMPLES, seed=3, estimator="score", pilot=False, compile=True)
    assert result.compiled is not None and result.compiled.reason is None
    assert result.compiled.seconds > 0
    mean, se = first(result)
    assert 0 < se < 0.02 and abs(mean - 1.27) <= 5 * se
    again = program.grad({"t": 0.6}, samples=SAMPLES, seed=4, estimator="score", pilot=False, compile=True)
    assert again.compiled is not None and again.compiled.seconds == 0  # made once
    mean, se = first(again)
    assert 0 < se < 0.02 and abs(mean - (1 + 3 * 0.36)) <= 5 * se


@pytest.mark.usefixtures("as_graph")
@pytest.mark.parametrize(("name", "text", "exact"), PROGRAMS[:9], ids=[name for name, _, _ in PROGRAMS[:9]])
def test_a_block_that_fails_its_checks(monkeypatch: pytest.MonkeyPatch, name: str, text: str, exact: float) -> None:
    """It is run by the interpreter, on the same numbers."""
    options: dict[str, Any] = {"samples": SAMPLES, "seed": 5, "among": SCORE, "pilot": False, "compile": True}
    plain = first(probrun.parse(text).grad(**options))
    run, calls = compiled.Compiled.run, []

    def failing(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        return None if len(calls) > 1 else run(self, *arguments)  # the first is the compiler's own

    monkeypatch.setattr(compiled.Compiled, "run", failing)
    assert first(probrun.parse(text).grad(**options)) == pytest.approx(plain, rel=1e-4)
    assert len(calls) > 1


@pytest.mark.usefixtures("as_graph")
def test_a_rare_check() -> None:
    """A probability reaches 1 in one of 300,000 runs: not in the block that is written down."""
    text = """
        param t = 1
        x ~ Normal(0, 1)
        b ~ Bernoulli(min(exp(x - 5), 1))
        return t*b + 100*(x > 5)"""
    result = probrun.parse(text).grad(samples=2_000_000, seed=1, compile=True, pilot=False)
    assert result.compiled is not None and result.compiled.reason is None
    mean, se = first(result)
    exact = math.exp(-4.5) * 0.5 * math.erfc(-4 / math.sqrt(2)) + 0.5 * math.erfc(5 / math.sqrt(2))
    assert abs(mean - exact) <= 5 * se and se < 1e-3 * 0.2


REFUSED = [
    ("param t in (0, 1) = 0.3\nn = 1\nwhile Bernoulli(t) { n = n + 1 }\nreturn n", "ends at random"),
    ("param t in (0, 1) = 0.3\nb ~ Bernoulli(t)\nif b { return 1 }\nreturn t", "`return` inside a random branch"),
    ("param t = 2\nx ~ Normal(0, 1)\nk ~ Poisson(exp(x + t))\nreturn k", "arguments of a draw"),
    ("param t = 2\nx ~ Normal(t, 1)\nif x > 0 { y = t*log(x) } else { y = 0 }\nreturn y", "not finite"),
    ("param t in (0, 1) = 0.3\nreturn Bernoulli(t)", "exact"),
]


@pytest.mark.usefixtures("as_graph")
@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text: str, reason: str) -> None:
    """What cannot be compiled is run as without."""
    options: dict[str, Any] = {"samples": SAMPLES, "seed": 3}
    if "exact" not in reason:
        options["among"] = SCORE
    plain, asked = (probrun.parse(text).grad(**options, compile=compile) for compile in (False, True))
    assert asked.compiled is not None and reason in str(asked.compiled.reason)
    assert first(asked) == first(plain)
    assert plain.compiled is None


@pytest.mark.usefixtures("as_graph")
def test_few_runs_and_single_runs() -> None:
    program = probrun.parse(BRANCH)
    few = program.grad(samples=1000, seed=1, compile=True)
    assert few.compiled is not None and str(few.compiled.reason).startswith("what is drawn depends on the parameters")
    kept = program.grad(samples=300_000, seed=1, compile=True, keep_runs=True, pilot=False)
    assert kept.compiled is not None and kept.compiled.reason is None
    assert next(iter(kept.per_run.values()))["t"].shape == (100_000,)


@pytest.mark.usefixtures("as_graph")
def test_data_is_not_compiled_in() -> None:
    program = probrun.parse("data d[2]\nparam t = 0.5\nx ~ Normal(t, 1)\nreturn (x > 0)*d[0] + d[1]*x")
    for d in ([1.0, 0.0], [0.0, 3.0]):
        result = program.grad(data={"d": d}, samples=SAMPLES, seed=2, among=SCORE, compile=True)
        mean, se = first(result)
        assert abs(mean - (d[0] * phi(0.5) + d[1])) <= 5 * se
        assert 0 < se < 0.05


@pytest.mark.usefixtures("as_graph")
def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["grad", "-e", BRANCH.replace("\n", ";").replace("{ ", "{").replace(";}", "}"), "-n", "100000", "--seed", "1", "--compile"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["compiled"].keys() == {"seconds"}
    assert main(arguments) == 0
    assert "compiled in" in capsys.readouterr().out
    loop = "n = 0; while Bernoulli(t) { n = n + 1 }; return n"
    assert main(["grad", "-e", loop, "-p", "t=.3", "-n", "4000", "--seed", "1", "--compile", "--estimator", "score"]) == 0
    assert "not compiled, because a loop or a recursion ends at random" in " ".join(capsys.readouterr().out.split())
