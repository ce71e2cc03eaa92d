"""Where a program comes back to states that it has been in, what is computed from these is computed once: with the same answer."""

from __future__ import annotations

import gc

import pytest
import torch

import probrun
from benchmarks.merging import without
from benchmarks.merging_programs import Programs
from probrun.api import Program
from probrun.runtime.estimators.enumerate import Enumerate
from probrun.runtime.lanes.lanes import Lanes

WAYS = {"estimator": "enumerate", "max_lanes": 4000, "pilot": False}
CLOSE = 1e-10
ROUNDS = 200
P = 0.3
R = 2*P - 1
WEATHER = "[[0.7, 0.3, 0], [p, 1 - p, 0], [0, 1, 1]]"


def numbers(program: Program, **values: float) -> list[float]:
    """The value and all derivatives, which are exact."""
    found = program.grad(values, seed=1, **WAYS)
    assert found.exact
    several = isinstance(found.value, dict)
    means = [*found.value.values()] if several else [found.value]
    means += [moments for rows in found.gradient.values() for moments in (rows.values() if several else (rows,))]
    return [float(entry) for moments in means for entry in torch.as_tensor(moments.mean).double().flatten()]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each draw that is made."""
    made: list[int] = []
    usual = Enumerate.draw
    monkeypatch.setattr(Enumerate, "draw", lambda *given: made.append(1) or usual(*given))
    return made


@pytest.mark.parametrize(("body", "value", "slope"), [
    # a walk on an even ring: two sets of states, in turns
    ("s = 0; n = 0; for t in range(200) { b ~ Bernoulli(p); s = (s + 2*b - 1) % 6; n = n + b }; return n", ROUNDS*P, ROUNDS),
    # the chance of a draw hangs on the state: P(s = 1) after t rounds is (1 - r^t)/2, r = 2 p - 1
    ("s = 0; n = 0; for t in range(200) { b ~ Bernoulli(if s then p else 1 - p); s = b; n = n + s }; return n",
     ROUNDS/2 - R/(1 - R)/2, -1/(1 - R)**2),
    # an outcome of probability 0 that moves
    ("n = 0; for t in range(200) { k ~ Categorical([1 - q, q]); n = n + k*p }; return n", 0.0, 0.0),
    # draws in branches, and lanes that come together again
    ("n = 0; s = 0; for t in range(200) { if s < 2 { b ~ Bernoulli(p); s = s + b } else { s = 0; n = n + 1 }; n = n + 0*s }; return 0*n + p",
     P, 1.0),
    # 1 and -1 in turns, 0 and -0 are two states
    ("s = 1; n = 0; for t in range(200) { b ~ Bernoulli(p); s = -s; n = n + b*(1/(s*0) > 0) }; return n", ROUNDS/2*P, ROUNDS/2),
])
def test_what_is_known(body: str, value: float, slope: float, drawn: list[int]) -> None:
    program = probrun.parse(f"param p = {P}; param q = 0; {body}")
    found = numbers(program)
    assert found[:2] == pytest.approx([value, slope], rel=1e-12, abs=1e-12)
    assert len(drawn) < ROUNDS/4
    with without("again"):
        assert numbers(program) == pytest.approx(found, rel=CLOSE, abs=CLOSE)
    assert len(drawn) >= ROUNDS


@pytest.mark.parametrize("text", [
    f"s = 0; n = 0; for t in range(60) {{ s ~ Categorical({WEATHER}[s]); n = n + [0, 1, p][s] }}; return n, n*p",
    "v = zeros(3); n = 0; for t in range(60) { k ~ Categorical([p, 0.2, 0.3]); v[k] = 1 - v[k]; n = n + sum(v)*p }; return n",
    "fn f(s) { b ~ Bernoulli(p); if b { return s }; c ~ Bernoulli(0.2 + p/2); return 1 - s + c }\n"
    "s = 0; n = 0; for t in range(60) { s = f(s) % 2; n = n + s }; return n",
    "s = 0; n = 0; for t in range(20) { for u in range(3) { b ~ Bernoulli(p); s = (s + b) % 3 }; w = 0; while w < 2 and Bernoulli(p) { w = w + 1 }\n"
    " n = n + w*s }; return n",
    "r = p; n = 0; for t in range(60) { b ~ Bernoulli(r); r = if b then p else 1 - p; n = n + r }; return n",
    "s = 0; n = 0; for t in range(60) { k ~ Binomial(2 + s, p); s = k % 2; a ~ Bernoulli(p*ones(2)); n = n + k*sum(a) }; return n",
    "s = 3; n = 0; while s > 0 and s < 6 { b ~ Bernoulli(p); s = s + 2*b - 1; n = n + p }; return n, s > 0",
    "s = 0; n = 0; for t in range(60) { if Bernoulli(p) and s < 4 { s = s + 1 } else { if s > 0 { if Bernoulli(0.5) { s = s - 1 } } }; n = n + s }; return n",
])
def test_nothing_else_is_found(text: str) -> None:
    program = probrun.parse(f"param p = {P}\n{text}")
    found = numbers(program)
    with without("again"):
        assert numbers(program) == pytest.approx(found, rel=CLOSE, abs=CLOSE)


def repeated(text: str) -> str:
    """A random program whose body is executed seven times, each time from one of few states."""
    rows = text.split("\n")
    begin = next(number for number, row in enumerate(rows[3:], start=3) if not row.startswith("fn "))
    start = "total = 0; weight = phi; other = theta; marks = [0, 1, 2]; n = n % 2; shared = shared % 2"
    body = ["acc = 0", "for rep in range(7) {", start, *rows[begin:-1], "acc = acc + total + n*theta", "}"]
    return "\n".join([*rows[:begin], *body, "return acc + " + rows[-1].removeprefix("return ")])


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_random_programs_again_and_again(first: int) -> None:
    for seed in range(first, first + 15):
        text, values = Programs(seed, 6.0).program()
        program = probrun.parse(repeated(text))
        try:
            if not program.grad(values, seed=1, samples=200, **WAYS).exact:
                continue
        except probrun.ProbError:  # numbers grow beyond all bounds
            continue
        usual = numbers(program, **values)
        with without("again"):
            assert numbers(program, **values) == pytest.approx(usual, rel=1e-9, abs=1e-9), seed


def test_nothing_is_kept() -> None:
    program = probrun.parse(f"param p = {P}; s = 0; for t in range(50) {{ s ~ Categorical({WEATHER}[s]) }}; return s")
    numbers(program)
    gc.collect()
    gc.disable()
    try:
        numbers(program)
        assert not [one for one in gc.get_objects() if type(one) is Lanes and one.once is not None]
    finally:
        gc.enable()
