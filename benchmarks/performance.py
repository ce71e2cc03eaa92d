"""probrun against the same ten programs written by hand in torch: `python benchmarks/performance.py`.

The yardstick is `../shared/bench/handwritten_torch.py` beside this repository; without it there is nothing to compare with.  Both
sides take turns in one process with the same estimator, dtype and number of runs, so that the ratio does not depend on what
else the machine does; every gradient is held against its exact value first.  Times are medians after a warm-up.  The
table of `docs/performance.md` is written anew with `--write`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy  # noqa: E402

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

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def cells(self) -> list[str]:
        spread = f"{min(self.ours) * 1e3:.3g} to {max(self.ours) * 1e3:.3g}"
        return [
            self.workload.name, self.workload.what, self.workload.estimator, f"{self.samples:.0e}".replace("e+0", "e"),
            f"{statistics.median(self.ours) * 1e3:.3g}", spread, f"{statistics.median(self.theirs) * 1e3:.3g}", f"{self.ratio:.2f}",
            f"{self.sd:.3g}",
        ]


HEADERS = ["", "program", "estimator", "runs", "probrun, ms", "from - to", "by hand, ms", "ratio", "sd of a run"]


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call, and what it gave."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(workload: Workload, yardstick: Any, exact: Any, samples: int, repeats: int) -> Line | None:
    """Both sides in turn; None where the yardstick takes too long."""
    program = probrun.load(HERE / "workloads" / f"{workload.name}.prob")

    def ours(seed: int) -> Any:
        return program.grad(workload.parameters, data=workload.data, samples=samples, seed=seed, pilot=False, **workload.options)

    def theirs(seed: int) -> Any:
        return yardstick.run(workload.name, samples, seed, workload.estimator)

    first, _ = seconds(lambda: theirs(0))
    if first > SLOWEST:
        return None
    result = ours(0)
    check(workload, result, exact)
    own, other = [], []
    for seed in range(1, repeats + 1):
        own.append(seconds(lambda: ours(seed))[0])  # noqa: B023
        other.append(seconds(lambda: theirs(seed))[0])  # noqa: B023
    sd = math.sqrt(sum(float((moments.sd**2).sum()) for moments in result.gradient.values()))
    return Line(workload, samples, own, other, sd)


def check(workload: Workload, result: Any, exact: Any) -> None:
    """Refuse to time a wrong answer."""
    found = numpy.concatenate([moments.mean.reshape(-1).numpy() for moments in result.gradient.values()])
    error = numpy.concatenate([moments.se.reshape(-1).numpy() for moments in result.gradient.values()])
    off = numpy.abs(found - numpy.atleast_1d(exact)) / numpy.maximum(error, 1e-4 * numpy.abs(found) + 1e-12)
    if off.max() > TOO_FAR:
        raise AssertionError(f"{workload.name}: the gradient is {off.max():.1f} standard errors off")


def table(lines: list[Line]) -> str:
    """Markdown, with the geometric means of the ratios."""
    rows = [HEADERS, ["---"] * len(HEADERS), *(line.cells() for line in lines)]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    for samples in sorted({line.samples for line in lines}):
        ratios = [line.ratio for line in lines if line.samples == samples]
        mean = math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
        text += f"\n\n{samples} runs: geometric mean of the ratio {mean:.2f} over {len(ratios)} programs, largest {max(ratios):.2f}."
    return text


def main() -> int:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--only", default="", help="names of workloads, with commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if not (YARDSTICK / "handwritten_torch.py").is_file():
        print("no yardstick beside the repository (../shared/bench/handwritten_torch.py): nothing to compare with")
        return 0
    sys.path.insert(0, str(YARDSTICK))
    import common
    import handwritten_torch as yardstick

    lines = []
    for workload in workloads(common):
        if options.only and workload.name not in options.only.split(","):
            continue
        for samples in map(int, options.sizes.split(",")):
            if samples > workload.most:
                continue
            line = measure(workload, yardstick, common.EXACT[workload.name], samples, options.repeats)
            if line is not None:
                lines.append(line)
                print("  ".join(line.cells()), flush=True)
    print("\n" + table(lines).split("|\n\n")[-1])
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{table(lines)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
