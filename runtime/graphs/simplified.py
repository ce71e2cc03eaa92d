"""What is left of a graph that was written down (`recorder.py`) when nothing is done twice, or in vain.

Whatever leads to no output and no check goes, and so does what changes nothing (a copy that nobody writes into, a view of the same
shape, `+ 0`, `* 1`); what is computed twice is computed once; what depends on no input is a constant.  Memory that something
writes into is left as it is, with all its writers.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ..arrays.private import is_mutable
from .recorder import Recipe, Recorder

aten = torch.ops.aten
COPIES = (aten.detach.default, aten.alias.default, aten.clone.default, aten._to_copy.default, aten.contiguous.default)
VIEWS = (aten.expand.default, aten.view.default, aten._unsafe_view.default, aten.reshape.default)
NEUTRAL: dict[Any, int] = {  # with their second operand
    aten.add.Tensor: 0, aten.sub.Tensor: 0, aten.add.Scalar: 0, aten.mul.Tensor: 1, aten.mul.Scalar: 1, aten.div.Tensor: 1,
    aten.div.Scalar: 1,
}
MADE_OF_SHAPES = (
    aten.ones_like.default, aten.zeros_like.default, aten.full_like.default, aten.new_zeros.default, aten.new_ones.default,
    aten.new_full.default, aten.zeros.default, aten.ones.default, aten.full.default, aten.arange.default, aten.arange.start,
    aten.arange.start_step, aten.scalar_tensor.default, aten.eye.default,
)


class Simplified:
    """The nodes of a graph that are needed for `outputs`, in order.

    `nodes` are those to be computed, drawn or checked; `constants` what is known beforehand; `of(node)` is the node that has the
    value of one that is gone.
    """

    def __init__(self, recorder: Recorder, outputs: Sequence[fx.Node]):
        self.recorder = recorder
        self.written = recorder.written
        self.same: dict[fx.Node, fx.Node] = {}
        self.constants: dict[fx.Node, Tensor] = {}
        self.checked = dict.fromkeys(node for node, _ in recorder.checks)
        outputs = [*outputs, *(node for nodes in recorder.looked_at for node in nodes)]
        self.draws = dict(recorder.recipes)
        needed = self._needed(outputs)
        seen: dict[str, fx.Node] = {}
        left = []
        for node in recorder.graph.nodes:
            if node in needed and not self._spared(node, seen):
                left.append(node)
        used = {source for node in left for source in self.sources(node)}
        used |= {self.of(node) for node in (*outputs, *self.checked)}
        self.nodes = [node for node in left if node in used or self.recipe(node) is not None or self.writes(node)]
        self.constants = {node: value for node, value in self.constants.items() if node in used}

    def of(self, node: fx.Node) -> fx.Node:
        """The node with its value."""
        return self.same.get(node, node)

    def recipe(self, node: fx.Node) -> Recipe | None:
        """How it is drawn, if it is."""
        return next((self.draws[source] for source in node.all_input_nodes if source in self.draws), None)

    def sources(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that it is computed from, or drawn with."""
        recipe = self.recipe(node)
        if recipe is None:
            return [self.of(source) for source in node.all_input_nodes]
        found: list[fx.Node] = []
        fx.node.map_arg(recipe.arguments, lambda source: found.append(self.of(source)))
        return found

    def tensor(self, node: fx.Node) -> Tensor | None:
        """Its value when the graph was written down."""
        return self.recorder.tensors.get(node)

    def writes(self, node: fx.Node) -> bool:
        """Whether it writes into memory."""
        return node.op == "call_function" and is_mutable(node.target)

    def untouched(self, node: fx.Node) -> bool:
        """Whether nothing writes into its memory."""
        return self.recorder.memory.get(node) not in self.written

    def _needed(self, outputs: Sequence[fx.Node]) -> set[fx.Node]:
        """What outputs, checks and draws need, with whoever writes into memory that is read later."""
        wanted = {*outputs, *self.checked}
        needed: set[fx.Node] = set()
        memories: set[int] = set()  # of what is read later
        for node in reversed(self.recorder.graph.nodes):
            drawn = self.recipe(node) is not None
            if node in wanted or drawn or (self.writes(node) and self.recorder.memory.get(node) in memories):
                sources = self.sources(node)
                needed.add(node)
                wanted.update(sources)
                memories.update(self.recorder.memory[each] for each in (node, *sources) if each in self.recorder.memory)
        return needed

    def _spared(self, node: fx.Node, seen: dict[str, fx.Node]) -> bool:
        """Whether it need not be computed: it is known, or has the value of another."""
        if node.op == "get_attr":
            if self.untouched(node):
                self.constants[node] = self.recorder.constants[str(node.target)]
            return self.untouched(node)
        if node.op != "call_function" or self.writes(node) or not self.untouched(node):
            return node.op == "placeholder"
        if self.recipe(node) is not None:
            return False
        sources = self.sources(node)
        if not all(map(self.untouched, sources)):
            return False
        fixed = node.target in MADE_OF_SHAPES or (bool(sources) and all(source in self.constants for source in sources))
        if fixed and (value := self.tensor(node)) is not None:
            self.constants[node] = value
            return True
        other = self._equal(node)
        if other is None:
            key = repr((str(node.target), fx.node.map_arg((node.args, node.kwargs), self.of)))
            other = seen.setdefault(key, node)
        if other is not node:
            self.same[node] = other
        return other is not node

    def _equal(self, node: fx.Node) -> fx.Node | None:
        """The operand that it is equal to."""
        if not node.args or not isinstance(node.args[0], fx.Node) or node.target is operator.getitem:
            return None
        source = self.of(node.args[0])
        value, before = self.tensor(node), self.tensor(source)
        if value is None or before is None or not _alike(value, before):
            return None
        neutral = NEUTRAL.get(node.target) if len(node.args) == 2 and not node.kwargs else None
        second: Any = node.args[1] if len(node.args) > 1 else None
        if node.target in COPIES or node.target in VIEWS or (
            neutral is not None and isinstance(second, int | float) and second == neutral
        ):
            return source
        return None


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether they lie in memory alike."""
    return one.shape == other.shape and one.stride() == other.stride() and one.dtype == other.dtype and one.device == other.device
