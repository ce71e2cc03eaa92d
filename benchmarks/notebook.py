"""Makes every number and picture of `docs/differentiating-through-randomness.md` again: `python benchmarks/notebook.py [NAME ...]`.

The page holds the text; what stands between `<!-- begin:NAME -->` and `<!-- end:NAME -->` is written by the function NAME here.
Seeds are fixed, times are left out.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import probrun  # noqa: E402
from probrun import cli  # noqa: E402
from probrun.display.style import BLUE, ORANGE  # noqa: E402
from probrun.runtime.blocks.settings import Settings  # noqa: E402
from probrun.runtime.estimates.compare import Row  # noqa: E402
from probrun.runtime.estimates.differences import finite_differences  # noqa: E402

PAGE = ROOT / "docs" / "differentiating-through-randomness.md"
PICTURES = ROOT / "docs" / "pictures"
FIXED = "z ~ Normal(1, 2); y = theta^2*(z + 4)"
MOVED = "z ~ Normal(theta, 2); y = theta^2*(z + 4)"
BERNOULLI = "x = 2*Bernoulli(3*theta) + Bernoulli(theta)"
STEP = "x ~ Normal(theta, 1); y = x > 0"
STEPS = (1.0, 0.5, 0.1)
TEMPERATURES = (0.1, 0.5, 0.9)
RUNS = 10_000
COMMANDS = {  # each picture of the page is one command
    "fixed-noise": f"compare -e '{FIXED}' -p theta=2 --include finite-differences --steps 0.5,0.25,0.05 --overlay --seed 0",
    "moved-noise": f"compare -e '{MOVED}' -p theta=2 --include sample,finite-differences --steps 0.5,0.25,0.05 --overlay --seed 0",
    "bernoulli": f"compare -e '{BERNOULLI}' -p theta=0.1 --tau 0.9 --seed 1",
    "step": f"compare -e '{STEP}' -p theta=0.5 --include rsample,finite-differences --seed 0",
}


def table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A markdown table."""
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def entry(row: Row) -> tuple[float, float, float]:
    """Mean, standard error and sd of the only gradient of a row."""
    (rows,) = row.gradient.values()
    (moments,) = rows.values()
    return float(moments.mean), float(moments.se), float(moments.sd)


def line(row: Row, label: str = "") -> tuple[str, ...]:
    """A row of a comparison without its time."""
    mean, se, sd = entry(row)
    bias = "-"
    if row.bias is not None:
        (rows,) = row.bias.values()
        (off,) = rows.values()
        bias = f"{float(off.mean):.2f} (z = {float(off.sd):.1f})"
    return label or row.label, f"{mean:.3f}", "exact" if row.exact else f"{se:.3f}", bias, f"{sd:.2f}"


HEADERS = ("estimator", "d/dtheta", "std. error", "bias", "sd of a run")


def figure(width: float = 8.0, height: float = 3.4) -> Figure:
    """An empty picture."""
    found = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(found)
    return found


def save(found: Figure, name: str) -> None:
    """Write a picture of the page."""
    PICTURES.mkdir(exist_ok=True)
    found.savefig(PICTURES / name, dpi=100, metadata={"Software": None})


def command(name: str) -> None:
    """Make a picture by its command."""
    PICTURES.mkdir(exist_ok=True)
    words = [*shlex.split(COMMANDS[name]), "--plot", str(PICTURES / f"{name}.png")]
    with contextlib.redirect_stdout(io.StringIO()):
        if cli.execute(words) not in (0, 3):
            raise ValueError(f"probrun {COMMANDS[name]} failed")


def differences_of(text: str, theta: float, steps: tuple[float, ...], common: bool, seed: int = 0) -> list[tuple[float, float]]:
    """Mean and standard error of central differences at each step (in units of theta)."""
    program = probrun.parse(text)
    found = []
    for step in steps:
        settings = Settings(samples=RUNS, seed=seed, dtype="float64")
        relative = step / max(1.0, abs(theta))
        result = finite_differences(program.resolved, {"theta": theta}, {}, settings, relative, common=common)
        ((moments,),) = [tuple(rows.values()) for rows in result.gradient.values()]
        found.append((float(moments.mean), float(moments.se)))
    return found


# ---------------------------------------------------------------------------------------------------- fixed noise
def fixed_noise() -> str:
    """Finite differences against the derivative, with fixed noise."""
    result = probrun.parse(FIXED).grad({"theta": 2.0}, samples=RUNS, seed=0).gradient["theta"]
    rows = [("the chain rule", f"{float(result.mean):.2f}", f"{float(result.se):.2f}")]
    for common in (True, False):
        name = "the same noise on both sides" if common else "new noise on each side"
        for step, (mean, se) in zip(STEPS, differences_of(FIXED, 2.0, STEPS, common), strict=True):
            rows.append((f"difference, step {step:g}, {name}", f"{mean:.2f}", f"{se:.2f}"))
    command("fixed-noise")
    return table(("how", "d/dtheta", "std. error"), rows)


# ------------------------------------------------------------------------------------------------ moved noise
def moved_noise() -> str:
    """With and without reparameterisation."""
    program = probrun.parse(MOVED)
    table_of = program.compare({"theta": 2.0}, samples=RUNS, seed=0, include="sample")
    kept = {"rsample": "`rsample`: reparameterised", "score": "`score`: the density", "sample, forced": "detached: wrong"}
    rows = [line(row, kept[row.label]) for row in table_of.rows if row.label in kept]
    for step, (mean, se) in zip(STEPS, differences_of(MOVED, 2.0, STEPS, True), strict=True):
        rows.append((f"difference, step {step:g}, the same noise", f"{mean:.3f}", f"{se:.3f}", f"{mean - 28:.2f}", "-"))
    command("moved-noise")
    return table(HEADERS, rows)


# -------------------------------------------------------------------------------------------------- Bernoulli
def bernoulli() -> str:
    """Gumbel-Softmax at three temperatures, the score, and the exact answer."""
    program = probrun.parse(BERNOULLI)
    found: list[Row] = []
    for tau in TEMPERATURES:
        rows = program.compare({"theta": 0.1}, samples=100_000, seed=1, tau=tau).rows
        found += [row for row in rows if row.label not in [other.label for other in found]]
    order = ["enumerate", "fork", "score", "score regression", *(f"gumbel tau={tau:g}" for tau in TEMPERATURES)]
    chosen = [next(row for row in found if row.label == label) for label in order]
    command("bernoulli")
    return table(HEADERS, [line(row, f"`{row.label}`") for row in chosen])


def temperature() -> str:
    """Bias and spread of the relaxation against its temperature."""
    program = probrun.parse(BERNOULLI)
    temperatures = [float(tau) for tau in numpy.geomspace(0.05, 1.5, 12)]
    means, errors, spreads = [], [], []
    for tau in temperatures:
        moments = program.grad({"theta": 0.1}, samples=200_000, seed=2, estimator=f"gumbel(tau={tau:.17g})").gradient["theta"]
        means.append(float(moments.mean))
        errors.append(1.96 * float(moments.se))
        spreads.append(float(moments.sd))
    score = program.grad({"theta": 0.1}, samples=200_000, seed=2, estimator="score(baseline=regression)").gradient["theta"]
    picture = figure()
    left, right = picture.subplots(1, 2)
    left.errorbar(temperatures, means, yerr=errors, fmt="o-", markersize=3, color=ORANGE, label="Gumbel-Softmax")
    left.axhline(7, color="black", linewidth=1, label="exact: 7")
    right.loglog(temperatures, spreads, "o-", markersize=3, color=ORANGE, label="Gumbel-Softmax")
    right.axhline(float(score.sd), color=BLUE, linewidth=1, label="score, regression baseline")
    left.set_title("mean of the gradient", fontsize="medium")
    right.set_title("sd of one run", fontsize="medium")
    left.set_xscale("log")
    for axes in (left, right):
        axes.set_xlabel("temperature tau")
        axes.legend(fontsize="small")
    save(picture, "temperature.png")
    return "![Bias and spread against the temperature](pictures/temperature.png)"


# ------------------------------------------------------------------------------------------------------- step
def step() -> str:
    """A step: pathwise gives 0."""
    rows = probrun.parse(STEP).compare({"theta": 0.5}, samples=RUNS, seed=0, include="rsample").rows
    truth = math.exp(-0.125) / math.sqrt(2 * math.pi)
    kept = ["jump", "score", "score regression", "rsample, forced"]
    chosen = [next(row for row in rows if row.label == label) for label in kept]
    command("step")
    found = []
    for row in chosen:
        label, mean, se, _, sd = line(row, f"`{row.label}`")
        found.append((label, mean, se, f"{entry(row)[0] - truth:.3f}", sd))
    for size, (mean, se) in zip(STEPS, differences_of(STEP, 0.5, STEPS, True), strict=True):
        found.append((f"difference, step {size:g}, the same noise", f"{mean:.3f}", f"{se:.3f}", f"{mean - truth:.3f}", "-"))
    return table(HEADERS, found)


BLOCKS: dict[str, Callable[[], str]] = {
    "fixed-noise": fixed_noise, "moved-noise": moved_noise, "bernoulli": bernoulli, "temperature": temperature, "step": step,
}


def main() -> None:
    """Write all blocks and pictures, or those that are named."""
    page = PAGE.read_text(encoding="utf-8")
    for name, make in BLOCKS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        block = f"<!-- begin:{name} -->\n{make()}\n<!-- end:{name} -->"
        page, count = re.subn(rf"<!-- begin:{name} -->.*?<!-- end:{name} -->", lambda _, block=block: block, page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"the page has {count} blocks {name}")
        print(block, flush=True)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
