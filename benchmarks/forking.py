"""An adversary of runs that fork: random discrete programs, whose gradient is known exactly.

    python benchmarks/forking.py [--programs 2000] [--seed 0] [--seconds 600] [--smaller]

A program (`merging_programs.py`) is answered by the oracle (`merging_oracle.py`), which goes through every path with dual numbers,
and by probrun: with every site by `fork`, and with each by `fork` or `score` as a coin falls.  An answer that is further off than
`SUSPECT` standard errors is asked for again with other noise and many more runs, where it must be within `FAR` of them; so is one
without any spread, which a rare outcome may have left out.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]


import probrun  # noqa: E402
from benchmarks.merging import Task, attack, numbers  # noqa: E402
from benchmarks.merging_oracle import Expected, Kink, TooManyPaths, expected  # noqa: E402
from benchmarks.merging_smaller import smallest  # noqa: E402

SUSPECT, FAR = 4.0, 5.0
RARE = 1e-3  # of what is added up: what many runs may never have met
AGAIN = 32  # times as many runs


def ways(given: Task, seed: int) -> dict[str, dict[str, Any]]:
    """How a program is answered."""
    sites = list(dict.fromkeys(site.name for site in probrun.parse(given.text).resolved.sites))
    chance = random.Random(seed)
    return {"fork": {"estimator": "fork"}, "mixed": {"estimator": {name: chance.choice(["fork", "score"]) for name in sites}}}


def off(given: Task, options: dict[str, Any], truth: Expected, samples: int, seed: int) -> tuple[str | None, bool]:
    """What is wrong with an answer, or None; whether more runs may tell."""
    program = probrun.parse(given.text)
    found = program.grad(given.parameters, seed=seed, samples=samples, dtype="float64", of=given.of or None, **options)
    names = given.of or program.results
    right = [*truth.values, *(slope for slopes in truth.slopes for slope in slopes)]
    means, errors = (numbers(found, names, given.parameters, what) for what in ("mean", "se"))
    limit = SUSPECT if seed == 1 else FAR
    for place, (mean, error, value) in enumerate(zip(means, errors, right, strict=True)):
        slack = (1e-9 if seed == 1 else RARE) * truth.scale
        if not abs(mean - value) <= limit * error + slack:
            return f"entry {place} is {mean:.9g} +- {error:.2g}, not {value:.9g}", True
    return None, False


def tried(given: Task, seed: int, most: int = 20_000, samples: int = 3000) -> dict[str, str]:
    """What became of a program, by the way it was answered: sampled, refused, or what is wrong."""
    try:
        truth = expected(probrun.parse(given.text).resolved.program, given.parameters, given.of, most)
    except TooManyPaths:
        return {"oracle": "too many paths"}
    except Kink:
        return {"oracle": "undecided"}
    except OverflowError:
        return {"oracle": "out of range"}
    if truth.paths < 2:
        return {"oracle": "nothing random"}
    found = {}
    for way, options in ways(given, seed).items():
        try:
            wrong, again = off(given, options, truth, samples, 1)
            if again:
                wrong, _ = off(given, options, truth, samples * AGAIN, 2)
        except probrun.ProbError as error:
            found[way] = f"refused {error.code}"
            continue
        except Exception as error:  # a crash is an answer, too
            found[way] = f"WRONG: {type(error).__name__}: {error}"
            continue
        found[way] = f"WRONG: {wrong}" if wrong else "sampled"
    return found


def cut(given: Task, seed: int, found: dict[str, str]) -> str:
    """The smallest program that fails like this one."""
    wanted = {way: said.split()[1] for way, said in found.items() if "WRONG" in said}

    def fails(text: str) -> bool:
        try:
            now = tried(replace(given, text=text), seed)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, probrun.ProbError):
            return False
        return {way: said.split()[1] for way, said in now.items() if "WRONG" in said} == wanted

    return smallest(given.text, fails)


if __name__ == "__main__":
    sys.exit(attack(__doc__, tried, cut))
