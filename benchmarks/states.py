"""What `explain` says of the state over which outcomes are summed, against what lanes are merged by.

    python benchmarks/states.py [FIRST] [LAST]      random programs of these seeds, the odd ones with continuous draws between

`tried` runs a program, and looks at every merge: a variable (or the bounds of a loop) in which two lanes of a run differ there must be
named by the text (`dsl/analysis/lane_states.py`), and no variable may be named that is not live.  (Draws without end are left out:
their last outcomes have probability 0 in float32, and of such lanes there is no mean.)
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

import probrun
from benchmarks.merging_programs import Programs
from probrun.dsl.analysis.lane_states import find_states
from probrun.dsl.analysis.liveness import find_liveness
from probrun.dsl.names.scopes import nodes_in
from probrun.dsl.planning.plan import Plan
from probrun.dsl.tables.estimators import ESTIMATORS
from probrun.runtime.blocks.session import Session
from probrun.runtime.lanes import merging
from probrun.runtime.lanes.frames import HIDDEN, Frame
from probrun.runtime.lanes.values import PerLane

RUNS = 40


@dataclass
class Watch:
    """By plan and id of a statement what told lanes apart, and by id how many lanes of a run there were before and after each merge."""

    plans: dict[object, Plan] = field(default_factory=dict)
    seen: dict[tuple[object, int], set[str]] = field(default_factory=dict)
    lanes: dict[int, list[tuple[float, float]]] = field(default_factory=dict)


@contextmanager
def watched() -> Iterator[Watch]:
    """Merges are looked at meanwhile."""
    watch = Watch()
    merger, merged = Session.merger, merging.Merger.after
    merge = merging.Merger.merge
    now: list[Any] = [None, None]

    def plan_of(self: Session, returns: bool) -> Any:
        now[0] = self.plan
        return merger(self, returns)

    def after(self: merging.Merger, statement: Any, frame: Frame) -> int:
        now[1] = statement
        return merged(self, statement, frame)

    def look(self: merging.Merger, frame: Frame, live: frozenset[str], state: frozenset[str]) -> None:
        names = [*state, *merging._hidden(frame)]
        watch.plans[now[0].key] = now[0]
        watch.seen.setdefault((now[0].key, id(now[1])), set()).update(name for name in names if differs(frame, name))
        before = frame.lanes.count
        merge(self, frame, live, state)
        runs = frame.activation.lanes.count
        watch.lanes.setdefault(id(now[1]), []).append((before / runs, frame.lanes.count / runs))

    Session.merger, merging.Merger.after, merging.Merger.merge = plan_of, after, look  # type: ignore[method-assign]
    try:
        yield watch
    finally:
        Session.merger, merging.Merger.after, merging.Merger.merge = merger, merged, merge  # type: ignore[method-assign]


def differs(frame: Frame, name: str) -> bool:
    """Whether lanes of one run (or call) differ in a variable."""
    if frame.find(name) is None:
        return False
    value, count, device = frame.read(name), frame.lanes.count, torch.device("cpu")
    if not isinstance(value, PerLane):
        return False
    origin = frame.lanes.map_to(frame.activation.lanes)
    runs = [] if origin is None else [origin]
    return merging.grouped([*merging.entries(value), *runs], count, device)[1] > merging.grouped(runs, count, device)[1]


def tried(text: str, values: Mapping[str, float]) -> tuple[int, list[str]]:
    """How many merges there were, and what is wrong."""
    program = probrun.parse(text)
    resolved = program.resolved
    with watched() as watch:
        program.grad(values, samples=RUNS, seed=1, estimator="enumerate", pilot=False)
    live = find_liveness(resolved)
    rows = {key: {i: ESTIMATORS[choice.estimator] for i, choice in plan.choices.items()} for key, plan in watch.plans.items()}
    known = {key: find_states(resolved, live, found) for key, found in rows.items()}
    lines = {id(node): resolved.program.source.line_of(node.span) for node in nodes_in(resolved.program.body)}
    wrong = []
    for (key, place), names in watch.seen.items():
        said = known[key].meetings.get(place)
        named = {name for name, found in said.variables.items() if found.mask} if said else set()
        loops = {str(loop) for loop in said.loops} if said else set()
        wrong += [f"line {lines[place]}: {name} is not named" for name in names if name[0] != HIDDEN and name not in named]
        wrong += [f"line {lines[place]}: a loop is not named" for name in names if name[0] == HIDDEN and name[1:].split()[-1] not in loops]
        wrong += [f"line {lines[place]}: {name} is not live" for name in named - live.after[place]]
    return len(watch.seen), wrong


def task(seed: int) -> tuple[str, dict[str, float]]:
    """A program and values of its parameters; with an odd seed there are continuous draws in it."""
    text, values = Programs(seed, 5.0).program()
    if seed % 2 == 0:
        return text, values
    chance, lines = random.Random(seed + 10**6), []
    uses = ["total = total + Z*n", "other = other + 0.1*Z", "total = total + Z", "weight = weight*Z", "if n > 0 { weight = Z }"]
    for number, line in enumerate(text.split("\n")):
        if number >= 3 and not line.startswith("fn") and chance.random() < 0.5:
            mean = chance.choice(["0", "theta", "other"])
            more = f"z{number} ~ Normal({mean}, 1); {chance.choice(uses).replace('Z', f'z{number}')}"
            more = f"for j{number} in range(2) {{ {more} }}" if chance.random() < 0.4 else more
            lines.append(more + (f"; y{number} ~ Binomial(3, 0.4); n = n + y{number}" if chance.random() < 0.3 else ""))
        lines.append(line)
    return "\n".join(lines), values


def main(first: int, last: int) -> None:
    """Try them all."""
    merges = programs = 0
    for seed in range(first, last):
        try:
            found, wrong = tried(*task(seed))
        except probrun.ProbError:
            continue
        merges, programs = merges + found, programs + bool(found)
        if wrong:
            print(f"{seed}: {'; '.join(wrong)}\n{task(seed)[0]}", flush=True)
    print(f"{programs} programs with {merges} places where lanes are merged")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]) if len(sys.argv) > 2 else (0, 1000))
