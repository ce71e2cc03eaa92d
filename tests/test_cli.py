"""The command line: exit statuses, what goes where, and JSON to the letter of the contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probrun import cli

ROOT = Path(__file__).resolve().parent.parent
REPARAM = "examples/reparam.prob"
STEP = "examples/step.prob"
ERROR_KEYS = {"code", "message", "file", "line", "column", "hint"}


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def subprocess_call(*arguments: str, stdin: bytes = b"", **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "probrun", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=ROOT, timeout=120, check=False, **options)


# ---------------------------------------------------------------------------------------------------- success
def test_grad_json_follows_the_contract(call) -> None:
    status, out, err = call("grad", REPARAM, "--json", "--seed", "0")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert list(answer) == [
        "program", "samples", "seed", "dtype", "device", "value", "gradient", "biased", "sites", "warnings", "seconds",
    ]
    assert answer["warnings"] == []
    assert answer["program"] == REPARAM
    assert (answer["samples"], answer["seed"], answer["dtype"], answer["device"]) == (10000, 0, "float32", "cpu")
    assert set(answer["value"]) == {"mean", "se"}
    assert set(answer["gradient"]["theta"]) == {"mean", "se", "sd"}
    assert abs(answer["gradient"]["theta"]["mean"] - 28) < 5 * answer["gradient"]["theta"]["se"]
    (site,) = answer["sites"]
    assert list(site) == ["name", "line", "column", "distribution", "estimator", "biased", "reason", "measured"]
    assert site["estimator"] == "rsample" and set(site["measured"]) == {"rsample", "score"}
    assert all(set(figures) == {"bias", "bias_se", "sd"} for figures in site["measured"].values())
    assert (site["name"], site["line"], site["column"]) == ("z", 3, 1)
    assert (site["distribution"], site["estimator"], site["biased"]) == ("Normal", "rsample", False)


def test_grad_screen(call) -> None:
    status, out, err = call("grad", REPARAM, "--seed", "0")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "examples/reparam.prob     10000 runs    seed 0    float32 on cpu"
    assert lines[2].split() == ["estimate", "std.", "error", "95", "%", "interval"]
    assert lines[3].startswith("  E[y]  ") and lines[4].startswith("  d/dtheta  ")
    assert lines[6].split() == ["site", "line", "distribution", "estimator", "why"]
    assert lines[7].split()[:5] == ["z", "3", "Normal(theta,", "2)", "rsample"]
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)


def test_same_seed_same_output(call) -> None:
    first = call("grad", "examples/branch.prob", "--seed", "3", "-n", "2000")
    assert first == call("grad", "examples/branch.prob", "--seed", "3", "-n", "2000")
    assert first != call("grad", "examples/branch.prob", "--seed", "4", "-n", "2000")


def test_a_random_seed_is_printed_and_can_be_repeated(call) -> None:
    first = json.loads(call("grad", STEP, "--json")[1])
    again = json.loads(call("grad", STEP, "--json", "--seed", str(first["seed"]))[1])
    assert first["gradient"] == again["gradient"]


def test_arrays_and_several_results(call) -> None:
    answer = json.loads(call("grad", "examples/two_results.prob", "--json", "--seed", "0")[1])
    assert set(answer["value"]) == set(answer["gradient"]) == {"total", "peak"}
    source = "param a[2] = [1, 2]; param b = 3; return [a[0], a[1], b] * b"
    answer = json.loads(call("grad", "-e", source, "--json")[1])
    assert answer["value"]["mean"] == [3, 6, 9]
    assert answer["gradient"]["a"]["mean"] == [[3, 0], [0, 3], [0, 0]]
    assert answer["gradient"]["b"]["mean"] == [1, 2, 6]
    assert answer["gradient"]["b"]["se"] == [0, 0, 0]
    status, out, _ = call("grad", "-e", source)
    assert status == 0 and "exact" in out and "d result[0]/da[1]" in out


def test_run(call) -> None:
    answer = json.loads(call("run", REPARAM, "--json", "--seed", "0")[1])
    assert set(answer["value"]) == {"mean", "se", "sd", "quantiles"}
    assert list(answer["value"]["quantiles"]) == ["5", "25", "50", "75", "95"]
    levels = list(answer["value"]["quantiles"].values())
    assert levels == sorted(levels)
    status, out, _ = call("run", REPARAM, "--seed", "0", "--of", "z")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[3:]] == ["y", "z"]


def test_run_needs_no_gradient(call) -> None:
    source = "param theta = 0.3; x ~ VonMises(theta, 1); y = x > theta; return y"
    assert call("grad", "-e", source)[0] == 1
    status, out, _ = call("run", "-e", source, "--json", "--seed", "0")
    assert status == 0 and abs(json.loads(out)["value"]["mean"] - 0.5) < 0.03


def test_of(call) -> None:
    answer = json.loads(call("grad", REPARAM, "--of", "z", "--json", "--seed", "0")[1])
    assert answer["gradient"]["theta"]["mean"] == 1


def test_explain_and_check(call) -> None:
    status, out, err = call("explain", STEP)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "x    line 2    x ~ Normal(theta, 1)"
    assert lines[1].startswith("     measured   score, jump: ") and lines[3].startswith("     by order   score ")
    assert any(line.startswith("     rejected   rsample ") for line in lines)
    assert any(line.startswith("     path       theta -> x -> ") for line in lines)
    assert lines[-1] == "1 site, 1 parameter; nothing was run"
    assert all(len(line) <= 80 for line in lines)
    sites = json.loads(call("explain", STEP, "--json")[1])["sites"]
    assert [site["estimator"] for site in sites] == ["score"]
    status, out, err = call("check", *sorted(str(path) for path in Path("examples").glob("*.prob")))
    assert (status, err) == (0, "")


def test_check_prints_every_problem_of_every_file(call, tmp_path: Path) -> None:
    first, second = tmp_path / "a.prob", tmp_path / "b.prob"
    first.write_text("param a = 1\ny = aa + 1\nz = bb\nreturn y\n")
    second.write_text("y = (1\n")
    status, out, err = call("check", str(first), REPARAM, str(second))
    assert (status, out) == (1, "")
    assert err.count("error[P0201]") == 2 and "b.prob" in err and "in 3 files" in err


def test_help(call) -> None:
    status, out, _ = call("help")
    assert status == 0 and "distributions" in out and "Normal" in out
    for topic in ("grad", "P0402", "p0402", "Normal", "clamp", "score", "while", "distributions", "codes"):
        status, out, err = call("help", topic)
        assert (status, err) == (0, "") and out.strip(), topic
        if topic != "P0402" and topic != "p0402":
            assert all(len(line) <= 80 for line in out.splitlines()), topic
    assert "Softmax" in call("help", "gumbel")[1] and "Gumbel(loc, scale)" in call("help", "Gumbel")[1]
    status, out, err = call("help", "Nromal")
    assert (status, out) == (2, "") and "did you mean Normal?" in err


def test_version(call) -> None:
    status, out, _ = call("--version")
    assert (status, out) == (0, "probrun 0.1.0\n")


# --------------------------------------------------------------------------------------------- values of options
def test_values_from_files(call, tmp_path: Path) -> None:
    import numpy

    source = "param m[d]; data x[n, d]; return sum(matmul(x, m))"
    table = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    numpy.save(tmp_path / "x.npy", numpy.array(table))
    (tmp_path / "x.json").write_text(json.dumps(table))
    (tmp_path / "x.csv").write_text("first,second\n" + "".join(f"{a},{b}\n" for a, b in table))
    (tmp_path / "m.csv").write_text("1\n1\n")
    for ending in ("npy", "json", "csv"):
        status, out, err = call(
            "grad", "-e", source, "-d", f"x=@{tmp_path}/x.{ending}", "-p", f"m=@{tmp_path}/m.csv", "--json"
        )
        assert (status, err) == (0, "")
        answer = json.loads(out)
        assert answer["value"]["mean"] == 21 and answer["gradient"]["m"]["mean"] == [9, 12]


@pytest.mark.parametrize("value", ["a=", "a=x", "a=null", "a={}", "a=[1, [2]]", 'a="1"', "a=[1,", "a=nan", "a=1e999"])
def test_values_that_cannot_be_read(call, value: str) -> None:
    status, out, err = call("grad", "-e", "param a = 1; return a", "-p", value, "--json")
    assert status == 1 and "Traceback" not in err
    assert json.loads(out)["error"]["code"] in ("P0604", "P0605")


@pytest.mark.parametrize(("name", "content"), [
    ("v.txt", b"1"), ("v.npy", b"nothing"), ("v.npy", b""), ("v.csv", b"1,2\n3\n"), ("v.csv", b"1,x\n"), ("v.csv", b""),
    ("v.json", b"\xff"), ("v.json", b"{}"),
])
def test_files_that_cannot_be_read(call, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    status, out, err = call("grad", "-e", "param a[2] = 1; return sum(a)", "-p", f"a=@{tmp_path / name}")
    assert (status, out) == (1, "") and err.startswith("error[P0604]")


def test_objects_in_npy_are_not_unpickled(call, tmp_path: Path) -> None:
    import numpy

    numpy.save(tmp_path / "v.npy", numpy.array([{}], dtype=object), allow_pickle=True)
    assert call("grad", "-e", "param a[1] = 1; return sum(a)", "-p", f"a=@{tmp_path}/v.npy")[0] == 1


# ---------------------------------------------------------------------------------------------------- at fault
@pytest.mark.parametrize("arguments", [
    (), ("nonsense",), ("grad",), ("grad", REPARAM, "-e", "return 1"), ("grad", REPARAM, "-n", "0"),
    ("grad", REPARAM, "-n", "many"), ("grad", REPARAM, "--seed", "-1"), ("grad", REPARAM, "--dtype", "float16"),
    ("grad", REPARAM, "--tau", "0"), ("grad", REPARAM, "--tau", "nan"), ("grad", REPARAM, "--target-se", "-1"),
    ("grad", REPARAM, "-p", "theta"), ("grad", REPARAM, "-p", "theta=1", "-p", "theta=2"),
    ("grad", "no/such/file.prob"), ("grad", REPARAM, "-p", "theta=@no_such_file.json"),
    ("grad", REPARAM, "--plot", "picture.doc"), ("grad", REPARAM, "--plot", "no/such/folder/a.png"),
    ("check",), ("check", REPARAM, "no_such.prob"), ("fmt",), ("compare",), ("compare", REPARAM, "--steps", "a"), ("fit", REPARAM),
])
def test_usage_errors(call, arguments: tuple[str, ...]) -> None:
    status, out, err = call(*arguments)
    assert (status, out) == (2, "") and err.strip() and "Traceback" not in err


def test_a_missing_file_names_its_neighbour(call) -> None:
    assert "did you mean examples/reparam.prob?" in call("grad", "examples/reparm.prob")[2]


@pytest.mark.parametrize(("arguments", "code", "line"), [
    (("grad", "-e", "param a = 1; return b"), "P0201", 1),
    (("grad", "-e", "y = (1"), None, 1),
    (("grad", REPARAM, "-p", "theat=1"), "P0603", None),
    (("grad", REPARAM, "-d", "x=1"), "P0603", None),
    (("grad", REPARAM, "--of", "zz"), "P0607", None),
    (("grad", REPARAM, "--estimator", "nonsense"), "P0401", None),
    (("grad", REPARAM, "--estimator", "q=score"), "P0607", None),
    (("grad", STEP, "--estimator", "x=rsample"), "P0402", 3),
    (("grad", REPARAM, "--among", "nonsense"), "P0401", None),
    (("grad", "-e", "return 1"), "P0606", None),
    (("grad", "examples/bernoulli.prob", "-p", "theta=0.5"), "P0501", 3),
    (("grad", "-e", "param a; return a"), "P0601", 1),
    (("grad", "examples"), "P0108", None),
])
def test_faults(call, arguments: tuple[str, ...], code: str | None, line: int | None) -> None:
    status, out, err = call(*arguments)
    assert (status, out) == (1, "") and err.startswith("error[P") and "Traceback" not in err
    status, out, _ = call(*arguments, "--json")
    error = json.loads(out)["error"]
    assert status == 1 and set(error) == ERROR_KEYS
    assert code is None or error["code"] == code
    assert line is None or error["line"] == line


@pytest.mark.parametrize(("content", "code", "line"), [
    (b"", "P0109", None), (b"# nothing\n", "P0109", None), (b"y = 1\nz = \xff\n", "P0108", 2),
    (b"y = 1\n\0\0\n", "P0108", 2),
])
def test_files_that_are_no_programs(call, tmp_path: Path, content: bytes, code: str, line: int | None) -> None:
    file = tmp_path / "a.prob"
    file.write_bytes(content)
    status, out, _ = call("grad", str(file), "--json")
    error = json.loads(out)["error"]
    assert (status, error["code"]) == (1, code)
    assert line is None or error["line"] == line
    assert error["file"] == str(file)


def test_forced_bias_is_reported(call) -> None:
    status, out, _ = call("grad", STEP, "--estimator", "x=rsample", "--allow-biased", "--seed", "0")
    assert status == 0 and "biased" in out
    answer = json.loads(call("grad", STEP, "--estimator", "x=rsample", "--allow-biased", "--json")[1])
    assert answer["biased"] is True and answer["gradient"]["theta"]["mean"] == 0


def test_gumbel_and_unbiased(call) -> None:
    answer = json.loads(call("grad", "examples/bernoulli.prob", "--estimator", "gumbel(tau=0.1)", "--json")[1])
    assert answer["biased"] is True and {site["estimator"] for site in answer["sites"]} == {"gumbel"}
    assert answer["sites"][0]["options"]["tau"] == 0.1
    answer = json.loads(call("grad", "examples/bernoulli.prob", "--unbiased", "--json")[1])
    assert answer["biased"] is False


def test_target_se(call) -> None:
    status, out, err = call("grad", REPARAM, "--target-se", "0.5", "-n", "1000000", "--seed", "0", "--json")
    answer = json.loads(out)
    assert status == 0 and answer["reached"] is True
    assert answer["samples"] < 1_000_000 and answer["gradient"]["theta"]["se"] <= 0.5
    status, out, err = call("grad", REPARAM, "--target-se", "0.0001", "-n", "3000", "--seed", "0", "--json")
    assert status == 3 and json.loads(out)["reached"] is False and "--target-se" in err


def test_one_run(call) -> None:
    answer = json.loads(call("grad", REPARAM, "-n", "1", "--json")[1])
    assert answer["samples"] == 1
    assert call("grad", REPARAM, "-n", "1")[0] == 0


def test_our_bug_is_70(call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("made for a test")

    monkeypatch.setattr(cli, "from_source", broken)
    status, out, err = call("grad", REPARAM)
    assert (status, out) == (70, "")
    assert err.startswith("error[P0901]") and "Traceback" in err and "made for a test" in err and "probrun 0.1.0" in err
    status, out, _ = call("grad", REPARAM, "--json")
    assert status == 70 and json.loads(out)["error"]["code"] == "P0901"


# --------------------------------------------------------------------------------------------------------- fmt
def test_fmt(call, tmp_path: Path) -> None:
    file = tmp_path / "a.prob"
    file.write_text("y=1+2 # three\nreturn   y\n")
    assert call("fmt", "--check", str(file))[0] == 1
    status, out, _ = call("fmt", "--diff", str(file))
    assert status == 0 and "-y=1+2 # three" in out and "+y = 1 + 2" in out
    assert file.read_text() == "y=1+2 # three\nreturn   y\n"
    assert call("fmt", str(file))[:2] == (0, "")
    assert file.read_text().startswith("y = 1 + 2")
    assert call("fmt", "--check", str(file))[0] == 0
    broken = tmp_path / "b.prob"
    broken.write_text("y = (\n")
    assert call("fmt", str(broken))[:2] == (1, "")
    assert broken.read_text() == "y = (\n"


def test_standard_input(tmp_path: Path) -> None:
    done = subprocess_call("fmt", "-", stdin=b"y=1\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"y = 1\n", b"")
    done = subprocess_call("explain", "-", stdin="z ~ Normal(θ, 1)".encode())
    assert done.returncode == 0 and "θ -> z".encode() in done.stdout


# -------------------------------------------------------------------------------------------- the process itself
HEAVY = ("torch", "matplotlib", "numpy", "IPython", "rich")


@pytest.mark.parametrize("arguments", [
    ["check", REPARAM], ["explain", REPARAM], ["fmt", "--check", REPARAM], ["help", "Normal"], ["--help"], ["help", "P0402"],
])
def test_commands_that_run_nothing_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom probrun import cli\n"
        f"status = cli.execute({arguments!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert status == 0 and not loaded, (status, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["check", REPARAM], ["fmt", "--check", REPARAM], ["help", "Normal"]])
def test_commands_without_results_load_nothing_of_them(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom probrun import cli\nstatus = cli.execute({arguments!r})\n"
        "later = ('probrun.results', 'probrun.fit', 'probrun.vi', 'probrun.cli_fit', 'tomllib', 'secrets')\n"
        "loaded = [name for name in later if name in sys.modules]\nassert status == 0 and not loaded, (status, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, probrun\nassert not [name for name in {HEAVY!r} if name in sys.modules]"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m probrun help codes | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, cwd=ROOT, text=True, check=False)
    assert done.stdout.strip() == "0" and done.stderr == ""


@pytest.mark.parametrize("patience", [0, 20_000])
def test_an_interrupt_reports_what_there_is(call, monkeypatch: pytest.MonkeyPatch, patience: int) -> None:
    def interrupt(_: object, done: int, total: int) -> None:
        if done >= patience:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.Progress, "__call__", interrupt)
    arguments = ("grad", "examples/waiting.prob", "-n", "2000000000", "--seed", "0", "--among", "score")
    status, out, err = call(*arguments, "--json")
    answer = json.loads(out)
    assert status == 130 and "interrupted after" in err and "Traceback" not in err
    assert answer["interrupted"] is True and max(patience, 1) <= answer["samples"] < 2_000_000_000
    assert abs(answer["gradient"]["p"]["mean"] + 4) < 5 * answer["gradient"]["p"]["se"]
    status, out, _ = call(*arguments)
    assert status == 130 and "(interrupted)" in out


def test_an_interrupt_before_anything(call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "from_source", interrupt)
    status, out, err = call("grad", REPARAM)
    assert (status, out) == (130, "") and "interrupted" in err and "Traceback" not in err


def test_no_colour_in_a_pipe() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess_call("check", "-e", "y = (1", env=environment)
    assert done.returncode == 1 and b"\x1b[" not in done.stderr


def test_runs_that_are_all_equal_are_not_called_exact(call) -> None:
    """One run in 100,000 counts: 20,000 runs have probably seen none, and say so."""
    source = "param r in (0, inf) = 1e-5; k ~ Poisson(r); return k"
    status, out, _ = call("grad", "-e", source, "-n", "2000", "--seed", "3", "--no-pilot")
    assert status == 3 and "exact   " not in out and "the same in each of the 2000 runs" in out and "P0702: nothing seen" in out
    sampled = call("grad", "-e", source, "-n", "2000", "--seed", "3", "--among", "score", "--json")[1]
    assert json.loads(sampled)["all_equal"] is True
    summed = json.loads(call("grad", "-e", source, "-n", "2000", "--seed", "3", "--json")[1])
    assert summed["exact_to"] < 1e-15 and "all_equal" not in summed and summed["warnings"] == []
    assert abs(summed["value"]["mean"] - 1e-5) < 1e-17 and abs(summed["gradient"]["r"]["mean"] - 1) < 1e-12
    assert "all_equal" not in json.loads(call("grad", "-e", "param t in (0, 1) = 0.3; return Bernoulli(t)", "--json")[1])


@pytest.mark.parametrize("text", [
    "b ~ Bernoulli(t)\nif b { y = [1, 2] } else { y = 3 }\nreturn sum(y)",
    "v = [1]\nn ~ Poisson(t)\nfor i in range(n) { v = concat(v, t*i) }\nreturn sum(v)",
    "x ~ Normal(t, 1)\nif x > 0 { y = [x, t] } else { y = x }\nreturn y",
    "for i in range(3) { if Bernoulli(t) { return [1, 2, t] } }\nreturn t",
])
def test_shapes_that_differ_from_run_to_run(call, text: str) -> None:
    status, out, err = call("grad", "-e", f"param t = 0.5\n{text}", "--seed", "1")
    assert status == 1 and out == "" and "error[P0303]" in err and "Traceback" not in err
