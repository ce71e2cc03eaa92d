"""Where the outcomes of a site are summed out, by the text: the statement after which lanes that it has split may meet again.

In a loop that is the last statement of a round after which lanes are merged: what is live there is carried from round to round.
Elsewhere it is the first statement after which the draw itself is no longer read, or only its mean; where there is none, the end of
the program or of the function.  (Lanes may meet before, and be fewer for it: `runtime/lanes/merging.py` tries after every one of
`Liveness.ends`.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..names.resolved import Resolved, Site
from ..names.scopes import nodes_in
from ..syntax import Block, Draw, For, Function, If, Node, Range, Return, Sample, Statement, While
from .liveness import Liveness

MOST_AHEAD = 256  # statements in which a place is looked for


@dataclass(frozen=True)
class Junction:
    """Where lanes meet: after a `statement` (None: at the end of the program's text), which closes a round of `loop`, or stands
    in no loop; a `return` is where results are made, and the lanes end."""

    statement: Statement | None
    loop: For | While | None = None


def find_junctions(resolved: Resolved, live: Liveness) -> dict[int, Junction]:
    """By site index."""
    search = _Junctions(resolved, live)
    search.block(resolved.program.body, ())
    for function in resolved.functions.values():
        search.block(function.body, ())
    return search.found


@dataclass(frozen=True)
class _Level:
    """A statement of a block that is being looked at; `loop`: the one whose body the block is."""

    block: Block
    number: int
    loop: For | While | None


@dataclass
class _Junctions:
    resolved: Resolved
    live: Liveness
    found: dict[int, Junction] = field(default_factory=dict)

    def block(self, body: Block, above: tuple[_Level, ...], loop: For | While | None = None) -> None:
        """All sites of some statements."""
        for number, node in enumerate(body.statements):
            if isinstance(node, Function):
                continue
            way = (*above, _Level(body, number, loop))
            if isinstance(node, If):
                self.sites((condition for condition, _ in node.branches), way)
                for inner in node.blocks:
                    self.block(inner, way)
            elif isinstance(node, For):
                bounds = node.iterable
                self.sites((bounds.start, bounds.stop) if isinstance(bounds, Range) else (bounds,), way)
                self.block(node.body, way, node)
            elif isinstance(node, While):
                self.sites((node.condition,), (*way, _Level(node.body, 0, node)))
                self.block(node.body, way, node)
            else:
                self.sites((node,), way)

    def sites(self, roots: object, way: tuple[_Level, ...]) -> None:
        """The sites in expressions, or in a statement that holds no others."""
        for root in roots:  # type: ignore[attr-defined]
            if isinstance(root, Node):
                for node in nodes_in(root):
                    if isinstance(node, Sample | Draw):
                        site = self.resolved.site_at[id(node)]
                        self.found[site.index] = self.junction(site, way)

    def junction(self, site: Site, way: tuple[_Level, ...]) -> Junction:
        """Of a site that stands at the end of a way of blocks."""
        for level in reversed(way):
            if level.loop is not None:
                after = [node for node in level.block.statements if id(node) in self.live.ends]
                begun = set(map(id, level.block.statements[level.number :]))
                for node in [other for other in reversed(after) if id(other) in begun] or after[-1:]:
                    return Junction(node, level.loop)
        name = site.node.name if isinstance(site.node, Sample) else ""
        state, ends = self.live.state, self.live.ends
        for level in reversed(way):
            for node in level.block.statements[level.number : level.number + MOST_AHEAD]:
                if isinstance(node, Return):
                    return Junction(node)
                if id(node) in ends and name not in state[id(node)]:
                    return Junction(node)
        return Junction(None)


__all__ = ["Junction", "find_junctions"]
