"""The recipes of docs/extending.md, followed from outside; an estimator is added in `test_estimator_rows.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

import probrun
from probrun.dsl import syntax
from probrun.dsl.tables.distributions import DISTRIBUTIONS
from probrun.dsl.tables.functions import FUNCTIONS
from probrun.dsl.tables.ranges import Bounds
from probrun.runtime.arrays.broadcast import Shape
from probrun.runtime.arrays.function_code import FUNCTION_CODE
from probrun.runtime.laws.build import LAWS
from probrun.runtime.laws.law import Law
from probrun.runtime.laws.noise import Noise
from probrun.runtime.machine import layers

ROOT = Path(__file__).parent.parent
Z = 5.0


class Sign(Law):
    """1 with the probability `probs`, else -1."""

    probs: Tensor

    def sample(self, shape: Shape, noise: Noise) -> Tensor:
        return 2 * (noise.uniform(shape, self.probs) < self.probs).to(self.probs.dtype) - 1

    def support(self, value: Tensor) -> Tensor:
        return value.abs() == 1

    def density(self, value: Tensor) -> Tensor:
        return torch.where(value > 0, self.probs, 1 - self.probs).log()

    def outcomes(self, most: int) -> Tensor:
        return torch.tensor([-1.0, 1.0], dtype=self.probs.dtype)

    def probabilities(self, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        chance = self.probs.unsqueeze(-1)
        return torch.where(outcomes > 0, chance, 1 - chance), torch.ones_like(outcomes, dtype=torch.bool).expand(1, -1)


@pytest.mark.parametrize(("options", "exact"), [({}, True), ({"estimator": "score"}, False)])
def test_a_distribution(options: dict[str, str], exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """E[(s + t)^2] = 1 + 2t(2p - 1) + t^2 with s = 1 or -1: a row and a class."""
    row = replace(
        DISTRIBUTIONS["Bernoulli"], name="Sign", parameters=DISTRIBUTIONS["Bernoulli"].parameters[:1], alternatives=(),
        relaxable=False, support=lambda _: Bounds(-1, 1, True, True), torch=None, by_inverse=False, summary="a sign",
    )
    monkeypatch.setitem(DISTRIBUTIONS, "Sign", row)
    monkeypatch.setitem(LAWS, "Sign", Sign)
    result = probrun.parse("param p = 0.3; param t = 0.5; s ~ Sign(p); return (s + t)^2").grad(samples=20_000, seed=1, **options)
    assert result.exact == exact
    for name, slope in (("p", 2.0), ("t", 2 * (2 * 0.3 - 1) + 1)):
        found = result.gradient[name]
        assert abs(float(found.mean) - slope) <= Z * float(found.se) + 1e-5
        assert float(found.se) < 0.05


def test_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row and its code: `wave(x) = sin(x)^2`, through which the derivative goes pathwise."""
    monkeypatch.setitem(FUNCTIONS, "wave", replace(FUNCTIONS["sin"], name="wave", summary="the square of a sine"))
    monkeypatch.setitem(FUNCTION_CODE, "wave", lambda x, *, context: torch.sin(x) ** 2)
    program = probrun.parse("param t = 0.4; z ~ Normal(t, 1); return wave(z)")
    result = program.grad(samples=50_000, seed=1)
    exact = float(torch.sin(torch.tensor(0.8)) * torch.exp(torch.tensor(-2.0)))  # E[sin^2] = (1 - exp(-2) cos(2t))/2
    found = result.gradient["t"]
    assert abs(float(found.mean) - exact) <= Z * float(found.se) < 0.1
    assert [site.estimator for site in program.grad(samples=2000, seed=1, pilot=False).sites] == ["rsample"]


WORDS = """import torch
from dataclasses import replace
import probrun
from probrun.dsl.tables.distributions import DISTRIBUTIONS
from tests.test_extending import Sign
from probrun.dsl.tables.ranges import Bounds
wave = probrun.Function(lambda x: torch.sin(x)**2, smooth=True)
wrong = torch.sin
waiting = replace(DISTRIBUTIONS["Exponential"], name="Waiting"), None
sign = replace(
    DISTRIBUTIONS["Bernoulli"], name="Sign", parameters=DISTRIBUTIONS["Bernoulli"].parameters[:1], alternatives=(), relaxable=False,
    support=lambda _: Bounds(-1, 1, True, True), torch=None, by_inverse=False,
), Sign
"""
POINTS = """[probrun.functions]
wave = words_of_others:wave
wrong = words_of_others:wrong
gone = nothing_of_that_name:gone
sin = words_of_others:wrong
[probrun.distributions]
Waiting = words_of_others:waiting
Sign = words_of_others:sign
Wrong = words_of_others:wave
"""


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that adds to the language."""
    (tmp_path / "words_of_others.py").write_text(WORDS)
    info = tmp_path / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("Waiting", "Sign"):
        DISTRIBUTIONS.pop(name, None)
        LAWS.pop(name, None)


def test_words_of_other_packages(others: None) -> None:
    result = probrun.parse("param p = 0.3; param t = 0.5; s ~ Sign(p); return (s + t)^2").grad(seed=1)
    assert result.exact and [float(result.gradient[name].mean) for name in ("p", "t")] == pytest.approx([2.0, 0.2], abs=1e-5)
    waited = probrun.parse("param r = 2; w ~ Waiting(r); return w").grad(samples=50_000, seed=1).gradient["r"]  # 1/r
    assert abs(float(waited.mean) + 0.25) <= Z * float(waited.se) < 0.1
    found = probrun.parse("param t = 0.4; z ~ Normal(t, 1); return wave(z) + sin(0)").grad(samples=50_000, seed=1).gradient["t"]
    assert abs(float(found.mean) - float(torch.sin(torch.tensor(0.8)) * torch.exp(torch.tensor(-2.0)))) <= Z * float(found.se) < 0.1


@pytest.mark.parametrize(("text", "code", "said"), [
    ("return wrong(1)", "P0604", "not a probrun.Function"), ("return gone(1)", "P0604", "package others cannot be loaded"),
    ("x ~ Wrong(1); return x", "P0604", "no row of the table"), ("return nowhere(1) + wave(1)", "P0202", "unknown function `nowhere`"),
    ("x ~ wave(1); return x", "P0210", "not a distribution"),
])
def test_what_other_packages_do_wrong(text: str, code: str, said: str, others: None) -> None:
    with pytest.raises(probrun.ProbError, match=said) as caught:
        probrun.parse(text)
    assert caught.value.code == code


def test_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry in the list: it sees every operation, and the numbers are what they were."""
    program = probrun.parse("param t = 0.5; z ~ Normal(t, 1); s = 0; for i in range(2) { s = s + z*i }; return exp(-s)")
    before = program.grad(samples=500, seed=1, pilot=False)
    seen: list[str] = []

    def counted(inner: layers.Apply) -> layers.Apply:
        def apply(setting: layers.Setting, operation: layers.Operation, operands: object, frame: object, node: object) -> layers.Plain:
            seen.append(str(operation.name))
            return inner(setting, operation, operands, frame, node)  # type: ignore[arg-type]

        return apply

    monkeypatch.setattr(layers, "AROUND", (layers.Around("counted", lambda setting: True, counted), *layers.AROUND))
    after = program.grad(samples=500, seed=1, pilot=False)
    assert {"*", "+", "negative", "exp"} <= set(seen)
    assert float(before.gradient["t"].mean) == float(after.gradient["t"].mean)


def test_a_statement_is_missed_nowhere() -> None:
    """Whoever tells statements apart ends in `assert_never`, so that the type checker names each place that forgets a new one."""
    kinds = {kind.__name__ for kind in get_args(syntax.Statement)}
    passes, silent = 0, []
    for path in sorted([*(ROOT / "dsl").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Match):
                continue
            named = {
                part.cls.id for case in node.cases for part in ast.walk(case.pattern)
                if isinstance(part, ast.MatchClass) and isinstance(part.cls, ast.Name)
            }
            if len(named & kinds) > 1 and path.name != "builder.py":  # what may not stand in a block
                passes += 1
                last = ast.unparse(node.cases[-1].body[-1])
                silent += [] if last.startswith("assert_never(") else [f"{path}:{node.lineno}"]
    assert silent == [] and passes >= 5
