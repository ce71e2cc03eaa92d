"""The commands `probrun trace` and `probrun profile`."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from .. import report
from ..api import Program, from_source
from ..cli_options import Whole, program_options, running_options, source_of, values_of
from ..dsl.levels import LEVEL, Correction, Implied, written
from ..dsl.syntax import For, If, Require, While
from ..dsl.text.diagnostics import ProbError, render_all
from ..dsl.text.problems import counted
from ..options import refuse, run_options
from ..terminal import DONE, FAULT, complain, emit, load_torch
from .before import OF_RUNS

if TYPE_CHECKING:
    from ..runtime.many.watching import Event

WIDTH, TEXT = 80, 44
FIRST, LAST = 3, 1  # rounds of a long loop that are shown
CONDITION = re.compile(r"\s*([^\W\d]\w*)\s*((?:\[\s*\d+\s*\])*)\s*(<=|>=|==|!=|<|>)\s*([-+.\deE]+)\s*$")
COMPARE: dict[str, Any] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


@click.command("trace")
@program_options
@running_options
@click.option("--run", "number", type=Whole(0), help="The run to show, from 0 on: that of probrun run with the same -n and --seed.")
@click.option("--where", metavar="CONDITION", help="Show the first run in which this holds at the end, such as 'y > 100'.")
@click.option("--all", "everything", is_flag=True, help="Show all rounds of long loops.")
def trace_command(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int, seed: int | None,
    target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str, as_json: bool, plot: Any,
    number: int | None, where: str | None, everything: bool,
) -> int:
    """What one run does, line by line: values, branches, rounds.

    Where a run fails, what was there before.
    """
    _only_look("trace", target_se, plot)
    program = from_source(source_of(file, expression))
    given = values_of(program, parameters, data)
    run = run_options(samples, seed, dtype, device, None, max_steps, max_depth)
    if number is not None and where is not None:
        raise click.UsageError("give --run or --where, not both")
    if number is not None and number >= run.samples:
        raise refuse(f"there is no run {number}: {run.samples} runs are numbered from 0 on", f"give more runs: -n {number + 1}")
    load_torch()
    if where is not None:
        number = _first_where(program, given, run, where)
    from ..runtime.many.watching import watch

    settings = program._settings(run, (), False, strict=run.strict)
    events, problem = watch(program.resolved, *given, settings, number or 0)
    if as_json:
        _traced(program, run, number or 0, events)
    else:
        emit(f"{program.source.name}    run {number or 0} of {run.samples}    seed {run.seed}\n")
        for line in _lines(program, events, 0, everything):
            emit(line)
    if problem is None:
        return DONE
    if not as_json:
        emit(f"{'':6}the block of this run ends here")
    complain(render_all(problem.diagnostics, colour=report.wants_colour(sys.stderr)))
    return FAULT


def _traced(program: Program, run: Any, number: int, events: list[Event]) -> None:
    import json

    found = {"program": program.source.name, "samples": run.samples, "seed": run.seed, "run": number}
    emit(json.dumps(found | {"events": _told(program, events)}, allow_nan=False))


def _told(program: Program, events: list[Event]) -> list[dict[str, Any]]:
    """What is traced, for JSON: of each line its text, what it gave, and the branches or rounds that it entered."""
    found: list[dict[str, Any]] = []
    for event in events:
        node, source = event.node, program.source
        if isinstance(node, Implied) and not isinstance(node, Correction):
            continue
        entry: dict[str, Any] = {"line": source.line_column(node.span.start)[0], "text": " ".join(source.slice(node.span).split())}
        if event.value is not None:
            entry |= {"name": _name(event), "value": _plain(event.value)}
        if event.entered:
            entry["entered"] = [{"number": at, "events": _told(program, inner)} for at, inner in event.entered]
        found.append(entry)
    return found


def _plain(value: Any) -> Any:
    """A value for JSON; what is not finite is null."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _only_look(command: str, target_se: float | None, plot: Any) -> None:
    """Refuse the options of running that mean nothing here."""
    unfit = ("--target-se", target_se, "give the runs by -n"), ("--plot", plot, "draw the results: probrun run")
    for name, value, instead in unfit:
        if value is not None:
            raise click.UsageError(f"{name} does not fit {command}; {instead}")


def _first_where(program: Program, given: tuple[Any, Any], run: Any, where: str) -> int:
    if program.resolved.weighted:
        raise refuse("`--where` does not fit a program with observations: its draws are resampled by weight", "name a run: --run 7")
    tests = []
    for part in re.split(r"\band\b", where):
        match = CONDITION.match(part)
        if match is None:
            raise refuse(f"`--where {where}` is not NAME > NUMBER", "for example --where 'y > 100', or 'n == 3 and y[0] < 0'")
        tests.append((match[1], [int(place) for place in re.findall(r"\d+", match[2])], match[3], _number(match[4], where)))
    names = [name for name, *_ in tests if name not in program.results]
    numbers, found = _ends(program, given, run, names, [name for name, *_ in tests])
    holds: Any = None
    for name, places, sign, number in tests:
        draws = found[name]
        if draws.dim() - 1 != len(places) or any(place >= size for place, size in zip(places, draws.shape[1:], strict=True)):
            raise refuse(f"`{name}` has the shape {list(draws.shape[1:])}", f"name one of its entries: --where '{name}[0] > 1'")
        for place in places:
            draws = draws[:, place]
        test = COMPARE[sign](draws.double(), number)
        holds = test if holds is None else holds & test
    if not bool(holds.any()):
        raise refuse(f"`{where}` holds in none of {len(holds)} runs", "look at more runs (-n), or at quantiles: probrun run")
    return int(holds.nonzero()[0]) if numbers is None else int(numbers[holds][0])


def _ends(program: Program, given: tuple[Any, Any], run: Any, names: list[str], tested: list[str]) -> tuple[Any, dict[str, Any]]:
    """The values at the end of all runs; where a run fails those before, with the numbers of the runs that have them."""
    try:
        return None, program.run(
            given[0], data=given[1], samples=run.samples, seed=run.seed, of=names or None, device=run.device,
            dtype=run.dtype if run.strict else None, max_steps=run.max_steps, max_depth=run.max_depth,
        ).draws
    except ProbError as problem:
        if problem.diagnostics[0].code[:3] not in OF_RUNS:
            raise
        from ..runtime.many.watching import before_failure

        settings = program._settings(run, tuple(dict.fromkeys(tested)), False, strict=run.strict)
        kept = before_failure(program.resolved, *given, settings)
        runs = [numbers.tolist() for numbers, _ in kept.values()]
        if not set(tested) <= set(kept) or any(numbers != runs[0] for numbers in runs):
            raise
        return kept[tested[0]][0], {name: draws for name, (_, draws) in kept.items()}


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise refuse(f"`{text}` in `--where {where}` is no number") from None


def _shown(value: Any) -> str:
    from ..runtime.lanes.circumstances import show

    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "" if value is None else show(value)


def _name(event: Event) -> str | None:
    name = getattr(event.node, "name", None)
    return None if name is None else "log weight" if name == LEVEL else written(name)


def _named(event: Event) -> str:
    return "" if event.value is None or _name(event) is None else f"{_name(event)} = "


def _line(program: Program, event: Event, depth: int, value: str) -> str:
    node, source = event.node, program.source
    words = " ".join(source.slice(node.span).split())
    if isinstance(node, If | For | While):
        words = words.partition("{")[0].strip()
    text = "  " * min(depth, 8) + words
    text = text if len(text) <= TEXT else text[: TEXT - 3] + "..."
    room = WIDTH - 6 - TEXT - 2
    value = value if len(value) <= room else value[: room - 3] + "..."
    return f"{source.line_column(node.span.start)[0]:>4}  {text:<{TEXT}}  {value}".rstrip()


def _lines(program: Program, events: list[Event], depth: int, everything: bool) -> list[str]:
    found: list[str] = []
    for event in events:
        node = event.node
        if isinstance(node, If):
            taken = [number for number, _ in event.entered]
            which = taken[0] if taken else 0
            words = "no branch" if not taken else "else" if which is None else "true" if not which else f"branch {which + 1}"
            found.append(_line(program, event, depth, words))
        elif isinstance(node, For | While):
            together = max((inner.together for _, part in event.entered for inner in part), default=0)
            rounds = together or len(event.entered)
            words = f"{rounds} round{'' if rounds == 1 else 's'}" + (", all at once" if together else "")
            found.append(_line(program, event, depth, words))
        elif isinstance(node, Require):
            found.append(_line(program, event, depth, "holds" if event.value else "does not hold: the run ends"))
        elif isinstance(node, Correction) or not isinstance(node, Implied):  # what else is implied repeats a line
            found.append(_line(program, event, depth, _named(event) + _shown(event.value)))
        found += _inner(program, event, depth, everything)
    return found


def _inner(program: Program, event: Event, depth: int, everything: bool) -> list[str]:
    parts, found = event.entered, list[str]()
    loop = isinstance(event.node, For | While)
    hidden = len(parts) - FIRST - LAST if loop and not everything else 0
    for place, (number, events) in enumerate(parts):
        if hidden > 1 and FIRST <= place < FIRST + hidden:
            if place == FIRST:
                found.append(f"{'':6}{'  ' * min(depth + 1, 8)}... {hidden} rounds (--all shows them)")
            continue
        if loop and len(parts) > 1:
            found.append(f"{'':6}{'  ' * min(depth, 8)}  round {number}")
        found += _lines(program, events, depth + (2 if loop and len(parts) > 1 else 1), everything)
    return found


@click.command("profile")
@program_options
@running_options
def profile_command(
    file: str | None, expression: str | None, parameters: dict[str, str], data: dict[str, str], samples: int, seed: int | None,
    target_se: float | None, max_steps: int, max_depth: int, dtype: str | None, device: str, as_json: bool, plot: Any,
) -> int:
    """Where the time of sampling goes, line by line.

    CPU time that a line takes itself, how often it is executed, and on how many lanes on the average.
    """
    _only_look("profile", target_se, plot)
    program = from_source(source_of(file, expression))
    given = values_of(program, parameters, data)
    run = run_options(samples, seed, dtype, device, None, max_steps, max_depth)
    load_torch()
    from ..runtime.many.watching import profile

    spent, problem = profile(program.resolved, *given, program._settings(run, (), False, strict=run.strict))
    lines: dict[int, list[float]] = {}
    for place, seconds in spent.seconds.items():
        entry = lines.setdefault(program.source.line_column(place)[0], [0.0, 0, 0])
        entry[0], entry[1], entry[2] = entry[0] + seconds, entry[1] + spent.times[place], entry[2] + spent.lanes[place]
    if problem is not None and not lines:
        raise problem
    if as_json:
        _json(program, run, lines)
    else:
        _table(program, run, lines)
    if problem is not None:
        complain(render_all(problem.diagnostics, colour=report.wants_colour(sys.stderr)))
    return DONE if problem is None else FAULT


def _json(program: Program, run: Any, lines: dict[int, list[float]]) -> None:
    import json

    rows = [
        {"line": line, "seconds": spent, "times": times, "lanes": lanes / times}
        for line, (spent, times, lanes) in sorted(lines.items())
    ]
    emit(json.dumps({"program": program.source.name, "samples": run.samples, "seed": run.seed, "lines": rows}))


def _table(program: Program, run: Any, lines: dict[int, list[float]]) -> None:
    whole = sum(entry[0] for entry in lines.values()) or 1.0
    emit(f"{program.source.name}    {counted(run.samples, 'run')}    seed {run.seed}    {whole:.3g} s of CPU time\n")
    emit("  share   seconds   times      lanes   line")
    text = program.source.text.split("\n")
    for line, (seconds, times, lanes) in sorted(lines.items()):
        words = text[line - 1].rstrip()
        words = words if len(words) <= 35 else words[:32] + "..."
        emit(f"  {seconds / whole:>5.0%}  {seconds:>8.2g}  {times:>6.0f}  {lanes / times:>9.0f}  {line:>5}  {words}")
    top = max(lines, key=lambda line: lines[line][0], default=None)
    if top is not None:
        emit(f"\nline {top} takes most: {lines[top][0] / whole:.0%}")


