"""What depends on which score site: by data, and by control, execution by execution.

Beside every variable stands the set of executions that it depends on (`Taint`); what an expression depends on is gathered while
it is evaluated, and the conditions that brought lanes to a place count for all that is set there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never, cast

from torch import Tensor

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
    Number,
    Power,
    Sample,
    Unary,
    Vector,
)
from ...dsl.tables.distributions import DISTRIBUTIONS
from ...dsl.tables.functions import FUNCTIONS, elementwise
from ..arrays.broadcast import event_shape
from ..arrays.operations import Operand
from ..lanes.frames import Frame
from ..lanes.lanes import Lanes, carry
from ..lanes.ledger import CLEAN, Taint
from ..machine.interpreter import Interpreter


class Depending(Interpreter):
    """An interpreter that knows what every value depends on; `taint` is that of what is being evaluated."""

    def __init__(self, *arguments: Any, sums: Sums, **options: Any):
        super().__init__(*arguments, **options)
        self.sums = sums
        self.taint = CLEAN
        self.item_taints: list[Taint] = []
        self.decided = 0  # by which sites the conditions of the present statement were decided

    def evaluate(self, node: Expression, frame: Frame) -> Operand:
        """As always; what the value depends on is added to `taint`."""
        outer, self.taint = self.taint, CLEAN
        value = super().evaluate(node, frame)
        own = self.taint_of(node.id, frame) if isinstance(node, Name) else self.taint
        if own.aligned:
            own = own.within(event_shape(value) if isinstance(value, Tensor) else (), self._by_element(node))
        self.taint = outer.joined(own)
        return value

    def evaluate_all(self, nodes: Sequence[Expression], frame: Frame) -> list[Operand]:
        """As always; `item_taints` has the taint of each value."""
        outer, taints = self.taint, []
        values: list[tuple[Operand, Lanes]] = []
        for node in nodes:
            self.taint = CLEAN
            values.append((self.evaluate(node, frame), frame.lanes))
            taints.append(self.taint)
            outer = outer.joined(self.taint)
        self.taint, self.item_taints = outer, taints
        return [cast(Operand, carry(value, lanes, frame.lanes)) for value, lanes in values]

    def taint_of(self, name: str, frame: Frame) -> Taint:
        """What a variable depends on."""
        taints = frame.activation.taints
        return taints[name] if name in taints else frame.outer.activation.taints.get(name, CLEAN)

    def note_element(self, name: str, value: Tensor, frame: Frame) -> None:
        """An element depends on what the array depends on."""
        self.taint = self.taint.joined(Taint(self.taint_of(name, frame).all))

    def note_score(self, node: Sample | Draw, log_density: Tensor, baseline: str, frame: Frame) -> None:
        """One more execution: the draw depends on it, element by element if the site is an array."""
        bit = self.ledger.execute(frame.lanes, log_density, baseline)
        batch = tuple(log_density.shape[1:])
        scalar = not batch or DISTRIBUTIONS[node.distribution.name].event > 0
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

    def condition(self, node: Expression, frame: Frame) -> Operand:
        """A condition: what follows on these lanes depends on it."""
        outer, self.taint = self.taint, CLEAN
        value = self.evaluate(node, frame)
        frame.control |= self.taint.all
        self.decided |= self.taint.all
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
