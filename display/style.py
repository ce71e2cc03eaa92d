"""The look of every picture: colours, hatches, sizes, titles.

Colours are told apart by colour-blind eyes (Paul Tol's palette), and whatever a colour says is also said by a hatch, a line style
or a word, so that a grey print says it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, RED, GREY = "#4477aa", "#ee7733", "#cc3311", "#777777"
FILLED: Mapping[str, tuple[str, str]] = {  # by what the numbers are: colour and hatch
    "right": (BLUE, ""), "biased": (ORANGE, "////"), "wrong": (RED, "xxxx"), "difference": (GREY, ""),
}
CURVES = ("#332288", "#cc6677", "#117733", "#ddaa33", "#88ccee", "#aa4499", "#44aa99", "#882255")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
ONE_SIGN, TWO_SIGNS = "cividis", "PuOr"  # colour maps: lighter is larger; white is 0
SMALL, MEDIUM = 8.0, 10.0
DPI = 150
LOOK: Mapping[str, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.labelsize": SMALL, "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL, "legend.fontsize": SMALL, "legend.frameon": False, "axes.spines.top": False,
    "axes.spines.right": False, "hatch.linewidth": 0.6, "axes.linewidth": 0.7, "text.parse_math": False, "text.usetex": False,
}


def maker(shown: bool) -> Callable[[float, float], Figure]:
    """What makes empty figures; `shown`: such as pyplot displays, whose backend must be there before our look is put on: it turns
    on what the end of our look would turn off again."""
    if shown:
        from matplotlib import pyplot

        pyplot.close(pyplot.figure())
    return window if shown else sheet


def sheet(width: float, height: float) -> Figure:
    """An empty figure of so many inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def window(width: float, height: float) -> Figure:
    """An empty figure that pyplot, and so a notebook, shows."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), layout="constrained")


def looking() -> AbstractContextManager[None]:
    """Our look, for as long as something is drawn."""
    from matplotlib import rc_context

    look: Any = dict(LOOK)
    return rc_context(look)


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the ending of the path chooses the format."""
    with looking():
        figure.savefig(path, dpi=DPI)


def headed(figure: Figure, title: str) -> None:
    """Put the title over a figure, in as many lines as it needs."""
    import textwrap

    columns = int(figure.get_figwidth() * 12)
    figure.suptitle("\n".join(textwrap.wrap(title, columns)), fontsize=MEDIUM, x=0.01, ha="left")


def titled(axes: Axes, title: str, below: str = "") -> None:
    """Put a title over a panel and, smaller, what its numbers are."""
    axes.set_title(title + (f"\n{below}" if below else ""), fontsize=9.5 if not below else 9.0, loc="left")


def bare(axes: Axes) -> None:
    """Take the frame and the ticks away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def whole_ticks(axes: Axes, *names: str) -> None:
    """Only whole numbers as ticks of an axis (`x`, `y`): it counts."""
    from matplotlib.ticker import MaxNLocator

    for name in names:
        getattr(axes, f"{name}axis").set_major_locator(MaxNLocator(integer=True))
