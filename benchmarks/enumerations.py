"""Does anything cost more than the plan it replaces?  `python benchmarks/enumerations.py --write` rewrites the table of
`docs/performance.md`.

Fifteen programs with few, many and far too many outcomes, each differentiated by `expectation` (1,000 runs, a step of an optimiser),
by `grad --no-pilot`, by `grad` with 10,000 and 100,000 runs, and compared (10,000).  The yardstick is the best forced plan: the one
that takes the least time among those whose standard error is at most 1.5 times as large as that of what was chosen (every outcome;
the density, with either baseline; reparameterised where that is right, else the density; and what was chosen itself, a relaxation
for instance, which none of the others comes near).  The yardstick of
`compare` is the same comparison among the estimators that split no lanes.  Each program has a process of its own and one thread;
times are CPU time, medians of some repetitions after the first ones; MB is how far the peak of the process rises over all of it but the
forced plans.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MARKS = ("<!-- begin:enumerations -->", "<!-- end:enumerations -->")
STEP_RUNS, RUNS, MANY_RUNS = 1000, 10_000, 100_000
ALIKE = 1.5  # times the standard error of what was chosen
MARK = 2.0
WARM = 6  # calls before those that are timed, after which small blocks are replayed
PARAMETER = "param theta = 0.3; "


def each(count: int, statement: Callable[[int], str], end: str, start: str = "") -> str:
    """So many statements in a row, and a `return`, in which SUM is the sum of `x0`, `x1`, ..."""
    total = " + ".join(f"x{number}" for number in range(count))
    return PARAMETER + start + "; ".join(statement(number) for number in range(count)) + f"; return {end.replace('SUM', total)}"


def coin(number: int) -> str:
    return f"x{number} ~ Bernoulli(theta)"


def chain(number: int) -> str:
    return f"x{number} ~ Bernoulli({f'0.2 + theta*x{number - 1}' if number else 'theta'})"


def labelled(number: int) -> str:
    return f"z{number} ~ Bernoulli(sigmoid(theta)); x{number} ~ Normal(2*z{number} + theta, 1)"


def kinds(number: int) -> str:
    laws = ("Bernoulli(theta)", "Poisson(theta)", "Categorical([theta, 0.5 - theta, 0.5])", "Binomial(3, theta)", "Geometric(theta)")
    return f"x{number} ~ {laws[number % 5]}"


def branch(number: int) -> str:
    return f"b{number} ~ Bernoulli(theta); if b{number} {{ s = s + {number + 1} }} else {{ s = s - 1 }}"


PROGRAMS = {
    "2 Bernoullis": each(2, coin, "(SUM)^2"),
    "12 Bernoullis": each(12, coin, "(SUM)^2"),
    "18 Bernoullis": each(18, coin, "SUM"),
    "50 Bernoullis": each(50, coin, "SUM"),
    "50 Bernoullis, squared": each(50, coin, "(SUM)^2"),
    "100 Bernoullis, a jump": each(100, coin, "SUM > 30"),
    "32 ifs in a row": each(32, branch, "s", "s = 0; "),
    "chain of 20 bits": each(20, chain, "SUM"),
    "50 draws of five kinds": each(50, kinds, "(SUM)^2"),
    "50 normals, jumps": each(50, lambda number: f"x{number} ~ Normal(theta, 1)", "(SUM > 15)*1 + (x0 > 0)"),
    "mixture, 3 labels": each(3, labelled, "(SUM)^2"),
    "mixture, 8 labels": each(8, labelled, "(SUM)^2"),
    "10 Categoricals": each(10, lambda number: f"x{number} ~ Categorical(softmax([theta, 0, 1]))", "(SUM)^2"),
    "2 Binomials of 1000": each(2, lambda number: f"x{number} ~ Binomial(1000, theta)", "x0*x1"),
    "array of 40 Bernoullis": f"{PARAMETER}b ~ Bernoulli(theta*ones(40)); return sum(b)^2",
}
FORCED: dict[str, dict[str, Any]] = {
    "enumerate": {"estimator": "enumerate"}, "score": {"estimator": "score"},
    "score, regression": {"estimator": "score(baseline=regression)"},
    "rsample, score": {"among": ("rsample", "score")},
}


def resident(field: str) -> float:
    """MB that this process holds (VmRSS), or has held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(field))) / 1024


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Milliseconds, the median, and what comes out."""
    for _ in range(WARM):
        found = work()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        found = work()
        times.append(time.process_time() - started)
    return statistics.median(times) * 1000, found


def spread(result: Any) -> float:
    """The standard error over all entries."""
    return math.sqrt(sum(float((moments.se**2).sum()) for moments in result.gradient.values()))


def forcing(result: Any) -> dict[str, str]:
    """The estimators of a result's sites, as they are forced."""
    found = {}
    for site in result.sites:
        options = ", ".join(f"{name}={value}" for name, value in site.unusual.items() if not isinstance(value, bool))
        found[site.name] = f"{site.estimator}({options})" if options else site.estimator
    return {name: call for name, call in found.items() if call != "sample"}


def measured(name: str, repeats: int, again: bool) -> dict[str, Any]:
    """All figures of a program."""
    import torch

    import probrun
    from probrun.dsl.analysis.outcomes import count_outcomes
    from probrun.runtime.blocks import replayed as replays
    from probrun.runtime.steps import step as steps

    if not again:
        replays.SEEN = steps.SEEN = 10**9  # each call as if there had been none like it
    program = probrun.parse(PROGRAMS[name])
    bits = sum(count_outcomes(program.resolved, {}, {}).whole.values())
    forced = {label: options for label, options in FORCED.items() if label != "enumerate" or bits <= 16}

    def step(**options: Any) -> None:
        theta = torch.tensor(0.3, requires_grad=True)
        program.expectation({"theta": theta}, samples=STEP_RUNS, seed=1, **options).backward()

    def against(took: float, runs: int, chosen: Any, ways: dict[str, float]) -> dict[str, Any]:
        """A time beside the best forced plan's of at most `ALIKE` times the spread."""
        spreads = {label: spread(program.grad(samples=runs, seed=1, pilot=False, **forced[label])) for label in ways if label in forced}
        fair = [label for label in ways if spreads.get(label, 0.0) <= ALIKE * spread(chosen)]
        best = min(fair, key=lambda label: ways[label])
        return {"ms": took, "best": best, "ratio": took / ways[best], "chosen": sorted({site.estimator for site in chosen.sites})}

    probrun.parse("param theta = 0.3; b ~ Bernoulli(theta); x ~ Normal(theta*b, 1); return x > 0").grad()  # what is loaded anyway
    before = resident("VmRSS")
    step()
    for runs, options in ((RUNS, {"pilot": False}), (RUNS, {}), (MANY_RUNS, {})):
        program.grad(samples=runs, seed=1, **options)  # type: ignore[arg-type]
    program.compare(samples=RUNS, seed=1)
    found: dict[str, Any] = {"bits": bits, "MB": resident("VmHWM") - before}
    took, _ = timed(step, repeats)
    by_order = program.grad(samples=STEP_RUNS, seed=1, pilot=False, unbiased=True)
    itself = {"itself": {"estimator": forcing(by_order), "allow_biased": True}}
    ways = {label: timed(lambda: step(**options), repeats)[0] for label, options in (forced | itself).items()}  # noqa: B023
    found["expectation"] = against(took, STEP_RUNS, by_order, ways)
    for key, runs, options in (("no pilot", RUNS, {"pilot": False}), ("grad", RUNS, {}), ("grad, many", MANY_RUNS, {})):
        def grad(runs: int = runs, options: dict[str, Any] = options, **more: Any) -> Any:
            return program.grad(samples=runs, seed=1, **{**options, **more})

        took, chosen = timed(grad, repeats)
        itself = {"itself": {"estimator": forcing(chosen), "allow_biased": True}}
        ways = {
            label: timed(lambda: grad(pilot=False, **other), repeats)[0] for label, other in (forced | itself).items()  # noqa: B023
        }
        found[key] = against(took, runs, chosen, ways)
    took, table = timed(lambda: program.compare(samples=RUNS, seed=1), 1)
    plain, _ = timed(lambda: program.compare(samples=RUNS, seed=1, among=("rsample", "score", "gumbel")), 1)
    found["compare"] = {"ms": took, "ratio": took / plain, "rows": len(table.rows)}
    return found


def cells(found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    line = [f"2^{found['bits']:.0f}" if found["bits"] else "no count"]
    for key in ("expectation", "no pilot", "grad", "grad, many"):
        entry = found[key]
        line += [f"{entry['ms']:.3g}", f"{entry['ratio']:.2f}", entry["best"] if key == "expectation" else ", ".join(entry["chosen"])]
    return [*line, f"{found['compare']['ms']:.3g}", f"{found['compare']['ratio']:.2f}", f"{found['MB']:.0f}"]


def summary(lines: dict[str, dict[str, Any]]) -> str:
    """What stands above the table."""
    said = []
    for key, words in (
        ("expectation", "`expectation`"), ("no pilot", "`grad --no-pilot`"), ("grad", f"`grad`, {RUNS} runs"),
        ("grad, many", f"`grad`, {MANY_RUNS} runs"), ("compare", "`compare`"),
    ):
        ratios = {name: found[key]["ratio"] for name, found in lines.items()}
        over = ", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios.items() if ratio > MARK)
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        said.append(f"- {words}: ratio {mean:.2f} in geometric mean; within {MARK:g} on {sum(r <= MARK for r in ratios.values())} of {len(ratios)}"
                    + (f" (the others: {over})." if over else "."))
    return "\n".join(said)


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of a program's name")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--again", action="store_true", help="the sixth call of a kind and those after it, whose small blocks are replayed")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one, options.repeats, options.again)))
        return
    lines = table(options.only, options.repeats, options.again)
    text = "\n".join([summary(lines), "", *rows(lines)])
    print(summary(lines))
    if options.write:
        warm = table(options.only, options.repeats, True)
        text += f"\n\nThe same for the sixth call of a kind and those after it, whose small blocks are replayed:\n\n{summary(warm)}"
        before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


def rows(lines: dict[str, dict[str, Any]]) -> list[str]:
    """The table of the page."""
    head = ["program", "outcomes"]
    head += [title for key in ("expectation", "no pilot", "grad", "grad, many") for title in (f"{key}, ms", "ratio", "best forced" if key == "expectation" else "chosen")]
    head += ["compare, ms", "ratio", "MB"]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(f"| {name} | " + " | ".join(cells(lines[name])) + " |" for name in lines)]


def table(only: str, repeats: int, again: bool) -> dict[str, dict[str, Any]]:
    """All figures, each program in a process of its own."""
    lines: dict[str, dict[str, Any]] = {}
    for name in PROGRAMS:
        if only in name:
            command = [sys.executable, __file__, "--one", name, "--repeats", str(repeats), *(["--again"] if again else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            lines[name] = json.loads(done.stdout)
            print(f"{name:<24}", *cells(lines[name]), flush=True)
    return lines


if __name__ == "__main__":
    main()
