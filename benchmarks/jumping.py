"""An adversary of `jump`: random programs with thresholds, whose gradient is known by quadrature.

    python benchmarks/jumping.py [--programs 1000] [--seed 0] [--seconds 600] [--way default]

A generator writes each program twice, in the language and as a function of numpy on arrays of noise, one array for each execution
of a site.  The derivative is taken from the second one by central differences on scrambled Sobol points, the same on both sides,
extrapolated, with a standard error from the scramblings.  What is further off than `SUSPECT` standard errors is looked at again
with more points and runs, and must be within `FAR`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import numpy as np  # noqa: E402
import torch  # noqa: E402

import probrun  # noqa: E402
from benchmarks.jumping_forms import LAWS, Code, Values, called, several, text_of  # noqa: E402

SUSPECT, FAR = 4.0, 5.0
WIDE = 0.04  # of the differences, and half of that
PARAMETERS = {"theta": 0.4137, "phi": 0.7253}
MOST_APART = 0.01
DIGITS = 2e-3  # relative: what differences miss, at most
@dataclass
class Writer:
    """A program while it is written: lines of text, and code that does the same to arrays."""

    chance: random.Random
    lines: list[str] = field(default_factory=list)
    code: list[Code] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    reals: list[str] = field(default_factory=list)
    count: int = 0
    sites: int = 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def level(self) -> tuple[str, Callable[[Values], Any]]:
        """A number that moves."""
        p, c = self.chance.choice(["theta", "phi"]), round(self.chance.uniform(-0.6, 0.6), 2)
        kind = self.chance.randrange(4)
        if kind == 0:
            return p, lambda v: v[p]
        if kind == 1:
            return f"({p} + {c})", lambda v: v[p] + c
        if kind == 2:
            return f"({c}*{p} + 0.1)", lambda v: c * v[p] + 0.1
        return f"exp({p}*{c})", lambda v: np.exp(v[p] * c)

    def real(self) -> tuple[str, Callable[[Values], Any]]:
        """A number of draws."""
        if not self.reals or self.chance.random() < 0.1:
            return self.level()
        x = self.chance.choice(self.reals[-4:])
        kind = self.chance.randrange(8)
        c = round(self.chance.uniform(0.3, 1.6), 2)
        if kind < 3:
            return x, lambda v: v[x]
        if kind == 3:
            return f"({c}*{x} - 0.2)", lambda v: c * v[x] - 0.2
        if kind == 4:
            y = self.chance.choice(self.reals)
            return f"({x} + {y})", lambda v: v[x] + v[y]
        if kind == 5:
            t, f = self.level()
            return f"max({x}, {t})", lambda v: np.maximum(v[x], f(v))
        if kind == 6:
            return f"abs({x})", lambda v: np.abs(v[x])
        t, f = self.level()
        return f"{x}*{t}", lambda v: v[x] * f(v)

    def bent(self) -> tuple[str, Callable[[Values], Any]]:
        """Something that rises with a number of draws."""
        x, c = self.chance.choice(self.reals[-4:]), round(self.chance.uniform(0.3, 1.6), 2)
        return self.chance.choice([
            (f"({x} + exp({c}*tanh({x})))", lambda v: v[x] + np.exp(c * np.tanh(v[x]))),
            (f"({x} + {c}*tanh({x})^3)", lambda v: v[x] + c * np.tanh(v[x]) ** 3),
            (f"softplus({x} - {c})", lambda v: np.logaddexp(0, v[x] - c)), (f"tanh({x})", lambda v: np.tanh(v[x])),
        ])

    def condition(self) -> tuple[str, Callable[[Values], Any]]:
        (a, f), (b, g) = self.real(), self.level() if self.chance.random() < 0.7 else self.real()
        if self.reals and self.chance.random() < 0.15:
            (a, f), (b, g) = self.bent(), self.level()
        less = self.chance.random() < 0.5
        text, code = f"{a} {'<' if less else '>'} {b}", (lambda v: f(v) < g(v)) if less else (lambda v: f(v) > g(v))
        if self.chance.random() < 0.15:
            more, h = self.condition()
            return (f"{text} and ({more})", lambda v: code(v) & h(v)) if less else (f"{text} or ({more})", lambda v: code(v) | h(v))
        return text, code

    def add(self, line: str, code: Code) -> None:
        self.lines.append(line)
        self.code.append(code)

    def draw(self) -> None:
        law = self.chance.choice(list(LAWS))
        a, f = self.real() if self.reals and self.chance.random() < 0.3 else self.level()
        name, number, made = self.name("x"), self.sites, LAWS[law]
        self.sites += 1
        self.add(f"{name} ~ {text_of(law, a)}", lambda v: v.__setitem__(name, made(v["u"][number], f(v))))
        self.reals.append(name)

    def coin(self) -> None:
        name, number, (t, f) = self.name("b"), self.sites, self.level()
        self.sites += 1
        self.add(f"{name} ~ Bernoulli(sigmoid({t}))", lambda v: v.__setitem__(name, (v["u"][number] < 1 / (1 + np.exp(-f(v)))) * 1.0))
        y, (x, g), (c, h) = self.name("y"), self.real(), self.level()
        self.add(f"{y} = {name}*{x} + {c}", lambda v: v.__setitem__(y, v[name] * g(v) + h(v)))
        self.reals.append(y)

    def branch(self) -> None:
        name, (c, f), (a, g), (b, h) = self.name("y"), self.condition(), self.real(), self.real()
        code: Code = lambda v: v.__setitem__(name, np.where(f(v), g(v), h(v)))  # noqa: E731
        if self.chance.random() < 0.5:
            self.add(f"{name} = if {c} then {a} else {b}", code)
        else:
            self.add(f"{name} = {b}\nif {c} {{ {name} = {a} }}", code)
        self.reals.append(name)

    def steps(self) -> None:
        name, (a, f), kind = self.name("y"), self.real(), self.chance.randrange(3)
        c = round(self.chance.uniform(0.5, 2), 2)
        if self.chance.random() < 0.2:
            a, f = self.bent()
        if kind == 0:
            self.add(f"{name} = floor({c}*{a})", lambda v: v.__setitem__(name, np.floor(c * f(v))))
        elif kind == 1:
            d, g = self.condition()
            self.add(f"{name} = {c}*({d})", lambda v: v.__setitem__(name, c * g(v)))
        else:
            self.add(f"{name} = ({a}) % 1", lambda v: v.__setitem__(name, np.mod(f(v), 1)))
        self.reals.append(name)

    def loop(self) -> None:
        """A few rounds with an accumulator that decides."""
        s, x, n, first = self.name("s"), self.name("x"), self.name("n"), self.sites
        rounds, (t, f), law = self.chance.randint(2, 4), self.level(), self.chance.choice(list(LAWS))
        a, g = self.level()
        kind, c = self.chance.randrange(4), round(self.chance.uniform(0.3, 1.2), 2)
        self.sites += rounds
        bodies = [
            f"{s} = {s} + {x}; if {s} > {t} {{ {n} = {n} + {c}; {s} = {s}*0.5 }}",
            f"{s} = max({s}, {x}); {n} = {n} + ({s} > {t})",
            f"if {x} < {t} {{ {s} = {s} + {c}*{x} }} else {{ {n} = {n} + 1 }}",
            f"if {s} < {t} {{ {s} = {s} + {x}; {n} = {n} + 1 }}",
        ]
        made = LAWS[law]

        def code(v: Values) -> None:
            total, count = np.zeros_like(v["u"][0]), np.zeros_like(v["u"][0])
            for number in range(rounds):
                draw, level = made(v["u"][first + number], g(v)), f(v)
                if kind == 0:
                    total = total + draw
                    over = total > level
                    total, count = np.where(over, total * 0.5, total), count + c * over
                elif kind == 1:
                    total = np.maximum(total, draw)
                    count = count + (total > level)
                elif kind == 2:
                    total, count = np.where(draw < level, total + c * draw, total), count + (draw >= level)
                else:
                    inside = total < level
                    total, count = np.where(inside, total + draw, total), count + inside
            v[s], v[n] = total, count

        self.add(
            f"{s} = 0; {n} = 0\nfor i in range({rounds}) {{ {x} ~ {text_of(law, a)}; {bodies[kind]} }}", code
        )
        self.reals += [s, n]

    def program(self) -> str:
        self.draw()
        for _ in range(self.chance.randint(2, 6)):
            self.chance.choice([
                self.draw, self.draw, self.coin, self.branch, self.branch, self.steps, self.loop, partial(several, self), partial(called, self),
            ])()
        if self.chance.random() < 0.3:
            self.branch()
        (a, f), (b, g) = self.real(), self.real()
        x = self.reals[-1]
        self.add(f"result = {x} + {a}*{b}", lambda v: v.__setitem__("result", v[x] + f(v) * g(v)))
        declared = "".join(f"param {name} = {value}\n" for name, value in PARAMETERS.items())
        return declared + "\n".join(self.functions + self.lines) + "\nreturn result"

    def mean(self, u: Any, **values: float) -> float:
        held: Values = {"u": u, **PARAMETERS, **values}
        for code in self.code:
            code(held)
        return float(np.broadcast_to(held["result"], u.shape[1:]).mean())


class Undecided(Exception):
    """Differences of two widths do not agree: the expectation itself jumps or bends in a parameter nearby."""


def quadrature(made: Writer, name: str, logarithm: int, scrambles: int, seed: int, wide: float = WIDE) -> tuple[float, float]:
    """The derivative in a parameter, and its standard error."""
    found, apart = [], []
    for number in range(scrambles):
        engine = torch.quasirandom.SobolEngine(max(made.sites, 1), scramble=True, seed=seed + number)
        points = engine.draw(2**logarithm, dtype=torch.float64)
        u = points.clamp(1e-12, 1 - 1e-12).T.numpy()
        slopes = [
            (made.mean(u, **{name: PARAMETERS[name] + h}) - made.mean(u, **{name: PARAMETERS[name] - h})) / (2 * h)
            for h in (wide, wide / 2)
        ]
        found.append((4 * slopes[1] - slopes[0]) / 3)
        apart.append(slopes[1] - slopes[0])
    if abs(np.mean(apart)) > MOST_APART * (1 + abs(np.mean(found))) + 4 * np.std(apart) / len(apart) ** 0.5:
        raise Undecided
    return float(np.mean(found)), float(np.std(found, ddof=1) / scrambles**0.5)


def bends(made: Writer, name: str, seed: int, wide: float) -> bool:
    """Whether the expectation has a kink right there, which differences to both sides do not see: its second difference does not
    shrink with the square of the step."""
    u = torch.quasirandom.SobolEngine(max(made.sites, 1), scramble=True, seed=seed).draw(2**18, dtype=torch.float64)
    points, at = u.clamp(1e-12, 1 - 1e-12).T.numpy(), PARAMETERS[name]

    def second(h: float) -> float:
        return abs(sum(made.mean(points, **{name: at + side * h}) * (1 if side else -2) for side in (-1, 0, 1))) / h

    return second(wide / 2) > 0.75 * second(wide) and second(wide) > MOST_APART


def turns(made: Writer, name: str, seed: int, right: float, error: float) -> bool:
    """Whether differences of a smaller width are others, as next to a kink of the expectation."""
    finer, finest = quadrature(made, name, 18, 12, seed, WIDE / 64)
    return abs(finer - right) > FAR * (error**2 + finest**2) ** 0.5 + DIGITS * (abs(right) + 0.5)


def options_of(way: str, text: str, seed: int) -> dict[str, Any]:
    """How a program is answered: everything by `jump`, as nobody asks for anything, or each site as a coin falls."""
    if way == "jump":
        return {"pilot": False, "estimator": "jump", "unbiased": True}
    if way == "default":
        return {"unbiased": True}
    chance, sites = random.Random(seed), probrun.parse(text).resolved.sites
    kinds = {site.name: ("score", "enumerate", "fork") if site.distribution.name == "Bernoulli" else ("rsample", "score", "jump") for site in sites}
    return {"pilot": False, "unbiased": True, "estimator": {name: chance.choice(found) for name, found in kinds.items() if chance.random() < 0.7}}


def tried(seed: int, way: str = "jump") -> tuple[str, str]:
    """What became of the program of a seed, and its text."""
    made = Writer(random.Random(seed))
    text = made.program()
    program = probrun.parse(text)
    for again in (False, True):
        try:
            found = program.grad(samples=200_000 if again else 10_000, seed=seed + again, **options_of(way, text, seed))
        except probrun.ProbError as error:
            return f"refused {error.code}: {error.diagnostics[0].label if hasattr(error, 'diagnostics') else error}", text
        except Exception as error:  # a crash is an answer, too
            return f"WRONG: {type(error).__name__}: {error}", text
        wrong = ""
        for name, moments in found.gradient.items():
            try:
                right, error = quadrature(made, name, 18 if again else 14, 12 if again else 6, seed, WIDE / 8 if again else WIDE)
            except Undecided:
                return "undecided", text
            allowed = (FAR if again else SUSPECT) * (float(moments.se) ** 2 + error**2) ** 0.5 + DIGITS * (abs(right) + 0.5)
            if not abs(float(moments.mean) - right) <= allowed:
                if again and (bends(made, name, seed, WIDE / 8) or turns(made, name, seed, right, error)):
                    return "undecided", text
                wrong = f"d/d{name} is {float(moments.mean):.6g} +- {float(moments.se):.2g}, not {right:.6g} +- {error:.2g}"
        if not wrong:
            return "jumped" if any(site.estimator == "jump" for site in found.sites) else "sampled", text
    return f"WRONG: {wrong}", text


def main() -> int:
    """Try many; the status is 1 where any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--refused", action="store_true", help="print programs that are refused, too")
    parser.add_argument("--way", choices=("jump", "default", "mixed"), default="jump")
    given = parser.parse_args()
    torch.set_num_threads(1)
    fates: Counter[str] = Counter()
    began = time.monotonic()
    for seed in range(given.seed, given.seed + given.programs):
        if time.monotonic() - began > given.seconds:
            break
        fate, text = tried(seed, given.way)
        fates[fate.split(":")[0]] += 1
        if "WRONG" in fate or (given.refused and "refused" in fate):
            print(f"-- seed {seed}\n{text}\n{fate}\n", flush=True)
    print(", ".join(f"{fate} {count}" for fate, count in sorted(fates.items())))
    return int(fates["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
