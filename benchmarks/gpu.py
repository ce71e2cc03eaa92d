"""probrun on a GPU against the same ten programs written by hand in torch, on the same GPU: `python benchmarks/gpu.py`.

The hand-written side is that of `performance.py` (`../shared/bench/handwritten_torch.py`, or `--yardstick FOLDER`): its
functions are called as they are, with tensors that are made on the GPU and blocks as large as a GPU likes them, and timed
with the device at rest before and after.  Both sides take turns.  `--write` puts the table into `docs/performance.md`.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy  # noqa: E402
import torch  # noqa: E402
from performance import MARKS, YARDSTICK, check, markdown, workloads, written  # noqa: E402

import probrun  # noqa: E402

SIZES = {"W7": 10**6, "W8": 10**4, "W9": 10**5, "W10": 10**6}  # the most runs; of the others 10^8
NUMBERS = 2**28  # in the widest value of a block of the hand-written side
WIDE = {"W7": 100, "W8": 1000, "W9": 1000, "W10": 200}
GPU_MARKS = tuple(mark.replace("table", "gpu") for mark in MARKS)


class ByHand:
    """The yardstick's functions, on the GPU."""

    def __init__(self, yardstick: Any):
        self.yardstick = yardstick
        for name in ("MU9", "LS9", "A9", "X10", "Y10", "M10", "LS10"):
            setattr(yardstick, name, getattr(yardstick, name).cuda())

    def run(self, name: str, samples: int, seed: int, estimator: str) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Mean gradient and its standard error: the yardstick's own loop, with results brought to the CPU at the end."""
        y = self.yardstick
        torch.set_default_tensor_type(torch.cuda.FloatTensor)  # without the cost of a default device in every call
        try:
            torch.manual_seed(seed)
            block = max(NUMBERS // WIDE.get(name, 1), 1)
            total: list[Any] = []
            squares: list[Any] = []
            for start in range(0, samples, block):
                n = min(block, samples - start)
                leaves, result = self.one(y, name, n, estimator)
                gradients = torch.autograd.grad(result, leaves, grad_outputs=torch.ones_like(result))
                one, two = ([part(g).double() for g in gradients] for part in (lambda g: g.sum(0), lambda g: (g * g).sum(0)))
                total = one if start == 0 else [a + b for a, b in zip(total, one, strict=True)]
                squares = two if start == 0 else [a + b for a, b in zip(squares, two, strict=True)]
            mean, square = (torch.cat([v.reshape(-1) for v in part]) / samples for part in (total, squares))
            error = ((square - mean**2).clamp_(min=0) / (samples - 1)).sqrt()
            return mean.cpu().numpy(), error.cpu().numpy()
        finally:
            torch.set_default_tensor_type(torch.FloatTensor)

    def one(self, y: Any, name: str, n: int, estimator: str) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Leaves with a row per run, and what is differentiated."""
        if name in y.SCALAR:
            leaf = torch.full((n,), y.C.TH[name]).requires_grad_()
            return [leaf], y.SCALAR[name](leaf, n, estimator)
        if name == "W8":
            leaves = [torch.full((n,), y.C.SIR[key]).requires_grad_() for key in ("beta", "gamma")]
            return leaves, y.w8(*leaves, n, estimator)
        parts = (y.MU9, y.LS9) if name == "W9" else (y.M10, y.LS10)
        leaves = [part.expand(n, -1).clone().requires_grad_() for part in parts]
        return leaves, (y.w9 if name == "W9" else y.w10)(*leaves, n, estimator)


def seconds(call: Any) -> tuple[float, Any]:
    """Wall time with the device at rest before and after, and what the call gave."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    result = call()
    torch.cuda.synchronize()
    return time.perf_counter() - start, result


def measure(workload: Any, hand: ByHand, exact: Any, samples: int, repeats: int, compile: bool) -> tuple[list[str], float]:
    """A row of the table, and the ratio."""
    program = probrun.load(HERE / "workloads" / f"{workload.name}.prob")

    def ours(seed: int) -> Any:
        return program.grad(
            workload.parameters, data=workload.data, samples=samples, seed=seed, pilot=False, device="cuda", compile=compile,
            **workload.options,
        )

    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = ours(0)
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    check(workload, result, exact)
    if compile and result.compiled.reason is not None:
        raise AssertionError(f"not compiled: {result.compiled.reason}")
    ours(1)
    for seed in range(2):
        hand.run(workload.name, samples, seed, workload.estimator)
    own, other = [], []
    for seed in range(2, repeats + 2):
        own.append(seconds(lambda: ours(seed))[0])  # noqa: B023
        other.append(seconds(lambda: hand.run(workload.name, samples, seed, workload.estimator))[0])  # noqa: B023
    ratio = statistics.median(own) / statistics.median(other)
    took = [f"{result.compiled.seconds:.1f}"] if compile else []
    return [
        workload.name, workload.what, workload.estimator, f"{samples:.0e}".replace("e+0", "e"), *took,
        f"{statistics.median(own) * 1e3:.3g}", f"{min(own) * 1e3:.3g} to {max(own) * 1e3:.3g}",
        f"{statistics.median(other) * 1e3:.3g}", f"{ratio:.2f}", f"{peak:.0f}",
    ], ratio


HEADERS = ["", "program", "estimator", "runs", "probrun, ms", "from - to", "by hand, ms", "ratio", "MB on the GPU"]


def main() -> int:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,1000000,100000000")
    parser.add_argument("--only", default="", help="names of workloads, with commas")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="also W1 to W7 compiled, at 10^6 runs")
    parser.add_argument("--yardstick", type=Path, default=YARDSTICK)
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if not torch.cuda.is_available() or not (options.yardstick / "handwritten_torch.py").is_file():
        print("no GPU, or no yardstick: nothing to compare with")
        return 0
    warnings.filterwarnings("ignore", message=".*set_default_tensor_type.*")
    sys.path.insert(0, str(options.yardstick))
    import common
    import handwritten_torch as yardstick

    hand = ByHand(yardstick)
    sizes = list(map(int, options.sizes.split(",")))
    found = [w for w in workloads(common) if not options.only or w.name in options.only.split(",")]
    text = [f"{torch.cuda.get_device_name()}, torch {torch.__version__}; medians of {options.repeats}."]
    for compile in (False, True) if options.compile else (False,):
        rows, ratios = [], {}
        for workload in found[:7] if compile else found:
            most = SIZES.get(workload.name, 10**8)
            for samples in [10**6] if compile else sorted({min(size, most) for size in sizes}):
                try:
                    row, ratio = measure(workload, hand, common.EXACT[workload.name], samples, options.repeats, compile)
                except (AssertionError, torch.cuda.OutOfMemoryError) as problem:
                    print(f"{workload.name} at {samples}: {str(problem)[:200]}", flush=True)
                    continue
                rows.append(row)
                ratios.setdefault(samples, []).append(ratio)
                print("  ".join(row), flush=True)
        headers = [*HEADERS[:4], "compiling, s", *HEADERS[4:]] if compile else HEADERS
        text += ["Compiled:", markdown(headers, rows)] if compile else [markdown(headers, rows)]
        text.append("\n".join(
            f"- {samples} runs: ratio {math.exp(sum(map(math.log, own)) / len(own)):.2f} in geometric mean over {len(own)}."
            for samples, own in sorted(ratios.items())
        ))
    page = "\n\n".join(text)
    print(page)
    if options.write:
        written(page, GPU_MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
