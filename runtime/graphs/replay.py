"""A graph that was written down, as lines of Python: the same operations of torch without the walk over the program.

`first` goes from noise and inputs to the early outputs, and gives up (None) where a check comes out differently; `second` goes on
from what that kept, with inputs that come later (what a backward pass of the caller brings).  Checks of single numbers on the CPU
are made by Python, where each costs a tenth of an operation of torch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ..arrays.private import direct
from ..lanes.lessons import NotCompiled
from ..laws.noise import Noise
from .fused import fused
from .recorder import Recorder
from .simplified import MADE_OF_SHAPES, Simplified

MOST_RUNS = 50_000  # of a block that is replayed; of more the walk over the program is a small part
MOST_NODES = 5_000
TRIED = 8  # replays after which half must have held

aten = torch.ops.aten
Kept = tuple[Any, ...]  # what the second stage needs of the first
COMPARED = {
    aten.ge.Scalar: ">=", aten.le.Scalar: "<=", aten.gt.Scalar: ">", aten.lt.Scalar: "<", aten.eq.Scalar: "==",
    aten.ne.Scalar: "!=",
}
JOINED = {
    aten.bitwise_and.Tensor: "and", aten.bitwise_or.Tensor: "or", aten.logical_and.default: "and", aten.logical_or.default: "or",
}
SINGLE = (aten.any.default, aten.all.default, aten.amin.default, aten.amax.default, aten.aminmax.default, operator.getitem)
NEGATED = (aten.logical_not.default, aten.bitwise_not.default)
ARITHMETIC = ("add", "sub", "mul", "div", "ge", "le", "gt", "lt", "eq", "ne")
PLAIN = {  # torch's own functions parse their arguments faster
    *ARITHMETIC, "neg", "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tanh", "sigmoid", "abs", "square", "reciprocal",
    "logical_and", "logical_not", "bitwise_and", "bitwise_or", "where", "sign", "floor", "maximum", "minimum", "lgamma", "digamma",
}


class Replay:
    """A recorded graph as code.

    `outputs` are nodes; `afterwards` those of the second stage, which goes on with the inputs `later`.  `fuse`: all that no draw
    needs is left to torch's compiler.  Raises NotCompiled where there is too much of it, the stages cannot be told apart, or the
    compiler fails.
    """

    def __init__(
        self, recorder: Recorder, outputs: Sequence[fx.Node], afterwards: Sequence[fx.Node] = (), later: Sequence[fx.Node] = (),
        fuse: bool = False,
    ):
        if len(recorder.graph.nodes) > MOST_NODES:
            raise NotCompiled(f"it takes {len(recorder.graph.nodes)} operations, more than are worth writing down")
        simplified = Simplified(recorder, [*outputs, *afterwards])
        early, finish = ([simplified.of(node) for node in nodes] for nodes in (outputs, afterwards))
        late = _late(simplified, later)
        if late.intersection(early):
            raise NotCompiled("what comes first depends on what comes later")
        before, after = ([node for node in simplified.nodes if (node in late) == again] for again in (False, True))
        kept = [
            node for node in dict.fromkeys([*(source for node in after for source in simplified.sources(node)), *finish])
            if node not in late and node not in simplified.constants
        ]
        inputs = [node for node in recorder.inputs if node not in late]
        asked = [simplified.of(node) for nodes in recorder.looked_at for node in nodes]
        self.questions = [(question, len(nodes), answer) for question, nodes, answer in recorder.questions]
        self.notes = [(note, len(nodes)) for note, nodes in recorder.notes]
        lines = _Lines(simplified)
        make = lines.fused if fuse else lines.function
        self.begin: Callable[[Noise, Sequence[Tensor]], tuple[tuple[Tensor, ...], Kept, tuple[Tensor, ...]] | None] = make(
            ("noise",), inputs, before, (early, kept, asked)
        )
        self.second: Callable[[Kept, Sequence[Tensor]], tuple[tuple[Tensor, ...]]] | None = (
            make((), kept, after, (finish,), list(later)) if later else None
        )
        self.tried = self.held = 0  # how often it was begun, and to the end

    @property
    def useless(self) -> bool:
        """Whether its checks fail more often than not."""
        return self.tried >= TRIED and 2 * self.held < self.tried

    def first(self, noise: Noise, inputs: Sequence[Tensor], owner: Any = None) -> tuple[tuple[Tensor, ...], Kept] | None:
        """The early outputs, and what the second stage needs; None where a check or a question comes out differently.  Notes are
        taken for the `owner`."""
        self.tried += 1
        found = self.begin(noise, inputs)
        if found is None:
            return None
        outputs, kept, asked = found
        place = 0
        for question, count, answer in self.questions:
            if question(*asked[place : place + count]) != answer:
                return None
            place += count
        for note, count in self.notes:
            note(owner, *asked[place : place + count])
            place += count
        return outputs, kept


def _late(simplified: Simplified, later: Sequence[fx.Node]) -> set[fx.Node]:
    """What depends on later inputs; NotCompiled."""
    late, memory = set(later), simplified.recorder.memory
    for node in simplified.nodes:
        if late.intersection(simplified.sources(node)):
            late.add(node)
    into = {memory.get(node) for node in late if simplified.writes(node)}
    late.update(node for node in simplified.nodes if node.target in MADE_OF_SHAPES and memory.get(node) in into)
    if any(memory.get(node) in into for node in simplified.nodes if node not in late):
        raise NotCompiled("a derivative is written into memory that is needed again")
    return late


class _Lines:
    """Writes functions, one line for each node; objects that are no literals are the globals of these."""

    def __init__(self, simplified: Simplified):
        self.simplified = simplified
        self.globals: dict[str, Any] = {"equal": torch.equal}
        self.known: dict[int, str] = {}
        self.names: dict[fx.Node, str] = {}
        self.checks: dict[fx.Node, list[Any]] = {}
        for node, value in simplified.recorder.checks:
            self.checks.setdefault(simplified.of(node), []).append(value)
        self.users: dict[fx.Node, list[fx.Node]] = {}
        for node in simplified.nodes:
            for source in set(simplified.sources(node)):
                self.users.setdefault(source, []).append(node)
        self.soft: set[fx.Node] = set()  # computed by Python

    def function(
        self, more: tuple[str, ...], inputs: Sequence[fx.Node], nodes: Sequence[fx.Node], outputs: Sequence[Sequence[fx.Node]],
        second: Sequence[fx.Node] = (),
    ) -> Callable[..., Any]:
        """A function of `more` and of one or two sequences of tensors, that gives a tuple for each sequence of outputs."""
        ends = {node for part in outputs for node in part}
        self._soften(nodes, ends)
        lines = self._body(inputs, nodes, ends, second)
        return self._made(lines, more, outputs, second)

    def fused(
        self, more: tuple[str, ...], inputs: Sequence[fx.Node], nodes: Sequence[fx.Node], outputs: Sequence[Sequence[fx.Node]],
        second: Sequence[fx.Node] = (),
    ) -> Callable[..., Any]:
        """The same, of lines for the draws and what they need only, and a call of what the compiler made of the rest."""
        simplified, sources = self.simplified, self.simplified.sources
        apart: set[fx.Node] = set()
        for node in reversed(nodes):
            if simplified.recipe(node) is not None or apart.intersection(self.users.get(node, [])):
                apart.add(node)
        drawing, rest = [node for node in nodes if node in apart], [node for node in nodes if node not in apart]
        into = {simplified.recorder.memory.get(node) for node in drawing if simplified.writes(node)}
        checks = [(node, value) for node in rest for value in dict.fromkeys(self.checks.get(node, []))]
        shared = any(simplified.recorder.memory.get(node) in into for node in rest)
        if shared or any(isinstance(value, Tensor) for _, value in checks):
            raise NotCompiled("what is drawn depends on the parameters in no simple way")
        ends = {node for part in outputs for node in part}
        gives = [node for node in rest if node in ends]
        wanted = {source for node in rest for source in sources(node)}
        takes = [node for node in (*inputs, *second, *drawing) if node in wanted]
        kernel = self._global(fused(simplified, rest, takes, gives, checks))
        lines = self._body(inputs, drawing, {*takes, *ends}, second)
        lines.append(f"flag, {self._unpacked(gives)} = {kernel}({self._unpacked(takes)})")
        lines.append("if not flag.item(): return None")
        return self._made(lines, more, outputs, second)

    def _body(
        self, inputs: Sequence[fx.Node], nodes: Sequence[fx.Node], ends: Collection[fx.Node], second: Sequence[fx.Node]
    ) -> list[str]:
        """The lines of nodes; what is no end is deleted after its last use."""
        last: dict[fx.Node, fx.Node] = {}
        for node in nodes:
            last.update(dict.fromkeys(self.simplified.sources(node), node))
        lines = [f"{self._unpacked(part)} = {name}" for part, name in ((inputs, "early"), (second, "late")) if part]
        for node in (*inputs, *self.simplified.constants):
            lines += self._checked(node)
        for node in nodes:
            lines += self._line(node)
            done = [
                self.names[source] for source in dict.fromkeys(self.simplified.sources(node))
                if last[source] is node and source not in ends and source in self.names and source not in self.simplified.constants
            ]
            if done and node not in self.soft:
                lines.append(f"del {', '.join(done)}")
        return lines

    def _made(
        self, lines: list[str], more: Sequence[str], outputs: Sequence[Sequence[fx.Node]], second: Sequence[fx.Node]
    ) -> Callable[..., Any]:
        """The function of these lines."""
        found = ", ".join("(" + "".join(f"{self._name(node)}, " for node in part) + ")" for part in outputs)
        lines.append(f"return ({found},)")
        takes = ", ".join([*more, "early", *(["late"] if second else [])])
        text = f"def replayed({takes}):\n" + "".join(f"    {line}\n" for line in lines)
        space: dict[str, Any] = self.globals
        exec(compile(text, "<replayed>", "exec"), space)
        function: Callable[..., Any] = space.pop("replayed")
        return function

    def _unpacked(self, nodes: Sequence[fx.Node]) -> str:
        return "".join(f"{self._name(node)}, " for node in nodes)

    def _name(self, node: fx.Node) -> str:
        node = self.simplified.of(node)
        if node in self.simplified.constants:
            return self._global(self.simplified.constants[node])
        return self.names.setdefault(node, f"v{len(self.names)}")

    def _global(self, value: Any) -> str:
        name = self.known.setdefault(id(value), f"k{len(self.globals)}")
        self.globals[name] = value
        return name

    # ------------------------------------------------------------------------------------------------ single numbers
    def _soften(self, nodes: Sequence[fx.Node], ends: set[fx.Node]) -> None:
        """Find what leads to nothing but checks of single numbers."""
        for node in reversed(nodes):
            users = self.users.get(node, [])
            fit = node.target in COMPARED or node.target in JOINED or node.target in SINGLE or node.target in NEGATED
            if not fit or node in ends or (node not in self.checks and not users):
                continue
            single = all(self._is_single(source) for source in self.simplified.sources(node))
            if single and self._is_single(node) and all(user in self.soft for user in users) and _numbers(node):
                self.soft.add(node)

    def _is_single(self, node: fx.Node) -> bool:
        if node.target is aten.aminmax.default:
            return self._is_single(self.simplified.of(node.all_input_nodes[0]))
        value = self.simplified.tensor(node)
        return value is not None and value.numel() == 1 and value.device.type == "cpu"

    def _number(self, node: fx.Node) -> str:
        """An expression for the number in a node."""
        node = self.simplified.of(node)
        return self.names[node] if node in self.soft else f"{self._name(node)}.item()"

    def _expression(self, node: fx.Node) -> str:
        sources = [self._number(source) for source in node.all_input_nodes]
        if node.target in COMPARED:
            bound: Any = node.args[1]
            value = self.simplified.tensor(self.simplified.of(node.all_input_nodes[0]))
            assert value is not None
            rounded = torch.tensor(bound, dtype=value.dtype).item() if value.is_floating_point() else bound
            return f"{sources[0]} {COMPARED[node.target]} {self._literal(rounded)}"
        if node.target in JOINED:
            return f"{sources[0]} {JOINED[node.target]} {sources[-1]}"
        return f"not {sources[0]}" if node.target in NEGATED else sources[0]

    # ------------------------------------------------------------------------------------------------ lines
    def _line(self, node: fx.Node) -> list[str]:
        name = self._name(node)
        recipe = self.simplified.recipe(node)
        if node.op == "get_attr":  # something writes into it
            value = self._global(self.simplified.recorder.constants[str(node.target)])
            return [f"{name} = {value}.clone()"]
        if recipe is not None:
            line = f"{name} = noise.{recipe.name}({', '.join(map(self._literal, recipe.arguments))})"
        elif node in self.soft:
            line = f"{name} = {self._expression(node)}"
        elif node.target is operator.getitem:
            line = f"{name} = {self._name(node.all_input_nodes[0])}[{node.args[1]}]"
        else:
            line = f"{name} = {self._call(node)}"
        return [line, *self._checked(node)]

    def _checked(self, node: fx.Node) -> list[str]:
        name, lines = self.names.get(node), []
        for value in dict.fromkeys(self.checks.get(node, [])) if name is not None else ():
            number = name if node in self.soft else f"{name}.item()"
            if isinstance(value, Tensor):
                lines.append(f"if not equal({name}, {self._global(value)}): return None")
            elif value is True or value is False:
                lines.append(f"if {'not ' if value else ''}{number}: return None")
            elif value != value:
                lines.append(f"if {number} == {number}: return None")
            else:
                lines.append(f"if {number} != {self._literal(value)}: return None")
        return lines

    def _call(self, node: fx.Node) -> str:
        target: Any = node.target
        arguments = list(node.args)
        first = self.simplified.tensor(self.simplified.of(node.all_input_nodes[0])) if node.all_input_nodes else None
        name, overload = _names(target)
        plain = overload in ("Tensor", "default", "self") and name in PLAIN
        if name in ARITHMETIC and overload in ("Tensor", "Scalar") and len(arguments) == 2 and isinstance(arguments[0], fx.Node):
            second: Any = arguments[1]
            if type(second) in (int, float) and first is not None and first.is_floating_point():
                arguments[1] = torch.tensor(second, dtype=first.dtype)  # a number would be made into one in every call
                target, plain = getattr(torch.ops.aten, name).Tensor, True
        tensors = all(isinstance(part, fx.Node | Tensor) for part in arguments)
        function = getattr(torch, name) if plain and tensors and not node.kwargs else direct(target)
        written = [self._literal(part) for part in arguments]
        written += [f"{key}={self._literal(part)}" for key, part in node.kwargs.items()]
        return f"{self._global(function)}({', '.join(written)})"

    def _literal(self, part: Any) -> str:
        if isinstance(part, fx.Node):
            return self._name(part)
        if isinstance(part, list | tuple):
            inside = "".join(f"{self._literal(each)}, " for each in part)
            return f"[{inside}]" if isinstance(part, list) else f"({inside})"
        if part is None or isinstance(part, bool | int | str) or (isinstance(part, float) and abs(part) < float("inf")):
            return repr(part)
        return self._global(part)


def _names(target: Any) -> tuple[str, str]:
    """Of an operation: its name and that of its overload."""
    _, _, rest = str(target).partition(".")
    name, _, overload = rest.partition(".")
    return name, overload


def _numbers(node: fx.Node) -> bool:
    """Whether its operands are nodes, and one number where it compares."""
    if node.target in COMPARED:
        return isinstance(node.args[1], bool | int | float)
    return node.target is operator.getitem or all(isinstance(part, fx.Node) for part in node.args)
