"""How often does a heavy tail go unseen, and a light one give an alarm?  `python benchmarks/tails.py` rewrites the second table of
`docs/coverage.md`: laws with a known tail index, many samples of each, and how often the two warnings speak (`P0701`: the tail looks
like one without a variance, `P0702`: the spread rests on few runs).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from probrun.runtime.blocks.spreads import spread_of

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
MARKS = ("<!-- begin:tails -->", "<!-- end:tails -->")
RUNS = (200, 1000, 2000, 10_000)
REPETITIONS = 400
SOURCE = torch.Generator().manual_seed(20)


def uniform(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=SOURCE, dtype=torch.float64).clamp_min(1e-15)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=SOURCE, dtype=torch.float64)


def student(degrees: float) -> Callable[[int], Tensor]:
    def draw(runs: int) -> Tensor:
        half = torch._standard_gamma(torch.full((runs,), degrees / 2, dtype=torch.float64), generator=SOURCE)
        return normal(runs) / (2 * half / degrees).sqrt()

    return draw


def pole(runs: int) -> Tensor:
    x = normal(runs) + 0.3
    return -0.5 * x.sign() * x.abs() ** -1.5


def barrier(runs: int) -> Tensor:
    """A payoff that is log-normal and mostly 0, times the score of a scale."""
    x = normal(runs, 3)
    return (0.2 * x[:, 0]).exp() * (x[:, 1] > 1) * (x[:, 2] ** 2 - 1)


def exponential_score(runs: int) -> Tensor:
    x = -uniform(runs).log()
    return x * x * (1 - x)


# name, tail index (below 2: there is no variance), the draw
LAWS: list[tuple[str, str, Callable[[int], Tensor]]] = [
    ("pole, sign(x) abs(x)^-1.5", "0.67", pole),
    ("Cauchy", "1", lambda n: torch.tan(math.pi * (uniform(n) - 0.5))),
    *((f"Student {degrees:g}", f"{degrees:g}", student(degrees)) for degrees in (1.5, 3.0, 5.0)),
    *((f"Pareto {index:g}", f"{index:g}", lambda n, index=index: uniform(n) ** (-1 / index)) for index in (1.5, 2.0, 2.5, 3.0, 4.0)),
    *((f"log-normal {s:g}", "none", lambda n, s=s: (s * normal(n)).exp()) for s in (0.5, 1.0, 1.5, 2.0, 3.0, 6.0)),
    ("normal", "none", normal),
    ("normal, square", "none", lambda n: normal(n) ** 2),
    ("normal, cube", "none", lambda n: normal(n) ** 3),
    ("normal, fourth power", "none", lambda n: normal(n) ** 4),
    ("exponential", "none", lambda n: -uniform(n).log()),
    ("score of an exponential, x^2 (1 - x)", "none", exponential_score),
    *((f"event of {p:g}, times a normal score", "none", lambda n, p=p: (uniform(n) < p) * (3 + normal(n))) for p in (0.1, 0.01, 0.001)),
    ("barrier, times a score", "none", barrier),
]


def spoken(values: Tensor) -> tuple[bool, bool]:
    """Whether either warning speaks."""
    tail, carriers = spread_of(values)
    return tail.heavy, math.isfinite(carriers)


def main() -> None:
    lines = ["| law of a run's gradient | index | " + " | ".join(f"n = {runs:,}" for runs in RUNS) + " |", "|---|---|" + "---|" * len(RUNS)]
    for name, index, draw in LAWS:
        cells = []
        for runs in RUNS:
            found = [spoken(draw(runs)) for _ in range(REPETITIONS)]
            heavy = sum(one for one, _ in found) / REPETITIONS
            either = sum(one or other for one, other in found) / REPETITIONS
            cells.append(f"{100 * heavy:.0f} / {100 * either:.0f}")
        lines.append(f"| {name} | {index} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
