"""Wide programs: arrays of draws whose elements meet again, agents that cannot act, and the memory that runs of them take.

About 60 comparisons with exact derivatives at 5 standard errors: a false alarm with probability 4e-5, and seeds are fixed.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

import numpy
import pytest
import torch

import probrun
from probrun.runtime.arrays import kernels, memory
from probrun.runtime.blocks.sizes import CPU
from probrun.runtime.gradients import dependence
from probrun.runtime.gradients.credit import Crediting
from probrun.runtime.lanes.counter import Counter
from probrun.runtime.lanes.lessons import TooBig

AGENTS, ROUNDS = 3, 3


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array of draws counts as a wide one."""
    monkeypatch.setattr(dependence, "WIDE", 2)


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each block has taken its results as wholes."""
    found: list[bool] = []
    usual = Crediting.last_terms

    def noted(self: Crediting, *arguments: object) -> object:
        found.append(self.together)
        return usual(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Crediting, "last_terms", noted)
    return found


def epidemic(seed: int) -> str:
    """A random program of agents who meet each other."""
    choose = random.Random(seed).choice
    chance = choose(["1 - exp(-theta*sum(ill)/2)", "sigmoid(theta + mean(ill))", "theta*(1 + max(ill))/2"])
    spread = choose(["p*ones(N)", "p*ones(N)", "(0.5 + 0.5*p)*ones(N)", "p*well", "p*[0.2, 1, 0.7]"])
    meet = choose(["well*caught", "where(well > 0, caught, 0)", "caught*[1, 0, 1]*well"])
    heal = choose(["ill - ill*healed", "ill*(1 - healed)", "where(healed > 0, 0, ill)"])
    end = choose(["sum(ill)", "N - sum(well)", "[sum(ill), sum(well)]", "sum(ill*ill) + theta*sum(well)", "dot(ill, [1, 2, 3])", "ill"])
    return (
        f"param theta in (0, 1) = 0.3\nN = {AGENTS}\nill = arange(N) < 1\nwell = 1 - ill\nfor t in range({ROUNDS}) {{\n"
        f"  p = {chance}\n  caught ~ Bernoulli({spread})\n  healed ~ Bernoulli(0.4*theta*ones(N))\n"
        f"  new = {meet}\n  well = well - well*new\n  ill = {heal}\n  ill = ill + new - ill*new\n}}\nreturn {end}"
    )


def errors(seed: int, runs: int, variants: tuple[str, ...]) -> Iterator[tuple[str, str, float]]:
    """Of one epidemic every estimate further from the exact answer than 4.5 standard errors, and by how many it is."""
    text = epidemic(seed)
    program = probrun.parse(text)
    oracle = program.grad(estimator="enumerate", samples=10).gradient["theta"]
    assert not oracle.se.any()
    for variant in variants:
        found = program.grad(estimator=variant, samples=runs, seed=seed, dtype="float64").gradient["theta"]
        for mean, se, exact in zip(*(part.reshape(-1).tolist() for part in (found.mean, found.se, oracle.mean)), strict=True):
            if abs(mean - exact) > 4.5 * se + 1e-9:
                yield text, variant, (mean - exact) / max(se, 1e-12)


@pytest.mark.parametrize("seed", range(24))
def test_random_epidemics(seed: int, narrow: None, switched: list[bool]) -> None:
    """Their derivatives are those that enumeration gives, and the standard errors are those of the errors."""
    variants = ("score", "score(baseline=regression)", "score(baseline=none)")[seed % 3 :][:1]
    for _, variant, _ in errors(seed, 2000, variants):
        assert not [z for _, _, z in errors(seed, 40_000, (variant,)) if abs(z) > 5]
    assert any(switched)


def test_where_a_draw_decides_nothing_is_put_together(narrow: None, switched: list[bool]) -> None:
    """Which runs are taken as wholes must not depend on what was drawn."""
    text = "param theta = 0.3; b ~ Bernoulli(theta); x ~ Bernoulli(theta*ones(3)); m = 0.5; if b { m = mean(x) }; "
    program = probrun.parse(text + "y ~ Bernoulli((m + theta)/2*ones(3)); return sum(x) + sum(y)")
    exact = float(program.grad(estimator="enumerate", samples=10).gradient["theta"].mean)
    found = program.grad(estimator="score", samples=20_000, seed=3).gradient["theta"]
    assert switched and not any(switched)
    assert abs(float(found.mean) - exact) < 5 * float(found.se)


CROWD = (
    "N = {agents}; ill = arange(N) < 2; well = (arange(N) < 10)*(1 - ill); for t in range(4) {{ p = 1 - exp(-theta*sum(ill)/10); "
    "caught ~ Bernoulli({chance}); new = well*caught; well = well - new; ill = ill + new }}; return sum(ill)"
)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("chance", ["p*ones(N)", "p*well"])
@pytest.mark.parametrize("variant", ["score", "score(baseline=regression)"])
def test_who_cannot_act_costs_nothing(wide: bool, chance: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand agents who catch nothing, as their probability is 0 or as all that they catch is multiplied by 0, beside ten."""
    monkeypatch.setattr(dependence, "WIDE", 2 if wide else 2**14)

    def spread(agents: int) -> float:
        program = probrun.parse(CROWD.format(agents=agents, chance=chance))
        found = program.grad({"theta": 0.3}, estimator=variant, samples=4000, seed=5, pilot=False).gradient["theta"]
        return float(found.sd)

    assert spread(1000) < 1.15 * spread(10)


def test_probability_zero_is_exactly_nothing() -> None:
    """Fifty agents of whom only three can act: the gradient of a run is that of the three, to the last digit."""
    text = "w ~ Bernoulli(theta*(arange(50) < 3)); return sum(w)^2"
    found = probrun.parse(text).grad(
        {"theta": 0.25}, estimator="score(baseline=none)", samples=500, seed=2, keep_runs=True, dtype="float64", pilot=False
    )
    possible = [k**2 * (k / 0.25 - (3 - k) / 0.75) for k in range(4)]
    rows = found.per_run["result"]["theta"].reshape(-1).tolist()
    assert len(rows) == 500 and all(min(abs(row - value) for value in possible) < 1e-9 for row in rows)
    assert len({round(row, 6) for row in rows}) >= 3


def test_counts_of_what_counts() -> None:
    value = (torch.rand(5, 40) < 0.3).float()
    counted = (torch.rand(5, 40) < 0.5).float()
    for mask in (counted, counted[:1].expand(5, 40)):
        ones, count = kernels.hits(value, mask)
        assert torch.equal(ones, (value * mask).sum(1)) and torch.equal(torch.as_tensor(count), mask.sum(1))
    ones, count = kernels.hits(value, None)
    assert torch.equal(ones, value.sum(1)) and count == 40


def test_large_results_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a result is put does not matter to it: draws of every kind, and arithmetic."""
    text = (
        "param theta = 0.3; x ~ Normal(theta, 1); u ~ Uniform(zeros(300), 1); z ~ Normal(zeros(300), 1); b ~ Bernoulli(theta); "
        "return sum((u + z - 2)*b - z*u)*x"
    )

    def found() -> numpy.ndarray:
        result = probrun.parse(text).grad(estimator={"x": "rsample", "b": "score"}, samples=500, seed=7)
        return numpy.array([float(result.gradient["theta"].mean), float(result.gradient["theta"].sd)])

    usual = found()
    for module in (memory, kernels):
        monkeypatch.setattr(module, "TAKEN", 16)
    monkeypatch.setattr(memory, "LONG", 16)
    assert (found() == usual).all()


def test_blocks_of_wide_runs() -> None:
    """A value of a block has no more numbers than are worth it, however wide a run is; no block has fewer runs than 16."""
    for width, most in ((1000, 524), (10_000, 209), (100_000, 20), (10**6, 16)):
        counter = Counter(2**62, 2**62)
        counter.widest = 64 * width
        assert CPU.lanes(counter, 64) == most
    with pytest.raises(TooBig):
        CPU.counter(100).expect(100 * 100_000)
    CPU.counter(16).expect(16 * 10**7)


MEASURED = """
import resource, probrun
program = probrun.load("benchmarks/workloads/wide.prob")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
program.grad(samples=32, seed=1, estimator="score", pilot=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_of_a_wide_program() -> None:
    """32 runs of 100,000 agents over 100 steps; all log densities of their draws would be 2.5 GB, and as much again with the terms."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1200
