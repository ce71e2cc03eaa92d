"""An adversary of rounding: random linear programs of all sizes, `python benchmarks/rounding.py [--programs N] [--seed S]`.

A program is a chain of offsets, scalings, long loops and arrays of the parameter and a draw, so that its result is
c + p theta + q z with z standard normal; c, p and q are found in fractions, without rounding.  A value or a gradient that is off by more
than five standard errors plus a millionth of itself is printed with its program, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import probrun  # noqa: E402

THETA = Fraction(1, 2)
SIZES = (1, 10, 1000, 10**5, 10**7)


@dataclass(frozen=True)
class Linear:
    """c + p theta + q z."""

    c: Fraction
    p: Fraction
    q: Fraction

    def __add__(self, other: Linear) -> Linear:
        return Linear(self.c + other.c, self.p + other.p, self.q + other.q)

    def times(self, factor: Fraction) -> Linear:
        """Scaled."""
        return Linear(self.c * factor, self.p * factor, self.q * factor)


def number(chance: random.Random) -> Fraction:
    """Short in decimals, of any size and sign."""
    return Fraction(chance.choice([-1, 1]) * chance.randint(1, 99), 10) * chance.choice(SIZES) / chance.choice(SIZES)


def shown(value: Fraction) -> str:
    return repr(float(value))


def exact(value: Fraction) -> Fraction:
    """What the program reads: the number of float64 nearest to it."""
    return Fraction(float(value))


def program(chance: random.Random) -> tuple[str, Linear]:
    """A program, and what it computes."""
    spread = exact(Fraction(1, chance.choice([1, 10, 1000, 10**5])))
    lines = ["param theta = 0.5", f"z ~ Normal(theta, {shown(spread)})", "s = z"]
    z = Linear(Fraction(0), Fraction(1), spread)
    s = z
    for _ in range(chance.randint(1, 5)):
        one = exact(number(chance))
        match chance.choice(["offset", "scale", "draw", "loop", "decay", "array", "back"]):
            case "offset":
                lines.append(f"s = s + {shown(one)}")
                s = s + Linear(one, Fraction(0), Fraction(0))
            case "scale":
                lines.append(f"s = s*{shown(one)}")
                s = s.times(one)
            case "draw":
                lines.append(f"s = s + {shown(one)}*z")
                s = s + z.times(one)
            case "loop":
                rounds = chance.choice([10, 100, 600])
                lines.append(f"for t in range({rounds}) {{\n  s = s + {shown(one)}*theta\n  w = s*1\n}}")
                s = s + Linear(Fraction(0), one * rounds, Fraction(0))
            case "decay":
                rounds, factor = chance.choice([10, 100, 600]), exact(Fraction(chance.randint(950, 1010), 1000))
                lines.append(f"for t in range({rounds}) {{\n  s = s*{shown(factor)} + z\n  w = s*1\n}}")
                for _ in range(rounds):
                    s = s.times(factor) + z
            case "array":
                count = chance.choice([10, 1000])
                lines.append(f"s = sum(s*ones({count}) + {shown(one)}*z)")
                s = s.times(Fraction(count)) + z.times(one * count)
            case _:
                lines.append(f"s = s + {shown(one)}*theta - {shown(one)}*z")
                s = s + Linear(Fraction(0), one, Fraction(0)) + z.times(-one)
    return "\n".join((*lines, "return s")), s


def main() -> int:
    """Try programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = fine = 0
    for place in range(options.programs):
        text, truth = program(random.Random(options.seed * 1_000_003 + place))
        result = probrun.parse(text).grad(samples=2000, seed=place, pilot=False)
        fine += result.dtype == "float64"
        pairs = (("value", result.value, truth.c + truth.p * THETA), ("gradient", result.gradient["theta"], truth.p))
        for name, found, right in pairs:
            if abs(float(found.mean) - float(right)) > 5 * float(found.se) + 1e-6 * abs(float(right)):
                wrong += 1
                print(f"# {place}: {name} {float(found.mean)!r} +- {float(found.se):.3g}, {result.dtype}, but {float(right)!r}\n{text}\n")
    print(f"{options.programs} programs, {fine} of them in float64; {wrong} wrong numbers")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
