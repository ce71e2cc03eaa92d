"""What tells lanes apart at each place of a program, by the text: over which state a site is summed out.

A walk over the program with what is known of every variable: on which of the sites that split lanes it depends, by data or by
control (`depends`); and of which of them the lanes differ in it though no outcome says so (`apart`), because each has drawn a
number of its own, or because a value that carries a derivative is not known to be the same in two of them
(`runtime/lanes/merging.py`).
`split` are the sites of which lanes are there at all: where lanes are merged and no variable tells the outcomes of a site apart,
it is summed out, and what is drawn after that is drawn once.

Facts grow, so loops and calls are walked until nothing changes.  What is said is what may be: a variable that is named may turn
out to be the same in all lanes, but one that is not named never tells two apart (but for lanes of probability 0: those have no
mean, and are not merged where variables are averaged).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Assign,
    Block,
    Comparison,
    Conditional,
    Data,
    Expression,
    For,
    Function,
    If,
    Index,
    Logical,
    Name,
    Node,
    Parameter,
    Range,
    Require,
    Return,
    Sample,
    Slice,
    Statement,
    While,
    children,
    deep_recursion,
)
from ..tables.estimators import EstimatorRow
from .lane_values import SAME, Differing, Differs, StateAt, States
from .liveness import Liveness

MOST_LIVE = 64  # variables that are looked at after every statement; where more are live, nothing is called summed out


def find_states(
    resolved: Resolved, live: Liveness, estimators: Mapping[int, EstimatorRow], of: Collection[str] = ()
) -> States:
    """Under a choice of estimators (by site index)."""
    walk = _StateWalk(resolved, live, estimators, frozenset(of))
    with deep_recursion():
        while True:
            walk.changed = False
            walk.program()
            for function in resolved.functions.values():
                walk.function(function)
            if not walk.changed:
                return States(walk.meetings, walk.nested)


@dataclass
class _StateWalk(Differing):
    """The statements."""

    # ------------------------------------------------------------------------------------------------- scopes
    def begin(self, inside: Function | None, values: dict[str, Differs]) -> None:
        self.inside, self.values, self.log = inside, values, []
        self.control, self.split, self.over, self.around = SAME, 0, False, []

    def program(self) -> None:
        """The statements outside of functions."""
        self.begin(None, {name: Differs(live=True) for name in self.resolved.parameters})
        self.block(self.resolved.program.body)
        if not self.over:
            objective = () if self.resolved.objective is None else (self.resolved.objective,)
            self.meet(id(self.resolved.program.body), frozenset((*self.of, *objective)))

    def function(self, function: Function) -> None:
        """One function, for all of its calls."""
        known = self.arguments.get(function.name)
        if known is None:
            return  # nobody has called it
        self.begin(function, {name: Differs(live=live) for name, live in known.items()})
        self.block(function.body)
        summary = self.summaries[function.name]
        if self.split & ~summary.split:
            summary.split |= self.split
            self.changed = True

    def set(self, name: str, found: Differs) -> None:
        """A variable has another fact from here on."""
        found = found.under(self.control)
        self.log.append((name, self.values.get(name)))
        self.values[name] = found
        if self.inside is None and found.live and not self.outer.get(name):
            self.outer[name] = self.changed = True

    def take_back(self, mark: int) -> dict[str, Differs]:
        """Undo what has been set since the log was so long; gives what it was."""
        found = {name: self.values[name] for name, _ in self.log[mark:]}
        while len(self.log) > mark:
            name, before = self.log.pop()
            if before is None:
                del self.values[name]
            else:
                self.values[name] = before
        return found

    # --------------------------------------------------------------------------------------------- statements
    def block(self, body: Block) -> None:
        """Statements, as long as something comes to them."""
        for node in body.statements:
            if self.over:
                return
            self.statement(node)
            if not self.over and id(node) in self.live.after:
                self.after(node)

    def after(self, node: Statement) -> None:
        """Lanes may meet after a statement."""
        if id(node) in self.live.ends:
            self.rewrite(self.live.after[id(node)])
            self.meet(id(node), self.live.after[id(node)])
            self.sum_out(self.live.after[id(node)], self.live.state[id(node)])

    def rewrite(self, names: frozenset[str]) -> None:
        """Where some of the lanes are merged, in a branch or a loop, what is live is theirs from then on: a value that carries a
        derivative is not known to be that of the other lanes any more."""
        if self.control.mask or self.leaving:
            for name in names:
                found = self.values.get(name)
                if found is not None and found.live:
                    self.set(name, found)

    def meet(self, place: int, names: Iterable[str]) -> None:
        """Write down what tells lanes apart."""
        meeting = self.meetings.setdefault(place, StateAt())
        for name in names:
            found = self.values.get(name)
            if found is not None and (found.mask or found.mean):
                before = meeting.variables.get(name)
                meeting.variables[name] = found if before is None else before.joined(found)
        for loop, mask in self.around:
            meeting.loops[id(loop)] = loop, mask | meeting.loops.get(id(loop), (loop, 0))[1]

    def sum_out(self, names: frozenset[str], state: frozenset[str]) -> None:
        """Sites that nothing tells apart any more are summed out; what is left of them are means, one for each state."""
        if not self.split or len(names) > MOST_LIVE:
            return
        known = {name: self.values[name] for name in names if name in self.values}
        mask = self.control.mask
        for name, found in known.items():
            if name in state:
                mask |= found.mask
        for _, own in self.around:
            mask |= own
        gone = self.split & ~mask
        if gone:
            self.split &= ~gone
            for name, found in known.items():
                if found.mask & gone:
                    self.log.append((name, found))
                    left = found.depends & ~gone | self.split
                    self.values[name] = replace(found, depends=left, apart=found.apart & ~gone, mean=True)

    def statement(self, node: Statement) -> None:
        """One statement."""
        match node:
            case Assign():
                self.store(node.name, node.indices, self.value(node.value))
            case Sample():
                self.store(node.name, node.indices, self.draw(node))
            case If():
                self.branches(node)
            case For():
                self.loop_over(node)
            case While():
                self.rounds(None, node.body, node.condition, SAME, SAME)
            case Require():
                self.value(node.condition)
            case Return():
                self.give_back(node)
            case Parameter() | Data() | Function():
                pass
            case _:
                assert_never(node)

    def store(self, name: str, indices: tuple[Expression | Slice, ...], value: Differs) -> None:
        """Set a variable, or elements of it."""
        if indices:
            value = self.values.get(name, SAME).joined(value)
            for index in indices:
                value = value.joined(self.value(index).still())
            value = self.unknown(value, "array", indices[0])
        self.set(name, value)

    def branches(self, node: If) -> None:
        """The ways through an `if` come together."""
        control, mark = self.control, len(self.log)
        parts: list[tuple[dict[str, Differs], int]] = []
        for condition, body in node.branches:
            self.control = self.control.joined(self.value(condition).still())
            self.side(body, mark, parts)
        if node.otherwise is not None:
            self.side(node.otherwise, mark, parts)
        elif not self.over:
            parts.append(({}, self.split))
        self.control = control
        self.over = not parts
        for name in dict.fromkeys(name for part, _ in parts for name in part):
            found = [part[name] if name in part else self.values[name] for part, _ in parts if name in part or name in self.values]
            joined = found[0]
            for other in found[1:]:
                joined = joined.joined(other)
            self.set(name, joined)
        self.split = 0
        for _, split in parts:
            self.split |= split

    def side(self, body: Block, mark: int, parts: list[tuple[dict[str, Differs], int]]) -> None:
        """One way through an `if`; where it returns, nothing of it is left."""
        split = self.split
        self.block(body)
        found = self.take_back(mark)
        if not self.over:
            parts.append((found, self.split))
        self.over, self.split = False, split

    def loop_over(self, node: For) -> None:
        """Rounds that are counted, or go through an array."""
        if isinstance(node.iterable, Range):
            bounds = [self.value(bound) for bound in (node.iterable.start, node.iterable.stop) if bound is not None]
            item = bounds[0].still() if node.iterable.start is not None else SAME
            self.rounds(node, node.body, None, bounds[0].joined(bounds[-1]).still(), item)
        else:
            item = self.value(node.iterable)
            self.rounds(node, node.body, None, SAME, item, item.mask)

    def rounds(
        self, node: For | None, body: Block, condition: Expression | None, leave: Differs, item: Differs, hidden: int = 0
    ) -> None:
        """Walk a body until the facts stand still.  Lanes in the loop have made the same rounds: it is where they have left it (by
        sites `leave`) that they differ in what it sets."""
        hidden |= leave.mask
        if node is not None and hidden:
            self.around.append((node, hidden))
        touched: dict[str, Differs] = {}
        while True:
            mark, split = len(self.log), self.split
            if condition is not None:
                leave = leave.joined(self.value(condition).still())
            if node is not None:
                self.set(node.variable, item)
            outside, self.leaving = self.leaving, self.leaving or bool(leave.mask)
            self.block(body)
            self.leaving = outside
            after, self.over = self.take_back(mark), False
            moved = bool(self.split & ~split)
            self.split |= split
            for name, found in after.items():
                before = self.values.get(name)
                joined = found if before is None else before.joined(found)
                touched[name] = joined
                if joined != before:
                    self.set(name, joined)
                    moved = True
            if not moved:
                break
        if node is not None and hidden:
            self.around.pop()
        self.split |= leave.mask
        for name, found in touched.items():  # those that are as they were as well: a loop around this one must know of them
            found = replace(found, apart=found.apart | leave.mask) if found.random else found
            self.set(name, found.under(leave))

    def give_back(self, node: Return) -> None:
        """Nothing comes after a `return`."""
        found = SAME
        for value in node.values:
            found = found.joined(self.value(value))
        read = {part.id for value in node.values for part in nodes_in(value) if isinstance(part, Name)}
        self.meet(id(node), read | self.of if self.inside is None else read)
        if self.inside is not None:
            summary = self.summaries[self.inside.name]
            result = summary.result.joined(found.under(self.control))
            if result != summary.result:
                summary.result = result
                self.changed = True
            if self.split & ~summary.split:
                summary.split |= self.split
                self.changed = True
        self.over = True

def made_of_themselves(loop: For | While) -> frozenset[str]:
    """Variables that a loop makes from their own values of the round before."""
    made: dict[str, set[str]] = {}
    for node in nodes_in(loop.body):
        if isinstance(node, Assign):
            made.setdefault(node.name, set()).update(_data(node.value), (node.name,) if node.indices else ())

    def reaches(name: str) -> bool:
        seen: set[str] = set()
        stack = [*made[name]]
        while stack:
            other = stack.pop()
            if other == name:
                return True
            if other not in seen:
                seen.add(other)
                stack += made.get(other, ())
        return False

    return frozenset(name for name in made if reaches(name))


def _data(node: Node) -> set[str]:
    """Variables whose values go into that of an expression, not those that only decide."""
    match node:
        case Name():
            return {node.id}
        case Comparison() | Logical():
            return set()
        case Conditional():
            return _data(node.then) | _data(node.otherwise)
        case Index():
            return _data(node.target)
        case _:
            return set().union(*(_data(child) for child in children(node)))


__all__ = ["find_states", "made_of_themselves"]
