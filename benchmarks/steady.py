"""An adversary of `dsl/analysis/steady.py`: random programs, each number that is called the same in every run held against its runs.

`python benchmarks/steady.py [PROGRAMS] [FIRST SEED]`.  Programs come from the generator of `tests/test_random_programs.py`, half
of them with normal draws in place of some discrete ones; the oracle is the spread over 400 runs in float64 (a number that differs
in one run of them is caught), and, where all outcomes can be enumerated, the exact value.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import probrun  # noqa: E402
from probrun.dsl.analysis.steady import steady  # noqa: E402
from tests.test_random_programs import THETA, Programs, exact  # noqa: E402

RUNS = 400
ROUNDING = 1e-9


class Mixed(Programs):
    """The same with continuous draws."""

    def site(self, names: list[str]) -> str:
        if self.random.random() < 0.5:
            return super().site(names)
        self.draws += 1
        loc = self.random.choice(["theta", "2*theta", "0", *names])
        return f"Normal({loc}, {self.random.choice(['1', 'theta', '0.5'])})"


def check(text: str, seed: int) -> tuple[int, list[str]]:
    """How many numbers are called steady, and those that are not."""
    program = probrun.parse(text)
    result = program.grad({"theta": THETA}, samples=RUNS, seed=seed, dtype="float64", pilot=False)
    plain = all(site.estimator != "enumerate" for site in result.sites)
    claimed = steady(program.resolved, {number: site.estimator for number, site in enumerate(result.sites)})
    truth = exact(program, THETA) if plain else None
    wrong = []
    for name, parameter in sorted(claimed, key=str):
        found = result.values[name] if parameter is None else result.gradients[name][parameter]
        size = max(1.0, float(found.mean.abs().max()))
        if float(found.sd.abs().max()) > ROUNDING * size:
            wrong.append(f"{name} {parameter}: sd {float(found.sd.max())}")
        if truth is not None:
            other = truth.values[name] if parameter is None else truth.gradients[name][parameter]
            if float((other.mean - found.mean).abs().max()) > 1e-7 * size:
                wrong.append(f"{name} {parameter}: {float(found.mean)} is {float(other.mean)}")
    return len(claimed), wrong


def main() -> int:
    programs, first = ([int(word) for word in sys.argv[1:]] + [2000, 0])[:2] if len(sys.argv) > 1 else (2000, 0)
    first = int(sys.argv[2]) if len(sys.argv) > 2 else first
    claims = faults = refused = 0
    for seed in range(first, first + programs):
        maker = (Mixed if random.Random(seed).random() < 0.5 else Programs)(seed)
        text = maker.program()
        try:
            count, wrong = check(text, seed)
        except probrun.ProbError:
            refused += 1
            continue
        claims += count
        if wrong:
            faults += 1
            print(f"--- seed {seed}: {'; '.join(wrong)}\n{text}\n")
    print(f"{programs} programs, {refused} refused, {claims} numbers called steady, {faults} programs with one that is not")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
