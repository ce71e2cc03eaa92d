"""The posterior of a weighed discrete program by all its paths: likelihoods as products of densities, over dual numbers.

Shares with probrun the parser and nothing else (`merging_oracle.py`, on which this stands).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.merging_oracle import (
    MOST_PATHS,
    ONE,
    ZERO,
    Dual,
    Path,
    Returned,
    TooManyPaths,
    Value,
    entries,
    number,
    outcomes,
    seeds,
    true,
)
from probrun.dsl import levels
from probrun.dsl import syntax as s


class Stopped(Exception):
    """A condition that was observed does not hold."""


def exponential(x: Dual) -> Dual:
    """exp(x)."""
    y = math.exp(x.value)
    return x.scaled(y, y)


def logarithm(x: Dual) -> Dual:
    """log(x)."""
    return x.scaled(math.log(x.value), 1 / x.value)


def density(name: str, arguments: list[Dual], at: Dual) -> Dual:
    """The density of a number, or its probability."""
    if name == "Normal":
        loc, scale = arguments
        z = (at - loc) / scale
        return exponential(z * z * Dual(-0.5)) / (scale * Dual(math.sqrt(2 * math.pi)))
    k = at.fixed()
    if name == "Poisson":
        rate = arguments[0]
        if k < 0 or k != int(k):
            return ZERO
        return exponential(ZERO - rate) * rate ** Dual(k) / Dual(math.factorial(int(k)))
    if name == "Exponential":
        return exponential(ZERO - arguments[0] * at) * arguments[0]
    given: list[Value] = [*arguments]
    return next((chance for value, chance in outcomes(name, given) if value == k), ZERO)


class WeighedPath(Path):
    """One execution, with what its observations make of its weight; `values` is None where a condition has failed."""

    def weighed(self, of: tuple[str, ...]) -> list[Value] | None:
        """The results, and in `likelihood` what they weigh; in `level` the logarithm of that, None where it is 0."""
        self.likelihood, self.level = ONE, ZERO
        self.impossible = False
        try:
            return self.run(of)
        except Stopped:
            self.likelihood, self.impossible = ZERO, True
            return None

    def meet(self, chance: Dual) -> None:
        """Multiply the weight."""
        self.likelihood = self.likelihood * chance
        if chance.value > 0:
            self.level = self.level + logarithm(chance)
        else:
            self.impossible = True

    def statement(self, node: s.Statement) -> None:
        match node:
            case levels.Observe():
                for chance in self.densities(node.density.distribution, self.value(node.density.value)):
                    self.meet(chance)
            case levels.Factor():
                for more in entries(self.value(levels.added_to(node))):
                    self.likelihood = self.likelihood * exponential(more)
                    self.level = self.level + more
            case s.Require():
                if not true(self.value(node.condition)):
                    raise Stopped
            case levels.Proposal():
                law, arguments = node.distribution, [self.value(argument.value) for argument in node.distribution.arguments]
                last = arguments[-1]
                wide = law.name != "Categorical" and isinstance(last, list)
                drawn: Value = (
                    [self.choose(law.name, [*arguments[:-1], item]) for item in last] if wide and isinstance(last, list)
                    else self.choose(law.name, arguments)
                )
                self.frames[-1][0][node.name] = drawn
                for over, under in zip(self.densities(node.target, drawn), densities(law, arguments, drawn), strict=True):
                    self.meet(over / under)
            case levels.Correction():
                pass
            case _:
                super().statement(node)

    def densities(self, law: s.Distribution, at: Value) -> list[Dual]:
        """Of all elements of a value."""
        return densities(law, [self.value(argument.value) for argument in law.arguments], at)


def densities(law: s.Distribution, arguments: list[Value], at: Value) -> list[Dual]:
    """Of all elements of a value, with these arguments."""
    if law.name == "Categorical":
        chances = outcomes(law.name, arguments)
        return [next((p for value, p in chances if value == entry.fixed()), ZERO) for entry in entries(at)]
    if not isinstance(at, list) and any(isinstance(argument, list) for argument in arguments):
        at = [at for _ in next(argument for argument in arguments if isinstance(argument, list))]
    if not isinstance(at, list):
        return [density(law.name, [number(argument) for argument in arguments], at)]
    rows = [argument if isinstance(argument, list) else [argument] * len(at) for argument in arguments]
    return [density(law.name, [number(row[place]) for row in rows], number(item)) for place, item in enumerate(at)]


@dataclass
class Answer:
    """Numbers with their derivatives, and the size of what was added up for them."""

    values: list[float]
    slopes: list[list[float]]
    scale: float
    close: float = 1e-9  # how good they are, as a part of that


PAIRED = 100  # paths of which all pairs are gone through


class Weighed:
    """`posterior`, `evidence`, `elbo`, and `pairs`, the mean of the logarithm of the mean weight of two runs; these two are None where
    a run may have weight 0 (`pairs` with many paths, too), the others where every run has."""

    def __init__(
        self, program: s.Program, parameters: Mapping[str, float], of: tuple[str, ...] = (), most: int = MOST_PATHS,
        kind: Callable[[s.Program, dict[str, Value], list[int]], WeighedPath] = WeighedPath,
    ):
        self.paths, self.mass = 0, ZERO
        self.worst = 0.0
        below, elbo, above = ZERO, ZERO, None
        size, sizes, spread, square = 0.0, [0.0], 0.0, ZERO
        possible, self.random = True, 0
        script: list[int] = []
        kept: list[tuple[Dual, Dual]] = []
        self.parameters = len(parameters)
        while True:
            path = kind(program, seeds(parameters), script)
            try:
                results = path.weighed(of)
            except Returned as stray:  # pragma: no cover
                raise AssertionError from stray
            self.mass = self.mass + path.weight
            self.paths += 1
            if self.paths > most:
                raise TooManyPaths
            if path.weight.value > 0:
                kept.append((path.weight, path.likelihood))
                if path.impossible:
                    possible = False
                else:
                    elbo = elbo + path.weight * path.level
                    spread += largest(path.weight * path.level)
            weight = path.weight * path.likelihood
            below = below + weight
            square = square + weight * path.likelihood
            size += largest(weight)
            if results is not None and weight.value > 0:
                terms = [weight * entry for value in results for entry in entries(value)]
                sizes = [max(sizes[0], 0.0) + max(map(largest, terms))]
                above = terms if above is None else [a + b for a, b in zip(above, terms, strict=True)]
            while script and script[-1] + 1 == path.sizes[len(script) - 1]:
                script.pop()
            if not script:
                break
            script[-1] += 1
        assert abs(self.mass.value - 1) < 1e-9 and all(abs(d) < 1e-9 for d in self.mass.moves or ())
        self.elbo = self.answer([elbo], spread) if possible else None
        self.pairs = self.paired(kept) if possible and len(kept) <= PAIRED else None
        self.posterior = self.evidence = None
        self.worth = 0.0
        if below.value > 0 and above is not None:
            self.worth = below.value**2 / square.value
            ratios = [a / below for a in above]
            self.evidence = self.answer([logarithm(below)], size / below.value + abs(math.log(below.value)))
            most_of = max(abs(ratio.value) for ratio in ratios)
            self.posterior = self.answer(ratios, (sizes[0] + most_of * size) / below.value * (1 + size / below.value))

    def paired(self, kept: list[tuple[Dual, Dual]]) -> Answer:
        """Over all pairs of paths."""
        total, size = ZERO, 0.0
        for chance, likelihood in kept:
            for other, its in kept:
                term = chance * other * logarithm((likelihood + its) * Dual(0.5))
                total, size = total + term, size + largest(term)
        return self.answer([total], size)

    def answer(self, values: Sequence[Dual], scale: float) -> Answer:
        """As plain numbers."""
        return Answer([value.value for value in values], [list(value.moves or (0.0,) * self.parameters) for value in values], 1 + scale)


def largest(term: Dual) -> float:
    """Of a number and its derivatives."""
    return max(abs(term.value), *(abs(d) for d in term.moves or (0.0,)))
