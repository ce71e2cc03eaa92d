"""Runs a program under a plan, on many lanes at once.

`Interpreter` holds what one block of runs needs and evaluates expressions; statements are in `control.py`, sites in
`sites.py`.  One function per form, found by the node's class: a visit costs two Python calls, which is small against the
torch operations it makes.  Nesting (of expressions, blocks and calls) is plain Python recursion, so 10,000 calls deep is
a question of memory and not of the C stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from ..dsl.functions import FUNCTIONS, FunctionRow
from ..dsl.limits import MAX_DEPTH, MAX_LANES, MAX_ROUNDS, MAX_STEPS
from ..dsl.names import Resolved, Site
from ..dsl.plan import Choice
from ..dsl.source import Span
from ..dsl.syntax import (
    Arithmetic,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Draw,
    Expression,
    For,
    Function,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Power,
    Sample,
    Slice,
    Statement,
    Unary,
    Vector,
)
from . import control, sites
from .broadcast import ShapeMismatch, event_shape, shape_words
from .estimators import ESTIMATORS, Estimator
from .frames import Activation, Frame, Returned
from .functions import FUNCTION_CODE, FunctionProblem
from .indexing import Item, check_axes, position, select, size
from .kinks import once_differentiable
from .lanes import Join, Lanes, Ragged, Value, carry, is_uniform
from .ledger import Ledger, Term
from .lifting import Lifter
from .meter import Meter
from .once import Once
from .operations import Operand, as_tensor, calculate, compare, filled, negative, numeric, opposite
from .problems import Where
from .recording import NotCompiled
from .rounds import Rounds
from .singular import SAFE
from .watch import Counter, Guards, TooManyLanes

CONSTANTS = {"pi": math.pi, "inf": math.inf}


@dataclass(frozen=True)
class Context:
    """Where and how a run computes."""

    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True)
class Limits:
    """`steps` of one loop and `depth` of calls before a run is stopped; `lanes` that enumeration may make of one run,
    `rounds` of a loop, or levels of calls, in which it may do so."""

    steps: int = MAX_STEPS
    depth: int = MAX_DEPTH
    lanes: int = MAX_LANES
    rounds: int = MAX_ROUNDS


@dataclass(frozen=True)
class Outcome:
    """What a block of runs gave.

    values     per result `[lanes or 1, *shape]`
    terms      per result the terms that it is the sum of; None: one term that depends on every score site
    lanes      those at the end: the runs, or what they were split into
    weight     of the lanes `[lanes or 1]` (None: 1)
    ledger     the score sites that were executed
    random     whether anything was drawn
    work       numbers that were touched (`meter.py`)
    """

    values: list[Value]
    terms: list[list[Term] | None]
    lanes: Lanes
    weight: Tensor | None
    ledger: Ledger
    random: bool
    work: int = 0


class Interpreter:
    """One block of runs.  It gives the results (if `results`), then the variables that are `wanted` (`--of`)."""

    credits: ClassVar[bool] = False  # whether account is kept of what depends on which site

    def __init__(
        self, resolved: Resolved, choices: Mapping[int, Choice], context: Context, generator: torch.Generator, *,
        limits: Limits = Limits(), guards: Guards | None = None, safe: bool = False,
        results: bool = True, wanted: tuple[str, ...] = (), counter: Counter | None = None, lifter: Lifter | None = None,
        meter: Meter | None = None,
    ):
        self.resolved = resolved
        self.choices = choices
        self.context = context
        self.dtype = context.dtype
        self.device = context.device
        self.generator = generator
        self.limits = limits
        self.guards = guards if guards is not None and (guards.signs or guards.supports) else None
        self.safe = safe
        self.results = results
        self.wanted = wanted
        self.counter = counter
        self.lifter = lifter
        self.meter = meter or Meter()
        self.rounds: Rounds | None = None  # those that are executed together
        self.kinks: frozenset[int] = frozenset()  # nodes whose values have no second derivative
        self.masked = False  # lanes do not go apart (`masked.py`)
        self.watching = self.guards is not None or counter is not None
        self.where = Where(resolved.program.source)
        self.constants = frozenset(CONSTANTS)
        self.leaves: list[Tensor] = []
        self.once = Once()
        self.draws = 0
        self.depth = 0
        self.ledger = Ledger()
        self.most_lanes = self.lanes_made = 0
        self.last_split: Site | None = None
        self.stands_for = 1  # how many runs an exact one is in place of
        self.apart = False  # lanes have gone different ways (credit)
        self.allowed: set[tuple[str, str, float]] = set()  # arguments that are numbers and known to be in their domain
        self._numbers: dict[float, Tensor] = {}
        self._plain_calls: dict[tuple[str, tuple[float, ...]], float] = {}

    # --------------------------------------------------------------------------------------------------- a run
    def run(self, parameters: Mapping[str, Tensor], data: Mapping[str, Value], count: int) -> Outcome:
        """Run the program on `count` lanes.  `parameters` are `[count or 1, *shape]`.  Wants `deep_recursion()`."""
        lanes = Lanes(count)
        lanes.lifter = self.lifter
        self.most_lanes, self.lanes_made = self.limits.lanes * count, count
        activation = Activation(lanes)
        frame = Frame(lanes, None, activation, True, None)
        for name, constant in CONSTANTS.items():
            frame.write(name, constant)
        for name, value in data.items():
            frame.write(name, value)
        for name, tensor in parameters.items():
            frame.write(name, tensor)
        self.leaves = [tensor for tensor in parameters.values() if tensor.requires_grad]
        try:
            control.block(self, self.resolved.program.body.statements, frame)
            if frame.lanes.count:
                control.finish(self, frame)
            end = control.collect(self, activation)
            terms = self.last_terms(end, activation)
        except RecursionError:
            raise self.where.error("P0505", "the program nests too deeply to run", self.resolved.program.body.span) from None
        finally:
            frame.forget()
        return Outcome(end.values, terms, end.lanes, end.weight, self.ledger, self.draws > 0, self.meter.spent)

    def execute(self, statement: Statement, frame: Frame) -> None:
        """Execute one statement (a hook for credit)."""
        control.execute(self, statement, frame)

    def split(self, site: Site, frame: Frame, index: Tensor, probability: Tensor) -> None:
        """Go on with several lanes in place of one: `index` `[new lanes]` of the present ones, each of a probability."""
        if frame.mask is not None:
            raise NotCompiled("outcomes are enumerated inside a random branch")
        lanes = frame.lanes.split(index)
        self.lanes_made += lanes.count - frame.lanes.count
        if self.lanes_made > self.most_lanes:
            raise TooManyLanes(site.index)
        self.last_split = site
        frame.narrow(lanes)
        frame.multiply(probability)

    def estimator(self, choice: Choice | None, site: Site) -> Estimator:
        """How a site is drawn."""
        return ESTIMATORS["sample" if choice is None else choice.estimator]

    # -------------------------------------------------------------------------------- hooks for credit (credit.py)
    def condition(self, node: Expression, frame: Frame) -> Operand:
        """The value of a condition of `if` or `while`."""
        return self.evaluate(node, frame)

    def note_loop(self, node: For, frame: Frame) -> None:
        """The bounds of a loop have been evaluated."""

    def keeps_terms(self, node: For, frame: Frame) -> bool:
        """Whether the terms of what a loop adds up are kept one by one."""
        return False

    def note_last(self, name: str, frame: Frame) -> None:
        """Of a variable of all rounds the last round's is left."""

    def note_entry(self, function: Function, activation: Activation) -> None:
        """A function begins; its arguments were the last thing evaluated."""

    def note_return(self, frame: Frame) -> None:
        """The frame's lanes return."""

    def note_call(self, activation: Activation, returned: Returned) -> None:
        """A call has ended."""

    def note_score(self, node: Sample | Draw, log_density: Tensor, baseline: str, frame: Frame) -> None:
        """A site has drawn by score."""
        self.ledger.execute(frame.lanes, log_density, baseline)

    def results_of(self, nodes: tuple[Expression, ...], frame: Frame) -> tuple[list[Value], list[list[Term] | None]]:
        """What a `return` gives, and the terms of it where they are known."""
        return list(self.evaluate_all(nodes, frame)), [None] * len(nodes)

    def terms_of_name(self, name: str, frame: Frame) -> list[Term] | None:
        """The terms of a variable at the end of the run."""
        return None

    def last_terms(self, end: Returned, activation: Activation) -> list[list[Term] | None]:
        """The terms of the results of the program."""
        return end.terms

    # ---------------------------------------------------------------------------------------------- expressions
    def evaluate_all(self, nodes: Sequence[Expression], frame: Frame) -> list[Operand]:
        """The values of several expressions, one after another, on the frame's lanes after the last."""
        entered = frame.lanes
        values: list[tuple[Operand, Lanes]] = []
        for node in nodes:
            value = self.evaluate(node, frame)
            values.append((value, frame.lanes))
        here = frame.lanes
        if here is entered:
            return [value for value, _ in values]
        return [cast(Operand, carry(value, lanes, here)) for value, lanes in values]

    def evaluate(self, node: Expression, frame: Frame) -> Operand:
        """The value of an expression on the frame's lanes."""
        value = _EVALUATE[node.__class__](self, node, frame)
        if self.kinks and isinstance(value, Tensor):
            value = self.bent(node, value)
        if self.watching:
            self.watch(node, value)
        return value

    def bent(self, node: Node, value: Tensor) -> Tensor:
        """A value that may come from a kink; P0406 where it is differentiated twice."""
        if id(node) not in self.kinks:
            return value
        return once_differentiable(value, lambda: self.where.error(
            "P0406", "there is no second derivative over a kink", node.span, "its derivative jumps, and nothing here sees that",
            help='take the sites before it by score (estimator="score"), whose derivatives of every order are right',
        ))

    def watch(self, node: Node, value: Value) -> None:
        """Let the guards and the counter see a value."""
        if self.counter is not None:
            self.counter.see(value)
        if self.guards is not None:
            self.guards.see(node, value)

    def joiner(self, parts: list[Lanes], indices: list[Tensor], whole: Lanes, order: bool) -> Join:
        """What puts the parts of values together on the lanes `whole` (a hook for tracing)."""
        return Join(parts, indices, self.dtype, order)

    def note_draw(self, node: Sample | Draw, value: Tensor, log_weight: Tensor | None, frame: Frame) -> None:
        """A site has drawn (a hook for tracing)."""
        if self.watching:
            self.watch(node, value)
            if log_weight is not None and self.counter is not None:
                self.counter.see(log_weight)

    def note_store(self, target: Tensor, value: Operand, new: Tensor, frame: Frame) -> None:
        """An element has been assigned (a hook for tracing)."""

    def ends(self) -> list[Tensor]:
        """Everything that a value may be differentiated in."""
        return self.leaves if self.lifter is None else self.lifter.ends

    def lifted(self, tensors: list[Tensor], frame: Frame) -> list[Tensor]:
        """Values that are used together: those that are the same in every lane are lifted where others are not."""
        if self.lifter is None or all(tensor.shape[0] == 1 for tensor in tensors):
            return tensors
        return [self.lifter.lift(tensor, frame.lanes) for tensor in tensors]

    def number(self, value: Operand) -> Tensor:
        """A value as a tensor `[lanes or 1, *event]` of the run's dtype."""
        return numeric(value, self.dtype, self.device) if isinstance(value, Tensor) else self.constant(float(value))

    def constant(self, value: float) -> Tensor:
        """A number as a tensor `[1]`, shared by all who ask."""
        known = self._numbers.get(value)
        if known is None:
            known = filled(value, self.dtype, self.device)
            if len(self._numbers) < 1000:
                self._numbers[value] = known
        return known

    def calculate(self, symbol: str, a: Operand, b: Operand, span: Span, frame: Frame) -> Operand:
        """Arithmetic; P0301."""
        if self.lifter is not None and isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape[0] != b.shape[0]:
            a, b = self.lifter.lift(a, frame.lanes), self.lifter.lift(b, frame.lanes)
        try:
            if is_uniform(a) and is_uniform(b) and (isinstance(a, Tensor) or isinstance(b, Tensor)):
                return self.once(symbol, lambda a, b: calculate(symbol, a, b, self.dtype, self.safe), a, b)
            return calculate(symbol, a, b, self.dtype, self.safe)
        except ShapeMismatch as problem:
            raise self.where.shapes(problem, span) from None

    def call_code(self, row: FunctionRow, arguments: list[Operand], node: Call, frame: Frame) -> Operand:
        """A built-in function."""
        code: Callable[..., Tensor] = FUNCTION_CODE[row.name]
        if self.safe and row.name in SAFE and isinstance(arguments[0], Tensor):
            return SAFE[row.name](self.number(arguments[0]))
        try:
            if row.structural:
                sizes = [
                    size(value, f"an argument of `{row.name}`", argument.value.span, self.where)
                    for value, argument in zip(arguments, node.arguments, strict=True)
                ]
                return self.once(row.name, lambda *sizes: code(*sizes, context=self.context), *sizes)
            if not any(isinstance(value, Tensor) for value in arguments):
                return self._plain_call(row, code, arguments)
            tensors = self.lifted([as_tensor(value, self.dtype, self.device) for value in arguments], frame)
            if all(tensor.shape[0] == 1 for tensor in tensors):
                result = self.once(row.name, lambda *tensors: code(*tensors, context=self.context), *tensors)
            else:
                result = code(*tensors, context=self.context)
        except ShapeMismatch as problem:
            raise self.where.shapes(problem, node.span) from None
        except FunctionProblem as problem:
            raise self.where.error(problem.code, problem.title, node.span) from None
        return float(result) if row.valueless else result

    def _plain_call(self, row: FunctionRow, code: Callable[..., Tensor], arguments: list[Operand]) -> Operand:
        """A function of Python numbers is a Python number again (in float64) where it is a scalar."""
        key = (row.name, tuple(float(value) for value in arguments))
        known = self._plain_calls.get(key)
        if known is not None:
            return known
        context = Context(torch.float64, torch.device("cpu"))
        result = code(*[as_tensor(value, torch.float64, context.device) for value in arguments], context=context)
        if result.dim() > 1:
            return result.to(self.device, self.dtype)
        number = result.item()
        if isinstance(number, bool):
            return number
        if len(self._plain_calls) < 1000:
            self._plain_calls[key] = float(number)
        return float(number)

    def call_external(self, node: Call, arguments: list[Operand], frame: Frame) -> Tensor:
        """A function that the embedding program passed: tensors `[lanes, *event]` in and out."""
        count = frame.lanes.count
        tensors = []
        for value in arguments:
            tensor = self.number(value)
            if self.lifter is not None:
                tensor = self.lifter.lift(tensor, frame.lanes)
            tensors.append(tensor if tensor.shape[0] == count else tensor.expand(count, *tensor.shape[1:]))
        result = self.resolved.external[node.function].call(*tensors)
        if not isinstance(result, Tensor) or result.dim() == 0 or result.shape[0] not in (1, count):
            given = shape_words(tuple(result.shape)) if isinstance(result, Tensor) else type(result).__name__
            raise self.where.error(
                "P0301", f"`{node.function}` must give a tensor with a row per lane", node.span,
                f"{count} lanes went in, {given} came out",
            )
        result = result.view_as(result)  # what is remembered of a value must not be found again on a tensor of somebody else's
        return result if result.dtype in (self.dtype, torch.bool) else result.to(self.dtype)

    def items(self, target: Tensor, nodes: tuple[Expression | Slice, ...], frame: Frame) -> list[Item]:
        """The indices of `target[...]`; P0302, P0303, P0305."""
        parts = [(node.start, node.stop) if isinstance(node, Slice) else (node,) for node in nodes]
        wanted = [part for pair in parts for part in pair if part is not None]
        values = iter(self.evaluate_all(wanted, frame))
        found: list[Item] = []
        for axis, node in enumerate(nodes, start=1):
            if isinstance(node, Slice):
                ends = [
                    None if end is None else size(next(values), "a bound of a slice", end.span, self.where)
                    for end in (node.start, node.stop)
                ]
                found.append(slice(*ends))
            else:
                found.append(position(next(values), target.shape[axis], node.span, self.where))
        return found


# ------------------------------------------------------------------------------------------------ one per form
def _number(machine: Interpreter, node: Number, frame: Frame) -> Operand:
    return node.value


def _boolean(machine: Interpreter, node: Boolean, frame: Frame) -> Operand:
    return node.value


def _name(machine: Interpreter, node: Name, frame: Frame) -> Operand:
    value = frame.read(node.id)
    if isinstance(value, Ragged):
        raise machine.where.ragged(node.id, value, node.span)
    return value


def _vector(machine: Interpreter, node: Vector, frame: Frame) -> Operand:
    values = machine.evaluate_all(node.items, frame)
    if not any(isinstance(value, Tensor) for value in values):
        return torch.tensor([values], dtype=machine.dtype, device=machine.device)
    tensors = machine.lifted([machine.number(value) for value in values], frame)
    shapes = {event_shape(tensor) for tensor in tensors}
    if len(shapes) > 1:
        listed = sorted(shapes)
        words = " and ".join(shape_words(shape) for shape in listed)
        raise machine.where.shapes(ShapeMismatch(listed, f"the entries of an array must have one shape, not {words}"), node.span)
    lanes = max(tensor.shape[0] for tensor in tensors)
    return torch.stack([tensor.expand(lanes, *tensor.shape[1:]) for tensor in tensors], dim=1)


def _index(machine: Interpreter, node: Index, frame: Frame) -> Operand:
    target = machine.evaluate(node.target, frame)
    tensor = check_axes(target, len(node.items), node.span, machine.where)
    entered = frame.lanes
    items = machine.items(tensor, node.items, frame)
    target = cast(Tensor, carry(tensor, entered, frame.lanes))
    if machine.lifter is not None and any(isinstance(item, Tensor) and item.shape[0] > 1 for item in items):
        target = machine.lifter.lift(target, frame.lanes)
    return select(target, items)


def _unary(machine: Interpreter, node: Unary, frame: Frame) -> Operand:
    value = machine.evaluate(node.operand, frame)
    if node.operator == "not":
        return opposite(value)
    if isinstance(value, Tensor) and value.shape[0] == 1:
        return machine.once("negative", lambda value: negative(value, machine.dtype), value)
    return negative(value, machine.dtype)


def _arithmetic(machine: Interpreter, node: Arithmetic, frame: Frame) -> Operand:
    value = machine.evaluate(node.first, frame)
    for term in node.rest:
        entered = frame.lanes
        operand = machine.evaluate(term.operand, frame)
        if frame.lanes is not entered:
            value = cast(Operand, carry(value, entered, frame.lanes))
        value = machine.calculate(term.operator, value, operand, node.first.span.to(term.span), frame)
    return value


def _power(machine: Interpreter, node: Power, frame: Frame) -> Operand:
    base, exponent = machine.evaluate_all((node.base, node.exponent), frame)
    return machine.calculate("^", base, exponent, node.span, frame)


def _comparison(machine: Interpreter, node: Comparison, frame: Frame) -> Operand:
    left, right = machine.evaluate_all((node.left, node.right), frame)
    try:
        return compare(node.operator, left, right)
    except ShapeMismatch as problem:
        raise machine.where.shapes(problem, node.span) from None


def _logical(machine: Interpreter, node: Logical, frame: Frame) -> Operand:
    return control.logical(machine, node, frame)


def _conditional(machine: Interpreter, node: Conditional, frame: Frame) -> Operand:
    return control.conditional(machine, node, frame)


def _call(machine: Interpreter, node: Call, frame: Frame) -> Operand:
    arguments = machine.evaluate_all([argument.value for argument in node.arguments], frame)
    function = machine.resolved.functions.get(node.function)
    if function is not None:
        return control.call(machine, node, function, arguments, frame)
    row = FUNCTIONS.get(node.function)
    if row is not None:
        return machine.call_code(row, arguments, node, frame)
    return machine.call_external(node, arguments, frame)


def _draw(machine: Interpreter, node: Draw, frame: Frame) -> Operand:
    return sites.draw(machine, node, frame)


def _log_density(machine: Interpreter, node: LogPdf, frame: Frame) -> Operand:
    return sites.log_density(machine, node, frame)


_EVALUATE = cast(
    dict[type[Any], Callable[[Interpreter, Any, Frame], Operand]],
    {
        Number: _number, Boolean: _boolean, Name: _name, Vector: _vector, Index: _index, Unary: _unary,
        Arithmetic: _arithmetic, Power: _power, Comparison: _comparison, Logical: _logical, Conditional: _conditional,
        Call: _call, Draw: _draw, LogPdf: _log_density,
    },
)
