"""Part files: what `grad --save` and `run --save` write, and the result of several of them together."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..api import Program, from_source
from ..dsl.fingerprint import fingerprint
from ..dsl.text.diagnostics import Diagnostic, ProbError
from ..dsl.text.source import Source
from ..options import run_options
from ..results import GradientResult, Result, RunResult, SiteReport, common_fields, left_out
from ..weights import unkeyed
from .sweep_table import problem

VERSION = 1
HINT = "name files that `probrun grad --save` or `probrun run --save` have written"
Part = dict[str, Any]


def part_of(
    program: Program, result: Result, parameters: Mapping[str, Any], data: Mapping[str, Any], shard: tuple[int, int]
) -> Part:
    """What a part file holds: the moments, and what must be the same in all parts."""
    import torch

    from ..runtime.estimates.binding import bind_values
    from ..runtime.many.parts import kept_of, packed

    estimate = result.kept
    assert estimate is not None and estimate.collected is not None
    bound = bind_values(program.resolved, parameters, data, torch.float64, torch.device("cpu"))
    values = [{name: value.tolist() if hasattr(value, "tolist") else value for name, value in group.items()} for group in bound]
    plan = estimate.plan
    gradient = isinstance(result, GradientResult)
    collected = estimate.collected
    return {
        "probrun": VERSION, "command": "grad" if gradient else "run",
        "program": {"name": program.source.name, "text": program.source.text, "hash": fingerprint(program.resolved.program)},
        "parameters": values[0], "data": values[1], "of": list(result.results), "dtype": result.dtype, "exact": result.exact,
        "plan": [] if plan is None else json.loads(json.dumps(plan.key)), "biased": plan is not None and plan.biased,
        "kinked": plan is not None and bool(plan.kinks),
        "runs": [[result.seed, result.requested, shard[0] - 1, shard[1], (collected.blocks + 1) * shard[1]]],
        "samples": result.samples, "seconds": result.seconds, "rounded": result.rounded, "device": result.device,
        "scarce": packed(dict(estimate.scarce)),
        "contradictions": packed(list(getattr(result, "contradictions", ()))), "counted": packed(getattr(result, "counted", ())),
        "sites": [_plain_site(site) for site in getattr(result, "sites", ())], "state": kept_of(collected),
    }


def _plain_site(site: SiteReport) -> dict[str, Any]:
    told = asdict(replace(site, measured={}, foreseen=None))
    return {key: value for key, value in told.items() if key not in ("measured", "foreseen")}


def write(part: Part, path: Path) -> None:
    """Write a part file as a whole, or not at all."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(part) + "\n", encoding="utf-8")
    os.replace(beside, path)


def read_part(path: Path) -> Part:
    """What a part file holds; P0614."""
    try:
        part = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise problem(path, f"is no part file: {error}", HINT) from None
    if not isinstance(part, dict) or "probrun" not in part or "state" not in part:
        raise problem(path, "is no part file", HINT)
    if part["probrun"] != VERSION:
        raise problem(path, f"was written by another version of probrun (format {part['probrun']}, not {VERSION})", "make it again")
    return part


SAME = {  # what parts must have in common, in words, and what to do
    "command": ("another command", "merge parts of one command"),
    "dtype": ("other arithmetic", "give the same --dtype to all of them"),
    "plan": ("other estimators", "give the same --estimator to all of them; `probrun explain` says which"),
    "parameters": ("other parameters", "give the same -p to all of them"),
    "data": ("other data", "give the same -d to all of them"),
    "of": ("other results", "give the same --of to all of them"),
}


def check_together(paths: Sequence[Path], parts: Sequence[Part]) -> None:
    """P0614 where parts do not belong together, or have runs in common."""
    from ..runtime.many.parts import same_numbers

    first = parts[0]
    for number, (path, part) in enumerate(zip(paths, parts, strict=True)):
        if part["program"]["hash"] != first["program"]["hash"]:
            raise problem(path, f"is of another program than `{paths[0]}`", "merge parts of one program")
        for name, (words, hint) in SAME.items():
            if part[name] != first[name]:
                raise problem(path, f"has {words} than `{paths[0]}`", hint)
        for before in range(number):
            if any(same_numbers(tuple(one), tuple(two)) for one in parts[before]["runs"] for two in part["runs"]):
                hint = "give each a seed of its own, or one seed, one -n and different shares: --shard 1/4, --shard 2/4, ..."
                raise problem(path, f"has runs that are in `{paths[before]}` too: they draw the same random numbers", hint)


def merged(paths: Sequence[Path], parts: Sequence[Part]) -> tuple[Result, Part]:
    """The result of all parts together, and what is saved of it.  P0614."""
    check_together(paths, parts)
    order = sorted(parts, key=lambda part: part["runs"])
    first = order[0]
    program = from_source(Source(first["program"]["name"], first["program"]["text"]))
    from ..runtime.many.parts import joined, kept_of, unpacked

    gradient = first["command"] == "grad"
    run = run_options(sum(part["samples"] for part in order), first["runs"][0][0], first["dtype"], first["device"], None)
    names = tuple(name for name in first["of"] if name not in program.results)
    settings = replace(program._settings(run, tuple(first["of"]) if names else (), False), saving=True)
    try:
        collected = joined([part["state"] for part in order], settings, _session(program, settings))
        scarce = [unpacked(part["scarce"], settings) for part in order]
        doubted = [doubt for part in order for doubt in unpacked(part["contradictions"], settings)]
        counted = unpacked(first["counted"], settings)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise ProbError(Diagnostic("P0614", f"a part file is damaged: {error}", help=HINT)) from None
    estimate = collected.estimate(None, 0.0)
    if gradient and not estimate.weights:
        estimate = replace(estimate, spreads=collected.spreads(first["kinked"]))
    common = common_fields(program.resolved, run, estimate, names) | {
        "seconds": sum(part["seconds"] for part in order), "rounded": any(part["rounded"] for part in order),
        "dtype": first["dtype"],
        "look": partial(_steady, program, first, estimate, names),
    }
    result: Result
    if gradient:
        result = GradientResult(
            **common, **left_out(program.resolved, estimate, ()) | {"counted": counted}, biased=first["biased"],
            gradient=unkeyed(estimate.gradient) if len(estimate.value) == 1 else estimate.gradient,
            sites=tuple(SiteReport(**_site(site)) for site in first["sites"]), spreads=estimate.spreads,
            scarce={site: max(found[site] for found in scarce) for site in scarce[0] if all(site in found for found in scarce)},
            contradictions=tuple(doubted), kinks=program.resolved.program.source.places(estimate.kinks),
        )
    else:
        result = RunResult(**common, draws=estimate.draws)
    whole = {**first, "runs": [run for part in order for run in part["runs"]], "samples": collected.done}
    whole |= {"seconds": common["seconds"], "rounded": common["rounded"], "state": kept_of(collected)}
    return result, whole


def _site(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        **fields, "because": tuple(fields["because"]), "among": tuple(fields["among"]),
        "rejected": tuple((name, why) for name, why in fields["rejected"]),
    }


def _session(program: Program, settings: Any) -> Any:
    from ..runtime.blocks.session import Session

    return Session(program.resolved, None, {}, {}, settings, False, True)


def _steady(program: Program, part: Part, estimate: Any, of: tuple[str, ...]) -> frozenset[tuple[str, str | None]]:
    """What no draw changes, by the estimators of the parts."""
    shown = [*estimate.value.values(), *(moments for rows in estimate.gradient.values() for moments in rows.values())]
    if estimate.exact or estimate.weights is not None or not any(bool((moments.se == 0).any()) for moments in shown):
        return frozenset()
    from ..dsl.analysis.steady import steady

    return steady(program.resolved, {entry[0]: entry[1] for entry in part["plan"]}, of)
