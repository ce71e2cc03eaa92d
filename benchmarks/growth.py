"""How time and memory grow with a program: `python benchmarks/growth.py [--write]` (docs/performance.md), `--one NAME SIZE` for one.

Each row is a family of programs at several sizes, each in a process of its own: CPU seconds (the least of several) and the memory
that the process had at most on top of what it had before.  `growth` is, from one size to the next, the ratio of the times over that
of the sizes, the largest of them where the time is above 50 ms: 1 is proportional, above 1.3 needs a reason.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402

PAGE = HERE.parent / "docs" / "performance.md"
MARKS = ("<!-- begin:growth -->", "<!-- end:growth -->")
SEEN = 0.05  # seconds below which what surrounds a call is most of its time
MARK = 1.3
TIMES = 3
Action = Callable[[], object]


def planned(text: str) -> Action:
    return lambda: probrun.parse(text).explain()


def estimated(text: str, runs: int = 1000, **more: object) -> Action:
    return lambda: probrun.parse(text).grad(samples=runs, seed=1, pilot=False, **more)  # type: ignore[arg-type]


def lines(first: str, line: str, last: str, size: int) -> str:
    """A program with a line for every number."""
    return "\n".join([first, *(line.format(i=i, next=i + 1) for i in range(size)), last.format(size=size)])


def chain(size: int) -> Action:
    return planned(lines("param theta = 1\nx0 = theta", "x{next} ~ Normal(x{i}, 1)", "return x{size}", size))


def deciding(size: int) -> Action:
    body = "x{i} ~ Normal(theta, 1)\nif x{i} > s {{ s = s + x{i} }}"
    return planned(lines("param theta = 1\ns = 0", body, "return s", size))


def run_chain(size: int) -> Action:
    return estimated(lines("param theta = 1\nx0 = theta", "x{next} ~ Normal(x{i}, 1)", "return x{size}", size))


def run_scores(size: int) -> Action:
    body = "b{i} ~ Poisson(theta)\ns = s + b{i}*b{i}"
    return estimated(lines("param theta = 1\ns = 0", body, "return s", size), estimator="score")


def rounds(size: int) -> Action:
    return estimated(f"param theta = 0.9\nx = 0\nfor t in range({size}) {{ e ~ Normal(0, 1)\nx = theta*x + e }}\nreturn x")


def score_rounds(size: int) -> Action:
    text = f"param p = 0.4\nx = 0\nfor t in range({size}) {{ b ~ Bernoulli(if x > 0 then p else 1 - p)\nx = x + 2*b - 1 }}\nreturn x"
    return estimated(text, estimator="score")


def elements(size: int) -> Action:
    text = f"param theta = 0.9\nx = zeros({size})\nfor t in range(1, {size}) {{ e ~ Normal(0, 1)\nx[t] = theta*x[t - 1] + e }}\n"
    return estimated(text + "return sum(x)")


def scattered(size: int) -> Action:
    text = f"param theta = 0.9\nN = {size}\nx = zeros(N)\nfor t in range(N) {{ u ~ Uniform(0, N)\nw ~ Uniform(0, N)\ne ~ Normal(0, 1)\n"
    return estimated(text + "x[floor(u)] = theta*x[floor(w)] + e }\nreturn sum(x)")


def ifs(size: int) -> Action:
    body = "b{i} ~ Bernoulli(p)\nif b{i} {{ e{i} ~ Normal(p, 1)\ns = s + e{i} }} else {{ s = s - p }}"
    return estimated(lines("param p = 0.3\ns = 0", body, "return s", size), estimator="score")


def parameters(size: int) -> Action:
    return estimated(f"param w[{size}] = 0.5\nz ~ Normal(w, 1)\nreturn sum(z*z)/{size}", 100)


def rows(size: int) -> Action:
    program = probrun.parse("param m = 0.1\nparam s = 1\ndata y[n]\nz ~ Normal(m, s)\nreturn sum(logpdf(Normal(z, 1), y))/n")
    values = torch.linspace(-2, 2, size)
    return lambda: program.grad(samples=1000, seed=1, pilot=False, data={"y": values})


def rows_one_by_one(size: int) -> Action:
    text = "param m = 0.1\ndata y[n]\nz ~ Normal(m, 1)\ntotal = 0\nfor i in range(n) { total = total + logpdf(Normal(z, 1), y[i]) }\nreturn total/n"
    program, values = probrun.parse(text), torch.linspace(-2, 2, size)
    return lambda: program.grad(samples=1000, seed=1, pilot=False, data={"y": values})


def geometric(mean: int) -> Action:
    text = f"param p = {1 / mean}\nn = 0\ng = 1\nwhile g {{\nb ~ Bernoulli(p)\ng = not b\nn = n + 1\n}}\nreturn n"
    return estimated(text, estimator="score")


def calls(depth: int) -> Action:
    text = "param theta = 1\nfn f(n) {\nif n < 1 { return theta }\ne ~ Normal(theta, 1)\nreturn f(n - 1) + e\n}\n"
    return estimated(text + f"return f({depth})")


def twice(depth: int) -> Action:
    text = "param theta = 1\nfn f(n) {\nif n < 2 { return theta }\nreturn f(n - 1) + f(n - 2)\n}\n"
    return estimated(text + f"return f({depth})")


FAMILIES: dict[str, tuple[Callable[[int], Action], tuple[int, ...]]] = {
    "plan of a chain of sites": (chain, (10, 100, 1000, 3000)),
    "plan of sites that decide": (deciding, (10, 100, 1000, 3000)),
    "sites in a chain": (run_chain, (10, 100, 1000, 3000)),
    "score sites beside each other": (run_scores, (10, 100, 1000, 3000)),
    "rounds of a loop": (rounds, (100, 1000, 10_000)),
    "rounds with a score": (score_rounds, (100, 300, 1000)),
    "rounds of `x[t] = ...`": (elements, (100, 1000, 10_000)),
    "rounds of `x[k] = ...`, k random": (scattered, (100, 300, 1000)),
    "`if`s in a row": (ifs, (2, 8, 32, 64)),
    "parameters": (parameters, (1, 100, 10_000, 100_000)),
    "rows of data in an array": (rows, (100, 1000, 10_000)),
    "rows of data one by one": (rows_one_by_one, (100, 1000, 10_000)),
    "a `while`, by its mean length": (geometric, (10, 100, 1000)),
    "levels of recursion": (calls, (10, 100, 1000, 3000)),
    "levels of f(n - 1) + f(n - 2)": (twice, (30, 100, 300, 1000)),
}


def measured(name: str, size: int) -> tuple[float, float]:
    """Seconds of CPU, and MB on top of what was there."""
    family, _ = FAMILIES[name]
    torch.set_num_threads(1)
    family(3)()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = []
    for _ in range(TIMES):
        action = family(size)
        started = time.process_time()
        action()
        found.append(time.process_time() - started)
        if sum(found) > 20:
            break
    return min(found), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def apart(name: str, size: int) -> tuple[float, float]:
    """The same in a process of its own."""
    made = subprocess.run([sys.executable, __file__, "--one", name, str(size)], capture_output=True, text=True, check=True)
    spent, memory = made.stdout.split()
    return float(spent), float(memory)


def row(name: str) -> str:
    """A line of the table."""
    _, sizes = FAMILIES[name]
    found = [apart(name, size) for size in sizes]
    growth = [
        later[0] / before[0] / (larger / smaller)
        for smaller, larger, before, later in zip(sizes, sizes[1:], found, found[1:], strict=False) if before[0] > SEEN
    ]
    cells = [f"{size}: {spent * 1000:.0f} ms, {memory:.0f} MB" for size, (spent, memory) in zip(sizes, found, strict=True)]
    return f"| {name} | {' · '.join(cells)} | {f'{max(growth):.2f}' if growth else ''} |"


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("--one", nargs=2, metavar=("NAME", "SIZE"))
    reading.add_argument("--write", action="store_true", help="into docs/performance.md")
    wish = reading.parse_args()
    if wish.one:
        print(*measured(wish.one[0], int(wish.one[1])))
        return
    table = ["| what grows | size: time, memory | growth |", "|---|---|---|"]
    for name in FAMILIES:
        table.append(row(name))
        print(table[-1], flush=True)
    if wish.write:
        page = PAGE.read_text()
        begin, end = (page.index(mark) for mark in MARKS)
        PAGE.write_text(page[: begin + len(MARKS[0])] + "\n" + "\n".join(table) + "\n" + page[end:])


if __name__ == "__main__":
    main()
