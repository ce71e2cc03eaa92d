"""Fits from outside: parameters within 4 reported standard errors of the truth, errors that are small enough, and honest ends."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import probrun
from probrun.cli import main

MOST = 4.0  # reported standard errors


def fitted(text: str, **options: Any) -> Any:
    return probrun.parse(text).fit(seed=options.pop("seed", 1), **options)


def close(result: Any, name: str, truth: float, least: float) -> None:
    """`least`: the standard error must be below that, or a wrong answer would not be seen."""
    found = result.parameters[name]
    assert result.converged, result.reason
    assert float(found.se) <= least
    assert abs(float(found.value) - truth) <= MOST * float(found.se) + 1e-6


def test_a_parabola_of_a_normal() -> None:
    result = fitted("param theta = 0\nz ~ Normal(theta, 2)\nreturn (z - 3)^2\n", minimize=True)
    close(result, "theta", 3, 0.05)
    assert result.optimizer == "lbfgs" and abs(result.value[0] - 4) < 5 * result.value[1]


def test_an_exact_objective_has_no_noise() -> None:
    text = "param p in (0, 1) = 0.2\nb ~ Bernoulli(p)\nc ~ Bernoulli(p)\nreturn (b + c - 1)^2 - 0.6*b\n"
    result = fitted(text, minimize=True)
    close(result, "p", 0.65, 0.0)
    assert result.exact and float(result.parameters["p"].se) == 0


def test_a_newsvendor_with_its_kink() -> None:
    result = fitted("param q = 60\nd ~ Normal(50, 10)\nreturn 3*min(q, d) - q\n", maximize=True)
    close(result, "q", 50 + 10 * 0.430727299295458, 0.2)


def test_a_kink_on_whole_numbers() -> None:
    result = fitted("param q = 60\nd ~ Poisson(50)\nreturn 3*min(q, d) - q\n", maximize=True)
    assert result.converged and abs(float(result.parameters["q"].value) - 53) < 0.05


def test_a_step_by_score() -> None:
    text = "param l in (0, 10) = 2\nx ~ Exponential(l)\nreturn (if x > 0.5 then 1 else 0) + 0.2*l\n"
    result = fitted(text, minimize=True)
    close(result, "l", 2 * math.log(2.5), 0.2)  # exp(-l/2)/2 = 0.2
    assert result.optimizer == "adam"


def test_a_simplex() -> None:
    text = "param w[3] in simplex = [0.2, 0.3, 0.5]\ndata c[3] = [5, 3, 2]\nreturn sum(c*log(w))\n"
    result = fitted(text, maximize=True)
    assert [round(float(entry), 4) for entry in result.parameters["w"].value] == [0.5, 0.3, 0.2]


def test_evidence_of_a_hidden_markov_chain_with_its_curvature() -> None:
    text = (Path(__file__).parent.parent / "examples" / "hidden_markov.prob").read_text()
    result = fitted(text, maximize="evidence")
    at = float(result.parameters["a"].value)
    values = [float(probrun.parse(text).grad({"a": a}, of="evidence").value.mean) for a in (at - 0.01, at, at + 0.01)]
    assert values[1] > max(values[0], values[2])
    sd = (-(values[0] - 2 * values[1] + values[2]) / 1e-4) ** -0.5
    assert result.parameters["a"].sd is not None and float(result.parameters["a"].sd) == pytest.approx(sd, rel=0.05)


def test_a_guide_by_hand() -> None:
    text = "param m = 0\nparam s in (0, inf) = 1\nz ~ Normal(0, 1) via Normal(m, s)\nobserve 1.3 ~ Normal(z, 1)\nreturn z\n"
    result = fitted(text, maximize="elbo")
    close(result, "m", 0.65, 0.02)
    close(result, "s", math.sqrt(0.5), 0.02)
    assert abs(result.value[0] - (-math.log(4 * math.pi) / 2 - 1.3**2 / 4)) < 0.001


def test_observations_alone_are_made_likely() -> None:
    result = fitted("param m = 0\ndata y[n]\nobserve y ~ Normal(m, 1)\n", data={"y": [0.5, 1.5, 2.5, -0.5]})
    close(result, "m", 1.0, 0.0)
    assert result.maximized and float(result.parameters["m"].sd) == pytest.approx(0.5, rel=1e-3)


def test_only_some_parameters_move() -> None:
    result = fitted("param a = 1\nparam b = 2\nreturn (a - 3)^2 + (b - 5)^2\n", minimize=True, only="a")
    assert result.fitted == ("a",) and float(result.parameters["b"].value) == 2
    close(result, "a", 3, 0.0)


@pytest.mark.parametrize(("text", "words"), [
    ("param a = 1\nreturn exp(a)\n", "the gradient is 0"),  # runs down a slope that ends nowhere
    ("param a = 1\nreturn a\n", "runs away"),
])
def test_where_there_is_no_optimum(text: str, words: str) -> None:
    result = fitted(text, minimize=True)
    assert words in result.reason
    assert words != "runs away" or not result.converged


def test_an_edge_is_named() -> None:
    result = fitted("param p in (0, 1) = 0.5\nb ~ Bernoulli(p)\nreturn b\n", maximize=True)
    assert result.edges == ("p",) and "edge" in result.reason


def test_too_few_steps_are_said() -> None:
    result = fitted("param theta = 0\nz ~ Normal(theta, 2)\nreturn (z - 3)^4\n", minimize=True, steps=1)
    assert not result.converged and "1 step" in result.reason


@pytest.mark.parametrize(("options", "code"), [
    ({}, "P0604"), ({"minimize": True, "maximize": True}, "P0604"), ({"minimize": True, "only": "q"}, "P0604"),
    ({"minimize": True, "optimizer": "newton"}, "P0604"), ({"minimize": "nobody"}, "P0607"),
])
def test_what_cannot_be_asked(options: dict[str, Any], code: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        fitted("param a = 1\ny = a^2\nreturn y\n", **options)
    assert caught.value.code == code


@pytest.mark.parametrize(("text", "code"), [
    ("param a = 1\nreturn a, a^2\n", "P0609"), ("param a = 1\nreturn [a, a^2]\n", "P0609"),
    ("param a[2] in simplex = [1, 0]\nreturn sum(a^2)\n", "P0610"),
])
def test_programs_that_cannot_be_fitted(text: str, code: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        fitted(text, minimize=True)
    assert caught.value.code == code


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "a.prob"
    program.write_text("param a = 1\nz ~ Normal(a, 1)\ny = (z - 2)^2\nreturn y\n")
    saved, lines, picture = (str(tmp_path / name) for name in ("fit.json", "fit.jsonl", "fit.png"))
    assert main(["fit", str(program), "--minimize", "--seed", "1", "--save", saved, "--history", lines, "--plot", picture]) == 0
    assert "converged" in capsys.readouterr().out
    found = json.loads(Path(saved).read_text())
    assert abs(found["parameters"]["a"] - 2) < 4 * found["se"]["a"]
    assert all(json.loads(line)["runs"] > 0 for line in Path(lines).read_text().splitlines())
    assert Path(picture).stat().st_size > 1000
    assert main(["grad", str(program), "-p", f"@{saved}", "--seed", "1"]) == 0
    assert main(["fit", str(program), "--minimize", "--resume", saved, "--seed", "2", "--json"]) == 0
    capsys.readouterr()
    assert main(["fit", str(program), "--minimize", "--steps", "1", "--tolerance", "1e-12", "-p", "a=50", "--optimizer", "adam"]) == 3
    assert "did not converge" in capsys.readouterr().err


def test_an_interruption_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watch(step: Any) -> None:
        seen.append(step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    text = "param l in (0, 10) = 2\nx ~ Exponential(l)\nreturn (if x > 0.5 then 1 else 0) + 0.2*l\n"
    result = fitted(text, minimize=True, callback=watch)
    assert result.interrupted and not result.converged and len(result.history) == 3


def test_time_that_is_over() -> None:
    text = "param l in (0, 10) = 2\nx ~ Exponential(l)\nreturn (if x > 0.5 then 1 else 0) + 0.2*l\n"
    result = fitted(text, minimize=True, max_time=0.2, steps=100_000)
    assert not result.converged and "time" in result.reason
