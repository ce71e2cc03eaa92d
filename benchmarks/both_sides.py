"""An adversary of branches whose two sides are executed in all runs: `python benchmarks/both_sides.py [-n 2000] [--seed 1]`.

Random programs (branches in branches, conditional expressions, `and`, `or`, loops of a fixed length, discrete draws by score and
continuous ones by their paths) are run twice: as few runs are, and with runs taken apart.  Where all draws stand outside branches both
draw the same, so that results and gradients of single runs must be the same to rounding; unless a score counts in one of them only, as
lanes that are not there might take a branch.  There, and where draws stand inside, means over many seeds must agree within `SLACK`
standard errors.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402
from probrun.dsl.text.diagnostics import ProbError  # noqa: E402
from probrun.runtime.estimates import attempts  # noqa: E402

RUNS, MANY, SEEDS = 500, 60_000, 30
SLACK = 5.5
ROUNDING = 1e-9
FUNCTIONS = ("sin", "cos", "tanh", "exp", "abs", "relu", "sigmoid", "softplus", "atan", "floor", "erf")


class Writer:
    """A random program."""

    def __init__(self, dice: random.Random, inside: bool):
        self.dice = dice
        self.inside = inside  # whether branches draw
        self.known = ["a", "b"]
        self.truths: list[str] = []
        self.lines: list[str] = []
        self.count = 0

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def text(self) -> str:
        """All of it."""
        self.lines = ["param a = 0.4", "param b = -0.3"]
        for _ in range(self.dice.randint(2, 4)):
            self.draw(0)
        names = [f"y{number}" for number in range(self.dice.randint(1, 2))]
        for name in names:
            self.lines.append(f"{name} = {self.expression(1)}")
        self.known += names
        if self.dice.random() < 0.3:
            self.lines.append(f"for t in range({self.dice.randint(1, 4)}) {{")
            self.branch(1, names)
            self.lines.append("}")
        for _ in range(self.dice.randint(1, 3)):
            self.branch(0, names)
        if self.dice.random() < 0.5:
            self.lines.append(f"{names[0]} = {names[0]} + (if {self.condition()} then {self.expression(2)} else {self.expression(2)})")
        self.lines.append("return " + ", ".join(names))
        return "\n".join(self.lines) + "\n"

    def draw(self, depth: int) -> None:
        name, kind = self.fresh(), self.dice.randrange(5)
        pad = "  " * depth
        inner = self.expression(1)
        if kind == 0:
            self.lines.append(f"{pad}{name} ~ Bernoulli(sigmoid({inner}))" if not depth else f"{pad}{name} ~ Bernoulli(0.4)")
            self.truths += [] if depth else [name]
        elif kind == 1:
            self.lines.append(f"{pad}{name} ~ Normal({inner}, 0.5)")
        elif kind == 2:
            self.lines.append(f"{pad}{name} ~ Uniform(0, 2)")
        elif kind == 3 and not depth:
            self.lines.append(f"{pad}{name} ~ Categorical([0.2, 0.3, 0.5])")
            self.truths.append(f"{name} == 1")
        else:
            self.lines.append(f"{pad}{name} ~ Normal(a, 1)")
            self.truths += [] if depth else [f"{name} > 0.2"]
        if not depth:
            self.known.append(name)

    def condition(self) -> str:
        found = self.dice.choice(self.truths) if self.truths else "a > 0"
        if self.dice.random() < 0.3:
            found = f"{found} {self.dice.choice(('and', 'or'))} {self.dice.choice(self.truths or ['b > 0'])}"
        return f"not ({found})" if self.dice.random() < 0.2 else found

    def branch(self, depth: int, names: list[str]) -> None:
        pad = "  " * depth
        self.lines.append(f"{pad}if {self.condition()} {{")
        self.body(depth + 1, names)
        if self.dice.random() < 0.3:
            self.lines.append(f"{pad}}} else if {self.condition()} {{")
            self.body(depth + 1, names)
        if self.dice.random() < 0.7:
            self.lines.append(f"{pad}}} else {{")
            self.body(depth + 1, names)
        self.lines.append(f"{pad}}}")

    def body(self, depth: int, names: list[str]) -> None:
        pad = "  " * depth
        if self.inside and self.dice.random() < 0.6:
            self.draw(depth)
            self.lines.append(f"{pad}{self.dice.choice(names)} = 0.5*v{self.count} + {self.expression(1)}")
        name = self.dice.choice(names)
        more = f"{name} + " if self.dice.random() < 0.5 else ""
        self.lines.append(f"{pad}{name} = {more}{self.expression(2)}")
        if depth < 3 and self.dice.random() < 0.3:
            self.branch(depth, names)

    def expression(self, depth: int) -> str:
        kind = self.dice.randrange(7) if depth else 0
        if kind <= 1:
            return self.dice.choice([*self.known, f"{self.dice.uniform(-1, 1):.2f}"])
        if kind == 2:
            return f"{self.dice.choice(FUNCTIONS)}({self.expression(depth - 1)})"
        if kind == 3:
            return f"({self.expression(depth - 1)})^{self.dice.choice((2, 3))}"
        if kind == 4:
            return f"{self.expression(depth - 1)} / {self.dice.choice((2, 4))}"
        return f"({self.expression(depth - 1)} {self.dice.choice('+-*')} {self.expression(depth - 1)})"


def told(text: str, few: bool, runs: int, seed: int, log: dict[str, int]) -> Any:
    """The gradient, with both sides in all runs (`few`) or apart."""
    with patch.object(attempts, "FEW_RUNS", 10**9 if few else 0):
        program = probrun.parse(text)
        found = program.grad(samples=runs, seed=seed, pilot=False, keep_runs=True, dtype="float64")
    if few:
        known = [value for key, value in program.resolved.prepared.known.items() if key[0] == "both sides"]
        log["both sides"] += any(known)
    return found


def columns(found: Any) -> dict[Any, torch.Tensor]:
    return {(result, name): rows for result, columns in found.per_run.items() for name, rows in columns.items()}


def same(text: str, log: dict[str, int]) -> bool:
    """Whether single runs are the same, where both draw the same."""
    one, other = (columns(told(text, few, RUNS, 1, log)) for few in (True, False))
    for key, value in one.items():
        size = 1 + other[key].abs().max()
        if not torch.allclose(value, other[key], rtol=ROUNDING, atol=float(ROUNDING * size)):
            log["other scores"] += 1
            return False
    return True


def alike(text: str, log: dict[str, int]) -> str:
    """What is wrong where they do not."""
    apart = told(text, False, MANY, 5, log)
    both = [told(text, True, MANY // SEEDS, 100 + seed, log) for seed in range(SEEDS)]
    for result, found in apart.gradients.items():
        for name, moments in found.items():
            means = torch.stack([part.gradients[result][name].mean for part in both])
            ses = torch.stack([part.gradients[result][name].se for part in both])
            error = float(((ses**2).mean() / SEEDS + moments.se**2).sqrt())
            far = abs(float(means.mean() - moments.mean))
            if far > SLACK * error + ROUNDING:
                return f"{result}, {name}: {float(means.mean())} and {float(moments.mean)}, {far / error:.1f} standard errors apart"
    return ""


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("-n", type=int, default=2000)
    reading.add_argument("--seed", type=int, default=1)
    reading.add_argument("--inside", type=float, default=0.1, help="the share of programs whose branches draw")
    asked = reading.parse_args()
    torch.set_num_threads(1)
    log = {"both sides": 0, "refused": 0, "other scores": 0, "wrong": 0, "programs": 0}
    for number in range(asked.n):
        dice = random.Random(f"{asked.seed} {number}")
        inside = dice.random() < asked.inside
        text = Writer(dice, inside).text()
        log["programs"] += 1
        try:
            wrong = "" if not inside and same(text, log) else alike(text, log)
        except ProbError as problem:
            log["refused"] += 1
            if problem.code not in ("P0403", "P0402"):
                print(problem, text, sep="\n")
            continue
        if wrong:
            log["wrong"] += 1
            print(f"--- {number}: {wrong}\n{text}", flush=True)
    print(log)
    raise SystemExit(bool(log["wrong"]))


if __name__ == "__main__":
    main()
