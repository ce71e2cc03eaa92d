"""Estimators are known by the facts of their rows: one is added from outside, others are broken on purpose."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import probrun
from probrun.dsl.tables.estimators import ESTIMATORS as ROWS
from probrun.dsl.tables.estimators import FALLBACK, PLAIN, Carrier, EstimatorRow
from probrun.runtime.estimators import ESTIMATORS, Drawn, Request

ROOT = Path(__file__).parent.parent
Z = 5.0

ANTITHETIC = EstimatorRow(
    "antithetic", "unbiased; a draw and its mirror image", "A draw and its mirror image.", Carrier.VALUE, splits=True,
    unsuited=lambda row: "" if row.name == "Normal" else f"{row.name} has no mirror",
)


class Antithetic:
    """Two lanes in place of one, `loc + scale*noise` and `loc - scale*noise`: random, although it splits."""

    facts = ANTITHETIC

    def draw(self, request: Request) -> Drawn:
        """Both, with a half each."""
        loc, scale = request.arguments["loc"], request.arguments["scale"]
        noise = request.noise.normal(request.shape, loc)
        both = torch.stack([loc + scale * noise, loc - scale * noise], dim=1)
        lanes = request.shape[0]
        index = torch.arange(lanes).repeat_interleave(2)
        return Drawn(both.reshape(2 * lanes, *request.shape[1:]), None, index, torch.full((2 * lanes,), 0.5, dtype=loc.dtype))


class GivesUp:
    """Never draws, and its row does not say that it splits: no lesson follows from that."""

    facts = replace(FALLBACK, name="idle", options=())

    def draw(self, request: Request) -> Drawn | None:
        """Nothing."""
        return None


def install(monkeypatch: pytest.MonkeyPatch, estimator: Antithetic | GivesUp) -> None:
    monkeypatch.setitem(ROWS, estimator.facts.name, estimator.facts)
    monkeypatch.setitem(ESTIMATORS, estimator.facts.name, estimator)


def test_a_random_estimator_that_splits_is_never_called_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Antithetic())
    program = probrun.parse("param theta = 0.5\nz ~ Normal(theta, 1) using antithetic\nreturn z^2 + 3*z")
    result = program.grad(samples=2000, seed=3)
    moments = result.value, result.gradient["theta"]
    for found, exact in zip(moments, (0.25 + 1 + 1.5, 4.0), strict=True):
        assert not result.exact
        assert abs(float(found.mean) - exact) <= Z * float(found.se) + 1e-5
    assert 0 < float(moments[0].se) < 0.1
    assert [site.estimator for site in result.sites] == ["antithetic"]


def test_the_same_by_force_in_a_branch_and_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Antithetic())
    source = "param theta = 0.5\ns = 0\nfor t in range(3) {\n  z ~ Normal(theta, 1)\n  s = s + z^2\n}\nreturn s"
    result = probrun.parse(source).grad(samples=2000, seed=3, estimator={"z": "antithetic"})
    found = result.gradient["theta"]
    assert abs(float(found.mean) - 3.0) <= Z * float(found.se) + 1e-4
    assert 0 < float(result.value.se) < 0.2


def test_giving_up_without_a_lesson_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, GivesUp())
    program = probrun.parse("param p = 0.5\nb ~ Bernoulli(p) using idle\nreturn 3*b")
    with pytest.raises(RuntimeError, match="nothing was learnt"):
        program.grad(samples=100, seed=0)
    with pytest.raises(RuntimeError, match="nothing was learnt"):
        program.expectation(samples=100, seed=0)


def test_what_among_leaves_out_is_named() -> None:
    program = probrun.parse("param theta = 2\nx ~ Uniform(0, theta)\nreturn x")
    with pytest.raises(probrun.ProbError) as caught:
        program.grad(samples=100, among=["score"])
    assert caught.value.code == "P0405"
    assert "`rsample` is needed here" in caught.value.diagnostics[0].label
    assert caught.value.hint == "add it: --among score,rsample"


def code_strings(path: Path) -> list[tuple[int, str]]:
    """Every string of a file that is not a docstring."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.body[0].value) for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value) for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    ]


def test_estimators_are_named_in_the_table_and_in_their_own_files_only() -> None:
    """Pages of codes are prose and may speak of them; `sample(` and `enumerate(` are what users of other languages write."""
    allowed = {ROOT / "dsl" / "tables" / "estimators.py", *(ROOT / "runtime" / "estimators").glob("*.py")}
    foreign = {ROOT / "dsl" / "tables" / "synonyms.py", ROOT / "dsl" / "reading" / "foreign.py"}
    torch_methods = {ROOT / "runtime" / "laws" / "law.py"}  # torch.distributions has methods of the same names
    found = []
    for room in ("dsl", "runtime", "probrun"):
        for path in sorted((ROOT / room).rglob("*.py")):
            inside = path.relative_to(ROOT).parts
            if path in allowed | foreign | torch_methods or path.name.startswith("code_pages") or inside[:2] in (("probrun", "dsl"), ("probrun", "runtime")):
                continue
            found += [(str(path), line, text) for line, text in code_strings(path) if text in ROWS and text not in ("sample", "jump")]  # what a function may do
    assert found == []


def test_the_roles_are_filled() -> None:
    assert PLAIN.carrier is Carrier.NOTHING and FALLBACK.carrier is Carrier.DENSITY
    assert all(row.carrier is Carrier.OUTCOMES and not row.random for row in ROWS.values() if row.exact)
