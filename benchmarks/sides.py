"""Draws the two pictures of `docs/estimators.md`, of `jump` and of `fork`: `python benchmarks/sides.py [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from probrun.display.style import BLUE, GREY, ORANGE, looking, sheet  # noqa: E402

ARROW = {"arrowstyle": "<->", "color": "black", "linewidth": 0.9}


def jump(target: Path, root: float = 0.5, step: float = 0.25) -> None:
    """The density of a draw at the root, and the result on the two sides of it."""
    figure = sheet(7.0, 4.4)
    above, below = figure.subplots(2, 1, sharex=True)
    x = numpy.linspace(-3, 3, 601)
    density = numpy.exp(-x * x / 2) / numpy.sqrt(2 * numpy.pi)
    above.plot(x, density, color=BLUE)
    crossed = (x >= root) & (x <= root + step)
    above.fill_between(x[crossed], density[crossed], color=ORANGE)
    above.set_title("how fast probability crosses the point: d F(r)")
    above.set_ylabel("density of x")
    above.set_ylim(0, 0.47)
    above.annotate(
        "d F(r), what changes sides\nwhen theta grows by d theta", (root + step / 2, 0.2), (1.45, 0.27), arrowprops={"arrowstyle": "-", "linewidth": 0.7},
        fontsize=8,
    )
    left, right = x[x <= root], x[x >= root]
    below.plot(left, 3 + left / 3, color=BLUE)
    below.plot(right, 1 + 0 * right, color=BLUE)
    y = 3 + root / 3
    below.plot([root], [y], "o", color=BLUE, markersize=5)
    below.plot([root], [1], "o", color=BLUE, markersize=5, markerfacecolor="white")
    below.annotate("", (root, 1.08), (root, y - 0.08), arrowprops=ARROW)
    below.text(root + 0.12, (1 + y) / 2, "Y(r-) - Y(r+)", fontsize=8, verticalalignment="center")
    below.text(root - 0.12, y + 0.12, "one run goes on from r - h", fontsize=8, horizontalalignment="right", verticalalignment="bottom")
    below.text(root + 0.12, 0.92, "and one from r + h", fontsize=8, verticalalignment="top")
    below.set_title("what that is worth: the height of the jump")
    below.set_ylabel("result")
    below.set_ylim(0, 4.4)
    for axes in (above, below):
        axes.axvline(root, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    below.set_xticks([-3, -2, -1, 0, root, 2, 3], ["-3", "-2", "-1", "0", "r = theta", "2", "3"])
    below.set_xlabel("x")
    figure.savefig(target, dpi=120, metadata={"Software": None})


def waits(slow: numpy.ndarray, work: numpy.ndarray, gap: numpy.ndarray) -> numpy.ndarray:
    """The waiting time of each customer, one of whom may be slow (Lindley)."""
    found = [0.0]
    for late, served, until in zip(slow, work, gap, strict=True):
        found.append(max(found[-1] + served + 3 * late - until, 0.0))
    return numpy.array(found)


def fork(target: Path, customers: int = 40, at: int = 9, seed: int = 1) -> None:
    """Two runs of a queue that part at one draw and meet again."""
    random = numpy.random.default_rng(seed)
    slow = random.random(customers) < 0.1
    work, gap = random.exponential(1 / 1.5, customers), random.exponential(1 / 0.8, customers)
    slow[at] = False
    other = slow.copy()
    other[at] = True
    one, two = waits(slow, work, gap), waits(other, work, gap)
    apart = numpy.flatnonzero(one != two)
    figure = sheet(7.0, 3.0)
    axes = figure.subplots()
    number = numpy.arange(customers + 1)
    axes.fill_between(number, one, two, color=ORANGE, alpha=0.25, linewidth=0, label="their difference")
    axes.plot(number, two, "o--", color=ORANGE, markersize=3, label=f"the same run, but customer {at} is slow")
    axes.plot(number, one, "o-", color=BLUE, markersize=3, label=f"a run: customer {at} is not slow")
    top = 1.5 * float(max(one.max(), two.max()))
    for place, words in ((at, "they part"), (int(apart[-1]) + 1, "they meet again")):
        axes.axvline(place, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
        axes.text(place - 0.4, top * 0.97, words, fontsize=8, horizontalalignment="right", verticalalignment="top")
    axes.set_ylim(0, top)
    axes.set_xlabel("customer")
    axes.set_ylabel("waiting time")
    axes.set_title("one draw is changed, all others are the same")
    axes.legend(loc="upper right")
    figure.savefig(target, dpi=120, metadata={"Software": None})


def main() -> None:
    """Draw both."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    with looking():
        jump(folder / "jump.png")
        fork(folder / "fork.png")


if __name__ == "__main__":
    main()
