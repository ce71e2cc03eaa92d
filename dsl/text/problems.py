"""Collecting problems."""

from __future__ import annotations

from collections.abc import Iterable

from .diagnostics import Diagnostic, ProbError
from .source import Source

MOST = 20  # problems that are reported of one program


class Problems:
    """The problems that one pass has found, in the order of finding.  Beyond `MOST` nothing is added."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    @property
    def full(self) -> bool:
        """Whether looking for more is pointless."""
        return len(self.found) >= MOST

    def add(self, *diagnostics: Diagnostic) -> None:
        """Note problems."""
        if not self.full:
            self.found.extend(diagnostics)


def report(passes: Iterable[Problems], source: Source) -> None:
    """Raise a `ProbError` with the problems of all passes, sorted by place and each once; nothing where there are none."""
    found: dict[tuple[str, str, int], Diagnostic] = {}
    for problems in passes:
        for diagnostic in problems.found:
            start = len(source.text) if diagnostic.span is None else diagnostic.span.start
            found.setdefault((diagnostic.code, diagnostic.title, start), diagnostic.within(source))
    if found:
        order = sorted(found, key=lambda key: key[2])
        raise ProbError(found[key] for key in order[:MOST])


def counted(number: int, thing: str) -> str:
    """`1 argument`, `3 arguments`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
