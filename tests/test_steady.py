"""What is called exact beside a standard error of 0: decided by the structure of the program, never by the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import probrun
from probrun import cli
from probrun.dsl.analysis.steady import steady
from probrun.dsl.names.resolve import resolve
from probrun.dsl.reading.parser import parse
from probrun.dsl.text.source import Source

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def found(text: str, of: tuple[str, ...] = (), **estimators: str) -> set[str]:
    """`d y/dt` and `y` for what is steady; every site that is not named is reparameterised."""
    resolved = resolve(parse(Source("test.prob", text)))
    chosen = {site.index: estimators.get(site.name, "rsample") for site in resolved.sites}
    return {name if parameter is None else f"d {name}/d{parameter}" for name, parameter in steady(resolved, chosen, of)}


STEADY = [
    "param t = 1; z ~ Normal(t, 1); y = z; return y",
    "param t = 1; z ~ Normal(0, 1); y = t^2 + z; return y",
    "param t = 1; z ~ Normal(0, 1); y = exp(t)/3 - 2*z + sum([t, z]); return y",
    "param t = 1; z ~ StudentT(3, t, 2); y = mean([z, t*t]); return y",
    "param t = 1; z ~ Gumbel(2*t, 2); w ~ Normal(z, 1); y = -w; return y",
    "param t = 1; y = 0; for i in range(3) { z ~ Normal(t, 1); y = y + z }; return y",
    "param t = 1; fn f(a, b) { return 3*a + b }; z ~ Normal(0, 1); y = f(t, z); return y",
    "param t = 1; z ~ Normal(0, 1); y = floor(z)*2 + t; return y",
    "param t = 1; z ~ Normal(0, 1); x = zeros(2); x[0] = t; x[1] = z; y = sum(x); return y",
    "param t = 1; data a = 3; z ~ Normal(a*t, a); y = z/a; return y",
    "param t = 1; z ~ Normal(0, 1); y = dot([t, t^2], [1, 2]) + z; return y",
]
SHAKY = [
    "param t = 1; x ~ Normal(0, 1); z ~ Normal(0, 1); y = if x > t then (if z > 4.5 then 1000000 else 0) else 0; return y",  # by `jump`
    "param t = 0; x ~ Normal(0, 1); z ~ Normal(0, 1); y = floor(x + t)*(if z > 4.5 then 1000000 else 0); return y",
    "param t = 1; z ~ Normal(0, t); y = z; return y",
    "param t = 1; z ~ Normal(t, 1); y = z^2; return y",
    "param t = 1; z ~ Normal(0, 1); y = t*z; return y",
    "param t = 1; z ~ Normal(1, 0.1); y = t/z; return y",
    "param t = 1; z ~ Normal(0, 1); y = if z > 3 then t else 2*t; return y",
    "param t = 1; b ~ Bernoulli(0.001); if b { y = t } else { y = 0 }; return y",
    "param t = 1; b ~ Bernoulli(0.001); y = t; if b { y = 2*t }; return y",
    "param t = 1; b ~ Bernoulli(0.001); if b { return 2*t }; y = t; return y",
    "param t = 1; n ~ Poisson(0.001); y = t; for i in range(n) { y = y + t }; return y",
    "param t = 1; y = t; while Bernoulli(0.001) { y = y + t }; return y",
    "param t = 1; i ~ Categorical([1, 0.001]); x = [t, 2*t]; y = x[i]; return y",
    "param t = 1; i ~ Categorical([1, 0.001]); x = zeros(2); x[i] = t; y = x[0]; return y",
    "param t = 1; z ~ Exponential(t); y = z; return y",
    "param t = 1; z ~ LogNormal(t, 1); y = z; return y",
    "param t = 1; z ~ Normal(0, 1); y = max(t, z); return y",
    "param t = 1; z ~ Normal(0, 1); y = where(z > 4, t, 0); return y",
    "param t = 1; z ~ Normal(0, 1); y = logpdf(Normal(t, 1), z); return y",
    "param t = 1; fn f(a) { if Bernoulli(0.001) { return a }; return 2*a }; y = f(t); return y",
    "param t = 1; fn f(a, b) { return a*b }; z ~ Normal(0, 1); y = f(t, z); return y",
    "param t = 1; z ~ Normal(0, 1); y = dot([t, t], [z, 1]); return y",
    "param t = 1; fn f(a) { k = a; if Bernoulli(0.01) { k = f(a) }; return k + a }; y = f(t); return y",
]


@pytest.mark.parametrize("text", STEADY)
def test_steady(text: str) -> None:
    name = probrun.parse(text).results[0]
    assert found(text) == {f"d {name}/dt"}
    gradient = probrun.parse(text).grad(samples=500, seed=0, estimator="rsample", dtype="float64").gradient["t"]
    assert float(gradient.se) < 1e-12


@pytest.mark.parametrize("text", SHAKY)
def test_shaky(text: str) -> None:
    assert found(text) == set()


def test_scores_are_shaky_and_only_where_they_reach() -> None:
    text = "param t = 0.5; b ~ Bernoulli(t); z ~ Normal(t, 1); x = b + z; return x, z, t"
    assert found(text, b="score") == {"d z/dt", "d t/dt", "t"}
    assert found(text, b="gumbel") == {"d z/dt", "d t/dt", "t"}
    assert found("param t = 0.5; b ~ Bernoulli(t); c ~ Normal(b, 1); return c", b="score", c="score") == set()


def test_of_looks_at_variables() -> None:
    text = "param t = 1; z ~ Normal(t, 1); return z^2"
    assert found(text) == set()
    assert found(text, of=("z",)) == {"d z/dt"}
    early = "param t = 1; x = 3*t; b ~ Bernoulli(0.1); if b { return 2 }; x = t; return 3"
    assert found(early, of=("x",)) == {"d result/dt"}
    assert found(early.replace("if b { return 2 }; ", ""), of=("x",)) == {"d result/dt", "result", "d x/dt", "x"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.prob")), ids=lambda path: path.stem)
def test_what_is_steady_in_the_examples_has_no_spread(path: Path) -> None:
    program = probrun.load(path)
    answer = program.grad(samples=1000, seed=0, pilot=False, dtype="float64")
    estimators = {index: site.estimator for index, site in enumerate(answer.sites)}
    for result, parameter in steady(program.resolved, estimators):
        moments = answer.values[result] if parameter is None else answer.gradients[result][parameter]
        assert float(moments.se.max()) < 1e-9, (result, parameter)


def test_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["grad", "-e", "param t = 1; z ~ Normal(t, 1); y = z; return y", "--seed", "1", "-n", "1000"]) == 0
    shown = capfd.readouterr().out
    assert "rarer" not in shown and shown.splitlines()[4].split() == ["d/dt", "1", "exact", "-"]
    assert shown.startswith("<command line>     1000 runs    seed 1")
    assert cli.main(["grad", "-e", "param t = 1; b ~ Bernoulli(0.000001); y = t*b; return y", "--no-pilot", "--among", "score", "-n", "100"]) == 0
    assert "rarer" in capfd.readouterr().out
    assert cli.main(["grad", "-e", "param t in (0, 1) = 0.3; return Bernoulli(t)", "--seed", "1"]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith("<command line>     exact    seed 1") and "runs" not in shown
    assert cli.main(["run", "-e", "param t = 1; z ~ Normal(t, 1); return t, z", "--seed", "1"]) == 0
    shown = capfd.readouterr().out
    assert "rarer" not in shown and shown.splitlines()[3].split()[:3] == ["t", "1", "exact"]


def test_the_json_says_it_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["grad", "-e", "param t = 1; z ~ Normal(t, 1); return z", "--json", "-n", "100"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["gradient"]["t"]["se"] == 0 and "all_equal" not in answer and answer["samples"] == 100
