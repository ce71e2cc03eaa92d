"""An adversary of weighed programs: random discrete ones (and, with `--continuous`, ones with continuous sites) against an oracle.

    python benchmarks/observing.py [--programs 2000] [--seed 0] [--seconds 600] [--smaller] [--continuous] [--only WAY,...]

A discrete program (`observing_programs.py`) is answered by the oracle (`observing_oracle.py`), which goes through all its paths
with dual numbers, and by probrun in many ways: the posterior expectation and the log evidence as it chooses, without a pilot, all
sites enumerated, with and without merged lanes, by `expectation` and autograd, by `run`, scored; the evidence, the ELBO and the bound of two runs asked for.
Exact answers must agree to 1e-9 of what was added up.  A sampled one that is off by more than 4.5 standard errors is made again with
20 times the runs, and is wrong if it is off by more than 4.5 again.  Where every run has weight 0 the answer must be P0510 or P0511.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402

import probrun  # noqa: E402
from benchmarks.merging import MOST_LANES, without  # noqa: E402
from benchmarks.merging_oracle import Kink, TooManyPaths  # noqa: E402
from benchmarks.merging_smaller import smallest  # noqa: E402
from benchmarks.observing_continuous import ByQuadrature, ContinuousProgram  # noqa: E402
from benchmarks.observing_oracle import Answer, Weighed  # noqa: E402
from benchmarks.observing_programs import ObservedPrograms  # noqa: E402

FAR, AGAIN = 4.5, 20
ENOUGH, BLUNT = 300, 0.1  # effective runs; a standard error that shows little, as a part of what was added up
IMPOSSIBLE = ("P0510", "P0511")


@dataclass(frozen=True)
class Question:
    """A program, where it is asked, what for in place of the result (or nothing), and the right answers."""

    text: str
    parameters: dict[str, float]
    of: tuple[str, ...]
    quadrature: int | None = None  # the seed of a program with continuous sites


@dataclass
class Found:
    """Numbers with standard errors: values, then slopes entry by entry; `exact`; and how many runs they are worth."""

    means: list[float]
    errors: list[float]
    exact: bool
    worth: float = math.inf
    warned: bool = False


@dataclass
class Log:
    """What became of programs, and how far sampled answers were off, in standard errors."""

    fates: Counter[str] = field(default_factory=Counter)
    offs: dict[str, list[float]] = field(default_factory=dict)


def seeded(question: Question, samples: int) -> int:
    """A seed of its own for every program."""
    return zlib.crc32(f"{samples} {question.text}".encode())


def plain(moments: Any, what: str) -> list[float]:
    """The entries of a mean or a standard error."""
    return [float(entry) for entry in torch.as_tensor(getattr(moments, what)).double().flatten()]


def of_result(result: Any, names: tuple[str, ...], question: Question) -> Found:
    """The numbers that were asked for."""
    numbers = []
    for what in ("mean", "se"):
        values = [entry for name in names for entry in plain(result.values[name], what)]
        for name in names:
            rows = [torch.tensor(plain(result.gradients[name][key], what), dtype=torch.float64) for key in question.parameters]
            values += torch.stack(rows, 1).flatten().tolist() if rows else []
        numbers.append([float(value) for value in values])
    return Found(*numbers, result.exact, result.effective, bool(result.warnings))


def of_evidence(result: Any, question: Question) -> Found:
    """The log evidence that is reported beside the result."""
    numbers = [
        [*plain(result.evidence, what), *(entry for key in question.parameters for entry in plain(result.evidence_gradient[key], what))]
        for what in ("mean", "se")
    ]
    return Found(*numbers, result.exact, result.effective, bool(result.warnings))


def graded(options: dict[str, Any], layers: tuple[str, ...] = ()) -> Callable[[Any, Question, int, str], list[tuple[str, Found]]]:
    """A way: `grad` under options."""

    def way(program: Any, question: Question, samples: int, asked: str) -> list[tuple[str, Found]]:
        of = (asked,) if asked else question.of
        with without(*layers):
            result = program.grad(question.parameters, seed=seeded(question, samples), samples=samples, dtype="float64", of=of or None, **options)
        if result.biased:
            return []
        names = of or program.results
        found = [(asked or "posterior", of_result(result, names, question))]
        if not asked:
            found.append(("evidence", of_evidence(result, question)))
        return found

    return way


def by_autograd(program: Any, question: Question, samples: int, asked: str) -> list[tuple[str, Found]]:
    """`expectation` of tensors, differentiated by torch, with several seeds."""
    of = (asked,) if asked else question.of
    names, rows = of or program.results, []
    if any(site.biased for site in program.explain(question.parameters, of=of or None, pilot=False)):
        return []
    for seed in range(seeded(question, samples), seeded(question, samples) + 8):
        leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in question.parameters.items()}
        made = program.expectation(leaves, seed=seed, samples=samples, dtype="float64", of=of or None)
        values = [entry for name in names for entry in (made[name] if isinstance(made, dict) else made).reshape(-1)]
        row = [float(value.detach()) for value in values]
        for value in values:
            if value.requires_grad:
                slopes = torch.autograd.grad(value, list(leaves.values()), retain_graph=True, allow_unused=True)
                row += [0.0 if slope is None else float(slope) for slope in slopes]
            else:
                row += [0.0] * len(leaves)
        rows.append(row)
    table = torch.tensor(rows, dtype=torch.float64)
    spread = table.std(0) / math.sqrt(len(rows))
    exact = bool((spread < 1e-12 * (1 + table.abs().amax(0))).all())
    return [(asked or "posterior", Found(table.mean(0).tolist(), (3 * spread + 0.02 * table.abs().mean(0) + 1 / samples).tolist(), exact))]


def by_run(program: Any, question: Question, samples: int, asked: str) -> list[tuple[str, Found]]:
    """`run`, without derivatives."""
    result = program.run(question.parameters, seed=seeded(question, samples), samples=samples, dtype="float64", of=question.of or None)
    names = question.of or program.results
    means, errors = ([entry for name in names for entry in plain(result.values[name], what)] for what in ("mean", "se"))
    worth, warned = result.effective, bool(result.warnings)
    return [
        ("posterior", Found(means, errors, result.exact, worth, warned)),
        ("evidence", Found(plain(result.evidence, "mean"), plain(result.evidence, "se"), result.exact, worth, warned)),
    ]


PAIRS = "iwae(2)"
ENUMERATED = {"estimator": "enumerate", "max_lanes": MOST_LANES}
WAYS: dict[str, tuple[Callable[[Any, Question, int, str], list[tuple[str, Found]]], tuple[str, ...]]] = {
    "chosen": (graded({}), ("", "evidence", "elbo", PAIRS)),
    "no pilot": (graded({"pilot": False}), ("",)),
    "enumerated": (graded(ENUMERATED), ("", "evidence", "elbo")),
    "not merged": (graded(ENUMERATED, ("merge",)), ("", "evidence", "elbo")),
    "expectation": (by_autograd, ("", "evidence", "elbo", PAIRS)),
    "run": (by_run, ("",)),
    "score": (graded({"estimator": "score"}), ("", "elbo", PAIRS)),
}


def wrong(found: Found, right: Answer, loose: float = 1.0) -> tuple[str | None, list[float]]:
    """What is wrong with an answer, or None; and by how many standard errors it is off."""
    truth = [*right.values, *(slope for slopes in right.slopes for slope in slopes)][: len(found.means)]
    offs = []
    for place, (mean, error, value) in enumerate(zip(found.means, found.errors, truth, strict=True)):
        if found.exact:
            if not abs(mean - value) <= right.close * right.scale:
                return f"entry {place} is {mean:.12g}, not {value:.12g}", []
            continue
        if not math.isfinite(mean):
            return f"entry {place} is {mean}", []
        if abs(mean - value) <= right.close * right.scale:
            continue
        off = (mean - value) / error if error > 0 else math.inf
        offs.append(off)
        if not abs(off) <= FAR * loose:
            return f"entry {place} is {mean:.8g} +- {error:.2g}, not {value:.8g}", offs
    return None, offs


def one(way: str, asked: str, program: Any, question: Question, right: Any, log: Log, samples: int) -> Counter[str]:
    """What became of a program in one way."""
    call, fates = WAYS[way][0], Counter[str]()
    name = f"{way}{' ' + asked if asked else ''}"
    truths = {"posterior": right.posterior, "evidence": right.evidence, "elbo": right.elbo, PAIRS: right.pairs}
    for more in (1, AGAIN):
        fates.clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answers = call(program, question, samples * more, asked)
        except probrun.ProbError as error:
            code = error.diagnostics[0].code if hasattr(error, "diagnostics") else error.code
            due = right.posterior is None or (asked in ("elbo", PAIRS) and right.elbo is None)
            few = code in IMPOSSIBLE and right.worth * samples * more < 50
            fates[f"{name}: refused {code}" if due or few or code not in IMPOSSIBLE else f"{name}: WRONG refused {code}"] += 1
            return fates
        except Exception as error:  # a crash is an answer, too
            fates[f"{name}: WRONG {type(error).__name__}: {error}"] += 1
            return fates
        if not answers:
            fates[f"{name}: biased by choice"] += 1
        good = True
        for what, found in answers:
            truth = truths[what]
            label = f"{name}" if what in ("posterior", asked) else f"{name} ({what} beside)"
            if truth is None:
                fates[f"{label}: WRONG answered {found.means[:3]} where there is no answer" if found.exact else f"{label}: no answer exists"] += 1
                continue
            if not found.exact and found.worth < ENOUGH:
                fates[f"{label}: few effective runs{'' if found.warned or found.worth >= 100 else ', NOT WARNED'}"] += 1
                continue
            said, offs = wrong(found, truth)
            if said and not found.exact and more == 1 and not found.warned:
                good = False
                break
            blunt = not found.exact and max(found.errors) > BLUNT * truth.scale
            fates[f"{label}: " + ((f"WRONG {said}" if not found.warned else "off, but warned") if said else "exact" if found.exact else "blunt" if blunt else "sampled")] += 1
            if more == 1 and not found.exact:
                log.offs.setdefault(label, []).extend(offs)
        if good:
            break
    return fates


def tried(question: Question, log: Log, ways: tuple[str, ...], most: int = 6000, samples: int = 4000) -> dict[str, str]:
    """What is wrong with the answers to a program, by way."""
    try:
        program = probrun.parse(question.text)
        right: Any = (
            Weighed(program.resolved.program, question.parameters, question.of, most) if question.quadrature is None
            else ByQuadrature(ContinuousProgram(question.quadrature))
        )
    except (TooManyPaths, Kink, OverflowError, ZeroDivisionError, probrun.ProbError) as error:
        log.fates[f"oracle: {type(error).__name__}"] += 1
        return {}
    log.fates["oracle: answered" if right.posterior else "oracle: impossible"] += 1
    bad = {}
    for way in ways:
        for asked in WAYS[way][1]:
            if (asked and question.of) or (asked == PAIRS and right.elbo is not None and right.pairs is None):
                continue
            fates = one(way, asked, program, question, right, log, samples)
            log.fates.update(fate.split("WRONG")[0] + "WRONG" if "WRONG" in fate else fate for fate in fates.elements())
            bad.update({fate.split(":")[0]: fate for fate in fates if "WRONG" in fate})
    return bad


def question(seed: int, bits: float | None = None) -> Question:
    """What a seed stands for."""
    text, parameters = ObservedPrograms(seed, bits).program()
    of = random.Random(seed).choice([(), (), (), ("n", "total"), ("total",)])
    return Question(text, parameters, of)


def continuous(seed: int) -> Question:
    """A program with continuous sites."""
    made = ContinuousProgram(seed)
    return Question(made.text, made.parameters, (), seed)


def cut(asked: Question, bad: dict[str, str]) -> str:
    """The smallest program that fails in one of the same ways."""
    kinds = {way: said.split("WRONG")[1].split()[0] for way, said in bad.items()}
    ways = tuple(dict.fromkeys(way for way in WAYS if any(name.startswith(way) for name in bad)))

    def fails(text: str) -> bool:
        try:
            found = tried(Question(text, asked.parameters, asked.of), Log(), ways)
        except Exception:  # of the oracle: no program any more
            return False
        return any(kinds.get(way) == said.split("WRONG")[1].split()[0] for way, said in found.items())

    return smallest(asked.text, fails)


def calibration(log: Log) -> str:
    """How far sampled answers were off."""
    lines = ["", f"{'sampled answers, in standard errors':<44} {'numbers':>8} {'mean':>7} {'sd':>6} {'|z| > 1.96':>10}"]
    for label, offs in sorted(log.offs.items()):
        kept = [off for off in offs if math.isfinite(off) and off != 0]
        if len(kept) > 10:
            mean = sum(kept) / len(kept)
            sd = math.sqrt(sum((off - mean) ** 2 for off in kept) / (len(kept) - 1))
            lines.append(f"{label:<44} {len(kept):>8} {mean:>7.3f} {sd:>6.3f} {sum(abs(off) > 1.96 for off in kept) / len(kept):>10.1%}")
    return "\n".join(lines)


def main() -> int:
    """Try many; the status is 1 where any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--bits", type=float, help="of all draws together; else 5 to 12, as it comes")
    parser.add_argument("--smaller", action="store_true", help="print the smallest part of a program that fails like it")
    parser.add_argument("--only", default=",".join(WAYS), help="ways, with commas between")
    parser.add_argument("--continuous", action="store_true", help="programs with continuous sites, against quadrature")
    given = parser.parse_args()
    torch.set_num_threads(1)
    log, began, count = Log(), time.monotonic(), 0
    for seed in range(given.seed, given.seed + given.programs):
        if time.monotonic() - began > given.seconds:
            print(f"stopped before seed {seed}")
            break
        now = continuous(seed) if given.continuous else question(seed, given.bits)
        if bad := tried(now, log, tuple(given.only.split(","))):
            count += 1
            print(f"-- seed {seed}, {now.parameters}, of {now.of}\n{cut(now, bad) if given.smaller and not given.continuous else now.text}\n{bad}\n", flush=True)
    print("\n".join(f"{number:7d}  {fate}" for fate, number in sorted(log.fates.items())))
    print(calibration(log))
    print(f"{count} programs wrong")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
