"""Writes down what torch computes for one block, as a graph over the parameters, the data and the noise.

A block is run as always, under a dispatch mode that sees every operation, those of the backward pass too.  Random numbers
become inputs of the graph (`Recorded`), each with a recipe to draw it again; so the same noise gives the same numbers as the
block itself would draw.  A truth value that Python asked for becomes a check: the graph holds only where it comes out the same.
What cannot be written down (other numbers that Python reads off a draw, shapes that depend on draws, draws from
distributions whose arguments are themselves random) raises `NotCompiled`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..arrays.broadcast import Shape
from ..arrays.private import TorchDispatchMode, is_mutable, memory_of, unloaded
from ..lanes.lessons import NotCompiled
from ..laws.noise import Noise

aten = torch.ops.aten
@dataclass(frozen=True)
class Recipe:
    """A primitive draw (a method of `Noise`) and its arguments, in which nodes stand for tensors that depend on no draw."""

    name: str
    arguments: tuple[Any, ...]

    def draw(self, noise: Noise, known: Mapping[fx.Node, Any]) -> Tensor:
        """Draw again."""
        arguments = [fx.node.map_arg(part, known.__getitem__) for part in self.arguments]
        drawn: Tensor = getattr(noise, self.name)(*arguments)
        return drawn


class Recorder(TorchDispatchMode or object):  # type: ignore[misc]
    """The graph of what is computed while it is active."""

    def __init__(self, inputs: Sequence[Tensor], watching: bool = False, noting: bool = False):
        super().__init__()
        self.watching, self.noting = watching, noting  # questions about values are put again in every replay, and notes taken again
        self.notes: list[tuple[Callable[..., None], tuple[fx.Node, ...]]] = []
        self.questions: list[tuple[Callable[..., bool], tuple[fx.Node, ...], bool]] = []
        self.drawing = False
        self.graph = fx.Graph()
        self.random: set[fx.Node] = set()  # what depends on a draw
        self.spoilt: set[int] = set()  # memory into which something random was written
        self.written: set[int] = set()  # memory into which anything was written
        self.tensors: dict[fx.Node, Tensor] = {}  # what nodes came to; they keep their memory
        self.memory: dict[fx.Node, int] = {}
        self.recipes: list[tuple[fx.Node, Recipe]] = []
        self.checks: list[tuple[fx.Node, bool | int | float | Tensor]] = []
        self.constants: dict[str, Tensor] = {}
        self._nodes: dict[int, fx.Node] = {}
        self.start = self.graph.placeholder("start")  # in front of it the noise
        self.inputs = [self.graph.placeholder(f"input_{number}") for number in range(len(inputs))]
        for node, tensor in zip(self.inputs, inputs, strict=True):
            self._bind(node, tensor)

    def enter(self, tensor: Tensor) -> Tensor:
        """An input that comes later."""
        with self.graph.inserting_before(self.start):
            node = self.graph.placeholder(f"input_{len(self.inputs)}")
        self.inputs.append(node)
        self._bind(node, tensor)
        return tensor

    @contextmanager
    def active(self) -> Iterator[None]:
        """Write down what happens inside."""
        if TorchDispatchMode is None:
            raise NotCompiled("this torch does not show its operations")
        with unloaded(Recorder.__torch_dispatch__), self:
            yield

    def node(self, tensor: Tensor) -> fx.Node:
        """The node of a tensor."""
        known = self._nodes.get(id(tensor))
        if known is not None:
            return known
        if tensor.dim():
            raise NotCompiled("it uses an array that was made beforehand")
        return self._constant(tensor)

    # ------------------------------------------------------------------------------------------------ operations
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.drawing:
            return func(*args, **kwargs)
        if func is aten._local_scalar_dense.default:
            return self._read(args[0])
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise NotCompiled("one of its distributions is drawn by torch's own class")
        if func is aten.lift_fresh.default:  # a literal
            self._constant(args[0])
        nodes = fx.node.map_aggregate((args, kwargs), self._mapped)
        random = any(self._is_random(tensor) for tensor in _tensors((args, kwargs)))
        if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags):
            if random:
                raise NotCompiled("what it does depends on the numbers that it draws")
            return self._settle(func, args, kwargs, nodes)
        result = func(*args, **kwargs)
        node = self.graph.call_function(func, *nodes)
        if random:
            self.random.add(node)
        if is_mutable(func):
            into = {memory_of(tensor) for tensor in _tensors(result)}
            self.written |= into
            self.spoilt |= into if random else set()
        self._bind(node, result)
        return result

    def _read(self, tensor: Tensor) -> Any:
        value = aten._local_scalar_dense.default(tensor)
        if id(tensor) not in self._nodes:
            return value
        if self._is_random(tensor) and not isinstance(value, bool):
            raise NotCompiled("what it does depends on the numbers that it draws")
        self.checks.append((self.node(tensor), value))
        return value

    def _settle(self, func: Any, args: Any, kwargs: Any, nodes: Any) -> Any:
        """Something whose very shape depends on the parameters: the graph holds while it comes out the same."""
        result = func(*args, **kwargs)
        node = self.graph.call_function(func, *nodes)
        if not isinstance(result, Tensor):
            raise NotCompiled("the shape of an array depends on the parameters")
        self.checks.append((node, result))
        self._constant(result)
        return result

    def _constant(self, tensor: Tensor) -> fx.Node:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = tensor.detach().clone()
        node = self.graph.get_attr(name)
        self._bind(node, tensor)
        return node

    def asked(self, question: Callable[..., bool], tensors: Sequence[Tensor]) -> bool:
        """The answer to a question that torch does not see; No where nobody watches: a block before this one has given it."""
        if not self.watching:
            return False
        nodes = tuple(map(self.node, tensors))
        self.drawing = True
        try:
            with torch.no_grad():
                answer = question(*tensors)
        finally:
            self.drawing = False
        self.questions.append((question, nodes, answer))
        return answer

    @property
    def looked_at(self) -> list[tuple[fx.Node, ...]]:
        """What questions and notes are about."""
        return [*(nodes for _, nodes, _ in self.questions), *(nodes for _, nodes in self.notes)]

    def noted(self, note: Callable[..., None], tensors: Sequence[Tensor]) -> None:
        """Somebody takes note of numbers; so it is in every replay, with what that is for in front."""
        if self.noting:
            self.notes.append((note, tuple(map(self.node, tensors))))

    def draw(self, noise: Noise, name: str, *arguments: Any) -> Tensor:
        """Let the noise draw; in the graph it is an input."""
        if any(self._is_random(tensor) for tensor in _tensors(arguments)):
            raise NotCompiled("the arguments of a draw that depends on them in no simple way are themselves random")
        nodes = tuple(self._mapped(part) for part in arguments)
        self.drawing = True
        try:
            drawn: Tensor = getattr(noise, name)(*arguments)
        finally:
            self.drawing = False
        with self.graph.inserting_before(self.start):
            source = self.graph.placeholder(f"noise_{len(self.recipes)}")
        self.recipes.append((source, Recipe(name, nodes)))
        copy = self.graph.call_function(aten.clone.default, (source,))  # what follows may write into it
        self.random.update((source, copy))
        self.spoilt.add(memory_of(drawn))
        self._bind(copy, drawn)
        return drawn

    def _mapped(self, part: Any) -> Any:
        return self.node(part) if isinstance(part, Tensor) else part

    def _is_random(self, tensor: Tensor) -> bool:
        return self._nodes.get(id(tensor)) in self.random or memory_of(tensor) in self.spoilt

    def _bind(self, node: fx.Node, result: Any) -> None:
        if isinstance(result, Tensor):
            self._nodes[id(result)] = node
            self.tensors[node] = result
            self.memory[node] = memory_of(result)
        elif isinstance(result, list | tuple):
            for number, part in enumerate(result):
                item = self.graph.call_function(operator.getitem, (node, number))
                if node in self.random:
                    self.random.add(item)
                self._bind(item, part)
        elif result is not None:
            raise NotCompiled("what it does depends on the numbers that it draws")


def _tensors(parts: Any) -> Iterator[Tensor]:
    if isinstance(parts, Tensor):
        yield parts
    elif isinstance(parts, dict):
        yield from _tensors(tuple(parts.values()))
    elif isinstance(parts, list | tuple):
        for part in parts:
            yield from _tensors(part)


class Recorded(Noise):
    """The noise of a block that is being written down: every primitive draw becomes an input of the graph."""

    def __init__(self, noise: Noise, recorder: Recorder):
        self.noise = noise
        self.recorder = recorder

    def rand(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return self.recorder.draw(self.noise, "rand", shape, dtype, device)

    def randn(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return self.recorder.draw(self.noise, "randn", shape, dtype, device)

    def bits(self, count: int) -> Tensor:
        return self.recorder.draw(self.noise, "bits", count)

    def tangents(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        return self.recorder.draw(self.noise, "tangents", shape, dtype, device)

    def gamma(self, concentration: Tensor) -> Tensor:
        return self.recorder.draw(self.noise, "gamma", concentration)

    def dirichlet(self, concentration: Tensor) -> Tensor:
        return self.recorder.draw(self.noise, "dirichlet", concentration)

    def binomial(self, count: Tensor, chance: Tensor) -> Tensor:
        return self.recorder.draw(self.noise, "binomial", count, chance)

    def poisson(self, rate: Tensor) -> Tensor:
        return self.recorder.draw(self.noise, "poisson", rate)

    def seed(self) -> int:
        raise NotCompiled("one of its distributions is drawn by torch's own class")
