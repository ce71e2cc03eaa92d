"""Attacks the search for jumps in the text: random programs, in which every jump that a scan finds must be a root of an atom.

A run of a program (in plain Python, `atoms_runs.py`) is repeated with one of its draws moved over a fine grid, everything else
held; where the result jumps, on one side of the jump some draw of the run must stand at a root of one of its atoms.

    python benchmarks/atoms.py --programs 2000
"""

from __future__ import annotations

import argparse
import collections
import math
import random
import re
import time
from dataclasses import dataclass

from atoms_runs import Met, Noise, Run, Stuck

import probrun
from probrun.dsl.jumps.atoms import Unfound
from probrun.dsl.jumps.backward import find_atoms

GRID, HALVINGS = 60, 44
STEP = 1e-7  # what is less is no jump

# `$a` is a name of its own; <x> a continuous number that is there, <r> a real expression, <c> a condition, <d> a continuous law,
# <p> a chance.  TOTAL is what is returned.
IDIOMS = [
    "$x ~ <d>; KEEP $x", "$x ~ <d>; KEEP $x", "$x ~ <d>; if <c> { TOTAL = TOTAL + <r> }",
    "if <c> { TOTAL = TOTAL + 1 } else { if <c> { TOTAL = TOTAL + <r> } }",
    "$y = if <c> then <x> else <r>; KEEP $y", "$y = max(<x>, <r>); KEEP $y", "$y = min(<r>, <x>) - <r>; KEEP $y",
    "$y = abs(<x> - <r>); KEEP $y", "$y = relu(<x>)*<r>; KEEP $y", "$y = clamp(<x>, -1, theta); KEEP $y",
    "$b ~ Bernoulli(<p>); $y = $b*<x> + <r>; KEEP $y", "$b ~ Bernoulli(<p>); if $b { $x ~ <d>; if $x > <r> { TOTAL = TOTAL + 1 } }",
    "$k ~ Categorical([1, theta, 2]); $y = <x> + $k*theta; KEEP $y", "TOTAL = TOTAL + floor(<x> + theta)",
    "TOTAL = TOTAL + ceil(2*<x> - theta)", "TOTAL = TOTAL + round(<x>*2 + theta)", "TOTAL = TOTAL + sign(<x> - <r>)*<r>",
    "TOTAL = TOTAL + (<x> + theta) % 1.5", "TOTAL = TOTAL + (<x> < <r>)*<r>", "$g = <x> < <r>; if $g or <c> { TOTAL = TOTAL + 2 }",
    "$g = <c>; TOTAL = TOTAL + where($g, 2, theta)", "$y = exp(<x>); KEEP $y", "$y = (<x> - theta)^2; KEEP $y",
    "$s = 0; for $i in range(3) { $x ~ <d>; $s = $s + $x; if $s > <r> { TOTAL = TOTAL + 1 } }; KEEP $s",
    "$m = -5; for $i in range(3) { $x ~ <d>; if $x > $m { $m = $x } }; KEEP $m",
    "$m = 0; for $i in range(3) { $x ~ <d>; $m = max(0.5*$m, $x - theta) }; TOTAL = TOTAL + ($m > phi)",
    "$s = 0; $n = 0; while $s < 1 + theta and $n < 5 { $x ~ Exponential(1 + theta); $s = $s + $x; $n = $n + 1 }; TOTAL = TOTAL + $n",
    "$go = 1; $n = 0; while $go { $x ~ <d>; $b ~ Bernoulli(<p>); $n = $n + 1 + $b*($x < theta); $go = ($x < theta) and $n < 6 }; TOTAL = TOTAL + $n",
    "$s = 2; for $i in range(4) { $x ~ Exponential(1); $s = $s - $x; if $s < theta { $s = 2 + phi } }; TOTAL = TOTAL + $s",
    "$v = zeros(3); for $i in range(3) { $v[$i] ~ <d>; if $v[$i] > theta { TOTAL = TOTAL + 1 } }",
    "$v = zeros(3); $v[0] ~ <d>; $v[1] ~ <d>; if $v[0] < $v[1] + theta { TOTAL = TOTAL + $v[2] + 1 }",
    "$v = zeros(2); $v[0] ~ <d>; $v[1] ~ Bernoulli(<p>); if $v[0] > theta*$v[1] { TOTAL = TOTAL + 1 }",
    "$v = zeros(3); for $i in range(3) { $v[$i] ~ <d> }; for $e in $v { if $e > theta { TOTAL = TOTAL + 1 } }",
    "$v = zeros(3); for $i in range(2) { $v[$i] ~ <d>; $v[$i + 1] = $v[$i] + theta }; TOTAL = TOTAL + ($v[2] > $v[1])",
    "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + sum($v > <r>)", "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + sum(where($v < phi, $v, 0))",
    "$v ~ Normal([theta, 0, 1], 1); for $e in $v { TOTAL = TOTAL + ($e < phi) }",
    "$v ~ Normal([theta, 0, 1], 1); if $v[1] > theta { TOTAL = TOTAL + 1 }", "$v ~ Normal([theta, 0, 1], 1); if sum($v) > theta { TOTAL = TOTAL + 1 }",
    "$b ~ Bernoulli([0.5, 0.3, 0.2]); if <x> + sum($b) > theta { TOTAL = TOTAL + 1 }", "$b ~ Bernoulli([0.5, 0.3]); if <x> > theta*$b[1] { TOTAL = TOTAL + 1 }",
    "$b ~ Bernoulli(<p>); $x ~ Exponential(1); if $b*log($x) + <x> > theta { TOTAL = TOTAL + 1 }",
    "$b ~ Bernoulli(<p>); $x ~ Uniform(0, theta); if <x> > $b/$x { TOTAL = TOTAL + 1 }", "$x ~ <d>; TOTAL = TOTAL + ($x > 0.1)*(<x> < $x)",
    "TOTAL = TOTAL + (<x> + exp(<x>) > <r>)", "$y = <x>; TOTAL = TOTAL + ($y + tanh($y)*2 - theta > <r>)", "TOTAL = TOTAL + tanh(<x>) % 1",
    "$y = tanh(<x> - theta); KEEP $y", "TOTAL = TOTAL + floor(exp(<x>) + theta)", "$y = <x>*<r>; TOTAL = TOTAL + ($y + exp($y) > theta)",
    "$v ~ Normal([theta, 0, 1], 1); KEEP sum($v)", "$v ~ Normal([theta, 0, 1], 1); KEEP dot([1, -2, theta], $v)",
    "$v ~ Normal([theta, 0, 1], 1); $y = mean($v); TOTAL = TOTAL + floor($y + theta)", "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + (sum($v > 0) > <x>)",
    "$v ~ Normal([theta, 0, 1], 1); $y = sum($v*<x>); TOTAL = TOTAL + ($y > theta)", "$v ~ Normal([theta, 0, 1], 1); KEEP max($v)",
    "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + (sum(relu($v)) > <x>)", "TOTAL = TOTAL + (<x>/(<x> + theta) > phi)", "TOTAL = TOTAL + (theta/<x> > phi)",
    "$k ~ Categorical([1, theta, 2]); $v = [<x>, theta, <x>]; TOTAL = TOTAL + ($v[$k] > phi)", "$y = <x> - tanh(<x>); TOTAL = TOTAL + ($y > 0.2)",
    "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + (sort($v)[1] > <r>)", "$v ~ Normal([theta, 0, 1], 1); $y = quantile($v, 0.3); KEEP $y",
    "$v ~ Normal([theta, 0, 1], 1); KEEP std($v)", "$v ~ Normal([theta, 0, 1, 0], 1); KEEP logsumexp($v)", "$v ~ Normal([theta, 0, 1], 1); KEEP prod($v)",
    "$v ~ Normal([theta, 0, 1], 1); $y = max($v) - min($v); TOTAL = TOTAL + ($y > 1 + <r>)", "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + ($v[0]*$v[1] > <r>)",
    "$v ~ Normal([theta, 0, 1, 0], 1); TOTAL = TOTAL + (mean($v[0:2]) - max($v[2:4]) > <r>)", "$v ~ Normal([theta, 0, 1], 1); TOTAL = TOTAL + argmax($v)*<r>",
    "$v ~ Normal([theta, 0, 1], 1); $y = sum(relu($v - <x>)); KEEP $y", "$v ~ Normal([theta, 0, 1], 1); KEEP sum($v^2)", "$y = <x> - tanh(<x>); KEEP $y",
    "$v = zeros(3); for $i in range(3) { $v[$i] ~ <d> }; TOTAL = TOTAL + (sort($v)[1] > <r>)", "$v = [<x>, theta, <x>]; $y = var($v); KEEP $y", "$y = noisy(<x>); KEEP $y",
    "$v = zeros(3); for $i in range(3) { $v[$i] ~ <d> }; $y = max($v) - min($v); KEEP $y", "$y = logsumexp([<x>, theta, 0]); KEEP $y", "$y = noisy(theta) - noisy(<x>); KEEP $y",
    "$y = chain(<r>, 2); KEEP $y", "if noisy(<x>) > Normal(phi, 1) { TOTAL = TOTAL + 1 }", "TOTAL = TOTAL + first(<r>)", "$y = most(<x>, <r>); KEEP $y",
    "TOTAL = TOTAL + half(<x>)", "TOTAL = TOTAL + step(<x>)", "$y = half(<x>); KEEP $y", "if half(<x>) > theta { TOTAL = TOTAL + 1 }",
    "$x = <x>; $x = $x - <x>; KEEP $x", "$k = 0; while <x> > $k*theta and $k < 3 { $k = $k + 1 }; TOTAL = TOTAL + $k",
    "if <x> > phi { return TOTAL }", "if [<x>, theta][0] > phi { TOTAL = TOTAL + 1 }", "TOTAL = TOTAL + argmax([<x>, <x>, theta])",
    "$v = [<x>, <x>, phi]; if $v[0] > theta { $v[1] = 0 }; KEEP $v[1]", "$v = [0, 1, theta]; $i = (<x> > theta) + (<x> > phi); TOTAL = TOTAL + $v[$i]",
]
FUNCTIONS = {
    "half": "fn half(a) { return a/2 + 1 }", "step": "fn step(a) { if a > 0.3 { return 1 }; return 0 }",
    "noisy": "fn noisy(a) { x ~ Normal(a, 1); if x > phi { return x }; return a }",
    "chain": "fn chain(a, k) { if k < 1 { return a }; x ~ Normal(0, 1); if x > a { return x*theta }; return chain(a + x, k - 1) }",
    "first": "fn first(a) { n = 0; while n < 4 { x ~ Exponential(1); if x > a { return n }; n = n + 1 }; return n }",
    "most": "fn most(a, b) { z = 0; for i in range(2) { x ~ Normal(b, 1); z = max(z, x) }; if z > a { return z - a }; return 0 }",
}
LAWS = ["Normal(0, 1)", "Normal(theta, 1)", "Normal(<x>, 1)", "Uniform(0, 1)", "Uniform(0, theta)", "Exponential(1)", "Normal(phi, theta)"]


class Programs:
    """Random programs."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def program(self) -> str:
        """The text of one."""
        kept: list[str] = ["(theta - phi)"]
        lines = ["TOTAL = 0"]
        for used, idiom in enumerate([IDIOMS[0], *self.random.choices(IDIOMS, k=self.random.randint(1, 4))], 1):
            text = re.sub(r"\$([a-z]+)", lambda m, n=used: f"{m[1]}{n}", idiom)
            text, _, keep = text.partition("KEEP ")
            while "<" in text and (found := re.search(r"<([a-z])>", text)):
                text = text[:found.start()] + self.fill(found[1], kept) + text[found.end():]
            if keep:
                kept.append(keep)
            lines += re.split(r";(?![^{]*\})", text) if "{" not in text else [text]
        if self.random.random() < 0.3:
            lines.append(f"TOTAL = TOTAL + ({kept[-1]})*0.3")
        body = "\n".join(line.strip() for line in ";".join(lines).split("\n") if line.strip())
        head = "".join(f"{text}\n" for name, text in FUNCTIONS.items() if f"{name}(" in body) + "param theta = 0.7\nparam phi = 0.4\n"
        text = head + body.replace("; ", ";").strip(";") + "\nreturn TOTAL\n"
        return text.replace("TOTAL", "total")

    def fill(self, kind: str, kept: list[str]) -> str:
        pick = self.random.choice
        real = ["theta", "phi", "0.3", "2*theta", "theta*phi", "1 - theta", "<x>", "theta*<x>"]
        return {
            "x": lambda: pick(kept[-3:]), "r": lambda: f"({pick(real)})", "d": lambda: pick(LAWS), "p": lambda: pick(["0.5", "theta", "sigmoid(phi)"]),
            "c": lambda: pick(["<x> < <r>", "<x> > <r>", "not (<x> > <r>)", "<x> < <r> and <x> > <r>", "(<x> > <r> or <x> < <r>)"]),
        }[kind]()


@dataclass
class Missed:
    """A jump at which no draw stands at a root."""

    place: tuple[int, int, int]
    noise: float
    before: list[float]
    after: list[float]


def run_at(resolved: object, atoms: dict, seed: int, key: tuple[int, int, int] | None, at: float) -> tuple[list[float], list[Met]]:
    """The results of a run, and its draws."""
    run = Run(resolved, atoms, {}, Noise(seed, key, at))  # type: ignore[arg-type]
    return run.results(), run.met


def parted(one: list[float], other: list[float]) -> bool:
    """Whether results differ by more than rounding."""
    return any(not (a == b or abs(a - b) <= STEP * (1 + abs(a))) for a, b in zip(one, other, strict=True))


def at_root(met: list[Met]) -> bool:
    """Whether some draw stands at a root."""
    return any(abs(root - one.draw) <= 1e-6 * (1 + abs(root)) for one in met for root in one.roots if math.isfinite(root))


def scan(resolved: object, atoms: dict, seed: int, key: tuple[int, int, int]) -> tuple[int, Missed | None]:
    """How many jumps there are when one draw is moved, and one that was missed."""
    points = [(i + 0.5) / GRID for i in range(GRID)]
    found = [run_at(resolved, atoms, seed, key, at)[0] for at in points]
    jumps = 0
    for i in range(GRID - 1):
        low, high, one, other = points[i], points[i + 1], found[i], found[i + 1]
        for _ in range(HALVINGS):
            if not parted(one, other):
                break
            middle = (low + high) / 2
            here = run_at(resolved, atoms, seed, key, middle)[0]
            size = [abs(a - b) for a, b in zip(one, here, strict=True)], [abs(a - b) for a, b in zip(here, other, strict=True)]
            if sum(size[0]) >= sum(size[1]):
                high, other = middle, here
            else:
                low, one = middle, here
        if parted(one, other):
            jumps += 1
            if not any(at_root(run_at(resolved, atoms, seed, key, side)[1]) for side in (low, high)):
                return jumps, Missed(key, low, one, other)
    return jumps, None


def attack(text: str, seed: int, runs: int) -> tuple[str, int, Missed | None]:
    """What became of one program: how it ended, the jumps that were seen, and one that was missed."""
    resolved = probrun.parse(text).resolved
    found = find_atoms(resolved)
    if isinstance(found, Unfound):
        return f"refused: {re.sub('`[^`]*`', '`..`', found.reason)}", 0, None
    atoms = dict(found.at)
    jumps = 0
    for number in range(runs):
        try:
            _, met = run_at(resolved, atoms, seed + number, None, 0.5)
            for key in list(dict.fromkeys(one.key for one in met))[:8]:
                seen, missed = scan(resolved, atoms, seed + number, key)
                jumps += seen
                if missed:
                    return "missed", jumps, missed
        except Stuck as stuck:
            return f"stuck: {stuck}", jumps, None
    return "right", jumps, None


def main() -> None:
    """Attack many programs and say what became of them."""
    options = argparse.ArgumentParser()
    options.add_argument("--programs", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--runs", type=int, default=2)
    options.add_argument("--seconds", type=float, default=1e9)
    chosen = options.parse_args()
    ends: collections.Counter[str] = collections.Counter()
    jumps, begun = 0, time.time()
    for seed in range(chosen.seed, chosen.seed + chosen.programs):
        if time.time() - begun > chosen.seconds:
            break
        text = Programs(seed).program()
        try:
            end, seen, missed = attack(text, seed, chosen.runs)
        except probrun.ProbError as problem:
            end, seen, missed = f"invalid: {problem.code}", 0, None
        ends[end] += 1
        jumps += seen
        if missed:
            print(f"--- seed {seed}: a jump was missed: {missed}\n{text}", flush=True)
    print(f"{sum(ends.values())} programs, {jumps} jumps seen, {time.time() - begun:.0f} s")
    for end, count in ends.most_common():
        print(f"{count:6d}  {end}")


if __name__ == "__main__":
    main()
