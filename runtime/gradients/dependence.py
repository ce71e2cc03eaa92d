"""What depends on which score site: by data, and by control, execution by execution.

Beside every variable stands the set of executions that it depends on (`Taint`); what an expression depends on is gathered while
it is evaluated, and the conditions that brought lanes to a place count for all that is set there.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Any, ClassVar, assert_never

import numpy
from torch import Tensor

from ...dsl.analysis.gates import Gates, gated
from ...dsl.analysis.sums import Sums
from ...dsl.syntax import (
    Arithmetic,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Distribution,
    Draw,
    Expression,
    For,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Power,
    Sample,
    Slice,
    Unary,
    Vector,
)
from ...dsl.tables.distributions import DISTRIBUTIONS
from ...dsl.tables.functions import FUNCTIONS, FunctionRow, elementwise
from ..arrays.broadcast import Shape
from ..lanes.frames import Frame, Gate
from ..lanes.lanes import Lanes, carry
from ..lanes.ledger import CLEAN, DensitySum, Taint
from ..lanes.values import Held, Plain
from ..machine.evaluating import evaluate_arithmetic
from ..machine.indexing import Item
from ..machine.interpreter import Interpreter
from ..machine.machine import Evaluate, Machine
from ..machine.operation import ARITHMETIC
from ..machine.recall import Recall
from .relevance import weigh

WIDE = 2**14  # elements of a draw
MOST_SLOTS = 4096  # elements of an array of which each has a mask of its own


class Indexed:
    """The last index that was evaluated: what the array and each index depend on, and the elements that are meant."""

    def __init__(self, event: tuple[int, ...], taint: Taint, items: Sequence[Taint], found: Sequence[Item]):
        self.event = event
        self.taint = taint
        self.items = items
        self.found = found

    @cached_property
    def numbers(self) -> numpy.ndarray[Any, Any] | None:
        """The elements that are meant, as their numbers in the flat array; None: they differ from lane to lane."""
        if any(isinstance(item, Held) for item in self.found) or math.prod(self.event) > MOST_SLOTS:
            return None
        places = tuple(item for item in self.found if not isinstance(item, Held))
        return numpy.arange(math.prod(self.event)).reshape(self.event)[places]

    def read(self, shape: tuple[int, ...]) -> Taint:
        """What the elements that were read depend on, as an array of the given shape."""
        decided = reduce(or_, (item.all for item in self.items), 0)
        if self.numbers is not None:
            return self.taint.picked(self.numbers.shape, self.numbers.reshape(-1).tolist()).under(decided)
        if len(self.found) == len(self.items) == len(self.event) == 1 and self.items[0].shape == shape:
            return self.items[0].under(self.taint.all)  # `levels[label]`: element i by label i
        return Taint(self.taint.all | decided)

    def stored(self, before: Taint, new: Taint, anew: bool) -> Taint:
        """What the array depends on in which the elements have been set to something new."""
        if self.numbers is None:
            return Taint(before.all | new.all)
        return before.filled(self.event, self.numbers.reshape(-1).tolist(), new.all, anew)


def filled_in(items: Sequence[Taint]) -> Taint:
    """Of an array that is made of these."""
    masks = tuple(item.all for item in items)
    among = reduce(or_, masks, 0)
    alike = all(mask == among for mask in masks) or len(masks) > MOST_SLOTS
    return Taint(among) if alike or any(item.shaped for item in items) else Taint(0, 0, (len(masks),), masks, among)


def evaluate_product(machine: Machine, node: Arithmetic, frame: Frame) -> Plain:
    """As always; what the factors are tells where the draws among them matter."""
    assert isinstance(machine, Depending)
    if id(node) not in machine.gates.behind:
        return evaluate_arithmetic(machine, node, frame)
    operands = gated(node)
    assert operands is not None
    first, *others = machine.evaluate_all(operands, frame)
    weigh(machine.gates, machine.ledger, node, (first, *others), machine.item_taints, frame, machine.dtype)
    for term, value in zip(node.rest, others, strict=True):
        first = machine.apply(ARITHMETIC[term.operator], (first, value), frame, node, node.first.span.to(term.span))
    return first


class Recalling(Recall):
    """What a call that is remembered depends on is as if it were made again: its taint, and what its conditions have decided.

    It is the same call only where all that is given depends on the same; else which calls are remembered would tell of draws that
    the taint does not know.
    """

    def marks(self, machine: Depending, frame: Frame) -> Hashable:
        """What the arguments, and that the call is made, depend on."""
        machine.wants_terms = False  # its value is one term, remembered or not
        return tuple(machine.item_taints), frame.control | frame.activation.escaped

    def enter(self, machine: Depending) -> tuple[int, bool]:
        """What has been decided before is put aside."""
        entered = machine.decided, machine.apart
        machine.decided, machine.apart = 0, False
        return entered

    def leave(self, machine: Depending, entered: tuple[int, bool]) -> tuple[Taint, int, bool]:
        """The taint of the value, and what was decided on the way."""
        note = machine.taint, machine.decided, machine.apart
        machine.decided |= entered[0]
        machine.apart |= entered[1]
        return note

    def again(self, machine: Depending, note: tuple[Taint, int, bool]) -> None:
        """The same taint and decisions."""
        machine.taint = note[0]
        machine.decided |= note[1]
        machine.apart |= note[2]


class Depending(Interpreter):
    """An interpreter that knows what every value depends on; `taint` is that of what is being evaluated."""

    evaluators: ClassVar[dict[type[Node], Evaluate]] = {**Interpreter.evaluators, Arithmetic: evaluate_product}

    def __init__(self, *arguments: Any, sums: Sums, gates: Gates, **options: Any):
        super().__init__(*arguments, **options)
        self.sums = sums
        self.gates = gates
        self.taint = CLEAN
        self.indexed: Indexed | None = None
        self.item_taints: list[Taint] = []
        self.decided = 0  # by which sites the conditions of the present statement were decided
        self.steered = 0  # by which those of all statements were
        self.wide = 0  # executions that drew many elements, which are kept apart
        self.together = False
        self.wants_terms = False
        self.recall = Recalling(self.resolved)

    def evaluate(self, node: Expression, frame: Frame) -> Plain:
        """As always; what the value depends on is added to `taint`."""
        outer, self.taint = self.taint, CLEAN
        value = super().evaluate(node, frame)
        own = self.taint_of(node.id, frame) if isinstance(node, Name) else self.taint
        if isinstance(node, Index):
            assert self.indexed is not None
            own = self.indexed.read(value.shape)
        elif own.shaped:
            own = own.within(value.shape, self._by_element(node))
        elif isinstance(node, Vector) and own.whole:
            own = filled_in(self.item_taints)
        self.taint = outer.joined(own)
        return value

    def evaluate_all(self, nodes: Sequence[Expression], frame: Frame) -> list[Plain]:
        """As always; `item_taints` has the taint of each value."""
        outer, taints = self.taint, []
        values: list[tuple[Plain, Lanes]] = []
        for node in nodes:
            self.taint = CLEAN
            values.append((self.evaluate(node, frame), frame.lanes))
            taints.append(self.taint)
            outer = outer.joined(self.taint)
        self.taint, self.item_taints = outer, taints
        return [carry(value, lanes, frame.lanes) for value, lanes in values]

    def items(self, shape: Sequence[int], nodes: tuple[Expression | Slice, ...], frame: Frame) -> list[Item]:
        """As always; `indexed` remembers what was meant."""
        taint, self.item_taints = self.taint, []
        found = super().items(shape, nodes, frame)
        self.indexed = Indexed(tuple(shape), taint, self.item_taints, found)
        return found

    def call_code(self, row: FunctionRow, arguments: Sequence[Plain], node: Call, frame: Frame) -> Plain:
        """As always; a choice, or an inner product, tells where the draws behind it matter."""
        if id(node) in self.gates.behind:
            weigh(self.gates, self.ledger, node, arguments, self.item_taints, frame, self.dtype)
        return super().call_code(row, arguments, node, frame)

    def taint_of(self, name: str, frame: Frame) -> Taint:
        """What a variable depends on."""
        taints = frame.activation.taints
        return taints[name] if name in taints else frame.outer.activation.taints.get(name, CLEAN)

    def note_element(self, name: str, value: Plain, frame: Frame) -> None:
        """The array of which something was read."""
        assert self.indexed is not None
        self.indexed.taint = self.taint_of(name, frame)

    def sums_scores(self, batch: Shape) -> bool:
        """Whether from here on the results are taken as wholes, since the elements of wide draws have met: what is drawn now, of
        many elements, depends on all of an earlier such draw.  Then every score meets what all elements come to, whichever its
        own is, and to keep them apart takes memory and time without end and lessens the spread by hardly anything.

        Nothing that score sites have drawn may decide this, or the runs in which it is so would not be as the others."""
        if math.prod(batch) >= WIDE and self.taint.whole & self.wide and not self.steered and not self.together:
            self.together = True
            if self.counter is not None:
                self.counter.taken_apart = False
        return self.together

    def note_score(self, node: Sample | Draw, log_density: Tensor, baseline: str, frame: Frame, summed: DensitySum | None) -> None:
        """One more execution: the draw depends on it, element by element if the site is an array."""
        bit = self.ledger.execute(frame.lanes, log_density, baseline)
        batch = tuple(log_density.shape[1:]) if summed is None else summed.batch
        scalar = not batch or summed is not None or DISTRIBUTIONS[node.distribution.name].event > 0
        if math.prod(batch) >= WIDE and not scalar:
            self.wide |= bit
        changed = summed is not None and (frame.mask is not None or id(node) in self.kinks)
        if id(node) in self.gates.uses and self.gates.variables.get(id(node)) not in self.wanted and not changed:
            frame.activation.gates[id(node)] = Gate(bit, frame.lanes, batch, self.gates.uses[id(node)], summed=summed)
        self.taint = self.taint.joined(Taint(bit) if scalar else Taint(0, bit, batch))

    def _wrote(self, name: str, taint: Taint, frame: Frame) -> None:
        """A variable has been set: on all lanes of the call, or beside what it was on others."""
        taints = frame.activation.taints
        own = taint.under(frame.control | frame.activation.escaped)
        taints[name] = own if self._everywhere(frame) or name not in taints else taints[name].joined(own)

    def _everywhere(self, frame: Frame) -> bool:
        """Whether all lanes of the call are here, and no decision of a score site brought them."""
        first = frame.activation.frame
        return frame.lanes is first.lanes and frame.mask is first.mask and not frame.control and not frame.activation.escaped

    def condition(self, node: Expression, frame: Frame) -> Plain:
        """A condition: what follows on these lanes depends on it."""
        outer, self.taint = self.taint, CLEAN
        value = self.evaluate(node, frame)
        frame.control |= self.taint.all
        self.decided |= self.taint.all
        self.steered |= self.taint.all
        self.taint = outer
        return value

    def note_loop(self, node: For, frame: Frame) -> None:
        """The bounds decide who goes on; what is looped over taints the variable."""
        mask = self.taint.all
        taints = frame.activation.taints
        control = mask | frame.control | frame.activation.escaped
        taints[node.variable] = taints.get(node.variable, CLEAN).joined(Taint(control))  # no round, and it is what it was
        frame.control |= mask
        self.decided |= mask
        self.steered |= mask

    def note_last(self, name: str, frame: Frame) -> None:
        """One element depends on what the array depended on."""
        taints = frame.activation.taints
        if name in taints:
            taints[name] = Taint(taints[name].all)

    def note_return(self, frame: Frame) -> None:
        """These lanes leave; who stays depends on what decided that."""
        activation = frame.activation
        activation.returned_taint = activation.returned_taint.joined(self.taint.under(frame.control))
        activation.escaped |= frame.control

    def _law_by_element(self, distribution: Distribution) -> bool:
        """Whether the elements of a draw are independent, each with its own element of the arguments."""
        row = DISTRIBUTIONS[distribution.name]
        return row.event == 0 and all(parameter.event == 0 for parameter in row.parameters)

    def _by_element(self, node: Expression) -> bool:
        """Whether element i of a form's value depends on the elements i of its parts only."""
        match node:
            case Call(function=name, arguments=arguments):
                return name in self.resolved.functions or (name in FUNCTIONS and elementwise(name, len(arguments)))
            case LogPdf(distribution=distribution) | Draw(distribution=distribution):
                return self._law_by_element(distribution)
            case Name() | Unary() | Arithmetic() | Power() | Comparison() | Logical() | Conditional():
                return True
            case Number() | Boolean() | Vector() | Index():
                return False
            case _:
                assert_never(node)
