"""`probrun compare`, finite differences and `grad --verify`, against closed forms."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import probrun
from probrun.cli import main
from probrun.runtime.blocks.settings import Settings
from probrun.runtime.estimates.differences import finite_differences
from probrun.runtime.estimates.oracle import answer

STEP = "x ~ Normal(theta, 1); y = x > 0"


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


# ---------------------------------------------------------------------------------------------------- compare
def test_rows_and_reference() -> None:
    table = probrun.parse("x = 2*Bernoulli(3*theta) + Bernoulli(theta)").compare({"theta": 0.1}, samples=20_000, seed=0)
    rows = {row.label: row for row in table.rows}
    assert next(iter(rows)) == "enumerate" and table.table.reference == "enumerate"
    assert {"score", "score regression", "score no credit", "gumbel tau=0.1", "gumbel tau=0.5"} < set(rows)
    assert rows["enumerate"].exact and rows["enumerate"].bias is None and rows["enumerate"].error == 0
    assert [row.label for row in table.rows if row.chosen] == ["enumerate"]
    for label, row in rows.items():
        gradient = row.gradient["x"]["theta"]
        if row.bias is not None:
            off = row.bias["x"]["theta"]
            assert float(off.mean) == pytest.approx(float(gradient.mean) - 7, abs=1e-9)
            assert float(off.sd) == pytest.approx(float(off.mean) / float(gradient.se), rel=1e-6)
        if label.startswith("score"):
            assert abs(float(gradient.mean) - 7) < 5 * float(gradient.se) and not row.biased
    warm = rows["gumbel tau=0.5"]
    assert warm.biased and abs(float(warm.gradient["x"]["theta"].mean) - 6.55) < 0.2 and warm.error > 0.3


def test_wrong_ones_and_differences() -> None:
    table = probrun.parse(STEP).compare({"theta": 0.5}, samples=20_000, seed=0, include="rsample,finite-differences", steps=[1, 0.1])
    rows = {row.label: row for row in table.rows}
    wrong = rows["rsample, forced"]
    assert wrong.wrong and float(wrong.gradient["y"]["theta"].mean) == 0 and wrong.error == pytest.approx(phi(0.5), rel=0.05)
    for step in (1.0, 0.1):
        truth = (0.5 * math.erfc(-(0.5 + step) / 2**0.5) - 0.5 * math.erfc(-(0.5 - step) / 2**0.5)) / (2 * step)
        for label in (f"difference h={step:g}", f"difference h={step:g}, common"):
            moments = rows[label].gradient["y"]["theta"]
            assert abs(float(moments.mean) - truth) < 5 * float(moments.se)
    assert float(rows["difference h=0.1, common"].gradient["y"]["theta"].sd) < 0.5 * float(rows["difference h=0.1"].gradient["y"]["theta"].sd)


def test_what_is_right_is_not_called_wrong() -> None:
    table = probrun.parse("z ~ Normal(theta, 2); y = z^2").compare({"theta": 2}, samples=2000, seed=0, include="rsample")
    assert not any(row.wrong for row in table.rows)


def test_screen_json_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "compare.png"
    assert main(["compare", "examples/bernoulli.prob", "--seed", "0", "-n", "2000", "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "enumerate *" in out and "gumbel tau=0.1" in out and "exact" in out
    assert picture.stat().st_size > 10_000
    assert main(["compare", "examples/mixture.prob", "--json", "--seed", "0", "-n", "4000", "--include", "finite-differences"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["reference"] == answer["rows"][0]["estimator"] and answer["rows"][0]["chosen"]
    assert answer["warnings"] == []
    assert {"estimator", "gradient", "bias", "biased", "wrong", "seconds", "error", "error_at_equal_time"} < set(answer["rows"][1])
    assert set(answer["rows"][1]["bias"]["mu"]) == {"mean", "se", "z"} and len(answer["rows"][1]["bias"]["mu"]["z"]) == 3


def test_bad_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "examples/bernoulli.prob", "--include", "magic"]) == 1
    assert "finite-differences" in capsys.readouterr().err
    assert main(["compare", "examples/bernoulli.prob", "--include", "finite-differences", "--steps", "0"]) == 1
    assert main(["compare", "-e", "y = 3"]) == 1


# ----------------------------------------------------------------------------------------- finite differences
def test_differences_of_vectors_and_results() -> None:
    program = probrun.parse("param a[2] = [1, 2]; z ~ Normal(a, 1); s = sum(z^2); return s, z")
    found = finite_differences(program.resolved, {}, {}, Settings(samples=4000, seed=0, dtype="float64"), 0.1, common=True)
    s, z = found.gradient["s"]["a"], found.gradient["z"]["a"]
    assert s.mean.shape == (2,) and z.mean.shape == (2, 2)
    assert bool(((s.mean - torch.tensor([2.0, 4.0])).abs() <= 5 * s.se).all()) and float(s.se.max()) < 0.1
    assert torch.allclose(z.mean, torch.eye(2, dtype=torch.float64), atol=1e-9)


def test_differences_at_the_edge_are_one_sided() -> None:
    program = probrun.parse("b ~ Bernoulli(theta); y = b")
    found = finite_differences(program.resolved, {"theta": 1.0}, {}, Settings(samples=20_000, seed=0, dtype="float64"), 0.1, common=True)
    moments = found.gradient["y"]["theta"]
    assert abs(float(moments.mean) - 1) <= 5 * float(moments.se) < 0.3


# --------------------------------------------------------------------------------------------------- verify
ORACLE = [
    ("x = 2*Bernoulli(3*theta) + Bernoulli(theta)", 0.1, 7.0, "enumeration", 1e-9),
    ("z ~ Normal(theta, 2); y = theta^2*(z + 4)", 2.0, 28.0, "quadrature", 1e-8),
    (STEP, 0.5, phi(0.5), "quadrature", 2e-4),
    ("k ~ Poisson(theta); y = k^2", 3.0, 7.0, "quadrature", 1e-9),
    ("x ~ Exponential(theta); y = x", 2.0, -0.25, "quadrature", 1e-4),
    ("q ~ Beta(theta, 2); b ~ Bernoulli(q); y = b", 2.0, 0.125, "quadrature", 1e-6),
    ("x ~ Normal(theta, 1); if x > 0 { b ~ Bernoulli(0.5); y = b } else { y = x }", 0.0, 0.5 * phi(0) + 0.5, "quadrature", 2e-3),
    ("x ~ Uniform(0, theta); y = x", 2.0, 0.5, "differences", None),
    ("x = 0; for t in range(10) { x ~ Normal(x + theta, 1) }; y = x^2", 0.5, 100.0, "differences", None),
]


@pytest.mark.parametrize(("text", "theta", "truth", "method", "tolerance"), ORACLE, ids=[case[0] for case in ORACLE])
def test_oracle(text: str, theta: float, truth: float, method: str, tolerance: float | None) -> None:
    found_method, found = answer(probrun.parse(text).resolved, {"theta": theta}, {}, Settings(samples=20_000, seed=0))
    (moments,) = next(iter(found.values())).values()
    assert found_method == method
    assert abs(float(moments.mean) - truth) <= (5 * float(moments.se) if tolerance is None else tolerance)
    assert float(moments.se) < 0.1 * max(1, abs(truth))


def test_verify_passes_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grad", "examples/step.prob", "--verify", "--seed", "0"]) == 0
    assert "verified by quadrature: agrees" in capsys.readouterr().out
    wrong = ["grad", "examples/step.prob", "--verify", "--seed", "0", "--estimator", "x=rsample", "--allow-biased"]
    assert main(wrong) == 3
    streams = capsys.readouterr()
    assert "DISAGREES" in streams.out and "disagrees with the oracle" in streams.err
    assert main([*wrong, "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)["verified"]
    assert answer["method"] == "quadrature" and not answer["passed"] and abs(answer["gradient"]["theta"]["z"]) > 100
    assert main(["grad", "-e", "x = 2*Bernoulli(3*theta) + Bernoulli(theta)", "-p", "theta=0.1", "--verify", "--among", "gumbel"]) == 3


def test_verify_of_every_method() -> None:
    for text, theta, *_ in ORACLE:
        result = probrun.parse(text).grad({"theta": theta}, samples=5000, seed=4, verify=True, unbiased=True)
        assert result.check is not None and result.check.passed, text
