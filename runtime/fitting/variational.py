"""Variational inference with a guide that is made by itself: what is drawn where, a place to begin, and the program to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributions import CorrCholeskyTransform, StickBreakingTransform, Transform

from ...dsl.names.resolve import resolve
from ...dsl.names.resolved import Resolved, Site
from ...dsl.planning.guides import Seen, guided, guides_of, several
from ...dsl.planning.onto import coordinates
from ...dsl.syntax import Draw, Sample
from ...dsl.tables.distributions import DISTRIBUTIONS
from ..arrays.function_code import Context
from ..blocks.settings import Settings, room
from ..estimates.binding import bind_values
from ..lanes.frames import Frame
from ..lanes.values import Plain
from ..laws.noise import Fresh
from ..machine.interpreter import Interpreter

LOOKS = 200  # runs that tell what is drawn where
NARROW, WIDE = 0.05, 1.0  # scales that a guide begins with
PART = 0.3  # of the spread of the prior
INWARD: dict[str, Transform] = {"Dirichlet": StickBreakingTransform(), "LKJCholesky": CorrCholeskyTransform()}  # as in `onto.py`


@dataclass
class _Seen:
    """What was drawn at a site, each time: in how many lanes, and the draws."""

    lanes: list[int] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


class _Looking(Interpreter):
    """An interpreter that writes down what is drawn."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.drawn: dict[int, _Seen] = {}

    def note_draw(self, node: Sample | Draw, value: Plain, log_weight: Tensor | None, frame: Frame) -> None:
        """As always, and remember."""
        super().note_draw(node, value, log_weight, frame)
        found = self.drawn.setdefault(self.resolved.site_at[id(node)].index, _Seen())
        found.lanes.append(frame.lanes.count)
        found.values.append(value.tensor(self.dtype, self.device).detach().expand(frame.lanes.count, *value.shape))


@dataclass(frozen=True)
class Guiding:
    """A `program` with a guide, where the guide's parameters begin, and the sites that are guided."""

    program: Resolved
    start: dict[str, Tensor]
    sites: tuple[Site, ...]


def guiding(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], settings: Settings, full: bool
) -> Guiding:
    """Make a guide for a program, after a look at what it draws."""
    sites = guides_of(resolved)
    context = Context(torch.float64, torch.device("cpu"))
    bound, known = bind_values(resolved, parameters, data, torch.float64, context.device)
    noise = Fresh(torch.Generator().manual_seed(settings.seed % 2**63))
    machine = _Looking(resolved, {}, context, noise)
    with room(grad=False):
        machine.run({name: value.detach().unsqueeze(0) for name, value in bound.items()}, known, LOOKS)
    drawn = {site.index: machine.drawn[site.index] for site in sites if site.index in machine.drawn}
    seen = _seen(resolved, sites, drawn)
    guide = guided(resolved, seen, full)
    start: dict[str, Tensor] = {}
    together: list[tuple[Tensor, Tensor]] = []
    met = tuple(site for site in sites if site.index in seen)
    for site in met:
        rows = [_begin(site, value) for value in drawn[site.index].values]
        place, scale = (torch.stack([row[number] for row in rows]) for number in (0, 1))
        if full:
            together.append((place.reshape(-1), scale.reshape(-1)))
        else:
            start[f"{site.name}.loc"], start[f"{site.name}.scale"] = (place[0], scale[0]) if len(rows) == 1 else (place, scale)
    if together:
        start = {f"guide.{name}": torch.cat([pair[number] for pair in together]) for number, name in enumerate(("loc", "scale"))}
        size = start["guide.loc"].shape[0]
        start["guide.factor"] = torch.zeros(size, size, dtype=torch.float64)
    return Guiding(resolve(guide.program, resolved.external), start, met)


def _seen(resolved: Resolved, sites: Sequence[Site], drawn: Mapping[int, _Seen]) -> dict[int, Seen]:
    """What was drawn at the sites that have coordinates (one correlation matrix of one variable has none).  P0612."""
    found: dict[int, Seen] = {}
    for site in sites:
        if site.index in drawn:
            name, met = site.distribution.name, drawn[site.index]
            shape = coordinates(name, DISTRIBUTIONS[name].event, tuple(met.values[0].shape[1:]))
            if shape is None:
                raise several(resolved, site)
            if 0 not in shape:
                found[site.index] = Seen(len(met.values), shape, all(lanes == LOOKS for lanes in met.lanes))
    return found


def _begin(site: Site, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Where the guide of a draw begins: in the middle of the prior's draws `[runs, *shape]`, and narrower, in its coordinates."""
    row = DISTRIBUTIONS[site.distribution.name]
    bounds = row.support({})
    if row.name in INWARD:
        inner = INWARD[row.name].inv(drawn)
    elif any(parameter.moves_support for parameter in row.parameters):
        inner = torch.zeros_like(drawn)
    elif bounds.low == 0 and bounds.high == 1:
        inner = torch.logit(drawn, 1e-6)
    elif bounds.low == 0:
        inner = drawn.clamp_min(1e-300).log()
    else:
        inner = drawn
    spread = (inner.quantile(0.75, 0) - inner.quantile(0.25, 0)) / 1.35
    return inner.median(0).values.clamp(-20, 20), (PART * spread).clamp(NARROW, WIDE)


__all__ = ["Guiding", "guiding"]
