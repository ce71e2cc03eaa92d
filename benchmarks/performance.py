"""probrun against the same ten programs written by hand in torch: `python benchmarks/performance.py`.

The yardstick is `../shared/bench/handwritten_torch.py` beside this repository; without it there is nothing to compare with.  Both
sides take turns in one process with the same estimator, dtype and number of runs, so that the ratio does not depend on what
else the machine does; every gradient is held against its exact value first.  Times are medians after a warm-up.  Programs
without a counterpart there (random loops, recursion, branches in branches) are held against `straight.py`.  The
tables of `docs/performance.md` are written anew with `--write`.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy  # noqa: E402
import straight  # noqa: E402

import probrun  # noqa: E402

YARDSTICK = HERE.parent.parent / "shared" / "bench"
PAGE = HERE.parent / "docs" / "performance.md"
MARKS = ("<!-- begin:table -->", "<!-- end:table -->")
SLOWEST = 20.0  # seconds of the yardstick beyond which a size is left out
TOO_FAR = 6.0  # standard errors at which a gradient is wrong


@dataclass(frozen=True)
class Workload:
    """A program in `workloads/`, the options that fix its estimator, and the yardstick's name for that estimator."""

    name: str
    what: str
    options: dict[str, Any]
    estimator: str
    most: int = 10**6
    parameters: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def workloads(common: Any) -> list[Workload]:
    """The ten."""
    mu, log_sigma, a = common.w9_params()
    x, label, m, log_s = common.w10_params()
    plain = {"estimator": "score(credit=false)"}
    return [
        Workload("W1", "fixed noise", {}, "pathwise"),
        Workload("W2", "parameterised normal", {"estimator": "rsample"}, "pathwise"),
        Workload("W3", "two Bernoullis", plain, "score_loo"),
        Workload("W4", "step", plain, "score_loo"),
        Workload("W5", "Poisson", plain, "score_loo"),
        Workload("W6", "branch", {"estimator": {"b": "score(credit=false)", "x": "rsample"}}, "mixed"),
        Workload("W7", "walk of 100", plain, "score_loo"),
        Workload("W8", "epidemic", plain, "score_loo", 10**4),
        Workload("W9", "1000-dim Gaussian", {"estimator": "rsample"}, "pathwise", 10**5, {"mu": mu, "log_sigma": log_sigma}, {"a": a}),
        Workload("W10", "logistic ELBO", {"estimator": "rsample"}, "pathwise", 10**6, {"m": m, "log_s": log_s}, {"x": x, "label": label}),
    ]


@dataclass(frozen=True)
class Line:
    """One workload at one size."""

    workload: Workload
    samples: int
    ours: list[float]
    theirs: list[float]
    sd: float
    peak: float  # MB above what the process had before

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def cells(self) -> list[str]:
        spread = f"{min(self.ours) * 1e3:.3g} to {max(self.ours) * 1e3:.3g}"
        return [
            self.workload.name, self.workload.what, self.workload.estimator, f"{self.samples:.0e}".replace("e+0", "e"),
            f"{statistics.median(self.ours) * 1e3:.3g}", spread, f"{statistics.median(self.theirs) * 1e3:.3g}", f"{self.ratio:.2f}",
            f"{self.peak:.0f}", f"{self.sd:.3g}",
        ]


HEADERS = ["", "program", "estimator", "runs", "probrun, ms", "from - to", "by hand, ms", "ratio", "MB", "sd of a run"]


Side = Callable[[Workload, int, int], Any]  # workload, runs, seed


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call, and what it gave."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(workload: Workload, theirs: Side, exact: Any, samples: int, repeats: int, peak: Peak) -> Line | None:
    """Both sides in turn; None where the yardstick takes too long."""
    program = probrun.load(HERE / "workloads" / f"{workload.name.partition(',')[0]}.prob")

    def ours(seed: int) -> Any:
        return program.grad(workload.parameters, data=workload.data, samples=samples, seed=seed, pilot=False, **workload.options)

    first, _ = seconds(lambda: theirs(workload, samples, 0))
    if first > SLOWEST:
        return None
    peak.start()
    result = ours(0)
    most = peak.megabytes()
    check(workload, result, exact)
    own, other = [], []
    for seed in range(1, repeats + 1):
        own.append(seconds(lambda: ours(seed))[0])  # noqa: B023
        other.append(seconds(lambda: theirs(workload, samples, seed))[0])  # noqa: B023
    sd = math.sqrt(sum(float((moments.sd**2).sum()) for moments in result.gradient.values()))
    return Line(workload, samples, own, other, sd, most)


class Peak:
    """The most memory of this process since `start`, above what it had then (Linux)."""

    def __init__(self, common: Any):
        self.common = common
        self.before = 0.0

    def start(self) -> None:
        self.common.reset_peak()
        self.before = self.common.peak_mb()

    def megabytes(self) -> float:
        return float(self.common.peak_mb() - self.before)


# ------------------------------------------------------------------------------------------------- what else is asked
def automatic(workload: Workload, yardstick: Any, samples: int) -> list[str]:
    """The program as a user runs it, against the yardstick's own choice: error at equal time."""
    program = probrun.load(HERE / "workloads" / f"{workload.name}.prob")

    def ours(seed: int) -> Any:
        return program.grad(workload.parameters, data=workload.data, samples=samples, seed=seed)

    result = ours(0)
    times = [seconds(lambda: ours(seed))[0] for seed in range(1, 4)]  # noqa: B023
    hand = [seconds(lambda: yardstick.run(workload.name, samples, seed))[0] for seed in range(1, 4)]  # noqa: B023
    other = yardstick.run(workload.name, samples, 0)
    error = math.sqrt(sum(float((moments.se**2).sum()) for moments in result.gradient.values()))
    hand_error = math.sqrt(float((numpy.atleast_1d(other["grad_se"]) ** 2).sum()))
    took, hand_took = statistics.median(times), statistics.median(hand)
    chosen = ", ".join(dict.fromkeys(site.estimator for site in result.sites))
    ratio = "exact" if error == 0 else f"{error * math.sqrt(took) / (hand_error * math.sqrt(hand_took)):.2f}"
    return [workload.name, workload.what, chosen, f"{took * 1e3:.3g}", f"{error:.3g}", other["estimator"],
            f"{hand_took * 1e3:.3g}", f"{hand_error:.3g}", ratio]


AUTOMATIC = ["", "program", "chosen", "ms", "se", "by hand", "ms", "se", "error at equal time, ratio"]


COMPILED = ["", "program", "compiling, s", "compiled, ms", "not compiled, ms", "by hand, ms", "ratio"]


def compiled(workload: Workload, theirs: Side, exact: Any, repeats: int) -> tuple[list[str], float]:
    """The program at its largest size with `compile=True`, as it is, and by hand, in turn; the ratio of the first to the last."""
    program = probrun.load(HERE / "workloads" / f"{workload.name}.prob")

    def ours(seed: int, compile: bool = True) -> Any:
        return program.grad(
            workload.parameters, data=workload.data, samples=workload.most, seed=seed, pilot=False, compile=compile, **workload.options
        )

    result = ours(0)
    check(workload, result, exact)
    if result.compiled.reason is not None:
        raise AssertionError(f"{workload.name} is not compiled: {result.compiled.reason}")
    times: list[list[float]] = [[], [], []]
    for seed in range(repeats + 1):
        for own, side in zip(times, (ours, lambda seed: ours(seed, False), lambda seed: theirs(workload, workload.most, seed)), strict=True):
            own.append(seconds(lambda: side(seed))[0])  # noqa: B023
    medians = [statistics.median(own[1:]) for own in times]
    ratio = medians[0] / medians[2]
    return [
        workload.name, workload.what, f"{result.compiled.seconds:.1f}", *(f"{median * 1e3:.3g}" for median in medians), f"{ratio:.2f}",
    ], ratio


def compiled_table(found: list[Workload], theirs: Side, exact: Callable[[str], Any], repeats: int) -> str:
    """W1 to W7 compiled, and what that says about the mark."""
    rows, ratios = zip(*(compiled(workload, theirs, exact(workload.name), repeats) for workload in found), strict=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return f"{markdown(COMPILED, list(rows))}\n\nRatio {mean:.2f} in geometric mean over {len(rows)} (mark: 0.75), compiling not counted."


def where_for_if(samples: int, repeats: int) -> str:
    """W6 with its random `if` against the same with `where`."""
    branch, straight_line = (probrun.load(HERE / "workloads" / f"{name}.prob") for name in ("W6", "W6where"))
    one, other = [], []
    for seed in range(repeats + 1):
        one.append(seconds(lambda: branch.grad(samples=samples, seed=seed, pilot=False, unbiased=True))[0])  # noqa: B023
        other.append(seconds(lambda: straight_line.grad(samples=samples, seed=seed, pilot=False, unbiased=True))[0])  # noqa: B023
    ratio = statistics.median(one[1:]) / statistics.median(other[1:])
    return f"A random `if` (W6) takes {ratio:.2f} times as long as the same program with `where`, at {samples} runs (mark: 2)."


MEMORY = """
import sys
sys.path.insert(0, sys.argv[1])
import probrun
probrun.load(sys.argv[2]).grad(samples=10**8, seed=1)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) / 1024)
"""


def memory() -> str:
    """Peak memory of a whole process with 10^8 runs."""
    took, done = seconds(lambda: subprocess.run(
        [sys.executable, "-c", MEMORY, str(HERE.parent), str(HERE / "workloads" / "W2.prob")],
        capture_output=True, text=True, check=True,
    ))
    return f"10^8 runs of W2: {float(done.stdout):.0f} MB at most for the whole process, {took:.1f} s (mark: 1000 MB)."


def check(workload: Workload, result: Any, exact: Any) -> None:
    """Refuse to time a wrong answer."""
    found = numpy.concatenate([moments.mean.reshape(-1).cpu().numpy() for moments in result.gradient.values()])
    error = numpy.concatenate([moments.se.reshape(-1).cpu().numpy() for moments in result.gradient.values()])
    off = numpy.abs(found - numpy.atleast_1d(exact)) / numpy.maximum(error, 1e-4 * numpy.abs(found) + 1e-12)
    if off.max() > TOO_FAR:
        raise AssertionError(f"{workload.name}: the gradient is {off.max():.1f} standard errors off")


def markdown(headers: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [headers, ["---"] * len(headers), *rows])


def marks(lines: list[Line]) -> str:
    """What the ten say about the marks."""
    text = []
    for samples in sorted({line.samples for line in lines}):
        here = [line for line in lines if line.samples == samples]
        mean = math.exp(sum(math.log(line.ratio) for line in here) / len(here))
        worst = max(here, key=lambda line: line.ratio)
        said = f"- {samples} runs: ratio {mean:.2f} in geometric mean over {len(here)}, largest {worst.ratio:.2f} ({worst.workload.name})"
        if samples == 1000:
            over = {line.workload.name: (statistics.median(line.ours) - statistics.median(line.theirs)) * 1e3 for line in here}
            beyond = ", ".join(f"{name} {ms:.1f} ms" for name, ms in over.items() if ms > 1.5) or "none"
            said += f"; on top of the yardstick at most {max(over.values()):.1f} ms (mark: 1.5 ms each; beyond it: {beyond})"
        elif samples == 10_000:
            said += " (mark: 2)"
        elif samples == 1_000_000:
            said += " (marks: 1.2 and 1.6)"
        text.append(said + ".")
    return "\n".join(text)


def extra() -> list[Workload]:
    """Programs the yardstick has no counterpart for."""
    score = {"estimator": "score(credit=false)"}
    return [
        Workload("while", "random `while`", score, "one geometric variable"),
        Workload("while, round by round", "random `while`", score, "the same loop"),
        Workload("recursion", "recursion", score, "one geometric variable"),
        Workload("nested", "branches in branches", {"estimator": {"a": "score(credit=false)", "b": "score(credit=false)"}}, "both branches everywhere"),
    ]


def written(text: str, marks: tuple[str, str]) -> None:
    """Put a text between two marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(marks[0])
    PAGE.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{rest.split(marks[1])[1]}", encoding="utf-8")


def main() -> int:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--only", default="", help="names of workloads, with commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    if not (YARDSTICK / "handwritten_torch.py").is_file():
        print("no yardstick beside the repository (../shared/bench/handwritten_torch.py): nothing to compare with")
        return 0
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()  # what compiling takes the first time
    sys.path.insert(0, str(YARDSTICK))
    import common
    import handwritten_torch as yardstick

    sizes = list(map(int, options.sizes.split(",")))
    peak = Peak(common)

    def by_hand(workload: Workload, samples: int, seed: int) -> Any:
        return yardstick.run(workload.name, samples, seed, workload.estimator)

    def straight_line(workload: Workload, samples: int, seed: int) -> Any:
        return straight.run(workload.name, samples, seed)

    def lines_of(found: list[Workload], side: Side, exact: Callable[[str], Any]) -> list[Line]:
        lines = []
        for workload in found:
            for samples in sizes:
                if samples > workload.most or (options.only and workload.name not in options.only.split(",")):
                    continue
                line = measure(workload, side, exact(workload.name), samples, options.repeats, peak)
                if line is not None:
                    lines.append(line)
                    print("  ".join(line.cells()), flush=True)
        return lines

    ten = lines_of(workloads(common), by_hand, lambda name: common.EXACT[name])
    others = lines_of(extra(), straight_line, lambda name: straight.STRAIGHT[name][1])
    seven = [workload for workload in workloads(common)[:7] if not options.only or workload.name in options.only.split(",")]
    fused = compiled_table(seven, by_hand, lambda name: common.EXACT[name], options.repeats) if seven else ""
    if options.only:
        print(fused)
        return 0
    chosen = [automatic(workload, yardstick, min(100_000, workload.most // 10)) for workload in workloads(common)]
    text = "\n\n".join([
        "## The ten", markdown(HEADERS, [line.cells() for line in ten]), marks(ten),
        "## Against straight-line torch", markdown(HEADERS, [line.cells() for line in others]),
        where_for_if(1_000_000, options.repeats), memory(),
        "## Compiled", fused,
        "## The automatic choice, its pilot included", markdown(AUTOMATIC, chosen),
    ])
    print("\n" + text)
    if options.write:
        written(text, MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
