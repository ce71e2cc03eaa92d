"""An adversary of what is said about the ends of ranges: random expressions with 0, infinities and the ends of functions, each
first derivative held against quadrature.

`python benchmarks/ends.py [PROGRAMS] [FIRST SEED]`; `python benchmarks/ends.py walk` makes the whole walk of `tests/test_ends.py`.
A program draws x ~ Normal(theta, 1), perhaps a bit, and returns a random
expression of them, perhaps times another normal.  The oracle evaluates the same expression by NumPy in float64 on a fine grid of x:
d/dtheta E g(x) = E g(x) (x - theta) needs no derivative of g.  Programs whose integral does not settle, or that are infinite
somewhere, are only to be refused or left alone; of the others a derivative that is too far off is tried again with more runs.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import numpy as np  # noqa: E402
import scipy.special as special  # noqa: E402

import probrun  # noqa: E402
from tests.test_ends import ALL, DENSITIES, carried, hidden, jumps_in_runs, wrong  # noqa: E402

THETA = 0.5
GRID = 30_000
SAMPLES = 4_000
FAR = 5.0  # standard errors

Array = Any
Tree = tuple[str, Callable[[Array, float, float], Array]]  # a text, and its value for x, a bit and theta

ONE: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "relu": lambda x: np.maximum(x, 0), "sigmoid": special.expit,
    "tanh": np.tanh, "atan": np.arctan, "erf": special.erf, "softplus": lambda x: np.logaddexp(x, 0), "expm1": np.expm1,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "sign": np.sign, "floor": np.floor, "logit": special.logit,
    "lgamma": special.gammaln,
}
TWO: dict[str, Callable[[Array, Array], Array]] = {
    "({} + {})": np.add, "({} - {})": np.subtract, "{}*{}": np.multiply, "{}/{}": np.divide, "({})^({})": np.power,
    "max({}, {})": np.maximum, "min({}, {})": np.minimum,
}
LEAVES: list[tuple[float, Tree]] = [
    (6, ("x", lambda x, b, t: x)), (1, ("b", lambda x, b, t: np.full_like(x, b))), (1, ("theta", lambda x, b, t: np.full_like(x, t))),
    (1, ("0", lambda x, b, t: np.zeros_like(x))), (1, ("1", lambda x, b, t: np.ones_like(x))),
    (1, ("2", lambda x, b, t: np.full_like(x, 2.0))), (1, ("0.5", lambda x, b, t: np.full_like(x, 0.5))),
    (1, ("inf", lambda x, b, t: np.full_like(x, np.inf))), (0.5, ("1e40", lambda x, b, t: np.full_like(x, 1e40))),
    (0.5, ("1e30", lambda x, b, t: np.full_like(x, 1e30))),
]


def one(name: str, inner: Tree) -> Tree:
    return f"{name}({inner[0]})", lambda x, b, t: ONE[name](inner[1](x, b, t))


def two(form: str, left: Tree, right: Tree) -> Tree:
    first, second = (f"({tree[0]})" if form in ("{}*{}", "{}/{}") else tree[0] for tree in (left, right))
    return form.format(first, second), lambda x, b, t: TWO[form](left[1](x, b, t), right[1](x, b, t))


def expression(chance: random.Random, depth: int = 0) -> Tree:
    """A random expression, most often one that is bounded in the end."""
    if depth > 3 or (depth > 1 and chance.random() < 0.35):
        return chance.choices([leaf for _, leaf in LEAVES], [weight for weight, _ in LEAVES])[0]
    if chance.random() < 0.5:
        names = ["sigmoid", "tanh", "atan", "erf", "exp", "relu"] if chance.random() < 0.5 else list(ONE)
        return one(chance.choice(names), expression(chance, depth + 1))
    form = chance.choice([*TWO, "({})^({})", "{}*{}", "{}/{}"])
    return two(form, expression(chance, depth + 1), expression(chance, depth + 1))


def derivative(tree: Tree, theta: float, times: bool, bits: list[float]) -> float | None:
    """d/dtheta of the expectation; None where the integral does not settle, or there is no number somewhere."""
    found = []
    h = 1e-4
    for points in (GRID, GRID + 1777):
        edges = np.linspace(-8.5, 8.5, points + 1)
        u = (edges[1:] + edges[:-1]) / 2
        weight = np.exp(-u * u / 2) / np.sqrt(2 * np.pi) * (edges[1] - edges[0])
        total = 0.0
        for bit in bits:
            with np.errstate(all="ignore"):
                # the expression itself may move with theta too: a difference of that part alone, at fixed x
                g, up, down = (tree[1](theta + u, bit, t) for t in (theta, theta + h, theta - h))
            if not np.isfinite(g).all() or not np.isfinite(up).all() or not np.isfinite(down).all():
                return None
            if np.abs(up - down).max() > 2e-2 * max(1.0, np.abs(g).max()):
                return None
            slope = float((g * u * weight).sum() + ((up - down) / (2 * h) * weight).sum())
            mean = float((g * weight).sum())
            total += (theta * slope + mean if times else slope) / len(bits)
        found.append(total)
    return found[0] if abs(found[0] - found[1]) < 2e-4 * max(1.0, abs(found[0])) else None


def check(seed: int) -> tuple[str, str]:
    """What became of one program, and its text."""
    chance = random.Random(seed)
    tree = expression(chance)
    while "x" not in tree[0].replace("exp", "").replace("max", ""):
        tree = expression(chance)
    if chance.random() < 0.5:
        tree = one(chance.choice(["sigmoid", "tanh", "atan", "erf"]), tree)
    times = chance.random() < 0.3
    bits = [0.0, 1.0] if "b" in tree[0].replace("abs", "") else [0.5]
    text = f"param theta = {THETA}\nx ~ Normal(theta, 1)\n" + ("b ~ Bernoulli(0.5)\n" if len(bits) == 2 else "")
    text += f"y ~ Normal(theta, 1)\nreturn y*({tree[0]})" if times else f"return {tree[0]}"
    exact: float | None = None
    for samples in (SAMPLES, 20 * SAMPLES):
        try:
            result = probrun.parse(text).grad(samples=samples, seed=seed + samples)
        except probrun.ProbError as problem:
            return f"refused {problem.code}", text
        if samples == SAMPLES:
            exact = derivative(tree, THETA, times, bits)
        if exact is None:
            return "no oracle", text
        found = result.gradient["theta"]
        mean, error = float(found.mean), float(found.se)
        if abs(mean - exact) <= FAR * error + 2e-3 * max(1.0, abs(exact)) * (error > 0) + 1e-4 * max(1.0, abs(exact)):
            return "right", text
    how = ", ".join(f"{site.name}={site.estimator}" for site in result.sites)
    return "warned" if result.tails else "WRONG", f"{text}\n# exact {exact:.6g}, found {mean:.6g} +- {error:.2g} ({how})"


def walk() -> None:
    """Everything that there is with every end, bare and inside two functions that hide infinities."""
    for case in ALL:
        for form in (case, hidden(case, "atan"), hidden(case, "exp")):
            if found := wrong(form):
                print(found, flush=True)
    for text, places in DENSITIES:
        if carried(text) and (trouble := jumps_in_runs(text, places)):
            print(text, trouble, flush=True)


def main() -> None:
    if sys.argv[1:] == ["walk"]:
        return walk()
    programs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    fates: Counter[str] = Counter()
    for seed in range(first, first + programs):
        fate, text = check(seed)
        fates[fate] += 1
        if fate == "WRONG":
            print(f"-- seed {seed}\n{text}\n", flush=True)
    print(dict(fates))


if __name__ == "__main__":
    main()
