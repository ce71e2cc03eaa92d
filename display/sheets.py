"""Sheets of panels under one title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .panels import Panel, Statement, draw_panel, height_of
from .style import headed, looking, maker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 24


@dataclass(frozen=True)
class Sheet:
    """A picture: its title and panels, and how many columns of them at most."""

    title: str
    panels: tuple[Panel, ...]
    most_columns: int = 3

    def figure(self, shown: bool = False) -> Figure:
        """The picture as a figure; `shown`: one that pyplot, and so a notebook, displays."""
        panels = self.panels[:MOST_PANELS] or (Statement("", "nothing to draw", ""),)
        columns = min(len(panels), self.most_columns)
        rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
        heights = [max(map(height_of, row)) for row in rows]
        make = maker(shown)
        with looking():
            width = max(4.6 * columns, 6.4)
            figure = make(width, sum(heights) + 0.5)
            grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
            for number, panel in enumerate(panels):
                draw_panel(panel, figure.add_subplot(grid[number // columns, number % columns]))
            more = len(self.panels) - len(panels)
            headed(figure, self.title + (f" ({more} more panels)" if more > 0 else ""))
            _settle(figure)
        return figure

    def on(self, axes: Axes) -> None:
        """Draw the only panel on given axes (`ValueError` where there are several)."""
        if len(self.panels) != 1:
            names = ", ".join(repr(panel.title) for panel in self.panels[:8])
            raise ValueError(f"one axes for {len(self.panels)} panels ({names}): choose with of= and parameter=, or leave ax out")
        with looking():
            draw_panel(self.panels[0], axes)


def _settle(figure: Figure) -> None:
    """Lay out once, under our look."""
    figure.draw_without_rendering()


def shown_axes(figure: Figure) -> Any:
    """The axes of a figure with a title of their own: one, or a list."""
    found: Sequence[Axes] = [axes for axes in figure.axes if axes.get_title(loc="left")]
    return found[0] if len(found) == 1 else list(found)

