"""Credit through arrays, indices and products: random programs against their enumeration in plain Python, and the noise that it takes.

The oracle follows every path of every random program with dual numbers (value and derivative in theta) of its own.  About 300
comparisons at 5 standard errors: a false alarm with probability 2e-4, and seeds are fixed.  `benchmarks/credit.py` tries thousands.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest

import probrun

THETA = 0.4137
LENGTH = 3


@dataclass(frozen=True)
class Dual:
    """A number with its derivative in theta."""

    value: float
    slope: float = 0.0

    def __add__(self, other: Any) -> Any:
        if isinstance(other, numpy.ndarray):
            return NotImplemented
        other = dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, numpy.ndarray):
            return NotImplemented
        other = dual(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, numpy.ndarray):
            return NotImplemented
        return dual(other) + self * -1.0

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, numpy.ndarray):
            return NotImplemented
        return self + dual(other) * -1.0

    __radd__, __rmul__ = __add__, __mul__


def dual(x: Any) -> Dual:
    return x if isinstance(x, Dual) else Dual(float(x))


def sigmoid(x: Any) -> Dual:
    x = dual(x)
    s = 1 / (1 + math.exp(-x.value))
    return Dual(s, s * (1 - s) * x.slope)


class Path:
    """One way through a program: the outcomes of its bits, and their probability."""

    def __init__(self, forced: list[int]):
        self.forced = forced
        self.taken: list[int] = []
        self.weight = Dual(1.0)

    def bit(self, chance: Dual) -> Dual:
        own = self.forced[len(self.taken)] if len(self.taken) < len(self.forced) else 0
        self.taken.append(own)
        self.weight = self.weight * (chance if own else 1 - chance)
        return Dual(float(own))

    def bits(self, chances: Any) -> Any:
        return numpy.array([self.bit(dual(chance)) for chance in chances], dtype=object)


Code = Callable[[Path, dict[str, Any]], Any]


def enumerated(run: Callable[[Path], Any]) -> Any:
    """`E[y]` as duals, an array where the result is one."""
    total: Any = 0
    pending: list[list[int]] = [[]]
    while pending:
        path = Path(pending.pop())
        result = run(path)
        total = total + result * path.weight
        for place in range(len(path.forced), len(path.taken)):
            pending.append([*path.taken[:place], 1])
    return total


@dataclass
class Programs:
    """A generator of programs with their meaning: statements as text and as Python."""

    random: random.Random
    lines: list[str] = field(default_factory=list)
    steps: list[Code] = field(default_factory=list)
    bits: int = 0
    names: int = 0
    labels: list[str] = field(default_factory=lambda: ["v0"])  # vectors of bits that are as they were drawn

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def add(self, line: str, step: Code) -> None:
        self.lines.append(line)
        self.steps.append(step)

    def factor(self, vectors: list[str], scalars: list[str], vector: bool) -> tuple[str, Code]:
        """An operand: a variable, its complement, a number, an element, a selection."""
        k, choice = self.random.random(), self.random.choice
        if k < 0.1:
            number = choice(["2", "0.5", "theta"])
            return number, lambda path, v: v["theta"] if number == "theta" else Dual(float(number))
        if vector and vectors and k < 0.8:
            name = choice(vectors)
            if k < 0.5:
                return name, lambda path, v: v[name]
            if k < 0.65:
                return f"(1 - {name})", lambda path, v: 1 - v[name]
            if not self.labels:
                return name, lambda path, v: v[name]
            name, other = choice(self.labels), choice(self.labels)
            return f"[theta, 2, 0, 1][{name} + 2*(1 - {other})]", lambda path, v: picked(v[name] + 2 * (1 - v[other]), v)
        if vectors and k < 0.6:
            name, place = choice(vectors), self.random.randrange(LENGTH)
            return f"{name}[{place}]", lambda path, v: v[name][place]
        if not scalars:
            return "theta", lambda path, v: v["theta"]
        name = choice(scalars)
        return (name, lambda path, v: v[name]) if k < 0.85 else (f"(1 - {name})", lambda path, v: 1 - v[name])

    def product(self, vectors: list[str], scalars: list[str], vector: bool) -> tuple[str, Code]:
        parts = [self.factor(vectors, scalars, vector) for _ in range(self.random.choice([1, 2, 2, 3]))]
        if vector and self.random.random() < 0.2:
            (a, one), (b, two), (c, three) = (self.factor(vectors, scalars, True) for _ in range(3))
            return f"where({a}, {b}, {c})", lambda path, v: chosen(one(path, v), two(path, v), three(path, v))
        text = "*".join(part for part, _ in parts)

        def code(path: Path, v: dict[str, Any]) -> Any:
            total: Any = Dual(1.0)
            for _, part in parts:
                total = total * part(path, v)
            return total

        return text, code

    def value(self, vectors: list[str], scalars: list[str], vector: bool) -> tuple[str, Code]:
        (a, one), (b, two) = (self.product(vectors, scalars, vector) for _ in range(2))
        sign = self.random.choice("+-")
        if self.random.random() < 0.4:
            return a, one
        return f"{a} {sign} {b}", lambda path, v: one(path, v) + two(path, v) * (1.0 if sign == "+" else -1.0)

    def statement(self, vectors: list[str], scalars: list[str]) -> None:
        k = self.random.random()
        if k < 0.25 and self.bits + LENGTH <= 9:
            name, (text, code) = self.name("v"), self.value(vectors, scalars, True)
            self.bits += LENGTH
            self.add(f"{name} ~ Bernoulli(sigmoid(theta - 0.3 + 0.2*({text}))*ones({LENGTH}))",
                     lambda path, v: v.__setitem__(name, path.bits([sigmoid(v["theta"] - 0.3 + 0.2 * x) for x in spread(code(path, v))])))
            vectors.append(name)
            self.labels.append(name)
        elif k < 0.45 and self.bits < 9:
            name, (text, code) = self.name("b"), self.value(vectors, scalars, False)
            self.bits += 1
            self.add(f"{name} ~ Bernoulli(sigmoid({text} - theta))",
                     lambda path, v: v.__setitem__(name, path.bit(sigmoid(code(path, v) - v["theta"]))))
            scalars.append(name)
        elif k < 0.65 and vectors:
            name, place, (text, code) = self.random.choice(vectors), self.random.randrange(LENGTH), self.value(vectors, scalars, False)
            self.labels = [label for label in self.labels if label != name]
            self.add(f"{name}[{place}] = {text}", lambda path, v: stored(v, name, place, code(path, v)))
        elif k < 0.8 and vectors:
            name, (text, code) = self.name("u"), self.value(vectors, scalars, True)
            self.add(f"{name} = ({text})*ones({LENGTH})", lambda path, v: v.__setitem__(name, spread(code(path, v))))
        else:
            name, (text, code) = self.name("s"), self.value(vectors, scalars, False)
            self.add(f"{name} = {text}", lambda path, v: v.__setitem__(name, dual(code(path, v))))
            scalars.append(name)


def spread(x: Any) -> Any:
    return x if isinstance(x, numpy.ndarray) else numpy.array([dual(x)] * LENGTH, dtype=object)


def picked(index: Any, v: dict[str, Any]) -> Any:
    table = [v["theta"], Dual(2.0), Dual(0.0), Dual(1.0)]
    return numpy.array([table[round(x.value)] for x in index], dtype=object)


def chosen(condition: Any, one: Any, other: Any) -> Any:
    rows = zip(spread(condition), spread(one), spread(other), strict=True)
    return numpy.array([dual(b) if dual(a).value != 0 else dual(c) for a, b, c in rows], dtype=object)


def stored(v: dict[str, Any], name: str, place: int, value: Any) -> None:
    copy = v[name].copy()
    copy[place] = dual(value)
    v[name] = copy


def program(seed: int) -> tuple[str, list[Dual]]:
    """A program, and the exact results (one or LENGTH of them)."""
    made = Programs(random.Random(seed))
    made.add(f"b0 ~ Bernoulli(theta); v0 ~ Bernoulli(theta*ones({LENGTH}))", lambda path, v: (
        v.__setitem__("b0", path.bit(v["theta"])), v.__setitem__("v0", path.bits([v["theta"]] * LENGTH))))
    made.bits = 1 + LENGTH
    vectors, scalars = ["v0"], ["b0"]
    for _ in range(made.random.randrange(3, 8)):
        made.statement(vectors, scalars)
    end, (text, code) = made.random.random(), made.value(vectors, scalars, True)
    other, more = made.value(vectors, scalars, False)
    a, b = made.random.choice(vectors), made.random.choice(vectors)
    if end < 0.4:
        made.lines.append(f"return ({text})*ones({LENGTH})")
    elif end < 0.7:
        made.lines.append(f"return sum(({text})*ones({LENGTH})) + {other}")
    else:
        made.lines.append(f"return dot({a}, {b}) + {other}")

    def run(path: Path) -> Any:
        v: dict[str, Any] = {"theta": Dual(THETA, 1.0)}
        for step in made.steps:
            step(path, v)
        if end < 0.4:
            return spread(code(path, v))
        if end < 0.7:
            return sum(spread(code(path, v)), Dual(0.0)) + more(path, v)
        return sum(v[a] * v[b], Dual(0.0)) + more(path, v)

    exact = enumerated(run)
    return "\n".join(made.lines), list(exact) if isinstance(exact, numpy.ndarray) else [exact]


def disagreements(seed: int, runs: int, variants: tuple[str, ...]) -> Iterator[tuple[str, str, float]]:
    """Of one program every estimate further from the exact answer than 4.5 standard errors."""
    text, exact = program(seed)
    for variant in variants:
        result = probrun.parse(text).grad({"theta": THETA}, estimator=variant, samples=runs, seed=seed, dtype="float64")
        moments = result.gradient["theta"]
        means, ses = moments.mean.reshape(-1).tolist(), moments.se.reshape(-1).tolist()
        for mean, se, truth in zip(means, ses, exact, strict=True):
            if abs(mean - truth.slope) > 4.5 * se + 1e-9:
                yield text, variant, (mean - truth.slope) / max(se, 1e-12)


VARIANTS = ("score", "score(baseline=regression)", "score(baseline=none)")


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    for _, variant, _ in disagreements(seed, 2000, VARIANTS[seed % 3 :: 3]):
        assert not [z for _, again, z in disagreements(seed, 40_000, (variant,)) if abs(z) > 5], variant


def sd(text: str, variant: str = "score", samples: int = 4000) -> list[float]:
    found = probrun.parse(text).grad({"theta": 0.3}, estimator=variant, samples=samples, seed=5).gradient["theta"].sd
    return [float(entry) for entry in found.reshape(-1)]


def test_an_element_has_its_own_past() -> None:
    """Running totals kept in an array: the first day depends on the first day's draw only."""
    text = "x = 0; c = zeros(20); for t in range(20) { b ~ Bernoulli(theta); x = x + b; c[t] = x }; return c"
    alone = sd("b ~ Bernoulli(theta); return b")[0]
    assert sd(text)[0] < 1.05 * alone < 0.5 * sd(text, "score(credit=false)")[0]
    assert sd(text.replace("return c", "return c[0]"))[0] < 1.05 * alone
    assert sd("a ~ Bernoulli(theta); b ~ Bernoulli(theta); return [a, 5*b]")[0] < 1.05 * alone


def test_an_array_of_labels_as_an_index() -> None:
    """`level[label]` is as good as the arithmetic."""
    labels = "z ~ Bernoulli(theta*ones(50)); level = [1, 3]; "
    assert sd(labels + "return sum(level[z])")[0] == pytest.approx(sd(labels + "return sum(1 + 2*z)")[0], rel=1e-4)


def test_draws_that_are_multiplied_by_nothing() -> None:
    """Of a hundred agents only those can act whom `well` lets; the others' draws are no noise."""
    agents = "well = zeros(100); well[7] = 1; u ~ Uniform(0*ones(100), 1); well = (u < 0.05); b ~ Bernoulli(theta*ones(100)); "
    after = "c ~ Poisson(1 + sum(well*b)); return c"
    few, all_of_them = sd(agents + after)[0], sd(agents + "x = max(b); " + after)[0]
    assert few < 0.5 * all_of_them
    assert sd(agents + "c ~ Poisson(1 + dot(well, b)); return c")[0] == pytest.approx(few, rel=1e-3)
    assert sd(agents + "c ~ Poisson(1 + sum(where(well, b, 0))); return c")[0] == pytest.approx(few, rel=1e-3)
    assert sd(agents + "n = 0*b; n = well*b; c ~ Poisson(1 + sum(n) + sum(n*b) - sum(n*b)); return c")[0] > few * 0.99


def test_a_factor_that_carries_a_derivative_or_knows_the_draw() -> None:
    """Second derivatives of `(theta - 0.3)*b` need b's score where the factor is 0; `(b - 0)*b` is not 0 apart from b."""
    program = probrun.parse("z ~ Normal(0, 1); w = (theta - 0.3)*(1 + 0*z); b ~ Bernoulli(theta); return w*b")
    import torch

    theta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    value = program.expectation({"theta": theta}, estimator="score", samples=20_000, seed=1, dtype="float64")
    first = torch.autograd.grad(value, theta, create_graph=True)[0]
    second = float(torch.autograd.grad(first, theta)[0])
    assert second == pytest.approx(2.0, abs=0.1)  # (theta - 0.3)*theta twice
    text = "a ~ Bernoulli(theta); b ~ Bernoulli(theta); w = a*b; y = w*b; return y"  # w is 0 because b is
    found = probrun.parse(text).grad({"theta": 0.3}, estimator="score", samples=40_000, seed=1).gradient["theta"]
    assert abs(float(found.mean) - 0.6) <= 5 * float(found.se) < 0.1


def test_an_entry_of_an_array_is_as_sure_as_the_number_alone() -> None:
    """The same draws, so the same standard error: also where the first order vanishes, and where nothing was seen."""
    draws = "a ~ Bernoulli(theta); b ~ Bernoulli(theta); return "
    for theta, samples in ((0.5, 4000), (0.5, 40), (0.3, 1000)):
        whole, alone = (
            probrun.parse(draws + end).grad({"theta": theta}, estimator="score", samples=samples, seed=9) for end in ("[a, b]", "a")
        )
        assert float(whole.gradient["theta"].se[0]) == pytest.approx(float(alone.gradient["theta"].se), rel=1e-5)
        assert float(whole.gradient["theta"].se[0]) > 0
    rare = probrun.parse("a ~ Bernoulli(theta); b ~ Bernoulli(theta); return [a, b]")
    found = rare.grad({"theta": 1e-7}, estimator="score", samples=500, seed=1)
    assert [doubt.code for doubt in found.warnings]
