"""An adversary of the assignment of credit: random programs of bits in arrays, products and indices, against their enumeration.

`python benchmarks/credit.py [PROGRAMS] [FIRST SEED] [wide | epidemics]`.  `wide`: every array of draws counts as a wide one, so that
its log densities are kept as sums once its elements have met (`runtime/gradients/dependence.py`); `epidemics`: the same of agents who
meet each other (`tests/test_wide.py`), against the exact answer of `enumerate`.  The generator and its oracle (dual numbers on every path, in plain Python)
are those of `tests/test_credit_elements.py`.  An estimate beyond 4.5 standard errors is repeated with twenty times the runs, and
printed where that is beyond 5.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from probrun.runtime.gradients import dependence  # noqa: E402
from tests.test_credit_elements import VARIANTS, disagreements  # noqa: E402
from tests.test_wide import errors  # noqa: E402


def main() -> int:
    """Try programs; the exit status is that of a test."""
    programs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    tried = disagreements
    if sys.argv[3:]:
        dependence.WIDE = 1
        tried = errors if sys.argv[3] == "epidemics" else disagreements
    suspects = wrong = 0
    for seed in range(first, first + programs):
        for text, variant, _ in tried(seed, 2000, VARIANTS[seed % 3 :: 3]):
            suspects += 1
            for _, _, z in tried(seed, 40_000, (variant,)):
                if abs(z) > 5:
                    wrong += 1
                    print(f"seed {seed}, {variant}: {z:.1f} standard errors\n{text}\n")
    print(f"{programs} programs: {suspects} suspects, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
