"""Finite differences against closed forms: |mean - exact| <= 5 standard errors, and standard errors small enough to tell."""

from __future__ import annotations

import math
from typing import Any

import pytest

import probrun
from probrun.runtime.blocks.settings import Settings
from probrun.runtime.estimates.differences import Difference, extrapolated, finite_differences


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def Phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def differ(text: str, parameters: dict[str, Any], step: float = 0.1, common: bool = True, **options: Any) -> Difference:
    settings = Settings(**{"samples": 40_000, "seed": 11, **options})
    return finite_differences(probrun.parse(text).resolved, parameters, {}, settings, step, common=common)


def close(mean: Any, se: Any, exact: Any, least: float = 1e-4) -> None:
    """Entry by entry; `least` is what rounding may do."""
    for found, error, wanted in zip(mean.reshape(-1).tolist(), se.reshape(-1).tolist(), exact, strict=True):
        assert abs(found - wanted) <= 5 * error + least, (found, error, wanted)
        assert error <= 0.05 * max(abs(wanted), 1.0), (found, error, wanted)


GEOMETRIC = "n = 0; g = 1; while g { b ~ Bernoulli(theta); g = not b; n = n + g }; y = n"

# program, parameter, value, step, the exact central difference quotient (the gradient where it is quadratic at most)
CASES = [
    # (theta^2)(theta + 4) is cubic: the quotient is off by h^2, and h is 0.1 * 2
    ("z ~ Normal(theta, 2); y = theta^2*(z+4)", 2.0, 0.1, 28 + 0.2**2),
    ("x = 2*Bernoulli(3*theta) + Bernoulli(theta)", 0.1, 0.05, 7.0),
    ("x ~ Normal(theta, 1); y = x > 0", 0.5, 0.2, (Phi(0.7) - Phi(0.3)) / 0.4),
    ("x ~ Normal(theta, 1); y = x^2 + (x > 0)", 0.5, 0.2, 1 + (Phi(0.7) - Phi(0.3)) / 0.4),
    ("b ~ Bernoulli(theta); y = 0; if b { y = 5 }", 0.3, 0.1, 5.0),
    ("x ~ Uniform(0, theta); y = x", 2.0, 0.1, 0.5),
    ("y = theta^2", 3.0, 0.1, 6.0),
]


@pytest.mark.parametrize("common", [True, False], ids=["common", "independent"])
@pytest.mark.parametrize("text, value, step, exact", CASES, ids=[case[0][:40] for case in CASES])
def test_quotients(text: str, value: float, step: float, exact: float, common: bool) -> None:
    found = differ(text, {"theta": value}, step, common, samples=200_000)
    (rows,) = found.gradient.values()
    moments = rows["theta"]
    close(moments.mean, moments.se, [exact], 1e-3)


def test_a_loop_whose_streams_part() -> None:
    moments = differ(GEOMETRIC, {"theta": 0.5}, 0.1, samples=200_000).gradient["y"]["theta"]
    close(moments.mean, moments.se, [(1 / 0.6 - 1 / 0.4) / 0.2])


def test_every_entry_of_a_vector() -> None:
    text = "param w[3]; z ~ Normal(w, 1); y = sum(z*[1, 2, 3]) + w[0]*w[2]"
    moments = differ(text, {"w": [0.5, -1.0, 2.0]}).gradient["y"]["w"]
    assert moments.mean.shape == (3,)
    close(moments.mean, moments.se, [3.0, 2.0, 3.5], 1e-3)


def test_array_results_and_two_of_them() -> None:
    text = "param a = 1; param w[2] = [1, 2]; z ~ Normal(a, 1); total = z*w; peak = a*z; return total, peak"
    found = differ(text, {}, dtype="float64")
    assert set(found.gradient) == {"total", "peak"}
    by_w = found.gradient["total"]["w"]
    assert by_w.mean.shape == (2, 2)  # result axes before parameter axes
    close(by_w.mean, by_w.se, [1.0, 0.0, 0.0, 1.0])
    by_a = found.gradient["total"]["a"]
    close(by_a.mean, by_a.se, [1.0, 2.0])
    close(found.gradient["peak"]["a"].mean, found.gradient["peak"]["a"].se, [2.0])
    close(found.gradient["peak"]["w"].mean, found.gradient["peak"]["w"].se, [0.0, 0.0])


def test_common_random_numbers_take_the_noise_off() -> None:
    text = "z ~ Normal(theta, 2); y = theta^2*(z+4)"
    common, independent = (differ(text, {"theta": 2.0}, 0.05, common).gradient["y"]["theta"] for common in (True, False))
    assert float(common.sd) < 0.25 * float(independent.sd)
    # one run of the independent quotient: both sides' spread over twice the step
    h = 0.1
    wanted = math.hypot((2 + h) ** 2 * 2, (2 - h) ** 2 * 2) / (2 * h)
    assert float(independent.sd) == pytest.approx(wanted, rel=0.05)
    assert float(independent.se) == pytest.approx(wanted / math.sqrt(40_000), rel=0.05)


@pytest.mark.parametrize("step", [0.4, 0.1])
def test_spread_of_a_jump_grows_like_one_over_the_step(step: float) -> None:
    """A run counts 1 / 2h where the jump lies between both sides, else 0: its variance is q / 4h^2 - (q / 2h)^2."""
    moments = differ("x ~ Normal(theta, 1); y = x > 0", {"theta": 0.5}, step, samples=200_000).gradient["y"]["theta"]
    between = Phi(0.5 + step) - Phi(0.5 - step)
    assert float(moments.sd) ** 2 == pytest.approx((between - between**2) / (4 * step**2), rel=0.05)


@pytest.mark.parametrize("value, step", [(0.0, 0.1), (1.0, 0.1), (0.02, 0.1), (0.97, 0.1)])
def test_one_side_at_the_edge_of_a_distribution(value: float, step: float) -> None:
    moments = differ("b ~ Bernoulli(theta); y = 5*b", {"theta": value}, step).gradient["y"]["theta"]
    close(moments.mean, moments.se, [5.0])


def test_a_step_that_is_too_large_is_made_smaller() -> None:
    moments = differ("b ~ Bernoulli(theta); y = b", {"theta": 0.5}, 2.0).gradient["y"]["theta"]
    close(moments.mean, moments.se, [1.0])
    # the declared domain holds for displaced values, and a loop that would never end at its edge is not run
    for theta in (0.05, 0.95):
        text = f"param theta in (0, 1); {GEOMETRIC}"
        moments = differ(text, {"theta": theta}, samples=5000, dtype="float64").gradient["y"]["theta"]
        assert abs(float(moments.mean) + 1 / theta**2) <= 6 * float(moments.se) + 0.2 / theta**2
    assert float(differ("param p in (0, 1); y = p^3", {"p": 0.95}, dtype="float64").gradient["y"]["p"].mean) == pytest.approx(2.7075, abs=0.01)


def test_no_side_left_lets_the_error_out() -> None:
    with pytest.raises(probrun.ProbError) as problem:
        differ("b ~ Bernoulli(1 + theta^2); y = b", {"theta": 0.0})
    assert problem.value.code == "P0501"


def test_blocks_and_shapes() -> None:
    """Blocks do not depend on what a point happens to draw; results of different shapes are an error."""
    wide = "x ~ Normal(theta, 1); y = x; if x > 0 { z ~ Normal(zeros(1600), 1); y = x + sum(z)/1600 }"
    moments = differ(wide, {"theta": 0.5}, 0.4, samples=20_000).gradient["y"]["theta"]
    close(moments.mean, moments.se, [1.0])
    with pytest.raises(probrun.ProbError) as problem:
        differ("return zeros(floor(theta)) + Normal(0, 1)", {"theta": 2.0}, 0.6, samples=100)
    assert problem.value.code == "P0303"


def test_an_error_that_is_no_edge_gets_out() -> None:
    with pytest.raises(probrun.ProbError) as problem:
        differ("z ~ Normal([theta, 1], 1); y = z + [1, 2, 3]", {"theta": 0.5})
    assert problem.value.code == "P0301"


def test_same_seed_same_answer() -> None:
    text = "z ~ Normal(theta, 2); y = theta^2*(z+4)"
    first, again, other = (
        float(differ(text, {"theta": 2.0}, seed=seed).gradient["y"]["theta"].mean) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_several_blocks_do_not_repeat_themselves() -> None:
    """The standard error of the mean over seeds is the one that is reported."""
    text = "x ~ Normal(theta, 1); y = x > 0"
    found = [differ(text, {"theta": 0.5}, 0.2, samples=40_000, seed=1000 + k).gradient["y"]["theta"] for k in range(40)]
    exact = (Phi(0.7) - Phi(0.3)) / 0.4
    scores = [(float(moments.mean) - exact) / float(moments.se) for moments in found]
    square = sum(score * score for score in scores) / len(scores)
    assert 0.4 < square < 2.0  # chi-square with 40 degrees over 40: 5e-5 and 2e-4 beyond


def test_extrapolation_takes_the_bias_off() -> None:
    """Of an exponential the central quotient at h = 0.5 is off by h^2 / 6 = 4 %, the extrapolated one by h^4 / 480 = 0.01 %."""
    program = probrun.parse("z ~ Normal(theta, 1); y = exp(theta)*(1 + 0.01*z)").resolved
    exact = math.exp(1.0) * (1 + 0.01 * 1.0) + 0.01 * math.exp(1.0)
    settings = Settings(samples=20_000, seed=3, dtype="float64")
    plain = finite_differences(program, {"theta": 1.0}, {}, settings, 0.5, common=True).gradient["y"]["theta"]
    mean, se = extrapolated(program, {"theta": 1.0}, {}, settings, 0.5)
    assert float(plain.mean) > 1.03 * exact
    assert abs(float(mean) - exact) < 0.002 * exact + 5 * float(se)
    assert float(se) < 0.001 * exact


def test_cubic_extrapolates_exactly() -> None:
    program = probrun.parse("y = theta^3 + theta").resolved
    mean, se = extrapolated(program, {"theta": 2.0}, {}, Settings(samples=10, dtype="float64"), 0.3)
    assert float(mean) == pytest.approx(13, abs=1e-10)
    assert float(se) == 0


def test_float64_survives_a_small_step() -> None:
    moments = differ("z ~ Normal(theta, 2); y = theta*z", {"theta": 1.0}, 1e-6, dtype="float64").gradient["y"]["theta"]
    close(moments.mean, moments.se, [2.0])
