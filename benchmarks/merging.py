"""An adversary of merging lanes: random discrete programs, answered exactly by probrun and by an oracle of its own.

    python benchmarks/merging.py [--programs 2000] [--seed 0] [--seconds 600] [--smaller]

A program (`merging_programs.py`) is answered by the oracle (`merging_oracle.py`), which goes through every path with dual numbers,
and by probrun: as it chooses, with every site enumerated, and with every site enumerated and no lanes merged.  Exact answers must
agree to 1e-9 of what was added up; a sampled one within 6 standard errors.  Some programs are asked for variables (`of`) in place
of their results.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402
from benchmarks.merging_oracle import Expected, Kink, TooManyPaths, expected  # noqa: E402
from benchmarks.merging_oracle import Path as Walked  # noqa: E402
from benchmarks.merging_programs import Programs  # noqa: E402
from benchmarks.merging_smaller import smallest  # noqa: E402
from probrun.api import Program  # noqa: E402

CLOSE, FAR, MOST_LANES = 1e-9, 6.0, 40_000
RARE = 0.02  # of what is added up: what a few runs may never have met
WAYS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "chosen": ({}, ()),
    "enumerated": ({"estimator": "enumerate", "max_lanes": MOST_LANES}, ()),
    "not merged": ({"estimator": "enumerate", "max_lanes": MOST_LANES}, ("merge",)),
}


@dataclass(frozen=True)
class Task:
    """A program of a seed: its text, where it is asked, and for which variables in place of the results."""

    text: str
    parameters: dict[str, float]
    of: tuple[str, ...]


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Layers that are left out for a while."""
    usual = Program._settings

    def settings(self: Program, *arguments: Any, **more: Any) -> Any:
        return replace(usual(self, *arguments, **more), without=frozenset(names))

    Program._settings = settings  # type: ignore[method-assign]
    try:
        yield
    finally:
        Program._settings = usual  # type: ignore[method-assign]


def task(seed: int, bits: float | None = None) -> Task:
    """What a seed stands for."""
    text, parameters = Programs(seed, bits).program()
    asked = random.Random(seed).choice([(), (), (), (), ("n", "total"), ("total", "other")])
    return Task(text, parameters, asked)


def numbers(found: Any, names: tuple[str, ...], parameters: dict[str, float], what: str) -> list[float]:
    """Values, then derivatives by entry and parameter: means or standard errors."""
    values = [entry for name in names for entry in torch.as_tensor(getattr(found.values[name], what)).double().flatten().tolist()]
    for name in names:
        rows = [torch.as_tensor(getattr(found.gradients[name][key], what)).double().flatten() for key in parameters]
        values += torch.stack(rows, 1).flatten().tolist()
    return [float(value) for value in values]


def agrees(found: Any, names: tuple[str, ...], parameters: dict[str, float], truth: Expected) -> str | None:
    """What is wrong with an answer, or None."""
    right = [*truth.values, *(slope for slopes in truth.slopes for slope in slopes)]
    means, errors = (numbers(found, names, parameters, what) for what in ("mean", "se"))
    for place, (mean, error, value) in enumerate(zip(means, errors, right, strict=True)):
        allowed = CLOSE * truth.scale if found.exact else FAR * error + RARE * truth.scale
        if not abs(mean - value) <= allowed:
            return f"entry {place} is {mean:.12g}, not {value:.12g}{'' if found.exact else f' (+- {error:.2g})'}"
    return None


def tried(
    given: Task, ways: tuple[str, ...] = (), most: int = 20_000, samples: int = 2000, kind: type[Walked] = Walked
) -> dict[str, str]:
    """What became of a program, by the way it was answered: exact, sampled, refused, or what is wrong."""
    program = probrun.parse(given.text)
    try:
        truth = expected(program.resolved.program, given.parameters, given.of, most, kind)
    except TooManyPaths:
        return {"oracle": "too many paths"}
    except Kink:
        return {"oracle": "undecided"}
    except OverflowError:
        return {"oracle": "out of range"}
    if truth.paths < 2:
        return {"oracle": "nothing random"}
    found = {}
    for way in ways or WAYS:
        options, layers = WAYS[way]
        try:
            with without(*layers):
                result = program.grad(
                    given.parameters, seed=1, samples=samples, dtype="float64", of=given.of or None, **options
                )
        except probrun.ProbError as error:
            found[way] = f"refused {error.code}"
            continue
        except Exception as error:  # a crash is an answer, too
            found[way] = f"WRONG: {type(error).__name__}: {error}"
            continue
        wrong = agrees(result, given.of or program.results, given.parameters, truth)
        found[way] = f"WRONG: {wrong}" if wrong else "exact" if result.exact else "sampled"
    return found


def cut(given: Task, found: dict[str, str], kind: type[Walked] = Walked) -> str:
    """The smallest program that fails like this one."""

    def kinds(found: dict[str, str]) -> dict[str, str]:
        return {way: said.split()[1] for way, said in found.items() if "WRONG" in said}

    def fails(text: str) -> bool:
        try:
            return kinds(tried(replace(given, text=text), kind=kind)) == kinds(found)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):  # of the oracle: no program any more
            return False

    return smallest(given.text, fails)


def attack(
    about: str | None, tried: Callable[[Task, int], dict[str, str]], cut: Callable[[Task, int, dict[str, str]], str]
) -> int:
    """Try many random programs; the status is 1 where any is wrong.  `tried` gives what became of one, by way; `cut` the smallest part
    of it that fails alike."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--bits", type=float, help="of all draws together; else 5 to 12, as it comes")
    parser.add_argument("--smaller", action="store_true", help="print the smallest part of a program that fails like it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    fates: Counter[str] = Counter()
    began, wrong = time.monotonic(), 0
    for seed in range(given.seed, given.seed + given.programs):
        if time.monotonic() - began > given.seconds:
            break
        now = task(seed, given.bits)
        found = tried(now, seed)
        fates.update(f"{way}: {'WRONG' if 'WRONG' in said else said}" for way, said in found.items())
        if bad := {way: said for way, said in found.items() if "WRONG" in said}:
            wrong += 1
            text = cut(now, seed, found) if given.smaller else now.text
            print(f"-- seed {seed}, {now.parameters}, of {now.of}\n{text}\n{bad}\n", flush=True)
    print(", ".join(f"{fate} {count}" for fate, count in sorted(fates.items())) + f"; {wrong} programs wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(attack(__doc__, lambda now, _: tried(now), lambda now, _, found: cut(now, found)))
