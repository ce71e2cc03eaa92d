"""Every layer can be left out, and nothing changes but how it is done: the same runs give the same numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import probrun
from probrun.api import Program
from probrun.runtime.blocks.moments import Moments
from probrun.runtime.blocks.settings import Settings
from probrun.runtime.machine.interpreter import Interpreter
from probrun.runtime.machine.layers import AFTER, AROUND, NAMES

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT.parent / "shared" / "cases"
SLOW = {"epidemic", "agents", "rejection"}  # a second or more
CLOSE = 1e-9  # layers round in another order
OTHER_DRAWS = {"lift", "rounds"}  # the same law by other random numbers: a coin of one chance is tossed by bits
Z = 6.0  # over some 600 comparisons
EXACT = {
    "chain": "param p = 0.3; s = 0; for i in range(6) { b ~ Bernoulli(p); s = s + b*(1 + s) }; return s",
    "branches": "param p = 0.3; b ~ Bernoulli(p); if b { c ~ Bernoulli(p^2) } else { c ~ Categorical([p, 1 - p]) }; return c + 2*b",
    "arrays": "param p = 0.3; b ~ Bernoulli(p*ones(4)); v = zeros(3); for i in range(3) { v[i] = b[i]*b[i + 1] }; return sum(v)*p",
    "functions": "param p = 0.3; fn f(x, p) { b ~ Bernoulli(p*x); return b*x + p }; return f(0.5, p)*f(0.25, p)",
    "kinks": "param p = 0.3; b ~ Bernoulli(p); return max(b*p, p^2) + abs(b - p)",
    "numbers": "param p = 0.3; k ~ Binomial(4, p); return tanh(k*p) + k^2/(1 + k)",
}


TRIED = {*NAMES, "rounds", "merge", "again"}
WITH_ALL: dict[tuple[str, int, str], list[Moments]] = {}  # what is found with every layer: program, runs, options


def cases() -> list[Any]:
    if not CASES.exists():
        return []
    return [case for case in json.loads((CASES / "cases.json").read_text()) if case["expect"] == "gradient"]


def found(program: Program, without: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Moments]:
    """Values and gradients with a layer left out."""
    usual = Program._settings

    def settings(self: Program, *arguments: Any, **more: Any) -> Settings:
        return replace(usual(self, *arguments, **more), without=frozenset((without,)))

    with monkeypatch.context() as patch:
        patch.setattr(Program, "_settings", settings)
        result = program.grad(seed=3, pilot=False, dtype="float64", unbiased=True, **options)
    several = isinstance(result.value, dict)
    values = result.value if several else {"": result.value}
    gradients = result.gradient if several else {"": result.gradient}
    return [*values.values(), *(moments for rows in gradients.values() for moments in rows.values())]


def held_together(text: str | Path, name: str, monkeypatch: pytest.MonkeyPatch, samples: int, **options: Any) -> None:
    """The same numbers of the same runs, or as close as chance lets other runs come."""
    program = probrun.load(text) if isinstance(text, Path) else probrun.parse(text)
    samples = 20 * samples if name in OTHER_DRAWS else samples
    key = (str(text), samples, json.dumps(options, sort_keys=True))
    if key not in WITH_ALL:
        WITH_ALL[key] = found(program, "", monkeypatch, samples=samples, **options)
    for usual, other in zip(WITH_ALL[key], found(program, name, monkeypatch, samples=samples, **options), strict=True):
        mean, again = (torch.as_tensor(one.mean).double() for one in (usual, other))
        scale = 1 + (float(mean.abs().max()) if mean.numel() else 0.0)
        within = CLOSE * scale + CLOSE * mean.abs()
        if name in OTHER_DRAWS:
            within = within + Z * torch.hypot(*(torch.as_tensor(one.se).double() for one in (usual, other)))
        assert bool(((mean - again).abs() <= within).all()), (usual, other)


@pytest.mark.parametrize("text", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("name", sorted(TRIED))
def test_exact(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held_together(text, name, monkeypatch, 100)


@pytest.mark.parametrize("name", sorted(TRIED))
def test_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sorted((ROOT / "examples").glob("*.prob")):
        if path.stem not in SLOW:
            held_together(path, name, monkeypatch, 60)


@pytest.mark.skipif(not CASES.exists(), reason="the public cases are not beside this repository")
@pytest.mark.parametrize("name", sorted(TRIED))
def test_public_cases(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in cases():
        held_together(CASES / case["file"], name, monkeypatch, 40, parameters=case.get("params"), data=case.get("data"))


def test_every_layer_has_something_to_do_somewhere() -> None:
    assert len(NAMES) == len(AROUND) + len(AFTER) and all(layer.name for layer in (*AROUND, *AFTER))
    assert {way.name for way in Interpreter.countings} == {"rounds", "one by one"}
