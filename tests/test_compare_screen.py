"""The screen of `compare`: which row the others are measured against, and which columns there are room for."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

import probrun
from probrun.cli import main

ROOT = Path(__file__).resolve().parent.parent
BERNOULLI = str(ROOT / "examples" / "bernoulli.prob")
BITS = "param theta in (0, 1) = 0.3; b ~ Bernoulli(theta + 0*arange(60)); return exp(2*mean(b))"
THREE_BY_TWO = """
param a = 0.4
param b = 1.5
param c = -0.7
k ~ Bernoulli(sigmoid(a))
x ~ Normal(b*k + c, 1)
y ~ Normal(x, 0.5)
return x*k, y^2
"""


def rows(call: Any, text: str, *options: str) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    status, shown, _ = call("compare", *([text] if text.endswith(".prob") else ["-e", text]), "--seed", "0", "--json", *options)
    assert status == 0
    answer = json.loads(shown)
    return answer, {row["estimator"]: row for row in answer["rows"]}


# -------------------------------------------------------------------------------------------------- reference
def test_a_biased_estimator_is_not_its_own_reference(call: Any) -> None:
    answer, found = rows(call, BERNOULLI, "--estimator", "gumbel(tau=0.9)")
    assert answer["reference"] == "enumerate" and set(found) == {"gumbel tau=0.9", "enumerate"}
    assert found["enumerate"]["added"] and found["enumerate"]["exact"] and "bias" not in found["enumerate"]
    biased = found["gumbel tau=0.9"]
    assert biased["chosen"] and biased["biased"] and not biased["added"]
    bias = biased["bias"]["theta"]  # type: ignore[index]
    assert bias["mean"] < -0.5 and bias["z"] < -10 and biased["error"] > 0.5  # type: ignore[operator]


@pytest.mark.parametrize("options", [("--estimator", "gumbel(tau=0.9)"), ("--among", "gumbel")])
def test_without_an_exact_one_the_best_unbiased_one_is_run_in_addition(options: tuple[str, str], call: Any) -> None:
    answer, found = rows(call, BITS, *options)
    reference = found[str(answer["reference"])]
    assert reference["added"] and not reference["biased"] and not reference["exact"] and reference["samples"] == 10_000
    assert all(row["biased"] for label, row in found.items() if label != answer["reference"])
    assert all("bias" in row for label, row in found.items() if label != answer["reference"])


def test_the_exact_answer_is_the_reference_of_unbiased_rows(call: Any) -> None:
    answer, found = rows(call, BERNOULLI, "--among", "score")
    assert answer["reference"] == "enumerate" and found["enumerate"]["added"]
    assert all("bias" in row for label, row in found.items() if label != "enumerate")


def test_nothing_is_added_where_an_exact_row_is_there(call: Any) -> None:
    answer, found = rows(call, BERNOULLI)
    assert answer["reference"] == "enumerate" and not any(row["added"] for row in found.values()) and len(found) == 8


def test_a_biased_estimator_in_the_program_text(call: Any) -> None:
    answer, found = rows(call, "param p = 0.3; b ~ Bernoulli(p) using gumbel; x ~ Normal(b, 1); return x^2 + b")
    assert not found[str(answer["reference"])]["biased"]
    assert any(row["biased"] for row in found.values())


# ---------------------------------------------------------------------------------------------------- columns
def at_width(columns: int, *arguments: str) -> str:
    """What a terminal of so many columns shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "probrun", "compare", *arguments], stdout=theirs, stderr=subprocess.DEVNULL, env=environment,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode().replace("\r\n", "\n")


def test_columns_are_chosen_by_width(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (BERNOULLI, "--seed", "0", "-n", "2000")
    narrow, middle, wide = (at_width(columns, *arguments) for columns in (80, 100, 200))
    for shown, columns in ((narrow, 80), (middle, 100), (wide, 200)):
        table = [line for line in shown.splitlines()[1:] if line]
        assert max(len(line) for line in table) <= columns
        assert "d/dtheta" in shown and "std. error" in shown and "bias" in shown
    assert "same time" not in narrow.split("bias:")[0] and "not shown at this width (--wide)" in narrow
    assert len(middle.splitlines()[2].split("  ")) >= len(narrow.splitlines()[2].split("  "))
    assert "same time" in wide.splitlines()[2] and "not shown" not in wide
    assert main(["compare", *arguments, "--wide"]) == 0
    piped = capsys.readouterr().out
    assert "same time" in piped.splitlines()[2] and "sd of a run" in piped and "not shown" not in piped
    assert main(["compare", *arguments]) == 0
    piped = capsys.readouterr().out
    assert max(len(line) for line in piped.splitlines()[1:]) <= 80 and "not shown at this width" in piped


def test_several_parameters_and_results_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Three parameters, two results, eight estimators."""
    path = tmp_path / "three.prob"
    path.write_text(THREE_BY_TWO)
    assert main(["compare", str(path), "--seed", "0", "-n", "2000", "--tau", "0.3"]) == 3
    lines = capsys.readouterr().out.splitlines()
    doubted = [line for line in lines if line.startswith("  ? score: P0702: few events")]
    assert len(doubted) == 1 and "score regression ?" in "\n".join(lines) and "(likewise score regression)" in " ".join(lines)
    assert max(len(line) for line in lines[1:]) <= 80
    heads = [line for line in lines if "estimator" in line and "std. error" in line]
    assert len(heads) == 4 and all(head.split()[1:3] != [] for head in heads)
    assert any("2 more entries of the gradient" in line for line in lines)
    assert len(probrun.parse(THREE_BY_TWO).compare(samples=500, seed=0, tau=0.3).rows) >= 8
