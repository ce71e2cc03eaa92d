"""How long a sweep takes, against the same runs in one call: `python -m benchmarks.sweep [--write] [POINTS [RUNS]]`.

The commands by the clock, with starting and loading torch; the calls, without, in CPU time of this process.  The pilot is part of
all.  `--write` writes the table of `docs/command-line.md`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import probrun

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "command-line.md"
MARKS = ("<!-- begin:sweep -->", "<!-- end:sweep -->")
SWEPT = {  # a file of examples/, and the parameter that is swept, with its ends
    "reparam": ("theta", 0.0, 1.0), "queue": ("service", 0.5, 0.9), "epidemic": ("beta", 0.2, 0.5), "bernoulli": ("theta", 0.05, 0.3),
    "random_walk": ("theta", -0.5, 0.5), "gambler": ("p", 0.3, 0.6),
}  # fmt: skip
LONG = "param theta = 0.5\ns = 0\nfor t in range(20) {\n  x ~ Normal(0.9*s + theta, 1)\n  s = tanh(x)\n}\nreturn s\n"
HEAD = "| program | what is made | `probrun grad` | `probrun sweep` | ratio | `.grad()` | `.sweep()` | ratio |\n|---|---|---|---|---|---|---|---|"


def command(*words: str) -> float:
    """Seconds by the clock of a command."""
    begun = time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", "probrun", *words], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode in (0, 3), ended.stderr
    return time.perf_counter() - begun


def calls(program: probrun.Program, parameter: str, low: float, high: float, points: int, runs: int) -> tuple[float, float, bool]:
    """Seconds of CPU time of one call and of the sweep, and whether the answer is exact."""
    program.grad(samples=100, seed=1)
    begun = time.process_time()
    whole = program.grad(samples=points * runs, seed=1)
    middle = time.process_time()
    found = program.sweep({parameter: [low + (high - low) * k / (points - 1) for k in range(points)]}, samples=runs, seed=1)
    ended = time.process_time()
    assert not any(point.problem for point in found)
    return middle - begun, ended - middle, whole.exact


def row(name: str, source: tuple[str, ...], program: probrun.Program, swept: tuple[str, float, float], points: int, runs: int) -> str:
    """One row of the table."""
    parameter, low, high = swept
    with tempfile.TemporaryDirectory() as folder:
        whole = command("grad", *source, "-n", str(points * runs), "--seed", "1")
        grid = f"{parameter}={low}:{high}:{points}"
        many = command("sweep", *source, "--grid", grid, "-n", str(runs), "--seed", "1", "-o", f"{folder}/out.csv")
    one, all_of_them, exact = calls(program, *swept, points, runs)
    kind = f"exact: 1 answer, {points} answers" if exact else f"{points * runs:,} runs"
    return (
        f"| {name} | {kind} | {whole:.2f} s | {many:.2f} s | {many / whole:.1f} "
        f"| {one:.2f} s | {all_of_them:.2f} s | {f'{all_of_them / one:.1f}' if not exact else '-'} |"
    )


def main(words: list[str]) -> None:
    """Print the table."""
    numbers = [int(word) for word in words if word != "--write"]
    points, runs = [*numbers, 500, 10_000][:2] if len(numbers) != 1 else (numbers[0], 10_000)
    lines = [HEAD]
    for name, swept in SWEPT.items():
        path = f"examples/{name}.prob"
        lines.append(row(name, (path,), probrun.load(ROOT / path), swept, points, runs))
        print(lines[-1], flush=True)
    lines.append(row("20 draws in a row", ("-e", LONG), probrun.parse(LONG), ("theta", 0.0, 1.0), points, runs))
    print("\n".join(lines))
    if "--write" in words:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
        PAGE.write_text("\n".join([before + MARKS[0], *lines, MARKS[1] + rest.partition(MARKS[1])[2]]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
