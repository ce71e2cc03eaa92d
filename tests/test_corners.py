"""A kink that is met with positive probability: the expectation has two derivatives there, and that is said, with both.

The exact one-sided derivatives are sums over outcomes, written down here.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import pytest
import torch

import probrun


def poisson(rate: float, count: int) -> float:
    return math.exp(-rate) * rate**count / math.factorial(count)


BELOW = sum(poisson(3, k) for k in range(3))  # of Poisson(3)
CORNERS = [  # program, the derivative to the left, to the right
    ("param y = 3\nD ~ Poisson(3)\nreturn min(y, D)", 1 - BELOW, 1 - BELOW - poisson(3, 3)),
    ("param y = 1\nb ~ Bernoulli(0.5)\nreturn abs(y - b)", 0.0, 1.0),
    ("param y = 1\nb ~ Bernoulli(0.25)\nc ~ Bernoulli(0.5)\nreturn relu(y - b - c)", 0.375, 0.875),
    ("param y = 0.3\nk ~ Binomial(2, 0.5)\nreturn max(y, 0.1*k + 0.1)", 0.75, 1.0),  # 0.1*2 + 0.1 is not quite 0.3
    ("param y = 0\nreturn abs(y)", -1.0, 1.0),
    ("param y = 3\nD ~ Poisson(3)\nreturn if D < y then D else y", 1 - BELOW, 1 - BELOW - poisson(3, 3)),  # by hand
    ("param y = 1\nb ~ Bernoulli(0.5)\nreturn where(b >= y, 4*(b - y), y - b)", -1.5, 1.0),
    ("param y = 1\nreturn clamp(2*y, 0, 2)", 2.0, 0.0),
    ("param y = 1\nk ~ Categorical([0.2, 0.3, 0.5])\nreturn sort([y, k, 0.5])[1]", 0.8, 0.5),
    ("param y = 1\nk ~ Categorical([0.2, 0.3, 0.5])\nreturn max([y, k, 0.5])", 0.2, 0.5),
    ("param y = 1\nreturn logpdf(Laplace(y, 2), 1)", 0.5, -0.5),
    ("param y = 0\nreturn relu(relu(y))", 0.0, 1.0),  # at the inner kink the outer one is met too
    ("param y = 0\nx ~ Normal(y + 2, 1)\nz ~ Normal(0, 1)\nreturn x + max(relu(z), y)", 1.0, 1.5),  # relu(z) is 0 half of the time
    ("param y = 0\nz ~ Normal(0, 1)\nreturn max(z, z + y)", 0.0, 1.0),
    ("param y = 1\nb ~ Bernoulli(0.5)\nif b { d = 1 } else { d ~ Normal(0, 1) }\nreturn max(y, d)", 0.5 * 0.8413447, 0.5 + 0.5 * 0.8413447),
]


STEPS = [
    "floor(y)", "ceil(2*y)", "round(y - 0.5)", "sign(y - 1)", "(y > 1) - (y < 1)", "floor(y) + ceil(y)", "y % 1", "7 % y",
    "floor(y + Bernoulli(0.5))", "floor(y)*Normal(0, 1)^2", "sum(floor([y, 2.5]))",
]


@pytest.mark.parametrize("text", STEPS)
def test_a_step_right_at_the_parameter_is_told(text: str) -> None:
    """Also where both sides are equally far off, so that the difference between them is none."""
    found = probrun.parse(f"param y = 1\nreturn {text}").grad(samples=2000, seed=5)
    assert [doubt.code for doubt in found.warnings] == ["P0704"] and "jumps" in found.warnings[0].message


@pytest.mark.parametrize("text", ["floor(y + 0.5)", "y + (if y > 1 then 2 else 2)", "floor(y)*0 + y", "(y + 0.25) % 1", "round(y)"])
def test_where_nothing_steps_nothing_is_told(text: str) -> None:
    assert probrun.parse(f"param y = 1\nreturn {text}").grad(samples=2000, seed=5).warnings == ()


@pytest.mark.parametrize(("text", "left", "right"), CORNERS)
def test_both_derivatives_are_told(text: str, left: float, right: float) -> None:
    found = probrun.parse(text).grad(samples=2000, seed=5)
    (doubt,) = found.warnings
    assert doubt.code == "P0704" and doubt.line == len(text.splitlines())
    sides = found.sides[found.results[0]]["y"]
    exact = "Normal" not in text
    for moments, wanted in ((sides.left, left), (sides.right, right)):
        error = 5 * float(moments.se) + (1e-5 if exact else 1e-3)
        assert error < 0.15 and abs(float(moments.mean) - wanted) <= error
    mean, slack = float(found.gradient["y"].mean), 5 * float(found.gradient["y"].se) + 1e-6
    assert min(left, right) - slack <= mean <= max(left, right) + slack


def test_a_lattice_queue() -> None:
    """W = max(W + theta*k - a, 0): the derivative to a side, by following all ways with W and its derivative."""
    text = (
        "param theta = 1\nW = 0\nfor t in range(3) {\n  k ~ Categorical([0.5, 0.3, 0.2])\n  a ~ Bernoulli(0.6)\n"
        "  W = max(W + theta*k - a, 0)\n}\nreturn W"
    )
    found = probrun.parse(text).grad(samples=2000, seed=5)
    sides = found.sides["W"]["theta"]
    for direction, moments in ((-1, sides.left), (1, sides.right)):
        worlds = [(1.0, (0, 0))]
        for _ in range(3):
            worlds = [
                (p * q * r, max((value + k - a, slope + direction * k), (0, 0)))
                for p, (value, slope) in worlds for k, q in enumerate((0.5, 0.3, 0.2)) for a, r in enumerate((0.4, 0.6))
            ]
        exact = direction * sum(p * slope for p, (_, slope) in worlds)
        assert float(moments.mean) == pytest.approx(exact, abs=1e-4)
    assert [doubt.code for doubt in found.warnings] == ["P0704"]


NONE = [  # no corner, and no word of one: program, exact derivative in y
    ("param y = 3.5\nD ~ Poisson(3)\nreturn min(y, D)", 1 - BELOW - poisson(3, 3)),
    ("param y = 2\nk ~ Poisson(1)\nreturn abs(y*k)", 1.0),  # at k = 0 both sides stand still
    ("param y = 1\nreturn sum(sort([y, 1, 2]))", 1.0),  # whichever comes first
    ("param y = 1\nb ~ Bernoulli(0.5)\nreturn where(b, y, relu(y - 1))", None),
    ("param y = 1\nb ~ Bernoulli(0.5)\nx = relu(y - b)\nreturn y + (if x > 0.5 then 1 else 0)", 1.0),  # only a jump looks at it
    ("param y = 1\nreturn max(y, y)", 1.0),
    ("param y = 0\nz ~ Normal(y, 1)\nreturn y^2*(y > 0) + z", 1.0),  # the two ways meet smoothly
    ("param y = 1\nk ~ Poisson(2)\nreturn if y*k > 0 then y*k else 0", 2.0),
    ("param y = 1\nreturn max(y*ones(3)) + max(0.3*y, 0.3*y, 0.3*y) + sort([0.3*y, 0.3*y, 0.3*y])[1]", 1.6),
    ("param y = 1\nz ~ Normal(0, 1)\nreturn min(z*y*ones(5)) + max([z + y, z + y, z + y - 1]) + y", 2.0),
    ("param y in (0, inf) = 2\nz ~ Normal(y, 1)\nreturn relu(relu(z))", 0.9772499),
    ("param y = 0.5\nz ~ Normal(y, 1)\nreturn abs(z) + max(z, 0)", 0.3829249 + 0.6914625),
    ("param y = 1\nb ~ Bernoulli(0.5)\nreturn y + b*0*abs(y - 1)", 1.0),
]


@pytest.mark.parametrize(("text", "exact"), [row for row in NONE if row[1] is not None])
def test_no_corner_no_word(text: str, exact: float) -> None:
    found = probrun.parse(text).grad(samples=4000, seed=5)
    moments = found.gradient["y"]
    assert not found.kinks and not found.warnings
    assert float(moments.se) < 0.05 and abs(float(moments.mean) - exact) <= 5 * float(moments.se) + 1e-5


def test_rounding_is_no_corner() -> None:
    """Two float32 numbers may be rounded to the same: that has no probability, and is not told."""
    text = "param y = 0.5\nz ~ Normal(0, 1)\nw = z*y + 1000\nv = max(w, z*y^2 + 1000)\nreturn v - 1000"
    found = probrun.parse(text).grad(samples=40_000, seed=2)
    assert not found.warnings


def test_the_oracle_sees_a_corner_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from probrun.__main__ import main
    from probrun.runtime.blocks.settings import Settings
    from probrun.runtime.estimates.oracle import both_sides

    text = "param y = 1\nb ~ Bernoulli(0.5)\nreturn abs(y - b)"
    settings = Settings(samples=100, seed=0)
    assert both_sides(probrun.parse(text).resolved, {}, {}, settings, met=False)["result"]["y"].apart
    smooth = text.replace("= 1", "= 1.5") + "^3 + exp(y)"
    assert not both_sides(probrun.parse(smooth).resolved, {}, {}, settings, met=False)
    path = tmp_path / "corner.prob"
    path.write_text(text)
    assert main(["grad", str(path), "--verify", "--json", "--seed", "1"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["warnings"][0]["code"] == "P0704" and not found["verified"]["passed"]
    assert found["sides"]["y"]["left"] == pytest.approx(0, abs=1e-6) and found["sides"]["y"]["right"] == pytest.approx(1)


def test_an_expectation_warns() -> None:
    program = probrun.parse("param y = 1\nb ~ Bernoulli(0.5)\nreturn abs(y - b)")
    with pytest.warns(UserWarning, match="kink is met exactly"):
        program.expectation({"y": torch.tensor(1.0, requires_grad=True)}, samples=100, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program.expectation({"y": torch.tensor(1.25, requires_grad=True)}, samples=100, seed=1).backward()


def test_small_values_are_no_corner() -> None:
    """exp(-14) is nearly 0 beside 1, but not 0: float64 tells."""
    text = "param y = 1\nk ~ Poisson(4)\nreturn relu(y*exp(-2*k))"
    found = probrun.parse(text).grad(samples=4000, seed=5)
    assert not found.warnings
    exact = math.exp(4 * (math.exp(-2) - 1))
    assert abs(float(found.gradient["y"].mean) - exact) <= 5 * float(found.gradient["y"].se) < 0.05


def test_a_relaxed_draw_meets_no_corner() -> None:
    """What carries the derivative there is not the bit that meets the kink, and the expectation is smooth."""
    text = "param y = 0.3\nb ~ Bernoulli(y)\nc ~ Bernoulli(0.5)\nreturn max(b, c)"
    assert not probrun.parse(text).grad(samples=400, seed=5, estimator="gumbel").warnings


def test_a_corner_beside_the_end_of_a_domain() -> None:
    """`p` cannot go below 0, so that there is no derivative to its left; the corner in `y` is told all the same."""
    text = "param p = 0\nparam y = 1\nb ~ Bernoulli(p)\nreturn b + abs(y - 1)"
    found = probrun.parse(text).grad(seed=1, verify=True)
    assert set(found.sides["result"]) == {"y"} and found.gradient["p"].mean == 1
    assert found.check is not None and abs(found.check.z["result"]["p"]) < 1
    assert found.sides["result"]["y"].to_dict() == {"left": pytest.approx(-1), "right": pytest.approx(1)}


def test_a_jump_is_told_as_one() -> None:
    """At y = 0 the expectation goes from 0 to 1."""
    found = probrun.parse("param y = 0\nz ~ Normal(y, 1)\nreturn if y > 0 then z^2 else z").grad(samples=400, seed=1)
    assert "jumps" in found.warnings[0].message
    assert found.sides["result"]["y"].to_dict() == {"left": None, "right": None}


FREE = [  # a draw of their own spreads the operands out: nothing is looked at in any run
    "x ~ Normal(y, 1)\nreturn relu(x)*max(x, y)", "x ~ Normal(y, 1)\nreturn clamp(x, 0, 1) + abs(exp(x) - y)",
    "W = 0\nfor t in range(3) {\n  x ~ Normal(y, 1)\n  a ~ Exponential(1)\n  W = max(W + x - a, 0)\n}\nreturn W",
    "x ~ Normal(y, 1)\nz ~ Normal(x, 1)\nreturn max(x, z, y)", "x ~ Normal(0, 1)\nreturn max(y^2*exp(x), 1)",
]
WATCHED = [  # these may meet their kink
    "x ~ Normal(y, 1)\nreturn max(relu(x), y)", "x ~ Normal(y, 1)\nreturn max(x, x + y)", "b ~ Bernoulli(0.5)\nreturn abs(y - b)",
    "x ~ Normal(y, 1)\nv = [x, -x]\nreturn relu(sum(v) + y)", "x ~ Normal(y, 1)\nb ~ Bernoulli(0.5)\nreturn relu(b*x)",
    "x ~ Normal(0, 1)\nfor t in range(2) {\n  z = x\n  x ~ Normal(y, 1)\n  w = max(z, y)\n}\nreturn w + max(x, x*y)",
]


@pytest.mark.parametrize(("text", "free"), [*((text, True) for text in FREE), *((text, False) for text in WATCHED)])
def test_the_text_says_where_runs_must_look(text: str, free: bool) -> None:
    from probrun.dsl.planning.chooser import make_plan

    assert (not make_plan(probrun.parse(f"param y in (0, inf) = 1\n{text}").resolved).ties) == free


def test_both_sides_where_a_parameter_moves_a_jump_too() -> None:
    """A grid that stands still would count its cells between the steps."""
    found = probrun.parse("param y = 0.5\nx ~ Normal(0, 1)\nreturn (x < y) + abs(y - 0.5)").grad(samples=100_000, seed=5)
    sides = found.sides["result"]["y"]
    for moments, wanted in ((sides.left, 0.3520653 - 1), (sides.right, 0.3520653 + 1)):
        assert abs(float(moments.mean) - wanted) < 5 * float(moments.se) < 0.4
