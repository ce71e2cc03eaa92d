"""Sweeps, parts, traces and profiles, from the outside: through the command line, against the same runs made at once."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

import probrun
from probrun import options
from probrun.cli import main

PROGRAM = "param theta = 0.5\nx ~ Normal(theta, 1)\nb ~ Bernoulli(sigmoid(theta*x))\nz = x^2 + b\nreturn z\n"
WEIGHED = "param m = 0.5\nx ~ Normal(m, 1)\nobserve 1.2 ~ Normal(x, 0.5)\nreturn x\n"
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.prob"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("q.prob").write_text(PROGRAM)
    Path("w.prob").write_text(WEIGHED)
    return tmp_path


def rows_of(name: str) -> list[dict[str, str]]:
    with open(name, newline="") as stream:
        return list(csv.DictReader(stream))


SWEEP = ("sweep", "q.prob", "--grid", "theta=-1:1:5", "-n", "2000", "--seed", "4")


def test_a_sweep_has_the_gradient_at_every_point(folder: Path) -> None:
    assert main([*SWEEP, "-o", "o.csv"]) == 0
    rows = rows_of("o.csv")
    assert [float(row["theta"]) for row in rows] == [-1, -0.5, 0, 0.5, 1]
    for row in rows:
        exact = probrun.parse(PROGRAM).grad({"theta": float(row["theta"])}, samples=200_000, seed=1).gradient["theta"]
        se = float(row["se dE[z]/dtheta"])
        assert 0.01 < se < 0.1 and abs(float(row["dE[z]/dtheta"]) - float(exact.mean)) < 5 * (se**2 + float(exact.se) ** 2) ** 0.5


def test_a_killed_sweep_goes_on(folder: Path) -> None:
    assert main([*SWEEP, "-o", "o.csv"]) == 0
    whole = Path("o.csv").read_text()
    lines = whole.splitlines(keepends=True)
    Path("o.csv").write_text("".join(lines[:3]) + lines[3][:20])
    assert main([*SWEEP[:-2], "-o", "o.csv"]) == 0  # the seed is found in the table
    assert Path("o.csv").read_text() == whole


def test_shards_of_a_sweep_make_the_whole(folder: Path) -> None:
    assert main([*SWEEP, "-o", "o.csv"]) == 0
    for part in ("1", "2"):
        assert main([*SWEEP, "--shard", f"{part}/2", "-o", f"{part}.csv"]) == 0
    assert main(["merge", "2.csv", "1.csv", "-o", "all.csv"]) == 0
    assert Path("all.csv").read_text() == Path("o.csv").read_text()
    assert main(["merge", "1.csv", "1.csv"]) == 1


def test_another_sweep_is_not_gone_on_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SWEEP, "-o", "o.csv"]) == 0
    assert main([*SWEEP, "-o", "o.csv", "-n", "3000"]) == 1
    assert "P0614" in capsys.readouterr().err


def test_a_point_without_an_answer_is_a_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "param p in (0, 1) = 0.5\nb ~ Bernoulli(p)\nreturn b\n"
    assert main(["sweep", "-e", text, "--grid", "p=0:1:3", "-o", "o.jsonl"]) == 3
    rows = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert [row.get("code") for row in rows] == ["P0605", None, "P0605"]
    assert rows[1]["dE[b]/dp"] == 1.0


def test_common_numbers(folder: Path) -> None:
    text = "param t = 0.5\nx ~ Normal(t, 1)\nreturn x\n"
    points = probrun.parse(text).sweep({"t": [0.0, 1.0]}, common=True, samples=1000, seed=3)
    values = [float(point.result.value.mean) for point in points if point.result is not None]
    assert abs(values[1] - values[0] - 1) < 1e-5


@pytest.mark.parametrize("grid", ["theta", "theta=", "theta=0:1", "theta=a", "theta=0:1:0", "theta=0:1:3:log", "phi=1", "theta=nan"])
def test_wrong_grids_are_told(folder: Path, grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "q.prob", "--grid", grid]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- parts
def numbers(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {key: found[key] for key in ("value", "gradient", "evidence", "samples") if key in found}


def close(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return set(one) == set(other) and all(close(one[key], other[key]) for key in one)
    return abs(one - other) <= 1e-9 * abs(other)


@pytest.mark.parametrize("program", ["q.prob", "w.prob"])
def test_shares_give_what_one_call_gives(folder: Path, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("grad", program, "-n", "200000", "--seed", "3")
    for part in ("1", "2"):
        assert main([*asked, "--shard", f"{part}/2", "--save", f"{part}.json"]) == 0
    assert close(numbers(capsys, "merge", "1.json", "2.json"), numbers(capsys, *asked))


def test_parts_of_other_seeds_are_joined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("1", "2", "5"):
        assert main(["grad", "q.prob", "-n", "20000", "--seed", seed, "--save", f"{seed}.json"]) == 0
    assert main(["merge", "1.json", "2.json", "-o", "two.json"]) == 0
    assert numbers(capsys, "merge", "two.json", "5.json") == numbers(capsys, "merge", "1.json", "2.json", "5.json")
    assert main(["merge", "two.json", "2.json"]) == 1


def test_what_does_not_belong_together_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def part(name: str, *words: str) -> None:
        assert main(["grad", *words, "-n", "1000", "--save", name]) == 0

    part("a.json", "q.prob", "--seed", "1")
    Path("same.prob").write_text("# a comment\n" + PROGRAM.replace("x^2 + b", "(x^2)  +  b"))
    part("same.json", "same.prob", "--seed", "2")
    assert main(["merge", "a.json", "same.json"]) == 0
    part("again.json", "q.prob", "--seed", "1")
    part("theta.json", "q.prob", "--seed", "2", "-p", "theta=0.6")
    part("other.json", "w.prob", "--seed", "2")
    part("wide.json", "q.prob", "--seed", "2", "--dtype", "float64")
    for name in ("again", "theta", "other", "wide"):
        capsys.readouterr()
        assert main(["merge", "a.json", f"{name}.json"]) == 1
        assert "P0614" in capsys.readouterr().err, name
    Path("bad.json").write_text("{}")
    assert main(["merge", "bad.json"]) == 1


# ---------------------------------------------------------------------------------------------- looking inside
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_traced_in_80_columns(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(path), "-n", "50", "--seed", "1", "--run", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines[1:])
    assert any(line[4:].strip().startswith("return") for line in lines) and len(lines) < 120


def test_a_traced_run_is_the_run_of_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (0, 7, 30_000):
        draw = float(probrun.parse(PROGRAM).run(samples=40_000, seed=3).draws["z"][place])
        assert main(["trace", "q.prob", "-n", "40000", "--seed", "3", "--run", str(place)]) == 0
        assert float(capsys.readouterr().out.split()[-1]) == pytest.approx(draw, rel=1e-5)
    assert main(["trace", "q.prob", "--where", "z > 8 and b == 0", "--seed", "1"]) == 0
    assert float(capsys.readouterr().out.split()[-1]) > 8


def test_a_run_that_fails_shows_what_was_before(capsys: pytest.CaptureFixture[str]) -> None:
    text = "param t = 1\nx ~ Normal(t, 1)\ny = [1, 2]\nz = y[x - x + 5]\nreturn z\n"
    assert main(["trace", "-e", text, "--seed", "1"]) == 1
    found = capsys.readouterr()
    assert "x = " in found.out and "P03" in found.err


FAILING = "x ~ Normal(1, 1)\nu = x + 1\nif u > 3 {\n  k = 2\n}\n"


@pytest.mark.parametrize("last", ["y = log(x - 100)", "v = [1, 2]\ny = v[floor(abs(x))]"], ids=["at the end", "on the way"])
def test_what_is_there_before_a_failure_is_shown(last: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-e", FAILING + last, "--of", "x,u", "--seed", "1"]) == 1
    out, err = capsys.readouterr()
    rows = {words[0]: words[1:] for line in out.splitlines() if len(words := line.split()) == 8}
    assert err.startswith("error[P0") and set(rows) == {"x", "u"}
    assert rows["x"][0] == "10000" and abs(float(rows["x"][1]) - 1) < 0.05
    assert abs(float(rows["u"][4]) - 2) < 0.06
    assert main(["run", "-e", FAILING + last, "--of", "x,u", "--seed", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["line"] == 6 + last.count("\n")
    assert main(["trace", "-e", FAILING + last, "--where", "u > 4 and x < 3.5", "--seed", "1"]) in (0, 1)
    (found,) = [line for line in capsys.readouterr().out.splitlines() if " u = " in line and "u = x + 1" in line]
    assert 4 < float(found.rsplit("= ", 1)[1]) < 4.5


def test_an_unknown_variable_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-e", FAILING + "y = x", "--of", "k", "--seed", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "P0607" in err


def test_a_profile_names_the_slow_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "x ~ Normal(0, 1)\ny = 0\nfor t in range(300) {\n  y = y*0.5 + sin(cos(x + y)) + 0*cos(x)*sin(x)\n}\nreturn x + y\n"
    assert main(["profile", "-e", text, "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "line 4 takes most" in out and max(map(len, out.splitlines())) <= 80


def test_single_runs_are_written(folder: Path) -> None:
    assert main(["run", "q.prob", "-n", "300", "--seed", "1", "--draws", "d.csv"]) in (0, 3)
    assert main(["grad", "q.prob", "-n", "300", "--seed", "1", "--per-run", "g.npz"]) in (0, 3)
    draws = probrun.parse(PROGRAM).run(samples=300, seed=1).draws["z"]
    assert [float(row["z"]) for row in rows_of("d.csv")] == pytest.approx(draws.tolist())
    assert numpy.load("g.npz")["theta"].shape == (300,)
    assert main(["run", "q.prob", "-n", "300", "--draws", "d.doc"]) == 2


def test_where_is_refused_of_runs_that_are_resampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "w.prob"
    file.write_text("x ~ Normal(0, 1)\nobserve 1 ~ Normal(x, 1)\nreturn x\n")
    assert main(["trace", str(file), "--where", "x > 1"]) == 1
    assert "resampled" in capsys.readouterr().err


def test_parts_are_not_made_by_processes_that_share_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = options.run_options(1000, 1, None, "cpu", None)
    with pytest.raises(probrun.ProbError, match="share one job"):
        options.sharing(run, True, (1, 1))


def test_a_picture_of_a_sweep_needs_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "w.prob"
    file.write_text("param t = 0.5\nx ~ Normal(t, 1)\nreturn x\n")
    assert main(["sweep", str(file), "--grid", "t=0:1:3", "--plot", str(tmp_path / "s.png")]) == 2
    assert "-o sweep.csv" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["@p.toml", "p.toml"])
def test_parameters_from_a_file(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.prob").write_text("param t = 0.5\nx ~ Normal(t, 1)\nreturn t*x\n")
    Path("p.toml").write_text("t = 3\n")
    assert main(["grad", "w.prob", "-p", named, "--seed", "1", "--json"]) == 0
    assert abs(json.loads(capsys.readouterr().out)["gradient"]["t"]["mean"] - 6) < 0.2


@pytest.mark.parametrize("words", [
    ("grad", "q.prob", "--save"), ("grad", "q.prob", "--per-run"), ("run", "q.prob", "--draws"), ("merge", "p.json", "-o"),
    ("sweep", "q.prob", "--grid", "theta=0:1:3", "-o"), ("fit", "q.prob", "--minimize", "--save"),
    ("fit", "q.prob", "--minimize", "--history"), ("vi", "w.prob", "--save"),
], ids=" ".join)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_made(
    folder: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("there.csv").mkdir()
    Path("p.json").write_text("{}")
    for place in ("there.csv", "nowhere/x.csv"):
        assert main([*words, place]) == 2
        found = capsys.readouterr()
        assert found.out == "" and ("is a folder" in found.err or "cannot be written" in found.err)


@pytest.mark.parametrize(("grid", "said"), [
    ("theta=0:1:1e9", "more than 10000000 points"), ("theta=1,,2", "a value is missing"), ("v[0]=0:1:2", "is an entry of `v`"),
])
def test_what_is_wrong_with_a_grid_is_said(grid: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "-e", "param theta = 1; param v[2] = 0; x ~ Normal(theta, 1); return x + sum(v)", "--grid", grid]) == 1
    assert said in capsys.readouterr().err


def test_a_sweep_that_cannot_be_anywhere_leaves_no_rows(folder: Path) -> None:
    assert main([*SWEEP, "--estimator", "nothing", "-o", "o.csv"]) == 1
    assert not Path("o.csv").exists() or Path("o.csv").read_text() == ""
    assert main([*SWEEP, "-o", "o.xlsx"]) == 2 and not Path("o.xlsx").exists()


def test_a_standard_error_that_is_not_known_is_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SWEEP, "-n", "1", "-o", "o.csv", "--plot", "o.png"]) in (0, 3)
    assert all(row["se E[z]"] == "" and float(row["E[z]"]) >= 0 for row in rows_of("o.csv"))
    capsys.readouterr()
    assert main([*SWEEP, "-n", "1", "--json"]) in (0, 3)
    assert all(json.loads(line)["se E[z]"] is None for line in capsys.readouterr().out.splitlines())


WAYS = "x ~ Normal(0, 1) via Normal(1, 2)\nfactor -x\nobserve x > 0\nobserve 1 ~ Normal(x, 1)\nreturn x, x^2\n"


def test_a_trace_shows_weights_and_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    ends = {"holds": 0, "does not hold: the run ends": 0}
    for run in range(8):
        assert main(["trace", "-e", WAYS, "--seed", "1", "--run", str(run)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(character.isprintable() for line in lines for character in line)
        (condition,) = [line for line in lines if "observe x > 0" in line]
        ends[condition[50:].strip()] += 1
        assert sum("log weight = " in line for line in lines) == (3 if "holds" in condition else 2)
        last = [line for line in lines if "return" in line]
        assert len(last) == ("holds" in condition) and all(line.count(", ") == 2 for line in last)  # the result, not the weight
    assert min(ends.values()) > 0


def test_rounds_that_are_made_at_once_are_in_their_loop(capsys: pytest.CaptureFixture[str]) -> None:
    text = "s = 0\nfor i in range(30) {\n  x ~ Normal(1, 1)\n  s = s + exp(x)\n}\nreturn s\n"
    assert main(["trace", "-e", text, "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "30 rounds, all at once" in out and "   3    x ~ Normal" in out
    assert main(["trace", "-e", text, "--seed", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["line"] for entry in found["events"]] == [1, 2, 6]
    (inner,) = found["events"][1]["entered"]
    assert len(inner["events"][0]["value"]) == 30 and inner["events"][1]["value"] == found["events"][2]["value"][0]


@pytest.mark.parametrize("command", ["trace", "profile"])
@pytest.mark.parametrize("option", [("--plot", "x.png"), ("--target-se", "0.1")], ids=["plot", "target-se"])
def test_what_means_nothing_when_looking_inside_is_refused(folder: Path, command: str, option: tuple[str, str]) -> None:
    assert main([command, "q.prob", *option]) == 2


def test_what_is_only_rounded_has_no_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grad", "-e", "param t = 0.7; z ~ Normal(0, 1); y = t*exp(z)/exp(z)", "--seed", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("  E[y]", "  d/dt"))]
    assert [row[1] for row in rows] == ["0.7", "1"] and all(float(row[2]) < 1e-14 and row[3] == "-" for row in rows)


@pytest.mark.parametrize("axes", [None, 5, "theta", {"theta": 5}, {"theta": "ab"}, {"theta": []}, {}, [], [{"theta": 1}, {"x": 2}], [1, 2]], ids=repr)
def test_points_that_are_none_are_refused(axes: Any) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse(PROGRAM).sweep(axes, samples=10)
    assert caught.value.code == "P0604"


@pytest.mark.parametrize("given", [5, [1.0], "theta"], ids=repr)
def test_values_without_names_are_refused(given: Any) -> None:
    for call in ({"parameters": given}, {"data": given}):
        for name in ("grad", "run", "compare", "explain", "expectation", "fit", "vi"):
            with pytest.raises(probrun.ProbError) as caught:
                getattr(probrun.parse(WEIGHED), name)(**call)
            assert caught.value.code == "P0604", name


SCRIPT = (Path(__file__).parent.parent / "docs" / "distributed.md").read_text().split("#!/bin/bash", 1)[1].split("```")[0]


def test_the_job_script_of_the_documents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As an array of two jobs of a few runs, in the shell; merged, it is one call."""
    assert "--array=1-1000" in SCRIPT and "1e12" in SCRIPT
    Path("model.prob").write_text(PROGRAM)
    Path("job.sh").write_text(SCRIPT.replace("/1000", "/2").replace("1e12", "1e5"))
    Path("probrun").write_text(f'#!/bin/sh\nexec {sys.executable} -m probrun "$@"\n')
    Path("probrun").chmod(0o755)
    for number in ("1", "2"):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": number, "PATH": f"{folder}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-eu", "job.sh"], env=environment, check=True, timeout=100)
    whole = numbers(capsys, "grad", "model.prob", "-n", "1e5", "--seed", "1")
    found = numbers(capsys, "merge", "part1.json", "part2.json")
    assert found["samples"] == 100_000 and close(found["gradient"], whole["gradient"])
