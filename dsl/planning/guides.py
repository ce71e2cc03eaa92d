"""A guide that is made by itself: a program whose continuous draws come from normal distributions in coordinates without bounds.

`z ~ P` becomes: draw u from the guide, let z = T(u) with T onto the support of P, and add log p(z) + log |T'(u)| - log q(u) to the
level (automatic differentiation variational inference, Kucukelbir et al. 2017, eq. 5).  The mean of the level is then the ELBO, and
maximising it in the parameters of the guide is variational inference.

`normal`: a location and a scale for each coordinate (mean field).  `full`: one multivariate normal for all of them,
u = loc + L e, which is drawn before everything else; so every run must draw the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..levels import LEVEL, Guided, Implied, Proposal
from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import (
    Argument,
    Arithmetic,
    Assign,
    Block,
    Call,
    Distribution,
    Draw,
    Expression,
    For,
    If,
    Index,
    Interval,
    LogPdf,
    Name,
    Number,
    Parameter,
    Program,
    Sample,
    Slice,
    Statement,
    Term,
    Unary,
    Vector,
    While,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.ranges import ANY, Bounds
from ..text.diagnostics import Diagnostic, ProbError
from .onto import KNOTTED, Ends, Onto, between, end, infinite

MOST_FULL = 60  # numbers of a full guide
INF = math.inf


@dataclass(frozen=True)
class Seen:
    """What was drawn at a site: how often in a run, and the shape of its coordinates."""

    times: int
    shape: tuple[int, ...]
    always: bool = True  # as often in every run


@dataclass(frozen=True)
class Guide:
    """The `program` with the guide, and the names of its new parameters."""

    program: Program
    parameters: tuple[str, ...]


def guided(resolved: Resolved, seen: Mapping[int, Seen], full: bool) -> Guide:
    """The program of a guide for all continuous draws that have no proposal; ProbError P0612 where one cannot be made."""
    return _Guiding(resolved, seen, full).whole()


def guides_of(resolved: Resolved) -> list[Site]:
    """The sites that a guide is made for; P0612 where it cannot be."""
    found = []
    for site in resolved.sites:
        row = DISTRIBUTIONS[site.distribution.name]
        if row.discrete or isinstance(site.node, Proposal):
            continue
        if isinstance(site.node, Draw):
            raise _refusal(resolved, site, "it has no name", "give it one: x ~ ...")
        if site.function is not None:
            raise _refusal(resolved, site, f"it stands in the function `{site.function}`", "draw it outside, and hand it over")
        found.append(site)
    return found


def several(resolved: Resolved, site: Site) -> ProbError:
    """P0612, of draws that are vectors or matrices themselves and come several at once."""
    name = site.distribution.name
    advice = f"draw one after the other, in a loop: {site.name}[i] ~ {name}(...)"
    return _refusal(resolved, site, f"it is several of {name} at once", advice)


def _refusal(resolved: Resolved, site: Site, why: str, advice: str) -> ProbError:
    return ProbError(Diagnostic(
        "P0612", f"no guide can be made for the draw `{site.name}`: {why}", site.span, "", (), (), advice, resolved.program.source,
    ))


@dataclass
class _Guiding:
    resolved: Resolved
    seen: Mapping[int, Seen]
    full: bool
    parameters: list[Parameter] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    total: int = 0
    sites: list[Site] = field(default_factory=list)

    def whole(self) -> Guide:
        self.sites = [site for site in guides_of(self.resolved) if site.index in self.seen]
        if self.full:
            for site in self.sites:
                self._fits(site)
                self.offsets[site.index] = self.total
                self.total += self.seen[site.index].times * math.prod(self.seen[site.index].shape)
            if self.total > MOST_FULL:
                raise _refusal(
                    self.resolved, self.sites[-1], f"a full guide has room for {MOST_FULL} numbers, and these are {self.total}",
                    "take the mean-field guide: --guide normal",
                )
        body = self.block(self.resolved.program.body)
        first: list[Statement] = [*self.parameters, *(_set(name, Number(0.0)) for name in self.counters)]
        if self.full:
            first = [*self._declared_full(), *(_set(name, Number(0.0)) for name in self.counters), *self._drawn_together()]
        program = Program(replace(body, statements=(*first, *body.statements)), self.resolved.program.source)
        return Guide(program, tuple(node.name for node in first if isinstance(node, Parameter)))

    def _fits(self, site: Site) -> None:
        seen = self.seen[site.index]
        if not seen.always:
            raise _refusal(self.resolved, site, "not every run draws it, as a full guide wants", "take --guide normal")
        if len(seen.shape) > 1:
            raise _refusal(self.resolved, site, "a full guide takes numbers and vectors only", "take --guide normal")

    # ------------------------------------------------------------------------------------------------- statements
    def block(self, node: Block) -> Block:
        found: list[Statement] = []
        for statement in node.statements:
            if isinstance(statement, If):
                found.append(replace(
                    statement, branches=tuple((condition, self.block(body)) for condition, body in statement.branches),
                    otherwise=None if statement.otherwise is None else self.block(statement.otherwise),
                ))
            elif isinstance(statement, For | While):
                found.append(replace(statement, body=self.block(statement.body)))
            elif isinstance(statement, Sample) and (site := self.resolved.site_at[id(statement)]) in self.sites:
                found += self.guide(statement, site)
            else:
                found.append(statement)
        return replace(node, statements=tuple(found))

    def guide(self, node: Sample, site: Site) -> list[Statement]:
        """The statements in place of a draw."""
        seen = self.seen[site.index]
        raw, value = (Name(f"\1{site.name}{end}", span=node.name_span) for end in (".u", ""))
        counter = f"\1{site.name}.n" if seen.times > 1 else ""
        if counter:
            self.counters.append(counter)
        before: list[Statement]
        if self.full:
            less: Expression = Number(0.0)
            before = [_set(raw.id, self._part(site, seen, counter))]
        else:
            law = Distribution("Normal", tuple(Argument(None, part) for part in self._declared(site, seen, counter)))
            law = replace(law, span=node.distribution.span, name_span=node.distribution.name_span)
            before = [Guided(raw.id, (), law, None, node.name_span, site.name, span=node.span)]
            less = LogPdf(law, raw, span=node.span)
        first, made, slope = self._onto(raw, site)
        level: list[tuple[str, Expression]] = [("+", LogPdf(node.distribution, value, span=node.span))]
        if slope is not None:
            level.append(("+", slope))
        if not self.full:
            level.append(("-", less))
        after: list[Statement] = [_set(*pair) for pair in (*first, (value.id, made))]
        after += [_level(level), Implied(node.name, node.indices, value, node.name_span)]
        if counter:
            after.append(_set(counter, _sum(Name(counter), Number(1.0))))
        return [*before, *after]

    def _declared(self, site: Site, seen: Seen, counter: str) -> tuple[Expression, Expression]:
        """The location and the scale of a draw, and their declarations."""
        names = f"{site.name}.loc", f"{site.name}.scale"
        shape = (*((seen.times,) if counter else ()), *seen.shape)
        sizes = tuple(Number(float(size), str(size)) for size in shape)
        self.parameters += [Parameter(names[0], sizes, None, None), Parameter(names[1], sizes, Interval(0.0, INF), None)]
        parts = [Index(Name(name), (Name(counter),)) if counter else Name(name) for name in names]
        return parts[0], parts[1]

    # ------------------------------------------------------------------------------------------------ a full guide
    def _declared_full(self) -> list[Parameter]:
        size = Number(float(self.total), str(self.total))
        found = [Parameter("guide.loc", (size,), None, None), Parameter("guide.scale", (size,), Interval(0.0, INF), None)]
        return [*found, Parameter("guide.factor", (size, size), None, None)]

    def _drawn_together(self) -> list[Statement]:
        """u = loc + scale e + (strictly lower triangle of the factor) e, and the density of it."""
        e, u = Name("\1guide.e"), "\1guide.u"
        zeros = Call("zeros", (Argument(None, Number(float(self.total))),))
        law = Distribution("Normal", (Argument(None, zeros), Argument(None, Number(1.0))))
        mask = Vector(tuple(
            Vector(tuple(Number(1.0 if column < row else 0.0) for column in range(self.total))) for row in range(self.total)
        ))
        lower = Arithmetic(Name("guide.factor"), (Term("*", mask),))
        moved = Call("matmul", (Argument(None, lower), Argument(None, e)))
        scaled = Arithmetic(Name("guide.scale"), (Term("*", e),))
        value = Arithmetic(Name("guide.loc"), (Term("+", scaled), Term("+", moved)))
        logs = Call("log", (Argument(None, Name("guide.scale")),))
        return [
            Guided(e.id, (), law, None, law.span, "guide"), _set(u, value), _level([("-", LogPdf(law, e)), ("+", logs)]),
        ]

    def _part(self, site: Site, seen: Seen, counter: str) -> Expression:
        """The coordinates of a draw, of all that were drawn together."""
        size, first = math.prod(seen.shape), Number(float(self.offsets[site.index]))
        start: Expression = first
        if counter:
            start = Arithmetic(first, (Term("+", Arithmetic(Name(counter), (Term("*", Number(float(size))),))),))
        item: Expression | Slice = start if not seen.shape else Slice(start, _sum(start, Number(float(size))))
        return Index(Name("\1guide.u"), (item,))

    def _onto(self, raw: Name, site: Site) -> Onto:
        """What is drawn there, from the coordinates of the guide."""
        made = KNOTTED.get(site.distribution.name)
        if made is not None:
            return made(raw, math.prod(self.seen[site.index].shape))
        return ((), *between(raw, self.ends(site)))

    def ends(self, site: Site) -> Ends:
        """The support of a draw."""
        row, given = DISTRIBUTIONS[site.distribution.name], self.resolved.arguments[id(site.distribution)]
        if not any(parameter.moves_support for parameter in row.parameters):
            bounds: Bounds = row.support(dict.fromkeys(given, ANY))
            return Ends(end(bounds.low), end(bounds.high))
        moving = {"low": given.get("low"), "high": given.get("high")}
        if row.name == "Pareto":
            moving = {"low": given.get("scale"), "high": None}
        for node in moving.values():
            if node is not None and any(isinstance(part, Draw) for part in nodes_in(node)):
                raise _refusal(self.resolved, site, "an end of its support is drawn in its place", "give that draw a name")
        return Ends(*(None if node is None or infinite(node) else node for node in moving.values()))


def _sum(one: Expression, other: Expression) -> Arithmetic:
    return Arithmetic(one, (Term("+", other),))


def _set(name: str, value: Expression) -> Assign:
    return Implied(name, (), value)


def _level(terms: list[tuple[str, Expression]]) -> Assign:
    """Add the sums of the entries of these to the level."""
    parts = [Term(sign, Call("sum", (Argument(None, node),))) for sign, node in terms]
    first: Expression = parts[0].operand if parts[0].operator == "+" else Unary("-", parts[0].operand)
    return Implied(LEVEL, (), Arithmetic(first, (*parts[1:], Term("+", Name(LEVEL)))))


__all__ = ["Guide", "Seen", "guided", "guides_of", "several"]
