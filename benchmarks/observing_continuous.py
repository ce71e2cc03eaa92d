"""Random weighed programs with one or two continuous sites beside discrete ones, and their posteriors by quadrature.

Expressions are texts that both probrun and Python read.  The oracle puts every continuous draw on a fine grid of midpoints, whose
cells end where conditions may (multiples of 1/4), and every discrete one on its outcomes, and takes derivatives by central
differences.  It knows nothing of proposals where the posterior and the evidence are asked for: they do not hang on them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.observing_oracle import Answer

STEP = 1e-4
GOOD = 1e-5  # of the grids
SCOPE = {
    "exp": np.exp, "tanh": np.tanh, "sin": np.sin, "log": np.log, "abs": np.abs, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "__builtins__": {},
}
Grid = dict[str, Any]
GRIDS: dict[str, tuple[float, float, int]] = {  # where draws lie: from, to, cells
    "Normal": (-12, 12, 1536), "Exponential": (0, 24, 3072), "Gamma": (0, 24, 3072), "Uniform": (-1, 2, 768), "Beta": (0, 1, 1024),
}
LGAMMA = np.vectorize(math.lgamma)


def log_density(law: str, arguments: list[Any], at: Any) -> Any:
    """The logarithm of a density or probability."""
    with np.errstate(all="ignore"):
        a, b = (*arguments, None)[:2]
        if law == "Normal":
            return -((at - a) ** 2) / (2 * b**2) - np.log(b) - math.log(2 * math.pi) / 2
        if law == "Exponential":
            return np.where(at >= 0, np.log(a) - a * at, -np.inf)
        if law == "Gamma":
            return (a - 1) * np.log(at) - b * at + a * np.log(b) - LGAMMA(a)
        if law == "Uniform":
            return np.where((at >= a) & (at <= b), -np.log(b - a), -np.inf)
        if law == "Beta":
            return (a - 1) * np.log(at) + (b - 1) * np.log1p(-at) + LGAMMA(a + b) - LGAMMA(a) - LGAMMA(b)
        if law == "Bernoulli":
            return np.where(at == 1, np.log(a), np.log1p(-a))
        if law == "Poisson":
            return at * np.log(a) - a - LGAMMA(np.asarray(at) + 1.0)
    raise AssertionError(law)


@dataclass
class ContinuousProgram:
    """One program: its lines, and what they do to a grid `(variables, logarithm of probability, of proposal, of weight)`."""

    seed: int
    lines: list[str] = field(default_factory=list)
    steps: list[Callable[[Grid], None]] = field(default_factory=list)
    axes: int = 0
    sites: int = 0
    continuous: int = 0
    ends: bool = False  # a run may end by a condition

    def __post_init__(self) -> None:
        self.luck = random.Random(self.seed)
        self.parameters = {"theta": self.luck.choice([0.5, 0.3, -0.4, 0.8]), "phi": self.luck.choice([0.0, 0.6, -0.7])}
        self.names: list[str] = []
        self.real: list[str] = []
        self.helper = self.luck.random() < 0.3
        if self.helper:
            self.lines.append("fn seen(at, c) { observe c ~ Normal(at, 1.5); return at }")
        self.draw()
        for _ in range(self.luck.choice([1, 2, 3])):
            self.statement()
        if self.luck.random() < 0.6:
            self.draw()
            self.statement()
        if not any(word in line for line in self.lines for word in ("observe", "factor", " via ")):
            self.weigh()
        self.results = [self.expression() for _ in range(self.luck.choice([1, 1, 2]))]
        if self.luck.random() < 0.4:
            self.results[0] = f"1*({self.luck.choice(self.real)} > {self.number()})*{self.expression()}"
        elif self.luck.random() < 0.3:
            self.results[0] = self.luck.choice(self.names)
        self.lines.append("return " + ", ".join(self.results))

    @property
    def text(self) -> str:
        """The program."""
        return "\n".join(["param theta", "param phi", *self.lines])

    # ------------------------------------------------------------------------------------------------ expressions
    def number(self) -> str:
        return self.luck.choice(["0", "0.25", "0.5", "1", "1.25", "-0.5"])

    def expression(self) -> str:
        choice = self.luck.choice
        atom = choice(["theta", "phi", *self.names, *self.names, *self.names])
        other = choice(["theta", "phi", *self.names, "1", "0.5"])
        return choice([f"tanh({atom})", f"({atom} + {other})", f"0.5*{atom}*{other}", f"sin({atom} + phi)", f"(theta*{atom} + {other})", atom])

    def loc(self) -> str:
        return self.expression() if self.names else self.luck.choice(["theta", "phi", "0.5*theta + phi", "0.3"])

    def scale(self) -> str:
        return self.luck.choice(["1", "1", "0.7", "exp(0.3*phi)", "(0.8 + theta*theta)"])

    def condition(self) -> str:
        name = self.luck.choice(self.real)
        text = f"{name} {self.luck.choice(['>', '<'])} {self.number()}"
        return text

    # -------------------------------------------------------------------------------------------------- statements
    def draw(self) -> None:
        name = "xyzuvw"[self.sites]
        self.sites += 1
        if self.continuous == 0 or (self.continuous == 1 and self.luck.random() < 0.5):
            self.continuous += 1
            law = self.luck.choice(["Normal"] * 5 + ["Exponential", "Gamma", "Uniform", "Beta"] if self.continuous == 1 else ["Normal"])
            arguments = {
                "Normal": [self.loc() if self.continuous == 1 else f"tanh({self.loc()})", self.scale()], "Exponential": ["(1 + theta*theta)"],
                "Gamma": ["(2 + theta*theta)", "(1.5 + 0.3*phi)"], "Uniform": ["-1", "2"], "Beta": ["(2 + theta*theta)", "2.5"],
            }[law]
            guide = None
            if law == "Normal" and self.luck.random() < 0.3:
                guide = "Normal", [self.luck.choice(["0.3*phi", "theta", "0.2"]), self.luck.choice(["2", "(1.8 + 0.2*phi)"])]
            elif law == "Exponential" and self.luck.random() < 0.3:
                guide = "Exponential", ["(0.8 + 0.1*phi)"]
            self.real.append(name)
            self.record(name, law, arguments, guide, self.midpoints(law))
        else:
            law, arguments = "Bernoulli", [f"sigmoid({self.expression()})"]
            guide = ("Bernoulli", [f"sigmoid({self.expression()})"]) if self.luck.random() < 0.3 else None
            self.record(name, law, arguments, guide, (np.array([0.0, 1.0]), 1.0))
        self.names.append(name)

    def midpoints(self, law: str) -> tuple[np.ndarray, float]:
        low, high, cells = GRIDS[law]
        width = (high - low) / cells
        return low + (np.arange(cells) + 0.5) * width, width

    def record(self, name: str, law: str, arguments: list[str], guide: tuple[str, list[str]] | None, grid: tuple[np.ndarray, float]) -> None:
        text = f"{name} ~ {law}({', '.join(arguments)})"
        self.lines.append(text if guide is None else f"{text} via {guide[0]}({', '.join(guide[1])})")
        axis, (points, width) = self.axes, grid
        self.axes += 1

        def step(at: Grid) -> None:
            rows = at[name] = points.reshape(*(-1 if number == axis else 1 for number in range(at["axes"])))
            right = log_density(law, [value(argument, at) for argument in arguments], rows) + math.log(width)
            drawn = right if guide is None else log_density(guide[0], [value(argument, at) for argument in guide[1]], rows) + math.log(width)
            at["log q"] = at["log q"] + drawn
            at["log w"] = at["log w"] + np.where(np.isneginf(right), -np.inf, right - drawn)
            at["log p"] = at["log p"] + right

        self.steps.append(step)

    def likely(self) -> tuple[str, Callable[[Grid], Any]]:
        """A statement that weighs, and what it adds to the level."""
        kind, at = self.luck.random(), self.expression()
        if kind < 0.35:
            seen, scale = self.luck.choice(["0.3", "1", "theta", "-0.5"]), self.scale()
            return f"observe {seen} ~ Normal({at}, {scale})", lambda g: log_density("Normal", [value(at, g), value(scale, g)], value(seen, g))
        if kind < 0.5:
            return f"observe 1 ~ Bernoulli(sigmoid({at}))", lambda g: log_density("Bernoulli", [value(f"sigmoid({at})", g)], 1)
        if kind < 0.62:
            return f"observe 2 ~ Poisson(exp(0.3*tanh({at})))", lambda g: log_density("Poisson", [value(f"exp(0.3*tanh({at}))", g)], 2)
        if kind < 0.75:
            return f"factor 0.5*tanh({at})", lambda g: value(f"0.5*tanh({at})", g)
        if kind < 0.85:
            return (f"for i in range(3) {{ observe [0.3, 1, -0.5][i] ~ Normal({at}, 1.5) }}",
                    lambda g: sum(log_density("Normal", [value(at, g), 1.5], c) for c in (0.3, 1, -0.5)))
        if kind < 0.92 and self.helper:
            return f"factor 0.1*seen({at}, 0.5)", lambda g: log_density("Normal", [value(at, g), 1.5], 0.5) + 0.1 * value(at, g)
        return f"observe [0.3, 1] ~ Normal([{at}, theta], 1)", lambda g: (
            log_density("Normal", [value(at, g), 1.0], 0.3) + log_density("Normal", [value("theta", g), 1.0], 1)
        )

    def weigh(self) -> None:
        text, more = self.likely()
        self.lines.append(text)
        self.steps.append(lambda g: add(g, more(g)))

    def statement(self) -> None:
        kind = self.luck.random()
        if kind < 0.5:
            self.weigh()
        elif kind < 0.7:
            condition = self.condition()
            self.lines.append(f"observe {condition}")
            self.ends = True
            self.steps.append(lambda g: add(g, np.where(value(condition, g), 0.0, -np.inf)))
        elif kind < 0.85:
            condition, (one, more), (other, less) = self.condition(), self.likely(), self.likely()
            self.lines.append(f"if {condition} {{ {one} }} else {{ {other} }}")
            self.steps.append(lambda g: add(g, np.where(value(condition, g), more(g), less(g))))
        elif kind < 0.93 and len(self.names) > len(self.real):
            name = next(name for name in self.names if name not in self.real)
            condition = self.condition()
            self.lines.append(f"if {name} > 0 {{ observe {condition} }}")
            self.ends = True
            self.steps.append(lambda g: add(g, np.where((g[name] > 0) & ~value(condition, g), -np.inf, 0.0)))
        else:
            made, text = f"r{len(self.lines)}", self.expression()
            self.lines.append(f"{made} = {text}")
            self.steps.append(lambda g: g.__setitem__(made, value(text, g)))
            self.names.append(made)

    # ------------------------------------------------------------------------------------------------------ oracle
    def sums(self, parameters: dict[str, float]) -> tuple[list[float], float, float, float]:
        """The means of the results times the weight, of the weight, of its square, and of its logarithm."""
        at: Grid = {**parameters, "axes": self.axes, "log p": 0.0, "log q": 0.0, "log w": 0.0}
        with np.errstate(all="ignore"):
            for step in self.steps:
                step(at)
        # the weight beside the proposals: what the observations have added
        with np.errstate(all="ignore"):
            mass = np.exp(at["log q"] + at["log w"])
            shape = mass.shape
            below = float(mass.sum())
            above = [float((mass * np.broadcast_to(value(result, at), shape)).sum()) for result in self.results]
            square = float(np.exp(at["log q"] + 2 * at["log w"]).sum())
            level = np.broadcast_to(at["log w"], shape)
            elbo = float(np.where(at["log q"] > -600, np.exp(at["log q"]) * level, 0.0).sum()) if not self.ends else math.nan
        return above, below, square, elbo


def value(text: str, at: Grid) -> Any:
    """What an expression is on the grid."""
    return eval(text, SCOPE, at)


def add(at: Grid, more: Any) -> None:
    """Raise the level."""
    at["log w"] = at["log w"] + more


class ByQuadrature:
    """`posterior`, `evidence`, `elbo` of a program, as in `observing_oracle.py`."""

    def __init__(self, program: ContinuousProgram):
        names = list(program.parameters)

        def all_at(shift: dict[str, float]) -> list[float]:
            above, below, square, elbo = program.sums({name: program.parameters[name] + shift.get(name, 0.0) for name in names})
            self.worth = below**2 / square if square > 0 else 0.0
            return [*(a / below if below > 0 else math.nan for a in above), math.log(below) if below > 0 else math.nan, elbo]

        sides = [(all_at({name: STEP}), all_at({name: -STEP})) for name in names]
        here = all_at({})
        slopes = [[(right[place] - left[place]) / (2 * STEP) for right, left in sides] for place in range(len(here))]
        self.posterior: Answer | None = Answer(here[:-2], slopes[:-2], 1 + max(map(abs, here[:-2])), GOOD)
        self.evidence: Answer | None = Answer(here[-2:-1], slopes[-2:-1], 1 + abs(here[-2]), GOOD)
        self.elbo = None if program.ends else Answer(here[-1:], slopes[-1:], 1 + abs(here[-1]), GOOD)
        if math.isnan(here[-2]):
            self.posterior = self.evidence = None
