"""A wide program against lean torch by hand: `python benchmarks/wide.py` (`--write` for `docs/performance.md`).

An epidemic of 100,000 agents over 100 steps (`workloads/wide.prob`), 100 runs by the score with a leave-one-out baseline.  By hand:
what who knows the program writes who knows torch.  An agent is never well and ill at once, so that one uniform does for both draws;
truth values instead of numbers, all in place; of a step only the counts go into the log density; blocks of as many runs as are fastest
(`--block`), of which each is compared with the mean of the others of its block, and the gradient of every run for the standard error.

Each side has a process of its own, which first does the same with few agents (modules are loaded by then), and both take turns: CPU
time in one thread (median), and the most memory that the process had, with torch.  What matters in the end is the last column: the time
for the same standard error, of the derivative that has the larger one relative to the other side's.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

PAGE = HERE.parent / "docs" / "performance.md"
PROGRAM = HERE / "workloads" / "wide.prob"
MARKS = ("<!-- begin:wide -->", "<!-- end:wide -->")
AGENTS, STEPS, RUNS = 100_000, 100, 100
BETA, GAMMA = 0.3, 0.1
SLOWER, LARGEST = 1.5, 4.0  # the marks: times as long, GB
SLACK = 6.0  # standard errors
OURS = {"probrun": "score", "probrun, no credit": "score(credit=false)"}


def epidemic(beta: Tensor, gamma: Tensor, agents: int, steps: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """How many were ever ill in each run `[runs]`, and the log density of what was drawn `[runs]`, for parameters `[runs]`."""
    runs = len(beta)
    ill = (torch.arange(agents) < agents // 100).expand(runs, agents).clone()
    well = ~ill
    uniform, caught, healed = torch.empty(runs, agents), torch.empty_like(ill), torch.empty_like(ill)
    fast, slow = beta.detach(), gamma.detach().unsqueeze(1)
    could_catch, could_heal = (counted(who) for who in (well, ill))
    density = torch.zeros(runs)
    for _ in range(steps):
        chance = -torch.expm1(-fast * could_heal / agents)
        uniform.uniform_(generator=noise)
        torch.lt(uniform, chance.unsqueeze(1), out=caught).logical_and_(well)
        torch.lt(uniform, slow, out=healed).logical_and_(ill)
        well.logical_xor_(caught)
        ill.logical_xor_(healed).logical_or_(caught)
        new, gone = counted(caught), counted(healed)
        rate = beta * could_heal / agents
        log_chance = torch.where(could_heal > 0, torch.log(-torch.expm1(-torch.where(could_heal > 0, rate, 1.0))), 0.0)
        density = density + new * log_chance - (could_catch - new) * rate
        density = density + gone * torch.log(gamma) + (could_heal - gone) * torch.log1p(-gamma)
        could_catch, could_heal = could_catch - new, could_heal + new - gone
    return agents - could_catch, density


def counted(who: Tensor) -> Tensor:
    """How many there are in each run."""
    return who.view(torch.uint8).sum(1, dtype=torch.float32)


def by_hand(agents: int, steps: int, runs: int, block: int, seed: int) -> tuple[list[float], list[float]]:
    """The derivatives in beta and gamma, and their standard errors."""
    noise, rows = torch.Generator().manual_seed(seed), []
    for start in range(0, runs, block):
        here = min(block, runs - start)
        leaves = [torch.full((here,), value).requires_grad_() for value in (BETA, GAMMA)]
        result, density = epidemic(*leaves, agents, steps, noise)
        due = (result - result.mean()) * (here / (here - 1))
        rows.append(torch.stack(torch.autograd.grad(due @ density, leaves), 1).double())
    found = torch.cat(rows)
    return found.mean(0).tolist(), (found.std(0) / math.sqrt(runs)).tolist()


def ours(agents: int, steps: int, runs: int, estimator: str, seed: int) -> tuple[list[float], list[float]]:
    """The same by probrun."""
    import probrun

    text = PROGRAM.read_text(encoding="utf-8").replace("100000", str(agents)).replace("1000", str(agents // 100), 0)
    text = text.replace("range(100)", f"range({steps})").replace("< 1000", f"< {agents // 100}")
    found = probrun.parse(text).grad(samples=runs, seed=seed, estimator=estimator, pilot=False).gradient
    return [float(found[name].mean) for name in ("beta", "gamma")], [float(found[name].se) for name in ("beta", "gamma")]


def one(side: str, block: int, seed: int) -> dict[str, Any]:
    """What one side takes in this process."""
    torch.set_num_threads(1)

    def make(agents: int, steps: int, runs: int) -> tuple[list[float], list[float]]:
        if side == "by hand":
            return by_hand(agents, steps, runs, block, seed)
        return ours(agents, steps, runs, OURS[side], seed)

    make(1000, 2, 40)
    start = time.process_time()
    means, ses = make(AGENTS, STEPS, RUNS)
    spent = time.process_time() - start
    return {"seconds": spent, "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "means": means, "ses": ses}


def measured(side: str, block: int, seed: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", side, "--block", str(block), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(found: dict[str, list[dict[str, Any]]]) -> tuple[str, bool]:
    """The rows, and whether the marks are reached."""
    hand = found["by hand"]
    base = statistics.median(run["seconds"] for run in hand)
    errors = {side: [math.sqrt(statistics.mean(run["ses"][k] ** 2 for run in runs)) for k in (0, 1)] for side, runs in found.items()}
    lines = [
        "|  | CPU, s | from - to | ratio | GB | se of d/dbeta | se of d/dgamma | time for the same error, ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    reached = True
    for side, runs in found.items():
        times, most = [run["seconds"] for run in runs], max(run["GB"] for run in runs)
        ratio = statistics.median(times) / base
        effort = ratio * max((own / other) ** 2 for own, other in zip(errors[side], errors["by hand"], strict=True))
        reached &= side == "by hand" or (ratio <= SLOWER and most <= LARGEST)
        lines.append(
            f"| {side} | {statistics.median(times):.2f} | {min(times):.2f} to {max(times):.2f} | {ratio:.2f} | {most:.2f} | "
            f"{errors[side][0]:.3g} | {errors[side][1]:.3g} | {effort:.2f} |"
        )
    lines.append(f"\nMarks: {SLOWER} times as long as by hand, {LARGEST:.0f} GB: {'reached' if reached else 'not reached'}.")
    return "\n".join(lines), reached


def check(found: dict[str, list[dict[str, Any]]]) -> None:
    """Both sides estimate the same."""
    for runs in found.values():
        for k in (0, 1):
            means = [[statistics.mean(run["means"][k] for run in side) for side in (runs, found["by hand"])]]
            spread = math.sqrt(sum(run["ses"][k] ** 2 / len(side) ** 2 for side in (runs, found["by hand"]) for run in side))
            for own, other in means:
                if abs(own - other) > SLACK * spread:
                    raise AssertionError(f"{own} and {other} differ by {abs(own - other) / spread:.1f} standard errors")


def main() -> int:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--block", type=int, default=10, help="runs of a block by hand")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", choices=["by hand", *OURS], help="measure one side in this process")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.block, options.seed)))
        return 0
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in ("by hand", *OURS)}
    for seed in range(options.seed, options.seed + options.repeats):
        for side, runs in found.items():
            runs.append(measured(side, options.block, seed))
            print(side, {key: value for key, value in runs[-1].items() if key in ("seconds", "GB")}, flush=True)
    check(found)
    text, reached = table(found)
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
