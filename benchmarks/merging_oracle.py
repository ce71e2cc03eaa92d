"""An oracle of its own: the exact expectation of a discrete program and its derivatives, by going through every path.

It walks the syntax tree in plain Python, over dual numbers (a value and its derivative in every entry of every parameter), and
executes the program once for each sequence of outcomes.  It shares with probrun the parser and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from probrun.dsl import syntax as s

MOST_PATHS, MOST_ROUNDS = 20_000, 1000


class TooManyPaths(Exception):
    """More paths than the oracle goes through."""


class Kink(Exception):
    """A comparison of something that moves with a parameter: the oracle does not decide it."""


class Returned(Exception):
    """A `return`, with its values."""

    def __init__(self, values: list[Value]):
        self.values = values


class Dual:
    """A number with its derivatives (None: all of them 0)."""

    __slots__ = ("moves", "value")

    def __init__(self, value: float, moves: tuple[float, ...] | None = None):
        self.value = value
        self.moves = moves

    def scaled(self, value: float, slope: float) -> Dual:
        """A function of one number."""
        return Dual(value, self.moves and tuple(slope * d for d in self.moves))

    def with_other(self, other: Dual, value: float, mine: float, its: float) -> Dual:
        """A function of two numbers: its value and its two slopes."""
        if self.moves is None:
            return other.scaled(value, its)
        if other.moves is None:
            return self.scaled(value, mine)
        return Dual(value, tuple(mine * a + its * b for a, b in zip(self.moves, other.moves, strict=True)))

    def __add__(self, other: Dual) -> Dual:
        return self.with_other(other, self.value + other.value, 1.0, 1.0)

    def __sub__(self, other: Dual) -> Dual:
        return self.with_other(other, self.value - other.value, 1.0, -1.0)

    def __mul__(self, other: Dual) -> Dual:
        return self.with_other(other, self.value * other.value, other.value, self.value)

    def __truediv__(self, other: Dual) -> Dual:
        return self.with_other(other, self.value / other.value, 1 / other.value, -self.value / other.value**2)

    def __mod__(self, other: Dual) -> Dual:
        return Dual(self.fixed() % other.fixed())

    def __pow__(self, other: Dual) -> Dual:
        power = other.fixed()
        return self.scaled(self.value**power, power * self.value ** (power - 1) if power else 0.0)

    def fixed(self) -> float:
        """The value of what must not move."""
        if self.moves is not None and any(self.moves):
            raise Kink
        return self.value


Value: TypeAlias = "Dual | list[Value]"
Scope: TypeAlias = "dict[str, Value]"
ONE, ZERO = Dual(1.0), Dual(0.0)
OPERATIONS: dict[str, Callable[[Dual, Dual], Dual]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "%": lambda a, b: a % b,
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}


def sigmoid(x: Dual) -> Dual:
    y = 1 / (1 + math.exp(-x.value))
    return x.scaled(y, y * (1 - y))


SMOOTH: dict[str, Callable[[Dual], Dual]] = {
    "sigmoid": sigmoid, "exp": lambda x: x.scaled(math.exp(x.value), math.exp(x.value)),
    "tanh": lambda x: x.scaled(math.tanh(x.value), 1 - math.tanh(x.value) ** 2),
    "sin": lambda x: x.scaled(math.sin(x.value), math.cos(x.value)),
}


def each(operation: Callable[[Dual, Dual], Dual], left: Value, right: Value) -> Value:
    """Element by element; a number meets every element."""
    if isinstance(left, list) and isinstance(right, list):
        return [each(operation, a, b) for a, b in zip(left, right, strict=True)]
    if isinstance(left, list):
        return [each(operation, a, right) for a in left]
    if isinstance(right, list):
        return [each(operation, left, b) for b in right]
    return operation(left, right)


def entries(value: Value) -> list[Dual]:
    """All numbers in a value."""
    return [value] if isinstance(value, Dual) else [number for item in value for number in entries(item)]


def number(value: Value) -> Dual:
    """What must be a single number."""
    assert isinstance(value, Dual)
    return value


def copied(value: Value) -> Value:
    """A value that does not change with the array it was read from."""
    return [copied(item) for item in value] if isinstance(value, list) else value


def true(value: Value) -> bool:
    """A number is true where it is not 0."""
    return number(value).fixed() != 0


def total(values: list[Dual]) -> Dual:
    result = ZERO
    for value in values:
        result = result + value
    return result


def outcomes(name: str, arguments: list[Value]) -> list[tuple[float, Dual]]:
    """What a draw may give, each with its probability."""
    if name == "Bernoulli":
        p = number(arguments[0])
        return [(0.0, ONE - p), (1.0, p)]
    if name == "Categorical":
        weights = entries(arguments[0])
        return [(float(place), weight / total(weights)) for place, weight in enumerate(weights)]
    if name == "Binomial":
        n, p = int(number(arguments[0]).fixed()), number(arguments[1])
        return [
            (float(k), Dual(float(math.comb(n, k))) * p ** Dual(float(k)) * (ONE - p) ** Dual(float(n - k))) for k in range(n + 1)
        ]
    low, high = (int(number(argument).fixed()) for argument in arguments)
    assert name == "DiscreteUniform"
    return [(float(k), Dual(1 / (high - low + 1))) for k in range(low, high + 1)]


class Path:
    """One execution under a script of choices, which it prolongs by the first choice wherever it ends."""

    def __init__(self, program: s.Program, parameters: Scope, script: list[int]):
        self.program = program
        self.script = script
        self.sizes: list[int] = []
        self.weight = ONE
        self.functions = {node.name: node for node in program.body.statements if isinstance(node, s.Function)}
        self.own = {name: {*node.parameters, *names_set(node.body)} for name, node in self.functions.items()}
        self.outer: Scope = dict(parameters)
        self.frames: list[tuple[Scope, set[str] | None]] = [(self.outer, None)]

    def run(self, of: tuple[str, ...]) -> list[Value]:
        """The results, or the variables asked for as they are at the end."""
        values: list[Value] | None = None
        try:
            self.block(self.program.body)
        except Returned as returned:
            values = returned.values
        if of:
            return [self.outer[name] for name in of]
        if values is None:
            last = [node.name for node in self.program.body.statements if isinstance(node, s.Assign | s.Sample)][-1]
            values = [self.outer[last]]
        return values

    # -------------------------------------------------------------------------------------------------- statements
    def block(self, block: s.Block) -> None:
        for node in block.statements:
            self.statement(node)

    def statement(self, node: s.Statement) -> None:
        match node:
            case s.Assign():
                self.store(node, self.value(node.value))
            case s.Sample():
                self.store(node, self.draw(node.distribution))
            case s.If():
                for condition, block in node.branches:
                    if true(self.value(condition)):
                        return self.block(block)
                if node.otherwise is not None:
                    self.block(node.otherwise)
            case s.For():
                for item in self.items(node.iterable):
                    self.frames[-1][0][node.variable] = item
                    self.block(node.body)
            case s.While():
                rounds = 0
                while true(self.value(node.condition)):
                    rounds += 1
                    assert rounds < MOST_ROUNDS
                    self.block(node.body)
            case s.Return():
                raise Returned([copied(self.value(item)) for item in node.values])
            case _:
                assert isinstance(node, s.Parameter | s.Function)

    def items(self, iterable: s.Range | s.Expression) -> list[Value]:
        """What a `for` goes through."""
        if isinstance(iterable, s.Range):
            start = 0 if iterable.start is None else int(number(self.value(iterable.start)).fixed())
            return [Dual(float(i)) for i in range(start, int(number(self.value(iterable.stop)).fixed()))]
        found = self.value(iterable)
        assert isinstance(found, list)
        return [copied(item) for item in found]

    def store(self, node: s.Assign | s.Sample, value: Value) -> None:
        scope = self.frames[-1][0]
        if not node.indices:
            scope[node.name] = copied(value)
            return
        target, (*path, last) = scope[node.name], [self.place(item) for item in node.indices]
        for place in path:
            assert isinstance(target, list)
            target = target[place]
        assert isinstance(target, list)
        target[last] = copied(value)

    def place(self, item: s.Expression | s.Slice) -> int:
        assert not isinstance(item, s.Slice)
        return int(number(self.value(item)).fixed())

    # ------------------------------------------------------------------------------------------------- expressions
    def value(self, node: s.Expression) -> Value:
        match node:
            case s.Number():
                return Dual(node.value)
            case s.Boolean():
                return Dual(float(node.value))
            case s.Name():
                scope, own = self.frames[-1]
                return scope[node.id] if own is None or node.id in own else self.outer[node.id]
            case s.Vector():
                return [copied(self.value(item)) for item in node.items]
            case s.Index():
                found = self.value(node.target)
                for item in node.items:
                    assert isinstance(found, list)
                    found = found[self.place(item)]
                return found
            case s.Unary(operator="-"):
                return each(OPERATIONS["-"], ZERO, self.value(node.operand))
            case s.Unary():
                return Dual(float(not true(self.value(node.operand))))
            case s.Arithmetic():
                left = self.value(node.first)
                for term in node.rest:
                    left = each(OPERATIONS[term.operator], left, self.value(term.operand))
                return left
            case s.Power():
                return each(lambda a, b: a**b, self.value(node.base), self.value(node.exponent))
            case s.Comparison():
                compare = COMPARISONS[node.operator]
                return each(
                    lambda a, b: Dual(float(compare(a.fixed(), b.fixed()))), self.value(node.left), self.value(node.right)
                )
            case s.Logical():
                for item in node.items:
                    if true(self.value(item)) == (node.operator == "or"):
                        return Dual(float(node.operator == "or"))
                return Dual(float(node.operator == "and"))
            case s.Conditional():
                return self.value(node.then if true(self.value(node.condition)) else node.otherwise)
            case s.Call():
                return self.call(node.function, [self.value(argument.value) for argument in node.arguments])
            case _:
                assert isinstance(node, s.Draw)
                return self.draw(node.distribution)

    def call(self, name: str, arguments: list[Value]) -> Value:
        if name in self.functions:
            function = self.functions[name]
            self.frames.append((dict(zip(function.parameters, [copied(item) for item in arguments], strict=True)), self.own[name]))
            try:
                self.block(function.body)
            except Returned as returned:
                return returned.values[0]
            finally:
                self.frames.pop()
            raise AssertionError("a function without a return")
        if name == "sum":
            return total([number for argument in arguments for number in entries(argument)])
        if name == "mean":
            numbers = [number for argument in arguments for number in entries(argument)]
            return total(numbers) / Dual(float(len(numbers)))
        if name == "dot":
            return total([one * other for one, other in zip(entries(arguments[0]), entries(arguments[1]), strict=True)])
        if name in ("zeros", "ones"):
            return [Dual(float(name == "ones")) for _ in range(int(number(arguments[0]).fixed()))]
        if name in ("max", "min"):
            return Dual((max if name == "max" else min)(item.fixed() for argument in arguments for item in entries(argument)))
        if name == "where":
            return arguments[1] if true(arguments[0]) else arguments[2]
        return SMOOTH[name](number(arguments[0]))

    # ------------------------------------------------------------------------------------------------------- draws
    def draw(self, node: s.Distribution) -> Value:
        arguments = [self.value(argument.value) for argument in node.arguments]
        if node.name != "Categorical" and isinstance(arguments[-1], list):
            return [self.choose(node.name, [*arguments[:-1], item]) for item in arguments[-1]]
        return self.choose(node.name, arguments)

    def choose(self, name: str, arguments: list[Value]) -> Dual:
        ways = outcomes(name, arguments)
        if len(self.sizes) == len(self.script):
            self.script.append(0)
        chosen, probability = ways[self.script[len(self.sizes)]]
        self.sizes.append(len(ways))
        self.weight = self.weight * probability
        return Dual(chosen)


def names_set(block: s.Block) -> set[str]:
    """The variables that a block sets."""
    found: set[str] = set()
    for node in block.statements:
        if isinstance(node, s.Assign | s.Sample):
            found.add(node.name)
        elif isinstance(node, s.For):
            found |= {node.variable, *names_set(node.body)}
        elif isinstance(node, s.If | s.While):
            for block in node.blocks if isinstance(node, s.If) else (node.body,):
                found |= names_set(block)
    return found


def seeds(parameters: Mapping[str, float | list[float]]) -> Scope:
    """The parameters as dual numbers, each entry with a direction of its own."""
    size = sum(len(value) if isinstance(value, list) else 1 for value in parameters.values())
    made, scope = 0, {}
    for name, value in parameters.items():
        items: list[Value] = []
        for entry in value if isinstance(value, list) else [value]:
            items.append(Dual(entry, tuple(float(made == place) for place in range(size))))
            made += 1
        scope[name] = items if isinstance(value, list) else items[0]
    return scope


class Expected:
    """The expectation of every entry of the results: `values[i]`, `slopes[i][j]` in parameter entry j, over `paths`; `scale` is
    the size of what was added up."""

    def __init__(
        self, program: s.Program, parameters: Mapping[str, float | list[float]], of: tuple[str, ...], most: int, kind: type[Path]
    ):
        self.paths, self.scale = 0, 1.0
        self.mass = ZERO
        sums: list[Dual] = []
        script: list[int] = []
        while True:
            path = kind(program, seeds(parameters), script)
            results = [entry for value in path.run(of) for entry in entries(value)]
            terms = [path.weight * entry for entry in results]
            sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
            self.mass = self.mass + path.weight
            self.scale += max(max(abs(term.value), *(abs(d) for d in term.moves or (0.0,))) for term in terms)
            self.paths += 1
            if self.paths > most:
                raise TooManyPaths
            while script and script[-1] + 1 == path.sizes[len(script) - 1]:
                script.pop()
            if not script:
                break
            script[-1] += 1
        assert abs(self.mass.value - 1) < 1e-9 and all(abs(d) < 1e-9 for d in self.mass.moves or ())
        count = sum(len(value) if isinstance(value, list) else 1 for value in parameters.values())
        self.values = [entry.value for entry in sums]
        self.slopes = [list(entry.moves or (0.0,) * count) for entry in sums]


def expected(
    program: s.Program, parameters: Mapping[str, float | list[float]], of: tuple[str, ...] = (), most: int = MOST_PATHS,
    kind: type[Path] = Path,
) -> Expected:
    """The exact expectation by all paths, each of a `kind`."""
    return Expected(program, parameters, of, most, kind)
