"""An adversary of element assignment: random programs that write and read arrays, against an oracle that shares no code with probrun.

    python benchmarks/elements.py [--programs 2000] [--seed 0]

A program has vectors, a matrix, copies of one another, loops, branches, calls and early returns, and draws a few bits that
choose places and branches.  The oracle is a small Python interpreter over dual numbers and lists that goes through all outcomes
of the bits.  probrun answers four times: by enumeration (must agree to 1e-9), by score with and without credit and with a baseline,
in float64 (must agree within 6 standard errors).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import math
import random
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402
from tests.test_credit_elements import Dual, sigmoid  # noqa: E402

THETA = 0.4
SITES, DRAWS = 4, 7
LIMIT = 6.0


# ------------------------------------------------------------------------------------------------------ the oracle
class Returned(Exception):
    """A `return`."""


class TooLong(Exception):
    """More draws than there are outcomes to go through."""


class Oracle:
    """Executes a program under one script of outcomes; `weight` is their probability."""

    def __init__(self, script: list[int]):
        self.script = script
        self.used = 0
        self.weight = Dual(1.0)
        self.value: object = None

    def run(self, body: list, scope: dict) -> None:
        for node in body:
            self.statement(node, scope)

    def statement(self, node: tuple, scope: dict) -> None:
        kind = node[0]
        if kind == "set":
            scope[node[1]] = copy.deepcopy(self.value_of(node[2], scope))
        elif kind == "put":
            target = scope[node[1]]
            *path, last = [self.place(index, scope) for index in node[2]]
            for index in path:
                target = target[index]
            target[last] = copy.deepcopy(self.value_of(node[3], scope))
        elif kind == "draw":
            p = self.value_of(node[2], scope)
            if self.used == len(self.script):
                if self.used == DRAWS:
                    raise TooLong
                self.script.append(0)
            bit = self.script[self.used]
            self.used += 1
            self.weight *= p if bit else Dual(1 - p.value, -p.slope)
            scope[node[1]] = Dual(float(bit))
        elif kind == "if":
            self.run(node[2] if self.value_of(node[1], scope).value > 0.5 else node[3], scope)
        elif kind == "for":
            for t in range(node[2], node[3]):
                scope[node[1]] = Dual(float(t))
                self.run(node[4], scope)
        elif kind == "while":
            scope[node[1]] = Dual(0.0)
            while scope[node[1]].value < self.value_of(node[2], scope).value:
                self.run(node[3], scope)
                scope[node[1]] += Dual(1.0)
        elif kind == "return":
            self.value = copy.deepcopy(self.value_of(node[1], scope))
            raise Returned

    def place(self, node: tuple, scope: dict) -> int:
        return round(self.value_of(node, scope).value)

    def value_of(self, node: tuple, scope: dict):
        kind = node[0]
        if kind == "number":
            return Dual(node[1])
        if kind == "name":
            return scope[node[1]]
        if kind == "at":
            found = scope[node[1]]
            for index in node[2]:
                found = found[self.place(index, scope)]
            return found
        if kind == "part":
            return scope[node[1]][node[2] : node[3]]
        if kind == "vector":
            return [self.value_of(item, scope) for item in node[1]]
        if kind == "above":
            return [Dual(float(entry.value > 0.9)) for entry in self.value_of(node[1], scope)]
        if kind == "call":
            inner = dict(zip(node[2], [copy.deepcopy(self.value_of(item, scope)) for item in node[3]], strict=True))
            with contextlib.suppress(Returned):
                self.run(node[4], inner | {"theta": scope["theta"]})
            return self.value
        if kind == "sum":
            total = Dual(0.0)
            for entry in self.value_of(node[1], scope):
                total += entry
            return total
        a = self.value_of(node[1], scope)
        if kind == "sigmoid":
            return sigmoid(a)
        b = self.value_of(node[2], scope)
        return a + b if kind == "+" else a * b


def exact(body: list) -> tuple[float, float, int]:
    """E[result], its derivative, and the number of ways through the program."""
    total, ways, script = Dual(0.0), 0, []
    while True:
        oracle = Oracle(script)
        with contextlib.suppress(Returned):
            oracle.run(body, {"theta": Dual(THETA, 1.0)})
        total += oracle.weight * oracle.value
        ways += 1
        del script[oracle.used :]
        while script and script[-1] == 1:
            script.pop()
        if not script:
            return total.value, total.slope, ways
        script[-1] = 1


# --------------------------------------------------------------------------------------------------- the programs
class Maker:
    """Makes one random program."""

    def __init__(self, seed: int):
        self.dice = random.Random(seed)
        self.sites = 0
        self.bits = ["b"]
        self.counters: list[str] = []
        self.vectors = ["x", "w"]
        self.function: tuple | None = None

    def index(self, size: int) -> tuple:
        choices: list[tuple] = [("number", float(self.dice.randrange(size)))] * 3
        choices += [("name", counter) for counter in self.counters if size >= 3] * 3
        choices += [("name", bit) for bit in self.bits] * 2
        if size >= 3:
            choices.append(("+", ("name", self.dice.choice(self.bits)), ("name", self.dice.choice(self.bits))))
        return self.dice.choice(choices)

    def element(self) -> tuple:
        if self.dice.random() < 0.3:
            return ("at", "m", [self.index(2), self.index(2)])
        return ("at", self.dice.choice(self.vectors), [self.index(3)])

    def number(self, depth: int = 2) -> tuple:
        roll = self.dice.random()
        if depth and roll < 0.45:
            return (self.dice.choice("++*"), self.number(depth - 1), self.number(depth - 1))
        if roll < 0.75:
            return self.element()
        if roll < 0.8:
            return ("sum", self.vector())
        if roll < 0.84:
            return ("sum", ("at", "m", [self.index(2)]))
        return self.dice.choice([
            ("name", "theta"), ("name", "s"), ("name", self.dice.choice(self.bits)), ("number", self.dice.choice([0.5, 2.0, -1.0])),
        ])

    def vector(self) -> tuple:
        roll = self.dice.random()
        if roll < 0.5:
            return ("name", self.dice.choice(self.vectors))
        if roll < 0.6 and self.function is not None:
            name, names, body = self.function
            return ("call", name, names, [("name", self.dice.choice(self.vectors)), self.number(1)], body)
        if roll < 0.75:
            return ("vector", [self.number(1) for _ in range(3)])
        if roll < 0.85:
            return ("above", ("name", self.dice.choice(self.vectors)))
        return ("name", self.dice.choice(self.vectors))

    def draw(self) -> tuple:
        self.sites += 1
        name = f"b{self.sites}"
        p = self.dice.choice([
            ("name", "theta"), ("number", 0.3), ("sigmoid", self.element()), ("sigmoid", ("+", ("name", "theta"), ("name", "s"))),
        ])
        self.bits.append(name)
        return ("draw", name, p)

    def block(self, size: int, depth: int) -> list:
        known = len(self.bits)
        body = [self.statement(depth) for _ in range(size)]
        del self.bits[known:]  # what a branch draws is not known after it
        return body

    def statement(self, depth: int) -> tuple:
        roll = self.dice.random()
        if roll < 0.1 and self.sites < SITES:
            return self.draw()
        if depth and roll < 0.3:
            condition = self.dice.choice([("name", bit) for bit in self.bits])
            return ("if", condition, self.block(2, depth - 1), self.block(self.dice.choice([0, 1, 2]), depth - 1))
        if depth and roll < 0.42 and len(self.counters) < 2:
            counter = f"t{len(self.counters)}"
            begin = self.dice.choice([0, 1])
            self.counters.append(counter)
            body = self.block(self.dice.choice([1, 2, 3]), depth - 1)
            self.counters.pop()
            if self.dice.random() < 0.3:
                bit = self.dice.choice(self.bits)
                return ("while", counter, ("+", ("number", 1.0), ("name", bit)), body)
            return ("for", counter, begin, 3, body)
        if roll < 0.5:
            return ("set", self.dice.choice(self.vectors), self.vector())
        if roll < 0.57:
            return ("set", "s", self.number())
        if roll < 0.62:
            return ("put", "m", [self.index(2)], ("vector", [self.number(1), self.number(1)]))
        if roll < 0.75:
            return ("put", "m", [self.index(2), self.index(2)], self.number())
        return ("put", self.dice.choice(self.vectors), [self.index(3)], self.number())

    def program(self) -> list:
        if self.dice.random() < 0.5:
            self.bits, self.vectors, kept = [], ["q"], self.vectors
            value: tuple = ("+", ("at", "q", [("number", 0.0)]), ("name", "r"))
            body: list = [("put", "q", [("number", float(self.dice.randrange(3)))], value)]
            if self.dice.random() < 0.7:
                body.append(("if", ("at", "q", [("number", 2.0)]), [("return", ("name", "q"))], []))
            body.append(("put", "q", [("number", 1.0)], ("*", ("name", "r"), ("at", "q", [("number", 1.0)]))))
            body.append(("return", ("name", "q")))
            self.function = ("f", ["q", "r"], body)
            self.bits, self.vectors = ["b"], kept
        start: list = [
            ("set", "x", ("vector", [("name", "theta"), ("number", 1.0), ("number", 0.5)])),
            ("set", "w", self.dice.choice([("name", "x"), ("vector", [("number", 0.0)] * 3), ("above", ("name", "x"))])),
            ("set", "m", ("vector", [("vector", [("name", "theta"), ("number", 1.0)]), ("vector", [("number", 0.0)] * 2)])),
            ("set", "s", ("number", 0.0)),
            ("draw", "b", ("name", "theta")),
        ]
        body = [self.statement(2) for _ in range(self.dice.choice([4, 6, 8]))]
        if self.dice.random() < 0.3:
            body.insert(self.dice.randrange(len(body)), ("if", ("name", "b"), [("return", ("sum", ("name", "x")))], []))
        end = ("+", ("+", ("sum", ("name", "x")), self.element()), ("+", ("sum", ("at", "m", [self.index(2)])), self.number()))
        return [*start, *body, ("return", end)]


def text_of(node: tuple) -> str:
    kind = node[0]
    if kind == "number":
        return f"{node[1]:g}" if node[1] >= 0 else f"({node[1]:g})"
    if kind == "name":
        return str(node[1])
    if kind == "at":
        return f"{node[1]}[{', '.join(text_of(index) for index in node[2])}]"
    if kind == "vector":
        return f"[{', '.join(text_of(item) for item in node[1])}]"
    if kind == "above":
        return f"({text_of(node[1])} > 0.9)"
    if kind == "call":
        return f"{node[1]}({', '.join(text_of(item) for item in node[3])})"
    if kind in ("sum", "sigmoid"):
        return f"{kind}({text_of(node[1])})"
    return f"({text_of(node[1])} {kind} {text_of(node[2])})"


def lines_of(body: list, indent: str = "") -> list[str]:
    found = []
    for node in body:
        kind = node[0]
        inner = indent + "    "
        if kind == "set":
            found.append(f"{indent}{node[1]} = {text_of(node[2])}")
        elif kind == "put":
            found.append(f"{indent}{node[1]}[{', '.join(text_of(index) for index in node[2])}] = {text_of(node[3])}")
        elif kind == "draw":
            found.append(f"{indent}{node[1]} ~ Bernoulli({text_of(node[2])})")
        elif kind == "return":
            found.append(f"{indent}return {text_of(node[1])}")
        elif kind == "if":
            found += [f"{indent}if {text_of(node[1])} > 0.5 {{", *lines_of(node[2], inner)]
            found += [f"{indent}}} else {{", *lines_of(node[3], inner)] if node[3] else []
            found.append(f"{indent}}}")
        elif kind == "for":
            found += [f"{indent}for {node[1]} in range({node[2]}, {node[3]}) {{", *lines_of(node[4], inner), f"{indent}}}"]
        else:
            found += [f"{indent}{node[1]} = 0", f"{indent}while {node[1]} < {text_of(node[2])} {{", *lines_of(node[3], inner)]
            found += [f"{inner}{node[1]} = {node[1]} + 1", f"{indent}}}"]
    return found


def made(seed: int) -> tuple[str, list]:
    """A program as text, and as the oracle reads it."""
    maker = Maker(seed)
    body = maker.program()
    lines = [f"param theta = {THETA}"]
    if maker.function is not None:
        lines += ["fn f(q, r) {", *lines_of(maker.function[2], "    "), "}"]
    return "\n".join([*lines, *lines_of(body)]) + "\n", body


# ------------------------------------------------------------------------------------------------------- comparing
def tried(seed: int, runs: int = 600) -> str | None:
    """What is wrong with the answers of one program; an empty string where nothing is, None where it was not tried."""
    text, body = made(seed)
    try:
        value, slope, _ = exact(body)
    except (TooLong, OverflowError):
        return None
    if not math.isfinite(value) or abs(value) > 1e6 or abs(slope) > 1e6:
        return None
    program = probrun.parse(text)
    found = []
    for kind, options in (
        ("enumerate", {"estimator": "enumerate"}), ("score", {"estimator": "score(baseline=none)"}),
        ("score without credit", {"estimator": "score(baseline=none, credit=false)"}),
        ("score, its mean taken off", {"estimator": "score"}),
    ):
        try:
            answer = program.grad(samples=runs, seed=seed, dtype="float64", pilot=False, **options)
        except probrun.ProbError as problem:
            return f"{kind}: {problem}"
        mean, gradient = answer.value, answer.gradient["theta"]
        for what, own, truth in (("E", mean, value), ("d", gradient, slope)):
            bound = max(1e-9 * (1 + abs(truth)), LIMIT * float(own.se))
            if not abs(float(own.mean) - truth) <= bound:
                found.append(f"{kind}: {what} {float(own.mean):.8g} +- {float(own.se):.2g}, truth {truth:.8g}")
    return "\n".join(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    done = wrong = 0
    for seed in range(given.seed, given.seed + given.programs):
        said = tried(seed)
        done += said is not None
        if said:
            wrong += 1
            print(f"seed {seed}\n{made(seed)[0]}{said}\n", flush=True)
    print(f"{done} programs tried, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
