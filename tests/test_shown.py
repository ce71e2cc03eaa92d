"""Results outside the command line: what `print` shows is the screen, notebooks get HTML, tables and pictures say the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import probrun
from probrun import cli
from probrun.comparison import Comparison, comparison_text

SOURCE = "param theta = 2; z ~ Normal(theta, 2); y = theta^2 * (z + 4)"
TWO = "param a = 1; param b[2] = 1; z ~ Normal(a, 1); y = z * sum(b); return z, y"
WEIGHED = "param m = 0; x ~ Normal(m, 1); observe 1 ~ Normal(x, 1); return x"
CASES = {
    "grad": (["grad", "-e", SOURCE, "--seed", "0", "-n", "500"], lambda p: p.grad(samples=500, seed=0, cross_check=True)),
    "run": (["run", "-e", SOURCE, "--seed", "0", "-n", "500"], lambda p: p.run(samples=500, seed=0)),
    "explain": (["explain", "-e", SOURCE], lambda p: p.explain()),
    "fit": (
        ["fit", "-e", SOURCE, "--minimize", "--seed", "0", "--steps", "2", "-n", "100"], lambda p: p.fit(minimize=True, seed=0, steps=2, samples=100),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_print_is_the_screen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, make = CASES[name]
    cli.execute(command)
    shown = capsys.readouterr().out
    print(make(probrun.parse(SOURCE, name="<command line>")))
    assert capsys.readouterr().out == shown


def _table(html: str) -> list[list[str]]:
    import html as entities
    import re

    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[entities.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def test_html_has_every_cell_of_the_screen() -> None:
    program = probrun.parse(TWO)
    for result in (program.grad(samples=300, seed=0), program.compare(samples=300, seed=0), program.run(samples=300, seed=0)):
        html, text = result._repr_html_(), comparison_text(result, width=None) if isinstance(result, Comparison) else str(result)
        cells = [cell for row in _table(html) for cell in row if cell]
        assert len(cells) > 20
        assert all(word in text for cell in cells for word in cell.split())
    assert "&lt;" in probrun.parse("x ~ Normal(m, 1); y = x < 1").grad({"m": 0.0}, samples=100, seed=0)._repr_html_()


def test_weighed_runs_and_fits_as_html() -> None:
    program = probrun.parse(WEIGHED)
    assert "effective sample size" in program.run(samples=300, seed=0)._repr_html_()
    found = program.vi(seed=0, steps=20, draws=200)
    assert "ELBO" in found._repr_html_() and "<table" in found._repr_html_()
    assert "rsample" in program.explain()._repr_html_()


def test_summaries_hold_the_numbers() -> None:
    result = probrun.parse(TWO).grad(samples=300, seed=0)
    rows = {(row["result"], row["parameter"], row["index"]): row for row in result.summary()}
    assert len(rows) == 2 + 2 * 3
    for place in range(2):
        assert rows["y", "b", f"[{place}]"]["mean"] == float(result.gradient["y"]["b"].mean[place])
    frame = pytest.importorskip("pandas") and result.to_pandas()
    assert list(frame.columns) == list(result.summary().columns) and len(frame) == len(rows)
    run = probrun.parse(TWO).run(samples=300, seed=0)
    assert {row["q50"] for row in run.summary()} == {float(run.quantiles(name)["50"]) for name in ("z", "y")}


def test_draws_go_to_arviz() -> None:
    pytest.importorskip("arviz")
    run = probrun.parse(WEIGHED).run(samples=300, seed=0)
    assert run.to_arviz().posterior["x"].shape[:2] == (1, 300)
    assert "prior" in str(probrun.parse(SOURCE).run(samples=20, seed=0).to_arviz())


def test_plots_take_axes_and_choose_panels() -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    result = probrun.parse(TWO).grad(samples=300, seed=0, keep_runs=True)
    _, ax = pyplot.subplots()
    assert result.plot(ax=ax, of="y", parameter="b") is ax and ax.lines
    assert len(result.plot()) == 4
    with pytest.raises(ValueError, match="4 panels"):
        result.plot(ax=ax)
    with pytest.raises(ValueError, match="nothing of that name"):
        result.plot(of="q")
    pyplot.close("all")


@pytest.mark.parametrize(("method", "wrong", "meant"), [
    ("grad", "sample", "samples"), ("grad", "n", "samples"), ("run", "sed", "seed"), ("fit", "learning_rate", "rate"),
    ("compare", "includes", "include"), ("explain", "estimators", "estimator"), ("expectation", "tua", "tau"),
])
def test_unknown_keywords_say_which_is_meant(method: str, wrong: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"{method}\(\) got an unexpected keyword argument '{wrong}'; did you mean `{meant}`\?"):
        getattr(probrun.parse(SOURCE), method)(**{wrong: 1})


def test_heavy_tails_and_small_multiples_leave_runs_out_and_say_so(tmp_path: Path) -> None:
    import numpy

    from probrun.display.panels import Histogram
    from probrun.views import draw, picture

    program = probrun.parse("param m = 0; x ~ StudentT(2, m, 1); y = x^2")
    result = program.grad(samples=3000, seed=0, keep_runs=True, estimator="score")
    (axes,) = picture(result).figure().axes
    assert "not drawn, of 3000 runs" in axes.get_xlabel()
    (panel,) = picture(result).panels
    assert isinstance(panel, Histogram) and len(panel.runs) == 3000
    left, right = axes.get_xlim()
    drawn = sum(patch.get_height() for patch in axes.patches if patch.get_height() > 1)
    inside = int(numpy.sum((panel.runs >= left) & (panel.runs <= right)))
    assert drawn <= inside < 3000
    found = program.compare(samples=500, seed=0, include="rsample,finite-differences", keep_runs=True)
    for over in (False, True):
        draw(found, tmp_path / "c.png", over)
        assert (tmp_path / "c.png").stat().st_size > 10_000
    words = [text.get_text() for axes in picture(found).figure().axes for text in axes.texts]
    assert sum("bias" in text for text in words) >= 6 and any("exact" in text or "reference" in text for text in words)


def test_exact_results_are_said() -> None:
    from probrun.display.panels import Fan, Statement
    from probrun.views import picture

    (panel,) = picture(probrun.parse("param a = 3; return a^2").grad(samples=10, seed=0, keep_runs=True)).panels
    assert isinstance(panel, Statement) and panel.words == "6"
    (panel,) = picture(probrun.parse("z ~ Normal(arange(5), 1); return z").run(samples=50, seed=0)).panels
    assert isinstance(panel, Fan) and panel.quantiles.shape == (5, 5)


def test_the_magics_keep_results_and_show_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import IPython.display
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "probrun")
    seen: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", seen.append)
    shell.run_cell_magic("prob", "-o found grad -n 200 --seed 0 -p theta=2 --plot", "z ~ Normal(theta, 2)\n")
    assert shell.user_ns["found"].samples == 200 and len(seen) == 2 and isinstance(seen[1], IPython.display.Image)
    (tmp_path / "a.prob").write_text(SOURCE)
    shell.run_line_magic("prob", f"-o plan explain {tmp_path / 'a.prob'}")
    assert shell.user_ns["plan"][0].estimator == "rsample" and len(seen) == 3


@pytest.mark.parametrize(("line", "cell", "said"), [
    ("", None, "what is to be done"), ("-o", "return 1", "name of one variable"), ("run -o a.b", "return 1", "name of one variable"),
    ("-o r -o s run", "return 1", "name of one variable"), ("run --seed 'a", "return 1", "no closing quotation"),
    ("nothing", "return 1", "nothing came to nothing"), ("fmt", "return 1", "fmt takes no program from a cell"),
    ("lsp", None, "started by an editor"), ("run -e 'return 1'", "return 1", "leave out -e"),
    ("-o r check", "z ~ Normal(0, 1); return z", "no result that could be kept"),
])
def test_the_magics_say_what_is_wrong_without_a_traceback(line: str, cell: str | None, said: str) -> None:
    from IPython.core.error import UsageError
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "probrun")
    with pytest.raises(UsageError, match=said):
        if cell is None:
            shell.run_line_magic("prob", line)
        else:
            shell.run_cell_magic("prob", line, cell)


def test_an_output_file_of_a_command_is_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "probrun")
    table = tmp_path / "t.csv"
    shell.run_cell_magic("prob", f"sweep --grid t=0:1:3 -n 100 -o {table}", "param t = 1; x ~ Normal(t, 1); return x")
    assert len(table.read_text().splitlines()) == 4
    shell.run_line_magic("prob", "--version")
    assert "probrun 0" in capfd.readouterr().out
