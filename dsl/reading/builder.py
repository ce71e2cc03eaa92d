"""From rules to nodes: one method per rule of `grammar/prob.lark`, called bottom-up by lark's LALR parser.

A method gets the children of its rule (every token, and the nodes already built) and gives a node.  Nothing here
recurses, so depth costs nothing.  The grammar is a little wider than the language; what it lets through too much is
reported here, where the whole form is at hand and the message can be precise.
"""

from __future__ import annotations

import math
from typing import Any

from lark import Token

from ..levels import Factor, Observe, weighed_draw
from ..syntax import (
    FORMS,
    Assign,
    Block,
    Boolean,
    Call,
    Comparison,
    Data,
    Distribution,
    Draw,
    EstimatorCall,
    Expression,
    For,
    Function,
    If,
    Index,
    Interval,
    LogPdf,
    Name,
    Node,
    Parameter,
    Range,
    Require,
    Return,
    Sample,
    Simplex,
    Statement,
    While,
)
from ..syntax import children as children_of
from ..tables.composites import COMPOSITES
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS
from ..tables.meanings import function_meant
from ..tables.synonyms import WORDS
from ..text.source import Span
from .constant_values import constant_value
from .expression_builder import Children, ExpressionBuilder, as_distribution, nodes_of, span_over
from .tokens import span_of


class Builder(ExpressionBuilder):
    """Builds the tree of one source at a time."""

    # --------------------------------------------------------------------------------------------- statements
    def program(self, children: Children) -> Block:
        return Block(children[0], span=Span(0, len(self.source.text)))

    def statements(self, children: Children) -> tuple[Statement, ...]:
        found: list[Statement] = []
        for child in children:
            found.extend(child if isinstance(child, tuple) else (child,) if isinstance(child, Node) else ())
        return tuple(found)

    def block(self, children: Children) -> Block:
        for statement in children[1]:
            match statement:
                case Parameter() | Data() | Function():
                    what = {Parameter: "`param`", Data: "`data`", Function: "`fn`"}[type(statement)]
                    help_text = "move it out of the block, to the top level of the file"
                    self.report("P0111", f"{what} inside a block", statement.name_span, help_text)
                case _:
                    pass
        return Block(children[1], span=span_over(children))

    def broken(self, children: Children) -> None:
        return None

    def shape(self, children: Children) -> tuple[Expression, ...]:
        return nodes_of(children)

    def interval(self, children: Children) -> Interval:
        span = Span(span_of(children[1]).start, span_of(children[-1]).end)
        low, high = self._bound(children[2]), self._bound(children[4])
        if low is not None and high is not None and not low < high:
            title = f"no number lies between {low:g} and {high:g}"
            self.report("P0101", title, span, "write the lower bound first: (0, 1)")
        return Interval(-math.inf if low is None else low, math.inf if high is None else high, span=span)

    def _bound(self, node: Expression) -> float | None:
        value = constant_value(node)
        if value is None or math.isnan(value):
            help_text = "bounds are numbers, `pi`, `inf` and what can be computed from them: (0, 2*pi)"
            self.report("P0101", f"the bound `{self.text(node)}` is not a constant", node.span, help_text)
            return None
        return value

    def named_domain(self, children: Children) -> Simplex:
        if children[1] != "simplex":
            title, help_text = f"unknown domain `{children[1]}`", "write an interval such as (0, 1), or simplex"
            self.report("P0101", title, span_of(children[1]), help_text)
        return Simplex(span=span_of(children[1]))

    def parameter(self, children: Children) -> Parameter:
        shape, domain, default = (), None, None
        for position, child in enumerate(children[2:], start=2):
            if isinstance(child, tuple):
                shape = child
            elif isinstance(child, Interval | Simplex):
                domain = child
            elif isinstance(child, Node):
                default = children[position]
        name = children[1]
        end = self._end(children)
        return Parameter(str(name), shape, domain, default, span=end, name_span=span_of(name))

    def data(self, children: Children) -> Data:
        shape = next((child for child in children if isinstance(child, tuple)), ())
        default: Expression | None = children[-1] if isinstance(children[-1], Node) else None  # type: ignore[assignment]
        return Data(str(children[1]), shape, default, span=self._end(children), name_span=span_of(children[1]))

    def _end(self, children: Children) -> Span:
        """The span of a declaration, whose last child may be a shape (a tuple without a place of its own)."""
        start = span_of(children[0]).start
        last = children[-1]
        if isinstance(last, tuple):
            end = last[-1].span.end
            while self.source.text[end] != "]":  # blanks, newlines, a trailing comma and comments
                end = self.source.text.index("\n", end) if self.source.text[end] == "#" else end + 1
            return Span(start, end + 1)
        return Span(start, span_of(last).end if isinstance(last, Token) else last.span.end)

    def assignment(self, children: Children) -> Assign | None:
        target = self._target(children[0], "=", children[2])
        if target is None:
            return None
        name, indices, name_span = target
        return Assign(name, indices, children[2], span=span_over(children), name_span=name_span)

    def sample(self, children: Children) -> Sample | tuple[Statement, ...] | None:
        target = self._target(children[0], "~", children[2])
        distribution = self._drawn(children[0], children[2])
        given: dict[str, Any] = {}
        for word, node in children[3:]:
            if word in given:
                self.report("P0101", f"`{word}` is given twice", span_of(word), "leave one of them out")
            given[str(word)] = node
        proposal = self._drawn(children[0], given["via"]) if "via" in given else None
        if target is None or distribution is None or (proposal is None and "via" in given):
            return None
        name, indices, name_span = target
        ends = [node.span.end for node in (distribution, *given.values())]
        span, using = Span(children[0].span.start, max(ends)), given.get("using")
        if proposal is not None:
            return weighed_draw(name, indices, distribution, proposal, using, span, name_span)
        return Sample(name, indices, distribution, using, span=span, name_span=name_span)

    def using(self, children: Children) -> tuple[Token, EstimatorCall]:
        return children[0], children[1]

    def via(self, children: Children) -> tuple[Token, Expression]:
        return children[0], children[1]

    def observation(self, children: Children) -> Observe | Require | None:
        span, value = span_over(children), children[1]
        if len(children) < 3:
            return Require(value, span=span)
        distribution = self._drawn(value, children[3], "observe ")
        if distribution is None:
            return None
        return Observe.of(LogPdf(distribution, value, span=Span(value.span.start, span.end)), span)

    def factor(self, children: Children) -> Factor:
        return Factor.of(children[1], span_over(children))

    def _target(self, node: Expression, sign: str, right: Expression) -> tuple[str, tuple[Any, ...], Span] | None:
        """What stands left of `=` or `~`: a name, or a name with one index."""
        if self.source.text[node.span.start] != "(":
            match node:
                case Name():
                    return node.id, (), node.span
                case Index(target=Name(span=span) as name) if self.source.text[span.start] != "(":
                    return name.id, node.items, span
                case _:
                    pass
        rest = f"{sign} {self.text(right)}"
        help_text = "write a name there, or an element such as x[i]"
        match node:
            case Index(target=Index(target=Name(id=name_text), items=first), items=second):
                items = ", ".join(self.text(item) for item in (*first, *second))
                help_text = f"put the indices into one pair of brackets: {name_text}[{items}] {rest}"
            case Call():
                help_text = f"a function is declared with `fn {node.function}(...) {{ ... }}`"
            case Index(target=Name(id=name_text)) | Name(id=name_text):
                help_text = f"leave the parentheses out: {self.text(node).replace('(', '').replace(')', '')} {rest}"
            case _:
                pass
        self.report("P0101", f"`{self.text(node)}` cannot be assigned to", node.span, help_text)
        return None

    def _drawn(self, target: Expression, node: Expression, word: str = "") -> Distribution | None:
        """What stands right of `~`; after `word`, what is on the left is only observed."""
        distribution = as_distribution(node)
        if distribution is not None:
            return distribution
        left, right = word + self.text(target), self.text(node)
        match node:
            case Name() if node.id in DISTRIBUTIONS:
                needed = ", ".join(row.name for row in DISTRIBUTIONS[node.id].parameters if row.default is None)
                self.report("P0210", f"`{right}` has no arguments", node.span, f"write {left} ~ {right}({needed})")
            case _:
                drawn = any(isinstance(part, Draw) for part in (node, *children_of(node)))
                help_text = f"write {left} = {right}" + ("" if drawn else f", or draw: {left} ~ Normal({right}, 1)")
                self.report("P0101", "a distribution must stand on the right of `~`", node.span, help_text)
        return None

    def estimator(self, children: Children) -> EstimatorCall:
        options: list[tuple[str, float | bool | str]] = []
        for argument in children[2] if len(children) > 1 else ():
            value = _option_value(argument.value)
            if argument.name is None:
                row = ESTIMATORS.get(str(children[0]))
                wanted = [option.name for option in row.options if row and option.allowed(value)] if row else []
                help_text = f"write {children[0]}({wanted[0]}={self.text(argument)})" if wanted else "write name=value"
                self.report("P0101", "an option of an estimator needs its name", argument.span, help_text)
            elif value is None:
                title = f"the option `{argument.name}` must be a number, a word, `true` or `false`"
                self.report("P0101", title, argument.value.span)
            elif argument.name in [name for name, _ in options]:
                self.report("P0204", f"the option `{argument.name}` is given twice", argument.span)
            else:
                options.append((argument.name, value))
        return EstimatorCall(str(children[0]), tuple(options), span=span_over(children))

    def conditional_block(self, children: Children) -> If:
        found = nodes_of(children)
        pairs = tuple((found[i], found[i + 1]) for i in range(0, len(found) - 1, 2))
        return If(pairs, found[-1] if len(found) % 2 else None, span=span_over(children))

    def for_loop(self, children: Children) -> For:
        iterable: Range | Expression = children[3]
        if isinstance(iterable, Call) and iterable.function == "range":
            iterable = self._range(iterable)
        name = children[1]
        return For(str(name), iterable, children[4], span=span_over(children), name_span=span_of(name))

    def _range(self, call: Call) -> Range | Expression:
        self.loose_ranges = {start: other for start, other in self.loose_ranges.items() if other.name_span != call.name_span}
        values = [argument.value for argument in call.arguments]
        if any(argument.name is not None for argument in call.arguments):
            self.report("P0204", "`range` has no keyword arguments", call.span, "range(20) or range(2, 20)")
        elif not 1 <= len(values) <= 2:
            title = f"`range` takes 1 or 2 arguments, but has {len(values)}"
            help_text = "range(stop) or range(start, stop)"
            if len(values) == 3:
                help_text += "; for another step compute the index in the loop: i = start + step*k"
            self.report("P0203", title, call.span, help_text)
        else:
            return Range(values[0] if len(values) == 2 else None, values[-1], span=call.span)
        return call

    def while_loop(self, children: Children) -> While:
        return While(children[1], children[2], span=span_over(children))

    def function(self, children: Children) -> Function:
        names = [child for child in children[3:] if isinstance(child, Token) and child.type == "NAME"]
        name = children[1]
        if name in DISTRIBUTIONS or name == "range" or name in FORMS or name in COMPOSITES:
            what = "a distribution" if name in DISTRIBUTIONS else "a form"
            title = f"`{name}` is {what} of the language and cannot be a function"
            self.report("P0207", title, span_of(name), "choose another name")
        return Function(
            str(name), tuple(str(token) for token in names), children[-1],
            span=span_over(children), name_span=span_of(name), parameter_spans=tuple(span_of(token) for token in names),
        )  # fmt: skip

    def result(self, children: Children) -> Return:
        values = nodes_of(children)
        return Return(values, span=Span(span_of(children[0]).start, values[-1].span.end))

    def bare_expression(self, children: Children) -> None:
        node: Expression = children[0]
        text = self.text(node)
        if isinstance(node, Comparison) and node.operator == "==":
            left, right = self.text(node.left), self.text(node.right)
            sign = "~" if isinstance(node.right, Draw) else "="
            self.report("P0110", "`==` compares, it does not assign", node.span, f"write {left} {sign} {right}")
        elif isinstance(node, Comparison) and self._is_arrow(node.left, node.right):
            right = " ".join(self.source.slice(Span(node.right.span.start + 1, node.span.end)).split())
            self.report("P0110", "`<-` does not assign", node.span, f"write {self.text(node.left)} = {right}")
        elif isinstance(node, Name) and node.id == "pass":
            self.report("P0111", "there is no `pass`", node.span, "leave it out: a block may be empty, { }")
        elif isinstance(node, Name) and node.id in ("break", "continue"):
            self.report("P0111", f"there is no `{node.id}`", node.span, "use `if` and the condition of `while`")
        elif isinstance(node, Name) and node.id in WORDS:
            self.report("P0110", f"there is no `{node.id}`", node.span, WORDS[node.id])
        elif isinstance(node, Call) and (advice := WORDS.get(node.function) or function_meant(node.function)):
            self.report("P0110", f"there is no `{node.function}`", node.name_span, advice)
        elif isinstance(node, Draw):
            self.report("P0111", "this draw has no name", node.span, f"write x ~ {text}")
        else:
            help_text = f"name its value: y = {text}; or, as the result of the program: return {text}"
            if text.startswith("-"):
                help_text = "an expression goes on over several lines only inside parentheses"
            self.report("P0111", "an expression alone is not a statement", node.span, help_text)


def _option_value(node: Expression) -> float | bool | str | None:
    """A number, a truth value, or a word (`baseline=mean`)."""
    if isinstance(node, Boolean):
        return node.value
    number = constant_value(node)
    return node.id if number is None and isinstance(node, Name) else number
