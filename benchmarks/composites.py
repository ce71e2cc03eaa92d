"""Random programs with Truncated, Mixture and distribution functions, against quadrature by SciPy.

    python benchmarks/composites.py [PROGRAMS [SEED]]

Each draws from (or takes the density or the distribution function of) a truncated law or a mixture whose arguments, ends and
weights are expressions of two parameters, and uses it smoothly, over a jump, in a branch or a loop.  The oracle knows each law as
SciPy has it, integrates over shares, and differentiates by differences.  Numbers that are not sampled must agree to 1e-4,
sampled ones within 5 standard errors.  A refusal is counted by its code; anything else that is raised is printed.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special, stats

import probrun

RUNS = 4000
LIMIT = 5.5  # of thousands of numbers
POINTS, SHARES = np.polynomial.legendre.leggauss(400)
POINTS, SHARES = (POINTS + 1) / 2, SHARES / 2
Env = dict[str, float]


class LogitNormal:
    def __init__(self, loc: float, scale: float):
        self.normal = stats.norm(loc, scale)

    def cdf(self, x: Any) -> Any:
        return self.normal.cdf(special.logit(x))

    def ppf(self, u: Any) -> Any:
        return special.expit(self.normal.ppf(u))

    def pdf(self, x: Any) -> Any:
        return self.normal.pdf(special.logit(x)) / (x * (1 - x))


class Kumaraswamy:
    def __init__(self, a: float, b: float):
        self.a, self.b = a, b

    def cdf(self, x: Any) -> Any:
        return 1 - (1 - x**self.a) ** self.b

    def ppf(self, u: Any) -> Any:
        return (1 - (1 - u) ** (1 / self.b)) ** (1 / self.a)

    def pdf(self, x: Any) -> Any:
        return self.a * self.b * x ** (self.a - 1) * (1 - x**self.a) ** (self.b - 1)


LINE: dict[str, tuple[int, Callable[..., Any]]] = {
    "Normal": (2, lambda m, s: stats.norm(m, s)), "Laplace": (2, lambda m, s: stats.laplace(m, s)),
    "Logistic": (2, lambda m, s: stats.logistic(m, s)), "Cauchy": (2, lambda m, s: stats.cauchy(m, s)),
    "Gumbel": (2, lambda m, s: stats.gumbel_r(m, s)), "StudentT": (3, lambda d, m, s: stats.t(d, m, s)),
}
HALF: dict[str, tuple[int, Callable[..., Any]]] = {
    "Exponential": (1, lambda r: stats.expon(scale=1 / r)), "Gamma": (2, lambda c, r: stats.gamma(c, scale=1 / r)),
    "LogNormal": (2, lambda m, s: stats.lognorm(s, scale=math.exp(m))), "HalfNormal": (1, lambda s: stats.halfnorm(scale=s)),
    "Weibull": (2, lambda s, c: stats.weibull_min(c, scale=s)), "InverseGamma": (2, lambda c, r: stats.invgamma(c, scale=r)),
    "HalfCauchy": (1, lambda s: stats.halfcauchy(scale=s)), "Chi2": (1, lambda d: stats.chi2(d)),
}
UNIT: dict[str, tuple[int, Callable[..., Any]]] = {
    "Beta": (2, lambda a, b: stats.beta(a, b)), "Kumaraswamy": (2, Kumaraswamy), "LogitNormal": (2, LogitNormal),
}
COUNTS: dict[str, tuple[int, Callable[..., Any]]] = {
    "Poisson": (1, lambda r: stats.poisson(r)), "Geometric": (1, lambda p: stats.geom(p, loc=-1)),
    "BetaBinomial": (2, lambda a, b: stats.betabinom(6, a, b)),
}
ALL = {**LINE, **HALF, **UNIT, **COUNTS}


def at(text: str, env: Env) -> float:
    return float(eval(text.replace("^", "**"), {"exp": math.exp}, dict(env)))


@dataclass(frozen=True)
class Part:
    """A law of SciPy's, between two ends."""

    name: str
    arguments: tuple[str, ...]
    low: str = ""
    high: str = ""

    @property
    def text(self) -> str:
        first = ("6", *self.arguments) if self.name == "BetaBinomial" else self.arguments
        inner = f"{self.name}({', '.join(first)})"
        return f"Truncated({inner}, {self.low}, {self.high})" if self.low else inner

    def known(self, env: Env) -> tuple[Any, float, float]:
        """The law, and its shares below both ends."""
        law = ALL[self.name][1](*(at(text, env) for text in self.arguments))
        if not self.low:
            return law, 0.0, 1.0
        high = 1.0 if self.high == "inf" else float(law.cdf(at(self.high, env)))
        return law, float(law.cdf(at(self.low, env))), high

    def mean(self, f: Callable[[Any], Any], breaks: tuple[float, ...], env: Env) -> float:
        law, below, most = self.known(env)
        if self.name in COUNTS:
            k = np.arange(80)
            return float((law.pmf(k) * f(k.astype(float))).sum())
        bounds = (0.0, 1.0) if self.name in UNIT else (-math.inf, math.inf)
        inside = [float(law.cdf(c)) for c in breaks if bounds[0] < c < bounds[1]]
        cuts = [below, *sorted(u for u in inside if below < u < most), most]
        whole = sum((b - a) * float((f(law.ppf(a + (b - a) * POINTS)) * SHARES).sum()) for a, b in pairwise(cuts))
        return whole / (most - below)

    def density(self, x: float, env: Env) -> float:
        law, below, most = self.known(env)
        if self.name in COUNTS:
            return float(law.pmf(x))
        if (self.name in UNIT and not 0 < x < 1) or (self.name in HALF and x <= 0):
            return 0.0
        if self.low and not (at(self.low, env) <= x <= (math.inf if self.high == "inf" else at(self.high, env))):
            return 0.0
        return float(law.pdf(x)) / (most - below)

    def below(self, x: float, env: Env) -> float:
        law, below, most = self.known(env)
        if self.name in UNIT:
            x = min(max(x, 0.0), 1.0)
        return min(max((float(law.cdf(x)) - below) / (most - below), 0.0), 1.0)


@dataclass(frozen=True)
class Law:
    parts: tuple[Part, ...]
    weights: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        if not self.weights:
            return self.parts[0].text
        return f"Mixture([{', '.join(self.weights)}], {', '.join(part.text for part in self.parts)})"

    def over(self, each: Callable[[Part], float], env: Env) -> float:
        weights = [at(text, env) for text in self.weights] or [1.0]
        return sum(w * each(part) for w, part in zip(weights, self.parts, strict=True)) / sum(weights)


def argument(rng: random.Random) -> str:
    return rng.choice(["a", "b", "0.7", "1.3", "a + b", "0.4 + a^2", "exp(-b)", "1.6*a"])


def share(rng: random.Random) -> str:
    return rng.choice(["0.6*a", "0.3 + 0.2*b", "0.45", "0.2 + 0.3*a"])


def part(rng: random.Random, kind: str, cut: bool) -> Part:
    table = {"line": LINE, "half": HALF, "unit": UNIT, "count": COUNTS}[kind]
    name = rng.choice(list(table))
    arguments = tuple(share(rng) if name == "Geometric" else argument(rng) for _ in range(table[name][0]))
    if not cut:
        return Part(name, arguments)
    if kind == "unit":
        return Part(name, arguments, rng.choice(["0.1*a", "0.15", "0.1 + 0.2*b"]), rng.choice(["0.6 + 0.2*a", "0.8", "0.9 - 0.2*b"]))
    low = rng.choice(["0.3", "a", "0.2*b", "b - 0.1"] if kind == "half" else ["-0.5", "a", "-b", "b - 2"])
    return Part(name, arguments, low, rng.choice(["inf", "1.9", "1.5 + b", "2.5 - 0.4*a"]))


def law(rng: random.Random) -> Law:
    if rng.random() < 0.5:
        return Law((part(rng, rng.choice(["line", "half", "unit"]), True),))
    kind = rng.choice(["line", "line", "half", "unit", "count", "mixed"])
    number = rng.choice([2, 2, 3])
    kinds = [rng.choice(["line", "half", "unit"]) if kind == "mixed" else kind for _ in range(number)]
    parts = tuple(part(rng, each, each != "count" and rng.random() < 0.25) for each in kinds)
    return Law(parts, tuple(rng.choice(["a", "1 - 0.5*a", "0.5", "b", "0.2 + b^2"]) for _ in range(number)))


SMOOTH: dict[str, Callable[[Any], Any]] = {
    "sin(3*tanh(x))": lambda x: np.sin(3 * np.tanh(x)), "1/(1 + x^2)": lambda x: 1 / (1 + x**2), "tanh(x - 0.4)": lambda x: np.tanh(x - 0.4), "atan(2*x)": lambda x: np.arctan(2 * x),
}


def program(rng: random.Random, env: Env) -> tuple[str, Callable[[Env], float]]:
    """The text after the parameters, and what its result is expected to be, of the parameters."""
    chosen = law(rng)
    text, f = rng.choice(list(SMOOTH.items()))
    shape = rng.choice(["smooth", "smooth", "jump", "branch", "loop", "density", "cdf", "logsf", "cdf of a draw"])
    place = round(rng.uniform(0.2, 0.8), 2) if chosen.parts[0].name not in COUNTS else float(rng.randrange(5))
    draw = f"x ~ {chosen.text}\n"

    def mean(g: Callable[[Any], Any], *breaks: float) -> Callable[[Env], float]:
        return lambda e: chosen.over(lambda p: p.mean(g, breaks, e), e)

    if shape == "smooth":
        return draw + f"return {text}", mean(f)
    if shape == "jump":
        return draw + f"return (x > {place}) + 0.5*{text}", mean(lambda x: (x > place) + 0.5 * f(x), place)
    if shape == "branch":
        return (
            f"u ~ Bernoulli(0.4)\nif u {{\n  {draw}  y = {text}\n}} else {{\n  y = a\n}}\nreturn y",
            lambda e: 0.4 * mean(f)(e) + 0.6 * e["a"],
        )
    if shape == "loop":
        return f"y = 1\nfor i in range(2) {{\n  {draw}  y = y*({text})\n}}\nreturn y", lambda e: mean(f)(e) ** 2
    if shape == "cdf of a draw":
        return f"x ~ Normal(b, 1)\nreturn cdf({chosen.text}, x)", of_draw(chosen)
    if shape == "density":
        return f"return exp(logpdf({chosen.text}, {place}))", lambda e: chosen.over(lambda p: p.density(place, e), e)
    form, sign = (f"cdf({chosen.text}, {place})", 1) if shape == "cdf" else (f"1 - exp(logsf({chosen.text}, {place}))", 1)
    return f"return {form}", lambda e: sign * chosen.over(lambda p: p.below(place, e), e)


def of_draw(chosen: Law) -> Callable[[Env], float]:
    """E cdf(D, x) = P(D <= x) = E P(x >= D), with x ~ Normal(b, 1)."""
    return lambda e: chosen.over(lambda p: p.mean(lambda y: stats.norm.sf(y - e["b"]), (), e), e)


def slope(exact: Callable[[Env], float], env: Env, key: str) -> tuple[float, float]:
    """By differences of fourth order, and how far two widths of these are apart."""
    def by(h: float) -> float:
        one, two = (exact(env | {key: env[key] + k * h}) - exact(env | {key: env[key] - k * h}) for k in (1, 2))
        return (8 * one - two) / (12 * h)

    return by(2e-3), abs(by(2e-3) - by(4e-3))


def check(seed: int, codes: Counter[str]) -> list[str]:
    rng = random.Random(seed)
    env = {"a": round(rng.uniform(0.3, 0.9), 2), "b": round(rng.uniform(0.3, 0.9), 2)}
    body, exact = program(rng, env)
    text = "".join(f"param {key} = {value}\n" for key, value in env.items()) + body
    try:
        found = probrun.parse(text).grad(samples=RUNS, seed=seed)
    except probrun.ProbError as problem:
        codes[problem.code or "?"] += 1
        return [] if problem.code in ("P0403", "P0210", "P0404") else [f"{text}\n  {problem}"]
    codes["right"] += 1
    wrong = []
    numbers = [("value", found.value, (exact(env), 0.0))] + [(k, found.gradient[k], slope(exact, env, k)) for k in env]
    for key, number, (wanted, doubt) in numbers:
        off = abs(float(number.mean) - wanted)
        if not off <= LIMIT * float(number.se or 0) + 1e-4 * (1 + abs(wanted)) + 2 * doubt:
            how = [site.estimator for site in found.sites]
            wrong.append(f"{text}\n  seed {seed} {key}: {float(number.mean):.6g} +- {float(number.se or 0):.2g}, not {wanted:.6g} {how}")
    return wrong


def main() -> int:
    count, first = (int(sys.argv[place]) if len(sys.argv) > place else default for place, default in ((1, 300), (2, 0)))
    codes: Counter[str] = Counter()
    wrong = 0
    for seed in range(first, first + count):
        for line in check(seed, codes):
            wrong += 1
            print(line, flush=True)
    print(f"{count} programs: {dict(codes)}; {wrong} numbers wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
