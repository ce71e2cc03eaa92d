"""Coupled lanes of one run draw the same where both execute the same call, and each its own where they part."""

from __future__ import annotations

import pytest
import torch

import probrun
from probrun.dsl.planning.chooser import Planner
from probrun.dsl.planning.plan import PlanOptions
from probrun.runtime.arrays.function_code import Context
from probrun.runtime.lanes.coupling import Common
from probrun.runtime.lanes.values import Held
from probrun.runtime.laws.noise import Fresh
from probrun.runtime.machine.interpreter import Interpreter

RUNS = 200
LAWS = (
    "Normal(0, 1)", "Normal(b, 1)", "Uniform(0, 1)", "Exponential(2)", "Cauchy(0, 1)", "Gamma(2, 1)", "Beta(2, 3)",
    "Poisson(4)", "Binomial(9, 0.3)", "Bernoulli(0.4)", "Geometric(0.3)", "Categorical([0.2, 0.3, 0.5])", "StudentT(4, 0, 1)", "VonMises(0, 1)", "NegativeBinomial(3, 0.4)",
)


def coupled(text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The result of every run on the lane where the fork's bit is 0, and on that where it is 1."""
    program = probrun.parse(f"b ~ Bernoulli(0.5) using enumerate; {text}")
    resolved = program.resolved
    plan = Planner(resolved)(PlanOptions())
    noise = Common(Fresh(torch.Generator().manual_seed(4)))
    machine = Interpreter(resolved, plan.choices, Context(torch.float64, torch.device("cpu")), noise)
    outcome = machine.run({}, {}, RUNS)
    (value, bit), origin = (one.wide for one in outcome.values[:2] if isinstance(one, Held)), outcome.lanes.origin
    assert isinstance(value, torch.Tensor) and origin is not None and outcome.lanes.count == 2 * RUNS
    assert isinstance(bit, torch.Tensor)
    found = []
    for side in (0.0, 1.0):
        rows = (bit == side).nonzero().squeeze(1)
        found.append(value[rows[origin[rows].argsort()]])
    return found[0], found[1]


@pytest.mark.parametrize("law", LAWS)
def test_the_same_call(law: str) -> None:
    zero, one = coupled(f"x ~ {law} using sample; return x{' - b' if 'b,' in law else ''}, b")
    assert torch.allclose(zero, one, atol=1e-12) and zero.unique().shape[0] > 1
    assert torch.allclose(*coupled(f"x ~ {law} using sample; return x{' - b' if 'b,' in law else ''}, b"))


def test_arguments_that_differ_draw_counts_apart() -> None:
    zero, one = coupled("k ~ Poisson(3 + 5*b); return k, b")
    assert not torch.equal(zero, one) and float(one.mean()) > float(zero.mean()) + 3
    zero, one = coupled("x ~ Exponential(1 + b); return x*(1 + b), b")
    assert torch.allclose(zero, one)


def test_branches_and_loops() -> None:
    """Both lanes go through the loop; in the third round one of them goes another way, and in its branch draws by itself."""
    text = """
    first = 0; own = 0; last = 0
    for t in range(5) {
      z ~ Normal(0, 1)
      first = first + z
      if b > 0.5 and t == 2 { e ~ Normal(0, 1); own = own + e }
      if z > 0 { g ~ Normal(0, 1); last = last + g*2^t }
    }
    return first + 100*last + own*0, b
    """
    zero, one = coupled(text)
    assert torch.allclose(zero, one)
    zero, one = coupled(text.replace("own*0", "own"))
    assert not torch.allclose(zero, one)


def test_lanes_that_leave_a_loop_at_different_times() -> None:
    """While both are inside they share their steps."""
    text = "s = 0; n = 0; while s < 2 + b and n < 50 { x ~ Exponential(1); s = s + x; n = n + 1 }; return n, b"
    zero, one = coupled(text)
    assert bool((zero <= one).all()) and bool((zero < one).any())
