"""An adversary of counted outcomes: random programs with arrays of draws of one law, against an oracle that goes through every path.

    python benchmarks/exchangeable.py [--programs 1000] [--seed 0] [--seconds 600] [--smaller]

Arrays are summed, compared and reduced in ways that are symmetric in their elements, and now and then in one that is not: an index, a
store, an alias, a loop over elements, a second array, a function.  Each program is answered as in `merging.py`, and once more without
narrow arrays, where nothing is counted; the oracle (`merging_oracle.py`, with functions of arrays) knows no counts.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402
from benchmarks import merging, merging_oracle  # noqa: E402
from benchmarks.merging import Task, cut, tried  # noqa: E402
from benchmarks.merging_oracle import Dual, Value, each, entries, number, total  # noqa: E402
from probrun.dsl import syntax as s  # noqa: E402
from probrun.dsl.analysis.exchangeable import find_exchangeable  # noqa: E402

merging.WAYS.setdefault("not narrow", ({"estimator": "enumerate", "max_lanes": merging.MOST_LANES}, ("narrow",)))
SIZE = 3  # elements of a vector
LAWS = [  # bits, whether the elements are a matrix, the law
    (3.0, False, "Bernoulli((<p>)*ones(3))"), (3.0, False, "Bernoulli(<p> + zeros(3))"), (3.0, False, "Bernoulli((<p>)*ones(3))"),
    (3.0, False, "Bernoulli([<p>, <p>, <p>])"), (3.0, False, "Bernoulli(theta*[1, 1, 1])"), (3.0, False, "Bernoulli(logits=phi*ones(3))"),
    (3.0, False, "Bernoulli((<p>)*even)"), (3.0, False, "Bernoulli(theta*mixed)"), (3.0, False, "Bernoulli(ones(3)*[<p>, 0.3][<k> % 2])"),
    (4.8, False, "Categorical([theta, <p>, 0.5]*ones(3, 1))"), (4.8, False, "Categorical([[1, theta, 1], [1, theta, 1], [1, theta, 1]])"),
    (4.8, False, "Binomial(2, (<p>)*ones(3))"), (4.0, True, "Bernoulli((<p>)*ones(2, 2))"), (3.0, False, "Bernoulli(where(<k> > 0, theta, 0.3)*ones(3))"),
    (3.0, False, "Bernoulli(ones(3)*(if <k> > 1 then theta else 1 - theta))"), (4.0, True, "Bernoulli(ones(2, 1)*[theta, 0.3])"),
]
SYMMETRIC = [  # one number of an array V
    "sum(V)", "sum(V)", "sum(V)^2", "mean(V)", "max(V)", "min(V)", "any(V > 0)", "all(V > 0)", "sum(V == 1)", "sum(2*V + 1)", "prod(V + 1)",
    "mean((V - mean(V))^2)", "sum(V*<r>)", "sum(V*V)", "sum(V)*max(V)", "sum(where(V > 0, <r>, phi))", "sum(V >= <k>)", "sum(sin(V))", "length(V)*sum(V)",
    "sum(V*even)", "sum(clamp(V, 0, 1))", "sum(not V)", "sum(max(V, <k>))", "max(V)*theta + min(V)", "sum(V^2)", "sum(-V)",
]
OTHERWISE = [  # one number that tells elements of V apart, W another array
    "V[0]", "V[1] - V[0]", "V[<k> % 3]", "sum(V*W)", "sum(V*W)", "max(V + W)", "sum(V*mixed)", "sum(V*V[0])", "max(V - W)", "sum(cumsum(V))", "dot(V, W)", "sum(V[1:])",
    "sum(V == W)", "f1(V)", "sum(f2(V))", "sum(where(V > W, 1, 0))", "sum((V - mean(W))*W)", "sum(sort(V)*mixed)", "sum(V*(W > 0))",
]
VECTORS = [  # a vector made of V and W
    "V", "2*V", "V + 1", "V*<r>", "V*W", "V + W", "if <k> > 1 then V else W", "V*mixed", "cumsum(V)", "f2(V)", "1 - V", "<k>*V", "V*even", "sort(V)",
    "where(V > 0, <r>, phi)", "[V[0], W[1], V[2]]", "V - mean(V)",
]
FUNCTIONS = """fn f1(v) { return sum(v) + v[0]*theta }
fn f2(v) { return v*2 }
fn f3(q) { b ~ Bernoulli(q*ones(3)); c = 2*b; return sum(c)*max(b) }
fn f4(q) { b ~ Bernoulli(q*ones(3)); return b[1]*theta + sum(b) }
fn f5() { return sum(shown)*theta }
fn f6() { return shown[1] + shown[0]*theta }
fn f7(v) { return sum(v) + max(v)*phi }"""
CALLS = [(3.0, "f3(<p>)"), (3.0, "f4(<p>)"), (0.0, "f5()"), (0.0, "f6()"), (0.0, "f7(<v>)"), (3.0, "f7(Bernoulli(theta*ones(3)))"), (3.0, "f3(theta)^2")]


class Arrays:
    """A generator of one program."""

    def __init__(self, seed: int, bits: float = 9.5):
        self.random = random.Random(seed)
        self.left, self.scale, self.made = bits, 1.0, 0
        self.vectors, self.matrices = ["shown"], ["square"]
        self.careful = self.random.random() < 0.5  # hardly anything that tells elements apart

    def pay(self, bits: float) -> bool:
        """Whether there is room for so many bits here."""
        if bits * self.scale > self.left:
            return False
        self.left -= bits * self.scale
        return True

    def filled(self, text: str) -> str:
        """A text with all its marks replaced."""
        choice, array = self.random.choice, self.random.choice([*self.vectors, *self.vectors, *self.matrices])
        other = choice(self.matrices if array in self.matrices else self.vectors)
        named = re.search(r"\bV\b", text) is not None
        text = re.sub(r"\bV\b", array, text)
        text = re.sub(r"\bW\b", other, text)
        if named and array in self.matrices and re.search(r"\[|mixed|cumsum|sort|dot|f1|f2|f7|even|<v>", text):
            return f"sum({array})" if self.careful else f"sum({array}*{other})"
        marks = {
            "<p>": ["theta", "theta", "0.3", "1 - theta", "theta^2", "sigmoid(phi + n)", "0.2 + 0.5*(n > 1)"], "<k>": ["n", "1", "0", "2"],
            "<r>": ["theta", "t", "phi", "n*theta", "2"], "<v>": self.vectors,
        }
        return re.sub(r"<[pkrv]>", lambda found: choice(marks[found[0]]), text)

    def one(self) -> str:
        """A number made of arrays."""
        kind, choice = self.random.random(), self.random.choice
        if kind < 0.16:
            bits, matrix, law = choice(LAWS)
            if self.pay(bits):
                array = choice(self.vectors)
                forms = ["sum(D)", "max(1 + 2*D)", "mean(D)^2", "sum(D == 1)", f"sum(D*{array})", f"dot(D, {array})", "f1(D)", "f7(D)", "sum(D*mixed)"]
                if matrix or self.careful:
                    forms = forms[:4]
                return choice(forms).replace("D", self.filled(law), 1)
        if kind < 0.25:
            bits, text = choice(CALLS)
            if (bits or text == "f5()" or not self.careful) and self.pay(bits):
                return self.filled(text)
        return self.filled(choice(OTHERWISE if kind > (0.98 if self.careful else 0.85) else SYMMETRIC))

    def statement(self, depth: int) -> str:
        kind, choice, now = self.random.random(), self.random.choice, self.scale
        if kind < 0.33:
            return self.draw()
        if kind < 0.43:
            self.made += 1
            text = self.filled(choice(VECTORS[:4] if self.careful else VECTORS).replace("V", choice(self.vectors)).replace("W", choice(self.vectors)))
            name = choice([f"c{self.made}", *([] if self.careful else self.vectors)])
            self.vectors += [] if depth or name in self.vectors else [name]
            return f"{name} = {text}"
        if kind < 0.5 and depth < 2:
            before = [*self.vectors], [*self.matrices]
            text = f"if {self.one()} > {choice('01')} {{ {self.block(depth + 1)} }}"
            self.vectors, self.matrices = [*before[0]], [*before[1]]
            text += f" else {{ {self.block(depth + 1)} }}"
            self.vectors, self.matrices = before
            return text
        if kind < 0.58 and depth < 2:
            before = [*self.vectors], [*self.matrices]
            self.scale = 2 * now
            text = f"for i in range(2) {{ {self.block(depth + 1)} }}"
            self.scale, (self.vectors, self.matrices) = now, before
            return text
        if kind < 0.64 and not self.careful:
            name, (bits, text) = choice(self.vectors), choice([
                (0, "NAME[<k> % 3] = <r>"), (1, "NAME[1] ~ Bernoulli(<p>)"), (0, "for e in NAME { t = t + e*t }"), (3, "NAME ~ Bernoulli(0.2 + 0.3*(NAME > 0))"),
                (0, "n = n + (NAME[0] > 0)"), (0, "NAME = NAME*NAME"), (0, "x = NAME; NAME[0] = 1; t = t + sum(x)"),
            ])
            return self.filled(text.replace("NAME", name)) if self.pay(bits) else "n = n"
        if kind < 0.7 and self.pay(1):
            return f"z ~ Bernoulli(sigmoid({self.one()} - 1)); t = t + z*theta"
        if kind < 0.78:
            return f"n = n + ({self.one()} > {choice('012')})"
        return f"t = t {choice('+-*')} {self.one()}"

    def draw(self) -> str:
        """An array site."""
        bits, matrix, law = self.random.choice(LAWS)
        if not self.pay(bits):
            return f"t = t + {self.one()}"
        self.made += 1
        known = self.matrices if matrix else self.vectors
        name = self.random.choice([*known, f"b{self.made}", f"b{self.made}"]) if known else f"b{self.made}"
        text = f"{name} ~ {self.filled(law)}" if self.random.random() < 0.85 else f"{name} = {self.filled(law)}"
        if name not in known and self.scale == 1.0:
            known.append(name)
        return text

    def block(self, depth: int) -> str:
        return "; ".join(self.statement(depth) for _ in range(self.random.randint(1, 2)))

    def task(self) -> Task:
        """A text, where it is asked, and for what."""
        random_ = self.random
        values = {"theta": random_.choice([0.5, 0.3, 0.62]), "phi": random_.choice([0.0, 1.0, -0.7])}
        lines = ["param theta in (0, 1)", "param phi", FUNCTIONS]
        lines.append("shown = [1, 0, 2]; square = zeros(2, 2); even = 2*theta*ones(3); even = even/(2*theta); mixed = [1, theta, 0.5]; n = 0; t = 1")
        lines += [*(self.draw() for _ in range(random_.choice([0, 1, 1, 2]))), *(self.statement(0) for _ in range(random_.randint(2, 6)))]
        last = random_.choice(["t", "t^2", "t^2", "t + n", f"t*{self.one()}", f"{self.one()} + t", self.one(), self.filled("t + V")])
        of = ("t", "n") if random_.random() < 0.1 else (random_.choice(self.vectors),) if random_.random() < 0.08 else ()
        return Task("\n".join([*lines, f"return {last}"]), values, of)


# ------------------------------------------------------------------------------------------------------- the oracle
def broadcast(operation: object, left: Value, right: Value) -> Value:
    """As `each`, with axes of size 1, and of fewer axes."""
    if isinstance(left, list) and isinstance(right, list):
        deep, flat = depth(left), depth(right)
        if deep != flat:
            return [broadcast(operation, a, right) for a in left] if deep > flat else [broadcast(operation, left, b) for b in right]
        size = max(len(left), len(right))
        left, right = (side * size if len(side) == 1 else side for side in (left, right))
        return [broadcast(operation, a, b) for a, b in zip(left, right, strict=True)]
    return each(operation, left, right)  # type: ignore[arg-type]


def depth(value: Value) -> int:
    return 1 + depth(value[0]) if isinstance(value, list) else 0


def folded(name: str, numbers: list[Dual]) -> Dual:
    """A reduction."""
    if name in ("max", "min"):
        return Dual((max if name == "max" else min)(item.fixed() for item in numbers))
    if name in ("any", "all"):
        return Dual(float((any if name == "any" else all)(item.fixed() != 0 for item in numbers)))
    if name == "prod":
        found = Dual(1.0)
        for item in numbers:
            found = found * item
        return found
    found = total(numbers)
    return found / Dual(float(len(numbers))) if name == "mean" else found


def mapped(function: object, *values: Value) -> Value:
    """Entry by entry."""
    if not any(isinstance(value, list) for value in values):
        return function(*values)  # type: ignore[operator, no-any-return]
    size = max(len(value) for value in values if isinstance(value, list))
    return [mapped(function, *(value[place] if isinstance(value, list) else value for value in values)) for place in range(size)]


class ArrayPath(merging_oracle.Path):
    """A path through a program with functions of arrays."""

    def value(self, node: s.Expression) -> Value:
        match node:
            case s.Arithmetic():
                left = self.value(node.first)
                for term in node.rest:
                    left = broadcast(merging_oracle.OPERATIONS[term.operator], left, self.value(term.operand))
                return left
            case s.Unary(operator="not"):
                return mapped(lambda item: Dual(float(item.fixed() == 0)), self.value(node.operand))
            case s.Index(items=(s.Slice(),)):
                found = self.value(node.target)
                assert isinstance(found, list)
                return found[1:]
            case s.Conditional():
                return merging_oracle.copied(super().value(node))
            case _:
                return super().value(node)

    def call(self, name: str, arguments: list[Value]) -> Value:
        first = arguments[0] if arguments else Dual(0.0)
        if name in ("sum", "mean", "max", "min", "any", "all", "prod"):
            if len(arguments) == 1:
                return folded(name, entries(first))
            return mapped(lambda *items: folded(name, list(items)), *arguments)
        if name in ("zeros", "ones"):
            made: Value = Dual(float(name == "ones"))
            for size in reversed(arguments):
                made = [merging_oracle.copied(made) for _ in range(int(number(size).fixed()))]
            return made
        if name == "where":
            return mapped(lambda c, a, b: a if c.fixed() != 0 else b, *arguments)
        if name == "clamp":
            return mapped(lambda x, low, high: Dual(min(max(x.fixed(), low.fixed()), high.fixed())), *arguments)
        if name == "length":
            assert isinstance(first, list)
            return Dual(float(len(first)))
        if name == "dot":
            return total(entries(broadcast(merging_oracle.OPERATIONS["*"], first, arguments[1])))
        if name == "cumsum":
            return [total(entries(first)[: place + 1]) for place in range(len(entries(first)))]
        if name == "sort":
            return [Dual(value) for value in sorted(item.fixed() for item in entries(first))]
        if name in merging_oracle.SMOOTH:
            return mapped(merging_oracle.SMOOTH[name], first)
        return super().call(name, arguments)

    def draw(self, node: s.Distribution) -> Value:
        arguments = [self.value(argument.value) for argument in node.arguments]
        if node.arguments[0].name == "logits":
            arguments = [mapped(merging_oracle.sigmoid, arguments[0])]
        return self.drawn(node.name, arguments)

    def drawn(self, name: str, arguments: list[Value]) -> Value:
        """One outcome of every element."""
        last = arguments[-1]
        if isinstance(last, list) and depth(last) > (name == "Categorical"):
            return [self.drawn(name, [*arguments[:-1], item]) for item in last]
        return self.choose(name, arguments)


def main() -> int:
    """Try many; the status is 1 where any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--smaller", action="store_true", help="print the smallest part of a program that fails like it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    fates: Counter[str] = Counter()
    began, wrong, asked = time.monotonic(), 0, 0
    for seed in range(given.seed, given.seed + given.programs):
        if time.monotonic() - began > given.seconds:
            break
        now = Arrays(seed).task()
        found = tried(now, kind=ArrayPath)
        asked += 1
        counted = bool(find_exchangeable(probrun.parse(now.text).resolved, now.of))
        fates.update(f"{'counted' if counted else 'apart'}, {way}: {'WRONG' if 'WRONG' in said else said}" for way, said in found.items())
        if bad := {way: said for way, said in found.items() if "WRONG" in said}:
            wrong += 1
            text = cut(now, found, ArrayPath) if given.smaller else now.text
            print(f"-- seed {seed}, {now.parameters}, of {now.of}\n{text}\n{bad}\n", flush=True)
    print(", ".join(f"{fate} {count}" for fate, count in sorted(fates.items())) + f"; {asked} programs, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
