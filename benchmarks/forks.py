"""What runs that go on as two cost, and what they are worth: `python benchmarks/forks.py` (`--write` for `docs/estimators.md`).

Of each program: the time of a run without derivatives and with `fork` or `jump`, and, where `score` is right, the spread of one run
by both, the ratio of their variances, and how many times longer `score` takes for the same error.  Whole calls without a pilot, in
one thread, CPU time, medians; programs with `jump` are run in float64 both ways.

    python benchmarks/forks.py --fifteen [--runs 300000]

holds fifteen programs, whose derivatives are known, against them: within `FAR` standard errors; the status is 1 where one is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402

PAGE = HERE.parent / "docs" / "estimators.md"
MARKS = ("<!-- begin:forks -->", "<!-- end:forks -->")
SLACK, FAR = 6.0, 5.0  # standard errors


@dataclass(frozen=True)
class Case:
    """A program, how it is differentiated, what is right, and whether `score` gives that too."""

    text: str
    way: str
    right: tuple[float, ...]
    score: bool = True


CASES = {
    "`x < t`": Case("param t = 0.5\nx ~ Normal(0, 1); return x < t", "jump", (0.352065,), False),
    "`2*Bernoulli(3*t) + Bernoulli(t)`": Case("param t = 0.1\nreturn 2*Bernoulli(3*t) + Bernoulli(t)", "fork", (7.0,)),
    "Poisson(exp(t))": Case("param t = 1\nk ~ Poisson(exp(t)); return (k - 3)^2", "fork", (1.186703,)),
    "geometric, a loop": Case(
        "param t = 0.5\nn = 0; b = 0; while b == 0 { b ~ Bernoulli(t); n = n + 1 - b }; return n", "fork", (-4.0,)
    ),
    "walk, 100 steps": Case(
        "param t = 0.5\ns = 0; for i in range(100) { b ~ Bernoulli(sigmoid(t)); s = s + 2*b - 1 }; return s^2", "fork", (2279.249076,)
    ),
    "SIR, 12 agents": Case(
        "param beta = 0.8\nparam gamma = 0.3\nill = arange(12) < 2; well = 1 - ill\nfor t in range(5) {\n"
        "  new ~ Bernoulli((1 - exp(-beta*sum(ill)/12))*ones(12)); healed ~ Bernoulli(gamma*ones(12))\n"
        "  new = new*well; well = well - new; ill = ill + new - ill*healed\n}\nreturn 12 - sum(well)",
        "fork", (6.841750, -6.820287),
    ),
    "200 agents `x < t`": Case("param t = 0.4\nx ~ Normal(t*ones(200), 1); return sum(x < 2*t)", "jump", (200 * 0.368270,), False),
    "renewal, a loop": Case(
        "param t = 1\ns = 0; n = 0; while s < 1 { w ~ Exponential(t); s = s + w; n = n + 1 }; return n", "jump", (1.0,)
    ),
    "(s, S) inventory, 20 periods": Case(
        "param s = 1\nparam S = 3\nx = S; c = 0\nfor i in range(20) {\n  d ~ Exponential(1); x = x - d\n"
        "  c = c + 0.2*max(x, 0) + max(-x, 0)\n  if x < s { c = c + 2 + S - x; x = S }\n}\nreturn c",
        "jump", (4.879889, -3.724823), False,
    ),
    "barrier option, 12 dates": Case(
        "param S0 = 100\nparam B = 90\ns = S0; alive = 1\nfor i in range(12) {\n  z ~ Normal(0, 1)\n"
        "  s = s*exp((0.02 - 0.5*0.3^2)/12 + 0.3*sqrt(1/12)*z)\n  if s < B { alive = 0 }\n}\nreturn exp(-0.02)*alive*max(s - 100, 0)",
        "jump", (0.729131, -0.341574), False,
    ),
}


SIR = CASES["SIR, 12 agents"].text
IN_COUNTS = (
    "param beta = 0.8\nparam gamma = 0.3\nwell = 10; ill = 2\nfor t in range(5) {\n  new ~ Binomial(well, 1 - exp(-beta*ill/12))\n"
    "  healed ~ Binomial(ill, gamma); well = well - new; ill = ill + new - healed\n}\nreturn 12 - well"
)
FIFTEEN: dict[str, tuple[tuple[str, tuple[float, ...]], ...]] = {  # of FORKS.md: programs, and what is right
    "1": (("param t = 0.1\nreturn 2*Bernoulli(3*t) + Bernoulli(t)", (7.0,)),),
    "2": (
        (CASES["Poisson(exp(t))"].text, (1.186703,)), ("param t = 0.3\nk ~ Binomial(10, t); return k^2", (64.0,)),
        ("param t = 0.3\nk ~ NegativeBinomial(3, t); return k^2", (27.113703,)),
    ),
    "3": ((CASES["geometric, a loop"].text, (-4.0,)),),
    "4": ((CASES["walk, 100 steps"].text, (2279.249076,)),),
    "5": ((
        "param a = 0.3\nparam c = -0.2\nk ~ Categorical(softmax([a, c, 2*a, 0])); d ~ Bernoulli(sigmoid(0.3*c)); return k^2 + d",
        (-0.509320, -0.323352),
    ),),
    "6": ((SIR, (6.841750, -6.820287)), (IN_COUNTS, (6.841750, -6.820287))),
    "7": (("param t = 0.3\nb ~ Bernoulli(t); if b { k ~ Poisson(2); y = 3*k } else { d ~ Bernoulli(t); y = d*t }; return y", (6.33,)),),
    "8": (
        ("param t = 0.5\nx ~ Normal(0, 1); return x < t", (0.352065,)),
        ("param t = 0.4\nx ~ Normal(0, 1); return (x < t) + 2*(x < t)", (1.104810,)),
        ("param t = 0.5\nx ~ Normal(t, 1); return x > t", (0.0,)),
        ("param t = 0.5\nx ~ Normal(t, 1); return if x > t then x^2 else 0", (1.297885,)),
    ),
    "9": (
        ("param t = 0.3\nu ~ Uniform(0, 1); return if u < t then 3 else 1", (2.0,)),
        ("param t = 0.3\nu ~ Uniform(0, 1); return if u < t then t else 0", (0.6,)),
        ("param t = 1.5\nx ~ Uniform(0, t); return x > 1", (0.444444,)),
    ),
    "10": (
        ("param t = 0.4\nx ~ Normal(0, 1); return if x < t then 5 else (if x < 2*t then 2*x else x^2)", (2.102942,)),
        ("param t = 0.3\nx ~ Normal(0, 1); return floor(x + t)", (1.0,)),
    ),
    "11": (
        ("param t = 0.8\nm = -100; for i in range(5) { x ~ Normal(0, 1); m = max(m, x) }; return 3*(m > t)", (-1.676680,)),
        ("param t = 0.4\nz ~ Normal(0, 1); b ~ Bernoulli(0.5); x ~ Normal(0, 1); return b*x + z > t", (-0.319652,)),
    ),
    "12": (
        (CASES["renewal, a loop"].text, (1.0,)),
        ("param t = 1.5\ns = 0; n = 0; while s < t and n < 60 { x ~ Normal(0.5, 1); s = s + x; n = n + 1 }; return n", (1.992829,)),
    ),
    "13": ((
        "param p = 0.4\nparam t = 0.3\nn = 0; go = 1\n"
        "while go { b ~ Bernoulli(p); x ~ Normal(0, 1); n = n + 1 + 2*b*(x < t); go = x < t }\nreturn n", (3.234390, 4.702310),
    ),),
    "14": ((CASES["barrier option, 12 dates"].text, (0.729131, -0.341574)),),
    "15": ((CASES["(s, S) inventory, 20 periods"].text, (4.879889, -3.724823)),),
}


def fifteen(runs: int) -> int:
    """The programs of FIFTEEN, each by forks and jumps alone; how many are not right."""
    wrong = 0
    print("| | estimate | right | off, standard errors | seconds |\n|---|---|---|---|---|")
    for number, programs in FIFTEEN.items():
        for text, right in programs:
            begun = time.process_time()
            found = probrun.parse(text).grad(samples=runs, seed=1, among=("rsample", "fork", "jump"))
            taken = time.process_time() - begun
            for moments, value in zip(found.gradient.values(), right, strict=True):
                mean, se = float(moments.mean), float(moments.se)
                off = (mean - value) / (se + 1e-6 * (1 + abs(value)))
                wrong += abs(off) > FAR
                print(f"| {number} | {mean:.6f} ± {se:.2g} | {value:.6f} | {off:.1f} | {taken:.1f} |", flush=True)
    return wrong


@dataclass
class Measured:
    """Microseconds a run, and the standard deviation of one run by parameter."""

    time: float
    spread: tuple[float, ...] = ()


def timed(call: Any, rounds: int) -> float:
    """Seconds of CPU of one call, the median."""
    times = []
    for seed in range(rounds + 1):
        begun = time.process_time()
        call(seed)
        times.append(time.process_time() - begun)
    return statistics.median(times[1:])


def measure(case: Case, way: str, runs: int, rounds: int) -> Measured:
    """A way to go through a program ("": without derivatives)."""
    program = probrun.parse(case.text)

    def call(seed: int, count: int = runs) -> Any:
        if not way:
            return program.run(samples=count, seed=seed, dtype="float64" if case.way == "jump" else "float32")
        return program.grad(samples=count, seed=seed, estimator=way, pilot=False, unbiased=True)

    taken = timed(call, rounds) / runs * 1e6
    if not way:
        return Measured(taken)
    found = call(rounds + 1)
    for moments, right in zip(found.gradient.values(), case.right, strict=True):
        if not abs(float(moments.mean) - right) <= SLACK * float(moments.se) + 1e-4:
            raise SystemExit(f"{moments.mean} +- {moments.se} is not {right}\n{case.text}")
    return Measured(taken, tuple(float(moments.se) * runs**0.5 for moments in found.gradient.values()))


def row(name: str, case: Case, runs: int, rounds: int) -> list[str]:
    """Of the table."""
    plain, ours = (measure(case, way, runs, rounds) for way in ("", case.way))
    cells = [name, case.way, f"{plain.time:.2f}", f"{ours.time:.2f}", f"{ours.time / plain.time:.1f}"]
    cells.append(", ".join(f"{one:.3g}" for one in ours.spread))
    if not case.score:
        return [*cells, "no", "", ""]
    other = measure(case, "score", runs, rounds)
    ratios = [(two / one) ** 2 if one else float("inf") for one, two in zip(ours.spread, other.spread, strict=True)]
    cells.append(", ".join(f"{one:.3g}" for one in other.spread))
    cells.append(", ".join(f"{one:.3g}" for one in ratios))
    return [*cells, ", ".join(f"{one * other.time / ours.time:.2g}" for one in ratios)]


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("--runs", type=int)
    reading.add_argument("--rounds", type=int, default=3)
    reading.add_argument("--only", default="", help="programs whose name has this in it")
    reading.add_argument("--write", action="store_true", help="into docs/estimators.md")
    reading.add_argument("--fifteen", action="store_true", help="programs whose derivatives are known, with 300,000 runs each")
    asked = reading.parse_args()
    torch.set_num_threads(1)
    if asked.fifteen:
        sys.exit(int(fifteen(300_000 if asked.runs is None else asked.runs) > 0))
    runs = 100_000 if asked.runs is None else asked.runs
    rows = [
        "| program | by | plain, us a run | us a run | ratio | sd of a run | by `score` | variance ratio | at equal time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows))
    for name, case in CASES.items():
        if asked.only in name:
            rows.append("| " + " | ".join(row(name, case, runs, asked.rounds)) + " |")
            print(rows[-1], flush=True)
    rows += ["", f"{runs} runs in one thread."]
    if asked.write:
        page = PAGE.read_text()
        begin, end = (page.index(mark) for mark in MARKS)
        PAGE.write_text(page[: begin + len(MARKS[0])] + "\n" + "\n".join(rows) + "\n" + page[end:])


if __name__ == "__main__":
    main()
