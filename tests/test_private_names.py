"""Private names of torch: in one file only, and what is done without each of them is right."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import torch

import probrun
from probrun.runtime.arrays import private
from probrun.runtime.graphs import replay

ROOT = Path(__file__).parent.parent
PRIVATE = re.compile(r"\btorch(?:\.\w+)*\._[a-z]|import _[a-z]|\._(?:schema|cdata)\b|_python_dispatch|_engine_run")
Z = 5.0


def test_they_are_in_one_file() -> None:
    found = {
        path.relative_to(ROOT).as_posix() for place in ("dsl", "runtime", "probrun") for path in (ROOT / place).rglob("*.py")
        if PRIVATE.search(path.read_text())
    }
    assert found == {"runtime/arrays/private.py"}


@pytest.mark.parametrize(("text", "exact"), [
    ("x ~ Gamma(a, 2); return x^2", (2 * 1.5 + 1) / 4),
    ("x ~ Beta(a, 2); return x", 2 / 3.5**2),
    ("x ~ Dirichlet([a, 1, 2]); return x[0]*x[1]", (4.5 * 5.5 - 1.5 * (2 * 4.5 + 1)) / (4.5 * 5.5) ** 2),
    ("x ~ StudentT(4 + a, 0, 1); return x^2", -2 / 3.5**2),
])
@pytest.mark.parametrize("name", ["_standard_gamma", "_standard_gamma_grad", "_sample_dirichlet", "_dirichlet_grad", "_run_backward"])
def test_without(name: str, text: str, exact: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, name, None)
    program = probrun.parse(text)
    for estimator in ("rsample", "score"):
        found = program.grad({"a": 1.5}, samples=20_000, seed=2, estimator=estimator).gradient["a"]
        assert abs(float(found.mean) - exact) <= Z * float(found.se) < 0.3
    before = torch.get_rng_state()
    program.grad({"a": 1.5}, samples=100, seed=2, estimator="rsample")
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_dispatch_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    from probrun.runtime.graphs import recorder

    monkeypatch.setattr(recorder, "TorchDispatchMode", None)
    result = probrun.parse("z ~ Normal(theta, 1); return z^2").grad({"theta": 1.0}, samples=200_000, seed=1, compile=True)
    assert result.compiled is not None and "does not show" in result.compiled.reason


def test_without_knowing_who_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch does not say whether its operations are seen, nothing is written down."""
    monkeypatch.delattr(torch._C, "_len_torch_dispatch_stack")
    spec = importlib.util.spec_from_file_location("private_without", private.__file__)
    assert spec is not None and spec.loader is not None
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert alone.TorchDispatchMode is None and not alone.observed()


@pytest.mark.parametrize("function", [torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor, torch.ops.aten.mul.Tensor])
def test_what_writes(function: object) -> None:
    class Bare:
        def __str__(self) -> str:
            return str(function)

    assert private.is_mutable(Bare()) == private.is_mutable(function)


def test_optimisers_without_the_way_past_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch decorates its methods otherwise, an optimiser loads what it wants."""
    for name in ("add_param_group", "zero_grad"):
        method = getattr(torch.optim.Optimizer, name)
        monkeypatch.setattr(torch.optim.Optimizer, name, lambda *given, method=method, **more: method(*given, **more))
    program = probrun.parse("param a = 1\nz ~ Normal(a, 1)\nreturn (z - 3)^2\n")
    assert program.fit(minimize=True, seed=1).converged


def expected(program: probrun.Program, calls: int = 7, **options: object) -> tuple[float, float]:
    """The last of several expectations and their derivatives, which are replayed by then."""
    for _ in range(calls):
        t = torch.tensor(0.5, requires_grad=True)
        found = program.expectation({"t": t}, samples=200, seed=1, **options)  # type: ignore[arg-type]
        found.backward()
    assert t.grad is not None
    return float(found.detach()), float(t.grad)


@pytest.mark.parametrize("absent", ["_op", "_inductor", "_functorch", "_autograd", "_observer"])
def test_steps_without(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations with the Python around them, `torch.compile` in place of its compiler, no word of transforms or of graphs that are
    kept, nobody who puts questions again."""
    text = "param t\nz ~ Normal(t, 1)\nk ~ Poisson(exp(z))\nreturn (k - t)*z"
    known = expected(probrun.parse(text), 1)
    options = {}
    if absent == "_op":
        assert private.direct(len) is len  # it has no such thing
        monkeypatch.setattr(replay, "direct", lambda function: function)
    elif absent == "_inductor":
        monkeypatch.setattr(torch, "_inductor", None)
        monkeypatch.setitem(__import__("sys").modules, "torch._inductor", None)
        monkeypatch.setattr(torch, "compile", lambda module, **more: module)
        text, options = "param t\nz ~ Normal(t, 1)\nreturn (z - t)*z", {"compile": True}
        known = expected(probrun.parse(text), 1)
    elif absent == "_observer":
        monkeypatch.setattr(private, "_observer", None)
    else:
        monkeypatch.delattr(torch._C, absent)
    assert expected(probrun.parse(text), **options) == pytest.approx(known, rel=1e-4)
