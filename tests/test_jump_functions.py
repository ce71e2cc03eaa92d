"""Jumps in functions, and of what functions and draws inside expressions give."""

from __future__ import annotations

import math

import pytest
from scipy import integrate, special, stats

import probrun

Z = 5.0
T = 0.4
NORMAL, BELOW = stats.norm.pdf, special.ndtr
JUMP = {"estimator": "jump", "pilot": False, "unbiased": True}


def slope(f: object) -> float:
    return (f(T + 1e-5) - f(T - 1e-5)) / 2e-5  # type: ignore[operator]


def mean(f: object, low: float = -12.0, high: float = 12.0) -> float:
    """Of a function of a standard normal number between two ends."""
    return float(integrate.quad(lambda z: f(z) * NORMAL(z), low, high, epsabs=1e-12, limit=200)[0])  # type: ignore[operator]


def passed(t: float) -> float:
    """P(a walk of three normal steps is above t at some time)."""
    return 1 - mean(lambda x: mean(lambda y: BELOW(t - x - y), -12, t - x), -12, t)


def returned(t: float, loc: float, width: float) -> float:
    """E[f] of y ~ Normal(loc, width), z ~ Normal(0, 1): 1 where w > z + t, else w, of w = y where y > z, else z*t."""
    def part(low: float, high: float) -> float:  # E[y; low < y < high]
        a, b = (low - loc) / width, (high - loc) / width
        return loc * (BELOW(b) - BELOW(a)) - width * (NORMAL(b) - NORMAL(a))

    def given(z: float) -> float:
        other = 1.0 if z * t > z + t else z * t
        return 1 - BELOW((z + t - loc) / width) + part(z, z + t) + other * BELOW((z - loc) / width)

    return mean(given, -12, t / (t - 1)) + mean(given, t / (t - 1), 12)


NESTED = """fn g(x, z) { y ~ Normal(x, 1); if y > z { return y }; return z*t }
fn f(x) { z ~ Normal(0, 1); w = g(x, z); if w > z + t { return 1 }; return w }
"""
PROGRAMS = [
    ("fn f(a) { x ~ Normal(a, 1); return x }\ny = f(t)\nreturn y > 2*t", -NORMAL(T)),
    ("fn f(a) { x ~ Normal(0, 1); if x > a { return 1 }; return 0 }\nreturn f(t) + 2*f(2*t)", -NORMAL(T) - 4 * NORMAL(2 * T)),
    ("fn f(a) { x ~ Normal(0, 1); return x > a }\ns = 0\nfor i in range(3) { s = s + f(t*i) }\nreturn s", -NORMAL(T) - 2 * NORMAL(2 * T)),
    ("fn f(a, s) { x ~ Normal(0, s); return a + x }\nz ~ Normal(0, 1)\ny = f(z, t)\nif y > t { return y }\nreturn 0",
     slope(lambda t: math.hypot(1, t) * NORMAL(t / math.hypot(1, t)))),
    ("fn f(a) { x ~ Normal(a, 1); if x > t { return x }; return 0 }\ny = f(0) + f(1)\nreturn y > 2*t",  # calls jump elsewhere
     slope(lambda t: BELOW(-t) * BELOW(1 - t) + BELOW(-2 * t) * BELOW(t - 1) + BELOW(1 - 2 * t) * BELOW(t))),
    ("fn f(a) { x ~ Normal(a, 1); if x > t { return x }; return 0 }\ny = f(0)\nw = f(1)\nreturn (y - w) > -2*t",
     slope(lambda t: mean(lambda x: BELOW(x + 2 * t - 1) - BELOW(t - 1), t, 12) + BELOW(t - 1) * BELOW(-t)
           + BELOW(t) * (BELOW(2 * t - 1)))),
    ("fn walk(s, n) { if n < 1 { return 0 }; x ~ Normal(0, 1); r = s + x; if r > t { return 1 }; return walk(r, n - 1) }\nreturn walk(0, 3)",
     slope(passed)),
    ("fn sim(s) { if s > 1 + t { return 0 }; x ~ Exponential(1); return 1 + sim(s + x) }\nreturn sim(0)", 1.0),
    ("fn h(a) { if a < t { return 1 }; if a < 2*t { x ~ Uniform(0, 1); return x < t }; return 0 }\nx ~ Uniform(0, 1)\nreturn h(x)", 1 + 2 * T),
    ("fn pick(a, b) { u ~ Uniform(0, 1); return if u < t then a else b }\nx ~ Normal(0, 1)\ny ~ Normal(1, 1)\nz = pick(x, y)\nreturn z > 2*t",
     slope(lambda t: t * BELOW(-2 * t) + (1 - t) * BELOW(1 - 2 * t))),
    ("fn f(x) { z = x*2; y ~ Normal(0, 1); if y > z { return 1 }; return 0 }\nz ~ Normal(0, 1)\ny = f(t)\nw = f(z + t)\n"
     "if z > t { return y }\nreturn w*2", slope(lambda t: BELOW(-t) * BELOW(-2 * t) + 2 * mean(lambda z: BELOW(-2 * z - 2 * t), -12, t))),
    ("fn r() { x ~ Normal(0, 1); return x }\nif r() + 2*r() > t { return 1 }\nreturn 0", -NORMAL(T / 5**0.5) / 5**0.5),
    ("fn r(a) { x ~ Normal(a, 1); return x }\nreturn max(r(t), r(2*t)) > r(0)", slope(lambda t: 1 - mean(lambda c: BELOW(c - t) * BELOW(c - 2 * t)))),
    ("s = 0\nwhile s < 1 + t { s = s + Exponential(1) }\nreturn s", 1.0),
    ("fn f() { x ~ Exponential(1 + t); return x }\ns = 0\nn = 0\nwhile s < 1 { s = s + f(); n = n + 1 }\nreturn n", 1.0),
    ("fn noise(n) { v ~ Normal(zeros(3), 1); return sum(v) }\nreturn noise(3) > t", -NORMAL(T / 3**0.5) / 3**0.5),
    ("return Normal(0, 1) < t", NORMAL(T)),
    ("fn f(a) { x ~ Normal(a, 1); return x < a/2 }\nreturn f(t)*t + (Normal(0, 1) < t)", slope(lambda t: t * BELOW(-t / 2) + BELOW(t))),
    ("x ~ Normal(0, 1)\nreturn x > Normal(t, 1)", -NORMAL(T / 2**0.5) / 2**0.5),
    ("z ~ Normal(0, 1)\ny = if z > t then Normal(t, 1) else Exponential(1)\nreturn y > t", slope(lambda t: BELOW(-t) / 2 + BELOW(t) * math.exp(-t))),
    ("fn g(a) { s = 0; for i in range(3) { if a > i*t { s = s + 1 } }; return s }\nx ~ Normal(0, 1)\nreturn g(x)", -NORMAL(T) - 2 * NORMAL(2 * T)),
    ("fn f(a) { b ~ Bernoulli(0.5); return a*b }\nx ~ Normal(0, 1)\nreturn f(x) > t", -NORMAL(T) / 2),
    (NESTED + "x ~ Normal(t, 1)\nreturn f(x) + f(0.3)", slope(lambda t: returned(t, t, 2**0.5) + returned(t, 0.3, 1))),
]


@pytest.mark.parametrize(("program", "right"), PROGRAMS)
def test_through_functions(program: str, right: float) -> None:
    found = probrun.parse(f"param t = {T}\n{program}").grad(samples=40_000, seed=1, **JUMP).gradient["t"]
    assert abs(float(found.mean) - right) <= Z * float(found.se) + 1e-5 * (1 + abs(right)) and float(found.se) < 0.05 * (1 + abs(right))


@pytest.mark.parametrize(("program", "words"), [
    ("fn f(s, k) { if k < 1 { return s }; x ~ Normal(t, 1); y = f(max(s, x), k - 1); if y > x + 1 { return y }; return x }\nreturn f(0, 3)",
     "calls itself"),
    ("fn f(a) { y = a; while y > 1 { y = y - 1 }; return y }\nx ~ Normal(0, 1)\nreturn f(x) > t", "more than 32"),
    ("fn f(a, k) { if k < 1 { return a }; x ~ Normal(t, 1); if x > t { return a + 1 }; return f(1.2*a + x, k - 1) }\nx ~ Normal(0, 1)\n"
     "y = f(x, 2)\nreturn y > y*(t + 1)", "come to no end"),  # took minutes
    ("b ~ Bernoulli(0.4)\nreturn (if b then Normal(0, 1) else t) + Normal(0, 1) > 2*t", "give it a line of its own"),
])
def test_what_is_carried_too_far_is_refused(program: str, words: str) -> None:
    with pytest.raises(probrun.ProbError, match="P0403") as caught:
        probrun.parse(f"param t = {T}\n{program}").grad(samples=1000, seed=1, **JUMP)
    assert words in str(caught.value)
