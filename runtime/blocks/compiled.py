"""Blocks of lanes as compiled code (`--compile`): the graph of one block, made into a few fused loops by torch.compile.

One block is run as always and written down (`recorder.py`), with parameters expanded to a row per run and random branches
executed on all lanes (`ways.py`).  The graph goes from parameters, data and noise to the moments of the block, so that
between drawing the noise and adding up nothing touches memory but once.  The noise of a block is drawn outside.
The graph holds while all checks come out as they did: those that depend on no draw are looked at once per call,
the others in every block; a block that fails them is run as it was written down, by the interpreter, from the same
noise, so that what is rare is not lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ...dsl.text.diagnostics import ProbError
from ..arrays.private import is_mutable
from ..graphs.fused import failed, together
from ..graphs.recorder import Recipe, Recorded, Recorder
from ..lanes.guards import Guards
from ..lanes.lessons import GuardBroken, NotCompiled, TooManyLanes
from .collect import Collected
from .session import Session

MOST_KEPT = 8  # graphs of one plan, for other sizes, settings and data
MOST_NODES = 20_000

Operation = tuple[fx.Node, Any, Any]  # with its target and arguments, which outlive the graph
Work = Callable[[Session, int], Collected]  # run a block of so many lanes


@dataclass
class Compiled:
    """A block as a function of the inputs and the noise; `seconds` that making it took."""

    code: Callable[..., tuple[Tensor, ...]]
    recipes: list[Recipe]
    early: list[Operation]  # what the noise and the early checks need, in order
    checks: list[tuple[fx.Node, bool | int | float | Tensor]]
    constants: dict[str, Tensor]
    template: Collected
    guards: Guards
    data: list[Tensor]
    seconds: float = 0.0

    def spent(self) -> float:
        """Seconds that making it took, the first time that they are asked for; then 0."""
        spent, self.seconds = self.seconds, 0.0
        return spent

    def fits(self, inputs: list[Tensor]) -> dict[fx.Node, Any] | None:
        """What depends on no draw, for these inputs; None where a check comes out differently."""
        known: dict[fx.Node, Any] = {}
        pending = iter(inputs)
        with torch.no_grad():
            for node, target, inwards in self.early:
                if node.op == "placeholder":
                    known[node] = next(pending)
                elif node.op == "get_attr":
                    known[node] = self.constants[str(target)]
                else:
                    arguments, options = fx.node.map_arg(inwards, known.__getitem__)
                    known[node] = target(*arguments, **options)
            if not all(_same(known[node], value) for node, value in self.checks):
                return None
        return known

    def run(self, block: Session, inputs: list[Tensor], known: dict[fx.Node, Any]) -> Collected | None:
        """A block; None where a check fails.  Raises GuardBroken."""
        noise = [recipe.draw(block.noise, known) for recipe in self.recipes]
        with torch.no_grad():
            fine, *tensors = self.code(*noise, *inputs)
        if not bool(fine):
            return None
        found = iter(tensors)
        part = self.template.refilled(block.settings, block.start, found)
        if not all(accumulator.finite for accumulator in part.accumulators()):
            raise NotCompiled("a value or a gradient is not finite")
        block.guards.refill(self.guards, found)
        return part


def inputs_of(session: Session) -> list[Tensor]:
    """The tensors that a graph starts from."""
    return [*session.parameters.values(), *(value for value in session.data.values() if isinstance(value, Tensor))]


def obtain(
    session: Session, inputs: list[Tensor], runs: int, work: Work
) -> tuple[Compiled, dict[fx.Node, Any]]:
    """The compiled block of `runs` lanes of a plan, from earlier or made now, and what depends on no draw; NotCompiled.

    `session` is that of a block with as many runs, which is run once more, by the interpreter.
    """
    settings = session.settings
    key = (
        runs, settings.dtype, settings.device, settings.of, settings.target_se is None, settings.max_steps,
        settings.max_depth, session.limits().lanes,
        tuple((name, tuple(value.shape)) for name, value in session.parameters.items()),
        tuple((name, value) for name, value in session.data.items() if not isinstance(value, Tensor)),
    )
    data = inputs[len(session.parameters):]
    assert session.plan is not None
    graphs: dict[Hashable, list[Compiled]] = session.resolved.prepared.once("compiled", session.plan.token, dict)
    kept = graphs.setdefault(key, [])
    for compiled in kept:
        same = all(mine is other or torch.equal(mine, other) for mine, other in zip(compiled.data, data, strict=True))
        if same and (known := compiled.fits(inputs)) is not None:
            return compiled, known
    started = time.perf_counter()
    compiled = _make(session, runs, work, inputs, data)
    known = compiled.fits(inputs)
    if known is None:
        raise NotCompiled("its checks do not hold")
    _try(compiled, session, inputs, known)
    compiled.seconds = time.perf_counter() - started
    kept.append(compiled)
    del kept[:-MOST_KEPT]
    return compiled, known


def _make(session: Session, runs: int, work: Work, inputs: list[Tensor], data: list[Tensor]) -> Compiled:
    """Run and write down."""
    recorder = Recorder(inputs)
    noise, session.noise = session.noise, Recorded(session.noise, recorder)
    try:
        with recorder.active():
            part = work(session, runs)
    except (ProbError, GuardBroken, TooManyLanes, RuntimeError) as problem:
        raise NotCompiled("a random branch cannot be executed where it is not taken") from problem
    finally:
        session.noise = noise
    graph = recorder.graph
    if len(graph.nodes) > MOST_NODES:
        raise NotCompiled(f"it takes {len(graph.nodes)} operations, more than are worth compiling")
    ends = [end for *_, parts in session.guards.pending for end in parts]
    outputs = [recorder.node(tensor) for tensor in (*part.pending(), *ends)]
    late = [(node, bool(value)) for node, value in recorder.checks if node in recorder.random]
    checks = [(node, value) for node, value in recorder.checks if node not in recorder.random]
    early = _needed(recorder, [node for node, _ in checks])
    graph.output((together(graph, late), *outputs))
    graph.erase_node(recorder.start)
    graph.eliminate_dead_code()
    module = fx.GraphModule(recorder.constants, graph)
    return Compiled(
        torch.compile(module, dynamic=False, fullgraph=True), [recipe for _, recipe in recorder.recipes], early, checks,
        recorder.constants, part, session.guards, data,
    )


def _try(compiled: Compiled, session: Session, inputs: list[Tensor], known: dict[fx.Node, Any]) -> None:
    """Let the compiler do its work; whatever it says, the program can be run without it."""
    session.again()
    try:
        compiled.run(session.at(0, session.start), inputs, known)
    except (GuardBroken, NotCompiled):
        raise
    except Exception as problem:
        raise failed(problem) from problem


def _needed(recorder: Recorder, checked: list[fx.Node]) -> list[Operation]:
    """Operations that depend on no draw and that checks or recipes need, in order; with whatever writes into memory."""
    wanted = set(checked)
    for _, recipe in recorder.recipes:
        fx.node.map_arg(recipe.arguments, wanted.add)
    every = [node for node in recorder.graph.nodes if node not in recorder.random and node is not recorder.start]
    for node in reversed(every):
        writes = node.op == "call_function" and is_mutable(node.target)
        if writes and not any(source in recorder.random for source in node.all_input_nodes):
            wanted.add(node)
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return [(node, node.target, (node.args, node.kwargs)) for node in every if node.op == "placeholder" or node in wanted]


def _same(found: Tensor, value: bool | int | float | Tensor) -> bool:
    """Whether what Python saw is seen again."""
    if isinstance(value, Tensor):
        return torch.equal(found, value)
    number = found.item()
    return bool(number == value) or (number != number and value != value)

