"""probrun against the same three programs written by hand in torch, estimator for estimator, at a million runs.

The yardstick is `../shared/bench/handwritten_torch.py` beside this repository; without it there is nothing to compare with.
Both sides take turns in one process, so that the ratio does not depend on what else the machine does; the table shows
medians.

    python benchmarks/seed_programs.py [--samples 1000000] [--repeats 7]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import probrun

YARDSTICK = Path(__file__).resolve().parent.parent.parent / "shared" / "bench"


@dataclass(frozen=True)
class Workload:
    """A program, its options, and the yardstick's name and estimator for it."""

    name: str
    what: str
    source: str
    options: dict[str, Any]
    estimator: str
    exact: float


WORKLOADS = (
    Workload(
        "W1", "fixed noise", "param theta = 2; z ~ Normal(1, 2); y = theta^2 * (z + 4); return y", {}, "pathwise", 20,
    ),
    Workload(
        "W2", "moving normal", "param theta = 2; z ~ Normal(theta, 2); y = theta^2 * (z + 4); return y", {}, "pathwise", 28,
    ),
    Workload(
        "W3", "two coins", "param theta = 0.1; x = 2*Bernoulli(3*theta) + Bernoulli(theta); return x",
        {"among": "score"}, "score_loo", 7,
    ),
)


def seconds(function: Any) -> tuple[float, Any]:
    """Wall time of one call, and what it gave."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(workload: Workload, yardstick: Any, samples: int, repeats: int) -> tuple[float, float, Any]:
    """Median seconds of probrun and of the yardstick, taking turns; and probrun's last result."""
    program = probrun.parse(workload.source)
    ours, theirs = [], []
    for seed in range(repeats + 1):
        ours.append(seconds(lambda: program.grad(samples=samples, seed=seed, **workload.options)))  # noqa: B023
        theirs.append(seconds(lambda: yardstick.run(workload.name, samples, seed, workload.estimator)))  # noqa: B023
    times = [statistics.median(time for time, _ in side[1:]) for side in (ours, theirs)]  # the first round warms up
    return times[0], times[1], ours[-1][1]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if not (YARDSTICK / "handwritten_torch.py").is_file():
        print("no yardstick beside the repository (../shared/bench/handwritten_torch.py): nothing to compare with")
        return 0
    sys.path.insert(0, str(YARDSTICK))
    import handwritten_torch as yardstick

    print(f"{options.samples} runs, median of {options.repeats}, float32\n")
    print(f"{'':<4}{'':<15}{'estimator':<12}{'probrun':>10}{'by hand':>10}{'ratio':>8}   d/dtheta")
    for workload in WORKLOADS:
        ours, theirs, result = measure(workload, yardstick, options.samples, options.repeats)
        gradient = result.gradient["theta"]
        print(
            f"{workload.name:<4}{workload.what:<15}{workload.estimator:<12}{1e3 * ours:>7.1f} ms{1e3 * theirs:>7.1f} ms"
            f"{ours / theirs:>8.2f}   {float(gradient.mean):.4f} +- {float(gradient.se):.4f} (exact {workload.exact:g})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
