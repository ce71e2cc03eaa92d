"""Random programs with finitely many outcomes: every estimator agrees with the exact answer, and that with differences.

Branches, loops (also with random bounds), early returns, functions, draws inside `and`, `or`, `if ... then`, indices and arguments,
sums and replacements; the exact derivative is checked by differences of exact values.  About 60 programs and 800
comparisons; one beyond 4.5 standard errors is repeated with ten times the runs, so that a false alarm has a chance of
about 1e-8.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

import probrun

THETA = 0.4137  # no threshold of a program is met exactly


class Programs:
    """A generator of program texts; few draws, so that all outcomes can be enumerated."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.names = self.draws = 0
        self.function: str | None = None
        self.returns = 1

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def probability(self, names: list[str]) -> str:
        found = ["theta", "theta^2", "0.3", "sigmoid(theta - 0.5)", "1 - theta", "0.5*theta + 0.2"]
        if names:
            v = self.random.choice(names)
            found += [f"sigmoid({v} - theta)", f"0.2 + 0.5*({v} > 0)", f"0.1 + 0.8*sigmoid({v})"]
        return self.random.choice(found)

    def site(self, names: list[str]) -> str:
        self.draws += 1
        k = self.random.random()
        if k < 0.6:
            return f"Bernoulli({self.probability(names)})"
        if k < 0.75:
            return f"Categorical([{self.probability(names)}, 0.4, theta])"
        return f"Binomial(2, {self.probability(names)})" if k < 0.9 else "DiscreteUniform(0, 2)"

    def expression(self, names: list[str], depth: int = 0) -> str:
        choice, k = self.random.choice, self.random.random()

        def inner() -> str:
            return self.expression(names, depth + 1)

        if depth > 2 or k < 0.3:
            return choice([*names, "theta", "1", "2", "0.5"])
        if k < 0.5:
            return f"({inner()} {choice('+-*')} {inner()})"
        if k < 0.58 and self.draws < 6:
            return self.site(names)
        if k < 0.66:
            return f"(if {self.condition(names)} then {inner()} else {inner()})"
        if k < 0.72:
            return f"where({self.condition(names)}, {inner()}, {inner()})"
        if k < 0.78:
            return f"max({inner()}, {inner()})"
        if k < 0.84:
            return f"sum([{inner()}, {inner()}])"
        if k < 0.88 and self.function:
            return f"{self.function}({inner()})"
        if k < 0.92:
            return f"-{inner()}"
        return f"[{inner()}, {inner()}, 3][({self.condition(names)})]" if k < 0.96 else f"({inner()})^2"

    def condition(self, names: list[str]) -> str:
        a, k = self.random.choice(names) if names else "theta", self.random.random()
        if k < 0.5:
            return f"{a} > {self.random.choice(['0', '1', '0.5'])}"
        if k < 0.7:
            return f"{a} > 0 and {self.random.choice(names) if names else 'theta'} > 0"
        return f"{a} > 0 or {self.site(names)} > 0" if k < 0.85 and self.draws < 6 else f"not {a}"

    def block(self, names: list[str], depth: int, sums: list[str]) -> list[str]:
        names, lines = list(names), []
        for _ in range(self.random.randint(1, 3)):
            k, before = self.random.random(), self.draws
            if k < 0.28 and self.draws < 6:
                v = self.name("b")
                lines.append(f"{v} ~ {self.site(names)}")
                names.append(v)
            elif k < 0.42:
                v = self.name("v")
                lines.append(f"{v} = {self.expression(names)}")
                names.append(v)
            elif k < 0.65:
                a = self.random.choice(sums)
                lines.append(f"{a} = {a} {self.random.choice('++-')} {self.expression(names)}")
            elif k < 0.7:
                lines.append(f"{self.random.choice(sums)} = {self.expression(names + sums)}")
            elif k < 0.85 and depth < 2:
                text = f"if {self.condition(names + sums)} {{ {'; '.join(self.block(names, depth + 1, sums))} }}"
                if self.random.random() < 0.6:
                    text += f" else {{ {'; '.join(self.block(names, depth + 1, sums))} }}"
                lines.append(text)
            elif k < 0.93 and depth < 2:
                i = self.name("i")
                bound = self.random.choice(["2", "3"] + (["DiscreteUniform(0, 2)"] if self.draws < 4 else []))
                lines.append(f"for {i} in range({bound}) {{ {'; '.join(self.block([*names, i], depth + 1, sums))} }}")
                self.draws += 2 * (self.draws - before)
            elif k < 0.97 and depth < 2:
                w = self.name("w")
                body = "; ".join(self.block([*names, w], depth + 1, sums))
                lines.append(f"{w} = 0; while {w} < 3 and {self.condition(names + sums)} {{ {w} = {w} + 1; {body} }}")
                self.draws += 2 * (self.draws - before)
            elif depth > 0:
                lines.append("return " + ", ".join(self.expression(names + sums) for _ in range(self.returns)))
                break
        return lines

    def program(self) -> str:
        parts = ["param theta in (0, 1)"]
        if self.random.random() < 0.5:
            body = "; ".join(["s = 0", *self.block(["x"], 0, ["s"])])
            parts.append(f"fn f(x) {{ {body}; return s + x }}")
            self.function, self.draws = "f", 2 * self.draws
        self.returns = self.random.choice([1, 1, 1, 2])
        parts.append("total = 0; other = 0")
        for _ in range(self.random.randint(1, 3)):
            parts += self.block([], 0, ["total", "other"])
        end = f"{self.expression(['total', 'other'])} + total" if self.returns == 1 else "total, other + total"
        return "\n".join([*parts, f"return {end}"])


def exact(program: probrun.Program, theta: float) -> probrun.GradientResult | None:
    """By enumeration; None where that takes too much, or nothing is random."""
    try:
        result = program.grad({"theta": theta}, estimator="enumerate", seed=0, max_lanes=3000)
    except probrun.ProbError as error:
        assert error.code in ("P0301", "P0501", "P0407"), str(error)  # an array where a number must be; a weight below 0
        return None
    return result if result.exact and any(site.estimator == "enumerate" for site in result.sites) else None


def numbers(result: probrun.GradientResult) -> list[tuple[float, float]]:
    moments = [*(rows["theta"] for rows in result.gradients.values()), *result.values.values()]
    return [(float(m.mean), float(m.se)) for m in moments]


def worst(program: probrun.Program, truth: list[float], estimator: Any, samples: int, seed: int) -> float:
    found = numbers(program.grad({"theta": THETA}, estimator=estimator, samples=samples, seed=seed))
    return max(abs(mean - value) / (se + 1e-5 * max(1, abs(value))) for (mean, se), value in zip(found, truth, strict=True))


@pytest.mark.parametrize("seed", range(90))
def test_all_agree(seed: int) -> None:
    program = probrun.parse(Programs(seed).program())
    result = exact(program, THETA)
    if result is None:
        pytest.skip("not finite, or not random")
    step = 1e-4
    above, below = (exact(program, THETA + sign * step) for sign in (1, -1))
    assert above is not None and below is not None
    for name, rows in result.gradients.items():
        slope = (float(above.values[name].mean) - float(below.values[name].mean)) / (2 * step)
        assert float(rows["theta"].mean) == pytest.approx(slope, rel=1e-5, abs=1e-5)
    truth = [mean for mean, _ in numbers(result)]
    names = [site.name for site in result.sites if site.estimator == "enumerate"]
    mixed = {name: "score" if number % 2 else "enumerate" for number, name in enumerate(names)}
    for estimator in ("score", "score(credit=false)", "score(baseline=regression)", mixed):
        if worst(program, truth, estimator, 5000, seed) > 4.5:
            assert worst(program, truth, estimator, 50_000, seed + 1000) <= 4.5, estimator
