"""What executes one block of runs: its values, limits and hooks; how a form is executed stands in the tables of `interpreter.py`.

One function per form, found by the node's class: a visit costs two Python calls, which is small against its torch operations.
Nesting (of expressions, blocks and calls) is plain Python recursion: 10,000 calls deep is a question of memory, not of the C stack.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from ...dsl.analysis.calls import weighing
from ...dsl.analysis.exchangeable import find_exchangeable
from ...dsl.analysis.loops import SumLoop
from ...dsl.analysis.reads import computed_from
from ...dsl.jumps.atoms import Atom
from ...dsl.names.resolved import Resolved, Site
from ...dsl.planning.plan import Choice
from ...dsl.syntax import (
    Block,
    Call,
    Distribution,
    Draw,
    Expression,
    For,
    Function,
    Node,
    Sample,
    Slice,
    Statement,
)
from ...dsl.tables.constants import CONSTANTS
from ...dsl.tables.estimators import PLAIN
from ...dsl.tables.functions import FunctionRow
from ...dsl.text.source import Span
from ..arrays.broadcast import Shape, ShapeMismatch
from ..arrays.function_code import FILLED, FUNCTION_CODE, Context, FunctionProblem
from ..estimators import ESTIMATORS
from ..estimators.request import Estimator
from ..lanes.endings import Cut
from ..lanes.forking import Forks
from ..lanes.frames import Activation, Frame, Returned
from ..lanes.lanes import FEW_NUMBERS, NOWHERE, Lanes, carry
from ..lanes.ledger import DensitySum, Ledger, Summand
from ..lanes.lessons import NotCompiled, TooManyLanes
from ..lanes.meetings import Met
from ..lanes.meter import Meter
from ..lanes.values import PerLane, Plain, Uniform, Value, known_by
from ..lanes.variety import Variety
from ..laws.noise import Noise
from .indexing import Item, position, size
from .layers import after, around
from .operation import Operation, function_of
from .recall import Recall
from .setting import MOST_KEPT, USUAL, Limits, NobodyLeft, Setting
from .sharing import Sharing
from .ways import APART, Branching

MEMORY = MemoryError, RuntimeError  # what is raised where there is none, and much else
Evaluate = Callable[["Machine", Any, Frame], Plain]
Execute = Callable[["Machine", Any, Frame], None]


@dataclass(frozen=True)
class Outcome:
    """What a block of runs gave.

    values     per result
    terms      per result the terms that it is the sum of; None: one term that depends on every score site
    lanes      those at the end: the runs, or what they were split into
    weight     of the lanes `[lanes]` (None: 1)
    ledger     the score sites that were executed
    random     whether anything was drawn
    work       numbers that were touched (`meter.py`)
    met        kinks whose operands were equal
    forks      the alternatives of runs, if they have any
    cuts       what was left out where there is no end, and the `age` of the lanes `[lanes or 1]` (`endings.py`)
    """

    values: list[Value]
    terms: list[list[Summand] | None]
    lanes: Lanes
    weight: Tensor | None
    ledger: Ledger
    random: bool
    work: int = 0
    met: Sequence[Met] = ()
    cuts: Sequence[Cut] = ()
    age: Tensor | None = None
    forks: Forks | None = None


class Counting(Protocol):
    """A way to execute the rounds of a loop that all lanes count alike."""

    name: str

    def run(self, machine: Machine, node: For, first: int, last: int, frame: Frame) -> bool:
        """Execute the rounds `first` to `last - 1`; False where it does not fit, and nothing has been done."""
        ...


@dataclass(frozen=True)
class Rounds:
    """A loop whose `count` rounds are being executed together (`looping.py`)."""

    loop: SumLoop
    node: For
    count: int


class Machine(Setting):
    """One block of runs.  It gives the results (if `results`), then the variables that are `wanted` (`--of`).  The layers named in
    `without` are left out (`layers.py`); `watchers` as for `Setting`.

    Each run is drawn `copies` times, on lanes that weigh as much.  `evaluators` and `executors`: by the class of a form.
    """

    evaluators: ClassVar[Mapping[type[Node], Evaluate]] = {}
    executors: ClassVar[Mapping[type[Node], Execute]] = {}
    countings: ClassVar[tuple[Counting, ...]] = ()  # ways to execute a loop that all lanes count alike, the first that fits

    def __init__(
        self, resolved: Resolved, choices: Mapping[int, Choice], context: Context, noise: Noise, *,
        limits: Limits = USUAL, results: bool = True, wanted: tuple[str, ...] = (), meter: Meter | None = None,
        without: Collection[str] = (), branching: Branching = APART, copies: int = 1, **watchers: Any,
    ):
        super().__init__(resolved, context, **watchers)
        self.choices = choices
        self.noise = noise
        self.limits, self.results, self.wanted = limits, results, wanted
        self.copies = copies
        self.meter = meter or Meter()
        self.around = around(self, without)
        self.after = after(self, without)
        self.branching = branching
        self.counting = tuple(way for way in self.countings if way.name not in without)
        self.rounds: Rounds | None = None  # those that are executed together
        self.logarithms = False  # draws may be known by their logarithms only
        self.constants = frozenset(CONSTANTS)
        self.recall = Recall(resolved)
        self.sharing = Sharing(resolved, self.merger) if self.merger is not None and self.merger.exact else None
        self.cuts: list[Cut] = []
        self.forks: Forks | None = None
        self.atoms: Mapping[int, Sequence[Atom]] = {}  # by site, where a draw makes the result jump,
        self.aside: Machine | None = None  # and what evaluates them
        self.runs = self.draws = self.before = 0  # runs of this block and of those before it; draws
        self.depth = 0
        self.recursive: dict[str, int] = {}  # how often the functions that are at work have called themselves
        self.ledger = Ledger()
        self.most_lanes = self.lanes_made = 0
        self.most_table: int | None = None
        self.last_split: Site | None = None
        self.stands_for = 1  # how many runs an exact one is in place of
        self.weighing = weighing(resolved)  # functions
        self.proposed: dict[tuple[int, int], tuple[Any, Lanes]] = {}  # arguments of draws from proposals, and their lanes,
        self.proposals = dict(self.proposed)  # by the distribution that was drawn from, and by its target, with the call
        self.searching = False  # for the observation that leaves no run
        self.variety: Variety | None = None  # is told what score sites draw
        self.apart = False  # lanes have gone different ways (credit)
        self.allowed: set[tuple[str, str, float]] = set()  # arguments that are numbers and known to be in their domain
        self._plain_calls: dict[tuple[str, tuple[float, ...]], Plain] = {}
        self.computed: Mapping[int, tuple[str, ...]] = {}
        if self.merger is not None and self.merger.returns:
            self.computed = resolved.prepared.once("computed", None, lambda: computed_from(resolved))

    @property
    def exchangeable(self) -> frozenset[int]:
        """Array sites of which only counts of outcomes reach anything, by index."""
        return self.resolved.prepared.once("exchangeable", self.wanted, lambda: find_exchangeable(self.resolved, self.wanted))

    def execute(self, statement: Statement, frame: Frame) -> None:
        """Execute one statement (a hook for credit)."""
        self.executors[statement.__class__](self, statement, frame)

    def block(self, body: Block, frame: Frame) -> None:
        """Execute the statements of a block as long as lanes are left."""
        for statement in body.statements:
            self.meter.spend(frame.lanes.count)
            try:
                self.execute(statement, frame)
            except NobodyLeft:
                frame.narrow(NOWHERE)
            except MEMORY as problem:
                self.short_of_memory(problem, statement.span)
                raise
            if not frame.lanes.count:
                return
            if self.merger is not None:
                self.lanes_made -= self.merger.after(statement, frame)

    def short_of_memory(self, problem: BaseException, span: Span) -> None:
        """P0509 if that is the problem; where outcomes are enumerated, there are too many of them."""
        if isinstance(problem, RecursionError):
            return
        short = self.where.memory(problem, span, self.runs, self.device)
        if short is not None:
            raise short if self.last_split is None else TooManyLanes(self.last_split.index, "memory is short") from problem

    def split(self, site: Site, frame: Frame, index: Tensor, probability: Tensor) -> None:
        """Go on with several lanes in place of one: `index` `[new lanes]` of the present ones, each of a probability."""
        if frame.mask is not None:
            raise NotCompiled("outcomes are enumerated inside a random branch")
        lanes = frame.lanes.split(index)
        self.lanes_made += lanes.count - frame.lanes.count
        if self.lanes_made > self.most_lanes:
            raise self.too_many(site)
        if self.meter.outlook is not None:
            self.meter.outlook.see(self.lanes_made)
        self.last_split = site
        frame.narrow(lanes)
        frame.multiply(probability)

    def too_many(self, site: Site) -> TooManyLanes:
        """The outcomes of a site take more lanes than there may be."""
        return TooManyLanes(site.index, f"they take more lanes than the {self.limits.lanes} that a run may take (--max-lanes)")

    def estimator(self, choice: Choice | None, site: Site) -> Estimator:
        """How a site is drawn."""
        return ESTIMATORS[PLAIN.name if choice is None else choice.estimator]

    # -------------------------------------------------------------------------------- hooks for credit (credit.py)
    def condition(self, node: Expression, frame: Frame) -> Plain:
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

    def sums_scores(self, batch: Shape) -> bool:
        """Whether the log densities of the elements of a draw are wanted as their sum."""
        return True

    def note_score(self, node: Sample | Draw, log_density: Tensor, baseline: str, frame: Frame, summed: DensitySum | None) -> None:
        """A site has drawn by score."""
        self.ledger.execute(frame.lanes, log_density, baseline)

    def results_of(self, nodes: tuple[Expression, ...], frame: Frame) -> tuple[list[Value], list[list[Summand] | None]]:
        """What a `return` gives, and the terms of it where they are known."""
        return list(self.evaluate_all(nodes, frame)), [None] * len(nodes)

    def terms_of_name(self, name: str, frame: Frame) -> list[Summand] | None:
        """The terms of a variable at the end of the run."""
        return None

    def last_terms(self, end: Returned, activation: Activation) -> list[list[Summand] | None]:
        """The terms of the results of the program."""
        return end.terms

    # ---------------------------------------------------------------------------------------------- expressions
    def evaluate_all(self, nodes: Sequence[Expression], frame: Frame) -> list[Plain]:
        """The values of several expressions, one after another, on the frame's lanes after the last."""
        entered = frame.lanes
        values: list[tuple[Plain, Lanes]] = []
        for node in nodes:
            value = self.evaluate(node, frame)
            values.append((value, frame.lanes))
        here = frame.lanes
        if here is entered:
            return [value for value, _ in values]
        return [carry(value, lanes, here) for value, lanes in values]

    def evaluate(self, node: Expression, frame: Frame) -> Plain:
        """The value of an expression on the frame's lanes."""
        if frame.lanes.once is not None and (given := self.given(node, frame)) is not None:
            return frame.lanes.again(id(node), lambda *_: self._evaluated(node, frame), *given)
        return self._evaluated(node, frame)

    def given(self, node: Expression | Distribution, frame: Frame) -> list[Hashable] | None:
        """All that an expression is computed from, where some of it may be the very same as once before on these lanes, and is
        not the same in all lanes; None where it is not, or more goes into it."""
        names = self.computed.get(id(node))
        if names is None or self.rounds is not None:
            return None
        given: list[Hashable] = []
        rows = False
        for name in names:
            held, home = frame.find(name) or (None, None)
            if isinstance(held, PerLane) and held.numbers <= FEW_NUMBERS:
                given += held, home
                rows = True
            elif isinstance(held, Uniform):
                given.append(held if isinstance(held.raw, Tensor) else (known_by(held.raw),))
            else:
                return None
        return given if rows or isinstance(node, Distribution) else None

    def _evaluated(self, node: Expression, frame: Frame) -> Plain:
        try:
            value = self.evaluators[node.__class__](self, node, frame)
        except MEMORY as problem:
            self.short_of_memory(problem, node.span)
            raise
        for see in self.after:
            value = see(self, node, value)
        return value

    def apply(self, operation: Operation, operands: Sequence[Plain], frame: Frame, node: Node, span: Span | None = None) -> Plain:
        """An operation on values that are on the frame's lanes, through all layers; P0301 at `span` (None: that of the node), and
        what else a function finds wrong."""
        try:
            return self.around(self, operation, operands, frame, node)
        except ShapeMismatch as problem:
            raise self.where.shapes(problem, span or node.span) from None
        except FunctionProblem as problem:
            raise self.where.error(problem.code, problem.title, span or node.span) from None

    def watch(self, node: Node, value: Value) -> None:
        """Let the layers after expressions see a value."""
        for see in self.after:
            see(self, node, value)

    def note_draw(self, node: Sample | Draw, value: Plain, log_weight: Tensor | None, frame: Frame) -> None:
        """A site has drawn (a hook for tracing)."""
        self.watch(node, value)
        if log_weight is not None and self.counter is not None:
            self.counter.see(PerLane(log_weight))

    def note_store(self, name: str, value: Plain, new: Plain, frame: Frame, whole: bool = False) -> None:
        """A value has been assigned to an element, as `new`, or is in the `whole` array that is new (a hook for tracing)."""

    def note_element(self, name: str, value: Plain, frame: Frame) -> None:
        """A part of a variable has been read (a hook for credit and tracing)."""

    def call_code(self, row: FunctionRow, arguments: Sequence[Plain], node: Call, frame: Frame) -> Plain:
        """A built-in function."""
        if row.structural:
            sizes = [
                size(value, f"an argument of `{row.name}`", argument.value.span, self.where)
                for value, argument in zip(arguments, node.arguments, strict=True)
            ]
            return self._built(row, sizes, node, frame)
        if not any(isinstance(value.raw, Tensor) for value in arguments):
            return self._plain_call(row, arguments, node)
        result = self.apply(function_of(row.name, len(arguments)), arguments, frame, node)
        return Uniform(float(cast(Tensor, result.raw))) if row.valueless else result

    def _built(self, row: FunctionRow, sizes: list[int], node: Call, frame: Frame) -> Plain:
        """An array of a given shape; one that is all the same is narrow."""
        operation = Operation((row.name, *sizes), lambda setting: FUNCTION_CODE[row.name](*sizes, context=setting.context))
        found = self.apply(operation, (), frame, node)
        return Uniform(found.raw, tuple(sizes)) if row.name in FILLED and found.shape != tuple(sizes) else found

    def _plain_call(self, row: FunctionRow, arguments: Sequence[Plain], node: Call) -> Plain:
        """A function of Python numbers is a Python number again (in float64) where it is a scalar."""
        key = (row.name, tuple(float(cast(float, value.raw)) for value in arguments))
        known = self._plain_calls.get(key)
        if known is not None:
            return known
        context = Context(torch.float64, torch.device("cpu"))
        tensors = [value.tensor(context.dtype, context.device) for value in arguments]
        try:
            result = FUNCTION_CODE[row.name](*tensors, context=context)
        except ShapeMismatch as problem:
            raise self.where.shapes(problem, node.span) from None
        except FunctionProblem as problem:
            raise self.where.error(problem.code, problem.title, node.span) from None
        if result.dim() > 1:
            return Uniform(result.to(self.device, self.dtype))
        number = Uniform(result.item())
        if not isinstance(number.raw, bool) and len(self._plain_calls) < MOST_KEPT:
            self._plain_calls[key] = number
        return number

    def items(self, shape: Sequence[int], nodes: tuple[Expression | Slice, ...], frame: Frame) -> list[Item]:
        """The indices into an array of a shape; P0302, P0303, P0305."""
        parts = [(node.start, node.stop) if isinstance(node, Slice) else (node,) for node in nodes]
        wanted = [part for pair in parts for part in pair if part is not None]
        values = iter(self.evaluate_all(wanted, frame))
        found: list[Item] = []
        for axis, node in enumerate(nodes):
            if isinstance(node, Slice):
                ends = [
                    None if end is None else size(next(values), "a bound of a slice", end.span, self.where)
                    for end in (node.start, node.stop)
                ]
                found.append(slice(*ends))
            else:
                found.append(position(next(values), shape[axis], node.span, self.where))
        return found
