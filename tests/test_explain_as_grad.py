"""`explain` against `grad`: the estimator that a run really uses is the one that was named, or one of those to be measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import probrun
from probrun.cli import main

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.prob"))
BITS = "param theta in (0, 1) = 0.3\n" + "".join(f"b{i} ~ Bernoulli(theta)\n" for i in range(100)) + "return exp((" + " + ".join(
    f"b{i}" for i in range(100)
) + ")/10)\n"
LOOP = "data k = 5; param theta = 0.3; s = 0; for i in range(k) { b ~ Bernoulli(theta); s = s + b }; return s^2"
KINK = LOOP.replace("return s^2", "return max(s*theta, 1)^2")  # a derivative over a kink keeps lanes apart
DIGITS = LOOP.replace("s = s + b", "s = 2*s + b")  # no two ways lead to the same state
SIZED = "data t[n] = [1, 0, 1]; param theta = 0.3; b ~ Bernoulli(theta*ones(n)); return sum(b*t)^2"
PROGRAMS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (BITS, {}, {}), (LOOP, {}, {}), (LOOP, {}, {"k": 50}), (KINK, {}, {"k": 50}), (DIGITS, {}, {"k": 50}),
    (SIZED, {}, {}), (SIZED, {}, {"t": [1.0] * 40}),
    ("b ~ Bernoulli(theta*ones(100)); return mean(b)^2", {"theta": 0.3}, {}),
    ("b ~ Bernoulli(theta + 0*arange(100)); return mean(b)^2", {"theta": 0.3}, {}),
    ("k ~ Categorical([theta, 1]); x ~ Normal(3*k, 1); y = x^2", {"theta": 1.0}, {}),
    ("x ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(x)); return b*x", {"theta": 0.3}, {}),
    ("fn f(n) { b ~ Bernoulli(theta); if n < 1 { return b }; return b + f(n - 1) }; return f(12)^2", {"theta": 0.3}, {}),
    ("n ~ Binomial(5000, theta); return n^2/1e6", {"theta": 0.3}, {}),
    ("n ~ Binomial(50, theta); m ~ Binomial(n, theta); return m^2", {"theta": 0.3}, {}),
    ("x ~ Normal(theta, 0.1); y = 1/x", {"theta": 3.0}, {}),
    ("x ~ Normal(theta, 1); y ~ Normal(x, 1); return (y > 0)*x", {"theta": 0.3}, {}),
]


def agree(program: probrun.Program, parameters: dict[str, Any], data: dict[str, Any], **options: Any) -> None:
    seen = program.explain(parameters, data=data, **options)
    used = program.grad(parameters, data=data, seed=1, **options)
    for foreseen, site in zip(seen, used.sites, strict=True):
        assert site.estimator in foreseen.among, (site.name, options)
        assert len(foreseen.among) > 1 or foreseen.among == (foreseen.estimator,)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("samples", [200, 10_000])
def test_examples(path: Path, samples: int) -> None:
    program = probrun.load(path)
    for options in ({}, {"pilot": False}, {"unbiased": True}):
        agree(program, {}, {}, samples=samples, **options)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs(number: int) -> None:
    text, parameters, data = PROGRAMS[number]
    program = probrun.parse(text)
    for options in ({}, {"pilot": False}, {"samples": 300}, {"max_lanes": 64}):
        agree(program, parameters, data, **options)


def answer(call: Any, *arguments: str) -> Any:
    status, shown, _ = call(*arguments)
    assert status == 0
    return json.loads(shown)


@pytest.mark.parametrize(("text", "options"), [(BITS, ()), (LOOP, ("-d", "k=50")), (SIZED, ("-d", "t=[1,0,1,1,0,1]"))])
def test_from_outside(text: str, options: tuple[str, ...], call: Any) -> None:
    """The JSON of both commands, with the same options."""
    seen = answer(call, "explain", "-e", text, "--json", *options)["sites"]
    used = answer(call, "grad", "-e", text, "--json", "--seed", "1", *options)["sites"]
    assert [site["name"] for site in seen] == [site["name"] for site in used]
    assert all(there["estimator"] in named["among"] for named, there in zip(seen, used, strict=True))
    assert {"name", "line", "column", "distribution", "estimator", "biased", "reason", "among"} <= set(seen[0])


def test_values_count_the_outcomes() -> None:
    def among(text: str, **given: Any) -> set[str]:
        return set(probrun.parse(text).explain(**given)[0].among)

    assert among(LOOP) == {"enumerate"}  # 2^5 outcomes: the exact answer is certain
    assert among(KINK, data={"k": 50}) == {"score", "gumbel", "fork"}  # 2^50: it is out of reach
    assert "enumerate" in among(LOOP, data={"k": 12})  # 4096 lanes: it is tried
    assert among(SIZED) == {"enumerate"} and among(SIZED, data={"t": [1.0] * 40}) == {"score", "gumbel", "fork"}
    assert among("n ~ Binomial(k, theta); return n^2", parameters={"k": 3, "theta": 0.3}) == {"enumerate"}
    assert among("n ~ Binomial(k, theta); return n^2", parameters={"k": 1_000_000, "theta": 0.3}) == {"score", "fork"}


@pytest.mark.parametrize(("text", "exact"), [(LOOP, True), (DIGITS, False)], ids=["51 states", "2^50 states"])
def test_how_many_states_there_are_only_a_run_can_tell(text: str, exact: bool) -> None:
    """50 coins have 2^50 outcomes; what is left where equal states are one may be few: then E[s^2]' is 50 (1 - 2 p) + 2 50^2 p."""
    program = probrun.parse(text)
    (foreseen,) = program.explain(data={"k": 50})
    result = program.grad(data={"k": 50}, samples=2000, seed=1)
    assert set(foreseen.among) == {"enumerate", "score", "gumbel", "fork"} and foreseen.foreseen.exact == "first"
    assert result.exact == exact and (result.sites[0].estimator == "enumerate") == exact
    if exact:
        assert float(result.gradient["theta"].mean) == pytest.approx(50 * 0.4 + 2 * 50**2 * 0.3, rel=1e-12)


def test_a_hundred_bits_are_not_said_to_be_enumerated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-e", "b ~ Bernoulli(theta + 0*arange(100)); return mean(b)^2"]) == 0
    out = capsys.readouterr().out
    assert "measured   score, gumbel, fork: grad tries them on a pilot" in out and "too many outcomes: 2^100" in out
    assert "nothing was run" in out and "by order   score" in out
    assert main(["explain", "-e", "b ~ Bernoulli(theta + 0*arange(100)); return mean(b)^2", "--no-pilot"]) == 0
    assert "chosen     score" in capsys.readouterr().out


def test_bad_names_are_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-e", LOOP, "-p", "thta=1"]) == 1
    assert "did you mean `theta`?" in capsys.readouterr().err
    assert main(["explain", "-e", LOOP, "-d", "theta=1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "P0603"


def test_torch_is_not_loaded() -> None:
    code = "import sys, probrun.cli; probrun.cli.execute(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "explain", "-", "-d", "k=50", "-p", "theta=0.2"], input=LOOP, text=True, capture_output=True,
        timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_long_program_is_explained_quickly() -> None:
    lines = [f"b{i} ~ Bernoulli(theta); x{i} ~ Normal(theta*b{i}, 1)" for i in range(60)]
    program = probrun.parse("; ".join(lines) + "; return exp((" + " + ".join(f"x{i}*b{i}" for i in range(60)) + ")/60)")
    begun = time.perf_counter()
    assert len(program.explain({"theta": 0.3})) == 120
    assert time.perf_counter() - begun < 10
