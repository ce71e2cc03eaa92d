"""Draws with few outcomes beside continuous ones: what is summed out inside each run, and what that does to the spread.

`python benchmarks/mixed.py --write` rewrites the table of `docs/exact.md`.  Ten programs, each differentiated as `grad` chooses, and
with no outcomes enumerated: reparameterised where that is right, else by the score; by order, and as measured (the better one counts).
The ratio is that of the variances of one run, summed over all entries of the gradient (mean over five seeds); both must agree.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import probrun  # noqa: E402

PAGE = Path(__file__).resolve().parent.parent / "docs" / "exact.md"
MARKS = ("<!-- begin:mixed -->", "<!-- end:mixed -->")
RUNS, SEEDS, FAR = 10_000, range(1, 6), 6.0

PROGRAMS = {
    "a coin chooses the mean": "param theta = 0.4\nb ~ Bernoulli(sigmoid(theta)); z ~ Normal(theta + 2*b, 1)\nreturn z^2",
    "a noisy coin": "param theta = 0.4\nz ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(z))\nreturn b*(z + 2)",
    "three labels": "param theta = 0.2\nk ~ Categorical(softmax([theta, 0, -theta])); z ~ Normal(k, 1)\nreturn (z - theta)^2",
    "a random rate, 20 rounds":
        "param theta = 0.1\nz ~ Normal(theta, 0.5); s = 0\nfor t in range(20) { s = s + Bernoulli(sigmoid(z)) }\nreturn s^2",
    "a chain driven by noise":
        "param theta = 0.3\ns = 0; total = 0\n"
        "for t in range(15) { z ~ Normal(theta, 1); s ~ Bernoulli(if s then sigmoid(z) else 0.3); total = total + s }\nreturn total",
    "rewards that are drawn":
        "param p = 0.6\ns = 0; total = 0\n"
        "for t in range(15) { s ~ Bernoulli(if s then p else 0.3); r ~ Normal(s*p, 1); total = total + r*s }\nreturn total",
    "a switch of volatility":
        "param a = 0.3\nlog = 0; high = 0\n"
        "for t in range(10) { high ~ Bernoulli(if high then 0.8 else a); e ~ Normal(0, 1); log = log + (0.1 + 0.3*high)*e }\nreturn exp(log)",
    "a queue with random service":
        "param rate = 0.5\nq = 0; total = 0\nspeed ~ Gamma(4, 8)\n"
        "for t in range(12) { if Bernoulli(rate) and q < 5 { q = q + 1 }\n"
        "  if q > 0 { if Bernoulli(exp(-speed)) { q = q - 1 } }; total = total + q }\nreturn total",
    "a jump of a sum": "param theta = 0.4\nb ~ Binomial(4, sigmoid(theta)); z ~ Normal(theta, 1)\nreturn z + b > 2",
    "a count and its cost": "param l = 1.5\nn ~ Binomial(6, l/6); c ~ Exponential(1/l)\nreturn max(n - c, 0)*c",
}
NOTHING_ENUMERATED: list[dict[str, Any]] = [{"among": ("rsample", "score"), "pilot": pilot} for pilot in (False, True)]


def variance(result: Any) -> float:
    """Of one run, summed over the gradient."""
    return sum(float((moments.sd**2).sum()) for moments in result.gradient.values())


def compared(text: str) -> tuple[str, float, float]:
    """What is chosen, the ratio of the variances, and the ratio of the times."""
    program = probrun.parse(text)
    ratios, times, chosen = [], [], ""
    for seed in SEEDS:
        began = time.process_time()
        ours = program.grad(samples=RUNS, seed=seed)
        between = time.process_time()
        others = [program.grad(samples=RUNS, seed=seed, **options) for options in NOTHING_ENUMERATED]
        times.append((between - began) / ((time.process_time() - between) / len(others)))
        chosen = ", ".join(f"{site.name}: {site.estimator}" for site in ours.sites)
        ratios.append(variance(ours) / min(map(variance, others)))
        for name, moments in ours.gradient.items():
            for other in others:
                theirs = other.gradient[name]
                apart = abs(float(moments.mean) - float(theirs.mean))
                assert apart <= FAR * (float(moments.se) ** 2 + float(theirs.se) ** 2) ** 0.5, (text, name, apart)
    return chosen, statistics.fmean(ratios), statistics.median(times)


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into docs/exact.md")
    options = parser.parse_args()
    lines = ["| program | chosen | variance, of that without | time |", "|---|---|---|---|"]
    for name, text in PROGRAMS.items():
        chosen, ratio, took = compared(text)
        lines.append(f"| {name} | {chosen} | {ratio:.2g} | {took:.2g} |")
        print(lines[-1], flush=True)
    if options.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n" + "\n".join(lines) + f"\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
