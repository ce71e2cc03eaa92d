"""Pictures: every form of result can be drawn, and an unwritable place is said before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

import probrun
from probrun import cli
from probrun import views as plots

SOURCES = {
    "scalar": "param theta = 2; z ~ Normal(theta, 2); return theta^2 * (z + 4)",
    "counts": "param p = 0.3; b ~ Binomial(10, p); return b",
    "exact": "param a = 1; return a^2",
    "vector": "param m[5] = 1; z ~ Normal(m, 1); return sum(z^2)",
    "matrix": "param m[3, 4] = 1; z ~ Normal(m, 1); return sum(z^2)",
    "jacobian": "param m[3] = 1; z ~ Normal(m, 1); return z * sum(z)",
    "several": "param a = 1; param b[2] = 1; z ~ Normal(a, 1); y = z * sum(b); return z, y",
}


@pytest.mark.parametrize("name", SOURCES)
def test_pictures_of_gradients(name: str, tmp_path: Path) -> None:
    result = probrun.parse(SOURCES[name]).grad(samples=300, seed=0, keep_runs=True)
    plots.draw(result, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    figure = plots.picture(result).figure()
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == sum(len(rows) for rows in result.gradients.values())


@pytest.mark.parametrize("name", SOURCES)
def test_pictures_of_runs(name: str, tmp_path: Path) -> None:
    plots.draw(probrun.parse(SOURCES[name]).run(samples=300, seed=0), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_plot_option(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("grad", "run"):
        target = tmp_path / f"{command}.png"
        assert cli.execute([command, "-e", SOURCES["scalar"], "-n", "500", "--plot", str(target)]) == 0
        captured = capfd.readouterr()
        assert target.exists() and f"wrote {target}" in captured.err and "wrote" not in captured.out


def test_single_runs_are_drawn() -> None:
    result = probrun.parse(SOURCES["scalar"]).grad(samples=300, seed=0, keep_runs=True)
    (axes,) = plots.picture(result).figure().axes
    assert len(axes.patches) > 5
