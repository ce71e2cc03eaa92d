"""Nodes of a graph as a few loops over memory, made by torch's compiler; truth values that must hold come out as one flag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ..arrays.private import compiled_graph
from ..lanes.lessons import NotCompiled
from .simplified import Simplified

aten = torch.ops.aten
Kernel = Callable[..., Sequence[Tensor]]  # from what the nodes use to the flag and what is asked for


def fused(
    simplified: Simplified, nodes: Sequence[fx.Node], takes: Sequence[fx.Node], gives: Sequence[fx.Node],
    checks: Sequence[tuple[fx.Node, Any]],
) -> Kernel:
    """The `nodes` as a function of `takes`: whether all `checks` come out as they did, and what `gives` come to.  NotCompiled."""
    graph, place = fx.Graph(), {}
    for node in takes:
        place[node] = graph.placeholder(node.name)
    constants: dict[str, Tensor] = {}

    def own(node: fx.Node) -> fx.Node:
        node = simplified.of(node)
        if node not in place:
            name = f"constant_{len(constants)}"
            constants[name] = simplified.constants[node]
            place[node] = graph.get_attr(name)
        return place[node]

    for node in nodes:
        if node.op == "get_attr":  # something writes into it
            name = f"constant_{len(constants)}"
            constants[name] = simplified.recorder.constants[str(node.target)]
            place[node] = graph.call_function(aten.clone.default, (graph.get_attr(name),))
        else:
            arguments, options = fx.node.map_arg((node.args, node.kwargs), own)
            place[node] = graph.call_function(node.target, arguments, options)  # type: ignore[arg-type]
    graph.output((together(graph, [(own(node), value) for node, value in checks]), *map(own, gives)))
    examples = []
    for node in takes:
        value = simplified.tensor(node)
        if value is None:
            raise NotCompiled("an operation gives several tensors where draws are made")
        examples.append(value.detach())
    try:
        with torch.no_grad():
            kernel: Kernel = compiled_graph(fx.GraphModule(constants, graph), examples)
            kernel(*[example.clone() for example in examples])
    except Exception as problem:
        raise failed(problem) from problem
    return kernel


def failed(problem: Exception) -> NotCompiled:
    """What is said of an error of torch's compiler."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return NotCompiled(f"torch.compile failed: {lines[0][:200]}")


def together(graph: fx.Graph, checks: Sequence[tuple[fx.Node, Any]]) -> fx.Node:
    """One truth value: every check comes out as it did."""
    whole: fx.Node | None = None
    for node, value in checks:
        if isinstance(value, bool):
            held = graph.call_function(aten.all.default, (node,))
            held = held if value else graph.call_function(aten.logical_not.default, (held,))
        elif value != value:
            held = graph.call_function(aten.all.default, (graph.call_function(aten.isnan.default, (node,)),))
        else:
            held = graph.call_function(aten.all.default, (graph.call_function(aten.eq.Scalar, (node, value)),))
        whole = held if whole is None else graph.call_function(aten.logical_and.default, (whole, held))
    return whole if whole is not None else graph.call_function(aten.ones.default, ([],), {"dtype": torch.bool})
