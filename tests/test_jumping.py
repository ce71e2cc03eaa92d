"""Draws that make the result jump: `jump` finds exact derivatives where a parameter stands in a condition or moves a support."""

from __future__ import annotations

import math

import pytest

import probrun
from benchmarks.jumping import tried

Z = 5.0
AMONG = ("rsample", "score", "enumerate", "fork", "jump")
BARRIER = """
param S0 = 100
param B = 90
s = S0; alive = 1
for i in range(12) {
  z ~ Normal(0, 1)
  s = s*exp((0.02 - 0.5*0.3^2)/12 + 0.3*sqrt(1/12)*z)
  if s < B { alive = 0 }
}
return exp(-0.02)*alive*max(s - 100, 0)
"""
EXACT = [  # program, derivatives, the largest standard error
    ("param t = 0.5\nx ~ Normal(0, 1); return x < t", (0.352065,), 1e-6),
    ("param t = 0.4\nx ~ Normal(0, 1); return (x < t) + 2*(x < t)", (1.104810,), 1e-6),
    ("param t = 0.4\nx ~ Normal(0, 1); return (x < t) + 3*(2*x < 2*t) + (x*t < t^2)", (5 * 0.368270,), 1e-5),
    ("param t = 0.4\nx ~ Normal(t, 1); return x > t", (0.0,), 1e-6),
    ("param t = 0.5\nx ~ Normal(t, 1); return if x > t then x^2 else 0", (1.297885,), 0.03),
    ("param t = 0.3\nu ~ Uniform(0, 1); return if u < t then 3 else 1", (2.0,), 1e-6),
    ("param t = 0.3\nu ~ Uniform(0, 1); return if u < t then t else 0", (0.6,), 0.01),
    ("param t = 1.5\nx ~ Uniform(0, t); return x > 1", (0.444444,), 1e-5),
    ("param t = 0.4\nx ~ Normal(0, 1)\nif x < t { y = 5 } else if x < 2*t { y = 2*x } else { y = x^2 }\nreturn y", (2.102942,), 0.03),
    ("param t = 0.3\nx ~ Normal(0, 1); return floor(x + t)", (1.0,), 0.01),
    ("param t = 0.8\nm = -100; for i in range(5) { x ~ Normal(0, 1); m = max(m, x) }; return 3*(m > t)", (-1.676680,), 0.05),
    ("param t = 0.4\nz ~ Normal(0, 1); b ~ Bernoulli(0.5); x ~ Normal(0, 1); return b*x + z > t", (-0.319652,), 0.01),
    ("param t = 1\ns = 0; n = 0; while s < 1 { w ~ Exponential(t); s = s + w; n = n + 1 }; return n", (1.0,), 0.02),
    ("param t = 1.5\ns = 0; n = 0; while s < t and n < 60 { x ~ Normal(0.5, 1); s = s + x; n = n + 1 }; return n", (1.992829,), 0.1),
    ("param t = 0.4\nx ~ Normal(0, 1); return (x^2 < t)*3", (1.549325,), 1e-5),
    ("param t = 0.4\nfn f(a) { return if a < 1 then 2 else a }; x ~ Normal(t, 1); return f(x) < 2*t", (0.0,), 0.01),
    (BARRIER, (0.729131, -0.341574), 0.03),
]


@pytest.mark.parametrize(("program", "exact", "most"), EXACT)
def test_exact_derivatives(program: str, exact: tuple[float, ...], most: float) -> None:
    found = probrun.parse(program).grad(samples=10_000, seed=3, estimator="jump", unbiased=True)
    for moments, right in zip(found.gradient.values(), exact, strict=True):
        assert abs(float(moments.mean) - right) <= Z * float(moments.se) + 1e-5
        assert float(moments.se) < most


def test_it_goes_over_jumps_unless_others_are_asked_for() -> None:
    program = probrun.parse("param t = 0.5\nx ~ Normal(0, 1)\nw ~ Normal(0, 1)\nreturn x + w < t")
    with pytest.raises(probrun.ProbError, match="P0403"):
        program.grad(samples=2000, seed=1, among=("rsample", "score"))
    found = program.grad(samples=2000, seed=1)
    assert {site.name: site.estimator for site in found.sites} == {"x": "sample", "w": "jump"}
    seen = {site.name: site for site in program.explain(among=AMONG)}
    assert any("`x + w < t` (line 4)" in word for word in seen["w"].because)


def test_every_element_of_an_array_site() -> None:
    found = probrun.parse("param t = 0.4\nx ~ Normal(zeros(20), 1)\nreturn sum(x < t)").grad(samples=2000, seed=1, among=AMONG).gradient["t"]
    assert abs(float(found.mean) - 20 * 0.368270) < 1e-3


def test_beside_a_score_or_forks() -> None:
    text = "param p = 0.4\nparam t = 0.3\nn = 0; go = 1\n"
    text += "while go { b ~ Bernoulli(p); x ~ Normal(0, 1); n = n + 1 + 2*b*(x < t); go = x < t }\nreturn n"
    for name in ("score", "fork"):
        found = probrun.parse(text).grad(samples=20_000, seed=1, estimator={"b": name}, among=AMONG)
        assert [site.estimator for site in found.sites] == [name, "jump"]
        for moments, right in zip(found.gradient.values(), (3.234390, 4.702310), strict=True):
            assert abs(float(moments.mean) - right) <= Z * float(moments.se) and float(moments.se) < 0.15


REFUSED = [
    ("x ~ Normal(0, 1); k = 1; while x > k*t { k = k + 1 }; return k", "more than 32"),
    ("x ~ Normal(0, 1); k ~ Poisson(t); return x < t + k", "`k` is drawn between"),
    ("x ~ Normal(0, 1); d = [1, 2, 3]*t; return sum(x < d)", "as many places as an array"),
    ("x ~ Normal(0, 1); return exp(x) - x < t", "cannot be solved"),
    ("a = [1, 2, 3]; k ~ Poisson(2); x ~ Normal(0, 1); return if k < 3 then (if x > a[k]*t then k else 1) else 0", "cannot be told"),
]


@pytest.mark.parametrize(("program", "words"), REFUSED)
def test_what_may_be_missed_is_refused(program: str, words: str) -> None:
    with pytest.raises(probrun.ProbError, match=words or None) as caught:
        probrun.parse(f"param t = 0.4\n{program}").grad(samples=200, seed=1, among=AMONG)
    assert caught.value.code == "P0403" and caught.value.line


def test_jumps_that_meet_and_move_apart_are_refused() -> None:
    program = probrun.parse("param t = 0.4\nparam p = 0.4\nx ~ Normal(0, 1)\nreturn (x < t) + 3*(x < p)")
    with pytest.raises(probrun.ProbError, match="move apart"):
        program.grad(samples=200, among=AMONG)
    found = program.grad({"p": 0.6}, samples=200, among=AMONG)
    assert float(found.gradient["t"].mean) == pytest.approx(0.368270, abs=0.2)


@pytest.mark.parametrize("program", [
    "(x > 1)*3 + (x > t)", "floor(x) + (x > t)", "(x > 1)*(x > t)", "floor(x) + floor(x + t)", "floor(2*x) + floor(x + t/2)",
])
def test_a_jump_that_meets_one_that_stands_still_is_refused(program: str) -> None:
    """Its sides lay on both sides of the other one, too: -0.968 for -0.242."""
    with pytest.raises(probrun.ProbError, match="move apart"):
        probrun.parse(f"param t = 1\nx ~ Normal(0, 1); return {program}").grad(samples=2000, among=AMONG)


@pytest.mark.parametrize("apart", [1e-10, 1e-9, 2e-8])
def test_jumps_that_are_nearly_at_the_same_place_are_refused(apart: float) -> None:
    """Their sides are further apart than they are: 0 for -0.147."""
    program = probrun.parse(f"param t = 0.4\nx ~ Normal(0, 1)\nreturn (x > t)*(x < t + {apart:.10f})/{apart:.10f}")
    with pytest.raises(probrun.ProbError, match="nearly at the same place"):
        program.grad(samples=200, among=AMONG)


def test_another_estimator_by_force_is_refused() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("param t = 0.4\nx ~ Normal(0, 1) using sample\nreturn x < t").grad(among=AMONG)
    assert caught.value.code in ("P0402", "P0403")


def test_random_programs() -> None:
    for seed in range(4):
        assert "WRONG" not in tried(seed)[0], seed


FACTORS = [  # programs whose draws jump where a factor of a later one is 0, and derivatives at t = 0.5
    ("x ~ Normal(0, 1); y ~ Normal(1, 1); return (x + t)*y > 0", 0.240347),
    ("x ~ Normal(0, 1); w = x + t; y ~ Normal(1, 1); return floor(w*y) > -1", 0.240347),
    ("x ~ Normal(0, 1); v ~ Normal(1, 1); w ~ Exponential(1); return w*v > w*(x - t)", 0.160733),
    ("x ~ Normal(1, 1); y = relu(x - t); z ~ Normal(0, 1); return y*z > 0", -0.176033),
    ("x ~ Normal(1, 1); z ~ Normal(1, 1); return exp((x - t)*z) > 1", -0.240347),
]


@pytest.mark.parametrize(("program", "right"), FACTORS)
def test_where_a_factor_is_zero(program: str, right: float) -> None:
    found = probrun.parse(f"param t = 0.5\n{program}").grad(samples=20_000, seed=1, pilot=False).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) and float(found.se) < 0.02


CORNERS = [
    ("param t = 0\nx ~ Uniform(0, 1); return floor(x + t)", "draws end exactly where"),
    ("param t = 1\nx ~ Uniform(0, t); return x < 1", "draws end exactly where"),
    ("param t = 0\nx ~ Exponential(1); return x > t", "draws end exactly where"),
    ("param t = 0\nx ~ Beta(0.5, 0.5); return x > t", "draws end exactly where"),
    ("param t = 0\nx ~ Normal(1, 1); return x*t > 0", "whatever is drawn"),
    ("param t = 0\nx ~ Normal(1, 1); return floor(exp(x)*t)", "whatever is drawn"),
    ("param t = 0\nx ~ Normal(1, 1); return exp(x)*t > 0", "whatever is drawn"),
    ("param t = 0\nx ~ Logistic(0, 1); return exp(x) > t", "from infinity"),  # -1 to the right, 0 to the left
    ("param t = 0\nx ~ Cauchy(0, 1); return 1/x > t", "from infinity"),  # -1/pi, of which no root tells
    ("param t = 1\nx ~ Logistic(0, 1); return tanh(x) > t", "from infinity"),
    ("param t = 0\nx ~ Logistic(0, 1); return floor(exp(x) + t)", "from infinity"),
]


@pytest.mark.parametrize(("program", "words"), CORNERS)
def test_there_is_no_derivative_at_a_corner(program: str, words: str) -> None:
    with pytest.raises(probrun.ProbError, match=words):
        probrun.parse(program).grad(samples=200, seed=1, pilot=False)


def test_next_to_a_corner() -> None:
    program = "param t = 1.5\nx ~ Uniform(0, t); y = x/t; return (y > 1) + (x > 0.3)"
    found = probrun.parse(program).grad(samples=2000, seed=1).gradient["t"]
    assert abs(float(found.mean) - 0.3 / 1.5**2) <= Z * float(found.se) + 1e-9


ROUNDED = [  # comparisons with what is rounded, and derivatives at t = 0.4
    ("x ~ Normal(0.3, 1); return x % 1 > t", -1.0001),
    ("x ~ Uniform(0, 3); return floor(x) + x > 2 + t", -1 / 3),
    ("x ~ Uniform(0, 3); b ~ Bernoulli(0.6); return b*floor(x) + x > t", -1 / 3),
    ("x ~ Uniform(0, 3); y = floor(x); z ~ Uniform(0, 3); return y + t > z", 1 / 3),
    ("x ~ Uniform(0, 3); y ~ Uniform(0, 3); return floor(x) + y < 1 + t", 1 / 3 * 2 / 3),
    ("x ~ Normal(t, 1.1); y = x % 1; return if tanh(y) > 1 + t then 9 else y", 0.0),  # a number that is none hid the jumps of y
]


@pytest.mark.parametrize(("program", "right"), ROUNDED)
def test_comparisons_with_what_is_rounded(program: str, right: float) -> None:
    found = probrun.parse(f"param t = 0.4\n{program}").grad(samples=20_000, seed=1, pilot=False).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-3 and float(found.se) < 0.02


@pytest.mark.parametrize("program", [
    "c ~ Normal(0, 1); x ~ Normal(0, 1e-6); return c + x > t",
    "c ~ Normal(zeros(3), 1); x ~ Normal(0, [1, 1, 1e-6]); return sum(c + x > t)",
])
def test_too_narrow_to_be_seen(program: str) -> None:
    with pytest.raises(probrun.ProbError, match="so narrow"):
        probrun.parse(f"param t = 0.3\n{program}").grad(samples=4000, seed=1, pilot=False)


def test_far_away_is_not_narrow() -> None:
    program = "param t = 0.3\nb ~ Bernoulli(0.5); x ~ Normal(0, 0.01); y ~ Normal(0, 1e-6); return (1000*b + x > 500 + t) + (y > t)"
    assert float(probrun.parse(program).grad(samples=4000, seed=1, pilot=False).gradient["t"].mean) == 0


def test_sums_do_not_go_together_with_jumps() -> None:
    text = "param t = 0.4\nx ~ Normal(0, 1); b ~ Bernoulli(t); return (x < t) + b*x"
    for chosen in ({"b": "enumerate"}, "enumerate", None):
        try:
            found = probrun.parse(text).grad(samples=4000, seed=1, estimator=chosen, pilot=False)
        except probrun.ProbError as problem:
            assert problem.code == "P0403" and "together" in str(problem) and chosen == {"b": "enumerate"}
        else:
            assert found.sites[0].estimator == "jump" and abs(float(found.gradient["t"].mean) - 0.368270) < 0.1


POWERS = [
    ("x ~ Normal(0, 1); return x*x > t", -0.439391),
    ("x ~ Normal(0, 1); return (x + t)^3 > 0", 0.352065),
    ("x ~ Normal(0, 1); return x^4 > t", -0.235563),
    ("x ~ Gamma(2, 1); return x^(-1) > 2*t", -0.735759),
    ("x ~ Normal(zeros(5), 1); return max(x) > t", -0.402409),
    ("x ~ Normal(zeros(5), 1); y = 2*x; return 3 + min(y - 1) < 2 + 2*t", 0.015952),
    ("x ~ Normal(0, 1); y ~ Normal(0, 1); v = [x, y, t]; return v[0] > v[1] + v[2]", -0.265004),
]


@pytest.mark.parametrize(("program", "right"), POWERS)
def test_powers_and_entries(program: str, right: float) -> None:
    found = probrun.parse(f"param t = 0.5\n{program}").grad(samples=20_000, seed=1, estimator="jump", pilot=False).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-5 and float(found.se) < 0.02


def test_alternatives_next_to_an_end_are_no_corner() -> None:
    text = "param a = 0.4\nparam b = 1.2\nq = 0; lost = 0\nfor i in range(4) { x ~ Exponential(1); y ~ Exponential(b)\n"
    text += "q = max(q + x - y*(1 + a), 0); if q > b { lost = lost + q - b; q = b } }\nreturn lost"
    found = probrun.parse(text).grad(samples=20_000, seed=1, pilot=False)
    for name, right, se in (("a", -0.48244, 0.0007), ("b", 0.01749, 0.0007)):  # differences of 1.6 million runs
        moments = found.gradient[name]
        assert abs(float(moments.mean) - right) <= Z * (float(moments.se) ** 2 + se**2) ** 0.5


def test_what_is_left_of_a_division_is_gone_over_by_default() -> None:
    """E[(x + t) % 1] = t - E[floor(x + t)]."""
    exact = 1 - sum(math.exp(-((k - 0.3) ** 2) / 2) / math.sqrt(2 * math.pi) for k in range(-9, 10))
    found = probrun.parse("param t = 0.3\nx ~ Normal(0, 1)\ny = (x + t) % 1\nreturn y").grad(samples=20_000, seed=2)
    moments = found.gradient["t"]
    assert abs(float(moments.mean) - exact) < 5 * float(moments.se) + 1e-9 and float(moments.se) < 0.01
