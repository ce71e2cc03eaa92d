"""Programs that come out exact by default, as few states are: walks, chains, waiting times, counts without end.

Every exact value is computed apart from probrun, by a closed form or by a small dynamic program over states (`reached`), as a
function of complex parameters: the derivative in x is Im f(x + ih)/h for a tiny h, to the last digit (Squire & Trapp 1998).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest
import torch

import probrun

TINY = 1e-150
State = Hashable
Step = Callable[[Any], Iterable[tuple[complex, State]]]
Oracle = Callable[..., complex]


def reached(start: State, step: Step, rounds: int) -> dict[Any, complex]:
    """The probability of each state after so many rounds."""
    now: dict[Any, complex] = {start: 1.0}
    for _ in range(rounds):
        then: dict[Any, complex] = {}
        for state, weight in now.items():
            for chance, other in step(state):
                then[other] = then.get(other, 0.0) + weight * chance
        now = then
    return now


def mean(found: dict[Any, complex], value: Callable[[Any], complex]) -> complex:
    """The expectation over states."""
    return sum((weight * value(state) for state, weight in found.items()), 0j)


def coin(p: complex, yes: State, no: State) -> list[tuple[complex, State]]:
    """Two ways."""
    return [(p, yes), (1 - p, no)]


def binomial(n: int, p: complex) -> list[tuple[complex, int]]:
    """The law of a count."""
    return [(math.comb(n, k) * p**k * (1 - p) ** (n - k), k) for k in range(n + 1)]


def sigmoid(x: complex) -> complex:
    return 1 / (1 + cmath.exp(-x))


# ------------------------------------------------------------------------------------------------------ oracles
def walk(theta: complex) -> complex:
    p = sigmoid(theta)
    return 40 * 4 * p * (1 - p) + (40 * (2 * p - 1)) ** 2


def highest(theta: complex) -> complex:
    def step(state: tuple[int, int]) -> list[tuple[complex, State]]:
        s, m = state
        return coin(sigmoid(theta), (s + 1, max(m, s + 1)), (s - 1, m))

    return mean(reached((0, 0), step, 30), lambda state: state[1])


def coupons(t: complex) -> complex:
    """Inclusion and exclusion: E max = sum over sets of (-1)^(size + 1) / probability of the set."""
    chances = [t, (1 - t) / 3, (1 - t) / 3, (1 - t) / 3]
    found = 0j
    for chosen in range(1, 16):
        members = [chance for place, chance in enumerate(chances) if chosen >> place & 1]
        found += (-1) ** (len(members) + 1) / sum(members)
    return found


def ruin(p: complex) -> complex:
    ratio = (1 - p) / p
    return (3 - 6 * (1 - ratio**3) / (1 - ratio**6)) / (1 - 2 * p)


def days(a: complex) -> complex:
    rows = [[1 - a, a, 0], [0.3, 0.7 - a / 2, a / 2], [0.2, 0.3, 0.5]]
    now: list[complex] = [1, 0, 0]
    total = 0j
    for _ in range(60):
        now = [sum((now[i] * rows[i][j] for i in range(3)), 0j) for j in range(3)]
        total += now[1] + 3 * now[2]
    return total


def queue(arrive: complex, serve: complex) -> complex:
    now: dict[int, complex] = {0: 1.0}
    total = 0j
    for _ in range(30):
        then: dict[int, complex] = {}
        for length, weight in now.items():
            for came, comes in ((arrive, 1), (1 - arrive, 0)):
                waiting = min(length + comes, 6)
                for went, goes in ((serve, 1), (1 - serve, 0)) if waiting else ((1.0, 0),):
                    then[waiting - goes] = then.get(waiting - goes, 0.0) + weight * came * went
        now = then
        total += mean(now, lambda state: state)
    return total


def switches(a: complex) -> complex:
    q = 1 - a
    return 50 * q * a + 2500 * q * q


def epidemic(beta: complex, gamma: complex) -> complex:
    def step(state: tuple[int, int]) -> list[tuple[complex, State]]:
        well, ill = state
        return [
            (c * r, (well - caught, ill + caught - better))
            for c, caught in binomial(well, 1 - cmath.exp(-beta * ill / 10)) for r, better in binomial(ill, gamma)
        ]

    return mean(reached((8, 2), step, 6), lambda state: 10 - state[0])


def thirty(beta: complex, gamma: complex) -> complex:
    """The epidemic with 30 people, over 10 days."""
    now: dict[tuple[int, int], complex] = {(28, 2): 1.0}
    for _ in range(10):
        then: dict[tuple[int, int], complex] = {}
        for (well, ill), weight in now.items():
            for chance, caught in binomial(well, 1 - cmath.exp(-beta * ill / 30)):
                for other, better in binomial(ill, gamma):
                    state = well - caught, ill + caught - better
                    then[state] = then.get(state, 0.0) + weight * chance * other
        now = then
    return mean(now, lambda state: 30 - state[0])


def bits_in_a_row(theta: complex) -> complex:
    """The sum of 25 bits, each drawn by the one before."""
    now, total = theta, theta
    for _ in range(24):
        now = 0.2 + theta * now
        total += now
    return total


def seventh(p: complex) -> complex:
    """Squares of a remainder, summed over 20 rounds."""
    def step(s: int) -> list[tuple[complex, State]]:
        return coin(p, (s + 1) % 7, s)

    return sum((mean(reached(0, step, rounds), lambda s: s * s) for rounds in range(1, 21)), 0j)


def calls(p: complex, n: int) -> complex:
    """f(n) = f(n - 1) + b f(n - 2), from 0 and 1."""
    last, now = 0j, 1 + 0j
    for _ in range(n - 1):
        last, now = now, now + p * last
    return now


def tree(p: complex) -> complex:
    """How many leaves there are, if every node of 12 levels has two below it with probability p."""
    size = 1 + 0j
    for _ in range(12):
        size = 1 - p + 2 * p * size
    return size


def carried(theta: complex) -> complex:
    def step(state: int) -> list[tuple[complex, State]]:
        return coin(theta if state else 1 - theta, 1, 0)

    return sum(((t + 1) * mean(reached(0, step, t), lambda b: theta if b else 1 - theta) for t in range(1, 21)), 0j)


def two_sums(p: complex) -> complex:
    def step(state: tuple[int, int]) -> list[tuple[complex, State]]:
        u, v = state
        return [(p * p, (u + 1, v + 1)), (p * (1 - p), (u + 1, v)), (1 - p, (u, v))]

    return mean(reached((0, 0), step, 15), lambda state: state[0] * state[1])


def nested(p: complex) -> complex:
    def step(state: int) -> list[tuple[complex, State]]:
        return [(weight / 4, state + k) for n in range(4) for weight, k in binomial(n, p)]

    return mean(reached(0, step, 10), lambda n: n * n)


def urn(p: complex) -> complex:
    def step(state: tuple[int, int]) -> list[tuple[complex, State]]:
        red, all_of_them = state
        return coin((red + p) / (all_of_them + 1), (red + 1, all_of_them + 1), (red, all_of_them + 1))

    return mean(reached((1, 2), step, 20), lambda state: state[0] ** 2)


def stock(rate: complex) -> complex:
    """Demand 0, 1, 2, ... is Geometric; what is not there is lost; below 2 it is filled up to 6."""
    lost: complex = 0j
    now: dict[int, complex] = {6: 1.0}
    for _ in range(12):
        then: dict[int, complex] = {}
        for level, weight in now.items():
            for demand in range(level):
                left = level - demand
                left = 6 if left < 2 else left
                then[left] = then.get(left, 0.0) + weight * rate * (1 - rate) ** demand
            then[6] = then.get(6, 0.0) + weight * (1 - rate) ** level
            lost += weight * (1 - rate) ** level * (1 - rate) / rate
        now = then
    return lost


def boxes(p: complex) -> complex:
    """Twelve balls into a box of chance p and four others: the squared number of those that are empty."""
    chances = [p] + [(1 - p) / 4] * 4
    ones = sum((1 - chance) ** 12 for chance in chances)
    pairs = sum((1 - chances[i] - chances[j]) ** 12 for i in range(5) for j in range(5) if i != j)
    return ones + pairs


def longest(p: complex) -> complex:
    def step(state: tuple[int, int]) -> list[tuple[complex, State]]:
        now, best = state
        return coin(p, (now + 1, max(best, now + 1)), (0, best))

    return mean(reached((0, 0), step, 25), lambda state: state[1])


def machines(p: complex, q: complex) -> complex:
    def step(up: int) -> list[tuple[complex, State]]:
        return [(f * r, up - failed + back) for f, failed in binomial(up, p) for r, back in binomial(min(8 - up, 2), q)]

    return mean(reached(8, step, 15), lambda up: up >= 6)


def geometric_square(p: complex) -> complex:
    return (1 - p) * (2 - p) / (p * p)


def negative_square(p: complex) -> complex:
    return 3 * p / (1 - p) ** 2 + (3 * p / (1 - p)) ** 2


def cube(m: complex) -> complex:
    return m + 3 * m * m + m**3


# program, parameters, oracle
PROGRAMS: dict[str, tuple[str, dict[str, float], Oracle]] = {
    "walk, squared": (
        "s = 0; for t in range(40) { b ~ Bernoulli(sigmoid(theta)); s = s + 2*b - 1 }; return s^2", {"theta": 0.5}, walk),
    "walk, in branches": (
        "s = 0; for t in range(40) { if Bernoulli(sigmoid(theta)) { s = s + 1 } else { s = s - 1 } }; return s^2", {"theta": -0.2}, walk),
    "running maximum": (
        "s = 0; m = 0; for t in range(30) { b ~ Bernoulli(sigmoid(theta)); s = s + 2*b - 1; m = max(m, s) }; return m",
        {"theta": 0.3}, highest),
    "coupons": (
        "have = zeros(4); n = 0\n"
        "while sum(have) < 4 { k ~ Categorical([t, (1-t)/3, (1-t)/3, (1-t)/3]); have[k] = 1; n = n + 1 }\nreturn n", {"t": 0.2}, coupons),
    "ruin": ("x = 3; n = 0; while x > 0 and x < 6 { b ~ Bernoulli(p); x = x + 2*b - 1; n = n + 1 }; return n", {"p": 0.45}, ruin),
    "ruin, chance": (
        "x = 3; while x > 0 and x < 6 { x = x + (if Bernoulli(p) then 1 else -1) }; return x == 6", {"p": 0.55},
        lambda p: (1 - ((1 - p) / p) ** 3) / (1 - ((1 - p) / p) ** 6)),
    "pattern": (
        "s = 0; n = 0\nwhile s < 3 { h ~ Bernoulli(p); n = n + 1\n"
        "s = if s == 1 then (if h then 1 else 2) else if h then s + 1 else 0 }\nreturn n", {"p": 0.6}, lambda p: 1 / p + 1 / (p * p * (1 - p))),
    "successes in a row": (
        "run = 0; n = 0; while run < 4 { h ~ Bernoulli(p); run = if h then run + 1 else 0; n = n + 1 }; return n", {"p": 0.7},
        lambda p: (1 - p**4) / ((1 - p) * p**4)),
    "busy period": (
        "x = 1; n = 0; while x > 0 { b ~ Bernoulli(p); x = x + 2*b - 1; n = n + 1 }; return n", {"p": 0.2}, lambda p: 1 / (1 - 2 * p)),
    "chain with rewards": (
        "rows = [[1-a, a, 0], [0.3, 0.7-a/2, a/2], [0.2, 0.3, 0.5]]; pay = [0, 1, 3]; s = 0; total = 0\n"
        "for t in range(60) { s ~ Categorical(rows[s]); total = total + pay[s] }\nreturn total", {"a": 0.2}, days),
    "queue": (
        "q = 0; total = 0\nfor t in range(30) {\n  if Bernoulli(arrive) and q < 6 { q = q + 1 }\n"
        "  if q > 0 { if Bernoulli(serve) { q = q - 1 } }\n  total = total + q\n}\nreturn total", {"arrive": 0.4, "serve": 0.5}, queue),
    "sum of bits": (
        "s = 0; for t in range(50) { s = s + Bernoulli(theta) }; return s^2", {"theta": 0.3},
        lambda theta: 50 * theta * (1 - theta) + 2500 * theta * theta),
    "switches": (
        "b ~ Bernoulli(0.5); n = 0\n"
        "for t in range(50) { c ~ Bernoulli(if b > 0 then a else 1 - a); if c != b { n = n + 1 }; b = c }\nreturn n^2", {"a": 0.8}, switches),
    "ifs in a row": (
        "n = 0\n" + "".join(f"b{i} ~ Bernoulli(theta)\nif b{i} {{ n = n + 1 }}\n" for i in range(20)) + "return n^2", {"theta": 0.3},
        lambda theta: 20 * theta * (1 - theta) + 400 * theta * theta),
    "epidemic": (
        "ill = 2; well = 8\nfor day in range(6) {\n  caught ~ Binomial(well, 1 - exp(-beta*ill/10)); better ~ Binomial(ill, gamma)\n"
        "  well = well - caught; ill = ill + caught - better\n}\nreturn 10 - well", {"beta": 0.6, "gamma": 0.2}, epidemic),
    "Poisson, squared": ("n ~ Poisson(l); return n^2", {"l": 4.0}, lambda m: m + m * m),
    "Poisson, cubed": ("n ~ Poisson(l); return n^3", {"l": 17.0}, cube),
    "Poisson, rare": ("n ~ Poisson(l); return n^2", {"l": 1e-26}, lambda m: m + m * m),
    "Poisson, a jump": ("n ~ Poisson(l); return n > 2", {"l": 2.5}, lambda m: 1 - cmath.exp(-m) * (1 + m + m * m / 2)),
    "Geometric, squared": ("n ~ Geometric(p); return n^2", {"p": 0.3}, geometric_square),
    "Geometric, powers": ("n ~ Geometric(p); return 1.5^n", {"p": 0.6}, lambda p: p / (1 - 1.5 * (1 - p))),
    "Geometric, by logits": ("n ~ Geometric(logits=a); return n", {"a": 5.0}, lambda a: cmath.exp(-a)),
    "NegativeBinomial, squared": ("n ~ NegativeBinomial(3, p); return n^2", {"p": 0.4}, negative_square),
    "NegativeBinomial, rare": ("n ~ NegativeBinomial(3, p); return n", {"p": 1e-26}, lambda p: 3 * p / (1 - p)),
    "Poisson, then Binomial": ("n ~ Poisson(l); k ~ Binomial(n, p); return k^3", {"l": 4.0, "p": 0.3}, lambda m, p: cube(m * p)),
    "Poisson many bits": (
        "n ~ Poisson(l); k = 0; for i in range(n) { k = k + Bernoulli(p) }; return k^2", {"l": 3.0, "p": 0.4},
        lambda m, p: m * p + (m * p) ** 2),
    "Geometric many dice": (
        "n ~ Geometric(p); s = 0; for i in range(n) { d ~ DiscreteUniform(1, 6); s = s + d }; return s", {"p": 0.5}, lambda p: 3.5 * (1 - p) / p),
    "swapped": (
        "u = 0; v = 1; for t in range(40) { if Bernoulli(p) { w = u; u = v; v = w } }; return u", {"p": 0.03},
        lambda p: (1 - (1 - 2 * p) ** 40) / 2),
    "carried with a derivative": (
        "r = 1 - theta; s = 0\nfor t in range(20) {\n  b ~ Bernoulli(r); r = if b > 0 then theta else 1 - theta\n  s = s + r*(t + 2)\n}\nreturn s",
        {"theta": 0.3}, carried),
    "two sums multiplied": (
        "u = 0; v = 0; for t in range(15) { b ~ Bernoulli(p); c ~ Bernoulli(p); u = u + b; v = v + b*c }; return u*v", {"p": 0.4}, two_sums),
    "nested loops": (
        "n = 0; for i in range(10) { k ~ DiscreteUniform(0, 3); for j in range(k) { n = n + Bernoulli(p) } }; return n^2", {"p": 0.3}, nested),
    "early return": (
        "for t in range(30) { if Bernoulli(p) { return t } }; return 30", {"p": 0.1}, lambda p: sum((1 - p) ** t for t in range(1, 31))),
    "early return, unbounded": (
        "n = 0; while true { n = n + 1; b ~ Bernoulli(p); c ~ Bernoulli(q); if b { return n }; if c { return 2*n } }",
        {"p": 0.3, "q": 0.2}, lambda p, q: (p + 2 * (1 - p) * q) / (1 - (1 - p) * (1 - q)) ** 2),
    "function": (
        "fn up(x, p) { b ~ Bernoulli(p); if b { return min(x + 1, 5) }; return max(x - 1, 0) }\n"
        "x = 2; for t in range(25) { x = up(x, theta) }; return x^2", {"theta": 0.6},
        lambda theta: mean(reached(2, lambda x: coin(theta, min(x + 1, 5), max(x - 1, 0)), 25), lambda x: x * x)),
    "recursion": (
        "fn heads(n, p) { if n == 0 { return 0 }; b ~ Bernoulli(p); return b + heads(n - 1, p) }\nreturn heads(9, theta)^2", {"theta": 0.3},
        lambda theta: 9 * theta * (1 - theta) + 81 * theta * theta),
    "recursive walk": (
        "fn walk(s, t) { if t < 1 { return s^2 }; b ~ Bernoulli(sigmoid(theta)); return walk(s + 2*b - 1, t - 1) }\nreturn walk(0, 40)",
        {"theta": 0.5}, walk),
    "recursive walk, squared": (
        "fn walk(s, t) { if t < 1 { return s }; b ~ Bernoulli(sigmoid(theta)); return walk(s + 2*b - 1, t - 1) }\nreturn walk(0, 40)^2",
        {"theta": 0.5}, walk),
    "two calls": (
        "fn f(n) { if n < 2 { return n }; b ~ Bernoulli(p); return f(n - 1) + b*f(n - 2) }\nreturn f(80)", {"p": 0.3}, lambda p: calls(p, 80)),
    "two calls in a random place": (
        "fn f(n) { if n < 2 { return n }; b ~ Bernoulli(p); return f(n - 1) + b*f(n - 2) }\nk ~ DiscreteUniform(0, 2)\nreturn f(20 + k)*k",
        {"p": 0.3}, lambda p: (calls(p, 21) + 2 * calls(p, 22)) / 3),
    "tree": ("fn leaves(d) { if d < 1 { return 1 }; if Bernoulli(p) { return leaves(d-1) + leaves(d-1) }; return 1 }\nreturn leaves(12)",
             {"p": 0.4}, tree),
    "a sum inside a function": (
        "fn visits(rounds) { s = 0; total = 0; for t in range(rounds) { b ~ Bernoulli(p); s = (s + b) % 7; total = total + s^2 }; return total }\n"
        "return visits(20)*3", {"p": 0.4}, lambda p: 3 * seventh(p)),
    "a function of outer variables": (
        "level = 1; total = 0\nfn jump(x) { b ~ Bernoulli(p); return x + b*level }\n"
        "for t in range(12) { x = jump(total % 3); level = 1 + (x > 1); total = total + x % 2 }\nreturn total^2", {"p": 0.4},
        lambda p: mean(reached((1, 0), lambda at: [
            (chance, (1 + (x > 1), at[1] + x % 2)) for chance, x in coin(p, at[1] % 3 + at[0], at[1] % 3)
        ], 12), lambda at: at[1] ** 2)),
    "bits in a row": (
        "x0 ~ Bernoulli(theta)\n" + "".join(f"x{i} ~ Bernoulli(0.2 + theta*x{i - 1})\n" for i in range(1, 25))
        + "return " + " + ".join(f"x{i}" for i in range(25)), {"theta": 0.3}, bits_in_a_row),
    "epidemic of thirty": (
        "ill = 2; well = 28\nfor day in range(10) {\n  caught ~ Binomial(well, 1 - exp(-beta*ill/30)); better ~ Binomial(ill, gamma)\n"
        "  well = well - caught; ill = ill + caught - better\n}\nreturn 30 - well", {"beta": 0.6, "gamma": 0.2}, thirty),
    "urn": ("red = 1; n = 2; for t in range(20) { b ~ Bernoulli((red + p)/(n + 1)); red = red + b; n = n + 1 }; return red^2", {"p": 0.4}, urn),
    "stock": (
        "level = 6; lost = 0\nfor week in range(12) {\n  demand ~ Geometric(rate); lost = lost + max(demand - level, 0)\n"
        "  level = max(level - demand, 0); if level < 2 { level = 6 }\n}\nreturn lost", {"rate": 0.3}, stock),
    "boxes": (
        "full = zeros(5); for t in range(12) { k ~ Categorical([p, (1-p)/4, (1-p)/4, (1-p)/4, (1-p)/4]); full[k] = 1 }\n"
        "return (5 - sum(full))^2", {"p": 0.1}, boxes),
    "longest run": (
        "now = 0; best = 0; for t in range(25) { h ~ Bernoulli(p); now = if h then now + 1 else 0; best = max(best, now) }; return best",
        {"p": 0.6}, longest),
    "machines": (
        "up = 8\nfor t in range(15) {\n  failed ~ Binomial(up, p); back ~ Binomial(min(8 - up, 2), q); up = up - failed + back\n}\nreturn up >= 6",
        {"p": 0.1, "q": 0.5}, machines),
    "parity": (
        "odd = 0; for t in range(60) { b ~ Bernoulli(p); odd = (odd + b) % 2 }; return odd", {"p": 0.02}, lambda p: (1 - (1 - 2 * p) ** 60) / 2),
    "discounted": (
        "s = 0; total = 0; d = 1\nfor t in range(40) { s ~ Bernoulli(if s then q else 0.3); total = total + d*s; d = d*g }\nreturn total",
        {"q": 0.8, "g": 0.9},
        lambda q, g: sum(g**t * mean(reached(0, lambda s: coin(q if s else 0.3, 1, 0), t + 1), lambda s: s) for t in range(40))),
}


def declared(text: str, at: dict[str, float]) -> str:
    return "".join(f"param {name} = {value!r}\n" for name, value in at.items()) + text


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_exact(name: str) -> None:
    text, at, oracle = PROGRAMS[name]
    result = probrun.parse(declared(text, at)).grad(seed=1)
    assert result.exact and not result.biased
    assert float(result.value.mean) == pytest.approx(complex(oracle(*at.values())).real, rel=1e-9, abs=0)
    for parameter in at:
        wanted = oracle(*(complex(value, TINY * (other == parameter)) for other, value in at.items())).imag / TINY
        assert float(result.gradient[parameter].mean) == pytest.approx(wanted, rel=1e-9, abs=0), parameter
        assert float(result.gradient[parameter].se) == 0


BITS = "param theta = 0.3\ns = 0; m = 0\nfor t in range(20) { b ~ Bernoulli(theta); s = s + b; m = max(m, 2*s - t) }\n"


def test_several_results() -> None:
    program = probrun.parse(BITS + "return s, s^2, m")
    result = program.grad(seed=1)

    def top(theta: complex) -> complex:
        def step(state: tuple[int, int, int]) -> list[tuple[complex, State]]:
            t, s, m = state
            return coin(theta, (t + 1, s + 1, max(m, 2 * s + 2 - t)), (t + 1, s, max(m, 2 * s - t)))

        return mean(reached((0, 0, 0), step, 20), lambda state: state[2])

    assert result.exact
    wanted = {"s": (6.0, 20.0), "result2": (4.2 + 36, 8 + 240.0), "m": (top(0.3).real, top(complex(0.3, TINY)).imag / TINY)}
    assert list(result.gradients) == list(wanted)
    for name, (value, slope) in wanted.items():
        assert float(result.value[name].mean) == pytest.approx(value, rel=1e-9)
        assert float(result.gradients[name]["theta"].mean) == pytest.approx(slope, rel=1e-9)
    for of in (["m", "s"], ["m"]):  # a variable that is asked for is live to the end
        found = program.grad(seed=1, of=of)
        assert found.exact and list(found.gradients) == of
        for name in of:
            assert float(found.gradients[name]["theta"].mean) == pytest.approx(wanted[name][1], rel=1e-9)


def test_a_variable_that_no_result_needs_is_asked_for() -> None:
    found = probrun.parse(BITS + "return b").grad(seed=1, of=["s"])
    assert found.exact and float(found.gradient["theta"].mean) == pytest.approx(20, rel=1e-12)


# program, theta, and the value with two derivatives there
TWICE: list[tuple[str, float, tuple[float, float, float]]] = [
    ("s = 0; for t in range(50) { s = s + Bernoulli(theta) }; return s^2", 0.3, (235.5, 1520.0, 4900.0)),
    ("n ~ Poisson(theta); return n^3", 3.0, (57.0, 46.0, 24.0)),
    ("n ~ Geometric(theta); return n", 0.5, (1.0, -4.0, 16.0)),
    ("x = 1; n = 0; while x > 0 { b ~ Bernoulli(theta); x = x + 2*b - 1; n = n + 1 }; return n", 0.2, (1 / 0.6, 2 / 0.36, 8 / 0.216)),
    ("u = 0; for t in range(10) { if Bernoulli(theta) { u = 1 - u } }; return theta*u", 0.1,
     (0.05 * (1 - 0.8**10), 0.5 * (1 - 0.8**10) + 0.8**9, 2 * 10 * 0.8**9 - 18 * 0.8**8)),
]


@pytest.mark.parametrize(("text", "at", "wanted"), TWICE, ids=[case[0] for case in TWICE])
def test_an_expectation_and_its_second_derivative(text: str, at: float, wanted: tuple[float, float, float]) -> None:
    theta = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    loss = probrun.parse(text).expectation({"theta": theta}, estimator="enumerate", seed=0, dtype="float64")
    (first,) = torch.autograd.grad(loss, theta, create_graph=True)
    (second,) = torch.autograd.grad(first, theta)
    assert [float(loss.detach()), float(first.detach()), float(second)] == pytest.approx(wanted, rel=1e-9)


# ---------------------------------------------------------------------------------------------------- not exact
@pytest.mark.parametrize(
    "text",
    [
        "n ~ Geometric(p); return 2^n",
        "n = 0; while Bernoulli(p) { n = n + 1 }; return 2^n",
    ],
)
def test_a_rest_that_does_not_shrink_is_refused(text: str) -> None:
    result = probrun.parse("param p = 0.5\n" + text).grad(seed=1, samples=200, estimator="enumerate", max_lanes=4096)
    assert not result.exact and not result.exact_to and result.sites[0].estimator == "score"


def test_what_a_continuous_draw_leaves_behind_is_sampled() -> None:
    """E[x^2] of twenty steps, each taken with probability p: 20 p."""
    text = "param p = 0.4\nx = 0; for t in range(20) { e ~ Normal(0, 1); b ~ Bernoulli(p); x = x + b*e }; return x^2"
    result = probrun.parse(text).grad(seed=1, unbiased=True, samples=20_000)
    slope = result.gradient["p"]
    assert not result.exact and abs(float(slope.mean) - 20) <= 5 * float(slope.se) < 10


def test_a_value_with_a_derivative_of_its_own_is_never_merged() -> None:
    """Equal numbers (p = 0.5), unequal derivatives: v is p^k (1 - p)^(12 - k), and E v^2 = (q p^2 + (1 - q)(1 - p)^2)^12."""
    text = "param p = 0.5\nparam q = 0.3\nv = 1; for t in range(12) { b ~ Bernoulli(q); v = if b then v*p else v*(1 - p) }; return v^2"
    result = probrun.parse(text).grad(seed=1, estimator="enumerate", max_lanes=8192)
    base = 0.25**12
    assert result.exact and float(result.value.mean) == pytest.approx(base, rel=1e-12, abs=0)
    assert float(result.gradient["p"].mean) == pytest.approx(12 * 0.25**11 * 2 * 0.5 * (0.3 - 0.7), rel=1e-9, abs=0)
    assert float(result.gradient["q"].mean) == pytest.approx(0, abs=1e-12 * base)


def test_what_is_left_out_is_said() -> None:
    text = "param p = 0.45\nx = 3; n = 0\nwhile x > 0 and x < 10 { b ~ Bernoulli(p); x = x + 2*b - 1; n = n + 1 }\nreturn n"
    result = probrun.parse(text).grad(seed=1)
    assert 0 < result.exact_to < 1e-10 and result.to_dict()["exact_to"] == result.exact_to
    assert [cut.startswith("loop at line 3 left after") for cut in result.cuts] == [True]
    finite = probrun.parse("param p = 0.45\nreturn Bernoulli(p)").grad(seed=1)
    assert finite.exact and finite.exact_to == 0 and "exact_to" not in finite.to_dict()


@pytest.mark.parametrize("estimator", [None, "score"])
def test_what_float32_cannot_hold(estimator: str | None) -> None:
    """A history of sixty bits cannot be summed; its square times a score is above what float32 holds, and no estimator is worse
    for that."""
    text = "param p = 0.4; s = 0; for t in range(60) { b ~ Bernoulli(p); s = 2*s + b }; return s^2"
    found = probrun.parse(text).grad(seed=1, estimator=estimator)
    slope, size = found.gradients["result"]["p"], (2.0**60 - 1) ** 2
    spread = (4.0**60 - 1) / 3
    assert found.dtype == "float64" and not found.exact
    assert abs(float(slope.mean) - (2 * 0.4 * size + (1 - 2 * 0.4) * spread)) < 4 * float(slope.se)
    sampled = probrun.parse(text.replace("range(60)", "range(80)")).run(seed=1)  # the square itself
    assert sampled.dtype == "float64"


@pytest.mark.parametrize(("text", "value"), [
    # x is -1, -0 or 0, and sigmoid(1/x) sigmoid(-1), 0 or 1
    ("b ~ Bernoulli(p); c ~ Bernoulli(p); x = b*(c - 1); b = 0; c = 0; e ~ Bernoulli(p); return sigmoid(1/x)*e",
     lambda p: p * (p * (1 - p) / (1 + math.e) + p)),
    ("b ~ Bernoulli(p); x = if b then 0 else -0; b = 0; e ~ Bernoulli(p); return sigmoid(1/x)*e", lambda p: p * p),
    ("fn f(x) { b ~ Bernoulli(p); return b*(1/x < 0) }; return f(0) + 10*f(-0)", lambda p: 10 * p),
    ("v = zeros(70); b ~ Bernoulli(p); v[69] = -0*b; if b { v[69] = 0 }; b = 0; e ~ Bernoulli(p); return (1/v[69] < 0)*e",
     lambda p: p * (1 - p)),
])
def test_zero_and_minus_zero_are_two_states(text: str, value: Oracle) -> None:
    found = probrun.parse(f"param p = 0.3; {text}").grad(seed=1, estimator="enumerate")
    assert found.exact
    assert float(found.values["result"].mean) == pytest.approx(value(0.3), rel=1e-12)
    assert float(found.gradients["result"]["p"].mean) == pytest.approx((value(0.3 + TINY * 1j)).imag / TINY, rel=1e-12)


@pytest.mark.parametrize(("text", "value"), [
    ("b ~ Bernoulli(p); y = log(b); c ~ Bernoulli(p); if b == 0 { y = 5 }; d ~ Bernoulli(p); return y*d + c", lambda p: (1 - p) * 5 * p + p),
    ("b ~ Bernoulli(p); y = [1/b, 2, b]; b = 0; d ~ Bernoulli(p); e ~ Bernoulli(p); return y[2]*d + y[1]*e", lambda p: p * p + 2 * p),
    ("fn f(x) { b ~ Bernoulli(p); return [1/b, x*b] }; d ~ Bernoulli(p); return f(2)[1]*d", lambda p: 2 * p * p),
])
@pytest.mark.parametrize("p", [0.3, 0.0])
def test_a_mean_that_is_infinite_and_not_asked_for(text: str, value: Oracle, p: float) -> None:
    found = probrun.parse(f"param p; {text}").grad({"p": p}, seed=1, estimator="enumerate")
    assert found.exact
    assert float(found.values["result"].mean) == pytest.approx(value(p), abs=1e-12)
    assert float(found.gradients["result"]["p"].mean) == pytest.approx(value(p + TINY * 1j).imag / TINY, abs=1e-12)
