"""What every result can do to be seen: as text, as HTML in a notebook, as a table of plain numbers, as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .html import Part, html_of, html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSTALL = "python -m pip install 'probrun[{}]'"


@dataclass(frozen=True, repr=False)
class NumberTable:
    """A table of plain numbers: the names of its columns, and a row an entry."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        cells = [self.columns, *(tuple(map(_cell, row)) for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        number = [bool(self.rows) and not isinstance(self.rows[0][column], str) for column in range(len(self.columns))]
        lines = []
        for row in cells:
            told = zip(row, widths, number, strict=True)
            parts = (text.rjust(width) if right else text.ljust(width) for text, width, right in told)
            lines.append("  ".join(parts).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        number = "".join("l" if self.rows and isinstance(value, str) else "r" for value in (self.rows or [self.columns])[0])
        return html_table(self.columns, [tuple(map(_cell, row)) for row in self.rows], number)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` (`ImportError` where pandas is not installed)."""
        return needed("pandas", "notebook").DataFrame(list(self.rows), columns=list(self.columns))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Ways:
    """How the results of a class are shown: the parts of the screen, the table, and the picture (of a result, of a parameter)."""

    parts: Callable[[Any], Sequence[Part]]
    text: Callable[[Any], str]
    summary: Callable[[Any], NumberTable]
    picture: Callable[..., Any] | None = None
    draws: Callable[[Any], tuple[str, dict[str, Any]]] | None = None


_WAYS: dict[type, Ways] = {}
_LOADERS: list[Callable[[], None]] = []


def show(kind: type, ways: Ways) -> None:
    """Let results of a class be shown in these ways."""
    _WAYS[kind] = ways


def load_with(loader: Callable[[], None]) -> None:
    """What is to be called before something is shown for the first time: it tells the ways."""
    _LOADERS.append(loader)


def ways_of(result: object) -> Ways:
    """How a result is shown."""
    while type(result) not in _WAYS and _LOADERS:
        _LOADERS.pop()()
    return _WAYS[type(result)]


class Shown:
    """A result that can be seen.  `print(result)` is the screen of the command line."""

    def __str__(self) -> str:
        return ways_of(self).text(self)

    def _repr_html_(self) -> str:
        return html_of(ways_of(self).parts(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def summary(self) -> NumberTable:
        """All numbers of the result as a table, a row an entry."""
        return ways_of(self).summary(self)

    def to_pandas(self) -> Any:
        """`summary()` as a `pandas.DataFrame` (`ImportError` where pandas is not installed)."""
        return self.summary().to_pandas()


class Drawable(Shown):
    """A result that has a picture."""

    def plot(self, ax: Axes | None = None, *, of: str | None = None, parameter: str | None = None, overlay: bool = False) -> Any:
        """The picture of the command's `--plot`: on `ax`, or on a new pyplot figure; gives its Axes, a list where it has several.

        `of`, `parameter`: of this result and this parameter only.  `overlay`: estimators of a comparison one over the other.
        `ValueError` where there is nothing of that name, or several panels for one `ax`.
        """
        from .sheets import shown_axes

        drawn = ways_of(self).picture
        assert drawn is not None
        picture = drawn(self, of, parameter, overlay)
        if ax is None:
            return shown_axes(picture.figure(shown=True))
        picture.on(ax)
        return ax


class WithDraws(Drawable):
    """A result with draws."""

    def to_arviz(self) -> Any:
        """The draws as what `arviz.from_dict` gives, one chain (`ImportError` where ArviZ is not installed): the group is the
        posterior where runs are weighed (resampled by their weights), else the prior."""
        found = ways_of(self).draws
        assert found is not None
        arviz = needed("arviz", "arviz")
        group, draws = found(self)
        chains = {name: rows.detach().cpu().double().numpy()[None] for name, rows in draws.items()}
        return arviz.from_dict({group: chains}) if int(arviz.__version__.split(".")[0]) else arviz.from_dict(**{group: chains})


def needed(name: str, extra: str) -> Any:
    """An optional package (`ImportError` that says what to type)."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is needed for this and is not installed: {INSTALL.format(extra)}", name=name) from error


# ------------------------------------------------------------------------------------------------------- listening
@dataclass
class Ear:
    """What a command has shown, and the pictures it has written, for whoever shows them elsewhere."""

    results: list[Any] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)


_EAR: ContextVar[Ear | None] = ContextVar("ear", default=None)


@contextmanager
def listening() -> Iterator[Ear]:
    """Commands that are executed meanwhile show nothing and say here what they would have shown."""
    ear = Ear()
    token = _EAR.set(ear)
    try:
        yield ear
    finally:
        _EAR.reset(token)


def heard(result: Any) -> bool:
    """Whether somebody listens, who has now heard of a result, or of the path of a picture."""
    ear = _EAR.get()
    if ear is not None:
        (ear.pictures if isinstance(result, Path) else ear.results).append(result)
    return ear is not None
