"""Where draws make the result jump, as found in the text: the atoms of every site, or the refusal."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

import probrun
from probrun.dsl.jumps.atoms import DRAW, Atoms, Unfound
from probrun.dsl.jumps.backward import find_atoms
from probrun.dsl.reading.expression_text import format_expression

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))


def atoms(text: str) -> dict[str, set[str]]:
    """By site the atoms of a program; a lattice has `|` around it."""
    resolved = probrun.parse("param theta = 0.7\n" + text).resolved
    found = find_atoms(resolved)
    assert isinstance(found, Atoms), found.reason
    words: dict[str, set[str]] = {}
    for site in resolved.sites:
        for one in found.at[site.index]:
            value = format_expression(one.value).replace(DRAW, site.name)
            words.setdefault(site.name, set()).add(f"|{value}|" if one.lattice else value)
    return words


def refusal(text: str) -> str:
    """Why jumps could be missed."""
    found = find_atoms(probrun.parse("param theta = 0.7\n" + text).resolved)
    assert isinstance(found, Unfound), found
    return found.reason


X = "x ~ Normal(0, 1)\n"
Z = "z ~ Normal(0, 1)\n"
B = "b ~ Bernoulli(0.5)\n"
V = "v = zeros(2)\n"
DEEP = "fn g0(x) { return x > 0 }\n" + "".join(f"fn g{n + 1}(x) {{ return g{n}(x) }}\n" for n in range(8))


@pytest.mark.parametrize(("text", "expected"), [
    (X + "return x < theta", {"x": {"x - theta"}}),
    (X + "y = x\nreturn if y > theta then 3 else 1", {"x": {"x - theta"}}),
    (X + "return floor(x + theta)", {"x": {"|x + theta|"}}),
    (X + "return (x + theta) % 2", {"x": {"|(x + theta) / 2|"}}),
    (X + "return sign(x - theta)", {"x": {"x - theta"}}),
    (Z + X + "return x + z > theta", {"x": {"(x + z) - theta"}}),  # x is the pivot: its slope is never 0
    (Z + B + X + "return b*x + z > theta", {"x": {"(b * x + z) - theta"}, "z": {"(0.0 + z) - theta"}}),
    (X + B + "return x > b*theta", {"x": {"x - 0.0 * theta", "x - 1.0 * theta"}}),
    (Z + X + "return max(x, z) > theta", {"x": {"x - theta"}, "z": {"z - theta"}}),
    (X + "return abs(x) > theta", {"x": {"x - theta", "-x - theta"}}),
    (X + "n = 0\nif x < theta { n = 5 } else { if x < 2*theta { n = x } }\nreturn n", {"x": {"x - theta", "x - 2 * theta"}}),
    ("n = 0\ns = 0\nwhile s < 1 { t ~ Exponential(theta); s = s + t; n = n + 1 }\nreturn n", {"t": {"(s + t) - 1"}}),
    (V + "n = 0\nfor i in range(2) { v[i] ~ Normal(0, 1); if v[i] > theta { n = n + 1 } }\nreturn n", {"v": {"v - theta"}}),
    ("v ~ Normal(zeros(2), 1)\nn = 0\nfor e in v { if e > theta { n = n + 1 } }\nreturn n", {"v": {"v - theta"}}),
    (V + "v[0] ~ Normal(0, 1)\nv[1] ~ Bernoulli(0.5)\nreturn v[0] > theta*v[1]", {"v": {"v - theta * 0.0", "v - theta * 1.0"}}),
    ("v ~ Normal([0, theta], 1)\nreturn v[1] > theta", {"v": {"v - theta"}}),
    (X + "b ~ Bernoulli(0.5*ones(3))\nreturn x > theta*b[1]", {"x": {"x - theta * 0.0", "x - theta * 1.0"}}),
    (X + Z + "return argmax([x, z, theta])", {"x": {"theta - x"}, "z": {"z - x", "theta - z"}}),
    (X + "n = floor(x + theta)\nreturn n > 2", {"x": {"|x + theta|"}}),
    (X + "k ~ Binomial(probs=0.5, total_count=1)\nreturn x > k*theta", {"x": {"x - 0.0 * theta", "x - 1.0 * theta"}}),
    ("s = 0\nn = 0\nfor i in range(3) { if s > i*theta { n = n + 1 }; x ~ Normal(0, 1); s = s + x }\nreturn n",
     {"x": {"(s + x) - 1.0 * theta", "(s + x) - 2.0 * theta"}}),
    ("fn f(x) { if x > theta { return 1 }; return 0 }\n" + X + "return f(x)", {"x": {"x - theta"}}),
    ("fn f(x) { s = 0; for i in range(2) { s = s + x % 1.5 }; return s }\n" + X + "return f(x + theta)", {"x": {"|(x + theta) / 1.5|"}}),
    (DEEP + X + "return g8(x - theta)", {"x": {"(x - theta) - 0"}}),
    (X + "return x > theta*Bernoulli(0.5)", {"x": {"x - theta * 0.0", "x - theta * 1.0"}}),
    ("return Normal(0, 1) > theta", {"return.1": {"return.1 - theta"}}),
    ("v ~ Normal([0, theta, 1], 1)\nreturn sort(v)[1] > theta", {"v": {"v - theta"}}),
    (X + Z + "return sort([x, z])[0] > theta", {"x": {"x - theta"}, "z": {"z - theta"}}),
])
def test_atoms_of_a_text(text: str, expected: dict[str, set[str]]) -> None:
    assert atoms(text) == expected


@pytest.mark.parametrize(("text", "words"), [
    (V + "v ~ Normal(v, 1)\nn = 0\nfor e in v { if e > theta { n = n + 1 }; v = 2*v }\nreturn n", "some entry of an array"),
    (V + "v[0] ~ Normal(0, 1)\nv[1] ~ Poisson(0.5)\nreturn v[0] > theta", "drawn between"),
    (V + "v[0:2] ~ Normal([0, theta], 1)\nreturn v[0] > v[1]", "other parts than are set"),
    ("m = zeros(2, 2)\nm[0] ~ Normal([0, theta], 1)\nreturn m[0, 0] > m[0, 1]", "other parts than are set"),
    (X + "k ~ Categorical([[.2, .2, .6], [.1, .1, .8]])\nreturn sum(x + k > theta)", "may be any number"),
    ("fn f(x) { return if x > 0.3 then 1 - x else x/2 }\n" + X + "return " + "f("*12 + "x" + ")"*12, "longer and longer"),
    (X + Z + "n = floor(z) - floor(2*z)\nreturn x + n > theta", "rounded"),
    (X + "b ~ Bernoulli(0.5*ones(3))\nreturn x + sum(b) > theta", "drawn between"),
    (X + "b ~ Bernoulli(0.5*ones(3, 3))\nreturn x > theta*sum(b[1])", "drawn between"),
    (X + "k = 0\nwhile x > k*theta and k < 3 { k = k + 1 }\nreturn k", "more than 32"),  # as many as already known: 2 and 2
    (X + "k ~ Poisson(2)\nreturn x > k*theta", "may be any number"),
    ("x ~ Normal(zeros(3), 1)\nreturn sum(max(x) > [theta, 1, 1])", "cannot be solved"),
    ("x ~ Normal(zeros(3), 1)\nm = max(x)\nreturn m > x[0] + theta", "cannot be solved"),
])
def test_where_jumps_could_be_missed(text: str, words: str) -> None:
    assert words in refusal(text)


def test_jumps_that_a_scan_finds_are_roots() -> None:
    from atoms import Programs, attack

    seeds = random.Random(5).sample(range(1000), 12)
    ends = [attack(Programs(seed).program(), seed, 1) for seed in seeds]
    assert [missed for _, _, missed in ends if missed] == []
    assert sum(jumps for _, jumps, _ in ends) > 5
