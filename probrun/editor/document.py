"""A program in an editor: its text as it is now, what is wrong with it, and what the sites get.

Reading is done in two steps, because the second takes as long as the first: the text (syntax and names), then the plan.  While
a program is half typed the sites are those of the last text that could be planned, moved along with the lines around the change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from ..dsl.names.resolve import Resolved, resolve
from ..dsl.reading.parser import parse_partly
from ..dsl.syntax import EstimatorCall, Program, Sample
from ..dsl.text.diagnostics import Diagnostic, Label, ProbError
from ..dsl.text.source import Source, Span
from .asking import Explain, SiteTold
from .positions import Positions, Units
from .symbols import Symbols


@dataclass(frozen=True)
class ShownSite:
    """A site, where it stands in the text, and what is said of it."""

    span: Span
    distribution: Span
    using: EstimatorCall | None
    told: SiteTold


class ReadText:
    """One text, read.  `program` has the statements that can be read, `resolved` is None where something is wrong."""

    def __init__(self, source: Source, units: Units) -> None:
        self.source = source
        self.places = Positions(source.text, units)
        self.program: Program | None
        self.resolved: Resolved | None = None
        self.program, self.diagnostics = parse_partly(source)
        self.broken = bool(self.diagnostics)
        if self.program is not None and not self.broken:
            try:
                self.resolved = resolve(self.program)
            except ProbError as error:
                self.diagnostics = error.diagnostics

    @cached_property
    def symbols(self) -> Symbols | None:
        """The names."""
        return None if self.program is None else Symbols(self.program)


class Document:
    """One open file."""

    def __init__(self, uri: str, text: str, version: int | None, units: Units) -> None:
        self.uri = uri
        self.version = version
        self.units = units
        self.text = text
        self._look: ReadText | None = None
        self._planned: tuple[str, tuple[ShownSite, ...], tuple[Diagnostic, ...]] = ("", (), ())

    @property
    def fresh(self) -> bool:
        """Whether it has never been planned."""
        return not self._planned[0]

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.uri.rpartition("/")[2]

    def change(self, text: str, version: int | None) -> None:
        """The text has changed."""
        self.text, self.version = text, version
        self._look = None

    @property
    def look(self) -> ReadText:
        """The present text, read; once for each text."""
        if self._look is None:
            self._look = ReadText(Source(self.name, self.text), self.units)
        return self._look

    def plan(self, explain: Explain) -> None:
        """Find the sites, or why the program is refused; nothing where the text has other mistakes."""
        resolved = self.look.resolved
        if resolved is None or self._planned[0] == self.text:
            return
        try:
            told = explain(resolved)
        except ProbError as error:
            self._planned = (self.text, (), error.diagnostics)
            return
        sites = tuple(
            ShownSite(
                site.span, site.distribution.span, site.node.using if isinstance(site.node, Sample) else None, said,
            )
            for site, said in zip(resolved.sites, told, strict=True)
        )
        self._planned = (self.text, sites, ())

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the present text; of the choice of estimators, where it was planned last."""
        if self.look.diagnostics:
            return self.look.diagnostics
        text, _, refused = self._planned
        if text == self.text:
            return refused
        change, kept = Change(text, self.text), []
        for diagnostic in refused:
            moved = None if diagnostic.span is None else change.moved(diagnostic.span)
            if moved is not None:
                labels = [(change.moved(label.span), label.text) for label in diagnostic.labels]
                kept.append(replace(
                    diagnostic, span=moved, labels=tuple(Label(span, words) for span, words in labels if span is not None),
                ))
        return tuple(kept)

    @property
    def sites(self) -> tuple[ShownSite, ...]:
        """The sites of the last plan, where they stand now; those in the lines that have changed are left out."""
        text, sites, _ = self._planned
        if text == self.text:
            return sites
        change, found = Change(text, self.text), []
        for site in sites:
            whole, distribution = change.moved(site.span), change.moved(site.distribution)
            if whole is not None and distribution is not None:
                found.append(ShownSite(whole, distribution, site.using, site.told))
        return tuple(found)


class Change:
    """What two texts have in common: whole lines at the start and at the end."""

    def __init__(self, before: str, after: str) -> None:
        ours, theirs = before.splitlines(keepends=True), after.splitlines(keepends=True)
        most = min(len(ours), len(theirs))
        first = last = 0
        while first < most and ours[first] == theirs[first]:
            first += 1
        while last < most - first and ours[-1 - last] == theirs[-1 - last]:
            last += 1
        self.start = sum(map(len, ours[:first]))
        self.end = len(before) - sum(map(len, ours[len(ours) - last :]))
        self.shift = len(after) - len(before)

    def moved(self, span: Span) -> Span | None:
        """Where a place of the first text stands in the second; None where something has changed in its lines."""
        if span.end <= self.start:
            return span
        return Span(span.start + self.shift, span.end + self.shift) if span.start >= self.end else None
