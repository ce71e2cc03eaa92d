"""Functions that draw nothing make each call once: the numbers are those of all the calls, and their number does not explode."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch

import probrun
from probrun.dsl.analysis.calls import Rememberable
from probrun.runtime.machine import calling, recall

FIBONACCI = "fn f(n) {\nif n < 2 { return n }\nreturn f(n - 1) + f(n - 2)\n}\n"
HERMITE = "fn h(n, x) {\nif n < 1 { return 1 }\nif n < 2 { return x }\nreturn x*h(n - 1, x) - (n - 1)*h(n - 2, x)\n}\n"


def doubled(size: int) -> float:
    """`a(n) = 2 a(n - 1) + 2 a(n - 2)`."""
    before, now = 1, 1
    for _ in range(size - 1):
        before, now = now, 2 * now + 2 * before
    return now


EXPLOSIVE = {
    "twice": (FIBONACCI + "return theta*f(80)", 23416728348467685),
    "through another": (
        "fn f(n) {\nif n < 2 { return n }\nreturn g(n - 1) + g(n - 1)\n}\nfn g(n) { return f(n) }\nreturn theta*f(60)", 2**59,
    ),
    "in a loop": (
        "fn f(n) {\ns = n\nif n > 0 { for i in range(3) { s = s + f(n - 1) } }\nreturn s\n}\nreturn theta*f(40)",
        sum(n * 3 ** (40 - n) for n in range(41)),
    ),
    "without recursion": (
        "fn f0(x) { return x*theta }\n" + "".join(f"fn f{k + 1}(x) {{ return f{k}(x) + f{k}(x) }}\n" for k in range(60))
        + "return f60(1)", 2**60,
    ),
    "an argument with a derivative": (
        "fn f(n, x) {\nif n < 1 { return x }\nreturn f(n - 1, x) + f(n - 1, x)\n}\nreturn f(60, theta)", 2**60,
    ),
    "an argument that is made anew": (
        "fn f(n, x) {\nif n < 2 { return x }\nreturn f(n - 1, 2*x) + f(n - 2, 2*x)\n}\nreturn f(40, theta)", doubled(40),
    ),
}


@pytest.mark.parametrize("name", EXPLOSIVE)
def test_few_calls_are_different(name: str) -> None:
    text, exact = EXPLOSIVE[name]
    program = probrun.parse("param theta = 1\n" + text)
    assert float(program.grad(samples=2, max_steps=2000).gradient["theta"].mean) == pytest.approx(exact, rel=1e-12)
    assert float(program.run(samples=2, max_steps=2000).values["result"].mean) == pytest.approx(exact, rel=1e-6)


SAME = {
    "a random number of calls": "param r = 4\n" + FIBONACCI + "k ~ Poisson(r)\nreturn f(k)",
    "by score": "param r = 4\n" + FIBONACCI + "k ~ Poisson(r)\nj ~ Poisson(r) using score\nreturn f(k)*j + f(j)",
    "outcomes": "param p = .3\n" + FIBONACCI + "s = 0\nfor i in range(5) { b ~ Bernoulli(p) using enumerate\ns = s + b }\nreturn f(s + 2)",
    "a value with a derivative": "param t = .5\n" + HERMITE + "z ~ Normal(t, 1)\nreturn h(6, z)",
    "both": "param t = .5\nparam r = 3\n" + HERMITE + "z ~ Normal(t, 1)\nk ~ Poisson(r)\nreturn h(k, z)",
    "both, made anew": "param t = .5\nparam r = 3\n" + HERMITE.replace("(n - 1, x)", "(n - 1, x/2)").replace("(n - 2, x)", "(n - 2, x/2)")
    + "z ~ Normal(t, 1)\nk ~ Poisson(r)\nreturn h(k, z)",
    "outer variables that change": "param t = .5\nc = 1\ns = 0\nfn f(n) {\nif n < 2 { return c }\nreturn f(n - 1) + c*f(n - 2)\n}\n"
    "for i in range(4) { z ~ Normal(t, 1)\nc = c + z*i\ns = s + f(5) }\nreturn s",
    "an argument that is set": "param t = .5\nfn f(n, x) {\nx = x*1.5\nif n < 2 { return x }\nreturn f(n - 1, x) - x*f(n - 2, x)/3\n}\n"
    "z ~ Normal(t, 1)\nreturn f(6, z)",
    "arrays": "param t = .5\nfn f(n, v) {\nif n < 2 { return v }\nreturn f(n - 1, v) + f(n - 2, v)*v[1]\n}\nz ~ Normal(t*ones(3), 1)\n"
    "return sum(f(6, z))",
    "with branches": "param r = 3\nfn f(n, m) {\nif n < 1 or m < 1 { return 1 }\nif n > m { return f(n - 1, m) + f(n - 2, m) }\n"
    "return f(n, m - 1) + f(n - 1, m - 1)\n}\nn ~ Poisson(r)\nm ~ Poisson(r)\nreturn f(n, m)",
    "0 and -0": "param t = .5\nfn f(n, x) {\nif n < 1 { return atan(1/x) }\nreturn f(n - 1, x) + 2*f(n - 1, -x)\n}\nz ~ Normal(t, 1)\n"
    "return z*f(2, 0)",
}


@pytest.mark.parametrize("name", SAME)
def test_the_numbers_are_those_of_all_the_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> tuple[list[float], int]:
        made = 0
        once = calling._call

        def counted(*arguments: object) -> object:
            nonlocal made
            made += 1
            return once(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(calling, "_call", counted)
            found = probrun.parse(SAME[name]).grad(samples=300, seed=3, dtype=torch.float64, pilot=False)
        return [float(part) for moments in found.gradient.values() for part in (moments.mean, moments.se)], made

    fewer, few = ask()
    monkeypatch.setattr(recall, "rememberable", lambda resolved: Rememberable())
    every, many = ask()
    assert fewer == pytest.approx(every, rel=1e-9, abs=1e-12)
    assert few < many or name == "an argument that is set", (few, many)


def test_calls_that_draw_are_all_made() -> None:
    text = "param t = 0\nfn f(n) {\nif n < 1 { z ~ Normal(t, 1)\nreturn z }\nreturn f(n - 1) + f(n - 1)\n}\nreturn f(4)"
    draws = probrun.parse(text).run(samples=4000, seed=1).values["result"]
    assert float(draws.sd) == pytest.approx(4, rel=0.05)  # 16 draws; one, taken 16 times, has 16


def test_random_depth_costs_what_it_is_deep() -> None:
    def calls(rate: int) -> int:
        count = 0

        def watch(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event == "call"

        action: Callable[[], object] = probrun.parse(f"param r = {rate}\n{FIBONACCI}k ~ Poisson(r)\nreturn f(k)").expectation
        sys.setprofile(watch)
        try:
            action(samples=20, seed=1)
        finally:
            sys.setprofile(None)
        return count

    few, many = calls(20), calls(40)
    assert many < 2.6 * few, (few, many)


def test_too_many_different_calls_are_refused() -> None:
    text = "param t = 1\nfn f(n, m) {\nif n < 1 { return t }\nreturn f(n - 1, 2*m) + f(n - 1, 2*m + 1)\n}\nreturn f(40, 0)"
    with pytest.raises(probrun.ProbError, match="has called itself 200 times"):
        probrun.parse(text).grad(samples=2, max_steps=200)
