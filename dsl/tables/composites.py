"""Distributions of distributions: the row of `Truncated(Normal)` or `Mixture(Normal, Gamma)` is made of those of the parts.

Their arguments stand in one list, so that everything that knows a row knows these too: those of the parts (of a mixture with the
number of the part behind: `loc_1`, `loc_2`), and the ends or the weights.
"""

from __future__ import annotations

from dataclasses import replace

from .distribution_facts import DistributionRow, Domain, ParameterRow, Ranges
from .ranges import Bounds, join

TRUNCATED, MIXTURE = "Truncated", "Mixture"
COMPOSITES = (TRUNCATED, MIXTURE)


def composite(kind: str, parts: tuple[DistributionRow, ...]) -> DistributionRow:
    """The row of a kind with these parts."""
    return _truncated(parts[0]) if kind == TRUNCATED else _mixture(parts)


def unfit(kind: str, parts: tuple[DistributionRow, ...]) -> str:
    """Why no such distribution can be made of the parts (an empty string where it can)."""
    if kind == TRUNCATED:
        base = parts[0]
        if base.discrete or not base.cumulative:
            return "only a continuous distribution of one number can be truncated"
        moving = [p.name for p in base.parameters if p.moves_support]
        return f"{base.name} has ends of its own that move with `{moving[0]}`" if moving else ""
    if any(row.event for row in parts):
        return "only distributions of one number can be mixed"
    if len({row.discrete for row in parts}) > 1:
        return "a continuous distribution cannot be mixed with a discrete one"
    if sum(row.kinked for row in parts) > 1:
        return "at most one part may have a density with a kink"
    return ""


def _truncated(base: DistributionRow) -> DistributionRow:
    ends = tuple(ParameterRow(name, Domain.EXTENDED, reparameterised=True, moves_support=True) for name in ("low", "high"))

    def support(given: Ranges) -> Bounds:
        outer = base.support(given)
        low, high = given.get("low", Bounds()), given.get("high", Bounds())
        return Bounds(max(outer.low, low.low), max(min(outer.high, high.high), max(outer.low, low.low)))

    return DistributionRow(
        f"{TRUNCATED}({base.name})", (*base.parameters, *ends), support=support,
        kinked=base.kinked, bends_at=base.kink if base.kinked else "",
        ordered=("low", "high"), by_inverse=True, parts=(base,), summary=f"{base.name}, kept between `low` and `high`",
    )


def _mixture(parts: tuple[DistributionRow, ...]) -> DistributionRow:
    smooth = all(row.cumulative and not row.discrete for row in parts) and _one_support(parts)
    numbered = tuple(
        replace(p, name=f"{p.name}_{i}", reparameterised=p.reparameterised and smooth)
        for i, row in enumerate(parts, 1) for p in row.parameters
    )
    kinks = [f"{row.kink}_{i}" for i, row in enumerate(parts, 1) if row.kinked]

    def support(given: Ranges) -> Bounds:
        found: Bounds | None = None
        for i, row in enumerate(parts, 1):
            own = row.support({p.name: given[key] for p in row.parameters if (key := f"{p.name}_{i}") in given})
            found = own if found is None else join(found, own)
        assert found is not None
        return found

    return DistributionRow(
        f"{MIXTURE}({', '.join(row.name for row in parts)})",
        (ParameterRow("weights", Domain.PROBABILITIES, event=1), *numbered),
        discrete=parts[0].discrete, finite=all(row.finite for row in parts), forks=False, support=support,
        whole_line=all(row.whole_line for row in parts), kinked=bool(kinks), bends_at=kinks[0] if kinks else "",
        value_smooth=all(row.value_smooth for row in parts), periodic=any(row.periodic for row in parts), parts=parts,
        summary="one of several distributions, drawn by weight",
    )


def _one_support(parts: tuple[DistributionRow, ...]) -> bool:
    """Whether all parts have the same support, which stands still: then the distribution function has no flat stretch."""
    still = not any(p.moves_support for row in parts for p in row.parameters)
    first = parts[0].support({})
    return still and all((row.support({}).low, row.support({}).high) == (first.low, first.high) for row in parts)


class DistributionTable(dict[str, DistributionRow]):
    """The table: its rows by name, and those of what is made of them, made when they are asked for."""

    def __init__(self, rows: tuple[DistributionRow, ...]):
        super().__init__({row.name: row for row in rows})
        self.made: dict[str, DistributionRow] = {}

    def __missing__(self, name: str) -> DistributionRow:
        if name not in self.made:
            kind, inside, rest = name.partition("(")
            if kind not in COMPOSITES or not inside or not rest.endswith(")"):
                raise KeyError(name)
            self.made[name] = composite(kind, tuple(self[part] for part in _split(rest[:-1])))
        return self.made[name]

    def get(self, name: str, default: DistributionRow | None = None) -> DistributionRow | None:  # type: ignore[override]
        """The row of a name, or what is given for none."""
        try:
            return self[name]
        except KeyError:
            return default


def _split(text: str) -> list[str]:
    """Names between commas that stand in no brackets."""
    found, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            found.append("")
        else:
            found[-1] += sign
    return [name.strip() for name in found]
