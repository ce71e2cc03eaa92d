"""One run of a program in plain Python, with noise that is given: what `benchmarks/atoms.py` looks for jumps with.

It knows numbers, lists, branches, loops, functions and a handful of distributions, and nothing of probrun's run time.  At each
continuous draw it notes the roots of the atoms that the text was found to have there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from atoms_reductions import ENTRIES, beside, quantile

from probrun.dsl.jumps.atoms import DRAW, INSIDE, SIZE, Atom, Form, LeftOut
from probrun.dsl.jumps.inverting import GOAL
from probrun.dsl.jumps.scoped import every_name, kept, placed
from probrun.dsl.names.resolved import Resolved
from probrun.dsl.syntax import (
    Arithmetic,
    Assign,
    Boolean,
    Call,
    Comparison,
    Conditional,
    Draw,
    For,
    If,
    Index,
    Logical,
    Name,
    Number,
    Parameter,
    Power,
    Range,
    Return,
    Sample,
    Slice,
    Unary,
    Vector,
    While,
)

MOST_STEPS = 4000
CALLS = "\0calls"  # in a frame: the functions that have led to it, each with the frame of its call
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}
COMBINE: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else math.copysign(math.inf, a) if a else math.nan,
    "%": lambda a, b: a - b * math.floor(a / b) if b and math.isfinite(a) else math.nan,
}
ONE: dict[str, Callable[[float], float]] = {
    "exp": lambda a: math.exp(min(a, 700.0)), "abs": abs, "relu": lambda a: max(a, 0.0),
    "log": lambda a: math.log(a) if a > 0 else -math.inf if a == 0 else math.nan,
    "sqrt": lambda a: math.sqrt(a) if a >= 0 else math.nan, "floor": lambda a: float(math.floor(a)),
    "ceil": lambda a: float(math.ceil(a)), "round": lambda a: float(round(a)), "sign": lambda a: float((a > 0) - (a < 0)),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > -700 else 0.0, "tanh": math.tanh, "sin": math.sin,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))), "log1p": lambda a: math.log1p(a) if a > -1 else math.nan,
    "expm1": lambda a: math.expm1(min(a, 700.0)),
}


class Stuck(Exception):
    """The run is too long, or something is not known here."""


class _Returned(Exception):
    def __init__(self, values: list[Any]):
        self.values = values


@dataclass
class Met:
    """One number that was drawn: its place, its value, and the roots of the atoms there."""

    key: tuple[int, int, int]
    draw: float
    roots: list[float]


@dataclass
class Noise:
    """Numbers between 0 and 1 by place, and outcomes of discrete draws; `moved` is the one that is scanned."""

    seed: int
    moved: tuple[int, int, int] | None = None
    at: float = 0.5

    def __call__(self, key: tuple[int, int, int], moving: bool) -> float:
        if moving and key == self.moved:
            return self.at
        return random.Random(hash((self.seed, *key))).random()


def each(f: Callable[..., Any], *given: Any) -> Any:
    """Element by element; a number meets every element."""
    lists = [one for one in given if isinstance(one, list)]
    if not lists:
        try:
            return f(*given)
        except (ValueError, OverflowError):
            return math.nan
    count = max(len(one) for one in lists)
    return [each(f, *(one[min(i, len(one) - 1)] if isinstance(one, list) else one for one in given)) for i in range(count)]


@dataclass
class Run:
    """A run of a program; `met` are its continuous draws in their order."""

    resolved: Resolved
    atoms: dict[int, tuple[Atom, ...]]
    values: dict[str, float]
    noise: Noise
    met: list[Met] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    steps: int = 0

    def results(self) -> list[float]:
        """What the program returns."""
        self.main: dict[str, Any] = {CALLS: [], **self.values}
        try:
            self.block(self.resolved.program.body, self.main)
        except _Returned as back:
            flat: list[float] = []
            for value in back.values:
                flat += [float(one) for one in value] if isinstance(value, list) else [float(value)]
            return flat
        raise Stuck("no return")

    # ---------------------------------------------------------------------------------------------- statements
    def block(self, block: Any, frame: dict[str, Any]) -> None:
        for node in block.statements:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise Stuck("too long")
            self.statement(node, frame)

    def statement(self, node: Any, frame: dict[str, Any]) -> None:
        match node:
            case Parameter():
                frame.setdefault(node.name, self.value(node.default, frame))
            case Assign():
                self.store(node.name, node.indices, self.value(node.value, frame), frame)
            case Sample():
                self.store(node.name, node.indices, self.draw(node, frame), frame)
            case If():
                for condition, body in node.branches:
                    if self.value(condition, frame):
                        return self.block(body, frame)
                if node.otherwise is not None:
                    self.block(node.otherwise, frame)
            case While():
                while self.value(node.condition, frame):
                    self.block(node.body, frame)
            case For():
                for value in self.rounds(node.iterable, frame):
                    frame[node.variable] = value
                    self.block(node.body, frame)
            case Return():
                raise _Returned([self.value(one, frame) for one in node.values])

    def rounds(self, node: Any, frame: dict[str, Any]) -> list[Any]:
        if not isinstance(node, Range):
            return list(self.value(node, frame))
        low = 0 if node.start is None else self.value(node.start, frame)
        return [float(one) for one in range(int(low), int(self.value(node.stop, frame)))]

    def store(self, name: str, indices: tuple[Any, ...], value: Any, frame: dict[str, Any]) -> None:
        if not indices:
            frame[name] = value
            return
        frame[name] = list(frame[name])
        frame[name][int(self.value(indices[0], frame))] = value

    # ----------------------------------------------------------------------------------------------- draws
    def draw(self, node: Any, frame: dict[str, Any]) -> Any:
        site = self.resolved.site_at[id(node)].index
        given = [self.value(argument.value, frame) for argument in node.distribution.arguments]
        count = self.counts[site] = self.counts.get(site, 0) + 1
        name = node.distribution.name
        if name == "Categorical":
            return self.outcome(name, (site, count, 0), [given[0]])
        many = max((len(one) for one in given if isinstance(one, list)), default=0)
        laws = [[one[i] if isinstance(one, list) else one for one in given] for i in range(max(many, 1))]
        made = [self.outcome(name, (site, count, i), law) for i, law in enumerate(laws)]
        if name not in ("Bernoulli", "Poisson", "Binomial"):
            self.note(site, count, made if many else made[0], frame)
        return made if many else made[0]

    def outcome(self, name: str, key: tuple[int, int, int], given: list[Any]) -> float:
        if name in ("Bernoulli", "Categorical", "Poisson"):
            return self.discrete(name, self.noise(key, moving=False), given)
        noise = self.noise(key, moving=True)
        match name:
            case "Normal":
                return float(given[0] + abs(given[1]) * NormalDist().inv_cdf(noise))
            case "Uniform":
                return float(given[0] + (given[1] - given[0]) * noise)
            case "Exponential":
                return float(-math.log1p(-noise) / given[0])
        raise Stuck(name)

    def discrete(self, name: str, noise: float, given: list[Any]) -> float:
        """An outcome that does not move with its chances: those only decide whether there is a choice."""
        if name == "Bernoulli":
            return given[0] if given[0] in (0, 1) else float(noise < 0.5)
        if name == "Categorical":
            return float(int(noise * len(given[0])))
        return float(int(noise * 4))

    def note(self, site: int, count: int, drawn: Any, frame: dict[str, Any]) -> None:
        draws = drawn if isinstance(drawn, list) else [drawn]
        roots: list[list[float]] = [[] for _ in draws]
        for atom in self.atoms.get(site, ()):
            held = {**frame, **{name: self.elsewhere(name, frame) for name in every_name(atom) if placed(name) is not None}}
            try:
                several = self.roots(atom, drawn, held)
            except KeyError:  # it belongs to another call
                continue
            for found in several:
                for i, mine in enumerate(roots):
                    mine.append(found[i] if isinstance(found, list) else found)
        self.met += [Met((site, count, i), draw, mine) for i, (draw, mine) in enumerate(zip(draws, roots, strict=True))]

    def elsewhere(self, name: str, frame: dict[str, Any]) -> Any:
        """A variable of a caller."""
        place = placed(name)
        assert place is not None
        frames = [(name, held) for name, held in reversed(frame[CALLS])]  # innermost first: who is called, and from where
        scopes = [name for name, _ in frames] + [None]
        back = place.back - (bool(scopes) and scopes[0] == place.function)
        for scope, (_, held) in zip(scopes[1:], frames, strict=True):
            if scope == place.function:
                if back <= 0:
                    return held.get(place.name)
                back -= 1
        return None

    def left_out(self, left: LeftOut, drawn: list[float], frame: dict[str, Any]) -> list[float]:
        part = range(len(drawn)) if left.part is None else range(len(drawn))[left.part.start : left.part.stop]
        values = self.value(left.value, {**frame, INSIDE: [drawn[i] for i in part]})
        place = None if left.place is None else self.value(left.place, frame)
        return beside(left.kind, [float(one) for one in values], list(part), len(drawn), place)

    def roots(self, atom: Atom, drawn: Any, frame: dict[str, Any]) -> list[Any]:
        """Of each number that was drawn, by the values of the atom's part at its goals."""
        inner = {**frame, SIZE: float(len(drawn)) if isinstance(drawn, list) else 1.0}
        inner |= {left.name: self.left_out(left, drawn if isinstance(drawn, list) else [drawn], inner) for left in atom.others}
        if atom.lattice:
            inner[GOAL] = each(lambda a: float(round(a)), self.value(atom.value, {**inner, DRAW: drawn}))
        return [self.root(atom, self.value(goal, inner), drawn, inner) for goal in atom.goals]

    def root(self, atom: Atom, goal: Any, drawn: Any, frame: dict[str, Any]) -> Any:
        """Where the part is a number."""
        if atom.outer is not None:
            goal = each(lambda g: self.halved(atom, g, frame), goal)
        if atom.form is Form.SOLVED:
            return goal
        at = drawn if atom.form is Form.SUMMED else 0.0
        low = self.value(atom.part, {**frame, DRAW: at})
        slope = self.value(atom.slope, frame)
        if atom.whole is not None and isinstance(drawn, list) and not isinstance(low, list):
            low = [low] * len(drawn)
        return each(lambda a, s, g, x: x + (g - a) / s if s else math.nan, low, slope, goal, at)

    def halved(self, atom: Atom, goal: float, frame: dict[str, Any]) -> float:
        low, high = -1e3, 1e3
        for _ in range(200):
            middle = (low + high) / 2
            value = self.value(atom.outer, {**frame, DRAW: middle})
            over = (value - goal) * atom.rises > 0 if not math.isnan(value) else middle > 0
            low, high = (low, middle) if over else (middle, high)
        return low

    # ------------------------------------------------------------------------------------------- expressions
    def value(self, node: Any, frame: dict[str, Any]) -> Any:
        match node:
            case Number():
                return float(node.value)
            case Boolean():
                return node.value
            case Name():
                return frame[node.id]
            case Vector():
                return [self.value(one, frame) for one in node.items]
            case Index():
                return self.entry(self.value(node.target, frame), node.items[0], frame)
            case Unary():
                inner = self.value(node.operand, frame)
                return each(lambda a: -a, inner) if node.operator == "-" else each(lambda a: not a, inner)
            case Arithmetic():
                total = self.value(node.first, frame)
                for term in node.rest:
                    total = each(COMBINE[term.operator], total, self.value(term.operand, frame))
                return total
            case Power():
                return each(lambda a, b: a**b if a >= 0 or b == int(b) else math.nan, self.value(node.base, frame),
                            self.value(node.exponent, frame))
            case Comparison():
                return each(COMPARE[node.operator], self.value(node.left, frame), self.value(node.right, frame))
            case Logical():
                how = all if node.operator == "and" else any
                return how(self.value(one, frame) for one in node.items)
            case Conditional():
                return self.value(node.then if self.value(node.condition, frame) else node.otherwise, frame)
            case Call():
                return self.call(node, frame)
            case Draw():
                frame[kept(node)] = found = self.draw(node, frame)
                return found
        raise Stuck(type(node).__name__)

    def entry(self, array: list[Any], item: Any, frame: dict[str, Any]) -> Any:
        if not isinstance(item, Slice):
            return array[int(self.value(item, frame))]
        start, stop = (None if end is None else int(self.value(end, frame)) for end in (item.start, item.stop))
        return array[start:stop]

    def call(self, node: Call, frame: dict[str, Any]) -> Any:
        given = [self.value(argument.value, frame) for argument in node.arguments]
        name = node.function
        if name in self.resolved.functions:
            function = self.resolved.functions[name]
            inner = {**self.main, **dict(zip(function.parameters, given, strict=True)), CALLS: [*frame[CALLS], (name, frame)]}
            try:
                self.block(function.body, inner)
            except _Returned as back:
                frame[kept(node)] = back.values[0]
                return back.values[0]
            raise Stuck("no return")
        if name in ONE:
            return each(ONE[name], given[0])
        entries = given[0] if len(given) == 1 and isinstance(given[0], list) else None
        if entries is not None and name in ENTRIES:
            return ENTRIES[name](entries)
        match name:
            case "max" | "min":
                how = max if name == "max" else min
                return how(entries) if entries is not None else each(lambda *a: how(a), *given)
            case "sum":
                return sum(entries) if entries is not None else each(lambda *a: sum(a), *given)
            case "mean":
                return sum(entries or ()) / len(entries or ())
            case "clamp":
                return each(lambda x, a, b: min(max(x, a), b), *given)
            case "where":
                return each(lambda c, a, b: a if c else b, *given)
            case "zeros" | "ones":
                return [float(name == "ones")] * int(given[0])
            case "argmax":
                return float(max(range(len(given[0])), key=lambda i: given[0][i]))
            case "sort":
                return sorted(given[0])
            case "quantile":
                return quantile(sorted(given[0]), given[1] * (len(given[0]) - 1))
            case "dot":
                return sum(a * b for a, b in zip(*given, strict=True))
            case "any" | "all":
                return float((any if name == "any" else all)(entries or ()))
        raise Stuck(name)
