"""What comes out exact, and how fast: `python benchmarks/exact.py --write` rewrites the table of `docs/exact.md`.

Every program is differentiated in one process as `program.grad(seed=1)` does it by default: once to warm up, then five times, of
which the median is told.  Where the default is not exact, the row says so, and more rows tell what must be asked for, and what
that takes (with more lanes, once after the warm-up).  The reference is computed apart from probrun: by a closed form, or by a dynamic program over states, whose derivative
is taken with a complex step.
"""

from __future__ import annotations

import argparse
import cmath
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import probrun  # noqa: E402
from tests.test_exact import TINY, binomial, coin, mean, reached, sigmoid  # noqa: E402

PAGE = Path(__file__).resolve().parent.parent / "docs" / "exact.md"
MARKS = ("<!-- begin:table -->", "<!-- end:table -->")
WAYS: list[tuple[str, dict[str, Any], int]] = [  # until one is exact; and how often
    ("", {}, 5), (", `--estimator enumerate`", {"estimator": "enumerate"}, 5),
    (", and `--max-lanes 1000000`", {"estimator": "enumerate", "max_lanes": 1_000_000}, 1),
]


@dataclass(frozen=True)
class Row:
    """A program, its parameters, its expectation as a function of complex parameters, and the most seconds that it should take."""

    name: str
    text: str
    parameters: dict[str, float]
    value: Callable[..., complex]
    at_most: float

    @property
    def source(self) -> str:
        """The whole program."""
        return "".join(f"param {name} = {value!r}\n" for name, value in self.parameters.items()) + self.text

    def exact(self) -> list[float]:
        """The derivatives, to the last digits."""
        at = self.parameters
        return [self.value(*(complex(x, TINY * (name == other)) for other, x in at.items())).imag / TINY for name in at]


def highest(theta: complex) -> complex:
    """The running maximum of 60 steps."""
    def step(state: tuple[int, int]) -> list[tuple[complex, Any]]:
        return coin(sigmoid(theta), (state[0] + 1, max(state[1], state[0] + 1)), (state[0] - 1, state[1]))

    return mean(reached((0, 0), step, 60), lambda state: state[1])


def infected(beta: complex, gamma: complex) -> complex:
    """How many of 50 are ever infected in 30 days."""
    better = [binomial(ill, gamma) for ill in range(51)]
    now: dict[tuple[int, int], complex] = {(47, 3): 1.0}
    for _ in range(30):
        half: dict[tuple[int, int, int], complex] = {}
        for (well, ill), weight in now.items():
            for chance, caught in binomial(well, 1 - cmath.exp(-beta * ill / 50)):
                half[well - caught, ill, caught] = weight * chance
        now = {}
        for (well, ill, caught), weight in half.items():
            for chance, gone in better[ill]:
                to = well, ill + caught - gone
                now[to] = now.get(to, 0.0) + weight * chance
    return mean(now, lambda state: 50 - state[0])


def coupons(p: complex) -> complex:
    """Draws until all four are there, by inclusion and exclusion."""
    chances = [p, (1 - p) / 3, (1 - p) / 3, (1 - p) / 3]
    sets = [[chance for place, chance in enumerate(chances) if chosen >> place & 1] for chosen in range(1, 16)]
    return sum(((-1) ** (len(found) + 1) / sum(found) for found in sets), 0j)


def days(a: complex) -> complex:
    """The rewards of 1000 days."""
    rows = [[1 - a, a, 0], [0.3, 0.7 - a / 2, a / 2], [0.2, 0.3, 0.5]]
    now: list[complex] = [1, 0, 0]
    total = 0j
    for _ in range(1000):
        now = [sum((now[i] * rows[i][j] for i in range(3)), 0j) for j in range(3)]
        total += now[1] + 3 * now[2]
    return total


def lengths(arrive: complex) -> complex:
    """The sum of the lengths of a queue of at most 12 over 50 slots."""
    def step(length: int) -> list[tuple[complex, Any]]:
        found = []
        for chance, waiting in coin(arrive, min(length + 1, 12), length):
            found += [(chance / 2, waiting - 1), (chance / 2, waiting)] if waiting else [(chance, 0)]
        return found

    return sum((mean(reached(0, step, slots), lambda length: length) for slots in range(1, 51)), 0j)


def walk(theta: complex) -> complex:
    """The square of the place after 100 steps."""
    p = sigmoid(theta)
    return 400 * p * (1 - p) + (100 * (2 * p - 1)) ** 2


def ruin(p: complex) -> complex:
    """Rounds from 3 until 0 or 10."""
    odds = (1 - p) / p
    return (3 - 10 * (1 - odds**3) / (1 - odds**10)) / (1 - 2 * p)


STEP = "b ~ Bernoulli(sigmoid(theta)); s = s + 2*b - 1"
ROWS = [
    Row("100-step walk, `s^2`", f"s = 0; for t in range(100) {{ {STEP} }}; return s^2", {"theta": 0.5}, walk, 0.05),
    Row("60-step walk, running maximum", f"s = 0; m = 0; for t in range(60) {{ {STEP}; m = max(m, s) }}; return m", {"theta": 0.3}, highest, 0.2),
    Row("epidemic in counts: 50 people, 30 days",
        "well = 47; ill = 3\nfor day in range(30) {\n  caught ~ Binomial(well, 1 - exp(-beta*ill/50)); better ~ Binomial(ill, gamma)\n"
        "  well = well - caught; ill = ill + caught - better\n}\nreturn 50 - well", {"beta": 0.5, "gamma": 0.2}, infected, 2),
    Row("gambler's ruin from 3 in (0, 10), rounds",
        "x = 3; n = 0; while x > 0 and x < 10 { b ~ Bernoulli(p); x = x + 2*b - 1; n = n + 1 }; return n", {"p": 0.45}, ruin, 0.2),
    Row("4 coupons, draws",
        "have = zeros(4); n = 0\nwhile sum(have) < 4 {\n"
        "  k ~ Categorical([p, (1-p)/3, (1-p)/3, (1-p)/3]); have[k] = 1; n = n + 1\n}\nreturn n", {"p": 0.1}, coupons, 0.2),
    Row("tosses until H T H",
        "s = 0; n = 0\nwhile s < 3 {\n  h ~ Bernoulli(p); n = n + 1\n  s = if s == 1 then (if h then 1 else 2) else if h then s + 1 else 0\n}\nreturn n",
        {"p": 0.6}, lambda p: 1 / p + 1 / (p * p * (1 - p)), 0.1),
    Row("3-state chain with rewards, 1000 days",
        "rows = [[1-a, a, 0], [0.3, 0.7-a/2, a/2], [0.2, 0.3, 0.5]]; pay = [0, 1, 3]; s = 0; total = 0\n"
        "for day in range(1000) { s ~ Categorical(rows[s]); total = total + pay[s] }\nreturn total", {"a": 0.2}, days, 0.5),
    Row("queue of at most 12, 50 slots",
        "q = 0; total = 0\nfor slot in range(50) {\n  if Bernoulli(arrive) and q < 12 { q = q + 1 }\n"
        "  if q > 0 { if Bernoulli(0.5) { q = q - 1 } }\n  total = total + q\n}\nreturn total", {"arrive": 0.4}, lengths, 0.2),
    Row("sum of 50 bits, squared", "s = 0; for t in range(50) { s = s + Bernoulli(theta) }; return s^2", {"theta": 0.3},
        lambda theta: 50 * theta * (1 - theta) + 2500 * theta * theta, 0.05),
    Row("chain of 50 bits", "b = 0; for t in range(50) { b ~ Bernoulli(if b then 0.9 else theta) }; return b", {"theta": 0.3},
        lambda theta: theta / (0.1 + theta) * (1 - (0.9 - theta) ** 50), 0.1),
    Row("32 independent `if`s in a row",
        "n = 0\n" + "".join(f"b{i} ~ Bernoulli(theta); if b{i} {{ n = n + 1 }}\n" for i in range(32)) + "return n^2", {"theta": 0.3},
        lambda theta: 32 * theta * (1 - theta) + 1024 * theta * theta, 0.1),
]


def lines(row: Row) -> list[str]:
    """The default, and where that is not exact, all outcomes."""
    program, exact = probrun.parse(row.source), row.exact()
    found = []
    for by, options, repeats in WAYS:
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            result = program.grad(seed=1, **options)
            seconds.append(time.perf_counter() - start)
        gradient = result.gradient.values()
        off = max(abs(float(moments.mean) - slope) / abs(slope) for moments, slope in zip(gradient, exact, strict=True))
        answer = f"{off:.0e}" if result.exact else "sampled: " + ", ".join(f"{float(m.mean):.4g} ± {float(m.se):.2g}" for m in gradient)
        told = [f"{row.name}{by}", ", ".join(f"{slope:.14g}" for slope in exact), answer,
                f"{statistics.median(seconds[1:]):.2g}", f"{row.at_most:g}"]
        found.append("| " + " | ".join(told) + " |")
        if result.exact:
            break
    return found


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of a program's name")
    parser.add_argument("--write", action="store_true", help="write the table into docs/exact.md")
    options = parser.parse_args()
    head = ["program", "exact derivative", "relative error", "seconds", "aim"]
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in ROWS:
        if options.only in row.name:
            for line in lines(row):
                text.append(line)
                print(line, flush=True)
    if options.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        PAGE.write_text(f"{before}{MARKS[0]}\n" + "\n".join(text) + f"\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
