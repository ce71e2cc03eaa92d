"""An interpreter that keeps account of what depends on which score site (ESTIMATORS.md section 1, "Credit").

Beside each value goes a `Taint`: while an expression is evaluated, `taint` gathers what it reads; variables keep theirs per
call.  What is set under a decision depends on what decided, also where no lane of the block went that way: a taint may
differ from block to block only through sites that it contains, or the estimate would be biased by the difference.
Results, and the variables that add up to them (`dsl/analysis/sums.py`), are kept as terms; a term is multiplied by the
scores in its own taint only (`ledger.py`).

Taints are unions, never intersections, so a mistake towards "depends" costs variance and nothing else.
"""

from __future__ import annotations

import math
from typing import Any, assert_never

from ...dsl.analysis.sums import signed_operands
from ...dsl.syntax import (
    Arithmetic,
    Assign,
    Call,
    Data,
    Expression,
    For,
    Function,
    If,
    Name,
    Parameter,
    Require,
    Return,
    Sample,
    Statement,
    Unary,
    While,
)
from ...dsl.tables.functions import FUNCTIONS
from ..lanes.frames import Activation, Frame, Returned
from ..lanes.lanes import Lanes, carry
from ..lanes.ledger import CLEAN, Summand, Taint, view
from ..lanes.values import Plain, Ragged, Uniform, Value
from ..machine.operation import ARITHMETIC, NEGATIVE
from ..machine.ways import terms_here
from .dependence import Depending
from .relevance import weigh

Summed = tuple[Plain, list[Summand]]  # a value and the terms that it is the sum of, less those that depend on nothing


class Crediting(Depending):
    """An interpreter whose outcome holds the terms of the results."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.call_terms: list[Summand] | None = None

    # ---------------------------------------------------------------------------------------------- statements
    def execute(self, statement: Statement, frame: Frame) -> None:
        """As always, and account for what it sets."""
        match statement:
            case Assign() | Sample():
                self.taint = CLEAN
                self._set(statement, frame)
            case If() | For() | While():
                self._compound(statement, frame)
            case Require() | Return() | Parameter() | Data() | Function():
                self.taint = CLEAN
                super().execute(statement, frame)
            case _:
                assert_never(statement)

    def _set(self, node: Assign | Sample, frame: Frame) -> None:
        kept = not self.together and node.name in self.sums.accumulators.get(frame.activation.scope, ())
        if isinstance(node, Assign) and kept and not node.indices:
            self._accumulate(node, frame)
            return
        super().execute(node, frame)
        if node.indices:
            assert self.indexed is not None
            self._wrote(node.name, self.indexed.stored(self.taint_of(node.name, frame), self.taint, self._everywhere(frame)), frame)
            if kept:
                frame.terms[node.name] = None
            return
        value = frame.read(node.name)
        by_element = isinstance(node, Assign) or self._law_by_element(node.distribution)
        own = self.taint.within(value.shape, by_element)
        self._wrote(node.name, own, frame)
        if kept:
            frame.terms[node.name] = self._whole(value, self.taint_of(node.name, frame), frame.lanes)

    def _accumulate(self, node: Assign, frame: Frame) -> None:
        """Set a variable whose terms are kept: `v = v + ...` adds terms, anything else begins anew."""
        known = frame.find_terms(node.name) if id(node) in self.sums.updates else None
        if known is not None:
            assert isinstance(node.value, Arithmetic)
            before = frame.read(node.name)
            value, terms = self.summed(node.value, frame, node.name)
            frame.write(node.name, value)
            shape = value.shape
            if shape != before.shape:
                known[:] = [self._broadcast(term, shape) for term in known]
            known.extend(terms_here(frame, terms))
        else:
            value, terms = self.terms_of(node.value, frame)
            frame.write(node.name, value)
            frame.terms[node.name] = list(terms)
        self.watch(node.value, value)
        self._wrote(node.name, self.taint, frame)

    def _compound(self, node: If | For | While, frame: Frame) -> None:
        """A branch or a loop: what it may set depends on what decided."""
        control, outside, apart = frame.control, self.decided, self.apart
        self.decided, self.apart, self.taint = 0, False, CLEAN
        super().execute(node, frame)
        mask, split = self.decided, self.apart
        frame.control, self.decided, self.apart = control, outside | mask, apart or split
        activation = frame.activation
        if mask:
            for name in self.sums.assigned[id(node)]:
                if name in activation.taints:
                    activation.taints[name] = activation.taints[name].under(mask)
            if id(node) in self.sums.returns:
                activation.escaped |= mask
        if (mask or split) and frame.lanes.count:
            for name in self.sums.replaced[id(node)]:
                if frame.has(name):
                    frame.terms[name] = None

    def keeps_terms(self, node: For, frame: Frame) -> bool:
        """Whether something that the loop sets is an accumulator."""
        kept = self.sums.accumulators.get(frame.activation.scope, ())
        return any(name in kept for name in self.sums.assigned[id(node)])

    # ------------------------------------------------------------------------------------------ calls and returns
    def note_entry(self, function: Function, activation: Activation) -> None:
        """Arguments bring their taints along."""
        activation.taints = dict(zip(function.parameters, self.item_taints, strict=True))
        activation.scope = function.name
        activation.additive, self.wants_terms = self.wants_terms, False

    def note_call(self, activation: Activation, returned: Returned) -> None:
        """The value of a call depends on what was returned and on who returned."""
        beyond = activation.escaped & ~activation.entry
        self.taint = activation.returned_taint.under(activation.escaped)
        alone = len(activation.returned) == 1 and not beyond
        self.call_terms = returned.terms[0] if activation.additive and alone else None

    def results_of(self, nodes: tuple[Expression, ...], frame: Frame) -> tuple[list[Value], list[list[Summand] | None]]:
        """What a `return` gives, with its terms where they are wanted: at the end of the program, or of an additive call."""
        if self.together or (self.depth and not frame.activation.additive):
            return super().results_of(nodes, frame)
        values: list[tuple[Plain, Lanes]] = []
        terms: list[list[Summand] | None] = []
        for node in nodes:
            value, own = self.terms_of(node, frame)
            values.append((value, frame.lanes))
            terms.append(own)
        return [carry(value, lanes, frame.lanes) for value, lanes in values], terms

    def terms_of_name(self, name: str, frame: Frame) -> list[Summand] | None:
        """The terms of a variable at the end of the run."""
        known = frame.find_terms(name)
        if known is not None and frame.lanes is frame.activation.frame.lanes:
            return list(known)
        return self._whole(frame.read(name), self.taint_of(name, frame).under(frame.control), frame.lanes)

    def last_terms(self, end: Returned, activation: Activation) -> list[list[Summand] | None]:
        """The terms of the results; where runs ended in different ways, each result as a whole."""
        parts = activation.returned
        if self.together:
            return [None] * len(end.values)
        if len(parts) == 1 and not activation.escaped:
            return end.terms
        found: list[list[Summand] | None] = []
        for number, value in enumerate(end.values):
            taint = CLEAN
            for part in parts:
                for term in part.terms[number] or ():
                    taint = taint.joined(Taint(term.taint.all))
            found.append(self._whole(value, taint.under(activation.escaped), end.lanes))
        return found

    # --------------------------------------------------------------------------------------------------- terms
    def terms_of(self, node: Expression, frame: Frame) -> Summed:
        """The value of an expression and the terms that it is the sum of; its taint is added to `taint`."""
        if self.together:
            return self.evaluate(node, frame), []
        outer, self.taint = self.taint, CLEAN
        value, terms = self._terms(node, frame)
        self.taint = outer.joined(self.taint)
        return value, terms

    def _terms(self, node: Expression, frame: Frame) -> Summed:
        match node:
            case Name() if id(node) in self.sums.expand:
                value = self.evaluate(node, frame)
                known = frame.find_terms(node.id) if self._everywhere(frame) else None
                if known is not None:
                    return value, list(known)
                return value, self._leaf(value, frame)
            case Arithmetic():
                found = self.summed(node, frame) if signed_operands(node) else self._product(node, frame)
            case Unary(operator="-"):
                operand, terms = self.terms_of(node.operand, frame)
                found = self.apply(NEGATIVE, (operand,), frame, node), [term.scaled(-1.0) for term in terms]
            case Call(function=name) if name in FUNCTIONS and FUNCTIONS[name].adds:
                found = self._added(node, frame)
            case Call(function=name) if name in self.resolved.functions:
                self.wants_terms = True
                self.call_terms = None
                value = self.evaluate(node, frame)
                known, self.call_terms = self.call_terms, None
                return value, self._leaf(value, frame) if known is None else known
            case _:
                value = self.evaluate(node, frame)
                return value, self._leaf(value, frame)
        self.watch(node, found[0])
        return found

    def _leaf(self, value: Plain, frame: Frame) -> list[Summand]:
        """A value that is one term."""
        return self._whole(value, self.taint.under(frame.control | frame.activation.escaped), frame.lanes)

    def _whole(self, value: Value, taint: Taint, lanes: Lanes) -> list[Summand]:
        if not taint.all or isinstance(value, Ragged):  # whoever reads a ragged value is told
            return []
        return [Summand(self.number(value), lanes, taint.within(value.shape, True))]

    def summed(self, node: Arithmetic, frame: Frame, own: str = "") -> Summed:
        """A sum: the terms of all operands (but those of the variable `own`, which are there already)."""
        operands = signed_operands(node)
        assert operands is not None
        total: Plain = Uniform(0.0)
        terms: list[Summand] = []
        found: list[Summand] = []
        shapes = set()
        skipped = False
        for number, (sign, operand) in enumerate(operands):
            entered = frame.lanes
            if not skipped and own and isinstance(operand, Name) and operand.id == own:
                value, found, skipped = self.evaluate(operand, frame), [], True
            else:
                value, found = self.terms_of(operand, frame)
            shapes.add(value.shape)
            terms += found if sign == 1 else [term.scaled(-1.0) for term in found]
            if number == 0:
                total = value
                continue
            if frame.lanes is not entered:
                total = carry(total, entered, frame.lanes)
            symbol, span = "+" if sign == 1 else "-", node.first.span.to(node.rest[number - 1].span)
            total = self.apply(ARITHMETIC[symbol], (total, value), frame, node, span)
        if len(shapes) > 1:  # something was broadcast: bring the terms to the shape of the whole
            shape = total.shape
            terms = [self._broadcast(term, shape) for term in terms]
        return total, terms

    def _broadcast(self, term: Summand, shape: tuple[int, ...]) -> Summand:
        if not term.reduced and tuple(term.value.shape[1:]) == shape:
            return term
        value = term.value.reshape(term.value.shape[0], -1).sum(1) if term.reduced else term.value
        value = value.reshape(value.shape[0], *(1,) * (len(shape) - value.dim() + 1), *value.shape[1:])
        return Summand(value.expand(value.shape[0], *shape), term.lanes, Taint(term.taint.all))

    def _product(self, node: Arithmetic, frame: Frame) -> Summed:
        """A product of which only one factor depends on score sites: its terms, scaled.  Else one term."""
        total: Plain = Uniform(0.0)
        factor: Plain = Uniform(1.0)
        terms: list[Summand] | None = None
        start = frame.lanes
        operands = [("*", node.first), *((term.operator, term.operand) for term in node.rest)]
        apart = "%" not in [symbol for symbol, _ in operands]
        values: list[tuple[Plain, Lanes]] = []
        taints: list[Taint] = []
        for number, (symbol, operand) in enumerate(operands):
            entered, outer = frame.lanes, self.taint
            self.taint = CLEAN
            value, found = self.terms_of(operand, frame)
            values.append((value, frame.lanes))
            taints.append(self.taint)
            if frame.lanes is not entered:
                total = carry(total, entered, frame.lanes)
                factor = carry(factor, entered, frame.lanes)
            if self.taint.all:
                apart = apart and terms is None and symbol == "*"
                terms = found
            elif symbol in "*/":
                factor = self.apply(ARITHMETIC[symbol], (factor, value), frame, node, operand.span)
            self.taint = outer.joined(self.taint)
            if number == 0:
                total = value
                continue
            total = self.apply(ARITHMETIC[symbol], (total, value), frame, node, node.first.span.to(node.rest[number - 1].span))
        if id(node) in self.gates.behind:
            here = [carry(value, lanes, frame.lanes) for value, lanes in values]
            weigh(self.gates, self.ledger, node, here, taints, frame, self.dtype)
        simple = not factor.shape
        structured = terms is not None and (len(terms) > 1 or any(term.reduced for term in terms))
        if apart and simple and structured and terms is not None and frame.lanes is start:
            return total, [self._scaled(term, factor, frame) for term in terms]
        self.taint = self.taint.within(total.shape, True)
        return total, self._leaf(total, frame)

    def _scaled(self, term: Summand, factor: Plain, frame: Frame) -> Summand:
        if isinstance(factor, Uniform):
            return term.scaled(factor.raw)
        value = view(term.value, term.lanes, frame.lanes)
        rows = factor.raw.reshape(-1, *(1,) * (value.dim() - 1))
        return Summand(value * rows, frame.lanes, term.taint, term.reduced)

    def _added(self, node: Call, frame: Frame) -> Summed:
        """`sum`, `mean` of one array, or `dot`: element by element where the elements have their own scores."""
        row = FUNCTIONS[node.function]
        if len(node.arguments) == 1:
            array, terms = self.terms_of(node.arguments[0].value, frame)
            value = self.call_code(row, [array], node, frame)
        else:
            before = len(node.arguments) == 2 and row.most == 2
            values = self.evaluate_all([argument.value for argument in node.arguments], frame)
            value = self.call_code(row, values, node, frame)
            if not before or not self.taint.shaped:
                self.taint = self.taint.within(value.shape, not before)
                return value, self._leaf(value, frame)
            array = self.apply(ARITHMETIC["*"], (values[0], values[1]), frame, node)
            self.taint = self.taint.within(array.shape, True)
            terms = self._leaf(array, frame)
        self.taint = Taint(self.taint.all)
        if not array.shape:
            return value, terms
        size = math.prod(array.shape)
        return value, [own for term in terms for own in self._reduced(term, size if row.name == "mean" else 1)]

    def _reduced(self, term: Summand, size: int) -> list[Summand]:
        """The terms of the sum over an array, from a term of the array."""
        taint = term.taint
        value = term.value if size == 1 else term.value / size
        if term.reduced or (taint.aligned and not taint.among):
            return [Summand(value, term.lanes, taint, True)]
        if taint.aligned:
            return [Summand(value, term.lanes, Taint(taint.whole | taint.among, taint.aligned, taint.shape), True)]
        flat = value.reshape(value.shape[0], -1)
        if not taint.among:
            return [Summand(flat.sum(1), term.lanes, taint)]
        places: dict[int, list[int]] = {}
        for place, mask in enumerate(taint.slots):
            places.setdefault(mask, []).append(place)
        return [Summand(flat[:, own].sum(1), term.lanes, Taint(taint.whole | mask)) for mask, own in places.items()]
