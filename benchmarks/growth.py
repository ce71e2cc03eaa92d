"""How the time of what grows with a program grows with it.

    python benchmarks/growth.py [--times 3]

Each row is a family of programs at three sizes, the CPU seconds (the least of several), and the ratio of the last two divided by
the ratio of the sizes: 1 is linear, and what is far above it grows too fast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import probrun


def planned(text: str) -> Callable[[], object]:
    return lambda: probrun.parse(text).explain()


def estimated(text: str, runs: int) -> Callable[[], object]:
    return lambda: probrun.parse(text).grad(samples=runs, seed=1)


def lines(first: str, line: str, last: str, size: int) -> str:
    """A program with a line for every number."""
    return "\n".join([first, *(line.format(i=i, next=i + 1) for i in range(size)), last.format(size=size)])


def chain(size: int) -> Callable[[], object]:
    return planned(lines("param theta = 1\nx0 = theta", "x{next} ~ Normal(x{i}, 1)", "return x{size}", size))


def beside(size: int) -> Callable[[], object]:
    return planned(lines("param theta = 1\ns = 0", "x{i} ~ Normal(theta, 1)\ns = s + x{i}", "return s", size))


def branches(size: int) -> Callable[[], object]:
    body = "x{i} ~ Normal(theta, 1)\nif x{i} > s {{ s = s + x{i} }}"
    return planned(lines("param theta = 1\ns = 0", body, "return s", size))


def elements(rounds: int) -> Callable[[], object]:
    text = f"param theta = 0.9\nx = zeros({rounds})\nfor t in range(1, {rounds}) {{ e ~ Normal(0, 1)\nx[t] = theta*x[t - 1] + e }}\n"
    return estimated(text + "return sum(x)", 1000)


def scattered(rounds: int) -> Callable[[], object]:
    text = f"param theta = 0.9\nN = {rounds}\nx = zeros(N)\nfor t in range(N) {{ u ~ Uniform(0, N)\nw ~ Uniform(0, N)\ne ~ Normal(0, 1)\n"
    return estimated(text + "x[floor(u)] = theta*x[floor(w)] + e }\nreturn sum(x)", 1000)


def geometric(mean: int) -> Callable[[], object]:
    text = f"param p = {1 / mean}\nn = 0\ng = 1\nwhile g {{\nb ~ Bernoulli(p)\ng = not b\nn = n + 1\n}}\nreturn n"
    return estimated(text, 1000)


def calls(depth: int) -> Callable[[], object]:
    text = "param theta = 1\nfn f(n) {\nif n < 1 { return theta }\nreturn f(n - 1) + theta\n}\n"
    return estimated(text + f"return f({depth})", 1000)


def twice(depth: int) -> Callable[[], object]:
    text = "param theta = 1\nfn f(n) {\nif n < 2 { return theta }\nreturn f(n - 1) + f(n - 2)\n}\n"
    return estimated(text + f"return f({depth})", 1000)


def twice_at_random(mean: int) -> Callable[[], object]:
    text = f"param r = {mean}\nfn f(n) {{\nif n < 2 {{ return n }}\nreturn (f(n - 1) + f(n - 2))/2\n}}\nk ~ Poisson(r)\n"
    return estimated(text + "return f(k)", 1000)


FAMILIES: dict[str, tuple[Callable[[int], Callable[[], object]], tuple[int, ...]]] = {
    "plan a chain of sites": (chain, (300, 1000, 3000)),
    "plan sites side by side": (beside, (300, 1000, 3000)),
    "plan sites that decide": (branches, (300, 1000, 3000)),
    "rounds of x[t] = ...": (elements, (100, 300, 1000)),
    "rounds of x[k] = ..., k random": (scattered, (250, 500, 1000)),
    "a geometric while, by its mean": (geometric, (100, 300, 1000)),
    "levels of calls": (calls, (300, 1000, 3000)),
    "levels of f(n - 1) + f(n - 2)": (twice, (100, 300, 1000)),
    "the same, a random number of them": (twice_at_random, (10, 30, 100)),
}


def seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how often each is measured")
    times = parser.parse_args().times
    for name, (family, sizes) in FAMILIES.items():
        family(10)()
        found = [min(seconds(family(size)) for _ in range(times)) for size in sizes]
        growth = found[-1] / found[-2] / (sizes[-1] / sizes[-2])
        shown = "  ".join(f"{size:>5}: {taken:6.2f} s" for size, taken in zip(sizes, found, strict=True))
        print(f"{name:<36}{shown}   {growth:5.2f}", flush=True)


if __name__ == "__main__":
    main()
