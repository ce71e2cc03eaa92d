"""An adversary for edges: random finite programs with probabilities of exactly 0, still or moving, and kinks on lattices.

    python benchmarks/edges.py [--count 2000] [--seed 0] [--runs 4000]

Each program is a chain of Bernoulli, Categorical, OneHotCategorical, Binomial and Multinomial draws whose probabilities are
polynomials in one parameter, with branches on what was drawn, and `abs`, `max`, `min`, `relu`, `clamp`, `sort`, `if` of whole numbers
and multiples of the parameter.  The exact derivatives to the left and to the right are computed here, by nothing but Python's
fractions: every outcome is followed with its probability as a polynomial in an infinitesimal step, so that a kink is resolved by
the sign of the first power that differs.  The program is then run by every estimator that may be forced and by default, and each
answer must be right, or refused where a probability of 0 moves, or flagged where the two derivatives differ.

Exit status 1 where an answer was wrong and nothing said so, or where a derivative that exists was flagged or refused though it
must not be (an exact answer of a default run).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import probrun

Number = tuple[Fraction, Fraction]  # a value and its derivative in the direction that is looked at
LIMIT = 6.0
ROUNDING = 2e-5


def number(value: Fraction | int, slope: Fraction | int = 0) -> Number:
    return Fraction(value), Fraction(slope)


def add(a: Number, b: Number, sign: int = 1) -> Number:
    return a[0] + sign * b[0], a[1] + sign * b[1]


def times(a: Number, b: Number) -> Number:
    return a[0] * b[0], a[0] * b[1] + a[1] * b[0]


Values = dict[str, Number]
Text = tuple[str, Callable[[Values], Number]]  # an expression, and what it is in a world


@dataclass
class Maker:
    """Makes one program, and follows all its outcomes."""

    luck: random.Random
    at: Fraction
    lines: list[str] = field(default_factory=list)
    steps: list[Callable[[Values], Iterator[tuple[Number, Values]]]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of numbers that may carry a derivative
    whole: list[str] = field(default_factory=list)  # of draws
    draws: list[str] = field(default_factory=list)
    outcomes: int = 1
    moving: bool = False  # a way of probability 0 that moves begins where a run may come

    # ------------------------------------------------------------------------------------------------ expressions
    def constant(self) -> Text:
        value = self.luck.choice((0, 0, 1, 1, 2, 3, -1))
        return str(value) if value >= 0 else f"({value})", lambda world: number(value)

    def variable(self) -> Text:
        name = self.luck.choice(["theta", *self.names, *self.whole])
        return name, lambda world: world[name]

    def expression(self, depth: int) -> Text:
        if depth == 0:
            return self.constant() if self.luck.random() < 0.3 else self.variable()
        kind = self.luck.random()
        a, b = self.expression(depth - 1), self.expression(depth - 1)
        if kind < 0.25:
            return f"({a[0]} + {b[0]})", lambda world: add(a[1](world), b[1](world))
        if kind < 0.4:
            return f"({a[0]} - {b[0]})", lambda world: add(a[1](world), b[1](world), -1)
        if kind < 0.55:
            return f"({a[0]}*{b[0]})", lambda world: times(a[1](world), b[1](world))
        if kind < 0.65:
            return f"max({a[0]}, {b[0]})", lambda world: max(a[1](world), b[1](world))
        if kind < 0.75:
            return f"min({a[0]}, {b[0]})", lambda world: min(a[1](world), b[1](world))
        if kind < 0.83:
            return f"abs({a[0]})", lambda world: max(a[1](world), times(number(-1), a[1](world)))
        if kind < 0.9:
            return f"relu({a[0]})", lambda world: max(a[1](world), number(0))
        if kind < 0.93:
            c, d = self.variable(), self.variable()
            return f"(if {c[0]} < {d[0]} then {a[0]} else {b[0]})", lambda world: a[1](world) if c[1](world) < d[1](world) else b[1](world)
        if kind < 0.96:
            return f"clamp({a[0]}, 0, 2)", lambda world: min(max(a[1](world), number(0)), number(2))
        place = self.luck.choice((0, 1, 2))
        c = self.variable()
        return f"sort([{a[0]}, {b[0]}, {c[0]}])[{place}]", lambda world: sorted((a[1](world), b[1](world), c[1](world)))[place]

    # ---------------------------------------------------------------------------------------------- probabilities
    def weights(self, count: int) -> tuple[str, Callable[[Values], list[Number]]]:
        """Weights that add up to 1, some of them 0: still, or moving with `t = theta - at`, or with a parabola."""
        parts = [Fraction(self.luck.choice((0, 0, 1, 1, 2, 3))) for _ in range(count)]
        if not any(parts):
            parts[0] = Fraction(1)
        total = sum(parts)
        large = max(range(count), key=lambda place: parts[place])
        slopes = [Fraction(0)] * count
        for place in range(count):
            if place != large and self.luck.random() < 0.45:
                slopes[place] = Fraction(self.luck.choice((1, 2)), 4)
        texts = []
        for place in range(count):
            slope = slopes[place] if place != large else -sum(slopes)
            share = parts[place] / total
            moving = f" + {float(slope)}*(theta - {float(self.at)})" if slope else ""
            texts.append(f"{share.numerator}/{share.denominator}{moving}")
        entries = [(parts[place] / total, slopes[place] if place != large else -sum(slopes)) for place in range(count)]

        def found(world: Values) -> list[Number]:
            step = add(world["theta"], number(self.at), -1)
            return [add(number(share), times(number(slope), step)) for share, slope in entries]

        return ", ".join(texts), found

    def chain(self, count: int) -> tuple[str, Callable[[Values], list[Number]]]:
        """Weights that depend on an earlier draw."""
        one, other = self.weights(count), self.weights(count)
        if not self.whole or self.luck.random() < 0.4:
            return f"[{one[0]}]", one[1]
        name, limit = self.luck.choice(self.whole), self.luck.choice((1, 2))
        text = f"(if {name} < {limit} then [{one[0]}] else [{other[0]}])"
        return text, lambda world: one[1](world) if world[name][0] < limit else other[1](world)

    def draw(self) -> None:
        name = f"x{len(self.draws)}"
        kind = self.luck.choice(("Bernoulli", "Categorical", "Categorical", "OneHotCategorical", "Binomial", "Multinomial"))
        count = 2 if kind in ("Bernoulli", "Binomial") else self.luck.choice((2, 3))
        text, weights = self.chain(count)
        self.draws.append(name)
        size = {"Binomial": 3, "Multinomial": 3 if count == 2 else 6}.get(kind, count)
        self.outcomes *= size
        if kind == "Bernoulli":
            self.lines += [f"{name} ~ Bernoulli({text}[1])"]
        elif kind == "Binomial":
            self.lines += [f"{name} ~ Binomial(2, {text}[1])"]
        elif kind == "Categorical":
            self.lines += [f"{name} ~ Categorical({text})"]
        else:
            twice = "2, " if kind == "Multinomial" else ""
            self.lines += [f"{name}v ~ {kind}({twice}{text})", f"{name} = {name}v[1] + 2*{name}v[{count - 1}]"]

        def step(world: Values) -> Iterator[tuple[Number, Values]]:
            given = weights(world)
            if kind in ("Bernoulli", "Categorical"):
                for value, weight in enumerate(given):
                    yield weight, world | {name: number(value)}
            elif kind == "OneHotCategorical":
                for place, weight in enumerate(given):
                    yield weight, world | {name: number((place == 1) + 2 * (place == count - 1))}
            else:
                for first, one in enumerate(given):
                    for second, two in enumerate(given):
                        if kind == "Binomial":
                            value = first + second
                        else:
                            value = sum((place == 1) + 2 * (place == count - 1) for place in (first, second))
                        yield times(one, two), world | {name: number(value)}

        self.steps.append(step)
        self.whole.append(name)

    def assign(self) -> None:
        name = f"v{len(self.names)}"
        text, value = self.expression(self.luck.choice((1, 2, 2, 3)))
        if self.whole and self.luck.random() < 0.3:
            other_text, other = self.expression(1)
            test, limit = self.luck.choice(self.whole), self.luck.choice((1, 2))
            self.lines.append(f"if {test} < {limit} {{ {name} = {text} }} else {{ {name} = {other_text} }}")
            whole = value

            def value(world: Values) -> Number:
                return whole(world) if world[test][0] < limit else other(world)

        else:
            self.lines.append(f"{name} = {text}")

        def step(world: Values) -> Iterator[tuple[Number, Values]]:
            yield number(1), world | {name: value(world)}

        self.steps.append(step)
        self.names.append(name)

    def loop(self) -> None:
        """A state that a draw and an expression carry on, round by round."""
        rounds, name = self.luck.choice((2, 3)), f"v{len(self.names)}"
        self.names.append(name)
        self.lines.append(f"{name} = 0")
        lines, steps, whole, outcomes = self.lines, self.steps, list(self.whole), self.outcomes
        self.lines, self.steps, self.outcomes = [], [], 1
        self.draw()
        text, value = self.expression(2)
        self.lines.append(f"{name} = {text}")
        body, inner = self.lines, self.steps
        self.lines, self.steps, self.whole = lines, steps, whole
        self.outcomes = outcomes * self.outcomes**rounds
        self.lines += [f"for t in range({rounds}) {{", *(f"  {line}" for line in body), "}"]

        def begin(world: Values) -> Iterator[tuple[Number, Values]]:
            yield number(1), world | {name: number(0)}

        def carry(world: Values) -> Iterator[tuple[Number, Values]]:
            yield number(1), world | {name: value(world)}

        self.steps += [begin, *[*inner, carry] * rounds]

    def program(self) -> str:
        for _ in range(self.luck.choice((1, 2, 2, 3, 4))):
            if self.outcomes < 8 and self.luck.random() < 0.35:
                self.loop()
            elif self.outcomes < 40:
                self.draw()
            if self.luck.random() < 0.7:
                self.assign()
        self.assign()
        return "\n".join([f"param theta = {float(self.at)}", *self.lines, f"return {self.names[-1]}"])

    def derivative(self, direction: int) -> tuple[Fraction, Fraction]:
        """E of the result, and its derivative to one side: numbers are compared as they are after a small step."""
        worlds: list[tuple[Number, Values]] = [(number(1), {"theta": number(self.at, direction)})]
        for step in self.steps:
            ways = [(weight, more, after) for weight, world in worlds for more, after in step(world)]
            self.moving |= any(weight[0] and not more[0] and more[1] for weight, more, _ in ways)
            worlds = [(times(weight, more), after) for weight, more, after in ways if times(weight, more) != number(0)]
        value, slope = number(0)
        for weight, world in worlds:
            own = times(weight, world[self.names[-1]])
            value, slope = value + own[0], slope + own[1]
        return value, direction * slope


WAYS = (None, "enumerate", "score", "gumbel")


def judge(text: str, left: Fraction, right: Fraction, jumps: bool, moving: bool, way: str | None, runs: int, seed: int) -> str:
    """What has become of one program under one estimator: "right", "refused", "flagged", or what is wrong."""
    try:
        found = probrun.parse(text).grad(samples=runs, seed=seed, estimator=way)
    except probrun.ProbError as problem:
        return "refused" if problem.code == "P0404" or (way and problem.code in ("P0401", "P0402", "P0407")) else f"WRONG {problem}"
    flagged = bool(found.kinks)
    mean, se = float(found.gradient["theta"].mean), float(found.gradient["theta"].se)
    ends = [abs(mean - float(side)) for side in (left, right)]
    if (left != right or jumps) and moving and not flagged and min(ends) <= LIMIT * se + ROUNDING:
        return "right to the side that is there"
    if left != right or jumps:
        return "flagged" if flagged else f"WRONG: {'jumps' * jumps} left {float(left):.5g}, right {float(right):.5g}, printed {mean:.5g} as if it were one"
    if flagged:
        return "flagged though one"
    if found.biased:
        return "biased"
    off = abs(mean - float(right))
    slack = LIMIT * se + ROUNDING * max(1.0, abs(float(right)))
    if off > slack and not (se == 0 and not found.exact and found.all_equal):
        return f"WRONG: {float(right):.5g}, printed {mean:.5g} +- {se:.2g}"
    if off > slack:
        return "nothing seen"
    return "right"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--count", type=int, default=2000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--runs", type=int, default=4000)
    options = asked.parse_args()
    counts: Counter[str] = Counter()
    bad = 0
    for number_of in range(options.seed, options.seed + options.count):
        luck = random.Random(number_of)
        maker = Maker(luck, Fraction(luck.choice((0, 0, 1, 1, 2)), luck.choice((1, 1, 2))))
        text = maker.program()
        (value, left), (other, right) = maker.derivative(-1), maker.derivative(1)
        way = luck.choice(WAYS)
        said = judge(text, left, right, value != other, maker.moving, way, options.runs, number_of)
        if said == "refused" and not maker.moving:
            said = "WRONG: refused, though no probability of 0 moves"
        counts[f"{way or 'default'}: {said.split()[0] if said.startswith('WRONG') else said}"] += 1
        if said.startswith("WRONG") or (said in ("flagged though one", "refused") and way in (None, "enumerate")):
            bad += said.startswith("WRONG")
            print(f"--- {number_of} {way}: {said} (left {left}, right {right})\n{text}")
    for said, count in sorted(counts.items()):
        print(f"{count:6d}  {said}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
